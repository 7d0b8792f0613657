// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
	"github.com/nodogate/nodogate/gateway/money"
)

func to[T any](v T) *T { return &v }

func change(g *gatewaytest.Gateway, n gateway.Notice, c gateway.NoticeChange) (gateway.Notice, error) {
	return g.ChangeNotice(context.Background(), gatewaytest.Operator, n.School, n.Number, c)
}

func kinds(t *testing.T, g *gatewaytest.Gateway, n gateway.Notice) string {
	t.Helper()
	list, err := g.Events(t.Context(), n.School, n.Number)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range list {
		out = append(out, string(e.Kind))
	}
	return strings.Join(out, " ")
}

// wrongFields are the fields of an *Invalid, as "field code".
func wrongFields(err error) []string {
	var bad *gateway.Invalid
	if !errors.As(err, &bad) {
		return nil
	}
	var out []string
	for _, f := range bad.Fields {
		out = append(out, f.Field+" "+f.Code)
	}
	return out
}

func TestChangeNotice(t *testing.T) {
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		n := g.Issue(func(n *gateway.NewNotice) { n.ExternalID = "gita-1" })
		got, err := change(g, n, gateway.NoticeChange{Amount: to(money.Cents(2000)), DueDate: to("2027-01-31"), Description: to(" Gita a  Siena "),
			Class: to("3C"), DebtorName: to("Maria Anna Rossi"), PayableAfterDue: to(true), Deduction: to("e-bis")})
		if err != nil {
			t.Fatal(err)
		}
		if got.Amount != 2000 || got.DueDate.String() != "2027-01-31" || got.Description != "Gita a Siena" || got.Debtor.Class != "3C" ||
			got.Debtor.Name != "Maria Anna Rossi" || !got.PayableAfterDue || got.Deduction != "e-bis" || got.Version != 2 {
			t.Errorf("changed notice = %+v", got)
		}
		if !slices.Equal(got.PastAmounts, []money.Cents{1650}) || got.Transfers[0].Amount != 2000 ||
			got.Transfers[0].Remittance != "/RFB/"+n.Number.IUV()+"/20.00/TXT/Gita a Siena" {
			t.Errorf("past amounts %v, transfers %+v", got.PastAmounts, got.Transfers)
		}
		if got.Number != n.Number || got.Fingerprint != n.Fingerprint {
			t.Error("a change made another notice of it")
		}
		// The request that made it, sent again, finds it as it is now.
		if again := g.Issue(func(n *gateway.NewNotice) { n.ExternalID = "gita-1" }); again.Number != n.Number || again.Amount != 2000 {
			t.Errorf("issued again: %s of %d", again.Number, again.Amount)
		}
		same, err := change(g, n, gateway.NoticeChange{Amount: to(money.Cents(2000)), Class: to("3C")})
		if err != nil || same.Version != 2 {
			t.Errorf("a change of nothing: version %d, %v", same.Version, err)
		}
		if k := kinds(t, g, n); k != "notice.issued notice.changed" {
			t.Errorf("history: %s", k)
		}
		// An old print pays it.
		v, err := g.Deliver(gatewaytest.Receipt(n, "old-print"))
		if err != nil || !v.Receipt.Settles || v.Receipt.Anomaly != gateway.AnomalyAmount {
			t.Errorf("receipt of the old amount: %+v, %v", v.Receipt, err)
		}
	})
}

