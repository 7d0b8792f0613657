// SPDX-License-Identifier: Apache-2.0

package pagopa

import (
	"encoding/base64"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/beevik/etree"

	"github.com/nodogate/nodogate/gateway/money"
)

// PSPHead says who calls; every request of nodeForPsp begins with it.
type PSPHead struct {
	PSP       string // idPSP
	BrokerPSP string // idBrokerPSP
	Channel   string // idChannel
	Password  Password
}

// Password is a channel's password, 8 to 15 characters. It prints as ***.
type Password string

const hidden = "***"

// String hides the password.
func (Password) String() string { return hidden }

// GoString hides the password.
func (Password) GoString() string { return hidden }

// LogValue hides the password.
func (Password) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalText hides the password, in JSON for one: a log line may hold a whole
// request.
func (Password) MarshalText() ([]byte, error) { return []byte(hidden), nil }

func readPSPHead(el *etree.Element) PSPHead {
	return PSPHead{
		PSP:       value(el, "idPSP"),
		BrokerPSP: value(el, "idBrokerPSP"),
		Channel:   value(el, "idChannel"),
		Password:  Password(value(el, "password")),
	}
}

func (h *PSPHead) append(b []byte) []byte {
	b = appendElement(b, "idPSP", h.PSP)
	b = appendElement(b, "idBrokerPSP", h.BrokerPSP)
	b = appendElement(b, "idChannel", h.Channel)
	return appendElement(b, "password", string(h.Password))
}

// PSPOption is one way to pay a notice (ctPaymentOptionDescription,
// ctPaymentOptionBollettinoDescription).
type PSPOption struct {
	Amount      money.Cents
	Options     string // EQ, LS, GT or ANY, see PaymentOption
	DueDate     string // YYYY-MM-DD, or empty
	PaymentNote string
	AllPostal   bool // allCCP; only verificaBollettino has it
}

// PSPPayable is what a PSP is told of a notice before it activates it.
type PSPPayable struct {
	Options      []PSPOption // 1 to 5
	Description  string
	CreditorCode string // fiscalCodePA
	CompanyName  string
	OfficeName   string
}

// readPSPPayable reads what an outcome OK must tell; the options are in list.
func readPSPPayable(el *etree.Element, list string) (PSPPayable, error) {
	p := PSPPayable{
		Description:  value(el, "paymentDescription"),
		CreditorCode: value(el, "fiscalCodePA"),
		CompanyName:  value(el, "companyName"),
		OfficeName:   value(el, "officeName"),
	}
	options := el.SelectElement(list)
	if options == nil {
		return PSPPayable{}, absent(el, list)
	}
	for option := range options.ChildElementsSeq() {
		p.Options = append(p.Options, PSPOption{
			Amount:      cents(option, "amount"),
			Options:     value(option, "options"),
			DueDate:     token(option, "dueDate"),
			PaymentNote: value(option, "paymentNote"),
			AllPostal:   boolean(option, "allCCP"),
		})
	}
	return p, nil
}

func (p *PSPPayable) appendOptions(b []byte, list string, postal bool) []byte {
	b = append(b, "<"+list+">"...)
	for i := range p.Options {
		o := &p.Options[i]
		b = append(b, "<paymentOptionDescription>"...)
		b = appendAmount(b, "amount", o.Amount)
		b = appendElement(b, "options", o.Options)
		b = appendOptional(b, "dueDate", o.DueDate, stISODate)
		b = appendShort(b, "paymentNote", o.PaymentNote, 210)
		if postal {
			b = appendElement(b, "allCCP", strconv.FormatBool(o.AllPostal))
		}
		b = append(b, "</paymentOptionDescription>"...)
	}
	return append(b, "</"+list+">"...)
}

func (p *PSPPayable) append(b []byte) []byte {
	b = p.appendOptions(b, "paymentList", false)
	b = appendShort(b, "paymentDescription", p.Description, 210)
	b = appendOptional(b, "fiscalCodePA", p.CreditorCode, stFiscalCodePA)
	b = appendShort(b, "companyName", p.CompanyName, 140)
	return appendShort(b, "officeName", p.OfficeName, 140)
}

// appendStandIn says that the Node answers in the creditor's place; it is not
// written when it does not.
func appendStandIn(b []byte, standIn bool) []byte {
	if !standIn {
		return b
	}
	return appendElement(b, "standin", "true") // elsewhere it is spelt standIn
}

