// SPDX-License-Identifier: Apache-2.0

package connectors

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/money"
)

const onePSP = `psps: [{id: UNO, name: Uno, methods: [card], connector: fake, endpoint: "https://uno.example", fees: [{fee_cents: 100}]}]`

// oneSet is a set of one PSP that does what f does. Tests run it in a synctest
// bubble: there the breaker's clock is the bubble's.
func oneSet(t *testing.T, f fake) (*Set, *prometheus.Registry) {
	t.Helper()
	reg := prometheus.NewRegistry()
	set, err := newTestSet(t, onePSP, func(c *Config) {
		c.Drivers = []Driver{fakeDriver(f)}
		c.Registerer = reg
	})
	if err != nil {
		t.Fatal(err)
	}
	return set, reg
}

func (s *Set) try(ctx context.Context) error {
	_, err := s.Start(ctx, "UNO", gateway.Order{Attempt: "a1"})
	return err
}

func available(s *Set) bool {
	return s.Offers(context.Background(), gateway.OfferRequest{Amount: 1000})[0].PSPs[0].Available
}

func stateMetric(t *testing.T, reg *prometheus.Registry, want int) {
	t.Helper()
	text := fmt.Sprintf(`
# HELP nodogate_connector_breaker_state State of a PSP's breaker: 0 closed, 1 half-open, 2 open.
# TYPE nodogate_connector_breaker_state gauge
nodogate_connector_breaker_state{operation="start",psp="UNO"} %d
`, want)
	if err := testutil.GatherAndCompare(reg, strings.NewReader(text), "nodogate_connector_breaker_state"); err != nil {
		t.Error(err)
	}
}

func TestStartPassesOrderAndPage(t *testing.T) {
	t.Parallel()
	set, reg := oneSet(t, func(ctx context.Context, o gateway.Order) (gateway.Started, error) {
		if d, ok := ctx.Deadline(); !ok || time.Until(d) > 10*time.Second {
			t.Errorf("deadline %v, %t; want within 10 s", d, ok)
		}
		return gateway.Started{Redirect: "https://uno.example/" + o.Attempt, Timeout: time.Minute}, nil
	})
	got, err := set.Start(context.Background(), "UNO", gateway.Order{Attempt: "a1"})
	if err != nil || got.Redirect != "https://uno.example/a1" || got.Timeout != time.Minute {
		t.Errorf("Start = %+v, %v", got, err)
	}
	if _, err := set.Start(context.Background(), "DUE", gateway.Order{}); !errors.Is(err, gateway.ErrPSPUnavailable) {
		t.Errorf("Start at a PSP not listed: %v", err)
	}
	stateMetric(t, reg, 0)
	problems, err := testutil.GatherAndLint(reg)
	if err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v %v", problems, err)
	}
}

func TestErrorsAndOutcomes(t *testing.T) {
	t.Parallel()
	odd := errors.New("odd")
	for _, c := range []struct {
		name    string
		err     error
		is      error
		outcome string
	}{
		{"ok", nil, nil, "ok"},
		{"refused", fmt.Errorf("x: %w", gateway.ErrRefused), gateway.ErrRefused, "refused"},
		{"unavailable", fmt.Errorf("x: %w", gateway.ErrPSPUnavailable), gateway.ErrPSPUnavailable, "unavailable"},
		{"unknown", fmt.Errorf("x: %w", gateway.ErrOutcomeUnknown), gateway.ErrOutcomeUnknown, "unknown"},
		{"unclassified", odd, gateway.ErrOutcomeUnknown, "unknown"},
		{"time out", context.DeadlineExceeded, gateway.ErrOutcomeUnknown, "unknown"},
		{"cancelled", context.Canceled, gateway.ErrOutcomeUnknown, "canceled"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			set, reg := oneSet(t, func(context.Context, gateway.Order) (gateway.Started, error) {
				return gateway.Started{Redirect: "https://uno.example/p"}, c.err
			})
			got, err := set.Start(context.Background(), "UNO", gateway.Order{})
			if !errors.Is(err, c.is) || c.err != nil && !errors.Is(err, c.err) {
				t.Errorf("Start: %v, want %v", err, c.is)
			}
			if c.err != nil && got != (gateway.Started{}) {
				t.Errorf("Start gave %+v beside an error", got)
			}
			families, err := reg.Gather()
			if err != nil {
				t.Fatal(err)
			}
			var labels []string
			for _, f := range families {
				if f.GetName() != "nodogate_connector_request_duration_seconds" {
					continue
				}
				for _, m := range f.GetMetric() {
					for _, l := range m.GetLabel() {
						labels = append(labels, l.GetName()+"="+l.GetValue())
					}
				}
			}
			if want := "operation=start outcome=" + c.outcome + " psp=UNO"; strings.Join(labels, " ") != want {
				t.Errorf("metric %v, want %s", labels, want)
			}
		})
	}
}

