// SPDX-License-Identifier: Apache-2.0

package imports_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/xuri/excelize/v2"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
	"github.com/nodogate/nodogate/gateway/imports"
)

const header = "Riferimento;Codice fiscale;Cognome e nome;Classe;Causale;Importo;Scadenza\n"

// office is a gateway with a worker of imports.
type office struct {
	*gatewaytest.Gateway
	w   *imports.Worker
	log *bytes.Buffer
}

func newOffice(g *gatewaytest.Gateway, change ...func(*imports.Config)) office {
	g.T.Helper()
	o := office{g, nil, &bytes.Buffer{}}
	o.w = o.worker("one", change...)
	return o
}

func (o office) worker(name string, change ...func(*imports.Config)) *imports.Worker {
	o.T.Helper()
	cfg := imports.Config{Service: o.Service, Name: name, Log: slog.New(slog.NewTextHandler(o.log, nil)), Chunk: 7}
	for _, f := range change {
		f(&cfg)
	}
	w, err := imports.New(cfg)
	if err != nil {
		o.T.Fatal(err)
	}
	return w
}

// put stores a file and begins its import.
func (o office) put(file []byte, change ...func(*gateway.NewImport)) gateway.Import {
	o.T.Helper()
	ctx := context.Background()
	o.Time.Advance(time.Second)
	u, err := o.StoreUpload(ctx, gatewaytest.SchoolCode, bytes.NewReader(file))
	if err != nil {
		o.T.Fatal(err)
	}
	in := gateway.NewImport{Upload: u}
	for _, f := range change {
		f(&in)
	}
	imp, err := o.CreateImport(ctx, gatewaytest.Operator, gatewaytest.SchoolCode, in)
	if err != nil {
		o.T.Fatal(err)
	}
	return imp
}

func (o office) get(id string) gateway.Import {
	o.T.Helper()
	imp, err := o.Import(context.Background(), gatewaytest.SchoolCode, id)
	if err != nil {
		o.T.Fatal(err)
	}
	return imp
}

// load is put, and the worker's work.
func (o office) load(file []byte, change ...func(*gateway.NewImport)) gateway.Import {
	o.T.Helper()
	imp := o.put(file, change...)
	if did, err := o.w.Once(context.Background()); !did || err != nil {
		o.T.Fatalf("Once = %v, %v", did, err)
	}
	return o.get(imp.ID)
}

// found writes an import's errors, one a line: row, column, code, value; w for a
// warning.
func (o office) found(id string) string {
	o.T.Helper()
	list, err := o.ImportErrors(context.Background(), gatewaytest.SchoolCode, id, 0, 1000)
	if err != nil {
		o.T.Fatal(err)
	}
	var b strings.Builder
	for _, e := range list {
		mark := ""
		if e.Warning {
			mark = " w"
		}
		fmt.Fprintf(&b, "%d %s %s %q%s\n", e.Row, e.Column, e.Code, e.Value, mark)
		if e.Message == "" || e.Message == "il valore non va bene" {
			o.T.Errorf("row %d, %s: no words for it", e.Row, e.Code)
		}
	}
	return b.String()
}

func (o office) notices() []gateway.Notice {
	o.T.Helper()
	list, err := o.Notices(context.Background(), gatewaytest.SchoolCode, gateway.NoticeFilter{})
	if err != nil {
		o.T.Fatal(err)
	}
	return list
}

func (o office) want(imp gateway.Import, state gateway.ImportState, rows, accepted, rejected int) {
	o.T.Helper()
	if imp.State != state || imp.Rows != rows || imp.Accepted != accepted || imp.Rejected != rejected || imp.Progress != 100 || imp.FinishedAt.IsZero() {
		o.T.Errorf("import %s, rows %d, accepted %d, rejected %d, progress %d, want %s, %d, %d, %d (%s %s)",
			imp.State, imp.Rows, imp.Accepted, imp.Rejected, imp.Progress, state, rows, accepted, rejected, imp.Report.FailedCode, imp.Report.FailedText)
	}
}

// class is a file of n good rows.
func class(n int) []byte {
	var b strings.Builder
	b.WriteString(header)
	for i := range n {
		fmt.Fprintf(&b, "gita-%04d;RSSMRA10A41H501F;ROSSI MARIA;3^B;Viaggio di istruzione;16,50;31/12/2026\n", i)
	}
	return []byte(b.String())
}

