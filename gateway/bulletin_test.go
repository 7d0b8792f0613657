// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
)

func printRequest(key string, notices ...gateway.Notice) gateway.PayRequest {
	req := gateway.PayRequest{Key: key, Method: gateway.MethodBulletin, Actor: gatewaytest.Operator}
	for _, n := range notices {
		req.Notices = append(req.Notices, ref(n))
	}
	return req
}

// counter pays a notice at the counter of a PSP that knows no cart.
func counter(t *testing.T, g *gatewaytest.Gateway, n gateway.Notice) {
	t.Helper()
	peer := gateway.Peer{PSP: "POSTE", Name: "Poste", Channel: "97735020584_02"}
	var token string
	_, err := g.Activate(ctx, gateway.ActivateRequest{Peer: peer, School: n.School, Number: n.Number}, func(a gateway.Activated) []byte {
		token = a.Token.ID
		return nil
	})
	if err != nil {
		t.Fatalf("Activate at the counter: %v", err)
	}
	details := gateway.OutcomeDetails{Method: "cash", Channel: "frontOffice", ApplicationDate: "2026-11-23", TransferDate: "2026-11-24"}
	if _, err := g.Outcome(ctx, gateway.OutcomeRequest{Peer: peer, Tokens: []string{token}, OK: true, Details: details}, func(gateway.OutcomeVerdict) []byte { return nil }); err != nil {
		t.Fatal(err)
	}
}

func TestPrintedCart(t *testing.T) {
	t.Parallel()
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		g.PSPs.Settle(gateway.SettledByPSP)
		g.PSPs.PrintOnly(true)
		school := g.AddPostal(gatewaytest.OtherCode, "Liceo Galilei")
		issue := func(change ...func(*gateway.NewNotice)) gateway.Notice { return g.IssueAt(school.Code, change...) }
		pay := func(key string, notices ...gateway.Notice) gateway.Cart {
			t.Helper()
			c, err := g.Pay(ctx, printRequest(key, notices...))
			if err != nil {
				t.Fatal(err)
			}
			if c.State != gateway.CartRedirected || c.Redirect != "" || !c.Printed() || c.PSP != "POSTE" || c.Fee != 150 {
				t.Fatalf("the cart is %+v", c)
			}
			return c
		}
		state := func(c gateway.Cart, want gateway.CartState) gateway.Cart {
			t.Helper()
			got, err := g.Cart(ctx, c.ID)
			if err != nil || got.State != want {
				t.Errorf("the cart is %s, %v; want %s", got.State, err, want)
			}
			return got
		}

		t.Run("leaves the notices free and is paid at the counter", func(t *testing.T) {
			one, two := issue(), issue()
			c := pay("free", one, two)
			if len(g.PSPs.Orders()) != 0 {
				t.Error("the PSP got an order")
			}
			for _, n := range []gateway.Notice{one, two} {
				if n, err := g.Notice(ctx, n.School, n.Number); err != nil || n.Payment != nil || n.Token != nil {
					t.Errorf("the notice is held by %+v, %+v, %v", n.Payment, n.Token, err)
				}
			}
			again := pay("free", one, two) // the same request
			if again.ID != c.ID {
				t.Errorf("the same request made the carts %s and %s", c.ID, again.ID)
			}
			pay("another", one) // printing twice is no payment twice
			counter(t, g, one)
			half := state(c, gateway.CartRedirected)
			if half.Version != c.Version+1 || !half.Notices[0].Settled || half.Notices[1].Settled {
				t.Errorf("half paid, the cart is %+v", half)
			}
			counter(t, g, two)
			done := state(c, gateway.CartClosedOK)
			if again := state(c, gateway.CartClosedOK); again.Version != done.Version {
				t.Errorf("reading moved a closed cart from version %d to %d", done.Version, again.Version)
			}
		})
		t.Run("is paid online all the same", func(t *testing.T) {
			n := issue()
			c := pay("online after", n)
			g.Settle(n, "")
			state(c, gateway.CartClosedOK)
		})
		t.Run("needs what can be printed", func(t *testing.T) {
			for name, notices := range map[string][]gateway.Notice{
				"no postal account": {issue(), g.Issue()},
				"too much":          {issue(func(n *gateway.NewNotice) { n.Amount = gateway.MaxBulletin + 1 })},
			} {
				if c, err := g.Pay(ctx, printRequest(name, notices...)); !errors.Is(err, gateway.ErrNoBulletin) {
					t.Errorf("%s: Pay = %+v, %v", name, c, err)
				}
				if c, err := g.CartOfRequest(ctx, name); !errors.Is(err, gateway.ErrNotFound) {
					t.Errorf("%s: a cart was left behind: %+v, %v", name, c, err)
				}
			}
			most := issue(func(n *gateway.NewNotice) { n.Amount = gateway.MaxBulletin })
			pay("the most", most)
		})
		t.Run("not beside an online payment", func(t *testing.T) {
			n := issue()
			req := printRequest("card", n)
			req.Method = gateway.MethodCard
			if _, err := g.Pay(ctx, req); err != nil {
				t.Fatal(err)
			}
			if c, err := g.Pay(ctx, printRequest("paper", n)); !errors.Is(err, gateway.ErrInProgress) {
				t.Errorf("Pay = %+v, %v; want in progress", c, err)
			}
			// and the other way round: paper keeps nobody away
			n = issue()
			pay("paper first", n)
			req = printRequest("card second", n)
			req.Method = gateway.MethodCard
			if _, err := g.Pay(ctx, req); err != nil {
				t.Errorf("Pay by card after printing: %v", err)
			}
		})
		t.Run("ends with its notices", func(t *testing.T) {
			late, paid := issue(func(n *gateway.NewNotice) { n.DueDate = "2026-11-25" }), issue()
			c := pay("ends", late)
			both := pay("ends in part", late, paid)
			counter(t, g, paid)
			g.Time.Advance(4 * 24 * time.Hour)
			state(c, gateway.CartClosedExpired)
			state(both, gateway.CartClosedPartial)
			if list, err := g.Bulletins(ctx, c.ID); !errors.Is(err, gateway.ErrNoticeExpired) {
				t.Errorf("Bulletins of an expired notice = %v, %v", list, err)
			}
		})
		t.Run("is not waited for without end", func(t *testing.T) {
			n := issue(func(n *gateway.NewNotice) { n.PayableAfterDue = true })
			c := pay("for ever", n)
			g.Time.Advance(90*24*time.Hour - time.Millisecond)
			state(c, gateway.CartRedirected)
			g.Time.Advance(time.Millisecond)
			state(c, gateway.CartClosedExpired)
			counter(t, g, n)
			state(c, gateway.CartClosedExpired) // final; the notice says the rest
		})
	})
}

