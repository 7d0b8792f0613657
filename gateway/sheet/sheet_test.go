// SPDX-License-Identifier: Apache-2.0

package sheet_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/xuri/excelize/v2"
	"golang.org/x/text/encoding/charmap"

	"github.com/nodogate/nodogate/gateway/money"
	"github.com/nodogate/nodogate/gateway/sheet"
)

// score counts the columns that these tests know.
func score(cells []string) (n int) {
	for _, c := range cells {
		switch strings.ToLower(strings.TrimSpace(c)) {
		case "nome", "importo", "causale", "scadenza":
			n++
		}
	}
	return n
}

func open(b []byte, opt sheet.Options) (*sheet.Reader, error) {
	if opt.Score == nil {
		opt.Score = score
	}
	return sheet.Open(bytes.NewReader(b), int64(len(b)), opt)
}

// show writes what was read, one row a line: number: cell|cell.
func show(r *sheet.Reader) (string, error) {
	var out strings.Builder
	for {
		row, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out.String(), nil
		}
		if err != nil {
			return out.String(), err
		}
		if row.Empty() {
			continue
		}
		fmt.Fprintf(&out, "%d:", row.Number)
		for i, c := range row.Cells {
			if i > 0 {
				out.WriteByte('|')
			}
			if row.Names != nil {
				out.WriteString(row.Names[i] + "=")
			}
			out.WriteString(c.Text)
			out.WriteString(map[sheet.Kind]string{sheet.Number: "#", sheet.Date: "@", sheet.Bool: "?", sheet.Formula: "ƒ", sheet.Fault: "!"}[c.Kind])
			if c.Merged {
				out.WriteByte('~')
			}
		}
		if row.Hidden {
			out.WriteString(" hidden")
		}
		if row.Err != nil {
			out.WriteString(" ERR " + row.Err.Code)
		}
		out.WriteByte('\n')
	}
}

func utf16le(s string, bom bool) []byte {
	var b []byte
	if bom {
		b = []byte{0xff, 0xfe}
	}
	for _, u := range utf16.Encode([]rune(s)) {
		b = append(b, byte(u), byte(u>>8))
	}
	return b
}

func utf16be(s string, bom bool) []byte {
	b := utf16le(s, bom)
	for i := 0; i+1 < len(b); i += 2 {
		b[i], b[i+1] = b[i+1], b[i]
	}
	return b
}

func windows(s string) []byte {
	b, err := charmap.Windows1252.NewEncoder().Bytes([]byte(s))
	if err != nil {
		panic(err)
	}
	return b
}

