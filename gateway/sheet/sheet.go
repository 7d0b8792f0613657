// SPDX-License-Identifier: Apache-2.0

// Package sheet reads and writes tables as schools have them: CSV in whatever
// encoding and with whatever separator, XLSX, and NDJSON.
//
// Reading is bounded everywhere, because the bytes come from outside: a row, a
// cell, the texts and the unpacked size all have limits, and a file of any size
// is read in constant memory (the shared texts of a workbook apart). That, and
// that nothing of a person may be spilled to a temporary file, is why workbooks
// are read and written here by hand; a library proves it in the tests.
//
// The package knows nothing of notices: what a column means is its caller's
// business. What a caller gets wrong: a Row and its cells are valid until the
// next call of Next only, and Row.Number is the number the spreadsheet program
// shows, title rows and empty rows counted.
package sheet

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Format is how a table is written. Stored and sent: never renamed.
type Format string

const (
	CSV    Format = "csv"
	XLSX   Format = "xlsx"
	NDJSON Format = "ndjson"
)

// The limits of what is read. They are far above what a school's file needs.
const (
	MaxColumns = 500
	// MaxCell is the longest text that a spreadsheet program keeps in a cell.
	MaxCell = 32_767
	// maxSheet is how large one sheet of a workbook may be when unpacked,
	// maxTexts its shared texts, which are kept in memory, and maxPart any other
	// part of it.
	maxSheet = 1 << 30
	maxTexts = 24 << 20
	maxPart  = 4 << 20
	// maxBreaks is how many line breaks a quoted cell may have: more is a quote
	// that was never closed.
	maxBreaks = 20
)

// Error says why a file, or a row of it, cannot be read, in Italian, for the
// person who made the file. It never repeats what the file says.
type Error struct {
	Code    string // stable: format, encoding, syntax, too_large, empty, sheet
	Row     int    // 0: the file as a whole
	Message string
}

func (e *Error) Error() string {
	if e.Row > 0 {
		return fmt.Sprintf("riga %d: %s", e.Row, e.Message)
	}
	return e.Message
}

func fault(code string, row int, format string, args ...any) *Error {
	return &Error{code, row, fmt.Sprintf(format, args...)}
}

// Cell is one value as it stands in the file.
type Cell struct {
	// Text is the value: of a number its digits with a decimal point, of a date
	// YYYY-MM-DD.
	Text string
	Kind Kind
	// Merged says that the cell is part of one that spans several rows; all of
	// them carry its value.
	Merged bool
}

// Kind tells what a Cell is.
type Kind uint8

const (
	Text Kind = iota
	Number
	Date
	Bool    // Text is true or false
	Formula // without a saved result: Text is empty
	Fault   // a formula's error, for example #N/D
)

// Row is one row of a table.
type Row struct {
	Number int
	Cells  []Cell
	// Names are the names of the cells; of NDJSON only, whose rows each have
	// their own.
	Names  []string
	Hidden bool
	// Err says that this row cannot be read; the next ones can.
	Err *Error
}

// Empty says whether the row holds nothing.
func (r *Row) Empty() bool {
	for i := range r.Cells {
		if r.Cells[i].Text != "" || r.Cells[i].Kind >= Formula {
			return false
		}
	}
	return r.Err == nil
}

// Options say how to read what the file itself does not tell.
type Options struct {
	// Sheet is the name of the sheet to read; empty: the first that is shown.
	Sheet string
	// Score counts how many of a row's texts are names of columns: it decides
	// between separators. Nil: the separator that makes most columns.
	Score func(cells []string) int
}

// Reader gives the rows of a table in their order.
type Reader struct {
	Format    Format
	Encoding  string // utf-8, utf-16le, utf-16be or windows-1252
	Separator string // of CSV
	Sheet     string // of a workbook
	// OtherSheets are those that are shown and not read.
	OtherSheets []string

	rows interface {
		next(*Row) error
		done() float64
	}
	row Row
}

// Next is the next row, empty ones included where the format has them; io.EOF
// after the last. Any other error is an *Error about the file, or one of the
// io.ReaderAt.
func (r *Reader) Next() (*Row, error) {
	r.row.Cells, r.row.Names, r.row.Hidden, r.row.Err = r.row.Cells[:0], r.row.Names[:0], false, nil
	if err := r.rows.next(&r.row); err != nil {
		return nil, err
	}
	return &r.row, nil
}

// Done is how much of the file was read, from 0 to 1.
func (r *Reader) Done() float64 { return min(1, max(0, r.rows.done())) }

// Detect tells the format by the first bytes of a file, a kilobyte or all of
// it. What is none of ours is an *Error that says what it seems to be.
func Detect(head []byte) (Format, error) {
	switch {
	case len(bytes.TrimSpace(bytes.TrimPrefix(head, utf8BOM))) == 0:
		return "", fault("empty", 0, "il file è vuoto")
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		if bytes.Contains(head, []byte("application/vnd.oasis.opendocument")) {
			return "", fault("format", 0, "è un file OpenDocument (.ods): salvalo come .xlsx o .csv")
		}
		return XLSX, nil
	case bytes.HasPrefix(head, []byte("PK")):
		return "", fault("format", 0, "è un archivio ZIP vuoto o danneggiato: salva di nuovo la cartella di lavoro come .xlsx")
	case bytes.HasPrefix(head, []byte("\xd0\xcf\x11\xe0")):
		return "", fault("format", 0, "è un file .xls di vecchio tipo, o protetto da password: salvalo come .xlsx senza password")
	case bytes.HasPrefix(head, []byte("%PDF")):
		return "", fault("format", 0, "è un PDF: esporta la tabella come .xlsx o .csv")
	case bytes.HasPrefix(head, []byte("\x1f\x8b")), bytes.HasPrefix(head, []byte("7z\xbc\xaf")), bytes.HasPrefix(head, []byte("Rar!")):
		return "", fault("format", 0, "è un archivio compresso: estrai il file e carica quello")
	}
	start := bytes.ToLower(bytes.TrimSpace(bytes.TrimPrefix(head, utf8BOM)))
	switch {
	case bytes.HasPrefix(start, []byte("<")):
		return "", fault("format", 0, "è una pagina web o un file XML, anche se si chiama .xls: aprila e salvala come .xlsx o .csv")
	case start[0] == '[':
		return "", fault("format", 0, "è un elenco JSON: scrivi un oggetto per riga (NDJSON)")
	case start[0] == '{':
		return NDJSON, nil
	}
	return CSV, nil
}

// Open begins to read a file. The error is an *Error, or one of r.
func Open(r io.ReaderAt, size int64, opt Options) (*Reader, error) {
	head := make([]byte, min(size, 1024))
	if n, err := r.ReadAt(head, 0); err != nil && !(errors.Is(err, io.EOF) && n == len(head)) {
		return nil, err
	}
	format, err := Detect(head)
	if err != nil {
		return nil, err
	}
	out := &Reader{Format: format}
	switch format {
	case XLSX:
		err = out.openXLSX(r, size, opt)
	case NDJSON:
		err = out.openNDJSON(r, size)
	default:
		err = out.openCSV(r, size, opt)
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

// counter counts the bytes read of a file.
type counter struct {
	r    io.Reader
	n    int64
	size int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

func (c *counter) done() float64 {
	if c.size == 0 {
		return 1
	}
	return float64(c.n) / float64(c.size)
}