func TestBreakerOpensAfterFiveInARow(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]fake{
		"at once": func(context.Context, gateway.Order) (gateway.Started, error) {
			return gateway.Started{}, gateway.ErrPSPUnavailable
		},
		// Each takes the whole 10 s, longer than the window it would be counted in.
		"hanging": func(ctx context.Context, _ gateway.Order) (gateway.Started, error) {
			<-ctx.Done()
			return gateway.Started{}, ctx.Err()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				calls := 0
				set, reg := oneSet(t, func(ctx context.Context, o gateway.Order) (gateway.Started, error) {
					calls++
					return fail(ctx, o)
				})
				for i := range 5 {
					time.Sleep(time.Minute) // a PSP that is asked rarely
					set.try(context.Background())
					if want := i < 4; available(set) != want {
						t.Fatalf("after %d failures: offered %t, want %t", i+1, !want, want)
					}
				}
				stateMetric(t, reg, 2)
				if available(set) {
					t.Error("offered while the breaker is open")
				}
				if o := set.Offers(context.Background(), gateway.OfferRequest{Amount: 1000})[0].PSPs[0]; o.Reason != gateway.UnavailableBreaker {
					t.Errorf("reason %q", o.Reason)
				}
				before := calls
				if err := set.try(context.Background()); !errors.Is(err, gateway.ErrPSPUnavailable) || calls != before {
					t.Errorf("open breaker: %v, %d calls went through", err, calls-before)
				}
			})
		})
	}
}

func TestBreakerIgnoresRefusalsAndCancellations(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		answers := []error{gateway.ErrRefused, context.Canceled}
		n := 0
		set, reg := oneSet(t, func(context.Context, gateway.Order) (gateway.Started, error) {
			n++
			return gateway.Started{}, answers[n%2]
		})
		for range 100 {
			set.try(context.Background())
		}
		stateMetric(t, reg, 0)
		if n != 100 {
			t.Errorf("%d calls went through, want 100", n)
		}
	})
}

func TestBreakerOpensAtHalfOfTwenty(t *testing.T) {
	t.Parallel()
	// Failures never stand five in a row, so only the rate can open it.
	run := func(t *testing.T, pause time.Duration, n int) (open bool) {
		synctest.Test(t, func(t *testing.T) {
			calls := 0
			set, _ := oneSet(t, func(context.Context, gateway.Order) (gateway.Started, error) {
				calls++
				if calls%2 == 0 {
					return gateway.Started{}, gateway.ErrOutcomeUnknown
				}
				return gateway.Started{}, nil
			})
			for range n {
				set.try(context.Background())
				time.Sleep(pause)
			}
			open = !available(set)
		})
		return open
	}
	if run(t, 100*time.Millisecond, 19) {
		t.Error("open after 19 calls")
	}
	if !run(t, 100*time.Millisecond, 20) {
		t.Error("closed after 20 calls, half of them failed")
	}
	if run(t, 600*time.Millisecond, 100) {
		t.Error("open though never 20 calls fell into the window")
	}
}

// Calls that time out are older than ten seconds when they end, and count all
// the same.
func TestBreakerCountsTimeOutsInTheRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		set, reg := oneSet(t, func(ctx context.Context, o gateway.Order) (gateway.Started, error) {
			if o.Cart == "good" {
				return gateway.Started{}, nil
			}
			<-ctx.Done()
			return gateway.Started{}, ctx.Err()
		})
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() { // ends 10 s later, between two good ones
				time.Sleep(time.Duration(i) * 50 * time.Millisecond)
				set.Start(context.Background(), "UNO", gateway.Order{})
			})
			wg.Go(func() {
				time.Sleep(10*time.Second + time.Duration(i)*50*time.Millisecond - 25*time.Millisecond)
				set.Start(context.Background(), "UNO", gateway.Order{Cart: "good"})
			})
		}
		wg.Wait()
		stateMetric(t, reg, 2)
	})
}

