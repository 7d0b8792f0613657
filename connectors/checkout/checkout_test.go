// SPDX-License-Identifier: Apache-2.0

package checkout

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
	"github.com/prometheus/client_golang/prometheus"

	"github.com/nodogate/nodogate/connectors"
	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/money"
	"github.com/nodogate/nodogate/iuv"
)

func order(t *testing.T, notices int) gateway.Order {
	t.Helper()
	seg, err := iuv.ParseSegregation("01")
	if err != nil {
		t.Fatal(err)
	}
	o := gateway.Order{
		Attempt: "attempt1", Cart: "cart1", Method: gateway.MethodCard, Fee: 100, Email: "famiglia@posta.example",
		Return: &url.URL{Scheme: "https", Host: "paga.example", Path: "/carrello/esito/cart1", RawQuery: "lang=it"},
	}
	for i := range notices {
		o.Notices = append(o.Notices, gateway.OrderNotice{
			School: "80014480828", SchoolName: "IC 6 Grosseto", Number: iuv.New(seg, uint64(i)),
			Amount: money.Cents(1650 + i), Description: "Viaggio di istruzione 3B",
		})
	}
	return o
}

// start runs one Start through a Set, as the gateway does, against a Checkout
// that is the handler.
func start(t *testing.T, endpoint string, o gateway.Order, logs io.Writer) (gateway.Started, error) {
	t.Helper()
	set, err := connectors.New(connectors.Config{
		Catalogue: connectors.Catalogue{PSPs: []connectors.PSP{{
			ID: "CHECKOUT", Name: "pagoPA Checkout", Methods: []gateway.Method{gateway.MethodCard}, Connector: "checkout",
			Endpoint: endpoint, SecretEnv: "CHECKOUT_KEY", Fees: []connectors.Band{{}}, PageHosts: []string{"checkout.pagopa.it"},
		}}},
		Drivers: []connectors.Driver{Driver}, AllowPrivate: true,
		Getenv: func(string) string { return "k3y" }, Now: time.Now,
		Log: slog.New(slog.NewTextHandler(logs, nil)), Registerer: prometheus.NewRegistry(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return set.Start(t.Context(), "CHECKOUT", o)
}

func TestStartSendsTheCart(t *testing.T) {
	t.Parallel()
	var got map[string]any
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.URL.Path != "/checkout/ec/v1/carts" || r.URL.RawQuery != "" {
			t.Errorf("%s %s", r.Method, r.URL)
		}
		if key := r.Header.Get("Ocp-Apim-Subscription-Key"); key != "k3y" {
			t.Errorf("subscription key %q", key)
		}
		if ct := r.Header.Get("Content-Type"); ct != "application/json" {
			t.Errorf("Content-Type %q", ct)
		}
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
			t.Error(err)
		}
		w.Header().Set("Location", "https://checkout.pagopa.it/c/7f3a")
		w.WriteHeader(http.StatusFound)
	}))
	t.Cleanup(srv.Close)

	started, err := start(t, srv.URL+"/checkout/ec/v1/", order(t, 2), io.Discard)
	if err != nil || started != (gateway.Started{Redirect: "https://checkout.pagopa.it/c/7f3a"}) {
		t.Errorf("Start = %+v, %v", started, err)
	}
	var want map[string]any
	err = json.Unmarshal([]byte(`{
		"emailNotice": "famiglia@posta.example",
		"paymentNotices": [
			{"noticeNumber": "`+order(t, 1).Notices[0].Number.String()+`", "fiscalCode": "80014480828", "amount": 1650,
			 "companyName": "IC 6 Grosseto", "description": "Viaggio di istruzione 3B"},
			{"noticeNumber": "`+order(t, 2).Notices[1].Number.String()+`", "fiscalCode": "80014480828", "amount": 1651,
			 "companyName": "IC 6 Grosseto", "description": "Viaggio di istruzione 3B"}],
		"returnUrls": {
			"returnOkUrl": "https://paga.example/carrello/esito/cart1?esito=ok&lang=it",
			"returnCancelUrl": "https://paga.example/carrello/esito/cart1?esito=annullato&lang=it",
			"returnErrorUrl": "https://paga.example/carrello/esito/cart1?esito=errore&lang=it"},
		"idCart": "cart1",
		"allCCP": false}`), &want)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("sent\n%v\nwant\n%v", got, want)
	}
}

func TestCartIsValidForTheOpenAPI(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"1", "2"} {
		t.Run("version "+version, func(t *testing.T) { checkValid(t, version) })
	}
}

