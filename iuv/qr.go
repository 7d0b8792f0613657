// SPDX-License-Identifier: Apache-2.0

package iuv

import (
	"fmt"
	"strings"
)

const (
	creditorLen = 11             // a creditor's fiscal code: XSD stFiscalCodePA, [0-9]{11}
	maxCents    = 10_000_000_000 // beyond what the ten digits of both symbols hold
)

// QR is the text of the QR code of a notice: "PAGOPA|002|" and, each after a
// bar, the notice number, the creditor's (school's) fiscal code and the amount
// in euro cents, of two digits at least. "Avviso analogico", codice QR: to be
// drawn as version 4, error correction M, 25x25 mm.
//
// What no reader would take back gives "", so that no family is handed a code
// that pays something else: the zero Number, a creditor that is not 11 digits,
// an amount below zero or of more than 10 digits (100,000,000.00 euro and up).
func QR(n Number, creditor string, cents int64) string {
	if n.IsZero() || !isCreditor(creditor) || cents < 0 || cents >= maxCents {
		return ""
	}
	return fmt.Sprintf("PAGOPA|002|%s|%s|%02d", n, creditor, cents)
}

// ParseQR reads the text of a notice's QR code. The amount may be zero padded,
// as some printers do. Errors wrap ErrFormat, or those of [Parse].
func ParseQR(s string) (n Number, creditor string, cents int64, err error) {
	rest, ok := strings.CutPrefix(s, "PAGOPA|002|")
	if !ok {
		return Number{}, "", 0, fmt.Errorf("%w: not a pagoPA QR code of version 002", ErrFormat)
	}
	number, rest, _ := strings.Cut(rest, "|")
	creditor, amount, _ := strings.Cut(rest, "|")
	n, err = Parse(number)
	if err != nil {
		return Number{}, "", 0, fmt.Errorf("QR code: %w", err)
	}
	if !isCreditor(creditor) {
		return Number{}, "", 0, fmt.Errorf("%w: creditor in a QR code", ErrFormat)
	}
	if len(amount) < 2 || len(amount) > 10 || !allDigits(amount) {
		return Number{}, "", 0, fmt.Errorf("%w: amount in a QR code", ErrFormat)
	}
	return n, creditor, int64(digits(amount)), nil
}

func isCreditor(s string) bool { return len(s) == creditorLen && allDigits(s) }
