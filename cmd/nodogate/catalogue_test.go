// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/nodogate/nodogate/connectors"
	"github.com/nodogate/nodogate/gateway"
)

// testProviders are providers with what they logged and measured.
type testProviders struct {
	*providers
	log *bytes.Buffer
	reg *prometheus.Registry
	now time.Time
}

// newTestProviders are providers where every variable has the value secret.
func newTestProviders(t *testing.T, c connectors.Catalogue, secret string) (*testProviders, error) {
	t.Helper()
	tp := &testProviders{log: new(bytes.Buffer), reg: prometheus.NewRegistry(), now: time.Unix(1000, 0)}
	log := slog.New(slog.NewTextHandler(tp.log, nil))
	getenv := func(string) string { return secret }
	set, err := connectors.New(connectors.Config{Catalogue: c, Drivers: drivers, Getenv: getenv, Now: time.Now, Log: log, Registerer: tp.reg})
	if err != nil {
		return nil, err
	}
	tp.providers, err = newProviders(config{Faces: []string{"node"}}, set, c, getenv, log, tp.reg, func() time.Time { return tp.now })
	return tp, err
}

func (tp *testProviders) reloads(t *testing.T, ok, refused, loaded int) {
	t.Helper()
	want := fmt.Sprintf(`
# HELP nodogate_catalogue_loaded_timestamp_seconds When the catalogue of PSPs in use was read.
# TYPE nodogate_catalogue_loaded_timestamp_seconds gauge
nodogate_catalogue_loaded_timestamp_seconds %d
# HELP nodogate_catalogue_reloads_total Times another catalogue of PSPs was found while running.
# TYPE nodogate_catalogue_reloads_total counter
nodogate_catalogue_reloads_total{outcome="ok"} %d
nodogate_catalogue_reloads_total{outcome="refused"} %d
`, loaded, ok, refused)
	if err := testutil.GatherAndCompare(tp.reg, strings.NewReader(want), "nodogate_catalogue_loaded_timestamp_seconds", "nodogate_catalogue_reloads_total"); err != nil {
		t.Error(err)
	}
}

// pspYAML is a catalogue of PSPs at <id>.example that may call the node face.
func pspYAML(ids ...string) string {
	var b strings.Builder
	b.WriteString("psps:\n")
	for _, id := range ids {
		fmt.Fprintf(&b, "  - {id: %s, name: %[1]s, methods: [card], connector: checkout, endpoint: \"https://%[2]s.example\", fees: [{fee_cents: 100}], "+
			"node: {broker: \"97735020584\", channel: C1, password_env: P}}\n", id, strings.ToLower(id))
	}
	return b.String()
}

func (tp *testProviders) has(t *testing.T, origins string, callers map[gateway.PSPID]bool) {
	t.Helper()
	if got := strings.Join(tp.formActions(), " "); got != origins {
		t.Errorf("origins %s, want %s", got, origins)
	}
	for id, gone := range callers {
		if p, known := tp.caller(id); !known || p.Gone != gone || p.PSP != id {
			t.Errorf("node face: %s is %+v, %t; want gone %t", id, p, known, gone)
		}
	}
	if got := len(tp.view.Load().callers); got != len(callers) {
		t.Errorf("%d may call the node face, want %d", got, len(callers))
	}
}

