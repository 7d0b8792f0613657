// SPDX-License-Identifier: Apache-2.0

package sheet

import (
	"archive/zip"
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nodogate/nodogate/gateway/money"
)

// Writer writes a table as a stream: what was given to Row is on its way, and
// nothing of it is kept. Not safe for concurrent use.
type Writer struct {
	out interface {
		row(values []any) error
		close() error
	}
}

// NewWriter begins a table in CSV or XLSX with the names of its columns.
func NewWriter(w io.Writer, f Format, columns ...string) (*Writer, error) {
	names := make([]any, len(columns))
	for i, c := range columns {
		names[i] = c
	}
	var out Writer
	switch f {
	case CSV:
		c := &csvWriter{w: bufio.NewWriterSize(w, 32<<10)}
		_, _ = c.w.Write(utf8BOM) // without it Excel takes the text for Windows-1252
		out.out = c
	case XLSX:
		out.out = &xlsxWriter{zip: zip.NewWriter(w), names: names, now: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)}
		return &out, nil // the names stand on each sheet
	default:
		return nil, fmt.Errorf("sheet: cannot write %s", f)
	}
	return &out, out.out.row(names)
}

// Row writes one row. A value is a string, a money.Cents (a number), a
// time.Time (an instant, shown in its zone), a Civil day, or nil for an empty
// cell.
func (w *Writer) Row(values ...any) error { return w.out.row(values) }

// Close ends the table; without it a workbook is not one. It does not close
// what is below.
func (w *Writer) Close() error { return w.out.close() }

// Civil is a day as a value.
type Civil struct {
	Year  int
	Month time.Month
	Day   int
}

// harmless keeps a text from being taken for a formula by the program that opens
// it: a text that begins like one is led by an apostrophe (OWASP, CSV
// injection).
func harmless(s string) string {
	if s != "" && strings.IndexByte("=+-@\t\r\n", s[0]) >= 0 || strings.HasPrefix(s, "＝") {
		return "'" + s
	}
	return s
}

type csvWriter struct{ w *bufio.Writer }

func (c *csvWriter) row(values []any) error {
	for i, v := range values {
		if i > 0 {
			_ = c.w.WriteByte(';')
		}
		switch v := v.(type) {
		case nil:
		case string:
			c.text(harmless(v))
		case money.Cents:
			_, _ = c.w.WriteString(strings.Replace(v.String(), ".", ",", 1))
		case Civil:
			if v.Year > 0 {
				fmt.Fprintf(c.w, "%02d/%02d/%04d", v.Day, v.Month, v.Year)
			}
		case time.Time:
			if !v.IsZero() {
				_, _ = c.w.WriteString(v.Format("02/01/2006 15:04:05"))
			}
		default:
			return fmt.Errorf("sheet: a cell cannot be %T", v)
		}
	}
	_, err := c.w.WriteString("\r\n")
	return err
}

func (c *csvWriter) text(s string) {
	if !strings.ContainsAny(s, ";\"\r\n,\t") && s == strings.TrimSpace(s) {
		_, _ = c.w.WriteString(s)
		return
	}
	_ = c.w.WriteByte('"')
	_, _ = c.w.WriteString(strings.ReplaceAll(s, `"`, `""`))
	_ = c.w.WriteByte('"')
}

func (c *csvWriter) close() error { return c.w.Flush() }

// Styles of xlsxWriter, as numbered in its styles part.
const (
	styleHead = iota + 1
	styleText
	styleMoney
	styleDay
	styleInstant
)

// maxRows is how many rows a sheet of a workbook can have.
const maxRows = 1 << 20

// xlsxWriter writes a workbook whose texts stand in their cells, so that no
// table of texts has to be kept to the end.
type xlsxWriter struct {
	zip    *zip.Writer
	names  []any
	now    time.Time // the same for every file: two equal tables are equal files
	w      *bufio.Writer
	sheets int
	rows   int // of the current sheet
	closed bool
}

func (x *xlsxWriter) part(name string) (io.Writer, error) {
	return x.zip.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: x.now})
}

const xmlHead = `<?xml version="1.0" encoding="UTF-8" standalone="yes"?>` + "\n"

func (x *xlsxWriter) begin() error {
	if err := x.end(); err != nil {
		return err
	}
	x.sheets++
	x.rows = 0
	w, err := x.part(fmt.Sprintf("xl/worksheets/sheet%d.xml", x.sheets))
	if err != nil {
		return err
	}
	x.w = bufio.NewWriterSize(w, 32<<10)
	_, _ = x.w.WriteString(xmlHead + `<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">` +
		`<sheetViews><sheetView workbookViewId="0"><pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" state="frozen"/></sheetView></sheetViews>` +
		`<cols><col min="1" max="` + strconv.Itoa(max(1, len(x.names))) + `" width="22" customWidth="1"/></cols><sheetData>`)
	return x.write(x.names, styleHead)
}

func (x *xlsxWriter) end() error {
	if x.w == nil {
		return nil
	}
	_, _ = x.w.WriteString(`</sheetData></worksheet>`)
	err := x.w.Flush()
	x.w = nil
	return err
}

func (x *xlsxWriter) row(values []any) error {
	if x.closed {
		return errors.New("sheet: closed")
	}
	if x.w == nil || x.rows == maxRows {
		if err := x.begin(); err != nil {
			return err
		}
	}
	return x.write(values, styleText)
}

