// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/nodogate/nodogate/gateway"
)

func (h *handlers) ListClients(ctx context.Context, r ListClientsRequestObject) (ListClientsResponseObject, error) {
	ctx, _ = begin(ctx)
	after, err := h.position("clients", r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	all, err := h.svc.Clients(ctx)
	if err != nil {
		return nil, err
	}
	position := func(c gateway.Client) string { return fmt.Sprintf("%016x %s", c.CreatedAt.UnixMicro(), c.ID) }
	slices.SortFunc(all, func(a, b gateway.Client) int { return strings.Compare(position(b), position(a)) })
	all = slices.DeleteFunc(all, func(c gateway.Client) bool {
		return after != "" && position(c) >= after || r.Params.School != "" && string(c.School) != r.Params.School
	})
	items, next := page(h, "clients", all, pageSize(r.Params.Limit), position)
	out := ListClients200JSONResponse{Items: make([]APIClient, len(items)), NextCursor: next}
	for i, c := range items {
		out.Items[i] = clientOf(c)
	}
	return out, nil
}

func (h *handlers) CreateClient(ctx context.Context, r CreateClientRequestObject) (CreateClientResponseObject, error) {
	ctx, k := begin(ctx)
	b := r.Body
	if b.School == "" && len(b.Scopes) > 0 {
		return nil, wrong("scopes", "unknown", "an operator's client holds every scope: leave this out, or name a school")
	}
	c, secret, err := h.svc.AddClient(ctx, k.caller.actor(), gateway.SchoolCode(b.School), b.Name, b.Scopes)
	if err != nil {
		return nil, err
	}
	return CreateClient201JSONResponse{APISecret{ClientID: c.ID, ClientSecret: secret}, CreateClient201ResponseHeaders{"/api/v1/clients"}}, nil
}

func (h *handlers) RotateClient(ctx context.Context, r RotateClientRequestObject) (RotateClientResponseObject, error) {
	ctx, k := begin(ctx)
	c, secret, err := h.svc.RotateClient(ctx, k.caller.actor(), r.ID)
	if err != nil {
		return nil, err
	}
	return RotateClient200JSONResponse{ClientID: c.ID, ClientSecret: secret}, nil
}

func (h *handlers) RevokeClient(ctx context.Context, r RevokeClientRequestObject) (RevokeClientResponseObject, error) {
	ctx, k := begin(ctx)
	return RevokeClient204Response{}, h.svc.RevokeClient(ctx, k.caller.actor(), r.ID)
}

func clientOf(c gateway.Client) APIClient {
	scopes := c.Scopes
	if scopes == nil {
		scopes = []string{}
	}
	return APIClient{ClientID: c.ID, Name: c.Name, School: text(c.School), Scopes: scopes, CreatedAt: c.CreatedAt, RevokedAt: instant(c.RevokedAt)}
}
