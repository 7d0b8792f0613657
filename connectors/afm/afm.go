// SPDX-License-Identifier: Apache-2.0

// Package afm asks pagoPA's fee calculator (AFM, GEC; openapi-v2.json) what PSPs
// take for a cart: it knows their current bundles, and what a creditor bears of
// them, where the catalogue knows what the operator wrote.
//
// It answers within its budget whatever happens, and says nothing rather than
// something doubtful: the catalogue's fee counts then.
//
// What a caller gets wrong: inside a transaction it only looks at its copies. Ask
// before, and the same answer is there.
package afm

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sony/gobreaker/v2"
	"golang.org/x/sync/singleflight"

	"github.com/nodogate/nodogate/connectors"
	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/money"
)

// Config is what a Client needs; Key may be empty.
type Config struct {
	URL *url.URL // what stands before /fees
	Key string   // Ocp-Apim-Subscription-Key
	// AllowPrivate lets the calculator be on a private address, for the demo.
	AllowPrivate bool
	Now          func() time.Time
	Log          *slog.Logger
	Registerer   prometheus.Registerer
	Budget       time.Duration // how long a payer waits at most; 0: 1.5 s
}

// ParseURL reads the calculator's address. The error does not repeat it.
func ParseURL(s string, allowPrivate bool) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http":
		return nil, errors.New("give an absolute address, https://host/path, without /fees")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("no user, query or fragment belongs in the address")
	case u.Scheme == "http" && !allowPrivate:
		return nil, errors.New("must be https")
	}
	u.Path = strings.TrimSuffix(u.Path, "/")
	return u, nil
}

// What is kept, and for how long. A copy is fresh while a payer makes up their
// mind, and better than nothing as long as the page that shows it may live.
const (
	defaultBudget = 1500 * time.Millisecond
	freshFor      = 5 * time.Minute
	usableFor     = 35 * time.Minute
	maxCopies     = 2000
	maxInFlight   = 20
	failuresInRow = 5
	openFor       = 30 * time.Second
)

// Client is a connectors.Fees. It is safe for concurrent use.
type Client struct {
	cfg     Config
	http    *http.Client
	breaker *gobreaker.CircuitBreaker[fees]
	running singleflight.Group
	slots   chan struct{}
	answers *prometheus.CounterVec

	mu     sync.Mutex
	copies map[string]kept // guarded by mu
}

var _ connectors.Fees = (*Client)(nil)

type fees map[string]money.Cents // by idPsp

type kept struct {
	fees fees
	at   time.Time
}

// New makes a client; it calls nobody.
func New(cfg Config) (*Client, error) {
	if cfg.URL == nil || cfg.Now == nil || cfg.Log == nil || cfg.Registerer == nil {
		return nil, errors.New("afm: URL, Now, Log and Registerer are required")
	}
	cfg.Budget = cmp.Or(cfg.Budget, defaultBudget)
	c := &Client{
		cfg: cfg, http: connectors.NewClient(cfg.Budget, maxInFlight, cfg.AllowPrivate),
		slots: make(chan struct{}, maxInFlight), copies: make(map[string]kept),
		answers: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "nodogate_afm_answers_total",
			Help: "Fees wanted of the calculator, by where they came from: ok, copy, stale (a copy, since it failed), and none of it (refused, unavailable, nonsense, busy, open): the catalogue's then.",
		}, []string{"outcome"}),
	}
	for _, o := range outcomes {
		c.answers.WithLabelValues(o)
	}
	c.breaker = gobreaker.NewCircuitBreaker[fees](gobreaker.Settings{
		Name: "afm", MaxRequests: 1, Timeout: openFor,
		ReadyToTrip: func(n gobreaker.Counts) bool { return n.ConsecutiveFailures >= failuresInRow },
		// A no to this cart is an answer.
		IsSuccessful: func(err error) bool { return err == nil || errors.Is(err, gateway.ErrRefused) },
		OnStateChange: func(_ string, from, to gobreaker.State) {
			cfg.Log.Warn("breaker", "psp", "AFM", "operation", "fees", "from", from.String(), "to", to.String())
		},
	})
	if err := cfg.Registerer.Register(c.answers); err != nil {
		return nil, fmt.Errorf("afm: register metrics: %w", err)
	}
	return c, nil
}

var outcomes = []string{"ok", "copy", "stale", "refused", "unavailable", "nonsense", "busy", "open"}

var (
	errNonsense = errors.New("the answer makes no sense")
	errBusy     = errors.New("too many calls in flight")
)

// Fees says what PSPs take for these notices by this method. Those it does not
// know of are left out.
func (c *Client) Fees(ctx context.Context, method gateway.Method, psps []gateway.PSPID, notices []gateway.OfferNotice) map[gateway.PSPID]money.Cents {
	if len(psps) == 0 || len(notices) == 0 {
		return nil
	}
	known := make(map[gateway.PSPID]string, len(psps))
	for _, id := range psps {
		known[id] = theirs(id, method)
	}
	list := slices.Compact(slices.Sorted(maps.Values(known)))
	body, err := json.Marshal(newRequest(method, list, notices))
	if err != nil {
		panic("afm: " + err.Error()) // texts and numbers
	}
	got := c.fees(ctx, string(body), list)
	out := make(map[gateway.PSPID]money.Cents, len(got))
	for id, their := range known {
		if fee, there := got[their]; there {
			out[id] = fee
		}
	}
	return out
}

