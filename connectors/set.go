// SPDX-License-Identifier: Apache-2.0

package connectors

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sony/gobreaker/v2"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/money"
)

// Config is what a Set needs.
type Config struct {
	Catalogue Catalogue
	Drivers   []Driver
	// AllowPrivate lets PSPs be on private and loopback addresses, and over
	// http: for the demo and for tests.
	AllowPrivate bool
	Getenv       func(string) string // finds the secrets the catalogue names
	Now          func() time.Time    // measures calls; breakers read the real clock
	Log          *slog.Logger
	Registerer   prometheus.Registerer
	// Limits left zero have the values of reliability.md, section 2.
	Limits Limits
	// Hints tells other processes of open breakers, and this one of theirs; nil:
	// there are none.
	Hints Hints
	// Fees, when not nil, knows fees better than the catalogue, of PSPs whose
	// money goes through the national node.
	Fees Fees
}

// Fees is a source of fees beside the catalogue. It answers in a short time
// whatever happens, inside a transaction at once, and leaves out the PSPs that it
// can say nothing about: the catalogue's fee counts then.
type Fees interface {
	Fees(ctx context.Context, method gateway.Method, psps []gateway.PSPID, notices []gateway.OfferNotice) map[gateway.PSPID]money.Cents
}

// Hints shares, between processes, until when breakers are open. They are hints:
// losing them loses nothing, and a wrong one keeps a PSP away for as long as an
// open breaker would, at most. Neither method waits for anybody.
type Hints interface {
	Open(psp gateway.PSPID, operation string, until time.Time)
	OpenUntil(psp gateway.PSPID, operation string) time.Time // zero: nobody says
}

// Limits bound what one PSP can do to us.
type Limits struct {
	Connect  time.Duration // 2 s
	Call     time.Duration // 10 s, the connection included
	InFlight int           // 50 calls at once
	Open     time.Duration // 30 s until an open breaker lets a probe through; not less than Call, or an old call passes for the probe
}

// The rest of the breaker's rule.
const (
	failuresInARow = 5
	rateOf         = 20 // calls at least, half of them failed
	rateWindow     = 10 * time.Second
	goodProbes     = 3
	clockSlack     = 5 * time.Second // between the clocks of two processes
)

// Set is the PSPs of the catalogue with their connectors, each behind its
// limits and, for each operation, its breaker. It implements gateway.PSPs. A
// PSP refusing is a PSP that works: only silence and nonsense open a breaker.
// Breakers are local to the process.
type Set struct {
	cfg       Config // its Catalogue is the first
	limits    Limits
	now       func() time.Time
	log       *slog.Logger
	duration  *prometheus.HistogramVec
	lineup    atomic.Pointer[lineup]
	reloading sync.Mutex
}

var _ gateway.PSPs = (*Set)(nil)

// psp is one PSP at work.
type psp struct {
	PSP
	secret     string
	settlement gateway.Settlement
	connector  Connector
	slots      chan struct{} // one taken by each call in flight
	operations map[string]*operation
}

// The operations, as metrics name them. Never renamed.
const (
	opStart  = "start"
	opAsk    = "ask"
	opCancel = "cancel"
	opRefund = "refund"
)

// operation is one thing a PSP is asked to do, and how well it does it.
type operation struct {
	name    string
	breaker *gobreaker.TwoStepCircuitBreaker[any]
	probe   chan struct{} // taken by the one call a half-open breaker lets through
	// inARow counts failures since the last success. gobreaker's own count
	// forgets those older than its window, so a PSP that is asked rarely could
	// fail for ever.
	inARow atomic.Int64
}

