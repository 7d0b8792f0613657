// SPDX-License-Identifier: Apache-2.0

package gateway

import "time"

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

// Delivered is one event on its way to a webhook, or there.
type Delivered struct {
	ID        string
	School    SchoolCode
	Webhook   string
	Seq       int64
	Aggregate string // as of Message
	Payload   []byte // as of Message
	CreatedAt time.Time
	RunAt     time.Time // of the next try
	Tries     int
	DoneAt    time.Time // zero until it was taken
	ParkedAt  time.Time // zero unless it was given up
	Log       []DeliveryTry
}

// DeliveryTry is how one try ended.
type DeliveryTry struct {
	Try      int
	At       time.Time
	Code     int // HTTP status; 0 when there was no answer
	Duration time.Duration
	Problem  string // why it was no success, in our words
	Answer   string // the beginning of the answer's body
}
