// SPDX-License-Identifier: Apache-2.0

// Package pdf sets a document on A4 pages: a title, sections, rows of a label
// and its value, panels, tables, a footer with the page's number. Receipts and
// notices are written with it, so that they look alike.
//
// It knows no receipt and no notice: the words come from the caller, in the
// order they are read. Rows flow: a long text wraps, a full page is followed by
// another. All ink that is text passes through one method, text, because a
// tagged PDF must mark exactly that.
//
// What a caller gets wrong: the same input gives the same bytes, so the date
// inside comes from what the document tells of, never from the clock.
package pdf

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"time"

	"codeberg.org/go-pdf/fpdf"
)

// The page, in millimetres.
const (
	pageWidth  = 210.0
	pageHeight = 297.0
	margin     = 20.0
	top        = 16.0  // where the first row of a page begins
	bottom     = 274.0 // no row goes below
	footerY    = 278.0

	// Width is the room for text between the margins.
	Width = pageWidth - 2*margin

	gutter  = 4.0 // kept free at the right of every cell but the last
	rowGap  = 1.1 // above and below a row
	padding = 5.0 // inside a panel
	label   = 52.0
)

// Info is what a document says of itself.
type Info struct {
	Title string
	// Created is the moment the document tells of. Zero becomes 1970, because
	// fpdf would take the clock.
	Created time.Time
	Footer  string // at the foot of every page, beside the page's number
}

// Document is a document being written, top to bottom. It is for one goroutine.
type Document struct {
	f      *fpdf.Fpdf
	footer string
	left   float64 // where rows begin
	y      float64 // where the next row begins
	head   func()  // what a table repeats on a new page
	loaded map[*face]bool
}

// New begins a document in Italian.
func New(info Info) *Document {
	if info.Created.IsZero() {
		info.Created = time.Unix(0, 0)
	}
	f := fpdf.New("P", "mm", "A4", "")
	f.SetCompression(true)
	f.SetCatalogSort(true) // else the order of the fonts is a map's
	f.SetAutoPageBreak(false, 0)
	f.SetLang("it-IT")
	f.SetTitle(Body.clean(info.Title), true)
	f.SetProducer("Nodogate", true)
	f.SetCreationDate(info.Created.UTC())
	f.SetModificationDate(info.Created.UTC())
	d := &Document{f: f, footer: info.Footer, left: margin, loaded: map[*face]bool{}}
	d.newPage()
	return d
}

// Text is one paragraph.
type Text struct {
	Style Style
	Text  string
}

// Cell is a column's part of a row: paragraphs one below the other.
type Cell struct {
	Width float64 // millimetres
	Right bool    // set against the right edge
	Texts []Text
}

// Title is the name of the document; once, at the top.
func (d *Document) Title(s string) {
	d.row(Cell{Width: Width, Texts: []Text{{Title, s}}})
}

// Paragraph is a text as wide as the page.
func (d *Document) Paragraph(style Style, s string) {
	d.row(Cell{Width: Width, Texts: []Text{{style, s}}})
}

// Section begins a part of the document.
func (d *Document) Section(s string) {
	d.need(30) // no heading alone at the foot of a page
	d.y += 4
	d.row(Cell{Width: Width, Texts: []Text{{Section, s}}})
	d.rule(accent, 0.4)
	d.y += 1.5
}

// Field is a label and what it stands for.
func (d *Document) Field(name string, values ...Text) {
	d.y += rowGap
	d.row(Cell{Width: label, Texts: []Text{{Label, name}}}, Cell{Width: Width - label, Texts: values})
	d.y += rowGap
}

// Panel sets a row of cells on a tinted ground. Its width, cells and padding
// included, is [Width]; it must fit a page.
func (d *Document) Panel(cells ...Cell) {
	inner := Width - 2*padding
	for i, c := range cells {
		if i == len(cells)-1 {
			cells[i].Width = inner
		}
		inner -= c.Width
	}
	d.y += 3
	height := tallest(d.broken(cells)) + 2*padding - 1 // the last line brings room of its own
	d.need(height)
	d.fill(tint)
	d.f.Rect(margin, d.y, Width, height, "F")
	d.fill(accent)
	d.f.Rect(margin, d.y, 1.2, height, "F")
	end := d.y + height
	d.left, d.y = margin+padding, d.y+padding
	d.row(cells...)
	d.left, d.y = margin, end+2
}

// Column is a column of a table.
type Column struct {
	Title string
	Width float64 // millimetres; all columns together at most [Width]
	Right bool
}

