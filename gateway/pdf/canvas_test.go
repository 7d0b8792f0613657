// SPDX-License-Identifier: Apache-2.0

package pdf

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// tool runs a program of another hand on a file.
func tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		if os.Getenv("CI") != "" || os.Getenv("NODOGATE_TEST_STRICT") != "" {
			t.Fatalf("%s is not installed", name)
		}
		t.Skipf("%s is not installed", name)
	}
	cmd := exec.CommandContext(t.Context(), name, args...)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil || name[0] == 'p' && complaints.Len() > 0 {
		t.Fatalf("%s: %v: %s", name, err, complaints.String())
	}
	return string(out)
}

func save(t *testing.T, c *Canvas) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "canvas.pdf")
	var b bytes.Buffer
	if err := c.Write(&b); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

var body = Type{Regular, 10, Ink}

func TestCodesAreRead(t *testing.T) {
	t.Parallel()
	const qr = "PAGOPA|002|301202600000004244|80014480828|9999999999"
	slip := "codfase=NBPA;183012026000000042441200001234567810000000165038961P180014480828RSSMRA80A01H501U" +
		"MARIO ROSSI" + strings.Repeat(" ", 29) + "CONTRIBUTO VIAGGIO DI ISTRUZIONE 3B" + strings.Repeat(" ", 75+12) + "A"
	q, err := QR(qr)
	if err != nil {
		t.Fatal(err)
	}
	if q.Size() != 33 {
		t.Errorf("the QR code has %d modules a side, want 33", q.Size())
	}
	m, err := DataMatrix(slip)
	if err != nil {
		t.Fatal(err)
	}
	c := NewCanvas(Info{Title: "Codici"})
	c.Page(A4Width, A4Height)
	c.Modules(20, 20, 25, q, "Codice QR")
	c.Modules(120, 220, 25, m, "")
	file := save(t, c)
	tool(t, "pdftoppm", "-png", "-r", "300", file, strings.TrimSuffix(file, ".pdf"))
	png := strings.TrimSuffix(file, ".pdf") + "-1.png"
	if got := tool(t, "zbarimg", "-q", "--raw", "-Sdisable", "-Sqrcode.enable", png); got != qr+"\n" {
		t.Errorf("zbarimg reads %q", got)
	}
	if got := tool(t, "dmtxread", "-N1", "-m10000", png); got != slip {
		t.Errorf("dmtxread reads %q", got)
	}
}

func TestCodesRefuse(t *testing.T) {
	t.Parallel()
	if _, err := QR(strings.Repeat("x", 63)); err == nil {
		t.Error("QR took more than version 4 holds")
	}
	for _, bad := range []string{"", "perché", "\u2028", strings.Repeat("x", 3000)} {
		if _, err := DataMatrix(bad); err == nil {
			t.Errorf("DataMatrix took %.10q", bad)
		}
	}
}

func TestTags(t *testing.T) {
	t.Parallel()
	c := NewCanvas(Info{Title: `Un (bel) "titolo" \ è`, Lang: "it-IT", Created: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)})
	c.Page(A4Width, A4Height)
	q, err := QR("x")
	if err != nil {
		t.Fatal(err)
	}
	c.Text(20, 10, body, "senza ruolo")
	c.Tag(Element{Role: RoleH1}, func() { c.Text(20, 20, body, "Primo") })
	c.Tag(Element{Role: RoleParagraph}, func() {
		c.Text(20, 30, body, "una riga")
		c.Rule(20, 31, 40, 31, 0.2, Black) // ornament in the middle
		c.Text(20, 35, body, "un'altra")
		c.Ornament(func() { c.Text(20, 38, body, "ripetuto") })
		c.Turned(100, 100, func() { c.Text(0, 0, body, "di lato") })
		c.Page(A4Width, A4Height)
		c.Text(20, 20, body, "voltata")
	})
	c.Modules(20, 50, 25, q, "Codice (QR) è qui")
	c.Tag(Element{Role: RoleParagraph, Lang: "de"}, func() { c.TextRight(100, 30, body, "Zahlung für Schüler") })
	file := save(t, c)
	// Each mark of its own is a text of its own.
	want := `Document
  H1 (block)
    "Primo "
  P (block)
    "una riga "
    "un'altra "
    "di lato "
    "voltata "
  Figure:
     /Placement /Block
     /BBox [56.693 629.291 127.559 700.157]
    ""
  P (block)
    "Zahlung für Schüler "
`
	if got := tool(t, "pdfinfo", "-struct-text", file); got != want {
		t.Errorf("tags are\n%swant\n%s", got, want)
	}
	if got := tool(t, "pdfinfo", file); !strings.Contains(got, `Un (bel) "titolo" \ è`) {
		t.Errorf("title is not read back:\n%s", got)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	inside := unpacked(t, string(raw))
	for _, want := range []string{"/Lang(it-IT)", "/Lang(de)", "/Alt<FEFF0043", "/BBox[56.693 629.291 127.559 700.157 ]", "/MarkInfo<</Marked true>>"} {
		if !strings.Contains(inside, want) {
			t.Errorf("%s is missing", want)
		}
	}
	if text := tool(t, "pdftotext", file, "-"); !strings.Contains(text, "senza ruolo") || !strings.Contains(text, "ripetuto") {
		t.Errorf("a text is lost:\n%s", text)
	}
	tool(t, "pdftoppm", "-png", "-r", "40", file, strings.TrimSuffix(file, ".pdf")) // no complaint
}

