// SPDX-License-Identifier: Apache-2.0

package store

import (
	"strings"
	"time"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/iuv"
)

const selectPupilsOfFamily = `
SELECT p.school, p.id, p.person_enc, p.class, p.school_year, p.kind
  FROM (SELECT DISTINCT l.school AS school, l.pupil AS pupil
          FROM payers y
          JOIN pupil_payers l ON l.school = y.school AND l.payer = y.id
         WHERE y.code_hash = $1) AS f
  JOIN pupils p ON p.school = f.school AND p.id = f.pupil
 ORDER BY p.school, p.id`

func (t *tx) PupilsOfFamily(code gateway.FiscalCode) ([]gateway.Pupil, error) {
	hash, err := t.codeHash(code)
	if err != nil || hash == nil {
		return nil, err
	}
	rows, err := t.sql.QueryContext(t.ctx, selectPupilsOfFamily, hash)
	return collectOpened(rows, err, t.scanPupil)
}

const deleteAccount = `DELETE FROM accounts WHERE id = $1`

// DeleteAccount takes with it what hangs on the account alone.
func (t *tx) DeleteAccount(id string) error {
	return t.changed(gateway.ErrNotFound, deleteAccount, id)
}

const insertLogin = `
INSERT INTO logins (id, account, device, created_at, seen_at, ended_at)
VALUES ($1, $2, $3, $4, $5, $6)`

const deleteOldLogins = `DELETE FROM logins WHERE account = $1 AND seen_at < $2`

func (t *tx) InsertLogin(l gateway.Login, forget time.Time) error {
	if _, err := t.sql.ExecContext(t.ctx, deleteOldLogins, l.Account, at(forget)); err != nil {
		return err
	}
	_, err := t.sql.ExecContext(t.ctx, insertLogin, l.ID, l.Account, l.Device, at(l.Since), at(l.Seen), at(l.Ended))
	return err
}

const selectLogin = `SELECT id, account, device, created_at, seen_at, ended_at FROM logins`

func scanLogin(r row) (l gateway.Login, err error) {
	err = r.Scan(&l.ID, &l.Account, &l.Device, instant{&l.Since}, instant{&l.Seen}, instant{&l.Ended})
	return l, notFound(err)
}

const selectLoginByID = selectLogin + ` WHERE id = $1`

func (t *tx) Login(id string) (gateway.Login, error) {
	return scanLogin(t.sql.QueryRowContext(t.ctx, selectLoginByID, id))
}

const selectLogins = selectLogin + ` WHERE account = $1 AND ended_at IS NULL AND seen_at >= $2 AND created_at >= $3 ORDER BY created_at DESC, id`

func (t *tx) Logins(account string, seenFrom, from time.Time) ([]gateway.Login, error) {
	rows, err := t.sql.QueryContext(t.ctx, selectLogins, account, at(seenFrom), at(from))
	return collect(rows, err, scanLogin)
}

const touchLogin = `UPDATE logins SET seen_at = $2 WHERE id = $1`

func (t *tx) TouchLogin(id string, when time.Time) error {
	return t.changed(gateway.ErrNotFound, touchLogin, id, at(when))
}

const endLogin = `UPDATE logins SET ended_at = $3 WHERE account = $1 AND id = $2 AND ended_at IS NULL`

func (t *tx) EndLogin(account, id string, when time.Time) error {
	return t.changed(gateway.ErrNotFound, endLogin, account, id, at(when))
}

const endOtherLogins = `UPDATE logins SET ended_at = $3 WHERE account = $1 AND id <> $2 AND ended_at IS NULL`

func (t *tx) EndOtherLogins(account, kept string, when time.Time) error {
	_, err := t.sql.ExecContext(t.ctx, endOtherLogins, account, kept, at(when))
	return err
}

const upsertEmailChange = `
INSERT INTO email_changes (account, token_hash, email_enc, expires_at)
VALUES ($1, $2, $3, $4)
    ON CONFLICT (account) DO UPDATE
   SET token_hash = excluded.token_hash, email_enc = excluded.email_enc, expires_at = excluded.expires_at`

const emailChangeColumn = "email_changes.email_enc"

func (t *tx) PutEmailChange(c gateway.EmailChange) error {
	k, err := t.key(installation)
	if err != nil {
		return err
	}
	_, err = t.sql.ExecContext(t.ctx, upsertEmailChange, c.Account, c.Token[:], k.seal(emailChangeColumn, []byte(c.Email)), at(c.ExpiresAt))
	return err
}

const selectEmailChange = `SELECT account, token_hash, email_enc, expires_at FROM email_changes WHERE token_hash = $1`

func (t *tx) EmailChange(token [32]byte) (c gateway.EmailChange, err error) {
	var sealed []byte
	err = t.sql.QueryRowContext(t.ctx, selectEmailChange, token[:]).Scan(&c.Account, digest{&c.Token}, &sealed, instant{&c.ExpiresAt})
	if err != nil {
		return c, notFound(err)
	}
	k, err := t.key(installation)
	if err != nil {
		return c, err
	}
	plain, err := k.open(emailChangeColumn, sealed)
	c.Email = string(plain)
	return c, err
}

const deleteEmailChange = `DELETE FROM email_changes WHERE account = $1`

func (t *tx) DeleteEmailChange(account string) error {
	_, err := t.sql.ExecContext(t.ctx, deleteEmailChange, account)
	return err
}

const upsertBasket = `
INSERT INTO baskets (account, notices) VALUES ($1, $2)
    ON CONFLICT (account) DO UPDATE SET notices = excluded.notices`

func (t *tx) SaveBasket(account string, list []gateway.NoticeRef) error {
	words := make([]string, len(list))
	for i, r := range list {
		words[i] = string(r.School) + "/" + r.Number.String()
	}
	_, err := t.sql.ExecContext(t.ctx, upsertBasket, account, strings.Join(words, " "))
	return err
}

const selectBasket = `SELECT notices FROM baskets WHERE account = $1`

func (t *tx) Basket(account string) ([]gateway.NoticeRef, error) {
	var text string
	if err := t.sql.QueryRowContext(t.ctx, selectBasket, account).Scan(&text); err != nil {
		if err = notFound(err); err == gateway.ErrNotFound { //nolint:errorlint // as notFound makes it
			return nil, nil
		}
		return nil, err
	}
	var list []gateway.NoticeRef
	for _, word := range strings.Fields(text) {
		school, digits, _ := strings.Cut(word, "/")
		n, err := iuv.Parse(digits)
		if err != nil {
			return nil, err
		}
		list = append(list, gateway.NoticeRef{School: gateway.SchoolCode(school), Number: n})
	}
	return list, nil
}