// Table sets rows of cells, each a list of paragraphs, under the titles of the
// columns, which every further page repeats.
func (d *Document) Table(columns []Column, rows [][][]Text) {
	head := func() {
		cells := make([]Cell, len(columns))
		for i, c := range columns {
			cells[i] = Cell{c.Width, c.Right, []Text{{Label, c.Title}}}
		}
		d.y += rowGap
		d.row(cells...)
		d.y += rowGap
		d.rule(line, 0.3)
	}
	d.need(30)
	head()
	d.head = head
	for _, r := range rows {
		cells := make([]Cell, len(columns))
		for i, c := range columns {
			cells[i] = Cell{c.Width, c.Right, r[i]}
		}
		d.y += rowGap
		d.row(cells...)
		d.y += rowGap
		d.rule(line, 0.2)
	}
	d.head = nil
}

// Space leaves room before what comes next.
func (d *Document) Space(mm float64) { d.y += mm }

// Write ends the document and writes it.
func (d *Document) Write(w io.Writer) error {
	pages := d.f.PageCount()
	for n := 1; n <= pages; n++ {
		d.f.SetPage(n)
		d.y = footerY
		d.rule(line, 0.2)
		number := fmt.Sprintf("pagina %d di %d", n, pages)
		d.y += 2
		x := margin + Width - d.measure(Small, number)
		d.text(x, d.y, Small, number)
		if lines := d.wrap(Small, d.footer, x-margin-gutter); len(lines) > 0 {
			d.text(margin, d.y, Small, lines[0]) // one line: the footer has no room for more
		}
	}
	var b bytes.Buffer
	if err := d.f.Output(&b); err != nil {
		return fmt.Errorf("write pdf: %w", err)
	}
	_, err := w.Write(nameSubsets(b.Bytes()))
	return err
}

// row sets cells side by side. What does not fit the page goes to the next: as
// a whole if it can, else line by line.
func (d *Document) row(cells ...Cell) {
	rest := d.broken(cells)
	if h := tallest(rest); h <= bottom-top {
		d.need(h)
	}
	for {
		x, end, left := d.left, d.y, 0
		for i, c := range cells {
			y := d.y
			for len(rest[i]) > 0 && y+rest[i][0].Style.leading() <= bottom {
				l := rest[i][0]
				at := x
				if c.Right {
					at = x + c.Width - d.measure(l.Style, l.Text)
				}
				d.text(at, y, l.Style, l.Text)
				y += l.Style.leading()
				rest[i] = rest[i][1:]
			}
			end = max(end, y)
			left += len(rest[i])
			x += c.Width
		}
		d.y = end
		if left == 0 {
			return
		}
		d.newPage()
	}
}

// broken is the lines of each cell.
func (d *Document) broken(cells []Cell) [][]Text {
	broken := make([][]Text, len(cells))
	for i, c := range cells {
		width := c.Width
		if i < len(cells)-1 {
			width -= gutter
		}
		for _, t := range c.Texts {
			for _, s := range d.wrap(t.Style, t.Text, width) {
				broken[i] = append(broken[i], Text{t.Style, s})
			}
		}
	}
	return broken
}

func tallest(cells [][]Text) float64 {
	var highest float64
	for _, lines := range cells {
		var h float64
		for _, l := range lines {
			h += l.Style.leading()
		}
		highest = max(highest, h)
	}
	return highest
}

// need begins a new page when less than height is left on this one.
func (d *Document) need(height float64) {
	if d.y+height > bottom {
		d.newPage()
	}
}

func (d *Document) newPage() {
	d.f.AddPage()
	d.fill(accent)
	d.f.Rect(0, 0, pageWidth, 3, "F")
	d.y = top
	if d.head != nil {
		d.head()
		d.y += rowGap
	}
}

// text sets one line, already clean, whose upper edge is y. Nothing else
// writes text.
func (d *Document) text(x, y float64, style Style, s string) {
	d.use(style)
	c := styles[style].color
	d.f.SetTextColor(c.r, c.g, c.b)
	d.f.Text(x, y+0.76*style.leading(), s)
}

// rule draws a line across the page below the last row.
func (d *Document) rule(c color, width float64) {
	d.f.SetDrawColor(c.r, c.g, c.b)
	d.f.SetLineWidth(width)
	d.f.Line(margin, d.y, margin+Width, d.y)
}

func (d *Document) fill(c color) { d.f.SetFillColor(c.r, c.g, c.b) }

// nameSubsets gives the embedded fonts the names that a subset must have: six
// capital letters, a plus sign, the font (ISO 32000-1, 9.6.4). fpdf calls them
// "utf8" and the family. Both have the same length, so that no offset moves.
// The letters are drawn from the content: programs that join documents take
// fonts of one name for one font.
func nameSubsets(pdf []byte) []byte {
	sum := sha256.Sum256(pdf)
	tag := make([]byte, 6)
	for i := range tag {
		tag[i] = 'A' + sum[i]%26
	}
	for i := range faces {
		pdf = bytes.ReplaceAll(pdf, []byte("/utf8"+faces[i].family()), fmt.Appendf(nil, "/%s+%s", tag, faces[i].name))
	}
	return pdf
}
