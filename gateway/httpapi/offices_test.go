// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"slices"
	"strings"
	"testing"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
)

func noticePath(number string) string { return base + "/notices/" + number }

func TestPatchNotice(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	made := a.post(base+"/notices", a.school, noticeJSON("deduction", `"e-bis"`))
	n := as[Notice](t, made, 201)
	if tag := made.Header().Get("ETag"); tag != `"1"` {
		t.Errorf("ETag of a new notice: %s", tag)
	}
	path := noticePath(n.Number)
	w := a.send("PATCH", path, a.school, `{"amount_cents":2000,"due_date":"2027-01-31","description":"Gita a Siena","debtor":{"class":null},"deduction":null,"payable_after_due":true}`, "If-Match", `"1"`)
	got := as[Notice](t, w, 200)
	if got.Number != n.Number || got.AmountCents != 2000 || got.DueDate != "2027-01-31" || got.Description != "Gita a Siena" || got.Debtor.Class != "" ||
		got.Deduction != "" || !got.PayableAfterDue || got.Version != 2 || w.Header().Get("ETag") != `"2"` || !strings.Contains(got.QrCode, "|2000") {
		t.Errorf("changed: %s, ETag %s", w.Body, w.Header().Get("ETag"))
	}
	expect(t, a.send("PATCH", path, a.school, `{"amount_cents":1}`, "If-Match", `"1"`), 412, "version_mismatch")
	if got := as[Notice](t, a.send("PATCH", path, a.school, `{}`), 200); got.Version != 2 {
		t.Errorf("a change of nothing: version %d", got.Version)
	}
	for body, fields := range map[string][]string{
		`{"amount_cents":0}`:                    {"amount_cents range"},
		`{"amount_cents":"1650"}`:               {"amount_cents type"},
		`{"amount_cents":1.5}`:                  {"amount_cents type"},
		`{"due_date":"31/12/2026"}`:             {"due_date format"},
		`{"due_date":null}`:                     {"due_date required"},
		`{"status":"paid"}`:                     {"status unknown"},
		`{"number":"301202600000004244"}`:       {"number unknown"},
		`{"debtor":{"fiscal_code":"X"}}`:        {"debtor.fiscal_code unknown"},
		`{"held":true}`:                         {"held unknown"},
		`{"description":"a","description":"b"}`: {"description duplicate"},
		``:                                      {"body required"},
	} {
		expect(t, a.send("PATCH", path, a.school, body), 400, "invalid_request", fields...)
	}
	expect(t, a.send("PATCH", noticePath("301000000000000000"), a.school, `{}`), 404, "not_found")
	expect(t, a.send("PATCH", noticePath("x"), a.school, `{}`), 404, "not_found")

	page := as[EventPage](t, a.get(path+"/events", a.school), 200)
	if len(page.Items) != 2 || page.Items[0].Type != "notice.changed" {
		t.Errorf("history: %+v", page.Items)
	}

	live := a.g.Issue()
	as[Cart](t, a.post("/api/v1/carts", a.school, cartJSON(live)), 201)
	expect(t, a.send("PATCH", noticePath(live.Number.String()), a.school, `{"amount_cents":1}`), 409, "payment_in_progress")
	paid := a.g.Issue()
	a.g.Settle(paid, "")
	expect(t, a.send("PATCH", noticePath(paid.Number.String()), a.school, `{"amount_cents":1}`), 409, "notice_paid")
}

func TestDraftAndRestore(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	n := as[Notice](t, a.post(base+"/notices", a.school, noticeJSON("status", `"draft"`)), 201)
	if n.Status != NoticeStatusDraft {
		t.Errorf("status %s", n.Status)
	}
	expect(t, a.post("/api/v1/carts", a.school, `{"notices":[{"school":"80014480828","number":"`+n.Number+`"}],"method":"card"}`), 404, "not_found")
	expect(t, a.post(noticePath(n.Number)+"/restore", a.school, ""), 409, "notice_draft")
	if got := as[Notice](t, a.send("PATCH", noticePath(n.Number), a.school, `{"status":"open"}`), 200); got.Status != NoticeStatusOpen || got.Version != 2 {
		t.Errorf("published: %+v", got)
	}
	as[Notice](t, a.post(noticePath(n.Number)+"/cancel", a.school, ""), 200)
	expect(t, a.send("PATCH", noticePath(n.Number), a.school, `{"amount_cents":1}`), 409, "notice_cancelled")
	expect(t, a.post(noticePath(n.Number)+"/restore", a.school, `{"due_date":"x"}`), 400, "invalid_request", "due_date format")
	expect(t, a.post(noticePath(n.Number)+"/restore", a.school, ``, "If-Match", `"1"`), 412, "version_mismatch")
	w := a.post(noticePath(n.Number)+"/restore", a.school, `{"due_date":"2027-02-28"}`, "Idempotency-Key", "r")
	got := as[Notice](t, w, 200)
	if got.Status != NoticeStatusOpen || got.DueDate != "2027-02-28" || got.Number != n.Number || got.Version != 4 || w.Header().Get("ETag") != `"4"` {
		t.Errorf("restored: %+v, ETag %s", got, w.Header().Get("ETag"))
	}
	again := a.post(noticePath(n.Number)+"/restore", a.school, `{"due_date":"2027-02-28"}`, "Idempotency-Key", "r")
	if again.Header().Get("Idempotency-Replayed") != "true" || again.Header().Get("ETag") != `"4"` || again.Body.String() != w.Body.String() {
		t.Errorf("again: %v %s", again.Header(), again.Body)
	}
}

