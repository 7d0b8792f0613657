// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nodogate/nodogate/gateway/money"
	"github.com/nodogate/nodogate/iuv"
)

// MaxBatch is how many notices one call may issue.
const MaxBatch = 1000

// NewNotice is a notice as a school asks for it. Texts are as typed; Issue
// checks and cleans them.
type NewNotice struct {
	DebtorCode      string
	DebtorName      string
	Class           string
	Description     string
	Amount          money.Cents
	DueDate         string
	PayableAfterDue bool
	Taxonomy        string // empty: the school's
	Deduction       string
	ExternalID      string
	Campaign        string
	Number          string        // empty: a new one
	Transfers       []NewTransfer // empty: one, to the school
	// Draft: nobody is told of it yet, and nobody can pay it.
	Draft bool `json:",omitempty"`
	// Instalments offer to pay in parts what the notice asks at once: it becomes
	// the single option of a plan. None, or 2 to 12 that sum to Amount.
	Instalments []NewInstalment `json:",omitempty"`
}

// NewInstalment is an instalment (rata) as a school asks for it.
type NewInstalment struct {
	Amount    money.Cents
	DueDate   string
	Transfers []NewTransfer // empty: one, to the school
}

// maxInstalments is a year of monthly ones.
const maxInstalments = 12

// NewTransfer is a transfer as a school asks for it.
type NewTransfer struct {
	ID           int    `json:"-"` // zero, or its place from 1: what a notice that was read says
	School, IBAN string // empty: the school's own
	Amount       money.Cents
	Taxonomy     string // empty: the notice's
	Remittance   string // empty: made from the description
	Stamp        *Stamp // a revenue stamp in place of a credit: no IBAN then
}

// Issued is one result of Issue.
type Issued struct {
	Notice Notice
	// Instalments are the other notices of its plan, in their order.
	Instalments []Notice
	// Existed says that the same ExternalID with the same content was here:
	// the notice is that one, nothing was made.
	Existed bool
}

