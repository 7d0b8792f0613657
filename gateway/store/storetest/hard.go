// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/store"
	"github.com/nodogate/nodogate/iuv"
	"github.com/nodogate/nodogate/receipts"
)

// What must hold when things fail, come at once, or are attacked.

var errStop = errors.New("stop")

func (w world) there(base int) bool {
	w.Helper()
	err := w.View(w.Context(), func(tx gateway.Tx) error {
		_, err := tx.Notice(schoolA, nr(base))
		return err
	})
	if err != nil && !errors.Is(err, gateway.ErrNotFound) {
		w.Fatal(err)
	}
	return err == nil
}

func put(tx gateway.Tx, base int) error {
	_, err := tx.InsertNotices([]gateway.Notice{notice(schoolA, base)})
	return err
}

func rollback(w world) {
	err := w.Update(w.Context(), func(tx gateway.Tx) error { return errors.Join(put(tx, 1), errStop) })
	w.wants("Update", err, errStop)
	func() {
		defer func() {
			if recover() == nil {
				w.Error("Update swallowed a panic")
			}
		}()
		_ = w.Update(w.Context(), func(tx gateway.Tx) error {
			if err := put(tx, 2); err != nil {
				return err
			}
			panic("stop")
		})
	}()
	ctx, cancel := context.WithCancel(w.Context())
	err = w.Update(ctx, func(tx gateway.Tx) error {
		defer cancel()
		return put(tx, 3)
	})
	w.wants("Update of a cancelled context", err, context.Canceled)
	w.update(func(tx gateway.Tx) error { return put(tx, 4) })
	for base, want := range map[int]bool{1: false, 2: false, 3: false, 4: true} {
		equal(w, fmt.Sprintf("notice %d is there", base), w.there(base), want)
	}
}

func nested(w world) {
	other := world{T: w.T, DB: OpenSQLite(w.T)}
	w.update(func(tx gateway.Tx) error {
		if err := put(tx, 1); err != nil {
			return err
		}
		err := w.Update(tx.Context(), func(in gateway.Tx) error {
			if _, err := in.Notice(schoolA, nr(1)); err != nil {
				w.Errorf("a part does not see the whole: %v", err)
			}
			return put(in, 2)
		})
		if err != nil {
			return err
		}
		err = w.View(tx.Context(), func(in gateway.Tx) error {
			_, err := in.Notice(schoolA, nr(2))
			return err
		})
		w.wants("a nested View", err, nil)
		// A part that fails leaves nothing, and the whole goes on.
		err = w.Update(tx.Context(), func(in gateway.Tx) error {
			return w.Update(in.Context(), func(in gateway.Tx) error { return errors.Join(put(in, 3), errStop) })
		})
		w.wants("a part that fails", err, errStop)
		// Another store's context is none of ours.
		return other.Update(tx.Context(), func(in gateway.Tx) error {
			_, err := in.Notice(schoolA, nr(1))
			w.wants("the other store's notice", err, gateway.ErrNotFound)
			return nil
		})
	})
	for base, want := range map[int]bool{1: true, 2: true, 3: false} {
		equal(w, fmt.Sprintf("notice %d is there", base), w.there(base), want)
	}
	// What a part did goes with the whole.
	err := w.Update(w.Context(), func(tx gateway.Tx) error {
		return errors.Join(w.Update(tx.Context(), func(in gateway.Tx) error { return put(in, 4) }), errStop)
	})
	w.wants("Update", err, errStop)
	equal(w, "notice 4 is there", w.there(4), false)
}

func viewSeesCommittedOnly(w world) {
	wrote, looked := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		w.wants("Update", w.Update(w.Context(), func(tx gateway.Tx) error {
			err := put(tx, 1)
			close(wrote)
			<-looked
			return err
		}), nil)
	})
	<-wrote
	equal(w, "notice of an open transaction is there", w.there(1), false)
	// One View is one reading, whatever is committed meanwhile.
	w.view(func(tx gateway.Tx) error {
		if _, err := tx.Schools(); err != nil {
			return err
		}
		close(looked)
		wg.Wait()
		_, err := tx.Notice(schoolA, nr(1))
		w.wants("Notice in an older reading", err, gateway.ErrNotFound)
		return nil
	})
	equal(w, "notice is there", w.there(1), true)
}

func viewCannotWrite(w world) {
	err := w.View(w.Context(), func(tx gateway.Tx) error { return put(tx, 1) })
	if err == nil || w.there(1) {
		w.Errorf("a View wrote: %v", err)
	}
}

