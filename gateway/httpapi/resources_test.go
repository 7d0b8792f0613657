// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
	"github.com/nodogate/nodogate/receipts"
)

func cartJSON(notices ...gateway.Notice) string {
	var refs []string
	for _, n := range notices {
		refs = append(refs, fmt.Sprintf(`{"school":%q,"number":%q}`, n.School, n.Number))
	}
	return `{"notices":[` + strings.Join(refs, ",") + `],"method":"card"}`
}

// TestNoticeAsTheContractShowsIt: the sample of the outside face, member by
// member.
func TestNoticeAsTheContractShowsIt(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	w := a.post(base+"/notices", a.school, noticeJSON("external_id", `"gita-3b-0001"`, "deduction", `"e-bis"`))
	got := as[map[string]any](t, w, 201)
	num := got["number"].(string)
	iuv := num[1:]
	want := `{ "number": "` + num + `", "iuv": "` + iuv + `", "status": "open", "payment": null,
  "debtor": {"fiscal_code": "RSSMRA10A41H501F", "full_name": "Maria Rossi", "class": "3B"},
  "description": "Viaggio di istruzione 3B", "amount_cents": 1650, "due_date": "2026-12-31", "payable_after_due": false,
  "taxonomy": "9/0801100AP/", "deduction": "e-bis", "external_id": "gita-3b-0001", "campaign": null,
  "transfers": [{"id": 1, "school": "80014480828", "iban": "IT60X0542811101000000123456", "amount_cents": 1650, "taxonomy": "9/0801100AP/", "remittance": "/RFB/` + iuv + `/16.50/TXT/Viaggio di istruzione 3B"}],
  "qr_code": "PAGOPA|002|` + num + `|80014480828|1650", "pay_url": "https://pagamenti.example/paga/80014480828/` + num + `", "version": 1,
  "created_at": "2026-11-23T08:00:00Z", "paid_at": null, "receipts": [] }`
	var wanted map[string]any
	must(t, json.Unmarshal([]byte(want), &wanted))
	if !reflect.DeepEqual(got, wanted) {
		t.Errorf("got  %v\nwant %v", got, wanted)
	}
	if l := w.Header().Get("Location"); l != base+"/notices/"+num {
		t.Errorf("Location = %q", l)
	}
	read := a.get(w.Header().Get("Location"), a.school)
	if !reflect.DeepEqual(as[map[string]any](t, read, 200), wanted) || read.Header().Get("ETag") != `"1"` {
		t.Errorf("read again: %s, ETag %s", read.Body, read.Header().Get("ETag"))
	}
}

func TestExternalID(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	path := base + "/notices"
	first := as[Notice](t, a.post(path, a.school, noticeJSON("external_id", `"a"`)), 201)
	again := a.post(path, a.school, noticeJSON("external_id", `"a"`))
	if got := as[Notice](t, again, 200); got.Number != first.Number || again.Header().Get("Location") == "" {
		t.Errorf("same content: got %s, want %s", got.Number, first.Number)
	}
	expect(t, a.post(path, a.school, noticeJSON("external_id", `"a"`, "amount_cents", "1")), 409, "external_id_exists")
	expect(t, a.post(path, a.school, noticeJSON("number", fmt.Sprintf("%q", first.Number))), 409, "number_exists")
	batch := func(ids ...string) string {
		var list []string
		for _, id := range ids {
			list = append(list, noticeJSON("external_id", fmt.Sprintf("%q", id)))
		}
		return `{"notices":[` + strings.Join(list, ",") + `]}`
	}
	made := as[NoticeBatch](t, a.post(path+"/batch", a.school, batch("a", "b", "c")), 201)
	if len(made.Items) != 3 || made.Items[0].Number != first.Number {
		t.Errorf("batch: got %d notices, first %s", len(made.Items), made.Items[0].Number)
	}
	same := as[NoticeBatch](t, a.post(path+"/batch", a.school, batch("a", "b", "c")), 200)
	if !reflect.DeepEqual(same, made) {
		t.Errorf("the same batch again: got %+v, want %+v", same, made)
	}
	expect(t, a.post(path+"/batch", a.school, `{"notices":[`+noticeJSON()+`,`+noticeJSON("external_id", `"a"`, "amount_cents", "1")+`]}`), 409, "external_id_exists")
	if n := a.issuedNotices(); n != 3 {
		t.Errorf("%d notices, want 3: a batch is all or nothing", n)
	}
}

