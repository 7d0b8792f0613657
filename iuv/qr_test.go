// SPDX-License-Identifier: Apache-2.0

package iuv

import (
	"errors"
	"strings"
	"testing"
)

func TestQR(t *testing.T) {
	t.Parallel()
	n := number(t, "301202600000004244")
	for _, tt := range []struct {
		name     string
		n        Number
		creditor string
		cents    int64
		want     string
	}{
		{"the specification's example", n, "80014480828", 1650, "PAGOPA|002|301202600000004244|80014480828|1650"},
		{"one cent has two digits", n, "80014480828", 1, "PAGOPA|002|301202600000004244|80014480828|01"},
		{"ten digits", n, "80014480828", 9_999_999_999, "PAGOPA|002|301202600000004244|80014480828|9999999999"},
		{"eleven digits", n, "80014480828", 10_000_000_000, ""},
		{"negative", n, "80014480828", -1, ""},
		{"no number", Number{}, "80014480828", 1650, ""},
		{"creditor of a person", n, "RSSMRA80A01H501U", 1650, ""},
		{"creditor with a bar", n, "8001448082|", 1650, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := QR(tt.n, tt.creditor, tt.cents)
			if got != tt.want {
				t.Fatalf("QR(%s, %s, %d) = %q, want %q", tt.n, tt.creditor, tt.cents, got, tt.want)
			}
			if got == "" {
				return
			}
			n, creditor, cents, err := ParseQR(got)
			if n != tt.n || creditor != tt.creditor || cents != tt.cents || err != nil {
				t.Errorf("ParseQR(%q) = %s, %s, %d, %v", got, n, creditor, cents, err)
			}
		})
	}
}

func TestParseQRAcceptsZeroPadding(t *testing.T) {
	t.Parallel()
	_, _, cents, err := ParseQR("PAGOPA|002|301202600000004244|80014480828|0000015000")
	if cents != 15000 || err != nil {
		t.Errorf("ParseQR of a padded amount = %d, %v, want 15000", cents, err)
	}
}

func TestParseQRRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, s string
		want    error
	}{
		{"empty", "", ErrFormat},
		{"other version", "PAGOPA|001|301202600000004244|80014480828|1650", ErrFormat},
		{"lower case", "pagopa|002|301202600000004244|80014480828|1650", ErrFormat},
		{"cut after the head", "PAGOPA|002|", ErrLength},
		{"short number", "PAGOPA|002|30120260000000424|80014480828|1650", ErrLength},
		{"aux digit 5", "PAGOPA|002|501202600000004244|80014480828|1650", ErrAux},
		{"letter in the number", "PAGOPA|002|30120260000000424x|80014480828|1650", ErrDigits},
		{"creditor of ten digits", "PAGOPA|002|301202600000004244|8001448082|1650", ErrFormat},
		{"no amount", "PAGOPA|002|301202600000004244|80014480828", ErrFormat},
		{"amount of one digit", "PAGOPA|002|301202600000004244|80014480828|5", ErrFormat},
		{"amount of eleven digits", "PAGOPA|002|301202600000004244|80014480828|00000001650", ErrFormat},
		{"amount with decimals", "PAGOPA|002|301202600000004244|80014480828|16.50", ErrFormat},
		{"negative amount", "PAGOPA|002|301202600000004244|80014480828|-1650", ErrFormat},
		{"one field too many", "PAGOPA|002|301202600000004244|80014480828|1650|", ErrFormat},
		{"line break at the end", "PAGOPA|002|301202600000004244|80014480828|1650\n", ErrFormat},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n, creditor, cents, err := ParseQR(tt.s)
			if !errors.Is(err, tt.want) || !n.IsZero() || creditor != "" || cents != 0 {
				t.Errorf("ParseQR(%q) = %s, %s, %d, %v, want %v and nothing else", tt.s, n, creditor, cents, err, tt.want)
			}
		})
	}
}

func FuzzParseQR(f *testing.F) {
	f.Add("PAGOPA|002|301202600000004244|80014480828|1650")
	f.Add("PAGOPA|002|301202600000004244|80014480828|0000015000")
	f.Add("PAGOPA|002|||")
	f.Fuzz(func(t *testing.T, s string) {
		n, creditor, cents, err := ParseQR(s)
		if err != nil {
			return
		}
		// Written again it is the same text, but for the padding of the amount.
		canonical := QR(n, creditor, cents)
		head, amount := canonical[:strings.LastIndexByte(canonical, '|')+1], s[strings.LastIndexByte(s, '|')+1:]
		if !strings.HasPrefix(s, head) || int64(digits(amount)) != cents {
			t.Errorf("ParseQR(%q), written again: %q", s, canonical)
		}
	})
}
