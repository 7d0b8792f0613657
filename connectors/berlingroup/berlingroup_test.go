// SPDX-License-Identifier: Apache-2.0

package berlingroup

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/nodogate/nodogate/connectors"
	"github.com/nodogate/nodogate/connectors/connectortest"
	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/money"
)

const (
	attempt   = connectortest.Attempt
	reference = connectortest.Reference
	iban      = "IT60X0542811101000000123456"
)

func options(change ...string) map[string]string {
	o := map[string]string{
		optProduct: "instant-sepa-credit-transfers", optCreditorIBAN: iban, optCreditorName: "Banca Tre Incassi", optTPPIP: "192.0.2.10",
	}
	for i := 0; i < len(change); i += 2 {
		o[change[i]] = change[i+1]
		if change[i+1] == "" {
			delete(o, change[i])
		}
	}
	return o
}

// newSet is a Set of one bank with these options beside the usual.
func newSet(t *testing.T, endpoint string, logs io.Writer, change ...string) *connectors.Set {
	t.Helper()
	return connectortest.New(t, Driver, endpoint, logs, func(p *connectors.PSP) { p.Options = options(change...) })
}

// reply answers in JSON.
func reply(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Request-ID", r.Header.Get("X-Request-ID"))
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func made(links string) http.HandlerFunc {
	return reply(201, `{"transactionStatus":"RCVD","paymentId":"`+reference+`","_links":`+links+`}`)
}

func tppError(status int, code string) http.HandlerFunc {
	return reply(status, `{"tppMessages":[{"category":"ERROR","code":"`+code+`","text":"cafe00 of famiglia@posta.example"}]}`)
}

func says(status string) http.HandlerFunc { return reply(200, `{"transactionStatus":"`+status+`"}`) }

func TestConnector(t *testing.T) {
	t.Parallel()
	words := map[string]connectortest.Word{}
	for word, codes := range map[gateway.PSPWord][]string{
		gateway.WordAuthorised: {"ACSC", "ACCC"},
		gateway.WordNo:         {"RJCT", "CANC"},
		// NEWW is a code of tomorrow.
		gateway.WordOpen: {"RCVD", "PDNG", "ACTC", "ACCP", "ACFC", "ACWC", "ACWP", "PATC", "PART", "ACSP", "NEWW"},
	} {
		for _, code := range codes {
			words[code] = connectortest.Word{Answer: says(code), Word: word}
		}
	}
	connectortest.Run(t, func(t *testing.T) connectortest.Fixture {
		return connectortest.Fixture{
			Driver: Driver, Options: options(),
			Accept: func(w http.ResponseWriter, r *http.Request, page string) {
				made(fmt.Sprintf(`{"scaRedirect":{"href":%q},"self":{"href":"/v1/x"}}`, page))(w, r)
			},
			Refuse: tppError(400, "PAYMENT_FAILED"),
			Ask: connectortest.Ask{Words: words, Other: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("X-Request-ID", "99391c7e-ad88-49ec-a2ad-99ddcb1f7721")
				io.WriteString(w, `{"transactionStatus":"RJCT"}`)
			}},
			Cancel: connectortest.Cancel{
				Done: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) },
				Refused: map[string]http.HandlerFunc{
					"too late":               tppError(405, "CANCELLATION_INVALID"),
					"the payer must confirm": reply(202, `{"transactionStatus":"ACTC","_links":{"startAuthorisation":{"href":"/v1/x"}}}`),
				},
			},
		}
	})
}

// request is what a bank saw.
type request struct {
	method, uri string
	header      http.Header
	body        []byte
}

// bank records what it is asked, and answers by a script: one answer after the
// other, the last for ever.
type bank struct {
	mu     sync.Mutex
	seen   []request
	script []http.HandlerFunc
}

func newBank(t *testing.T, script ...http.HandlerFunc) (*bank, string) {
	b := &bank{script: script}
	srv := httptest.NewServer(b)
	t.Cleanup(srv.Close)
	return b, srv.URL
}

func (b *bank) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	b.mu.Lock()
	n := len(b.seen)
	b.seen = append(b.seen, request{r.Method, r.RequestURI, r.Header, body})
	b.mu.Unlock()
	b.script[min(n, len(b.script)-1)](w, r)
}

func (b *bank) requests() []request {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.seen)
}

const page = `{"scaRedirect":{"href":"https://pagine.example/p/1"}}`

