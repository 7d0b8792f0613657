// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/nodogate/nodogate/iuv"
)

// MaxPrint is how many notices one print may have: the largest schools' in a
// campaign, and a file far below MaxUpload.
const MaxPrint = 2000

const (
	// printLease is how long a print is a worker's alone; every step renews it.
	printLease = time.Minute
	// maxPrints bounds what one school may have waiting or lying about.
	maxPrints = 20
	// printKept is how long a printed file can be fetched: less than uploads
	// without an import are kept, for it is stored as one.
	printKept = 23 * time.Hour
)

// ErrTooManyPrints: the school has too many prints that are not over.
var ErrTooManyPrints = errors.New("too many prints")

// PrintState is where a Print is. Stored and sent: never renamed.
type PrintState string

// The states of a print.
const (
	PrintRunning PrintState = "running"
	PrintDone    PrintState = "done"
	PrintFailed  PrintState = "failed"
)

// PrintFormat is what a print gives: one document, or an archive with one for
// each notice. Stored and sent: never renamed.
type PrintFormat string

// The formats there are.
const (
	PrintPDF PrintFormat = "pdf"
	PrintZIP PrintFormat = "zip"
)

// Print is the printing of many notices, in the background (stampa massiva).
type Print struct {
	School   SchoolCode
	ID       string
	State    PrintState
	Format   PrintFormat
	Language string       // beside Italian, or empty
	Title    string       // what was asked for: a class, a campaign, or empty
	Numbers  []iuv.Number // in the order to print
	// Printed and Skipped count the notices done; skipped are those that could
	// not be paid any more when their turn came.
	Printed, Skipped int
	File             Upload // zero until done
	Failure          string // stable code: nothing_to_print, internal
	Actor            Actor

	CreatedAt  time.Time
	FinishedAt time.Time
	ExpiresAt  time.Time // when the file goes; zero until it ended
	Lease      string    // whose work it is
	LeaseUntil time.Time
	Tries      int
}

// PrintTx is the part of Tx that keeps prints. Their files are uploads.
type PrintTx interface {
	InsertPrint(Print) error
	Print(school SchoolCode, id string) (Print, error)
	LockPrint(school SchoolCode, id string) (Print, error)
	SavePrint(Print) error
	CountPrints(school SchoolCode) (int, error)
	// ClaimPrint gives the oldest running print that is nobody's at now to
	// owner, until then; ErrNotFound.
	ClaimPrint(owner string, now, until time.Time) (Print, error)
	// DropPrints deletes the prints, with their files, that expired.
	DropPrints(now time.Time) error
}

// NewPrint is a print as a caller asks for it: of a class, a campaign, or
// notices by number.
type NewPrint struct {
	Class, Campaign string
	Numbers         []string
	Format          PrintFormat // empty: PrintPDF
	Language        string
}

// AskPrint begins to print what of a school can be paid now, by class and name.
// Errors: *Invalid, ErrTooManyPrints.
func (s *Service) AskPrint(ctx context.Context, actor Actor, school SchoolCode, in NewPrint) (Print, error) {
	if in.Format == "" {
		in.Format = PrintPDF
	}
	var bad Invalid
	given := 0
	for _, is := range []bool{in.Class != "", in.Campaign != "", len(in.Numbers) > 0} {
		if is {
			given++
		}
	}
	if given != 1 {
		bad.Add("class", "required", "give one of class, campaign and notices")
	}
	if len(in.Numbers) > MaxPrint {
		bad.Add("notices", "too_many", fmt.Sprintf("give at most %d", MaxPrint))
	}
	if in.Format != PrintPDF && in.Format != PrintZIP {
		bad.Add("format", "unknown", "give pdf or zip")
	}
	if err := bad.Err(); err != nil {
		return Print{}, err
	}
	p := Print{
		School: school, ID: s.newID(), State: PrintRunning, Format: in.Format, Language: in.Language,
		Title: cmp.Or(in.Class, in.Campaign), Actor: actor, CreatedAt: s.clock.Now(),
	}
	err := s.store.Update(ctx, func(tx Tx) error {
		n, err := tx.CountPrints(school)
		if err != nil {
			return err
		}
		if n >= maxPrints {
			return ErrTooManyPrints
		}
		list, err := s.toPrint(tx, school, in)
		if err != nil {
			return err
		}
		p.Numbers = inPrintOrder(list)
		if err := tx.InsertPrint(p); err != nil {
			return err
		}
		return tx.AppendAudit(Audit{School: school, Actor: actor, Action: "print.created", Object: p.ID, At: p.CreatedAt})
	})
	if err != nil {
		return Print{}, fmt.Errorf("ask for a print: %w", err)
	}
	return p, nil
}

