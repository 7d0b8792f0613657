// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/money"
	"github.com/nodogate/nodogate/gateway/store"
	"github.com/nodogate/nodogate/iuv"
)

// Run is what a store must do on either database. newDB names a new, empty
// database: NewSQLite or NewPostgres.
func Run(t *testing.T, newDB func(testing.TB) string) {
	for _, c := range []struct {
		name string
		test func(world)
	}{
		{"Schools", schools},
		{"InsertNotices", insertNotices},
		{"ManyNotices", manyNotices},
		{"Imports", imports},
		{"Prints", prints},
		{"NoticeRoundTrip", noticeRoundTrip},
		{"SaveNotice", saveNotice},
		{"NoticeFilter", noticeFilter},
		{"NamesAreFound", namesAreFound},
		{"Plans", plans},
		{"Enrolment", enrolment},
		{"Delegations", delegations},
		{"AuditTrail", auditTrail},
		{"Taxonomy", taxonomy},
		{"EvidenceIsListed", evidenceListed},
		{"SaveSchool", saveSchool},
		{"Family", family},
		{"Events", events},
		{"Receipts", receiptsKept},
		{"ReceiptFilter", receiptFilter},
		{"Seals", seals},
		{"SealersRace", sealersRace},
		{"SealsSeeBreaks", sealsSeeBreaks},
		{"Evidence", evidence},
		{"Refunds", refunds},
		{"PSPRefunds", pspRefunds},
		{"RefundsOfTheVersionBefore", oldRefunds},
		{"Carts", carts},
		{"Attempts", attempts},
		{"DueAttempts", dueAttempts},
		{"ClaimPolls", claimPolls},
		{"Registrations", registrations},
		{"Tokens", tokens},
		{"Contributions", contributions},
		{"Campaigns", campaigns},
		{"CampaignUnpaid", campaignUnpaid},
		{"AskedReminders", askedReminders},
		{"PersonKinds", personKinds},
		{"Inbox", inbox},
		{"Archive", archive},
		{"Webhooks", webhooks},
		{"Deliveries", deliveries},
		{"Pupils", pupils},
		{"Accounts", accounts},
		{"AccountsOwn", accountsOwn},
		{"Reminders", reminders},
		{"Clients", clients},
		{"Once", once},
		{"Sessions", sessions},
		{"ClockMark", clockMark},

		{"Rollback", rollback},
		{"NestedPartsJoin", nested},
		{"ViewSeesCommittedOnly", viewSeesCommittedOnly},
		{"ViewCannotWrite", viewCannotWrite},
		{"GoesOnAfterAConflict", goesOnAfterAConflict},
		{"LockNoticeSerialises", lockNoticeSerialises},
		{"AccountLocks", accountLocks},
		{"TwoAttemptsRace", twoAttemptsRace},
		{"TwoReceiptsRace", twoReceiptsRace},
		{"Lease", lease},
		{"NoTwinNumbers", noTwinNumbers},
		{"OutboxOrder", outboxOrder},
		{"OutboxTargets", outboxTargets},
		{"OutboxParked", outboxParked},
		{"Unmirrored", unmirrored},
		{"OutboxWorkers", outboxWorkers},

		{"OnlyAdded", onlyAdded},
		{"NoPlaintext", noPlaintext},
		{"SealedValuesStayWhereTheyAre", sealedValuesStay},
		{"WrongSecret", wrongSecret},
		{"Rewrap", rewrap},
		{"KeysOfRolledBackSchools", keysOfRolledBackSchools},
		{"Invariants", invariantsSeeBreaks},
		{"Migrations", migrations},
		{"ProcessesStartTogether", startTogether},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(start(t, newDB)) })
	}
}

func schools(w world) {
	want := school(schoolA, "Istituto Beta")
	equal(w, "School", read(w, func(tx gateway.Tx) (gateway.School, error) { return tx.School(schoolA) }), want)
	list := read(w, func(tx gateway.Tx) ([]gateway.School, error) { return tx.Schools() })
	equal(w, "Schools, by name", list, []gateway.School{school(schoolB, "Istituto Alfa"), want})
	w.update(func(tx gateway.Tx) error {
		w.wants("InsertSchool again", tx.InsertSchool(want), gateway.ErrConflict)
		_, err := tx.School("00000000000")
		w.wants("School unknown", err, gateway.ErrNotFound)
		return nil
	})
	for _, c := range []struct {
		broker, station         string
		knowBroker, knowStation bool
	}{
		{"80014480828", "80014480828_01", true, true},
		{"80014480828", "80014480828_02", true, false},
		{"99999999999", "80014480828_01", false, true},
	} {
		w.view(func(tx gateway.Tx) error {
			b, s, err := tx.KnowsStation(c.broker, c.station)
			if b != c.knowBroker || s != c.knowStation {
				w.Errorf("KnowsStation(%s, %s) = %v, %v, want %v, %v", c.broker, c.station, b, s, c.knowBroker, c.knowStation)
			}
			return err
		})
	}
	w.view(func(tx gateway.Tx) error {
		for account, want := range map[string][]gateway.SchoolCode{"000001234567": {schoolB, schoolA}, "000000000001": {}, "": {}} {
			list, err := tx.SchoolsByPostalAccount(account)
			if err != nil {
				return err
			}
			got := []gateway.SchoolCode{}
			for _, s := range list {
				got = append(got, s.Code)
			}
			if !slices.Equal(got, want) {
				w.Errorf("SchoolsByPostalAccount(%q) = %v, want %v", account, got, want)
			}
		}
		return nil
	})
}

func insertNotices(w world) {
	first := notice(schoolA, 1)
	first.ExternalID = "x-1"
	w.add(first)

	// 400 rows make several statements; a number may be taken by an earlier
	// notice or by one of the same call; other schools have numbers of their own.
	list := []gateway.Notice{notice(schoolB, 1)}
	for i := range 400 {
		list = append(list, notice(schoolA, 100+i))
	}
	list[300] = notice(schoolA, 1)
	list = append(list, notice(schoolA, 100))
	w.update(func(tx gateway.Tx) error {
		taken, err := tx.InsertNotices(list)
		equal(w, "taken", taken, []int{300, 401})
		return err
	})
	got := read(w, func(tx gateway.Tx) ([]gateway.Notice, error) {
		return tx.Notices(schoolA, gateway.NoticeFilter{Now: Now()})
	})
	equal(w, "number of notices", len(got), 400)
	for i, n := range got[:len(got)-1] {
		if n.Seq <= got[i+1].Seq {
			w.Fatalf("Notices: %d stands before %d, want newest first", n.Seq, got[i+1].Seq)
		}
	}
	equal(w, "newest", got[0].Number, nr(499))

	// A taken external id takes back the whole call, and no more.
	clash := notice(schoolA, 3)
	clash.ExternalID = "x-1"
	w.update(func(tx gateway.Tx) error {
		if _, err := tx.InsertNotices([]gateway.Notice{notice(schoolA, 2)}); err != nil {
			return err
		}
		_, err := tx.InsertNotices([]gateway.Notice{notice(schoolA, 4), clash})
		w.wants("InsertNotices with a taken external id", err, gateway.ErrConflict)
		return nil
	})
	for base, want := range map[int]error{2: nil, 3: gateway.ErrNotFound, 4: gateway.ErrNotFound} {
		w.view(func(tx gateway.Tx) error {
			_, err := tx.Notice(schoolA, nr(base))
			w.wants(fmt.Sprintf("Notice %d", base), err, want)
			return nil
		})
	}
	// The same external id in another school is another.
	clash.School = schoolB
	w.add(clash)
	w.update(func(tx gateway.Tx) error {
		n := notice("00000000000", 9)
		_, err := tx.InsertNotices([]gateway.Notice{n})
		w.wants("InsertNotices of an unknown school", err, gateway.ErrNotFound)
		return nil
	})
}

