// SPDX-License-Identifier: Apache-2.0

package egress

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

func TestPublic(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]bool{
		"8.8.8.8": true, "185.91.56.1": true, "2001:4860:4860::8888": true, "172.32.0.1": true,
		"127.0.0.1": false, "127.8.8.8": false, "::1": false, "::ffff:127.0.0.1": false, "0.0.0.0": false, "::": false,
		"10.0.0.1": false, "172.16.5.4": false, "192.168.1.1": false, "fd00::1": false, "fec0::1": false,
		"169.254.169.254": false, "fe80::1": false, "100.64.0.1": false, "198.18.0.1": false, "192.0.0.1": false,
		"224.0.0.1": false, "ff02::1": false, "255.255.255.255": false, "240.0.0.1": false,
		"192.0.2.1": false, "198.51.100.1": false, "203.0.113.1": false, "2001:db8::1": false,
		"64:ff9b::7f00:1": false, "2002:7f00:1::": false, "0.1.2.3": false,
	} {
		if got := Public(netip.MustParseAddr(addr)); got != want {
			t.Errorf("Public(%s) = %t, want %t", addr, got, want)
		}
	}
}

func get(t *testing.T, client *http.Client, address string) (int, int, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, len(body), err
}

// A name is looked up first: what counts is where it leads.
func TestClientRefuses(t *testing.T) {
	t.Parallel()
	srv := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("somebody got through") }))
	t.Cleanup(srv.Close)
	_, port, err := net.SplitHostPort(srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	client := Client(1, false)
	for _, host := range []string{"127.0.0.1", "localhost", "::ffff:127.0.0.1"} {
		if _, _, err := get(t, client, "https://"+net.JoinHostPort(host, port)); !errors.Is(err, ErrPrivateAddress) {
			t.Errorf("%s: %v", host, err)
		}
	}
	if _, _, err := get(t, client, "http://pagamenti.example/"); !errors.Is(err, ErrScheme) {
		t.Errorf("http: %v", err)
	}
}

func TestClientBounds(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, strings.Repeat("x", MaxAnswer)) })
	mux.HandleFunc("/huge", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, strings.Repeat("x", MaxAnswer+1)) })
	mux.HandleFunc("/redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/trap", http.StatusFound) })
	mux.HandleFunc("/trap", func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") })
	mux.HandleFunc("/cut", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	client := Client(1, true)
	if status, n, err := get(t, client, srv.URL+"/ok"); err != nil || status != 200 || n != MaxAnswer {
		t.Errorf("an answer of the greatest length: %d, %d bytes, %v", status, n, err)
	}
	if status, _, err := get(t, client, srv.URL+"/redirect"); err != nil || status != 302 {
		t.Errorf("redirect: %d, %v; want the 302 itself", status, err)
	}
	if _, n, err := get(t, client, srv.URL+"/huge"); !errors.Is(err, ErrTooLong) || n != MaxAnswer {
		t.Errorf("too long: %d bytes, %v", n, err)
	}
	_, _, err := get(t, client, srv.URL+"/cut")
	if got := Reason(err); got != "connection cut" {
		t.Errorf("Reason(%v) = %q", err, got)
	}
}

// What is told of a failure names no address.
func TestReason(t *testing.T) {
	t.Parallel()
	closed := httptest.NewServer(nil)
	closed.Close()
	_, _, refused := get(t, Client(1, true), closed.URL+"/secret-path")
	for want, err := range map[string]error{
		"connection refused":                      refused,
		"no answer in time":                       context.DeadlineExceeded,
		"the name was not found":                  &net.DNSError{Err: "no such host", Name: "hooks.example"},
		"the name leads to a private address":     ErrPrivateAddress,
		"no connection, or none that TLS accepts": errors.New("tls: something about hooks.example"),
	} {
		if got := Reason(err); got != want {
			t.Errorf("Reason(%v) = %q, want %q", err, got, want)
		}
	}
}
