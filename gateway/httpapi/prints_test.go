// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"testing"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
)

func TestPrintNotice(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	n := a.g.Issue()
	path := "/api/v1/schools/" + string(n.School) + "/notices/" + n.Number.String() + "/pdf"
	w := a.get(path+"?language=sl", a.school)
	if want := "%PDF-1.7 " + n.Number.String() + " IC 6 Grosseto sl"; w.Code != 200 || w.Body.String() != want ||
		w.Header().Get("Content-Type") != "application/pdf" || w.Header().Get("Content-Disposition") != `attachment; filename="avviso-`+n.Number.String()+`.pdf"` {
		t.Errorf("got %d %v %s, want %s", w.Code, w.Header(), w.Body, want)
	}
	expect(t, a.get(path+"?language=it", a.school), 400, "invalid_request", "language unknown")
	expect(t, a.get(path+"?lingua=de", a.school), 400, "invalid_request", "lingua unknown")
	expect(t, a.get("/api/v1/schools/80014480828/notices/301000000000000000/pdf", a.school), 404, "not_found")
	expect(t, a.get("/api/v1/schools/80014480828/notices/1/pdf", a.school), 404, "not_found")
	a.g.Settle(n, "")
	expect(t, a.get(path, a.school), 409, "notice_paid")
	expired := a.g.Issue(func(n *gateway.NewNotice) { n.DueDate = "2026-11-01" })
	expect(t, a.get("/api/v1/schools/80014480828/notices/"+expired.Number.String()+"/pdf", a.school), 409, "notice_expired")
	cancelled := a.g.Issue()
	_, err := a.g.Cancel(t.Context(), gatewaytest.Operator, cancelled.School, cancelled.Number)
	must(t, err)
	expect(t, a.get("/api/v1/schools/80014480828/notices/"+cancelled.Number.String()+"/pdf", a.school), 409, "notice_cancelled")
}
