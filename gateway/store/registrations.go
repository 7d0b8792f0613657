// SPDX-License-Identifier: Apache-2.0

package store

import (
	"crypto/sha256"
	"strings"
	"time"

	"github.com/nodogate/nodogate/gateway"
)

const registrationColumn = "registrations.person_enc"

const insertRegistration = `
INSERT INTO registrations (id, code_hash, person_enc, language, account, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)`

func (t *tx) InsertRegistration(r gateway.Registration) error {
	hash, sealed, err := t.sealPerson(installation, registrationColumn, person{Code: r.Code, FirstName: r.FirstName, LastName: r.LastName, Email: r.Email})
	if err != nil {
		return err
	}
	_, err = t.sql.ExecContext(t.ctx, insertRegistration, r.ID, hash, sealed, r.Language, r.Account, at(r.CreatedAt), at(r.ExpiresAt))
	return err
}

const selectRegistration = `
SELECT id, person_enc, language, account, created_at, expires_at
  FROM registrations
 WHERE id = $1`

// LockRegistration locks the row where the transaction may write.
func (t *tx) LockRegistration(id string) (r gateway.Registration, err error) {
	query := selectRegistration
	if t.writable {
		query += t.db.forUpdate
	}
	var sealed []byte
	if err := t.sql.QueryRowContext(t.ctx, query, id).Scan(&r.ID, &sealed, &r.Language, &r.Account, instant{&r.CreatedAt}, instant{&r.ExpiresAt}); err != nil {
		return gateway.Registration{}, notFound(err)
	}
	who, err := t.openPerson(installation, registrationColumn, sealed)
	r.Code, r.FirstName, r.LastName, r.Email = who.Code, who.FirstName, who.LastName, who.Email
	return r, err
}

const updateRegistration = `UPDATE registrations SET account = $2 WHERE id = $1`

func (t *tx) SaveRegistration(r gateway.Registration) error {
	return t.changed(gateway.ErrNotFound, updateRegistration, r.ID, r.Account)
}

const countRegistrations = `SELECT count(*) FROM registrations WHERE code_hash = $1 AND created_at >= $2`

func (t *tx) CountRegistrations(code gateway.FiscalCode, since time.Time) (n int, err error) {
	hash, err := t.codeHash(code)
	if err != nil {
		return 0, err
	}
	err = t.sql.QueryRowContext(t.ctx, countRegistrations, hash, at(since)).Scan(&n)
	return n, err
}

const insertPasswordLink = `
INSERT INTO password_links (id, account, created_at, expires_at, used_at)
VALUES ($1, $2, $3, $4, $5)`

func (t *tx) InsertPasswordLink(l gateway.PasswordLink) error {
	_, err := t.sql.ExecContext(t.ctx, insertPasswordLink, l.ID, l.Account, at(l.CreatedAt), at(l.ExpiresAt), at(l.UsedAt))
	return err
}

const selectPasswordLink = `SELECT id, account, created_at, expires_at, used_at FROM password_links WHERE id = $1`

func (t *tx) PasswordLink(id string) (l gateway.PasswordLink, err error) {
	err = t.sql.QueryRowContext(t.ctx, selectPasswordLink, id).
		Scan(&l.ID, &l.Account, instant{&l.CreatedAt}, instant{&l.ExpiresAt}, instant{&l.UsedAt})
	return l, notFound(err)
}

const updatePasswordLink = `UPDATE password_links SET used_at = $2 WHERE id = $1`

func (t *tx) SavePasswordLink(l gateway.PasswordLink) error {
	return t.changed(gateway.ErrNotFound, updatePasswordLink, l.ID, at(l.UsedAt))
}

const countPasswordLinks = `SELECT count(*) FROM password_links WHERE account = $1 AND created_at >= $2`

func (t *tx) CountPasswordLinks(account string, since time.Time) (n int, err error) {
	err = t.sql.QueryRowContext(t.ctx, countPasswordLinks, account, at(since)).Scan(&n)
	return n, err
}

