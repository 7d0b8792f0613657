// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

var sqliteDialect = dialect{
	name: goose.DialectSQLite3, folder: "sqlite",
	view:            &sql.TxOptions{ReadOnly: true},
	integrity:       sqliteIntegrity,
	integrityDeep:   sqliteIntegrityDeep,
	claim:           fmt.Sprintf(claimMessages, "IN (", ")"), // there is one writer
	claimPolls:      fmt.Sprintf(claimPolls, "IN (", ")"),
	claimPSPRefunds: fmt.Sprintf(claimPSPRefunds, "IN (", ")"),

	anyOf:     " IN (SELECT value FROM json_each($2))",
	eachOf:    func(query string) string { return fmt.Sprintf(query, "IN (SELECT value FROM json_each($2))") },
	list:      func(ids []string) any { return asJSON(ids) },
	insertTry: fmt.Sprintf(insertDeliveryTry, "TEXT", "BLOB"),
	unique: func(err error) bool {
		var e *sqlite.Error
		return errors.As(err, &e) && (e.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || e.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)
	},
	retry: func(error) bool { return false }, // BEGIN IMMEDIATE waits for its turn
}

// sqlitePath is the file that a URL names, when it is SQLite's.
func sqlitePath(u string) (string, bool) { return strings.CutPrefix(u, "sqlite://") }

func openSQLite(ctx context.Context, path string) (*DB, error) {
	if path == "" {
		return nil, errors.New("sqlite:// names no file")
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	// SQLite would make it readable for all; its other files follow this one. A
	// file that is there is not opened: closing it would end the locks that
	// another connection of this process holds on it.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		err = f.Close()
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	dsn := "file:" + (&url.URL{Path: path}).EscapedPath() + "?_pragma=busy_timeout(5000)&_pragma=foreign_keys(1)"
	db := &DB{dialect: sqliteDialect, end: func() {}}
	if db.write, err = sql.Open("sqlite", dsn+"&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate"); err != nil {
		return nil, err
	}
	if db.read, err = sql.Open("sqlite", dsn+"&_pragma=query_only(1)"); err != nil {
		return nil, err
	}
	db.write.SetMaxOpenConns(1)
	readers := max(4, runtime.GOMAXPROCS(0))
	db.read.SetMaxOpenConns(readers)
	db.read.SetMaxIdleConns(readers)
	// The first connection ever switches to WAL. SQLite does not wait for its turn
	// there when several processes do so at once.
	for range 100 {
		var e *sqlite.Error
		if err = db.write.PingContext(ctx); !errors.As(err, &e) || e.Code() != sqlite3.SQLITE_BUSY {
			break
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	if err != nil {
		_ = db.Close()
		return nil, err
	}
	return db, nil
}
