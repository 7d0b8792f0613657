// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"strings"

	"github.com/nodogate/nodogate/gateway"
)

// Exec runs a statement as it is, to fill tables.
func (db *DB) Exec(ctx context.Context, statement string) error {
	_, err := db.write.ExecContext(ctx, statement)
	return err
}

// ExplainNotices is the database's plan for a list of notices.
func (db *DB) ExplainNotices(ctx context.Context, school gateway.SchoolCode, f gateway.NoticeFilter) (plan string, err error) {
	err = db.View(ctx, func(g gateway.Tx) error {
		t := g.(*tx)
		w, err := t.noticesWhere(school, f)
		if err != nil {
			return err
		}
		plan, err = t.explain(selectNotice+fromNotices+w.text.String(), w.args)
		return err
	})
	return plan, err
}

// ExplainPupils is the database's plan for a list of pupils.
func (db *DB) ExplainPupils(ctx context.Context, school gateway.SchoolCode, f gateway.PupilFilter) (plan string, err error) {
	err = db.View(ctx, func(g gateway.Tx) error {
		t := g.(*tx)
		w, err := t.pupilsWhere(school, f)
		if err != nil {
			return err
		}
		plan, err = t.explain(selectPupilRecord+w.text.String(), w.args)
		return err
	})
	return plan, err
}

// ExplainAudits is the database's plan for a list of the audit trail.
func (db *DB) ExplainAudits(ctx context.Context, school gateway.SchoolCode, f gateway.AuditFilter) (plan string, err error) {
	err = db.View(ctx, func(g gateway.Tx) error {
		w := auditsWhere(school, f)
		plan, err = g.(*tx).explain(selectAudits+w.text.String(), w.args)
		return err
	})
	return plan, err
}

// ExplainClassNotices is the database's plan for what a delegate sees.
func (db *DB) ExplainClassNotices(ctx context.Context) (plan string, err error) {
	err = db.View(ctx, func(g gateway.Tx) error {
		plan, err = g.(*tx).explain(selectClassNotices, []any{[]byte("x"), at(db.now()), 10})
		return err
	})
	return plan, err
}

func (t *tx) explain(query string, args []any) (string, error) {
	if t.db.folder == "postgres" {
		rows, err := t.sql.QueryContext(t.ctx, "EXPLAIN "+query, args...)
		lines, err := collect(rows, err, func(r row) (line string, err error) { err = r.Scan(&line); return line, err })
		return strings.Join(lines, "\n"), err
	}
	// A connection learns what ANALYZE found when it next runs a query; to explain
	// one is not to run it.
	var one int
	if err := t.sql.QueryRowContext(t.ctx, "SELECT count(*) FROM installation").Scan(&one); err != nil {
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
