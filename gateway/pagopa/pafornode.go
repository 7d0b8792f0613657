// SPDX-License-Identifier: Apache-2.0

package pagopa

import (
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/beevik/etree"

	"github.com/nodogate/nodogate/gateway/money"
)

// Target is whom the Node believes it talks to; every request begins with it.
type Target struct {
	PA      string // idPA: the creditor's fiscal code
	Broker  string // idBrokerPA: the fiscal code of its intermediary
	Station string // idStation
}

func readTarget(el *etree.Element) Target {
	return Target{PA: value(el, "idPA"), Broker: value(el, "idBrokerPA"), Station: value(el, "idStation")}
}

func (t Target) append(b []byte) []byte {
	b = appendElement(b, "idPA", t.PA)
	b = appendElement(b, "idBrokerPA", t.Broker)
	return appendElement(b, "idStation", t.Station)
}

// QRCode names a notice by what its QR code says (ctQrCode).
type QRCode struct {
	CreditorCode string // fiscalCode: of who issued the notice
	NoticeNumber string // 18 digits; not yet a notice number, see iuv.Parse
}

func readQRCode(el *etree.Element) QRCode {
	el = el.SelectElement("qrCode")
	return QRCode{CreditorCode: value(el, "fiscalCode"), NoticeNumber: value(el, "noticeNumber")}
}

func (q QRCode) append(b []byte) []byte {
	b = append(b, "<qrCode>"...)
	b = appendElement(b, "fiscalCode", q.CreditorCode)
	b = appendElement(b, "noticeNumber", q.NoticeNumber)
	return append(b, "</qrCode>"...)
}

// Entry is one key and value of metadata (ctMapEntry).
type Entry struct{ Key, Value string }

func readMetadata(el *etree.Element) []Entry {
	el = el.SelectElement("metadata")
	if el == nil {
		return nil
	}
	var entries []Entry
	for entry := range el.ChildElementsSeq() {
		entries = append(entries, Entry{Key: value(entry, "key"), Value: value(entry, "value")})
	}
	return entries
}

func appendMetadata(b []byte, entries []Entry) []byte {
	if len(entries) == 0 {
		return b
	}
	b = append(b, "<metadata>"...)
	for _, e := range entries {
		b = append(b, "<mapEntry>"...)
		b = appendText(b, "key", e.Key, 140)
		b = appendText(b, "value", e.Value, 140)
		b = append(b, "</mapEntry>"...)
	}
	return append(b, "</metadata>"...)
}

// Subject is a debtor or payer (ctSubject).
type Subject struct {
	Type     string // F a person, G an organisation
	ID       string // fiscal code, 2 to 16 characters, or ANONIMO
	FullName string
	Street   string
	Civic    string
	Postcode string
	City     string
	Province string
	Country  string // two upper-case letters; anything else is not written
	Email    string // not written when the schema would not take it
}

func readSubject(el *etree.Element) Subject {
	id := el.SelectElement("uniqueIdentifier")
	return Subject{
		Type:     value(id, "entityUniqueIdentifierType"),
		ID:       value(id, "entityUniqueIdentifierValue"),
		FullName: value(el, "fullName"),
		Street:   value(el, "streetName"),
		Civic:    value(el, "civicNumber"),
		Postcode: value(el, "postalCode"),
		City:     value(el, "city"),
		Province: value(el, "stateProvinceRegion"),
		Country:  value(el, "country"),
		Email:    value(el, "e-mail"),
	}
}

// append appends what stands in the debtor or payer element.
func (s *Subject) append(b []byte) []byte {
	b = append(b, "<uniqueIdentifier>"...)
	b = appendElement(b, "entityUniqueIdentifierType", s.Type)
	b = appendElement(b, "entityUniqueIdentifierValue", s.ID)
	b = append(b, "</uniqueIdentifier>"...)
	b = appendText(b, "fullName", s.FullName, 70)
	b = appendShort(b, "streetName", s.Street, 70)
	b = appendShort(b, "civicNumber", s.Civic, 16)
	b = appendShort(b, "postalCode", s.Postcode, 16)
	b = appendShort(b, "city", s.City, 35)
	b = appendShort(b, "stateProvinceRegion", s.Province, 35)
	b = appendOptional(b, "country", s.Country, stNazioneProvincia)
	return appendOptional(b, "e-mail", s.Email, stEMail)
}