// manyNotices are enough to be streamed where the database can.
func manyNotices(w world) {
	const n = 200
	list := make([]gateway.Notice, n)
	for i := range list {
		list[i] = notice(schoolA, 1000+i)
		if i%3 > 0 {
			list[i].ExternalID = fmt.Sprint("row-", i)
		}
		if i%5 == 0 {
			list[i].Debtor.Code = gateway.Anonymous
		}
	}
	many := func() (events []gateway.Event, messages []gateway.Message) {
		for i := range list {
			events = append(events, gateway.Event{School: schoolA, Number: list[i].Number, Kind: gateway.EventNoticeIssued, Actor: user, At: Now()})
			m := message(fmt.Sprint("m-", i), fmt.Sprint("a-", i))
			m.Target = "all"
			messages = append(messages, m)
		}
		return events, messages
	}
	w.update(func(tx gateway.Tx) error {
		taken, err := tx.InsertNotices(list)
		equal(w, "taken of new ones", len(taken), 0)
		events, messages := many()
		return errors.Join(err, tx.AppendEvents(events...), tx.Enqueue(messages...))
	})
	for _, i := range []int{0, 1, n - 1} {
		got := read(w, func(tx gateway.Tx) (gateway.Notice, error) { return tx.Notice(schoolA, list[i].Number) })
		want := list[i]
		want.Seq = got.Seq
		equal(w, "notice of many", got, want)
		events := read(w, func(tx gateway.Tx) ([]gateway.Event, error) { return tx.Events(schoolA, list[i].Number) })
		equal(w, "events of one of many", len(events), 1)
		equal(w, "its actor and time", events[0].Actor == user && events[0].At.Equal(Now()), true)
	}
	claimed, err := w.ClaimMessages(w.Context(), "event", "all", Now(), time.Minute, 2*n)
	equal(w, "messages of many", len(claimed), n)
	equal(w, "their payload", string(claimed[n-1].Payload), string(message("", "").Payload))
	if err != nil {
		w.Error(err)
	}
	refs := read(w, func(tx gateway.Tx) (map[string]gateway.IssuedRef, error) {
		return tx.ExternalIDs(schoolA, []string{"row-1", "row-2", "nobody", ""})
	})
	equal(w, "external ids", refs, map[string]gateway.IssuedRef{
		"row-1": {Number: list[1].Number, Fingerprint: list[1].Fingerprint, CreatedAt: Now()},
		"row-2": {Number: list[2].Number, Fingerprint: list[2].Fingerprint, CreatedAt: Now()},
	})
	taken := read(w, func(tx gateway.Tx) (map[iuv.Number]bool, error) {
		return tx.TakenNumbers(schoolA, []iuv.Number{list[0].Number, nr(9999), list[1].Number})
	})
	equal(w, "taken numbers", taken, map[iuv.Number]bool{list[0].Number: true, list[1].Number: true})
	numbered := read(w, func(tx gateway.Tx) ([]gateway.Notice, error) {
		return tx.NoticesNumbered(schoolA, []iuv.Number{list[3].Number, nr(9999)})
	})
	if len(numbered) != 1 || numbered[0].Number != list[3].Number || numbered[0].Debtor != list[3].Debtor {
		w.Errorf("NoticesNumbered = %+v", numbered)
	}
	other := read(w, func(tx gateway.Tx) (map[string]gateway.IssuedRef, error) {
		return tx.ExternalIDs(schoolB, []string{"row-1"})
	})
	equal(w, "another school's external ids", len(other), 0)

	// Some numbers are taken: the others get in. An external id that is taken: none.
	mixed := make([]gateway.Notice, n)
	for i := range mixed {
		mixed[i] = notice(schoolA, 1150+i)
	}
	w.update(func(tx gateway.Tx) error {
		taken, err := tx.InsertNotices(mixed)
		equal(w, "taken of half known ones", len(taken), 50)
		return err
	})
	clash := make([]gateway.Notice, n)
	for i := range clash {
		clash[i] = notice(schoolA, 3000+i)
	}
	clash[n/2].ExternalID = "row-1"
	w.update(func(tx gateway.Tx) error {
		_, err := tx.InsertNotices(clash)
		w.wants("InsertNotices with a taken external id", err, gateway.ErrConflict)
		return nil
	})
	w.view(func(tx gateway.Tx) error {
		_, err := tx.Notice(schoolA, clash[0].Number)
		w.wants("a notice of the refused list", err, gateway.ErrNotFound)
		return nil
	})
}

func noticeRoundTrip(w world) {
	full := notice(schoolA, 1)
	full.ExternalID = "x-1"
	bare := gateway.Notice{
		School: schoolA, Number: nr(2), State: gateway.NoticeDraft, Version: 1, Debtor: gateway.Debtor{Code: gateway.Anonymous, Name: "Anonimo"},
		Description: "x", Amount: money.Max, DueDate: due, PayableAfterDue: true, Held: true, CreatedAt: Now(), ChangedAt: Now(),
	}
	w.add(full, bare)
	for _, want := range []gateway.Notice{full, bare} {
		got := read(w, func(tx gateway.Tx) (gateway.Notice, error) { return tx.Notice(schoolA, want.Number) })
		if got.Seq <= 0 {
			w.Errorf("Seq = %d, want one", got.Seq)
		}
		want.Seq = got.Seq
		equal(w, "Notice", got, want)
	}
	byID := read(w, func(tx gateway.Tx) (gateway.Notice, error) { return tx.NoticeByExternalID(schoolA, "x-1") })
	equal(w, "NoticeByExternalID", byID.Number, full.Number)
	w.view(func(tx gateway.Tx) error {
		_, err := tx.NoticeByExternalID(schoolA, "")
		w.wants("NoticeByExternalID of none", err, gateway.ErrNotFound)
		_, err = tx.NoticeByExternalID(schoolB, "x-1")
		w.wants("NoticeByExternalID of another school", err, gateway.ErrNotFound)
		_, err = tx.Notice(schoolB, full.Number)
		w.wants("Notice of another school", err, gateway.ErrNotFound)
		return nil
	})
	w.update(func(tx gateway.Tx) error {
		_, err := tx.LockNotice(schoolA, nr(3))
		w.wants("LockNotice of none", err, gateway.ErrNotFound)
		got, err := tx.LockNotice(schoolA, full.Number)
		equal(w, "LockNotice", got.Debtor, full.Debtor)
		return err
	})
}

func saveNotice(w world) {
	n := notice(schoolA, 1)
	w.add(n)
	w.update(func(tx gateway.Tx) error {
		got, err := tx.LockNotice(schoolA, n.Number)
		if err != nil {
			return err
		}
		n = got
		n.Debtor = gateway.Debtor{Code: payerCode, Name: "Laura Bianchi", Class: "4C"}
		n.Amount, n.PastAmounts, n.DueDate, n.Held = 1700, []money.Cents{1500, 1650}, due.AddDays(30), true
		n.State, n.ExternalID, n.Campaign, n.Description = gateway.NoticeCancelled, "x-9", "", "Gita a Lucca"
		n.Transfers[0].Amount, n.ChangedAt = 1700, Now().Add(time.Hour)
		n.Version++
		return tx.SaveNotice(n)
	})
	equal(w, "Notice", read(w, func(tx gateway.Tx) (gateway.Notice, error) { return tx.Notice(schoolA, n.Number) }), n)
	mine := read(w, func(tx gateway.Tx) ([]gateway.Notice, error) {
		return tx.Notices(schoolA, gateway.NoticeFilter{Now: Now(), Debtor: payerCode})
	})
	equal(w, "notices of the new debtor", len(mine), 1)
	w.update(func(tx gateway.Tx) error {
		stale := n
		stale.Version--
		w.wants("SaveNotice of an earlier version", tx.SaveNotice(stale), gateway.ErrConflict)
		return nil
	})
}

func noticeFilter(w world) {
	at := func(base int, change func(*gateway.Notice)) gateway.Notice {
		n := notice(schoolA, base)
		change(&n)
		return n
	}
	list := []gateway.Notice{
		1: at(1, func(n *gateway.Notice) { n.ExternalID = "x-1" }),
		2: at(2, func(n *gateway.Notice) { n.DueDate = gateway.Date{Year: 2026, Month: 11, Day: 22} }),
		3: at(3, func(n *gateway.Notice) {
			n.DueDate, n.PayableAfterDue = gateway.Date{Year: 2026, Month: 11, Day: 22}, true
		}),
		4: at(4, func(n *gateway.Notice) { n.State = gateway.NoticeExpired }),
		5: at(5, func(n *gateway.Notice) { n.State, n.Debtor.Code = gateway.NoticeCancelled, gateway.Anonymous }),
		6: at(6, func(n *gateway.Notice) { n.Debtor.Code, n.Debtor.Class, n.Campaign = payerCode, "1A", "mensa" }),
		7: at(7, func(n *gateway.Notice) { n.DueDate = gateway.DateIn(Now()) }),
		8: at(8, func(*gateway.Notice) {}),
		9: at(9, func(n *gateway.Notice) { n.State = gateway.NoticeDraft }),
	}
	w.add(append(list[1:], notice(schoolB, 10))...)
	w.update(func(tx gateway.Tx) error {
		return errors.Join(settle(tx, list[8], receipt(list[8], "r8")),
			tx.PutPupil(gateway.Pupil{School: schoolA, ID: "p-6", Code: payerCode, FirstName: "Laura", LastName: "Bianchi", Class: "1A"}),
			tx.PutPupil(gateway.Pupil{School: schoolA, ID: "p-5", Code: gateway.Anonymous, FirstName: "Ada", LastName: "Neri", Class: "1A"}))
	})
	seq := func(base int) int64 {
		return read(w, func(tx gateway.Tx) (gateway.Notice, error) { return tx.Notice(schoolA, nr(base)) }).Seq
	}
	paid := Now().Add(-time.Minute)
	for _, c := range []struct {
		name string
		f    gateway.NoticeFilter
		want []int
	}{
		{"none", gateway.NoticeFilter{}, []int{9, 8, 7, 6, 5, 4, 3, 2, 1}},
		{"limit", gateway.NoticeFilter{Limit: 2}, []int{9, 8}},
		{"before", gateway.NoticeFilter{Before: seq(3), Limit: 9}, []int{2, 1}},
		{"open", gateway.NoticeFilter{State: gateway.NoticeOpen}, []int{7, 6, 3, 1}},
		{"expired", gateway.NoticeFilter{State: gateway.NoticeExpired}, []int{4, 2}},
		{"paid", gateway.NoticeFilter{State: gateway.NoticePaid}, []int{8}},
		{"draft", gateway.NoticeFilter{State: gateway.NoticeDraft}, []int{9}},
		{"debtor", gateway.NoticeFilter{Debtor: payerCode}, []int{6}},
		{"anonymous", gateway.NoticeFilter{Debtor: gateway.Anonymous}, []int{5}},
		{"pupil", gateway.NoticeFilter{Pupil: "p-6"}, []int{6}},
		{"pupil without a code", gateway.NoticeFilter{Pupil: "p-5"}, nil},
		{"no pupil", gateway.NoticeFilter{Pupil: "p-0"}, nil},
		{"plan", gateway.NoticeFilter{Plan: "none"}, nil},
		{"stranger", gateway.NoticeFilter{Debtor: strangerCF}, nil},
		{"class", gateway.NoticeFilter{Class: "1A"}, []int{6}},
		{"campaign", gateway.NoticeFilter{Campaign: "mensa"}, []int{6}},
		{"external id", gateway.NoticeFilter{ExternalID: "x-1"}, []int{1}},
		{"query by id", gateway.NoticeFilter{Query: "x-1"}, []int{1}},
		{"query by number", gateway.NoticeFilter{Query: nr(7).String()}, []int{7}},
		{"query is exact", gateway.NoticeFilter{Query: "x-%"}, nil},
		{"due from", gateway.NoticeFilter{DueFrom: due, State: gateway.NoticeCancelled}, []int{5}},
		{"due to", gateway.NoticeFilter{DueTo: gateway.DateIn(Now())}, []int{7, 3, 2}},
		{"due on a day", gateway.NoticeFilter{DueFrom: gateway.DateIn(Now()), DueTo: gateway.DateIn(Now())}, []int{7}},
		{"paid from", gateway.NoticeFilter{PaidFrom: paid}, []int{8}},
		{"paid later", gateway.NoticeFilter{PaidFrom: paid.Add(time.Microsecond)}, nil},
		{"paid before", gateway.NoticeFilter{PaidTo: paid}, nil},
		{"paid until", gateway.NoticeFilter{PaidTo: paid.Add(time.Microsecond)}, []int{8}},
		{"two at once", gateway.NoticeFilter{Class: "3B", State: gateway.NoticeExpired}, []int{4, 2}},
	} {
		c.f.Now = Now()
		var got []int
		for _, n := range read(w, func(tx gateway.Tx) ([]gateway.Notice, error) { return tx.Notices(schoolA, c.f) }) {
			got = append(got, slices.IndexFunc(list, func(o gateway.Notice) bool { return o.Number == n.Number }))
		}
		equal(w, "filter "+c.name, got, c.want)
	}
}

