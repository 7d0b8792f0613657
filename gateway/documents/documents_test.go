// SPDX-License-Identifier: Apache-2.0

package documents

import (
	"bytes"
	"errors"
	"flag"
	"image"
	"image/color"
	"image/png"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/money"
	"github.com/nodogate/nodogate/gateway/pdf"
	"github.com/nodogate/nodogate/iuv"
)

var today = time.Date(2026, 11, 26, 9, 0, 0, 0, time.UTC)

func school() gateway.School {
	return gateway.School{
		Code: "80014480828", Name: "Istituto Comprensivo «Giovanni Pascoli»",
		HelpText: "Segreteria, dal lunedì al venerdì dalle 9 alle 12, telefono 0564 000000, segreteria@scuola.example",
	}
}

func postal(s gateway.School) gateway.School {
	s.CBILL = "ABCDE"
	s.Postal = gateway.PostalAccount{
		Account: "001234567890", IBAN: "IT45R0760103200001234567890", Holder: "I.C. Giovanni Pascoli Servizio Tesoreria",
		Authorization: "AUT. DB/SSIC/E 12345 DEL 12/03/2024",
	}
	return s
}

// notice is the n-th of a class.
func notice(t testing.TB, n int) gateway.Notice {
	t.Helper()
	seg, err := iuv.ParseSegregation("01")
	if err != nil {
		t.Fatal(err)
	}
	return gateway.Notice{
		School: "80014480828", Number: iuv.New(seg, 2_026_000_000_000+uint64(n)), State: gateway.NoticeOpen,
		Debtor:      gateway.Debtor{Code: "RSSMRA10A41H501F", Name: "Maria Rossi", Class: "3B"},
		Description: "Viaggio di istruzione a Siena, classe 3B, 21 maggio 2027",
		Amount:      1650, DueDate: gateway.Date{Year: 2026, Month: 12, Day: 31}, ChangedAt: today,
	}
}

func instalments(t testing.TB, n int) []gateway.Notice {
	list := make([]gateway.Notice, n)
	for i := range list {
		list[i] = notice(t, 100+i)
		list[i].Amount = money.Cents(10000 + 1000*i)
		list[i].Plan, list[i].Instalment, list[i].PlanParts = "p", i+1, n
		list[i].DueDate = gateway.Date{Year: 2027, Month: time.Month(i%12 + 1), Day: 28}
	}
	return list
}

