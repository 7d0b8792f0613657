// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// lane is the messages of one kind for one receiver.
type lane struct {
	kind, target string
	// rests: when its receiver fails again and again the lane rests, so that a
	// receiver that is away does not use up the tries of all that waits for it.
	rests bool
	wake  chan struct{} // holds one

	mu       sync.Mutex // guards what follows
	failures int        // in a row
	until    time.Time  // it rests until then
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
