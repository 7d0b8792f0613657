// SPDX-License-Identifier: Apache-2.0

package portal_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
	"github.com/nodogate/nodogate/gateway/portal"
)

// provider is an identity provider that does as it is told. Who enters there is
// whoever the code names.
type provider struct {
	t        *testing.T
	id, name string

	mu           sync.Mutex
	start, finis error
	started      map[string][2]string // nonce and verifier by state
	people       map[string]gateway.Identity
}

func (p *provider) ID() string   { return p.id }
func (p *provider) Name() string { return p.name }

func (p *provider) Start(ctx context.Context, state, nonce, verifier string) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if end, ok := ctx.Deadline(); !ok || time.Until(end) > 5*time.Second {
		p.t.Error("a family may wait for ever for a provider's page")
	}
	if p.start != nil {
		return "", p.start
	}
	p.started[state] = [2]string{nonce, verifier}
	return "https://" + p.id + ".example/authorize?state=" + url.QueryEscape(state), nil
}

func (p *provider) Finish(ctx context.Context, code, nonce, verifier string) (gateway.Identity, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if end, ok := ctx.Deadline(); !ok || time.Until(end) > 15*time.Second {
		p.t.Error("a family may wait for ever for a provider's answer")
	}
	if p.finis != nil {
		return gateway.Identity{}, p.finis
	}
	state, name, _ := strings.Cut(code, " ")
	if p.started[state] != [2]string{nonce, verifier} || nonce == "" {
		return gateway.Identity{}, errors.New("another nonce or verifier")
	}
	delete(p.started, state) // a code is good once
	return p.people[name], nil
}

func (p *provider) does(start, finish error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.start, p.finis = start, finish
}

// doors is a site with SPID and CIE.
type doors struct {
	*site
	spid, cie *provider
}

func newDoors(t *testing.T) doors {
	d := doors{site: &site{Gateway: gatewaytest.New(t), t: t}}
	for _, p := range []**provider{&d.spid, &d.cie} {
		*p = &provider{t: t, started: map[string][2]string{}, people: map[string]gateway.Identity{
			"mario": {Issuer: "i", Subject: "m", Code: gatewaytest.ParentCode, FirstName: "Mario", LastName: "Rossi", Email: "mario@example.org"},
			"sara":  {Issuer: "i", Subject: "s", Code: "NRESRA90C48E202F", FirstName: "Sara", LastName: "Neri"},
		}}
	}
	d.spid.id, d.spid.name, d.cie.id, d.cie.name = "spid", "SPID", "cie", "CIE"
	cfg := config(t, d.Gateway)
	cfg.Identities = []portal.IdentityProvider{d.spid, d.cie}
	h, err := portal.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	d.url = srv.URL
	return d
}

// toProvider presses the button and is where it leads: the state of the request.
func (b *browser) toProvider(button, path string) string {
	b.t.Helper()
	at := b.get(path).submit(button)
	if at.status != 303 || !strings.HasSuffix(at.url.Host, ".example") || at.url.Query().Get("state") == "" {
		b.t.Fatalf("%s leads to %s", button, at.url)
	}
	return at.url.Query().Get("state")
}

// back is the address that a provider sends a browser to.
func back(id, state, who string) string {
	return "/accesso/identita/" + id + "?" + url.Values{"state": {state}, "code": {state + " " + who}}.Encode()
}

const (
	failedWithSPID = "L’accesso con SPID non è riuscito"
	awaySPID       = "SPID non risponde in questo momento"
)

