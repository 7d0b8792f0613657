// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"time"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/iuv"
)

// FinishInto notes that a message was delivered and adds those that follow from
// it, together or not at all. When another worker has ended it meanwhile nothing
// is added: what follows was added then.
func (db *DB) FinishInto(ctx context.Context, id string, when time.Time, next []gateway.Message) error {
	err := db.Update(ctx, func(g gateway.Tx) error {
		t := g.(*tx)
		n, err := affected(t.sql.ExecContext(t.ctx, finishMessage, id, at(when)))
		if err != nil || n == 0 {
			return err
		}
		return t.Enqueue(next...)
	})
	if err != nil {
		return fmt.Errorf("finish message %s: %w", id, err)
	}
	return nil
}

const releaseMessage = `
UPDATE outbox
   SET lease_until = NULL, tries = tries - 1
 WHERE id = $1 AND lease_until = $2 AND done_at IS NULL AND parked_at IS NULL`

// ReleaseMessage gives a message back that was claimed until leaseUntil and not
// tried: it may be claimed at once, and the try does not count.
func (db *DB) ReleaseMessage(ctx context.Context, id string, leaseUntil time.Time) error {
	return db.endClaim(ctx, "release", releaseMessage, id, leaseUntil)
}

// Neither query is ordered, and the parts may name a payer twice: SQLite would
// read the whole school for either.
const debtorOfNotice = `(
       SELECT debtor_hash
         FROM notices
        WHERE school = $1 AND number = $2 AND state <> 'draft')`

const selectPupilsOfNotice = selectPupil + ` WHERE school = $1 AND code_hash = ` + debtorOfNotice

const selectPayersOfNotice = `
SELECT school, id, person_enc, language
  FROM payers
 WHERE school = $1 AND id IN (
       SELECT payer
         FROM pupil_payers
        WHERE school = $1 AND pupil IN (
              SELECT id FROM pupils WHERE school = $1 AND code_hash = ` + debtorOfNotice + `)
        UNION ALL
       SELECT id FROM payers WHERE school = $1 AND code_hash = ` + debtorOfNotice + `)`

// PayersOf lists whom the school's registry links to a notice: the payers of the
// pupil it is for, and the debtor when he is a payer himself; by id. The pupil is
// zero when the debtor is none. A debtor who is not in the registry has nobody.
func (db *DB) PayersOf(ctx context.Context, school gateway.SchoolCode, number iuv.Number) ([]gateway.Payer, gateway.Pupil, error) {
	var payers []gateway.Payer
	var pupil gateway.Pupil
	err := db.View(ctx, func(g gateway.Tx) (err error) {
		payers, pupil, err = g.PayersOf(school, number)
		return err
	})
	if err != nil {
		return nil, gateway.Pupil{}, fmt.Errorf("payers of a notice: %w", err)
	}
	return payers, pupil, nil
}

func (t *tx) scanPayer(r row) (opener[gateway.Payer], error) {
	var p gateway.Payer
	var sealed []byte
	err := r.Scan(&p.School, &p.ID, &sealed, &p.Language)
	return func() (gateway.Payer, error) {
		err := t.openPayer(&p, sealed)
		return p, err
	}, notFound(err)
}
