// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/nodogate/nodogate/gateway/money"
	"github.com/nodogate/nodogate/iuv"
	"github.com/nodogate/nodogate/receipts"
)

// Token (paymentToken) keeps a notice for the one payer who stands at a PSP
// that is linked straight to us. It is the payment's identity: the receipt's
// id, and what the PSP names in its outcome.
type Token struct {
	ID     string // 32 hexadecimal digits
	School SchoolCode
	Number iuv.Number
	State  TokenState
	Peer   Peer
	Amount money.Cents // as it was when the token was given
	// Transfers are those of the notice then: the school may change the notice
	// while nobody holds it, but a late outcome pays what was asked.
	Transfers   []Transfer
	PaymentNote string
	// Attempt is the attempt that holds the notice by this token, where we make
	// the receipt from a connector's outcome; empty for a PSP on the node face.
	Attempt string
	// Once is the scope of the activation's idempotency record, which ends with
	// the token; empty without a key.
	Once string
	// Outcome is what the PSP said, OK or KO, also when it came too late;
	// empty until then.
	Outcome   string
	CreatedAt time.Time
	ExpiresAt time.Time
	ChangedAt time.Time
}

// TokenState is a state of reliability.md, section 4. Stored: never renamed.
type TokenState string

const (
	TokenActive  TokenState = "active"
	TokenPaid    TokenState = "paid"
	TokenKO      TokenState = "ko"
	TokenExpired TokenState = "expired"
)

var tokenMoves = map[TokenState][]TokenState{
	TokenActive: {TokenPaid, TokenKO, TokenExpired},
}

func (t *Token) move(to TokenState, now time.Time) {
	if !slices.Contains(tokenMoves[t.State], to) {
		panic("gateway: no arrow from token state " + string(t.State) + " to " + string(to))
	}
	t.State, t.ChangedAt = to, now
}

// The life of a token (SANP: 30 minutes unless the PSP asks for less). The
// schema sets no least life; a token that is over before its answer arrives
// would keep nobody apart.
const (
	MaxTokenLife = 30 * time.Minute
	MinTokenLife = time.Second
)

// outcomeKeyLife is how long the idempotency key of an outcome is remembered.
const outcomeKeyLife = 30 * time.Minute

// Peer is a PSP on the node face, as it names itself there and was proved.
type Peer struct {
	PSP     PSPID
	Name    string
	Broker  string // idBrokerPSP
	Channel string // idChannel
}

// Repeat makes a request of the node face the same as another: the scope of its
// idempotency key (empty without one) and a digest of what it asks.
type Repeat struct {
	Scope       string
	Fingerprint [sha256.Size]byte
}

var (
	// ErrTokenUnknown: no token with this id was given to this PSP.
	ErrTokenUnknown = errors.New("unknown payment token")
	// ErrStampNeedsV2: the notice asks for a revenue stamp, which the PSP's
	// version of the message cannot tell.
	ErrStampNeedsV2 = errors.New("revenue stamps need version 2")
	// ErrStamps: the revenue stamps of an outcome are not those asked for. A
	// receipt without them would be none.
	ErrStamps = errors.New("the revenue stamps are not those asked for")
)

// ActivateRequest asks for a token on a notice.
type ActivateRequest struct {
	Peer        Peer
	School      SchoolCode
	Number      iuv.Number
	Life        time.Duration // zero: MaxTokenLife
	PaymentNote string
	NoStamps    bool // a notice with a revenue stamp is ErrStampNeedsV2
	Repeat      Repeat
}

// Activated is a notice that is kept for a payer.
type Activated struct {
	Notice Notice
	School School
	Token  Token
}