func goesOnAfterAConflict(w world) {
	w.add(notice(schoolA, 1))
	w.update(func(tx gateway.Tx) error {
		c := cart("c-1", notice(schoolA, 1))
		if err := errors.Join(tx.InsertCart(c), tx.InsertAttempt(attempt("a-1", "c-1"), refs(1)), tx.InsertAccount(account("x", "laura", payerCode)), tx.InsertAccount(account("y", "mario", ""))); err != nil {
			return err
		}
		w.wants("InsertSchool", tx.InsertSchool(school(schoolA, "x")), gateway.ErrConflict)
		w.wants("InsertCart", tx.InsertCart(c), gateway.ErrConflict)
		w.wants("InsertAttempt", tx.InsertAttempt(attempt("a-2", "c-1"), refs(1)), gateway.ErrConflict)
		w.wants("InsertAccount", tx.InsertAccount(account("z", "laura", "")), gateway.ErrConflict)
		w.wants("SaveAccount", tx.SaveAccount(account("y", "laura", "")), gateway.ErrConflict)
		_, err := tx.LockNotice(schoolA, nr(9))
		w.wants("LockNotice", err, gateway.ErrNotFound)
		return put(tx, 2)
	})
	equal(w, "notice 2 is there", w.there(2), true)
}

func refs(bases ...int) []gateway.NoticeRef {
	var list []gateway.NoticeRef
	for _, b := range bases {
		list = append(list, gateway.NoticeRef{School: schoolA, Number: nr(b)})
	}
	return list
}

// atOnce runs fn n times side by side.
func atOnce(n int, fn func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { fn(i) })
	}
	wg.Wait()
}

func lockNoticeSerialises(w world) {
	w.add(notice(schoolA, 1))
	const writers, each = 8, 5
	atOnce(writers, func(int) {
		for range each {
			w.wants("Update", w.Update(w.Context(), func(tx gateway.Tx) error {
				n, err := tx.LockNotice(schoolA, nr(1))
				if err != nil {
					return err
				}
				n.Amount++
				n.Version++
				return tx.SaveNotice(n)
			}), nil)
		}
	})
	n := read(w, func(tx gateway.Tx) (gateway.Notice, error) { return tx.Notice(schoolA, nr(1)) })
	equal(w, "amount", int(n.Amount), 1650+writers*each)
	equal(w, "version", n.Version, 1+writers*each)
}

func accountLocks(w world) {
	a := account("acc-1", "laura", payerCode)
	a.Failures = 0
	w.update(func(tx gateway.Tx) error { return tx.InsertAccount(a) })
	atOnce(8, func(int) {
		w.wants("Update", w.Update(w.Context(), func(tx gateway.Tx) error {
			a, err := tx.Account("acc-1")
			if err != nil {
				return err
			}
			a.Failures++
			return tx.SaveAccount(a)
		}), nil)
	})
	got := read(w, func(tx gateway.Tx) (gateway.Account, error) { return tx.Account("acc-1") })
	equal(w, "failures", got.Failures, 8)
}

func twoAttemptsRace(w world) {
	const racers, rounds = 4, 5
	for round := range rounds {
		w.add(notice(schoolA, round))
		w.update(func(tx gateway.Tx) error {
			for i := range racers {
				if err := tx.InsertCart(cart(fmt.Sprint("c-", round, "-", i), notice(schoolA, round))); err != nil {
					return err
				}
			}
			return nil
		})
		errs := make([]error, racers)
		atOnce(racers, func(i int) {
			errs[i] = w.Update(w.Context(), func(tx gateway.Tx) error {
				return tx.InsertAttempt(attempt(fmt.Sprint("a-", round, "-", i), fmt.Sprint("c-", round, "-", i)), refs(round))
			})
		})
		won := 0
		for _, err := range errs {
			switch {
			case err == nil:
				won++
			case !errors.Is(err, gateway.ErrConflict):
				w.Errorf("InsertAttempt = %v", err)
			}
		}
		equal(w, "attempts that won", won, 1)
	}
}

func twoReceiptsRace(w world) {
	n := notice(schoolA, 1)
	w.add(n)
	const racers = 6
	inserted := make([]bool, racers)
	atOnce(racers, func(i int) {
		w.wants("Update", w.Update(w.Context(), func(tx gateway.Tx) error {
			n, err := tx.LockNotice(schoolA, n.Number)
			if err != nil {
				return err
			}
			r := receipt(n, "r-1") // the same natural key for all
			r.ID = fmt.Sprint("r-", i)
			if n.State == gateway.NoticePaid {
				inserted[i], err = tx.InsertReceipt(r)
				return err
			}
			inserted[i] = true
			return settle(tx, n, r)
		}), nil)
	})
	won := 0
	for _, ok := range inserted {
		if ok {
			won++
		}
	}
	equal(w, "receipts that got in", won, 1)
}

