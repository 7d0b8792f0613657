// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/gin-gonic/gin"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
)

// testAPI is the API on a whole gateway. Every answer it gives is checked
// against the document.
type testAPI struct {
	t      *testing.T
	g      *gatewaytest.Gateway
	h      *handlers
	engine *gin.Engine
	router routers.Router
	log    *lockedBuffer
	school string // token of a client of the first school with every scope
	admin  string // token of an operator's client
	keys   int

	mu       sync.Mutex
	answered map[string]bool // "route method code" of every answer
}

func (a *testAPI) observe(route, method string, code int, _ time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.answered == nil {
		a.answered = map[string]bool{}
	}
	a.answered[fmt.Sprint(route, " ", method, " ", code)] = true
}

const base = "/api/v1/schools/" + string(gatewaytest.SchoolCode)

func newAPI(t *testing.T, change ...func(*Config)) *testAPI {
	t.Helper()
	return newAPIOn(t, gatewaytest.New(t), change...)
}

func newAPIOn(t *testing.T, g *gatewaytest.Gateway, change ...func(*Config)) *testAPI {
	t.Helper()
	a := &testAPI{t: t, g: g, log: &lockedBuffer{}}
	cfg := Config{
		Service: a.g.Service, TokenKey: bytes.Repeat([]byte{7}, 32), Observe: a.observe,
		Log: slog.New(slog.NewJSONHandler(a.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		PDF: func(r gateway.Receipt, s gateway.School) ([]byte, error) {
			return []byte("%PDF-1.7 " + r.ID + " " + s.Name), nil
		},
		NoticePDF: func(_ context.Context, n gateway.Notice, s gateway.School, language string) ([]byte, error) {
			return []byte("%PDF-1.7 " + n.Number.String() + " " + s.Name + " " + language), n.Payable(gatewaytest.Start)
		},
	}
	for _, f := range change {
		f(&cfg)
	}
	var err error
	a.h, err = newHandlers(cfg)
	must(t, err)
	a.engine, err = a.h.engine(cfg.TrustedProxies)
	must(t, err)
	spec, err := openapi3.NewLoader().LoadFromData(a.get("/api/openapi.json", "").Body.Bytes())
	must(t, err)
	a.router, err = gorillamux.NewRouter(spec)
	must(t, err)
	c, secret := a.g.Client(gatewaytest.SchoolCode, gateway.Scopes...)
	a.school = a.token(c, secret)
	c, secret = a.g.Client("")
	a.admin = a.token(c, secret)
	return a
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// token logs a client in.
func (a *testAPI) token(c gateway.Client, secret string) string {
	a.t.Helper()
	w := a.login(url.Values{"grant_type": {"client_credentials"}}, c.ID, secret)
	if w.Code != 200 {
		a.t.Fatalf("token for %s: %d %s", c.ID, w.Code, w.Body)
	}
	var out Token
	must(a.t, json.Unmarshal(w.Body.Bytes(), &out))
	return out.AccessToken
}

// login asks for a token, by HTTP Basic when an id is given.
func (a *testAPI) login(form url.Values, id, secret string) *httptest.ResponseRecorder {
	a.t.Helper()
	r := httptest.NewRequest("POST", "/oauth2/token", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if id != "" {
		r.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret))
	}
	return a.do(r)
}

func (a *testAPI) get(path, token string, head ...string) *httptest.ResponseRecorder {
	a.t.Helper()
	r := httptest.NewRequest("GET", path, nil)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(head); i += 2 {
		r.Header.Add(head[i], head[i+1])
	}
	return a.do(r)
}

// post sends body with a new Idempotency-Key; headers in head replace what it
// would set, an empty value leaves it out.
func (a *testAPI) post(path, token, body string, head ...string) *httptest.ResponseRecorder {
	a.t.Helper()
	a.keys++
	r := httptest.NewRequest("POST", path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Idempotency-Key", fmt.Sprintf("key-%d", a.keys))
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(head); i += 2 {
		r.Header.Del(head[i])
		if head[i+1] != "" {
			r.Header.Set(head[i], head[i+1])
		}
	}
	return a.do(r)
}

// send sends body as JSON, without an Idempotency-Key.
func (a *testAPI) send(method, path, token, body string, head ...string) *httptest.ResponseRecorder {
	a.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(head); i += 2 {
		r.Header.Set(head[i], head[i+1])
	}
	return a.do(r)
}

// do serves the request and checks the answer: against the document, and that
// every answer carries what every answer must.
func (a *testAPI) do(r *http.Request) *httptest.ResponseRecorder {
	a.t.Helper()
	sent := r.Clone(context.Background())
	w := httptest.NewRecorder()
	withHEAD(a.engine).ServeHTTP(w, r)
	for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"} {
		if got := w.Header().Get(name); got != want {
			a.t.Errorf("%s %s: header %s = %q, want %q", r.Method, r.URL.Path, name, got, want)
		}
	}
	if w.Header().Get("X-Request-Id") == "" {
		a.t.Errorf("%s %s: no X-Request-Id", r.Method, r.URL.Path)
	}
	if w.Code >= 400 && r.URL.Path != "/oauth2/token" {
		if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
			a.t.Errorf("%s %s: %d as %q, want a problem: %s", r.Method, r.URL.Path, w.Code, got, w.Body)
		}
		if p := problemIn(a.t, w); p.Status != w.Code || p.Code == "" || !strings.HasSuffix(p.Type, "#"+p.Code) {
			a.t.Errorf("%s %s: problem %+v does not fit status %d", r.Method, r.URL.Path, p, w.Code)
		}
	}
	if a.router == nil {
		return w
	}
	route, params, err := a.router.FindRoute(sent)
	if errors.Is(err, routers.ErrPathNotFound) || errors.Is(err, routers.ErrMethodNotAllowed) {
		return w
	}
	must(a.t, err)
	err = openapi3filter.ValidateResponse(context.Background(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: sent, PathParams: params, Route: route},
		Status:                 w.Code, Header: w.Header(), Body: io.NopCloser(bytes.NewReader(w.Body.Bytes())),
		Options: &openapi3filter.Options{IncludeResponseStatus: true, ExcludeResponseBody: binaryAnswer(w)},
	})
	if err != nil {
		a.t.Errorf("%s %s: the answer is not what the document says: %v\n%s", r.Method, r.URL.Path, err, w.Body)
	}
	return w
}

