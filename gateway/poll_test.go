// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
)

// polled pays notices at a PSP that can be asked and tells the node face itself.
type polled struct {
	*testing.T
	g    *gatewaytest.Gateway
	keys int

	mu    sync.Mutex
	says  gateway.PSPWord
	fails error
	asked []time.Time
}

func newPolled(t *testing.T, g *gatewaytest.Gateway) *polled {
	p := &polled{T: t, g: g, says: gateway.WordOpen}
	g.PSPs.Settle(gateway.SettledByPSP)
	g.PSPs.OnAsk(func(pay gateway.Payment) (gateway.PSPEvent, error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.asked = append(p.asked, g.Now())
		if p.fails != nil {
			return gateway.PSPEvent{}, p.fails
		}
		return gateway.PSPEvent{PSP: "BANCAUNO", ID: "status/" + pay.Reference + "/" + string(p.says), Attempt: pay.Attempt, Word: p.says, Raw: []byte(p.says)}, nil
	})
	t.Cleanup(func() { // what it left open is nobody else's
		p.say(gateway.WordNo, nil)
		g.Time.Advance(10 * time.Minute)
		if _, err := g.Poll(ctx); err != nil {
			t.Error(err)
		}
	})
	return p
}

func (p *polled) say(w gateway.PSPWord, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.says, p.fails, p.asked = w, err, nil
}

func (p *polled) times() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.asked)
}

func (p *polled) pay(notices ...gateway.Notice) (gateway.Cart, gateway.Attempt) {
	p.Helper()
	p.keys++
	req := gateway.PayRequest{Key: fmt.Sprint("poll-", p.Name(), p.keys), Method: gateway.MethodAccountDebit, Actor: gatewaytest.Operator}
	for _, n := range notices {
		req.Notices = append(req.Notices, ref(n))
	}
	cart, err := p.g.Pay(ctx, req)
	if err != nil {
		p.Fatal(err)
	}
	return cart, p.attempt(notices[0])
}

func (p *polled) attempt(n gateway.Notice) (a gateway.Attempt) {
	p.Helper()
	err := p.g.Store.View(ctx, func(tx gateway.Tx) (err error) {
		a, err = tx.LiveAttempt(n.School, n.Number)
		return err
	})
	if err != nil {
		p.Fatal(err)
	}
	return a
}

func (p *polled) poll(want int) {
	p.Helper()
	if n, err := p.g.Poll(ctx); err != nil || n != want {
		p.Errorf("Poll = %d, %v; want %d", n, err, want)
	}
}

func (p *polled) wantCart(cart gateway.Cart, want gateway.CartState) {
	p.Helper()
	if got, err := p.g.Cart(ctx, cart.ID); err != nil || got.State != want {
		p.Errorf("the cart is %s, %v; want %s", got.State, err, want)
	}
}

// outcome is the PSP's sendPaymentOutcome for an order of it.
func (p *polled) outcome(o gateway.Order, ok bool) error {
	req := gateway.OutcomeRequest{Peer: gateway.Peer{PSP: "BANCAUNO", Name: "Banca Uno", Channel: "97735020584_01"}, OK: ok}
	for _, n := range o.Notices {
		req.Tokens = append(req.Tokens, n.Token)
	}
	if ok {
		req.Details = gateway.OutcomeDetails{Method: "other", Channel: "onLine", ApplicationDate: "2026-11-23", TransferDate: "2026-11-24", Fee: &o.Fee}
	}
	_, err := p.g.Outcome(ctx, req, func(v gateway.OutcomeVerdict) []byte { return []byte(fmt.Sprint(v)) })
	return err
}

func (p *polled) lastOrder() gateway.Order {
	orders := p.g.PSPs.Orders()
	return orders[len(orders)-1]
}

