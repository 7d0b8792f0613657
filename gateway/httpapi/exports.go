// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/money"
	"github.com/nodogate/nodogate/gateway/sheet"
	"github.com/nodogate/nodogate/iuv"
)

// exportPage is how many rows are read at once.
const exportPage = 500

// export is an answer that is written while it is read. Its first page is read
// before, so that what goes wrong early is still a problem and not half a table.
type export struct {
	h       *handlers
	ctx     context.Context // of the request: the answer is written in it
	name    string
	school  gateway.SchoolCode
	format  sheet.Format
	columns []string
	first   [][]any
	// next reads the page behind the last one; none when that was it.
	next func(context.Context) ([][]any, error)
}

// begin reads the first page and notes who exported what.
func (e *export) begin(ctx context.Context, actor gateway.Actor, format string) error {
	e.ctx = ctx
	if e.format = sheet.Format(format); format == "" {
		e.format = sheet.CSV
	}
	var err error
	if e.first, err = e.next(ctx); err != nil {
		return err
	}
	return e.h.svc.Atomically(ctx, func(_ context.Context, tx gateway.Tx) error {
		return tx.AppendAudit(gateway.Audit{School: e.school, Actor: actor, Action: "export." + e.name, Object: string(e.format), At: e.h.svc.Now()})
	})
}

var exportNames = map[string]string{"notices": "avvisi", "receipts": "ricevute", "payments": "pagamenti"}

