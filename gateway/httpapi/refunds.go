// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"context"
	"errors"
	"strconv"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/money"
)

func (h *handlers) RequestRefund(ctx context.Context, r RequestRefundRequestObject) (RequestRefundResponseObject, error) {
	ctx, k := begin(ctx)
	refund, err := h.svc.RequestRefund(ctx, k.caller.actor(), gateway.SchoolCode(r.Cf), gateway.NewRefund{
		Receipt: r.Body.Receipt, Amount: money.Cents(r.Body.AmountCents), Reason: r.Body.Reason, IBAN: r.Body.Iban, Holder: r.Body.Holder,
	})
	if err != nil {
		return nil, err
	}
	location := "/api/v1/schools/" + r.Cf + "/refunds/" + refund.ID
	return RequestRefund201JSONResponse{h.refundOf(refund), RequestRefund201ResponseHeaders{ETag: etag(refund.Version), Location: location}}, nil
}

func (h *handlers) ListRefunds(ctx context.Context, r ListRefundsRequestObject) (ListRefundsResponseObject, error) {
	ctx, _ = begin(ctx)
	limit := pageSize(r.Params.Limit)
	list := "refunds " + r.Cf
	before, err := h.before(list, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	f := gateway.RefundFilter{State: gateway.RefundState(r.Params.State), Receipt: r.Params.Receipt, Before: before, Limit: limit + 1}
	refunds, err := h.svc.Refunds(ctx, gateway.SchoolCode(r.Cf), f)
	if err != nil {
		return nil, err
	}
	refunds, next := page(h, list, refunds, limit, func(r gateway.Refund) string { return strconv.FormatInt(r.Seq, 10) })
	out := ListRefunds200JSONResponse{Items: make([]Refund, len(refunds)), NextCursor: next}
	for i, r := range refunds {
		out.Items[i] = h.refundOf(r)
	}
	return out, nil
}

func (h *handlers) GetRefund(ctx context.Context, r GetRefundRequestObject) (GetRefundResponseObject, error) {
	ctx, _ = begin(ctx)
	refund, err := h.svc.Refund(ctx, gateway.SchoolCode(r.Cf), r.ID)
	if err != nil {
		return nil, err
	}
	return GetRefund200JSONResponse{h.refundOf(refund), GetRefund200ResponseHeaders{etag(refund.Version)}}, nil
}

func (h *handlers) ChangeRefund(ctx context.Context, r ChangeRefundRequestObject) (ChangeRefundResponseObject, error) {
	ctx, k := begin(ctx)
	b := r.Body
	change := gateway.RefundChange{State: gateway.RefundState(b.State), Execution: gateway.Execution(b.Execution), IBAN: b.Iban, Holder: b.Holder}
	if match := r.Params.IfMatch; match != "" {
		change.If = func(now gateway.Refund) error {
			if !matches(match, etag(now.Version)) {
				return problemStale
			}
			return nil
		}
	}
	school := gateway.SchoolCode(r.Cf)
	refund, err := h.svc.ChangeRefund(ctx, k.caller.actor(), school, r.ID, change)
	if errors.Is(err, gateway.ErrRefundAtPSP) && change.State == gateway.RefundExecuted {
		// The provider may be about to do it. When it says no instead, the caller
		// has to learn that before it may say that the money went back.
		now, err2 := h.svc.AwaitRefund(ctx, school, r.ID)
		if err2 != nil {
			return nil, err2
		}
		if now.State == gateway.RefundExecuted {
			refund, err = now, nil
		}
	}
	if err != nil {
		return nil, err
	}
	return ChangeRefund200JSONResponse{h.refundOf(refund), ChangeRefund200ResponseHeaders{etag(refund.Version)}}, nil
}

func (h *handlers) refundOf(r gateway.Refund) Refund {
	out := Refund{
		ID: r.ID, Receipt: r.Receipt, AmountCents: int64(r.Amount), Reason: r.Reason, Iban: text(r.IBAN), Holder: text(r.Holder),
		State: RefundState(r.State), Execution: text(r.Execution), RequestedBy: actorOf(r.RequestedBy), DecidedBy: text(actorOf(r.DecidedBy)),
		CreatedAt: r.CreatedAt, ChangedAt: r.ChangedAt, Version: r.Version,
	}
	if !r.Notice.IsZero() {
		out.Notice = &NoticeRef{School: string(r.School), Number: r.Notice.String()}
	}
	if p := r.AtPSP; p != nil {
		out.Provider = &RefundProvider{
			ID: string(p.PSP), Name: h.svc.PSPName(p.PSP), State: RefundProviderState(p.State), Asked: p.Asked, AskAt: instant(p.AskAt),
		}
	}
	return out
}

// actorOf says who somebody is; empty for nobody.
func actorOf(a gateway.Actor) string {
	if a.Kind == "" {
		return ""
	}
	return a.Kind + " " + a.Name
}
