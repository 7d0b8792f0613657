// SPDX-License-Identifier: Apache-2.0

package iuv

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
)

// counters is a Source in memory, as the store's table of counters is one on
// disk. Several allocators may share it.
type counters struct {
	mu     sync.Mutex
	next   map[place]uint64
	leases int
}

func (c *counters) Lease(ctx context.Context, school string, seg Segregation, n uint64) (Lease, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.next == nil {
		c.next = make(map[place]uint64)
	}
	first := c.next[place{school, seg}]
	c.next[place{school, seg}] += n
	c.leases++
	return Lease{Key: testKey(seg.code), First: first, N: n}, nil
}

type sourceFunc func(ctx context.Context, school string, seg Segregation, n uint64) (Lease, error)

func (f sourceFunc) Lease(ctx context.Context, school string, seg Segregation, n uint64) (Lease, error) {
	return f(ctx, school, seg, n)
}

// Eight processes issue for one school at once, in small and large requests
// that end before, at and after the ends of their blocks: no twin in a million
// numbers. NODOGATE_TEST_LONG makes it ten millions.
func TestAllocatorsNeverGiveATwin(t *testing.T) {
	t.Parallel()
	total := 1_000_000
	switch {
	case os.Getenv("NODOGATE_TEST_LONG") != "":
		total = 10_000_000
	case raceEnabled:
		total = 80_000
	}
	const processes, callers = 8, 2 // two callers in each process
	share := total / processes / callers
	seg := segregation(t, "01")
	src := &counters{}

	given := make([][]uint64, processes*callers)
	var wg sync.WaitGroup
	for process := range processes {
		allocator := NewAllocator(src, 1000)
		for caller := range callers {
			wg.Go(func() {
				which := process*callers + caller
				random := rand.New(rand.NewPCG(7, uint64(which)))
				mine := make([]uint64, 0, share)
				for len(mine) < share {
					n := min(1+random.IntN(100), share-len(mine))
					if random.IntN(50) == 0 {
						n = min(1000+random.IntN(2000), share-len(mine))
					}
					numbers, err := allocator.Next(t.Context(), "80014480828", seg, n)
					if err != nil || len(numbers) != n {
						t.Errorf("Next(%d) = %d numbers, %v", n, len(numbers), err)
						return
					}
					for _, number := range numbers {
						if number.Segregation() != "01" || !number.CheckOK() {
							t.Errorf("Next gave %s", number)
						}
						mine = append(mine, digits(number.String()))
					}
				}
				given[which] = mine
			})
		}
	}
	wg.Wait()

	all := slices.Concat(given...)
	if len(all) != share*processes*callers {
		t.Fatalf("%d numbers, want %d", len(all), share*processes*callers)
	}
	slices.Sort(all)
	if distinct := len(slices.Compact(all)); distinct != share*processes*callers {
		t.Errorf("%d numbers, only %d distinct", share*processes*callers, distinct)
	}
	if worst := total / 500; src.leases > worst {
		t.Errorf("%d leases for %d numbers, want at most %d", src.leases, total, worst)
	}
}

// The counters come in order and pass through the key's permutation.
func TestAllocatorFollowsTheCounters(t *testing.T) {
	t.Parallel()
	seg := segregation(t, "05")
	src := &counters{}
	allocator := NewAllocator(src, 10)
	permutation := NewPermutation(testKey(5))
	var counter uint64
	for _, step := range []struct{ n, leases int }{
		{0, 0},  // nothing asked, nothing leased
		{1, 1},  // a block of 10
		{9, 1},  // to its very end
		{4, 2},  // a block
		{7, 3},  // 6 that are left and one of a new block
		{30, 4}, // 9 that are left and 21 leased as one
		{1, 5},
	} {
		numbers, err := allocator.Next(t.Context(), "80014480828", seg, step.n)
		if err != nil || len(numbers) != step.n || src.leases != step.leases {
			t.Fatalf("Next(%d) = %d numbers, %v, after %d leases, want %d leases", step.n, len(numbers), err, src.leases, step.leases)
		}
		for _, got := range numbers {
			if want := New(seg, permutation.Encrypt(counter)); got != want {
				t.Fatalf("counter %d gave %s, want %s", counter, got, want)
			}
			counter++
		}
	}
}

// The same counters of two schools, or of two codes of one school, are leased
// apart.
func TestAllocatorKeepsPlacesApart(t *testing.T) {
	t.Parallel()
	src := &counters{}
	allocator := NewAllocator(src, 10)
	seen := map[Number]bool{}
	for _, seg := range []string{"00", "01"} {
		for _, school := range []string{"80014480828", "80014480829"} {
			numbers, err := allocator.Next(t.Context(), school, segregation(t, seg), 5)
			if err != nil || numbers[0].Segregation() != seg {
				t.Fatalf("Next(%s, %s) = %v, %v", school, seg, numbers, err)
			}
			for _, n := range numbers {
				seen[n] = true
			}
		}
	}
	// One key per code here, so the second school repeats the first: a number is
	// unique within a school only.
	if len(seen) != 10 || src.leases != 4 {
		t.Errorf("%d distinct numbers from %d leases, want 10 from 4", len(seen), src.leases)
	}
}

