// SPDX-License-Identifier: Apache-2.0

package oidc

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// Entry is one provider in the file that NODOGATE_OIDC names.
type Entry struct {
	ID        string   `yaml:"id"`   // stands in the redirect address
	Name      string   `yaml:"name"` // stands on the button, after "Entra con"
	Issuer    string   `yaml:"issuer"`
	ClientID  string   `yaml:"client_id"`
	SecretEnv string   `yaml:"client_secret_env"` // the variable that holds the secret
	ACR       []string `yaml:"acr_values"`        // levels of assurance that are enough
	Scopes    []string `yaml:"scopes"`            // empty: openid, profile, email
	// Origins are those that the provider's pages may be on, beside the issuer's.
	Origins []string `yaml:"origins"`
	Claims  Claims   `yaml:"claims"`
}

// Claims are the names of claims; empty ones are the usual ones.
type Claims struct {
	Code      string `yaml:"fiscal_code"`
	FirstName string `yaml:"first_name"`
	LastName  string `yaml:"last_name"`
	Email     string `yaml:"email"`
}

func (e Entry) scopes() []string {
	if len(e.Scopes) > 0 {
		return e.Scopes
	}
	return []string{"openid", "profile", "email"}
}

var (
	idForm = regexp.MustCompile(`^[a-z][a-z0-9-]{0,30}$`)
	// scopeForm is RFC 6749's scope-token, which acr values keep to as well:
	// both are listed with blanks between.
	scopeForm = regexp.MustCompile(`^[!#-\[\]-~]+$`)
)

// Parse reads the file. The error lists every mistake, secrets that are not there
// among them.
func Parse(text []byte, getenv func(string) string, allowPrivate bool) ([]Entry, error) {
	var list []Entry
	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	if err := dec.Decode(&list); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("not a list of providers: %w", err)
	}
	if err := dec.Decode(new(any)); !errors.Is(err, io.EOF) {
		return nil, errors.New("not a list of providers: more than one document")
	}
	if len(list) == 0 {
		return nil, errors.New("it lists no provider")
	}
	var bad []error
	for i, e := range list {
		what := fmt.Sprintf("provider %d", i+1)
		if idForm.MatchString(e.ID) {
			what = "provider " + e.ID
		}
		add := func(err error) { bad = append(bad, fmt.Errorf("%s: %w", what, err)) }
		for _, err := range e.check(allowPrivate) {
			add(err)
		}
		switch {
		case e.SecretEnv == "":
			add(errors.New("client_secret_env is required"))
		case getenv(e.SecretEnv) == "":
			add(fmt.Errorf("%s must hold the client's secret", e.SecretEnv))
		}
		for _, other := range list[:i] {
			if other.ID == e.ID {
				add(errors.New("id is given twice"))
			}
			if other.Name == e.Name {
				add(errors.New("name is given twice"))
			}
		}
	}
	return list, errors.Join(bad...)
}

// check lists what is wrong with an entry by itself.
func (e Entry) check(allowPrivate bool) (bad []error) {
	add := func(format string, args ...any) { bad = append(bad, fmt.Errorf(format, args...)) }
	if !idForm.MatchString(e.ID) {
		add("id must be small letters, digits and hyphens")
	}
	if e.Name == "" || len(e.Name) > 40 || strings.TrimSpace(e.Name) != e.Name {
		add("name must be 1 to 40 characters")
	}
	if e.ClientID == "" {
		add("client_id is required")
	}
	if _, err := origin(e.Issuer, allowPrivate); err != nil {
		add("issuer %w", err)
	} else if strings.ContainsAny(e.Issuer, "?#") {
		add("issuer must have no query and no fragment")
	}
	for _, o := range e.Origins {
		if got, err := origin(o, allowPrivate); err != nil {
			add("origins: each %w", err)
		} else if got != o {
			add("origins: each must be an origin like https://login.example, without a path")
		}
	}
	for _, v := range slices.Concat(e.ACR, e.Scopes) {
		if !scopeForm.MatchString(v) {
			add("acr_values and scopes must be words without blanks")
			break
		}
	}
	if len(e.Scopes) > 0 && !slices.Contains(e.Scopes, "openid") {
		add("scopes must have openid among them")
	}
	return bad
}

// hostForm keeps out of the policy header what would end one of its directives.
var hostForm = regexp.MustCompile(`^[A-Za-z0-9.\-]+(:[0-9]+)?$|^\[[0-9a-fA-F:]+\](:[0-9]+)?$`)

// origin is the origin of an address.
func origin(address string, allowPrivate bool) (string, error) {
	u, err := url.Parse(address)
	if err != nil || !hostForm.MatchString(u.Host) || u.User != nil {
		return "", errors.New("must be an address like https://login.example")
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !allowPrivate) {
		return "", errors.New("must be https")
	}
	return u.Scheme + "://" + u.Host, nil
}

// Allowed are the origins that a browser may be sent to for this provider.
func (e Entry) Allowed() []string {
	list := slices.Clone(e.Origins)
	if o, err := origin(e.Issuer, true); err == nil {
		list = append(list, o)
	}
	slices.Sort(list)
	return slices.Compact(list)
}
