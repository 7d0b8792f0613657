// SPDX-License-Identifier: Apache-2.0

// Package connectortest is the suite that every connector passes: against a PSP
// that obeys a script, through a Set as in production.
//
// It holds for all kinds: what an answer means, what a callback proves. The
// words of one kind, and its schema, are for that package's own tests.
package connectortest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nodogate/nodogate/connectors"
	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/iuv"
)

// What the suite uses, for fixtures to check against.
const (
	PSP     = gateway.PSPID("BANCAUNO")
	Secret  = "whsec_Y2hpYXZlIGRpIHByb3ZhIHBlciBpIHRlc3Q="
	Attempt = "3fa85f6457174562b3fc2c963f66afa6"
)

// Now is the instant at which the connectors live.
var Now = time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)

// Fixture is one kind of PSP.
type Fixture struct {
	Driver connectors.Driver
	// Accept answers an order with a page, as the PSP does when all is well.
	Accept func(w http.ResponseWriter, r *http.Request, page string)
	// Refuse answers it with the PSP's definite no.
	Refuse http.HandlerFunc
	// Callback makes what the PSP's system sends, signed; nil where nothing is.
	Callback func(Callback) gateway.Callback
	// Signature is the header with the signature of a callback.
	Signature string
}

// Callback is what a callback shall say. Only what it says is wrong: its
// signature is good, for the Secret it names.
type Callback struct {
	PSP     gateway.PSPID // that the body names, where it names one
	Attempt string
	ID      string // of the event
	OK      bool
	At      time.Time
	Secret  string
	Body    []byte // in place of the PSP's words, when not nil
}

// Order is an order of two notices of one school.
func Order(t testing.TB) gateway.Order {
	t.Helper()
	seg, err := iuv.ParseSegregation("01")
	if err != nil {
		t.Fatal(err)
	}
	o := gateway.Order{
		Attempt: Attempt, Cart: "cart1", Method: gateway.MethodCard, Fee: 100, Email: "famiglia@posta.example",
		Return:   &url.URL{Scheme: "https", Host: "paga.example", Path: "/carrello/esito/cart1"},
		Callback: &url.URL{Scheme: "https", Host: "paga.example", Path: "/callbacks/" + string(PSP)},
	}
	for i, description := range []string{"Viaggio di istruzione 3B", "Assicurazione"} {
		o.Notices = append(o.Notices, gateway.OrderNotice{
			School: "80014480828", SchoolName: "IC 6 Grosseto", Number: iuv.New(seg, uint64(i)), Amount: 1650, Description: description,
		})
	}
	return o
}

