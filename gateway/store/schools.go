// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/iuv"
)

const schoolColumns = `code, name, iban, segregation, broker, station, mechanograph, cbill, taxonomy,
       postal_account, postal_iban, postal_holder, postal_authorization, help_text, created_at, version, town, campaigns_need_approval, help_mail`

func scanSchool(r row) (s gateway.School, err error) {
	var segregation string
	if err = r.Scan(&s.Code, &s.Name, &s.IBAN, &segregation, &s.Broker, &s.Station, &s.Mechanograph, &s.CBILL, &s.Taxonomy,
		&s.Postal.Account, &s.Postal.IBAN, &s.Postal.Holder, &s.Postal.Authorization, &s.HelpText, instant{&s.CreatedAt}, &s.Version, &s.Town, &s.CampaignsNeedApproval, &s.HelpMail); err != nil {
		return s, notFound(err)
	}
	s.Segregation, err = iuv.ParseSegregation(segregation)
	return s, err
}

const selectSchool = `SELECT ` + schoolColumns + ` FROM schools WHERE code = $1`

func (t *tx) School(code gateway.SchoolCode) (gateway.School, error) {
	return scanSchool(t.sql.QueryRowContext(t.ctx, selectSchool, code))
}

const selectSchools = `SELECT ` + schoolColumns + ` FROM schools ORDER BY name, code`

func (t *tx) Schools() ([]gateway.School, error) {
	rows, err := t.sql.QueryContext(t.ctx, selectSchools)
	return collect(rows, err, scanSchool)
}

const insertSchool = `
INSERT INTO schools (` + schoolColumns + `)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
    ON CONFLICT (code) DO NOTHING`

// InsertSchool makes the school's data key too.
func (t *tx) InsertSchool(s gateway.School) error {
	err := t.changed(gateway.ErrConflict, insertSchool, s.Code, s.Name, s.IBAN, s.Segregation.String(), s.Broker, s.Station,
		s.Mechanograph, s.CBILL, s.Taxonomy, s.Postal.Account, s.Postal.IBAN, s.Postal.Holder, s.Postal.Authorization,
		s.HelpText, at(s.CreatedAt), s.Version, s.Town, s.CampaignsNeedApproval, s.HelpMail)
	if err != nil {
		return err
	}
	k, err := t.db.makeKey(t.ctx, t.sql, string(s.Code))
	if err != nil {
		return fmt.Errorf("data key: %w", err)
	}
	if k != nil {
		t.keys[k.owner] = k
	}
	return nil
}

const updateSchool = `
UPDATE schools
   SET name = $2, iban = $3, segregation = $4, broker = $5, station = $6, mechanograph = $7, cbill = $8, taxonomy = $9, postal_account = $10,
       postal_iban = $11, postal_holder = $12, postal_authorization = $13, help_text = $14, version = $15, town = $16,
       campaigns_need_approval = $17, help_mail = $18
 WHERE code = $1 AND version < $15`

func (t *tx) SaveSchool(s gateway.School) error {
	return t.changed(gateway.ErrConflict, updateSchool, s.Code, s.Name, s.IBAN, s.Segregation.String(), s.Broker, s.Station,
		s.Mechanograph, s.CBILL, s.Taxonomy, s.Postal.Account, s.Postal.IBAN, s.Postal.Holder, s.Postal.Authorization, s.HelpText, s.Version,
		s.Town, s.CampaignsNeedApproval, s.HelpMail)
}

const selectKnowsStation = `
SELECT EXISTS (SELECT 1 FROM schools WHERE broker = $1),
       EXISTS (SELECT 1 FROM schools WHERE station = $2)`

func (t *tx) KnowsStation(broker, station string) (knowsBroker, knowsStation bool, err error) {
	err = t.sql.QueryRowContext(t.ctx, selectKnowsStation, broker, station).Scan(&knowsBroker, &knowsStation)
	return knowsBroker, knowsStation, err
}
