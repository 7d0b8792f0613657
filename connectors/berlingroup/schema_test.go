// SPDX-License-Identifier: Apache-2.0

package berlingroup

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"github.com/nodogate/nodogate/connectors/connectortest"
	"github.com/nodogate/nodogate/gateway"
)

var document = sync.OnceValues(func() (*openapi3.T, error) {
	file := filepath.Join("..", "..", "..", "shared", "pagopa", "berlin-group", "psd2-api_v1.3.11-2021-10-01v1.yaml")
	if _, err := os.Stat(file); err != nil {
		return nil, err
	}
	return openapi3.NewLoader().LoadFromFile(file)
})

// official is the OpenAPI of the Berlin Group, which lies beside the project.
func official(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := document()
	if os.IsNotExist(err) && os.Getenv("CI") == "" && os.Getenv("NODOGATE_TEST_STRICT") == "" {
		t.Skip("the official schemas are not there")
	}
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

const (
	paymentsPath = "/v1/{payment-service}/{payment-product}"
	paymentPath  = paymentsPath + "/{paymentId}"
	statusPath   = paymentPath + "/status"
	startPath    = paymentPath + "/authorisations"
)

// valid holds a request against an operation of the OpenAPI.
func valid(t *testing.T, r request, path string, params map[string]string) error {
	t.Helper()
	doc := official(t)
	item := doc.Paths.Value(path)
	req := &http.Request{Method: r.method, URL: &url.URL{Path: r.uri}, Header: r.header.Clone(), Body: io.NopCloser(bytes.NewReader(r.body))}
	return openapi3filter.ValidateRequest(t.Context(), &openapi3filter.RequestValidationInput{
		Request: req, PathParams: params,
		Route:   &routers.Route{Spec: doc, Path: path, PathItem: item, Method: r.method, Operation: item.GetOperation(r.method)},
		Options: &openapi3filter.Options{MultiError: true, AuthenticationFunc: openapi3filter.NoopAuthenticationFunc},
	})
}

func TestRequestsAreValidForTheOpenAPI(t *testing.T) {
	t.Parallel()
	official(t)
	b, address := newBank(t,
		made(`{"startAuthorisation":{"href":"/v1/payments/p/1/authorisations"}}`), reply(201, `{"scaStatus":"received","authorisationId":"a","_links":`+page+`}`),
		says("RCVD"), func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) },
		made(page), made(page))
	set := newSet(t, address, io.Discard)
	o := connectortest.Order(t)
	start := func() {
		t.Helper()
		if _, err := set.Start(t.Context(), connectortest.PSP, o); err != nil {
			t.Fatal(err)
		}
	}
	start()
	pay := gateway.Payment{Attempt: attempt, Reference: reference}
	if _, err := set.Ask(t.Context(), connectortest.PSP, pay); err != nil {
		t.Fatal(err)
	}
	if err := set.Cancel(t.Context(), connectortest.PSP, pay); err != nil {
		t.Fatal(err)
	}
	// One notice with the longest text, paid by somebody of whom nothing is known.
	o.Notices, o.Payer = o.Notices[:1], gateway.PayerDevice{}
	o.Notices[0].Description = strings.Repeat("à/", 300)
	start()

	seen := b.requests()
	params := map[string]string{"payment-service": "payments", "payment-product": "instant-sepa-credit-transfers", "paymentId": reference}
	for i, path := range []string{paymentsPath, startPath, statusPath, paymentPath, paymentsPath} {
		if err := valid(t, seen[i], path, params); err != nil {
			t.Errorf("%s %s: %v", seen[i].method, seen[i].uri, err)
		}
	}

	// And the schema is the right one: it refuses what is wrong.
	for name, spoil := range map[string]func(*request){
		"no X-Request-ID":   func(r *request) { r.header.Del("X-Request-ID") },
		"no PSU-IP-Address": func(r *request) { r.header.Del("PSU-IP-Address") },
		"no creditor":       func(r *request) { r.body = bytes.ReplaceAll(r.body, []byte("creditorName"), []byte("x")) },
		"no debtor":         func(r *request) { r.body = bytes.ReplaceAll(r.body, []byte("debtorAccount"), []byte("x")) },
		"amount of words":   func(r *request) { r.body = bytes.ReplaceAll(r.body, []byte("17.50"), []byte("many")) },
		"small currency":    func(r *request) { r.body = bytes.ReplaceAll(r.body, []byte(`"EUR"`), []byte(`"eu"`)) },
		"no IBAN":           func(r *request) { r.body = bytes.ReplaceAll(r.body, []byte(iban), []byte("123")) },
		"long remittance": func(r *request) {
			r.body = bytes.ReplaceAll(r.body, []byte("/TXT/"), []byte("/TXT/"+strings.Repeat("x", 140)))
		},
	} {
		r := seen[4]
		r.header = r.header.Clone()
		spoil(&r)
		if err := valid(t, r, paymentsPath, params); err == nil {
			t.Errorf("%s: the schema takes it", name)
		}
	}
}

// What the tests answer as a bank is what a bank may answer.
func TestAnswersAreValidForTheOpenAPI(t *testing.T) {
	t.Parallel()
	doc := official(t)
	for name, body := range map[string]string{
		"paymentInitationRequestResponse-201":      `{"transactionStatus":"RCVD","paymentId":"psp-1","_links":{"scaRedirect":{"href":"/sca"},"status":{"href":"/s"}}}`,
		"paymentInitiationStatusResponse-200_json": `{"transactionStatus":"ACSC"}`,
		"startScaprocessResponse":                  `{"scaStatus":"received","authorisationId":"a","_links":{"scaRedirect":{"href":"/sca"}}}`,
		"paymentInitiationCancelResponse-202":      `{"transactionStatus":"ACTC","_links":{"startAuthorisation":{"href":"/v1/x"}}}`,
		"Error400_NG_PIS":                          `{"tppMessages":[{"category":"ERROR","code":"PAYMENT_FAILED","text":"x"}]}`,
		"Error400_PIS":                             `{"type":"https://bank.example/p","code":"FORMAT_ERROR","detail":"x"}`,
	} {
		var v any
		if err := (&answer{body: []byte(body)}).read(&v); err != nil {
			t.Fatal(err)
		}
		schema := doc.Components.Schemas[name]
		if schema == nil {
			t.Errorf("no schema %s", name)
			continue
		}
		if err := schema.Value.VisitJSON(v, openapi3.MultiErrors()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