func lease(w world) {
	get := func(school string, s iuv.Segregation, n uint64) iuv.Lease {
		w.Helper()
		l, err := w.Lease(w.Context(), school, s, n)
		if err != nil {
			w.Fatal(err)
		}
		return l
	}
	one := get(string(schoolA), seg, 10)
	two := get(string(schoolA), seg, 5)
	otherSeg := get(string(schoolA), must(iuv.ParseSegregation("02")), 5)
	otherSchool := get(string(schoolB), seg, 5)
	if one.First != 0 || one.N != 10 || two.First != 10 || two.N != 5 || otherSeg.First != 0 || otherSchool.First != 0 {
		w.Errorf("leases start at %d, %d, %d, %d, want 0, 10, 0, 0", one.First, two.First, otherSeg.First, otherSchool.First)
	}
	if one.Key != two.Key || one.Key == otherSeg.Key || one.Key == otherSchool.Key || one.Key == [32]byte{} {
		w.Error("a place's key must stay, and be no other place's")
	}
	_, err := w.Lease(w.Context(), "00000000000", seg, 1)
	w.wants("Lease of an unknown school", err, gateway.ErrNotFound)

	// In a transaction the lease is part of it.
	err = w.Update(w.Context(), func(tx gateway.Tx) error {
		l, err := w.Lease(tx.Context(), string(schoolA), seg, 7)
		equal(w, "first counter leased in a transaction", l.First, 15)
		return errors.Join(err, errStop)
	})
	w.wants("Update", err, errStop)
	equal(w, "first counter after a rollback", get(string(schoolA), seg, 1).First, 15)
}

func noTwinNumbers(w world) {
	total, block := 1_000_000, uint64(1000)
	if raceEnabled {
		total, block = 40_000, 100
	}
	const processes = 8
	given := make([][]iuv.Number, processes)
	atOnce(processes, func(p int) {
		// An allocator each, as eight processes have; a few requests, some over
		// a block.
		allocator := iuv.NewAllocator(w.DB, block)
		for len(given[p]) < total/processes {
			numbers, err := allocator.Next(w.Context(), string(schoolA), seg, min(3333, total/processes-len(given[p])))
			if err != nil {
				w.Error(err)
				return
			}
			given[p] = append(given[p], numbers...)
		}
	})
	all := make(map[iuv.Number]struct{}, total)
	for _, list := range given {
		for _, n := range list {
			all[n] = struct{}{}
		}
	}
	equal(w, "distinct numbers", len(all), total)
}

func outboxOrder(w world) {
	ctx, now := w.Context(), Now()
	later := message("m-4", "A/4")
	later.At = now.Add(time.Minute)
	w.update(func(tx gateway.Tx) error {
		return tx.Enqueue(message("m-1", "A/1"), message("m-2", "A/1"), message("m-3", "A/2"), later)
	})
	claim := func(now time.Time, limit int, want ...string) []store.Claimed {
		w.Helper()
		list, err := w.ClaimMessages(ctx, "event", "", now, time.Minute, limit)
		if err != nil {
			w.Fatal(err)
		}
		var got []string
		for _, m := range list {
			got = append(got, fmt.Sprint(m.ID, "#", m.Tries))
		}
		equal(w, "claimed", got, want)
		return list
	}
	end := func(err error) {
		w.Helper()
		if err != nil {
			w.Fatal(err)
		}
	}
	stats := func(want store.OutboxStat) {
		w.Helper()
		m, err := w.OutboxStats(ctx, now.Add(time.Hour))
		end(err)
		equal(w, "OutboxStats", m["event"], want)
	}
	stats(store.OutboxStat{Pending: 4, Oldest: time.Hour})
	list := claim(now, 1, "m-1#1")
	equal(w, "message", list[0].Message, message("m-1", "A/1"))
	claim(now, 10, "m-3#1") // m-2 waits for m-1, m-4 for its time
	claim(now, 10)
	end(w.RetryMessage(ctx, "m-1", now.Add(5*time.Second)))
	claim(now.Add(4*time.Second), 10)
	claim(now.Add(5*time.Second), 10, "m-1#2")
	// Whoever dies loses the lease.
	claim(now.Add(time.Minute), 10, "m-3#2", "m-4#1")
	end(w.FinishMessage(ctx, "m-3", now))
	end(w.FinishMessage(ctx, "m-4", now))
	end(w.ParkMessage(ctx, "m-1", now))
	end(w.RetryMessage(ctx, "m-1", now)) // of a worker that woke up too late
	stats(store.OutboxStat{Pending: 1, Parked: 1, Oldest: time.Hour})
	claim(now.Add(time.Hour), 10, "m-2#1")
	end(w.FinishMessage(ctx, "m-2", now))
	claim(now.Add(24*time.Hour), 10)
	stats(store.OutboxStat{Parked: 1})
}

