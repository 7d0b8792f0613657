// SPDX-License-Identifier: Apache-2.0

package pdf

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// MM is a millimetre in points, the unit of a PDF. Sizes of letters are in
// points, all else in millimetres from the upper left corner.
const MM = 72 / 25.4

// A4, upright.
const (
	A4Width  = 210.0
	A4Height = 297.0
)

// Color is red, green and blue, a byte each.
type Color uint32

// The colors documents share. Texts have a contrast of 5:1 at least on white
// and on Tint.
const (
	Black  Color = 0x000000
	White  Color = 0xffffff
	Ink    Color = 0x17202c
	Muted  Color = 0x5a6778
	Accent Color = 0x0066cc
	Line   Color = 0xd5dce5
	Tint   Color = 0xeff5fb
)

// Type is how letters look.
type Type struct {
	Face  Face
	Size  float64 // points
	Color Color
}

// Width is how wide s is in millimetres, cleaned as it will be printed.
func (t Type) Width(s string) float64 {
	f := faces[t.Face].read()
	return f.width(f.clean(s)) * t.Size / 1000 / MM
}

// Wrap cleans s and breaks it into lines no wider than width: between words, or
// within one that has no room on a line of its own.
func (t Type) Wrap(s string, width float64) []string {
	f := faces[t.Face].read()
	perMM := t.Size / 1000 / MM
	room := width / perMM // in thousandths of an em
	if s = f.clean(s); s == "" {
		return nil
	}
	if f.width(s) <= room {
		return []string{s}
	}
	blank := f.width(" ")
	var lines []string
	var current string
	var used float64
	for word := range strings.FieldsSeq(s) {
		w := f.width(word)
		if current != "" {
			if used+blank+w <= room {
				current, used = current+" "+word, used+blank+w
				continue
			}
			lines = append(lines, current)
		}
		for w > room {
			n := f.fitting(word, room)
			if n == len(word) {
				break
			}
			lines = append(lines, word[:n])
			word = word[n:]
			w = f.width(word)
		}
		current, used = word, w
	}
	return append(lines, current)
}

// fitting is how many bytes of word fit the room: all, or whole characters, at
// least one.
func (f *face) fitting(word string, room float64) int {
	var used float64
	for i, r := range word {
		if used += f.width(string(r)); used > room && i > 0 {
			return i
		}
	}
	return len(word)
}

// WrapMost is Wrap to at most so many lines: what is over is cut, and the last
// line says so with an ellipsis.
func (t Type) WrapMost(s string, width float64, lines int) []string {
	all := t.Wrap(s, width)
	if len(all) <= lines {
		return all
	}
	all = all[:lines]
	last := []rune(all[lines-1])
	for len(last) > 0 && t.Width(string(last)+"…") > width {
		last = last[:len(last)-1]
	}
	all[lines-1] = strings.TrimRight(string(last), " ") + "…"
	return all
}

// Fit is the type no larger than t, nor smaller than least points, in which s
// is at most width wide.
func (t Type) Fit(s string, width, least float64) Type {
	if w := t.Width(s); w > width {
		t.Size = max(least, t.Size*width/w)
	}
	return t
}

// Role is what an element of a document is to who reads it aloud (ISO 32000-1,
// 14.8.4).
type Role string

// The roles there are.
const (
	RolePart      Role = "Part"
	RoleSection   Role = "Sect"
	RoleH1        Role = "H1"
	RoleH2        Role = "H2"
	RoleH3        Role = "H3"
	RoleParagraph Role = "P"
	RoleSpan      Role = "Span"
	RoleTable     Role = "Table"
	RoleRow       Role = "TR"
	RoleHead      Role = "TH"
	RoleCell      Role = "TD"
	RoleFigure    Role = "Figure"
)

// Element is a part of a document, as Canvas.Tag opens it.
type Element struct {
	Role Role
	Lang string // where it is another than the document's, "de"
	Alt  string // what a picture shows, in words
}

type element struct {
	Element
	parent int // index; -1 is the document
	kids   []kid
	box    [4]float64 // of a figure, in points; none when all are zero
}

// kid is marked content of a page or, with page -1, an element.
type kid struct{ page, number int }

