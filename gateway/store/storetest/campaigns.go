// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"errors"
	"math"
	"reflect"
	"time"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/iuv"
)

func campaign(id string) gateway.Campaign {
	return gateway.Campaign{
		CampaignContent: gateway.CampaignContent{
			Kind: gateway.CampaignAssigned, Title: "Gita", Description: "Gita a Lucca", Amount: 3000, DueDate: "2026-12-31",
			Classes: []string{"3B"}, Pupils: []string{"p-1"},
		},
		School: schoolA, ID: id, State: gateway.CampaignDraft, Author: gateway.Actor{Kind: "client", Name: "office"},
		CreatedAt: Now(), ChangedAt: Now(), Version: 1,
	}
}

func campaigns(w world) {
	c, other := campaign("gita"), campaign("mensa")
	w.update(func(tx gateway.Tx) error { return errors.Join(tx.InsertCampaign(c), tx.InsertCampaign(other)) })
	w.update(func(tx gateway.Tx) error {
		got, err := tx.LockCampaign(schoolA, "gita")
		if c.Seq = got.Seq; err != nil || !reflect.DeepEqual(got, c) {
			w.Errorf("LockCampaign = %+v, %v; want %+v", got, err, c)
		}
		c.State, c.Title, c.ApprovedBy = gateway.CampaignApproved, "Gita a Siena", gateway.Actor{Kind: "client", Name: "head"}
		c.Author.Name = "another"
		c.Work = gateway.CampaignWork{
			Task: gateway.TaskClose, State: gateway.WorkRunning, Actor: c.Author, Done: 2, Total: 3, Acted: 1, Skipped: 1,
			Reasons: map[gateway.SkipReason]int{gateway.SkipInPayment: 1}, Left: []iuv.Number{refs(1)[0].Number}, Before: 7,
		}
		c.ChangedAt, c.Version = Now().Add(time.Hour), 2
		none := c
		none.ID = "none"
		w.wants("SaveCampaign of none", tx.SaveCampaign(none), gateway.ErrNotFound)
		_, err = tx.LockCampaign(schoolA, "none")
		w.wants("LockCampaign of none", err, gateway.ErrNotFound)
		return tx.SaveCampaign(c)
	})
	w.view(func(tx gateway.Tx) error {
		if got, err := tx.Campaign(schoolA, "gita"); err != nil || !reflect.DeepEqual(got, c) {
			w.Errorf("Campaign = %+v, %v; want %+v", got, err, c)
		}
		_, err := tx.Campaign(schoolB, "gita")
		w.wants("another school's campaign", err, gateway.ErrNotFound)
		if list, err := tx.Campaigns(schoolA, math.MaxInt64, 9); err != nil || len(list) != 2 || list[0].ID != "mensa" {
			w.Errorf("Campaigns = %+v, %v", list, err)
		}
		if list, err := tx.Campaigns(schoolA, c.Seq+1, 9); err != nil || len(list) != 1 || !reflect.DeepEqual(list[0], c) {
			w.Errorf("Campaigns before the second = %+v, %v", list, err)
		}
		return nil
	})
}

// What is unpaid of a campaign, newest first, and who is reminded of it.
func campaignUnpaid(w world) {
	at := func(i int, state gateway.NoticeState, campaign string) gateway.Notice {
		n := notice(schoolA, i)
		n.State, n.Campaign = state, campaign
		return n
	}
	open, expired := at(1, gateway.NoticeOpen, "gita"), at(2, gateway.NoticeExpired, "gita")
	w.add(open, expired, at(3, gateway.NoticeCancelled, "gita"), at(4, gateway.NoticeDraft, "gita"), at(5, gateway.NoticeOpen, "mensa"), at(6, gateway.NoticeOpen, ""))
	w.view(func(tx gateway.Tx) error {
		list, err := tx.UnpaidOfCampaign(schoolA, "gita", 0, 9)
		if err != nil || len(list) != 2 || list[0].Number != expired.Number || list[1].Number != open.Number {
			w.Fatalf("UnpaidOfCampaign = %v, %v", list, err)
		}
		if next, err := tx.UnpaidOfCampaign(schoolA, "gita", list[0].Seq, 9); err != nil || len(next) != 1 || next[0] != list[1] {
			w.Errorf("UnpaidOfCampaign, next page = %v, %v", next, err)
		}
		for _, c := range []struct {
			school   gateway.SchoolCode
			campaign string
			want     int
		}{{schoolA, "gita", 2}, {schoolA, "mensa", 1}, {schoolA, "", 0}, {schoolB, "gita", 0}} {
			if n, err := tx.CountUnpaid(c.school, c.campaign); err != nil || n != c.want {
				w.Errorf("CountUnpaid(%s, %q) = %d, %v; want %d", c.school, c.campaign, n, err, c.want)
			}
		}
		return nil
	})
}

