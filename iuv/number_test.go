// SPDX-License-Identifier: Apache-2.0

package iuv

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestNew(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		seg    string
		base   uint64
		number string
		iuv    string
	}{
		{"01", 2026000000042, "301202600000004244", "01202600000004244"},
		{"00", 1, "300000000000000104", "00000000000000104"},
		{"47", 2024000001234, "347202400000123468", "47202400000123468"},
		{"00", 7157000000000, "300715700000000032", "00715700000000032"}, // a public test of App IO
		{"00", 0, "300000000000000003", "00000000000000003"},
		{"99", Bases - 1, "399999999999999903", "99999999999999903"},
	} {
		n := New(segregation(t, tt.seg), tt.base)
		if n.String() != tt.number || n.IUV() != tt.iuv || n.Segregation() != tt.seg || n.Aux() != 3 || !n.CheckOK() {
			t.Errorf("New(%s, %d) = %s, IUV %s, segregation %s, aux %d, check %t; want %s, %s",
				tt.seg, tt.base, n, n.IUV(), n.Segregation(), n.Aux(), n.CheckOK(), tt.number, tt.iuv)
		}
		if p, err := Parse(tt.number); p != n || err != nil {
			t.Errorf("Parse(%s) = %s, %v, want what New made", tt.number, p, err)
		}
		if p, err := FromIUV(tt.iuv); p != n || err != nil {
			t.Errorf("FromIUV(%s) = %s, %v, want %s", tt.iuv, p, err, n)
		}
	}
}

func TestNewRefusesABaseOf14Digits(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Errorf("New(00, Bases) did not panic")
		}
	}()
	New(Segregation{}, Bases)
}

func TestParse(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, number string
		aux          int
		iuv, seg     string
		checkOK      bool
	}{
		{"aux 0", "001000000000012370", 0, "000000000012370", "01", true},
		{"aux 0, check off by one", "001000000000012371", 0, "000000000012371", "01", false},
		{"aux 1 has no check", "112345678901234567", 1, "12345678901234567", "", true},
		{"aux 2", "220260000000004236", 2, "20260000000004236", "", true},
		{"aux 2, check off by one", "220260000000004235", 2, "20260000000004235", "", false},
		{"aux 3", "301202600000004244", 3, "01202600000004244", "01", true},
		{"aux 3, two digits swapped", "310202600000004244", 3, "10202600000004244", "10", false},
		{"aux 3, check 93 is 0 written wrong", "300000000000000096", 3, "00000000000000096", "00", false},
		{"PagoPA's first wrong sample", "302000100440009424", 3, "02000100440009424", "02", false},
		{"PagoPA's second wrong sample", "311111111112222222", 3, "11111111112222222", "11", false},
		{"PagoPA's third wrong sample", "302012387654312384", 3, "02012387654312384", "02", false},
		{"all zeros", "000000000000000000", 0, "000000000000000", "00", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n, err := Parse(tt.number)
			if err != nil {
				t.Fatalf("Parse(%s): %v", tt.number, err)
			}
			if n.String() != tt.number || n.Aux() != tt.aux || n.IUV() != tt.iuv || n.Segregation() != tt.seg || n.CheckOK() != tt.checkOK || n.IsZero() {
				t.Errorf("Parse(%s) = aux %d, IUV %s, segregation %q, check %t; want %d, %s, %q, %t",
					tt.number, n.Aux(), n.IUV(), n.Segregation(), n.CheckOK(), tt.aux, tt.iuv, tt.seg, tt.checkOK)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		s    string
		want error
	}{
		{"", ErrLength},
		{"30120260000000424", ErrLength},
		{"3012026000000042440", ErrLength},
		{"301202600000004244\n", ErrLength},
		{"3012 0260 0000 0042 44", ErrLength},
		{"30120260000000424x", ErrDigits},
		{" 01202600000004244", ErrDigits},
		{"+01202600000004244", ErrDigits},
		{"30120260000000424\n", ErrDigits},
		{"٣٠١٢٠٢٦٠٠", ErrDigits}, // nine Arabic digits, 18 bytes
		{"401202600000004244", ErrAux},
		{"901202600000004244", ErrAux},
	} {
		n, err := Parse(tt.s)
		if !errors.Is(err, tt.want) || !n.IsZero() {
			t.Errorf("Parse(%q) = %q, %v, want %v", tt.s, n, err, tt.want)
		}
	}
}

func TestFromIUVRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		s    string
		want error
	}{
		{"", ErrLength},
		{"000000000012370", ErrLength}, // 15 digits: aux digit 0
		{"012026000000042444", ErrLength},
		{"0120260000000424x", ErrDigits},
	} {
		if n, err := FromIUV(tt.s); !errors.Is(err, tt.want) || !n.IsZero() {
			t.Errorf("FromIUV(%q) = %q, %v, want %v", tt.s, n, err, tt.want)
		}
	}
}