func TestStartSendsThePayment(t *testing.T) {
	t.Parallel()
	b, address := newBank(t, made(page))
	o := connectortest.Order(t)
	started, err := newSet(t, address+"/psd2/", io.Discard).Start(t.Context(), connectortest.PSP, o)
	want := gateway.Started{Redirect: "https://pagine.example/p/1", Reference: reference}
	if err != nil || started != want {
		t.Fatalf("Start = %+v, %v; want %+v", started, err, want)
	}
	got := b.requests()[0]
	if got.method != "POST" || got.uri != "/psd2/v1/payments/instant-sepa-credit-transfers" {
		t.Errorf("%s %s", got.method, got.uri)
	}
	for name, want := range map[string]string{
		"Content-Type": "application/json", "Accept": "application/json",
		"X-Request-Id":                         requestID(attempt, "start"),
		"Psu-Ip-Address":                       "198.51.100.7",
		"Psu-User-Agent":                       "Mozilla/5.0 (X11; Linux x86_64)",
		"Tpp-Redirect-Uri":                     "https://paga.example/carrello/esito/cart1?esito=ok",
		"Tpp-Nok-Redirect-Uri":                 "https://paga.example/carrello/esito/cart1?esito=errore",
		"Tpp-Redirect-Preferred":               "true",
		"Tpp-Decoupled-Preferred":              "",
		"Tpp-Explicit-Authorisation-Preferred": "false",
		"Tpp-Notification-Uri":                 "https://paga.example/callbacks/BANCAUNO/payments/" + attempt,
		"Tpp-Notification-Content-Preferred":   "status=SCA,PROCESS,LAST",
		"Authorization":                        "",
	} {
		if v := got.header.Get(name); v != want {
			t.Errorf("%s: %q, want %q", name, v, want)
		}
	}
	var body, wantBody any
	if err := json.Unmarshal(got.body, &body); err != nil {
		t.Fatal(err)
	}
	_ = json.Unmarshal([]byte(fmt.Sprintf(`{
		"endToEndIdentification":%q, "debtorAccount":{"currency":"EUR"}, "instructedAmount":{"currency":"EUR","amount":"34.00"},
		"creditorAccount":{"iban":%q,"currency":"EUR"}, "creditorName":"Banca Tre Incassi",
		"remittanceInformationUnstructured":"/TXT/pagoPA 2 avvisi 34.00",
		"remittanceInformationUnstructuredArray":["/RFB/%s/16.50/CF/80014480828/TOKEN/%032x","/RFB/%s/16.50/CF/80014480828/TOKEN/%032x"]}`,
		attempt, iban, o.Notices[0].Number.IUV(), 0xcafe00, o.Notices[1].Number.IUV(), 0xcafe01)), &wantBody)
	if !reflect.DeepEqual(body, wantBody) {
		t.Errorf("sent\n%v\nwant\n%v", body, wantBody)
	}
}

// The same step of the same attempt has the same id, and nothing else has it.
func TestRequestID(t *testing.T) {
	t.Parallel()
	form := regexp.MustCompile(`\A[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\z`)
	seen := map[string]bool{}
	for _, a := range []string{attempt, strings.Repeat("0", 32), "no hex"} {
		for _, step := range []string{"start", "cancel", "status 1", "status 2"} {
			id := requestID(a, step)
			if !form.MatchString(id) || seen[id] || id != requestID(a, step) {
				t.Errorf("requestID(%q, %q) = %q", a, step, id)
			}
			seen[id] = true
		}
	}
	// Of RFC 9562's own kind: uuid.uuid5(uuid.UUID(attempt), "start") in Python.
	if id := requestID(attempt, "start"); id != "3bbe5e50-aff1-5990-9a03-155a4a6b4a88" {
		t.Errorf("requestID = %s", id)
	}
}

func TestPayerDevice(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, ip, want string
		options        []string
	}{
		{"IPv4", "198.51.100.7", "198.51.100.7", nil},
		{"IPv4 inside IPv6", "::ffff:198.51.100.7", "198.51.100.7", nil},
		{"nobody says", "", "192.0.2.10", nil},
		{"no address", "198.51.100.7\r\nX: 1", "192.0.2.10", nil},
		{"IPv6", "2001:db8::1", "192.0.2.10", nil},
		{"IPv6 where the bank takes it", "2001:db8::1", "2001:db8::1", []string{optPSUIPv6, "true"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b, address := newBank(t, made(page))
			o := connectortest.Order(t)
			o.Payer = gateway.PayerDevice{IP: c.ip, UserAgent: "A\r\nB\x00 è " + strings.Repeat("x", 400)}
			if _, err := newSet(t, address, io.Discard, c.options...).Start(t.Context(), connectortest.PSP, o); err != nil {
				t.Fatal(err)
			}
			h := b.requests()[0].header
			if got := h.Get("Psu-Ip-Address"); got != c.want {
				t.Errorf("PSU-IP-Address %q, want %q", got, c.want)
			}
			if got := h.Get("Psu-User-Agent"); !strings.HasPrefix(got, "AB  xxx") || len(got) != 255 {
				t.Errorf("PSU-User-Agent %q", got)
			}
		})
	}
}