func skip(in *gateway.NewImport) { in.OnError = gateway.OnErrorSkip }
func dry(in *gateway.NewImport)  { in.DryRun = true }

func TestImport(t *testing.T) {
	t.Parallel()
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		o := newOffice(g)
		imp := o.load(class(100))
		o.want(imp, gateway.ImportDone, 100, 100, 0)
		if imp.Issued != 100 || imp.Report.Source != "guessed" || imp.Report.Columns["fiscal_code"] != "Codice fiscale" || imp.Report.HeaderRow != 1 {
			t.Errorf("import %+v", imp)
		}
		list := o.notices()
		if len(list) != 100 {
			t.Fatalf("%d notices", len(list))
		}
		// Within what is issued at once, the file's order is the list's, newest first.
		n := list[slices.IndexFunc(list, func(n gateway.Notice) bool { return n.ExternalID == "gita-0000" })]
		if n.ExternalID != "gita-0000" || n.Debtor.Name != "MARIA ROSSI" || n.Debtor.Class != "3B" || n.Amount != 1650 || n.DueDate.String() != "2026-12-31" {
			t.Errorf("notice %+v", n)
		}
		events, err := o.Events(t.Context(), gatewaytest.SchoolCode, n.Number)
		if err != nil || len(events) != 1 || events[0].Actor != gatewaytest.Operator {
			t.Errorf("events %+v, %v", events, err)
		}
		// It is the notice that the API would have made.
		again, err := o.Service.Issue(t.Context(), gatewaytest.Operator, gatewaytest.SchoolCode, []gateway.NewNotice{{
			ExternalID: "gita-0000", DebtorCode: "RSSMRA10A41H501F", DebtorName: "MARIA ROSSI", Class: "3B", Description: "Viaggio di istruzione", Amount: 1650, DueDate: "2026-12-31",
		}}, false)
		if err != nil || !again[0].Existed || again[0].Notice.Number != n.Number {
			t.Errorf("the same by Issue = %+v, %v", again, err)
		}

		// The same file changes nothing, as a workbook neither.
		imp = o.load(class(100))
		o.want(imp, gateway.ImportDone, 100, 100, 0)
		if imp.Existed != 100 || imp.Issued != 0 || len(o.notices()) != 100 {
			t.Errorf("again: %+v, %d notices", imp, len(o.notices()))
		}
		// The file is gone; that it was here is known.
		if _, err := o.OpenUpload(t.Context(), gatewaytest.SchoolCode, imp.Upload).ReadAt(make([]byte, 1), 0); !errors.Is(err, gateway.ErrNotFound) {
			t.Errorf("the file after the import: %v", err)
		}
		told := 0
		for {
			claimed, err := o.Store.ClaimMessages(t.Context(), "event", "", o.Now(), time.Minute, 500)
			if err != nil || len(claimed) == 0 {
				break
			}
			for _, m := range claimed {
				if bytes.Contains(m.Payload, []byte(`"import.finished"`)) {
					told++
				}
			}
		}
		if told != 2 {
			t.Errorf("import.finished was told %d times, want 2", told)
		}
		if strings.Contains(o.log.String(), "RSSMRA") || strings.Contains(o.log.String(), "ROSSI") {
			t.Errorf("the log names a person: %s", o.log)
		}
	})
}

const bad = header +
	"a1;RSSMRA10A41H501F;Rossi Maria;3B;Gita;16,50;31/12/2026\n" +
	"a2;RSSMRA10A41H501X;Rossi Maria;3B;Gita;16,505;31/02/2026\n" +
	";;;;;;\n" +
	"a1;RSSMRA10A41H501F;Rossi Maria;3B;Gita;17,00;31/12/2026\n" +
	";RSSMRA10A41H501F;Bianchi Ugo;3B;Gita;1.650;01/01/2026\n" +
	"a 3;RSSMRA10A41H501F;;troppo lunga come classe;Gita di RSSMRA10A41H501F;-5;domani\n" +
	"a4;RSSMRA10A41H501F;Rossi Maria;3B;Gita;16;50;31/12/2026\n" +
	";;Totale;;;66,00;\n"

