// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/money"
)

func refund(id, receipt string) gateway.Refund {
	return gateway.Refund{
		School: schoolA, ID: id, Receipt: receipt, Notice: nr(1), Amount: 650, Reason: "gita annullata", IBAN: "IT60X0542811101000000123456",
		Holder: "Laura Bianchi", State: gateway.RefundRequested, RequestedBy: user, CreatedAt: Now(), ChangedAt: Now(), Version: 1,
	}
}

// unnumbered leaves out what the store numbers.
func unnumbered(list ...gateway.Refund) []gateway.Refund {
	list = slices.Clone(list)
	for i := range list {
		list[i].Seq = 0
	}
	return list
}

func refunds(w world) {
	n := notice(schoolA, 1)
	w.add(n)
	other := gateway.Actor{Kind: "client", Name: "ngc_2"}
	first, second, third := refund("f-1", "r-1"), refund("f-2", "r-1"), refund("f-3", "r-1")
	second.IBAN, second.Holder = "", ""
	third.State, third.DecidedBy, third.Execution = gateway.RefundApproved, other, gateway.ExecutionSchool
	third.Amount, second.Amount = 1, 2
	w.update(func(tx gateway.Tx) error {
		return errors.Join(settle(tx, n, receipt(n, "r-1")), tx.InsertRefund(first), tx.InsertRefund(second), tx.InsertRefund(third))
	})
	list := func(f gateway.RefundFilter) []gateway.Refund {
		return read(w, func(tx gateway.Tx) ([]gateway.Refund, error) { return tx.Refunds(schoolA, f) })
	}
	all := list(gateway.RefundFilter{})
	equal(w, "Refunds, newest first", unnumbered(all...), []gateway.Refund{third, second, first})
	equal(w, "Refunds in a state", unnumbered(list(gateway.RefundFilter{State: gateway.RefundApproved})...), []gateway.Refund{third})
	equal(w, "Refunds of another receipt", len(list(gateway.RefundFilter{Receipt: "r-2"})), 0)
	equal(w, "Refunds, one", unnumbered(list(gateway.RefundFilter{Limit: 1, Receipt: "r-1"})...), []gateway.Refund{third})
	equal(w, "Refunds before", unnumbered(list(gateway.RefundFilter{Before: all[0].Seq})...), []gateway.Refund{second, first})
	w.view(func(tx gateway.Tx) error {
		got, err := tx.RefundsOfReceipt(schoolA, "r-1")
		equal(w, "RefundsOfReceipt, oldest first", unnumbered(got...), []gateway.Refund{first, second, third})
		foreign, err2 := tx.Refunds(schoolB, gateway.RefundFilter{})
		equal(w, "Refunds of another school", len(foreign), 0)
		_, err3 := tx.Refund(schoolB, "f-1")
		w.wants("Refund of another school", err3, gateway.ErrNotFound)
		return errors.Join(err, err2)
	})

	first.State, first.Execution, first.DecidedBy, first.RequestedBy = gateway.RefundApproved, gateway.ExecutionWaiting, other, gateway.ActorSystem
	first.Reason, first.IBAN, first.Holder = "altro", "", ""
	first.ChangedAt, first.Version = Now().Add(time.Minute), 2
	w.update(func(tx gateway.Tx) error {
		if err := errors.Join(tx.LockReceipt(schoolA, "r-1"), tx.SaveRefund(first)); err != nil {
			return err
		}
		w.wants("LockReceipt unknown", tx.LockReceipt(schoolA, "r-9"), gateway.ErrNotFound)
		w.wants("LockReceipt of another school", tx.LockReceipt(schoolB, "r-1"), gateway.ErrNotFound)
		w.wants("SaveRefund of the same version", tx.SaveRefund(first), gateway.ErrConflict)
		return nil
	})
	got := read(w, func(tx gateway.Tx) (gateway.Refund, error) { return tx.Refund(schoolA, "f-1") })
	equal(w, "Refund saved", unnumbered(got)[0], first)

	back := func(school gateway.SchoolCode, receipts ...string) map[string]money.Cents {
		return read(w, func(tx gateway.Tx) (map[string]money.Cents, error) { return tx.RefundedOf(school, receipts) })
	}
	equal(w, "RefundedOf before anything was executed", len(back(schoolA, "r-1")), 0)
	done, second2 := first, third
	done.State, done.Version = gateway.RefundExecuted, 3
	second2.State, second2.Version = gateway.RefundExecuted, 2
	w.update(func(tx gateway.Tx) error { return errors.Join(tx.SaveRefund(done), tx.SaveRefund(second2)) })
	equal(w, "RefundedOf", back(schoolA, "r-1", "r-2"), map[string]money.Cents{"r-1": 651})
	equal(w, "RefundedOf no receipts", len(back(schoolA)), 0)
	equal(w, "RefundedOf another school's", len(back(schoolB, "r-1")), 0)

	// A reason is free text: nothing of it stands in the clear.
	for _, c := range w.column(w.raw(), "refunds", "reason") {
		equal(w, "reason in the clear", c, "")
	}
	// What was told of it stands in the history.
	e := gateway.Event{School: schoolA, Number: nr(1), Kind: gateway.EventRefundChanged, Actor: other, Receipt: "r-1", Refund: "f-1", RefundState: gateway.RefundApproved, At: Now()}
	w.update(func(tx gateway.Tx) error { return tx.AppendEvents(e) })
	events := read(w, func(tx gateway.Tx) ([]gateway.Event, error) { return tx.Events(schoolA, nr(1)) })
	last := events[len(events)-1]
	last.Seq = 0
	equal(w, "event", last, e)
}