func family(w world) {
	pupil := gateway.Pupil{School: schoolA, ID: "p-1", Code: pupilCode, FirstName: "Mario", LastName: "Rossi", Class: "3B", SchoolYear: "2026/27"}
	inB := pupil
	inB.School = schoolB
	w.update(func(tx gateway.Tx) error {
		return errors.Join(
			tx.PutPupil(pupil), tx.PutPupil(inB),
			// One person, two of the school's ids: a notice must not show twice.
			tx.PutPupil(gateway.Pupil{School: schoolA, ID: "p-0", Code: pupilCode, FirstName: "Mario", LastName: "Rossi"}),
			tx.PutPupil(gateway.Pupil{School: schoolA, ID: "p-2", Code: strangerCF, FirstName: "Giuseppe", LastName: "Verdi"}),
			tx.PutPayer(gateway.Payer{School: schoolA, ID: "y-1", Code: payerCode}),
			tx.PutPayer(gateway.Payer{School: schoolB, ID: "y-1", Code: payerCode}),
			tx.PutPayer(gateway.Payer{School: schoolA, ID: "y-2", Code: gateway.Anonymous}),
			tx.LinkPayer(gateway.Link{School: schoolA, Pupil: "p-1", Payer: "y-1", Relation: "mother", Since: Now(), By: user}),
			tx.LinkPayer(gateway.Link{School: schoolA, Pupil: "p-0", Payer: "y-1", Relation: "mother", Since: Now(), By: user}),
			tx.LinkPayer(gateway.Link{School: schoolA, Pupil: "p-1", Payer: "y-2", Relation: "other", Since: Now(), By: user}),
		)
	})
	child, childB, own, foreign, draft, nobody := notice(schoolA, 1), notice(schoolB, 2), notice(schoolB, 3), notice(schoolA, 4), notice(schoolA, 5), notice(schoolA, 6)
	own.Debtor.Code, foreign.Debtor.Code, draft.State, nobody.Debtor.Code = payerCode, strangerCF, gateway.NoticeDraft, gateway.Anonymous
	w.add(child, childB, own, foreign, draft, nobody)

	type seen struct {
		number iuv.Number
		school string
		pupil  string
	}
	look := func(code gateway.FiscalCode, limit int) (list []seen) {
		for _, n := range read(w, func(tx gateway.Tx) ([]gateway.FamilyNotice, error) {
			return tx.NoticesOfFamily(code, gateway.FamilyFilter{Limit: limit})
		}) {
			list = append(list, seen{n.Number, n.SchoolName, n.Pupil.ID + " " + n.Pupil.FirstName})
		}
		return list
	}
	theirs := []seen{{own.Number, "Istituto Alfa", " "}, {child.Number, "Istituto Beta", "p-1 Mario"}}
	equal(w, "the payer of a pupil of A sees", look(payerCode, 10), theirs)
	equal(w, "with a limit", look(payerCode, 1), theirs[:1])
	equal(w, "the pupil sees", look(pupilCode, 10), []seen{{childB.Number, "Istituto Alfa", " "}, {child.Number, "Istituto Beta", " "}})
	equal(w, "nobody sees", look(gateway.Anonymous, 10), nil)
	part := func(f gateway.FamilyFilter) (list []iuv.Number) {
		f.Limit = 10
		for _, n := range read(w, func(tx gateway.Tx) ([]gateway.FamilyNotice, error) { return tx.NoticesOfFamily(payerCode, f) }) {
			list = append(list, n.Number)
		}
		return list
	}
	equal(w, "from the second on", part(gateway.FamilyFilter{Offset: 1}), []iuv.Number{child.Number})
	equal(w, "what is not paid", part(gateway.FamilyFilter{Part: gateway.FamilyUnpaid}), []iuv.Number{own.Number, child.Number})
	equal(w, "what is paid, of nothing", part(gateway.FamilyFilter{Part: gateway.FamilyPaid}), nil)
	w.update(func(tx gateway.Tx) error { return settle(tx, child, receipt(child, "r-child")) })
	equal(w, "what is paid", part(gateway.FamilyFilter{Part: gateway.FamilyPaid}), []iuv.Number{child.Number})
	equal(w, "what is not paid then", part(gateway.FamilyFilter{Part: gateway.FamilyUnpaid}), []iuv.Number{own.Number})
	equal(w, "an account without a code sees", look("", 10), nil)

	for _, c := range []struct {
		code gateway.FiscalCode
		n    gateway.Notice
		want bool
	}{
		{payerCode, child, true}, {payerCode, own, true}, {payerCode, childB, false}, {payerCode, foreign, false},
		{payerCode, draft, false}, {payerCode, nobody, false}, {pupilCode, child, true}, {strangerCF, child, false},
		{strangerCF, foreign, true}, {gateway.Anonymous, nobody, false}, {"", nobody, false}, {payerCode, notice(schoolA, 99), false},
	} {
		got := read(w, func(tx gateway.Tx) (bool, error) { return tx.FamilyMaySee(c.code, c.n.School, c.n.Number) })
		if got != c.want {
			w.Errorf("FamilyMaySee(%.3s***, %s, %s) = %v, want %v", c.code, c.n.School, c.n.Number, got, c.want)
		}
	}
}

func events(w world) {
	n := notice(schoolA, 1)
	w.add(n, notice(schoolA, 2))
	want := []gateway.Event{
		{School: schoolA, Number: n.Number, Kind: gateway.EventNoticeIssued, Actor: user, At: Now()},
		{School: schoolA, Number: n.Number, Kind: gateway.EventPaymentEnded, Actor: gateway.ActorSystem, Attempt: "a-1", State: gateway.AttemptFailed, At: Now()},
		{School: schoolA, Number: n.Number, Kind: gateway.EventReceiptRecorded, Receipt: "r-1", Anomaly: gateway.AnomalyAmount, At: Now()},
	}
	other := want[0]
	other.Number = nr(2)
	w.update(func(tx gateway.Tx) error {
		return errors.Join(tx.AppendEvents(), tx.AppendEvents(want[0], other, want[1]), tx.AppendEvents(want[2]))
	})
	got := read(w, func(tx gateway.Tx) ([]gateway.Event, error) { return tx.Events(schoolA, n.Number) })
	for i := range got {
		if i > 0 && got[i].Seq <= got[i-1].Seq {
			w.Errorf("event %d has Seq %d after %d", i, got[i].Seq, got[i-1].Seq)
		}
		got[i].Seq = 0
	}
	equal(w, "Events, oldest first", got, want)
}