func TestPlans(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	body := noticeJSON("external_id", `"vienna-1"`, "instalments", `[{"amount_cents":1000,"due_date":"2026-12-31"},{"amount_cents":650,"due_date":"2027-01-31"}]`)
	n := as[Notice](t, a.post(base+"/notices", a.school, body), 201)
	if n.Plan == nil || n.Plan.Option != NoticePlanOptionSingle || n.Plan.Instalment != nil || n.Plan.Of != 2 || len(n.Plan.Notices) != 3 || n.Plan.Notices[0] != n.Number {
		t.Fatalf("plan: %+v", n.Plan)
	}
	if again := as[Notice](t, a.post(base+"/notices", a.school, body), 200); again.Number != n.Number || !slices.Equal(again.Plan.Notices, n.Plan.Notices) {
		t.Errorf("again: %+v", again)
	}
	second := as[Notice](t, a.get(noticePath(n.Plan.Notices[2]), a.school), 200)
	if second.Plan.Option != NoticePlanOptionInstalment || *second.Plan.Instalment != 2 || second.AmountCents != 650 || second.DueDate != "2027-01-31" ||
		second.Description != "Viaggio di istruzione 3B - rata 2 di 2" {
		t.Errorf("second instalment: %+v", second)
	}
	if list := as[NoticePage](t, a.get(base+"/notices?plan="+n.Plan.ID, a.school), 200); len(list.Items) != 3 {
		t.Errorf("list of the plan: %d", len(list.Items))
	}
	first, err := a.g.Notice(t.Context(), gatewaytest.SchoolCode, gatewaytest.Number(t, n.Plan.Notices[1]))
	must(t, err)
	a.g.Settle(first, "")
	if got := as[Notice](t, a.get(noticePath(n.Number), a.school), 200); got.Status != NoticeStatusCancelled {
		t.Errorf("the single option is %s", got.Status)
	}
	expect(t, a.post(noticePath(n.Number)+"/restore", a.school, ""), 409, "plan_paid")

	expect(t, a.post(base+"/notices", a.school, noticeJSON("instalments", `[{"amount_cents":1650,"due_date":"2026-12-31"}]`)), 400, "invalid_request", "instalments length")
	expect(t, a.post(base+"/notices/batch", a.school, `{"notices":[`+noticeJSON()+`,`+noticeJSON("instalments", `[{"amount_cents":1000,"due_date":"2026-12-31"},{"amount_cents":651,"due_date":"x"}]`)+`]}`),
		400, "invalid_request", "notices[1].instalments[1].due_date format")
	expect(t, a.post(base+"/notices/batch", a.school, `{"notices":[`+noticeJSON("instalments", `[{"amount_cents":1000,"due_date":"2026-12-31"},{"amount_cents":651,"due_date":"2026-12-31"}]`)+`]}`),
		400, "invalid_request", "notices[0].instalments sum")
}

func TestStamps(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	transfers := `[{"amount_cents":1650},{"amount_cents":1600,"stamp":{"hash":"YWJjZA==","province":"GR"}}]`
	n := as[Notice](t, a.post(base+"/notices", a.school, noticeJSON("amount_cents", "3250", "transfers", transfers)), 201)
	if len(n.Transfers) != 2 || n.Transfers[1].Iban != "" || n.Transfers[1].Stamp == nil || n.Transfers[1].Stamp.Province != "GR" || n.Transfers[0].Stamp != nil {
		t.Errorf("transfers: %+v", n.Transfers)
	}
	bad := `[{"amount_cents":1650},{"amount_cents":1600,"iban":"IT60X0542811101000000123456","stamp":{"hash":"?","province":"gr"}}]`
	expect(t, a.post(base+"/notices", a.school, noticeJSON("amount_cents", "3250", "transfers", bad)), 400, "invalid_request",
		"transfers[1].stamp.hash format", "transfers[1].stamp.province format", "transfers[1].iban unknown")
}

func TestFindByName(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.g.Family()
	n := a.g.Issue()
	a.g.Issue(func(n *gateway.NewNotice) {
		n.DebtorCode, n.DebtorName = string(gatewaytest.ParentCode), "Niccolò De Luca"
	})
	for q, want := range map[string]int{"q=ross": 1, "q=maria+ro": 1, "q=NICCOLO": 1, "q=rossini": 0, "q=ro": 1, "q=ros+mari": 1, "q=mario": 0, "pupil=p1": 1, "pupil=nobody": 0, "q=" + n.Number.String(): 1} {
		if got := as[NoticePage](t, a.get(base+"/notices?"+q, a.school), 200); len(got.Items) != want {
			t.Errorf("?%s: %d notices, want %d", q, len(got.Items), want)
		}
	}
}