func outboxWorkers(w world) {
	const aggregates, each, workers = 6, 10, 4
	w.update(func(tx gateway.Tx) error {
		for i := range each {
			for a := range aggregates {
				if err := tx.Enqueue(message(fmt.Sprintf("m-%d-%02d", a, i), fmt.Sprint("A/", a))); err != nil {
					return err
				}
			}
		}
		return nil
	})
	var mu sync.Mutex
	done := map[string][]string{} // guarded by mu
	count := 0                    // guarded by mu
	atOnce(workers, func(int) {
		for w.Context().Err() == nil {
			list, err := w.ClaimMessages(w.Context(), "event", "", Now(), time.Minute, 3)
			if err != nil {
				w.Error(err)
				return
			}
			for _, m := range list {
				mu.Lock()
				done[m.Aggregate] = append(done[m.Aggregate], m.ID)
				count++
				mu.Unlock()
				w.wants("FinishMessage", w.FinishMessage(w.Context(), m.ID, Now()), nil)
			}
			mu.Lock()
			over := count >= aggregates*each
			mu.Unlock()
			if over {
				return
			}
		}
	})
	for a, ids := range done {
		if len(ids) != each || !slices.IsSorted(ids) {
			w.Errorf("%s was delivered as %v, want each once and in order", a, ids)
		}
	}
	equal(w, "aggregates", len(done), aggregates)
}

func onlyAdded(w world) {
	fill(w)
	db := w.raw()
	for _, statement := range []string{
		`UPDATE receipts SET anomaly = 'double_payment'`, `DELETE FROM receipts`,
		`UPDATE evidence SET kind = 'syntax'`, `DELETE FROM evidence`,
		`UPDATE events SET actor_name = 'x'`, `DELETE FROM events`,
		`UPDATE audit SET object = 'x'`, `DELETE FROM audit`,
		`UPDATE seals SET sequence = 9`, `DELETE FROM seals`,
	} {
		if _, err := db.ExecContext(w.Context(), statement); err == nil || !strings.Contains(err.Error(), "only added") {
			w.Errorf("%s = %v, want a refusal", statement, err)
		}
	}
}

