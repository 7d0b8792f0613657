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

const selectContributions = `
SELECT school, id, service, description, amount_cents, min_amount_cents, free_amount, due_date, taxonomy, deduction, closed,
       created_at, version
  FROM contributions`

const selectContribution = selectContributions + ` WHERE service = $1`

const lockContribution = `SELECT 1 FROM contributions WHERE service = $1`

// LockContribution finds a contribution by its service code. It locks before it
// reads, like LockNotice.
func (t *tx) LockContribution(service string) (c gateway.Contribution, err error) {
	if err := t.lock(lockContribution, service); err != nil {
		return c, err
	}
	return scanContribution(t.sql.QueryRowContext(t.ctx, selectContribution, service))
}

func scanContribution(r row) (c gateway.Contribution, err error) {
	err = r.Scan(&c.School, &c.ID, &c.Service, &c.Description, &c.Amount, &c.Min,
		&c.Free, day{&c.DueDate}, &c.Taxonomy, &c.Deduction, &c.Closed, instant{&c.CreatedAt}, &c.Version)
	return c, notFound(err)
}

const selectContributionsOfSchool = selectContributions + ` WHERE school = $1 ORDER BY due_date, id`

func (t *tx) Contributions(school gateway.SchoolCode) ([]gateway.Contribution, error) {
	rows, err := t.sql.QueryContext(t.ctx, selectContributionsOfSchool, school)
	return collect(rows, err, scanContribution)
}

const selectContributingSchools = `SELECT DISTINCT school FROM contributions WHERE closed = $1 AND due_date >= $2 ORDER BY school`

func (t *tx) ContributingSchools(today gateway.Date) ([]gateway.SchoolCode, error) {
	rows, err := t.sql.QueryContext(t.ctx, selectContributingSchools, false, today.String())
	return collect(rows, err, func(r row) (code gateway.SchoolCode, err error) {
		err = r.Scan(&code)
		return code, err
	})
}
