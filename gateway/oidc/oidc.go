// SPDX-License-Identifier: Apache-2.0

// Package oidc proves who a person is by an OpenID provider: SPID and CIE behind
// an aggregator, a region's or the ministry's own. It speaks the code flow with
// PKCE (RFC 7636) and a nonce, and knows no session: state, nonce and verifier are
// its caller's to make and to keep.
//
// Not spoken: the federation of SPID and CIE (entity statements, trust marks,
// private_key_jwt). A school reaches them through an aggregator that speaks plain
// OpenID Connect.
//
// What a caller gets wrong: an error here may be shown to the operator. It holds
// no token, no code and no claim, and nothing that the provider's answer said,
// which may repeat them.
package oidc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/mail"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	oidclib "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
	"golang.org/x/sync/singleflight"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/egress"
)

// algorithms are those an ID token may be signed with. What the provider's
// metadata offers does not count: none and the HMAC family are never among them.
var algorithms = []string{oidclib.RS256, oidclib.ES256, oidclib.PS256}

var (
	// ErrAway says that the provider does not answer, or not as one.
	ErrAway = fmt.Errorf("%w: it does not answer as an OpenID provider", gateway.ErrIdentityAway)
	// ErrRefused says that the code was not taken.
	ErrRefused = errors.New("the provider refused the code")
	// ErrToken says that the ID token proves nothing.
	ErrToken = errors.New("the ID token is not acceptable")
	// ErrLevel says that the person was recognised by less than what is asked.
	ErrLevel = errors.New("the level of assurance is too low")
	// ErrCode says that the provider told no codice fiscale of a person.
	ErrCode = fmt.Errorf("%w: no valid codice fiscale among the claims", gateway.ErrIdentityCode)
)

// Settings is one provider and what a Provider needs.
type Settings struct {
	Entry
	Secret       string // of the client
	Redirect     string // where the provider sends the browser back to
	AllowPrivate bool   // http, and addresses that are not on the public Internet
	Now          func() time.Time
}

// Provider is one OpenID provider.
type Provider struct {
	set    Settings
	client *http.Client
	flight singleflight.Group
	found  atomic.Pointer[found]
}

// found is what the provider's metadata says, checked.
type found struct {
	provider *oidclib.Provider
	verifier *oidclib.IDTokenVerifier
	oauth    oauth2.Config
}

// New makes a provider. It is not asked anything before somebody wants to enter:
// a provider that is away must not keep a gateway from starting.
func New(s Settings) (*Provider, error) {
	if s.Redirect == "" || s.Now == nil || s.Secret == "" {
		return nil, errors.New("oidc: Redirect, Secret and Now are required")
	}
	if err := errors.Join(s.check(s.AllowPrivate)...); err != nil {
		return nil, fmt.Errorf("oidc: %w", err)
	}
	return &Provider{set: s, client: egress.Client(4, s.AllowPrivate)}, nil
}

// ID stands in addresses.
func (p *Provider) ID() string { return p.set.ID }

// Name stands on the button.
func (p *Provider) Name() string { return p.set.Name }

// discover reads the provider's metadata once it answers. All who wait for it wait
// for one request, which does not end with whoever came first.
func (p *Provider) discover(ctx context.Context) (*found, error) {
	if f := p.found.Load(); f != nil {
		return f, nil
	}
	asked := p.flight.DoChan("", func() (any, error) {
		f, err := p.read(p.via(context.WithoutCancel(ctx)))
		if err == nil {
			p.found.Store(f)
		}
		return f, err
	})
	select {
	case r := <-asked:
		if r.Err != nil {
			return nil, r.Err
		}
		return r.Val.(*found), nil
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return nil, fmt.Errorf("%w: no answer in time", ErrAway)
		}
		return nil, ctx.Err() // the browser is gone
	}
}

