// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"

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
