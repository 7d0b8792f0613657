// SPDX-License-Identifier: Apache-2.0

package sandbox_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nodogate/nodogate/connectors"
	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
	"github.com/nodogate/nodogate/gateway/store"
	"github.com/nodogate/nodogate/gateway/store/storetest"
)

// quick are limits with which a proof takes seconds; their ratios are the real
// ones.
var quick = connectors.Limits{Connect: 500 * time.Millisecond, Call: time.Second, Open: 1200 * time.Millisecond}

// TestChaosCutAnswers pays many notices with every kind of PSP while 30 % of all
// answers are lost after the work was done, on the way to the PSPs and back from
// them. Payers try again, as payers do. Whatever happens on the way: what a PSP
// took is paid here, once, and what is paid here a PSP took.
func TestChaosCutAnswers(t *testing.T) {
	payments, databases := 48, map[string]func(testing.TB) *store.DB{"sqlite": storetest.OpenSQLite}
	if long() {
		payments = 2000
		databases["postgres"] = storetest.OpenPostgres
	}
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, open(t), quick, 20261127)
			r.jobs()
			psps := rigPSPs(r.base)
			notices := r.issue(payments)
			r.wall.cut.Store(30)
			begin := time.Now()
			var wg sync.WaitGroup
			var next, tries, pages atomic.Int64
			for range 12 {
				wg.Go(func() {
					client := browser()
					for {
						i := int(next.Add(1)) - 1
						if i >= payments || t.Failed() {
							return
						}
						p := psps[i%len(psps)]
						err := r.payStubbornly(t.Context(), client, gateway.PayRequest{
							Key: fmt.Sprint("cut-", i), Notices: []gateway.NoticeRef{{School: notices[i].School, Number: notices[i].Number}},
							Method: p.Methods[0], PSP: p.ID, Actor: gatewaytest.Operator, Device: gateway.PayerDevice{IP: "192.0.2.1"},
						}, &tries, &pages)
						if err != nil {
							t.Errorf("payment %d at %s: %v", i, p.ID, err)
							return
						}
					}
				})
			}
			wg.Wait()
			took := time.Since(begin)
			r.wall.heal()
			healed := time.Now()
			unpaid := func() (n int) {
				for _, x := range notices {
					if r.State(x) != gateway.NoticePaid {
						n++
					}
				}
				return n
			}
			t.Cleanup(func() { r.tellUnpaid(notices) })
			waitFor(t, 60*time.Second, "everything settled", func() bool { return unpaid() == 0 })
			t.Logf("%d payments in %.1f s with %d orders sent and %d presses of Paga; all settled %.1f s after healing",
				payments, took.Seconds(), tries.Load(), pages.Load(), time.Since(healed).Seconds())
			r.checkLedger(notices)
		})
	}
}

// payStubbornly is a payer who tries again until the page says that it is over.
func (r *rig) payStubbornly(ctx context.Context, client *http.Client, req gateway.PayRequest, tries, presses *atomic.Int64) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	again := func() error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			return nil
		}
	}
	var cart gateway.Cart
	for {
		var err error
		tries.Add(1)
		if cart, err = r.Pay(ctx, req); err == nil {
			break
		}
		if !errors.Is(err, gateway.ErrOutcomeUnknown) && !errors.Is(err, gateway.ErrPSPUnavailable) && !errors.Is(err, gateway.ErrInProgress) {
			return err
		}
		if err := again(); err != nil {
			return err
		}
	}
	for {
		presses.Add(1)
		if over, err := press(ctx, client, cart.Redirect, "paga"); err == nil && over {
			return nil
		}
		if err := again(); err != nil {
			return err
		}
	}
}

// tellUnpaid says of a failed proof what is known of what it left.
func (r *rig) tellUnpaid(notices []gateway.Notice) {
	if !r.t.Failed() {
		return
	}
	for _, n := range notices {
		n, err := r.Notice(context.Background(), n.School, n.Number)
		if err == nil && n.State != gateway.NoticePaid && n.Payment != nil {
			r.t.Logf("%s is %s, its payment %+v", n.Number, n.State, *n.Payment)
		}
	}
	r.t.Logf("the ledger has %+v", r.ledger())
}

