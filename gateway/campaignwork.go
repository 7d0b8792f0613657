// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nodogate/nodogate/iuv"
)

// What touches all notices of a campaign is done in steps, each one transaction:
// a school of a thousand pupils must not keep everybody else waiting. The first
// step is part of the request, so that a class is done when the answer comes;
// what is left goes on behind it, by a message of the outbox. A step finds out
// by itself what is left, under the lock of the campaign: a process that dies, or
// a message that is delivered twice, does nothing twice.

// CampaignTask is what is done to the notices of a campaign. Stored and sent:
// never renamed.
type CampaignTask string

const (
	TaskPublish CampaignTask = "publish" // issue them
	TaskChange  CampaignTask = "change"  // move their day, change their text
	TaskClose   CampaignTask = "close"   // cancel what is unpaid
	TaskRemind  CampaignTask = "remind"  // remind of what is unpaid
)

// WorkState is how far a task is. Stored and sent: never renamed.
type WorkState string

const (
	WorkRunning WorkState = "running"
	WorkDone    WorkState = "done"
	WorkFailed  WorkState = "failed" // Failure says why; asking again goes on
)

// SkipReason says why a task left a notice as it is. Stored and sent: never
// renamed.
type SkipReason string

const (
	SkipInPayment   SkipReason = "in_payment"     // a payer holds it now
	SkipReminded    SkipReason = "reminded_today" // once a day is enough
	SkipUnreachable SkipReason = "unreachable"    // nobody with an address wants mails
	SkipExpired     SkipReason = "expired"        // it cannot be paid: its day is over
)

// CampaignWork is the last task on a campaign's notices, zero before the first.
type CampaignWork struct {
	Task  CampaignTask
	State WorkState
	Actor Actor // who asked for it
	// Done of Total were looked at: recipients of a publication, unpaid notices
	// else. Of those Acted were issued, changed, cancelled or reminded of, and
	// Skipped left as they are.
	Done, Total, Acted, Skipped int
	Reasons                     map[SkipReason]int
	Left                        []iuv.Number // the first of those skipped
	Failure                     string       // stable code: recipients, internal

	Text, Day bool  // what TaskChange changes
	Before    int64 // the notices with a lower Seq are left to do; 0: all
}

// maxLeft bounds the list of notices that were skipped.
const maxLeft = 100

// MessageCampaign is the Kind of the outbox rows that ask to go on with a
// campaign. Stored: never renamed.
const MessageCampaign = "campaign"

// campaignPayload is the JSON of such a row.
type campaignPayload struct {
	School   SchoolCode `json:"school"`
	Campaign string     `json:"campaign"`
}

func (w *CampaignWork) skip(n iuv.Number, why SkipReason) {
	if w.Reasons == nil {
		w.Reasons = map[SkipReason]int{}
	}
	w.Skipped++
	w.Reasons[why]++
	if len(w.Left) < maxLeft {
		w.Left = append(w.Left, n)
	}
}

// begin takes the first step of a task and asks for the next ones. The caller
// saves the campaign.
func (s *Service) begin(tx Tx, c *Campaign, w CampaignWork) error {
	w.State = WorkRunning
	if w.Task != TaskPublish {
		var err error
		if w.Total, err = tx.CountUnpaid(c.School, c.ID); err != nil {
			return err
		}
	}
	c.Work = w
	if err := s.step(tx, c); err != nil || c.Work.State != WorkRunning {
		return err
	}
	return tx.Enqueue(s.campaignMessage(c))
}

func (s *Service) campaignMessage(c *Campaign) Message {
	payload, err := json.Marshal(campaignPayload{c.School, c.ID})
	if err != nil {
		panic("gateway: " + err.Error()) // two texts always marshal
	}
	return Message{ID: s.newID(), School: c.School, Kind: MessageCampaign, Aggregate: string(c.School) + "/" + c.ID, Payload: payload, At: s.clock.Now()}
}

