// SPDX-License-Identifier: Apache-2.0

package portal

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/money"
)

type checkoutPage struct {
	frame
	basket
	Methods []methodChoice
	Email   string
	Guest   bool   // nobody to take an e-mail address from
	Key     string // makes pressing Paga twice one payment
	Digest  string // of the cart as shown
	Error   string // see reasons; also choose, email, changed, fee_changed
}

type methodChoice struct {
	Method  gateway.Method
	Checked bool
	PSPs    []pspChoice
}

type pspChoice struct {
	gateway.PSPOffer
	Total   money.Cents
	Checked bool
}

// choice is what the form should have ticked.
type choice struct {
	method gateway.Method
	psp    gateway.PSPID
	failed gateway.PSPID // did not work just now: not to be ticked again
	email  string
}

func (p *portal) checkout(c *gin.Context) {
	b, err := p.basket(c)
	if err != nil {
		p.fail(c, err)
		return
	}
	if len(b.Lines) == 0 || len(b.Dropped) > 0 || b.Waiting {
		p.cartInstead(c, b)
		return
	}
	var wanted choice
	if a := account(c); a != nil {
		wanted.method, wanted.psp = a.LastMethod, a.LastPSP
	}
	p.checkoutPage(c, http.StatusOK, b, wanted, "")
}

// cartInstead shows the cart to who cannot pay it as it is.
func (p *portal) cartInstead(c *gin.Context, b basket) {
	p.render(c, http.StatusConflict, "cart", cartPage{p.frame(c), b})
}

func (p *portal) checkoutPage(c *gin.Context, status int, b basket, wanted choice, problem string) {
	page := checkoutPage{
		basket: b, Email: wanted.email, Guest: !p.pays(c, b),
		Key: rand.Text(), Digest: b.digest(), Error: problem,
	}
	if page.Guest {
		p.guest(c) // the key is worth nothing without an identity
	}
	offers, err := p.svc.OffersFor(c.Request.Context(), b.refs())
	if err != nil {
		p.fail(c, err)
		return
	}
	page.Methods = offer(offers, b.Total, wanted)
	page.frame = p.frame(c)
	p.render(c, status, "checkout", page)
}

// pays says whether the account itself pays: whoever has a notice in the cart
// that is not the family's pays as a guest.
func (p *portal) pays(c *gin.Context, b basket) bool { return account(c) != nil && b.own }

// offer ticks one method and one PSP for each: what is wanted where it can be
// had, otherwise the first that can.
func offer(offers []gateway.MethodOffer, amount money.Cents, wanted choice) []methodChoice {
	out := make([]methodChoice, 0, len(offers))
	ticked := -1
	for i, o := range offers {
		m := methodChoice{Method: o.Method}
		best, first := -1, -1
		for j, psp := range o.PSPs {
			m.PSPs = append(m.PSPs, pspChoice{PSPOffer: psp, Total: amount + psp.Fee})
			if !psp.Available || psp.ID == wanted.failed {
				continue
			}
			if first < 0 {
				first = j
			}
			if psp.ID == wanted.psp {
				best = j
			}
		}
		if best < 0 {
			best = first
		}
		if best >= 0 {
			m.PSPs[best].Checked = true
			if ticked < 0 || o.Method == wanted.method {
				ticked = i
			}
		}
		out = append(out, m)
	}
	if ticked >= 0 {
		out[ticked].Checked = true
	}
	return out
}

// keyForm is what rand.Text makes, with room.
var keyForm = regexp.MustCompile(`^[A-Z2-7]{20,40}$`)

// payWithin is how long Paga may take: longer than a PSP is given.
const payWithin = 20 * time.Second

