// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"context"
	"strconv"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/money"
)

func (h *handlers) CreateCampaign(ctx context.Context, r CreateCampaignRequestObject) (CreateCampaignResponseObject, error) {
	ctx, k := begin(ctx)
	b := r.Body
	in := gateway.CampaignContent{
		Kind: gateway.CampaignKind(b.Kind), Title: b.Title, Description: b.Description, Amount: money.Cents(b.AmountCents),
		Min: money.Cents(b.MinAmountCents), Free: b.FreeAmount, DueDate: b.DueDate, Taxonomy: b.Taxonomy, Deduction: b.Deduction,
		Instalments: instalmentsOf(b.Instalments),
	}
	recipientsOf(b.Recipients, &in)
	c, err := h.svc.CreateCampaign(ctx, k.caller.actor(), gateway.SchoolCode(r.Cf), in)
	if err != nil {
		return nil, err
	}
	return CreateCampaign201JSONResponse{h.campaignOf(c), CreateCampaign201ResponseHeaders{ETag: etag(c.Version), Location: campaignPath(c)}}, nil
}

func recipientsOf(r CampaignRecipients, in *gateway.CampaignContent) {
	in.Whole, in.Staff, in.Adults, in.Classes, in.Pupils = r.All, r.Staff, r.Adults, r.Classes, r.Pupils
}

func campaignPath(c gateway.Campaign) string {
	return "/api/v1/schools/" + string(c.School) + "/campaigns/" + c.ID
}

func instalmentsOf(list []CampaignInstalment) []gateway.NewInstalment {
	var out []gateway.NewInstalment
	for _, i := range list {
		out = append(out, gateway.NewInstalment{Amount: money.Cents(i.AmountCents), DueDate: i.DueDate})
	}
	return out
}

