// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/xuri/excelize/v2"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
	"github.com/nodogate/nodogate/gateway/imports"
)

const exportsPath = "/api/v1/schools/" + string(gatewaytest.SchoolCode) + "/exports/"

// csvTable opens an export as a spreadsheet program does.
func (a *testAPI) csvTable(path string) [][]string {
	a.t.Helper()
	w := a.get(exportsPath+path, a.school)
	if w.Code != 200 || w.Header().Get("Content-Type") != "text/csv; charset=utf-8" || !strings.HasPrefix(w.Body.String(), "\ufeff") {
		a.t.Fatalf("%s: %d %s %.300s", path, w.Code, w.Header().Get("Content-Type"), w.Body)
	}
	r := csv.NewReader(strings.NewReader(strings.TrimPrefix(w.Body.String(), "\ufeff")))
	r.Comma = ';'
	rows, err := r.ReadAll()
	must(a.t, err)
	return rows
}

func (a *testAPI) workbook(path string) *excelize.File {
	a.t.Helper()
	w := a.get(exportsPath+path, a.school)
	if w.Code != 200 || !strings.HasSuffix(w.Header().Get("Content-Disposition"), `.xlsx"`) {
		a.t.Fatalf("%s: %d %v", path, w.Code, w.Header())
	}
	f, err := excelize.OpenReader(bytes.NewReader(w.Body.Bytes()))
	must(a.t, err)
	a.t.Cleanup(func() { _ = f.Close() })
	return f
}

func TestExportNotices(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	var last gateway.Notice
	for i := range 3 {
		last = a.g.Issue(func(n *gateway.NewNotice) {
			n.ExternalID, n.Class = fmt.Sprint("gita-", i), fmt.Sprint(i+1, "B")
			n.DebtorName, n.Description = "=cmd|' /C calc'!A0", "Gita; \"lunga\" a Forlì"
			n.Amount = 123456
		})
	}
	paid := a.g.Settle(last, "")
	rows := a.csvTable("notices")
	if len(rows) != 4 || strings.Join(rows[0], ";") != strings.Join(noticeExport, ";") {
		t.Fatalf("rows %q", rows)
	}
	row := map[string]string{}
	for i, name := range rows[0] {
		row[name] = rows[1][i] // the newest
	}
	for name, want := range map[string]string{
		"Numero avviso": last.Number.String(), "IUV": last.Number.IUV(), "Stato": "Pagato", "Riferimento": "gita-2", "Codice fiscale": "RSSMRA10A41H501F",
		"Nome e cognome": "'=cmd|' /C calc'!A0", "Classe": "3B", "Causale": "Gita; \"lunga\" a Forlì", "Importo": "1234,56", "Scadenza": "31/12/2026", "Emesso il": "23/11/2026 09:00:00",
	} {
		if row[name] != want {
			t.Errorf("%s = %q, want %q", name, row[name], want)
		}
	}
	if rows := a.csvTable("notices?status=open&class=1B"); len(rows) != 2 || rows[1][3] != "gita-0" {
		t.Errorf("filtered rows %q", rows)
	}
	f := a.workbook("notices?format=xlsx&status=paid")
	sheet := f.GetSheetName(0)
	for ref, want := range map[string]string{"A1": "Numero avviso", "A2": last.Number.String(), "F2": "'=cmd|' /C calc'!A0", "I2": "1234.56", "J2": "46387", "A3": ""} {
		got, err := f.GetCellValue(sheet, ref, excelize.Options{RawCellValue: true})
		formula, err2 := f.GetCellFormula(sheet, ref)
		if got != want || formula != "" || err != nil || err2 != nil {
			t.Errorf("%s = %q, formula %q, %v %v, want %q", ref, got, formula, err, err2, want)
		}
	}
	if kind, err := f.GetCellType(sheet, "I2"); err != nil || kind != excelize.CellTypeUnset && kind != excelize.CellTypeNumber {
		t.Errorf("an amount is of type %v, %v", kind, err)
	}

	// The payment and its receipt.
	rows = a.csvTable("payments")
	if len(rows) != 2 || rows[1][1] != "1234,56" || rows[1][2] != "1234,56" || rows[1][3] != last.Number.String() || rows[1][5] != "gita-2" || rows[1][19] != paid.Content.ID {
		t.Errorf("payments %q", rows)
	}
	rows = a.csvTable("receipts?notice=" + last.Number.String())
	if len(rows) != 2 || rows[1][0] != paid.Content.ID || rows[1][3] != "1234,56" {
		t.Errorf("receipts %q", rows)
	}
	if rows := a.csvTable("receipts?anomaly=any"); len(rows) != 1 {
		t.Errorf("receipts with an anomaly %q", rows)
	}
	for path, field := range map[string]string{"notices?format=pdf": "format unknown", "notices?status=odd": "status unknown", "notices?due_from=x": "due_from format", "receipts?notice=1": "notice format", "payments?limit=5": "limit unknown"} {
		expect(t, a.get(exportsPath+path, a.school), 400, "invalid_request", field)
	}
	if got := a.audited("export."); got != 6 {
		t.Errorf("%d exports in the audit, want 6", got)
	}
	if w := a.get(exportsPath+"notices", a.school); !strings.Contains(w.Header().Get("Content-Disposition"), "avvisi-80014480828-2026-11-23.csv") {
		t.Errorf("file name %q", w.Header().Get("Content-Disposition"))
	}
}

