// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
)

const hookJSON = `{"url":"https://gestionale.example/pagamenti?k=v","events":["notice.paid","receipt.recorded"]}`

func (a *testAPI) webhook() gateway.Webhook {
	a.t.Helper()
	h, err := a.g.AddWebhook(a.t.Context(), gatewaytest.Operator, gatewaytest.SchoolCode, "https://gestionale.example/", []string{"notice.paid"})
	must(a.t, err)
	return h
}

// enqueue makes a delivery that waits.
func (a *testAPI) enqueue(h gateway.Webhook, id string) {
	a.t.Helper()
	payload, err := json.Marshal(gateway.DeliveryPayload{Event: "event-of-" + id, Type: gateway.EventNoticePaid, Body: `{"type":"notice.paid"}`})
	must(a.t, err)
	must(a.t, a.g.Store.Update(a.t.Context(), func(tx gateway.Tx) error {
		return tx.Enqueue(gateway.Message{ID: id, School: h.School, Kind: "webhook", Target: h.ID, Aggregate: id, Payload: payload, At: a.g.Now()})
	}))
}

// deliver makes a delivery that was taken at the second try.
func (a *testAPI) deliver(h gateway.Webhook, id string) {
	a.t.Helper()
	a.enqueue(h, id)
	now := a.g.Now()
	for _, y := range []gateway.DeliveryTry{
		{Try: 1, At: now, Duration: 2 * time.Second, Problem: "no answer in time"},
		{Try: 2, At: now.Add(5 * time.Second), Code: 204, Duration: 30 * time.Millisecond},
	} {
		must(a.t, a.g.AddDeliveryTry(a.t.Context(), h.School, id, y))
	}
	must(a.t, a.g.Store.FinishMessage(a.t.Context(), id, now.Add(6*time.Second)))
}

func TestWebhookLife(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	path := base + "/webhooks"
	w := a.post(path, a.school, hookJSON, "Idempotency-Key", "k")
	made := as[WebhookSecret](t, w, 201)
	if made.URL != "https://gestionale.example/pagamenti?k=v" || !slices.Equal(made.Events, []string{"notice.paid", "receipt.recorded"}) || w.Header().Get("Location") != path+"/"+made.ID {
		t.Errorf("made %+v at %s", made, w.Header().Get("Location"))
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(made.Secret, "whsec_"))
	if err != nil || len(key) != 32 || !strings.HasPrefix(made.Secret, "whsec_") {
		t.Errorf("secret %q: %v", made.Secret, err)
	}
	// The secret is shown once, also to who sends the request again.
	again := a.post(path, a.school, hookJSON, "Idempotency-Key", "k")
	expect(t, again, 409, "secret_shown_once")
	expect(t, a.post(path, a.school, strings.Replace(hookJSON, "k=v", "k=w", 1), "Idempotency-Key", "k"), 422, "idempotency_key_reused")
	read := a.get(path+"/"+made.ID, a.school)
	list := a.get(path, a.school)
	for _, w := range []string{again.Body.String(), read.Body.String(), list.Body.String()} {
		if strings.Contains(w, made.Secret) || strings.Contains(w, "whsec_") {
			t.Errorf("the secret is shown again: %s", w)
		}
	}
	if got := as[Webhook](t, read, 200); got.ID != made.ID || got.Version != 1 || read.Header().Get("ETag") != `"1"` {
		t.Errorf("read %+v, ETag %s", got, read.Header().Get("ETag"))
	}
	if got := as[WebhookPage](t, list, 200); len(got.Items) != 1 || got.NextCursor != "" {
		t.Errorf("list %+v", got)
	}
	w = a.post(path+"/"+made.ID+"/rotate", a.school, "", "Idempotency-Key", "r")
	rotated := as[WebhookSecret](t, w, 200)
	if rotated.Secret == made.Secret || time.Time(rotated.OldSecretUntil) != a.g.Now().Add(24*time.Hour) || rotated.Version != 2 {
		t.Errorf("rotated %+v", rotated)
	}
	expect(t, a.post(path+"/"+made.ID+"/rotate", a.school, "", "Idempotency-Key", "r"), 409, "secret_shown_once")
	a.g.Time.Advance(24 * time.Hour)
	c, secret := a.g.Client(gatewaytest.SchoolCode, gateway.Scopes...)
	a.school = a.token(c, secret)
	if got := as[Webhook](t, a.get(path+"/"+made.ID, a.school), 200); !time.Time(got.OldSecretUntil).IsZero() {
		t.Errorf("the old secret's time is over: %+v", got)
	}
	if w := a.send("DELETE", path+"/"+made.ID, a.school, ""); w.Code != 204 || w.Body.Len() != 0 {
		t.Errorf("delete: %d %s", w.Code, w.Body)
	}
	for _, w := range []string{path + "/" + made.ID, path + "/" + made.ID + "/deliveries"} {
		expect(t, a.get(w, a.school), 404, "not_found")
	}
	expect(t, a.send("DELETE", path+"/"+made.ID, a.school, ""), 404, "not_found")
	expect(t, a.post(path+"/"+made.ID+"/rotate", a.school, ""), 404, "not_found")
	if strings.Contains(a.log.String(), made.Secret) || strings.Contains(a.log.String(), "gestionale.example") {
		t.Error("the log tells the secret or the address")
	}
}

