// SPDX-License-Identifier: Apache-2.0

package cache

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/nodogate/nodogate/gateway"
)

// Hints tells other processes until when breakers are open, and knows theirs: a
// connectors.Hints. Both are of Run's making; Open and OpenUntil wait for nobody,
// and a Redis that is away only keeps the processes apart.
//
// In Redis there is one sorted set for all, so that a cluster keeps it in one
// place: members are "PSP operation", and the score is the instant in
// milliseconds.
type Hints struct {
	client redis.UniversalClient
	key    string
	now    func() time.Time
	log    *slog.Logger
	tell   chan hint

	mu    sync.RWMutex
	until map[string]time.Time // guarded by mu; what the others say
}

type hint struct {
	member string
	until  time.Time
}

const (
	hintsKey     = "nodogate:breakers"
	readHints    = time.Second
	hintPatience = time.Second // with Redis, for each thing
	keepHints    = 10 * time.Minute
	maxHints     = 1000
)

// NewHints makes hints in client; nothing runs before Run.
func NewHints(client redis.UniversalClient, now func() time.Time, log *slog.Logger) *Hints {
	return &Hints{client: client, key: hintsKey, now: now, log: log, tell: make(chan hint, 64), until: map[string]time.Time{}}
}

func member(psp gateway.PSPID, operation string) string { return string(psp) + " " + operation }

// Open tells the others that a breaker is open. When more open at once than can
// be told, the rest is not: it is a hint.
func (h *Hints) Open(psp gateway.PSPID, operation string, until time.Time) {
	select {
	case h.tell <- hint{member(psp, operation), until}:
	default:
	}
}

// OpenUntil is until when a breaker of any process is open; zero: nobody says.
func (h *Hints) OpenUntil(psp gateway.PSPID, operation string) time.Time {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.until[member(psp, operation)]
}

// Run tells and reads until ctx ends.
func (h *Hints) Run(ctx context.Context) {
	tick := time.NewTicker(readHints)
	defer tick.Stop()
	var away bool
	for {
		err := h.read(ctx)
		if was := away; ctx.Err() == nil {
			if away = err != nil; away && !was {
				h.log.Warn("breaker hints: Redis is away", "err", err)
			} else if !away && was {
				h.log.Info("breaker hints: Redis is back")
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case one := <-h.tell:
			if err := h.write(ctx, one); err != nil && ctx.Err() == nil {
				h.log.Warn("breaker hint not told", "err", err)
			}
		}
	}
}

func (h *Hints) write(ctx context.Context, one hint) error {
	ctx, cancel := context.WithTimeout(ctx, hintPatience)
	defer cancel()
	_, err := h.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		p.ZAdd(ctx, h.key, redis.Z{Score: float64(one.until.UnixMilli()), Member: one.member})
		p.ZRemRangeByScore(ctx, h.key, "-inf", strconv.FormatInt(h.now().UnixMilli(), 10))
		p.Expire(ctx, h.key, keepHints)
		return nil
	})
	return err
}

// read takes over what is said now. When it cannot be read, what was said stays,
// and ends by its own time.
func (h *Hints) read(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, hintPatience)
	defer cancel()
	list, err := h.client.ZRangeByScoreWithScores(ctx, h.key, &redis.ZRangeBy{
		Min: "(" + strconv.FormatInt(h.now().UnixMilli(), 10), Max: "+inf", Count: maxHints,
	}).Result()
	if err != nil {
		return err
	}
	until := make(map[string]time.Time, len(list))
	for _, z := range list {
		if m, ok := z.Member.(string); ok && strings.Count(m, " ") == 1 {
			until[m] = time.UnixMilli(int64(z.Score)).UTC()
		}
	}
	h.mu.Lock()
	h.until = until
	h.mu.Unlock()
	return nil
}
