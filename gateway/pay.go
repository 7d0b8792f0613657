// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/mail"
	"net/url"
	"slices"
	"time"

	"github.com/nodogate/nodogate/gateway/money"
)

// defaultPage is how long a PSP's page is taken to live when the PSP does not
// say, and pageGrace what is waited on top (reliability.md, lapses_at).
const (
	defaultPage = 30 * time.Minute
	pageGrace   = 5 * time.Minute
)

// PayRequest asks to pay some notices with a PSP.
type PayRequest struct {
	// Key makes asking twice the same as asking once: the caller's identity
	// and its idempotency key. Required.
	Key     string
	Notices []NoticeRef
	Method  Method
	PSP     PSPID // empty: the best by the rule
	// Account is the family that pays; nil for a guest or an API client, whose
	// right to the notices the edge has checked.
	Account *Account
	Actor   Actor
	// School, when set, is the only school whose notices may be in the cart.
	School    SchoolCode
	Email     string
	ReturnURL string // own origin only; empty: our page of the cart
	Device    PayerDevice
	// Shown is the fee that the payer was shown for the PSP; nil when none was.
	Shown *money.Cents
}

// Pay makes a cart of the notices and opens the payment at the PSP. The answer
// is a cart that is redirected, and where to send the payer's browser; nowhere
// for a cart that is only printed, see Cart.Printed. The same Key again gives the
// same cart, and tries again when nothing was opened yet.
//
// Errors: *Invalid, the ErrNotice… of the first notice that cannot be paid,
// ErrInProgress, ErrFeeChanged, ErrNoBulletin, ErrPSPUnavailable, ErrRefused,
// ErrOutcomeUnknown.
func (s *Service) Pay(ctx context.Context, req PayRequest) (Cart, error) {
	if TxFromContext(ctx) != nil {
		panic("gateway: Pay calls a PSP and must not run inside a transaction")
	}
	ret, err := s.checkPay(req)
	if err != nil {
		return Cart{}, err
	}
	// Fees that others know are asked for now: nobody is called inside a
	// transaction. Whatever is wrong with the notices is told there.
	_, _ = s.OffersFor(ctx, req.Notices)
	cart, attempt, err := s.openCart(ctx, req)
	if errors.Is(err, ErrConflict) {
		// The same request runs beside us and won: its cart is ours.
		cart, attempt, err = s.openCart(ctx, req)
	}
	if err != nil || attempt == nil {
		return cart, err
	}
	order, err := s.order(ctx, cart, *attempt, ret)
	order.Payer = req.Device
	if err == nil {
		err = s.moveAttempt(ctx, attempt.ID, AttemptSent, Started{})
	}
	if err != nil {
		return cart, fmt.Errorf("pay cart: %w", err)
	}

	started, err := s.psps.Start(ctx, attempt.PSP, order)

	// Whatever the payer's browser does now, what the PSP said is kept.
	ctx = context.WithoutCancel(ctx)
	if err != nil {
		// Nobody has the page's address, so nobody can pay on it, whether the
		// PSP made the page or not.
		to := AttemptAbandoned
		switch {
		case errors.Is(err, ErrRefused):
			to = AttemptFailed
		case attempt.pageless && errors.Is(err, ErrOutcomeUnknown):
			to = AttemptUnknown // the bank's app may ask for it all the same
		}
		if err2 := s.moveAttempt(ctx, attempt.ID, to, Started{}); err2 != nil {
			return cart, fmt.Errorf("pay cart: %w", err2)
		}
		return cart, fmt.Errorf("pay cart: %w", err)
	}
	if started.Redirect == "" && attempt.pageless {
		started.Redirect = order.Return.String() // where the payer waits
	}
	if err := s.moveAttempt(ctx, attempt.ID, AttemptSent, started); err != nil {
		return cart, fmt.Errorf("pay cart: %w", err)
	}
	return s.Cart(ctx, cart.ID)
}

