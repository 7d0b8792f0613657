// SPDX-License-Identifier: Apache-2.0

package connectors

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/egress"
)

// maxAnswer is how long an answer of a PSP may be, headers and body each.
const maxAnswer = egress.MaxAnswer

// ErrPrivateAddress says that a name leads to an address that is not on the
// public Internet.
var ErrPrivateAddress = egress.ErrPrivateAddress

// newClient makes the only way out to a PSP (reliability.md, sections 2 and 9).
func newClient(connect time.Duration, inFlight int, allowPrivate bool, conf *tls.Config) *http.Client {
	base := egress.Transport(connect, inFlight, allowPrivate)
	base.TLSClientConfig = conf
	return &http.Client{
		Transport:     transport{base},
		CheckRedirect: egress.NoRedirects,
	}
}

// NewClient is the same way out for a service beside the PSPs.
func NewClient(connect time.Duration, inFlight int, allowPrivate bool) *http.Client {
	return newClient(connect, inFlight, allowPrivate, nil)
}

// transport says of every failure whether the request can have reached the PSP,
// and bounds the answer.
type transport struct{ base http.RoundTripper }

func (t transport) RoundTrip(req *http.Request) (*http.Response, error) {
	var connected atomic.Bool
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }}
	resp, err := t.base.RoundTrip(req.WithContext(httptrace.WithClientTrace(req.Context(), trace)))
	switch {
	case err == nil:
		resp.Body = answer{egress.Limit(resp.Body, maxAnswer)}
		return resp, nil
	case connected.Load():
		return nil, fmt.Errorf("%w: %w", gateway.ErrOutcomeUnknown, err)
	}
	// No connection was ever there to write to.
	return nil, fmt.Errorf("%w: %w", gateway.ErrPSPUnavailable, err)
}

// answer is a response body that ends with an error when it is longer than it
// may be, or cut.
type answer struct{ io.ReadCloser }

func (a answer) Read(p []byte) (int, error) {
	n, err := a.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("%w: %w", gateway.ErrOutcomeUnknown, err)
	}
	return n, err
}
