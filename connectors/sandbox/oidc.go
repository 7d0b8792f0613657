// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/nodogate/nodogate/gateway"
)

// Person is an invented person who can enter with SPID or CIE, and may have App
// IO.
type Person struct {
	Code                       gateway.FiscalCode
	FirstName, LastName, Email string
	App                        bool // has App IO
	Muted                      bool // and wants no messages of the school in it
}

// ClientID is the client of the OpenID providers.
const ClientID = "nodogate"

// SPIDID and CIEID are what the OpenID providers are called on /control.
const (
	SPIDID = "SPID"
	CIEID  = "CIE"
)

// identityModes are the modes that mean something for an OpenID provider.
var identityModes = []Mode{ModeOK, ModeDown, ModeSlow}

const (
	askLife   = 10 * time.Minute // of a page that waits for a person
	codeLife  = time.Minute
	entryLife = 5 * time.Minute // of what a code is good for
)

// identities is one OpenID provider. The protocol is zitadel's; what it knows of
// clients, people and keys it asks here, as op.Storage.
//
// Embedded without a value: of what is not routed (refreshing, revoking, ending
// a session) nothing is called.
type identities struct {
	op.Storage

	box      *Server
	id, name string
	issuer   string
	redirect string
	provider *op.Provider
	// inToken has the ID token carry the person's claims; without it they are in
	// userinfo only, as SPID's are.
	inToken bool

	// What follows is guarded by Server.mu.
	mode    Mode
	entries map[string]entering // by id, and by code and token once there are such
	keys    []signing           // the last one signs, the one before is still shown
}

// entering is a log-in under way, or one that was: an op.AuthRequest.
type entering struct {
	*oidc.AuthRequest
	id     string
	person *Person // nil while nobody has said yes
	at     time.Time
	until  time.Time
	issuer string
}

// signing is a key that tokens are signed with: an op.SigningKey.
type signing struct {
	id  string
	alg jose.SignatureAlgorithm
	key crypto.Signer
}

func (k signing) ID() string                                  { return k.id }
func (k signing) SignatureAlgorithm() jose.SignatureAlgorithm { return k.alg }
func (k signing) Key() any                                    { return k.key }

// shown is its public half: an op.Key.
type shown struct{ signing }

func (k shown) Algorithm() jose.SignatureAlgorithm { return k.alg }
func (k shown) Use() string                        { return "sig" }
func (k shown) Key() any                           { return k.key.Public() }

// algorithms are those that a client must know; a rotation takes the next one.
var algorithms = []jose.SignatureAlgorithm{jose.ES256, jose.RS256, jose.PS256}

// newKey makes the n-th key.
func newKey(n int) (signing, error) {
	k := signing{id: fmt.Sprint("prova-", n+1), alg: algorithms[n%len(algorithms)]}
	var err error
	if k.alg == jose.ES256 {
		k.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	} else {
		k.key, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	return k, err
}

// addIdentities plays SPID and CIE.
func (s *Server) addIdentities() error {
	if len(s.cfg.People) == 0 {
		return nil
	}
	if s.cfg.Portal == nil || s.cfg.IdentitySecret == "" {
		return errors.New("sandbox: with People, Portal and IdentitySecret are required")
	}
	for _, p := range []*identities{{id: "spid", name: SPIDID}, {id: "cie", name: CIEID, inToken: true}} {
		p.box, p.mode, p.entries = s, ModeOK, make(map[string]entering)
		p.issuer = s.cfg.URL.JoinPath("oidc", p.id).String()
		p.redirect = s.cfg.Portal.JoinPath("accesso", "identita", p.id).String()
		key, err := newKey(0)
		if err != nil {
			return fmt.Errorf("sandbox: %w", err)
		}
		p.keys = []signing{key}
		cfg := &op.Config{
			CodeMethodS256: true, AuthMethodPost: true, SupportedScopes: []string{"openid", "profile", "email"},
			SupportedClaims: []string{"sub", "acr", "fiscal_number", "given_name", "family_name", "email"},
		}
		if _, err := rand.Read(cfg.CryptoKey[:]); err != nil {
			return fmt.Errorf("sandbox: %w", err)
		}
		p.provider, err = op.NewProvider(cfg, p, op.StaticIssuer(p.issuer), op.WithAllowInsecure(), op.WithCORSOptions(nil),
			op.WithCustomTokenEndpoint(op.NewEndpoint("token")), op.WithCustomKeysEndpoint(op.NewEndpoint("jwks")))
		if err != nil {
			return fmt.Errorf("sandbox: %w", err)
		}
		s.identities = append(s.identities, p)
		under := "/oidc/" + p.id
		protocol := p.behaving(http.StripPrefix(under, p.provider))
		for _, path := range []string{"/.well-known/openid-configuration", "/jwks", "/authorize", "/authorize/callback", "/token", "/userinfo"} {
			s.mux.Handle(under+path, protocol)
		}
		s.mux.Handle("GET "+under+"/accesso", p.behaving(http.HandlerFunc(p.showPeople)))
		s.mux.Handle("POST "+under+"/accesso", p.behaving(http.HandlerFunc(p.pressPerson)))
		s.mux.HandleFunc("POST "+under+"/rotate", p.rotate)
	}
	return nil
}

// behaving is h as the provider's mode has it.
func (p *identities) behaving(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.box.mu.Lock()
		mode := p.mode
		p.box.mu.Unlock()
		switch {
		case mode == ModeDown:
			fail(w, http.StatusServiceUnavailable, "Service unavailable", "")
		case mode == ModeSlow && !p.box.think(r):
		default:
			h.ServeHTTP(w, r)
		}
	})
}

