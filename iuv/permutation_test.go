// SPDX-License-Identifier: Apache-2.0

package iuv

import (
	"math/rand/v2"
	"testing"
)

// The known answers were computed by another program from the definition. They
// must never change: numbers already printed for families depend on it.
func TestPermutationKnownAnswers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		key           [32]byte
		counter, base uint64
	}{
		{[32]byte{}, 0, 1953666823088},
		{[32]byte{}, 1, 8494877263367},
		{[32]byte{}, 2, 8338800941344},
		{[32]byte{}, 41, 5497217744023},
		{[32]byte{}, 1000000, 7211022523702},
		{[32]byte{}, Bases / 2, 9793084237221},
		{[32]byte{}, Bases - 1, 290008392776},
		{testKey(0), 0, 7558948237212},
		{testKey(0), 1, 2559985187632},
		{testKey(0), 2, 2048561098751},
		{testKey(0), 41, 6062689893044},
		{testKey(0), 1000000, 4683609856286},
		{testKey(0), Bases / 2, 1624529574876},
		{testKey(0), Bases - 1, 944926834646},
		{testKey(224), 0, 1410643470367},
		{testKey(224), 1, 3747097838422},
		{testKey(224), 2, 5235856612114},
		{testKey(224), 41, 9591314050003},
		{testKey(224), 1000000, 9696251836256},
		{testKey(224), Bases / 2, 5427941112713},
		{testKey(224), Bases - 1, 6798381276278},
	} {
		p := NewPermutation(tt.key)
		if got := p.Encrypt(tt.counter); got != tt.base {
			t.Errorf("key %x: Encrypt(%d) = %d, want %d", tt.key[:4], tt.counter, got, tt.base)
		}
		if got := p.Decrypt(tt.base); got != tt.counter {
			t.Errorf("key %x: Decrypt(%d) = %d, want %d", tt.key[:4], tt.base, got, tt.counter)
		}
	}
}

// The same code on domains small enough to go through: every number is reached
// once. The sizes stand just below, on and above the powers of two and of four,
// where the halves grow and the walks are longest.
func TestPermutationIsABijection(t *testing.T) {
	t.Parallel()
	for _, domain := range []uint64{1, 2, 3, 4, 5, 10, 15, 16, 17, 63, 64, 65, 93, 255, 256, 257, 1000, 4095, 4096, 4097, 10_000, 16_385} {
		for _, key := range [][32]byte{testKey(0), testKey(1), testKey(2)} {
			p := newPermutation(key, domain)
			seen := make([]bool, domain)
			for x := range domain {
				y := p.Encrypt(x)
				if y >= domain || seen[y] {
					t.Fatalf("domain %d: Encrypt(%d) = %d, out of the domain or reached before", domain, x, y)
				}
				seen[y] = true
				if back := p.Decrypt(y); back != x {
					t.Fatalf("domain %d: Decrypt(Encrypt(%d)) = %d", domain, x, back)
				}
			}
		}
	}
}

func TestPermutationRoundTrip(t *testing.T) {
	t.Parallel()
	p := NewPermutation(testKey(1))
	random := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		x := random.Uint64N(Bases)
		y := p.Encrypt(x)
		if y >= Bases || p.Decrypt(y) != x {
			t.Fatalf("Encrypt(%d) = %d, Decrypt gives %d", x, y, p.Decrypt(y))
		}
	}
}

// Neighbours land anywhere: over 100,000 counters each tenth of the range gets
// its share, and the step from one to the next goes up as often as down.
func TestPermutationHidesNeighbours(t *testing.T) {
	t.Parallel()
	const n = 100_000
	p := NewPermutation(testKey(3))
	var tenths [10]int
	var up int
	last := p.Encrypt(n)
	for x := range uint64(n) {
		y := p.Encrypt(x)
		tenths[y/(Bases/10)]++
		if y > last {
			up++
		}
		last = y
	}
	for i, got := range tenths {
		if got < n/10-600 || got > n/10+600 { // six standard deviations
			t.Errorf("%d of %d counters in tenth %d", got, n, i)
		}
	}
	if up < n/2-600 || up > n/2+600 {
		t.Errorf("%d of %d counters lie above the one before", up, n)
	}
}

func TestPermutationDependsOnEveryKeyByte(t *testing.T) {
	t.Parallel()
	same := NewPermutation(testKey(0)).Encrypt(0)
	for i := range 32 {
		key := testKey(0)
		key[i] ^= 1
		if NewPermutation(key).Encrypt(0) == same {
			t.Errorf("byte %d of the key changes nothing", i)
		}
	}
}

func TestPermutationRefusesWhatIsOutside(t *testing.T) {
	t.Parallel()
	p := NewPermutation(testKey(0))
	for name, f := range map[string]func(uint64) uint64{"Encrypt": p.Encrypt, "Decrypt": p.Decrypt} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s(Bases) did not panic", name)
				}
			}()
			f(Bases)
		}()
	}
}

func TestPermutationDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("under -race a sync.Pool drops some of what it is given")
	}
	p := NewPermutation(testKey(0))
	var x uint64
	if got := testing.AllocsPerRun(1000, func() { x = p.Encrypt(x) }); got != 0 {
		t.Errorf("Encrypt allocates %v times, want 0", got)
	}
}

func FuzzPermutation(f *testing.F) {
	f.Add([]byte("a key"), uint64(0), uint64(Bases))
	f.Add([]byte(""), uint64(Bases-1), uint64(1))
	f.Fuzz(func(t *testing.T, seed []byte, x, domain uint64) {
		domain = domain%Bases + 1
		x %= domain
		var key [32]byte
		copy(key[:], seed)
		p := newPermutation(key, domain)
		y := p.Encrypt(x)
		if y >= domain || p.Decrypt(y) != x {
			t.Errorf("domain %d: Encrypt(%d) = %d, Decrypt gives %d", domain, x, y, p.Decrypt(y))
		}
	})
}

func BenchmarkPermutation(b *testing.B) {
	b.ReportAllocs()
	p := NewPermutation(testKey(0))
	for i := range b.N {
		p.Encrypt(uint64(i))
	}
}

// testKey is 32 bytes counting up from first.
func testKey(first byte) (key [32]byte) {
	for i := range key {
		key[i] = first + byte(i)
	}
	return key
}
