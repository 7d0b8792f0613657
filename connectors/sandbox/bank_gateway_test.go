// SPDX-License-Identifier: Apache-2.0

package sandbox_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nodogate/nodogate/connectors"
	"github.com/nodogate/nodogate/connectors/sandbox"
	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
	"github.com/nodogate/nodogate/gateway/httpapi"
	"github.com/nodogate/nodogate/gateway/nodeforpsp"
	"github.com/nodogate/nodogate/gateway/pagopa"
	"github.com/nodogate/nodogate/gateway/soap"
	"github.com/nodogate/nodogate/gateway/store/storetest"
)

// bankRig is a gateway and a PSP that tells its node face, a Berlin Group bank or
// a post office, on a clock that the test moves.
type bankRig struct {
	*gatewaytest.Gateway
	method gateway.Method
	t      *testing.T
	clock  *gatewaytest.Time
	set    *connectors.Set
	box    *sandbox.Server
	app    *url.URL // where the sandbox is
	// shut has the gateway answer nothing: neither the node face nor callbacks.
	shut atomic.Bool
	// deaf has it answer no callbacks.
	deaf atomic.Bool
}

func newBankRig(t *testing.T, options ...string) *bankRig {
	t.Helper()
	return newLinkedRig(t, "berlingroup", nil, options...)
}

// newLinkedRig is a bankRig with the PSP of a kind, and those beside it.
func newLinkedRig(t *testing.T, kind string, beside []connectors.PSP, options ...string) *bankRig {
	t.Helper()
	r := &bankRig{t: t, clock: gatewaytest.NewTime(gatewaytest.Start)}
	log := slog.New(slog.DiscardHandler)
	own, other := httptest.NewUnstartedServer(nil), httptest.NewUnstartedServer(nil)
	at := func(srv *httptest.Server) *url.URL {
		return &url.URL{Scheme: "http", Host: srv.Listener.Addr().String()}
	}
	r.app = at(other)
	var bank []connectors.PSP
	for _, p := range rigPSPs(at(other)) {
		if p.Connector == kind {
			r.method = p.Methods[0]
			for i := 0; i < len(options); i += 2 {
				p.Options[options[i]] = options[i+1]
			}
			bank = append(bank, p)
		}
	}
	bank = append(bank, beside...)
	catalogue := connectors.Catalogue{PSPs: bank}
	var err error
	r.set, err = connectors.New(connectors.Config{
		Catalogue: catalogue, Drivers: rigDrivers, AllowPrivate: true, Getenv: rigEnv, Now: r.clock.Now, Log: log, Registerer: prometheus.NewRegistry(),
	})
	if err != nil {
		t.Fatal(err)
	}
	r.Gateway = gatewaytest.Live(t, storetest.OpenSQLite(t), at(own).String(), r.set, r.clock.Now)
	r.box, err = sandbox.New(sandbox.Config{
		URL: at(other), Creditor: "http://nobody.example", PSPs: bank, Now: r.clock.Now, Log: log, Gateway: at(own),
		Secrets: func(string) string { return rigSecret }, NodeFace: at(own).JoinPath(nodeforpsp.Path).String(), Passwords: func(string) string { return rigPassword },
		Target: func(context.Context, string) (pagopa.Target, error) { return pagopa.Target{}, gateway.ErrUnknownSchool },
		Retry:  []time.Duration{10 * time.Millisecond, 50 * time.Millisecond, 250 * time.Millisecond}, Late: time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	node := nodeforpsp.New(nodeforpsp.Config{Service: r.Service, Duration: soap.NewDuration(prometheus.NewRegistry()), PSP: rigCaller(catalogue)})
	callbacks := httpapi.NewCallbacks(httpapi.CallbacksConfig{Service: r.Service, Source: r.set, Reg: prometheus.NewRegistry(), Log: log})
	own.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		switch {
		case r.shut.Load(), r.deaf.Load() && req.URL.Path != nodeforpsp.Path:
			w.WriteHeader(http.StatusBadGateway)
		case req.URL.Path == nodeforpsp.Path:
			node.ServeHTTP(w, req)
		default:
			callbacks.ServeHTTP(w, req)
		}
	})
	other.Config.Handler = r.box
	for _, srv := range []*httptest.Server{own, other} {
		srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
		srv.Start()
		t.Cleanup(srv.Close)
	}
	t.Cleanup(func() {
		done, cancel := context.WithCancel(context.Background())
		cancel()
		_ = r.box.Close(done)
	})
	return r
}

