// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/iuv"
)

const selectArchivePosition = `
SELECT state, version, due_date, lapses, code, changed_at
  FROM archive_positions
 WHERE school = $1 AND number = $2`

func (t *tx) ArchivePosition(school gateway.SchoolCode, n iuv.Number) (gateway.ArchivePosition, error) {
	p := gateway.ArchivePosition{School: school, Number: n}
	err := notFound(t.sql.QueryRowContext(t.ctx, selectArchivePosition, school, n.String()).
		Scan(&p.State, &p.Version, day{&p.DueDate}, &p.Lapses, &p.Code, instant{&p.ChangedAt}))
	if errors.Is(err, gateway.ErrNotFound) {
		err = nil
	}
	return p, err
}

const putArchivePosition = `
INSERT INTO archive_positions (school, number, state, version, due_date, lapses, code, changed_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
    ON CONFLICT (school, number) DO UPDATE
   SET state = excluded.state, version = excluded.version, due_date = excluded.due_date, lapses = excluded.lapses,
       code = excluded.code, changed_at = excluded.changed_at`

// PutArchivePosition is guarded by the order of the outbox: one message of a
// notice at a time.
func (t *tx) PutArchivePosition(p gateway.ArchivePosition) error {
	_, err := t.sql.ExecContext(t.ctx, putArchivePosition, p.School, p.Number.String(), p.State, p.Version, p.DueDate.String(), p.Lapses,
		p.Code, at(p.ChangedAt))
	return err
}

const countArchiveRefused = `SELECT count(*) FROM archive_positions WHERE state = 'refused'`

func (t *tx) CountArchiveRefused() (n int, err error) {
	err = t.sql.QueryRowContext(t.ctx, countArchiveRefused).Scan(&n)
	return n, err
}

const selectUnmirrored = `
SELECT n.seq, n.number, coalesce(p.state, ''), coalesce(p.version, 0), coalesce(p.due_date, n.due_date),
       coalesce(p.lapses, NOT n.payable_after_due), coalesce(p.code, 0), p.changed_at
  FROM notices n
  LEFT JOIN archive_positions p ON p.school = n.school AND p.number = n.number
 WHERE n.school = $1 AND n.seq > $2 AND (p.state = 'refused' OR p.state IS NULL AND n.state = 'open')
 ORDER BY n.seq
 LIMIT $3`

func (t *tx) UnmirroredNotices(school gateway.SchoolCode, after int64, limit int) ([]gateway.Unmirrored, error) {
	rows, err := t.sql.QueryContext(t.ctx, selectUnmirrored, school, after, limit)
	return collect(rows, err, func(r row) (u gateway.Unmirrored, err error) {
		u.School = school
		err = r.Scan(&u.Seq, number{&u.Number}, &u.State, &u.Version, day{&u.DueDate}, &u.Lapses, &u.Code, instant{&u.ChangedAt})
		return u, err
	})
}
