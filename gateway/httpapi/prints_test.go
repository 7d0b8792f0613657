// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"strings"
	"testing"
	"time"

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

// printed is a print that is done, with this file.
func (a *testAPI) printed(file string) gateway.Print {
	a.t.Helper()
	a.g.Issue()
	asked, err := a.g.AskPrint(a.t.Context(), gatewaytest.Operator, gatewaytest.SchoolCode, gateway.NewPrint{Class: "3B"})
	must(a.t, err)
	p, err := a.g.ClaimPrint(a.t.Context(), "test")
	must(a.t, err)
	if p.ID != asked.ID {
		a.t.Fatalf("claimed %s, want %s", p.ID, asked.ID)
	}
	p.File, err = a.g.StoreUpload(a.t.Context(), p.School, strings.NewReader(file))
	must(a.t, err)
	p.State, p.Printed = gateway.PrintDone, len(p.Numbers)
	must(a.t, a.g.FinishPrint(a.t.Context(), p))
	return p
}

func TestPrints(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	n := a.g.Issue()
	const prints = "/api/v1/schools/80014480828/prints"
	w := a.post(prints, a.school, `{"class":"3B","format":"zip","language":"de"}`)
	begun := as[Print](t, w, 202)
	path := prints + "/" + begun.ID
	if w.Header().Get("Location") != path || begun.State != "running" || begun.Notices != 1 || begun.Progress != 0 || begun.FileURL != "" || !time.Time(begun.ExpiresAt).IsZero() || begun.Language != "de" {
		t.Errorf("begun at %s as %+v", w.Header().Get("Location"), begun)
	}
	expect(t, a.get(path+"/file", a.school), 409, "print_not_done")
	p, err := a.g.ClaimPrint(t.Context(), "test")
	must(t, err)
	p.File, err = a.g.StoreUpload(t.Context(), p.School, strings.NewReader("PK"+strings.Repeat("x", 600_000)))
	must(t, err)
	p.State, p.Printed = gateway.PrintDone, 1
	must(t, a.g.FinishPrint(t.Context(), p))
	done := as[Print](t, a.get(path, a.school), 200)
	if done.State != "done" || done.Printed != 1 || done.Progress != 100 || time.Time(done.ExpiresAt).IsZero() || string(done.FileURL) != "https://pagamenti.example"+path+"/file" {
		t.Errorf("done as %+v", done)
	}
	w = a.get(path+"/file", a.school)
	if w.Code != 200 || w.Body.Len() != 600_002 || w.Header().Get("Content-Type") != "application/zip" ||
		w.Header().Get("Content-Disposition") != `attachment; filename="avvisi-`+begun.ID+`.zip"` || w.Header().Get("Content-Length") != "600002" {
		t.Errorf("the file is %d, %d bytes, %v", w.Code, w.Body.Len(), w.Header())
	}
	if w := a.get(prints+"/"+a.printed("%PDF-1.7").ID+"/file", a.school); w.Header().Get("Content-Type") != "application/pdf" || w.Body.String() != "%PDF-1.7" {
		t.Errorf("a PDF is %v %s", w.Header(), w.Body)
	}

	other := a.g.AddSchool(gatewaytest.OtherCode, "IC 1 Follonica")
	c, secret := a.g.Client(other.Code, gateway.Scopes...)
	expect(t, a.get("/api/v1/schools/80015010723/prints/"+begun.ID, a.token(c, secret)), 404, "not_found")
	expect(t, a.get(prints+"/nothing", a.school), 404, "not_found")
	expect(t, a.post(prints, a.school, `{}`), 400, "invalid_request", "class required")
	expect(t, a.post(prints, a.school, `{"class":"9Z"}`), 400, "invalid_request", "class unknown")
	expect(t, a.post(prints, a.school, `{"notices":["301000000000000000"]}`), 400, "invalid_request", "notices[0] unknown")
	expect(t, a.post(prints, a.school, `{"notices":["`+n.Number.String()+`"],"language":"it"}`), 400, "invalid_request", "language unknown")
	a.g.Time.Advance(23 * time.Hour)
	a.school = a.token(a.g.Client(gatewaytest.SchoolCode, gateway.Scopes...))
	expect(t, a.get(path, a.school), 404, "not_found")
	expect(t, a.get(path+"/file", a.school), 404, "not_found")
}
