// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"context"
	"fmt"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/money"
	"github.com/nodogate/nodogate/iuv"
)

func (h *handlers) CreateCart(ctx context.Context, r CreateCartRequestObject) (CreateCartResponseObject, error) {
	ctx, k := begin(ctx)
	b := r.Body
	var bad gateway.Invalid
	refs := make([]gateway.NoticeRef, len(b.Notices))
	for i, n := range b.Notices {
		var err error
		if refs[i].School, err = gateway.ParseSchoolCode(n.School); err != nil {
			bad.Add(fmt.Sprintf("notices[%d].school", i), "format", "give the school's 11-digit fiscal code")
		}
		if refs[i].Number, err = iuv.Parse(n.Number); err != nil {
			bad.Add(fmt.Sprintf("notices[%d].number", i), "format", "give the notice number's 18 digits")
		}
	}
	if code := b.Payer.FiscalCode; code != "" {
		if _, err := gateway.ParseFiscalCode(code); err != nil {
			bad.Add("payer.fiscal_code", "format", "give a codice fiscale of 16 characters or 11 digits")
		}
	}
	if err := bad.Err(); err != nil {
		return nil, err
	}
	cart, err := h.svc.Pay(ctx, gateway.PayRequest{
		Key: k.operationKey(), Notices: refs, Method: gateway.Method(b.Method), PSP: gateway.PSPID(b.Psp),
		Actor: k.caller.actor(), School: k.caller.School, Email: b.Payer.Email, ReturnURL: b.ReturnURL,
	})
	if err != nil {
		return nil, err
	}
	out, err := h.cartOf(ctx, cart)
	if err != nil {
		return nil, err
	}
	return CreateCart201JSONResponse{out, CreateCart201ResponseHeaders{etag(cart.Version), "/api/v1/carts/" + cart.ID}}, nil
}

func (h *handlers) GetCart(ctx context.Context, r GetCartRequestObject) (GetCartResponseObject, error) {
	ctx, k := begin(ctx)
	cart, err := h.svc.Cart(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	if !k.caller.Admin() && cart.School != k.caller.School {
		return nil, gateway.ErrNotFound
	}
	out, err := h.cartOf(ctx, cart)
	if err != nil {
		return nil, err
	}
	return GetCart200JSONResponse{out, GetCart200ResponseHeaders{etag(cart.Version)}}, nil
}

func (h *handlers) cartOf(ctx context.Context, c gateway.Cart) (Cart, error) {
	out := Cart{ID: c.ID, State: CartState(c.State), AmountCents: int64(c.Amount()), FeeCents: int64(c.Fee)}
	if c.State == gateway.CartRedirected {
		out.RedirectURL = c.Redirect
	}
	var err error
	out.DocumentURL, err = h.svc.BulletinURL(ctx, c)
	return out, err
}

func (h *handlers) ListPaymentMethods(ctx context.Context, r ListPaymentMethodsRequestObject) (ListPaymentMethodsResponseObject, error) {
	ctx, k := begin(ctx)
	amount := money.Cents(r.Params.AmountCents)
	var offers []gateway.MethodOffer
	if school := k.caller.School; school == "" {
		offers = h.svc.Offers(ctx, amount)
	} else {
		var err error
		if offers, err = h.svc.OffersAt(ctx, school, amount); err != nil {
			return nil, err
		}
	}
	out := make(ListPaymentMethods200JSONResponse, len(offers))
	for i, o := range offers {
		out[i] = PaymentMethod{Method: Method(o.Method), Psps: make([]Provider, len(o.PSPs))}
		for j, p := range o.PSPs {
			out[i].Psps[j] = Provider{ID: string(p.ID), Name: p.Name, FeeCents: int64(p.Fee), Available: p.Available, UnavailableReason: p.Reason}
		}
	}
	return out, nil
}
