// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/nodogate/nodogate/gateway/money"
	"github.com/nodogate/nodogate/iuv"
)

// Refund (rimborso) is money of a receipt that goes back to who paid it.
type Refund struct {
	ID      string
	School  SchoolCode
	Seq     int64 // set by the store
	Receipt string
	Notice  iuv.Number // of the receipt, as read; zero when it has none of ours
	Amount  money.Cents
	Reason  string
	IBAN    IBAN   // where to; empty when nobody said
	Holder  string // whose account it is
	State   RefundState
	// Execution says who gives the money back, once it is approved.
	Execution Execution
	// Attempt is the payment that its PSP gives back whole, and AtPSP what became
	// of asking it; empty and nil where it was never asked.
	Attempt string
	AtPSP   *PSPRefund
	// RequestedBy asked for it, or last said whose account it goes to.
	RequestedBy Actor
	DecidedBy   Actor // approved or rejected it; zero before
	CreatedAt   time.Time
	ChangedAt   time.Time
	Version     int64
}

// RefundState is the state of a refund. Stored and sent: never renamed.
type RefundState string

const (
	RefundRequested RefundState = "requested"
	RefundApproved  RefundState = "approved"
	RefundExecuted  RefundState = "executed"
	RefundRejected  RefundState = "rejected"
)

var refundMoves = map[RefundState][]RefundState{
	RefundRequested: {RefundApproved, RefundRejected},
	RefundApproved:  {RefundExecuted, RefundRejected}, // the school thought better of it
	RefundExecuted:  nil,                              // final
	RefundRejected:  nil,                              // final
}

func (r *Refund) move(to RefundState, now time.Time) {
	if !slices.Contains(refundMoves[r.State], to) {
		panic("gateway: no arrow from refund state " + string(r.State) + " to " + string(to))
	}
	r.State = to
	r.change(now)
}

func (r *Refund) change(now time.Time) {
	r.ChangedAt = now
	r.Version++
}

// Execution says who gives an approved refund back. Stored and sent: never
// renamed.
type Execution string

const (
	// ExecutionSchool: the school, by bank transfer; it then notes it as executed.
	ExecutionSchool Execution = "school"
	// ExecutionWaiting: a PSP gives back whole payments only, and refunds of the
	// other notices of this one are not decided yet.
	ExecutionWaiting Execution = "waiting"
	// ExecutionPSP: the gateway asks the PSP, until it says yes or no.
	ExecutionPSP Execution = "psp"
	// ExecutionRefused: the PSP said no, so the school has to.
	ExecutionRefused Execution = "psp_refused"
)

// byHand says whether the school may give the money back now.
func (e Execution) byHand() bool { return e == ExecutionSchool || e == ExecutionRefused }

// PSPRefund is the order to a PSP to give one payment back whole: all its notices,
// and the fee. A payment has one at most, for good.
type PSPRefund struct {
	Attempt   string
	PSP       PSPID
	State     PSPRefundState
	Asked     int       // how often
	AskAt     time.Time // when to ask next; zero when it is decided
	CreatedAt time.Time
	ChangedAt time.Time
}

// PSPRefundState is what became of the order. Stored and sent: never renamed.
type PSPRefundState string

const (
	PSPRefundAsking  PSPRefundState = "asking"
	PSPRefundDone    PSPRefundState = "done"
	PSPRefundRefused PSPRefundState = "refused"
	// PSPRefundDropped: after a day without a clear answer the school took the
	// matter into its own hands.
	PSPRefundDropped PSPRefundState = "dropped"
)

// Why a refund cannot be asked for or changed.
var (
	// ErrRefundExceeds: together the receipt's refunds would be more than was paid.
	ErrRefundExceeds = errors.New("more than what is left of the receipt")
	// ErrRefundOwn: who asked for a refund may not approve it.
	ErrRefundOwn = errors.New("own request")
	// ErrRefundState: there is no way from the refund's state to the one wanted.
	ErrRefundState = errors.New("the refund's state forbids it")
	// ErrRefundWaits: the refunds of the other notices of the payment are not
	// decided, and with them the PSP would give back this one too.
	ErrRefundWaits = errors.New("the refund waits for others of the same payment")
	// ErrRefundAtPSP: the PSP is being asked; a transfer beside it could pay twice.
	ErrRefundAtPSP = errors.New("the provider is giving the money back")
)

