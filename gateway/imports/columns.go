// SPDX-License-Identifier: Apache-2.0

package imports

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// field is what a column can be. Stored and sent: never renamed.
type field string

const (
	fExternalID  field = "external_id"
	fFiscalCode  field = "fiscal_code"
	fFullName    field = "full_name"
	fFirstName   field = "first_name"
	fLastName    field = "last_name"
	fClass       field = "class"
	fDescription field = "description"
	fAmount      field = "amount"
	fAmountCents field = "amount_cents"
	fDueDate     field = "due_date"
	fNumber      field = "number"
	fTaxonomy    field = "taxonomy"
	fDeduction   field = "deduction"
	fPayableLate field = "payable_after_due"
)

// names are the names of columns, by field: Italian and English, as plain makes
// them. The first Italian one is how we call the field.
var names = map[field][]string{
	fExternalID:  {"riferimento", "external_id", "rif", "riferimento esterno", "id esterno", "codice riferimento", "identificativo"},
	fFiscalCode:  {"codice fiscale", "fiscal_code", "cf", "c f", "cod fiscale", "cod fisc", "codfisc", "codice fisc", "tax code", "debtor.fiscal_code"},
	fFullName:    {"nome e cognome", "full_name", "cognome e nome", "nome cognome", "cognome nome", "nominativo", "alunno", "alunna", "studente", "studentessa", "alunno a", "debitore", "intestatario", "name", "debtor.full_name"},
	fFirstName:   {"nome", "first_name", "given name"},
	fLastName:    {"cognome", "last_name", "surname", "family name"},
	fClass:       {"classe", "class", "sezione", "classe e sezione", "classe sezione", "cl", "debtor.class"},
	fDescription: {"causale", "description", "descrizione", "causale del versamento", "causale versamento", "causale pagamento", "oggetto", "motivo"},
	fAmount:      {"importo", "amount", "quota", "importo dovuto", "importo da pagare", "da pagare", "importo quota", "euro", "costo", "totale"},
	fAmountCents: {"importo in centesimi", "amount_cents", "centesimi", "importo centesimi"},
	fDueDate:     {"scadenza", "due_date", "data scadenza", "data di scadenza", "scade il", "entro il", "pagare entro"},
	fNumber:      {"numero avviso", "number", "numero", "codice avviso", "n avviso", "numero di avviso", "notice number"},
	fTaxonomy:    {"tassonomia", "taxonomy", "codice tassonomia", "codice tassonomico"},
	fDeduction:   {"detrazione", "deduction", "codice detrazione"},
	fPayableLate: {"pagabile dopo la scadenza", "payable_after_due", "pagabile oltre la scadenza", "pagabile dopo scadenza"},
}

// qualifiers may follow a name: "codice fiscale alunno", "importo (€)".
var qualifiers = []string{
	"dell alunno a", "dell alunno", "dell alunna", "dello studente", "della studentessa", "del debitore", "alunno a", "alunno", "alunna", "studente",
	"studentessa", "debitore", "pupil", "student", "debtor", "in euro", "in €", "euro", "eur", "€", "obbligatorio", "gg mm aaaa", "della rata", "rata",
}

var byName = func() map[string]field {
	m := map[string]field{}
	for f, list := range names {
		for _, n := range list {
			m[plain(n)] = f
			m[strings.ReplaceAll(plain(n), " ", "")] = f
		}
	}
	return m
}()

// plain is a name without what varies: case, accents, punctuation, blanks.
func plain(s string) string {
	var b strings.Builder
	gap := false
	for _, r := range norm.NFD.String(strings.ToLower(s)) {
		switch {
		case unicode.Is(unicode.Mn, r):
		case unicode.IsLetter(r), unicode.IsDigit(r), r == '€':
			if gap && b.Len() > 0 {
				b.WriteByte(' ')
			}
			gap = false
			b.WriteRune(r)
		default:
			gap = true
		}
		if b.Len() > 80 {
			break
		}
	}
	return b.String()
}

// fieldOf is the field that a name stands for; exact says that nothing had to be
// taken off it.
func fieldOf(name string) (f field, exact bool) {
	p := plain(name)
	if f, ok := byName[p]; ok {
		return f, true
	}
	if f, ok := byName[strings.ReplaceAll(p, " ", "")]; ok {
		return f, true
	}
	for _, q := range qualifiers {
		if short, ok := strings.CutSuffix(p, " "+q); ok {
			if f, ok := byName[short]; ok {
				return f, false
			}
		}
	}
	return "", false
}

// score is how many fields a row of texts names.
func score(cells []string) int {
	seen := map[field]bool{}
	for _, c := range cells {
		if f, _ := fieldOf(c); f != "" {
			seen[f] = true
		}
	}
	return len(seen)
}

// headerDigest is a header's identity, so that the next file with the same one
// is read the same way.
func headerDigest(cells []string) [sha256.Size]byte {
	all := make([]string, len(cells))
	for i, c := range cells {
		all[i] = plain(c)
	}
	return sha256.Sum256([]byte(strings.TrimRight(strings.Join(all, "\x00"), "\x00")))
}