// VerifyNoticeRequest asks whether a notice can be paid
// (verifyPaymentNoticeReq).
type VerifyNoticeRequest struct {
	PSPHead
	QRCode
}

// Operation is VerifyPaymentNotice.
func (VerifyNoticeRequest) Operation() Operation { return VerifyPaymentNotice }

func readVerifyNoticeRequest(_ Operation, el *etree.Element) (Message, error) {
	return VerifyNoticeRequest{PSPHead: readPSPHead(el), QRCode: readQRCode(el)}, nil
}

// Append appends the request.
func (r VerifyNoticeRequest) Append(b []byte) []byte {
	root := requestRoots[r.Operation()]
	b = append(b, root.start...)
	b = r.PSPHead.append(b)
	b = r.QRCode.append(b)
	return append(b, root.end...)
}

// VerifyNoticeResponse answers a VerifyNoticeRequest. Its outcome is KO when
// there is a Fault, and then nothing else is written; so with all responses.
type VerifyNoticeResponse struct {
	Fault *Fault
	PSPPayable
	StandIn bool // not written when false
}

// Operation is VerifyPaymentNotice.
func (VerifyNoticeResponse) Operation() Operation { return VerifyPaymentNotice }

func readVerifyNoticeResponse(_ Operation, el *etree.Element) (Message, error) {
	fault, err := readFault(el)
	if fault != nil || err != nil {
		return VerifyNoticeResponse{Fault: fault}, err
	}
	payable, err := readPSPPayable(el, "paymentList")
	return VerifyNoticeResponse{PSPPayable: payable, StandIn: boolean(el, "standin")}, err
}

// Append appends the response.
func (r VerifyNoticeResponse) Append(b []byte) []byte {
	if r.Fault != nil {
		return AppendKO(b, r.Operation(), r.Fault)
	}
	root := responseRoots[r.Operation()]
	b = append(b, root.start...)
	b = appendOutcome(b, nil)
	b = r.PSPPayable.append(b)
	b = appendStandIn(b, r.StandIn)
	return append(b, root.end...)
}

// BollettinoRequest is Poste's VerifyNoticeRequest: it knows a notice by the
// Data Matrix of its postal form (verificaBollettinoReq).
type BollettinoRequest struct {
	PSPHead
	PostalAccount string // ccPost, 12 digits
	NoticeNumber  string // 18 digits, see iuv.Parse
}

// Operation is VerificaBollettino.
func (BollettinoRequest) Operation() Operation { return VerificaBollettino }

func readBollettinoRequest(_ Operation, el *etree.Element) (Message, error) {
	return BollettinoRequest{
		PSPHead:       readPSPHead(el),
		PostalAccount: value(el, "ccPost"),
		NoticeNumber:  value(el, "noticeNumber"),
	}, nil
}

// Append appends the request.
func (r BollettinoRequest) Append(b []byte) []byte {
	root := requestRoots[r.Operation()]
	b = append(b, root.start...)
	b = r.PSPHead.append(b)
	b = appendElement(b, "ccPost", r.PostalAccount)
	b = appendElement(b, "noticeNumber", r.NoticeNumber)
	return append(b, root.end...)
}

// BollettinoResponse answers a BollettinoRequest. The creditor's code and the
// notice number are what Poste needs to activate the notice.
type BollettinoResponse struct {
	Fault *Fault
	PSPPayable
	NoticeNumber string
	StandIn      bool // never written: the schema in production has no such element
}

// Operation is VerificaBollettino.
func (BollettinoResponse) Operation() Operation { return VerificaBollettino }

func readBollettinoResponse(_ Operation, el *etree.Element) (Message, error) {
	fault, err := readFault(el)
	if fault != nil || err != nil {
		return BollettinoResponse{Fault: fault}, err
	}
	payable, err := readPSPPayable(el, "paymentBollettinoList")
	return BollettinoResponse{
		PSPPayable:   payable,
		NoticeNumber: value(el, "noticeNumber"),
		StandIn:      boolean(el, "standin"),
	}, err
}

