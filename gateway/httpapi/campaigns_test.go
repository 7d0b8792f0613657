// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
	"github.com/nodogate/nodogate/gateway/notify"
)

const campaignJSON = `{"kind":"assigned","title":"Gita","description":"Gita a Lucca","amount_cents":3000,"due_date":"2027-06-30",
  "instalments":[{"amount_cents":1000,"due_date":"2027-05-31"},{"amount_cents":2000,"due_date":"2027-06-30"}],
  "recipients":{"classes":["3B"]},"deduction":"e-bis"}`

func TestCampaign(t *testing.T) {
	a := newAPI(t)
	as[Pupil](t, a.send("PUT", base+"/pupils/p1", a.school, pupilJSON()), 201)
	as[RegistryPayer](t, a.send("PUT", base+"/pupils/p1/payers/y1", a.school, payerJSON()), 201)
	c := as[Campaign](t, a.post(base+"/campaigns", a.school, campaignJSON), 201)
	path := base + "/campaigns/" + c.ID
	if list := as[CampaignPage](t, a.get(base+"/campaigns", a.school), 200); len(list.Items) != 1 || list.Items[0].ID != c.ID || list.NextCursor != "" {
		t.Errorf("the first page of campaigns: %+v", list)
	}
	as[Campaign](t, a.post(base+"/campaigns", a.school, campaignJSON), 201)
	page := as[CampaignPage](t, a.get(base+"/campaigns?limit=1", a.school), 200)
	if len(page.Items) != 1 || page.NextCursor == "" {
		t.Fatalf("one campaign a page: %+v", page)
	}
	if next := as[CampaignPage](t, a.get(base+"/campaigns?limit=1&cursor="+string(page.NextCursor), a.school), 200); len(next.Items) != 1 || next.Items[0].ID != c.ID {
		t.Errorf("the second page of campaigns: %+v", next)
	}
	if w := a.get(path, a.school); !strings.Contains(w.Body.String(), `"recipients":{"adults":false,"all":false,"classes":["3B"],"pupils":[],"staff":false}`) {
		t.Errorf("recipients of %s", w.Body)
	}
	if w := a.send("PATCH", path, a.school, `{"title":"x"}`, "If-Match", `"9"`); w.Code != 412 {
		t.Errorf("changed after somebody else: %d", w.Code)
	}
	c = as[Campaign](t, a.send("PATCH", path, a.school, `{"title":"Lucca"}`, "If-Match", `"1"`), 200)
	if c.Title != "Lucca" || c.Description != "Gita a Lucca" || c.Version != 2 || len(c.Instalments) != 2 {
		t.Errorf("changed: %+v", c)
	}
	if w := a.post(path+"/approve", a.school, ""); w.Code != 403 {
		t.Errorf("approved by its author: %d", w.Code)
	}
	for range 2 {
		c = as[Campaign](t, a.post(path+"/publish", a.school, ""), 200)
		if want := (CampaignTotals{Notices: 2, IssuedCents: 3000}); c.Totals != want || c.State != "published" || c.Version != 3 {
			t.Errorf("published: %+v", c)
		}
	}
	if list := as[NoticePage](t, a.get(base+"/notices?campaign="+c.ID, a.school), 200); len(list.Items) != 3 {
		t.Errorf("%d notices of the campaign, want a single option and two instalments", len(list.Items))
	}
	if p := c.Progress; p == nil || p.Task != "publish" || p.State != "done" || p.Done != 1 || p.Total != 1 {
		t.Errorf("progress: %+v", p)
	}
	for body, want := range map[string]string{
		`{"amount_cents":1}`:                   "409 campaign_published",
		`{"recipients":{"all":true}}`:          "409 campaign_published",
		`{"due_date":"2027-06-29"}`:            "400 invalid_request",
		`{"needs_approval":true}`:              "400 invalid_request",
		`{"title":"x","description":"\u0000"}`: "400 invalid_request",
	} {
		w := a.send("PATCH", path, a.school, body)
		if got := fmt.Sprintf("%d %s", w.Code, as[Problem](t, w, w.Code).Code); got != want {
			t.Errorf("PATCH %s: %s, want %s", body, got, want)
		}
	}
	c = as[Campaign](t, a.send("PATCH", path, a.school, `{"title":"Pisa","due_date":"2027-07-31"}`, "If-Match", `"3"`), 200)
	if c.Title != "Pisa" || c.DueDate != "2027-07-31" || c.Version != 4 || c.Progress.Task != "change" || c.Progress.Acted != 1 || c.Progress.Total != 3 {
		t.Errorf("changed once published: %+v, %+v", c, c.Progress)
	}
	r := as[CampaignReminders](t, a.post(path+"/reminders", a.school, ""), 200)
	if want := (CampaignReminders{Queued: 1, State: "done"}); r != want {
		t.Errorf("reminders = %+v, want %+v", r, want)
	}
	r = as[CampaignReminders](t, a.post(path+"/reminders", a.school, "{}"), 200)
	if want := (CampaignReminders{Skipped: 1, Reasons: SkippedNotices{RemindedToday: 1}, State: "done"}); r != want {
		t.Errorf("reminders a second time = %+v, want %+v", r, want)
	}
	c = as[Campaign](t, a.post(path+"/close", a.school, `{"cancel_unpaid":true}`), 200)
	if c.State != "closed" || c.Progress.Task != "close" || c.Progress.Acted != 3 || c.Progress.Skipped != 0 || c.Totals.Notices != 0 {
		t.Errorf("closed: %+v, %+v", c, c.Progress)
	}
	if w := a.post(path+"/publish", a.school, ""); w.Code != 409 {
		t.Errorf("published once closed: %d", w.Code)
	}
	expect(t, a.send("PATCH", path, a.school, `{"title":"x"}`), 409, "campaign_state")
	expect(t, a.post(path+"/close", a.school, `{"cancel_unpaid":"yes"}`), 400, "invalid_request", "cancel_unpaid type")
}

