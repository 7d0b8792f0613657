// SPDX-License-Identifier: Apache-2.0

package sheet

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

var (
	utf8BOM  = []byte("\xef\xbb\xbf")
	leBOM    = []byte("\xff\xfe")
	beBOM    = []byte("\xfe\xff")
	errMixed = fault("encoding", 0, "il file mescola due codifiche dei caratteri (UTF-8 e Windows-1252), le lettere accentate si romperebbero: salvalo di nuovo come \"CSV UTF-8\"")
	errBytes = fault("encoding", 0, "il file non è un testo, o ha una codifica dei caratteri che non conosciamo: salvalo come \"CSV UTF-8\" o come .xlsx")
)

// census is what a pass over a whole text finds.
type census struct {
	size         int64
	multi        int // characters of several bytes in UTF-8
	broken       int // bytes that are no UTF-8
	undefined    int // bytes that Windows-1252 has nothing for
	control      int // control characters that no text has
	nulEven, nul int64
}

// take looks at a piece; what it leaves begins the next one.
func (c *census) take(p []byte, last bool) (rest int) {
	for i := 0; i < len(p); {
		b := p[i]
		if b < utf8.RuneSelf {
			switch {
			case b == 0:
				c.nul++
				if c.size%2 == 0 {
					c.nulEven++
				}
			case b < ' ' && b != '\t' && b != '\n' && b != '\r' && b != '\f' && b != 0x1a, b == 0x7f:
				c.control++
			}
			i++
			c.size++
			continue
		}
		if !last && !utf8.FullRune(p[i:]) {
			return len(p) - i
		}
		_, n := utf8.DecodeRune(p[i:])
		if n == 1 {
			c.broken++
			switch b {
			case 0x81, 0x8d, 0x8f, 0x90, 0x9d:
				c.undefined++
			}
		} else {
			c.multi++
		}
		i += n
		c.size += int64(n)
	}
	return 0
}

func countBytes(r io.Reader) (c census, err error) {
	buf := make([]byte, 64<<10)
	kept := 0
	for {
		n, err := r.Read(buf[kept:])
		end := errors.Is(err, io.EOF)
		if err != nil && !end {
			return c, err
		}
		n += kept
		kept = c.take(buf[:n], end)
		copy(buf, buf[n-kept:n])
		if end {
			return c, nil
		}
	}
}

// openText finds the encoding of a text and reads it as UTF-8. It looks at the
// whole of it first: a name with an accent may stand in the last row only.
func openText(r io.ReaderAt, size int64) (text io.Reader, count *counter, encoding string, err error) {
	head := make([]byte, 3)
	n, err := r.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, "", err
	}
	head = head[:n]
	count = &counter{r: io.NewSectionReader(r, 0, size), size: size}
	utf16 := func(e unicode.Endianness, name string) (io.Reader, *counter, string, error) {
		if size%2 != 0 {
			return nil, nil, "", fault("encoding", 0, "il file è in UTF-16 ma è stato tagliato: salvalo di nuovo come \"CSV UTF-8\"")
		}
		return transform.NewReader(count, unicode.UTF16(e, unicode.UseBOM).NewDecoder()), count, name, nil
	}
	switch {
	case bytes.HasPrefix(head, leBOM):
		return utf16(unicode.LittleEndian, "utf-16le")
	case bytes.HasPrefix(head, beBOM):
		return utf16(unicode.BigEndian, "utf-16be")
	}
	c, err := countBytes(io.NewSectionReader(r, 0, size))
	if err != nil {
		return nil, nil, "", err
	}
	switch {
	case c.nul > c.size/4 && c.nulEven == c.nul:
		return utf16(unicode.BigEndian, "utf-16be")
	case c.nul > c.size/4 && c.nulEven == 0:
		return utf16(unicode.LittleEndian, "utf-16le")
	case c.nul > 0 || c.control > 0:
		return nil, nil, "", errBytes
	case c.broken == 0:
		if bytes.HasPrefix(head, utf8BOM) {
			count.r, count.n = io.NewSectionReader(r, 3, size-3), 3
		}
		return count, count, "utf-8", nil
	case bytes.HasPrefix(head, utf8BOM) || c.multi > 0:
		// A pair of letters of Windows-1252 can look like one of UTF-8, but
		// hardly stands in an Italian name.
		return nil, nil, "", errMixed
	case c.undefined > 0:
		return nil, nil, "", errBytes
	}
	return transform.NewReader(count, charmap.Windows1252.NewDecoder()), count, "windows-1252", nil
}

// csvRows reads CSV leniently in form (a quote inside a cell is a quote) and
// strictly in what would lose rows: a quote that is not closed ends the file.
type csvRows struct {
	*counter
	r      *bufio.Reader
	comma  byte
	number int // of the last row
	buf    []byte
	ends   []int // of the cells in buf
}

