// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nodogate/nodogate/gateway"
)

// The root secret encrypts nothing but keys: HKDF makes the wrapping key from
// it, and the wrapping key wraps one random data key per school and one of the
// installation. So a new root secret re-wraps keys, not rows, and forgetting a
// school's key forgets its persons.

// ErrWrongSecret says that the root secret is not the one the database's keys
// were wrapped with.
var ErrWrongSecret = errors.New("this database was made with another root secret: give the one it had (NODOGATE_SECRET_FILE)")

// installation owns the data key of what belongs to no school.
const installation = "*"

// sealVersion is the first byte of everything sealed: AES-256-GCM with a random
// nonce.
const sealVersion = 1

// sealer is one AES-256-GCM key.
type sealer struct{ aead cipher.AEAD }

// newSealer derives a key for one purpose from a 32-byte secret.
func newSealer(secret []byte, purpose string) (sealer, error) {
	key, err := hkdf.Key(sha256.New, secret, nil, "nodogate "+purpose, 32)
	if err != nil {
		return sealer{}, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return sealer{}, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return sealer{aead}, err
}

// seal encrypts plain for one place; it opens in no other.
func (s sealer) seal(plain []byte, place string) []byte {
	return s.aead.Seal([]byte{sealVersion}, nil, plain, []byte(place))
}

var errSealed = errors.New("sealed value does not open")

func (s sealer) open(sealed []byte, place string) ([]byte, error) {
	if len(sealed) == 0 || sealed[0] != sealVersion {
		return nil, errSealed
	}
	// The library's error says nothing more.
	plain, err := s.aead.Open(nil, nil, sealed[1:], []byte(place))
	if err != nil {
		return nil, errSealed
	}
	return plain, nil
}

// dataKey is an unwrapped data key, ready for use.
type dataKey struct {
	owner string
	sealer
	// index is the key of look-up hashes. The installation's is used for codes,
	// so that one person is found in all schools; a school's for names.
	index []byte
}

func newDataKey(owner string, secret []byte) (*dataKey, error) {
	s, err := newSealer(secret, "data")
	if err != nil {
		return nil, err
	}
	index, err := hkdf.Key(sha256.New, secret, nil, "nodogate index", 32)
	if err != nil {
		return nil, err
	}
	return &dataKey{owner, s, index}, nil
}

// seal encrypts a value of one column ("table.column").
func (k *dataKey) seal(column string, plain []byte) []byte {
	return k.sealer.seal(plain, column+" "+k.owner)
}

func (k *dataKey) open(column string, sealed []byte) ([]byte, error) {
	plain, err := k.sealer.open(sealed, column+" "+k.owner)
	if err != nil {
		return nil, fmt.Errorf("%s of %s: %w", column, k.owner, err)
	}
	return plain, nil
}

func (k *dataKey) sealJSON(column string, v any) ([]byte, error) {
	plain, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", column, err)
	}
	return k.seal(column, plain), nil
}

func (k *dataKey) openJSON(column string, sealed []byte, v any) error {
	plain, err := k.open(column, sealed)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(plain, v); err != nil {
		// The decoder's error would quote the value.
		return fmt.Errorf("%s of %s: not what was written", column, k.owner)
	}
	return nil
}

// querier is what *sql.DB and *sql.Tx have in common.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func random32() []byte {
	b := make([]byte, 32)
	rand.Read(b) // never fails
	return b
}

const insertDataKey = `
INSERT INTO data_keys (owner, wrapped, created_at)
VALUES ($1, $2, $3)
    ON CONFLICT (owner) DO NOTHING`

// makeKey makes and stores a data key; nil when the owner has one. A process
// whose root secret was rotated away makes none: nobody could ever unwrap it.
func (db *DB) makeKey(ctx context.Context, q querier, owner string) (*dataKey, error) {
	if owner != installation {
		if _, err := db.readKey(ctx, q, installation); err != nil {
			return nil, err
		}
	}
	secret := random32()
	wrapped := db.wrap.seal(secret, "data_keys.wrapped "+owner)
	n, err := affected(q.ExecContext(ctx, insertDataKey, owner, wrapped, at(db.now())))
	if err != nil || n == 0 {
		return nil, err
	}
	return newDataKey(owner, secret)
}

const selectDataKey = `SELECT wrapped FROM data_keys WHERE owner = $1`

// readKey reads and unwraps a data key; ErrNotFound, ErrWrongSecret.
func (db *DB) readKey(ctx context.Context, q querier, owner string) (*dataKey, error) {
	var wrapped []byte
	if err := q.QueryRowContext(ctx, selectDataKey, owner).Scan(&wrapped); err != nil {
		return nil, fmt.Errorf("data key of %s: %w", owner, notFound(err))
	}
	secret, err := db.wrap.open(wrapped, "data_keys.wrapped "+owner)
	if err != nil {
		return nil, ErrWrongSecret
	}
	return newDataKey(owner, secret)
}

// checkKey opens the installation's key, or makes it in a new database.
func (db *DB) checkKey(ctx context.Context) error {
	if _, err := db.makeKey(ctx, db.write, installation); err != nil {
		return fmt.Errorf("make data key: %w", err)
	}
	k, err := db.readKey(ctx, db.write, installation)
	if err != nil {
		return err
	}
	db.keys.Store(installation, k)
	return nil
}

// committedKey is the data key of an owner outside a transaction.
func (db *DB) committedKey(ctx context.Context, owner string) (*dataKey, error) {
	if k, ok := db.keys.Load(owner); ok {
		return k.(*dataKey), nil
	}
	k, err := db.readKey(ctx, db.read, owner)
	if err != nil {
		return nil, err
	}
	db.keys.Store(owner, k)
	return k, nil
}

// key is the data key of an owner: of the cache, of this transaction, or read.
// What a transaction reads or makes gets into the cache with its commit only.
func (t *tx) key(owner string) (*dataKey, error) {
	if k, ok := t.db.keys.Load(owner); ok {
		return k.(*dataKey), nil
	}
	if k, ok := t.keys[owner]; ok {
		return k, nil
	}
	k, err := t.db.readKey(t.ctx, t.sql, owner)
	if err != nil {
		return nil, err
	}
	t.keys[owner] = k
	return k, nil
}

// keyOf is the data key of a school; of the installation when the school is
// empty or not ours.
func (t *tx) keyOf(school gateway.SchoolCode) (*dataKey, error) {
	if school == "" {
		return t.key(installation)
	}
	k, err := t.key(string(school))
	if errors.Is(err, gateway.ErrNotFound) {
		return t.key(installation)
	}
	return k, err
}

// codeHash is what a fiscal code is looked up by: nil for nobody.
func (t *tx) codeHash(code gateway.FiscalCode) ([]byte, error) {
	if code == "" || code == gateway.Anonymous {
		return nil, nil
	}
	return t.hash("code", string(code))
}

// maxHashes is how many hashes a transaction remembers: those of the people of
// one batch are asked for several times.
const maxHashes = 10_000

func (t *tx) hash(kind, value string) ([]byte, error) {
	place := kind + "\x00" + value
	if sum, ok := t.hashes[place]; ok {
		return sum, nil
	}
	k, err := t.key(installation)
	if err != nil {
		return nil, err
	}
	if t.mac == nil {
		t.mac = hmac.New(sha256.New, k.index)
	}
	t.mac.Reset()
	t.mac.Write([]byte(place))
	sum := t.mac.Sum(nil)
	if t.hashes == nil || len(t.hashes) >= maxHashes {
		t.hashes = map[string][]byte{}
	}
	t.hashes[place] = sum
	return sum, nil
}
