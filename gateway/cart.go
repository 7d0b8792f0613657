// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"cmp"
	"slices"
	"time"

	"github.com/nodogate/nodogate/gateway/money"
	"github.com/nodogate/nodogate/iuv"
)

// MaxCartNotices is how many notices one cart holds (Checkout maxItems,
// sendPaymentOutcomeV2 paymentTokens: both 5).
const MaxCartNotices = 5

// Cart (carrello) is a set of 1 to 5 notices that one payer pays in one go.
type Cart struct {
	ID     string // unguessable; goes to Checkout as idCart
	State  CartState
	Method Method
	PSP    PSPID
	// Account is the family account that opened it; empty for a guest or an
	// API client.
	Account string
	// School is set when an API client bound to a school opened it.
	School SchoolCode
	// RequestKey is the idempotency scope and key of the request that made it.
	RequestKey string
	Email      string
	ReturnURL  string
	Notices    []CartNotice
	Fee        money.Cents
	Redirect   string // the PSP's page, once handed over
	CreatedAt  time.Time
	ChangedAt  time.Time
	Version    int64
}

// CartNotice is one notice in a cart, with the amount it had then.
type CartNotice struct {
	School  SchoolCode
	Number  iuv.Number
	Amount  money.Cents
	Settled bool // a receipt of this cart's payment is here
}

func (n CartNotice) ref() NoticeRef { return NoticeRef{n.School, n.Number} }

// NoticeRef names a notice.
type NoticeRef struct {
	School SchoolCode
	Number iuv.Number
}

// compare is the one order in which all who lock several notices lock them, so
// that no two can wait for each other.
func (r NoticeRef) compare(o NoticeRef) int {
	return cmp.Or(cmp.Compare(r.School, o.School), cmp.Compare(r.Number.String(), o.Number.String()))
}

// CartState is a state of reliability.md, section 4. Stored and sent: never
// renamed.
type CartState string

const (
	CartOpen          CartState = "open"
	CartRedirected    CartState = "redirected"
	CartClosedOK      CartState = "closed_ok"
	CartClosedPartial CartState = "closed_partial"
	CartClosedKO      CartState = "closed_ko"
	CartClosedExpired CartState = "closed_expired"
)

var cartMoves = map[CartState][]CartState{
	// A receipt can be quicker than the PSP's answer with the page's address.
	CartOpen:       {CartRedirected, CartClosedOK, CartClosedPartial, CartClosedExpired},
	CartRedirected: {CartClosedOK, CartClosedPartial, CartClosedKO, CartClosedExpired},
	// The closed states are final: what a later receipt says stands in the
	// notices.
}

func (c *Cart) move(to CartState, now time.Time) {
	if !slices.Contains(cartMoves[c.State], to) {
		panic("gateway: no arrow from cart state " + string(c.State) + " to " + string(to))
	}
	c.State, c.ChangedAt = to, now
	c.Version++
}

// Amount is the sum of the notices, without the fee. It cannot overflow: the
// sum was checked when the cart was made.
func (c *Cart) Amount() money.Cents {
	var sum money.Cents
	for _, n := range c.Notices {
		sum += n.Amount
	}
	return sum
}

// settled counts the notices a receipt of this cart has arrived for.
func (c *Cart) settled() int {
	n := 0
	for i := range c.Notices {
		if c.Notices[i].Settled {
			n++
		}
	}
	return n
}

// close moves the cart to the end that its notices tell, when the attempt can
// bring no more.
func (c *Cart) close(nothing CartState, now time.Time) {
	to := nothing
	switch settled := c.settled(); {
	case settled == len(c.Notices):
		to = CartClosedOK
	case settled > 0:
		to = CartClosedPartial
	}
	c.move(to, now)
}
