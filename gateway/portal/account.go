// SPDX-License-Identifier: Apache-2.0

package portal

import (
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/nodogate/nodogate/gateway"
)

type loginPage struct {
	frame
	Return   string
	Username string
	Wrong    bool
	LeftOut  bool // somebody asked for a page that needs to log in
	Outcome  bool // and that page is the outcome of a payment
}

func (p *portal) loginForm(c *gin.Context) {
	back := returnPath(c.Query("torna"), "")
	if account(c) != nil {
		c.Redirect(http.StatusSeeOther, returnPath(back, "/"))
		return
	}
	p.render(c, http.StatusOK, "login", loginPage{frame: p.frame(c), Return: back, LeftOut: back != "", Outcome: isOutcome(back)})
}

func (p *portal) login(c *gin.Context) {
	if !p.within(c, p.guesses) {
		return
	}
	ctx := c.Request.Context()
	username, back := c.PostForm("username"), returnPath(c.PostForm("torna"), "")
	a, err := p.svc.LogIn(ctx, username, c.PostForm("password"))
	switch {
	case errors.Is(err, gateway.ErrCredentials):
		p.render(c, http.StatusUnauthorized, "login", loginPage{frame: p.frame(c), Return: back, Username: username, Wrong: true})
		return
	case err != nil:
		p.fail(c, err)
		return
	}
	// A new id, so that nobody who knew the old one is logged in now.
	if err := p.sessions.RenewToken(ctx); err != nil {
		p.fail(c, err)
		return
	}
	if before := p.sessions.GetString(ctx, sessionAccount); before != "" && before != a.ID {
		// Another family on the same device: what the first chose is not
		// theirs. A guest's cart, though, stays with who logs in.
		if err := p.sessions.Clear(ctx); err != nil {
			p.fail(c, err)
			return
		}
	}
	p.sessions.Put(ctx, sessionAccount, a.ID)
	if chosen := p.sessions.GetString(ctx, sessionLanguage); chosen != "" && chosen != a.Language {
		p.keepLanguage(c, a.ID, chosen)
	}
	c.Redirect(http.StatusSeeOther, returnPath(back, "/"))
}

func (p *portal) logout(c *gin.Context) {
	ctx, t := c.Request.Context(), p.tongue(c)
	if err := p.sessions.Destroy(ctx); err != nil {
		p.fail(c, err)
		return
	}
	to := "/accesso"
	if t != p.asked(c.Request) {
		to += "?lang=" + t.code // the session that kept it is gone
	}
	c.Redirect(http.StatusSeeOther, to)
}

type passwordPage struct {
	frame
	Provisional bool
	Error       string // old, weak, same, differ
}

func (p *portal) passwordForm(c *gin.Context) {
	p.render(c, http.StatusOK, "password", passwordPage{frame: p.frame(c), Provisional: account(c).MustChange})
}

func (p *portal) changePassword(c *gin.Context) {
	if !p.within(c, p.guesses) {
		return
	}
	ctx, a := c.Request.Context(), account(c)
	before, wanted := c.PostForm("vecchia_password"), c.PostForm("nuova_password")
	page := passwordPage{Provisional: a.MustChange}
	switch {
	case wanted != c.PostForm("conferma_password"):
		page.Error = "differ"
	case wanted == before:
		page.Error = "same"
	default:
		switch err := p.svc.ChangePassword(ctx, a.ID, before, wanted); {
		case errors.Is(err, gateway.ErrWeakPassword):
			page.Error = "weak"
		case errors.Is(err, gateway.ErrCredentials):
			page.Error = "old"
		case err != nil:
			p.fail(c, err)
			return
		}
	}
	if page.Error != "" {
		page.frame = p.frame(c)
		p.render(c, http.StatusBadRequest, "password", page)
		return
	}
	// The rights may have changed with the password.
	if err := p.sessions.RenewToken(ctx); err != nil {
		p.fail(c, err)
		return
	}
	p.tell(c, "password")
	c.Redirect(http.StatusSeeOther, "/area-riservata")
}

type profilePage struct {
	frame
	Username, Email, Code string // Code with its middle hidden
	Error                 string // for the form; always empty here
}

func (p *portal) profile(c *gin.Context) {
	a := account(c)
	p.render(c, http.StatusOK, "profile", profilePage{
		frame: p.frame(c), Username: a.Username, Email: a.Email, Code: a.Code.LogValue().String(),
	})
}
