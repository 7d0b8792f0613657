// SPDX-License-Identifier: Apache-2.0

package portal

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/money"
	"github.com/nodogate/nodogate/iuv"
)

// notice is what a page may show of a notice. Who it is for stands in it only
// when the reader is of the family.
type notice struct {
	School      gateway.SchoolCode
	SchoolName  string
	Number      iuv.Number
	Description string
	Amount      money.Cents
	Due         gateway.Date
	State       shownState
	Held        bool // money came that does not fit: the school decides
	PaidAt      time.Time
	Receipt     string // id of the settling receipt
	Child       string
	Class       string
	InBasket    bool
	// Cart is the reader's own cart that is being paid, to go on with it.
	Cart string
}

// shownState is a state as families read it; the words stand in parts.html.
type shownState string

const (
	stateOpen      shownState = "open"
	stateVerifying shownState = "verifying"
	statePaid      shownState = "paid"
	stateExpired   shownState = "expired"
	stateCancelled shownState = "cancelled"
)

// show is what a stranger may see of a notice.
func show(n gateway.Notice, schoolName string, now time.Time) notice {
	v := notice{
		School: n.School, SchoolName: schoolName, Number: n.Number, Description: n.Description,
		Amount: n.Amount, Due: n.DueDate, Held: n.Held, PaidAt: n.PaidAt, Receipt: n.SettledBy,
	}
	switch state := n.StateAt(now); {
	case state == gateway.NoticePaid:
		v.State = statePaid
	case inProgress(n, now), n.Held:
		v.State = stateVerifying
	case state == gateway.NoticeCancelled:
		v.State = stateCancelled
	case state == gateway.NoticeExpired:
		v.State = stateExpired
	default:
		v.State = stateOpen
	}
	return v
}

// inProgress says whether somebody's payment of the notice may still succeed.
func inProgress(n gateway.Notice, now time.Time) bool {
	return n.Payment != nil && now.Before(n.Payment.ExpiresAt)
}

// forFamily adds what only the family may see.
func (v notice) forFamily(n gateway.Notice) notice {
	v.Child, v.Class = n.Debtor.Name, n.Debtor.Class
	return v
}

func (v notice) ref() gateway.NoticeRef { return gateway.NoticeRef{School: v.School, Number: v.Number} }

func byDueDate(a, b notice) int {
	return cmp.Or(strings.Compare(a.Due.String(), b.Due.String()), strings.Compare(a.Number.String(), b.Number.String()))
}

// familyNotice is a notice with the pupil it is listed under.
type familyNotice struct {
	notice
	pupil gateway.FiscalCode // empty: addressed to the reader
	name  string             // of the pupil
}

// familyNotices are notices the account may see, newest first.
func (p *portal) familyNotices(c *gin.Context, a gateway.Account, f gateway.FamilyFilter) ([]familyNotice, error) {
	ctx, now := c.Request.Context(), p.svc.Now()
	list, err := p.svc.FindFamilyNotices(ctx, a, f)
	if err != nil {
		return nil, err
	}
	basket := p.refs(ctx)
	out := make([]familyNotice, len(list))
	verifying := false
	for i, n := range list {
		v := show(n.Notice, n.SchoolName, now).forFamily(n.Notice)
		v.InBasket = slices.Contains(basket, v.ref())
		verifying = verifying || v.State == stateVerifying
		out[i] = familyNotice{notice: v}
		if n.Pupil.Code != "" {
			out[i].pupil, out[i].name = n.Pupil.Code, n.Pupil.FirstName+" "+n.Pupil.LastName
		}
	}
	if verifying {
		running, err := p.runningCarts(ctx, &a)
		if err != nil {
			return nil, err
		}
		for i := range out {
			out[i].Cart = running[out[i].ref()]
		}
	}
	return out, nil
}

