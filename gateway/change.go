// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/nodogate/nodogate/gateway/money"
	"github.com/nodogate/nodogate/iuv"
)

// NoticeChange says what is to be different about a notice; nil leaves a thing
// as it is.
type NoticeChange struct {
	DebtorName, Class, Description, DueDate *string
	Amount                                  *money.Cents
	PayableAfterDue                         *bool
	Taxonomy, Deduction                     *string
	Transfers                               []NewTransfer // empty: as they are
	// Open publishes a draft.
	Open bool
	// Release lets a held notice be paid again: the school has looked at the
	// money that did not fit. A new amount says so too.
	Release bool
}

// ChangeNotice changes a notice that is not paid. An amount it had is remembered:
// an old print may still be paid with it. Moving the date of an expired one
// opens it again; a draft's single option is published with its instalments. What
// changes nothing is no change.
//
// Errors: *Invalid, ErrNotFound, ErrNoticePaid, ErrNoticeCancelled (restore it
// first), ErrInProgress while an attempt or a token lives.
func (s *Service) ChangeNotice(ctx context.Context, actor Actor, code SchoolCode, number iuv.Number, c NoticeChange) (Notice, error) {
	var n Notice
	published := 0
	err := s.store.Update(ctx, func(tx Tx) (err error) {
		published = 0
		if n, err = s.lockFree(tx, code, number); err != nil {
			return err
		}
		if n.State == NoticeCancelled {
			return ErrNoticeCancelled
		}
		n, published, err = s.change(tx, actor, n, c)
		return err
	})
	if err != nil {
		return Notice{}, fmt.Errorf("change notice %s: %w", number, err)
	}
	s.metrics.issued.Add(float64(published))
	return n, nil
}

// change changes a notice that is locked, free and not cancelled, and says how
// many drafts it published.
func (s *Service) change(tx Tx, actor Actor, n Notice, c NoticeChange) (_ Notice, published int, err error) {
	school, err := tx.School(n.School)
	if err != nil {
		return n, 0, err
	}
	now := s.clock.Now()
	was := n
	if err := c.apply(school, &n); err != nil {
		return n, 0, err
	}
	// What it carries since long stays; what is new must be right today.
	if c.Taxonomy != nil || len(c.Transfers) > 0 {
		if err := s.checkTaxonomy(tx.Context(), school, []NewNotice{{Taxonomy: n.Taxonomy, Transfers: c.Transfers}}, false); err != nil {
			return n, 0, err
		}
	}
	kind := EventNoticeChanged
	reopens := n.State == NoticeExpired && (n.PayableAfterDue || now.Before(n.DueDate.Deadline()))
	switch {
	case n.State == NoticeDraft && c.Open:
		n.move(NoticeOpen, now)
		kind, published = EventNoticeIssued, 1
	case reopens:
		n.move(NoticeOpen, now)
	case reflect.DeepEqual(n, was):
		return n, 0, nil
	default:
		n.Version++
		n.ChangedAt = now
	}
	if n.Debtor.Name != was.Debtor.Name {
		if err := tx.NameDebtor(n); err != nil {
			return n, 0, err
		}
	}
	if err := s.saveChange(tx, actor, n, kind, "notice.changed", now); err != nil {
		return n, 0, err
	}
	if published == 0 || n.Plan == "" || n.Instalment > 0 {
		return n, published, nil
	}
	// The single option takes its instalments with it.
	mates, err := tx.NoticesOfPlan(n.School, n.Plan)
	for _, m := range mates {
		if err != nil || m.State != NoticeDraft {
			continue
		}
		m.move(NoticeOpen, now)
		published++
		err = s.saveChange(tx, actor, m, kind, "notice.changed", now)
	}
	return n, published, err
}

// lockFree locks a notice that nobody has paid or is paying.
func (s *Service) lockFree(tx Tx, code SchoolCode, number iuv.Number) (Notice, error) {
	n, err := tx.LockNotice(code, number)
	switch {
	case err != nil:
		return n, err
	case n.State == NoticePaid:
		return n, ErrNoticePaid
	case n.Payment != nil || n.LiveToken(s.clock.Now()) != nil:
		return n, ErrInProgress
	}
	return n, nil
}

// saveChange writes a notice that a person changed, with all that goes with it.
func (s *Service) saveChange(tx Tx, actor Actor, n Notice, kind EventKind, action string, now time.Time) error {
	if err := tx.SaveNotice(n); err != nil {
		return err
	}
	if err := tx.AppendEvents(Event{School: n.School, Number: n.Number, Kind: kind, Actor: actor, At: now}); err != nil {
		return err
	}
	if err := tx.AppendAudit(Audit{School: n.School, Actor: actor, Action: action, Object: n.Number.String(), At: now}); err != nil {
		return err
	}
	if n.State == NoticeDraft {
		return nil // nobody was told of it
	}
	return s.tell(tx, kind, n.School, n.Number, "", now)
}

