// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"

	"github.com/nodogate/nodogate/gateway"
)

const deleteTaxonomy = `DELETE FROM taxonomy`

const insertTaxonomy = `
INSERT INTO taxonomy (code, valid_from, valid_to, kind, area, name, version)
VALUES %s
    ON CONFLICT (code, valid_from) DO UPDATE
   SET valid_to = excluded.valid_to, kind = excluded.kind, area = excluded.area, name = excluded.name, version = excluded.version`

const taxonomyValues = 7

// ReplaceTaxonomy puts a list in the place of the one before.
func (t *tx) ReplaceTaxonomy(list []gateway.TaxonomyCode) error {
	if _, err := t.sql.ExecContext(t.ctx, deleteTaxonomy); err != nil {
		return err
	}
	// One by one: the same code twice in one statement is an error.
	for _, c := range list {
		if _, err := t.sql.ExecContext(t.ctx, fmt.Sprintf(insertTaxonomy, values(1, taxonomyValues)),
			c.Code, c.From.String(), c.To.String(), c.Kind, c.Area, c.Name, c.Version); err != nil {
			return err
		}
	}
	return nil
}

const (
	selectTaxonomyLoaded = `SELECT EXISTS (SELECT 1 FROM taxonomy)`
	selectTaxonomy       = `SELECT code, valid_from, valid_to, kind, area, name, version FROM taxonomy`
	orderTaxonomy        = ` ORDER BY code, valid_from`
)

func (t *tx) TaxonomyCodes(codes []string) (loaded bool, list []gateway.TaxonomyCode, err error) {
	if err := t.sql.QueryRowContext(t.ctx, selectTaxonomyLoaded).Scan(&loaded); err != nil || !loaded {
		return false, nil, err
	}
	var w where
	if codes != nil {
		// $1 is not used by itself: anyOf names the list $2.
		w.and("CAST(? AS TEXT) = '' AND code"+t.db.anyOf, "", t.db.list(codes))
	}
	rows, err := t.sql.QueryContext(t.ctx, selectTaxonomy+w.text.String()+orderTaxonomy, w.args...)
	list, err = collect(rows, err, func(r row) (c gateway.TaxonomyCode, err error) {
		err = r.Scan(&c.Code, day{&c.From}, day{&c.To}, &c.Kind, &c.Area, &c.Name, &c.Version)
		return c, err
	})
	return true, list, err
}