// theirs is the PSP's id there: psps import names a PSP once for each method when
// its fees differ.
func theirs(id gateway.PSPID, method gateway.Method) string {
	return strings.TrimSuffix(string(id), "-"+string(method))
}

// fees looks for a copy, asks otherwise, and takes an older copy upon a failure.
func (c *Client) fees(ctx context.Context, body string, psps []string) fees {
	now := c.cfg.Now()
	c.mu.Lock()
	old, there := c.copies[body]
	c.mu.Unlock()
	age := now.Sub(old.at)
	inTx := gateway.TxFromContext(ctx) != nil
	if there && age >= 0 && (age < freshFor || inTx && age < usableFor) {
		c.answers.WithLabelValues("copy").Inc()
		return old.fees
	}
	if inTx {
		return nil // nobody is called inside a transaction
	}
	answer := c.running.DoChan(body, func() (any, error) {
		// Whoever asked first may go; the others still want it.
		call, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.cfg.Budget)
		defer cancel()
		return c.ask(call, body, psps)
	})
	budget := time.NewTimer(c.cfg.Budget)
	defer budget.Stop()
	var err error
	select {
	case r := <-answer:
		if err = r.Err; err == nil {
			c.answers.WithLabelValues("ok").Inc()
			return r.Val.(fees)
		}
	case <-budget.C:
		err = context.DeadlineExceeded
	case <-ctx.Done():
		err = ctx.Err()
	}
	if there && age >= 0 && age < usableFor {
		c.answers.WithLabelValues("stale").Inc()
		return old.fees
	}
	c.answers.WithLabelValues(outcomeOf(err)).Inc()
	return nil
}

func outcomeOf(err error) string {
	switch {
	case errors.Is(err, gobreaker.ErrOpenState), errors.Is(err, gobreaker.ErrTooManyRequests):
		return "open"
	case errors.Is(err, errBusy):
		return "busy"
	case errors.Is(err, errNonsense):
		return "nonsense"
	case errors.Is(err, gateway.ErrRefused):
		return "refused"
	}
	return "unavailable"
}

// ask asks the calculator, behind the breaker, and keeps what it says.
func (c *Client) ask(ctx context.Context, body string, psps []string) (fees, error) {
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	default:
		return nil, errBusy
	}
	begin := c.cfg.Now()
	called := false
	got, err := c.breaker.Execute(func() (fees, error) {
		called = true
		return c.post(ctx, body, psps)
	})
	if called {
		args := []any{"outcome", "ok", "duration", c.cfg.Now().Sub(begin)}
		if err != nil {
			args[1] = outcomeOf(err)
			args = append(args, "error", err.Error())
		}
		c.cfg.Log.Info("fee calculator", args...)
	}
	if err != nil {
		return nil, err
	}
	c.keep(body, got)
	return got, nil
}

func (c *Client) keep(body string, got fees) {
	now := c.cfg.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.copies) >= maxCopies {
		maps.DeleteFunc(c.copies, func(_ string, k kept) bool { return now.Sub(k.at) >= freshFor })
	}
	if len(c.copies) >= maxCopies {
		clear(c.copies) // a flood of different carts: none of them is worth more
	}
	c.copies[body] = kept{got, now}
}

func (c *Client) post(ctx context.Context, body string, psps []string) (fees, error) {
	to := c.cfg.URL.JoinPath("fees")
	// Each PSP may have several bundles; the cheapest come first.
	to.RawQuery = url.Values{"maxOccurrences": {fmt.Sprint(10 * len(psps))}, "allCcp": {"true"}, "orderBy": {"fee"}}.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), bytes.NewReader([]byte(body)))
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	if c.cfg.Key != "" {
		req.Header.Set("Ocp-Apim-Subscription-Key", c.cfg.Key)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("post fees: %w", err)
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusBadRequest, http.StatusNotFound, http.StatusUnprocessableEntity:
		return nil, fmt.Errorf("post fees: status %d: %w", resp.StatusCode, gateway.ErrRefused)
	default:
		return nil, fmt.Errorf("post fees: status %d: %w", resp.StatusCode, gateway.ErrPSPUnavailable)
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	return read(text, body, psps)
}

// read takes the cheapest bundle of each PSP that was asked about. One that makes
// no sense spoils the whole answer: what else is wrong in it?
func read(text []byte, request string, psps []string) (fees, error) {
	var asked struct{ PaymentMethod string }
	var answer bundleOption
	if json.Unmarshal([]byte(request), &asked) != nil || json.Unmarshal(text, &answer) != nil || answer.BundleOptions == nil {
		return nil, fmt.Errorf("read answer: %w", errNonsense)
	}
	got := fees{}
	for _, b := range *answer.BundleOptions {
		fee, ok := b.fee()
		if !ok || b.IDPSP == "" {
			return nil, fmt.Errorf("read answer: %w", errNonsense)
		}
		if !slices.Contains(psps, b.IDPSP) || b.PaymentMethod != "" && b.PaymentMethod != anyMethod && b.PaymentMethod != asked.PaymentMethod {
			continue
		}
		if least, there := got[b.IDPSP]; !there || fee < least {
			got[b.IDPSP] = fee
		}
	}
	return got, nil
}