// pay opens a payment of new notices.
func (r *bankRig) pay(notices int) ([]gateway.Notice, gateway.Cart) {
	r.t.Helper()
	var list []gateway.Notice
	req := gateway.PayRequest{
		Key: "test 1", Method: r.method, Actor: gatewaytest.Operator, Device: gateway.PayerDevice{IP: "198.51.100.7", UserAgent: "Firefox"},
	}
	for range notices {
		n := r.Issue()
		list = append(list, n)
		req.Notices = append(req.Notices, gateway.NoticeRef{School: n.School, Number: n.Number})
	}
	cart, err := r.Pay(r.t.Context(), req)
	if err != nil {
		r.t.Fatal(err)
	}
	return list, cart
}

// payment is the cart's payment, as the bank is asked about it.
func (r *bankRig) payment(cart gateway.Cart) (p gateway.Payment) {
	r.t.Helper()
	err := r.Store.View(r.t.Context(), func(tx gateway.Tx) error {
		list, err := tx.AttemptsOfCart(cart.ID)
		if err != nil || len(list) != 1 {
			r.t.Fatalf("%d attempts, %v; want one", len(list), err)
		}
		p = gateway.Payment{Attempt: list[0].ID, Reference: list[0].Reference}
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return p
}

func (r *bankRig) press(cart gateway.Cart, button string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), "POST", cart.Redirect, strings.NewReader("azione="+button))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := browser().Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode >= 400 {
		r.t.Fatalf("%s: %d, %v", button, resp.StatusCode, err)
	}
}

