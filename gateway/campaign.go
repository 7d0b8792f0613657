// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nodogate/nodogate/gateway/money"
	"github.com/nodogate/nodogate/iuv"
)

// CampaignKind says who is asked. Stored and sent: never renamed.
type CampaignKind string

const (
	// CampaignAssigned asks chosen pupils, each with a notice.
	CampaignAssigned CampaignKind = "assigned"
	// CampaignVoluntary is an open contribution: whoever wants to gives.
	CampaignVoluntary CampaignKind = "voluntary"
)

// CampaignState is where a Campaign is. Stored and sent: never renamed.
type CampaignState string

const (
	CampaignDraft     CampaignState = "draft"
	CampaignApproved  CampaignState = "approved"
	CampaignPublished CampaignState = "published"
	CampaignClosed    CampaignState = "closed"
)

// campaignMoves is the one table of ways between states. Where the school wants
// no approval a campaign goes from draft to published at once; one that is
// changed after its approval is a draft again.
var campaignMoves = map[CampaignState][]CampaignState{
	CampaignDraft:     {CampaignApproved, CampaignPublished, CampaignClosed},
	CampaignApproved:  {CampaignDraft, CampaignPublished, CampaignClosed},
	CampaignPublished: {CampaignPublished, CampaignClosed},
	CampaignClosed:    nil,
}

// CampaignContent is what a school says of a campaign. Once it is published only
// its title, its text and later days can be changed.
type CampaignContent struct {
	Kind        CampaignKind
	Title       string
	Description string // of the notices
	Amount      money.Cents
	Min         money.Cents // of a free amount: the least that is taken
	Free        bool        // of a voluntary one: the giver chooses
	DueDate     string
	// Instalments offer to pay in parts; see NewNotice.
	Instalments []NewInstalment
	// Whole asks all pupils; otherwise those of Classes are asked, and Pupils, who
	// may be anybody of the registry, by id. Staff and Adults come on top.
	Whole         bool
	Staff, Adults bool
	Classes       []string
	Pupils        []string
	Taxonomy      string // empty: the school's
	Deduction     string
}

// Campaign (evento) is one collection of a school: what is asked, and of whom.
type Campaign struct {
	CampaignContent
	School               SchoolCode
	ID                   string // unguessable; the Campaign of its notices
	Seq                  int64  // set by the store
	State                CampaignState
	Author               Actor // who last changed what it says
	ApprovedBy           Actor // zero before
	Work                 CampaignWork
	CreatedAt, ChangedAt time.Time
	Version              int64
	Totals               CampaignTotals // as read
}

// CampaignTotals are a campaign's notices. A plan counts as what is still
// payable or was paid of it: its instalments, or the single option once that is
// paid. Cancelled notices do not count.
type CampaignTotals struct {
	Notices    int
	Issued     money.Cents
	Paid       int
	PaidAmount money.Cents
}

var (
	// ErrCampaignState: there is no way from the campaign's state to that.
	ErrCampaignState = errors.New("the campaign's state forbids it")
	// ErrCampaignOwn: its author may not approve it.
	ErrCampaignOwn = errors.New("own campaign")
	// ErrCampaignWaits: the school wants it approved first.
	ErrCampaignWaits = errors.New("the campaign waits for approval")
	// ErrCampaignPublished: what is asked, and of whom, stays once it was said.
	ErrCampaignPublished = errors.New("the campaign is published")
	// ErrCampaignBusy: another task on its notices is not done.
	ErrCampaignBusy = errors.New("the campaign's notices are being worked on")
	// ErrCampaignVoluntary: nobody owes a gift.
	ErrCampaignVoluntary = errors.New("the campaign is voluntary")
)

