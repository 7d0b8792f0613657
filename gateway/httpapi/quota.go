// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"context"
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"golang.org/x/time/rate"

	"github.com/nodogate/nodogate/gateway"
)

// Quotas counts what clients ask for. An error means that it cannot tell now:
// then each process counts for itself, since an API that stands still for want
// of a counter serves nobody.
type Quotas interface {
	Take(ctx context.Context, client string) (gateway.Quota, error)
}

// within counts the request, tells what is left, and refuses what is too much.
func (h *handlers) within(c *gin.Context, k *call) error {
	var q gateway.Quota
	var err error
	if h.shared != nil {
		if q, err = h.shared.Take(c.Request.Context(), k.caller.ID); err != nil {
			h.log.Warn("shared quota", "request_id", k.id, "error", err)
		}
	}
	if h.shared == nil || err != nil {
		q = h.quotas.take(k.caller.ID, h.svc.Now())
	}
	head := c.Writer.Header()
	head.Set("RateLimit-Limit", strconv.Itoa(q.Limit))
	head.Set("RateLimit-Remaining", strconv.Itoa(q.Remaining))
	head.Set("RateLimit-Reset", seconds(q.Reset))
	if !q.Allowed {
		head.Set("Retry-After", seconds(q.RetryAfter))
		return problemRate
	}
	return nil
}

// seconds rounds up: who waits so long is not refused again.
func seconds(d time.Duration) string { return strconv.Itoa(int(math.Ceil(d.Seconds()))) }

// localQuotas counts in this process. Only clients that proved themselves are
// counted, so there are no more keys than clients.
type localQuotas struct {
	perMinute int
	mu        sync.Mutex
	known     map[string]*rate.Limiter // guarded by mu
}

func newLocalQuotas(perMinute int) *localQuotas {
	return &localQuotas{perMinute: perMinute, known: map[string]*rate.Limiter{}}
}

func (q *localQuotas) take(client string, now time.Time) gateway.Quota {
	q.mu.Lock()
	l := q.known[client]
	if l == nil {
		l = rate.NewLimiter(rate.Limit(float64(q.perMinute)/60), q.perMinute)
		q.known[client] = l
	}
	q.mu.Unlock()
	out := gateway.Quota{Allowed: l.AllowN(now, 1), Limit: q.perMinute}
	left := l.TokensAt(now)
	each := time.Minute / time.Duration(q.perMinute)
	out.Remaining = max(0, int(left))
	out.Reset = time.Duration((float64(q.perMinute) - left) * float64(each))
	if !out.Allowed {
		out.RetryAfter = time.Duration((1 - left) * float64(each))
	}
	return out
}