func TestBulletinLink(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	school := g.AddPostal(gatewaytest.OtherCode, "Liceo Galilei")
	n := g.IssueAt(school.Code)
	pay := func(key string, m gateway.Method, n gateway.Notice) gateway.Cart {
		t.Helper()
		req := printRequest(key, n)
		req.Method = m
		c, err := g.Pay(ctx, req)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	link := func(c gateway.Cart) string {
		t.Helper()
		u, err := g.BulletinURL(ctx, c)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	c := pay("one", gateway.MethodBulletin, n) // online: the page is open, the paper is there too
	u := link(c)
	code, ok := strings.CutPrefix(u, "https://pagamenti.example/bollettini/"+c.ID+"/")
	if !ok || len(code) != 38 {
		t.Fatalf("BulletinURL = %s", u)
	}
	if list, err := g.BulletinsByLink(ctx, c.ID, code); err != nil || len(list) != 1 || list[0].Notice.Number != n.Number || list[0].School.Code != school.Code {
		t.Fatalf("BulletinsByLink = %+v, %v", list, err)
	}
	if list, err := g.Bulletins(ctx, c.ID); err != nil || list[0].Notice.Debtor != (gateway.Debtor{Code: gateway.Anonymous}) {
		t.Errorf("a guest's bulletin names %+v, %v", list[0].Notice.Debtor, err)
	}
	office := printRequest("office", g.IssueAt(school.Code))
	office.School = school.Code
	if c, err := g.Pay(ctx, office); err != nil {
		t.Error(err)
	} else if list, err := g.Bulletins(ctx, c.ID); err != nil || list[0].Notice.Debtor.Name != "Maria Rossi" {
		t.Errorf("the school's bulletin names %+v, %v", list, err)
	}
	other := pay("two", gateway.MethodBulletin, g.IssueAt(school.Code))
	_, otherCode, _ := strings.Cut(strings.TrimPrefix(link(other), "https://pagamenti.example/bollettini/"), "/")
	for name, try := range map[string][2]string{
		"another cart's": {c.ID, otherCode}, "cart unknown": {"nowhere", code}, "changed": {c.ID, code[:37] + "A"}, "longer life": {c.ID, "A" + code[1:]},
		"cut": {c.ID, code[:20]}, "empty": {c.ID, ""}, "longer": {c.ID, code + "AA"}, "no base64": {c.ID, strings.Repeat("*", 38)},
	} {
		if try[1] == code && try[0] == c.ID {
			continue
		}
		if list, err := g.BulletinsByLink(ctx, try[0], try[1]); !errors.Is(err, gateway.ErrNotFound) {
			t.Errorf("%s: %+v, %v", name, list, err)
		}
	}
	g.Time.Advance(24 * time.Hour)
	if _, err := g.BulletinsByLink(ctx, c.ID, code); err != nil {
		t.Errorf("after a day: %v", err)
	}
	g.Time.Advance(time.Hour)
	if _, err := g.BulletinsByLink(ctx, c.ID, code); !errors.Is(err, gateway.ErrLinkExpired) {
		t.Errorf("after a day and an hour: %v", err)
	}
	if link(c) == u {
		t.Error("a link asked for a day later is the old one")
	}
	for name, c := range map[string]gateway.Cart{
		"card": pay("card", gateway.MethodCard, g.IssueAt(school.Code)), "no account": pay("none", gateway.MethodBulletin, g.Issue()),
		"too much": pay("much", gateway.MethodBulletin, g.IssueAt(school.Code, func(n *gateway.NewNotice) { n.Amount = gateway.MaxBulletin + 1 })),
	} {
		if u := link(c); u != "" {
			t.Errorf("%s: BulletinURL = %s, want none", name, u)
		}
	}
	g.Settle(n, c.ID)
	if u := link(c); u != "" {
		t.Errorf("paid: BulletinURL = %s, want none", u)
	}
}

func TestSharedPostalAccount(t *testing.T) {
	t.Parallel()
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		first := g.AddPostal(gatewaytest.OtherCode, "Liceo Galilei")
		second := g.AddPostal("97735020584", "Liceo Volta")
		const account = "000000001016"
		of := g.IssueAt(second.Code)
		if n, s, err := g.FindBulletin(ctx, account, of.Number); err != nil || s.Code != second.Code || n.School != second.Code {
			t.Errorf("FindBulletin = %s of %s, %v; want one of %s", n.Number, s.Code, err, second.Code)
		}
		const number = "301202600000004244"
		both := func(n *gateway.NewNotice) { n.Number = number }
		a, b := g.IssueAt(first.Code, both), g.IssueAt(second.Code, both)
		if _, s, err := g.FindBulletin(ctx, account, a.Number); err != nil || s.Code != first.Code {
			t.Errorf("both open: %s, %v", s.Code, err)
		}
		counter(t, g, a)
		if _, s, err := g.FindBulletin(ctx, account, a.Number); err != nil || s.Code != second.Code {
			t.Errorf("the first paid: %s, %v", s.Code, err)
		}
		counter(t, g, b)
		if _, s, err := g.FindBulletin(ctx, account, a.Number); !errors.Is(err, gateway.ErrNoticePaid) || s.Code != first.Code {
			t.Errorf("both paid: %s, %v", s.Code, err)
		}
		if _, s, err := g.FindBulletin(ctx, account, gatewaytest.Number(t, "301202600000004345")); !errors.Is(err, gateway.ErrNotFound) || s.Code != first.Code {
			t.Errorf("no such notice: %s, %v", s.Code, err)
		}
		if _, _, err := g.FindBulletin(ctx, "000000000001", a.Number); !errors.Is(err, gateway.ErrUnknownSchool) {
			t.Errorf("no such account: %v", err)
		}
	})
}