func TestZeroNumber(t *testing.T) {
	t.Parallel()
	var n Number
	if !n.IsZero() || n.String() != "" || n.Aux() != 0 || n.IUV() != "" || n.Segregation() != "" || n.CheckOK() || n.Grouped() != "" {
		t.Errorf("the zero Number says something: %+v", n)
	}
}

func TestGrouped(t *testing.T) {
	t.Parallel()
	const want = "3012 0260 0000 0042 44"
	if got := number(t, "301202600000004244").Grouped(); got != want {
		t.Errorf("Grouped() = %q, want %q", got, want)
	}
}

func TestNumberInJSON(t *testing.T) {
	t.Parallel()
	type message struct {
		N Number            `json:"n"`
		M map[Number]string `json:"m"`
	}
	n := number(t, "301202600000004244")
	text, err := json.Marshal(message{n, map[Number]string{n: "x"}})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"n":"301202600000004244","m":{"301202600000004244":"x"}}`
	if string(text) != want {
		t.Errorf("Marshal = %s, want %s", text, want)
	}
	var back message
	if err := json.Unmarshal(text, &back); err != nil || back.N != n || back.M[n] != "x" {
		t.Errorf("Unmarshal(%s) = %v, %v", text, back, err)
	}
	if err := json.Unmarshal([]byte(`{"n":""}`), &back); err != nil || !back.N.IsZero() {
		t.Errorf("Unmarshal of an empty number = %s, %v, want the zero Number", back.N, err)
	}
	back.N = n
	if err := json.Unmarshal([]byte(`{"n":"401202600000004244"}`), &back); !errors.Is(err, ErrAux) || back.N != n {
		t.Errorf("Unmarshal of aux digit 4 = %s, %v, want %v and nothing changed", back.N, err, ErrAux)
	}
}

func TestParseSegregation(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"00", "01", "45", "47", "99"} {
		if got, err := ParseSegregation(s); err != nil || got.String() != s {
			t.Errorf("ParseSegregation(%s) = %s, %v", s, got, err)
		}
	}
	for _, tt := range []struct {
		s    string
		want error
	}{{"", ErrLength}, {"1", ErrLength}, {"001", ErrLength}, {"0x", ErrDigits}, {"-1", ErrDigits}, {"è", ErrDigits}} {
		if got, err := ParseSegregation(tt.s); !errors.Is(err, tt.want) {
			t.Errorf("ParseSegregation(%q) = %s, %v, want %v", tt.s, got, err, tt.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("301202600000004244")
	f.Add("001000000000012370")
	f.Add("401202600000004244")
	f.Add("٣٠١٢٠٢٦٠٠")
	f.Fuzz(func(t *testing.T, s string) {
		n, err := Parse(s)
		if err != nil {
			if !n.IsZero() {
				t.Errorf("Parse(%q) = %q, %v", s, n, err)
			}
			return
		}
		if n.String() != s || !strings.HasSuffix(s, n.IUV()) || strings.ReplaceAll(n.Grouped(), " ", "") != s {
			t.Errorf("Parse(%q) = %q, IUV %q, grouped %q", s, n, n.IUV(), n.Grouped())
		}
		if n.Aux() != 3 {
			return
		}
		if back, err := FromIUV(n.IUV()); back != n || err != nil {
			t.Errorf("FromIUV(%s) = %s, %v, want %s", n.IUV(), back, err, n)
		}
		// The digits before the check make the same number if its check is right.
		made := New(segregation(t, n.Segregation()), digits(s[3:16]))
		if n.CheckOK() != (made == n) {
			t.Errorf("%s has CheckOK %t, New made %s", n, n.CheckOK(), made)
		}
	})
}

func FuzzFromIUV(f *testing.F) {
	f.Add("01202600000004244")
	f.Add("000000000012370")
	f.Fuzz(func(t *testing.T, s string) {
		if n, err := FromIUV(s); err == nil && (n.IUV() != s || n.Aux() != 3) {
			t.Errorf("FromIUV(%q) = %s", s, n)
		}
	})
}

func FuzzParseSegregation(f *testing.F) {
	f.Add("00")
	f.Add("9x")
	f.Fuzz(func(t *testing.T, s string) {
		if seg, err := ParseSegregation(s); err == nil && seg.String() != s {
			t.Errorf("ParseSegregation(%q) = %s", s, seg)
		}
	})
}

func BenchmarkNew(b *testing.B) {
	b.ReportAllocs()
	for i := range b.N {
		New(Segregation{1}, uint64(i))
	}
}

func number(t *testing.T, s string) Number {
	t.Helper()
	n, err := Parse(s)
	if err != nil {
		t.Fatalf("Parse(%q): %v", s, err)
	}
	return n
}

func segregation(t *testing.T, s string) Segregation {
	t.Helper()
	seg, err := ParseSegregation(s)
	if err != nil {
		t.Fatalf("ParseSegregation(%q): %v", s, err)
	}
	return seg
}