func TestEnterInTwoTabs(t *testing.T) {
	t.Parallel()
	d := newDoors(t)
	d.Family()
	b := d.browser()
	first := b.toProvider("Entra con SPID", "/accesso?torna=/pagamenti")
	second := b.toProvider("Entra con CIE", "/accesso")
	third := b.toProvider("Entra con SPID", "/accesso")
	if b.get(back("spid", "forged", "mario")).is(401, "/accesso/identita/spid").says(failedWithSPID); first == third {
		t.Fatal("two log-ins with one state")
	}
	before := b.cookie()
	if at := b.get(back("spid", first, "mario")); at.status != 200 || b.cookie() == before {
		t.Errorf("the first tab: %d %s, session renewed: %t", at.status, at.url, b.cookie() != before)
	}
	b.get("/pagamenti").is(200, "/pagamenti").says("Non ci sono ancora pagamenti")
	b.get(back("cie", second, "mario"))
	b.get(back("spid", third, "mario"))
	b.get("/pagamenti").is(200, "/pagamenti")

	// Of more tabs than one has the oldest is forgotten.
	b = d.browser()
	var states []string
	for range 6 {
		states = append(states, b.toProvider("Entra con SPID", "/accesso"))
	}
	b.get(back("spid", states[0], "mario")).is(401, "/accesso/identita/spid")
	b.get(back("spid", states[1], "mario"))
	b.get("/pagamenti").is(200, "/pagamenti")
}

func TestEnterRefused(t *testing.T) {
	t.Parallel()
	d := newDoors(t)
	b := d.browser()
	refused := func(what string, b *browser, address string) {
		t.Helper()
		at := b.get(address)
		if at.status != 401 || !strings.Contains(text(at.main()), " non è riuscito") {
			t.Errorf("%s: %d %s", what, at.status, text(at.main()))
		}
		if b.get("/pagamenti").url.Path != "/accesso" {
			t.Errorf("%s: the browser is logged in", what)
		}
	}
	refused("never begun", b, back("spid", "x", "mario"))
	refused("never begun, no state", b, "/accesso/identita/spid?code=x")
	state := b.toProvider("Entra con SPID", "/accesso")
	refused("in another browser", d.browser(), back("spid", state, "mario"))
	refused("to the address of another provider", b, back("cie", state, "mario"))
	refused("after that", b, back("spid", state, "mario"))
	state = b.toProvider("Entra con SPID", "/accesso")
	refused("who says no", b, "/accesso/identita/spid?error=access_denied&state="+state)
	refused("who says no and then yes", b, back("spid", state, "mario"))
	state = b.toProvider("Entra con SPID", "/accesso")
	refused("no code", b, "/accesso/identita/spid?state="+state)
	state = b.toProvider("Entra con SPID", "/accesso")
	d.Time.Advance(10 * time.Minute)
	refused("after ten minutes", b, back("spid", state, "mario"))
	state = b.toProvider("Entra con SPID", "/accesso")
	d.spid.does(nil, errors.New("the ID token is not acceptable"))
	refused("not proved", b, back("spid", state, "mario"))
	d.spid.does(nil, nil)
	refused("a code of another log-in", b, "/accesso/identita/spid?"+url.Values{"state": {b.toProvider("Entra con SPID", "/accesso")}, "code": {b.toProvider("Entra con SPID", "/accesso") + " mario"}}.Encode())
	state = b.toProvider("Entra con SPID", "/accesso")
	refused("nobody", b, back("spid", state, "nobody"))
	b.get("/accesso/identita/x?state="+state).is(404, "/accesso/identita/x")
	b.post("/accesso/identita/x", nil).is(404, "/accesso/identita/x")

	state = b.toProvider("Entra con SPID", "/accesso?torna=/pagamenti")
	b.get(back("spid", state, "mario")).is(200, "/consensi")
}

// A page that is loaded again after it had its effect leads on, and changes
// nothing.
func TestEnterReplayed(t *testing.T) {
	t.Parallel()
	d := newDoors(t)
	d.Family()
	b := d.browser()
	state := b.toProvider("Entra con SPID", "/accesso")
	b.get(back("spid", state, "mario")).is(200, "/")
	session := b.cookie()
	b.get(back("spid", state, "mario")).is(200, "/")
	b.get(back("spid", state, "sara")).is(200, "/").says("Mario Rossi")
	if b.cookie() != session {
		t.Error("the session is another one")
	}
	d.browser().get(back("spid", state, "mario")).is(401, "/accesso/identita/spid")
}

