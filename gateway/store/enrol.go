// SPDX-License-Identifier: Apache-2.0

package store

import (
	"database/sql"
	"time"

	"github.com/nodogate/nodogate/gateway"
)

const selectPupilRecord = `SELECT school, id, person_enc, class, school_year, created_at, kind FROM pupils`

func (t *tx) scanPupilRecord(r row) (opener[gateway.PupilRecord], error) {
	var p gateway.PupilRecord
	var sealed []byte
	err := r.Scan(&p.School, &p.ID, &sealed, &p.Class, &p.SchoolYear, instant{&p.CreatedAt}, &p.Kind)
	return func() (gateway.PupilRecord, error) {
		err := t.openPupil(&p.Pupil, sealed)
		return p, err
	}, notFound(err)
}

const (
	selectPupilRecordByID = selectPupilRecord + ` WHERE school = $1 AND id = $2`
	lockPupil             = `SELECT 1 FROM pupils WHERE school = $1 AND id = $2`
)

func (t *tx) PupilRecord(school gateway.SchoolCode, id string) (gateway.PupilRecord, error) {
	if err := t.lock(lockPupil, school, id); err != nil {
		return gateway.PupilRecord{}, err
	}
	p, err := opened(t.scanPupilRecord(t.sql.QueryRowContext(t.ctx, selectPupilRecordByID, school, id)))
	if err != nil {
		return p, err
	}
	list := []gateway.PupilRecord{p}
	err = t.addPayers(school, list)
	return list[0], err
}

func (t *tx) PupilRecords(school gateway.SchoolCode, f gateway.PupilFilter) ([]gateway.PupilRecord, error) {
	w, err := t.pupilsWhere(school, f)
	if err != nil {
		return nil, err
	}
	rows, err := t.sql.QueryContext(t.ctx, selectPupilRecord+w.text.String(), w.args...)
	var list []gateway.PupilRecord
	if asked := nameWords(f.Query); len(asked) == 0 {
		list, err = collectOpened(rows, err, t.scanPupilRecord)
	} else {
		list, err = t.pupilsNamed(rows, err, school, asked, f.Limit)
	}
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return list, t.addPayers(school, list)
}

func (t *tx) pupilsWhere(school gateway.SchoolCode, f gateway.PupilFilter) (w where, err error) {
	w.and("school = ?", school)
	if f.Class != "" {
		w.and("class = ?", f.Class)
	}
	if f.SchoolYear != "" {
		w.and("school_year = ?", f.SchoolYear)
	}
	switch kind := gateway.KindNamed(f.Kind); {
	case kind != gateway.KindPupil:
		w.and("kind = ? AND kind <> ''", kind)
	case f.Kind != "":
		w.and("kind = ''")
	}
	if f.Code != "" {
		hash, err := t.codeHash(f.Code)
		if err != nil {
			return w, err
		}
		if hash == nil {
			w.and("code_hash IS NULL")
		} else {
			w.and("code_hash = ?", hash)
		}
	}
	if !f.Before.IsZero() {
		w.and("created_at <= ? AND (created_at < ? OR id < ?)", at(f.Before), at(f.Before), f.BeforeID)
	}
	w.then("ORDER BY created_at DESC, id DESC")
	if f.Limit > 0 && len(nameWords(f.Query)) == 0 {
		w.then("LIMIT ?", f.Limit)
	}
	return w, nil
}

// pupilsNamed opens the names one after the other, and stops when it has enough.
func (t *tx) pupilsNamed(rows *sql.Rows, err error, school gateway.SchoolCode, asked []string, limit int) (list []gateway.PupilRecord, _ error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	if _, err := t.key(string(school)); err != nil { // not while rows are read
		return nil, err
	}
	for rows.Next() && (limit == 0 || len(list) < limit) {
		p, err := opened(t.scanPupilRecord(rows))
		if err != nil {
			return nil, err
		}
		if namesLike(nameWords(p.FirstName+" "+p.LastName), asked) {
			list = append(list, p)
		}
	}
	return list, rows.Err()
}

