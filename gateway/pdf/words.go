// SPDX-License-Identifier: Apache-2.0

package pdf

import (
	"strconv"
	"time"
)

var months = [...]string{"gennaio", "febbraio", "marzo", "aprile", "maggio", "giugno",
	"luglio", "agosto", "settembre", "ottobre", "novembre", "dicembre"}

// LongDate is a day with the month in words, so that no reader takes it for
// another's order of day and month: "1 marzo 2026".
func LongDate(t time.Time) string {
	return strconv.Itoa(t.Day()) + " " + months[t.Month()-1] + " " + strconv.Itoa(t.Year())
}

// ShortDate is a day as forms ask for it: "01/03/2026".
func ShortDate(t time.Time) string { return t.Format("02/01/2006") }

// Euro is an amount of euro cents with its sign: "€ 1.234,50".
func Euro(cents int64) string { return "€ " + Amount(cents) }

// Amount is an amount of euro cents, dots between thousands and a comma before
// the cents: "1.234,50".
func Amount(cents int64) string {
	if cents < 0 {
		return "-" + Amount(-cents)
	}
	euro := strconv.FormatInt(cents/100, 10)
	var b []byte
	for i := range len(euro) {
		if i > 0 && (len(euro)-i)%3 == 0 {
			b = append(b, '.')
		}
		b = append(b, euro[i])
	}
	return string(append(b, ',', byte('0'+cents%100/10), byte('0'+cents%10)))
}

// Grouped is a code as people read it, in groups of four.
func Grouped(code string) string {
	var b []byte
	for i := range len(code) {
		if i > 0 && i%4 == 0 {
			b = append(b, ' ')
		}
		b = append(b, code[i])
	}
	return string(b)
}
