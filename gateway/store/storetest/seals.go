// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/receipts"
)

// sealer is the domain over this store.
func (w world) sealer() *gateway.Service {
	w.Helper()
	svc, err := gateway.New(gateway.Config{Store: w.DB, Clock: gateway.NewClock(Now, time.Time{}), PublicURL: &url.URL{Scheme: "http", Host: "localhost"}})
	if err != nil {
		w.Fatal(err)
	}
	return svc
}

// paid makes notices of the school and their receipts r-1, r-2, ...
func (w world) paid(school gateway.SchoolCode, count int) {
	w.Helper()
	for i := range count {
		n := notice(school, i+1)
		w.add(n)
		w.update(func(tx gateway.Tx) error { return settle(tx, n, receipt(n, fmt.Sprintf("r-%d", i+1))) })
	}
}

func seals(w world) {
	w.paid(schoolA, 2)
	w.paid(schoolB, 1)
	waiting := read(w, func(tx gateway.Tx) ([]gateway.Receipt, error) { return tx.UnsealedReceipts(2) })
	if len(waiting) != 2 || waiting[0].ID != "r-1" || waiting[1].ID != "r-2" || waiting[1].School != schoolA || waiting[1].Digest == [32]byte{} {
		w.Fatalf("UnsealedReceipts = %+v, want the two that came first", waiting)
	}
	equal(w, "LastSeal of none", read(w, func(tx gateway.Tx) (gateway.Seal, error) { return tx.LastSeal(schoolA) }), gateway.Seal{})
	one := receipts.Link{School: string(schoolA), Sequence: 1, Receipt: "r-1", Digest: waiting[0].Digest}
	two := receipts.Link{School: string(schoolA), Sequence: 2, Receipt: "r-2", Digest: waiting[1].Digest, Previous: one.Hash()}
	w.update(func(tx gateway.Tx) error { return tx.AppendSeals(one, two) })
	for name, l := range map[string]receipts.Link{
		"the place": {School: string(schoolA), Sequence: 2, Receipt: "r-9", Digest: one.Digest},
		"a receipt": {School: string(schoolA), Sequence: 3, Receipt: "r-2", Digest: one.Digest},
	} {
		err := w.Update(w.Context(), func(tx gateway.Tx) error { return tx.AppendSeals(l) })
		w.wants("AppendSeals of what has "+name+" already", err, gateway.ErrConflict)
	}
	equal(w, "LastSeal", read(w, func(tx gateway.Tx) (gateway.Seal, error) { return tx.LastSeal(schoolA) }), gateway.Seal{Sequence: 2, Hash: two.Hash()})
	got := read(w, func(tx gateway.Tx) (gateway.Receipt, error) { return tx.Receipt(schoolA, "r-2") })
	equal(w, "Seal", got.Seal, &gateway.Seal{Sequence: 2, Hash: two.Hash()})
	list := read(w, func(tx gateway.Tx) ([]gateway.SealedReceipt, error) { return tx.Seals(schoolA, 1, 10) })
	if len(list) != 1 || list[0].Link != two || list[0].Hash != two.Hash() || list[0].Problem != nil || list[0].Stored == nil || list[0].Stored.ID != "r-2" || len(list[0].Stored.Raw) == 0 {
		w.Errorf("Seals = %+v, want the second with its receipt", list)
	}
	waiting = read(w, func(tx gateway.Tx) ([]gateway.Receipt, error) { return tx.UnsealedReceipts(9) })
	if len(waiting) != 1 || waiting[0].School != schoolB {
		w.Errorf("UnsealedReceipts = %+v, want the other school's", waiting)
	}
	if since, err := w.UnsealedSince(w.Context()); err != nil || !since.Equal(Now()) {
		w.Errorf("UnsealedSince = %s, %v, want %s", since, err, Now())
	}
	w.update(func(tx gateway.Tx) error {
		return tx.AppendSeals(receipts.Link{School: string(schoolB), Sequence: 1, Receipt: "r-1", Digest: waiting[0].Digest})
	})
	if since, err := w.UnsealedSince(w.Context()); err != nil || !since.IsZero() {
		w.Errorf("UnsealedSince = %s, %v, want none", since, err)
	}
}

// Any number of processes seal: the chain has every receipt once.
func sealersRace(w world) {
	w.paid(schoolA, 40)
	svc := w.sealer()
	var g sync.WaitGroup
	for range 4 {
		g.Go(func() {
			if _, _, err := svc.SealReceipts(w.Context()); err != nil {
				w.Error(err)
			}
		})
	}
	g.Wait()
	report, err := svc.VerifySeals(w.Context(), schoolA, gateway.Seal{})
	if err != nil || report.Head.Sequence != 40 || report.Waiting != 0 {
		w.Errorf("VerifySeals = %+v, %v, want 40 sealed", report, err)
	}
}