// slowRefundAsk is how often a PSP is asked that could not say for a day.
const slowRefundAsk = time.Hour

// NewRefund asks for a refund.
type NewRefund struct {
	Receipt string
	Amount  money.Cents
	Reason  string
	IBAN    string // may be empty
	Holder  string // may be empty
}

const (
	maxRefundReason = 140
	maxRefundHolder = 70 // of a credit transfer's creditor name
)

// RequestRefund notes that money of a receipt shall go back. Nothing moves
// before another has approved it. Errors: *Invalid, ErrRefundExceeds.
func (s *Service) RequestRefund(ctx context.Context, actor Actor, school SchoolCode, in NewRefund) (Refund, error) {
	var bad Invalid
	r := Refund{
		ID: s.newID(), School: school, Receipt: in.Receipt, Amount: in.Amount, Reason: clean(in.Reason),
		State: RefundRequested, RequestedBy: actor, Version: 1,
	}
	if n := utf8.RuneCountInString(r.Reason); n == 0 || n > maxRefundReason {
		bad.Add("reason", "length", "give a reason of 1 to 140 characters")
	}
	if in.Amount <= 0 {
		bad.Add("amount_cents", "range", "give at least 1")
	}
	r.IBAN, r.Holder = checkPayee(in.IBAN, in.Holder, &bad)
	err := s.store.Update(ctx, func(tx Tx) error {
		now := s.clock.Now()
		r.CreatedAt, r.ChangedAt = now, now
		bad := Invalid{slices.Clone(bad.Fields)}
		err := tx.LockReceipt(school, in.Receipt)
		if isNotFound(err) {
			bad.Add("receipt", "unknown", "give the id of a receipt of the school")
			return &bad
		}
		if err != nil {
			return err
		}
		rec, err := tx.Receipt(school, in.Receipt)
		if err != nil {
			return err
		}
		switch {
		case rec.Role != RoleCreditor:
			// The creditor gives back the whole; each beneficiary its part besides
			// would be more than was paid.
			bad.Add("receipt", "role", "the school is a beneficiary of this payment only: the creditor of the notice refunds it")
		case in.Amount > rec.Content.Amount:
			bad.Add("amount_cents", "range", fmt.Sprintf("the receipt is of %d cents: give no more", int64(rec.Content.Amount)))
		}
		if err := bad.Err(); err != nil {
			return err
		}
		sum := in.Amount
		others, err := tx.RefundsOfReceipt(school, in.Receipt)
		if err != nil {
			return err
		}
		for _, o := range others {
			if o.State != RefundRejected {
				sum += o.Amount
			}
		}
		if sum > rec.Content.Amount {
			return ErrRefundExceeds
		}
		r.Notice = rec.Notice
		if err := tx.InsertRefund(r); err != nil {
			return err
		}
		return s.tellRefund(tx, r, actor, now)
	})
	if err != nil {
		return Refund{}, fmt.Errorf("request refund: %w", err)
	}
	return r, nil
}

// checkPayee reads whose account the money goes to; both may be empty.
func checkPayee(iban, holder string, bad *Invalid) (IBAN, string) {
	var account IBAN
	if iban != "" {
		var err error
		if account, err = ParseIBAN(iban); err != nil {
			bad.Add("iban", "format", "give an IBAN with right check digits")
		}
	}
	holder = clean(holder)
	if utf8.RuneCountInString(holder) > maxRefundHolder {
		bad.Add("holder", "length", "give at most 70 characters")
	}
	if holder != "" && iban == "" {
		bad.Add("iban", "required", "give the holder's IBAN too")
	}
	return account, holder
}

// askRefund gives the school the task to pay money of a receipt back. The receipt
// is new: it has no other refund.
func (s *Service) askRefund(tx Tx, rec Receipt, amount money.Cents, why Anomaly, now time.Time) error {
	r := Refund{
		ID: s.newID(), School: rec.School, Receipt: rec.ID, Notice: rec.Notice, Amount: amount, Reason: string(why),
		State: RefundRequested, RequestedBy: ActorSystem, CreatedAt: now, ChangedAt: now, Version: 1,
	}
	if err := tx.InsertRefund(r); err != nil {
		return err
	}
	return s.tellRefund(tx, r, ActorSystem, now)
}