// Append appends the response.
func (r BollettinoResponse) Append(b []byte) []byte {
	if r.Fault != nil {
		return AppendKO(b, r.Operation(), r.Fault)
	}
	root := responseRoots[r.Operation()]
	b = append(b, root.start...)
	b = appendOutcome(b, nil)
	b = r.appendOptions(b, "paymentBollettinoList", true)
	b = appendShort(b, "paymentDescription", r.Description, 210)
	b = appendOptional(b, "fiscalCodePA", r.CreditorCode, stFiscalCodePA)
	b = appendOptional(b, "noticeNumber", r.NoticeNumber, stNoticeNumber)
	b = appendShort(b, "companyName", r.CompanyName, 140)
	b = appendShort(b, "officeName", r.OfficeName, 140)
	return append(b, root.end...)
}

// ActivateRequest asks for a token, with which the notice is nobody else's to
// pay (activatePaymentNoticeReq, activatePaymentNoticeV2Request).
type ActivateRequest struct {
	Version int // 1 or 2
	PSPHead
	IdempotencyKey string // the PSP's fiscal code, _ and 10 letters or digits; or empty
	QRCode
	// Expiration is how long the token is to live, in whole milliseconds. The
	// schema has 30 minutes for the most and nothing for the least: it may be
	// zero or negative.
	Expiration    *time.Duration
	Amount        money.Cents
	DueDate       string // YYYY-MM-DD, or empty
	PaymentNote   string
	PaymentMethod string // V2: BBT, BP, AD, CP, PO, OBEP, JIF, MYBK, PPAL or empty
	TouchPoint    string // V2: IO, WISP, CHECKOUT, PSP, ATM, BETTING, TS, HB, POS or empty
}

// Operation is ActivatePaymentNotice or ActivatePaymentNoticeV2.
func (r ActivateRequest) Operation() Operation {
	return versioned(r.Version, ActivatePaymentNotice, ActivatePaymentNoticeV2)
}

func readActivateRequest(op Operation, el *etree.Element) (Message, error) {
	r := ActivateRequest{
		Version:        version(op),
		PSPHead:        readPSPHead(el),
		IdempotencyKey: value(el, "idempotencyKey"),
		QRCode:         readQRCode(el),
		Amount:         cents(el, "amount"),
		DueDate:        token(el, "dueDate"),
		PaymentNote:    value(el, "paymentNote"),
		PaymentMethod:  value(el, "paymentMethod"),
		TouchPoint:     value(el, "touchPoint"),
	}
	if el.SelectElement("expirationTime") != nil {
		// What is too far below zero for a Duration is cut to what is not.
		ms := max(parseInteger(token(el, "expirationTime")), math.MinInt64/int64(time.Millisecond))
		life := time.Duration(ms) * time.Millisecond
		r.Expiration = &life
	}
	return r, nil
}

// Append appends the request.
func (r ActivateRequest) Append(b []byte) []byte {
	root := requestRoots[r.Operation()]
	b = append(b, root.start...)
	b = r.PSPHead.append(b)
	b = appendOptional(b, "idempotencyKey", r.IdempotencyKey, xsdString)
	b = r.QRCode.append(b)
	if r.Expiration != nil {
		b = appendElement(b, "expirationTime", strconv.FormatInt(r.Expiration.Milliseconds(), 10))
	}
	b = appendAmount(b, "amount", r.Amount)
	b = appendOptional(b, "dueDate", r.DueDate, stISODate)
	b = appendShort(b, "paymentNote", r.PaymentNote, 210)
	if r.Version == 2 {
		b = appendOptional(b, "paymentMethod", r.PaymentMethod, stPaymentMethodFee)
		b = appendOptional(b, "touchPoint", r.TouchPoint, stTouchpointFee)
	}
	return append(b, root.end...)
}

// Activation is a token and what it is for. What is marked V2 is neither read
// nor written in V1.
type Activation struct {
	Amount               money.Cents // totalAmount
	Description          string
	CreditorCode         string // fiscalCodePA
	CompanyName          string
	OfficeName           string
	Token                string // paymentToken, 1 to 35 characters
	Transfers            []Transfer
	Metadata             []Entry      // V2
	CreditorReferenceID  string       // the IUV
	SuggestedUserFee     *money.Cents // V2
	SuggestedCreditorFee *money.Cents // suggestedPaFee, V2
	SuggestedBundle      string       // V2
	SuggestedCIBundle    string       // V2
	AllPostal            bool         // allCCP, V2; not written when false
	StandIn              bool         // not written when false
}

