// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/nodogate/nodogate/gateway"
)

const (
	selectDataKeys = `SELECT owner, wrapped FROM data_keys ORDER BY owner`
	updateDataKey  = `UPDATE data_keys SET wrapped = $1 WHERE owner = $2 AND wrapped = $3`
)

// Rewrap wraps all data keys with another root secret, in one transaction, and
// tells how many. Nothing else changes: what the keys encrypted opens as before,
// and the database opens with the new secret alone.
//
// No gateway may run on the database meanwhile: one that does holds the old
// secret, and can neither open keys that it has not used yet nor add a school.
func (db *DB) Rewrap(ctx context.Context, secret []byte, actor gateway.Actor) (keys int, err error) {
	if len(secret) != 32 {
		return 0, errors.New("store: a root secret has 32 bytes")
	}
	wrap, err := newSealer(secret, "wrap")
	if err != nil {
		return 0, err
	}
	err = db.Update(ctx, func(g gateway.Tx) error {
		t := g.(*tx)
		rows, err := t.sql.QueryContext(t.ctx, selectDataKeys)
		old, err := collect(rows, err, func(r row) (k wrappedKey, err error) {
			err = r.Scan(&k.owner, &k.wrapped)
			return k, err
		})
		if err != nil {
			return fmt.Errorf("data keys: %w", err)
		}
		for _, k := range old {
			place := "data_keys.wrapped " + k.owner
			plain, err := db.wrap.open(k.wrapped, place)
			if err != nil {
				return ErrWrongSecret
			}
			again := wrap.seal(plain, place)
			if opened, err := wrap.open(again, place); err != nil || !bytes.Equal(opened, plain) {
				return fmt.Errorf("data key of %s: does not open with the new secret", k.owner)
			}
			n, err := affected(t.sql.ExecContext(t.ctx, updateDataKey, again, k.owner, k.wrapped))
			if err == nil && n != 1 {
				err = gateway.ErrConflict
			}
			if err != nil {
				return fmt.Errorf("data key of %s: %w", k.owner, err)
			}
		}
		keys = len(old)
		return t.AppendAudit(gateway.Audit{Actor: actor, Action: "secret.rotated", At: db.now()})
	})
	return keys, err
}

type wrappedKey struct {
	owner   string
	wrapped []byte
}