// A school that wants it has each campaign approved by another client first.
func TestCampaignIsApproved(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	as[Pupil](t, a.send("PUT", base+"/pupils/p1", a.school, pupilJSON()), 201)
	s := as[School](t, a.send("PATCH", base, a.admin, `{"campaigns_need_approval":true,"town":"Grosseto"}`), 200)
	if !s.CampaignsNeedApproval || string(s.Town) != "Grosseto" {
		t.Errorf("school = %+v", s)
	}
	c := as[Campaign](t, a.post(base+"/campaigns", a.school, campaignJSON), 201)
	path := base + "/campaigns/" + c.ID
	expect(t, a.post(path+"/publish", a.school, ""), 409, "campaign_waiting")
	expect(t, a.post(path+"/approve", a.school, ""), 403, "campaign_own")
	head, secret := a.g.Client(gatewaytest.SchoolCode, gateway.ScopeCampaignsApprove, gateway.ScopeCampaignsWrite)
	as[Campaign](t, a.post(path+"/approve", a.token(head, secret), ""), 200)
	if c := as[Campaign](t, a.post(path+"/publish", a.school, ""), 200); c.State != "published" {
		t.Errorf("published: %+v", c)
	}
	s = as[School](t, a.send("PATCH", base, a.admin, `{"campaigns_need_approval":false}`), 200)
	if s.CampaignsNeedApproval || string(s.Town) != "Grosseto" {
		t.Errorf("school = %+v", s)
	}
	c = as[Campaign](t, a.post(base+"/campaigns", a.school, campaignJSON), 201)
	as[Campaign](t, a.post(base+"/campaigns/"+c.ID+"/publish", a.school, ""), 200)
}