// binaryAnswer: kin-openapi has no decoder for these.
func binaryAnswer(w *httptest.ResponseRecorder) bool {
	t := w.Header().Get("Content-Type")
	return w.Code == 200 && (t == "application/xml" || t == "application/pdf" || strings.HasPrefix(t, "text/html") ||
		strings.HasPrefix(t, "text/csv") || strings.HasSuffix(t, "spreadsheetml.sheet"))
}

func problemIn(t *testing.T, w *httptest.ResponseRecorder) Problem {
	t.Helper()
	var p Problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatalf("not a problem: %d %s", w.Code, w.Body)
	}
	return p
}

// expect checks a refusal: its status, code, and wrong fields as
// "field code", in order.
func expect(t *testing.T, w *httptest.ResponseRecorder, status int, code string, fields ...string) Problem {
	t.Helper()
	p := problemIn(t, w)
	var got []string
	for _, e := range p.Errors {
		got = append(got, e.Field+" "+e.Code)
	}
	if w.Code != status || p.Code != code || strings.Join(got, "\n") != strings.Join(fields, "\n") {
		t.Errorf("got %d %s %q, want %d %s %q\n%s", w.Code, p.Code, got, status, code, fields, w.Body)
	}
	return p
}

// as reads an answer with the given status.
func as[T any](t *testing.T, w *httptest.ResponseRecorder, status int) T {
	t.Helper()
	var v T
	if w.Code != status {
		t.Fatalf("got %d %s, want %d", w.Code, w.Body, status)
	}
	must(t, json.Unmarshal(w.Body.Bytes(), &v))
	return v
}

// noticeJSON is a right notice; with replaces members, null leaves them out.
func noticeJSON(with ...string) string {
	m := map[string]json.RawMessage{
		"debtor":       json.RawMessage(`{"fiscal_code":"RSSMRA10A41H501F","full_name":"Maria Rossi","class":"3B"}`),
		"description":  json.RawMessage(`"Viaggio di istruzione 3B"`),
		"amount_cents": json.RawMessage(`1650`),
		"due_date":     json.RawMessage(`"2026-12-31"`),
	}
	for i := 0; i < len(with); i += 2 {
		if m[with[i]] = json.RawMessage(with[i+1]); with[i+1] == "-" {
			delete(m, with[i])
		}
	}
	b, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// UnmarshalJSON lets tests read what the API writes.
func (t *text) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, (*string)(t)) }

func (i *instant) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*i = instant{}
		return nil
	}
	return (*time.Time)(i).UnmarshalJSON(b)
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
