// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

var postgresDialect = dialect{
	name: goose.DialectPostgres, folder: "postgres",
	view:       &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true},
	forUpdate:  " FOR UPDATE",
	serverTime: "SELECT clock_timestamp()",
	integrity:  postgresIntegrity, integrityDeep: postgresIntegrity,
	alone:    "SELECT pg_advisory_lock(hashtext('nodogate migrations'), hashtext(current_schema()))",
	together: "SELECT pg_advisory_unlock(hashtext('nodogate migrations'), hashtext(current_schema()))",
	// An array is computed once; a subquery after IN might be run again, and
	// claim more.
	claim:           fmt.Sprintf(claimMessages, "= ANY (ARRAY(", " FOR UPDATE SKIP LOCKED))"),
	claimPolls:      fmt.Sprintf(claimPolls, "= ANY (ARRAY(", " FOR UPDATE SKIP LOCKED))"),
	insertTry:       fmt.Sprintf(insertDeliveryTry, "TIMESTAMPTZ", "BYTEA"),
	claimPSPRefunds: fmt.Sprintf(claimPSPRefunds, "= ANY (ARRAY(", " FOR UPDATE SKIP LOCKED))"),
	unique:          func(err error) bool { return pgCode(err) == "23505" },
	anyOf:           " = ANY($2)",
	// One look-up by the key for each, whatever the planner thinks of the table. A
	// plan of = ANY that was made while it was empty reads all of it each time,
	// and compares every row with the whole list.
	eachOf: func(query string) string {
		return "SELECT q.* FROM unnest($2::text[]) AS i (key) CROSS JOIN LATERAL (" + fmt.Sprintf(query, "= i.key") + " LIMIT 1) AS q"
	},
	list:   func(ids []string) any { return ids },
	copies: true,
	retry: func(err error) bool { // serialization_failure, deadlock_detected
		code := pgCode(err)
		return code == "40001" || code == "40P01"
	},
}

func pgCode(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

func isPostgres(u string) bool {
	return strings.HasPrefix(u, "postgres://") || strings.HasPrefix(u, "postgresql://")
}

func openPostgres(ctx context.Context, u string) (*DB, error) {
	cfg, err := pgxpool.ParseConfig(u)
	if err != nil {
		// pgx hides the password in its error, but not what it took for
		// something else in a malformed address.
		return nil, errors.New("the database's address is not a PostgreSQL one")
	}
	if !strings.Contains(u, "pool_max_conns=") {
		cfg.MaxConns = int32(max(10, 4*runtime.GOMAXPROCS(0)))
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	one := stdlib.OpenDBFromPool(pool)
	db := &DB{dialect: postgresDialect, write: one, read: one, end: pool.Close}
	// An answer OK stands on a commit that is on disk.
	var commit string
	err = one.QueryRowContext(ctx, "SELECT current_setting('synchronous_commit')").Scan(&commit)
	if err == nil && commit == "off" {
		err = errors.New("synchronous_commit is off: a crash would lose receipts; switch it on")
	}
	if err != nil {
		_ = db.Close()
		return nil, err
	}
	return db, nil
}