// rotate signs with another key from now on, of the next algorithm. The one that
// signed until now is still shown, the one before it not any more.
func (p *identities) rotate(w http.ResponseWriter, _ *http.Request) {
	p.box.mu.Lock()
	last := p.keys[len(p.keys)-1]
	p.box.mu.Unlock()
	n, err := strconv.Atoi(strings.TrimPrefix(last.id, "prova-"))
	var key signing
	if err == nil {
		key, err = newKey(n)
	}
	if err != nil {
		p.box.cfg.Log.Error("sandbox: make a key", "error", err.Error())
		fail(w, http.StatusInternalServerError, "Internal error", "")
		return
	}
	p.box.mu.Lock()
	p.keys = []signing{last, key}
	p.box.mu.Unlock()
	writeJSON(w, map[string]any{"kid": key.id, "alg": key.alg})
}

var (
	//go:embed oidc.html
	peopleText string

	peopleTemplate = template.Must(template.New("people").Parse(peopleText))
)

func (p *identities) showPeople(w http.ResponseWriter, r *http.Request) {
	if _, err := p.AuthRequestByID(r.Context(), r.FormValue("id")); err != nil {
		noPage(w)
		return
	}
	p.box.render(w, http.StatusOK, peopleTemplate, map[string]any{"Name": p.name, "People": p.box.cfg.People})
}

// pressPerson is a person who says yes, or nobody who says no.
func (p *identities) pressPerson(w http.ResponseWriter, r *http.Request) {
	ctx := op.ContextWithIssuer(r.Context(), p.issuer)
	e, ok := p.entry(r.FormValue("id"))
	if !ok || e.person != nil {
		noPage(w)
		return
	}
	if r.PostFormValue("azione") == buttonCancel {
		p.forget(e.id)
		op.AuthRequestError(w, r, e.AuthRequest, oidc.ErrAccessDenied(), p.provider)
		return
	}
	i, err := strconv.Atoi(r.PostFormValue("persona"))
	if err != nil || i < 0 || i >= len(p.box.cfg.People) {
		noButton(w)
		return
	}
	e.person, e.at = &p.box.cfg.People[i], p.box.cfg.Now()
	e.until = e.at.Add(codeLife)
	p.keep(e.id, e)
	http.Redirect(w, r, op.AuthCallbackURL(p.provider)(ctx, e.id), http.StatusSeeOther)
}

// keep forgets what is over, and takes no more than is sane.
func (p *identities) keep(key string, e entering) {
	now := p.box.cfg.Now()
	p.box.mu.Lock()
	defer p.box.mu.Unlock()
	for k, old := range p.entries {
		if !now.Before(old.until) || len(p.entries) >= maxPages {
			delete(p.entries, k)
		}
	}
	p.entries[key] = e
}

func (p *identities) entry(key string) (entering, bool) {
	p.box.mu.Lock()
	defer p.box.mu.Unlock()
	e, ok := p.entries[key]
	return e, ok && p.box.cfg.Now().Before(e.until)
}