func TestBadRows(t *testing.T) {
	t.Parallel()
	const want = "3 Importo format \"16,505\"\n3 Scadenza format \"31/02/2026\"\n3 Codice fiscale check_letter \"RSSMRA10A41H501X\"\n" +
		"5 Riferimento duplicate \"a1\"\n" +
		"6 Scadenza past \"01/01/2026\" w\n6 Importo thousands \"1.650\" w\n6 Cognome e nome name_mismatch \"Bianchi Ugo\" w\n" +
		"7 Cognome e nome required \"\"\n7 Importo range \"-5\"\n7 Scadenza format \"domani\"\n" +
		"7 Classe format \"troppo lunga come classe\"\n7 Causale personal_data \"Gita di RSSMRA10A41H501F\"\n7 Riferimento format \"a 3\"\n" +
		"8 Scadenza format \"50\"\n8  too_many_cells \"\"\n"
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		o := newOffice(g)
		imp := o.load([]byte(bad), dry)
		o.want(imp, gateway.ImportDone, 6, 2, 4)
		if got := o.found(imp.ID); got != want {
			t.Errorf("dry run found\n%swant\n%s", got, want)
		}
		if imp.Warnings != 3 || len(o.notices()) != 0 {
			t.Errorf("%d warnings, %d notices after a dry run", imp.Warnings, len(o.notices()))
		}
		imp = o.load([]byte(bad))
		o.want(imp, gateway.ImportFailed, 6, 0, 4)
		if imp.Report.FailedCode != "rows_rejected" || len(o.notices()) != 0 {
			t.Errorf("stop: %+v, %d notices", imp.Report, len(o.notices()))
		}
		imp = o.load([]byte(bad), skip)
		o.want(imp, gateway.ImportDone, 6, 2, 4)
		if got := o.found(imp.ID); got != want || len(o.notices()) != 2 {
			t.Errorf("skip found\n%swant\n%sand issued %d", got, want, len(o.notices()))
		}
		// What the gateway refuses is said in the words of the file.
		imp = o.load([]byte(header+"a 3;RSSMRA10A41H501X;x;troppo lunga come classe;Gita di RSSMRA10A41H501F;1;1/1/2027\n"+
			"a1;RSSMRA10A41H501F;Rossi Maria;3B;Altra gita;16,50;31/12/2026\n"), skip)
		o.want(imp, gateway.ImportDone, 2, 0, 2)
		if got, want := o.found(imp.ID), "2 Codice fiscale check_letter \"RSSMRA10A41H501X\"\n2 Classe format \"troppo lunga come classe\"\n"+
			"2 Causale personal_data \"Gita di RSSMRA10A41H501F\"\n2 Riferimento format \"a 3\"\n3 Riferimento external_id_exists \"a1\"\n"; got != want {
			t.Errorf("found\n%swant\n%s", got, want)
		}
	})
}

// Rows without a reference have one of their content.
func TestWithoutReference(t *testing.T) {
	t.Parallel()
	o := newOffice(gatewaytest.New(t))
	file := []byte("nome;cognome;cf;causale;importo;scadenza\nMaria;Rossi;rssmra10a41h501f;Gita;16.50;2026-12-31\nMaria;Rossi;RSSMRA10A41H501F;Mensa;16.50;2026-12-31\n")
	o.want(o.load(file), gateway.ImportDone, 2, 2, 0)
	imp := o.load(file)
	o.want(imp, gateway.ImportDone, 2, 2, 0)
	list := o.notices()
	if imp.Existed != 2 || len(list) != 2 || !strings.HasPrefix(list[0].ExternalID, "imp-") || list[0].Debtor.Name != "Maria Rossi" {
		t.Errorf("%d existed, notices %+v", imp.Existed, list)
	}
	imp = o.load(append(file, "Maria;Rossi;RSSMRA10A41H501F;Gita;16,50;31/12/2026\n"...))
	o.want(imp, gateway.ImportFailed, 3, 0, 1)
	if got := o.found(imp.ID); got != "4  duplicate \"\"\n" {
		t.Errorf("found %s", got)
	}
}

