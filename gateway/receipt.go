// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nodogate/nodogate/gateway/money"
	"github.com/nodogate/nodogate/iuv"
	"github.com/nodogate/nodogate/receipts"
)

// Receipt is a telematic receipt as we keep it: for good, with the bytes it
// came in.
type Receipt struct {
	ID     string // ours, unguessable
	School SchoolCode
	Seq    int64 // order of arrival, set by the store
	// Notice is the notice it belongs to; the zero Number when we do not know
	// it, or are a beneficiary only.
	Notice   iuv.Number
	Role     ReceiptRole
	Anomaly  Anomaly
	Channel  Channel
	Settles  bool // this is the receipt that made the notice paid
	Content  receipts.Receipt
	Digest   [sha256.Size]byte // of Raw
	Same     [sha256.Size]byte // Content.Content(): equal for a repetition
	Raw      []byte            // bytes as received; nil in lists
	Received time.Time
	Seal     *Seal // nil until the chain has reached it
}

// Seal is a receipt's place in its school's chain (sequence from 1).
type Seal struct {
	Sequence int64
	Hash     [sha256.Size]byte
}

// ReceiptRole says in which part the school got the receipt.
type ReceiptRole string

const (
	RoleCreditor    ReceiptRole = "creditor"    // the notice is the school's
	RoleBeneficiary ReceiptRole = "beneficiary" // another creditor's notice pays the school too
)

// Channel says who told us. Stored and sent: never renamed.
type Channel string

const (
	ChannelNode      Channel = "node"      // paSendRT, paSendRTV2
	ChannelPSP       Channel = "psp"       // sendPaymentOutcome
	ChannelConnector Channel = "connector" // a connector's signed outcome
)

// Anomaly says what does not fit about a receipt; empty when all fits. Stored
// and sent: never renamed.
type Anomaly string

const (
	AnomalyNone      Anomaly = ""
	AnomalyUnknown   Anomaly = "unknown_notice"
	AnomalyAmount    Anomaly = "amount_mismatch"
	AnomalyDouble    Anomaly = "double_payment"
	AnomalyCancelled Anomaly = "cancelled_notice"
	AnomalyExpired   Anomaly = "expired_notice"
	AnomalyStation   Anomaly = "station_mismatch"
	AnomalyLate      Anomaly = "late_outcome"
)

// Anomalies lists all kinds, for metrics and filters.
var Anomalies = []Anomaly{AnomalyUnknown, AnomalyAmount, AnomalyDouble, AnomalyCancelled, AnomalyExpired, AnomalyStation, AnomalyLate}

// Delivery is a receipt on its way in, read and checked against the schema.
type Delivery struct {
	Addressee
	Operation string // paSendRT, paSendRTV2: for the evidence
	Channel   Channel
	Receipt   receipts.Receipt
	Raw       []byte
}

// Verdict is what became of a delivery that was not an error.
type Verdict struct {
	// Duplicate: it was here already (same natural key), nothing was recorded;
	// Altered says that it came with other content, kept as evidence.
	Duplicate, Altered bool
	Receipt            Receipt // what was recorded; zero for a duplicate
}

// RecordReceipt keeps a receipt and moves what it settles, in one transaction,
// by the table of reliability.md, section 3. When it returns nil the receipt is
// durable. A receipt that contradicts itself is receipts.ErrInconsistent, a
// school that is not ours ErrUnknownSchool, a broker or station that is nobody's
// here ErrUnknownBroker or ErrUnknownStation; its bytes are then kept as
// evidence. Any other error means that nothing was recorded, or that it is not
// known whether it was: the sender must send again.
func (s *Service) RecordReceipt(ctx context.Context, d Delivery) (Verdict, error) {
	var v Verdict
	refusal := receipts.Check(d.Receipt)
	err := s.store.Update(ctx, func(tx Tx) error {
		v = Verdict{}
		now := s.clock.Now()
		_, mismatch, err := s.checkAddressee(tx, d.Addressee)
		if err == nil && refusal != nil {
			err = refusal
		}
		if err != nil {
			if !refusesReceipt(err) {
				return err
			}
			refusal = err
			return tx.InsertEvidence(s.evidence(d, evidenceOf(err), now))
		}
		v, err = s.record(tx, d, oddity{station: mismatch}, now)
		return err
	})
	if err != nil {
		return Verdict{}, fmt.Errorf("record receipt: %w", err)
	}
	if refusal != nil {
		s.metrics.refused(evidenceOf(refusal))
		return Verdict{}, refusal
	}
	s.metrics.receipt(d.Channel, v)
	return v, nil
}

