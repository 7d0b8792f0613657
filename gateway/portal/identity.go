// SPDX-License-Identifier: Apache-2.0

package portal

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
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
	// Finish redeems the code of the answer. gateway.ErrIdentityAway: the provider
	// does not answer; gateway.ErrIdentityCode: it told no fiscal code; any other
	// error: the identity was not proved.
	Finish(ctx context.Context, code, nonce, verifier string) (gateway.Identity, error)
}

// sessionIdentity is the session's key for the log-ins with an identity under way.
const sessionIdentity = "identity"

// entering is such a log-in. It is used once, and for ten minutes.
type entering struct {
	Provider, State, Nonce, Verifier, Back string
	Until                                  time.Time
}

const (
	enterWithin = 10 * time.Minute
	// enterAtOnce is how many log-ins a browser may have under way, in as many
	// tabs; the oldest is forgotten.
	enterAtOnce = 5
	// A family does not look at an empty page for longer.
	startWithin  = 5 * time.Second
	finishWithin = 15 * time.Second
)

func (p *portal) provider(id string) IdentityProvider {
	if i := slices.IndexFunc(p.identities, func(q IdentityProvider) bool { return q.ID() == id }); i >= 0 {
		return p.identities[i]
	}
	return nil
}

// underWay are the log-ins that this session began and that are not over.
func (p *portal) underWay(ctx context.Context) []entering {
	var list []entering
	if json.Unmarshal([]byte(p.sessions.GetString(ctx, sessionIdentity)), &list) != nil {
		return nil
	}
	now := p.svc.Now()
	return slices.DeleteFunc(list, func(e entering) bool { return !now.Before(e.Until) })
}

func (p *portal) keepUnderWay(ctx context.Context, list []entering) error {
	kept, err := json.Marshal(list)
	if err == nil {
		p.sessions.Put(ctx, sessionIdentity, string(kept))
	}
	return err
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
	hurry, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	address, err := q.Start(hurry, e.State, e.Nonce, e.Verifier)
	if err != nil {
		p.log.Error("identity provider", "provider", q.ID(), "error", err)
		p.render(c, http.StatusServiceUnavailable, "login", loginPage{frame: p.frame(c), Return: e.Back, Providers: p.identities, Failed: q.Name(), Away: true})
		return
	}
	list := append(p.underWay(ctx), e)
	if err := p.keepUnderWay(ctx, list[max(0, len(list)-enterAtOnce):]); err != nil {
		p.fail(c, err)
		return
	}
	c.Redirect(http.StatusSeeOther, address)
}

// finishIdentity is where the provider sends the browser back to. Of what is wrong
// the page says no more than what a family can do about it.
func (p *portal) finishIdentity(c *gin.Context) {
	ctx := c.Request.Context()
	q := p.provider(c.Param("provider"))
	if q == nil {
		p.problem(c, http.StatusNotFound)
		return
	}
	page := loginPage{Providers: p.identities, Failed: q.Name()}
	failed := func(why string, err error) {
		page.frame = p.frame(c)
		page.Away, page.NoCode = errors.Is(err, gateway.ErrIdentityAway), errors.Is(err, gateway.ErrIdentityCode)
		if page.Away {
			p.log.Error("identity provider", "provider", q.ID(), "error", err)
			p.render(c, http.StatusServiceUnavailable, "login", page)
			return
		}
		p.log.Warn("entering with an identity failed", "provider", q.ID(), "why", why, "error", err)
		p.render(c, http.StatusUnauthorized, "login", page)
	}
	// A state that is not ours ends nothing: another tab may be waiting for its
	// own. It is too long to be guessed.
	list := p.underWay(ctx)
	i := slices.IndexFunc(list, func(e entering) bool {
		return subtle.ConstantTimeCompare([]byte(c.Query("state")), []byte(e.State)) == 1
	})
	if i < 0 {
		if account(c) != nil {
			// The page was loaded again, or gone back to, after it had its effect.
			c.Redirect(http.StatusSeeOther, "/")
			return
		}
		failed("not begun here, used, or too long ago", nil)
		return
	}
	e := list[i]
	if err := p.keepUnderWay(ctx, slices.Delete(list, i, i+1)); err != nil {
		p.fail(c, err)
		return
	}
	if page.Return = e.Back; e.Provider != q.ID() {
		failed("the answer is another provider's", nil)
		return
	}
	if c.Query("error") != "" || c.Query("code") == "" {
		failed("the provider says no", nil)
		return
	}
	hurry, cancel := context.WithTimeout(ctx, finishWithin)
	defer cancel()
	who, err := q.Finish(hurry, c.Query("code"), e.Nonce, e.Verifier)
	if err != nil {
		failed("not proved", err)
		return
	}
	who.Language = p.tongue(c).code
	a, err := p.svc.EnterWithIdentity(ctx, who)
	if errors.Is(err, gateway.ErrCredentials) {
		failed("not taken", err)
		return
	}
	if err != nil {
		p.fail(c, err)
		return
	}
	if err := p.enter(c, a); err != nil {
		p.fail(c, err)
		return
	}
	c.Redirect(http.StatusSeeOther, returnPath(e.Back, "/"))
}
