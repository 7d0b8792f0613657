// SPDX-License-Identifier: Apache-2.0

package imports

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/sheet"
)

// perRow is more than the errors a row can have: an error's Seq is its row times
// perRow and its place, the same whenever the row is looked at.
const perRow = 100

// maxRows bounds a file.
const maxRows = 500_000

// headerWithin is among how many rows the names of the columns are looked for.
const headerWithin = 30

// item is one row: a request, or what is wrong with it.
type item struct {
	row    int
	in     gateway.NewNotice
	notice gateway.Notice
	found  []gateway.ImportError
	bad    bool
	cells  []cellText // for the hints of what is found later
}

type cellText struct {
	f    field
	text string
}

func (it *item) cell(f field) string {
	for _, c := range it.cells {
		if c.f == f {
			return c.text
		}
	}
	return ""
}

func (it *item) add(names []string, at int, f field, value string, bad fault, warning bool) {
	e := gateway.ImportError{
		Seq: int64(it.row)*perRow + int64(len(it.found)), Row: it.row, Field: string(f), Code: bad.code,
		Message: bad.text, Value: short(value, 40), Warning: warning,
	}
	if at >= 0 && at < len(names) {
		e.Column = short(names[at], 80)
	}
	it.found = append(it.found, e)
	it.bad = it.bad || !warning
}

// source reads requests out of a file.
type source struct {
	r      *sheet.Reader
	cols   columns
	digest [sha256.Size]byte // of the header
	held   []heldRow         // rows that were read while the header was looked for
	rows   int
	today  gateway.Date
	seen   map[[16]byte]int // external ids, by hash, and the row they stand in
}

// heldRow is a copy of a sheet.Row.
type heldRow struct {
	sheet.Row
}

func (h heldRow) texts() []string {
	out := make([]string, len(h.Cells))
	for i, c := range h.Cells {
		out[i] = c.Text
	}
	return out
}

// openSource opens the file and finds its columns. remembered gives what the
// columns of a header were said to be. The error is a *problem, a *sheet.Error,
// or the store's.
func openSource(file io.ReaderAt, size int64, imp *gateway.Import, today gateway.Date, remembered func([sha256.Size]byte) (map[string]string, error)) (*source, error) {
	hints := map[string]bool{}
	for _, column := range imp.Mapping {
		hints[plain(column)] = true
	}
	r, err := sheet.Open(file, size, sheet.Options{Sheet: imp.Sheet, Score: func(cells []string) int {
		n := score(cells)
		for _, c := range cells {
			if hints[plain(c)] {
				n++
			}
		}
		return n
	}})
	if err != nil {
		return nil, err
	}
	s := &source{r: r, today: today, seen: map[[16]byte]int{}}
	rep := &imp.Report
	rep.Format, rep.Encoding, rep.Separator, rep.Sheet, rep.Others = string(r.Format), r.Encoding, r.Separator, r.Sheet, r.OtherSheets
	if r.Format == sheet.NDJSON {
		rep.Source = "names"
		return s, nil
	}
	for len(s.held) < headerWithin {
		row, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if !row.Empty() {
			h := heldRow{*row}
			h.Cells = slices.Clone(row.Cells)
			s.held = append(s.held, h)
		}
	}
	at, err := s.header(imp, remembered)
	if err != nil {
		return nil, err
	}
	rep.HeaderRow = s.held[at].Number
	rep.Columns, rep.Ignored = s.cols.report()
	s.held = s.held[at+1:]
	return s, nil
}

// header finds the row of names among those held.
func (s *source) header(imp *gateway.Import, remembered func([sha256.Size]byte) (map[string]string, error)) (int, error) {
	best, most := 0, 0
	for i, h := range s.held {
		texts := h.texts()
		if len(imp.Mapping) > 0 {
			if c, err := given(texts, imp.Mapping); err == nil {
				s.cols, s.digest, imp.Report.Source = c, headerDigest(texts), "given"
				return i, nil
			}
		} else if len(texts) > 1 {
			m, err := remembered(headerDigest(texts))
			if err == nil {
				if c, err := given(texts, m); err == nil {
					s.cols, s.digest, imp.Report.Source = c, headerDigest(texts), "remembered"
					return i, nil
				}
			} else if !errors.Is(err, gateway.ErrNotFound) {
				return 0, err
			}
		}
		if n := score(texts); n > most {
			best, most = i, n
		}
	}
	if len(s.held) == 0 {
		return 0, &problem{"empty", "il file non ha righe"}
	}
	texts := s.held[best].texts()
	var err error
	if len(imp.Mapping) > 0 {
		_, err = given(texts, imp.Mapping)
	} else {
		s.cols, err = guess(texts)
		s.digest, imp.Report.Source = headerDigest(texts), "guessed"
	}
	return best, err
}

