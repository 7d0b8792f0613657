// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/iuv"
)

// What school offices ask the store for.

func plans(w world) {
	member := func(base, instalment int) gateway.Notice {
		n := notice(schoolA, base)
		n.Plan, n.Instalment, n.PlanParts = "plan-1", instalment, 2
		return n
	}
	single, one, two := member(1, 0), member(2, 1), member(3, 2)
	w.add(two, single, one, notice(schoolA, 4))
	list := read(w, func(tx gateway.Tx) ([]gateway.Notice, error) { return tx.NoticesOfPlan(schoolA, "plan-1") })
	var got []iuv.Number
	for _, n := range list {
		got = append(got, n.Number)
	}
	want := []iuv.Number{single.Number, one.Number, two.Number}
	equal(w, "NoticesOfPlan, the single option first", got, want)
	for _, base := range []int{1, 3} {
		n := read(w, func(tx gateway.Tx) (gateway.Notice, error) { return tx.Notice(schoolA, nr(base)) })
		equal(w, "PlanNotices", n.PlanNotices, want)
		if n.Plan != "plan-1" || n.PlanParts != 2 {
			w.Errorf("plan of a notice = %s of %d", n.Plan, n.PlanParts)
		}
	}
	if n := read(w, func(tx gateway.Tx) (gateway.Notice, error) { return tx.Notice(schoolA, nr(4)) }); n.PlanNotices != nil {
		w.Errorf("a notice without plan has %v", n.PlanNotices)
	}
	equal(w, "no plan has no notices", len(read(w, func(tx gateway.Tx) ([]gateway.Notice, error) { return tx.NoticesOfPlan(schoolA, "") })), 0)
	equal(w, "a plan is one school's", len(read(w, func(tx gateway.Tx) ([]gateway.Notice, error) { return tx.NoticesOfPlan(schoolB, "plan-1") })), 0)

	// Who holds one of a plan holds all: from either end, nobody waits for ever.
	done := make(chan error)
	for i := range 8 {
		go func() {
			done <- w.Update(w.Context(), func(tx gateway.Tx) error {
				n, err := tx.LockNotice(schoolA, nr(1+i%3))
				if err != nil {
					return err
				}
				all, err := tx.NoticesOfPlan(schoolA, n.Plan)
				for _, m := range all {
					m.Version++
					err = errors.Join(err, tx.SaveNotice(m))
				}
				return err
			})
		}()
	}
	for range 8 {
		if err := <-done; err != nil {
			w.Error(err)
		}
	}
	for base := 1; base <= 3; base++ {
		n := read(w, func(tx gateway.Tx) (gateway.Notice, error) { return tx.Notice(schoolA, nr(base)) })
		equal(w, "version after eight changes", n.Version, 9)
	}
}

