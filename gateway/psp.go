// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"net/url"
	"time"

	"github.com/nodogate/nodogate/gateway/money"
	"github.com/nodogate/nodogate/iuv"
)

// PSPID is the catalogue's id of a payment service provider (PSP).
type PSPID string

// Method is how a payer likes to pay. Stored and sent: never renamed.
type Method string

const (
	MethodCard         Method = "card"
	MethodAccountDebit Method = "account_debit"
	MethodBulletin     Method = "postal_bulletin"
)

// Methods are all methods in the order they are offered.
var Methods = []Method{MethodCard, MethodAccountDebit, MethodBulletin}

// OfferRequest is a payment that offers are wanted for.
type OfferRequest struct {
	Amount money.Cents
	// Notices are what is paid, Amount in sum; none where nobody knows yet.
	Notices []OfferNotice
}

// OfferNotice is what fees may depend on: who gets what for which kind of service.
type OfferNotice struct {
	School    SchoolCode
	Amount    money.Cents
	Transfers []OfferTransfer
}

// OfferTransfer is one part of an OfferNotice.
type OfferTransfer struct {
	School   SchoolCode
	Taxonomy string
	Stamp    bool // a revenue stamp
}

// MethodOffer is a method with the PSPs that take it.
type MethodOffer struct {
	Method Method
	PSPs   []PSPOffer // available first, then by fee, then by name
}

// PSPOffer is one PSP for one amount.
type PSPOffer struct {
	ID        PSPID
	Name      string
	Fee       money.Cents
	Available bool
	// Reason says why it is not available, one of the Unavailable constants.
	Reason     string
	Settlement Settlement
	// Pageless says that a payment may go on without the page's address: the
	// payer confirms it elsewhere, in the bank's own app.
	Pageless bool
	// PrintOnly says that nothing is opened at the PSP: the payer takes a printed
	// bulletin to its counter.
	PrintOnly bool
}

// Settlement says who makes the receipt of a payment with a PSP.
type Settlement string

const (
	// SettledByNode: the national node, by paSendRT; the PSP's word counts for
	// nothing. The zero Settlement.
	SettledByNode Settlement = ""
	// SettledByOutcome: we, from the PSP's signed outcome. The notices are held
	// by tokens of ours meanwhile.
	SettledByOutcome Settlement = "outcome"
	// SettledByPSP: the PSP, which tells the node face by sendPaymentOutcome with
	// the tokens that hold the notices. Whatever else it says is no receipt.
	SettledByPSP Settlement = "psp"
)

// holds says whether notices are held by tokens of ours while they are paid.
func (s Settlement) holds() bool { return s != SettledByNode }

// Why a PSP is offered greyed out.
const (
	UnavailableBreaker = "not_answering"     // its breaker is open
	UnavailableAmount  = "amount_over_limit" // over its maximum
	UnavailableHours   = "closed_now"        // outside its hours
)

// PSPs is what the gateway asks of the connectors.
type PSPs interface {
	// Offers lists methods and PSPs for a payment. Methods that no PSP takes are
	// left out. Outside a transaction it may ask others about fees, for a short
	// time; inside one it says what it said last about the same notices, where it
	// can.
	Offers(ctx context.Context, req OfferRequest) []MethodOffer
	// Start opens a payment. It is called outside any transaction, at most
	// once per order. Errors: ErrPSPUnavailable when nothing was sent (breaker
	// open, connection refused), ErrRefused for the PSP's definite no,
	// ErrOutcomeUnknown for everything after the first byte left.
	Start(ctx context.Context, psp PSPID, order Order) (Started, error)
	// Name is the PSP's name, or the id itself for one no longer listed.
	Name(psp PSPID) string

	// Abilities says what can be asked of a PSP beside Start.
	Abilities(psp PSPID) Abilities
	// Ask asks what became of a payment. It changes nothing at the PSP. Any error
	// means that nothing was learned.
	Ask(ctx context.Context, psp PSPID, p Payment) (PSPEvent, error)
	// Cancel takes back a payment that was not confirmed yet. Nil means that it
	// never will be; ErrRefused that it cannot be taken back.
	Cancel(ctx context.Context, psp PSPID, p Payment) error
	// Refund gives a payment back, whole and with its fee. Nil means that it was,
	// now or before; ErrRefused that the PSP will not. Asking again is safe.
	Refund(ctx context.Context, psp PSPID, p Payment) error
}

// Abilities are what a PSP's connector can do beside opening payments.
type Abilities struct{ Ask, Cancel, Refund bool }

// Payment names a payment at a PSP.
type Payment struct {
	Attempt   string // our id
	Reference string // the PSP's own id; empty when its answer never came
	Method    Method
}

// Order is what a connector needs to open a payment.
type Order struct {
	Attempt string // our id, the PSP's idempotency key where it takes one
	Cart    string // idCart; comes back as paymentNote
	Method  Method
	Notices []OrderNotice
	Fee     money.Cents
	Email   string   // where the PSP may send its own receipt; may be empty
	Return  *url.URL // the page that shows the outcome; it decides nothing
	// Callback is where the PSP's system tells the outcome: the address that
	// the rest of its own path is joined to.
	Callback *url.URL
	Payer    PayerDevice
}

// PayerDevice is what the payer's browser tells of itself. Banks want it to judge
// the risk (PSD2 RTS, article 2); it is passed on and never kept.
type PayerDevice struct {
	IP        string // PSU-IP-Address; empty when the caller does not say
	UserAgent string
}

// OrderNotice is one notice of an order.
type OrderNotice struct {
	School      SchoolCode
	SchoolName  string
	Number      iuv.Number
	Amount      money.Cents
	Description string
	// Token (paymentToken) holds the notice for this payment: what the PSP names
	// in its sendPaymentOutcome. Empty where the node makes the receipt.
	Token string
	// PostalAccount is the school's postal account (ccPost); empty without one.
	PostalAccount string
}

// Started is a payment the payer can now complete.
type Started struct {
	Redirect  string // where to send the payer's browser
	Reference string // the PSP's own id, may be empty
	// Timeout is how long the PSP keeps the page; zero when it does not say.
	Timeout time.Duration
}

// PSPWord is what a PSP says of a payment.
type PSPWord string

const (
	// WordOpen: nothing is decided. As a callback it is a hint to ask.
	WordOpen PSPWord = "open"
	// WordTaken: the money moved, and the receipt is ours to make.
	WordTaken PSPWord = "taken"
	// WordAuthorised: the payer has ordered it; the receipt comes with the PSP's
	// sendPaymentOutcome.
	WordAuthorised PSPWord = "authorised"
	// WordNo: the money did not move and will not.
	WordNo PSPWord = "no"
)

// Callback is what a PSP's system sent to its address under /callbacks/. It
// proves nothing before its connector has verified it.
type Callback struct {
	PSP      PSPID
	Method   string
	Path     string              // below /callbacks/{psp}, with its leading slash
	Header   map[string][]string // canonical names
	Body     []byte
	Received time.Time
}

// PSPEvent is what a PSP says became of an attempt, verified.
type PSPEvent struct {
	PSP     PSPID
	ID      string // unique at the PSP: the same again changes nothing; empty for WordOpen
	Attempt string
	Word    PSPWord
	// Amount is what was taken, fee included; nil where the PSP does not say.
	Amount    *money.Cents
	Reference string    // the PSP's own id of the payment
	At        time.Time // when, by the PSP's clock; zero where it does not say
	Raw       []byte    // the bytes it came in
}