func (s *Service) checkPay(req PayRequest) (*url.URL, error) {
	var bad Invalid
	if len(req.Notices) == 0 {
		bad.Add("notices", "required", "put 1 to 5 notices in the cart")
	}
	if len(req.Notices) > MaxCartNotices {
		bad.Add("notices", "too_many", "a cart holds at most 5 notices")
	}
	for i, n := range req.Notices {
		if slices.Contains(req.Notices[:i], n) {
			bad.Add(fmt.Sprintf("notices[%d]", i), "duplicate", "this notice is in the cart already")
		}
	}
	if !slices.Contains(Methods, req.Method) {
		bad.Add("method", "unknown", "give card, account_debit or postal_bulletin")
	}
	if req.Email != "" {
		if a, err := mail.ParseAddress(req.Email); err != nil || a.Address != req.Email || len(req.Email) > 254 {
			bad.Add("payer.email", "format", "give an e-mail address")
		}
	}
	var ret *url.URL
	if req.ReturnURL != "" {
		var err error
		ret, err = url.Parse(req.ReturnURL)
		if err != nil || ret.Scheme != s.cfg.PublicURL.Scheme || ret.Host != s.cfg.PublicURL.Host || ret.User != nil {
			bad.Add("return_url", "format", "the return address must be on this gateway's own origin")
		}
	}
	return ret, bad.Err()
}

// openCart finds or makes the cart of the request, with a new attempt where
// there is one to send; a nil attempt means that the cart already says all.
func (s *Service) openCart(ctx context.Context, req PayRequest) (cart Cart, attempt *Attempt, err error) {
	err = s.store.Update(ctx, func(tx Tx) error {
		now := s.clock.Now()
		cart, attempt, err = Cart{}, nil, nil
		found, err := tx.CartByRequest(req.Key)
		switch {
		case err == nil:
			if cart, err = tx.LockCart(found.ID); err != nil {
				return err
			}
			if cart.State != CartOpen {
				return nil
			}
			attempts, err := tx.AttemptsOfCart(cart.ID)
			if err != nil {
				return err
			}
			if len(attempts) > 0 && attempts[0].State.Live() {
				return ErrInProgress
			}
		case !isNotFound(err):
			return err
		default:
			cart = Cart{
				ID: s.newID(), State: CartOpen, Method: req.Method, School: req.School,
				RequestKey: req.Key, Email: req.Email, ReturnURL: req.ReturnURL,
				CreatedAt: now, Version: 1,
			}
			if req.Account != nil {
				cart.Account = req.Account.ID
			}
			for _, n := range req.Notices {
				cart.Notices = append(cart.Notices, CartNotice{School: n.School, Number: n.Number})
			}
		}
		stamps, err := s.fillCart(tx, req, &cart, now)
		if err != nil {
			return err
		}
		offer, err := s.choose(tx, req, cart, stamps)
		if err != nil {
			return err
		}
		if req.Shown != nil && *req.Shown != offer.Fee {
			return ErrFeeChanged
		}
		fresh := cart.PSP == ""
		cart.PSP, cart.Fee, cart.ChangedAt = offer.ID, offer.Fee, now
		if offer.PrintOnly {
			if err := s.print(tx, &cart, now); err != nil {
				return err
			}
		}
		if fresh {
			err = tx.InsertCart(cart)
		} else {
			cart.Version++
			err = tx.SaveCart(cart)
		}
		if err != nil || offer.PrintOnly {
			return err
		}
		attempt = &Attempt{
			ID: s.newToken(), Cart: cart.ID, State: AttemptCreated, Method: cart.Method, PSP: cart.PSP, Fee: cart.Fee,
			CreatedAt: now, ChangedAt: now, LapsesAt: now.Add(defaultPage + pageGrace), Version: 1, pageless: offer.Pageless,
		}
		refs := make([]NoticeRef, len(cart.Notices))
		events := make([]Event, len(cart.Notices))
		for i, n := range cart.Notices {
			refs[i] = n.ref()
			events[i] = Event{School: n.School, Number: n.Number, Kind: EventPaymentStarted, Actor: req.Actor, Attempt: attempt.ID, State: attempt.State, At: now}
		}
		err = tx.InsertAttempt(*attempt, refs)
		if err == nil && offer.Settlement.holds() {
			err = s.holdNotices(tx, cart, *attempt, now)
		}
		if errors.Is(err, ErrConflict) {
			return ErrInProgress
		}
		if err != nil {
			return err
		}
		return tx.AppendEvents(events...)
	})
	if err != nil {
		return Cart{}, nil, fmt.Errorf("open cart: %w", err)
	}
	return cart, attempt, nil
}