// logo is a drawn shield, with a transparent ground.
func logo(t testing.TB) []byte {
	t.Helper()
	m := image.NewNRGBA(image.Rect(0, 0, 512, 512))
	for y := range 512 {
		for x := range 512 {
			d := math.Hypot(float64(x)-256, float64(y)-256)
			switch {
			case d < 120:
				m.Set(x, y, color.NRGBA{0xcc, 0x33, 0, 0xff})
			case d < 250:
				m.Set(x, y, color.NRGBA{0, 0x33, 0x99, 0xff})
			}
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func picture(t testing.TB) *pdf.Picture {
	t.Helper()
	p, err := pdf.Gray(logo(t))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func ptr(n gateway.Notice) *gateway.Notice { return &n }

// hostile has all that the gateway lets in and a model has no room for.
func hostile(t testing.TB) Sheet {
	s := postal(school())
	s.Name = strings.Repeat("Istituto Omnicomprensivo Statale ", 5)[:140]
	s.HelpText = strings.Repeat("chiedere in segreteria ", 20)[:300]
	s.Postal.Holder = strings.Repeat("W", 50)
	s.Postal.Authorization = strings.Repeat("AUT. DB/", 7)[:50]
	n := notice(t, 2)
	n.Debtor = gateway.Debtor{Code: "RSSMRA10A41H501F", Name: strings.Repeat("Màrìa-Wŵwwæ ", 6)[:70], Class: strings.Repeat("W", 30)}
	n.Description = "Gita \U0001F68C \\(barra\\) 学校 ț " + strings.Repeat("precipitevolissimevolmente", 5)[:110]
	n.Amount = 9_999_999_999
	return Sheet{School: s, Logo: picture(t), Single: &n, Instalments: []gateway.Notice{n, n, n}, PayURL: "https://pagamenti.istituto-comprensivo-statale.example/paga", Language: "de"}
}

var sheets = map[string]func(testing.TB) Sheet{
	"single": func(t testing.TB) Sheet {
		return Sheet{School: school(), Single: ptr(notice(t, 1)), PayURL: "https://scuola.example/paga"}
	},
	"postal": func(t testing.TB) Sheet {
		return Sheet{School: postal(school()), Logo: picture(t), Single: ptr(notice(t, 1)), PayURL: "https://scuola.example/paga"}
	},
	"instalments": func(t testing.TB) Sheet {
		n := notice(t, 1)
		n.Amount = 52000
		return Sheet{School: postal(school()), Single: &n, Instalments: instalments(t, 4)}
	},
	"plan": func(t testing.TB) Sheet { return Sheet{School: school(), Instalments: instalments(t, 3)} },
	"longest": func(t testing.TB) Sheet {
		return Sheet{School: postal(school()), Logo: picture(t), Instalments: instalments(t, MaxInstalments), Language: "sl"}
	},
	"anonymous": func(t testing.TB) Sheet {
		n := notice(t, 3)
		n.Debtor = gateway.Debtor{Code: gateway.Anonymous, Name: "Versante anonimo"}
		n.PayableAfterDue = true
		return Sheet{School: postal(school()), Single: &n, Language: "en"}
	},
	"german": func(t testing.TB) Sheet {
		return Sheet{School: postal(school()), Logo: picture(t), Single: ptr(notice(t, 1)), PayURL: "https://scuola.example/paga", Language: "de"}
	},
	"slovene": func(t testing.TB) Sheet {
		return Sheet{School: postal(school()), Single: ptr(notice(t, 1)), Language: "sl"}
	},
	"french": func(t testing.TB) Sheet {
		return Sheet{School: school(), Logo: picture(t), Single: ptr(notice(t, 1)), Language: "fr"}
	},
	"hostile": hostile,
}

func render(t testing.TB, s Sheet) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, s, today); err != nil {
		t.Fatalf("Write: %v", err)
	}
	return b.Bytes()
}

var update = flag.Bool("update", false, "rewrite the golden files")

// tool runs a program of another hand.
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

func save(t *testing.T, out []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "notice.pdf")
	if err := os.WriteFile(file, out, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// Golden files do not hold how far apart poppler thinks columns and rows are,
// which changes with its version.
var (
	columnGap = regexp.MustCompile(` {2,}`)
	rowGap    = regexp.MustCompile(`\n{2,}`)
)

func TestWrite(t *testing.T) {
	t.Parallel()
	for name, make := range sheets {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out := render(t, make(t))
			if again := render(t, make(t)); !bytes.Equal(out, again) {
				t.Error("the same sheet gave other bytes")
			}
			file := save(t, out)
			info := tool(t, "pdfinfo", file)
			pages, err := strconv.Atoi(regexp.MustCompile(`Pages: +(\d+)`).FindStringSubmatch(info)[1])
			if err != nil {
				t.Fatal(err)
			}
			if len(out) > pages*25_000 {
				t.Errorf("%d bytes for %d pages, want at most 25000 a page", len(out), pages)
			}
			for _, want := range []string{`Title: +Avviso di pagamento 3012 `, `Tagged: +yes`, `Page size: +595.276 x 841.89 pts \(A4\)`} {
				if !regexp.MustCompile(want).MatchString(info) {
					t.Errorf("pdfinfo does not say %s:\n%s", want, info)
				}
			}
			text := tool(t, "pdftotext", "-layout", file, "-")
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

// Whoever pays holds a phone or a scanner above paper: what they read must be
// the notice, by readers that are not ours.
func TestCodesAreRead(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"single", "postal", "instalments", "plan", "hostile"} {
		make := sheets[name] // the others have the same codes
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := make(t)
			var want []gateway.Notice
			if s.Single != nil {
				want = append(want, *s.Single)
			}
			want = append(want, s.Instalments...)
			file := save(t, render(t, s))
			base := strings.TrimSuffix(file, ".pdf")
			tool(t, "pdftoppm", "-png", "-r", "200", file, base)
			pages, err := filepath.Glob(base + "-*.png")
			if err != nil {
				t.Fatal(err)
			}
			var qrs, slips []string
			for _, png := range pages {
				if s.Single == nil && strings.HasSuffix(png, "-1.png") {
					continue // the list has no codes
				}
				found := strings.Split(strings.TrimSpace(tool(t, "zbarimg", "-q", "--raw", "-Sdisable", "-Sqrcode.enable", png)), "\n")
				qrs = append(qrs, found...)
				if s.School.Postal.Account != "" {
					// Slips stand at the right edge; a search of the whole page is slow.
					list := tool(t, "dmtxread", "-n", "-N"+strconv.Itoa(len(found)), "-x78%", png)
					slips = append(slips, strings.Split(strings.TrimSpace(list), "\n")...)
				}
			}
			if len(qrs) != len(want) {
				t.Fatalf("zbarimg found %d QR codes, want %d", len(qrs), len(want))
			}
			var numbers, amounts []string
			for _, n := range want {
				numbers, amounts = append(numbers, n.Number.String()), append(amounts, n.Amount.String())
			}
			for _, q := range qrs {
				n, creditor, cents, err := iuv.ParseQR(q)
				if err != nil || creditor != "80014480828" {
					t.Fatalf("QR code %q: %v", q, err)
				}
				i := slices.Index(numbers, n.String())
				if i < 0 || amounts[i] != money.Cents(cents).String() {
					t.Errorf("QR code %q is of no notice, or of another amount", q)
				}
			}
			if s.School.Postal.Account == "" {
				return
			}
			if len(slips) != len(want) {
				t.Fatalf("dmtxread found %d slips, want %d", len(slips), len(want))
			}
			text := strings.ReplaceAll(tool(t, "pdftotext", file, "-"), " ", "")
			for _, slip := range slips {
				m, err := iuv.ParseDataMatrix(slip)
				if err != nil {
					t.Fatalf("Data Matrix %q: %v", slip, err)
				}
				i := slices.Index(numbers, m.Notice.String())
				if i < 0 || amounts[i] != money.Cents(m.Cents).String() || m.Account != s.School.Postal.Account {
					t.Errorf("Data Matrix %q is of no notice, or of another amount or account", slip)
				}
				if code, err := m.Codeline(); err != nil || !strings.Contains(text, code) {
					t.Errorf("the codeline %s (%v) is not printed", code, err)
				}
			}
		})
	}
}

var word = regexp.MustCompile(`<word xMin="([\d.]+)" yMin="([\d.]+)" xMax="([\d.]+)" yMax="([\d.]+)">([^<]*)<|<(page)`)

// Nothing stands over anything else, or outside the page's margins, whatever
// texts a school has.
func TestNothingRunsOver(t *testing.T) {
	t.Parallel()
	for name, make := range sheets {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			type box struct {
				at   [4]float64
				text string
			}
			var page []box
			count := 0
			for _, w := range word.FindAllStringSubmatch(tool(t, "pdftotext", "-bbox", save(t, render(t, make(t))), "-"), -1) {
				if w[6] != "" {
					page = nil
					continue
				}
				count++
				b := box{text: w[5]}
				for i := range b.at {
					var err error
					if b.at[i], err = strconv.ParseFloat(w[i+1], 64); err != nil {
						t.Fatal(err)
					}
				}
				if b.at[0] < left*pdf.MM-.5 || b.at[2] > right*pdf.MM+.5 || b.at[1] < 8*pdf.MM || b.at[3] > 291*pdf.MM {
					t.Errorf("%q stands outside the margins: %v", b.text, b.at)
				}
				// A box is as high as the font; the letters fill less of it.
				high := b.at[3] - b.at[1]
				b.at[1], b.at[3] = b.at[1]+.25*high, b.at[3]-.25*high
				for _, o := range page {
					if b.at[0] < o.at[2]-.3 && o.at[0] < b.at[2]-.3 && b.at[1] < o.at[3]-.3 && o.at[1] < b.at[3]-.3 {
						t.Errorf("%q %v and %q %v stand over one another", o.text, o.at, b.text, b.at)
					}
				}
				page = append(page, b)
			}
			if count < 80 {
				t.Errorf("found %d words", count)
			}
		})
	}
}

