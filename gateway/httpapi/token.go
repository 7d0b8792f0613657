// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"errors"
	"io"
	"math"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/time/rate"

	"github.com/nodogate/nodogate/gateway"
)

// tokenLife is how long an access token is good for.
const tokenLife = 10 * time.Minute

type claims struct {
	Scope string `json:"scope"`
	// Version is of the client's secret that the token was got with.
	Version int64 `json:"ver"`
	jwt.RegisteredClaims
}

func (h *handlers) issuer() string   { return h.svc.PublicURL("/") }
func (h *handlers) audience() string { return h.svc.PublicURL("/api/v1") }

func (h *handlers) signToken(client gateway.Client, scope string) (string, error) {
	now := h.svc.Now()
	return jwt.NewWithClaims(jwt.SigningMethodHS256, claims{scope, client.Version, jwt.RegisteredClaims{
		Issuer: h.issuer(), Audience: jwt.ClaimStrings{h.audience()}, Subject: client.ID,
		IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(tokenLife)),
	}}).SignedString(h.tokenKey)
}

func (h *handlers) readToken(token string) (c claims, err error) {
	_, err = jwt.ParseWithClaims(token, &c, func(*jwt.Token) (any, error) { return h.tokenKey, nil },
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
		jwt.WithIssuer(h.issuer()), jwt.WithAudience(h.audience()),
		jwt.WithExpirationRequired(), jwt.WithTimeFunc(h.svc.Now))
	return c, err
}

// issueToken is the token endpoint for client credentials (RFC 6749, section
// 4.4), with the errors of its section 5.2.
func (h *handlers) issueToken(c *gin.Context) {
	c.Header("Pragma", "no-cache") // RFC 6749, section 5.1
	form, err := tokenForm(c)
	if errors.As(err, new(*http.MaxBytesError)) {
		h.fail(c, problemTooLarge)
		return
	}
	if err != nil {
		h.refuseToken(c, "invalid_request", "Send the form once, as application/x-www-form-urlencoded, no parameter twice.")
		return
	}
	id, secret, basic, err := credentials(c.Request, form)
	switch {
	case err != nil:
		h.refuseToken(c, "invalid_request", "Send the client's id and secret in one way only.")
		return
	case form.Get("grant_type") == "":
		h.refuseToken(c, "invalid_request", "grant_type is missing.")
		return
	case form.Get("grant_type") != "client_credentials":
		h.refuseToken(c, "unsupported_grant_type", "The grant_type is client_credentials.")
		return
	}
	now := h.svc.Now()
	byAddress, byClient := "address "+c.ClientIP(), "client "+c.ClientIP()+" "+id
	if wait := max(h.logins.wait(byAddress, now), h.logins.wait(byClient, now)); wait > 0 {
		seconds := strconv.Itoa(int(math.Ceil(wait.Seconds())))
		c.Header("Retry-After", seconds)
		c.Header("RateLimit-Limit", strconv.Itoa(clientFailures))
		c.Header("RateLimit-Remaining", "0")
		c.Header("RateLimit-Reset", seconds)
		h.fail(c, problemTooMany)
		return
	}
	err = gateway.ErrCredentials
	var client gateway.Client
	if printable(id) {
		client, err = h.svc.AuthenticateClient(c.Request.Context(), id, secret)
	}
	if errors.Is(err, gateway.ErrCredentials) {
		h.logins.failed(byAddress, addressFailures, now)
		h.logins.failed(byClient, clientFailures, now)
		if basic || id == "" { // RFC 6749, section 5.2
			c.Header("WWW-Authenticate", `Basic realm="nodogate", charset="UTF-8"`)
		}
		h.refuseToken(c, "invalid_client", "Wrong client id or secret, or the client was revoked.")
		return
	}
	if err != nil {
		h.fail(c, err)
		return
	}
	callOf(c.Request.Context()).caller.Client = client // for the access log
	scopes := strings.Fields(form.Get("scope"))
	if len(scopes) == 0 {
		scopes = client.Scopes
	}
	for _, s := range scopes {
		if !client.May(s) || s != gateway.ScopeAdmin && !slices.Contains(gateway.Scopes, s) {
			h.refuseToken(c, "invalid_scope", "The client does not hold every scope asked for.")
			return
		}
	}
	scope := strings.Join(scopes, " ")
	token, err := h.signToken(client, scope)
	if err != nil {
		h.fail(c, err)
		return
	}
	c.JSON(http.StatusOK, Token{AccessToken: token, TokenType: TokenTokenTypeBearer, ExpiresIn: int(tokenLife.Seconds()), Scope: scope})
}