// Activate gives the PSP a token. answer makes the bytes of the answer; they
// are saved with the token, and a repetition by the same key gets them again.
//
// Errors: ErrKeyReused before all others, ErrUnknownSchool, ErrNotFound, those
// of Notice.Payable, ErrInProgress while another token lives, ErrStampNeedsV2.
func (s *Service) Activate(ctx context.Context, req ActivateRequest, answer func(Activated) []byte) ([]byte, error) {
	var body []byte
	err := s.store.Update(ctx, func(tx Tx) error {
		now := s.clock.Now()
		school, err := addressed(tx, req.School)
		var n Notice
		if err == nil {
			// The notice's lock is the queue of all who want it.
			n, err = tx.LockNotice(req.School, req.Number)
		}
		if err != nil && !isNotFound(err) && !errors.Is(err, ErrUnknownSchool) {
			return err
		}
		// A key that was used says so, whatever it is used for now.
		saved, kerr := s.repetition(tx, req.Repeat, now)
		if kerr != nil || saved != nil {
			body = saved
			return kerr
		}
		if err != nil {
			return err
		}
		if err := s.free(tx, &n, now); err != nil {
			return err
		}
		if req.NoStamps && slices.ContainsFunc(n.Transfers, func(t Transfer) bool { return t.Stamp != nil }) {
			return ErrStampNeedsV2
		}
		t := Token{
			ID: s.newToken(), School: n.School, Number: n.Number, State: TokenActive, Peer: req.Peer,
			Amount: n.Amount, Transfers: n.Transfers, PaymentNote: req.PaymentNote, Once: req.Repeat.Scope,
			CreatedAt: now, ChangedAt: now, ExpiresAt: now.Add(min(cmp.Or(req.Life, MaxTokenLife), MaxTokenLife)),
		}
		if err := tx.InsertToken(t); err != nil {
			if errors.Is(err, ErrConflict) {
				return ErrInProgress
			}
			return err
		}
		if err := tx.AppendEvents(Event{School: n.School, Number: n.Number, Kind: EventPaymentStarted, Actor: t.actor(), Attempt: t.ID, At: now}); err != nil {
			return err
		}
		body = answer(Activated{n, school, t})
		return s.remember(tx, req.Repeat, body, now, t.ExpiresAt)
	})
	if err != nil {
		return nil, fmt.Errorf("activate: %w", err)
	}
	return body, nil
}

// free says whether the notice can be given to a payer now, and ends a token
// whose time is over.
func (s *Service) free(tx Tx, n *Notice, now time.Time) error {
	if err := n.Askable(now); err != nil {
		return err
	}
	if err := s.planFree(tx, n, false, now); err != nil || n.Token == nil {
		return err
	}
	t, err := tx.Token(n.Token.ID)
	if err != nil {
		return err
	}
	t.move(TokenExpired, now)
	return tx.SaveToken(t)
}

// FindForPSP finds a notice for a PSP that asks what it costs; nothing is
// written. Errors as Activate's.
func (s *Service) FindForPSP(ctx context.Context, code SchoolCode, number iuv.Number) (Notice, School, error) {
	var n Notice
	var school School
	err := s.store.View(ctx, func(tx Tx) (err error) {
		if school, err = addressed(tx, code); err != nil {
			return err
		}
		if n, err = tx.Notice(code, number); err != nil {
			return err
		}
		if err := n.Askable(s.clock.Now()); err != nil {
			return err
		}
		return s.planFree(tx, &n, false, s.clock.Now())
	})
	return n, school, err
}

// FindBulletin finds a notice by what a postal bulletin says: the account it
// pays into (12 digits) and the notice's number. Schools may share an account,
// and each numbers its own notices: the one that can be paid is meant, should
// two have the number. Errors as FindForPSP's, with the school that they speak
// of; ErrUnknownSchool when nobody has the account.
func (s *Service) FindBulletin(ctx context.Context, account string, number iuv.Number) (Notice, School, error) {
	var n Notice
	var school School
	now := s.clock.Now()
	err := s.store.View(ctx, func(tx Tx) error {
		sharing, err := tx.SchoolsByPostalAccount(account)
		if err != nil {
			return err
		}
		if len(sharing) == 0 {
			return ErrUnknownSchool
		}
		school, err = sharing[0], ErrNotFound
		for _, at := range sharing {
			found, ferr := tx.Notice(at.Code, number)
			if isNotFound(ferr) {
				continue
			}
			if ferr != nil {
				return ferr
			}
			if ferr = found.Askable(now); ferr == nil || isNotFound(err) {
				n, school, err = found, at, ferr
			}
			if err == nil {
				return nil
			}
		}
		return err
	})
	return n, school, err
}

// OutcomeRequest is what a PSP says became of one to five tokens.
type OutcomeRequest struct {
	Peer    Peer
	Tokens  []string
	OK      bool
	Details OutcomeDetails // of an OK
	Repeat  Repeat
	Raw     []byte // the message, kept as evidence where it contradicts an earlier one
}