// fill writes a row with personal data into every table that can hold some.
func fill(w world) {
	n, m := notice(schoolA, 1), notice(schoolA, 7)
	w.add(n, m)
	if _, err := w.Lease(w.Context(), string(schoolA), seg, 1); err != nil {
		w.Fatal(err)
	}
	p := gateway.Pupil{School: schoolA, ID: "p-1", Code: pupilCode, FirstName: "Mario", LastName: "Rossi", Class: "3B"}
	y := gateway.Payer{School: schoolA, ID: "y-1", Code: payerCode, FirstName: "Laura", LastName: "Bianchi", Email: "laura.bianchi@example.org"}
	acc := account("acc-1", "laura.bianchi", payerCode)
	w.update(func(tx gateway.Tx) error {
		return errors.Join(
			settle(tx, n, receipt(n, "r-1")), settle(tx, m, receipt(m, "r-7")),
			tx.AppendSeals(receipts.Link{School: string(schoolA), Sequence: 1, Receipt: "r-1", Digest: receipt(n, "r-1").Digest}),
			tx.InsertEvidence(gateway.Evidence{ID: "e-1", Kind: gateway.EvidenceSyntax, Raw: []byte("<a>RSSMRA80A01H501U</a>"), Received: Now()}),
			tx.InsertRefund(gateway.Refund{School: schoolA, ID: "f-1", Receipt: "r-1", Amount: 1, Reason: "di Mario", Holder: "Laura Bianchi", State: gateway.RefundRequested, CreatedAt: Now(), ChangedAt: Now(), Version: 1}),
			tx.InsertCart(cart("c-1", n)), tx.InsertAttempt(attempt("a-1", "c-1"), refs(1)),
			tx.InsertPSPRefund(gateway.PSPRefund{Attempt: "a-1", PSP: "BANK", State: gateway.PSPRefundDone, CreatedAt: Now(), ChangedAt: Now()}),
			tx.PutPupil(p), tx.PutPayer(y), tx.LinkPayer(gateway.Link{School: schoolA, Pupil: "p-1", Payer: "y-1", Relation: "mother", Since: Now(), By: user}),
			tx.InsertAccount(acc), tx.InsertLogin(gateway.Login{ID: "l-1", Account: acc.ID, Device: "Firefox", Since: Now(), Seen: Now()}, Now()),
			tx.PutEmailChange(gateway.EmailChange{Account: acc.ID, Email: "laura.bianchi@example.org", ExpiresAt: Now()}), tx.SaveBasket(acc.ID, refs(1)),
			firstError(tx.MarkReminded(gateway.Reminder{NoticeRef: refs(1)[0], Due: gateway.Date{Year: 2026, Month: time.December, Day: 1}}, Now())), tx.Enqueue(message("m-1", "A/1")),
			tx.InsertDelegation(schoolA, gateway.Delegation{Class: "3B", Payer: y, Since: Now(), By: user}), tx.ReplaceTaxonomy(taxonomyList()),
			tx.InsertClient(gateway.Client{ID: "ngc_1", Name: "Registro", School: schoolA, CreatedAt: Now()}),
			tx.AppendAudit(gateway.Audit{School: schoolA, Actor: user, Action: "pupil.put", Object: "p-1", At: Now()}),
			tx.InsertRegistration(gateway.Registration{ID: "r-1", Code: payerCode, FirstName: "Laura", LastName: "Bianchi", Email: "laura.bianchi@example.org", CreatedAt: Now(), ExpiresAt: Now()}),
			tx.InsertPasswordLink(gateway.PasswordLink{ID: "l-1", Account: "acc-1", CreatedAt: Now(), ExpiresAt: Now()}),
			tx.InsertIdentity("https://idp", "s-1", "acc-1", Now()),
			tx.InsertInvitation(gateway.Invitation{School: schoolA, Payer: "y-1", By: user, CreatedAt: Now(), ExpiresAt: Now()}),
			tx.InsertHelpMail("laura.bianchi@example.org", Now()),
			tx.InsertToken(token("k-1", n)), tx.InsertContribution(contribution("c-1", "A0001")),
			tx.InsertCampaign(campaign("c-1")),
			firstError(tx.MarkAskedReminder(refs(9)[0], gateway.DateIn(Now()), Now())),
			func() error {
				_, err := tx.InsertInbox(gateway.PSPEvent{PSP: "BANK", ID: "e-1", Attempt: "a-1", Raw: []byte("Mario Rossi")}, Now())
				return err
			}(),
			tx.PutArchivePosition(gateway.ArchivePosition{School: schoolA, Number: n.Number, State: gateway.ArchiveAsked, DueDate: due, ChangedAt: Now()}),
			tx.InsertPrint(gateway.Print{School: schoolA, ID: "p-1", State: gateway.PrintRunning, Format: gateway.PrintPDF, Actor: user, CreatedAt: Now()}),
			tx.InsertWebhook(webhook("w-1")), tx.Enqueue(delivery("d-1", "w-1")),
			tx.AddDeliveryTry(schoolA, "d-1", gateway.DeliveryTry{Try: 1, At: Now(), Problem: "cut", Answer: "Mario Rossi"}),
			tx.PutOnce(gateway.OnceRecord{Scope: "s", Body: []byte("Mario Rossi"), CreatedAt: Now(), ExpiresAt: Now()}),
		)
	})
	fillImports(w)
	if err := w.Sessions().Commit("the-token-of-laura", []byte("Laura Bianchi"), Now().Add(time.Hour)); err != nil {
		w.Fatal(err)
	}
	if err := w.SetClockMark(w.Context(), Now()); err != nil {
		w.Fatal(err)
	}
}

