// SPDX-License-Identifier: Apache-2.0

package main

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/nodogate/nodogate/iuv"
)

// listener is a school's program; it refuses some calls, and is slow enough to
// be killed in the middle.
type listener struct {
	t      *testing.T
	url    string
	secret string

	mu     sync.Mutex
	calls  int
	bodies map[string]string   // by webhook-id
	taken  map[string]bool     // by webhook-id
	heard  map[string][]string // notice number to the types taken, in order
	half   int
	enough chan struct{} // closed when half of what is to come was taken
}

func newListener(t *testing.T, half int) *listener {
	l := &listener{t: t, bodies: map[string]string{}, taken: map[string]bool{}, heard: map[string][]string{}, enough: make(chan struct{}), half: half}
	srv := httptest.NewServer(l)
	t.Cleanup(srv.Close)
	l.url = srv.URL
	return l
}

func (l *listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return // the caller was killed
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	key, err := standardwebhooks.NewWebhook(l.secret)
	if err == nil {
		err = key.Verify(raw, r.Header)
	}
	if err != nil {
		l.t.Errorf("a call that does not verify: %v", err)
	}
	var body struct {
		Type string
		Data struct{ Number string }
	}
	if err := json.Unmarshal(raw, &body); err != nil {
		l.t.Error(err)
	}
	id := r.Header.Get("webhook-id")
	if before, ok := l.bodies[id]; ok && before != string(raw) {
		l.t.Errorf("one id with two bodies:\n%s\n%s", before, raw)
	}
	l.bodies[id] = string(raw)
	if l.calls++; l.calls%7 == 3 {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if !l.taken[id] {
		l.taken[id] = true
		l.heard[body.Data.Number] = append(l.heard[body.Data.Number], body.Type)
		if len(l.taken) == l.half {
			close(l.enough)
		}
	}
	w.WriteHeader(http.StatusNoContent)
}

// A gateway killed with SIGKILL while it calls a webhook has told everything,
// each event under one id, those of a notice in order, when it is back.
func TestWebhooksSurviveSIGKILL(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	env := []string{"NODOGATE_ALLOW_PRIVATE_TARGETS=true"}
	mustExecute(t, dir, env, append([]string{"school", "add"}, schoolFlags...)...)
	credentials := mustExecute(t, dir, env, "client", "add", "--school", "80014480828", "--name", "test", "--scopes", "notices:read,notices:write,webhooks:read,webhooks:write")
	g := serve(t, dir, env...)
	a := newAPI(t, g.public, credentials)
	const notices, cancelled = 60, 20
	l := newListener(t, (notices+cancelled)/2)
	var hook struct{ ID, Secret string }
	request := map[string]any{"url": l.url, "events": []string{"notice.issued", "notice.cancelled"}}
	if status := a.call(http.MethodPost, "/api/v1/schools/80014480828/webhooks", request, &hook); status != http.StatusCreated {
		t.Fatalf("webhook: status %d", status)
	}
	l.mu.Lock()
	l.secret = hook.Secret
	l.mu.Unlock()
	numbers := a.issue(notices)
	for _, n := range numbers[:cancelled] {
		if status := a.call(http.MethodPost, "/api/v1/schools/80014480828/notices/"+n.String()+"/cancel", nil, nil); status != http.StatusOK {
			t.Fatalf("cancel: status %d", status)
		}
	}
	<-l.enough
	g.kill(t)
	file := filepath.Join(dir, "data", "nodogate.db")
	hurry(t, file, `UPDATE outbox SET lease_until = created_at WHERE lease_until IS NOT NULL AND done_at IS NULL`)
	g = serve(t, dir, env...)
	wait := time.Now().Add(30 * time.Second)
	for !l.complete(numbers, cancelled) {
		if time.Now().After(wait) {
			t.Fatalf("not all was told: %v", l.heard)
		}
		time.Sleep(50 * time.Millisecond)
		hurry(t, file, `UPDATE outbox SET run_at = created_at WHERE lease_until IS NULL AND done_at IS NULL`)
	}
	l.mu.Lock()
	for i, n := range numbers {
		want := "notice.issued"
		if i < cancelled {
			want += " notice.cancelled"
		}
		if got := strings.Join(l.heard[n.String()], " "); got != want {
			t.Errorf("notice %d was told as %q, want %q", i, got, want)
		}
	}
	l.mu.Unlock()
	var page struct {
		Items []struct {
			ID      string
			EventID string `json:"event_id"`
			Status  string
		}
	}
	a = newAPI(t, g.public, credentials)
	a.call(http.MethodGet, "/api/v1/schools/80014480828/webhooks/"+hook.ID+"/deliveries?limit=500", nil, &page)
	if len(page.Items) != notices+cancelled {
		t.Errorf("%d deliveries, want %d", len(page.Items), notices+cancelled)
	}
	g.stop(t)
}

func (l *listener) complete(numbers []iuv.Number, cancelled int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, n := range numbers {
		if len(l.heard[n.String()]) < 1 || i < cancelled && len(l.heard[n.String()]) < 2 {
			return false
		}
	}
	return true
}

// hurry does to the outbox what time would: ends the leases of a killed process,
// or the waits of what was refused.
func hurry(t *testing.T, file, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite", fmt.Sprintf("file:%s?_pragma=busy_timeout(5000)", file))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

// An operator looks at what was given up, and has it tried again.
func TestOutboxCommand(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mustExecute(t, dir, nil, append([]string{"school", "add"}, schoolFlags...)...)
	file := filepath.Join(dir, "data", "nodogate.db")
	hurry(t, file, `INSERT INTO outbox (id, school, kind, aggregate, payload_enc, created_at, run_at, tries, parked_at)
VALUES ('m-1', '80014480828', 'mail', '80014480828/301202600000004244/p1', x'00', '2026-11-23T08:00:00.000000Z', '2026-11-23T08:00:00.000000Z', 15, '2026-11-27T08:00:00.000000Z'),
       ('m-2', '80014480828', 'aca', '80014480828/301202600000004244', x'00', '2026-11-23T08:00:00.000000Z', '2026-11-23T08:00:00.000000Z', 15, '2026-11-27T08:00:00.000000Z')`)
	var list []struct {
		ID, Kind, About string
		Tries           int
	}
	if err := json.Unmarshal([]byte(mustExecute(t, dir, nil, "outbox", "parked", "--json")), &list); err != nil || len(list) != 2 || list[0].ID != "m-1" || list[0].Tries != 15 {
		t.Errorf("parked: %+v, %v", list, err)
	}
	if out := mustExecute(t, dir, nil, "outbox", "parked", "--kind", "aca"); strings.Contains(out, "m-1") || !strings.Contains(out, "80014480828/301202600000004244") {
		t.Errorf("parked of aca:\n%s", out)
	}
	if out := mustExecute(t, dir, nil, "outbox", "retry", "--kind", "mail"); out != "1 messages will be tried again\n" {
		t.Errorf("retry: %s", out)
	}
	if code, _, stderr := execute(t, dir, nil, "outbox", "retry", "--kind", "mail", "--id", "m-1"); code != 1 || !strings.Contains(stderr, "not parked") {
		t.Errorf("retry of what is not parked: exit %d, %s", code, stderr)
	}
	for _, args := range []string{"outbox", "outbox drop", "outbox retry", "outbox parked --kind letter", "aca", "aca sync --all"} {
		if code, _, stderr := execute(t, dir, nil, strings.Fields(args)...); code != 2 {
			t.Errorf("nodogate %s: exit %d, %s", args, code, stderr)
		}
	}
	if code, _, stderr := execute(t, dir, nil, "aca", "sync"); code != 1 || !strings.Contains(stderr, "NODOGATE_ACA_URL") {
		t.Errorf("aca sync without an archive: exit %d, %s", code, stderr)
	}
	env := []string{"NODOGATE_ACA_URL=https://aca.example", "NODOGATE_ACA_KEY=k"}
	if out := mustExecute(t, dir, env, "aca", "sync"); out != "the archive will be told of 0 notices of 1 schools\n" {
		t.Errorf("aca sync: %s", out)
	}
	if code, _, stderr := execute(t, dir, env, "aca", "sync", "--school", "80015010723"); code != 1 || !strings.Contains(stderr, "not found") {
		t.Errorf("aca sync of an unknown school: exit %d, %s", code, stderr)
	}
}
