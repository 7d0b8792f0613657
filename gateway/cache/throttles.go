// SPDX-License-Identifier: Apache-2.0

package cache

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"

	"github.com/nodogate/nodogate/gateway"
)

// Throttles counts what comes from an address, for all processes together.
type Throttles struct {
	limiter *redis_rate.Limiter
	key     []byte
}

// throttleWait is how long a page waits for Redis before it counts for itself.
const throttleWait = time.Second

// NewThrottles names addresses in Redis by a hash with the key, which all
// processes have: they tell who was here.
func NewThrottles(client redis.UniversalClient, key []byte) *Throttles {
	return &Throttles{redis_rate.NewLimiter(client), key}
}

// Take counts one request for what by who: as many as burst at once, and one
// more each time every has passed. An error means that Redis is away: whoever
// asks decides what then.
func (t *Throttles) Take(ctx context.Context, what, who string, every time.Duration, burst int) (gateway.Quota, error) {
	ctx, cancel := context.WithTimeout(ctx, throttleWait)
	defer cancel()
	mac := hmac.New(sha256.New, t.key)
	_, _ = fmt.Fprintf(mac, "throttle %s %s", what, who) // a hash takes all
	name := "nodogate:throttle:" + what + ":" + hex.EncodeToString(mac.Sum(nil)[:16])
	r, err := t.limiter.Allow(ctx, name, redis_rate.Limit{Rate: 1, Period: every, Burst: burst})
	if err != nil {
		return gateway.Quota{}, fmt.Errorf("throttle: %w", err)
	}
	return gateway.Quota{Allowed: r.Allowed > 0, Limit: burst, Remaining: r.Remaining, Reset: r.ResetAfter, RetryAfter: max(0, r.RetryAfter)}, nil
}
