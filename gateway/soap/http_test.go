// SPDX-License-Identifier: Apache-2.0

package soap

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
)

func TestReadBody(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, method string
		body         io.Reader
		header       http.Header
		want         int
	}{
		{"text/xml", "POST", strings.NewReader("x"), http.Header{"Content-Type": {"text/xml"}}, 200},
		{"application/xml", "POST", strings.NewReader("x"), http.Header{"Content-Type": {"application/xml"}}, 200},
		{"charset", "POST", strings.NewReader("x"), http.Header{"Content-Type": {`Text/XML; Charset="UTF-8"`}}, 200},
		{"as long as allowed", "POST", strings.NewReader(strings.Repeat("x", MaxBody)), http.Header{"Content-Type": {"text/xml"}}, 200},
		{"GET", "GET", nil, http.Header{"Content-Type": {"text/xml"}}, 405},
		{"TRACE", "TRACE", nil, nil, 405},
		{"no type", "POST", strings.NewReader("x"), nil, 415},
		{"JSON", "POST", strings.NewReader("x"), http.Header{"Content-Type": {"application/json"}}, 415},
		{"SOAP 1.2", "POST", strings.NewReader("x"), http.Header{"Content-Type": {"application/soap+xml"}}, 415},
		{"multipart", "POST", strings.NewReader("x"), http.Header{"Content-Type": {`multipart/related; type="text/xml"; boundary=b`}}, 415},
		{"other charset", "POST", strings.NewReader("x"), http.Header{"Content-Type": {"text/xml; charset=iso-8859-1"}}, 415},
		{"empty charset", "POST", strings.NewReader("x"), http.Header{"Content-Type": {`text/xml; charset=""`}}, 415},
		{"two charsets", "POST", strings.NewReader("x"), http.Header{"Content-Type": {"text/xml; charset=utf-8; charset=utf-7"}}, 415},
		{"two types", "POST", strings.NewReader("x"), http.Header{"Content-Type": {"text/xml", "text/xml"}}, 415},
		{"gzip", "POST", strings.NewReader("x"), http.Header{"Content-Type": {"text/xml"}, "Content-Encoding": {"gzip"}}, 415},
		{"identity", "POST", strings.NewReader("x"), http.Header{"Content-Type": {"text/xml"}, "Content-Encoding": {"identity"}}, 415},
		{"too long", "POST", strings.NewReader(strings.Repeat("x", MaxBody+1)), http.Header{"Content-Type": {"text/xml"}}, 413},
		{"broken", "POST", iotest.ErrReader(errors.New("reset")), http.Header{"Content-Type": {"text/xml"}}, 400},
	} {
		r := httptest.NewRequest(tc.method, "/soap", tc.body)
		r.Header = tc.header
		w := httptest.NewRecorder()
		body, got := ReadBody(w, r)
		if got != tc.want || (got == 200) != (len(body) > 0) {
			t.Errorf("%s: status %d with %d bytes, want %d", tc.name, got, len(body), tc.want)
		}
		if allow := w.Header().Get("Allow"); (got == 405) != (allow == "POST") {
			t.Errorf("%s: Allow is %q", tc.name, allow)
		}
	}
}

func TestActionAgrees(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		values []string
		want   bool
	}{
		{nil, true}, {[]string{""}, true}, {[]string{`""`}, true},
		{[]string{"op"}, true}, {[]string{`"op"`}, true},
		{[]string{"OP"}, false}, {[]string{`"op`}, false}, {[]string{"opV2"}, false},
		{[]string{"urn:x/op"}, false}, {[]string{"op", "op"}, false}, {[]string{`"`}, false},
	} {
		h := http.Header{}
		for _, v := range tc.values {
			h.Add("SOAPAction", v)
		}
		if got := ActionAgrees(h, "op"); got != tc.want {
			t.Errorf("ActionAgrees(%q) = %v, want %v", tc.values, got, tc.want)
		}
	}
}
