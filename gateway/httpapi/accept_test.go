// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
)

func TestNegotiate(t *testing.T) {
	t.Parallel()
	const json, xml, pdf = "application/json", "application/xml", "application/pdf"
	for accept, want := range map[string]string{
		"":                        json,
		"*/*":                     json,
		"application/*":           json,
		"application/pdf":         pdf,
		"Application/PDF;v=\"1\"": pdf,
		"application/xml, application/json;q=0.1":         xml,
		"application/xml;q=0.5, application/pdf;q=0.9":    pdf,
		"application/xml;q=0.5,application/pdf;q=0.5":     xml,
		"text/html, application/xhtml+xml, */*;q=0.8":     json,
		"application/json;q=0, */*":                       xml,
		"*/*, application/json;q=0, application/xml;q=.5": pdf,
		"application/pdf;q=0":                             "",
		"application/pdf;q=x":                             pdf,
		"image/png":                                       "",
		"nonsense":                                        "",
		",, application/pdf":                              pdf,
	} {
		c, _ := gin.CreateTestContext(httptest.NewRecorder())
		c.Request = httptest.NewRequest("GET", "/", nil)
		if accept != "" {
			c.Request.Header.Set("Accept", accept)
		}
		if got := negotiate(c, json, xml, pdf); got != want {
			t.Errorf("negotiate(%q) = %q, want %q", accept, got, want)
		}
		if got := c.Writer.Header().Get("Vary"); got != "Accept" {
			t.Errorf("Vary: %q", got)
		}
	}
}

// HEAD is GET without the body, which the server drops.
func TestHEAD(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for path, status := range map[string]int{base: 200, base + "/notices": 200, "/api/openapi.json": 200, base + "/nothing": 404, "/oauth2/token": 405} {
		w := a.send("HEAD", path, a.school, "")
		if w.Code != status {
			t.Errorf("HEAD %s: %d, want %d", path, w.Code, status)
		}
	}
	if w, g := a.send("HEAD", base, a.school, ""), a.get(base, a.school); w.Header().Get("ETag") == "" || w.Header().Get("ETag") != g.Header().Get("ETag") {
		t.Errorf("HEAD has ETag %q, GET %q", w.Header().Get("ETag"), g.Header().Get("ETag"))
	}
}

// Objects have an ETag, and what is made says where it is: by the document, from
// which the answers are generated.
func TestObjectsHaveTheirHeaders(t *testing.T) {
	t.Parallel()
	for call, op := range newAPI(t).h.doc.operations {
		method, path, _ := strings.Cut(call, " ")
		has := func(status int, header string) bool {
			r := op.route.Operation.Responses.Status(status)
			return r != nil && r.Value.Headers[header] != nil
		}
		dir, last := pathSplit(path)
		switch {
		case method == "GET" && strings.HasPrefix(last, ":") && dir != "" && !has(200, "ETag"):
			t.Errorf("%s has no ETag", call)
		case method == "POST" && op.route.Operation.Responses.Status(201) != nil && op.id != "issueBatch" && !has(201, "Location"):
			t.Errorf("%s has no Location", call)
		}
	}
}

func pathSplit(path string) (dir, last string) {
	i := strings.LastIndexByte(path, '/')
	return path[:i], path[i+1:]
}
