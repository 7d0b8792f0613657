// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/nodogate/nodogate/gateway"
)

const (
	uploadColumn      = "uploads.data_enc"
	importColumn      = "imports.detail_enc"
	importErrorColumn = "import_errors.content_enc"
	mappingColumn     = "import_mappings.mapping_enc"
)

const insertUploadPart = `
INSERT INTO uploads (school, id, part, data_enc, created_at)
VALUES ($1, $2, $3, $4, $5)`

func (t *tx) InsertUploadPart(school gateway.SchoolCode, upload string, part int, data []byte, when time.Time) error {
	k, err := t.key(string(school))
	if err != nil {
		return err
	}
	_, err = t.sql.ExecContext(t.ctx, insertUploadPart, school, upload, part, k.seal(uploadColumn, data), at(when))
	return err
}

const selectUploadPart = `SELECT data_enc FROM uploads WHERE school = $1 AND id = $2 AND part = $3`

func (t *tx) UploadPart(school gateway.SchoolCode, upload string, part int) ([]byte, error) {
	k, err := t.key(string(school))
	if err != nil {
		return nil, err
	}
	var sealed []byte
	if err := t.sql.QueryRowContext(t.ctx, selectUploadPart, school, upload, part).Scan(&sealed); err != nil {
		return nil, notFound(err)
	}
	return k.open(uploadColumn, sealed)
}

const deleteUpload = `DELETE FROM uploads WHERE school = $1 AND id = $2`

func (t *tx) DeleteUpload(school gateway.SchoolCode, upload string) error {
	_, err := t.sql.ExecContext(t.ctx, deleteUpload, school, upload)
	return err
}

// importDetail is what is sealed of an import: names of columns and sheets are
// the school's own words.
type importDetail struct {
	Sheet   string
	Mapping map[string]string
	Report  gateway.ImportReport
}

// importCounts is an import's column of counts.
type importCounts struct {
	Rows, Accepted, Rejected, Issued, Existed, Warnings, Kept, Progress, Next int
	Checked                                                                   bool
}

func (t *tx) importValues(i gateway.Import) (detail []byte, counts string, err error) {
	k, err := t.key(string(i.School))
	if err != nil {
		return nil, "", err
	}
	detail, err = k.sealJSON(importColumn, importDetail{i.Sheet, i.Mapping, i.Report})
	return detail, asJSON(importCounts{i.Rows, i.Accepted, i.Rejected, i.Issued, i.Existed, i.Warnings, i.Kept, i.Progress, i.Next, i.Checked}), err
}

const insertImport = `
INSERT INTO imports (school, id, state, dry_run, on_error, upload, size, digest, actor_kind, actor_name, detail_enc, counts,
       created_at, finished_at, lease, lease_until, tries)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)`

func (t *tx) InsertImport(i gateway.Import) error {
	detail, counts, err := t.importValues(i)
	if err != nil {
		return err
	}
	_, err = t.sql.ExecContext(t.ctx, insertImport, i.School, i.ID, i.State, i.DryRun, i.OnError, i.Upload.ID, i.Upload.Size,
		i.Upload.Digest[:], i.Actor.Kind, i.Actor.Name, detail, counts, at(i.CreatedAt), at(i.FinishedAt), i.Lease, at(i.LeaseUntil), i.Tries)
	return err
}

const selectImport = `
SELECT school, id, state, dry_run, on_error, upload, size, digest, actor_kind, actor_name, detail_enc, counts,
       created_at, finished_at, lease, lease_until, tries
  FROM imports`

func (t *tx) scanImport(r row) (opener[gateway.Import], error) {
	var i gateway.Import
	var sealed []byte
	var c importCounts
	err := r.Scan(&i.School, &i.ID, &i.State, &i.DryRun, &i.OnError, &i.Upload.ID, &i.Upload.Size, digest{&i.Upload.Digest},
		&i.Actor.Kind, &i.Actor.Name, &sealed, jsonText{&c}, instant{&i.CreatedAt}, instant{&i.FinishedAt}, &i.Lease,
		instant{&i.LeaseUntil}, &i.Tries)
	i.Rows, i.Accepted, i.Rejected, i.Issued, i.Existed = c.Rows, c.Accepted, c.Rejected, c.Issued, c.Existed
	i.Warnings, i.Kept, i.Progress, i.Next, i.Checked = c.Warnings, c.Kept, c.Progress, c.Next, c.Checked
	return func() (gateway.Import, error) {
		k, err := t.key(string(i.School))
		if err != nil {
			return i, err
		}
		var d importDetail
		err = k.openJSON(importColumn, sealed, &d)
		i.Sheet, i.Mapping, i.Report = d.Sheet, d.Mapping, d.Report
		return i, err
	}, notFound(err)
}

