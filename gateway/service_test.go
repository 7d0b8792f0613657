// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
	"github.com/nodogate/nodogate/receipts"
)

var ctx = context.Background()

// The receipt table of reliability.md, section 3, row by row.
func TestReceiptTable(t *testing.T) {
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		issue := func(change ...func(*gateway.NewNotice)) (gateway.Notice, receipts.Receipt) {
			n := g.Issue(change...)
			return n, gatewaytest.Receipt(n, "rt-"+n.Number.String())
		}
		deliver := func(t *testing.T, r receipts.Receipt) gateway.Verdict {
			t.Helper()
			v, err := g.Deliver(r)
			if err != nil {
				t.Fatalf("Deliver = %v", err)
			}
			return v
		}
		wants := func(t *testing.T, n gateway.Notice, v gateway.Verdict, state gateway.NoticeState, anomaly gateway.Anomaly, settles bool) {
			t.Helper()
			if v.Duplicate || v.Receipt.Anomaly != anomaly || v.Receipt.Settles != settles {
				t.Errorf("verdict: duplicate %v, anomaly %q, settles %v; want anomaly %q, settles %v", v.Duplicate, v.Receipt.Anomaly, v.Receipt.Settles, anomaly, settles)
			}
			if got := g.State(n); got != state {
				t.Errorf("the notice is %s, want %s", got, state)
			}
			stored, err := g.Receipt(ctx, n.School, v.Receipt.ID)
			if err != nil {
				t.Fatalf("the receipt is not there: %v", err)
			}
			if string(stored.Raw) != fmt.Sprintf("<receipt id=%q/>", v.Receipt.Content.ID) || stored.Digest != receipts.Digest(stored.Raw) {
				t.Errorf("stored bytes %q do not match", stored.Raw)
			}
			if stored.Content.Content() != v.Receipt.Same {
				t.Error("the stored content is not what was delivered")
			}
		}

		t.Run("first, all fits", func(t *testing.T) {
			n, r := issue()
			wants(t, n, deliver(t, r), gateway.NoticePaid, gateway.AnomalyNone, true)
			got, _ := g.Notice(ctx, n.School, n.Number)
			if !got.PaidAt.Equal(r.PaidAt) && r.PaidAt.Before(g.Now()) || got.SettledBy == "" || len(got.Receipts) != 1 {
				t.Errorf("paid at %v, settled by %q, receipts %v", got.PaidAt, got.SettledBy, got.Receipts)
			}
		})
		t.Run("same again", func(t *testing.T) {
			n, r := issue()
			deliver(t, r)
			if v := deliver(t, r); !v.Duplicate || v.Altered {
				t.Errorf("verdict %+v, want a plain duplicate", v)
			}
			if kept, _ := g.Receipts(ctx, n.School, gateway.ReceiptFilter{Notice: n.Number, Limit: 10}); len(kept) != 1 {
				t.Errorf("%d receipts are kept, want 1", len(kept))
			}
		})
		t.Run("same key, other content", func(t *testing.T) {
			n, r := issue()
			deliver(t, r)
			r.Description = "Altro"
			before := g.CountEvidence(gateway.EvidenceAltered)
			if v := deliver(t, r); !v.Duplicate || !v.Altered {
				t.Errorf("verdict %+v, want an altered duplicate", v)
			}
			if got := g.CountEvidence(gateway.EvidenceAltered); got != before+1 {
				t.Errorf("%d pieces of evidence, want %d", got, before+1)
			}
			if kept, _ := g.Receipts(ctx, n.School, gateway.ReceiptFilter{Notice: n.Number, Limit: 10}); len(kept) != 1 {
				t.Errorf("%d receipts are kept, want 1", len(kept))
			}
		})
		t.Run("other receipt, notice paid", func(t *testing.T) {
			n, r := issue()
			deliver(t, r)
			r.ID += "-2"
			wants(t, n, deliver(t, r), gateway.NoticePaid, gateway.AnomalyDouble, false)
			if got := g.CountRefunds(n.School); got == 0 {
				t.Error("no refund task for the school")
			}
		})
		t.Run("cancelled meanwhile", func(t *testing.T) {
			n, r := issue()
			if _, err := g.Cancel(ctx, gatewaytest.Operator, n.School, n.Number); err != nil {
				t.Fatal(err)
			}
			wants(t, n, deliver(t, r), gateway.NoticePaid, gateway.AnomalyCancelled, true)
		})
		t.Run("expired meanwhile", func(t *testing.T) {
			n, r := issue(func(in *gateway.NewNotice) { in.DueDate = "2026-11-22" })
			wants(t, n, deliver(t, r), gateway.NoticePaid, gateway.AnomalyExpired, true)
		})
		t.Run("too little, then the rest", func(t *testing.T) {
			n, r := issue()
			r.Amount, r.Transfers[0].Amount = 1000, 1000
			wants(t, n, deliver(t, r), gateway.NoticeOpen, gateway.AnomalyAmount, false)
			_, err := g.Pay(ctx, gateway.PayRequest{Key: "held", Notices: []gateway.NoticeRef{{School: n.School, Number: n.Number}}, Method: gateway.MethodCard})
			if !errors.Is(err, gateway.ErrNoticeHeld) {
				t.Errorf("paying online = %v, want ErrNoticeHeld", err)
			}
			r.ID, r.Amount, r.Transfers[0].Amount = r.ID+"-2", 650, 650
			wants(t, n, deliver(t, r), gateway.NoticePaid, gateway.AnomalyAmount, true)
		})
		t.Run("too much", func(t *testing.T) {
			n, r := issue()
			r.Amount, r.Transfers[0].Amount = 1700, 1700
			wants(t, n, deliver(t, r), gateway.NoticePaid, gateway.AnomalyAmount, true)
		})
		t.Run("we are a beneficiary only", func(t *testing.T) {
			n, r := issue()
			r.Creditor, r.ID = "97735020584", "rt-beneficiary"
			v, err := g.RecordReceipt(ctx, gateway.Delivery{
				Addressee: gateway.Addressee{School: n.School, Broker: string(n.School), Station: gatewaytest.Station},
				Channel:   gateway.ChannelNode, Receipt: r, Raw: []byte("raw"),
			})
			if err != nil || v.Receipt.Role != gateway.RoleBeneficiary || v.Receipt.Anomaly != gateway.AnomalyNone || !v.Receipt.Notice.IsZero() {
				t.Errorf("verdict %+v, %v", v, err)
			}
			if got := g.State(n); got != gateway.NoticeOpen {
				t.Errorf("the notice is %s", got)
			}
		})
		t.Run("unknown notice", func(t *testing.T) {
			n, _ := issue()
			n.Number = gatewaytest.Number(t, "301202600000004244")
			r := gatewaytest.Receipt(n, "rt-unknown")
			v := deliver(t, r)
			if v.Receipt.Anomaly != gateway.AnomalyUnknown || v.Receipt.Settles || !v.Receipt.Notice.IsZero() {
				t.Errorf("verdict %+v", v)
			}
			if list, _ := g.Receipts(ctx, n.School, gateway.ReceiptFilter{Anomaly: string(gateway.AnomalyUnknown), Limit: 10}); len(list) != 1 {
				t.Errorf("%d receipts listed as unknown_notice, want 1", len(list))
			}
		})
		other := g.AddSchool(gatewaytest.OtherCode, "Liceo Galilei")
		t.Run("another station of ours", func(t *testing.T) {
			n, r := issue()
			v, err := g.RecordReceipt(ctx, gateway.Delivery{
				Addressee: gateway.Addressee{School: n.School, Broker: other.Broker, Station: other.Station},
				Channel:   gateway.ChannelNode, Receipt: r, Raw: fmt.Appendf(nil, "<receipt id=%q/>", r.ID),
			})
			if err != nil {
				t.Fatal(err)
			}
			wants(t, n, v, gateway.NoticePaid, gateway.AnomalyStation, true)
		})
		t.Run("another station of ours under the right broker", func(t *testing.T) {
			n, r := issue()
			v, err := g.RecordReceipt(ctx, gateway.Delivery{
				Addressee: gateway.Addressee{School: n.School, Broker: string(n.School), Station: other.Station},
				Channel:   gateway.ChannelNode, Receipt: r, Raw: fmt.Appendf(nil, "<receipt id=%q/>", r.ID),
			})
			if err != nil {
				t.Fatal(err)
			}
			wants(t, n, v, gateway.NoticePaid, gateway.AnomalyStation, true)
		})
		for name, spoil := range map[string]func(*receipts.Receipt){
			"transfers do not sum": func(r *receipts.Receipt) { r.Transfers[0].Amount++ },
			"an idTransfer twice": func(r *receipts.Receipt) {
				r.Transfers = append(r.Transfers, r.Transfers[0])
				r.Amount *= 2
			},
			"another IUV": func(r *receipts.Receipt) { r.CreditorReferenceID = "01202600000004244" },
			"outcome KO":  func(r *receipts.Receipt) { r.Outcome = "KO" },
		} {
			t.Run("contradicts itself: "+name, func(t *testing.T) {
				n, r := issue()
				spoil(&r)
				before := g.CountEvidence(gateway.EvidenceInconsistent)
				if _, err := g.Deliver(r); !errors.Is(err, receipts.ErrInconsistent) {
					t.Errorf("Deliver = %v, want ErrInconsistent", err)
				}
				if got := g.CountEvidence(gateway.EvidenceInconsistent); got != before+1 {
					t.Errorf("%d pieces of evidence, want %d", got, before+1)
				}
				if got := g.State(n); got != gateway.NoticeOpen {
					t.Errorf("the notice is %s", got)
				}
			})
		}
		for name, tc := range map[string]struct {
			to   gateway.Addressee
			want error
		}{
			"school not ours":  {gateway.Addressee{School: "97735020584", Broker: "80014480828", Station: gatewaytest.Station}, gateway.ErrUnknownSchool},
			"broker not ours":  {gateway.Addressee{School: gatewaytest.SchoolCode, Broker: "97735020584", Station: gatewaytest.Station}, gateway.ErrUnknownBroker},
			"station not ours": {gateway.Addressee{School: gatewaytest.SchoolCode, Broker: "80014480828", Station: "80014480828_99"}, gateway.ErrUnknownStation},
		} {
			t.Run(name, func(t *testing.T) {
				n, r := issue()
				before := g.CountEvidence(gateway.EvidenceRefused)
				_, err := g.RecordReceipt(ctx, gateway.Delivery{Addressee: tc.to, Channel: gateway.ChannelNode, Receipt: r, Raw: []byte("raw")})
				if !errors.Is(err, tc.want) {
					t.Errorf("RecordReceipt = %v, want %v", err, tc.want)
				}
				if got := g.CountEvidence(gateway.EvidenceRefused); got != before+1 {
					t.Errorf("%d pieces of evidence, want %d", got, before+1)
				}
				if got := g.State(n); got != gateway.NoticeOpen {
					t.Errorf("the notice is %s", got)
				}
			})
		}
	})
}