func (p *Provider) read(ctx context.Context) (*found, error) {
	provider, err := oidclib.NewProvider(ctx, p.set.Issuer) // checks the issuer
	if err != nil {
		var mismatch *oidclib.IssuerMismatchError
		var call *url.Error
		switch {
		case errors.As(err, &mismatch):
			return nil, fmt.Errorf("%w: its metadata names another issuer", ErrAway)
		case errors.As(err, &call):
			return nil, fmt.Errorf("%w: %s", ErrAway, egress.Reason(err))
		}
		return nil, fmt.Errorf("%w: its metadata cannot be read", ErrAway)
	}
	var metadata struct {
		Methods []string `json:"token_endpoint_auth_methods_supported"`
		Keys    string   `json:"jwks_uri"`
	}
	if err := provider.Claims(&metadata); err != nil {
		return nil, fmt.Errorf("%w: its metadata cannot be read", ErrAway)
	}
	endpoint := provider.Endpoint()
	if endpoint.TokenURL == "" || metadata.Keys == "" {
		return nil, fmt.Errorf("%w: its metadata names no token_endpoint or no jwks_uri", ErrAway)
	}
	// The browser is sent there from a form: elsewhere its policy stops it, with
	// nothing for the family to see.
	if o, err := origin(endpoint.AuthURL, p.set.AllowPrivate); err != nil || !slices.Contains(p.set.Allowed(), o) {
		return nil, fmt.Errorf("%w: its authorization_endpoint is on none of the origins in NODOGATE_OIDC", ErrAway)
	}
	// Said once: to try both ways would send a code twice, and it is good once.
	endpoint.AuthStyle = oauth2.AuthStyleInHeader
	if len(metadata.Methods) > 0 && !slices.Contains(metadata.Methods, "client_secret_basic") {
		if !slices.Contains(metadata.Methods, "client_secret_post") {
			return nil, fmt.Errorf("%w: it takes neither client_secret_basic nor client_secret_post", ErrAway)
		}
		endpoint.AuthStyle = oauth2.AuthStyleInParams
	}
	return &found{
		provider: provider,
		verifier: oidclib.NewVerifier(p.set.Issuer, keySet{oidclib.NewRemoteKeySet(ctx, metadata.Keys)}, &oidclib.Config{ClientID: p.set.ClientID, SupportedSigningAlgs: algorithms, Now: p.set.Now}),
		oauth: oauth2.Config{
			ClientID: p.set.ClientID, ClientSecret: p.set.Secret, Endpoint: endpoint, RedirectURL: p.set.Redirect, Scopes: p.set.scopes(),
		},
	}, nil
}

// via has both libraries make their calls through our client.
func (p *Provider) via(ctx context.Context) context.Context {
	return oidclib.ClientContext(ctx, p.client)
}

// Start is where to send the browser.
func (p *Provider) Start(ctx context.Context, state, nonce, verifier string) (address string, err error) {
	if state == "" || nonce == "" || len(verifier) < 43 {
		return "", errors.New("oidc: state, nonce and a verifier of 43 characters or more are required")
	}
	f, err := p.discover(ctx)
	if err != nil {
		return "", fmt.Errorf("oidc %s: %w", p.set.ID, err)
	}
	options := []oauth2.AuthCodeOption{oidclib.Nonce(nonce), oauth2.S256ChallengeOption(verifier)}
	if len(p.set.ACR) > 0 {
		options = append(options, oauth2.SetAuthURLParam("acr_values", strings.Join(p.set.ACR, " ")))
	}
	return f.oauth.AuthCodeURL(state, options...), nil
}

// Finish redeems the code that the browser came back with.
func (p *Provider) Finish(ctx context.Context, code, nonce, verifier string) (gateway.Identity, error) {
	who, err := p.finish(p.via(ctx), code, nonce, verifier)
	if err != nil {
		return gateway.Identity{}, fmt.Errorf("oidc %s: %w", p.set.ID, err)
	}
	return who, nil
}

func (p *Provider) finish(ctx context.Context, code, nonce, verifier string) (who gateway.Identity, err error) {
	f, err := p.discover(ctx)
	if err != nil {
		return who, err
	}
	tokens, err := f.oauth.Exchange(ctx, code, oauth2.VerifierOption(verifier))
	if err != nil {
		return who, noTokens(err)
	}
	raw, ok := tokens.Extra("id_token").(string)
	if !ok {
		return who, fmt.Errorf("%w: there is none", ErrToken)
	}
	token, claims, err := p.verify(ctx, f, raw, nonce)
	if err != nil {
		return who, err
	}
	told, here := first(claims, p.set.Claims.Code, codeClaims)
	if !here && f.provider.UserInfoEndpoint() != "" {
		if token.AccessTokenHash != "" && token.VerifyAccessToken(tokens.AccessToken) != nil {
			return who, fmt.Errorf("%w: it is not of this access token", ErrToken)
		}
		more, err := p.userinfo(ctx, f, tokens, token.Subject)
		if err != nil {
			return who, err
		}
		for name, value := range more {
			if _, signed := claims[name]; !signed {
				claims[name] = value
			}
		}
		told, _ = first(claims, p.set.Claims.Code, codeClaims)
	}
	fiscal, err := gateway.ParseFiscalCode(strings.TrimPrefix(strings.ToUpper(strings.TrimSpace(told)), "TINIT-"))
	if err != nil || !fiscal.IsPerson() {
		return who, ErrCode
	}
	who = gateway.Identity{Issuer: token.Issuer, Subject: token.Subject, Code: fiscal}
	given, _ := first(claims, p.set.Claims.FirstName, firstNameClaims)
	family, _ := first(claims, p.set.Claims.LastName, lastNameClaims)
	who.FirstName, who.LastName = short(given), short(family)
	if claims["email_verified"] != false {
		email, _ := first(claims, p.set.Claims.Email, emailClaims)
		if a, err := mail.ParseAddress(email); err == nil && a.Address == email && len(email) <= 254 {
			who.Email = email
		}
	}
	return who, nil
}

