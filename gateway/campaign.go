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

// campaignMoves is the one table of ways between states. A campaign that needs
// no approval goes from draft to published at once.
var campaignMoves = map[CampaignState][]CampaignState{
	CampaignDraft:     {CampaignApproved, CampaignPublished, CampaignClosed},
	CampaignApproved:  {CampaignPublished, CampaignClosed},
	CampaignPublished: {CampaignPublished, CampaignClosed},
	CampaignClosed:    nil,
}

// CampaignContent is what a school says of a campaign. It may be changed while
// it is a draft.
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
	// Whole asks all pupils; otherwise those of Classes, and Pupils, by id.
	Whole     bool
	Classes   []string
	Pupils    []string
	Taxonomy  string // empty: the school's
	Deduction string
	// NeedsApproval: somebody else than its author, the head as a rule, has to
	// approve it before it can be published.
	NeedsApproval bool
}

// Campaign (evento) is one collection of a school: what is asked, and of whom.
type Campaign struct {
	CampaignContent
	School               SchoolCode
	ID                   string // unguessable; the Campaign of its notices
	Seq                  int64  // set by the store
	State                CampaignState
	Author               Actor
	ApprovedBy           Actor // zero before
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
	// ErrCampaignWaits: it has to be approved first.
	ErrCampaignWaits = errors.New("the campaign waits for approval")
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
	// CloseContribution ends a contribution; nothing when there is none.
	CloseContribution(school SchoolCode, id string) error
	// PupilsOfClass lists the pupils of one class, by id.
	PupilsOfClass(school SchoolCode, class string) ([]Pupil, error)
}

// maxCampaignList bounds the classes, and the pupils, that a campaign names.
const maxCampaignList = 1000

// checkCampaign says what is wrong with a campaign, as its notices would.
func (s *Service) checkCampaign(ctx context.Context, school School, c CampaignContent) error {
	var bad Invalid
	n := c.notice(Pupil{Code: Anonymous, FirstName: "x"}, "")
	if _, err := s.checkNotices(school, []NewNotice{n}, false); err != nil && !errors.As(err, new(*Invalid)) {
		return err
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
		if c.Whole == (named > 0) {
			bad.Add("recipients", "required", "name classes or pupils, or ask the whole school")
		}
		if len(c.Classes) > maxCampaignList || len(c.Pupils) > maxCampaignList {
			bad.Add("recipients", "too_many", fmt.Sprintf("name at most %d classes and %d pupils", maxCampaignList, maxCampaignList))
		}
	case CampaignVoluntary:
		if c.Whole || named > 0 || len(c.Instalments) > 0 {
			bad.Add("recipients", "unknown", "a voluntary campaign has no recipients and no instalments")
		}
		if c.Min < 0 || c.Min > c.Amount || c.Min > 0 && !c.Free {
			bad.Add("min_amount_cents", "range", "give a least amount only with a free one, and not above it")
		}
	default:
		bad.Add("kind", "unknown", "give assigned or voluntary")
	}
	if err := bad.Err(); err != nil {
		return err
	}
	return s.checkTaxonomy(ctx, school, []NewNotice{n}, false)
}