func (h *handlers) refuseToken(c *gin.Context, code, description string) {
	status := http.StatusBadRequest
	if code == "invalid_client" {
		status = http.StatusUnauthorized
	}
	c.JSON(status, TokenError{Error: TokenErrorError(code), ErrorDescription: description})
}

var errForm = errors.New("not a form")

// tokenForm reads the form from the body alone: a secret in the address would
// end in logs.
func tokenForm(c *gin.Context) (url.Values, error) {
	if t, _, err := mime.ParseMediaType(c.GetHeader("Content-Type")); err != nil || t != "application/x-www-form-urlencoded" || c.Request.URL.RawQuery != "" {
		return nil, errForm
	}
	b, err := io.ReadAll(http.MaxBytesReader(c.Writer, c.Request.Body, 8<<10))
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(b))
	if err != nil {
		return nil, err
	}
	for _, values := range form {
		if len(values) > 1 { // RFC 6749, section 3.2: no parameter more than once
			return nil, errForm
		}
	}
	return form, nil
}

// credentials reads the client's id and secret from HTTP Basic, whose parts are
// form-encoded (RFC 6749, section 2.3.1), or from the form.
func credentials(r *http.Request, form url.Values) (id, secret string, basic bool, err error) {
	values := r.Header.Values("Authorization")
	switch {
	case len(values) == 0:
		return form.Get("client_id"), form.Get("client_secret"), false, nil
	case len(values) > 1 || form.Has("client_secret"):
		return "", "", false, errForm
	}
	id, secret, basic = r.BasicAuth()
	var err1, err2 error
	id, err1 = url.QueryUnescape(id)
	secret, err2 = url.QueryUnescape(secret)
	if !basic || err1 != nil || err2 != nil {
		// Another scheme, or none that can be read: a wrong client, not a
		// wrong request.
		return "", "", true, nil
	}
	// Many libraries name the client in the form too, which is no second way of
	// proving it (section 3.2.1), as long as it is the same.
	if form.Has("client_id") && form.Get("client_id") != id {
		return "", "", false, errForm
	}
	return id, secret, true, nil
}

// Failed log-ins an address may have, and one client at an address, before it
// has to wait. A client's own failures elsewhere do not count, or anybody could
// lock it out.
const (
	addressFailures = 30
	clientFailures  = 10
	forgive         = 6 * time.Second // one failure is forgiven in this time
)

// throttle counts failures by key, for a bounded number of keys.
type throttle struct {
	mu    sync.Mutex
	max   int
	known map[string]*rate.Limiter // guarded by mu
}

func newThrottle(max int) *throttle { return &throttle{max: max, known: map[string]*rate.Limiter{}} }

// wait is how long the key has to wait before it may try again.
func (t *throttle) wait(key string, now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.known[key]
	if l == nil {
		return 0
	}
	if missing := 1 - l.TokensAt(now); missing > 0 {
		return time.Duration(missing * float64(forgive))
	}
	return 0
}

// failed counts one failure of a key that may have burst of them.
func (t *throttle) failed(key string, burst int, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.known[key]
	if l == nil {
		t.makeRoom(now)
		l = rate.NewLimiter(rate.Every(forgive), burst)
		t.known[key] = l
	}
	l.AllowN(now, 1)
}

// makeRoom forgets the keys whose failures are forgiven, and any one when there
// are none.
func (t *throttle) makeRoom(now time.Time) {
	if len(t.known) < t.max {
		return
	}
	for k, l := range t.known {
		if l.TokensAt(now) >= float64(l.Burst()) {
			delete(t.known, k)
		}
	}
	for k := range t.known {
		if len(t.known) < t.max {
			return
		}
		delete(t.known, k)
	}
}
