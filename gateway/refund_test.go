// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
	"github.com/nodogate/nodogate/gateway/money"
)

var (
	clerk    = gateway.Actor{Kind: "client", Name: "segreteria"}
	director = gateway.Actor{Kind: "client", Name: "dsga"}
)

// register plays a school with refunds of payments at PSPs.
type register struct {
	*testing.T
	g    *gatewaytest.Gateway
	keys int

	mu     sync.Mutex
	answer error // of the PSP to a refund
	asked  []gateway.Payment
}

func newRegister(t *testing.T, g *gatewaytest.Gateway) *register {
	r := &register{T: t, g: g}
	if _, err := g.Service.School(ctx, gatewaytest.OtherCode); err != nil {
		g.AddSchool(gatewaytest.OtherCode, "Liceo di Prova")
	}
	g.PSPs.Settle(gateway.SettledByOutcome)
	g.PSPs.OnRefund(func(p gateway.Payment) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.asked = append(r.asked, p)
		return r.answer
	})
	return r
}

func (r *register) says(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer, r.asked = err, nil
}

func (r *register) times() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.asked)
}

// paid pays new notices in one cart, and gives their receipts.
func (r *register) paid(notices int) (list []gateway.Receipt, attempt string) {
	r.Helper()
	r.keys++
	req := gateway.PayRequest{Key: fmt.Sprint(r.Name(), r.keys), Method: gateway.MethodCard, Actor: gatewaytest.Operator}
	for i := range notices {
		school := gatewaytest.SchoolCode
		if i > 0 { // a family may have children in two schools
			school = gatewaytest.OtherCode
		}
		req.Notices = append(req.Notices, ref(r.g.IssueAt(school)))
	}
	return r.pay(req)
}

func (r *register) pay(req gateway.PayRequest) (list []gateway.Receipt, attempt string) {
	r.Helper()
	if _, err := r.g.Pay(ctx, req); err != nil {
		r.Fatal(err)
	}
	orders := r.g.PSPs.Orders()
	attempt = orders[len(orders)-1].Attempt
	r.must(r.g.TakeEvent(ctx, gateway.PSPEvent{PSP: "BANCAUNO", ID: "ok-" + attempt, Attempt: attempt, Word: gateway.WordTaken, Raw: []byte(attempt)}))
	for _, n := range req.Notices {
		found, err := r.g.Receipts(ctx, n.School, gateway.ReceiptFilter{Notice: n.Number})
		if err != nil || len(found) == 0 {
			r.Fatalf("receipts of %s: %d, %v", n.Number, len(found), err)
		}
		list = append(list, found[0]) // the newest
	}
	return list, attempt
}

func (r *register) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

func (r *register) request(rec gateway.Receipt, amount money.Cents) gateway.Refund {
	r.Helper()
	f, err := r.g.RequestRefund(ctx, clerk, rec.School, gateway.NewRefund{Receipt: rec.ID, Amount: amount, Reason: "gita annullata"})
	r.must(err)
	return f
}

func (r *register) change(f gateway.Refund, who gateway.Actor, c gateway.RefundChange, want error) gateway.Refund {
	r.Helper()
	got, err := r.g.ChangeRefund(ctx, who, f.School, f.ID, c)
	if !errors.Is(err, want) {
		r.Errorf("ChangeRefund to %s%s: %v, want %v", c.State, c.Execution, err, want)
	}
	return got
}

func (r *register) approve(f gateway.Refund, want gateway.Execution) {
	r.Helper()
	r.change(f, director, gateway.RefundChange{State: gateway.RefundApproved}, nil)
	r.want(f, gateway.RefundApproved, want)
}

func (r *register) want(f gateway.Refund, state gateway.RefundState, execution gateway.Execution) {
	r.Helper()
	got, err := r.g.Refund(ctx, f.School, f.ID)
	if err != nil || got.State != state || got.Execution != execution {
		r.Errorf("the refund is %s by %q, %v; want %s by %q", got.State, got.Execution, err, state, execution)
	}
}

