// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"time"
)

// Login is one browser that an account is logged in with. The session itself is
// the portal's; a session whose Login has ended counts for nothing, wherever it
// is kept.
type Login struct {
	ID      string // unguessable
	Account string
	Device  string // in a few words, for the family to tell its own apart
	Since   time.Time
	Seen    time.Time // to within seenEvery
	Ended   time.Time // zero while it lives
}

const (
	// LoginIdle and LoginWhole are how long a session lives without a click, and
	// at most (reliability.md, section 9).
	LoginIdle  = 15 * time.Minute
	LoginWhole = 8 * time.Hour

	// seenEvery keeps reading a page from being a write each time.
	seenEvery = 5 * time.Minute
	// loginsKept is how long ended log-ins are remembered.
	loginsKept = 30 * 24 * time.Hour
)

// Enter begins a session of an account whose holder has proved to be it.
func (s *Service) Enter(ctx context.Context, account, device string) (Login, error) {
	now := s.clock.Now()
	l := Login{ID: s.newID(), Account: account, Device: device, Since: now, Seen: now}
	return l, s.store.Update(ctx, func(tx Tx) error {
		if err := tx.InsertLogin(l, now.Add(-loginsKept)); err != nil {
			return err
		}
		return tx.AppendAudit(Audit{Actor: Actor{"account", account}, Action: "account.entered", Object: account, At: now})
	})
}

// SignedIn is the account of a session; ErrNotFound when the session or the
// account has ended.
func (s *Service) SignedIn(ctx context.Context, account, login string) (Account, error) {
	var a Account
	var l Login
	err := s.store.View(ctx, func(tx Tx) (err error) {
		if l, err = tx.Login(login); err != nil {
			return err
		}
		if l.Account != account || !l.Ended.IsZero() {
			return ErrNotFound
		}
		a, err = tx.Account(account)
		return err
	})
	if err != nil {
		return Account{}, err
	}
	if now := s.clock.Now(); now.Sub(l.Seen) >= seenEvery {
		err = s.store.Update(ctx, func(tx Tx) error { return tx.TouchLogin(login, now) })
	}
	return a, err
}

// Logins lists the account's sessions that live, newest first.
func (s *Service) Logins(ctx context.Context, account string) ([]Login, error) {
	now := s.clock.Now()
	var list []Login
	err := s.store.View(ctx, func(tx Tx) (err error) {
		list, err = tx.Logins(account, now.Add(-LoginIdle-seenEvery), now.Add(-LoginWhole))
		return err
	})
	return list, err
}

// EndLogin ends one session of an account; one that has ended already, or is
// another's, changes nothing.
func (s *Service) EndLogin(ctx context.Context, account, login string) error {
	err := s.store.Update(ctx, func(tx Tx) error { return tx.EndLogin(account, login, s.clock.Now()) })
	if isNotFound(err) {
		return nil
	}
	return err
}

// EndOtherLogins ends all sessions of an account but one.
func (s *Service) EndOtherLogins(ctx context.Context, account, kept string) error {
	return s.store.Update(ctx, func(tx Tx) error { return tx.EndOtherLogins(account, kept, s.clock.Now()) })
}

// SaveBasket keeps the cart that an account is filling, so that it outlives the
// session.
func (s *Service) SaveBasket(ctx context.Context, account string, list []NoticeRef) error {
	return s.store.Update(ctx, func(tx Tx) error { return tx.SaveBasket(account, list) })
}

// Basket is the cart that an account left behind.
func (s *Service) Basket(ctx context.Context, account string) ([]NoticeRef, error) {
	var list []NoticeRef
	err := s.store.View(ctx, func(tx Tx) (err error) {
		list, err = tx.Basket(account)
		return err
	})
	return list, err
}