// Not parallel: the largest request there is has to end within requestTime on a
// busy machine, under the race detector too.
func TestBatchOfAThousand(t *testing.T) {
	a := newAPI(t)
	body := `{"notices":[` + strings.TrimSuffix(strings.Repeat(noticeJSON()+",", gateway.MaxBatch), ",") + `]}`
	got := as[NoticeBatch](t, a.post(base+"/notices/batch", a.school, body, "Idempotency-Key", "b"), 201)
	numbers := map[string]bool{}
	for _, n := range got.Items {
		numbers[n.Number] = true
	}
	if len(numbers) != gateway.MaxBatch {
		t.Errorf("%d different numbers, want %d", len(numbers), gateway.MaxBatch)
	}
	if w := a.post(base+"/notices/batch", a.school, body, "Idempotency-Key", "b"); w.Header().Get("Idempotency-Replayed") != "true" {
		t.Errorf("again: %d, not replayed", w.Code)
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	path := func(n gateway.Notice) string { return base + "/notices/" + n.Number.String() + "/cancel" }
	n := a.g.Issue()
	expect(t, a.post(path(n), a.school, "", "If-Match", `"2"`), 412, "version_mismatch")
	expect(t, a.post(path(n), a.school, "", "If-Match", `W/"1"`), 412, "version_mismatch")
	if s := a.g.State(n); s != gateway.NoticeOpen {
		t.Fatalf("a stale cancel moved the notice to %s", s)
	}
	got := as[Notice](t, a.post(path(n), a.school, "{}", "If-Match", `"7", "1"`), 200)
	if got.Status != "cancelled" || got.Version != 2 {
		t.Errorf("got %s, version %d", got.Status, got.Version)
	}
	if got := as[Notice](t, a.post(path(n), a.school, "", "If-Match", "*"), 200); got.Version != 2 {
		t.Errorf("cancelled twice: version %d", got.Version)
	}
	expect(t, a.post("/api/v1/carts", a.school, cartJSON(n)), 409, "notice_cancelled")

	live := a.g.Issue()
	as[Cart](t, a.post("/api/v1/carts", a.school, cartJSON(live)), 201)
	expect(t, a.post(path(live), a.school, ""), 409, "payment_in_progress")
	paid := a.g.Issue()
	a.g.Settle(paid, "")
	expect(t, a.post(path(paid), a.school, ""), 409, "notice_paid")
}

func TestListAndSearchNotices(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	with := func(f func(*gateway.NewNotice)) gateway.Notice { return a.g.Issue(f) }
	open := with(func(n *gateway.NewNotice) { n.ExternalID = "x-1"; n.Class = "1A" })
	expired := with(func(n *gateway.NewNotice) { n.DueDate = "2026-11-01"; n.Campaign = "gita" })
	paid := with(func(n *gateway.NewNotice) { n.DebtorCode = string(gatewaytest.ParentCode) })
	a.g.Settle(paid, "")
	cancelled := with(func(n *gateway.NewNotice) { n.DueDate = "2027-03-01" })
	_, err := a.g.Cancel(t.Context(), gatewaytest.Operator, gatewaytest.SchoolCode, cancelled.Number)
	must(t, err)
	a.g.AddSchool(gatewaytest.OtherCode, "IC 1 Follonica")
	a.g.IssueAt(gatewaytest.OtherCode)

	name := map[string]string{
		open.Number.String(): "open", expired.Number.String(): "expired", paid.Number.String(): "paid", cancelled.Number.String(): "cancelled",
	}
	names := func(p NoticePage) string {
		var list []string
		for _, n := range p.Items {
			list = append(list, name[n.Number])
		}
		return strings.Join(list, " ")
	}
	for query, want := range map[string]string{
		"":                                      "cancelled paid expired open",
		"status=open":                           "open",
		"status=expired":                        "expired",
		"status=paid":                           "paid",
		"status=cancelled":                      "cancelled",
		"status=draft":                          "",
		"class=1A":                              "open",
		"campaign=gita":                         "expired",
		"external_id=x-1":                       "open",
		"q=x-1":                                 "open",
		"q=" + paid.Number.String():             "paid",
		"q=nothing":                             "",
		"due_from=2026-12-31":                   "cancelled paid open",
		"due_to=2026-12-31":                     "paid expired open",
		"due_from=2026-12-31&due_to=2026-12-31": "paid open",
		"paid_from=2026-11-23&paid_to=2026-11-23":              "paid",
		"paid_from=2026-11-24":                                 "",
		"paid_to=2026-11-22":                                   "",
		"paid_from=" + url.QueryEscape("2026-11-23T07:00:00Z"): "paid",
		"paid_to=" + url.QueryEscape("2026-11-23T07:00:00Z"):   "",
		"status=paid&class=1A":                                 "",
	} {
		if got := names(as[NoticePage](t, a.get(base+"/notices?"+query, a.school), 200)); got != want {
			t.Errorf("?%s: got %q, want %q", query, got, want)
		}
	}
	search := func(code string) string {
		return names(as[NoticePage](t, a.post(base+"/notices/search", a.school, `{"debtor":"`+code+`"}`, "Idempotency-Key", ""), 200))
	}
	if got := search(" rssmra80a01h501u"); got != "paid" {
		t.Errorf("search for the parent: got %q", got)
	}
	if got := search(string(gatewaytest.PupilCode)); got != "cancelled expired open" {
		t.Errorf("search for the pupil: got %q", got)
	}
	trail := as[struct{ Items []AuditLine }](t, a.get(base+"/audit?action=notices.searched", a.admin), 200).Items
	if len(trail) != 2 || trail[0].Object != "" {
		t.Errorf("two searches for persons left %+v in the trail", trail)
	}
	for _, n := range as[NoticePage](t, a.get(base+"/notices?status=paid", a.school), 200).Items {
		if len(n.Receipts) != 1 || time.Time(n.PaidAt).IsZero() {
			t.Errorf("paid notice in a list: receipts %v, paid_at %v", n.Receipts, n.PaidAt)
		}
	}
}

// Pages hold every item once, also when more are issued while reading.
func TestPages(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	var want []string
	for range 7 {
		want = append(want, a.g.Issue().Number.String())
	}
	slices.Reverse(want)
	var got []string
	cursor, pages := "", 0
	for {
		p := as[NoticePage](t, a.get(base+"/notices?limit=3&cursor="+cursor, a.school), 200)
		for _, n := range p.Items {
			got = append(got, n.Number)
		}
		pages++
		a.g.Issue()
		if cursor = string(p.NextCursor); cursor == "" {
			break
		}
	}
	if pages != 3 || !slices.Equal(got, want) {
		t.Errorf("%d pages: got %v, want %v", pages, got, want)
	}

	next := string(as[NoticePage](t, a.get(base+"/notices?limit=1", a.school), 200).NextCursor)
	flipped := []byte(next)
	flipped[len(flipped)-1] ^= 1
	a.g.AddSchool(gatewaytest.OtherCode, "IC 1 Follonica")
	for name, path := range map[string]string{
		"altered":      base + "/notices?cursor=" + string(flipped),
		"other list":   base + "/receipts?cursor=" + next,
		"other school": "/api/v1/schools/" + string(gatewaytest.OtherCode) + "/notices?cursor=" + next,
		"schools":      "/api/v1/schools?cursor=" + next,
		"long":         base + "/notices?cursor=" + strings.Repeat("A", 129),
	} {
		p := problemIn(t, a.get(path, a.admin))
		if p.Status != 400 || p.Errors[0].Field != "cursor" {
			t.Errorf("%s cursor: got %+v", name, p)
		}
	}
}

func TestSchools(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	body := `{"fiscal_code":"80015010723","name":"IC 1 Follonica","iban":"IT60X0542811101000000123456","segregation_code":"02","mechanographic_code":"GRIC83000X","cbill":null}`
	made := a.post("/api/v1/schools", a.admin, body)
	got := as[School](t, made, 201)
	want := School{
		FiscalCode: "80015010723", Name: "IC 1 Follonica", Iban: gatewaytest.IBAN, SegregationCode: "02", Broker: "80015010723",
		Station: "80015010723_01", MechanographicCode: "GRIC83000X", Taxonomy: gateway.DefaultTaxonomy, Version: 1, CreatedAt: gatewaytest.Start,
	}
	if got != want || made.Header().Get("Location") != "/api/v1/schools/80015010723" {
		t.Errorf("got %+v at %s\nwant %+v", got, made.Header().Get("Location"), want)
	}
	if !strings.Contains(made.Body.String(), `"cbill":null`) {
		t.Errorf("an empty text is not null: %s", made.Body)
	}
	if got := as[School](t, a.post("/api/v1/schools", a.admin, body), 200); got != want {
		t.Errorf("again: got %+v", got)
	}
	a.g.Time.Advance(time.Second)
	a.post("/api/v1/schools", a.admin, `{"fiscal_code":"77777777777","name":"A","iban":"IT60X0542811101000000123456","segregation_code":"03","postal_account":"1234","postal_iban":"IT60X0542811101000000123456","postal_holder":"A","postal_authorization":"AUT"}`)
	var codes []string
	cursor := ""
	for range 5 {
		p := as[SchoolPage](t, a.get("/api/v1/schools?limit=1&cursor="+cursor, a.admin), 200)
		for _, s := range p.Items {
			codes = append(codes, s.FiscalCode)
		}
		if cursor = string(p.NextCursor); cursor == "" {
			break
		}
	}
	if !slices.Equal(codes, []string{"80015010723", "80014480828"}) {
		t.Errorf("pages of schools: %v", codes)
	}
	w := a.get(base, a.school)
	if got := as[School](t, w, 200); got.FiscalCode != string(gatewaytest.SchoolCode) || w.Header().Get("ETag") != `"1"` {
		t.Errorf("own school: %+v, ETag %s", got, w.Header().Get("ETag"))
	}
}

func TestEvents(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	n := as[Notice](t, a.post(base+"/notices", a.school, noticeJSON()), 201)
	as[Notice](t, a.post(base+"/notices/"+n.Number+"/cancel", a.school, ""), 200)
	path := base + "/notices/" + n.Number + "/events"
	first := as[EventPage](t, a.get(path+"?limit=1", a.school), 200)
	if len(first.Items) != 1 || first.Items[0].Type != "notice.cancelled" || !strings.HasPrefix(string(first.Items[0].Actor), "client ngc_") {
		t.Errorf("got %+v, want the cancellation first", first.Items)
	}
	rest := as[EventPage](t, a.get(path+"?cursor="+string(first.NextCursor), a.school), 200)
	if len(rest.Items) != 1 || rest.Items[0].Type != "notice.issued" || rest.NextCursor != "" {
		t.Errorf("then %+v, want the issue alone", rest)
	}
}

func TestReceipts(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	n := a.g.Issue()
	r := gatewaytest.Receipt(n, "rt-1")
	r.Payer = &receipts.Subject{Type: "F", ID: string(gatewaytest.ParentCode), FullName: "Mario Rossi"}
	v, err := a.g.Deliver(r)
	must(t, err)
	double, err := a.g.Deliver(gatewaytest.Receipt(n, "rt-2"))
	must(t, err)
	path := base + "/receipts/" + v.Receipt.ID
	got := as[map[string]any](t, a.get(path, a.school), 200)
	var want map[string]any
	must(t, json.Unmarshal([]byte(`{"id":"`+v.Receipt.ID+`","receipt_id":"rt-1","notice":{"school":"80014480828","number":"`+n.Number.String()+`"},
		"amount_cents":1650,"paid_at":"2026-11-23T08:01:00Z","psp":{"id":"BANCAUNO","name":"Banca Uno"},"method":"creditCard","channel":"node",
		"payer":{"fiscal_code":"RSSMRA80A01H501U","full_name":"Mario Rossi"},"role":"creditor","anomaly":null,"seal":null,"received_at":"2026-11-23T08:00:00Z"}`), &want))
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	for accept, want := range map[string]struct{ media, body string }{
		"application/xml":                  {"application/xml", `<receipt id="rt-1"/>`},
		"application/pdf":                  {"application/pdf", "%PDF-1.7 " + v.Receipt.ID + " IC 6 Grosseto"},
		"text/html, application/xml;q=0.9": {"application/xml", `<receipt id="rt-1"/>`},
	} {
		w := a.get(path, a.school, "Accept", accept)
		if w.Code != 200 || w.Header().Get("Content-Type") != want.media || w.Body.String() != want.body {
			t.Errorf("Accept %s: got %d %s %q, want %s %q", accept, w.Code, w.Header().Get("Content-Type"), w.Body, want.media, want.body)
		}
	}
	if w := a.get(path, a.school, "Accept", "*/*"); w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("Accept */*: got %s", w.Header().Get("Content-Type"))
	}
	expect(t, a.get(path, a.school, "Accept", "image/png"), 406, "not_acceptable")

	for query, want := range map[string][]string{
		"":                              {double.Receipt.ID, v.Receipt.ID},
		"anomaly=any":                   {double.Receipt.ID},
		"anomaly=double_payment":        {double.Receipt.ID},
		"anomaly=amount_mismatch":       nil,
		"notice=" + n.Number.String():   {double.Receipt.ID, v.Receipt.ID},
		"notice=301000000000000000":     nil,
		"from=2026-11-23&to=2026-11-23": {double.Receipt.ID, v.Receipt.ID},
		"from=2026-11-24":               nil,
		"to=2026-11-22":                 nil,
		"limit=1":                       {double.Receipt.ID},
	} {
		var ids []string
		for _, r := range as[ReceiptPage](t, a.get(base+"/receipts?"+query, a.school), 200).Items {
			ids = append(ids, r.ID)
		}
		if !slices.Equal(ids, want) {
			t.Errorf("?%s: got %v, want %v", query, ids, want)
		}
	}
	notice := as[Notice](t, a.get(base+"/notices/"+n.Number.String(), a.school), 200)
	if notice.Status != "paid" || len(notice.Receipts) != 2 {
		t.Errorf("the notice reads %s with receipts %v", notice.Status, notice.Receipts)
	}
}

