// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/alexedwards/scs/v2"
)

// Sessions keeps the portal's sessions: encrypted, and found by the digest of
// their token, so that who reads the database enters nobody's session.
type Sessions struct{ db *DB }

var _ scs.CtxStore = (*Sessions)(nil)

// Sessions are the sessions in this database.
func (db *DB) Sessions() *Sessions { return &Sessions{db} }

const sessionColumn = "sessions.data_enc"

func tokenHash(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}

const selectSession = `SELECT data_enc FROM sessions WHERE token_hash = $1 AND expires_at > $2`

// FindCtx finds a session that has not expired.
func (s *Sessions) FindCtx(ctx context.Context, token string) (data []byte, found bool, err error) {
	var sealed []byte
	err = s.db.read.QueryRowContext(ctx, selectSession, tokenHash(token), at(s.db.now())).Scan(&sealed)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, false, nil
	}
	if err == nil {
		var k *dataKey
		if k, err = s.db.committedKey(ctx, installation); err == nil {
			data, err = k.open(sessionColumn, sealed)
		}
	}
	if err != nil {
		return nil, false, fmt.Errorf("find session: %w", err)
	}
	return data, true, nil
}

const upsertSession = `
INSERT INTO sessions (token_hash, data_enc, expires_at)
VALUES ($1, $2, $3)
    ON CONFLICT (token_hash) DO UPDATE SET data_enc = excluded.data_enc, expires_at = excluded.expires_at`

// CommitCtx adds or replaces a session.
func (s *Sessions) CommitCtx(ctx context.Context, token string, data []byte, expiry time.Time) error {
	k, err := s.db.committedKey(ctx, installation)
	if err == nil {
		_, err = s.db.write.ExecContext(ctx, upsertSession, tokenHash(token), k.seal(sessionColumn, data), at(expiry))
	}
	if err != nil {
		return fmt.Errorf("commit session: %w", err)
	}
	return nil
}

const deleteSession = `DELETE FROM sessions WHERE token_hash = $1`

// DeleteCtx ends a session; one that is not there has ended already.
func (s *Sessions) DeleteCtx(ctx context.Context, token string) error {
	if _, err := s.db.write.ExecContext(ctx, deleteSession, tokenHash(token)); err != nil {
		return fmt.Errorf("delete session: %w", err)
	}
	return nil
}

const deleteExpiredSessions = `DELETE FROM sessions WHERE expires_at <= $1`

// DeleteExpired forgets the sessions that have expired and says how many.
func (s *Sessions) DeleteExpired(ctx context.Context, now time.Time) (int64, error) {
	n, err := affected(s.db.write.ExecContext(ctx, deleteExpiredSessions, at(now)))
	if err != nil {
		return 0, fmt.Errorf("delete expired sessions: %w", err)
	}
	return n, nil
}

// Find is FindCtx without a context.
func (s *Sessions) Find(token string) ([]byte, bool, error) {
	return s.FindCtx(context.Background(), token)
}

// Commit is CommitCtx without a context.
func (s *Sessions) Commit(token string, data []byte, expiry time.Time) error {
	return s.CommitCtx(context.Background(), token, data, expiry)
}

// Delete is DeleteCtx without a context.
func (s *Sessions) Delete(token string) error { return s.DeleteCtx(context.Background(), token) }
