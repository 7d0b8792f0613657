// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nodogate/nodogate/gateway/pafornode"
	"github.com/nodogate/nodogate/gateway/pagopa"
)

// authority is a certificate authority made for one test.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t}
	a.cert, a.key, a.pem = a.sign(&x509.Certificate{Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

// sign makes a certificate: its own when the authority has none yet.
func (a *authority) sign(c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey, []byte) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c.SerialNumber = big.NewInt(time.Now().UnixNano())
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := c, key
	if a.cert != nil {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// client is a certificate that a peer shows.
func (a *authority) client(name string) (tls.Certificate, []byte) {
	a.t.Helper()
	cert, key, text := a.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, KeyUsage: x509.KeyUsageDigitalSignature,
	})
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}, text
}

// server writes a certificate for 127.0.0.1 and its key into dir.
func (a *authority) server(dir string) (certFile, keyFile string) {
	a.t.Helper()
	_, key, text := a.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: "gateway"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, KeyUsage: x509.KeyUsageDigitalSignature,
	})
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, b := range map[string][]byte{certFile: text, keyFile: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})} {
		if err := os.WriteFile(file, b, 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	return certFile, keyFile
}

var unknownNotice = pagopa.VerifyRequest{
	Target: pagopa.Target{PA: "80014480828", Broker: "80014480828", Station: "80014480828_01"},
	QRCode: pagopa.QRCode{CreditorCode: "80014480828", NoticeNumber: "301202600000004244"},
}

// Peers come to a listener of their own with a certificate of the pinned CA and
// an allowed subject; the public listener asks nobody for one and has no faces.
func TestPeersByCertificate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ours, peers, strangers := newAuthority(t), newAuthority(t), newAuthority(t)
	certFile, keyFile := ours.server(dir)
	caFile := filepath.Join(dir, "peers.pem")
	if err := os.WriteFile(caFile, peers.pem, 0o600); err != nil {
		t.Fatal(err)
	}
	mustExecute(t, dir, nil, append([]string{"school", "add"}, schoolFlags...)...)
	g := serve(t, dir, "NODOGATE_PEER_AUTH=mtls", "NODOGATE_PEER_LISTEN=127.0.0.1:0", "NODOGATE_PEER_CA="+caFile,
		"NODOGATE_PEER_SUBJECTS=forwarder.example,other.example", "NODOGATE_TLS_CERT="+certFile, "NODOGATE_TLS_KEY="+keyFile)
	trust := x509.NewCertPool()
	trust.AddCert(ours.cert)
	ask := func(base string, certs ...tls.Certificate) (pagopa.VerifyResponse, error) {
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trust, Certificates: certs}}
		defer transport.CloseIdleConnections()
		client := pagopa.Client{HTTP: &http.Client{Transport: transport, Timeout: 10 * time.Second}, URL: base + pafornode.Path}
		return client.Verify(context.Background(), unknownNotice)
	}
	node, _ := peers.client("Forwarder.example")
	if resp, err := ask("https://"+g.peer, node); err != nil || resp.Fault == nil || resp.Fault.Code != pagopa.PAAPagamentoSconosciuto {
		t.Errorf("the node, with its certificate: %+v, %v", resp, err)
	}
	stranger, _ := strangers.client("forwarder.example")
	sibling, _ := peers.client("somebody.example")
	for name, certs := range map[string][]tls.Certificate{"no certificate": nil, "another CA": {stranger}, "a subject not allowed": {sibling}} {
		if resp, err := ask("https://"+g.peer, certs...); err == nil {
			t.Errorf("%s got an answer: %+v", name, resp)
		} else if name == "a subject not allowed" && !strings.Contains(err.Error(), "401") {
			t.Errorf("%s: %v, want 401", name, err)
		}
	}
	if _, err := ask(g.public, node); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("the faces on the public listener: %v, want 404", err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trust, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}}
	if _, err := (&http.Client{Transport: transport}).Get(g.public + "/"); err == nil {
		t.Error("TLS 1.1 was spoken")
	}
	resp, err := (&http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trust}}}).Get(g.public + "/")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 200 || !strings.HasPrefix(resp.Header.Get("Strict-Transport-Security"), "max-age=") {
		t.Errorf("the portal over TLS: %d, %q", resp.StatusCode, resp.Header.Get("Strict-Transport-Security"))
	}
}

// Behind a proxy that ends TLS, the certificate comes in a header, which counts
// only from the proxy's address.
func TestPeersThroughAProxy(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	peers, strangers := newAuthority(t), newAuthority(t)
	caFile := filepath.Join(dir, "peers.pem")
	if err := os.WriteFile(caFile, peers.pem, 0o600); err != nil {
		t.Fatal(err)
	}
	mustExecute(t, dir, nil, append([]string{"school", "add"}, schoolFlags...)...)
	env := []string{"NODOGATE_PEER_AUTH=mtls", "NODOGATE_PEER_CERT_HEADER=X-Client-Cert", "NODOGATE_PEER_CA=" + caFile, "NODOGATE_PEER_SUBJECTS=forwarder.example"}
	_, good := peers.client("forwarder.example")
	_, sibling := peers.client("somebody.example")
	_, stranger := strangers.client("forwarder.example")
	ask := func(g *running, header string) error {
		client := pagopa.Client{HTTP: http.DefaultClient, URL: g.public + pafornode.Path}
		if header != "" {
			client.Header = http.Header{"X-Client-Cert": {header}}
		}
		_, err := client.Verify(context.Background(), unknownNotice)
		return err
	}
	g := serve(t, dir, append(env, "NODOGATE_TRUSTED_PROXIES=127.0.0.0/8")...)
	if err := ask(g, url.PathEscape(string(good))); err != nil {
		t.Errorf("the proxy, with the node's certificate: %v", err)
	}
	for name, header := range map[string]string{
		"no header": "", "rubbish": "x", "not a certificate": url.PathEscape("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
		"a subject not allowed": url.PathEscape(string(sibling)), "another CA": url.PathEscape(string(stranger)),
	} {
		if err := ask(g, header); err == nil || !strings.Contains(err.Error(), "401") {
			t.Errorf("%s: %v, want 401", name, err)
		}
	}
	g.stop(t)
	g = serve(t, dir, append(env, "NODOGATE_TRUSTED_PROXIES=10.1.2.3")...)
	if err := ask(g, url.PathEscape(string(good))); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("a header from elsewhere: %v, want 401", err)
	}
	if code, _, stderr := execute(t, dir, env, "serve"); code != 1 || !strings.Contains(stderr, "NODOGATE_TRUSTED_PROXIES") {
		t.Errorf("a header without trusted proxies: exit %d, %s", code, stderr)
	}
}
