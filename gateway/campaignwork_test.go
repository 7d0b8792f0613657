// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
)

func wantApproval(t *testing.T, g *gatewaytest.Gateway, school gateway.SchoolCode, want bool) {
	t.Helper()
	if _, err := g.ChangeSchool(t.Context(), head, school, func(_ gateway.School, in *gateway.NewSchool) error {
		in.CampaignsNeedApproval = want
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func noticeOf(t *testing.T, g *gatewaytest.Gateway, n gateway.Notice) gateway.Notice {
	t.Helper()
	n, err := g.Notice(t.Context(), n.School, n.Number)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// changed changes a campaign as a caller who gives text and days.
func changed(g *gatewaytest.Gateway, school gateway.SchoolCode, id string, change func(*gateway.CampaignContent)) (gateway.Campaign, error) {
	return g.ChangeCampaign(context.Background(), head, school, id, func(_ gateway.Campaign, in *gateway.CampaignContent) (bool, bool, error) {
		change(in)
		return true, true, nil
	})
}

// published is a campaign of class 3B with its notices, oldest first.
func published(t *testing.T, g *gatewaytest.Gateway, pupils int, change func(*gateway.CampaignContent)) (gateway.Campaign, []gateway.Notice) {
	t.Helper()
	school := gatewaytest.SchoolCode
	if err := g.Store.Update(t.Context(), func(tx gateway.Tx) error {
		for i := range pupils {
			p := gateway.Pupil{School: school, ID: fmt.Sprintf("c-%04d", i), Code: "RSSMRA80A01H501U", FirstName: "Pupil", LastName: "Prova", Class: "3B", SchoolYear: "2026/27"}
			if err := tx.PutPupil(p); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	c, err := g.CreateCampaign(t.Context(), gatewaytest.Operator, school, trip(change))
	if err == nil {
		c, err = g.PublishCampaign(t.Context(), gatewaytest.Operator, school, c.ID)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c, notices(t, g, c)
}

func notices(t *testing.T, g *gatewaytest.Gateway, c gateway.Campaign) []gateway.Notice {
	t.Helper()
	list, err := g.Notices(t.Context(), c.School, gateway.NoticeFilter{Campaign: c.ID, Limit: 5000})
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(list)
	return list
}

// goOn works the messages that ask to go on, as notify does, and says how many
// they were. A worker that dies does not say that it did.
func goOn(t *testing.T, g *gatewaytest.Gateway, dies bool) (steps int) {
	t.Helper()
	for {
		list, err := g.Store.ClaimMessages(t.Context(), gateway.MessageCampaign, "", g.Now(), time.Minute, 10)
		if err != nil {
			t.Fatal(err)
		}
		if len(list) == 0 {
			return steps
		}
		for _, m := range list {
			steps++
			next, err := g.ContinueCampaign(t.Context(), m.Payload)
			if err != nil {
				t.Fatal(err)
			}
			if dies {
				return steps
			}
			if err := g.Store.FinishInto(t.Context(), m.ID, g.Now(), next); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A large campaign is published behind the answer, and a worker that dies after a
// step, before it can say so, leaves nothing out and asks nobody twice.
func TestCampaignIsPublishedInSteps(t *testing.T) {
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		const pupils = 110
		c, list := published(t, g, pupils, nil)
		if w := c.Work; c.State != gateway.CampaignPublished || w.State != gateway.WorkRunning || w.Done != 50 || w.Total != pupils || len(list) != 50 {
			t.Fatalf("after the first step: %+v, %d notices", w, len(list))
		}
		for name, refused := range map[string]func() error{
			"closed":   func() error { _, err := g.CloseCampaign(t.Context(), head, c.School, c.ID, true); return err },
			"changed":  func() error { _, err := changed(g, c.School, c.ID, func(*gateway.CampaignContent) {}); return err },
			"reminded": func() error { _, err := g.RemindCampaign(t.Context(), head, c.School, c.ID); return err },
		} {
			if err := refused(); !errors.Is(err, gateway.ErrCampaignBusy) {
				t.Errorf("%s while it is published: %v", name, err)
			}
		}
		if again, err := g.PublishCampaign(t.Context(), head, c.School, c.ID); err != nil || again.Work.Done != 50 || again.Version != c.Version {
			t.Errorf("published while it is published: %+v, %v", again, err)
		}
		goOn(t, g, true)
		if n := len(notices(t, g, c)); n != 100 {
			t.Errorf("%d notices after the second step", n)
		}
		if steps := goOn(t, g, false); steps != 0 {
			t.Errorf("%d steps under another's lease", steps)
		}
		g.Time.Advance(2 * time.Minute)
		goOn(t, g, false)
		c, err := g.Campaign(t.Context(), c.School, c.ID)
		if w := c.Work; err != nil || w.State != gateway.WorkDone || w.Done != pupils || w.Acted != pupils || c.Totals.Notices != pupils {
			t.Errorf("at the end: %+v, %+v, %v", w, c.Totals, err)
		}
		seen := map[string]bool{}
		for _, n := range notices(t, g, c) {
			if seen[n.ExternalID] {
				t.Fatalf("%s was asked twice", n.ExternalID)
			}
			seen[n.ExternalID] = true
		}
	})
}

// The instalments count: a step is about notices, not people.
func TestCampaignWithManyInstalments(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	c, _ := published(t, g, 8, func(c *gateway.CampaignContent) {
		c.Amount = 1200
		for range 12 {
			c.Instalments = append(c.Instalments, gateway.NewInstalment{Amount: 100, DueDate: "2026-12-31"})
		}
	})
	goOn(t, g, false)
	c, err := g.Campaign(t.Context(), c.School, c.ID)
	if err != nil || c.Work.State != gateway.WorkDone || c.Totals.Notices != 8*12 || c.Totals.Issued != 8*1200 {
		t.Errorf("%+v, %+v, %v", c.Work, c.Totals, err)
	}
}

// What stops a publication is seen, and publishing again goes on.
func TestCampaignWorkFails(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	c, _ := published(t, g, 60, nil)
	all, err := g.Store.ClaimMessages(t.Context(), gateway.MessageCampaign, "", g.Now(), time.Minute, 10)
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	if err := g.GiveUpCampaign(t.Context(), all[0].Payload); err != nil {
		t.Fatal(err)
	}
	if next, err := g.ContinueCampaign(t.Context(), all[0].Payload); err != nil || next != nil {
		t.Errorf("went on after its end: %v, %v", next, err)
	}
	c, err = g.Campaign(t.Context(), c.School, c.ID)
	if err != nil || c.Work.State != gateway.WorkFailed || c.Work.Failure != "internal" || c.Work.Done != 50 {
		t.Errorf("given up: %+v, %v", c.Work, err)
	}
	c, err = g.PublishCampaign(t.Context(), head, c.School, c.ID)
	if err != nil || c.Work.State != gateway.WorkDone || c.Work.Failure != "" || c.Work.Acted != 10 || c.Totals.Notices != 60 {
		t.Errorf("published again: %+v, %+v, %v", c.Work, c.Totals, err)
	}
	if _, err := g.ContinueCampaign(t.Context(), []byte("{")); err == nil {
		t.Error("took a message that cannot be read")
	}
}

// Closing cancels what nobody holds, says what is held, and closes again.
func TestCampaignClosesAndCancels(t *testing.T) {
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		c, list := published(t, g, 4, nil)
		paid, held, expired := list[0], list[1], list[2]
		g.Settle(paid, "")
		token, err := activate(g, held, "")
		if err != nil {
			t.Fatal(err)
		}
		closing := func() gateway.Campaign {
			t.Helper()
			got, err := g.CloseCampaign(t.Context(), head, c.School, c.ID, true)
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		got := closing()
		if w := got.Work; got.State != gateway.CampaignClosed || w.State != gateway.WorkDone || w.Total != 3 || w.Done != 3 || w.Acted != 2 || w.Skipped != 1 ||
			w.Reasons[gateway.SkipInPayment] != 1 || len(w.Left) != 1 || w.Left[0] != held.Number {
			t.Errorf("closed: %+v", w)
		}
		if got := states(g, list...); got != "paid open cancelled cancelled" {
			t.Errorf("states: %s", got)
		}
		if got := kinds(t, g, expired); got != "notice.issued notice.cancelled" {
			t.Errorf("history of a cancelled one: %s", got)
		}
		version := got.Version
		if got := closing(); got.Work.Acted != 0 || got.Work.Skipped != 1 || got.Version != version {
			t.Errorf("closed again, still held: %+v", got.Work)
		}
		if _, err := outcome(g, false, token); err != nil {
			t.Fatal(err)
		}
		if got := closing(); got.Work.Acted != 1 || got.Work.Skipped != 0 || g.State(held) != gateway.NoticeCancelled {
			t.Errorf("closed again, free: %+v", got.Work)
		}
		if got.Totals != (gateway.CampaignTotals{Notices: 2, Issued: 6000, Paid: 1, PaidAmount: 3000}) {
			t.Errorf("totals: %+v", got.Totals)
		}
	})
}

// More than a step is cancelled behind the answer.
func TestCampaignClosesInSteps(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	c, _ := published(t, g, 45, nil)
	c, err := g.CloseCampaign(t.Context(), head, c.School, c.ID, true)
	if err != nil || c.State != gateway.CampaignClosed || c.Work.State != gateway.WorkRunning || c.Work.Acted != 20 || c.Work.Total != 45 {
		t.Fatalf("%+v, %v", c.Work, err)
	}
	if again, err := g.CloseCampaign(t.Context(), head, c.School, c.ID, true); err != nil || again.Work.Acted != 20 {
		t.Errorf("closed while it is closed: %+v, %v", again.Work, err)
	}
	if steps := goOn(t, g, false); steps != 2 {
		t.Errorf("%d steps more, want 2", steps)
	}
	c, err = g.Campaign(t.Context(), c.School, c.ID)
	if err != nil || c.Work.State != gateway.WorkDone || c.Work.Acted != 45 || c.Totals.Notices != 0 {
		t.Errorf("%+v, %+v, %v", c.Work, c.Totals, err)
	}
}

// A published campaign may say more, and later; not ask for something else.
func TestPublishedCampaignChanges(t *testing.T) {
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		c, list := published(t, g, 2, func(c *gateway.CampaignContent) {
			c.Instalments = []gateway.NewInstalment{{Amount: 1000, DueDate: "2026-12-15"}, {Amount: 2000, DueDate: "2026-12-31"}}
		})
		for name, test := range map[string]struct {
			change func(*gateway.CampaignContent)
			err    error
			field  string
		}{
			"amount":             {func(c *gateway.CampaignContent) { c.Amount = 4000 }, gateway.ErrCampaignPublished, ""},
			"recipients":         {func(c *gateway.CampaignContent) { c.Classes = []string{"3C"} }, gateway.ErrCampaignPublished, ""},
			"an instalment more": {func(c *gateway.CampaignContent) { c.Instalments = nil }, gateway.ErrCampaignPublished, ""},
			"instalments' amounts": {func(c *gateway.CampaignContent) {
				c.Instalments = []gateway.NewInstalment{{Amount: 1500, DueDate: "2026-12-15"}, {Amount: 1500, DueDate: "2026-12-31"}}
			}, gateway.ErrCampaignPublished, ""},
			"deduction":          {func(c *gateway.CampaignContent) { c.Deduction = "" }, gateway.ErrCampaignPublished, ""},
			"an earlier day":     {func(c *gateway.CampaignContent) { c.DueDate = "2026-12-30" }, nil, "due_date earlier"},
			"an earlier part":    {func(c *gateway.CampaignContent) { c.Instalments[1].DueDate = "2026-12-30" }, nil, "instalments[1].due_date earlier"},
			"no day":             {func(c *gateway.CampaignContent) { c.DueDate = "domani" }, nil, "due_date format"},
			"a code in the text": {func(c *gateway.CampaignContent) { c.Description = "Gita di RSSMRA80A01H501U" }, nil, "description personal_data"},
		} {
			if _, err := changed(g, c.School, c.ID, test.change); test.err != nil && !errors.Is(err, test.err) || test.field != "" && !slices.Contains(wrongFields(err), test.field) {
				t.Errorf("%s: %v", name, err)
			}
		}
		// list is, of two pupils, the single option and two instalments each.
		g.Settle(list[0], "")
		if _, err := activate(g, list[4], ""); err != nil {
			t.Fatal(err)
		}
		got, err := changed(g, c.School, c.ID, func(c *gateway.CampaignContent) {
			c.Title, c.Description, c.DueDate = "Siena", "Gita a Siena", "2027-01-31"
			c.Instalments[0].DueDate = "2027-01-15"
			c.Instalments[1].DueDate = "2027-01-31"
		})
		if w := got.Work; err != nil || got.Title != "Siena" || got.Version != c.Version+1 || w.Acted != 2 || w.Skipped != 1 || w.Left[0] != list[4].Number {
			t.Fatalf("changed: %+v, %v", got, err)
		}
		var all []string
		for _, n := range notices(t, g, c) {
			all = append(all, fmt.Sprintf("%s|%s|%s", n.State, n.Description, n.DueDate))
		}
		if want := []string{
			"paid|Gita a Lucca|2026-12-31", "cancelled|Gita a Lucca - rata 1 di 2|2026-12-15", "cancelled|Gita a Lucca - rata 2 di 2|2026-12-31",
			"open|Gita a Siena|2027-01-31", "open|Gita a Lucca - rata 1 di 2|2026-12-15", "open|Gita a Siena - rata 2 di 2|2027-01-31",
		}; !slices.Equal(all, want) {
			t.Errorf("notices:\n%s\nwant\n%s", strings.Join(all, "\n"), strings.Join(want, "\n"))
		}
		// Later the one that was held follows, and what the office gave one of them
		// stays.
		g.Time.Advance(time.Hour)
		if _, err := change(g, list[5], gateway.NoticeChange{DueDate: to("2027-03-31")}); err != nil {
			t.Fatal(err)
		}
		got, err = changed(g, c.School, c.ID, func(*gateway.CampaignContent) {})
		if err != nil || got.Work.Acted != 1 || got.Version != c.Version+1 {
			t.Errorf("sent again: %+v, %v", got, err)
		}
		if n := noticeOf(t, g, list[4]); n.DueDate.String() != "2027-01-15" || n.Description != "Gita a Siena - rata 1 di 2" {
			t.Errorf("the one that was held: %+v", n)
		}
		if n := noticeOf(t, g, list[5]); n.DueDate.String() != "2027-03-31" {
			t.Errorf("the one with its own day: %s", n.DueDate)
		}
	})
}

// A later day opens again what has expired.
func TestPublishedCampaignReopens(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	c, list := published(t, g, 1, nil)
	g.Time.Advance(60 * 24 * time.Hour)
	if _, err := g.ExpireNotices(t.Context()); err != nil || g.State(list[0]) != gateway.NoticeExpired {
		t.Fatal(err)
	}
	if _, err := changed(g, c.School, c.ID, func(c *gateway.CampaignContent) { c.DueDate = "2027-02-28" }); err != nil || g.State(list[0]) != gateway.NoticeOpen {
		t.Errorf("%s, %v", g.State(list[0]), err)
	}
}

// Whoever can be reached and owes something is reminded, once a day.
func TestCampaignReminds(t *testing.T) {
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		ctx, school := context.Background(), gatewaytest.SchoolCode
		account := g.Family() // p1 of 3B, with a payer who takes mails
		enrol(t, g, school, "p2", "3B", gateway.Anonymous)
		c, err := g.CreateCampaign(ctx, gatewaytest.Operator, school, trip(func(c *gateway.CampaignContent) {
			c.Instalments = []gateway.NewInstalment{{Amount: 1000, DueDate: "2026-12-15"}, {Amount: 2000, DueDate: "2026-12-31"}}
		}))
		if err != nil {
			t.Fatal(err)
		}
		remind := func() gateway.CampaignWork {
			t.Helper()
			got, err := g.RemindCampaign(ctx, head, school, c.ID)
			if err != nil {
				t.Fatal(err)
			}
			return got.Work
		}
		if _, err := g.RemindCampaign(ctx, head, school, c.ID); !errors.Is(err, gateway.ErrCampaignState) {
			t.Errorf("reminded of a draft: %v", err)
		}
		if _, err := g.PublishCampaign(ctx, head, school, c.ID); err != nil {
			t.Fatal(err)
		}
		var mine []gateway.Notice
		for _, n := range notices(t, g, c) {
			if n.Debtor.Code == gatewaytest.PupilCode {
				mine = append(mine, n)
			}
		}
		// One mail for a plan; p2 has no payer.
		w := remind()
		if w.Acted != 1 || w.Reasons[gateway.SkipUnreachable] != 1 || w.Skipped != 1 {
			t.Errorf("reminded: %+v", w)
		}
		if w := remind(); w.Acted != 0 || w.Reasons[gateway.SkipReminded] != 1 {
			t.Errorf("reminded twice in a day: %+v", w)
		}
		g.Time.Advance(24 * time.Hour)
		account.MailConsent = false
		if err := g.Store.Update(ctx, func(tx gateway.Tx) error { return tx.SaveAccount(account) }); err != nil {
			t.Fatal(err)
		}
		if w := remind(); w.Acted != 0 || w.Reasons[gateway.SkipUnreachable] != 2 {
			t.Errorf("reminded against their will: %+v", w)
		}
		account.MailConsent = true
		if err := g.Store.Update(ctx, func(tx gateway.Tx) error { return tx.SaveAccount(account) }); err != nil {
			t.Fatal(err)
		}
		// Once one instalment is paid the next one is what is to be paid.
		g.Settle(mine[1], "")
		if w := remind(); w.Acted != 1 {
			t.Errorf("reminded of the second instalment: %+v", w)
		}
		var asked bool
		if err := g.Store.View(ctx, func(tx gateway.Tx) (err error) {
			asked, err = tx.AskedReminder(gateway.NoticeRef{School: school, Number: mine[2].Number}, gateway.DateIn(g.Now()))
			return err
		}); err != nil || !asked {
			t.Errorf("the second instalment: %t, %v", asked, err)
		}
		// The gateway's own reminder does not come on top of it.
		g.Time.Advance(33 * 24 * time.Hour) // 27 December: due in four days
		if w := remind(); w.Acted != 1 {
			t.Errorf("reminded again: %+v", w)
		}
		before := outboxOf(t, g, "event")
		if _, err := g.Remind(ctx); err != nil {
			t.Fatal(err)
		}
		// p2's single option and second instalment are told of; whether anybody gets
		// a mail is decided later.
		if n := outboxOf(t, g, "event") - before; n != 2 {
			t.Errorf("%d reminders of the gateway's own, want 2", n)
		}
		g.Time.Advance(10 * 24 * time.Hour)
		if w := remind(); w.Acted != 0 || w.Reasons[gateway.SkipExpired] == 0 {
			t.Errorf("reminded of what cannot be paid: %+v", w)
		}
	})
}

func outboxOf(t *testing.T, g *gatewaytest.Gateway, kind string) int {
	t.Helper()
	all, err := g.Store.OutboxStats(t.Context(), g.Now())
	if err != nil {
		t.Fatal(err)
	}
	return all[kind].Pending
}

// Staff and other adults are asked when they are meant, and no teacher goes on a
// trip as a pupil of the class.
func TestCampaignRecipients(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	school := gatewaytest.SchoolCode
	for id, p := range map[string]gateway.Pupil{
		"maria": {Class: "3B"}, "luca": {Class: "3C"}, "prof": {Class: "3B", Kind: gateway.KindStaff}, "ata": {Kind: gateway.KindStaff},
		"corso": {Kind: gateway.KindAdult},
	} {
		p.School, p.ID, p.Code, p.FirstName, p.LastName, p.SchoolYear = school, id, gatewaytest.PupilCode, id, "Prova", "2026/27"
		if err := g.PutPupil(t.Context(), gatewaytest.Operator, p); err != nil {
			t.Fatal(err)
		}
	}
	for name, test := range map[string]struct {
		change func(*gateway.CampaignContent)
		want   string
	}{
		"a class":               {func(c *gateway.CampaignContent) { c.Classes = []string{"3B"} }, "maria"},
		"all":                   {func(c *gateway.CampaignContent) { c.Whole = true }, "luca maria"},
		"staff":                 {func(c *gateway.CampaignContent) { c.Staff = true }, "ata prof"},
		"adults":                {func(c *gateway.CampaignContent) { c.Adults = true }, "corso"},
		"everybody":             {func(c *gateway.CampaignContent) { c.Whole, c.Staff, c.Adults = true, true, true }, "ata corso luca maria prof"},
		"a class and staff":     {func(c *gateway.CampaignContent) { c.Classes, c.Staff = []string{"3C"}, true }, "ata luca prof"},
		"a class and one of it": {func(c *gateway.CampaignContent) { c.Classes, c.Pupils = []string{"3B"}, []string{"maria", "prof"} }, "maria prof"},
	} {
		c, err := g.CreateCampaign(t.Context(), gatewaytest.Operator, school, trip(func(c *gateway.CampaignContent) {
			c.Classes = nil
			test.change(c)
		}))
		if err == nil {
			c, err = g.PublishCampaign(t.Context(), gatewaytest.Operator, school, c.ID)
		}
		var got []string
		for _, n := range notices(t, g, c) {
			got = append(got, strings.TrimSuffix(n.Debtor.Name, " Prova"))
			events, err := g.Events(t.Context(), school, n.Number)
			if err != nil || len(events) != 1 || events[0].Campaign != c.ID {
				t.Errorf("%s: history %+v, %v", name, events, err)
			}
		}
		slices.Sort(got)
		if err != nil || strings.Join(got, " ") != test.want || c.Work.Total != len(got) {
			t.Errorf("%s asks %v of %d, %v; want %s", name, got, c.Work.Total, err, test.want)
		}
	}
}
