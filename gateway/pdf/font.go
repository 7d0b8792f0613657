// SPDX-License-Identifier: Apache-2.0

package pdf

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
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

// Face is one of the fonts, embedded in a document as the subset that is used.
type Face int

// The faces: Go's own fonts, which have Latin, Greek and Cyrillic and are free
// to embed. The official model's Titillium Web and Roboto Mono come as web
// fonts only, which a PDF cannot hold.
const (
	Regular Face = iota
	Bold
	Mono
	faceCount
)

var faces = [faceCount]face{
	Regular: {name: "Go-Regular", ttf: goregular.TTF},
	Bold:    {name: "Go-Bold", ttf: gobold.TTF},
	Mono:    {name: "Go-Mono", ttf: gomono.TTF, fixed: true},
}

// face is a TrueType font, read when it is first used and shared from then on.
type face struct {
	name  string // as documents name it
	ttf   []byte
	fixed bool // all letters have one width

	once                       sync.Once
	tables                     map[string][]byte
	loca                       []uint32 // where each glyph begins in glyf
	glyphs                     []uint16 // glyph of each character of the basic plane
	advances                   []uint16 // width of each glyph, in units
	units                      float64  // units of an em
	ascent, descent, capHeight int      // thousandths of an em
	box                        [4]int
}

// read takes from the font what the writer needs. The fonts are part of the
// program: one that does not parse is a mistake of ours.
func (f *face) read() *face {
	f.once.Do(func() {
		if err := f.parse(); err != nil {
			panic("pdf: font " + f.name + ": " + err.Error())
		}
	})
	return f
}

func (f *face) parse() error {
	font, err := sfnt.Parse(f.ttf)
	if err != nil {
		return err
	}
	f.tables = map[string][]byte{}
	for i := range int(u16(f.ttf, 4)) {
		e := f.ttf[12+16*i:]
		at, n := binary.BigEndian.Uint32(e[8:]), binary.BigEndian.Uint32(e[12:])
		f.tables[string(e[:4])] = f.ttf[at : at+n]
	}
	for _, t := range []string{"head", "hhea", "hmtx", "maxp", "loca", "glyf"} {
		if f.tables[t] == nil {
			return fmt.Errorf("no table %s", t)
		}
	}
	head, hhea := f.tables["head"], f.tables["hhea"]
	f.units = float64(u16(head, 18))
	scale := func(v uint16) int { return int(float64(int16(v)) * 1000 / f.units) }
	f.ascent, f.descent = scale(u16(hhea, 4)), scale(u16(hhea, 6))
	f.capHeight = 700
	if os2 := f.tables["OS/2"]; len(os2) >= 90 && u16(os2, 0) >= 2 {
		f.capHeight = scale(u16(os2, 88))
	}
	for i := range f.box {
		f.box[i] = scale(u16(head, 36+2*i))
	}
	n := font.NumGlyphs()
	long := u16(head, 50) == 1
	f.loca = make([]uint32, n+1)
	for i := range f.loca {
		if long {
			f.loca[i] = binary.BigEndian.Uint32(f.tables["loca"][4*i:])
		} else {
			f.loca[i] = 2 * uint32(u16(f.tables["loca"], 2*i))
		}
	}
	metrics := int(u16(hhea, 34))
	f.advances = make([]uint16, n)
	for i := range f.advances {
		f.advances[i] = u16(f.tables["hmtx"], 4*min(i, metrics-1))
	}
	f.glyphs = make([]uint16, 1<<16)
	var b sfnt.Buffer
	for r := range f.glyphs {
		if i, err := font.GlyphIndex(&b, rune(r)); err == nil {
			f.glyphs[r] = uint16(i)
		}
	}
	return nil
}

func u16(b []byte, at int) uint16 { return binary.BigEndian.Uint16(b[at:]) }

func (f *face) glyph(r rune) uint16 {
	if r < 0 || r >= rune(len(f.glyphs)) {
		return 0
	}
	return f.glyphs[r]
}

// width is how wide a line is, in thousandths of an em.
func (f *face) width(s string) float64 {
	sum := 0
	for _, r := range s {
		sum += int(f.advances[f.glyph(r)])
	}
	return float64(sum) * 1000 / f.units
}