func TestFilesThatFail(t *testing.T) {
	t.Parallel()
	o := newOffice(gatewaytest.New(t))
	for _, tc := range []struct {
		name, file, code string
	}{
		{"no header", "RSSMRA10A41H501F;Rossi Maria;Gita;16,50;31/12/2026\n", "columns"},
		{"a column is missing", "cf;nome e cognome;importo;scadenza\na;b;c;d\n", "columns"},
		{"a header alone", header, "empty"},
		{"a quote that never ends", string(class(20)) + "\"x;y\n", "syntax"},
		{"two encodings", string(class(2)) + "a;RSSMRA10A41H501F;Niccolò;3B;\xe8;1;1/1/2027\n", "encoding"},
		{"a web page", "<html>", "format"},
	} {
		imp := o.load([]byte(tc.file), skip)
		if imp.State != gateway.ImportFailed || imp.Report.FailedCode != tc.code || imp.Report.FailedText == "" || o.found(imp.ID) == "" {
			t.Errorf("%s: %s %+v", tc.name, imp.State, imp.Report)
		}
	}
	if n := len(o.notices()); n != 0 {
		t.Errorf("%d notices of files that fail", n)
	}
}

func TestMapping(t *testing.T) {
	t.Parallel()
	o := newOffice(gatewaytest.New(t))
	file := "Gita a Siena - classe 3B\n\nChi;Id persona;Perché;Quota;Entro;Importo;Note\nMaria Rossi;RSSMRA10A41H501F;Gita;16,50;31/12/2026;99;x\n"
	o.want(o.load([]byte(file)), gateway.ImportFailed, 0, 0, 0)
	said := func(in *gateway.NewImport) {
		in.Mapping = map[string]string{"full_name": "chi", "fiscal_code": "ID PERSONA", "description": "Perche", "amount": "Quota", "due_date": "Entro"}
	}
	imp := o.load([]byte(file), said)
	o.want(imp, gateway.ImportDone, 1, 1, 0)
	if imp.Report.Source != "given" || imp.Report.HeaderRow != 3 || fmt.Sprint(imp.Report.Ignored) != "[Importo Note]" || o.notices()[0].Amount != 1650 {
		t.Errorf("report %+v", imp.Report)
	}
	imp = o.load([]byte(strings.Replace(file, "16,50", "18,00", 1)))
	o.want(imp, gateway.ImportDone, 1, 1, 0)
	if imp.Report.Source != "remembered" || imp.Report.Columns["amount"] != "Quota" || o.notices()[0].Amount != 1800 {
		t.Errorf("the next file: %+v", imp.Report)
	}
	imp = o.load([]byte(file), said, func(in *gateway.NewImport) { in.Mapping["amount"] = "Manca" })
	if imp.State != gateway.ImportFailed || imp.Report.FailedCode != "columns" {
		t.Errorf("a column that is not there: %+v", imp.Report)
	}
	for _, m := range []map[string]string{{"colour": "x"}, {"amount": " "}} {
		if imports.CheckMapping(m) == nil {
			t.Errorf("CheckMapping(%v) is right", m)
		}
	}
}