func TestRemittance(t *testing.T) {
	t.Parallel()
	o := connectortest.Order(t)
	one := o.Notices[0]
	for _, c := range []struct{ description, want string }{
		{"Viaggio di istruzione 3B", "Viaggio di istruzione 3B"},
		{"Attività «perché no?» – 50€", "Attivita .perche no?. - 50."},
		{"a//b///c", "a/b/c"},
		{"/", ""},
		{"\n\x00<b>", "...b."},
		{strings.Repeat("à", 300), strings.Repeat("a", 140-len("/RFB/")-17-len("/16.50/TXT/"))},
	} {
		n := one
		n.Description = c.description
		got := remittance(gateway.Order{Notices: []gateway.OrderNotice{n}}, 1650)
		want := strings.TrimRight("/RFB/"+n.Number.IUV()+"/16.50/TXT/"+c.want, "/")
		if got != want {
			t.Errorf("%q: %q, want %q", c.description, got, want)
		}
		if sepa(got) != got || utf8.RuneCountInString(got) > maxRemittance {
			t.Errorf("%q is not what a bank takes", got)
		}
	}
	if utf8.RuneCountInString(accented) != len(plain) {
		t.Error("accented and plain differ in length")
	}
	// The longest line there can be.
	one.Amount = money.Max
	if l := line(one); len(l) > maxRemittance || sepa(l) != l {
		t.Errorf("line of %d: %s", len(l), l)
	}
}

func TestTotalTooLarge(t *testing.T) {
	t.Parallel()
	b, address := newBank(t, made(page))
	o := connectortest.Order(t)
	o.Notices[0].Amount = money.Max
	_, err := newSet(t, address, io.Discard).Start(t.Context(), connectortest.PSP, o)
	if !errors.Is(err, gateway.ErrRefused) || len(b.requests()) != 0 {
		t.Errorf("Start: %v after %d calls", err, len(b.requests()))
	}
}

