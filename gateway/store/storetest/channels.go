// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"errors"
	"math"
	"slices"
	"time"

	"github.com/nodogate/nodogate/gateway"
)

// What waits for one receiver is not held up by what waits for another.
func outboxTargets(w world) {
	to := func(id, target, aggregate string) gateway.Message {
		m := message(id, aggregate)
		m.Kind, m.Target = "webhook", target
		return m
	}
	w.update(func(tx gateway.Tx) error {
		return tx.Enqueue(message("m-0", "A/1"), to("m-1", "one", "A/1"), to("m-2", "one", "A/1"), to("m-3", "two", "A/1"), to("m-4", "two", "A/2"))
	})
	targets := func(want ...string) {
		w.Helper()
		list, err := w.Targets(w.Context(), "webhook")
		if err != nil {
			w.Fatal(err)
		}
		equal(w, "Targets", list, want)
	}
	claim := func(kind, target string, want ...string) {
		w.Helper()
		list, err := w.ClaimMessages(w.Context(), kind, target, Now(), time.Minute, 10)
		if err != nil {
			w.Fatal(err)
		}
		var got []string
		for _, m := range list {
			if m.Kind != kind || m.Target != target {
				w.Errorf("claimed %s of %s %q", m.ID, m.Kind, m.Target)
			}
			got = append(got, m.ID)
		}
		equal(w, "claimed", got, want)
	}
	targets("one", "two")
	claim("webhook", "")
	claim("webhook", "one", "m-1")
	claim("webhook", "two", "m-3", "m-4")
	claim("event", "", "m-0")
	for _, id := range []string{"m-3", "m-4"} {
		w.wants("FinishMessage", w.FinishMessage(w.Context(), id, Now()), nil)
	}
	targets("one")
	w.wants("ParkMessage", w.ParkMessage(w.Context(), "m-1", Now()), nil)
	w.wants("FinishMessage", w.FinishMessage(w.Context(), "m-2", Now()), nil)
	targets()
}

func archive(w world) {
	n := notice(schoolA, 1)
	w.add(n)
	get := func(tx gateway.Tx) (gateway.ArchivePosition, error) { return tx.ArchivePosition(schoolA, n.Number) }
	equal(w, "ArchivePosition, told nothing", read(w, get), gateway.ArchivePosition{School: schoolA, Number: n.Number})
	p := gateway.ArchivePosition{
		School: schoolA, Number: n.Number, State: gateway.ArchiveAsked, Version: 3, DueDate: due, Lapses: true, ChangedAt: Now(),
	}
	for _, state := range []gateway.ArchiveState{gateway.ArchiveAsked, gateway.ArchiveOpen, gateway.ArchiveClosed, gateway.ArchiveRefused} {
		p.State, p.Version, p.Lapses, p.Code, p.ChangedAt = state, p.Version+1, !p.Lapses, p.Code+100, p.ChangedAt.Add(time.Second)
		w.update(func(tx gateway.Tx) error { return tx.PutArchivePosition(p) })
		equal(w, "ArchivePosition", read(w, get), p)
		count := read(w, func(tx gateway.Tx) (int, error) { return tx.CountArchiveRefused() })
		if want := map[bool]int{true: 1}[state == gateway.ArchiveRefused]; count != want {
			w.Errorf("%d refused, want %d", count, want)
		}
	}
}