// Fifty deliveries of one receipt at once settle the notice once.
func TestOneReceiptManyTimesAtOnce(t *testing.T) {
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		n := g.Issue()
		r := gatewaytest.Receipt(n, "rt-1")
		var wg sync.WaitGroup
		fresh := make(chan bool, 50)
		for range 50 {
			wg.Go(func() {
				v, err := g.Deliver(r)
				if err != nil {
					t.Errorf("Deliver = %v", err)
				}
				fresh <- !v.Duplicate
			})
		}
		wg.Wait()
		close(fresh)
		count := 0
		for f := range fresh {
			if f {
				count++
			}
		}
		if count != 1 {
			t.Errorf("%d deliveries were taken as new, want 1", count)
		}
	})
}

func ref(n gateway.Notice) gateway.NoticeRef {
	return gateway.NoticeRef{School: n.School, Number: n.Number}
}

func TestPay(t *testing.T) {
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		family := g.Family()
		pay := func(key string, notices ...gateway.Notice) (gateway.Cart, error) {
			req := gateway.PayRequest{Key: key, Method: gateway.MethodCard, Account: &family, Actor: gatewaytest.Operator}
			for _, n := range notices {
				req.Notices = append(req.Notices, ref(n))
			}
			return g.Pay(ctx, req)
		}

		t.Run("two notices, settled one by one", func(t *testing.T) {
			a, b := g.Issue(), g.Issue()
			cart, err := pay("two", a, b)
			if err != nil {
				t.Fatal(err)
			}
			if cart.State != gateway.CartRedirected || cart.PSP != "BANCAUNO" || cart.Fee != 100 || cart.Amount() != 3300 || cart.Redirect == "" {
				t.Errorf("cart %+v", cart)
			}
			if n, _ := g.Notice(ctx, a.School, a.Number); n.Payment == nil || n.Payment.State != gateway.AttemptSent || n.State != gateway.NoticeOpen {
				t.Errorf("while paying the notice is %s with payment %+v", n.State, n.Payment)
			}
			g.Settle(a, cart.ID)
			if c, _ := g.Cart(ctx, cart.ID); c.State != gateway.CartRedirected {
				t.Errorf("after the first receipt the cart is %s", c.State)
			}
			g.Settle(b, cart.ID)
			if c, _ := g.Cart(ctx, cart.ID); c.State != gateway.CartClosedOK {
				t.Errorf("after both receipts the cart is %s", c.State)
			}
			if counts, _ := g.CountAttempts(ctx); len(counts) != 0 {
				t.Errorf("attempts left alive: %v", counts)
			}
		})
		t.Run("the same key is the same cart", func(t *testing.T) {
			n := g.Issue()
			first, err := pay("same", n)
			if err != nil {
				t.Fatal(err)
			}
			before := len(g.PSPs.Orders())
			second, err := pay("same", n)
			if err != nil || second.ID != first.ID || second.Redirect != first.Redirect {
				t.Errorf("second Pay = %+v, %v", second, err)
			}
			if got := len(g.PSPs.Orders()); got != before {
				t.Errorf("the PSP got %d orders more", got-before)
			}
		})
		t.Run("another key while one is alive", func(t *testing.T) {
			n := g.Issue()
			if _, err := pay("one", n); err != nil {
				t.Fatal(err)
			}
			if _, err := pay("other", n); !errors.Is(err, gateway.ErrInProgress) {
				t.Errorf("Pay = %v, want ErrInProgress", err)
			}
			if _, err := g.Cancel(ctx, gatewaytest.Operator, n.School, n.Number); !errors.Is(err, gateway.ErrInProgress) {
				t.Errorf("Cancel = %v, want ErrInProgress", err)
			}
		})
		t.Run("a page nobody answered for lapses", func(t *testing.T) {
			n := g.Issue()
			cart, err := pay("lapse", n)
			if err != nil {
				t.Fatal(err)
			}
			g.Time.Advance(34 * time.Minute)
			if ended, err := g.Sweep(ctx); err != nil || ended != 0 {
				t.Errorf("before its time Sweep = %d, %v", ended, err)
			}
			g.Time.Advance(time.Minute)
			if _, err := g.Sweep(ctx); err != nil {
				t.Error(err)
			}
			if c, _ := g.Cart(ctx, cart.ID); c.State != gateway.CartClosedExpired {
				t.Errorf("the cart is %s", c.State)
			}
			if _, err := pay("again", n); err != nil {
				t.Errorf("paying again = %v", err)
			}
			// The receipt of the first page comes after all.
			g.Settle(n, cart.ID)
			if got := g.State(n); got != gateway.NoticePaid {
				t.Errorf("the notice is %s", got)
			}
		})
		t.Run("nobody waits for the sweep", func(t *testing.T) {
			n := g.Issue()
			if _, err := pay("w1", n); err != nil {
				t.Fatal(err)
			}
			g.Time.Advance(35 * time.Minute)
			if _, err := pay("w2", n); err != nil {
				t.Errorf("paying after the time is over = %v", err)
			}
		})
		for name, tc := range map[string]struct {
			err  error
			want gateway.AttemptState
		}{
			"refused":     {gateway.ErrRefused, gateway.AttemptFailed},
			"unavailable": {gateway.ErrPSPUnavailable, gateway.AttemptAbandoned},
			"unknown":     {gateway.ErrOutcomeUnknown, gateway.AttemptAbandoned},
		} {
			t.Run("the PSP's answer: "+name, func(t *testing.T) {
				n := g.Issue()
				g.PSPs.OnStart(func(context.Context, gateway.PSPID, gateway.Order) (gateway.Started, error) {
					return gateway.Started{}, tc.err
				})
				_, err := pay("psp-"+name, n)
				g.PSPs.OnStart(nil)
				if !errors.Is(err, tc.err) {
					t.Errorf("Pay = %v, want %v", err, tc.err)
				}
				events, err := g.Events(ctx, n.School, n.Number)
				if err != nil || len(events) != 3 || events[2].State != tc.want {
					t.Errorf("events %+v, %v; want the end %s", events, err, tc.want)
				}
				// Nothing stands in the way: the same request is tried again.
				if cart, err := pay("psp-"+name, n); err != nil || cart.State != gateway.CartRedirected {
					t.Errorf("the second try = %s, %v", cart.State, err)
				}
			})
		}
		t.Run("a receipt quicker than the PSP's answer", func(t *testing.T) {
			n := g.Issue()
			g.PSPs.OnStart(func(_ context.Context, _ gateway.PSPID, o gateway.Order) (gateway.Started, error) {
				g.Settle(n, o.Cart)
				return gateway.Started{Redirect: "https://psp.example/late"}, nil
			})
			cart, err := pay("quick", n)
			g.PSPs.OnStart(nil)
			if err != nil || cart.State != gateway.CartClosedOK {
				t.Errorf("Pay = %s, %v; want a closed cart", cart.State, err)
			}
		})
		t.Run("paid at a counter while the page is open", func(t *testing.T) {
			n := g.Issue()
			cart, err := pay("counter", n)
			if err != nil {
				t.Fatal(err)
			}
			g.Settle(n, "another-cart")
			if c, _ := g.Cart(ctx, cart.ID); c.State != gateway.CartRedirected {
				t.Errorf("the cart is %s: that money was not this cart's", c.State)
			}
		})
		t.Run("refusals", func(t *testing.T) {
			paid, gone, late, foreign := g.Issue(), g.Issue(), g.Issue(func(in *gateway.NewNotice) { in.DueDate = "2026-11-22" }), g.Issue(func(in *gateway.NewNotice) { in.DebtorCode = "BSCMTT83A12L719R" })
			g.Settle(paid, "")
			if _, err := g.Cancel(ctx, gatewaytest.Operator, gone.School, gone.Number); err != nil {
				t.Fatal(err)
			}
			for i, tc := range []struct {
				n    gateway.Notice
				want error
			}{{paid, gateway.ErrNoticePaid}, {gone, gateway.ErrNoticeCancelled}, {late, gateway.ErrNoticeExpired}, {foreign, gateway.ErrNotFound}} {
				if _, err := pay(fmt.Sprint("refusal", i), tc.n); !errors.Is(err, tc.want) {
					t.Errorf("Pay %d = %v, want %v", i, err, tc.want)
				}
			}
			var six []gateway.Notice
			for range 6 {
				six = append(six, g.Issue())
			}
			for name, notices := range map[string][]gateway.Notice{"none": nil, "six": six, "one twice": {six[0], six[0]}} {
				var bad *gateway.Invalid
				if _, err := pay("bad-"+name, notices...); !errors.As(err, &bad) {
					t.Errorf("%s: Pay = %v, want *Invalid", name, err)
				}
			}
			g.PSPs.Down("POSTE", true)
			_, err := g.Pay(ctx, gateway.PayRequest{Key: "down", Notices: []gateway.NoticeRef{ref(six[0])}, Method: gateway.MethodBulletin, Account: &family})
			if !errors.Is(err, gateway.ErrPSPUnavailable) {
				t.Errorf("Pay with a PSP that is down = %v", err)
			}
			_, err = g.Pay(ctx, gateway.PayRequest{Key: "return", Notices: []gateway.NoticeRef{ref(six[0])}, Method: gateway.MethodCard, ReturnURL: "https://evil.example/"})
			if bad := (*gateway.Invalid)(nil); !errors.As(err, &bad) {
				t.Errorf("Pay with a foreign return address = %v", err)
			}
		})
		t.Run("many at once on one notice", func(t *testing.T) {
			n := g.Issue()
			var wg sync.WaitGroup
			won := make(chan string, 16)
			for i := range 16 {
				wg.Go(func() {
					cart, err := pay(fmt.Sprint("race", i), n)
					switch {
					case err == nil:
						won <- cart.ID
					case !errors.Is(err, gateway.ErrInProgress):
						t.Errorf("Pay = %v", err)
					}
				})
			}
			wg.Wait()
			if len(won) != 1 {
				t.Errorf("%d carts were opened, want 1", len(won))
			}
		})
	})
}

