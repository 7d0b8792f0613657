// SPDX-License-Identifier: Apache-2.0

package oidc

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/nodogate/nodogate/gateway"
)

func TestFinish(t *testing.T) {
	t.Parallel()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := curve.PublicKey.Bytes() // 4, X, Y
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 27, 10, 0, 0, 0, time.UTC)
	code := "RSSMRA80A01H501"
	code += string(gateway.FiscalCodeCheck(code))
	tests := []struct {
		name   string
		change func(c jwt.MapClaims)
		method jwt.SigningMethod
		key    any
		info   map[string]any
		broken string // a path that answers 503, or with rubbish after a blank
		want   error
	}{
		{name: "right"},
		{name: "code without a prefix", change: func(c jwt.MapClaims) { c["fiscal_number"] = code }},
		{name: "code in small letters", change: func(c jwt.MapClaims) { c["fiscal_number"] = " tinit-" + strings.ToLower(code) }},
		{name: "prefix of another country", change: func(c jwt.MapClaims) { c["fiscal_number"] = "TINFR-" + code }, want: ErrCode},
		{name: "PS256", method: jwt.SigningMethodPS256},
		{name: "ES256", method: jwt.SigningMethodES256, key: curve},
		{name: "ES256 by the RSA key's name", method: jwt.SigningMethodES256, key: curve, change: func(c jwt.MapClaims) { c["kid"] = "1" }, want: ErrToken},
		{name: "issued a minute ahead", change: func(c jwt.MapClaims) { c["iat"] = now.Add(time.Minute).Unix() }},
		{name: "not before an hour from now", change: func(c jwt.MapClaims) { c["nbf"] = now.Add(time.Hour).Unix() }, want: ErrToken},
		{name: "no expiry", change: func(c jwt.MapClaims) { delete(c, "exp") }, want: ErrToken},
		{name: "authorised for another", change: func(c jwt.MapClaims) { c["azp"] = "x" }, want: ErrToken},
		{name: "token endpoint away", broken: "/t", want: ErrAway},
		{name: "token endpoint a web page", broken: "/t rubbish", want: ErrAway},
		{name: "keys away", broken: "/k", want: ErrAway},
		{name: "keys a web page", broken: "/k rubbish", want: ErrAway},
		{name: "metadata away", broken: "/.well-known/openid-configuration", want: ErrAway},
		{name: "metadata a web page", broken: "/.well-known/openid-configuration rubbish", want: ErrAway},
		{name: "userinfo away", broken: "/u", change: func(c jwt.MapClaims) { delete(c, "fiscal_number") }, want: ErrAway},
		{name: "userinfo a web page", broken: "/u rubbish", change: func(c jwt.MapClaims) { delete(c, "fiscal_number") }, want: ErrAway},
		{name: "code in userinfo", change: func(c jwt.MapClaims) { delete(c, "fiscal_number") }, info: map[string]any{"sub": "s", "fiscalNumber": code}},
		{name: "userinfo of another", change: func(c jwt.MapClaims) { delete(c, "fiscal_number") }, info: map[string]any{"sub": "t", "fiscalNumber": code}, want: ErrToken},
		{name: "no code", change: func(c jwt.MapClaims) { delete(c, "fiscal_number") }, info: map[string]any{"sub": "s"}, want: ErrCode},
		{name: "malformed code", change: func(c jwt.MapClaims) { c["fiscal_number"] = "TINIT-" + code[:15] + "0" }, want: ErrCode},
		{name: "code of an organisation", change: func(c jwt.MapClaims) { c["fiscal_number"] = "80014480828" }, want: ErrCode},
		{name: "code is a number", change: func(c jwt.MapClaims) { c["fiscal_number"] = 1 }, want: ErrCode},
		{name: "another nonce", change: func(c jwt.MapClaims) { c["nonce"] = "x" }, want: ErrToken},
		{name: "no nonce", change: func(c jwt.MapClaims) { delete(c, "nonce") }, want: ErrToken},
		{name: "another audience", change: func(c jwt.MapClaims) { c["aud"] = "x" }, want: ErrToken},
		{name: "for others too", change: func(c jwt.MapClaims) { c["aud"] = []string{"client", "x"} }, want: ErrToken},
		{name: "another issuer", change: func(c jwt.MapClaims) { c["iss"] = "https://x.example" }, want: ErrToken},
		{name: "expired", change: func(c jwt.MapClaims) { c["exp"] = now.Add(-time.Second).Unix() }, want: ErrToken},
		{name: "of the future", change: func(c jwt.MapClaims) { c["iat"] = now.Add(time.Hour).Unix() }, want: ErrToken},
		{name: "no subject", change: func(c jwt.MapClaims) { delete(c, "sub") }, want: ErrToken},
		{name: "level too low", change: func(c jwt.MapClaims) { c["acr"] = "L1" }, want: ErrLevel},
		{name: "no level", change: func(c jwt.MapClaims) { delete(c, "acr") }, want: ErrLevel},
		{name: "unsigned", method: jwt.SigningMethodNone, key: jwt.UnsafeAllowNoneSignatureType, want: ErrToken},
		{name: "HS256 with the public key", method: jwt.SigningMethodHS256, key: public, want: ErrToken},
		{name: "an algorithm not listed", method: jwt.SigningMethodRS512, want: ErrToken},
		{name: "another's key", key: other, want: ErrToken},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var server *httptest.Server
			server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				if path, rubbish, _ := strings.Cut(test.broken, " "); path == r.URL.Path {
					if rubbish == "" {
						w.WriteHeader(http.StatusServiceUnavailable)
					}
					fmt.Fprintf(w, "<html>%s code %s", rubbish, code)
					return
				}
				var out any
				switch r.URL.Path {
				case "/.well-known/openid-configuration":
					out = map[string]any{"issuer": server.URL, "authorization_endpoint": server.URL + "/a", "token_endpoint": server.URL + "/t", "jwks_uri": server.URL + "/k", "userinfo_endpoint": server.URL + "/u"}
				case "/k":
					out = map[string]any{"keys": []any{map[string]string{"kty": "RSA", "kid": "1", "n": base64.RawURLEncoding.EncodeToString(key.N.Bytes()), "e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(key.E)).Bytes())},
						map[string]string{"kty": "EC", "crv": "P-256", "kid": "2", "x": base64.RawURLEncoding.EncodeToString(point[1:33]), "y": base64.RawURLEncoding.EncodeToString(point[33:])}}}
				case "/t":
					c := jwt.MapClaims{"iss": server.URL, "aud": "client", "sub": "s", "nonce": "nonce", "acr": "L2", "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(), "fiscal_number": "TINIT-" + code, "given_name": "Mario"}
					if test.change != nil {
						test.change(c)
					}
					method, with := test.method, test.key
					if method == nil {
						method = jwt.SigningMethodRS256
					}
					if with == nil {
						with = key
					}
					token := jwt.NewWithClaims(method, c)
					if token.Header["kid"] = "1"; with == any(curve) {
						token.Header["kid"] = "2"
					}
					if kid, ok := c["kid"]; ok {
						token.Header["kid"] = kid
					}
					signed, err := token.SignedString(with)
					if err != nil {
						t.Error(err)
					}
					out = map[string]string{"access_token": "a", "token_type": "Bearer", "id_token": signed}
				case "/u":
					out = test.info
				}
				if err := json.NewEncoder(w).Encode(out); err != nil {
					t.Error(err)
				}
			}))
			t.Cleanup(server.Close)
			p, err := New(Settings{Entry: Entry{ID: "spid", Name: "SPID", Issuer: server.URL, ClientID: "client", ACR: []string{"L2"}}, Secret: "s", Redirect: "http://x", AllowPrivate: true, Now: func() time.Time { return now }})
			if err != nil {
				t.Fatal(err)
			}
			who, err := p.Finish(t.Context(), "code", "nonce", strings.Repeat("v", 43))
			if !errors.Is(err, test.want) || err != nil && strings.Contains(err.Error(), code[:6]) {
				t.Fatalf("error %v, want %v", err, test.want)
			}
			if err == nil && (string(who.Code) != code || who.Subject != "s" || who.Issuer != server.URL) {
				t.Error("another person")
			}
		})
	}
}