// ContinueCampaign takes the next step of what a message of MessageCampaign is
// about, and gives the message that asks for the one after it. What is the
// school's mistake ends the task and is no error here.
func (s *Service) ContinueCampaign(ctx context.Context, payload []byte) ([]Message, error) {
	var p campaignPayload
	if err := json.Unmarshal(payload, &p); err != nil {
		return nil, fmt.Errorf("campaign message: %w", err)
	}
	var next []Message
	err := s.store.Update(ctx, func(tx Tx) error {
		next = nil
		c, err := tx.LockCampaign(p.School, p.Campaign)
		if err != nil || c.Work.State != WorkRunning {
			return err
		}
		if err := s.step(tx, &c); err != nil {
			return err
		}
		if c.Work.State == WorkRunning {
			next = []Message{s.campaignMessage(&c)}
		}
		return tx.SaveCampaign(c)
	})
	if errors.As(err, new(*Invalid)) {
		return nil, s.endWork(ctx, p, "recipients")
	}
	if err != nil {
		return nil, fmt.Errorf("campaign %s: %w", p.Campaign, err)
	}
	return next, nil
}

// GiveUpCampaign ends the task of a message that was tried in vain, so that the
// office sees it and may ask again.
func (s *Service) GiveUpCampaign(ctx context.Context, payload []byte) error {
	var p campaignPayload
	if err := json.Unmarshal(payload, &p); err != nil {
		return fmt.Errorf("campaign message: %w", err)
	}
	return s.endWork(ctx, p, "internal")
}

func (s *Service) endWork(ctx context.Context, p campaignPayload, failure string) error {
	return s.store.Update(ctx, func(tx Tx) error {
		c, err := tx.LockCampaign(p.School, p.Campaign)
		if err != nil || c.Work.State != WorkRunning {
			return err
		}
		c.Work.State, c.Work.Failure = WorkFailed, failure
		return tx.SaveCampaign(c)
	})
}

// step does the next part of the campaign's task.
func (s *Service) step(tx Tx, c *Campaign) error {
	switch c.Work.Task {
	case TaskPublish:
		return s.issueStep(tx, c)
	case TaskChange:
		return s.eachUnpaid(tx, c, s.changeOfCampaign)
	case TaskClose:
		return s.eachUnpaid(tx, c, func(tx Tx, c *Campaign, n Notice) (bool, error) {
			_, err := s.cancel(tx, c.Work.Actor, n)
			return true, err
		})
	case TaskRemind:
		return s.eachUnpaid(tx, c, s.remindOfCampaign)
	}
	panic("gateway: no such task: " + string(c.Work.Task))
}

// issueStep issues the notices of recipients that have none yet. A notice that
// is there stays as it is, changed or cancelled by the office or not.
func (s *Service) issueStep(tx Tx, c *Campaign) error {
	w := &c.Work
	pupils, err := campaignPupils(tx, c)
	if err != nil {
		return err
	}
	if len(pupils) == 0 {
		return &Invalid{[]FieldError{{"recipients", "unknown", "no pupil of the registry is among the recipients"}}}
	}
	list, ids := make([]NewNotice, len(pupils)), make([]string, len(pupils))
	for i, p := range pupils {
		list[i] = c.notice(p, c.ID)
		ids[i] = list[i].ExternalID
	}
	known, err := tx.ExternalIDs(c.School, ids)
	if err != nil {
		return err
	}
	list = slices.DeleteFunc(list, func(n NewNotice) bool { _, ok := known[n.ExternalID]; return ok })
	part := list[:min(len(list), max(1, s.cfg.CampaignStep/(1+len(c.Instalments))))]
	if len(part) > 0 {
		if _, err := s.Issue(tx.Context(), w.Actor, c.School, part, false); err != nil {
			return err
		}
	}
	w.Total, w.Acted = len(pupils), w.Acted+len(part)
	w.Done = len(pupils) - (len(list) - len(part))
	if len(part) == len(list) {
		w.State = WorkDone
	}
	return nil
}

