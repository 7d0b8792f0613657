// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"net/url"
	"os"
	"slices"
	"time"

	"github.com/nodogate/nodogate/connectors/sandbox"
	"github.com/nodogate/nodogate/gateway/oidc"
	"github.com/nodogate/nodogate/gateway/portal"
)

// identityEntries are the OpenID providers of the file; none without one.
func (cfg config) identityEntries(getenv func(string) string) ([]oidc.Entry, error) {
	if cfg.OIDC == "" {
		return cfg.identities, nil
	}
	text, err := os.ReadFile(cfg.OIDC)
	if err != nil {
		return nil, fmt.Errorf("NODOGATE_OIDC: %w", err)
	}
	list, err := oidc.Parse(text, getenv, cfg.AllowPrivate)
	if err != nil {
		return nil, fmt.Errorf("NODOGATE_OIDC %s: %w", cfg.OIDC, err)
	}
	return list, nil
}

// newIdentities are the providers for the portal, and the origins that a form
// which leads to one of them ends on.
func (n *node) newIdentities(getenv func(string) string) (list []portal.IdentityProvider, origins []string, err error) {
	entries, err := n.cfg.identityEntries(getenv)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		p, err := oidc.New(oidc.Settings{
			Entry: e, Secret: getenv(e.SecretEnv), Redirect: n.public.JoinPath("accesso", "identita", e.ID).String(),
			AllowPrivate: n.cfg.AllowPrivate, Now: n.clock.Now,
		})
		if err != nil {
			return nil, nil, fmt.Errorf("NODOGATE_OIDC: %w", err)
		}
		list = append(list, p)
		origins = append(origins, e.Allowed()...)
	}
	slices.Sort(origins)
	return list, slices.Compact(origins), nil
}

// demoIdentities are SPID and CIE as the sandbox plays them.
func demoIdentities(sandboxURL *url.URL) []oidc.Entry {
	var list []oidc.Entry
	for _, p := range [][2]string{{"spid", "SPID"}, {"cie", "CIE"}} {
		list = append(list, oidc.Entry{
			ID: p[0], Name: p[1], Issuer: sandboxURL.JoinPath("oidc", p[0]).String(), ClientID: sandbox.ClientID,
			SecretEnv: "DEMO_OIDC_SECRET", ACR: []string{"https://www.spid.gov.it/SpidL2"},
		})
	}
	return list
}

// demoPeople can enter with SPID and CIE in the demo, and have App IO, where Lucia
// wants no messages. Sara has no pupil.
func demoPeople() []sandbox.Person {
	var list []sandbox.Person
	for _, p := range []person{mario, lucia, {"Sara", "Neri", time.Date(1990, 3, 8, 0, 0, 0, 0, time.UTC), true, "E202"}} {
		list = append(list, sandbox.Person{Code: p.code(), FirstName: p.first, LastName: p.last, Email: mailOf(p), App: true, Muted: p == lucia})
	}
	return list
}
