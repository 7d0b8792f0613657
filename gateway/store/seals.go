// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/receipts"
)

const selectUnsealed = `
SELECT r.school, r.id, r.digest
  FROM unsealed u
  JOIN receipts r ON r.school = u.school AND r.id = u.receipt
 ORDER BY u.seq
 LIMIT $1`

func (t *tx) UnsealedReceipts(limit int) ([]gateway.Receipt, error) {
	rows, err := t.sql.QueryContext(t.ctx, selectUnsealed, limit)
	return collect(rows, err, func(r row) (rec gateway.Receipt, err error) {
		err = r.Scan(&rec.School, &rec.ID, digest{&rec.Digest})
		return rec, err
	})
}

const selectLastSeal = `
SELECT sequence, hash
  FROM seals
 WHERE school = $1
 ORDER BY sequence DESC
 LIMIT 1`

func (t *tx) LastSeal(school gateway.SchoolCode) (s gateway.Seal, err error) {
	err = t.sql.QueryRowContext(t.ctx, selectLastSeal, school).Scan(&s.Sequence, digest{&s.Hash})
	if errors.Is(err, sql.ErrNoRows) {
		return gateway.Seal{}, nil
	}
	return s, err
}

const insertSeals = `
INSERT INTO seals (school, sequence, receipt, digest, previous, hash)
VALUES %s
    ON CONFLICT DO NOTHING`

const sealValues = 6

const deleteUnsealed = `
DELETE FROM unsealed
 WHERE school = $1 AND receipt IN (SELECT receipt FROM seals WHERE school = $1 AND sequence BETWEEN $2 AND $3)`

func (t *tx) AppendSeals(links ...receipts.Link) error {
	for from, n := range chunks(len(links)) {
		part := links[from : from+n]
		args := make([]any, 0, n*sealValues)
		for _, l := range part {
			hash := l.Hash()
			args = append(args, l.School, l.Sequence, l.Receipt, l.Digest[:], l.Previous[:], hash[:])
		}
		added, err := affected(t.sql.ExecContext(t.ctx, fmt.Sprintf(insertSeals, values(n, sealValues)), args...))
		if err == nil && added < int64(n) {
			err = gateway.ErrConflict
		}
		if err != nil {
			return err
		}
		waited, err := affected(t.sql.ExecContext(t.ctx, deleteUnsealed, part[0].School, part[0].Sequence, part[n-1].Sequence))
		if err == nil && waited != int64(n) {
			err = fmt.Errorf("%d receipts to be sealed, %d of them waited for it", n, waited)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

const selectSeals = `
SELECT sequence, receipt, digest, previous, hash
  FROM seals
 WHERE school = $1 AND sequence > $2
 ORDER BY sequence
 LIMIT $3`

const selectSealedReceipts = selectReceipt + `, r.raw_enc, r.id` + fromReceipts + `
 WHERE s.school = $1 AND s.sequence BETWEEN $2 AND $3`

func (t *tx) Seals(school gateway.SchoolCode, after int64, limit int) ([]gateway.SealedReceipt, error) {
	rows, err := t.sql.QueryContext(t.ctx, selectSeals, school, after, limit)
	list, err := collect(rows, err, func(r row) (s gateway.SealedReceipt, err error) {
		s.School = string(school)
		err = r.Scan(&s.Sequence, &s.Receipt, digest{&s.Digest}, digest{&s.Previous}, digest{&s.Hash})
		return s, err
	})
	if err != nil || len(list) == 0 {
		return nil, err
	}
	k, err := t.key(string(school))
	if err != nil {
		return nil, err
	}
	type stored struct {
		id   string
		open opener[gateway.Receipt]
		raw  []byte
	}
	rows, err = t.sql.QueryContext(t.ctx, selectSealedReceipts, school, list[0].Sequence, list[len(list)-1].Sequence)
	found, err := collect(rows, err, func(r row) (f stored, err error) {
		f.open, err = t.scanReceipt(r, &f.raw, &f.id)
		return f, err
	})
	if err != nil {
		return nil, err
	}
	byID := make(map[string]stored, len(found))
	for _, f := range found {
		byID[f.id] = f
	}
	for i := range list {
		f, ok := byID[list[i].Receipt]
		if !ok {
			continue
		}
		rec, err := f.open()
		if err == nil {
			rec.Raw, err = k.open(rawColumn, f.raw)
		}
		list[i].Stored, list[i].Problem = &rec, err
	}
	return list, nil
}

const countSealing = `
SELECT count(*) FILTER (WHERE u.receipt IS NOT NULL), count(*) FILTER (WHERE u.receipt IS NULL)
  FROM receipts r
  LEFT JOIN seals s ON s.school = r.school AND s.receipt = r.id
  LEFT JOIN unsealed u ON u.school = r.school AND u.receipt = r.id
 WHERE r.school = $1 AND s.receipt IS NULL`

func (t *tx) CountSealing(school gateway.SchoolCode) (waiting, outside int, err error) {
	err = t.sql.QueryRowContext(t.ctx, countSealing, school).Scan(&waiting, &outside)
	return waiting, outside, err
}

const selectUnsealedSince = `
SELECT r.received_at
  FROM unsealed u
  JOIN receipts r ON r.school = u.school AND r.id = u.receipt
 ORDER BY u.seq
 LIMIT 1`

// UnsealedSince is when the receipt came that waits longest for its place in the
// chain; zero when none waits.
func (db *DB) UnsealedSince(ctx context.Context) (since time.Time, err error) {
	err = db.read.QueryRowContext(ctx, selectUnsealedSince).Scan(instant{&since})
	if errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, nil
	}
	return since, err
}
