// SPDX-License-Identifier: Apache-2.0

package sheet

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
)

// maxLine bounds one object of NDJSON.
const maxLine = 256 << 10

// jsonRows reads one object a line. An object inside it gives names with a dot,
// debtor.fiscal_code.
type jsonRows struct {
	*counter
	r      *bufio.Reader
	number int
}

func (f *Reader) openNDJSON(r io.ReaderAt, size int64) error {
	text, count, encoding, err := openText(r, size)
	if err != nil {
		return err
	}
	if encoding != "utf-8" {
		return fault("encoding", 0, "NDJSON deve essere in UTF-8")
	}
	f.Encoding, f.rows = encoding, &jsonRows{count, bufio.NewReaderSize(text, maxLine), 0}
	return nil
}

func (j *jsonRows) next(row *Row) error {
	j.number++
	row.Number = j.number
	line, err := j.r.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return fault("too_large", j.number, "la riga supera %d kB", maxLine>>10)
	case err != nil && !errors.Is(err, io.EOF):
		return err
	case err != nil && len(line) == 0:
		return io.EOF
	}
	if line = bytes.TrimSpace(line); len(line) == 0 {
		return nil
	}
	if row.Err = j.object(row, line); row.Err != nil {
		row.Cells, row.Names = row.Cells[:0], row.Names[:0]
	}
	return nil
}

func (j *jsonRows) object(row *Row, line []byte) *Error {
	// The token reader alone would be lenient in places.
	if err := json.Unmarshal(line, new(json.RawMessage)); err != nil || line[0] != '{' {
		return fault("syntax", j.number, "la riga non è un oggetto JSON")
	}
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	prefix := ""
	for {
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fault("syntax", j.number, "la riga non è un oggetto JSON")
		}
		if t == json.Delim('{') {
			continue // the row itself
		}
		if t == json.Delim('}') {
			prefix = ""
			continue
		}
		name := prefix + t.(string)
		if slices.Contains(row.Names, name) {
			return fault("syntax", j.number, "un campo è scritto due volte")
		}
		if len(row.Names) >= MaxColumns {
			return fault("too_large", j.number, "la riga ha più di %d campi", MaxColumns)
		}
		v, err := d.Token()
		if err != nil {
			return fault("syntax", j.number, "la riga non è un oggetto JSON")
		}
		cell := Cell{}
		switch v := v.(type) {
		case json.Delim:
			if v == '[' || prefix != "" {
				return fault("syntax", j.number, "qui non si possono scrivere elenchi né oggetti dentro oggetti")
			}
			prefix = name + "."
			continue
		case string:
			cell.Text = v
		case json.Number:
			cell = Cell{Text: v.String(), Kind: Number}
		case bool:
			cell = Cell{Text: "false", Kind: Bool}
			if v {
				cell.Text = "true"
			}
		}
		row.Names, row.Cells = append(row.Names, name), append(row.Cells, cell)
	}
}
