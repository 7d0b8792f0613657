// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nodogate/nodogate/gateway/money"
	"github.com/nodogate/nodogate/gateway/pafornode"
	"github.com/nodogate/nodogate/gateway/pagopa"
	"github.com/nodogate/nodogate/gateway/store/storetest"
	"github.com/nodogate/nodogate/iuv"
)

// The tests run this test binary as the program itself: a process that can be
// killed, without building it first.
func TestMain(m *testing.M) {
	if os.Getenv("NODOGATE_TEST_MAIN") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func program(dir string, env []string, args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Dir = dir
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "NODOGATE_") {
			cmd.Env = append(cmd.Env, kv)
		}
	}
	cmd.Env = append(cmd.Env, "NODOGATE_TEST_MAIN=1",
		"NODOGATE_LISTEN=127.0.0.1:0", "NODOGATE_ADMIN_LISTEN=127.0.0.1:0", "NODOGATE_SANDBOX_LISTEN=127.0.0.1:0", "NODOGATE_PEER_AUTH=none")
	cmd.Env = append(cmd.Env, env...)
	return cmd
}

// execute runs the program to its end.
func execute(t *testing.T, dir string, env []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	cmd := program(dir, env, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

func mustExecute(t *testing.T, dir string, env []string, args ...string) string {
	t.Helper()
	code, out, errs := execute(t, dir, env, args...)
	if code != 0 {
		t.Fatalf("nodogate %s: exit %d: %s", strings.Join(args, " "), code, errs)
	}
	return out
}

// running is a gateway process.
type running struct {
	cmd           *exec.Cmd
	public, admin string // URLs
	peer          string // address of the peers' own listener
}

// serve starts a gateway and waits until it listens.
func serve(t testing.TB, dir string, env ...string) *running {
	t.Helper()
	cmd := program(dir, env, "serve")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	lines := bufio.NewScanner(stderr)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var line struct{ Msg, URL, Admin, Peer string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "listening" {
			go io.Copy(io.Discard, stderr)
			return &running{cmd, line.URL, "http://" + line.Admin, line.Peer}
		}
		t.Log(lines.Text())
	}
	t.Fatal("the gateway did not start")
	return nil
}

// stop ends the process as a supervisor does.
func (r *running) stop(t testing.TB) {
	t.Helper()
	if err := r.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Wait(); err != nil {
		t.Errorf("stopping: %v", err)
	}
}

func (r *running) kill(t testing.TB) {
	t.Helper()
	if err := r.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	r.cmd.Wait()
}

var schoolFlags = []string{"--fiscal-code", "80014480828", "--name", "IC 6 Grosseto", "--iban", "IT60X0542811101000000123456", "--segregation-code", "01"}

// api is a client of the REST API.
type api struct {
	t     testing.TB
	base  string
	token string
	// prefix tells the idempotency keys of one test from another's.
	prefix string
	keys   int
}

func newAPI(t testing.TB, base, credentials string) *api {
	t.Helper()
	var c struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
	}
	if err := json.Unmarshal([]byte(credentials), &c); err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodPost, base+"/oauth2/token", strings.NewReader("grant_type=client_credentials"))
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(url.QueryEscape(c.ID), url.QueryEscape(c.Secret))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	a := &api{t: t, base: base}
	var token struct {
		AccessToken string `json:"access_token"`
	}
	if status := a.do(req, &token); status != http.StatusOK || token.AccessToken == "" {
		t.Fatalf("no token: %d", status)
	}
	a.token = token.AccessToken
	return a
}

func (a *api) do(req *http.Request, into any) int {
	a.t.Helper()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		a.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	if into != nil && resp.StatusCode < 300 {
		if err := json.Unmarshal(b, into); err != nil {
			a.t.Fatalf("%s %s: %v: %s", req.Method, req.URL.Path, err, b)
		}
	}
	if resp.StatusCode >= 300 {
		a.t.Logf("%s %s: %d %s", req.Method, req.URL.Path, resp.StatusCode, b)
	}
	return resp.StatusCode
}