func webhooks(w world) {
	one, two := webhook("w-1"), webhook("w-2")
	w.update(func(tx gateway.Tx) error { return errors.Join(tx.InsertWebhook(one), tx.InsertWebhook(two)) })
	get := func(id string) gateway.Webhook {
		w.Helper()
		h := read(w, func(tx gateway.Tx) (gateway.Webhook, error) { return tx.Webhook(schoolA, id) })
		h.Seq = 0
		return h
	}
	equal(w, "Webhook", get("w-1"), one)
	list := func(before int64, limit int, want ...string) (seq int64) {
		w.Helper()
		var ids []string
		for _, h := range read(w, func(tx gateway.Tx) ([]gateway.Webhook, error) { return tx.Webhooks(schoolA, before, limit) }) {
			ids, seq = append(ids, h.ID), h.Seq
		}
		equal(w, "Webhooks", ids, want)
		return seq
	}
	list(math.MaxInt64, 10, "w-2", "w-1")
	list(list(math.MaxInt64, 1, "w-2"), 10, "w-1")
	one.Keys, one.Events, one.Version, one.ChangedAt = one.Keys[:1], one.Events[1:], 2, Now().Add(time.Minute)
	w.update(func(tx gateway.Tx) error {
		if _, err := tx.LockWebhook(schoolA, "w-1"); err != nil {
			return err
		}
		return tx.SaveWebhook(one)
	})
	equal(w, "Webhook, saved", get("w-1"), one)
	w.update(func(tx gateway.Tx) error {
		_, err := tx.Webhook(schoolB, "w-1")
		w.wants("Webhook of another school", err, gateway.ErrNotFound)
		_, err = tx.LockWebhook(schoolB, "w-1")
		w.wants("LockWebhook of another school", err, gateway.ErrNotFound)
		w.wants("DeleteWebhook of another school", tx.DeleteWebhook(schoolB, "w-1"), gateway.ErrNotFound)
		return tx.Enqueue(delivery("d-1", "w-1"), delivery("d-2", "w-2"))
	})
	w.update(func(tx gateway.Tx) error {
		err := tx.AddDeliveryTry(schoolA, "d-1", gateway.DeliveryTry{Try: 1, At: Now()})
		return errors.Join(err, tx.DeleteWebhook(schoolA, "w-1"))
	})
	list(math.MaxInt64, 10, "w-2")
	w.view(func(tx gateway.Tx) error {
		_, err := tx.Delivery(schoolA, "d-1")
		w.wants("Delivery of a webhook that is gone", err, gateway.ErrNotFound)
		_, err = tx.Delivery(schoolA, "d-2")
		return err
	})
	// Of a worker that was at it meanwhile.
	w.update(func(tx gateway.Tx) error {
		return tx.AddDeliveryTry(schoolA, "d-1", gateway.DeliveryTry{Try: 2, At: Now()})
	})
	w.wants("FinishMessage of what is gone", w.FinishMessage(w.Context(), "d-1", Now()), nil)
}

func deliveries(w world) {
	tries := []gateway.DeliveryTry{
		{Try: 1, At: Now(), Code: 503, Duration: 1200 * time.Millisecond, Problem: "it answered 503", Answer: "busy"},
		{Try: 2, At: Now().Add(time.Minute), Code: 204, Duration: 3 * time.Millisecond},
	}
	w.update(func(tx gateway.Tx) error {
		return errors.Join(tx.InsertWebhook(webhook("w-1")), tx.Enqueue(message("m-1", "A/1"), delivery("d-1", "w-1"), delivery("d-2", "w-2"), delivery("d-3", "w-1")),
			tx.AddDeliveryTry(schoolA, "d-1", tries[0]), tx.AddDeliveryTry(schoolA, "d-1", tries[1]), tx.AddDeliveryTry(schoolA, "d-1", tries[1]))
	})
	list := func(school gateway.SchoolCode, before int64, want ...string) []gateway.Delivered {
		w.Helper()
		var ids []string
		found := read(w, func(tx gateway.Tx) ([]gateway.Delivered, error) { return tx.Deliveries(school, "w-1", before, 10) })
		for _, d := range found {
			ids = append(ids, d.ID)
		}
		equal(w, "Deliveries", ids, want)
		return found
	}
	found := list(schoolA, math.MaxInt64, "d-3", "d-1")
	list(schoolA, found[0].Seq, "d-1")
	list(schoolB, math.MaxInt64)
	want := gateway.Delivered{
		ID: "d-1", School: schoolA, Webhook: "w-1", Seq: found[1].Seq, Aggregate: "A/1", Payload: delivery("", "").Payload,
		CreatedAt: Now(), RunAt: Now(), Log: tries,
	}
	equal(w, "Deliveries", found[1], want)
	w.wants("FinishMessage", w.FinishMessage(w.Context(), "d-1", Now()), nil)
	w.wants("ParkMessage", w.ParkMessage(w.Context(), "d-3", Now()), nil)
	get := func(id string) (d gateway.Delivered, err error) {
		w.view(func(tx gateway.Tx) error { d, err = tx.Delivery(schoolA, id); return nil })
		return d, err
	}
	if d, err := get("d-1"); err != nil || !d.DoneAt.Equal(Now()) || !d.ParkedAt.IsZero() {
		w.Errorf("Delivery, done: %+v, %v", d, err)
	}
	if d, err := get("d-3"); err != nil || !d.DoneAt.IsZero() || !d.ParkedAt.Equal(Now()) {
		w.Errorf("Delivery, parked: %+v, %v", d, err)
	}
	_, err := get("m-1")
	w.wants("Delivery of a message of another kind", err, gateway.ErrNotFound)
	for _, c := range []struct {
		after time.Duration
		gone  []string
	}{{7*24*time.Hour - time.Second, nil}, {7 * 24 * time.Hour, []string{"d-1"}}, {30 * 24 * time.Hour, []string{"d-1", "d-3"}}} {
		w.wants("DropExpired", w.DropExpired(w.Context(), Now().Add(c.after)), nil)
		for _, id := range []string{"d-1", "d-2", "d-3"} {
			if _, err := get(id); errors.Is(err, gateway.ErrNotFound) != slices.Contains(c.gone, id) {
				w.Errorf("after %s, Delivery %s: %v", c.after, id, err)
			}
		}
	}
}

