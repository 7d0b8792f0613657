// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"errors"
	"fmt"
)

// The vocabulary of failures. Wrap them with what was being done; each edge has
// one table from these to its own language.
var (
	// ErrNotFound: no such thing, or not this caller's.
	ErrNotFound = errors.New("not found")
	// ErrExists: a thing with this key exists with other content.
	ErrExists = errors.New("exists with other content")
	// ErrNumberExists is the ErrExists of a notice number that a caller brought.
	ErrNumberExists = fmt.Errorf("number: %w", ErrExists)
	// ErrConflict: somebody else changed it first; reading again may help.
	ErrConflict = errors.New("changed by somebody else")
	// ErrNoticePaid, ErrNoticeCancelled, ErrNoticeExpired, ErrNoticeDraft: the
	// notice's state forbids what was asked.
	ErrNoticePaid      = errors.New("notice is paid")
	ErrNoticeCancelled = errors.New("notice is cancelled")
	ErrNoticeExpired   = errors.New("notice is expired")
	ErrNoticeDraft     = errors.New("notice is a draft")
	// ErrNoticeHeld: money arrived that does not fit the notice; the school
	// has to decide before it can be paid online.
	ErrNoticeHeld = errors.New("notice waits for the school's decision")
	// ErrPlanPaid: the debt was paid in the other way that its plan offers.
	ErrPlanPaid = errors.New("the other option of the plan is paid")
	// ErrTooBroad: a search that fits too many people.
	ErrTooBroad = errors.New("too many people fit")
	// ErrNotPrintable: what was asked for does not fit the model of a notice.
	ErrNotPrintable = errors.New("cannot be printed")
	// ErrInProgress: a live attempt or token holds the notice.
	ErrInProgress = errors.New("a payment is in progress")
	// ErrFeeChanged: the provider's fee is not the one that was shown any more.
	ErrFeeChanged = errors.New("the fee has changed")
	// ErrPSPUnavailable: the provider cannot be used now; another may.
	ErrPSPUnavailable = errors.New("provider not available")
	// ErrRefused: the provider answered with a definite no.
	ErrRefused = errors.New("refused by the provider")
	// ErrOutcomeUnknown: the provider may or may not have acted. Never treat
	// it as a failure.
	ErrOutcomeUnknown = errors.New("outcome unknown")
	// ErrForged: a callback whose signature is missing, wrong, old or was used.
	ErrForged = errors.New("callback not proved")
	// ErrAmount: a PSP names another amount than the payment's.
	ErrAmount = errors.New("another amount than the payment's")
	// ErrIdentityAway: the provider of an identity cannot be used now; another
	// way in may.
	ErrIdentityAway = errors.New("identity provider not available")
	// ErrIdentityCode: the provider of an identity told no fiscal code of a
	// person.
	ErrIdentityCode = errors.New("identity without a fiscal code")
	// ErrCredentials: wrong user name or password, or locked; never says which.
	ErrCredentials = errors.New("wrong credentials")
	// ErrKeyReused: an idempotency key came back with another request.
	ErrKeyReused = errors.New("idempotency key used for another request")
	// ErrUnknownSchool, ErrUnknownBroker, ErrUnknownStation: the node named one
	// that is not ours.
	ErrUnknownSchool  = errors.New("unknown school")
	ErrUnknownBroker  = errors.New("unknown broker")
	ErrUnknownStation = errors.New("unknown station")
	// ErrTooMany: there are as many as there may be.
	ErrTooMany = errors.New("too many")
	// ErrDeliveryPending: the delivery will be tried anyway.
	ErrDeliveryPending = errors.New("delivery is pending")
)

// Invalid lists what is wrong with a request, field by field. It is the only
// error whose text is made for the person who sent the request; it never
// repeats what they sent.
type Invalid struct{ Fields []FieldError }

// FieldError names one wrong field in the caller's own terms, for example
// "debtor.fiscal_code".
type FieldError struct {
	Field   string
	Code    string // stable: required, length, format, check_letter, range, past, sum, unknown, duplicate, too_many
	Message string // one English sentence saying what to do
}

func (e *Invalid) Error() string {
	if len(e.Fields) == 0 {
		return "invalid request"
	}
	return fmt.Sprintf("%s: %s", e.Fields[0].Field, e.Fields[0].Message)
}

// Add notes one more wrong field.
func (e *Invalid) Add(field, code, message string) {
	e.Fields = append(e.Fields, FieldError{field, code, message})
}

// Err is nil when nothing was added.
func (e *Invalid) Err() error {
	if len(e.Fields) == 0 {
		return nil
	}
	return e
}