func receiptsKept(w world) {
	n := notice(schoolA, 1)
	w.add(n, notice(schoolA, 2))
	first, double := receipt(n, "r-1"), receipt(n, "r-2")
	double.Anomaly, double.Content.Amount, double.Content.Transfers[0].Amount = gateway.AnomalyDouble, 1000, 1000
	double.Same = double.Content.Content()
	first.Settles = true
	unknown := receipt(notice(schoolA, 77), "r-3")
	unknown.Notice, unknown.Anomaly, unknown.Content.PaidAt = iuv.Number{}, gateway.AnomalyUnknown, time.Time{}
	unknown.Same = unknown.Content.Content()
	w.update(func(tx gateway.Tx) error {
		if err := settle(tx, n, first); err != nil {
			return err
		}
		for _, c := range []struct {
			what string
			r    gateway.Receipt
			want bool
		}{{"a second", double, true}, {"of an unknown notice", unknown, true}, {"again", first, false}} {
			r := c.r
			if c.what == "again" {
				r.ID = "r-9"
			}
			if ok, err := tx.InsertReceipt(r); ok != c.want || err != nil {
				w.Errorf("InsertReceipt %s = %v, %v, want %v", c.what, ok, err, c.want)
			}
		}
		return tx.AppendEvents(recorded(double))
	})
	for _, want := range []gateway.Receipt{first, double, unknown} {
		got := read(w, func(tx gateway.Tx) (gateway.Receipt, error) { return tx.Receipt(schoolA, want.ID) })
		if got.Seq <= 0 {
			w.Errorf("Seq = %d", got.Seq)
		}
		want.Seq = got.Seq
		equal(w, "Receipt", got, want)
		byKey := read(w, func(tx gateway.Tx) (gateway.Receipt, error) {
			return tx.ReceiptByKey(schoolA, want.Content.Creditor, want.Content.CreditorReferenceID, want.Content.ID)
		})
		equal(w, "ReceiptByKey", byKey.ID, want.ID)
	}
	w.view(func(tx gateway.Tx) error {
		_, err := tx.Receipt(schoolB, "r-1")
		w.wants("Receipt of another school", err, gateway.ErrNotFound)
		_, err = tx.ReceiptByKey(schoolA, string(schoolA), n.Number.IUV(), "none")
		w.wants("ReceiptByKey of none", err, gateway.ErrNotFound)
		return nil
	})
	for base, want := range map[int]money.Cents{1: 2650, 2: 0} {
		sum := read(w, func(tx gateway.Tx) (money.Cents, error) { return tx.ReceivedFor(schoolA, nr(base)) })
		equal(w, fmt.Sprintf("ReceivedFor %d", base), sum, want)
	}
	sum := read(w, func(tx gateway.Tx) (money.Cents, error) { return tx.ReceivedFor(schoolA, iuv.Number{}) })
	equal(w, "ReceivedFor no notice", sum, 0)
	got := read(w, func(tx gateway.Tx) (gateway.Notice, error) { return tx.Notice(schoolA, n.Number) })
	equal(w, "receipts of the notice, oldest first", got.Receipts, []string{"r-1", "r-2"})
	equal(w, "paid", got.State == gateway.NoticePaid && got.PaidAt.Equal(first.Content.PaidAt) && got.SettledBy == "r-1", true)

	// Never two settling receipts, whatever the caller thinks.
	second := receipt(n, "r-4")
	second.Settles = true
	err := w.Update(w.Context(), func(tx gateway.Tx) error {
		_, err := tx.InsertReceipt(second)
		return err
	})
	if err == nil {
		w.Error("InsertReceipt of a second settling receipt = nil, want an error")
	}
}

func receiptFilter(w world) {
	n := notice(schoolA, 1)
	w.add(n)
	one, two, three := receipt(n, "r-1"), receipt(n, "r-2"), receipt(n, "r-3")
	two.Anomaly, three.Anomaly, three.Notice = gateway.AnomalyDouble, gateway.AnomalyUnknown, iuv.Number{}
	three.Content.PaidAt = Now()
	three.Same = three.Content.Content()
	w.update(func(tx gateway.Tx) error {
		for _, r := range []gateway.Receipt{two, three} {
			if _, err := tx.InsertReceipt(r); err != nil {
				return err
			}
		}
		return errors.Join(tx.AppendEvents(recorded(two)), settle(tx, n, one))
	})
	all := read(w, func(tx gateway.Tx) ([]gateway.Receipt, error) { return tx.Receipts(schoolA, gateway.ReceiptFilter{}) })
	if len(all) != 3 || all[0].Raw != nil || all[0].Content.Debtor.FullName != "Mario Rossi" {
		w.Fatalf("Receipts = %d, the first %+v; want 3 without Raw", len(all), all[0])
	}
	for _, c := range []struct {
		name string
		f    gateway.ReceiptFilter
		want []string
	}{
		{"none", gateway.ReceiptFilter{}, []string{"r-1", "r-3", "r-2"}},
		{"limit", gateway.ReceiptFilter{Limit: 1}, []string{"r-1"}},
		{"before", gateway.ReceiptFilter{Before: all[1].Seq}, []string{"r-2"}},
		{"notice", gateway.ReceiptFilter{Notice: n.Number}, []string{"r-1", "r-2"}},
		{"from", gateway.ReceiptFilter{From: Now()}, []string{"r-3"}},
		{"to", gateway.ReceiptFilter{To: Now()}, []string{"r-1", "r-2"}},
		{"any anomaly", gateway.ReceiptFilter{Anomaly: "any"}, []string{"r-3", "r-2"}},
		{"one anomaly", gateway.ReceiptFilter{Anomaly: "double_payment"}, []string{"r-2"}},
	} {
		var got []string
		for _, r := range read(w, func(tx gateway.Tx) ([]gateway.Receipt, error) { return tx.Receipts(schoolA, c.f) }) {
			got = append(got, r.ID)
		}
		equal(w, "filter "+c.name, got, c.want)
	}
	none := read(w, func(tx gateway.Tx) ([]gateway.Receipt, error) { return tx.Receipts(schoolB, gateway.ReceiptFilter{}) })
	equal(w, "another school's receipts", len(none), 0)

	byID := func(school gateway.SchoolCode, ids ...string) (list []string) {
		for _, r := range read(w, func(tx gateway.Tx) ([]gateway.Receipt, error) { return tx.ReceiptsByID(school, ids) }) {
			if r.Raw != nil {
				w.Errorf("ReceiptsByID reads Raw of %s", r.ID)
			}
			list = append(list, r.ID)
		}
		slices.Sort(list)
		return list
	}
	equal(w, "ReceiptsByID", byID(schoolA, "r-3", "r-9", "r-1"), []string{"r-1", "r-3"})
	equal(w, "ReceiptsByID of none", byID(schoolA), nil)
	equal(w, "ReceiptsByID of another school", byID(schoolB, "r-1"), nil)
}

func evidence(w world) {
	n := notice(schoolA, 1)
	w.add(n)
	e := gateway.Evidence{ID: "e-1", Kind: gateway.EvidenceAltered, Operation: "paSendRT", School: schoolA, ReceiptID: "x", Number: n.Number.String(), Raw: []byte("<a/>"), Received: Now()}
	foreign, none := e, e
	foreign.ID, foreign.School, none.ID, none.School, none.Raw = "e-2", "00000000000", "e-3", "", nil
	w.update(func(tx gateway.Tx) error {
		return errors.Join(tx.InsertEvidence(e), tx.InsertEvidence(foreign), tx.InsertEvidence(none), settle(tx, n, receipt(n, "r-1")))
	})
	var owners string
	if err := w.raw().QueryRowContext(w.Context(), `SELECT string_agg(owner, ' ' ORDER BY seq) FROM evidence`).Scan(&owners); err != nil {
		w.Fatal(err)
	}
	equal(w, "whose keys evidence is under", owners, string(schoolA)+" * *")
	list := read(w, func(tx gateway.Tx) ([]gateway.Evidence, error) { return tx.Evidence(gateway.EvidenceAltered, 10) })
	if len(list) != 3 || len(list[0].Raw) != 0 {
		w.Fatalf("Evidence = %+v, want 3, the newest without bytes", list)
	}
	equal(w, "Evidence, newest first", list[1:], []gateway.Evidence{foreign, e})
	list = read(w, func(tx gateway.Tx) ([]gateway.Evidence, error) { return tx.Evidence(gateway.EvidenceAltered, 1) })
	equal(w, "Evidence, one", len(list), 1)
	list = read(w, func(tx gateway.Tx) ([]gateway.Evidence, error) { return tx.Evidence(gateway.EvidenceSyntax, 10) })
	equal(w, "Evidence of another kind", len(list), 0)
}

