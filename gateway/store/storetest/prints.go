// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"errors"
	"time"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/iuv"
)

func prints(w world) {
	job := func(school gateway.SchoolCode, id string) gateway.Print {
		return gateway.Print{
			School: school, ID: id, State: gateway.PrintRunning, Format: gateway.PrintZIP, Language: "de", Title: "3B",
			Numbers: []iuv.Number{nr(1), nr(2)}, Actor: user, CreatedAt: Now(),
		}
	}
	a, b, other := job(schoolA, "a"), job(schoolA, "b"), job(schoolB, "c")
	w.update(func(tx gateway.Tx) error {
		return errors.Join(tx.InsertPrint(a), tx.InsertPrint(b), tx.InsertPrint(other), tx.InsertUploadPart(schoolA, "file", 0, []byte("%PDF"), Now()))
	})
	equal(w, "print", read(w, func(tx gateway.Tx) (gateway.Print, error) { return tx.Print(schoolA, "a") }), a)
	equal(w, "prints of a school", read(w, func(tx gateway.Tx) (int, error) { return tx.CountPrints(schoolA) }), 2)
	w.view(func(tx gateway.Tx) error {
		_, err := tx.Print(schoolB, "a")
		w.wants("another school's print", err, gateway.ErrNotFound)
		return nil
	})

	// Claimed in their order, each by one, until the lease ends.
	claim := func(owner string, now time.Time, want string) {
		w.Helper()
		w.update(func(tx gateway.Tx) error {
			got, err := tx.ClaimPrint(owner, now, now.Add(time.Minute))
			if want == "" {
				w.wants("ClaimPrint of none", err, gateway.ErrNotFound)
				return nil
			}
			if got.ID != want || got.Lease != owner || !got.LeaseUntil.Equal(now.Add(time.Minute)) {
				w.Errorf("ClaimPrint = %s of %s until %s, want %s", got.ID, got.Lease, got.LeaseUntil, want)
			}
			return err
		})
	}
	claim("one", Now(), "a")
	claim("two", Now(), "b")
	claim("two", Now(), "c")
	claim("three", Now(), "")
	claim("three", Now().Add(time.Minute), "a")
	w.update(func(tx gateway.Tx) error {
		done, err := tx.LockPrint(schoolA, "a")
		equal(w, "tries", done.Tries, 2)
		done.State, done.Printed, done.Skipped, done.File.ID, done.File.Size = gateway.PrintDone, 1, 1, "file", 4
		done.FinishedAt, done.ExpiresAt, done.LeaseUntil = Now(), Now().Add(time.Hour), time.Time{}
		err = errors.Join(err, tx.SavePrint(done))
		got, err2 := tx.Print(schoolA, "a")
		equal(w, "saved print", got, done)
		return errors.Join(err, err2)
	})
	claim("four", Now().Add(time.Hour), "b")

	// What expired goes with its file; what runs stays.
	w.update(func(tx gateway.Tx) error { return tx.DropPrints(Now().Add(time.Hour - time.Second)) })
	equal(w, "prints kept", read(w, func(tx gateway.Tx) (int, error) { return tx.CountPrints(schoolA) }), 2)
	w.update(func(tx gateway.Tx) error { return tx.DropPrints(Now().Add(time.Hour)) })
	equal(w, "prints left", read(w, func(tx gateway.Tx) (int, error) { return tx.CountPrints(schoolA) }), 1)
	w.view(func(tx gateway.Tx) error {
		_, err := tx.UploadPart(schoolA, "file", 0)
		w.wants("the file of an expired print", err, gateway.ErrNotFound)
		return nil
	})
	w.update(func(tx gateway.Tx) error {
		w.wants("SavePrint of none", tx.SavePrint(a), gateway.ErrNotFound)
		return nil
	})
}
