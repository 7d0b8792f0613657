// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nodogate/nodogate/gateway"
)

func imports(w world) {
	job := func(s gateway.SchoolCode, id string) gateway.Import {
		return gateway.Import{
			School: s, ID: id, State: gateway.ImportRunning, DryRun: true, OnError: gateway.OnErrorSkip,
			Upload: gateway.Upload{ID: "u-" + id, Size: 300, Digest: sha256.Sum256([]byte(id))}, Actor: user,
			Sheet: "Foglio1", Mapping: map[string]string{"amount": "Quota"}, Report: gateway.ImportReport{Format: "csv", Ignored: []string{"Note"}},
			Rows: 1, Accepted: 2, Rejected: 3, Issued: 4, Existed: 5, Warnings: 6, Kept: 7, Progress: 8, Checked: true, Next: 9,
			CreatedAt: Now(),
		}
	}
	a, b, other := job(schoolA, "a"), job(schoolA, "b"), job(schoolB, "c")
	w.update(func(tx gateway.Tx) error {
		return errors.Join(
			tx.InsertUploadPart(schoolA, "u-a", 0, []byte("Mario Rossi"), Now()), tx.InsertUploadPart(schoolA, "u-a", 1, []byte("two"), Now()),
			tx.InsertUploadPart(schoolA, "orphan", 0, []byte("one"), Now()), tx.InsertUploadPart(schoolA, "orphan", 1, []byte("two"), Now()),
			tx.InsertImport(a), tx.InsertImport(b), tx.InsertImport(other))
	})
	equal(w, "import", read(w, func(tx gateway.Tx) (gateway.Import, error) { return tx.Import(schoolA, "a") }), a)
	w.view(func(tx gateway.Tx) error {
		_, err := tx.Import(schoolB, "a")
		w.wants("another school's import", err, gateway.ErrNotFound)
		_, err = tx.UploadPart(schoolB, "u-a", 0)
		w.wants("another school's upload", err, gateway.ErrNotFound)
		return nil
	})
	equal(w, "part", string(read(w, func(tx gateway.Tx) ([]byte, error) { return tx.UploadPart(schoolA, "u-a", 0) })), "Mario Rossi")
	ids := func(list []gateway.Import) string {
		var s []string
		for _, i := range list {
			s = append(s, i.ID)
		}
		return strings.Join(s, " ")
	}
	equal(w, "newest first", ids(read(w, func(tx gateway.Tx) ([]gateway.Import, error) { return tx.Imports(schoolA, "", 9) })), "b a")
	equal(w, "next page", ids(read(w, func(tx gateway.Tx) ([]gateway.Import, error) { return tx.Imports(schoolA, "b", 9) })), "a")
	equal(w, "running", read(w, func(tx gateway.Tx) (int, error) { return tx.CountRunningImports(schoolA) }), 2)

	var raw []byte
	if err := w.raw().QueryRowContext(w.Context(), `SELECT data_enc FROM uploads WHERE id = 'u-a' AND part = 0`).Scan(&raw); err != nil || bytes.Contains(raw, []byte("Rossi")) {
		w.Errorf("the upload lies open: %q, %v", raw, err)
	}

	// Claimed in their order, each by one, until the lease ends.
	claim := func(owner string, now time.Time, want string) {
		w.Helper()
		w.update(func(tx gateway.Tx) error {
			got, err := tx.ClaimImport(owner, now, now.Add(time.Minute))
			if want == "" {
				w.wants("ClaimImport of none", err, gateway.ErrNotFound)
				return nil
			}
			if got.ID != want || got.Lease != owner || !got.LeaseUntil.Equal(now.Add(time.Minute)) {
				w.Errorf("ClaimImport = %s of %s until %s, want %s", got.ID, got.Lease, got.LeaseUntil, want)
			}
			return err
		})
	}
	claim("one", Now(), "a")
	claim("two", Now(), "b")
	claim("two", Now(), "c")
	claim("three", Now(), "")
	claim("three", Now().Add(time.Minute), "a")
	w.update(func(tx gateway.Tx) error {
		a, err := tx.LockImport(schoolA, "a")
		equal(w, "tries", a.Tries, 2)
		a.State, a.FinishedAt, a.Report.FailedCode, a.Lease, a.LeaseUntil = gateway.ImportFailed, Now(), "columns", "", time.Time{}
		return errors.Join(err, tx.SaveImport(a))
	})
	claim("four", Now().Add(time.Hour), "b")

	var list []gateway.ImportError
	for i := range 50 {
		list = append(list, gateway.ImportError{Seq: int64(i + 1), Row: i, Column: "C.F.", Field: "fiscal_code", Code: "format", Message: "no", Value: "Rossi", Warning: i%2 == 0})
	}
	errs := func(id string, after int64, limit int) string {
		w.Helper()
		var s []string
		for _, e := range read(w, func(tx gateway.Tx) ([]gateway.ImportError, error) { return tx.ImportErrors(schoolA, id, after, limit) }) {
			s = append(s, fmt.Sprint(e.Row, e.Warning))
		}
		return strings.Join(s, ",")
	}
	w.update(func(tx gateway.Tx) error {
		return errors.Join(tx.InsertImportErrors(schoolA, "a", list), tx.InsertImportErrors(schoolA, "a", list[:3]), tx.InsertImportErrors(schoolA, "b", list[:2]))
	})
	equal(w, "errors", errs("a", 47, 2), "47 false,48 true")
	w.update(func(tx gateway.Tx) error { return tx.DropImportData(Now().Add(-time.Second), Now().Add(-time.Second)) })
	equal(w, "errors kept", errs("b", 0, 9), "0 true,1 false")
	w.update(func(tx gateway.Tx) error { return tx.DropImportData(Now(), Now()) })
	equal(w, "errors of the old import", errs("a", 0, 9), "")
	equal(w, "errors of the running one", errs("b", 0, 9), "0 true,1 false")
	w.view(func(tx gateway.Tx) error {
		_, err := tx.UploadPart(schoolA, "orphan", 1)
		w.wants("an orphan", err, gateway.ErrNotFound)
		return nil
	})
	w.update(func(tx gateway.Tx) error {
		return errors.Join(tx.DeleteImportErrors(schoolA, "b"), tx.DeleteUpload(schoolA, "u-a"))
	})
	equal(w, "deleted errors", errs("b", 0, 9), "")

	h := sha256.Sum256([]byte("header"))
	for _, m := range []map[string]string{{"amount": "Quota"}, {"amount": "Importo"}} {
		w.update(func(tx gateway.Tx) error { return tx.PutColumnMapping(schoolA, h, m, Now()) })
		equal(w, "mapping", read(w, func(tx gateway.Tx) (map[string]string, error) { return tx.ColumnMapping(schoolA, h) }), m)
	}
	w.view(func(tx gateway.Tx) error {
		_, err := tx.ColumnMapping(schoolB, h)
		w.wants("another school's mapping", err, gateway.ErrNotFound)
		return nil
	})
}

// fillImports puts something into every table of imports.
func fillImports(w world) {
	w.update(func(tx gateway.Tx) error {
		return errors.Join(
			tx.InsertUploadPart(schoolA, "u-1", 0, []byte("Mario Rossi"), Now()),
			tx.InsertImport(gateway.Import{
				School: schoolA, ID: "i-1", State: gateway.ImportRunning, OnError: gateway.OnErrorStop, Upload: gateway.Upload{ID: "u-1", Size: 11},
				Actor: user, Sheet: "Mario Rossi", Report: gateway.ImportReport{Ignored: []string{"Laura Bianchi"}}, CreatedAt: Now(),
			}),
			tx.InsertImportErrors(schoolA, "i-1", []gateway.ImportError{{Seq: 1, Row: 2, Value: "Mario Rossi"}}),
			tx.PutColumnMapping(schoolA, sha256.Sum256([]byte("h")), map[string]string{"full_name": "Mario Rossi"}, Now()))
	})
}
