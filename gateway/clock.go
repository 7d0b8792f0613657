// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"sync/atomic"
	"time"
)

// Clock gives the time to everything in the gateway: UTC, cut to microseconds
// (the grain of PostgreSQL), never going back. A machine whose clock is stepped
// back would otherwise reopen notices and lengthen tokens.
type Clock struct {
	now  func() time.Time
	mark atomic.Int64 // highest instant given so far, in Unix microseconds
}

// NewClock reads now, and never gives an instant before floor, which is the
// mark stored by an earlier run; the zero time is no floor.
func NewClock(now func() time.Time, floor time.Time) *Clock {
	c := &Clock{now: now}
	if !floor.IsZero() {
		c.mark.Store(floor.UnixMicro())
	}
	return c
}

// Now is the current instant.
func (c *Clock) Now() time.Time {
	t := c.now().UnixMicro()
	for {
		mark := c.mark.Load()
		if t <= mark {
			return time.UnixMicro(mark).UTC()
		}
		if c.mark.CompareAndSwap(mark, t) {
			return time.UnixMicro(t).UTC()
		}
	}
}
