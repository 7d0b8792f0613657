// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
	"github.com/nodogate/nodogate/gateway/money"
	receiptsxml "github.com/nodogate/nodogate/receipts/xml"
)

// What a PSP's proved word does to an attempt whose receipts are ours to make.
func TestTakeEvent(t *testing.T) {
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		g.PSPs.Settle(gateway.SettledByOutcome)
		keys := 0
		pay := func(t *testing.T, notices ...gateway.Notice) (gateway.Cart, string) {
			t.Helper()
			keys++
			req := gateway.PayRequest{Key: fmt.Sprint("event-", keys), Method: gateway.MethodCard, Actor: gatewaytest.Operator}
			for _, n := range notices {
				req.Notices = append(req.Notices, ref(n))
			}
			cart, err := g.Pay(ctx, req)
			if err != nil {
				t.Fatal(err)
			}
			n, err := g.Notice(ctx, notices[0].School, notices[0].Number)
			if err != nil || n.Payment == nil || n.Token == nil {
				t.Fatalf("the notice is held by attempt %+v and token %+v, %v", n.Payment, n.Token, err)
			}
			return cart, n.Payment.Attempt
		}
		event := func(id, attempt string, ok bool) gateway.PSPEvent {
			word := gateway.WordNo
			if ok {
				word = gateway.WordTaken
			}
			return gateway.PSPEvent{PSP: "BANCAUNO", ID: id, Attempt: attempt, Word: word, Raw: []byte(id)}
		}
		wantCart := func(t *testing.T, cart gateway.Cart, state gateway.CartState, notices gateway.NoticeState) {
			t.Helper()
			got, err := g.Cart(ctx, cart.ID)
			if err != nil || got.State != state {
				t.Errorf("the cart is %s, %v; want %s", got.State, err, state)
			}
			for _, c := range cart.Notices {
				if n, err := g.Notice(ctx, c.School, c.Number); err != nil || n.StateAt(g.Now()) != notices || n.Token != nil && notices == gateway.NoticePaid {
					t.Errorf("notice %s is %s with token %+v, %v; want %s", c.Number, n.State, n.Token, err, notices)
				}
			}
		}

		t.Run("OK settles all at once, and once", func(t *testing.T) {
			a, b := g.Issue(), g.Issue()
			cart, attempt := pay(t, a, b)
			for range 2 {
				if err := g.TakeEvent(ctx, event("ok", attempt, true)); err != nil {
					t.Fatal(err)
				}
			}
			if err := g.TakeEvent(ctx, event("ok-other-id", attempt, true)); err != nil {
				t.Fatal(err)
			}
			wantCart(t, cart, gateway.CartClosedOK, gateway.NoticePaid)
			var fees money.Cents
			for _, n := range []gateway.Notice{a, b} {
				list, err := g.Receipts(ctx, n.School, gateway.ReceiptFilter{Notice: n.Number, Limit: 10})
				if err != nil || len(list) != 1 || list[0].Channel != gateway.ChannelConnector || list[0].Anomaly != gateway.AnomalyNone || list[0].Content.PaymentNote != cart.ID {
					t.Fatalf("receipts %+v, %v", list, err)
				}
				whole, err := g.Receipt(ctx, n.School, list[0].ID)
				if err != nil {
					t.Fatal(err)
				}
				read, err := receiptsxml.Parse(whole.Raw)
				if err != nil || read.Content() != whole.Same {
					t.Errorf("the bytes kept read as %+v, %v", read, err)
				}
				if f := whole.Content.Fee; f != nil {
					fees += *f
				}
			}
			if fees != cart.Fee {
				t.Errorf("the receipts carry %s of fees, the cart %s", fees, cart.Fee)
			}
		})
		t.Run("a no frees the notices at once", func(t *testing.T) {
			n := g.Issue()
			cart, attempt := pay(t, n)
			if err := g.TakeEvent(ctx, event("no", attempt, false)); err != nil {
				t.Fatal(err)
			}
			wantCart(t, cart, gateway.CartClosedKO, gateway.NoticeOpen)
			if err := g.TakeEvent(ctx, event("no-again", attempt, false)); err != nil {
				t.Errorf("a second no: %v", err)
			}
			pay(t, n)
		})
		t.Run("a no after the OK moves nothing back", func(t *testing.T) {
			n := g.Issue()
			cart, attempt := pay(t, n)
			if err := errors.Join(g.TakeEvent(ctx, event("o1", attempt, true)), g.TakeEvent(ctx, event("o2", attempt, false))); err != nil {
				t.Fatal(err)
			}
			wantCart(t, cart, gateway.CartClosedOK, gateway.NoticePaid)
		})
		t.Run("an OK after the page lapsed", func(t *testing.T) {
			n := g.Issue()
			_, attempt := pay(t, n)
			g.Time.Advance(36 * time.Minute)
			if _, err := g.Sweep(ctx); err != nil {
				t.Fatal(err)
			}
			if got, _ := g.Notice(ctx, n.School, n.Number); got.Token != nil || got.Payment != nil {
				t.Errorf("a lapsed page still holds the notice: %+v %+v", got.Token, got.Payment)
			}
			if err := g.TakeEvent(ctx, event("late", attempt, true)); err != nil {
				t.Fatal(err)
			}
			list, err := g.Receipts(ctx, n.School, gateway.ReceiptFilter{Notice: n.Number, Limit: 10})
			if err != nil || len(list) != 1 || list[0].Anomaly != gateway.AnomalyLate || g.State(n) != gateway.NoticePaid {
				t.Errorf("receipts %+v, %v; the notice is %s", list, err, g.State(n))
			}
		})
		t.Run("an OK after somebody else paid", func(t *testing.T) {
			n := g.Issue()
			_, attempt := pay(t, n)
			g.Time.Advance(36 * time.Minute)
			if _, err := g.Sweep(ctx); err != nil {
				t.Fatal(err)
			}
			g.Settle(n, "")
			before := g.CountRefunds(n.School)
			if err := g.TakeEvent(ctx, event("too-late", attempt, true)); err != nil {
				t.Fatal(err)
			}
			list, err := g.Receipts(ctx, n.School, gateway.ReceiptFilter{Notice: n.Number, Limit: 10})
			if err != nil || len(list) != 2 || list[0].Anomaly != gateway.AnomalyLate || list[0].Settles {
				t.Errorf("receipts %+v, %v", list, err)
			}
			if got := g.CountRefunds(n.School); got != before+1 {
				t.Errorf("%d refund tasks, want %d", got, before+1)
			}
		})
		t.Run("an OK quicker than the PSP's answer", func(t *testing.T) {
			n := g.Issue()
			g.PSPs.OnStart(func(_ context.Context, psp gateway.PSPID, o gateway.Order) (gateway.Started, error) {
				e := event("quick", o.Attempt, true)
				e.PSP = psp
				return gateway.Started{Redirect: "https://psp.example/x"}, g.TakeEvent(ctx, e)
			})
			defer g.PSPs.OnStart(nil)
			cart, err := g.Pay(ctx, gateway.PayRequest{Key: "quick", Method: gateway.MethodCard, Notices: []gateway.NoticeRef{ref(n)}})
			if err != nil || cart.State != gateway.CartClosedOK {
				t.Errorf("Pay = %s, %v", cart.State, err)
			}
		})
		t.Run("refusals change nothing", func(t *testing.T) {
			n := g.Issue()
			cart, attempt := pay(t, n)
			if err := g.TakeEvent(ctx, event("x1", "nobody", true)); !errors.Is(err, gateway.ErrNotFound) {
				t.Errorf("an unknown attempt: %v", err)
			}
			foreign := event("x2", attempt, true)
			foreign.PSP = "CARTASI"
			if err := g.TakeEvent(ctx, foreign); !errors.Is(err, gateway.ErrNotFound) {
				t.Errorf("another PSP's attempt: %v", err)
			}
			borrowed := event("x4", attempt, true)
			borrowed.Reference = "another-payment" // BANCAUNO called this one by its attempt
			if err := g.TakeEvent(ctx, borrowed); !errors.Is(err, gateway.ErrForged) {
				t.Errorf("the proof of another payment: %v", err)
			}
			wrong := event("x3", attempt, true)
			amount := cart.Amount()
			wrong.Amount = &amount // the fee is missing
			before := g.CountEvidence(gateway.EvidenceInconsistent)
			if err := g.TakeEvent(ctx, wrong); !errors.Is(err, gateway.ErrAmount) {
				t.Errorf("another amount: %v", err)
			}
			if got := g.CountEvidence(gateway.EvidenceInconsistent); got != before+1 {
				t.Errorf("%d pieces of evidence, want %d", got, before+1)
			}
			wantCart(t, cart, gateway.CartRedirected, gateway.NoticeOpen)
		})
		t.Run("many at once", func(t *testing.T) {
			n := g.Issue()
			cart, attempt := pay(t, n)
			var wg sync.WaitGroup
			for i := range 16 {
				wg.Go(func() {
					if err := g.TakeEvent(ctx, event(fmt.Sprint("race-", i%4, i%3 != 0), attempt, i%3 != 0)); err != nil {
						t.Errorf("TakeEvent = %v", err)
					}
				})
			}
			wg.Wait()
			got, err := g.Cart(ctx, cart.ID)
			if err != nil || got.State != gateway.CartClosedOK && got.State != gateway.CartClosedKO {
				t.Errorf("the cart is %s, %v", got.State, err)
			}
			// A no that came first does not undo that money moved.
			if g.State(n) != gateway.NoticePaid {
				t.Errorf("the notice is %s", g.State(n))
			}
		})
		t.Run("a counter and the portal keep apart", func(t *testing.T) {
			n := g.Issue()
			pay(t, n)
			_, err := g.Activate(ctx, gateway.ActivateRequest{Peer: gateway.Peer{PSP: "POSTE"}, School: n.School, Number: n.Number}, func(gateway.Activated) []byte { return nil })
			if !errors.Is(err, gateway.ErrInProgress) {
				t.Errorf("Activate = %v, want ErrInProgress", err)
			}
		})
	})
}