// notice is what the campaign asks of a pupil.
func (c *CampaignContent) notice(p Pupil, campaign string) NewNotice {
	n := NewNotice{
		DebtorCode: string(p.Code), DebtorName: p.FirstName, Class: p.Class, Description: c.Description, Amount: c.Amount,
		DueDate: c.DueDate, Taxonomy: c.Taxonomy, Deduction: c.Deduction, Campaign: campaign, Instalments: c.Instalments,
	}
	if p.LastName != "" {
		n.DebtorName += " " + p.LastName
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

// Campaigns lists those with a Seq below before, newest first.
func (s *Service) Campaigns(ctx context.Context, school SchoolCode, before int64, limit int) (list []Campaign, err error) {
	err = s.store.View(ctx, func(tx Tx) (err error) {
		list, err = tx.Campaigns(school, before, limit)
		return err
	})
	return list, err
}

// ChangeCampaign changes a draft; what was approved or published is what was
// read (ErrCampaignState). change gets the campaign as it is, and may refuse.
func (s *Service) ChangeCampaign(ctx context.Context, actor Actor, code SchoolCode, id string, change func(Campaign, *CampaignContent) error) (Campaign, error) {
	return s.moveCampaign(ctx, code, id, func(tx Tx, c *Campaign) error {
		in := c.CampaignContent
		if err := change(*c, &in); err != nil {
			return err
		}
		if c.State != CampaignDraft {
			return ErrCampaignState
		}
		school, err := tx.School(code)
		if err != nil {
			return err
		}
		if err := s.checkCampaign(tx.Context(), school, in); err != nil {
			return err
		}
		c.CampaignContent = in
		return s.saveCampaign(tx, actor, c, "campaign.changed")
	})
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

// PublishCampaign issues the notices of all recipients in one transaction, or
// opens the contribution. Publishing again issues those of pupils who came
// since, and changes nothing when there are none.
func (s *Service) PublishCampaign(ctx context.Context, actor Actor, code SchoolCode, id string) (Campaign, error) {
	return s.moveCampaign(ctx, code, id, func(tx Tx, c *Campaign) error {
		first := c.State != CampaignPublished
		if c.State == CampaignDraft && c.NeedsApproval {
			return ErrCampaignWaits
		}
		if err := c.move(CampaignPublished); err != nil {
			return err
		}
		made, err := 0, error(nil)
		if c.Kind == CampaignAssigned {
			made, err = s.issueCampaign(tx, actor, c)
		} else if first {
			err = s.openCampaign(tx, actor, c)
		}
		if err != nil || !first && made == 0 {
			return err
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

// issueCampaign issues the notices of the recipients that have none yet.
func (s *Service) issueCampaign(tx Tx, actor Actor, c *Campaign) (made int, err error) {
	pupils, err := campaignPupils(tx, c)
	if err != nil {
		return 0, err
	}
	if len(pupils) == 0 {
		return 0, &Invalid{[]FieldError{{"recipients", "unknown", "no pupil of the registry is among the recipients"}}}
	}
	for part := range slices.Chunk(pupils, MaxBatch) {
		list := make([]NewNotice, len(part))
		ids := make([]string, len(part))
		for i, p := range part {
			list[i] = c.notice(p, c.ID)
			ids[i] = list[i].ExternalID
		}
		// A notice that is there stays as it is, changed by the office or not.
		known, err := tx.ExternalIDs(c.School, ids)
		if err != nil {
			return made, err
		}
		list = slices.DeleteFunc(list, func(n NewNotice) bool { _, ok := known[n.ExternalID]; return ok })
		if len(list) == 0 {
			continue
		}
		if _, err := s.Issue(tx.Context(), actor, c.School, list, false); err != nil {
			return made, err
		}
		made += len(list)
	}
	return made, nil
}

// campaignPupils are the recipients, each once.
func campaignPupils(tx Tx, c *Campaign) ([]Pupil, error) {
	if c.Whole {
		return tx.Pupils(c.School)
	}
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
	for _, class := range c.Classes {
		more, err := tx.PupilsOfClass(c.School, class)
		if err != nil {
			return nil, err
		}
		add(more...)
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

// CloseCampaign ends a campaign. Its unpaid notices stay payable. Closing again
// changes nothing.
func (s *Service) CloseCampaign(ctx context.Context, actor Actor, code SchoolCode, id string) (Campaign, error) {
	return s.moveCampaign(ctx, code, id, func(tx Tx, c *Campaign) error {
		if c.State == CampaignClosed {
			return nil
		}
		if err := c.move(CampaignClosed); err != nil {
			return err
		}
		if err := tx.CloseContribution(code, id); err != nil {
			return err
		}
		return s.saveCampaign(tx, actor, c, "campaign.closed")
	})
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
