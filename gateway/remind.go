// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"fmt"
	"time"
)

// Reminder is a notice and the day that families are reminded of. When a school
// moves the day, they are reminded again.
type Reminder struct {
	NoticeRef
	Due Date
}

const (
	// remindDays is how many days before its day a notice is reminded of.
	remindDays = 5
	// remindAfter keeps the reminder from following on the heels of the notice.
	remindAfter = 3 * 24 * time.Hour
)

// Remind tells of the notices that fall due soon, each once; it does at most a
// thousand at a time and says how many. Call it now and then.
func (s *Service) Remind(ctx context.Context) (int, error) {
	now := s.clock.Now()
	today := DateIn(now)
	var due []Reminder
	err := s.store.View(ctx, func(tx Tx) (err error) {
		due, err = tx.UnremindedNotices(today, today.AddDays(remindDays), now.Add(-remindAfter), 1000)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("remind: %w", err)
	}
	for i, r := range due {
		err := s.store.Update(ctx, func(tx Tx) error {
			fresh, err := tx.MarkReminded(r, now)
			if err != nil || !fresh {
				return err // another process was quicker
			}
			asked, err := tx.AskedReminder(r.NoticeRef, today)
			if err != nil || asked {
				return err // one a day is enough
			}
			return s.tell(tx, EventNoticeDue, r.School, r.Number, "", now)
		})
		if err != nil {
			return i, fmt.Errorf("remind of notice %s: %w", r.Number, err)
		}
	}
	return len(due), nil
}
