// SPDX-License-Identifier: Apache-2.0

// Package nodeforpsp is the node face: the SOAP service nodeForPsp, for PSPs
// that are linked straight to us. Here a notice is kept for one payer by a
// token, and a PSP's outcome becomes a receipt of our making.
//
// Envelopes are gateway/soap's, messages gateway/pagopa's, tokens and receipts
// the gateway's; here is who may call, the translation, and the table of PPT
// codes. Only notices of the schools of this installation can be paid here: a
// notice of another creditor, whom the national node reaches, is out of scope.
//
// What a caller gets wrong: a KO with PPT_TOKEN_SCADUTO or
// PPT_PAGAMENTO_DUPLICATO to an outcome OK does not mean that nothing was
// recorded. The money that the PSP took is on record, as an anomaly.
package nodeforpsp

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/pagopa"
	"github.com/nodogate/nodogate/gateway/soap"
	"github.com/nodogate/nodogate/iuv"
	"github.com/nodogate/nodogate/receipts"
)

// Path is where the face is mounted.
const Path = "/soap/node-for-psp"

// PSP is a provider that may call, with the password of its channel.
type PSP struct {
	gateway.Peer
	Password [sha256.Size]byte // SHA-256 of the password
	// Gone is a provider that is no longer listed: it may tell the outcomes of
	// payments it began, and nothing else.
	Gone bool
}

// Config is what the face is made of; Service, PSP and Duration are required.
type Config struct {
	Service *gateway.Service
	// PSP looks a provider up at each call, since who may call can change.
	PSP      func(gateway.PSPID) (p PSP, known bool)
	Duration *prometheus.HistogramVec // see soap.NewDuration
	Log      *slog.Logger             // nil: silent
}

type face struct {
	svc *gateway.Service
	psp func(gateway.PSPID) (PSP, bool)
	log *slog.Logger
}

// New makes the face.
func New(cfg Config) http.Handler {
	f := &face{cfg.Service, cfg.PSP, cmp.Or(cfg.Log, slog.New(slog.DiscardHandler))}
	return soap.Handler(soap.Service{
		Face: "node",
		Operation: func(n soap.Name) (string, bool) {
			op, known := pagopa.NodeForPspOperation(n)
			return string(op), known
		},
		Serve:  f.serve,
		Failed: func(op string, err error) soap.Answer { return failed(pagopa.Operation(op), err) },
	}, cfg.Duration, f.log)
}

func (f *face) serve(ctx context.Context, op string, env *soap.Envelope, _ []byte) (a soap.Answer) {
	msg, err := pagopa.ReadNodeForPsp(env)
	if err != nil {
		return node(pagopa.Operation(op), pagopa.PPTSintassiExtraXSD, "")
	}
	switch m := msg.(type) {
	case pagopa.VerifyNoticeRequest:
		a = f.verify(ctx, m)
		a.School, a.Notice = m.CreditorCode, m.NoticeNumber
	case pagopa.BollettinoRequest:
		a = f.bollettino(ctx, m)
		a.Notice = m.NoticeNumber
	case pagopa.ActivateRequest:
		a = f.activate(ctx, m)
		a.School, a.Notice = m.CreditorCode, m.NoticeNumber
	case pagopa.OutcomeRequest:
		a = f.outcome(ctx, m)
	case pagopa.DemandNoticeRequest:
		a = f.demand(ctx, m)
	default:
		a = failed(pagopa.Operation(op), errors.New("message without a case"))
	}
	return a
}

// node answers with a fault of the node.
func node(op pagopa.Operation, code pagopa.FaultCode, description string) soap.Answer {
	return pagopa.KO(op, pagopa.NewNodeFault(code, description))
}

func envelope(m pagopa.Message) []byte { return soap.AppendEnvelope(nil, m.Append) }

// saved is an answer whose bytes were made, or found, in the transaction.
func saved(body []byte) soap.Answer {
	a := soap.Answer{Status: http.StatusOK, Outcome: soap.OutcomeOK, Body: body}
	if bytes.Contains(body, []byte("<outcome>KO</outcome>")) {
		a.Outcome = soap.OutcomeKO // a verdict, perhaps of an earlier time
	}
	return a
}

