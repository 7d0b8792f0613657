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

// A country has some ten thousand schools: what is read of each is little, and
// the order is the index's.
const selectGivingSchools = `
SELECT s.code, s.name, s.town, s.mechanograph
  FROM schools s
 WHERE EXISTS (SELECT 1 FROM contributions c WHERE c.school = s.code AND c.closed = $1 AND c.due_date >= $2)
 ORDER BY s.name, s.code`

func (t *tx) GivingSchools(today gateway.Date, each func(gateway.GivingSchool) bool) error {
	rows, err := t.sql.QueryContext(t.ctx, selectGivingSchools, false, today.String())
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var g gateway.GivingSchool
		if err := rows.Scan(&g.Code, &g.Name, &g.Town, &g.Mechanograph); err != nil {
			return err
		}
		if !each(g) {
			return nil
		}
	}
	return rows.Err()
}
