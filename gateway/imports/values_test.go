// SPDX-License-Identifier: Apache-2.0

package imports

import (
	"strings"
	"testing"

	"github.com/nodogate/nodogate/gateway/money"
	"github.com/nodogate/nodogate/gateway/sheet"
)

func TestAmount(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		in        string
		want      money.Cents // 0: refused
		thousands bool
	}{
		{"16,50", 1650, false}, {"16.50", 1650, false}, {"16,5", 1650, false}, {"16.5", 1650, false}, {"16", 1600, false},
		{"€ 16,50", 1650, false}, {"16,50 €", 1650, false}, {"EUR 16,50", 1650, false}, {"16,50 euro", 1650, false}, {"\u00a016,50\u00a0€\u00a0", 1650, false},
		{"1.234,56", 123456, false}, {"1,234.56", 123456, false}, {"1.234", 123400, true}, {"1.234.567,89", 123456789, false}, {"1 234,56", 123456, false}, {"1'234.50", 123450, false},
		{"16,-", 1600, false}, {",50", 50, false}, {"+16,50", 1650, false}, {"0,01", 1, false}, {"999.999.999,99", 99999999999, false},
		{"1,234", 0, false}, {"16,505", 0, false}, {"0,001", 0, false}, {"1.23.4", 0, false}, {"12.34,56", 0, false}, {"1,2,3", 0, false},
		{"-5", 0, false}, {"(5)", 0, false}, {"0", 0, false}, {"0,00", 0, false}, {"1.000.000.000", 0, false}, {"16.", 0, false},
		{"sedici", 0, false}, {"16,50 x", 0, false}, {"1e3", 0, false}, {"", 0, false}, {"€", 0, false}, {".", 0, false}, {"١٦", 0, false},
	} {
		got, thousands, bad := amount(sheet.Cell{Text: tc.in})
		if got != tc.want || (bad == nil) != (tc.want > 0) || thousands != tc.thousands {
			t.Errorf("amount(%q) = %v, %v, %v, want %v, %v", tc.in, got, thousands, bad, tc.want, tc.thousands)
		}
	}
	for _, tc := range []struct {
		in   string
		want money.Cents
	}{
		{"16.5", 1650}, {"16.550000000000001", 1655}, {"16.549999999999997", 1655}, {"1.65E1", 1650}, {"1234.56", 123456}, {"16", 1600},
		{"16.555", 0}, {"-1", 0}, {"0", 0}, {"1E12", 0}, {"1E99", 0}, {"NaN", 0}, {"0x10", 0}, {"999999999.99", 99999999999},
	} {
		got, _, bad := amount(sheet.Cell{Text: tc.in, Kind: sheet.Number})
		if got != tc.want || (bad == nil) != (tc.want > 0) {
			t.Errorf("amount(number %s) = %v, %v, want %v", tc.in, got, bad, tc.want)
		}
	}
}

func TestDate(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ in, want string }{
		{"31/12/2026", "2026-12-31"}, {"2026-12-31", "2026-12-31"}, {"31-12-2026", "2026-12-31"}, {"31.12.2026", "2026-12-31"},
		{"1/2/2027", "2027-02-01"}, {"31/12/26", "2026-12-31"}, {"31/12/2026 00:00:00", "2026-12-31"}, {"2026-12-31T00:00:00Z", "2026-12-31"},
		{"31 dicembre 2026", "2026-12-31"}, {"31-dic-26", "2026-12-31"}, {" 31/12/2026 ", "2026-12-31"}, {"29/02/2028", "2028-02-29"},
		{"29/02/2027", ""}, {"31/04/2027", ""}, {"12/31/2026", ""}, {"00/01/2027", ""}, {"31/12/1999", ""}, {"31/12/2200", ""},
		{"20261231", ""}, {"domani", ""}, {"31 brumaio 2026", ""}, {"", ""}, {"31/12", ""},
	} {
		got, bad := date(sheet.Cell{Text: tc.in})
		if got != tc.want || (bad == nil) != (tc.want != "") {
			t.Errorf("date(%q) = %q, %v, want %q", tc.in, got, bad, tc.want)
		}
	}
	for _, tc := range []struct {
		in   sheet.Cell
		want string
	}{
		{sheet.Cell{Text: "2026-12-31", Kind: sheet.Date}, "2026-12-31"}, {sheet.Cell{Text: "x", Kind: sheet.Date}, ""},
		{sheet.Cell{Text: "46387", Kind: sheet.Number}, "2026-12-31"}, {sheet.Cell{Text: "16.5", Kind: sheet.Number}, ""}, {sheet.Cell{Text: "true", Kind: sheet.Bool}, ""},
	} {
		if got, bad := date(tc.in); got != tc.want || (bad == nil) != (tc.want != "") {
			t.Errorf("date(%+v) = %q, %v, want %q", tc.in, got, bad, tc.want)
		}
	}
}

