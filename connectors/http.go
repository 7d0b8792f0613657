// SPDX-License-Identifier: Apache-2.0

package connectors

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nodogate/nodogate/gateway"
)

// maxAnswer is how long an answer of a PSP may be, headers and body each.
const maxAnswer = 64 << 10

// ErrPrivateAddress says that a name leads to an address that is not on the
// public Internet.
var ErrPrivateAddress = errors.New("not a public address")

// newClient makes the only way out to a PSP (reliability.md, sections 2 and 9).
// It takes no proxy from the environment: behind one the check of the address
// would be of the proxy's. It speaks HTTP/1.1, where a call has its connection
// to itself: one that hangs does not take others with it.
func newClient(connect time.Duration, inFlight int, allowPrivate bool, conf *tls.Config) *http.Client {
	dialer := &net.Dialer{Timeout: connect}
	if !allowPrivate {
		// After DNS: a name that is public when it is checked can be private
		// when it is dialled.
		dialer.Control = func(_, address string, _ syscall.RawConn) error {
			to, err := netip.ParseAddrPort(address)
			if err != nil || !public(to.Addr()) {
				return ErrPrivateAddress
			}
			return nil
		}
	}
	return &http.Client{
		Transport: transport{&http.Transport{
			DialContext:            dialer.DialContext,
			TLSHandshakeTimeout:    connect,
			TLSClientConfig:        conf,
			IdleConnTimeout:        90 * time.Second,
			MaxIdleConnsPerHost:    inFlight,
			MaxResponseHeaderBytes: maxAnswer,
		}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// notPublic are the ranges of the IANA special-purpose registries (RFC 6890)
// that netip has no method for. The last three are IPv6 addresses with an IPv4
// address inside, which could be a private one.
var notPublic = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("2001:db8::/32"),
	netip.MustParsePrefix("fec0::/10"),
	netip.MustParsePrefix("64:ff9b::/96"),
	netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("2002::/16"),
}

func public(a netip.Addr) bool {
	a = a.Unmap()
	if !a.IsGlobalUnicast() || a.IsPrivate() {
		return false // loopback, link-local and multicast are not global unicast
	}
	for _, p := range notPublic {
		if p.Contains(a) {
			return false
		}
	}
	return true
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
		resp.Body = &answer{ReadCloser: resp.Body, left: maxAnswer}
		return resp, nil
	case connected.Load():
		return nil, fmt.Errorf("%w: %w", gateway.ErrOutcomeUnknown, err)
	}
	// No connection was ever there to write to.
	return nil, fmt.Errorf("%w: %w", gateway.ErrPSPUnavailable, err)
}

var errTooLong = errors.New("answer too long")

// answer is a response body that ends with an error when it is longer than
// left, or cut.
type answer struct {
	io.ReadCloser
	left int64
}

func (a *answer) Read(p []byte) (int, error) {
	if int64(len(p)) > a.left+1 {
		p = p[:a.left+1] // one more shows that there is more
	}
	n, err := a.ReadCloser.Read(p)
	if int64(n) > a.left {
		return int(a.left), fmt.Errorf("%w: %w", gateway.ErrOutcomeUnknown, errTooLong)
	}
	a.left -= int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("%w: %w", gateway.ErrOutcomeUnknown, err)
	}
	return n, err
}
