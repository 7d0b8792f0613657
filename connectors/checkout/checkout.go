// SPDX-License-Identifier: Apache-2.0

// Package checkout opens payments on pagoPA Checkout (POST /carts): the payer
// is sent to Checkout's page and chooses a card, or whatever else it offers,
// there. pagoPA OpenAPI checkout_v1 and _v2; pagopa-protocol, section 8.
//
// It only opens the page. Checkout calls nobody back: what was paid is told by
// the node, one paSendRT for each notice, with our cart's id as paymentNote.
//
// What a caller gets wrong: the address the browser comes back to says nothing.
// Checkout puts no signature and no outcome there, so the esito in it is a hint
// of what to show while the receipt is on its way.
package checkout

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/nodogate/nodogate/connectors"
	"github.com/nodogate/nodogate/gateway"
)

// Driver makes Checkout connectors. Endpoint is the base of the API, for
// example https://api.platform.pagopa.it/checkout/ec/v1; the secret, which may
// be left out, is the subscription key. The option version is that of the API, 1
// where it is left out.
var Driver = connectors.Driver{Name: "checkout", New: newConnector}

const (
	optVersion = "version"
	version2   = "2"
)

type connector struct{ connectors.DriverConfig }

func newConnector(cfg connectors.DriverConfig) (connectors.Connector, error) {
	if err := cfg.CheckOptions(nil, []string{optVersion}); err != nil {
		return nil, err
	}
	if v := cfg.Options[optVersion]; v != "" && v != "1" && v != version2 {
		return nil, errors.New(`options.version: give "1" or "2", in quotes`)
	}
	return &connector{cfg}, nil
}

// Start makes a cart at Checkout.
func (c *connector) Start(ctx context.Context, order gateway.Order) (gateway.Started, error) {
	resp, err := c.Post(ctx, "carts", newCartRequest(order, c.Options[optVersion]))
	if err != nil {
		return gateway.Started{}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusFound {
		return gateway.Started{}, fmt.Errorf("post carts: status %d: %w", resp.StatusCode, gateway.ErrOutcomeUnknown)
	}
	page, err := c.Page(resp.Header.Get("Location"))
	if err != nil {
		return gateway.Started{}, fmt.Errorf("post carts: %w", err)
	}
	return gateway.Started{Redirect: page}, nil
}