// Transfer is one credit, of a payment (ctTransferPA, ctTransferPAV2), of a
// receipt (ctTransferPA, ctTransferPAReceiptV2) or of an activation
// (ctTransferPSP, ctTransferPSPV2). Where the money goes is one of IBAN,
// StampRequest and Stamp; V1 knows only IBAN, and no Company.
type Transfer struct {
	ID           int // 1 to 5
	Amount       money.Cents
	Creditor     string // fiscalCodePA
	Company      string
	IBAN         string
	StampRequest *StampRequest // richiestaMarcaDaBollo, in a payment
	Stamp        string        // MBDAttachment, base64 without blanks, in a receipt
	Remittance   string
	Category     string // not in an activation of V1
	Metadata     []Entry
}

// StampRequest asks the payer's PSP for a digital revenue stamp
// (ctRichiestaMarcaDaBollo, marca da bollo).
type StampRequest struct {
	Hash     string // hashDocumento: base64 of 4 to 72 characters
	Type     string // tipoBollo: 01
	Province string // provinciaResidenza: two upper-case letters
}

// transferKind is which of the schemas a transfer is written in.
type transferKind int

const (
	transferV1 transferKind = iota
	transferPaymentV2
	transferReceiptV2
	transferActivation
	transferActivationV2
)

func readTransfers(el *etree.Element) []Transfer {
	el = el.SelectElement("transferList")
	if el == nil {
		return nil
	}
	var transfers []Transfer
	for el := range el.ChildElementsSeq() {
		id, _ := strconv.Atoi(token(el, "idTransfer")) // parsed before, as stIdTransfer
		t := Transfer{
			ID:         id,
			Amount:     cents(el, "transferAmount"),
			Creditor:   value(el, "fiscalCodePA"),
			Company:    value(el, "companyName"),
			IBAN:       value(el, "IBAN"),
			Stamp:      strings.ReplaceAll(token(el, "MBDAttachment"), " ", ""),
			Remittance: value(el, "remittanceInformation"),
			Category:   value(el, "transferCategory"),
			Metadata:   readMetadata(el),
		}
		if request := el.SelectElement("richiestaMarcaDaBollo"); request != nil {
			t.StampRequest = &StampRequest{
				Hash:     token(request, "hashDocumento"),
				Type:     value(request, "tipoBollo"),
				Province: value(request, "provinciaResidenza"),
			}
		}
		transfers = append(transfers, t)
	}
	return transfers
}

func appendTransfers(b []byte, transfers []Transfer, kind transferKind) []byte {
	b = append(b, "<transferList>"...)
	for i := range transfers {
		t := &transfers[i]
		b = append(b, "<transfer>"...)
		b = appendElement(b, "idTransfer", strconv.Itoa(t.ID))
		b = appendAmount(b, "transferAmount", t.Amount)
		b = appendElement(b, "fiscalCodePA", t.Creditor)
		if kind != transferV1 && kind != transferActivation {
			b = appendShort(b, "companyName", t.Company, 140)
		}
		switch {
		case (kind == transferPaymentV2 || kind == transferActivationV2) && t.StampRequest != nil:
			b = append(b, "<richiestaMarcaDaBollo>"...)
			b = appendElement(b, "hashDocumento", t.StampRequest.Hash)
			b = appendElement(b, "tipoBollo", t.StampRequest.Type)
			b = appendElement(b, "provinciaResidenza", t.StampRequest.Province)
			b = append(b, "</richiestaMarcaDaBollo>"...)
		case kind == transferReceiptV2 && t.IBAN == "":
			b = appendElement(b, "MBDAttachment", t.Stamp)
		case kind == transferActivationV2 && t.IBAN == "":
			// The one schema in which the choice may be left out.
		default:
			b = appendElement(b, "IBAN", t.IBAN)
		}
		b = appendText(b, "remittanceInformation", t.Remittance, 140)
		switch kind {
		case transferActivation:
		case transferActivationV2:
			b = appendShort(b, "transferCategory", t.Category, 140)
		default:
			b = appendText(b, "transferCategory", t.Category, 140)
		}
		b = appendMetadata(b, t.Metadata)
		b = append(b, "</transfer>"...)
	}
	return append(b, "</transferList>"...)
}

