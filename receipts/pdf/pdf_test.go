// SPDX-License-Identifier: Apache-2.0

package pdf

import (
	"bytes"
	"compress/zlib"
	"crypto/sha256"
	"errors"
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nodogate/nodogate/gateway/money"
	"github.com/nodogate/nodogate/iuv"
	"github.com/nodogate/nodogate/receipts"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func number(t testing.TB, s string) iuv.Number {
	t.Helper()
	n, err := iuv.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func cents(c money.Cents) *money.Cents { return &c }

// ordinary is what most families get.
func ordinary(t testing.TB) Document {
	return Document{
		ID: "RQ7KX2M4TB",
		School: School{
			Name: "Istituto Comprensivo «Giovanni Pascoli»",
			Code: "80014480828",
			Help: "Per informazioni: segreteria, dal lunedì al venerdì dalle 9 alle 12, telefono 0564 000000.",
		},
		Received: time.Date(2026, 3, 12, 9, 15, 40, 0, time.UTC),
		Channel:  "node",
		Digest:   sha256.Sum256([]byte("<receipt/>")),
		Receipt: receipts.Receipt{
			ID:                  "c110729d258c4ab1b765fe902aae41d6",
			Notice:              number(t, "301202600000000424"),
			Creditor:            "80014480828",
			Outcome:             "OK",
			CreditorReferenceID: "01202600000000424",
			Amount:              12050,
			Description:         "Viaggio di istruzione a Siena, classe 3B, 21 maggio 2026",
			CompanyName:         "Istituto Comprensivo «Giovanni Pascoli»",
			OfficeName:          "Ufficio contabilità",
			Debtor:              receipts.Subject{Type: "F", ID: "RSSMRA80A01H501U", FullName: "Maria Žižek Rossi", Email: "maria@example.org", Street: "Via Segreta"},
			Payer:               &receipts.Subject{Type: "F", ID: "RSSMRA80A01H501U", FullName: "Niccolò D'Élite"},
			Transfers:           []receipts.Transfer{{ID: 1, Amount: 12050, Creditor: "80014480828", IBAN: "IT60X0542811101000000123456", Remittance: "/RFB/01202600000000424/120.50"}},
			PSP:                 receipts.PSP{ID: "BCITITMM", Name: "Banca Esempio S.p.A."},
			ChannelDescription:  "app",
			Method:              "creditCard",
			Fee:                 cents(150),
			PaidAt:              time.Date(2026, 3, 12, 9, 15, 22, 0, time.UTC),
			TransferDate:        "2026-03-13",
		},
	}
}

// five has all the transfers there can be, one of them a stamp, and texts as
// long as the schema lets them be.
func five(t testing.TB) Document {
	doc := ordinary(t)
	r := &doc.Receipt
	long := strings.Repeat("Contributo volontario per l'ampliamento dell'offerta formativa ", 3)[:140]
	name := strings.Repeat("Città Metropolitana di Nodopoli Servizio Istruzione Pubblica ", 3)[:140]
	r.Description, r.CompanyName, r.OfficeName = long, name, name
	r.Amount, r.Transfers = 0, nil
	for i := 1; i <= 5; i++ {
		tr := receipts.Transfer{ID: i, Amount: 9_999_999_999, Creditor: "80014480828", Company: name,
			IBAN: "IT60X0542811101000000123456", Remittance: long}
		if i == 5 {
			tr.IBAN, tr.Stamp, tr.Amount = "", "PG1hcmNhLz4=", 1600
		}
		r.Amount += tr.Amount
		r.Transfers = append(r.Transfers, tr)
	}
	return doc
}

// minimum has only what ctReceipt requires.
func minimum(t testing.TB) Document {
	return Document{
		ID:     "RQ7KX2M4TC",
		School: School{Name: "Liceo Volta", Code: "80014480828"},
		Receipt: receipts.Receipt{
			ID: "t1", Notice: number(t, "301202600000000424"), Creditor: "80014480828", Outcome: "OK",
			CreditorReferenceID: "01202600000000424", Amount: 1, Description: "Mensa", CompanyName: "Liceo Volta",
			Debtor:    receipts.Subject{Type: "G", ID: "80014480828", FullName: "Associazione Genitori"},
			Transfers: []receipts.Transfer{{ID: 1, Amount: 1, Creditor: "80014480828", IBAN: "IT60X0542811101000000123456"}},
			PSP:       receipts.PSP{ID: "POSOIT22XXX", Name: "Poste"},
		},
	}
}

// hostile has what a schema lets pass and a page cannot show.
func hostile(t testing.TB) Document {
	doc := ordinary(t)
	doc.Channel = "psp"
	doc.School.Name = strings.Repeat("W", 300)
	r := &doc.Receipt
	r.Description = "Gita \U0001F68C\uFE0F con {nb} \\(barra\\)\x00\x07 e\tblanks\r\n\u202Eatitrevni\u202C \xff\xfe 学校 ț 𝔘"
	r.CompanyName = strings.Repeat("lunghissimo", 40)
	r.Debtor = receipts.Subject{Type: "F", ID: "ANONIMO", FullName: strings.Repeat("é", 200)}
	r.Payer.FullName = "\u200B\u0301"
	r.Method = "QUANTUM"
	r.TransferDate = "domani"
	r.PSP.Name = strings.Repeat("( \\ ) ", 30)
	r.Transfers[0].IBAN, r.Transfers[0].Stamp = "", "x"
	r.Transfers[0].Remittance = strings.Repeat("M", 6000) // higher than a page
	return doc
}

var documents = map[string]func(testing.TB) Document{
	"ordinary": ordinary, "five": five, "minimum": minimum, "hostile": hostile,
}

func render(t testing.TB, doc Document) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, doc); err != nil {
		t.Fatalf("Write: %v", err)
	}
	return b.Bytes()
}

