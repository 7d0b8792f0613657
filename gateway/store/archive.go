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
