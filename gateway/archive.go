// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
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
