// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/nodogate/nodogate/gateway/money"
	"github.com/nodogate/nodogate/iuv"
	"github.com/nodogate/nodogate/receipts"
)

// Notice is a request of payment (avviso di pagamento) of a school to a debtor.
type Notice struct {
	School  SchoolCode
	Number  iuv.Number
	Seq     int64 // order of creation, set by the store
	State   NoticeState
	Version int64 // + 1 at each change

	Debtor          Debtor
	Description     string // causale, at most 140 characters, no personal data
	Amount          money.Cents
	PastAmounts     []money.Cents // amounts it had before: an old print may be paid
	DueDate         Date
	PayableAfterDue bool
	// Held: money arrived that does not fit (see Judge); the school decides.
	Held       bool
	Taxonomy   string
	Deduction  string // e-bis, i-octies or empty
	ExternalID string // the caller's own key, unique in the school; may be empty
	Campaign   string
	Transfers  []Transfer // 1 to 5, their sum is Amount
	// Plan joins the ways of paying one debt; empty for most. Instalment counts
	// its instalments (rate) from 1, of PlanParts; 0 is the single option (rata
	// unica).
	Plan       string
	Instalment int
	PlanParts  int
	// Fingerprint is of the request that made it, to tell a repetition from a
	// clash of ExternalID.
	Fingerprint [sha256.Size]byte

	CreatedAt time.Time
	ChangedAt time.Time
	PaidAt    time.Time // zero until paid
	SettledBy string    // id of the settling Receipt, empty until paid

	// Payment is the live attempt on the notice, nil when there is none. The
	// store fills it when reading; saving ignores it.
	Payment *NoticePayment
	// Token is the token that is active on the notice, nil when there is none;
	// its time may be over. The store fills it when reading; saving ignores it.
	Token *NoticeToken
	// PlanNotices are the numbers of its plan, the single option's first. The
	// store fills it when reading one notice; saving ignores it.
	PlanNotices []iuv.Number
	// Receipts are the ids of all receipts of the notice, oldest first. The
	// store fills it when reading one notice; saving ignores it.
	Receipts []string
}

// Debtor is who owes: a pupil as a rule, an adult too.
type Debtor struct {
	Code  FiscalCode
	Name  string // at most 70 characters
	Class string
}

// Transfer is one credit of a notice: to the school, or to another creditor of
// a multi-beneficiary notice.
type Transfer struct {
	ID         int // 1 to 5
	School     SchoolCode
	IBAN       IBAN
	Amount     money.Cents
	Taxonomy   string
	Remittance string
	// Stamp asks for a digital revenue stamp in place of a credit (marca da
	// bollo, richiestaMarcaDaBollo); IBAN is empty then.
	Stamp *Stamp `json:",omitempty"`
}

// Stamp is what a revenue stamp is asked for with.
type Stamp struct {
	Hash     string // hashDocumento: base64 of the document's digest, 4 to 72 characters
	Province string // provinciaResidenza: two capital letters
}

// NoticeToken is what a reader may know of the active token on a notice.
type NoticeToken struct {
	ID        string
	PSP       PSPID
	ExpiresAt time.Time
}

// NoticePayment is what a reader may know of the live attempt on a notice.
type NoticePayment struct {
	State     AttemptState
	Attempt   string
	Method    Method
	PSP       PSPID
	ExpiresAt time.Time
}

// NoticeState is a state of reliability.md, section 4. Stored and sent: never
// renamed.
type NoticeState string

const (
	NoticeDraft     NoticeState = "draft"
	NoticeOpen      NoticeState = "open"
	NoticePaid      NoticeState = "paid"
	NoticeCancelled NoticeState = "cancelled"
	NoticeExpired   NoticeState = "expired"
)

var noticeMoves = map[NoticeState][]NoticeState{
	NoticeDraft:     {NoticeOpen, NoticeCancelled},
	NoticeOpen:      {NoticePaid, NoticeCancelled, NoticeExpired},
	NoticeExpired:   {NoticeOpen, NoticeCancelled, NoticePaid}, // the school moved the date; or money came late
	NoticeCancelled: {NoticeOpen, NoticePaid},                  // restored; or a receipt came all the same
	NoticePaid:      nil,                                       // final
}

// StateAt is the state to show and to decide by: an open notice past its last
// day reads expired, unless it stays payable.
func (n *Notice) StateAt(now time.Time) NoticeState {
	if n.State == NoticeOpen && !n.PayableAfterDue && !now.Before(n.DueDate.Deadline()) {
		return NoticeExpired
	}
	return n.State
}

// Payable is nil when the notice may be paid now, or the error that says why
// not. Whether an attempt is live is not asked here: only the store can settle
// that.
func (n *Notice) Payable(now time.Time) error {
	switch n.StateAt(now) {
	case NoticePaid:
		return ErrNoticePaid
	case NoticeCancelled:
		return ErrNoticeCancelled
	case NoticeExpired:
		return ErrNoticeExpired
	case NoticeDraft:
		return ErrNoticeDraft
	}
	if n.Held {
		return ErrNoticeHeld
	}
	return nil
}

// LiveToken is the token that keeps the notice for a payer now, or nil.
func (n *Notice) LiveToken(now time.Time) *NoticeToken {
	if n.Token != nil && now.Before(n.Token.ExpiresAt) {
		return n.Token
	}
	return nil
}

// Askable is Payable for whoever asks about the notice from outside: a draft is
// ErrNotFound, since nobody was told of it, and a notice that a token keeps for
// a payer is ErrInProgress.
func (n *Notice) Askable(now time.Time) error {
	err := n.Payable(now)
	switch {
	case errors.Is(err, ErrNoticeDraft):
		return ErrNotFound
	case err == nil && n.LiveToken(now) != nil:
		return ErrInProgress
	}
	return err
}

// AllPostal says whether every transfer can go to a postal account (allCCP).
func (n *Notice) AllPostal(s School) bool {
	return !slices.ContainsFunc(n.Transfers, func(t Transfer) bool { return s.PostalIBAN(t) == "" })
}

// Subject is the debtor as messages write it. 11 digits are an organisation's
// code: the few persons who have a temporary one in that form are told apart by
// nothing in it.
func (d Debtor) Subject() receipts.Subject {
	kind := "F"
	if len(d.Code) == 11 {
		kind = "G"
	}
	return receipts.Subject{Type: kind, ID: string(d.Code), FullName: d.Name}
}

// move is the one way to change the state: along the arrows, counting.
func (n *Notice) move(to NoticeState, now time.Time) {
	if !slices.Contains(noticeMoves[n.State], to) {
		// Callers ask first; a wrong move is a programmer's mistake.
		panic("gateway: no arrow from notice state " + string(n.State) + " to " + string(to))
	}
	n.State = to
	n.Version++
	n.ChangedAt = now
}

// Remittance is the causale of a transfer (convention of SACI 1.3.1, chapter
// 3): /RFB/<IUV>/<amount>/TXT/<text>, cut to the 140 characters of the schema.
func Remittance(n iuv.Number, amount money.Cents, text string) string {
	return cut("/RFB/"+n.IUV()+"/"+amount.String()+"/TXT/"+text, 140)
}

func cut(s string, runes int) string {
	if utf8.RuneCountInString(s) <= runes {
		return s
	}
	return string([]rune(s)[:runes])
}

// fingerprint digests what the caller asked for, so that asking again is told
// from asking for something else.
func fingerprint(v any) [sha256.Size]byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("gateway: " + err.Error())
	}
	return sha256.Sum256(b)
}
