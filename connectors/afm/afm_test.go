// SPDX-License-Identifier: Apache-2.0

package afm

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/money"
)

const key = "subscription-key"

var notices = []gateway.OfferNotice{
	{School: "80014480828", Amount: 1650, Transfers: []gateway.OfferTransfer{{School: "80014480828", Taxonomy: "9/0801100AP/"}}},
	{School: "80015010723", Amount: 2000, Transfers: []gateway.OfferTransfer{
		{School: "80015010723", Taxonomy: "9/0801101AP/"}, {School: "80015010723", Taxonomy: "9/0801101AP/", Stamp: true},
	}},
}

// rig is a client and the calculator it asks.
type rig struct {
	*Client
	calls atomic.Int32
	logs  strings.Builder

	mu     sync.Mutex
	now    time.Time
	answer http.HandlerFunc
}

func newRig(t *testing.T, answer http.HandlerFunc, change ...func(*Config)) *rig {
	t.Helper()
	r := &rig{answer: answer, now: time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.calls.Add(1)
		r.mu.Lock()
		answer := r.answer
		r.mu.Unlock()
		answer(w, req)
	}))
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	t.Cleanup(srv.Close)
	address, err := ParseURL(srv.URL+"/afm/calculator-service/v2/", true)
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{
		URL: address, Key: key, AllowPrivate: true, Registerer: prometheus.NewRegistry(), Budget: 5 * time.Second,
		Now: func() time.Time {
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.now
		},
		Log: slog.New(slog.NewTextHandler(&r.logs, nil)),
	}
	for _, f := range change {
		f(&cfg)
	}
	if r.Client, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) says(answer http.HandlerFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

func (r *rig) advance(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = r.now.Add(d)
}

func (r *rig) ask(ctx context.Context) map[gateway.PSPID]money.Cents {
	return r.Fees(ctx, gateway.MethodCard, []gateway.PSPID{"CARTASERENA", "BANCADUE"}, notices)
}

func (r *rig) count(outcome string) int {
	return int(testutil.ToFloat64(r.answers.WithLabelValues(outcome)))
}

func text(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// option is one bundle as the calculator tells it.
func option(psp, method, fees string) string {
	return `{"idPsp":"` + psp + `","paymentMethod":"` + method + `","touchpoint":"CHECKOUT","idBundle":"b1","bundleName":"Base","onUs":false,"fees":[]` + fees + `}`
}

func options(list ...string) string {
	return `{"belowThreshold":false,"bundleOptions":[` + strings.Join(list, ",") + `]}`
}

// good is 1.10 euro for Carta Serena.
var good = options(option("CARTASERENA", "CP", `,"taxPayerFee":120,"actualPayerFee":110`))

func schema(t *testing.T, name string) *openapi3.Schema {
	t.Helper()
	root, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
			break
		}
		root = filepath.Dir(root)
	}
	doc, err := openapi3.NewLoader().LoadFromFile(filepath.Join(root, "..", "shared", "pagopa", "afm-calculator", "openapi-v2.json"))
	if err != nil {
		if os.Getenv("CI") != "" || os.Getenv("NODOGATE_TEST_STRICT") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	return doc.Components.Schemas[name].Value
}

func valid(t *testing.T, name, body string) error {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		t.Fatal(err)
	}
	return schema(t, name).VisitJSON(v, openapi3.MultiErrors())
}