// toPrint finds what was asked for and can be paid now.
func (s *Service) toPrint(tx Tx, school SchoolCode, in NewPrint) ([]Notice, error) {
	var bad Invalid
	var list []Notice
	now := s.clock.Now()
	for i, text := range in.Numbers {
		field := fmt.Sprintf("notices[%d]", i)
		number, err := iuv.Parse(text)
		if err != nil {
			bad.Add(field, "format", "give the notice number's 18 digits")
			continue
		}
		n, err := tx.Notice(school, number)
		switch {
		case isNotFound(err):
			bad.Add(field, "unknown", "no notice of the school has this number")
		case err != nil:
			return nil, err
		case slices.ContainsFunc(list, func(m Notice) bool { return m.Number == number }):
			bad.Add(field, "duplicate", "name each notice once")
		case n.Payable(now) != nil:
			bad.Add(field, "not_payable", "it cannot be paid now: leave it out")
		default:
			list = append(list, n)
		}
	}
	if len(in.Numbers) > 0 {
		return list, bad.Err()
	}
	f := NoticeFilter{State: NoticeOpen, Now: now, Class: in.Class, Campaign: in.Campaign, Limit: 500}
	for {
		page, err := tx.Notices(school, f)
		if err != nil {
			return nil, err
		}
		for _, n := range page {
			if n.Payable(now) == nil {
				list = append(list, n)
			}
		}
		if len(list) > MaxPrint {
			bad.Add("class", "too_many", fmt.Sprintf("these are more than %d notices: print class by class", MaxPrint))
			return nil, bad.Err()
		}
		if len(page) < f.Limit {
			break
		}
		f.Before = page[len(page)-1].Seq
	}
	if len(list) == 0 {
		field := "class"
		if in.Campaign != "" {
			field = "campaign"
		}
		bad.Add(field, "unknown", "it has no notices that can be paid now")
	}
	return list, bad.Err()
}

// inPrintOrder is the numbers by class and name. The instalments of a plan come
// with its single option, where that is printed too.
func inPrintOrder(list []Notice) []iuv.Number {
	singles := map[string]bool{}
	for _, n := range list {
		if n.Plan != "" && n.Instalment == 0 {
			singles[n.Plan] = true
		}
	}
	slices.SortStableFunc(list, func(a, b Notice) int {
		return cmp.Or(
			strings.Compare(strings.ToLower(a.Debtor.Class), strings.ToLower(b.Debtor.Class)),
			strings.Compare(strings.ToLower(a.Debtor.Name), strings.ToLower(b.Debtor.Name)),
			strings.Compare(a.DueDate.String(), b.DueDate.String()),
			strings.Compare(a.Number.String(), b.Number.String()))
	})
	var numbers []iuv.Number
	for _, n := range list {
		if n.Instalment == 0 || !singles[n.Plan] {
			numbers = append(numbers, n.Number)
		}
	}
	return numbers
}

// Print finds one print; ErrNotFound, also once it has expired.
func (s *Service) Print(ctx context.Context, school SchoolCode, id string) (Print, error) {
	var p Print
	err := s.store.View(ctx, func(tx Tx) (err error) {
		p, err = tx.Print(school, id)
		return err
	})
	if err == nil && p.State != PrintRunning && !s.clock.Now().Before(p.ExpiresAt) {
		return Print{}, ErrNotFound
	}
	return p, err
}

// OpenPrint reads the file of a print that is done, and notes who did.
func (s *Service) OpenPrint(ctx context.Context, actor Actor, p Print) (io.Reader, error) {
	err := s.store.Update(ctx, func(tx Tx) error {
		return tx.AppendAudit(Audit{School: p.School, Actor: actor, Action: "print.read", Object: p.ID, At: s.clock.Now()})
	})
	return io.NewSectionReader(s.OpenUpload(ctx, p.School, p.File), 0, p.File.Size), err
}

// ClaimPrint gives a worker a print to do; ErrNotFound when there is none.
func (s *Service) ClaimPrint(ctx context.Context, worker string) (Print, error) {
	now := s.clock.Now()
	var p Print
	err := s.store.Update(ctx, func(tx Tx) (err error) {
		p, err = tx.ClaimPrint(worker, now, now.Add(printLease))
		return err
	})
	return p, err
}

// StepPrint writes down how far a print got and renews the lease; ErrConflict
// when it is another worker's by now.
func (s *Service) StepPrint(ctx context.Context, p Print) error {
	p.LeaseUntil = s.clock.Now().Add(printLease)
	return s.savePrint(ctx, p)
}

// FinishPrint ends a print; p.State says how. A file that was printed for
// nothing, since another worker took over, goes.
func (s *Service) FinishPrint(ctx context.Context, p Print) error {
	file := p.File
	p.FinishedAt = s.clock.Now()
	p.ExpiresAt, p.LeaseUntil = p.FinishedAt.Add(printKept), time.Time{}
	err := s.savePrint(ctx, p)
	if errors.Is(err, ErrConflict) && file.ID != "" {
		err = errors.Join(err, s.DropUpload(ctx, p.School, file.ID))
	}
	return err
}

// ReleasePrint gives a print back before its lease ends: a worker that stops
// need not be waited for.
func (s *Service) ReleasePrint(ctx context.Context, p Print) error {
	p.LeaseUntil, p.Tries = time.Time{}, p.Tries-1
	return s.savePrint(ctx, p)
}

func (s *Service) savePrint(ctx context.Context, p Print) error {
	err := s.store.Update(ctx, func(tx Tx) error {
		there, err := tx.LockPrint(p.School, p.ID)
		if err != nil {
			return err
		}
		if there.Lease != p.Lease || there.State != PrintRunning {
			return ErrConflict
		}
		return tx.SavePrint(p)
	})
	if err != nil {
		return fmt.Errorf("print %s: %w", p.ID, err)
	}
	return nil
}

// SweepPrints deletes the prints whose time is over, with their files.
func (s *Service) SweepPrints(ctx context.Context) error {
	return s.store.Update(ctx, func(tx Tx) error { return tx.DropPrints(s.clock.Now()) })
}