func (p *identities) forget(key string) {
	p.box.mu.Lock()
	defer p.box.mu.Unlock()
	delete(p.entries, key)
}

// errUnknown tells nothing of what was asked for.
var errUnknown = errors.New("unknown, or over")

// CreateAuthRequest takes a request that the library found right, if it has all
// that RFC 7636 and OpenID Connect give a client: here it is required.
func (p *identities) CreateAuthRequest(_ context.Context, r *oidc.AuthRequest, _ string) (op.AuthRequest, error) {
	if !slices.Contains(r.Scopes, oidc.ScopeOpenID) {
		return nil, oidc.ErrInvalidScope().WithDescription("ask for openid")
	}
	if r.CodeChallenge == "" || r.CodeChallengeMethod != oidc.CodeChallengeMethodS256 || r.State == "" || r.Nonce == "" {
		return nil, oidc.ErrInvalidRequest().WithDescription("send state, nonce and a code_challenge with S256")
	}
	e := entering{AuthRequest: r, id: p.box.random(), until: p.box.cfg.Now().Add(askLife), issuer: p.issuer}
	p.keep(e.id, e)
	return e, nil
}

func (p *identities) AuthRequestByID(_ context.Context, id string) (op.AuthRequest, error) {
	if e, ok := p.entry(id); ok {
		return e, nil
	}
	return nil, errUnknown
}

func (p *identities) SaveAuthCode(_ context.Context, id, code string) error {
	e, ok := p.entry(id)
	if !ok {
		return errUnknown
	}
	p.forget(id) // its page is done with
	p.keep(code, e)
	return nil
}

// AuthRequestByCode gives a code out once: a wrong verifier or secret ends it too.
func (p *identities) AuthRequestByCode(_ context.Context, code string) (op.AuthRequest, error) {
	e, ok := p.entry(code)
	p.forget(code)
	if !ok || e.person == nil {
		return nil, errUnknown
	}
	return e, nil
}

func (p *identities) DeleteAuthRequest(context.Context, string) error { return nil } // it was, with its code

func (p *identities) CreateAccessToken(_ context.Context, r op.TokenRequest) (string, time.Time, error) {
	e, ok := r.(entering)
	if !ok {
		return "", time.Time{}, errUnknown
	}
	token := p.box.random()
	e.until = p.box.cfg.Now().Add(entryLife)
	p.keep(token, e)
	return token, e.until, nil
}

func (p *identities) SigningKey(context.Context) (op.SigningKey, error) {
	p.box.mu.Lock()
	defer p.box.mu.Unlock()
	return p.keys[len(p.keys)-1], nil
}

func (p *identities) SignatureAlgorithms(context.Context) ([]jose.SignatureAlgorithm, error) {
	return algorithms, nil
}

func (p *identities) KeySet(context.Context) (list []op.Key, _ error) {
	p.box.mu.Lock()
	defer p.box.mu.Unlock()
	for _, k := range p.keys {
		list = append(list, shown{k})
	}
	return list, nil
}

func (p *identities) GetClientByClientID(_ context.Context, id string) (op.Client, error) {
	if id != ClientID {
		return nil, errUnknown
	}
	return client{p}, nil
}

func (p *identities) AuthorizeClientIDSecret(_ context.Context, id, secret string) error {
	if id != ClientID || subtle.ConstantTimeCompare([]byte(secret), []byte(p.box.cfg.IdentitySecret)) != 1 {
		return errUnknown
	}
	return nil
}

// GetKeyByIDAndClientID is asked for by a grant that no client here has.
func (p *identities) GetKeyByIDAndClientID(context.Context, string, string) (*jose.JSONWebKey, error) {
	return nil, errUnknown
}

// SetUserinfoFromScopes is for claims that need no request; there are none.
func (p *identities) SetUserinfoFromScopes(context.Context, *oidc.UserInfo, string, string, []string) error {
	return nil
}

// SetUserinfoFromRequest is what the ID token says of a person.
func (p *identities) SetUserinfoFromRequest(_ context.Context, info *oidc.UserInfo, r op.IDTokenRequest, scopes []string) error {
	info.Subject = r.GetSubject() // or the token would have none
	if e, ok := r.(entering); ok && slices.Contains(scopes, oidc.ScopeProfile) {
		e.claim(info)
	}
	return nil
}

