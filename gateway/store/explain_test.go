// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/store"
	"github.com/nodogate/nodogate/gateway/store/storetest"
	"github.com/nodogate/nodogate/iuv"
)

// Every list of the API and of the portal is found by an index, with every
// filter, on both databases, among the rows of many schools: what a list costs
// must not grow with what is stored. SQLite plans as it does in a new
// installation, where nobody ever ran ANALYZE, and once more after it.
func TestListsAreIndexed(t *testing.T) {
	t.Parallel()
	for name, address := range map[string]func(testing.TB) string{"sqlite": storetest.NewSQLite, "postgres": storetest.NewPostgres} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, err := store.OpenMigrated(t.Context(), store.Config{URL: address(t), Secret: storetest.Secret, Now: storetest.Now})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = db.Close() })
			fillLists(t, db, name)
			if name == "sqlite" {
				report(t, readWholly(t, db))
				eachIndexIsNeeded(t, db)
			}
			if err := db.Exec(t.Context(), "ANALYZE"); err != nil {
				t.Fatal(err)
			}
			report(t, readWholly(t, db))
		})
	}
}

const explained = gateway.SchoolCode("00000000007")

// fillLists fills the tables: 20 schools, a thousand rows of each kind in each.
func fillLists(t *testing.T, db *store.DB, database string) {
	t.Helper()
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
	// Each notice becomes a thousand, of other people and days, and each of those a
	// row of every other kind.
	series, day, hash, hours := "generate_series(1, 999) AS s (i)", "n.due_date - s.i % 300", "decode(md5((s.i % 400)::text), 'hex')", "n.created_at - %s * INTERVAL '1 hour'"
	payer := "decode(md5(n.school || n.number), 'hex')"
	if database == "sqlite" {
		series = "(WITH RECURSIVE c (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM c WHERE i < 999) SELECT i FROM c) AS s"
		day, hash = "date(n.due_date, '-' || (s.i % 300) || ' days')", "CAST(printf('%016d', s.i % 400) AS BLOB)"
		payer = "CAST(n.school || n.number AS BLOB)"
		hours = "strftime('%%Y-%%m-%%dT%%H:%%M:%%S.000000Z', n.created_at, '-' || %s || ' hours')"
	}
	const i = "CAST(substr(n.number, 10) AS INTEGER)"
	when := fmt.Sprintf(hours, i)
	for _, statement := range []string{`
INSERT INTO notices (school, number, state, version, debtor_hash, debtor_enc, class, description, amount_cents, past_amounts, due_date,
       payable_after_due, held, taxonomy, deduction, external_id, campaign, transfers, fingerprint, created_at, changed_at, paid_at, settled_by)
SELECT n.school, CAST(300000000000000000 + s.i AS TEXT), CASE s.i % 4 WHEN 0 THEN 'open' WHEN 1 THEN 'cancelled' WHEN 2 THEN 'draft' ELSE 'paid' END, 1,
       ` + hash + `, n.debtor_enc, CAST(s.i % 30 AS TEXT), n.description, n.amount_cents, n.past_amounts, ` + day + `,
       n.payable_after_due, n.held, n.taxonomy, n.deduction, CAST(s.i AS TEXT), CASE s.i % 5 WHEN 0 THEN 'c' ELSE '' END, n.transfers, n.fingerprint,
       n.created_at, n.changed_at, CASE WHEN s.i % 4 = 3 THEN ` + fmt.Sprintf(hours, "s.i") + ` END, CASE WHEN s.i % 4 = 3 THEN 'r-' || CAST(300000000000000000 + s.i AS TEXT) ELSE '' END
  FROM notices n
 CROSS JOIN ` + series, `
INSERT INTO pupils (school, id, code_hash, person_enc, class, school_year, created_at)
SELECT n.school, n.number, n.debtor_hash, n.debtor_enc, n.class, '2026/27', ` + when + ` FROM notices n`, `
INSERT INTO payers (school, id, code_hash, person_enc, language)
SELECT n.school, n.number, ` + payer + `, n.debtor_enc, 'it' FROM notices n`, `
INSERT INTO pupil_payers (school, pupil, payer, relation, since, by_kind, by_name)
SELECT n.school, n.number, n.number, 'mother', n.created_at, '', '' FROM notices n`, `
INSERT INTO delegates (school, class, payer, since, by_kind, by_name, ended_by_kind, ended_by_name)
SELECT n.school, n.class, n.number, n.created_at, '', '', '', '' FROM notices n WHERE ` + i + ` % 50 = 0`, `
INSERT INTO events (school, number, kind, actor_kind, actor_name, receipt, anomaly, attempt, state, at)
SELECT n.school, n.number, 'notice.issued', '', '', '', '', '', '', n.created_at FROM notices n`, `
INSERT INTO receipts (school, id, number, role, anomaly, channel, settles, receipt_id, creditor, reference, amount_cents, paid_at, psp_id, psp_name,
       method, digest, same, content_enc, raw_enc, received_at)
SELECT n.school, 'r-' || n.number, n.number, 'creditor', CASE ` + i + ` % 40 WHEN 0 THEN 'double_payment' WHEN 1 THEN 'late_outcome' ELSE '' END, 'node', FALSE, n.number,
       n.school, n.number, 100, ` + when + `, '', '', '', n.fingerprint, n.fingerprint, n.debtor_enc, n.debtor_enc, n.created_at FROM notices n`, `
INSERT INTO refunds (school, id, receipt, amount_cents, reason, state, requested_by, created_at, changed_at)
SELECT n.school, 'f-' || n.number, 'r-' || n.number, 100, '', CASE ` + i + ` % 40 WHEN 0 THEN 'requested' WHEN 1 THEN 'approved' WHEN 2 THEN 'rejected' ELSE 'executed' END, '', n.created_at, n.created_at
  FROM notices n`, `
INSERT INTO evidence (id, kind, operation, school, receipt_id, number, digest, owner, raw_enc, received_at)
SELECT n.school || n.number, CASE ` + i + ` % 40 WHEN 0 THEN 'altered_copy' ELSE 'refused' END, '', n.school, '', n.number, n.fingerprint, n.school, n.debtor_enc, n.created_at
  FROM notices n`, `
INSERT INTO audit (school, actor_kind, actor_name, action, object, at)
SELECT n.school, 'client', 'ngc_' || CAST(` + i + ` % 40 AS TEXT), 'pupil.' || CAST(` + i + ` % 40 AS TEXT), n.number, ` + when + ` FROM notices n`, `
INSERT INTO imports (school, id, state, dry_run, on_error, upload, size, digest, actor_kind, actor_name, detail_enc, counts, created_at, lease, tries)
SELECT n.school, n.number, 'done', FALSE, 'stop', '', 1, n.fingerprint, '', '', n.debtor_enc, '{}', n.created_at, '', 1 FROM notices n`, `
INSERT INTO import_errors (school, import, seq, content_enc)
SELECT n.school, '300000000000000001', ` + i + `, n.debtor_enc FROM notices n WHERE n.external_id <> ''`, `
INSERT INTO campaigns (school, id, state, content, author_kind, author_name, approver_kind, approver_name, created_at, changed_at, version)
SELECT n.school, n.number, 'draft', '{}', '', '', '', '', n.created_at, n.created_at, 1 FROM notices n`, `
INSERT INTO webhooks (school, id, events, endpoint_enc, created_at, changed_at, version)
SELECT n.school, 'w-' || n.school || n.number, '', n.debtor_enc, n.created_at, n.created_at, 1 FROM notices n WHERE ` + i + ` % 20 = 0`, `
INSERT INTO outbox (id, school, kind, target, aggregate, payload_enc, created_at, run_at)
SELECT 'm-' || n.school || n.number, n.school, 'webhook', 'w-' || n.school || CAST(300000000000000000 + ` + i + ` % 20 AS TEXT), n.number, n.debtor_enc, n.created_at, n.created_at
  FROM notices n`, `
INSERT INTO prints (school, id, state, format, language, title, numbers, printed, skipped, upload, size, digest, failure, actor_kind, actor_name, created_at, lease, tries)
SELECT n.school, n.number, 'done', 'pdf', '', '', '[]', 0, 0, '', 0, n.fingerprint, '', '', '', n.created_at, '', 0 FROM notices n WHERE ` + i + ` % 10 = 0`, `
INSERT INTO carts (id, state, method, psp, account, school, request_key, email_enc, return_url, fee_cents, redirect, created_at, changed_at, version)
SELECT 'c-' || n.school || n.number, 'closed_ko', '', '', 'a-' || CAST(` + i + ` AS TEXT), '', n.school || n.number, n.debtor_enc, '', 0, '', n.created_at, n.created_at, 1 FROM notices n`,
	} {
		if err := db.Exec(t.Context(), statement); err != nil {
			t.Fatalf("%v in %.60s", err, statement)
		}
	}
}

