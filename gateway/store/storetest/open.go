// SPDX-License-Identifier: Apache-2.0

// Package storetest says once what both databases must do (Run), and opens
// stores for the tests of other packages.
//
// Every store it opens is checked against the invariants when its test ends.
// What a caller gets wrong: a test that leaves goroutines behind which still use
// the store fails there.
package storetest

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/nodogate/nodogate/gateway/store"
)

// Secret is the root secret of every store opened here.
var Secret = []byte("storetest's secret of 32 bytes..")

// Now is what these stores take for the time.
func Now() time.Time { return time.Date(2026, 11, 23, 9, 30, 0, 123456000, time.UTC) }

// OpenSQLite opens a new store in a file of the test's own directory.
func OpenSQLite(t testing.TB) *store.DB {
	t.Helper()
	return open(t, NewSQLite(t))
}

// OpenPostgres opens a new store in a schema of its own on the server of
// NODOGATE_TEST_DATABASE_URL. Without one the test is skipped, or fails when
// NODOGATE_TEST_STRICT is set.
func OpenPostgres(t testing.TB) *store.DB {
	t.Helper()
	return open(t, NewPostgres(t))
}

// NewSQLite names a database that does not exist yet.
func NewSQLite(t testing.TB) string {
	return "sqlite://" + filepath.Join(t.TempDir(), "nodogate.db")
}

// NewPostgres makes an empty schema and drops it when the test ends: to the store
// it is a database, and it takes a tenth of the time.
func NewPostgres(t testing.TB) string {
	t.Helper()
	server := os.Getenv("NODOGATE_TEST_DATABASE_URL")
	if server == "" {
		const how = "NODOGATE_TEST_DATABASE_URL names no PostgreSQL: make test starts one"
		if os.Getenv("NODOGATE_TEST_STRICT") != "" {
			t.Fatal(how)
		}
		t.Skip(how)
	}
	name := "nodogate_test_" + strings.ToLower(rand.Text())
	admin(t, server, "CREATE SCHEMA "+name)
	t.Cleanup(func() { admin(t, server, "DROP SCHEMA "+name+" CASCADE") })
	sep := "?"
	if strings.Contains(server, "?") {
		sep = "&"
	}
	return server + sep + "search_path=" + name + poolParam
}

// Many tests run at once, and a server has 100 connections by default. Only a
// pool knows the parameter.
const poolParam = "&pool_max_conns=10"

func admin(t testing.TB, server, statement string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, server)
	if err == nil {
		_, err = conn.Exec(ctx, statement)
		err2 := conn.Close(ctx)
		if err == nil {
			err = err2
		}
	}
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func open(t testing.TB, databaseURL string) *store.DB {
	t.Helper()
	db, err := store.OpenMigrated(t.Context(), store.Config{URL: databaseURL, Secret: Secret, Now: Now})
	if err != nil {
		t.Fatal(fmt.Errorf("open %s: %w", databaseURL, err))
	}
	t.Cleanup(func() {
		if err := db.CheckInvariants(context.Background()); err != nil {
			t.Errorf("broken at the end of the test:\n%v", err)
		}
		if err := db.Close(); err != nil {
			t.Errorf("close store: %v", err)
		}
	})
	return db
}