func carts(w world) {
	n, m := notice(schoolA, 1), notice(schoolB, 2)
	w.add(n, m)
	c := cart("c-1", m, n)
	guest := cart("c-2", n)
	guest.Account, guest.Email = "", ""
	later := cart("c-3", n)
	w.update(func(tx gateway.Tx) error {
		if err := errors.Join(tx.InsertCart(c), tx.InsertCart(guest), tx.InsertCart(later)); err != nil {
			return err
		}
		again := cart("c-4", n)
		again.RequestKey = c.RequestKey
		w.wants("InsertCart with a taken key", tx.InsertCart(again), gateway.ErrConflict)
		return nil
	})
	for _, want := range []gateway.Cart{c, guest} {
		equal(w, "Cart", read(w, func(tx gateway.Tx) (gateway.Cart, error) { return tx.Cart(want.ID) }), want)
		equal(w, "CartByRequest", read(w, func(tx gateway.Tx) (gateway.Cart, error) { return tx.CartByRequest(want.RequestKey) }), want)
	}
	c.State, c.PSP, c.Fee, c.Redirect, c.Version, c.ChangedAt = gateway.CartRedirected, "POST", 150, "https://psp.example.org/1", 2, Now().Add(time.Hour)
	c.Notices[0].Amount = 1651
	w.update(func(tx gateway.Tx) error {
		if _, err := tx.LockCart("c-1"); err != nil {
			return err
		}
		_, err := tx.LockCart("none")
		w.wants("LockCart of none", err, gateway.ErrNotFound)
		_, err = tx.Cart("none")
		w.wants("Cart of none", err, gateway.ErrNotFound)
		_, err = tx.CartByRequest("none")
		w.wants("CartByRequest of none", err, gateway.ErrNotFound)
		if err := tx.SaveCart(c); err != nil {
			return err
		}
		stale := c
		stale.Version = 1
		w.wants("SaveCart of an earlier version", tx.SaveCart(stale), gateway.ErrConflict)
		return nil
	})
	equal(w, "saved cart", read(w, func(tx gateway.Tx) (gateway.Cart, error) { return tx.Cart("c-1") }), c)
	mine := read(w, func(tx gateway.Tx) ([]gateway.Cart, error) { return tx.CartsOfAccount("acc-1", 10) })
	equal(w, "CartsOfAccount, newest first", mine, []gateway.Cart{later, c})
	mine = read(w, func(tx gateway.Tx) ([]gateway.Cart, error) { return tx.CartsOfAccount("acc-1", 1) })
	equal(w, "CartsOfAccount, one", mine, []gateway.Cart{later})
	guests := read(w, func(tx gateway.Tx) ([]gateway.Cart, error) { return tx.CartsOfAccount("", 10) })
	equal(w, "CartsOfAccount of nobody", len(guests), 0)
}

func attempts(w world) {
	n, m := notice(schoolA, 1), notice(schoolB, 2)
	w.add(n, m)
	both := []gateway.NoticeRef{{School: schoolA, Number: n.Number}, {School: schoolB, Number: m.Number}}
	a := attempt("a-1", "c-1")
	w.update(func(tx gateway.Tx) error {
		return errors.Join(tx.InsertCart(cart("c-1", n, m)), tx.InsertCart(cart("c-2", m)), tx.InsertAttempt(a, both))
	})
	w.update(func(tx gateway.Tx) error {
		w.wants("InsertAttempt on a held notice", tx.InsertAttempt(attempt("a-2", "c-2"), both[1:]), gateway.ErrConflict)
		_, err := tx.Attempt("a-2")
		w.wants("the attempt that lost", err, gateway.ErrNotFound)
		_, err = tx.LiveAttempt(schoolA, nr(3))
		w.wants("LiveAttempt of none", err, gateway.ErrNotFound)
		live, err := tx.LiveAttempt(schoolB, m.Number)
		equal(w, "LiveAttempt", live, a)
		return err
	})
	payment := read(w, func(tx gateway.Tx) (gateway.Notice, error) { return tx.Notice(schoolA, n.Number) }).Payment
	equal(w, "Notice.Payment", payment, &gateway.NoticePayment{State: a.State, Attempt: a.ID, Method: a.Method, PSP: a.PSP, ExpiresAt: a.LapsesAt})
	list := read(w, func(tx gateway.Tx) ([]gateway.Notice, error) {
		return tx.Notices(schoolB, gateway.NoticeFilter{Now: Now()})
	})
	equal(w, "Payment in lists", list[0].Payment, payment)

	a.State, a.Version, a.Reference, a.Redirect, a.LapsesAt, a.ChangedAt = gateway.AttemptSent, 2, "ref", "https://psp.example.org/1", Now().Add(time.Hour), Now().Add(time.Second)
	w.update(func(tx gateway.Tx) error {
		if err := errors.Join(tx.SaveAttempt(a), tx.ReleaseNotice(a.ID, schoolA, n.Number)); err != nil {
			return err
		}
		w.wants("ReleaseNotice of none", tx.ReleaseNotice(a.ID, schoolA, nr(9)), gateway.ErrNotFound)
		stale := a
		stale.Version = 1
		w.wants("SaveAttempt of an earlier version", tx.SaveAttempt(stale), gateway.ErrConflict)
		return nil
	})
	equal(w, "saved attempt", read(w, func(tx gateway.Tx) (gateway.Attempt, error) { return tx.Attempt("a-1") }), a)
	w.view(func(tx gateway.Tx) error {
		_, err := tx.LiveAttempt(schoolA, n.Number)
		w.wants("LiveAttempt of a released notice", err, gateway.ErrNotFound)
		_, err = tx.LiveAttempt(schoolB, m.Number)
		w.wants("LiveAttempt of the other", err, nil)
		return nil
	})
	counts := read(w, func(tx gateway.Tx) (map[gateway.AttemptState]gateway.AttemptCount, error) { return tx.CountAttempts() })
	equal(w, "CountAttempts", counts, map[gateway.AttemptState]gateway.AttemptCount{gateway.AttemptSent: {Count: 1, Since: a.ChangedAt}})

	a.State, a.Version = gateway.AttemptFailed, 3
	w.update(func(tx gateway.Tx) error {
		return errors.Join(tx.SaveAttempt(a), tx.InsertAttempt(attempt("a-3", "c-1"), both))
	})
	of := read(w, func(tx gateway.Tx) ([]gateway.Attempt, error) { return tx.AttemptsOfCart("c-1") })
	if len(of) != 2 || of[0].ID != "a-3" || of[1] != a {
		w.Errorf("AttemptsOfCart = %+v, want a-3 and then a-1", of)
	}
}

func tokens(w world) {
	n := notice(schoolA, 1)
	w.add(n)
	first := token("k-1", n)
	w.update(func(tx gateway.Tx) error {
		if err := tx.InsertToken(first); err != nil {
			return err
		}
		w.wants("InsertToken on a notice that has an active one", tx.InsertToken(token("k-2", n)), gateway.ErrConflict)
		return nil
	})
	w.view(func(tx gateway.Tx) error {
		got, err := tx.Token("k-1")
		if err != nil || !reflect.DeepEqual(got, first) {
			w.Errorf("Token = %+v, %v; want %+v", got, err, first)
		}
		if of, err := tx.TokensOfAttempt("a-1"); err != nil || len(of) != 1 || of[0].ID != "k-1" {
			w.Errorf("TokensOfAttempt = %+v, %v", of, err)
		}
		if of, err := tx.TokensOfAttempt(""); err != nil || len(of) != 0 {
			w.Errorf("TokensOfAttempt of none = %+v, %v", of, err)
		}
		_, err = tx.Token("k-0")
		w.wants("Token that is not there", err, gateway.ErrNotFound)
		seen, err := tx.Notice(n.School, n.Number)
		if err != nil || seen.Token == nil || seen.Token.ID != "k-1" || !seen.Token.ExpiresAt.Equal(first.ExpiresAt) {
			w.Errorf("the notice has token %+v, %v", seen.Token, err)
		}
		return nil
	})
	first.State, first.Outcome, first.ChangedAt = gateway.TokenKO, "KO", Now().Add(time.Minute)
	w.update(func(tx gateway.Tx) error {
		if err := tx.SaveToken(first); err != nil {
			return err
		}
		w.wants("SaveToken that is not there", tx.SaveToken(token("k-0", n)), gateway.ErrNotFound)
		return tx.InsertToken(token("k-2", n)) // the way is free
	})
	w.view(func(tx gateway.Tx) error {
		if got, err := tx.Token("k-1"); err != nil || !reflect.DeepEqual(got, first) {
			w.Errorf("Token after SaveToken = %+v, %v; want %+v", got, err, first)
		}
		return nil
	})
}

func inbox(w world) {
	e := gateway.PSPEvent{PSP: "BANK", ID: "e-1", Attempt: "a-1", Word: gateway.WordTaken, Raw: []byte("{}")}
	w.update(func(tx gateway.Tx) error {
		first, err := tx.InsertInbox(e, Now())
		again, err2 := tx.InsertInbox(e, Now())
		other := e
		other.PSP = "POST"
		elsewhere, err3 := tx.InsertInbox(other, Now())
		if err := errors.Join(err, err2, err3); err != nil {
			return err
		}
		if !first || again || !elsewhere {
			w.Errorf("InsertInbox = %v, again %v, the same id of another PSP %v", first, again, elsewhere)
		}
		return nil
	})
}

