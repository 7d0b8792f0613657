// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"bytes"
	"fmt"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
	"github.com/nodogate/nodogate/gateway/imports"
)

const importsPath = "/api/v1/schools/" + string(gatewaytest.SchoolCode) + "/imports"

// withImports is an API whose imports are done when work is called.
func withImports(t *testing.T) (a *testAPI, work func()) {
	a = newAPI(t, func(c *Config) { c.CheckMapping = imports.CheckMapping })
	w, err := imports.New(imports.Config{Service: a.g.Service, Name: "test", Chunk: 10})
	must(t, err)
	return a, func() {
		t.Helper()
		for {
			did, err := w.Once(t.Context())
			must(t, err)
			if !did {
				return
			}
		}
	}
}

func (a *testAPI) upload(query, body string, head ...string) *httptest.ResponseRecorder {
	a.t.Helper()
	return a.post(importsPath+query, a.school, body, append([]string{"Content-Type", "text/csv"}, head...)...)
}

func rowsOf(n int) string {
	var b strings.Builder
	b.WriteString("riferimento;codice fiscale;nome e cognome;classe;causale;importo;scadenza\n")
	for i := range n {
		fmt.Fprintf(&b, "r%d;RSSMRA10A41H501F;Maria Rossi;3B;Gita;16,50;31/12/2026\n", i)
	}
	return b.String()
}

func TestImports(t *testing.T) {
	t.Parallel()
	a, work := withImports(t)
	w := a.upload("", rowsOf(25))
	imp := as[Import](t, w, 202)
	at := w.Header().Get("Location")
	if imp.State != "running" || imp.ID == "" || imp.Progress != 0 || at != importsPath+"/"+imp.ID {
		t.Errorf("answer %+v at %s", imp, at)
	}
	work()
	imp = as[Import](t, a.get(at, a.school), 200)
	if imp.State != "done" || imp.Rows != 25 || imp.Accepted != 25 || imp.Rejected != 0 || imp.Issued != 25 || imp.Progress != 100 ||
		imp.Columns["amount"] != "importo" || imp.ColumnsSource != "guessed" || imp.Failure != nil {
		t.Errorf("import %+v", imp)
	}
	if list := as[NoticePage](t, a.get("/api/v1/schools/"+string(gatewaytest.SchoolCode)+"/notices?external_id=r7", a.school), 200); len(list.Items) != 1 {
		t.Errorf("r7: %d notices", len(list.Items))
	}
	if page := as[ImportErrorPage](t, a.get(at+"/errors", a.school), 200); len(page.Items) != 0 || page.NextCursor != "" {
		t.Errorf("errors of a good file: %+v", page)
	}
	// Again, as a dry run, with bad rows.
	imp = as[Import](t, a.upload("?dry_run=true&on_error=skip", rowsOf(2)+"r9;RSSMRA10A41H501X;Maria Rossi;3B;Gita;16,50;31/12/2020\nr8;RSSMRA10A41H501F;Maria Rossi;3B;Gita;x;31/12/2020\n"), 202)
	work()
	at = importsPath + "/" + imp.ID
	imp = as[Import](t, a.get(at, a.school), 200)
	if imp.State != "done" || !imp.DryRun || imp.Rows != 4 || imp.Accepted != 2 || imp.Rejected != 2 || imp.Issued != 0 || imp.Warnings != 1 {
		t.Errorf("dry run %+v", imp)
	}
	var got []string
	for cursor := ""; ; {
		page := as[ImportErrorPage](t, a.get(at+"/errors?limit=1"+cursor, a.school), 200)
		for _, e := range page.Items {
			got = append(got, fmt.Sprintf("%d %s %s %s %s %s", e.Row, e.Column, e.Field, e.Code, e.Value, e.Severity))
		}
		if page.NextCursor == "" {
			break
		}
		cursor = "&cursor=" + string(page.NextCursor)
	}
	want := "4 scadenza due_date past 31/12/2020 warning\n4 codice fiscale fiscal_code check_letter RSSMRA10A41H501X error\n5 importo amount format x error"
	if strings.Join(got, "\n") != want {
		t.Errorf("errors\n%s\nwant\n%s", strings.Join(got, "\n"), want)
	}
	list := as[ImportPage](t, a.get(importsPath+"?limit=1", a.school), 200)
	if len(list.Items) != 1 || list.Items[0].ID != imp.ID {
		t.Errorf("newest import: %+v", list.Items)
	}
	list = as[ImportPage](t, a.get(importsPath+"?limit=1&cursor="+string(list.NextCursor), a.school), 200)
	if len(list.Items) != 1 || list.Items[0].ID == imp.ID || list.NextCursor != "" {
		t.Errorf("the one before: %+v", list)
	}
	if strings.Contains(a.log.String(), "RSSMRA") {
		t.Error("the log names a person")
	}
}

