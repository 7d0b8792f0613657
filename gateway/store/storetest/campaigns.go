// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"errors"
	"math"
	"reflect"
	"time"

	"github.com/nodogate/nodogate/gateway"
)

func campaign(id string) gateway.Campaign {
	return gateway.Campaign{
		CampaignContent: gateway.CampaignContent{
			Kind: gateway.CampaignAssigned, Title: "Gita", Description: "Gita a Lucca", Amount: 3000, DueDate: "2026-12-31",
			Classes: []string{"3B"}, Pupils: []string{"p-1"}, NeedsApproval: true,
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
