// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/pb33f/libopenapi/datamodel"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// The document, as it is served, is a valid OpenAPI 3.1 one by the schema that
// the OpenAPI Initiative publishes, every schema in it is a valid JSON Schema
// 2020-12, and every example is what its schema says. kin-openapi, which serves
// it, would take more than that.
func TestDocumentIsValid(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	raw := a.get("/api/openapi.json", "").Body.Bytes()
	for _, fault := range documentFaults(t, raw) {
		t.Error(fault)
	}
	spec, err := openapi3.NewLoader().LoadFromData(raw)
	if err == nil {
		err = spec.Validate(context.Background())
	}
	if err != nil {
		t.Errorf("kin-openapi: %v", err)
	}

	// The proof can fail.
	for _, c := range []struct{ name, old, new, want string }{
		{"an operation without answers", `"responses":{`, `"replies":{`, "openapi.json"},
		{"a parameter nowhere", `"in":"query"`, `"in":"body"`, "openapi.json"},
		{"a schema of no type", `"type":"integer"`, `"type":"number of cents"`, "/schemas/"},
		{"a reference that leads nowhere", `"#/components/schemas/Cents"`, `"#/components/schemas/Euro"`, "Euro"},
		{"an example that is not what it says", `"fiscal_code":{`, `"fiscal_code":{"examples":[80014480828],`, "an example of /components/schemas/"},
	} {
		broken := strings.Replace(string(raw), c.old, c.new, -1)
		if broken == string(raw) {
			t.Errorf("%s: the document has no %s", c.name, c.old)
		}
		if got := strings.Join(documentFaults(t, []byte(broken)), "\n"); !strings.Contains(got, c.want) {
			t.Errorf("%s: found %q", c.name, got)
		}
	}
}

// documentFaults is what is wrong with an OpenAPI document.
func documentFaults(t *testing.T, raw []byte) (faults []string) {
	t.Helper()
	parse := func(s string) any {
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(s))
		must(t, err)
		return v
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	const official, served = "https://spec.openapis.org/oas/3.1/schema", "openapi.json"
	must(t, c.AddResource(official, parse(datamodel.OpenAPI31SchemaData)))
	tree := parse(string(raw))
	// The validator knows no OpenAPI: it takes the document for one big schema,
	// in which those of the components are found by their address.
	must(t, c.AddResource(served, tree))
	schema, err := c.Compile(official)
	must(t, err)
	if err := schema.Validate(tree); err != nil {
		faults = append(faults, served+": "+err.Error())
	}
	for at, examples := range schemasIn(tree, "") {
		schema, err := c.Compile(served + "#" + at)
		if err != nil {
			faults = append(faults, at+": "+err.Error())
			continue
		}
		for _, example := range examples {
			if err := schema.Validate(example); err != nil {
				faults = append(faults, fmt.Sprintf("an example of %s: %v", at, err))
			}
		}
	}
	slices.Sort(faults)
	return faults
}

// schemasIn are the JSON pointers of the document's schemas, with their examples:
// of those inside others only the ones that have some.
func schemasIn(v any, at string) map[string][]any {
	found := map[string][]any{}
	switch v := v.(type) {
	case map[string]any:
		for k, child := range v {
			here := at + "/" + strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(k)
			maps.Copy(found, schemasIn(child, here))
			if k == "schema" || at == "/components/schemas" {
				found[here] = examplesOf(child)
			}
			if k == "schema" {
				// A body's or a parameter's, beside its schema.
				if example, ok := v["example"]; ok {
					found[here] = append(found[here], example)
				}
			}
		}
		if list := examplesOf(v); list != nil {
			found[at] = list
		}
	case []any:
		for i, child := range v {
			maps.Copy(found, schemasIn(child, fmt.Sprint(at, "/", i)))
		}
	}
	return found
}

func examplesOf(schema any) []any {
	m, _ := schema.(map[string]any)
	list, _ := m["examples"].([]any)
	return list
}