func TestChangeRefused(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	n := g.Issue()
	two := g.Issue(func(n *gateway.NewNotice) {
		n.Transfers = []gateway.NewTransfer{{Amount: 1000}, {School: "77777777777", IBAN: gatewaytest.IBAN, Amount: 650}}
	})
	for _, c := range []struct {
		name string
		n    gateway.Notice
		c    gateway.NoticeChange
		want []string
	}{
		{"amount of nothing", n, gateway.NoticeChange{Amount: to(money.Cents(0))}, []string{"amount_cents range"}},
		{"a day that is none", n, gateway.NoticeChange{DueDate: to("2026-02-30")}, []string{"due_date format"}},
		{"empty text", n, gateway.NoticeChange{Description: to(" ")}, []string{"description required"}},
		{"a code in the text", n, gateway.NoticeChange{Description: to("per RSSMRA10A41H501F")}, []string{"description personal_data"}},
		{"no name", n, gateway.NoticeChange{DebtorName: to("")}, []string{"debtor.full_name required"}},
		{"deduction", n, gateway.NoticeChange{Deduction: to("x")}, []string{"deduction unknown"}},
		{"two at once", n, gateway.NoticeChange{DueDate: to(""), Class: to("!")}, []string{"debtor.class format", "due_date format"}},
		{"amount of several transfers", two, gateway.NoticeChange{Amount: to(money.Cents(2000))}, []string{"transfers required"}},
		{"transfers that do not sum", two, gateway.NoticeChange{Amount: to(money.Cents(2000)), Transfers: []gateway.NewTransfer{{Amount: 1000}}}, []string{"transfers sum"}},
	} {
		if _, err := change(g, c.n, c.c); !slices.Equal(wrongFields(err), c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	if got, err := change(g, two, gateway.NoticeChange{Amount: to(money.Cents(2000)), Transfers: []gateway.NewTransfer{{Amount: 2000}}}); err != nil || len(got.Transfers) != 1 {
		t.Errorf("new transfers: %+v, %v", got.Transfers, err)
	}

	paid := g.Issue()
	g.Settle(paid, "")
	held, err := g.Pay(t.Context(), gateway.PayRequest{Key: "k", Notices: []gateway.NoticeRef{{School: n.School, Number: n.Number}}, Method: gateway.MethodCard})
	if err != nil {
		t.Fatal(err)
	}
	gone := g.Issue()
	if _, err := g.Cancel(t.Context(), gatewaytest.Operator, gone.School, gone.Number); err != nil {
		t.Fatal(err)
	}
	none := n
	none.Number = gatewaytest.Number(t, "301000000000000000")
	for _, c := range []struct {
		n    gateway.Notice
		want error
	}{{paid, gateway.ErrNoticePaid}, {n, gateway.ErrInProgress}, {gone, gateway.ErrNoticeCancelled}, {none, gateway.ErrNotFound}} {
		if _, err := change(g, c.n, gateway.NoticeChange{Class: to("1A")}); !errors.Is(err, c.want) {
			t.Errorf("change = %v, want %v (cart %s)", err, c.want, held.ID)
		}
	}
}

// What is expired is read from the day: moving it opens the notice.
func TestExtend(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	n := g.Issue(func(n *gateway.NewNotice) { n.DueDate = "2026-11-01" })
	if s := g.State(n); s != gateway.NoticeExpired {
		t.Fatalf("state %s", s)
	}
	// As a job will store it.
	if err := g.Store.Update(t.Context(), func(tx gateway.Tx) error {
		m, err := tx.LockNotice(n.School, n.Number)
		m.State, m.Version = gateway.NoticeExpired, m.Version+1
		return errors.Join(err, tx.SaveNotice(m))
	}); err != nil {
		t.Fatal(err)
	}
	got, err := change(g, n, gateway.NoticeChange{DueDate: to("2026-11-02")})
	if err != nil || got.State != gateway.NoticeExpired || got.Version != 3 {
		t.Errorf("moved to another past day: %s, version %d, %v", got.State, got.Version, err)
	}
	got, err = change(g, n, gateway.NoticeChange{DueDate: to("2026-12-01")})
	if err != nil || got.State != gateway.NoticeOpen || got.Version != 4 || got.Number != n.Number {
		t.Errorf("moved: %s, version %d, %v", got.State, got.Version, err)
	}
}

func TestDraftIsPublished(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	n := g.Issue(func(n *gateway.NewNotice) { n.Draft = true })
	if n.State != gateway.NoticeDraft || kinds(t, g, n) != "notice.drafted" {
		t.Errorf("draft: %s, %s", n.State, kinds(t, g, n))
	}
	if _, _, err := g.FindPayable(t.Context(), gateway.Addressee{School: n.School, Broker: string(n.School), Station: gatewaytest.Station}, n.Number); !errors.Is(err, gateway.ErrNotFound) {
		t.Errorf("the node asks for a draft: %v", err)
	}
	if got, err := change(g, n, gateway.NoticeChange{Amount: to(money.Cents(900))}); err != nil || len(got.PastAmounts) != 0 || got.State != gateway.NoticeDraft {
		t.Errorf("changed draft: %+v, %v", got, err)
	}
	got, err := change(g, n, gateway.NoticeChange{Open: true})
	if err != nil || got.State != gateway.NoticeOpen || got.Version != 3 {
		t.Errorf("published: %+v, %v", got, err)
	}
	if k := kinds(t, g, n); k != "notice.drafted notice.changed notice.issued" {
		t.Errorf("history: %s", k)
	}
}

func TestRestore(t *testing.T) {
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		restore := func(n gateway.Notice, due string) (gateway.Notice, error) {
			return g.Restore(t.Context(), gatewaytest.Operator, n.School, n.Number, due)
		}
		n := g.Issue()
		if got, err := restore(n, ""); err != nil || got.Version != 1 {
			t.Errorf("restore of an open notice: %+v, %v", got, err)
		}
		if _, err := restore(n, "2027-01-31"); !slices.Equal(wrongFields(err), []string{"due_date unknown"}) {
			t.Errorf("restore of an open notice with a day: %v", err)
		}
		if _, err := g.Cancel(t.Context(), gatewaytest.Operator, n.School, n.Number); err != nil {
			t.Fatal(err)
		}
		if _, err := restore(n, "31/01/2027"); !slices.Equal(wrongFields(err), []string{"due_date format"}) {
			t.Errorf("restore with no day: %v", err)
		}
		got, err := restore(n, "2027-01-31")
		if err != nil || got.State != gateway.NoticeOpen || got.Number != n.Number || got.Version != 3 || got.DueDate.String() != "2027-01-31" {
			t.Errorf("restored: %+v, %v", got, err)
		}
		if k := kinds(t, g, n); k != "notice.issued notice.cancelled notice.restored" {
			t.Errorf("history: %s", k)
		}
		g.Settle(got, "")
		if _, err := restore(n, ""); !errors.Is(err, gateway.ErrNoticePaid) {
			t.Errorf("restore of a paid notice: %v", err)
		}
		draft := g.Issue(func(n *gateway.NewNotice) { n.Draft = true })
		if _, err := restore(draft, ""); !errors.Is(err, gateway.ErrNoticeDraft) {
			t.Errorf("restore of a draft: %v", err)
		}
	})
}

