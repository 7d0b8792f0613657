// SPDX-License-Identifier: Apache-2.0

// Package notify delivers the outbox. A row of kind "event" is turned into the
// messages that tell people of it, a row of kind "mail" is sent.
//
// Rows are claimed, so any number of processes may run a Worker over one store.
// How messages are kept and claimed is the store's business, when they arise the
// domain's.
//
// What a caller gets wrong: delivery is at least once. A worker that dies
// between sending a mail and saying so sends it again, with the same Message-ID.
package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/mail"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/iuv"
)

// Kinds of outbox rows this package delivers. Stored: never renamed.
const (
	kindEvent = "event"
	kindMail  = "mail"
)

const (
	batch    = 20
	atOnce   = 4 // a school's mail server takes few connections
	lease    = time.Minute
	workTime = 30 * time.Second // for one message
	endTime  = 10 * time.Second // for saying what became of it
	maxTries = 15
	firstTry = 5 * time.Second // of the waits between tries
)

// Outbox is where messages wait; *store.DB is one.
type Outbox interface {
	ClaimMessages(ctx context.Context, now time.Time, lease time.Duration, limit int) ([]gateway.Claimed, error)
	// FinishInto ends a message and adds those that follow from it, in one
	// transaction, and does neither when the message has ended before.
	FinishInto(ctx context.Context, id string, when time.Time, next []gateway.Message) error
	RetryMessage(ctx context.Context, id string, runAt time.Time) error
	ParkMessage(ctx context.Context, id string, when time.Time) error
	// ReleaseMessage gives back a message that was not tried.
	ReleaseMessage(ctx context.Context, id string, leaseUntil time.Time) error
	// PayersOf lists whom the school links to a notice, and the pupil it is for.
	PayersOf(ctx context.Context, school gateway.SchoolCode, number iuv.Number) ([]gateway.Payer, gateway.Pupil, error)
}

// Config is what a Worker is made of. Outbox, Service, Mailer and From are
// required; the time is the Service's.
type Config struct {
	Outbox  Outbox
	Service *gateway.Service
	Mailer  Mailer
	From    string                // sender of all mails: no-reply@pagamenti.example
	Log     *slog.Logger          // nil: silent
	Reg     prometheus.Registerer // nil: metrics are counted, not shown
	// Tick wakes an idle Worker; nil is once a second.
	Tick <-chan time.Time
	// Random gives the jitter of retries, from 0 to 1; nil is the system's. It
	// must be safe for concurrent use.
	Random func() float64
}

// Worker delivers what the outbox holds.
type Worker struct {
	cfg   Config
	from  mail.Address
	words map[string]language
	mails *prometheus.CounterVec
}

// New makes a Worker. It starts nothing; Run does.
func New(cfg Config) (*Worker, error) {
	if cfg.Outbox == nil || cfg.Service == nil || cfg.Mailer == nil {
		return nil, errors.New("notify: Outbox, Service and Mailer are required")
	}
	from, err := mail.ParseAddress(cfg.From)
	if err != nil {
		return nil, errors.New("notify: From must be an address like no-reply@pagamenti.example")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Random == nil {
		cfg.Random = rand.Float64
	}
	words, err := parseTemplates()
	if err != nil {
		return nil, fmt.Errorf("notify: %w", err)
	}
	w := &Worker{cfg: cfg, from: *from, words: words, mails: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "nodogate_mails_total", Help: "Mails to families, by template and by what became of the try.",
	}, []string{"template", "outcome"})}
	// Every series exists from the start: an alarm on an increase would miss the
	// first of a series that appears with the value 1.
	for _, t := range append(templateNames, templateUnknown) {
		for _, o := range []outcome{sent, dropped, retried, parked} {
			w.mails.WithLabelValues(t, string(o))
		}
	}
	if cfg.Reg != nil {
		cfg.Reg.MustRegister(w.mails)
	}
	return w, nil
}

// Run delivers until ctx ends. It then finishes what is being sent, which may
// take half a minute when a mail server hangs, and gives the rest back.
func (w *Worker) Run(ctx context.Context) error {
	tick := w.cfg.Tick
	if tick == nil {
		t := time.NewTicker(time.Second)
		defer t.Stop()
		tick = t.C
	}
	for ctx.Err() == nil {
		n, err := w.Once(ctx)
		if err != nil && ctx.Err() == nil {
			w.cfg.Log.Error("deliver the outbox", "err", err)
		}
		if n > 0 && err == nil {
			continue // there may be more
		}
		select {
		case <-ctx.Done():
		case <-tick:
		}
	}
	return nil
}