func TestIssue(t *testing.T) {
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		in := gateway.NewNotice{
			DebtorCode: "rssmra10a41h501f", DebtorName: " Maria\n Rossi ", Class: "3B", Description: "Assicurazione integrativa",
			Amount: 850, DueDate: "2026-12-31", ExternalID: "ass-0001",
		}
		issue := func(in ...gateway.NewNotice) ([]gateway.Issued, error) {
			return g.Service.Issue(ctx, gatewaytest.Operator, gatewaytest.SchoolCode, in, true)
		}
		first, err := issue(in)
		if err != nil {
			t.Fatal(err)
		}
		n := first[0].Notice
		if n.Number.Aux() != 3 || n.Number.Segregation() != "01" || !n.Number.CheckOK() {
			t.Errorf("number %s", n.Number)
		}
		if n.Debtor.Name != "Maria Rossi" || n.Debtor.Code != gatewaytest.PupilCode {
			t.Errorf("debtor %+v", n.Debtor)
		}
		if want := "/RFB/" + n.Number.IUV() + "/8.50/TXT/Assicurazione integrativa"; len(n.Transfers) != 1 || n.Transfers[0].Remittance != want {
			t.Errorf("transfers %+v", n.Transfers)
		}
		again, err := issue(in)
		if err != nil || !again[0].Existed || again[0].Notice.Number != n.Number {
			t.Errorf("the same external id again = %+v, %v", again, err)
		}
		other := in
		other.Amount = 900
		if _, err := issue(other); !errors.Is(err, gateway.ErrExists) {
			t.Errorf("the same external id with another amount = %v", err)
		}
		own := in
		own.ExternalID, own.Number = "ass-0002", "301202600000004244"
		if out, err := issue(own); err != nil || out[0].Notice.Number.String() != own.Number {
			t.Errorf("a number brought along = %+v, %v", out, err)
		}
		own.ExternalID = "ass-0003"
		if _, err := issue(own); !errors.Is(err, gateway.ErrExists) {
			t.Errorf("the same number again = %v", err)
		}
		bad := in
		bad.ExternalID, bad.DebtorCode, bad.Amount, bad.DueDate, bad.Description = "x", "RSSMRA10A41H501X", 0, "31/12/2026", "Gita di RSSMRA10A41H501F"
		_, err = issue(gateway.NewNotice{DebtorCode: "ANONIMO", DebtorName: "x", Description: "x", Amount: 1, DueDate: "2026-12-31"}, bad)
		var invalid *gateway.Invalid
		if !errors.As(err, &invalid) {
			t.Fatalf("a wrong notice = %v", err)
		}
		got := map[string]string{}
		for _, f := range invalid.Fields {
			got[f.Field] = f.Code
		}
		want := map[string]string{"notices[1].debtor.fiscal_code": "check_letter", "notices[1].amount_cents": "range", "notices[1].due_date": "format", "notices[1].description": "personal_data"}
		for f, code := range want {
			if got[f] != code {
				t.Errorf("field %s: code %q, want %q", f, got[f], code)
			}
		}
		if list, _ := g.Notices(ctx, gatewaytest.SchoolCode, gateway.NoticeFilter{Limit: 10}); len(list) != 2 {
			t.Errorf("%d notices after a refused batch, want 2: all or none", len(list))
		}
		split := in
		split.ExternalID, split.Amount = "split", 1000
		split.Transfers = []gateway.NewTransfer{{Amount: 600}, {Amount: 400, School: "97735020584", IBAN: "IT50H0100003245142300316570"}}
		out, err := issue(split)
		if err != nil || len(out[0].Notice.Transfers) != 2 || out[0].Notice.Transfers[1].ID != 2 {
			t.Errorf("two beneficiaries = %+v, %v", out, err)
		}
		split.ExternalID, split.Transfers[0].ID, split.Transfers[1].ID = "split", 1, 2
		if out, err := issue(split); err != nil || !out[0].Existed {
			t.Errorf("the same with the ids of its transfers = %+v, %v", out, err)
		}
		split.Transfers[0].ID = 2
		if _, err := issue(split); !errors.As(err, &invalid) {
			t.Errorf("ids out of order = %v", err)
		}
		split.Transfers[0].ID = 1
		split.ExternalID, split.Transfers[0].Amount = "split2", 500
		if _, err := issue(split); !errors.As(err, &invalid) {
			t.Errorf("transfers that do not sum = %v", err)
		}
	})
}