const selectOneImport = selectImport + ` WHERE school = $1 AND id = $2`

func (t *tx) Import(school gateway.SchoolCode, id string) (gateway.Import, error) {
	return opened(t.scanImport(t.sql.QueryRowContext(t.ctx, selectOneImport, school, id)))
}

const lockImport = `SELECT 1 FROM imports WHERE school = $1 AND id = $2`

func (t *tx) LockImport(school gateway.SchoolCode, id string) (gateway.Import, error) {
	if err := t.lock(lockImport, school, id); err != nil {
		return gateway.Import{}, err
	}
	return t.Import(school, id)
}

const updateImport = `
UPDATE imports
   SET state = $3, detail_enc = $4, counts = $5, finished_at = $6, lease = $7, lease_until = $8, tries = $9
 WHERE school = $1 AND id = $2`

func (t *tx) SaveImport(i gateway.Import) error {
	detail, counts, err := t.importValues(i)
	if err != nil {
		return err
	}
	return t.changed(gateway.ErrNotFound, updateImport, i.School, i.ID, i.State, detail, counts, at(i.FinishedAt), i.Lease, at(i.LeaseUntil), i.Tries)
}

const selectImports = selectImport + `
 WHERE school = $1 AND ($2 = '' OR seq < (SELECT b.seq FROM imports b WHERE b.school = $1 AND b.id = $2))
 ORDER BY seq DESC
 LIMIT $3`

func (t *tx) Imports(school gateway.SchoolCode, before string, limit int) ([]gateway.Import, error) {
	rows, err := t.sql.QueryContext(t.ctx, selectImports, school, before, limit)
	return collectOpened(rows, err, t.scanImport)
}

const countRunningImports = `SELECT count(*) FROM imports WHERE school = $1 AND state = 'running'`

func (t *tx) CountRunningImports(school gateway.SchoolCode) (n int, err error) {
	err = t.sql.QueryRowContext(t.ctx, countRunningImports, school).Scan(&n)
	return n, err
}

const claimImport = `
UPDATE imports
   SET lease = $1, lease_until = $3, tries = tries + 1
 WHERE seq = (
       SELECT i.seq
         FROM imports i
        WHERE i.state = 'running' AND (i.lease_until IS NULL OR i.lease_until <= $2)
        ORDER BY i.seq
        LIMIT 1%s)
RETURNING school, id`

func (t *tx) ClaimImport(owner string, now, until time.Time) (gateway.Import, error) {
	skip := ""
	if t.db.forUpdate != "" {
		skip = t.db.forUpdate + " SKIP LOCKED"
	}
	var school gateway.SchoolCode
	var id string
	err := t.sql.QueryRowContext(t.ctx, fmt.Sprintf(claimImport, skip), owner, at(now), at(until)).Scan(&school, &id)
	if err != nil {
		return gateway.Import{}, notFound(err)
	}
	return t.Import(school, id)
}

const insertImportErrors = `
INSERT INTO import_errors (school, import, seq, content_enc)
VALUES %s
    ON CONFLICT DO NOTHING`

func (t *tx) InsertImportErrors(school gateway.SchoolCode, id string, list []gateway.ImportError) error {
	k, err := t.key(string(school))
	if err != nil {
		return err
	}
	for from, n := range chunks(len(list)) {
		var args []any
		for _, e := range list[from : from+n] {
			sealed, err := k.sealJSON(importErrorColumn, e)
			if err != nil {
				return err
			}
			args = append(args, school, id, e.Seq, sealed)
		}
		if _, err := t.sql.ExecContext(t.ctx, fmt.Sprintf(insertImportErrors, values(n, 4)), args...); err != nil {
			return err
		}
	}
	return nil
}

