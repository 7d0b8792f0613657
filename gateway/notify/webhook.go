// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/egress"
)

// sentEvent is the body of a webhook.
type sentEvent struct {
	Type gateway.EventKind `json:"type"`
	At   time.Time         `json:"timestamp"`
	Data any               `json:"data"`
}

// noticeData is what a webhook tells of a notice: what it was when the message
// was made, which is a moment after the event. Nothing in it names a person.
type noticeData struct {
	School     gateway.SchoolCode  `json:"school"`
	Number     string              `json:"number"`
	Status     gateway.NoticeState `json:"status"`
	Amount     int64               `json:"amount_cents"`
	DueDate    string              `json:"due_date"`
	ExternalID *string             `json:"external_id"`
	Campaign   *string             `json:"campaign"`
	PaidAt     *time.Time          `json:"paid_at"`
	Receipt    *string             `json:"receipt"` // the id that settled it
	Version    int64               `json:"version"` // the higher one is the later
}

// receiptData is what a webhook tells of a receipt; without its payer and debtor.
type receiptData struct {
	School     gateway.SchoolCode  `json:"school"`
	Number     *string             `json:"number"` // null when we do not know the notice
	ExternalID *string             `json:"external_id"`
	Receipt    string              `json:"receipt"` // our id, as in the address of the receipt
	ReceiptID  string              `json:"receipt_id"`
	Amount     int64               `json:"amount_cents"`
	PaidAt     *time.Time          `json:"paid_at"`
	Channel    gateway.Channel     `json:"channel"`
	Role       gateway.ReceiptRole `json:"role"`
	Anomaly    *string             `json:"anomaly"`
}

// refundData is what a webhook tells of a refund; without the account it goes to.
type refundData struct {
	School  gateway.SchoolCode  `json:"school"`
	Number  *string             `json:"number"`
	Refund  string              `json:"refund"`
	Receipt string              `json:"receipt"`
	Amount  int64               `json:"amount_cents"`
	State   gateway.RefundState `json:"state"` // the one it came to
}

// importData is what a webhook tells of an import.
type importData struct {
	School   gateway.SchoolCode  `json:"school"`
	Import   string              `json:"import"`
	State    gateway.ImportState `json:"state"`
	DryRun   bool                `json:"dry_run"`
	Rows     int                 `json:"rows"`
	Accepted int                 `json:"accepted"`
	Rejected int                 `json:"rejected"`
	Issued   int                 `json:"issued"`  // of the accepted, those that made a notice
	Existed  int                 `json:"existed"` // and those whose notice was here
}

