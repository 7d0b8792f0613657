// SPDX-License-Identifier: Apache-2.0

package imports

import (
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nodogate/nodogate/gateway/money"
	"github.com/nodogate/nodogate/gateway/sheet"
)

// fault is what is wrong with one value; text is Italian and never repeats it.
type fault struct{ code, text string }

// clean drops blanks of all kinds around a text and in it.
func clean(s string) string {
	plain := true
	for i := 0; i < len(s) && plain; i++ {
		// Most cells need nothing: no blank at the ends, none beside another.
		plain = s[i] > ' ' && s[i] < 0x80 || s[i] == ' ' && i > 0 && i < len(s)-1 && s[i-1] != ' '
	}
	if plain {
		return s
	}
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r <= ' ' || r == '\u00a0' || r == '\u202f' || r == '\u200b' || r == '\ufeff' }), " ")
}

var (
	noFormula = &fault{"formula", "la cella ha una formula senza risultato salvato: apri il file con il foglio di calcolo, salvalo e caricalo di nuovo, oppure incolla i valori"}
	noResult  = &fault{"formula", "la formula della cella dà un errore"}
	noMerged  = &fault{"merged", "la cella è unita su più righe: separala e scrivi il valore in ogni riga"}
	noBroken  = &fault{"encoding", "il testo contiene caratteri danneggiati: salva il file come \"CSV UTF-8\" o .xlsx"}
)

// cellFault is what keeps any value from being read.
func cellFault(c sheet.Cell, mayMerge bool) *fault {
	switch {
	case c.Kind == sheet.Formula:
		return noFormula
	case c.Kind == sheet.Fault:
		return noResult
	case c.Merged && !mayMerge:
		return noMerged
	case strings.ContainsAny(c.Text, "\ufffd\x00"):
		return noBroken
	}
	return nil
}

var (
	badAmount    = &fault{"format", "scrivi un importo come 16,50 oppure 16.50"}
	vagueAmount  = &fault{"format", "non si capisce se la virgola separa i decimali o le migliaia: scrivi 1234 oppure 1,23"}
	negative     = &fault{"range", "l'importo deve essere più di zero"}
	tooMuch      = &fault{"range", "l'importo supera 999.999.999,99 euro"}
	tooManyCents = &fault{"format", "l'importo ha più di due decimali"}
)

// separators stand between thousands, besides the point.
var separators = strings.NewReplacer(" ", "", "'", "", "’", "")

// amount reads euro. thousands says that a point was taken for a thousands
// separator, which a person should look at.
func amount(c sheet.Cell) (cents money.Cents, thousands bool, bad *fault) {
	if c.Kind == sheet.Number {
		cents, bad = numericAmount(c.Text)
		return cents, false, bad
	}
	if c.Kind != sheet.Text {
		return 0, false, badAmount
	}
	s := strings.ToLower(clean(c.Text))
	for _, unit := range []string{"€", "euro", "eur"} {
		s = strings.TrimSpace(strings.TrimPrefix(s, unit))
		s = strings.TrimSpace(strings.TrimSuffix(s, unit))
	}
	s = strings.TrimSuffix(strings.TrimSuffix(s, ",-"), ",--")
	if strings.HasPrefix(s, "-") || strings.HasPrefix(s, "−") || strings.HasPrefix(s, "(") {
		return 0, false, negative
	}
	s = separators.Replace(strings.TrimPrefix(s, "+"))
	dots, commas := strings.Count(s, "."), strings.Count(s, ",")
	whole, part := s, ""
	switch {
	case dots > 0 && commas > 0:
		// The last of them is the decimal one.
		sep, group := ",", "."
		if strings.LastIndex(s, ".") > strings.LastIndex(s, ",") {
			sep, group = ".", ","
		}
		if strings.Count(s, sep) > 1 {
			return 0, false, badAmount
		}
		whole, part, _ = strings.Cut(s, sep)
		if !grouped(whole, group) {
			return 0, false, badAmount
		}
		whole = strings.ReplaceAll(whole, group, "")
	case commas == 1:
		whole, part, _ = strings.Cut(s, ",")
		if len(part) == 3 {
			return 0, false, vagueAmount
		}
	case commas > 1:
		return 0, false, badAmount
	case dots == 1 && len(s)-strings.IndexByte(s, '.') != 4:
		whole, part, _ = strings.Cut(s, ".")
	case dots > 0:
		if !grouped(s, ".") {
			return 0, false, badAmount
		}
		whole, thousands = strings.ReplaceAll(s, ".", ""), true
	}
	if whole == "" && part != "" {
		whole = "0"
	}
	switch {
	case !digits(whole) || part != "" && !digits(part) || part == "" && strings.HasSuffix(s, "."):
		return 0, false, badAmount
	case len(part) > 2:
		return 0, false, tooManyCents
	case len(strings.TrimLeft(whole, "0")) > 9:
		return 0, false, tooMuch
	}
	n, err := strconv.ParseInt(whole+(part + "00")[:2], 10, 64)
	if err != nil {
		return 0, false, badAmount
	}
	return inRange(money.Cents(n), thousands)
}

