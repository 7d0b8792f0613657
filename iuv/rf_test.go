// SPDX-License-Identifier: Apache-2.0

package iuv

import (
	"errors"
	"testing"
)

func TestParseRF(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ s, want string }{
		{"RF45w9", "w9"}, // the specification's own example
		{"RF45W9", "W9"},
		{"rf45w9", "w9"},
		{"RF18539007547034", "539007547034"},
		{"RF18000123456789", "000123456789"},
		{"RF1301202600000000042", "01202600000000042"},
		{"RF78567483937849450550875", "567483937849450550875"}, // 25 characters
	} {
		if got, err := ParseRF(tt.s); got != tt.want || err != nil {
			t.Errorf("ParseRF(%q) = %q, %v, want %q", tt.s, got, err, tt.want)
		}
	}
}

func TestParseRFRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, s string
		want    error
	}{
		{"empty", "", ErrLength},
		{"no reference", "RF45", ErrLength},
		{"26 characters", "RF785674839378494505508750", ErrLength},
		{"other prefix", "RG18539007547034", ErrFormat},
		{"letters for check digits", "RFxx539007547034", ErrFormat},
		{"printed with spaces", "RF18 5390 0754 7034", ErrFormat},
		{"not ASCII", "RF45wè", ErrFormat},
		{"sample of SACI 1.3.1, wrong in print", "RF23567483937849450550875", ErrCheck},
		{"one digit changed", "RF18539007547035", ErrCheck},
		{"two digits swapped", "RF18539007547043", ErrCheck},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got, err := ParseRF(tt.s); !errors.Is(err, tt.want) || got != "" {
				t.Errorf("ParseRF(%q) = %q, %v, want %v", tt.s, got, err, tt.want)
			}
		})
	}
}

// A check of 97 has the remainder of 00, 98 that of 01, and 02 that of 99: only
// the one from 02 to 98 may be written.
func TestParseRFKnowsOneCheckOnly(t *testing.T) {
	t.Parallel()
	alias := map[uint64]string{97: "00", 98: "01", 2: "99"}
	for i := range uint64(2000) {
		reference := digits4(i)
		if other, ok := alias[rfCheck(reference)]; ok {
			if _, err := ParseRF("RF" + other + reference); !errors.Is(err, ErrCheck) {
				t.Errorf("ParseRF(RF%s%s) = %v, want %v", other, reference, err, ErrCheck)
			}
			delete(alias, rfCheck(reference))
		}
	}
	if len(alias) != 0 {
		t.Errorf("no reference found for %v", alias)
	}
}

func digits4(i uint64) string {
	return string([]byte{byte('0' + i/1000%10), byte('0' + i/100%10), byte('0' + i/10%10), byte('0' + i%10)})
}

func FuzzParseRF(f *testing.F) {
	f.Add("RF45w9")
	f.Add("RF1301202600000000042")
	f.Add("RF23567483937849450550875")
	f.Fuzz(func(t *testing.T, s string) {
		reference, err := ParseRF(s)
		if err != nil {
			return
		}
		if s[4:] != reference {
			t.Errorf("ParseRF(%q) = %q", s, reference)
		}
		// The definition read the other way: the first four characters moved to
		// the end leave 1.
		var n uint64
		for _, c := range []byte(reference + s[:4]) {
			switch {
			case c >= 'a':
				c -= 'a' - 10
			case c >= 'A':
				c -= 'A' - 10
			default:
				c -= '0'
			}
			if c > 9 {
				n *= 10
			}
			n = (n*10 + uint64(c)) % 97
		}
		if n != 1 {
			t.Errorf("ParseRF(%q) accepted remainder %d", s, n)
		}
	})
}