// VerifyRequest asks whether a notice can be paid (paVerifyPaymentNoticeReq).
type VerifyRequest struct {
	Target
	QRCode
}

// Operation is PaVerifyPaymentNotice.
func (VerifyRequest) Operation() Operation { return PaVerifyPaymentNotice }

func readVerifyRequest(_ Operation, el *etree.Element) (Message, error) {
	return VerifyRequest{Target: readTarget(el), QRCode: readQRCode(el)}, nil
}

// Append appends the request.
func (r VerifyRequest) Append(b []byte) []byte {
	root := requestRoots[r.Operation()]
	b = append(b, root.start...)
	b = r.Target.append(b)
	b = r.QRCode.append(b)
	return append(b, root.end...)
}

// PaymentOption is what can be paid for a notice (ctPaymentOptionDescriptionPA).
type PaymentOption struct {
	Amount  money.Cents
	Options string // EQ: exactly the amount. The schema has LS, GT and ANY too; the Node takes only EQ
	DueDate string // YYYY-MM-DD, or empty
	Detail  string
	// AllPostal is allCCP: every transfer can go to a postal account.
	AllPostal bool
}

// Payable says what a notice asks for; paVerifyPaymentNoticeRes and
// paDemandPaymentNoticeResponse share it. With outcome OK the Node wants all
// of it but the office.
type Payable struct {
	Option       *PaymentOption
	Description  string
	CreditorCode string // fiscalCodePA
	CompanyName  string
	OfficeName   string
}

func readPayable(el *etree.Element) Payable {
	p := Payable{
		Description:  value(el, "paymentDescription"),
		CreditorCode: value(el, "fiscalCodePA"),
		CompanyName:  value(el, "companyName"),
		OfficeName:   value(el, "officeName"),
	}
	if list := el.SelectElement("paymentList"); list != nil {
		option := list.SelectElement("paymentOptionDescription")
		p.Option = &PaymentOption{
			Amount:    cents(option, "amount"),
			Options:   value(option, "options"),
			DueDate:   token(option, "dueDate"),
			Detail:    value(option, "detailDescription"),
			AllPostal: boolean(option, "allCCP"),
		}
	}
	return p
}

func (p *Payable) append(b []byte) []byte {
	if o := p.Option; o != nil {
		b = append(b, "<paymentList><paymentOptionDescription>"...)
		b = appendAmount(b, "amount", o.Amount)
		b = appendElement(b, "options", o.Options)
		b = appendOptional(b, "dueDate", o.DueDate, stISODate)
		b = appendShort(b, "detailDescription", o.Detail, 140)
		b = appendElement(b, "allCCP", strconv.FormatBool(o.AllPostal))
		b = append(b, "</paymentOptionDescription></paymentList>"...)
	}
	b = appendShort(b, "paymentDescription", p.Description, 140)
	b = appendOptional(b, "fiscalCodePA", p.CreditorCode, stFiscalCodePA)
	b = appendShort(b, "companyName", p.CompanyName, 140)
	return appendShort(b, "officeName", p.OfficeName, 140)
}

// VerifyResponse answers a VerifyRequest. Its outcome is KO when there is a
// Fault, and then nothing else is written.
type VerifyResponse struct {
	Fault *Fault
	Payable
}

