// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"time"
)

// MaxUpload is how large an uploaded file may be. 100,000 rows are about 15 MB
// of CSV and 8 MB of XLSX.
const MaxUpload = 64 << 20

// MaxImportErrors is how many errors and warnings are kept of one import.
const MaxImportErrors = 10_000

const (
	// uploadPart is how an upload is cut in the store.
	uploadPart = 256 << 10
	// importLease is how long an import is a worker's alone; it renews it with
	// every step.
	importLease = time.Minute
	// maxRunningImports bounds what one school may have waiting.
	maxRunningImports = 20
	// importDataKept is how long the errors of an import are kept, which quote
	// the file, and orphanKept how long an upload that no import took.
	importDataKept = 30 * 24 * time.Hour
	orphanKept     = 24 * time.Hour
)

var (
	// ErrTooLarge: an upload over MaxUpload.
	ErrTooLarge = errors.New("upload is too large")
	// ErrTooManyImports: the school has too many unfinished ones.
	ErrTooManyImports = errors.New("too many imports are running")
)

// ImportState is where an Import is. Stored and sent: never renamed.
type ImportState string

const (
	ImportRunning ImportState = "running"
	ImportDone    ImportState = "done"
	ImportFailed  ImportState = "failed"
)

// OnError is what an import does with a bad row. Stored and sent: never renamed.
type OnError string

const (
	// OnErrorStop issues nothing unless every row is good.
	OnErrorStop OnError = "stop"
	// OnErrorSkip issues the good rows.
	OnErrorSkip OnError = "skip"
)

// Import is the issuing of notices from a file (importazione).
type Import struct {
	School  SchoolCode
	ID      string
	State   ImportState
	DryRun  bool
	OnError OnError
	Upload  Upload
	Actor   Actor
	// Sheet and Mapping are what was asked for: the sheet of a workbook, and the
	// names of columns by field.
	Sheet   string
	Mapping map[string]string
	Report  ImportReport

	Rows, Accepted, Rejected int
	// Issued and Existed are the two kinds of accepted rows.
	Issued, Existed int
	Warnings        int
	Kept            int // errors and warnings kept
	Progress        int // percent

	// Checked: all rows were looked at and are good. Next: the rows before it are
	// done.
	Checked bool
	Next    int

	CreatedAt  time.Time
	FinishedAt time.Time
	Lease      string // whose work it is
	LeaseUntil time.Time
	Tries      int // since it last got on
}

// ImportReport is what was made of the file.
type ImportReport struct {
	Format     string            `json:"format,omitempty"`
	Encoding   string            `json:"encoding,omitempty"`
	Separator  string            `json:"separator,omitempty"`
	Sheet      string            `json:"sheet,omitempty"`
	Others     []string          `json:"others,omitempty"` // sheets not read
	HeaderRow  int               `json:"header_row,omitempty"`
	Columns    map[string]string `json:"columns,omitempty"` // field to the column's name
	Ignored    []string          `json:"ignored,omitempty"` // columns not used
	Source     string            `json:"source,omitempty"`  // of Columns: guessed, remembered or given
	FailedCode string            `json:"failed_code,omitempty"`
	FailedText string            `json:"failed_text,omitempty"`
}

// ImportError is something wrong with a row, or something to look at.
type ImportError struct {
	Seq     int64 // order, and identity within the import
	Row     int   // as the spreadsheet counts them; 0: the file
	Column  string
	Field   string
	Code    string
	Message string // Italian, for who made the file
	Value   string // the beginning of what the cell says
	Warning bool
}

// Upload is a file in the store.
type Upload struct {
	ID     string
	Size   int64
	Digest [sha256.Size]byte
}

