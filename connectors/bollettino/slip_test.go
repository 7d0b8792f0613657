// SPDX-License-Identifier: Apache-2.0

package bollettino

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/iuv"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func bulletin(t testing.TB, change ...func(*gateway.Bulletin)) gateway.Bulletin {
	t.Helper()
	number, err := iuv.Parse("301202600000004244")
	if err != nil {
		t.Fatal(err)
	}
	b := gateway.Bulletin{
		School: gateway.School{Code: "80014480828", Name: "Istituto Comprensivo Grosseto 6", Postal: gateway.PostalAccount{
			Account: "001234567890", IBAN: "IT00A0760100000001234567890", Holder: "IC Grosseto 6 Servizio Cassa", Authorization: "AUT. DB/0000/XXX 00000 DEL 01/09/2026",
		}},
		Notice: gateway.Notice{
			Number: number, Amount: 1650, Description: "Viaggio di istruzione 3B", DueDate: gateway.Date{Year: 2026, Month: 12, Day: 31},
			Debtor:    gateway.Debtor{Code: "RSSMRA10A41H501F", Name: "Maria Rossi", Class: "3B"},
			ChangedAt: time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC),
		},
	}
	for _, f := range change {
		f(&b)
	}
	return b
}

// hostile has everything as long as it may be.
func hostile(b *gateway.Bulletin) {
	b.School.Name = strings.Repeat("Istituto Omnicomprensivo Statale ", 4) + "Città"
	b.School.Postal.Holder = strings.Repeat("W", 50)
	b.School.Postal.Authorization = strings.Repeat("M", 50)
	b.Notice.Amount = gateway.MaxBulletin
	b.Notice.Description = strings.Repeat("Perché no? Žižek & 'figli' – ", 5)[:140]
	b.Notice.Debtor = gateway.Debtor{Code: "ANONIMO", Name: strings.Repeat("Nguyễn Thị ", 6)}
}

func printed(t testing.TB, list ...gateway.Bulletin) string {
	t.Helper()
	var b, again bytes.Buffer
	if err := Print(&b, list); err != nil {
		t.Fatal(err)
	}
	if err := Print(&again, list); err != nil || !bytes.Equal(b.Bytes(), again.Bytes()) {
		t.Errorf("printed again it has other bytes, %v", err)
	}
	file := filepath.Join(t.TempDir(), "bollettino.pdf")
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// run starts one of the readers, which are Debian's.
func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		if os.Getenv("NODOGATE_TEST_STRICT") != "" {
			t.Fatalf("%s is not installed", name)
		}
		t.Skipf("%s is not installed", name)
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v %s", name, err, &stderr)
	}
	return string(out)
}

func TestPrint(t *testing.T) {
	t.Parallel()
	one := bulletin(t)
	many := make([]gateway.Bulletin, gateway.MaxCartNotices)
	for i := range many {
		many[i] = bulletin(t, func(b *gateway.Bulletin) { b.Notice.Description = "Avviso " + strconv.Itoa(i+1) })
	}
	for name, c := range map[string]struct {
		list  []gateway.Bulletin
		pages int
	}{"one": {[]gateway.Bulletin{one}, 1},
		"guest": {[]gateway.Bulletin{bulletin(t, func(b *gateway.Bulletin) { b.Notice.Debtor = gateway.Debtor{Code: gateway.Anonymous} })}, 1}, "hostile": {[]gateway.Bulletin{bulletin(t, hostile), one}, 1}, "five": {many, 3}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := printed(t, c.list...)
			got := run(t, "pdftotext", "-layout", file, "-")
			if n := strings.Count(got, "\f"); n != c.pages {
				t.Errorf("%d pages, want %d", n, c.pages)
			}
			golden := filepath.Join("testdata", name+".txt")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if want, err := os.ReadFile(golden); err != nil || got != string(want) {
				t.Errorf("the text is another than in %s (%v):\n%s", golden, err, got)
			}
		})
	}
}

// A reader that is not ours finds on the paper what the codeline and the Data
// Matrix shall say.
func TestMatrixIsRead(t *testing.T) {
	t.Parallel()
	for name, b := range map[string]gateway.Bulletin{"ordinary": bulletin(t), "hostile": bulletin(t, hostile)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := printed(t, b)
			png := strings.TrimSuffix(file, ".pdf")
			run(t, "pdftoppm", "-png", "-r", "300", "-singlefile", "-x", "1900", "-y", "1100", "-W", "500", "-H", "700", file, png)
			text := run(t, "dmtxread", "-N1", png+".png")
			got, err := iuv.ParseDataMatrix(text)
			if err != nil {
				t.Fatalf("the reader gives %q: %v", text, err)
			}
			if got.Notice != b.Notice.Number || got.Account != "001234567890" || got.Cents != int64(b.Notice.Amount) ||
				got.Creditor != "80014480828" || got.DebtorCode != string(b.Notice.Debtor.Code) || got.DebtorName == "" || got.Subject == "" {
				t.Errorf("the reader gives %+v", got)
			}
			codeline, err := got.Codeline()
			if err != nil || !strings.Contains(run(t, "pdftotext", file, "-"), codeline) {
				t.Errorf("the codeline %s is not on the paper, %v", codeline, err)
			}
		})
	}
}

func TestPrintRefuses(t *testing.T) {
	t.Parallel()
	for name, list := range map[string][]gateway.Bulletin{
		"nothing":          nil,
		"no account":       {bulletin(t), bulletin(t, func(b *gateway.Bulletin) { b.School.Postal = gateway.PostalAccount{} })},
		"no authorisation": {bulletin(t, func(b *gateway.Bulletin) { b.School.Postal.Authorization = "" })},
		"no holder":        {bulletin(t, func(b *gateway.Bulletin) { b.School.Postal.Holder = "" })},
		"too much":         {bulletin(t, func(b *gateway.Bulletin) { b.Notice.Amount = gateway.MaxBulletin + 1 })},
		"no number":        {bulletin(t, func(b *gateway.Bulletin) { b.Notice.Number = iuv.Number{} })},
	} {
		var b bytes.Buffer
		err := Print(&b, list)
		if err == nil || b.Len() > 0 {
			t.Errorf("%s: Print wrote %d bytes, %v", name, b.Len(), err)
		}
		if expected := name != "nothing" && name != "no number"; errors.Is(err, gateway.ErrNoBulletin) != expected {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func BenchmarkPrint(b *testing.B) {
	list := []gateway.Bulletin{bulletin(b), bulletin(b), bulletin(b), bulletin(b), bulletin(b)}
	for b.Loop() {
		if err := Print(new(bytes.Buffer), list); err != nil {
			b.Fatal(err)
		}
	}
}