// Operation is PaVerifyPaymentNotice.
func (VerifyResponse) Operation() Operation { return PaVerifyPaymentNotice }

func readVerifyResponse(_ Operation, el *etree.Element) (Message, error) {
	fault, err := readFault(el)
	if fault != nil || err != nil {
		return VerifyResponse{Fault: fault}, err
	}
	r := VerifyResponse{Payable: readPayable(el)}
	if r.Option == nil {
		return nil, absent(el, "paymentList")
	}
	return r, nil
}

// Append appends the response.
func (r VerifyResponse) Append(b []byte) []byte {
	if r.Fault != nil {
		return AppendKO(b, r.Operation(), r.Fault)
	}
	root := responseRoots[r.Operation()]
	b = append(b, root.start...)
	b = appendOutcome(b, nil)
	b = r.Payable.append(b)
	return append(b, root.end...)
}

// GetPaymentRequest asks for all that a payment needs (paGetPaymentReq,
// paGetPaymentV2Request).
type GetPaymentRequest struct {
	Version int // 1 or 2
	Target
	QRCode
	Amount       *money.Cents
	PaymentNote  string // the id of the Checkout cart, when there was one
	TransferType string // POSTAL, PAGOPA or empty: which kind of account is wanted
	DueDate      string // YYYY-MM-DD, or empty
}

// Operation is PaGetPayment or PaGetPaymentV2.
func (r GetPaymentRequest) Operation() Operation {
	return versioned(r.Version, PaGetPayment, PaGetPaymentV2)
}

func readGetPaymentRequest(op Operation, el *etree.Element) (Message, error) {
	return GetPaymentRequest{
		Version:      version(op),
		Target:       readTarget(el),
		QRCode:       readQRCode(el),
		Amount:       optionalCents(el, "amount"),
		PaymentNote:  value(el, "paymentNote"),
		TransferType: value(el, "transferType"),
		DueDate:      token(el, "dueDate"),
	}, nil
}

// Append appends the request.
func (r GetPaymentRequest) Append(b []byte) []byte {
	root := requestRoots[r.Operation()]
	b = append(b, root.start...)
	b = r.Target.append(b)
	b = r.QRCode.append(b)
	b = appendOptionalAmount(b, "amount", r.Amount)
	b = appendShort(b, "paymentNote", r.PaymentNote, 210)
	b = appendOptional(b, "transferType", r.TransferType, stTransferType)
	b = appendOptional(b, "dueDate", r.DueDate, stISODate)
	return append(b, root.end...)
}

// Payment is what is to be paid and where it goes (ctPaymentPA, ctPaymentPAV2).
type Payment struct {
	CreditorReferenceID string // the IUV
	Amount              money.Cents
	DueDate             string // YYYY-MM-DD; required, unlike elsewhere
	RetentionDate       string // dateTime, or empty
	LastPayment         bool   // not written when false
	Description         string
	CompanyName         string // required in V2
	OfficeName          string
	Debtor              Subject
	Transfers           []Transfer // 1 to 5, summing to Amount
	Metadata            []Entry    // at most 15; comes back in the receipt
}

// GetPaymentResponse answers a GetPaymentRequest of the same version. Exactly
// one of Fault and Payment is set.
type GetPaymentResponse struct {
	Version int
	Fault   *Fault
	Payment *Payment
}

// Operation is PaGetPayment or PaGetPaymentV2.
func (r GetPaymentResponse) Operation() Operation {
	return versioned(r.Version, PaGetPayment, PaGetPaymentV2)
}

