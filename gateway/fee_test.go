// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"context"
	"errors"
	"reflect"
	"testing"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
	"github.com/nodogate/nodogate/gateway/money"
)

// Fees that others know are asked for before the transaction that opens the cart,
// about the same notices; the cart's fee is that one.
func TestFeesOfOthers(t *testing.T) {
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		one, two := g.Issue(), g.Issue()
		var outside, inside []gateway.OfferRequest
		g.PSPs.OnFee(func(ctx context.Context, req gateway.OfferRequest, id gateway.PSPID) (money.Cents, bool) {
			if id != "BANCAUNO" {
				return 0, false
			}
			if gateway.TxFromContext(ctx) != nil {
				inside = append(inside, req)
			} else {
				outside = append(outside, req)
			}
			return 83, true
		})
		req := gateway.PayRequest{Key: "fee-1", Method: gateway.MethodCard, PSP: "BANCAUNO", Actor: gatewaytest.Operator, Notices: []gateway.NoticeRef{ref(one), ref(two)}}
		shown := money.Cents(100)
		req.Shown = &shown
		if _, err := g.Pay(ctx, req); !errors.Is(err, gateway.ErrFeeChanged) || len(g.PSPs.Orders()) != 0 {
			t.Fatalf("Pay at another fee than was shown: %v after %d orders", err, len(g.PSPs.Orders()))
		}
		shown = 83
		cart, err := g.Pay(ctx, req)
		if err != nil || cart.Fee != 83 || g.PSPs.Orders()[0].Fee != 83 {
			t.Fatalf("Pay = fee %d, %v; want 83", cart.Fee, err)
		}
		transfers := func(n gateway.Notice) []gateway.OfferTransfer {
			return []gateway.OfferTransfer{{School: n.School, Taxonomy: n.Transfers[0].Taxonomy}}
		}
		want := gateway.OfferRequest{Amount: one.Amount + two.Amount, Notices: []gateway.OfferNotice{
			{School: one.School, Amount: one.Amount, Transfers: transfers(one)}, {School: two.School, Amount: two.Amount, Transfers: transfers(two)},
		}}
		for where, list := range map[string][]gateway.OfferRequest{"outside": outside, "inside": inside} {
			if len(list) == 0 {
				t.Errorf("no fee was wanted %s the transaction", where)
			}
			for _, got := range list {
				if !reflect.DeepEqual(got, want) {
					t.Errorf("wanted %s the transaction: %+v\nwant %+v", where, got, want)
				}
			}
		}
		if offers, err := g.OffersFor(ctx, req.Notices); err != nil || offers[0].PSPs[0].Fee != 83 {
			t.Errorf("OffersFor = %+v, %v", offers, err)
		}
		outside = nil
		offers, err := g.OffersAt(ctx, one.School, 1650)
		if err != nil || offers[0].PSPs[0].Fee != 83 || len(outside) == 0 || outside[0].Notices[0].Transfers[0].Taxonomy != one.Transfers[0].Taxonomy {
			t.Errorf("OffersAt = %+v, %v, asked %+v", offers, err, outside)
		}
		if _, err := g.OffersFor(ctx, []gateway.NoticeRef{{School: "77777777777", Number: one.Number}}); !errors.Is(err, gateway.ErrNotFound) {
			t.Errorf("OffersFor an unknown notice: %v", err)
		}
	})
}
