// SPDX-License-Identifier: Apache-2.0

package cache

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// Sessions keeps the portal's sessions: an scs.CtxStore.
type Sessions struct {
	client redis.UniversalClient
	now    func() time.Time
}

// NewSessions keeps sessions in client.
func NewSessions(client redis.UniversalClient, now func() time.Time) *Sessions {
	return &Sessions{client, now}
}

// sessionKey is as the sessions of earlier versions are called: they live on.
func sessionKey(token string) string { return "scs:session:" + token }

// FindCtx is the data of a session; false when there is none.
func (s *Sessions) FindCtx(ctx context.Context, token string) ([]byte, bool, error) {
	b, err := s.client.Get(ctx, sessionKey(token)).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("find session: %w", err)
	}
	return b, true, nil
}

// CommitCtx writes a session, which ends at expiry.
func (s *Sessions) CommitCtx(ctx context.Context, token string, b []byte, expiry time.Time) error {
	left := expiry.Sub(s.now())
	if left <= 0 {
		return s.DeleteCtx(ctx, token) // to Redis, no time left is no end
	}
	if err := s.client.Set(ctx, sessionKey(token), b, max(left, time.Millisecond)).Err(); err != nil {
		return fmt.Errorf("write session: %w", err)
	}
	return nil
}

// DeleteCtx ends a session; one that is not there is ended already.
func (s *Sessions) DeleteCtx(ctx context.Context, token string) error {
	if err := s.client.Del(ctx, sessionKey(token)).Err(); err != nil {
		return fmt.Errorf("end session: %w", err)
	}
	return nil
}

// Find, Commit and Delete are the same without a context.
func (s *Sessions) Find(token string) ([]byte, bool, error) {
	return s.FindCtx(context.Background(), token)
}

func (s *Sessions) Commit(token string, b []byte, expiry time.Time) error {
	return s.CommitCtx(context.Background(), token, b, expiry)
}

func (s *Sessions) Delete(token string) error { return s.DeleteCtx(context.Background(), token) }
