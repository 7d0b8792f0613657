// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/money"
	"github.com/nodogate/nodogate/iuv"
)

func (h *handlers) IssueNotice(ctx context.Context, r IssueNoticeRequestObject) (IssueNoticeResponseObject, error) {
	ctx, k := begin(ctx)
	school := gateway.SchoolCode(r.Cf)
	issued, err := h.svc.Issue(ctx, k.caller.actor(), school, []gateway.NewNotice{newNotice(*r.Body)}, false)
	if err != nil {
		return nil, err
	}
	n := h.noticeOf(issued[0].Notice)
	location := "/api/v1/schools/" + r.Cf + "/notices/" + n.Number
	if issued[0].Existed {
		return IssueNotice200JSONResponse{n, IssueNotice200ResponseHeaders{etag(n.Version), location}}, nil
	}
	return IssueNotice201JSONResponse{n, IssueNotice201ResponseHeaders{etag(n.Version), location}}, nil
}

func (h *handlers) IssueBatch(ctx context.Context, r IssueBatchRequestObject) (IssueBatchResponseObject, error) {
	ctx, k := begin(ctx)
	in := make([]gateway.NewNotice, len(r.Body.Notices))
	for i, n := range r.Body.Notices {
		in[i] = newNotice(n)
	}
	issued, err := h.svc.Issue(ctx, k.caller.actor(), gateway.SchoolCode(r.Cf), in, true)
	if err != nil {
		return nil, err
	}
	items := make([]Notice, len(issued))
	made := false
	for i, n := range issued {
		made = made || !n.Existed
		items[i] = h.noticeOf(n.Notice)
	}
	if !made {
		return IssueBatch200JSONResponse{Items: items}, nil
	}
	return IssueBatch201JSONResponse{Items: items}, nil
}

func newNotice(n NewNotice) gateway.NewNotice {
	out := gateway.NewNotice{
		DebtorCode: n.Debtor.FiscalCode, DebtorName: n.Debtor.FullName, Class: n.Debtor.Class,
		Description: n.Description, Amount: money.Cents(n.AmountCents), DueDate: n.DueDate,
		PayableAfterDue: n.PayableAfterDue, Taxonomy: n.Taxonomy, Deduction: n.Deduction,
		ExternalID: n.ExternalID, Campaign: n.Campaign, Number: n.Number,
		Transfers: newTransfers(n.Transfers), Draft: n.Status == string(NoticeStatusDraft),
	}
	for _, i := range n.Instalments {
		out.Instalments = append(out.Instalments, gateway.NewInstalment{
			Amount: money.Cents(i.AmountCents), DueDate: i.DueDate, Transfers: newTransfers(i.Transfers),
		})
	}
	return out
}

func newTransfers(list []NewTransfer) (out []gateway.NewTransfer) {
	for _, t := range list {
		n := gateway.NewTransfer{
			ID: t.ID, School: t.School, IBAN: t.Iban, Amount: money.Cents(t.AmountCents), Taxonomy: t.Taxonomy, Remittance: t.Remittance,
		}
		if t.Stamp != nil {
			n.Stamp = &gateway.Stamp{Hash: t.Stamp.Hash, Province: t.Stamp.Province}
		}
		out = append(out, n)
	}
	return out
}

func (h *handlers) GetNotice(ctx context.Context, r GetNoticeRequestObject) (GetNoticeResponseObject, error) {
	ctx, _ = begin(ctx)
	number, err := pathNumber(r.Number)
	if err != nil {
		return nil, err
	}
	n, err := h.svc.Notice(ctx, gateway.SchoolCode(r.Cf), number)
	if err != nil {
		return nil, err
	}
	return GetNotice200JSONResponse{h.noticeOf(n), GetNotice200ResponseHeaders{etag(n.Version)}}, nil
}

// pathNumber reads a number in an address. One that cannot be is as unknown as
// one that is not here.
func pathNumber(s string) (iuv.Number, error) {
	n, err := iuv.Parse(s)
	if err != nil {
		return n, gateway.ErrNotFound
	}
	return n, nil
}

