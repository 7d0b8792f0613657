// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"errors"
	"strings"
)

// IBAN is an account number with a right check (ISO 13616); Italian ones have
// their length and CIN checked too. Get one from ParseIBAN.
type IBAN string

// ErrIBAN: not an IBAN, or its check digits are wrong.
var ErrIBAN = errors.New("not an IBAN")

// ParseIBAN reads an IBAN; blanks between groups and lower case are accepted.
func ParseIBAN(s string) (IBAN, error) {
	s = strings.ToUpper(strings.ReplaceAll(s, " ", ""))
	if len(s) < 15 || len(s) > 34 {
		return "", ErrIBAN
	}
	rem := 0
	for _, c := range []byte(s[4:] + s[:4]) {
		switch {
		case c >= '0' && c <= '9':
			rem = (rem*10 + int(c-'0')) % 97
		case c >= 'A' && c <= 'Z':
			rem = (rem*100 + int(c-'A') + 10) % 97
		default:
			return "", ErrIBAN
		}
	}
	if rem != 1 {
		return "", ErrIBAN
	}
	if strings.HasPrefix(s, "IT") && (len(s) != 27 || s[4] != FiscalCodeCheck(s[5:])) {
		return "", ErrIBAN
	}
	return IBAN(s), nil
}

// Postal says whether the account is held at Poste Italiane (ABI 07601), so
// that a postal bulletin can pay into it.
func (i IBAN) Postal() bool { return len(i) == 27 && i[:2] == "IT" && i[5:10] == "07601" }