// ImportTx is the part of Tx that keeps imports and their files.
type ImportTx interface {
	InsertUploadPart(school SchoolCode, upload string, part int, data []byte, at time.Time) error
	UploadPart(school SchoolCode, upload string, part int) ([]byte, error)
	DeleteUpload(school SchoolCode, upload string) error

	InsertImport(Import) error
	Import(school SchoolCode, id string) (Import, error)
	LockImport(school SchoolCode, id string) (Import, error)
	SaveImport(Import) error
	// Imports lists a school's imports, newest first, those older than
	// the one named before, or all.
	Imports(school SchoolCode, before string, limit int) ([]Import, error)
	CountRunningImports(school SchoolCode) (int, error)
	// ClaimImport gives the oldest running import that is nobody's at now to
	// owner, until then; ErrNotFound.
	ClaimImport(owner string, now, until time.Time) (Import, error)
	// InsertImportErrors adds errors; one whose Seq is there changes nothing.
	InsertImportErrors(school SchoolCode, id string, list []ImportError) error
	DeleteImportErrors(school SchoolCode, id string) error
	// ImportErrors lists errors in order of their Seq, those after after.
	ImportErrors(school SchoolCode, id string, after int64, limit int) ([]ImportError, error)
	// DropImportData deletes the uploads that no import has and that are older
	// than orphans, and the errors of imports that ended before errors.
	DropImportData(orphans, errors time.Time) error

	// ColumnMapping is what the columns of a header were said to be, by the
	// header's digest; ErrNotFound.
	ColumnMapping(school SchoolCode, header [sha256.Size]byte) (map[string]string, error)
	PutColumnMapping(school SchoolCode, header [sha256.Size]byte, mapping map[string]string, at time.Time) error
}

// StoreUpload streams a file into the store, encrypted, before anything is made
// of it; ErrTooLarge. No transaction is open while r is waited for.
func (s *Service) StoreUpload(ctx context.Context, school SchoolCode, r io.Reader) (Upload, error) {
	u := Upload{ID: s.newID()}
	digest := sha256.New()
	buf := make([]byte, uploadPart)
	for part := 0; ; part++ {
		n, err := io.ReadFull(r, buf)
		end := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !end {
			return Upload{}, errors.Join(fmt.Errorf("read upload: %w", err), s.DropUpload(ctx, school, u.ID))
		}
		if u.Size += int64(n); u.Size > MaxUpload {
			return Upload{}, errors.Join(ErrTooLarge, s.DropUpload(ctx, school, u.ID))
		}
		digest.Write(buf[:n])
		if n > 0 {
			err := s.store.Update(ctx, func(tx Tx) error {
				return tx.InsertUploadPart(school, u.ID, part, buf[:n], s.clock.Now())
			})
			if err != nil {
				return Upload{}, errors.Join(fmt.Errorf("keep upload: %w", err), s.DropUpload(ctx, school, u.ID))
			}
		}
		if end {
			digest.Sum(u.Digest[:0])
			return u, nil
		}
	}
}

// DropUpload deletes an upload that no import took.
func (s *Service) DropUpload(ctx context.Context, school SchoolCode, id string) error {
	return s.store.Update(context.WithoutCancel(ctx), func(tx Tx) error { return tx.DeleteUpload(school, id) })
}

// OpenUpload reads a stored file at any place. It keeps one part in memory and
// is not safe for concurrent use.
func (s *Service) OpenUpload(ctx context.Context, school SchoolCode, u Upload) io.ReaderAt {
	return &uploadReader{ctx: ctx, s: s, school: school, u: u, at: -1}
}

type uploadReader struct {
	ctx    context.Context
	s      *Service
	school SchoolCode
	u      Upload
	at     int // the part in data
	data   []byte
}

func (r *uploadReader) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) {
		if off >= r.u.Size {
			return n, io.EOF
		}
		part := int(off / uploadPart)
		if part != r.at {
			err := r.s.store.View(r.ctx, func(tx Tx) (err error) {
				r.data, err = tx.UploadPart(r.school, r.u.ID, part)
				return err
			})
			if err != nil {
				r.at = -1
				return n, fmt.Errorf("upload part %d: %w", part, err)
			}
			r.at = part
		}
		from := int(off % uploadPart)
		if from >= len(r.data) {
			return n, io.ErrUnexpectedEOF
		}
		c := copy(p[n:], r.data[from:])
		n, off = n+c, off+int64(c)
	}
	return n, nil
}