// Campaigns are listed newest first, page by page.
func TestCampaignsAreListed(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	var want, got []string
	for range 3 {
		want = append(want, as[Campaign](t, a.post(base+"/campaigns", a.school, campaignJSON), 201).ID)
	}
	slices.Reverse(want)
	for path := base + "/campaigns?limit=2"; path != ""; {
		page := as[CampaignPage](t, a.get(path, a.school), 200)
		for _, c := range page.Items {
			got = append(got, c.ID)
		}
		if path = ""; page.NextCursor != "" {
			path = base + "/campaigns?limit=2&cursor=" + string(page.NextCursor)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("listed %v, want %v", got, want)
	}
}

// The notices of many pupils are issued behind the answer.
func TestCampaignIsPublishedBehindTheAnswer(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	must(t, a.g.Store.Update(t.Context(), func(tx gateway.Tx) error {
		for i := range 60 {
			p := gateway.Pupil{School: gatewaytest.SchoolCode, ID: strconv.Itoa(i), Code: gatewaytest.PupilCode, FirstName: "Maria", LastName: "Rossi", Class: "3B", SchoolYear: "2026/27"}
			if err := tx.PutPupil(p); err != nil {
				return err
			}
		}
		return nil
	}))
	body := `{"kind":"assigned","title":"Assicurazione","description":"Assicurazione","amount_cents":850,"due_date":"2027-06-30","recipients":{"all":true}}`
	c := as[Campaign](t, a.post(base+"/campaigns", a.school, body), 201)
	path := base + "/campaigns/" + c.ID
	key := []string{"Idempotency-Key", "publish-1"}
	w := a.post(path+"/publish", a.school, "", key...)
	c = as[Campaign](t, w, 202)
	if p := c.Progress; c.State != "published" || p.State != "running" || p.Done != 50 || p.Total != 60 || w.Header().Get("Location") != path {
		t.Errorf("published: %+v, Location %q", p, w.Header().Get("Location"))
	}
	if again := a.post(path+"/publish", a.school, "", key...); again.Code != 202 || again.Body.String() != w.Body.String() {
		t.Errorf("the same request again: %d", again.Code)
	}
	expect(t, a.post(path+"/close", a.school, ""), 409, "campaign_busy")
	worker, err := notify.New(notify.Config{Outbox: a.g.Store, Service: a.g.Service, Mailer: nobody{}, From: "no-reply@pagamenti.example"})
	must(t, err)
	_, err = worker.Once(t.Context())
	must(t, err)
	if c = as[Campaign](t, a.get(path, a.school), 200); c.Progress.State != "done" || c.Progress.Done != 60 || c.Totals.Notices != 60 {
		t.Errorf("at the end: %+v, %+v", c.Progress, c.Totals)
	}
}

// nobody gets no mails.
type nobody struct{}

func (nobody) Send(context.Context, notify.Mail) error { return nil }

// Staff are told from pupils in the registry, by PUT and by table.
func TestKindsOfPeople(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	if p := as[Pupil](t, a.send("PUT", base+"/pupils/p1", a.school, pupilJSON()), 201); p.Kind != "pupil" {
		t.Errorf("kind = %q", p.Kind)
	}
	if p := as[Pupil](t, a.send("PUT", base+"/pupils/p1", a.school, pupilJSON("kind", `"staff"`)), 200); p.Kind != "staff" {
		t.Errorf("kind = %q", p.Kind)
	}
	expect(t, a.send("PUT", base+"/pupils/p1", a.school, pupilJSON("kind", `"teacher"`)), 400, "invalid_request", "kind unknown")
	table := func(body string, want int) {
		t.Helper()
		if w := a.post(base+"/registry/imports", a.school, body, "Content-Type", "text/csv"); w.Code != want {
			t.Errorf("table: %d %s, want %d", w.Code, w.Body, want)
		}
	}
	// Without the column who is there stays what he is.
	table("matricola;cf;nome;cognome\np1;RSSMRA10A41H501F;Maria Anna;Rossi\n", 200)
	table("matricola;cf;nome;cognome;tipo\np2;RSSMRA80A01H501U;Mario;Rossi;Adulto\np3;RSSMRA10A41H501F;Maria;Rossi;\n", 200)
	table("matricola;cf;nome;cognome;tipo\np4;RSSMRA80A01H501U;Mario;Rossi;bidello?\n", 400)
	for kind, want := range map[string]string{"staff": "p1", "adult": "p2", "pupil": "p3"} {
		if list := as[PupilPage](t, a.get(base+"/pupils?kind="+kind, a.school), 200); len(list.Items) != 1 || list.Items[0].ID != want || list.Items[0].Kind != kind {
			t.Errorf("%s: %+v", kind, list.Items)
		}
	}
	c := as[Campaign](t, a.post(base+"/campaigns", a.school, `{"kind":"assigned","title":"Corso","description":"Corso sulla sicurezza","amount_cents":500,"due_date":"2027-06-30","recipients":{"staff":true}}`), 201)
	c = as[Campaign](t, a.post(base+"/campaigns/"+c.ID+"/publish", a.school, ""), 200)
	if !c.Recipients.Staff || c.Totals.Notices != 1 {
		t.Errorf("campaign of the staff: %+v", c)
	}
	n := as[NoticePage](t, a.get(base+"/notices?campaign="+c.ID, a.school), 200).Items[0]
	if e := as[EventPage](t, a.get(base+"/notices/"+n.Number+"/events", a.school), 200); len(e.Items) != 1 || string(e.Items[0].Campaign) != c.ID {
		t.Errorf("history: %+v", e)
	}
}