// Issue makes notices, all or none. A wrong one is *Invalid, its fields
// prefixed with "notices[i]." when prefix is set; an ExternalID or Number that
// stands for something else is ErrExists.
func (s *Service) Issue(ctx context.Context, actor Actor, code SchoolCode, in []NewNotice, prefix bool) ([]Issued, error) {
	if len(in) == 0 || len(in) > MaxBatch {
		return nil, &Invalid{[]FieldError{{"notices", "length", fmt.Sprintf("give 1 to %d notices", MaxBatch)}}}
	}
	school, err := s.School(ctx, code)
	if err != nil {
		return nil, err
	}
	drafts, err := s.checkNotices(school, in, prefix)
	if err == nil {
		err = s.checkTaxonomy(ctx, school, in, prefix)
	}
	if err != nil {
		return nil, err
	}
	missing := 0
	for i := range drafts {
		if drafts[i].Number.IsZero() {
			missing++
		}
	}
	fresh, err := s.freshNumbers(ctx, school, missing)
	if err != nil {
		return nil, err
	}
	var out []Issued
	err = s.store.Update(ctx, func(tx Tx) error {
		out, err = s.issue(tx, actor, school, drafts, fresh)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("issue notices: %w", err)
	}
	for _, o := range out {
		if !o.Existed && o.Notice.State != NoticeDraft {
			s.metrics.issued.Add(float64(1 + len(o.Instalments)))
		}
	}
	return out, nil
}

// freshNumbers takes numbers from the leased block; inside a transaction, where
// the block could outlive a rollback, it leases just what is needed as part of
// it.
func (s *Service) freshNumbers(ctx context.Context, school School, n int) ([]iuv.Number, error) {
	if n == 0 {
		return nil, nil
	}
	numbers := s.numbers
	if TxFromContext(ctx) != nil {
		numbers = iuv.NewAllocator(s.store, 1)
	}
	fresh, err := numbers.Next(ctx, string(school.Code), school.Segregation, n)
	// In their order they fill an index a page at a time: half the cost of many.
	// A neighbour is as far away as before, and cannot be guessed.
	slices.SortFunc(fresh, func(a, b iuv.Number) int { return strings.Compare(a.String(), b.String()) })
	return fresh, err
}

// issue adds the drafts: each request's notice, with the instalments of its plan
// after it.
func (s *Service) issue(tx Tx, actor Actor, school School, drafts []Notice, fresh []iuv.Number) ([]Issued, error) {
	now := s.clock.Now()
	made := make([]Notice, len(drafts)) // zero: it existed
	var out []Issued
	var todo []Notice
	var at []int // todo[j] is drafts[at[j]]
	known, err := tx.ExternalIDs(school.Code, externalIDs(drafts))
	if err != nil {
		return nil, err
	}
	for i, n := range drafts {
		if n.Instalment > 0 {
			if out[len(out)-1].Existed {
				continue
			}
		} else if old, ok := known[n.ExternalID]; ok {
			if old.Fingerprint != n.Fingerprint {
				return nil, fmt.Errorf("external id: %w", ErrExists)
			}
			there, err := tx.Notice(school.Code, old.Number)
			if err != nil {
				return nil, err
			}
			out = append(out, Issued{Notice: there, Existed: true})
			continue
		} else {
			out = append(out, Issued{})
		}
		n.CreatedAt, n.ChangedAt = now, now
		todo, at = append(todo, n), append(at, i)
	}
	for len(todo) > 0 {
		for j := range todo {
			if todo[j].Number.IsZero() {
				if len(fresh) == 0 {
					// Met a number that a caller brought: take the next ones.
					var err error
					if fresh, err = s.freshNumbers(tx.Context(), school, len(todo)); err != nil {
						return nil, err
					}
				}
				number(&todo[j], fresh[0])
				fresh = fresh[1:]
			}
		}
		taken, err := tx.InsertNotices(todo)
		if err != nil {
			if errors.Is(err, ErrConflict) {
				err = fmt.Errorf("external id: %w", ErrExists)
			}
			return nil, err
		}
		var again []Notice
		var againAt []int
		for j, n := range todo {
			if !slices.Contains(taken, j) {
				made[at[j]] = n
				continue
			}
			if drafts[at[j]].Number == n.Number {
				return nil, ErrNumberExists
			}
			n.Number = iuv.Number{}
			again, againAt = append(again, n), append(againAt, at[j])
		}
		todo, at = again, againAt
	}
	events := make([]Event, 0, len(drafts))
	messages := make([]Message, 0, len(drafts))
	ids := make([]string, 0, len(drafts))
	request := -1
	for i := range drafts {
		if drafts[i].Instalment == 0 {
			request++
		}
		o := &out[request]
		if o.Existed {
			continue
		}
		n := made[i]
		if n.Instalment == 0 {
			o.Notice = n
		} else {
			o.Instalments = append(o.Instalments, n)
		}
		if n.Plan != "" {
			o.Notice.PlanNotices = append(o.Notice.PlanNotices, n.Number)
		}
		kind := EventNoticeDrafted // a secret of the school still
		if n.State != NoticeDraft {
			kind = EventNoticeIssued
			messages = append(messages, s.message(kind, n.School, n.Number, "", now))
		}
		events = append(events, Event{School: n.School, Number: n.Number, Kind: kind, Actor: actor, At: now})
	}
	if err := tx.AppendEvents(events...); err != nil {
		return nil, err
	}
	// In order for the same reason as the numbers.
	for _, m := range messages {
		ids = append(ids, m.ID)
	}
	slices.Sort(ids)
	for i := range messages {
		messages[i].ID = ids[i]
	}
	return out, tx.Enqueue(messages...)
}

// externalIDs lists the ids that notices have.
func externalIDs(list []Notice) []string {
	var ids []string
	for _, n := range list {
		if n.ExternalID != "" {
			ids = append(ids, n.ExternalID)
		}
	}
	return ids
}

// number gives a notice its number, and its transfers the causale that carries
// the IUV.
func number(n *Notice, num iuv.Number) {
	n.Number = num
	n.Transfers = slices.Clone(n.Transfers)
	for i := range n.Transfers {
		if t := &n.Transfers[i]; t.Remittance == "" || len(t.Remittance) > 5 && t.Remittance[:5] == "/RFB/" {
			t.Remittance = Remittance(num, t.Amount, n.Description)
		}
	}
}

var (
	externalIDForm = regexp.MustCompile(`^[!-~]{1,64}$`)
	classForm      = regexp.MustCompile(`^[\pL\pN ._/-]{1,16}$`)
	// personalCode finds a person's fiscal code inside a text.
	personalCode = regexp.MustCompile(`(?i)\b[a-z]{6}[0-9lmnpqrstuv]{2}[abcdehlmprst][0-9lmnpqrstuv]{2}[a-z][0-9lmnpqrstuv]{3}[a-z]\b`)
	deductions   = []string{"", "e-bis", "i-octies"}
	// base64 of stBase64Binary72
	stampHashForm = regexp.MustCompile(`^[A-Za-z0-9+/]{2,70}[A-Za-z0-9+/=]{2}$`)
	provinceForm  = regexp.MustCompile(`^[A-Z]{2}$`)
)

// HoldsCode says whether a person's fiscal code stands in a text. It asks the
// expression only where a word is long enough: an import asks a lot.
func HoldsCode(s string) bool {
	word := 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= 0x80:
			return personalCode.MatchString(s) // (?i) folds some letters that are no ASCII
		case c >= '0' && c <= '9', c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z':
			if word++; word == 16 {
				return personalCode.MatchString(s)
			}
		default:
			word = 0
		}
	}
	return false
}