func TestRequest(t *testing.T) {
	t.Parallel()
	var got, query, subscription, path string
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			t.Error(err)
		}
		got, query, path, subscription = string(body), req.URL.RawQuery, req.Method+" "+req.URL.Path, req.Header.Get("Ocp-Apim-Subscription-Key")
		text(200, good)(w, req)
	})
	fees := r.ask(t.Context())
	want := `{"paymentMethod":"CP","touchpoint":"CHECKOUT","idPspList":[{"idPsp":"BANCADUE"},{"idPsp":"CARTASERENA"}],"paymentNotice":[` +
		`{"paymentAmount":1650,"primaryCreditorInstitution":"80014480828","transferList":[{"creditorInstitution":"80014480828","transferCategory":"9/0801100AP/"}]},` +
		`{"paymentAmount":2000,"primaryCreditorInstitution":"80015010723","transferList":[{"creditorInstitution":"80015010723","transferCategory":"9/0801101AP/"},` +
		`{"creditorInstitution":"80015010723","transferCategory":"9/0801101AP/","digitalStamp":true}]}]}`
	if got != want || path != "POST /afm/calculator-service/v2/fees" || subscription != key || query != "allCcp=true&maxOccurrences=20&orderBy=fee" {
		t.Errorf("sent %s?%s with the key %q:\n%s\nwant\n%s", path, query, subscription, got, want)
	}
	if want := (map[gateway.PSPID]money.Cents{"CARTASERENA": 110}); !maps.Equal(fees, want) {
		t.Errorf("Fees = %v, want %v", fees, want)
	}
	if strings.Contains(r.logs.String(), key) || strings.Contains(r.logs.String(), "80014480828") {
		t.Errorf("logged: %s", r.logs.String())
	}
}

func TestMessagesAreThoseOfTheOpenAPI(t *testing.T) {
	t.Parallel()
	for _, method := range gateway.Methods {
		body, err := json.Marshal(newRequest(method, []string{"A", "B"}, notices))
		if err != nil {
			t.Fatal(err)
		}
		if err := valid(t, "PaymentOptionMulti", string(body)); err != nil {
			t.Errorf("%s: %v", method, err)
		}
		if methods[method] == "" {
			t.Errorf("method %s has no code", method)
		}
	}
	if err := valid(t, "CalculatorMultiBundleOption", good); err != nil {
		t.Error(err)
	}
	// Every field we write and read has that name there.
	for name, v := range map[string]any{
		"PaymentOptionMulti": paymentOptionMulti{}, "PspSearchCriteria": pspSearchCriteria{}, "PaymentNoticeItem": paymentNoticeItem{},
		"TransferListItem": transferListItem{}, "CalculatorMultiBundleOption": bundleOption{}, "CalculatorMultiTransfer": bundle{},
	} {
		properties := schema(t, name).Properties
		typ := reflect.TypeOf(v)
		for i := range typ.NumField() {
			field, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
			if properties[field] == nil {
				t.Errorf("%s has no %s", name, field)
			}
		}
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	card := func(fees string) string { return option("CARTASERENA", "CP", fees) }
	for _, c := range []struct {
		name    string
		answer  http.HandlerFunc
		want    map[gateway.PSPID]money.Cents
		outcome string
	}{
		{"good", text(200, good), map[gateway.PSPID]money.Cents{"CARTASERENA": 110}, "ok"},
		{"free", text(200, options(card(`,"taxPayerFee":120,"actualPayerFee":0`))), map[gateway.PSPID]money.Cents{"CARTASERENA": 0}, "ok"},
		{"what the creditor bears is left out", text(200, options(card(`,"taxPayerFee":120`))), map[gateway.PSPID]money.Cents{"CARTASERENA": 120}, "ok"},
		{"the cheapest of a PSP's", text(200, options(card(`,"taxPayerFee":120`), card(`,"taxPayerFee":90`), card(`,"taxPayerFee":95`))), map[gateway.PSPID]money.Cents{"CARTASERENA": 90}, "ok"},
		{"for any method", text(200, options(option("BANCADUE", "ANY", `,"taxPayerFee":70`))), map[gateway.PSPID]money.Cents{"BANCADUE": 70}, "ok"},
		{"for another method", text(200, options(option("BANCADUE", "PPAL", `,"taxPayerFee":70`))), nil, "ok"},
		{"of a PSP nobody asked about", text(200, options(option("ALTRA", "CP", `,"taxPayerFee":70`), card(`,"taxPayerFee":80`))), map[gateway.PSPID]money.Cents{"CARTASERENA": 80}, "ok"},
		{"no bundle", text(200, options()), nil, "ok"},
		{"less than nothing", text(200, options(card(`,"taxPayerFee":-1`))), nil, "nonsense"},
		{"euro for cents", text(200, options(card(`,"taxPayerFee":1.20`))), nil, "nonsense"},
		{"a text", text(200, options(card(`,"taxPayerFee":"120"`))), nil, "nonsense"},
		{"a fortune", text(200, options(card(`,"taxPayerFee":10001`))), nil, "nonsense"},
		{"no fee", text(200, options(card(""))), nil, "nonsense"},
		{"one good and one bad", text(200, options(card(`,"taxPayerFee":120`), option("BANCADUE", "CP", `,"taxPayerFee":-1`))), nil, "nonsense"},
		{"no PSP", text(200, options(option("", "CP", `,"taxPayerFee":120`))), nil, "nonsense"},
		{"empty", text(200, ""), nil, "nonsense"},
		{"no JSON", text(200, "<html>"), nil, "nonsense"},
		{"nothing said", text(200, "{}"), nil, "nonsense"},
		{"null", text(200, "null"), nil, "nonsense"},
		{"a list", text(200, "[]"), nil, "nonsense"},
		{"huge", text(200, strings.Repeat("[", 70<<10)), nil, "unavailable"},
		{"refused", text(400, `{"title":"Bad Request","status":400}`), nil, "refused"},
		{"not found", text(404, `{}`), nil, "refused"},
		{"cannot be processed", text(422, `{}`), nil, "refused"},
		{"key refused", text(401, ``), nil, "unavailable"},
		{"too many", text(429, ``), nil, "unavailable"},
		{"500", text(500, good), nil, "unavailable"},
		{"sent elsewhere", text(307, good), nil, "unavailable"},
		{"cut", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, nil, "unavailable"},
		{"cut in the answer", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "5000")
			_, _ = io.WriteString(w, good)
		}, nil, "unavailable"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, c.answer)
			if got := r.ask(t.Context()); len(got) != len(c.want) || len(c.want) > 0 && !maps.Equal(got, c.want) {
				t.Errorf("Fees = %v, want %v", got, c.want)
			}
			for _, o := range outcomes {
				want := 0
				if o == c.outcome {
					want = 1
				}
				if got := r.count(o); got != want {
					t.Errorf("%s was counted %d times, want %d", o, got, want)
				}
			}
			if n := r.calls.Load(); n != 1 {
				t.Errorf("%d calls, want 1", n)
			}
		})
	}
}