func TestStartAnswers(t *testing.T) {
	t.Parallel()
	const returned = "https://paga.example/carrello/esito/cart1"
	withID := func(id string, body http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			r.Header.Set("X-Request-ID", id)
			body(w, r)
		}
	}
	auth := made(`{"startAuthorisation":{"href":"/v1/payments/p/1/authorisations"}}`)
	for _, c := range []struct {
		name    string
		options []string
		script  []http.HandlerFunc
		want    string // the page, %s being the bank's address
		err     error
		calls   int
	}{
		{"relative page", nil, []http.HandlerFunc{made(`{"scaRedirect":{"href":"/sca/1?x=y"}}`)}, "%s/sca/1?x=y", nil, 1},
		{"page beside the resource", nil, []http.HandlerFunc{made(`{"scaRedirect":{"href":"1/sca"}}`)}, "%s/v1/payments/1/sca", nil, 1},
		{"no echo of our id", nil, []http.HandlerFunc{withID("", made(page))}, "https://pagine.example/p/1", nil, 1},
		{"echo in capitals", nil, []http.HandlerFunc{withID(strings.ToUpper(requestID(attempt, "start")), made(page))}, "https://pagine.example/p/1", nil, 1},
		{"answer to another request", nil, []http.HandlerFunc{withID(requestID(attempt, "cancel"), made(page))}, "", gateway.ErrOutcomeUnknown, 1},
		{"relative foreign page", nil, []http.HandlerFunc{made(`{"scaRedirect":{"href":"//evil.example/"}}`)}, "", connectors.ErrForeignPage, 1},
		{"links of other shapes", nil, []http.HandlerFunc{made(`{"scaRedirect":{"href":"/sca"},"x":[1],"y":"z"}`)}, "%s/sca", nil, 1},
		{"rejected at once", nil, []http.HandlerFunc{reply(201, `{"transactionStatus":"RJCT","paymentId":"p","_links":{}}`)}, "", gateway.ErrRefused, 1},
		{"cancelled at once", nil, []http.HandlerFunc{reply(201, `{"transactionStatus":"CANC","paymentId":"p","_links":{}}`)}, "", gateway.ErrRefused, 1},
		{"exempted", nil, []http.HandlerFunc{reply(201, `{"transactionStatus":"ACTC","paymentId":"p","scaStatus":"exempted","_links":{}}`)}, returned, nil, 1},
		{"done at once", nil, []http.HandlerFunc{reply(201, `{"transactionStatus":"ACSC","paymentId":"p","_links":{}}`)}, returned, nil, 1},
		{"no status", nil, []http.HandlerFunc{reply(201, `{"paymentId":"p","_links":`+page+`}`)}, "", gateway.ErrOutcomeUnknown, 1},
		{"status of no form", nil, []http.HandlerFunc{reply(201, `{"transactionStatus":"rjct","paymentId":"p","_links":`+page+`}`)}, "", gateway.ErrOutcomeUnknown, 1},
		{"no paymentId", nil, []http.HandlerFunc{reply(201, `{"transactionStatus":"RCVD","_links":`+page+`}`)}, "", gateway.ErrOutcomeUnknown, 1},
		{"paymentId that climbs", nil, []http.HandlerFunc{reply(201, `{"transactionStatus":"RCVD","paymentId":"..","_links":`+page+`}`)}, "", gateway.ErrOutcomeUnknown, 1},
		{"long paymentId", nil, []http.HandlerFunc{reply(201, `{"transactionStatus":"RCVD","paymentId":"`+strings.Repeat("x", 256)+`","_links":`+page+`}`)}, "", gateway.ErrOutcomeUnknown, 1},
		{"no links", nil, []http.HandlerFunc{reply(201, `{"transactionStatus":"RCVD","paymentId":"p"}`)}, "", gateway.ErrOutcomeUnknown, 1},
		{"confirmation code", nil, []http.HandlerFunc{made(`{"scaRedirect":{"href":"/sca"},"confirmation":{"href":"/x"}}`)}, "", gateway.ErrOutcomeUnknown, 1},
		{"200 in place of 201", nil, []http.HandlerFunc{reply(200, `{"transactionStatus":"RCVD","paymentId":"p","_links":`+page+`}`)}, "", gateway.ErrOutcomeUnknown, 1},

		{"explicit start", nil, []http.HandlerFunc{auth, reply(201, `{"scaStatus":"received","authorisationId":"a","_links":`+page+`}`)}, "https://pagine.example/p/1", nil, 2},
		{"explicit start elsewhere", nil, []http.HandlerFunc{made(`{"startAuthorisation":{"href":"https://pagine.example/v1"}}`)}, "", connectors.ErrForeignPage, 1},
		{"explicit start refused", nil, []http.HandlerFunc{auth, tppError(400, "SCA_INVALID")}, "", gateway.ErrOutcomeUnknown, 2},
		{"explicit start unanswered", nil, []http.HandlerFunc{auth, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }}, "", gateway.ErrOutcomeUnknown, 2},
		{"explicit start of no sense", nil, []http.HandlerFunc{auth, reply(201, `{}`)}, "", gateway.ErrOutcomeUnknown, 2},
		{"explicit start without a page", nil, []http.HandlerFunc{auth, reply(201, `{"scaStatus":"received","_links":{}}`)}, "", gateway.ErrOutcomeUnknown, 2},

		{"decoupled", []string{optSCA, "decoupled"}, []http.HandlerFunc{made(`{"self":{"href":"/x"}}`)}, "", nil, 1},
		{"decoupled with a page all the same", []string{optSCA, "decoupled"}, []http.HandlerFunc{made(page)}, "https://pagine.example/p/1", nil, 1},

		{"payment failed", nil, []http.HandlerFunc{tppError(400, "PAYMENT_FAILED")}, "", gateway.ErrRefused, 1},
		{"unknown product", nil, []http.HandlerFunc{tppError(404, "PRODUCT_UNKNOWN")}, "", gateway.ErrRefused, 1},
		{"conflict", nil, []http.HandlerFunc{tppError(409, "STATUS_INVALID")}, "", gateway.ErrRefused, 1},
		{"only a warning", nil, []http.HandlerFunc{reply(400, `{"tppMessages":[{"category":"WARNING","code":"X"}]}`)}, "", gateway.ErrOutcomeUnknown, 1},
		{"too many", nil, []http.HandlerFunc{tppError(429, "ACCESS_EXCEEDED")}, "", gateway.ErrOutcomeUnknown, 1},
		{"sick, in its words", nil, []http.HandlerFunc{tppError(500, "INTERNAL_SERVER_ERROR")}, "", gateway.ErrOutcomeUnknown, 1},
		{"timed out, in its words", nil, []http.HandlerFunc{tppError(408, "REQUEST_TIMEOUT")}, "", gateway.ErrOutcomeUnknown, 1},
		{"bad certificate", nil, []http.HandlerFunc{tppError(401, "CERTIFICATE_EXPIRED")}, "", gateway.ErrPSPUnavailable, 1},
		{"no access", nil, []http.HandlerFunc{tppError(403, "SERVICE_BLOCKED")}, "", gateway.ErrPSPUnavailable, 1},
		{"problem", nil, []http.HandlerFunc{func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(400)
			io.WriteString(w, `{"type":"https://bank.example/p","code":"FORMAT_ERROR","detail":"famiglia@posta.example"}`)
		}}, "", gateway.ErrRefused, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b, address := newBank(t, c.script...)
			var logs strings.Builder
			started, err := newSet(t, address, &logs, c.options...).Start(t.Context(), connectortest.PSP, connectortest.Order(t))
			if n := len(b.requests()); n != c.calls {
				t.Errorf("%d calls, want %d", n, c.calls)
			}
			if strings.Contains(logs.String(), "cafe00") || strings.Contains(logs.String(), "famiglia@") {
				t.Errorf("told: %s", logs.String())
			}
			if c.err != nil {
				if !errors.Is(err, c.err) || started != (gateway.Started{}) {
					t.Errorf("Start = %+v, %v; want %v", started, err, c.err)
				}
				return
			}
			want := strings.Replace(c.want, "%s", address, 1)
			if err != nil || started.Redirect != want || started.Reference == "" {
				t.Errorf("Start = %+v, %v; want the page %s", started, err, want)
			}
		})
	}
}

