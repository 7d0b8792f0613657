// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/nodogate/nodogate/gateway"
)

const insertClient = `
INSERT INTO clients (id, name, school, scopes, secret, created_at, revoked_at, version)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
    ON CONFLICT (id) DO NOTHING`

func (t *tx) InsertClient(c gateway.Client) error {
	return t.changed(gateway.ErrConflict, insertClient, c.ID, c.Name, c.School, strings.Join(c.Scopes, " "), c.Secret[:], at(c.CreatedAt), at(c.RevokedAt), max(1, c.Version))
}

const selectClient = `SELECT id, name, school, scopes, secret, created_at, revoked_at, version FROM clients`

func scanClient(r row) (c gateway.Client, err error) {
	var scopes string
	err = r.Scan(&c.ID, &c.Name, &c.School, &scopes, digest{&c.Secret}, instant{&c.CreatedAt}, instant{&c.RevokedAt}, &c.Version)
	c.Scopes = strings.Fields(scopes)
	return c, notFound(err)
}

const selectClientByID = selectClient + ` WHERE id = $1`

func (t *tx) Client(id string) (gateway.Client, error) {
	return scanClient(t.sql.QueryRowContext(t.ctx, selectClientByID, id))
}

const selectClients = selectClient + ` ORDER BY seq DESC`

func (t *tx) Clients() ([]gateway.Client, error) {
	rows, err := t.sql.QueryContext(t.ctx, selectClients)
	return collect(rows, err, scanClient)
}

const revokeClient = `UPDATE clients SET revoked_at = coalesce(revoked_at, $2) WHERE id = $1`

// RevokeClient keeps the first instant when the client is revoked already.
func (t *tx) RevokeClient(id string, when time.Time) error {
	return t.changed(gateway.ErrNotFound, revokeClient, id, at(when))
}

const rotateClient = `UPDATE clients SET secret = $2, version = version + 1 WHERE id = $1 AND revoked_at IS NULL`

func (t *tx) RotateClient(id string, secret [32]byte) error {
	return t.changed(gateway.ErrNotFound, rotateClient, id, secret[:])
}

const insertAudit = `
INSERT INTO audit (school, actor_kind, actor_name, action, object, at)
VALUES ($1, $2, $3, $4, $5, $6)`

func (t *tx) AppendAudit(a gateway.Audit) error {
	_, err := t.sql.ExecContext(t.ctx, insertAudit, a.School, a.Actor.Kind, a.Actor.Name, a.Action, a.Object, at(a.At))
	return err
}

const selectAudits = `SELECT school, actor_kind, actor_name, action, object, at, seq FROM audit`

func (t *tx) Audits(school gateway.SchoolCode, f gateway.AuditFilter) ([]gateway.Audit, error) {
	w := auditsWhere(school, f)
	rows, err := t.sql.QueryContext(t.ctx, selectAudits+w.text.String(), w.args...)
	return collect(rows, err, func(r row) (a gateway.Audit, err error) {
		err = r.Scan(&a.School, &a.Actor.Kind, &a.Actor.Name, &a.Action, &a.Object, instant{&a.At}, &a.Seq)
		return a, err
	})
}

func auditsWhere(school gateway.SchoolCode, f gateway.AuditFilter) (w where) {
	w.and("school = ?", school)
	for column, v := range map[string]string{"actor_name": f.Actor, "action": f.Action, "object": f.Object} {
		if v != "" {
			w.and(column+" = ?", v)
		}
	}
	if !f.From.IsZero() {
		w.and("at >= ?", at(f.From))
	}
	if !f.To.IsZero() {
		w.and("at < ?", at(f.To))
	}
	if f.Before > 0 {
		w.and("seq < ?", f.Before)
	}
	w.then("ORDER BY seq DESC")
	if f.Limit > 0 {
		w.then("LIMIT ?", f.Limit)
	}
	return w
}

const onceColumn = "once.body_enc"

const selectOnce = `
SELECT scope, fingerprint, running, status, location, etag, body_enc, created_at, expires_at
  FROM once
 WHERE scope = $1`

func (t *tx) OnceRecord(scope string) (r gateway.OnceRecord, err error) {
	var sealed []byte
	if err := t.sql.QueryRowContext(t.ctx, selectOnce, scope).Scan(&r.Scope, digest{&r.Fingerprint}, &r.Running, &r.Status, &r.Location,
		&r.ETag, &sealed, instant{&r.CreatedAt}, instant{&r.ExpiresAt}); err != nil {
		return gateway.OnceRecord{}, notFound(err)
	}
	k, err := t.key(installation)
	if err != nil {
		return gateway.OnceRecord{}, err
	}
	if r.Body, err = k.open(onceColumn, sealed); err == nil {
		r.Body, err = unpacked(r.Body)
	}
	return r, err
}

// packFrom is how long an answer is that pays for compressing it. A batch of
// notices is answered with a megabyte that says much the same a thousand times,
// and all of it would be written twice, to the log and to the table.
const packFrom = 4 << 10

// packed compresses a long answer. It begins then as no JSON, XML or PDF does.
func packed(body []byte) []byte {
	if len(body) < packFrom {
		return body
	}
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err == nil {
		_, err = w.Write(body)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil || b.Len() >= len(body) {
		return body // a buffer takes everything
	}
	return b.Bytes()
}

func unpacked(body []byte) ([]byte, error) {
	if !bytes.HasPrefix(body, []byte{0x1f, 0x8b}) {
		return body, nil
	}
	r, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("saved answer: %w", err)
	}
	return io.ReadAll(r)
}

const upsertOnce = `
INSERT INTO once (scope, fingerprint, running, status, location, body_enc, created_at, expires_at, etag)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
    ON CONFLICT (scope) DO UPDATE
   SET fingerprint = excluded.fingerprint, running = excluded.running, status = excluded.status, location = excluded.location,
       body_enc = excluded.body_enc, etag = excluded.etag, created_at = excluded.created_at, expires_at = excluded.expires_at
 WHERE once.running AND NOT excluded.running OR once.expires_at <= excluded.created_at`

// PutOnce lets the database settle who takes a key: of two at once, the second
// waits for the first and then finds its record.
func (t *tx) PutOnce(r gateway.OnceRecord) error {
	k, err := t.key(installation)
	if err != nil {
		return err
	}
	return t.changed(gateway.ErrConflict, upsertOnce, r.Scope, r.Fingerprint[:], r.Running, r.Status, r.Location,
		k.seal(onceColumn, packed(r.Body)), at(r.CreatedAt), at(r.ExpiresAt), r.ETag)
}

const deleteOnce = `DELETE FROM once WHERE scope = $1`

// DeleteOnce forgets a record; one that is not there is forgotten already.
func (t *tx) DeleteOnce(scope string) error {
	_, err := t.sql.ExecContext(t.ctx, deleteOnce, scope)
	return err
}