// NewImport is an import as a caller asks for it.
type NewImport struct {
	Upload  Upload
	DryRun  bool
	OnError OnError // empty: stop
	Sheet   string
	Mapping map[string]string
	// Worker does the work itself from the start; empty: whoever claims it.
	Worker string
}

// CreateImport begins an import of a stored file. A worker does it; see
// ClaimImport.
func (s *Service) CreateImport(ctx context.Context, actor Actor, school SchoolCode, in NewImport) (Import, error) {
	if in.OnError == "" {
		in.OnError = OnErrorStop
	}
	if in.OnError != OnErrorStop && in.OnError != OnErrorSkip {
		return Import{}, &Invalid{[]FieldError{{"on_error", "unknown", "give stop or skip"}}}
	}
	now := s.clock.Now()
	imp := Import{
		School: school, ID: s.newID(), State: ImportRunning, DryRun: in.DryRun, OnError: in.OnError, Upload: in.Upload,
		Actor: actor, Sheet: in.Sheet, Mapping: in.Mapping, CreatedAt: now,
	}
	if in.Worker != "" {
		imp.Lease, imp.LeaseUntil, imp.Tries = in.Worker, now.Add(importLease), 1
	}
	err := s.store.Update(ctx, func(tx Tx) error {
		n, err := tx.CountRunningImports(school)
		if err != nil {
			return err
		}
		if n >= maxRunningImports {
			return ErrTooManyImports
		}
		if err := tx.InsertImport(imp); err != nil {
			return err
		}
		return tx.AppendAudit(Audit{School: school, Actor: actor, Action: "import.created", Object: imp.ID, At: now})
	})
	if err != nil {
		return Import{}, fmt.Errorf("create import: %w", err)
	}
	return imp, nil
}

// Import finds one import; ErrNotFound.
func (s *Service) Import(ctx context.Context, school SchoolCode, id string) (Import, error) {
	var imp Import
	err := s.store.View(ctx, func(tx Tx) (err error) {
		imp, err = tx.Import(school, id)
		return err
	})
	return imp, err
}

// Imports lists a school's imports, newest first, those before the one named.
func (s *Service) Imports(ctx context.Context, school SchoolCode, before string, limit int) ([]Import, error) {
	var list []Import
	err := s.store.View(ctx, func(tx Tx) (err error) {
		list, err = tx.Imports(school, before, limit)
		return err
	})
	return list, err
}

// ImportErrors lists what is wrong with an import's rows, in their order.
func (s *Service) ImportErrors(ctx context.Context, school SchoolCode, id string, after int64, limit int) ([]ImportError, error) {
	var list []ImportError
	err := s.store.View(ctx, func(tx Tx) (err error) {
		if _, err = tx.Import(school, id); err != nil {
			return err
		}
		list, err = tx.ImportErrors(school, id, after, limit)
		return err
	})
	return list, err
}

// ClaimImport gives a worker the next import to do; ErrNotFound when there is
// none. A worker that dies loses it to the next when the lease ends.
func (s *Service) ClaimImport(ctx context.Context, worker string) (Import, error) {
	now := s.clock.Now()
	var imp Import
	err := s.store.Update(ctx, func(tx Tx) (err error) {
		imp, err = tx.ClaimImport(worker, now, now.Add(importLease))
		return err
	})
	return imp, err
}

// StepImport writes down how far an import got, with what it found on the way,
// and renews the lease; ErrConflict when it is another worker's by now.
func (s *Service) StepImport(ctx context.Context, imp Import, found []ImportError) error {
	return s.saveImport(ctx, imp, func(tx Tx) error {
		return tx.InsertImportErrors(imp.School, imp.ID, found)
	})
}

