// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"slices"
	"time"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/money"
)

const refundColumn = "refunds.details_enc"

// refundDetails is what may tell of a person: the reason is free text.
type refundDetails struct {
	Reason string       `json:"reason"`
	IBAN   gateway.IBAN `json:"iban,omitempty"`
	Holder string       `json:"holder,omitempty"`
}

const insertRefund = `
INSERT INTO refunds (school, id, receipt, amount_cents, reason, state, execution, attempt, requested_kind, requested_by,
       decided_kind, decided_by, details_enc, created_at, changed_at, version)
VALUES ($1, $2, $3, $4, '', $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`

func (t *tx) InsertRefund(r gateway.Refund) error {
	details, err := t.sealRefund(r)
	if err != nil {
		return err
	}
	_, err = t.sql.ExecContext(t.ctx, insertRefund, r.School, r.ID, r.Receipt, int64(r.Amount), r.State, r.Execution, r.Attempt,
		r.RequestedBy.Kind, r.RequestedBy.Name, r.DecidedBy.Kind, r.DecidedBy.Name, details, at(r.CreatedAt), at(r.ChangedAt), r.Version)
	return err
}

func (t *tx) sealRefund(r gateway.Refund) ([]byte, error) {
	k, err := t.key(string(r.School))
	if err != nil {
		return nil, err
	}
	return k.sealJSON(refundColumn, refundDetails{r.Reason, r.IBAN, r.Holder})
}

const selectRefund = `
SELECT f.seq, f.school, f.id, f.receipt, r.number, f.amount_cents, f.reason, f.state, f.execution, f.attempt, f.requested_kind, f.requested_by,
       f.decided_kind, f.decided_by, f.details_enc, f.created_at, f.changed_at, f.version,
       coalesce(p.psp, ''), coalesce(p.state, ''), coalesce(p.asked, 0), p.ask_at, p.created_at, p.changed_at
  FROM refunds f
  JOIN receipts r ON r.school = f.school AND r.id = f.receipt
  LEFT JOIN psp_refunds p ON p.attempt = f.attempt`

func (t *tx) scanRefund(r row) (opener[gateway.Refund], error) {
	var f gateway.Refund
	var p gateway.PSPRefund
	var details []byte
	err := r.Scan(&f.Seq, &f.School, &f.ID, &f.Receipt, number{&f.Notice}, &f.Amount, &f.Reason, &f.State, &f.Execution, &f.Attempt,
		&f.RequestedBy.Kind, &f.RequestedBy.Name, &f.DecidedBy.Kind, &f.DecidedBy.Name, &details,
		instant{&f.CreatedAt}, instant{&f.ChangedAt}, &f.Version,
		&p.PSP, &p.State, &p.Asked, instant{&p.AskAt}, instant{&p.CreatedAt}, instant{&p.ChangedAt})
	if err != nil {
		return nil, notFound(err)
	}
	if p.PSP != "" {
		p.Attempt = f.Attempt
		f.AtPSP = &p
	}
	return func() (gateway.Refund, error) {
		if len(details) == 0 { // of before there were any; the reason is a word of ours
			return f, nil
		}
		k, err := t.key(string(f.School))
		if err != nil {
			return f, err
		}
		var d refundDetails
		err = k.openJSON(refundColumn, details, &d)
		f.Reason, f.IBAN, f.Holder = d.Reason, d.IBAN, d.Holder
		return f, err
	}, nil
}

const selectRefundByID = selectRefund + ` WHERE f.school = $1 AND f.id = $2`

func (t *tx) Refund(school gateway.SchoolCode, id string) (gateway.Refund, error) {
	return opened(t.scanRefund(t.sql.QueryRowContext(t.ctx, selectRefundByID, school, id)))
}

func (t *tx) Refunds(school gateway.SchoolCode, f gateway.RefundFilter) ([]gateway.Refund, error) {
	w := refundsWhere(school, f)
	rows, err := t.sql.QueryContext(t.ctx, selectRefund+w.text.String(), w.args...)
	return collectOpened(rows, err, t.scanRefund)
}

func refundsWhere(school gateway.SchoolCode, f gateway.RefundFilter) (w where) {
	w.and("f.school = ?", school)
	if f.State != "" {
		w.and("f.state = ?", f.State)
	}
	if f.Receipt != "" {
		w.and("f.receipt = ?", f.Receipt)
	}
	if f.Before > 0 {
		w.and("f.seq < ?", f.Before)
	}
	w.then("ORDER BY f.seq DESC")
	if f.Limit > 0 {
		w.then("LIMIT ?", f.Limit)
	}
	return w
}

const selectRefundsOfReceipt = selectRefund + ` WHERE f.school = $1 AND f.receipt = $2 ORDER BY f.seq`