// checkLedger holds what the PSPs took against what the gateway knows.
func (r *rig) checkLedger(notices []gateway.Notice) {
	r.t.Helper()
	taken := map[string]int{} // by cart
	for _, l := range r.ledger() {
		if l.State != "taken" {
			continue
		}
		cart := l.Cart
		err := r.Store.View(context.Background(), func(tx gateway.Tx) error {
			if l.Attempt == "" {
				return nil
			}
			a, err := tx.Attempt(l.Attempt)
			if err == nil && a.State != gateway.AttemptSettled {
				r.t.Errorf("%s took the money of attempt %s, which is %s", l.PSP, a.ID, a.State)
			}
			cart = a.Cart
			return err
		})
		if err != nil {
			r.t.Errorf("%s took %+v, of which we know nothing: %v", l.PSP, l, err)
		}
		taken[cart]++
	}
	for cart, n := range taken {
		if n != 1 {
			r.t.Errorf("cart %s was executed %d times", cart, n)
		}
	}
	if len(taken) != len(notices) {
		r.t.Errorf("the PSPs took %d carts, want %d", len(taken), len(notices))
	}
	for _, n := range notices {
		list, err := r.Receipts(context.Background(), n.School, gateway.ReceiptFilter{Notice: n.Number, Limit: 10})
		if err != nil || len(list) != 1 || list[0].Anomaly != gateway.AnomalyNone {
			r.t.Errorf("notice %s has receipts %+v, %v; want one without anomaly", n.Number, list, err)
		}
	}
}

// TestChaosSickPSP makes each PSP sick in turn, in each way, and holds the
// breaker to its rule while families go on paying with the others.
func TestChaosSickPSP(t *testing.T) {
	r := newRig(t, storetest.OpenSQLite(t), quick, 7)
	for i, p := range rigPSPs(r.base) {
		kinds := []fault{[]fault{faultError, faultHang}[i%2]} // in short, in turn
		if long() {
			kinds = []fault{faultDown, faultError, faultHang, faultCut}
		}
		for _, f := range kinds {
			t.Run(string(p.ID)+" "+f.String(), func(t *testing.T) { r.sick(t, p, f, quick) })
		}
	}
	if long() {
		t.Run("with the limits of production", func(t *testing.T) {
			r := newRig(t, storetest.OpenSQLite(t), connectors.Limits{}, 7)
			p := rigPSPs(r.base)[0]
			r.sick(t, p, faultHang, connectors.Limits{Call: 10 * time.Second, Open: 30 * time.Second})
		})
	}
}

func (r *rig) sick(t *testing.T, p connectors.PSP, f fault, limits connectors.Limits) {
	ctx := t.Context()
	n := r.issue(1)[0]
	start := func(p connectors.PSP) (time.Duration, error) {
		// Another id each time in all of the rig: a PSP may know orders by it.
		o := r.order(n, p.ID, p.Methods[0], attemptID(int(r.ids.Add(1))))
		begin := time.Now()
		_, err := r.set.Start(ctx, p.ID, o)
		return time.Since(begin), err
	}
	others := slices.DeleteFunc(rigPSPs(r.base), func(o connectors.PSP) bool { return o.ID == p.ID })
	measure := func() time.Duration {
		var took []time.Duration
		for i := range 100 {
			d, err := start(others[i%len(others)])
			if err != nil {
				t.Fatalf("another PSP: %v", err)
			}
			took = append(took, d)
		}
		return percentile(took, 99)
	}
	quiet := measure()

	gate := r.wall.gate(string(p.ID))
	gate.fault.Store(int32(f))
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			if _, err := start(p); err == nil {
				t.Errorf("a %s PSP opened a payment", f)
			}
		})
	}
	wg.Wait()
	fifth := time.Now()
	waitFor(t, time.Second, "the breaker open", func() bool { return r.breaker(t, p.ID) == 2 })
	opened := time.Since(fifth)

	calls := gate.calls.Load()
	var refusals []time.Duration
	// For half of its time: a slow machine must not meet the next probe here.
	for over := fifth.Add(limits.Open / 2); len(refusals) < 1000 && time.Now().Before(over); {
		d, err := start(p)
		if !errors.Is(err, gateway.ErrPSPUnavailable) {
			t.Fatalf("an open breaker: %v, want ErrPSPUnavailable", err)
		}
		refusals = append(refusals, d)
	}
	if got := gate.calls.Load(); got != calls {
		t.Errorf("%d calls reached the PSP behind an open breaker", got-calls)
	}
	offered := r.Offers(ctx, 1650)
	for _, m := range offered {
		for _, o := range m.PSPs {
			if o.ID == p.ID && (o.Available || o.Reason != gateway.UnavailableBreaker) && r.breaker(t, p.ID) == 2 {
				t.Errorf("a PSP behind an open breaker is offered as %+v", o)
			}
		}
	}
	sickly := measure()

	// Many come when it may be tried again; one gets through at a time.
	waitFor(t, limits.Open+5*time.Second, "the breaker half-open", func() bool { return r.breaker(t, p.ID) == 1 })
	waitFor(t, limits.Call+time.Second, "rest", func() bool { return gate.inFlight.Load() == 0 })
	gate.most.Store(0)
	for range 20 {
		wg.Go(func() { _, _ = start(p) })
	}
	wg.Wait()
	if most := gate.most.Load(); most > 1 {
		t.Errorf("%d probes at once", most)
	}

	r.wall.heal()
	healed := time.Now()
	waitFor(t, limits.Open+5*time.Second, "the breaker closed", func() bool {
		_, _ = start(p)
		return r.breaker(t, p.ID) == 0
	})
	t.Logf("open %v after the 5th failure; refused in %v (p99 of %d); others' p99 %v, %v while quiet (ratio %.2f); closed %.2f s after healing, with %.1f s of open time",
		opened.Round(time.Microsecond), percentile(refusals, 99), len(refusals), sickly.Round(time.Microsecond), quiet.Round(time.Microsecond),
		float64(sickly)/float64(quiet), time.Since(healed).Seconds(), limits.Open.Seconds())
}