// refusesReceipt tells a no to the message from a fault of ours.
func refusesReceipt(err error) bool {
	return errors.Is(err, ErrUnknownSchool) || errors.Is(err, ErrUnknownBroker) ||
		errors.Is(err, ErrUnknownStation) || errors.Is(err, receipts.ErrInconsistent)
}

func evidenceOf(err error) EvidenceKind {
	if errors.Is(err, receipts.ErrInconsistent) {
		return EvidenceInconsistent
	}
	return EvidenceRefused
}

// oddity is what is odd about a delivery before the notice is looked at.
type oddity struct {
	station bool // it was sent to another station of ours
	late    bool // the PSP's word came after its token's time
	rival   bool // and another payer holds the notice
}

func (s *Service) record(tx Tx, d Delivery, odd oddity, now time.Time) (Verdict, error) {
	rec := Receipt{
		ID:       s.newID(),
		School:   d.School,
		Role:     RoleCreditor,
		Channel:  d.Channel,
		Content:  d.Receipt,
		Digest:   receipts.Digest(d.Raw),
		Same:     d.Receipt.Content(),
		Raw:      d.Raw,
		Received: now,
	}
	var notice *Notice
	var earlier money.Cents
	if d.Receipt.Creditor != string(d.School) {
		rec.Role = RoleBeneficiary
	} else {
		n, err := tx.LockNotice(d.School, d.Receipt.Notice)
		switch {
		case err == nil && n.State != NoticeDraft:
			notice, rec.Notice = &n, n.Number
			if n.State != NoticePaid && n.Amount != d.Receipt.Amount {
				if earlier, err = tx.ReceivedFor(d.School, n.Number); err != nil {
					return Verdict{}, err
				}
			}
		case err == nil, isNotFound(err):
			// A draft was never shown to anybody: a payment of it is as
			// unknown as a number we never issued.
		default:
			return Verdict{}, err
		}
	}
	var pays bool
	if rec.Role == RoleCreditor {
		pays, rec.Anomaly = judge(notice, d.Receipt.Amount, earlier, odd, now)
	}
	rec.Settles = pays

	inserted, err := tx.InsertReceipt(rec)
	if err != nil {
		return Verdict{}, err
	}
	if !inserted {
		return s.repeated(tx, d, rec, now)
	}
	if notice != nil {
		if err := s.apply(tx, notice, rec, now); err != nil {
			return Verdict{}, err
		}
	}
	if err := s.tell(tx, EventReceiptRecorded, d.School, rec.Notice, rec.ID, now); err != nil {
		return Verdict{}, err
	}
	if rec.Anomaly != AnomalyNone {
		if err := s.tell(tx, EventReceiptAnomaly, d.School, rec.Notice, rec.ID, now); err != nil {
			return Verdict{}, err
		}
	}
	return Verdict{Receipt: rec}, nil
}

// judge is the receipt table for a notice of ours (nil when unknown): whether
// the receipt makes it paid, and what is odd about it. earlier is the money
// that already came for it without settling it.
func judge(n *Notice, amount, earlier money.Cents, odd oddity, now time.Time) (pays bool, a Anomaly) {
	switch {
	case n == nil:
		return false, AnomalyUnknown
	case odd.late && (odd.rival || n.State == NoticePaid):
		return false, AnomalyLate
	case n.State == NoticePaid:
		return false, AnomalyDouble
	case n.Amount != amount:
		enough := amount+earlier >= n.Amount || slices.Contains(n.PastAmounts, amount)
		return enough, AnomalyAmount
	}
	switch n.StateAt(now) {
	case NoticeCancelled:
		return true, AnomalyCancelled
	case NoticeExpired:
		return true, AnomalyExpired
	}
	switch {
	case odd.late:
		return true, AnomalyLate
	case odd.station:
		return true, AnomalyStation
	}
	return true, AnomalyNone
}

