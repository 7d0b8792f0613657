// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/nodogate/nodogate/gateway/store"
)

// schemas are PostgreSQL schemas that tests use one after the other, over all
// processes that test on one server: making the tables takes the server and the
// client half a second of work, emptying them ten milliseconds.
//
// Whoever holds the advisory lock of a schema's name has the schema. It is
// emptied when it is taken, not when it is given back, so that a process that
// was killed leaves no rows to the next. A few stay on the server, of the last
// migrations that were tested there.
var schemas schemaPool

type schemaPool struct {
	mu    sync.Mutex
	conn  *pgx.Conn // holds the locks of this process; guarded by mu
	taken map[int]bool
}

const (
	schemaPrefix = "nodogate_pool_"
	tryLock      = `SELECT pg_try_advisory_lock(hashtext('nodogate tests'), hashtext($1))`
	unlock       = `SELECT pg_advisory_unlock(hashtext('nodogate tests'), hashtext($1))`
)

// take gives a test a schema as the migrations leave it.
func (p *schemaPool) take(t testing.TB, server string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	digest, err := store.MigrationsDigest()
	if err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn == nil || p.conn.IsClosed() {
		if p.conn, err = pgx.Connect(ctx, server); err != nil {
			t.Fatal(err)
		}
		p.taken = map[int]bool{}
		if err := p.forgetOthers(ctx, schemaPrefix+digest); err != nil {
			t.Fatal(err)
		}
	}
	for n := 0; ; n++ {
		if p.taken[n] {
			continue
		}
		name := fmt.Sprintf("%s%s_%d", schemaPrefix, digest, n)
		var ours bool
		if err := p.conn.QueryRow(ctx, tryLock, name).Scan(&ours); err != nil {
			t.Fatal(err)
		}
		if !ours {
			continue // another process's
		}
		p.taken[n] = true
		t.Cleanup(func() { p.giveBack(t, n, name) })
		if err := p.empty(ctx, server, name); err != nil {
			t.Fatalf("empty schema %s: %v", name, err)
		}
		return name
	}
}

func (p *schemaPool) giveBack(t testing.TB, n int, name string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := p.conn.Exec(ctx, unlock, name); err != nil {
		t.Errorf("give schema %s back: %v", name, err)
	}
	delete(p.taken, n)
}

// emptied deletes all rows of a schema's tables but goose's own. As a replica no
// trigger runs: neither those of foreign keys, nor those that refuse a DELETE.
const emptied = `
DO $$
DECLARE this RECORD;
BEGIN
  SET LOCAL session_replication_role = replica;
  FOR this IN SELECT c.oid, c.relkind FROM pg_class c
               WHERE c.relnamespace = '%[1]s'::regnamespace AND c.relkind IN ('r', 'S') AND c.relname NOT LIKE 'goose\_%%' LOOP
    IF this.relkind = 'r' THEN
      EXECUTE 'DELETE FROM ' || this.oid::regclass;
    ELSE
      PERFORM setval(this.oid, 1, false);
    END IF;
  END LOOP;
END $$`

// reusable marks a schema that has all tables, and whose migrations leave no
// rows: it needs no more than to be emptied.
const reusable = "all tables, no rows"

func (p *schemaPool) empty(ctx context.Context, server, name string) error {
	var remark string
	err := p.conn.QueryRow(ctx, `SELECT coalesce(obj_description(to_regnamespace($1), 'pg_namespace'), '')`, name).Scan(&remark)
	if err != nil {
		return err
	}
	if remark == reusable {
		_, err := p.conn.Exec(ctx, fmt.Sprintf(emptied, name))
		var e *pgconn.PgError
		if !errors.As(err, &e) || e.Code != "42501" {
			return err
		}
		// Only a superuser may act as a replica.
	}
	if _, err := p.conn.Exec(ctx, "DROP SCHEMA IF EXISTS "+name+" CASCADE; CREATE SCHEMA "+name); err != nil {
		return err
	}
	db, err := store.Open(ctx, store.Config{URL: inSchema(server, name), Secret: Secret, Now: Now})
	if err != nil {
		return err
	}
	if err := errors.Join(db.Migrate(ctx), db.Close()); err != nil {
		return err
	}
	_, err = p.conn.Exec(ctx, fmt.Sprintf(markReusable, name, reusable))
	return err
}

const markReusable = `
DO $$
DECLARE this RECORD; filled BOOLEAN;
BEGIN
  FOR this IN SELECT c.oid FROM pg_class c
               WHERE c.relnamespace = '%[1]s'::regnamespace AND c.relkind = 'r' AND c.relname NOT LIKE 'goose\_%%' LOOP
    EXECUTE 'SELECT EXISTS (SELECT 1 FROM ' || this.oid::regclass || ')' INTO filled;
    IF filled THEN
      RETURN;
    END IF;
  END LOOP;
  COMMENT ON SCHEMA %[1]s IS '%[2]s';
END $$`

// forgetOthers drops the schemas of other migrations that nobody is using.
func (p *schemaPool) forgetOthers(ctx context.Context, ours string) error {
	rows, err := p.conn.Query(ctx, `SELECT nspname::text FROM pg_namespace WHERE starts_with(nspname, $1) AND NOT starts_with(nspname, $2)`, schemaPrefix, ours)
	if err != nil {
		return err
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, name := range names {
		var idle bool
		if err := p.conn.QueryRow(ctx, tryLock, name).Scan(&idle); err != nil {
			return err
		}
		if !idle {
			continue
		}
		if _, err := p.conn.Exec(ctx, "DROP SCHEMA IF EXISTS "+name+" CASCADE"); err != nil {
			return err
		}
		if _, err := p.conn.Exec(ctx, unlock, name); err != nil {
			return err
		}
	}
	return nil
}