func contributions(w world) {
	c := contribution("c-1", "A0001")
	closed := contribution("c-0", "A0009")
	closed.School, closed.Closed = schoolB, true
	w.update(func(tx gateway.Tx) error {
		if err := tx.InsertContribution(c); err != nil {
			return err
		}
		if err := tx.InsertContribution(closed); err != nil {
			return err
		}
		w.wants("InsertContribution with a service code that is taken", tx.InsertContribution(contribution("c-2", "A0001")), gateway.ErrConflict)
		return nil
	})
	w.view(func(tx gateway.Tx) error {
		got, err := tx.LockContribution("A0001")
		if err != nil || got != c {
			w.Errorf("LockContribution = %+v, %v; want %+v", got, err, c)
		}
		if list, err := tx.Contributions(schoolA); err != nil || len(list) != 1 || list[0] != c {
			w.Errorf("Contributions = %+v, %v", list, err)
		}
		giving := func(day gateway.Date, most int) (list []gateway.GivingSchool) {
			w.Helper()
			if err := tx.GivingSchools(day, func(g gateway.GivingSchool) bool {
				list = append(list, g)
				return len(list) < most
			}); err != nil {
				w.Errorf("GivingSchools on %s: %v", day, err)
			}
			return list
		}
		at := school(schoolA, "Istituto Beta")
		one := []gateway.GivingSchool{{Code: schoolA, Name: at.Name, Town: at.Town, Mechanograph: at.Mechanograph}}
		for _, day := range []int{1, 31} {
			if got := giving(gateway.Date{Year: 2026, Month: time.December, Day: day}, 9); !slices.Equal(got, one) {
				w.Errorf("GivingSchools on day %d = %+v, want %+v", day, got, one)
			}
		}
		if got := giving(gateway.Date{Year: 2027, Month: time.January, Day: 1}, 9); len(got) != 0 {
			w.Errorf("GivingSchools after the last day = %+v", got)
		}
		// Whoever says false is asked no more, and the reading may go on.
		if _, err := tx.School(schoolA); err != nil || len(giving(gateway.Date{Year: 2026, Month: time.December, Day: 1}, 1)) != 1 {
			w.Errorf("GivingSchools that was stopped: %v", err)
		}
		_, err = tx.LockContribution("A0002")
		w.wants("LockContribution of none", err, gateway.ErrNotFound)
		return nil
	})
	w.update(func(tx gateway.Tx) error {
		c.Description, c.DueDate, c.Version = "Per la palestra", gateway.Date{Year: 2027, Month: time.June, Day: 30}, c.Version+1
		if err := tx.ChangeContribution(schoolB, c.ID, "x", c.DueDate); err != nil { // another school's
			return err
		}
		if err := tx.ChangeContribution(schoolA, c.ID, c.Description, c.DueDate); err != nil {
			return err
		}
		got, err := tx.LockContribution("A0001")
		if err != nil || got != c {
			w.Errorf("LockContribution after ChangeContribution = %+v, %v; want %+v", got, err, c)
		}
		return nil
	})
}

// What hangs on an account: log-ins, an address to confirm, a basket.
func accountsOwn(w world) {
	l := gateway.Login{ID: "l-1", Account: "acc-1", Device: "Firefox, Android", Since: Now(), Seen: Now()}
	other, old := l, l
	other.ID, other.Since, other.Seen = "l-2", Now().Add(time.Minute), Now().Add(2*time.Minute)
	old.ID, old.Since, old.Seen = "l-0", Now().Add(-time.Hour), Now().Add(-time.Hour)
	change := gateway.EmailChange{Account: "acc-1", Token: [32]byte{1}, Email: "new@example.org", ExpiresAt: Now().Add(time.Hour)}
	w.update(func(tx gateway.Tx) error {
		return errors.Join(tx.InsertAccount(account("acc-1", "laura", payerCode)), tx.InsertAccount(account("acc-2", "mario", "")),
			tx.InsertLogin(old, Now().Add(-2*time.Hour)), tx.InsertLogin(l, Now().Add(-2*time.Hour)), tx.InsertLogin(other, Now().Add(-30*time.Minute)),
			tx.PutEmailChange(gateway.EmailChange{Account: "acc-1", Token: [32]byte{9}, Email: "x@example.org", ExpiresAt: Now()}),
			tx.PutEmailChange(change), tx.SaveBasket("acc-1", refs(3)), tx.SaveBasket("acc-1", refs(2)))
	})
	logins := func(seen, from time.Time) []gateway.Login {
		return read(w, func(tx gateway.Tx) ([]gateway.Login, error) { return tx.Logins("acc-1", seen, from) })
	}
	equal(w, "Logins, newest first, the old one forgotten", logins(Now().Add(-time.Hour), Now().Add(-time.Hour)), []gateway.Login{other, l})
	equal(w, "Logins seen since", logins(Now().Add(time.Second), Now().Add(-time.Hour)), []gateway.Login{other})
	equal(w, "Logins begun since", logins(Now().Add(-time.Hour), Now().Add(time.Second)), []gateway.Login{other})
	w.update(func(tx gateway.Tx) error {
		w.wants("EndLogin of another's", tx.EndLogin("acc-2", "l-1", Now()), gateway.ErrNotFound)
		w.wants("TouchLogin of none", tx.TouchLogin("none", Now()), gateway.ErrNotFound)
		return errors.Join(tx.TouchLogin("l-1", Now().Add(time.Minute)), tx.EndLogin("acc-1", "l-2", Now().Add(time.Hour)))
	})
	l.Seen, other.Ended = Now().Add(time.Minute), Now().Add(time.Hour)
	equal(w, "Logins after an end", logins(Now(), Now()), []gateway.Login{l})
	equal(w, "Login that ended", read(w, func(tx gateway.Tx) (gateway.Login, error) { return tx.Login("l-2") }), other)
	w.update(func(tx gateway.Tx) error {
		w.wants("EndLogin twice", tx.EndLogin("acc-1", "l-2", Now()), gateway.ErrNotFound)
		return tx.EndOtherLogins("acc-1", "none", Now())
	})
	equal(w, "Logins after the end of all", len(logins(Now(), Now())), 0)

	equal(w, "EmailChange", read(w, func(tx gateway.Tx) (gateway.EmailChange, error) { return tx.EmailChange(change.Token) }), change)
	equal(w, "Basket", read(w, func(tx gateway.Tx) ([]gateway.NoticeRef, error) { return tx.Basket("acc-1") }), refs(2))
	equal(w, "Basket of none", len(read(w, func(tx gateway.Tx) ([]gateway.NoticeRef, error) { return tx.Basket("acc-2") })), 0)
	equal(w, "AccountByCode", read(w, func(tx gateway.Tx) (gateway.Account, error) { return tx.AccountByCode(payerCode) }), account("acc-1", "laura", payerCode))
	w.view(func(tx gateway.Tx) error {
		for _, code := range []gateway.FiscalCode{"", gateway.Anonymous, strangerCF} {
			_, err := tx.AccountByCode(code)
			w.wants("AccountByCode of "+string(code), err, gateway.ErrNotFound)
		}
		_, err := tx.EmailChange([32]byte{9})
		w.wants("EmailChange that was replaced", err, gateway.ErrNotFound)
		return nil
	})
	w.update(func(tx gateway.Tx) error {
		w.wants("DeleteAccount of none", tx.DeleteAccount("none"), gateway.ErrNotFound)
		return tx.DeleteAccount("acc-1")
	})
	w.view(func(tx gateway.Tx) error {
		_, err := tx.Account("acc-1")
		w.wants("a deleted Account", err, gateway.ErrNotFound)
		_, err = tx.Login("l-1")
		w.wants("its Login", err, gateway.ErrNotFound)
		_, err = tx.EmailChange(change.Token)
		w.wants("its EmailChange", err, gateway.ErrNotFound)
		list, err := tx.Basket("acc-1")
		if err != nil || len(list) > 0 {
			w.Errorf("its Basket is %v, %v", list, err)
		}
		return nil
	})
}

func reminders(w world) {
	due := func(i, day int, state gateway.NoticeState) gateway.Notice {
		n := notice(schoolA, i)
		n.DueDate, n.State, n.CreatedAt = gateway.Date{Year: 2026, Month: time.December, Day: day}, state, Now()
		return n
	}
	w.add(due(1, 10, gateway.NoticeOpen), due(2, 11, gateway.NoticeOpen), due(3, 10, gateway.NoticeCancelled), due(4, 12, gateway.NoticeOpen))
	d := func(day int) gateway.Date { return gateway.Date{Year: 2026, Month: time.December, Day: day} }
	list := func(issuedBefore time.Time) []gateway.Reminder {
		l := read(w, func(tx gateway.Tx) ([]gateway.Reminder, error) {
			return tx.UnremindedNotices(d(10), d(11), issuedBefore, 10)
		})
		slices.SortFunc(l, func(a, b gateway.Reminder) int { return cmp.Compare(a.Number.String(), b.Number.String()) })
		return l
	}
	first := gateway.Reminder{NoticeRef: gateway.NoticeRef{School: schoolA, Number: nr(1)}, Due: d(10)}
	second := gateway.Reminder{NoticeRef: gateway.NoticeRef{School: schoolA, Number: nr(2)}, Due: d(11)}
	equal(w, "UnremindedNotices", list(Now().Add(time.Second)), []gateway.Reminder{first, second})
	equal(w, "UnremindedNotices issued before", len(list(Now())), 0)
	w.update(func(tx gateway.Tx) error {
		for _, want := range []bool{true, false} {
			if got, err := tx.MarkReminded(first, Now()); err != nil || got != want {
				w.Errorf("MarkReminded = %v, %v; want %v", got, err, want)
			}
		}
		return nil
	})
	equal(w, "UnremindedNotices after one", list(Now().Add(time.Second)), []gateway.Reminder{second})
	moved := first
	moved.Due = d(11)
	w.update(func(tx gateway.Tx) error {
		n, err := tx.LockNotice(schoolA, nr(1))
		if err != nil {
			return err
		}
		n.DueDate = d(11)
		n.Version++
		return tx.SaveNotice(n)
	})
	equal(w, "UnremindedNotices after its day moved", list(Now().Add(time.Second)), []gateway.Reminder{moved, second})
}

