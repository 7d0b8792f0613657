// SPDX-License-Identifier: Apache-2.0

package redirect

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/nodogate/nodogate/connectors"
	"github.com/nodogate/nodogate/connectors/connectortest"
	"github.com/nodogate/nodogate/gateway"
)

const (
	attempt = connectortest.Attempt
	okBody  = `{"idPsp":"BANCAUNO","idPSPTransaction":"psp-1","outcome":"OK","details":{"timestampOperation":"2026-11-23T09:00:00.5+01:00","authorizationCode":"123456"}}`
	koBody  = `{"idPsp":"BANCAUNO","idPSPTransaction":"psp-1","outcome":"KO","details":{"errorCode":"51"}}`
)

func TestConnector(t *testing.T) {
	t.Parallel()
	connectortest.Run(t, func(t *testing.T) connectortest.Fixture {
		return connectortest.Fixture{
			Driver: Driver,
			Accept: func(w http.ResponseWriter, r *http.Request, page string) {
				accept(t, w, r, func(a *urlResponse) { a.URL = page })
			},
			Refuse: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(http.StatusBadRequest)
				// As the samples of the OpenAPI, which have no title.
				io.WriteString(w, `{"status":400,"detail":"famiglia@posta.example is no address","idTransaction":"`+attempt+`"}`)
			},
			Signature: connectors.WebhookSignature,
			Refund: connectortest.Refund{
				Done: map[string]http.HandlerFunc{
					"ok":            refunded(`{"idTransaction":"`+attempt+`","outcome":"OK"}`, 200),
					"ok, and more":  refunded(`{"idTransaction":"`+attempt+`","outcome":"OK","new":[1]}`, 200),
					"already given": refunded(`{"idTransaction":"`+attempt+`","outcome":"CANCELED"}`, 200),
				},
				Refused: map[string]http.HandlerFunc{
					"KO":         refunded(`{"idTransaction":"`+attempt+`","outcome":"KO"}`, 200),
					"wrong":      refunded(`{"status":400,"detail":"Bad request","idTransaction":"`+attempt+`"}`, 400),
					"not theirs": refunded(`{"status":404,"detail":"Transaction not found","idTransaction":"`+attempt+`"}`, 404),
				},
				Senseless: map[string]http.HandlerFunc{
					"another payment":        refunded(`{"idTransaction":"`+attempt[1:]+`0","outcome":"OK"}`, 200),
					"no payment":             refunded(`{"outcome":"OK"}`, 200),
					"another outcome":        refunded(`{"idTransaction":"`+attempt+`","outcome":"ok"}`, 200),
					"no outcome":             refunded(`{"idTransaction":"`+attempt+`"}`, 200),
					"an outcome of ours":     refunded(`{"idTransaction":"`+attempt+`","outcome":"EXPIRED"}`, 200),
					"accepted only":          refunded(`{"idTransaction":"`+attempt+`","outcome":"OK"}`, 202),
					"created":                refunded(`{"idTransaction":"`+attempt+`","outcome":"OK"}`, 201),
					"a failure that says OK": refunded(`{"idTransaction":"`+attempt+`","outcome":"OK"}`, 500),
				},
			},
			Callback: func(c connectortest.Callback) gateway.Callback {
				body := c.Body
				if body == nil {
					body = []byte(koBody)
					if c.OK {
						body = []byte(okBody)
					}
					body = []byte(strings.ReplaceAll(string(body), "BANCAUNO", string(c.PSP)))
				}
				return callback(t, c.Secret, c.ID, c.At, "/redirections/"+c.Attempt+"/outcomes", body)
			},
		}
	})
}