func TestReadAloud(t *testing.T) {
	t.Parallel()
	tags := tool(t, "pdfinfo", "-struct-text", save(t, render(t, sheets["german"](t))))
	tags = regexp.MustCompile(`\n +`).ReplaceAllString(tags, "\n")
	at := 0
	for _, want := range []string{
		"Document\nPart\nH1 (block)\n\"pagoPA \"\n\"AVVISO DI PAGAMENTO \"\nSpan (inline)\n\"/ ZAHLUNGSMITTEILUNG \"\n",
		"P (block)\n\"Viaggio di istruzione a Siena, classe 3B, 21 maggio 2027 \"\n",
		"\"QUANTO E QUANDO PAGARE? \"", "\"16,50 € entro il \"\nSpan (inline)\n\"/ innerhalb \"\n", "\"31/12/2026 \"", "\"DOVE PAGARE? \"",
		"\"BANCHE E ALTRI CANALI \"", "Figure", "\"Codice avviso \"", "3012 0260 0000 0001 03", "\"BOLLETTINO POSTALE PA \"", "Figure",
	} {
		i := strings.Index(tags[at:], want)
		if i < 0 {
			t.Fatalf("tags lack %q after %d bytes:\n%s", want, at, tags)
		}
		at += i
	}
}

func TestSecondLanguages(t *testing.T) {
	t.Parallel()
	for _, lang := range Languages {
		w := reflect.ValueOf(second[lang]).Elem()
		for i := range w.NumField() {
			v := w.Field(i).String()
			if v == "" {
				t.Errorf("%s has no %s", lang, w.Type().Field(i).Name)
			}
			if strings.Count(v, "%d") != strings.Count(reflect.ValueOf(italian).Field(i).String(), "%d") {
				t.Errorf("%s: %s has other places for numbers than the Italian", lang, w.Type().Field(i).Name)
			}
		}
	}
	if len(second) != len(Languages) {
		t.Errorf("%d languages, %d listed", len(second), len(Languages))
	}
}