func TestDecoupled(t *testing.T) {
	t.Parallel()
	b, address := newBank(t, made(`{}`))
	set := newSet(t, address, io.Discard, optSCA, "decoupled")
	if _, err := set.Start(t.Context(), connectortest.PSP, connectortest.Order(t)); err != nil {
		t.Fatal(err)
	}
	h := b.requests()[0].header
	if h.Get("TPP-Redirect-Preferred") != "false" || h.Get("TPP-Decoupled-Preferred") != "true" {
		t.Errorf("headers %v", h)
	}
	for pageless, set := range map[bool]*connectors.Set{true: set, false: newSet(t, address, io.Discard)} {
		if o := set.Offers(t.Context(), gateway.OfferRequest{Amount: 1000})[0].PSPs[0]; o.Pageless != pageless || o.Settlement != gateway.SettledByPSP {
			t.Errorf("offer %+v, want pageless %t", o, pageless)
		}
	}
}

func TestAsk(t *testing.T) {
	t.Parallel()
	b, address := newBank(t, says("ACSC"))
	set := newSet(t, address, io.Discard)
	pay := gateway.Payment{Attempt: attempt, Reference: "a/b c%2F?"}
	for _, want := range []gateway.PSPWord{gateway.WordOpen, gateway.WordAuthorised} {
		p := pay
		if want == gateway.WordOpen {
			p.Reference = "a b" // no id that a bank gave us
		} else {
			p.Reference = "a/b%2F?"
		}
		e, err := set.Ask(t.Context(), connectortest.PSP, p)
		if err != nil || e.Word != want {
			t.Errorf("Ask about %q = %+v, %v; want %s", p.Reference, e, err, want)
		}
	}
	seen := b.requests()
	if len(seen) != 1 || seen[0].method != "GET" || seen[0].uri != "/v1/payments/instant-sepa-credit-transfers/a%2Fb%252F%3F/status" {
		t.Errorf("asked %+v", seen)
	}
	if e, err := set.Ask(t.Context(), connectortest.PSP, gateway.Payment{Attempt: attempt}); err != nil || e.Word != gateway.WordOpen {
		t.Errorf("without a paymentId: %+v, %v", e, err)
	}
	if err := set.Cancel(t.Context(), connectortest.PSP, gateway.Payment{Attempt: attempt}); !errors.Is(err, gateway.ErrRefused) {
		t.Errorf("Cancel without a paymentId: %v", err)
	}
	if n := len(b.requests()); n != 1 {
		t.Errorf("%d calls, want one", n)
	}
}

func TestUnknownStatusIsTold(t *testing.T) {
	t.Parallel()
	_, address := newBank(t, says("NEWW"))
	var logs strings.Builder
	e, err := newSet(t, address, &logs).Ask(t.Context(), connectortest.PSP, gateway.Payment{Attempt: attempt, Reference: reference})
	if err != nil || e.Word != gateway.WordOpen || !strings.Contains(logs.String(), "level=WARN") || !strings.Contains(logs.String(), "NEWW") {
		t.Errorf("Ask = %+v, %v, %s", e, err, logs.String())
	}
	for _, nonsense := range []string{`{"transactionStatus":"rjct"}`, `{"transactionStatus":"RJCT "}`, `{"transactionStatus":["RJCT"]}`, `{"transactionStatus":"RJCT"}}`} {
		_, address := newBank(t, reply(200, nonsense))
		if e, err := newSet(t, address, io.Discard).Ask(t.Context(), connectortest.PSP, gateway.Payment{Attempt: attempt, Reference: reference}); !errors.Is(err, gateway.ErrOutcomeUnknown) {
			t.Errorf("%s: %+v, %v", nonsense, e, err)
		}
	}
}

