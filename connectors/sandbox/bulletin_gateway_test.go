// SPDX-License-Identifier: Apache-2.0

package sandbox_test

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nodogate/nodogate/connectors"
	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
	"github.com/nodogate/nodogate/iuv"
)

// The receipt comes with the post office's outcome. The school has no postal
// account: it is paid online all the same.
func TestBulletinReceipt(t *testing.T) {
	t.Parallel()
	r := newLinkedRig(t, "bollettino", nil)
	list, cart := r.pay(2)
	r.press(cart, "paga")
	r.want(list, cart, gateway.NoticePaid, gateway.CartClosedOK, "")
	got, err := r.Receipts(t.Context(), list[0].School, gateway.ReceiptFilter{})
	if err != nil || len(got) != 2 {
		t.Fatalf("%d receipts, %v; want 2", len(got), err)
	}
	for _, rec := range got {
		c := rec.Content
		if rec.Channel != gateway.ChannelPSP || c.PSP.ID != "POSTE" || c.Amount != 1650 || c.Fee == nil || *c.Fee != 100 || c.PaymentNote != cart.ID {
			t.Errorf("receipt by %s: %+v", rec.Channel, c)
		}
	}
}

// It has the money and cannot reach us: asked, it says that it was ordered. That
// is no receipt, and no end either.
func TestBulletinOrderedAndNotTold(t *testing.T) {
	t.Parallel()
	r := newLinkedRig(t, "bollettino", nil)
	list, cart := r.pay(1)
	r.shut.Store(true)
	r.press(cart, "paga")
	r.poll(5 * time.Second)
	r.want(list, cart, gateway.NoticeOpen, gateway.CartRedirected, gateway.AttemptAuthorised)
	r.poll(40 * time.Minute)
	r.want(list, cart, gateway.NoticeOpen, gateway.CartRedirected, gateway.AttemptAuthorised)
	r.shut.Store(false)
	if err := r.box.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.want(list, cart, gateway.NoticePaid, gateway.CartClosedOK, "")
}

// The PSP's own word frees the notice when its KO is lost; and a page that was
// left is over when the PSP says so.
func TestBulletinEndsByAsking(t *testing.T) {
	t.Parallel()
	for button, silent := range map[string]bool{"rifiuta": true, "annulla": true, "chiudi": false} {
		t.Run(button, func(t *testing.T) {
			t.Parallel()
			r := newLinkedRig(t, "bollettino", nil)
			list, cart := r.pay(1)
			r.shut.Store(silent)
			r.press(cart, button)
			r.want(list, cart, gateway.NoticeOpen, gateway.CartRedirected, gateway.AttemptSent)
			r.poll(5 * time.Second)
			if !silent {
				r.want(list, cart, gateway.NoticeOpen, gateway.CartRedirected, gateway.AttemptSent)
				r.poll(16 * time.Minute)
			}
			r.want(list, cart, gateway.NoticeOpen, gateway.CartClosedKO, "")
			r.shut.Store(false)
		})
	}
}

