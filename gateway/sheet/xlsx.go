// SPDX-License-Identifier: Apache-2.0

package sheet

import (
	"archive/zip"
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The bounds of a workbook's archive. archive/zip reads the whole directory
// into memory, so its size is looked at before.
const (
	maxEntries   = 2000
	maxDirectory = 1 << 20
	maxMerges    = 50_000
	maxRow       = 1 << 20 // of the format itself
)

// xlsxRows reads a sheet of a workbook (ECMA-376, part 1, section 18.3) as a
// stream, without building anything of it in memory.
type xlsxRows struct {
	xml      *scanner
	in       *counter
	texts    []string
	dates    []bool // by style
	from1904 bool
	last     int // number of the last row
	col      int // of the next cell that does not say its own
	inside   bool
	merges   []merge // by top
	active   []merge
}

// merge is a cell that spans several rows.
type merge struct {
	col, top, bottom int
	cell             Cell
}

func (f *Reader) openXLSX(r io.ReaderAt, size int64, opt Options) error {
	if err := checkArchive(r, size); err != nil {
		return err
	}
	archive, err := zip.NewReader(r, size)
	if err != nil {
		return archiveError(err)
	}
	w := workbook{files: map[string]*zip.File{}}
	for _, e := range archive.File {
		if e.Flags&1 != 0 {
			return fault("format", 0, "la cartella di lavoro è protetta da password: salvala senza")
		}
		w.files[strings.TrimPrefix(e.Name, "/")] = e
	}
	if err := w.read(); err != nil {
		return err
	}
	at := -1
	for i, s := range w.sheets {
		switch {
		case opt.Sheet != "" && s.name == opt.Sheet, opt.Sheet == "" && !s.hidden && at < 0:
			at = i
		}
	}
	switch {
	case at < 0 && opt.Sheet != "":
		return fault("sheet", 0, "la cartella di lavoro non ha un foglio con questo nome")
	case at < 0:
		return fault("sheet", 0, "la cartella di lavoro non ha fogli visibili")
	}
	for i, s := range w.sheets {
		if i != at && !s.hidden {
			f.OtherSheets = append(f.OtherSheets, s.name)
		}
	}
	f.Encoding, f.Sheet = "utf-8", w.sheets[at].name
	rows := &xlsxRows{texts: w.texts, dates: w.dates, from1904: w.from1904}
	part := w.files[w.sheets[at].part]
	if part == nil {
		return errXML
	}
	// The merged cells stand behind the rows.
	err = w.open(part, maxSheet, func(s io.Reader) error { return rows.findMerges(s) })
	if err != nil {
		return err
	}
	body, err := part.Open()
	if err != nil {
		return archiveError(err)
	}
	rows.in = &counter{r: &limited{body, maxSheet}, size: int64(part.UncompressedSize64)}
	rows.xml = newScanner(rows.in)
	f.rows = rows
	return nil
}

// checkArchive reads the end record of a ZIP: how large the directory is.
func checkArchive(r io.ReaderAt, size int64) error {
	tail := make([]byte, min(size, 64<<10+22))
	if _, err := r.ReadAt(tail, size-int64(len(tail))); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	at := bytes.LastIndex(tail, []byte("PK\x05\x06"))
	if at < 0 || len(tail)-at < 22 {
		return fault("format", 0, "la cartella di lavoro è stata tagliata o è danneggiata: caricala di nuovo")
	}
	end := tail[at:]
	entries := binary.LittleEndian.Uint16(end[10:])
	length, offset := int64(binary.LittleEndian.Uint32(end[12:])), int64(binary.LittleEndian.Uint32(end[16:]))
	// Between the two a ZIP64 record of 76 bytes may stand; more would be a
	// directory longer than it says.
	gap := size - int64(len(tail)) + int64(at) - offset - length
	if entries > maxEntries || length > maxDirectory || gap < 0 || gap > 128 {
		return fault("format", 0, "la cartella di lavoro non è fatta come le altre: aprila e salvala di nuovo come .xlsx")
	}
	return nil
}

func archiveError(err error) error {
	switch {
	case errors.Is(err, zip.ErrFormat), errors.Is(err, zip.ErrAlgorithm), errors.Is(err, zip.ErrChecksum), errors.Is(err, io.ErrUnexpectedEOF):
		return fault("format", 0, "la cartella di lavoro è stata tagliata o è danneggiata: caricala di nuovo")
	}
	var e *Error
	if errors.As(err, &e) {
		return err
	}
	if strings.HasPrefix(err.Error(), "flate:") || strings.HasPrefix(err.Error(), "zip:") {
		return errXML
	}
	return err
}

// limited fails, rather than ends, when more comes than a part may have: the
// size that an archive states proves nothing.
type limited struct {
	r    io.Reader
	left int64
}

func (l *limited) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, fault("too_large", 0, "la cartella di lavoro, una volta decompressa, è troppo grande: tieni solo la tabella, in un foglio, e cancella le righe e le colonne vuote formattate")
	}
	n, err := l.r.Read(p[:min(int64(len(p)), l.left)])
	l.left -= int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		err = archiveError(err)
	}
	return n, err
}