func TestBreakerHalfOpenLetsOneProbeThrough(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var sick, slow = true, false
		calls := 0
		set, reg := oneSet(t, func(context.Context, gateway.Order) (gateway.Started, error) {
			mu.Lock()
			calls++
			sick, slow := sick, slow
			mu.Unlock()
			if slow {
				time.Sleep(time.Second)
			}
			if sick {
				return gateway.Started{}, gateway.ErrOutcomeUnknown
			}
			return gateway.Started{}, nil
		})
		for range 5 {
			set.try(context.Background())
		}
		stateMetric(t, reg, 2)
		time.Sleep(29 * time.Second)
		stateMetric(t, reg, 2)
		time.Sleep(2 * time.Second)
		stateMetric(t, reg, 1)
		if !available(set) {
			t.Error("half-open but not offered: nobody will be the probe")
		}

		mu.Lock()
		sick, slow, calls = false, true, 0
		mu.Unlock()
		var wg sync.WaitGroup
		refused := 0
		for range 10 {
			wg.Go(func() {
				if err := set.try(context.Background()); errors.Is(err, gateway.ErrPSPUnavailable) {
					mu.Lock()
					refused++
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if calls != 1 || refused != 9 {
			t.Errorf("half-open let %d of 10 through, %d refused; want 1 and 9", calls, refused)
		}
		set.try(context.Background())
		stateMetric(t, reg, 1) // two good ones are not enough
		set.try(context.Background())
		stateMetric(t, reg, 0)
	})
}

func TestBreakerHalfOpenFailureOpensAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		set, reg := oneSet(t, func(context.Context, gateway.Order) (gateway.Started, error) {
			return gateway.Started{}, gateway.ErrOutcomeUnknown
		})
		for range 5 {
			set.try(context.Background())
		}
		time.Sleep(31 * time.Second)
		set.try(context.Background())
		stateMetric(t, reg, 2)
	})
}

func TestPanicCountsAndFreesTheSlot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		set, reg := oneSet(t, func(context.Context, gateway.Order) (gateway.Started, error) { panic("boom") })
		for range 5 {
			func() {
				defer func() {
					if recover() == nil {
						t.Error("the panic was swallowed")
					}
				}()
				set.try(context.Background())
			}()
		}
		stateMetric(t, reg, 2)
		if n := len(set.lineup.Load().listed["UNO"].slots); n != 0 {
			t.Errorf("%d slots still taken", n)
		}
	})
}

func TestBulkhead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		set, reg := oneSet(t, func(context.Context, gateway.Order) (gateway.Started, error) {
			<-release
			return gateway.Started{}, nil
		})
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if err := set.try(context.Background()); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		for range 30 {
			if err := set.try(context.Background()); !errors.Is(err, gateway.ErrPSPUnavailable) {
				t.Fatalf("the 51st call: %v, want ErrPSPUnavailable at once", err)
			}
		}
		close(release)
		wg.Wait()
		stateMetric(t, reg, 0) // being full is our doing, not the PSP's failure
		if err := set.try(context.Background()); err != nil {
			t.Errorf("after the others ended: %v", err)
		}
	})
}

func TestOffers(t *testing.T) {
	t.Parallel()
	const catalogue = `
psps:
  - {id: ZETA, name: Zeta, methods: [card], connector: fake, endpoint: "https://z.example", fees: [{up_to_cents: 1000, fee_cents: 50}, {fee_cents: 200}]}
  - {id: BETA, name: Beta, methods: [card, account_debit], connector: fake, endpoint: "https://b.example", fees: [{fee_cents: 100}]}
  - {id: ALFA, name: Alfa, methods: [account_debit, card], connector: fake, endpoint: "https://a.example", fees: [{fee_cents: 100}]}
  - {id: POCO, name: Poco, methods: [card], connector: fake, endpoint: "https://p.example", fees: [{fee_cents: 0}], max_amount_cents: 500}
`
	set, err := newTestSet(t, catalogue, func(c *Config) {
		c.Drivers = []Driver{fakeDriver(func(context.Context, gateway.Order) (gateway.Started, error) {
			return gateway.Started{}, gateway.ErrOutcomeUnknown
		})}
	})
	if err != nil {
		t.Fatal(err)
	}
	describe := func(amount int) string {
		var b strings.Builder
		for _, m := range set.Offers(context.Background(), gateway.OfferRequest{Amount: money.Cents(amount)}) {
			b.WriteString(string(m.Method) + ":")
			for _, p := range m.PSPs {
				fmt.Fprintf(&b, " %s %d%s", p.Name, p.Fee, p.Reason)
				if p.Available != (p.Reason == "") {
					t.Errorf("%s: available %t with reason %q", p.ID, p.Available, p.Reason)
				}
			}
			b.WriteString("\n")
		}
		return b.String()
	}
	for _, c := range []struct {
		name   string
		amount int
		want   string
	}{
		{"by fee, then name; no method without PSP", 400, "card: Poco 0 Zeta 50 Alfa 100 Beta 100\naccount_debit: Alfa 100 Beta 100\n"},
		{"over a maximum: last, though cheapest", 1000, "card: Zeta 50 Alfa 100 Beta 100 Poco 0amount_over_limit\naccount_debit: Alfa 100 Beta 100\n"},
		{"next band", 1001, "card: Alfa 100 Beta 100 Zeta 200 Poco 0amount_over_limit\naccount_debit: Alfa 100 Beta 100\n"},
	} {
		if got := describe(c.amount); got != c.want {
			t.Errorf("%s:\ngot  %q\nwant %q", c.name, got, c.want)
		}
	}
	for range 5 {
		set.Start(context.Background(), "ALFA", gateway.Order{})
	}
	if got, want := describe(1001), "card: Beta 100 Zeta 200 Poco 0amount_over_limit Alfa 100not_answering\naccount_debit: Beta 100 Alfa 100not_answering\n"; got != want {
		t.Errorf("one breaker open:\ngot  %q\nwant %q", got, want)
	}
}

