// SPDX-License-Identifier: Apache-2.0

package iuv

import (
	"fmt"
	"strings"
)

// ParseRF reads an ISO 11649 creditor reference ("RF18539007547034"), as old
// treasury statements carry it after /RFS/, and returns the reference inside,
// written as it came. Letters count alike in both cases; the spaces of the
// printed form are not accepted. Errors wrap ErrLength, ErrFormat or ErrCheck.
//
// There is nothing here to make one: since SACI 3.0.0 every payment has an
// 18-digit notice number, whose IUV is numeric.
func ParseRF(s string) (string, error) {
	// ISO 11649: RF, two check digits, 1 to 21 letters and digits.
	if len(s) < 5 || len(s) > 25 {
		return "", fmt.Errorf("%w: an RF reference has 5 to 25 characters, got %d", ErrLength, len(s))
	}
	check, reference := s[2:4], s[4:]
	if !strings.EqualFold(s[:2], "RF") || !allDigits(check) || !allAlphanumeric(reference) {
		return "", fmt.Errorf("%w: not an RF reference", ErrFormat)
	}
	// Comparing, rather than asking for remainder 1, refuses 00, 01 and 99 too:
	// they leave the remainder of 97, 98 and 02, but nobody may write them.
	if digits(check) != rfCheck(reference) {
		return "", fmt.Errorf("%w: in an RF reference", ErrCheck)
	}
	return reference, nil
}

// rfCheck is the check of ISO 11649, from 2 to 98: 98 less the remainder modulo
// 97 of the reference followed by RF00, letters counting A=10 to Z=35.
func rfCheck(reference string) uint64 {
	var n uint64
	for _, c := range []byte(reference + "RF00") {
		switch {
		case c >= 'a':
			n = n*100 + uint64(c-'a') + 10
		case c >= 'A':
			n = n*100 + uint64(c-'A') + 10
		default:
			n = n*10 + uint64(c-'0')
		}
		n %= 97
	}
	return 98 - n
}

// allAlphanumeric reports whether s has nothing but ASCII letters and digits.
func allAlphanumeric(s string) bool {
	for i := range len(s) {
		if !isAlphanumeric(s[i]) {
			return false
		}
	}
	return true
}

func isAlphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}
