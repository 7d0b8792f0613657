// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/gin-gonic/gin"

	"github.com/nodogate/nodogate/gateway"
)

// maxBody holds a batch of a thousand notices several times over.
const maxBody = 4 << 20

// read reads the request once and strictly, and validates it against the
// document. The token endpoint has rules of its own.
func (h *handlers) read(c *gin.Context) {
	k := callOf(c.Request.Context())
	if k.op.id == "issueToken" {
		return
	}
	if err := h.readRequest(c, k); err != nil {
		h.fail(c, err)
	}
}

func (h *handlers) readRequest(c *gin.Context, k *call) error {
	query, err := readQuery(c.Request.URL.RawQuery, k.op.query)
	if err != nil {
		return err
	}
	if k.route.once != nil {
		if err := k.readKey(c); err != nil {
			return err
		}
	}
	switch {
	case k.op.route.Operation.RequestBody == nil:
		if err := k.readNothing(c); err != nil {
			return err
		}
	case k.route.upload:
	case k.route.table:
		if err := k.readTable(c); err != nil {
			return err
		}
	default:
		if err := k.readBody(c); err != nil {
			return err
		}
	}
	params := map[string]string{}
	for _, p := range c.Params {
		params[p.Key] = p.Value
	}
	err = problemOf(openapi3filter.ValidateRequest(c.Request.Context(), &openapi3filter.RequestValidationInput{
		Request: c.Request, PathParams: params, QueryParams: query, Route: &k.op.route,
		Options: &openapi3filter.Options{
			MultiError:          true,
			SkipSettingDefaults: true,
			// The generated code binds the value that was validated, with exact
			// names, instead of decoding the bytes again.
			KeepValidatedValue: true,
			AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, // authorise did
			ExcludeRequestBody: k.route.upload || k.route.table,
		},
	}))
	if err == nil && k.route.upload {
		err = h.readUpload(c, k)
	}
	return err
}

// readQuery refuses parameters that would be ignored: a filter with a slip of
// the pen in its name, or with nothing in it, must not list everything. A
// person's code has no place in an address, which stands in logs.
func readQuery(raw string, known map[string]bool) (url.Values, error) {
	query, err := url.ParseQuery(raw)
	if err != nil {
		return nil, wrong("query", "syntax", "the query cannot be read")
	}
	var bad gateway.Invalid
	for _, name := range slices.Sorted(maps.Keys(query)) {
		values := query[name]
		switch {
		case !known[name]:
			bad.Add(join("", name), "unknown", "this address takes no such parameter")
		case len(values) > 1:
			bad.Add(name, "duplicate", "give it once")
		case values[0] == "" && name != "q" && name != "cursor":
			bad.Add(name, "required", "must not be empty: leave it out for all")
		case name != "cursor" && gateway.HoldsCode(values[0]):
			bad.Add(name, "personal_data", "no person's fiscal code in an address: POST …/notices/search and …/pupils/search take it in the body")
		case !utf8.ValidString(values[0]) || strings.ContainsFunc(values[0], func(r rune) bool { return r < ' ' }):
			bad.Add(name, "format", "it has a broken character in it")
		}
	}
	return query, bad.Err()
}

// readBody reads the JSON body and puts it back for the validator.
func (k *call) readBody(c *gin.Context) error {
	data, err := io.ReadAll(http.MaxBytesReader(c.Writer, c.Request.Body, maxBody))
	if errors.As(err, new(*http.MaxBytesError)) {
		return problemTooLarge
	}
	if err != nil {
		return wrong("body", "syntax", "the body was cut on its way")
	}
	if len(data) > 0 {
		if err := checkMediaType(c.Request.Header); err != nil {
			return err
		}
		v, err := readJSON(data)
		if err != nil {
			return err
		}
		if k.body, err = json.Marshal(v); err != nil {
			return err
		}
		c.Request.Header.Set("Content-Type", "application/json")
	}
	c.Request.Body = io.NopCloser(bytes.NewReader(data))
	c.Request.ContentLength = int64(len(data))
	if k.route.once != nil {
		k.print = sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n%s", c.Request.Method, c.Request.URL.Path, k.body))
	}
	return nil
}

// readNothing is for operations that take no body. An empty object is none:
// there are programs that cannot send less. What would be passed over in silence
// is refused.
func (k *call) readNothing(c *gin.Context) error {
	if c.Request.Method != http.MethodPost {
		return nil
	}
	if err := k.readBody(c); err != nil || len(k.body) == 0 {
		return err
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(k.body, &fields) != nil || fields == nil {
		return wrong("body", "type", "send nothing, or an empty object")
	}
	var bad gateway.Invalid
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		bad.Add(join("", name), "unknown", "there is no such field")
	}
	return bad.Err()
}

