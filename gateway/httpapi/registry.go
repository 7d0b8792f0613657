// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nodogate/nodogate/gateway"
)

// registryIDs checks ids of an address, by name: a person's code in one is
// refused before it is looked for.
func registryIDs(pairs ...string) error {
	for i := 0; i < len(pairs); i += 2 {
		if err := gateway.CheckRegistryID(pairs[i], pairs[i+1]); err != nil {
			return err
		}
	}
	return nil
}

// sameID refuses a body that names another thing than its address.
func sameID(body, path string) error {
	if body != "" && body != path {
		return wrong("id", "unknown", "give the id of the address, or leave it out")
	}
	return nil
}

// tagOf is the ETag of what has no version: of all that is shown of it.
func tagOf(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic("httpapi: " + err.Error()) // texts always marshal
	}
	sum := sha256.Sum256(b)
	return strconv.Quote(base64.RawURLEncoding.EncodeToString(sum[:15]))
}

// unchanged is what If-Match asks of the thing that is there; nil: it is not.
func unchanged[T, V any](match string, show func(T) V) func(*T) error {
	if match == "" {
		return nil
	}
	return func(old *T) error {
		if old == nil || !matches(match, tagOf(show(*old))) {
			return problemStale
		}
		return nil
	}
}

func (h *handlers) PutPupil(ctx context.Context, r PutPupilRequestObject) (PutPupilResponseObject, error) {
	ctx, k := begin(ctx)
	if err := registryIDs("pupil", r.Pupil); err != nil {
		return nil, err
	}
	b := r.Body
	if err := sameID(b.ID, r.Pupil); err != nil {
		return nil, err
	}
	in := gateway.NewPupil{ID: r.Pupil, Code: b.FiscalCode, FirstName: b.FirstName, LastName: b.LastName, Class: b.Class, SchoolYear: b.SchoolYear, Kind: b.Kind}
	if b.Payers != nil {
		in.Payers = []gateway.NewPayer{}
	}
	for _, y := range b.Payers {
		in.Payers = append(in.Payers, newPayer(y, y.ID))
	}
	rec, created, err := h.svc.Enrol(ctx, k.caller.actor(), gateway.SchoolCode(r.Cf), in, unchanged(r.Params.IfMatch, pupilOf))
	if err != nil {
		return nil, err
	}
	p := pupilOf(rec)
	if created {
		return PutPupil201JSONResponse{p, PutPupil201ResponseHeaders{tagOf(p), "/api/v1/schools/" + r.Cf + "/pupils/" + p.ID}}, nil
	}
	return PutPupil200JSONResponse{p, PutPupil200ResponseHeaders{tagOf(p)}}, nil
}

func newPayer(y NewRegistryPayer, id string) gateway.NewPayer {
	return gateway.NewPayer{
		ID: id, Code: y.FiscalCode, FirstName: y.FirstName, LastName: y.LastName, Email: y.Email, Language: y.Language, Relation: y.Relation,
	}
}

func (h *handlers) GetPupil(ctx context.Context, r GetPupilRequestObject) (GetPupilResponseObject, error) {
	ctx, k := begin(ctx)
	if err := registryIDs("pupil", r.Pupil); err != nil {
		return nil, err
	}
	rec, err := h.svc.Pupil(ctx, k.caller.actor(), gateway.SchoolCode(r.Cf), r.Pupil)
	if err != nil {
		return nil, err
	}
	p := pupilOf(rec)
	return GetPupil200JSONResponse{p, GetPupil200ResponseHeaders{tagOf(p)}}, nil
}

func (h *handlers) ListPupils(ctx context.Context, r ListPupilsRequestObject) (ListPupilsResponseObject, error) {
	p := r.Params
	f := gateway.PupilFilter{Class: p.Class, SchoolYear: p.SchoolYear, Kind: p.Kind, Query: p.Q}
	out, err := h.listPupils(ctx, r.Cf, f, p.Limit, p.Cursor)
	return ListPupils200JSONResponse{PupilPageJSONResponse(out)}, err
}

func (h *handlers) SearchPupils(ctx context.Context, r SearchPupilsRequestObject) (SearchPupilsResponseObject, error) {
	code, err := gateway.ParseFiscalCode(r.Body.FiscalCode)
	if err != nil {
		return nil, wrong("fiscal_code", "format", "give a codice fiscale of 16 characters, 11 digits, or ANONIMO")
	}
	out, err := h.listPupils(ctx, r.Cf, gateway.PupilFilter{Code: code}, r.Params.Limit, r.Params.Cursor)
	return SearchPupils200JSONResponse{PupilPageJSONResponse(out)}, err
}

func (h *handlers) listPupils(ctx context.Context, cf string, f gateway.PupilFilter, limit int, cursor string) (out PupilPage, err error) {
	ctx, k := begin(ctx)
	list := "pupils " + cf
	after, err := h.position(list, cursor)
	if err != nil {
		return out, err
	}
	if after != "" {
		at, id, _ := strings.Cut(after, " ")
		us, err := strconv.ParseInt(at, 10, 64)
		if err != nil {
			return out, err // we signed it
		}
		f.Before, f.BeforeID = time.UnixMicro(us).UTC(), id
	}
	limit = pageSize(limit)
	f.Limit = limit + 1
	pupils, err := h.svc.Pupils(ctx, k.caller.actor(), gateway.SchoolCode(cf), f)
	if err != nil {
		return out, err
	}
	pupils, next := page(h, list, pupils, limit, func(p gateway.PupilRecord) string { return fmt.Sprintf("%d %s", p.CreatedAt.UnixMicro(), p.ID) })
	out = PupilPage{Items: make([]Pupil, len(pupils)), NextCursor: next}
	for i, p := range pupils {
		out.Items[i] = pupilOf(p)
	}
	return out, nil
}