// apply checks the change as if the notice were asked for anew, and makes it.
func (c *NoticeChange) apply(school School, n *Notice) error {
	var bad Invalid
	in := NewNotice{
		DebtorCode: string(n.Debtor.Code), DebtorName: n.Debtor.Name, Class: n.Debtor.Class, Description: n.Description,
		Amount: n.Amount, DueDate: n.DueDate.String(), PayableAfterDue: n.PayableAfterDue, Taxonomy: n.Taxonomy, Deduction: n.Deduction,
	}
	for _, set := range []struct{ to, from *string }{
		{&in.DebtorName, c.DebtorName},
		{&in.Class, c.Class},
		{&in.Description, c.Description},
		{&in.DueDate, c.DueDate},
		{&in.Taxonomy, c.Taxonomy},
		{&in.Deduction, c.Deduction},
	} {
		if set.from != nil {
			*set.to = *set.from
		}
	}
	if c.PayableAfterDue != nil {
		in.PayableAfterDue = *c.PayableAfterDue
	}
	if c.Amount != nil {
		in.Amount = *c.Amount
	}
	if in.Transfers = c.Transfers; len(in.Transfers) == 0 {
		in.Transfers = transfersAgain(n)
		switch {
		case in.Amount == n.Amount:
		case len(in.Transfers) == 1:
			in.Transfers[0].Amount = in.Amount
		default:
			bad.Add("transfers", "required", "several get the money: give the transfers with the new amount")
			return bad.Err()
		}
	}
	if n.Plan != "" && in.Amount != n.Amount {
		bad.Add("amount_cents", "sum", "the amounts of a plan belong together: cancel its notices and issue it anew")
		return bad.Err()
	}
	to := checkNotice(school, in, "", &bad)
	if len(c.Transfers) == 0 { // what was not given cannot be wrong
		bad.Fields = slices.DeleteFunc(bad.Fields, func(f FieldError) bool { return strings.HasPrefix(f.Field, "transfers") })
	}
	if err := bad.Err(); err != nil {
		return err
	}
	to.Number = n.Number
	number(&to, n.Number)
	if to.Amount != n.Amount {
		if n.State != NoticeDraft && !slices.Contains(n.PastAmounts, n.Amount) {
			n.PastAmounts = append(slices.Clone(n.PastAmounts), n.Amount)
		}
		n.Held = false
	}
	if c.Release {
		n.Held = false
	}
	n.Debtor.Name, n.Debtor.Class, n.Description, n.Amount = to.Debtor.Name, to.Debtor.Class, to.Description, to.Amount
	n.DueDate, n.PayableAfterDue, n.Taxonomy, n.Deduction, n.Transfers = to.DueDate, to.PayableAfterDue, to.Taxonomy, to.Deduction, to.Transfers
	return nil
}

// transfersAgain are the notice's transfers as a school would ask for them. A
// causale of our making is made anew.
func transfersAgain(n *Notice) []NewTransfer {
	out := make([]NewTransfer, len(n.Transfers))
	for i, t := range n.Transfers {
		out[i] = NewTransfer{School: string(t.School), IBAN: string(t.IBAN), Amount: t.Amount, Taxonomy: t.Taxonomy, Remittance: t.Remittance, Stamp: t.Stamp}
		if strings.HasPrefix(t.Remittance, "/RFB/") {
			out[i].Remittance = ""
		}
	}
	return out
}

// Restore opens a cancelled notice again, with the same number; dueDate, when
// given, is its new day. One that is not cancelled stays as it is.
//
// Errors: *Invalid, ErrNotFound, ErrNoticePaid, ErrNoticeDraft, ErrPlanPaid when
// its debt was paid in the other way.
func (s *Service) Restore(ctx context.Context, actor Actor, code SchoolCode, number iuv.Number, dueDate string) (Notice, error) {
	var n Notice
	err := s.store.Update(ctx, func(tx Tx) (err error) {
		if n, err = tx.LockNotice(code, number); err != nil {
			return err
		}
		switch n.State {
		case NoticeCancelled:
		case NoticePaid:
			return ErrNoticePaid
		case NoticeDraft:
			return ErrNoticeDraft
		default:
			if dueDate != "" {
				return &Invalid{[]FieldError{{"due_date", "unknown", "it is not cancelled: move its date with PATCH"}}}
			}
			return nil
		}
		if paid, err := planPaid(tx, &n); err != nil {
			return err
		} else if paid {
			return ErrPlanPaid
		}
		if dueDate != "" {
			if n.DueDate, err = ParseDate(dueDate); err != nil {
				return &Invalid{[]FieldError{{"due_date", "format", "give a date like 2026-12-31"}}}
			}
		}
		now := s.clock.Now()
		n.move(NoticeOpen, now)
		return s.saveChange(tx, actor, n, EventNoticeRestored, "notice.restored", now)
	})
	if err != nil {
		return Notice{}, fmt.Errorf("restore notice %s: %w", number, err)
	}
	return n, nil
}
