// SPDX-License-Identifier: Apache-2.0

// Package pafornode is the creditor face: the SOAP service paForNode, which the
// national node calls to learn what a notice asks for and to deliver receipts.
//
// Envelopes are gateway/soap's, messages gateway/pagopa's, decisions the
// gateway's; here is only the translation, and the table of fault codes. Asking
// (verify, get) never locks and never writes.
//
// What a caller gets wrong: a KO is not an error of ours, and for the node it
// may be final. Where a receipt could not be stored there is no KO but an empty
// 503, so that the node sends it again.
package pafornode

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/pagopa"
	"github.com/nodogate/nodogate/gateway/soap"
	"github.com/nodogate/nodogate/iuv"
	"github.com/nodogate/nodogate/receipts"
	receiptsxml "github.com/nodogate/nodogate/receipts/xml"
)

// Path is where the face is mounted.
const Path = "/soap/pa-for-node"

// answerWithin leaves room for the answer itself in the 2 seconds that the
// service level allows (SANP, livelli di servizio).
const answerWithin = 1800 * time.Millisecond

// Config is what the face is made of; Service and Duration are required.
type Config struct {
	Service  *gateway.Service
	Duration *prometheus.HistogramVec // see NewDuration
	Log      *slog.Logger             // nil: silent
}

// NewDuration is the histogram of both SOAP faces. Its buckets show the service
// levels: 2 s, and the node's time-outs of 7 and 15 s.
func NewDuration(reg prometheus.Registerer) *prometheus.HistogramVec {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "nodogate_soap_request_duration_seconds",
		Help:    "Time to answer a SOAP request.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2, 7, 15},
	}, []string{"face", "operation", "outcome"})
	reg.MustRegister(h)
	return h
}

// The outcomes of a request, for the metric: ok and ko are answers of the
// service, fault is a SOAP Fault or an HTTP refusal to a message that is none,
// error and unavailable are ours (PAA_SYSTEM_ERROR, and the 503 to a receipt).
const (
	outcomeOK          = "ok"
	outcomeKO          = "ko"
	outcomeFault       = "fault"
	outcomeError       = "error"
	outcomeUnavailable = "unavailable"
)

type handler struct {
	svc      *gateway.Service
	duration *prometheus.HistogramVec
	log      *slog.Logger
}

// New makes the face.
func New(cfg Config) http.Handler {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &handler{cfg.Service, cfg.Duration, cfg.Log}
}

// ServeHTTP answers one message.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	a := h.answer(w, r)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if a.body != nil {
		w.Header().Set("Content-Type", soap.ContentType)
	}
	w.WriteHeader(a.status)
	// A peer that went away has its answer when it asks again.
	_, _ = w.Write(a.body)

	took := time.Since(start)
	h.duration.WithLabelValues("creditor", cmp.Or(string(a.operation), "none"), a.outcome).Observe(took.Seconds())
	attrs := []slog.Attr{
		slog.String("operation", string(a.operation)), slog.String("outcome", a.outcome), slog.Int("status", a.status),
		slog.String("school", a.school), slog.String("notice", a.notice), slog.Duration("took", took),
	}
	if a.fault != "" {
		attrs = append(attrs, slog.String("fault", string(a.fault)))
	}
	level := slog.LevelInfo
	if a.err != nil {
		level = slog.LevelError
		attrs = append(attrs, slog.Any("err", a.err))
	}
	h.log.LogAttrs(r.Context(), level, "soap request", attrs...)
}

// answer is what goes out, and what is said of it.
type answer struct {
	status    int
	body      []byte
	operation pagopa.Operation
	outcome   string
	fault     pagopa.FaultCode
	school    string
	notice    string
	err       error // of ours
}

func (h *handler) answer(w http.ResponseWriter, r *http.Request) (a answer) {
	body, status := soap.ReadBody(w, r)
	if status != http.StatusOK {
		return answer{status: status, outcome: outcomeFault}
	}
	ctx, cancel := context.WithTimeout(r.Context(), answerWithin)
	defer cancel()

	env, err := soap.Parse(body)
	if err != nil {
		if err := h.keepUnreadable(ctx, body); err != nil {
			return answer{status: http.StatusServiceUnavailable, outcome: outcomeUnavailable, err: err}
		}
		return fault(err)
	}
	op, known := pagopa.PaForNodeOperation(env.Operation)
	if !known {
		return fault(&soap.ParseError{Code: soap.Client, Rule: "no operation of paForNode"})
	}
	if !soap.ActionAgrees(r.Header, string(op)) {
		return fault(&soap.ParseError{Code: soap.Client, Rule: "SOAPAction is not the operation in the Body"})
	}
	defer func() {
		if p := recover(); p != nil {
			h.log.Error("panic in a SOAP operation", "operation", op, "stack", string(debug.Stack()))
			a = failed(op, errors.New("panic"))
		}
		a.operation = op
	}()
	msg, err := pagopa.ReadPaForNode(env)
	if err != nil {
		return h.refuseSyntax(ctx, op, env, body)
	}
	switch m := msg.(type) {
	case pagopa.VerifyRequest:
		a = h.verify(ctx, m)
		a.school, a.notice = m.PA, m.NoticeNumber
	case pagopa.GetPaymentRequest:
		a = h.getPayment(ctx, m)
		a.school, a.notice = m.PA, m.NoticeNumber
	case pagopa.SendRTRequest:
		a = h.sendRT(ctx, m, body)
		a.school, a.notice = m.PA, m.Receipt.NoticeNumber
	case pagopa.DemandRequest:
		// No school here offers a service of the node's catalogue: a family
		// finds open contributions on the portal.
		a = ko(op, pagopa.PAASemantica, m.PA, "nessun servizio a catalogo")
		a.school = m.PA
	default:
		a = failed(op, errors.New("message without a case"))
	}
	return a
}