func TestCarts(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.g.AddSchool(gatewaytest.OtherCode, "IC 1 Follonica")
	x, y, foreign := a.g.Issue(), a.g.Issue(), a.g.IssueAt(gatewaytest.OtherCode)
	w := a.post("/api/v1/carts", a.school, strings.TrimSuffix(cartJSON(x, y), "}")+`,"payer":{"email":"mario@example.org","fiscal_code":"RSSMRA80A01H501U"}}`)
	cart := as[Cart](t, w, 201)
	if cart.State != "redirected" || cart.AmountCents != 3300 || cart.FeeCents != 100 || !strings.HasPrefix(cart.RedirectURL, "https://psp.example/BANCAUNO/") {
		t.Errorf("got %+v", cart)
	}
	if w.Header().Get("Location") != "/api/v1/carts/"+cart.ID {
		t.Errorf("Location = %s", w.Header().Get("Location"))
	}
	if got := as[Cart](t, a.get("/api/v1/carts/"+cart.ID, a.school), 200); got != cart {
		t.Errorf("read again: %+v", got)
	}
	notice := as[Notice](t, a.get(base+"/notices/"+x.Number.String(), a.school), 200)
	if p := notice.Payment; p == nil || p.State != "started" || p.Method == nil || *p.Method != "card" || p.Psp != "BANCAUNO" || !p.ExpiresAt.After(a.g.Now()) {
		t.Errorf("payment of the notice: %+v", p)
	}
	expect(t, a.post("/api/v1/carts", a.school, cartJSON(x)), 409, "payment_in_progress")
	expect(t, a.post("/api/v1/carts", a.school, cartJSON(foreign)), 404, "not_found")
	c, secret := a.g.Client(gatewaytest.OtherCode, gateway.Scopes...)
	other := a.token(c, secret)
	expect(t, a.get("/api/v1/carts/"+cart.ID, other), 404, "not_found")
	a.g.Settle(x, cart.ID)
	a.g.Settle(y, cart.ID)
	if got := as[Cart](t, a.get("/api/v1/carts/"+cart.ID, a.school), 200); got.State != "closed_ok" || got.RedirectURL != "" {
		t.Errorf("after both receipts: %+v", got)
	}
	expect(t, a.post("/api/v1/carts", a.school, cartJSON(x)), 409, "notice_paid")
	expired := a.g.Issue(func(n *gateway.NewNotice) { n.DueDate = "2026-11-01" })
	expect(t, a.post("/api/v1/carts", a.school, cartJSON(expired)), 409, "notice_expired")

	for err, want := range map[error]string{
		gateway.ErrRefused: "409 psp_refused", gateway.ErrOutcomeUnknown: "503 psp_unavailable", gateway.ErrPSPUnavailable: "503 psp_unavailable",
		errors.New("something with a secret in it"): "500 internal",
	} {
		a.g.PSPs.OnStart(func(context.Context, gateway.PSPID, gateway.Order) (gateway.Started, error) {
			return gateway.Started{}, err
		})
		w := a.post("/api/v1/carts", a.school, cartJSON(a.g.Issue()))
		if p := problemIn(t, w); fmt.Sprintf("%d %s", w.Code, p.Code) != want || strings.Contains(w.Body.String(), "secret in it") {
			t.Errorf("PSP says %v: got %d %s, want %s", err, w.Code, w.Body, want)
		}
	}
}

