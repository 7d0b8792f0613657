// SPDX-License-Identifier: Apache-2.0

package portal

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/money"
)

// Attestation says who paid what for whom, for a tax return: one payment, or all
// of a year for one pupil.
type Attestation struct {
	Year     int // 0: of one payment
	Pupil    AttestedPerson
	Payments []AttestedPayment // oldest first
}

// AttestedPerson is a name with its code.
type AttestedPerson struct {
	Name string
	Code gateway.FiscalCode
}

// AttestedPayment is one payment, with its school and who made it; a nil Payer
// is one that nobody named.
type AttestedPayment struct {
	Notice  gateway.Notice
	Receipt gateway.Receipt
	School  gateway.School
	PaidAt  time.Time
	Amount  money.Cents // what was paid, less what went back
	Payer   *AttestedPerson
}

// attested is a payment of the family as an attestation tells it.
func (p *portal) attested(c *gin.Context, n gateway.Notice, r gateway.Receipt) (AttestedPayment, error) {
	ctx, a := c.Request.Context(), account(c)
	school, err := p.svc.School(ctx, n.School)
	if err != nil {
		return AttestedPayment{}, err
	}
	out := AttestedPayment{Notice: n, Receipt: r, School: school, PaidAt: paidAt(r), Amount: r.Content.Amount}
	back, err := p.svc.Refunded(ctx, n.School, r.ID)
	if err != nil {
		return AttestedPayment{}, err
	}
	out.Amount -= back[r.ID]
	if payer := r.Content.Payer; payer != nil && payer.ID != "ANONIMO" {
		out.Payer = &AttestedPerson{payer.FullName, gateway.FiscalCode(payer.ID)}
		return out, nil
	}
	if r.Content.PaymentNote == "" {
		return out, nil
	}
	// Paid on these pages: by whoever was logged in. Another parent's payment
	// is not this one's to claim.
	cart, err := p.svc.Cart(ctx, r.Content.PaymentNote)
	if errors.Is(err, gateway.ErrNotFound) {
		return out, nil
	}
	if err == nil && cart.Account == a.ID {
		out.Payer = &AttestedPerson{a.FirstName + " " + a.LastName, a.Code}
	}
	return out, err
}

// refunded is what schools gave back of receipts: no expense to deduct.
func (p *portal) refunded(ctx context.Context, ids map[gateway.SchoolCode][]string) (map[gateway.SchoolCode]map[string]money.Cents, error) {
	back := map[gateway.SchoolCode]map[string]money.Cents{}
	for school, list := range ids {
		var err error
		if back[school], err = p.svc.Refunded(ctx, school, list...); err != nil {
			return nil, err
		}
	}
	return back, nil
}

// pupilOf is whom a notice of the family is for.
func pupilOf(n gateway.Notice) AttestedPerson {
	who := AttestedPerson{n.Debtor.Name, n.Debtor.Code}
	if who.Code == gateway.Anonymous {
		who.Code = ""
	}
	return who
}

func (p *portal) attestationPDF(c *gin.Context) {
	r, n, _, err := p.receiptOf(c)
	if err == nil && !r.Settles {
		err = gateway.ErrNotFound // a second payment is to be given back
	}
	if err != nil {
		p.fail(c, err)
		return
	}
	payment, err := p.attested(c, n, r)
	if err != nil {
		p.fail(c, err)
		return
	}
	if payment.Amount <= 0 {
		p.problem(c, http.StatusNotFound) // all of it went back
		return
	}
	p.sendAttestation(c, Attestation{Pupil: pupilOf(n), Payments: []AttestedPayment{payment}}, "attestazione-"+n.Number.String())
}

func (p *portal) sendAttestation(c *gin.Context, a Attestation, name string) {
	pdf, err := p.attest(a)
	if err != nil {
		p.fail(c, err)
		return
	}
	c.Header("Content-Disposition", `attachment; filename="`+name+`.pdf"`)
	c.Data(http.StatusOK, "application/pdf", pdf)
}