// A notification proves nothing, whatever it says: it only has us ask.
func TestCallback(t *testing.T) {
	t.Parallel()
	set := newSet(t, "https://bank.example", io.Discard)
	call := func(method, path, body string) (gateway.PSPEvent, error) {
		return set.Callback(gateway.Callback{PSP: connectortest.PSP, Method: method, Path: path, Body: []byte(body)})
	}
	for _, body := range []string{"", "{}", `{"transactionStatus":"ACSC"}`, `{"transactionStatus":"RJCT","paymentId":"x"}`, "nope"} {
		e, err := call("POST", "/payments/"+attempt, body)
		if err != nil || !reflect.DeepEqual(e, gateway.PSPEvent{PSP: connectortest.PSP, Attempt: attempt, Word: gateway.WordOpen}) {
			t.Errorf("%s: %+v, %v", body, e, err)
		}
	}
	for _, c := range [][2]string{
		{"GET", "/payments/" + attempt}, {"POST", "/payments/"}, {"POST", "/payments/" + attempt + "/x"}, {"POST", "/payments/" + strings.ToUpper(attempt)},
		{"POST", "/payments/" + attempt[1:]}, {"POST", "/payments/" + attempt + "\n"}, {"POST", "/"}, {"POST", "/redirections/" + attempt + "/outcomes"},
	} {
		if e, err := call(c[0], c[1], ""); !errors.Is(err, gateway.ErrNotFound) {
			t.Errorf("%v: %+v, %v", c, e, err)
		}
	}
	for _, c := range []struct {
		err  error
		want int
	}{{nil, 204}, {gateway.ErrNotFound, 404}, {&gateway.Invalid{}, 400}, {errors.New("database is away"), 500}} {
		if status, _, body := set.Answer(connectortest.PSP, gateway.PSPEvent{}, c.err); status != c.want || len(body) != 0 {
			t.Errorf("%v: the bank is told %d %s, want %d", c.err, status, body, c.want)
		}
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change []string
		want   []string // in the error; none: it is taken
	}{
		{"as they should be", nil, nil},
		{"plain transfers", []string{optProduct, "sepa-credit-transfers"}, nil},
		{"IBAN in groups", []string{optCreditorIBAN, "IT60 X054 2811 1010 0000 0123 456"}, nil},
		{"all of them", []string{optPSUIPv6, "false", optSCA, "redirect", optTokenURL, "https://id.bank.example/token", optClientID, "us", optScope, "PIS"}, nil},
		{"none", []string{optProduct, "", optCreditorIBAN, "", optCreditorName, "", optTPPIP, ""},
			[]string{"options.product: give it", "options.creditor_iban: give it", "options.creditor_name: give it", "options.tpp_ip: give it"}},
		{"misspelt", []string{"produkt", "x"}, []string{"options.produkt: there is none"}},
		{"another product", []string{optProduct, "target-2-payments"}, []string{"options.product: "}},
		{"product that climbs", []string{optProduct, "../admin"}, []string{"options.product: "}},
		{"wrong IBAN", []string{optCreditorIBAN, "IT60X0542811101000000123457"}, []string{"options.creditor_iban: "}},
		{"name with an accent", []string{optCreditorName, "Società"}, []string{"options.creditor_name: "}},
		{"long name", []string{optCreditorName, strings.Repeat("x", 71)}, []string{"options.creditor_name: "}},
		{"IPv6 of ours", []string{optTPPIP, "2001:db8::1"}, []string{"options.tpp_ip: "}},
		{"sca of no kind", []string{optSCA, "embedded"}, []string{"options.sca: "}},
		{"psu_ipv6 of no kind", []string{optPSUIPv6, "yes"}, []string{"options.psu_ipv6: "}},
		{"token over http", []string{optTokenURL, "http://id.bank.example/token", optClientID, "us"}, []string{"options.token_url: "}},
		{"token nowhere", []string{optTokenURL, "/token", optClientID, "us"}, []string{"options.token_url: "}},
		{"token without a client", []string{optTokenURL, "https://id.bank.example/token"}, []string{"options.client_id: "}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := Driver.New(connectors.DriverConfig{
				Endpoint: &url.URL{Scheme: "https", Host: "bank.example"}, Options: options(c.change...), Log: slog.New(slog.DiscardHandler), Now: time.Now,
			})
			if (err == nil) != (c.want == nil) {
				t.Fatalf("New: %v", err)
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("New: %v, want %q in it", err, w)
				}
			}
		})
	}
}

// token answers a request for a token.
func token(body string, status int) http.HandlerFunc { return reply(status, body) }

