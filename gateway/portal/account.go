// SPDX-License-Identifier: Apache-2.0

package portal

import (
	"errors"
	"net/http"
	"slices"
	"strings"

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
	Basketed bool // and that page is of the cart, which outlives a session
	// Providers are the identities one may enter with; Failed names the one that
	// did not work, because it does not answer (Away), told no fiscal code
	// (NoCode), or for whatever else.
	Providers    []IdentityProvider
	Failed       string
	Away, NoCode bool
}

func (p *portal) loginForm(c *gin.Context) {
	back := returnPath(c.Query("torna"), "")
	if account(c) != nil {
		c.Redirect(http.StatusSeeOther, returnPath(back, "/"))
		return
	}
	p.render(c, http.StatusOK, "login", loginPage{frame: p.frame(c), Return: back, LeftOut: back != "", Outcome: isOutcome(back), Basketed: strings.HasPrefix(back, "/carrello"), Providers: p.identities})
}

func (p *portal) login(c *gin.Context) {
	if !p.within(c, p.guesses) {
		return
	}
	username, back := c.PostForm("username"), returnPath(c.PostForm("torna"), "")
	a, err := p.svc.LogIn(c.Request.Context(), username, c.PostForm("password"))
	switch {
	case errors.Is(err, gateway.ErrCredentials):
		p.render(c, http.StatusUnauthorized, "login", loginPage{frame: p.frame(c), Return: back, Username: username, Wrong: true, Providers: p.identities})
		return
	case err != nil:
		p.fail(c, err)
		return
	}
	if err := p.enter(c, a); err != nil {
		p.fail(c, err)
		return
	}
	c.Redirect(http.StatusSeeOther, returnPath(back, "/"))
}

// enter begins the session of an account whose holder has proved to be it.
func (p *portal) enter(c *gin.Context, a gateway.Account) error {
	ctx := c.Request.Context()
	// A new id, so that nobody who knew the old one is logged in now.
	if err := p.sessions.RenewToken(ctx); err != nil {
		return err
	}
	if before := p.sessions.GetString(ctx, sessionAccount); before != "" && before != a.ID {
		// Another family on the same device: what the first chose is not
		// theirs. A guest's cart, though, stays with who logs in.
		if err := p.sessions.Clear(ctx); err != nil {
			return err
		}
	}
	if before := p.sessions.GetString(ctx, sessionLogin); before != "" {
		if err := p.svc.EndLogin(ctx, a.ID, before); err != nil {
			return err
		}
	}
	login, err := p.svc.Enter(ctx, a.ID, device(c.Request.UserAgent()))
	if err != nil {
		return err
	}
	p.sessions.Put(ctx, sessionAccount, a.ID)
	p.sessions.Put(ctx, sessionLogin, login.ID)
	if chosen := p.sessions.GetString(ctx, sessionLanguage); chosen != "" && chosen != a.Language {
		p.keepLanguage(c, a.ID, chosen)
	}
	// The cart of a session that ended, together with what was chosen since.
	left, err := p.svc.Basket(ctx, a.ID)
	if err != nil {
		return err
	}
	refs := p.refs(ctx)
	for _, r := range left {
		if len(refs) < gateway.MaxCartNotices && !slices.Contains(refs, r) {
			refs = append(refs, r)
		}
	}
	c.Set(accountKey, &a)
	return p.setRefs(c, refs)
}

// device is a browser in a few words: what a family needs to tell its own apart,
// and no more.
func device(agent string) string {
	pick := func(names ...[2]string) string {
		for _, n := range names {
			if strings.Contains(agent, n[0]) {
				return n[1]
			}
		}
		return ""
	}
	// Each claims to be some of those after it.
	browser := pick([2]string{"Edg", "Edge"}, [2]string{"OPR/", "Opera"}, [2]string{"SamsungBrowser", "Samsung Internet"},
		[2]string{"Firefox", "Firefox"}, [2]string{"FxiOS", "Firefox"}, [2]string{"CriOS", "Chrome"}, [2]string{"Chrom", "Chrome"}, [2]string{"Safari", "Safari"})
	system := pick([2]string{"Android", "Android"}, [2]string{"iPhone", "iPhone"}, [2]string{"iPad", "iPad"}, [2]string{"Windows", "Windows"},
		[2]string{"Mac OS", "Mac"}, [2]string{"CrOS", "ChromeOS"}, [2]string{"Linux", "Linux"})
	return strings.Join(slices.DeleteFunc([]string{browser, system}, func(s string) bool { return s == "" }), ", ")
}

func (p *portal) logout(c *gin.Context) {
	ctx, t := c.Request.Context(), p.tongue(c)
	if err := p.svc.EndLogin(ctx, account(c).ID, p.sessions.GetString(ctx, sessionLogin)); err != nil {
		p.fail(c, err)
		return
	}
	p.leave(c, t, "/accesso")
}

// leave ends the session and goes on in its language.
func (p *portal) leave(c *gin.Context, t *tongue, to string) {
	if err := p.sessions.Destroy(c.Request.Context()); err != nil {
		p.fail(c, err)
		return
	}
	if t != p.asked(c.Request) {
		to += "?lang=" + t.code // the session that kept it is gone
	}
	c.Redirect(http.StatusSeeOther, to)
}

type passwordPage struct {
	frame
	Provisional bool
	Error       string // old, weak, guessable, same, differ
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
		switch err := p.svc.ChangePassword(ctx, a.ID, p.sessions.GetString(ctx, sessionLogin), before, wanted); {
		case errors.Is(err, gateway.ErrGuessablePassword):
			page.Error = "guessable"
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
	to := "/area-riservata"
	if a.MustChange {
		to = "/" // the first time: on to what one came for
	}
	c.Redirect(http.StatusSeeOther, to)
}

type consentsPage struct {
	frame
	First  bool // never asked before
	Return string
	Mail   bool
	Choice bool
	At     any // when it was last said
}

func (p *portal) consents(c *gin.Context) {
	a := account(c)
	p.render(c, http.StatusOK, "consents", consentsPage{
		frame: p.frame(c), First: a.ConsentsAt.IsZero(), Return: returnPath(c.Query("torna"), ""),
		Mail: a.MailConsent, Choice: a.ChoiceConsent, At: a.ConsentsAt,
	})
}

// setConsents takes the first answer, to all at once, and later ones, to one.
func (p *portal) setConsents(c *gin.Context) {
	a := account(c)
	mails, choice := a.MailConsent, a.ChoiceConsent
	switch c.PostForm("consenso") {
	case "tutti":
		mails, choice = true, true
	case "nessuno":
		mails, choice = false, false
	case "email":
		mails = c.PostForm("valore") == "si"
	case "scelta":
		choice = c.PostForm("valore") == "si"
	default:
		p.problem(c, http.StatusBadRequest)
		return
	}
	if err := p.svc.SetConsents(c.Request.Context(), a.ID, mails, choice); err != nil {
		p.fail(c, err)
		return
	}
	if a.ConsentsAt.IsZero() {
		c.Redirect(http.StatusSeeOther, returnPath(c.PostForm("torna"), "/"))
		return
	}
	p.tell(c, "consents")
	c.Redirect(http.StatusSeeOther, "/consensi")
}