func failed(op pagopa.Operation, err error) soap.Answer {
	a := node(op, pagopa.PPTSystemError, "")
	a.Outcome, a.Err = soap.OutcomeError, err
	return a
}

// The two tables from the gateway's errors to codes: what the node itself says,
// and what it hands on from the creditor as PPT_ERRORE_EMESSO_DA_PAA.
var (
	nodeFaults = []struct {
		err  error
		code pagopa.FaultCode
	}{
		{gateway.ErrUnknownSchool, pagopa.PPTDominioSconosciuto},
		{gateway.ErrNoticePaid, pagopa.PPTPagamentoDuplicato},
		{gateway.ErrInProgress, pagopa.PPTPagamentoInCorso},
		{gateway.ErrKeyReused, pagopa.PPTErroreIdempotenza},
		{gateway.ErrTokenUnknown, pagopa.PPTTokenSconosciuto},
	}
	creditorFaults = []struct {
		err  error
		code pagopa.FaultCode
	}{
		{gateway.ErrNotFound, pagopa.PAAPagamentoSconosciuto},
		{gateway.ErrNoticeCancelled, pagopa.PAAPagamentoAnnullato},
		{gateway.ErrNoticeExpired, pagopa.PAAPagamentoScaduto},
		{gateway.ErrNoticeHeld, pagopa.PAASemantica},
		{gateway.ErrContributionClosed, pagopa.PAAPagamentoScaduto},
	}
)

func refuse(op pagopa.Operation, creditor string, err error) soap.Answer {
	for _, row := range nodeFaults {
		if errors.Is(err, row.err) {
			return node(op, row.code, "")
		}
	}
	for _, row := range creditorFaults {
		if errors.Is(err, row.err) {
			return pagopa.KO(op, pagopa.NewCreditorFault(pagopa.NewFault(row.code, creditor, "")))
		}
	}
	return failed(op, err)
}

// authenticate checks the head of a request in the order of the protocol; the
// code is empty when all is right.
func (f *face) authenticate(h pagopa.PSPHead, op pagopa.Operation) (gateway.Peer, pagopa.FaultCode) {
	p, known := f.psp(gateway.PSPID(h.PSP))
	sum := sha256.Sum256([]byte(h.Password))
	right := subtle.ConstantTimeCompare(sum[:], p.Password[:]) == 1
	switch {
	case !known, p.Gone && op != pagopa.SendPaymentOutcome && op != pagopa.SendPaymentOutcomeV2:
		return gateway.Peer{}, pagopa.PPTPSPSconosciuto
	case h.BrokerPSP != p.Broker:
		return gateway.Peer{}, pagopa.PPTIntermediarioPSPSconosciuto
	case h.Channel != p.Channel:
		return gateway.Peer{}, pagopa.PPTCanaleSconosciuto
	case !right:
		return gateway.Peer{}, pagopa.PPTAutenticazione
	}
	return p.Peer, ""
}

// find looks a notice up for a question. A number that cannot be one of ours is
// looked for all the same, so that an unknown school is told first.
func (f *face) find(ctx context.Context, creditor, number string) (gateway.Notice, gateway.School, error) {
	parsed, err := iuv.Parse(number)
	if err != nil {
		parsed = iuv.Number{}
	}
	return f.svc.FindForPSP(ctx, gateway.SchoolCode(creditor), parsed)
}

func (f *face) verify(ctx context.Context, m pagopa.VerifyNoticeRequest) soap.Answer {
	if _, code := f.authenticate(m.PSPHead, m.Operation()); code != "" {
		return node(m.Operation(), code, "")
	}
	n, school, err := f.find(ctx, m.CreditorCode, m.NoticeNumber)
	if err != nil {
		return refuse(m.Operation(), m.CreditorCode, err)
	}
	return pagopa.OK(pagopa.VerifyNoticeResponse{PSPPayable: payable(n, school)})
}

func (f *face) bollettino(ctx context.Context, m pagopa.BollettinoRequest) soap.Answer {
	if _, code := f.authenticate(m.PSPHead, m.Operation()); code != "" {
		return node(m.Operation(), code, "")
	}
	number, err := iuv.Parse(m.NoticeNumber)
	if err != nil {
		number = iuv.Number{} // none of ours, see find
	}
	// The message names the account, not the school.
	n, school, err := f.svc.FindBulletin(ctx, m.PostalAccount, number)
	if err != nil {
		return refuse(m.Operation(), string(school.Code), err)
	}
	return pagopa.OK(pagopa.BollettinoResponse{PSPPayable: payable(n, school), NoticeNumber: n.Number.String()})
}

