// SPDX-License-Identifier: Apache-2.0

package store

import (
	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/money"
	"github.com/nodogate/nodogate/iuv"
)

const (
	contentColumn  = "receipts.content_enc"
	rawColumn      = "receipts.raw_enc"
	evidenceColumn = "evidence.raw_enc"
)

const insertReceipt = `
INSERT INTO receipts (school, id, number, role, anomaly, channel, settles, receipt_id, creditor, reference, amount_cents,
       paid_at, psp_id, psp_name, method, digest, same, content_enc, raw_enc, received_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)
    ON CONFLICT (school, creditor, reference, receipt_id) DO NOTHING`

func (t *tx) InsertReceipt(r gateway.Receipt) (bool, error) {
	k, err := t.key(string(r.School))
	if err != nil {
		return false, err
	}
	content, err := k.sealJSON(contentColumn, r.Content)
	if err != nil {
		return false, err
	}
	c := r.Content
	n, err := affected(t.sql.ExecContext(t.ctx, insertReceipt, r.School, r.ID, r.Notice.String(), r.Role, r.Anomaly, r.Channel, r.Settles,
		c.ID, c.Creditor, c.CreditorReferenceID, int64(c.Amount), at(c.PaidAt), c.PSP.ID, c.PSP.Name, c.Method,
		r.Digest[:], r.Same[:], content, k.seal(rawColumn, r.Raw), at(r.Received)))
	return n == 1, err
}

const selectReceipt = `
SELECT r.id, r.school, r.seq, r.number, r.role, r.anomaly, r.channel, r.settles, r.content_enc, r.digest, r.same, r.received_at,
       coalesce(s.sequence, 0), s.hash`

const fromReceipts = `
  FROM receipts r
  LEFT JOIN seals s ON s.school = r.school AND s.receipt = r.id`

// scanReceipt scans the columns of selectReceipt and then those of more.
func (t *tx) scanReceipt(r row, more ...any) (opener[gateway.Receipt], error) {
	var rec gateway.Receipt
	var content, hash []byte
	var seal gateway.Seal
	dest := append([]any{&rec.ID, &rec.School, &rec.Seq, number{&rec.Notice}, &rec.Role, &rec.Anomaly, &rec.Channel, &rec.Settles,
		&content, digest{&rec.Digest}, digest{&rec.Same}, instant{&rec.Received}, &seal.Sequence, &hash}, more...)
	if err := r.Scan(dest...); err != nil {
		return nil, notFound(err)
	}
	if seal.Sequence > 0 {
		copy(seal.Hash[:], hash)
		rec.Seal = &seal
	}
	return func() (gateway.Receipt, error) {
		k, err := t.key(string(rec.School))
		if err != nil {
			return gateway.Receipt{}, err
		}
		err = k.openJSON(contentColumn, content, &rec.Content)
		return rec, err
	}, nil
}

// receipt reads one receipt with its bytes.
func (t *tx) receipt(query string, args ...any) (gateway.Receipt, error) {
	var raw []byte
	rec, err := opened(t.scanReceipt(t.sql.QueryRowContext(t.ctx, query, args...), &raw))
	if err != nil {
		return gateway.Receipt{}, err
	}
	k, err := t.key(string(rec.School))
	if err != nil {
		return gateway.Receipt{}, err
	}
	if rec.Raw, err = k.open(rawColumn, raw); err != nil {
		return gateway.Receipt{}, err
	}
	return rec, nil
}

const selectOneReceipt = selectReceipt + `, r.raw_enc` + fromReceipts + ` WHERE r.school = $1 AND r.id = $2`

func (t *tx) Receipt(school gateway.SchoolCode, id string) (gateway.Receipt, error) {
	return t.receipt(selectOneReceipt, school, id)
}

const selectReceiptByKey = selectReceipt + `, r.raw_enc` + fromReceipts + `
 WHERE r.school = $1 AND r.creditor = $2 AND r.reference = $3 AND r.receipt_id = $4`

func (t *tx) ReceiptByKey(school gateway.SchoolCode, creditor, reference, receiptID string) (gateway.Receipt, error) {
	return t.receipt(selectReceiptByKey, school, creditor, reference, receiptID)
}

func (t *tx) Receipts(school gateway.SchoolCode, f gateway.ReceiptFilter) ([]gateway.Receipt, error) {
	w := receiptsWhere(school, f)
	rows, err := t.sql.QueryContext(t.ctx, selectReceipt+fromReceipts+w.text.String(), w.args...)
	return collectOpened(rows, err, func(r row) (opener[gateway.Receipt], error) { return t.scanReceipt(r) })
}

func receiptsWhere(school gateway.SchoolCode, f gateway.ReceiptFilter) (w where) {
	w.and("r.school = ?", school)
	if !f.Notice.IsZero() {
		w.and("r.number = ?", f.Notice.String())
	}
	if !f.From.IsZero() {
		w.and("r.paid_at >= ?", at(f.From))
	}
	if !f.To.IsZero() {
		w.and("r.paid_at < ?", at(f.To))
	}
	switch f.Anomaly {
	case "":
	case "any":
		w.and("r.anomaly <> ''")
	default:
		w.and("r.anomaly = ? AND r.anomaly <> ''", f.Anomaly)
	}
	if f.Before > 0 {
		w.and("r.seq < ?", f.Before)
	}
	if f.Anomaly == "any" {
		w.then("ORDER BY +r.seq DESC") // as with a plan's notices: anomalies are few
	} else {
		w.then("ORDER BY r.seq DESC")
	}
	if f.Limit > 0 {
		w.then("LIMIT ?", f.Limit)
	}
	return w
}

const selectReceiptsByID = selectReceipt + fromReceipts + ` WHERE r.school = $1 AND r.id %s`

func (t *tx) ReceiptsByID(school gateway.SchoolCode, ids []string) ([]gateway.Receipt, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	rows, err := t.sql.QueryContext(t.ctx, t.db.eachOf(selectReceiptsByID), school, t.db.list(ids))
	return collectOpened(rows, err, func(r row) (opener[gateway.Receipt], error) { return t.scanReceipt(r) })
}

// PostgreSQL's sum of bigints is a numeric.
const selectReceivedFor = `
SELECT CAST(coalesce(sum(amount_cents), 0) AS BIGINT)
  FROM receipts
 WHERE school = $1 AND number = $2 AND number <> ''`

func (t *tx) ReceivedFor(school gateway.SchoolCode, n iuv.Number) (sum money.Cents, err error) {
	err = t.sql.QueryRowContext(t.ctx, selectReceivedFor, school, n.String()).Scan(&sum)
	return sum, err
}

const insertEvidence = `
INSERT INTO evidence (id, kind, operation, school, receipt_id, number, digest, owner, raw_enc, received_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`

func (t *tx) InsertEvidence(e gateway.Evidence) error {
	k, err := t.keyOf(e.School)
	if err != nil {
		return err
	}
	_, err = t.sql.ExecContext(t.ctx, insertEvidence, e.ID, e.Kind, e.Operation, e.School, e.ReceiptID, e.Number, e.Digest[:],
		k.owner, k.seal(evidenceColumn, e.Raw), at(e.Received))
	return err
}