// Canvas is pages on which everything stands where the caller puts it, each
// text tagged with the element it belongs to. What is drawn outside any element
// is ornament: readers skip it. It is for one goroutine.
type Canvas struct {
	info     Info
	f        file
	pages    []page
	fonts    [faceCount]*subset
	images   []int            // objects
	pictures map[*Picture]int // index in images
	elements []element
	open     int  // the element that is drawn in; -1: the document, none
	ornament bool // inside Ornament
	keep     bool // pages may be gone back to until finish
	finished bool

	b    []byte // the current page
	mark int    // whose mark is open: an element, unmarked or ornament
	gs   graphics
}

type page struct {
	object, content int
	width, height   float64 // points
	marks           []int   // the element of each mark
	raw             []byte  // its operators, while it may be gone back to
}

// graphics is what the page's operators have set, so that none is repeated.
type graphics struct {
	fill, stroke Color
	line         float64
	face         Face
	size         float64
}

const (
	unmarked = -1
	artifact = -2
)

// fresh is the state in which a page begins; a face that is none makes the
// first text set one.
var fresh = graphics{line: 1, face: faceCount}

// NewCanvas begins a document without pages. Info.Footer is not used.
func NewCanvas(info Info) *Canvas {
	if info.Created.IsZero() {
		info.Created = time.Unix(0, 0)
	}
	if info.Lang == "" {
		info.Lang = "it-IT"
	}
	c := &Canvas{info: info, open: -1, mark: unmarked}
	c.f.reserve() // object 1: the pages
	c.f.reserve() // object 2: what pages use
	return c
}

const pagesObject, resourcesObject = 1, 2

// Page begins a page of a size.
func (c *Canvas) Page(width, height float64) {
	c.endPage()
	c.pages = append(c.pages, page{
		object: c.f.reserve(), content: c.f.reserve(), width: width * MM, height: height * MM,
	})
	c.b, c.gs = c.b[:0], fresh
}

// Pages is how many pages there are.
func (c *Canvas) Pages() int { return len(c.pages) }

func (c *Canvas) endPage() {
	if len(c.pages) == 0 {
		return
	}
	c.endMark()
	p := &c.pages[len(c.pages)-1]
	if c.keep {
		p.raw = append([]byte(nil), c.b...)
		return
	}
	c.f.setStream(p.content, "", c.b)
}

// finish adds to every page what is known at the end only; fn draws on the
// page of that index, as an ornament. The canvas must keep its pages.
func (c *Canvas) finish(fn func(i int)) {
	all := c.pages
	c.endPage()
	for i := range all {
		c.pages, c.b, c.gs = all[:i+1], all[i].raw, fresh
		// What the page left set is not known here.
		c.b = append(c.b, "0 g 0 G 1 w\n"...)
		c.Ornament(func() { fn(i) })
		c.endMark()
		c.f.setStream(all[i].content, "", c.b)
	}
	c.pages, c.finished = all, true
}

// Tag makes what fn draws an element, within the one that is being drawn. An
// element may begin on one page and end on another.
func (c *Canvas) Tag(e Element, fn func()) { c.tag(e, fn) }

// tag is Tag; it gives the element, for again. Inside an ornament there are
// none.
func (c *Canvas) tag(e Element, fn func()) int {
	if c.ornament {
		fn()
		return -1
	}
	n := len(c.elements)
	c.elements = append(c.elements, element{Element: e, parent: c.open})
	if c.open >= 0 {
		c.elements[c.open].kids = append(c.elements[c.open].kids, kid{-1, n})
	}
	c.again(n, fn)
	return n
}

// again makes what fn draws a further part of an element.
func (c *Canvas) again(n int, fn func()) {
	outer := c.open
	c.open = n
	fn()
	c.open = outer
}

// Ornament leaves what fn draws out of what is read aloud, be it within an
// element: a footer repeated on every page, a text that stands elsewhere too.
func (c *Canvas) Ornament(fn func()) {
	outer := c.ornament
	c.ornament = true
	fn()
	c.ornament = outer
}

