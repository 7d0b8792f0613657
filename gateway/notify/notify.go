// SPDX-License-Identifier: Apache-2.0

// Package notify delivers the outbox. A row of kind "event" is turned into the
// messages that tell of it: a row of kind "mail" is sent to a family, one of
// kind "appio" reaches it in the state's app, one of kind "aca" brings pagoPA's
// archive of notices up to date, one of kind "webhook" calls a program of the
// school. A row of kind "campaign" asks the domain to go on with the many notices
// of one.
//
// Rows are claimed, so any number of processes may run a Worker over one store.
// Each kind, each webhook, and each key of App IO, is worked on its own: what
// hangs in one holds up no other.
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
	"net/http"
	"net/mail"
	"runtime/debug"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/egress"
	"github.com/nodogate/nodogate/iuv"
)

// Kinds of outbox rows this package delivers. Stored: never renamed.
const (
	kindEvent   = "event"
	kindMail    = "mail"
	kindApp     = "appio"
	kindArchive = "aca"
	kindWebhook = "webhook"
	// kindCampaign asks to go on with what was begun on a campaign's notices.
	kindCampaign = gateway.MessageCampaign
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
	ClaimMessages(ctx context.Context, kind, target string, now time.Time, lease time.Duration, limit int) ([]gateway.Claimed, error)
	// FinishInto ends a message and adds those that follow from it, in one
	// transaction, and does neither when the message has ended before.
	FinishInto(ctx context.Context, id string, when time.Time, next []gateway.Message) error
	RetryMessage(ctx context.Context, id string, runAt time.Time) error
	ParkMessage(ctx context.Context, id string, when time.Time) error
	// ReleaseMessage gives back a message that was not tried.
	ReleaseMessage(ctx context.Context, id string, leaseUntil time.Time) error
	// Targets lists the targets that messages of a kind wait for.
	Targets(ctx context.Context, kind string) ([]string, error)
	// PayersOf lists whom the school links to a notice, and the pupil it is for.
	PayersOf(ctx context.Context, school gateway.SchoolCode, number iuv.Number) ([]gateway.Payer, gateway.Pupil, error)
}

// Config is what a Worker is made of. Outbox, Service, Mailer and From are
// required; the time is the Service's.
type Config struct {
	Outbox  Outbox
	Service *gateway.Service
	Mailer  Mailer
	From    string   // sender of all mails: no-reply@pagamenti.example
	Archive *Archive // nil: notices are not mirrored
	AppIO   *AppIO   // nil: nobody is told in App IO
	// AllowPrivate lets webhooks be on private addresses, and on http.
	AllowPrivate bool
	Log          *slog.Logger          // nil: silent
	Reg          prometheus.Registerer // nil: metrics are counted, not shown
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
	lanes []*lane

	hooksHTTP *http.Client
	crowds    []*crowd

	mails    *prometheus.CounterVec
	archived *prometheus.CounterVec
	called   *prometheus.CounterVec
	app      *prometheus.CounterVec
	took     prometheus.Histogram
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
	w := &Worker{
		cfg: cfg, from: *from, words: words,
		mails: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "nodogate_mails_total", Help: "Mails to families, by template and by what became of the try.",
		}, []string{"template", "outcome"}),
		archived: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "nodogate_aca_updates_total", Help: "Updates of pagoPA's archive of notices, by what became of the try.",
		}, []string{"outcome"}),
		called: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "nodogate_webhook_deliveries_total", Help: "Calls of webhooks, by what became of the try.",
		}, []string{"outcome"}),
		app: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "nodogate_appio_messages_total", Help: "Messages in App IO, by template and by what became of the try.",
		}, []string{"template", "outcome"}),
		took: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "nodogate_webhook_duration_seconds", Help: "Time that webhooks take to answer.", Buckets: prometheus.DefBuckets,
		}),
		hooksHTTP: egress.Client(atOnce, cfg.AllowPrivate),
		crowds:    []*crowd{newCrowd(kindWebhook)},
	}
	for _, kind := range []string{kindEvent, kindMail, kindCampaign} {
		w.lanes = append(w.lanes, &lane{kind: kind, wake: make(chan struct{}, 1)})
	}
	if cfg.Archive != nil {
		w.lanes = append(w.lanes, &lane{kind: kindArchive, rests: true, wake: make(chan struct{}, 1)})
	}
	if cfg.AppIO != nil {
		w.crowds = append(w.crowds, newCrowd(kindApp))
	}
	// Every series exists from the start: an alarm on an increase would miss the
	// first of a series that appears with the value 1.
	for _, o := range []outcome{sent, dropped, retried, parked} {
		for _, t := range append(templateNames, templateUnknown) {
			w.mails.WithLabelValues(t, string(o))
		}
		for _, t := range append(noticeMails, templateUnknown) {
			w.app.WithLabelValues(t, string(o))
		}
		w.archived.WithLabelValues(string(o))
		w.called.WithLabelValues(string(o))
	}
	w.archived.WithLabelValues(string(refused))
	for _, t := range noticeMails {
		w.app.WithLabelValues(t, string(refused))
	}
	if cfg.Reg != nil {
		cfg.Reg.MustRegister(w.mails, w.app, w.archived, w.called, w.took)
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
	var g errgroup.Group
	for _, l := range w.lanes {
		g.Go(func() error {
			w.runLane(ctx, l)
			return nil
		})
	}
	for _, c := range w.crowds {
		g.Go(func() error {
			w.runCrowd(ctx, c)
			return nil
		})
	}
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick:
			w.wake()
		}
	}
	return g.Wait()
}

