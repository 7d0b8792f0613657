// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"slices"
	"time"

	"github.com/nodogate/nodogate/gateway/money"
)

// Attempt is one try to pay a cart with one PSP. While it is live no other
// online payment of its notices can start.
type Attempt struct {
	ID        string // 32 hexadecimal digits, the form PSPs ask for
	Cart      string
	State     AttemptState
	Method    Method
	PSP       PSPID
	Fee       money.Cents
	Reference string // the PSP's own id
	Redirect  string // the PSP's page; empty until handed over
	CreatedAt time.Time
	ChangedAt time.Time
	// LapsesAt is when a page that nobody answered for is given up, and its
	// notices are payable again.
	LapsesAt time.Time
	// PollAt is when the PSP is to be asked what became of it, and Polls how
	// often it was; zero where it cannot be asked, or need not any more.
	PollAt  time.Time
	Polls   int
	Version int64

	pageless bool // not stored: see PSPOffer.Pageless
}

// AttemptState is a state of reliability.md, section 4. Stored and sent: never
// renamed.
type AttemptState string

const (
	AttemptCreated    AttemptState = "created"
	AttemptSent       AttemptState = "sent"
	AttemptUnknown    AttemptState = "unknown"
	AttemptAuthorised AttemptState = "authorised"
	AttemptSettled    AttemptState = "settled"
	AttemptFailed     AttemptState = "failed"
	AttemptAbandoned  AttemptState = "abandoned"
	AttemptExpired    AttemptState = "expired"
)

var attemptMoves = map[AttemptState][]AttemptState{
	AttemptCreated: {AttemptSent, AttemptAbandoned},
	// Sent to abandoned: the PSP's page exists, perhaps, but its address was
	// never handed to the payer, so no money can move on it.
	AttemptSent:       {AttemptUnknown, AttemptAuthorised, AttemptFailed, AttemptExpired, AttemptAbandoned},
	AttemptUnknown:    {AttemptAuthorised, AttemptFailed, AttemptExpired},
	AttemptAuthorised: {AttemptSettled, AttemptFailed},
}

// Live says whether an attempt in this state keeps others from the notice.
func (s AttemptState) Live() bool {
	switch s {
	case AttemptCreated, AttemptSent, AttemptUnknown, AttemptAuthorised:
		return true
	}
	return false
}

func (a *Attempt) move(to AttemptState, now time.Time) {
	if !slices.Contains(attemptMoves[a.State], to) {
		panic("gateway: no arrow from attempt state " + string(a.State) + " to " + string(to))
	}
	a.State, a.ChangedAt = to, now
	a.Version++
	if to != AttemptSent && to != AttemptUnknown {
		a.PollAt = time.Time{} // decided, as far as asking goes
	}
}
