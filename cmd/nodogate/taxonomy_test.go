// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The header as the official file has it.
const taxonomyHeader = "CODICE TIPO ENTE CREDITORE;TIPO ENTE CREDITORE;# Progressivo Macro Area per Ente Creditore;NOME MACRO AREA;DESCRIZIONE MACRO AREA;CODICE TIPOLOGIA SERVIZIO;TIPO SERVIZIO;Motivo Giuridico della riscossione;DESCRIZIONE TIPO SERVIZIO;# VERSIONE TASSONOMIA;DATI SPECIFICI DI INCASSO;DATA INIZIO VALIDITA;DATA FINE VALIDITA\n"

func readTaxonomyText(t *testing.T, text string) ([]string, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "taxonomy.csv")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	list, err := readTaxonomy(f)
	var out []string
	for _, c := range list {
		out = append(out, strings.Join([]string{c.Code, c.From.String(), c.To.String(), c.Kind, c.Area, c.Name, c.Version}, "|"))
	}
	return out, err
}

func TestReadTaxonomy(t *testing.T) {
	t.Parallel()
	row := func(code, from, to string) string {
		return "08;Scuole;01;Area di prova;Testo;100;Servizio di prova;AP;\"Testo; con separatore\";1;" + code + ";" + from + ";" + to + "\n"
	}
	for name, c := range map[string]struct{ text, want string }{
		"month first": {row("9/0801100AP/", "01/02/2024", "12/31/2099"), "0801100AP|2024-01-02|2099-12-31|08|Area di prova|Servizio di prova|1"},
		"day first":   {row("9/0801100AP/", "01/02/2024", "31/12/2099"), "0801100AP|2024-02-01|2099-12-31|08|Area di prova|Servizio di prova|1"},
		"ISO":         {row("0801100AP", "2024-02-01", "9999-12-31"), "0801100AP|2024-02-01|2199-12-31|08|Area di prova|Servizio di prova|1"},
	} {
		for format, header := range map[string]string{"plain": taxonomyHeader, "with a mark and accents": "\ufeff" + strings.ReplaceAll(taxonomyHeader, "VALIDITA", "VALIDITÀ (mm/gg/aaaa)")} {
			if got, err := readTaxonomyText(t, header+c.text); err != nil || len(got) != 1 || got[0] != c.want {
				t.Errorf("%s, %s: %q, %v, want %q", name, format, got, err, c.want)
			}
		}
	}
	for name, text := range map[string]string{
		"another file": "a;b;c\n1;2;3\n", "no code": taxonomyHeader + row("x", "01/01/2024", "12/31/2099"),
		"no day": taxonomyHeader + row("9/0801100AP/", "ieri", "12/31/2099"), "mixed days": taxonomyHeader + row("9/0801100AP/", "13/01/2024", "12/31/2099"),
	} {
		if got, err := readTaxonomyText(t, text); err == nil {
			t.Errorf("%s: read as %q", name, got)
		}
	}
}
