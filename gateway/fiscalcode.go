// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"errors"
	"log/slog"
	"strings"
)

// FiscalCode is the code of a person (codice fiscale): 16 characters with a
// right check letter, in upper case; or the 11 digits of a temporary code or of
// an organisation; or Anonymous. Get one from ParseFiscalCode.
//
// It hides itself in logs, and must not be put in URLs, metrics or errors.
type FiscalCode string

// Anonymous stands for a debtor without a fiscal code (pagoPA's constant for
// entityUniqueIdentifierValue).
const Anonymous FiscalCode = "ANONIMO"

// SchoolCode is the 11-digit fiscal code of a school (ente creditore); it is
// the key of everything that belongs to the school. It is public. Get one from
// ParseSchoolCode.
type SchoolCode string

var (
	// ErrFiscalCodeForm: not 16 characters of the right kind, nor 11 digits.
	ErrFiscalCodeForm = errors.New("not a fiscal code")
	// ErrFiscalCodeCheck: the form is right, the check character is not.
	ErrFiscalCodeCheck = errors.New("wrong check character")
)

// ParseFiscalCode reads a person's code; lower case and blanks around it are
// accepted. Codes with letters in place of digits (omocodia) are right too.
func ParseFiscalCode(s string) (FiscalCode, error) {
	s = strings.ToUpper(strings.TrimSpace(s))
	switch {
	case s == string(Anonymous):
		return Anonymous, nil
	case len(s) == 11 && digitsOnly(s):
		if !luhnOK(s) {
			return "", ErrFiscalCodeCheck
		}
		return FiscalCode(s), nil
	case len(s) != 16:
		return "", ErrFiscalCodeForm
	}
	// Positions of digits may carry the letters of omocodia.
	const form = "AAAAAADDADDADDDA"
	for i := 0; i < 16; i++ {
		c := s[i]
		switch {
		case c >= 'A' && c <= 'Z' && form[i] == 'A':
		case form[i] == 'D' && (c >= '0' && c <= '9' || strings.IndexByte(omocodia, c) >= 0):
		default:
			return "", ErrFiscalCodeForm
		}
	}
	if strings.IndexByte("ABCDEHLMPRST", s[8]) < 0 {
		return "", ErrFiscalCodeForm
	}
	if s[15] != FiscalCodeCheck(s[:15]) {
		return "", ErrFiscalCodeCheck
	}
	return FiscalCode(s), nil
}

// omocodia[i] stands for the digit i where two people would share a code.
const omocodia = "LMNPQRSTUV"

// oddValues are the values of characters in odd positions (counted from 1),
// for 0-9 and, from index 10, A-Z (DM 23/12/1976).
var oddValues = [36]int{
	1, 0, 5, 7, 9, 13, 15, 17, 19, 21,
	1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23,
}

// FiscalCodeCheck is the check letter of the first 15 characters, which must be
// digits and upper-case letters. The same sum is the CIN of an Italian IBAN.
func FiscalCodeCheck(s string) byte {
	sum := 0
	for i := 0; i < len(s); i++ {
		v := int(s[i] - '0')
		letter := s[i] >= 'A'
		if letter {
			v = int(s[i] - 'A')
		}
		if i%2 == 0 { // odd position when counted from 1
			if letter {
				v += 10
			}
			v = oddValues[v]
		}
		sum += v
	}
	return byte('A' + sum%26)
}

// IsPerson says whether the code is one of a natural person.
func (c FiscalCode) IsPerson() bool { return len(c) == 16 }

// LogValue hides the code.
func (c FiscalCode) LogValue() slog.Value {
	if len(c) != 16 {
		return slog.StringValue("***")
	}
	return slog.StringValue(string(c[:3]) + "***" + string(c[13:]))
}

// ParseSchoolCode reads a school's code and checks its last digit. The test
// code 77777777777 of pagoPA's own documents, which has a wrong one, passes.
func ParseSchoolCode(s string) (SchoolCode, error) {
	if len(s) != 11 || !digitsOnly(s) {
		return "", ErrFiscalCodeForm
	}
	if !luhnOK(s) && s != "77777777777" {
		return "", ErrFiscalCodeCheck
	}
	return SchoolCode(s), nil
}

func luhnOK(s string) bool {
	sum := 0
	for i := 0; i < 10; i++ {
		d := int(s[i] - '0')
		if i%2 == 1 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return int(s[10]-'0') == (10-sum%10)%10
}

func digitsOnly(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