func TestWrongWebhooks(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	path := base + "/webhooks"
	for _, c := range []struct {
		body   string
		fields []string
	}{
		{`{}`, []string{"url required", "events required"}},
		{`{"url":"https://gestionale.example/","events":[]}`, []string{"events length"}},
		{`{"url":"https://gestionale.example/","events":["notice.paid","all"]}`, []string{"events[1] unknown"}},
		{`{"url":"https://gestionale.example/","events":["notice.paid"],"secret":"mine"}`, []string{"secret unknown_field"}},
		{`{"url":"gestionale","events":["notice.paid"]}`, []string{"url format"}},
		{`{"url":7,"events":["notice.paid"]}`, []string{"url type"}},
	} {
		w := a.post(path, a.school, c.body)
		p := problemIn(t, w)
		var got []string
		for _, e := range p.Errors {
			got = append(got, e.Field)
		}
		var want []string
		for _, f := range c.fields {
			want = append(want, strings.Fields(f)[0])
		}
		slices.Sort(got)
		slices.Sort(want)
		if w.Code != 400 || !slices.Equal(got, want) {
			t.Errorf("%s: %d %s, want %q", c.body, w.Code, w.Body, want)
		}
	}
	for range gateway.MaxWebhooks {
		a.webhook()
	}
	expect(t, a.post(path, a.school, hookJSON), 409, "too_many")
}

func TestDeliveries(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	h := a.webhook()
	for i := range 5 {
		a.deliver(h, fmt.Sprint("d-", i))
	}
	a.enqueue(h, "d-5")
	path := base + "/webhooks/" + h.ID + "/deliveries"
	var ids []string
	for cursor := ""; ; {
		page := as[DeliveryPage](t, a.get(path+"?limit=4&cursor="+cursor, a.school), 200)
		for _, d := range page.Items {
			ids = append(ids, d.ID)
		}
		if cursor = string(page.NextCursor); cursor == "" {
			break
		}
		a.enqueue(h, "x-"+page.Items[0].ID) // pages are stable while things are added
	}
	if !slices.Equal(ids, []string{"d-5", "d-4", "d-3", "d-2", "d-1", "d-0"}) {
		t.Errorf("listed %q", ids)
	}
	got := as[map[string]any](t, a.get(path+"?limit=500", a.school), 200)["items"].([]any)
	var delivered map[string]any
	for _, item := range got {
		if m := item.(map[string]any); m["id"] == "d-0" {
			delivered = m
		}
	}
	want := map[string]any{}
	must(t, json.Unmarshal([]byte(`{"id":"d-0","webhook":"`+h.ID+`","event_id":"event-of-d-0","type":"notice.paid","status":"delivered","tries":0,
		"payload":{"type":"notice.paid"},"created_at":"2026-11-23T08:00:00Z","next_try_at":null,"delivered_at":"2026-11-23T08:00:06Z","failed_at":null,
		"attempts":[{"try":1,"at":"2026-11-23T08:00:00Z","response_code":null,"duration_ms":2000,"problem":"no answer in time","answer":null},
		{"try":2,"at":"2026-11-23T08:00:05Z","response_code":204,"duration_ms":30,"problem":null,"answer":null}]}`), &want))
	if fmt.Sprint(delivered) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", delivered, want)
	}
	replay := func(id string) string { return base + "/deliveries/" + id + "/replay" }
	expect(t, a.post(replay("d-5"), a.school, ""), 409, "delivery_pending")
	expect(t, a.post(replay("nothing"), a.school, ""), 404, "not_found")
	w := a.post(replay("d-0"), a.school, "", "Idempotency-Key", "again")
	d := as[Delivery](t, w, 201)
	if d.ID == "d-0" || d.EventID != "event-of-d-0" || d.Status != DeliveryStatusPending || time.Time(d.NextTryAt) != a.g.Now() || len(d.Attempts) != 0 {
		t.Errorf("replayed: %+v", d)
	}
	if again := a.post(replay("d-0"), a.school, "", "Idempotency-Key", "again"); again.Body.String() != w.Body.String() || again.Header().Get("Idempotency-Replayed") != "true" {
		t.Errorf("the same replay again: %d %s", again.Code, again.Body)
	}
	must(t, a.g.Store.ParkMessage(t.Context(), "d-5", a.g.Now()))
	if got := as[Delivery](t, a.post(replay("d-5"), a.school, ""), 201); got.EventID != "event-of-d-5" {
		t.Errorf("replayed: %+v", got)
	}
	if got := as[DeliveryPage](t, a.get(path+"?limit=500", a.school), 200).Items; !slices.ContainsFunc(got, func(d Delivery) bool {
		return d.ID == "d-5" && d.Status == DeliveryStatusFailed && !time.Time(d.FailedAt).IsZero() && time.Time(d.NextTryAt).IsZero()
	}) {
		t.Error("a delivery that was given up does not say so")
	}
}
