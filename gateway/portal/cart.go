// SPDX-License-Identifier: Apache-2.0

package portal

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/money"
)

// refs is the basket: the notices chosen in this session. Only references are
// kept; what they stand for is read, and checked, each time.
func (p *portal) refs(ctx context.Context) []gateway.NoticeRef {
	var refs []gateway.NoticeRef
	for _, s := range strings.Fields(p.sessions.GetString(ctx, sessionBasket)) {
		school, number, _ := strings.Cut(s, "/")
		if ref, err := parseRef(school, number); err == nil {
			refs = append(refs, ref)
		}
	}
	return refs
}

// setRefs fills the basket; a family's is kept beside the session too, so that
// one that expires loses nothing.
func (p *portal) setRefs(c *gin.Context, refs []gateway.NoticeRef) error {
	words := make([]string, len(refs))
	for i, r := range refs {
		words[i] = string(r.School) + "/" + r.Number.String()
	}
	p.sessions.Put(c.Request.Context(), sessionBasket, strings.Join(words, " "))
	if a := account(c); a != nil {
		return p.svc.SaveBasket(c.Request.Context(), a.ID, refs)
	}
	return nil
}

// maxCarts is how many carts a session remembers.
const maxCarts = 20

// carts are the carts opened in this session: how a guest finds the outcome.
func (p *portal) carts(ctx context.Context) []string {
	return strings.Fields(p.sessions.GetString(ctx, sessionCarts))
}

func (p *portal) rememberCart(ctx context.Context, id string) {
	carts := p.carts(ctx)
	if slices.Contains(carts, id) {
		return
	}
	carts = append(carts, id)
	p.sessions.Put(ctx, sessionCarts, strings.Join(carts[max(0, len(carts)-maxCarts):], " "))
}

// find reads a notice of the basket. own says that the account may see all of
// it; others were looked up by their number, as a guest does.
func (p *portal) find(ctx context.Context, a *gateway.Account, ref gateway.NoticeRef) (n gateway.Notice, own bool, err error) {
	if a != nil {
		n, err = p.svc.FamilyNotice(ctx, *a, ref.School, ref.Number)
		if !errors.Is(err, gateway.ErrNotFound) {
			return n, true, err
		}
	}
	n, err = p.svc.Notice(ctx, ref.School, ref.Number)
	return n, false, err
}

// reasons name the sentences of the gateway's business refusals; the words
// stand in layout.html.
var reasons = []struct {
	err  error
	name string
}{
	{gateway.ErrNoticePaid, "paid"},
	{gateway.ErrNoticeCancelled, "cancelled"},
	{gateway.ErrNoticeExpired, "expired"},
	{gateway.ErrNoticeHeld, "held"},
	{gateway.ErrNoticeDraft, "gone"},
	{gateway.ErrNotFound, "gone"},
	{gateway.ErrInProgress, "in_progress"},
	{gateway.ErrPSPUnavailable, "psp_unavailable"},
	{gateway.ErrRefused, "psp_refused"},
	{gateway.ErrNoBulletin, "no_bulletin"},
	{gateway.ErrOutcomeUnknown, "psp_unknown"},
}

// reason is the name of a refusal, or empty for a fault of ours.
func reason(err error) string {
	for _, r := range reasons {
		if errors.Is(err, r.err) {
			return r.name
		}
	}
	return ""
}

// basket is what is in the cart now.
type basket struct {
	Lines   []notice
	Total   money.Cents
	Dropped []dropped // what cannot be paid any more and was taken out
	Waiting bool      // a payment of one of the lines is in progress
	own     bool      // the account may see all of them
}

type dropped struct {
	Description string
	Why         string // see reasons
}

func (b basket) refs() []gateway.NoticeRef {
	refs := make([]gateway.NoticeRef, len(b.Lines))
	for i, l := range b.Lines {
		refs[i] = l.ref()
	}
	return refs
}

// digest tells whether a form was made for this very basket.
func (b basket) digest() string {
	var parts []string
	for _, l := range b.Lines {
		parts = append(parts, string(l.School), l.Number.String(), l.Amount.String())
	}
	return gateway.RequestKey(parts...)
}