func refunded(body string, status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

func TestRefundSendsThePayment(t *testing.T) {
	t.Parallel()
	var got []byte
	calls := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls++
		if r.Method != http.MethodPost || r.URL.Path != "/pay/redirections/refunds" || r.Header.Get("Ocp-Apim-Subscription-Key") != connectortest.Secret {
			t.Errorf("%s %s with the key %q", r.Method, r.URL, r.Header.Get("Ocp-Apim-Subscription-Key"))
		}
		got, _ = io.ReadAll(r.Body)
		refunded(`{"idTransaction":"`+attempt+`","outcome":"OK"}`, 200)(w, r)
	}))
	t.Cleanup(srv.Close)
	set := connectortest.New(t, Driver, srv.URL+"/pay/", io.Discard)
	if !set.Abilities(connectortest.PSP).Refund {
		t.Error("the Set does not know that it can")
	}
	if err := set.Refund(t.Context(), connectortest.PSP, gateway.Payment{Attempt: attempt, Reference: "psp-1"}); err != nil {
		t.Fatal(err)
	}
	if want := `{"idTransaction":"` + attempt + `","idPSPTransaction":"psp-1","action":"refund"}`; string(got) != want {
		t.Errorf("sent %s, want %s", got, want)
	}
	if err := valid(t, "RefundRequest", got); err != nil {
		t.Error(err)
	}
	// A payment that the PSP never named cannot be named to it.
	if err := set.Refund(t.Context(), connectortest.PSP, gateway.Payment{Attempt: attempt}); !errors.Is(err, gateway.ErrRefused) || calls != 1 {
		t.Errorf("without its id: %v after %d calls, want ErrRefused and nothing sent", err, calls)
	}
}

func TestRefundAnswersAreThoseOfTheOpenAPI(t *testing.T) {
	t.Parallel()
	for _, outcome := range []string{outcomeOK, outcomeKO, outcomeCanceled} {
		if err := valid(t, "RefundResponse", []byte(`{"idTransaction":"`+attempt+`","outcome":"`+outcome+`"}`)); err != nil {
			t.Errorf("%s: %v", outcome, err)
		}
	}
	if got := len(schema(t, "RefundOutcome").Enum); got != 3 {
		t.Errorf("the OpenAPI has %d outcomes, we read 3", got)
	}
}

// accept answers as the PSP; change may spoil what it says.
func accept(t *testing.T, w http.ResponseWriter, r *http.Request, change func(*urlResponse)) {
	var in urlRequest
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		t.Error(err)
	}
	out := urlResponse{"https://pagine.example/p/1", in.IDTransaction, "psp-1", in.Amount, 600_000}
	change(&out)
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(out)
}

func callback(t *testing.T, secret, id string, at time.Time, path string, body []byte) gateway.Callback {
	t.Helper()
	key, err := connectors.ParseWebhookKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	h := http.Header{}
	key.Sign(h, id, at, body)
	return gateway.Callback{PSP: connectortest.PSP, Method: http.MethodPost, Path: path, Header: h, Body: body, Received: connectortest.Now}
}

func TestStartSendsTheOrder(t *testing.T) {
	t.Parallel()
	var got map[string]any
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.URL.Path != "/pay/redirections" || r.URL.RawQuery != "" {
			t.Errorf("%s %s", r.Method, r.URL)
		}
		if key := r.Header.Get("Ocp-Apim-Subscription-Key"); key != connectortest.Secret {
			t.Errorf("subscription key %q", key)
		}
		body, err := io.ReadAll(r.Body)
		if err != nil || json.Unmarshal(body, &got) != nil {
			t.Errorf("body %s, %v", body, err)
		}
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		accept(t, w, r, func(*urlResponse) {})
	}))
	t.Cleanup(srv.Close)
	started, err := connectortest.New(t, Driver, srv.URL+"/pay/", io.Discard).Start(t.Context(), connectortest.PSP, connectortest.Order(t))
	want := gateway.Started{Redirect: "https://pagine.example/p/1", Reference: "psp-1", Timeout: 10 * time.Minute}
	if err != nil || started != want {
		t.Errorf("Start = %+v, %v; want %+v", started, err, want)
	}
	wantBody := map[string]any{
		"idTransaction": attempt, "idPsp": "BANCAUNO", "amount": 3400.0, "urlBack": "https://paga.example/carrello/esito/cart1",
		"description": "Viaggio di istruzione 3B; Assicurazione", "idPaymentMethod": "CP", "paymentMethod": "Carta di pagamento",
		"touchpoint": "CHECKOUT", "paName": "IC 6 Grosseto", "email": "famiglia@posta.example",
	}
	if !reflect.DeepEqual(got, wantBody) {
		t.Errorf("sent\n%v\nwant\n%v", got, wantBody)
	}
}

