// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"errors"
	"fmt"
	"time"
)

// Date is a civil day, without hour or zone. The zero Date is no day.
type Date struct {
	Year  int
	Month time.Month
	Day   int
}

// ErrDate: not a day written YYYY-MM-DD between the years 2000 and 2199.
var ErrDate = errors.New("not a date like 2026-12-31")

// ParseDate reads YYYY-MM-DD. Years outside 2000-2199 are refused: in a due
// date they are always a slip of the pen.
func ParseDate(s string) (Date, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil || t.Year() < 2000 || t.Year() > 2199 {
		return Date{}, ErrDate
	}
	return Date{t.Year(), t.Month(), t.Day()}, nil
}

// DateIn is the day that t falls on in Rome.
func DateIn(t time.Time) Date {
	y, m, d := t.In(rome).Date()
	return Date{y, m, d}
}

// rome decides due dates (reliability: end of day in Europe/Rome).
var rome = func() *time.Location {
	loc, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		// cmd embeds time/tzdata, so only a broken build can get here.
		panic("gateway: no time zone data: " + err.Error())
	}
	return loc
}()

// Rome is the zone in which days begin and end for a family.
func Rome() *time.Location { return rome }

// String is YYYY-MM-DD.
func (d Date) String() string { return fmt.Sprintf("%04d-%02d-%02d", d.Year, d.Month, d.Day) }

// Italian is gg/mm/aaaa.
func (d Date) Italian() string { return fmt.Sprintf("%02d/%02d/%04d", d.Day, d.Month, d.Year) }

// IsZero says whether d is no day.
func (d Date) IsZero() bool { return d == Date{} }

// Before says whether d is an earlier day than e.
func (d Date) Before(e Date) bool { return d.String() < e.String() }

// AddDays is the day n days later; n may be negative.
func (d Date) AddDays(n int) Date {
	y, m, day := time.Date(d.Year, d.Month, d.Day+n, 12, 0, 0, 0, time.UTC).Date()
	return Date{y, m, day}
}

// Deadline is the first instant after the day, in Rome: until then, a notice
// due on d is payable.
func (d Date) Deadline() time.Time {
	return time.Date(d.Year, d.Month, d.Day+1, 0, 0, 0, 0, rome).UTC()
}