// tellRefund writes a refund's change into the notice's history, the audit trail
// and the outbox.
func (s *Service) tellRefund(tx Tx, r Refund, actor Actor, now time.Time) error {
	if !r.Notice.IsZero() {
		err := tx.AppendEvents(Event{
			School: r.School, Number: r.Notice, Kind: EventRefundChanged, Actor: actor, Receipt: r.Receipt,
			Refund: r.ID, RefundState: r.State, At: now,
		})
		if err != nil {
			return err
		}
	}
	if err := tx.AppendAudit(Audit{School: r.School, Actor: actor, Action: "refund." + string(r.State), Object: r.ID, At: now}); err != nil {
		return err
	}
	m := s.message(EventRefundChanged, r.School, r.Notice, r.Receipt, now)
	m.Payload = refundPayload(r, now)
	return tx.Enqueue(m)
}

func refundPayload(r Refund, now time.Time) []byte {
	return eventJSON(EventPayload{
		Type: EventRefundChanged, School: r.School, Number: r.Notice.String(), Receipt: r.Receipt,
		Refund: r.ID, RefundState: r.State, At: now,
	})
}

// RefundChange is what a refund shall become. Zero fields stay as they are.
type RefundChange struct {
	State RefundState
	// Execution may be ExecutionSchool alone: the school does not wait for the
	// other refunds of the payment, or not any more for a PSP that could not say
	// for a day.
	Execution Execution
	// IBAN and Holder go together; whoever sets them is who asks, so that another
	// has to approve.
	IBAN, Holder *string
	// If is asked about the refund as it is, under its lock; its error ends it.
	If func(Refund) error
}

// ChangeRefund decides about a refund. Changing it to what it is changes nothing.
//
// Errors: *Invalid, ErrNotFound, that of If, ErrRefundState, ErrRefundOwn,
// ErrRefundWaits, ErrRefundAtPSP.
func (s *Service) ChangeRefund(ctx context.Context, actor Actor, school SchoolCode, id string, c RefundChange) (Refund, error) {
	var bad Invalid
	if _, known := refundMoves[c.State]; c.State != "" && !known {
		bad.Add("state", "unknown", "give approved, executed or rejected")
	}
	if c.Execution != "" && c.Execution != ExecutionSchool {
		bad.Add("execution", "unknown", "give school, or leave it out")
	}
	if err := bad.Err(); err != nil {
		return Refund{}, err
	}
	var r Refund
	err := s.store.Update(ctx, func(tx Tx) error {
		now := s.clock.Now()
		found, err := tx.Refund(school, id)
		if err != nil {
			return err
		}
		whole, err := lockPayment(tx, school, found.Receipt)
		if err != nil {
			return err
		}
		if r, err = tx.Refund(school, id); err != nil {
			return err
		}
		if c.If != nil {
			if err := c.If(r); err != nil {
				return err
			}
		}
		version := r.Version
		if err := setPayee(&r, actor, c, now); err != nil {
			return err
		}
		if c.Execution != "" && r.Execution != ExecutionSchool {
			if err := s.takeOver(tx, &r, whole, now); err != nil {
				return err
			}
		}
		if c.State != "" && c.State != r.State {
			if err := s.decide(tx, &r, actor, c.State, whole, now); err != nil {
				return err
			}
		}
		if r.Version == version {
			return nil
		}
		r.Version = version + 1 // however much of it changed
		if err := tx.SaveRefund(r); err != nil {
			return err
		}
		if err := s.tellRefund(tx, r, actor, now); err != nil {
			return err
		}
		r, err = tx.Refund(school, id)
		return err
	})
	if err != nil {
		return Refund{}, fmt.Errorf("change refund: %w", err)
	}
	return r, nil
}

func setPayee(r *Refund, actor Actor, c RefundChange, now time.Time) error {
	if c.IBAN == nil && c.Holder == nil {
		return nil
	}
	iban, holder := string(r.IBAN), r.Holder
	if c.IBAN != nil {
		iban = *c.IBAN
	}
	if c.Holder != nil {
		holder = *c.Holder
	}
	var bad Invalid
	account, holder := checkPayee(iban, holder, &bad)
	if err := bad.Err(); err != nil {
		return err
	}
	if account == r.IBAN && holder == r.Holder {
		return nil
	}
	if r.State != RefundRequested {
		return ErrRefundState // what was approved is what is paid
	}
	r.IBAN, r.Holder, r.RequestedBy = account, holder, actor
	r.change(now)
	return nil
}

