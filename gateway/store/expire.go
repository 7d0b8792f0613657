// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"time"

	"github.com/nodogate/nodogate/gateway"
)

// doneKept is how long a delivered outbox row stays, for an operator who asks
// what was sent.
const doneKept = 7 * 24 * time.Hour

const (
	deleteExpiredOnce = `DELETE FROM once WHERE expires_at <= $1`
	deleteDoneOutbox  = `DELETE FROM outbox WHERE done_at <= $1`
)

// DropExpired deletes what has done its service: idempotency records whose time
// is over, and messages delivered a week ago. Parked messages stay.
func (db *DB) DropExpired(ctx context.Context, now time.Time) error {
	return db.Update(ctx, func(g gateway.Tx) error {
		t := g.(*tx)
		if _, err := t.sql.ExecContext(t.ctx, deleteExpiredOnce, at(now)); err != nil {
			return err
		}
		_, err := t.sql.ExecContext(t.ctx, deleteDoneOutbox, at(now.Add(-doneKept)))
		return err
	})
}
