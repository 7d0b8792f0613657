// SPDX-License-Identifier: Apache-2.0

package httpapi

import "testing"

const campaignJSON = `{"kind":"assigned","title":"Gita","description":"Gita a Lucca","amount_cents":3000,"due_date":"2027-06-30",
  "instalments":[{"amount_cents":1000,"due_date":"2027-05-31"},{"amount_cents":2000,"due_date":"2027-06-30"}],
  "recipients":{"classes":["3B"]},"deduction":"e-bis"}`

func TestCampaign(t *testing.T) {
	a := newAPI(t)
	as[Pupil](t, a.send("PUT", base+"/pupils/p1", a.school, pupilJSON()), 201)
	c := as[Campaign](t, a.post(base+"/campaigns", a.school, campaignJSON), 201)
	path := base + "/campaigns/" + c.ID
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
	if w := a.send("PATCH", path, a.school, `{"title":"x"}`); w.Code != 409 {
		t.Errorf("changed once published: %d", w.Code)
	}
	if c = as[Campaign](t, a.post(path+"/close", a.school, ""), 200); c.State != "closed" {
		t.Errorf("closed: %+v", c)
	}
	if w := a.post(path+"/publish", a.school, ""); w.Code != 409 {
		t.Errorf("published once closed: %d", w.Code)
	}
}