var (
	readWhole = regexp.MustCompile(`(?:Seq Scan on|SCAN) (\w+)`)
	// grown are the tables that hold more of it with each year.
	grown = strings.Fields("notices events receipts refunds evidence audit pupils payers pupil_payers imports import_errors campaigns outbox carts")
)

func report(t *testing.T, wrong map[string]string) {
	t.Helper()
	for list, why := range wrong {
		t.Errorf("%s: %s", list, why)
	}
}

// eachIndexIsNeeded proves that the test would see it if an index were gone.
func eachIndexIsNeeded(t *testing.T, db *store.DB) {
	t.Helper()
	for index := range strings.FieldsSeq("notices_state notices_due notices_debtor notices_class notices_campaign notices_plan notices_external_id notices_paid " +
		"notices_seq receipts_seq receipts_notice receipts_paid receipts_anomaly refunds_seq refunds_state refunds_receipt evidence_owner evidence_kind audit_school " +
		"audit_action audit_actor audit_object audit_at pupils_created pupils_class_created pupils_code pupils_kind delegates_class campaigns_seq imports_seq " +
		"webhooks_school outbox_target payers_code carts_account") {
		restore, err := db.DropIndex(t.Context(), index)
		if err != nil {
			t.Fatal(err)
		}
		if len(readWholly(t, db)) == 0 {
			t.Errorf("without %s every list is still thought to be indexed", index)
		}
		if err := db.Exec(t.Context(), restore); err != nil {
			t.Fatal(err)
		}
	}
}

