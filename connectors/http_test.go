// SPDX-License-Identifier: Apache-2.0

package connectors

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nodogate/nodogate/gateway"
)

func get(t *testing.T, client *http.Client, ctx context.Context, address string) (int, string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

func TestClientRefusesPrivateAddresses(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("somebody got through") }))
	t.Cleanup(srv.Close)
	_, port, err := net.SplitHostPort(srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	client := newClient(time.Second, 1, false, nil)
	// The name is looked up first: what counts is where it leads.
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]"} {
		_, _, err := get(t, client, t.Context(), "http://"+net.JoinHostPort(strings.Trim(host, "[]"), port))
		if !errors.Is(err, ErrPrivateAddress) || !errors.Is(err, gateway.ErrPSPUnavailable) {
			t.Errorf("%s: %v", host, err)
		}
	}
}

func TestClientClassifiesAndBounds(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, strings.Repeat("x", maxAnswer)) })
	mux.HandleFunc("/huge", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, strings.Repeat("x", maxAnswer+1)) })
	mux.HandleFunc("/headers", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", maxAnswer)) })
	mux.HandleFunc("/redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/trap", http.StatusFound) })
	mux.HandleFunc("/trap", func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") })
	mux.HandleFunc("/cut", func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) })
	mux.HandleFunc("/cut-body", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, "half")
	})
	arrived := make(chan struct{}, 1)
	mux.HandleFunc("/hang", func(_ http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-r.Context().Done()
	})
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	client := newClient(time.Second, 1, true, nil)

	if status, body, err := get(t, client, t.Context(), srv.URL+"/ok"); err != nil || status != 200 || len(body) != maxAnswer {
		t.Errorf("an answer of the greatest length: %d, %d bytes, %v", status, len(body), err)
	}
	if status, _, err := get(t, client, t.Context(), srv.URL+"/redirect"); err != nil || status != 302 {
		t.Errorf("redirect: %d, %v; want the 302 itself", status, err)
	}
	for _, path := range []string{"/huge", "/headers", "/cut", "/cut-body"} {
		_, _, err := get(t, client, t.Context(), srv.URL+path)
		if !errors.Is(err, gateway.ErrOutcomeUnknown) || errors.Is(err, gateway.ErrPSPUnavailable) {
			t.Errorf("%s: %v, want ErrOutcomeUnknown", path, err)
		}
	}
	// Given up when the PSP has the request, however busy the machine is.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		<-arrived
		cancel()
	}()
	if _, _, err := get(t, client, ctx, srv.URL+"/hang"); !errors.Is(err, gateway.ErrOutcomeUnknown) || !errors.Is(err, context.Canceled) {
		t.Errorf("/hang: %v, want ErrOutcomeUnknown", err)
	}

	closed := httptest.NewServer(nil)
	closed.Close()
	if _, _, err := get(t, client, t.Context(), closed.URL); !errors.Is(err, gateway.ErrPSPUnavailable) || errors.Is(err, gateway.ErrOutcomeUnknown) {
		t.Errorf("connection refused: %v, want ErrPSPUnavailable", err)
	}
}

func TestPage(t *testing.T) {
	t.Parallel()
	https := DriverConfig{Endpoint: &url.URL{Scheme: "https", Host: "api.uno.example", Path: "/v1"}, PageHosts: []string{"pagine.uno.example"}}
	http := DriverConfig{Endpoint: &url.URL{Scheme: "http", Host: "127.0.0.1:8081"}}
	for _, c := range []struct {
		cfg     DriverConfig
		address string
		ok      bool
	}{
		{https, "https://pagine.uno.example/p/1?x=y", true},
		{https, "https://API.uno.example/p", true},
		{http, "http://127.0.0.1:8081/p", true},
		{http, "https://127.0.0.1:8081/p", true},
		{https, "http://pagine.uno.example/p", false},
		{https, "https://uno.example/p", false},
		{https, "https://pagine.uno.example.evil.example/p", false},
		{https, "https://pagine.uno.example@evil.example/p", false},
		{https, "https://user@pagine.uno.example/p", false},
		{https, "https://pagine.uno.example:8443/p", false},
		{https, "//pagine.uno.example/p", false},
		{https, "/p", false},
		{https, "", false},
		{https, "javascript:alert(1)", false},
		{https, "https://%zz/", false},
		{http, "http://127.0.0.1:9090/p", false},
		{http, "javascript://127.0.0.1:8081/%0aalert(1)", false},
	} {
		got, err := c.cfg.Page(c.address)
		if c.ok && (err != nil || !strings.EqualFold(got, c.address)) {
			t.Errorf("Page(%q) = %q, %v", c.address, got, err)
		}
		if !c.ok && (!errors.Is(err, ErrForeignPage) || !errors.Is(err, gateway.ErrOutcomeUnknown) || errors.Is(err, gateway.ErrRefused) || got != "") {
			t.Errorf("Page(%q) = %q, %v; want ErrForeignPage", c.address, got, err)
		}
	}
}