// fixedFees knows some fees, and notes what it was asked.
type fixedFees struct {
	known map[gateway.Method]map[gateway.PSPID]money.Cents

	mu    sync.Mutex
	asked map[gateway.Method][]gateway.PSPID // guarded by mu
}

func (f *fixedFees) Fees(_ context.Context, method gateway.Method, psps []gateway.PSPID, _ []gateway.OfferNotice) map[gateway.PSPID]money.Cents {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked[method] = append(f.asked[method], psps...)
	return f.known[method]
}

func TestOffersWithFeesOfOthers(t *testing.T) {
	t.Parallel()
	const catalogue = `
psps:
  - {id: NODO, name: Nodo, methods: [card, account_debit], connector: fake, endpoint: "https://n.example", fees: [{fee_cents: 100}], max_amount_cents: 5000}
  - {id: PAGINA, name: Pagina, methods: [card], connector: own, endpoint: "https://p.example", fees: [{fee_cents: 90}]}
`
	fees := &fixedFees{asked: map[gateway.Method][]gateway.PSPID{}, known: map[gateway.Method]map[gateway.PSPID]money.Cents{
		gateway.MethodCard: {"NODO": 80, "PAGINA": 1},
	}}
	set, err := newTestSet(t, catalogue, func(c *Config) {
		node := fakeDriver(nil)
		own := node
		own.Name, own.Settlement = "own", gateway.SettledByOutcome
		c.Drivers, c.Fees = []Driver{node, own}, fees
	})
	if err != nil {
		t.Fatal(err)
	}
	fee := func(amount money.Cents, notices ...gateway.OfferNotice) string {
		var b strings.Builder
		for _, m := range set.Offers(context.Background(), gateway.OfferRequest{Amount: amount, Notices: notices}) {
			for _, p := range m.PSPs {
				fmt.Fprintf(&b, "%s %s %d%s. ", m.Method, p.ID, p.Fee, p.Reason)
			}
		}
		return b.String()
	}
	if got, want := fee(1000), "card PAGINA 90. card NODO 100. account_debit NODO 100. "; got != want || len(fees.asked) != 0 {
		t.Errorf("of an amount alone: %q after asking %v, want %q unasked", got, fees.asked, want)
	}
	notice := gateway.OfferNotice{School: "80014480828", Amount: 1000}
	// Only who is paid through the node has its fee there, whatever is said of others.
	fees.known[gateway.MethodCard] = map[gateway.PSPID]money.Cents{"NODO": 80}
	if got, want := fee(1000, notice), "card NODO 80. card PAGINA 90. account_debit NODO 100. "; got != want {
		t.Errorf("of a cart: %q, want %q", got, want)
	}
	if got := fmt.Sprint(fees.asked); got != "map[account_debit:[NODO] card:[NODO]]" {
		t.Errorf("asked about %s", got)
	}
	// What the PSP does not take, it does not take for another fee.
	if got, want := fee(5001, notice), "card PAGINA 90. card NODO 0amount_over_limit. account_debit NODO 0amount_over_limit. "; got != want {
		t.Errorf("over its maximum: %q, want %q", got, want)
	}
}