// Money that did not fit waits for the school: it looks, and lets the notice go.
func TestHeldNoticeIsReleased(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	for name, c := range map[string]gateway.NoticeChange{"release": {Release: true}, "new amount": {Amount: to(money.Cents(1550))}} {
		n := g.Issue()
		r := gatewaytest.Receipt(n, "short-"+n.Number.String())
		r.Amount, r.Transfers[0].Amount = 100, 100
		if v, err := g.Deliver(r); err != nil || v.Receipt.Settles {
			t.Fatalf("%+v, %v", v, err)
		}
		if n, _ = g.Notice(t.Context(), n.School, n.Number); !errors.Is(n.Payable(g.Now()), gateway.ErrNoticeHeld) {
			t.Errorf("after a wrong amount: %v", n.Payable(g.Now()))
		}
		got, err := change(g, n, c)
		if err != nil || got.Payable(g.Now()) != nil {
			t.Errorf("%s: %v, then %v", name, err, got.Payable(g.Now()))
		}
	}
}

// plan issues a single option of 300 euro and three instalments.
func plan(g *gatewaytest.Gateway) (single gateway.Notice, parts []gateway.Notice) {
	g.T.Helper()
	out, err := g.Service.Issue(context.Background(), gatewaytest.Operator, gatewaytest.SchoolCode, []gateway.NewNotice{{
		DebtorCode: string(gatewaytest.PupilCode), DebtorName: "Maria Rossi", Class: "3B", Description: "Viaggio a Vienna", Amount: 30000, DueDate: "2026-12-31",
		Instalments: []gateway.NewInstalment{{Amount: 10000, DueDate: "2026-12-31"}, {Amount: 10000, DueDate: "2027-01-31"}, {Amount: 10000, DueDate: "2027-02-28"}},
	}}, false)
	if err != nil {
		g.T.Fatal(err)
	}
	return out[0].Notice, out[0].Instalments
}

