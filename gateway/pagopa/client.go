// SPDX-License-Identifier: Apache-2.0

package pagopa

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/nodogate/nodogate/gateway/soap"
)

// Client calls a creditor as the Node does: it speaks the other side of
// paForNode, for the sandbox and for tests.
//
// A response with outcome KO is no error. The errors are: a *StatusError, a
// *soap.Fault, a *soap.ParseError or *SchemaError for what cannot be read,
// ErrUnknown for another message than was asked for, ErrTooLarge, and beneath
// all that whatever the transport says. After all but a refused connection
// the outcome of a SendRT is unknown, not negative.
type Client struct {
	HTTP   *http.Client // required; its timeouts are the caller's choice
	URL    string
	Header http.Header // added to every request, for example a subscription key
}

// ErrTooLarge says that a response is longer than soap.MaxBody.
var ErrTooLarge = errors.New("pagopa: response too large")

// StatusError is an HTTP status other than 200 without a SOAP Fault.
type StatusError struct{ Status int }

func (e *StatusError) Error() string { return fmt.Sprintf("pagopa: HTTP status %d", e.Status) }

// Verify calls paVerifyPaymentNotice.
func (c *Client) Verify(ctx context.Context, r VerifyRequest) (VerifyResponse, error) {
	return call[VerifyResponse](ctx, c, &paForNodeResponses, r)
}

// GetPayment calls paGetPayment or paGetPaymentV2.
func (c *Client) GetPayment(ctx context.Context, r GetPaymentRequest) (GetPaymentResponse, error) {
	return call[GetPaymentResponse](ctx, c, &paForNodeResponses, r)
}

// SendRT calls paSendRT or paSendRTV2.
func (c *Client) SendRT(ctx context.Context, r SendRTRequest) (SendRTResponse, error) {
	return call[SendRTResponse](ctx, c, &paForNodeResponses, r)
}

// Demand calls paDemandPaymentNotice.
func (c *Client) Demand(ctx context.Context, r DemandRequest) (DemandResponse, error) {
	return call[DemandResponse](ctx, c, &paForNodeResponses, r)
}

// NodeClient calls the Node as a PSP does: it speaks the other side of
// nodeForPsp. Its fields and errors are those of a Client.
//
// After all but a refused connection a notice may have been activated and an
// outcome taken. To find out, repeat the same request with the same
// IdempotencyKey: it is answered as it was at first.
type NodeClient Client

// VerifyNotice calls verifyPaymentNotice.
func (c *NodeClient) VerifyNotice(ctx context.Context, r VerifyNoticeRequest) (VerifyNoticeResponse, error) {
	return call[VerifyNoticeResponse](ctx, (*Client)(c), &nodeForPspResponses, r)
}

// Bollettino calls verificaBollettino.
func (c *NodeClient) Bollettino(ctx context.Context, r BollettinoRequest) (BollettinoResponse, error) {
	return call[BollettinoResponse](ctx, (*Client)(c), &nodeForPspResponses, r)
}

// Activate calls activatePaymentNotice or activatePaymentNoticeV2.
func (c *NodeClient) Activate(ctx context.Context, r ActivateRequest) (ActivateResponse, error) {
	return call[ActivateResponse](ctx, (*Client)(c), &nodeForPspResponses, r)
}

// Outcome calls sendPaymentOutcome or sendPaymentOutcomeV2.
func (c *NodeClient) Outcome(ctx context.Context, r OutcomeRequest) (OutcomeResponse, error) {
	return call[OutcomeResponse](ctx, (*Client)(c), &nodeForPspResponses, r)
}

// Demand calls demandPaymentNotice.
func (c *NodeClient) Demand(ctx context.Context, r DemandNoticeRequest) (DemandNoticeResponse, error) {
	return call[DemandNoticeResponse](ctx, (*Client)(c), &nodeForPspResponses, r)
}

func call[R Message](ctx context.Context, c *Client, responses *table, request Message) (R, error) {
	var none R
	env, err := c.post(ctx, request)
	if err != nil {
		return none, err
	}
	m, err := responses.read(env)
	if err != nil {
		return none, err
	}
	response, ok := m.(R)
	if !ok || m.Operation() != request.Operation() {
		return none, fmt.Errorf("%w: a response to %s", ErrUnknown, m.Operation())
	}
	return response, nil
}

func (c *Client) post(ctx context.Context, m Message) (*soap.Envelope, error) {
	body := soap.AppendEnvelope(nil, m.Append)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL, bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("pagopa: the client's URL is malformed") // the error would quote it
	}
	for name, values := range c.Header {
		req.Header[name] = values
	}
	req.Header.Set("Content-Type", soap.ContentType)
	req.Header.Set("SOAPAction", `"`+string(m.Operation())+`"`)

	resp, err := c.HTTP.Do(req)
	if err != nil {
		// The URL may carry a secret, and its owner knows it anyway.
		if unwrapped := (*url.Error)(nil); errors.As(err, &unwrapped) {
			err = unwrapped.Err
		}
		return nil, fmt.Errorf("call %s: %w", m.Operation(), err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, soap.MaxBody+1))
	if err != nil {
		return nil, fmt.Errorf("read response to %s: %w", m.Operation(), err)
	}
	if len(answer) > soap.MaxBody {
		return nil, ErrTooLarge
	}
	env, err := soap.Parse(answer)
	// SOAP 1.1, section 6.2 sends a Fault with status 500; we send 400.
	if err == nil {
		if fault := env.Fault(); fault != nil {
			return nil, fault
		}
	}
	if resp.StatusCode != http.StatusOK {
		return nil, &StatusError{Status: resp.StatusCode}
	}
	return env, err
}