func readGetPaymentResponse(op Operation, el *etree.Element) (Message, error) {
	fault, err := readFault(el)
	if fault != nil || err != nil {
		return GetPaymentResponse{Version: version(op), Fault: fault}, err
	}
	data := el.SelectElement("data")
	if data == nil {
		return nil, absent(el, "data")
	}
	return GetPaymentResponse{Version: version(op), Payment: &Payment{
		CreditorReferenceID: value(data, "creditorReferenceId"),
		Amount:              cents(data, "paymentAmount"),
		DueDate:             token(data, "dueDate"),
		RetentionDate:       token(data, "retentionDate"),
		LastPayment:         boolean(data, "lastPayment"),
		Description:         value(data, "description"),
		CompanyName:         value(data, "companyName"),
		OfficeName:          value(data, "officeName"),
		Debtor:              readSubject(data.SelectElement("debtor")),
		Transfers:           readTransfers(data),
		Metadata:            readMetadata(data),
	}}, nil
}

// Append appends the response.
func (r GetPaymentResponse) Append(b []byte) []byte {
	if r.Fault != nil {
		return AppendKO(b, r.Operation(), r.Fault)
	}
	p, kind := r.Payment, transferV1
	root := responseRoots[r.Operation()]
	b = append(b, root.start...)
	b = appendOutcome(b, nil)
	b = append(b, "<data>"...)
	b = appendElement(b, "creditorReferenceId", p.CreditorReferenceID)
	b = appendAmount(b, "paymentAmount", p.Amount)
	b = appendElement(b, "dueDate", p.DueDate)
	b = appendOptional(b, "retentionDate", p.RetentionDate, xsdDateTime)
	if p.LastPayment {
		b = appendElement(b, "lastPayment", "true")
	}
	b = appendText(b, "description", p.Description, 140)
	if r.Version == 2 {
		kind = transferPaymentV2
		b = appendText(b, "companyName", p.CompanyName, 140)
	} else {
		b = appendShort(b, "companyName", p.CompanyName, 140)
	}
	b = appendShort(b, "officeName", p.OfficeName, 140)
	b = append(b, "<debtor>"...)
	b = p.Debtor.append(b)
	b = append(b, "</debtor>"...)
	b = appendTransfers(b, p.Transfers, kind)
	b = appendMetadata(b, p.Metadata)
	b = append(b, "</data>"...)
	return append(b, root.end...)
}

// SendRTRequest brings a receipt (paSendRTReq, paSendRTV2Request).
type SendRTRequest struct {
	Version int // 1 or 2; need not be that of the paGetPayment before
	Target
	Receipt Receipt
}

// Operation is PaSendRT or PaSendRTV2.
func (r SendRTRequest) Operation() Operation { return versioned(r.Version, PaSendRT, PaSendRTV2) }

func readSendRTRequest(op Operation, el *etree.Element) (Message, error) {
	return SendRTRequest{
		Version: version(op),
		Target:  readTarget(el),
		Receipt: readReceipt(el.SelectElement("receipt")),
	}, nil
}

// Append appends the request.
func (r SendRTRequest) Append(b []byte) []byte {
	root := requestRoots[r.Operation()]
	b = append(b, root.start...)
	b = r.Target.append(b)
	b = append(b, "<receipt>"...)
	b = r.Receipt.append(b, r.Version)
	b = append(b, "</receipt>"...)
	return append(b, root.end...)
}

// Receipt is ctReceiptV2, field by field; ctReceipt lacks some of them, which
// are then neither read nor written. An absent optional text is empty.
type Receipt struct {
	ID                  string // receiptId: of any length the limits of a message allow
	NoticeNumber        string // 18 digits, see iuv.Parse
	CreditorCode        string // fiscalCode
	Outcome             string // OK or KO
	CreditorReferenceID string
	Amount              money.Cents
	Description         string
	CompanyName         string
	OfficeName          string
	Debtor              Subject
	Transfers           []Transfer
	PSPID               string // idPSP
	PSPFiscalCode       string
	PSPVAT              string // pspPartitaIVA
	PSPName             string // PSPCompanyName
	Channel             string // idChannel
	ChannelDescription  string
	Payer               *Subject
	Method              string // paymentMethod
	PaymentNote         string // V2
	Fee                 *money.Cents
	CreditorFee         *money.Cents // primaryCiIncurredFee, V2
	Bundle              string       // idBundle, V2
	CIBundle            string       // idCiBundle, V2
	PaidAt              string       // paymentDateTime, see ParseDateTime; a zone is optional
	ApplicationDate     string       // YYYY-MM-DD, a zone behind it is allowed
	TransferDate        string       // the same
	Metadata            []Entry
	StandIn             bool // not written when false
}