func dueAttempts(w world) {
	states := []gateway.AttemptState{
		gateway.AttemptCreated, gateway.AttemptSent, gateway.AttemptUnknown, gateway.AttemptAuthorised,
		gateway.AttemptSettled, gateway.AttemptFailed, gateway.AttemptAbandoned, gateway.AttemptExpired,
	}
	w.update(func(tx gateway.Tx) error {
		for i, s := range states {
			n := notice(schoolA, i)
			if _, err := tx.InsertNotices([]gateway.Notice{n}); err != nil {
				return err
			}
			a := attempt(string(s), "c-"+string(s))
			a.State, a.LapsesAt = s, Now().Add(-time.Duration(i)*time.Second)
			if err := errors.Join(tx.InsertCart(cart(a.Cart, n)), tx.InsertAttempt(a, []gateway.NoticeRef{{School: schoolA, Number: n.Number}}), tx.SaveAttempt(a)); err != nil {
				return err
			}
		}
		return nil
	})
	for _, c := range []struct {
		now   time.Time
		limit int
		want  []string
	}{
		{Now(), 10, []string{"unknown", "sent", "created"}},
		{Now(), 1, []string{"unknown"}},
		{Now().Add(-time.Microsecond), 10, []string{"unknown", "sent"}},
		{Now().Add(-time.Hour), 10, nil},
	} {
		var got []string
		for _, a := range read(w, func(tx gateway.Tx) ([]gateway.Attempt, error) { return tx.DueAttempts(c.now, c.limit) }) {
			got = append(got, a.ID)
		}
		equal(w, fmt.Sprintf("DueAttempts(%v, %d)", c.now, c.limit), got, c.want)
	}
}

func claimPolls(w world) {
	states := []gateway.AttemptState{
		gateway.AttemptSent, gateway.AttemptUnknown, gateway.AttemptAuthorised, gateway.AttemptSettled, gateway.AttemptFailed, gateway.AttemptCreated,
	}
	w.update(func(tx gateway.Tx) error {
		for i, s := range append(states, "sent, later", "sent, never") {
			n := notice(schoolA, i)
			if _, err := tx.InsertNotices([]gateway.Notice{n}); err != nil {
				return err
			}
			a := attempt(fmt.Sprint("p-", s), fmt.Sprint("c-p-", s))
			if err := errors.Join(tx.InsertCart(cart(a.Cart, n)), tx.InsertAttempt(a, []gateway.NoticeRef{{School: schoolA, Number: n.Number}})); err != nil {
				return err
			}
			a.State, a.PollAt, a.Polls = s, Now().Add(-time.Duration(i)*time.Second), i
			switch s {
			case "sent, later":
				a.State, a.PollAt = gateway.AttemptSent, Now().Add(time.Microsecond)
			case "sent, never":
				a.State, a.PollAt, a.Polls = gateway.AttemptSent, time.Time{}, 0
			}
			if err := tx.SaveAttempt(a); err != nil {
				return err
			}
			if got, err := tx.Attempt(a.ID); err != nil || !reflect.DeepEqual(got, a) {
				w.Errorf("Attempt = %+v, %v; want %+v", got, err, a)
			}
			if a.PollAt.IsZero() {
				continue
			}
			// What is polled does not lapse.
			if due, err := tx.DueAttempts(Now().Add(24*time.Hour), 100); err != nil || slices.ContainsFunc(due, func(d gateway.Attempt) bool { return d.ID == a.ID }) {
				w.Errorf("DueAttempts has the polled %s, %v", a.ID, err)
			}
		}
		return nil
	})
	until := Now().Add(30 * time.Second)
	claim := func(now time.Time, limit int) (ids []string) {
		w.update(func(tx gateway.Tx) error {
			list, err := tx.ClaimPolls(now, until, limit)
			ids = nil
			for _, a := range list {
				if !a.PollAt.Equal(until) {
					w.Errorf("%s was claimed until %v, want %v", a.ID, a.PollAt, until)
				}
				ids = append(ids, a.ID)
			}
			slices.Sort(ids)
			return err
		})
		return ids
	}
	equal(w, "ClaimPolls before anything is due", claim(Now().Add(-time.Minute), 10), []string(nil))
	equal(w, "ClaimPolls of one: the oldest", claim(Now(), 1), []string{"p-unknown"})
	equal(w, "ClaimPolls of the rest", claim(Now(), 10), []string{"p-sent"})
	equal(w, "ClaimPolls again", claim(Now(), 10), []string(nil))
	equal(w, "ClaimPolls after the lease", claim(until, 10), []string{"p-sent", "p-sent, later", "p-unknown"})
}

func pupils(w world) {
	p := gateway.Pupil{School: schoolA, ID: "p-1", Code: pupilCode, FirstName: "Mario", LastName: "Rossi", Class: "3B", SchoolYear: "2026/27"}
	q, r := p, p
	q.ID, q.Class, q.Code = "p-0", "3B", strangerCF
	r.ID, r.Class, r.Code = "p-9", "1A", gateway.Anonymous
	w.update(func(tx gateway.Tx) error { return errors.Join(tx.PutPupil(p), tx.PutPupil(q), tx.PutPupil(r)) })
	list := read(w, func(tx gateway.Tx) ([]gateway.Pupil, error) { return tx.Pupils(schoolA) })
	equal(w, "Pupils, by class, then id", list, []gateway.Pupil{r, q, p})
	p.FirstName, p.Class = "Maria", "4B"
	link := gateway.Link{School: schoolA, Pupil: "p-1", Payer: "y-1", Relation: "mother", Since: Now(), By: user}
	w.update(func(tx gateway.Tx) error {
		w.wants("LinkPayer of no payer", tx.LinkPayer(link), gateway.ErrNotFound)
		if err := errors.Join(tx.PutPupil(p), tx.PutPayer(gateway.Payer{School: schoolA, ID: "y-1", Code: payerCode, FirstName: "Laura", LastName: "Bianchi", Email: "laura.bianchi@example.org", Language: "it"})); err != nil {
			return err
		}
		again := link
		again.Relation, again.Since = "guardian", Now().Add(time.Hour)
		other := link
		other.School = schoolB
		w.wants("LinkPayer in another school", tx.LinkPayer(other), gateway.ErrNotFound)
		return errors.Join(tx.LinkPayer(link), tx.LinkPayer(again))
	})
	equal(w, "Pupil", read(w, func(tx gateway.Tx) (gateway.Pupil, error) { return tx.Pupil(schoolA, "p-1") }), p)
	equal(w, "PupilsOfFamily", read(w, func(tx gateway.Tx) ([]gateway.Pupil, error) { return tx.PupilsOfFamily(payerCode) }), []gateway.Pupil{p})
	for _, nobody := range []gateway.FiscalCode{"", gateway.Anonymous, pupilCode} {
		equal(w, "PupilsOfFamily of who is linked to none", len(read(w, func(tx gateway.Tx) ([]gateway.Pupil, error) { return tx.PupilsOfFamily(nobody) })), 0)
	}
	w.view(func(tx gateway.Tx) error {
		_, err := tx.Pupil(schoolB, "p-1")
		w.wants("Pupil of another school", err, gateway.ErrNotFound)
		return nil
	})
	var relation, by string
	if err := w.raw().QueryRowContext(w.Context(), `SELECT relation, by_name FROM pupil_payers`).Scan(&relation, &by); err != nil || relation != "guardian" || by != user.Name {
		w.Errorf("the link = %s by %s, %v, want guardian by %s", relation, by, err, user.Name)
	}
}

func accounts(w world) {
	a := account("acc-1", "laura", payerCode)
	b := account("acc-2", "mario", "")
	b.LockedUntil = time.Time{}
	c := account("acc-3", "giu", "")
	w.update(func(tx gateway.Tx) error {
		if err := errors.Join(tx.InsertAccount(a), tx.InsertAccount(b), tx.InsertAccount(c)); err != nil {
			return err
		}
		w.wants("InsertAccount with a taken name", tx.InsertAccount(account("acc-4", "laura", strangerCF)), gateway.ErrConflict)
		w.wants("InsertAccount with a taken code", tx.InsertAccount(account("acc-4", "new", payerCode)), gateway.ErrConflict)
		return nil
	})
	for _, want := range []gateway.Account{a, b} {
		equal(w, "Account", read(w, func(tx gateway.Tx) (gateway.Account, error) { return tx.Account(want.ID) }), want)
		equal(w, "AccountByUsername", read(w, func(tx gateway.Tx) (gateway.Account, error) { return tx.AccountByUsername(want.Username) }), want)
	}
	b.Username, b.Code, b.Password, b.MustChange, b.Failures = "mario2", pupilCode, "x", false, 0
	w.update(func(tx gateway.Tx) error {
		if err := tx.SaveAccount(b); err != nil {
			return err
		}
		clash := b
		clash.Code = payerCode
		w.wants("SaveAccount with a taken code", tx.SaveAccount(clash), gateway.ErrConflict)
		w.wants("SaveAccount of none", tx.SaveAccount(account("none", "none", "")), gateway.ErrNotFound)
		_, err := tx.Account("none")
		w.wants("Account of none", err, gateway.ErrNotFound)
		_, err = tx.AccountByUsername("mario")
		w.wants("AccountByUsername of the old name", err, gateway.ErrNotFound)
		return nil
	})
	equal(w, "saved account", read(w, func(tx gateway.Tx) (gateway.Account, error) { return tx.AccountByUsername("mario2") }), b)
}