// CampaignTx is the part of Tx that keeps campaigns.
type CampaignTx interface {
	InsertCampaign(Campaign) error
	// Campaign finds one, with its Totals; Campaigns lists those with a Seq below
	// before, newest first, with theirs.
	Campaign(school SchoolCode, id string) (Campaign, error)
	Campaigns(school SchoolCode, before int64, limit int) ([]Campaign, error)
	LockCampaign(school SchoolCode, id string) (Campaign, error)
	SaveCampaign(Campaign) error
	// CountUnpaid counts the campaign's notices that are open or expired, and
	// UnpaidOfCampaign lists those with a Seq below before, or all, newest first.
	CountUnpaid(school SchoolCode, campaign string) (int, error)
	UnpaidOfCampaign(school SchoolCode, campaign string, before int64, limit int) ([]UnpaidNotice, error)
	// PayersOf lists whom the registry links to a notice, by id: the payers of the
	// pupil it is for, and the debtor when he is a payer himself. The pupil is zero
	// when the debtor is none.
	PayersOf(school SchoolCode, number iuv.Number) ([]Payer, Pupil, error)
	// MarkAskedReminder is false when the notice was reminded of on that day, asked
	// for or not.
	MarkAskedReminder(ref NoticeRef, day Date, at time.Time) (bool, error)
	// AskedReminder says whether a school had the notice reminded of on a day.
	AskedReminder(ref NoticeRef, day Date) (bool, error)
	// CloseContribution ends a contribution, ChangeContribution changes its text and
	// last day; nothing when there is none.
	CloseContribution(school SchoolCode, id string) error
	ChangeContribution(school SchoolCode, id, description string, due Date) error
	// PupilsOfClass lists the pupils of one class, by id.
	PupilsOfClass(school SchoolCode, class string) ([]Pupil, error)
}

// UnpaidNotice is a notice of a campaign that is to be paid.
type UnpaidNotice struct {
	Number iuv.Number
	Seq    int64
}

// maxCampaignList bounds the classes, and the pupils, that a campaign names.
const maxCampaignList = 1000

// checkCampaign says what is wrong with a campaign, as its notices would.
func (s *Service) checkCampaign(ctx context.Context, school School, c CampaignContent) error {
	n, err := s.campaignFields(school, c)
	if err != nil {
		return err
	}
	return s.checkTaxonomy(ctx, school, []NewNotice{n}, false)
}

// campaignFields is checkCampaign without asking the official taxonomy, and a
// sample of its notices.
func (s *Service) campaignFields(school School, c CampaignContent) (NewNotice, error) {
	var bad Invalid
	n := c.notice(Pupil{Code: Anonymous, FirstName: "x"}, "")
	if _, err := s.checkNotices(school, []NewNotice{n}, false); err != nil && !errors.As(err, new(*Invalid)) {
		return n, err
	} else if e := (*Invalid)(nil); errors.As(err, &e) {
		bad.Fields = append(bad.Fields, e.Fields...)
	}
	if c.Title == "" || len(c.Title) > 140 {
		bad.Add("title", "length", "give 1 to 140 bytes")
	}
	named := len(c.Classes) + len(c.Pupils)
	switch c.Kind {
	case CampaignAssigned:
		if c.Free || c.Min != 0 {
			bad.Add("free_amount", "unknown", "only a voluntary campaign has a free or a least amount")
		}
		if c.Whole && named > 0 || !c.Whole && named == 0 && !c.Staff && !c.Adults {
			bad.Add("recipients", "required", "name classes or pupils, or ask the whole school, its staff or other adults")
		}
		if len(c.Classes) > maxCampaignList || len(c.Pupils) > maxCampaignList {
			bad.Add("recipients", "too_many", fmt.Sprintf("name at most %d classes and %d pupils", maxCampaignList, maxCampaignList))
		}
	case CampaignVoluntary:
		if c.Whole || c.Staff || c.Adults || named > 0 || len(c.Instalments) > 0 {
			bad.Add("recipients", "unknown", "a voluntary campaign has no recipients and no instalments")
		}
		if c.Min < 0 || c.Min > c.Amount || c.Min > 0 && !c.Free {
			bad.Add("min_amount_cents", "range", "give a least amount only with a free one, and not above it")
		}
	default:
		bad.Add("kind", "unknown", "give assigned or voluntary")
	}
	return n, bad.Err()
}

// notice is what the campaign asks of a pupil.
func (c *CampaignContent) notice(p Pupil, campaign string) NewNotice {
	n := NewNotice{
		DebtorCode: string(p.Code), DebtorName: p.FirstName, Class: p.Class, Description: c.Description, Amount: c.Amount,
		DueDate: c.DueDate, Taxonomy: c.Taxonomy, Deduction: c.Deduction, Campaign: campaign, Instalments: c.Instalments,
	}
	if p.LastName != "" {
		n.DebtorName = cut(n.DebtorName+" "+p.LastName, 70)
	}
	if campaign != "" {
		// A digest: an external id has no room for both ids, and may not look like
		// a person's code.
		digest := sha256.Sum256([]byte(p.ID))
		n.ExternalID = campaign + "." + hex.EncodeToString(digest[:16])
	}
	return n
}

