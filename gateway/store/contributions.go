// SPDX-License-Identifier: Apache-2.0

package store

import "github.com/nodogate/nodogate/gateway"

const insertContribution = `
INSERT INTO contributions (school, id, service, description, amount_cents, min_amount_cents, free_amount, due_date, taxonomy, deduction,
       closed, created_at, version)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
    ON CONFLICT DO NOTHING`

func (t *tx) InsertContribution(c gateway.Contribution) error {
	return t.changed(gateway.ErrConflict, insertContribution, c.School, c.ID, c.Service, c.Description, int64(c.Amount), int64(c.Min),
		c.Free, c.DueDate.String(), c.Taxonomy, c.Deduction, c.Closed, at(c.CreatedAt), c.Version)
}

const selectContribution = `
SELECT school, id, service, description, amount_cents, min_amount_cents, free_amount, due_date, taxonomy, deduction, closed,
       created_at, version
  FROM contributions
 WHERE service = $1`

const lockContribution = `SELECT 1 FROM contributions WHERE service = $1`

// LockContribution finds a contribution by its service code. It locks before it
// reads, like LockNotice.
func (t *tx) LockContribution(service string) (c gateway.Contribution, err error) {
	if err := t.lock(lockContribution, service); err != nil {
		return c, err
	}
	err = t.sql.QueryRowContext(t.ctx, selectContribution, service).Scan(&c.School, &c.ID, &c.Service, &c.Description, &c.Amount, &c.Min,
		&c.Free, day{&c.DueDate}, &c.Taxonomy, &c.Deduction, &c.Closed, instant{&c.CreatedAt}, &c.Version)
	return c, notFound(err)
}