// fillCart checks that every notice may be paid by this payer now, and takes
// its amount. Notices are locked in one order for all, so that two carts cannot
// wait for each other. stamps says that a revenue stamp is to be bought.
func (s *Service) fillCart(tx Tx, req PayRequest, cart *Cart, now time.Time) (stamps bool, err error) {
	order := make([]int, len(cart.Notices))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cart.Notices[a].ref().compare(cart.Notices[b].ref()) })
	var sum money.Cents
	var taken []Notice
	for _, i := range order {
		c := &cart.Notices[i]
		if req.School != "" && c.School != req.School {
			return false, fmt.Errorf("notice %s: %w", c.Number, ErrNotFound)
		}
		if req.Account != nil {
			if ok, err := s.maySee(tx, *req.Account, c.School, c.Number); err != nil {
				return false, err
			} else if !ok {
				return false, fmt.Errorf("notice %s: %w", c.Number, ErrNotFound)
			}
		}
		n, err := tx.LockNotice(c.School, c.Number)
		if err != nil {
			return false, fmt.Errorf("notice %s: %w", c.Number, err)
		}
		err = n.Askable(now)
		if req.School != "" && n.StateAt(now) == NoticeDraft {
			err = ErrNoticeDraft // its own school knows of it
		}
		if err != nil {
			return false, fmt.Errorf("notice %s: %w", c.Number, err)
		}
		if slices.ContainsFunc(taken, func(o Notice) bool { return n.rivals(&o) }) {
			return false, &Invalid{[]FieldError{{fmt.Sprintf("notices[%d]", i), "duplicate", "another notice of the cart pays the same: take the single one, or instalments"}}}
		}
		taken = append(taken, n)
		stamps = stamps || slices.ContainsFunc(n.Transfers, func(t Transfer) bool { return t.Stamp != nil })
		if err := s.planFree(tx, &n, true, now); err != nil {
			return false, fmt.Errorf("notice %s: %w", c.Number, err)
		}
		// A page given up for long must not wait for the next Sweep.
		if a, err := tx.LiveAttempt(c.School, c.Number); err == nil && !now.Before(a.LapsesAt) {
			if err := s.lapse(tx, a, now); err != nil {
				return false, err
			}
		} else if err != nil && !isNotFound(err) {
			return false, err
		}
		c.Amount = n.Amount
		if sum, err = sum.Add(n.Amount); err != nil {
			return false, &Invalid{[]FieldError{{"notices", "range", "the cart's total is too large"}}}
		}
	}
	return stamps, nil
}