func (p *portal) pay(c *gin.Context) {
	if !keyForm.MatchString(c.PostForm("chiave")) {
		p.problem(c, http.StatusBadRequest)
		return
	}
	b, err := p.basket(c)
	if err != nil {
		p.fail(c, err)
		return
	}
	a := account(c)
	payer, actor := "guest:"+p.sessions.GetString(c.Request.Context(), sessionGuest), gateway.Actor{Kind: "guest", Name: "guest"}
	if a != nil {
		payer, actor = "account:"+a.ID, gateway.Actor{Kind: "account", Name: a.ID}
	}
	key := gateway.RequestKey("portal", payer, c.PostForm("chiave"))

	// Sent again after it worked (a second click, the back button): the answer
	// is the same, though the cart in the session may be empty by now.
	if done, err := p.svc.CartOfRequest(c.Request.Context(), key); err == nil && done.State != gateway.CartOpen {
		p.toPSP(c, done)
		return
	} else if err != nil && !errors.Is(err, gateway.ErrNotFound) {
		p.fail(c, err)
		return
	}
	method := gateway.Method(c.PostForm("metodo"))
	wanted := choice{method: method, psp: gateway.PSPID(c.PostForm("psp_" + string(method))), email: c.PostForm("email")}
	switch {
	case len(b.Lines) == 0 && len(b.Dropped) == 0 && a == nil:
		p.toLogin(c) // the session ended on the way
		return
	case len(b.Lines) == 0, len(b.Dropped) > 0:
		p.cartInstead(c, b)
		return
	case c.PostForm("carrello") != b.digest():
		p.checkoutPage(c, http.StatusConflict, b, wanted, "changed")
		return
	case wanted.psp == "":
		p.checkoutPage(c, http.StatusBadRequest, b, wanted, "choose")
		return
	}
	req := gateway.PayRequest{Key: key, Notices: b.refs(), Method: method, PSP: wanted.psp, Actor: actor, Email: wanted.email,
		Device: gateway.PayerDevice{IP: c.ClientIP(), UserAgent: c.Request.UserAgent()},
		Shown:  shownFee(c.PostForm("commissione_" + string(method) + "_" + string(wanted.psp)))}
	if p.pays(c, b) {
		req.Account, req.Email = a, a.Email
	}
	cart, err := p.payOnce(c, req)
	if err != nil {
		p.payFailed(c, b, wanted, err)
		return
	}
	if req.Account != nil {
		if err := p.svc.RememberChoice(c.Request.Context(), a.ID, method, cart.PSP); err != nil {
			p.log.Warn("portal: choice not remembered", "error", err)
		}
	}
	p.toPSP(c, cart)
}

// shownFee is the fee that the page showed for the PSP. Who changes it in the form
// is shown the page again; who leaves it out pays what the PSP takes.
func shownFee(cents string) *money.Cents {
	n, err := strconv.ParseInt(cents, 10, 64)
	if err != nil {
		return nil
	}
	fee := money.Cents(n)
	return &fee
}

// payOnce pays. A second click cancels the first in the browser, not here, and
// waits for what the first brings.
func (p *portal) payOnce(c *gin.Context, req gateway.PayRequest) (gateway.Cart, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Request.Context()), payWithin)
	defer cancel()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for {
		cart, err := p.svc.Pay(ctx, req)
		if !errors.Is(err, gateway.ErrInProgress) {
			return cart, err
		}
		if _, err2 := p.svc.CartOfRequest(ctx, req.Key); err2 != nil {
			return cart, err // somebody else is paying
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return cart, err
		}
	}
}

// payFailed shows the way on after a no.
func (p *portal) payFailed(c *gin.Context, b basket, wanted choice, err error) {
	var invalid *gateway.Invalid
	switch why := reason(err); {
	case errors.As(err, &invalid):
		problem := "choose"
		if slices.ContainsFunc(invalid.Fields, func(f gateway.FieldError) bool { return f.Field == "payer.email" }) {
			problem = "email"
		}
		p.checkoutPage(c, http.StatusBadRequest, b, wanted, problem)
	case errors.Is(err, gateway.ErrFeeChanged):
		p.checkoutPage(c, http.StatusConflict, b, wanted, "fee_changed")
	case why == "":
		p.fail(c, err)
	case why == "psp_unavailable", why == "psp_refused", why == "psp_unknown":
		p.log.Warn("portal: payment not started", "psp", wanted.psp, "reason", why)
		wanted.failed = wanted.psp
		p.checkoutPage(c, http.StatusServiceUnavailable, b, wanted, why)
	case why == "no_bulletin":
		wanted.failed = wanted.psp
		p.checkoutPage(c, http.StatusConflict, b, wanted, why)
	default:
		// Of a notice: reading the cart again finds which, and takes it out.
		if b, err = p.basket(c); err != nil {
			p.fail(c, err)
			return
		}
		if why == "in_progress" {
			p.tell(c, why)
		}
		p.cartInstead(c, b)
	}
}

// toPSP takes the notices out of the basket and the payer to the PSP's page, or
// to the outcome when there is one.
func (p *portal) toPSP(c *gin.Context, cart gateway.Cart) {
	ctx := c.Request.Context()
	var paid []gateway.NoticeRef
	for _, n := range cart.Notices {
		paid = append(paid, gateway.NoticeRef{School: n.School, Number: n.Number})
	}
	if refs := p.refs(ctx); len(refs) > 0 {
		// The payment is open: a basket that still shows it is a small thing.
		if err := p.setRefs(c, without(refs, paid...)); err != nil {
			p.log.Warn("portal: basket not kept", "error", err)
		}
	}
	p.rememberCart(ctx, cart.ID)
	if cart.State == gateway.CartRedirected && cart.Redirect != "" {
		c.Redirect(http.StatusSeeOther, cart.Redirect)
		return
	}
	c.Redirect(http.StatusSeeOther, "/carrello/esito/"+cart.ID)
}