// SetUserinfoFromToken is what userinfo says of the person of an access token.
func (p *identities) SetUserinfoFromToken(_ context.Context, info *oidc.UserInfo, token, _, _ string) error {
	e, ok := p.entry(token)
	if !ok {
		return errUnknown
	}
	info.Subject = e.GetSubject()
	e.claim(info)
	return nil
}

func (p *identities) Health(context.Context) error { return nil }

func (e entering) claim(info *oidc.UserInfo) {
	info.GivenName, info.FamilyName, info.Email = e.person.FirstName, e.person.LastName, e.person.Email
	info.AppendClaims("fiscal_number", "TINIT-"+string(e.person.Code))
}

// acrLevels are the levels that both providers can give.
var acrLevels = []string{"https://www.spid.gov.it/SpidL2", "https://www.spid.gov.it/SpidL3"}

func (e entering) GetACR() string {
	for _, asked := range e.ACRValues {
		if slices.Contains(acrLevels, asked) {
			return asked
		}
	}
	return acrLevels[0]
}

// GetSubject is the person's name at this provider, and means nothing elsewhere.
func (e entering) GetSubject() string {
	if e.person == nil {
		return ""
	}
	sum := sha256.Sum256([]byte(e.issuer + "\n" + string(e.person.Code)))
	return hex.EncodeToString(sum[:16])
}

func (e entering) GetCodeChallenge() *oidc.CodeChallenge {
	return &oidc.CodeChallenge{Challenge: e.CodeChallenge, Method: e.CodeChallengeMethod}
}

func (e entering) GetID() string          { return e.id }
func (e entering) GetAMR() []string       { return nil }
func (e entering) GetAudience() []string  { return []string{e.ClientID} }
func (e entering) GetAuthTime() time.Time { return e.at }
func (e entering) GetClientID() string    { return e.ClientID }
func (e entering) GetNonce() string       { return e.Nonce }
func (e entering) GetScopes() []string    { return e.Scopes }
func (e entering) Done() bool             { return e.person != nil }

// client is the portal, as the provider knows it: an op.Client.
type client struct{ p *identities }

func (c client) GetID() string                       { return ClientID }
func (c client) RedirectURIs() []string              { return []string{c.p.redirect} }
func (c client) PostLogoutRedirectURIs() []string    { return nil }
func (c client) ApplicationType() op.ApplicationType { return op.ApplicationTypeWeb }
func (c client) AuthMethod() oidc.AuthMethod         { return oidc.AuthMethodBasic }
func (c client) ResponseTypes() []oidc.ResponseType {
	return []oidc.ResponseType{oidc.ResponseTypeCode}
}
func (c client) GrantTypes() []oidc.GrantType        { return []oidc.GrantType{oidc.GrantTypeCode} }
func (c client) AccessTokenType() op.AccessTokenType { return op.AccessTokenTypeBearer }
func (c client) IDTokenLifetime() time.Duration      { return entryLife }
func (c client) DevMode() bool                       { return true } // http, on one machine
func (c client) IsScopeAllowed(string) bool          { return false }
func (c client) ClockSkew() time.Duration            { return 0 }
func (c client) IDTokenUserinfoClaimsAssertion() bool {
	return c.p.inToken
}

func (c client) LoginURL(id string) string {
	return c.p.issuer + "/accesso?" + url.Values{"id": {id}}.Encode()
}

func (c client) RestrictAdditionalIdTokenScopes() func([]string) []string { return all }

func (c client) RestrictAdditionalAccessTokenScopes() func([]string) []string { return all }

func all(scopes []string) []string { return scopes }

// controlIdentities is control for an OpenID provider.
func (s *Server) controlIdentities(w http.ResponseWriter, name string, mode Mode) {
	i := slices.IndexFunc(s.identities, func(p *identities) bool { return p.name == name })
	if i < 0 || !slices.Contains(identityModes, mode) {
		fail(w, http.StatusBadRequest, "Bad request", fmt.Sprintf("mode of an OpenID provider is one of %v, where there are people to enter", identityModes))
		return
	}
	s.mu.Lock()
	s.identities[i].mode = mode
	s.mu.Unlock()
	s.cfg.Log.Info("sandbox mode", "psp", name, "mode", string(mode))
	writeJSON(w, map[string]any{"psp": name, "mode": mode})
}
