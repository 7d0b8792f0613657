// SPDX-License-Identifier: Apache-2.0

package store

import (
	"time"

	"github.com/nodogate/nodogate/gateway"
)

const insertToken = `
INSERT INTO tokens (id, school, number, state, psp, psp_name, broker, channel, amount_cents, transfers, payment_note, attempt, once, outcome,
       created_at, expires_at, changed_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
    ON CONFLICT DO NOTHING`

func (t *tx) InsertToken(k gateway.Token) error {
	return t.changed(gateway.ErrConflict, insertToken, k.ID, k.School, k.Number.String(), k.State, k.Peer.PSP, k.Peer.Name,
		k.Peer.Broker, k.Peer.Channel, int64(k.Amount), asJSON(k.Transfers), k.PaymentNote, k.Attempt, k.Once, k.Outcome,
		at(k.CreatedAt), at(k.ExpiresAt), at(k.ChangedAt))
}

const selectToken = `
SELECT id, school, number, state, psp, psp_name, broker, channel, amount_cents, transfers, payment_note, attempt, once, outcome,
       created_at, expires_at, changed_at
  FROM tokens`

const selectTokenByID = selectToken + ` WHERE id = $1`

func (t *tx) Token(id string) (gateway.Token, error) {
	return scanToken(t.sql.QueryRowContext(t.ctx, selectTokenByID, id))
}

const selectTokensOfAttempt = selectToken + ` WHERE attempt = $1 AND attempt <> '' ORDER BY school, number`

func (t *tx) TokensOfAttempt(attempt string) ([]gateway.Token, error) {
	rows, err := t.sql.QueryContext(t.ctx, selectTokensOfAttempt, attempt)
	return collect(rows, err, scanToken)
}

func scanToken(r row) (k gateway.Token, err error) {
	err = r.Scan(&k.ID, &k.School, number{&k.Number}, &k.State, &k.Peer.PSP, &k.Peer.Name,
		&k.Peer.Broker, &k.Peer.Channel, &k.Amount, jsonText{&k.Transfers}, &k.PaymentNote, &k.Attempt, &k.Once, &k.Outcome,
		instant{&k.CreatedAt}, instant{&k.ExpiresAt}, instant{&k.ChangedAt})
	return k, notFound(err)
}

const updateToken = `UPDATE tokens SET state = $2, outcome = $3, changed_at = $4 WHERE id = $1`

// SaveToken writes what may change after InsertToken. The notice's lock guards
// it.
func (t *tx) SaveToken(k gateway.Token) error {
	return t.changed(gateway.ErrNotFound, updateToken, k.ID, k.State, k.Outcome, at(k.ChangedAt))
}

const selectSchoolsByPostalAccount = `
SELECT ` + schoolColumns + `
  FROM schools
 WHERE postal_account = $1 AND postal_account <> ''
 ORDER BY code`

func (t *tx) SchoolsByPostalAccount(account string) ([]gateway.School, error) {
	rows, err := t.sql.QueryContext(t.ctx, selectSchoolsByPostalAccount, account)
	return collect(rows, err, scanSchool)
}

const inboxColumn = "inbox.raw_enc"

const insertInbox = `
INSERT INTO inbox (psp, event, attempt, ok, raw_enc, received_at)
VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (psp, event) DO NOTHING`

func (t *tx) InsertInbox(e gateway.PSPEvent, when time.Time) (bool, error) {
	k, err := t.keyOf("")
	if err != nil {
		return false, err
	}
	n, err := affected(t.sql.ExecContext(t.ctx, insertInbox, e.PSP, e.ID, e.Attempt, e.Word != gateway.WordNo, k.seal(inboxColumn, e.Raw), at(when)))
	return n == 1, err
}