// takeOver puts a refund into the school's own hands.
func (s *Service) takeOver(tx Tx, r *Refund, whole payment, now time.Time) error {
	switch {
	case r.State != RefundApproved:
		return ErrRefundState
	case r.Execution == ExecutionRefused:
		return nil // it is there already
	case r.Execution == ExecutionPSP:
		order, err := tx.PSPRefund(r.Attempt)
		if err != nil {
			return err
		}
		if !order.doubtful(now) {
			return ErrRefundAtPSP
		}
		order.State, order.AskAt, order.ChangedAt = PSPRefundDropped, time.Time{}, now
		if err := tx.SavePSPRefund(order); err != nil {
			return err
		}
		s.log.Warn("refund taken from the PSP that could not say", "psp", string(order.PSP), "attempt", order.Attempt)
	}
	r.Execution = ExecutionSchool
	r.change(now)
	return s.release(tx, *r, whole, now)
}

func (s *Service) decide(tx Tx, r *Refund, actor Actor, to RefundState, whole payment, now time.Time) error {
	if !slices.Contains(refundMoves[r.State], to) {
		return ErrRefundState
	}
	switch {
	case r.Execution == ExecutionPSP:
		return ErrRefundAtPSP
	case to == RefundApproved && r.RequestedBy == actor:
		return ErrRefundOwn
	case to == RefundExecuted && !r.Execution.byHand():
		return ErrRefundWaits
	}
	r.move(to, now)
	if to == RefundExecuted {
		return nil
	}
	r.DecidedBy = actor
	if to == RefundRejected {
		return s.release(tx, *r, whole, now)
	}
	return s.route(tx, r, whole, now)
}

// payment is the receipts of one payment at a PSP that gives back whole payments
// only; without an attempt, the one receipt that was looked for.
type payment struct {
	attempt  Attempt
	receipts []Receipt
}

// lockPayment locks the receipts that a refund of one of them may move, in one
// order for all. Their locks guard the refunds.
func lockPayment(tx Tx, school SchoolCode, id string) (payment, error) {
	rec, err := tx.Receipt(school, id)
	if err != nil {
		return payment{}, err
	}
	// A receipt of our own making has the id of the token that held its notice.
	t, err := tx.Token(rec.Content.ID)
	alone := payment{receipts: []Receipt{rec}}
	if isNotFound(err) || err == nil && (t.Attempt == "" || rec.Role != RoleCreditor || t.School != school) {
		return alone, tx.LockReceipt(school, id)
	}
	if err != nil {
		return payment{}, err
	}
	return lockAttemptReceipts(tx, t.Attempt, alone)
}

// lockAttemptReceipts is the payment of an attempt; alone when one of its notices
// has no receipt, so that what was paid cannot be told.
func lockAttemptReceipts(tx Tx, attempt string, alone payment) (whole payment, err error) {
	if whole.attempt, err = tx.Attempt(attempt); err != nil {
		return payment{}, err
	}
	tokens, err := tx.TokensOfAttempt(attempt)
	if err != nil {
		return payment{}, err
	}
	for _, t := range tokens {
		rec, err := tx.ReceiptByKey(t.School, string(t.School), t.Number.IUV(), t.ID)
		if isNotFound(err) {
			whole = alone
			break
		}
		if err != nil {
			return payment{}, err
		}
		whole.receipts = append(whole.receipts, rec)
	}
	slices.SortFunc(whole.receipts, func(a, b Receipt) int { return cmp.Or(cmp.Compare(a.School, b.School), cmp.Compare(a.ID, b.ID)) })
	for _, rec := range whole.receipts {
		if err := tx.LockReceipt(rec.School, rec.ID); err != nil {
			return payment{}, err
		}
	}
	return whole, nil
}

// others lists the refunds of the payment's other receipts, but the rejected ones;
// whole says that each receipt has one of its full amount, r among them.
func (p payment) others(tx Tx, r Refund) (list []Refund, whole bool, err error) {
	whole = true
	for _, rec := range p.receipts {
		refunds, err := tx.RefundsOfReceipt(rec.School, rec.ID)
		if err != nil {
			return nil, false, err
		}
		own := rec.School == r.School && rec.ID == r.Receipt
		full := false
		for _, f := range refunds {
			f.Notice = rec.Notice
			switch {
			case own && f.ID == r.ID:
				full = r.Amount == rec.Content.Amount
			case !own && f.State != RefundRejected:
				full = full || f.Amount == rec.Content.Amount
				list = append(list, f)
			}
		}
		whole = whole && full
	}
	return list, whole, nil
}