const selectPayersOfPupils = `
SELECT l.pupil, l.relation, l.since, l.by_kind, l.by_name, y.school, y.id, y.person_enc, y.language
  FROM pupil_payers l
  JOIN payers y ON y.school = l.school AND y.id = l.payer
 WHERE l.school = $1 AND l.pupil`

// addPayers gives pupils their payers.
func (t *tx) addPayers(school gateway.SchoolCode, list []gateway.PupilRecord) error {
	ids := make([]string, len(list))
	at := make(map[string]int, len(list))
	for i, p := range list {
		ids[i], at[p.ID] = p.ID, i
	}
	type linked struct {
		pupil string
		gateway.LinkedPayer
	}
	rows, err := t.sql.QueryContext(t.ctx, selectPayersOfPupils+t.db.anyOf+" ORDER BY l.pupil, y.id", school, t.db.list(ids))
	links, err := collectOpened(rows, err, func(r row) (opener[linked], error) {
		var l linked
		var sealed []byte
		err := r.Scan(&l.pupil, &l.Relation, instant{&l.Since}, &l.By.Kind, &l.By.Name, &l.School, &l.ID, &sealed, &l.Language)
		return func() (linked, error) {
			err := t.openPayer(&l.Payer, sealed)
			return l, err
		}, err
	})
	if err != nil {
		return err
	}
	for _, l := range links {
		p := &list[at[l.pupil]]
		p.Payers = append(p.Payers, l.LinkedPayer)
	}
	return nil
}

func (t *tx) openPayer(p *gateway.Payer, sealed []byte) error {
	who, err := t.openPerson(string(p.School), payerColumn, sealed)
	p.Code, p.FirstName, p.LastName, p.Email = who.Code, who.FirstName, who.LastName, who.Email
	return err
}

const selectPayerIDByCode = `SELECT coalesce(min(id), '') FROM payers WHERE code_hash = $1 AND school = $2`

func (t *tx) PayerIDByCode(school gateway.SchoolCode, code gateway.FiscalCode) (id string, err error) {
	hash, err := t.codeHash(code)
	if err != nil || hash == nil {
		return "", err
	}
	err = t.sql.QueryRowContext(t.ctx, selectPayerIDByCode, hash, school).Scan(&id)
	return id, err
}

const deleteLink = `DELETE FROM pupil_payers WHERE school = $1 AND pupil = $2 AND payer = $3`

func (t *tx) UnlinkPayer(school gateway.SchoolCode, pupil, payer string) error {
	if err := t.changed(gateway.ErrNotFound, deleteLink, school, pupil, payer); err != nil {
		return err
	}
	return t.forgetPayer(school, payer)
}

const deleteLonelyPayer = `
DELETE FROM payers
 WHERE school = $1 AND id = $2
   AND NOT EXISTS (SELECT 1 FROM pupil_payers l WHERE l.school = $1 AND l.payer = $2)
   AND NOT EXISTS (SELECT 1 FROM delegates d WHERE d.school = $1 AND d.payer = $2 AND d.ended_at IS NULL)`

// forgetPayer deletes a payer whom nothing leads to.
func (t *tx) forgetPayer(school gateway.SchoolCode, id string) error {
	_, err := t.sql.ExecContext(t.ctx, deleteLonelyPayer, school, id)
	return err
}

const insertDelegation = `
INSERT INTO delegates (school, class, payer, since, by_kind, by_name, ended_by_kind, ended_by_name)
VALUES ($1, $2, $3, $4, $5, $6, '', '')
    ON CONFLICT DO NOTHING`

func (t *tx) InsertDelegation(school gateway.SchoolCode, d gateway.Delegation) error {
	return t.changed(gateway.ErrConflict, insertDelegation, school, d.Class, d.Payer.ID, at(d.Since), d.By.Kind, d.By.Name)
}

const endDelegation = `
UPDATE delegates
   SET ended_at = $4, ended_by_kind = $5, ended_by_name = $6
 WHERE school = $1 AND class = $2 AND payer = $3 AND ended_at IS NULL`