// workbook is what the parts around the sheets say.
type workbook struct {
	files    map[string]*zip.File
	sheets   []sheetPart
	texts    []string
	dates    []bool
	from1904 bool
}

type sheetPart struct {
	name, id, part string
	hidden         bool
}

func (w *workbook) open(f *zip.File, limit int64, read func(io.Reader) error) error {
	body, err := f.Open()
	if err != nil {
		return archiveError(err)
	}
	err = read(&limited{body, limit})
	_ = body.Close()
	return err
}

// scan gives every start of a part to fn.
func (w *workbook) scan(f *zip.File, fn func(*scanner) error) error {
	return w.open(f, maxPart, func(r io.Reader) error {
		s := newScanner(r)
		for {
			t, err := s.next()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err == nil && t == startTag {
				err = fn(s)
			}
			if err != nil {
				return err
			}
		}
	})
}

// relations are the targets of a part, by id and by the last word of the type.
func (w *workbook) relations(of string) (byID, byType map[string]string, err error) {
	dir, file := path.Split(of)
	byID, byType = map[string]string{}, map[string]string{}
	f := w.files[path.Join(dir, "_rels", file+".rels")]
	if f == nil {
		return byID, byType, nil
	}
	err = w.scan(f, func(s *scanner) error {
		if string(s.name) == "Relationship" {
			target := unescape(s.attr("Target"))
			if strings.HasPrefix(target, "/") {
				target = target[1:]
			} else {
				target = path.Join(dir, target)
			}
			byID[unescape(s.attr("Id"))] = target
			byType[path.Base(unescape(s.attr("Type")))] = target
		}
		return nil
	})
	return byID, byType, err
}