func TestWorkbookAndNDJSON(t *testing.T) {
	t.Parallel()
	o := newOffice(gatewaytest.New(t))
	f := excelize.NewFile()
	for i, row := range [][]any{
		{"Gita a Siena"},
		{"Riferimento", "Codice fiscale", "Nome e cognome", "Classe", "Causale", "Importo", "Scadenza", "Numero"},
		{"x1", "RSSMRA10A41H501F", "Maria Rossi", "3B", "Gita", 16.5, time.Date(2026, 12, 31, 0, 0, 0, 0, time.UTC), ""},
		{"x2", "RSSMRA80A01H501U", "Mario Rossi", "", "", 1234.56, "31/12/2026", ""},
		{"x3", 80014480828, "Scuola", "", "", 1, "31/12/2026", 3.012026e17},
		{"x4", "ANONIMO", "Ignoto", "", "Altro", nil, "31/12/2026", ""},
	} {
		cell, err := excelize.CoordinatesToCellName(1, i+1)
		if err == nil {
			err = f.SetSheetRow("Sheet1", cell, &row)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	err := errors.Join(f.MergeCell("Sheet1", "E3", "E5"), f.SetCellFormula("Sheet1", "F6", "F3*2"))
	var b bytes.Buffer
	if err = errors.Join(err, f.Write(&b)); err != nil {
		t.Fatal(err)
	}
	imp := o.load(b.Bytes(), skip)
	o.want(imp, gateway.ImportDone, 4, 2, 2)
	if got, want := o.found(imp.ID), "5 Numero spoiled \"301202600000000000\"\n6 Importo formula \"\"\n"; got != want {
		t.Errorf("found\n%swant\n%s", got, want)
	}
	for _, n := range o.notices() {
		if n.ExternalID != "x4" && n.Description != "Gita" {
			t.Errorf("the merged causale is %q in %s", n.Description, n.ExternalID)
		}
	}
	lines := `{"external_id":"n1","fiscal_code":"RSSMRA10A41H501F","full_name":"Maria Rossi","description":"Gita","amount":"16,50","due_date":"2026-12-31"}
{"external_id":"n2","debtor":{"fiscal_code":"RSSMRA10A41H501F","full_name":"Maria Rossi","class":"3B"},"description":"Gita","amount_cents":1650,"due_date":"2026-12-31","payable_after_due":true}
{"external_id":"n3","colour":"red"}
`
	imp = o.load([]byte(lines), skip)
	o.want(imp, gateway.ImportDone, 3, 2, 1)
	if got := o.found(imp.ID); got != "3 colour unknown \"\"\n" {
		t.Errorf("found %s", got)
	}
	if n := o.notices()[0]; n.Amount != 1650 || n.Debtor.Class != "3B" || !n.PayableAfterDue {
		t.Errorf("notice %+v", n)
	}
}

// A worker that stops, or dies, at any step: the next goes on, and nothing is
// there twice.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		o := newOffice(g)
		imp := o.put(class(100))
		for steps := 1; ; steps++ {
			ctx, cancel := context.WithCancel(t.Context())
			left := steps * 2 // the first pass begins again each time
			w := o.worker(fmt.Sprint("w", steps), func(c *imports.Config) {
				c.Progress = func(gateway.Import) {
					if left--; left <= 0 {
						cancel()
					}
				}
			})
			did, err := w.Once(ctx)
			cancel()
			if !did {
				break
			}
			if err == nil {
				continue
			}
			if steps > 200 {
				t.Fatalf("no end: %v", err)
			}
			// Every other one is as dead as if its process were: its lease runs out.
			if steps%2 == 0 {
				o.Time.Advance(2 * time.Minute)
			}
		}
		imp = o.get(imp.ID)
		o.want(imp, gateway.ImportDone, 100, 100, 0)
		if imp.Issued != 100 || imp.Existed != 0 {
			t.Errorf("issued %d, existed %d", imp.Issued, imp.Existed)
		}
		seen := map[string]bool{}
		for _, n := range o.notices() {
			seen[n.ExternalID] = true
		}
		if len(seen) != 100 || len(o.notices()) != 100 {
			t.Errorf("%d notices of %d rows", len(o.notices()), len(seen))
		}
	})
}

// Another worker took the import over: the first one stops, and what both did is
// there once.
func TestTakenOver(t *testing.T) {
	t.Parallel()
	o := newOffice(gatewaytest.New(t))
	imp := o.put(class(60))
	second := o.worker("two")
	took := false
	first := o.worker("one", func(c *imports.Config) {
		c.Progress = func(i gateway.Import) {
			if i.Checked && !took {
				took = true
				o.Time.Advance(2 * time.Minute)
				if did, err := second.Once(context.Background()); !did || err != nil {
					t.Errorf("the second worker: %v, %v", did, err)
				}
			}
		}
	})
	if _, err := first.Once(t.Context()); !errors.Is(err, gateway.ErrConflict) {
		t.Errorf("the first worker: %v, want ErrConflict", err)
	}
	o.want(o.get(imp.ID), gateway.ImportDone, 60, 60, 0)
	if n := len(o.notices()); n != 60 {
		t.Errorf("%d notices", n)
	}
}

// An import that kills whoever takes it is given up.
func TestGivenUp(t *testing.T) {
	t.Parallel()
	o := newOffice(gatewaytest.New(t))
	imp := o.put(class(3))
	for range 5 {
		if _, err := o.ClaimImport(t.Context(), "dead"); err != nil {
			t.Fatal(err)
		}
		o.Time.Advance(2 * time.Minute)
	}
	if _, err := o.w.Once(t.Context()); err != nil {
		t.Fatal(err)
	}
	if imp = o.get(imp.ID); imp.State != gateway.ImportFailed || imp.Report.FailedCode != "internal" || len(o.notices()) != 0 {
		t.Errorf("import %+v", imp)
	}
}