func (a *api) call(method, path string, body, into any) int {
	a.t.Helper()
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			a.t.Fatal(err)
		}
		r = bytes.NewReader(b)
	}
	req, err := http.NewRequest(method, a.base+path, r)
	if err != nil {
		a.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+a.token)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if method == http.MethodPost {
		a.keys++
		req.Header.Set("Idempotency-Key", fmt.Sprint("test-", a.prefix, a.keys))
	}
	return a.do(req, into)
}

// issue makes n notices through the API.
func (a *api) issue(n int) []iuv.Number {
	a.t.Helper()
	type object = map[string]any
	var list []object
	for i := range n {
		list = append(list, object{
			"debtor":      object{"fiscal_code": "RSSMRA10A41H501F", "full_name": "Maria Rossi", "class": "3B"},
			"description": "Viaggio di istruzione 3B", "amount_cents": 1650, "due_date": "2099-12-31", "external_id": fmt.Sprint("n-", i),
		})
	}
	var out struct {
		Items []struct {
			Number iuv.Number `json:"number"`
		} `json:"items"`
	}
	if status := a.call(http.MethodPost, "/api/v1/schools/80014480828/notices/batch", object{"notices": list}, &out); status != http.StatusCreated {
		a.t.Fatalf("issuing: status %d", status)
	}
	numbers := make([]iuv.Number, n)
	for i := range out.Items {
		numbers[i] = out.Items[i].Number
	}
	return numbers
}

// receiptFor is what the node sends.
func receiptFor(n iuv.Number, id string) pagopa.SendRTRequest {
	const amount money.Cents = 1650
	return pagopa.SendRTRequest{
		Version: 2,
		Target:  pagopa.Target{PA: "80014480828", Broker: "80014480828", Station: "80014480828_01"},
		Receipt: pagopa.Receipt{
			ID: id, NoticeNumber: n.String(), CreditorCode: "80014480828", Outcome: "OK", CreditorReferenceID: n.IUV(), Amount: amount,
			Description: "Viaggio", CompanyName: "IC 6 Grosseto",
			Debtor:    pagopa.Subject{Type: "F", ID: "RSSMRA10A41H501F", FullName: "Maria Rossi"},
			Transfers: []pagopa.Transfer{{ID: 1, Amount: amount, Creditor: "80014480828", IBAN: "IT60X0542811101000000123456", Remittance: "/RFB/x", Category: "9/0801100AP/"}},
			PSPID:     "BANCAUNO", PSPName: "Banca Uno", Channel: "97735020584_01", ChannelDescription: "app", PaidAt: "2026-11-23T09:00:30",
		},
	}
}