// clean makes text a line the font can draw. Blanks and control characters
// become one blank; what has no shape of its own (direction marks, joiners)
// goes, so that a page says what its bytes say. A letter the font lacks loses
// its accent (ț becomes t), and anything else becomes a question mark.
func (f *face) clean(text string) string {
	if plain(text) {
		return text // most texts: nothing to do, nothing to allocate
	}
	var b strings.Builder
	for _, r := range norm.NFC.String(text) {
		switch {
		case unicode.IsSpace(r) || unicode.IsControl(r):
			b.WriteByte(' ')
		case unicode.In(r, unicode.Cf, unicode.Mn):
		case r != utf8.RuneError && f.glyph(r) != 0:
			b.WriteRune(r)
		default:
			base, _ := utf8.DecodeRuneInString(norm.NFD.String(string(r)))
			if base == utf8.RuneError || f.glyph(base) == 0 {
				base = '?'
			}
			b.WriteRune(base)
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// plain says whether text is printable ASCII, every font has that, with single
// blanks between words.
func plain(text string) bool {
	blank := true // none at the start
	for i := range len(text) {
		c := text[i]
		if c < ' ' || c > '~' || c == ' ' && blank {
			return false
		}
		blank = c == ' '
	}
	return text == "" || !blank
}

// subset is the part of a font that a document uses. Its glyphs are numbered in
// the order they are met, so that text can be written before the font is: one
// number a character, even where two share a glyph, or copying from the page
// would give back the wrong one.
type subset struct {
	*face
	ascii  [128]uint16
	others map[rune]uint16
	runes  []rune   // by number; 0 is the font's box for nothing
	old    []uint16 // glyph in the whole font, by number
	text   int      // numbers below are characters; above, parts of them
}

func newSubset(f *face) *subset {
	return &subset{face: f.read(), others: map[rune]uint16{}, runes: []rune{0}, old: []uint16{0}}
}

// number is the character's glyph in the subset.
func (s *subset) number(r rune) uint16 {
	if r < 128 {
		if n := s.ascii[r]; n != 0 {
			return n
		}
	} else if n := s.others[r]; n != 0 {
		return n
	}
	n := uint16(len(s.runes))
	s.runes = append(s.runes, r)
	s.old = append(s.old, s.glyph(r))
	if r < 128 {
		s.ascii[r] = n
	} else {
		s.others[r] = n
	}
	return n
}

// file is the subset as a TrueType file: the tables a PDF needs and no hints,
// whose programs would weigh more than the letters and which no viewer at
// printing size misses.
func (s *subset) file() []byte {
	s.text = len(s.old)
	number := map[uint16]uint16{} // by glyph, for parts of composite glyphs
	var glyf, loca, hmtx []byte
	source := s.tables["glyf"]
	// The list grows while it is walked: parts are glyphs too.
	for i := 0; i < len(s.old); i++ {
		g := s.old[i]
		loca = binary.BigEndian.AppendUint32(loca, uint32(len(glyf)))
		glyf = s.appendGlyph(glyf, source[s.loca[g]:s.loca[g+1]], number)
		for len(glyf)%4 != 0 {
			glyf = append(glyf, 0)
		}
	}
	loca = binary.BigEndian.AppendUint32(loca, uint32(len(glyf)))
	metrics := int(u16(s.tables["hhea"], 34))
	for _, g := range s.old {
		hmtx = binary.BigEndian.AppendUint16(hmtx, s.advances[g])
		at := 4*int(g) + 2
		if int(g) >= metrics { // only its side bearing is listed
			at = 4*metrics + 2*(int(g)-metrics)
		}
		hmtx = append(hmtx, s.tables["hmtx"][at:at+2]...)
	}
	count := uint16(len(s.old))
	head := append([]byte(nil), s.tables["head"]...)
	binary.BigEndian.PutUint32(head[8:], 0)  // checksum of the whole: set below
	binary.BigEndian.PutUint16(head[50:], 1) // long offsets
	hhea := append([]byte(nil), s.tables["hhea"]...)
	binary.BigEndian.PutUint16(hhea[34:], count)
	maxp := append([]byte(nil), s.tables["maxp"]...)
	binary.BigEndian.PutUint16(maxp[4:], count)
	for at := 14; at+2 <= min(len(maxp), 28); at += 2 {
		binary.BigEndian.PutUint16(maxp[at:], 0) // nothing for hints
	}
	binary.BigEndian.PutUint16(maxp[14:], 1) // zones: one, without hints
	return trueType([]string{"glyf", "head", "hhea", "hmtx", "loca", "maxp"}, [][]byte{glyf, head, hhea, hmtx, loca, maxp})
}

// Flags of a part of a composite glyph (OpenType, glyf).
const (
	argsAreWords = 1 << 0
	hasScale     = 1 << 3
	moreParts    = 1 << 5
	hasTwoScales = 1 << 6
	hasMatrix    = 1 << 7
	hasHints     = 1 << 8
)

// appendGlyph appends a glyph without its hints, its parts renumbered.
func (s *subset) appendGlyph(b, g []byte, number map[uint16]uint16) []byte {
	if len(g) < 10 {
		return b // a blank has no outline
	}
	if contours := int16(u16(g, 0)); contours >= 0 {
		hints := 10 + 2*int(contours)
		b = append(b, g[:hints]...)
		b = append(b, 0, 0)
		return append(b, g[hints+2+int(u16(g, hints)):]...)
	}
	b = append(b, g[:10]...)
	for at := 10; ; {
		flags, part := u16(g, at), u16(g, at+2)
		n, ok := number[part]
		if !ok {
			n = uint16(len(s.old))
			s.old = append(s.old, part)
			number[part] = n
		}
		size := 6
		if flags&argsAreWords != 0 {
			size = 8
		}
		switch {
		case flags&hasScale != 0:
			size += 2
		case flags&hasTwoScales != 0:
			size += 4
		case flags&hasMatrix != 0:
			size += 8
		}
		b = binary.BigEndian.AppendUint16(b, flags&^hasHints)
		b = binary.BigEndian.AppendUint16(b, n)
		b = append(b, g[at+4:at+size]...)
		at += size
		if flags&moreParts == 0 {
			return b
		}
	}
}

// trueType joins tables, in the order of their names, to a font file.
func trueType(names []string, tables [][]byte) []byte {
	n := len(names)
	power, log := 1, 0
	for power*2 <= n {
		power, log = power*2, log+1
	}
	b := []byte{0, 1, 0, 0}
	for _, v := range []int{n, 16 * power, log, 16 * (n - power)} {
		b = binary.BigEndian.AppendUint16(b, uint16(v))
	}
	at := len(b) + 16*n
	for i, t := range tables {
		b = append(b, names[i]...)
		for _, v := range []uint32{checksum(t), uint32(at), uint32(len(t))} {
			b = binary.BigEndian.AppendUint32(b, v)
		}
		at += (len(t) + 3) &^ 3
	}
	head := 0
	for i, t := range tables {
		if names[i] == "head" {
			head = len(b)
		}
		b = append(b, t...)
		for len(b)%4 != 0 {
			b = append(b, 0)
		}
	}
	binary.BigEndian.PutUint32(b[head+8:], 0xb1b0afba-checksum(b))
	return b
}

func checksum(b []byte) uint32 {
	var sum uint32
	for ; len(b) >= 4; b = b[4:] {
		sum += binary.BigEndian.Uint32(b)
	}
	var last [4]byte
	copy(last[:], b)
	return sum + binary.BigEndian.Uint32(last[:])
}

// unicode says which character each number stands for (a ToUnicode CMap).
func (s *subset) unicode() []byte {
	b := []byte("/CIDInit/ProcSet findresource begin 12 dict begin begincmap/CIDSystemInfo<</Registry(Adobe)/Ordering(UCS)/Supplement 0>>def/CMapName/Adobe-Identity-UCS def/CMapType 2 def\n1 begincodespacerange<0000><FFFF>endcodespacerange\n")
	const most = 100 // entries in a list
	for at := 1; at < len(s.runes); at += most {
		end := min(at+most, len(s.runes))
		b = fmt.Appendf(b, "%d beginbfchar\n", end-at)
		for n := at; n < end; n++ {
			b = fmt.Appendf(b, "<%04X><%04X>\n", n, s.runes[n]) // the fonts end with the basic plane
		}
		b = append(b, "endbfchar\n"...)
	}
	return append(b, "endcmap CMapName currentdict/CMap defineresource pop end end"...)
}

// subsetTag is the six letters that begin a subset's name (ISO 32000-1, 9.6.4),
// drawn from its content: programs that join documents take fonts of one name
// for one font.
func subsetTag(data []byte) string {
	sum := sha256.Sum256(data)
	tag := make([]byte, 6)
	for i := range tag {
		tag[i] = 'A' + sum[i]%26
	}
	return string(tag)
}
