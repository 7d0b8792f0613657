// SPDX-License-Identifier: Apache-2.0

package pdf

import (
	"bytes"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/gomono"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/text/unicode/norm"
)

const mmPerPoint = 25.4 / 72

type color struct{ r, g, b int }

var (
	accent = color{0x00, 0x66, 0xcc}
	ink    = color{0x17, 0x20, 0x2c}
	muted  = color{0x5a, 0x67, 0x78} // 5.7:1 on white, 5.1:1 on tint
	line   = color{0xd5, 0xdc, 0xe5}
	tint   = color{0xef, 0xf5, 0xfb}
)

// Style is how a text looks. The zero Style is Body.
type Style int

// The styles there are.
const (
	Body    Style = iota
	Strong        // what the eye must find
	Code          // numbers that are copied by hand
	Fine          // beside a value
	Label         // names a value
	Small         // what few will read
	Digest        // long codes
	Figure        // the one amount that matters
	Title         // the document's name
	Section       // a part's name
)

var styles = [...]struct {
	face  *face
	size  float64 // points
	lead  float64 // points from line to line; equal for what stands side by side
	color color
}{
	Body:    {&faces[0], 10, 13.8, ink},
	Strong:  {&faces[1], 11, 15, ink},
	Code:    {&faces[2], 9.5, 13.8, ink},
	Fine:    {&faces[0], 9, 12.4, muted},
	Label:   {&faces[0], 9, 13.8, muted},
	Small:   {&faces[0], 8, 11, muted},
	Digest:  {&faces[2], 7.5, 11, muted},
	Figure:  {&faces[1], 22, 28, accent},
	Title:   {&faces[1], 22, 30, accent},
	Section: {&faces[1], 11.5, 16, accent},
}

// leading is the height of a line in millimetres.
func (s Style) leading() float64 { return styles[s].lead * mmPerPoint }

// face is one font, embedded in documents as the subset that is used.
type face struct {
	name  string // as documents name it
	ttf   []byte
	glyph func(rune) bool // whether the font can draw it
}

// faces are Go's own fonts: Latin, Greek and Cyrillic, free to embed.
var faces = [...]face{
	{"Go-Regular", goregular.TTF, glyphs(goregular.TTF)},
	{"Go-Bold", gobold.TTF, glyphs(gobold.TTF)},
	{"Go-Mono", gomono.TTF, glyphs(gomono.TTF)},
}

// family is the name fpdf knows the font by; see nameSubsets for its length.
func (f *face) family() string { return "sub" + strings.ToLower(f.name) }

// glyphs reads the font's table of characters when it is first asked.
func glyphs(ttf []byte) func(rune) bool {
	font := sync.OnceValue(func() *sfnt.Font {
		font, err := sfnt.Parse(ttf)
		if err != nil {
			panic("pdf: font: " + err.Error()) // part of the program, not input
		}
		return font
	})
	return func(r rune) bool {
		// fpdf's table of widths ends with the basic plane.
		if r > 0xffff {
			return false
		}
		i, err := font().GlyphIndex(nil, r)
		return err == nil && i != 0
	}
}

// clean makes s a line the font can draw. Blanks and control characters become
// one blank; what has no shape of its own (direction marks, joiners) goes, so
// that a page says what its bytes say. A letter the font lacks loses its
// accent (ț becomes t), and anything else becomes a question mark.
func (s Style) clean(text string) string {
	has := styles[s].face.glyph
	var b strings.Builder
	for _, r := range norm.NFC.String(text) {
		switch {
		case unicode.IsSpace(r) || unicode.IsControl(r):
			b.WriteByte(' ')
		case unicode.In(r, unicode.Cf, unicode.Mn):
		case r != utf8.RuneError && has(r):
			b.WriteRune(r)
		default:
			base, _ := utf8.DecodeRuneInString(norm.NFD.String(string(r)))
			if base == utf8.RuneError || !has(base) {
				base = '?'
			}
			b.WriteRune(base)
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// use makes style the current font. A font never used is not embedded.
func (d *Document) use(style Style) {
	s := styles[style]
	if !d.loaded[s.face] {
		// A copy: fpdf writes into the bytes it is given when it cuts a font
		// whose last glyphs share a width (getMetrics), as Go-Mono's do.
		d.f.AddUTF8FontFromBytes(s.face.family(), "", bytes.Clone(s.face.ttf))
		d.loaded[s.face] = true
	}
	d.f.SetFont(s.face.family(), "", s.size)
}

// measure is the width in millimetres of a line in a style.
func (d *Document) measure(style Style, s string) float64 {
	d.use(style)
	return d.f.GetStringWidth(s)
}

// wrap cleans s and breaks it into lines no wider than width: between words, or
// within one that has no room on a line of its own.
func (d *Document) wrap(style Style, s string, width float64) []string {
	d.use(style)
	var lines []string
	var current string
	for word := range strings.FieldsSeq(style.clean(s)) {
		if current != "" {
			if longer := current + " " + word; d.f.GetStringWidth(longer) <= width {
				current = longer
				continue
			}
			lines = append(lines, current)
		}
		for {
			n := d.fitting(word, width)
			if n == len(word) {
				break
			}
			lines = append(lines, word[:n])
			word = word[n:]
		}
		current = word
	}
	if current != "" {
		lines = append(lines, current)
	}
	return lines
}

// fitting is how many bytes of word fit the width: all, or whole characters, at
// least one.
func (d *Document) fitting(word string, width float64) int {
	var used float64
	for i, r := range word {
		if used += d.f.GetStringWidth(string(r)); used > width && i > 0 {
			return i
		}
	}
	return len(word)
}