// next is the next request; io.EOF after the last.
func (s *source) next() (*item, error) {
	for {
		var row *sheet.Row
		if len(s.held) > 0 {
			row, s.held = &s.held[0].Row, s.held[1:]
		} else {
			var err error
			if row, err = s.r.Next(); err != nil {
				return nil, err
			}
		}
		if row.Empty() {
			continue
		}
		if s.rows++; s.rows > maxRows {
			return nil, &problem{"too_large", fmt.Sprintf("il file ha più di %d righe: dividilo", maxRows)}
		}
		if it := s.item(row); it != nil {
			return it, nil
		}
		s.rows--
	}
}

// item reads one row; nil when it only repeats the header or sums up.
func (s *source) item(row *sheet.Row) *item {
	it := &item{row: row.Number, cells: make([]cellText, 0, 14)}
	if row.Err != nil {
		it.add(nil, -1, "", "", fault{row.Err.Code, row.Err.Message}, false)
		return it
	}
	at, names := s.cols.at, s.cols.names
	turned := s.cols.turned
	if row.Names != nil {
		at, names = map[field]int{}, row.Names
		for i, name := range row.Names {
			f, _ := fieldOf(name)
			if _, twice := at[f]; f == "" || twice {
				it.add(names, i, "", "", fault{"unknown", "questo campo non esiste, o ripete un altro"}, false)
				continue
			}
			at[f] = i
		}
	} else if s.skip(row) {
		return nil
	}
	if it.bad {
		return it
	}
	get := func(f field) (sheet.Cell, int) {
		i, ok := at[f]
		if !ok || i >= len(row.Cells) {
			if !ok {
				i = -1
			}
			return sheet.Cell{}, i
		}
		return row.Cells[i], i
	}
	// value reads a field; required fields must not be empty.
	value := func(f field, required, mayMerge bool, read func(sheet.Cell) *fault) {
		c, i := get(f)
		it.cells = append(it.cells, cellText{f, c.Text})
		bad := cellFault(c, mayMerge)
		if bad == nil && clean(c.Text) == "" {
			if !required {
				return
			}
			bad = &fault{"required", "manca il valore"}
		}
		if bad == nil {
			bad = read(c)
		}
		if bad != nil {
			it.add(names, i, f, c.Text, *bad, false)
		}
	}
	text := func(to *string) func(sheet.Cell) *fault {
		return func(c sheet.Cell) *fault {
			*to = clean(unprime(c.Text))
			return nil
		}
	}
	in := &it.in
	value(fFiscalCode, true, false, func(c sheet.Cell) (bad *fault) {
		in.DebtorCode, bad = code(c, 11)
		if in.DebtorCode = strings.ReplaceAll(strings.ToUpper(in.DebtorCode), " ", ""); bad == nil && c.Kind == sheet.Number && len(in.DebtorCode) < 11 {
			bad = &fault{"spoiled", "il foglio di calcolo ha tolto gli zeri iniziali: formatta la colonna come testo e riscrivi il codice"}
		}
		return bad
	})
	if _, ok := at[fFullName]; ok || row.Names != nil && at[fLastName] == 0 && at[fFirstName] == 0 {
		value(fFullName, true, false, text(&in.DebtorName))
	} else {
		var first, last string
		value(fFirstName, true, false, text(&first))
		value(fLastName, true, false, text(&last))
		in.DebtorName = strings.TrimSpace(first + " " + last)
		turned = false
	}
	value(fClass, false, true, func(c sheet.Cell) *fault { in.Class = className(unprime(c.Text)); return nil })
	value(fDescription, true, true, text(&in.Description))
	thousands := false
	if _, ok := at[fAmountCents]; ok {
		value(fAmountCents, true, false, func(c sheet.Cell) (bad *fault) { in.Amount, bad = cents(c); return bad })
	} else {
		value(fAmount, true, false, func(c sheet.Cell) (bad *fault) { in.Amount, thousands, bad = amount(c); return bad })
	}
	value(fDueDate, true, true, func(c sheet.Cell) (bad *fault) { in.DueDate, bad = date(c); return bad })
	value(fExternalID, false, false, func(c sheet.Cell) (bad *fault) { in.ExternalID, bad = code(c, 0); return bad })
	value(fNumber, false, false, func(c sheet.Cell) (bad *fault) {
		in.Number, bad = code(c, 18)
		in.Number = strings.ReplaceAll(in.Number, " ", "")
		return bad
	})
	value(fTaxonomy, false, true, text(&in.Taxonomy))
	value(fDeduction, false, true, func(c sheet.Cell) *fault { in.Deduction = strings.ToLower(clean(c.Text)); return nil })
	value(fPayableLate, false, true, func(c sheet.Cell) (bad *fault) { in.PayableAfterDue, bad = yes(c); return bad })
	if row.Names == nil {
		for i := len(names); i < len(row.Cells); i++ {
			if clean(row.Cells[i].Text) != "" {
				it.add(names, -1, "", "", fault{"too_many_cells", "la riga ha più celle dell'intestazione: forse un testo o un importo contiene il separatore e va messo tra virgolette"}, false)
				break
			}
		}
	}
	if it.bad {
		return it
	}
	fullName, ok := turn(in.DebtorName, in.DebtorCode)
	if turned {
		in.DebtorName = fullName
	}
	s.warn(it, row, names, at, thousands, ok)
	s.unique(it, names, at)
	return it
}

