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
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
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
//
// Its tables come as a copy of a file that was migrated once in this process:
// running the migrations took a test more time than all the rest of it.
func OpenSQLite(t testing.TB) *store.DB {
	t.Helper()
	return open(t, NewSQLite(t))
}

// OpenPostgres opens an empty store in a schema of its own on the server of
// NODOGATE_TEST_DATABASE_URL. Without one the test is skipped, or fails when
// NODOGATE_TEST_STRICT is set.
//
// The schema may have served another test (see schemas): who asks how the
// database plans a query, or alters tables, takes OpenNewPostgres.
func OpenPostgres(t testing.TB) *store.DB {
	t.Helper()
	server := postgres(t)
	return open(t, inSchema(server, schemas.take(t, server)))
}

// OpenNewPostgres is OpenPostgres in a schema that no test had before.
func OpenNewPostgres(t testing.TB) *store.DB {
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
	server := postgres(t)
	name := "nodogate_test_" + strings.ToLower(rand.Text())
	admin(t, server, "CREATE SCHEMA "+name)
	t.Cleanup(func() { admin(t, server, "DROP SCHEMA "+name+" CASCADE") })
	return inSchema(server, name)
}

// postgres is the server's address.
func postgres(t testing.TB) string {
	t.Helper()
	server := os.Getenv("NODOGATE_TEST_DATABASE_URL")
	if server == "" {
		const how = "NODOGATE_TEST_DATABASE_URL names no PostgreSQL: make test starts one"
		if os.Getenv("NODOGATE_TEST_STRICT") != "" {
			t.Fatal(how)
		}
		t.Skip(how)
	}
	return server
}

func inSchema(server, name string) string {
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

// migratedSQLite is a database file as the migrations leave it, with the key of
// Secret. It is made once a process, and read only.
var migratedSQLite = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "nodogate-storetest-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "nodogate.db")
	db, err := store.OpenMigrated(context.Background(), store.Config{URL: "sqlite://" + path, Secret: Secret, Now: Now})
	if err != nil {
		return nil, err
	}
	if err := db.Close(); err != nil { // which empties the write-ahead log
		return nil, err
	}
	return os.ReadFile(path)
})

// copied puts a migrated file where an SQLite URL names none.
func copied(databaseURL string) (bool, error) {
	path, ok := strings.CutPrefix(databaseURL, "sqlite://")
	if !ok {
		return false, nil
	}
	body, err := migratedSQLite()
	if err != nil {
		return false, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	_, err = f.Write(body)
	return true, errors.Join(err, f.Close())
}

// open opens the store at this address, for the length of the test.
func open(t testing.TB, databaseURL string) *store.DB {
	t.Helper()
	cfg, how := store.Config{URL: databaseURL, Secret: Secret, Now: Now}, store.OpenMigrated
	done, err := copied(databaseURL)
	if done {
		how = store.Open
	}
	var db *store.DB
	if err == nil {
		db, err = how(t.Context(), cfg)
	}
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
