// SPDX-License-Identifier: Apache-2.0

package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/nodogate/nodogate/gateway"
)

const payloadColumn = "outbox.payload_enc"

const insertMessages = `
INSERT INTO outbox (id, school, kind, target, aggregate, payload_enc, created_at, run_at)
VALUES %s`

const messageValues = 8

func (t *tx) Enqueue(list ...gateway.Message) error {
	if t.copies(len(list)) {
		return t.copyMessages(list)
	}
	for from, n := range chunks(len(list)) {
		args := make([]any, 0, n*messageValues)
		for _, m := range list[from : from+n] {
			k, err := t.keyOf(m.School)
			if err != nil {
				return err
			}
			args = append(args, m.ID, m.School, m.Kind, m.Target, m.Aggregate, k.seal(payloadColumn, m.Payload), at(m.At), at(m.At))
		}
		if _, err := t.sql.ExecContext(t.ctx, fmt.Sprintf(insertMessages, values(n, messageValues)), args...); err != nil {
			return err
		}
	}
	return nil
}

// Claimed is the domain's: workers know no store.
type Claimed = gateway.Claimed

// A row waits while an earlier one of its kind, target and aggregate is neither
// done nor parked, so one aggregate has one claimed row at most.
const claimMessages = `
UPDATE outbox
   SET lease_until = $2, tries = tries + 1
 WHERE id %s
       SELECT o.id
         FROM outbox o
        WHERE o.kind = $4 AND o.target = $5 AND o.done_at IS NULL AND o.parked_at IS NULL AND o.run_at <= $1
          AND (o.lease_until IS NULL OR o.lease_until <= $1)
          AND NOT EXISTS (
              SELECT 1
                FROM outbox e
               WHERE e.kind = o.kind AND e.aggregate = o.aggregate AND e.target = o.target AND e.seq < o.seq
                 AND e.done_at IS NULL AND e.parked_at IS NULL)
        ORDER BY o.seq
        LIMIT $3%s
RETURNING seq, id, school, kind, target, aggregate, payload_enc, created_at, tries`

