// SPDX-License-Identifier: Apache-2.0

package money

import (
	"errors"
	"math"
	"testing"
)

func TestParse(t *testing.T) {
	for _, tc := range []struct {
		in   string
		want Cents
		err  error
	}{
		{"16.50", 1650, nil},
		{"0.00", 0, nil},
		{"0016.50", 1650, nil},
		{"999999999.99", Max, nil},
		{"1000000000.00", 0, ErrRange},
		{"99999999999999999999999999.00", 0, ErrRange},
		{"", 0, ErrSyntax},
		{".50", 0, ErrSyntax},
		{"16.5", 0, ErrSyntax},
		{"16,50", 0, ErrSyntax},
		{"16.500", 0, ErrSyntax},
		{"1e1.00", 0, ErrSyntax},
		{"-1.00", 0, ErrSyntax},
		{"+1.00", 0, ErrSyntax},
		{" 1.00", 0, ErrSyntax},
		{"1.00\n", 0, ErrSyntax},
		{"1.0.00", 0, ErrSyntax},
		{"١.٠٠", 0, ErrSyntax},
	} {
		got, err := Parse(tc.in)
		if got != tc.want || !errors.Is(err, tc.err) {
			t.Errorf("Parse(%q) = %d, %v; want %d, %v", tc.in, got, err, tc.want, tc.err)
		}
	}
}

func TestPrint(t *testing.T) {
	for _, tc := range []struct {
		c           Cents
		wire, italy string
	}{
		{0, "0.00", "0,00"}, {5, "0.05", "0,05"}, {1650, "16.50", "16,50"},
		{123456789, "1234567.89", "1.234.567,89"}, {-5, "-0.05", "-0,05"}, {-100000, "-1000.00", "-1.000,00"},
		{Max, "999999999.99", "999.999.999,99"},
		{math.MinInt64, "-92233720368547758.08", "-92.233.720.368.547.758,08"},
	} {
		if got := tc.c.String(); got != tc.wire {
			t.Errorf("Cents(%d).String() = %q, want %q", int64(tc.c), got, tc.wire)
		}
		if got := tc.c.Italian(); got != tc.italy {
			t.Errorf("Cents(%d).Italian() = %q, want %q", int64(tc.c), got, tc.italy)
		}
	}
}

func TestSum(t *testing.T) {
	if got, err := Sum(1, 2, 3); got != 6 || err != nil {
		t.Errorf("Sum(1,2,3) = %d, %v", got, err)
	}
	for _, bad := range [][]Cents{{Max, 1}, {math.MaxInt64, math.MaxInt64}, {-Max, -1}} {
		if got, err := Sum(bad...); !errors.Is(err, ErrRange) {
			t.Errorf("Sum(%v) = %d, %v; want ErrRange", bad, got, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("16.50")
	f.Add("0.00")
	f.Add("999999999.99")
	f.Fuzz(func(t *testing.T, s string) {
		c, err := Parse(s)
		if err != nil {
			return
		}
		if again, err := Parse(c.String()); again != c || err != nil {
			t.Errorf("Parse(%q) = %d, printed %q, read back %d, %v", s, c, c.String(), again, err)
		}
	})
}
