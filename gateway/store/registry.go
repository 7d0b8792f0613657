// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"time"

	"github.com/nodogate/nodogate/gateway"
)

// person is what is sealed of a pupil, a payer or an account.
type person struct {
	Username  string             `json:"username,omitempty"`
	Code      gateway.FiscalCode `json:"code"`
	FirstName string             `json:"first_name"`
	LastName  string             `json:"last_name"`
	Email     string             `json:"email,omitempty"`
}

const (
	pupilColumn   = "pupils.person_enc"
	payerColumn   = "payers.person_enc"
	accountColumn = "accounts.person_enc"
)

// sealPerson seals a person with an owner's key, and hashes the code.
func (t *tx) sealPerson(owner, column string, p person) (hash, sealed []byte, err error) {
	k, err := t.key(owner)
	if err != nil {
		return nil, nil, err
	}
	if hash, err = t.codeHash(p.Code); err != nil {
		return nil, nil, err
	}
	sealed, err = k.sealJSON(column, p)
	return hash, sealed, err
}

func (t *tx) openPerson(owner, column string, sealed []byte) (p person, err error) {
	k, err := t.key(owner)
	if err != nil {
		return p, err
	}
	err = k.openJSON(column, sealed, &p)
	return p, err
}

const upsertPupil = `
INSERT INTO pupils (school, id, code_hash, person_enc, class, school_year, created_at, kind)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
    ON CONFLICT (school, id) DO UPDATE
   SET code_hash = excluded.code_hash, person_enc = excluded.person_enc, class = excluded.class, school_year = excluded.school_year,
       kind = excluded.kind`

func (t *tx) PutPupil(p gateway.Pupil) error {
	hash, sealed, err := t.sealPerson(string(p.School), pupilColumn, person{Code: p.Code, FirstName: p.FirstName, LastName: p.LastName})
	if err != nil {
		return err
	}
	created := p.CreatedAt
	if created.IsZero() {
		created = time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC) // nobody knows
	}
	_, err = t.sql.ExecContext(t.ctx, upsertPupil, p.School, p.ID, hash, sealed, p.Class, p.SchoolYear, at(created), p.Kind)
	return err
}

const selectPupil = `SELECT school, id, person_enc, class, school_year, kind FROM pupils`

func (t *tx) scanPupil(r row) (opener[gateway.Pupil], error) {
	var p gateway.Pupil
	var sealed []byte
	err := r.Scan(&p.School, &p.ID, &sealed, &p.Class, &p.SchoolYear, &p.Kind)
	return func() (gateway.Pupil, error) {
		err := t.openPupil(&p, sealed)
		return p, err
	}, notFound(err)
}

func (t *tx) openPupil(p *gateway.Pupil, sealed []byte) error {
	who, err := t.openPerson(string(p.School), pupilColumn, sealed)
	p.Code, p.FirstName, p.LastName = who.Code, who.FirstName, who.LastName
	return err
}

const selectPupilByID = selectPupil + ` WHERE school = $1 AND id = $2`

func (t *tx) Pupil(school gateway.SchoolCode, id string) (gateway.Pupil, error) {
	return opened(t.scanPupil(t.sql.QueryRowContext(t.ctx, selectPupilByID, school, id)))
}

const selectPupils = selectPupil + ` WHERE school = $1 ORDER BY class, id`

func (t *tx) Pupils(school gateway.SchoolCode) ([]gateway.Pupil, error) {
	rows, err := t.sql.QueryContext(t.ctx, selectPupils, school)
	return collectOpened(rows, err, t.scanPupil)
}

const upsertPayer = `
INSERT INTO payers (school, id, code_hash, person_enc, language)
VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (school, id) DO UPDATE
   SET code_hash = excluded.code_hash, person_enc = excluded.person_enc, language = excluded.language`

func (t *tx) PutPayer(p gateway.Payer) error {
	hash, sealed, err := t.sealPerson(string(p.School), payerColumn, person{Code: p.Code, FirstName: p.FirstName, LastName: p.LastName, Email: p.Email})
	if err != nil {
		return err
	}
	_, err = t.sql.ExecContext(t.ctx, upsertPayer, p.School, p.ID, hash, sealed, p.Language)
	return err
}

const selectPayer = `SELECT school, id, person_enc, language FROM payers`

const selectPayerByID = selectPayer + ` WHERE school = $1 AND id = $2`

func (t *tx) Payer(school gateway.SchoolCode, id string) (gateway.Payer, error) {
	return opened(t.scanPayer(t.sql.QueryRowContext(t.ctx, selectPayerByID, school, id)))
}

const selectPayersByCode = selectPayer + ` WHERE code_hash = $1 ORDER BY school, id`

func (t *tx) PayersByCode(code gateway.FiscalCode) ([]gateway.Payer, error) {
	hash, err := t.codeHash(code)
	if err != nil || hash == nil {
		return nil, err
	}
	rows, err := t.sql.QueryContext(t.ctx, selectPayersByCode, hash)
	return collectOpened(rows, err, t.scanPayer)
}

// Since and author stay those of the first time the link was made.
const upsertLink = `
INSERT INTO pupil_payers (school, pupil, payer, relation, since, by_kind, by_name)
SELECT p.school, p.id, y.id, $4, $5, $6, $7
  FROM pupils p
  JOIN payers y ON y.school = p.school
 WHERE p.school = $1 AND p.id = $2 AND y.id = $3
    ON CONFLICT (school, pupil, payer) DO UPDATE SET relation = excluded.relation`