// New is a Set with the one PSP, whose pages are on its own host and on
// pagine.example.
func New(t testing.TB, driver connectors.Driver, endpoint string, logs io.Writer) *connectors.Set {
	t.Helper()
	set, err := connectors.New(connectors.Config{
		Catalogue: connectors.Catalogue{PSPs: []connectors.PSP{{
			ID: PSP, Name: "Banca Uno", Methods: []gateway.Method{gateway.MethodCard}, Connector: driver.Name,
			Endpoint: endpoint, SecretEnv: "SECRET", Fees: []connectors.Band{{Fee: 100}}, PageHosts: []string{"pagine.example"},
		}}},
		Drivers: []connectors.Driver{driver}, AllowPrivate: true,
		Getenv: func(string) string { return Secret }, Now: func() time.Time { return Now },
		Log: slog.New(slog.NewTextHandler(logs, nil)), Registerer: prometheus.NewRegistry(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// Run is the suite; fixture is called once for each of its tests.
func Run(t *testing.T, fixture func(t *testing.T) Fixture) {
	t.Run("Start", func(t *testing.T) { runStart(t, fixture) })
	if fixture(t).Callback != nil {
		t.Run("Callback", func(t *testing.T) { runCallback(t, fixture) })
		t.Run("Answer", func(t *testing.T) { runAnswer(t, fixture) })
	}
}

const goodPage = "https://pagine.example/p/1"

func runStart(t *testing.T, fixture func(t *testing.T) Fixture) {
	answer := func(status int, contentType, body string) func(Fixture) http.HandlerFunc {
		return func(Fixture) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", contentType)
				w.WriteHeader(status)
				_, _ = io.WriteString(w, body)
			}
		}
	}
	page := func(address string) func(Fixture) http.HandlerFunc {
		return func(f Fixture) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) { f.Accept(w, r, address) }
		}
	}
	for _, c := range []struct {
		name string
		psp  func(Fixture) http.HandlerFunc
		want []error // none: a good start
	}{
		{"ok", page(goodPage), nil},
		{"refuse", func(f Fixture) http.HandlerFunc { return f.Refuse }, []error{gateway.ErrRefused}},
		{"400 of something else", answer(400, "text/html", "<h1>Bad Request</h1>"), []error{gateway.ErrOutcomeUnknown}},
		{"404 of the gate", answer(404, "application/json", `{"statusCode":404,"message":"Resource not found"}`), []error{gateway.ErrOutcomeUnknown}},
		{"key refused", answer(401, "application/json", `{}`), []error{gateway.ErrPSPUnavailable}},
		{"forbidden", answer(403, "text/plain", ""), []error{gateway.ErrPSPUnavailable}},
		{"too many", answer(429, "application/json", `{}`), []error{gateway.ErrOutcomeUnknown}},
		{"500", answer(500, "application/json", `{}`), []error{gateway.ErrOutcomeUnknown}},
		{"503", answer(503, "text/plain", ""), []error{gateway.ErrOutcomeUnknown}},
		{"hang", func(Fixture) http.HandlerFunc {
			return func(_ http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body) // only then does the server see the client go
				<-r.Context().Done()
			}
		}, []error{gateway.ErrOutcomeUnknown, context.DeadlineExceeded}},
		{"cut before the work", func(Fixture) http.HandlerFunc {
			return func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
		}, []error{gateway.ErrOutcomeUnknown}},
		{"cut after the work", func(f Fixture) http.HandlerFunc {
			return func(_ http.ResponseWriter, r *http.Request) {
				f.Accept(httptest.NewRecorder(), r, goodPage)
				panic(http.ErrAbortHandler)
			}
		}, []error{gateway.ErrOutcomeUnknown}},
		{"cut in the answer", func(f Fixture) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.Header().Set("Content-Length", "500")
				_, _ = io.WriteString(w, `{"url":`)
			}
		}, []error{gateway.ErrOutcomeUnknown}},
		{"unreadable", answer(200, "application/json", "nope"), []error{gateway.ErrOutcomeUnknown}},
		{"of no meaning", answer(200, "application/json", "{}"), []error{gateway.ErrOutcomeUnknown}},
		{"empty", answer(200, "", ""), []error{gateway.ErrOutcomeUnknown}},
		{"huge", answer(200, "application/json", strings.Repeat("[", 70<<10)), []error{gateway.ErrOutcomeUnknown}},
		{"huge refusal", answer(400, "application/problem+json", `{"title":"`+strings.Repeat("x", 70<<10)+`"}`), []error{gateway.ErrOutcomeUnknown}},
		{"sent elsewhere", answer(307, "text/plain", ""), []error{gateway.ErrOutcomeUnknown}},
		{"foreign page", page("https://evil.example/p/1"), []error{gateway.ErrOutcomeUnknown, connectors.ErrForeignPage}},
		{"page that looks like its own", page("https://pagine.example@evil.example/"), []error{gateway.ErrOutcomeUnknown, connectors.ErrForeignPage}},
		{"page without encryption", page("ftp://pagine.example/"), []error{gateway.ErrOutcomeUnknown, connectors.ErrForeignPage}},
		{"no page", page(""), []error{gateway.ErrOutcomeUnknown, connectors.ErrForeignPage}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := fixture(t)
			var calls atomic.Int32
			psp := c.psp(f)
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				calls.Add(1)
				psp(w, r)
			}))
			t.Cleanup(srv.Close)
			ctx := t.Context()
			if slices.Contains(c.want, context.DeadlineExceeded) {
				short, cancel := context.WithTimeout(ctx, time.Second)
				defer cancel()
				ctx = short
			}
			var logs strings.Builder
			started, err := New(t, f.Driver, srv.URL, &logs).Start(ctx, PSP, Order(t))
			if n := calls.Load(); n != 1 {
				t.Errorf("the order was sent %d times, want once", n)
			}
			checkSilence(t, logs.String(), err)
			if c.want == nil {
				if err != nil || started.Redirect != goodPage {
					t.Errorf("Start = %+v, %v; want the page %s", started, err, goodPage)
				}
				return
			}
			checkError(t, started, err, c.want...)
		})
	}
	t.Run("no connection", func(t *testing.T) {
		t.Parallel()
		gone := httptest.NewServer(nil)
		gone.Close()
		started, err := New(t, fixture(t).Driver, gone.URL, io.Discard).Start(t.Context(), PSP, Order(t))
		checkError(t, started, err, gateway.ErrPSPUnavailable)
	})
}