func TestToken(t *testing.T) {
	t.Parallel()
	const good = `{"access_token":"abc","token_type":"Bearer","expires_in":300}`
	pay := gateway.Payment{Attempt: attempt, Reference: reference}
	run := func(t *testing.T, secret string, tokens []http.HandlerFunc, answers ...http.HandlerFunc) (*connectors.Set, *bank, *bank) {
		idp, at := newBank(t, tokens...)
		b, address := newBank(t, answers...)
		set := connectortest.New(t, Driver, address, io.Discard, func(p *connectors.PSP) {
			p.Options = options(optTokenURL, at+"/token", optClientID, "us:1", optScope, "PIS")
			if secret == "" {
				p.SecretEnv = ""
			}
		})
		return set, idp, b
	}
	t.Run("one for many calls", func(t *testing.T) {
		t.Parallel()
		set, idp, b := run(t, connectortest.Secret, []http.HandlerFunc{token(good, 200)}, made(page), says("RCVD"))
		if _, err := set.Start(t.Context(), connectortest.PSP, connectortest.Order(t)); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if _, err := set.Ask(t.Context(), connectortest.PSP, pay); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		asked := idp.requests()
		if len(asked) != 1 {
			t.Fatalf("%d tokens, want one", len(asked))
		}
		form, err := url.ParseQuery(string(asked[0].body))
		if err != nil || !reflect.DeepEqual(form, url.Values{"grant_type": {"client_credentials"}, "scope": {"PIS"}}) {
			t.Errorf("form %s", asked[0].body)
		}
		r := http.Request{Header: asked[0].header}
		if user, pass, ok := r.BasicAuth(); !ok || user != "us%3A1" || pass != url.QueryEscape(connectortest.Secret) {
			t.Errorf("credentials %q %q", user, pass)
		}
		for _, r := range b.requests() {
			if r.header.Get("Authorization") != "Bearer abc" {
				t.Errorf("%s %s without the token", r.method, r.uri)
			}
		}
	})
	t.Run("by the certificate alone", func(t *testing.T) {
		t.Parallel()
		set, idp, _ := run(t, "", []http.HandlerFunc{token(good, 200)}, says("RCVD"))
		if _, err := set.Ask(t.Context(), connectortest.PSP, pay); err != nil {
			t.Fatal(err)
		}
		if r := idp.requests()[0]; !strings.Contains(string(r.body), "client_id=us%3A1") || r.header.Get("Authorization") != "" {
			t.Errorf("asked by %+v", r)
		}
	})
	t.Run("without an end, used once", func(t *testing.T) {
		t.Parallel()
		set, idp, _ := run(t, connectortest.Secret, []http.HandlerFunc{token(`{"access_token":"abc","token_type":"bearer"}`, 200)}, says("RCVD"))
		for range 2 {
			if _, err := set.Ask(t.Context(), connectortest.PSP, pay); err != nil {
				t.Fatal(err)
			}
		}
		if n := len(idp.requests()); n != 2 {
			t.Errorf("%d tokens, want 2", n)
		}
	})
	t.Run("refused by the bank", func(t *testing.T) {
		t.Parallel()
		set, idp, b := run(t, connectortest.Secret, []http.HandlerFunc{token(good, 200)}, tppError(401, "TOKEN_EXPIRED"), says("RCVD"))
		if _, err := set.Ask(t.Context(), connectortest.PSP, pay); !errors.Is(err, gateway.ErrPSPUnavailable) {
			t.Errorf("Ask: %v", err)
		}
		if _, err := set.Ask(t.Context(), connectortest.PSP, pay); err != nil {
			t.Errorf("Ask with a fresh token: %v", err)
		}
		if len(idp.requests()) != 2 || len(b.requests()) != 2 {
			t.Errorf("%d tokens, %d calls; want 2 of each", len(idp.requests()), len(b.requests()))
		}
	})
	for name, answer := range map[string]http.HandlerFunc{
		"no client of theirs": token(`{"error":"invalid_client"}`, 401),
		"sick":                token(good, 503),
		"cut":                 func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"unreadable":          token(`nope`, 200),
		"none":                token(`{"token_type":"Bearer"}`, 200),
		"no bearer":           token(`{"access_token":"abc","token_type":"mac"}`, 200),
		"two lines":           token(`{"access_token":"a\nb","token_type":"Bearer"}`, 200),
		"huge":                token(`{"access_token":"`+strings.Repeat("a", 70<<10)+`","token_type":"Bearer"}`, 200),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set, _, b := run(t, connectortest.Secret, []http.HandlerFunc{answer}, made(page))
			_, err := set.Start(t.Context(), connectortest.PSP, connectortest.Order(t))
			// Nothing was sent: the family chooses another.
			if !errors.Is(err, gateway.ErrPSPUnavailable) || errors.Is(err, gateway.ErrOutcomeUnknown) || len(b.requests()) != 0 {
				t.Errorf("Start: %v after %d calls", err, len(b.requests()))
			}
		})
	}
}