// tables are the columns of every table of ours, by "table.column", with the
// type that they have in SQLite.
func (w world) tables() map[string]string {
	w.Helper()
	query := `
SELECT m.name, c.name, c.type, c."notnull" = 1 OR c.name = 'seq'
  FROM sqlite_master m, pragma_table_info(m.name) c
 WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' AND m.name NOT LIKE 'goose%'`
	if !w.sqlite() {
		query = `
SELECT table_name, column_name,
       CASE data_type WHEN 'bigint' THEN 'INTEGER' WHEN 'boolean' THEN 'INTEGER' WHEN 'bytea' THEN 'BLOB' WHEN 'text' THEN 'TEXT'
            WHEN 'timestamp with time zone' THEN 'TEXT' WHEN 'date' THEN 'TEXT' ELSE data_type END,
       is_nullable = 'NO'
  FROM information_schema.columns
 WHERE table_schema = current_schema() AND table_name NOT LIKE 'goose%'`
	}
	rows, err := w.raw().QueryContext(w.Context(), query)
	if err != nil {
		w.Fatal(err)
	}
	defer rows.Close()
	all := map[string]string{}
	for rows.Next() {
		var table, column, kind string
		var required bool
		if err := rows.Scan(&table, &column, &kind, &required); err != nil {
			w.Fatal(err)
		}
		if required {
			kind += " NOT NULL"
		}
		all[table+"."+column] = kind
	}
	if err := rows.Err(); err != nil {
		w.Fatal(err)
	}
	return all
}

// column is all values of a column, as bytes.
func (w world) column(db *sql.DB, table, column string) []string {
	w.Helper()
	rows, err := db.QueryContext(w.Context(), fmt.Sprintf(`SELECT %s FROM %s`, column, table))
	if err != nil {
		w.Fatal(err)
	}
	defer rows.Close()
	var list []string
	for rows.Next() {
		var v sql.RawBytes
		if err := rows.Scan(&v); err != nil {
			w.Fatal(err)
		}
		list = append(list, string(v))
	}
	if err := rows.Err(); err != nil {
		w.Fatal(err)
	}
	return list
}

func noPlaintext(w world) {
	fill(w)
	hash := sha256.Sum256([]byte(payerCode))
	secrets := []string{
		string(pupilCode), string(payerCode), "Mario", "Rossi", "Laura", "Bianchi", "laura.bianchi", "example.org", "the-token-of-laura",
		string(hash[:]), // a digest without a key is found by trying all codes
	}
	db := w.raw()
	filled := map[string]bool{}
	for name := range w.tables() {
		table, column, _ := strings.Cut(name, ".")
		for _, v := range w.column(db, table, column) {
			filled[table] = true
			// What only looks hidden is plain too.
			texts := []string{v}
			if b, err := base64.StdEncoding.DecodeString(v); err == nil {
				texts = append(texts, string(b))
			}
			if b, err := hex.DecodeString(v); err == nil {
				texts = append(texts, string(b))
			}
			for _, s := range secrets {
				for _, text := range texts {
					// The school's own postal account and help are public.
					if table != "schools" && name != "carts.return_url" && strings.Contains(strings.ToLower(text), strings.ToLower(s)) {
						w.Errorf("%s holds %q in the clear", name, s)
					}
				}
			}
		}
	}
	for name := range w.tables() {
		if table, _, _ := strings.Cut(name, "."); !filled[table] {
			w.Errorf("table %s is empty: fill it in this test", table)
			filled[table] = true
		}
	}
}

func sealedValuesStay(w world) {
	fill(w)
	other := notice(schoolB, 1)
	other.Debtor.Name = "Giuseppe Verdi"
	w.add(other)
	db := w.raw()
	for _, c := range []struct {
		what, statement string
		read            func(gateway.Tx) error
	}{
		{"to another school", `UPDATE notices SET debtor_enc = (SELECT debtor_enc FROM notices WHERE school = '77777777777') WHERE school = '80014480828'`,
			func(tx gateway.Tx) error { _, err := tx.Notice(schoolA, nr(1)); return err }},
		{"to another column", `UPDATE pupils SET person_enc = (SELECT person_enc FROM payers)`,
			func(tx gateway.Tx) error { _, err := tx.Pupil(schoolA, "p-1"); return err }},
		{"to another table of the installation", `UPDATE once SET body_enc = (SELECT email_enc FROM carts)`,
			func(tx gateway.Tx) error { _, err := tx.OnceRecord("s"); return err }},
		{"cut off", `UPDATE accounts SET person_enc = password_cut`,
			func(tx gateway.Tx) error { _, err := tx.Account("acc-1"); return err }},
	} {
		c.statement = strings.Replace(c.statement, "password_cut", map[bool]string{true: "x''", false: `''::bytea`}[w.sqlite()], 1)
		if _, err := db.ExecContext(w.Context(), c.statement); err != nil {
			w.Fatalf("%s: %v", c.what, err)
		}
		if err := w.View(w.Context(), c.read); err == nil || errors.Is(err, gateway.ErrNotFound) {
			w.Errorf("a value moved %s reads with %v, want an error", c.what, err)
		}
	}
}