// ActivateResponse answers an ActivateRequest of the same version.
type ActivateResponse struct {
	Version int
	Fault   *Fault
	Activation
}

// Operation is ActivatePaymentNotice or ActivatePaymentNoticeV2.
func (r ActivateResponse) Operation() Operation {
	return versioned(r.Version, ActivatePaymentNotice, ActivatePaymentNoticeV2)
}

func readActivateResponse(op Operation, el *etree.Element) (Message, error) {
	fault, err := readFault(el)
	if fault != nil || err != nil {
		return ActivateResponse{Version: version(op), Fault: fault}, err
	}
	// Without them there is nothing to pay, or no way to say that it was.
	for _, name := range []string{"totalAmount", "paymentToken"} {
		if el.SelectElement(name) == nil {
			return nil, absent(el, name)
		}
	}
	return ActivateResponse{Version: version(op), Activation: Activation{
		Amount:               cents(el, "totalAmount"),
		Description:          value(el, "paymentDescription"),
		CreditorCode:         value(el, "fiscalCodePA"),
		CompanyName:          value(el, "companyName"),
		OfficeName:           value(el, "officeName"),
		Token:                value(el, "paymentToken"),
		Transfers:            readTransfers(el),
		Metadata:             readMetadata(el),
		CreditorReferenceID:  value(el, "creditorReferenceId"),
		SuggestedUserFee:     optionalCents(el, "suggestedUserFee"),
		SuggestedCreditorFee: optionalCents(el, "suggestedPaFee"),
		SuggestedBundle:      value(el, "suggestedIdBundle"),
		SuggestedCIBundle:    value(el, "suggestedIdCiBundle"),
		AllPostal:            boolean(el, "allCCP"),
		StandIn:              boolean(el, "standin"),
	}}, nil
}

// Append appends the response.
func (r ActivateResponse) Append(b []byte) []byte {
	if r.Fault != nil {
		return AppendKO(b, r.Operation(), r.Fault)
	}
	kind := transferActivation
	if r.Version == 2 {
		kind = transferActivationV2
	}
	root := responseRoots[r.Operation()]
	b = append(b, root.start...)
	b = appendOutcome(b, nil)
	b = appendAmount(b, "totalAmount", r.Amount)
	b = appendShort(b, "paymentDescription", r.Description, 140)
	b = appendOptional(b, "fiscalCodePA", r.CreditorCode, stFiscalCodePA)
	b = appendShort(b, "companyName", r.CompanyName, 140)
	b = appendShort(b, "officeName", r.OfficeName, 140)
	b = appendElement(b, "paymentToken", r.Token)
	if len(r.Transfers) > 0 {
		b = appendTransfers(b, r.Transfers, kind)
	}
	if r.Version == 2 {
		b = appendMetadata(b, r.Metadata)
	}
	b = appendOptional(b, "creditorReferenceId", r.CreditorReferenceID, xsdString)
	if r.Version == 2 {
		b = appendOptionalAmount(b, "suggestedUserFee", r.SuggestedUserFee)
		b = appendOptionalAmount(b, "suggestedPaFee", r.SuggestedCreditorFee)
		b = appendShort(b, "suggestedIdBundle", r.SuggestedBundle, 70)
		b = appendShort(b, "suggestedIdCiBundle", r.SuggestedCIBundle, 70)
		if r.AllPostal {
			b = appendElement(b, "allCCP", "true")
		}
	}
	b = appendStandIn(b, r.StandIn)
	return append(b, root.end...)
}

// OutcomeRequest says how the payments of one or, in V2, up to five tokens
// ended (sendPaymentOutcomeReq, sendPaymentOutcomeV2Request).
type OutcomeRequest struct {
	Version int // 1 or 2; need not be that of the activation
	PSPHead
	IdempotencyKey string // as in an ActivateRequest
	Tokens         []string
	Outcome        string          // OK or KO
	Details        *OutcomeDetails // to be there with OK and absent with KO; the schema does not say so
}