// eachUnpaid does something to the next unpaid notices; act says whether it did.
// It gets them locked, and not those that a payer holds.
func (s *Service) eachUnpaid(tx Tx, c *Campaign, act func(Tx, *Campaign, Notice) (bool, error)) error {
	w, step := &c.Work, max(1, s.cfg.CampaignStep*2/5) // each takes some statements of its own
	page, err := tx.UnpaidOfCampaign(c.School, c.ID, w.Before, step)
	if err != nil {
		return err
	}
	if len(page) < step {
		w.State = WorkDone
	} else {
		w.Before = page[len(page)-1].Seq
	}
	// In the order in which carts lock theirs.
	slices.SortFunc(page, func(a, b UnpaidNotice) int { return strings.Compare(a.Number.String(), b.Number.String()) })
	for _, ref := range page {
		n, err := s.lockFree(tx, c.School, ref.Number)
		w.Done++
		switch {
		case errors.Is(err, ErrInProgress):
			w.skip(ref.Number, SkipInPayment)
			continue
		case errors.Is(err, ErrNoticePaid), err == nil && n.State != NoticeOpen && n.State != NoticeExpired:
			continue // meanwhile
		case err != nil:
			return err
		}
		acted, err := act(tx, c, n)
		if err != nil {
			return fmt.Errorf("notice %s: %w", ref.Number, err)
		}
		if acted {
			w.Acted++
		}
	}
	w.Total = max(w.Total, w.Done)
	return nil
}

// changeOfCampaign gives a notice the campaign's text and its later day.
func (s *Service) changeOfCampaign(tx Tx, c *Campaign, n Notice) (bool, error) {
	text, day := c.Description, c.DueDate
	if n.Instalment > 0 && n.Instalment <= len(c.Instalments) {
		text, day = instalmentText(text, n.Instalment, len(c.Instalments)), c.Instalments[n.Instalment-1].DueDate
	}
	var change NoticeChange
	if c.Work.Text {
		change.Description = &text
	}
	// Who was given a later one by the office keeps it. Dates sort as texts.
	if c.Work.Day && day > n.DueDate.String() {
		change.DueDate = &day
	}
	was := n.Version
	n, _, err := s.change(tx, c.Work.Actor, n, change)
	return n.Version != was, err
}

// remindOfCampaign has the payers of a notice reminded of it. Of a plan one
// notice is reminded of: what is to be paid next.
func (s *Service) remindOfCampaign(tx Tx, c *Campaign, n Notice) (bool, error) {
	w, now := &c.Work, s.clock.Now()
	if n.Payable(now) != nil {
		w.skip(n.Number, SkipExpired)
		return false, nil
	}
	if n.Plan != "" {
		mates, err := tx.NoticesOfPlan(n.School, n.Plan)
		if err != nil {
			return false, err
		}
		next := slices.IndexFunc(mates, func(m Notice) bool { return m.Payable(now) == nil })
		if next >= 0 && mates[next].Number != n.Number {
			return false, nil
		}
	}
	reached, err := s.reachable(tx, n)
	if err != nil {
		return false, err
	}
	if !reached {
		w.skip(n.Number, SkipUnreachable)
		return false, nil
	}
	fresh, err := tx.MarkAskedReminder(NoticeRef{School: n.School, Number: n.Number}, DateIn(now), now)
	if err != nil {
		return false, err
	}
	if !fresh {
		w.skip(n.Number, SkipReminded)
		return false, nil
	}
	return true, s.tell(tx, EventNoticeDue, n.School, n.Number, "", now)
}

// reachable says whether anybody would get a mail about the notice.
func (s *Service) reachable(tx Tx, n Notice) (bool, error) {
	payers, _, err := tx.PayersOf(n.School, n.Number)
	if err != nil {
		return false, err
	}
	for _, p := range payers {
		if p.Email == "" {
			continue
		}
		wants, _, err := s.MailWishes(tx.Context(), p.Code)
		if err != nil || wants {
			return wants, err
		}
	}
	return false, nil
}