func wrongSecret(w world) {
	cfg := store.Config{URL: w.url, Secret: []byte("another secret of thirty-two b.."), Now: Now}
	db, err := store.OpenMigrated(w.Context(), cfg)
	if !errors.Is(err, store.ErrWrongSecret) {
		w.Errorf("OpenMigrated with another secret = %v, want %v", err, store.ErrWrongSecret)
	}
	if err == nil {
		_ = db.Close()
	}
	for _, s := range []string{"", "too short"} {
		cfg.Secret = []byte(s)
		if _, err := store.OpenMigrated(w.Context(), cfg); err == nil {
			w.Errorf("OpenMigrated with %d bytes of secret = nil", len(s))
		}
	}
	// The right one opens it again, and reads what is there.
	w.add(notice(schoolA, 1))
	again := world{T: w.T, DB: open(w, w.url), url: w.url}
	equal(w, "notice is there", again.there(1), true)
}

// rewrap changes the root secret under a database with data.
func rewrap(w world) {
	w.add(notice(schoolA, 1))
	next := []byte("the next root secret, 32 bytes..")
	if _, err := w.Rewrap(w.Context(), next[1:], user); err == nil {
		w.Error("Rewrap with 31 bytes = nil")
	}
	keys, err := w.Rewrap(w.Context(), next, user)
	if err != nil || keys != 3 { // of two schools and the installation
		w.Fatalf("Rewrap = %d, %v; want 3", keys, err)
	}
	// Who still has the old secret goes on with the keys it knows, and makes none.
	equal(w, "notice is there for who opened it before", w.there(1), true)
	err = w.Update(w.Context(), func(tx gateway.Tx) error {
		return tx.InsertSchool(school("97735020584", "Istituto Gamma"))
	})
	w.wants("InsertSchool with the old secret", err, store.ErrWrongSecret)
	if _, err := store.OpenMigrated(w.Context(), store.Config{URL: w.url, Secret: Secret, Now: Now}); !errors.Is(err, store.ErrWrongSecret) {
		w.Errorf("OpenMigrated with the old secret = %v, want %v", err, store.ErrWrongSecret)
	}
	if _, err := w.Rewrap(w.Context(), next, user); !errors.Is(err, store.ErrWrongSecret) {
		w.Errorf("Rewrap once more with the old secret = %v, want %v", err, store.ErrWrongSecret)
	}
	db, err := store.OpenMigrated(w.Context(), store.Config{URL: w.url, Secret: next, Now: Now})
	if err != nil {
		w.Fatalf("OpenMigrated with the new secret: %v", err)
	}
	defer func() { _ = db.Close() }()
	again := world{T: w.T, DB: db, url: w.url}
	equal(w, "notice is there", again.there(1), true)
	again.update(func(tx gateway.Tx) error { return tx.InsertSchool(school("97735020584", "Istituto Gamma")) })
}

// A key that was made in a transaction that did not commit must be forgotten
// with it: what it would encrypt, nobody could ever read.
func keysOfRolledBackSchools(w world) {
	const code = gateway.SchoolCode("11111111115")
	add := func(tx gateway.Tx) error {
		n := notice(code, 1)
		if err := tx.InsertSchool(school(code, "Terzo")); err != nil {
			return err
		}
		_, err := tx.InsertNotices([]gateway.Notice{n})
		return err
	}
	err := w.Update(w.Context(), func(tx gateway.Tx) error { return errors.Join(add(tx), errStop) })
	w.wants("Update", err, errStop)
	w.update(func(tx gateway.Tx) error {
		err := w.Update(tx.Context(), func(in gateway.Tx) error { return errors.Join(add(in), errStop) })
		w.wants("a part", err, errStop)
		return add(tx)
	})
	fresh := world{T: w.T, DB: open(w, w.url), url: w.url}
	for _, w := range []world{w, fresh} {
		n := read(w, func(tx gateway.Tx) (gateway.Notice, error) { return tx.Notice(code, nr(1)) })
		equal(w, "name", n.Debtor.Name, "Mario Rossi")
	}
}