// repeated answers a receipt whose natural key is here already.
func (s *Service) repeated(tx Tx, d Delivery, rec Receipt, now time.Time) (Verdict, error) {
	old, err := tx.ReceiptByKey(rec.School, d.Receipt.Creditor, d.Receipt.CreditorReferenceID, d.Receipt.ID)
	if err != nil {
		return Verdict{}, err
	}
	v := Verdict{Duplicate: true, Altered: old.Same != rec.Same}
	if v.Altered {
		err = tx.InsertEvidence(s.evidence(d, EvidenceAltered, now))
	}
	return v, err
}

// apply moves the notice, and the attempt the receipt belongs to.
func (s *Service) apply(tx Tx, n *Notice, rec Receipt, now time.Time) error {
	if err := tx.AppendEvents(Event{School: n.School, Number: n.Number, Kind: EventReceiptRecorded, Receipt: rec.ID, Anomaly: rec.Anomaly, At: now}); err != nil {
		return err
	}
	switch {
	case rec.Settles:
		n.PaidAt = rec.Content.PaidAt
		if n.PaidAt.IsZero() || n.PaidAt.After(now) {
			n.PaidAt = now
		}
		n.SettledBy, n.Held = rec.ID, false
		n.move(NoticePaid, now)
	case n.State != NoticePaid:
		// Money came that does not pay the notice: the school has to look
		// before more comes.
		n.Held, n.ChangedAt = true, now
		n.Version++
		if rec.Anomaly == AnomalyLate {
			// Another pays it now: this money will have to go back, unless that
			// payment fails and the school takes this one.
			if err := s.askRefund(tx, rec, rec.Content.Amount, rec.Anomaly, now); err != nil {
				return err
			}
		}
	default: // it is paid already, and stays as it is
		return s.askRefund(tx, rec, rec.Content.Amount, rec.Anomaly, now)
	}
	if err := tx.SaveNotice(*n); err != nil {
		return err
	}
	if !rec.Settles {
		return nil
	}
	if err := s.tell(tx, EventNoticePaid, n.School, n.Number, rec.ID, now); err != nil {
		return err
	}
	if n.Plan != "" {
		if err := s.closePlan(tx, n, rec, now); err != nil {
			return err
		}
	}
	return s.settleAttempt(tx, n, rec, now)
}

// settleAttempt marks the notice settled in the live attempt that the receipt
// came from. A receipt that names another cart (paymentNote) was paid
// elsewhere: that attempt goes on, and says itself how it ends.
func (s *Service) settleAttempt(tx Tx, n *Notice, rec Receipt, now time.Time) error {
	if rec.Channel == ChannelPSP && rec.Content.PaymentNote == "" {
		return nil // paid at a counter of that PSP
	}
	a, err := tx.LiveAttempt(n.School, n.Number)
	if isNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if note := rec.Content.PaymentNote; note != "" && note != a.Cart {
		return nil
	}
	// The cart's lock guards its attempts: look again once we hold it.
	cart, err := tx.LockCart(a.Cart)
	if err != nil {
		return err
	}
	if a, err = tx.Attempt(a.ID); err != nil || !a.State.Live() {
		return err
	}
	for i := range cart.Notices {
		if c := &cart.Notices[i]; c.School == n.School && c.Number == n.Number {
			c.Settled = true
		}
	}
	if err := tx.ReleaseNotice(a.ID, n.School, n.Number); err != nil {
		return err
	}
	if a.State == AttemptCreated {
		a.move(AttemptSent, now) // the receipt was quicker than our own note
	}
	if a.State != AttemptAuthorised {
		a.move(AttemptAuthorised, now)
	}
	if cart.settled() == len(cart.Notices) {
		a.move(AttemptSettled, now)
		cart.close(CartClosedOK, now)
	} else {
		cart.ChangedAt = now
		cart.Version++
	}
	if err := tx.SaveAttempt(a); err != nil {
		return err
	}
	return tx.SaveCart(cart)
}

// KeepEvidence keeps bytes that were refused before they could be understood,
// for example a receipt that the schema does not allow.
func (s *Service) KeepEvidence(ctx context.Context, kind EvidenceKind, operation string, raw []byte) error {
	if !s.evidenceLimit.AllowN(s.clock.Now(), 1) {
		s.metrics.refused(kind)
		return nil
	}
	s.metrics.refused(kind)
	return s.store.Update(ctx, func(tx Tx) error {
		return tx.InsertEvidence(Evidence{ID: s.newID(), Kind: kind, Operation: operation, Raw: raw, Digest: receipts.Digest(raw), Received: s.clock.Now()})
	})
}

