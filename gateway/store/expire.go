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

// registrationsKept is how long registrations and links stay, finished or not.
const registrationsKept = 7 * 24 * time.Hour

// parkedWebhooksKept is how long a school can look at, and replay, what its own
// endpoint did not take. What else is parked waits for an operator.
const parkedWebhooksKept = 30 * 24 * time.Hour

const (
	deleteExpiredOnce = `DELETE FROM once WHERE expires_at <= $1`
	deleteDoneOutbox  = `DELETE FROM outbox WHERE done_at <= $1`
	// What a form asked for and nobody finished names a person: it goes soon.
	deleteRegistrations  = `DELETE FROM registrations WHERE created_at <= $1`
	deleteHelpMails      = `DELETE FROM help_mails WHERE at <= $1`
	deletePasswordLinks  = `DELETE FROM password_links WHERE created_at <= $1`
	deleteParkedWebhooks = `DELETE FROM outbox WHERE kind = 'webhook' AND parked_at <= $1`
)

// DropExpired deletes what has done its service: idempotency records whose time
// is over, messages delivered, registrations and links made a week ago, and webhooks
// parked a month ago. Other parked messages stay.
func (db *DB) DropExpired(ctx context.Context, now time.Time) error {
	return db.Update(ctx, func(g gateway.Tx) error {
		t := g.(*tx)
		if _, err := t.sql.ExecContext(t.ctx, deleteExpiredOnce, at(now)); err != nil {
			return err
		}
		if _, err := t.sql.ExecContext(t.ctx, deleteDoneOutbox, at(now.Add(-doneKept))); err != nil {
			return err
		}
		for _, query := range []string{deleteRegistrations, deletePasswordLinks, deleteHelpMails} {
			if _, err := t.sql.ExecContext(t.ctx, query, at(now.Add(-registrationsKept))); err != nil {
				return err
			}
		}
		_, err := t.sql.ExecContext(t.ctx, deleteParkedWebhooks, at(now.Add(-parkedWebhooksKept)))
		return err
	})
}