// columns say which cell of a row is which field.
type columns struct {
	at    map[field]int
	names []string // of all columns
	// turned: the name column does not say that first names come first, so a
	// name may have to be turned around.
	turned bool
}

// problem is an error about the file as a whole, in Italian.
type problem struct{ code, message string }

func (p *problem) Error() string { return p.message }

// required are the fields without which there is no notice; of each list one is
// enough.
var required = [][]field{{fFiscalCode}, {fFullName, fLastName}, {fDescription}, {fAmount, fAmountCents}, {fDueDate}}

// guess finds the columns of a header. A column that is named exactly wins over
// one that is named with more words.
func guess(cells []string) (columns, error) {
	c := columns{at: map[field]int{}, names: cells}
	exact := map[field]bool{}
	var twice []string
	for i, name := range cells {
		f, e := fieldOf(name)
		if f == "" {
			continue
		}
		_, there := c.at[f]
		switch {
		case !there, e && !exact[f]:
			c.at[f], exact[f] = i, e
		case e == exact[f]:
			twice = append(twice, names[f][0])
		}
	}
	if len(twice) > 0 {
		return c, &problem{"columns", fmt.Sprintf("più colonne possono essere: %s. Rinomina o togli quelle di troppo, oppure indica quale usare con il parametro mapping", strings.Join(slices.Compact(twice), ", "))}
	}
	return c, c.complete()
}

// given makes the columns that a mapping names, and guesses the others.
func given(cells []string, mapping map[string]string) (columns, error) {
	c, _ := guess(cells)
	taken := map[int]bool{}
	for _, key := range slices.Sorted(maps.Keys(mapping)) {
		at := slices.IndexFunc(cells, func(name string) bool { return plain(name) == plain(mapping[key]) })
		if at < 0 {
			return c, &problem{"columns", fmt.Sprintf("nel file non c'è la colonna che il parametro mapping indica per %s", names[field(key)][0])}
		}
		c.at[field(key)] = at
		taken[at] = true
	}
	// A column that is said to be one thing is no other.
	for f, at := range c.at {
		if _, said := mapping[string(f)]; !said && taken[at] {
			delete(c.at, f)
		}
	}
	return c, c.complete()
}

// complete says what is missing.
func (c *columns) complete() error {
	if at, ok := c.at[fFullName]; ok {
		p := plain(c.names[at])
		c.turned = !strings.HasPrefix(p, "nome") && p != "full name" && p != "name"
		delete(c.at, fFirstName)
		delete(c.at, fLastName)
	} else if _, ok := c.at[fLastName]; ok {
		if _, ok := c.at[fFirstName]; !ok {
			return &problem{"columns", "c'è la colonna del cognome ma non quella del nome"}
		}
	} else if at, ok := c.at[fFirstName]; ok {
		// A column called Nome alone holds the whole name.
		c.at[fFullName], c.turned = at, true
		delete(c.at, fFirstName)
	}
	if _, ok := c.at[fAmount]; ok {
		delete(c.at, fAmountCents)
	}
	var missing []string
	for _, one := range required {
		if !slices.ContainsFunc(one, func(f field) bool { _, ok := c.at[f]; return ok }) {
			missing = append(missing, names[one[0]][0])
		}
	}
	if len(missing) == 0 {
		return nil
	}
	if len(c.at) == 0 {
		return &problem{"columns", "nessuna riga ha i nomi delle colonne: servono almeno codice fiscale, nome e cognome, causale, importo e scadenza"}
	}
	return &problem{"columns", "mancano le colonne: " + strings.Join(missing, ", ")}
}

// report is the columns as the answer shows them.
func (c *columns) report() (used map[string]string, ignored []string) {
	used = map[string]string{}
	taken := map[int]bool{}
	for f, at := range c.at {
		used[string(f)] = short(c.names[at], 80)
		taken[at] = true
	}
	for i, name := range c.names {
		if !taken[i] && strings.TrimSpace(name) != "" && len(ignored) < 100 {
			ignored = append(ignored, short(name, 80))
		}
	}
	return used, ignored
}

// CheckMapping says what is wrong with a mapping that a caller gives: it names a
// column for each field it is about.
func CheckMapping(mapping map[string]string) error {
	for key, column := range mapping {
		if names[field(key)] == nil {
			return &problem{"mapping", "un campo non esiste: i campi sono " + fieldList()}
		}
		if strings.TrimSpace(column) == "" || len(column) > 200 {
			return &problem{"mapping", "manca il nome della colonna per il campo " + key}
		}
	}
	return nil
}

func fieldList() string {
	var all []string
	for f := range names {
		all = append(all, string(f))
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

func short(s string, runes int) string {
	s = strings.Join(strings.Fields(s), " ")
	for i := range s {
		if runes == 0 {
			return s[:i] + "…"
		}
		runes--
	}
	return s
}