// checkNotices turns requests into notices without number and time; instalments
// follow their single option.
func (s *Service) checkNotices(school School, in []NewNotice, prefix bool) ([]Notice, error) {
	var bad Invalid
	out := make([]Notice, 0, len(in))
	seenID, seenNumber := map[string]bool{}, map[iuv.Number]bool{}
	for i, n := range in {
		p := ""
		if prefix {
			p = fmt.Sprintf("notices[%d].", i)
		}
		made := checkNotice(school, n, p, &bad)
		if id := made.ExternalID; id != "" && seenID[id] {
			bad.Add(p+"external_id", "duplicate", "this external_id stands in the batch twice")
		}
		if num := made.Number; !num.IsZero() && seenNumber[num] {
			bad.Add(p+"number", "duplicate", "this number stands in the batch twice")
		}
		seenID[made.ExternalID], seenNumber[made.Number] = true, true
		if len(n.Instalments) > 0 {
			made.Plan, made.PlanParts = s.newID(), len(n.Instalments)
		}
		out = append(out, made)
		out = append(out, checkInstalments(school, n, made, p, &bad)...)
	}
	if len(out) > MaxBatch && len(bad.Fields) == 0 {
		bad.Add("notices", "length", fmt.Sprintf("at most %d notices at once, the instalments counted", MaxBatch))
	}
	return out, bad.Err()
}

