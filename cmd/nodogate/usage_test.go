// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// here runs a command line in this process.
func here(t *testing.T, env []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), cli{env, &out, &errs}, args)
	return code, out.String(), errs.String()
}

// leaves are all commands that do something, by what is typed.
func leaves(path []string, list []command) (paths [][]string, all []command) {
	for _, c := range list {
		at := append(slices.Clone(path), c.name)
		if c.run != nil {
			paths, all = append(paths, at), append(all, c)
		}
		p, a := leaves(at, c.subs)
		paths, all = append(paths, p...), append(all, a...)
	}
	return paths, all
}

func TestHelp(t *testing.T) {
	t.Parallel()
	paths, all := leaves(nil, commands())
	for i, path := range paths {
		name := strings.Join(path, " ")
		want := "usage: nodogate " + name
		for _, args := range [][]string{append(slices.Clone(path), "--help"), append(slices.Clone(path), "-h"), append([]string{"help"}, path...)} {
			code, out, errs := here(t, nil, args...)
			if code != 0 || errs != "" || !strings.HasPrefix(out, want) || !strings.Contains(out, all[i].help) {
				t.Errorf("nodogate %s: exit %d, %q, %q; want exit 0 and %q on standard output", strings.Join(args, " "), code, out, errs, want)
			}
		}
		// Whatever prints records prints them as JSON too.
		if _, out, _ := here(t, nil, append(path, "--help")...); !strings.Contains(out, "--json") && !slices.Contains([]string{"demo", "sandbox", "healthcheck"}, name) {
			t.Errorf("nodogate %s takes no --json", name)
		}
		code, out, errs := here(t, nil, append(slices.Clone(path), "--no-such-flag")...)
		if code != 2 || out != "" || strings.Count(errs, "\n") != 1 || !strings.Contains(errs, "--help") {
			t.Errorf("nodogate %s --no-such-flag: exit %d, %q, %q; want exit 2 and one line that says what to do", name, code, out, errs)
		}
	}
	for _, c := range commands() {
		if c.run != nil {
			continue
		}
		if code, out, errs := here(t, nil, c.name, "--help"); code != 0 || errs != "" || !strings.Contains(out, c.subs[0].help) {
			t.Errorf("nodogate %s --help: exit %d, %q, %q", c.name, code, out, errs)
		}
		for _, args := range [][]string{{c.name}, {c.name, "no-such-word"}} {
			if code, out, errs := here(t, nil, args...); code != 2 || out != "" || strings.Count(errs, "\n") != 1 || !strings.Contains(errs, names(c.subs)) {
				t.Errorf("nodogate %q: exit %d, %q, %q; want exit 2 and the words it knows", args, code, out, errs)
			}
		}
	}
	for _, args := range [][]string{{"help"}, {"--help"}, {"-h"}} {
		if code, out, _ := here(t, nil, args...); code != 0 || !strings.Contains(out, "school add|change|list") || !strings.Contains(out, "Exit codes") {
			t.Errorf("nodogate %q: exit %d, %q", args, code, out)
		}
	}
}

// Mistakes in the configuration are many, and still one line.
func TestErrorIsOneLine(t *testing.T) {
	t.Parallel()
	code, _, errs := here(t, []string{"NODOGATE_FACES=other", "NODOGATE_BROKER=1", "NODOGATE_PEER_AUTH=none"}, "serve")
	if code != 1 || strings.Count(errs, "\n") != 1 || !strings.Contains(errs, "NODOGATE_FACES") || !strings.Contains(errs, "NODOGATE_BROKER") {
		t.Errorf("exit %d, %q; want one line with both mistakes", code, errs)
	}
}

func TestPrintConfigAsJSON(t *testing.T) {
	t.Parallel()
	code, out, errs := here(t, []string{"NODOGATE_PEER_KEY=very-secret-peer-key", "NODOGATE_HELP_TEXT=Segreteria"}, "serve", "--print-config", "--json")
	var got map[string]string
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 || got["NODOGATE_HELP_TEXT"] != "Segreteria" || got["NODOGATE_PEER_KEY"] != "***" || got["NODOGATE_LISTEN"] == "" {
		t.Errorf("exit %d, %s, %s: %v", code, out, errs, err)
	}
	if code, _, errs := here(t, nil, "serve", "--json"); code != 2 || !strings.Contains(errs, "--print-config") {
		t.Errorf("serve --json: exit %d, %s", code, errs)
	}
}

func TestSchoolChange(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	env := []string{"NODOGATE_DATABASE_URL=sqlite://" + filepath.Join(dir, "n.db"), "NODOGATE_SECRET_FILE=" + filepath.Join(dir, "secret")}
	if code, _, errs := here(t, env, append([]string{"school", "add", "--town", "Grosseto"}, schoolFlags...)...); code != 0 {
		t.Fatal(errs)
	}
	if code, out, errs := here(t, env, "school", "change", "80014480828", "--cbill", "abcde", "--json"); code != 0 || !strings.Contains(out, `"cbill":"ABCDE"`) ||
		!strings.Contains(out, `"town":"Grosseto"`) || !strings.Contains(out, `"name":"IC 6 Grosseto"`) {
		t.Errorf("exit %d, %s, %s; want the CBILL code changed and nothing else", code, out, errs)
	}
	for name, tc := range map[string]struct {
		args   []string
		code   int
		stderr string
	}{
		"nothing to change": {[]string{"80014480828"}, 2, "--taxonomy"},
		"no school":         {[]string{"--cbill", "ABCDE"}, 2, "CF is missing"},
		"unknown school":    {[]string{"80015010723", "--cbill", "ABCDE"}, 1, "not found"},
		"wrong value":       {[]string{"80014480828", "--iban", "IT00"}, 2, "--iban"},
	} {
		if code, _, errs := here(t, env, append([]string{"school", "change"}, tc.args...)...); code != tc.code || !strings.Contains(errs, tc.stderr) {
			t.Errorf("%s: exit %d, %s; want exit %d, %q", name, code, errs, tc.code, tc.stderr)
		}
	}
	if code, _, errs := here(t, env, append([]string{"school", "add", "--cbill", "FGHIJ"}, schoolFlags...)...); code != 1 || !strings.Contains(errs, "school change") {
		t.Errorf("add with other data: exit %d, %s; want the word of how to change it", code, errs)
	}
}
