// SPDX-License-Identifier: Apache-2.0

// Package store keeps everything that must not be lost, in SQLite or in
// PostgreSQL: it is the gateway.Store, the sessions of the portal, the outbox
// its workers claim from, and the keeper of the keys that encrypt personal data.
//
// What moves and why is the domain's business; the store settles races: by
// unique indexes and row locks, never by reading first. Delivering the outbox
// is left to gateway/notify.
//
// What a caller gets wrong: a transaction function may run more than once, and
// an error of a commit means that nobody knows whether it happened. Ask again
// by a natural key.
package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/iuv"
)

// Config is what a store is opened with; all of it is required.
type Config struct {
	// URL is sqlite://relative/path.db, sqlite:///absolute/path.db or
	// postgres://….
	URL string
	// Secret is the root secret, 32 bytes; see the function Secret.
	Secret []byte
	// Now gives the time for what the domain does not date: keys and sessions.
	Now func() time.Time
}

// DB is a gateway.Store. It is safe for concurrent use.
type DB struct {
	dialect
	write *sql.DB // SQLite: one connection, for there is one writer
	read  *sql.DB // SQLite: cannot write and never waits for the writer
	end   func()  // closes what lies under the two
	now   func() time.Time
	wrap  sealer   // wraps keys
	keys  sync.Map // owner to *dataKey; committed ones only, one per school
}

var _ gateway.Store = (*DB)(nil)

// dialect is what the two databases say differently.
type dialect struct {
	name      goose.Dialect
	folder    string // of its migrations
	view      *sql.TxOptions
	forUpdate string // ends a SELECT of a row that is to be changed
	claim     string // the query of ClaimMessages
	// claimPolls is the query of ClaimPolls.
	claimPolls string
	// claimPSPRefunds is the query of ClaimPSPRefunds.
	claimPSPRefunds string
	// anyOf ends a condition on a column that is to be one of a list, the
	// statement's argument $2; for short lists.
	anyOf string
	// eachOf makes the query of one row by a unique key, where %s stands for the
	// comparison with the key, one of those rows whose key is in a list, $2, which
	// list makes.
	eachOf func(query string) string
	list   func([]string) any
	// copies says that rows can be streamed into a table (bulk.go).
	copies    bool
	insertTry string // the query of AddDeliveryTry
	// alone and together bracket the migrations: PostgreSQL's lock for when many
	// processes start at once.
	alone, together string
	// serverTime asks what time the database's machine has; empty: it is ours.
	serverTime string
	// integrity finds what is wrong with the database, quickly; integrityDeep by
	// reading all of it.
	integrity, integrityDeep []string
	// unique says whether a unique key was taken, retry whether the database
	// asks to run the transaction again.
	unique, retry func(error) bool
}

// Open connects to the database and leaves its tables alone.
func Open(ctx context.Context, cfg Config) (*DB, error) {
	if len(cfg.Secret) != 32 || cfg.Now == nil {
		return nil, errors.New("store: a root secret of 32 bytes and a clock are required")
	}
	var db *DB
	var err error
	if path, ok := sqlitePath(cfg.URL); ok {
		db, err = openSQLite(ctx, path)
	} else if isPostgres(cfg.URL) {
		db, err = openPostgres(ctx, cfg.URL)
	} else {
		err = errors.New("the database's address must begin with sqlite:// or postgres://")
	}
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	db.now = cfg.Now
	if db.wrap, err = newSealer(cfg.Secret, "wrap"); err == nil {
		err = db.Ping(ctx)
	}
	if err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("open database: %w", err)
	}
	return db, nil
}

// OpenMigrated opens the database, brings its tables up to date and checks that
// the root secret is the one its keys were wrapped with; ErrWrongSecret.
func OpenMigrated(ctx context.Context, cfg Config) (*DB, error) {
	db, err := Open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if err := db.Migrate(ctx); err != nil {
		_ = db.Close()
		return nil, err
	}
	if err := db.checkKey(ctx); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("open database: %w", err)
	}
	return db, nil
}

// Close ends all connections.
func (db *DB) Close() error {
	err := errors.Join(db.read.Close(), db.write.Close())
	db.end()
	return err
}

// Ping asks the database whether it answers.
func (db *DB) Ping(ctx context.Context) error {
	return errors.Join(db.write.PingContext(ctx), db.read.PingContext(ctx))
}

//go:embed migrations
var migrations embed.FS

