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
	"fmt"
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
	// Options are the catalogue's, for a kind that needs some.
	Options map[string]string
	// Ask and Cancel are for a PSP that can be asked, and that takes back.
	Ask    Ask
	Cancel Cancel
	// Refund is for a PSP that gives payments back.
	Refund Refund
}

// Ask is how a Poller's PSP answers a question about the payment Reference.
type Ask struct {
	// Words are its answers by name, each with what it means.
	Words map[string]Word
	// Other answers about another payment than was asked for; nil where no answer
	// says which payment it is about.
	Other http.HandlerFunc
}

// Word is one answer of a PSP, and the word it is.
type Word struct {
	Answer http.HandlerFunc
	Word   gateway.PSPWord
}

// Cancel is how a Canceller's PSP answers when a payment shall be taken back.
type Cancel struct {
	Done    http.HandlerFunc            // it never will be made
	Refused map[string]http.HandlerFunc // it cannot be taken back any more
}

// Reference is the PSP's id of the payment that is asked about.
const Reference = "psp-1"

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
		Payer:    gateway.PayerDevice{IP: "198.51.100.7", UserAgent: "Mozilla/5.0 (X11; Linux x86_64)"},
	}
	for i, description := range []string{"Viaggio di istruzione 3B", "Assicurazione"} {
		o.Notices = append(o.Notices, gateway.OrderNotice{
			School: "80014480828", SchoolName: "IC 6 Grosseto", Number: iuv.New(seg, uint64(i)), Amount: 1650, Description: description,
			Token: fmt.Sprintf("%032x", 0xcafe00+i),
		})
	}
	return o
}