// skip says whether a row repeats the header, as printed lists do, or sums up.
func (s *source) skip(row *sheet.Row) bool {
	code := ""
	if i, ok := s.cols.at[fFiscalCode]; ok && i < len(row.Cells) {
		code = clean(row.Cells[i].Text)
	}
	if len(code) == 16 && code[15] >= 'A' && digits(code[6:8]) {
		return false // the rule: a code in its place
	}
	if f, _ := fieldOf(code); f == fFiscalCode {
		return true
	}
	return code == "" && slices.ContainsFunc(row.Cells, func(c sheet.Cell) bool {
		p := plain(c.Text)
		return p == "totale" || p == "totali" || p == "total" || p == "totale generale"
	})
}

func (s *source) warn(it *item, row *sheet.Row, names []string, at map[field]int, thousands, nameFits bool) {
	column := func(f field) int {
		if i, ok := at[f]; ok {
			return i
		}
		return -1
	}
	if it.in.DueDate < s.today.String() && !it.in.PayableAfterDue {
		it.add(names, column(fDueDate), fDueDate, it.cell(fDueDate), fault{"past", "la scadenza è passata: l'avviso sarebbe già scaduto"}, true)
	}
	if thousands {
		it.add(names, column(fAmount), fAmount, it.cell(fAmount), fault{"thousands", "il punto è stato letto come separatore delle migliaia: l'importo è " + it.in.Amount.Italian() + " euro"}, true)
	}
	if !nameFits {
		it.add(names, column(fFullName), fFullName, it.in.DebtorName, fault{"name_mismatch", "il nome non sembra quello del codice fiscale: controlla che le colonne non siano slittate"}, true)
	}
	if row.Hidden {
		it.add(names, -1, "", "", fault{"hidden_row", "la riga è nascosta nel foglio, ma viene importata"}, true)
	}
}

// unique gives the row an id, and finds the row that has it already.
func (s *source) unique(it *item, names []string, at map[field]int) {
	said := it.in.ExternalID != ""
	if !said {
		it.in.ExternalID = gateway.RowKey(it.in)
	}
	keys := []string{"id " + it.in.ExternalID}
	if it.in.Number != "" {
		keys = append(keys, "number "+it.in.Number)
	}
	for i, k := range keys {
		sum := sha256.Sum256([]byte(k))
		h := [16]byte(sum[:16])
		other, twice := s.seen[h]
		if !twice {
			s.seen[h] = it.row
			continue
		}
		switch {
		case i == 1:
			it.add(names, at[fNumber], fNumber, it.in.Number, fault{"duplicate", fmt.Sprintf("il numero di avviso è già nella riga %d", other)}, false)
		case said:
			it.add(names, at[fExternalID], fExternalID, it.in.ExternalID, fault{"duplicate", fmt.Sprintf("il riferimento è già nella riga %d", other)}, false)
		default:
			it.add(names, -1, "", "", fault{"duplicate", fmt.Sprintf("la riga è uguale alla riga %d: togline una o, se gli avvisi sono due, dai a ciascuno un riferimento", other)}, false)
		}
	}
}