const deleteImportErrors = `DELETE FROM import_errors WHERE school = $1 AND import = $2`

func (t *tx) DeleteImportErrors(school gateway.SchoolCode, id string) error {
	_, err := t.sql.ExecContext(t.ctx, deleteImportErrors, school, id)
	return err
}

const selectImportErrors = `
SELECT content_enc
  FROM import_errors
 WHERE school = $1 AND import = $2 AND seq > $3
 ORDER BY seq
 LIMIT $4`

func (t *tx) ImportErrors(school gateway.SchoolCode, id string, after int64, limit int) ([]gateway.ImportError, error) {
	k, err := t.key(string(school))
	if err != nil {
		return nil, err
	}
	rows, err := t.sql.QueryContext(t.ctx, selectImportErrors, school, id, after, limit)
	return collect(rows, err, func(r row) (e gateway.ImportError, err error) {
		var sealed []byte
		if err := r.Scan(&sealed); err != nil {
			return e, err
		}
		err = k.openJSON(importErrorColumn, sealed, &e)
		return e, err
	})
}

const (
	deleteOrphanUploads = `
DELETE FROM uploads
 WHERE (school, id) IN (
       SELECT u.school, u.id
         FROM uploads u
        WHERE u.part = 0 AND u.created_at <= $1
          AND NOT EXISTS (SELECT 1 FROM imports i WHERE i.school = u.school AND i.upload = u.id AND i.state = 'running'))`
	deleteOldImportErrors = `
DELETE FROM import_errors
 WHERE (school, import) IN (SELECT i.school, i.id FROM imports i WHERE i.finished_at <= $1)`
)

func (t *tx) DropImportData(orphans, errors time.Time) error {
	if _, err := t.sql.ExecContext(t.ctx, deleteOrphanUploads, at(orphans)); err != nil {
		return err
	}
	_, err := t.sql.ExecContext(t.ctx, deleteOldImportErrors, at(errors))
	return err
}

const selectMapping = `SELECT mapping_enc FROM import_mappings WHERE school = $1 AND header = $2`

func (t *tx) ColumnMapping(school gateway.SchoolCode, header [sha256.Size]byte) (m map[string]string, err error) {
	var sealed []byte
	if err := t.sql.QueryRowContext(t.ctx, selectMapping, school, header[:]).Scan(&sealed); err != nil {
		return nil, notFound(err)
	}
	k, err := t.key(string(school))
	if err != nil {
		return nil, err
	}
	err = k.openJSON(mappingColumn, sealed, &m)
	return m, err
}

const upsertMapping = `
INSERT INTO import_mappings (school, header, mapping_enc, changed_at)
VALUES ($1, $2, $3, $4)
    ON CONFLICT (school, header) DO UPDATE SET mapping_enc = excluded.mapping_enc, changed_at = excluded.changed_at`

func (t *tx) PutColumnMapping(school gateway.SchoolCode, header [sha256.Size]byte, mapping map[string]string, when time.Time) error {
	k, err := t.key(string(school))
	if err != nil {
		return err
	}
	sealed, err := k.sealJSON(mappingColumn, mapping)
	if err != nil {
		return err
	}
	_, err = t.sql.ExecContext(t.ctx, upsertMapping, school, header[:], sealed, at(when))
	return err
}

const countUploads = `SELECT count(*) FROM uploads WHERE part = 0`

// CountUploads counts the files that wait for an import, or were left by a
// request that broke off.
func (db *DB) CountUploads(ctx context.Context) (n int, err error) {
	err = db.read.QueryRowContext(ctx, countUploads).Scan(&n)
	return n, err
}

const countAudit = `SELECT count(*) FROM audit WHERE school = $1 AND substr(action, 1, $3) = $2`

// CountAudit counts a school's audit rows whose action begins so.
func (db *DB) CountAudit(ctx context.Context, school gateway.SchoolCode, action string) (n int, err error) {
	err = db.read.QueryRowContext(ctx, countAudit, school, action, len(action)).Scan(&n)
	return n, err
}
