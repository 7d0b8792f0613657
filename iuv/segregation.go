// SPDX-License-Identifier: Apache-2.0

package iuv

import "fmt"

// Segregation is a two-digit segregation code (codice di segregazione): with
// the school's fiscal code and the aux digit it tells the Node which station to
// ask. PagoPA assigns them from 00 up, to 45 today (to 49 before SACI 3.1.0).
// Some are taken by central services: 47 Canone Unico, 81 PagoPA, 85 TARI/TEFA,
// 96 ACI bollo, 97 SUAP, 98 ANPR certificates, 99 CIE. Since assignment is
// PagoPA's, every code from 00 to 99 is accepted here.
//
// The zero value is the code 00.
type Segregation struct{ code uint8 }

// ParseSegregation reads the two digits of a segregation code.
func ParseSegregation(s string) (Segregation, error) {
	if len(s) != 2 {
		return Segregation{}, fmt.Errorf("%w: a segregation code has 2 characters, got %d", ErrLength, len(s))
	}
	if !allDigits(s) {
		return Segregation{}, fmt.Errorf("%w: in a segregation code", ErrDigits)
	}
	return Segregation{uint8(digits(s))}, nil
}

// String is the two digits.
func (s Segregation) String() string {
	return string([]byte{'0' + s.code/10, '0' + s.code%10})
}
