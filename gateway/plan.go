// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"time"

	"github.com/nodogate/nodogate/gateway/money"
)

// A plan (piano di rateizzazione) offers two ways of paying one debt: the single
// option (rata unica), or all of its instalments (rate). Each is a notice with a
// number of its own. The first money decides: a payment of the single option
// closes the instalments, a payment of an instalment closes the single option,
// in the transaction that records the receipt. LockNotice locks a plan whole, so
// nobody pays both at the same time here; a counter far away still can, and then
// the money is recorded, and the school gets the task to give it back.

// rivals says whether paying one of the two closes the other.
func (n *Notice) rivals(m *Notice) bool {
	return n.Plan != "" && n.Plan == m.Plan && n.School == m.School && (n.Instalment == 0) != (m.Instalment == 0)
}

// planFree is ErrInProgress while somebody pays the other option of the notice's
// plan. attempts says whether a page that was opened counts, or only a token.
func (s *Service) planFree(tx Tx, n *Notice, attempts bool, now time.Time) error {
	if n.Plan == "" {
		return nil
	}
	mates, err := tx.NoticesOfPlan(n.School, n.Plan)
	if err != nil {
		return err
	}
	for i := range mates {
		m := &mates[i]
		if n.rivals(m) && (m.LiveToken(now) != nil || attempts && m.Payment != nil && now.Before(m.Payment.ExpiresAt)) {
			return ErrInProgress
		}
	}
	return nil
}

// closePlan cancels the other option of what the receipt has paid. A payment of
// it that is on its way keeps its token and goes on: no state of ours stops
// money, and what comes is recorded as paid twice.
func (s *Service) closePlan(tx Tx, n *Notice, rec Receipt, now time.Time) error {
	mates, err := tx.NoticesOfPlan(n.School, n.Plan)
	if err != nil {
		return err
	}
	var twice money.Cents
	for _, m := range mates {
		switch {
		case !n.rivals(&m) || m.State == NoticeCancelled:
		case m.State == NoticePaid:
			twice += m.Amount // at most twelve
		default:
			told := m.State != NoticeDraft
			m.move(NoticeCancelled, now)
			if err := tx.SaveNotice(m); err != nil {
				return err
			}
			if err := tx.AppendEvents(Event{School: m.School, Number: m.Number, Kind: EventNoticeCancelled, Actor: ActorSystem, Receipt: rec.ID, At: now}); err != nil {
				return err
			}
			if !told {
				continue
			}
			if err := s.tell(tx, EventNoticeCancelled, m.School, m.Number, "", now); err != nil {
				return err
			}
		}
	}
	if twice == 0 {
		return nil
	}
	return s.askRefund(tx, rec, min(twice, rec.Content.Amount), AnomalyDouble, now)
}

// planPaid says whether the other option of the notice's plan was taken.
func planPaid(tx Tx, n *Notice) (bool, error) {
	if n.Plan == "" {
		return false, nil
	}
	mates, err := tx.NoticesOfPlan(n.School, n.Plan)
	for i := range mates {
		if n.rivals(&mates[i]) && mates[i].State == NoticePaid {
			return true, nil
		}
	}
	return false, err
}
