// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
	"github.com/nodogate/nodogate/gateway/store"
	"github.com/nodogate/nodogate/gateway/store/storetest"
)

func (a *testAPI) issuedNotices() int {
	a.t.Helper()
	return len(as[NoticePage](a.t, a.get(base+"/notices?limit=500", a.school), 200).Items)
}

func TestRepeatedRequest(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	other := a.g.AddSchool(gatewaytest.OtherCode, "IC 1 Follonica")
	c, secret := a.g.Client(other.Code, gateway.Scopes...)
	foreign := a.token(c, secret)
	mine, mineSecret := a.g.Client(gatewaytest.SchoolCode, gateway.Scopes...)
	a.school = a.token(mine, mineSecret)
	path := base + "/notices"
	first := a.post(path, a.school, noticeJSON(), "Idempotency-Key", "k")
	if first.Code != 201 || first.Header().Get("Idempotency-Replayed") != "" {
		t.Fatalf("first: %d %v", first.Code, first.Header())
	}
	// The same content, written otherwise.
	spaced := strings.ReplaceAll(noticeJSON(), ",", " ,\n ")
	for _, body := range []string{noticeJSON(), spaced} {
		again := a.post(path, a.school, body, "Idempotency-Key", "k")
		if again.Code != 201 || again.Body.String() != first.Body.String() || again.Header().Get("Location") != first.Header().Get("Location") ||
			again.Header().Get("Content-Type") != first.Header().Get("Content-Type") || again.Header().Get("Idempotency-Replayed") != "true" {
			t.Errorf("again: %d %v\n%s\nwant %s", again.Code, again.Header(), again.Body, first.Body)
		}
	}
	expect(t, a.post(path, a.school, noticeJSON("amount_cents", "1"), "Idempotency-Key", "k"), 422, "idempotency_key_reused")
	if n := a.issuedNotices(); n != 1 {
		t.Errorf("%d notices, want 1", n)
	}
	// Another operation, and another client, have keys of their own.
	if w := a.post(path+"/batch", a.school, `{"notices":[`+noticeJSON()+`]}`, "Idempotency-Key", "k"); w.Code != 201 || w.Header().Get("Idempotency-Replayed") != "" {
		t.Errorf("batch with the same key: %d", w.Code)
	}
	if w := a.post("/api/v1/schools/"+string(other.Code)+"/notices", foreign, noticeJSON(), "Idempotency-Key", "k"); w.Code != 201 || w.Header().Get("Idempotency-Replayed") != "" {
		t.Errorf("other client with the same key: %d %s", w.Code, w.Body)
	}
	// The key is for the path too.
	x, y := a.g.Issue(), a.g.Issue()
	if w := a.post(path+"/"+x.Number.String()+"/cancel", a.school, "", "Idempotency-Key", "c"); w.Code != 200 {
		t.Errorf("cancel: %d", w.Code)
	}
	expect(t, a.post(path+"/"+y.Number.String()+"/cancel", a.school, "", "Idempotency-Key", "c"), 422, "idempotency_key_reused")
	one, _ := a.g.Client(other.Code, gateway.Scopes...)
	two, _ := a.g.Client(other.Code, gateway.Scopes...)
	if w := a.post("/api/v1/clients/"+one.ID+"/rotate", a.admin, "", "Idempotency-Key", "r"); w.Code != 200 {
		t.Errorf("rotate: %d", w.Code)
	}
	expect(t, a.post("/api/v1/clients/"+two.ID+"/rotate", a.admin, "{}", "Idempotency-Key", "r"), 422, "idempotency_key_reused")

	a.g.Time.Advance(keepKeys)
	a.school = a.token(mine, mineSecret)
	if w := a.post(path, a.school, noticeJSON("amount_cents", "1"), "Idempotency-Key", "k"); w.Code != 201 {
		t.Errorf("after %s: %d %s", keepKeys, w.Code, w.Body)
	}
}

// A refusal changed nothing: the key may be used again, also with a corrected
// body.
func TestRefusalsAreNotKept(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	path := base + "/notices"
	expect(t, a.post(path, a.school, noticeJSON("description", `" "`), "Idempotency-Key", "k"), 400, "invalid_request", "description required")
	if w := a.post(path, a.school, noticeJSON(), "Idempotency-Key", "k"); w.Code != 201 {
		t.Errorf("corrected: %d %s", w.Code, w.Body)
	}
	n := a.g.Issue()
	cart := as[Cart](t, a.post("/api/v1/carts", a.school, cartJSON(n)), 201)
	cancel := path + "/" + n.Number.String() + "/cancel"
	expect(t, a.post(cancel, a.school, "", "Idempotency-Key", "c"), 409, "payment_in_progress")
	a.g.Settle(n, cart.ID)
	expect(t, a.post(cancel, a.school, "", "Idempotency-Key", "c"), 409, "notice_paid")

	a.g.PSPs.Down("BANCAUNO", true)
	one, two := a.g.Issue(), a.g.Issue()
	with := func(n gateway.Notice) string { return strings.TrimSuffix(cartJSON(n), "}") + `,"psp":"BANCAUNO"}` }
	expect(t, a.post("/api/v1/carts", a.school, with(one), "Idempotency-Key", "p"), 503, "psp_unavailable")
	a.g.PSPs.Down("BANCAUNO", false)
	if w := a.post("/api/v1/carts", a.school, with(two), "Idempotency-Key", "p"); w.Code != 201 {
		t.Errorf("another cart with the key of a refused one: %d %s", w.Code, w.Body)
	}
	for _, o := range a.g.PSPs.Orders() {
		if o.Notices[0].Number == one.Number {
			t.Errorf("the refused request's notice was ordered")
		}
	}
}

