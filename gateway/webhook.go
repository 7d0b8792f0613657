// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Webhook is where a school wants to be called when something happens.
type Webhook struct {
	School    SchoolCode
	ID        string
	Seq       int64 // order of creation, set by the store
	URL       string
	Events    []EventKind
	Keys      []WebhookKey // newest first: one, or two while the older may still be used
	CreatedAt time.Time
	ChangedAt time.Time
	Version   int64 // + 1 at each change
}

// WebhookKey signs what a webhook is sent.
type WebhookKey struct {
	Key   []byte    `json:"key"`
	Until time.Time `json:"until,omitzero"` // zero for the newest
}

// Secret is the key as Standard Webhooks writes it.
func (k WebhookKey) Secret() string { return "whsec_" + base64.StdEncoding.EncodeToString(k.Key) }

// KeysAt are the keys to sign with: both while a receiver may not have taken up
// the new one.
func (h *Webhook) KeysAt(now time.Time) []WebhookKey {
	var valid []WebhookKey
	for _, k := range h.Keys {
		if k.Until.IsZero() || now.Before(k.Until) {
			valid = append(valid, k)
		}
	}
	return valid
}

// WebhookEvents are the events that a webhook may be told of.
var WebhookEvents = []EventKind{
	EventNoticeIssued, EventNoticeChanged, EventNoticePaid, EventNoticeCancelled, EventNoticeRestored, EventNoticeExpired,
	EventReceiptRecorded, EventReceiptAnomaly,
	EventRefundChanged, EventImportFinished,
}

const (
	// MaxWebhooks is how many webhooks a school may have.
	MaxWebhooks = 20
	// keyOverlap is how long an old key signs beside the new one.
	keyOverlap   = 24 * time.Hour
	webhookKey   = 32 // bytes; Standard Webhooks wants 24 to 64
	maxWebhook   = 2048
	kindDelivery = "webhook" // of outbox rows
)

// AddWebhook makes a webhook, whose first key is shown this once. A wrong
// address or event is *Invalid; one too many ErrTooMany.
func (s *Service) AddWebhook(ctx context.Context, actor Actor, school SchoolCode, address string, events []string) (Webhook, error) {
	h, err := s.checkWebhook(school, address, events)
	if err != nil {
		return Webhook{}, err
	}
	key, err := s.newWebhookKey()
	if err != nil {
		return Webhook{}, err
	}
	h.Keys = []WebhookKey{key}
	h.ID, h.CreatedAt, h.Version = "whk_"+s.newID(), s.clock.Now(), 1
	h.ChangedAt = h.CreatedAt
	err = s.store.Update(ctx, func(tx Tx) error {
		if _, err := tx.School(school); err != nil {
			return err
		}
		list, err := tx.Webhooks(school, maxSeq, MaxWebhooks)
		if err != nil {
			return err
		}
		if len(list) >= MaxWebhooks {
			return ErrTooMany
		}
		if err := tx.InsertWebhook(h); err != nil {
			return err
		}
		return tx.AppendAudit(Audit{School: school, Actor: actor, Action: "webhook.created", Object: h.ID, At: h.CreatedAt})
	})
	if err != nil {
		return Webhook{}, fmt.Errorf("add webhook: %w", err)
	}
	return h, nil
}

// maxSeq is above every Seq.
const maxSeq = 1<<63 - 1

func (s *Service) newWebhookKey() (WebhookKey, error) {
	k := WebhookKey{Key: make([]byte, webhookKey)}
	if _, err := io.ReadFull(s.random, k.Key); err != nil {
		return k, fmt.Errorf("webhook key: %w", err)
	}
	return k, nil
}