// New is a Set with the one PSP, whose pages are on its own host and on
// pagine.example; change may change its entry of the catalogue.
func New(t testing.TB, driver connectors.Driver, endpoint string, logs io.Writer, change ...func(*connectors.PSP)) *connectors.Set {
	t.Helper()
	entry := connectors.PSP{
		ID: PSP, Name: "Banca Uno", Methods: []gateway.Method{gateway.MethodCard}, Connector: driver.Name,
		Endpoint: endpoint, SecretEnv: "SECRET", Fees: []connectors.Band{{Fee: 100}}, PageHosts: []string{"pagine.example"},
		Node: &connectors.NodePeer{Broker: "97735020584", Channel: "97735020584_01", PasswordEnv: "SECRET"},
	}
	for _, c := range change {
		c(&entry)
	}
	set, err := connectors.New(connectors.Config{
		Catalogue: connectors.Catalogue{PSPs: []connectors.PSP{entry}},
		Drivers:   []connectors.Driver{driver}, AllowPrivate: true,
		Getenv: func(string) string { return Secret }, Now: func() time.Time { return Now },
		Log: slog.New(slog.NewTextHandler(logs, nil)), Registerer: prometheus.NewRegistry(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// set is a Set of the fixture's PSP.
func (f Fixture) set(t testing.TB, endpoint string, logs io.Writer) *connectors.Set {
	t.Helper()
	return New(t, f.Driver, endpoint, logs, func(p *connectors.PSP) { p.Options = f.Options })
}

// Run is the suite; fixture is called once for each of its tests. A connector
// that can be asked, or take back, and whose fixture does not say how, fails it.
func Run(t *testing.T, fixture func(t *testing.T) Fixture) {
	t.Run("Start", func(t *testing.T) { runStart(t, fixture) })
	f := fixture(t)
	if f.Callback != nil {
		t.Run("Callback", func(t *testing.T) { runCallback(t, fixture) })
		t.Run("Answer", func(t *testing.T) { runAnswer(t, fixture) })
	}
	can := f.set(t, "https://psp.example", io.Discard).Abilities(PSP)
	if can.Ask != (f.Ask.Words != nil) {
		t.Errorf("it can be asked: %t; the fixture says how: %t", can.Ask, f.Ask.Words != nil)
	} else if can.Ask {
		t.Run("Ask", func(t *testing.T) { runAsk(t, fixture) })
	}
	if can.Cancel != (f.Cancel.Done != nil) {
		t.Errorf("it takes back: %t; the fixture says how: %t", can.Cancel, f.Cancel.Done != nil)
	} else if can.Cancel {
		t.Run("Cancel", func(t *testing.T) { runCancel(t, fixture) })
	}
	if can.Refund != (f.Refund.Done != nil) {
		t.Errorf("it gives back: %t; the fixture says how: %t", can.Refund, f.Refund.Done != nil)
	} else if can.Refund {
		t.Run("Refund", func(t *testing.T) { runRefund(t, fixture) })
	}
}

const goodPage = "https://pagine.example/p/1"

// failure is one way in which an answer can fail, whatever was asked, and the
// errors it is.
type failure struct {
	name   string
	answer http.HandlerFunc
	want   []error
}

var (
	unknown     = []error{gateway.ErrOutcomeUnknown}
	unavailable = []error{gateway.ErrPSPUnavailable}
)

func failures() []failure {
	answer := func(status int, contentType, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	return []failure{
		{"400 of something else", answer(400, "text/html", "<h1>Bad Request</h1>"), unknown},
		{"404 of the gate", answer(404, "application/json", `{"statusCode":404,"message":"Resource not found"}`), unknown},
		{"key refused", answer(401, "application/json", `{}`), unavailable},
		{"forbidden", answer(403, "text/plain", ""), unavailable},
		{"too many", answer(429, "application/json", `{}`), unknown},
		{"500", answer(500, "application/json", `{}`), unknown},
		{"503", answer(503, "text/plain", ""), unknown},
		{"hang", func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // only then does the server see the client go
			<-r.Context().Done()
		}, []error{gateway.ErrOutcomeUnknown, context.DeadlineExceeded}},
		{"cut before the work", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, unknown},
		{"cut in the answer", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", "500")
			_, _ = io.WriteString(w, `{"url":`)
		}, unknown},
		{"unreadable", answer(200, "application/json", "nope"), unknown},
		{"of no meaning", answer(200, "application/json", "{}"), unknown},
		{"null", answer(200, "application/json", "null"), unknown},
		{"empty", answer(200, "", ""), unknown},
		{"huge", answer(200, "application/json", strings.Repeat("[", 70<<10)), unknown},
		{"huge refusal", answer(400, "application/problem+json", `{"title":"`+strings.Repeat("x", 70<<10)+`"}`), unknown},
		{"sent elsewhere", answer(307, "text/plain", ""), unknown},
	}
}

// hurry gives a call that hangs a second.
func hurry(t *testing.T, want []error) context.Context {
	if !slices.Contains(want, context.DeadlineExceeded) {
		return t.Context()
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	t.Cleanup(cancel)
	return ctx
}

// serve runs a PSP, and counts what it is asked.
func serve(t *testing.T, psp http.HandlerFunc) (address string, calls *atomic.Int32) {
	calls = new(atomic.Int32)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		psp(w, r)
	}))
	t.Cleanup(srv.Close)
	return srv.URL, calls
}

func runStart(t *testing.T, fixture func(t *testing.T) Fixture) {
	page := func(address string) func(Fixture) http.HandlerFunc {
		return func(f Fixture) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) { f.Accept(w, r, address) }
		}
	}
	cases := []struct {
		name string
		psp  func(Fixture) http.HandlerFunc
		want []error // none: a good start
	}{
		{"ok", page(goodPage), nil},
		{"refuse", func(f Fixture) http.HandlerFunc { return f.Refuse }, []error{gateway.ErrRefused}},
		{"cut after the work", func(f Fixture) http.HandlerFunc {
			return func(_ http.ResponseWriter, r *http.Request) {
				f.Accept(httptest.NewRecorder(), r, goodPage)
				panic(http.ErrAbortHandler)
			}
		}, unknown},
		{"foreign page", page("https://evil.example/p/1"), []error{gateway.ErrOutcomeUnknown, connectors.ErrForeignPage}},
		{"page that looks like its own", page("https://pagine.example@evil.example/"), []error{gateway.ErrOutcomeUnknown, connectors.ErrForeignPage}},
		{"page without encryption", page("ftp://pagine.example/"), []error{gateway.ErrOutcomeUnknown, connectors.ErrForeignPage}},
		{"no page", page(""), []error{gateway.ErrOutcomeUnknown, connectors.ErrForeignPage}},
	}
	for _, c := range failures() {
		cases = append(cases, struct {
			name string
			psp  func(Fixture) http.HandlerFunc
			want []error
		}{c.name, func(Fixture) http.HandlerFunc { return c.answer }, c.want})
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := fixture(t)
			var calls atomic.Int32
			psp := c.psp(f)
			address, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPost { // a question is no order
					calls.Add(1)
				}
				psp(w, r)
			})
			var logs strings.Builder
			started, err := f.set(t, address, &logs).Start(hurry(t, c.want), PSP, Order(t))
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
			checkKind(t, err, c.want...)
			if started != (gateway.Started{}) {
				t.Errorf("Start gave %+v beside an error", started)
			}
		})
	}
	t.Run("no connection", func(t *testing.T) {
		t.Parallel()
		gone := httptest.NewServer(nil)
		gone.Close()
		started, err := fixture(t).set(t, gone.URL, io.Discard).Start(t.Context(), PSP, Order(t))
		checkKind(t, err, unavailable...)
		if started != (gateway.Started{}) {
			t.Errorf("Start gave %+v beside an error", started)
		}
	})
}

