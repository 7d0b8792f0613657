// SPDX-License-Identifier: Apache-2.0

package soap

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// secret stands in every request, in its body and a header, and must be in no
// log line.
const secret = "RSSMRA80A01H501U"

// served is a Handler under test: it knows the operation op of urn:x.
type served struct {
	Service
	reg *prometheus.Registry
	log bytes.Buffer
}

func newServed(work func(ctx context.Context) Answer) *served {
	return &served{reg: prometheus.NewRegistry(), Service: Service{
		Face:      "test",
		Operation: func(n Name) (string, bool) { return n.Local, n == Name{"urn:x", "op"} },
		Serve: func(ctx context.Context, op string, env *Envelope, raw []byte) Answer {
			if op != "op" || env.Body.Text() != secret || !bytes.Contains(raw, []byte("<s:Envelope")) {
				return Answer{Status: http.StatusTeapot}
			}
			return work(ctx)
		},
		Failed: func(op string, err error) Answer {
			return Answer{Status: 200, Body: []byte("failed " + op), Outcome: OutcomeError, Err: err}
		},
	}}
}

var request = in(`<m:op xmlns:m="urn:x">` + secret + `</m:op>`)

// post calls the handler. It may be used once.
func (s *served) post(body string, change func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	r.Header.Set("Content-Type", ContentType)
	r.Header.Set("Authorization", secret)
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	Handler(s.Service, NewDuration(s.reg), slog.New(slog.NewJSONHandler(&s.log, nil))).ServeHTTP(w, r)
	return w
}

// counted wants one request in the histogram, with these labels.
func (s *served) counted(t *testing.T, operation string, outcome Outcome) {
	t.Helper()
	families, err := s.reg.Gather()
	if err != nil || len(families) != 1 || len(families[0].Metric) != 1 {
		t.Fatalf("metrics %v, %v", families, err)
	}
	m := families[0].Metric[0]
	labels := map[string]string{}
	for _, l := range m.Label {
		labels[l.GetName()] = l.GetValue()
	}
	if m.Histogram.GetSampleCount() != 1 || labels["face"] != "test" || labels["operation"] != operation || labels["outcome"] != string(outcome) {
		t.Errorf("%d requests counted under %v; want 1 under %s %s", m.Histogram.GetSampleCount(), labels, operation, outcome)
	}
	bounds := map[float64]bool{}
	for _, b := range m.Histogram.Bucket {
		bounds[b.GetUpperBound()] = true
	}
	if !bounds[2] || !bounds[7] || !bounds[15] {
		t.Errorf("buckets %v", bounds)
	}
}

// line is the last line of the log, which must not tell what was in the request.
func (s *served) line(t *testing.T) map[string]any {
	t.Helper()
	if strings.Contains(s.log.String(), secret) {
		t.Errorf("the log tells what was in the request: %s", &s.log)
	}
	lines := strings.Split(strings.TrimSpace(s.log.String()), "\n")
	var line map[string]any
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &line); err != nil {
		t.Fatal(err)
	}
	if line["msg"] != "soap request" || line["face"] != "test" {
		t.Errorf("log line %v", line)
	}
	return line
}

func TestHandler(t *testing.T) {
	t.Parallel()
	s := newServed(func(context.Context) Answer {
		return Answer{Status: 200, Body: []byte("<answer/>"), Outcome: OutcomeKO, Code: "PAA_SEMANTICA", School: "80014480828", Notice: "301202600000004244"}
	})
	w := s.post(request, nil)
	if w.Code != 200 || w.Body.String() != "<answer/>" || w.Header().Get("Content-Type") != ContentType || w.Header().Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("answer %d %v %s", w.Code, w.Header(), w.Body)
	}
	s.counted(t, "op", OutcomeKO)
	line := s.line(t)
	for key, want := range map[string]any{
		"level": "INFO", "operation": "op", "outcome": "ko", "status": 200.0, "school": "80014480828", "notice": "301202600000004244", "fault": "PAA_SEMANTICA",
	} {
		if line[key] != want {
			t.Errorf("log %s = %v, want %v", key, line[key], want)
		}
	}
}

func TestHandlerLogsAFaultOfOurs(t *testing.T) {
	t.Parallel()
	s := newServed(func(context.Context) Answer {
		return Answer{Status: 503, Outcome: OutcomeUnavailable, Err: errors.New("disk full")}
	})
	w := s.post(request, nil)
	if w.Code != 503 || w.Body.Len() != 0 || w.Header().Get("Content-Type") != "" {
		t.Errorf("answer %d %v %q", w.Code, w.Header(), w.Body)
	}
	s.counted(t, "op", OutcomeUnavailable)
	if line := s.line(t); line["level"] != "ERROR" || line["err"] != "disk full" {
		t.Errorf("log line %v", line)
	}
}

