// SPDX-License-Identifier: Apache-2.0

package iuv

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// ErrExhausted says that a school's segregation code has no counter left.
var ErrExhausted = errors.New("iuv: no number left for this segregation code")

// Source leases blocks of counters. The store implements it.
type Source interface {
	// Lease takes the next n counters of a school's segregation code for the
	// caller alone: no counter is ever leased twice, not to another process and
	// not after a crash, so the counter is moved and committed before the block is
	// returned. The key is the same at every lease of one school and code. Counters
	// whose lease was lost (an error, a cancelled ctx, an answer that never came)
	// stay lost. A Source may run past Bases; the Allocator does not.
	Lease(ctx context.Context, school string, seg Segregation, n uint64) (Lease, error)
}

// Lease is a block of counters, First to First+N-1, with the key of the
// [Permutation] they go through. The key is secret.
type Lease struct {
	Key      [32]byte
	First, N uint64
}

// Allocator makes new notice numbers out of leased counters, so that issuing
// costs a round trip per block rather than per notice, and any number of
// processes issue for one school without meeting. A process that stops loses
// what is left of its blocks: of 10^13 counters, that is nothing.
//
// It is safe for concurrent use. Callers of one (school, segregation code) take
// turns; a slow lease makes nobody else wait.
//
// It remembers each (school, segregation code) it has seen for good, in about
// 1 kB: 10,000 schools are 10 MB. So the school given must be one that exists,
// never a text from outside.
type Allocator struct {
	src   Source
	block uint64

	mu     sync.Mutex
	stocks map[place]*stock // guarded by mu; entries are only added
}

type place struct {
	school string
	seg    Segregation
}

// stock is the unused rest of the last lease of one place.
type stock struct {
	// turn is full while somebody uses what is below. A channel rather than a
	// mutex, because whoever waits behind a slow lease has a deadline of its own.
	turn chan struct{}

	bases *Permutation
	next  uint64
	left  uint64
}

// NewAllocator makes an allocator that leases at least block counters at once.
func NewAllocator(src Source, block uint64) *Allocator {
	return &Allocator{src: src, block: block, stocks: make(map[place]*stock)}
}

// Next makes n notice numbers that nobody was or will be given. If the rest of
// the last block does not do, it leases one more block, large enough. On an
// error there are no numbers: it wraps what the Source said, or ctx's error if
// that came while waiting for the turn, or ErrExhausted. The caller bounds n: the
// numbers are all in memory at once. A negative n panics.
func (a *Allocator) Next(ctx context.Context, school string, seg Segregation, n int) ([]Number, error) {
	numbers := make([]Number, 0, n)
	s := a.stock(place{school, seg})
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return nil, fmt.Errorf("wait to lease notice numbers: %w", ctx.Err())
	}

	if missing := uint64(n) - min(uint64(n), s.left); missing > 0 {
		lease, err := a.src.Lease(ctx, school, seg, max(a.block, missing))
		if err != nil {
			return nil, fmt.Errorf("lease notice numbers: %w", err)
		}
		usable := min(lease.N, Bases-min(lease.First, Bases))
		if usable < missing {
			return nil, ErrExhausted
		}
		numbers = s.take(numbers, seg, s.left)
		s.bases, s.next, s.left = NewPermutation(lease.Key), lease.First, usable
	}
	return s.take(numbers, seg, uint64(n-len(numbers))), nil
}

// stock finds or makes the stock of a place.
func (a *Allocator) stock(p place) *stock {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.stocks[p]
	if s == nil {
		s = &stock{turn: make(chan struct{}, 1)}
		a.stocks[p] = s
	}
	return s
}

// take appends the next n numbers of the stock. The caller has the turn and
// knows that n are left.
func (s *stock) take(numbers []Number, seg Segregation, n uint64) []Number {
	for range n {
		numbers = append(numbers, New(seg, s.bases.Encrypt(s.next)))
		s.next++
		s.left--
	}
	return numbers
}