func TestWrapMostAndFit(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("oggetto del pagamento ", 20)
	lines := body.WrapMost(long, 60, 2)
	if len(lines) != 2 || !strings.HasSuffix(lines[1], "…") {
		t.Errorf("WrapMost = %q", lines)
	}
	for _, l := range lines {
		if w := body.Width(l); w > 60 {
			t.Errorf("a line of %.1f mm: %q", w, l)
		}
	}
	if got := body.WrapMost("breve", 60, 2); !slices.Equal(got, []string{"breve"}) {
		t.Errorf("WrapMost(breve) = %q", got)
	}
	if got := body.WrapMost("", 60, 2); got != nil {
		t.Errorf("WrapMost of nothing = %q", got)
	}
	if got := body.Fit("breve", 60, 6); got.Size != body.Size {
		t.Errorf("Fit made a short text smaller: %v", got.Size)
	}
	text := strings.Repeat("W", 30)
	if got := body.Fit(text, 60, 2); got.Width(text) > 60.01 || got.Size >= 10 {
		t.Errorf("Fit = %v points, %.2f mm wide", got.Size, got.Width(text))
	}
	if got := body.Fit(text, 1, 6); got.Size != 6 {
		t.Errorf("Fit went to %v points, below 6", got.Size)
	}
}

func TestNoPagesIsNoDocument(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := NewCanvas(Info{}).Write(&b); err == nil || b.Len() > 0 {
		t.Errorf("Write = %v after %d bytes, want an error", err, b.Len())
	}
}

func TestWords(t *testing.T) {
	t.Parallel()
	day := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct{ call, got, want string }{
		{"LongDate", LongDate(day), "1 marzo 2026"},
		{"ShortDate", ShortDate(day), "01/03/2026"},
		{"Euro", Euro(1650), "€ 16,50"},
		{"Amount(0)", Amount(0), "0,00"},
		{"Amount(5)", Amount(5), "0,05"},
		{"Amount(thousands)", Amount(99999999999), "999.999.999,99"},
		{"Amount(999.99)", Amount(99999), "999,99"},
		{"Amount(1000)", Amount(100000), "1.000,00"},
		{"Amount(negative)", Amount(-123456), "-1.234,56"},
		{"Grouped", Grouped("301202600000004244"), "3012 0260 0000 0042 44"},
		{"Grouped of nothing", Grouped(""), ""},
	} {
		if c.got != c.want {
			t.Errorf("%s = %q, want %q", c.call, c.got, c.want)
		}
	}
	for v, want := range map[float64]string{0: "0", 1: "1", -1: "-1", 0.5: "0.5", 1.25: "1.25", -0.005: "-0.005", 70.866: "70.866", 0.0004: "0", -0.0004: "0", 2.9996: "3"} {
		if got := string(appendNumber(nil, v)); got != want {
			t.Errorf("appendNumber(%v) = %s, want %s", v, got, want)
		}
	}
}