// keepUnreadable keeps a message that may have been a receipt. One that can
// never be read must not be kept from being answered by a storage that fails:
// the sender gets a 503 then and tries again.
func (h *handler) keepUnreadable(ctx context.Context, body []byte) error {
	if !bytes.Contains(body, []byte("paSendRT")) {
		return nil
	}
	return h.svc.KeepEvidence(ctx, gateway.EvidenceSyntax, "", body)
}

// fault refuses what is no message of ours: a SOAP Fault with 400 (X9).
func fault(err error) answer {
	code, rule := soap.Client, "unreadable message"
	if p := (*soap.ParseError)(nil); errors.As(err, &p) {
		code, rule = p.Code, p.Error()
	}
	return answer{status: http.StatusBadRequest, outcome: outcomeFault, body: soap.AppendFault(nil, code, rule)}
}

func (h *handler) refuseSyntax(ctx context.Context, op pagopa.Operation, env *soap.Envelope, body []byte) answer {
	if op == pagopa.PaSendRT || op == pagopa.PaSendRTV2 {
		if err := h.svc.KeepEvidence(ctx, gateway.EvidenceSyntax, string(op), body); err != nil {
			return failed(op, err)
		}
	}
	// The fault names the creditor that raises it; an id that is none is not
	// repeated.
	id := ""
	if el := env.Body.SelectElement("idPA"); el != nil {
		if code, err := gateway.ParseSchoolCode(el.Text()); err == nil {
			id = string(code)
		}
	}
	return ko(op, pagopa.PAASintassiXSD, id, "")
}

func ko(op pagopa.Operation, code pagopa.FaultCode, id, description string) answer {
	return answer{
		status: http.StatusOK, outcome: outcomeKO, fault: code,
		body: soap.AppendEnvelope(nil, func(b []byte) []byte {
			return pagopa.AppendKO(b, op, pagopa.NewFault(code, id, description))
		}),
	}
}

func ok(m pagopa.Message) answer {
	return answer{status: http.StatusOK, outcome: outcomeOK, body: soap.AppendEnvelope(nil, m.Append)}
}

// failed answers a fault of ours: a receipt gets no answer, so that it is sent
// again.
func failed(op pagopa.Operation, err error) answer {
	if op == pagopa.PaSendRT || op == pagopa.PaSendRTV2 {
		return answer{status: http.StatusServiceUnavailable, outcome: outcomeUnavailable, err: err}
	}
	a := ko(op, pagopa.PAASystemError, "", "")
	a.outcome, a.err = outcomeError, err
	return a
}

// faults is the one table from the gateway's errors to codes.
var faults = []struct {
	err  error
	code pagopa.FaultCode
}{
	{gateway.ErrUnknownSchool, pagopa.PAAIDDominioErrato},
	{gateway.ErrUnknownBroker, pagopa.PAAIDIntermediarioErrato},
	{gateway.ErrUnknownStation, pagopa.PAAStazioneIntErrata},
	{gateway.ErrNotFound, pagopa.PAAPagamentoSconosciuto},
	{gateway.ErrNoticePaid, pagopa.PAAPagamentoDuplicato},
	{gateway.ErrNoticeCancelled, pagopa.PAAPagamentoAnnullato},
	{gateway.ErrNoticeExpired, pagopa.PAAPagamentoScaduto},
	{gateway.ErrNoticeHeld, pagopa.PAASemantica},
	{receipts.ErrInconsistent, pagopa.PAASemantica},
}

func refuse(op pagopa.Operation, id string, err error) answer {
	for _, f := range faults {
		if errors.Is(err, f.err) {
			return ko(op, f.code, id, "")
		}
	}
	return failed(op, err)
}

