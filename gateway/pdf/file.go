// SPDX-License-Identifier: Apache-2.0

package pdf

import (
	"bytes"
	"compress/zlib"
	"crypto/sha256"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf16"
)

// file is the objects of a PDF (ISO 32000-1, 7.5). Dictionaries travel packed
// in object streams: the tags of a page are a hundred small ones, which alone
// would weigh more than its text.
type file struct {
	objects []object // object n is objects[n-1]
}

// object is a dictionary or, with data, a stream.
type object struct {
	body []byte // without obj and endobj; of a stream its dictionary
	data []byte
}

// reserve numbers an object that is written later.
func (f *file) reserve() int {
	f.objects = append(f.objects, object{})
	return len(f.objects)
}

func (f *file) set(n int, body []byte)            { f.objects[n-1].body = body }
func (f *file) setf(n int, form string, v ...any) { f.set(n, fmt.Appendf(nil, form, v...)) }

func (f *file) add(body []byte) int {
	n := f.reserve()
	f.set(n, body)
	return n
}

// stream adds compressed data; extra stands in its dictionary.
func (f *file) stream(extra string, data []byte) int {
	n := f.reserve()
	f.setStream(n, extra, data)
	return n
}

func (f *file) setStream(n int, extra string, data []byte) {
	packed := deflate(data)
	f.objects[n-1] = object{fmt.Appendf(nil, "<<%s/Filter/FlateDecode/Length %d>>", extra, len(packed)), packed}
}

// perPack is how many objects share a stream: readers unpack it whole to find
// one.
const perPack = 128

// bytes is the whole file.
func (f *file) bytes(catalog, info int) []byte {
	type place struct {
		kind   byte // 1: at an offset; 2: in a pack
		where  int
		within int
	}
	places := make([]place, len(f.objects)+1, len(f.objects)+8)
	b := []byte("%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
	write := func(n int, o object) {
		places[n] = place{1, len(b), 0}
		b = strconv.AppendInt(b, int64(n), 10)
		b = append(b, " 0 obj\n"...)
		b = append(b, o.body...)
		b = append(b, "\nstream\n"...)
		b = append(b, o.data...)
		b = append(b, "\nendstream\nendobj\n"...)
	}
	var loose []int
	for i, o := range f.objects {
		if o.data != nil {
			write(i+1, o)
		} else {
			loose = append(loose, i+1)
		}
	}
	for pack := range slices.Chunk(loose, perPack) {
		var index, bodies []byte
		n := len(places)
		places = append(places, place{})
		for i, k := range pack {
			places[k] = place{2, n, i}
			index = fmt.Appendf(index, "%d %d ", k, len(bodies))
			bodies = append(append(bodies, f.objects[k-1].body...), '\n')
		}
		packed := deflate(append(index, bodies...))
		write(n, object{fmt.Appendf(nil, "<</Type/ObjStm/N %d/First %d/Filter/FlateDecode/Length %d>>", len(pack), len(index), len(packed)), packed})
	}
	// The table of places is an object too.
	start, n := len(b), len(places)
	places = append(places, place{1, start, 0})
	rows := make([]byte, 0, 7*len(places))
	for i, p := range places {
		if i == 0 {
			rows = append(rows, 0, 0, 0, 0, 0, 0xff, 0xff) // the head of the list of free ones
			continue
		}
		rows = append(rows, p.kind, byte(p.where>>24), byte(p.where>>16), byte(p.where>>8), byte(p.where), byte(p.within>>8), byte(p.within))
	}
	rows = deflate(rows)
	id := sha256.Sum256(b)
	write(n, object{fmt.Appendf(nil, "<</Type/XRef/Size %d/W[1 4 2]/Root %d 0 R/Info %d 0 R/ID[<%x><%x>]/Filter/FlateDecode/Length %d>>",
		len(places), catalog, info, id[:16], id[:16], len(rows)), rows})
	return fmt.Appendf(b, "startxref\n%d\n%%%%EOF\n", start)
}

var deflaters = sync.Pool{New: func() any { return zlib.NewWriter(nil) }}

func deflate(data []byte) []byte {
	var b bytes.Buffer
	z := deflaters.Get().(*zlib.Writer)
	z.Reset(&b)
	// A bytes.Buffer takes everything.
	_, _ = z.Write(data)
	_ = z.Close()
	deflaters.Put(z)
	return b.Bytes()
}

// literal is a text as a PDF string.
func literal(s string) string {
	if plain(s) {
		return "(" + strings.NewReplacer(`\`, `\\`, "(", `\(`, ")", `\)`).Replace(s) + ")"
	}
	var b strings.Builder
	b.WriteString("<FEFF")
	for _, u := range utf16.Encode([]rune(s)) {
		fmt.Fprintf(&b, "%04X", u)
	}
	return b.String() + ">"
}

func pdfTime(t time.Time) string { return t.UTC().Format("(D:20060102150405Z)") }

// appendNumber appends v with three decimals at most.
func appendNumber(b []byte, v float64) []byte {
	n := int64(v*1000 + .5)
	if v < 0 {
		n = int64(v*1000 - .5)
	}
	if n < 0 {
		b, n = append(b, '-'), -n
	}
	b = strconv.AppendInt(b, n/1000, 10)
	if n %= 1000; n == 0 {
		return b
	}
	b = append(b, '.', byte('0'+n/100))
	if n %= 100; n == 0 {
		return b
	}
	b = append(b, byte('0'+n/10))
	if n %= 10; n == 0 {
		return b
	}
	return append(b, byte('0'+n))
}

// appendNumbers appends operands, then their operator.
func appendNumbers(b []byte, op string, v ...float64) []byte {
	for _, n := range v {
		b = append(appendNumber(b, n), ' ')
	}
	return append(append(b, op...), '\n')
}
