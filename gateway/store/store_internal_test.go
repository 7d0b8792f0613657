// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nodogate/nodogate/gateway"
)

func openTest(t *testing.T) *DB {
	t.Helper()
	now := func() time.Time { return time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC) }
	db, err := OpenMigrated(t.Context(), Config{URL: "sqlite://" + filepath.Join(t.TempDir(), "new", "nodogate.db"), Secret: make([]byte, 32), Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// What a family, the node or an office waits for must be found by an index.
func TestQueriesUseIndexes(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	for _, c := range []struct {
		name, query string
		args        int
		want        []string // must stand in the plan
	}{
		{"Notice", selectOneNotice, 2, []string{
			"SEARCH n USING INDEX sqlite_autoindex_notices_1 (school=? AND number=?)",
			"SEARCH an USING INDEX attempt_notices_live (school=? AND number=?)",
			"SEARCH r USING INDEX receipts_notice (school=? AND number=?)",
		}},
		{"NoticeByExternalID", selectNoticeByExternalID, 2, []string{"notices_external_id (school=? AND external_id=?)"}},
		{"NoticesOfFamily", noticesOfFamily[gateway.FamilyAll], 3, []string{
			"payers_code (code_hash=?)", "pupil_payers_payer (school=? AND payer=?)", "notices_debtor (debtor_hash=?",
		}},
		{"FamilyMaySee", selectFamilyMaySee, 3, []string{"sqlite_autoindex_notices_1 (school=? AND number=?)"}},
		{"ReceiptByKey", selectReceiptByKey, 4, []string{"(school=? AND creditor=? AND reference=? AND receipt_id=?)"}},
		{"LiveAttempt", selectLiveAttempt, 2, []string{"attempt_notices_live (school=? AND number=?)"}},
		{"DueAttempts", selectDueAttempts, 2, []string{"attempts_due (lapses_at<?)"}},
		{"ClaimPolls", db.claimPolls, 3, []string{"attempts_poll (poll_at<?)"}},
		{"AttemptsOfCart", selectAttemptsOfCart, 1, []string{"attempts_cart (cart=?)"}},
		{"CartsOfAccount", selectCartsOfAccount, 2, []string{"carts_account (account=?"}},
		{"ClaimMessages", db.claim, 5, []string{"outbox_lane (kind=? AND target=?)", "outbox_order (kind=? AND target=? AND aggregate=? AND seq<?)"}},
		{"Targets", selectTargets, 1, []string{"outbox_lane (kind=? AND target>?)"}},
		{"UnmirroredNotices", selectUnmirrored, 3, []string{"notices_seq (school=? AND seq>?)", "sqlite_autoindex_archive_positions_1 (school=? AND number=?)"}},
		{"ParkedMessages", selectParked, 2, []string{"outbox_parked (kind=?)"}},
		{"LapsedNotices", selectLapsedNotices, 2, []string{"notices_lapsing (due_date<?)"}},
		{"UnremindedNotices", selectUnreminded, 4, []string{"notices_lapsing (due_date>? AND due_date<?)"}},
		{"Logins", selectLogins, 3, []string{"logins_account (account=? AND created_at>?)"}},
		{"PupilsOfFamily", selectPupilsOfFamily, 1, []string{"payers_code (code_hash=?)", "pupil_payers_payer"}},
		{"CampaignTotals", selectCampaignTotals, 2, []string{"notices_campaign (school=? AND campaign=?)"}},
		{"CountUnpaid", countUnpaid, 2, []string{"notices_campaign (school=? AND campaign=?)"}},
		{"UnpaidOfCampaign", selectUnpaid, 4, []string{"notices_campaign (school=? AND campaign=? AND seq<?)"}},
		{"PupilsOfClass", selectPupilsOfClass, 2, []string{"pupils_class (school=? AND class=?)"}},
		{"MarkAskedReminder", insertAskedReminder, 5, []string{"sqlite_autoindex_reminders_1 (school=? AND number=?)"}},
		{"Contributions", selectContributionsOfSchool, 1, []string{"(school=?)"}},
		{"CountArchiveRefused", countArchiveRefused, 0, []string{"archive_positions_refused"}},
		{"OutboxStats", selectOutboxStats, 0, []string{"outbox_lane", "outbox_parked"}},
		{"Webhooks", selectWebhooks, 3, []string{"webhooks_school (school=? AND seq<?)"}},
		{"Deliveries", selectDeliveries, 4, []string{"outbox_target (target=? AND seq<?)"}},
		{"DropExpired, parked webhooks", deleteParkedWebhooks, 1, []string{"outbox_parked (kind=?)"}},
		{"AccountByUsername", selectAccountByUsername, 1, []string{"(username_hash=?)"}},
		{"DropExpired, once", deleteExpiredOnce, 1, []string{"once_expiry (expires_at<?)"}},
		{"DropExpired, outbox", deleteDoneOutbox, 1, []string{"outbox_done (done_at<?)"}},
		{"PayersOf, pupils", selectPupilsOfNotice, 2, []string{"pupils_code (school=? AND code_hash=?)"}},
		{"PayersOf, payers", selectPayersOfNotice, 2, []string{"pupils_code (school=? AND code_hash=?)", "payers_code (code_hash=? AND school=?)"}},
		{"AccountByCode", selectAccountByCode, 1, []string{"(code_hash=?)"}},
		{"PayersByCode", selectPayersByCode, 1, []string{"payers_code (code_hash=?)"}},
		{"CountRegistrations", countRegistrations, 2, []string{"registrations_code (code_hash=? AND created_at>?)"}},
		{"CountPasswordLinks", countPasswordLinks, 2, []string{"password_links_account (account=? AND created_at>?)"}},
		{"DropExpired, registrations", deleteRegistrations, 1, []string{"registrations_age (created_at<?)"}},
		{"DropExpired, links", deletePasswordLinks, 1, []string{"password_links_age (created_at<?)"}},
		{"TokensOfAttempt", selectTokensOfAttempt, 1, []string{"tokens_attempt (attempt=?)"}},
		{"LockContribution", selectContribution, 1, []string{"contributions_service (service=?)"}},
		{"SchoolsByPostalAccount", selectSchoolsByPostalAccount, 1, []string{"schools_postal (postal_account=?)"}},
		{"DeleteExpired", deleteExpiredSessions, 1, []string{"sessions_expiry (expires_at<?)"}},
	} {
		args := slices.Repeat([]any{nil}, c.args)
		rows, err := db.read.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+c.query, args...)
		plan, err := collect(rows, err, func(r row) (line string, err error) {
			var id, parent, unused int
			err = r.Scan(&id, &parent, &unused, &line)
			return line, err
		})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		all := strings.Join(plan, "\n")
		for _, want := range c.want {
			if !strings.Contains(all, want) {
				t.Errorf("%s: the plan has no %q:\n%s", c.name, want, all)
			}
		}
		for _, line := range plan {
			// What is derived has no index; every table has.
			if derived := []string{"SCAN f", "SCAN every", "SCAN CONSTANT ROW"}; strings.HasPrefix(line, "SCAN ") && !strings.Contains(line, "USING") && !slices.Contains(derived, line) {
				t.Errorf("%s: reads a whole table: %s", c.name, line)
			}
		}
	}
}

func TestUpdateRunsAgainAtMostThreeTimes(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	again := errors.New("again")
	db.retry = func(err error) bool { return errors.Is(err, again) }
	for _, c := range []struct{ failures, runs int }{{0, 1}, {1, 2}, {3, 4}, {9, 4}} {
		runs := 0
		err := db.Update(t.Context(), func(tx gateway.Tx) error {
			runs++
			if err := tx.AppendAudit(gateway.Audit{Object: "x", At: db.now()}); err != nil {
				return err
			}
			if runs <= c.failures {
				return again
			}
			return nil
		})
		if failed := errors.Is(err, again); runs != c.runs || failed != (c.failures >= maxTries) {
			t.Errorf("%d failures: ran %d times and ended with %v, want %d", c.failures, runs, err, c.runs)
		}
	}
	var n int
	if err := db.read.QueryRowContext(t.Context(), "SELECT count(*) FROM audit").Scan(&n); err != nil || n != 3 {
		t.Errorf("%d rows, %v, want those of the 3 runs that ended well", n, err)
	}
}

// A part that could not be undone must not be committed with the whole.
func TestPartThatCannotBeUndone(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	stop := errors.New("stop")
	err := db.Update(t.Context(), func(g gateway.Tx) error {
		err := db.Update(g.Context(), func(in gateway.Tx) error {
			// The savepoint is gone, as it would be with a dead connection.
			if _, err := in.(*tx).sql.ExecContext(in.Context(), "RELEASE SAVEPOINT part"); err != nil {
				return err
			}
			return errors.Join(in.AppendAudit(gateway.Audit{Object: "x", At: db.now()}), stop)
		})
		if !errors.Is(err, stop) {
			t.Errorf("the part = %v, want %v", err, stop)
		}
		return nil
	})
	var n int
	if err2 := db.read.QueryRowContext(t.Context(), "SELECT count(*) FROM audit").Scan(&n); err == nil || err2 != nil || n != 0 {
		t.Errorf("Update = %v, and %d rows are there (%v), want an error and none", err, n, err2)
	}
}

func TestSealer(t *testing.T) {
	t.Parallel()
	secret := bytes.Repeat([]byte{1}, 32)
	s, err := newSealer(secret, "data")
	if err != nil {
		t.Fatal(err)
	}
	sealed := s.seal([]byte("plain"), "here")
	if got, err := s.open(sealed, "here"); string(got) != "plain" || err != nil {
		t.Errorf("open = %q, %v", got, err)
	}
	if bytes.Equal(sealed, s.seal([]byte("plain"), "here")) {
		t.Error("the same value sealed twice is the same")
	}
	other, err := newSealer(secret, "wrap")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.open(sealed, "here"); !errors.Is(err, errSealed) {
		t.Errorf("open by a key for something else = %v", err)
	}
	if _, err := s.open(sealed, "there"); !errors.Is(err, errSealed) {
		t.Errorf("open in another place = %v", err)
	}
	for i := range sealed {
		bad := bytes.Clone(sealed)
		bad[i] ^= 1
		if _, err := s.open(bad, "here"); !errors.Is(err, errSealed) {
			t.Errorf("open with byte %d changed = %v", i, err)
		}
		if _, err := s.open(sealed[:i], "here"); !errors.Is(err, errSealed) {
			t.Errorf("open cut to %d bytes = %v", i, err)
		}
	}
}

func TestChunks(t *testing.T) {
	t.Parallel()
	lengths := map[int]bool{}
	for n := range 2000 {
		next := 0
		for from, length := range chunks(n) {
			if from != next {
				t.Fatalf("chunks(%d): a run starts at %d, want %d", n, from, next)
			}
			next += length
			lengths[length] = true
		}
		if next != n {
			t.Fatalf("chunks(%d) end at %d", n, next)
		}
	}
	if len(lengths) > 5 {
		t.Errorf("%d lengths of runs, want few", len(lengths))
	}
	if got, want := values(2, 3), "($1, $2, $3), ($4, $5, $6)"; got != want {
		t.Errorf("values(2, 3) = %s, want %s", got, want)
	}
}