// New makes the connectors of the catalogue; it calls nobody. The error lists
// every mistake in it.
func New(cfg Config) (*Set, error) {
	cfg.Limits.Connect = cmp.Or(cfg.Limits.Connect, 2*time.Second)
	cfg.Limits.Call = cmp.Or(cfg.Limits.Call, 10*time.Second)
	cfg.Limits.InFlight = cmp.Or(cfg.Limits.InFlight, 50)
	cfg.Limits.Open = cmp.Or(cfg.Limits.Open, 30*time.Second)

	s := &Set{
		cfg:    cfg,
		limits: cfg.Limits,
		now:    cfg.Now,
		log:    cfg.Log,
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "nodogate_connector_request_duration_seconds",
			Help:    "Calls made to PSPs. A call that a breaker or a limit kept back is none.",
			Buckets: []float64{.05, .1, .25, .5, 1, 2, 5, 10},
		}, []string{"psp", "operation", "outcome"}),
	}
	s.lineup.Store(&lineup{})
	if err := s.Reload(cfg.Catalogue); err != nil {
		return nil, err
	}
	for _, c := range []prometheus.Collector{s.duration, breakerStates{s}} {
		if err := cfg.Registerer.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return s, nil
}

func (s *Set) newOperation(id gateway.PSPID, name string) *operation {
	op := &operation{name: name, probe: make(chan struct{}, 1)}
	op.breaker = gobreaker.NewTwoStepCircuitBreaker[any](gobreaker.Settings{
		Name:         string(id) + " " + name,
		MaxRequests:  goodProbes,
		Interval:     rateWindow,
		BucketPeriod: time.Second,
		Timeout:      s.limits.Open,
		ReadyToTrip: func(c gobreaker.Counts) bool {
			done := c.TotalSuccesses + c.TotalFailures
			return op.inARow.Load() >= failuresInARow || done >= rateOf && c.TotalFailures*2 >= done
		},
		// A refusal is an answer: only a sick PSP opens the breaker.
		IsSuccessful: func(err error) bool { return err == nil || errors.Is(err, gateway.ErrRefused) },
		// A family closing the page says nothing about the PSP.
		IsExcluded: func(err error) bool { return errors.Is(err, context.Canceled) },
		OnStateChange: func(_ string, from, to gobreaker.State) {
			if to == gobreaker.StateOpen && s.cfg.Hints != nil {
				s.cfg.Hints.Open(id, name, s.now().Add(s.limits.Open))
			}
			s.log.Warn("breaker", "psp", string(id), "operation", name, "from", from.String(), "to", to.String())
		},
	})
	return op
}