// checkKind wants exactly one of the three kinds.
func checkKind(t *testing.T, err error, want ...error) {
	t.Helper()
	for _, w := range want {
		if !errors.Is(err, w) {
			t.Errorf("error %v, want %v", err, w)
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
}

// checkSilence wants nothing of the order, and no secret, in a log or an error.
func checkSilence(t *testing.T, logs string, err error) {
	t.Helper()
	told := logs
	if err != nil {
		told += err.Error()
	}
	o := Order(t)
	for _, s := range []string{
		Secret, o.Email, o.Notices[0].Number.String(), o.Notices[0].Description, o.Notices[0].SchoolName, o.Notices[0].Token, o.Payer.IP, Reference,
	} {
		if strings.Contains(told, s) {
			t.Errorf("%q was told: %s", s, told)
		}
	}
}

// runAsk holds a Poller to this: only the PSP's own clear word on this payment
// is one, and nothing that goes wrong is a no.
func runAsk(t *testing.T, fixture func(t *testing.T) Fixture) {
	pay := gateway.Payment{Attempt: Attempt, Reference: Reference, Method: gateway.MethodCard}
	for name := range fixture(t).Ask.Words {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := fixture(t)
			w := f.Ask.Words[name]
			address, calls := serve(t, w.Answer)
			var logs strings.Builder
			set := f.set(t, address, &logs)
			e, err := set.Ask(t.Context(), PSP, pay)
			checkSilence(t, logs.String(), err)
			if n := calls.Load(); n != 1 {
				t.Errorf("asked %d times, want once", n)
			}
			if err != nil || e.Word != w.Word {
				t.Fatalf("Ask = %+v, %v; want the word %s", e, err, w.Word)
			}
			if e.Word == gateway.WordOpen {
				return
			}
			if e.PSP != PSP || e.Attempt != Attempt || e.ID == "" || e.Reference != "" && e.Reference != Reference {
				t.Errorf("event %+v", e)
			}
			if again, err := set.Ask(t.Context(), PSP, pay); err != nil || again.ID != e.ID || again.Word != e.Word {
				t.Errorf("the same again is %+v, %v; want the id %s", again, err, e.ID)
			}
			for other, o := range f.Ask.Words {
				if o.Word == w.Word || o.Word == gateway.WordOpen {
					continue
				}
				address, _ := serve(t, o.Answer)
				if e2, err := f.set(t, address, io.Discard).Ask(t.Context(), PSP, pay); err != nil || e2.ID == e.ID {
					t.Errorf("%s has the id %q too, %v", other, e2.ID, err)
				}
			}
		})
	}
	cases := failures()
	if other := fixture(t).Ask.Other; other != nil {
		cases = append(cases, failure{"another payment", other, unknown})
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			address, _ := serve(t, c.answer)
			var logs strings.Builder
			e, err := fixture(t).set(t, address, &logs).Ask(hurry(t, c.want), PSP, pay)
			checkSilence(t, logs.String(), err)
			checkKind(t, err, c.want...)
			if !reflect.DeepEqual(e, gateway.PSPEvent{}) {
				t.Errorf("Ask gave %+v beside an error", e)
			}
		})
	}
	for name, word := range fixture(t).Ask.Words {
		if word.Word == gateway.WordOpen {
			continue
		}
		for _, status := range []int{http.StatusFound, http.StatusInternalServerError} {
			t.Run(fmt.Sprintf("%s under a %d", name, status), func(t *testing.T) {
				t.Parallel()
				f := fixture(t)
				address, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
					said := httptest.NewRecorder()
					f.Ask.Words[name].Answer(said, r)
					maps.Copy(w.Header(), said.Header())
					w.WriteHeader(status)
					_, _ = w.Write(said.Body.Bytes())
				})
				if e, err := f.set(t, address, io.Discard).Ask(t.Context(), PSP, pay); err == nil && e.Word != gateway.WordOpen {
					t.Errorf("Ask = %+v, want an error or nothing decided", e)
				}
			})
		}
	}
	t.Run("refused", func(t *testing.T) {
		t.Parallel()
		f := fixture(t)
		address, _ := serve(t, f.Refuse)
		// A no to the question is no word on the payment.
		if e, err := f.set(t, address, io.Discard).Ask(t.Context(), PSP, pay); err == nil && e.Word != gateway.WordOpen {
			t.Errorf("Ask = %+v, want an error or nothing decided", e)
		}
	})
}

// runCancel holds a Canceller to this: a payment is gone only when the PSP says
// so.
func runCancel(t *testing.T, fixture func(t *testing.T) Fixture) {
	pay := gateway.Payment{Attempt: Attempt, Reference: Reference, Method: gateway.MethodCard}
	cases := append(failures(), failure{name: "done", answer: fixture(t).Cancel.Done})
	for name, answer := range fixture(t).Cancel.Refused {
		cases = append(cases, failure{name, answer, []error{gateway.ErrRefused}})
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			address, calls := serve(t, c.answer)
			var logs strings.Builder
			err := fixture(t).set(t, address, &logs).Cancel(hurry(t, c.want), PSP, pay)
			checkSilence(t, logs.String(), err)
			if n := calls.Load(); n != 1 {
				t.Errorf("called %d times, want once", n)
			}
			if c.want == nil {
				if err != nil {
					t.Errorf("Cancel: %v", err)
				}
				return
			}
			checkKind(t, err, c.want...)
		})
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
			set := f.set(t, "https://psp.example", io.Discard)
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
			set := f.set(t, "https://psp.example", io.Discard)
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
	set := f.set(t, "https://psp.example", io.Discard)
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
