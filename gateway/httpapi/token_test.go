// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"fmt"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nodogate/nodogate/gateway/gatewaytest"
)

// form is a token request with more parameters.
func form(more ...string) url.Values {
	f := url.Values{"grant_type": {"client_credentials"}}
	for i := 0; i < len(more); i += 2 {
		f.Add(more[i], more[i+1])
	}
	return f
}

func TestTokenByBasicAndForm(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	c, secret := a.g.Client(gatewaytest.SchoolCode, "notices:read", "receipts:read")
	for name, w := range map[string]*httptest.ResponseRecorder{
		"basic":              a.login(form(), c.ID, secret),
		"form":               a.login(form("client_id", c.ID, "client_secret", secret), "", ""),
		"both, the id twice": a.login(form("client_id", c.ID), c.ID, secret),
	} {
		got := as[Token](t, w, 200)
		if got.TokenType != "Bearer" || got.ExpiresIn != 600 || got.Scope != "notices:read receipts:read" {
			t.Errorf("%s: got %+v", name, got)
		}
		if w := a.get(base+"/notices", got.AccessToken); w.Code != 200 {
			t.Errorf("%s: the token is answered %d", name, w.Code)
		}
	}
	if got := as[Token](t, a.login(form("scope", "receipts:read"), c.ID, secret), 200); got.Scope != "receipts:read" {
		t.Errorf("narrowed: got scope %q", got.Scope)
	}
}

func TestTokenRefusals(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	c, secret := a.g.Client(gatewaytest.SchoolCode, "notices:read")
	gone, goneSecret := a.g.Client(gatewaytest.SchoolCode, "notices:read")
	must(t, a.g.RevokeClient(t.Context(), gatewaytest.Operator, gone.ID))
	withHeader := func(name, value string, f url.Values) *httptest.ResponseRecorder {
		r := httptest.NewRequest("POST", "/oauth2/token", strings.NewReader(f.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set(name, value)
		return a.do(r)
	}
	inAddress := httptest.NewRequest("POST", "/oauth2/token?client_secret="+secret, strings.NewReader(form("client_id", c.ID).Encode()))
	inAddress.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for name, tc := range map[string]struct {
		w      *httptest.ResponseRecorder
		status int
		code   string
	}{
		"wrong secret":        {a.login(form(), c.ID, secret+"x"), 401, "invalid_client"},
		"empty secret":        {a.login(form(), c.ID, ""), 401, "invalid_client"},
		"unknown client":      {a.login(form(), "ngc_nobody", secret), 401, "invalid_client"},
		"NUL in the id":       {a.login(form("client_id", "a\x00b", "client_secret", "x"), "", ""), 401, "invalid_client"},
		"revoked client":      {a.login(form(), gone.ID, goneSecret), 401, "invalid_client"},
		"nobody":              {a.login(form(), "", ""), 401, "invalid_client"},
		"another scheme":      {withHeader("Authorization", "Digest x", form()), 401, "invalid_client"},
		"another in the form": {a.login(form("client_id", "ngc_another"), c.ID, secret), 400, "invalid_request"},
		"two ways":            {a.login(form("client_id", c.ID, "client_secret", secret), c.ID, secret), 400, "invalid_request"},
		"no grant type":       {a.login(url.Values{}, c.ID, secret), 400, "invalid_request"},
		"another grant type":  {a.login(url.Values{"grant_type": {"password"}}, c.ID, secret), 400, "unsupported_grant_type"},
		"a parameter twice":   {a.login(form("scope", "a", "scope", "b"), c.ID, secret), 400, "invalid_request"},
		"JSON":                {withHeader("Content-Type", "application/json", form()), 400, "invalid_request"},
		"secret in address":   {a.do(inAddress), 400, "invalid_request"},
		"more than it holds":  {a.login(form("scope", "notices:read notices:write"), c.ID, secret), 400, "invalid_scope"},
		"unknown scope":       {a.login(form("scope", "x"), c.ID, secret), 400, "invalid_scope"},
		"admin for a school":  {a.login(form("scope", "admin"), c.ID, secret), 400, "invalid_scope"},
		"form that is broken": {withHeader("X-Nothing", "", nil), 400, "invalid_request"},
	} {
		got := as[TokenError](t, tc.w, tc.status)
		if string(got.Error) != tc.code {
			t.Errorf("%s: got %s, want %s", name, got.Error, tc.code)
		}
		if tc.status == 401 && strings.Contains(name, "secret") && tc.w.Header().Get("WWW-Authenticate") == "" {
			t.Errorf("%s: no WWW-Authenticate", name)
		}
	}
	long := withHeader("X-Nothing", "", form("x", strings.Repeat("a", 9<<10)))
	if p := problemIn(t, long); p.Code != "body_too_large" {
		t.Errorf("a long form: got %s", p.Code)
	}
}

func TestFailedLoginsHaveToWait(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	c, secret := a.g.Client(gatewaytest.SchoolCode, "notices:read")
	for i := range clientFailures {
		if w := a.login(form(), c.ID, "wrong"); w.Code != 401 {
			t.Fatalf("failure %d: got %d", i, w.Code)
		}
	}
	w := a.login(form(), c.ID, secret)
	if p := problemIn(t, w); w.Code != 429 || p.Code != "too_many_attempts" || w.Header().Get("Retry-After") != "6" || w.Header().Get("RateLimit-Limit") != "10" {
		t.Errorf("after %d failures: got %d %s, headers %v", clientFailures, w.Code, p.Code, w.Header())
	}
	elsewhere := httptest.NewRequest("POST", "/oauth2/token", strings.NewReader(form().Encode()))
	elsewhere.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	elsewhere.SetBasicAuth(c.ID, secret)
	elsewhere.RemoteAddr = "198.51.100.7:4711"
	if w := a.do(elsewhere); w.Code != 200 {
		t.Errorf("from another address: got %d, want 200: a stranger must not lock a client out", w.Code)
	}
	a.g.Time.Advance(forgive)
	if w := a.login(form(), c.ID, secret); w.Code != 200 {
		t.Errorf("after the wait: got %d", w.Code)
	}

	// Many ids from one address.
	for i := range addressFailures {
		a.login(form(), fmt.Sprintf("ngc_%d", i), "wrong")
	}
	if w := a.login(form(), "ngc_more", "wrong"); w.Code != 429 {
		t.Errorf("after %d clients failed at one address: got %d, want 429", addressFailures, w.Code)
	}
}

func TestThrottleIsBounded(t *testing.T) {
	t.Parallel()
	th := newThrottle(100)
	now := gatewaytest.Start
	for i := range 1000 {
		th.failed(fmt.Sprint(i), 10, now)
	}
	if len(th.known) != 100 {
		t.Errorf("%d keys are kept, want 100", len(th.known))
	}
	now = now.Add(time.Minute)
	th.failed("one", 10, now)
	if len(th.known) != 1 {
		t.Errorf("%d keys are kept, want the forgiven ones forgotten", len(th.known))
	}
}
