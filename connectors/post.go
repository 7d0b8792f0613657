// SPDX-License-Identifier: Apache-2.0

package connectors

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/nodogate/nodogate/gateway"
)

// Post sends an order to a PSP whose API is made as pagoPA's are: JSON below
// the endpoint, the secret as subscription key, problem+json for a no. Answers
// up to 399 come back for the caller to read and close; the others as the error
// they are.
func (c DriverConfig) Post(ctx context.Context, path string, order any) (*http.Response, error) {
	body, err := json.Marshal(order)
	if err != nil {
		return nil, fmt.Errorf("write order: %w", err)
	}
	return c.send(ctx, http.MethodPost, path, bytes.NewReader(body))
}

// Get asks such a PSP; answers as Post's.
func (c DriverConfig) Get(ctx context.Context, path string) (*http.Response, error) {
	return c.send(ctx, http.MethodGet, path, nil)
}

// Delete asks it to take something back; answers as Post's, and a 409 in its own
// words is its no.
func (c DriverConfig) Delete(ctx context.Context, path string) (*http.Response, error) {
	return c.send(ctx, http.MethodDelete, path, nil)
}

func (c DriverConfig) send(ctx context.Context, method, path string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.Endpoint.JoinPath(path).String(), body)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.Secret != "" {
		req.Header.Set("Ocp-Apim-Subscription-Key", c.Secret)
	}
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", strings.ToLower(method), path, err)
	}
	if resp.StatusCode < http.StatusBadRequest {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, fmt.Errorf("%s %s: status %d: %w", strings.ToLower(method), path, resp.StatusCode, c.refusal(method, resp))
}

func (c DriverConfig) refusal(method string, resp *http.Response) error {
	status := resp.StatusCode
	if method == http.MethodDelete && status == http.StatusConflict {
		status = http.StatusUnprocessableEntity
	}
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		// The gate in front of the PSP refused our key, so the PSP never saw the
		// order. It will refuse the next one too: the breaker may open, and
		// families are offered others until somebody mends the key.
		c.Log.Error("subscription key refused", "status", resp.StatusCode)
		return gateway.ErrPSPUnavailable
	case http.StatusBadRequest, http.StatusNotFound, http.StatusUnprocessableEntity:
		title, err := problemTitle(resp)
		if err != nil {
			return err
		}
		c.Log.Warn("order refused", "status", resp.StatusCode, "title", title)
		return gateway.ErrRefused
	}
	return gateway.ErrOutcomeUnknown
}

// errNoProblem says that a refusal is not in the PSP's words: perhaps we asked
// a wrong address, and that is no answer to the order.
var errNoProblem = errors.New("the answer is no problem+json")

// problemTitle reads a refusal (ProblemJson). Its detail is left alone: it may
// repeat what was sent.
func problemTitle(resp *http.Response) (string, error) {
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	// The OpenAPIs say application/json where RFC 9457 has its own type.
	if media != "application/problem+json" && media != "application/json" {
		return "", fmt.Errorf("%w: %w", gateway.ErrOutcomeUnknown, errNoProblem)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", fmt.Errorf("read answer: %w", err)
	}
	var p struct {
		Title, Detail string
		Status        int
	}
	// No field is required, and the samples of redirect.json have no title. The
	// 404 of a gate has a status or a detail of its own, not both.
	if json.Unmarshal(body, &p) != nil || p.Title == "" && (p.Status != resp.StatusCode || p.Detail == "") {
		return "", fmt.Errorf("%w: %w", gateway.ErrOutcomeUnknown, errNoProblem)
	}
	return Cut(p.Title, 100), nil
}

// Cut returns the first characters of s, at most so many.
func Cut(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return string(r[:most])
	}
	return s
}
