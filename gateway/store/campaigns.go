// SPDX-License-Identifier: Apache-2.0

package store

import "github.com/nodogate/nodogate/gateway"

const insertCampaign = `
INSERT INTO campaigns (school, id, state, content, author_kind, author_name, approver_kind, approver_name, created_at, changed_at, version)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`

func (t *tx) InsertCampaign(c gateway.Campaign) error {
	_, err := t.sql.ExecContext(t.ctx, insertCampaign, c.School, c.ID, c.State, asJSON(c.CampaignContent), c.Author.Kind, c.Author.Name,
		c.ApprovedBy.Kind, c.ApprovedBy.Name, at(c.CreatedAt), at(c.ChangedAt), c.Version)
	return err
}

const selectCampaign = `
SELECT seq, school, id, state, content, author_kind, author_name, approver_kind, approver_name, created_at, changed_at, version
  FROM campaigns`

const (
	selectOneCampaign = selectCampaign + ` WHERE school = $1 AND id = $2`
	selectCampaigns   = selectCampaign + ` WHERE school = $1 AND seq < $2 ORDER BY seq DESC LIMIT $3`
	lockCampaign      = `SELECT 1 FROM campaigns WHERE school = $1 AND id = $2`
)

// A plan counts as its instalments until the single option is paid; then those
// are cancelled.
const selectCampaignTotals = `
SELECT count(*), coalesce(sum(amount_cents), 0), coalesce(sum(CASE WHEN state = 'paid' THEN 1 ELSE 0 END), 0),
       coalesce(sum(CASE WHEN state = 'paid' THEN amount_cents ELSE 0 END), 0)
  FROM notices
 WHERE school = $1 AND campaign = $2 AND campaign <> '' AND state NOT IN ('cancelled', 'draft')
   AND (plan = '' OR instalment > 0 OR state = 'paid')`

func scanCampaign(r row) (c gateway.Campaign, err error) {
	err = r.Scan(&c.Seq, &c.School, &c.ID, &c.State, jsonText{&c.CampaignContent}, &c.Author.Kind, &c.Author.Name,
		&c.ApprovedBy.Kind, &c.ApprovedBy.Name, instant{&c.CreatedAt}, instant{&c.ChangedAt}, &c.Version)
	return c, notFound(err)
}

func (t *tx) campaignTotals(c *gateway.Campaign) error {
	x := &c.Totals
	return t.sql.QueryRowContext(t.ctx, selectCampaignTotals, c.School, c.ID).Scan(&x.Notices, &x.Issued, &x.Paid, &x.PaidAmount)
}

func (t *tx) Campaign(school gateway.SchoolCode, id string) (gateway.Campaign, error) {
	c, err := scanCampaign(t.sql.QueryRowContext(t.ctx, selectOneCampaign, school, id))
	if err == nil {
		err = t.campaignTotals(&c)
	}
	return c, err
}

func (t *tx) Campaigns(school gateway.SchoolCode, before int64, limit int) ([]gateway.Campaign, error) {
	rows, err := t.sql.QueryContext(t.ctx, selectCampaigns, school, before, limit)
	list, err := collect(rows, err, scanCampaign)
	for i := 0; err == nil && i < len(list); i++ {
		err = t.campaignTotals(&list[i])
	}
	return list, err
}

// LockCampaign locks before it reads, like LockNotice.
func (t *tx) LockCampaign(school gateway.SchoolCode, id string) (gateway.Campaign, error) {
	if err := t.lock(lockCampaign, school, id); err != nil {
		return gateway.Campaign{}, err
	}
	return scanCampaign(t.sql.QueryRowContext(t.ctx, selectOneCampaign, school, id))
}

const updateCampaign = `
UPDATE campaigns SET state = $3, content = $4, approver_kind = $5, approver_name = $6, changed_at = $7, version = $8
 WHERE school = $1 AND id = $2`

func (t *tx) SaveCampaign(c gateway.Campaign) error {
	return t.changed(gateway.ErrNotFound, updateCampaign, c.School, c.ID, c.State, asJSON(c.CampaignContent),
		c.ApprovedBy.Kind, c.ApprovedBy.Name, at(c.ChangedAt), c.Version)
}

const closeContribution = `UPDATE contributions SET closed = $3 WHERE school = $1 AND id = $2`

func (t *tx) CloseContribution(school gateway.SchoolCode, id string) error {
	_, err := t.sql.ExecContext(t.ctx, closeContribution, school, id, true)
	return err
}

const selectPupilsOfClass = selectPupil + ` WHERE school = $1 AND class = $2 ORDER BY id`

func (t *tx) PupilsOfClass(school gateway.SchoolCode, class string) ([]gateway.Pupil, error) {
	rows, err := t.sql.QueryContext(t.ctx, selectPupilsOfClass, school, class)
	return collectOpened(rows, err, t.scanPupil)
}