func TestStartNamesTheNoticesToWhoAsks(t *testing.T) {
	t.Parallel()
	with := func(value string) func(*connectors.PSP) {
		return func(p *connectors.PSP) { p.Options = map[string]string{"notices": value} }
	}
	for value, want := range map[string]string{
		"true":  `[{"fiscalCode":"80014480828","noticeNumber":"301000000000000043","amount":1650},{"fiscalCode":"80014480828","noticeNumber":"301000000000000144","amount":1650}]`,
		"false": "", "": "",
	} {
		var got struct{ Notices json.RawMessage }
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil || json.Unmarshal(body, &got) != nil {
				t.Errorf("body %s, %v", body, err)
			}
			r.Body = io.NopCloser(strings.NewReader(string(body)))
			accept(t, w, r, func(*urlResponse) {})
		}))
		t.Cleanup(srv.Close)
		if _, err := connectortest.New(t, Driver, srv.URL, io.Discard, with(value)).Start(t.Context(), connectortest.PSP, connectortest.Order(t)); err != nil {
			t.Fatal(err)
		}
		if string(got.Notices) != want {
			t.Errorf("option %q: notices %s, want %s", value, got.Notices, want)
		}
	}
	for _, options := range []map[string]string{{"notices": "yes"}, {"notice": "true"}} {
		_, err := newConnector(connectors.DriverConfig{Secret: connectortest.Secret, Options: options})
		if err == nil {
			t.Errorf("options %v are taken", options)
		}
	}
}

func TestStartBelievesOnlyAnEcho(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*urlResponse){
		"another transaction": func(a *urlResponse) { a.IDTransaction = strings.Repeat("0", 32) },
		"another amount":      func(a *urlResponse) { a.Amount++ },
		"no amount":           func(a *urlResponse) { a.Amount = 0 },
		"no id of its own":    func(a *urlResponse) { a.IDPSPTransaction = "" },
		"long id":             func(a *urlResponse) { a.IDPSPTransaction = strings.Repeat("x", 256) },
		"time before now":     func(a *urlResponse) { a.Timeout = -1 },
		"endless time":        func(a *urlResponse) { a.Timeout = 600_001 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { accept(t, w, r, change) }))
			t.Cleanup(srv.Close)
			started, err := connectortest.New(t, Driver, srv.URL, io.Discard).Start(t.Context(), connectortest.PSP, connectortest.Order(t))
			if !errors.Is(err, gateway.ErrOutcomeUnknown) || started != (gateway.Started{}) {
				t.Errorf("Start = %+v, %v; want ErrOutcomeUnknown", started, err)
			}
		})
	}
}

func TestStartRefusesWhatTheAPICannotSay(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was sent") }))
	t.Cleanup(srv.Close)
	o := connectortest.Order(t)
	o.Notices[0].Amount = maxAmount
	if _, err := connectortest.New(t, Driver, srv.URL, io.Discard).Start(t.Context(), connectortest.PSP, o); !errors.Is(err, gateway.ErrRefused) {
		t.Errorf("Start over %d cents: %v, want ErrRefused", maxAmount, err)
	}
}

// schema is a schema of the official OpenAPI, which lies beside the project.
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
	doc, err := openapi3.NewLoader().LoadFromFile(filepath.Join(root, "..", "shared", "pagopa", "pagopa-api", "openapi", "redirect.json"))
	if err != nil {
		if os.Getenv("CI") != "" || os.Getenv("NODOGATE_TEST_STRICT") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	return doc.Components.Schemas[name].Value
}

func valid(t *testing.T, name string, text []byte) error {
	t.Helper()
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	return schema(t, name).VisitJSON(v, openapi3.MultiErrors())
}