// A gateway killed with SIGKILL right after an OK has that receipt when it
// starts again; a receipt that got no answer may be there or not, and is taken
// when it is sent again.
func TestReceiptsSurviveSIGKILL(t *testing.T) {
	for _, db := range []string{"sqlite", "postgres"} {
		t.Run(db, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			env := databaseEnv(t, dir, db)
			mustExecute(t, dir, env, append([]string{"school", "add"}, schoolFlags...)...)
			credentials := mustExecute(t, dir, env, "client", "add", "--school", "80014480828", "--name", "test", "--scopes", "notices:read,notices:write,receipts:read")
			g := serve(t, dir, env...)
			const rounds, each = 3, 40
			numbers := newAPI(t, g.public, credentials).issue(rounds * each)
			acknowledged := map[iuv.Number]bool{}
			for round := range rounds {
				var mu sync.Mutex
				var wg sync.WaitGroup
				oks := make(chan bool, each)
				client := pagopa.Client{HTTP: &http.Client{Timeout: 5 * time.Second}, URL: g.public + pafornode.Path}
				mine := numbers[round*each : (round+1)*each]
				work := make(chan iuv.Number, each)
				for _, n := range mine {
					work <- n
				}
				close(work)
				for range 8 {
					wg.Go(func() {
						for n := range work {
							resp, err := client.SendRT(context.Background(), receiptFor(n, "rt-"+n.String()))
							if err == nil && resp.Fault == nil {
								mu.Lock()
								acknowledged[n] = true
								mu.Unlock()
								oks <- true
							}
						}
					})
				}
				for range each / 2 { // killed in the middle of the work
					<-oks
				}
				g.kill(t)
				wg.Wait()
				g = serve(t, dir, env...)
				a := newAPI(t, g.public, credentials)
				for n := range acknowledged {
					var notice struct {
						Status   string   `json:"status"`
						Receipts []string `json:"receipts"`
					}
					a.call(http.MethodGet, "/api/v1/schools/80014480828/notices/"+n.String(), nil, &notice)
					if notice.Status != "paid" || len(notice.Receipts) != 1 {
						t.Errorf("round %d: notice %s, whose receipt got an OK, is %s with %d receipts", round, n, notice.Status, len(notice.Receipts))
					}
				}
				client.URL = g.public + pafornode.Path
				for _, n := range mine {
					resp, err := client.SendRT(context.Background(), receiptFor(n, "rt-"+n.String()))
					switch {
					case err != nil:
						t.Errorf("sending again: %v", err)
					case acknowledged[n] && (resp.Fault == nil || resp.Fault.Code != pagopa.PAAReceiptDuplicata):
						t.Errorf("the receipt of %s, sent again, is not a duplicate", n)
					case resp.Fault != nil && resp.Fault.Code != pagopa.PAAReceiptDuplicata:
						t.Errorf("the receipt of %s, sent again: %s", n, resp.Fault.Code)
					}
					acknowledged[n] = true
				}
			}
			// The chain is whole, however often its sealer was killed.
			api := newAPI(t, g.public, credentials)
			for deadline := time.Now().Add(30 * time.Second); ; {
				var list struct {
					Items []struct{ Seal *struct{ Sequence int } } `json:"items"`
				}
				api.call(http.MethodGet, "/api/v1/schools/80014480828/receipts?limit=500", nil, &list)
				if len(list.Items) == rounds*each && !slices.ContainsFunc(list.Items, func(r struct{ Seal *struct{ Sequence int } }) bool { return r.Seal == nil }) {
					break
				}
				if time.Now().After(deadline) {
					t.Fatal("receipts are not sealed after 30 s")
				}
			}
			g.stop(t)
			type head struct {
				School            string
				Sequence, Waiting int
				Hash              string
			}
			var heads []head
			out := mustExecute(t, dir, env, "receipts", "verify", "--json")
			if err := json.Unmarshal([]byte(out), &heads); err != nil || len(heads) != 1 || heads[0].Sequence != rounds*each || heads[0].Waiting != 0 {
				t.Fatalf("receipts verify: %s, %v; want %d sealed", out, err, rounds*each)
			}
			file := filepath.Join(dir, "heads.json")
			for name, c := range map[string]struct {
				text string
				code int
				says string
			}{
				"what it printed":           {out, 0, ""},
				"a chain that was longer":   {strings.Replace(out, fmt.Sprintf(`"sequence":%d,`, rounds*each), fmt.Sprintf(`"sequence":%d,`, rounds*each+1), 1), 1, "was longer"},
				"another hash":              {strings.Replace(out, heads[0].Hash, strings.Repeat("ab", 32), 1), 1, "another hash"},
				"a school that is not here": {strings.Replace(out, "80014480828", "80015010723", 1), 1, "not here any more"},
				"no heads":                  {"{}", 1, "is not what"},
				"no hash":                   {`[{"school":"80014480828","sequence":1,"hash":"ab"}]`, 1, "64 hexadecimal"},
			} {
				if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
					t.Fatal(err)
				}
				if code, _, stderr := execute(t, dir, env, "receipts", "verify", "--against", file); code != c.code || !strings.Contains(stderr, c.says) {
					t.Errorf("receipts verify against %s: exit %d, %q", name, code, stderr)
				}
			}
		})
	}
}