func TestCSV(t *testing.T) {
	t.Parallel()
	const accents = "Nome;Importo\r\nNiccolò;16,50 €\r\n"
	const want = "1:Nome|Importo\n2:Niccolò|16,50 €\n"
	for _, tc := range []struct {
		name                      string
		in                        []byte
		want, encoding, separator string
	}{
		{"utf-8", []byte(accents), want, "utf-8", ";"},
		{"utf-8 with mark", []byte("\xef\xbb\xbf" + accents), want, "utf-8", ";"},
		{"utf-16le with mark", utf16le(accents, true), want, "utf-16le", ";"},
		{"utf-16be with mark", utf16be(accents, true), want, "utf-16be", ";"},
		{"utf-16le without", utf16le(accents, false), want, "utf-16le", ";"},
		{"utf-16be without", utf16be(accents, false), want, "utf-16be", ";"},
		{"windows-1252", windows(accents), want, "windows-1252", ";"},
		{"comma", []byte("Nome,Importo\nAda,\"16,50\"\n"), "1:Nome|Importo\n2:Ada|16,50\n", "utf-8", ","},
		{"tab", []byte("Nome\tImporto\nAda, Rosa\t16,50\n"), "1:Nome|Importo\n2:Ada, Rosa|16,50\n", "utf-8", "\t"},
		{"bar", []byte("Nome|Importo\nAda|16,50\n"), "1:Nome|Importo\n2:Ada|16,50\n", "utf-8", "|"},
		{"titles with commas above", []byte("Gita, 3B, Siena, 2026\n\nNome;Importo\nAda;16,50\n"), "1:Gita, 3B, Siena, 2026\n3:Nome|Importo\n4:Ada|16,50\n", "utf-8", ";"},
		{"sep line of Excel", []byte("sep=,\r\nNome,Importo\r\nA;B,1\r\n"), "2:Nome|Importo\n3:A;B|1\n", "utf-8", ","},
		{"quotes, breaks, doubled quotes", []byte("Nome;Causale\n\"Ada\";\"Gita\n\"\"lunga\"\"\"\nBea;x\n"), "1:Nome|Causale\n2:Ada|Gita\n\"lunga\"\n3:Bea|x\n", "utf-8", ";"},
		{"a quote inside a cell", []byte("Nome;Causale\nD\"Ada;l'\"orto\"\n"), "1:Nome|Causale\n2:D\"Ada|l'\"orto\"\n", "utf-8", ";"},
		{"old Macintosh ends of lines", []byte("Nome;Importo\rAda;1\r"), "1:Nome|Importo\n2:Ada|1\n", "utf-8", ";"},
		{"no end of line at the end", []byte("Nome;Importo\nAda;1"), "1:Nome|Importo\n2:Ada|1\n", "utf-8", ";"},
		{"text kept from Excel", []byte("Nome;Importo\n=\"00123\";=A1+1\n"), "1:Nome|Importo\n2:00123|ƒ\n", "utf-8", ";"},
		{"empty rows count", []byte("Nome;Importo\n\n;\nAda;1\n"), "1:Nome|Importo\n4:Ada|1\n", "utf-8", ";"},
		{"too many columns", []byte("Nome;Importo\n" + strings.Repeat(";", 600) + "x\nAda;1\n"), "1:Nome|Importo\n2:" + strings.Repeat("|", sheet.MaxColumns-1) + " ERR too_large\n3:Ada|1\n", "utf-8", ";"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r, err := open(tc.in, sheet.Options{})
			if err != nil {
				t.Fatal(err)
			}
			got, err := show(r)
			if err != nil || got != tc.want {
				t.Errorf("rows = %q, %v, want %q", got, err, tc.want)
			}
			if r.Encoding != tc.encoding || r.Separator != tc.separator {
				t.Errorf("read as %s with %q, want %s with %q", r.Encoding, r.Separator, tc.encoding, tc.separator)
			}
			if r.Done() != 1 {
				t.Errorf("Done = %v at the end", r.Done())
			}
		})
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		in   []byte
		code string
		says string
	}{
		{"nothing", nil, "empty", "vuoto"},
		{"blanks", []byte("\xef\xbb\xbf \n\n"), "empty", "vuoto"},
		{"old Excel", []byte("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), "format", ".xlsx"},
		{"PDF", []byte("%PDF-1.7"), "format", "PDF"},
		{"web page called xls", []byte("<html><table><tr><td>Nome"), "format", "pagina web"},
		{"OpenDocument", []byte("PK\x03\x04........mimetypeapplication/vnd.oasis.opendocument.spreadsheet"), "format", "OpenDocument"},
		{"JSON list", []byte(`[{"nome":"Ada"}]`), "format", "NDJSON"},
		{"gzip", []byte("\x1f\x8b\x08"), "format", "compresso"},
		{"binary", []byte("Nome;Importo\n\x00\x01\x02"), "encoding", "codifica"},
		{"two encodings", append([]byte("Nome;Importo\nNiccolò;1\n"), windows("Mosè;1\n")...), "encoding", "mescola"},
		{"bytes of no encoding", []byte("Nome;Importo\nA\x81;1\n"), "encoding", "codifica"},
		{"cut UTF-16", utf16le("Nome;Importo\n", true)[:9], "encoding", "tagliato"},
		{"a quote that never ends", []byte("Nome;Importo\n\"Ada;1\nBea;2\n"), "syntax", "virgolette"},
		{"a quote that ends far below", []byte("Nome;Importo\n\"Ada;1\n" + strings.Repeat("Bea;2\n", 30) + "\"C\";3\n"), "syntax", "virgolette"},
		{"an endless cell", []byte("Nome;Importo\n" + strings.Repeat("x", 40_000)), "syntax", "lunga"},
		{"a cut workbook", workbook(t, func(*excelize.File) {})[:900], "format", "tagliata"},
		{"an archive of other things", archive(t, map[string]string{"a.txt": "x"}), "format", "non è una cartella"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r, err := open(tc.in, sheet.Options{})
			if err == nil {
				_, err = show(r)
			}
			var e *sheet.Error
			if !errors.As(err, &e) || e.Code != tc.code || !strings.Contains(e.Message, tc.says) {
				t.Errorf("error = %v, want %s that says %q", err, tc.code, tc.says)
			}
		})
	}
}