func (s *Service) checkWebhook(school SchoolCode, address string, events []string) (Webhook, error) {
	var bad Invalid
	h := Webhook{School: school, URL: address}
	if why := s.badTarget(address); why != "" {
		bad.Add("url", "format", why)
	} else if personalCode.MatchString(address) {
		bad.Add("url", "personal_data", "leave the fiscal code out: addresses stand in logs")
	}
	for i, e := range events {
		switch kind := EventKind(e); {
		case !slices.Contains(WebhookEvents, kind):
			bad.Add(fmt.Sprintf("events[%d]", i), "unknown", "the events are "+joinKinds(WebhookEvents))
		case slices.Contains(h.Events, kind):
			bad.Add(fmt.Sprintf("events[%d]", i), "duplicate", "this event stands in the list twice")
		default:
			h.Events = append(h.Events, kind)
		}
	}
	if len(events) == 0 {
		bad.Add("events", "required", "give one or more of "+joinKinds(WebhookEvents))
	}
	return h, bad.Err()
}

func joinKinds(list []EventKind) string {
	var b strings.Builder
	for i, k := range list {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(string(k))
	}
	return b.String()
}

// badTarget says what is wrong with an address that is to be called, or nothing.
// Where a name leads is checked when the connection is made, each time.
func (s *Service) badTarget(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Opaque != "" || len(address) > maxWebhook || !printableASCII(address) {
		return fmt.Sprintf("give an absolute address like https://gestionale.example/pagamenti, at most %d ASCII characters", maxWebhook)
	}
	private := s.cfg.AllowPrivateTargets
	if u.Scheme != "https" && (u.Scheme != "http" || !private) {
		return "give an https address"
	}
	if u.User != nil || u.Fragment != "" {
		return "leave user, password and fragment out: calls are signed"
	}
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	if private {
		return ""
	}
	const public = "give an address on the public Internet"
	if ip, err := netip.ParseAddr(host); err == nil {
		if ip = ip.Unmap(); !ip.IsGlobalUnicast() || ip.IsPrivate() {
			return public
		}
	} else if host == "localhost" || strings.HasSuffix(host, ".localhost") || strings.HasSuffix(host, ".local") || !strings.Contains(host, ".") {
		return public
	}
	return ""
}

func printableASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// Webhooks lists a school's webhooks with a Seq below before, newest first; 0 is
// from the newest.
func (s *Service) Webhooks(ctx context.Context, school SchoolCode, before int64, limit int) ([]Webhook, error) {
	if before == 0 {
		before = maxSeq
	}
	var list []Webhook
	err := s.store.View(ctx, func(tx Tx) (err error) {
		list, err = tx.Webhooks(school, before, limit)
		return err
	})
	return list, err
}

// Webhook finds one; ErrNotFound.
func (s *Service) Webhook(ctx context.Context, school SchoolCode, id string) (Webhook, error) {
	var h Webhook
	err := s.store.View(ctx, func(tx Tx) (err error) {
		h, err = tx.Webhook(school, id)
		return err
	})
	return h, err
}

// RotateWebhook gives a webhook a new key, which is shown this once. The one
// before signs beside it for a day; one that was on its way out goes at once.
func (s *Service) RotateWebhook(ctx context.Context, actor Actor, school SchoolCode, id string) (Webhook, error) {
	key, err := s.newWebhookKey()
	if err != nil {
		return Webhook{}, err
	}
	var h Webhook
	err = s.store.Update(ctx, func(tx Tx) (err error) {
		if h, err = tx.LockWebhook(school, id); err != nil {
			return err
		}
		now := s.clock.Now()
		before := h.Keys[0]
		before.Until = now.Add(keyOverlap)
		h.Keys = []WebhookKey{key, before}
		h.ChangedAt, h.Version = now, h.Version+1
		if err := tx.SaveWebhook(h); err != nil {
			return err
		}
		return tx.AppendAudit(Audit{School: school, Actor: actor, Action: "webhook.rotated", Object: id, At: now})
	})
	if err != nil {
		return Webhook{}, fmt.Errorf("rotate webhook %s: %w", id, err)
	}
	return h, nil
}

// DeleteWebhook ends a webhook at once and forgets its deliveries; ErrNotFound.
func (s *Service) DeleteWebhook(ctx context.Context, actor Actor, school SchoolCode, id string) error {
	err := s.store.Update(ctx, func(tx Tx) error {
		if err := tx.DeleteWebhook(school, id); err != nil {
			return err
		}
		return tx.AppendAudit(Audit{School: school, Actor: actor, Action: "webhook.deleted", Object: id, At: s.clock.Now()})
	})
	if err != nil {
		return fmt.Errorf("delete webhook %s: %w", id, err)
	}
	return nil
}

