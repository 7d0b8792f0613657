// SPDX-License-Identifier: Apache-2.0

// Package egress is the way out to addresses that others name: PSPs, webhooks,
// pagoPA's services. It knows one thing, which addresses are on the public
// Internet, and keeps to it where a connection is made. What a failed call means
// is its caller's business.
//
// What a caller gets wrong: a name that is public when it is checked can be
// private when it is dialled. Only the dialler's check counts.
package egress

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"
)

// MaxAnswer is how long an answer may be, headers and body each.
const MaxAnswer = 64 << 10

var (
	// ErrPrivateAddress says that a name leads to an address that is not on the
	// public Internet.
	ErrPrivateAddress = errors.New("not a public address")
	// ErrTooLong says that an answer is longer than it may be.
	ErrTooLong = errors.New("answer too long")
	// ErrScheme says that an address is not https where it must be.
	ErrScheme = errors.New("not an https address")
)

// Transport dials public addresses only, unless allowPrivate. It takes no proxy
// from the environment: behind one the check of the address would be of the
// proxy's. It speaks HTTP/1.1, where a call has its connection to itself: one
// that hangs does not take others with it.
func Transport(connect time.Duration, idlePerHost int, allowPrivate bool) *http.Transport {
	dialer := &net.Dialer{Timeout: connect}
	if !allowPrivate {
		// After DNS.
		dialer.Control = func(_, address string, _ syscall.RawConn) error {
			to, err := netip.ParseAddrPort(address)
			if err != nil || !Public(to.Addr()) {
				return ErrPrivateAddress
			}
			return nil
		}
	}
	return &http.Transport{
		DialContext:            dialer.DialContext,
		TLSHandshakeTimeout:    connect,
		IdleConnTimeout:        90 * time.Second,
		MaxIdleConnsPerHost:    idlePerHost,
		MaxResponseHeaderBytes: MaxAnswer,
	}
}

// NoRedirects is for http.Client.CheckRedirect: what redirects is answered as it
// is.
func NoRedirects(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// Limits of a call that Client makes.
const (
	connectTime = 2 * time.Second
	callTime    = 10 * time.Second
)

// Client calls https addresses that are public, or any with allowPrivate: no
// redirects, 10 seconds, 64 kB of answer.
func Client(idlePerHost int, allowPrivate bool) *http.Client {
	return &http.Client{
		Transport:     bounded{Transport(connectTime, idlePerHost, allowPrivate), allowPrivate},
		CheckRedirect: NoRedirects,
		Timeout:       callTime,
	}
}

type bounded struct {
	base         http.RoundTripper
	allowPrivate bool
}

func (b bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != "https" && !b.allowPrivate {
		return nil, ErrScheme
	}
	resp, err := b.base.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	resp.Body = Limit(resp.Body, MaxAnswer)
	return resp, nil
}

// Limit is a body that ends with ErrTooLong when it is longer than left.
func Limit(body io.ReadCloser, left int64) io.ReadCloser { return &limited{body, left} }

type limited struct {
	io.ReadCloser
	left int64
}

func (l *limited) Read(p []byte) (int, error) {
	if int64(len(p)) > l.left+1 {
		p = p[:l.left+1] // one more shows that there is more
	}
	n, err := l.ReadCloser.Read(p)
	if int64(n) > l.left {
		return int(l.left), ErrTooLong
	}
	l.left -= int64(n)
	return n, err
}

// Reason is why a call failed, in words that hold nothing of its address: what
// net/http says may name it, and with it what a secret address gives away.
func Reason(err error) string {
	var dns *net.DNSError
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(err, ErrPrivateAddress):
		return "the name leads to a private address"
	case errors.Is(err, ErrScheme):
		return "the address is not https"
	case errors.Is(err, ErrTooLong):
		return "the answer is longer than 64 kB"
	case errors.As(err, &dns):
		return "the name was not found"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "no answer in time"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "connection cut"
	}
	return "no connection, or none that TLS accepts"
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

// Public says whether an address is on the public Internet.
func Public(a netip.Addr) bool {
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