// MigrationsDigest changes with any byte of the migrations: databases that were
// made by others are not mistaken for ours.
func MigrationsDigest() (string, error) {
	sum := sha256.New()
	err := fs.WalkDir(migrations, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := migrations.ReadFile(path)
		_, _ = fmt.Fprintf(sum, "%s %d\n%s", path, len(body), body)
		return err
	})
	return hex.EncodeToString(sum.Sum(nil)[:8]), err
}

func (db *DB) migrator() (*goose.Provider, error) {
	sub, err := fs.Sub(migrations, "migrations/"+db.folder)
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(db.name, db.write, sub, goose.WithDisableGlobalRegistry(true))
}

// Migrate brings the tables up to date, each migration in a transaction.
func (db *DB) Migrate(ctx context.Context) error {
	if err := db.migrate(ctx); err != nil {
		return fmt.Errorf("migrate database: %w", err)
	}
	return nil
}

func (db *DB) migrate(ctx context.Context) error {
	p, err := db.migrator()
	if err != nil {
		return err
	}
	if db.alone != "" {
		conn, err := db.write.Conn(ctx) // the lock is the connection's
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		if _, err := conn.ExecContext(ctx, db.alone); err != nil {
			return err
		}
		defer func() { _, _ = conn.ExecContext(context.WithoutCancel(ctx), db.together) }()
	}
	for {
		before, err := p.GetDBVersion(ctx)
		if err != nil {
			return err
		}
		if _, err = p.Up(ctx); err == nil {
			return nil
		}
		// Where there is no lock, another process may have been quicker: go on
		// from what it did.
		if after, err2 := p.GetDBVersion(ctx); err2 != nil || after == before {
			return err
		}
	}
}

// Migration is one numbered change of the tables.
type Migration struct {
	Number    int64
	Name      string
	AppliedAt time.Time // zero: not yet
}

// MigrationStatus lists all migrations in their order.
func (db *DB) MigrationStatus(ctx context.Context) ([]Migration, error) {
	p, err := db.migrator()
	if err != nil {
		return nil, fmt.Errorf("migrations: %w", err)
	}
	status, err := p.Status(ctx)
	if err != nil {
		return nil, fmt.Errorf("migrations: %w", err)
	}
	list := make([]Migration, len(status))
	for i, s := range status {
		list[i] = Migration{s.Source.Version, strings.TrimSuffix(s.Source.Path, ".sql"), s.AppliedAt.UTC()}
	}
	return list, nil
}

// tx is a transaction, or a part of one: nested Updates and Views share the
// state and have a context of their own.
type tx struct {
	*state
	ctx context.Context // carries this tx
}

type state struct {
	db       *DB
	sql      *sql.Tx
	conn     *sql.Conn // that sql runs on; nil where nothing is copied
	writable bool
	keys     map[string]*dataKey // read or made here, not yet in the cache
	// mac makes the hashes that look people up, and hashes are those it made.
	mac    hash.Hash
	hashes map[string][]byte
	// broken is why a part could not be undone: the whole must not commit.
	broken error
}

func (s *state) with(ctx context.Context) *tx {
	t := &tx{state: s}
	t.ctx = gateway.ContextWithTx(ctx, t)
	return t
}

// Context carries the transaction.
func (t *tx) Context() context.Context { return t.ctx }

// joined is the transaction of this store that ctx carries, or nil.
func (db *DB) joined(ctx context.Context) *tx {
	if t, ok := gateway.TxFromContext(ctx).(*tx); ok && t.db == db {
		return t.with(ctx)
	}
	return nil
}

// maxTries bounds how often a transaction runs when PostgreSQL asks for it.
const maxTries = 4

// Update runs fn in one transaction. A nested one that fails leaves nothing of
// its own, whatever the outer one does then.
func (db *DB) Update(ctx context.Context, fn func(gateway.Tx) error) error {
	if t := db.joined(ctx); t != nil {
		return t.atomically(func() error { return fn(t) })
	}
	var err error
	for range maxTries {
		if err = db.run(ctx, db.write, nil, true, fn); err == nil || !db.retry(err) {
			return err
		}
	}
	return err
}

// View runs fn on one consistent reading.
func (db *DB) View(ctx context.Context, fn func(gateway.Tx) error) error {
	if t := db.joined(ctx); t != nil {
		return fn(t)
	}
	return db.run(ctx, db.read, db.view, false, fn)
}