func namesAreFound(w world) {
	type person struct {
		base int
		code gateway.FiscalCode
		name string
	}
	people := []person{
		{1, pupilCode, "Mario Rossi"},
		{2, payerCode, "Niccolò De Luca"},
		{3, strangerCF, "Rosa D'Angelo Re"},
		{4, gateway.Anonymous, "Rosanna Nessuno"},
		{5, pupilCode, "Mario Rossi"},
	}
	var list []gateway.Notice
	for _, p := range people {
		n := notice(schoolA, p.base)
		n.Debtor.Code, n.Debtor.Name = p.code, p.name
		list = append(list, n)
	}
	other := notice(schoolB, 9)
	w.add(append(list, other)...)
	find := func(q string, limit int) []int {
		f := gateway.NoticeFilter{Now: Now(), Query: q, Limit: limit}
		var got []int
		for _, n := range read(w, func(tx gateway.Tx) ([]gateway.Notice, error) { return tx.Notices(schoolA, f) }) {
			got = append(got, people[slices.IndexFunc(list, func(o gateway.Notice) bool { return o.Number == n.Number })].base)
		}
		return got
	}
	for _, c := range []struct {
		q    string
		want []int
	}{
		{"ros", []int{5, 3, 1}},
		{"ROSSI", []int{5, 1}},
		{"rossi mario", []int{5, 1}},
		{"mar ross", []int{5, 1}},
		{"rosso", nil},
		{"rossim", nil},
		{"nicco", []int{2}},
		{"Niccolò", []int{2}},
		{"de luca", []int{2}},
		{"luca d", []int{2}},
		{"d'angelo", []int{3}},
		{"angelo", []int{3}},
		{"re", []int{3}},
		{"ro", []int{5, 3, 1}},
		{"r m", []int{5, 1}},
		{"nessuno", nil},
		{"' \u0300", nil},
		{"%", nil},
	} {
		equal(w, fmt.Sprintf("found by %q", c.q), find(c.q, 0), c.want)
	}
	equal(w, "a page", find("ros", 2), []int{5, 3})

	// A new name finds it too, and the old one still does.
	w.update(func(tx gateway.Tx) error {
		n, err := tx.LockNotice(schoolA, nr(1))
		n.Debtor.Name, n.Version = "Marius Roßi", n.Version+1
		return errors.Join(err, tx.SaveNotice(n), tx.NameDebtor(n))
	})
	equal(w, "found by the new name", find("marius", 0), []int{5, 1})
	equal(w, "found by the old name", find("mario", 0), []int{5, 1})

	// Nothing of a name can be read.
	rows, err := w.raw().QueryContext(w.Context(), `SELECT name_enc FROM names`)
	if err != nil {
		w.Fatal(err)
	}
	defer rows.Close()
	count := 0
	for ; rows.Next(); count++ {
		var sealed []byte
		if err := rows.Scan(&sealed); err != nil {
			w.Fatal(err)
		}
		if strings.Contains(strings.ToLower(string(sealed)), "ross") {
			w.Error("a name stands in the database")
		}
	}
	// A person has a row for each name, however many notices.
	if err := rows.Err(); err != nil || count != 5 {
		w.Errorf("%d rows of names, %v, want 5", count, err)
	}
}

func enrolment(w world) {
	p := gateway.Pupil{School: schoolA, ID: "p-1", Code: pupilCode, FirstName: "Mario", LastName: "Rossi", Class: "3B", SchoolYear: "2026/27", CreatedAt: Now()}
	old := p
	old.ID, old.CreatedAt = "p-0", time.Time{} // of before anybody asked
	y := gateway.Payer{School: schoolA, ID: "y-1", Code: payerCode, FirstName: "Laura", LastName: "Bianchi", Email: "laura@example.org", Language: "de"}
	link := func(pupil string) gateway.Link {
		return gateway.Link{School: schoolA, Pupil: pupil, Payer: "y-1", Relation: "mother", Since: Now(), By: user}
	}
	w.update(func(tx gateway.Tx) error {
		return errors.Join(tx.PutPupil(p), tx.PutPupil(old), tx.PutPayer(y), tx.LinkPayer(link("p-1")), tx.LinkPayer(link("p-0")))
	})
	want := gateway.PupilRecord{Pupil: p, Payers: []gateway.LinkedPayer{{Payer: y, Relation: "mother", Since: Now(), By: user}}}
	equal(w, "PupilRecord", read(w, func(tx gateway.Tx) (gateway.PupilRecord, error) { return tx.PupilRecord(schoolA, "p-1") }), want)
	list := read(w, func(tx gateway.Tx) ([]gateway.PupilRecord, error) {
		return tx.PupilRecords(schoolA, gateway.PupilFilter{})
	})
	if len(list) != 2 || list[1].ID != "p-0" || len(list[1].Payers) != 1 {
		w.Errorf("PupilRecords = %+v", list)
	}
	equal(w, "the first one", list[0], want)
	equal(w, "of another school", len(read(w, func(tx gateway.Tx) ([]gateway.PupilRecord, error) {
		return tx.PupilRecords(schoolB, gateway.PupilFilter{})
	})), 0)
	payers := func() (n int) {
		if err := w.raw().QueryRowContext(w.Context(), `SELECT count(*) FROM payers`).Scan(&n); err != nil {
			w.Fatal(err)
		}
		return n
	}
	w.update(func(tx gateway.Tx) error {
		_, err := tx.PupilRecord(schoolB, "p-1")
		w.wants("PupilRecord of another school", err, gateway.ErrNotFound)
		w.wants("UnlinkPayer in another school", tx.UnlinkPayer(schoolB, "p-1", "y-1"), gateway.ErrNotFound)
		return tx.UnlinkPayer(schoolA, "p-1", "y-1")
	})
	equal(w, "payers, one link left", payers(), 1)
	w.update(func(tx gateway.Tx) error {
		w.wants("UnlinkPayer again", tx.UnlinkPayer(schoolA, "p-1", "y-1"), gateway.ErrNotFound)
		return tx.UnlinkPayer(schoolA, "p-0", "y-1")
	})
	equal(w, "payers, no link left", payers(), 0)
}

