// SPDX-License-Identifier: Apache-2.0

// Package checkout opens payments on pagoPA Checkout (POST /carts): the payer
// is sent to Checkout's page and chooses a card, or whatever else it offers,
// there. pagoPA OpenAPI checkout_v1; pagopa-protocol, section 8.
//
// It only opens the page. Checkout calls nobody back: what was paid is told by
// the node, one paSendRT for each notice, with our cart's id as paymentNote.
//
// What a caller gets wrong: the address the browser comes back to says nothing.
// Checkout puts no signature and no outcome there, so the esito in it is a hint
// of what to show while the receipt is on its way.
package checkout

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"

	"github.com/nodogate/nodogate/connectors"
	"github.com/nodogate/nodogate/gateway"
)

// Driver makes Checkout connectors. Endpoint is the base of the API, for
// example https://api.platform.pagopa.it/checkout/ec/v1; the secret, which may
// be left out, is the subscription key.
var Driver = connectors.Driver{Name: "checkout", New: newConnector}

type connector struct{ connectors.DriverConfig }

func newConnector(cfg connectors.DriverConfig) (connectors.Connector, error) {
	return &connector{cfg}, nil
}

// Start makes a cart at Checkout.
func (c *connector) Start(ctx context.Context, order gateway.Order) (gateway.Started, error) {
	body, err := json.Marshal(newCartRequest(order))
	if err != nil {
		return gateway.Started{}, fmt.Errorf("write cart: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.Endpoint.JoinPath("carts").String(), bytes.NewReader(body))
	if err != nil {
		return gateway.Started{}, fmt.Errorf("make request: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	if c.Secret != "" {
		req.Header.Set("Ocp-Apim-Subscription-Key", c.Secret)
	}
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return gateway.Started{}, fmt.Errorf("post cart: %w", err)
	}
	defer resp.Body.Close()

	switch resp.StatusCode {
	case http.StatusFound:
		page, err := c.Page(resp.Header.Get("Location"))
		if err != nil {
			return gateway.Started{}, fmt.Errorf("post cart: %w", err)
		}
		return gateway.Started{Redirect: page}, nil
	case http.StatusUnauthorized, http.StatusForbidden:
		// The gate in front of Checkout refused our key, so Checkout never saw
		// the order. It will refuse the next one too: the breaker may open, and
		// families are offered others until somebody mends the key.
		c.Log.Error("subscription key refused", "status", resp.StatusCode)
		return gateway.Started{}, fmt.Errorf("post cart: status %d: %w", resp.StatusCode, gateway.ErrPSPUnavailable)
	case http.StatusBadRequest, http.StatusNotFound, http.StatusUnprocessableEntity:
		title, err := problemTitle(resp)
		if err != nil {
			return gateway.Started{}, fmt.Errorf("post cart: status %d: %w", resp.StatusCode, err)
		}
		c.Log.Warn("cart refused", "status", resp.StatusCode, "title", title)
		return gateway.Started{}, fmt.Errorf("post cart: status %d: %w", resp.StatusCode, gateway.ErrRefused)
	}
	return gateway.Started{}, fmt.Errorf("post cart: status %d: %w", resp.StatusCode, gateway.ErrOutcomeUnknown)
}

// errNoProblem says that a refusal is not in Checkout's words: perhaps we asked
// a wrong address, and that is no answer to the order.
var errNoProblem = errors.New("the answer is no problem+json")

// problemTitle reads a refusal (ProblemJson). Its detail is left alone: it may
// repeat what was sent.
func problemTitle(resp *http.Response) (string, error) {
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	// The OpenAPI says application/json where RFC 9457 has its own type.
	if media != "application/problem+json" && media != "application/json" {
		return "", fmt.Errorf("%w: %w", gateway.ErrOutcomeUnknown, errNoProblem)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", fmt.Errorf("read answer: %w", err)
	}
	var p problem
	if json.Unmarshal(body, &p) != nil || p.Title == "" {
		return "", fmt.Errorf("%w: %w", gateway.ErrOutcomeUnknown, errNoProblem)
	}
	return cut(p.Title, 100), nil
}