// runningCarts are the reader's own carts that are being paid, by notice.
func (p *portal) runningCarts(ctx context.Context, a *gateway.Account) (map[gateway.NoticeRef]string, error) {
	var carts []gateway.Cart
	if a != nil {
		var err error
		if carts, err = p.svc.CartsOfAccount(ctx, a.ID, 20); err != nil {
			return nil, err
		}
	}
	for _, id := range p.carts(ctx) {
		cart, err := p.svc.Cart(ctx, id)
		if errors.Is(err, gateway.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		carts = append(carts, cart)
	}
	running := map[gateway.NoticeRef]string{}
	for _, cart := range carts {
		if cart.State != gateway.CartRedirected || cart.Printed() {
			continue
		}
		for _, n := range cart.Notices {
			if !n.Settled {
				running[gateway.NoticeRef{School: n.School, Number: n.Number}] = cart.ID
			}
		}
	}
	return running, nil
}

type noticesPage struct {
	frame
	All      bool // the tab: all, or only what is to pay
	Proven   bool
	Any      bool // the family has notices, though perhaps not in this tab
	Expired  int  // not shown in the tab of what is to pay
	Groups   []noticeGroup
	HelpText string
}

// noticeGroup is one child, or the reader.
type noticeGroup struct {
	Own     bool
	Child   string
	Schools []schoolNotices
}

type schoolNotices struct {
	Name    string
	Notices []notice
}

func (p *portal) notices(c *gin.Context) {
	a := account(c)
	page := noticesPage{All: c.Query("mostra") == "tutti", Proven: a.Proven, HelpText: p.svc.HelpText()}
	part := gateway.FamilyUnpaid
	if page.All {
		part = gateway.FamilyAll
	}
	list, err := p.familyNotices(c, *a, gateway.FamilyFilter{Part: part})
	if page.Any = len(list) > 0; err == nil && !page.Any && !page.All {
		var one []gateway.FamilyNotice
		one, err = p.svc.FindFamilyNotices(c.Request.Context(), *a, gateway.FamilyFilter{Limit: 1})
		page.Any = len(one) > 0
	}
	if err != nil {
		p.fail(c, err)
		return
	}
	page.frame = p.frame(c)
	shown := list[:0:0]
	for _, n := range list {
		switch {
		case page.All, n.State == stateOpen, n.State == stateVerifying:
			shown = append(shown, n)
		case n.State == stateExpired:
			page.Expired++
		}
	}
	page.Groups = group(shown, page.All)
	p.render(c, http.StatusOK, "notices", page)
}

// group orders notices by child, then school: what is to pay by due date, all
// from the newest.
func group(list []familyNotice, newestFirst bool) []noticeGroup {
	type key struct {
		pupil  gateway.FiscalCode
		school gateway.SchoolCode
	}
	sorted := slices.Clone(list)
	slices.SortStableFunc(sorted, func(a, b familyNotice) int {
		own := func(n familyNotice) int {
			if n.pupil == "" {
				return 1
			}
			return 0
		}
		order := cmp.Or(
			cmp.Compare(own(a), own(b)), // the reader's own come last
			strings.Compare(strings.ToLower(a.name), strings.ToLower(b.name)),
			strings.Compare(string(a.pupil), string(b.pupil)),
			strings.Compare(a.SchoolName, b.SchoolName),
			strings.Compare(string(a.School), string(b.School)),
		)
		if order == 0 && !newestFirst {
			order = byDueDate(a.notice, b.notice)
		}
		return order
	})
	var groups []noticeGroup
	var last key
	for i, n := range sorted {
		k := key{n.pupil, n.School}
		if i == 0 || k.pupil != last.pupil {
			groups = append(groups, noticeGroup{Own: n.pupil == "", Child: n.name})
		}
		g := &groups[len(groups)-1]
		if i == 0 || k != last {
			g.Schools = append(g.Schools, schoolNotices{Name: n.SchoolName})
		}
		s := &g.Schools[len(g.Schools)-1]
		s.Notices = append(s.Notices, n.notice)
		last = k
	}
	return groups
}

type noticePage struct {
	frame
	Notice   notice
	History  []happening
	Receipts []noticeReceipt
	Help     string
}

// happening is one line of a notice's history; the words stand in notice.html.
type happening struct {
	What string
	At   time.Time
}

type noticeReceipt struct {
	ID     string
	School gateway.SchoolCode
	PaidAt time.Time
	Amount money.Cents
	PSP    string
}

func (p *portal) notice(c *gin.Context) {
	ctx, a := c.Request.Context(), account(c)
	ref, err := parseRef(c.Param("school"), c.Param("number"))
	if err != nil {
		p.problem(c, http.StatusNotFound)
		return
	}
	n, err := p.svc.FamilyNotice(ctx, *a, ref.School, ref.Number)
	if err != nil {
		p.fail(c, err)
		return
	}
	school, err := p.svc.School(ctx, n.School)
	if err != nil {
		p.fail(c, err)
		return
	}
	events, err := p.svc.Events(ctx, n.School, n.Number)
	if err != nil {
		p.fail(c, err)
		return
	}
	page := noticePage{frame: p.frame(c), Notice: show(n, school.Name, p.svc.Now()).forFamily(n), History: history(events)}
	page.Notice.InBasket = slices.Contains(p.refs(ctx), ref)
	if page.Help = school.HelpText; page.Help == "" {
		page.Help = p.svc.HelpText()
	}
	if page.Notice.State == stateVerifying {
		running, err := p.runningCarts(ctx, a)
		if err != nil {
			p.fail(c, err)
			return
		}
		page.Notice.Cart = running[ref]
	}
	for _, id := range n.Receipts {
		r, err := p.svc.Receipt(ctx, n.School, id)
		if err != nil {
			p.fail(c, err)
			return
		}
		page.Receipts = append(page.Receipts, noticeReceipt{ID: r.ID, School: r.School, PaidAt: paidAt(r), Amount: r.Content.Amount, PSP: r.Content.PSP.Name})
	}
	p.render(c, http.StatusOK, "notice", page)
}

func history(events []gateway.Event) []happening {
	var out []happening
	for _, e := range events {
		what := string(e.Kind)
		switch {
		case e.Kind == gateway.EventPaymentEnded:
			what += "." + string(e.State)
		case e.Kind == gateway.EventReceiptRecorded && e.Anomaly == gateway.AnomalyDouble:
			what = "double"
		case e.Kind == gateway.EventReceiptRecorded && e.Anomaly == gateway.AnomalyAmount:
			what = "amount"
		}
		out = append(out, happening{what, e.At})
	}
	return out
}

// parseRef reads a notice's place in an address or a form.
func parseRef(school, number string) (gateway.NoticeRef, error) {
	s, err := gateway.ParseSchoolCode(school)
	if err != nil {
		return gateway.NoticeRef{}, err
	}
	n, err := iuv.Parse(number)
	return gateway.NoticeRef{School: s, Number: n}, err
}
