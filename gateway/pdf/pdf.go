// SPDX-License-Identifier: Apache-2.0

// Package pdf writes tagged PDF documents: what a screen reader reads, in the
// order it reads it, with a title and a language. There are two ways in.
// [Document] flows: a title, sections, rows of a label and its value, panels,
// tables, a footer with the page's number; receipts are written with it.
// [Canvas] places: texts, lines, QR codes and Data Matrix where a printed model
// wants them; notices and postal slips are written with it. Document stands on
// Canvas.
//
// It knows no receipt and no notice: the words come from the caller, in the
// order they are read. The writer is our own, because a tagged page is marked
// text, a tree of elements and a way back, all woven into the file: fpdf writes
// none of it, spends 10 ms and 16 MB on reading its fonts again for every
// document, and embeds them with hints that outweigh the page.
//
// What a caller gets wrong: the same input gives the same bytes, so the date
// inside comes from what the document tells of, never from the clock.
package pdf

import (
	"fmt"
	"io"
	"time"
)

// The page of a Document, in millimetres.
const (
	margin  = 20.0
	top     = 16.0  // where the first row of a page begins
	bottom  = 274.0 // no row goes below
	footerY = 278.0

	// Width is the room for text between the margins.
	Width = A4Width - 2*margin

	gutter  = 4.0 // kept free at the right of every cell but the last
	rowGap  = 1.1 // above and below a row
	padding = 5.0 // inside a panel
	label   = 52.0
)

// Info is what a document says of itself.
type Info struct {
	Title string
	Lang  string // of its words; empty is Italian
	// Created is the moment the document tells of. Zero becomes 1970: there is
	// no clock here.
	Created time.Time
	Footer  string // of a Document: at the foot of every page, beside the page's number
}

// Document is a document being written, top to bottom. It is for one goroutine.
type Document struct {
	c      *Canvas
	footer string
	left   float64 // where rows begin
	y      float64 // where the next row begins
	head   func()  // what a table repeats on a new page
}

// New begins a document.
func New(info Info) *Document {
	d := &Document{c: NewCanvas(info), footer: info.Footer, left: margin}
	d.c.keep = true // the footer says how many pages there are
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
	d.c.Tag(Element{Role: RoleH1}, func() { d.row("", Cell{Width: Width, Texts: []Text{{Title, s}}}) })
}

// Paragraph is a text as wide as the page.
func (d *Document) Paragraph(style Style, s string) {
	d.row(RoleParagraph, Cell{Width: Width, Texts: []Text{{style, s}}})
}

// Section begins a part of the document.
func (d *Document) Section(s string) {
	d.need(30) // no heading alone at the foot of a page
	d.y += 4
	d.c.Tag(Element{Role: RoleH2}, func() { d.row("", Cell{Width: Width, Texts: []Text{{Section, s}}}) })
	d.rule(Accent, 0.4)
	d.y += 1.5
}

// Field is a label and what it stands for: one paragraph to who hears it.
func (d *Document) Field(name string, values ...Text) {
	d.y += rowGap
	d.c.Tag(Element{Role: RoleParagraph}, func() {
		d.row(RoleSpan, Cell{Width: label, Texts: []Text{{Label, name}}}, Cell{Width: Width - label, Texts: values})
	})
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
	d.c.Fill(margin, d.y, Width, height, Tint)
	d.c.Fill(margin, d.y, 1.2, height, Accent)
	end := d.y + height
	d.left, d.y = margin+padding, d.y+padding
	d.row(RoleParagraph, cells...)
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
		d.row(RoleHead, cells...)
		d.y += rowGap
		d.rule(Line, 0.3)
	}
	d.need(30)
	d.c.Tag(Element{Role: RoleTable}, func() {
		d.c.Tag(Element{Role: RoleRow}, head)
		d.head = head
		for _, r := range rows {
			cells := make([]Cell, len(columns))
			for i, c := range columns {
				cells[i] = Cell{c.Width, c.Right, r[i]}
			}
			d.y += rowGap
			d.c.Tag(Element{Role: RoleRow}, func() { d.row(RoleCell, cells...) })
			d.y += rowGap
			d.rule(Line, 0.2)
		}
		d.head = nil
	})
}

// Space leaves room before what comes next.
func (d *Document) Space(mm float64) { d.y += mm }

// Write ends the document and writes it.
func (d *Document) Write(w io.Writer) error {
	pages := d.c.Pages()
	d.c.finish(func(i int) {
		d.y = footerY
		d.rule(Line, 0.2)
		number := fmt.Sprintf("pagina %d di %d", i+1, pages)
		d.y += 2
		x := margin + Width - styles[Small].Width(number)
		d.text(x, d.y, Small, number)
		if lines := styles[Small].Wrap(d.footer, x-margin-gutter); len(lines) > 0 {
			d.text(margin, d.y, Small, lines[0]) // one line: the footer has no room for more
		}
	})
	return d.c.Write(w)
}

// row sets cells side by side, each an element of the role; none: of the one
// that is open. What does not fit the page goes to the next: as a whole if it
// can, else line by line.
func (d *Document) row(role Role, cells ...Cell) {
	rest := d.broken(cells)
	if h := tallest(rest); h <= bottom-top {
		d.need(h)
	}
	var elements []int // a cell that goes on overleaf is still the same
	for {
		x, end, left := d.left, d.y, 0
		for i, c := range cells {
			set := func() {
				y := d.y
				for len(rest[i]) > 0 && y+rest[i][0].Style.leading() <= bottom {
					l := rest[i][0]
					at := x
					if c.Right {
						at = x + c.Width - styles[l.Style].Width(l.Text)
					}
					d.text(at, y, l.Style, l.Text)
					y += l.Style.leading()
					rest[i] = rest[i][1:]
				}
				end = max(end, y)
			}
			switch {
			case role == "":
				set()
			case i == len(elements):
				elements = append(elements, d.c.tag(Element{Role: role}, set))
			default:
				d.c.again(elements[i], set)
			}
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
			for _, s := range styles[t.Style].Wrap(t.Text, width) {
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
	d.c.Page(A4Width, A4Height)
	d.c.Fill(0, 0, A4Width, 3, Accent)
	d.y = top
	if d.head != nil {
		d.c.Ornament(d.head) // heard once is enough
		d.y += rowGap
	}
}

// text sets one line whose upper edge is y.
func (d *Document) text(x, y float64, style Style, s string) {
	d.c.Text(x, y+0.76*style.leading(), styles[style].Type, s)
}

// rule draws a line across the page below the last row.
func (d *Document) rule(c Color, width float64) {
	d.c.Rule(margin, d.y, margin+Width, d.y, width, c)
}