func (s *Service) evidence(d Delivery, kind EvidenceKind, now time.Time) Evidence {
	return Evidence{
		ID: s.newID(), Kind: kind, Operation: d.Operation, School: d.School,
		ReceiptID: cut(d.Receipt.ID, 70), Number: d.Receipt.Notice.String(),
		Raw: d.Raw, Digest: receipts.Digest(d.Raw), Received: now,
	}
}

// Evidence is bytes that are not a receipt of ours but may prove something.
type Evidence struct {
	ID        string
	Kind      EvidenceKind
	Operation string
	School    SchoolCode // empty, or not ours: only an operator sees it
	ReceiptID string
	Number    string
	Seq       int64 // order of arrival, set by the store
	Digest    [sha256.Size]byte
	Raw       []byte // nil in lists
	Received  time.Time
}

// EvidenceFilter chooses evidence, newest first.
type EvidenceFilter struct {
	Kind   EvidenceKind // empty: all
	Before int64        // Seq below
	Limit  int
}

// Evidences lists a school's evidence; for the empty school what names none of
// ours, which only an operator may see.
func (s *Service) Evidences(ctx context.Context, school SchoolCode, f EvidenceFilter) ([]Evidence, error) {
	var list []Evidence
	err := s.store.View(ctx, func(tx Tx) (err error) {
		list, err = tx.Evidences(school, f)
		return err
	})
	return list, err
}

// Evidence finds one piece of evidence, in the same way; ErrNotFound. bytes asks
// for what was received, which leaves a trace.
func (s *Service) Evidence(ctx context.Context, actor Actor, school SchoolCode, id string, bytes bool) (e Evidence, err error) {
	err = s.store.Update(ctx, func(tx Tx) error {
		if e, err = tx.EvidenceByID(school, id); err != nil || !bytes {
			return err
		}
		return s.audited(tx, actor, school, "evidence.raw_read", id, s.clock.Now())
	})
	return e, err
}

// EvidenceKind says why bytes were kept. Stored and sent: never renamed.
type EvidenceKind string

const (
	EvidenceAltered      EvidenceKind = "altered_copy"
	EvidenceInconsistent EvidenceKind = "inconsistent"
	EvidenceRefused      EvidenceKind = "refused"
	EvidenceSyntax       EvidenceKind = "syntax"
)

// Receipt finds one receipt of a school with its bytes; ErrNotFound.
func (s *Service) Receipt(ctx context.Context, school SchoolCode, id string) (Receipt, error) {
	var r Receipt
	err := s.store.View(ctx, func(tx Tx) (err error) {
		r, err = tx.Receipt(school, id)
		return err
	})
	return r, err
}

// ReceiptsByID reads those of the ids that the school has, without Raw, in no
// order.
func (s *Service) ReceiptsByID(ctx context.Context, school SchoolCode, ids []string) ([]Receipt, error) {
	var list []Receipt
	err := s.store.View(ctx, func(tx Tx) (err error) {
		list, err = tx.ReceiptsByID(school, ids)
		return err
	})
	return list, err
}

// Refunded sums what went back of receipts; those of which nothing did are left
// out.
func (s *Service) Refunded(ctx context.Context, school SchoolCode, receipts ...string) (map[string]money.Cents, error) {
	var m map[string]money.Cents
	err := s.store.View(ctx, func(tx Tx) (err error) {
		m, err = tx.RefundedOf(school, receipts)
		return err
	})
	return m, err
}

// ReceiptFilter chooses receipts of one school, newest first.
type ReceiptFilter struct {
	Notice  iuv.Number // zero: any
	From    time.Time  // paid at or after; zero: any
	To      time.Time  // paid before; zero: any
	Anomaly string     // an Anomaly, "any" for all with one; empty: no filter
	Before  int64      // Seq below; 0: from the newest
	Limit   int
}

// Receipts lists receipts without their bytes.
func (s *Service) Receipts(ctx context.Context, school SchoolCode, f ReceiptFilter) ([]Receipt, error) {
	var list []Receipt
	err := s.store.View(ctx, func(tx Tx) (err error) {
		list, err = tx.Receipts(school, f)
		return err
	})
	return list, err
}
