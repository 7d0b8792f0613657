// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"slices"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nodogate/nodogate/connectors"
	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/nodeforpsp"
)

// stamp tells one state of a file from another without reading it. The zero
// stamp is of a file that is not there.
type stamp struct {
	modified time.Time
	size     int64
}

// catalogueFile is psps.yaml.
type catalogueFile struct {
	path string
	// read is the stamp of what was last read, good or bad.
	read stamp
	// settling is the stamp of a change seen once: an editor may be writing.
	settling stamp
}

func (f *catalogueFile) stat() (stamp, error) {
	info, err := os.Stat(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return stamp{}, nil
	}
	if err != nil {
		return stamp{}, err
	}
	return stamp{info.ModTime(), info.Size()}, nil
}

// load reads the catalogue. Without the file nothing can be paid online; that is
// a state a school can start in, and checkServe refuses a file that was named.
func (f *catalogueFile) load() (connectors.Catalogue, error) {
	// The stamp first: what is written from here on is a change.
	at, err := f.stat()
	if err != nil {
		return connectors.Catalogue{}, fmt.Errorf("NODOGATE_PSPS: %w", err)
	}
	f.read, f.settling = at, at
	if at == (stamp{}) {
		return connectors.Catalogue{}, nil
	}
	text, err := os.ReadFile(f.path)
	if err != nil {
		f.read = stamp{size: -1} // look again: to mend its mode changes no stamp
		return connectors.Catalogue{}, fmt.Errorf("NODOGATE_PSPS: %w", err)
	}
	c, err := connectors.ParseCatalogue(text)
	if err != nil {
		return connectors.Catalogue{}, fmt.Errorf("NODOGATE_PSPS %s: %w", f.path, err)
	}
	return c, nil
}

// changed says that the file is another than the one read, and was the same
// twice. A half-written list can be good YAML with a PSP or two missing.
func (f *catalogueFile) changed() bool {
	at, err := f.stat()
	if err != nil {
		return true // load will say why
	}
	if at == f.read {
		f.settling = at
		return false
	}
	settled := at == f.settling
	f.settling = at
	return settled
}

// providers is the catalogue at work in all that lives by it: the connectors,
// the portal's policy and the node face.
type providers struct {
	set    *connectors.Set
	getenv func(string) string
	node   bool // the node face is on
	log    *slog.Logger
	now    func() time.Time
	view   atomic.Pointer[view]

	refused [sha256.Size]byte // of the mistakes last told
	reloads *prometheus.CounterVec
	loaded  prometheus.Gauge
}

// view is what is derived from one catalogue. It is never changed.
type view struct {
	origins []string // that the pages of the PSPs may be on
	callers map[gateway.PSPID]nodeforpsp.PSP
}

// newProviders is for a set that was made with the same catalogue.
func newProviders(cfg config, set *connectors.Set, c connectors.Catalogue, getenv func(string) string, log *slog.Logger, reg prometheus.Registerer, now func() time.Time) (*providers, error) {
	p := &providers{
		set: set, getenv: getenv, node: slices.Contains(cfg.Faces, "node"), log: log, now: now,
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "nodogate_catalogue_reloads_total", Help: "Times another catalogue of PSPs was found while running.",
		}, []string{"outcome"}),
		loaded: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "nodogate_catalogue_loaded_timestamp_seconds", Help: "When the catalogue of PSPs in use was read.",
		}),
	}
	for _, outcome := range []string{"ok", "refused"} {
		p.reloads.WithLabelValues(outcome)
	}
	reg.MustRegister(p.reloads, p.loaded)
	p.view.Store(&view{})
	return p, p.use(c)
}

// use puts a catalogue to work, or says what is wrong with it and changes
// nothing.
func (p *providers) use(c connectors.Catalogue) error {
	next := &view{origins: pageOrigins(c)}
	var err error
	if p.node {
		next.callers, err = nodePSPs(c, p.getenv, p.view.Load().callers)
	}
	if err != nil {
		return err
	}
	if err := p.set.Reload(c); err != nil {
		return err
	}
	p.view.Store(next)
	p.loaded.Set(float64(p.now().Unix()))
	return nil
}

func (p *providers) formActions() []string { return p.view.Load().origins }

func (p *providers) caller(id gateway.PSPID) (nodeforpsp.PSP, bool) {
	psp, known := p.view.Load().callers[id]
	return psp, known
}

// reload reads the file and puts it to work; a wrong one changes nothing. The
// same mistakes are told once, or each time somebody asked.
func (p *providers) reload(f *catalogueFile, asked bool) {
	c, err := f.load()
	if err == nil && f.read == (stamp{}) {
		// Gone while we run: rather a slip than the wish to be paid by nobody.
		err = fmt.Errorf("NODOGATE_PSPS: %w", &fs.PathError{Op: "open", Path: f.path, Err: fs.ErrNotExist})
	}
	if err == nil {
		err = p.use(c)
	}
	if err != nil {
		sum := sha256.Sum256([]byte(err.Error()))
		if !asked && bytes.Equal(sum[:], p.refused[:]) {
			return
		}
		p.refused = sum
		p.reloads.WithLabelValues("refused").Inc()
		p.log.Error("catalogue refused, the one before stays", "file", f.path, "err", err)
		return
	}
	p.refused = [sha256.Size]byte{}
	p.reloads.WithLabelValues("ok").Inc()
	p.log.Info("catalogue reloaded", "file", f.path, "psps", len(c.PSPs))
}

// lookEvery is how often the file is looked at; a change is in use after two
// looks.
const lookEvery = 5 * time.Second

// watch reloads the file when it changed, and at each hangup whether it did or
// not, until ctx ends.
func (p *providers) watch(ctx context.Context, f *catalogueFile, ticks <-chan time.Time, hangups <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks:
			if f.changed() {
				p.reload(f, false)
			}
		case <-hangups:
			p.reload(f, true)
		}
	}
}

// pageOrigins are the origins that the pages of the PSPs may be on.
func pageOrigins(c connectors.Catalogue) []string {
	var origins []string
	for _, p := range c.PSPs {
		if u, err := url.Parse(p.Endpoint); err == nil && u.Host != "" {
			origins = append(origins, u.Scheme+"://"+u.Host)
		}
		for _, h := range p.PageHosts {
			origins = append(origins, "https://"+h)
		}
	}
	slices.Sort(origins)
	return slices.Compact(origins)
}

// nodePSPs are the providers of the catalogue that may call the node face, and
// those of before that still have outcomes to tell.
func nodePSPs(c connectors.Catalogue, getenv func(string) string, before map[gateway.PSPID]nodeforpsp.PSP) (map[gateway.PSPID]nodeforpsp.PSP, error) {
	callers := make(map[gateway.PSPID]nodeforpsp.PSP)
	for id, p := range before {
		p.Gone = true
		callers[id] = p
	}
	var missing []error
	for _, p := range c.PSPs {
		if p.Node == nil {
			continue
		}
		password := getenv(p.Node.PasswordEnv)
		// The schema's stPassword has 8 to 15 characters.
		if n := utf8.RuneCountInString(password); n < 8 || n > 15 {
			missing = append(missing, fmt.Errorf("psp %s: %s must hold the channel's password, 8 to 15 characters", p.ID, p.Node.PasswordEnv))
		}
		callers[p.ID] = nodeforpsp.PSP{
			Peer:     gateway.Peer{PSP: p.ID, Name: p.Name, Broker: p.Node.Broker, Channel: p.Node.Channel},
			Password: sha256.Sum256([]byte(password)),
		}
	}
	return callers, errors.Join(missing...)
}
