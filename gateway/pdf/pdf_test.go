// SPDX-License-Identifier: Apache-2.0

package pdf

import (
	"bytes"
	"compress/zlib"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestClean(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ in, want string }{
		"Italian":            {"perché è così, città", "perché è così, città"},
		"Slovene and more":   {"Žižek č š ł ő ß € ț", "Žižek č š ł ő ß € ț"},
		"Greek and Cyrillic": {"Αθήνα Київ", "Αθήνα Київ"},
		"decomposed":         {"perche\u0301", "perché"},
		"accent it lacks":    {"Nguyễn Thế", "Nguyen The"},
		"blanks":             {"\t a\r\n\u00a0b \u3000", "a b"},
		"control":            {"a\x00b\x1bc\x7f\u0085d", "a b c d"},
		"direction marks":    {"a\u202eb\u200fc\ufeff\u00ad", "abc"},
		"emoji":              {"Gita \U0001F68C\ufe0f!", "Gita ?!"},
		"joined emoji":       {"\U0001F468\u200d\U0001F469", "??"},
		"not Latin":          {"学校", "??"},
		"end of the plane":   {"\uffff\U00010000\U0010ffff", "???"},
		"not UTF-8":          {"a\xff\xc3", "a??"},
		"replacement":        {"\ufffd", "?"},
		"lone accents":       {"\u0301\u0301", ""},
		"empty":              {"", ""},
	} {
		for _, style := range []Style{Body, Strong, Code} {
			if got := faces[styles[style].Face].read().clean(c.in); got != c.want {
				t.Errorf("%s: Style(%d).clean(%q) = %q, want %q", name, style, c.in, got, c.want)
			}
		}
	}
}

func TestWrap(t *testing.T) {
	t.Parallel()
	for name, in := range map[string]string{
		"words":     strings.Repeat("quota di iscrizione ", 30),
		"long word": strings.Repeat("precipitevolissimevolmente", 20),
		"both":      "a " + strings.Repeat("W", 200) + " b " + strings.Repeat("i", 300) + " c",
		"nothing":   " \n ",
	} {
		for _, style := range []Style{Body, Code, Figure} {
			const width = 40
			lines := styles[style].Wrap(in, width)
			for _, l := range lines {
				if w := styles[style].Width(l); w > width {
					t.Errorf("%s: a line of %.1f mm in %d: %q", name, w, width, l)
				}
			}
			squeeze := func(s string) string { return strings.Join(strings.Fields(s), "") }
			if got, want := squeeze(strings.Join(lines, "")), squeeze(in); got != want {
				t.Errorf("%s: letters lost: %q, want %q", name, got, want)
			}
		}
	}
	// No room for even one letter: one a line, and an end.
	if got := styles[Title].Wrap("WWW", 1); len(got) != 3 {
		t.Errorf("wrap in 1 mm = %q, want three lines", got)
	}
}

// What is written is read back by receipts/pdf, with poppler; here is what a
// reader of text does not see.
func TestPages(t *testing.T) {
	t.Parallel()
	d := New(Info{Title: "Prova", Footer: strings.Repeat("piede ", 100)})
	d.Field("Alto", Text{Body, strings.Repeat("riga ", 3000)}) // higher than a page
	if got := d.c.Pages(); got < 3 {
		t.Fatalf("a field of 3000 words took %d pages", got)
	}
	d.y = bottom - 3
	before := d.c.Pages()
	d.Section("In fondo")
	if d.c.Pages() != before+1 {
		t.Error("a section began at the foot of a page")
	}
	d.y = bottom - 20
	before = d.c.Pages()
	d.Panel(Cell{Texts: []Text{{Body, strings.Repeat("testo ", 200)}}})
	if d.c.Pages() != before+1 {
		t.Error("a panel was cut by the end of a page")
	}
	d.Table([]Column{{"A", 80, false}, {"B", 90, true}}, [][][]Text{
		{{{Body, strings.Repeat("cella ", 2000)}}, nil},
		{nil, {{Code, "fine"}}},
	})
	if d.y > bottom {
		t.Errorf("the last row ends at %.1f mm, below %.1f", d.y, bottom)
	}
	var b bytes.Buffer
	if err := d.Write(&b); err != nil {
		t.Fatal(err)
	}
}

func TestDocumentIsDeterministic(t *testing.T) {
	t.Parallel()
	write := func(created time.Time) string {
		d := New(Info{Title: "Prova", Created: created})
		d.Field("Codice", Text{Code, "0123 ABC"}, Text{Strong, "è"}, Text{Body, "š"})
		var b bytes.Buffer
		if err := d.Write(&b); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	rome := time.FixedZone("CET", 3600)
	utc := time.Date(2026, 3, 12, 9, 15, 22, 0, time.UTC)
	if write(utc) != write(utc.In(rome)) {
		t.Error("the same instant in two zones gave two documents")
	}
	if !strings.Contains(unpacked(t, write(utc)), "D:20260312091522Z") {
		t.Error("the instant is not in the document")
	}
	// Without an instant the clock would make every document another.
	if got := unpacked(t, write(time.Time{})); !strings.Contains(got, "D:19700101000000Z") {
		t.Error("no instant did not become 1970")
	}
}

// unpacked is a document with its streams inflated, one after the other.
func unpacked(t testing.TB, pdf string) string {
	t.Helper()
	var all strings.Builder
	for rest := pdf; ; {
		dict, after, found := strings.Cut(rest, "\nstream\n")
		all.WriteString(dict)
		if !found {
			return all.String()
		}
		data, after, _ := strings.Cut(after, "\nendstream")
		if strings.Contains(dict[strings.LastIndex(dict, " obj"):], "/FlateDecode") {
			z, err := zlib.NewReader(strings.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(&all, z); err != nil {
				t.Fatal(err)
			}
		} else {
			all.WriteString(data)
		}
		rest = after
	}
}

// ISO 32000-1, 9.6.4: a subset's name begins with a tag.
func TestSubsetNames(t *testing.T) {
	t.Parallel()
	name := regexp.MustCompile(`/(BaseFont|FontName)/([^/]+)`)
	tag := regexp.MustCompile(`^[A-Z]{6}\+Go-(Regular|Bold|Mono)$`)
	d := New(Info{})
	d.Paragraph(Body, "a")
	d.Paragraph(Strong, "b")
	d.Paragraph(Code, "c")
	var b bytes.Buffer
	if err := d.Write(&b); err != nil {
		t.Fatal(err)
	}
	found := name.FindAllStringSubmatch(unpacked(t, b.String()), -1)
	if len(found) != 9 { // three places for each font
		t.Errorf("found %d font names, want 9", len(found))
	}
	for _, f := range found {
		if !tag.MatchString(f[2]) {
			t.Errorf("font is called %s", f[2])
		}
	}
}