// CreateCampaign makes a draft.
func (s *Service) CreateCampaign(ctx context.Context, actor Actor, code SchoolCode, in CampaignContent) (Campaign, error) {
	school, err := s.School(ctx, code)
	if err != nil {
		return Campaign{}, err
	}
	if err := s.checkCampaign(ctx, school, in); err != nil {
		return Campaign{}, err
	}
	now := s.clock.Now()
	c := Campaign{
		CampaignContent: in, School: code, ID: s.newID(), State: CampaignDraft, Author: actor, CreatedAt: now, ChangedAt: now, Version: 1,
	}
	err = s.store.Update(ctx, func(tx Tx) error {
		if err := tx.InsertCampaign(c); err != nil {
			return err
		}
		return tx.AppendAudit(Audit{School: code, Actor: actor, Action: "campaign.created", Object: c.ID, At: now})
	})
	if err != nil {
		return Campaign{}, fmt.Errorf("create campaign: %w", err)
	}
	return c, nil
}

// Campaign finds a campaign; ErrNotFound.
func (s *Service) Campaign(ctx context.Context, school SchoolCode, id string) (c Campaign, err error) {
	err = s.store.View(ctx, func(tx Tx) (err error) {
		c, err = tx.Campaign(school, id)
		return err
	})
	return c, err
}

// Campaigns lists those with a Seq below before, or all for 0, newest first.
func (s *Service) Campaigns(ctx context.Context, school SchoolCode, before int64, limit int) (list []Campaign, err error) {
	if before == 0 {
		before = maxSeq
	}
	err = s.store.View(ctx, func(tx Tx) (err error) {
		list, err = tx.Campaigns(school, before, limit)
		return err
	})
	return list, err
}

// ChangeCampaign changes a campaign; change gets it as it is, and may refuse.
// One that was approved is a draft again. Of a published one title, text and
// later days can be changed, and its unpaid notices follow in the text and the
// days that change says it gave, behind the answer where they are many.
//
// Errors: *Invalid, ErrCampaignPublished, ErrCampaignBusy, ErrCampaignState for a
// closed one.
func (s *Service) ChangeCampaign(ctx context.Context, actor Actor, code SchoolCode, id string, change func(Campaign, *CampaignContent) (text, day bool, err error)) (Campaign, error) {
	return s.moveCampaign(ctx, code, id, func(tx Tx, c *Campaign) error {
		in := c.CampaignContent
		in.Instalments = slices.Clone(in.Instalments)
		text, day, err := change(*c, &in)
		if err != nil {
			return err
		}
		school, err := tx.School(code)
		if err != nil {
			return err
		}
		switch c.State {
		case CampaignPublished:
			return s.changePublished(tx, actor, school, c, in, text, day)
		case CampaignClosed:
			return ErrCampaignState
		}
		if err := s.checkCampaign(tx.Context(), school, in); err != nil {
			return err
		}
		if c.State == CampaignApproved {
			if err := c.move(CampaignDraft); err != nil {
				return err
			}
			c.ApprovedBy = Actor{}
		}
		c.CampaignContent, c.Author = in, actor
		return s.saveCampaign(tx, actor, c, "campaign.changed")
	})
}

// changePublished changes what may still change when families have been told.
func (s *Service) changePublished(tx Tx, actor Actor, school School, c *Campaign, in CampaignContent, text, day bool) error {
	if c.Work.State == WorkRunning {
		return ErrCampaignBusy
	}
	if !c.asksTheSame(&in) {
		return ErrCampaignPublished
	}
	if _, err := s.campaignFields(school, in); err != nil {
		return err
	}
	var bad Invalid
	const later = "families were told the day that stands there: give a later one"
	if in.DueDate < c.DueDate {
		bad.Add("due_date", "earlier", later)
	}
	for i, x := range in.Instalments {
		if x.DueDate < c.Instalments[i].DueDate {
			bad.Add(fmt.Sprintf("instalments[%d].due_date", i), "earlier", later)
		}
	}
	if err := bad.Err(); err != nil {
		return err
	}
	changed := in.Title != c.Title || in.Description != c.Description || in.DueDate != c.DueDate || !sameInstalments(in.Instalments, c.Instalments)
	c.CampaignContent = in
	if c.Kind == CampaignVoluntary {
		due, err := ParseDate(in.DueDate)
		if err == nil {
			err = tx.ChangeContribution(c.School, c.ID, in.Description, due)
		}
		if err != nil {
			return err
		}
	}
	if text || day {
		if err := s.begin(tx, c, CampaignWork{Task: TaskChange, Actor: actor, Text: text, Day: day}); err != nil {
			return err
		}
	}
	if !changed {
		return tx.SaveCampaign(*c)
	}
	return s.saveCampaign(tx, actor, c, "campaign.changed")
}

