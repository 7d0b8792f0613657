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

// Config is what the face is made of; Service and Duration are required.
type Config struct {
	Service  *gateway.Service
	Duration *prometheus.HistogramVec // see soap.NewDuration
	Log      *slog.Logger             // nil: silent
}

type face struct {
	svc *gateway.Service
	log *slog.Logger
}

// New makes the face.
func New(cfg Config) http.Handler {
	f := &face{cfg.Service, cmp.Or(cfg.Log, slog.New(slog.DiscardHandler))}
	return soap.Handler(soap.Service{
		Face: "creditor",
		Operation: func(n soap.Name) (string, bool) {
			op, known := pagopa.PaForNodeOperation(n)
			return string(op), known
		},
		Serve:      f.serve,
		Failed:     func(op string, err error) soap.Answer { return failed(pagopa.Operation(op), err) },
		Unreadable: f.keepUnreadable,
	}, cfg.Duration, f.log)
}

func (f *face) serve(ctx context.Context, op string, env *soap.Envelope, raw []byte) (a soap.Answer) {
	msg, err := pagopa.ReadPaForNode(env)
	if err != nil {
		return f.refuseSyntax(ctx, pagopa.Operation(op), env, raw)
	}
	switch m := msg.(type) {
	case pagopa.VerifyRequest:
		a = f.verify(ctx, m)
		a.School, a.Notice = m.PA, m.NoticeNumber
	case pagopa.GetPaymentRequest:
		a = f.getPayment(ctx, m)
		a.School, a.Notice = m.PA, m.NoticeNumber
	case pagopa.SendRTRequest:
		a = f.sendRT(ctx, m, raw)
		a.School, a.Notice = m.PA, m.Receipt.NoticeNumber
	case pagopa.DemandRequest:
		a = f.demand(ctx, m)
		a.School = m.PA
	default:
		a = failed(pagopa.Operation(op), errors.New("message without a case"))
	}
	return a
}

// keepUnreadable keeps a message that may have been a receipt. One that can
// never be read must not be kept from being answered by a storage that fails:
// the sender gets a 503 then and tries again.
func (f *face) keepUnreadable(ctx context.Context, body []byte) error {
	if !bytes.Contains(body, []byte("paSendRT")) {
		return nil
	}
	return f.svc.KeepEvidence(ctx, gateway.EvidenceSyntax, "", body)
}

