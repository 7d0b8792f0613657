// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	_ "embed"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

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

const (
	codeLife  = time.Minute
	entryLife = 5 * time.Minute // of what a code is good for
	// identityKey names the one key that tokens are signed with.
	identityKey = "prova-1"
)

// identities is one OpenID provider (OpenID Connect Core 1.0, code flow with
// PKCE), as far as a client needs one that is right: what it does not speak it
// refuses.
type identities struct {
	id, name string
	issuer   string
	redirect string
	key      *ecdsa.PrivateKey
	// inToken has the ID token carry the person's claims; without it they are in
	// userinfo only, as SPID's are.
	inToken bool

	codes  map[string]consent // guarded by Server.mu
	tokens map[string]consent // of userinfo; guarded by Server.mu
}

// consent is a person who said yes to one request.
type consent struct {
	person           Person
	nonce, challenge string
	acr              string
	at, until        time.Time
}

// addIdentities plays SPID and CIE.
func (s *Server) addIdentities() error {
	if len(s.cfg.People) == 0 {
		return nil
	}
	if s.cfg.Portal == nil || s.cfg.IdentitySecret == "" {
		return errors.New("sandbox: with People, Portal and IdentitySecret are required")
	}
	for _, p := range []*identities{{id: "spid", name: "SPID"}, {id: "cie", name: "CIE", inToken: true}} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return fmt.Errorf("sandbox: %w", err)
		}
		p.key = key
		p.issuer = s.cfg.URL.JoinPath("oidc", p.id).String()
		p.redirect = s.cfg.Portal.JoinPath("accesso", "identita", p.id).String()
		p.codes, p.tokens = make(map[string]consent), make(map[string]consent)
		s.identities = append(s.identities, p)
		for route, h := range map[string]func(*identities, http.ResponseWriter, *http.Request){
			"GET /.well-known/openid-configuration": s.showMetadata,
			"GET /jwks":                             s.showKeys,
			"GET /authorize":                        s.showPeople,
			"POST /authorize":                       s.pressPerson,
			"POST /token":                           s.postCode,
			"GET /userinfo":                         s.showPerson,
		} {
			method, path, _ := strings.Cut(route, " ")
			s.mux.HandleFunc(method+" /oidc/"+p.id+path, func(w http.ResponseWriter, r *http.Request) { h(p, w, r) })
		}
	}
	return nil
}

func (s *Server) showMetadata(p *identities, w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, map[string]any{
		"issuer": p.issuer, "authorization_endpoint": p.issuer + "/authorize", "token_endpoint": p.issuer + "/token",
		"userinfo_endpoint": p.issuer + "/userinfo", "jwks_uri": p.issuer + "/jwks",
		"response_types_supported": []string{"code"}, "grant_types_supported": []string{"authorization_code"}, "subject_types_supported": []string{"pairwise"},
		"id_token_signing_alg_values_supported": []string{"ES256"}, "code_challenge_methods_supported": []string{"S256"},
		"token_endpoint_auth_methods_supported": []string{"client_secret_basic", "client_secret_post"}, "scopes_supported": []string{"openid", "profile", "email"},
		"acr_values_supported": acrLevels, "claims_supported": []string{"sub", "fiscal_number", "given_name", "family_name", "email"},
	})
}

// acrLevels are the levels that both providers can give.
var acrLevels = []string{"https://www.spid.gov.it/SpidL2", "https://www.spid.gov.it/SpidL3"}

func (s *Server) showKeys(p *identities, w http.ResponseWriter, _ *http.Request) {
	point, err := p.key.PublicKey.Bytes() // 4, X, Y
	if err != nil || len(point) != 65 {
		panic("sandbox: no point of P-256")
	}
	writeJSON(w, map[string]any{"keys": []map[string]string{{
		"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": identityKey,
		"x": base64.RawURLEncoding.EncodeToString(point[1:33]), "y": base64.RawURLEncoding.EncodeToString(point[33:]),
	}}})
}

// challengeLength is that of a SHA-256 in base64url.
const challengeLength = 43

// authorization checks a request. Where it cannot be trusted to say where its
// answer goes, it is answered here, and back is nil.
func (s *Server) authorization(p *identities, w http.ResponseWriter, r *http.Request) (q url.Values, back *url.URL) {
	q = r.URL.Query()
	if q.Get("client_id") != ClientID || q.Get("redirect_uri") != p.redirect {
		http.Error(w, "Richiesta non valida: client_id o redirect_uri sconosciuti.", http.StatusBadRequest)
		return nil, nil
	}
	back, err := url.Parse(p.redirect)
	if err != nil {
		panic("sandbox: " + err.Error()) // we made it
	}
	why := ""
	switch {
	case q.Get("response_type") != "code":
		why = "unsupported_response_type"
	case !slices.Contains(strings.Fields(q.Get("scope")), "openid"):
		why = "invalid_scope"
	case q.Get("code_challenge_method") != "S256" || len(q.Get("code_challenge")) != challengeLength || q.Get("state") == "" || q.Get("nonce") == "":
		why = "invalid_request"
	}
	if why != "" {
		answer(w, r, back, url.Values{"error": {why}, "state": {q.Get("state")}})
		return nil, nil
	}
	return q, back
}

func answer(w http.ResponseWriter, r *http.Request, back *url.URL, values url.Values) {
	to := *back
	to.RawQuery = values.Encode()
	http.Redirect(w, r, to.String(), http.StatusSeeOther)
}

