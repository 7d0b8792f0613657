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