// fieldNames are the names the gateway gives our fields.
var fieldNames = map[string]field{
	"debtor.fiscal_code": fFiscalCode, "debtor.full_name": fFullName, "debtor.class": fClass, "description": fDescription,
	"amount_cents": fAmount, "due_date": fDueDate, "taxonomy": fTaxonomy, "deduction": fDeduction, "external_id": fExternalID, "number": fNumber,
}

// italian are the gateway's own words for what is wrong, for a person who made
// a spreadsheet.
var italian = map[string]string{
	"debtor.fiscal_code format":       "scrivi un codice fiscale di 16 caratteri, uno di 11 cifre, oppure ANONIMO",
	"debtor.fiscal_code check_letter": "l'ultimo carattere del codice fiscale non torna con gli altri: c'è un errore di battitura",
	"debtor.full_name required":       "manca il nome",
	"debtor.full_name length":         "il nome supera i 70 caratteri",
	"debtor.class format":             "scrivi una classe come 3B, con al massimo 16 lettere e cifre",
	"description required":            "manca la causale",
	"description length":              "la causale supera i 140 caratteri",
	"description personal_data":       "togli il codice fiscale dalla causale: la leggono banche e PSP",
	"amount_cents range":              "l'importo deve andare da 0,01 a 999.999.999,99 euro",
	"due_date format":                 badDate.text,
	"taxonomy format":                 "scrivi un codice di tassonomia come 9/0801100AP/",
	"taxonomy unknown":                "il codice di tassonomia non è nell'elenco ufficiale",
	"deduction unknown":               "scrivi e-bis oppure i-octies, o lascia vuoto",
	"external_id format":              "scrivi un riferimento di al massimo 64 lettere, cifre e segni, senza spazi né accenti",
	"external_id personal_data":       "usa un riferimento tuo, non un codice fiscale",
	"number format":                   "scrivi le 18 cifre del numero di avviso, la prima da 0 a 3",
	"number check_digits":             "le ultime due cifre del numero di avviso non tornano con le altre: c'è un errore di battitura",
}

// prepare makes the notice, or says what is wrong.
func (it *item) prepare(svc *gateway.Service, school gateway.School, s *source) {
	var wrong []gateway.FieldError
	it.notice, wrong = svc.PrepareNotice(school, it.in)
	for _, w := range wrong {
		f := fieldNames[w.Field]
		if it.said(f) {
			continue // a value that cannot be read is no value, and was said
		}
		message := italian[w.Field+" "+w.Code]
		if message == "" {
			message = "il valore non va bene"
		}
		it.add(s.cols.names, s.column(f), f, it.cell(f), fault{w.Code, message}, false)
	}
}

// said says whether something is wrong with the field already.
func (it *item) said(f field) bool {
	return slices.ContainsFunc(it.found, func(e gateway.ImportError) bool {
		return !e.Warning && (e.Field == string(f) || f == fAmount && e.Field == string(fAmountCents) ||
			f == fFullName && (e.Field == string(fFirstName) || e.Field == string(fLastName)))
	})
}

// refuse notes what the store said to a row.
func (it *item) refuse(err error, s *source) {
	if errors.Is(err, gateway.ErrNumberExists) {
		it.add(s.cols.names, s.column(fNumber), fNumber, it.in.Number, fault{"number_exists", "la scuola ha già un avviso con questo numero"}, false)
		return
	}
	it.add(s.cols.names, s.column(fExternalID), fExternalID, it.in.ExternalID, fault{"external_id_exists", "la scuola ha già un avviso con questo riferimento e altri dati: usa un altro riferimento, o modifica quell'avviso"}, false)
}

func (s *source) column(f field) int {
	if i, ok := s.cols.at[f]; ok {
		return i
	}
	if i, ok := s.cols.at[fLastName]; ok && f == fFullName {
		return i
	}
	return -1
}
