// SPDX-License-Identifier: Apache-2.0

package cache

import (
	"context"
	"fmt"

	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"

	"github.com/nodogate/nodogate/gateway"
)

// Quotas counts what callers ask for, for all processes together.
type Quotas struct {
	limiter *redis_rate.Limiter
	limit   redis_rate.Limit
}

// NewQuotas lets each caller ask perMinute times, all at once if he likes.
func NewQuotas(client redis.UniversalClient, perMinute int) *Quotas {
	return &Quotas{redis_rate.NewLimiter(client), redis_rate.PerMinute(perMinute)}
}

// Take counts one request of a caller, named by an id of ours. An error means
// that Redis is away: whoever asks decides what then.
func (q *Quotas) Take(ctx context.Context, caller string) (gateway.Quota, error) {
	r, err := q.limiter.Allow(ctx, "nodogate:api:"+caller, q.limit)
	if err != nil {
		return gateway.Quota{}, fmt.Errorf("quota: %w", err)
	}
	return gateway.Quota{Allowed: r.Allowed > 0, Limit: q.limit.Rate, Remaining: r.Remaining, Reset: r.ResetAfter, RetryAfter: max(0, r.RetryAfter)}, nil
}