// asksTheSame says whether in asks the same amounts of the same people.
func (c *CampaignContent) asksTheSame(in *CampaignContent) bool {
	return c.Kind == in.Kind && c.Amount == in.Amount && c.Min == in.Min && c.Free == in.Free && c.Taxonomy == in.Taxonomy && c.Deduction == in.Deduction &&
		c.Whole == in.Whole && c.Staff == in.Staff && c.Adults == in.Adults && slices.Equal(c.Classes, in.Classes) && slices.Equal(c.Pupils, in.Pupils) &&
		slices.EqualFunc(c.Instalments, in.Instalments, func(a, b NewInstalment) bool { return a.Amount == b.Amount })
}

func sameInstalments(a, b []NewInstalment) bool {
	return slices.EqualFunc(a, b, func(a, b NewInstalment) bool { return a.Amount == b.Amount && a.DueDate == b.DueDate })
}

// ApproveCampaign approves a draft for somebody else than its author.
// ErrCampaignOwn, ErrCampaignState.
func (s *Service) ApproveCampaign(ctx context.Context, actor Actor, code SchoolCode, id string) (Campaign, error) {
	return s.moveCampaign(ctx, code, id, func(tx Tx, c *Campaign) error {
		switch {
		case c.State == CampaignApproved:
			return nil
		case actor == c.Author:
			return ErrCampaignOwn
		}
		if err := c.move(CampaignApproved); err != nil {
			return err
		}
		c.ApprovedBy = actor
		return s.saveCampaign(tx, actor, c, "campaign.approved")
	})
}

// PublishCampaign issues the notices of all recipients, behind the answer where
// they are many, or opens the contribution. Publishing again issues those of
// pupils who came since, and changes nothing when there are none; while it is
// being published it changes nothing either.
//
// Errors: *Invalid, ErrCampaignWaits, ErrCampaignBusy, ErrCampaignState.
func (s *Service) PublishCampaign(ctx context.Context, actor Actor, code SchoolCode, id string) (Campaign, error) {
	return s.moveCampaign(ctx, code, id, func(tx Tx, c *Campaign) error {
		first := c.State != CampaignPublished
		if c.Work.State == WorkRunning {
			if c.Work.Task == TaskPublish {
				return nil
			}
			return ErrCampaignBusy
		}
		if c.State == CampaignDraft {
			school, err := tx.School(code)
			if err != nil {
				return err
			}
			if school.CampaignsNeedApproval {
				return ErrCampaignWaits
			}
		}
		if err := c.move(CampaignPublished); err != nil {
			return err
		}
		switch {
		case c.Kind == CampaignAssigned:
			was := c.Work
			if err := s.begin(tx, c, CampaignWork{Task: TaskPublish, Actor: actor}); err != nil {
				return err
			}
			if !first && c.Work.Acted == 0 && was.Failure == "" {
				return nil
			}
		case !first:
			return nil
		default:
			if err := s.openCampaign(tx, actor, c); err != nil {
				return err
			}
		}
		return s.saveCampaign(tx, actor, c, "campaign.published")
	})
}

func (s *Service) openCampaign(tx Tx, actor Actor, c *Campaign) error {
	_, err := s.openContribution(tx.Context(), actor, c.School, c.ID, NewContribution{
		Description: c.Description, Amount: c.Amount, Min: c.Min, Free: c.Free, DueDate: c.DueDate, Taxonomy: c.Taxonomy, Deduction: c.Deduction,
	})
	return err
}

