// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestAppIOKeys(t *testing.T) {
	t.Parallel()
	const secret = "very-secret-key"
	for _, c := range []struct {
		what, text string
		mode       os.FileMode
		key, url   string
		faces      string
		want       string // of the error
	}{
		{what: "two schools", text: "80014480828: " + secret + "\n\"80015010723\": b\n"},
		{what: "and a shared key", text: "80014480828: " + secret, key: "k"},
		{what: "a shared key", key: "k"},
		{what: "no key"},
		{what: "not a school", text: "800: " + secret, want: "fiscal code of 11 digits"},
		{what: "a list", text: "- " + secret, want: "a line for each school"},
		{what: "deeper", text: "80014480828: {key: " + secret + "}", want: "a line for each school"},
		{what: "twice", text: "80014480828: " + secret + "\n80014480828: b", want: "a line for each school"},
		{what: "an empty key", text: "80014480828:", want: "key of school 80014480828"},
		{what: "two words", text: "80014480828: " + secret + " b", want: "key of school 80014480828"},
		{what: "empty", text: "\n", want: "a line for each school"},
		{what: "for all to read", text: "80014480828: " + secret, mode: 0o644, want: "make it 0600"},
		{what: "not https", key: "k", url: "http://io.example", want: "must be https"},
		{what: "no creditor face", key: "k", faces: "node", want: "NODOGATE_FACES"},
	} {
		env := []string{"NODOGATE_APPIO_KEY=" + c.key, "NODOGATE_APPIO_URL=" + c.url, "NODOGATE_FACES=" + c.faces}
		if c.text != "" {
			file := filepath.Join(t.TempDir(), "keys.yaml")
			mode := c.mode
			if mode == 0 {
				mode = 0o600
			}
			if err := os.WriteFile(file, []byte(c.text), mode); err != nil {
				t.Fatal(err)
			}
			env = append(env, "NODOGATE_APPIO_KEYS="+file)
		}
		cfg, err := loadConfig(env)
		if err != nil {
			t.Fatal(err)
		}
		app, err := cfg.appIO()
		switch {
		case c.want == "" && (err != nil || (app == nil) != (c.text+c.key == "")):
			t.Errorf("%s: %v, %v", c.what, app, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), secret)):
			t.Errorf("%s: %v, want %q", c.what, err, c.want)
		}
	}
	cfg := config{AppIOKeys: "missing.yaml"}
	if _, err := cfg.appIO(); err == nil || !strings.Contains(err.Error(), "NODOGATE_APPIO_KEYS: ") {
		t.Errorf("a file that is not there: %v", err)
	}
}

// TestDemoApp finds the demo's notices in App IO, of who has it and has not
// switched the school off.
func TestDemoApp(t *testing.T) {
	t.Parallel()
	demo, _ := startDemo(t, t.TempDir())
	v := newVisitor(t, demo.SandboxURL)
	var got struct {
		Items []struct {
			To      string
			Content struct {
				Payment *struct {
					Number string `json:"notice_number"`
				} `json:"payment_data"`
			}
		}
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for over := time.After(time.Minute); ; {
		v.do("GET", v.base+"/appio/messages", nil)
		if err := json.Unmarshal([]byte(v.body), &got); err != nil {
			t.Fatal(err)
		}
		var numbers []string
		for _, m := range got.Items {
			if m.To != "Mario Rossi" {
				t.Fatalf("a message to %s", m.To)
			}
			if m.Content.Payment != nil {
				numbers = append(numbers, m.Content.Payment.Number)
			}
		}
		if !slices.ContainsFunc(demo.Open, func(n demoNotice) bool { return !slices.Contains(numbers, n.Number) }) {
			break
		}
		select {
		case <-tick.C:
		case <-over:
			t.Fatalf("the app has %q, want all of %v", numbers, demo.Open)
		}
	}
	if v.do("GET", v.base+"/appio", nil); !strings.Contains(v.text(), "A Mario Rossi") || !strings.Contains(v.text(), "Lucia Verdi ha l'app") {
		t.Errorf("the page of the app:\n%s", v.text())
	}
}