// holdNotices takes a token on every notice of the cart, so that a payer at a
// counter and this one keep apart, and so that its receipt has its id before
// anybody pays. The notices are locked.
func (s *Service) holdNotices(tx Tx, cart Cart, a Attempt, now time.Time) error {
	for _, c := range cart.Notices {
		n, err := tx.Notice(c.School, c.Number)
		if err != nil {
			return err
		}
		if err := s.free(tx, &n, now); err != nil {
			return err
		}
		err = tx.InsertToken(Token{
			ID: s.newToken(), School: n.School, Number: n.Number, State: TokenActive,
			Peer:   Peer{PSP: a.PSP, Name: s.psps.Name(a.PSP), Channel: string(a.PSP)},
			Amount: n.Amount, Transfers: n.Transfers, PaymentNote: cart.ID, Attempt: a.ID,
			CreatedAt: now, ChangedAt: now, ExpiresAt: now.Add(MaxTokenLife),
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// releaseTokens ends the tokens of an attempt that ended without money.
func (s *Service) releaseTokens(tx Tx, a Attempt, now time.Time) error {
	tokens, err := tx.TokensOfAttempt(a.ID)
	if err != nil {
		return err
	}
	for _, t := range tokens {
		if t.State != TokenActive {
			continue
		}
		to := TokenExpired
		if a.State == AttemptFailed {
			to = TokenKO
		}
		t.move(to, now)
		if err := tx.SaveToken(t); err != nil {
			return err
		}
	}
	return nil
}

// choose finds the PSP asked for, or the first by the rule, and its fee. No PSP
// but the node's is told of revenue stamps: another would take the money for
// them, and no receipt could be made.
func (s *Service) choose(tx Tx, req PayRequest, cart Cart, stamps bool) (PSPOffer, error) {
	refs := make([]NoticeRef, len(cart.Notices))
	for i, n := range cart.Notices {
		refs[i] = n.ref()
	}
	wanted, err := offerRequest(tx, refs)
	if err != nil {
		return PSPOffer{}, err
	}
	passed := false
	for _, m := range s.psps.Offers(tx.Context(), wanted) {
		if m.Method != req.Method {
			continue
		}
		for _, o := range m.PSPs {
			if req.PSP != "" && o.ID != req.PSP {
				continue
			}
			if stamps && o.Settlement.holds() {
				if req.PSP != "" {
					return PSPOffer{}, &Invalid{[]FieldError{{"psp", "stamps", "this PSP sells no revenue stamps: choose another"}}}
				}
				passed = true
				continue
			}
			if o.Reason == UnavailableAmount && req.PSP != "" {
				return PSPOffer{}, &Invalid{[]FieldError{{"psp", "range", "this PSP does not take so much at once: choose another, or fewer notices"}}}
			}
			if !o.Available {
				return PSPOffer{}, fmt.Errorf("psp %s: %w", o.ID, ErrPSPUnavailable)
			}
			return o, nil
		}
	}
	if passed {
		return PSPOffer{}, &Invalid{[]FieldError{{"method", "stamps", "no PSP of this method sells revenue stamps: choose another"}}}
	}
	if req.PSP == "" {
		return PSPOffer{}, fmt.Errorf("method %s: %w", req.Method, ErrPSPUnavailable)
	}
	return PSPOffer{}, &Invalid{[]FieldError{{"psp", "unknown", "no PSP with this id takes this method"}}}
}

func (s *Service) order(ctx context.Context, cart Cart, a Attempt, ret *url.URL) (Order, error) {
	if ret == nil {
		ret = s.cfg.PublicURL.JoinPath("carrello", "esito", cart.ID)
	}
	o := Order{
		Attempt: a.ID, Cart: cart.ID, Method: a.Method, Fee: a.Fee, Email: cart.Email, Return: ret,
		Callback: s.cfg.PublicURL.JoinPath("callbacks", string(a.PSP)),
	}
	err := s.store.View(ctx, func(tx Tx) error {
		o.Notices = nil
		tokens, err := tx.TokensOfAttempt(a.ID)
		if err != nil {
			return err
		}
		for _, c := range cart.Notices {
			school, err := tx.School(c.School)
			if err != nil {
				return err
			}
			n, err := tx.Notice(c.School, c.Number)
			if err != nil {
				return err
			}
			on := OrderNotice{School: c.School, SchoolName: school.Name, Number: c.Number, Amount: c.Amount, Description: n.Description, PostalAccount: school.Postal.Account}
			for _, t := range tokens {
				if t.School == c.School && t.Number == c.Number {
					on.Token = t.ID
				}
			}
			o.Notices = append(o.Notices, on)
		}
		return nil
	})
	return o, err
}

// moveAttempt records what became of an attempt, with its cart. A started one
// with a page hands the cart over. An attempt that a receipt has settled
// meanwhile is left alone.
func (s *Service) moveAttempt(ctx context.Context, id string, to AttemptState, started Started) error {
	return s.store.Update(ctx, func(tx Tx) error {
		now := s.clock.Now()
		a, err := tx.Attempt(id)
		if err != nil {
			return err
		}
		cart, err := tx.LockCart(a.Cart)
		if err != nil {
			return err
		}
		if a, err = tx.Attempt(id); err != nil || !a.State.Live() {
			return err
		}
		if started.Redirect != "" {
			page := started.Timeout
			if page <= 0 {
				page = defaultPage
			}
			a.Redirect, a.Reference, a.LapsesAt = started.Redirect, started.Reference, now.Add(page+pageGrace)
			if a.Reference != "" && s.psps.Abilities(a.PSP).Ask {
				a.pollNext(now)
			}
			cart.Redirect = started.Redirect
			if cart.State == CartOpen {
				cart.move(CartRedirected, now)
			}
			if err := tx.SaveCart(cart); err != nil {
				return err
			}
		}
		if a.State != to && a.State != AttemptAuthorised {
			a.move(to, now)
			if !to.Live() {
				if err := errors.Join(s.endEvents(tx, cart, a, now), s.releaseTokens(tx, a, now)); err != nil {
					return err
				}
			}
		}
		return tx.SaveAttempt(a)
	})
}

// endEvents writes the end of an attempt into the history of its notices.
func (s *Service) endEvents(tx Tx, cart Cart, a Attempt, now time.Time) error {
	events := make([]Event, len(cart.Notices))
	for i, n := range cart.Notices {
		events[i] = Event{School: n.School, Number: n.Number, Kind: EventPaymentEnded, Actor: ActorSystem, Attempt: a.ID, State: a.State, At: now}
	}
	return tx.AppendEvents(events...)
}

// Sweep ends the attempts whose page nobody answered for in time, so that their
// notices can be paid again. Call it every minute or so; it does at most a
// thousand at a time and says how many.
func (s *Service) Sweep(ctx context.Context) (int, error) {
	var due []Attempt
	err := s.store.View(ctx, func(tx Tx) (err error) {
		due, err = tx.DueAttempts(s.clock.Now(), 1000)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("sweep attempts: %w", err)
	}
	for i, a := range due {
		err := s.store.Update(ctx, func(tx Tx) error { return s.lapse(tx, a, s.clock.Now()) })
		if err != nil {
			return i, fmt.Errorf("sweep attempt %s: %w", a.ID, err)
		}
	}
	return len(due), nil
}

// lapse ends one attempt whose time is over.
func (s *Service) lapse(tx Tx, a Attempt, now time.Time) error {
	cart, err := tx.LockCart(a.Cart)
	if err != nil {
		return err
	}
	if a, err = tx.Attempt(a.ID); err != nil {
		return err
	}
	switch {
	case now.Before(a.LapsesAt), !a.PollAt.IsZero():
		return nil // not yet, or the PSP tells
	case a.State == AttemptCreated, a.State == AttemptSent && a.Redirect == "":
		// Nobody ever had the page's address: the cart may be tried again.
		a.move(AttemptAbandoned, now)
	case a.State == AttemptSent, a.State == AttemptUnknown:
		a.move(AttemptExpired, now)
		if cart.State == CartOpen || cart.State == CartRedirected {
			cart.close(CartClosedExpired, now)
			if err := tx.SaveCart(cart); err != nil {
				return err
			}
		}
	default:
		return nil
	}
	if err := errors.Join(s.endEvents(tx, cart, a, now), s.releaseTokens(tx, a, now)); err != nil {
		return err
	}
	return tx.SaveAttempt(a)
}

// Cart finds a cart by its id; ErrNotFound.
func (s *Service) Cart(ctx context.Context, id string) (Cart, error) {
	var c Cart
	err := s.store.View(ctx, func(tx Tx) (err error) {
		c, err = tx.Cart(id)
		return err
	})
	return s.asItIs(ctx, c, err)
}

// asItIs is a cart just read, brought to its end if it has come to one.
func (s *Service) asItIs(ctx context.Context, c Cart, err error) (Cart, error) {
	if err != nil {
		return Cart{}, err
	}
	list := []Cart{c}
	err = s.readPrinted(ctx, list)
	return list[0], err
}

// CartOfRequest finds the cart that a PayRequest with this Key made; ErrNotFound.
func (s *Service) CartOfRequest(ctx context.Context, key string) (Cart, error) {
	var c Cart
	err := s.store.View(ctx, func(tx Tx) (err error) {
		c, err = tx.CartByRequest(key)
		return err
	})
	return s.asItIs(ctx, c, err)
}

// CartsOfAccount lists a family's payments, newest first.
func (s *Service) CartsOfAccount(ctx context.Context, account string, limit int) ([]Cart, error) {
	var list []Cart
	err := s.store.View(ctx, func(tx Tx) (err error) {
		list, err = tx.CartsOfAccount(account, limit)
		return err
	})
	if err != nil {
		return nil, err
	}
	return list, s.readPrinted(ctx, list)
}

// Offers lists methods and PSPs for an amount of which no more is known.
func (s *Service) Offers(ctx context.Context, amount money.Cents) []MethodOffer {
	return s.psps.Offers(ctx, OfferRequest{Amount: amount})
}

// OffersAt lists methods and PSPs for a notice of the school as it issues most.
func (s *Service) OffersAt(ctx context.Context, school SchoolCode, amount money.Cents) ([]MethodOffer, error) {
	at, err := s.School(ctx, school)
	if err != nil {
		return nil, err
	}
	notice := OfferNotice{School: school, Amount: amount, Transfers: []OfferTransfer{{School: school, Taxonomy: at.Taxonomy}}}
	return s.psps.Offers(ctx, OfferRequest{Amount: amount, Notices: []OfferNotice{notice}}), nil
}

// OffersFor lists methods and PSPs for a cart of these notices, as Pay will
// choose from.
func (s *Service) OffersFor(ctx context.Context, refs []NoticeRef) ([]MethodOffer, error) {
	var req OfferRequest
	err := s.store.View(ctx, func(tx Tx) (err error) {
		req, err = offerRequest(tx, refs)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("offers: %w", err)
	}
	return s.psps.Offers(ctx, req), nil
}

func offerRequest(tx Tx, refs []NoticeRef) (OfferRequest, error) {
	var req OfferRequest
	for _, ref := range refs {
		n, err := tx.Notice(ref.School, ref.Number)
		if err != nil {
			return OfferRequest{}, fmt.Errorf("notice %s: %w", ref.Number, err)
		}
		if req.Amount, err = req.Amount.Add(n.Amount); err != nil {
			return OfferRequest{}, &Invalid{[]FieldError{{"notices", "range", "the cart's total is too large"}}}
		}
		o := OfferNotice{School: n.School, Amount: n.Amount}
		for _, t := range n.Transfers {
			o.Transfers = append(o.Transfers, OfferTransfer{School: t.School, Taxonomy: t.Taxonomy, Stamp: t.Stamp != nil})
		}
		req.Notices = append(req.Notices, o)
	}
	return req, nil
}

// PSPName is the name people know a PSP by.
func (s *Service) PSPName(id PSPID) string { return s.psps.Name(id) }

// CountAttempts counts live attempts by state, for the metric.
func (s *Service) CountAttempts(ctx context.Context) (map[AttemptState]AttemptCount, error) {
	var m map[AttemptState]AttemptCount
	err := s.store.View(ctx, func(tx Tx) (err error) {
		m, err = tx.CountAttempts()
		return err
	})
	return m, err
}

// RequestKey joins what makes a request the same as another into one value of
// fixed length.
func RequestKey(parts ...string) string {
	return fmt.Sprintf("%x", fingerprint(parts))
}