// TestChaosBulkhead has many payers meet a PSP that never answers.
func TestChaosBulkhead(t *testing.T) {
	r := newRig(t, storetest.OpenSQLite(t), quick, 7)
	p := rigPSPs(r.base)[0]
	n := r.issue(1)[0]
	gate := r.wall.gate(string(p.ID))
	rest := runtime.NumGoroutine()
	gate.fault.Store(int32(faultHang))
	var wg sync.WaitGroup
	var turned atomic.Int64
	for i := range 300 {
		wg.Go(func() {
			begin := time.Now()
			_, err := r.set.Start(t.Context(), p.ID, r.order(n, p.ID, p.Methods[0], attemptID(i)))
			if errors.Is(err, gateway.ErrPSPUnavailable) && time.Since(begin) < quick.Call/2 {
				turned.Add(1)
			}
		})
	}
	wg.Wait()
	if most := gate.most.Load(); most > 50 {
		t.Errorf("%d calls in flight, want 50 at most", most)
	}
	if turned.Load() == 0 {
		t.Error("nobody was turned away at once")
	}
	r.wall.heal()
	waitFor(t, 10*time.Second, "goroutines back at rest", func() bool {
		r.wall.to.Transport.(*http.Transport).CloseIdleConnections()
		return runtime.NumGoroutine() <= rest+20
	})
	t.Logf("300 payers at a PSP that hangs: at most %d calls in flight, %d turned away at once, %d goroutines before, %d after",
		gate.most.Load(), turned.Load(), rest, runtime.NumGoroutine())
}

// breaker is the metric of a PSP's breaker for opening payments.
func (r *rig) breaker(t *testing.T, psp gateway.PSPID) float64 {
	t.Helper()
	families, err := r.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "nodogate_connector_breaker_state" {
			continue
		}
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if labels["psp"] == string(psp) && labels["operation"] == "start" {
				return m.GetGauge().GetValue()
			}
		}
	}
	t.Fatalf("no breaker of %s", psp)
	return 0
}

// waitFor looks until it is so, or fails the test.
func waitFor(t *testing.T, most time.Duration, what string, so func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	over := time.After(most)
	for !so() {
		select {
		case <-tick.C:
		case <-over:
			t.Fatalf("%s: not within %v", what, most)
		}
	}
}

func percentile(list []time.Duration, p int) time.Duration {
	if len(list) == 0 {
		return 0
	}
	slices.Sort(list)
	return list[(len(list)-1)*p/100]
}