// Each database has its own way of letting the second request wait.
func TestSameRequestsAtOnce(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(testing.TB) *store.DB{"sqlite": storetest.OpenSQLite, "postgres": storetest.OpenPostgres} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sameRequestsAtOnce(newAPIOn(t, gatewaytest.On(t, open(t))))
		})
	}
}

func sameRequestsAtOnce(a *testAPI) {
	t := a.t
	n := a.g.Issue()
	for name, tc := range map[string]struct{ path, body string }{
		"in one transaction": {base + "/notices", noticeJSON()},
		"staged":             {"/api/v1/carts", cartJSON(n)},
	} {
		t.Run(name, func(t *testing.T) {
			before := a.issuedNotices()
			answers := make([]*httptest.ResponseRecorder, 8)
			var wg sync.WaitGroup
			for i := range answers {
				wg.Go(func() {
					r := httptest.NewRequest("POST", tc.path, strings.NewReader(tc.body))
					r.Header.Set("Authorization", "Bearer "+a.school)
					r.Header.Set("Content-Type", "application/json")
					r.Header.Set("Idempotency-Key", "at once")
					answers[i] = a.do(r)
				})
			}
			wg.Wait()
			bodies := map[string]bool{}
			first := 0
			for _, w := range answers {
				switch {
				case w.Code == 201:
					bodies[w.Body.String()] = true
					if w.Header().Get("Idempotency-Replayed") == "" {
						first++
					}
				case w.Code == 409 && w.Header().Get("Retry-After") == "1":
				default:
					t.Errorf("got %d %s", w.Code, w.Body)
				}
			}
			if first != 1 || len(bodies) != 1 {
				t.Errorf("%d ran, with %d different answers; want 1 and 1", first, len(bodies))
			}
			want := map[string]int{"in one transaction": 1, "staged": 0}[name]
			if got := a.issuedNotices() - before; got != want {
				t.Errorf("%d notices were issued, want %d", got, want)
			}
		})
	}
	if got := len(a.g.PSPs.Orders()); got != 1 {
		t.Errorf("the PSP got %d orders, want 1", got)
	}
}

// The process dies between the PSP's page and the saved answer: a minute later
// the same request finds what it did.
func TestStagedRequestCutOff(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	n := a.g.Issue()
	send := func(body string) *httptest.ResponseRecorder {
		return a.post("/api/v1/carts", a.school, body, "Idempotency-Key", "k")
	}
	first := as[Cart](t, send(cartJSON(n)), 201)
	a.runningAgain(t)
	w := send(cartJSON(n))
	expect(t, w, 409, "request_in_progress")
	if w.Header().Get("Retry-After") != "1" {
		t.Errorf("Retry-After = %q", w.Header().Get("Retry-After"))
	}
	expect(t, send(cartJSON(a.g.Issue())), 422, "idempotency_key_reused")
	a.g.Time.Advance(maxRunning)
	if got := as[Cart](t, send(cartJSON(n)), 201); got != first {
		t.Errorf("got %+v, want the first cart %+v", got, first)
	}
	if got := len(a.g.PSPs.Orders()); got != 1 {
		t.Errorf("the PSP got %d orders, want 1", got)
	}
	if w := send(cartJSON(n)); w.Header().Get("Idempotency-Replayed") != "true" {
		t.Errorf("the settled answer is not kept: %d", w.Code)
	}
}

// runningAgain makes the record of key "k" look as if the process had died
// before saving the answer.
func (a *testAPI) runningAgain(t *testing.T) {
	t.Helper()
	all, err := a.g.Clients(t.Context())
	must(t, err)
	found := false
	for _, c := range all {
		scope := gateway.RequestKey(c.ID, "POST", "/api/v1/carts", "k")
		must(t, a.g.Atomically(t.Context(), func(_ context.Context, tx gateway.Tx) error {
			rec, err := tx.OnceRecord(scope)
			if errors.Is(err, gateway.ErrNotFound) {
				return nil
			}
			if err != nil {
				return err
			}
			found = true
			rec.Running, rec.Status, rec.Body, rec.Location = true, 0, nil, ""
			if err := tx.DeleteOnce(scope); err != nil {
				return err
			}
			return tx.PutOnce(rec)
		}))
	}
	if !found {
		t.Fatal("no record of the key")
	}
}

// The client goes away while the PSP works: what happened is kept.
func TestClientGone(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	n := a.g.Issue()
	ctx, cancel := context.WithCancel(t.Context())
	a.g.PSPs.OnStart(func(_ context.Context, psp gateway.PSPID, o gateway.Order) (gateway.Started, error) {
		cancel()
		return gateway.Started{Redirect: "https://psp.example/" + o.Attempt, Timeout: time.Minute}, nil
	})
	r := httptest.NewRequest("POST", "/api/v1/carts", strings.NewReader(cartJSON(n))).WithContext(ctx)
	r.Header.Set("Authorization", "Bearer "+a.school)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Idempotency-Key", "k")
	a.engine.ServeHTTP(httptest.NewRecorder(), r)
	a.g.PSPs.OnStart(nil)
	a.g.Time.Advance(maxRunning)
	w := a.post("/api/v1/carts", a.school, cartJSON(n), "Idempotency-Key", "k")
	if got := as[Cart](t, w, 201); got.State != "redirected" || len(a.g.PSPs.Orders()) != 1 {
		t.Errorf("got %+v after %d orders", got, len(a.g.PSPs.Orders()))
	}
}