func outboxParked(w world) {
	ctx, later := w.Context(), Now().Add(time.Hour)
	w.update(func(tx gateway.Tx) error {
		return tx.Enqueue(message("m-1", "A/1"), message("m-2", "A/1"), message("m-3", "A/2"), delivery("d-1", "w-1"))
	})
	for _, id := range []string{"m-1", "m-3", "d-1"} {
		w.wants("ParkMessage", w.ParkMessage(ctx, id, Now()), nil)
	}
	parked := func(want ...string) {
		w.Helper()
		list, err := w.ParkedMessages(ctx, "event", 10)
		if err != nil {
			w.Fatal(err)
		}
		var ids []string
		for _, p := range list {
			ids = append(ids, p.ID)
			if p.Kind != "event" || p.School != schoolA || len(p.Payload) != 0 || !p.ParkedAt.Equal(Now()) || !p.At.Equal(Now()) {
				w.Errorf("parked %+v", p)
			}
		}
		equal(w, "ParkedMessages", ids, want)
	}
	retry := func(id string, want int64) {
		w.Helper()
		if n, err := w.RetryParked(ctx, "event", id, later); n != want || err != nil {
			w.Errorf("RetryParked(%q) = %d, %v, want %d", id, n, err, want)
		}
	}
	parked("m-1", "m-3")
	retry("m-2", 0)
	retry("d-1", 0)
	retry("m-1", 1)
	parked("m-3")
	// It is before the one behind it again, and its tries are counted anew.
	list, err := w.ClaimMessages(ctx, "event", "", later, time.Minute, 10)
	if err != nil || len(list) != 1 || list[0].ID != "m-1" || list[0].Tries != 1 {
		w.Errorf("claimed %+v, %v", list, err)
	}
	retry("", 1)
	parked()
}

func unmirrored(w world) {
	list := []gateway.Notice{notice(schoolA, 1), notice(schoolA, 2), notice(schoolA, 3), notice(schoolA, 4), notice(schoolA, 5), notice(schoolB, 1)}
	list[3].State = gateway.NoticeCancelled
	w.add(list...)
	position := func(n gateway.Notice, state gateway.ArchiveState) gateway.ArchivePosition {
		return gateway.ArchivePosition{School: n.School, Number: n.Number, State: state, Version: 1, DueDate: due, Lapses: true, Code: 409, ChangedAt: Now()}
	}
	w.update(func(tx gateway.Tx) error {
		return errors.Join(tx.PutArchivePosition(position(list[0], gateway.ArchiveOpen)), tx.PutArchivePosition(position(list[1], gateway.ArchiveRefused)))
	})
	get := func(after int64, limit int) []gateway.Unmirrored {
		w.Helper()
		return read(w, func(tx gateway.Tx) ([]gateway.Unmirrored, error) { return tx.UnmirroredNotices(schoolA, after, limit) })
	}
	found := get(0, 2)
	if len(found) != 2 || found[1].Number != list[2].Number || found[1].State != "" || found[1].DueDate != due {
		w.Fatalf("UnmirroredNotices = %+v", found)
	}
	equal(w, "a refused position", found[0].ArchivePosition, position(list[1], gateway.ArchiveRefused))
	if rest := get(found[1].Seq, 10); len(rest) != 1 || rest[0].Number != list[4].Number {
		w.Errorf("UnmirroredNotices, after = %+v", rest)
	}
}