// A provider that does not answer is said so in the family's language, and the
// other ways in are there.
func TestProviderAway(t *testing.T) {
	t.Parallel()
	d := newDoors(t)
	d.Family()
	away := fmt.Errorf("oidc spid: %w: connection refused", gateway.ErrIdentityAway)
	for _, c := range []struct{ speaks, says, with, user string }{
		{"it", awaySPID, "Entra con ", "Accedi"}, {"de", "SPID antwortet gerade nicht", "Mit ", "Anmelden"},
	} {
		for _, at := range []string{"start", "finish"} {
			b := d.browser()
			b.speaks = c.speaks
			buttons := func(p *page) (cie, spid string) {
				for _, n := range all(p.main(), tag("button")) {
					switch label := text(n); {
					case strings.Contains(label, "CIE"):
						cie = label
					case strings.Contains(label, "SPID"):
						spid = label
					}
				}
				return cie, spid
			}
			login := b.get("/accesso?torna=/pagamenti")
			cie, spid := buttons(login)
			var p *page
			if at == "start" {
				d.spid.does(away, nil)
				p = login.submit(spid)
			} else {
				state := login.submit(spid).url.Query().Get("state")
				d.spid.does(nil, away)
				p = b.get(back("spid", state, "mario"))
			}
			d.spid.does(nil, nil)
			p.is(503, "/accesso/identita/spid").says(c.says)
			if again, _ := buttons(p); again != cie || cie == "" {
				t.Errorf("%s, %s: no other provider", at, c.speaks)
			}
			// Where the family wanted to go is not forgotten.
			state := p.submit(cie).url.Query().Get("state")
			b.get(back("cie", state, "mario")).is(200, "/pagamenti")
			p.browser = d.browser()
			p.browser.speaks = c.speaks
			if in := p.submit(c.user, "username", "mario.rossi", "password", gatewaytest.Password); in.url.Path != "/pagamenti" {
				t.Errorf("%s, %s: by password one comes to %s", at, c.speaks, in.url)
			}
		}
	}
}

func TestProviderTellsNoCode(t *testing.T) {
	t.Parallel()
	d := newDoors(t)
	d.cie.does(nil, fmt.Errorf("oidc cie: %w", gateway.ErrIdentityCode))
	b := d.browser()
	p := b.get(back("cie", b.toProvider("Entra con CIE", "/accesso"), "mario")).is(401, "/accesso/identita/cie")
	p.says("CIE non ci ha comunicato il tuo codice fiscale", "Entra con SPID")
	if !slices.Equal(p.links("assistenza"), []string{"/assistenza"}) {
		t.Error("no way to help")
	}
}

// An identity finds the account that has its code; who has none gets one, and is
// told that no school knows of it.
func TestIdentityFindsTheAccount(t *testing.T) {
	t.Parallel()
	d := newDoors(t)
	family := d.Family()
	d.Issue()
	b := d.browser()
	b.get(back("spid", b.toProvider("Entra con SPID", "/accesso"), "mario")).is(200, "/").says("Buongiorno, Mario Rossi", "Hai un avviso da pagare")
	b.get("/avvisi").says("Maria Rossi", "Viaggio di istruzione 3B")
	other := d.browser()
	other.get(back("cie", other.toProvider("Entra con CIE", "/accesso"), "mario")).is(200, "/").says("Mario Rossi")
	logins, err := d.Logins(t.Context(), family.ID)
	if err != nil || len(logins) != 2 {
		t.Errorf("one account has %d sessions, want 2: %v", len(logins), err)
	}
	// Of whom no school knows anything.
	stranger := d.browser()
	stranger.get(back("spid", stranger.toProvider("Entra con SPID", "/accesso"), "sara")).is(200, "/consensi").submit("Non ora")
	stranger.get("/avvisi").is(200, "/avvisi").says("Nessuna scuola ti ha ancora mandato un avviso").saysNot("Maria", "Viaggio")
}