func (h *handlers) CancelNotice(ctx context.Context, r CancelNoticeRequestObject) (CancelNoticeResponseObject, error) {
	ctx, k := begin(ctx)
	n, err := h.moveNotice(ctx, r.Cf, r.Number, r.Params.IfMatch, func(ctx context.Context, number iuv.Number) (gateway.Notice, error) {
		return h.svc.Cancel(ctx, k.caller.actor(), gateway.SchoolCode(r.Cf), number)
	})
	if err != nil {
		return nil, err
	}
	return CancelNotice200JSONResponse{h.noticeOf(n), CancelNotice200ResponseHeaders{etag(n.Version)}}, nil
}

func (h *handlers) RestoreNotice(ctx context.Context, r RestoreNoticeRequestObject) (RestoreNoticeResponseObject, error) {
	ctx, k := begin(ctx)
	due := ""
	if r.Body != nil {
		due = r.Body.DueDate
	}
	n, err := h.moveNotice(ctx, r.Cf, r.Number, r.Params.IfMatch, func(ctx context.Context, number iuv.Number) (gateway.Notice, error) {
		return h.svc.Restore(ctx, k.caller.actor(), gateway.SchoolCode(r.Cf), number, due)
	})
	if err != nil {
		return nil, err
	}
	return RestoreNotice200JSONResponse{h.noticeOf(n), RestoreNotice200ResponseHeaders{etag(n.Version)}}, nil
}

func (h *handlers) ChangeNotice(ctx context.Context, r ChangeNoticeRequestObject) (ChangeNoticeResponseObject, error) {
	ctx, k := begin(ctx)
	b := r.Body
	c := gateway.NoticeChange{
		DebtorName: b.Debtor.FullName, Class: b.Debtor.Class, Description: b.Description, DueDate: b.DueDate,
		Amount: (*money.Cents)(b.AmountCents), PayableAfterDue: b.PayableAfterDue, Taxonomy: b.Taxonomy, Deduction: b.Deduction,
		Transfers: newTransfers(b.Transfers), Open: b.Status != "", Release: b.Held != nil,
	}
	// null empties what may be empty.
	if c.Class == nil && k.isNull("debtor", "class") {
		c.Class = new(string)
	}
	if c.Deduction == nil && k.isNull("deduction") {
		c.Deduction = new(string)
	}
	n, err := h.moveNotice(ctx, r.Cf, r.Number, r.Params.IfMatch, func(ctx context.Context, number iuv.Number) (gateway.Notice, error) {
		return h.svc.ChangeNotice(ctx, k.caller.actor(), gateway.SchoolCode(r.Cf), number, c)
	})
	if err != nil {
		return nil, err
	}
	return ChangeNotice200JSONResponse{h.noticeOf(n), ChangeNotice200ResponseHeaders{etag(n.Version)}}, nil
}

// moveNotice runs move on the notice, when its version is one that match names.
func (h *handlers) moveNotice(ctx context.Context, cf, number, match string, move func(context.Context, iuv.Number) (gateway.Notice, error)) (n gateway.Notice, err error) {
	num, err := pathNumber(number)
	if err != nil {
		return n, err
	}
	if match == "" {
		return move(ctx, num)
	}
	err = h.svc.Atomically(ctx, func(ctx context.Context, tx gateway.Tx) error {
		// Locked, so that it is still this version when it is moved.
		n, err = tx.LockNotice(gateway.SchoolCode(cf), num)
		if err != nil {
			return err
		}
		if !matches(match, etag(n.Version)) {
			return problemStale
		}
		n, err = move(ctx, num)
		return err
	})
	return n, err
}

// isNull says whether a member of the body is given as null.
func (k *call) isNull(path ...string) bool {
	v := json.RawMessage(k.body)
	for _, name := range path {
		var m map[string]json.RawMessage
		if json.Unmarshal(v, &m) != nil {
			return false
		}
		v = m[name]
	}
	return string(v) == "null"
}

// matches compares strongly (RFC 9110, section 13.1.1).
func matches(header, tag string) bool {
	if strings.TrimSpace(header) == "*" {
		return true
	}
	for t := range strings.SplitSeq(header, ",") {
		if strings.TrimSpace(t) == tag {
			return true
		}
	}
	return false
}