// A number that a caller brought is met by the counter later: the next one is
// taken, nobody notices. The store is told the number of its next counter.
func TestNumberBroughtAlongIsSteppedOver(t *testing.T) {
	g := gatewaytest.New(t)
	n := g.Issue()
	// The next number of the block is known only by issuing in a transaction
	// that is then undone.
	var next string
	undo := errors.New("undo")
	err := g.Atomically(ctx, func(ctx context.Context, _ gateway.Tx) error {
		out, err := g.Service.Issue(ctx, gatewaytest.Operator, n.School, []gateway.NewNotice{{DebtorCode: "ANONIMO", DebtorName: "x", Description: "x", Amount: 1, DueDate: "2026-12-31"}}, false)
		if err != nil {
			return err
		}
		next = out[0].Notice.Number.String()
		return undo
	})
	if !errors.Is(err, undo) {
		t.Fatal(err)
	}
	g.Issue(func(in *gateway.NewNotice) { in.Number = next })
	err = g.Atomically(ctx, func(ctx context.Context, _ gateway.Tx) error {
		out, err := g.Service.Issue(ctx, gatewaytest.Operator, n.School, []gateway.NewNotice{{DebtorCode: "ANONIMO", DebtorName: "x", Description: "x", Amount: 1, DueDate: "2026-12-31"}}, false)
		if err == nil && out[0].Notice.Number.String() == next {
			t.Error("a number was given twice")
		}
		return err
	})
	if err != nil {
		t.Errorf("issuing over a taken number = %v", err)
	}
}

