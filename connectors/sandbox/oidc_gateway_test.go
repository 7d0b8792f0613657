// SPDX-License-Identifier: Apache-2.0

package sandbox_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nodogate/nodogate/connectors"
	"github.com/nodogate/nodogate/connectors/sandbox"
	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/oidc"
	"github.com/nodogate/nodogate/gateway/pagopa"
)

const (
	marioCode = gateway.FiscalCode("RSSMRA80A01H501U")
	levelTwo  = "https://www.spid.gov.it/SpidL2"
	nonce     = "the nonce"
)

var verifier = strings.Repeat("v", 43)

// providers are SPID and CIE at a sandbox, and the portal's clients of them.
type providers struct {
	*testing.T
	url    string
	client *http.Client

	mu    sync.Mutex
	ahead time.Duration // of the sandbox's clock
}

func startProviders(t *testing.T) *providers {
	p := &providers{T: t, client: &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	srv := httptest.NewUnstartedServer(nil)
	base := &url.URL{Scheme: "http", Host: srv.Listener.Addr().String()}
	p.url = base.String()
	box, err := sandbox.New(sandbox.Config{
		URL: base, Creditor: p.url, Target: func(context.Context, string) (pagopa.Target, error) { return pagopa.Target{}, errors.New("nobody") },
		PSPs: []connectors.PSP{{ID: "BANCAUNO", Name: "Banca Uno", Methods: []gateway.Method{gateway.MethodCard}, Fees: []connectors.Band{{}}}},
		Now: func() time.Time {
			p.mu.Lock()
			defer p.mu.Unlock()
			return time.Now().Add(p.ahead)
		},
		Log: slog.New(slog.DiscardHandler), Slow: 200 * time.Millisecond,
		Portal: &url.URL{Scheme: "https", Host: "pagamenti.example"}, IdentitySecret: "the secret",
		People: []sandbox.Person{{Code: marioCode, FirstName: "Mario", LastName: "Rossi", Email: "mario@example.org"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	srv.Config.Handler = box
	srv.Start()
	t.Cleanup(srv.Close)
	return p
}

func (p *providers) relyingParty(id string, change ...func(*oidc.Settings)) *oidc.Provider {
	p.Helper()
	s := oidc.Settings{
		Entry:  oidc.Entry{ID: id, Name: strings.ToUpper(id), Issuer: p.url + "/oidc/" + id, ClientID: sandbox.ClientID, ACR: []string{levelTwo}},
		Secret: "the secret", Redirect: "https://pagamenti.example/accesso/identita/" + id, AllowPrivate: true, Now: time.Now,
	}
	for _, f := range change {
		f(&s)
	}
	rp, err := oidc.New(s)
	if err != nil {
		p.Fatal(err)
	}
	return rp
}

// do is a browser that follows where it is sent, but not back to the portal.
func (p *providers) do(method, address, form string) (*http.Response, string) {
	p.Helper()
	for {
		req, err := http.NewRequestWithContext(p.Context(), method, address, strings.NewReader(form))
		if err != nil {
			p.Fatal(err)
		}
		if method == http.MethodPost {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		resp, err := p.client.Do(req)
		if err != nil {
			p.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			p.Fatal(err)
		}
		to, err := resp.Location()
		if err != nil || to.Host == "pagamenti.example" {
			return resp, string(body)
		}
		method, address, form = http.MethodGet, to.String(), ""
	}
}

// consent has the first person, or nobody, enter, and is the answer's values.
func (p *providers) consent(address, form string) url.Values {
	p.Helper()
	resp, body := p.do(http.MethodGet, address, "")
	if resp.StatusCode != 200 || !strings.Contains(body, "Entra come Mario Rossi") {
		p.Fatalf("no page of people: %d %s", resp.StatusCode, body)
	}
	resp, body = p.do(http.MethodPost, resp.Request.URL.String(), form)
	to, err := resp.Location()
	if err != nil || to.Host != "pagamenti.example" {
		p.Fatalf("no way back to the portal: %d %s", resp.StatusCode, body)
	}
	return to.Query()
}

func (p *providers) start(rp *oidc.Provider) string {
	p.Helper()
	address, err := rp.Start(p.Context(), "the state", nonce, verifier)
	if err != nil {
		p.Fatal(err)
	}
	return address
}

// code is that of a person who said yes.
func (p *providers) code(rp *oidc.Provider) string {
	p.Helper()
	q := p.consent(p.start(rp), "persona=0")
	if q.Get("state") != "the state" || q.Get("code") == "" {
		p.Fatalf("answer %v", q)
	}
	return q.Get("code")
}

func (p *providers) control(id, mode string) {
	p.Helper()
	resp, body := p.do(http.MethodPost, p.url+"/control", `{"psp":"`+id+`","mode":"`+mode+`"}`)
	if resp.StatusCode != 200 {
		p.Fatalf("control: %d %s", resp.StatusCode, body)
	}
}

// algorithm is that of the key which signs after a rotation.
func (p *providers) rotate(id string) (algorithm string) {
	p.Helper()
	_, body := p.do(http.MethodPost, p.url+"/oidc/"+id+"/rotate", "")
	var key struct{ Alg string }
	if err := json.Unmarshal([]byte(body), &key); err != nil {
		p.Fatalf("rotate: %s", body)
	}
	return key.Alg
}

// TestIdentityProviders has the portal's client enter with both providers, by
// keys of every algorithm, before and after a rotation in the middle of it.
func TestIdentityProviders(t *testing.T) {
	t.Parallel()
	p := startProviders(t)
	subjects := map[string]bool{}
	for _, id := range []string{"spid", "cie"} {
		rp := p.relyingParty(id)
		want := gateway.Identity{Issuer: p.url + "/oidc/" + id, Code: marioCode, FirstName: "Mario", LastName: "Rossi", Email: "mario@example.org"}
		enter := func(what, code string) {
			t.Helper()
			who, err := rp.Finish(t.Context(), code, nonce, verifier)
			subjects[who.Subject] = true
			if who.Subject = ""; err != nil || who != want {
				t.Errorf("%s, %s: %+v, %v", id, what, who, err)
			}
		}
		enter("ES256", p.code(rp))
		for _, algorithm := range []string{"RS256", "PS256", "ES256"} {
			code := p.code(rp) // and the key is another when it is redeemed
			if got := p.rotate(id); got != algorithm {
				t.Errorf("rotated to %s, want %s", got, algorithm)
			}
			enter(algorithm, code)
		}
		p.rotate(id)
		p.rotate(id) // more than once between two who enter
		enter("rotated twice", p.code(rp))
	}
	if len(subjects) != 2 {
		t.Errorf("one person has %d subjects at two providers", len(subjects))
	}
}

// TestIdentityRefused is all that a provider has to refuse of a client, and a
// client of itself.
func TestIdentityRefused(t *testing.T) {
	t.Parallel()
	p := startProviders(t)
	rp := p.relyingParty("spid")
	redeem := func(what string, by *oidc.Provider, code, nonce, verifier string, want error) {
		t.Helper()
		_, err := by.Finish(t.Context(), code, nonce, verifier)
		if !errors.Is(err, want) || err != nil && strings.Contains(err.Error(), code) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	code := p.code(rp)
	redeem("once", rp, code, nonce, verifier, nil)
	redeem("a code used twice", rp, code, nonce, verifier, oidc.ErrRefused)
	code = p.code(rp)
	redeem("another verifier", rp, code, nonce, strings.Repeat("w", 43), oidc.ErrRefused)
	redeem("the right one after a wrong one", rp, code, nonce, verifier, oidc.ErrRefused)
	redeem("another nonce", rp, p.code(rp), "another", verifier, oidc.ErrToken)
	redeem("no code", rp, "x", nonce, verifier, oidc.ErrRefused)
	redeem("another secret", p.relyingParty("spid", func(s *oidc.Settings) { s.Secret = "x" }), p.code(rp), nonce, verifier, oidc.ErrRefused)
	redeem("another redirect", p.relyingParty("spid", func(s *oidc.Settings) { s.Redirect = "https://pagamenti.example/x" }), p.code(rp), nonce, verifier, oidc.ErrRefused)
	redeem("a code of another provider", p.relyingParty("cie"), p.code(rp), nonce, verifier, oidc.ErrRefused)
	redeem("a level that it does not give", p.relyingParty("spid", func(s *oidc.Settings) { s.ACR = []string{"https://www.spid.gov.it/SpidL3"} }), p.code(rp), nonce, verifier, oidc.ErrLevel)
	redeem("our clock is an hour late", p.relyingParty("spid", func(s *oidc.Settings) { s.Now = func() time.Time { return time.Now().Add(-time.Hour) } }), p.code(rp), nonce, verifier, oidc.ErrToken)
	redeem("our clock is an hour early", p.relyingParty("spid", func(s *oidc.Settings) { s.Now = func() time.Time { return time.Now().Add(time.Hour) } }), p.code(rp), nonce, verifier, oidc.ErrToken)
	code = p.code(rp)
	p.mu.Lock()
	p.ahead = time.Minute + time.Second
	p.mu.Unlock()
	redeem("a code that is a minute old", rp, code, nonce, verifier, oidc.ErrRefused)
	if q := p.consent(p.start(rp), "azione=annulla"); q.Get("error") != "access_denied" || q.Get("state") != "the state" || q.Has("code") {
		t.Errorf("who says no: %v", q)
	}

	for _, c := range []struct {
		what, name, value string // a parameter and what it becomes; none: it is left out
		want              string // the error told to the portal; none: told here only
	}{
		{"no PKCE", "code_challenge", "", "invalid_request"},
		{"plain PKCE", "code_challenge_method", "plain", "invalid_request"},
		{"no method of PKCE", "code_challenge_method", "", "invalid_request"},
		{"no nonce", "nonce", "", "invalid_request"},
		{"no state", "state", "", "invalid_request"},
		{"no openid", "scope", "profile", "invalid_scope"},
		{"implicit", "response_type", "id_token", "unauthorized_client"},
		{"another client", "client_id", "x", ""},
		{"another address to come back to", "redirect_uri", "https://pagamenti.example/x", ""},
		{"an address of somebody else", "redirect_uri", "https://evil.example/accesso/identita/spid", ""},
	} {
		u, err := url.Parse(p.start(rp))
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		if q.Set(c.name, c.value); c.value == "" {
			q.Del(c.name)
		}
		u.RawQuery = q.Encode()
		resp, body := p.do(http.MethodGet, u.String(), "")
		to, err := resp.Location()
		if err == nil && c.name == "response_type" {
			to.RawQuery = to.Fragment // where the answer of such a flow goes
		}
		if c.want == "" && (err == nil || resp.StatusCode != 400) || c.want != "" && (err != nil || to.Query().Get("error") != c.want || to.Host != "pagamenti.example") {
			t.Errorf("%s: %d %v %s", c.what, resp.StatusCode, to, body)
		}
	}
	for _, path := range []string{"/oauth/introspect", "/revoke", "/end_session", "/device_authorization", "/healthz"} {
		if resp, _ := p.do(http.MethodPost, p.url+"/oidc/spid"+path, "token=x"); resp.StatusCode != 404 {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
	}
	for _, grant := range []string{"refresh_token", "client_credentials", "urn:ietf:params:oauth:grant-type:jwt-bearer", "urn:ietf:params:oauth:grant-type:device_code", "urn:ietf:params:oauth:grant-type:token-exchange", ""} {
		form := url.Values{"grant_type": {grant}, "client_id": {sandbox.ClientID}, "client_secret": {"the secret"}, "refresh_token": {"x"}, "assertion": {"e30.e30.e30"}, "subject_token": {"x"}}
		if resp, body := p.do(http.MethodPost, p.url+"/oidc/spid/token", form.Encode()); resp.StatusCode < 400 || resp.StatusCode >= 500 {
			t.Errorf("grant %q: %d %s", grant, resp.StatusCode, body)
		}
	}
	for _, page := range []string{"/accesso", "/accesso?id=x"} {
		if resp, _ := p.do(http.MethodGet, p.url+"/oidc/spid"+page, ""); resp.StatusCode != 404 {
			t.Errorf("%s: %d", page, resp.StatusCode)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+"/oidc/spid/userinfo", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer x")
	if resp, err := p.client.Do(req); err != nil || resp.StatusCode != 401 {
		t.Errorf("userinfo for a token that is none: %v, %v", resp, err)
	} else {
		resp.Body.Close()
	}
}

// TestIdentityProviderAway has a provider end before, in the middle and at the end
// of a log-in, hang, and come back.
func TestIdentityProviderAway(t *testing.T) {
	t.Parallel()
	p := startProviders(t)
	rp := p.relyingParty("spid")
	p.control(sandbox.SPIDID, "down")
	if _, err := rp.Start(t.Context(), "s", nonce, verifier); !errors.Is(err, oidc.ErrAway) {
		t.Errorf("started at a provider that is away: %v", err)
	}
	if _, err := p.relyingParty("cie").Start(t.Context(), "s", nonce, verifier); err != nil {
		t.Errorf("the other provider: %v", err)
	}
	p.control(sandbox.SPIDID, "slow")
	hasty, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := p.relyingParty("spid").Start(hasty, "s", nonce, verifier); !errors.Is(err, oidc.ErrAway) {
		t.Errorf("started at a provider that hangs: %v", err)
	}
	p.control(sandbox.SPIDID, "ok")
	code := p.code(rp)
	p.control(sandbox.SPIDID, "down")
	if _, err := rp.Finish(t.Context(), code, nonce, verifier); !errors.Is(err, oidc.ErrAway) {
		t.Errorf("finished at a provider that is away: %v", err)
	}
	p.control(sandbox.SPIDID, "ok")
	if _, err := rp.Finish(t.Context(), code, nonce, verifier); err != nil {
		t.Errorf("the code was not spent when the provider came back: %v", err)
	}
	if resp, _ := p.do(http.MethodPost, p.url+"/control", `{"psp":"SPID","mode":"late"}`); resp.StatusCode != 400 {
		t.Errorf("a mode that it has not: %d", resp.StatusCode)
	}
}