// OutcomeDetails are how a payment was made (ctOutcomeDetailsV2).
type OutcomeDetails struct {
	Method, Channel  string
	Fee              *money.Cents
	CreditorFee      *money.Cents
	Bundle, CIBundle string
	Payer            *receipts.Subject
	ApplicationDate  string // YYYY-MM-DD
	TransferDate     string
	// Stamps are the revenue stamps that were bought, by token and idTransfer.
	Stamps map[StampRef]string
}

// StampRef names a transfer of a token.
type StampRef struct {
	Token    string
	Transfer int
}

// OutcomeVerdict is what an outcome meets, in the words of the protocol.
type OutcomeVerdict int

const (
	// OutcomeTaken: recorded in time.
	OutcomeTaken OutcomeVerdict = iota
	// OutcomeLate: an OK after the token's time with no other payer in sight; it
	// is recorded and settles the notice (PPT_TOKEN_SCADUTO).
	OutcomeLate
	// OutcomeLateKO: a KO after the token's time (PPT_TOKEN_SCADUTO_KO).
	OutcomeLateKO
	// OutcomeDuplicate: a late OK while somebody else pays or has paid; it is
	// kept as an anomaly (PPT_PAGAMENTO_DUPLICATO).
	OutcomeDuplicate
	// OutcomeSame, OutcomeOther: the token has its outcome already, this one or
	// the other (PPT_ESITO_GIA_ACQUISITO).
	OutcomeSame
	OutcomeOther
)

// Outcome takes a PSP's outcome. The tokens are taken together: when one is
// unknown nothing is done. The verdict is the worst of them; for OutcomeTaken,
// and the late ones, what there is to record is recorded when it returns.
// answer makes the bytes of the answer, which a repetition by the same key gets
// again. Errors: ErrKeyReused before all others, ErrTokenUnknown, ErrStamps.
func (s *Service) Outcome(ctx context.Context, req OutcomeRequest, answer func(OutcomeVerdict) []byte) ([]byte, error) {
	var body []byte
	var recorded []Verdict
	var contradicts bool
	err := s.store.Update(ctx, func(tx Tx) error {
		now := s.clock.Now()
		recorded, contradicts = nil, false
		tokens, err := s.lockTokens(tx, req)
		if err != nil && !errors.Is(err, ErrTokenUnknown) {
			return err
		}
		saved, kerr := s.repetition(tx, req.Repeat, now)
		if kerr != nil || saved != nil {
			body = saved
			return kerr
		}
		if err == nil && req.OK {
			err = checkStamps(tokens, req.Details.Stamps)
		}
		if err != nil {
			return err
		}
		verdict := OutcomeTaken
		for _, t := range tokens {
			v, recs, err := s.outcome(tx, req, t, now)
			if err == nil && t.Attempt != "" && !req.OK {
				err = s.failByTokens(tx, t.Attempt, now)
			}
			if err != nil {
				return err
			}
			verdict = max(verdict, v)
			recorded = append(recorded, recs...)
		}
		body = answer(verdict)
		if verdict == OutcomeOther && req.OK {
			// After a KO the PSP says that money moved: somebody has to look.
			d := Delivery{Addressee: Addressee{School: tokens[0].School}, Operation: "sendPaymentOutcome", Raw: req.Raw,
				Receipt: receipts.Receipt{ID: tokens[0].ID, Notice: tokens[0].Number}}
			contradicts = true
			return tx.InsertEvidence(s.evidence(d, EvidenceInconsistent, now))
		}
		if verdict == OutcomeSame || verdict == OutcomeOther {
			return nil // no effect, nothing to repeat
		}
		return s.remember(tx, req.Repeat, body, now, now.Add(outcomeKeyLife))
	})
	if err != nil {
		return nil, fmt.Errorf("outcome: %w", err)
	}
	if contradicts {
		s.metrics.refused(EvidenceInconsistent)
	}
	for _, v := range recorded {
		s.metrics.receipt(ChannelPSP, v)
	}
	return body, nil
}

