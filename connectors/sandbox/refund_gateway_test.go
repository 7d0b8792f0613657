// SPDX-License-Identifier: Apache-2.0

package sandbox_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nodogate/nodogate/connectors"
	"github.com/nodogate/nodogate/connectors/redirect"
	"github.com/nodogate/nodogate/connectors/sandbox"
	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
	"github.com/nodogate/nodogate/gateway/httpapi"
	"github.com/nodogate/nodogate/gateway/pagopa"
)

// The whole way back over HTTP: a cart of two notices is paid at a PSP with a page
// of its own, refunds are asked for and approved by another, and the PSP gives
// the payment back, fee and all, however its answers fare.
func TestRefundsWithTheGateway(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		mode      sandbox.Mode // while the PSP is first asked
		between   gateway.RefundState
		execution gateway.Execution // in the end
		end       gateway.RefundState
		asked     int
		ledger    string
	}{
		{"given back", sandbox.ModeOK, gateway.RefundExecuted, gateway.ExecutionPSP, gateway.RefundExecuted, 1, "taken refunded"},
		{"answer cut", sandbox.ModeCut, gateway.RefundApproved, gateway.ExecutionPSP, gateway.RefundExecuted, 2, "taken refunded"},
		{"down", sandbox.ModeDown, gateway.RefundApproved, gateway.ExecutionPSP, gateway.RefundExecuted, 2, "taken refunded"},
		{"slow", sandbox.ModeSlow, gateway.RefundApproved, gateway.ExecutionPSP, gateway.RefundExecuted, 2, "taken refunded"},
		{"refused", sandbox.ModeRefuse, gateway.RefundApproved, gateway.ExecutionRefused, gateway.RefundApproved, 1, "taken"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g := gatewaytest.New(t)
			const secret = "whsec_Y2hpYXZlIGRpIHByb3ZhIHBlciBpIHRlc3Q="
			log := slog.New(slog.DiscardHandler)
			own, other := httptest.NewUnstartedServer(nil), httptest.NewUnstartedServer(nil)
			at := func(srv *httptest.Server) *url.URL {
				return &url.URL{Scheme: "http", Host: srv.Listener.Addr().String()}
			}
			catalogue := connectors.Catalogue{PSPs: []connectors.PSP{{
				ID: "BANCAUNO", Name: "Banca Uno", Methods: []gateway.Method{gateway.MethodCard}, Connector: "redirect",
				Endpoint: at(other).JoinPath("BANCAUNO").String(), SecretEnv: "SECRET", Fees: []connectors.Band{{Fee: 100}},
			}}}
			set, err := connectors.New(connectors.Config{
				Catalogue: catalogue, Drivers: []connectors.Driver{redirect.Driver}, AllowPrivate: true, Limits: connectors.Limits{Call: time.Second},
				Getenv: func(string) string { return secret }, Now: g.Time.Now, Log: log, Registerer: prometheus.NewRegistry(),
			})
			if err != nil {
				t.Fatal(err)
			}
			box, err := sandbox.New(sandbox.Config{
				URL: at(other), Creditor: "http://nobody.example", PSPs: catalogue.PSPs, Now: g.Time.Now, Log: log,
				Gateway: at(own), Secrets: func(string) string { return secret }, Slow: time.Hour,
				Target: func(context.Context, string) (pagopa.Target, error) { return pagopa.Target{}, gateway.ErrUnknownSchool },
			})
			if err != nil {
				t.Fatal(err)
			}
			own.Config.Handler = httpapi.NewCallbacks(httpapi.CallbacksConfig{Service: g.Service, Source: set, Reg: g.Reg, Log: log})
			other.Config.Handler = box
			other.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
			for _, srv := range []*httptest.Server{own, other} {
				srv.Start()
				t.Cleanup(srv.Close)
			}
			g.PSPs.Settle(gateway.SettledByOutcome)
			g.PSPs.OnStart(func(ctx context.Context, _ gateway.PSPID, o gateway.Order) (gateway.Started, error) {
				return set.Start(ctx, "BANCAUNO", o)
			})
			g.PSPs.OnRefund(func(p gateway.Payment) error { return set.Refund(t.Context(), "BANCAUNO", p) })
			do := func(path, contentType, body string) {
				t.Helper()
				w := httptest.NewRecorder()
				r := httptest.NewRequestWithContext(t.Context(), "POST", path, strings.NewReader(body))
				r.Header.Set("Content-Type", contentType)
				if box.ServeHTTP(w, r); w.Code >= 400 {
					t.Fatalf("POST %s: %d %s", path, w.Code, w.Body)
				}
			}
			mode := func(m sandbox.Mode) {
				t.Helper()
				do("/control", "application/json", `{"psp":"BANCAUNO","mode":"`+string(m)+`"}`)
			}

			one, two := g.Issue(), g.Issue()
			cart, err := g.Pay(t.Context(), gateway.PayRequest{
				Key: "test 1", Method: gateway.MethodCard, Actor: gatewaytest.Operator,
				Notices: []gateway.NoticeRef{{School: one.School, Number: one.Number}, {School: two.School, Number: two.Number}},
			})
			if err != nil {
				t.Fatal(err)
			}
			page, err := url.Parse(cart.Redirect)
			if err != nil {
				t.Fatal(err)
			}
			do(page.Path, "application/x-www-form-urlencoded", "azione=paga")
			var refunds []gateway.Refund
			for _, n := range []gateway.Notice{one, two} {
				list, err := g.Receipts(t.Context(), n.School, gateway.ReceiptFilter{Notice: n.Number})
				if err != nil || len(list) != 1 {
					t.Fatalf("%d receipts, %v", len(list), err)
				}
				clerk := gateway.Actor{Kind: "client", Name: "segreteria"}
				f, err := g.RequestRefund(t.Context(), clerk, n.School, gateway.NewRefund{Receipt: list[0].ID, Amount: n.Amount, Reason: "gita annullata"})
				if err != nil {
					t.Fatal(err)
				}
				refunds = append(refunds, f)
			}
			for _, f := range refunds {
				if _, err := g.ChangeRefund(t.Context(), gatewaytest.Operator, f.School, f.ID, gateway.RefundChange{State: gateway.RefundApproved}); err != nil {
					t.Fatal(err)
				}
			}
			want := func(state gateway.RefundState) {
				t.Helper()
				for _, f := range refunds {
					if f, err = g.Refund(t.Context(), f.School, f.ID); err != nil || f.State != state {
						t.Errorf("the refund is %s, %v; want %s", f.State, err, state)
					}
				}
			}
			ask := func() {
				t.Helper()
				if _, err := g.AskRefunds(t.Context()); err != nil {
					t.Error(err)
				}
			}
			mode(c.mode)
			ask()
			want(c.between)
			mode(sandbox.ModeOK)
			g.Time.Advance(5 * time.Second)
			ask()
			want(c.end)
			g.Time.Advance(time.Hour)
			ask() // nothing is left to ask
			f, err := g.Refund(t.Context(), refunds[0].School, refunds[0].ID)
			if err != nil || f.Execution != c.execution || f.AtPSP == nil || f.AtPSP.Asked != c.asked {
				t.Errorf("the refund is %+v, %v; want it by %s, asked %d times", f, err, c.execution, c.asked)
			}

			w := httptest.NewRecorder()
			box.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/ledger", nil))
			var ledger struct {
				Items []struct {
					State   string
					Attempt string
					Amount  int `json:"amount_cents"`
				}
			}
			if err := json.Unmarshal(w.Body.Bytes(), &ledger); err != nil {
				t.Fatal(err)
			}
			var states []string
			for _, i := range ledger.Items {
				states = append(states, i.State)
				if total := int(one.Amount + two.Amount + cart.Fee); i.Amount != total || i.Attempt != f.Attempt {
					t.Errorf("ledger: %+v, want %d cents of %s", i, total, f.Attempt)
				}
			}
			if got := strings.Join(states, " "); got != c.ledger {
				t.Errorf("ledger %q, want %q", got, c.ledger)
			}
		})
	}
}
