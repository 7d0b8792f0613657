// SPDX-License-Identifier: Apache-2.0

package portal_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
	"github.com/nodogate/nodogate/gateway/portal"
	"github.com/nodogate/nodogate/gateway/store"
	"github.com/nodogate/nodogate/gateway/store/storetest"
)

// BenchmarkPages measures what each page costs the server while the store holds
// a million notices (200,000 on SQLite): 50 schools of 1,000 pupils with 20 notices each, one in ten
// paid, and as many schools besides as a country has, which take contributions
// only. The time is the handler's, sessions read and written included, from the
// request to the last byte. "p50-ms" and "p99-ms" are over the requests of one
// page, by 20 families in turn; "x-select" is p50 beside the p50 of one bare
// look-up by a key in the same run, and "cpu-ms" what this process computed for one
// (the database's share is not in it): a busy machine makes the times long, not
// that. Log-in costs what a password's hash is made to cost, and is measured for
// itself.
//
// Run it with -benchtime 500x: with fewer than 100 requests p99 is the slowest.
func BenchmarkPages(b *testing.B) {
	b.Run("postgres", func(b *testing.B) {
		address := storetest.NewPostgres(b)
		u, _, _ := strings.Cut(address, "&pool_max_conns")
		crowded(b, address, "pgx", u, 50, 1000, 20)
	})
	b.Run("sqlite", func(b *testing.B) {
		address := storetest.NewSQLite(b)
		crowded(b, address, "sqlite", strings.TrimPrefix(address, "sqlite://"), 50, 200, 20)
	})
}

const (
	visitors    = 20   // families who ask
	manySchools = 8000 // as many as a country has
	childNotice = 12   // of each visitor's two children, besides six that are to be paid
	oldNotices  = 500  // of the family that has been there for years: as many as a page reads
)

// clone multiplies what the service made once for each school. Rows that are not
// asked for carry the sealed person of their school's first.
type clone struct {
	series, hash, payer, code string // how the database says them
}

var clones = map[string]clone{
	"pgx": {
		series: "generate_series(0, %d) AS s (i)", hash: "sha256((%s || '/' || %s)::bytea)", payer: "sha256((%s || '+' || %s)::bytea)",
		code: "lpad((20000000000 + s.i)::text, 11, '0')",
	},
	"sqlite": {
		series: "(WITH RECURSIVE c (i) AS (VALUES (0) UNION ALL SELECT i + 1 FROM c WHERE i < %d) SELECT i FROM c) AS s",
		hash:   "CAST(printf('%%s/%%020d', %s, %s) AS BLOB)", payer: "CAST(printf('%%s+%%020d', %s, %s) AS BLOB)",
		code: "CAST(20000000000 + s.i AS TEXT)",
	},
}