func TestFieldOf(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]field{
		"Codice Fiscale": fFiscalCode, "CODICE FISCALE": fFiscalCode, "codice_fiscale": fFiscalCode, "C.F.": fFiscalCode, "CodiceFiscale": fFiscalCode,
		"Cod. Fisc.": fFiscalCode, "Codice fiscale dell'alunno/a": fFiscalCode, "codice fiscale studente": fFiscalCode, "fiscal_code": fFiscalCode, "Fiscal Code": fFiscalCode,
		"codice fiscale genitore": "", "Cognome e Nome": fFullName, "NOME E COGNOME": fFullName, "Nominativo": fFullName, "Alunno/a": fFullName,
		"Cognome alunno": fLastName, "Nome": fFirstName, "Classe": fClass, "Causale": fDescription, "Importo (€)": fAmount, "Importo in €": fAmount,
		"Importo in centesimi": fAmountCents, "Scadenza": fDueDate, "Data di scadenza (gg/mm/aaaa)": fDueDate, "N. avviso": fNumber, "Riferimento": fExternalID,
		"Pagàbile dopo scadenza": fPayableLate, "Note": "", "": "", "   ": "", "debtor.full_name": fFullName,
	} {
		if got, _ := fieldOf(name); got != want {
			t.Errorf("fieldOf(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestGuess(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, header, says string }{
		{"all", "Codice fiscale;Nome e cognome;Causale;Importo;Scadenza", ""},
		{"names apart", "Cognome;Nome;CF;Causale;Importo;Scadenza", ""},
		{"only Nome", "Nome;CF;Causale;Importo;Scadenza", ""},
		{"a pupil's code and a parent's", "CF genitore;Codice fiscale alunno;Nominativo;Causale;Importo;Scadenza", ""},
		{"an exact name wins", "Codice fiscale alunno;Codice fiscale;Nominativo;Causale;Importo;Scadenza", ""},
		{"two that could be it", "CF;Codice fiscale;Nominativo;Causale;Importo;Scadenza", "più colonne"},
		{"a surname without a name", "Cognome;CF;Causale;Importo;Scadenza", "cognome"},
		{"missing", "CF;Nominativo;Importo", "mancano le colonne: causale, scadenza"},
		{"no header", "a;b;c", "nessuna riga"},
	} {
		_, err := guess(strings.Split(tc.header, ";"))
		if (err == nil) != (tc.says == "") || err != nil && !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v, want one that says %q", tc.name, err, tc.says)
		}
	}
}

// Invented people; the codes' letters follow from the names.
func TestTurn(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, code, want string
		fits             bool
	}{
		{"ROSSI MARIA", "RSSMRA10A41H501F", "MARIA ROSSI", true},
		{"Maria Rossi", "RSSMRA10A41H501F", "Maria Rossi", true},
		{"DE LUCA MARIA CHIARA", "DLCMCH10A41H501X", "MARIA CHIARA DE LUCA", true},
		{"D'Amico Niccolò", "DMCNCL10A01H501X", "Niccolò D'Amico", true},
		{"Fo Io", "FOXIOX10A01H501X", "Io Fo", true},
		{"Bianchi Laura", "RSSMRA10A41H501F", "Bianchi Laura", false},
		{"Rossi", "RSSMRA10A41H501F", "Rossi", true},
		{"Scuola Media", "80014480828", "Scuola Media", true},
	} {
		if got, fits := turn(tc.name, tc.code); got != tc.want || fits != tc.fits {
			t.Errorf("turn(%q, %s) = %q, %v, want %q, %v", tc.name, tc.code, got, fits, tc.want, tc.fits)
		}
	}
}

// FuzzValues: whatever stands in a cell, reading it ends in a value within
// bounds or in a reason.
func FuzzValues(f *testing.F) {
	for _, s := range []string{"1.234,56 €", "31/12/2026", "1E9", "31 dic 26", "sì", "3^ B", "RSSMRA10A41H501F"} {
		f.Add(s, byte(0))
		f.Add(s, byte(1))
	}
	f.Fuzz(func(t *testing.T, s string, kind byte) {
		c := sheet.Cell{Text: s, Kind: sheet.Kind(kind % 6)}
		if a, _, bad := amount(c); bad == nil && (a < 1 || a > money.Max) {
			t.Errorf("amount(%q) = %d", s, a)
		}
		if d, bad := date(c); bad == nil && (len(d) != 10 || d < "2000-01-01" || d > "2199-12-31") {
			t.Errorf("date(%q) = %q", s, d)
		}
		_, _ = cents(c)
		_, _ = yes(c)
		_, _ = code(c, 18)
		_ = className(s)
		_, _ = fieldOf(s)
		_, _ = turn(s, "RSSMRA10A41H501F")
	})
}
