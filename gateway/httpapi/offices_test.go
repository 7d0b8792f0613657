// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

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
	expect(t, a.post("/api/v1/carts", a.school, `{"notices":[{"school":"80014480828","number":"`+n.Number+`"}],"method":"card"}`), 409, "notice_draft")
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

func pupilJSON(with ...string) string {
	return withMembers(`{"fiscal_code":"RSSMRA10A41H501F","first_name":"Maria","last_name":"Rossi","class":"3B"}`, with)
}

func payerJSON(with ...string) string {
	return withMembers(`{"fiscal_code":"RSSMRA80A01H501U","first_name":"Mario","last_name":"Rossi","email":"mario@example.org","relation":"father"}`, with)
}

const delegateJSON = `{"fiscal_code":"RSSMRA80A01H501U","first_name":"Mario","last_name":"Rossi","email":"mario@example.org"}`

// withMembers replaces members of an object, "-" leaves one out.
func withMembers(object string, with []string) string {
	var m map[string]json.RawMessage
	if err := json.Unmarshal([]byte(object), &m); err != nil {
		panic(err)
	}
	for i := 0; i < len(with); i += 2 {
		if m[with[i]] = json.RawMessage(with[i+1]); with[i+1] == "-" {
			delete(m, with[i])
		}
	}
	b, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func TestRegistry(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	path := base + "/pupils/p1"
	expect(t, a.get(path, a.school), 404, "not_found")
	w := a.send("PUT", path, a.school, pupilJSON())
	got := as[map[string]any](t, w, 201)
	var want map[string]any
	must(t, json.Unmarshal([]byte(`{"id":"p1","fiscal_code":"RSSMRA10A41H501F","first_name":"Maria","last_name":"Rossi","class":"3B","school_year":"2026/27","kind":"pupil","payers":[]}`), &want))
	if !reflect.DeepEqual(got, want) || w.Header().Get("Location") != path {
		t.Errorf("got  %v at %s\nwant %v", got, w.Header().Get("Location"), want)
	}
	tag := w.Header().Get("ETag")
	w = a.send("PUT", path+"/payers/y1", a.school, payerJSON("id", `"y1"`))
	y := as[RegistryPayer](t, w, 201)
	if y != (RegistryPayer{ID: "y1", FiscalCode: "RSSMRA80A01H501U", FirstName: "Mario", LastName: "Rossi", Email: "mario@example.org", Relation: "father", Language: "it"}) {
		t.Errorf("payer: %+v", y)
	}
	payerTag := w.Header().Get("ETag")
	expect(t, a.send("PUT", path, a.school, pupilJSON(), "If-Match", tag), 412, "version_mismatch")
	read := a.get(path, a.school)
	p := as[Pupil](t, read, 200)
	if len(p.Payers) != 1 || p.Payers[0] != y || read.Header().Get("ETag") == tag {
		t.Errorf("pupil with its payer: %s", read.Body)
	}
	// What was read can be written again.
	if w := a.send("PUT", path, a.school, read.Body.String(), "If-Match", read.Header().Get("ETag")); w.Code != 200 || w.Body.String() != read.Body.String() {
		t.Errorf("written as it was read: %d %s", w.Code, w.Body)
	}
	expect(t, a.send("PUT", path+"/payers/y1", a.school, payerJSON(), "If-Match", `"x"`), 412, "version_mismatch")
	expect(t, a.send("PUT", path+"/payers/y2", a.school, payerJSON(), "If-Match", "*"), 412, "version_mismatch")
	if w := a.send("PUT", path+"/payers/y1", a.school, payerJSON("relation", `"guardian"`), "If-Match", payerTag); w.Code != 200 {
		t.Errorf("changed payer: %d %s", w.Code, w.Body)
	}
	if w := a.send("DELETE", path+"/payers/y1", a.school, ""); w.Code != 204 || w.Body.Len() != 0 {
		t.Errorf("unlinked: %d %s", w.Code, w.Body)
	}
	expect(t, a.send("DELETE", path+"/payers/y1", a.school, ""), 404, "not_found")
	expect(t, a.send("PUT", base+"/pupils/p2/payers/y1", a.school, payerJSON()), 404, "not_found")

	for address, fields := range map[string][]string{
		"/pupils/RSSMRA10A41H501F":               {"pupil personal_data"},
		"/pupils/rssmra10a41h501f":               {"pupil personal_data"},
		"/pupils/a%20b":                          {"pupil format"},
		"/pupils/p1/payers/RSSMRA80A01H501U":     {"payer personal_data"},
		"/pupils/x*/payers/y":                    {"pupil format"},
		"/classes/RSSMRA80A01H501U/delegates/y1": {"class personal_data"},
		"/classes/3B/delegates/RSSMRA80A01H501U": {"payer personal_data"},
	} {
		body := pupilJSON()
		if strings.Contains(address, "payers") {
			body = payerJSON()
		} else if strings.Contains(address, "delegates") {
			body = delegateJSON
		}
		expect(t, a.send("PUT", base+address, a.school, body), 400, "invalid_request", fields...)
	}
	expect(t, a.get(base+"/pupils/RSSMRA10A41H501F", a.school), 400, "invalid_request", "pupil personal_data")
	expect(t, a.send("PUT", path, a.school, pupilJSON("id", `"p2"`)), 400, "invalid_request", "id unknown")
	expect(t, a.send("PUT", path, a.school, pupilJSON("fiscal_code", "-")), 400, "invalid_request", "fiscal_code required")
	expect(t, a.send("PUT", path, a.school, pupilJSON("fiscal_code", `12345678901`)), 400, "invalid_request", "fiscal_code type")
	expect(t, a.send("PUT", path, a.school, pupilJSON("payers", `[{"id":"y1"}]`)), 400, "invalid_request",
		"payers[0].fiscal_code required", "payers[0].first_name required", "payers[0].last_name required", "payers[0].relation required")
	expect(t, a.send("PUT", path, a.school, pupilJSON("born", `"2010"`)), 400, "invalid_request", "born unknown")
	if strings.Contains(a.log.String(), "RSSMRA") {
		t.Error("the log has a fiscal code in it")
	}
}

func TestListPupils(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for i := range 5 {
		a.g.Time.Advance(time.Duration(i%2) * time.Second) // some at the same instant
		as[Pupil](t, a.send("PUT", fmt.Sprintf("%s/pupils/p%d", base, i), a.school, pupilJSON("payers", `[`+payerJSON("id", `"y1"`)+`]`)), 201)
	}
	var got []string
	cursor := ""
	for range 4 {
		p := as[PupilPage](t, a.get(base+"/pupils?limit=2&q=ross&class=3B&cursor="+cursor, a.school), 200)
		for _, p := range p.Items {
			got = append(got, p.ID)
			if len(p.Payers) != 1 {
				t.Errorf("pupil %s: %d payers", p.ID, len(p.Payers))
			}
		}
		if cursor = string(p.NextCursor); cursor == "" {
			break
		}
	}
	if !slices.Equal(got, []string{"p4", "p3", "p2", "p1", "p0"}) {
		t.Errorf("pages: %v", got)
	}
	search := func(code string) int {
		return len(as[PupilPage](t, a.post(base+"/pupils/search", a.school, `{"fiscal_code":"`+code+`"}`, "Idempotency-Key", ""), 200).Items)
	}
	if n := search("rssmra10a41h501f"); n != 5 {
		t.Errorf("found by code: %d", n)
	}
	if n := search("RSSMRA80A01H501U"); n != 0 {
		t.Errorf("a payer found as a pupil: %d", n)
	}
	expect(t, a.post(base+"/pupils/search", a.school, `{"fiscal_code":"X"}`), 400, "invalid_request", "fiscal_code format")
}

func TestDelegateRoutes(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	path := base + "/classes/3B/delegates/y1"
	as[Delegate](t, a.send("PUT", path, a.school, delegateJSON), 201)
	as[Delegate](t, a.send("PUT", path, a.school, delegateJSON), 200)
	list := a.get(base+"/classes/3B/delegates", a.school)
	if !strings.Contains(list.Body.String(), `"since":"2026-11-23T08:00:00Z"`) || !strings.Contains(list.Body.String(), `"author":"client ngc_`) {
		t.Errorf("delegates: %s", list.Body)
	}
	expect(t, a.send("PUT", path, a.school, payerJSON()), 400, "invalid_request", "relation unknown")
	if w := a.send("DELETE", path, a.school, ""); w.Code != 204 {
		t.Errorf("ended: %d", w.Code)
	}
	expect(t, a.send("DELETE", path, a.school, ""), 404, "not_found")
}

// evidence makes a piece of evidence of a school, or of nobody, and gives its id.
func (a *testAPI) evidence(school gateway.SchoolCode) string {
	a.t.Helper()
	if school == "" {
		must(a.t, a.g.KeepEvidence(a.t.Context(), gateway.EvidenceSyntax, "paSendRTV2", []byte("<of>nobody</of>")))
	} else {
		r := gatewaytest.Receipt(a.g.Issue(), "altered")
		for range 2 { // the second one says something else
			_, err := a.g.Deliver(r)
			must(a.t, err)
			r.ChannelDescription += "!"
			r.Method = "other"
		}
	}
	list, err := a.g.Evidences(a.t.Context(), school, gateway.EvidenceFilter{Limit: 1})
	must(a.t, err)
	if len(list) == 0 {
		a.t.Fatal("no evidence was kept")
	}
	return list[0].ID
}

func TestEvidence(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	mine, nobodys := a.evidence(gatewaytest.SchoolCode), a.evidence("")
	path := base + "/evidence/" + mine
	e := as[Evidence](t, a.get(path, a.school), 200)
	if e.Kind != "altered_copy" || e.Operation != "paSendRTV2" || e.ReceiptID != "altered" || e.School != string(gatewaytest.SchoolCode) || len(e.Sha256) != 64 {
		t.Errorf("evidence: %+v", e)
	}
	w := a.get(path, a.school, "Accept", "application/xml")
	if w.Body.String() != `<receipt id="altered"/>` || w.Header().Get("Content-Type") != "application/xml" {
		t.Errorf("bytes: %s as %s", w.Body, w.Header().Get("Content-Type"))
	}
	expect(t, a.get(path, a.school, "Accept", "text/html"), 406, "not_acceptable")
	trail := as[struct{ Items []AuditLine }](t, a.get(base+"/audit?action=evidence.raw_read", a.school), 200).Items
	if len(trail) != 1 || string(trail[0].Object) != mine || !strings.HasPrefix(trail[0].Actor, "client ngc_") {
		t.Errorf("who read the bytes: %+v", trail)
	}
	// What names no school of ours is the operator's, and only that.
	expect(t, a.get(base+"/evidence/"+nobodys, a.school), 404, "not_found")
	expect(t, a.get("/api/v1/evidence/"+mine, a.admin), 404, "not_found")
	if w := a.get("/api/v1/evidence/"+nobodys, a.admin, "Accept", "application/xml"); w.Body.String() != "<of>nobody</of>" {
		t.Errorf("bytes of nobody's: %s", w.Body)
	}
	second := a.evidence(gatewaytest.SchoolCode)
	p := as[EvidencePage](t, a.get(base+"/evidence?limit=1&kind=altered_copy", a.school), 200)
	if len(p.Items) != 1 || p.Items[0].ID != second || p.NextCursor == "" {
		t.Errorf("first page: %+v", p)
	}
	p = as[EvidencePage](t, a.get(base+"/evidence?limit=1&kind=altered_copy&cursor="+string(p.NextCursor), a.school), 200)
	if len(p.Items) != 1 || p.Items[0].ID != mine || p.NextCursor != "" {
		t.Errorf("second page: %+v", p)
	}
	if p := as[EvidencePage](t, a.get(base+"/evidence?kind=refused", a.school), 200); len(p.Items) != 0 {
		t.Errorf("of another kind: %+v", p)
	}
	if p := as[EvidencePage](t, a.get("/api/v1/evidence", a.admin), 200); len(p.Items) != 1 || p.Items[0].ID != nobodys {
		t.Errorf("of nobody: %+v", p)
	}
	expect(t, a.get(base+"/evidence?kind=x", a.school), 400, "invalid_request", "kind unknown")
}

func TestAudit(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	as[Pupil](t, a.send("PUT", base+"/pupils/p1", a.school, pupilJSON()), 201)
	as[Pupil](t, a.get(base+"/pupils/p1", a.school), 200)
	n := a.g.Issue()
	as[Notice](t, a.send("PATCH", noticePath(n.Number.String()), a.school, `{"amount_cents":1}`), 200)
	lines := func(query string) (out []string) {
		for _, l := range as[struct{ Items []AuditLine }](t, a.get(base+"/audit?"+query, a.school), 200).Items {
			out = append(out, l.Action)
		}
		return out
	}
	if got := lines("object=p1"); !slices.Equal(got, []string{"pupil.read", "pupil.put"}) {
		t.Errorf("of the pupil: %q", got)
	}
	if got := lines("object=" + n.Number.String()); !slices.Equal(got, []string{"notice.changed"}) {
		t.Errorf("of the notice: %q", got)
	}
	if got := lines("from=2026-11-24"); got != nil {
		t.Errorf("of tomorrow: %q", got)
	}
	if got := lines("to=2026-11-23&limit=1"); !slices.Equal(got, []string{"notice.changed"}) {
		t.Errorf("the last one: %q", got)
	}
	expect(t, a.get(base+"/audit?from=x", a.school), 400, "invalid_request", "from format")
}

func TestChangeSchool(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	n := a.g.Issue()
	w := a.send("PATCH", base, a.admin, `{"name":"IC Grosseto 6","iban":"IT45R0760103200000000001016","cbill":"ABCDE","postal_account":"1016","postal_iban":"IT45R0760103200000000001016","postal_holder":"IC Grosseto 6","postal_authorization":"AUT. DB/1"}`, "If-Match", `"1"`)
	got := as[School](t, w, 200)
	if got.Name != "IC Grosseto 6" || got.Cbill != "ABCDE" || got.PostalAccount != "000000001016" || got.Version != 2 || w.Header().Get("ETag") != `"2"` || got.Station != gatewaytest.Station {
		t.Errorf("changed: %+v", got)
	}
	if got := as[Notice](t, a.get(noticePath(n.Number.String()), a.school), 200); string(got.Transfers[0].Iban) != gatewaytest.IBAN {
		t.Errorf("an issued notice pays into %s", got.Transfers[0].Iban)
	}
	got = as[School](t, a.send("PATCH", base, a.admin, `{"cbill":null,"postal_account":null,"postal_iban":null,"postal_holder":null,"postal_authorization":null}`), 200)
	if got.Cbill != "" || got.PostalIban != "" || got.Version != 3 {
		t.Errorf("emptied: %+v", got)
	}
	if got := as[School](t, a.send("PATCH", base, a.admin, `{}`), 200); got.Version != 3 {
		t.Errorf("a change of nothing: version %d", got.Version)
	}
	expect(t, a.send("PATCH", base, a.admin, `{"name":"x"}`, "If-Match", `"1"`), 412, "version_mismatch")
	expect(t, a.send("PATCH", base, a.admin, `{"iban":"IT00","segregation_code":"x","name":""}`), 400, "invalid_request", "name length", "iban format", "segregation_code format")
	expect(t, a.send("PATCH", base, a.admin, `{"fiscal_code":"80014480828"}`), 400, "invalid_request", "fiscal_code unknown")
	expect(t, a.send("PATCH", base, a.school, `{}`), 403, "insufficient_scope")
	expect(t, a.send("PATCH", "/api/v1/schools/99999999999", a.admin, `{}`), 404, "not_found")
}

func TestClients(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	body := `{"name":"segreteria","school":"80014480828","scopes":["notices:read"]}`
	made := as[APISecret](t, a.post("/api/v1/clients", a.admin, body, "Idempotency-Key", "c"), 201)
	expect(t, a.post("/api/v1/clients", a.admin, body, "Idempotency-Key", "c"), 409, "secret_shown_once")
	token := as[Token](t, a.login(form(), made.ClientID, made.ClientSecret), 200).AccessToken
	as[NoticePage](t, a.get(base+"/notices", token), 200)

	// A new secret ends the old one and its tokens at once.
	fresh := as[APISecret](t, a.post("/api/v1/clients/"+made.ClientID+"/rotate", a.admin, ""), 200)
	if fresh.ClientID != made.ClientID || fresh.ClientSecret == made.ClientSecret {
		t.Errorf("rotated: %+v", fresh)
	}
	expect(t, a.get(base+"/notices", token), 401, "invalid_token")
	if w := a.login(form(), made.ClientID, made.ClientSecret); w.Code != 401 {
		t.Errorf("the old secret: %d", w.Code)
	}
	token = as[Token](t, a.login(form(), made.ClientID, fresh.ClientSecret), 200).AccessToken
	as[NoticePage](t, a.get(base+"/notices", token), 200)
	if w := a.send("DELETE", "/api/v1/clients/"+made.ClientID, a.admin, ""); w.Code != 204 {
		t.Errorf("revoked: %d", w.Code)
	}
	expect(t, a.get(base+"/notices", token), 401, "invalid_token")
	expect(t, a.post("/api/v1/clients/"+made.ClientID+"/rotate", a.admin, ""), 404, "not_found")
	expect(t, a.send("DELETE", "/api/v1/clients/ngc_nobody", a.admin, ""), 404, "not_found")
	list := as[struct{ Items []APIClient }](t, a.get("/api/v1/clients?school=80014480828&limit=10", a.admin), 200).Items
	i := slices.IndexFunc(list, func(c APIClient) bool { return c.ClientID == made.ClientID })
	if i < 0 || time.Time(list[i].RevokedAt).IsZero() || !slices.Equal(list[i].Scopes, []string{"notices:read"}) {
		t.Errorf("list: %+v", list)
	}
	expect(t, a.post("/api/v1/clients", a.admin, `{"name":"","school":"80014480828","scopes":["x"]}`), 400, "invalid_request", "name length", "scopes unknown")
	expect(t, a.post("/api/v1/clients", a.admin, `{"name":"x","scopes":["admin"]}`), 400, "invalid_request", "scopes unknown")
}

type quotaFunc func(string) (gateway.Quota, error)

func (f quotaFunc) Take(_ context.Context, client string) (gateway.Quota, error) { return f(client) }

func TestRateLimit(t *testing.T) {
	t.Parallel()
	a := newAPI(t, func(c *Config) { c.PerMinute = 3 })
	for i := range 3 {
		w := a.get(base, a.school)
		if w.Code != 200 || w.Header().Get("RateLimit-Limit") != "3" || w.Header().Get("RateLimit-Remaining") != fmt.Sprint(2-i) || w.Header().Get("RateLimit-Reset") != fmt.Sprint(20*(i+1)) {
			t.Errorf("request %d: %d %v", i, w.Code, w.Header())
		}
	}
	w := a.get(base, a.school)
	expect(t, w, 429, "rate_limited")
	if w.Header().Get("Retry-After") != "20" || w.Header().Get("RateLimit-Remaining") != "0" {
		t.Errorf("refused: %v", w.Header())
	}
	// Others have their own, and who waits may go on.
	as[School](t, a.get(base, a.admin), 200)
	a.g.Time.Advance(20 * time.Second)
	as[School](t, a.get(base, a.school), 200)
	expect(t, a.get(base, a.school), 429, "rate_limited")

	// What all processes count goes first; without it each counts alone.
	answer := gateway.Quota{Limit: 7, RetryAfter: 1500 * time.Millisecond}
	var away error
	a = newAPI(t, func(c *Config) {
		c.PerMinute, c.Quotas = 3, quotaFunc(func(client string) (gateway.Quota, error) {
			if !strings.HasPrefix(client, "ngc_") {
				t.Errorf("counted %q", client)
			}
			return answer, away
		})
	})
	w = a.get(base, a.school)
	expect(t, w, 429, "rate_limited")
	if w.Header().Get("Retry-After") != "2" || w.Header().Get("RateLimit-Limit") != "7" {
		t.Errorf("refused by all: %v", w.Header())
	}
	away = errors.New("redis is away")
	if w := a.get(base, a.school); w.Code != 200 || w.Header().Get("RateLimit-Limit") != "3" {
		t.Errorf("redis away: %d %v", w.Code, w.Header())
	}
}

func TestImportRegistry(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	path := base + "/registry/imports"
	csv := "Matricola;Cognome;Nome;Codice Fiscale;Classe;Anno scolastico;Cognome genitore;Nome genitore;Codice fiscale genitore;E-mail;Parentela\n" +
		"a-1;Rossi;Maria;RSSMRA10A41H501F;3B;2026/2027;Rossi;Mario;RSSMRA80A01H501U;mario@example.org;Padre\n" +
		"a-1;Rossi;Maria;RSSMRA10A41H501F;3B;2026/2027;Verdi;Luigia;BNCLRA75B41F205I;;madre\n" +
		";;;;;;;;;;\n" +
		"a-2;De Luca;Niccolò;ANONIMO;3B;;;;;;\n"
	send := func(query, body string, head ...string) *httptest.ResponseRecorder {
		return a.post(path+query, a.school, body, append([]string{"Content-Type", "text/csv"}, head...)...)
	}
	want := `{"rows":3,"enrolled":2,"changed":0,"unchanged":0,"linked":2,"dry_run":true}`
	if w := send("?dry_run=true", csv); w.Code != 200 || strings.TrimSpace(w.Body.String()) != want {
		t.Errorf("dry run: %d %s", w.Code, w.Body)
	}
	expect(t, a.get(base+"/pupils/a-1", a.school), 404, "not_found")
	first := send("", csv, "Idempotency-Key", "r")
	if first.Code != 200 || !strings.Contains(first.Body.String(), `"enrolled":2`) {
		t.Fatalf("import: %d %s", first.Code, first.Body)
	}
	if w := send("", csv, "Idempotency-Key", "r"); w.Header().Get("Idempotency-Replayed") != "true" || w.Body.String() != first.Body.String() {
		t.Errorf("replayed: %s", w.Body)
	}
	expect(t, send("", csv+"\n", "Idempotency-Key", "r"), 422, "idempotency_key_reused")
	if w := send("", csv); !strings.Contains(w.Body.String(), `"unchanged":2`) {
		t.Errorf("again: %s", w.Body)
	}
	p := as[Pupil](t, a.get(base+"/pupils/a-1", a.school), 200)
	if len(p.Payers) != 2 || p.SchoolYear != "2026/27" || p.Class != "3B" {
		t.Errorf("pupil: %+v", p)
	}
	for name, c := range map[string]struct {
		body   string
		fields []string
	}{
		"no columns":     {"a;b\n1;2\n", []string{"columns.fiscal_code required", "columns.first_name required", "columns.last_name required"}},
		"a column twice": {"cf;codice fiscale;nome;cognome\nx;y;z;w\n", []string{"columns.fiscal_code duplicate"}},
		"wrong rows": {"cf;nome;cognome;cf genitore;nome genitore;cognome genitore;parentela\nRSSMRA10A41H501X;Maria;Rossi;;;;\nRSSMRA10A41H501F;Maria;Rossi;RSSMRA80A01H501U;Mario;;zio\n",
			[]string{"rows[2].fiscal_code check_letter", "rows[3].payer_last_name required", "rows[3].payer_relation unknown"}},
		"an id that is a code": {"id;cf;nome;cognome\nRSSMRA10A41H501F;RSSMRA10A41H501F;Maria;Rossi\n", []string{"rows[2].id personal_data"}},
		"no rows":              {"cf;nome;cognome\n", []string{"rows length"}},
	} {
		t.Run(name, func(t *testing.T) { expect(t, send("", c.body), 400, "invalid_request", c.fields...) })
	}
	expect(t, a.post(path, a.school, "{}"), 415, "unsupported_media_type")
	if strings.Contains(a.log.String(), "RSSMRA") {
		t.Error("the log has a fiscal code in it")
	}
}
