// SPDX-License-Identifier: Apache-2.0

package portal

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/money"
)

type paymentsPage struct {
	frame
	Proven       bool
	Payments     []payment
	Newer, Older int // pages; 0: none
}

type payment struct {
	notice
	PSP  string
	Back money.Cents // what the school gave back of it
}

// pagePayments is how many payments a page shows: each needs its receipt.
const (
	pagePayments    = 20
	maxPaymentPages = 1000
)

// receiptIDs are the settling receipts of notices, by school.
func receiptIDs(list []familyNotice) map[gateway.SchoolCode][]string {
	ids := map[gateway.SchoolCode][]string{}
	for _, n := range list {
		if n.Receipt != "" {
			ids[n.School] = append(ids[n.School], n.Receipt)
		}
	}
	return ids
}

// receiptsOf reads receipts, a school's at once.
func (p *portal) receiptsOf(ctx context.Context, ids map[gateway.SchoolCode][]string) (map[gateway.SchoolCode]map[string]gateway.Receipt, error) {
	out := map[gateway.SchoolCode]map[string]gateway.Receipt{}
	for school, list := range ids {
		found, err := p.svc.ReceiptsByID(ctx, school, list)
		if err != nil {
			return nil, err
		}
		out[school] = map[string]gateway.Receipt{}
		for _, r := range found {
			out[school][r.ID] = r
		}
	}
	return out, nil
}

func (p *portal) payments(c *gin.Context) {
	ctx, a := c.Request.Context(), account(c)
	page := paymentsPage{Proven: a.Proven}
	number, err := strconv.Atoi(c.DefaultQuery("pagina", "1"))
	if err != nil || number < 1 || number > maxPaymentPages {
		p.problem(c, http.StatusNotFound)
		return
	}
	// One more than is shown tells whether there is a next page.
	list, err := p.familyNotices(c, *a, gateway.FamilyFilter{Part: gateway.FamilyPaid, Limit: pagePayments + 1, Offset: (number - 1) * pagePayments})
	if err != nil {
		p.fail(c, err)
		return
	}
	if page.Newer = number - 1; page.Newer > 0 && len(list) == 0 {
		p.problem(c, http.StatusNotFound)
		return
	}
	if len(list) > pagePayments {
		list, page.Older = list[:pagePayments], number+1
	}
	paid, err := p.receiptsOf(ctx, receiptIDs(list))
	if err != nil {
		p.fail(c, err)
		return
	}
	back, err := p.refunded(ctx, receiptIDs(list))
	if err != nil {
		p.fail(c, err)
		return
	}
	for _, n := range list {
		page.Payments = append(page.Payments, payment{n.notice, paid[n.School][n.Receipt].Content.PSP.Name, back[n.School][n.Receipt]})
	}
	page.frame = p.frame(c)
	p.render(c, http.StatusOK, "payments", page)
}

type receiptPage struct {
	frame
	Notice   notice
	ID       string // ours, for the address
	Receipt  string // receiptId, the one banks and schools know
	PaidAt   time.Time
	Amount   money.Cents
	Fee      *money.Cents
	PSP      string
	Settles  bool
	Anomaly  gateway.Anomaly
	Refunds  []refundLine
	HelpText string
}

// maxRefunds is more than one receipt can have.
const maxRefunds = 100

// refundLine is a refund that the school has decided on. What was only asked for
// may still be refused, and is the office's.
type refundLine struct {
	Amount money.Cents
	Done   bool
	At     time.Time
}

// receiptOf finds the receipt of the address, if it is of a notice that the
// family may see.
func (p *portal) receiptOf(c *gin.Context) (gateway.Receipt, gateway.Notice, gateway.School, error) {
	ctx := c.Request.Context()
	none := func(err error) (gateway.Receipt, gateway.Notice, gateway.School, error) {
		return gateway.Receipt{}, gateway.Notice{}, gateway.School{}, err
	}
	code, err := gateway.ParseSchoolCode(c.Param("school"))
	if err != nil {
		return none(gateway.ErrNotFound)
	}
	r, err := p.svc.Receipt(ctx, code, c.Param("receipt"))
	if err != nil {
		return none(err)
	}
	if r.Notice.IsZero() {
		return none(gateway.ErrNotFound)
	}
	n, err := p.svc.FamilyNotice(ctx, *account(c), code, r.Notice)
	if err != nil {
		return none(err)
	}
	school, err := p.svc.School(ctx, code)
	if err != nil {
		return none(err)
	}
	return r, n, school, nil
}

func (p *portal) receipt(c *gin.Context) {
	r, n, school, err := p.receiptOf(c)
	if err != nil {
		p.fail(c, err)
		return
	}
	page := receiptPage{
		frame: p.frame(c), Notice: show(n, school.Name, p.svc.Now()).forFamily(n),
		ID: r.ID, Receipt: r.Content.ID, PaidAt: paidAt(r), Amount: r.Content.Amount, Fee: r.Content.Fee,
		PSP: r.Content.PSP.Name, Settles: r.Settles, Anomaly: r.Anomaly, HelpText: school.HelpText,
	}
	if page.HelpText == "" {
		page.HelpText = p.svc.HelpText()
	}
	refunds, err := p.svc.Refunds(c.Request.Context(), r.School, gateway.RefundFilter{Receipt: r.ID, Limit: maxRefunds})
	if err != nil {
		p.fail(c, err)
		return
	}
	for _, back := range refunds {
		if back.State == gateway.RefundApproved || back.State == gateway.RefundExecuted {
			page.Refunds = append(page.Refunds, refundLine{back.Amount, back.State == gateway.RefundExecuted, back.ChangedAt})
		}
	}
	p.render(c, http.StatusOK, "receipt", page)
}

func (p *portal) receiptPDF(c *gin.Context) {
	r, n, school, err := p.receiptOf(c)
	if err != nil {
		p.fail(c, err)
		return
	}
	pdf, err := p.pdf(r, school)
	if err != nil {
		p.fail(c, err)
		return
	}
	c.Header("Content-Disposition", `attachment; filename="ricevuta-`+n.Number.String()+`.pdf"`)
	c.Data(http.StatusOK, "application/pdf", pdf)
}

// paidAt is the moment of the payment; a receipt that does not say it was paid
// before it came.
func paidAt(r gateway.Receipt) time.Time {
	if r.Content.PaidAt.IsZero() {
		return r.Received
	}
	return r.Content.PaidAt
}