// readWholly says which lists are not found by the index they should be.
func readWholly(t *testing.T, db *store.DB) map[string]string {
	wrong := map[string]string{}
	t.Helper()
	date := func(m time.Month, d int) gateway.Date { return gateway.Date{Year: 2026, Month: m, Day: d} }
	number, err := iuv.Parse("301000000000000101")
	if err != nil {
		number = iuv.Number{}
	}
	now := storetest.Now()
	newest := "notices_seq" // a page of the newest, filtered on its way
	key := func(table string) []string { return []string{table + "_pkey", "sqlite_autoindex_" + table + "_1"} }
	for _, c := range []struct {
		name string
		list any
		want []string // one of these
	}{
		{"notices", gateway.NoticeFilter{}, []string{newest}},
		{"notices, open", gateway.NoticeFilter{State: gateway.NoticeOpen}, []string{"notices_state", newest}},
		{"notices, expired", gateway.NoticeFilter{State: gateway.NoticeExpired}, []string{"notices_state", "notices_due", newest}},
		{"notices, paid", gateway.NoticeFilter{State: gateway.NoticePaid}, []string{"notices_state"}},
		{"notices of a debtor", gateway.NoticeFilter{Debtor: "RSSMRA80A01H501U"}, []string{"notices_debtor"}},
		{"notices of a pupil", gateway.NoticeFilter{Pupil: "p-1"}, []string{"notices_debtor"}},
		{"notices of a class", gateway.NoticeFilter{Class: "3"}, []string{"notices_class"}},
		{"notices of a campaign", gateway.NoticeFilter{Campaign: "gita"}, []string{"notices_campaign"}},
		{"notices of a plan", gateway.NoticeFilter{Plan: "x"}, []string{"notices_plan"}},
		{"notices by external id", gateway.NoticeFilter{ExternalID: "5"}, []string{"notices_external_id"}},
		{"notices due", gateway.NoticeFilter{DueFrom: date(12, 30), DueTo: date(12, 31)}, []string{"notices_due"}},
		{"notices due from", gateway.NoticeFilter{DueFrom: date(6, 1)}, []string{"notices_due", newest}},
		{"notices due to", gateway.NoticeFilter{DueTo: date(6, 1)}, []string{"notices_due", newest}},
		{"notices paid at", gateway.NoticeFilter{PaidFrom: now, PaidTo: now.Add(time.Hour)}, []string{"notices_paid"}},
		{"notices by number or id", gateway.NoticeFilter{Query: "301000000000000000"}, key("notices")},
		{"notices by name", gateway.NoticeFilter{Query: "rossi"}, []string{"notices_debtor"}},
		{"notices, next page", gateway.NoticeFilter{Before: 1000}, []string{newest}},
		{"notices, state and class", gateway.NoticeFilter{State: gateway.NoticePaid, Class: "3"}, []string{"notices_state", "notices_class"}},
		{"events", "events", append(key("events"), "events_notice")},

		{"receipts", gateway.ReceiptFilter{}, []string{"receipts_seq"}},
		{"receipts, next page", gateway.ReceiptFilter{Before: 1000}, []string{"receipts_seq"}},
		{"receipts of a notice", gateway.ReceiptFilter{Notice: number}, []string{"receipts_notice"}},
		{"receipts from and to", gateway.ReceiptFilter{From: now.Add(-2 * time.Hour), To: now}, []string{"receipts_paid"}},
		{"receipts from", gateway.ReceiptFilter{From: now.Add(-2 * time.Hour)}, []string{"receipts_paid"}},
		{"receipts to", gateway.ReceiptFilter{To: now.Add(-900 * time.Hour)}, []string{"receipts_paid", "receipts_seq"}},
		{"receipts with any anomaly", gateway.ReceiptFilter{Anomaly: "any"}, []string{"receipts_anomaly"}},
		{"receipts with an anomaly", gateway.ReceiptFilter{Anomaly: "double_payment"}, []string{"receipts_anomaly"}},
		{"refunds", gateway.RefundFilter{}, []string{"refunds_seq"}},
		{"refunds, next page", gateway.RefundFilter{Before: 1000}, []string{"refunds_seq"}},
		{"refunds in a state", gateway.RefundFilter{State: gateway.RefundRequested}, []string{"refunds_state"}},
		{"refunds of a receipt", gateway.RefundFilter{Receipt: "r-300000000000000001"}, []string{"refunds_receipt"}},
		{"evidence", gateway.EvidenceFilter{}, []string{"evidence_owner"}},
		{"evidence, next page", gateway.EvidenceFilter{Before: 1000}, []string{"evidence_owner"}},
		{"evidence of a kind", gateway.EvidenceFilter{Kind: gateway.EvidenceAltered}, []string{"evidence_kind"}},
		{"audit", gateway.AuditFilter{}, []string{"audit_school", "audit_pkey"}},
		{"audit, next page", gateway.AuditFilter{Before: 1000}, []string{"audit_school", "audit_pkey"}},
		{"audit of an action", gateway.AuditFilter{Action: "pupil.1"}, []string{"audit_action"}},
		{"audit of an actor", gateway.AuditFilter{Actor: "ngc_1"}, []string{"audit_actor"}},
		{"audit of an object", gateway.AuditFilter{Object: "300000000000000005"}, []string{"audit_object"}},
		{"audit from and to", gateway.AuditFilter{From: now.Add(-30 * time.Hour), To: now.Add(-28 * time.Hour)}, []string{"audit_at"}},

		{"pupils", gateway.PupilFilter{}, []string{"pupils_created"}},
		{"pupils of a class", gateway.PupilFilter{Class: "3"}, []string{"pupils_class_created"}},
		{"pupils of a year", gateway.PupilFilter{SchoolYear: "2026/27"}, []string{"pupils_created"}},
		{"pupils, next page", gateway.PupilFilter{Before: now, BeforeID: "5"}, []string{"pupils_created"}},
		{"pupils of a kind", gateway.PupilFilter{Kind: "staff"}, []string{"pupils_kind"}},
		{"pupils, no others", gateway.PupilFilter{Kind: "pupil"}, []string{"pupils_created"}},
		{"pupils by code", gateway.PupilFilter{Code: "RSSMRA80A01H501U"}, []string{"pupils_code"}},
		{"payers of pupils", "payers", key("pupil_payers")},
		{"pupils to bill of a class", "class", []string{"pupils_class"}},
		{"delegates", "delegates", []string{"delegates_class"}},
		{"campaigns", "campaigns", []string{"campaigns_seq"}},
		{"totals of a campaign", "campaign totals", []string{"notices_campaign"}},
		{"unpaid of a campaign", "campaign unpaid", []string{"notices_campaign"}},
		{"unpaid of a campaign, next page", "campaign page", []string{"notices_campaign"}},
		{"imports", "imports", []string{"imports_seq"}},
		{"errors of an import", "import errors", key("import_errors")},
		{"prints", "prints", key("prints")},
		{"webhooks", "webhooks", []string{"webhooks_school"}},
		{"deliveries", "deliveries", []string{"outbox_target"}},

		{"family", gateway.FamilyAll, []string{"notices_debtor"}},
		{"family, paid", gateway.FamilyPaid, []string{"notices_debtor"}},
		{"family, to pay", gateway.FamilyUnpaid, []string{"notices_debtor"}},
		{"family's pupils", "family pupils", []string{"payers_code"}},
		{"family's receipts", "family receipts", key("receipts")},
		{"family's refunds", "family refunds", []string{"refunds_receipt"}},
		{"family's carts", "carts", []string{"carts_account"}},
		{"delegate's class", "class notices", []string{"notices_class"}},
		{"delegate's newest", "class newest", []string{"notices_class"}},
	} {
		plan, err := db.Explain(context.Background(), explained, c.list)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		found := false
		for _, index := range c.want {
			found = found || strings.Contains(plan, index)
		}
		for line := range strings.Lines(plan) {
			// Of what was derived there is a page; of what stays small, PostgreSQL reads all.
			table := readWhole.FindStringSubmatch(line)
			if table != nil && !slices.Contains([]string{"f", "every", "json_each", "CONSTANT"}, table[1]) && (strings.Contains(line, "SCAN ") || slices.Contains(grown, table[1])) {
				found = false
			}
		}
		if !found {
			wrong[c.name] = fmt.Sprintf("want one of %v, and no table read whole:\n%s", c.want, plan)
		}
	}
	return wrong
}