func states(g *gatewaytest.Gateway, list ...gateway.Notice) string {
	var out []string
	for _, n := range list {
		out = append(out, string(g.State(n)))
	}
	return strings.Join(out, " ")
}

func TestPlan(t *testing.T) {
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		single, parts := plan(g)
		if len(parts) != 3 || parts[1].Description != "Viaggio a Vienna - rata 2 di 3" || parts[1].Instalment != 2 || parts[1].PlanParts != 3 ||
			parts[1].Plan != single.Plan || single.Instalment != 0 || len(single.PlanNotices) != 4 {
			t.Fatalf("plan: %+v, %+v", single, parts)
		}
		read, err := g.Notice(t.Context(), single.School, parts[0].Number)
		if err != nil || !slices.Equal(read.PlanNotices, single.PlanNotices) {
			t.Errorf("notices of the plan: %v, %v, want %v", read.PlanNotices, err, single.PlanNotices)
		}

		// The first instalment closes the single option, in the receipt's transaction.
		g.Settle(parts[0], "")
		if s := states(g, append([]gateway.Notice{single}, parts...)...); s != "cancelled paid open open" {
			t.Errorf("an instalment is paid: %s", s)
		}
		if k := kinds(t, g, single); k != "notice.issued notice.cancelled" {
			t.Errorf("history of the single option: %s", k)
		}
		if _, err := g.Restore(t.Context(), gatewaytest.Operator, single.School, single.Number, ""); !errors.Is(err, gateway.ErrPlanPaid) {
			t.Errorf("restore of the single option: %v", err)
		}
		g.Settle(parts[1], "")
		if n := g.CountRefunds(single.School); n != 0 {
			t.Errorf("%d refunds", n)
		}
		// A counter far away still takes the single option: 200 euro too many.
		v, err := g.Deliver(gatewaytest.Receipt(single, "far"))
		if err != nil || v.Receipt.Anomaly != gateway.AnomalyCancelled || !v.Receipt.Settles {
			t.Fatalf("%+v, %v", v.Receipt, err)
		}
		if s := states(g, append([]gateway.Notice{single}, parts...)...); s != "paid paid paid cancelled" {
			t.Errorf("both are paid: %s", s)
		}
		refunds := refundsOf(t, g, single.School)
		if len(refunds) != 1 || refunds[0].Amount != 20000 || refunds[0].Reason != "double_payment" {
			t.Errorf("refunds: %+v", refunds)
		}

		// And the other way round.
		single, parts = plan(g)
		g.Settle(single, "")
		if s := states(g, append([]gateway.Notice{single}, parts...)...); s != "paid cancelled cancelled cancelled" {
			t.Errorf("the single option is paid: %s", s)
		}
		if _, err := g.Deliver(gatewaytest.Receipt(parts[2], "far-2")); err != nil {
			t.Fatal(err)
		}
		if r := refundsOf(t, g, single.School); len(r) != 2 {
			t.Errorf("refunds: %+v", r)
		}
	})
}