// find does what verify and get begin with.
func (h *handler) find(ctx context.Context, to pagopa.Target, qr pagopa.QRCode) (gateway.Notice, gateway.School, error) {
	number, err := iuv.Parse(qr.NoticeNumber)
	addressee := gateway.Addressee{School: gateway.SchoolCode(to.PA), Broker: to.Broker, Station: to.Station}
	// A number that cannot be one of ours is looked for all the same, so that a
	// wrong configuration is told first; the zero Number finds nothing.
	n, school, ferr := h.svc.FindPayable(ctx, addressee, number)
	switch {
	case ferr != nil && !errors.Is(ferr, gateway.ErrNotFound) || err == nil && qr.CreditorCode == to.PA:
		return n, school, ferr
	case qr.CreditorCode != to.PA:
		return n, school, gateway.ErrUnknownSchool
	}
	return n, school, gateway.ErrNotFound
}

func (h *handler) verify(ctx context.Context, m pagopa.VerifyRequest) answer {
	n, school, err := h.find(ctx, m.Target, m.QRCode)
	if err != nil {
		return refuse(m.Operation(), m.PA, err)
	}
	return ok(pagopa.VerifyResponse{Payable: pagopa.Payable{
		Option: &pagopa.PaymentOption{
			Amount: n.Amount, Options: "EQ", DueDate: n.DueDate.String(), Detail: n.Description, AllPostal: allPostal(n, school),
		},
		Description: n.Description, CreditorCode: string(n.School), CompanyName: school.Name,
	}})
}

// allPostal says whether every transfer can go to a postal account (allCCP).
func allPostal(n gateway.Notice, school gateway.School) bool {
	return !slices.ContainsFunc(n.Transfers, func(t gateway.Transfer) bool { return postalIBAN(t, school) == "" })
}

// postalIBAN is the postal account a transfer can go to, or empty.
func postalIBAN(t gateway.Transfer, school gateway.School) gateway.IBAN {
	switch {
	case t.IBAN.Postal():
		return t.IBAN
	case t.School == school.Code:
		return school.Postal.IBAN
	}
	return ""
}

func (h *handler) getPayment(ctx context.Context, m pagopa.GetPaymentRequest) answer {
	n, school, err := h.find(ctx, m.Target, m.QRCode)
	if err != nil {
		return refuse(m.Operation(), m.PA, err)
	}
	p := &pagopa.Payment{
		CreditorReferenceID: n.Number.IUV(), Amount: n.Amount, DueDate: n.DueDate.String(),
		Description: n.Description, CompanyName: school.Name, Debtor: debtor(n.Debtor),
	}
	for i, t := range n.Transfers {
		iban := t.IBAN
		// transferType POSTAL wants the first transfer on a postal account
		// (SANP, best practice).
		if postal := postalIBAN(t, school); i == 0 && m.TransferType == "POSTAL" && postal != "" {
			iban = postal
		}
		out := pagopa.Transfer{
			ID: t.ID, Amount: t.Amount, Creditor: string(t.School), IBAN: string(iban),
			Remittance: t.Remittance, Category: t.Taxonomy,
		}
		if t.School == school.Code {
			out.Company = school.Name
		}
		p.Transfers = append(p.Transfers, out)
	}
	return ok(pagopa.GetPaymentResponse{Version: m.Version, Payment: p})
}

// debtor writes whom the notice is for. 11 digits are an organisation's code:
// the few persons who have a temporary one in that form are told apart by
// nothing in it.
func debtor(d gateway.Debtor) pagopa.Subject {
	kind := "F"
	if len(d.Code) == 11 {
		kind = "G"
	}
	return pagopa.Subject{Type: kind, ID: string(d.Code), FullName: d.Name}
}

func (h *handler) sendRT(ctx context.Context, m pagopa.SendRTRequest, raw []byte) answer {
	op := m.Operation()
	receipt, err := receiptsxml.FromMessage(m.Receipt)
	if err != nil {
		// The schema allows what a receipt cannot be, a notice number that
		// begins with 9 for instance. The bytes may prove something.
		if kerr := h.svc.KeepEvidence(ctx, gateway.EvidenceInconsistent, string(op), raw); kerr != nil {
			return failed(op, kerr)
		}
		return ko(op, pagopa.PAASemantica, m.PA, "")
	}
	v, err := h.svc.RecordReceipt(ctx, gateway.Delivery{
		Addressee: gateway.Addressee{School: gateway.SchoolCode(m.PA), Broker: m.Broker, Station: m.Station},
		Operation: string(op), Channel: gateway.ChannelNode, Receipt: receipt, Raw: raw,
	})
	switch {
	case err != nil:
		return refuse(op, m.PA, err)
	case v.Duplicate:
		return ko(op, pagopa.PAAReceiptDuplicata, m.PA, "")
	}
	if v.Receipt.Anomaly != gateway.AnomalyNone {
		h.log.Warn("receipt with an anomaly", "school", m.PA, "receipt", v.Receipt.ID, "anomaly", v.Receipt.Anomaly)
	}
	return ok(pagopa.SendRTResponse{Version: m.Version})
}
