// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// askAfter is how long to wait before a PSP is asked again, and slowAsk for every
// time after those (reliability.md, section 5).
var askAfter = [...]time.Duration{5 * time.Second, 15 * time.Second, 35 * time.Second, 75 * time.Second, 155 * time.Second}

const (
	slowAsk  = 10 * time.Minute
	askUntil = 24 * time.Hour   // then a person has to look
	askLease = 30 * time.Second // longer than asking and cancelling may take
	askBatch = 100
	askers   = 16 // at once; each PSP's own limit is below that of its Set
)

// pollNext sets when the PSP is to be asked again.
func (a *Attempt) pollNext(now time.Time) {
	wait := slowAsk
	if a.Polls < len(askAfter) {
		wait = askAfter[a.Polls]
	}
	a.PollAt = now.Add(wait)
}

// Poll asks PSPs about the payments whose time to be asked has come, and applies
// what they say. Each is claimed from the store, so any number of processes may
// poll and none asks for another. Call it every second or so; it says how many
// it asked about.
//
// A payment still open when its page is over is cancelled where the PSP can, or
// a closed tab would keep the family out for a day.
func (s *Service) Poll(ctx context.Context) (int, error) {
	var due []Attempt
	err := s.store.Update(ctx, func(tx Tx) (err error) {
		now := s.clock.Now()
		due, err = tx.ClaimPolls(now, now.Add(askLease), askBatch)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("poll: %w", err)
	}
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		errs []error
		slot = make(chan struct{}, askers)
	)
	for _, a := range due {
		slot <- struct{}{}
		wg.Go(func() {
			defer func() { <-slot }()
			if err := s.ask(ctx, a); err != nil {
				mu.Lock()
				errs = append(errs, fmt.Errorf("attempt %s: %w", a.ID, err))
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return len(due), fmt.Errorf("poll: %w", err)
	}
	return len(due), nil
}

// ask asks about one payment. Its error is of our own side: what goes wrong at
// the PSP only means to ask again.
func (s *Service) ask(ctx context.Context, a Attempt) error {
	p := Payment{Attempt: a.ID, Reference: a.Reference, Method: a.Method}
	can := s.psps.Abilities(a.PSP)
	e, err := PSPEvent{Word: WordOpen}, error(nil)
	if can.Ask {
		e, err = s.psps.Ask(ctx, a.PSP, p)
	}
	if err == nil && e.Word == WordOpen && can.Cancel && !s.clock.Now().Before(a.LapsesAt) {
		if s.psps.Cancel(ctx, a.PSP, p) == nil {
			e = PSPEvent{PSP: a.PSP, ID: "cancel/" + a.ID, Attempt: a.ID, Word: WordNo}
		}
	}
	if err == nil && e.Word != WordOpen {
		// Its id is the same each time the PSP says the same: the inbox takes it once.
		err := s.TakeEvent(ctx, e)
		if err != nil && !errors.Is(err, ErrForged) && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrAmount) {
			return err
		}
	}
	return s.asked(ctx, a.ID)
}

// asked notes that the PSP was asked, and when to ask again if it is still open.
func (s *Service) asked(ctx context.Context, id string) error {
	givenUp := false
	var a Attempt
	err := s.store.Update(ctx, func(tx Tx) (err error) {
		givenUp = false
		now := s.clock.Now()
		if a, err = lockAttempt(tx, id); err != nil || a.PollAt.IsZero() {
			return err
		}
		if now.Before(a.CreatedAt.Add(askUntil)) {
			a.Polls++
			a.pollNext(now)
			a.Version++
			return tx.SaveAttempt(a)
		}
		givenUp = true
		a.PollAt = time.Time{}
		a.Version++
		if err := tx.SaveAttempt(a); err != nil {
			return err
		}
		return s.lapse(tx, a, now)
	})
	if err == nil && givenUp {
		s.metrics.unresolved.Inc()
		s.log.Error("payment unresolved for a day: ask the PSP by hand", "psp", string(a.PSP), "attempt", a.ID)
	}
	return err
}

// lockAttempt reads an attempt under its cart's lock, which guards it.
func lockAttempt(tx Tx, id string) (Attempt, error) {
	a, err := tx.Attempt(id)
	if err != nil {
		return a, err
	}
	if _, err := tx.LockCart(a.Cart); err != nil {
		return a, err
	}
	return tx.Attempt(id)
}

// AskSoon has the PSP of a cart asked at the next Poll, where it can be: when the
// payer's browser comes back, or a PSP hints that something happened. The hint
// itself moves nothing.
func (s *Service) AskSoon(ctx context.Context, cart string) error {
	return s.store.Update(ctx, func(tx Tx) error {
		list, err := tx.AttemptsOfCart(cart)
		if err != nil || len(list) == 0 || list[0].PollAt.IsZero() {
			return err
		}
		return askSoon(tx, list[0].ID, s.clock.Now())
	})
}

func askSoon(tx Tx, id string, now time.Time) error {
	a, err := lockAttempt(tx, id)
	if err != nil || a.PollAt.IsZero() || !now.Before(a.PollAt) {
		return err
	}
	a.PollAt = now
	a.Version++
	return tx.SaveAttempt(a)
}