// checkError wants exactly one of the three kinds, and nothing beside it.
func checkError(t *testing.T, started gateway.Started, err error, want ...error) {
	t.Helper()
	for _, w := range want {
		if !errors.Is(err, w) {
			t.Errorf("Start: %v, want %v", err, w)
		}
	}
	kinds := 0
	for _, kind := range []error{gateway.ErrRefused, gateway.ErrPSPUnavailable, gateway.ErrOutcomeUnknown} {
		if errors.Is(err, kind) {
			kinds++
		}
	}
	if kinds != 1 {
		t.Errorf("%v is of %d kinds, want one", err, kinds)
	}
	if started != (gateway.Started{}) {
		t.Errorf("Start gave %+v beside an error", started)
	}
}

// checkSilence wants nothing of the order, and no secret, in a log or an error.
func checkSilence(t *testing.T, logs string, err error) {
	t.Helper()
	told := logs
	if err != nil {
		told += err.Error()
	}
	o := Order(t)
	for _, s := range []string{Secret, o.Email, o.Notices[0].Number.String(), o.Notices[0].Description, o.Notices[0].SchoolName} {
		if strings.Contains(told, s) {
			t.Errorf("%q was told: %s", s, told)
		}
	}
}

func runCallback(t *testing.T, fixture func(t *testing.T) Fixture) {
	good := Callback{PSP: PSP, Attempt: Attempt, ID: "evt_1", OK: true, At: Now, Secret: Secret}
	invalid := func(err error) bool { return errors.As(err, new(*gateway.Invalid)) }
	forged := func(err error) bool { return errors.Is(err, gateway.ErrForged) }
	unknown := func(err error) bool { return errors.Is(err, gateway.ErrNotFound) }
	for _, c := range []struct {
		name string
		make func(f Fixture) gateway.Callback
		want func(error) bool
	}{
		{"another secret", func(f Fixture) gateway.Callback {
			c := good
			c.Secret = "whsec_" + strings.Repeat("QUJD", 8)
			return f.Callback(c)
		}, forged},
		{"no signature", func(f Fixture) gateway.Callback {
			c := f.Callback(good)
			delete(c.Header, f.Signature)
			return c
		}, forged},
		{"no headers", func(f Fixture) gateway.Callback {
			c := f.Callback(good)
			c.Header = nil
			return c
		}, forged},
		{"old", func(f Fixture) gateway.Callback {
			c := good
			c.At = Now.Add(-time.Hour)
			return f.Callback(c)
		}, forged},
		{"of the future", func(f Fixture) gateway.Callback {
			c := good
			c.At = Now.Add(time.Hour)
			return f.Callback(c)
		}, forged},
		{"old signature under another id", func(f Fixture) gateway.Callback {
			again := good
			again.ID = "evt_2"
			c := f.Callback(again)
			c.Header = maps.Clone(c.Header)
			c.Header[f.Signature] = f.Callback(good).Header[f.Signature]
			return c
		}, forged},
		{"no made an ok", func(f Fixture) gateway.Callback {
			no := good
			no.OK = false
			c := f.Callback(no)
			c.Body = f.Callback(good).Body
			return c
		}, forged},
		{"one byte more", func(f Fixture) gateway.Callback {
			c := f.Callback(good)
			c.Body = append(bytes.Clone(c.Body), ' ')
			return c
		}, forged},
		{"unknown path", func(f Fixture) gateway.Callback {
			c := f.Callback(good)
			c.Path += "/nowhere"
			return c
		}, unknown},
		{"no path", func(f Fixture) gateway.Callback {
			c := f.Callback(good)
			c.Path = "/"
			return c
		}, unknown},
		{"another method", func(f Fixture) gateway.Callback {
			c := f.Callback(good)
			c.Method = http.MethodGet
			return c
		}, unknown},
		{"of a PSP that is not listed", func(f Fixture) gateway.Callback {
			c := f.Callback(good)
			c.PSP = "ALTRA"
			return c
		}, unknown},
		{"names another PSP", func(f Fixture) gateway.Callback {
			c := good
			c.PSP = "ALTRA"
			made := f.Callback(c)
			made.PSP = PSP
			return made
		}, invalid},
		{"no JSON", malformed(good, "nope"), invalid},
		{"empty body", malformed(good, ""), invalid},
		{"null", malformed(good, "null"), invalid},
		{"a list", malformed(good, "[]"), invalid},
		{"says nothing", malformed(good, "{}"), invalid},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := fixture(t)
			set := New(t, f.Driver, "https://psp.example", io.Discard)
			event, err := set.Callback(c.make(f))
			if !c.want(err) {
				t.Errorf("Callback: %v, which is another error than it should be", err)
			}
			if !reflect.DeepEqual(event, gateway.PSPEvent{}) {
				t.Errorf("Callback gave %+v beside an error", event)
			}
			if status, _, _ := set.Answer(PSP, event, err); status < 400 || status > 499 {
				t.Errorf("the PSP is told %d, want its own fault", status)
			}
		})
	}
	for name, ok := range map[string]bool{"ok": true, "no": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := fixture(t)
			set := New(t, f.Driver, "https://psp.example", io.Discard)
			says := good
			says.OK = ok
			c := f.Callback(says)
			event, err := set.Callback(c)
			if err != nil {
				t.Fatalf("Callback: %v", err)
			}
			if event.PSP != PSP || event.Attempt != Attempt || (event.Word != gateway.WordNo) != ok || !bytes.Equal(event.Raw, c.Body) {
				t.Errorf("event %+v", event)
			}
			if event.ID == "" {
				t.Error("an event without an id is never the same again")
			}
			again, err := set.Callback(f.Callback(says))
			if err != nil || !reflect.DeepEqual(again, event) {
				t.Errorf("the same again is %+v, %v; want %+v", again, err, event)
			}
			says.ID = "evt_2"
			if other, err := set.Callback(f.Callback(says)); err != nil || other.ID == event.ID {
				t.Errorf("another event has the id %q, %v", other.ID, err)
			}
		})
	}
}

func malformed(c Callback, body string) func(Fixture) gateway.Callback {
	return func(f Fixture) gateway.Callback {
		c.Body = []byte(body)
		return f.Callback(c)
	}
}

func runAnswer(t *testing.T, fixture func(t *testing.T) Fixture) {
	f := fixture(t)
	set := New(t, f.Driver, "https://psp.example", io.Discard)
	event, err := set.Callback(f.Callback(Callback{PSP: PSP, Attempt: Attempt, ID: "evt_1", OK: true, At: Now, Secret: Secret}))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		err   error
		class int
	}{
		{"taken", nil, 2},
		{"unknown attempt", gateway.ErrNotFound, 4},
		{"failure of ours: it shall call again", errors.New("database is away"), 5},
	} {
		status, _, body := set.Answer(PSP, event, c.err)
		if status/100 != c.class {
			t.Errorf("%s: the PSP is told %d, want %dxx", c.name, status, c.class)
		}
		if bytes.Contains(body, []byte("database")) {
			t.Errorf("%s: the PSP is told %s", c.name, body)
		}
	}
}