func TestWriteRefuses(t *testing.T) {
	t.Parallel()
	full := errors.New("disk full")
	for name, c := range map[string]struct {
		change func(*Sheet)
		w      io.Writer
		want   error
	}{
		"nothing to pay":      {func(s *Sheet) { s.Single = nil }, nil, gateway.ErrNotPrintable},
		"a paid notice":       {func(s *Sheet) { s.Single.State = gateway.NoticePaid }, nil, gateway.ErrNoticePaid},
		"a cancelled notice":  {func(s *Sheet) { s.Single.State = gateway.NoticeCancelled }, nil, gateway.ErrNoticeCancelled},
		"a draft":             {func(s *Sheet) { s.Single.State = gateway.NoticeDraft }, nil, gateway.ErrNoticeDraft},
		"past its day":        {func(s *Sheet) { s.Single.DueDate.Year = 2025 }, nil, gateway.ErrNoticeExpired},
		"held":                {func(s *Sheet) { s.Single.Held = true }, nil, gateway.ErrNoticeHeld},
		"too much":            {func(s *Sheet) { s.Single.Amount = 10_000_000_000 }, nil, gateway.ErrNotPrintable},
		"another language":    {func(s *Sheet) { s.Language = "tlh" }, nil, gateway.ErrNotPrintable},
		"too many":            {func(s *Sheet) { s.Instalments = instalments(t, MaxInstalments+1) }, nil, gateway.ErrNotPrintable},
		"a paid instalment":   {func(s *Sheet) { s.Instalments = instalments(t, 3); s.Instalments[1].State = gateway.NoticePaid }, nil, gateway.ErrNoticePaid},
		"a writer that fails": {func(*Sheet) {}, broken{full}, full},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := sheets["postal"](t)
			c.change(&s)
			var b bytes.Buffer
			w := c.w
			if w == nil {
				w = &b
			}
			err := Write(w, s, today)
			if !errors.Is(err, c.want) {
				t.Errorf("Write = %v, want %v", err, c.want)
			}
			if b.Len() > 0 {
				t.Errorf("wrote %d bytes", b.Len())
			}
			if err != nil && (strings.Contains(err.Error(), "Rossi") || strings.Contains(err.Error(), "RSSMRA")) {
				t.Errorf("the error names a person: %v", err)
			}
		})
	}
}

