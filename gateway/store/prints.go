// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"time"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/iuv"
)

const insertPrint = `
INSERT INTO prints (school, id, state, format, language, title, numbers, printed, skipped, upload, size, digest, failure,
       actor_kind, actor_name, created_at, finished_at, expires_at, lease, lease_until, tries)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)`

func (t *tx) InsertPrint(p gateway.Print) error {
	_, err := t.sql.ExecContext(t.ctx, insertPrint, p.School, p.ID, p.State, p.Format, p.Language, p.Title, asJSON(p.Numbers),
		p.Printed, p.Skipped, p.File.ID, p.File.Size, p.File.Digest[:], p.Failure, p.Actor.Kind, p.Actor.Name,
		at(p.CreatedAt), at(p.FinishedAt), at(p.ExpiresAt), p.Lease, at(p.LeaseUntil), p.Tries)
	return err
}

const selectPrint = `
SELECT school, id, state, format, language, title, numbers, printed, skipped, upload, size, digest, failure,
       actor_kind, actor_name, created_at, finished_at, expires_at, lease, lease_until, tries
  FROM prints
 WHERE school = $1 AND id = $2`

func (t *tx) Print(school gateway.SchoolCode, id string) (p gateway.Print, err error) {
	var numbers []iuv.Number
	err = t.sql.QueryRowContext(t.ctx, selectPrint, school, id).Scan(&p.School, &p.ID, &p.State, &p.Format, &p.Language, &p.Title,
		jsonText{&numbers}, &p.Printed, &p.Skipped, &p.File.ID, &p.File.Size, digest{&p.File.Digest}, &p.Failure,
		&p.Actor.Kind, &p.Actor.Name, instant{&p.CreatedAt}, instant{&p.FinishedAt}, instant{&p.ExpiresAt}, &p.Lease,
		instant{&p.LeaseUntil}, &p.Tries)
	p.Numbers = numbers
	return p, notFound(err)
}

const lockPrint = `SELECT 1 FROM prints WHERE school = $1 AND id = $2`

func (t *tx) LockPrint(school gateway.SchoolCode, id string) (gateway.Print, error) {
	if err := t.lock(lockPrint, school, id); err != nil {
		return gateway.Print{}, err
	}
	return t.Print(school, id)
}

const updatePrint = `
UPDATE prints
   SET state = $3, printed = $4, skipped = $5, upload = $6, size = $7, digest = $8, failure = $9, finished_at = $10,
       expires_at = $11, lease_until = $12, tries = $13
 WHERE school = $1 AND id = $2`

func (t *tx) SavePrint(p gateway.Print) error {
	return t.changed(gateway.ErrNotFound, updatePrint, p.School, p.ID, p.State, p.Printed, p.Skipped, p.File.ID, p.File.Size,
		p.File.Digest[:], p.Failure, at(p.FinishedAt), at(p.ExpiresAt), at(p.LeaseUntil), p.Tries)
}

const countPrints = `SELECT count(*) FROM prints WHERE school = $1`

func (t *tx) CountPrints(school gateway.SchoolCode) (n int, err error) {
	err = t.sql.QueryRowContext(t.ctx, countPrints, school).Scan(&n)
	return n, err
}

const claimPrint = `
UPDATE prints
   SET lease = $1, lease_until = $3, tries = tries + 1
 WHERE seq = (
       SELECT p.seq
         FROM prints p
        WHERE p.state = 'running' AND (p.lease_until IS NULL OR p.lease_until <= $2)
        ORDER BY p.seq
        LIMIT 1%s)
RETURNING school, id`

func (t *tx) ClaimPrint(owner string, now, until time.Time) (gateway.Print, error) {
	skip := ""
	if t.db.forUpdate != "" {
		skip = t.db.forUpdate + " SKIP LOCKED"
	}
	var school gateway.SchoolCode
	var id string
	err := t.sql.QueryRowContext(t.ctx, fmt.Sprintf(claimPrint, skip), owner, at(now), at(until)).Scan(&school, &id)
	if err != nil {
		return gateway.Print{}, notFound(err)
	}
	return t.Print(school, id)
}

const (
	deletePrintFiles = `
DELETE FROM uploads
 WHERE (school, id) IN (SELECT p.school, p.upload FROM prints p WHERE p.expires_at <= $1)`
	deletePrints = `DELETE FROM prints WHERE expires_at <= $1`
)

func (t *tx) DropPrints(now time.Time) error {
	if _, err := t.sql.ExecContext(t.ctx, deletePrintFiles, at(now)); err != nil {
		return err
	}
	_, err := t.sql.ExecContext(t.ctx, deletePrints, at(now))
	return err
}