// basket reads the cart, and takes out what cannot be paid any more.
func (p *portal) basket(c *gin.Context) (basket, error) {
	ctx, a, now := c.Request.Context(), account(c), p.svc.Now()
	b := basket{own: true}
	for _, ref := range p.refs(ctx) {
		n, own, err := p.find(ctx, a, ref)
		if err == nil {
			err = n.Payable(now)
		}
		if why := reason(err); why != "" {
			b.Dropped = append(b.Dropped, dropped{n.Description, why})
			continue
		}
		if err != nil {
			return basket{}, err
		}
		school, err := p.svc.School(ctx, ref.School)
		if err != nil {
			return basket{}, err
		}
		line := show(n, school.Name, now)
		if own {
			line = line.forFamily(n)
		}
		line.InBasket = true
		b.own = b.own && own
		b.Waiting = b.Waiting || line.State == stateVerifying
		if b.Total, err = b.Total.Add(n.Amount); err != nil {
			return basket{}, err
		}
		b.Lines = append(b.Lines, line)
	}
	if len(b.Dropped) > 0 {
		if err := p.setRefs(c, b.refs()); err != nil {
			return basket{}, err
		}
	}
	if b.Waiting {
		running, err := p.runningCarts(ctx, a)
		if err != nil {
			return basket{}, err
		}
		for i := range b.Lines {
			b.Lines[i].Cart = running[b.Lines[i].ref()]
		}
	}
	return b, nil
}

type cartPage struct {
	frame
	basket
}

func (p *portal) cart(c *gin.Context) {
	b, err := p.basket(c)
	if err != nil {
		p.fail(c, err)
		return
	}
	p.render(c, http.StatusOK, "cart", cartPage{p.frame(c), b})
}

// addNotice puts a notice of the family into the cart.
func (p *portal) addNotice(c *gin.Context) {
	ref, err := parseRef(c.PostForm("ente"), c.PostForm("avviso"))
	if err != nil {
		p.problem(c, http.StatusNotFound)
		return
	}
	n, err := p.svc.FamilyNotice(c.Request.Context(), *account(c), ref.School, ref.Number)
	if err != nil {
		p.fail(c, err)
		return
	}
	added, err := p.add(c, n)
	if err != nil {
		p.fail(c, err)
		return
	}
	if added {
		back := returnPath(c.PostForm("torna"), "/avvisi")
		c.Redirect(http.StatusSeeOther, back+"#avviso-"+n.Number.String())
		return
	}
	c.Redirect(http.StatusSeeOther, "/carrello")
}

// add puts a notice into the cart, and leaves a sentence for the next page. It
// says whether the notice is in the cart now.
func (p *portal) add(c *gin.Context, n gateway.Notice) (added bool, err error) {
	ctx, now := c.Request.Context(), p.svc.Now()
	refs, ref := p.refs(ctx), gateway.NoticeRef{School: n.School, Number: n.Number}
	refused := n.Payable(now)
	if refused == nil && inProgress(n, now) {
		refused = gateway.ErrInProgress
	}
	switch {
	case refused != nil:
		p.tell(c, reason(refused))
		return false, nil
	case slices.Contains(refs, ref):
		p.tell(c, "already")
		return true, nil
	case len(refs) >= gateway.MaxCartNotices:
		p.tell(c, "full")
		return false, nil
	}
	p.tell(c, "added")
	return true, p.setRefs(c, append(refs, ref))
}

func (p *portal) removeNotice(c *gin.Context) {
	ctx := c.Request.Context()
	ref, err := parseRef(c.PostForm("ente"), c.PostForm("avviso"))
	if err != nil {
		p.problem(c, http.StatusNotFound)
		return
	}
	refs := p.refs(ctx)
	if slices.Contains(refs, ref) {
		if err := p.setRefs(c, without(refs, ref)); err != nil {
			p.fail(c, err)
			return
		}
		p.tell(c, "removed")
	}
	c.Redirect(http.StatusSeeOther, returnPath(c.PostForm("torna"), "/carrello"))
}

func without(refs []gateway.NoticeRef, gone ...gateway.NoticeRef) []gateway.NoticeRef {
	return slices.DeleteFunc(slices.Clone(refs), func(r gateway.NoticeRef) bool { return slices.Contains(gone, r) })
}