// What is done to the database behind our back is found. The triggers are out of
// the way: whoever does such a thing can do that too.
func sealsSeeBreaks(w world) {
	w.paid(schoolA, 4)
	svc := w.sealer()
	if _, _, err := svc.SealReceipts(w.Context()); err != nil {
		w.Fatal(err)
	}
	w.paid(schoolB, 1) // waits: no break
	whole, err := svc.VerifySeals(w.Context(), schoolA, gateway.Seal{})
	if err != nil || whole.Head.Sequence != 4 {
		w.Fatalf("VerifySeals = %+v, %v", whole, err)
	}
	if report, err := svc.VerifySeals(w.Context(), schoolB, gateway.Seal{}); err != nil || report.Head.Sequence != 0 || report.Waiting != 1 {
		w.Fatalf("VerifySeals = %+v, %v, want one that waits", report, err)
	}
	db := w.raw()
	db.SetMaxOpenConns(1)
	do := func(statement string) {
		w.Helper()
		if _, err := db.ExecContext(w.Context(), statement); err != nil {
			w.Fatalf("%s: %v", statement, err)
		}
	}
	for _, trigger := range []string{"receipts_kept ON receipts", "receipts_kept_whole ON receipts", "receipts_to_be_sealed ON receipts", "seals_kept ON seals", "seals_kept_whole ON seals"} {
		name, _, _ := strings.Cut(trigger, " ")
		if w.sqlite() {
			do("DROP TRIGGER " + name)
		} else {
			do("DROP TRIGGER IF EXISTS " + trigger)
		}
	}
	of := func(id string) string { return ` WHERE school = '` + string(schoolA) + `' AND id = '` + id + `'` }
	same := func(column string) string {
		return `UPDATE receipts SET ` + column + ` = (SELECT ` + column + ` FROM receipts` + of("r-3") + `)` + of("r-2")
	}
	place := func(change, where string) string {
		return `UPDATE seals SET ` + change + ` WHERE school = '` + string(schoolA) + `' AND ` + where
	}
	broken := func(name string, known gateway.Seal, sequence int64, why string) {
		w.Helper()
		_, err := svc.VerifySeals(w.Context(), schoolA, known)
		var b *gateway.BrokenSealError
		if !errors.As(err, &b) || b.Sequence != sequence || !strings.Contains(b.Why, why) {
			w.Errorf("%s: %v, want a break at place %d: %s", name, err, sequence, why)
		}
	}
	for _, c := range []struct {
		name, tamper, why string
	}{
		{"other bytes", same("raw_enc"), "bytes are not"},
		{"another digest", same("digest"), "bytes are not"},
		{"other content", same("content_enc"), "does not say what it said"},
		{"bytes that do not open", `UPDATE receipts SET raw_enc = digest` + of("r-2"), "does not open"},
		{"another digest in the chain", place("digest = hash", "sequence = 2"), "its hash is not"},
		{"another link before", place("previous = digest", "sequence = 2"), "does not follow"},
		{"another hash", place("hash = digest", "sequence = 2"), "its hash is not"},
	} {
		do(`CREATE TEMPORARY TABLE kept_receipts AS SELECT * FROM receipts` + of("r-2"))
		do(`CREATE TEMPORARY TABLE kept_seals AS SELECT * FROM seals WHERE school = '` + string(schoolA) + `' AND sequence = 2`)
		do(c.tamper)
		broken(c.name, gateway.Seal{}, 2, c.why)
		for _, column := range []string{"raw_enc", "digest", "content_enc"} {
			do(`UPDATE receipts SET ` + column + ` = (SELECT ` + column + ` FROM kept_receipts)` + of("r-2"))
		}
		for _, column := range []string{"digest", "previous", "hash"} {
			do(place(column+" = (SELECT "+column+" FROM kept_seals)", "sequence = 2"))
		}
		for _, table := range []string{"kept_receipts", "kept_seals"} {
			do(`DROP TABLE ` + table)
		}
		if _, err := svc.VerifySeals(w.Context(), schoolA, whole.Head); err != nil {
			w.Fatalf("%s: what was put right again is broken: %v", c.name, err)
		}
	}

	// The end of a chain can be cut so that it still holds: only who kept its head
	// sees it.
	cut := func(id string, sequence int) {
		do(fmt.Sprintf(`DELETE FROM seals WHERE school = '%s' AND sequence = %d`, schoolA, sequence))
		do(`DELETE FROM receipts` + of(id))
	}
	cut("r-4", 4)
	if report, err := svc.VerifySeals(w.Context(), schoolA, gateway.Seal{}); err != nil || report.Head.Sequence != 3 {
		w.Errorf("a chain cut at its end: %+v, %v", report, err)
	}
	broken("a chain cut at its end, and its head was kept", whole.Head, 4, "was longer")
	broken("another head", gateway.Seal{Sequence: 3, Hash: whole.Head.Hash}, 3, "another hash here before")
	cut("r-2", 2)
	broken("one taken out", gateway.Seal{}, 2, "it is missing")
	do(`DELETE FROM seals WHERE school = '` + string(schoolA) + `' AND sequence = 3`)
	broken("a receipt outside", gateway.Seal{}, 0, "1 receipts stand outside")

	// The rules of the data hold at the end of every test.
	do(`UPDATE notices SET state = 'open', settled_by = '', paid_at = NULL WHERE settled_by IN ('r-2', 'r-4') AND school = '` + string(schoolA) + `'`)
	do(`INSERT INTO unsealed (school, receipt, seq) SELECT school, id, seq FROM receipts` + of("r-3"))
}
