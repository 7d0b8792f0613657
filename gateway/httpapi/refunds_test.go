// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
)

func TestRefunds(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	n := a.g.Issue()
	receipt := a.g.Settle(n, "")
	list := base + "/refunds"
	clerk := a.school
	other, secret := a.g.Client(gatewaytest.SchoolCode, gateway.ScopeRefundsRead, gateway.ScopeRefundsWrite)
	director := a.token(other, secret)

	w := a.post(list, clerk, `{"receipt":"`+receipt.ID+`","amount_cents":650,"reason":"gita annullata","iban":"IT60 X054 2811 1010 0000 0123 456","holder":"Laura Bianchi"}`)
	made := as[Refund](t, w, 201)
	path := list + "/" + made.ID
	if w.Header().Get("Location") != path {
		t.Errorf("Location %q, want %q", w.Header().Get("Location"), path)
	}
	got := as[map[string]any](t, a.get(path, clerk), 200)
	by := strings.TrimPrefix(made.RequestedBy, "client ")
	var want map[string]any
	must(t, json.Unmarshal([]byte(`{"id":"`+made.ID+`","receipt":"`+receipt.ID+`","notice":{"school":"80014480828","number":"`+n.Number.String()+`"},
		"amount_cents":650,"reason":"gita annullata","iban":"IT60X0542811101000000123456","holder":"Laura Bianchi","state":"requested","execution":null,
		"provider":null,"requested_by":"client `+by+`","decided_by":null,"created_at":"2026-11-23T08:00:00Z","changed_at":"2026-11-23T08:00:00Z","version":1}`), &want))
	if !reflect.DeepEqual(got, want) || by == "" {
		t.Errorf("got  %v\nwant %v", got, want)
	}

	// What is left, and no more.
	rest := func(amount string) *httptest.ResponseRecorder {
		return a.post(list, clerk, `{"receipt":"`+receipt.ID+`","amount_cents":`+amount+`,"reason":"x"}`)
	}
	expect(t, rest("1001"), 409, "refund_exceeds_receipt")
	second := as[Refund](t, rest("1000"), 201)
	expect(t, rest("1651"), 400, "invalid_request", "amount_cents range")
	expect(t, rest("0"), 400, "invalid_request", "amount_cents range")

	// Another approves; the one who asked may not.
	tag := a.get(path, clerk).Header().Get("ETag")
	expect(t, a.send("PATCH", path, clerk, `{"state":"approved"}`), 403, "refund_own_request")
	expect(t, a.send("PATCH", path, clerk, `{"state":"executed"}`), 409, "refund_state")
	expect(t, a.send("PATCH", path, director, `{"state":"approved"}`, "If-Match", `"9"`), 412, "version_mismatch")
	w = a.send("PATCH", path, director, `{"state":"approved"}`, "If-Match", tag)
	if r := as[Refund](t, w, 200); r.State != "approved" || r.Execution != "school" || string(r.DecidedBy) != "client "+other.ID || w.Header().Get("ETag") != `"2"` {
		t.Errorf("approved: %+v with ETag %s", r, w.Header().Get("ETag"))
	}
	expect(t, a.send("PATCH", path, clerk, `{"state":"executed"}`, "If-Match", tag), 412, "version_mismatch")
	if r := as[Refund](t, a.send("PATCH", path, clerk, `{"state":"executed"}`), 200); r.State != "executed" || r.Version != 3 {
		t.Errorf("executed: %+v", r)
	}
	if r := as[Refund](t, a.send("PATCH", path, clerk, `{"state":"executed"}`), 200); r.Version != 3 {
		t.Errorf("executed again: version %d, want 3", r.Version)
	}
	expect(t, a.send("PATCH", path, director, `{"state":"rejected"}`), 409, "refund_state")
	expect(t, a.send("PATCH", path, director, `{"state":"requested"}`), 409, "refund_state")

	// A rejected one is final, and leaves its amount to others.
	as[Refund](t, a.send("PATCH", list+"/"+second.ID, clerk, `{"state":"rejected"}`), 200)
	expect(t, a.send("PATCH", list+"/"+second.ID, director, `{"state":"approved"}`), 409, "refund_state")
	third := as[Refund](t, rest("1000"), 201)

	ids := func(query string) (all []string) {
		p := as[RefundPage](t, a.get(list+query, director), 200)
		for _, r := range p.Items {
			all = append(all, r.ID)
		}
		return all
	}
	for query, want := range map[string][]string{
		"": {third.ID, second.ID, made.ID}, "?state=executed": {made.ID}, "?receipt=" + receipt.ID + "&state=rejected": {second.ID}, "?receipt=x": nil,
	} {
		if got := ids(query); !reflect.DeepEqual(got, want) {
			t.Errorf("%q lists %v, want %v", query, got, want)
		}
	}
	first := as[RefundPage](t, a.get(list+"?limit=2", clerk), 200)
	if got := ids("?limit=2&cursor=" + string(first.NextCursor)); len(first.Items) != 2 || !reflect.DeepEqual(got, []string{made.ID}) {
		t.Errorf("the second page has %v", got)
	}

	// The notice's history tells of it.
	events := as[EventPage](t, a.get(base+"/notices/"+n.Number.String()+"/events?limit=1", clerk), 200)
	if e := events.Items[0]; e.Type != "refund.changed" || string(e.Refund) != third.ID || e.RefundState != "requested" || string(e.Actor) != "client "+by {
		t.Errorf("the last event is %+v", e)
	}
	for _, private := range []string{"Laura", "IT60X05", "gita annullata"} {
		if strings.Contains(a.log.String(), private) {
			t.Errorf("the log has %q", private)
		}
	}
}