func TestSilenceCostsTheBudgetAndNoMore(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(_ http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(io.Discard, req.Body)
		<-req.Context().Done()
	}, func(c *Config) { c.Budget = 50 * time.Millisecond })
	begin := time.Now()
	if got := r.ask(t.Context()); len(got) != 0 {
		t.Errorf("Fees = %v", got)
	}
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("it took %s", took)
	}
	if r.count("unavailable") != 1 {
		t.Error("silence was not counted")
	}
}

func TestBreaker(t *testing.T) {
	t.Parallel()
	r := newRig(t, text(500, ""))
	for range 8 {
		r.ask(t.Context())
	}
	if n := r.calls.Load(); n != failuresInRow || r.count("open") != 3 {
		t.Errorf("%d calls, %d kept back; want %d and 3", n, r.count("open"), failuresInRow)
	}
	// A no is an answer.
	r = newRig(t, text(422, "{}"))
	for range 8 {
		r.ask(t.Context())
	}
	if n := r.calls.Load(); n != 8 {
		t.Errorf("%d calls after refusals, want 8", n)
	}
}

func TestCopies(t *testing.T) {
	t.Parallel()
	r := newRig(t, text(200, good))
	inTx := gateway.ContextWithTx(t.Context(), struct{ gateway.Tx }{})
	want := func(what string, ctx context.Context, fee money.Cents, calls int) {
		t.Helper()
		got := r.ask(ctx)
		if there := fee > 0; got["CARTASERENA"] != fee || there != (len(got) == 1) || int(r.calls.Load()) != calls {
			t.Errorf("%s: %v after %d calls, want %d after %d", what, got, r.calls.Load(), fee, calls)
		}
	}
	want("inside a transaction, unasked", inTx, 0, 0)
	want("first", t.Context(), 110, 1)
	want("again", t.Context(), 110, 1)
	want("inside a transaction", inTx, 110, 1)
	r.advance(freshFor)
	r.says(text(200, options(option("CARTASERENA", "CP", `,"taxPayerFee":130`))))
	want("old, inside a transaction", inTx, 110, 1)
	want("old", t.Context(), 130, 2)
	r.says(text(500, ""))
	r.advance(freshFor)
	want("old, and the calculator is away", t.Context(), 130, 3)
	if r.count("stale") != 1 {
		t.Errorf("stale was counted %d times", r.count("stale"))
	}
	r.advance(usableFor)
	want("too old", t.Context(), 0, 4)
	want("too old, inside a transaction", inTx, 0, 4)

	// Another amount, another method, another creditor are other carts.
	r.says(text(200, good))
	other := []gateway.OfferNotice{notices[0]}
	before := r.calls.Load()
	for range 2 {
		r.Fees(t.Context(), gateway.MethodCard, []gateway.PSPID{"CARTASERENA"}, other)
		r.Fees(t.Context(), gateway.MethodAccountDebit, []gateway.PSPID{"CARTASERENA"}, other)
		other[0].Amount++
	}
	if got := r.calls.Load() - before; got != 4 {
		t.Errorf("%d calls for 4 carts", got)
	}
	for i := range maxCopies + 10 {
		r.keep(string(rune(i)), nil)
	}
	if n := len(r.copies); n > maxCopies {
		t.Errorf("%d copies are kept, want %d at most", n, maxCopies)
	}
}