// poppler runs one of poppler's tools on a document.
func poppler(t *testing.T, tool string, pdf []byte, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(tool); err != nil {
		if os.Getenv("CI") != "" || os.Getenv("NODOGATE_TEST_STRICT") != "" {
			t.Fatalf("%s is not installed", tool)
		}
		t.Skipf("%s is not installed", tool)
	}
	file := filepath.Join(t.TempDir(), "receipt.pdf")
	if err := os.WriteFile(file, pdf, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), tool, append([]string{file}, args...)...)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil || complaints.Len() > 0 {
		t.Fatalf("%s: %v: %s", tool, err, complaints.String())
	}
	return string(out)
}

// Golden files do not hold how far apart poppler thinks columns and rows are,
// which changes with its version.
var (
	columnGap = regexp.MustCompile(` {2,}`)
	rowGap    = regexp.MustCompile(`\n{2,}`)
)

func TestWrite(t *testing.T) {
	t.Parallel()
	for name, make := range documents {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out := render(t, make(t))
			if len(out) > 25_000 {
				t.Errorf("%d bytes, want at most 25000", len(out))
			}
			if again := render(t, make(t)); !bytes.Equal(out, again) {
				t.Error("the same document gave other bytes")
			}
			inside := unpacked(t, out)
			for _, active := range []string{"/JavaScript", "/JS", "/AA", "/Launch", "/URI", "/Filespec"} {
				if strings.Contains(inside, active) {
					t.Errorf("has %s", active)
				}
			}
			if !strings.Contains(inside, "/Lang(it-IT)") {
				t.Error("has no language")
			}

			text := poppler(t, "pdftotext", out, "-", "-layout")
			text = rowGap.ReplaceAllString(columnGap.ReplaceAllString(text, "  "), "\n")
			golden := filepath.Join("testdata", name+".txt")
			if *update {
				if err := os.WriteFile(golden, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if text != string(want) {
				t.Errorf("text differs from %s (run with -update and look); got:\n%s", golden, text)
			}
		})
	}
}

// unpacked is a document with its streams inflated, one after the other.
func unpacked(t testing.TB, pdf []byte) string {
	t.Helper()
	var all bytes.Buffer
	for rest := pdf; ; {
		dict, after, found := bytes.Cut(rest, []byte("\nstream\n"))
		all.Write(dict)
		if !found {
			return all.String()
		}
		data, after, _ := bytes.Cut(after, []byte("\nendstream"))
		if z, err := zlib.NewReader(bytes.NewReader(data)); err == nil {
			if _, err := io.Copy(&all, z); err != nil {
				t.Fatal(err)
			}
		}
		rest = after
	}
}

// What a screen reader is given: the document's name, and its parts in order.
func TestTagged(t *testing.T) {
	t.Parallel()
	out := render(t, five(t))
	info := columnGap.ReplaceAllString(poppler(t, "pdfinfo", out), " ")
	for _, want := range []string{"Title: Ricevuta di pagamento 3012 0260 0000 0004 24\n", "Tagged: yes\n", "Metadata Stream: yes\n"} {
		if !strings.Contains(info, want) {
			t.Errorf("pdfinfo lacks %q:\n%s", want, info)
		}
	}
	if !strings.Contains(unpacked(t, out), "/DisplayDocTitle true") {
		t.Error("a viewer would show the file's name, not the title")
	}
	tags := poppler(t, "pdfinfo", out, "-struct-text")
	blanks := regexp.MustCompile(`\n +`)
	tags = blanks.ReplaceAllString(tags, "\n")
	for _, want := range []string{
		"Document\nH1 (block)\n\"Ricevuta di pagamento \"\n",
		"H2 (block)\n\"Avviso di pagamento \"\nP (block)\nSpan (inline)\n\"Codice avviso \"\nSpan (inline)\n\"3012 0260 0000 0004 24 \"\n",
		"Table (block)\nTR\nTH:\n/Scope /Column\n\"Beneficiario \"\n",
	} {
		if !strings.Contains(tags, want) {
			t.Errorf("tags lack %q:\n%s", want, tags)
		}
	}
	// The titles of a table that goes on overleaf are heard once.
	if got := strings.Count(tags, "\"Beneficiario \""); got != 1 {
		t.Errorf("a column's title is heard %d times", got)
	}
	if strings.Contains(tags, "pagina 1 di") {
		t.Error("the footer is read aloud")
	}
}