// noTokens says why a code became no token. The text of the provider's answer is
// left out: with it could come the code.
func noTokens(err error) error {
	var call *url.Error
	var answer *oauth2.RetrieveError
	switch {
	case errors.As(err, &call):
		return fmt.Errorf("%w: %s", ErrAway, egress.Reason(err))
	case !errors.As(err, &answer):
		return fmt.Errorf("%w: its token_endpoint's answer cannot be read", ErrAway)
	case answer.Response.StatusCode >= 500 || answer.Response.StatusCode == http.StatusTooManyRequests:
		return fmt.Errorf("%w: its token_endpoint answered %d", ErrAway, answer.Response.StatusCode)
	}
	return ErrRefused
}

// keySet tells keys that cannot be read from a signature that is wrong: the
// verifier makes one error of both.
type keySet struct{ oidclib.KeySet }

// keysAway is the context's key of a *bool.
type keysAway struct{}

func (k keySet) VerifySignature(ctx context.Context, jwt string) ([]byte, error) {
	payload, err := k.KeySet.VerifySignature(ctx, jwt)
	if away, ok := ctx.Value(keysAway{}).(*bool); ok && err != nil {
		// The library has no other sign of it; a test holds it to this one.
		*away = strings.HasPrefix(err.Error(), "fetching keys")
	}
	return payload, err
}

// verify checks all that an ID token has to prove (OpenID Connect Core, 3.1.3.7).
func (p *Provider) verify(ctx context.Context, f *found, raw, nonce string) (*oidclib.IDToken, map[string]any, error) {
	away := false
	token, err := f.verifier.Verify(context.WithValue(ctx, keysAway{}, &away), raw)
	if err != nil {
		// What the library says can hold the token's claims.
		var expired *oidclib.TokenExpiredError
		switch {
		case away:
			return nil, nil, fmt.Errorf("%w: its keys cannot be read", ErrAway)
		case errors.As(err, &expired):
			return nil, nil, fmt.Errorf("%w: it has expired", ErrToken)
		}
		return nil, nil, fmt.Errorf("%w: its issuer, audience, algorithm or signature is wrong", ErrToken)
	}
	claims := map[string]any{}
	if err := token.Claims(&claims); err != nil {
		return nil, nil, fmt.Errorf("%w: its claims cannot be read", ErrToken)
	}
	azp, named := claims["azp"]
	acr, _ := claims["acr"].(string)
	switch {
	case token.Subject == "":
		return nil, nil, fmt.Errorf("%w: it names no subject", ErrToken)
	case len(token.Audience) != 1 || named && azp != p.set.ClientID:
		return nil, nil, fmt.Errorf("%w: it is for others too", ErrToken)
	case nonce == "" || token.Nonce != nonce:
		return nil, nil, fmt.Errorf("%w: its nonce is another", ErrToken)
	case token.IssuedAt.After(p.set.Now().Add(clockSkew)):
		return nil, nil, fmt.Errorf("%w: it is of the future", ErrToken)
	case len(p.set.ACR) > 0 && !slices.Contains(p.set.ACR, acr):
		return nil, nil, ErrLevel
	}
	return token, claims, nil
}

// clockSkew is how far a provider's clock may be ahead of ours.
const clockSkew = 5 * time.Minute

// userinfo asks for the claims that the ID token does not carry.
func (p *Provider) userinfo(ctx context.Context, f *found, tokens *oauth2.Token, subject string) (map[string]any, error) {
	info, err := f.provider.UserInfo(ctx, oauth2.StaticTokenSource(tokens))
	if err != nil {
		return nil, fmt.Errorf("%w: its userinfo cannot be read", ErrAway)
	}
	// Of another person it would be that one's codice fiscale (Core, 5.3.2).
	if info.Subject != subject {
		return nil, fmt.Errorf("%w: userinfo is of another subject", ErrToken)
	}
	claims := map[string]any{}
	if err := info.Claims(&claims); err != nil {
		return nil, fmt.Errorf("%w: its userinfo cannot be read", ErrAway)
	}
	return claims, nil
}

// The names of claims: OpenID's own, the aggregators', SPID's and CIE's.
var (
	codeClaims      = []string{"fiscal_number", "https://attributes.spid.gov.it/fiscalNumber", "https://attributes.eid.gov.it/fiscal_number", "fiscalNumber"}
	firstNameClaims = []string{"given_name", "https://attributes.spid.gov.it/name"}
	lastNameClaims  = []string{"family_name", "https://attributes.spid.gov.it/familyName"}
	emailClaims     = []string{"email", "https://attributes.spid.gov.it/email"}
)

// first is the claim under the configured name, and under that only; where none is
// configured, under the first of the usual names that is there.
func first(claims map[string]any, configured string, usual []string) (value string, here bool) {
	if configured != "" {
		usual = []string{configured}
	}
	for _, name := range usual {
		if v, ok := claims[name]; ok && v != nil {
			s, _ := v.(string) // another kind is there, and wrong
			return s, true
		}
	}
	return "", false
}

// short keeps a name within what the portal's own form takes.
func short(s string) string {
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "")), " ")
	if utf8.RuneCountInString(s) > 100 {
		s = string([]rune(s)[:100])
	}
	return s
}