// poll moves the clock on and lets the gateway ask.
func (r *bankRig) poll(after time.Duration) {
	r.t.Helper()
	r.clock.Advance(after)
	if _, err := r.Poll(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
}

func (r *bankRig) want(list []gateway.Notice, cart gateway.Cart, notice gateway.NoticeState, state gateway.CartState, attempt gateway.AttemptState) {
	r.t.Helper()
	for _, n := range list {
		got, err := r.Notice(r.t.Context(), n.School, n.Number)
		if err != nil || got.State != notice {
			r.t.Errorf("notice %s is %s, %v; want %s", n.Number, got.State, err, notice)
		}
		switch {
		case attempt == "" && got.Payment != nil && got.Payment.State.Live():
			r.t.Errorf("notice %s is held by a payment that is %s", n.Number, got.Payment.State)
		case attempt != "" && (got.Payment == nil || got.Payment.State != attempt):
			r.t.Errorf("the payment of %s is %+v, want %s", n.Number, got.Payment, attempt)
		}
	}
	if c, err := r.Cart(r.t.Context(), cart.ID); err != nil || c.State != state {
		r.t.Errorf("cart is %s, %v; want %s", c.State, err, state)
	}
}

// The receipt comes with the PSP's outcome, and says by whom and for what fee.
func TestBankReceipt(t *testing.T) {
	t.Parallel()
	r := newBankRig(t)
	list, cart := r.pay(2)
	r.press(cart, "paga")
	r.want(list, cart, gateway.NoticePaid, gateway.CartClosedOK, "")
	got, err := r.Receipts(t.Context(), list[0].School, gateway.ReceiptFilter{})
	if err != nil || len(got) != 2 {
		t.Fatalf("%d receipts, %v; want 2", len(got), err)
	}
	for _, rec := range got {
		c := rec.Content
		if rec.Channel != gateway.ChannelPSP || c.PSP.ID != "BERLIN" || c.PSP.Name != "Banca Tre" || c.Amount != 1650 || c.Fee == nil || *c.Fee != 100 || c.PaymentNote != cart.ID {
			t.Errorf("receipt by %s: %+v", rec.Channel, c)
		}
	}
}

// The bank has the money and the PSP cannot reach us: asked, the bank says that
// it was ordered; that is no receipt. It comes as soon as we can be reached.
func TestBankIsAheadOfItsPSP(t *testing.T) {
	t.Parallel()
	r := newBankRig(t)
	list, cart := r.pay(1)
	r.shut.Store(true)
	r.press(cart, "paga")
	r.want(list, cart, gateway.NoticeOpen, gateway.CartRedirected, gateway.AttemptSent)
	r.poll(5 * time.Second)
	r.want(list, cart, gateway.NoticeOpen, gateway.CartRedirected, gateway.AttemptAuthorised)
	r.poll(40 * time.Minute) // long after its page: it was ordered, and stays so
	r.want(list, cart, gateway.NoticeOpen, gateway.CartRedirected, gateway.AttemptAuthorised)
	r.shut.Store(false)
	if err := r.box.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.want(list, cart, gateway.NoticePaid, gateway.CartClosedOK, "")
}

// A tab that was closed: the bank rejects what nobody confirmed, and the notice
// is free before the page's own time is over.
func TestBankPageLeft(t *testing.T) {
	t.Parallel()
	r := newBankRig(t)
	list, cart := r.pay(1)
	r.press(cart, "chiudi")
	r.poll(5 * time.Second)
	r.want(list, cart, gateway.NoticeOpen, gateway.CartRedirected, gateway.AttemptSent)
	r.poll(11 * time.Minute)
	r.want(list, cart, gateway.NoticeOpen, gateway.CartClosedKO, "")
}

// The bank's own word frees the notice when the PSP's KO is lost.
func TestBankRejectsAndItsPSPIsSilent(t *testing.T) {
	t.Parallel()
	for button, hears := range map[string]bool{"rifiuta": true, "annulla": false} {
		t.Run(button, func(t *testing.T) {
			t.Parallel()
			r := newBankRig(t)
			list, cart := r.pay(1)
			r.deaf.Store(!hears)
			r.shut.Store(true)
			r.press(cart, button)
			r.want(list, cart, gateway.NoticeOpen, gateway.CartRedirected, gateway.AttemptSent)
			r.poll(5 * time.Second)
			r.want(list, cart, gateway.NoticeOpen, gateway.CartClosedKO, "")
			r.shut.Store(false) // the PSP's KO arrives after all, and moves nothing
			if hears {
				if err := r.box.Close(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			r.want(list, cart, gateway.NoticeOpen, gateway.CartClosedKO, "")
		})
	}
}

// A notification has us ask at once, and a forged one no more than that.
func TestBankHintHasUsAsk(t *testing.T) {
	t.Parallel()
	r := newBankRig(t)
	list, cart := r.pay(1)
	hint := func(attempt string) error {
		e, err := r.set.Callback(gateway.Callback{PSP: "BERLIN", Method: "POST", Path: "/payments/" + attempt, Body: []byte(`{"transactionStatus":"ACSC"}`)})
		if err != nil {
			return err
		}
		return r.TakeEvent(t.Context(), e)
	}
	if asked, err := r.Poll(t.Context()); err != nil || asked != 0 {
		t.Fatalf("asked %d, %v before its time", asked, err)
	}
	if err := hint(r.payment(cart).Attempt); err != nil {
		t.Fatal(err)
	}
	if asked, err := r.Poll(t.Context()); err != nil || asked != 1 {
		t.Errorf("asked %d, %v after a hint", asked, err)
	}
	r.want(list, cart, gateway.NoticeOpen, gateway.CartRedirected, gateway.AttemptSent)
	if err := hint(strings.Repeat("0", 32)); !errors.Is(err, gateway.ErrNotFound) {
		t.Errorf("a hint at no payment: %v", err)
	}
}

// With an app in place of a page the browser waits at our own, and the payer
// confirms elsewhere.
func TestBankWithAnApp(t *testing.T) {
	t.Parallel()
	r := newBankRig(t, "sca", "decoupled")
	list, cart := r.pay(1)
	if !strings.HasSuffix(cart.Redirect, "/carrello/esito/"+cart.ID) {
		t.Errorf("the browser is sent to %s", cart.Redirect)
	}
	r.poll(5 * time.Second)
	r.want(list, cart, gateway.NoticeOpen, gateway.CartRedirected, gateway.AttemptSent)
	cart.Redirect = r.app.JoinPath("BERLIN", "conto", r.payment(cart).Reference).String()
	r.press(cart, "paga")
	r.want(list, cart, gateway.NoticePaid, gateway.CartClosedOK, "")
}

// A page over is taken back at the bank, and a payment made is not.
func TestBankCancelsForUs(t *testing.T) {
	t.Parallel()
	for button, want := range map[string]error{"chiudi": nil, "paga": gateway.ErrRefused} {
		r := newBankRig(t)
		_, cart := r.pay(1)
		pay := r.payment(cart)
		r.press(cart, button)
		if err := r.set.Cancel(t.Context(), "BERLIN", pay); !errors.Is(err, want) || (want == nil) != (err == nil) {
			t.Errorf("%s: Cancel: %v, want %v", button, err, want)
		}
		e, err := r.set.Ask(t.Context(), "BERLIN", pay)
		if word := map[string]gateway.PSPWord{"chiudi": gateway.WordNo, "paga": gateway.WordAuthorised}[button]; err != nil || e.Word != word {
			t.Errorf("%s: Ask = %+v, %v; want %s", button, e, err, word)
		}
	}
}