func TestProviderAway(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	p, err := New(Settings{Entry: Entry{ID: "spid", Name: "SPID", Issuer: server.URL, ClientID: "client"}, Secret: "s", Redirect: "http://x", AllowPrivate: true, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := p.Start(t.Context(), "s", "n", strings.Repeat("v", 43)); !errors.Is(err, ErrAway) {
			t.Errorf("%v", err)
		}
		server.Close() // idempotent
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	env := func(name string) string { return map[string]string{"S": "x"}[name] }
	const good = "- {id: spid, name: SPID, issuer: 'https://login.example', client_id: c, client_secret_env: S}\n"
	if list, err := Parse([]byte(good), env, false); err != nil || len(list) != 1 {
		t.Errorf("%v, %v", list, err)
	}
	for text, want := range map[string]string{
		"": "no provider", "- {ids: x}": "ids", good + good: "twice",
		strings.Replace(good, "https", "http", 1):                      "https",
		strings.Replace(good, "_env: S", "_env: T", 1):                 "T must hold",
		strings.Replace(good, "login.example", "a.example; x", 1):      "issuer",
		strings.Replace(good, "id: spid", "id: S/", 1):                 "id must be",
		strings.Replace(good, "_env: S", "_env: S, scopes: [mail]", 1): "openid",
	} {
		if _, err := Parse([]byte(text), env, false); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
