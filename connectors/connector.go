// SPDX-License-Identifier: Apache-2.0

// Package connectors reaches the PSPs (prestatori di servizi di pagamento): the
// catalogue says which there are and what they cost, a Connector speaks the
// language of one kind of them, and Set chooses, limits, guards and measures.
//
// The wire of each kind is its own package below this one. What becomes of a
// payment after it was started is not decided here: receipts decide it.
//
// What a caller gets wrong: an error of Start is not a failed payment. Only
// gateway.ErrRefused is a no; after gateway.ErrOutcomeUnknown the PSP may have
// acted.
package connectors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/nodogate/nodogate/gateway"
)

// Connector opens payments at one PSP. It is called by many goroutines at once.
type Connector interface {
	// Start opens a payment and says where to send the payer's browser. It
	// sends the order at most once: a repetition is a second payment unless the
	// PSP promises otherwise.
	//
	// Errors, all wrapped with what was being done and never with what was
	// sent:
	//   - gateway.ErrRefused: the PSP said no to this order, in its own words.
	//   - gateway.ErrPSPUnavailable: the PSP certainly did not act, for no
	//     fault of the order: no connection, or its gate turned our
	//     credentials away.
	//   - anything else is gateway.ErrOutcomeUnknown, wrapped or not: time out,
	//     cut or unreadable answer, a status that promises nothing.
	//
	// DriverConfig.HTTP already tells the last two apart. What an implementer
	// gets wrong: to take a 5xx or a time out for a no.
	Start(ctx context.Context, order gateway.Order) (gateway.Started, error)
}

// Listener is a Connector whose PSP calls back. It is found by type assertion.
type Listener interface {
	// Callback proves and reads a callback, and calls nobody. Its errors are
	// gateway.ErrForged for one that is not proved, a *gateway.Invalid for one
	// that is proved but says nothing sensible, gateway.ErrNotFound for a path
	// that is no callback of this PSP. Reading the same twice gives the same
	// event, with the same id.
	Callback(c gateway.Callback) (gateway.PSPEvent, error)
	// Answer is what the PSP's system is told: err is nil when the event was
	// taken, or taken before.
	Answer(e gateway.PSPEvent, err error) Answer
}

// Poller is a Connector whose PSP can be asked what became of a payment.
type Poller interface {
	// Ask asks, and changes nothing at the PSP; p has the PSP's own reference. The
	// event that tells a decision has an id that is the same each time. Whatever
	// is no clear word on this payment is an error, as Start's, or WordOpen: a
	// payment is never taken for lost because the PSP could not say.
	Ask(ctx context.Context, p gateway.Payment) (gateway.PSPEvent, error)
}

// Canceller is a Connector whose PSP takes back a payment that the payer has not
// confirmed yet.
type Canceller interface {
	// Cancel is nil only when the PSP says that the payment never will be made;
	// gateway.ErrRefused when it cannot be taken back any more. Other errors as
	// Start's.
	Cancel(ctx context.Context, p gateway.Payment) error
}

// Refunder is a Connector whose PSP gives a payment back.
type Refunder interface {
	// Refund gives it back, whole and with its fee; nil also when it was given
	// back before, so that it may be asked again. gateway.ErrRefused is the PSP's
	// no; other errors as Start's.
	Refund(ctx context.Context, p gateway.Payment) error
}

// Pageless is a Connector whose payments may go on without their page: the payer
// confirms them elsewhere.
type Pageless interface {
	Pageless() bool
}

// PrintOnly is a Connector whose PSP is paid at its counter alone, with a printed
// bulletin: Start is never called.
type PrintOnly interface {
	PrintOnly() bool
}

// Answer is the answer to a callback.
type Answer struct {
	Status      int
	ContentType string
	Body        []byte
}

// Driver makes connectors of one kind.
type Driver struct {
	Name string // as psps.yaml calls it
	// Settlement says who makes the receipts of this kind.
	Settlement gateway.Settlement
	// New checks what this kind needs of the catalogue and calls nobody. Its
	// error is for the operator who wrote the catalogue.
	New func(DriverConfig) (Connector, error)
	// NoEndpoint says whether an entry with these options calls nobody, and may
	// leave its endpoint out; nil: none may.
	NoEndpoint func(options map[string]string) bool
}

// DriverConfig is one PSP, as its connector needs it.
type DriverConfig struct {
	ID       gateway.PSPID
	Name     string
	Endpoint *url.URL // without query; nil where the catalogue may leave it out, and does
	Secret   string   // empty when the catalogue names none
	// Options are what the catalogue says for this kind alone. New refuses those
	// that it does not know.
	Options map[string]string
	// PageHosts are the hosts, beside the endpoint's own, that the PSP's pages
	// are on.
	PageHosts []string
	// HTTP is the way out: bounded in time and size, to public addresses only,
	// following no redirect. Its errors, and those of reading an answer, are
	// classified already. Use no other client.
	HTTP *http.Client
	Log  *slog.Logger
	// Now is the time by which signatures are too old.
	Now func() time.Time
}

// CheckOptions is an error for an option that is not among those known, or that
// is required and missing.
func (c DriverConfig) CheckOptions(required, optional []string) error {
	var bad []error
	for name := range c.Options {
		if !slices.Contains(required, name) && !slices.Contains(optional, name) {
			bad = append(bad, fmt.Errorf("options.%s: there is none of this name", name))
		}
	}
	for _, name := range required {
		if c.Options[name] == "" {
			bad = append(bad, fmt.Errorf("options.%s: give it", name))
		}
	}
	slices.SortFunc(bad, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(bad...)
}

// ErrForeignPage says that a PSP named a page which is not where the catalogue
// says its pages are. It comes with gateway.ErrOutcomeUnknown: the PSP has made
// a payment, and we send nobody there.
var ErrForeignPage = errors.New("page on a foreign host")

// Page checks that a payer may be sent to this address of the PSP: absolute, on
// the endpoint's host or one of PageHosts, over https (or as the endpoint).
func (c DriverConfig) Page(address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil {
		return "", fmt.Errorf("%w: no absolute address: %w", gateway.ErrOutcomeUnknown, ErrForeignPage)
	}
	if u.Scheme != "https" && u.Scheme != c.Endpoint.Scheme {
		return "", fmt.Errorf("%w: not https: %w", gateway.ErrOutcomeUnknown, ErrForeignPage)
	}
	host := strings.ToLower(u.Host)
	if host != strings.ToLower(c.Endpoint.Host) && !slices.Contains(c.PageHosts, host) {
		return "", fmt.Errorf("%w: %w", gateway.ErrOutcomeUnknown, ErrForeignPage)
	}
	return u.String(), nil
}
