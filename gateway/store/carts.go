// SPDX-License-Identifier: Apache-2.0

package store

import (
	"slices"
	"time"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/iuv"
)

const emailColumn = "carts.email_enc"

const insertCart = `
INSERT INTO carts (id, state, method, psp, account, school, request_key, email_enc, return_url, fee_cents, redirect,
       created_at, changed_at, version)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
    ON CONFLICT DO NOTHING`

const insertCartNotice = `
INSERT INTO cart_notices (cart, position, school, number, amount_cents, settled)
VALUES ($1, $2, $3, $4, $5, $6)`

func (t *tx) InsertCart(c gateway.Cart) error {
	k, err := t.key(installation)
	if err != nil {
		return err
	}
	if err := t.changed(gateway.ErrConflict, insertCart, c.ID, c.State, c.Method, c.PSP, c.Account, c.School, c.RequestKey,
		k.seal(emailColumn, []byte(c.Email)), c.ReturnURL, int64(c.Fee), c.Redirect, at(c.CreatedAt), at(c.ChangedAt), c.Version); err != nil {
		return err
	}
	for i, n := range c.Notices {
		if _, err := t.sql.ExecContext(t.ctx, insertCartNotice, c.ID, i+1, n.School, n.Number.String(), int64(n.Amount), n.Settled); err != nil {
			return err
		}
	}
	return nil
}

const selectCart = `
SELECT id, state, method, psp, account, school, request_key, email_enc, return_url, fee_cents, redirect, created_at, changed_at, version
  FROM carts`

const selectCartNotices = `
SELECT school, number, amount_cents, settled
  FROM cart_notices
 WHERE cart = $1
 ORDER BY position`

func (t *tx) carts(query string, args ...any) ([]gateway.Cart, error) {
	k, err := t.key(installation)
	if err != nil {
		return nil, err
	}
	rows, err := t.sql.QueryContext(t.ctx, query, args...)
	list, err := collect(rows, err, func(r row) (c gateway.Cart, err error) {
		var sealed []byte
		if err := r.Scan(&c.ID, &c.State, &c.Method, &c.PSP, &c.Account, &c.School, &c.RequestKey, &sealed, &c.ReturnURL, &c.Fee,
			&c.Redirect, instant{&c.CreatedAt}, instant{&c.ChangedAt}, &c.Version); err != nil {
			return c, err
		}
		email, err := k.open(emailColumn, sealed)
		c.Email = string(email)
		return c, err
	})
	for i := range list {
		rows, err := t.sql.QueryContext(t.ctx, selectCartNotices, list[i].ID)
		if list[i].Notices, err = collect(rows, err, func(r row) (n gateway.CartNotice, err error) {
			err = r.Scan(&n.School, number{&n.Number}, &n.Amount, &n.Settled)
			return n, err
		}); err != nil {
			return nil, err
		}
	}
	return list, err
}

func (t *tx) cart(query, arg string) (gateway.Cart, error) {
	list, err := t.carts(query, arg)
	if err == nil && len(list) == 0 {
		err = gateway.ErrNotFound
	}
	if err != nil {
		return gateway.Cart{}, err
	}
	return list[0], nil
}

const selectCartByID = selectCart + ` WHERE id = $1`

func (t *tx) Cart(id string) (gateway.Cart, error) { return t.cart(selectCartByID, id) }

const selectCartByRequest = selectCart + ` WHERE request_key = $1`

func (t *tx) CartByRequest(key string) (gateway.Cart, error) { return t.cart(selectCartByRequest, key) }

const lockCart = `SELECT 1 FROM carts WHERE id = $1`

// LockCart locks before it reads, like LockNotice.
func (t *tx) LockCart(id string) (gateway.Cart, error) {
	if err := t.lock(lockCart, id); err != nil {
		return gateway.Cart{}, err
	}
	return t.Cart(id)
}

const updateCart = `
UPDATE carts
   SET state = $2, version = $3, method = $4, psp = $5, fee_cents = $6, redirect = $7, changed_at = $8
 WHERE id = $1 AND version <= $3`

const updateCartNotice = `
UPDATE cart_notices
   SET amount_cents = $4, settled = $5
 WHERE cart = $1 AND school = $2 AND number = $3`

// SaveCart writes what may change after InsertCart: not whose it is, nor which
// notices are in it. ErrConflict when a later version is there.
func (t *tx) SaveCart(c gateway.Cart) error {
	if err := t.changed(gateway.ErrConflict, updateCart, c.ID, c.State, c.Version, c.Method, c.PSP, int64(c.Fee), c.Redirect, at(c.ChangedAt)); err != nil {
		return err
	}
	for _, n := range c.Notices {
		if err := t.changed(gateway.ErrConflict, updateCartNotice, c.ID, n.School, n.Number.String(), int64(n.Amount), n.Settled); err != nil {
			return err
		}
	}
	return nil
}

const selectCartsOfAccount = selectCart + `
 WHERE account = $1 AND account <> ''
 ORDER BY seq DESC
 LIMIT $2`

func (t *tx) CartsOfAccount(account string, limit int) ([]gateway.Cart, error) {
	return t.carts(selectCartsOfAccount, account, limit)
}

const insertAttempt = `
INSERT INTO attempts (id, cart, state, method, psp, fee_cents, reference, redirect, created_at, changed_at, lapses_at, version)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`

const insertAttemptNotice = `
INSERT INTO attempt_notices (attempt, school, number, live)
VALUES ($1, $2, $3, TRUE)
    ON CONFLICT DO NOTHING`

