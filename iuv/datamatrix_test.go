// SPDX-License-Identifier: Apache-2.0

package iuv

import (
	"errors"
	"strings"
	"testing"
)

func rossi(t *testing.T) DataMatrix {
	return DataMatrix{
		Notice:     number(t, "301202600000004244"),
		Account:    "000012345678",
		Cents:      1650,
		Creditor:   "80014480828",
		DebtorCode: "RSSMRA80A01H501U",
		DebtorName: "MARIO ROSSI",
		Subject:    "CONTRIBUTO VIAGGIO DI ISTRUZIONE 3B",
	}
}

// rossiText is the specification's example.
var rossiText = "codfase=NBPA;183012026000000042441200001234567810000000165038961P180014480828RSSMRA80A01H501UMARIO ROSSI" +
	strings.Repeat(" ", 29) + "CONTRIBUTO VIAGGIO DI ISTRUZIONE 3B" + strings.Repeat(" ", 75) + strings.Repeat(" ", 12) + "A"

func TestDataMatrix(t *testing.T) {
	t.Parallel()
	got, err := rossi(t).Text()
	if got != rossiText || len(got) != 256 || err != nil {
		t.Errorf("Text() = %v, %d characters\n got %q\nwant %q", err, len(got), got, rossiText)
	}
	back, err := ParseDataMatrix(rossiText)
	if back != rossi(t) || err != nil {
		t.Errorf("ParseDataMatrix(example) = %+v, %v, want %+v", back, err, rossi(t))
	}
	// The slices by which App IO reads it.
	if got[15:33] != "301202600000004244" || got[49:59] != "0000001650" || got[66:77] != "80014480828" {
		t.Errorf("App IO would read %s, %s, %s", got[15:33], got[49:59], got[66:77])
	}
}

func TestCodeline(t *testing.T) {
	t.Parallel()
	const want = "18301202600000004244120000123456781000000016503896"
	got, err := rossi(t).Codeline()
	if got != want || len(got) != 50 || err != nil {
		t.Errorf("Codeline() = %q, %v, want %q", got, err, want)
	}
	if rossiText[13:63] != got {
		t.Errorf("the Data Matrix has %q where the codeline is %q", rossiText[13:63], got)
	}
}

func TestDataMatrixFreeText(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, in, want string }{
		{"Italian", "Niccolò D’Àvila perché così più là", "NICCOLO D'AVILA PERCHE COSI PIU LA"},
		{"decomposed", "Niccolo\u0300 perche\u0301", "NICCOLO PERCHE"},
		{"Slovene", "Žiga Čopič Šuštar", "ZIGA COPIC SUSTAR"},
		{"German", "Jürgen Groß, Bözen GROẞ", "JURGEN GROSS, BOZEN GROSS"},
		{"French", "Anaïs Lefèvre-Œuvrard", "ANAIS LEFEVRE-OEUVRARD"},
		{"Croatian, Polish, Romanian", "Đurđa Łukasz Ștefan Țăndărică", "DURDA LUKASZ STEFAN TANDARICA"},
		{"Turkish", "İnci Yıldız Güneş", "INCI YILDIZ GUNES"},
		{"Albanian, Spanish, Nordic", "Çela Núñez Ærø Åse Þór", "CELA NUNEZ AERO ASE THOR"},
		{"all the marks that are allowed", "a&b'c-d.e:f_g,h", "A&B'C-D.E:F_G,H"},
		{"others become spaces", "gita (3/B) 50€ \"Pisa\"", "GITA 3 B 50 PISA"},
		{"dash", "anno 2026–2027", "ANNO 2026-2027"},
		{"no control characters", "a\tb\nc\x00d\x7fe", "A B C D E"},
		{"not UTF-8", "a\xffb", "A B"},
		{"no Latin letters", "Иван", ""},
		{"spaces", "  a   b  ", "A B"},
		{"empty", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := rossi(t)
			d.DebtorName, d.Subject = tt.in, tt.in
			text, err := d.Text()
			if err != nil {
				t.Fatal(err)
			}
			back, err := ParseDataMatrix(text)
			if err != nil || back.DebtorName != tt.want || back.Subject != tt.want {
				t.Errorf("%q is printed as name %q, subject %q, %v, want %q", tt.in, back.DebtorName, back.Subject, err, tt.want)
			}
		})
	}
}

func TestDataMatrixRoom(t *testing.T) {
	t.Parallel()
	d := rossi(t)
	d.Cents, d.Account = 9_999_999_999, "999999999999"
	d.DebtorCode = "rssmra80a01h501u"
	d.DebtorName = strings.Repeat("è", 41)
	d.Subject = strings.Repeat("ß", 56) // 112 letters
	text, err := d.Text()
	if err != nil {
		t.Fatal(err)
	}
	want := "codfase=NBPA;1830120260000000424412999999999999109999999999" + "3896" + "1P1" + "80014480828" + "RSSMRA80A01H501U" +
		strings.Repeat("E", 40) + strings.Repeat("S", 110) + strings.Repeat(" ", 12) + "A"
	if text != want {
		t.Errorf("Text() of full fields\n got %q\nwant %q", text, want)
	}
}