func TestOAuthPage(t *testing.T) {
	t.Parallel()
	const order = `{"scaOAuth":{"href":"/.well-known/oauth-authorization-server"}}`
	for _, c := range []struct {
		name, meta string
		status     int
		options    []string
		err        error
	}{
		{"ok", `{"authorization_endpoint":"https://pagine.example/authorise?lang=it"}`, 200, []string{optClientID, "us"}, nil},
		{"foreign", `{"authorization_endpoint":"https://evil.example/authorise"}`, 200, []string{optClientID, "us"}, connectors.ErrForeignPage},
		{"no endpoint", `{}`, 200, []string{optClientID, "us"}, connectors.ErrForeignPage},
		{"sick", `{}`, 500, []string{optClientID, "us"}, gateway.ErrOutcomeUnknown},
		{"unreadable", `nope`, 200, []string{optClientID, "us"}, gateway.ErrOutcomeUnknown},
		{"without a client", `{"authorization_endpoint":"https://pagine.example/"}`, 200, nil, gateway.ErrOutcomeUnknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b, address := newBank(t, made(order), reply(c.status, c.meta))
			started, err := newSet(t, address, io.Discard, c.options...).Start(t.Context(), connectortest.PSP, connectortest.Order(t))
			if c.err != nil {
				if !errors.Is(err, c.err) || !errors.Is(err, gateway.ErrOutcomeUnknown) || started != (gateway.Started{}) {
					t.Errorf("Start = %+v, %v; want %v", started, err, c.err)
				}
				return
			}
			u, uerr := url.Parse(started.Redirect)
			if err != nil || uerr != nil || u.Host != "pagine.example" || u.Path != "/authorise" {
				t.Fatalf("Start = %+v, %v", started, err)
			}
			if seen := b.requests(); len(seen) != 2 || seen[1].uri != "/.well-known/oauth-authorization-server" {
				t.Errorf("asked %+v", seen)
			}
			q := u.Query()
			for name, want := range map[string]string{
				"lang": "it", "response_type": "code", "client_id": "us", "scope": "PIS:" + reference,
				"redirect_uri": "https://paga.example/carrello/esito/cart1?esito=ok", "code_challenge_method": "S256",
			} {
				if q.Get(name) != want {
					t.Errorf("%s = %q, want %q", name, q.Get(name), want)
				}
			}
			if len(q.Get("code_challenge")) != 43 || q.Get("state") == "" || strings.Contains(started.Redirect, attempt) {
				t.Errorf("page %s", started.Redirect)
			}
		})
	}
}

// certificate makes a key and a certificate in PEM, signed by the parent or by
// itself.
func certificate(t *testing.T, name string, parent *tls.Certificate) (tls.Certificate, []byte, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, BasicConstraintsValid: true,
	}
	issuer, signer := template, any(key)
	if parent == nil {
		template.IsCA, template.KeyUsage = true, x509.KeyUsageCertSign
	} else {
		issuer, signer = parent.Leaf, parent.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	return pair, certPEM, keyPEM
}

// The bank demands our certificate (QWAC), and we trust its authority alone.
func TestClientCertificate(t *testing.T) {
	t.Parallel()
	trust, _, _ := certificate(t, "QTSP", nil)
	_, certPEM, keyPEM := certificate(t, "Nodogate TPP", &trust)
	_, otherPEM, otherKey := certificate(t, "someone", nil)
	pool := x509.NewCertPool()
	pool.AddCert(trust.Leaf)

	var who string
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who = r.TLS.PeerCertificates[0].Subject.CommonName
		made(page)(w, r)
	}))
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	srv.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool, MinVersion: tls.VersionTLS12}
	srv.StartTLS()
	t.Cleanup(srv.Close)

	dir := t.TempDir()
	write := func(name string, text []byte) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	bankCA := write("bank.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}))
	ours, oursKey := write("qwac.pem", certPEM), write("qwac.key", keyPEM)
	theirs, theirsKey := write("other.pem", otherPEM), write("other.key", otherKey)
	for _, c := range []struct {
		name, cert, key, ca string
		want                []error // none: it is taken
	}{
		{"shown", ours, oursKey, bankCA, nil},
		{"not shown", "", "", bankCA, []error{gateway.ErrPSPUnavailable, gateway.ErrOutcomeUnknown}},
		{"of nobody they trust", theirs, theirsKey, bankCA, []error{gateway.ErrPSPUnavailable, gateway.ErrOutcomeUnknown}},
		{"a bank of nobody we trust", ours, oursKey, "", []error{gateway.ErrPSPUnavailable}},
	} {
		set := connectortest.New(t, Driver, srv.URL, io.Discard, func(p *connectors.PSP) {
			p.Options, p.ClientCert, p.ClientKey, p.CA = options(), c.cert, c.key, c.ca
		})
		_, err := set.Start(t.Context(), connectortest.PSP, connectortest.Order(t))
		if c.want == nil {
			if err != nil || who != "Nodogate TPP" {
				t.Errorf("%s: %v, %q", c.name, err, who)
			}
			continue
		}
		// With TLS 1.3 the bank's no to a certificate comes after our first byte.
		if !slices.ContainsFunc(c.want, func(w error) bool { return errors.Is(err, w) }) {
			t.Errorf("%s: %v, want one of %v", c.name, err, c.want)
		}
	}
}

func FuzzErrorCode(f *testing.F) {
	f.Add([]byte(`{"tppMessages":[{"category":"ERROR","code":"FORMAT_ERROR"}]}`))
	f.Add([]byte(`{"type":"x","code":"FORMAT_ERROR"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		code := errorCode(&answer{header: http.Header{"Content-Type": {"application/json"}}, body: body})
		if code != "" && !codeForm.MatchString(code) {
			t.Errorf("code %q", code)
		}
	})
}