// OutcomeDetails is how a payment was made (ctOutcomeDetails,
// ctOutcomeDetailsV2).
type OutcomeDetails struct {
	Method          string // paymentMethod: cash, creditCard, bancomat, other
	Channel         string // paymentChannel: frontOffice, atm, onLine, app, other, or empty
	Fee             money.Cents
	CreditorFee     *money.Cents // primaryCiIncurredFee, V2
	Bundle          string       // idBundle, V2
	CIBundle        string       // idCiBundle, V2
	Payer           *Subject
	ApplicationDate string  // YYYY-MM-DD, a zone behind it is allowed
	TransferDate    string  // the same
	Stamps          []Stamp // marcheDaBollo, at most 25, V2
}

// Stamp is a digital revenue stamp that was issued (ctMarcaDaBollo).
type Stamp struct {
	Token      string
	TransferID int    // 1 to 5, of the payment of that token
	Attachment string // MBDAttachment, base64 without blanks
}

// Operation is SendPaymentOutcome or SendPaymentOutcomeV2.
func (r OutcomeRequest) Operation() Operation {
	return versioned(r.Version, SendPaymentOutcome, SendPaymentOutcomeV2)
}

func readOutcomeRequest(op Operation, el *etree.Element) (Message, error) {
	r := OutcomeRequest{
		Version:        version(op),
		PSPHead:        readPSPHead(el),
		IdempotencyKey: value(el, "idempotencyKey"),
		Outcome:        value(el, "outcome"),
	}
	if tokens := el.SelectElement("paymentTokens"); tokens != nil {
		for token := range tokens.ChildElementsSeq() {
			r.Tokens = append(r.Tokens, token.Text())
		}
	} else {
		r.Tokens = []string{value(el, "paymentToken")}
	}
	if details := el.SelectElement("details"); details != nil {
		r.Details = readOutcomeDetails(details)
	}
	return r, nil
}

func readOutcomeDetails(el *etree.Element) *OutcomeDetails {
	d := &OutcomeDetails{
		Method:          value(el, "paymentMethod"),
		Channel:         value(el, "paymentChannel"),
		Fee:             cents(el, "fee"),
		CreditorFee:     optionalCents(el, "primaryCiIncurredFee"),
		Bundle:          value(el, "idBundle"),
		CIBundle:        value(el, "idCiBundle"),
		ApplicationDate: token(el, "applicationDate"),
		TransferDate:    token(el, "transferDate"),
	}
	if payer := el.SelectElement("payer"); payer != nil {
		subject := readSubject(payer)
		d.Payer = &subject
	}
	if stamps := el.SelectElement("marcheDaBollo"); stamps != nil {
		for el := range stamps.ChildElementsSeq() {
			id, _ := strconv.Atoi(token(el, "idTransfer")) // parsed before, as stIdTransfer
			d.Stamps = append(d.Stamps, Stamp{
				Token:      value(el, "paymentToken"),
				TransferID: id,
				Attachment: strings.ReplaceAll(token(el, "MBDAttachment"), " ", ""),
			})
		}
	}
	return d
}

// Append appends the request.
func (r OutcomeRequest) Append(b []byte) []byte {
	root := requestRoots[r.Operation()]
	b = append(b, root.start...)
	b = r.PSPHead.append(b)
	b = appendOptional(b, "idempotencyKey", r.IdempotencyKey, xsdString)
	if r.Version == 2 {
		b = append(b, "<paymentTokens>"...)
	}
	for _, token := range r.Tokens {
		b = appendElement(b, "paymentToken", token)
	}
	if r.Version == 2 {
		b = append(b, "</paymentTokens>"...)
	}
	b = appendElement(b, "outcome", r.Outcome)
	if r.Details != nil {
		b = append(b, "<details>"...)
		b = r.Details.append(b, r.Version)
		b = append(b, "</details>"...)
	}
	return append(b, root.end...)
}