func TestNDJSON(t *testing.T) {
	t.Parallel()
	in := `{"importo":"16,50","anno":2026,"vero":true,"niente":null}

{"debtor":{"full_name":"Ada"},"amount_cents":1650}
{"a":1,"a":2}
{"a":[1]}
{"a":1}{"b":2}
not json
{"ok":"yes"}`
	want := "1:importo=16,50|anno=2026#|vero=true?|niente=\n" +
		"3:debtor.full_name=Ada|amount_cents=1650#\n" +
		"4: ERR syntax\n5: ERR syntax\n6: ERR syntax\n7: ERR syntax\n8:ok=yes\n"
	r, err := open([]byte(in), sheet.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := show(r); err != nil || got != want {
		t.Errorf("rows = %q, %v, want %q", got, err, want)
	}
	r, err = open([]byte(`{"a":"`+strings.Repeat("x", 300_000)+`"}`), sheet.Options{})
	if err == nil {
		_, err = show(r)
	}
	if err == nil {
		t.Error("a line of 300 kB was read")
	}
}

func workbook(t testing.TB, fill func(*excelize.File)) []byte {
	t.Helper()
	f := excelize.NewFile()
	fill(f)
	var b bytes.Buffer
	if err := f.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func set(t testing.TB, f *excelize.File, name string, cells map[string]any) {
	t.Helper()
	for ref, v := range cells {
		if err := f.SetCellValue(name, ref, v); err != nil {
			t.Fatal(err)
		}
	}
}

func TestXLSX(t *testing.T) {
	t.Parallel()
	ok := func(errs ...error) {
		t.Helper()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
	b := workbook(t, func(f *excelize.File) {
		ok(f.SetSheetName("Sheet1", "Avvisi"))
		set(t, f, "Avvisi", map[string]any{
			"A1": "Elenco", "A3": "Nome", "B3": "Importo", "C3": "Scadenza", "D3": "Classe",
			"A4": "Niccolò & C. <x>", "B4": 16.5, "C4": time.Date(2026, 12, 31, 0, 0, 0, 0, time.UTC), "D4": "3B",
			"A5": "Bea", "B5": 1234.56, "C5": "31/12/2026",
			"A6": "Caio", "B6": true, "A9": "Dina", "B9": 80014480828,
		})
		custom := "gg/mm/aaaa"
		_ = custom
		code := `[$-410]dd/mm/yyyy;@`
		style, err := f.NewStyle(&excelize.Style{CustomNumFmt: &code})
		ok(err, f.SetCellValue("Avvisi", "C6", 46387), f.SetCellStyle("Avvisi", "C6", "C6", style))
		money := `#,##0.00 [$€-410];[Red]-#,##0.00 [$€-410]`
		style, err = f.NewStyle(&excelize.Style{CustomNumFmt: &money})
		ok(err, f.SetCellStyle("Avvisi", "B4", "B5", style))
		ok(f.MergeCell("Avvisi", "D4", "D6"), f.MergeCell("Avvisi", "A1", "D1"))
		ok(f.SetCellFormula("Avvisi", "B8", "SUM(B4:B5)"), f.SetCellValue("Avvisi", "A8", "Eva"))
		ok(f.SetRowVisible("Avvisi", 9, false))
		for i := 100; i < 3000; i++ { // empty rows with a look
			ok(f.SetRowHeight("Avvisi", i, 20))
		}
		_, err = f.NewSheet("Altro")
		ok(err)
		_, err = f.NewSheet("Nascosto")
		ok(err, f.SetSheetVisible("Nascosto", false))
		set(t, f, "Altro", map[string]any{"A1": "qui"})
	})
	r, err := open(b, sheet.Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := "1:Elenco\n3:Nome|Importo|Scadenza|Classe\n" +
		"4:Niccolò & C. <x>|16.5#|2026-12-31@|3B~\n5:Bea|1234.56#|31/12/2026|3B~\n6:Caio|true?|2026-12-31@|3B~\n" +
		"8:Eva|ƒ\n9:Dina|80014480828# hidden\n"
	if got, err := show(r); err != nil || got != want {
		t.Errorf("rows =\n%s%v, want\n%s", got, err, want)
	}
	if r.Sheet != "Avvisi" || len(r.OtherSheets) != 1 || r.OtherSheets[0] != "Altro" {
		t.Errorf("sheet %q, others %q", r.Sheet, r.OtherSheets)
	}
	if r, err = open(b, sheet.Options{Sheet: "Altro"}); err != nil {
		t.Fatal(err)
	}
	if got, err := show(r); err != nil || got != "1:qui\n" {
		t.Errorf("the other sheet = %q, %v", got, err)
	}
	if _, err = open(b, sheet.Options{Sheet: "Manca"}); err == nil {
		t.Error("a sheet that is not there was read")
	}
}

// archive is a ZIP of texts.
func archive(t testing.TB, parts map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, body := range parts {
		w, err := z.Create(name)
		if err == nil {
			_, err = io.WriteString(w, body)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// book is a workbook of one sheet, written by hand.
func book(t testing.TB, sheetData string, more map[string]string) []byte {
	t.Helper()
	parts := map[string]string{
		"xl/workbook.xml":            `<workbook xmlns:r="r"><sheets><sheet name="S" sheetId="1" r:id="rId1"/></sheets></workbook>`,
		"xl/_rels/workbook.xml.rels": `<Relationships><Relationship Id="rId1" Type="x/worksheet" Target="worksheets/s.xml"/><Relationship Id="rId2" Type="x/sharedStrings" Target="/xl/t.xml"/></Relationships>`,
		"xl/worksheets/s.xml":        sheetData,
	}
	for k, v := range more {
		parts[k] = v
	}
	return archive(t, parts)
}

func TestXLSXByHand(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, data, texts, want, code string
	}{
		{"prefixes, entities, inline and rich texts", `<x:worksheet><x:sheetData><x:row><x:c t="inlineStr"><x:is><x:r><x:t>A&amp;</x:t></x:r><x:r><x:t xml:space="preserve"> B&#233;_x000D_</x:t></x:r></x:is></x:c></x:row></x:sheetData></x:worksheet>`, "", "1:A& Bé\r\n", ""},
		{"saved results of formulas", `<sheetData><row r="2"><c r="A2"><f>1+1</f><v>2</v></c><c r="B2" t="str"><f>A1</f><v></v></c><c r="C2" t="e"><f>1/0</f><v>#DIV/0!</v></c><c r="D2"><f>X</f></c></row></sheetData>`, "", "2:2#||#DIV/0!!|ƒ\n", ""},
		{"shared texts without hints", `<sheetData><row><c t="s"><v>0</v></c><c t="s"><v>7</v></c><c t="s"><v>1</v></c></row></sheetData>`, `<sst><si><t>Ada</t><rPh><t>no</t></rPh></si><si><r><t>B</t></r><r><t>c</t></r></si></sst>`, "1:Ada||Bc\n", ""},
		{"comments and CDATA", `<sheetData><!-- <row> --><row><c t="str"><v><![CDATA[<&amp;>]]></v></c></row></sheetData>`, "", "1:<&amp;>\n", ""},
		{"the words of a merge in a text", `<sheetData><row><c t="str"><v>x:mergeCells ref</v></c></row></sheetData>`, "", "1:x:mergeCells ref\n", ""},
		{"a DTD", `<!DOCTYPE x [<!ENTITY a "b">]><sheetData><row/></sheetData>`, "", "", "format"},
		{"rows that go back", `<sheetData><row r="5"><c r="A5"><v>1</v></c></row><row r="5"/></sheetData>`, "", "5:1#\n", "format"},
		{"cells that go back", `<sheetData><row r="5"><c r="B5"><v>1</v></c><c r="A5"><v>1</v></c></row></sheetData>`, "", "", "format"},
		{"a column far away", `<sheetData><row><c r="XFD1"><v>1</v></c></row><row><c><v>2</v></c></row></sheetData>`, "", "1: ERR too_large\n2:2#\n", ""},
		{"cut off", `<sheetData><row><c><v>1</v>`, "", "", "format"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			more := map[string]string{}
			if tc.texts != "" {
				more["xl/t.xml"] = tc.texts
			}
			r, err := open(book(t, tc.data, more), sheet.Options{})
			got := ""
			if err == nil {
				got, err = show(r)
			}
			var e *sheet.Error
			if code := ""; got != tc.want || errors.As(err, &e) && e.Code != tc.code || err == nil && tc.code != code {
				t.Errorf("rows = %q, %v, want %q, %q", got, err, tc.want, tc.code)
			}
		})
	}
}

// endless gives the same bytes again and again.
type endless struct {
	part []byte
	left int
}

func (e *endless) Read(p []byte) (n int, err error) {
	for n < len(p) {
		if e.left == 0 {
			return n, io.EOF
		}
		e.left--
		n += copy(p[n:], e.part[:min(len(e.part), len(p)-n)])
	}
	return n, nil
}

func TestBombs(t *testing.T) {
	t.Parallel()
	bomb := func(name, head, part string, times int, tail string) []byte {
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		write := func(name string, r io.Reader) {
			w, err := z.Create(name)
			if err == nil {
				_, err = io.Copy(w, r)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		write("xl/workbook.xml", strings.NewReader(`<workbook><sheets><sheet name="S" r:id="rId1"/></sheets></workbook>`))
		write("xl/_rels/workbook.xml.rels", strings.NewReader(`<Relationships><Relationship Id="rId1" Type="x/worksheet" Target="worksheets/s.xml"/><Relationship Id="rId2" Type="x/sharedStrings" Target="t.xml"/></Relationships>`))
		write(name, io.MultiReader(strings.NewReader(head), &endless{[]byte(part), times}, strings.NewReader(tail)))
		if name != "xl/worksheets/s.xml" {
			write("xl/worksheets/s.xml", strings.NewReader(`<sheetData><row/></sheetData>`))
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	cell := `<si><t>` + strings.Repeat("a", 1017) + `</t></si>`
	for _, tc := range []struct {
		name string
		in   []byte
		code string
	}{
		{"texts", bomb("xl/t.xml", "<sst>", cell, 30<<10, "</sst>"), "too_large"},
		{"one text", bomb("xl/worksheets/s.xml", "<sheetData><row><c><v>", strings.Repeat("1", 1024), 1<<10, ""), "format"},
		{"relations", bomb("xl/_rels/x.rels", "", "", 0, ""), ""},
		{"entries", archive(t, func() map[string]string {
			m := map[string]string{}
			for i := range 2100 {
				m[fmt.Sprint("f", i)] = ""
			}
			return m
		}()), "format"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r, err := open(tc.in, sheet.Options{})
			if err == nil {
				_, err = show(r)
			}
			var e *sheet.Error
			if errors.As(err, &e) != (tc.code != "") || e != nil && e.Code != tc.code {
				t.Errorf("error = %v, want code %q", err, tc.code)
			}
		})
	}
}

// A million empty rows are no rows.
func TestMillionEmptyRows(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	b.WriteString(`<sheetData><row r="1"><c t="str"><v>Nome</v></c></row>`)
	for i := 2; i < 1_000_000; i++ {
		if i%100 == 0 {
			b.WriteString(`<row s="1"><c s="1"/></row>`)
		} else {
			b.WriteString(`<row/>`)
		}
	}
	b.WriteString(`<row r="1000000"><c t="str"><v>Ada</v></c></row></sheetData>`)
	r, err := open(book(t, b.String(), nil), sheet.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := show(r); err != nil || got != "1:Nome\n1000000:Ada\n" {
		t.Errorf("rows = %q, %v", got, err)
	}
}

func TestDay(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		serial   string
		from1904 bool
		want     string
	}{
		{"1", false, "1900-01-01"}, {"59", false, "1900-02-28"}, {"61", false, "1900-03-01"},
		{"46387", false, "2026-12-31"}, {"46387.75", false, "2026-12-31"}, {"44925", true, "2026-12-31"},
		{"0", false, ""}, {"-4", false, ""}, {"1E9", false, ""}, {"x", false, ""},
	} {
		if got, ok := sheet.Day(tc.serial, tc.from1904); got != tc.want || ok != (tc.want != "") {
			t.Errorf("Day(%s, %v) = %q, %v, want %q", tc.serial, tc.from1904, got, ok, tc.want)
		}
	}
}

// hostile are texts that programs would take for formulas.
var hostile = []string{"=1+1", "+39 0564", "-5", "@SUM(A1)", "\t=1", "\r=1", "=HYPERLINK(\"http://x.example\",\"clic\")"}

func TestWriteCSV(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	w, err := sheet.NewWriter(&b, sheet.CSV, "Nome", "Importo", "Giorno", "Quando")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 12, 31, 9, 5, 7, 0, time.UTC)
	for _, h := range append(hostile, `Ada "la; brava"`, "due\nrighe", "") {
		if err := w.Row(h, money.Cents(123456), sheet.Civil{Year: 2026, Month: 1, Day: 2}, at); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Row(nil, nil, sheet.Civil{}, time.Time{}), w.Close()); err != nil {
		t.Fatal(err)
	}
	if w.Row(3) == nil {
		t.Error("an int was written")
	}
	lines := strings.Split(b.String(), "\r\n")
	if lines[0] != "\ufeffNome;Importo;Giorno;Quando" || lines[1] != "'=1+1;1234,56;02/01/2026;31/12/2026 09:05:07" {
		t.Errorf("lines begin %q", lines[:2])
	}
	r, err := open(b.Bytes(), sheet.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; ; n++ {
		row, err := r.Next()
		if errors.Is(err, io.EOF) {
			if n != len(hostile)+5 {
				t.Errorf("%d rows came back", n)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range row.Cells {
			if c.Kind == sheet.Formula || c.Text != "" && strings.ContainsAny(c.Text[:1], "=+-@\t\r") {
				t.Errorf("row %d has the formula %q", n, c.Text)
			}
		}
	}
}

func TestWriteXLSX(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	w, err := sheet.NewWriter(&b, sheet.XLSX, "Nome", "Importo", "Giorno", "Quando")
	if err != nil {
		t.Fatal(err)
	}
	texts := append(hostile, "Niccolò <&> \x01", "301202600000004244")
	for _, h := range texts {
		err = errors.Join(err, w.Row(h, money.Cents(123456), sheet.Civil{Year: 2026, Month: 12, Day: 31}, time.Date(2026, 12, 31, 9, 5, 7, 0, time.UTC)))
	}
	if err = errors.Join(err, w.Row(nil, nil, nil, nil), w.Close()); err != nil {
		t.Fatal(err)
	}
	if w.Close() == nil {
		t.Error("closed twice")
	}
	f, err := excelize.OpenReader(bytes.NewReader(b.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	name := f.GetSheetName(0)
	for i, h := range texts {
		ref := fmt.Sprintf("A%d", i+2)
		got, err := f.GetCellValue(name, ref)
		formula, err2 := f.GetCellFormula(name, ref)
		want := strings.NewReplacer("\x01", "", "\r", "").Replace(h)
		if strings.ContainsAny(h[:1], "=+-@\t\r") {
			want = "'" + want
		}
		if err := errors.Join(err, err2); err != nil || got != want || formula != "" {
			t.Errorf("%s = %q, formula %q, %v, want %q", ref, got, formula, err, want)
		}
		for _, c := range []struct{ col, raw, shown string }{{"B", "1234.56", "1,234.56"}, {"C", "46387", "12-31-26"}, {"D", "46387.37855324", "31/12/2026 09:05:07"}} {
			ref := fmt.Sprintf("%s%d", c.col, i+2)
			raw, err := f.GetCellValue(name, ref, excelize.Options{RawCellValue: true})
			shown, err2 := f.GetCellValue(name, ref)
			if err := errors.Join(err, err2); err != nil || raw != c.raw || shown != c.shown {
				t.Errorf("%s = %s (%s), %v, want %s (%s)", ref, raw, shown, err, c.raw, c.shown)
			}
		}
	}
	r, err := open(b.Bytes(), sheet.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := show(r); err != nil || !strings.Contains(got, "3:'+39 0564|1234.56#|2026-12-31@|2026-12-31@\n") {
		t.Errorf("read back %q, %v", got, err)
	}
}

// FuzzOpen: whatever the bytes, reading ends, within bounds, with rows or an
// *Error.
func FuzzOpen(f *testing.F) {
	f.Add([]byte("Nome;Importo\nNiccolò;16,50 €\n"))
	f.Add([]byte("sep=,\r\n\"a\"\"b\",\"c\nd\"\r"))
	f.Add(utf16le("Nome\tImporto\nò\t1\n", true))
	f.Add(windows("Nome,Importo\nò,1\n"))
	f.Add([]byte(`{"a":{"b":1},"c":"x"}` + "\n{}\n"))
	f.Add(workbook(f, func(x *excelize.File) {
		set(f, x, "Sheet1", map[string]any{"A1": "Nome", "B2": 16.5, "C3": time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)})
		_ = x.MergeCell("Sheet1", "A1", "A3")
		_ = x.SetCellFormula("Sheet1", "D4", "A1+1")
	}))
	f.Add(book(f, `<x:sheetData><row r="2"><c r="A2" t="inlineStr"><is><t>a&#65;<![CDATA[b]]></t></is></c></row></x:sheetData><mergeCells><mergeCell ref="A2:A9"/></mergeCells>`, nil))
	f.Fuzz(func(t *testing.T, b []byte) { readAll(t, b) })
}

// FuzzSheet is FuzzOpen for the XML inside, which ZIP's checksums would hide.
func FuzzSheet(f *testing.F) {
	f.Add(`<sheetData><row r="2"><c r="A2" t="s"><f>x</f><v>0</v></c><c><is><t>a&#65;</t></is></c></row></sheetData><mergeCells><mergeCell ref="A2:A9"/></mergeCells>`, `<sst><si><t>x</t><rPh><t>y</t></rPh></si></sst>`)
	f.Add(`<!-- a --><a:sheetData b=">" c='"'><![CDATA[<]]></a:sheetData>`, `<?xml ?><sst/>`)
	f.Fuzz(func(t *testing.T, data, texts string) {
		readAll(t, book(t, data, map[string]string{"xl/t.xml": texts}))
	})
}

func readAll(t *testing.T, b []byte) {
	r, err := open(b, sheet.Options{})
	last := 0
	for n := 0; err == nil; n++ {
		var row *sheet.Row
		if row, err = r.Next(); err != nil {
			break
		}
		if row.Number <= last || len(row.Cells) > sheet.MaxColumns || row.Names != nil && len(row.Names) != len(row.Cells) {
			t.Fatalf("row %d after %d with %d cells", row.Number, last, len(row.Cells))
		}
		last = row.Number
	}
	if !errors.Is(err, io.EOF) && !errors.As(err, new(*sheet.Error)) {
		t.Fatalf("error %v", err)
	}
}
