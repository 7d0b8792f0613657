// SPDX-License-Identifier: Apache-2.0

package store

import "github.com/nodogate/nodogate/gateway"

const insertToken = `
INSERT INTO tokens (id, school, number, state, psp, psp_name, broker, channel, amount_cents, transfers, payment_note, once, outcome,
       created_at, expires_at, changed_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
    ON CONFLICT DO NOTHING`

func (t *tx) InsertToken(k gateway.Token) error {
	return t.changed(gateway.ErrConflict, insertToken, k.ID, k.School, k.Number.String(), k.State, k.Peer.PSP, k.Peer.Name,
		k.Peer.Broker, k.Peer.Channel, int64(k.Amount), asJSON(k.Transfers), k.PaymentNote, k.Once, k.Outcome,
		at(k.CreatedAt), at(k.ExpiresAt), at(k.ChangedAt))
}

const selectToken = `
SELECT id, school, number, state, psp, psp_name, broker, channel, amount_cents, transfers, payment_note, once, outcome,
       created_at, expires_at, changed_at
  FROM tokens
 WHERE id = $1`

func (t *tx) Token(id string) (k gateway.Token, err error) {
	err = t.sql.QueryRowContext(t.ctx, selectToken, id).Scan(&k.ID, &k.School, number{&k.Number}, &k.State, &k.Peer.PSP, &k.Peer.Name,
		&k.Peer.Broker, &k.Peer.Channel, &k.Amount, jsonText{&k.Transfers}, &k.PaymentNote, &k.Once, &k.Outcome,
		instant{&k.CreatedAt}, instant{&k.ExpiresAt}, instant{&k.ChangedAt})
	return k, notFound(err)
}

const updateToken = `UPDATE tokens SET state = $2, outcome = $3, changed_at = $4 WHERE id = $1`

// SaveToken writes what may change after InsertToken. The notice's lock guards
// it.
func (t *tx) SaveToken(k gateway.Token) error {
	return t.changed(gateway.ErrNotFound, updateToken, k.ID, k.State, k.Outcome, at(k.ChangedAt))
}

const selectSchoolByPostalAccount = `
SELECT ` + schoolColumns + `
  FROM schools
 WHERE postal_account = $1 AND postal_account <> ''
 ORDER BY code
 LIMIT 1`

func (t *tx) SchoolByPostalAccount(account string) (gateway.School, error) {
	return scanSchool(t.sql.QueryRowContext(t.ctx, selectSchoolByPostalAccount, account))
}
