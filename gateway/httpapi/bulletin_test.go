// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
)

func TestCartDocument(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	postal := a.g.AddPostal(gatewaytest.OtherCode, "Liceo Galilei")
	c, secret := a.g.Client(postal.Code, gateway.Scopes...)
	token := a.token(c, secret)
	order := func(method string, notices ...gateway.Notice) string {
		var list []string
		for _, n := range notices {
			list = append(list, fmt.Sprintf(`{"school":%q,"number":%q}`, n.School, n.Number))
		}
		return fmt.Sprintf(`{"notices":[%s],"method":%q}`, strings.Join(list, ","), method)
	}
	open := func(by, body string) Cart {
		t.Helper()
		cart := as[Cart](t, a.post("/api/v1/carts", by, body), 201)
		if again := as[Cart](t, a.get("/api/v1/carts/"+cart.ID, by), 200); again != cart {
			t.Errorf("read again the cart is %+v, was %+v", again, cart)
		}
		return cart
	}
	n := a.g.IssueAt(postal.Code)
	if cart := open(token, order("postal_bulletin", n)); cart.RedirectURL == "" || !strings.HasPrefix(cart.DocumentURL, "https://pagamenti.example/bollettini/"+cart.ID+"/") {
		t.Errorf("online, of a school with a postal account: %+v", cart)
	}
	if cart := open(token, order("card", a.g.IssueAt(postal.Code))); cart.RedirectURL == "" || cart.DocumentURL != "" {
		t.Errorf("by card: %+v", cart)
	}
	if cart := open(a.school, order("postal_bulletin", a.g.Issue())); cart.RedirectURL == "" || cart.DocumentURL != "" {
		t.Errorf("online, of a school without a postal account: %+v", cart)
	}

	a.g.PSPs.PrintOnly(true)
	n = a.g.IssueAt(postal.Code)
	cart := open(token, order("postal_bulletin", n))
	if cart.State != "redirected" || cart.RedirectURL != "" || cart.DocumentURL == "" || cart.FeeCents != 150 {
		t.Errorf("printed: %+v", cart)
	}
	notice := as[Notice](t, a.get("/api/v1/schools/"+string(postal.Code)+"/notices/"+n.Number.String(), token), 200)
	if notice.Status != "open" || notice.Payment != nil {
		t.Errorf("the notice of a printed bulletin is %s, held by %+v", notice.Status, notice.Payment)
	}
	expect(t, a.post("/api/v1/carts", a.school, order("postal_bulletin", a.g.Issue())), 409, "no_postal_bulletin")
	much := a.g.IssueAt(postal.Code, func(n *gateway.NewNotice) { n.Amount = gateway.MaxBulletin + 1 })
	expect(t, a.post("/api/v1/carts", token, order("postal_bulletin", much)), 409, "no_postal_bulletin")
	a.g.Settle(n, "")
	if cart := as[Cart](t, a.get("/api/v1/carts/"+cart.ID, token), 200); cart.State != "closed_ok" || cart.DocumentURL != "" {
		t.Errorf("paid: %+v", cart)
	}
}
