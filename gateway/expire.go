// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"fmt"
)

// expireAtOnce bounds how many notices one call of ExpireNotices looks at.
const expireAtOnce = 1000

// ExpireNotices moves open notices past their last day to expired and tells of
// it, each once, and says how many those were. Nothing waits for it: such a
// notice reads expired and cannot be paid from the first instant after its day.
// One that a payer holds is left for later: it may be paid in a moment.
func (s *Service) ExpireNotices(ctx context.Context) (int, error) {
	var list []NoticeRef
	err := s.store.View(ctx, func(tx Tx) (err error) {
		list, err = tx.LapsedNotices(DateIn(s.clock.Now()), expireAtOnce)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("expire notices: %w", err)
	}
	count := 0
	for _, ref := range list {
		// One transaction each: who issues and pays need not wait for all.
		expired := false
		err := s.store.Update(ctx, func(tx Tx) error {
			expired = false
			n, err := tx.LockNotice(ref.School, ref.Number)
			if err != nil {
				return err
			}
			now := s.clock.Now()
			if n.State != NoticeOpen || n.StateAt(now) != NoticeExpired || n.Payment != nil || n.LiveToken(now) != nil {
				return nil
			}
			expired = true
			n.move(NoticeExpired, now)
			if err := tx.SaveNotice(n); err != nil {
				return err
			}
			if err := tx.AppendEvents(Event{School: n.School, Number: n.Number, Kind: EventNoticeExpired, Actor: ActorSystem, At: now}); err != nil {
				return err
			}
			return s.tell(tx, EventNoticeExpired, n.School, n.Number, "", now)
		})
		if err != nil {
			return count, fmt.Errorf("expire notice: %w", err)
		}
		if expired {
			count++
		}
	}
	return count, nil
}
