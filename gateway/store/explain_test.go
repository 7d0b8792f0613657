// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/store"
	"github.com/nodogate/nodogate/gateway/store/storetest"
	"github.com/nodogate/nodogate/iuv"
)

// Every filter of the list of notices is found by an index, on both databases,
// among the notices of many schools.
func TestListsAreIndexed(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(testing.TB) *store.DB{"sqlite": storetest.OpenSQLite, "postgres": storetest.OpenNewPostgres} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			listsAreIndexed(t, open(t))
		})
	}
}

const explained = gateway.SchoolCode("00000000007")

func listsAreIndexed(t *testing.T, db *store.DB) {
	seg, err := iuv.ParseSegregation("01")
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Update(t.Context(), func(tx gateway.Tx) error {
		for i := range 20 {
			code := gateway.SchoolCode(fmt.Sprintf("%011d", i))
			n := gateway.Notice{
				School: code, Number: iuv.New(seg, 1), State: gateway.NoticeOpen, Version: 1, Debtor: gateway.Debtor{Code: "RSSMRA80A01H501U", Name: "Mario Rossi", Class: "3B"},
				Description: "Gita", Amount: 100, DueDate: gateway.Date{Year: 2026, Month: time.December, Day: 31}, Taxonomy: "9/0801100AP/",
				Campaign: "gita", CreatedAt: storetest.Now(), ChangedAt: storetest.Now(),
			}
			err := tx.InsertSchool(gateway.School{Code: code, Name: "Scuola", IBAN: "IT60X0542811101000000123456", Segregation: seg, CreatedAt: storetest.Now(), Version: 1})
			if err == nil {
				_, err = tx.InsertNotices([]gateway.Notice{n})
			}
			if err != nil {
				return err
			}
		}
		return tx.PutPupil(gateway.Pupil{School: explained, ID: "p-1", Code: "RSSMRA80A01H501U", FirstName: "Mario", LastName: "Rossi"})
	}); err != nil {
		t.Fatal(err)
	}
	// Each notice becomes a thousand, of other people and days.
	series, day, hash := "generate_series(1, 999) AS s (i)", "n.due_date - s.i % 300", "decode(md5((s.i % 400)::text), 'hex')"
	if strings.HasPrefix(t.Name(), "TestListsAreIndexed/sqlite") {
		series = "(WITH RECURSIVE c (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM c WHERE i < 999) SELECT i FROM c) AS s"
		day, hash = "date(n.due_date, '-' || (s.i % 300) || ' days')", "CAST(printf('%016d', s.i % 400) AS BLOB)"
	}
	if err := errors.Join(db.Exec(t.Context(), `
INSERT INTO notices (school, number, state, version, debtor_hash, debtor_enc, class, description, amount_cents, past_amounts, due_date,
       payable_after_due, held, taxonomy, deduction, external_id, campaign, transfers, fingerprint, created_at, changed_at, settled_by)
SELECT n.school, CAST(300000000000000000 + s.i AS TEXT), CASE s.i % 3 WHEN 0 THEN 'open' WHEN 1 THEN 'cancelled' ELSE 'draft' END, 1,
       `+hash+`, n.debtor_enc, CAST(s.i % 30 AS TEXT), n.description, n.amount_cents, n.past_amounts, `+day+`,
       n.payable_after_due, n.held, n.taxonomy, n.deduction, CAST(s.i AS TEXT), CASE s.i % 5 WHEN 0 THEN 'c' ELSE '' END, n.transfers, n.fingerprint,
       n.created_at, n.changed_at, ''
  FROM notices n
 CROSS JOIN `+series), db.Exec(t.Context(), "ANALYZE")); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if err := db.Exec(t.Context(), fmt.Sprintf(`
INSERT INTO pupils (school, id, code_hash, person_enc, class, school_year, created_at)
SELECT n.school, n.number || '-%d', n.debtor_hash, n.debtor_enc, n.class, '2026/27', n.created_at FROM notices n`, i)); err != nil {
			t.Fatal(err)
		}
		if err := db.Exec(t.Context(), `
INSERT INTO audit (school, actor_kind, actor_name, action, object, at)
SELECT n.school, 'client', 'ngc_1', 'pupil.read', n.number, n.created_at FROM notices n`); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Exec(t.Context(), "ANALYZE"); err != nil {
		t.Fatal(err)
	}
	check := func(name, plan string, err error, want ...string) {
		t.Helper()
		found := false
		for _, index := range want {
			found = found || strings.Contains(plan, index)
		}
		if err != nil || !found || strings.Contains(plan, "Seq Scan on") || strings.Contains(plan, "SCAN ") {
			t.Errorf("%s: %v: want one of %v, and no table read whole:\n%s", name, err, want, plan)
		}
	}
	for name, f := range map[string]gateway.PupilFilter{
		"pupils": {}, "pupils of a class": {Class: "3"}, "pupils of a year": {SchoolYear: "2026/27"}, "pupils, next page": {Before: storetest.Now(), BeforeID: "5"},
	} {
		f.Limit = 51
		plan, err := db.ExplainPupils(t.Context(), explained, f)
		check(name, plan, err, "pupils_created", "pupils_class")
	}
	plan, err := db.ExplainPupils(t.Context(), explained, gateway.PupilFilter{Code: "RSSMRA80A01H501U", Limit: 51})
	check("pupils by code", plan, err, "pupils_code")
	for name, f := range map[string]gateway.AuditFilter{"audit": {}, "audit of an action": {Action: "pupil.read"}, "audit, next page": {Before: 1000}, "audit since": {From: storetest.Now()}} {
		f.Limit = 51
		plan, err := db.ExplainAudits(t.Context(), explained, f)
		check(name, plan, err, "audit_school", "audit_object", "audit_pkey")
	}
	plan, err = db.ExplainAudits(t.Context(), explained, gateway.AuditFilter{Object: "300000000000000005", Limit: 51})
	check("audit of an object", plan, err, "audit_object")
	plan, err = db.ExplainClassNotices(t.Context())
	if err != nil || strings.Contains(plan, "Seq Scan on notices") || !strings.Contains(plan, "notices_") {
		t.Errorf("notices of a delegate: %v:\n%s", err, plan)
	}

	date := func(m time.Month, d int) gateway.Date { return gateway.Date{Year: 2026, Month: m, Day: d} }
	paid := storetest.Now()
	const seq = "notices_seq" // a page of the newest, filtered on its way
	for _, c := range []struct {
		name string
		f    gateway.NoticeFilter
		want []string // one of these
	}{
		{"none", gateway.NoticeFilter{}, []string{seq}},
		{"open", gateway.NoticeFilter{State: gateway.NoticeOpen}, []string{"notices_state", seq}},
		{"expired", gateway.NoticeFilter{State: gateway.NoticeExpired}, []string{"notices_state", "notices_due", seq}},
		{"paid", gateway.NoticeFilter{State: gateway.NoticePaid}, []string{"notices_state"}},
		{"debtor", gateway.NoticeFilter{Debtor: "RSSMRA80A01H501U"}, []string{"notices_debtor"}},
		{"pupil", gateway.NoticeFilter{Pupil: "p-1"}, []string{"notices_debtor"}},
		{"class", gateway.NoticeFilter{Class: "3"}, []string{"notices_class"}},
		{"campaign", gateway.NoticeFilter{Campaign: "gita"}, []string{"notices_campaign"}},
		{"plan", gateway.NoticeFilter{Plan: "x"}, []string{"notices_plan"}},
		{"external id", gateway.NoticeFilter{ExternalID: "5"}, []string{"notices_external_id"}},
		{"due", gateway.NoticeFilter{DueFrom: date(12, 30), DueTo: date(12, 31)}, []string{"notices_due"}},
		{"due from", gateway.NoticeFilter{DueFrom: date(6, 1)}, []string{"notices_due", seq}},
		{"due to", gateway.NoticeFilter{DueTo: date(6, 1)}, []string{"notices_due", seq}},
		{"paid at", gateway.NoticeFilter{PaidFrom: paid, PaidTo: paid.Add(time.Hour)}, []string{"notices_paid"}},
		{"number or id", gateway.NoticeFilter{Query: "301000000000000000"}, []string{"notices_pkey", "sqlite_autoindex_notices_1"}},
		{"name", gateway.NoticeFilter{Query: "rossi"}, []string{"notices_debtor"}},
		{"later page", gateway.NoticeFilter{Before: 1000}, []string{seq}},
		{"state and class", gateway.NoticeFilter{State: gateway.NoticePaid, Class: "3"}, []string{"notices_state", "notices_class"}},
	} {
		c.f.Now, c.f.Limit = storetest.Now(), 51
		plan, err := db.ExplainNotices(t.Context(), explained, c.f)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		found := false
		for _, index := range c.want {
			found = found || strings.Contains(plan, index)
		}
		if !found || strings.Contains(plan, "Seq Scan on notices") || strings.Contains(plan, "SCAN n\n") || strings.Contains(plan, "SCAN notices") {
			t.Errorf("%s: want one of %v, and no table read whole:\n%s", c.name, c.want, plan)
		}
	}
}