func (t *tx) InsertAttempt(a gateway.Attempt, notices []gateway.NoticeRef) error {
	return t.atomically(func() error {
		if _, err := t.sql.ExecContext(t.ctx, insertAttempt, a.ID, a.Cart, a.State, a.Method, a.PSP, int64(a.Fee), a.Reference, a.Redirect,
			at(a.CreatedAt), at(a.ChangedAt), at(a.LapsesAt), a.Version); err != nil {
			return err
		}
		for _, n := range notices {
			if err := t.changed(gateway.ErrConflict, insertAttemptNotice, a.ID, n.School, n.Number.String()); err != nil {
				return err
			}
		}
		return nil
	})
}

const selectAttempt = `
SELECT a.id, a.cart, a.state, a.method, a.psp, a.fee_cents, a.reference, a.redirect, a.created_at, a.changed_at, a.lapses_at, a.poll_at, a.polls, a.version
  FROM attempts a`

func scanAttempt(r row) (a gateway.Attempt, err error) {
	err = r.Scan(&a.ID, &a.Cart, &a.State, &a.Method, &a.PSP, &a.Fee, &a.Reference, &a.Redirect,
		instant{&a.CreatedAt}, instant{&a.ChangedAt}, instant{&a.LapsesAt}, instant{&a.PollAt}, &a.Polls, &a.Version)
	return a, notFound(err)
}

const selectAttemptByID = selectAttempt + ` WHERE a.id = $1`

func (t *tx) Attempt(id string) (gateway.Attempt, error) {
	return scanAttempt(t.sql.QueryRowContext(t.ctx, selectAttemptByID, id))
}

const selectAttemptsOfCart = selectAttempt + ` WHERE a.cart = $1 ORDER BY a.seq DESC`

func (t *tx) AttemptsOfCart(cart string) ([]gateway.Attempt, error) {
	rows, err := t.sql.QueryContext(t.ctx, selectAttemptsOfCart, cart)
	return collect(rows, err, scanAttempt)
}

const selectLiveAttempt = selectAttempt + `
  JOIN attempt_notices an ON an.attempt = a.id
 WHERE an.school = $1 AND an.number = $2 AND an.live`

func (t *tx) LiveAttempt(school gateway.SchoolCode, n iuv.Number) (gateway.Attempt, error) {
	return scanAttempt(t.sql.QueryRowContext(t.ctx, selectLiveAttempt, school, n.String()))
}

const updateAttempt = `
UPDATE attempts
   SET state = $2, version = $3, reference = $4, redirect = $5, changed_at = $6, lapses_at = $7, poll_at = $8, polls = $9
 WHERE id = $1 AND version <= $3`

const releaseAttempt = `UPDATE attempt_notices SET live = FALSE WHERE attempt = $1 AND live`

// SaveAttempt is ErrConflict when a later version is there.
func (t *tx) SaveAttempt(a gateway.Attempt) error {
	if err := t.changed(gateway.ErrConflict, updateAttempt, a.ID, a.State, a.Version, a.Reference, a.Redirect, at(a.ChangedAt), at(a.LapsesAt), at(a.PollAt), a.Polls); err != nil {
		return err
	}
	if a.State.Live() {
		return nil
	}
	_, err := t.sql.ExecContext(t.ctx, releaseAttempt, a.ID)
	return err
}

const releaseNotice = `UPDATE attempt_notices SET live = FALSE WHERE attempt = $1 AND school = $2 AND number = $3`

func (t *tx) ReleaseNotice(attempt string, school gateway.SchoolCode, n iuv.Number) error {
	return t.changed(gateway.ErrNotFound, releaseNotice, attempt, school, n.String())
}

const selectDueAttempts = selectAttempt + `
 WHERE a.state IN ('created', 'sent', 'unknown') AND a.lapses_at <= $1 AND a.poll_at IS NULL
 ORDER BY a.lapses_at, a.seq
 LIMIT $2`

func (t *tx) DueAttempts(now time.Time, limit int) ([]gateway.Attempt, error) {
	rows, err := t.sql.QueryContext(t.ctx, selectDueAttempts, at(now), limit)
	return collect(rows, err, scanAttempt)
}

const claimPolls = `
UPDATE attempts
   SET poll_at = $2
 WHERE id %s
       SELECT o.id
         FROM attempts o
        WHERE o.poll_at <= $1 AND o.state IN ('sent', 'unknown')
        ORDER BY o.poll_at, o.seq
        LIMIT $3%s
RETURNING id`

func (t *tx) ClaimPolls(now, until time.Time, limit int) ([]gateway.Attempt, error) {
	rows, err := t.sql.QueryContext(t.ctx, t.db.claimPolls, at(now), at(until), limit)
	ids, err := collect(rows, err, func(r row) (id string, err error) {
		err = r.Scan(&id)
		return id, err
	})
	list := make([]gateway.Attempt, 0, len(ids))
	for _, id := range ids {
		a, err := t.Attempt(id)
		if err != nil {
			return nil, err
		}
		list = append(list, a)
	}
	slices.SortFunc(list, func(a, b gateway.Attempt) int { return a.CreatedAt.Compare(b.CreatedAt) })
	return list, err
}

const countAttempts = `
SELECT state, count(*), min(changed_at)
  FROM attempts
 WHERE state IN ('created', 'sent', 'unknown', 'authorised')
 GROUP BY state`

func (t *tx) CountAttempts() (map[gateway.AttemptState]gateway.AttemptCount, error) {
	m := map[gateway.AttemptState]gateway.AttemptCount{}
	rows, err := t.sql.QueryContext(t.ctx, countAttempts)
	_, err = collect(rows, err, func(r row) (struct{}, error) {
		var state gateway.AttemptState
		var c gateway.AttemptCount
		err := r.Scan(&state, &c.Count, instant{&c.Since})
		m[state] = c
		return struct{}{}, err
	})
	return m, err
}
