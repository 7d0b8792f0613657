// SPDX-License-Identifier: Apache-2.0

package portal

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/nodogate/nodogate/gateway"
)

// IdentityProvider is an OpenID provider with which a family may enter: SPID, CIE,
// the ministry's own credentials.
type IdentityProvider interface {
	ID() string   // stands in addresses: spid, cie, ministero
	Name() string // stands on the button
	// Start is where to send the browser. state and nonce come back, verifier is
	// the secret of PKCE (RFC 7636).
	Start(ctx context.Context, state, nonce, verifier string) (address string, err error)
	// Finish redeems the code of the answer. An error says that the identity was
	// not proved, or that the provider does not answer.
	Finish(ctx context.Context, code, nonce, verifier string) (gateway.Identity, error)
}

// sessionIdentity is the session's key for a log-in with an identity under way.
const sessionIdentity = "identity"

// entering is such a log-in. It is used once, and for ten minutes.
type entering struct {
	Provider, State, Nonce, Verifier, Back string
	Until                                  time.Time
}

const enterWithin = 10 * time.Minute

func (p *portal) provider(id string) IdentityProvider {
	if i := slices.IndexFunc(p.identities, func(q IdentityProvider) bool { return q.ID() == id }); i >= 0 {
		return p.identities[i]
	}
	return nil
}

// startIdentity sends the browser to the provider.
func (p *portal) startIdentity(c *gin.Context) {
	if !p.within(c, p.guesses) {
		return
	}
	ctx := c.Request.Context()
	q := p.provider(c.Param("provider"))
	if q == nil {
		p.problem(c, http.StatusNotFound)
		return
	}
	e := entering{q.ID(), rand.Text(), rand.Text(), rand.Text() + rand.Text(), returnPath(c.PostForm("torna"), "/"), p.svc.Now().Add(enterWithin)}
	address, err := q.Start(ctx, e.State, e.Nonce, e.Verifier)
	if err != nil {
		p.log.Error("identity provider", "provider", q.ID(), "error", err)
		p.render(c, http.StatusServiceUnavailable, "login", loginPage{frame: p.frame(c), Providers: p.identities, Failed: q.Name()})
		return
	}
	kept, err := json.Marshal(e)
	if err != nil {
		p.fail(c, err)
		return
	}
	p.sessions.Put(ctx, sessionIdentity, string(kept))
	c.Redirect(http.StatusSeeOther, address)
}

// finishIdentity is where the provider sends the browser back to. Whatever is
// wrong, the page says only that it did not work.
func (p *portal) finishIdentity(c *gin.Context) {
	ctx := c.Request.Context()
	q := p.provider(c.Param("provider"))
	if q == nil {
		p.problem(c, http.StatusNotFound)
		return
	}
	failed := func(why string, err error) {
		p.log.Warn("entering with an identity failed", "provider", q.ID(), "why", why, "error", err)
		p.render(c, http.StatusUnauthorized, "login", loginPage{frame: p.frame(c), Providers: p.identities, Failed: q.Name()})
	}
	var e entering
	if json.Unmarshal([]byte(p.sessions.PopString(ctx, sessionIdentity)), &e) != nil || e.Provider != q.ID() || !p.svc.Now().Before(e.Until) {
		failed("not begun here, or too long ago", nil)
		return
	}
	if subtle.ConstantTimeCompare([]byte(c.Query("state")), []byte(e.State)) != 1 {
		failed("another state", nil)
		return
	}
	if c.Query("error") != "" || c.Query("code") == "" {
		failed("the provider says no", nil)
		return
	}
	who, err := q.Finish(ctx, c.Query("code"), e.Nonce, e.Verifier)
	if err != nil {
		failed("not proved", err)
		return
	}
	who.Language = p.tongue(c).code
	a, err := p.svc.EnterWithIdentity(ctx, who)
	if err != nil {
		failed("not taken", err)
		return
	}
	if err := p.enter(c, a); err != nil {
		p.fail(c, err)
		return
	}
	c.Redirect(http.StatusSeeOther, returnPath(e.Back, "/"))
}