func TestLogIn(t *testing.T) {
	g := gatewaytest.New(t)
	a := g.Family()
	if got, err := g.LogIn(ctx, " Mario.Rossi ", gatewaytest.Password); err != nil || got.ID != a.ID {
		t.Fatalf("LogIn = %+v, %v", got, err)
	}
	for range 5 {
		if _, err := g.LogIn(ctx, a.Username, "Sbagliata1"); !errors.Is(err, gateway.ErrCredentials) {
			t.Fatalf("wrong password = %v", err)
		}
	}
	if _, err := g.LogIn(ctx, a.Username, gatewaytest.Password); !errors.Is(err, gateway.ErrCredentials) {
		t.Errorf("right password while locked = %v", err)
	}
	g.Time.Advance(2 * time.Second)
	if _, err := g.LogIn(ctx, a.Username, gatewaytest.Password); err != nil {
		t.Errorf("right password after the lock = %v", err)
	}
	if _, err := g.LogIn(ctx, "nessuno", gatewaytest.Password); !errors.Is(err, gateway.ErrCredentials) {
		t.Errorf("unknown user = %v", err)
	}
	if err := g.ChangePassword(ctx, a.ID, "", gatewaytest.Password, "Tre-Gatti-9"); err != nil {
		t.Fatal(err)
	}
	for action, want := range map[string]int{"account.locked": 1, "account.password_changed": 1} {
		list, err := g.Audits(ctx, "", gateway.AuditFilter{Action: action, Limit: 10})
		if err != nil || len(list) != want || list[0].Object != a.ID {
			t.Errorf("the trail has %+v of %s, %v; want %d of the account", list, action, err, want)
		}
	}
}

