// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
)

// Whoever says that rows are fresh and is wrong, because somebody was quicker,
// gets the same as if they had been looked up.
func TestIssueRowsThatWereFresh(t *testing.T) {
	t.Parallel()
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		ctx := context.Background()
		rows := func(from, n int) (list []gateway.Notice) {
			for i := from; i < from+n; i++ {
				in := gateway.NewNotice{
					DebtorCode: string(gatewaytest.PupilCode), DebtorName: "Maria Rossi", Description: "Gita", Amount: 1650, DueDate: "2026-12-31",
					ExternalID: fmt.Sprintf("gita-%d", i),
				}
				notice, bad := g.PrepareNotice(g.School, in)
				if len(bad) > 0 {
					t.Fatal(bad)
				}
				list = append(list, notice)
			}
			return list
		}
		issue := func(list []gateway.Notice, since time.Time, fresh bool) (made, existed int) {
			results, err := g.IssueRows(ctx, gatewaytest.Operator, g.School, list, since, fresh)
			if err != nil {
				t.Fatal(err)
			}
			for i, r := range results {
				switch {
				case r.Err != nil || r.Number.IsZero():
					t.Errorf("row %d: %+v", i, r)
				case r.Existed:
					existed++
				default:
					made++
				}
			}
			return made, existed
		}
		if _, fresh, err := g.CheckRows(ctx, g.School, rows(0, 100)); err != nil || fresh != 100 {
			t.Errorf("of 100 new rows %d are fresh, %v", fresh, err)
		}
		if made, existed := issue(rows(0, 100), g.Now(), true); made != 100 || existed != 0 {
			t.Errorf("100 fresh rows: %d made, %d existed", made, existed)
		}
		g.Time.Advance(time.Minute)
		if made, existed := issue(rows(50, 100), g.Now(), true); made != 50 || existed != 50 {
			t.Errorf("100 rows of which 50 are here: %d made, %d existed, want 50 and 50", made, existed)
		}
		if _, fresh, err := g.CheckRows(ctx, g.School, rows(100, 100)); err != nil || fresh != 50 {
			t.Errorf("of 100 rows, 50 of them here, %d are fresh, %v", fresh, err)
		}
		list, err := g.Notices(ctx, g.School.Code, gateway.NoticeFilter{Limit: 500})
		if err != nil || len(list) != 150 {
			t.Errorf("%d notices, %v, want 150", len(list), err)
		}
	})
}