// counter presses a button at the counter and gives the page.
func (r *bankRig) counter(psp, paper, button string) (status int, text string) {
	r.t.Helper()
	form := url.Values{"bollettino": {paper}, "azione": {button}}
	req, err := http.NewRequestWithContext(r.t.Context(), "POST", r.app.JoinPath(psp, "sportello").String(), strings.NewReader(form.Encode()))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := browser().Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// A PSP that is paid with printed bulletins alone: nothing is opened, the paper is
// paid at the counter, and the cart ends as its notices do.
func TestPrintedBulletinIsPaidAtTheCounter(t *testing.T) {
	t.Parallel()
	r := newLinkedRig(t, "bollettino", []connectors.PSP{{
		ID: "SPORTELLO", Name: "Sportello postale", Methods: []gateway.Method{gateway.MethodBulletin}, Connector: "bollettino",
		Options: map[string]string{"online": "no"}, Fees: []connectors.Band{{Fee: 170}},
	}})
	school := r.AddPostal(gatewaytest.OtherCode, "Liceo Galilei")
	var list []gateway.Notice
	req := gateway.PayRequest{Key: "paper", Method: gateway.MethodBulletin, PSP: "SPORTELLO", Actor: gatewaytest.Operator, School: school.Code}
	for range 2 {
		n := r.IssueAt(school.Code)
		list = append(list, n)
		req.Notices = append(req.Notices, gateway.NoticeRef{School: n.School, Number: n.Number})
	}
	cart, err := r.Pay(t.Context(), req)
	if err != nil || !cart.Printed() {
		t.Fatalf("Pay = %+v, %v", cart, err)
	}
	papers, err := r.Bulletins(t.Context(), cart.ID)
	if err != nil || len(papers) != 2 {
		t.Fatalf("Bulletins = %+v, %v", papers, err)
	}
	for i, p := range papers {
		d := iuv.DataMatrix{Notice: p.Notice.Number, Account: p.School.Postal.Account, Cents: int64(p.Notice.Amount), Creditor: string(p.School.Code),
			DebtorCode: string(p.Notice.Debtor.Code), DebtorName: p.Notice.Debtor.Name, Subject: p.Notice.Description}
		paper, err := d.Text()
		if err != nil {
			t.Fatal(err)
		}
		if status, text := r.counter("POSTE", paper, "cerca"); status != http.StatusOK || !strings.Contains(text, "17,50 €") {
			t.Fatalf("the counter reads: %d %s", status, text)
		}
		if n, err := r.Notice(t.Context(), p.School.Code, p.Notice.Number); err != nil || n.Token != nil {
			t.Errorf("asking holds the notice: %+v, %v", n.Token, err)
		}
		if status, text := r.counter("POSTE", paper, "paga"); status != http.StatusOK || !strings.Contains(text, "Bollettino pagato") {
			t.Fatalf("the counter takes: %d %s", status, text)
		}
		want := gateway.CartRedirected
		if i == 1 {
			want = gateway.CartClosedOK
		}
		if c, err := r.Cart(t.Context(), cart.ID); err != nil || c.State != want {
			t.Errorf("after %d of 2 the cart is %s, %v; want %s", i+1, c.State, err, want)
		}
		if status, text := r.counter("POSTE", paper, "paga"); status != http.StatusConflict || !strings.Contains(text, "già pagato") {
			t.Errorf("the same paper again: %d %s", status, text)
		}
	}
	r.want(list, cart, gateway.NoticePaid, gateway.CartClosedOK, "")
	// A school without a postal account has no paper, and no cart is made.
	n := r.Issue()
	req.Key, req.School, req.Notices = "no paper", n.School, []gateway.NoticeRef{{School: n.School, Number: n.Number}}
	if c, err := r.Pay(t.Context(), req); !errors.Is(err, gateway.ErrNoBulletin) {
		t.Errorf("Pay = %+v, %v; want no bulletin", c, err)
	}
	if status, _ := r.counter("SPORTELLO", "x", "cerca"); status != http.StatusNotFound {
		t.Errorf("the counter of who does not call the node: %d", status)
	}
}

// A late one: its order reads expired, so another pays the notice; then the money
// turns up, and is kept as what it is.
func TestBulletinLateAfterAnother(t *testing.T) {
	t.Parallel()
	r := newLinkedRig(t, "bollettino", nil)
	list, cart := r.pay(1)
	n := list[0]
	r.shut.Store(true) // it cannot tell yet
	r.press(cart, "paga")
	// The page was left long ago, as far as we know: the school settles it by hand.
	r.Settle(n, "")
	r.shut.Store(false)
	if err := r.box.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, err := r.Receipts(t.Context(), n.School, gateway.ReceiptFilter{Notice: n.Number})
	if err != nil || len(got) != 2 {
		t.Fatalf("%d receipts, %v; want 2", len(got), err)
	}
	if got[0].Anomaly != gateway.AnomalyDouble || got[0].Channel != gateway.ChannelPSP {
		t.Errorf("the second receipt is %s of %s", got[0].Anomaly, got[0].Channel)
	}
	if r.CountRefunds(n.School) != 1 {
		t.Error("nobody is asked to give the second money back")
	}
}