func TestOrderIsValidForTheOpenAPI(t *testing.T) {
	t.Parallel()
	long := connectortest.Order(t)
	long.Notices[0].SchoolName = strings.Repeat("à", 200)
	long.Notices[0].Description = strings.Repeat("è", 2000)
	two := connectortest.Order(t)
	two.Notices[1].School = "80015010723"
	two.Email, two.Method = "", gateway.MethodBulletin
	most := connectortest.Order(t)
	most.Notices[0].Amount, most.Notices[1].Amount, most.Fee = maxAmount-2, 1, 1
	for name, o := range map[string]gateway.Order{"plain": connectortest.Order(t), "long texts": long, "two schools": two, "the most": most} {
		r := newURLRequest("BANCAUNO", o)
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := valid(t, "RedirectUrlRequest", text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if (name == "two schools") != (r.PAName == "") {
			t.Errorf("%s: paName %q", name, r.PAName)
		}
	}
	over := connectortest.Order(t)
	over.Fee = maxAmount
	if text, err := json.Marshal(newURLRequest("BANCAUNO", over)); err != nil || valid(t, "RedirectUrlRequest", text) == nil {
		t.Errorf("the schema takes %d cents and more, %v: it is not the right one", maxAmount, err)
	}
	for _, m := range gateway.Methods {
		if methods[m] == (method{}) {
			t.Errorf("method %s has no words", m)
		}
	}
}

func TestAnswersAreValidForTheOpenAPI(t *testing.T) {
	t.Parallel()
	c := &connector{}
	event := gateway.PSPEvent{Attempt: attempt}
	var invalid gateway.Invalid
	invalid.Add("outcome", "unknown", "give OK")
	for _, a := range []struct {
		err    error
		status int
		schema string
	}{
		{nil, 200, "TransactionResultResponse"},
		{&invalid, 400, "ProblemJson"},
		{gateway.ErrForged, 401, "ProblemJson"},
		{gateway.ErrNotFound, 404, "ProblemJson"},
		{io.ErrUnexpectedEOF, 500, "ProblemJson"},
	} {
		got := c.Answer(event, a.err)
		if got.Status != a.status {
			t.Errorf("%v is told as %d, want %d", a.err, got.Status, a.status)
		}
		if err := valid(t, a.schema, got.Body); err != nil {
			t.Errorf("%s: %v", got.Body, err)
		}
	}
	if got, want := string(c.Answer(event, nil).Body), `{"idTransaction":"`+attempt+`","outcome":"OK"}`; got != want {
		t.Errorf("answer %s, want %s", got, want)
	}
}

func TestOutcomes(t *testing.T) {
	t.Parallel()
	denied := func(outcome, details string) string {
		return `{"idPsp":"BANCAUNO","idPSPTransaction":"psp-1","outcome":"` + outcome + `","details":` + details + `}`
	}
	for _, c := range []struct {
		name, body string
		ok         bool
		field      string // of the mistake; empty: taken
	}{
		{"OK", okBody, true, ""},
		{"OK, an empty code", strings.Replace(okBody, "123456", "", 1), true, ""},
		{"OK, more than we know", strings.Replace(okBody, "{", `{"new":1,`, 1), true, ""},
		{"KO", koBody, false, ""},
		{"CANCELED", denied("CANCELED", `{"errorCode":"x"}`), false, ""},
		{"EXPIRED", denied("EXPIRED", `{"errorCode":"x"}`), false, ""},
		{"ERROR", denied("ERROR", `{"errorCode":""}`), false, ""},
		{"another outcome", denied("MAYBE", `{"errorCode":"x"}`), false, "outcome"},
		{"small letters", denied("ok", `{"errorCode":"x"}`), false, "outcome"},
		{"no outcome", `{"idPsp":"BANCAUNO","idPSPTransaction":"psp-1","details":{}}`, false, "outcome"},
		{"KO with the details of OK", strings.Replace(okBody, `"OK"`, `"KO"`, 1), false, "details.errorCode"},
		{"OK with the details of KO", strings.Replace(koBody, `"KO"`, `"OK"`, 1), false, "details.authorizationCode"},
		{"no details", `{"idPsp":"BANCAUNO","idPSPTransaction":"psp-1","outcome":"KO"}`, false, "details.errorCode"},
		{"no time", denied("OK", `{"authorizationCode":"1"}`), false, "details.timestampOperation"},
		{"no good time", strings.Replace(okBody, "2026-11-23T", "23/11/2026 ", 1), false, "details.timestampOperation"},
		{"no id of the PSP's", strings.Replace(koBody, "psp-1", "", 1), false, "idPSPTransaction"},
		{"long id", strings.Replace(koBody, "psp-1", strings.Repeat("x", 256), 1), false, "idPSPTransaction"},
		{"no PSP", strings.Replace(koBody, "BANCAUNO", "", 1), false, "idPsp"},
		{"another PSP", strings.Replace(koBody, "BANCAUNO", "bancauno", 1), false, "idPsp"},
		{"a number for a text", strings.Replace(koBody, `"51"`, `51`, 1), false, "body"},
		{"two bodies", koBody + koBody, false, "body"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			set := connectortest.New(t, Driver, "https://psp.example", io.Discard)
			event, err := set.Callback(callback(t, connectortest.Secret, "evt_1", connectortest.Now, "/redirections/"+attempt+"/outcomes", []byte(c.body)))
			if c.field == "" {
				want := gateway.PSPEvent{PSP: "BANCAUNO", ID: "evt_1", Attempt: attempt, Word: gateway.WordNo, Reference: "psp-1", Raw: []byte(c.body)}
				if c.ok {
					want.Word = gateway.WordTaken
					want.At = time.Date(2026, 11, 23, 8, 0, 0, 500_000_000, time.UTC)
				}
				if err != nil || !reflect.DeepEqual(event, want) {
					t.Errorf("Callback = %+v, %v\nwant %+v", event, err, want)
				}
				return
			}
			var wrong *gateway.Invalid
			if !errors.As(err, &wrong) || wrong.Fields[0].Field != c.field {
				t.Errorf("Callback: %v, want a fault of %s", err, c.field)
			}
		})
	}
}