func (r *register) ask(want int) {
	r.Helper()
	if n, err := r.g.AskRefunds(ctx); err != nil || n != want {
		r.Errorf("AskRefunds = %d, %v; want %d", n, err, want)
	}
}

func whole(rec gateway.Receipt) money.Cents { return rec.Content.Amount }

func TestRequestRefund(t *testing.T) {
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		r := newRegister(t, g)
		rec := must1(r.paid(1))
		good := gateway.NewRefund{Receipt: rec.ID, Amount: 500, Reason: " gita\tannullata ", IBAN: "it60 x054 2811 1010 0000 0123 456", Holder: "Laura Bianchi"}
		f, err := g.RequestRefund(ctx, clerk, rec.School, good)
		if err != nil || f.State != gateway.RefundRequested || f.IBAN != gatewaytest.IBAN || f.Notice != rec.Notice || f.Reason != "gita annullata" || f.RequestedBy != clerk {
			t.Fatalf("RequestRefund = %+v, %v", f, err)
		}
		for name, c := range map[string]struct {
			field  string
			change func(*gateway.NewRefund)
		}{
			"unknown receipt":        {"receipt", func(n *gateway.NewRefund) { n.Receipt = "nope" }},
			"nothing":                {"amount_cents", func(n *gateway.NewRefund) { n.Amount = 0 }},
			"less":                   {"amount_cents", func(n *gateway.NewRefund) { n.Amount = -1 }},
			"more than the receipt":  {"amount_cents", func(n *gateway.NewRefund) { n.Amount = whole(rec) + 1 }},
			"more than there is":     {"amount_cents", func(n *gateway.NewRefund) { n.Amount = 1 << 62 }},
			"no reason":              {"reason", func(n *gateway.NewRefund) { n.Reason = " " }},
			"long reason":            {"reason", func(n *gateway.NewRefund) { n.Reason = strings.Repeat("à", 141) }},
			"wrong IBAN":             {"iban", func(n *gateway.NewRefund) { n.IBAN = "IT61X0542811101000000123456" }},
			"holder without account": {"iban", func(n *gateway.NewRefund) { n.IBAN = "" }},
			"long holder":            {"holder", func(n *gateway.NewRefund) { n.Holder = strings.Repeat("x", 71) }},
		} {
			in := good
			c.change(&in)
			var wrong *gateway.Invalid
			if _, err := g.RequestRefund(ctx, clerk, rec.School, in); !errors.As(err, &wrong) || wrong.Fields[0].Field != c.field {
				t.Errorf("%s: %v, want a fault of %s", name, err, c.field)
			}
		}
		if _, err := g.RequestRefund(ctx, clerk, gatewaytest.OtherCode, good); !errors.As(err, new(*gateway.Invalid)) {
			t.Errorf("another school's receipt: %v", err)
		}
		over := good
		over.Amount = whole(rec) - 499
		if _, err := g.RequestRefund(ctx, clerk, rec.School, over); !errors.Is(err, gateway.ErrRefundExceeds) {
			t.Errorf("more than is left: %v", err)
		}
		// A rejected one leaves room for another.
		r.change(f, clerk, gateway.RefundChange{State: gateway.RefundRejected}, nil)
		if _, err := g.RequestRefund(ctx, clerk, rec.School, over); err != nil {
			t.Error(err)
		}
		list, err := g.Refunds(ctx, rec.School, gateway.RefundFilter{State: gateway.RefundRequested})
		if err != nil || len(list) != 1 {
			t.Errorf("%d requested, %v; want 1", len(list), err)
		}

		t.Run("many at once give back no more than was paid", func(t *testing.T) {
			rec := must1(newRegister(t, g).paid(1))
			var wg sync.WaitGroup
			var taken atomic.Int64
			for range 8 {
				wg.Go(func() {
					_, err := g.RequestRefund(ctx, clerk, rec.School, gateway.NewRefund{Receipt: rec.ID, Amount: whole(rec)/3 + 1, Reason: "x"})
					if err == nil {
						taken.Add(1)
					} else if !errors.Is(err, gateway.ErrRefundExceeds) {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if taken.Load() != 2 {
				t.Errorf("%d thirds and more were taken, want 2", taken.Load())
			}
		})
	})
}

func must1(list []gateway.Receipt, _ string) gateway.Receipt { return list[0] }

// The table of moves, walked from every state to every state.
func TestRefundMoves(t *testing.T) {
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		r := newRegister(t, g)
		g.PSPs.OnRefund(nil)
		states := []gateway.RefundState{gateway.RefundRequested, gateway.RefundApproved, gateway.RefundExecuted, gateway.RefundRejected}
		ways := map[gateway.RefundState][]gateway.RefundState{
			gateway.RefundRequested: nil, gateway.RefundApproved: {gateway.RefundApproved},
			gateway.RefundExecuted: {gateway.RefundApproved, gateway.RefundExecuted}, gateway.RefundRejected: {gateway.RefundRejected},
		}
		allowed := map[[2]gateway.RefundState]bool{
			{gateway.RefundRequested, gateway.RefundApproved}: true, {gateway.RefundRequested, gateway.RefundRejected}: true,
			{gateway.RefundApproved, gateway.RefundExecuted}: true, {gateway.RefundApproved, gateway.RefundRejected}: true,
		}
		for _, from := range states {
			for _, to := range states {
				f := r.request(must1(r.paid(1)), 100)
				for _, s := range ways[from] {
					f = r.change(f, director, gateway.RefundChange{State: s}, nil)
				}
				var want error
				if from != to && !allowed[[2]gateway.RefundState{from, to}] {
					want = gateway.ErrRefundState
				}
				got := r.change(f, director, gateway.RefundChange{State: to}, want)
				if want == nil && (got.State != to || from == to && got.Version != f.Version || from != to && got.Version != f.Version+1) {
					t.Errorf("from %s to %s: %s, version %d after %d", from, to, got.State, got.Version, f.Version)
				}
			}
		}
		var invalid *gateway.Invalid
		f := r.request(must1(r.paid(1)), 100)
		for _, c := range []gateway.RefundChange{{State: "paid"}, {Execution: "psp"}, {Execution: "waiting"}} {
			if _, err := g.ChangeRefund(ctx, director, f.School, f.ID, c); !errors.As(err, &invalid) {
				t.Errorf("%+v: %v, want it refused as wrong", c, err)
			}
		}
		if _, err := g.ChangeRefund(ctx, director, gatewaytest.OtherCode, f.ID, gateway.RefundChange{State: gateway.RefundApproved}); !errors.Is(err, gateway.ErrNotFound) {
			t.Errorf("by another school: %v", err)
		}
	})
}

