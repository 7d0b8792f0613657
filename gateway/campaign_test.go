// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
	"github.com/nodogate/nodogate/gateway/money"
)

var head = gateway.Actor{Kind: "client", Name: "preside"}

func trip(change func(*gateway.CampaignContent)) gateway.CampaignContent {
	c := gateway.CampaignContent{
		Kind: gateway.CampaignAssigned, Title: "Gita", Description: "Gita a Lucca", Amount: 3000, DueDate: "2026-12-31", Classes: []string{"3B"},
		Deduction: "e-bis",
	}
	if change != nil {
		change(&c)
	}
	return c
}

func enrol(t *testing.T, g *gatewaytest.Gateway, school gateway.SchoolCode, id, class string, code gateway.FiscalCode) {
	t.Helper()
	err := g.Store.Update(t.Context(), func(tx gateway.Tx) error {
		return tx.PutPupil(gateway.Pupil{School: school, ID: id, Code: code, FirstName: "Pupil", LastName: "Prova", Class: class, SchoolYear: "2026/27"})
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestCampaignIsPublishedOncePerPupil(t *testing.T) {
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		ctx, school := context.Background(), g.Issue().School
		enrol(t, g, school, "c-1", "3B", "RSSMRA80A01H501U")
		enrol(t, g, school, "c-2", "9Z", "RSSMRA80A01H501U")
		c, err := g.CreateCampaign(ctx, gatewaytest.Operator, school, trip(func(c *gateway.CampaignContent) {
			c.Instalments = []gateway.NewInstalment{{Amount: 1000, DueDate: "2026-12-15"}, {Amount: 2000, DueDate: "2026-12-31"}}
			c.Classes = []string{"3B", "none"}
		}))
		if err != nil {
			t.Fatal(err)
		}
		wantApproval(t, g, school, true)
		publish := func() (gateway.Campaign, error) { return g.PublishCampaign(ctx, gatewaytest.Operator, school, c.ID) }
		if _, err := publish(); !errors.Is(err, gateway.ErrCampaignWaits) {
			t.Errorf("published before its approval: %v", err)
		}
		if _, err := g.ApproveCampaign(ctx, gatewaytest.Operator, school, c.ID); !errors.Is(err, gateway.ErrCampaignOwn) {
			t.Errorf("approved by its author: %v", err)
		}
		if got, err := g.ApproveCampaign(ctx, head, school, c.ID); err != nil || got.State != gateway.CampaignApproved || got.ApprovedBy != head {
			t.Errorf("approved: %+v, %v", got, err)
		}
		// What was approved is what is published: changed, it waits again, and who
		// changed it is its author.
		rename := func(_ gateway.Campaign, in *gateway.CampaignContent) (bool, bool, error) {
			in.Title = "Lucca"
			return false, false, nil
		}
		if got, err := g.ChangeCampaign(ctx, head, school, c.ID, rename); err != nil || got.State != gateway.CampaignDraft || got.ApprovedBy != (gateway.Actor{}) {
			t.Errorf("changed after its approval: %+v, %v", got, err)
		}
		if _, err := publish(); !errors.Is(err, gateway.ErrCampaignWaits) {
			t.Errorf("published with another content than was approved: %v", err)
		}
		if _, err := g.ApproveCampaign(ctx, head, school, c.ID); !errors.Is(err, gateway.ErrCampaignOwn) {
			t.Errorf("approved by who changed it: %v", err)
		}
		if _, err := g.ApproveCampaign(ctx, gatewaytest.Operator, school, c.ID); err != nil {
			t.Error(err)
		}
		first, err := publish()
		if want := (gateway.CampaignTotals{Notices: 2, Issued: 3000}); err != nil || first.Totals != want || first.State != gateway.CampaignPublished {
			t.Fatalf("published: %+v, %v", first, err)
		}
		if same, err := publish(); err != nil || same.Version != first.Version || same.Totals != first.Totals {
			t.Errorf("published again: %+v, %v", same, err)
		}
		// A pupil who comes later gets a notice; the others keep theirs.
		enrol(t, g, school, "c-3", "3B", "RSSMRA80A01H501U")
		if more, err := publish(); err != nil || more.Totals.Notices != 4 || more.Totals.Issued != 6000 || more.Version != first.Version+1 {
			t.Errorf("published for a newcomer: %+v, %v", more, err)
		}
		if got, err := g.CloseCampaign(ctx, head, school, c.ID, false); err != nil || got.State != gateway.CampaignClosed || got.Totals.Notices != 4 {
			t.Errorf("closed: %+v, %v", got, err)
		}
		if _, err := publish(); !errors.Is(err, gateway.ErrCampaignState) {
			t.Errorf("published after it was closed: %v", err)
		}
	})
}

func TestVoluntaryCampaign(t *testing.T) {
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		ctx, school := context.Background(), g.Issue().School
		c, err := g.CreateCampaign(ctx, gatewaytest.Operator, school, trip(func(c *gateway.CampaignContent) {
			c.Kind, c.Classes, c.Free, c.Min, c.Deduction = gateway.CampaignVoluntary, nil, true, 500, "i-octies"
		}))
		if err != nil {
			t.Fatal(err)
		}
		open := func() bool {
			list, err := g.Contributions(ctx, school)
			if err != nil {
				t.Fatal(err)
			}
			return slices.ContainsFunc(list, func(x gateway.Contribution) bool { return x.ID == c.ID && x.Free && x.Min == 500 })
		}
		if open() {
			t.Error("a draft takes gifts")
		}
		for range 2 {
			if _, err := g.PublishCampaign(ctx, gatewaytest.Operator, school, c.ID); err != nil {
				t.Fatal(err)
			}
		}
		if !open() {
			t.Error("published, but takes no gifts")
		}
		service := ""
		list, err := g.Contributions(ctx, school)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range list {
			service = x.Service
		}
		give := func(name string) (gateway.Notice, error) {
			n, _, err := g.Demand(ctx, gatewaytest.Operator, gateway.Gift{Service: service, Code: "ANONIMO", Name: name, Amount: to(money.Cents(700))})
			return n, err
		}
		gift, err := give("Anna Verdi")
		if err != nil || gift.Campaign != c.ID {
			t.Fatalf("gift: %+v, %v", gift, err)
		}
		// Its text and its day change; its amounts do not.
		later, err := changed(g, school, c.ID, func(in *gateway.CampaignContent) { in.Description, in.DueDate = "Per la palestra", "2027-01-31" })
		if err != nil || later.Work.Acted != 1 {
			t.Errorf("changed: %+v, %v", later, err)
		}
		if n, err := give("Anna Neri"); err != nil || n.Description != "Per la palestra" || n.DueDate.String() != "2027-01-31" {
			t.Errorf("given after the change: %+v, %v", n, err)
		}
		if n := noticeOf(t, g, gift); n.Description != "Per la palestra" || n.DueDate.String() != "2027-01-31" {
			t.Errorf("the gift of before: %+v", n)
		}
		if _, err := changed(g, school, c.ID, func(in *gateway.CampaignContent) { in.Min = 1 }); !errors.Is(err, gateway.ErrCampaignPublished) {
			t.Errorf("another least amount: %v", err)
		}
		if _, err := g.RemindCampaign(ctx, head, school, c.ID); !errors.Is(err, gateway.ErrCampaignVoluntary) {
			t.Errorf("reminded of a gift: %v", err)
		}
		closed, err := g.CloseCampaign(ctx, gatewaytest.Operator, school, c.ID, true)
		if err != nil || open() || closed.Work.Acted != 2 || g.State(gift) != gateway.NoticeCancelled {
			t.Errorf("closed: %+v, %v, takes gifts %t", closed, err, open())
		}
		if _, err := give("Anna Bianchi"); !errors.Is(err, gateway.ErrContributionClosed) {
			t.Errorf("given after the end: %v", err)
		}
	})
}