func TestManyAskAtOnce(t *testing.T) {
	t.Parallel()
	gate := make(chan struct{})
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		<-gate
		text(200, good)(w, req)
	})
	gone, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() {
			ctx := t.Context()
			if i == 0 {
				ctx = gone
			}
			if got := r.ask(ctx); i > 0 && got["CARTASERENA"] != 110 {
				t.Errorf("Fees = %v", got)
			}
		})
	}
	cancel()
	close(gate)
	wg.Wait()
	if n := r.calls.Load(); n > 10 || n < 1 {
		t.Errorf("%d calls", n)
	}
}

func TestNamesOfAnImportedCatalogue(t *testing.T) {
	t.Parallel()
	r := newRig(t, text(200, options(option("ABI00000", "CP", `,"taxPayerFee":100`))))
	got := r.Fees(t.Context(), gateway.MethodCard, []gateway.PSPID{"ABI00000-card", "ABI00000-postal_bulletin"}, notices)
	if want := (map[gateway.PSPID]money.Cents{"ABI00000-card": 100}); !maps.Equal(got, want) {
		t.Errorf("Fees = %v, want %v", got, want)
	}
	for name, c := range map[string]struct {
		psps    []gateway.PSPID
		notices []gateway.OfferNotice
	}{"no PSP": {nil, notices}, "no notice": {[]gateway.PSPID{"A"}, nil}} {
		if got := r.Fees(t.Context(), gateway.MethodCard, c.psps, c.notices); len(got) != 0 || r.calls.Load() != 1 {
			t.Errorf("%s: %v after %d calls", name, got, r.calls.Load())
		}
	}
}

func TestParseURL(t *testing.T) {
	t.Parallel()
	for address, ok := range map[string]bool{
		"https://api.platform.pagopa.it/afm/calculator-service/v2": true, "https://h/": true, "http://127.0.0.1:1/afm": false,
		"": false, "api.platform.pagopa.it": false, "ftp://h/": false, "https://u:p@h/": false, "https://h/?a=1": false, "https://h/#a": false, "https://": false,
	} {
		u, err := ParseURL(address, false)
		if (err == nil) != ok || u != nil && strings.HasSuffix(u.Path, "/") || err != nil && strings.Contains(err.Error(), "u:p") {
			t.Errorf("ParseURL(%q) = %v, %v", address, u, err)
		}
	}
	if _, err := ParseURL("http://127.0.0.1:1/afm", true); err != nil {
		t.Error(err)
	}
	if _, err := New(Config{URL: &url.URL{}}); err == nil {
		t.Error("New without its parts: taken")
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte(options()))
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := read(body, `{"paymentMethod":"CP"}`, []string{"CARTASERENA"})
		for psp, fee := range got {
			if err != nil || psp != "CARTASERENA" || fee < 0 || fee > maxFee {
				t.Errorf("read = %v, %v", got, err)
			}
		}
	})
}