func TestAnotherApproves(t *testing.T) {
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		r := newRegister(t, g)
		g.PSPs.OnRefund(nil)
		approved := gateway.RefundChange{State: gateway.RefundApproved}
		f := r.request(must1(r.paid(1)), 100)
		r.change(f, clerk, approved, gateway.ErrRefundOwn)
		r.want(f, gateway.RefundRequested, "")
		r.change(f, gateway.Actor{Kind: "account", Name: clerk.Name}, approved, nil) // another kind of person

		// What the gateway asked for, anybody approves; but who says whose account
		// it goes to, has asked for it.
		ask := func() gateway.Refund {
			n := g.Issue()
			list := r.twice(n)
			got, err := g.Refunds(ctx, n.School, gateway.RefundFilter{Receipt: list.ID})
			if err != nil || len(got) != 1 || got[0].RequestedBy != gateway.ActorSystem || got[0].Reason != "double_payment" || got[0].Amount != whole(list) {
				t.Fatalf("the gateway asked for %+v, %v", got, err)
			}
			return got[0]
		}
		r.change(ask(), clerk, approved, nil)
		iban, holder := gatewaytest.IBAN, "Laura Bianchi"
		payee := gateway.RefundChange{IBAN: &iban, Holder: &holder}
		f = ask()
		both := payee
		both.State = gateway.RefundApproved
		r.change(f, clerk, both, gateway.ErrRefundOwn)
		f = r.change(f, clerk, payee, nil)
		if f.IBAN != gatewaytest.IBAN || f.Holder != holder || f.RequestedBy != clerk || f.State != gateway.RefundRequested {
			t.Errorf("with an account: %+v", f)
		}
		r.change(f, clerk, approved, gateway.ErrRefundOwn)
		f = r.change(f, director, approved, nil)
		// What was approved is what is paid.
		if _, err := g.ChangeRefund(ctx, clerk, f.School, f.ID, gateway.RefundChange{IBAN: new("")}); !errors.As(err, new(*gateway.Invalid)) {
			t.Errorf("a holder without an account: %v", err)
		}
		r.change(f, clerk, gateway.RefundChange{Holder: new("Mario Neri")}, gateway.ErrRefundState)
		r.change(f, clerk, payee, nil) // as it is
	})
}