func TestFamilySeesOnlyItsOwn(t *testing.T) {
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		family := g.Family()
		mine := g.Issue()
		foreign := g.Issue(func(in *gateway.NewNotice) { in.DebtorCode = "BSCMTT83A12L719R" })
		own := g.Issue(func(in *gateway.NewNotice) { in.DebtorCode = string(gatewaytest.ParentCode) })
		list, err := g.FamilyNotices(ctx, family)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]string{}
		for _, n := range list {
			seen[n.Number.String()] = n.Pupil.ID
		}
		if len(seen) != 2 || seen[mine.Number.String()] != "p1" || seen[own.Number.String()] != "" {
			t.Errorf("sees %v", seen)
		}
		if _, err := g.FamilyNotice(ctx, family, foreign.School, foreign.Number); !errors.Is(err, gateway.ErrNotFound) {
			t.Errorf("another family's notice = %v", err)
		}
		family.Proven = false
		if list, err := g.FamilyNotices(ctx, family); err != nil || len(list) != 0 {
			t.Errorf("an unproven account sees %d notices, %v", len(list), err)
		}
	})
}

func TestAddSchool(t *testing.T) {
	g := gatewaytest.New(t)
	in := gateway.NewSchool{Code: string(gatewaytest.SchoolCode), Name: "IC 6 Grosseto", IBAN: gatewaytest.IBAN, Segregation: "01", Station: gatewaytest.Station}
	if _, created, err := g.Service.AddSchool(ctx, gatewaytest.Operator, in); err != nil || created {
		t.Errorf("the same data again = %v, %v", created, err)
	}
	in.Name = "Altra"
	if _, _, err := g.Service.AddSchool(ctx, gatewaytest.Operator, in); !errors.Is(err, gateway.ErrExists) {
		t.Errorf("other data = %v", err)
	}
	for name, spoil := range map[string]func(*gateway.NewSchool){
		"fiscal_code": func(s *gateway.NewSchool) { s.Code = "80014480829" },
		"iban":        func(s *gateway.NewSchool) { s.IBAN = "IT60X0542811101000000123457" },
		"station":     func(s *gateway.NewSchool) { s.Station = "x" },
		"taxonomy":    func(s *gateway.NewSchool) { s.Taxonomy = "x" },
		"postal_iban": func(s *gateway.NewSchool) {
			s.PostalAccount, s.PostalIBAN, s.PostalHolder, s.PostalAuth = "1016", gatewaytest.IBAN, "x", "x"
		},
	} {
		in := gateway.NewSchool{Code: "80015010723", Name: "x", IBAN: gatewaytest.IBAN, Segregation: "01"}
		spoil(&in)
		_, _, err := g.Service.AddSchool(ctx, gatewaytest.Operator, in)
		var bad *gateway.Invalid
		if !errors.As(err, &bad) || len(bad.Fields) != 1 || bad.Fields[0].Field != name {
			t.Errorf("%s: AddSchool = %v", name, err)
		}
	}
}

func TestClients(t *testing.T) {
	g := gatewaytest.New(t)
	c, secret := g.Client(gatewaytest.SchoolCode, gateway.ScopeNoticesRead)
	if got, err := g.AuthenticateClient(ctx, c.ID, secret); err != nil || got.ID != c.ID || got.May(gateway.ScopeNoticesWrite) {
		t.Fatalf("AuthenticateClient = %+v, %v", got, err)
	}
	if _, err := g.AuthenticateClient(ctx, c.ID, secret+"x"); !errors.Is(err, gateway.ErrCredentials) {
		t.Errorf("wrong secret = %v", err)
	}
	if _, err := g.AuthenticateClient(ctx, "nobody", secret); !errors.Is(err, gateway.ErrCredentials) {
		t.Errorf("unknown client = %v", err)
	}
	if err := g.RevokeClient(ctx, gatewaytest.Operator, c.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := g.AuthenticateClient(ctx, c.ID, secret); !errors.Is(err, gateway.ErrCredentials) {
		t.Errorf("revoked client = %v", err)
	}
	if _, _, err := g.AddClient(ctx, gatewaytest.Operator, gatewaytest.SchoolCode, "x", []string{"everything"}); err == nil {
		t.Error("an unknown scope was given")
	}
}