// audited counts the lines of the audit whose action begins so.
func (a *testAPI) audited(action string) int {
	a.t.Helper()
	n, err := a.g.Store.CountAudit(a.t.Context(), gatewaytest.SchoolCode, action)
	must(a.t, err)
	return n
}

// More than one page: every row once, in order.
func TestExportPages(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	const n = 2*exportPage + 7
	u, err := a.g.StoreUpload(t.Context(), gatewaytest.SchoolCode, strings.NewReader(rowsOf(n)))
	must(t, err)
	imp, err := a.g.CreateImport(t.Context(), gatewaytest.Operator, gatewaytest.SchoolCode, gateway.NewImport{Upload: u, Worker: "w"})
	must(t, err)
	w, err := imports.New(imports.Config{Service: a.g.Service, Name: "w"})
	must(t, err)
	_, err = w.Do(t.Context(), imp)
	must(t, err)
	rows := a.csvTable("notices")
	if len(rows) != n+1 {
		t.Fatalf("%d rows", len(rows))
	}
	for i, r := range rows[1:] {
		if want := fmt.Sprint("r", n-1-i); r[3] != want {
			t.Fatalf("row %d is %s, want %s", i, r[3], want)
		}
	}
	// An exported table is one that imports read.
	imp2 := as[Import](t, a.upload("?dry_run=true&on_error=skip", a.get(exportsPath+"notices", a.school).Body.String()), 202)
	if _, err := w.Once(t.Context()); err != nil {
		t.Fatal(err)
	}
	imp2 = as[Import](t, a.get(importsPath+"/"+imp2.ID, a.school), 200)
	if imp2.State != "done" || imp2.Rows != n || imp2.Rejected != n || imp2.Columns["number"] != "Numero avviso" {
		t.Errorf("read back: %+v", imp2)
	}
	page := as[ImportErrorPage](t, a.get(importsPath+"/"+imp2.ID+"/errors?limit=1", a.school), 200)
	if len(page.Items) != 1 || page.Items[0].Code != "external_id_exists" {
		t.Errorf("its rows are refused with %+v", page.Items)
	}
}

// A database that goes away in the middle cuts the connection: half a table must
// not look whole.
func TestExportCut(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.g.Issue()
	calls := 0
	e := &export{h: a.h, name: "notices", school: gatewaytest.SchoolCode, format: "csv", columns: []string{"a"}, first: [][]any{{"x"}}}
	e.ctx = context.WithValue(t.Context(), callKey{}, &call{id: "r"})
	e.next = func(context.Context) ([][]any, error) { calls++; return nil, gateway.ErrConflict }
	defer func() {
		p := recover()
		if err, _ := p.(error); !errors.Is(err, http.ErrAbortHandler) || calls != 1 {
			t.Errorf("panic %v after %d calls, want ErrAbortHandler", p, calls)
		}
	}()
	_ = e.write(httptest.NewRecorder())
}
