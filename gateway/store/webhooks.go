// SPDX-License-Identifier: Apache-2.0

package store

import (
	"strings"
	"time"

	"github.com/nodogate/nodogate/gateway"
)

// endpoint is what is sealed of a webhook.
type endpoint struct {
	URL  string               `json:"url"`
	Keys []gateway.WebhookKey `json:"keys"`
}

const (
	endpointColumn = "webhooks.endpoint_enc"
	answerColumn   = "delivery_tries.answer_enc"
)

const insertWebhook = `
INSERT INTO webhooks (school, id, events, endpoint_enc, created_at, changed_at, version)
VALUES ($1, $2, $3, $4, $5, $6, $7)`

func (t *tx) InsertWebhook(h gateway.Webhook) error {
	sealed, err := t.sealEndpoint(h)
	if err != nil {
		return err
	}
	_, err = t.sql.ExecContext(t.ctx, insertWebhook, h.School, h.ID, joinEvents(h.Events), sealed, at(h.CreatedAt), at(h.ChangedAt), h.Version)
	return err
}

func (t *tx) sealEndpoint(h gateway.Webhook) ([]byte, error) {
	k, err := t.key(string(h.School))
	if err != nil {
		return nil, err
	}
	return k.sealJSON(endpointColumn, endpoint{h.URL, h.Keys})
}

func joinEvents(list []gateway.EventKind) string {
	words := make([]string, len(list))
	for i, e := range list {
		words[i] = string(e)
	}
	return strings.Join(words, " ")
}

const selectWebhook = `
SELECT seq, school, id, events, endpoint_enc, created_at, changed_at, version
  FROM webhooks`

const (
	selectOneWebhook = selectWebhook + ` WHERE school = $1 AND id = $2`
	selectWebhooks   = selectWebhook + ` WHERE school = $1 AND seq < $2 ORDER BY seq DESC LIMIT $3`
	lockWebhook      = `SELECT 1 FROM webhooks WHERE school = $1 AND id = $2`
)

func (t *tx) scanWebhook(r row) (opener[gateway.Webhook], error) {
	var h gateway.Webhook
	var events string
	var sealed []byte
	if err := r.Scan(&h.Seq, &h.School, &h.ID, &events, &sealed, instant{&h.CreatedAt}, instant{&h.ChangedAt}, &h.Version); err != nil {
		return nil, notFound(err)
	}
	for _, e := range strings.Fields(events) {
		h.Events = append(h.Events, gateway.EventKind(e))
	}
	return func() (gateway.Webhook, error) {
		k, err := t.key(string(h.School))
		if err != nil {
			return h, err
		}
		var e endpoint
		err = k.openJSON(endpointColumn, sealed, &e)
		h.URL, h.Keys = e.URL, e.Keys
		return h, err
	}, nil
}

func (t *tx) Webhook(school gateway.SchoolCode, id string) (gateway.Webhook, error) {
	return opened(t.scanWebhook(t.sql.QueryRowContext(t.ctx, selectOneWebhook, school, id)))
}

func (t *tx) LockWebhook(school gateway.SchoolCode, id string) (gateway.Webhook, error) {
	if err := t.lock(lockWebhook, school, id); err != nil {
		return gateway.Webhook{}, err
	}
	return t.Webhook(school, id)
}

func (t *tx) Webhooks(school gateway.SchoolCode, before int64, limit int) ([]gateway.Webhook, error) {
	rows, err := t.sql.QueryContext(t.ctx, selectWebhooks, school, before, limit)
	return collectOpened(rows, err, t.scanWebhook)
}

const updateWebhook = `
UPDATE webhooks
   SET events = $3, endpoint_enc = $4, changed_at = $5, version = $6
 WHERE school = $1 AND id = $2`

func (t *tx) SaveWebhook(h gateway.Webhook) error {
	sealed, err := t.sealEndpoint(h)
	if err != nil {
		return err
	}
	return t.changed(gateway.ErrNotFound, updateWebhook, h.School, h.ID, joinEvents(h.Events), sealed, at(h.ChangedAt), h.Version)
}

const (
	deleteWebhook    = `DELETE FROM webhooks WHERE school = $1 AND id = $2`
	deleteDeliveries = `DELETE FROM outbox WHERE target = $1 AND target <> '' AND kind = 'webhook'`
)

