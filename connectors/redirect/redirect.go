// SPDX-License-Identifier: Apache-2.0

// Package redirect opens payments at a PSP that has a page of its own and
// speaks the pagoPA Redirect API (redirect.json; pagopa-protocol, section 8):
// POST /redirections gives the page, and the PSP's system then tells the
// outcome at our /redirections/{idTransaction}/outcomes, signed as Standard
// Webhooks say.
//
// The API has no field for the address of that callback: the PSP is told once,
// when the school signs with it. What becomes of a payment that is never told
// of is not decided here.
//
// What a caller gets wrong: the signature covers the body, and the body does
// not name our transaction, only the PSP's own. An event's Reference must be
// the one that Start gave.
package redirect

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"time"

	"github.com/nodogate/nodogate/connectors"
	"github.com/nodogate/nodogate/gateway"
)

// Driver makes connectors of this kind. Endpoint is what stands before
// /redirections; the secret is the subscription key of our calls and, with
// whsec_ and base64 or as it is, the key of the PSP's signatures. The option
// notices, "true", has each order name the notices it pays, for a PSP that
// accounts for them one by one.
var Driver = connectors.Driver{Name: "redirect", Settlement: gateway.SettledByOutcome, New: newConnector}

type connector struct {
	connectors.DriverConfig
	key     connectors.WebhookKey
	notices bool // orders name them
}

const optionNotices = "notices"

var (
	_ connectors.Listener = (*connector)(nil)
	_ connectors.Refunder = (*connector)(nil)
)

func newConnector(cfg connectors.DriverConfig) (connectors.Connector, error) {
	if cfg.Secret == "" {
		return nil, errors.New("secret_env: redirect needs it: without a signature no outcome can be believed")
	}
	key, err := connectors.ParseWebhookKey(cfg.Secret)
	if err != nil {
		return nil, fmt.Errorf("secret_env: %w", err)
	}
	if err := cfg.CheckOptions(nil, []string{optionNotices}); err != nil {
		return nil, err
	}
	switch cfg.Options[optionNotices] {
	case "", "false", "true":
	default:
		return nil, errors.New(`options.notices: give "true" or "false"`)
	}
	return &connector{cfg, key, cfg.Options[optionNotices] == "true"}, nil
}

// Start asks the PSP for a page.
func (c *connector) Start(ctx context.Context, order gateway.Order) (gateway.Started, error) {
	request := newURLRequest(c.ID, order)
	if request.Amount > maxAmount {
		return gateway.Started{}, fmt.Errorf("%w: the API has no amount so large", gateway.ErrRefused)
	}
	if c.notices {
		request = request.withNotices(order)
	}
	resp, err := c.Post(ctx, "redirections", request)
	if err != nil {
		return gateway.Started{}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return gateway.Started{}, fmt.Errorf("post redirections: status %d: %w", resp.StatusCode, gateway.ErrOutcomeUnknown)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return gateway.Started{}, fmt.Errorf("read answer: %w", err)
	}
	var answer urlResponse
	if json.Unmarshal(body, &answer) != nil || !answer.answers(request) {
		return gateway.Started{}, fmt.Errorf("post redirections: %w: the answer is not of this order", gateway.ErrOutcomeUnknown)
	}
	page, err := c.Page(answer.URL)
	if err != nil {
		return gateway.Started{}, fmt.Errorf("post redirections: %w", err)
	}
	return gateway.Started{
		Redirect: page, Reference: answer.IDPSPTransaction, Timeout: time.Duration(answer.Timeout) * time.Millisecond,
	}, nil
}

// Refund asks the PSP to give the transaction back. The API has no part of one,
// and one that was given back before is CANCELED: asking again is safe.
func (c *connector) Refund(ctx context.Context, p gateway.Payment) error {
	if p.Reference == "" {
		return fmt.Errorf("%w: the PSP never said how it calls the payment", gateway.ErrRefused)
	}
	resp, err := c.Post(ctx, "redirections/refunds", refundRequest{p.Attempt, p.Reference, refundAction})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("post redirections/refunds: status %d: %w", resp.StatusCode, gateway.ErrOutcomeUnknown)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	var answer refundResponse
	if json.Unmarshal(body, &answer) != nil || answer.IDTransaction != p.Attempt {
		return fmt.Errorf("post redirections/refunds: %w: the answer is not about this payment", gateway.ErrOutcomeUnknown)
	}
	switch answer.Outcome {
	case outcomeOK, outcomeCanceled:
		return nil
	case outcomeKO:
		return fmt.Errorf("post redirections/refunds: %w", gateway.ErrRefused)
	}
	return fmt.Errorf("post redirections/refunds: %w: no such outcome", gateway.ErrOutcomeUnknown)
}

var outcomePath = regexp.MustCompile(`\A/redirections/([0-9a-f]{32})/outcomes\z`)

// Callback reads POST /redirections/{idTransaction}/outcomes.
func (c *connector) Callback(in gateway.Callback) (gateway.PSPEvent, error) {
	path := outcomePath.FindStringSubmatch(in.Path)
	if path == nil || in.Method != http.MethodPost {
		return gateway.PSPEvent{}, fmt.Errorf("callback: %w", gateway.ErrNotFound)
	}
	id, err := c.key.Verify(in.Header, in.Body, c.Now())
	if err != nil {
		return gateway.PSPEvent{}, err
	}
	result, err := readResult(in.Body)
	if err != nil {
		return gateway.PSPEvent{}, err
	}
	if result.IDPSP != string(c.ID) {
		var wrong gateway.Invalid
		wrong.Add("idPsp", "unknown", "give the id of the PSP that calls")
		return gateway.PSPEvent{}, &wrong
	}
	return gateway.PSPEvent{
		PSP: c.ID, ID: id, Attempt: path[1], Word: word(result.Outcome),
		Reference: result.IDPSPTransaction, At: result.at, Raw: in.Body,
	}, nil
}

// Answer speaks the API's words. Of the outcomes of TransactionResultResponse
// we never say KO: an error of ours is a 500, upon which the PSP calls again.
func (c *connector) Answer(e gateway.PSPEvent, err error) connectors.Answer {
	var wrong *gateway.Invalid
	switch {
	case err == nil:
		return answer(http.StatusOK, "application/json", resultResponse{e.Attempt, outcomeOK})
	case errors.Is(err, gateway.ErrForged):
		return fault(http.StatusUnauthorized, "Unauthorized", e)
	case errors.Is(err, gateway.ErrNotFound):
		return fault(http.StatusNotFound, "Transaction not found", e)
	case errors.As(err, &wrong):
		return fault(http.StatusBadRequest, wrong.Error(), e) // repeats nothing that was sent
	}
	return fault(http.StatusInternalServerError, "There was an error processing the request", e)
}

func fault(status int, detail string, e gateway.PSPEvent) connectors.Answer {
	return answer(status, "application/problem+json", problem{http.StatusText(status), status, detail, e.Attempt})
}

func answer(status int, contentType string, v any) connectors.Answer {
	body, err := json.Marshal(v)
	if err != nil {
		panic("redirect: " + err.Error()) // structs of texts and numbers
	}
	return connectors.Answer{Status: status, ContentType: contentType, Body: body}
}