// oldRefunds are those that the version before asks for while this one runs.
func oldRefunds(w world) {
	n := notice(schoolA, 1)
	w.add(n)
	w.update(func(tx gateway.Tx) error { return settle(tx, n, receipt(n, "r-1")) })
	when := "'2026-11-23T08:00:00.000000Z'"
	_, err := w.raw().ExecContext(w.Context(), `
INSERT INTO refunds (school, id, receipt, amount_cents, reason, state, requested_by, created_at, changed_at)
VALUES ('`+string(schoolA)+`', 'f-0', 'r-1', 1650, 'double_payment', 'requested', 'system', `+when+`, `+when+`)`)
	if err != nil {
		w.Fatal(err)
	}
	at := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	want := gateway.Refund{
		School: schoolA, ID: "f-0", Receipt: "r-1", Notice: nr(1), Amount: 1650, Reason: "double_payment", State: gateway.RefundRequested,
		RequestedBy: gateway.ActorSystem, CreatedAt: at, ChangedAt: at, Version: 1,
	}
	got := read(w, func(tx gateway.Tx) (gateway.Refund, error) { return tx.Refund(schoolA, "f-0") })
	equal(w, "Refund", unnumbered(got)[0], want)
}

func pspRefunds(w world) {
	n := notice(schoolA, 1)
	w.add(n)
	const attempts = 4
	f := refund("f-1", "r-1")
	f.Attempt = "a-1"
	w.update(func(tx gateway.Tx) error {
		errs := []error{settle(tx, n, receipt(n, "r-1"))}
		for i := range attempts {
			id := fmt.Sprint(i)
			a := attempt("a-"+id, "c-"+id)
			a.State = gateway.AttemptFailed
			errs = append(errs, tx.InsertCart(cart("c-"+id, n)), tx.InsertAttempt(a, nil))
		}
		return errors.Join(append(errs, tx.InsertRefund(f))...)
	})
	order := func(i int) gateway.PSPRefund {
		return gateway.PSPRefund{
			Attempt: fmt.Sprint("a-", i), PSP: "BANK", State: gateway.PSPRefundAsking,
			AskAt: Now().Add(time.Duration(i) * time.Minute), CreatedAt: Now(), ChangedAt: Now(),
		}
	}
	w.update(func(tx gateway.Tx) error {
		for i := range attempts {
			if err := tx.InsertPSPRefund(order(i)); err != nil {
				return err
			}
		}
		w.wants("InsertPSPRefund again", tx.InsertPSPRefund(order(1)), gateway.ErrConflict)
		_, err := tx.PSPRefund("a-9")
		w.wants("PSPRefund unknown", err, gateway.ErrNotFound)
		return nil
	})
	one := order(1)
	f.AtPSP = &one
	got := read(w, func(tx gateway.Tx) (gateway.Refund, error) { return tx.Refund(schoolA, "f-1") })
	equal(w, "Refund at its PSP", unnumbered(got)[0], f)

	claim := func(now time.Time, limit int) (ids []string) {
		w.update(func(tx gateway.Tx) error {
			ids = nil
			list, err := tx.ClaimPSPRefunds(now, now.Add(time.Hour), limit)
			for _, p := range list {
				equal(w, "claimed until", p.AskAt, now.Add(time.Hour))
				ids = append(ids, p.Attempt)
			}
			return err
		})
		return ids
	}
	equal(w, "ClaimPSPRefunds", claim(Now().Add(time.Minute), 1), []string{"a-0"})
	equal(w, "ClaimPSPRefunds goes on", claim(Now().Add(time.Minute), 10), []string{"a-1"})
	equal(w, "ClaimPSPRefunds, none twice", len(claim(Now().Add(time.Minute), 10)), 0)
	done := order(1)
	done.State, done.Asked, done.AskAt, done.ChangedAt = gateway.PSPRefundDone, 3, time.Time{}, Now().Add(time.Minute)
	w.update(func(tx gateway.Tx) error { return tx.SavePSPRefund(done) })
	equal(w, "PSPRefund", read(w, func(tx gateway.Tx) (gateway.PSPRefund, error) { return tx.PSPRefund("a-1") }), done)

	// Many at once, each gets its own.
	var mu sync.Mutex
	var all []string
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			ids := claim(Now().Add(24*time.Hour), 1)
			mu.Lock()
			defer mu.Unlock()
			all = append(all, ids...)
		})
	}
	wg.Wait()
	slices.Sort(all)
	equal(w, "claimed by many", strings.Join(all, " "), "a-0 a-2 a-3")
}
