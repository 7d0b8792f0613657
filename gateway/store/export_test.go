// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nodogate/nodogate/gateway"
)

// Exec runs a statement as it is, to fill tables.
func (db *DB) Exec(ctx context.Context, statement string) error {
	_, err := db.write.ExecContext(ctx, statement)
	return err
}

// DropIndex drops an index of SQLite's and gives the statement that restores it.
func (db *DB) DropIndex(ctx context.Context, name string) (restore string, err error) {
	if err = db.write.QueryRowContext(ctx, "SELECT sql FROM sqlite_master WHERE type = 'index' AND name = $1", name).Scan(&restore); err == nil {
		err = db.Exec(ctx, "DROP INDEX "+name)
	}
	return restore, err
}

// Explain is the database's plan for a list of the school: one that a filter
// chooses, a part of a family's notices, or one of those that have a name here.
func (db *DB) Explain(ctx context.Context, school gateway.SchoolCode, list any) (plan string, err error) {
	err = db.View(ctx, func(g gateway.Tx) error {
		t := g.(*tx)
		query, args, err := t.listed(school, list)
		if err != nil {
			return err
		}
		plan, err = t.explain(query, args)
		return err
	})
	return plan, err
}

func (t *tx) listed(school gateway.SchoolCode, list any) (query string, args []any, err error) {
	const page = 51
	now, code := t.db.now(), []byte("the hash of somebody's code 32 b")
	var w where
	switch f := list.(type) {
	case gateway.NoticeFilter:
		f.Now, f.Limit = now, page
		w, err = t.noticesWhere(school, f)
		query = selectNotice + fromNotices
	case gateway.ReceiptFilter:
		f.Limit = page
		w, query = receiptsWhere(school, f), selectReceipt+fromReceipts
	case gateway.RefundFilter:
		f.Limit = page
		w, query = refundsWhere(school, f), selectRefund
	case gateway.EvidenceFilter:
		f.Limit = page
		w, query = evidencesWhere(school, f), selectEvidences
	case gateway.AuditFilter:
		f.Limit = page
		w, query = auditsWhere(school, f), selectAudits
	case gateway.PupilFilter:
		f.Limit = page
		w, err = t.pupilsWhere(school, f)
		query = selectPupilRecord
	case gateway.FamilyPart:
		return noticesOfFamily[f], []any{code, page, 0}, nil
	case string:
		some := t.db.list([]string{"300000000000000001", "300000000000000002"})
		named := map[string][]any{
			"events":          {selectEvents, school, "300000000000000001"},
			"payers":          {selectPayersOfPupils + t.db.anyOf + " ORDER BY l.pupil, y.id", school, some},
			"class":           {selectPupilsOfClass, school, "3"},
			"delegates":       {selectDelegations, school, "3"},
			"campaign totals": {selectCampaignTotals, school, "gita"},
			"campaign unpaid": {countUnpaid, school, "gita"},
			"campaign page":   {selectUnpaid, school, "gita", 1000, 200},
			"campaigns":       {selectCampaigns, school, 1000, page},
			"imports":         {selectImports, school, "300000000000000001", page},
			"import errors":   {selectImportErrors, school, "300000000000000001", 1, page},
			"prints":          {countPrints, school},
			"webhooks":        {selectWebhooks, school, 1000, page},
			"deliveries":      {selectDeliveries, school, "w-" + school + "300000000000000001", 100000, page},
			"family pupils":   {selectPupilsOfFamily, code},
			"family receipts": {t.db.eachOf(selectReceiptsByID), school, some},
			"family refunds":  {fmt.Sprintf(selectRefundedOf, t.db.anyOf), school, some},
			"carts":           {selectCartsOfAccount, "a-5", page},
			"class notices":   {selectClassNotices, code, at(now), page},
			"class newest":    {selectHasClassNotice, code, at(now)},
		}
		q, ok := named[f]
		if !ok {
			return "", nil, fmt.Errorf("no list %q", f)
		}
		return q[0].(string), q[1:], nil
	}
	return query + w.text.String(), w.args, err
}

func (t *tx) explain(query string, args []any) (string, error) {
	if t.db.folder == "postgres" {
		rows, err := t.sql.QueryContext(t.ctx, "EXPLAIN "+query, args...)
		lines, err := collect(rows, err, func(r row) (line string, err error) { err = r.Scan(&line); return line, err })
		return strings.Join(lines, "\n"), err
	}
	// To explain is to run nothing: only what runs sees that an index is gone.
	if _, err := t.School("x"); err != nil && !errors.Is(err, gateway.ErrNotFound) {
		return "", err
	}
	rows, err := t.sql.QueryContext(t.ctx, "EXPLAIN QUERY PLAN "+query, args...)
	lines, err := collect(rows, err, func(r row) (line string, err error) {
		var id, parent, unused int
		err = r.Scan(&id, &parent, &unused, &line)
		return line, err
	})
	return strings.Join(lines, "\n"), err
}
