// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/nodogate/nodogate/gateway/money"
)

// Contribution is an open voluntary contribution of a school (contributo
// volontario): whoever wants to give makes a notice of it, here or at the
// counter of a PSP.
type Contribution struct {
	School SchoolCode
	ID     string // unguessable
	// Service is its idSoggettoServizio, 5 capital letters and digits: what a
	// PSP demands a notice by. Unique in the installation.
	Service     string
	Description string
	Amount      money.Cents // what is asked; with Free, what is proposed
	Min         money.Cents // with Free, the least that is taken
	Free        bool        // the giver chooses the amount
	DueDate     Date
	Taxonomy    string
	Deduction   string
	Closed      bool
	CreatedAt   time.Time
	Version     int64
}

// NewContribution is a contribution as a school asks for it.
type NewContribution struct {
	Description string
	Amount, Min money.Cents
	Free        bool
	DueDate     string
	Taxonomy    string // empty: the school's
	Deduction   string
}

// ErrContributionClosed: it takes no more gifts, or its last day is over.
var ErrContributionClosed = errors.New("contribution is closed")

// OpenContribution makes a voluntary contribution and opens it at once.
func (s *Service) OpenContribution(ctx context.Context, actor Actor, code SchoolCode, in NewContribution) (Contribution, error) {
	return s.openContribution(ctx, actor, code, s.newID(), in)
}

func (s *Service) openContribution(ctx context.Context, actor Actor, code SchoolCode, id string, in NewContribution) (Contribution, error) {
	school, err := s.School(ctx, code)
	if err != nil {
		return Contribution{}, err
	}
	// What a notice of it must be, it must be.
	var bad Invalid
	n := checkNotice(school, NewNotice{
		DebtorCode: string(Anonymous), DebtorName: "x", Description: in.Description, Amount: in.Amount, DueDate: in.DueDate,
		Taxonomy: in.Taxonomy, Deduction: in.Deduction,
	}, "", &bad)
	if in.Min < 0 || in.Min > in.Amount || in.Min > 0 && !in.Free {
		bad.Add("min_amount_cents", "range", "give a least amount only with a free one, and not above it")
	}
	if err := bad.Err(); err != nil {
		return Contribution{}, err
	}
	if err := s.checkTaxonomy(ctx, school, []NewNotice{{Taxonomy: in.Taxonomy}}, false); err != nil {
		return Contribution{}, err
	}
	c := Contribution{
		School: code, ID: id, Description: n.Description, Amount: n.Amount, Min: in.Min, Free: in.Free,
		DueDate: n.DueDate, Taxonomy: n.Taxonomy, Deduction: n.Deduction, CreatedAt: s.clock.Now(), Version: 1,
	}
	err = s.store.Update(ctx, func(tx Tx) error {
		// 60 million codes for some ten thousand contributions: a second try is
		// rare, a tenth is no chance.
		err := ErrConflict
		for try := 0; errors.Is(err, ErrConflict) && try < 10; try++ {
			c.Service = s.newServiceCode()
			err = tx.InsertContribution(c)
		}
		if err != nil {
			return err
		}
		return tx.AppendAudit(Audit{School: code, Actor: actor, Action: "contribution.opened", Object: c.ID, At: c.CreatedAt})
	})
	if err != nil {
		return Contribution{}, fmt.Errorf("open contribution: %w", err)
	}
	return c, nil
}

func (s *Service) newServiceCode() string {
	const letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	var b [5]byte
	if _, err := io.ReadFull(s.random, b[:]); err != nil {
		panic("gateway: no randomness: " + err.Error())
	}
	for i := range b {
		b[i] = letters[int(b[i])%len(letters)]
	}
	return string(b[:])
}

// Contributions lists a school's contributions that take gifts now, by due date.
func (s *Service) Contributions(ctx context.Context, school SchoolCode) ([]Contribution, error) {
	var list []Contribution
	err := s.store.View(ctx, func(tx Tx) (err error) {
		list, err = tx.Contributions(school)
		return err
	})
	now := s.clock.Now()
	return slices.DeleteFunc(list, func(c Contribution) bool { return c.Closed || !now.Before(c.DueDate.Deadline()) }), err
}

