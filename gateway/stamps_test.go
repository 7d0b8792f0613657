// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"errors"
	"testing"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
)

// A revenue stamp is bought from a PSP that was told of it, which only the node
// does: with any other the money would be taken and no receipt could be made.
func TestStampsArePaidThroughTheNodeOnly(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		settled gateway.Settlement
		stamp   bool
		psp     gateway.PSPID
		field   string // of the refusal; none: it is opened
	}{
		{"the node, a stamp", gateway.SettledByNode, true, "", ""},
		{"a callback, a stamp", gateway.SettledByOutcome, true, "", "method"},
		{"a callback, a stamp, by name", gateway.SettledByOutcome, true, "BANCAUNO", "psp"},
		{"a callback, none", gateway.SettledByOutcome, false, "BANCAUNO", ""},
		{"the node face, a stamp", gateway.SettledByPSP, true, "", "method"},
		{"the node face, a stamp, by name", gateway.SettledByPSP, true, "BANCAUNO", "psp"},
		{"the node face, none", gateway.SettledByPSP, false, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g := gatewaytest.New(t)
			g.PSPs.Settle(c.settled)
			plain, other := g.Issue(), g.Issue(func(n *gateway.NewNotice) {
				if c.stamp {
					n.Amount = 3250
					n.Transfers = []gateway.NewTransfer{{Amount: 1650}, {Amount: 1600, Stamp: &gateway.Stamp{Hash: "ERERERERERERERERERERERERERERERERERERERERERE=", Province: "GR"}}}
				}
			})
			_, err := g.Pay(t.Context(), gateway.PayRequest{
				Key: "test 1", Method: gateway.MethodCard, PSP: c.psp, Actor: gatewaytest.Operator,
				Notices: []gateway.NoticeRef{{School: plain.School, Number: plain.Number}, {School: other.School, Number: other.Number}},
			})
			if c.field == "" {
				if err != nil {
					t.Errorf("Pay: %v", err)
				}
				return
			}
			var bad *gateway.Invalid
			if !errors.As(err, &bad) || len(bad.Fields) != 1 || bad.Fields[0].Field != c.field || bad.Fields[0].Code != "stamps" {
				t.Errorf("Pay: %v, want a refusal of %s", err, c.field)
			}
			if n := len(g.PSPs.Orders()); n != 0 {
				t.Errorf("%d orders were sent", n)
			}
			if got, err := g.Notice(t.Context(), plain.School, plain.Number); err != nil || got.Payment != nil {
				t.Errorf("the notice is held: %+v, %v", got.Payment, err)
			}
		})
	}
}