// route says who gives an approved refund back. A PSP gives back whole payments,
// so it is asked only when every receipt of the payment has an approved refund of
// its full amount, and none of them is in the school's hands: once it is, the
// school may have paid already. As long as refunds of all are at least asked for,
// this one waits for them.
func (s *Service) route(tx Tx, r *Refund, whole payment, now time.Time) error {
	r.Execution = ExecutionSchool
	if whole.attempt.ID == "" || !s.psps.Abilities(whole.attempt.PSP).Refund {
		return nil
	}
	if _, err := tx.PSPRefund(whole.attempt.ID); err == nil || !isNotFound(err) {
		return err // the PSP was asked before, and that is all it is asked
	}
	others, full, err := whole.others(tx, *r)
	if err != nil {
		return err
	}
	all := true
	for _, o := range others {
		full = full && (o.State == RefundRequested || o.Execution == ExecutionWaiting)
		all = all && o.Execution == ExecutionWaiting
	}
	switch {
	case !full:
		return s.release(tx, *r, whole, now)
	case !all:
		r.Execution = ExecutionWaiting
		return nil
	}
	order := PSPRefund{Attempt: whole.attempt.ID, PSP: whole.attempt.PSP, State: PSPRefundAsking, AskAt: now, CreatedAt: now, ChangedAt: now}
	if err := tx.InsertPSPRefund(order); err != nil {
		return err
	}
	r.Execution, r.Attempt = ExecutionPSP, order.Attempt
	for _, o := range others {
		o.Execution, o.Attempt = ExecutionPSP, order.Attempt
		if err := s.saveOther(tx, o, now); err != nil {
			return err
		}
	}
	return nil
}