// ClaimMessages takes at most limit messages of one kind and target whose time
// has come, oldest first, for the caller alone until now+lease. A worker that
// dies loses them to the next: delivery is at least once.
func (db *DB) ClaimMessages(ctx context.Context, kind, target string, now time.Time, lease time.Duration, limit int) ([]Claimed, error) {
	var list []Claimed
	err := db.Update(ctx, func(g gateway.Tx) (err error) {
		list, err = g.(*tx).claimMessages(kind, target, now, lease, limit)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("claim messages: %w", err)
	}
	return list, nil
}

func (t *tx) claimMessages(kind, target string, now time.Time, lease time.Duration, limit int) ([]Claimed, error) {
	type claimed struct {
		seq int64
		m   Claimed
	}
	rows, err := t.sql.QueryContext(t.ctx, t.db.claim, at(now), at(now.Add(lease)), limit, kind, target)
	found, err := collect(rows, err, func(r row) (c claimed, err error) {
		err = r.Scan(&c.seq, &c.m.ID, &c.m.School, &c.m.Kind, &c.m.Target, &c.m.Aggregate, &c.m.Payload, instant{&c.m.At}, &c.m.Tries)
		return c, err
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(found, func(a, b claimed) int { return cmp.Compare(a.seq, b.seq) })
	list := make([]Claimed, len(found))
	for i, c := range found {
		k, err := t.keyOf(c.m.School)
		if err != nil {
			return nil, err
		}
		if c.m.Payload, err = k.open(payloadColumn, c.m.Payload); err != nil {
			return nil, err
		}
		list[i] = c.m
	}
	return list, nil
}

// The targets are found one by one in the index, however many messages each has.
const selectTargets = `
  WITH RECURSIVE found (target) AS (
       SELECT min(target) FROM outbox WHERE kind = $1 AND target <> '' AND done_at IS NULL AND parked_at IS NULL
        UNION ALL
       SELECT (SELECT min(o.target) FROM outbox o
                WHERE o.kind = $1 AND o.target > f.target AND o.done_at IS NULL AND o.parked_at IS NULL)
         FROM found f
        WHERE f.target IS NOT NULL)
SELECT f.target FROM found f WHERE f.target IS NOT NULL`

// Targets lists the targets that messages of a kind wait for, due or not.
func (db *DB) Targets(ctx context.Context, kind string) ([]string, error) {
	rows, err := db.read.QueryContext(ctx, selectTargets, kind)
	list, err := collect(rows, err, func(r row) (target string, err error) {
		err = r.Scan(&target)
		return target, err
	})
	if err != nil {
		return nil, fmt.Errorf("targets of %s: %w", kind, err)
	}
	return list, nil
}

const finishMessage = `
UPDATE outbox
   SET done_at = $2, lease_until = NULL
 WHERE id = $1 AND done_at IS NULL AND parked_at IS NULL`

// FinishMessage notes that a message was delivered.
func (db *DB) FinishMessage(ctx context.Context, id string, when time.Time) error {
	return db.endClaim(ctx, "finish", finishMessage, id, when)
}

const retryMessage = `
UPDATE outbox
   SET run_at = $2, lease_until = NULL
 WHERE id = $1 AND done_at IS NULL AND parked_at IS NULL`

// RetryMessage gives a message back, to be tried again at runAt.
func (db *DB) RetryMessage(ctx context.Context, id string, runAt time.Time) error {
	return db.endClaim(ctx, "retry", retryMessage, id, runAt)
}

const parkMessage = `
UPDATE outbox
   SET parked_at = $2, lease_until = NULL
 WHERE id = $1 AND done_at IS NULL AND parked_at IS NULL`

// ParkMessage puts a message aside for a person; those behind it may go.
func (db *DB) ParkMessage(ctx context.Context, id string, when time.Time) error {
	return db.endClaim(ctx, "park", parkMessage, id, when)
}

// endClaim leaves a message alone that another worker has ended meanwhile.
func (db *DB) endClaim(ctx context.Context, what, query, id string, when time.Time) error {
	err := db.Update(ctx, func(g gateway.Tx) error {
		t := g.(*tx)
		_, err := t.sql.ExecContext(t.ctx, query, id, at(when))
		return err
	})
	if err != nil {
		return fmt.Errorf("%s message %s: %w", what, id, err)
	}
	return nil
}

// OutboxStat is the state of one kind of messages.
type OutboxStat struct {
	Pending, Parked int
	Oldest          time.Duration // age of the oldest pending one
}

// Delivered rows are many: neither part reads them.
const selectOutboxStats = `
SELECT kind, count(*), 0, min(created_at)
  FROM outbox
 WHERE done_at IS NULL AND parked_at IS NULL
 GROUP BY kind
 UNION ALL
SELECT kind, 0, count(*), NULL
  FROM outbox
 WHERE done_at IS NULL AND parked_at IS NOT NULL
 GROUP BY kind`

// OutboxStats counts what is not delivered, by kind.
func (db *DB) OutboxStats(ctx context.Context, now time.Time) (map[string]OutboxStat, error) {
	type stat struct {
		kind   string
		s      OutboxStat
		oldest time.Time
	}
	rows, err := db.read.QueryContext(ctx, selectOutboxStats)
	list, err := collect(rows, err, func(r row) (s stat, err error) {
		err = r.Scan(&s.kind, &s.s.Pending, &s.s.Parked, instant{&s.oldest})
		return s, err
	})
	if err != nil {
		return nil, fmt.Errorf("outbox: %w", err)
	}
	m := make(map[string]OutboxStat, len(list))
	for _, s := range list {
		sum := m[s.kind]
		sum.Pending += s.s.Pending
		sum.Parked += s.s.Parked
		if !s.oldest.IsZero() {
			sum.Oldest = now.Sub(s.oldest)
		}
		m[s.kind] = sum
	}
	return m, nil
}

// Parked is a message that was given up.
type Parked struct {
	gateway.Message // without its payload
	Tries           int
	ParkedAt        time.Time
}

const selectParked = `
SELECT id, school, kind, target, aggregate, created_at, tries, parked_at
  FROM outbox
 WHERE kind = $1 AND parked_at IS NOT NULL AND done_at IS NULL
 ORDER BY seq
 LIMIT $2`

// ParkedMessages lists the messages of a kind that were given up, oldest first.
func (db *DB) ParkedMessages(ctx context.Context, kind string, limit int) ([]Parked, error) {
	rows, err := db.read.QueryContext(ctx, selectParked, kind, limit)
	list, err := collect(rows, err, func(r row) (p Parked, err error) {
		err = r.Scan(&p.ID, &p.School, &p.Kind, &p.Target, &p.Aggregate, instant{&p.At}, &p.Tries, instant{&p.ParkedAt})
		return p, err
	})
	if err != nil {
		return nil, fmt.Errorf("parked messages: %w", err)
	}
	return list, nil
}

const (
	retryParked = `
UPDATE outbox
   SET parked_at = NULL, tries = 0, run_at = $2
 WHERE kind = $1 AND parked_at IS NOT NULL AND done_at IS NULL`
	retryOneParked = retryParked + ` AND id = $3`
)

// RetryParked has messages of a kind that were given up tried again, from the
// first try on: the one with the id, or all when it is empty. It says how many.
func (db *DB) RetryParked(ctx context.Context, kind, id string, now time.Time) (n int64, err error) {
	query, args := retryParked, []any{kind, at(now)}
	if id != "" {
		query, args = retryOneParked, append(args, id)
	}
	err = db.Update(ctx, func(g gateway.Tx) error {
		t := g.(*tx)
		n, err = affected(t.sql.ExecContext(t.ctx, query, args...))
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("retry parked messages: %w", err)
	}
	return n, nil
}