func delegations(w world) {
	y := gateway.Payer{School: schoolA, ID: "y-1", Code: payerCode, FirstName: "Laura", LastName: "Bianchi", Email: "laura@example.org", Language: "it"}
	d := gateway.Delegation{Class: "3B", Payer: y, Since: Now(), By: user}
	w.add(notice(schoolA, 1), notice(schoolB, 2))
	w.update(func(tx gateway.Tx) error {
		if err := errors.Join(tx.PutPayer(y), tx.InsertDelegation(schoolA, d)); err != nil {
			return err
		}
		w.wants("InsertDelegation again", tx.InsertDelegation(schoolA, d), gateway.ErrConflict)
		return nil
	})
	equal(w, "Delegations", read(w, func(tx gateway.Tx) ([]gateway.Delegation, error) { return tx.Delegations(schoolA, "3B") }), []gateway.Delegation{d})
	equal(w, "of another class", len(read(w, func(tx gateway.Tx) ([]gateway.Delegation, error) { return tx.Delegations(schoolA, "3A") })), 0)
	sees := func(since time.Time) []gateway.ClassNotice {
		return read(w, func(tx gateway.Tx) ([]gateway.ClassNotice, error) { return tx.ClassNotices(payerCode, since, Now(), 9) })
	}
	n := notice(schoolA, 1)
	equal(w, "ClassNotices", sees(Now()), []gateway.ClassNotice{{
		School: schoolA, SchoolName: "Istituto Beta", Class: "3B", Name: n.Debtor.Name, Description: n.Description, Amount: n.Amount, DueDate: n.DueDate,
		State: gateway.NoticeOpen, Campaign: n.Campaign,
	}})
	has := func(code gateway.FiscalCode, since time.Time) bool {
		return read(w, func(tx gateway.Tx) (bool, error) { return tx.HasClassNotice(code, since) })
	}
	equal(w, "HasClassNotice", []bool{has(payerCode, Now()), has(payerCode, Now().Add(time.Microsecond)), has(strangerCF, Now()), has("", Now())}, []bool{true, false, false, false})
	equal(w, "ClassNotices of later", len(sees(Now().Add(time.Microsecond))), 0)
	w.update(func(tx gateway.Tx) error {
		if err := tx.EndDelegation(schoolA, "3B", "y-1", user, Now()); err != nil {
			return err
		}
		w.wants("EndDelegation again", tx.EndDelegation(schoolA, "3B", "y-1", user, Now()), gateway.ErrNotFound)
		return nil
	})
	equal(w, "ClassNotices when it ended", len(sees(Now())), 0)
	equal(w, "HasClassNotice when it ended", has(payerCode, Now()), false)
	var kept int
	if err := w.raw().QueryRowContext(w.Context(), `SELECT count(*) FROM delegates WHERE ended_by_name = $1 AND ended_at IS NOT NULL`, user.Name).Scan(&kept); err != nil || kept != 1 {
		w.Errorf("%d delegations kept with who ended them, %v", kept, err)
	}
	w.update(func(tx gateway.Tx) error { return errors.Join(tx.PutPayer(y), tx.InsertDelegation(schoolA, d)) })
}

