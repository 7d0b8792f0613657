// SPDX-License-Identifier: Apache-2.0

package connectors

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/nodogate/nodogate/gateway"
)

// The headers of a callback signed as Standard Webhooks 1.0.0 says.
const (
	WebhookID        = "Webhook-Id"
	WebhookTimestamp = "Webhook-Timestamp"
	WebhookSignature = "Webhook-Signature"
)

const (
	minWebhookKey    = 24 // bytes, as the standard says
	maxWebhookID     = 255
	webhookTolerance = 5 * time.Minute // either way: a younger replay is stopped by its id
)

// WebhookKey signs and proves callbacks. It proves the id, the time and the
// body; not the address, so what the body leaves out must be held against what
// is known of the payment.
type WebhookKey struct{ key []byte }

// ParseWebhookKey reads a secret: whsec_ and base64, or the bytes as they are.
func ParseWebhookKey(secret string) (WebhookKey, error) {
	key := []byte(secret)
	if text, ok := strings.CutPrefix(secret, "whsec_"); ok {
		var err error
		if key, err = base64.StdEncoding.DecodeString(text); err != nil {
			return WebhookKey{}, errors.New("secret: after whsec_ comes base64")
		}
	}
	if len(key) < minWebhookKey {
		return WebhookKey{}, fmt.Errorf("secret: give %d bytes at least: callbacks are signed with it", minWebhookKey)
	}
	return WebhookKey{key}, nil
}

// Sign puts the three headers of a callback into h.
func (k WebhookKey) Sign(h http.Header, id string, at time.Time, body []byte) {
	timestamp := strconv.FormatInt(at.Unix(), 10)
	h.Set(WebhookID, id)
	h.Set(WebhookTimestamp, timestamp)
	h.Set(WebhookSignature, "v1,"+base64.StdEncoding.EncodeToString(k.mac(id, timestamp, body)))
}

// Verify proves a callback and gives its id. Its only error is
// gateway.ErrForged.
func (k WebhookKey) Verify(h http.Header, body []byte, now time.Time) (id string, err error) {
	forged := func(why string) (string, error) { return "", fmt.Errorf("%w: %s", gateway.ErrForged, why) }
	id = h.Get(WebhookID)
	if id == "" || len(id) > maxWebhookID {
		return forged("no id")
	}
	timestamp := h.Get(WebhookTimestamp)
	seconds, err := strconv.ParseUint(timestamp, 10, 40)
	if err != nil {
		return forged("no timestamp")
	}
	if now.Sub(time.Unix(int64(seconds), 0)).Abs() > webhookTolerance {
		return forged("not of this moment")
	}
	want := k.mac(id, timestamp, body)
	// Several, while the PSP changes its key.
	for signature := range strings.FieldsSeq(h.Get(WebhookSignature)) {
		text, ok := strings.CutPrefix(signature, "v1,")
		if !ok {
			continue // a scheme that we have no key for
		}
		if got, err := base64.StdEncoding.DecodeString(text); err == nil && hmac.Equal(got, want) {
			return id, nil
		}
	}
	return forged("no good signature")
}

func (k WebhookKey) mac(id, timestamp string, body []byte) []byte {
	m := hmac.New(sha256.New, k.key)
	m.Write(bytes.Join([][]byte{[]byte(id), []byte(timestamp), body}, []byte(".")))
	return m.Sum(nil)
}
