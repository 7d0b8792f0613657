// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// What the bank answers is what a bank may answer: held against the OpenAPI of
// the Berlin Group, which lies beside the project.
func TestBankAnswersAreValidForTheOpenAPI(t *testing.T) {
	t.Parallel()
	file := filepath.Join("..", "..", "..", "shared", "pagopa", "berlin-group", "psd2-api_v1.3.11-2021-10-01v1.yaml")
	if _, err := os.Stat(file); os.IsNotExist(err) && os.Getenv("CI") == "" && os.Getenv("NODOGATE_TEST_STRICT") == "" {
		t.Skip("the official schemas are not there")
	}
	doc, err := openapi3.NewLoader().LoadFromFile(file)
	if err != nil {
		t.Fatal(err)
	}
	e, _, _ := startBank(t, nil)
	made, page := e.initiate(goodPayment, nil)
	e.press(page, "paga")
	for _, c := range []struct {
		method, path, body, schema string
		status                     int
	}{
		{"POST", payments, goodPayment, "paymentInitationRequestResponse-201", 201},
		{"GET", payments + "/" + made.ID + "/status", "", "paymentInitiationStatusResponse-200_json", 200},
		{"POST", payments, "nope", "Error400_NG_PIS", 400},
		{"GET", payments + "/none/status", "", "Error404_NG_PIS", 404},
		{"DELETE", payments + "/" + made.ID, "", "Error405_NG_PIS_CANC", 405},
	} {
		resp, text, err := e.xs2a(c.method, c.path, c.body, nil)
		if err != nil || resp.StatusCode != c.status {
			t.Errorf("%s %s: %v, %s", c.method, c.path, err, text)
			continue
		}
		var v any
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Errorf("%s %s: %v", c.method, c.path, err)
			continue
		}
		schema := doc.Components.Schemas[c.schema]
		if schema == nil {
			t.Errorf("no schema %s", c.schema)
			continue
		}
		if err := schema.Value.VisitJSON(v, openapi3.MultiErrors()); err != nil {
			t.Errorf("%s %s: %v", c.method, c.path, err)
		}
	}
}
