// SPDX-License-Identifier: Apache-2.0

package connectors

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nodogate/nodogate/gateway"
)

// lineup is the PSPs at one moment. It is never changed, only replaced.
type lineup struct {
	listed map[gateway.PSPID]*psp // in the catalogue
	// known are these and those that once were: they open no payment, but what
	// they say of payments opened before still counts.
	known map[gateway.PSPID]*psp
}

// Reload puts another catalogue in the place of the present one, or returns
// every mistake in it and changes nothing; it calls nobody. A PSP whose entry is
// as before keeps its connector, its breakers and the calls it has in flight; a
// changed one begins anew, and its new connector also reads the callbacks of
// payments that the old one opened. One that is gone opens no payments, while
// its callbacks are read until the process ends.
func (s *Set) Reload(c Catalogue) error {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	before := s.lineup.Load()
	next := &lineup{listed: make(map[gateway.PSPID]*psp, len(c.PSPs)), known: make(map[gateway.PSPID]*psp)}
	maps.Copy(next.known, before.known)
	var bad []error
	for i := range c.PSPs {
		entry := c.PSPs[i]
		p, mistakes := s.open(entry, before.known[entry.ID])
		if next.listed[entry.ID] != nil {
			mistakes = append(mistakes, errors.New("id: another PSP has it too"))
		}
		next.listed[entry.ID], next.known[entry.ID] = p, p
		for _, m := range mistakes {
			bad = append(bad, fmt.Errorf("psps[%d] %s: %w", i, entry.ID, m))
		}
	}
	if len(bad) > 0 {
		return errors.Join(bad...)
	}
	s.lineup.Store(next)
	return nil
}

// open puts a PSP to work: the one of before when nothing about it has changed.
func (s *Set) open(entry PSP, before *psp) (*psp, []error) {
	mistakes := entry.check(s.cfg.AllowPrivate, s.cfg.Getenv)
	known := slices.IndexFunc(s.cfg.Drivers, func(d Driver) bool { return d.Name == entry.Connector })
	if known < 0 {
		mistakes = append(mistakes, fmt.Errorf("connector: there is none called %q", entry.Connector))
	}
	if entry.Endpoint == "" && (known < 0 || s.cfg.Drivers[known].NoEndpoint == nil || !s.cfg.Drivers[known].NoEndpoint(entry.Options)) {
		mistakes = append(mistakes, errNoEndpoint)
	}
	p := &psp{PSP: entry, slots: make(chan struct{}, s.limits.InFlight)}
	if len(mistakes) > 0 {
		return p, mistakes
	}
	if entry.SecretEnv != "" {
		p.secret = s.cfg.Getenv(entry.SecretEnv)
	}
	if before != nil && before.secret == p.secret && reflect.DeepEqual(before.PSP, entry) {
		return before, nil
	}
	driver := s.cfg.Drivers[known]
	p.settlement = driver.Settlement
	if driver.Settlement == gateway.SettledByPSP && entry.Node == nil && entry.Endpoint != "" {
		// Its payments would never get a receipt.
		return p, []error{fmt.Errorf("node: %s needs it: the PSP tells the outcome on the node face", driver.Name)}
	}
	var endpoint *url.URL
	if entry.Endpoint != "" {
		var err error
		if endpoint, err = parseEndpoint(entry.Endpoint, s.cfg.AllowPrivate); err != nil {
			return p, []error{err}
		}
	}
	conf, err := entry.tls()
	if err != nil {
		return p, []error{err}
	}
	p.connector, err = driver.New(DriverConfig{
		ID: entry.ID, Name: entry.Name, Endpoint: endpoint, Secret: p.secret, PageHosts: entry.PageHosts, Options: entry.Options,
		HTTP: newClient(s.limits.Connect, s.limits.InFlight, s.cfg.AllowPrivate, conf),
		Log:  s.cfg.Log.With("psp", string(entry.ID)),
		Now:  s.cfg.Now,
	})
	if err != nil {
		return p, []error{err}
	}
	p.operations = map[string]*operation{opStart: s.newOperation(entry.ID, opStart)}
	for name, can := range map[string]bool{opAsk: is[Poller](p.connector), opCancel: is[Canceller](p.connector), opRefund: is[Refunder](p.connector)} {
		if can {
			p.operations[name] = s.newOperation(entry.ID, name)
		}
	}
	return p, nil
}

// is says whether a connector is one of the optional kinds.
func is[T any](c Connector) bool {
	_, ok := c.(T)
	return ok
}

// breakerStates is the metric of the breakers of the PSPs listed at the moment
// it is asked: an open breaker turns half-open by time alone. gobreaker counts
// as the metric does.
type breakerStates struct{ set *Set }

var breakerState = prometheus.NewDesc("nodogate_connector_breaker_state",
	"State of a PSP's breaker: 0 closed, 1 half-open, 2 open.", []string{"psp", "operation"}, nil)

func (b breakerStates) Describe(ch chan<- *prometheus.Desc) { ch <- breakerState }

func (b breakerStates) Collect(ch chan<- prometheus.Metric) {
	for id, p := range b.set.lineup.Load().listed {
		for name, op := range p.operations {
			ch <- prometheus.MustNewConstMetric(breakerState, prometheus.GaugeValue, float64(op.breaker.State()), string(id), name)
		}
	}
}