func (h *handlers) ListNotices(ctx context.Context, r ListNoticesRequestObject) (ListNoticesResponseObject, error) {
	ctx, _ = begin(ctx)
	p := r.Params
	var bad gateway.Invalid
	f := gateway.NoticeFilter{
		State: gateway.NoticeState(p.Status), Class: p.Class, Campaign: p.Campaign, ExternalID: p.ExternalID, Query: p.Q,
		Pupil: p.Pupil, Plan: p.Plan,
		DueFrom: day("due_from", p.DueFrom, &bad), DueTo: day("due_to", p.DueTo, &bad),
		PaidFrom: moment("paid_from", p.PaidFrom, false, &bad), PaidTo: moment("paid_to", p.PaidTo, true, &bad),
	}
	if err := bad.Err(); err != nil {
		return nil, err
	}
	out, err := h.listNotices(ctx, r.Cf, f, p.Limit, p.Cursor)
	if errors.Is(err, gateway.ErrTooBroad) {
		return nil, wrong("q", "range", "too many people have a name that begins so: give more of it")
	}
	return ListNotices200JSONResponse{NoticePageJSONResponse(out)}, err
}

func (h *handlers) SearchNotices(ctx context.Context, r SearchNoticesRequestObject) (SearchNoticesResponseObject, error) {
	ctx, k := begin(ctx)
	code, err := gateway.ParseFiscalCode(r.Body.Debtor)
	if err != nil {
		return nil, wrong("debtor", "format", "give a codice fiscale of 16 characters, 11 digits, or ANONIMO")
	}
	// Whoever looks a person up leaves a trace, which does not say whom.
	err = h.svc.Atomically(ctx, func(_ context.Context, tx gateway.Tx) error {
		return tx.AppendAudit(gateway.Audit{School: gateway.SchoolCode(r.Cf), Actor: k.caller.actor(), Action: "notices.searched", At: h.svc.Now()})
	})
	if err != nil {
		return nil, err
	}
	out, err := h.listNotices(ctx, r.Cf, gateway.NoticeFilter{Debtor: code}, r.Params.Limit, r.Params.Cursor)
	return SearchNotices200JSONResponse{NoticePageJSONResponse(out)}, err
}

func (h *handlers) listNotices(ctx context.Context, cf string, f gateway.NoticeFilter, limit int, cursor string) (NoticePage, error) {
	limit = pageSize(limit)
	list := "notices " + cf
	before, err := h.before(list, cursor)
	if err != nil {
		return NoticePage{}, err
	}
	f.Before, f.Limit = before, limit+1
	notices, err := h.svc.Notices(ctx, gateway.SchoolCode(cf), f)
	if err != nil {
		return NoticePage{}, err
	}
	notices, next := page(h, list, notices, limit, func(n gateway.Notice) string { return strconv.FormatInt(n.Seq, 10) })
	out := NoticePage{Items: make([]Notice, len(notices)), NextCursor: next}
	for i, n := range notices {
		if n.Receipts == nil && n.SettledBy != "" {
			n.Receipts = []string{n.SettledBy} // lists do not read them all
		}
		out.Items[i] = h.noticeOf(n)
	}
	return out, nil
}