// databaseEnv is the configuration for a fresh database.
func databaseEnv(t *testing.T, dir, db string) []string {
	t.Helper()
	if db == "sqlite" {
		return nil // the default, in dir
	}
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="), 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{"NODOGATE_DATABASE_URL=" + storetest.NewPostgres(t), "NODOGATE_SECRET_FILE=" + secret}
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, tc := range []struct {
		name, args string
		code       int
		stderr     string
	}{
		{"no command", "", 2, "name a command"},
		{"unknown command", "pay", 2, "no command"},
		{"unknown flag", "version --x", 2, ""},
		{"school: wrong fiscal code", "school add --fiscal-code 80014480829 --name X --iban IT60X0542811101000000123456 --segregation-code 01", 2, "--fiscal-code"},
		{"client: neither school nor admin", "client add --name x", 2, "--school"},
		{"client of an unknown school", "client add --school 80015010723 --name x --scopes notices:read", 1, "not found"},
		{"client with an unknown scope", "client add --school 80014480828 --name x --scopes all", 2, "--scopes"},
		{"revoke an unknown client", "client revoke nobody", 1, "not found"},
		{"migrate without a word", "migrate", 2, "up|status"},
		{"receipts without a word", "receipts", 2, "verify"},
		{"receipts of an unknown school", "receipts verify --school 80014480828", 1, "no school"},
		{"nobody is healthy here", "healthcheck", 1, "not ready"},
	} {
		code, _, stderr := execute(t, dir, nil, strings.Fields(tc.args)...)
		if code != tc.code || !strings.Contains(stderr, tc.stderr) {
			t.Errorf("%s: exit %d, %q; want exit %d, %q", tc.name, code, stderr, tc.code, tc.stderr)
		}
		if n := strings.Count(strings.TrimRight(stderr, "\n"), "\n"); tc.args != "" && n > 0 {
			t.Errorf("%s: the error has %d lines, want one: %q", tc.name, n+1, stderr)
		}
	}
	if out := mustExecute(t, dir, nil, append([]string{"school", "add"}, schoolFlags...)...); !strings.Contains(out, "added") {
		t.Errorf("school add says %q", out)
	}
	if out := mustExecute(t, dir, nil, append([]string{"school", "add"}, schoolFlags...)...); !strings.Contains(out, "unchanged") {
		t.Errorf("the same again says %q", out)
	}
	if code, _, _ := execute(t, dir, nil, append([]string{"school", "add", "--cbill", "ABCDE"}, schoolFlags...)...); code != 1 {
		t.Errorf("other data exits %d, want 1", code)
	}
	if out := mustExecute(t, dir, nil, "school", "list", "--json"); !strings.Contains(out, `"station":"80014480828_01"`) {
		t.Errorf("school list --json says %s", out)
	}
	if out := mustExecute(t, dir, nil, "migrate", "status"); strings.Contains(out, "pending") || !strings.Contains(out, "applied") {
		t.Errorf("migrate status says %s", out)
	}
	if info, err := os.Stat(filepath.Join(dir, "data", "secret")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the root secret: %v, %v; want mode 0600", info, err)
	}
	// Another root secret: after that the old one opens nothing.
	inUse, next := filepath.Join(dir, "data", "secret"), filepath.Join(dir, "next")
	if code, _, stderr := execute(t, dir, nil, "secret", "rotate", next); code != 1 || !strings.Contains(stderr, "next") {
		t.Errorf("rotate to a file that is not there: exit %d, %s", code, stderr)
	}
	if code, _, stderr := execute(t, dir, nil, "secret", "rotate", inUse); code != 1 || !strings.Contains(stderr, "in use") {
		t.Errorf("rotate to the same: exit %d, %s", code, stderr)
	}
	if err := os.WriteFile(next, []byte("MTEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := mustExecute(t, dir, nil, "secret", "rotate", next); !strings.HasPrefix(out, "2 keys") {
		t.Errorf("secret rotate says %q", out)
	}
	if code, _, stderr := execute(t, dir, nil, "school", "list"); code != 1 || !strings.Contains(stderr, "another root secret") {
		t.Errorf("with the old secret: exit %d, %s", code, stderr)
	}
	if err := os.Rename(next, inUse); err != nil {
		t.Fatal(err)
	}
	mustExecute(t, dir, nil, "school", "list")
}

func TestConfiguration(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "nodogate.yaml")
	if err := os.WriteFile(file, []byte("NODOGATE_HELP_TEXT: from the file\nNODOGATE_BROKER: 01199250158\nNODOGATE_FACES: [creditor]\nNODOGATE_ALLOW_PRIVATE_TARGETS: true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out := mustExecute(t, dir, []string{
		"NODOGATE_CONFIG=" + file, "NODOGATE_HELP_TEXT=from the variable", "NODOGATE_PEER_KEY=very-secret-peer-key",
		"NODOGATE_ACA_URL=https://api.platform.pagopa.it/aca/v1", "NODOGATE_ACA_KEY=very-secret-archive-key",
		"NODOGATE_AFM_URL=https://api.platform.pagopa.it/afm/calculator-service/v2", "NODOGATE_AFM_KEY=very-secret-calculator-key", "NODOGATE_APPIO_KEY=very-secret-app-key",
		"NODOGATE_DATABASE_URL=postgres://nodogate:hunter2@db.example/nodogate", "NODOGATE_REDIS_URL=redis://:hunter2@cache.example:6379",
	}, "serve", "--print-config")
	for _, want := range []string{
		"NODOGATE_HELP_TEXT=from the variable\n", "NODOGATE_BROKER=01199250158\n", "NODOGATE_FACES=creditor\n", "NODOGATE_ALLOW_PRIVATE_TARGETS=true\n",
		"NODOGATE_PEER_KEY=***\n", "NODOGATE_ACA_URL=https://api.platform.pagopa.it/aca/v1\n", "NODOGATE_ACA_KEY=***\n", "NODOGATE_AFM_KEY=***\n", "NODOGATE_APPIO_URL=https://api.io.pagopa.it/api/v1\n", "NODOGATE_APPIO_KEY=***\n", "NODOGATE_DATABASE_URL=postgres://nodogate:***@db.example/nodogate\n", "NODOGATE_SECRET_FILE=data/secret\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("--print-config lacks %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, "hunter2") || strings.Contains(out, "very-secret") {
		t.Errorf("--print-config shows a secret:\n%s", out)
	}
	code, _, stderr := execute(t, dir, []string{
		"NODOGATE_LISTEN=0.0.0.0:0", "NODOGATE_PEER_AUTH=none", "NODOGATE_FACES=creditor,other", "NODOGATE_PUBLIC_URL=http://pagamenti.example", "NODOGATE_BROKER=1", "NODOGATE_PSPS=missing.yaml",
		"NODOGATE_ALLOW_PRIVATE_TARGETS=maybe", "NODOGATE_API_RATE=many", "NODOGATE_STATION=one", "NODOGATE_DATABASE_URL=mysql://x", "NODOGATE_REDIS_URL=http://x",
		"NODOGATE_ACA_URL=http://aca.example", "NODOGATE_AFM_URL=http://afm.example",
	}, "serve")
	for _, want := range []string{"NODOGATE_ALLOW_PRIVATE_TARGETS", "NODOGATE_API_RATE", "NODOGATE_STATION", "NODOGATE_DATABASE_URL", "NODOGATE_REDIS_URL", "NODOGATE_PEER_AUTH", "NODOGATE_FACES", "NODOGATE_PUBLIC_URL", "NODOGATE_BROKER", "NODOGATE_PSPS", "NODOGATE_ACA_URL, NODOGATE_ACA_KEY: must be https", "NODOGATE_AFM_URL: must be https"} {
		if code != 1 || !strings.Contains(stderr, want) {
			t.Errorf("exit %d; the mistakes lack %s:\n%s", code, want, stderr)
		}
	}
	// What is found wrong after the listeners and the database are open is told too.
	if code, _, stderr := execute(t, t.TempDir(), []string{"NODOGATE_REDIS_URL=unix:///nowhere/redis.sock"}, "serve"); code != 1 || !strings.Contains(stderr, "\nnodogate: redis: ") {
		t.Errorf("a Redis that is away: exit %d, %q", code, stderr)
	}
	// PostgreSQL without a secret, and with another one than before.
	url := storetest.NewPostgres(t)
	env := []string{"NODOGATE_DATABASE_URL=" + url}
	if code, _, stderr := execute(t, dir, env, "migrate", "up"); code != 1 || !strings.Contains(stderr, "NODOGATE_SECRET_FILE") {
		t.Errorf("PostgreSQL without a secret: exit %d, %s", code, stderr)
	}
	for i, secret := range []string{"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", "MTEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="} {
		name := filepath.Join(dir, fmt.Sprint("secret", i))
		if err := os.WriteFile(name, []byte(secret), 0o600); err != nil {
			t.Fatal(err)
		}
		code, _, stderr := execute(t, dir, append(env, "NODOGATE_SECRET_FILE="+name), "school", "list")
		if code != i {
			t.Errorf("secret %d: exit %d, want %d: %s", i, code, i, stderr)
		}
	}
}

