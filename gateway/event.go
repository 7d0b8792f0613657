// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// TakeEvent applies what a PSP says of an attempt, once: the event goes to the
// inbox first, and the same again changes nothing. WordTaken becomes the receipts
// of the cart's notices in the same transaction (the PSP's signed word is all
// there is, and we are the node here); WordAuthorised waits for the PSP's own
// outcome; WordNo frees the notices at once; WordOpen only has the PSP asked. An
// event that would move a state back is kept and ignored.
//
// Errors: ErrNotFound for an attempt that this PSP does not have, ErrForged for
// the word on another payment of the PSP's than the attempt's, ErrAmount for
// an OK over another amount than the payment's, which then is kept as evidence.
func (s *Service) TakeEvent(ctx context.Context, e PSPEvent) error {
	var recorded []Verdict
	var refusal error
	err := s.store.Update(ctx, func(tx Tx) error {
		recorded, refusal = nil, nil
		now := s.clock.Now()
		a, err := tx.Attempt(e.Attempt)
		if isNotFound(err) || err == nil && a.PSP != e.PSP {
			return ErrNotFound
		}
		if err != nil {
			return err
		}
		if e.Word == WordOpen {
			return askSoon(tx, a.ID, now)
		}
		cart, err := tx.Cart(a.Cart)
		if err != nil {
			return err
		}
		// Notices first, then the cart: the order of all who lock both.
		if err := s.lockNotices(tx, cart); err != nil {
			return err
		}
		if cart, err = tx.LockCart(a.Cart); err != nil {
			return err
		}
		if a, err = tx.Attempt(a.ID); err != nil {
			return err
		}
		if e.Reference != "" && a.Reference != "" && e.Reference != a.Reference {
			// A proof of one payment, sent to the address of another.
			return ErrForged
		}
		inserted, err := tx.InsertInbox(e, now)
		if err != nil || !inserted {
			return err
		}
		if e.Word != WordNo && e.Amount != nil && *e.Amount != cart.Amount()+a.Fee {
			refusal = ErrAmount
			d := Delivery{Addressee: Addressee{School: cart.Notices[0].School}, Operation: "callback", Raw: e.Raw}
			d.Receipt.ID = a.ID
			return tx.InsertEvidence(s.evidence(d, EvidenceInconsistent, now))
		}
		if e.Reference != "" && a.Reference == "" {
			a.Reference = e.Reference
		}
		switch e.Word {
		case WordTaken:
			recorded, err = s.settleByWord(tx, a, now)
			return err
		case WordAuthorised:
			return authorise(tx, a, now)
		case WordNo:
			return s.fail(tx, a, cart, now)
		}
		panic("gateway: no such word of a PSP: " + string(e.Word))
	})
	if err != nil {
		return fmt.Errorf("event of %s: %w", e.PSP, err)
	}
	if refusal != nil {
		s.metrics.refused(EvidenceInconsistent)
		return fmt.Errorf("event of %s: %w", e.PSP, refusal)
	}
	for _, v := range recorded {
		s.metrics.receipt(ChannelConnector, v)
	}
	return nil
}

func (s *Service) lockNotices(tx Tx, cart Cart) error {
	order := slices.Clone(cart.Notices)
	slices.SortFunc(order, func(a, b CartNotice) int { return a.ref().compare(b.ref()) })
	for _, c := range order {
		if _, err := tx.LockNotice(c.School, c.Number); err != nil {
			return err
		}
	}
	return nil
}

// authorise notes that the payer has ordered the payment.
func authorise(tx Tx, a Attempt, now time.Time) error {
	if !a.State.Live() || a.State == AttemptAuthorised {
		return nil
	}
	if a.State == AttemptCreated {
		a.move(AttemptSent, now) // the PSP was quicker than our own note
	}
	a.move(AttemptAuthorised, now)
	return tx.SaveAttempt(a)
}

// settleByWord makes the receipts of a payment that a PSP says was made. What the
// receipts do to the attempt and its cart is the same as with the node's.
func (s *Service) settleByWord(tx Tx, a Attempt, now time.Time) ([]Verdict, error) {
	tokens, err := tx.TokensOfAttempt(a.ID)
	if err != nil {
		return nil, err
	}
	late := !a.State.Live()
	if err := authorise(tx, a, now); err != nil {
		return nil, err
	}
	var recorded []Verdict
	for i, t := range tokens {
		if t.Outcome == "OK" {
			continue // its receipt is there
		}
		if t.Outcome, t.ChangedAt = "OK", now; t.State == TokenActive {
			t.move(TokenPaid, now)
		}
		if err := tx.SaveToken(t); err != nil {
			return nil, err
		}
		n, err := tx.Notice(t.School, t.Number)
		if err != nil {
			return nil, err
		}
		d := OutcomeDetails{Method: receiptMethod[a.Method], Channel: "onLine", ApplicationDate: DateIn(now).String(), TransferDate: DateIn(now).AddDays(1).String()}
		if i == 0 {
			d.Fee = &a.Fee // one fee for the cart: it stands on its first receipt
		}
		// This token is not active any more: one that is, is another's.
		odd := oddity{late: late, rival: n.LiveToken(now) != nil}
		recs, err := s.makeReceipt(tx, ChannelConnector, "callback", d, t, n, odd, now)
		if err != nil {
			return nil, err
		}
		recorded = append(recorded, recs...)
	}
	return recorded, nil
}

// receiptMethod is how sendPaymentOutcome calls our methods (stPaymentMethod).
var receiptMethod = map[Method]string{MethodCard: "creditCard", MethodAccountDebit: "other", MethodBulletin: "other"}

// fail takes a PSP's definite no: the notices are free at once.
func (s *Service) fail(tx Tx, a Attempt, cart Cart, now time.Time) error {
	if !a.State.Live() || a.State == AttemptAuthorised && cart.settled() > 0 {
		return nil // it ended otherwise; a no moves nothing back
	}
	if a.State == AttemptCreated {
		a.move(AttemptSent, now)
	}
	a.move(AttemptFailed, now)
	if cart.State == CartOpen {
		cart.move(CartRedirected, now)
	}
	cart.close(CartClosedKO, now)
	if err := tx.SaveCart(cart); err != nil {
		return err
	}
	if err := s.releaseTokens(tx, a, now); err != nil {
		return err
	}
	if err := s.endEvents(tx, cart, a, now); err != nil {
		return err
	}
	return tx.SaveAttempt(a)
}