func (w *workbook) read() error {
	_, root, err := w.relations("")
	if err != nil {
		return err
	}
	main := root["officeDocument"]
	if main == "" {
		main = "xl/workbook.xml"
	}
	f := w.files[main]
	if f == nil {
		return fault("format", 0, "l'archivio non è una cartella di lavoro .xlsx")
	}
	byID, byType, err := w.relations(main)
	if err != nil {
		return err
	}
	err = w.scan(f, func(s *scanner) error {
		switch string(s.name) {
		case "workbookPr":
			v := string(s.attr("date1904"))
			w.from1904 = v == "1" || v == "true"
		case "sheet":
			state := string(s.attr("state"))
			w.sheets = append(w.sheets, sheetPart{
				name: unescape(s.attr("name")), id: unescape(s.attr("id")), hidden: state == "hidden" || state == "veryHidden",
			})
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i := range w.sheets {
		w.sheets[i].part = byID[w.sheets[i].id]
	}
	if len(w.sheets) == 0 {
		return fault("format", 0, "l'archivio non è una cartella di lavoro .xlsx")
	}
	if f := w.files[byType["styles"]]; f != nil {
		if err := w.readStyles(f); err != nil {
			return err
		}
	}
	if f := w.files[byType["sharedStrings"]]; f != nil {
		return w.open(f, 4*maxTexts, w.readTexts)
	}
	return nil
}

// readStyles finds which styles of cells show a number as a day.
func (w *workbook) readStyles(f *zip.File) error {
	custom := map[string]bool{}
	cells := false
	return w.open(f, maxPart, func(r io.Reader) error {
		s := newScanner(r)
		for {
			t, err := s.next()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			switch name := string(s.name); {
			case t == chars:
			case name == "numFmt" && t == startTag:
				custom[string(s.attr("numFmtId"))] = dateFormat(unescape(s.attr("formatCode")))
			case name == "cellXfs":
				cells = t == startTag
			case name == "xf" && t == startTag && cells:
				id := string(s.attr("numFmtId"))
				date, own := custom[id]
				if n, err := strconv.Atoi(id); !own && err == nil {
					date = n >= 14 && n <= 17 || n == 22 || n >= 27 && n <= 36 || n >= 50 && n <= 58
				}
				w.dates = append(w.dates, date)
			}
		}
	})
}

// dateFormat says whether a number format shows a day: it has a d or a y outside
// of quotes, brackets and escapes.
func dateFormat(code string) bool {
	for i := 0; i < len(code); i++ {
		switch c := code[i]; c {
		case '"':
			end := strings.IndexByte(code[i+1:], '"')
			if end < 0 {
				return false
			}
			i += end + 1
		case '[':
			end := strings.IndexByte(code[i:], ']')
			if end < 0 {
				return false
			}
			i += end
		case '\\', '_', '*':
			i++
		case 'd', 'D', 'y', 'Y':
			return true
		case ';':
			return false // the other parts are for negative numbers, zero and text
		}
	}
	return false
}

// readTexts reads the shared texts. Phonetic hints of Asian scripts are no part
// of them.
func (w *workbook) readTexts(r io.Reader) error {
	var all strings.Builder
	var ends []int
	s := newScanner(r)
	inText, phonetic := false, false
	for {
		t, err := s.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if t == chars {
			if inText && !phonetic {
				all.WriteString(unescape(s.text))
			}
			if all.Len() > maxTexts || len(ends) > maxTexts/8 {
				return fault("too_large", 0, "la cartella di lavoro ha troppi testi: salvala come CSV, o dividila")
			}
			continue
		}
		switch string(s.name) {
		case "t":
			inText = t == startTag
		case "rPh":
			phonetic = t == startTag
		case "si":
			if t == endTag {
				ends = append(ends, all.Len())
			}
		}
	}
	text, from := all.String(), 0
	w.texts = make([]string, len(ends))
	for i, end := range ends {
		w.texts[i], from = text[from:end], end
	}
	return nil
}

// findMerges reads the merged cells, which stand behind a sheet's rows: it looks
// for them in the bytes, without making anything of the rows.
func (x *xlsxRows) findMerges(r io.Reader) error {
	const mark = "mergeCells"
	buf := make([]byte, 64<<10)
	kept := 0
	for {
		n, err := io.ReadFull(r, buf[kept:])
		n += kept
		end := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !end {
			return err
		}
		if at := elementAt(buf[:n], mark); at >= 0 {
			return x.readMerges(io.MultiReader(strings.NewReader("<"), bytes.NewReader(buf[at:n]), r))
		}
		if end {
			return nil
		}
		kept = copy(buf, buf[n-maxPrefix-len(mark):n])
	}
}

// maxPrefix is how long a namespace prefix may be for elementAt.
const maxPrefix = 32

// elementAt finds where an element's name stands: behind a < and maybe a prefix,
// which no text can have before it.
func elementAt(b []byte, name string) int {
	for from := 0; ; {
		at := bytes.Index(b[from:], []byte(name))
		if at < 0 {
			return -1
		}
		at += from
		from = at + len(name)
		for i := at - 1; i >= 0 && at-i <= maxPrefix; i-- {
			if b[i] == '<' && (i == at-1 || b[at-1] == ':') {
				return at
			}
			if b[i] != ':' && (b[i]|0x20 < 'a' || b[i]|0x20 > 'z') && (b[i] < '0' || b[i] > '9') {
				break
			}
		}
	}
}

func (x *xlsxRows) readMerges(r io.Reader) error {
	s := newScanner(r)
	for {
		t, err := s.next()
		if errors.Is(err, io.EOF) || err == nil && t == endTag && string(s.name) == "mergeCells" {
			break
		}
		if err != nil {
			return err
		}
		if t != startTag || string(s.name) != "mergeCell" {
			continue
		}
		from, to, ok := strings.Cut(string(s.attr("ref")), ":")
		c1, r1 := place([]byte(from))
		c2, r2 := place([]byte(to))
		if !ok || c1 < 0 || c2 < c1 || r2 <= r1 {
			continue // within one row: its first cell has the value
		}
		if len(x.merges) >= maxMerges {
			return fault("too_large", 0, "il foglio ha troppe celle unite: separale")
		}
		x.merges = append(x.merges, merge{col: c1, top: r1, bottom: r2})
	}
	slices.SortFunc(x.merges, func(a, b merge) int { return cmp.Compare(a.top, b.top) })
	return nil
}

// place is the column, from 0, and row, from 1, of a reference like AB12; the
// column is -1 when it is none.
func place(ref []byte) (col, row int) {
	i := 0
	for ; i < len(ref) && ref[i] >= 'A' && ref[i] <= 'Z' && i < 3; i++ {
		col = col*26 + int(ref[i]-'A') + 1
	}
	if i == 0 || i == len(ref) || len(ref)-i > 7 {
		return -1, 0
	}
	for ; i < len(ref); i++ {
		if ref[i] < '0' || ref[i] > '9' {
			return -1, 0
		}
		row = row*10 + int(ref[i]-'0')
	}
	return col - 1, row
}

func (x *xlsxRows) done() float64 { return x.in.done() }

func (x *xlsxRows) next(row *Row) error {
	for {
		t, err := x.xml.next()
		if err != nil {
			return err
		}
		switch {
		case t == startTag && string(x.xml.name) == "sheetData":
			x.inside = true
		case t == endTag && string(x.xml.name) == "sheetData":
			return io.EOF
		case t == startTag && x.inside && string(x.xml.name) == "row":
			return x.row(row)
		}
	}
}

func (x *xlsxRows) row(row *Row) error {
	n := x.last + 1
	if r := x.xml.attr("r"); r != nil {
		var err error
		if n, err = strconv.Atoi(string(r)); err != nil || n <= x.last || n > maxRow {
			return errXML
		}
	}
	x.last, x.col, row.Number = n, 0, n
	if h := string(x.xml.attr("hidden")); h == "1" || h == "true" {
		row.Hidden = true
	}
	for {
		t, err := x.xml.next()
		if err != nil {
			return cutOff(err)
		}
		switch name := string(x.xml.name); {
		case t == startTag && name == "c":
			if err := x.cell(row); err != nil {
				return cutOff(err)
			}
		case t == endTag && name == "row":
			x.fill(row)
			return nil
		}
	}
}

func cutOff(err error) error {
	if errors.Is(err, io.EOF) {
		return errXML
	}
	return err
}

func (x *xlsxRows) cell(row *Row) error {
	col := x.col
	if r := x.xml.attr("r"); r != nil {
		if col, _ = place(r); col < x.col {
			return errXML
		}
	}
	x.col = col + 1
	kind, style := string(x.xml.attr("t")), -1
	if s := x.xml.attr("s"); s != nil {
		style, _ = strconv.Atoi(string(s))
	}
	var value string
	formula, has, in, phonetic := false, false, false, false
	for {
		t, err := x.xml.next()
		if err != nil {
			return err
		}
		name := string(x.xml.name)
		if t == endTag && name == "c" {
			break
		}
		switch {
		case t == chars:
			if in && !phonetic {
				value += unescape(x.xml.text)
			}
			if len(value) > 4*MaxCell {
				return errXML
			}
		case name == "f":
			formula = true
			in = false
		case name == "rPh":
			phonetic = t == startTag
		case name == "v" || name == "t":
			in = t == startTag
			has = true
		}
	}
	c := x.value(kind, style, value)
	if formula && (!has || value == "" && kind != "str") {
		c = Cell{Kind: Formula}
	}
	if c.Text == "" && c.Kind < Formula {
		return nil
	}
	if col >= MaxColumns {
		row.Err = fault("too_large", row.Number, "la riga ha più di %d colonne", MaxColumns)
		return nil
	}
	for len(row.Cells) < col {
		row.Cells = append(row.Cells, Cell{})
	}
	row.Cells = append(row.Cells, c)
	return nil
}

func (x *xlsxRows) value(kind string, style int, value string) Cell {
	switch kind {
	case "s":
		if i, err := strconv.Atoi(value); err == nil && i >= 0 && i < len(x.texts) {
			return Cell{Text: x.texts[i]}
		}
		return Cell{}
	case "str", "inlineStr":
		return Cell{Text: value}
	case "b":
		if value == "1" || value == "true" {
			return Cell{Text: "true", Kind: Bool}
		}
		return Cell{Text: "false", Kind: Bool}
	case "e":
		return Cell{Text: value, Kind: Fault}
	case "d":
		if len(value) >= 10 {
			value = value[:10]
		}
		return Cell{Text: value, Kind: Date}
	}
	if value = strings.TrimSpace(value); value == "" {
		return Cell{}
	}
	if style >= 0 && style < len(x.dates) && x.dates[style] {
		if day, ok := Day(value, x.from1904); ok {
			return Cell{Text: day, Kind: Date}
		}
	}
	return Cell{Text: value, Kind: Number}
}

// Day is the day that a spreadsheet's serial number stands for, YYYY-MM-DD: days
// since the end of 1899, or since the start of 1904 in books of old Macintoshes.
func Day(serial string, from1904 bool) (string, bool) {
	whole, _, _ := strings.Cut(serial, ".")
	n, err := strconv.Atoi(whole)
	if err != nil || n < 1 || n > 2_958_465 {
		return "", false
	}
	start := time.Date(1899, 12, 30, 0, 0, 0, 0, time.UTC)
	switch {
	case from1904:
		start = time.Date(1904, 1, 1, 0, 0, 0, 0, time.UTC)
	case n < 60: // the format counts a 29 February 1900, which never was
		start = start.AddDate(0, 0, 1)
	}
	return start.AddDate(0, 0, n).Format(time.DateOnly), true
}

// fill gives the rows under a merged cell its value. A row that has nothing else
// stays empty.
func (x *xlsxRows) fill(row *Row) {
	for len(x.merges) > 0 && x.merges[0].top <= row.Number {
		m := x.merges[0]
		x.merges = x.merges[1:]
		if m.top == row.Number && m.col < len(row.Cells) {
			row.Cells[m.col].Merged = true
			m.cell = row.Cells[m.col]
			x.active = append(x.active, m)
		}
	}
	if len(x.active) == 0 {
		return
	}
	x.active = slices.DeleteFunc(x.active, func(m merge) bool { return m.bottom < row.Number })
	if row.Empty() {
		return
	}
	for _, m := range x.active {
		if m.top == row.Number {
			continue
		}
		for len(row.Cells) <= m.col {
			row.Cells = append(row.Cells, Cell{})
		}
		if c := &row.Cells[m.col]; c.Text == "" && c.Kind < Formula {
			*c = m.cell
		}
	}
}
