// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"encoding/base32"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nodogate/nodogate/iuv"
)

// RowResult is what became of one notice of IssueRows.
type RowResult struct {
	Number iuv.Number
	// Existed: a notice with the same ExternalID and content was here before.
	Existed bool
	// Err is ErrExists or ErrNumberExists: this row was refused, the others were
	// not.
	Err error
}

// PrepareNotice checks one request and makes the notice that IssueRows takes,
// or says what is wrong with it.
func (s *Service) PrepareNotice(school School, in NewNotice) (Notice, []FieldError) {
	var bad Invalid
	n := checkNotice(school, in, "", &bad)
	return n, bad.Fields
}

// rowKey is where rows' own external ids begin.
const rowKey = "imp-"

// RowKey is the ExternalID of a request that names none: the same content, the
// same id. Thereby the same file may be sent again and changes nothing.
func RowKey(in NewNotice) string {
	sum := fingerprint(in)
	return rowKey + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:20]))
}

// CheckRows says what IssueRows would refuse of prepared notices, nil where it
// would not, and how many it would make.
func (s *Service) CheckRows(ctx context.Context, school School, rows []Notice) (errs []error, fresh int, err error) {
	err = s.store.View(ctx, func(tx Tx) error {
		results := make([]RowResult, len(rows))
		at, err := known(tx, school.Code, rows, time.Time{}, results)
		errs, fresh = make([]error, len(rows)), len(at)
		for i := range results {
			errs[i] = results[i].Err
		}
		return err
	})
	return errs, fresh, err
}

// known fills the results of rows that are here, or whose id or number stands
// for something else, and lists the others.
func known(tx Tx, school SchoolCode, rows []Notice, since time.Time, out []RowResult) (fresh []int, err error) {
	refs, err := tx.ExternalIDs(school, externalIDs(rows))
	if err != nil {
		return nil, err
	}
	var brought []iuv.Number
	for i := range rows {
		if !rows[i].Number.IsZero() {
			brought = append(brought, rows[i].Number)
		}
	}
	taken, err := tx.TakenNumbers(school, brought)
	if err != nil {
		return nil, err
	}
	for i := range rows {
		n := &rows[i]
		ref, ok := refs[n.ExternalID]
		switch {
		case ok && ref.Fingerprint == n.Fingerprint:
			// What an earlier try of the same work made is not there from before.
			out[i] = RowResult{Number: ref.Number, Existed: ref.CreatedAt.Before(since)}
		case ok:
			out[i] = RowResult{Err: ErrExists}
		case taken[n.Number]:
			out[i] = RowResult{Err: ErrNumberExists}
		default:
			fresh = append(fresh, i)
		}
	}
	return fresh, nil
}

// IssueRows issues prepared notices of which each stands by itself: one that is
// refused does not keep the others back. Every row must have an ExternalID, no
// two the same; so the same rows may be given again after a crash, by another
// process too. since is when the work began. fresh says that a moment ago none of
// them was here: then they are looked up only when the database finds one.
func (s *Service) IssueRows(ctx context.Context, actor Actor, school School, rows []Notice, since time.Time, fresh bool) ([]RowResult, error) {
	missing := 0
	for i := range rows {
		if rows[i].Number.IsZero() {
			missing++
		}
	}
	// Leased outside of the transaction, so that nobody waits for it; what is
	// not used is lost, and of 10^13 that is nothing.
	numbers, err := s.freshNumbers(ctx, school, missing)
	if err != nil {
		return nil, err
	}
	all := make([]int, len(rows))
	for i := range all {
		all[i] = i
	}
	var out []RowResult
	made := 0
	issue := func(tx Tx) error {
		out, made = make([]RowResult, len(rows)), 0
		at, err := all, error(nil)
		if !fresh {
			at, err = known(tx, school.Code, rows, since, out)
		}
		if err == nil {
			made, err = s.insertRows(tx, actor, school, rows, at, numbers, out)
		}
		return err
	}
	for range 5 {
		// A conflict is somebody who issued one of these rows at the same time:
		// now it is known.
		if err = s.store.Update(ctx, issue); !errors.Is(err, ErrConflict) {
			break
		}
		fresh = false
	}
	if err != nil {
		return nil, fmt.Errorf("issue rows: %w", err)
	}
	s.metrics.issued.Add(float64(made))
	return out, nil
}

func (s *Service) insertRows(tx Tx, actor Actor, school School, rows []Notice, at []int, fresh []iuv.Number, out []RowResult) (made int, err error) {
	now := s.clock.Now()
	for len(at) > 0 {
		todo := make([]Notice, len(at))
		for j, i := range at {
			todo[j] = rows[i]
			todo[j].CreatedAt, todo[j].ChangedAt = now, now
			if !todo[j].Number.IsZero() {
				continue
			}
			if len(fresh) == 0 {
				// Met a number that a caller brought: take the next ones.
				if fresh, err = s.freshNumbers(tx.Context(), school, len(at)-j); err != nil {
					return 0, err
				}
			}
			number(&todo[j], fresh[0])
			fresh = fresh[1:]
		}
		taken, err := tx.InsertNotices(todo)
		if err != nil {
			return 0, err
		}
		lost := make(map[int]bool, len(taken))
		for _, j := range taken {
			lost[j] = true
		}
		var again []int
		events := make([]Event, 0, len(at))
		messages := make([]Message, 0, len(at))
		ids := make([]string, 0, len(at))
		for j, i := range at {
			switch {
			case !lost[j]:
				n := todo[j].Number
				out[i] = RowResult{Number: n}
				events = append(events, Event{School: school.Code, Number: n, Kind: EventNoticeIssued, Actor: actor, At: now})
				m := s.message(EventNoticeIssued, school.Code, n, "", now)
				messages, ids = append(messages, m), append(ids, m.ID)
			case rows[i].Number.IsZero():
				again = append(again, i)
			default:
				out[i] = RowResult{Err: ErrNumberExists}
			}
		}
		slices.Sort(ids) // for the index, as with the numbers
		for j := range messages {
			messages[j].ID = ids[j]
		}
		if err := tx.AppendEvents(events...); err != nil {
			return 0, err
		}
		if err := tx.Enqueue(messages...); err != nil {
			return 0, err
		}
		made, at = made+len(events), again
	}
	return made, nil
}

// NoticesNumbered reads those of the numbers that the school has, in no order.
func (s *Service) NoticesNumbered(ctx context.Context, school SchoolCode, numbers []iuv.Number) ([]Notice, error) {
	var list []Notice
	err := s.store.View(ctx, func(tx Tx) (err error) {
		list, err = tx.NoticesNumbered(school, numbers)
		return err
	})
	return list, err
}