func (c clone) statements(pupils, each int) []string {
	series := func(n int) string { return fmt.Sprintf(c.series, n-1) }
	pupil := fmt.Sprintf("(s.i %% %d)", pupils)
	return []string{
		`INSERT INTO notices (school, number, state, version, debtor_hash, debtor_enc, class, description, amount_cents, past_amounts, due_date,
		        payable_after_due, held, taxonomy, deduction, external_id, campaign, transfers, fingerprint, created_at, changed_at, paid_at, settled_by)
		 SELECT n.school, CAST(300000000000000000 + s.i AS TEXT), CASE WHEN s.i % 10 = 0 THEN 'paid' WHEN s.i % 23 = 22 THEN 'cancelled' ELSE 'open' END, 1,
		        ` + fmt.Sprintf(c.hash, "n.school", pupil) + `, n.debtor_enc, CAST(` + pupil + ` / 25 AS TEXT), n.description, n.amount_cents, n.past_amounts, n.due_date,
		        n.payable_after_due, n.held, n.taxonomy, n.deduction, 'x' || CAST(s.i AS TEXT), '', n.transfers, n.fingerprint, n.created_at, n.changed_at,
		        CASE WHEN s.i % 10 = 0 THEN n.created_at END, CASE WHEN s.i % 10 = 0 THEN 'rc-' || CAST(s.i AS TEXT) ELSE '' END
		   FROM notices n CROSS JOIN ` + series(pupils*each) + ` WHERE n.external_id = 'template'`,
		`INSERT INTO receipts (school, id, number, role, anomaly, channel, settles, receipt_id, creditor, reference, amount_cents, paid_at, psp_id, psp_name,
		        method, digest, same, content_enc, raw_enc, received_at)
		 SELECT n.school, n.settled_by, n.number, r.role, r.anomaly, r.channel, r.settles, n.settled_by, r.creditor, substr(n.number, 2), r.amount_cents, r.paid_at,
		        r.psp_id, r.psp_name, r.method, r.digest, r.same, r.content_enc, r.raw_enc, r.received_at
		   FROM receipts r JOIN notices n ON n.school = r.school WHERE n.external_id LIKE 'x%' AND n.state = 'paid'`,
		`INSERT INTO events (school, number, kind, actor_kind, actor_name, receipt, anomaly, attempt, state, at)
		 SELECT school, number, 'notice.issued', 'client', 'ngc_1', '', '', '', '', created_at FROM notices WHERE external_id LIKE 'x%'`,
		`INSERT INTO pupils (school, id, code_hash, person_enc, class, school_year, created_at)
		 SELECT p.school, 'p-' || CAST(s.i AS TEXT), ` + fmt.Sprintf(c.hash, "p.school", "s.i") + `, p.person_enc, CAST(s.i / 25 AS TEXT), p.school_year, p.created_at
		   FROM pupils p CROSS JOIN ` + series(pupils),
		`INSERT INTO payers (school, id, code_hash, person_enc, language)
		 SELECT y.school, 'y-' || CAST(s.i AS TEXT), ` + fmt.Sprintf(c.payer, "y.school", "s.i") + `, y.person_enc, 'it'
		   FROM payers y CROSS JOIN ` + series(pupils),
		`INSERT INTO pupil_payers (school, pupil, payer, relation, since, by_kind, by_name)
		 SELECT l.school, 'p-' || CAST(s.i AS TEXT), 'y-' || CAST(s.i AS TEXT), 'mother', l.since, l.by_kind, l.by_name
		   FROM pupil_payers l CROSS JOIN ` + series(pupils),
		`INSERT INTO schools (code, name, iban, segregation, broker, station, mechanograph, cbill, taxonomy, postal_account, postal_iban, postal_holder,
		        postal_authorization, help_text, created_at, version, town)
		 SELECT ` + c.code + `, 'Istituto comprensivo ' || CAST(s.i AS TEXT), n.iban, n.segregation, n.broker, n.station, n.mechanograph, n.cbill, n.taxonomy, '', '', '',
		        '', n.help_text, n.created_at, 1, CASE WHEN s.i % 100 = 0 THEN 'Località ' ELSE 'Comune ' END || CAST(s.i AS TEXT)
		   FROM schools n CROSS JOIN ` + series(manySchools) + ` WHERE n.code = '` + string(gatewaytest.SchoolCode) + `'`,
		`INSERT INTO contributions (school, id, service, description, amount_cents, min_amount_cents, free_amount, due_date, taxonomy, deduction, closed, created_at, version)
		 SELECT n.code, 'c-' || n.code, substr(n.code, 7), g.description, g.amount_cents, g.min_amount_cents, g.free_amount, g.due_date, g.taxonomy, g.deduction, g.closed,
		        g.created_at, 1
		   FROM contributions g JOIN schools n ON n.code LIKE '2000%'`,
	}
}