type broken struct{ err error }

func (b broken) Write([]byte) (int, error) { return 0, b.err }

// Without Poste's authorization a school may not print slips.
func TestPostalPartNeedsAuthorization(t *testing.T) {
	t.Parallel()
	s := sheets["postal"](t)
	s.School.Postal.Authorization = ""
	text := tool(t, "pdftotext", save(t, render(t, s)), "-")
	for _, never := range []string{"BOLLETTINO", "001234567890", "posta"} {
		if strings.Contains(text, never) {
			t.Errorf("prints %q", never)
		}
	}
}

func TestPerPage(t *testing.T) {
	t.Parallel()
	for left, want := range map[int][]int{1: {1}, 2: {2}, 3: {3}, 4: {2, 2}, 5: {3, 2}, 6: {3, 3}, 7: {3, 2, 2}, 8: {3, 3, 2}, 10: {3, 3, 2, 2}} {
		var got []int
		for rest := left; rest > 0; rest -= got[len(got)-1] {
			got = append(got, perPage(rest))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%d instalments: pages of %v, want %v", left, got, want)
		}
	}
}

// A Book of a class shares its fonts: a page more costs little.
func TestBook(t *testing.T) {
	t.Parallel()
	b := NewBook("Avvisi di pagamento 3B", today)
	for i := range 30 {
		if err := b.Add(Sheet{School: postal(school()), Single: ptr(notice(t, i+1))}, today); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	if err := b.Write(&out); err != nil {
		t.Fatal(err)
	}
	if out.Len() > 30*9000 {
		t.Errorf("30 notices are %d bytes", out.Len())
	}
	file := save(t, out.Bytes())
	if info := tool(t, "pdfinfo", file); !regexp.MustCompile(`Pages: +30\n`).MatchString(info) {
		t.Errorf("want 30 pages:\n%s", info)
	}
	if got := strings.Count(tool(t, "pdfinfo", "-struct-text", file), "Part\n"); got != 30 {
		t.Errorf("tags have %d parts, want 30", got)
	}
}

// BenchmarkNotice prints one notice and, by turns with it, the same page drawn
// by hand: every line where it falls, the codes from their texts; nothing
// checked, measured, wrapped, translated or tagged. by-hand/printed is how much
// of the bare page's speed is left.
func BenchmarkNotice(b *testing.B) {
	s := sheets["postal"](b)
	book := NewBook("Avviso", today)
	book.trace = &trace{}
	if err := book.Add(s, today); err != nil {
		b.Fatal(err)
	}
	n := *s.Single
	m := iuv.DataMatrix{Notice: n.Number, Account: s.School.Postal.Account, Cents: int64(n.Amount), Creditor: "80014480828", DebtorCode: string(n.Debtor.Code), DebtorName: n.Debtor.Name, Subject: n.Description}
	matrix, err := m.Text()
	if err != nil {
		b.Fatal(err)
	}
	qr := iuv.QR(n.Number, "80014480828", int64(n.Amount))
	printed := func() error { return Write(io.Discard, s, today) }
	byHand := func() error {
		_, err := pdf.QR(qr)
		_, err2 := pdf.DataMatrix(matrix)
		c := pdf.NewCanvas(pdf.Info{Title: "Avviso"})
		for _, draw := range book.trace.drawn {
			draw(c)
		}
		return errors.Join(err, err2, c.Write(io.Discard))
	}
	var took [2]time.Duration
	b.ReportAllocs()
	for b.Loop() {
		for i, run := range []func() error{printed, byHand} {
			start := time.Now()
			if err := run(); err != nil {
				b.Fatal(err)
			}
			took[i] += time.Since(start)
		}
	}
	b.ReportMetric(took[0].Seconds()*1000/float64(b.N), "ms/printed")
	b.ReportMetric(took[1].Seconds()*1000/float64(b.N), "ms/by-hand")
	b.ReportMetric(took[1].Seconds()/took[0].Seconds(), "by-hand/printed")
}
