// SPDX-License-Identifier: Apache-2.0

package iuv

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"math/bits"
	"sync"
)

// rounds of the Feistel network. Four make a strong permutation in theory
// (Luby and Rackoff); ten is what NIST SP 800-38G asks of FF1, whose halves are
// as small as ours.
const rounds = 10

// Permutation shuffles the numbers from 0 to Bases-1 under a key. A counter
// passed through it gives bases that are unique because the counter is, and that
// tell nobody how many notices a school has issued, nor the number of the
// pupil in the next desk.
//
// Why no two counters give one base. One Feistel round sends (left, right) to
// (right, left XOR f(right)); whatever f is, the round is undone by computing
// f(right) again, so each round, and all of them in a row, is a bijection of the
// 44-bit numbers. These are more than Bases, so a result of Bases or more is
// passed through again until it is less (cycle walking). A bijection of a finite
// set moves everything along closed cycles: starting below Bases, the walk comes
// back below Bases at the latest at its own start, and the first such number
// after x is the first for no other x. That is a bijection of [0, Bases). Since
// 2^44 is 1.76 times Bases, a walk takes 1.76 steps on average.
//
// The key is for nothing else and is never changed: under another key, old and
// new counters could meet in one base, and the notice number would not be
// unique. For the same reason nothing here may ever compute otherwise; a test
// holds it to known answers.
//
// It is safe for concurrent use.
type Permutation struct {
	block    cipher.Block
	domain   uint64
	halfBits uint
	// buffers holds *[aes.BlockSize]byte. A buffer on the stack would escape
	// through the cipher.Block interface, an allocation for every number.
	buffers sync.Pool
}

// NewPermutation makes the permutation of a key.
func NewPermutation(key [32]byte) *Permutation { return newPermutation(key, Bases) }

// newPermutation takes the size of the domain, so that tests can go through the
// whole of a small one.
func newPermutation(key [32]byte, domain uint64) *Permutation {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err) // only a wrong key length, and the type rules that out
	}
	return &Permutation{
		block:    block,
		domain:   domain,
		halfBits: uint(bits.Len64(domain-1)+1) / 2,
		buffers:  sync.Pool{New: func() any { return new([aes.BlockSize]byte) }},
	}
}

// Encrypt gives the base of a counter. A counter of Bases or more is a
// programmer's mistake: panic.
func (p *Permutation) Encrypt(counter uint64) uint64 {
	return p.walk(counter, (*Permutation).forward)
}

// Decrypt gives the counter of a base, for tests and support: it tells when,
// among a school's notices, a number was allotted.
func (p *Permutation) Decrypt(base uint64) uint64 {
	return p.walk(base, (*Permutation).backward)
}

// walk steps until the number is in the domain again.
func (p *Permutation) walk(x uint64, step func(*Permutation, uint64, *[aes.BlockSize]byte) uint64) uint64 {
	if x >= p.domain {
		panic("iuv: number outside the permutation")
	}
	buf := p.buffers.Get().(*[aes.BlockSize]byte)
	defer p.buffers.Put(buf)
	for {
		if x = step(p, x, buf); x < p.domain {
			return x
		}
	}
}

func (p *Permutation) forward(x uint64, buf *[aes.BlockSize]byte) uint64 {
	left, right := x>>p.halfBits, x&p.mask()
	for round := range uint64(rounds) {
		left, right = right, left^p.mix(round, right, buf)
	}
	return left<<p.halfBits | right
}

func (p *Permutation) backward(x uint64, buf *[aes.BlockSize]byte) uint64 {
	left, right := x>>p.halfBits, x&p.mask()
	for round := uint64(rounds); round > 0; round-- {
		left, right = right^p.mix(round-1, left, buf), left
	}
	return left<<p.halfBits | right
}

// mix is the round function: the low bits of AES-256 of (round, half), both as
// 8 bytes big-endian.
func (p *Permutation) mix(round, half uint64, buf *[aes.BlockSize]byte) uint64 {
	binary.BigEndian.PutUint64(buf[:8], round)
	binary.BigEndian.PutUint64(buf[8:], half)
	p.block.Encrypt(buf[:], buf[:])
	return binary.BigEndian.Uint64(buf[8:]) & p.mask()
}

func (p *Permutation) mask() uint64 { return 1<<p.halfBits - 1 }
