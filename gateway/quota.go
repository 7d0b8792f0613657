// SPDX-License-Identifier: Apache-2.0

package gateway

import "time"

// Quota is how much a caller may still ask for. It lives here because whoever
// counts and whoever asks know nothing of each other.
type Quota struct {
	Allowed          bool
	Limit, Remaining int           // requests a minute, and how many at once now
	Reset            time.Duration // until all are there again
	RetryAfter       time.Duration // until one more is taken; zero when allowed
}
