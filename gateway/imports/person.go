// SPDX-License-Identifier: Apache-2.0

package imports

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// A fiscal code begins with three letters of the surname and three of the first
// name, so it tells which words of "DE LUCA MARIA CHIARA" are which.

// turn gives a name in the order first name, surname, when the code says that
// it is the other way round. fits is false when the code is no person's of that
// name in either order: a column that slipped by a row looks like that.
func turn(name, code string) (turned string, fits bool) {
	words := strings.Fields(name)
	if len(code) != 16 || len(words) < 2 {
		return name, true
	}
	first := false
	for i := 1; i < len(words); i++ {
		a, b := strings.Join(words[:i], " "), strings.Join(words[i:], " ")
		if surnameCode(b) == code[:3] && firstNameCode(a) == code[3:6] {
			first = true
		}
		if surnameCode(a) == code[:3] && firstNameCode(b) == code[3:6] {
			turned = b + " " + a
		}
	}
	switch {
	case first:
		return name, true
	case turned != "":
		return turned, true
	}
	return name, false
}

// letters parts the consonants and vowels of a name.
func letters(s string) (consonants, vowels string) {
	for _, r := range norm.NFD.String(strings.ToUpper(s)) {
		switch {
		case strings.ContainsRune("AEIOU", r):
			vowels += string(r)
		case r >= 'A' && r <= 'Z':
			consonants += string(r)
		case unicode.IsLetter(r): // Ø, Đ and the like: the code's author chose
		}
	}
	return consonants, vowels
}

func surnameCode(s string) string {
	c, v := letters(s)
	return (c + v + "XXX")[:3]
}

func firstNameCode(s string) string {
	c, v := letters(s)
	if len(c) > 3 {
		return c[:1] + c[2:4]
	}
	return (c + v + "XXX")[:3]
}
