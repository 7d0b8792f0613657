// SPDX-License-Identifier: Apache-2.0

// Package bollettino pays by postal bulletin (bollettino postale PA): printed,
// for the counter of a post office (Print), and online, on the page of the PSP
// that has one.
//
// Both ways the PSP tells our node face itself what was paid. Online it is handed
// the tokens that hold the notices, and names them in sendPaymentOutcomeV2. At the
// counter it begins from the paper, by verificaBollettino: that is why a printed
// bulletin holds no notice, and a PSP that is print-only gets no order at all.
//
// What a caller gets wrong: a bulletin that was printed, or ordered, is not paid.
// Only the receipt is.
package bollettino

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/nodogate/nodogate/connectors"
	"github.com/nodogate/nodogate/gateway"
)

// Driver makes connectors of this kind. Endpoint is what stands before
// /bollettini, and the secret the subscription key of our calls. The option
// online is yes, as when it is left out, or no for a PSP that is paid with
// printed bulletins alone: it has no endpoint.
var Driver = connectors.Driver{
	Name: "bollettino", Settlement: gateway.SettledByPSP, New: newConnector,
	NoEndpoint: func(options map[string]string) bool { return options[optionOnline] == "no" },
}

const optionOnline = "online"

func newConnector(cfg connectors.DriverConfig) (connectors.Connector, error) {
	if err := cfg.CheckOptions(nil, []string{optionOnline}); err != nil {
		return nil, err
	}
	switch cfg.Options[optionOnline] {
	case "", "yes":
		return &connector{cfg}, nil
	case "no":
		if cfg.Endpoint != nil || cfg.Secret != "" {
			return nil, errors.New(`endpoint, secret_env: with options.online "no" nobody is called: leave them out`)
		}
		return printer{}, nil
	}
	return nil, errors.New(`options.online: give "yes" or "no", in quotes`)
}

// printer is a PSP that is paid at its counter.
type printer struct{}

var _ connectors.PrintOnly = printer{}

// PrintOnly says so.
func (printer) PrintOnly() bool { return true }

// Start has nothing to start.
func (printer) Start(context.Context, gateway.Order) (gateway.Started, error) {
	return gateway.Started{}, fmt.Errorf("start a printed bulletin: %w", gateway.ErrRefused)
}

// connector is a PSP with a page.
type connector struct{ connectors.DriverConfig }

var (
	_ connectors.Poller    = (*connector)(nil)
	_ connectors.Canceller = (*connector)(nil)
)

// Start asks the PSP for a page. When its answer is lost it is asked once, by our
// id, whether it has the order and where its page is: the order is not sent again.
func (c *connector) Start(ctx context.Context, o gateway.Order) (gateway.Started, error) {
	for _, n := range o.Notices {
		if n.Amount > gateway.MaxBulletin {
			return gateway.Started{}, fmt.Errorf("%w: no bulletin has room for the amount", gateway.ErrRefused)
		}
	}
	p, err := c.order(ctx, newOrder(o))
	if errors.Is(err, gateway.ErrOutcomeUnknown) && ctx.Err() == nil {
		if found, ferr := c.find(ctx, o.Attempt); ferr == nil && found.State == stateOpen {
			p, err = found, nil
		}
	}
	if err != nil {
		return gateway.Started{}, err
	}
	page, err := c.Page(p.URL)
	if err != nil {
		return gateway.Started{}, fmt.Errorf("post bollettini: %w", err)
	}
	return gateway.Started{Redirect: page, Reference: p.Reference, Timeout: p.life()}, nil
}

func (c *connector) order(ctx context.Context, o order) (payment, error) {
	resp, err := c.Post(ctx, "bollettini", o)
	if err != nil {
		return payment{}, err
	}
	return read(resp, o.ID, nil)
}

func (c *connector) find(ctx context.Context, id string) (payment, error) {
	p, _, err := c.get(ctx, id)
	return p, err
}

func (c *connector) get(ctx context.Context, id string) (payment, []byte, error) {
	resp, err := c.Get(ctx, "bollettini/"+url.PathEscape(id))
	if err != nil {
		return payment{}, nil, err
	}
	var raw []byte
	p, err := read(resp, id, &raw)
	return p, raw, err
}

// read takes an answer that must be about the order with this id.
func read(resp *http.Response, id string, raw *[]byte) (payment, error) {
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusCreated {
		return payment{}, fmt.Errorf("status %d: %w", resp.StatusCode, gateway.ErrOutcomeUnknown)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return payment{}, fmt.Errorf("read answer: %w", err)
	}
	var p payment
	if json.Unmarshal(body, &p) != nil || !p.of(id) {
		return payment{}, fmt.Errorf("%w: the answer is not of this order", gateway.ErrOutcomeUnknown)
	}
	if raw != nil {
		*raw = body
	}
	return p, nil
}

// Ask asks what became of an order, by our own id.
func (c *connector) Ask(ctx context.Context, pay gateway.Payment) (gateway.PSPEvent, error) {
	p, raw, err := c.get(ctx, pay.Attempt)
	if err != nil {
		return gateway.PSPEvent{}, fmt.Errorf("ask: %w", err)
	}
	word, known := words[p.State]
	if !known || pay.Reference != "" && pay.Reference != p.Reference {
		return gateway.PSPEvent{}, fmt.Errorf("ask: %w: the answer is not of this payment", gateway.ErrOutcomeUnknown)
	}
	return gateway.PSPEvent{
		PSP: c.ID, ID: "state/" + pay.Attempt + "/" + p.State, Attempt: pay.Attempt, Word: word, Reference: p.Reference, Raw: raw,
	}, nil
}

// Cancel takes an order back.
func (c *connector) Cancel(ctx context.Context, pay gateway.Payment) error {
	resp, err := c.Delete(ctx, "bollettini/"+url.PathEscape(pay.Attempt))
	if err != nil {
		return fmt.Errorf("cancel: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		return fmt.Errorf("cancel: status %d: %w", resp.StatusCode, gateway.ErrOutcomeUnknown)
	}
	return nil
}
