// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nodogate/nodogate/gateway"
)

// maxDepth is deeper than any body of ours.
const maxDepth = 16

// readJSON reads one JSON value strictly: UTF-8 without byte order mark, no
// name twice in an object, no character that was broken on the way, whole
// numbers only (all numbers of the API are whole), nothing after the value.
// Numbers are kept as they were written. The error is *gateway.Invalid.
func readJSON(data []byte) (any, error) {
	switch {
	case bytes.HasPrefix(data, []byte("\xef\xbb\xbf")):
		return nil, wrong("body", "syntax", "leave out the byte order mark before the JSON")
	case !utf8.Valid(data):
		return nil, wrong("body", "syntax", "the body must be UTF-8")
	}
	// The token reader alone would be lenient in places.
	if err := json.Unmarshal(data, new(json.RawMessage)); err != nil {
		msg := "the body is not JSON"
		if at := (*json.SyntaxError)(nil); errors.As(err, &at) {
			msg = fmt.Sprintf("the body is not JSON: look at byte %d", at.Offset)
		}
		return nil, wrong("body", "syntax", msg)
	}
	r := jsonReader{dec: json.NewDecoder(bytes.NewReader(data))}
	r.dec.UseNumber()
	v, err := r.value("", 0)
	if err != nil {
		return nil, err
	}
	return v, r.bad.Err()
}

func wrong(field, code, message string) error {
	return &gateway.Invalid{Fields: []gateway.FieldError{{Field: field, Code: code, Message: message}}}
}

type jsonReader struct {
	dec *json.Decoder
	bad gateway.Invalid
}

func (r *jsonReader) value(path string, depth int) (any, error) {
	if depth > maxDepth {
		return nil, wrong("body", "syntax", "the body is nested too deeply")
	}
	t, err := r.dec.Token()
	if err != nil {
		return nil, err
	}
	switch t := t.(type) {
	case json.Delim:
		if t == '[' {
			return r.array(path, depth)
		}
		return r.object(path, depth)
	case json.Number:
		if strings.ContainsAny(t.String(), ".eE") {
			r.bad.Add(orBody(path), "type", "give a whole number, written in digits only")
		}
		return t, nil
	case string:
		// The decoder puts U+FFFD for half a surrogate pair. NUL cannot be stored.
		if strings.ContainsAny(t, "\x00\ufffd") {
			r.bad.Add(orBody(path), "format", "the text has a broken character in it")
		}
		return t, nil
	}
	return t, nil
}

func (r *jsonReader) array(path string, depth int) (any, error) {
	list := []any{}
	for r.dec.More() {
		v, err := r.value(fmt.Sprintf("%s[%d]", path, len(list)), depth+1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	_, err := r.dec.Token()
	return list, err
}

func (r *jsonReader) object(path string, depth int) (any, error) {
	m := map[string]any{}
	for r.dec.More() {
		t, err := r.dec.Token()
		if err != nil {
			return nil, err
		}
		name := t.(string)
		at := join(path, name)
		if _, twice := m[name]; twice {
			r.bad.Add(at, "duplicate", "this field stands twice")
		}
		if m[name], err = r.value(at, depth+1); err != nil {
			return nil, err
		}
	}
	_, err := r.dec.Token()
	return m, err
}

// join makes the path of a field. What could be no name of a field is left out:
// it could be anything, a person's code too.
func join(path, name string) string {
	if !fieldName(name) {
		name = "…"
	}
	if path == "" {
		return name
	}
	return path + "." + name
}

func fieldName(s string) bool {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '-':
		default:
			return false
		}
	}
	return len(s) > 0 && len(s) <= 40 && (s[0] < '0' || s[0] > '9') && !gateway.HoldsCode(s)
}

func orBody(path string) string {
	if path == "" {
		return "body"
	}
	return path
}

// text is null in JSON when it is empty.
type text string

func (t text) MarshalJSON() ([]byte, error) {
	if t == "" {
		return []byte("null"), nil
	}
	return json.Marshal(string(t))
}

// instant is null in JSON when it is zero.
type instant time.Time

func (i instant) MarshalJSON() ([]byte, error) {
	if time.Time(i).IsZero() {
		return []byte("null"), nil
	}
	return time.Time(i).MarshalJSON()
}