func TestDataMatrixRefuses(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*DataMatrix){
		"no notice":                    func(d *DataMatrix) { d.Notice = Number{} },
		"account of 11 digits":         func(d *DataMatrix) { d.Account = "00001234567" },
		"account of 13 digits":         func(d *DataMatrix) { d.Account = "0000012345678" },
		"account with a letter":        func(d *DataMatrix) { d.Account = "00001234567X" },
		"amount of 11 digits":          func(d *DataMatrix) { d.Cents = 10_000_000_000 },
		"negative amount":              func(d *DataMatrix) { d.Cents = -1 },
		"creditor of a person":         func(d *DataMatrix) { d.Creditor = "RSSMRA80A01H501U" },
		"no creditor":                  func(d *DataMatrix) { d.Creditor = "" },
		"debtor code of 17":            func(d *DataMatrix) { d.DebtorCode = "RSSMRA80A01H501UX" },
		"debtor code with a space":     func(d *DataMatrix) { d.DebtorCode = "RSSMRA80A01 501U" },
		"debtor code with an accent":   func(d *DataMatrix) { d.DebtorCode = "RÈ" },
		"debtor code with a semicolon": func(d *DataMatrix) { d.DebtorCode = "A;B" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := rossi(t)
			spoil(&d)
			text, err := d.Text()
			if !errors.Is(err, ErrRange) || text != "" {
				t.Errorf("Text() = %q, %v, want %v", text, err, ErrRange)
			}
			if err != nil && (strings.Contains(err.Error(), "ROSSI") || strings.Contains(err.Error(), "RSSMRA")) {
				t.Errorf("the error names a person: %v", err)
			}
		})
	}
}

func TestParseDataMatrixRefuses(t *testing.T) {
	t.Parallel()
	change := func(from, to string) string { return strings.Replace(rossiText, from, to, 1) }
	for _, tt := range []struct {
		name, s string
		want    error
	}{
		{"empty", "", ErrLength},
		{"255", rossiText[1:], ErrLength},
		{"257", rossiText + " ", ErrLength},
		{"head", change("NBPA", "NBPB"), ErrFormat},
		{"length of the number", change(";18", ";17"), ErrFormat},
		{"length of the account", change("4244120000", "4244110000"), ErrFormat},
		{"length of the amount", change("567810000", "567811000"), ErrFormat},
		{"document type", change("3896", "3674"), ErrFormat},
		{"letter in the amount", change("1650", "16x0"), ErrFormat},
		{"aux digit", change("1830120", "1850120"), ErrAux},
		{"type of slip", change("1P1", "1P2"), ErrFormat},
		{"no 1 before P1, as one program prints it", change("1P1", "P18"), ErrFormat},
		{"creditor", change("80014480828", "8001448082X"), ErrFormat},
		{"debtor code", change("RSSMRA80A01H501U", "RSSMRA80A01 501U"), ErrFormat},
		{"name", change("MARIO ROSSI", "MARIO;ROSSI"), ErrFormat},
		{"subject", change("VIAGGIO", "VIAGGI\xd2"), ErrFormat},
		{"filler", rossiText[:250] + "X" + rossiText[251:], ErrFormat},
		{"end", rossiText[:255] + "B", ErrFormat},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if tt.s == rossiText {
				t.Fatal("the case changes nothing")
			}
			if d, err := ParseDataMatrix(tt.s); !errors.Is(err, tt.want) || d != (DataMatrix{}) {
				t.Errorf("ParseDataMatrix = %+v, %v, want %v and nothing else", d, err, tt.want)
			}
		})
	}
}

func FuzzParseDataMatrix(f *testing.F) {
	f.Add(rossiText)
	f.Add(strings.ToLower(rossiText))
	f.Add(strings.Replace(rossiText, "MARIO ROSSI", "  mario  r ", 1))
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDataMatrix(s)
		if err != nil {
			return
		}
		text, err := d.Text()
		if err != nil {
			t.Fatalf("%q was read and cannot be written: %v", s, err)
		}
		// All but the free text comes back as it was, upper case apart.
		if head := dmDebtorName; !strings.EqualFold(text[:head], s[:head]) {
			t.Errorf("%q, written again: %q", s, text)
		}
	})
}

// Whatever a school or a family types, the payload has 256 characters that
// Poste's reader knows, and printing what was read prints the same.
func FuzzDataMatrix(f *testing.F) {
	f.Add("RSSMRA80A01H501U", "Mario Rossi", "Contributo viaggio di istruzione 3ª B", int64(1650))
	f.Add("", "ÆŒßÞ\u0300", strings.Repeat("ß ", 60), int64(0))
	f.Fuzz(func(t *testing.T, code, name, subject string, cents int64) {
		d := rossi(t)
		d.DebtorCode, d.DebtorName, d.Subject, d.Cents = code, name, subject, cents
		text, err := d.Text()
		if err != nil {
			if !errors.Is(err, ErrRange) {
				t.Errorf("Text() = %v, want %v", err, ErrRange)
			}
			return
		}
		if len(text) != 256 {
			t.Fatalf("Text() has %d characters", len(text))
		}
		for i := dmCodeline; i < len(text); i++ {
			if c := text[i]; !isPrintable(c) || c >= 'a' && c <= 'z' {
				t.Fatalf("character %q at %d of %q", c, i, text)
			}
		}
		back, err := ParseDataMatrix(text)
		if err != nil {
			t.Fatalf("ParseDataMatrix(%q): %v", text, err)
		}
		if again, err := back.Text(); again != text || err != nil {
			t.Errorf("printed %q, read, printed %q, %v", text, again, err)
		}
	})
}