func TestPaymentMethods(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.g.PSPs.Down("BANCAUNO", true)
	w := a.get("/api/v1/payment-methods?amount_cents=1650", a.school)
	want := `[{"method":"card","psps":[{"available":true,"fee_cents":150,"id":"CARTASI","name":"Carta Sì"},{"available":false,"fee_cents":100,"id":"BANCAUNO","name":"Banca Uno","unavailable_reason":"not_answering"}]},` +
		`{"method":"account_debit","psps":[{"available":false,"fee_cents":100,"id":"BANCAUNO","name":"Banca Uno","unavailable_reason":"not_answering"}]},` +
		`{"method":"postal_bulletin","psps":[{"available":true,"fee_cents":150,"id":"POSTE","name":"Poste"}]}]` + "\n"
	if w.Code != 200 || w.Body.String() != want {
		t.Errorf("got %d %s\nwant %s", w.Code, w.Body, want)
	}
}

func TestDocument(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	var doc struct {
		OpenAPI string `json:"openapi"`
		Paths   map[string]map[string]any
	}
	w := a.get("/api/openapi.json", "")
	must(t, json.Unmarshal(w.Body.Bytes(), &doc))
	if doc.OpenAPI != "3.1.0" || strings.Contains(w.Body.String(), "x-go-") {
		t.Errorf("document says %s, or shows the generator's hints", doc.OpenAPI)
	}
	// Exactly what runs.
	served := map[string]bool{}
	for _, r := range a.engine.Routes() {
		served[r.Method+" "+r.Path] = true
	}
	for path, item := range doc.Paths {
		for method := range item {
			if m := strings.ToUpper(method); method != "parameters" && !served[m+" "+ginPath(path)] {
				t.Errorf("%s %s is in the document and does not run", m, path)
			}
		}
	}
	page := a.get("/api/docs", "")
	html := page.Body.String()
	for _, want := range []string{"/api/v1/schools/{cf}/notices/batch", `id="payment_in_progress"`, `id="NewNotice"`, `<html lang="en">`, `&#34;external_id&#34;: &#34;gita-3b-0001&#34;`} {
		if !strings.Contains(html, want) {
			t.Errorf("the docs page has no %q", want)
		}
	}
	for _, bad := range []string{"<script", "<img", "<link", "url(", `="http`, "<no value>", "ZgotmplZ", "[null]"} {
		if strings.Contains(html, bad) {
			t.Errorf("the docs page has %q", bad)
		}
	}
	if p := page.Header().Get("Content-Security-Policy"); !strings.Contains(p, "style-src 'sha256-") || strings.Contains(p, "unsafe") {
		t.Errorf("policy of the docs page: %s", p)
	}
}