func clients(w world) {
	c := gateway.Client{ID: "ngc_1", Name: "Registro", School: schoolA, Scopes: []string{"notices:read", "notices:write"}, Secret: [32]byte{1}, CreatedAt: Now(), Version: 1}
	op := gateway.Client{ID: "ngc_2", Name: "Operatore", Scopes: []string{"admin"}, Secret: [32]byte{2}, CreatedAt: Now(), Version: 1}
	w.update(func(tx gateway.Tx) error {
		if err := errors.Join(tx.InsertClient(c), tx.InsertClient(op)); err != nil {
			return err
		}
		w.wants("InsertClient again", tx.InsertClient(c), gateway.ErrConflict)
		return errors.Join(tx.RevokeClient("ngc_1", Now()), tx.RevokeClient("ngc_1", Now().Add(time.Hour)),
			tx.AppendAudit(gateway.Audit{School: schoolA, Actor: user, Action: "client.revoked", Object: "ngc_1", At: Now()}))
	})
	c.RevokedAt = Now()
	equal(w, "Client", read(w, func(tx gateway.Tx) (gateway.Client, error) { return tx.Client("ngc_1") }), c)
	equal(w, "Clients, newest first", read(w, func(tx gateway.Tx) ([]gateway.Client, error) { return tx.Clients() }), []gateway.Client{op, c})
	w.update(func(tx gateway.Tx) error {
		w.wants("RotateClient of a revoked one", tx.RotateClient("ngc_1", [32]byte{3}), gateway.ErrNotFound)
		if err := tx.RotateClient("ngc_2", [32]byte{3}); err != nil {
			return err
		}
		if got, err := tx.Client("ngc_2"); err != nil || got.Secret != [32]byte{3} || got.Version != 2 {
			w.Errorf("rotated client = %+v, %v", got, err)
		}
		w.wants("RevokeClient of none", tx.RevokeClient("none", Now()), gateway.ErrNotFound)
		_, err := tx.Client("none")
		w.wants("Client of none", err, gateway.ErrNotFound)
		return nil
	})
}

func once(w world) {
	r := gateway.OnceRecord{Scope: "s", Fingerprint: [32]byte{1}, Running: true, CreatedAt: Now(), ExpiresAt: Now().Add(time.Hour), Body: []byte{}}
	done := r
	done.Running, done.Status, done.Location, done.Body = false, 201, "/api/v1/x", []byte(`{"name":"Mario Rossi"}`)
	get := func() gateway.OnceRecord {
		w.Helper()
		return read(w, func(tx gateway.Tx) (gateway.OnceRecord, error) { return tx.OnceRecord("s") })
	}
	w.update(func(tx gateway.Tx) error {
		_, err := tx.OnceRecord("s")
		w.wants("OnceRecord of none", err, gateway.ErrNotFound)
		return tx.PutOnce(r)
	})
	got := get()
	equal(w, "running", got.Running && len(got.Body) == 0, true)
	w.update(func(tx gateway.Tx) error {
		w.wants("PutOnce of a second taker", tx.PutOnce(r), gateway.ErrConflict)
		return nil
	})
	w.update(func(tx gateway.Tx) error { return tx.PutOnce(done) })
	equal(w, "done", get(), done)
	again := r
	again.Fingerprint = [32]byte{2}
	w.update(func(tx gateway.Tx) error {
		w.wants("PutOnce over a finished record", tx.PutOnce(again), gateway.ErrConflict)
		return nil
	})
	equal(w, "still done", get(), done)
	again.CreatedAt, again.ExpiresAt = done.ExpiresAt, done.ExpiresAt.Add(time.Hour)
	w.update(func(tx gateway.Tx) error { return tx.PutOnce(again) })
	equal(w, "fingerprint after the first expired", get().Fingerprint, again.Fingerprint)
	if err := w.DropExpired(w.Context(), again.ExpiresAt.Add(-time.Microsecond)); err != nil {
		w.Fatal(err)
	}
	equal(w, "kept until it expires", get().Fingerprint, again.Fingerprint)
	if err := w.DropExpired(w.Context(), again.ExpiresAt); err != nil {
		w.Fatal(err)
	}
	w.view(func(tx gateway.Tx) error {
		_, err := tx.OnceRecord("s")
		w.wants("OnceRecord of an expired one", err, gateway.ErrNotFound)
		return nil
	})
	w.update(func(tx gateway.Tx) error { return errors.Join(tx.DeleteOnce("s"), tx.DeleteOnce("s")) })
	w.view(func(tx gateway.Tx) error {
		_, err := tx.OnceRecord("s")
		w.wants("OnceRecord of a deleted one", err, gateway.ErrNotFound)
		return nil
	})

	// A long answer comes back byte for byte, and takes a part of its length.
	done.Body = bytes.Repeat([]byte(`{"description":"Viaggio di istruzione a Siena"}`), 2000)
	w.update(func(tx gateway.Tx) error { return tx.PutOnce(done) })
	equal(w, "a long answer", get(), done)
	var length int
	if err := w.raw().QueryRowContext(w.Context(), "SELECT length(body_enc) FROM once WHERE scope = 's'").Scan(&length); err != nil || length > len(done.Body)/10 {
		w.Errorf("a repetitive answer of %d bytes is kept in %d, %v", len(done.Body), length, err)
	}
}

func sessions(w world) {
	s, ctx := w.Sessions(), w.Context()
	check := func(token, want string, there bool) {
		w.Helper()
		data, found, err := s.FindCtx(ctx, token)
		if string(data) != want || found != there || err != nil {
			w.Errorf("Find(%s) = %q, %v, %v, want %q, %v", token, data, found, err, want, there)
		}
	}
	for _, c := range []struct {
		token, data string
		expiry      time.Time
	}{
		{"one", "first", Now().Add(time.Minute)}, {"one", "second", Now().Add(time.Minute)},
		{"old", "x", Now()}, {"two", "other", Now().Add(time.Microsecond)},
	} {
		if err := s.CommitCtx(ctx, c.token, []byte(c.data), c.expiry); err != nil {
			w.Fatal(err)
		}
	}
	check("one", "second", true)
	check("two", "other", true)
	check("old", "", false)
	check("none", "", false)
	if n, err := s.DeleteExpired(ctx, Now()); n != 1 || err != nil {
		w.Errorf("DeleteExpired = %d, %v, want 1", n, err)
	}
	for range 2 {
		if err := s.Delete("one"); err != nil {
			w.Errorf("Delete = %v", err)
		}
	}
	check("one", "", false)
	check("two", "other", true)
}

func clockMark(w world) {
	for _, c := range []struct{ set, want time.Time }{
		{time.Time{}, time.Time{}}, {Now(), Now()}, {Now().Add(-time.Hour), Now()}, {Now().Add(time.Microsecond), Now().Add(time.Microsecond)},
	} {
		if !c.set.IsZero() {
			if err := w.SetClockMark(w.Context(), c.set); err != nil {
				w.Fatal(err)
			}
		}
		if got, err := w.ClockMark(w.Context()); !got.Equal(c.want) || err != nil {
			w.Errorf("ClockMark = %v, %v, want %v", got, err, c.want)
		}
	}
}

func startTogether(w world) {
	other := w.another()
	atOnce(4, func(int) {
		db, err := store.OpenMigrated(w.Context(), store.Config{URL: other, Secret: Secret, Now: Now})
		if err != nil {
			w.Errorf("OpenMigrated beside others = %v", err)
			return
		}
		if err := db.Close(); err != nil {
			w.Error(err)
		}
	})
}

func migrations(w world) {
	list, err := w.MigrationStatus(w.Context())
	if err != nil || len(list) == 0 {
		w.Fatalf("MigrationStatus = %v, %v", list, err)
	}
	for i, m := range list {
		if i > 0 && m.Number <= list[i-1].Number || m.AppliedAt.IsZero() || m.Name == "" {
			w.Errorf("migration %+v, want a number of its own, applied", m)
		}
	}
	if err := w.Migrate(w.Context()); err != nil {
		w.Errorf("Migrate again = %v", err)
	}
	db, err := store.Open(context.Background(), store.Config{URL: w.url, Secret: Secret, Now: Now})
	if err != nil {
		w.Fatal(err)
	}
	if err := db.Close(); err != nil {
		w.Error(err)
	}
}
