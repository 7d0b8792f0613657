// SPDX-License-Identifier: Apache-2.0

package portal

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/money"
)

// outcomePrefix is where outcomes stand; gateway.Service sends PSPs there.
const outcomePrefix = "/carrello/esito/"

func isOutcome(path string) bool { return strings.HasPrefix(path, outcomePrefix) }

type outcomePage struct {
	frame
	Cart   string
	Phase  phase
	Lines  []notice
	PSP    string
	Amount money.Cents
	Fee    money.Cents
	Total  money.Cents
	Hint   string // what the PSP's page says: wording only
	Resume string // the PSP's page, while it may still be used
	Print  string // the postal bulletins, where there are some
	Guest  bool   // the reader may not see whom the notices are for
	Again  bool   // what was not paid can be paid again now
	// Free is when notices that wait for a page which was left are to be paid
	// again, unless a receipt comes; zero where nothing was said.
	Free    time.Time
	Stamp   string // changes when there is something new to show
	Refresh int    // seconds until a browser without scripts asks again; 0: no more
}

// phase is how far the payment is; the words stand in outcome.html.
type phase string

const (
	phaseVerifying phase = "verifying"
	phasePaid      phase = "paid"
	phasePartial   phase = "partial"
	phaseFailed    phase = "failed"
	phaseExpired   phase = "expired"
	phasePrinted   phase = "printed" // nothing runs: the payer has a paper
)

var phases = map[gateway.CartState]phase{
	gateway.CartOpen:          phaseVerifying,
	gateway.CartRedirected:    phaseVerifying,
	gateway.CartClosedOK:      phasePaid,
	gateway.CartClosedPartial: phasePartial,
	gateway.CartClosedKO:      phaseFailed,
	gateway.CartClosedExpired: phaseExpired,
}

// refreshFor is how long after its beginning a payment is asked for again by
// browsers without scripts.
const refreshFor = 20 * time.Minute

// cartOf finds the cart of the address, if it is the reader's: of the account,
// or opened in this session.
func (p *portal) cartOf(c *gin.Context) (gateway.Cart, error) {
	ctx := c.Request.Context()
	cart, err := p.svc.Cart(ctx, c.Param("cart"))
	if err != nil {
		return gateway.Cart{}, err
	}
	a := account(c)
	if a != nil && cart.Account == a.ID || slices.Contains(p.carts(ctx), cart.ID) {
		return cart, nil
	}
	return gateway.Cart{}, gateway.ErrNotFound
}

// outcome shows how a payment stands. What the PSP put into the address is a
// hint for the wording; only a receipt makes a notice paid.
func (p *portal) outcome(c *gin.Context) {
	page, err := p.outcomeOf(c)
	switch {
	case errors.Is(err, gateway.ErrNotFound) && account(c) == nil:
		p.toLogin(c) // a session that ended while at the PSP
		return
	case err != nil:
		p.fail(c, err)
		return
	}
	switch c.Query("esito") {
	case "ko", "errore", "annullato":
		page.Hint = c.Query("esito")
	default:
		page.Free = time.Time{}
	}
	page.frame = p.frame(c)
	p.render(c, http.StatusOK, "outcome", page)
}

func (p *portal) outcomeOf(c *gin.Context) (outcomePage, error) {
	ctx, now := c.Request.Context(), p.svc.Now()
	cart, err := p.cartOf(c)
	if err != nil {
		return outcomePage{}, err
	}
	// A family that looks is a good moment to ask the PSP, where it can be asked.
	if phases[cart.State] == phaseVerifying {
		if err := p.svc.AskSoon(ctx, cart.ID); err != nil {
			return outcomePage{}, err
		}
	}
	page := outcomePage{
		Cart: cart.ID, Phase: phases[cart.State], PSP: p.svc.PSPName(cart.PSP),
		Amount: cart.Amount(), Fee: cart.Fee, Total: cart.Amount() + cart.Fee,
	}
	if cart.Printed() {
		page.Phase = phasePrinted
	}
	if page.Print, err = p.svc.BulletinURL(ctx, cart); err != nil {
		return outcomePage{}, err
	}
	marks := []string{string(cart.State)}
	paid := 0
	for _, cn := range cart.Notices {
		n, own, err := p.find(ctx, account(c), gateway.NoticeRef{School: cn.School, Number: cn.Number})
		if err != nil {
			return outcomePage{}, err
		}
		school, err := p.svc.School(ctx, cn.School)
		if err != nil {
			return outcomePage{}, err
		}
		line := show(n, school.Name, now)
		if own {
			line = line.forFamily(n)
		} else {
			page.Guest, line.Receipt = true, ""
		}
		line.Amount = cn.Amount
		if n.Payment != nil {
			page.Free = n.Payment.ExpiresAt
		}
		page.Again = page.Again || line.State == stateOpen
		if line.State == statePaid {
			paid++
		} else if page.Phase == phaseVerifying {
			line.State = stateVerifying
		}
		page.Lines = append(page.Lines, line)
		marks = append(marks, string(line.State))
	}
	if paid == len(page.Lines) {
		page.Phase = phasePaid // by receipts that came another way, too
	}
	if page.Phase == phaseVerifying || page.Phase == phasePrinted {
		page.Again = false
	}
	page.Stamp = gateway.RequestKey(marks...)[:16]
	if page.Phase == phaseVerifying {
		if paid == 0 && cart.State == gateway.CartRedirected {
			page.Resume = cart.Redirect
		}
		if now.Sub(cart.CreatedAt) < refreshFor {
			page.Refresh = 5
		}
	}
	return page, nil
}

// payAgain puts what a payment left unpaid into the cart, as far as it has room.
func (p *portal) payAgain(c *gin.Context) {
	ctx, now := c.Request.Context(), p.svc.Now()
	cart, err := p.cartOf(c)
	if err != nil {
		p.fail(c, err)
		return
	}
	refs := p.refs(ctx)
	for _, cn := range cart.Notices {
		ref := gateway.NoticeRef{School: cn.School, Number: cn.Number}
		n, _, err := p.find(ctx, account(c), ref)
		if err != nil {
			p.fail(c, err)
			return
		}
		if n.Payable(now) == nil && !inProgress(n, now) && !slices.Contains(refs, ref) && len(refs) < gateway.MaxCartNotices {
			refs = append(refs, ref)
		}
	}
	if err := p.setRefs(c, refs); err != nil {
		p.fail(c, err)
		return
	}
	c.Redirect(http.StatusSeeOther, "/carrello")
}

// outcomeState is for the page's script: whether there is something new.
func (p *portal) outcomeState(c *gin.Context) {
	page, err := p.outcomeOf(c)
	switch {
	case errors.Is(err, gateway.ErrNotFound):
		c.JSON(http.StatusNotFound, gin.H{})
	case err != nil:
		p.log.Error("portal", "route", c.FullPath(), "error", err)
		c.JSON(http.StatusInternalServerError, gin.H{})
	default:
		c.JSON(http.StatusOK, gin.H{"stamp": page.Stamp, "done": page.Phase != phaseVerifying})
	}
}