// checkInstalments makes the instalments of a notice. They are like it in all
// but amount and day.
func checkInstalments(school School, in NewNotice, single Notice, p string, bad *Invalid) []Notice {
	if len(in.Instalments) == 0 {
		return nil
	}
	if len(in.Instalments) == 1 || len(in.Instalments) > maxInstalments {
		bad.Add(p+"instalments", "length", fmt.Sprintf("give 2 to %d instalments", maxInstalments))
		return nil
	}
	out := make([]Notice, len(in.Instalments))
	var sum money.Cents
	for i, part := range in.Instalments {
		ip := fmt.Sprintf("%sinstalments[%d].", p, i)
		n := single
		n.Instalment, n.Number, n.ExternalID, n.Amount = i+1, iuv.Number{}, "", part.Amount
		n.Description = instalmentText(single.Description, i+1, len(in.Instalments))
		if n.Amount < 1 || n.Amount > money.Max {
			bad.Add(ip+"amount_cents", "range", "give 1 to 99999999999 cents")
		} else {
			sum += n.Amount // twelve times Max cannot overflow
		}
		var err error
		if n.DueDate, err = ParseDate(part.DueDate); err != nil {
			bad.Add(ip+"due_date", "format", "give a date like 2026-12-31")
		}
		as := in
		as.Instalments, as.Amount, as.DueDate, as.Transfers = nil, part.Amount, part.DueDate, part.Transfers
		n.Fingerprint = fingerprint(as)
		if len(in.Transfers) > 0 && len(part.Transfers) == 0 {
			bad.Add(ip+"transfers", "required", "the notice names who gets the money: name it for each instalment too")
		} else {
			n.Transfers = checkTransfers(school, as, n, ip, bad)
		}
		out[i] = n
	}
	if sum != in.Amount {
		bad.Add(p+"instalments", "sum", "the instalments must sum to amount_cents")
	}
	return out
}

// instalmentText is the text of one instalment of several.
func instalmentText(text string, i, of int) string {
	which := fmt.Sprintf(" - rata %d di %d", i, of)
	return cut(text, 140-len(which)) + which
}

func checkNotice(school School, in NewNotice, p string, bad *Invalid) Notice {
	n := Notice{
		School: school.Code, State: NoticeOpen, Version: 1,
		Amount: in.Amount, PayableAfterDue: in.PayableAfterDue,
		ExternalID: in.ExternalID, Campaign: in.Campaign,
		Fingerprint: fingerprint(in),
	}
	if in.Draft {
		n.State = NoticeDraft
	}
	var err error
	if n.Debtor.Code, err = ParseFiscalCode(in.DebtorCode); err != nil {
		addCodeError(p+"debtor.fiscal_code", err, bad)
	}
	n.Debtor.Name = text(clean(in.DebtorName), p+"debtor.full_name", 70, bad)
	if n.Debtor.Class = clean(in.Class); n.Debtor.Class != "" && !classForm.MatchString(n.Debtor.Class) {
		bad.Add(p+"debtor.class", "format", "give a class like 3B, at most 16 characters")
	}
	n.Description = text(clean(in.Description), p+"description", 140, bad)
	if HoldsCode(n.Description) {
		bad.Add(p+"description", "personal_data", "leave the fiscal code out: the description travels to banks and PSPs")
	}
	if n.Amount < 1 || n.Amount > money.Max {
		bad.Add(p+"amount_cents", "range", "give 1 to 99999999999 cents")
	}
	if n.DueDate, err = ParseDate(in.DueDate); err != nil {
		bad.Add(p+"due_date", "format", "give a date like 2026-12-31")
	}
	if n.Taxonomy = in.Taxonomy; n.Taxonomy == "" {
		n.Taxonomy = school.Taxonomy
	}
	if n.Taxonomy != school.Taxonomy && (!TaxonomyForm.MatchString(n.Taxonomy) || len(n.Taxonomy) > 140) {
		bad.Add(p+"taxonomy", "format", "give a taxonomy code like 9/0801100AP/")
	}
	if n.Deduction = in.Deduction; !slices.Contains(deductions, n.Deduction) {
		bad.Add(p+"deduction", "unknown", "give e-bis or i-octies, or leave it out")
	}
	if n.ExternalID != "" && !externalIDForm.MatchString(n.ExternalID) {
		bad.Add(p+"external_id", "format", "give 1 to 64 printable ASCII characters without blanks")
	} else if HoldsCode(n.ExternalID) {
		bad.Add(p+"external_id", "personal_data", "use an id of your own, not a fiscal code")
	}
	if in.Number != "" {
		if n.Number, err = iuv.Parse(in.Number); err != nil {
			bad.Add(p+"number", "format", "give the notice number's 18 digits, the first of them 0 to 3")
		} else if !n.Number.CheckOK() {
			bad.Add(p+"number", "check_digits", "the last two digits do not fit the others")
		}
	}
	n.Transfers = checkTransfers(school, in, n, p, bad)
	if !n.Number.IsZero() {
		number(&n, n.Number)
	}
	return n
}