// begin opens the mark that what is drawn now belongs to.
func (c *Canvas) begin(isText bool) {
	want := artifact
	if c.open >= 0 && !c.ornament && isText {
		want = c.open
	}
	if c.mark == want {
		return
	}
	c.endMark()
	c.mark = want
	if want == artifact {
		c.b = append(c.b, "/Artifact BMC\n"...)
		return
	}
	p := &c.pages[len(c.pages)-1]
	e := &c.elements[want]
	c.b = append(append(append(c.b, '/'), e.Role...), "<</MCID "...)
	c.b = strconv.AppendInt(c.b, int64(len(p.marks)), 10)
	c.b = append(c.b, ">>BDC\n"...)
	e.kids = append(e.kids, kid{len(c.pages) - 1, len(p.marks)})
	p.marks = append(p.marks, want)
}

func (c *Canvas) endMark() {
	if c.mark != unmarked {
		c.b = append(c.b, "EMC\n"...)
		c.mark = unmarked
	}
}

func (c *Canvas) fill(color Color) {
	if c.gs.fill != color {
		c.gs.fill = color
		c.b = appendColor(c.b, "rg", "g", color)
	}
}

func (c *Canvas) stroke(color Color, width float64) {
	if c.gs.stroke != color {
		c.gs.stroke = color
		c.b = appendColor(c.b, "RG", "G", color)
	}
	if width *= MM; c.gs.line != width {
		c.gs.line = width
		c.b = appendNumbers(c.b, "w", width)
	}
}

func appendColor(b []byte, rgb, gray string, c Color) []byte {
	r, g, l := float64(c>>16&0xff)/255, float64(c>>8&0xff)/255, float64(c&0xff)/255
	if r == g && g == l {
		return appendNumbers(b, gray, r)
	}
	return appendNumbers(b, rgb, r, g, l)
}

// up is a height above the lower edge of the page, in points.
func (c *Canvas) up(y float64) float64 { return c.pages[len(c.pages)-1].height - y*MM }

// Text prints one line with its baseline at y.
func (c *Canvas) Text(x, y float64, t Type, s string) {
	f := c.fonts[t.Face]
	if f == nil {
		f = newSubset(&faces[t.Face])
		c.fonts[t.Face] = f
	}
	if s = f.clean(s); s == "" {
		return
	}
	c.begin(true)
	c.fill(t.Color)
	if c.gs.face != t.Face || c.gs.size != t.Size {
		c.gs.face, c.gs.size = t.Face, t.Size
		c.b = append(append(c.b, '/'), fontName(t.Face)...)
		c.b = appendNumbers(append(c.b, ' '), "Tf", t.Size)
	}
	c.b = append(c.b, "BT "...)
	c.b = appendNumbers(c.b, "Td", x*MM, c.up(y))
	c.b = append(c.b, '<')
	const digits = "0123456789ABCDEF"
	if c.mark >= 0 {
		s += " " // unseen: else the next line's first word is heard as part of the last
	}
	for _, r := range s {
		n := f.number(r)
		c.b = append(c.b, digits[n>>12], digits[n>>8&15], digits[n>>4&15], digits[n&15])
	}
	c.b = append(c.b, ">Tj ET\n"...)
}

func fontName(f Face) string { return "F" + strconv.Itoa(int(f)) }

// TextRight prints one line that ends at x.
func (c *Canvas) TextRight(x, y float64, t Type, s string) { c.Text(x-t.Width(s), y, t, s) }

// TextCenter prints one line with its middle at x.
func (c *Canvas) TextCenter(x, y float64, t Type, s string) { c.Text(x-t.Width(s)/2, y, t, s) }

// Lines prints lines, the first with its baseline at y, each lead points below
// the one before, and says where the next would stand.
func (c *Canvas) Lines(x, y, lead float64, t Type, lines []string) float64 {
	for _, s := range lines {
		c.Text(x, y, t, s)
		y += lead / MM
	}
	return y
}

// Fill fills a rectangle.
func (c *Canvas) Fill(x, y, width, height float64, color Color) {
	c.begin(false)
	c.fill(color)
	c.b = appendNumbers(c.b, "re f", x*MM, c.up(y+height), width*MM, height*MM)
}

