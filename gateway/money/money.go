// SPDX-License-Identifier: Apache-2.0

// Package money holds amounts of euro as whole cents.
//
// Everything is pure. There is no float anywhere: an amount is parsed from its
// digits and printed from its digits. What a caller gets wrong most often:
// Cents may be negative after Sub (a difference), but Parse never yields a
// negative amount, because no pagoPA message carries one.
package money

import (
	"errors"
	"fmt"
	"strconv"
)

// Cents is an amount in euro cents.
type Cents int64

// Max is the largest amount a pagoPA message can carry, 999999999.99 euro
// (XSD stAmount, maxInclusive).
const Max Cents = 99999999999

var (
	// ErrSyntax says that a text is not an amount in the wire form "16.50".
	ErrSyntax = errors.New("not an amount like 16.50")
	// ErrRange says that an amount, or a sum, is over Max or does not fit.
	ErrRange = errors.New("amount out of range")
)

// Parse reads the wire form of XML messages: one or more ASCII digits, a dot,
// two digits (XSD stAmount `\d+\.\d{2}`). Zero is an amount; whether it is
// allowed is the message's business. Leading zeros are allowed, as in the
// schema.
func Parse(s string) (Cents, error) {
	n := len(s)
	if n < 4 || s[n-3] != '.' {
		return 0, fmt.Errorf("%w: %d characters", ErrSyntax, n)
	}
	var cents Cents
	for i := 0; i < n; i++ {
		if i == n-3 {
			continue
		}
		d := s[i]
		if d < '0' || d > '9' {
			return 0, ErrSyntax
		}
		cents = cents*10 + Cents(d-'0')
		if cents > Max {
			return 0, ErrRange
		}
	}
	return cents, nil
}

// String is the wire form, "16.50"; a negative difference is "-0.05".
func (c Cents) String() string { return string(c.Append(nil)) }

// Append appends the wire form to b.
func (c Cents) Append(b []byte) []byte { return c.append(b, '.', 0) }

// Italian is the form people read, "1.234,50"; the euro sign is the page's.
func (c Cents) Italian() string { return string(c.append(nil, ',', '.')) }

func (c Cents) append(b []byte, decimal, thousands byte) []byte {
	u := uint64(c)
	if c < 0 {
		b = append(b, '-')
		u = -u
	}
	whole := strconv.FormatUint(u/100, 10)
	for i := 0; i < len(whole); i++ {
		if i > 0 && thousands != 0 && (len(whole)-i)%3 == 0 {
			b = append(b, thousands)
		}
		b = append(b, whole[i])
	}
	return append(b, decimal, byte('0'+u%100/10), byte('0'+u%10))
}

// Add returns c+d, or ErrRange when the sum leaves [-Max, Max].
func (c Cents) Add(d Cents) (Cents, error) {
	sum := c + d
	if (d > 0 && sum < c) || (d < 0 && sum > c) || sum > Max || sum < -Max {
		return 0, ErrRange
	}
	return sum, nil
}

// Sum adds all amounts, or returns ErrRange.
func Sum(amounts ...Cents) (Cents, error) {
	var total Cents
	for _, a := range amounts {
		var err error
		if total, err = total.Add(a); err != nil {
			return 0, err
		}
	}
	return total, nil
}