func readReceipt(el *etree.Element) Receipt {
	r := Receipt{
		ID:                  value(el, "receiptId"),
		NoticeNumber:        value(el, "noticeNumber"),
		CreditorCode:        value(el, "fiscalCode"),
		Outcome:             value(el, "outcome"),
		CreditorReferenceID: value(el, "creditorReferenceId"),
		Amount:              cents(el, "paymentAmount"),
		Description:         value(el, "description"),
		CompanyName:         value(el, "companyName"),
		OfficeName:          value(el, "officeName"),
		Debtor:              readSubject(el.SelectElement("debtor")),
		Transfers:           readTransfers(el),
		PSPID:               value(el, "idPSP"),
		PSPFiscalCode:       value(el, "pspFiscalCode"),
		PSPVAT:              value(el, "pspPartitaIVA"),
		PSPName:             value(el, "PSPCompanyName"),
		Channel:             value(el, "idChannel"),
		ChannelDescription:  value(el, "channelDescription"),
		Method:              value(el, "paymentMethod"),
		PaymentNote:         value(el, "paymentNote"),
		Fee:                 optionalCents(el, "fee"),
		CreditorFee:         optionalCents(el, "primaryCiIncurredFee"),
		Bundle:              value(el, "idBundle"),
		CIBundle:            value(el, "idCiBundle"),
		PaidAt:              token(el, "paymentDateTime"),
		ApplicationDate:     token(el, "applicationDate"),
		TransferDate:        token(el, "transferDate"),
		Metadata:            readMetadata(el),
		StandIn:             boolean(el, "standIn"),
	}
	if payer := el.SelectElement("payer"); payer != nil {
		subject := readSubject(payer)
		r.Payer = &subject
	}
	return r
}

// append appends what stands in the receipt element.
func (r *Receipt) append(b []byte, version int) []byte {
	kind := transferV1
	if version == 2 {
		kind = transferReceiptV2
	}
	b = appendElement(b, "receiptId", r.ID)
	b = appendElement(b, "noticeNumber", r.NoticeNumber)
	b = appendElement(b, "fiscalCode", r.CreditorCode)
	b = appendElement(b, "outcome", r.Outcome)
	b = appendElement(b, "creditorReferenceId", r.CreditorReferenceID)
	b = appendAmount(b, "paymentAmount", r.Amount)
	b = appendText(b, "description", r.Description, 140)
	b = appendText(b, "companyName", r.CompanyName, 140)
	b = appendShort(b, "officeName", r.OfficeName, 140)
	b = append(b, "<debtor>"...)
	b = r.Debtor.append(b)
	b = append(b, "</debtor>"...)
	b = appendTransfers(b, r.Transfers, kind)
	b = appendElement(b, "idPSP", r.PSPID)
	b = appendShort(b, "pspFiscalCode", r.PSPFiscalCode, 70)
	b = appendShort(b, "pspPartitaIVA", r.PSPVAT, 20)
	b = appendText(b, "PSPCompanyName", r.PSPName, 70)
	b = appendElement(b, "idChannel", r.Channel)
	b = appendText(b, "channelDescription", r.ChannelDescription, 35)
	if r.Payer != nil {
		b = append(b, "<payer>"...)
		b = r.Payer.append(b)
		b = append(b, "</payer>"...)
	}
	b = appendShort(b, "paymentMethod", r.Method, 35)
	if version == 2 {
		b = appendShort(b, "paymentNote", r.PaymentNote, 210)
	}
	b = appendOptionalAmount(b, "fee", r.Fee)
	if version == 2 {
		b = appendOptionalAmount(b, "primaryCiIncurredFee", r.CreditorFee)
		b = appendShort(b, "idBundle", r.Bundle, 70)
		b = appendShort(b, "idCiBundle", r.CIBundle, 70)
	}
	b = appendOptional(b, "paymentDateTime", r.PaidAt, stISODateTime)
	b = appendOptional(b, "applicationDate", r.ApplicationDate, stISODate)
	b = appendOptional(b, "transferDate", r.TransferDate, stISODate)
	b = appendMetadata(b, r.Metadata)
	if r.StandIn {
		b = appendElement(b, "standIn", "true")
	}
	return b
}

