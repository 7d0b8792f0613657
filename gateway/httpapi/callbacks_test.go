// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
	"github.com/nodogate/nodogate/gateway/money"
)

// spoken is a connector whose proof is the word after "prova" in the body.
type spoken struct{ attempt string }

func (s spoken) Callback(c gateway.Callback) (gateway.PSPEvent, error) {
	word, proved := strings.CutPrefix(string(c.Body), "prova ")
	switch {
	case c.PSP != "BANCAUNO" || c.Path != "/esiti/1":
		return gateway.PSPEvent{}, gateway.ErrNotFound
	case !proved:
		return gateway.PSPEvent{}, gateway.ErrForged
	case word == "":
		return gateway.PSPEvent{}, &gateway.Invalid{Fields: []gateway.FieldError{{Field: "esito", Code: "required"}}}
	}
	e := gateway.PSPEvent{PSP: c.PSP, ID: word, Attempt: s.attempt, Word: gateway.WordTaken, Raw: c.Body}
	if word == "amount" {
		other := money.Cents(1) // not the payment's
		e.Amount = &other
	}
	return e, nil
}

func (spoken) Answer(_ gateway.PSPID, e gateway.PSPEvent, err error) (int, string, []byte) {
	switch {
	case err == nil:
		return 200, "text/plain", []byte(e.ID)
	case errors.Is(err, gateway.ErrForged):
		return 401, "", nil
	case errors.Is(err, gateway.ErrNotFound):
		return 404, "", nil
	}
	return 400, "", nil
}

// A callback is believed once its connector has proved it, taken once, counted
// by what became of it, and nothing of a forged one stands in the log.
func TestCallbacks(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	g.PSPs.Settle(gateway.SettledByOutcome)
	n := g.Issue()
	cart, err := g.Pay(t.Context(), gateway.PayRequest{Key: "k", Method: gateway.MethodCard, Notices: []gateway.NoticeRef{{School: n.School, Number: n.Number}}})
	must(t, err)
	paying, err := g.Notice(t.Context(), n.School, n.Number)
	must(t, err)
	log := &lockedBuffer{}
	routes := map[string]int{}
	h := NewCallbacks(CallbacksConfig{
		Service: g.Service, Source: spoken{paying.Payment.Attempt}, Reg: g.Reg, Log: slog.New(slog.NewJSONHandler(log, nil)),
		Observe: func(route, method string, code int, _ time.Duration) {
			routes[fmt.Sprint(route, " ", method, " ", code)]++
		},
	}).(*callbacks)
	send := func(path, body string) (int, string) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, strings.NewReader(body)))
		return w.Code, w.Body.String()
	}
	for _, tc := range []struct {
		name, path, body string
		status           int
		outcome          string
	}{
		{"not proved", "/callbacks/BANCAUNO/esiti/1", "segreto della famiglia", 401, "forged"},
		{"unknown PSP", "/callbacks/NESSUNO/esiti/1", "prova x", 404, "unknown"},
		{"unknown path", "/callbacks/BANCAUNO/altro", "prova x", 404, "unknown"},
		{"nothing sensible", "/callbacks/BANCAUNO/esiti/1", "prova ", 400, "malformed"},
		{"too long", "/callbacks/BANCAUNO/esiti/1", strings.Repeat("x", maxCallback+1), 400, "malformed"},
		{"another amount", "/callbacks/BANCAUNO/esiti/1", "prova amount", 400, "amount"},
	} {
		before := testutil.ToFloat64(h.count.WithLabelValues(tc.outcome))
		if status, _ := send(tc.path, tc.body); status != tc.status {
			t.Errorf("%s: status %d, want %d", tc.name, status, tc.status)
		}
		if got := testutil.ToFloat64(h.count.WithLabelValues(tc.outcome)); got != before+1 {
			t.Errorf("%s: %v counted as %s, want %v", tc.name, got, tc.outcome, before+1)
		}
	}
	if got := g.State(n); got != gateway.NoticeOpen {
		t.Fatalf("after refusals the notice is %s", got)
	}
	for range 2 {
		if status, body := send("/callbacks/BANCAUNO/esiti/1", "prova pagato"); status != 200 || body != "pagato" {
			t.Errorf("a proved OK: %d %s", status, body)
		}
	}
	if got, err := g.Cart(t.Context(), cart.ID); err != nil || got.State != gateway.CartClosedOK || g.State(n) != gateway.NoticePaid {
		t.Errorf("the cart is %s, the notice %s, %v", got.State, g.State(n), err)
	}
	if strings.Contains(log.String(), "segreto") || !strings.Contains(log.String(), `"outcome":"forged"`) {
		t.Errorf("the log: %s", log.String())
	}
	if got := routes["/callbacks/:psp/*path POST 401"]; got != 1 {
		t.Errorf("observed %v", routes)
	}
	// A database that is away makes the PSP call again.
	broken := NewCallbacks(CallbacksConfig{Service: g.Broken(), Source: spoken{"x"}, Reg: gatewaytest.New(t).Reg})
	w := httptest.NewRecorder()
	broken.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/callbacks/BANCAUNO/esiti/1", strings.NewReader("prova x")))
	if w.Code == 200 {
		t.Errorf("with the database away: %d", w.Code)
	}
}