func orNull[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// deliveriesOf makes one message for each webhook that wants to be told of an
// event. They carry one body: what is sent again is what was sent before.
func (w *Worker) deliveriesOf(ctx context.Context, m gateway.Message, e gateway.EventPayload) ([]gateway.Message, error) {
	if !slices.Contains(gateway.WebhookEvents, e.Type) {
		return nil, nil
	}
	hooks, err := w.cfg.Service.Webhooks(ctx, e.School, 0, gateway.MaxWebhooks)
	if err != nil {
		return nil, err
	}
	hooks = slices.DeleteFunc(hooks, func(h gateway.Webhook) bool {
		// What was before it was added may still be on its way.
		return !slices.Contains(h.Events, e.Type) || e.At.Before(h.CreatedAt)
	})
	if len(hooks) == 0 {
		return nil, nil
	}
	data, err := w.dataOf(ctx, e)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(sentEvent{e.Type, e.At, data})
	if err != nil {
		return nil, fmt.Errorf("event: %w: cannot be told", ErrPermanent)
	}
	payload, err := json.Marshal(gateway.DeliveryPayload{Event: m.ID, Type: e.Type, Body: string(body)})
	if err != nil {
		return nil, err
	}
	var list []gateway.Message
	for _, h := range hooks {
		list = append(list, gateway.Message{
			ID: derivedID(m.ID, h.ID), School: e.School, Kind: kindWebhook, Target: h.ID,
			// Of one notice in order, and no notice waits for another.
			Aggregate: m.Aggregate, Payload: payload, At: w.cfg.Service.Now(),
		})
	}
	return list, nil
}

func (w *Worker) dataOf(ctx context.Context, e gateway.EventPayload) (any, error) {
	if e.Type == gateway.EventImportFinished {
		i, err := w.cfg.Service.Import(ctx, e.School, e.Import)
		if err != nil {
			return nil, fmt.Errorf("event: import: %w", err)
		}
		return importData{i.School, i.ID, i.State, i.DryRun, i.Rows, i.Accepted, i.Rejected, i.Issued, i.Existed}, nil
	}
	if e.Type == gateway.EventRefundChanged {
		r, err := w.cfg.Service.Refund(ctx, e.School, e.Refund)
		if err != nil {
			return nil, fmt.Errorf("event: refund: %w", err)
		}
		return refundData{r.School, orNull(e.Number), r.ID, r.Receipt, int64(r.Amount), e.RefundState}, nil
	}
	var n gateway.Notice
	if e.Number != "" {
		number, err := number(e)
		if err != nil {
			return nil, err
		}
		if n, err = w.cfg.Service.Notice(ctx, e.School, number); err != nil {
			return nil, fmt.Errorf("event: notice: %w", err)
		}
	}
	if !strings.HasPrefix(string(e.Type), "receipt.") {
		return noticeData{
			School: n.School, Number: n.Number.String(), Status: n.StateAt(w.cfg.Service.Now()), Amount: int64(n.Amount), DueDate: n.DueDate.String(),
			ExternalID: orNull(n.ExternalID), Campaign: orNull(n.Campaign), PaidAt: orNull(n.PaidAt), Receipt: orNull(n.SettledBy), Version: n.Version,
		}, nil
	}
	r, err := w.cfg.Service.Receipt(ctx, e.School, e.Receipt)
	if err != nil {
		return nil, fmt.Errorf("event: receipt: %w", err)
	}
	return receiptData{
		School: r.School, Number: orNull(e.Number), ExternalID: orNull(n.ExternalID), Receipt: r.ID, ReceiptID: r.Content.ID,
		Amount: int64(r.Content.Amount), PaidAt: orNull(r.Content.PaidAt), Channel: r.Channel, Role: r.Role, Anomaly: orNull(string(r.Anomaly)),
	}, nil
}

// call sends a message to its webhook and notes how that ended.
func (w *Worker) call(ctx context.Context, m gateway.Claimed) (outcome, error) {
	var p gateway.DeliveryPayload
	if json.Unmarshal(m.Payload, &p) != nil || p.Event == "" || p.Body == "" {
		return "", fmt.Errorf("webhook: %w: unreadable payload", ErrPermanent)
	}
	h, err := w.cfg.Service.Webhook(ctx, m.School, m.Target)
	if errors.Is(err, gateway.ErrNotFound) {
		return dropped, nil // it was deleted
	}
	if err != nil {
		return "", fmt.Errorf("webhook: %w", err)
	}
	begin := w.cfg.Service.Now()
	try := gateway.DeliveryTry{Try: m.Tries, At: begin}
	code, answer, retryAfter, err := w.post(ctx, h, p, begin)
	try.Code, try.Duration = code, w.cfg.Service.Now().Sub(begin)
	switch {
	case err != nil:
		try.Problem = egress.Reason(err)
	case code < 200 || code > 299:
		try.Problem, try.Answer = fmt.Sprintf("it answered %d", code), answer
	}
	w.took.Observe(try.Duration.Seconds())
	if err := w.cfg.Service.AddDeliveryTry(ctx, m.School, m.ID, try); err != nil {
		return "", fmt.Errorf("webhook: note the try: %w", err)
	}
	if try.Problem != "" {
		return "", later(fmt.Errorf("webhook %s: %s", h.ID, try.Problem), retryAfter)
	}
	return sent, nil
}

// maxKept is how much is kept of an answer that was no success, in bytes: for a
// person to see what is wrong.
const maxKept = 256

// post makes one call, signed with every key that is valid.
func (w *Worker) post(ctx context.Context, h gateway.Webhook, p gateway.DeliveryPayload, now time.Time) (code int, answer, retryAfter string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL, bytes.NewReader([]byte(p.Body)))
	if err != nil {
		return 0, "", "", err
	}
	var signatures []string
	for _, k := range h.KeysAt(now) {
		key, err := standardwebhooks.NewWebhookRaw(k.Key)
		if err != nil {
			return 0, "", "", err
		}
		signature, err := key.Sign(p.Event, now, []byte(p.Body))
		if err != nil {
			return 0, "", "", err
		}
		signatures = append(signatures, signature)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "nodogate")
	req.Header.Set(standardwebhooks.HeaderWebhookID, p.Event)
	req.Header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(now.Unix(), 10))
	req.Header.Set(standardwebhooks.HeaderWebhookSignature, strings.Join(signatures, " "))
	resp, err := w.hooksHTTP.Do(req)
	if err != nil {
		return 0, "", "", err
	}
	defer resp.Body.Close()
	// The status is the answer: a body that is cut or too long takes nothing
	// back.
	head, _ := io.ReadAll(io.LimitReader(resp.Body, maxKept))
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, cleanAnswer(head), resp.Header.Get("Retry-After"), nil
}

// secretForm finds what a receiver should not have told us.
var secretForm = regexp.MustCompile(`(?i)(whsec_|v1a?,|bearer\s+|basic\s+)[A-Za-z0-9+/=_.~-]{6,}`)

// cleanAnswer is one line of readable text, without what looks like a secret. A
// letter that was cut in the middle is left out.
func cleanAnswer(b []byte) string {
	text := strings.Join(strings.FieldsFunc(strings.ToValidUTF8(string(b), ""), func(r rune) bool {
		return r <= ' ' || r >= 0x7f && r <= 0xa0 || r == 0x2028 || r == 0x2029
	}), " ")
	return secretForm.ReplaceAllString(text, "${1}***")
}
