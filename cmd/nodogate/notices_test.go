// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestNoticesImport(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	env := []string{"NODOGATE_DATABASE_URL=sqlite://" + filepath.Join(dir, "n.db"), "NODOGATE_SECRET_FILE=" + filepath.Join(dir, "secret")}
	if code, _, errs := execute(t, dir, env, "school", "add", "--fiscal-code", "80014480828", "--name", "IC 6 Grosseto",
		"--iban", "IT60X0542811101000000123456", "--segregation-code", "01"); code != 0 {
		t.Fatal(errs)
	}
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const head = "Riferimento;C.F.;Cognome e nome;Causale;Quota;Scadenza\n"
	good := write("good.csv", head+"a1;RSSMRA10A41H501F;ROSSI MARIA;Gita;16,50;31/12/2099\na2;DLCCHR10D52E202M;DE LUCA CHIARA;Gita;16,50;31/12/2099\n")
	bad := write("bad.csv", head+"b1;RSSMRA10A41H501F;ROSSI MARIA;Gita;16,50;31/12/2099\nb2;RSSMRA10A41H501X;ROSSI MARIA;Gita;gratis;31/12/2099\n")
	odd := write("odd.csv", strings.Replace(head, "Quota", "Soldi", 1)+"c1;RSSMRA10A41H501F;ROSSI MARIA;Gita;16,50;31/12/2099\n")
	for _, tc := range []struct {
		name      string
		args      []string
		code      int
		out, errs string // parts
	}{
		{"dry run", []string{good, "--dry-run"}, 0, "rows 2, accepted 2, rejected 0, warnings 0; nothing issued (dry run)", ""},
		{"good", []string{good}, 0, "issued 2, here before 0", ""},
		{"again", []string{good, "--on-error", "skip"}, 0, "issued 0, here before 2", ""},
		{"bad, dry run", []string{bad, "--dry-run"}, 1, "gratis", "rows are wrong"},
		{"bad", []string{bad}, 1, "accepted 0, rejected 1", "nessun avviso è stato emesso"},
		{"bad, skip", []string{bad, "--on-error", "skip"}, 0, "issued 1, here before 0", ""},
		{"other names", []string{odd}, 1, "", "mancano le colonne: importo"},
		{"other names, said", []string{"--map", "amount=soldi", odd}, 0, "issued 1", ""},
		{"other names, remembered", []string{odd}, 0, "here before 1", ""},
		{"no such file", []string{filepath.Join(dir, "none.csv")}, 1, "", "none.csv"},
		{"no file", nil, 2, "", "nodogate notices import FILE"},
		{"on-error", []string{good, "--on-error", "guess"}, 2, "", "stop or skip"},
		{"map", []string{good, "--map", "colour=x"}, 2, "", "--map"},
	} {
		args := append([]string{"notices", "import", "--school", "80014480828"}, tc.args...)
		code, out, errs := execute(t, dir, env, args...)
		if code != tc.code || !strings.Contains(out, tc.out) || !strings.Contains(errs, tc.errs) || code == 0 && errs != "" {
			t.Errorf("%s: exit %d\n%s\n%s", tc.name, code, out, errs)
		}
	}
	if code, _, errs := execute(t, dir, env, "notices", "import", good, "--school", "123"); code != 2 || !strings.Contains(errs, "--school") {
		t.Errorf("a wrong school: exit %d, %s", code, errs)
	}
	if code, _, errs := execute(t, dir, env, "notices", "import", good, "--school", "80015010723"); code != 1 || !strings.Contains(errs, "school list") {
		t.Errorf("an unknown school: exit %d, %s", code, errs)
	}
	code, out, _ := execute(t, dir, env, "notices", "import", bad, "--school", "80014480828", "--dry-run", "--on-error", "skip", "--json")
	var got struct {
		State                    string
		Rows, Accepted, Rejected int
		Errors                   []struct {
			Row                   int
			Column, Code, Message string
		}
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 || got.State != "done" || got.Rows != 2 || got.Accepted != 1 || len(got.Errors) != 2 ||
		got.Errors[0].Row != 3 || got.Errors[0].Code != "format" {
		t.Errorf("--json: exit %d, %v, %+v\n%s", code, err, got, out)
	}
}
