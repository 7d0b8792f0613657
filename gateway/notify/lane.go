// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// lane is the messages of one kind for one receiver.
type lane struct {
	kind, target string
	// rests: when its receiver fails again and again the lane rests, so that a
	// receiver that is away does not use up the tries of all that waits for it.
	rests bool
	wake  chan struct{} // holds one; nil where others look after the lane
	busy  atomic.Bool   // of a webhook's: somebody is at it

	mu       sync.Mutex // guards what follows
	failures int        // in a row
	until    time.Time  // it rests until then
}

// hookLanes are the lanes of the webhooks that messages wait for, another first
// each time. What is not waited for any more is forgotten.
func (w *Worker) hookLanes(ctx context.Context) ([]*lane, error) {
	targets, err := w.cfg.Outbox.Targets(ctx, kindWebhook)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	waiting := make(map[string]*lane, len(targets))
	list := make([]*lane, len(targets))
	for i, target := range targets {
		l := w.hooks[target]
		if l == nil {
			l = &lane{kind: kindWebhook, target: target, rests: true}
		}
		list[i], waiting[target] = l, l
	}
	for target, l := range w.hooks {
		if waiting[target] == nil && l.busy.Load() {
			waiting[target] = l // it is at its last messages
		}
	}
	w.hooks = waiting
	if len(list) > 0 {
		w.turn++
		from := w.turn % len(list)
		list = slices.Concat(list[from:], list[:from])
	}
	return list, nil
}

// hooksAtOnce is how many webhooks are called at once.
const hooksAtOnce = 32

// runHooks works the webhooks until ctx ends, each by itself: the slow ones keep
// their own messages waiting.
func (w *Worker) runHooks(ctx context.Context) {
	var g sync.WaitGroup
	defer g.Wait()
	free := make(chan struct{}, hooksAtOnce)
	for ctx.Err() == nil {
		lanes, err := w.hookLanes(ctx)
		if err != nil && ctx.Err() == nil {
			w.cfg.Log.Error("deliver the outbox", "kind", kindWebhook, "err", err)
		}
		for _, l := range lanes {
			if !l.busy.CompareAndSwap(false, true) {
				continue
			}
			select {
			case free <- struct{}{}:
			case <-ctx.Done():
				l.busy.Store(false)
				return
			}
			g.Go(func() {
				n, err := w.claimAndWork(ctx, l)
				if err != nil && ctx.Err() == nil {
					w.cfg.Log.Error("deliver the outbox", "kind", kindWebhook, "err", err)
				}
				l.busy.Store(false)
				<-free
				if n > 0 && err == nil {
					rouse(w.wakeHooks) // there may be more
				}
			})
		}
		select {
		case <-ctx.Done():
		case <-w.wakeHooks:
		}
	}
}

// How a lane rests: as the breakers of PSPs do.
const (
	failuresToRest = 5
	rest           = 30 * time.Second
)

// limit is how many messages may be claimed now: none while it rests, one to see
// whether the receiver is back.
func (l *lane) limit(now time.Time) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case now.Before(l.until):
		return 0
	case l.failures >= failuresToRest:
		return 1
	}
	return batch
}

// note takes how a try ended. What was refused for good, and what succeeded,
// shows that the receiver answers.
func (l *lane) note(err error, now time.Time) {
	if !l.rests {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil || errors.Is(err, ErrPermanent) {
		l.failures, l.until = 0, time.Time{}
		return
	}
	if l.failures++; l.failures >= failuresToRest {
		l.until = now.Add(rest)
	}
	if later := new(laterError); errors.As(err, &later) && l.until.Before(now.Add(later.after)) {
		l.until = now.Add(later.after)
	}
}

// laterError says that the receiver asked to be left alone for a while.
type laterError struct {
	error
	after time.Duration
}

func (e *laterError) Unwrap() error { return e.error }

// mostLater bounds what a receiver may ask for.
const mostLater = time.Hour

// later reads a Retry-After in seconds; the dates that RFC 9110 allows too are
// not used by those we call.
func later(err error, retryAfter string) error {
	var seconds int
	if _, scan := fmt.Sscanf(retryAfter, "%d", &seconds); scan != nil || seconds <= 0 {
		return err
	}
	return &laterError{err, min(time.Duration(seconds)*time.Second, mostLater)}
}