func (h *handlers) ListCampaigns(ctx context.Context, r ListCampaignsRequestObject) (ListCampaignsResponseObject, error) {
	ctx, _ = begin(ctx)
	limit := pageSize(r.Params.Limit)
	list := "campaigns " + r.Cf
	before, err := h.before(list, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	found, err := h.svc.Campaigns(ctx, gateway.SchoolCode(r.Cf), before, limit+1)
	if err != nil {
		return nil, err
	}
	found, next := page(h, list, found, limit, func(c gateway.Campaign) string { return strconv.FormatInt(c.Seq, 10) })
	out := ListCampaigns200JSONResponse{Items: make([]Campaign, len(found)), NextCursor: next}
	for i, c := range found {
		out.Items[i] = h.campaignOf(c)
	}
	return out, nil
}

func (h *handlers) GetCampaign(ctx context.Context, r GetCampaignRequestObject) (GetCampaignResponseObject, error) {
	ctx, _ = begin(ctx)
	c, err := h.svc.Campaign(ctx, gateway.SchoolCode(r.Cf), r.ID)
	if err != nil {
		return nil, err
	}
	return GetCampaign200JSONResponse{h.campaignOf(c), GetCampaign200ResponseHeaders{etag(c.Version)}}, nil
}

func (h *handlers) ChangeCampaign(ctx context.Context, r ChangeCampaignRequestObject) (ChangeCampaignResponseObject, error) {
	ctx, k := begin(ctx)
	b := r.Body
	change := func(old gateway.Campaign, in *gateway.CampaignContent) (text, day bool, err error) {
		if m := r.Params.IfMatch; m != "" && !matches(m, etag(old.Version)) {
			return false, false, problemStale
		}
		for _, set := range []struct{ to, from *string }{
			{&in.Title, b.Title}, {&in.Description, b.Description}, {&in.DueDate, b.DueDate}, {&in.Taxonomy, b.Taxonomy}, {&in.Deduction, b.Deduction},
		} {
			if set.from != nil {
				*set.to = *set.from
			}
		}
		if b.AmountCents != nil {
			in.Amount = money.Cents(*b.AmountCents)
		}
		if b.MinAmountCents != nil {
			in.Min = money.Cents(*b.MinAmountCents)
		}
		if b.FreeAmount != nil {
			in.Free = *b.FreeAmount
		}
		if b.Instalments != nil {
			in.Instalments = instalmentsOf(*b.Instalments)
		}
		if b.Recipients != nil {
			recipientsOf(*b.Recipients, in)
		}
		return b.Description != nil, b.DueDate != nil || b.Instalments != nil, nil
	}
	c, err := h.svc.ChangeCampaign(ctx, k.caller.actor(), gateway.SchoolCode(r.Cf), r.ID, change)
	if err != nil {
		return nil, err
	}
	return ChangeCampaign200JSONResponse{h.campaignOf(c), ChangeCampaign200ResponseHeaders{etag(c.Version)}}, nil
}

func (h *handlers) ApproveCampaign(ctx context.Context, r ApproveCampaignRequestObject) (ApproveCampaignResponseObject, error) {
	ctx, k := begin(ctx)
	c, err := h.svc.ApproveCampaign(ctx, k.caller.actor(), gateway.SchoolCode(r.Cf), r.ID)
	if err != nil {
		return nil, err
	}
	return ApproveCampaign200JSONResponse{h.campaignOf(c), ApproveCampaign200ResponseHeaders{etag(c.Version)}}, nil
}

func (h *handlers) PublishCampaign(ctx context.Context, r PublishCampaignRequestObject) (PublishCampaignResponseObject, error) {
	ctx, k := begin(ctx)
	c, err := h.svc.PublishCampaign(ctx, k.caller.actor(), gateway.SchoolCode(r.Cf), r.ID)
	if err != nil {
		return nil, err
	}
	if c.Work.State == gateway.WorkRunning {
		return PublishCampaign202JSONResponse{h.campaignOf(c), PublishCampaign202ResponseHeaders{ETag: etag(c.Version), Location: campaignPath(c)}}, nil
	}
	return PublishCampaign200JSONResponse{h.campaignOf(c), PublishCampaign200ResponseHeaders{etag(c.Version)}}, nil
}

func (h *handlers) CloseCampaign(ctx context.Context, r CloseCampaignRequestObject) (CloseCampaignResponseObject, error) {
	ctx, k := begin(ctx)
	cancelUnpaid := r.Body != nil && r.Body.CancelUnpaid
	c, err := h.svc.CloseCampaign(ctx, k.caller.actor(), gateway.SchoolCode(r.Cf), r.ID, cancelUnpaid)
	if err != nil {
		return nil, err
	}
	if c.Work.State == gateway.WorkRunning {
		return CloseCampaign202JSONResponse{h.campaignOf(c), CloseCampaign202ResponseHeaders{ETag: etag(c.Version), Location: campaignPath(c)}}, nil
	}
	return CloseCampaign200JSONResponse{h.campaignOf(c), CloseCampaign200ResponseHeaders{etag(c.Version)}}, nil
}

func (h *handlers) RemindCampaign(ctx context.Context, r RemindCampaignRequestObject) (RemindCampaignResponseObject, error) {
	ctx, k := begin(ctx)
	c, err := h.svc.RemindCampaign(ctx, k.caller.actor(), gateway.SchoolCode(r.Cf), r.ID)
	if err != nil {
		return nil, err
	}
	w := c.Work
	out := CampaignReminders{Queued: w.Acted, Skipped: w.Skipped, Reasons: skippedOf(w), State: string(w.State)}
	if w.State == gateway.WorkRunning {
		return RemindCampaign202JSONResponse{out, RemindCampaign202ResponseHeaders{campaignPath(c)}}, nil
	}
	return RemindCampaign200JSONResponse(out), nil
}

func skippedOf(w gateway.CampaignWork) SkippedNotices {
	return SkippedNotices{
		InPayment: w.Reasons[gateway.SkipInPayment], RemindedToday: w.Reasons[gateway.SkipReminded],
		Unreachable: w.Reasons[gateway.SkipUnreachable], Expired: w.Reasons[gateway.SkipExpired],
	}
}

// progressOf is nil before the campaign's notices were first worked on.
func progressOf(w gateway.CampaignWork) *CampaignProgress {
	if w.Task == "" {
		return nil
	}
	out := &CampaignProgress{
		Task: string(w.Task), State: string(w.State), Done: w.Done, Total: w.Total, Acted: w.Acted, Skipped: w.Skipped, Reasons: skippedOf(w),
		SkippedNotices: make([]string, len(w.Left)), Failure: text(w.Failure),
	}
	for i, n := range w.Left {
		out.SkippedNotices[i] = n.String()
	}
	return out
}

func (h *handlers) campaignOf(c gateway.Campaign) Campaign {
	out := Campaign{
		ID: c.ID, Kind: string(c.Kind), Title: c.Title, Description: c.Description, AmountCents: Cents(c.Amount), MinAmountCents: int64(c.Min),
		FreeAmount: c.Free, DueDate: c.DueDate, Instalments: make([]CampaignInstalment, len(c.Instalments)),
		Recipients: CampaignAudience{All: c.Whole, Staff: c.Staff, Adults: c.Adults, Classes: append([]string{}, c.Classes...), Pupils: append([]string{}, c.Pupils...)}, Taxonomy: text(c.Taxonomy), Deduction: text(c.Deduction),
		State: string(c.State), Progress: progressOf(c.Work), CreatedAt: c.CreatedAt, ChangedAt: c.ChangedAt, Version: c.Version,
		Totals: CampaignTotals{
			Notices: c.Totals.Notices, IssuedCents: int64(c.Totals.Issued), Paid: c.Totals.Paid, PaidCents: int64(c.Totals.PaidAmount),
		},
	}
	if c.Kind == gateway.CampaignVoluntary && c.State == gateway.CampaignPublished {
		out.GiveURL = text(h.svc.PublicURL("/versamenti-volontari/" + string(c.School) + "/" + c.ID))
	}
	if c.ApprovedBy != (gateway.Actor{}) {
		out.ApprovedBy = text(c.ApprovedBy.Kind + " " + c.ApprovedBy.Name)
	}
	for i, x := range c.Instalments {
		out.Instalments[i] = CampaignInstalment{AmountCents: Cents(x.Amount), DueDate: x.DueDate}
	}
	return out
}
