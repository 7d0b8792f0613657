// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"time"
)

// What an operator's check-up asks of a database that may be anybody's: nothing
// here makes or changes anything.

// CheckKey says whether the root secret is the one that the database was made
// with: ErrWrongSecret, and gateway.ErrNotFound where nothing was sealed yet.
func (db *DB) CheckKey(ctx context.Context) error {
	_, err := db.readKey(ctx, db.read, installation)
	return err
}

// SchemaVersion is the number of the last migration that was applied; one above
// all that MigrationStatus lists is a newer version's.
func (db *DB) SchemaVersion(ctx context.Context) (int64, error) {
	p, err := db.migrator()
	if err != nil {
		return 0, fmt.Errorf("migrations: %w", err)
	}
	n, err := p.GetDBVersion(ctx)
	if err != nil {
		return 0, fmt.Errorf("migrations: %w", err)
	}
	return n, nil
}

// ServerTime is the time of the database's machine; zero where that is ours.
func (db *DB) ServerTime(ctx context.Context) (t time.Time, err error) {
	if db.serverTime == "" {
		return t, nil
	}
	if err := db.read.QueryRowContext(ctx, db.serverTime).Scan(&t); err != nil {
		return t, fmt.Errorf("the database's time: %w", err)
	}
	return t.UTC(), nil
}

// CheckIntegrity has the database look at itself and gives what it finds wrong.
// deep reads all of it, whatever that takes.
func (db *DB) CheckIntegrity(ctx context.Context, deep bool) ([]string, error) {
	queries := db.integrity
	if deep {
		queries = db.integrityDeep
	}
	var found []string
	for _, query := range queries {
		rows, err := db.read.QueryContext(ctx, query)
		list, err := collect(rows, err, func(r row) (s string, err error) {
			err = r.Scan(&s)
			return s, err
		})
		if err != nil {
			return nil, fmt.Errorf("integrity: %w", err)
		}
		for _, s := range list {
			if s != "ok" { // what SQLite says of a sound one
				found = append(found, s)
			}
		}
	}
	return found, nil
}

var (
	sqliteIntegrity     = []string{"PRAGMA quick_check(3)"}
	sqliteIntegrityDeep = []string{
		"PRAGMA integrity_check(3)",
		`SELECT 'a row of ' || "table" || ' names a ' || parent || ' that is not there' FROM pragma_foreign_key_check LIMIT 3`,
	}

	// What a build of an index that failed leaves: it is there, and not used.
	postgresIntegrity = []string{`
SELECT 'index ' || c.relname || ' is not valid'
  FROM pg_index i
  JOIN pg_class c ON c.oid = i.indexrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = current_schema() AND NOT (i.indisvalid AND i.indisready)
 LIMIT 3`}
)