var word = regexp.MustCompile(`<word xMin="([\d.]+)" yMin="([\d.]+)" xMax="([\d.]+)" yMax="([\d.]+)">`)

func TestNothingRunsOver(t *testing.T) {
	t.Parallel()
	const mm = 72 / 25.4
	for name, make := range documents {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			words := word.FindAllStringSubmatch(poppler(t, "pdftotext", render(t, make(t)), "-", "-bbox"), -1)
			if len(words) < 50 {
				t.Fatalf("found %d words", len(words))
			}
			for _, w := range words {
				var at [4]float64
				for i := range at {
					var err error
					if at[i], err = strconv.ParseFloat(w[i+1], 64); err != nil {
						t.Fatal(err)
					}
				}
				// Half a point for rounding.
				if at[0] < 20*mm-.5 || at[2] > 190*mm+.5 || at[1] < 10*mm || at[3] > 287*mm {
					t.Errorf("a word is outside the margins: %s", w[0])
				}
			}
		})
	}
}

func TestFontsAreEmbeddedSubsets(t *testing.T) {
	t.Parallel()
	// Columns from the right: generation, object, uni, sub, emb.
	lines := strings.Split(strings.TrimSpace(poppler(t, "pdffonts", render(t, five(t)))), "\n")
	if len(lines) != 2+3 {
		t.Fatalf("want three fonts, got:\n%s", strings.Join(lines, "\n"))
	}
	for _, l := range lines[2:] {
		f := strings.Fields(l)
		if n := len(f); f[n-5] != "yes" || f[n-4] != "yes" || f[n-3] != "yes" {
			t.Errorf("not embedded, not a subset or without Unicode: %s", l)
		}
	}
}

// Nothing the sheet does not need may leave the receipt.
func TestAddressesStayInTheReceipt(t *testing.T) {
	t.Parallel()
	text := poppler(t, "pdftotext", render(t, ordinary(t)), "-")
	for _, private := range []string{"Via Segreta", "maria@example.org"} {
		if strings.Contains(text, private) {
			t.Errorf("shows %q", private)
		}
	}
}

func TestWriteRefuses(t *testing.T) {
	t.Parallel()
	full := errors.New("disk full")
	for name, c := range map[string]struct {
		change func(*Document)
		w      io.Writer
		want   error
	}{
		"an outcome KO":       {func(d *Document) { d.Receipt.Outcome = "KO" }, nil, ErrNotPaid},
		"no outcome":          {func(d *Document) { d.Receipt.Outcome = "" }, nil, ErrNotPaid},
		"a total over range":  {func(d *Document) { d.Receipt.Amount = money.Max }, nil, money.ErrRange},
		"a writer that fails": {func(*Document) {}, broken{full}, full},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			doc := ordinary(t)
			c.change(&doc)
			var b bytes.Buffer
			w := c.w
			if w == nil {
				w = &b
			}
			if err := Write(w, doc); !errors.Is(err, c.want) {
				t.Errorf("Write = %v, want %v", err, c.want)
			}
			if b.Len() > 0 {
				t.Errorf("wrote %d bytes", b.Len())
			}
		})
	}
}

type broken struct{ err error }

func (b broken) Write([]byte) (int, error) { return 0, b.err }

func TestWords(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ call, got, want string }{
		{"method(cash)", method("cash"), "contanti"},
		{"method(creditCard)", method("creditCard"), "carta di pagamento"},
		{"method(bancomat)", method("bancomat"), "bancomat"},
		{"method(other)", method("other"), "altro"},
		{"method(unknown)", method("XYZ"), "XYZ"},
		{"method(none)", method(""), ""},
		{"day(date)", day("2026-03-01"), "1 marzo 2026"},
		{"day(date with zone)", day("2026-12-31+01:00"), "31 dicembre 2026"},
		{"day(no date)", day("2026-13-01"), "2026-13-01"},
		{"day(none)", day(""), ""},
		{"moment(winter)", moment(time.Date(2026, 1, 31, 23, 30, 0, 0, time.UTC)), "1 febbraio 2026, ore 00:30:00"},
		{"moment(summer)", moment(time.Date(2026, 8, 1, 8, 5, 9, 0, time.UTC)), "1 agosto 2026, ore 10:05:09"},
		{"grouped", strings.TrimSpace(grouped("IT60X0542811101000000123456")), "IT60 X054 2811 1010 0000 0123 456"},
		{"attests(psp)", attests("psp"), "Questa ricevuta attesta il pagamento dell'avviso indicato, eseguito tramite il prestatore di servizi di pagamento indicato."},
	} {
		if c.got != c.want {
			t.Errorf("%s = %q, want %q", c.call, c.got, c.want)
		}
	}
}

func BenchmarkWrite(b *testing.B) {
	doc := ordinary(b)
	b.ReportAllocs()
	for b.Loop() {
		if err := Write(io.Discard, doc); err != nil {
			b.Fatal(err)
		}
	}
}