func checkTransfers(school School, in NewNotice, n Notice, p string, bad *Invalid) []Transfer {
	if len(in.Transfers) == 0 {
		return []Transfer{{ID: 1, School: school.Code, IBAN: school.IBAN, Amount: n.Amount, Taxonomy: n.Taxonomy}}
	}
	if len(in.Transfers) > 5 {
		bad.Add(p+"transfers", "too_many", "at most 5 transfers")
		return nil
	}
	out := make([]Transfer, len(in.Transfers))
	var sum money.Cents
	for i, t := range in.Transfers {
		tp := fmt.Sprintf("%stransfers[%d].", p, i)
		out[i] = Transfer{ID: i + 1, School: school.Code, IBAN: school.IBAN, Amount: t.Amount, Taxonomy: t.Taxonomy}
		if t.ID != 0 && t.ID != i+1 {
			bad.Add(tp+"id", "range", "the ids count the transfers from 1; leave them out or keep the order")
		}
		var err error
		if t.School != "" {
			if out[i].School, err = ParseSchoolCode(t.School); err != nil {
				bad.Add(tp+"school", "format", "give the creditor's 11-digit fiscal code")
			}
		}
		switch {
		case t.Stamp != nil:
			out[i].IBAN, out[i].Stamp = "", t.Stamp
			if !stampHashForm.MatchString(t.Stamp.Hash) || len(t.Stamp.Hash)%4 != 0 {
				bad.Add(tp+"stamp.hash", "format", "give the document's digest in base64, 4 to 72 characters")
			}
			if !provinceForm.MatchString(t.Stamp.Province) {
				bad.Add(tp+"stamp.province", "format", "give the two letters of the province")
			}
			if t.IBAN != "" {
				bad.Add(tp+"iban", "unknown", "a revenue stamp has no IBAN")
			}
		case t.IBAN != "":
			if out[i].IBAN, err = ParseIBAN(t.IBAN); err != nil {
				bad.Add(tp+"iban", "format", "give a right IBAN")
			}
		case out[i].School != school.Code:
			bad.Add(tp+"iban", "required", "give the other creditor's IBAN")
		}
		if out[i].Taxonomy == "" {
			out[i].Taxonomy = n.Taxonomy
		}
		if !TaxonomyForm.MatchString(out[i].Taxonomy) {
			bad.Add(tp+"taxonomy", "format", "give a taxonomy code like 9/0801100AP/")
		}
		if t.Remittance != "" {
			out[i].Remittance = text(clean(t.Remittance), tp+"remittance", 140, bad)
		}
		if t.Amount < 1 || t.Amount > money.Max {
			bad.Add(tp+"amount_cents", "range", "give 1 to 99999999999 cents")
			continue
		}
		sum += t.Amount // five times Max cannot overflow
	}
	if sum != n.Amount {
		bad.Add(p+"transfers", "sum", "the transfers must sum to amount_cents")
	}
	return out
}

// text checks a required text of at most n characters.
func text(v, field string, n int, bad *Invalid) string {
	switch l := utf8.RuneCountInString(v); {
	case l == 0:
		bad.Add(field, "required", "must not be empty")
	case l > n:
		bad.Add(field, "length", fmt.Sprintf("at most %d characters", n))
	case !utf8.ValidString(v):
		bad.Add(field, "format", "must be UTF-8")
	}
	return v
}

// Notice finds one notice of a school; ErrNotFound.
func (s *Service) Notice(ctx context.Context, school SchoolCode, number iuv.Number) (Notice, error) {
	var n Notice
	err := s.store.View(ctx, func(tx Tx) (err error) {
		n, err = tx.Notice(school, number)
		return err
	})
	return n, err
}