func (t *tx) RefundsOfReceipt(school gateway.SchoolCode, receipt string) ([]gateway.Refund, error) {
	rows, err := t.sql.QueryContext(t.ctx, selectRefundsOfReceipt, school, receipt)
	return collectOpened(rows, err, t.scanRefund)
}

const selectRefundedOf = `
SELECT receipt, CAST(sum(amount_cents) AS BIGINT)
  FROM refunds
 WHERE school = $1 AND state = 'executed' AND receipt%s
 GROUP BY receipt`

func (t *tx) RefundedOf(school gateway.SchoolCode, receipts []string) (map[string]money.Cents, error) {
	if len(receipts) == 0 {
		return nil, nil
	}
	type sum struct {
		receipt string
		amount  money.Cents
	}
	rows, err := t.sql.QueryContext(t.ctx, fmt.Sprintf(selectRefundedOf, t.db.anyOf), school, t.db.list(receipts))
	list, err := collect(rows, err, func(r row) (s sum, err error) {
		err = r.Scan(&s.receipt, &s.amount)
		return s, err
	})
	m := make(map[string]money.Cents, len(list))
	for _, s := range list {
		m[s.receipt] = s.amount
	}
	return m, err
}

const lockReceipt = `SELECT 1 FROM receipts WHERE school = $1 AND id = $2`

// LockReceipt must find the receipt on SQLite too, where there is nothing to lock.
func (t *tx) LockReceipt(school gateway.SchoolCode, id string) error {
	var one int
	return notFound(t.sql.QueryRowContext(t.ctx, lockReceipt+t.db.forUpdate, school, id).Scan(&one))
}

const updateRefund = `
UPDATE refunds
   SET state = $3, execution = $4, attempt = $5, requested_kind = $6, requested_by = $7, decided_kind = $8, decided_by = $9,
       details_enc = $10, changed_at = $11, version = $12
 WHERE school = $1 AND id = $2 AND version < $12`

// SaveRefund writes what may change after InsertRefund. ErrConflict when this
// version or a later one is there.
func (t *tx) SaveRefund(r gateway.Refund) error {
	details, err := t.sealRefund(r)
	if err != nil {
		return err
	}
	return t.changed(gateway.ErrConflict, updateRefund, r.School, r.ID, r.State, r.Execution, r.Attempt,
		r.RequestedBy.Kind, r.RequestedBy.Name, r.DecidedBy.Kind, r.DecidedBy.Name, details, at(r.ChangedAt), r.Version)
}

const insertPSPRefund = `
INSERT INTO psp_refunds (attempt, psp, state, asked, ask_at, created_at, changed_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT DO NOTHING`

func (t *tx) InsertPSPRefund(p gateway.PSPRefund) error {
	return t.changed(gateway.ErrConflict, insertPSPRefund, p.Attempt, p.PSP, p.State, p.Asked, at(p.AskAt), at(p.CreatedAt), at(p.ChangedAt))
}

const selectPSPRefund = `
SELECT attempt, psp, state, asked, ask_at, created_at, changed_at
  FROM psp_refunds
 WHERE attempt = $1`

func (t *tx) PSPRefund(attempt string) (p gateway.PSPRefund, err error) {
	err = t.sql.QueryRowContext(t.ctx, selectPSPRefund, attempt).Scan(&p.Attempt, &p.PSP, &p.State, &p.Asked,
		instant{&p.AskAt}, instant{&p.CreatedAt}, instant{&p.ChangedAt})
	return p, notFound(err)
}

const updatePSPRefund = `UPDATE psp_refunds SET state = $2, asked = $3, ask_at = $4, changed_at = $5 WHERE attempt = $1`

func (t *tx) SavePSPRefund(p gateway.PSPRefund) error {
	return t.changed(gateway.ErrNotFound, updatePSPRefund, p.Attempt, p.State, p.Asked, at(p.AskAt), at(p.ChangedAt))
}

const claimPSPRefunds = `
UPDATE psp_refunds
   SET ask_at = $2
 WHERE attempt %s
       SELECT o.attempt
         FROM psp_refunds o
        WHERE o.ask_at <= $1
        ORDER BY o.ask_at, o.attempt
        LIMIT $3%s
RETURNING attempt`

func (t *tx) ClaimPSPRefunds(now, until time.Time, limit int) ([]gateway.PSPRefund, error) {
	rows, err := t.sql.QueryContext(t.ctx, t.db.claimPSPRefunds, at(now), at(until), limit)
	ids, err := collect(rows, err, func(r row) (id string, err error) {
		err = r.Scan(&id)
		return id, err
	})
	slices.Sort(ids)
	list := make([]gateway.PSPRefund, 0, len(ids))
	for _, id := range ids {
		p, err := t.PSPRefund(id)
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, err
}
