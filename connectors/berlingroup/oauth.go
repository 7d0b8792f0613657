// SPDX-License-Identifier: Apache-2.0

package berlingroup

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/nodogate/nodogate/connectors"
	"github.com/nodogate/nodogate/gateway"
)

// tokenSlack is how long before its end a token is not used any more.
const tokenSlack = 30 * time.Second

// tokens gets our own access token by client credentials (RFC 6749, section
// 4.4), and keeps it while it lives. Nil where the bank wants none. It is no
// word of the payer: that comes by SCA.
type tokens struct {
	cfg connectors.DriverConfig
	url string

	asking chan struct{} // holds one: of many who need a token, one asks

	mu    sync.Mutex // guards what follows
	token string
	until time.Time
}

func newTokens(cfg connectors.DriverConfig) *tokens {
	return &tokens{cfg: cfg, url: cfg.Options[optTokenURL], asking: make(chan struct{}, 1)}
}

// get is a token that lives; empty where none is wanted. Any error means that
// there is none.
func (t *tokens) get(ctx context.Context) (string, error) {
	if t == nil {
		return "", nil
	}
	select {
	case t.asking <- struct{}{}:
		defer func() { <-t.asking }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	t.mu.Lock()
	token, until := t.token, t.until
	t.mu.Unlock()
	if token != "" && t.cfg.Now().Before(until) {
		return token, nil
	}
	token, life, err := t.ask(ctx)
	if err != nil {
		return "", err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.token, t.until = token, t.cfg.Now().Add(life-tokenSlack)
	return token, nil
}

// drop forgets a token that the bank has refused.
func (t *tokens) drop(token string) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.token == token {
		t.token = ""
	}
}

var tokenForm = regexp.MustCompile(`\A[!-~]+\z`)

func (t *tokens) ask(ctx context.Context) (token string, life time.Duration, err error) {
	id := t.cfg.Options[optClientID]
	form := url.Values{"grant_type": {"client_credentials"}}
	if scope := t.cfg.Options[optScope]; scope != "" {
		form.Set("scope", scope)
	}
	if t.cfg.Secret == "" {
		form.Set("client_id", id) // the certificate proves it (RFC 8705)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url, strings.NewReader(form.Encode()))
	if err != nil {
		return "", 0, errors.New("make request")
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	if t.cfg.Secret != "" {
		req.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(t.cfg.Secret))
	}
	resp, err := t.cfg.HTTP.Do(req)
	if err != nil {
		return "", 0, withoutURL(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", 0, err
	}
	if resp.StatusCode != http.StatusOK {
		t.cfg.Log.Error("no access token", "status", resp.StatusCode)
		return "", 0, fmt.Errorf("status %d", resp.StatusCode)
	}
	var a struct {
		Token string `json:"access_token"`
		Type  string `json:"token_type"`
		Life  int64  `json:"expires_in"` // seconds; left out, it is used once
	}
	if json.Unmarshal(body, &a) != nil || !tokenForm.MatchString(a.Token) || !strings.EqualFold(a.Type, "bearer") || a.Life < 0 {
		return "", 0, errors.New("the answer has no bearer token")
	}
	return a.Token, time.Duration(min(a.Life, 86_400)) * time.Second, nil
}

// authorisePage is the page of the OAuth2 SCA approach: the bank names its
// authorisation server's metadata (RFC 8414), and the payer confirms at its
// authorization_endpoint. The code that the browser brings back is not needed:
// a bank that needs it says so with a confirmation link.
func (c *connector) authorisePage(ctx context.Context, order gateway.Order, payment string, from *url.URL, href string) (string, error) {
	unusable := func(why string) (string, error) {
		return "", fmt.Errorf("authorisation server: %w: %s", gateway.ErrOutcomeUnknown, why)
	}
	client := c.Options[optClientID]
	if client == "" {
		c.Log.Error("the bank confirms by OAuth2: options.client_id is needed")
		return unusable("no client_id")
	}
	at, err := resolve(from, href)
	if err == nil {
		at, err = c.Page(at)
	}
	if err != nil {
		return "", fmt.Errorf("authorisation server: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return unusable("no address")
	}
	req.Header.Set("Accept", "application/json")
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return unusable("no answer: " + withoutURL(err).Error())
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return unusable("read answer: " + err.Error())
	}
	var meta struct {
		Authorise string `json:"authorization_endpoint"`
	}
	if resp.StatusCode != http.StatusOK || json.Unmarshal(body, &meta) != nil {
		return unusable(fmt.Sprintf("no metadata, status %d", resp.StatusCode))
	}
	page, err := c.Page(meta.Authorise)
	if err != nil {
		return "", fmt.Errorf("authorisation server: %w", err)
	}
	u, err := url.Parse(page)
	if err != nil {
		return unusable("no address")
	}
	challenge := sha256.Sum256([]byte(requestID(order.Attempt, "verifier")))
	q := u.Query()
	for name, value := range map[string]string{
		"response_type": "code", "client_id": client, "scope": "PIS:" + payment, "redirect_uri": returnTo(order.Return, "ok"),
		"state": requestID(order.Attempt, "state"), "code_challenge_method": "S256",
		"code_challenge": base64.RawURLEncoding.EncodeToString(challenge[:]),
	} {
		q.Set(name, value)
	}
	u.RawQuery = q.Encode()
	return u.String(), nil
}
