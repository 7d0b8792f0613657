// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The sandbox alone plays the PSPs of the gateway's own catalogue, and keeps its
// ledger while the gateway is killed: what it took is settled all the same.
func TestSandboxAlonePlaysTheCatalogue(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "psps.yaml")
	catalogue := func(endpoint string) {
		text := `psps:
  - id: BANCAPROVA
    name: Banca di Prova
    methods: [card]
    connector: redirect
    endpoint: ` + endpoint + `/BANCAPROVA
    secret_env: BANCAPROVA_SECRET
    fees: [{fee_cents: 100}]
    options: {notices: "true"}
`
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	env := []string{"NODOGATE_PSPS=" + file, "BANCAPROVA_SECRET=a secret of both, 24 bytes at least", "NODOGATE_ALLOW_PRIVATE_TARGETS=true", "NODOGATE_PEER_AUTH=none"}

	// Each has to know where the other is: the gateway's address is kept over its
	// restart, the catalogue is written when the sandbox has told its own.
	catalogue("http://127.0.0.1:9")
	mustExecute(t, dir, nil, append([]string{"school", "add"}, schoolFlags...)...)
	client := mustExecute(t, dir, nil, "client", "add", "--school", "80014480828", "--name", "test", "--scopes", "notices:read,notices:write,carts:write")
	first := serve(t, dir, env...)
	gateway, err := url.Parse(first.public)
	if err != nil {
		t.Fatal(err)
	}
	box := program(dir, append(env, "NODOGATE_SANDBOX_LISTEN=127.0.0.1:0"), "sandbox", "--gateway", first.public)
	stderr, err := box.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := box.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		box.Process.Kill()
		box.Wait()
	})
	lines, sandbox := bufio.NewScanner(stderr), ""
	for sandbox == "" && lines.Scan() {
		var line struct{ Msg, Sandbox string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "listening" {
			sandbox = "http://" + line.Sandbox
		}
	}
	catalogue(sandbox)
	first.stop(t)
	env = append(env, "NODOGATE_LISTEN="+gateway.Host)
	second := serve(t, dir, env...)

	a := newAPI(t, second.public, client)
	n := a.issue(1)[0]
	var cart struct {
		State    string `json:"state"`
		Redirect string `json:"redirect_url"`
	}
	order := map[string]any{"notices": []any{map[string]string{"school": "80014480828", "number": n.String()}}, "method": "card", "payer": map[string]string{"email": "famiglia@posta.example"}}
	if status := a.call("POST", "/api/v1/carts", order, &cart); status != 201 || !strings.HasPrefix(cart.Redirect, sandbox+"/BANCAPROVA/") {
		t.Fatalf("cart: %d %+v", status, cart)
	}
	second.kill(t)
	browser := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := browser.PostForm(cart.Redirect, url.Values{"azione": {"paga"}})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	third := serve(t, dir, env...)
	a = newAPI(t, third.public, client)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for over := time.After(40 * time.Second); ; {
		var got struct{ Status string }
		if a.call("GET", "/api/v1/schools/80014480828/notices/"+n.String(), nil, &got) == 200 && got.Status == "paid" {
			break
		}
		select {
		case <-tick.C:
		case <-over:
			t.Fatalf("the notice is %s, though the sandbox took its money", got.Status)
		}
	}
	ledger, err := http.Get(sandbox + "/ledger")
	if err != nil {
		t.Fatal(err)
	}
	defer ledger.Body.Close()
	var book struct {
		Items []struct {
			PSP, State string
			Notices    []struct{ School, Number string }
			Amount     int `json:"amount_cents"`
		}
	}
	if err := json.NewDecoder(ledger.Body).Decode(&book); err != nil || len(book.Items) != 1 || book.Items[0].State != "taken" || book.Items[0].Notices[0].Number != n.String() {
		t.Errorf("ledger %+v, %v; want one taken, of the notice", book, err)
	}
}