// wake rouses the lanes that are idle.
func (w *Worker) wake() {
	for _, l := range w.lanes {
		rouse(l.wake)
	}
	for _, c := range w.crowds {
		rouse(c.wake)
	}
}

func rouse(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // roused already
	}
}

func (w *Worker) runLane(ctx context.Context, l *lane) {
	for ctx.Err() == nil {
		n, err := w.claimAndWork(ctx, l)
		if err != nil && ctx.Err() == nil {
			w.cfg.Log.Error("deliver the outbox", "kind", l.kind, "err", err)
		}
		if n > 0 && err == nil {
			if l.kind == kindEvent {
				w.wake() // what was fanned out need not wait for the next tick
			}
			continue // there may be more
		}
		select {
		case <-ctx.Done():
		case <-l.wake:
		}
	}
}

func (w *Worker) claimAndWork(ctx context.Context, l *lane) (int, error) {
	b, err := w.claim(ctx, l)
	if err != nil {
		return 0, err
	}
	return len(b.list), w.work(ctx, b)
}

// Once claims what is due in each lane, works it, and says how many messages
// that were. An error is the database's; a message that cannot be delivered is
// not one.
func (w *Worker) Once(ctx context.Context) (int, error) {
	var claimed []batchOf
	var errs []error
	total := 0
	lanes := slices.Clone(w.lanes)
	for _, c := range w.crowds {
		waiting, err := c.waiting(ctx, w.cfg.Outbox)
		if err != nil {
			return 0, err
		}
		lanes = append(lanes, waiting...)
	}
	for _, l := range lanes {
		b, err := w.claim(ctx, l)
		claimed, errs = append(claimed, b), append(errs, err)
		total += len(b.list)
	}
	var g errgroup.Group
	worked := make([]error, len(claimed))
	for i, b := range claimed {
		g.Go(func() error {
			worked[i] = w.work(ctx, b)
			return nil
		})
	}
	_ = g.Wait() // the errors are in worked, all of them
	return total, errors.Join(append(errs, worked...)...)
}

// batchOf is what was claimed of a lane.
type batchOf struct {
	lane  *lane
	list  []gateway.Claimed
	until time.Time // of the claim
}

func (w *Worker) claim(ctx context.Context, l *lane) (batchOf, error) {
	now := w.cfg.Service.Now()
	b := batchOf{lane: l, until: now.Add(lease)}
	limit := l.limit(now)
	if limit == 0 {
		return b, nil
	}
	var err error
	b.list, err = w.cfg.Outbox.ClaimMessages(ctx, l.kind, l.target, now, lease, limit)
	return b, err
}