func TestImportMapping(t *testing.T) {
	t.Parallel()
	a, work := withImports(t)
	file := strings.Replace(rowsOf(3), "importo", "quota individuale", 1)
	imp := as[Import](t, a.upload("", file), 202)
	work()
	imp = as[Import](t, a.get(importsPath+"/"+imp.ID, a.school), 200)
	if imp.State != "failed" || imp.Failure == nil || imp.Failure.Code != "columns" || !strings.Contains(imp.Failure.Message, "importo") {
		t.Errorf("without a mapping: %+v %+v", imp, imp.Failure)
	}
	mapped := "?mapping=" + url.QueryEscape(`{"amount":"Quota individuale"}`)
	imp = as[Import](t, a.upload(mapped, file), 202)
	work()
	if imp = as[Import](t, a.get(importsPath+"/"+imp.ID, a.school), 200); imp.State != "done" || imp.ColumnsSource != "given" || imp.Columns["amount"] != "quota individuale" {
		t.Errorf("with one: %+v %+v", imp, imp.Failure)
	}
	a.g.Time.Advance(time.Second)
	imp = as[Import](t, a.upload("", file), 202)
	work()
	if imp = as[Import](t, a.get(importsPath+"/"+imp.ID, a.school), 200); imp.State != "done" || imp.ColumnsSource != "remembered" || imp.Existed != 3 {
		t.Errorf("the next file: %+v %+v", imp, imp.Failure)
	}
	for query, want := range map[string]string{
		`{"amount":1}`: "type", `[]`: "syntax", `{}`: "syntax", `nonsense`: "syntax", `{"amount":"a","amount":"b"}`: "syntax", `{"colour":"a"}`: "unknown",
	} {
		expect(t, a.upload("?mapping="+url.QueryEscape(query), file), 400, "invalid_request", "mapping "+want)
	}
}

func TestImportRefused(t *testing.T) {
	t.Parallel()
	a, work := withImports(t)
	for name, tc := range map[string]struct {
		w      *httptest.ResponseRecorder
		status int
		code   string
		fields []string
	}{
		"no key":          {a.upload("", rowsOf(1), "Idempotency-Key", ""), 400, "invalid_request", []string{"Idempotency-Key required"}},
		"nothing":         {a.upload("", ""), 400, "invalid_request", []string{"body empty"}},
		"blanks":          {a.upload("", " \n "), 400, "invalid_request", []string{"body empty"}},
		"a PDF":           {a.upload("", "%PDF-1.7"), 400, "invalid_request", []string{"body format"}},
		"an old workbook": {a.upload("", "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), 400, "invalid_request", []string{"body format"}},
		"JSON":            {a.upload("", rowsOf(1), "Content-Type", "application/json"), 415, "unsupported_media_type", nil},
		"no type":         {a.upload("", rowsOf(1), "Content-Type", ""), 415, "unsupported_media_type", nil},
		"compressed":      {a.upload("", rowsOf(1), "Content-Encoding", "gzip"), 415, "unsupported_media_type", nil},
		"on_error":        {a.upload("?on_error=guess", rowsOf(1)), 400, "invalid_request", []string{"on_error unknown"}},
		"dry_run":         {a.upload("?dry_run=perhaps", rowsOf(1)), 400, "invalid_request", []string{"dry_run format"}},
		"a parameter":     {a.upload("?dryrun=true", rowsOf(1)), 400, "invalid_request", []string{"dryrun unknown"}},
		"too large":       {a.upload("", strings.Repeat("a;b\n", gateway.MaxUpload/4+1)), 413, "file_too_large", nil},
	} {
		t.Run(name, func(t *testing.T) { expect(t, tc.w, tc.status, tc.code, tc.fields...) })
	}
	expect(t, a.get(importsPath+"/nobody", a.school), 404, "not_found")
	expect(t, a.get(importsPath+"/nobody/errors", a.school), 404, "not_found")

	// The key stands for the file and what was asked.
	first := a.upload("", rowsOf(3), "Idempotency-Key", "one")
	again := a.upload("", rowsOf(3), "Idempotency-Key", "one")
	if first.Code != 202 || again.Code != 202 || !bytes.Equal(first.Body.Bytes(), again.Body.Bytes()) ||
		again.Header().Get("Idempotency-Replayed") != "true" || again.Header().Get("Location") != first.Header().Get("Location") {
		t.Errorf("again: %d %s %v, first %d %s", again.Code, again.Body, again.Header(), first.Code, first.Body)
	}
	expect(t, a.upload("", rowsOf(4), "Idempotency-Key", "one"), 422, "idempotency_key_reused")
	expect(t, a.upload("?dry_run=true", rowsOf(3), "Idempotency-Key", "one"), 422, "idempotency_key_reused")
	work()
	list := as[ImportPage](t, a.get(importsPath, a.school), 200)
	if len(list.Items) != 1 || list.Items[0].Accepted != 3 {
		t.Errorf("imports %+v", list.Items)
	}
	// What was refused left no file behind.
	a.uploadsLeft(0)
}

// uploadsLeft counts the files that are kept, in the tables themselves.
func (a *testAPI) uploadsLeft(want int) {
	a.t.Helper()
	n, err := a.g.Store.CountUploads(a.t.Context())
	if err != nil || n != want {
		a.t.Errorf("%d files are kept, %v, want %d", n, err, want)
	}
}
