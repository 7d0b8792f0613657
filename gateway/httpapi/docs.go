// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

//go:embed docs.html
var docsHTML string

//go:embed docs.css
var docsCSS string

// renderDocs makes the document readable: one page, no script, nothing from
// outside. policy lets its own style in and nothing else.
func renderDocs(spec *openapi3.T) (page []byte, policy string, err error) {
	t, err := template.New("docs").Funcs(template.FuncMap{
		"type":  typeOf,
		"css":   func() template.CSS { return template.CSS(docsCSS) },
		"json":  indented,
		"lines": func(s string) []string { return strings.Split(strings.TrimSpace(s), "\n\n") },
		"has":   func(list []string, s string) bool { return slices.Contains(list, s) },
	}).Parse(docsHTML)
	if err != nil {
		return nil, "", fmt.Errorf("httpapi: docs page: %w", err)
	}
	type named struct {
		Status              int
		Code, Title, Detail string
	}
	var known []named
	seen := map[string]bool{}
	for _, p := range allProblems() {
		if !seen[p.code] {
			seen[p.code] = true
			known = append(known, named{p.status, p.code, p.title, p.detail})
		}
	}
	var b bytes.Buffer
	if err := t.Execute(&b, struct {
		Spec     *openapi3.T
		Problems []named
	}{spec, known}); err != nil {
		return nil, "", fmt.Errorf("httpapi: docs page: %w", err)
	}
	sum := sha256.Sum256([]byte(docsCSS))
	return b.Bytes(), "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'", nil
}

// indented is an example as a person reads it.
func indented(v any) (string, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // the template does
	e.SetIndent("", "  ")
	err := e.Encode(v)
	return b.String(), err
}

// typeOf says in words what a schema is.
func typeOf(ref *openapi3.SchemaRef) template.HTML {
	if ref == nil {
		return ""
	}
	if name, ok := strings.CutPrefix(ref.Ref, "#/components/schemas/"); ok && len(ref.Value.Properties) > 0 {
		name = template.HTMLEscapeString(name)
		return template.HTML(`<a href="#` + name + `">` + name + `</a>`) //nolint:gosec // a name of our own document
	}
	s := ref.Value
	switch {
	case len(s.OneOf) > 0:
		return typeOf(s.OneOf[0]) + ` or null`
	case s.Type.Includes("array"):
		return "list of " + typeOf(s.Items)
	case len(s.Enum) > 0:
		out := enumeration(s.Enum)
		if s.Type.Includes("null") {
			out += ", null"
		}
		return template.HTML(template.HTMLEscapeString(out)) //nolint:gosec // escaped
	}
	out := strings.Join(s.Type.Slice(), " or ")
	if s.Format != "" && s.Format != "int64" {
		out += " (" + s.Format + ")"
	}
	return template.HTML(template.HTMLEscapeString(out)) //nolint:gosec // escaped
}
