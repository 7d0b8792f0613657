// SPDX-License-Identifier: Apache-2.0

package portal_test

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/cache"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
	"github.com/nodogate/nodogate/gateway/portal"
)

// Two processes with one Redis count together what comes from an address, for
// everything that is counted. When Redis goes away each counts for itself.
func TestThrottlesAreShared(t *testing.T) {
	t.Parallel()
	address := os.Getenv("NODOGATE_TEST_REDIS_URL")
	if address == "" {
		needs(t, "NODOGATE_TEST_REDIS_URL (make test)", errors.New("it is not set"))
	}
	client, err := cache.NewClient(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	g := gatewaytest.New(t)
	key := []byte(rand.Text())
	var processes []*site
	for range 2 {
		cfg := config(t, g)
		cfg.Throttles = cache.NewThrottles(client, key)
		h, err := portal.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		srv := httptest.NewServer(h)
		t.Cleanup(srv.Close)
		processes = append(processes, &site{Gateway: g, t: t, url: srv.URL})
	}
	// Each asks in turn until it is refused.
	refused := func(path string, form url.Values, most int) (asked int) {
		t.Helper()
		for asked = range most {
			if p := processes[asked%2].browser().post(path, form); p.status == http.StatusTooManyRequests {
				if wait, err := strconv.Atoi(p.header.Get("Retry-After")); err != nil || wait < 1 || wait > 120 {
					t.Errorf("%s: Retry-After is %q", path, p.header.Get("Retry-After"))
				}
				return asked
			}
		}
		t.Fatalf("%s is not refused after %d", path, most)
		return 0
	}
	question := url.Values{"chiave": {rand.Text()}, "tema": {"other"}, "email": {"a@example.org"}, "testo": {"Una domanda."}}
	gaveUp := refused("/assistenza", question, 24)
	if gaveUp < 12 || gaveUp > 13 { // one is given back every two minutes
		t.Errorf("%d questions were taken, want 12", gaveUp)
	}
	if n := refused("/paga/"+string(gatewaytest.SchoolCode)+"/301000000000000000", nil, 200); n < 40 {
		t.Errorf("look-ups are refused after %d", n)
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	if alone := refused("/assistenza", question, 26); alone < 24 {
		t.Errorf("without Redis %d questions were taken, want 12 by each", alone)
	}
}

// Everything that could be tried many times is counted, each under its name.
func TestWhatIsThrottled(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	g.Family()
	counted := &full{}
	cfg := config(t, g)
	cfg.Throttles = counted
	h, err := portal.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	s := &site{Gateway: g, t: t, url: srv.URL}
	family := s.browser()
	family.login("mario.rossi")
	counted.full = true
	anybody := s.browser()
	const notice = string(gatewaytest.SchoolCode) + "/301000000000000000"
	for _, tt := range []struct {
		by         *browser
		path, what string
	}{
		{anybody, "/accesso", "guesses"},
		{anybody, "/accesso/recupero", "signups"},
		{anybody, "/registrazione", "signups"},
		{anybody, "/registrazione/dati", "signups"},
		{anybody, "/registrazione/conferma", "signups"},
		{anybody, "/paga/" + notice, "lookups"},
		{anybody, "/assistenza", "questions"},
		{family, "/cambio-password", "guesses"},
		{family, "/area-riservata/email", "guesses"},
		{family, "/area-riservata/invito", "guesses"},
		{family, "/area-riservata/elimina", "guesses"},
	} {
		counted.what = ""
		p := tt.by.post(tt.path, url.Values{"chiave": {rand.Text()}, "tema": {"other"}, "email": {"a@example.org"}, "testo": {"Una domanda."}})
		if p.status != http.StatusTooManyRequests || p.header.Get("Retry-After") != "2" || counted.what != tt.what {
			t.Errorf("%s is %d, Retry-After %q, counted as %q; want 429, 2, %q", tt.path, p.status, p.header.Get("Retry-After"), counted.what, tt.what)
		}
	}
}

// full throttles refuse everything when they are full.
type full struct {
	full bool
	what string
}

func (f *full) Take(_ context.Context, what, _ string, _ time.Duration, _ int) (gateway.Quota, error) {
	f.what = what
	return gateway.Quota{Allowed: !f.full, RetryAfter: 1500 * time.Millisecond}, nil
}