// Once claims what is due, works it, and says how many messages that were. An
// error is the database's; a message that cannot be delivered is not one.
func (w *Worker) Once(ctx context.Context) (int, error) {
	now := w.cfg.Service.Now()
	list, err := w.cfg.Outbox.ClaimMessages(ctx, now, lease, batch)
	if err != nil {
		return 0, err
	}
	// Of one kind and aggregate at most one row is claimed: these may go in any
	// order.
	var g errgroup.Group
	g.SetLimit(atOnce)
	errs := make([]error, len(list))
	for i, m := range list {
		g.Go(func() error {
			errs[i] = w.deliver(ctx, m, now.Add(lease))
			return nil
		})
	}
	_ = g.Wait() // the errors are in errs, all of them
	return len(list), errors.Join(errs...)
}

// outcome is what became of one try. A metric's label: never renamed.
type outcome string

const (
	sent    outcome = "sent"
	dropped outcome = "dropped" // there is nobody, or nothing, to tell any more
	retried outcome = "retried"
	parked  outcome = "parked"
)

// ErrPermanent says that trying again cannot help.
var ErrPermanent = errors.New("permanent failure")

// deliver works one message and writes down what became of it. Shutting down
// does not interrupt it: a mail cut short may be sent or not.
func (w *Worker) deliver(ctx context.Context, m gateway.Claimed, leaseUntil time.Time) error {
	end, cancelEnd := context.WithTimeout(context.WithoutCancel(ctx), workTime+endTime)
	defer cancelEnd()
	if ctx.Err() != nil || w.cfg.Service.Now().Add(workTime+endTime).After(leaseUntil) {
		// It could still be at work when another worker claims it.
		return w.cfg.Outbox.ReleaseMessage(end, m.ID, leaseUntil)
	}
	work, cancel := context.WithTimeout(end, workTime)
	defer cancel()
	var next []gateway.Message
	var template string
	result, err := sent, error(nil)
	switch {
	case m.Tries > maxTries:
		// Whoever claimed it before did not live to say what happened.
		err = fmt.Errorf("%w: every try died", ErrPermanent)
	case m.Kind == kindEvent:
		next, err = guard(w, m, func() ([]gateway.Message, error) { return w.fanOut(work, m.Message) })
	case m.Kind == kindMail:
		result, err = guard(w, m, func() (outcome, error) { return w.sendMail(work, m.Message, &template) })
	default:
		err = errors.New("unknown kind of message")
	}
	switch {
	case err == nil:
		err = w.cfg.Outbox.FinishInto(end, m.ID, w.cfg.Service.Now(), next)
	case m.Tries >= maxTries || errors.Is(err, ErrPermanent):
		result = parked
		w.cfg.Log.Error("message parked: a person must look at it", "id", m.ID, "kind", m.Kind, "tries", m.Tries, "err", err)
		err = w.cfg.Outbox.ParkMessage(end, m.ID, w.cfg.Service.Now())
	default:
		result = retried
		wait := w.wait(m.Tries)
		w.cfg.Log.Warn("message not delivered", "id", m.ID, "kind", m.Kind, "tries", m.Tries, "again_in", wait.String(), "err", err)
		err = w.cfg.Outbox.RetryMessage(end, m.ID, w.cfg.Service.Now().Add(wait))
	}
	if m.Kind == kindMail {
		if template == "" {
			template = templateUnknown
		}
		w.mails.WithLabelValues(template, string(result)).Inc()
	}
	return err
}

// guard turns a panic into an error: one mail must not stop a gateway.
func guard[T any](w *Worker, m gateway.Claimed, work func() (T, error)) (v T, err error) {
	defer func() {
		if r := recover(); r != nil {
			// What was panicked with may hold a person's data.
			w.cfg.Log.Error("panic in a message", "id", m.ID, "kind", m.Kind, "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %T", r)
		}
	}()
	return work()
}

// wait is 5 s x (2^tries - 1) and up to a tenth more, so that what failed
// together does not come back together.
func (w *Worker) wait(tries int) time.Duration {
	d := firstTry * (1<<tries - 1)
	return d + time.Duration(w.cfg.Random()*float64(d)/10)
}
