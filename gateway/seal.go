// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/nodogate/nodogate/receipts"
)

// SealTx is the part of Tx that keeps the chains of receipts.
type SealTx interface {
	// UnsealedReceipts lists receipts of all schools that have no place in their
	// chain yet, in their order of arrival, with School, ID and Digest only.
	UnsealedReceipts(limit int) ([]Receipt, error)
	// LastSeal is the newest of a school's chain; the zero Seal when it has none.
	LastSeal(SchoolCode) (Seal, error)
	// AppendSeals adds links of one school to its chain. ErrConflict when another
	// was quicker; the transaction is to be given up then.
	AppendSeals(...receipts.Link) error
	// Seals lists links of a school's chain with a Sequence above after, in order,
	// each with its receipt.
	Seals(school SchoolCode, after int64, limit int) ([]SealedReceipt, error)
	// CountSealing counts a school's receipts that wait for their place in the
	// chain, and those that stand outside of it and do not wait: there are none
	// unless somebody put them there by hand.
	CountSealing(SchoolCode) (waiting, outside int, err error)
}

// SealedReceipt is a link of a chain as it stands in the store.
type SealedReceipt struct {
	receipts.Link
	Hash [sha256.Size]byte
	// Stored is the receipt with its bytes; nil when it is gone. Problem says why
	// it does not open.
	Stored  *Receipt
	Problem error
}

// sealAtOnce bounds how many receipts one call of SealReceipts takes.
const sealAtOnce = 1000

// SealReceipts gives receipts their places in the chains of their schools, and
// says how many: when as many as it takes at once, there may be more. Any number
// of processes may do it: a school's next place is taken by one only.
func (s *Service) SealReceipts(ctx context.Context) (count int, more bool, err error) {
	var list []Receipt
	err = s.store.View(ctx, func(tx Tx) (err error) {
		list, err = tx.UnsealedReceipts(sealAtOnce)
		return err
	})
	if err != nil {
		return 0, false, fmt.Errorf("seal receipts: %w", err)
	}
	var schools []SchoolCode
	bySchool := map[SchoolCode][]Receipt{}
	for _, r := range list {
		if bySchool[r.School] == nil {
			schools = append(schools, r.School)
		}
		bySchool[r.School] = append(bySchool[r.School], r)
	}
	for _, code := range schools {
		err := s.store.Update(ctx, func(tx Tx) error {
			last, err := tx.LastSeal(code)
			if err != nil {
				return err
			}
			links := make([]receipts.Link, len(bySchool[code]))
			for i, r := range bySchool[code] {
				links[i] = receipts.Link{School: string(code), Sequence: last.Sequence + 1, Receipt: r.ID, Digest: r.Digest, Previous: last.Hash}
				last = Seal{Sequence: links[i].Sequence, Hash: links[i].Hash()}
			}
			return tx.AppendSeals(links...)
		})
		if errors.Is(err, ErrConflict) {
			continue // another process seals this school now
		}
		if err != nil {
			return count, false, fmt.Errorf("seal receipts of %s: %w", code, err)
		}
		count += len(bySchool[code])
	}
	return count, len(list) == sealAtOnce, nil
}

// SealReport says what VerifySeals found of a school.
type SealReport struct {
	School  SchoolCode
	Head    Seal // the newest link; its Sequence is how many receipts are sealed
	Waiting int  // receipts that have no place in the chain yet
}

// BrokenSealError says where a chain does not hold, and why.
type BrokenSealError struct {
	School   SchoolCode
	Sequence int64  // 0: not at one place
	Receipt  string // may be empty
	Why      string
}

func (e *BrokenSealError) Error() string {
	switch {
	case e.Sequence == 0:
		return fmt.Sprintf("school %s: %s", e.School, e.Why)
	case e.Receipt == "":
		return fmt.Sprintf("school %s, place %d of the chain: %s", e.School, e.Sequence, e.Why)
	}
	return fmt.Sprintf("school %s, place %d of the chain, receipt %s: %s", e.School, e.Sequence, e.Receipt, e.Why)
}

// VerifySeals walks a school's chain from its first link and opens every receipt
// on the way. The first thing that does not hold is a *BrokenSealError. known is
// the head of an earlier report, which must still be in the chain; zero when
// there is none: without it a chain that was cut at its end, receipts and all,
// still holds.
func (s *Service) VerifySeals(ctx context.Context, school SchoolCode, known Seal) (SealReport, error) {
	report := SealReport{School: school}
	broken := func(seq int64, receipt, why string) error {
		return &BrokenSealError{School: school, Sequence: seq, Receipt: receipt, Why: why}
	}
	const page = 500
	for {
		var list []SealedReceipt
		err := s.store.View(ctx, func(tx Tx) (err error) {
			list, err = tx.Seals(school, report.Head.Sequence, page)
			return err
		})
		if err != nil {
			return report, fmt.Errorf("verify seals of %s: %w", school, err)
		}
		for _, l := range list {
			next := report.Head.Sequence + 1
			switch {
			case l.Sequence != next:
				return report, broken(next, "", "it is missing")
			case l.Previous != report.Head.Hash:
				return report, broken(next, l.Receipt, "it does not follow on the one before")
			case l.Link.Hash() != l.Hash:
				return report, broken(next, l.Receipt, "its hash is not that of what it says")
			case l.Stored == nil && l.Problem == nil:
				return report, broken(next, l.Receipt, "the receipt is gone")
			case l.Problem != nil:
				return report, broken(next, l.Receipt, "the receipt does not open: "+l.Problem.Error())
			case l.Stored.Digest != l.Digest || receipts.Digest(l.Stored.Raw) != l.Digest:
				return report, broken(next, l.Receipt, "the receipt's bytes are not those that were sealed")
			case l.Stored.Content.Content() != l.Stored.Same:
				return report, broken(next, l.Receipt, "the receipt does not say what it said")
			}
			report.Head = Seal{Sequence: l.Sequence, Hash: l.Hash}
			if l.Sequence == known.Sequence && l.Hash != known.Hash {
				return report, broken(next, l.Receipt, "the chain had another hash here before")
			}
		}
		if len(list) < page {
			break
		}
	}
	if report.Head.Sequence < known.Sequence {
		return report, broken(report.Head.Sequence+1, "", "the chain ends before it, and was longer")
	}
	var outside int
	err := s.store.View(ctx, func(tx Tx) (err error) {
		report.Waiting, outside, err = tx.CountSealing(school)
		return err
	})
	if err == nil && outside > 0 {
		err = broken(0, "", fmt.Sprintf("%d receipts stand outside of the chain", outside))
	}
	return report, err
}
