// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nodogate/nodogate/iuv"
)

// ArchivePosition is what pagoPA's archive of notices (Archivio Centralizzato
// Avvisi, ACA) was last told of a notice. The zero State says that it was told
// nothing.
type ArchivePosition struct {
	School    SchoolCode
	Number    iuv.Number
	State     ArchiveState
	Version   int64 // of the notice that was told
	DueDate   Date
	Lapses    bool // the archive ends the position after DueDate by itself
	Code      int  // HTTP status of the archive's last answer; 0 before there was one
	ChangedAt time.Time
}

// ArchiveState says how far telling the archive got. Stored: never renamed.
type ArchiveState string

const (
	// ArchiveAsked is written before the archive is called: it may know of the
	// notice from now on, whatever becomes of the answer.
	ArchiveAsked   ArchiveState = "asked"
	ArchiveOpen    ArchiveState = "open"
	ArchiveClosed  ArchiveState = "closed"
	ArchiveRefused ArchiveState = "refused" // until the notice changes
)

// ArchivePosition is what the archive was last told of a notice.
func (s *Service) ArchivePosition(ctx context.Context, school SchoolCode, number iuv.Number) (ArchivePosition, error) {
	var p ArchivePosition
	err := s.store.View(ctx, func(tx Tx) (err error) {
		p, err = tx.ArchivePosition(school, number)
		return err
	})
	return p, err
}

// PutArchivePosition notes what the archive was told, or is being told.
func (s *Service) PutArchivePosition(ctx context.Context, p ArchivePosition) error {
	p.ChangedAt = s.clock.Now()
	return s.store.Update(ctx, func(tx Tx) error { return tx.PutArchivePosition(p) })
}

// ArchiveRefused counts the notices that the archive does not take as they are.
func (s *Service) ArchiveRefused(ctx context.Context) (int, error) {
	var n int
	err := s.store.View(ctx, func(tx Tx) (err error) {
		n, err = tx.CountArchiveRefused()
		return err
	})
	return n, err
}

// kindArchive is the kind of outbox rows that bring the archive up to date.
const kindArchive = "aca"

// ArchivePayload is the JSON of such a row: what the notice is is looked up when
// the archive is told.
type ArchivePayload struct {
	School SchoolCode `json:"school"`
	Number iuv.Number `json:"number"`
}

// ArchiveMessage makes the row for a notice.
func ArchiveMessage(id string, school SchoolCode, number iuv.Number, now time.Time) Message {
	payload, err := json.Marshal(ArchivePayload{school, number})
	if err != nil {
		panic("gateway: " + err.Error()) // strings always marshal
	}
	return Message{ID: id, School: school, Kind: kindArchive, Aggregate: string(school) + "/" + number.String(), Payload: payload, At: now}
}

// mirrorAtOnce is how many notices one transaction of MirrorAgain takes.
const mirrorAtOnce = 500

// MirrorAgain has the archive told of a school's notices that it does not have:
// those that are open and of which it was told nothing, because it was not
// configured yet, and those that it refused. It says how many those are.
func (s *Service) MirrorAgain(ctx context.Context, school SchoolCode) (int, error) {
	if _, err := s.School(ctx, school); err != nil {
		return 0, err
	}
	total := 0
	for after, more := int64(0), true; more; {
		next, count := after, 0
		err := s.store.Update(ctx, func(tx Tx) error {
			next = after
			list, err := tx.UnmirroredNotices(school, after, mirrorAtOnce)
			if err != nil {
				return err
			}
			now := s.clock.Now()
			messages := make([]Message, len(list))
			for i, p := range list {
				if p.State == ArchiveRefused {
					// It may know of an earlier version: that stays to be closed.
					p.State, p.Version, p.ChangedAt = ArchiveAsked, 0, now
					if err := tx.PutArchivePosition(p.ArchivePosition); err != nil {
						return err
					}
				}
				messages[i] = ArchiveMessage(s.newID(), school, p.Number, now)
				next = p.Seq
			}
			count = len(list)
			return tx.Enqueue(messages...)
		})
		if err != nil {
			return total, fmt.Errorf("mirror again: %w", err)
		}
		total, after, more = total+count, next, count == mirrorAtOnce
	}
	return total, nil
}

// Unmirrored is a notice that the archive does not have as it is.
type Unmirrored struct {
	ArchivePosition       // with a State when it was refused
	Seq             int64 // of the notice
}