func invariantsSeeBreaks(w world) {
	fill(w)
	ctx := w.Context()
	if err := w.CheckInvariants(ctx); err != nil {
		w.Fatalf("CheckInvariants of a good database = %v", err)
	}
	db := w.raw()
	sane := notice(schoolA, 2)
	w.add(sane)
	for _, c := range []struct{ rule, breaks, mends string }{
		{"I1", `UPDATE notices SET settled_by = 'r-9' WHERE settled_by = 'r-1'`, `UPDATE notices SET settled_by = 'r-1' WHERE settled_by = 'r-9'`},
		{"I1", `UPDATE notices SET state = 'open', settled_by = '', paid_at = NULL WHERE settled_by = 'r-1'`,
			`UPDATE notices SET state = 'paid', settled_by = 'r-1', paid_at = changed_at WHERE amount_cents = 1650 AND number = '` + nr(1).String() + `'`},
		{"I2", `UPDATE notices SET amount_cents = 1 WHERE settled_by = 'r-1'`, `UPDATE notices SET amount_cents = 1650 WHERE settled_by = 'r-1'`},
		{"I4", `UPDATE attempts SET state = 'failed'`, `UPDATE attempts SET state = 'created'`},
		{"I4", `UPDATE cart_notices SET settled = TRUE`, `UPDATE cart_notices SET settled = FALSE`},
		{"I5", `UPDATE cart_notices SET school = '77777777777'`, `UPDATE cart_notices SET school = '80014480828'`},
		{"I5", `UPDATE attempt_notices SET number = '3'`, `UPDATE attempt_notices SET number = '` + nr(1).String() + `'`},
		{"section 4", `UPDATE carts SET state = 'closed_ok'`, `UPDATE carts SET state = 'open'`},
		{"give back no more", `UPDATE refunds SET amount_cents = 1651`, `UPDATE refunds SET amount_cents = 1`},
		{"another approved", `UPDATE refunds SET state = 'approved'`, `UPDATE refunds SET state = 'requested'`},
		{"another approved", `UPDATE refunds SET state = 'executed', execution = 'school', requested_by = 'ada', requested_kind = 'client', decided_by = 'ada', decided_kind = 'client'`,
			`UPDATE refunds SET state = 'requested', execution = '', decided_by = '', decided_kind = ''`},
		{"when the PSP did it", `UPDATE refunds SET execution = 'psp'`, `UPDATE refunds SET execution = ''`},
		{"when the PSP did it", `UPDATE refunds SET state = 'approved', execution = 'psp', attempt = 'a-1', decided_by = 'ada'`,
			`UPDATE refunds SET state = 'requested', execution = '', attempt = '', decided_by = ''`},
		{"refunds are all approved", `UPDATE psp_refunds SET state = 'asking', ask_at = created_at`, `UPDATE psp_refunds SET state = 'done', ask_at = NULL`},
		{"I5", `UPDATE data_keys SET owner = 'x' WHERE owner = '77777777777'`, `UPDATE data_keys SET owner = '77777777777' WHERE owner = 'x'`},
	} {
		if _, err := db.ExecContext(w.Context(), c.breaks); err != nil {
			w.Fatalf("%s: %v", c.breaks, err)
		}
		if err := w.CheckInvariants(ctx); err == nil || !strings.Contains(err.Error(), c.rule) {
			w.Errorf("CheckInvariants after %q = %v, want %s", c.breaks, err, c.rule)
		}
		if _, err := db.ExecContext(w.Context(), c.mends); err != nil {
			w.Fatalf("%s: %v", c.mends, err)
		}
	}
	// Receipts cannot be mended, so these are broken in a transaction only.
	for _, c := range []struct {
		rule   string
		change func(*gateway.Receipt)
	}{
		{"I8", func(*gateway.Receipt) {}}, // and no event tells of it
		{"I6: a receipt's bytes", func(r *gateway.Receipt) { r.Digest = [32]byte{1} }},
		{"I6: a receipt's bytes", func(r *gateway.Receipt) { r.Same = [32]byte{1} }},
		{"I3: a receipt's transfers", func(r *gateway.Receipt) { r.Content.Transfers[0].Amount++ }},
		{"I3: a settling receipt", func(r *gateway.Receipt) { r.Content.Notice, r.Settles = nr(3), true }},
		{"I1", func(r *gateway.Receipt) { r.Settles = true }},
	} {
		r := receipt(sane, "r-2")
		c.change(&r)
		err := w.Update(ctx, func(tx gateway.Tx) error {
			if ok, err := tx.InsertReceipt(r); err != nil || !ok {
				return fmt.Errorf("InsertReceipt = %v, %w", ok, err)
			}
			if err := w.CheckInvariants(tx.Context()); err == nil || !strings.Contains(err.Error(), c.rule) {
				w.Errorf("CheckInvariants = %v, want %s", err, c.rule)
			}
			return errStop
		})
		w.wants("Update", err, errStop)
	}
	if err := w.CheckInvariants(ctx); err != nil {
		w.Errorf("CheckInvariants of the mended database = %v", err)
	}
}

// firstError drops what a call gives beside its error.
func firstError[T any](_ T, err error) error { return err }