func TestPoll(t *testing.T) {
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		t.Run("asked after 5 s, then less and less often, for a day", func(t *testing.T) {
			p := newPolled(t, g)
			n := g.Issue()
			cart, a := p.pay(n)
			begin := g.Now()
			p.poll(0)
			for i, wait := range []time.Duration{5, 15, 35, 75, 155, 600, 600} {
				g.Time.Advance(wait*time.Second - time.Second)
				p.poll(0)
				g.Time.Advance(time.Second)
				p.poll(1)
				if p.times() != i+1 {
					t.Errorf("asked %d times, want %d", p.times(), i+1)
				}
			}
			for g.Now().Sub(begin) < 25*time.Hour {
				g.Time.Advance(10 * time.Minute)
				if _, err := g.Poll(ctx); err != nil {
					t.Fatal(err)
				}
			}
			p.wantCart(cart, gateway.CartClosedExpired)
			if got, _ := g.Notice(ctx, n.School, n.Number); got.Payment != nil || got.Token != nil {
				t.Errorf("after a day attempt %s still holds the notice: %+v %+v", a.ID, got.Payment, got.Token)
			}
		})
		t.Run("silence concludes nothing", func(t *testing.T) {
			p := newPolled(t, g)
			n := g.Issue()
			cart, _ := p.pay(n)
			for _, err := range []error{gateway.ErrOutcomeUnknown, gateway.ErrPSPUnavailable, gateway.ErrRefused, errors.New("nonsense")} {
				p.say("", err)
				g.Time.Advance(10 * time.Minute)
				p.poll(1)
				p.wantCart(cart, gateway.CartRedirected)
			}
			if _, err := g.Sweep(ctx); err != nil {
				t.Fatal(err)
			}
			p.wantCart(cart, gateway.CartRedirected) // the page is over, the PSP has not said so
			_, err := g.Pay(ctx, gateway.PayRequest{Key: "poll-other", Notices: []gateway.NoticeRef{ref(n)}, Method: gateway.MethodCard, Actor: gatewaytest.Operator})
			if !errors.Is(err, gateway.ErrInProgress) {
				t.Errorf("a second payment: %v, want ErrInProgress", err)
			}
			p.say(gateway.WordNo, nil)
			g.Time.Advance(10 * time.Minute)
			p.poll(1)
			p.wantCart(cart, gateway.CartClosedKO)
			p.pay(n)
		})
		t.Run("ordered is not paid: the receipt comes from the PSP", func(t *testing.T) {
			p := newPolled(t, g)
			a, b := g.Issue(), g.Issue()
			cart, _ := p.pay(a, b)
			order := p.lastOrder()
			p.say(gateway.WordAuthorised, nil)
			g.Time.Advance(5 * time.Second)
			p.poll(1)
			p.wantCart(cart, gateway.CartRedirected)
			if got := p.attempt(a); got.State != gateway.AttemptAuthorised || !got.PollAt.IsZero() {
				t.Errorf("the attempt is %+v, want authorised and no more asked about", got)
			}
			if g.State(a) != gateway.NoticeOpen {
				t.Errorf("the notice is %s before its receipt", g.State(a))
			}
			if err := p.outcome(order, true); err != nil {
				t.Fatal(err)
			}
			p.wantCart(cart, gateway.CartClosedOK)
			for _, n := range []gateway.Notice{a, b} {
				list, err := g.Receipts(ctx, n.School, gateway.ReceiptFilter{Notice: n.Number, Limit: 10})
				if err != nil || len(list) != 1 || list[0].Channel != gateway.ChannelPSP || list[0].Anomaly != gateway.AnomalyNone || list[0].Content.PaymentNote != cart.ID || list[0].Content.PSP.Channel != "97735020584_01" {
					t.Errorf("receipts %+v, %v", list, err)
				}
			}
		})
		t.Run("the PSP's outcome before anybody asked", func(t *testing.T) {
			p := newPolled(t, g)
			n := g.Issue()
			cart, _ := p.pay(n)
			if err := p.outcome(p.lastOrder(), true); err != nil {
				t.Fatal(err)
			}
			p.wantCart(cart, gateway.CartClosedOK)
			g.Time.Advance(time.Hour)
			p.poll(0)
			if g.State(n) != gateway.NoticePaid {
				t.Errorf("the notice is %s", g.State(n))
			}
		})
		t.Run("the PSP's KO ends the payment", func(t *testing.T) {
			p := newPolled(t, g)
			a, b := g.Issue(), g.Issue()
			cart, attempt := p.pay(a, b)
			order := p.lastOrder()
			one := order
			one.Notices = order.Notices[:1]
			if err := p.outcome(one, false); err != nil {
				t.Fatal(err)
			}
			p.wantCart(cart, gateway.CartRedirected) // of one of two
			one.Notices = order.Notices[1:]
			if err := p.outcome(one, false); err != nil {
				t.Fatal(err)
			}
			p.wantCart(cart, gateway.CartClosedKO)
			events, err := g.Events(ctx, a.School, a.Number)
			ended := slices.IndexFunc(events, func(e gateway.Event) bool { return e.Kind == gateway.EventPaymentEnded })
			if err != nil || ended < 0 || events[ended].Attempt != attempt.ID || events[ended].State != gateway.AttemptFailed {
				t.Errorf("events %+v, %v", events, err)
			}
			p.pay(a, b)
		})
		t.Run("a closed tab: cancelled when its page is over", func(t *testing.T) {
			p := newPolled(t, g)
			n := g.Issue()
			cart, _ := p.pay(n)
			var cancelled []gateway.Payment
			var answer error
			g.PSPs.OnCancel(func(pay gateway.Payment) error { cancelled = append(cancelled, pay); return answer })
			defer g.PSPs.OnCancel(nil)
			g.Time.Advance(34 * time.Minute)
			p.poll(1)
			if len(cancelled) > 0 {
				t.Fatal("cancelled while its page lives")
			}
			answer = gateway.ErrRefused // it is being executed
			g.Time.Advance(10 * time.Minute)
			p.poll(1)
			p.wantCart(cart, gateway.CartRedirected)
			answer = nil
			g.Time.Advance(10 * time.Minute)
			p.poll(1)
			p.wantCart(cart, gateway.CartClosedKO)
			if len(cancelled) != 2 || cancelled[0].Reference == "" {
				t.Errorf("cancelled %+v", cancelled)
			}
		})
		t.Run("hints only have it asked", func(t *testing.T) {
			p := newPolled(t, g)
			n := g.Issue()
			cart, a := p.pay(n)
			hint := gateway.PSPEvent{PSP: "BANCAUNO", Attempt: a.ID, Word: gateway.WordOpen}
			if err := g.TakeEvent(ctx, hint); err != nil {
				t.Fatal(err)
			}
			p.poll(1)
			if err := g.AskSoon(ctx, cart.ID); err != nil {
				t.Fatal(err)
			}
			p.poll(1)
			p.wantCart(cart, gateway.CartRedirected)
			hint.Attempt = "ffffffffffffffffffffffffffffffff"
			if err := g.TakeEvent(ctx, hint); !errors.Is(err, gateway.ErrNotFound) {
				t.Errorf("a hint on a payment that is not: %v", err)
			}
			hint.Attempt, hint.PSP = a.ID, "POSTE"
			if err := g.TakeEvent(ctx, hint); !errors.Is(err, gateway.ErrNotFound) {
				t.Errorf("a hint of another PSP: %v", err)
			}
			p.poll(0)
			if err := errors.Join(p.outcome(p.lastOrder(), true), g.AskSoon(ctx, cart.ID), g.AskSoon(ctx, "nocart")); err != nil {
				t.Fatal(err)
			}
			p.poll(0) // it is over
		})
		t.Run("a lost answer of a bank with an app stays unknown", func(t *testing.T) {
			p := newPolled(t, g)
			g.PSPs.Pageless(true)
			defer g.PSPs.Pageless(false)
			g.PSPs.OnStart(func(_ context.Context, _ gateway.PSPID, _ gateway.Order) (gateway.Started, error) {
				return gateway.Started{}, gateway.ErrOutcomeUnknown
			})
			n := g.Issue()
			_, err := g.Pay(ctx, gateway.PayRequest{Key: "poll-app", Notices: []gateway.NoticeRef{ref(n)}, Method: gateway.MethodAccountDebit, Actor: gatewaytest.Operator})
			g.PSPs.OnStart(nil)
			if !errors.Is(err, gateway.ErrOutcomeUnknown) {
				t.Fatalf("Pay: %v, want ErrOutcomeUnknown", err)
			}
			if a := p.attempt(n); a.State != gateway.AttemptUnknown {
				t.Errorf("the attempt is %s, want unknown", a.State)
			}
			if err := p.outcome(p.lastOrder(), true); err != nil {
				t.Fatal(err)
			}
			if g.State(n) != gateway.NoticePaid {
				t.Errorf("the notice is %s after the PSP's OK", g.State(n))
			}
			m := g.Issue()
			g.PSPs.OnStart(func(_ context.Context, _ gateway.PSPID, o gateway.Order) (gateway.Started, error) {
				return gateway.Started{Reference: o.Attempt}, nil
			})
			cart, _ := p.pay(m)
			g.PSPs.OnStart(nil)
			if cart.State != gateway.CartRedirected || cart.Redirect == "" {
				t.Errorf("the payer who confirms in an app waits at %q, cart %s", cart.Redirect, cart.State)
			}
		})
	})
}