// twice has a notice paid twice at the node, and gives the second receipt.
func (r *register) twice(n gateway.Notice) gateway.Receipt {
	r.Helper()
	r.g.Settle(n, "")
	v, err := r.g.Deliver(gatewaytest.Receipt(n, "rt-second-"+n.Number.String()))
	r.must(err)
	return v.Receipt
}

// The PSP gives a payment back: once, and only when all of it shall go back.
func TestRefundThroughThePSP(t *testing.T) {
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		t.Run("one notice", func(t *testing.T) {
			r := newRegister(t, g)
			list, attempt := r.paid(1)
			f := r.request(list[0], whole(list[0]))
			r.ask(0)
			r.approve(f, gateway.ExecutionPSP)
			r.change(f, clerk, gateway.RefundChange{State: gateway.RefundExecuted}, gateway.ErrRefundAtPSP)
			r.change(f, clerk, gateway.RefundChange{State: gateway.RefundRejected}, gateway.ErrRefundAtPSP)
			r.change(f, clerk, gateway.RefundChange{Execution: gateway.ExecutionSchool}, gateway.ErrRefundAtPSP)
			r.ask(1)
			r.want(f, gateway.RefundExecuted, gateway.ExecutionPSP)
			g.Time.Advance(time.Hour)
			r.ask(0)
			if want := (gateway.Payment{Attempt: attempt, Reference: attempt, Method: gateway.MethodCard}); r.times() != 1 || r.asked[0] != want {
				t.Errorf("asked %+v, want once %+v", r.asked, want)
			}
			got, err := g.Refund(ctx, f.School, f.ID)
			if err != nil || got.AtPSP == nil || got.AtPSP.State != gateway.PSPRefundDone || got.AtPSP.Asked != 1 || got.AtPSP.PSP != "BANCAUNO" || got.Version != 3 {
				t.Errorf("Refund = %+v, %v", got, err)
			}
			// What the PSP did to it stands in the notice's history, and was told.
			events, err := g.Events(ctx, f.School, f.Notice)
			var states []string
			for _, e := range events {
				if e.Kind == gateway.EventRefundChanged {
					if e.Refund != f.ID || e.Receipt != f.Receipt {
						t.Errorf("event %+v", e)
					}
					states = append(states, e.Actor.Name+" "+string(e.RefundState))
				}
			}
			if want := "segreteria requested, dsga approved, system executed"; err != nil || strings.Join(states, ", ") != want {
				t.Errorf("history %q, %v; want %q", strings.Join(states, ", "), err, want)
			}
		})
		t.Run("an unclear answer is asked about again, with the same payment", func(t *testing.T) {
			r := newRegister(t, g)
			list, attempt := r.paid(1)
			f := r.request(list[0], whole(list[0]))
			r.approve(f, gateway.ExecutionPSP)
			r.says(fmt.Errorf("cut: %w", gateway.ErrOutcomeUnknown))
			r.ask(1)
			for _, wait := range []time.Duration{5, 15, 35, 75, 155, 600, 600} {
				r.want(f, gateway.RefundApproved, gateway.ExecutionPSP)
				g.Time.Advance(wait*time.Second - time.Second)
				r.ask(0)
				g.Time.Advance(time.Second)
				r.ask(1)
			}
			if r.times() != 8 || r.asked[7].Attempt != attempt {
				t.Errorf("asked %d times", r.times())
			}
			r.says(nil)
			g.Time.Advance(10 * time.Minute)
			r.ask(1)
			r.want(f, gateway.RefundExecuted, gateway.ExecutionPSP)
		})
		t.Run("no clear answer for a day", func(t *testing.T) {
			r := newRegister(t, g)
			f := r.requestWhole(r.paid(1))
			r.approve(f, gateway.ExecutionPSP)
			r.says(gateway.ErrPSPUnavailable)
			for range 24 * 6 {
				g.Time.Advance(10 * time.Minute)
				if _, err := g.AskRefunds(ctx); err != nil {
					t.Fatal(err)
				}
			}
			before := r.times()
			for range 6 { // once an hour from then on
				g.Time.Advance(10 * time.Minute)
				_, err := g.AskRefunds(ctx)
				r.must(err)
			}
			if got := r.times() - before; got != 1 {
				t.Errorf("asked %d times in an hour, want once", got)
			}
			r.change(f, clerk, gateway.RefundChange{Execution: gateway.ExecutionSchool}, nil)
			r.want(f, gateway.RefundApproved, gateway.ExecutionSchool)
			g.Time.Advance(2 * time.Hour)
			r.ask(0)
			r.change(f, clerk, gateway.RefundChange{State: gateway.RefundExecuted}, nil)
		})
		t.Run("a no gives it to the school, for good", func(t *testing.T) {
			r := newRegister(t, g)
			list, _ := r.paid(2)
			a, b := r.request(list[0], whole(list[0])), r.request(list[1], whole(list[1]))
			r.approve(a, gateway.ExecutionWaiting)
			r.approve(b, gateway.ExecutionPSP)
			r.says(fmt.Errorf("KO: %w", gateway.ErrRefused))
			r.ask(1)
			r.want(a, gateway.RefundApproved, gateway.ExecutionRefused)
			r.want(b, gateway.RefundApproved, gateway.ExecutionRefused)
			r.says(nil)
			g.Time.Advance(48 * time.Hour)
			r.ask(0)
			r.change(a, clerk, gateway.RefundChange{State: gateway.RefundExecuted}, nil)
			r.change(b, clerk, gateway.RefundChange{State: gateway.RefundRejected}, nil)
			// Another request does not ask the PSP again.
			r.approve(r.request(list[1], whole(list[1])), gateway.ExecutionSchool)
			r.ask(0)
			if r.times() != 0 {
				t.Error("the PSP was asked after its no")
			}
		})
		t.Run("three notices, all of them or none", func(t *testing.T) {
			r := newRegister(t, g)
			list, _ := r.paid(3)
			var f []gateway.Refund
			for _, rec := range list {
				f = append(f, r.request(rec, whole(rec)))
			}
			r.approve(f[0], gateway.ExecutionWaiting)
			r.approve(f[1], gateway.ExecutionWaiting)
			r.change(f[0], clerk, gateway.RefundChange{State: gateway.RefundExecuted}, gateway.ErrRefundWaits)
			r.ask(0)
			r.approve(f[2], gateway.ExecutionPSP)
			for _, x := range f {
				r.want(x, gateway.RefundApproved, gateway.ExecutionPSP)
			}
			r.ask(1)
			for _, x := range f {
				r.want(x, gateway.RefundExecuted, gateway.ExecutionPSP)
			}
			if r.times() != 1 {
				t.Errorf("asked %d times for one payment", r.times())
			}
		})
		t.Run("one of two is the school's", func(t *testing.T) {
			r := newRegister(t, g)
			list, _ := r.paid(2)
			a := r.request(list[0], whole(list[0]))
			r.approve(a, gateway.ExecutionSchool) // nobody asked for the other
			b := r.request(list[1], whole(list[1]))
			r.approve(b, gateway.ExecutionSchool) // the school may have paid a already
			r.ask(0)
			r.change(a, clerk, gateway.RefundChange{State: gateway.RefundExecuted}, nil)
		})
		t.Run("the other is rejected", func(t *testing.T) {
			r := newRegister(t, g)
			list, _ := r.paid(2)
			a, b := r.request(list[0], whole(list[0])), r.request(list[1], whole(list[1]))
			r.approve(a, gateway.ExecutionWaiting)
			r.change(b, director, gateway.RefundChange{State: gateway.RefundRejected}, nil)
			r.want(a, gateway.RefundApproved, gateway.ExecutionSchool)
			r.approve(r.request(list[1], whole(list[1])), gateway.ExecutionSchool)
			r.ask(0)
		})
		t.Run("the school does not wait", func(t *testing.T) {
			r := newRegister(t, g)
			list, _ := r.paid(2)
			a, b := r.request(list[0], whole(list[0])), r.request(list[1], whole(list[1]))
			r.change(a, clerk, gateway.RefundChange{Execution: gateway.ExecutionSchool}, gateway.ErrRefundState)
			r.approve(a, gateway.ExecutionWaiting)
			r.change(a, clerk, gateway.RefundChange{Execution: gateway.ExecutionSchool, State: gateway.RefundExecuted}, nil)
			r.approve(b, gateway.ExecutionSchool)
			r.ask(0)
		})
		t.Run("a part of the amount", func(t *testing.T) {
			r := newRegister(t, g)
			list, _ := r.paid(1)
			r.approve(r.request(list[0], whole(list[0])-1), gateway.ExecutionSchool)
			r.approve(r.request(list[0], 1), gateway.ExecutionSchool)
			r.ask(0)
		})
		t.Run("a part of another notice", func(t *testing.T) {
			r := newRegister(t, g)
			list, _ := r.paid(2)
			r.request(list[0], 1)
			r.approve(r.request(list[1], whole(list[1])), gateway.ExecutionSchool)
			r.ask(0)
		})
		t.Run("a PSP that cannot", func(t *testing.T) {
			r := newRegister(t, g)
			f := r.requestWhole(r.paid(1))
			g.PSPs.OnRefund(nil)
			r.approve(f, gateway.ExecutionSchool)
			r.ask(0)
			r.change(f, clerk, gateway.RefundChange{State: gateway.RefundExecuted}, nil)
		})
		t.Run("a receipt of the node", func(t *testing.T) {
			r := newRegister(t, g)
			rec := r.twice(g.Issue())
			list, err := g.Refunds(ctx, rec.School, gateway.RefundFilter{Receipt: rec.ID})
			r.must(err)
			r.approve(list[0], gateway.ExecutionSchool)
			r.ask(0)
		})
		t.Run("a second payment goes back whole", func(t *testing.T) {
			r := newRegister(t, g)
			n := g.Issue()
			r.keys++
			req := gateway.PayRequest{Key: fmt.Sprint(r.Name(), r.keys), Method: gateway.MethodCard, Actor: gatewaytest.Operator, Notices: []gateway.NoticeRef{ref(n)}}
			if _, err := g.Pay(ctx, req); err != nil {
				t.Fatal(err)
			}
			_, err := g.Deliver(gatewaytest.Receipt(n, "rt-first-"+n.Number.String()))
			r.must(err)
			list, _ := r.pay(req)
			asked, err := g.Refunds(ctx, n.School, gateway.RefundFilter{Receipt: list[0].ID})
			if err != nil || len(asked) != 1 {
				t.Fatalf("refunds of the second receipt: %+v, %v", asked, err)
			}
			r.change(asked[0], clerk, gateway.RefundChange{State: gateway.RefundApproved}, nil)
			r.ask(1)
			r.want(asked[0], gateway.RefundExecuted, gateway.ExecutionPSP)
			if got, err := g.Notice(ctx, n.School, n.Number); err != nil || got.State != gateway.NoticePaid {
				t.Errorf("the notice is %s, %v; the other payment pays it", got.State, err)
			}
		})
		t.Run("two schools, two who approve at once, many who ask", func(t *testing.T) {
			r := newRegister(t, g)
			for range 5 {
				list, _ := r.paid(2)
				f := []gateway.Refund{r.request(list[0], whole(list[0])), r.request(list[1], whole(list[1]))}
				var wg sync.WaitGroup
				for _, x := range f {
					wg.Go(func() { r.change(x, director, gateway.RefundChange{State: gateway.RefundApproved}, nil) })
				}
				wg.Wait()
				before := r.times()
				for range 4 {
					wg.Go(func() {
						if _, err := g.AskRefunds(ctx); err != nil {
							t.Error(err)
						}
					})
				}
				wg.Wait()
				for _, x := range f {
					r.want(x, gateway.RefundExecuted, gateway.ExecutionPSP)
				}
				if got := r.times() - before; got != 1 {
					t.Errorf("asked %d times, want once", got)
				}
			}
		})
		t.Run("its yes comes after the school took over", func(t *testing.T) {
			r := newRegister(t, g)
			for _, paid := range []bool{false, true} {
				f := r.requestWhole(r.paid(1))
				r.approve(f, gateway.ExecutionPSP)
				g.Time.Advance(25 * time.Hour)
				g.PSPs.OnRefund(func(gateway.Payment) error { // while it is asked
					r.change(f, clerk, gateway.RefundChange{Execution: gateway.ExecutionSchool}, nil)
					if paid {
						r.change(f, clerk, gateway.RefundChange{State: gateway.RefundExecuted}, nil)
					}
					return nil
				})
				r.ask(1)
				want := gateway.ExecutionPSP
				if paid {
					want = gateway.ExecutionSchool // both paid: the alarm is all there is
				}
				r.want(f, gateway.RefundExecuted, want)
			}
		})
		t.Run("what is stopped half way is asked again", func(t *testing.T) {
			r := newRegister(t, g)
			f := r.requestWhole(r.paid(1))
			r.approve(f, gateway.ExecutionPSP)
			stopped, cancel := context.WithCancel(ctx)
			g.PSPs.OnRefund(func(gateway.Payment) error { cancel(); return context.Canceled })
			if _, err := g.AskRefunds(stopped); err != nil {
				t.Error(err)
			}
			g.PSPs.OnRefund(func(gateway.Payment) error { return nil })
			g.Time.Advance(31 * time.Second)
			r.ask(1)
			r.want(f, gateway.RefundExecuted, gateway.ExecutionPSP)
		})
	})
}