func payable(n gateway.Notice, school gateway.School) pagopa.PSPPayable {
	return pagopa.PSPPayable{
		Options:     []pagopa.PSPOption{{Amount: n.Amount, Options: "EQ", DueDate: n.DueDate.String(), AllPostal: n.AllPostal(school)}},
		Description: n.Description, CreditorCode: string(school.Code), CompanyName: school.Name,
	}
}

func (f *face) activate(ctx context.Context, m pagopa.ActivateRequest) soap.Answer {
	op := m.Operation()
	peer, code := f.authenticate(m.PSPHead, op)
	if code != "" {
		return node(op, code, "")
	}
	var life time.Duration
	if m.Expiration != nil {
		// The schema knows a greatest expirationTime only.
		if life = *m.Expiration; life < gateway.MinTokenLife {
			return node(op, pagopa.PPTSemantica, "expirationTime troppo breve")
		}
	}
	number, err := iuv.Parse(m.NoticeNumber)
	if err != nil {
		number = iuv.Number{} // none of ours, see find
	}
	same := m
	same.Password, same.IdempotencyKey = "", ""
	body, err := f.svc.Activate(ctx, gateway.ActivateRequest{
		Peer: peer, School: gateway.SchoolCode(m.CreditorCode), Number: number, Life: life, PaymentNote: m.PaymentNote,
		NoStamps: m.Version == 1, Repeat: repeat(peer, op, m.IdempotencyKey, same),
	}, func(a gateway.Activated) []byte {
		return envelope(pagopa.ActivateResponse{Version: m.Version, Activation: activation(a)})
	})
	switch {
	case errors.Is(err, gateway.ErrStampNeedsV2):
		return node(op, pagopa.PPTSemantica, "marca da bollo: usare activatePaymentNoticeV2")
	case err != nil:
		return refuse(op, m.CreditorCode, err)
	}
	return saved(body)
}

// repeat says what makes a request the same as another: the key within the
// PSP's use of the operation, and all it asks but the password and the key.
func repeat(peer gateway.Peer, op pagopa.Operation, key string, same pagopa.Message) gateway.Repeat {
	r := gateway.Repeat{Fingerprint: sha256.Sum256(same.Append(nil))}
	if key != "" {
		r.Scope = gateway.RequestKey("node-for-psp", string(peer.PSP), string(op), key)
	}
	return r
}

func activation(a gateway.Activated) pagopa.Activation {
	out := pagopa.Activation{
		Amount: a.Token.Amount, Description: a.Notice.Description, CreditorCode: string(a.School.Code), CompanyName: a.School.Name,
		Token: a.Token.ID, CreditorReferenceID: a.Notice.Number.IUV(), AllPostal: a.Notice.AllPostal(a.School),
	}
	for _, t := range a.Token.Transfers {
		tr := pagopa.Transfer{ID: t.ID, Amount: t.Amount, Creditor: string(t.School), IBAN: string(t.IBAN), Remittance: t.Remittance, Category: t.Taxonomy}
		if t.School == a.School.Code {
			tr.Company = a.School.Name
		}
		if t.Stamp != nil {
			tr.StampRequest = &pagopa.StampRequest{Hash: t.Stamp.Hash, Type: "01", Province: t.Stamp.Province}
		}
		out.Transfers = append(out.Transfers, tr)
	}
	return out
}

