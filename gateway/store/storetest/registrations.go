// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"crypto/sha256"
	"errors"
	"reflect"
	"time"

	"github.com/nodogate/nodogate/gateway"
)

func registrations(w world) {
	r := gateway.Registration{ID: "r-1", Code: payerCode, FirstName: "Laura", LastName: "Bianchi", Email: "laura@example.org", Language: "de", CreatedAt: Now(), ExpiresAt: Now().Add(time.Hour)}
	used := gateway.PasswordLink{ID: "l-1", Account: "acc", CreatedAt: Now(), ExpiresAt: Now().Add(time.Hour), UsedAt: Now()}
	open := gateway.PasswordLink{ID: "l-2", Account: "acc", CreatedAt: Now().Add(time.Second), ExpiresAt: Now().Add(time.Hour)}
	i := gateway.Invitation{Hash: sha256.Sum256([]byte("code")), School: schoolA, Payer: "y-1", By: user, CreatedAt: Now(), ExpiresAt: Now().Add(time.Hour)}
	laura := gateway.Payer{School: schoolA, ID: "y-1", Code: payerCode, FirstName: "Laura", LastName: "Bianchi", Email: "laura@example.org", Language: "it"}
	a := gateway.Account{ID: "acc-r", Username: "laura.bianchi", Code: payerCode, PasswordUntil: Now().Add(time.Hour), PasswordUsed: true, MustChange: true, CreatedAt: Now()}
	w.update(func(tx gateway.Tx) error {
		return errors.Join(tx.InsertRegistration(r), tx.InsertPasswordLink(used), tx.InsertPasswordLink(open), tx.PutPayer(laura),
			tx.InsertInvitation(i), tx.InsertIdentity("https://idp", "s-1", "acc-r", Now()), tx.InsertAccount(a))
	})
	w.update(func(tx gateway.Tx) error {
		w.wants("InsertIdentity again", tx.InsertIdentity("https://idp", "s-1", "other", Now()), gateway.ErrConflict)
		w.wants("SaveRegistration of none", tx.SaveRegistration(gateway.Registration{ID: "r-0"}), gateway.ErrNotFound)
		w.wants("SavePasswordLink of none", tx.SavePasswordLink(gateway.PasswordLink{ID: "l-0"}), gateway.ErrNotFound)
		w.wants("SaveInvitation of none", tx.SaveInvitation(gateway.Invitation{}), gateway.ErrNotFound)
		return nil
	})
	check := func() {
		w.Helper()
		w.view(func(tx gateway.Tx) error {
			got, err := tx.LockRegistration("r-1")
			link, err2 := tx.PasswordLink("l-2")
			was, err3 := tx.PasswordLink("l-1")
			inv, err4 := tx.Invitation(i.Hash)
			if err := errors.Join(err, err2, err3, err4); err != nil {
				return err
			}
			equal(w, "LockRegistration", got, r)
			equal(w, "PasswordLink", link, open)
			equal(w, "PasswordLink, used", was, used)
			equal(w, "Invitation", inv, i)
			return nil
		})
	}
	check()
	w.update(func(tx gateway.Tx) error {
		// It ends what is open, and that once; of the payer alone.
		later := gateway.Invitation{Hash: sha256.Sum256([]byte("later")), School: schoolA, Payer: "y-1", By: user, CreatedAt: Now().Add(time.Second), ExpiresAt: Now().Add(time.Hour)}
		other := gateway.Invitation{Hash: sha256.Sum256([]byte("hers")), School: schoolA, Payer: "y-2", By: user, CreatedAt: Now(), ExpiresAt: Now().Add(time.Hour)}
		if err := errors.Join(tx.InsertInvitation(later), tx.InsertInvitation(other), tx.EndInvitations(schoolB, "y-1", Now())); err != nil {
			return err
		}
		got, err := tx.LastInvitation(schoolA, "y-1")
		equal(w, "LastInvitation", got, later)
		err = errors.Join(err, tx.EndInvitations(schoolA, "y-1", Now().Add(time.Minute)), tx.EndInvitations(schoolA, "y-1", Now().Add(2*time.Minute)))
		later.ExpiresAt = Now().Add(time.Minute)
		got, err2 := tx.LastInvitation(schoolA, "y-1")
		equal(w, "LastInvitation, ended", got, later)
		got, err3 := tx.Invitation(other.Hash)
		equal(w, "Invitation of another payer", got, other)
		_, err4 := tx.LastInvitation(schoolB, "y-1")
		w.wants("LastInvitation of none", err4, gateway.ErrNotFound)
		i.ExpiresAt = Now().Add(time.Minute)
		return errors.Join(err, err2, err3)
	})
	w.update(func(tx gateway.Tx) error {
		err := errors.Join(tx.InsertHelpMail("laura@example.org", Now()), tx.InsertHelpMail("Laura@example.org", Now()), tx.InsertHelpMail("other@example.org", Now()))
		for since, want := range map[time.Time]int{Now(): 2, Now().Add(time.Microsecond): 0} {
			if n, err2 := tx.CountHelpMails("laura@example.org", since); err2 != nil || n != want {
				w.Errorf("CountHelpMails = %d, %v, want %d", n, err2, want)
			}
		}
		return err
	})
	r.Account, open.UsedAt, i.UsedAt = "acc-r", Now().Add(time.Minute), Now().Add(time.Minute)
	w.update(func(tx gateway.Tx) error {
		return errors.Join(tx.SaveRegistration(r), tx.SavePasswordLink(open), tx.SaveInvitation(i))
	})
	check()
	w.view(func(tx gateway.Tx) error {
		for _, c := range []struct {
			since time.Time
			want  int
		}{{Now().Add(time.Microsecond), 0}, {Now(), 1}} {
			if n, err := tx.CountRegistrations(payerCode, c.since); err != nil || n != c.want {
				w.Errorf("CountRegistrations = %d, %v; want %d", n, err, c.want)
			}
		}
		if n, err := tx.CountRegistrations(strangerCF, Now()); err != nil || n != 0 {
			w.Errorf("CountRegistrations of another = %d, %v", n, err)
		}
		if n, err := tx.CountPasswordLinks("acc", Now().Add(time.Second)); err != nil || n != 1 {
			w.Errorf("CountPasswordLinks = %d, %v; want 1", n, err)
		}
		if id, err := tx.AccountOfIdentity("https://idp", "s-1"); err != nil || id != "acc-r" {
			w.Errorf("AccountOfIdentity = %s, %v", id, err)
		}
		_, err := tx.AccountOfIdentity("https://other", "s-1")
		w.wants("AccountOfIdentity of another issuer", err, gateway.ErrNotFound)
		_, err = tx.LockRegistration("r-0")
		w.wants("LockRegistration of none", err, gateway.ErrNotFound)
		_, err = tx.PasswordLink("l-0")
		w.wants("PasswordLink of none", err, gateway.ErrNotFound)
		_, err = tx.Invitation(sha256.Sum256([]byte("other")))
		w.wants("Invitation of none", err, gateway.ErrNotFound)
		_, err = tx.Payer(schoolB, "y-1")
		w.wants("Payer of another school", err, gateway.ErrNotFound)
		_, err = tx.AccountByCode(strangerCF)
		w.wants("AccountByCode of none", err, gateway.ErrNotFound)
		if got, err := tx.AccountByCode(payerCode); err != nil || !reflect.DeepEqual(got, a) {
			w.Errorf("AccountByCode = %+v, %v; want %+v", got, err, a)
		}
		if got, err := tx.Payer(schoolA, "y-1"); err != nil || got != laura {
			w.Errorf("Payer = %+v, %v", got, err)
		}
		if got, err := tx.PayersByCode(payerCode); err != nil || len(got) != 1 || got[0] != laura {
			w.Errorf("PayersByCode = %+v, %v", got, err)
		}
		return nil
	})
}