// Offers lists methods and PSPs for a payment, as gateway.PSPs says.
func (s *Set) Offers(ctx context.Context, req gateway.OfferRequest) []gateway.MethodOffer {
	listed := s.lineup.Load().listed
	fees := s.fees(ctx, listed, req)
	var offers []gateway.MethodOffer
	for _, method := range gateway.Methods {
		var list []gateway.PSPOffer
		for id, p := range listed {
			if !slices.Contains(p.Methods, method) {
				continue
			}
			o := gateway.PSPOffer{ID: id, Name: p.Name, Available: true, Settlement: p.settlement}
			if page, ok := p.connector.(Pageless); ok {
				o.Pageless = page.Pageless()
			}
			if print, ok := p.connector.(PrintOnly); ok {
				o.PrintOnly = print.PrintOnly()
			}
			var takes bool
			o.Fee, takes = p.Fee(req.Amount)
			if fee, better := fees[method][id]; better && takes {
				o.Fee = fee
			}
			if !takes {
				o.Available, o.Reason = false, gateway.UnavailableAmount
			} else if !p.open(s.now()) {
				o.Available, o.Reason = false, gateway.UnavailableHours
			} else if p.operations[opStart].breaker.State() == gobreaker.StateOpen || s.hinted(id, opStart) {
				// Half-open counts as available, or nobody would ever be the probe.
				o.Available, o.Reason = false, gateway.UnavailableBreaker
			}
			list = append(list, o)
		}
		if len(list) == 0 {
			continue
		}
		slices.SortFunc(list, func(a, b gateway.PSPOffer) int {
			if a.Available != b.Available {
				if a.Available {
					return -1
				}
				return 1
			}
			return cmp.Or(cmp.Compare(a.Fee, b.Fee), cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
		})
		offers = append(offers, gateway.MethodOffer{Method: method, PSPs: list})
	}
	return offers
}

// fees asks for the fees that are known better than by the catalogue, of all
// methods at once.
func (s *Set) fees(ctx context.Context, listed map[gateway.PSPID]*psp, req gateway.OfferRequest) map[gateway.Method]map[gateway.PSPID]money.Cents {
	if s.cfg.Fees == nil || len(req.Notices) == 0 {
		return nil
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	all := map[gateway.Method]map[gateway.PSPID]money.Cents{}
	for _, method := range gateway.Methods {
		var ids []gateway.PSPID
		for id, p := range listed {
			if p.settlement == gateway.SettledByNode && slices.Contains(p.Methods, method) {
				ids = append(ids, id)
			}
		}
		if len(ids) == 0 {
			continue
		}
		wg.Go(func() {
			got := s.cfg.Fees.Fees(ctx, method, ids, req.Notices)
			mu.Lock()
			defer mu.Unlock()
			all[method] = got
		})
	}
	wg.Wait()
	return all
}

// Name is the PSP's name, or the id itself for one that was not listed since the
// process began.
func (s *Set) Name(id gateway.PSPID) string {
	if p := s.lineup.Load().known[id]; p != nil {
		return p.Name
	}
	return string(id)
}

// Start opens a payment, as gateway.PSPs says.
func (s *Set) Start(ctx context.Context, id gateway.PSPID, order gateway.Order) (gateway.Started, error) {
	p := s.lineup.Load().listed[id]
	if p == nil {
		return gateway.Started{}, fmt.Errorf("start at %s: %w: not in the catalogue", id, gateway.ErrPSPUnavailable)
	}
	if !p.open(s.now()) {
		return gateway.Started{}, fmt.Errorf("start at %s: %w: outside its hours", id, gateway.ErrPSPUnavailable)
	}
	var started gateway.Started
	err := s.call(ctx, p, opStart, order.Attempt, func(ctx context.Context) (err error) {
		started, err = p.connector.Start(ctx, order)
		return err
	})
	if err != nil {
		return gateway.Started{}, fmt.Errorf("start at %s: %w", id, err)
	}
	return started, nil
}

// Abilities says what can be asked of a PSP beside Start.
func (s *Set) Abilities(id gateway.PSPID) gateway.Abilities {
	p := s.lineup.Load().known[id]
	if p == nil {
		return gateway.Abilities{}
	}
	return gateway.Abilities{Ask: p.operations[opAsk] != nil, Cancel: p.operations[opCancel] != nil, Refund: p.operations[opRefund] != nil}
}

// Ask asks what became of a payment, as gateway.PSPs says.
func (s *Set) Ask(ctx context.Context, id gateway.PSPID, pay gateway.Payment) (event gateway.PSPEvent, err error) {
	err = s.about(ctx, id, opAsk, pay, func(ctx context.Context, c Connector) (err error) {
		event, err = c.(Poller).Ask(ctx, pay)
		return err
	})
	if err != nil {
		return gateway.PSPEvent{}, err
	}
	return event, nil
}

// Cancel takes back a payment, as gateway.PSPs says.
func (s *Set) Cancel(ctx context.Context, id gateway.PSPID, pay gateway.Payment) error {
	return s.about(ctx, id, opCancel, pay, func(ctx context.Context, c Connector) error { return c.(Canceller).Cancel(ctx, pay) })
}

// Refund gives a payment back, as gateway.PSPs says.
func (s *Set) Refund(ctx context.Context, id gateway.PSPID, pay gateway.Payment) error {
	return s.about(ctx, id, opRefund, pay, func(ctx context.Context, c Connector) error { return c.(Refunder).Refund(ctx, pay) })
}

// about runs an operation on a payment that was opened before: the PSP need not
// be listed any more.
func (s *Set) about(ctx context.Context, id gateway.PSPID, operation string, pay gateway.Payment, fn func(context.Context, Connector) error) error {
	p := s.lineup.Load().known[id]
	if p == nil || p.operations[operation] == nil {
		return fmt.Errorf("%s at %s: %w: it cannot", operation, id, gateway.ErrPSPUnavailable)
	}
	err := s.call(ctx, p, operation, pay.Attempt, func(ctx context.Context) error { return fn(ctx, p.connector) })
	if err != nil {
		return fmt.Errorf("%s at %s: %w", operation, id, err)
	}
	return nil
}

// hinted says that another process has the breaker open.
func (s *Set) hinted(id gateway.PSPID, operation string) bool {
	if s.cfg.Hints == nil {
		return false
	}
	now := s.now()
	until := s.cfg.Hints.OpenUntil(id, operation)
	// No breaker stays open longer, whatever the clocks: such a hint is no hint.
	return now.Before(until) && until.Before(now.Add(s.limits.Open+clockSlack))
}

// Callback proves and reads what a PSP's system sent: errors as Listener's, and
// gateway.ErrNotFound for a PSP that has no callbacks.
func (s *Set) Callback(c gateway.Callback) (gateway.PSPEvent, error) {
	l, err := s.listener(c.PSP)
	if err != nil {
		return gateway.PSPEvent{}, err
	}
	return l.Callback(c)
}

// Answer is what the PSP's system is told of its callback.
func (s *Set) Answer(psp gateway.PSPID, e gateway.PSPEvent, err error) (status int, contentType string, body []byte) {
	l, lerr := s.listener(psp)
	if lerr != nil {
		return http.StatusNotFound, "", nil
	}
	a := l.Answer(e, err)
	return a.Status, a.ContentType, a.Body
}

func (s *Set) listener(id gateway.PSPID) (Listener, error) {
	p := s.lineup.Load().known[id]
	if p == nil {
		return nil, fmt.Errorf("callback of %s: %w", id, gateway.ErrNotFound)
	}
	l, ok := p.connector.(Listener)
	if !ok {
		return nil, fmt.Errorf("callback of %s: %w", id, gateway.ErrNotFound)
	}
	return l, nil
}

var errPanic = errors.New("connector panicked")

// call runs one call to a PSP inside its limits, and makes every failure one of
// ErrRefused, ErrPSPUnavailable and ErrOutcomeUnknown.
func (s *Set) call(ctx context.Context, p *psp, operation, attempt string, fn func(context.Context) error) (err error) {
	op := p.operations[operation]
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	default:
		return fmt.Errorf("%w: too many calls in flight", gateway.ErrPSPUnavailable)
	}
	switch op.breaker.State() {
	case gobreaker.StateClosed:
		if s.hinted(p.ID, operation) {
			return fmt.Errorf("%w: breaker open elsewhere", gateway.ErrPSPUnavailable)
		}
	case gobreaker.StateOpen:
		return fmt.Errorf("%w: breaker open", gateway.ErrPSPUnavailable)
	case gobreaker.StateHalfOpen:
		select {
		case op.probe <- struct{}{}:
			defer func() { <-op.probe }()
		default:
			return fmt.Errorf("%w: breaker half-open", gateway.ErrPSPUnavailable)
		}
	}

	begin := s.now()
	err = errPanic // stays when fn never returns
	defer func() {
		outcome := outcomeOf(err)
		switch outcome {
		case "ok", "refused":
			op.inARow.Store(0)
		case "unavailable", "unknown":
			op.inARow.Add(1)
		}
		// Booked when it ends: gobreaker books a call in the second it began, and
		// would drop one that took as long as the window, which are those that
		// time out. An open breaker has nothing more to learn.
		if done, open := op.breaker.Allow(); open == nil {
			done(err)
		}
		took := s.now().Sub(begin)
		s.duration.WithLabelValues(string(p.ID), op.name, outcome).Observe(took.Seconds())
		args := []any{"psp", string(p.ID), "operation", op.name, "attempt", attempt, "outcome", outcome, "duration", took}
		if err != nil {
			args = append(args, "error", err.Error())
		}
		s.log.Info("connector call", args...)
	}()

	ctx, cancel := context.WithTimeout(ctx, s.limits.Call)
	defer cancel()
	err = fn(ctx)
	if err != nil && !errors.Is(err, gateway.ErrRefused) && !errors.Is(err, gateway.ErrPSPUnavailable) && !errors.Is(err, gateway.ErrOutcomeUnknown) {
		err = fmt.Errorf("%w: %w", gateway.ErrOutcomeUnknown, err)
	}
	return err
}

// outcomeOf is the label of the metric: a closed list, never renamed.
func outcomeOf(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, gateway.ErrRefused):
		return "refused"
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, gateway.ErrPSPUnavailable):
		return "unavailable"
	}
	return "unknown"
}