// lockTokens finds the PSP's tokens and locks their notices, in one order for
// all.
func (s *Service) lockTokens(tx Tx, req OutcomeRequest) ([]Token, error) {
	var tokens []Token
	for _, id := range req.Tokens {
		t, err := tx.Token(id)
		if isNotFound(err) || err == nil && t.Peer.PSP != req.Peer.PSP {
			return nil, ErrTokenUnknown
		}
		if err != nil {
			return nil, err
		}
		tokens = append(tokens, t)
	}
	slices.SortFunc(tokens, func(a, b Token) int {
		return cmp.Or(NoticeRef{a.School, a.Number}.compare(NoticeRef{b.School, b.Number}), cmp.Compare(a.ID, b.ID))
	})
	for i, t := range tokens {
		if _, err := tx.LockNotice(t.School, t.Number); err != nil {
			return nil, err
		}
		// Under the lock it can be something else.
		var err error
		if tokens[i], err = tx.Token(t.ID); err != nil {
			return nil, err
		}
	}
	return tokens, nil
}

// checkStamps wants a revenue stamp for every transfer that asked for one, and
// no other. A token that has its outcome already brings it none again.
func checkStamps(tokens []Token, stamps map[StampRef]string) error {
	used := 0
	for _, t := range tokens {
		for _, tr := range t.Transfers {
			switch given := stamps[StampRef{t.ID, tr.ID}] != ""; {
			case tr.Stamp == nil:
			case given:
				used++
			case t.Outcome == "":
				return ErrStamps
			}
		}
	}
	if used != len(stamps) {
		return ErrStamps
	}
	return nil
}

func (s *Service) outcome(tx Tx, req OutcomeRequest, t Token, now time.Time) (OutcomeVerdict, []Verdict, error) {
	said := "KO"
	if req.OK {
		said = "OK"
	}
	if t.Outcome != "" {
		if t.Outcome == said {
			return OutcomeSame, nil, nil
		}
		return OutcomeOther, nil, nil
	}
	if t.Attempt != "" {
		t.Peer = req.Peer // the channel it really came through stands in the receipt
	}
	inTime := t.State == TokenActive && now.Before(t.ExpiresAt)
	t.Outcome, t.ChangedAt = said, now
	switch {
	case inTime && req.OK:
		t.move(TokenPaid, now)
	case inTime:
		t.move(TokenKO, now)
	case t.State == TokenActive:
		t.move(TokenExpired, now)
	}
	if err := tx.SaveToken(t); err != nil {
		return 0, nil, err
	}
	if inTime && t.Once != "" {
		// The activation's key ends with the outcome and may be used again. After
		// the token's time it had ended, and can be another token's.
		if err := tx.DeleteOnce(t.Once); err != nil {
			return 0, nil, err
		}
	}
	if !req.OK {
		var err error
		if t.Attempt == "" { // an attempt's end has its own line
			err = tx.AppendEvents(Event{School: t.School, Number: t.Number, Kind: EventPaymentEnded, Actor: t.actor(), Attempt: t.ID, At: now})
		}
		if inTime {
			return OutcomeTaken, nil, err
		}
		return OutcomeLateKO, nil, err
	}
	n, err := tx.Notice(t.School, t.Number)
	if err != nil {
		return 0, nil, err
	}
	// This token is not active any more: one that is, is another's.
	odd := oddity{late: !inTime, rival: n.LiveToken(now) != nil}
	taken := n.State == NoticePaid
	recs, err := s.makeReceipt(tx, ChannelPSP, "sendPaymentOutcome", req.Details, t, n, odd, now)
	switch {
	case err != nil:
		return 0, nil, err
	case inTime:
		return OutcomeTaken, recs, nil
	case taken || odd.rival:
		return OutcomeDuplicate, recs, nil
	}
	return OutcomeLate, recs, nil
}

// failByTokens ends an attempt whose PSP has said no of every notice it held.
func (s *Service) failByTokens(tx Tx, attempt string, now time.Time) error {
	tokens, err := tx.TokensOfAttempt(attempt)
	if err != nil || slices.ContainsFunc(tokens, func(t Token) bool { return t.Outcome != "KO" }) {
		return err
	}
	a, err := tx.Attempt(attempt)
	if err != nil {
		return err
	}
	cart, err := tx.LockCart(a.Cart)
	if err != nil {
		return err
	}
	if a, err = tx.Attempt(attempt); err != nil {
		return err
	}
	return s.fail(tx, a, cart, now)
}