// Frame draws a rectangle's outline.
func (c *Canvas) Frame(x, y, width, height, line float64, color Color) {
	c.begin(false)
	c.stroke(color, line)
	c.b = appendNumbers(c.b, "re S", x*MM, c.up(y+height), width*MM, height*MM)
}

// Rule draws a line from one point to another.
func (c *Canvas) Rule(x1, y1, x2, y2, line float64, color Color) {
	c.begin(false)
	c.stroke(color, line)
	c.b = appendNumbers(c.b, "m", x1*MM, c.up(y1))
	c.b = appendNumbers(c.b, "l S", x2*MM, c.up(y2))
}

// Dashes draws a line of dashes, on and off millimetres long: where to cut.
func (c *Canvas) Dashes(x1, y1, x2, y2, line, on, off float64, color Color) {
	c.begin(false)
	c.b = append(c.b, '[')
	c.b = appendNumbers(c.b, "] 0 d", on*MM, off*MM)
	c.Rule(x1, y1, x2, y2, line, color)
	c.b = append(c.b, "[] 0 d\n"...)
}

// Polygon fills the area between points, x and y of each.
func (c *Canvas) Polygon(color Color, points ...float64) {
	c.begin(false)
	c.fill(color)
	for i := 0; i+1 < len(points); i += 2 {
		op := "l"
		if i == 0 {
			op = "m"
		}
		c.b = appendNumbers(c.b, op, points[i]*MM, c.up(points[i+1]))
	}
	c.b = append(c.b, "f\n"...)
}

// Circle fills a circle around a point.
func (c *Canvas) Circle(x, y, radius float64, color Color) {
	c.begin(false)
	c.fill(color)
	// Four curves; this far out their handles give a circle to the thousandth.
	const k = 0.5522847498
	px, py, r := x*MM, c.up(y), radius*MM
	c.b = appendNumbers(c.b, "m", px+r, py)
	c.b = appendNumbers(c.b, "c", px+r, py+k*r, px+k*r, py+r, px, py+r)
	c.b = appendNumbers(c.b, "c", px-k*r, py+r, px-r, py+k*r, px-r, py)
	c.b = appendNumbers(c.b, "c", px-r, py-k*r, px-k*r, py-r, px, py-r)
	c.b = appendNumbers(c.b, "c f", px+k*r, py-r, px+r, py-k*r, px+r, py)
}

// Turned draws what fn draws turned a quarter to the left around a point: x
// goes up the page from there, y to the right, both from zero.
func (c *Canvas) Turned(x, y float64, fn func()) {
	c.endMark() // marks and saved states must nest
	outer, height := c.gs, c.pages[len(c.pages)-1].height
	c.b = append(c.b, "q\n"...)
	// fn measures y from the upper edge: its zero must fall on the point.
	c.b = appendNumbers(c.b, "cm", 0, 1, -1, 0, x*MM+height, c.up(y))
	fn()
	c.endMark()
	c.b = append(c.b, "Q\n"...)
	c.gs = outer
}

// figure draws fn in a frame of its own, scaled so that the unit square is the
// given one, as an element that alt tells in words; without words an ornament.
func (c *Canvas) figure(x, y, width, height float64, alt string, fn func()) {
	draw := func(isText bool) {
		c.endMark()
		c.begin(isText)
		outer := c.gs
		c.b = append(c.b, "q\n"...)
		c.b = appendNumbers(c.b, "cm", width*MM, 0, 0, height*MM, x*MM, c.up(y+height))
		fn()
		c.b = append(c.b, "Q\n"...)
		c.gs = outer
	}
	if alt == "" {
		draw(false)
		return
	}
	c.Tag(Element{Role: RoleFigure, Alt: alt}, func() {
		c.elements[c.open].box = [4]float64{x * MM, c.up(y + height), (x + width) * MM, c.up(y)}
		draw(true)
	})
}

