// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
)

// MaxRegistryRows bounds a table of pupils and payers: more than any school has.
const MaxRegistryRows = 10_000

// RegistryRow is a line of a table of pupils and who pays for them: a pupil stands
// on as many lines as it has payers. An id that is empty is found by the fiscal
// code, or made.
type RegistryRow struct {
	Row   int // in the file, for who reads the errors
	Pupil NewPupil
	Payer *NewPayer // nil: none on this line
}

// RegistryImport is what a table did, or would do.
type RegistryImport struct {
	Rows, Enrolled, Changed, Linked, Unchanged int
}

var errDryRun = errors.New("dry run")

// EnrolMany writes a table of pupils and payers, all or nothing. Payers that are
// not in it stay linked, so that a part of the registry can be given. Wrong lines
// are *Invalid, with fields like rows[7].payer_fiscal_code. A dry run leaves
// everything as it was.
func (s *Service) EnrolMany(ctx context.Context, actor Actor, school SchoolCode, rows []RegistryRow, dryRun bool) (RegistryImport, error) {
	if len(rows) == 0 || len(rows) > MaxRegistryRows {
		return RegistryImport{}, &Invalid{[]FieldError{{"rows", "length", fmt.Sprintf("give 1 to %d rows", MaxRegistryRows)}}}
	}
	var out RegistryImport
	err := s.store.Update(ctx, func(tx Tx) (err error) {
		if out, err = s.enrolRows(tx, actor, school, rows); err == nil && dryRun {
			err = errDryRun
		}
		return err
	})
	if errors.Is(err, errDryRun) {
		err = nil
	}
	if err != nil {
		return RegistryImport{}, fmt.Errorf("enrol table: %w", err)
	}
	return out, nil
}

// line is what the lines of one pupil say together.
type line struct {
	pupil  Pupil
	kind   bool // they say which kind it is
	payers []LinkedPayer
}

func (s *Service) enrolRows(tx Tx, actor Actor, school SchoolCode, rows []RegistryRow) (out RegistryImport, err error) {
	var bad Invalid
	ids := &idsByCode{tx: tx, school: school, made: map[string]string{}}
	var order []string
	lines := map[string]*line{}
	people := map[string]Payer{} // a payer is one person on all lines
	for _, r := range rows {
		p := fmt.Sprintf("rows[%d].", r.Row)
		in := r.Pupil
		if in.ID == "" {
			if in.ID, err = ids.pupil(in.Code, s.newID); err != nil {
				return out, err
			}
		}
		pupil, _ := s.checkPupil(school, in, p, &bad)
		l := lines[pupil.ID]
		switch {
		case l == nil:
			l = &line{pupil: pupil, kind: in.Kind != ""}
			lines[pupil.ID] = l
			order = append(order, pupil.ID)
		case l.pupil != pupil:
			bad.Add(p+"id", "duplicate", "another row says something else of this pupil")
		}
		if r.Payer == nil {
			continue
		}
		payer := *r.Payer
		if payer.ID == "" {
			if payer.ID, err = ids.payer(payer.Code, s.newID); err != nil {
				return out, err
			}
		}
		y := checkPayer(pupil, payer, p+"payer_", &bad)
		if other, ok := people[y.ID]; ok && other != y.Payer {
			bad.Add(p+"payer_id", "duplicate", "another row says something else of this payer")
		}
		people[y.ID] = y.Payer
		if slices.ContainsFunc(l.payers, func(o LinkedPayer) bool { return o.ID == y.ID }) {
			bad.Add(p+"payer_id", "duplicate", "this payer stands under this pupil twice")
		}
		l.payers = append(l.payers, y)
	}
	if err := bad.Err(); err != nil {
		return out, err
	}
	out.Rows = len(rows)
	// In one order for all, so that two tables do not wait for each other.
	slices.SortFunc(order, func(a, b string) int { return cmp.Compare(a, b) })
	for _, id := range order {
		l := lines[id]
		old, err := s.pupilIn(tx, school, id, nil)
		if err != nil {
			return out, err
		}
		if old != nil && !l.kind {
			l.pupil.Kind = old.Kind // a table without that column is no reason to bill a teacher for a trip
		}
		created, err := s.enrol(tx, actor, l.pupil, l.payers, old, false)
		if err != nil {
			return out, err
		}
		linked := 0
		same := old != nil
		for _, y := range l.payers {
			i := -1
			if old != nil {
				i = slices.IndexFunc(old.Payers, func(o LinkedPayer) bool { return o.ID == y.ID })
			}
			if i < 0 {
				linked++
			}
			same = same && i >= 0 && old.Payers[i].Payer == y.Payer && old.Payers[i].Relation == y.Relation
		}
		out.Linked += linked
		if same {
			was := old.Pupil
			was.CreatedAt = l.pupil.CreatedAt
			same = was == l.pupil
		}
		switch {
		case created:
			out.Enrolled++
		case same:
			out.Unchanged++
		default:
			out.Changed++
		}
	}
	return out, nil
}

// idsByCode finds who is in the registry by fiscal code, and gives new ones an id.
type idsByCode struct {
	tx     Tx
	school SchoolCode
	made   map[string]string
}

func (m *idsByCode) pupil(code string, fresh func() string) (string, error) {
	return m.id("pupil", code, fresh, func(c FiscalCode) (string, error) {
		list, err := m.tx.PupilRecords(m.school, PupilFilter{Code: c, Limit: 1})
		if err != nil || len(list) == 0 {
			return "", err
		}
		return list[0].ID, nil
	})
}

func (m *idsByCode) payer(code string, fresh func() string) (string, error) {
	return m.id("payer", code, fresh, func(c FiscalCode) (string, error) { return m.tx.PayerIDByCode(m.school, c) })
}

func (m *idsByCode) id(kind, typed string, fresh func() string, find func(FiscalCode) (string, error)) (string, error) {
	code, err := ParseFiscalCode(typed)
	if err != nil || code == Anonymous {
		return fresh(), nil // a wrong code is said with the other mistakes
	}
	key := kind + string(code)
	if m.made[key] == "" {
		id, err := find(code)
		if err != nil {
			return "", err
		}
		if id == "" {
			id = fresh()
		}
		m.made[key] = id
	}
	return m.made[key], nil
}
