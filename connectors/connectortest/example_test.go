// SPDX-License-Identifier: Apache-2.0

package connectortest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/nodogate/nodogate/connectors"
	"github.com/nodogate/nodogate/connectors/connectortest"
	"github.com/nodogate/nodogate/gateway"
)

// What follows is the smallest whole connector: a PSP that takes {"id","cents",
// "back"} at /orders, answers {"id","page"}, and calls /done/{id} back, signed.
// docs/connectors.md begins from it.

var small = connectors.Driver{Name: "small", Settlement: gateway.SettledByOutcome, New: newSmall}

type smallConnector struct {
	connectors.DriverConfig
	key connectors.WebhookKey
}

func newSmall(cfg connectors.DriverConfig) (connectors.Connector, error) {
	key, err := connectors.ParseWebhookKey(cfg.Secret)
	if err != nil {
		return nil, fmt.Errorf("secret_env: %w", err)
	}
	return &smallConnector{cfg, key}, cfg.CheckOptions(nil, nil)
}

func (c *smallConnector) Start(ctx context.Context, o gateway.Order) (gateway.Started, error) {
	cents := o.Fee
	for _, n := range o.Notices {
		cents += n.Amount
	}
	resp, err := c.Post(ctx, "orders", map[string]any{"id": o.Attempt, "cents": cents, "back": o.Return.String()})
	if err != nil {
		return gateway.Started{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return gateway.Started{}, err
	}
	var answer struct{ ID, Page string }
	if resp.StatusCode != http.StatusOK || json.Unmarshal(body, &answer) != nil || answer.ID != o.Attempt {
		return gateway.Started{}, gateway.ErrOutcomeUnknown
	}
	page, err := c.Page(answer.Page)
	if err != nil {
		return gateway.Started{}, err
	}
	return gateway.Started{Redirect: page, Reference: answer.ID}, nil
}

func (c *smallConnector) Callback(in gateway.Callback) (gateway.PSPEvent, error) {
	attempt, ok := strings.CutPrefix(in.Path, "/done/")
	if !ok || len(attempt) != 32 || in.Method != http.MethodPost {
		return gateway.PSPEvent{}, gateway.ErrNotFound
	}
	id, err := c.key.Verify(in.Header, in.Body, c.Now())
	if err != nil {
		return gateway.PSPEvent{}, err
	}
	var said struct {
		PSP, ID string
		Paid    *bool
	}
	if json.Unmarshal(in.Body, &said) != nil || said.PSP != string(c.ID) || said.ID != attempt || said.Paid == nil {
		return gateway.PSPEvent{}, &gateway.Invalid{Fields: []gateway.FieldError{{Field: "body", Code: "format", Message: "give psp, id and paid"}}}
	}
	word := gateway.WordNo
	if *said.Paid {
		word = gateway.WordTaken
	}
	return gateway.PSPEvent{PSP: c.ID, ID: id, Attempt: attempt, Word: word, Reference: attempt, Raw: in.Body}, nil
}

func (c *smallConnector) Answer(_ gateway.PSPEvent, err error) connectors.Answer {
	var wrong *gateway.Invalid
	switch {
	case err == nil:
		return connectors.Answer{Status: http.StatusNoContent}
	case errors.Is(err, gateway.ErrForged):
		return connectors.Answer{Status: http.StatusUnauthorized}
	case errors.Is(err, gateway.ErrNotFound):
		return connectors.Answer{Status: http.StatusNotFound}
	case errors.As(err, &wrong):
		return connectors.Answer{Status: http.StatusBadRequest}
	}
	return connectors.Answer{Status: http.StatusInternalServerError}
}

func TestSmallConnector(t *testing.T) {
	t.Parallel()
	connectortest.Run(t, func(t *testing.T) connectortest.Fixture {
		return connectortest.Fixture{
			Driver: small,
			Accept: func(w http.ResponseWriter, r *http.Request, page string) {
				var order struct{ ID string }
				_ = json.NewDecoder(r.Body).Decode(&order)
				_ = json.NewEncoder(w).Encode(map[string]string{"id": order.ID, "page": page})
			},
			Refuse: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/problem+json")
				w.WriteHeader(http.StatusUnprocessableEntity)
				_, _ = io.WriteString(w, `{"title":"No"}`)
			},
			Callback: func(c connectortest.Callback) gateway.Callback {
				key, err := connectors.ParseWebhookKey(c.Secret)
				if err != nil {
					t.Fatal(err)
				}
				body := c.Body
				if body == nil {
					body = fmt.Appendf(nil, `{"psp":%q,"id":%q,"paid":%v}`, c.PSP, c.Attempt, c.OK)
				}
				h := http.Header{}
				key.Sign(h, c.ID, c.At, body)
				return gateway.Callback{PSP: c.PSP, Method: http.MethodPost, Path: "/done/" + c.Attempt, Header: h, Body: body, Received: c.At}
			},
			Signature: connectors.WebhookSignature,
		}
	})
}
