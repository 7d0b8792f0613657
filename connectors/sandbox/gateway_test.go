// SPDX-License-Identifier: Apache-2.0

package sandbox_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nodogate/nodogate/connectors"
	"github.com/nodogate/nodogate/connectors/checkout"
	"github.com/nodogate/nodogate/connectors/sandbox"
	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
	"github.com/nodogate/nodogate/gateway/pafornode"
	"github.com/nodogate/nodogate/gateway/pagopa"
	"github.com/nodogate/nodogate/gateway/soap"
)

// The whole way over HTTP, nothing scripted: the gateway opens a cart of two
// notices through the checkout connector, the payer pays on the sandbox's page,
// the sandbox's node brings the receipts to the creditor face.
func TestWithTheGateway(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	face := httptest.NewServer(pafornode.New(pafornode.Config{Service: g.Service, Duration: soap.NewDuration(prometheus.NewRegistry())}))
	t.Cleanup(face.Close)

	srv := httptest.NewUnstartedServer(nil)
	base := &url.URL{Scheme: "http", Host: srv.Listener.Addr().String()}
	catalogue := connectors.Catalogue{PSPs: []connectors.PSP{{
		ID: "BANCAUNO", Name: "Banca Uno", Methods: []gateway.Method{gateway.MethodCard}, Connector: "checkout",
		Endpoint: base.JoinPath("BANCAUNO", "checkout", "ec", "v1").String(), Fees: []connectors.Band{{Fee: 100}},
	}}}
	log := slog.New(slog.DiscardHandler)
	box, err := sandbox.New(sandbox.Config{
		URL: base, Creditor: face.URL, PSPs: catalogue.PSPs, Now: g.Time.Now, Log: log,
		Target: func(_ context.Context, code string) (pagopa.Target, error) {
			return pagopa.Target{PA: code, Broker: g.School.Broker, Station: g.School.Station}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	srv.Config.Handler = box
	srv.Start()
	t.Cleanup(srv.Close)
	set, err := connectors.New(connectors.Config{
		Catalogue: catalogue, Drivers: []connectors.Driver{checkout.Driver}, AllowPrivate: true,
		Getenv: func(string) string { return "" }, Now: g.Time.Now, Log: log, Registerer: prometheus.NewRegistry(),
	})
	if err != nil {
		t.Fatal(err)
	}
	g.PSPs.OnStart(func(ctx context.Context, _ gateway.PSPID, o gateway.Order) (gateway.Started, error) {
		return set.Start(ctx, "BANCAUNO", o)
	})

	one, two := g.Issue(), g.Issue()
	request := gateway.PayRequest{
		Key: "test 1", Method: gateway.MethodCard, Actor: gatewaytest.Operator,
		Notices: []gateway.NoticeRef{{School: one.School, Number: one.Number}, {School: two.School, Number: two.Number}},
	}
	cart, err := g.Pay(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	browse := func(method, body string) (*http.Response, string) {
		req, err := http.NewRequestWithContext(t.Context(), method, cart.Redirect, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp, string(text)
	}
	if resp, text := browse("GET", ""); resp.StatusCode != http.StatusOK || !strings.Contains(text, "34,00 €") {
		t.Fatalf("page: %d %s", resp.StatusCode, text)
	}
	resp, text := browse("POST", "azione=paga")
	if back := resp.Header.Get("Location"); resp.StatusCode != http.StatusSeeOther || back != "https://pagamenti.example/carrello/esito/"+cart.ID+"?esito=ok" {
		t.Fatalf("Paga: %d to %q\n%s", resp.StatusCode, back, text)
	}
	if err := box.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, n := range []gateway.Notice{one, two} {
		if state := g.State(n); state != gateway.NoticePaid {
			t.Errorf("notice %s is %s, want paid", n.Number, state)
		}
	}
	if cart, err = g.Cart(t.Context(), cart.ID); err != nil || cart.State != gateway.CartClosedOK {
		t.Errorf("cart is %s, %v; want closed_ok", cart.State, err)
	}
}