// CloseCampaign ends a campaign: it issues no more notices and takes no more
// gifts. Its unpaid notices stay payable; with cancelUnpaid they are cancelled,
// behind the answer where they are many, but those that a payer holds: Work
// counts them, and closing again tries them again. Without it closing again
// changes nothing.
//
// Errors: ErrCampaignBusy, ErrCampaignState.
func (s *Service) CloseCampaign(ctx context.Context, actor Actor, code SchoolCode, id string, cancelUnpaid bool) (Campaign, error) {
	return s.moveCampaign(ctx, code, id, func(tx Tx, c *Campaign) error {
		if c.Work.State == WorkRunning {
			if c.State == CampaignClosed && c.Work.Task == TaskClose {
				return nil
			}
			return ErrCampaignBusy
		}
		first := c.State != CampaignClosed
		if !first && !cancelUnpaid {
			return nil
		}
		if first {
			if err := c.move(CampaignClosed); err != nil {
				return err
			}
			if err := tx.CloseContribution(code, id); err != nil {
				return err
			}
		}
		if cancelUnpaid {
			if err := s.begin(tx, c, CampaignWork{Task: TaskClose, Actor: actor}); err != nil {
				return err
			}
		}
		if !first && c.Work.Acted == 0 {
			return tx.SaveCampaign(*c)
		}
		return s.saveCampaign(tx, actor, c, "campaign.closed")
	})
}

// RemindCampaign has the payers of all unpaid notices reminded by mail, behind
// the answer where they are many, each notice once a day at most. Work counts
// those that were skipped.
//
// Errors: ErrCampaignVoluntary, ErrCampaignBusy, ErrCampaignState before it is
// published.
func (s *Service) RemindCampaign(ctx context.Context, actor Actor, code SchoolCode, id string) (Campaign, error) {
	return s.moveCampaign(ctx, code, id, func(tx Tx, c *Campaign) error {
		switch {
		case c.Kind == CampaignVoluntary:
			return ErrCampaignVoluntary
		case c.State != CampaignPublished && c.State != CampaignClosed:
			return ErrCampaignState
		case c.Work.State == WorkRunning:
			if c.Work.Task == TaskRemind {
				return nil
			}
			return ErrCampaignBusy
		}
		if err := s.begin(tx, c, CampaignWork{Task: TaskRemind, Actor: actor}); err != nil {
			return err
		}
		if err := tx.SaveCampaign(*c); err != nil {
			return err
		}
		return s.audited(tx, actor, code, "campaign.reminded", id, s.clock.Now())
	})
}

// campaignPupils are the recipients, each once.
func campaignPupils(tx Tx, c *Campaign) ([]Pupil, error) {
	var list []Pupil
	seen := map[string]bool{}
	add := func(more ...Pupil) {
		for _, p := range more {
			if !seen[p.ID] {
				seen[p.ID] = true
				list = append(list, p)
			}
		}
	}
	if c.Whole || c.Staff || c.Adults {
		everybody, err := tx.Pupils(c.School)
		if err != nil {
			return nil, err
		}
		for _, p := range everybody {
			if map[PersonKind]bool{KindPupil: c.Whole, KindStaff: c.Staff, KindAdult: c.Adults}[p.Kind] {
				add(p)
			}
		}
	}
	for _, class := range c.Classes {
		more, err := tx.PupilsOfClass(c.School, class)
		if err != nil {
			return nil, err
		}
		// Its teacher does not go on the trip as a pupil.
		add(slices.DeleteFunc(more, func(p Pupil) bool { return p.Kind != KindPupil })...)
	}
	for _, id := range c.Pupils {
		p, err := tx.Pupil(c.School, id)
		if errors.Is(err, ErrNotFound) {
			return nil, &Invalid{[]FieldError{{"recipients.pupils", "unknown", "name pupils of the registry"}}}
		}
		if err != nil {
			return nil, err
		}
		add(p)
	}
	return list, nil
}

func (c *Campaign) move(to CampaignState) error {
	if !slices.Contains(campaignMoves[c.State], to) {
		return ErrCampaignState
	}
	c.State = to
	return nil
}

// moveCampaign runs fn on the locked campaign and answers it as it is then.
func (s *Service) moveCampaign(ctx context.Context, school SchoolCode, id string, fn func(Tx, *Campaign) error) (Campaign, error) {
	var c Campaign
	err := s.store.Update(ctx, func(tx Tx) (err error) {
		if c, err = tx.LockCampaign(school, id); err != nil {
			return err
		}
		if err := fn(tx, &c); err != nil {
			return err
		}
		c, err = tx.Campaign(school, id)
		return err
	})
	if err != nil {
		return Campaign{}, fmt.Errorf("campaign: %w", err)
	}
	return c, nil
}

func (s *Service) saveCampaign(tx Tx, actor Actor, c *Campaign, action string) error {
	c.Version++
	c.ChangedAt = s.clock.Now()
	if err := tx.SaveCampaign(*c); err != nil {
		return err
	}
	return tx.AppendAudit(Audit{School: c.School, Actor: actor, Action: action, Object: c.ID, At: c.ChangedAt})
}