// Modules draws a code's dark modules into a square; alt says what it is. The
// light margin around it is the caller's to leave.
func (c *Canvas) Modules(x, y, size float64, m Matrix, alt string) {
	c.figure(x, y, size, size, alt, func() {
		c.fill(Black)
		n := float64(m.Size())
		c.b = append(c.b, "1 0 0 1 0 0 cm\n"...)
		c.b = appendScale(c.b, 1/n)
		for row := range m.Size() {
			for at := 0; at < m.Size(); {
				if !m.Dark(at, row) {
					at++
					continue
				}
				run := at
				for run < m.Size() && m.Dark(run, row) {
					run++
				}
				c.b = appendNumbers(c.b, "re", float64(at), n-1-float64(row), float64(run-at), 1)
				at = run
			}
		}
		c.b = append(c.b, "f\n"...)
	})
}

// appendScale needs more decimals than lengths on a page.
func appendScale(b []byte, s float64) []byte {
	b = strconv.AppendFloat(b, s, 'f', 7, 64)
	b = append(b, " 0 0 "...)
	b = strconv.AppendFloat(b, s, 'f', 7, 64)
	return append(b, " 0 0 cm\n"...)
}

// Write ends the document and writes it. The canvas is spent.
func (c *Canvas) Write(w io.Writer) error {
	if len(c.pages) == 0 {
		return fmt.Errorf("write pdf: no pages")
	}
	if !c.finished {
		c.endPage()
	}
	c.writeFonts()
	root := c.writeTags()
	var kids []byte
	for i, p := range c.pages {
		kids = fmt.Appendf(kids, "%d 0 R ", p.object)
		b := []byte("<</Type/Page/Parent 1 0 R/Resources 2 0 R/MediaBox[0 0 ")
		b = append(appendNumber(b, p.width), ' ')
		b = appendNumber(b, p.height)
		c.f.set(p.object, fmt.Appendf(b, "]/Contents %d 0 R/StructParents %d/Tabs/S>>", p.content, i))
	}
	c.f.setf(pagesObject, "<</Type/Pages/Kids[%s]/Count %d>>", kids, len(c.pages))
	title := literal(faces[Regular].read().clean(c.info.Title))
	created := pdfTime(c.info.Created)
	info := c.f.add(fmt.Appendf(nil, "<</Title %s/Producer(Nodogate)/CreationDate%s/ModDate%s>>", title, created, created))
	meta := c.f.reserve()
	c.f.objects[meta-1] = c.metadata()
	catalog := c.f.add(fmt.Appendf(nil, "<</Type/Catalog/Pages 1 0 R/Lang(%s)/MarkInfo<</Marked true>>/StructTreeRoot %d 0 R/Metadata %d 0 R/ViewerPreferences<</DisplayDocTitle true>>>>",
		c.info.Lang, root, meta))
	if _, err := w.Write(c.f.bytes(catalog, info)); err != nil {
		return fmt.Errorf("write pdf: %w", err)
	}
	return nil
}

// metadata says in XMP what the info dictionary says, for readers that look
// only there. It stays readable to those that unpack nothing.
func (c *Canvas) metadata() object {
	xml := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")
	at := c.info.Created.UTC().Format(time.RFC3339)
	data := fmt.Appendf(nil, `<?xpacket begin="`+"\ufeff"+`" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:pdf="http://ns.adobe.com/pdf/1.3/">
<dc:title><rdf:Alt><rdf:li xml:lang="x-default">%s</rdf:li></rdf:Alt></dc:title><dc:language><rdf:Bag><rdf:li>%s</rdf:li></rdf:Bag></dc:language>
<xmp:CreateDate>%s</xmp:CreateDate><xmp:ModifyDate>%s</xmp:ModifyDate><pdf:Producer>Nodogate</pdf:Producer>
</rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="r"?>`, xml.Replace(faces[Regular].read().clean(c.info.Title)), c.info.Lang, at, at)
	return object{fmt.Appendf(nil, "<</Type/Metadata/Subtype/XML/Length %d>>", len(data)), data}
}

