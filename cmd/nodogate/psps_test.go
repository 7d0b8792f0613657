// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nodogate/nodogate/connectors"
)

var update = flag.Bool("update", false, "write the golden files anew")

const pspListFile = "testdata/psplist.xml"

func TestPSPsImport(t *testing.T) {
	t.Parallel()
	const golden = "testdata/psplist.yaml"
	code, out, errs := execute(t, ".", nil, "psps", "import", pspListFile)
	if code != 0 {
		t.Fatalf("exit %d: %s", code, errs)
	}
	if *update {
		if err := os.WriteFile(golden, []byte(out), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if out != string(want) {
		t.Errorf("the catalogue is\n%s\nwant\n%s", out, want)
	}
	if want := "ABI00001, channel \"97735020584_03\", PPAL: left out, no method of ours\n"; errs != want {
		t.Errorf("notes %q, want %q", errs, want)
	}
	mustServe(t, []byte(out))

	// --out writes the same, once.
	file := filepath.Join(t.TempDir(), "psps.yaml")
	if code, out, errs := execute(t, ".", nil, "psps", "import", "--out", file, pspListFile); code != 0 || out != "" {
		t.Errorf("--out: exit %d, %q, %s", code, out, errs)
	}
	if err := os.WriteFile(file, []byte("psps: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := execute(t, ".", nil, "psps", "import", pspListFile, "--out", file); code != 1 || !strings.Contains(errs, "is there already") {
		t.Errorf("over a file: exit %d, %s", code, errs)
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != "psps: []\n" {
		t.Errorf("the file was touched: %q, %v", got, err)
	}
	if code, _, errs := execute(t, ".", nil, "psps", "import", pspListFile, "--out", file, "--force"); code != 0 {
		t.Errorf("--force: exit %d, %s", code, errs)
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != string(want) {
		t.Errorf("--force wrote %q, %v", got, err)
	}
	if left, err := os.ReadDir(filepath.Dir(file)); err != nil || len(left) != 1 {
		t.Errorf("files left: %v, %v", left, err)
	}

	code, out, _ = execute(t, ".", nil, "psps", "import", pspListFile, "--json", "--endpoint", "https://checkout.example/v1", "--page-hosts", "a.example,b.example")
	var records []struct {
		ID       string
		Methods  []string
		Endpoint string
		Pages    []string `json:"page_hosts"`
		Most     *int     `json:"max_amount_cents"`
		Fees     []struct {
			UpTo *int `json:"up_to_cents"`
			Fee  int  `json:"fee_cents"`
		}
	}
	if err := json.Unmarshal([]byte(out), &records); err != nil || code != 0 || len(records) != 3 {
		t.Fatalf("--json: exit %d, %v, %s", code, err, out)
	}
	r := records[0]
	if r.ID != "ABI00001" || strings.Join(r.Methods, " ") != "card account_debit" || r.Endpoint != "https://checkout.example/v1" ||
		strings.Join(r.Pages, " ") != "a.example b.example" || *r.Most != 500000 || len(r.Fees) != 2 || *r.Fees[0].UpTo != 10000 || r.Fees[1].UpTo != nil || r.Fees[1].Fee != 150 {
		t.Errorf("--json: the first is %+v", r)
	}
}

// mustServe proves that a catalogue written would be read and taken.
func mustServe(t *testing.T, text []byte) {
	t.Helper()
	c, err := connectors.ParseCatalogue(text)
	if err != nil {
		t.Fatalf("what was written is no catalogue: %v\n%s", err, text)
	}
	if _, err := newTestProviders(t, c, "KEY"); err != nil {
		t.Fatalf("what was written would not be served: %v\n%s", err, text)
	}
}

func TestPSPsImportRefuses(t *testing.T) {
	t.Parallel()
	good, err := os.ReadFile(pspListFile)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, c := range map[string]struct {
		text string
		args []string
		want string
	}{
		"cut":            {text: string(good[:2000]), want: "line 16: not well-formed XML"},
		"document type":  {text: "<!DOCTYPE a [<!ENTITY e SYSTEM \"file:///etc/passwd\">]>\n<listaInformativePSP/>", want: "list.xml: a document type"},
		"second root":    {text: string(good) + "\n<a/>", want: ": a second root element"},
		"another root":   {text: "<a/>", want: "listaInformativePSP: not the root"},
		"a wrong amount": {text: strings.Replace(string(good), "<costoFisso>1.30", "<costoFisso>1,30", 1), want: "listaInformativePSP/informativaPSP[2]/listaInformativaDetail/informativaDetail[1]/costiServizio/listaFasceCostoServizio/fasciaCostoServizio[1]/costoFisso: not a stAmount"},
		"nobody":         {text: "<listaInformativePSP/>", want: "no PSP that can be paid with"},
		"endpoint":       {text: string(good), args: []string{"--endpoint", "http://checkout.example"}, want: "endpoint: must be https"},
		"page host":      {text: string(good), args: []string{"--page-hosts", "https://checkout.example"}, want: "page_hosts"},
		"no such folder": {text: string(good), args: []string{"--out", filepath.Join(dir, "none", "psps.yaml")}, want: "no such file"},
	} {
		file := filepath.Join(dir, "list.xml")
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		code, out, errs := execute(t, ".", nil, append([]string{"psps", "import", file}, c.args...)...)
		errs = strings.Replace(errs, "ABI00001, channel \"97735020584_03\", PPAL: left out, no method of ours\n", "", 1)
		if code != 1 || out != "" || !strings.Contains(errs, c.want) || strings.Count(errs, "\n") != 1 {
			t.Errorf("%s: exit %d, %q, %q; want one line with %q", name, code, out, errs, c.want)
		}
	}
	if code, _, errs := execute(t, ".", nil, "psps", "import", filepath.Join(dir, "none.xml")); code != 1 || !strings.Contains(errs, "no such file") {
		t.Errorf("no file: exit %d, %s", code, errs)
	}
	for _, args := range [][]string{{"psps"}, {"psps", "export"}, {"psps", "import"}, {"psps", "import", "a", "b"}, {"psps", "import", "a", "--x"}} {
		if code, _, errs := execute(t, ".", nil, args...); code != 2 || errs == "" {
			t.Errorf("%v: exit %d, %s", args, code, errs)
		}
	}
}