// crowded fills a store and asks for its pages.
func crowded(b *testing.B, address, driver, raw string, schools, pupils, each int) {
	ctx := context.Background()
	must := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	db, err := store.OpenMigrated(ctx, store.Config{URL: address, Secret: storetest.Secret, Now: storetest.Now})
	must(err)
	b.Cleanup(func() { _ = db.Close() })
	g := gatewaytest.On(b, db)
	begin := time.Now()

	// One of each, through the service. Codes of schools end in a check digit.
	codes := []gateway.SchoolCode{gatewaytest.SchoolCode}
	for i := 0; len(codes) < schools; i++ {
		if code, err := gateway.ParseSchoolCode(fmt.Sprintf("%011d", 80_100_000_000+i)); err == nil {
			g.AddSchool(code, fmt.Sprintf("Liceo %d", len(codes)))
			codes = append(codes, code)
		}
	}
	for _, code := range codes {
		g.IssueAt(code, func(n *gateway.NewNotice) { n.ExternalID = "template" })
		g.Settle(g.IssueAt(code), "")
		must(g.PutPupil(ctx, gatewaytest.Operator, gateway.Pupil{School: code, ID: "p", FirstName: "Maria", LastName: "Rossi", SchoolYear: "2026/27"}))
		must(g.PutPayer(ctx, gatewaytest.Operator, gateway.Payer{School: code, ID: "y", FirstName: "Mario", LastName: "Rossi"}, "p", "father"))
	}
	gift, err := g.OpenContribution(ctx, gatewaytest.Operator, gatewaytest.SchoolCode, gateway.NewContribution{Description: "Ampliamento dell'offerta", Amount: 5000, DueDate: "2027-08-31"})
	must(err)
	bare, err := sql.Open(driver, raw)
	must(err)
	b.Cleanup(func() { _ = bare.Close() })
	for _, statement := range clones[driver].statements(pupils, each) {
		if _, err := bare.ExecContext(ctx, statement); err != nil {
			b.Fatalf("%v in %.80s", err, statement)
		}
	}

	// The families who ask: two children in two schools, one parent is delegate.
	crowd := make([]*family, visitors)
	h, err := portal.New(config(b, g))
	must(err)
	for i := range crowd {
		crowd[i] = newFamily(b, g, h, i, codes)
	}
	old := newFamily(b, g, h, visitors, codes)
	old.grow(b, 20, oldNotices/2-20)
	if driver == "pgx" { // as its autovacuum would; nobody does it for SQLite
		_, err := bare.ExecContext(ctx, "ANALYZE notices, receipts, events, pupils, payers, pupil_payers, schools, contributions")
		must(err)
	}
	var rows int
	must(bare.QueryRowContext(ctx, "SELECT count(*) FROM notices").Scan(&rows))
	b.Logf("%d notices, filled in %.0f s", rows, time.Since(begin).Seconds())

	// What cannot be saved: one look-up by the key, of different rows.
	var selects []time.Duration
	for i := range 2000 {
		start := time.Now()
		var number string
		must(bare.QueryRowContext(ctx, "SELECT number FROM notices WHERE school = $1 AND number = $2", codes[i%schools],
			fmt.Sprint(300000000000000000+int64(i)*7919%int64(pupils*each))).Scan(&number))
		selects = append(selects, time.Since(start))
	}
	slices.Sort(selects)
	limit := selects[len(selects)/2]
	b.Logf("a bare look-up: p50 %v, p99 %v", limit, selects[len(selects)*99/100])

	measure := func(name string, list []*family, page func(f *family, i int) *httptest.ResponseRecorder, want int) {
		b.Run(name, func(b *testing.B) {
			took := make([]time.Duration, 0, b.N)
			before := computed(b)
			for i := range b.N {
				f := list[i%len(list)]
				start := time.Now()
				w := page(f, i)
				took = append(took, time.Since(start))
				if w.Code != want {
					b.Fatalf("%s is %d, want %d: %.300s", name, w.Code, want, w.Body)
				}
			}
			cpu := computed(b) - before
			slices.Sort(took)
			at := func(percent int) time.Duration { return took[min(len(took)-1, len(took)*percent/100)] }
			b.ReportMetric(float64(at(50).Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(at(99).Microseconds())/1000, "p99-ms")
			b.ReportMetric(float64(at(50))/float64(limit), "x-select")
			b.ReportMetric(float64(cpu.Microseconds())/1000/float64(b.N), "cpu-ms")
		})
	}
	get := func(path func(f *family) string) func(*family, int) *httptest.ResponseRecorder {
		return func(f *family, _ int) *httptest.ResponseRecorder { return f.get(path(f)) }
	}
	fixed := func(path string) func(*family, int) *httptest.ResponseRecorder {
		return get(func(*family) string { return path })
	}
	give := "/versamenti-volontari"
	for _, page := range []struct {
		name string
		ask  func(*family, int) *httptest.ResponseRecorder
	}{
		{"home", fixed("/")},
		{"avvisi", fixed("/avvisi")},
		{"avvisi-tutti", fixed("/avvisi?mostra=tutti")},
		{"avviso", get(func(f *family) string { return "/avvisi/" + f.open })},
		{"avviso-pagato", get(func(f *family) string { return "/avvisi/" + f.paid })},
		{"carrello", fixed("/carrello")},
		{"pagamento", fixed("/carrello/pagamento")},
		{"esito", get(func(f *family) string { return f.outcome })},
		{"pagamenti", fixed("/pagamenti")},
		{"ricevuta", get(func(f *family) string { return "/pagamenti/" + f.receipt })},
		{"attestazioni", fixed("/attestazioni")},
		{"classe", fixed("/classe")},
		{"versamenti", fixed(give)},
		{"versamenti-cerca", fixed(give + "?cerca=grosseto")},
		{"versamenti-cerca-tante", fixed(give + "?cerca=localita")},
		{"versamenti-scuola", fixed(give + "/" + string(gatewaytest.SchoolCode))},
		{"versamento", fixed(give + "/" + string(gatewaytest.SchoolCode) + "/" + gift.ID)},
		{"consensi", fixed("/consensi")},
		{"area-riservata", fixed("/area-riservata")},
		{"cambio-password", fixed("/cambio-password")},
		{"assistenza", fixed("/assistenza")},
	} {
		measure(page.name, crowd, page.ask, http.StatusOK)
	}
	measure("paga", crowd, func(f *family, i int) *httptest.ResponseRecorder {
		return f.stranger(httptest.NewRequest(http.MethodGet, "/paga/"+f.open, nil), i)
	}, http.StatusOK)
	measure("paga-niente", crowd, func(f *family, i int) *httptest.ResponseRecorder {
		return f.stranger(httptest.NewRequest(http.MethodGet, "/paga/"+string(codes[i%schools])+"/301000000000000000", nil), i)
	}, http.StatusNotFound)
	measure("carrello-togli-metti", crowd, func(f *family, _ int) *httptest.ResponseRecorder {
		school, number, _ := strings.Cut(f.open, "/")
		form := url.Values{"ente": {school}, "avviso": {number}}
		f.post("/carrello/rimuovi", form)
		return f.post("/carrello/avvisi", form)
	}, http.StatusSeeOther)
	for name, path := range map[string]string{
		"anni/home": "/", "anni/avvisi": "/avvisi", "anni/avvisi-tutti": "/avvisi?mostra=tutti", "anni/pagamenti": "/pagamenti",
		"anni/attestazioni": "/attestazioni", "anni/dati": "/area-riservata/dati.json",
	} {
		measure(name, []*family{old}, fixed(path), http.StatusOK)
	}
	measure("accesso", crowd, func(f *family, i int) *httptest.ResponseRecorder { return f.logIn(i) }, http.StatusSeeOther)
}

// computed is the time that this process has spent on processors.
func computed(b *testing.B) time.Duration {
	b.Helper()
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// family is somebody with a session.
type family struct {
	g      *gatewaytest.Gateway
	h      http.Handler
	name   string
	cookie *http.Cookie
	pupils []gateway.Pupil
	// school/number of a notice to pay, of one that is paid, and school/receipt.
	open, paid, receipt, outcome string
}

// newFamily makes a family with two children in two of the schools, who were
// there with half of their notices paid, and fills its basket.
func newFamily(b *testing.B, g *gatewaytest.Gateway, h http.Handler, i int, codes []gateway.SchoolCode) *family {
	b.Helper()
	ctx := context.Background()
	f := &family{g: g, h: h, name: fmt.Sprintf("famiglia%d", i)}
	person := func(prefix string, day int) gateway.FiscalCode {
		s := fmt.Sprintf("%s%02dA%02dH%03d", prefix, 10, day, 100+i)
		return gateway.FiscalCode(s + string(rune(gateway.FiscalCodeCheck(s))))
	}
	for child := range 2 {
		f.pupils = append(f.pupils, gateway.Pupil{
			School: codes[(i*2+child)%len(codes)], ID: fmt.Sprintf("figlio%d", i), Code: person("RSSMRA", 11+child), FirstName: fmt.Sprintf("Maria %d", child), LastName: "Rossi",
			Class: fmt.Sprint(i % 40), SchoolYear: "2026/27",
		})
	}
	code := person("RSSGNN", 1)
	g.FamilyOf(f.name, code, "Gianni", "Rossi", f.pupils...)
	_, _, err := g.Delegate(ctx, gatewaytest.Operator, f.pupils[0].School, f.pupils[0].Class, gateway.NewPayer{ID: f.name, Code: string(code), FirstName: "Gianni", LastName: "Rossi"})
	if err != nil {
		b.Fatal(err)
	}
	f.grow(b, childNotice/2, childNotice/2)
	w := f.logIn(i)
	if w.Code != http.StatusSeeOther || len(w.Result().Cookies()) != 1 {
		b.Fatalf("log-in of %s is %d", f.name, w.Code)
	}
	f.cookie = w.Result().Cookies()[0]

	// One payment that goes on, and five in the basket.
	add := func(ref string) {
		school, number, _ := strings.Cut(ref, "/")
		f.post("/carrello/avvisi", url.Values{"ente": {school}, "avviso": {number}})
	}
	payable := f.issue(b, 6)
	add(payable[5])
	form := url.Values{"metodo": {"card"}, "psp_card": {"BANCAUNO"}}
	pay := f.get("/carrello/pagamento").Body.Bytes()
	for _, field := range []string{"chiave", "carrello"} {
		_, value, _ := bytes.Cut(pay, []byte(`name="`+field+`" value="`))
		value, _, _ = bytes.Cut(value, []byte(`"`))
		form.Set(field, string(value))
	}
	if w := f.post("/carrello/pagamento", form); w.Code != http.StatusSeeOther {
		b.Fatalf("Paga is %d: %s", w.Code, w.Body)
	}
	orders := g.PSPs.Orders()
	f.outcome = outcomeOf(orders[len(orders)-1])
	for _, ref := range payable[:5] {
		add(ref)
	}
	f.open = payable[0]
	return f
}

// issue gives each child its notices and lists the last child's.
func (f *family) issue(b *testing.B, n int) (refs []string) {
	b.Helper()
	for _, p := range f.pupils {
		refs = refs[:0]
		list := make([]gateway.NewNotice, n)
		for i := range list {
			list[i] = gateway.NewNotice{DebtorCode: string(p.Code), DebtorName: p.FirstName + " " + p.LastName, Class: p.Class, Description: "Viaggio di istruzione", Amount: 1650, DueDate: "2026-12-31"}
		}
		out, err := f.g.Service.Issue(context.Background(), gatewaytest.Operator, p.School, list, false)
		if err != nil {
			b.Fatal(err)
		}
		for _, o := range out {
			refs = append(refs, string(p.School)+"/"+o.Notice.Number.String())
		}
	}
	return refs
}

// grow gives each child notices that are to be paid and some that are.
func (f *family) grow(b *testing.B, unpaid, paid int) {
	b.Helper()
	f.issue(b, unpaid)
	for _, p := range f.pupils {
		for range paid {
			notice := f.g.IssueAt(p.School, func(n *gateway.NewNotice) {
				n.DebtorCode, n.DebtorName, n.Class = string(p.Code), p.FirstName+" "+p.LastName, p.Class
			})
			r := f.g.Settle(notice, "")
			f.paid, f.receipt = string(p.School)+"/"+notice.Number.String(), string(p.School)+"/"+r.ID
		}
	}
}

func (f *family) send(r *http.Request) *httptest.ResponseRecorder {
	if f.cookie != nil {
		r.AddCookie(f.cookie)
	}
	w := httptest.NewRecorder()
	f.h.ServeHTTP(w, r)
	return w
}

func (f *family) get(path string) *httptest.ResponseRecorder {
	return f.send(httptest.NewRequest(http.MethodGet, path, nil))
}

func (f *family) post(path string, form url.Values) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return f.send(r)
}

// stranger asks without a session, from an address of its own: look-ups and
// log-ins are counted per address.
func (f *family) stranger(r *http.Request, i int) *httptest.ResponseRecorder {
	r.RemoteAddr = fmt.Sprintf("10.%d.%d.%d:4000", i>>16&255, i>>8&255, i&255)
	w := httptest.NewRecorder()
	f.h.ServeHTTP(w, r)
	return w
}

func (f *family) logIn(i int) *httptest.ResponseRecorder {
	form := url.Values{"username": {f.name}, "password": {gatewaytest.Password}}
	r := httptest.NewRequest(http.MethodPost, "/accesso", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return f.stranger(r, i)
}