const insertIdentity = `
INSERT INTO identities (issuer, subject, account, created_at)
VALUES ($1, $2, $3, $4)
    ON CONFLICT DO NOTHING`

func (t *tx) InsertIdentity(issuer, subject, account string, when time.Time) error {
	return t.changed(gateway.ErrConflict, insertIdentity, issuer, subject, account, at(when))
}

const selectIdentity = `SELECT account FROM identities WHERE issuer = $1 AND subject = $2`

func (t *tx) AccountOfIdentity(issuer, subject string) (account string, err error) {
	err = t.sql.QueryRowContext(t.ctx, selectIdentity, issuer, subject).Scan(&account)
	return account, notFound(err)
}

const insertHelpMail = `INSERT INTO help_mails (address_hash, at) VALUES ($1, $2)`

func (t *tx) InsertHelpMail(email string, when time.Time) error {
	hash, err := t.hash("help_mail", strings.ToLower(email))
	if err != nil {
		return err
	}
	_, err = t.sql.ExecContext(t.ctx, insertHelpMail, hash, at(when))
	return err
}

const countHelpMails = `SELECT count(*) FROM help_mails WHERE address_hash = $1 AND at >= $2`

func (t *tx) CountHelpMails(email string, since time.Time) (n int, err error) {
	hash, err := t.hash("help_mail", strings.ToLower(email))
	if err != nil {
		return 0, err
	}
	err = t.sql.QueryRowContext(t.ctx, countHelpMails, hash, at(since)).Scan(&n)
	return n, err
}

const insertInvitation = `
INSERT INTO invitations (hash, school, payer, by_kind, by_name, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)`

func (t *tx) InsertInvitation(i gateway.Invitation) error {
	_, err := t.sql.ExecContext(t.ctx, insertInvitation, i.Hash[:], i.School, i.Payer, i.By.Kind, i.By.Name, at(i.CreatedAt), at(i.ExpiresAt))
	return err
}

const selectInvitation = `
SELECT school, payer, by_kind, by_name, created_at, expires_at, used_at
  FROM invitations
 WHERE hash = $1`

const selectLastInvitation = `
SELECT hash, school, payer, by_kind, by_name, created_at, expires_at, used_at
  FROM invitations
 WHERE school = $1 AND payer = $2
 ORDER BY created_at DESC, hash
 LIMIT 1`

func (t *tx) LastInvitation(school gateway.SchoolCode, payer string) (i gateway.Invitation, err error) {
	var hash []byte
	err = t.sql.QueryRowContext(t.ctx, selectLastInvitation, school, payer).
		Scan(&hash, &i.School, &i.Payer, &i.By.Kind, &i.By.Name, instant{&i.CreatedAt}, instant{&i.ExpiresAt}, instant{&i.UsedAt})
	copy(i.Hash[:], hash)
	return i, notFound(err)
}

const endInvitations = `
UPDATE invitations
   SET expires_at = $3
 WHERE school = $1 AND payer = $2 AND used_at IS NULL AND expires_at > $3`

func (t *tx) EndInvitations(school gateway.SchoolCode, payer string, when time.Time) error {
	_, err := t.sql.ExecContext(t.ctx, endInvitations, school, payer, at(when))
	return err
}

func (t *tx) Invitation(hash [sha256.Size]byte) (i gateway.Invitation, err error) {
	query := selectInvitation
	if t.writable {
		query += t.db.forUpdate
	}
	i.Hash = hash
	err = t.sql.QueryRowContext(t.ctx, query, hash[:]).
		Scan(&i.School, &i.Payer, &i.By.Kind, &i.By.Name, instant{&i.CreatedAt}, instant{&i.ExpiresAt}, instant{&i.UsedAt})
	return i, notFound(err)
}

const updateInvitation = `UPDATE invitations SET used_at = $2 WHERE hash = $1`

func (t *tx) SaveInvitation(i gateway.Invitation) error {
	return t.changed(gateway.ErrNotFound, updateInvitation, i.Hash[:], at(i.UsedAt))
}