var (
	//go:embed oidc.html
	peopleText string

	peopleTemplate = template.Must(template.New("people").Parse(peopleText))
)

func (s *Server) showPeople(p *identities, w http.ResponseWriter, r *http.Request) {
	if _, back := s.authorization(p, w, r); back != nil {
		s.render(w, http.StatusOK, peopleTemplate, map[string]any{"Name": p.name, "People": s.cfg.People})
	}
}

// pressPerson is a person who says yes, or nobody who says no.
func (s *Server) pressPerson(p *identities, w http.ResponseWriter, r *http.Request) {
	q, back := s.authorization(p, w, r)
	if back == nil {
		return
	}
	if r.PostFormValue("azione") == buttonCancel {
		answer(w, r, back, url.Values{"error": {"access_denied"}, "state": {q.Get("state")}})
		return
	}
	i, err := strconv.Atoi(r.PostFormValue("persona"))
	if err != nil || i < 0 || i >= len(s.cfg.People) {
		noButton(w)
		return
	}
	now := s.cfg.Now()
	c := consent{person: s.cfg.People[i], nonce: q.Get("nonce"), challenge: q.Get("code_challenge"), acr: acrLevels[0], at: now, until: now.Add(codeLife)}
	for _, asked := range strings.Fields(q.Get("acr_values")) {
		if slices.Contains(acrLevels, asked) {
			c.acr = asked
			break
		}
	}
	code := s.random()
	s.mu.Lock()
	keepConsent(p.codes, code, c, now)
	s.mu.Unlock()
	answer(w, r, back, url.Values{"code": {code}, "state": {q.Get("state")}, "iss": {p.issuer}})
}

// keepConsent forgets what is over, and takes no more than is sane. Called with
// Server.mu held.
func keepConsent(in map[string]consent, key string, c consent, now time.Time) {
	for k, old := range in {
		if !now.Before(old.until) || len(in) >= maxPages {
			delete(in, k)
		}
	}
	in[key] = c
}

// oauthError is an error of the token endpoint (RFC 6749, 5.2).
func oauthError(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": code}) // the peer is gone: its loss
}

// postCode gives tokens for a code, once.
func (s *Server) postCode(p *identities, w http.ResponseWriter, r *http.Request) {
	id, secret, basic := r.BasicAuth()
	if basic {
		id, _ = url.QueryUnescape(id)
		secret, _ = url.QueryUnescape(secret)
	} else {
		id, secret = r.PostFormValue("client_id"), r.PostFormValue("client_secret")
	}
	if id != ClientID || subtle.ConstantTimeCompare([]byte(secret), []byte(s.cfg.IdentitySecret)) != 1 {
		w.Header().Set("WWW-Authenticate", `Basic realm="sandbox"`)
		oauthError(w, http.StatusUnauthorized, "invalid_client")
		return
	}
	if r.PostFormValue("grant_type") != "authorization_code" {
		oauthError(w, http.StatusBadRequest, "unsupported_grant_type")
		return
	}
	now := s.cfg.Now()
	code := r.PostFormValue("code")
	s.mu.Lock()
	c, known := p.codes[code]
	delete(p.codes, code) // a wrong verifier ends it too
	s.mu.Unlock()
	sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	if !known || !now.Before(c.until) || r.PostFormValue("redirect_uri") != p.redirect || base64.RawURLEncoding.EncodeToString(sum[:]) != c.challenge {
		oauthError(w, http.StatusBadRequest, "invalid_grant")
		return
	}
	access := s.random()
	c.until = now.Add(entryLife)
	s.mu.Lock()
	keepConsent(p.tokens, access, c, now)
	s.mu.Unlock()

	half := sha256.Sum256([]byte(access))
	claims := jwt.MapClaims{
		"iss": p.issuer, "aud": ClientID, "sub": p.subject(c.person), "iat": now.Unix(), "exp": c.until.Unix(), "auth_time": c.at.Unix(),
		"nonce": c.nonce, "acr": c.acr, "at_hash": base64.RawURLEncoding.EncodeToString(half[:16]),
	}
	if p.inToken {
		c.person.claim(claims)
	}
	token := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
	token.Header["kid"] = identityKey
	signed, err := token.SignedString(p.key)
	if err != nil {
		s.cfg.Log.Error("sandbox: sign an ID token", "error", err.Error())
		oauthError(w, http.StatusInternalServerError, "server_error")
		return
	}
	writeJSON(w, map[string]any{"access_token": access, "token_type": "Bearer", "expires_in": int(entryLife.Seconds()), "id_token": signed})
}

// subject is the person's name at this provider, and means nothing elsewhere.
func (p *identities) subject(who Person) string {
	sum := sha256.Sum256([]byte(p.issuer + "\n" + string(who.Code)))
	return hex.EncodeToString(sum[:16])
}

func (who Person) claim(claims map[string]any) {
	claims["fiscal_number"] = "TINIT-" + string(who.Code)
	claims["given_name"], claims["family_name"], claims["email"] = who.FirstName, who.LastName, who.Email
}

// showPerson is the userinfo endpoint.
func (s *Server) showPerson(p *identities, w http.ResponseWriter, r *http.Request) {
	token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	s.mu.Lock()
	c, known := p.tokens[token]
	s.mu.Unlock()
	if !bearer || !known || !s.cfg.Now().Before(c.until) {
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		oauthError(w, http.StatusUnauthorized, "invalid_token")
		return
	}
	claims := map[string]any{"sub": p.subject(c.person)}
	c.person.claim(claims)
	writeJSON(w, claims)
}
