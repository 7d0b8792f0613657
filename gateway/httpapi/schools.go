// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/nodogate/nodogate/gateway"
)

func (h *handlers) CreateSchool(ctx context.Context, r CreateSchoolRequestObject) (CreateSchoolResponseObject, error) {
	ctx, k := begin(ctx)
	b := r.Body
	school, created, err := h.svc.AddSchool(ctx, k.caller.actor(), gateway.NewSchool{
		Code: b.FiscalCode, Name: b.Name, IBAN: b.Iban, Segregation: b.SegregationCode,
		Broker: b.Broker, Station: b.Station, Mechanograph: b.MechanographicCode, CBILL: b.Cbill,
		Taxonomy: b.Taxonomy, HelpText: b.HelpText, HelpMail: b.HelpMail, Town: b.Town, PostalAccount: b.PostalAccount,
		PostalIBAN: b.PostalIban, PostalHolder: b.PostalHolder, PostalAuth: b.PostalAuthorization,
	})
	if errors.Is(err, gateway.ErrExists) {
		return nil, problemSchoolTaken
	}
	if err != nil {
		return nil, err
	}
	location := "/api/v1/schools/" + string(school.Code)
	if !created {
		return CreateSchool200JSONResponse{schoolOf(school), CreateSchool200ResponseHeaders{etag(school.Version), location}}, nil
	}
	return CreateSchool201JSONResponse{schoolOf(school), CreateSchool201ResponseHeaders{etag(school.Version), location}}, nil
}

// ListSchools shows a school's client its own school, and an operator all.
func (h *handlers) ListSchools(ctx context.Context, r ListSchoolsRequestObject) (ListSchoolsResponseObject, error) {
	ctx, k := begin(ctx)
	after, err := h.position("schools", r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	all, err := h.svc.Schools(ctx)
	if err != nil {
		return nil, err
	}
	if !k.caller.Admin() {
		all = slices.DeleteFunc(all, func(s gateway.School) bool { return s.Code != k.caller.School })
	}
	// Newest first; the code tells apart those of one instant.
	position := func(s gateway.School) string {
		return fmt.Sprintf("%016x %s", s.CreatedAt.UnixMicro(), s.Code)
	}
	slices.SortFunc(all, func(a, b gateway.School) int { return cmp.Compare(position(b), position(a)) })
	if after != "" {
		all = slices.DeleteFunc(all, func(s gateway.School) bool { return position(s) >= after })
	}
	items, next := page(h, "schools", all, pageSize(r.Params.Limit), position)
	out := ListSchools200JSONResponse{Items: make([]School, len(items)), NextCursor: next}
	for i, s := range items {
		out.Items[i] = schoolOf(s)
	}
	return out, nil
}

func (h *handlers) GetSchool(ctx context.Context, r GetSchoolRequestObject) (GetSchoolResponseObject, error) {
	ctx, _ = begin(ctx)
	school, err := h.svc.School(ctx, gateway.SchoolCode(r.Cf))
	if err != nil {
		return nil, err
	}
	return GetSchool200JSONResponse{schoolOf(school), GetSchool200ResponseHeaders{etag(school.Version)}}, nil
}

func (h *handlers) ChangeSchool(ctx context.Context, r ChangeSchoolRequestObject) (ChangeSchoolResponseObject, error) {
	ctx, k := begin(ctx)
	b, match := r.Body, r.Params.IfMatch
	school, err := h.svc.ChangeSchool(ctx, k.caller.actor(), gateway.SchoolCode(r.Cf), func(old gateway.School, in *gateway.NewSchool) error {
		if match != "" && !matches(match, etag(old.Version)) {
			return problemStale
		}
		for _, set := range []struct {
			to    *string
			from  *string
			field string
		}{
			{&in.Name, b.Name, "name"}, {&in.IBAN, b.Iban, "iban"}, {&in.Segregation, b.SegregationCode, "segregation_code"},
			{&in.Broker, b.Broker, "broker"}, {&in.Station, b.Station, "station"}, {&in.Mechanograph, b.MechanographicCode, "mechanographic_code"},
			{&in.CBILL, b.Cbill, "cbill"}, {&in.Taxonomy, b.Taxonomy, "taxonomy"}, {&in.HelpText, b.HelpText, "help_text"},
			{&in.HelpMail, b.HelpMail, "help_mail"}, {&in.Town, b.Town, "town"},
			{&in.PostalAccount, b.PostalAccount, "postal_account"}, {&in.PostalIBAN, b.PostalIban, "postal_iban"},
			{&in.PostalHolder, b.PostalHolder, "postal_holder"}, {&in.PostalAuth, b.PostalAuthorization, "postal_authorization"},
		} {
			switch {
			case set.from != nil:
				*set.to = *set.from
			case k.isNull(set.field):
				*set.to = ""
			}
		}
		if b.CampaignsNeedApproval != nil {
			in.CampaignsNeedApproval = *b.CampaignsNeedApproval
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return ChangeSchool200JSONResponse{schoolOf(school), ChangeSchool200ResponseHeaders{etag(school.Version)}}, nil
}

func schoolOf(s gateway.School) School {
	return School{
		FiscalCode: string(s.Code), Name: s.Name, Iban: string(s.IBAN), SegregationCode: s.Segregation.String(),
		Broker: s.Broker, Station: s.Station, MechanographicCode: text(s.Mechanograph), Cbill: text(s.CBILL),
		Taxonomy: s.Taxonomy, HelpText: text(s.HelpText), HelpMail: text(s.HelpMail), Town: text(s.Town), PostalAccount: text(s.Postal.Account),
		PostalIban: text(s.Postal.IBAN), PostalHolder: text(s.Postal.Holder), PostalAuthorization: text(s.Postal.Authorization),
		CampaignsNeedApproval: s.CampaignsNeedApproval, Version: s.Version, CreatedAt: s.CreatedAt,
	}
}

func etag(version int64) string { return strconv.Quote(strconv.FormatInt(version, 10)) }