func checkMediaType(head http.Header) error {
	t, params, err := mime.ParseMediaType(head.Get("Content-Type"))
	charset := strings.ToLower(params["charset"])
	if err != nil || t != "application/json" || charset != "" && charset != "utf-8" || head.Get("Content-Encoding") != "" {
		return problemMediaType
	}
	return nil
}

// problemOf turns the validator's errors into fields, never repeating a value.
func problemOf(err error) error {
	if err == nil {
		return nil
	}
	var bad gateway.Invalid
	addErrors(&bad, "", err)
	return bad.Err()
}

func addErrors(bad *gateway.Invalid, base string, err error) {
	switch e := err.(type) { //nolint:errorlint // walks the tree itself: each level adds to the field's name
	case openapi3.MultiError:
		for _, err := range e {
			addErrors(bad, base, err)
		}
	case *openapi3filter.RequestError:
		if e.Parameter != nil {
			base = e.Parameter.Name
		}
		if e.Err == nil {
			bad.Add(orBody(base), "format", "it cannot be read")
			return
		}
		addErrors(bad, base, e.Err)
	case *openapi3.SchemaError:
		addSchemaError(bad, base, e)
	default:
		switch {
		case errors.Is(err, openapi3filter.ErrInvalidRequired):
			bad.Add(orBody(base), "required", "must be given")
		case errors.Is(err, openapi3filter.ErrInvalidEmptyValue):
			bad.Add(orBody(base), "required", "must not be empty")
		default:
			bad.Add(orBody(base), "format", "it cannot be read: look at its type in /api/docs")
		}
	}
}

func addSchemaError(bad *gateway.Invalid, base string, e *openapi3.SchemaError) {
	field := base
	for _, key := range e.JSONPointer() {
		if key[0] >= '0' && key[0] <= '9' {
			field += "[" + key + "]"
		} else {
			field = join(field, key)
		}
	}
	s := e.Schema
	switch e.SchemaField {
	case "required":
		add(bad, field, "required", "must be given")
	case "nullable":
		add(bad, field, "required", "must not be null")
	case "properties", "additionalProperties":
		fields, _ := e.Value.(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			if s.Properties[name] == nil {
				add(bad, join(field, name), "unknown", "there is no such field")
			}
		}
	case "type":
		add(bad, field, "type", typeMessage(s, e.Value))
	case "enum":
		add(bad, field, "unknown", "give one of "+enumeration(s.Enum))
	case "minimum", "maximum":
		add(bad, field, "range", fmt.Sprintf("give a whole number from %.0f to %.0f", *s.Min, *s.Max))
	case "minItems", "maxItems":
		add(bad, field, "length", fmt.Sprintf("give %d to %d of them", s.MinItems, *s.MaxItems))
	case "minLength", "maxLength":
		add(bad, field, "length", fmt.Sprintf("give %d to %d characters", s.MinLength, *s.MaxLength))
	case "format":
		if s.Format == "date" {
			add(bad, field, "format", "give a date like 2026-12-31")
		} else {
			add(bad, field, "range", "the number is too large")
		}
	default:
		add(bad, field, "format", "it has the wrong form: look in /api/docs")
	}
}

// add notes a field once for each code: too large for its type is also too
// large for its range.
func add(bad *gateway.Invalid, field, code, message string) {
	field = orBody(field)
	for _, f := range bad.Fields {
		if f.Field == field && f.Code == code {
			return
		}
	}
	bad.Add(field, code, message)
}

func typeMessage(s *openapi3.Schema, v any) string {
	_, number := v.(json.Number)
	_, float := v.(float64)
	switch {
	case s.Type.Includes("string") && (number || float):
		return "must be a string: send notice numbers and fiscal codes as JSON strings"
	case s.Type.Includes("string"):
		return "must be a string"
	case s.Type.Includes("integer"):
		return "must be a number, not a string: amounts are whole euro cents"
	case s.Type.Includes("boolean"):
		return "must be true or false"
	case s.Type.Includes("array"):
		return "must be a list"
	}
	return "must be an object"
}

func enumeration(values []any) string {
	var names []string
	for _, v := range values {
		if s, ok := v.(string); ok {
			names = append(names, s)
		}
	}
	return strings.Join(names, ", ")
}