func (db *DB) run(ctx context.Context, pool *sql.DB, opts *sql.TxOptions, writable bool, fn func(gateway.Tx) error) error {
	s := &state{db: db, writable: writable, keys: map[string]*dataKey{}}
	begin := pool.BeginTx
	if writable && db.copies {
		// The driver's own connection is reached through a *sql.Conn only.
		conn, err := pool.Conn(ctx)
		if err != nil {
			return fmt.Errorf("begin: %w", err)
		}
		defer func() { _ = conn.Close() }()
		s.conn, begin = conn, conn.BeginTx
	}
	begun, err := begin(ctx, opts)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer begun.Rollback() // after Commit it does nothing; a panic must not keep the locks
	s.sql = begun
	if err := fn(s.with(ctx)); err != nil {
		return err
	}
	if s.broken != nil {
		return s.broken
	}
	if err := begun.Commit(); err != nil {
		if errors.Is(err, sql.ErrTxDone) && ctx.Err() != nil {
			err = ctx.Err() // it ended first, and took all back
		}
		return fmt.Errorf("commit: %w", err)
	}
	for owner, k := range s.keys {
		db.keys.Store(owner, k)
	}
	return nil
}

// atomically undoes what fn did when it fails; the transaction may go on.
func (t *tx) atomically(fn func() error) error {
	if _, err := t.sql.ExecContext(t.ctx, "SAVEPOINT part"); err != nil {
		return err
	}
	err := fn()
	end := "RELEASE SAVEPOINT part"
	if err != nil {
		end = "ROLLBACK TO SAVEPOINT part"
		clear(t.keys) // a key that was made in the part is gone
	}
	// Also when the part's own deadline is over: the whole may have time left.
	if _, err2 := t.sql.ExecContext(context.WithoutCancel(t.ctx), end); err2 != nil {
		t.broken = errors.Join(t.broken, err2)
		return errors.Join(err, err2)
	}
	return err
}

// The key in the statement is a candidate: only the first lease keeps it.
const leaseCounters = `
INSERT INTO iuv_counters (school, segregation, key_wrapped, next)
SELECT code, $2, $3, $4
  FROM schools
 WHERE code = $1
    ON CONFLICT (school, segregation) DO UPDATE SET next = iuv_counters.next + excluded.next
RETURNING key_wrapped, next`

// Lease gives out the next n counters of a school's segregation code.
func (db *DB) Lease(ctx context.Context, school string, seg iuv.Segregation, n uint64) (iuv.Lease, error) {
	if n > math.MaxInt32 {
		return iuv.Lease{}, fmt.Errorf("lease %d counters: too many", n)
	}
	var lease iuv.Lease
	err := db.Update(ctx, func(t gateway.Tx) (err error) {
		lease, err = t.(*tx).lease(school, seg, n)
		return err
	})
	if err != nil {
		return iuv.Lease{}, fmt.Errorf("school %s: %w", school, err)
	}
	return lease, nil
}

func (t *tx) lease(school string, seg iuv.Segregation, n uint64) (iuv.Lease, error) {
	place := "iuv_counters.key_wrapped " + school + " " + seg.String()
	var wrapped []byte
	var next uint64
	err := t.sql.QueryRowContext(t.ctx, leaseCounters, school, seg.String(), t.db.wrap.seal(random32(), place), n).Scan(&wrapped, &next)
	if err != nil {
		return iuv.Lease{}, notFound(err)
	}
	key, err := t.db.wrap.open(wrapped, place)
	if err != nil || len(key) != 32 {
		return iuv.Lease{}, ErrWrongSecret
	}
	return iuv.Lease{Key: [32]byte(key), First: next - n, N: n}, nil
}

const selectClockMark = `SELECT value FROM installation WHERE name = 'clock_mark'`

// ClockMark is the latest instant that was stored, for gateway.NewClock; the
// zero time when there is none.
func (db *DB) ClockMark(ctx context.Context) (time.Time, error) {
	var t time.Time
	err := db.read.QueryRowContext(ctx, selectClockMark).Scan(instant{&t})
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, fmt.Errorf("clock mark: %w", err)
	}
	return t, nil
}

const raiseClockMark = `
INSERT INTO installation (name, value)
VALUES ('clock_mark', $1)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value
 WHERE installation.value < excluded.value`

// SetClockMark stores an instant; an earlier one than stored changes nothing.
func (db *DB) SetClockMark(ctx context.Context, t time.Time) error {
	if _, err := db.write.ExecContext(ctx, raiseClockMark, at(t)); err != nil {
		return fmt.Errorf("clock mark: %w", err)
	}
	return nil
}