func (w *Worker) work(ctx context.Context, b batchOf) error {
	// Of one kind, target and aggregate at most one row is claimed: these may go
	// in any order.
	var g errgroup.Group
	g.SetLimit(atOnce)
	errs := make([]error, len(b.list))
	for i, m := range b.list {
		g.Go(func() error {
			errs[i] = w.deliver(ctx, b.lane, m, b.until)
			return nil
		})
	}
	_ = g.Wait() // the errors are in errs, all of them
	return errors.Join(errs...)
}

// outcome is what became of one try. A metric's label: never renamed.
type outcome string

const (
	sent    outcome = "sent"
	dropped outcome = "dropped" // there is nobody, or nothing, to tell any more
	refused outcome = "refused" // the other side does not want it, and said so
	retried outcome = "retried"
	parked  outcome = "parked"
)

// ErrPermanent says that trying again cannot help.
var ErrPermanent = errors.New("permanent failure")

// deliver works one message and writes down what became of it. Shutting down
// does not interrupt it: a mail cut short may be sent or not.
func (w *Worker) deliver(ctx context.Context, l *lane, m gateway.Claimed, leaseUntil time.Time) error {
	end, cancelEnd := context.WithTimeout(context.WithoutCancel(ctx), workTime+endTime)
	defer cancelEnd()
	now := w.cfg.Service.Now()
	if ctx.Err() != nil || now.Add(workTime+endTime).After(leaseUntil) || l.limit(now) == 0 {
		// It could still be at work when another worker claims it, or the lane
		// began to rest meanwhile.
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
	case m.Kind == kindApp:
		result, err = guard(w, m, func() (outcome, error) { return w.sendApp(work, m.Message, &template) })
	case m.Kind == kindArchive:
		result, err = guard(w, m, func() (outcome, error) { return w.mirror(work, m.Message) })
	case m.Kind == kindWebhook:
		result, err = guard(w, m, func() (outcome, error) { return w.call(work, m) })
	case m.Kind == kindCampaign:
		next, err = guard(w, m, func() ([]gateway.Message, error) { return w.cfg.Service.ContinueCampaign(work, m.Payload) })
	default:
		err = errors.New("unknown kind of message")
	}
	now = w.cfg.Service.Now()
	l.note(err, now)
	switch {
	case err == nil:
		err = w.cfg.Outbox.FinishInto(end, m.ID, now, next)
	case m.Tries >= maxTries || errors.Is(err, ErrPermanent):
		result = parked
		// A school sees, and replays, what its own program did not take.
		level := slog.LevelError
		if m.Kind == kindWebhook {
			level = slog.LevelWarn
		}
		w.cfg.Log.Log(end, level, "message parked: a person must look at it", "id", m.ID, "kind", m.Kind, "tries", m.Tries, "err", err)
		err = w.cfg.Outbox.ParkMessage(end, m.ID, now)
		if m.Kind == kindCampaign {
			err = errors.Join(err, w.cfg.Service.GiveUpCampaign(end, m.Payload))
		}
	default:
		result = retried
		wait := w.wait(m.Tries)
		if later := new(laterError); errors.As(err, &later) {
			wait = max(wait, later.after)
		}
		w.cfg.Log.Warn("message not delivered", "id", m.ID, "kind", m.Kind, "tries", m.Tries, "again_in", wait.String(), "err", err)
		err = w.cfg.Outbox.RetryMessage(end, m.ID, now.Add(wait))
	}
	if template == "" {
		template = templateUnknown
	}
	switch m.Kind {
	case kindMail:
		w.mails.WithLabelValues(template, string(result)).Inc()
	case kindApp:
		w.app.WithLabelValues(template, string(result)).Inc()
	case kindArchive:
		w.archived.WithLabelValues(string(result)).Inc()
	case kindWebhook:
		w.called.WithLabelValues(string(result)).Inc()
	}
	return err
}

// guard turns a panic into an error: one message must not stop a gateway.
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