type attestationsPage struct {
	frame
	Proven bool
	Years  []attestedYear
}

type attestedYear struct {
	Year     int
	Children []attestedChild
}

type attestedChild struct {
	Key   string // stands in the address: tells nothing of the code
	Name  string
	Count int
	Total money.Cents
	list  []familyNotice
}

// attestedYears are the family's payments by year and pupil, newest year first.
func (p *portal) attestedYears(c *gin.Context) ([]attestedYear, error) {
	a := account(c)
	list, err := p.familyNotices(c, *a, gateway.FamilyFilter{Part: gateway.FamilyPaid})
	if err != nil {
		return nil, err
	}
	back, err := p.refunded(c.Request.Context(), receiptIDs(list))
	if err != nil {
		return nil, err
	}
	var years []attestedYear
	for _, n := range slices.Backward(list) {
		if n.Amount -= back[n.School][n.Receipt]; n.Amount <= 0 {
			continue
		}
		year := n.PaidAt.In(gateway.Rome()).Year()
		y := slices.IndexFunc(years, func(x attestedYear) bool { return x.Year == year })
		if y < 0 {
			y = len(years)
			years = append(years, attestedYear{Year: year})
		}
		key, name := gateway.RequestKey("attestation", a.ID, string(n.pupil))[:20], n.name
		if n.pupil == "" {
			name = a.FirstName + " " + a.LastName
		}
		children := &years[y].Children
		i := slices.IndexFunc(*children, func(x attestedChild) bool { return x.Key == key })
		if i < 0 {
			i = len(*children)
			*children = append(*children, attestedChild{Key: key, Name: name})
		}
		child := &(*children)[i]
		child.Count++
		if child.Total, err = child.Total.Add(n.Amount); err != nil {
			return nil, err
		}
		child.list = append(child.list, n)
	}
	slices.SortFunc(years, func(a, b attestedYear) int { return cmp.Compare(b.Year, a.Year) })
	for _, y := range years {
		slices.SortFunc(y.Children, func(a, b attestedChild) int { return strings.Compare(a.Name, b.Name) })
	}
	return years, nil
}

func (p *portal) attestations(c *gin.Context) {
	years, err := p.attestedYears(c)
	if err != nil {
		p.fail(c, err)
		return
	}
	p.render(c, http.StatusOK, "attestations", attestationsPage{frame: p.frame(c), Proven: account(c).Proven, Years: years})
}

func (p *portal) yearPDF(c *gin.Context) {
	ctx := c.Request.Context()
	years, err := p.attestedYears(c)
	if err != nil {
		p.fail(c, err)
		return
	}
	for _, y := range years {
		for _, child := range y.Children {
			if strconv.Itoa(y.Year) != c.Param("year") || child.Key+".pdf" != c.Param("child") {
				continue
			}
			out := Attestation{Year: y.Year}
			for _, n := range child.list {
				full, err := p.svc.FamilyNotice(ctx, *account(c), n.School, n.Number)
				if err != nil {
					p.fail(c, err)
					return
				}
				r, err := p.svc.Receipt(ctx, n.School, n.Receipt)
				if err != nil {
					p.fail(c, err)
					return
				}
				payment, err := p.attested(c, full, r)
				if err != nil {
					p.fail(c, err)
					return
				}
				out.Pupil = AttestedPerson{child.Name, pupilOf(full).Code}
				if payment.Amount > 0 {
					out.Payments = append(out.Payments, payment)
				}
			}
			if len(out.Payments) == 0 {
				p.problem(c, http.StatusNotFound)
				return
			}
			slices.SortStableFunc(out.Payments, func(a, b AttestedPayment) int { return a.PaidAt.Compare(b.PaidAt) })
			p.sendAttestation(c, out, "attestazione-"+strconv.Itoa(y.Year))
			return
		}
	}
	p.problem(c, http.StatusNotFound)
}