func refundsOf(t *testing.T, g *gatewaytest.Gateway, school gateway.SchoolCode) (list []gateway.Refund) {
	t.Helper()
	if err := g.Store.View(t.Context(), func(tx gateway.Tx) (err error) {
		list, err = tx.Refunds(school, gateway.RefundFilter{})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return list
}

// Nobody pays both options at once, as long as it happens here.
func TestPlanIsPaidOneWay(t *testing.T) {
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		single, parts := plan(g)
		ref := func(n gateway.Notice) gateway.NoticeRef { return gateway.NoticeRef{School: n.School, Number: n.Number} }
		pay := func(key string, refs ...gateway.NoticeRef) error {
			_, err := g.Pay(t.Context(), gateway.PayRequest{Key: key, Notices: refs, Method: gateway.MethodCard})
			return err
		}
		if err := pay("both", ref(single), ref(parts[0])); len(wrongFields(err)) != 1 {
			t.Errorf("both in a cart: %v", err)
		}
		if err := pay("parts", ref(parts[0]), ref(parts[1])); err != nil {
			t.Errorf("two instalments: %v", err)
		}
		if err := pay("single", ref(single)); !errors.Is(err, gateway.ErrInProgress) {
			t.Errorf("the single option, while instalments are paid: %v", err)
		}
		if err := pay("third", ref(parts[2])); err != nil {
			t.Errorf("the third instalment: %v", err)
		}
		// A page that lapsed holds nothing.
		g.Time.Advance(36 * time.Minute)
		if err := pay("single-2", ref(single)); err != nil {
			t.Errorf("the single option, when the pages lapsed: %v", err)
		}
		// A token at a counter keeps the other option too.
		single, parts = plan(g)
		if _, err := g.Activate(t.Context(), gateway.ActivateRequest{Peer: gateway.Peer{PSP: "BANCAUNO"}, School: single.School, Number: parts[0].Number},
			func(gateway.Activated) []byte { return nil }); err != nil {
			t.Fatal(err)
		}
		if _, _, err := g.FindForPSP(t.Context(), single.School, single.Number); !errors.Is(err, gateway.ErrInProgress) {
			t.Errorf("a PSP asks for the single option: %v", err)
		}
		to := gateway.Addressee{School: single.School, Broker: string(single.School), Station: gatewaytest.Station}
		if _, _, err := g.FindPayable(t.Context(), to, single.Number); !errors.Is(err, gateway.ErrInProgress) {
			t.Errorf("the node asks for the single option: %v", err)
		}
		if _, _, err := g.FindPayable(t.Context(), to, parts[1].Number); err != nil {
			t.Errorf("the node asks for another instalment: %v", err)
		}
	})
}

// Two payments of one plan at the same time: however they meet, the plan is
// closed one way, and what came too much is a refund.
func TestPlanRace(t *testing.T) {
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		for range 5 {
			single, parts := plan(g)
			done := make(chan error)
			for _, n := range []gateway.Notice{parts[1], single, parts[0]} {
				go func() {
					_, err := g.Deliver(gatewaytest.Receipt(n, "rt-"+n.Number.String()))
					done <- err
				}()
			}
			for range 3 {
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
			if s := states(g, single, parts[0], parts[1], parts[2]); s != "paid paid paid cancelled" {
				t.Errorf("after the race: %s", s)
			}
			var back money.Cents
			for _, r := range refundsOf(t, g, single.School) {
				back += r.Amount
			}
			if back%20000 != 0 {
				t.Errorf("%d cents go back, want 200 euro for each plan", back)
			}
		}
	})
}

func TestPlanRefused(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	part := func(amount money.Cents, due string) gateway.NewInstalment {
		return gateway.NewInstalment{Amount: amount, DueDate: due}
	}
	for _, c := range []struct {
		name   string
		change func(*gateway.NewNotice)
		want   []string
	}{
		{"one", func(n *gateway.NewNotice) { n.Instalments = []gateway.NewInstalment{part(1650, "2026-12-31")} }, []string{"instalments length"}},
		{"sum", func(n *gateway.NewNotice) {
			n.Instalments = []gateway.NewInstalment{part(1000, "2026-12-31"), part(651, "2026-12-31")}
		}, []string{"instalments sum"}},
		{"amount and day", func(n *gateway.NewNotice) {
			n.Instalments = []gateway.NewInstalment{part(1650, "2026-13-31"), part(0, "2026-12-31")}
		}, []string{"instalments[0].due_date format", "instalments[1].amount_cents range"}},
		{"transfers", func(n *gateway.NewNotice) {
			n.Transfers = []gateway.NewTransfer{{Amount: 1650}}
			n.Instalments = []gateway.NewInstalment{part(1000, "2026-12-31"), part(650, "2026-12-31")}
		}, []string{"instalments[0].transfers required", "instalments[1].transfers required"}},
	} {
		n := gateway.NewNotice{DebtorCode: string(gatewaytest.PupilCode), DebtorName: "Maria Rossi", Description: "Viaggio", Amount: 1650, DueDate: "2026-12-31"}
		c.change(&n)
		_, err := g.Service.Issue(t.Context(), gatewaytest.Operator, gatewaytest.SchoolCode, []gateway.NewNotice{n}, false)
		if !slices.Equal(wrongFields(err), c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	single, _ := plan(g)
	if _, err := change(g, single, gateway.NoticeChange{Amount: to(money.Cents(1))}); !slices.Equal(wrongFields(err), []string{"amount_cents sum"}) {
		t.Errorf("amount of a plan's notice: %v", err)
	}
}