func (t *tx) DeleteWebhook(school gateway.SchoolCode, id string) error {
	if err := t.changed(gateway.ErrNotFound, deleteWebhook, school, id); err != nil {
		return err
	}
	_, err := t.sql.ExecContext(t.ctx, deleteDeliveries, id)
	return err
}

const selectDelivery = `
SELECT seq, school, id, target, aggregate, payload_enc, created_at, run_at, tries, done_at, parked_at
  FROM outbox`

const (
	selectOneDelivery = selectDelivery + ` WHERE id = $2 AND school = $1 AND kind = 'webhook'`
	selectDeliveries  = selectDelivery + ` WHERE target = $2 AND target <> '' AND school = $1 AND kind = 'webhook' AND seq < $3 ORDER BY seq DESC LIMIT $4`
)

func (t *tx) scanDelivery(r row) (opener[gateway.Delivered], error) {
	var d gateway.Delivered
	if err := r.Scan(&d.Seq, &d.School, &d.ID, &d.Webhook, &d.Aggregate, &d.Payload, instant{&d.CreatedAt}, instant{&d.RunAt}, &d.Tries,
		instant{&d.DoneAt}, instant{&d.ParkedAt}); err != nil {
		return nil, notFound(err)
	}
	return func() (_ gateway.Delivered, err error) {
		k, err := t.keyOf(d.School)
		if err != nil {
			return d, err
		}
		if d.Payload, err = k.open(payloadColumn, d.Payload); err != nil {
			return d, err
		}
		d.Log, err = t.deliveryTries(k, d.ID)
		return d, err
	}, nil
}

const selectDeliveryTries = `
SELECT try, at, code, duration_ms, problem, answer_enc
  FROM delivery_tries
 WHERE delivery = $1
 ORDER BY try`

func (t *tx) deliveryTries(k *dataKey, delivery string) ([]gateway.DeliveryTry, error) {
	rows, err := t.sql.QueryContext(t.ctx, selectDeliveryTries, delivery)
	return collectOpened(rows, err, func(r row) (opener[gateway.DeliveryTry], error) {
		var y gateway.DeliveryTry
		var ms int64
		var sealed []byte
		err := r.Scan(&y.Try, instant{&y.At}, &y.Code, &ms, &y.Problem, &sealed)
		y.Duration = time.Duration(ms) * time.Millisecond
		return func() (gateway.DeliveryTry, error) {
			answer, err := k.open(answerColumn, sealed)
			y.Answer = string(answer)
			return y, err
		}, err
	})
}

func (t *tx) Delivery(school gateway.SchoolCode, id string) (gateway.Delivered, error) {
	return opened(t.scanDelivery(t.sql.QueryRowContext(t.ctx, selectOneDelivery, school, id)))
}

func (t *tx) Deliveries(school gateway.SchoolCode, webhook string, before int64, limit int) ([]gateway.Delivered, error) {
	rows, err := t.sql.QueryContext(t.ctx, selectDeliveries, school, webhook, before, limit)
	return collectOpened(rows, err, t.scanDelivery)
}

// A message that was parked and is tried again counts from one again.
const insertDeliveryTry = `
INSERT INTO delivery_tries (delivery, try, at, code, duration_ms, problem, answer_enc)
SELECT id, CAST($2 AS BIGINT), CAST($3 AS %s), CAST($4 AS BIGINT), CAST($5 AS BIGINT), CAST($6 AS TEXT), CAST($7 AS %s)
  FROM outbox
 WHERE id = $1
    ON CONFLICT (delivery, try) DO UPDATE
   SET at = excluded.at, code = excluded.code, duration_ms = excluded.duration_ms, problem = excluded.problem, answer_enc = excluded.answer_enc`

func (t *tx) AddDeliveryTry(school gateway.SchoolCode, delivery string, y gateway.DeliveryTry) error {
	k, err := t.keyOf(school)
	if err != nil {
		return err
	}
	_, err = t.sql.ExecContext(t.ctx, t.db.insertTry, delivery, y.Try, at(y.At), y.Code, y.Duration.Milliseconds(), y.Problem,
		k.seal(answerColumn, []byte(y.Answer)))
	return err
}