// Codes are sent: never renamed.
func TestProblemCodes(t *testing.T) {
	t.Parallel()
	var got []string
	for _, p := range allProblems() {
		got = append(got, fmt.Sprintf("%d %s", p.status, p.code))
		if p.title == "" || p.detail == "" {
			t.Errorf("%s says nothing", p.code)
		}
	}
	want := []string{
		"400 invalid_request", "401 token_required", "401 invalid_token", "403 insufficient_scope", "403 refund_own_request", "403 campaign_own", "404 no_such_path", "404 not_found",
		"405 method_not_allowed", "406 not_acceptable", "409 request_in_progress", "409 print_not_done", "409 secret_shown_once", "409 school_exists", "409 number_exists",
		"409 external_id_exists", "409 conflict", "409 notice_paid", "409 notice_cancelled", "409 notice_expired", "409 notice_draft",
		"409 notice_held", "409 plan_paid", "409 not_printable", "409 payment_in_progress", "409 too_many", "409 delivery_pending", "409 psp_refused", "409 no_postal_bulletin", "409 refund_exceeds_receipt",
		"409 refund_state", "409 refund_waiting", "409 refund_at_provider", "409 campaign_state", "409 campaign_published", "409 campaign_busy", "409 campaign_voluntary", "409 campaign_waiting", "409 too_many_prints", "409 too_many_imports", "412 version_mismatch", "413 body_too_large", "413 file_too_large",
		"415 unsupported_media_type", "422 idempotency_key_reused", "429 too_many_attempts", "429 rate_limited", "500 internal", "503 psp_unavailable",
		"503 psp_unavailable", "503 timeout", "503 timeout",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestPanicIsShownAsNothing(t *testing.T) {
	t.Parallel()
	a := newAPI(t, func(c *Config) {
		c.PDF = func(gateway.Receipt, gateway.School) ([]byte, error) { panic("secret thing") }
	})
	r := a.g.Settle(a.g.Issue(), "")
	w := a.get(base+"/receipts/"+r.ID, a.school, "Accept", "application/pdf")
	expect(t, w, 500, "internal")
	if strings.Contains(w.Body.String(), "secret thing") || !strings.Contains(a.log.String(), "secret thing") {
		t.Errorf("shown %s, or not logged", w.Body)
	}
}

// Logs and metrics carry no token, secret, code, name or number.
func TestLogsAndMetrics(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	c, secret := a.g.Client(gatewaytest.SchoolCode, gateway.Scopes...)
	token := a.token(c, secret)
	n := as[Notice](t, a.post(base+"/notices", token, noticeJSON(), "Idempotency-Key", "my-key"), 201)
	a.get(base+"/notices/"+n.Number, token)
	a.get("/api/v1/RSSMRA10A41H501F", token)
	r := a.post(base+"/notices/search", token, `{"debtor":"RSSMRA10A41H501F"}`)
	a.login(form(), c.ID, "wrong secret")
	log := a.log.String()
	for _, private := range []string{secret, token, "RSSMRA", "Maria", n.Number, "my-key", "wrong secret"} {
		if strings.Contains(log, private) {
			t.Errorf("the log has %q", private)
		}
	}
	for _, want := range []string{c.ID, r.Header().Get("X-Request-Id"), `"route":"/api/v1/schools/:cf/notices/:number"`, `"route":"none"`} {
		if !strings.Contains(log, want) {
			t.Errorf("the log has no %q", want)
		}
	}
	for _, want := range []string{"/api/v1/schools/:cf/notices POST 201", "none GET 404", "/oauth2/token POST 401"} {
		if !a.answered[want] {
			t.Errorf("no answer %q in %v", want, slices.Sorted(maps.Keys(a.answered)))
		}
	}
}

func TestNewWantsItsParts(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	pdf := func(gateway.Receipt, gateway.School) ([]byte, error) { return nil, nil }
	notice := func(context.Context, gateway.Notice, gateway.School, string) ([]byte, error) { return nil, nil }
	key := make([]byte, 32)
	for name, cfg := range map[string]Config{
		"no service": {TokenKey: key, PDF: pdf, NoticePDF: notice}, "no notice PDF": {Service: g.Service, TokenKey: key, PDF: pdf}, "short key": {Service: g.Service, TokenKey: key[:31], PDF: pdf, NoticePDF: notice},
		"no PDF": {Service: g.Service, TokenKey: key, NoticePDF: notice}, "wrong proxy": {Service: g.Service, TokenKey: key, PDF: pdf, NoticePDF: notice, TrustedProxies: []string{"x"}},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := New(Config{Service: g.Service, TokenKey: key, PDF: pdf, NoticePDF: notice}); err != nil {
		t.Error(err)
	}
}
