// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
)

// peerAuth lets in who may call the SOAP faces and the callbacks: whoever shows
// the subscription key, or a certificate of the pinned CA with an allowed
// subject, either to our own listener or to a trusted proxy that hands it on.
type peerAuth struct {
	mode     string // mtls, key or none
	key      [sha256.Size]byte
	roots    *x509.CertPool
	subjects []string
	header   string // set by the proxy that ended TLS
	proxies  []netip.Prefix
}

func (cfg config) newPeerAuth() (*peerAuth, error) {
	p := &peerAuth{mode: cfg.PeerAuth, key: sha256.Sum256([]byte(cfg.PeerKey)), subjects: cfg.PeerSubjects, header: cfg.PeerCertHeader}
	if cfg.PeerAuth != "mtls" {
		return p, nil
	}
	text, err := os.ReadFile(cfg.PeerCA)
	if err != nil {
		return nil, fmt.Errorf("NODOGATE_PEER_CA: %w", err)
	}
	p.roots = x509.NewCertPool()
	if !p.roots.AppendCertsFromPEM(text) {
		return nil, errors.New("NODOGATE_PEER_CA holds no certificate")
	}
	p.proxies, err = parseProxies(cfg.TrustedProxies)
	return p, err
}

// parseProxies reads addresses and networks.
func parseProxies(list []string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, s := range list {
		prefix, err := netip.ParsePrefix(s)
		if err != nil {
			addr, err := netip.ParseAddr(s)
			if err != nil {
				return nil, fmt.Errorf("NODOGATE_TRUSTED_PROXIES: %q is no address and no network", s)
			}
			prefix = netip.PrefixFrom(addr, addr.BitLen())
		}
		out = append(out, prefix)
	}
	return out, nil
}

// wrap guards h. What is not let in gets 401 with nothing else: not a hint.
func (p *peerAuth) wrap(h http.Handler) http.Handler {
	if p.mode == "none" {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !p.allows(r) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		h.ServeHTTP(w, r)
	})
}

func (p *peerAuth) allows(r *http.Request) bool {
	if p.mode == "key" {
		got := sha256.Sum256([]byte(r.Header.Get("Ocp-Apim-Subscription-Key")))
		return subtle.ConstantTimeCompare(got[:], p.key[:]) == 1
	}
	if p.header != "" {
		return p.fromProxy(r) && p.allowsHeader(r.Header.Values(p.header))
	}
	// Our listener has verified the chain during the handshake.
	return r.TLS != nil && len(r.TLS.VerifiedChains) > 0 && p.allowsSubject(r.TLS.PeerCertificates[0])
}

func (p *peerAuth) fromProxy(r *http.Request) bool {
	addr, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && slices.ContainsFunc(p.proxies, func(n netip.Prefix) bool { return n.Contains(addr.Addr().Unmap()) })
}

// allowsHeader checks the certificate that the proxy took: PEM, percent-encoded
// as nginx's $ssl_client_escaped_cert. That its key was there is the proxy's
// word; that it is of our CA is checked again.
func (p *peerAuth) allowsHeader(values []string) bool {
	if len(values) != 1 {
		return false
	}
	text, err := url.PathUnescape(values[0])
	if err != nil {
		return false
	}
	block, _ := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE" {
		return false
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return false
	}
	_, err = cert.Verify(x509.VerifyOptions{Roots: p.roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	return err == nil && p.allowsSubject(cert)
}

// allowsSubject compares the common name and the DNS names; with no list, every
// certificate of the CA may call.
func (p *peerAuth) allowsSubject(cert *x509.Certificate) bool {
	if len(p.subjects) == 0 {
		return true
	}
	names := append([]string{cert.Subject.CommonName}, cert.DNSNames...)
	return slices.ContainsFunc(names, func(n string) bool {
		return slices.ContainsFunc(p.subjects, func(s string) bool { return strings.EqualFold(s, n) })
	})
}

// tls is the configuration of the public listener, or of the peers' own, which
// asks for certificates where it is they who show them. Nil without a
// certificate of ours.
func (cfg config) tls(peers *peerAuth) (*tls.Config, error) {
	if cfg.TLSCert == "" {
		return nil, nil
	}
	cert, err := tls.LoadX509KeyPair(cfg.TLSCert, cfg.TLSKey)
	if err != nil {
		return nil, fmt.Errorf("NODOGATE_TLS_CERT: %w", err)
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}}
	if peers != nil && peers.mode == "mtls" && peers.header == "" {
		conf.ClientCAs, conf.ClientAuth = peers.roots, tls.RequireAndVerifyClientCert
	}
	return conf, nil
}
