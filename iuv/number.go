// SPDX-License-Identifier: Apache-2.0

// Package iuv makes, checks, allocates and prints the two numbers every pagoPA
// payment hangs on: the 18-digit notice number (numero avviso, NAV) printed for
// the family, and the IUV (identificativo univoco versamento) inside it, which
// the Node calls creditorReferenceId.
//
// It has no clock, no database and no randomness of its own: that a counter is
// leased once only is the duty of the [Source], and so is making the key.
//
// What a caller gets wrong: the IUV is not the notice number. It is the notice
// number without its first digit (aux digits 1, 2 and 3) or without its first
// three (aux digit 0). And wrong check digits are no reason to refuse a number
// that comes from the Node: see [Parse].
package iuv

import (
	"errors"
	"fmt"
	"strconv"
)

// Bases is how many 13-digit IUV bases a segregation code has: 0 to Bases-1.
const Bases = 10_000_000_000_000

// The reasons for which a text or a value is refused. No error repeats the text
// it was given: a Data Matrix names a family.
var (
	ErrLength = errors.New("iuv: wrong length")
	ErrDigits = errors.New("iuv: not all ASCII digits")
	ErrAux    = errors.New("iuv: aux digit is not 0, 1, 2 or 3")
	ErrCheck  = errors.New("iuv: wrong check digits")
	ErrFormat = errors.New("iuv: wrong format")
	ErrRange  = errors.New("iuv: value does not fit")
)

// Number is a notice number (numero avviso) known to be well formed: 18 ASCII
// digits, the first of them (the aux digit) 0 to 3. Get one from [Parse] or
// [New]; the zero value is no number. Numbers may be compared with ==.
type Number struct{ digits string }

// numberLen is the length of every notice number. SACI 3.2.1; App IO validates
// `^[0123][0-9]{17}$`.
const numberLen = 18

// Parse reads a notice number. The check digits are not required to be right:
// SACI lets a PSP skip them, and PagoPA's own samples break them, so a number
// that is not ours is for the archive to miss (PAA_PAGAMENTO_SCONOSCIUTO).
// Where a person types the number, ask [Number.CheckOK] too. Errors wrap
// ErrLength, ErrDigits or ErrAux and do not repeat the text.
func Parse(s string) (Number, error) {
	if len(s) != numberLen {
		return Number{}, fmt.Errorf("%w: a notice number has 18 characters, got %d", ErrLength, len(s))
	}
	if !allDigits(s) {
		return Number{}, fmt.Errorf("%w: in a notice number", ErrDigits)
	}
	if s[0] > '3' {
		return Number{}, ErrAux
	}
	return Number{s}, nil
}

// New makes the notice number with aux digit 3, the only one that may be issued
// today (SACI 3.1.0), from a segregation code and a 13-digit base, and computes
// its check digits. A base of [Bases] or more is a programmer's mistake: panic.
func New(seg Segregation, base uint64) Number {
	if base >= Bases {
		panic("iuv: base of more than 13 digits")
	}
	n := 300*Bases + uint64(seg.code)*Bases + base
	var b [numberLen]byte
	return Number{string(strconv.AppendUint(b[:0], n*100+n%93, 10))}
}

// FromIUV gives back the notice number of a 17-digit IUV of aux digit 3.
func FromIUV(iuv string) (Number, error) {
	if len(iuv) != numberLen-1 {
		return Number{}, fmt.Errorf("%w: an IUV of aux digit 3 has 17 characters, got %d", ErrLength, len(iuv))
	}
	return Parse("3" + iuv)
}

// String is the 18 digits, or "" for the zero value.
func (n Number) String() string { return n.digits }

// IsZero reports whether n is the zero value, which is no number.
func (n Number) IsZero() bool { return n.digits == "" }

// Aux is the aux digit, 0 to 3.
func (n Number) Aux() int {
	if n.IsZero() {
		return 0
	}
	return int(n.digits[0] - '0')
}

// IUV is the creditorReferenceId inside the number: 17 digits, or 15 for aux
// digit 0, where an application code stands before it. SANP, "primitive".
func (n Number) IUV() string {
	switch {
	case n.IsZero():
		return ""
	case n.digits[0] == '0':
		return n.digits[3:]
	}
	return n.digits[1:]
}

// Segregation is the two digits by which the Node finds the station: the
// segregation code (codice di segregazione) of aux digit 3, the application
// code of aux digit 0. Aux digits 1 and 2 have neither: "".
func (n Number) Segregation() string {
	if n.IsZero() || n.digits[0] == '1' || n.digits[0] == '2' {
		return ""
	}
	return n.digits[1:3]
}

// CheckOK reports whether the last two digits are the first sixteen modulo 93
// (SACI 3.2.1). Aux digit 1 has no check digits: always true.
func (n Number) CheckOK() bool {
	if n.IsZero() {
		return false
	}
	if n.digits[0] == '1' {
		return true
	}
	return digits(n.digits[:16])%93 == digits(n.digits[16:])
}

// Grouped is the number as it is printed for people, in groups of four:
// "3012 0260 0000 0042 44". "Avviso analogico", allegato 2.
func (n Number) Grouped() string {
	if n.IsZero() {
		return ""
	}
	d := n.digits
	return d[:4] + " " + d[4:8] + " " + d[8:12] + " " + d[12:16] + " " + d[16:]
}

// MarshalText is the 18 digits, so that a Number is a JSON string. The zero
// value is the empty text.
func (n Number) MarshalText() ([]byte, error) { return []byte(n.digits), nil }

// UnmarshalText is [Parse]; the empty text gives the zero value.
func (n *Number) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*n = Number{}
		return nil
	}
	p, err := Parse(string(text))
	if err != nil {
		return err
	}
	*n = p
	return nil
}

// allDigits reports whether s has nothing but ASCII digits. Other scripts'
// digits are not digits to pagoPA.
func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// digits is the value of at most 19 ASCII digits, which the caller has checked.
func digits(s string) uint64 {
	var n uint64
	for i := range len(s) {
		n = n*10 + uint64(s[i]-'0')
	}
	return n
}
