// SPDX-License-Identifier: Apache-2.0

package pdf

import (
	"bytes"
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
			if got := style.clean(c.in); got != c.want {
				t.Errorf("%s: Style(%d).clean(%q) = %q, want %q", name, style, c.in, got, c.want)
			}
		}
	}
}

func TestWrap(t *testing.T) {
	t.Parallel()
	d := New(Info{})
	for name, in := range map[string]string{
		"words":     strings.Repeat("quota di iscrizione ", 30),
		"long word": strings.Repeat("precipitevolissimevolmente", 20),
		"both":      "a " + strings.Repeat("W", 200) + " b " + strings.Repeat("i", 300) + " c",
		"nothing":   " \n ",
	} {
		for _, style := range []Style{Body, Code, Figure} {
			const width = 40
			lines := d.wrap(style, in, width)
			for _, l := range lines {
				if w := d.measure(style, l); w > width {
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
	if got := d.wrap(Title, "WWW", 1); len(got) != 3 {
		t.Errorf("wrap in 1 mm = %q, want three lines", got)
	}
}

// What is written is read back by receipts/pdf, with poppler; here is what a
// reader of text does not see.
func TestPages(t *testing.T) {
	t.Parallel()
	d := New(Info{Title: "Prova", Footer: strings.Repeat("piede ", 100)})
	d.Field("Alto", Text{Body, strings.Repeat("riga ", 3000)}) // higher than a page
	if got := d.f.PageCount(); got < 3 {
		t.Fatalf("a field of 3000 words took %d pages", got)
	}
	d.y = bottom - 3
	before := d.f.PageCount()
	d.Section("In fondo")
	if d.f.PageCount() != before+1 {
		t.Error("a section began at the foot of a page")
	}
	d.y = bottom - 20
	before = d.f.PageCount()
	d.Panel(Cell{Texts: []Text{{Body, strings.Repeat("testo ", 200)}}})
	if d.f.PageCount() != before+1 {
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
	if !strings.Contains(write(utc), "D:20260312091522") {
		t.Error("the instant is not in the document")
	}
	// Without an instant the clock would make every document another.
	if got := write(time.Time{}); !strings.Contains(got, "D:19700101000000") {
		t.Error("no instant did not become 1970")
	}
}

// ISO 32000-1, 9.6.4: a subset's name begins with a tag.
func TestSubsetNames(t *testing.T) {
	t.Parallel()
	name := regexp.MustCompile(`/(BaseFont|FontName) /(\S+)`)
	tag := regexp.MustCompile(`^[A-Z]{6}\+Go-(Regular|Bold|Mono)$`)
	d := New(Info{})
	d.Paragraph(Body, "a")
	d.Paragraph(Strong, "b")
	d.Paragraph(Code, "c")
	var b bytes.Buffer
	if err := d.Write(&b); err != nil {
		t.Fatal(err)
	}
	found := name.FindAllStringSubmatch(b.String(), -1)
	if len(found) != 9 { // three places for each font
		t.Errorf("found %d font names, want 9", len(found))
	}
	for _, f := range found {
		if !tag.MatchString(f[2]) {
			t.Errorf("font is called %s", f[2])
		}
	}
	for i := range faces {
		if got, want := len("utf8"+faces[i].family()), len("ABCDEF+"+faces[i].name); got != want {
			t.Errorf("%s: the two names have %d and %d bytes: offsets would move", faces[i].name, got, want)
		}
	}
}