// A lease that fails gives no number, costs nothing that was left, and the next
// call tries again.
func TestAllocatorAfterAFailedLease(t *testing.T) {
	t.Parallel()
	sick := errors.New("database away")
	var fail bool
	src := &counters{}
	allocator := NewAllocator(sourceFunc(func(ctx context.Context, school string, seg Segregation, n uint64) (Lease, error) {
		lease, err := src.Lease(ctx, school, seg, n)
		if fail {
			return Lease{}, sick // committed, and its answer lost: the block is lost
		}
		return lease, err
	}), 10)
	next := func(n int) ([]Number, error) { return allocator.Next(t.Context(), "80014480828", Segregation{}, n) }

	all, err := next(4)
	if err != nil {
		t.Fatal(err)
	}
	fail = true
	if numbers, err := next(7); !errors.Is(err, sick) || numbers != nil {
		t.Fatalf("Next with a sick source = %v, %v, want %v", numbers, err, sick)
	}
	more, err := next(6) // still left of the first block
	if err != nil || src.leases != 2 {
		t.Fatalf("Next(6) = %v, %v after %d leases", more, err, src.leases)
	}
	all = append(all, more...)
	fail = false
	if more, err = next(10); err != nil {
		t.Fatal(err)
	}
	all = append(all, more...)

	permutation := NewPermutation(testKey(0))
	for i, n := range all {
		counter := permutation.Decrypt(digits(n.String()[3:16]))
		want := uint64(i)
		if i >= 10 {
			want += 10 // 10 to 19 are lost
		}
		if counter != want {
			t.Errorf("number %d comes from counter %d, want %d", i, counter, want)
		}
	}
}

func TestAllocatorWaitsNoLongerThanItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := &counters{}
		release := make(chan struct{})
		allocator := NewAllocator(sourceFunc(func(ctx context.Context, school string, seg Segregation, n uint64) (Lease, error) {
			if school == "slow" && seg == (Segregation{}) {
				select {
				case <-release:
				case <-ctx.Done():
					return Lease{}, ctx.Err()
				}
			}
			return src.Lease(ctx, school, seg, n)
		}), 10)

		var first []Number
		done := make(chan struct{})
		go func() {
			defer close(done)
			var err error
			if first, err = allocator.Next(t.Context(), "slow", Segregation{}, 3); err != nil {
				t.Errorf("the slow lease: %v", err)
			}
		}()
		synctest.Wait() // it holds the turn of its school

		if numbers, err := allocator.Next(t.Context(), "quick", Segregation{}, 3); err != nil || len(numbers) != 3 {
			t.Errorf("Next of another school = %v, %v", numbers, err)
		}
		if numbers, err := allocator.Next(t.Context(), "slow", Segregation{1}, 3); err != nil || len(numbers) != 3 {
			t.Errorf("Next of another code = %v, %v", numbers, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if numbers, err := allocator.Next(ctx, "slow", Segregation{}, 3); !errors.Is(err, context.Canceled) || numbers != nil {
			t.Errorf("Next behind a slow lease = %v, %v, want %v", numbers, err, context.Canceled)
		}

		close(release)
		<-done
		rest, err := allocator.Next(t.Context(), "slow", Segregation{}, 7)
		if err != nil {
			t.Fatal(err)
		}
		all := append(first, rest...)
		distinct := map[Number]bool{}
		for _, n := range all {
			distinct[n] = true
		}
		if len(distinct) != 10 {
			t.Errorf("twins among %v", all)
		}
	})
}

func TestAllocatorExhausted(t *testing.T) {
	t.Parallel()
	at := place{"80014480828", Segregation{1}}
	for _, tt := range []struct {
		start uint64
		n     int
		ok    bool
	}{
		{Bases - 1, 1, true},
		{Bases - 1, 2, false},
		{Bases, 1, false},
		{Bases + 1, 1, false},
		{1<<64 - 100, 1, false},
		{Bases - 100, 100, true},
		{Bases - 100, 101, false},
	} {
		allocator := NewAllocator(&counters{next: map[place]uint64{at: tt.start}}, 50)
		numbers, err := allocator.Next(t.Context(), at.school, at.seg, tt.n)
		if tt.ok {
			if err != nil || len(numbers) != tt.n {
				t.Errorf("from %d: Next(%d) = %d numbers, %v", tt.start, tt.n, len(numbers), err)
			}
			numbers, err = allocator.Next(t.Context(), at.school, at.seg, 1)
		}
		if !errors.Is(err, ErrExhausted) || numbers != nil {
			t.Errorf("from %d: after the last counter, %v, %v, want %v", tt.start, numbers, err, ErrExhausted)
		}
	}
}

// A single notice and a class list, in time and memory per number.
func BenchmarkAllocator(b *testing.B) {
	for _, n := range []int{1, 1000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			b.ReportAllocs()
			allocator := NewAllocator(&counters{}, 1000)
			for b.Loop() {
				if _, err := allocator.Next(b.Context(), "80014480828", Segregation{}, n); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
