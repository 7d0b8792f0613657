// SPDX-License-Identifier: Apache-2.0

package store

import (
	"cmp"
	"math"
	"slices"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/iuv"
)

const insertCampaign = `
INSERT INTO campaigns (school, id, state, content, author_kind, author_name, approver_kind, approver_name, created_at, changed_at, version, work)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`

func (t *tx) InsertCampaign(c gateway.Campaign) error {
	_, err := t.sql.ExecContext(t.ctx, insertCampaign, c.School, c.ID, c.State, asJSON(c.CampaignContent), c.Author.Kind, c.Author.Name,
		c.ApprovedBy.Kind, c.ApprovedBy.Name, at(c.CreatedAt), at(c.ChangedAt), c.Version, asJSON(c.Work))
	return err
}

const selectCampaign = `
SELECT seq, school, id, state, content, author_kind, author_name, approver_kind, approver_name, created_at, changed_at, version, work
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
		&c.ApprovedBy.Kind, &c.ApprovedBy.Name, instant{&c.CreatedAt}, instant{&c.ChangedAt}, &c.Version, jsonText{&c.Work})
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
UPDATE campaigns SET state = $3, content = $4, approver_kind = $5, approver_name = $6, changed_at = $7, version = $8, work = $9, author_kind = $10,
       author_name = $11
 WHERE school = $1 AND id = $2`

func (t *tx) SaveCampaign(c gateway.Campaign) error {
	return t.changed(gateway.ErrNotFound, updateCampaign, c.School, c.ID, c.State, asJSON(c.CampaignContent),
		c.ApprovedBy.Kind, c.ApprovedBy.Name, at(c.ChangedAt), c.Version, asJSON(c.Work), c.Author.Kind, c.Author.Name)
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

const (
	unpaidOfCampaign = ` FROM notices WHERE school = $1 AND campaign = $2 AND campaign <> '' AND state IN ('open', 'expired')`
	countUnpaid      = `SELECT count(*)` + unpaidOfCampaign
	selectUnpaid     = `SELECT number, seq` + unpaidOfCampaign + ` AND seq < $3 ORDER BY seq DESC LIMIT $4`
)

func (t *tx) CountUnpaid(school gateway.SchoolCode, campaign string) (n int, err error) {
	err = t.sql.QueryRowContext(t.ctx, countUnpaid, school, campaign).Scan(&n)
	return n, err
}

func (t *tx) UnpaidOfCampaign(school gateway.SchoolCode, campaign string, before int64, limit int) ([]gateway.UnpaidNotice, error) {
	if before == 0 {
		before = math.MaxInt64
	}
	rows, err := t.sql.QueryContext(t.ctx, selectUnpaid, school, campaign, before, limit)
	return collect(rows, err, func(r row) (n gateway.UnpaidNotice, err error) {
		err = r.Scan(number{&n.Number}, &n.Seq)
		return n, err
	})
}

const changeContribution = `UPDATE contributions SET description = $3, due_date = $4, version = version + 1 WHERE school = $1 AND id = $2`

func (t *tx) ChangeContribution(school gateway.SchoolCode, id, description string, due gateway.Date) error {
	_, err := t.sql.ExecContext(t.ctx, changeContribution, school, id, description, due.String())
	return err
}

func (t *tx) PayersOf(school gateway.SchoolCode, number iuv.Number) ([]gateway.Payer, gateway.Pupil, error) {
	rows, err := t.sql.QueryContext(t.ctx, selectPupilsOfNotice, school, number.String())
	pupils, err := collectOpened(rows, err, t.scanPupil)
	if err != nil {
		return nil, gateway.Pupil{}, err
	}
	rows, err = t.sql.QueryContext(t.ctx, selectPayersOfNotice, school, number.String())
	payers, err := collectOpened(rows, err, t.scanPayer)
	if err != nil {
		return nil, gateway.Pupil{}, err
	}
	slices.SortFunc(payers, func(a, b gateway.Payer) int { return cmp.Compare(a.ID, b.ID) })
	if len(pupils) == 0 {
		return payers, gateway.Pupil{}, nil
	}
	// A school may have entered a pupil twice: the same one each time.
	return payers, slices.MinFunc(pupils, func(a, b gateway.Pupil) int { return cmp.Compare(a.ID, b.ID) }), nil
}
