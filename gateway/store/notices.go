// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/iuv"
)

// debtor is what is sealed of a notice.
type debtor struct {
	Code gateway.FiscalCode `json:"code"`
	Name string             `json:"name"`
}

const debtorColumn = "notices.debtor_enc"

const insertNotices = `
INSERT INTO notices (school, number, state, version, debtor_hash, debtor_enc, class, description, amount_cents, past_amounts,
       due_date, payable_after_due, held, taxonomy, deduction, external_id, campaign, transfers, fingerprint,
       created_at, changed_at, paid_at, settled_by, plan, instalment, plan_parts)
VALUES %s
    ON CONFLICT DO NOTHING
RETURNING school, number`

const noticeValues = 26

// InsertNotices adds notices, several with one statement. Many are streamed,
// and only if one of them meets a key that is taken, inserted after all.
func (t *tx) InsertNotices(list []gateway.Notice) (taken []int, err error) {
	if t.copies(len(list)) {
		err := t.atomically(func() error {
			if err := t.copyNotices(list); err != nil {
				return err
			}
			return t.nameDebtors(list, nil)
		})
		if err == nil || !t.db.unique(err) {
			return nil, err
		}
	}
	err = t.atomically(func() error {
		taken = nil
		for from, n := range chunks(len(list)) {
			lost, err := t.insertNotices(list[from : from+n])
			if err != nil {
				return err
			}
			for _, i := range lost {
				taken = append(taken, from+i)
			}
		}
		// A row that lost lost by its number, or else by its external id.
		if err := t.nameDebtors(list, taken); err != nil {
			return err
		}
		for _, i := range taken {
			var there bool
			if err := t.sql.QueryRowContext(t.ctx, selectNumberTaken, list[i].School, list[i].Number.String()).Scan(&there); err != nil {
				return err
			}
			if !there {
				return gateway.ErrConflict
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return taken, nil
}

// NameDebtor is for a debtor whose name was changed.
func (t *tx) NameDebtor(n gateway.Notice) error { return t.nameDebtors([]gateway.Notice{n}, nil) }

// nameDebtors makes the debtors of notices findable by name, but those left out.
func (t *tx) nameDebtors(list []gateway.Notice, but []int) error {
	people := make([]named, 0, len(list))
	for i, n := range list {
		if slices.Contains(but, i) {
			continue
		}
		hash, err := t.codeHash(n.Debtor.Code)
		if err != nil {
			return err
		}
		people = append(people, named{n.School, hash, n.Debtor.Name})
	}
	return t.insertNames(people)
}

const selectNumberTaken = `SELECT EXISTS (SELECT 1 FROM notices WHERE school = $1 AND number = $2)`

// sealDebtor seals who owes a notice, and hashes the code.
func (t *tx) sealDebtor(n gateway.Notice) (hash, sealed []byte, err error) {
	k, err := t.key(string(n.School))
	if err != nil {
		return nil, nil, err
	}
	if hash, err = t.codeHash(n.Debtor.Code); err != nil {
		return nil, nil, err
	}
	sealed, err = k.sealJSON(debtorColumn, debtor{n.Debtor.Code, n.Debtor.Name})
	return hash, sealed, err
}

// insertNotices says which of list were not added.
func (t *tx) insertNotices(list []gateway.Notice) (lost []int, err error) {
	args := make([]any, 0, len(list)*noticeValues)
	for _, n := range list {
		hash, sealed, err := t.sealDebtor(n)
		if err != nil {
			return nil, err
		}
		args = append(args, n.School, n.Number.String(), n.State, n.Version, hash, sealed, n.Debtor.Class, n.Description,
			int64(n.Amount), asJSON(n.PastAmounts), n.DueDate.String(), n.PayableAfterDue, n.Held, n.Taxonomy, n.Deduction,
			n.ExternalID, n.Campaign, asJSON(n.Transfers), n.Fingerprint[:], at(n.CreatedAt), at(n.ChangedAt), at(n.PaidAt), n.SettledBy,
			n.Plan, n.Instalment, n.PlanParts)
	}
	rows, err := t.sql.QueryContext(t.ctx, fmt.Sprintf(insertNotices, values(len(list), noticeValues)), args...)
	added, err := collect(rows, err, func(r row) (ref gateway.NoticeRef, err error) {
		err = r.Scan(&ref.School, number{&ref.Number})
		return ref, err
	})
	if err != nil {
		return nil, err
	}
	won := make(map[gateway.NoticeRef]bool, len(added))
	for _, ref := range added {
		won[ref] = true
	}
	for i, n := range list {
		ref := gateway.NoticeRef{School: n.School, Number: n.Number}
		if !won[ref] {
			lost = append(lost, i)
		}
		delete(won, ref) // a second one in the list did not get in
	}
	return lost, nil
}

// The live attempt and token come with the notice: a reader of one row must not see half
// of a change.
const selectNotice = `
SELECT n.school, n.number, n.seq, n.state, n.version, n.debtor_enc, n.class, n.description, n.amount_cents, n.past_amounts,
       n.due_date, n.payable_after_due, n.held, n.taxonomy, n.deduction, n.external_id, n.campaign, n.transfers, n.fingerprint,
       n.created_at, n.changed_at, n.paid_at, n.settled_by, n.plan, n.instalment, n.plan_parts,
       coalesce(a.state, ''), coalesce(a.id, ''), coalesce(a.method, ''), coalesce(a.psp, ''), a.lapses_at,
       coalesce(tk.id, ''), coalesce(tk.psp, ''), tk.expires_at`

const fromNotices = `
  FROM notices n
  LEFT JOIN attempt_notices an ON an.school = n.school AND an.number = n.number AND an.live
  LEFT JOIN attempts a ON a.id = an.attempt
  LEFT JOIN tokens tk ON tk.school = n.school AND tk.number = n.number AND tk.state = 'active'`

// scanNotice scans the columns of selectNotice and then those of more.
func (t *tx) scanNotice(r row, more ...any) (opener[gateway.Notice], error) {
	var n gateway.Notice
	var sealed []byte
	var p gateway.NoticePayment
	var k gateway.NoticeToken
	dest := append([]any{&n.School, number{&n.Number}, &n.Seq, &n.State, &n.Version, &sealed, &n.Debtor.Class, &n.Description,
		&n.Amount, jsonText{&n.PastAmounts}, day{&n.DueDate}, &n.PayableAfterDue, &n.Held, &n.Taxonomy, &n.Deduction,
		&n.ExternalID, &n.Campaign, jsonText{&n.Transfers}, digest{&n.Fingerprint}, instant{&n.CreatedAt}, instant{&n.ChangedAt},
		instant{&n.PaidAt}, &n.SettledBy, &n.Plan, &n.Instalment, &n.PlanParts, &p.State, &p.Attempt, &p.Method, &p.PSP, instant{&p.ExpiresAt},
		&k.ID, &k.PSP, instant{&k.ExpiresAt}}, more...)
	if err := r.Scan(dest...); err != nil {
		return nil, notFound(err)
	}
	if p.Attempt != "" {
		n.Payment = &p
	}
	if k.ID != "" {
		n.Token = &k
	}
	return func() (gateway.Notice, error) {
		k, err := t.key(string(n.School))
		if err != nil {
			return gateway.Notice{}, err
		}
		var d debtor
		if err := k.openJSON(debtorColumn, sealed, &d); err != nil {
			return gateway.Notice{}, err
		}
		n.Debtor.Code, n.Debtor.Name = d.Code, d.Name
		return n, nil
	}, nil
}

const selectNoticeReceipts = `,
       (SELECT string_agg(r.id, ' ' ORDER BY r.seq) FROM receipts r WHERE r.school = n.school AND r.number = n.number),
       CASE WHEN n.plan <> '' THEN (
           SELECT string_agg(m.number, ' ' ORDER BY m.instalment)
             FROM notices m
            WHERE m.school = n.school AND m.plan = n.plan AND m.plan <> '')
       END`

const selectOneNotice = selectNotice + selectNoticeReceipts + fromNotices + ` WHERE n.school = $1 AND n.number = $2`

func (t *tx) Notice(school gateway.SchoolCode, number iuv.Number) (gateway.Notice, error) {
	return t.oneNotice(selectOneNotice, school, number.String())
}

func (t *tx) oneNotice(query string, args ...any) (gateway.Notice, error) {
	var ids, mates *string
	n, err := opened(t.scanNotice(t.sql.QueryRowContext(t.ctx, query, args...), &ids, &mates))
	if err != nil {
		return n, err
	}
	if ids != nil {
		n.Receipts = strings.Fields(*ids)
	}
	if mates != nil {
		for _, m := range strings.Fields(*mates) {
			number, err := iuv.Parse(m)
			if err != nil {
				return n, err
			}
			n.PlanNotices = append(n.PlanNotices, number)
		}
	}
	return n, nil
}

// The other notices of its plan are locked with a notice, in one order: what is
// paid of a plan closes others of it.
const lockNotice = `
SELECT 1
  FROM notices
 WHERE school = $1
   AND (number = $2
        OR plan <> '' AND plan = (SELECT p.plan FROM notices p WHERE p.school = $1 AND p.number = $2))
 ORDER BY number`

const selectNoticesOfPlan = selectNotice + fromNotices + `
 WHERE n.school = $1 AND n.plan = $2 AND n.plan <> ''
 ORDER BY n.instalment`

func (t *tx) NoticesOfPlan(school gateway.SchoolCode, plan string) ([]gateway.Notice, error) {
	rows, err := t.sql.QueryContext(t.ctx, selectNoticesOfPlan, school, plan)
	return collectOpened(rows, err, func(r row) (opener[gateway.Notice], error) { return t.scanNotice(r) })
}

// LockNotice locks before it reads, so that it reads what the last holder of the
// lock wrote everywhere, not in the locked row alone.
func (t *tx) LockNotice(school gateway.SchoolCode, number iuv.Number) (gateway.Notice, error) {
	if err := t.lock(lockNotice, school, number.String()); err != nil {
		return gateway.Notice{}, err
	}
	return t.Notice(school, number)
}

// lock locks the row that query finds; ErrNotFound. SQLite's only writer holds
// the lock of everything.
func (t *tx) lock(query string, args ...any) error {
	if t.db.forUpdate == "" || !t.writable {
		return nil
	}
	var one int
	return notFound(t.sql.QueryRowContext(t.ctx, query+t.db.forUpdate, args...).Scan(&one))
}

const selectNoticeByExternalID = selectNotice + selectNoticeReceipts + fromNotices + `
 WHERE n.school = $1 AND n.external_id = $2 AND n.external_id <> ''`

func (t *tx) NoticeByExternalID(school gateway.SchoolCode, externalID string) (gateway.Notice, error) {
	return t.oneNotice(selectNoticeByExternalID, school, externalID)
}

// The list is looked up in the partial index of what has an id.
const selectExternalIDs = `
SELECT external_id, number, fingerprint, created_at
  FROM notices
 WHERE school = $1 AND external_id <> '' AND external_id %s`

func (t *tx) ExternalIDs(school gateway.SchoolCode, ids []string) (map[string]gateway.IssuedRef, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	type found struct {
		id  string
		ref gateway.IssuedRef
	}
	rows, err := t.sql.QueryContext(t.ctx, t.db.eachOf(selectExternalIDs), school, t.db.list(ids))
	list, err := collect(rows, err, func(r row) (f found, err error) {
		err = r.Scan(&f.id, number{&f.ref.Number}, digest{&f.ref.Fingerprint}, instant{&f.ref.CreatedAt})
		return f, err
	})
	if err != nil {
		return nil, err
	}
	m := make(map[string]gateway.IssuedRef, len(list))
	for _, f := range list {
		m[f.id] = f.ref
	}
	return m, nil
}

func texts(numbers []iuv.Number) []string {
	list := make([]string, len(numbers))
	for i, n := range numbers {
		list[i] = n.String()
	}
	return list
}

const selectNoticesNumbered = selectNotice + fromNotices + ` WHERE n.school = $1 AND n.number %s`

func (t *tx) NoticesNumbered(school gateway.SchoolCode, numbers []iuv.Number) ([]gateway.Notice, error) {
	if len(numbers) == 0 {
		return nil, nil
	}
	rows, err := t.sql.QueryContext(t.ctx, t.db.eachOf(selectNoticesNumbered), school, t.db.list(texts(numbers)))
	return collectOpened(rows, err, func(r row) (opener[gateway.Notice], error) { return t.scanNotice(r) })
}

const selectTakenNumbers = `SELECT number FROM notices WHERE school = $1 AND number %s`

func (t *tx) TakenNumbers(school gateway.SchoolCode, numbers []iuv.Number) (map[iuv.Number]bool, error) {
	if len(numbers) == 0 {
		return nil, nil
	}
	rows, err := t.sql.QueryContext(t.ctx, t.db.eachOf(selectTakenNumbers), school, t.db.list(texts(numbers)))
	list, err := collect(rows, err, func(r row) (n iuv.Number, err error) {
		err = r.Scan(number{&n})
		return n, err
	})
	taken := make(map[iuv.Number]bool, len(list))
	for _, n := range list {
		taken[n] = true
	}
	return taken, err
}

const updateNotice = `
UPDATE notices
   SET state = $3, version = $4, debtor_hash = $5, debtor_enc = $6, class = $7, description = $8, amount_cents = $9,
       past_amounts = $10, due_date = $11, payable_after_due = $12, held = $13, taxonomy = $14, deduction = $15,
       external_id = $16, campaign = $17, transfers = $18, changed_at = $19, paid_at = $20, settled_by = $21
 WHERE school = $1 AND number = $2 AND version <= $4`

// SaveNotice is ErrConflict when a later version is there: the caller did not
// lock.
func (t *tx) SaveNotice(n gateway.Notice) error {
	hash, sealed, err := t.sealDebtor(n)
	if err != nil {
		return err
	}
	return t.changed(gateway.ErrConflict, updateNotice, n.School, n.Number.String(), n.State, n.Version, hash, sealed,
		n.Debtor.Class, n.Description, int64(n.Amount), asJSON(n.PastAmounts), n.DueDate.String(), n.PayableAfterDue, n.Held,
		n.Taxonomy, n.Deduction, n.ExternalID, n.Campaign, asJSON(n.Transfers), at(n.ChangedAt), at(n.PaidAt), n.SettledBy)
}

const selectLapsedNotices = `
SELECT school, number
  FROM notices
 WHERE state = 'open' AND NOT payable_after_due AND due_date < $1
 ORDER BY due_date
 LIMIT $2`

func (t *tx) LapsedNotices(today gateway.Date, limit int) ([]gateway.NoticeRef, error) {
	rows, err := t.sql.QueryContext(t.ctx, selectLapsedNotices, today.String(), limit)
	return collect(rows, err, func(r row) (ref gateway.NoticeRef, err error) {
		err = r.Scan(&ref.School, number{&ref.Number})
		return ref, err
	})
}

func (t *tx) Notices(school gateway.SchoolCode, f gateway.NoticeFilter) ([]gateway.Notice, error) {
	w, err := t.noticesWhere(school, f)
	if err != nil {
		return nil, err
	}
	rows, err := t.sql.QueryContext(t.ctx, selectNotice+fromNotices+w.text.String(), w.args...)
	return collectOpened(rows, err, func(r row) (opener[gateway.Notice], error) { return t.scanNotice(r) })
}

func (t *tx) noticesWhere(school gateway.SchoolCode, f gateway.NoticeFilter) (w where, err error) {
	w.and("n.school = ?", school)
	today := gateway.DateIn(f.Now).String()
	switch f.State {
	case "":
	case gateway.NoticeOpen:
		w.and("n.state = 'open' AND (n.payable_after_due OR n.due_date >= ?)", today)
	case gateway.NoticeExpired:
		w.and("n.state IN ('open', 'expired') AND (n.state = 'expired' OR NOT n.payable_after_due AND n.due_date < ?)", today)
	default:
		w.and("n.state = ?", f.State)
	}
	if f.Debtor == gateway.Anonymous {
		w.and("n.debtor_hash IS NULL")
	} else if f.Debtor != "" {
		hash, err := t.codeHash(f.Debtor)
		if err != nil {
			return w, err
		}
		w.and("n.debtor_hash = ?", hash)
	}
	if f.Pupil != "" {
		w.and("n.debtor_hash = (SELECT p.code_hash FROM pupils p WHERE p.school = ? AND p.id = ?)", school, f.Pupil)
	}
	if f.Plan != "" {
		w.and("n.plan = ? AND n.plan <> ''", f.Plan)
	}
	if f.Class != "" {
		w.and("n.class = ?", f.Class)
	}
	if f.Campaign != "" {
		w.and("n.campaign = ? AND n.campaign <> ''", f.Campaign)
	}
	if f.ExternalID != "" {
		w.and("n.external_id = ? AND n.external_id <> ''", f.ExternalID)
	}
	if f.Query != "" {
		if err := t.asked(&w, school, f.Query); err != nil {
			return w, err
		}
	}
	if !f.DueFrom.IsZero() {
		w.and("n.due_date >= ?", f.DueFrom.String())
	}
	if !f.DueTo.IsZero() {
		w.and("n.due_date <= ?", f.DueTo.String())
	}
	if !f.PaidFrom.IsZero() {
		w.and("n.paid_at >= ?", at(f.PaidFrom))
	}
	if !f.PaidTo.IsZero() {
		w.and("n.paid_at < ?", at(f.PaidTo))
	}
	if f.Before > 0 {
		w.and("n.seq < ?", f.Before)
	}
	if f.Plan == "" {
		w.then("ORDER BY n.seq DESC")
	} else {
		// A plan is few notices. The sign keeps SQLite, which knows no numbers of a new
		// database, from reading all of the school's in this order.
		w.then("ORDER BY +n.seq DESC")
	}
	if f.Limit > 0 {
		w.then("LIMIT ?", f.Limit)
	}
	return w, nil
}

// asked finds by number, external id or the start of a name: each by its own
// index, whatever else is asked for.
func (t *tx) asked(w *where, school gateway.SchoolCode, q string) error {
	codes, err := t.codesNamed(school, q)
	if err != nil {
		return err
	}
	text := "n.number IN (SELECT number FROM notices WHERE school = ? AND number = ?" +
		" UNION ALL SELECT number FROM notices WHERE school = ? AND external_id = ? AND external_id <> ''"
	args := []any{school, q, school, q}
	if len(codes) > 0 {
		text += " UNION ALL SELECT number FROM notices WHERE school = ? AND debtor_hash IN (?" + strings.Repeat(", ?", len(codes)-1) + ")"
		args = append(args, school)
		for _, c := range codes {
			args = append(args, c)
		}
	}
	w.and(text+")", args...)
	return nil
}

// selectNoticesOfFamily finds the notices of a code's pupils, and those addressed
// to the code itself; a notice that is both counts once, as the pupil's. A family
// reads one part of them at a time: all of the years cost ten times as much.
const selectNoticesOfFamily = selectNotice + `,
       s.name, coalesce(p.id, ''), p.person_enc, coalesce(p.class, ''), coalesce(p.school_year, '')
  FROM (SELECT school, number, max(pupil) AS pupil
          FROM (
       SELECT n.school AS school, n.number AS number, p.id AS pupil
         FROM payers y
         JOIN pupil_payers l ON l.school = y.school AND l.payer = y.id
         JOIN pupils p ON p.school = l.school AND p.id = l.pupil
         JOIN notices n ON n.school = p.school AND n.debtor_hash = p.code_hash
        WHERE y.code_hash = $1 AND %[1]s
        UNION ALL
       SELECT n.school, n.number, ''
         FROM notices n
        WHERE n.debtor_hash = $1 AND %[1]s) AS every
         GROUP BY school, number) AS f
  JOIN notices n ON n.school = f.school AND n.number = f.number
  JOIN schools s ON s.code = f.school
  LEFT JOIN pupils p ON p.school = f.school AND p.id = f.pupil
  LEFT JOIN attempt_notices an ON an.school = n.school AND an.number = n.number AND an.live
  LEFT JOIN attempts a ON a.id = an.attempt
  LEFT JOIN tokens tk ON tk.school = n.school AND tk.number = n.number AND tk.state = 'active'
 ORDER BY %[2]sn.seq DESC
 LIMIT $2 OFFSET $3`

var noticesOfFamily = map[gateway.FamilyPart]string{
	gateway.FamilyAll:    fmt.Sprintf(selectNoticesOfFamily, "n.state <> 'draft'", ""),
	gateway.FamilyPaid:   fmt.Sprintf(selectNoticesOfFamily, "n.state = 'paid'", "n.paid_at DESC, "),
	gateway.FamilyUnpaid: fmt.Sprintf(selectNoticesOfFamily, "n.state NOT IN ('draft', 'paid')", ""),
}

func (t *tx) NoticesOfFamily(code gateway.FiscalCode, f gateway.FamilyFilter) ([]gateway.FamilyNotice, error) {
	hash, err := t.codeHash(code)
	if err != nil || hash == nil {
		return nil, err
	}
	rows, err := t.sql.QueryContext(t.ctx, noticesOfFamily[f.Part], hash, f.Limit, f.Offset)
	return collectOpened(rows, err, func(r row) (opener[gateway.FamilyNotice], error) {
		var f gateway.FamilyNotice
		var sealed []byte
		open, err := t.scanNotice(r, &f.SchoolName, &f.Pupil.ID, &sealed, &f.Pupil.Class, &f.Pupil.SchoolYear)
		return func() (_ gateway.FamilyNotice, err error) {
			if f.Notice, err = open(); err != nil || f.Pupil.ID == "" {
				return f, err
			}
			f.Pupil.School = f.School
			err = t.openPupil(&f.Pupil, sealed)
			return f, err
		}, err
	})
}

// A notice's own debtor decides, so that one notice costs one look-up of each
// table.
const selectFamilyMaySee = `
SELECT EXISTS (
       SELECT 1
         FROM notices n
        WHERE n.school = $2 AND n.number = $3 AND n.state <> 'draft'
          AND (n.debtor_hash = $1
               OR EXISTS (
               SELECT 1
                 FROM pupils p
                 JOIN pupil_payers l ON l.school = p.school AND l.pupil = p.id
                 JOIN payers y ON y.school = l.school AND y.id = l.payer
                WHERE p.school = n.school AND p.code_hash = n.debtor_hash AND y.code_hash = $1)))`

func (t *tx) FamilyMaySee(code gateway.FiscalCode, school gateway.SchoolCode, number iuv.Number) (may bool, err error) {
	hash, err := t.codeHash(code)
	if err != nil || hash == nil {
		return false, err
	}
	err = t.sql.QueryRowContext(t.ctx, selectFamilyMaySee, hash, school, number.String()).Scan(&may)
	return may, err
}

const insertEvents = `
INSERT INTO events (school, number, kind, actor_kind, actor_name, receipt, anomaly, attempt, state, refund, refund_state, at)
VALUES %s`

const eventValues = 12

func (t *tx) AppendEvents(events ...gateway.Event) error {
	if t.copies(len(events)) {
		return t.copyEvents(events)
	}
	for from, n := range chunks(len(events)) {
		args := make([]any, 0, n*eventValues)
		for _, e := range events[from : from+n] {
			args = append(args, e.School, e.Number.String(), e.Kind, e.Actor.Kind, e.Actor.Name, e.Receipt, e.Anomaly, e.Attempt, e.State, e.Refund, e.RefundState, at(e.At))
		}
		if _, err := t.sql.ExecContext(t.ctx, fmt.Sprintf(insertEvents, values(n, eventValues)), args...); err != nil {
			return err
		}
	}
	return nil
}

const selectEvents = `
SELECT school, number, seq, kind, actor_kind, actor_name, receipt, anomaly, attempt, state, refund, refund_state, at
  FROM events
 WHERE school = $1 AND number = $2
 ORDER BY seq`

func (t *tx) Events(school gateway.SchoolCode, n iuv.Number) ([]gateway.Event, error) {
	rows, err := t.sql.QueryContext(t.ctx, selectEvents, school, n.String())
	return collect(rows, err, func(r row) (e gateway.Event, err error) {
		err = r.Scan(&e.School, number{&e.Number}, &e.Seq, &e.Kind, &e.Actor.Kind, &e.Actor.Name, &e.Receipt, &e.Anomaly, &e.Attempt, &e.State, &e.Refund, &e.RefundState, instant{&e.At})
		return e, err
	})
}