func (t *tx) EndDelegation(school gateway.SchoolCode, class, payer string, by gateway.Actor, when time.Time) error {
	if err := t.changed(gateway.ErrNotFound, endDelegation, school, class, payer, at(when), by.Kind, by.Name); err != nil {
		return err
	}
	return t.forgetPayer(school, payer)
}

// DISTINCT keeps SQLite from beginning with all payers of the school.
const selectDelegations = `
SELECT f.class, f.since, f.by_kind, f.by_name, y.school, y.id, y.person_enc, y.language
  FROM (SELECT DISTINCT school, class, payer, since, by_kind, by_name
          FROM delegates
         WHERE school = $1 AND class = $2 AND ended_at IS NULL) AS f
  JOIN payers y ON y.school = f.school AND y.id = f.payer
 ORDER BY y.id`

func (t *tx) Delegations(school gateway.SchoolCode, class string) ([]gateway.Delegation, error) {
	rows, err := t.sql.QueryContext(t.ctx, selectDelegations, school, class)
	return collectOpened(rows, err, func(r row) (opener[gateway.Delegation], error) {
		var d gateway.Delegation
		var sealed []byte
		err := r.Scan(&d.Class, instant{&d.Since}, &d.By.Kind, &d.By.Name, &d.Payer.School, &d.Payer.ID, &sealed, &d.Payer.Language)
		return func() (gateway.Delegation, error) {
			err := t.openPayer(&d.Payer, sealed)
			return d, err
		}, err
	})
}

// The classes are found first: a join of all would have SQLite begin with all
// notices of the school.
const selectClassNotices = `
SELECT n.school, s.name, n.class, n.debtor_enc, n.description, n.amount_cents, n.due_date, n.payable_after_due, n.state, n.campaign
  FROM (SELECT DISTINCT d.school AS school, d.class AS class
          FROM payers y
          JOIN delegates d ON d.school = y.school AND d.payer = y.id AND d.ended_at IS NULL AND d.since >= $2
         WHERE y.code_hash = $1) AS f
  JOIN notices n ON n.school = f.school AND n.class = f.class AND n.created_at >= $2
  JOIN schools s ON s.code = f.school
 WHERE n.state <> 'draft'
 ORDER BY n.seq DESC
 LIMIT $3`

// The newest notice of each class is the end of an index: who has years of them
// must not wait for a bare yes.
const selectHasClassNotice = `
SELECT EXISTS (
       SELECT 1
         FROM payers y
         JOIN delegates d ON d.school = y.school AND d.payer = y.id AND d.ended_at IS NULL AND d.since >= $2
        WHERE y.code_hash = $1
          AND (SELECT n.created_at
                 FROM notices n
                WHERE n.school = d.school AND n.class = d.class AND n.state <> 'draft'
                ORDER BY n.seq DESC
                LIMIT 1) >= $2)`

func (t *tx) HasClassNotice(code gateway.FiscalCode, since time.Time) (has bool, err error) {
	hash, err := t.codeHash(code)
	if err != nil || hash == nil {
		return false, err
	}
	err = t.sql.QueryRowContext(t.ctx, selectHasClassNotice, hash, at(since)).Scan(&has)
	return has, err
}

func (t *tx) ClassNotices(code gateway.FiscalCode, since, now time.Time, limit int) ([]gateway.ClassNotice, error) {
	hash, err := t.codeHash(code)
	if err != nil || hash == nil {
		return nil, err
	}
	rows, err := t.sql.QueryContext(t.ctx, selectClassNotices, hash, at(since), limit)
	return collectOpened(rows, err, func(r row) (opener[gateway.ClassNotice], error) {
		var c gateway.ClassNotice
		var n gateway.Notice
		var sealed []byte
		err := r.Scan(&c.School, &c.SchoolName, &c.Class, &sealed, &c.Description, &c.Amount, day{&n.DueDate}, &n.PayableAfterDue, &n.State, &c.Campaign)
		return func() (gateway.ClassNotice, error) {
			k, err := t.key(string(c.School))
			if err != nil {
				return c, err
			}
			var who debtor
			err = k.openJSON(debtorColumn, sealed, &who)
			c.Name, c.DueDate, c.State = who.Name, n.DueDate, n.StateAt(now)
			return c, err
		}, err
	})
}