// RestartImport forgets what an import found, to look again from the first row.
func (s *Service) RestartImport(ctx context.Context, imp Import) error {
	return s.saveImport(ctx, imp, func(tx Tx) error { return tx.DeleteImportErrors(imp.School, imp.ID) })
}

func (s *Service) saveImport(ctx context.Context, imp Import, and func(Tx) error) error {
	err := s.store.Update(ctx, func(tx Tx) error {
		there, err := tx.LockImport(imp.School, imp.ID)
		if err != nil {
			return err
		}
		if there.Lease != imp.Lease || there.State != ImportRunning {
			return ErrConflict
		}
		imp.Tries = 1
		imp.LeaseUntil = s.clock.Now().Add(importLease)
		if err := tx.SaveImport(imp); err != nil {
			return err
		}
		return and(tx)
	})
	if err != nil {
		return fmt.Errorf("import %s: %w", imp.ID, err)
	}
	return nil
}

// FinishImport ends an import, deletes its file and tells the world. imp.State
// says how it ended.
func (s *Service) FinishImport(ctx context.Context, imp Import, found []ImportError) (Import, error) {
	imp.FinishedAt, imp.Progress = s.clock.Now(), 100
	err := s.saveImport(ctx, imp, func(tx Tx) error {
		imp.Lease, imp.LeaseUntil = "", time.Time{}
		if err := tx.SaveImport(imp); err != nil {
			return err
		}
		if err := tx.InsertImportErrors(imp.School, imp.ID, found); err != nil {
			return err
		}
		if err := tx.DeleteUpload(imp.School, imp.Upload.ID); err != nil {
			return err
		}
		audit := Audit{School: imp.School, Actor: imp.Actor, Action: "import." + string(imp.State), Object: imp.ID, At: imp.FinishedAt}
		if err := tx.AppendAudit(audit); err != nil {
			return err
		}
		return tx.Enqueue(s.importMessage(imp))
	})
	return imp, err
}

// importMessage tells that an import ended.
func (s *Service) importMessage(imp Import) Message {
	payload := eventJSON(EventPayload{Type: EventImportFinished, School: imp.School, Import: imp.ID, At: imp.FinishedAt})
	return Message{ID: s.newID(), School: imp.School, Kind: "event", Aggregate: string(imp.School) + "/" + imp.ID, Payload: payload, At: imp.FinishedAt}
}

// ReleaseImport gives an import back before its lease ends: a worker that stops
// need not be waited for.
func (s *Service) ReleaseImport(ctx context.Context, imp Import) error {
	return s.store.Update(ctx, func(tx Tx) error {
		there, err := tx.LockImport(imp.School, imp.ID)
		if err != nil || there.Lease != imp.Lease || there.State != ImportRunning {
			return err
		}
		there.Lease, there.LeaseUntil, there.Tries = "", time.Time{}, there.Tries-1
		return tx.SaveImport(there)
	})
}

// ColumnMapping is what this header's columns were said to be before.
func (s *Service) ColumnMapping(ctx context.Context, school SchoolCode, header [sha256.Size]byte) (map[string]string, error) {
	var m map[string]string
	err := s.store.View(ctx, func(tx Tx) (err error) {
		m, err = tx.ColumnMapping(school, header)
		return err
	})
	return m, err
}

// RememberMapping keeps what this header's columns are, for the next file.
func (s *Service) RememberMapping(ctx context.Context, school SchoolCode, header [sha256.Size]byte, mapping map[string]string) error {
	return s.store.Update(ctx, func(tx Tx) error { return tx.PutColumnMapping(school, header, mapping, s.clock.Now()) })
}

// SweepImports deletes the files that no import took, and what old imports
// quote of theirs.
func (s *Service) SweepImports(ctx context.Context) error {
	now := s.clock.Now()
	return s.store.Update(ctx, func(tx Tx) error {
		return tx.DropImportData(now.Add(-orphanKept), now.Add(-importDataKept))
	})
}
