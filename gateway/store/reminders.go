// SPDX-License-Identifier: Apache-2.0

package store

import (
	"time"

	"github.com/nodogate/nodogate/gateway"
)

const selectUnreminded = `
SELECT n.school, n.number, n.due_date
  FROM notices n
 WHERE n.state = 'open' AND NOT n.payable_after_due AND n.due_date >= $1 AND n.due_date <= $2 AND n.created_at < $3
   AND NOT EXISTS (SELECT 1 FROM reminders r WHERE r.school = n.school AND r.number = n.number AND r.due_date = n.due_date)
 LIMIT $4`

func (t *tx) UnremindedNotices(from, to gateway.Date, issuedBefore time.Time, limit int) ([]gateway.Reminder, error) {
	rows, err := t.sql.QueryContext(t.ctx, selectUnreminded, from.String(), to.String(), at(issuedBefore), limit)
	return collect(rows, err, func(r row) (m gateway.Reminder, err error) {
		err = r.Scan(&m.School, number{&m.Number}, day{&m.Due})
		return m, err
	})
}

const insertReminder = `
INSERT INTO reminders (school, number, due_date, at)
VALUES ($1, $2, $3, $4)
    ON CONFLICT DO NOTHING`

func (t *tx) MarkReminded(r gateway.Reminder, when time.Time) (bool, error) {
	n, err := affected(t.sql.ExecContext(t.ctx, insertReminder, r.School, r.Number.String(), r.Due.String(), at(when)))
	return n > 0, err
}

// The automatic one counts as well as the one that was asked for.
const insertAskedReminder = `
INSERT INTO asked_reminders (school, number, day, at)
SELECT $1, $2, $3, $4
 WHERE NOT EXISTS (SELECT 1 FROM reminders r WHERE r.school = $1 AND r.number = $2 AND r.at >= $5)
    ON CONFLICT DO NOTHING`

func (t *tx) MarkAskedReminder(ref gateway.NoticeRef, day gateway.Date, when time.Time) (bool, error) {
	midnight := day.AddDays(-1).Deadline()
	n, err := affected(t.sql.ExecContext(t.ctx, insertAskedReminder, ref.School, ref.Number.String(), day.String(), at(when), at(midnight)))
	return n > 0, err
}

const selectAskedReminder = `SELECT EXISTS (SELECT 1 FROM asked_reminders WHERE school = $1 AND number = $2 AND day = $3)`

func (t *tx) AskedReminder(ref gateway.NoticeRef, day gateway.Date) (asked bool, err error) {
	err = t.sql.QueryRowContext(t.ctx, selectAskedReminder, ref.School, ref.Number.String(), day.String()).Scan(&asked)
	return asked, err
}