// Somebody issues one of the rows between the two passes.
func TestRace(t *testing.T) {
	t.Parallel()
	o := newOffice(gatewaytest.New(t))
	o.w = o.worker("one", func(c *imports.Config) {
		did := false
		c.Progress = func(i gateway.Import) {
			if !did && i.Rows == 20 {
				did = true
				o.clash("gita-0019")
			}
		}
	})
	imp := o.load(class(20))
	o.want(imp, gateway.ImportDone, 20, 19, 1)
	if got := o.found(imp.ID); got != "21 Riferimento external_id_exists \"gita-0019\"\n" {
		t.Errorf("found %s", got)
	}
}

// clash makes a notice of other content with this external id.
func (o office) clash(id string) {
	o.T.Helper()
	o.Issue(func(n *gateway.NewNotice) { n.ExternalID = id })
}

func TestUploads(t *testing.T) {
	t.Parallel()
	o := newOffice(gatewaytest.New(t))
	ctx := t.Context()
	if _, err := o.StoreUpload(ctx, gatewaytest.SchoolCode, io.LimitReader(zeros{}, gateway.MaxUpload+1)); !errors.Is(err, gateway.ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
	if _, err := o.StoreUpload(ctx, gatewaytest.SchoolCode, io.MultiReader(strings.NewReader("x"), broken{})); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("cut off: %v", err)
	}
	body := make([]byte, 600_000)
	for i := range body {
		body[i] = byte(i / 7)
	}
	u, err := o.StoreUpload(ctx, gatewaytest.SchoolCode, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r := o.OpenUpload(ctx, gatewaytest.SchoolCode, u)
	for _, at := range []int{0, 262_143, 262_144, 500_000, 599_999} {
		got := make([]byte, min(300_000, len(body)-at))
		if n, err := r.ReadAt(got, int64(at)); n != len(got) || err != nil || !bytes.Equal(got, body[at:at+n]) {
			t.Errorf("ReadAt(%d) = %d, %v", at, n, err)
		}
	}
	if n, err := r.ReadAt(make([]byte, 10), 599_995); n != 5 || !errors.Is(err, io.EOF) {
		t.Errorf("ReadAt over the end = %d, %v", n, err)
	}
	// What no import took goes after a day.
	if err := o.SweepImports(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := r.ReadAt(make([]byte, 1), 0); err != nil {
		t.Errorf("swept at once: %v", err)
	}
	o.Time.Advance(25 * time.Hour)
	if err := o.SweepImports(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := o.OpenUpload(ctx, gatewaytest.SchoolCode, u).ReadAt(make([]byte, 1), 0); !errors.Is(err, gateway.ErrNotFound) {
		t.Errorf("after a day: %v", err)
	}
	for range 20 {
		o.put(class(1))
	}
	if _, err := o.CreateImport(ctx, gatewaytest.Operator, gatewaytest.SchoolCode, gateway.NewImport{}); !errors.Is(err, gateway.ErrTooManyImports) {
		t.Errorf("the twenty-first: %v", err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrNoProgress }

// However long the file: the memory stays.
func TestMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("40,000 rows")
	}
	o := newOffice(gatewaytest.New(t))
	file := class(40_000)
	u, err := o.StoreUpload(t.Context(), gatewaytest.SchoolCode, bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	imp, err := o.CreateImport(t.Context(), gatewaytest.Operator, gatewaytest.SchoolCode, gateway.NewImport{Upload: u, DryRun: true, Worker: "one"})
	if err != nil {
		t.Fatal(err)
	}
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, most := heap(), uint64(0)
	w := o.worker("one", func(c *imports.Config) {
		c.Chunk = 0
		c.Progress = func(gateway.Import) { most = max(most, heap()) }
	})
	imp, err = w.Do(t.Context(), imp)
	if err != nil {
		t.Fatal(err)
	}
	o.want(imp, gateway.ImportDone, 40_000, 40_000, 0)
	if grown := int64(most) - int64(before); grown > 64<<20 {
		t.Errorf("the heap grew by %d MiB", grown>>20)
	}
}