func auditTrail(w world) {
	line := func(school gateway.SchoolCode, action, object string, at time.Time) gateway.Audit {
		return gateway.Audit{School: school, Actor: user, Action: action, Object: object, At: at}
	}
	w.update(func(tx gateway.Tx) error {
		return errors.Join(
			tx.AppendAudit(line(schoolA, "pupil.put", "p-1", Now())), tx.AppendAudit(line(schoolA, "pupil.read", "p-1", Now().Add(time.Second))),
			tx.AppendAudit(line(schoolB, "pupil.put", "p-1", Now())), tx.AppendAudit(line("", "taxonomy.imported", "", Now())))
	})
	for _, c := range []struct {
		name   string
		school gateway.SchoolCode
		f      gateway.AuditFilter
		want   string
	}{
		{"all", schoolA, gateway.AuditFilter{}, "pupil.read pupil.put"},
		{"limit", schoolA, gateway.AuditFilter{Limit: 1}, "pupil.read"},
		{"action", schoolA, gateway.AuditFilter{Action: "pupil.put"}, "pupil.put"},
		{"object", schoolA, gateway.AuditFilter{Object: "p-2"}, ""},
		{"actor", schoolA, gateway.AuditFilter{Actor: user.Name}, "pupil.read pupil.put"},
		{"stranger", schoolA, gateway.AuditFilter{Actor: "x"}, ""},
		{"from", schoolA, gateway.AuditFilter{From: Now().Add(time.Second)}, "pupil.read"},
		{"to", schoolA, gateway.AuditFilter{To: Now().Add(time.Second)}, "pupil.put"},
		{"of the installation", "", gateway.AuditFilter{}, "taxonomy.imported"},
	} {
		var got []string
		for _, a := range read(w, func(tx gateway.Tx) ([]gateway.Audit, error) { return tx.Audits(c.school, c.f) }) {
			got = append(got, a.Action)
		}
		equal(w, "audit trail, "+c.name, strings.Join(got, " "), c.want)
	}
	list := read(w, func(tx gateway.Tx) ([]gateway.Audit, error) { return tx.Audits(schoolA, gateway.AuditFilter{}) })
	older := read(w, func(tx gateway.Tx) ([]gateway.Audit, error) {
		return tx.Audits(schoolA, gateway.AuditFilter{Before: list[0].Seq})
	})
	equal(w, "audit trail, next page", older, list[1:])
}

func taxonomyList() []gateway.TaxonomyCode {
	year := func(y int) (from, to gateway.Date) {
		return gateway.Date{Year: y, Month: time.January, Day: 1}, gateway.Date{Year: y, Month: time.December, Day: 31}
	}
	a, b := gateway.TaxonomyCode{Code: "0801100AP", Kind: "08", Area: "Scuole", Name: "Entrate", Version: "1"}, gateway.TaxonomyCode{Code: "0801101SP", Kind: "08", Name: "Viaggi"}
	a.From, a.To = year(2025)
	b.From, b.To = year(2026)
	c := a
	c.From, c.To = year(2026)
	return []gateway.TaxonomyCode{a, c, b}
}

func taxonomy(w world) {
	type answer struct {
		loaded bool
		list   []gateway.TaxonomyCode
	}
	ask := func(codes ...string) answer {
		return read(w, func(tx gateway.Tx) (a answer, err error) {
			a.loaded, a.list, err = tx.TaxonomyCodes(codes)
			return a, err
		})
	}
	equal(w, "TaxonomyCodes of no list", ask(), answer{})
	list := taxonomyList()
	w.update(func(tx gateway.Tx) error { return tx.ReplaceTaxonomy(list) })
	equal(w, "all codes", ask(), answer{true, list})
	equal(w, "one code in both its times", ask("0801100AP"), answer{true, list[:2]})
	equal(w, "no such code", ask("0000000IM"), answer{true, nil})
	w.update(func(tx gateway.Tx) error { return tx.ReplaceTaxonomy(list[2:]) })
	equal(w, "the new list alone", ask(), answer{true, list[2:]})
}