// Notices lists notices of a school, newest first.
func (s *Service) Notices(ctx context.Context, school SchoolCode, f NoticeFilter) ([]Notice, error) {
	f.Now = s.clock.Now()
	var list []Notice
	err := s.store.View(ctx, func(tx Tx) (err error) {
		list, err = tx.Notices(school, f)
		return err
	})
	return list, err
}

// Events is the history of a notice, oldest first.
func (s *Service) Events(ctx context.Context, school SchoolCode, number iuv.Number) ([]Event, error) {
	var list []Event
	err := s.store.View(ctx, func(tx Tx) (err error) {
		n, err := tx.Notice(school, number)
		if err != nil {
			return err
		}
		list, err = tx.Events(school, number)
		for i := range list {
			list[i].Campaign = n.Campaign
		}
		return err
	})
	return list, err
}

// Cancel takes a notice back. A paid one is ErrNoticePaid, one with a live
// payment ErrInProgress; cancelling again changes nothing.
func (s *Service) Cancel(ctx context.Context, actor Actor, school SchoolCode, number iuv.Number) (Notice, error) {
	var n Notice
	err := s.store.Update(ctx, func(tx Tx) (err error) {
		if n, err = tx.LockNotice(school, number); err != nil || n.State == NoticeCancelled {
			return err
		}
		if n, err = s.lockFree(tx, school, number); err != nil {
			return err
		}
		n, err = s.cancel(tx, actor, n)
		return err
	})
	if err != nil {
		return Notice{}, fmt.Errorf("cancel notice %s: %w", number, err)
	}
	return n, nil
}

// cancel takes back a notice that is locked and free.
func (s *Service) cancel(tx Tx, actor Actor, n Notice) (Notice, error) {
	now := s.clock.Now()
	told := n.State != NoticeDraft
	n.move(NoticeCancelled, now)
	if err := tx.SaveNotice(n); err != nil {
		return n, err
	}
	if err := tx.AppendEvents(Event{School: n.School, Number: n.Number, Kind: EventNoticeCancelled, Actor: actor, At: now}); err != nil {
		return n, err
	}
	if err := s.audited(tx, actor, n.School, "notice.cancelled", n.Number.String(), now); err != nil || !told {
		return n, err
	}
	return n, s.tell(tx, EventNoticeCancelled, n.School, n.Number, "", now)
}

// tell puts an event into the outbox, in the transaction of the change.
func (s *Service) tell(tx Tx, kind EventKind, school SchoolCode, number iuv.Number, receipt string, now time.Time) error {
	return tx.Enqueue(s.message(kind, school, number, receipt, now))
}

func (s *Service) message(kind EventKind, school SchoolCode, number iuv.Number, receipt string, now time.Time) Message {
	payload := eventJSON(EventPayload{Type: kind, School: school, Number: number.String(), Receipt: receipt, At: now})
	aggregate := string(school) + "/" + number.String()
	if number.IsZero() {
		aggregate = string(school) + "/" + receipt
	}
	return Message{ID: s.newID(), School: school, Kind: "event", Aggregate: aggregate, Payload: payload, At: now}
}

func eventJSON(e EventPayload) []byte {
	payload, err := json.Marshal(e)
	if err != nil {
		panic("gateway: " + err.Error()) // strings and a time always marshal
	}
	return payload
}

// EventPayload is the JSON of an outbox row of kind "event". It names things;
// whoever delivers it looks them up.
type EventPayload struct {
	Type    EventKind  `json:"type"`
	School  SchoolCode `json:"school"`
	Number  string     `json:"number,omitempty"`
	Receipt string     `json:"receipt,omitempty"`
	// Refund and its state then, of EventRefundChanged.
	Refund      string      `json:"refund,omitempty"`
	RefundState RefundState `json:"refund_state,omitempty"`
	Import      string      `json:"import,omitempty"`
	At          time.Time   `json:"timestamp"`
}