func inRange(c money.Cents, thousands bool) (money.Cents, bool, *fault) {
	switch {
	case c < 1:
		return 0, false, negative
	case c > money.Max:
		return 0, false, tooMuch
	}
	return c, thousands, nil
}

// grouped says whether the groups behind a separator have three digits each.
func grouped(s, sep string) bool {
	parts := strings.Split(s, sep)
	for i, p := range parts {
		if !digits(p) || i > 0 && len(p) != 3 || i == 0 && (p == "" || len(p) > 3 && len(parts) > 1) {
			return false
		}
	}
	return true
}

func digits(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

var numberForm = regexp.MustCompile(`^[+-]?[0-9]{1,20}(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,2})?$`)

// numericAmount reads a number cell. A spreadsheet keeps binary fractions and
// writes 16.550000000000001 for 16.55: what is off by less than a millionth of a
// cent is that cent.
func numericAmount(s string) (money.Cents, *fault) {
	if !numberForm.MatchString(s) {
		return 0, badAmount
	}
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		return 0, badAmount
	}
	r.Mul(r, big.NewRat(100, 1))
	// Rounded to the nearest: floor(r + 1/2).
	twice := new(big.Rat).Add(r, big.NewRat(1, 2))
	n := new(big.Int).Div(twice.Num(), twice.Denom())
	off := new(big.Rat).Sub(r, new(big.Rat).SetInt(n))
	if off.Abs(off).Cmp(big.NewRat(1, 1_000_000)) > 0 {
		return 0, tooManyCents
	}
	if !n.IsInt64() {
		return 0, tooMuch
	}
	c, _, bad := inRange(money.Cents(n.Int64()), false)
	return c, bad
}

// cents reads a whole number of cents.
func cents(c sheet.Cell) (money.Cents, *fault) {
	s := clean(c.Text)
	if len(s) > 11 || !digits(s) {
		return 0, &fault{"format", "scrivi i centesimi come numero intero, senza virgole né punti"}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, badAmount
	}
	v, _, bad := inRange(money.Cents(n), false)
	return v, bad
}

var (
	badDate = &fault{"format", "scrivi una data come 31/12/2026 oppure 2026-12-31"}
	noDay   = &fault{"format", "questo giorno non esiste, o non è tra il 2000 e il 2199"}
	months  = []string{"gen", "feb", "mar", "apr", "mag", "giu", "lug", "ago", "set", "ott", "nov", "dic"}
	ofMonth = map[string]int{
		"gennaio": 1, "febbraio": 2, "marzo": 3, "aprile": 4, "maggio": 5, "giugno": 6,
		"luglio": 7, "agosto": 8, "settembre": 9, "ottobre": 10, "novembre": 11, "dicembre": 12,
	}
	isoForm     = regexp.MustCompile(`^([0-9]{4})[-/.]([0-9]{1,2})[-/.]([0-9]{1,2})(?:[t ][0-9:.]+z?)?$`)
	italianForm = regexp.MustCompile(`^([0-9]{1,2})[-/. ]([0-9]{1,2}|[a-z]{3,9})[-/. ]([0-9]{4}|[0-9]{2})(?: [0-9:.]+)?$`)
)