func (e *export) write(w http.ResponseWriter) error {
	head := w.Header()
	head.Set("Content-Type", "text/csv; charset=utf-8")
	if e.format == sheet.XLSX {
		head.Set("Content-Type", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")
	}
	head.Set("Content-Disposition", fmt.Sprintf(`attachment; filename="%s-%s-%s.%s"`, exportNames[e.name], e.school, gateway.DateIn(e.h.svc.Now()), e.format))
	w.WriteHeader(http.StatusOK)
	if err := e.stream(w); err != nil {
		if e.ctx.Err() == nil {
			e.h.log.Error("export cut short", "request_id", callOf(e.ctx).id, "export", e.name, "err", err)
		}
		// There is no way to say no any more: the connection is cut, so that
		// nobody takes half a table for the whole.
		panic(http.ErrAbortHandler)
	}
	return nil
}

func (e *export) stream(w http.ResponseWriter) error {
	out, err := sheet.NewWriter(w, e.format, e.columns...)
	if err != nil {
		return err
	}
	for rows := e.first; len(rows) > 0; {
		for _, r := range rows {
			if err := out.Row(r...); err != nil {
				return err
			}
		}
		if rows, err = e.next(e.ctx); err != nil {
			return err
		}
	}
	return out.Close()
}

func (e *export) VisitExportNoticesResponse(w http.ResponseWriter) error  { return e.write(w) }
func (e *export) VisitExportReceiptsResponse(w http.ResponseWriter) error { return e.write(w) }
func (e *export) VisitExportPaymentsResponse(w http.ResponseWriter) error { return e.write(w) }

// The columns of exports, in the words of an office. Those of notices are the
// ones that imports take.
var (
	noticeExport = []string{
		"Numero avviso", "IUV", "Stato", "Riferimento", "Codice fiscale", "Nome e cognome", "Classe", "Causale", "Importo", "Scadenza",
		"Pagabile dopo la scadenza", "Tassonomia", "Detrazione", "Campagna", "Emesso il", "Pagato il",
	}
	receiptExport = []string{
		"Ricevuta", "Numero avviso", "IUV", "Importo", "Pagato il", "PSP", "Nome PSP", "Metodo", "Canale", "Ruolo", "Anomalia", "Causale",
		"CF debitore", "Nome debitore", "CF pagatore", "Nome pagatore", "Data di regolamento", "Ricevuta il", "Id",
	}
	paymentExport = []string{
		"Pagato il", "Importo", "Alla scuola", "Numero avviso", "IUV", "Riferimento", "Codice fiscale", "Nome e cognome", "Classe", "Causale",
		"Scadenza", "Campagna", "Detrazione", "CF pagatore", "Nome pagatore", "PSP", "Metodo", "Canale", "Anomalia", "Ricevuta",
	}
	stateWords = map[gateway.NoticeState]string{
		gateway.NoticeDraft: "Bozza", gateway.NoticeOpen: "Da pagare", gateway.NoticePaid: "Pagato",
		gateway.NoticeCancelled: "Annullato", gateway.NoticeExpired: "Scaduto",
	}
)

func civil(d gateway.Date) sheet.Civil { return sheet.Civil{Year: d.Year, Month: d.Month, Day: d.Day} }

// dayText is a day as a message writes it; none when it is none.
func dayText(s string) any {
	d, err := gateway.ParseDate(s)
	if err != nil {
		return nil
	}
	return civil(d)
}

func clock(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.In(gateway.Rome())
}

func (h *handlers) ExportNotices(ctx context.Context, r ExportNoticesRequestObject) (ExportNoticesResponseObject, error) {
	ctx, k := begin(ctx)
	p := r.Params
	var bad gateway.Invalid
	f := gateway.NoticeFilter{
		State: gateway.NoticeState(p.Status), Class: p.Class, Campaign: p.Campaign, ExternalID: p.ExternalID, Query: p.Q,
		Pupil: p.Pupil, Plan: p.Plan,
		DueFrom: day("due_from", p.DueFrom, &bad), DueTo: day("due_to", p.DueTo, &bad),
		PaidFrom: moment("paid_from", p.PaidFrom, false, &bad), PaidTo: moment("paid_to", p.PaidTo, true, &bad),
		Limit: exportPage,
	}
	if err := bad.Err(); err != nil {
		return nil, err
	}
	school := gateway.SchoolCode(r.Cf)
	e := &export{h: h, name: "notices", school: school, columns: noticeExport}
	e.next = func(ctx context.Context) ([][]any, error) {
		list, err := h.svc.Notices(ctx, school, f)
		if err != nil {
			return nil, err
		}
		rows := make([][]any, len(list))
		for i, n := range list {
			late := "no"
			if n.PayableAfterDue {
				late = "sì"
			}
			rows[i] = []any{
				n.Number.String(), n.Number.IUV(), stateWords[n.StateAt(h.svc.Now())], n.ExternalID, string(n.Debtor.Code), n.Debtor.Name,
				n.Debtor.Class, n.Description, n.Amount, civil(n.DueDate), late, n.Taxonomy, n.Deduction, n.Campaign, clock(n.CreatedAt), clock(n.PaidAt),
			}
			f.Before = n.Seq
		}
		return rows, nil
	}
	err := e.begin(ctx, k.caller.actor(), p.Format)
	if errors.Is(err, gateway.ErrTooBroad) {
		return nil, wrong("q", "range", "too many people have a name that begins so: give more of it")
	}
	return e, err
}

func receiptFilter(notice, from, to, anomaly string) (gateway.ReceiptFilter, error) {
	var bad gateway.Invalid
	f := gateway.ReceiptFilter{From: moment("from", from, false, &bad), To: moment("to", to, true, &bad), Anomaly: anomaly, Limit: exportPage}
	if notice != "" {
		var err error
		if f.Notice, err = iuv.Parse(notice); err != nil {
			bad.Add("notice", "format", "give the notice number's 18 digits")
		}
	}
	return f, bad.Err()
}

func numberText(n iuv.Number) string {
	if n.IsZero() {
		return ""
	}
	return n.String()
}

func (h *handlers) ExportReceipts(ctx context.Context, r ExportReceiptsRequestObject) (ExportReceiptsResponseObject, error) {
	ctx, k := begin(ctx)
	p := r.Params
	f, err := receiptFilter(p.Notice, p.From, p.To, p.Anomaly)
	if err != nil {
		return nil, err
	}
	school := gateway.SchoolCode(r.Cf)
	e := &export{h: h, name: "receipts", school: school, columns: receiptExport}
	e.next = func(ctx context.Context) ([][]any, error) {
		list, err := h.svc.Receipts(ctx, school, f)
		if err != nil {
			return nil, err
		}
		rows := make([][]any, len(list))
		for i, r := range list {
			c := r.Content
			payerCode, payerName := "", ""
			if c.Payer != nil {
				payerCode, payerName = c.Payer.ID, c.Payer.FullName
			}
			rows[i] = []any{
				c.ID, numberText(r.Notice), c.CreditorReferenceID, c.Amount, clock(c.PaidAt), c.PSP.ID, c.PSP.Name, c.Method, string(r.Channel),
				string(r.Role), string(r.Anomaly), c.Description, c.Debtor.ID, c.Debtor.FullName, payerCode, payerName, dayText(c.TransferDate),
				clock(r.Received), r.ID,
			}
			f.Before = r.Seq
		}
		return rows, nil
	}
	return e, e.begin(ctx, k.caller.actor(), p.Format)
}

func (h *handlers) ExportPayments(ctx context.Context, r ExportPaymentsRequestObject) (ExportPaymentsResponseObject, error) {
	ctx, k := begin(ctx)
	p := r.Params
	f, err := receiptFilter(p.Notice, p.From, p.To, p.Anomaly)
	if err != nil {
		return nil, err
	}
	school := gateway.SchoolCode(r.Cf)
	e := &export{h: h, name: "payments", school: school, columns: paymentExport}
	e.next = func(ctx context.Context) ([][]any, error) {
		for {
			list, err := h.svc.Receipts(ctx, school, f)
			if err != nil || len(list) == 0 {
				return nil, err
			}
			f.Before = list[len(list)-1].Seq
			rows, err := h.paymentRows(ctx, school, list)
			if err != nil || len(rows) > 0 {
				return rows, err
			}
			// A page of nothing but others' notices: go on.
		}
	}
	return e, e.begin(ctx, k.caller.actor(), p.Format)
}

// paymentRows joins receipts with the notices they paid.
func (h *handlers) paymentRows(ctx context.Context, school gateway.SchoolCode, list []gateway.Receipt) ([][]any, error) {
	var numbers []iuv.Number
	for _, r := range list {
		if r.Role == gateway.RoleCreditor && !r.Notice.IsZero() {
			numbers = append(numbers, r.Notice)
		}
	}
	found, err := h.svc.NoticesNumbered(ctx, school, numbers)
	if err != nil {
		return nil, err
	}
	notices := make(map[iuv.Number]gateway.Notice, len(found))
	for _, n := range found {
		notices[n.Number] = n
	}
	var rows [][]any
	for _, r := range list {
		n, ok := notices[r.Notice]
		if r.Role != gateway.RoleCreditor || !ok {
			continue
		}
		c := r.Content
		payerCode, payerName := "", ""
		if c.Payer != nil {
			payerCode, payerName = c.Payer.ID, c.Payer.FullName
		}
		var own money.Cents
		for _, t := range c.Transfers {
			if t.Creditor == string(school) {
				own += t.Amount
			}
		}
		rows = append(rows, []any{
			clock(c.PaidAt), c.Amount, own, n.Number.String(), n.Number.IUV(), n.ExternalID, string(n.Debtor.Code), n.Debtor.Name, n.Debtor.Class,
			n.Description, civil(n.DueDate), n.Campaign, n.Deduction, payerCode, payerName, c.PSP.Name, c.Method, string(r.Channel),
			string(r.Anomaly), c.ID,
		})
	}
	return rows, nil
}