func (f *face) outcome(ctx context.Context, m pagopa.OutcomeRequest) soap.Answer {
	op := m.Operation()
	peer, code := f.authenticate(m.PSPHead, op)
	if code != "" {
		return node(op, code, "")
	}
	for i, t := range m.Tokens {
		if slices.Contains(m.Tokens[:i], t) {
			return node(op, pagopa.PPTSemantica, "paymentToken ripetuto")
		}
	}
	same := m
	same.Password, same.IdempotencyKey = "", ""
	// What may become evidence goes without the channel's password.
	req := gateway.OutcomeRequest{Peer: peer, Tokens: m.Tokens, OK: m.Outcome == "OK", Raw: envelope(same), Repeat: repeat(peer, op, m.IdempotencyKey, same)}
	if req.OK {
		// The schema lets them be absent; a receipt cannot be made without.
		if m.Details == nil {
			return node(op, pagopa.PPTSemantica, "details obbligatorio con outcome OK")
		}
		req.Details = details(m.Details)
	}
	body, err := f.svc.Outcome(ctx, req, func(v gateway.OutcomeVerdict) []byte { return f.verdict(m, v) })
	switch {
	case errors.Is(err, gateway.ErrStamps):
		return node(op, pagopa.PPTSemantica, "marche da bollo diverse da quelle richieste")
	case err != nil:
		return refuse(op, "", err)
	}
	return saved(body)
}

// verdicts are the codes of what an outcome meets; OutcomeTaken has none.
var verdicts = map[gateway.OutcomeVerdict]struct {
	code        pagopa.FaultCode
	description string
}{
	gateway.OutcomeLate:      {pagopa.PPTTokenScaduto, ""},
	gateway.OutcomeLateKO:    {pagopa.PPTTokenScadutoKO, ""},
	gateway.OutcomeDuplicate: {pagopa.PPTPagamentoDuplicato, ""},
	gateway.OutcomeSame:      {pagopa.PPTEsitoGiaAcquisito, "Esito concorde"},
	gateway.OutcomeOther:     {pagopa.PPTEsitoGiaAcquisito, "Esito discorde"},
}

func (f *face) verdict(m pagopa.OutcomeRequest, v gateway.OutcomeVerdict) []byte {
	if v == gateway.OutcomeTaken {
		return envelope(pagopa.OutcomeResponse{Version: m.Version})
	}
	f.log.Warn("outcome with a verdict", "psp", m.PSP, "outcome", m.Outcome, "fault", verdicts[v].code)
	return envelope(pagopa.OutcomeResponse{Version: m.Version, Fault: pagopa.NewNodeFault(verdicts[v].code, verdicts[v].description)})
}

func details(d *pagopa.OutcomeDetails) gateway.OutcomeDetails {
	out := gateway.OutcomeDetails{
		Method: d.Method, Channel: d.Channel, Fee: &d.Fee, CreditorFee: d.CreditorFee, Bundle: d.Bundle, CIBundle: d.CIBundle,
		ApplicationDate: d.ApplicationDate, TransferDate: d.TransferDate, Stamps: map[gateway.StampRef]string{},
	}
	if d.Payer != nil {
		payer := receipts.Subject(*d.Payer)
		out.Payer = &payer
	}
	for _, s := range d.Stamps {
		out.Stamps[gateway.StampRef{Token: s.Token, Transfer: s.TransferID}] = s.Attachment
	}
	return out
}

// demand makes a notice of an open voluntary contribution, for a customer who
// wants to pay without one.
func (f *face) demand(ctx context.Context, m pagopa.DemandNoticeRequest) soap.Answer {
	op := m.Operation()
	peer, code := f.authenticate(m.PSPHead, op)
	if code != "" {
		return node(op, code, "")
	}
	c, err := pagopa.ReadContribution(m.Data)
	if err != nil {
		return node(op, pagopa.PPTSintassiExtraXSD, "datiSpecificiServizio")
	}
	n, school, err := f.svc.Demand(ctx, gateway.Actor{Kind: "psp", Name: string(peer.PSP)}, gateway.Gift{
		Service: m.ServiceSubject, Code: c.Code, Name: c.Name, Amount: c.Amount,
	})
	bad := (*gateway.Invalid)(nil)
	switch {
	case errors.As(err, &bad):
		return node(op, pagopa.PPTSemantica, "dati o importo non validi")
	case errors.Is(err, gateway.ErrNotFound):
		// There is no creditor whose word this could be.
		return node(op, pagopa.PPTSemantica, "servizio sconosciuto")
	case err != nil:
		return refuse(op, string(school.Code), err)
	}
	return pagopa.OK(pagopa.DemandNoticeResponse{
		QRCode: &pagopa.QRCode{CreditorCode: string(n.School), NoticeNumber: n.Number.String()}, PSPPayable: payable(n, school),
	})
}