// append appends what stands in the details element.
func (d *OutcomeDetails) append(b []byte, version int) []byte {
	b = appendElement(b, "paymentMethod", d.Method)
	b = appendOptional(b, "paymentChannel", d.Channel, stPaymentChannel)
	b = appendAmount(b, "fee", d.Fee)
	if version == 2 {
		b = appendOptionalAmount(b, "primaryCiIncurredFee", d.CreditorFee)
		b = appendShort(b, "idBundle", d.Bundle, 70)
		b = appendShort(b, "idCiBundle", d.CIBundle, 70)
	}
	if d.Payer != nil {
		b = append(b, "<payer>"...)
		b = d.Payer.append(b)
		b = append(b, "</payer>"...)
	}
	b = appendElement(b, "applicationDate", d.ApplicationDate)
	b = appendElement(b, "transferDate", d.TransferDate)
	if version == 2 && len(d.Stamps) > 0 {
		b = append(b, "<marcheDaBollo>"...)
		for i := range d.Stamps {
			s := &d.Stamps[i]
			b = append(b, "<marcaDaBollo>"...)
			b = appendElement(b, "paymentToken", s.Token)
			b = appendElement(b, "idTransfer", strconv.Itoa(s.TransferID))
			b = appendElement(b, "MBDAttachment", s.Attachment)
			b = append(b, "</marcaDaBollo>"...)
		}
		b = append(b, "</marcheDaBollo>"...)
	}
	return b
}

// OutcomeResponse answers an OutcomeRequest of the same version: OK, or a
// Fault.
type OutcomeResponse struct {
	Version int
	Fault   *Fault
}

// Operation is SendPaymentOutcome or SendPaymentOutcomeV2.
func (r OutcomeResponse) Operation() Operation {
	return versioned(r.Version, SendPaymentOutcome, SendPaymentOutcomeV2)
}

func readOutcomeResponse(op Operation, el *etree.Element) (Message, error) {
	fault, err := readFault(el)
	return OutcomeResponse{Version: version(op), Fault: fault}, err
}

// Append appends the response.
func (r OutcomeResponse) Append(b []byte) []byte {
	root := responseRoots[r.Operation()]
	b = append(b, root.start...)
	b = appendOutcome(b, r.Fault)
	return append(b, root.end...)
}

// DemandNoticeRequest asks for a notice that does not exist yet
// (demandPaymentNoticeRequest). The Node knows the service from its subject.
type DemandNoticeRequest struct {
	PSPHead
	ServiceSubject string // idSoggettoServizio, 5 characters
	Data           []byte // datiSpecificiServizio, decoded: XML of the service's own schema
}

// Operation is DemandPaymentNotice.
func (DemandNoticeRequest) Operation() Operation { return DemandPaymentNotice }

func readDemandNoticeRequest(_ Operation, el *etree.Element) (Message, error) {
	data, _ := decodeBase64(token(el, "datiSpecificiServizio")) // decoded before, as base64Binary
	return DemandNoticeRequest{
		PSPHead:        readPSPHead(el),
		ServiceSubject: value(el, "idSoggettoServizio"),
		Data:           data,
	}, nil
}

// Append appends the request.
func (r DemandNoticeRequest) Append(b []byte) []byte {
	root := requestRoots[r.Operation()]
	b = append(b, root.start...)
	b = r.PSPHead.append(b)
	b = appendElement(b, "idSoggettoServizio", r.ServiceSubject)
	b = appendElement(b, "datiSpecificiServizio", base64.StdEncoding.EncodeToString(r.Data))
	return append(b, root.end...)
}

// DemandNoticeResponse answers a DemandNoticeRequest: the notice that was
// made, or a Fault.
type DemandNoticeResponse struct {
	Fault  *Fault
	QRCode *QRCode
	PSPPayable
}

// Operation is DemandPaymentNotice.
func (DemandNoticeResponse) Operation() Operation { return DemandPaymentNotice }

func readDemandNoticeResponse(_ Operation, el *etree.Element) (Message, error) {
	fault, err := readFault(el)
	if fault != nil || err != nil {
		return DemandNoticeResponse{Fault: fault}, err
	}
	if el.SelectElement("qrCode") == nil {
		return nil, absent(el, "qrCode")
	}
	qr := readQRCode(el)
	payable, err := readPSPPayable(el, "paymentList")
	return DemandNoticeResponse{QRCode: &qr, PSPPayable: payable}, err
}

// Append appends the response.
func (r DemandNoticeResponse) Append(b []byte) []byte {
	if r.Fault != nil {
		return AppendKO(b, r.Operation(), r.Fault)
	}
	root := responseRoots[r.Operation()]
	b = append(b, root.start...)
	b = appendOutcome(b, nil)
	if r.QRCode != nil {
		b = r.QRCode.append(b)
	}
	b = r.PSPPayable.append(b)
	return append(b, root.end...)
}
