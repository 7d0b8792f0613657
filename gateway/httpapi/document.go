// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/routers"
	"github.com/gin-gonic/gin"
	"gopkg.in/yaml.v3"
)

//go:embed openapi.yaml
var openapiYAML []byte

// document is the OpenAPI document in the forms it is needed in.
type document struct {
	json       []byte                // as shown
	html       []byte                // as shown to people
	htmlPolicy string                // Content-Security-Policy of html
	operations map[string]*operation // by "METHOD /gin/:path"
}

type operation struct {
	id    string
	route routers.Route
	query map[string]bool // parameters it takes
}

// loadDocument reads the description. It is the same for every handler of a
// process, never changes, and takes longer than all else that New does.
var loadDocument = sync.OnceValues(readDocument)

func readDocument() (*document, error) {
	var tree any
	if err := yaml.Unmarshal(openapiYAML, &tree); err != nil {
		return nil, fmt.Errorf("httpapi: openapi.yaml: %w", err)
	}
	dropGeneratorHints(tree)
	d := &document{operations: map[string]*operation{}}
	var err error
	if d.json, err = json.Marshal(tree); err != nil {
		return nil, fmt.Errorf("httpapi: openapi.yaml: %w", err)
	}
	spec, err := openapi3.NewLoader().LoadFromData(d.json)
	if err == nil {
		err = spec.Validate(context.Background())
	}
	if err != nil {
		return nil, fmt.Errorf("httpapi: openapi.yaml: %w", err)
	}
	if d.html, d.htmlPolicy, err = renderDocs(spec); err != nil {
		return nil, err
	}
	// For a 3.1 document kin-openapi compiles a JSON Schema at every request,
	// and the errors of that validator repeat the values they are about. We use
	// nothing that its own validator, which also knows type lists, cannot judge.
	spec.OpenAPI = "3.0.3"
	for path, item := range spec.Paths.Map() {
		for method, op := range item.Operations() {
			if _, ok := routes[op.OperationID]; !ok {
				return nil, fmt.Errorf("httpapi: nobody may call %s: give it a line in routes", op.OperationID)
			}
			o := &operation{
				id:    op.OperationID,
				route: routers.Route{Spec: spec, Path: path, PathItem: item, Method: method, Operation: op},
				query: map[string]bool{},
			}
			for _, p := range op.Parameters {
				if p.Value.In == openapi3.ParameterInQuery {
					o.query[p.Value.Name] = true
				}
			}
			d.operations[method+" "+ginPath(path)] = o
		}
	}
	return d, nil
}

// dropGeneratorHints takes out what only oapi-codegen reads.
func dropGeneratorHints(v any) {
	switch v := v.(type) {
	case map[string]any:
		for k, child := range v {
			if strings.HasPrefix(k, "x-go-") {
				delete(v, k)
			} else {
				dropGeneratorHints(child)
			}
		}
	case []any:
		for _, child := range v {
			dropGeneratorHints(child)
		}
	}
}

func (h *handlers) serveDocument(c *gin.Context) {
	c.Data(http.StatusOK, "application/json", h.doc.json)
}

func (h *handlers) serveDocs(c *gin.Context) {
	c.Header("Content-Security-Policy", h.doc.htmlPolicy)
	c.Data(http.StatusOK, "text/html; charset=utf-8", h.doc.html)
}