// A whole gateway over PostgreSQL and Redis: ready, with metrics, with a key
// for peers.
func TestServeOnPostgresAndRedis(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	env := append(databaseEnv(t, dir, "postgres"), "NODOGATE_PEER_AUTH=key", "NODOGATE_PEER_KEY=0123456789abcdef")
	if redis := os.Getenv("NODOGATE_TEST_REDIS_URL"); redis != "" {
		env = append(env, "NODOGATE_REDIS_URL="+redis)
	} else if os.Getenv("NODOGATE_TEST_STRICT") != "" {
		t.Fatal("NODOGATE_TEST_REDIS_URL is not set")
	}
	mustExecute(t, dir, env, append([]string{"school", "add"}, schoolFlags...)...)
	g := serve(t, dir, env...)
	get := func(address string, header http.Header) (int, string) {
		req, err := http.NewRequest(http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header = header
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(b)
	}
	for path, want := range map[string]string{"/readyz": "ok", "/livez": "ok"} {
		if status, body := get(g.admin+path, http.Header{}); status != 200 || strings.TrimSpace(body) != want {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	if status, _ := get(g.public+"/accesso", http.Header{}); status != 200 {
		t.Errorf("the portal, with sessions in Redis, answers %d", status)
	}
	n := "301202600000004244"
	ask := pagopa.VerifyRequest{Target: pagopa.Target{PA: "80014480828", Broker: "80014480828", Station: "80014480828_01"}, QRCode: pagopa.QRCode{CreditorCode: "80014480828", NoticeNumber: n}}
	client := pagopa.Client{HTTP: http.DefaultClient, URL: g.public + pafornode.Path}
	if _, err := client.Verify(context.Background(), ask); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("without the key: %v, want 401", err)
	}
	client.Header = http.Header{"Ocp-Apim-Subscription-Key": {"0123456789abcdef"}}
	if resp, err := client.Verify(context.Background(), ask); err != nil || resp.Fault == nil || resp.Fault.Code != pagopa.PAAPagamentoSconosciuto {
		t.Errorf("with the key: %+v, %v", resp, err)
	}
	_, metrics := get(g.admin+"/metrics", http.Header{})
	for _, name := range []string{
		`nodogate_soap_request_duration_seconds_bucket{face="creditor",operation="paVerifyPaymentNotice",outcome="ko",le="2"}`,
		"nodogate_http_request_duration_seconds_bucket", "nodogate_notices_issued_total", `nodogate_receipts_total{anomaly="none",channel="node"}`,
		`nodogate_attempts{state="unknown"}`, "nodogate_build_info", "nodogate_outbox_pending",
	} {
		if !strings.Contains(metrics, name) {
			t.Errorf("/metrics lacks %s", name)
		}
	}
	if strings.Contains(metrics, n) {
		t.Error("/metrics names a notice")
	}
	g.stop(t)
}