// LinkPayer is ErrNotFound when the pupil or the payer is not the school's.
func (t *tx) LinkPayer(l gateway.Link) error {
	return t.changed(gateway.ErrNotFound, upsertLink, l.School, l.Pupil, l.Payer, l.Relation, at(l.Since), l.By.Kind, l.By.Name)
}

const insertAccount = `
INSERT INTO accounts (id, username_hash, code_hash, person_enc, password, must_change, proven, language, last_method, last_psp,
       created_at, failures, locked_until, password_until, password_used, consents_at, mail_consent, choice_consent)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
    ON CONFLICT DO NOTHING`

func (t *tx) InsertAccount(a gateway.Account) error {
	username, hash, sealed, err := t.sealAccount(a)
	if err != nil {
		return err
	}
	return t.changed(gateway.ErrConflict, insertAccount, a.ID, username, hash, sealed, a.Password, a.MustChange, a.Proven, a.Language,
		a.LastMethod, a.LastPSP, at(a.CreatedAt), a.Failures, at(a.LockedUntil), at(a.PasswordUntil), a.PasswordUsed,
		at(a.ConsentsAt), a.MailConsent, a.ChoiceConsent)
}

func (t *tx) sealAccount(a gateway.Account) (username, hash, sealed []byte, err error) {
	if username, err = t.hash("username", a.Username); err != nil {
		return nil, nil, nil, err
	}
	hash, sealed, err = t.sealPerson(installation, accountColumn,
		person{Username: a.Username, Code: a.Code, FirstName: a.FirstName, LastName: a.LastName, Email: a.Email})
	return username, hash, sealed, err
}

const selectAccount = `
SELECT id, person_enc, password, must_change, proven, language, last_method, last_psp, created_at, failures, locked_until,
       password_until, password_used, consents_at, mail_consent, choice_consent
  FROM accounts`

const selectAccountByID = selectAccount + ` WHERE id = $1`

// Account locks the row when the transaction may write: there is no other way to
// lock one, and two wrong passwords at once must count twice.
func (t *tx) Account(id string) (gateway.Account, error) {
	query := selectAccountByID
	if t.writable {
		query += t.db.forUpdate
	}
	return t.scanAccount(t.sql.QueryRowContext(t.ctx, query, id))
}

const selectAccountByCode = selectAccount + ` WHERE code_hash = $1`

func (t *tx) AccountByCode(code gateway.FiscalCode) (gateway.Account, error) {
	hash, err := t.codeHash(code)
	if err != nil {
		return gateway.Account{}, err
	}
	query := selectAccountByCode
	if t.writable {
		query += t.db.forUpdate
	}
	return t.scanAccount(t.sql.QueryRowContext(t.ctx, query, hash))
}

const selectAccountByUsername = selectAccount + ` WHERE username_hash = $1`

func (t *tx) AccountByUsername(username string) (gateway.Account, error) {
	hash, err := t.hash("username", username)
	if err != nil {
		return gateway.Account{}, err
	}
	return t.scanAccount(t.sql.QueryRowContext(t.ctx, selectAccountByUsername, hash))
}

func (t *tx) scanAccount(r row) (a gateway.Account, err error) {
	var sealed []byte
	if err := r.Scan(&a.ID, &sealed, &a.Password, &a.MustChange, &a.Proven, &a.Language, &a.LastMethod, &a.LastPSP,
		instant{&a.CreatedAt}, &a.Failures, instant{&a.LockedUntil}, instant{&a.PasswordUntil}, &a.PasswordUsed,
		instant{&a.ConsentsAt}, &a.MailConsent, &a.ChoiceConsent); err != nil {
		return gateway.Account{}, notFound(err)
	}
	who, err := t.openPerson(installation, accountColumn, sealed)
	a.Username, a.Code, a.FirstName, a.LastName, a.Email = who.Username, who.Code, who.FirstName, who.LastName, who.Email
	return a, err
}

const updateAccount = `
UPDATE accounts
   SET username_hash = $2, code_hash = $3, person_enc = $4, password = $5, must_change = $6, proven = $7, language = $8,
       last_method = $9, last_psp = $10, failures = $11, locked_until = $12, password_until = $13, password_used = $14,
       consents_at = $15, mail_consent = $16, choice_consent = $17
 WHERE id = $1`

// SaveAccount is ErrConflict when another account has the user name or code.
func (t *tx) SaveAccount(a gateway.Account) error {
	username, hash, sealed, err := t.sealAccount(a)
	if err != nil {
		return err
	}
	err = t.atomically(func() error {
		return t.changed(gateway.ErrNotFound, updateAccount, a.ID, username, hash, sealed, a.Password, a.MustChange, a.Proven, a.Language,
			a.LastMethod, a.LastPSP, a.Failures, at(a.LockedUntil), at(a.PasswordUntil), a.PasswordUsed,
			at(a.ConsentsAt), a.MailConsent, a.ChoiceConsent)
	})
	if err != nil && t.db.unique(err) {
		return fmt.Errorf("save account: %w", gateway.ErrConflict)
	}
	return err
}
