// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nodogate/nodogate/connectors"
	"github.com/nodogate/nodogate/gateway/pagopa"
	"github.com/nodogate/nodogate/gateway/soap"
)

// nodeFace is a node face that obeys a script.
type nodeFace struct {
	t *testing.T

	mu   sync.Mutex
	got  []string // bodies, answered well or not
	read []pagopa.Message
	// script answers the n-th call (from 0); false leaves it to the face.
	script func(w http.ResponseWriter, n int) bool
}

func (f *nodeFace) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		f.t.Error(err)
	}
	env, err := soap.Parse(body)
	if err != nil {
		f.t.Errorf("%v in %s", err, body)
		return
	}
	m, err := pagopa.ReadNodeForPsp(env) // against the schema
	if err != nil {
		f.t.Errorf("%v in %s", err, body)
		return
	}
	f.mu.Lock()
	n := len(f.got)
	f.got, f.read = append(f.got, string(body)), append(f.read, m)
	script := f.script
	f.mu.Unlock()
	if script != nil && script(w, n) {
		return
	}
	payable := pagopa.PSPPayable{Options: []pagopa.PSPOption{{Amount: 1650, Options: "EQ"}}, Description: "Gita", CreditorCode: school}
	switch m.(type) {
	case pagopa.VerifyNoticeRequest:
		write(w, pagopa.VerifyNoticeResponse{PSPPayable: payable})
	case pagopa.BollettinoRequest:
		write(w, pagopa.BollettinoResponse{PSPPayable: payable, NoticeNumber: first})
	case pagopa.ActivateRequest:
		write(w, pagopa.ActivateResponse{Version: 2, Activation: pagopa.Activation{Amount: 1650, CreditorCode: school, Token: "t1"}})
	case pagopa.OutcomeRequest:
		write(w, pagopa.OutcomeResponse{Version: 2})
	}
}

func (f *nodeFace) calls() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.got)
}

// startLinked is a sandbox whose BANCAUNO is linked to a node face.
func startLinked(t *testing.T, script func(w http.ResponseWriter, n int) bool) (*env, *nodeFace) {
	t.Helper()
	f := &nodeFace{t: t, script: script}
	srv := httptest.NewServer(f)
	t.Cleanup(srv.Close)
	return start(t, func(cfg *Config) {
		cfg.NodeFace, cfg.Passwords = srv.URL, func(string) string { return "password-1" }
		cfg.PSPs[0].Node = &connectors.NodePeer{Broker: "97735020584", Channel: "97735020584_01"}
	}), f
}