// GivingSchool is a school that takes gifts, as people look for it.
type GivingSchool struct {
	Code                     SchoolCode
	Name, Town, Mechanograph string
}

// FindGivingSchools lists the schools that have such contributions and that fit,
// by name, at most limit; more says that there are others.
func (s *Service) FindGivingSchools(ctx context.Context, fits func(GivingSchool) bool, limit int) (list []GivingSchool, more bool, err error) {
	err = s.store.View(ctx, func(tx Tx) error {
		list, more = nil, false
		return tx.GivingSchools(DateIn(s.clock.Now()), func(g GivingSchool) bool {
			if !fits(g) {
				return true
			}
			if more = len(list) == limit; more {
				return false
			}
			list = append(list, g)
			return true
		})
	})
	return list, more, err
}

// Gift is what somebody wants to give.
type Gift struct {
	// School is whom the demand was sent to; empty where the service code alone
	// says it.
	School  SchoolCode
	Service string
	Code    string // codice fiscale of the giver, or ANONIMO
	Name    string
	Amount  *money.Cents // nil: what is asked
}

// Demand makes a notice for a gift. Asked again for the same while that notice
// is still to be paid, it gives the same: a demand has no key, and an answer can
// be lost.
//
// Errors: ErrNotFound, ErrContributionClosed, *Invalid. The school is right
// whenever there is such a contribution.
func (s *Service) Demand(ctx context.Context, actor Actor, g Gift) (n Notice, school School, err error) {
	err = s.store.Update(ctx, func(tx Tx) error {
		n, school = Notice{}, School{}
		// Its lock is the queue of all who demand, so that the same demand twice
		// at once finds the one notice.
		c, err := tx.LockContribution(g.Service)
		if err == nil && g.School != "" && c.School != g.School {
			err = ErrNotFound
		}
		if err != nil {
			return err
		}
		if school, err = tx.School(c.School); err != nil {
			return err
		}
		in, wanted, err := s.gift(school, c, g)
		if err != nil {
			return err
		}
		open, err := tx.Notices(school.Code, NoticeFilter{State: NoticeOpen, Now: s.clock.Now(), Debtor: wanted.Debtor.Code, Campaign: c.ID, Limit: 500})
		if err != nil {
			return err
		}
		same := slices.IndexFunc(open, func(n Notice) bool { return n.Amount == wanted.Amount && n.Debtor.Name == wanted.Debtor.Name })
		if same >= 0 {
			n = open[same]
			return nil
		}
		out, err := s.Issue(tx.Context(), actor, school.Code, []NewNotice{in}, false)
		if err == nil {
			n = out[0].Notice
		}
		return err
	})
	if err != nil {
		return Notice{}, school, fmt.Errorf("demand: %w", err)
	}
	return n, school, nil
}

// gift checks what somebody wants to give to c, and says which notice that asks
// for.
func (s *Service) gift(school School, c Contribution, g Gift) (in NewNotice, wanted Notice, err error) {
	if now := s.clock.Now(); c.Closed || !now.Before(c.DueDate.Deadline()) {
		return in, wanted, ErrContributionClosed
	}
	amount := c.Amount
	if g.Amount != nil {
		amount = *g.Amount
	}
	if amount != c.Amount && !c.Free || amount < c.Min {
		return in, wanted, &Invalid{[]FieldError{{"amount", "range", "this contribution does not take that amount"}}}
	}
	in = NewNotice{
		DebtorCode: g.Code, DebtorName: g.Name, Description: c.Description, Amount: amount, DueDate: c.DueDate.String(),
		Taxonomy: c.Taxonomy, Deduction: c.Deduction, Campaign: c.ID,
	}
	var bad Invalid
	wanted = checkNotice(school, in, "", &bad)
	return in, wanted, bad.Err()
}