func checkValid(t *testing.T, version string) {
	schema := cartSchema(t, version)
	valid := func(o gateway.Order) error {
		text, err := json.Marshal(newCartRequest(o, version))
		if err != nil {
			t.Fatal(err)
		}
		var v any
		if err := json.Unmarshal(text, &v); err != nil {
			t.Fatal(err)
		}
		return schema.VisitJSON(v, openapi3.VisitAsRequest(), openapi3.MultiErrors())
	}
	long := order(t, 5)
	long.Notices[0].SchoolName = strings.Repeat("à", 200)
	long.Notices[0].Description = strings.Repeat("è", 200)
	bare := order(t, 1)
	bare.Email, bare.Cart = "", ""
	for name, o := range map[string]gateway.Order{"one": order(t, 1), "five, long texts": long, "no e-mail, no cart": bare} {
		if err := valid(o); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	var other map[string]any
	text, err := json.Marshal(newCartRequest(order(t, 1), "1"))
	if err == nil {
		err = json.Unmarshal(text, &other)
	}
	if err != nil || version == version2 && schema.VisitJSON(other, openapi3.VisitAsRequest()) == nil {
		t.Errorf("version 2 takes a cart of version 1, %v", err)
	}
	if valid(order(t, 6)) == nil || valid(order(t, 0)) == nil {
		t.Error("the schema takes six notices, or none: it is not the right one")
	}
}

// cartSchema is CartRequest of the official OpenAPI, which lies beside the
// project.
func cartSchema(t *testing.T, version string) *openapi3.Schema {
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
	file := filepath.Join(root, "..", "shared", "pagopa", "pagopa-api", "openapi", "checkout_v"+version+".json")
	doc, err := openapi3.NewLoader().LoadFromFile(file)
	if err != nil {
		if os.Getenv("CI") != "" || os.Getenv("NODOGATE_TEST_STRICT") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	name := map[string]string{"1": "CartRequest", "2": "CartRequestV2"}[version]
	return doc.Components.Schemas[name].Value
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	const secretDetail = "famiglia@posta.example is not a good address"
	answer := func(status int, contentType, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			w.WriteHeader(status)
			io.WriteString(w, body)
		}
	}
	to := func(location string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", location)
			w.WriteHeader(http.StatusFound)
		}
	}
	problem := `{"title":"Validation error","status":400,"detail":"` + secretDetail + `"}`
	for _, c := range []struct {
		name    string
		handler http.HandlerFunc
		want    error
	}{
		{"400", answer(400, "application/problem+json", problem), gateway.ErrRefused},
		{"400 as the OpenAPI has it", answer(400, "application/json; charset=utf-8", problem), gateway.ErrRefused},
		{"404", answer(404, "application/problem+json", problem), gateway.ErrRefused},
		{"422", answer(422, "application/problem+json", problem), gateway.ErrRefused},
		{"400 from something else", answer(400, "text/html", "<h1>Bad Request</h1>"), gateway.ErrOutcomeUnknown},
		{"404 of the gate", answer(404, "application/json", `{"statusCode":404,"message":"Resource not found"}`), gateway.ErrOutcomeUnknown},
		{"400 without JSON", answer(400, "application/json", "nope"), gateway.ErrOutcomeUnknown},
		{"400 of many bytes", answer(400, "application/json", `{"title":"`+strings.Repeat("x", 70<<10)+`"}`), gateway.ErrOutcomeUnknown},
		{"400 cut", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", "500")
			w.WriteHeader(400)
			io.WriteString(w, problem)
		}, gateway.ErrOutcomeUnknown},
		{"401", answer(401, "application/json", problem), gateway.ErrPSPUnavailable},
		{"403", answer(403, "text/plain", ""), gateway.ErrPSPUnavailable},
		{"429", answer(429, "application/problem+json", problem), gateway.ErrOutcomeUnknown},
		{"500", answer(500, "application/problem+json", problem), gateway.ErrOutcomeUnknown},
		{"503", answer(503, "text/plain", ""), gateway.ErrOutcomeUnknown},
		{"200", answer(200, "application/json", "{}"), gateway.ErrOutcomeUnknown},
		{"307", answer(307, "text/plain", ""), gateway.ErrOutcomeUnknown},
		{"cut", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, gateway.ErrOutcomeUnknown},
		{"foreign page", to("https://evil.example/c/1"), connectors.ErrForeignPage},
		{"no page", to(""), connectors.ErrForeignPage},
		{"page that is no address", to("https://%zz"), gateway.ErrOutcomeUnknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			srv := httptest.NewServer(c.handler)
			t.Cleanup(srv.Close)
			var logs strings.Builder
			started, err := start(t, srv.URL, order(t, 1), &logs)
			if !errors.Is(err, c.want) {
				t.Fatalf("Start: %v, want %v", err, c.want)
			}
			if started != (gateway.Started{}) {
				t.Errorf("Start gave %+v beside an error", started)
			}
			kinds := 0
			for _, kind := range []error{gateway.ErrRefused, gateway.ErrPSPUnavailable, gateway.ErrOutcomeUnknown} {
				if errors.Is(err, kind) {
					kinds++
				}
			}
			if kinds != 1 {
				t.Errorf("%v is of %d kinds", err, kinds)
			}
			told := logs.String() + err.Error()
			for _, secret := range []string{"posta.example", "k3y", order(t, 1).Notices[0].Number.String()} {
				if strings.Contains(told, secret) {
					t.Errorf("%q was told: %s", secret, told)
				}
			}
			if errors.Is(c.want, gateway.ErrRefused) && !strings.Contains(told, "Validation error") {
				t.Errorf("the title was not logged: %s", told)
			}
		})
	}
}

// The catalogue we ship names only what exists, and is right.
func TestSampleCatalogue(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../deploy/psps.yaml")
	if err != nil {
		t.Fatal(err)
	}
	catalogue, err := connectors.ParseCatalogue(text)
	if err != nil {
		t.Fatal(err)
	}
	_, err = connectors.New(connectors.Config{
		Catalogue: catalogue, Drivers: []connectors.Driver{Driver}, Getenv: func(string) string { return "key" }, Now: time.Now,
		Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
	})
	if err != nil {
		t.Error(err)
	}
}
