// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/nodogate/nodogate/gateway"
)

// PostgreSQL takes many rows fastest by COPY, which database/sql has no word
// for. COPY knows no ON CONFLICT: a key that is taken fails all of it. For keys
// that are new but for a race, trying it and falling back costs less than a
// staging table, which would write everything twice.

// copyFrom is how many rows pay for COPY's own round trips.
const copyFrom = 64

// copies says whether n rows are to be streamed.
func (s *state) copies(n int) bool { return s.conn != nil && n >= copyFrom }

// copy streams n rows into a table; row fills the values of one.
func (t *tx) copy(table string, columns []string, n int, row func(i int) ([]any, error)) error {
	return t.conn.Raw(func(driver any) error {
		c, ok := driver.(*stdlib.Conn)
		if !ok {
			return errors.New("store: not a connection of pgx")
		}
		_, err := c.Conn().CopyFrom(t.ctx, pgx.Identifier{table}, columns, pgx.CopyFromSlice(n, row))
		return err
	})
}

// moment is at for COPY, which takes values, not texts.
func moment(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t
}

var noticeColumns = []string{
	"school", "number", "state", "version", "debtor_hash", "debtor_enc", "class", "description", "amount_cents", "past_amounts",
	"due_date", "payable_after_due", "held", "taxonomy", "deduction", "external_id", "campaign", "transfers", "fingerprint",
	"created_at", "changed_at", "paid_at", "settled_by",
	"plan", "instalment", "plan_parts",
}

func (t *tx) copyNotices(list []gateway.Notice) error {
	for _, n := range list { // keys cannot be read while rows are streamed
		if _, err := t.key(string(n.School)); err != nil {
			return err
		}
	}
	if _, err := t.key(installation); err != nil {
		return err
	}
	row := make([]any, noticeValues)
	return t.copy("notices", noticeColumns, len(list), func(i int) ([]any, error) {
		n := &list[i]
		hash, sealed, err := t.sealDebtor(*n)
		if err != nil {
			return nil, err
		}
		due := time.Date(n.DueDate.Year, n.DueDate.Month, n.DueDate.Day, 0, 0, 0, 0, time.UTC)
		return append(row[:0], string(n.School), n.Number.String(), string(n.State), n.Version, hash, sealed, n.Debtor.Class,
			n.Description, int64(n.Amount), asJSON(n.PastAmounts), due, n.PayableAfterDue, n.Held, n.Taxonomy, n.Deduction,
			n.ExternalID, n.Campaign, asJSON(n.Transfers), n.Fingerprint[:], moment(n.CreatedAt), moment(n.ChangedAt),
			moment(n.PaidAt), n.SettledBy, n.Plan, n.Instalment, n.PlanParts), nil
	})
}

var eventColumns = []string{"school", "number", "kind", "actor_kind", "actor_name", "receipt", "anomaly", "attempt", "state", "refund", "refund_state", "at"}

func (t *tx) copyEvents(list []gateway.Event) error {
	row := make([]any, eventValues)
	return t.copy("events", eventColumns, len(list), func(i int) ([]any, error) {
		e := &list[i]
		return append(row[:0], string(e.School), e.Number.String(), string(e.Kind), e.Actor.Kind, e.Actor.Name, e.Receipt,
			string(e.Anomaly), e.Attempt, string(e.State), e.Refund, string(e.RefundState), moment(e.At)), nil
	})
}

var messageColumns = []string{"id", "school", "kind", "target", "aggregate", "payload_enc", "created_at", "run_at"}

func (t *tx) copyMessages(list []gateway.Message) error {
	// Keys are read before: the connection is busy while rows are streamed.
	keys := map[gateway.SchoolCode]*dataKey{}
	for _, m := range list {
		if keys[m.School] == nil {
			k, err := t.keyOf(m.School)
			if err != nil {
				return err
			}
			keys[m.School] = k
		}
	}
	row := make([]any, messageValues)
	return t.copy("outbox", messageColumns, len(list), func(i int) ([]any, error) {
		m := &list[i]
		return append(row[:0], m.ID, string(m.School), m.Kind, m.Target, m.Aggregate, keys[m.School].seal(payloadColumn, m.Payload),
			moment(m.At), moment(m.At)), nil
	})
}