func (r *register) requestWhole(list []gateway.Receipt, _ string) gateway.Refund {
	r.Helper()
	return r.request(list[0], whole(list[0]))
}

// What is told of a refund names it, and nobody.
func TestRefundIsTold(t *testing.T) {
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		r := newRegister(t, g)
		rec := must1(r.paid(1))
		f, err := g.RequestRefund(ctx, clerk, rec.School, gateway.NewRefund{Receipt: rec.ID, Amount: 1, Reason: "di Laura", IBAN: gatewaytest.IBAN, Holder: "Laura Bianchi"})
		r.must(err)
		claimed, err := g.Store.ClaimMessages(ctx, "event", "", g.Now(), time.Minute, 1000)
		r.must(err)
		for len(claimed) > 0 {
			for _, m := range claimed {
				var e gateway.EventPayload
				if err := json.Unmarshal(m.Payload, &e); err != nil {
					t.Fatal(err)
				}
				if strings.Contains(string(m.Payload), "Laura") || strings.Contains(string(m.Payload), gatewaytest.IBAN) {
					t.Errorf("told: %s", m.Payload)
				}
				if e.Type == gateway.EventRefundChanged {
					if e.Refund != f.ID || e.RefundState != gateway.RefundRequested || e.Receipt != rec.ID || e.Number != rec.Notice.String() {
						t.Errorf("told %+v", e)
					}
					return
				}
				r.must(g.Store.FinishMessage(ctx, m.ID, g.Now()))
			}
			claimed, err = g.Store.ClaimMessages(ctx, "event", "", g.Now(), time.Minute, 1000)
			r.must(err)
		}
		t.Error("nobody was told")
	})
}