func TestCampaignRefused(t *testing.T) {
	g := gatewaytest.New(t)
	school := g.Issue().School
	tests := map[string]struct {
		change func(*gateway.CampaignContent)
		want   string
	}{
		"no title":        {func(c *gateway.CampaignContent) { c.Title = "" }, "title length"},
		"no kind":         {func(c *gateway.CampaignContent) { c.Kind = "" }, "kind unknown"},
		"nobody asked":    {func(c *gateway.CampaignContent) { c.Classes = nil }, "recipients required"},
		"a class and all": {func(c *gateway.CampaignContent) { c.Whole = true }, "recipients required"},
		"a least amount":  {func(c *gateway.CampaignContent) { c.Min = 1 }, "free_amount unknown"},
		"instalments that add": {func(c *gateway.CampaignContent) {
			c.Instalments = []gateway.NewInstalment{{Amount: 1, DueDate: "2026-12-15"}, {Amount: 2, DueDate: "2026-12-31"}}
		}, "instalments sum"},
		"a gift from a class": {func(c *gateway.CampaignContent) { c.Kind = gateway.CampaignVoluntary }, "recipients unknown"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := g.CreateCampaign(t.Context(), head, school, trip(test.change))
			if !slices.Contains(wrongFields(err), test.want) {
				t.Errorf("wrong fields %v, %v; want %s", wrongFields(err), err, test.want)
			}
		})
	}
	c, err := g.CreateCampaign(t.Context(), head, school, trip(func(c *gateway.CampaignContent) { c.Classes = []string{"empty"} }))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.PublishCampaign(t.Context(), head, school, c.ID); !slices.Equal(wrongFields(err), []string{"recipients unknown"}) {
		t.Errorf("published for nobody: %v", err)
	}
	if _, err := g.Campaign(t.Context(), "00000000000", c.ID); !errors.Is(err, gateway.ErrNotFound) {
		t.Errorf("another school's: %v", err)
	}
}
