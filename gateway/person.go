// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"github.com/nodogate/nodogate/gateway/places"
)

// Person is who somebody says to be: what the codice fiscale is made of.
type Person struct {
	FirstName, LastName string
	Birth               Date
	Female              bool
	// Country is Italia or the country of birth; the others are for Italy.
	Country, Region, Province, Town string
}

// The words for who was born in Italy.
const italy = "ITALIA"

// Disagrees lists the fields of p that the code contradicts, by the names that
// forms give them; none when all fits. The code must be a person's (16
// characters); letters in place of digits (omocodia) are read as digits.
func (c FiscalCode) Disagrees(p Person) []string {
	code := c.withDigits()
	var wrong []string
	not := func(field string, ok bool) {
		if !ok {
			wrong = append(wrong, field)
		}
	}
	not("last_name", code[:3] == nameCode(p.LastName, false))
	not("first_name", code[3:6] == nameCode(p.FirstName, true))
	day := p.Birth.Day
	if p.Female {
		day += 40
	}
	sameDay := atoi2(code[9:11])%40 == p.Birth.Day%40
	not("birth_date", code[6:8] == two(p.Birth.Year%100) && code[8] == monthLetters[max(1, min(12, int(p.Birth.Month)))-1] && sameDay)
	not("sex", !sameDay || atoi2(code[9:11]) == day)
	wrong = append(wrong, placeDisagrees(code[11:15], p)...)
	return wrong
}

const monthLetters = "ABCDEHLMPRST"

func placeDisagrees(code string, p Person) []string {
	place, known := places.Find(code)
	country := plain(p.Country)
	if !known {
		// A code younger than our list: nothing to hold the words against, but
		// whether it is a country.
		if abroad := code[0] == 'Z'; abroad == (country == italy) {
			return []string{"birth_country"}
		}
		return nil
	}
	named := func(words string) bool {
		for _, n := range place.Names {
			if plain(n) == plain(words) {
				return true
			}
		}
		return false
	}
	if place.Abroad() {
		if !named(p.Country) {
			return []string{"birth_country"}
		}
		return nil
	}
	var wrong []string
	if country != italy {
		return []string{"birth_country"}
	}
	if !named(p.Town) {
		wrong = append(wrong, "birth_town")
	}
	// Provinces have moved: any that the town was in will do, by name or letters.
	province, region := false, false
	for _, pr := range places.Provinces() {
		for _, had := range place.Provinces {
			if pr.Code != had {
				continue
			}
			province = province || plain(pr.Name) == plain(p.Province) || pr.Code == plain(p.Province)
			region = region || pr.Region == "" || plain(pr.Region) == plain(p.Region)
		}
	}
	if !province {
		wrong = append(wrong, "birth_province")
	}
	if !region {
		wrong = append(wrong, "birth_region")
	}
	return wrong
}

// OfAge says whether a code is of a person who is 18 or more on a day. Of the year
// it holds two digits; the youngest who may have it counts.
func (c FiscalCode) OfAge(on Date) bool {
	if !c.IsPerson() {
		return false
	}
	code := c.withDigits()
	birth := Date{on.Year/100*100 + atoi2(code[6:8]), time.Month(strings.IndexByte(monthLetters, code[8]) + 1), atoi2(code[9:11]) % 40}
	if on.Before(birth) {
		birth.Year -= 100
	}
	birth.Year += 18
	return !on.Before(birth)
}

// withDigits undoes omocodia: the code its bearer would have alone. Its last
// letter is not made anew.
func (c FiscalCode) withDigits() string {
	b := []byte(c)
	for _, i := range []int{6, 7, 9, 10, 12, 13, 14} {
		if d := strings.IndexByte(omocodia, b[i]); d >= 0 {
			b[i] = byte('0' + d)
		}
	}
	return string(b)
}

// nameCode is the three letters of a surname, or of a first name, which takes the
// first, third and fourth of four consonants or more (DM 23/12/1976, articles 3
// and 4).
func nameCode(name string, first bool) string {
	var consonants, vowels []byte
	for _, r := range plain(name) {
		switch {
		case strings.ContainsRune("AEIOU", r):
			vowels = append(vowels, byte(r))
		case r >= 'A' && r <= 'Z':
			consonants = append(consonants, byte(r))
		}
	}
	if first && len(consonants) > 3 {
		consonants = append(consonants[:1], consonants[2:]...)
	}
	return string(append(append(consonants, vowels...), "XXX"...)[:3])
}

// plain is a name as codes and comparisons see it: upper case, without accents,
// what is no letter or digit as one blank.
func plain(s string) string {
	var b strings.Builder
	gap := false
	for _, r := range norm.NFD.String(strings.NewReplacer("ß", "SS", "ẞ", "SS", "Æ", "AE", "æ", "AE", "Ø", "O", "ø", "O", "Đ", "D", "đ", "D", "Ł", "L", "ł", "L").Replace(s)) {
		switch {
		case unicode.Is(unicode.Mn, r):
		case unicode.IsLetter(r), unicode.IsDigit(r):
			if gap && b.Len() > 0 {
				b.WriteByte(' ')
			}
			gap = false
			b.WriteRune(unicode.ToUpper(r))
		default:
			gap = true
		}
	}
	return b.String()
}

func two(n int) string { return string([]byte{byte('0' + n/10), byte('0' + n%10)}) }

func atoi2(s string) int { return int(s[0]-'0')*10 + int(s[1]-'0') }

// born says whether somebody born then can have an account: of age, and alive.
func born(d Date, now time.Time) bool {
	today := DateIn(now)
	age := today.Year - d.Year
	if today.Month < d.Month || today.Month == d.Month && today.Day < d.Day {
		age--
	}
	return age >= 14 && age < 120
}