// Looks are simulated by hand: two after each change.
func TestCatalogueFollowsItsFile(t *testing.T) {
	t.Parallel()
	file := &catalogueFile{path: filepath.Join(t.TempDir(), "psps.yaml")}
	written := time.Unix(1_700_000_000, 0)
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file.path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		written = written.Add(time.Second) // whatever the grain of the file system's clock
		if err := os.Chtimes(file.path, written, written); err != nil {
			t.Fatal(err)
		}
	}
	write(pspYAML("UNO"))
	first, err := file.load()
	if err != nil {
		t.Fatal(err)
	}
	tp, err := newTestProviders(t, first, "password1")
	if err != nil {
		t.Fatal(err)
	}
	look := func() {
		if file.changed() {
			tp.reload(file, false)
		}
	}
	tp.has(t, "https://uno.example", map[gateway.PSPID]bool{"UNO": false})
	tp.now = time.Unix(2000, 0)
	look()
	look()
	tp.reloads(t, 0, 0, 1000)

	write(pspYAML("DUE"))
	look()
	tp.has(t, "https://uno.example", map[gateway.PSPID]bool{"UNO": false})
	look()
	tp.has(t, "https://due.example", map[gateway.PSPID]bool{"UNO": true, "DUE": false})
	tp.reloads(t, 1, 0, 2000)

	// Somebody is writing: nothing is read before the file rests.
	for i := range 3 {
		write(pspYAML("TRE")[:50+i])
		look()
	}
	write(pspYAML("TRE", "DUE"))
	look()
	tp.reloads(t, 1, 0, 2000)
	look()
	tp.has(t, "https://due.example https://tre.example", map[gateway.PSPID]bool{"UNO": true, "DUE": false, "TRE": false})
	tp.reloads(t, 2, 0, 2000)

	// Wrong files: each is told once, and what was stays.
	tp.now = time.Unix(3000, 0)
	tp.log.Reset()
	wrong := []string{
		"psps: [", "psps: [{nmae: x}]", pspYAML("UNO", "UNO"), strings.ReplaceAll(pspYAML("UNO"), "checkout", "other"),
		strings.ReplaceAll(pspYAML("UNO"), `broker: "97735020584"`, "broker: x"),
	}
	for i, text := range wrong {
		for range 2 { // the second time only its date is another
			write(text)
			look()
			look()
			look()
		}
		tp.reloads(t, 2, i+1, 2000)
		if n := strings.Count(tp.log.String(), "catalogue refused"); n != i+1 {
			t.Errorf("%q: told %d times in all, want %d:\n%s", text, n, i+1, tp.log)
		}
	}
	for _, why := range []string{"line 1", "nmae", "another PSP has it too", `none called \"other\"`, "node.broker"} {
		if !strings.Contains(strings.ReplaceAll(tp.log.String(), `\\`, `\`), why) {
			t.Errorf("the log does not say %s:\n%s", why, tp.log)
		}
	}
	// Gone is wrong too; who asks is told again.
	if err := os.Remove(file.path); err != nil {
		t.Fatal(err)
	}
	look()
	look()
	look()
	tp.reloads(t, 2, len(wrong)+1, 2000)
	tp.reload(file, true)
	tp.reloads(t, 2, len(wrong)+2, 2000)
	tp.has(t, "https://due.example https://tre.example", map[gateway.PSPID]bool{"UNO": true, "DUE": false, "TRE": false})

	// One that cannot be read is looked at again, since to mend it changes no date.
	if os.Geteuid() != 0 {
		write(pspYAML("UNO"))
		if err := os.Chmod(file.path, 0); err != nil {
			t.Fatal(err)
		}
		look()
		look()
		tp.reloads(t, 2, len(wrong)+3, 2000)
		if err := os.Chmod(file.path, 0o600); err != nil {
			t.Fatal(err)
		}
	} else {
		write(pspYAML("UNO"))
	}
	look()
	look()
	tp.has(t, "https://uno.example", map[gateway.PSPID]bool{"UNO": false, "DUE": true, "TRE": true})
	if problems, err := testutil.GatherAndLint(tp.reg); err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v %v", problems, err)
	}
}

// A password that the node face cannot have refuses the file before any part
// has changed.
func TestCatalogueIsTakenWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	tp, err := newTestProviders(t, connectors.Catalogue{}, "short")
	if err != nil {
		t.Fatal(err)
	}
	c, err := connectors.ParseCatalogue([]byte(pspYAML("UNO")))
	if err != nil {
		t.Fatal(err)
	}
	if err := tp.use(c); err == nil || !strings.Contains(err.Error(), "P must hold the channel's password") {
		t.Errorf("got %v", err)
	}
	tp.has(t, "", nil)
	if got := tp.set.Name("UNO"); got != "UNO" || len(tp.set.Offers(context.Background(), gateway.OfferRequest{Amount: 100})) != 0 {
		t.Error("the connectors have taken what the node face refused")
	}
}

func TestWatchReloadsOnHangup(t *testing.T) {
	t.Parallel()
	file := &catalogueFile{path: filepath.Join(t.TempDir(), "psps.yaml")}
	tp, err := newTestProviders(t, connectors.Catalogue{}, "password1")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ticks, hangups, done := make(chan time.Time), make(chan os.Signal), make(chan struct{})
	go func() { tp.watch(ctx, file, ticks, hangups); close(done) }()
	if err := os.WriteFile(file.path, []byte(pspYAML("UNO")), 0o600); err != nil {
		t.Fatal(err)
	}
	hangups <- syscall.SIGHUP
	ticks <- time.Time{} // taken only when the reload is over
	tp.has(t, "https://uno.example", map[gateway.PSPID]bool{"UNO": false})
	if err := os.WriteFile(file.path, []byte(pspYAML("UNO", "DUE")), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		ticks <- time.Time{}
	}
	cancel()
	<-done
	tp.has(t, "https://due.example https://uno.example", map[gateway.PSPID]bool{"UNO": false, "DUE": false})
	tp.reloads(t, 2, 0, 1000)
}

// The whole program: a hangup changes what the portal lets its forms go to, and
// a wrong file changes nothing.
func TestServeReloadsOnSIGHUP(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "psps.yaml")
	g := serve(t, dir, "P=password1")
	get := func(address string) (http.Header, string) {
		resp, err := http.Get(address)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.Header, string(body)
	}
	for _, step := range []struct{ text, metric, policy string }{
		{pspYAML("UNO"), `nodogate_catalogue_reloads_total{outcome="ok"} 1`, "form-action 'self' https://uno.example;"},
		{"psps: [", `nodogate_catalogue_reloads_total{outcome="refused"} 1`, "form-action 'self' https://uno.example;"},
		{pspYAML("DUE"), `nodogate_catalogue_reloads_total{outcome="ok"} 2`, "form-action 'self' https://due.example;"},
	} {
		if err := os.WriteFile(file, []byte(step.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := g.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(20 * time.Second); ; {
			if _, metrics := get(g.admin + "/metrics"); strings.Contains(metrics, step.metric) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("no %s", step.metric)
			}
		}
		if header, _ := get(g.public + "/accesso"); !strings.Contains(header.Get("Content-Security-Policy"), step.policy) {
			t.Errorf("the policy is %q, want %q", header.Get("Content-Security-Policy"), step.policy)
		}
	}
	g.stop(t)
}