// A notice is reminded of once a day, whoever asked for it.
func askedReminders(w world) {
	w.add(notice(schoolA, 1), notice(schoolA, 2))
	first, second := refs(1)[0], refs(2)[0]
	today := gateway.DateIn(Now())
	mark := func(ref gateway.NoticeRef, when time.Time, want bool) {
		w.Helper()
		w.update(func(tx gateway.Tx) error {
			if got, err := tx.MarkAskedReminder(ref, gateway.DateIn(when), when); err != nil || got != want {
				w.Errorf("MarkAskedReminder(%s, %s) = %t, %v; want %t", ref.Number, when, got, err, want)
			}
			return nil
		})
	}
	mark(first, Now(), true)
	mark(first, Now().Add(time.Minute), false)
	mark(first, Now().AddDate(0, 0, 1), true)
	w.update(func(tx gateway.Tx) error {
		_, err := tx.MarkReminded(gateway.Reminder{NoticeRef: second, Due: today.AddDays(3)}, Now())
		return err
	})
	mark(second, Now().Add(time.Minute), false)
	mark(second, Now().AddDate(0, 0, 1), true)
	w.view(func(tx gateway.Tx) error {
		for _, c := range []struct {
			ref  gateway.NoticeRef
			day  gateway.Date
			want bool
		}{{first, today, true}, {first, today.AddDays(2), false}, {second, today, false}, {second, today.AddDays(1), true}} {
			if got, err := tx.AskedReminder(c.ref, c.day); err != nil || got != c.want {
				w.Errorf("AskedReminder(%s, %s) = %t, %v", c.ref.Number, c.day, got, err)
			}
		}
		return nil
	})
}

// Staff and adults stay what they are wherever they are read, and are found.
func personKinds(w world) {
	people := map[string]gateway.Pupil{}
	for id, kind := range map[string]gateway.PersonKind{"k-1": gateway.KindPupil, "k-2": gateway.KindStaff, "k-3": gateway.KindAdult} {
		people[id] = gateway.Pupil{School: schoolA, ID: id, Kind: kind, Code: pupilCode, FirstName: "Mario", LastName: "Rossi", Class: "5Z", SchoolYear: "2026/27"}
	}
	w.update(func(tx gateway.Tx) error {
		first := people["k-2"]
		first.Kind = gateway.KindAdult // and then another
		return errors.Join(tx.PutPupil(people["k-1"]), tx.PutPupil(first), tx.PutPupil(people["k-2"]), tx.PutPupil(people["k-3"]))
	})
	w.view(func(tx gateway.Tx) error {
		for id, want := range people {
			if got, err := tx.Pupil(schoolA, id); err != nil || got != want {
				w.Errorf("Pupil(%s) = %+v, %v; want %+v", id, got, err, want)
			}
			list, err := tx.PupilRecords(schoolA, gateway.PupilFilter{Class: "5Z", Kind: want.Kind.Name()})
			if err != nil || len(list) != 1 || list[0].ID != id || list[0].Kind != want.Kind {
				w.Errorf("PupilRecords of kind %s = %+v, %v", want.Kind.Name(), list, err)
			}
		}
		list, err := tx.PupilsOfClass(schoolA, "5Z")
		if err != nil || len(list) != 3 || list[1] != people["k-2"] {
			w.Errorf("PupilsOfClass = %+v, %v", list, err)
		}
		return nil
	})
}