func TestRefundsBadInput(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	receipt := a.g.Settle(a.g.Issue(), "")
	list := base + "/refunds"
	body := func(with ...string) string {
		m := map[string]json.RawMessage{
			"receipt": json.RawMessage(`"` + receipt.ID + `"`), "amount_cents": json.RawMessage("100"), "reason": json.RawMessage(`"gita annullata"`),
		}
		for i := 0; i < len(with); i += 2 {
			if m[with[i]] = json.RawMessage(with[i+1]); with[i+1] == "-" {
				delete(m, with[i])
			}
		}
		b, err := json.Marshal(m)
		must(t, err)
		return string(b)
	}
	for name, c := range map[string]struct{ body, field string }{
		"no receipt":      {body("receipt", "-"), "receipt required"},
		"unknown receipt": {body("receipt", `"x"`), "receipt unknown"},
		"no reason":       {body("reason", "-"), "reason required"},
		"empty reason":    {body("reason", `" "`), "reason length"},
		"amount as text":  {body("amount_cents", `"100"`), "amount_cents type"},
		"a fraction":      {body("amount_cents", "1.5"), "amount_cents type"},
		"wrong IBAN":      {body("iban", `"IT00X0542811101000000123456"`), "iban format"},
		"unknown field":   {body("pupil", `"x"`), "pupil unknown"},
	} {
		if w := a.post(list, a.school, c.body); w.Code != 400 {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		} else {
			expect(t, w, 400, "invalid_request", c.field)
		}
	}
	refund := as[Refund](t, a.post(list, a.school, body("iban", "null", "holder", "null")), 201)
	path := list + "/" + refund.ID
	for name, c := range map[string]struct{ body, field string }{
		"unknown state":     {`{"state":"paid"}`, "state unknown"},
		"execution by PSP":  {`{"execution":"psp"}`, "execution unknown"},
		"wrong IBAN":        {`{"iban":"x"}`, "iban format"},
		"holder alone":      {`{"holder":"Laura Bianchi"}`, "iban required"},
		"another amount":    {`{"amount_cents":1}`, "amount_cents unknown"},
		"a field twice":     {`{"state":"approved","state":"rejected"}`, "state duplicate"},
		"the state as code": {`{"state":1}`, "state unknown"},
	} {
		if w := a.send("PATCH", path, a.school, c.body); w.Code != 400 {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		} else {
			expect(t, w, 400, "invalid_request", c.field)
		}
	}
	expect(t, a.send("PATCH", list+"/x", a.school, `{"state":"approved"}`), 404, "not_found")
	expect(t, a.get(list+"/x", a.school), 404, "not_found")
	expect(t, a.get(list+"?state=paid", a.school), 400, "invalid_request", "state unknown")
	// The same request with the same key is one refund.
	for range 2 {
		w := a.post(list, a.school, body(), "Idempotency-Key", "one")
		if w.Code != 201 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
	if p := as[RefundPage](t, a.get(list, a.school), 200); len(p.Items) != 2 {
		t.Errorf("%d refunds, want 2", len(p.Items))
	}
}

// Setting a refund executed that its provider gives back waits for the provider,
// and is refused when it did not.
func TestRefundAtItsProvider(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.g.PSPs.Settle(gateway.SettledByOutcome)
	other, secret := a.g.Client(gatewaytest.SchoolCode, gateway.ScopeRefundsWrite)
	director := a.token(other, secret)
	approved := func(answer error) (path string) {
		n := a.g.Issue()
		a.g.PSPs.OnRefund(func(gateway.Payment) error { return answer })
		as[Cart](t, a.post("/api/v1/carts", a.school, cartJSON(n)), 201)
		orders := a.g.PSPs.Orders()
		attempt := orders[len(orders)-1].Attempt
		must(t, a.g.TakeEvent(t.Context(), gateway.PSPEvent{PSP: "BANCAUNO", ID: attempt, Attempt: attempt, Word: gateway.WordTaken}))
		list, err := a.g.Receipts(t.Context(), n.School, gateway.ReceiptFilter{Notice: n.Number})
		must(t, err)
		r := as[Refund](t, a.post(base+"/refunds", a.school, `{"receipt":"`+list[0].ID+`","amount_cents":1650,"reason":"x"}`), 201)
		path = base + "/refunds/" + r.ID
		r = as[Refund](t, a.send("PATCH", path, director, `{"state":"approved"}`), 200)
		if r.Execution != "psp" || r.Provider == nil || r.Provider.State != "asking" || r.Provider.Name != "Banca Uno" || r.Provider.Asked != 0 {
			t.Errorf("approved: %+v at %+v", r, r.Provider)
		}
		return path
	}
	ask := func() { // as the job beside the API does
		go func() {
			if _, err := a.g.AskRefunds(context.WithoutCancel(t.Context())); err != nil {
				t.Error(err)
			}
		}()
	}
	path := approved(nil)
	expect(t, a.send("PATCH", path, a.school, `{"state":"rejected"}`), 409, "refund_at_provider")
	ask()
	r := as[Refund](t, a.send("PATCH", path, a.school, `{"state":"executed"}`), 200)
	if r.State != "executed" || r.Execution != "psp" || r.Provider.State != "done" || !time.Time(r.Provider.AskAt).IsZero() {
		t.Errorf("executed: %+v at %+v", r, r.Provider)
	}
	path = approved(gateway.ErrOutcomeUnknown)
	ask()
	expect(t, a.send("PATCH", path, a.school, `{"state":"executed"}`), 409, "refund_at_provider")
	path = approved(gateway.ErrRefused)
	ask()
	expect(t, a.send("PATCH", path, a.school, `{"state":"executed"}`), 409, "refund_at_provider")
	r = as[Refund](t, a.send("PATCH", path, a.school, `{"state":"executed"}`), 200)
	if r.State != "executed" || r.Execution != "psp_refused" || r.Provider.State != "refused" {
		t.Errorf("executed after its no: %+v at %+v", r, r.Provider)
	}
}
