// SPDX-License-Identifier: Apache-2.0

package connectors

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nodogate/nodogate/gateway"
)

// The example of the standard's own libraries.
const (
	webhookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	webhookID     = "msg_p5jXN8AQM9LWM0D4loKWxJek"
	webhookBody   = `{"test": 2432232314}`
	webhookProof  = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
)

var webhookAt = time.Unix(1614265330, 0)

func webhookKey(t *testing.T, secret string) WebhookKey {
	t.Helper()
	k, err := ParseWebhookKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestWebhookSign(t *testing.T) {
	t.Parallel()
	h := http.Header{}
	webhookKey(t, webhookSecret).Sign(h, webhookID, webhookAt, []byte(webhookBody))
	if got := h.Get("webhook-signature"); got != webhookProof {
		t.Errorf("signature %q, want %q", got, webhookProof)
	}
	if h.Get("webhook-id") != webhookID || h.Get("webhook-timestamp") != "1614265330" {
		t.Errorf("headers %v", h)
	}
}

func TestWebhookVerify(t *testing.T) {
	t.Parallel()
	good := webhookKey(t, webhookSecret)
	other := http.Header{}
	webhookKey(t, strings.Repeat("x", 24)).Sign(other, webhookID, webhookAt, []byte(webhookBody))
	for _, c := range []struct {
		name   string
		change func(h http.Header)
		body   string
		after  time.Duration
		ok     bool
	}{
		{"good", nil, webhookBody, 0, true},
		{"five minutes old", nil, webhookBody, 5 * time.Minute, true},
		{"older", nil, webhookBody, 5*time.Minute + time.Second, false},
		{"five minutes ahead", nil, webhookBody, -5 * time.Minute, true},
		{"further ahead", nil, webhookBody, -5*time.Minute - time.Second, false},
		{"another body", nil, webhookBody + " ", 0, false},
		{"another id", func(h http.Header) { h.Set(WebhookID, "msg_2") }, webhookBody, 0, false},
		{"no id", func(h http.Header) { h.Del(WebhookID) }, webhookBody, 0, false},
		{"long id", func(h http.Header) { h.Set(WebhookID, strings.Repeat("x", 256)) }, webhookBody, 0, false},
		{"another time", func(h http.Header) { h.Set(WebhookTimestamp, "1614265331") }, webhookBody, 0, false},
		{"no time", func(h http.Header) { h.Del(WebhookTimestamp) }, webhookBody, 0, false},
		{"time with a sign", func(h http.Header) { h.Set(WebhookTimestamp, "+1614265330") }, webhookBody, 0, false},
		{"endless time", func(h http.Header) { h.Set(WebhookTimestamp, "99999999999999999999") }, webhookBody, 0, false},
		{"no signature", func(h http.Header) { h.Del(WebhookSignature) }, webhookBody, 0, false},
		{"another key", func(h http.Header) { h.Set(WebhookSignature, other.Get(WebhookSignature)) }, webhookBody, 0, false},
		{"two keys", func(h http.Header) {
			h.Set(WebhookSignature, "v1a,abc "+other.Get(WebhookSignature)+" "+webhookProof)
		}, webhookBody, 0, true},
		{"another scheme", func(h http.Header) { h.Set(WebhookSignature, "v2"+webhookProof[2:]) }, webhookBody, 0, false},
		{"half a signature", func(h http.Header) { h.Set(WebhookSignature, "v1,g0hM9SsE") }, webhookBody, 0, false},
		{"empty signature", func(h http.Header) { h.Set(WebhookSignature, "v1,") }, webhookBody, 0, false},
		{"no base64", func(h http.Header) { h.Set(WebhookSignature, "v1,!") }, webhookBody, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := http.Header{}
			good.Sign(h, webhookID, webhookAt, []byte(webhookBody))
			if c.change != nil {
				c.change(h)
			}
			id, err := good.Verify(h, []byte(c.body), webhookAt.Add(c.after))
			if c.ok && (err != nil || id != webhookID) {
				t.Errorf("Verify = %q, %v", id, err)
			}
			if !c.ok && (!errors.Is(err, gateway.ErrForged) || id != "") {
				t.Errorf("Verify = %q, %v; want ErrForged", id, err)
			}
		})
	}
}

func TestParseWebhookKey(t *testing.T) {
	t.Parallel()
	for secret, ok := range map[string]bool{
		webhookSecret:                       true,
		strings.Repeat("x", 24):             true,
		strings.Repeat("x", 23):             false,
		"":                                  false,
		"whsec_":                            false,
		"whsec_!" + strings.Repeat("x", 24): false,
		"whsec_c2hvcnQ=":                    false,
	} {
		_, err := ParseWebhookKey(secret)
		if ok != (err == nil) {
			t.Errorf("ParseWebhookKey(%q): %v", secret, err)
		}
		if err != nil && len(secret) > 6 && strings.Contains(err.Error(), secret[6:]) {
			t.Errorf("the error tells the secret: %v", err)
		}
	}
}
