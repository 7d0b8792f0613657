// SPDX-License-Identifier: Apache-2.0

package store

import "github.com/nodogate/nodogate/gateway"

const selectEvidence = `
SELECT id, kind, operation, school, receipt_id, number, digest, owner, raw_enc, received_at
  FROM evidence
 WHERE kind = $1
 ORDER BY seq DESC LIMIT $2`

func (t *tx) Evidence(kind gateway.EvidenceKind, limit int) ([]gateway.Evidence, error) {
	rows, err := t.sql.QueryContext(t.ctx, selectEvidence, kind, limit)
	return collectOpened(rows, err, func(r row) (opener[gateway.Evidence], error) {
		var e gateway.Evidence
		var owner string
		var raw []byte
		err := r.Scan(&e.ID, &e.Kind, &e.Operation, &e.School, &e.ReceiptID, &e.Number, digest{&e.Digest}, &owner, &raw, instant{&e.Received})
		return func() (gateway.Evidence, error) {
			k, err := t.key(owner)
			if err == nil {
				e.Raw, err = k.open(evidenceColumn, raw)
			}
			return e, err
		}, err
	})
}

const selectEvidences = `
SELECT seq, id, kind, operation, school, receipt_id, number, digest, received_at
  FROM evidence`

// owned is whose key sealed the evidence: of what names no school of ours, the
// installation's.
func owned(school gateway.SchoolCode) string {
	if school == "" {
		return installation
	}
	return string(school)
}

func evidencesWhere(school gateway.SchoolCode, f gateway.EvidenceFilter) (w where) {
	w.and("owner = ?", owned(school))
	if f.Kind != "" {
		w.and("kind = ?", f.Kind)
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

func (t *tx) Evidences(school gateway.SchoolCode, f gateway.EvidenceFilter) ([]gateway.Evidence, error) {
	w := evidencesWhere(school, f)
	rows, err := t.sql.QueryContext(t.ctx, selectEvidences+w.text.String(), w.args...)
	return collect(rows, err, func(r row) (e gateway.Evidence, err error) {
		err = r.Scan(&e.Seq, &e.ID, &e.Kind, &e.Operation, &e.School, &e.ReceiptID, &e.Number, digest{&e.Digest}, instant{&e.Received})
		return e, err
	})
}

const selectEvidenceByID = `
SELECT seq, id, kind, operation, school, receipt_id, number, digest, received_at, raw_enc
  FROM evidence
 WHERE id = $1 AND owner = $2`

func (t *tx) EvidenceByID(school gateway.SchoolCode, id string) (e gateway.Evidence, err error) {
	var raw []byte
	if err := t.sql.QueryRowContext(t.ctx, selectEvidenceByID, id, owned(school)).Scan(&e.Seq, &e.ID, &e.Kind, &e.Operation, &e.School,
		&e.ReceiptID, &e.Number, digest{&e.Digest}, instant{&e.Received}, &raw); err != nil {
		return e, notFound(err)
	}
	k, err := t.key(owned(school))
	if err != nil {
		return e, err
	}
	e.Raw, err = k.open(evidenceColumn, raw)
	return e, err
}
