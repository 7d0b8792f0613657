// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Client is a program of a school's office, or of an operator, that uses the
// REST API.
type Client struct {
	ID        string
	Name      string
	School    SchoolCode // empty for an operator's client
	Scopes    []string
	Secret    [sha256.Size]byte // SHA-256 of the secret
	CreatedAt time.Time
	RevokedAt time.Time // zero while it may be used
	// Version counts its secrets: a token of an earlier one is good no more.
	Version int64
}

// The scopes a client may hold (contract). ScopeAdmin is the operator's: it
// creates schools and sees all.
const (
	ScopeNoticesRead   = "notices:read"
	ScopeNoticesWrite  = "notices:write"
	ScopeReceiptsRead  = "receipts:read"
	ScopeCartsWrite    = "carts:write"
	ScopeRegistryRead  = "registry:read"
	ScopeRegistryWrite = "registry:write"

	ScopeCampaignsRead    = "campaigns:read"
	ScopeCampaignsWrite   = "campaigns:write"
	ScopeCampaignsApprove = "campaigns:approve"

	ScopeRefundsRead   = "refunds:read"
	ScopeRefundsWrite  = "refunds:write"
	ScopeWebhooksRead  = "webhooks:read"
	ScopeWebhooksWrite = "webhooks:write"
	ScopeExportsRead   = "exports:read"
	ScopeAuditRead     = "audit:read"
	ScopeAdmin         = "admin"
)

// Scopes are all scopes that can be given to a school's client, those of routes
// still to come included.
var Scopes = []string{
	ScopeNoticesRead, ScopeNoticesWrite, ScopeReceiptsRead, ScopeCartsWrite,
	ScopeRegistryRead, ScopeRegistryWrite, ScopeCampaignsRead, ScopeCampaignsWrite, ScopeCampaignsApprove,
	ScopeRefundsRead, ScopeRefundsWrite, "reconciliation:read", "reconciliation:write",
	ScopeWebhooksRead, ScopeWebhooksWrite, ScopeExportsRead, ScopeAuditRead,
}

// Admin says whether the client is an operator's.
func (c *Client) Admin() bool { return c.School == "" }

// May says whether the client holds the scope.
func (c *Client) May(scope string) bool { return c.Admin() || slices.Contains(c.Scopes, scope) }

// AddClient makes a client and its secret, which is shown this once. A client
// without a school is an operator's.
func (s *Service) AddClient(ctx context.Context, actor Actor, school SchoolCode, name string, scopes []string) (Client, string, error) {
	var bad Invalid
	if name = clean(name); name == "" || utf8.RuneCountInString(name) > 70 {
		bad.Add("name", "length", "give a name of 1 to 70 characters")
	}
	switch {
	case school == "":
		scopes = []string{ScopeAdmin}
	case len(scopes) == 0:
		bad.Add("scopes", "required", "give one or more of "+strings.Join(Scopes, " "))
	default:
		for _, sc := range scopes {
			if !slices.Contains(Scopes, sc) {
				bad.Add("scopes", "unknown", "the scopes are "+strings.Join(Scopes, " "))
				break
			}
		}
	}
	if err := bad.Err(); err != nil {
		return Client{}, "", err
	}
	secret, err := s.newSecret()
	if err != nil {
		return Client{}, "", err
	}
	c := Client{
		ID: "ngc_" + s.newID(), Name: name, School: school, Scopes: scopes,
		Secret: sha256.Sum256([]byte(secret)), CreatedAt: s.clock.Now(), Version: 1,
	}
	err = s.store.Update(ctx, func(tx Tx) error {
		if school != "" {
			if _, err := tx.School(school); err != nil {
				return fmt.Errorf("school %s: %w", school, err)
			}
		}
		if err := tx.InsertClient(c); err != nil {
			return err
		}
		return tx.AppendAudit(Audit{School: school, Actor: actor, Action: "client.created", Object: c.ID, At: c.CreatedAt})
	})
	return c, secret, err
}

func (s *Service) newSecret() (string, error) {
	var b [32]byte
	if _, err := io.ReadFull(s.random, b[:]); err != nil {
		return "", fmt.Errorf("client secret: %w", err)
	}
	return "ngs_" + base64.RawURLEncoding.EncodeToString(b[:]), nil
}

// RotateClient gives a client a new secret, which is shown this once. The one
// before, and the tokens it got, end at once; ErrNotFound for a revoked client
// too.
func (s *Service) RotateClient(ctx context.Context, actor Actor, id string) (c Client, secret string, err error) {
	if secret, err = s.newSecret(); err != nil {
		return c, "", err
	}
	err = s.store.Update(ctx, func(tx Tx) error {
		if err := tx.RotateClient(id, sha256.Sum256([]byte(secret))); err != nil {
			return err
		}
		if c, err = tx.Client(id); err != nil {
			return err
		}
		return s.audited(tx, actor, c.School, "client.rotated", id, s.clock.Now())
	})
	return c, secret, err
}

// AuthenticateClient checks an id and secret; ErrCredentials for whatever is
// wrong, revocation included.
func (s *Service) AuthenticateClient(ctx context.Context, id, secret string) (Client, error) {
	c, err := s.Client(ctx, id)
	if err != nil && !isNotFound(err) {
		return Client{}, err
	}
	sum := sha256.Sum256([]byte(secret))
	if subtle.ConstantTimeCompare(sum[:], c.Secret[:]) != 1 || err != nil || !c.RevokedAt.IsZero() {
		return Client{}, ErrCredentials
	}
	return c, nil
}

// Client finds a client, revoked ones too; ErrNotFound.
func (s *Service) Client(ctx context.Context, id string) (Client, error) {
	var c Client
	err := s.store.View(ctx, func(tx Tx) (err error) {
		c, err = tx.Client(id)
		return err
	})
	return c, err
}

// Audits lists the audit trail of a school, newest first.
func (s *Service) Audits(ctx context.Context, school SchoolCode, f AuditFilter) ([]Audit, error) {
	var list []Audit
	err := s.store.View(ctx, func(tx Tx) (err error) {
		list, err = tx.Audits(school, f)
		return err
	})
	return list, err
}

// Clients lists all clients, the newest first.
func (s *Service) Clients(ctx context.Context) ([]Client, error) {
	var list []Client
	err := s.store.View(ctx, func(tx Tx) (err error) {
		list, err = tx.Clients()
		return err
	})
	return list, err
}

// RevokeClient ends a client at once; ErrNotFound.
func (s *Service) RevokeClient(ctx context.Context, actor Actor, id string) error {
	return s.store.Update(ctx, func(tx Tx) error {
		c, err := tx.Client(id)
		if err != nil {
			return err
		}
		if !c.RevokedAt.IsZero() {
			return nil
		}
		now := s.clock.Now()
		if err := tx.RevokeClient(id, now); err != nil {
			return err
		}
		return tx.AppendAudit(Audit{School: c.School, Actor: actor, Action: "client.revoked", Object: id, At: now})
	})
}