// What is no message of the service is a Fault, and Unreadable sees it first.
func TestHandlerRefuses(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		body      string
		change    func(*http.Request)
		operation string
		status    int
		seen      bool
	}{
		"not XML":           {body: "{" + secret, operation: "none", status: 400, seen: true},
		"another operation": {body: in(`<m:other xmlns:m="urn:x">` + secret + `</m:other>`), operation: "none", status: 400, seen: true},
		"another namespace": {body: in(`<m:op xmlns:m="urn:y">` + secret + `</m:op>`), operation: "none", status: 400, seen: true},
		"another action":    {body: request, change: func(r *http.Request) { r.Header.Set("SOAPAction", secret) }, operation: "op", status: 400, seen: true},
		"GET":               {body: request, change: func(r *http.Request) { r.Method = http.MethodGet }, operation: "none", status: 405},
		"type":              {body: request, change: func(r *http.Request) { r.Header.Set("Content-Type", secret) }, operation: "none", status: 415},
		"size":              {body: strings.Repeat(secret, MaxBody), operation: "none", status: 413},
	} {
		for _, unreadable := range []error{nil, errors.New("disk full")} {
			s := newServed(func(context.Context) Answer { t.Errorf("%s: served", name); return Answer{Status: 200} })
			var seen []byte
			s.Unreadable = func(_ context.Context, raw []byte) error { seen = raw; return unreadable }
			w := s.post(tc.body, tc.change)
			status, outcome := tc.status, OutcomeFault
			if tc.seen && unreadable != nil {
				status, outcome = 503, OutcomeUnavailable
			}
			if w.Code != status {
				t.Errorf("%s, %v: status %d, want %d", name, unreadable, w.Code, status)
			}
			if fault := strings.Contains(w.Body.String(), "<faultcode>soapenv:Client</faultcode>"); fault != (status == 400) || !fault && w.Body.Len() != 0 || strings.Contains(w.Body.String(), secret) {
				t.Errorf("%s, %v: answer %s", name, unreadable, w.Body)
			}
			if tc.seen != (string(seen) == tc.body) {
				t.Errorf("%s: Unreadable saw %q", name, seen)
			}
			s.counted(t, tc.operation, outcome)
			s.line(t)
		}
		s := newServed(nil)
		if w := s.post(tc.body, tc.change); w.Code != tc.status {
			t.Errorf("%s, without Unreadable: status %d, want %d", name, w.Code, tc.status)
		}
	}
}

// A panic is answered for, wherever it is.
func TestHandlerPanics(t *testing.T) {
	t.Parallel()
	s := newServed(func(context.Context) Answer { panic(secret) })
	if w := s.post(request, nil); w.Code != 200 || w.Body.String() != "failed op" {
		t.Errorf("answer %d %s", w.Code, w.Body)
	}
	s.counted(t, "op", OutcomeError)
	if !strings.Contains(s.log.String(), `"msg":"panic in a SOAP operation"`) || !strings.Contains(s.log.String(), "serve_test.go") {
		t.Errorf("the log does not tell where the panic was: %s", &s.log)
	}
	s.line(t)

	s = newServed(nil)
	s.Unreadable = func(context.Context, []byte) error { panic(secret) }
	if w := s.post("{", nil); w.Code != 503 || w.Body.Len() != 0 {
		t.Errorf("answer %d %s", w.Code, w.Body)
	}
	s.counted(t, "none", OutcomeUnavailable)
	s.line(t)
}

// Every request is answered within 2 seconds, whether the work stops when it is
// told to or not.
func TestHandlerIsInTime(t *testing.T) {
	t.Parallel()
	release := func(done chan struct{}) {
		close(done)
		synctest.Wait() // what was left behind ends
	}
	for name, work := range map[string]func(ctx context.Context, done <-chan struct{}) error{
		"heeds its deadline": func(ctx context.Context, _ <-chan struct{}) error { <-ctx.Done(); return ctx.Err() },
		"hangs":              func(_ context.Context, done <-chan struct{}) error { <-done; return nil },
		"panics when late":   func(_ context.Context, done <-chan struct{}) error { <-done; panic("late") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				done := make(chan struct{})
				s := newServed(func(ctx context.Context) Answer {
					err := work(ctx, done)
					return Answer{Status: 200, Body: []byte("failed op"), Outcome: OutcomeError, Err: err}
				})
				start := time.Now()
				w := s.post(request, nil)
				if took := time.Since(start); took >= 2*time.Second || took < workWithin {
					t.Errorf("answered after %v", took)
				}
				if w.Code != 200 || w.Body.String() != "failed op" {
					t.Errorf("answer %d %s", w.Code, w.Body)
				}
				s.counted(t, "op", OutcomeError)
				if line := s.line(t); name != "heeds its deadline" && line["err"] != ErrLate.Error() {
					t.Errorf("log line %v", line)
				}
				release(done)
			})
			synctest.Test(t, func(t *testing.T) {
				done := make(chan struct{})
				s := newServed(nil)
				s.Unreadable = func(ctx context.Context, _ []byte) error { return work(ctx, done) }
				start := time.Now()
				w := s.post("{", nil)
				if took := time.Since(start); took >= 2*time.Second || w.Code != 503 || w.Body.Len() != 0 {
					t.Errorf("answer %d %s after %v", w.Code, w.Body, took)
				}
				release(done)
			})
		})
	}
	t.Run("nothing is left behind", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newServed(func(ctx context.Context) Answer {
				if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) != workWithin {
					t.Errorf("deadline %v", deadline)
				}
				time.Sleep(workWithin - time.Millisecond) // the bubble's time
				return Answer{Status: 200, Body: []byte("in time"), Outcome: OutcomeOK}
			})
			if w := s.post(request, nil); w.Body.String() != "in time" {
				t.Errorf("answer %s", w.Body)
			}
		})
	})
}
