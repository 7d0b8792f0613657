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
	busy  atomic.Bool   // of a crowd's: somebody is at it

	mu       sync.Mutex // guards what follows
	failures int        // in a row
	until    time.Time  // it rests until then
}

// crowd is the lanes of a kind of messages that have a receiver each: another
// one's trouble is none of theirs.
type crowd struct {
	kind string
	wake chan struct{} // holds one

	mu    sync.Mutex       // guards what follows
	lanes map[string]*lane // of the receivers that messages wait for
	turn  int              // which of them begins
}

func newCrowd(kind string) *crowd {
	return &crowd{kind: kind, wake: make(chan struct{}, 1), lanes: map[string]*lane{}}
}

// waiting are the lanes of the receivers that messages wait for, another first
// each time. What is not waited for any more is forgotten.
func (c *crowd) waiting(ctx context.Context, outbox Outbox) ([]*lane, error) {
	targets, err := outbox.Targets(ctx, c.kind)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	waiting := make(map[string]*lane, len(targets))
	list := make([]*lane, len(targets))
	for i, target := range targets {
		l := c.lanes[target]
		if l == nil {
			l = &lane{kind: c.kind, target: target, rests: true}
		}
		list[i], waiting[target] = l, l
	}
	for target, l := range c.lanes {
		if waiting[target] == nil && l.busy.Load() {
			waiting[target] = l // it is at its last messages
		}
	}
	c.lanes = waiting
	if len(list) > 0 {
		c.turn++
		from := c.turn % len(list)
		list = slices.Concat(list[from:], list[:from])
	}
	return list, nil
}

// crowdAtOnce is how many receivers of a kind are called at once.
const crowdAtOnce = 32

// runCrowd works the receivers until ctx ends, each by itself: the slow ones keep
// their own messages waiting.
func (w *Worker) runCrowd(ctx context.Context, c *crowd) {
	var g sync.WaitGroup
	defer g.Wait()
	free := make(chan struct{}, crowdAtOnce)
	for ctx.Err() == nil {
		lanes, err := c.waiting(ctx, w.cfg.Outbox)
		if err != nil && ctx.Err() == nil {
			w.cfg.Log.Error("deliver the outbox", "kind", c.kind, "err", err)
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
					w.cfg.Log.Error("deliver the outbox", "kind", c.kind, "err", err)
				}
				l.busy.Store(false)
				<-free
				if n > 0 && err == nil {
					rouse(c.wake) // there may be more
				}
			})
		}
		select {
		case <-ctx.Done():
		case <-c.wake:
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
