// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/nodogate/nodogate/gateway"
)

func (h *handlers) CreateWebhook(ctx context.Context, r CreateWebhookRequestObject) (CreateWebhookResponseObject, error) {
	ctx, k := begin(ctx)
	hook, err := h.svc.AddWebhook(ctx, k.caller.actor(), gateway.SchoolCode(r.Cf), r.Body.URL, r.Body.Events)
	if err != nil {
		return nil, err
	}
	location := "/api/v1/schools/" + r.Cf + "/webhooks/" + hook.ID
	return CreateWebhook201JSONResponse{h.secretOf(hook), CreateWebhook201ResponseHeaders{ETag: etag(hook.Version), Location: location}}, nil
}

func (h *handlers) RotateWebhook(ctx context.Context, r RotateWebhookRequestObject) (RotateWebhookResponseObject, error) {
	ctx, k := begin(ctx)
	hook, err := h.svc.RotateWebhook(ctx, k.caller.actor(), gateway.SchoolCode(r.Cf), r.ID)
	if err != nil {
		return nil, err
	}
	return RotateWebhook200JSONResponse(h.secretOf(hook)), nil
}

func (h *handlers) DeleteWebhook(ctx context.Context, r DeleteWebhookRequestObject) (DeleteWebhookResponseObject, error) {
	ctx, k := begin(ctx)
	if err := h.svc.DeleteWebhook(ctx, k.caller.actor(), gateway.SchoolCode(r.Cf), r.ID); err != nil {
		return nil, err
	}
	return DeleteWebhook204Response{}, nil
}

func (h *handlers) GetWebhook(ctx context.Context, r GetWebhookRequestObject) (GetWebhookResponseObject, error) {
	ctx, _ = begin(ctx)
	hook, err := h.svc.Webhook(ctx, gateway.SchoolCode(r.Cf), r.ID)
	if err != nil {
		return nil, err
	}
	return GetWebhook200JSONResponse{h.webhookOf(hook), GetWebhook200ResponseHeaders{etag(hook.Version)}}, nil
}

func (h *handlers) ListWebhooks(ctx context.Context, r ListWebhooksRequestObject) (ListWebhooksResponseObject, error) {
	ctx, _ = begin(ctx)
	limit := pageSize(r.Params.Limit)
	list := "webhooks " + r.Cf
	before, err := h.before(list, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	hooks, err := h.svc.Webhooks(ctx, gateway.SchoolCode(r.Cf), before, limit+1)
	if err != nil {
		return nil, err
	}
	hooks, next := page(h, list, hooks, limit, func(w gateway.Webhook) string { return strconv.FormatInt(w.Seq, 10) })
	out := ListWebhooks200JSONResponse{Items: make([]Webhook, len(hooks)), NextCursor: next}
	for i, hook := range hooks {
		out.Items[i] = h.webhookOf(hook)
	}
	return out, nil
}

func (h *handlers) ListDeliveries(ctx context.Context, r ListDeliveriesRequestObject) (ListDeliveriesResponseObject, error) {
	ctx, _ = begin(ctx)
	limit := pageSize(r.Params.Limit)
	list := "deliveries " + r.Cf + " " + r.ID
	before, err := h.before(list, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	deliveries, err := h.svc.Deliveries(ctx, gateway.SchoolCode(r.Cf), r.ID, before, limit+1)
	if err != nil {
		return nil, err
	}
	deliveries, next := page(h, list, deliveries, limit, func(d gateway.Delivered) string { return strconv.FormatInt(d.Seq, 10) })
	out := ListDeliveries200JSONResponse{Items: make([]Delivery, len(deliveries)), NextCursor: next}
	for i, d := range deliveries {
		if out.Items[i], err = deliveryOf(d); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (h *handlers) ReplayDelivery(ctx context.Context, r ReplayDeliveryRequestObject) (ReplayDeliveryResponseObject, error) {
	ctx, k := begin(ctx)
	d, err := h.svc.Replay(ctx, k.caller.actor(), gateway.SchoolCode(r.Cf), r.ID)
	if err != nil {
		return nil, err
	}
	out, err := deliveryOf(d)
	location := "/api/v1/schools/" + r.Cf + "/webhooks/" + d.Webhook + "/deliveries"
	return ReplayDelivery201JSONResponse{out, ReplayDelivery201ResponseHeaders{location}}, err
}

func (h *handlers) webhookOf(w gateway.Webhook) Webhook {
	out := Webhook{
		ID: w.ID, URL: w.URL, Events: make([]string, len(w.Events)), OldSecretUntil: h.oldUntil(w), Version: w.Version,
		CreatedAt: w.CreatedAt, ChangedAt: w.ChangedAt,
	}
	for i, e := range w.Events {
		out.Events[i] = string(e)
	}
	return out
}

// oldUntil is until when the key before signs too; zero when it does not.
func (h *handlers) oldUntil(w gateway.Webhook) instant {
	if keys := w.KeysAt(h.svc.Now()); len(keys) > 1 {
		return instant(keys[1].Until)
	}
	return instant{}
}

func (h *handlers) secretOf(w gateway.Webhook) WebhookSecret {
	o := h.webhookOf(w)
	return WebhookSecret{
		ID: o.ID, URL: o.URL, Events: o.Events, Secret: w.Keys[0].Secret(), OldSecretUntil: o.OldSecretUntil, Version: o.Version,
		CreatedAt: o.CreatedAt, ChangedAt: o.ChangedAt,
	}
}

func deliveryOf(d gateway.Delivered) (Delivery, error) {
	var p gateway.DeliveryPayload
	if err := json.Unmarshal(d.Payload, &p); err != nil {
		return Delivery{}, fmt.Errorf("delivery %s: its payload is not what was written", d.ID)
	}
	out := Delivery{
		ID: d.ID, Webhook: d.Webhook, EventID: p.Event, Type: string(p.Type), Status: DeliveryStatus(d.State()), Tries: d.Tries,
		Payload: json.RawMessage(p.Body), CreatedAt: d.CreatedAt, DeliveredAt: instant(d.DoneAt), FailedAt: instant(d.ParkedAt),
		Attempts: make([]DeliveryAttempt, len(d.Log)),
	}
	if d.State() == gateway.DeliveryPending {
		out.NextTryAt = instant(d.RunAt)
	}
	for i, y := range d.Log {
		out.Attempts[i] = DeliveryAttempt{
			Try: y.Try, At: y.At, DurationMs: y.Duration.Round(time.Millisecond).Milliseconds(), Problem: text(y.Problem), Answer: text(y.Answer),
		}
		if y.Code != 0 {
			out.Attempts[i].ResponseCode = &y.Code
		}
	}
	return out, nil
}