func (h *handlers) ListEvents(ctx context.Context, r ListEventsRequestObject) (ListEventsResponseObject, error) {
	ctx, _ = begin(ctx)
	number, err := pathNumber(r.Number)
	if err != nil {
		return nil, err
	}
	list := "events " + r.Cf + " " + r.Number
	before, err := h.before(list, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	events, err := h.svc.Events(ctx, gateway.SchoolCode(r.Cf), number)
	if err != nil {
		return nil, err
	}
	slices.Reverse(events)
	if before > 0 {
		events = slices.DeleteFunc(events, func(e gateway.Event) bool { return e.Seq >= before })
	}
	events, next := page(h, list, events, pageSize(r.Params.Limit), func(e gateway.Event) string { return strconv.FormatInt(e.Seq, 10) })
	out := ListEvents200JSONResponse{Items: make([]Event, len(events)), NextCursor: next}
	for i, e := range events {
		out.Items[i] = Event{
			Sequence: e.Seq, Type: string(e.Kind), Campaign: text(e.Campaign), Receipt: text(e.Receipt), Anomaly: text(e.Anomaly),
			Attempt: text(e.Attempt), AttemptState: text(e.State), Refund: text(e.Refund), RefundState: text(e.RefundState), At: e.At,
		}
		if e.Actor.Kind != "" {
			out.Items[i].Actor = text(e.Actor.Kind + " " + e.Actor.Name)
		}
	}
	return out, nil
}

func (h *handlers) noticeOf(n gateway.Notice) Notice {
	out := Notice{
		Number: n.Number.String(), Iuv: n.Number.IUV(), Status: NoticeStatus(n.StateAt(h.svc.Now())),
		Description: n.Description, AmountCents: int64(n.Amount), DueDate: n.DueDate.String(), PayableAfterDue: n.PayableAfterDue,
		Taxonomy: n.Taxonomy, Deduction: text(n.Deduction), ExternalID: text(n.ExternalID), Campaign: text(n.Campaign),
		Transfers: make([]Transfer, len(n.Transfers)),
		QrCode:    iuv.QR(n.Number, string(n.School), int64(n.Amount)),
		PayURL:    h.svc.PublicURL("/paga/" + string(n.School) + "/" + n.Number.String()),
		Version:   n.Version, CreatedAt: n.CreatedAt, PaidAt: instant(n.PaidAt), Receipts: n.Receipts,
		Held: n.Held,
	}
	out.Debtor.FiscalCode, out.Debtor.FullName, out.Debtor.Class = string(n.Debtor.Code), n.Debtor.Name, text(n.Debtor.Class)
	for i, t := range n.Transfers {
		out.Transfers[i] = Transfer{
			ID: t.ID, School: string(t.School), Iban: text(t.IBAN), AmountCents: int64(t.Amount), Taxonomy: t.Taxonomy, Remittance: t.Remittance,
		}
		if t.Stamp != nil {
			out.Transfers[i].Stamp = &Stamp{Hash: t.Stamp.Hash, Province: t.Stamp.Province}
		}
	}
	if n.Plan != "" {
		out.Plan = &NoticePlan{ID: n.Plan, Option: NoticePlanOptionSingle, Of: n.PlanParts}
		if n.Instalment > 0 {
			out.Plan.Option, out.Plan.Instalment = NoticePlanOptionInstalment, &n.Instalment
		}
		for _, m := range n.PlanNotices {
			out.Plan.Notices = append(out.Plan.Notices, m.String())
		}
	}
	if out.Receipts == nil {
		out.Receipts = []string{}
	}
	if k := n.LiveToken(h.svc.Now()); k != nil {
		out.Payment = &NoticePayment{State: NoticePaymentStateStarted, Psp: string(k.PSP), ExpiresAt: k.ExpiresAt}
	}
	if p := n.Payment; p != nil {
		method := Method(p.Method)
		out.Payment = &NoticePayment{State: NoticePaymentStateStarted, Method: &method, Psp: string(p.PSP), ExpiresAt: p.ExpiresAt}
		switch p.State {
		case gateway.AttemptUnknown:
			out.Payment.State = NoticePaymentStateUnknown
		case gateway.AttemptAuthorised:
			out.Payment.State = NoticePaymentStateAuthorised
		}
	}
	return out
}

// day reads a day of the query; zero when it is not given.
func day(field, s string, bad *gateway.Invalid) gateway.Date {
	if s == "" {
		return gateway.Date{}
	}
	d, err := gateway.ParseDate(s)
	if err != nil {
		bad.Add(field, "format", "give a date like 2026-12-31")
	}
	return d
}

// moment reads a day in Rome or an instant; zero when it is not given. For an
// end, the day counts whole.
func moment(field, s string, end bool, bad *gateway.Invalid) time.Time {
	if s == "" {
		return time.Time{}
	}
	if d, err := gateway.ParseDate(s); err == nil {
		if !end {
			d = d.AddDays(-1)
		}
		return d.Deadline()
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || t.Year() < 2000 || t.Year() > 2199 {
		bad.Add(field, "format", "give a date like 2026-12-31, or an instant like 2026-12-31T08:00:00Z")
	}
	return t.UTC().Truncate(time.Microsecond)
}