// release gives the refunds to the school that waited for this one, or were at
// the PSP with it.
func (s *Service) release(tx Tx, r Refund, whole payment, now time.Time) error {
	others, _, err := whole.others(tx, r)
	if err != nil {
		return err
	}
	for _, o := range others {
		if o.State != RefundApproved || o.Execution != ExecutionWaiting && o.Execution != ExecutionPSP {
			continue
		}
		o.Execution = ExecutionSchool
		if err := s.saveOther(tx, o, now); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) saveOther(tx Tx, o Refund, now time.Time) error {
	o.change(now)
	if err := tx.SaveRefund(o); err != nil {
		return err
	}
	return s.tellRefund(tx, o, ActorSystem, now)
}

// doubtful says that the PSP could not say for a day: a person has to ask it.
func (p *PSPRefund) doubtful(now time.Time) bool { return !now.Before(p.CreatedAt.Add(askUntil)) }

// AskRefunds asks PSPs to give back the payments whose refunds are approved. Each
// is claimed from the store, so any number of processes may do it and no two ask
// at once; asking again is safe. Call it every second or so; it says how many it
// asked about.
func (s *Service) AskRefunds(ctx context.Context) (int, error) {
	var due []PSPRefund
	err := s.store.Update(ctx, func(tx Tx) (err error) {
		now := s.clock.Now()
		due, err = tx.ClaimPSPRefunds(now, now.Add(askLease), askBatch)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("ask refunds: %w", err)
	}
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		errs []error
		slot = make(chan struct{}, askers)
	)
	for _, o := range due {
		slot <- struct{}{}
		wg.Go(func() {
			defer func() { <-slot }()
			if err := s.askPSPRefund(ctx, o); err != nil {
				mu.Lock()
				errs = append(errs, fmt.Errorf("attempt %s: %w", o.Attempt, err))
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return len(due), fmt.Errorf("ask refunds: %w", err)
	}
	return len(due), nil
}

// askPSPRefund asks about one payment. Its error is of our own side: what goes
// wrong at the PSP only means to ask again.
func (s *Service) askPSPRefund(ctx context.Context, o PSPRefund) error {
	var a Attempt
	err := s.store.View(ctx, func(tx Tx) (err error) {
		a, err = tx.Attempt(o.Attempt)
		return err
	})
	if err != nil {
		return err
	}
	answer := s.psps.Refund(ctx, a.PSP, Payment{Attempt: a.ID, Reference: a.Reference, Method: a.Method})
	var alarm string
	err = s.store.Update(context.WithoutCancel(ctx), func(tx Tx) (err error) {
		alarm, err = s.refundAnswered(tx, a, answer, s.clock.Now())
		return err
	})
	if err == nil && alarm != "" {
		s.metrics.refunds.WithLabelValues(alarm).Inc()
	}
	return err
}

// refundAnswered notes what the PSP said, and names the outcome for the metric.
func (s *Service) refundAnswered(tx Tx, a Attempt, answer error, now time.Time) (outcome string, err error) {
	whole, err := lockAttemptReceipts(tx, a.ID, payment{})
	if err != nil {
		return "", err
	}
	order, err := tx.PSPRefund(a.ID)
	if err != nil || order.State != PSPRefundAsking && answer != nil || order.State == PSPRefundDone {
		return "", err
	}
	before := order
	order.Asked++
	order.ChangedAt = now
	log := s.log.With("psp", string(a.PSP), "attempt", a.ID)
	switch {
	case answer == nil:
		order.State, order.AskAt, outcome = PSPRefundDone, time.Time{}, "done"
	case errors.Is(answer, ErrRefused):
		order.State, order.AskAt, outcome = PSPRefundRefused, time.Time{}, "refused"
		log.Warn("refund refused by the PSP: the school has to pay it back", "asked", order.Asked)
	default:
		order.next(now)
		if order.doubtful(now) && !before.doubtful(before.ChangedAt) {
			outcome = "unresolved"
			log.Error("refund unresolved for a day: ask the PSP by hand")
		}
		return outcome, tx.SavePSPRefund(order)
	}
	if err := tx.SavePSPRefund(order); err != nil {
		return "", err
	}
	for _, rec := range whole.receipts {
		refunds, err := tx.RefundsOfReceipt(rec.School, rec.ID)
		if err != nil {
			return "", err
		}
		for _, r := range refunds {
			if r.Attempt != a.ID {
				continue
			}
			r.Notice = rec.Notice
			switch {
			case answer != nil:
				r.Execution = ExecutionRefused
			case r.State == RefundApproved:
				r.Execution, r.State = ExecutionPSP, RefundExecuted
			default:
				// The school took it over and decided, and the PSP has paid all the same.
				log.Error("a PSP gave back late what the school had settled itself", "refund", r.ID, "state", string(r.State))
				outcome = "twice"
				continue
			}
			if err := s.saveOther(tx, r, now); err != nil {
				return "", err
			}
		}
	}
	return outcome, nil
}

// next sets when the PSP is asked again.
func (p *PSPRefund) next(now time.Time) {
	wait := slowAsk
	switch {
	case p.doubtful(now):
		wait = slowRefundAsk
	case p.Asked <= len(askAfter):
		wait = askAfter[p.Asked-1]
	}
	p.AskAt = now.Add(wait)
}

// answerWithin is how long a caller may wait for a PSP that was just asked, and
// lookAgain how often it is looked whether the answer is here.
const (
	answerWithin = 3 * time.Second
	lookAgain    = 100 * time.Millisecond
)

// AwaitRefund waits a short time for what a PSP says of a refund that it is asked
// for: an approval and the answer are often a second apart. It is the refund as it
// is then.
func (s *Service) AwaitRefund(ctx context.Context, school SchoolCode, id string) (Refund, error) {
	over := time.NewTimer(answerWithin)
	defer over.Stop()
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	for {
		r, err := s.Refund(ctx, school, id)
		if err != nil || r.State != RefundApproved || r.Execution != ExecutionPSP || r.AtPSP.Asked > 0 {
			return r, err
		}
		select {
		case <-over.C:
			return r, nil
		case <-ctx.Done():
			return r, ctx.Err()
		case <-tick.C:
		}
	}
}

// RefundFilter chooses refunds of one school, newest first. Zero fields do not
// filter.
type RefundFilter struct {
	State   RefundState
	Receipt string
	Before  int64 // Seq below
	Limit   int
}

// Refund finds one refund of a school; ErrNotFound.
func (s *Service) Refund(ctx context.Context, school SchoolCode, id string) (Refund, error) {
	var r Refund
	err := s.store.View(ctx, func(tx Tx) (err error) {
		r, err = tx.Refund(school, id)
		return err
	})
	return r, err
}

// Refunds lists refunds.
func (s *Service) Refunds(ctx context.Context, school SchoolCode, f RefundFilter) ([]Refund, error) {
	var list []Refund
	err := s.store.View(ctx, func(tx Tx) (err error) {
		list, err = tx.Refunds(school, f)
		return err
	})
	return list, err
}