// Delivered is one event on its way to a webhook, or there.
type Delivered struct {
	ID        string
	School    SchoolCode
	Webhook   string
	Seq       int64
	Aggregate string // as of Message
	Payload   []byte // a DeliveryPayload
	CreatedAt time.Time
	RunAt     time.Time // of the next try
	Tries     int
	DoneAt    time.Time // zero until it was taken
	ParkedAt  time.Time // zero unless it was given up
	Log       []DeliveryTry
}

// DeliveryState is what became of a delivery so far. Sent: never renamed.
type DeliveryState string

const (
	DeliveryPending   DeliveryState = "pending" // not taken yet; it will be tried, or tried again
	DeliveryDelivered DeliveryState = "delivered"
	DeliveryFailed    DeliveryState = "failed" // given up
)

// State is what became of the delivery so far.
func (d *Delivered) State() DeliveryState {
	switch {
	case !d.DoneAt.IsZero():
		return DeliveryDelivered
	case !d.ParkedAt.IsZero():
		return DeliveryFailed
	}
	return DeliveryPending
}

// DeliveryTry is how one try ended.
type DeliveryTry struct {
	Try      int
	At       time.Time
	Code     int // HTTP status; 0 when there was no answer
	Duration time.Duration
	Problem  string // why it was no success, in our words
	Answer   string // the beginning of the body of an answer that was no success
}

// DeliveryPayload is the JSON of an outbox row of kind "webhook".
type DeliveryPayload struct {
	Event string    `json:"event"` // id of the event: the same on every try and replay
	Type  EventKind `json:"type"`
	Body  string    `json:"body"` // what is sent and signed, byte for byte
}

// Deliveries lists those of a webhook with a Seq below before, newest first; 0 is
// from the newest. ErrNotFound for an unknown webhook.
func (s *Service) Deliveries(ctx context.Context, school SchoolCode, webhook string, before int64, limit int) ([]Delivered, error) {
	if before == 0 {
		before = maxSeq
	}
	var list []Delivered
	err := s.store.View(ctx, func(tx Tx) (err error) {
		if _, err = tx.Webhook(school, webhook); err != nil {
			return err
		}
		list, err = tx.Deliveries(school, webhook, before, limit)
		return err
	})
	return list, err
}

// Replay sends an event to its webhook once more, as a delivery of its own with
// the same event id. One that is still pending is ErrDeliveryPending.
func (s *Service) Replay(ctx context.Context, actor Actor, school SchoolCode, delivery string) (Delivered, error) {
	var d Delivered
	err := s.store.Update(ctx, func(tx Tx) error {
		old, err := tx.Delivery(school, delivery)
		if err != nil {
			return err
		}
		// Locked, so that it is not deleted meanwhile.
		if _, err := tx.LockWebhook(school, old.Webhook); err != nil {
			return err
		}
		if old.State() == DeliveryPending {
			return ErrDeliveryPending
		}
		now := s.clock.Now()
		m := Message{ID: s.newID(), School: school, Kind: kindDelivery, Target: old.Webhook, Aggregate: old.Aggregate, Payload: old.Payload, At: now}
		if err := tx.Enqueue(m); err != nil {
			return err
		}
		if d, err = tx.Delivery(school, m.ID); err != nil {
			return err
		}
		return tx.AppendAudit(Audit{School: school, Actor: actor, Action: "delivery.replayed", Object: delivery, At: now})
	})
	if err != nil {
		return Delivered{}, fmt.Errorf("replay %s: %w", delivery, err)
	}
	return d, nil
}

// AddDeliveryTry notes how a try ended.
func (s *Service) AddDeliveryTry(ctx context.Context, school SchoolCode, delivery string, try DeliveryTry) error {
	return s.store.Update(ctx, func(tx Tx) error { return tx.AddDeliveryTry(school, delivery, try) })
}