// makeReceipt makes the receipt of a payment that a PSP told us, as the node
// does for those it is told, and records it for the school and for every other
// school here that is a beneficiary. Beneficiaries elsewhere get theirs from
// the node that they are linked to; we know none of their addresses.
func (s *Service) makeReceipt(tx Tx, channel Channel, operation string, d OutcomeDetails, t Token, n Notice, odd oddity, now time.Time) ([]Verdict, error) {
	school, err := tx.School(t.School)
	if err != nil {
		return nil, err
	}
	r := receipts.Receipt{
		ID: t.ID, Notice: t.Number, Creditor: string(t.School), Outcome: "OK", CreditorReferenceID: t.Number.IUV(),
		Amount: t.Amount, Description: n.Description, CompanyName: school.Name, Debtor: n.Debtor.Subject(),
		PSP:                receipts.PSP{ID: string(t.Peer.PSP), Name: t.Peer.Name, Channel: t.Peer.Channel},
		ChannelDescription: cmp.Or(d.Channel, "other"), Payer: d.Payer, Method: d.Method,
		PaymentNote: t.PaymentNote, Fee: d.Fee, CreditorFee: d.CreditorFee,
		Bundle: d.Bundle, CIBundle: d.CIBundle, PaidAt: now,
		ApplicationDate: d.ApplicationDate, TransferDate: d.TransferDate,
	}
	for _, tr := range t.Transfers {
		out := receipts.Transfer{ID: tr.ID, Amount: tr.Amount, Creditor: string(tr.School), IBAN: string(tr.IBAN), Remittance: tr.Remittance, Category: tr.Taxonomy}
		if tr.Stamp != nil {
			out.Stamp = d.Stamps[StampRef{t.ID, tr.ID}]
		}
		if tr.School == school.Code {
			out.Company = school.Name
		}
		r.Transfers = append(r.Transfers, out)
	}
	var recorded []Verdict
	for _, to := range beneficiaries(t) {
		at, err := tx.School(to)
		if isNotFound(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		addressee := Addressee{School: at.Code, Broker: at.Broker, Station: at.Station}
		v, err := s.record(tx, Delivery{
			Addressee: addressee, Operation: operation, Channel: channel, Receipt: r, Raw: s.cfg.WriteReceipt(addressee, r),
		}, odd, now)
		if err != nil {
			return nil, err
		}
		recorded = append(recorded, v)
	}
	return recorded, nil
}

// beneficiaries are the creditors that a token's money goes to, the notice's
// own first.
func beneficiaries(t Token) []SchoolCode {
	list := []SchoolCode{t.School}
	for _, tr := range t.Transfers {
		if !slices.Contains(list, tr.School) {
			list = append(list, tr.School)
		}
	}
	return list
}

// repetition finds the answer to the same request: nil when this is the first.
func (s *Service) repetition(tx Tx, r Repeat, now time.Time) ([]byte, error) {
	if r.Scope == "" {
		return nil, nil
	}
	rec, err := tx.OnceRecord(r.Scope)
	switch {
	case isNotFound(err), err == nil && !now.Before(rec.ExpiresAt):
		return nil, nil
	case err != nil:
		return nil, err
	case rec.Fingerprint != r.Fingerprint:
		return nil, ErrKeyReused
	}
	return rec.Body, nil
}

func (s *Service) remember(tx Tx, r Repeat, body []byte, now, until time.Time) error {
	if r.Scope == "" {
		return nil
	}
	err := tx.PutOnce(OnceRecord{Scope: r.Scope, Fingerprint: r.Fingerprint, Body: body, CreatedAt: now, ExpiresAt: until})
	if errors.Is(err, ErrConflict) {
		// Taken meanwhile, and not by the same request: that one would have
		// waited for the notice's lock.
		return ErrKeyReused
	}
	return err
}

// newToken is 128 random bits in hexadecimal, as the node's own tokens are
// written.
func (s *Service) newToken() string {
	var b [16]byte
	if _, err := io.ReadFull(s.random, b[:]); err != nil {
		panic("gateway: no randomness: " + err.Error())
	}
	return hex.EncodeToString(b[:])
}

func (t *Token) actor() Actor { return Actor{Kind: "psp", Name: string(t.Peer.PSP)} }