func TestPaths(t *testing.T) {
	t.Parallel()
	set := connectortest.New(t, Driver, "https://psp.example", io.Discard)
	for _, path := range []string{
		"/redirections/" + attempt, "/redirections/" + attempt + "/outcomes/", "/redirections/" + attempt + "/refunds",
		"/redirections/" + attempt[1:] + "/outcomes", "/redirections/" + strings.ToUpper(attempt) + "/outcomes",
		"//redirections/" + attempt + "/outcomes", "/redirections/" + attempt + "/outcomes\n", "/redirections//outcomes", "",
	} {
		_, err := set.Callback(callback(t, connectortest.Secret, "evt_1", connectortest.Now, path, []byte(okBody)))
		if !errors.Is(err, gateway.ErrNotFound) {
			t.Errorf("Callback to %q: %v, want ErrNotFound", path, err)
		}
	}
}

func TestNewNeedsASecret(t *testing.T) {
	t.Parallel()
	for name, secret := range map[string]string{"none": "", "short": "s3cret", "no base64": "whsec_" + strings.Repeat("!", 40)} {
		_, err := Driver.New(connectors.DriverConfig{Endpoint: &url.URL{}, Secret: secret, Log: slog.New(slog.DiscardHandler)})
		if err == nil || !strings.HasPrefix(err.Error(), "secret_env: ") || secret != "" && strings.Contains(err.Error(), secret) {
			t.Errorf("%s: New: %v", name, err)
		}
	}
}

func FuzzReadResult(f *testing.F) {
	f.Add([]byte(okBody))
	f.Add([]byte(koBody))
	f.Add([]byte(`{"outcome":"OK","details":null}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := readResult(body)
		if err != nil {
			if !errors.As(err, new(*gateway.Invalid)) || !reflect.DeepEqual(r, result{}) {
				t.Errorf("readResult = %+v, %v", r, err)
			}
			return
		}
		if r.IDPSP == "" || r.IDPSPTransaction == "" || r.Outcome == outcomeOK && r.Details.TimestampOperation == nil || r.Outcome != outcomeOK && r.Details.ErrorCode == nil {
			t.Errorf("taken: %s", body)
		}
	})
}