func (f *Reader) openCSV(r io.ReaderAt, size int64, opt Options) error {
	text, count, encoding, err := openText(r, size)
	if err != nil {
		return err
	}
	rows := &csvRows{counter: count, r: bufio.NewReaderSize(text, 64<<10)}
	head, err := rows.r.Peek(64 << 10)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
		return err
	}
	if rest, ok := bytes.CutPrefix(head, []byte("sep=")); ok && len(rest) > 1 && (rest[1] == '\r' || rest[1] == '\n') && bytes.IndexByte(separators, rest[0]) >= 0 {
		// What Excel writes, and reads, to name the separator.
		rows.comma = rest[0]
		if err := rows.next(&Row{}); err != nil {
			return err
		}
	} else {
		rows.comma = separator(head, opt.Score)
	}
	f.Encoding, f.Separator, f.rows = encoding, string(rows.comma), rows
	return nil
}

var separators = []byte(";\t,|")

// separator is the one with which the first rows make most sense.
func separator(head []byte, score func([]string) int) byte {
	best, bestScore, bestCells := separators[0], 0, 0
	for _, s := range separators {
		rows := &csvRows{counter: &counter{}, r: bufio.NewReader(bytes.NewReader(head)), comma: s}
		var row Row
		top, cells := 0, 0
		for range 20 {
			row.Cells = row.Cells[:0]
			if rows.next(&row) != nil {
				break
			}
			texts := make([]string, len(row.Cells))
			for i, c := range row.Cells {
				texts[i] = c.Text
			}
			if score != nil {
				top = max(top, score(texts))
			}
			if len(texts) > 1 {
				cells++
			}
		}
		if top > bestScore || top == bestScore && cells > bestCells {
			best, bestScore, bestCells = s, top, cells
		}
	}
	return best
}

func (c *csvRows) next(row *Row) error {
	c.number++
	c.buf, c.ends = c.buf[:0], c.ends[:0]
	row.Number = c.number
	// quoted: inside quotes. closed: a quote ended; what follows is text again.
	quoted, fresh, breaks := false, true, 0
	start := 0
	for read := false; ; read = true {
		b, err := c.r.ReadByte()
		if err != nil {
			if !errors.Is(err, io.EOF) {
				return err
			}
			if quoted {
				return fault("syntax", c.number, "le virgolette aperte in questa riga non si chiudono più")
			}
			if !read {
				return io.EOF
			}
			break
		}
		switch {
		case quoted && b == '"':
			if next, err := c.r.Peek(1); err == nil && next[0] == '"' {
				_, _ = c.r.ReadByte()
				c.buf = append(c.buf, '"')
			} else {
				quoted = false
			}
			continue
		case quoted:
			if b == '\n' {
				breaks++
			}
			c.buf = append(c.buf, b)
		case b == '"' && fresh:
			quoted, fresh = true, false
			continue
		case b == c.comma:
			c.ends = append(c.ends, len(c.buf))
			start, fresh = len(c.buf), true
			continue
		case b == '\n':
			c.cells(row)
			return nil
		case b == '\r':
			if next, err := c.r.Peek(1); err == nil && next[0] == '\n' {
				_, _ = c.r.ReadByte()
			}
			c.cells(row)
			return nil
		case b == 0x1a:
			continue // the end mark of old programs
		default:
			c.buf, fresh = append(c.buf, b), false
		}
		if len(c.buf)-start > MaxCell || breaks > maxBreaks {
			return fault("syntax", c.number, "una cella è troppo lunga: probabilmente mancano le virgolette di chiusura")
		}
		if len(c.ends) > 16*MaxColumns {
			return fault("too_large", c.number, "la riga ha troppe colonne")
		}
	}
	c.cells(row)
	return nil
}

// cells gives the cells gathered in buf to the row.
func (c *csvRows) cells(row *Row) {
	c.ends = append(c.ends, len(c.buf))
	all, from := string(c.buf), 0
	for i, end := range c.ends {
		text := all[from:end]
		from = end
		if i >= MaxColumns {
			if text != "" {
				row.Err = fault("too_large", c.number, "la riga ha più di %d colonne", MaxColumns)
			}
			continue
		}
		cell := Cell{Text: text}
		// ="0123" is how a program keeps Excel from taking a text for a number.
		if len(text) > 3 && text[0] == '=' && text[1] == '"' && text[len(text)-1] == '"' {
			cell.Text = text[2 : len(text)-1]
		} else if len(text) > 1 && text[0] == '=' {
			cell = Cell{Kind: Formula}
		}
		row.Cells = append(row.Cells, cell)
	}
}
