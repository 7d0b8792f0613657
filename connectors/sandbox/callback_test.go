// SPDX-License-Identifier: Apache-2.0

package sandbox_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nodogate/nodogate/connectors"
	"github.com/nodogate/nodogate/connectors/redirect"
	"github.com/nodogate/nodogate/connectors/sandbox"
	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
	"github.com/nodogate/nodogate/gateway/httpapi"
	"github.com/nodogate/nodogate/gateway/pagopa"
)

// The whole way over HTTP with a PSP that has its own page: the gateway opens
// the payment through the redirect connector, the payer presses a button, the
// PSP's signed callback decides.
func TestCallbacksWithTheGateway(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, button string
		mode         sandbox.Mode
		notice       gateway.NoticeState
		cart         gateway.CartState
		ledger       string
	}{
		{"paid", "paga", sandbox.ModeOK, gateway.NoticePaid, gateway.CartClosedOK, `"state":"taken"`},
		{"refused", "rifiuta", sandbox.ModeOK, gateway.NoticeOpen, gateway.CartClosedKO, `"state":"refused"`},
		{"cancelled", "annulla", sandbox.ModeOK, gateway.NoticeOpen, gateway.CartClosedKO, `"items":[]`},
		{"left", "chiudi", sandbox.ModeOK, gateway.NoticeOpen, gateway.CartRedirected, `"items":[]`},
		{"told twice", "paga", sandbox.ModeDuplicate, gateway.NoticePaid, gateway.CartClosedOK, `"state":"taken"`},
		{"told late", "paga", sandbox.ModeLate, gateway.NoticePaid, gateway.CartClosedOK, `"state":"taken"`},
		{"answer cut", "paga", sandbox.ModeCut, gateway.NoticePaid, gateway.CartClosedOK, `"state":"taken"`},
		{"refuses", "paga", sandbox.ModeRefuse, gateway.NoticeOpen, gateway.CartClosedKO, `"state":"refused"`},
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
				Catalogue: catalogue, Drivers: []connectors.Driver{redirect.Driver}, AllowPrivate: true,
				Getenv: func(string) string { return secret }, Now: g.Time.Now, Log: log, Registerer: prometheus.NewRegistry(),
			})
			if err != nil {
				t.Fatal(err)
			}
			box, err := sandbox.New(sandbox.Config{
				URL: at(other), Creditor: "http://nobody.example", PSPs: catalogue.PSPs, Now: g.Time.Now, Log: log,
				Gateway: at(own), Secrets: func(string) string { return secret }, Late: 1,
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

			one, two := g.Issue(), g.Issue()
			cart, err := g.Pay(t.Context(), gateway.PayRequest{
				Key: "test 1", Method: gateway.MethodCard, Actor: gatewaytest.Operator,
				Notices: []gateway.NoticeRef{{School: one.School, Number: one.Number}, {School: two.School, Number: two.Number}},
			})
			if err != nil {
				t.Fatal(err)
			}
			client := &http.Client{Transport: &http.Transport{}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
			post := func(address, contentType, body string) error {
				req, err := http.NewRequestWithContext(t.Context(), "POST", address, strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Content-Type", contentType)
				resp, err := client.Do(req)
				if err != nil {
					return err
				}
				defer resp.Body.Close()
				if resp.StatusCode >= 400 {
					t.Errorf("POST %s %s: %d", address, body, resp.StatusCode)
				}
				return nil
			}
			if err := post(at(other).JoinPath("control").String(), "application/json", `{"psp":"BANCAUNO","mode":"`+string(c.mode)+`"}`); err != nil {
				t.Fatal(err)
			}
			err = post(cart.Redirect, "application/x-www-form-urlencoded", "azione="+c.button)
			if cut := c.mode == sandbox.ModeCut; cut != (err != nil) {
				t.Fatalf("%s: %v", c.button, err)
			}
			if err := box.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, n := range []gateway.Notice{one, two} {
				if state := g.State(n); state != c.notice {
					t.Errorf("notice %s is %s, want %s", n.Number, state, c.notice)
				}
			}
			if cart, err = g.Cart(t.Context(), cart.ID); err != nil || cart.State != c.cart {
				t.Errorf("cart is %s, %v; want %s", cart.State, err, c.cart)
			}
			ledger := httptest.NewRecorder()
			box.ServeHTTP(ledger, httptest.NewRequestWithContext(t.Context(), "GET", "/ledger", nil))
			if !strings.Contains(ledger.Body.String(), c.ledger) {
				t.Errorf("ledger %s, want %s", ledger.Body, c.ledger)
			}
		})
	}
}
