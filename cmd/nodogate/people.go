// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/nodogate/nodogate/gateway"
)

// person is an invented person of the demo; the code is computed.
type person struct {
	first, last string
	born        time.Time
	female      bool
	place       string // cadastral code of the town of birth
}

// code is the codice fiscale that the person would have (DM 23/12/1976).
func (p person) code() gateway.FiscalCode {
	consonants, vowels := letters(p.first)
	name := consonants + vowels
	if len(consonants) > 3 {
		name = consonants[:1] + consonants[2:4]
	}
	consonants, vowels = letters(p.last)
	day := p.born.Day()
	if p.female {
		day += 40
	}
	s := fmt.Sprintf("%s%s%02d%c%02d%s", three(consonants+vowels), three(name),
		p.born.Year()%100, "ABCDEHLMPRST"[p.born.Month()-1], day, p.place)
	return gateway.FiscalCode(s + string(gateway.FiscalCodeCheck(s)))
}

func letters(s string) (consonants, vowels string) {
	for _, r := range strings.ToUpper(s) {
		switch {
		case strings.ContainsRune("AEIOU", r):
			vowels += string(r)
		case r >= 'A' && r <= 'Z':
			consonants += string(r)
		}
	}
	return consonants, vowels
}

func three(s string) string { return (s + "XXX")[:3] }

// demoPupils are the pupils of one school of the demo, in classes of ten.
func demoPupils(school gateway.SchoolCode, classes []string, surnames []string, year int) []gateway.Pupil {
	boys := []string{"Luca", "Matteo", "Andrea", "Davide", "Marco"}
	girls := []string{"Giulia", "Sara", "Chiara", "Elena", "Anna"}
	var pupils []gateway.Pupil
	for c, class := range classes {
		for i := range 10 {
			p := person{last: surnames[(c*10+i)%len(surnames)], female: i%2 == 1, place: "E202"} // Grosseto
			p.first = boys[(i/2+c)%len(boys)]
			if p.female {
				p.first = girls[(i/2+c)%len(girls)]
			}
			p.born = time.Date(year-c, time.Month(1+(i*5+c*3)%12), 1+(i*7+c*11)%28, 0, 0, 0, 0, time.UTC)
			pupils = append(pupils, gateway.Pupil{
				School: school, ID: fmt.Sprintf("%s-%02d", class, i+1), Code: p.code(),
				FirstName: p.first, LastName: p.last, Class: class, SchoolYear: "2026/27",
			})
		}
	}
	return pupils
}