func (f *face) refuseSyntax(ctx context.Context, op pagopa.Operation, env *soap.Envelope, body []byte) soap.Answer {
	if op == pagopa.PaSendRT || op == pagopa.PaSendRTV2 {
		if err := f.svc.KeepEvidence(ctx, gateway.EvidenceSyntax, string(op), body); err != nil {
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

func ko(op pagopa.Operation, code pagopa.FaultCode, id, description string) soap.Answer {
	return pagopa.KO(op, pagopa.NewFault(code, id, description))
}

// failed answers a fault of ours: a receipt gets no answer, so that it is sent
// again.
func failed(op pagopa.Operation, err error) soap.Answer {
	if op == pagopa.PaSendRT || op == pagopa.PaSendRTV2 {
		return soap.Answer{Status: http.StatusServiceUnavailable, Outcome: soap.OutcomeUnavailable, Err: err}
	}
	a := ko(op, pagopa.PAASystemError, "", "")
	a.Outcome, a.Err = soap.OutcomeError, err
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
	{gateway.ErrInProgress, pagopa.PAAPagamentoInCorso},
	{gateway.ErrContributionClosed, pagopa.PAAPagamentoScaduto},
	{receipts.ErrInconsistent, pagopa.PAASemantica},
}

// refuse names the creditor as who raises the fault, as errors of the guide do;
// an id that can be none is not repeated.
func refuse(op pagopa.Operation, id string, err error) soap.Answer {
	if _, bad := gateway.ParseSchoolCode(id); bad != nil {
		id = ""
	}
	for _, row := range faults {
		if errors.Is(err, row.err) {
			return ko(op, row.code, id, "")
		}
	}
	return failed(op, err)
}

// find does what verify and get begin with.
func (f *face) find(ctx context.Context, to pagopa.Target, qr pagopa.QRCode) (gateway.Notice, gateway.School, error) {
	number, err := iuv.Parse(qr.NoticeNumber)
	addressee := gateway.Addressee{School: gateway.SchoolCode(to.PA), Broker: to.Broker, Station: to.Station}
	// A number that cannot be one of ours is looked for all the same, so that a
	// wrong configuration is told first; the zero Number finds nothing.
	n, school, ferr := f.svc.FindPayable(ctx, addressee, number)
	switch {
	case ferr != nil && !errors.Is(ferr, gateway.ErrNotFound) || err == nil && qr.CreditorCode == to.PA:
		return n, school, ferr
	case qr.CreditorCode != to.PA:
		return n, school, gateway.ErrUnknownSchool
	}
	return n, school, gateway.ErrNotFound
}

func (f *face) verify(ctx context.Context, m pagopa.VerifyRequest) soap.Answer {
	n, school, err := f.find(ctx, m.Target, m.QRCode)
	if err != nil {
		return refuse(m.Operation(), m.PA, err)
	}
	return pagopa.OK(pagopa.VerifyResponse{Payable: payable(n, school)})
}

func payable(n gateway.Notice, school gateway.School) pagopa.Payable {
	return pagopa.Payable{
		Option: &pagopa.PaymentOption{
			Amount: n.Amount, Options: "EQ", DueDate: n.DueDate.String(), Detail: n.Description, AllPostal: n.AllPostal(school),
		},
		Description: n.Description, CreditorCode: string(n.School), CompanyName: school.Name,
	}
}

func (f *face) getPayment(ctx context.Context, m pagopa.GetPaymentRequest) soap.Answer {
	n, school, err := f.find(ctx, m.Target, m.QRCode)
	if err != nil {
		return refuse(m.Operation(), m.PA, err)
	}
	p := &pagopa.Payment{
		CreditorReferenceID: n.Number.IUV(), Amount: n.Amount, DueDate: n.DueDate.String(),
		Description: n.Description, CompanyName: school.Name, Debtor: pagopa.Subject(n.Debtor.Subject()),
	}
	for i, t := range n.Transfers {
		if t.Stamp != nil && m.Version == 1 {
			// paGetPayment has no way to ask for a revenue stamp.
			return ko(m.Operation(), pagopa.PAASemantica, m.PA, "marca da bollo: usare paGetPaymentV2")
		}
		iban, postal := t.IBAN, school.PostalIBAN(t)
		// transferType POSTAL wants the first transfer on a postal account
		// (SANP, best practice).
		if i == 0 && m.TransferType == "POSTAL" && postal != "" {
			iban = postal
		}
		out := pagopa.Transfer{
			ID: t.ID, Amount: t.Amount, Creditor: string(t.School), IBAN: string(iban),
			Remittance: t.Remittance, Category: t.Taxonomy,
		}
		if m.Version == 2 && m.TransferType == "PAGOPA" && postal != "" {
			// The postal account stands beside the transfer's own (SANP, best
			// practice).
			out.Metadata = []pagopa.Entry{{Key: "IBANAPPOGGIO", Value: string(postal)}}
		}
		if t.School == school.Code {
			out.Company = school.Name
		}
		if t.Stamp != nil {
			out.IBAN, out.StampRequest = "", &pagopa.StampRequest{Hash: t.Stamp.Hash, Type: "01", Province: t.Stamp.Province}
		}
		p.Transfers = append(p.Transfers, out)
	}
	return pagopa.OK(pagopa.GetPaymentResponse{Version: m.Version, Payment: p})
}

// demand makes a notice of an open voluntary contribution, for whoever stands at
// a PSP without one. The service is known by its subject; idServizio, which is
// the catalogue's number for the kind of service, decides nothing here.
func (f *face) demand(ctx context.Context, m pagopa.DemandRequest) soap.Answer {
	op := m.Operation()
	if err := f.svc.CheckAddressee(ctx, gateway.Addressee{School: gateway.SchoolCode(m.PA), Broker: m.Broker, Station: m.Station}); err != nil {
		return refuse(op, m.PA, err)
	}
	c, err := pagopa.ReadContribution(m.Data)
	if err != nil {
		return ko(op, pagopa.PAASintassiExtraXSD, m.PA, "datiSpecificiServizioRequest")
	}
	n, school, err := f.svc.Demand(ctx, gateway.Actor{Kind: "node", Name: "paDemandPaymentNotice"}, gateway.Gift{
		School: gateway.SchoolCode(m.PA), Service: m.ServiceSubject, Code: c.Code, Name: c.Name, Amount: c.Amount,
	})
	if bad := (*gateway.Invalid)(nil); errors.As(err, &bad) {
		return ko(op, pagopa.PAASemantica, m.PA, "dati o importo non validi")
	}
	if err != nil {
		return refuse(op, m.PA, err)
	}
	return pagopa.OK(pagopa.DemandResponse{
		QRCode: &pagopa.QRCode{CreditorCode: string(n.School), NoticeNumber: n.Number.String()}, Payable: payable(n, school),
	})
}

func (f *face) sendRT(ctx context.Context, m pagopa.SendRTRequest, raw []byte) soap.Answer {
	op := m.Operation()
	receipt, err := receiptsxml.FromMessage(m.Receipt)
	if err != nil {
		// The schema allows what a receipt cannot be, a notice number that
		// begins with 9 for instance. The bytes may prove something.
		if kerr := f.svc.KeepEvidence(ctx, gateway.EvidenceInconsistent, string(op), raw); kerr != nil {
			return failed(op, kerr)
		}
		return ko(op, pagopa.PAASemantica, m.PA, "")
	}
	v, err := f.svc.RecordReceipt(ctx, gateway.Delivery{
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
		f.log.Warn("receipt with an anomaly", "school", m.PA, "receipt", v.Receipt.ID, "anomaly", v.Receipt.Anomaly)
	}
	return pagopa.OK(pagopa.SendRTResponse{Version: m.Version})
}