func TestCounter(t *testing.T) {
	t.Parallel()
	e, f := startLinked(t, func(w http.ResponseWriter, n int) bool {
		if n%2 == 0 { // each first try
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		return n%2 == 0
	})
	p, name := e.box.psps["BANCAUNO"], notice{school, first}
	if r, err := e.box.verifyNotice(t.Context(), p, name); err != nil || r.Fault != nil || r.Options[0].Amount != 1650 {
		t.Errorf("verifyNotice: %+v, %v", r, err)
	}
	if r, err := e.box.verifyBulletin(t.Context(), p, "000000001016", first); err != nil || r.NoticeNumber != first {
		t.Errorf("verifyBulletin: %+v, %v", r, err)
	}
	if r, err := e.box.activateNotice(t.Context(), p, name, 1650, "BP", 2*time.Second); err != nil || r.Token != "t1" {
		t.Errorf("activateNotice: %+v, %v", r, err)
	}
	calls := f.calls()
	if len(calls) != 6 {
		t.Fatalf("%d calls, want two of each", len(calls))
	}
	for i := 0; i < len(calls); i += 2 {
		if calls[i] != calls[i+1] {
			t.Errorf("the second try is another request:\n%s\n%s", calls[i], calls[i+1])
		}
	}
	got := f.read[5].(pagopa.ActivateRequest)
	if got.PSP != "BANCAUNO" || got.BrokerPSP != "97735020584" || got.Channel != "97735020584_01" || got.Password != "password-1" ||
		got.PaymentMethod != "BP" || *got.Expiration != 2*time.Second || !regexp.MustCompile(`\A97735020584_[0-9a-f]{10}\z`).MatchString(got.IdempotencyKey) {
		t.Errorf("activation %+v", got)
	}
	if _, err := e.box.verifyNotice(t.Context(), e.box.psps["BANCADUE"], name); !errors.Is(err, errNoNode) {
		t.Errorf("a PSP without a node: %v", err)
	}
}

// A node that never answers is not asked for ever.
func TestCounterGivesUp(t *testing.T) {
	t.Parallel()
	e, f := startLinked(t, func(http.ResponseWriter, int) bool { panic(http.ErrAbortHandler) })
	if _, err := e.box.activateNotice(t.Context(), e.box.psps["BANCAUNO"], notice{school, first}, 1650, "", 0); err == nil {
		t.Error("no error")
	}
	if n := len(f.calls()); n != maxAsks {
		t.Errorf("%d calls, want %d", n, maxAsks)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := e.box.verifyNotice(gone, e.box.psps["BANCAUNO"], notice{school, first}); !errors.Is(err, context.Canceled) {
		t.Errorf("a customer who left: %v", err)
	}
}

func TestTellNode(t *testing.T) {
	t.Parallel()
	fault := func(code pagopa.FaultCode) func(http.ResponseWriter, int) bool {
		return func(w http.ResponseWriter, n int) bool {
			if n == 0 {
				write(w, pagopa.OutcomeResponse{Version: 2, Fault: pagopa.NewNodeFault(code, "")})
			}
			return n == 0
		}
	}
	for _, c := range []struct {
		name   string
		script func(http.ResponseWriter, int) bool
		mode   Mode
		calls  int
	}{
		{"taken", nil, ModeOK, 1},
		{"twice", nil, ModeDuplicate, 2},
		{"late", nil, ModeLate, 1},
		{"no answer", func(w http.ResponseWriter, n int) bool {
			if n < 3 {
				panic(http.ErrAbortHandler)
			}
			return false
		}, ModeOK, 4},
		{"sick gate", func(w http.ResponseWriter, n int) bool {
			if n == 0 {
				w.WriteHeader(http.StatusBadGateway)
			}
			return n == 0
		}, ModeOK, 2},
		{"nothing decided", fault(pagopa.PPTSystemError), ModeOK, 2},
		{"too late", fault(pagopa.PPTTokenScaduto), ModeOK, 1},
		{"paid by another", fault(pagopa.PPTPagamentoDuplicato), ModeOK, 1},
		{"unknown token", fault(pagopa.PPTTokenSconosciuto), ModeOK, 1},
	} {
		for _, ok := range []bool{true, false} {
			name := c.name + " KO"
			if ok {
				name = c.name + " OK"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				e, f := startLinked(t, c.script)
				p := e.box.psps["BANCAUNO"]
				key := e.box.nodeKey(p)
				request := e.box.outcomeKO(p, key, []string{"t1", "t2"})
				if ok {
					request = e.box.outcomeOK(p, key, []string{"t1", "t2"}, 150, "other", "onLine", e.box.cfg.Now())
				}
				e.box.mu.Lock()
				sent := e.box.tellNode(request, c.mode)
				e.box.mu.Unlock()
				<-sent
				calls := f.calls()
				if len(calls) != c.calls {
					t.Fatalf("%d calls, want %d", len(calls), c.calls)
				}
				if len(slices.Compact(slices.Clone(calls))) != 1 {
					t.Errorf("the tries differ:\n%s", strings.Join(calls, "\n"))
				}
				got := f.read[0].(pagopa.OutcomeRequest)
				if got.IdempotencyKey != key || !slices.Equal(got.Tokens, []string{"t1", "t2"}) || (got.Details != nil) != ok {
					t.Errorf("outcome %+v", got)
				}
				if ok && (got.Details.Fee != 150 || got.Details.ApplicationDate != "2026-11-20" || got.Details.TransferDate != "2026-11-21") {
					t.Errorf("details %+v", got.Details)
				}
			})
		}
	}
}

func TestNodeFaceNeedsPasswords(t *testing.T) {
	t.Parallel()
	cfg := start(t, nil).box.cfg
	cfg.NodeFace = "http://node.example"
	if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), "Passwords") {
		t.Errorf("New: %v", err)
	}
}