// SendRTResponse answers a SendRTRequest of the same version: OK, or a Fault.
type SendRTResponse struct {
	Version int
	Fault   *Fault
}

// Operation is PaSendRT or PaSendRTV2.
func (r SendRTResponse) Operation() Operation { return versioned(r.Version, PaSendRT, PaSendRTV2) }

func readSendRTResponse(op Operation, el *etree.Element) (Message, error) {
	fault, err := readFault(el)
	return SendRTResponse{Version: version(op), Fault: fault}, err
}

// Append appends the response.
func (r SendRTResponse) Append(b []byte) []byte {
	root := responseRoots[r.Operation()]
	b = append(b, root.start...)
	b = appendOutcome(b, r.Fault)
	return append(b, root.end...)
}

// DemandRequest asks for a notice that does not exist yet, for a service of
// the catalogue (paDemandPaymentNoticeRequest).
type DemandRequest struct {
	Target
	Service        string // idServizio, 5 characters
	ServiceSubject string // idSoggettoServizio, 5 characters
	Data           []byte // datiSpecificiServizioRequest, decoded: XML of the service's own schema
}

// Operation is PaDemandPaymentNotice.
func (DemandRequest) Operation() Operation { return PaDemandPaymentNotice }

func readDemandRequest(_ Operation, el *etree.Element) (Message, error) {
	data, _ := decodeBase64(token(el, "datiSpecificiServizioRequest")) // decoded before, as base64Binary
	return DemandRequest{
		Target:         readTarget(el),
		Service:        value(el, "idServizio"),
		ServiceSubject: value(el, "idSoggettoServizio"),
		Data:           data,
	}, nil
}

// Append appends the request.
func (r DemandRequest) Append(b []byte) []byte {
	root := requestRoots[r.Operation()]
	b = append(b, root.start...)
	b = r.Target.append(b)
	b = appendElement(b, "idServizio", r.Service)
	b = appendElement(b, "idSoggettoServizio", r.ServiceSubject)
	b = appendElement(b, "datiSpecificiServizioRequest", base64.StdEncoding.EncodeToString(r.Data))
	return append(b, root.end...)
}

// DemandResponse answers a DemandRequest: the notice that was made, or a Fault.
type DemandResponse struct {
	Fault  *Fault
	QRCode *QRCode
	Payable
}

// Operation is PaDemandPaymentNotice.
func (DemandResponse) Operation() Operation { return PaDemandPaymentNotice }

func readDemandResponse(_ Operation, el *etree.Element) (Message, error) {
	fault, err := readFault(el)
	if fault != nil || err != nil {
		return DemandResponse{Fault: fault}, err
	}
	r := DemandResponse{Payable: readPayable(el)}
	if el.SelectElement("qrCode") == nil || r.Option == nil {
		return nil, absent(el, "qrCode or paymentList")
	}
	qr := readQRCode(el)
	r.QRCode = &qr
	return r, nil
}

// Append appends the response.
func (r DemandResponse) Append(b []byte) []byte {
	if r.Fault != nil {
		return AppendKO(b, r.Operation(), r.Fault)
	}
	root := responseRoots[r.Operation()]
	b = append(b, root.start...)
	b = appendOutcome(b, nil)
	if r.QRCode != nil {
		b = r.QRCode.append(b)
	}
	b = r.Payable.append(b)
	return append(b, root.end...)
}