func (x *xlsxWriter) write(values []any, textStyle int) error {
	x.rows++
	fmt.Fprintf(x.w, `<row r="%d">`, x.rows)
	for i, v := range values {
		ref := columnName(i) + strconv.Itoa(x.rows)
		number := func(style int, n string) {
			fmt.Fprintf(x.w, `<c r="%s" s="%d"><v>%s</v></c>`, ref, style, n)
		}
		switch v := v.(type) {
		case nil:
		case string:
			if v != "" {
				fmt.Fprintf(x.w, `<c r="%s" s="%d" t="inlineStr"><is><t xml:space="preserve">`, ref, textStyle)
				x.text(harmless(v))
				_, _ = x.w.WriteString(`</t></is></c>`)
			}
		case money.Cents:
			number(styleMoney, v.String())
		case Civil:
			if v.Year > 0 {
				number(styleDay, strconv.Itoa(serial(v)))
			}
		case time.Time:
			if !v.IsZero() {
				year, month, day := v.Date()
				h, m, s := v.Clock()
				// The fraction of the day to a second's grain.
				number(styleInstant, strconv.FormatFloat(float64(serial(Civil{year, month, day}))+float64(h*3600+m*60+s)/86400, 'f', 8, 64))
			}
		default:
			return fmt.Errorf("sheet: a cell cannot be %T", v)
		}
	}
	_, err := x.w.WriteString(`</row>`)
	return err
}

// serial is the spreadsheet's number of a day; see Day.
func serial(d Civil) int {
	start := time.Date(1899, 12, 30, 0, 0, 0, 0, time.UTC)
	return int(time.Date(d.Year, d.Month, d.Day, 0, 0, 0, 0, time.UTC).Sub(start).Hours() / 24)
}

func columnName(i int) string {
	name := ""
	for i++; i > 0; i = (i - 1) / 26 {
		name = string(rune('A'+(i-1)%26)) + name
	}
	return name
}

// text writes what XML can say of a text: other control characters are dropped.
func (x *xlsxWriter) text(s string) {
	for len(s) > MaxCell {
		_, n := utf8.DecodeLastRuneInString(s[:MaxCell+1])
		s = s[:MaxCell+1-n]
	}
	for _, r := range s {
		switch {
		case r == '<':
			_, _ = x.w.WriteString("&lt;")
		case r == '>':
			_, _ = x.w.WriteString("&gt;")
		case r == '&':
			_, _ = x.w.WriteString("&amp;")
		case r == '\n' || r == '\t' || r >= ' ' && r != 0xfffe && r != 0xffff:
			_, _ = x.w.WriteRune(r)
		}
	}
}

func (x *xlsxWriter) close() error {
	if x.closed {
		return errors.New("sheet: closed")
	}
	if x.sheets == 0 {
		if err := x.begin(); err != nil {
			return err
		}
	}
	x.closed = true
	if err := x.end(); err != nil {
		return err
	}
	var types, rels, sheets strings.Builder
	for i := 1; i <= x.sheets; i++ {
		fmt.Fprintf(&types, `<Override PartName="/xl/worksheets/sheet%d.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/>`, i)
		fmt.Fprintf(&rels, `<Relationship Id="rId%d" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" Target="worksheets/sheet%d.xml"/>`, i, i)
		fmt.Fprintf(&sheets, `<sheet name="Foglio%d" sheetId="%d" r:id="rId%d"/>`, i, i, i)
	}
	for _, p := range []struct{ name, body string }{
		{"xl/workbook.xml", `<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><sheets>` + sheets.String() + `</sheets></workbook>`},
		{"xl/_rels/workbook.xml.rels", `<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">` + rels.String() +
			`<Relationship Id="rIdStyles" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/styles" Target="styles.xml"/></Relationships>`},
		{"xl/styles.xml", stylesPart},
		{"_rels/.rels", `<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>`},
		{"[Content_Types].xml", `<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" ContentType="application/xml"/>` +
			`<Override PartName="/xl/workbook.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/><Override PartName="/xl/styles.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.styles+xml"/>` + types.String() + `</Types>`},
	} {
		w, err := x.part(p.name)
		if err == nil {
			_, err = io.WriteString(w, xmlHead+p.body)
		}
		if err != nil {
			return err
		}
	}
	return x.zip.Close()
}

// The styles, in the order of the constants: plain, head, text (so that a notice
// number stays one), money, day, instant.
const stylesPart = `<styleSheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">` +
	`<numFmts count="1"><numFmt numFmtId="164" formatCode="dd/mm/yyyy\ hh:mm:ss"/></numFmts>` +
	`<fonts count="2"><font><sz val="11"/><name val="Calibri"/></font><font><b/><sz val="11"/><name val="Calibri"/></font></fonts>` +
	`<fills count="2"><fill><patternFill patternType="none"/></fill><fill><patternFill patternType="gray125"/></fill></fills>` +
	`<borders count="1"><border><left/><right/><top/><bottom/><diagonal/></border></borders>` +
	`<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs>` +
	`<cellXfs count="6"><xf numFmtId="0" fontId="0" fillId="0" borderId="0" xfId="0"/>` +
	`<xf numFmtId="49" fontId="1" fillId="0" borderId="0" xfId="0" applyNumberFormat="1" applyFont="1"/>` +
	`<xf numFmtId="49" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>` +
	`<xf numFmtId="4" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>` +
	`<xf numFmtId="14" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>` +
	`<xf numFmtId="164" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/></cellXfs>` +
	`<cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles></styleSheet>`