// date reads a day and writes it YYYY-MM-DD.
func date(c sheet.Cell) (string, *fault) {
	s := strings.ToLower(clean(c.Text))
	switch c.Kind {
	case sheet.Date:
		if len(s) != 10 {
			return "", badDate
		}
		return day(s[:4], s[5:7], s[8:])
	case sheet.Number:
		// A date whose look was lost is its serial number.
		if d, ok := sheet.Day(s, false); ok && d >= "2000" && d < "2200" {
			return d, nil
		}
		return "", badDate
	case sheet.Text:
	default:
		return "", badDate
	}
	if m := isoForm.FindStringSubmatch(s); m != nil {
		return day(m[1], m[2], m[3])
	}
	m := italianForm.FindStringSubmatch(s)
	if m == nil {
		return "", badDate
	}
	month := m[2]
	if month[0] > '9' {
		n := ofMonth[month]
		if n == 0 {
			n = slices.Index(months, month) + 1
		}
		if n == 0 {
			return "", badDate
		}
		month = strconv.Itoa(n)
	}
	year := m[3]
	if len(year) == 2 {
		year = "20" + year
	}
	return day(year, month, m[1])
}

func day(y, m, d string) (string, *fault) {
	year, err1 := strconv.Atoi(y)
	month, err2 := strconv.Atoi(m)
	dom, err3 := strconv.Atoi(d)
	if err1 != nil || err2 != nil || err3 != nil {
		return "", badDate
	}
	t := time.Date(year, time.Month(month), dom, 0, 0, 0, 0, time.UTC)
	if t.Year() != year || int(t.Month()) != month || t.Day() != dom || year < 2000 || year > 2199 {
		return "", noDay
	}
	return t.Format(time.DateOnly), nil
}

// yes reads a yes or no; empty is no.
func yes(c sheet.Cell) (bool, *fault) {
	switch plain(c.Text) {
	case "", "no", "n", "false", "falso", "0":
		return false, nil
	case "si", "s", "x", "true", "vero", "1", "yes", "y":
		return true, nil
	}
	return false, &fault{"format", "scrivi sì oppure no"}
}

// code reads an id that a spreadsheet may have taken for a number, and spoiled.
func code(c sheet.Cell, want int) (string, *fault) {
	s := strings.TrimPrefix(clean(c.Text), "'")
	if c.Kind == sheet.Number && (strings.ContainsAny(s, "eE.") || want > 15) || scientific.MatchString(s) {
		return "", &fault{"spoiled", "il foglio di calcolo ha trasformato il codice in un numero e ne ha perso le cifre: formatta la colonna come testo e riscrivilo"}
	}
	return s, nil
}

var scientific = regexp.MustCompile(`^[0-9][.,][0-9]+[eE]\+?[0-9]{2}$`)

// unprime takes off the apostrophe with which our exports, and spreadsheets,
// mark a text that begins like a formula.
func unprime(s string) string {
	if len(s) > 1 && s[0] == '\'' && strings.IndexByte("=+-@", s[1]) >= 0 {
		return s[1:]
	}
	return s
}

// className reads a class: 3^B and 3ª B are 3B.
func className(s string) string {
	s = clean(s)
	for _, mark := range []string{"^", "ª", "°", "º"} {
		if before, after, ok := strings.Cut(s, mark); ok {
			s = strings.TrimSpace(before) + strings.TrimSpace(after)
		}
	}
	return s
}