func (c *Canvas) writeFonts() {
	var names []byte
	for i, s := range c.fonts {
		if s == nil {
			continue
		}
		data := s.file()
		name := subsetTag(data) + "+" + s.name
		font := c.f.stream(fmt.Sprintf("/Length1 %d", len(data)), data)
		flags := 4 // symbolic: numbered by us
		if s.fixed {
			flags |= 1
		}
		descriptor := c.f.add(fmt.Appendf(nil, "<</Type/FontDescriptor/FontName/%s/Flags %d/FontBBox[%d %d %d %d]/ItalicAngle 0/Ascent %d/Descent %d/CapHeight %d/StemV 80/FontFile2 %d 0 R>>",
			name, flags, s.box[0], s.box[1], s.box[2], s.box[3], s.ascent, s.descent, s.capHeight, font))
		var widths []byte
		for _, g := range s.old[:s.text] {
			widths = append(appendNumber(widths, float64(s.advances[g])*1000/s.units), ' ')
		}
		cid := c.f.add(fmt.Appendf(nil, "<</Type/Font/Subtype/CIDFontType2/BaseFont/%s/CIDSystemInfo<</Registry(Adobe)/Ordering(Identity)/Supplement 0>>/FontDescriptor %d 0 R/CIDToGIDMap/Identity/W[0[%s]]>>",
			name, descriptor, widths))
		unicode := c.f.stream("", s.unicode())
		n := c.f.add(fmt.Appendf(nil, "<</Type/Font/Subtype/Type0/BaseFont/%s/Encoding/Identity-H/DescendantFonts[%d 0 R]/ToUnicode %d 0 R>>", name, cid, unicode))
		names = fmt.Appendf(names, "/%s %d 0 R", fontName(Face(i)), n)
	}
	var images []byte
	for i, n := range c.images {
		images = fmt.Appendf(images, "/I%d %d 0 R", i, n)
	}
	c.f.setf(resourcesObject, "<</Font<<%s>>/XObject<<%s>>>>", names, images)
}

// writeTags writes the tree of elements, and the way back from the marks of a
// page to them (ISO 32000-1, 14.7); it gives the tree's root.
func (c *Canvas) writeTags() int {
	root, document, parents := c.f.reserve(), c.f.reserve(), c.f.reserve()
	first := len(c.f.objects) + 1
	for range c.elements {
		c.f.reserve()
	}
	var top []byte
	for i, e := range c.elements {
		parent := document
		if e.parent >= 0 {
			parent = first + e.parent
		} else {
			top = fmt.Appendf(top, "%d 0 R ", first+i)
		}
		b := fmt.Appendf(nil, "<</S/%s/P %d 0 R", e.Role, parent)
		if e.Lang != "" {
			b = fmt.Appendf(b, "/Lang(%s)", e.Lang)
		}
		if e.Alt != "" {
			b = append(append(b, "/Alt"...), literal(faces[Regular].read().clean(e.Alt))...)
		}
		if e.Role == RoleHead {
			b = append(b, "/A<</O/Table/Scope/Column>>"...)
		}
		if e.box != ([4]float64{}) {
			b = append(b, "/A<</O/Layout/Placement/Block/BBox["...)
			for _, v := range e.box {
				b = append(appendNumber(b, v), ' ')
			}
			b = append(b, "]>>"...)
		}
		on := -1
		for _, k := range e.kids {
			if k.page >= 0 {
				on = k.page
				b = fmt.Appendf(b, "/Pg %d 0 R", c.pages[on].object)
				break
			}
		}
		b = append(b, "/K["...)
		for _, k := range e.kids {
			switch k.page {
			case -1:
				b = fmt.Appendf(b, "%d 0 R ", first+k.number)
			case on:
				b = fmt.Appendf(b, "%d ", k.number)
			default:
				b = fmt.Appendf(b, "<</Type/MCR/Pg %d 0 R/MCID %d>>", c.pages[k.page].object, k.number)
			}
		}
		c.f.set(first+i, append(b, "]>>"...))
	}
	var numbers []byte
	for i, p := range c.pages {
		numbers = fmt.Appendf(numbers, "%d[", i)
		for _, e := range p.marks {
			numbers = fmt.Appendf(numbers, "%d 0 R ", first+e)
		}
		numbers = append(numbers, ']')
	}
	c.f.setf(parents, "<</Nums[%s]>>", numbers)
	c.f.setf(document, "<</S/Document/P %d 0 R/K[%s]>>", root, top)
	c.f.setf(root, "<</Type/StructTreeRoot/K %d 0 R/ParentTree %d 0 R/ParentTreeNextKey %d>>", document, parents, len(c.pages))
	return root
}