func (h *handlers) PutPayer(ctx context.Context, r PutPayerRequestObject) (PutPayerResponseObject, error) {
	ctx, k := begin(ctx)
	if err := registryIDs("pupil", r.Pupil, "payer", r.Payer); err != nil {
		return nil, err
	}
	if err := sameID(r.Body.ID, r.Payer); err != nil {
		return nil, err
	}
	y, created, err := h.svc.LinkPayer(ctx, k.caller.actor(), gateway.SchoolCode(r.Cf), r.Pupil, newPayer(*r.Body, r.Payer), unchanged(r.Params.IfMatch, payerOf))
	if err != nil {
		return nil, err
	}
	p := payerOf(y)
	if created {
		location := "/api/v1/schools/" + r.Cf + "/pupils/" + r.Pupil + "/payers/" + p.ID
		return PutPayer201JSONResponse{p, PutPayer201ResponseHeaders{tagOf(p), location}}, nil
	}
	return PutPayer200JSONResponse{p, PutPayer200ResponseHeaders{tagOf(p)}}, nil
}

func (h *handlers) DeletePayer(ctx context.Context, r DeletePayerRequestObject) (DeletePayerResponseObject, error) {
	ctx, k := begin(ctx)
	if err := registryIDs("pupil", r.Pupil, "payer", r.Payer); err != nil {
		return nil, err
	}
	return DeletePayer204Response{}, h.svc.UnlinkPayer(ctx, k.caller.actor(), gateway.SchoolCode(r.Cf), r.Pupil, r.Payer)
}

func (h *handlers) ListDelegates(ctx context.Context, r ListDelegatesRequestObject) (ListDelegatesResponseObject, error) {
	ctx, _ = begin(ctx)
	if err := registryIDs("class", r.Class); err != nil {
		return nil, err
	}
	list, err := h.svc.Delegations(ctx, gateway.SchoolCode(r.Cf), r.Class)
	if err != nil {
		return nil, err
	}
	out := ListDelegates200JSONResponse{Items: make([]Delegation, len(list))}
	for i, d := range list {
		out.Items[i] = Delegation{Delegate: delegateOf(d.Payer), Since: d.Since, Author: d.By.Kind + " " + d.By.Name}
	}
	return out, nil
}

func (h *handlers) PutDelegate(ctx context.Context, r PutDelegateRequestObject) (PutDelegateResponseObject, error) {
	ctx, k := begin(ctx)
	if err := registryIDs("class", r.Class, "payer", r.Payer); err != nil {
		return nil, err
	}
	b := r.Body
	if err := sameID(b.ID, r.Payer); err != nil {
		return nil, err
	}
	in := gateway.NewPayer{ID: r.Payer, Code: b.FiscalCode, FirstName: b.FirstName, LastName: b.LastName, Email: b.Email, Language: b.Language}
	d, created, err := h.svc.Delegate(ctx, k.caller.actor(), gateway.SchoolCode(r.Cf), r.Class, in)
	if err != nil {
		return nil, err
	}
	if created {
		location := "/api/v1/schools/" + r.Cf + "/classes/" + r.Class + "/delegates/" + r.Payer
		return PutDelegate201JSONResponse{delegateOf(d.Payer), PutDelegate201ResponseHeaders{location}}, nil
	}
	return PutDelegate200JSONResponse(delegateOf(d.Payer)), nil
}

func (h *handlers) DeleteDelegate(ctx context.Context, r DeleteDelegateRequestObject) (DeleteDelegateResponseObject, error) {
	ctx, k := begin(ctx)
	if err := registryIDs("class", r.Class, "payer", r.Payer); err != nil {
		return nil, err
	}
	return DeleteDelegate204Response{}, h.svc.EndDelegation(ctx, k.caller.actor(), gateway.SchoolCode(r.Cf), r.Class, r.Payer)
}

func pupilOf(p gateway.PupilRecord) Pupil {
	out := Pupil{
		ID: p.ID, FiscalCode: string(p.Code), FirstName: p.FirstName, LastName: p.LastName, Class: text(p.Class), SchoolYear: p.SchoolYear, Kind: p.Kind.Name(),
		Payers: make([]RegistryPayer, len(p.Payers)),
	}
	for i, y := range p.Payers {
		out.Payers[i] = payerOf(y)
	}
	return out
}

func payerOf(y gateway.LinkedPayer) RegistryPayer {
	return RegistryPayer{
		ID: y.ID, FiscalCode: string(y.Code), FirstName: y.FirstName, LastName: y.LastName, Email: text(y.Email), Relation: y.Relation, Language: y.Language,
	}
}

func delegateOf(y gateway.Payer) Delegate {
	return Delegate{ID: y.ID, FiscalCode: string(y.Code), FirstName: y.FirstName, LastName: y.LastName, Email: text(y.Email), Language: y.Language}
}