func evidenceListed(w world) {
	piece := func(id string, school gateway.SchoolCode, kind gateway.EvidenceKind) gateway.Evidence {
		return gateway.Evidence{ID: id, Kind: kind, Operation: "paSendRTV2", School: school, ReceiptID: "r", Number: nr(1).String(), Raw: []byte("<a>" + id + "</a>"), Received: Now()}
	}
	const unknown = gateway.SchoolCode("99999999999")
	w.update(func(tx gateway.Tx) error {
		return errors.Join(
			tx.InsertEvidence(piece("a1", schoolA, gateway.EvidenceAltered)), tx.InsertEvidence(piece("a2", schoolA, gateway.EvidenceRefused)),
			tx.InsertEvidence(piece("b1", schoolB, gateway.EvidenceAltered)), tx.InsertEvidence(piece("x1", "", gateway.EvidenceSyntax)),
			tx.InsertEvidence(piece("x2", unknown, gateway.EvidenceRefused)))
	})
	list := func(school gateway.SchoolCode, f gateway.EvidenceFilter) []gateway.Evidence {
		return read(w, func(tx gateway.Tx) ([]gateway.Evidence, error) { return tx.Evidences(school, f) })
	}
	for _, c := range []struct {
		name   string
		school gateway.SchoolCode
		f      gateway.EvidenceFilter
		want   string
	}{
		{"a school's", schoolA, gateway.EvidenceFilter{}, "a2 a1"},
		{"a page", schoolA, gateway.EvidenceFilter{Limit: 1}, "a2"},
		{"a kind", schoolA, gateway.EvidenceFilter{Kind: gateway.EvidenceAltered}, "a1"},
		{"nobody's", "", gateway.EvidenceFilter{}, "x2 x1"},
		{"of who is no school of ours", unknown, gateway.EvidenceFilter{}, ""},
	} {
		var got []string
		for _, e := range list(c.school, c.f) {
			got = append(got, e.ID)
			if e.Raw != nil {
				w.Errorf("%s: a list has the bytes", c.name)
			}
		}
		equal(w, "Evidences, "+c.name, strings.Join(got, " "), c.want)
	}
	first := list(schoolA, gateway.EvidenceFilter{Limit: 1})
	equal(w, "Evidences, next page", len(list(schoolA, gateway.EvidenceFilter{Before: first[0].Seq})), 1)
	w.view(func(tx gateway.Tx) error {
		for id, school := range map[string]gateway.SchoolCode{"a1": schoolA, "x1": "", "x2": ""} {
			e, err := tx.EvidenceByID(school, id)
			if err != nil || string(e.Raw) != "<a>"+id+"</a>" {
				w.Errorf("EvidenceByID(%s) = %s, %v", id, e.Raw, err)
			}
		}
		for id, school := range map[string]gateway.SchoolCode{"a1": schoolB, "b1": "", "x1": schoolA, "x2": unknown, "none": schoolA} {
			_, err := tx.EvidenceByID(school, id)
			w.wants("EvidenceByID of "+id+" for another", err, gateway.ErrNotFound)
		}
		return nil
	})
}

func saveSchool(w world) {
	s := school(schoolA, "Istituto Nuovo")
	s.IBAN, s.CBILL, s.Postal, s.Taxonomy, s.HelpText, s.Version = "IT45R0760103200000000001016", "", gateway.PostalAccount{}, "9/0101002IM/", "x", 2
	s.Town, s.CampaignsNeedApproval, s.HelpMail = "Orbetello", true, "altra@scuola.example"
	w.update(func(tx gateway.Tx) error { return tx.SaveSchool(s) })
	equal(w, "the school saved", read(w, func(tx gateway.Tx) (gateway.School, error) { return tx.School(schoolA) }), s)
	w.update(func(tx gateway.Tx) error {
		w.wants("SaveSchool of the same version", tx.SaveSchool(s), gateway.ErrConflict)
		s.Code = "99999999999"
		w.wants("SaveSchool of none", tx.SaveSchool(s), gateway.ErrConflict)
		return nil
	})
}
