// SPDX-License-Identifier: Apache-2.0

package pafornode_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
	"github.com/nodogate/nodogate/gateway/money"
	"github.com/nodogate/nodogate/gateway/pafornode"
	"github.com/nodogate/nodogate/gateway/soap"
)

// The rows of the receipt table that depend on what became of the notice
// meanwhile: the money came, so the receipt is taken whatever we think of it.
func TestReceiptsThatDoNotFit(t *testing.T) {
	ctx := context.Background()
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		f := newFace(t, g)
		other := g.AddSchool(gatewaytest.OtherCode, "Liceo Galilei")
		amount := func(cents money.Cents) func(*receipt) {
			return func(r *receipt) { r.amount, r.transfers = cents.String(), transfer(1, cents.String()) }
		}
		late := func(n *gateway.NewNotice) { n.DueDate = "2026-11-22" }
		for _, tc := range []struct {
			name      string
			issue     func(*gateway.NewNotice)
			meanwhile func(t *testing.T, n gateway.Notice)
			odd       func(*receipt)
			anomaly   gateway.Anomaly
			state     gateway.NoticeState
			verify    string // what asking for the notice gets then
		}{
			{name: "expired", issue: late, anomaly: gateway.AnomalyExpired, state: gateway.NoticePaid, verify: "PAA_PAGAMENTO_DUPLICATO"},
			{name: "cancelled", meanwhile: func(t *testing.T, n gateway.Notice) {
				if _, err := g.Cancel(ctx, gatewaytest.Operator, n.School, n.Number); err != nil {
					t.Fatal(err)
				}
			}, anomaly: gateway.AnomalyCancelled, state: gateway.NoticePaid, verify: "PAA_PAGAMENTO_DUPLICATO"},
			{name: "more than asked", odd: amount(1651), anomaly: gateway.AnomalyAmount, state: gateway.NoticePaid, verify: "PAA_PAGAMENTO_DUPLICATO"},
			{name: "less than asked", odd: amount(1649), anomaly: gateway.AnomalyAmount, state: gateway.NoticeOpen, verify: "PAA_SEMANTICA"},
			{name: "the rest of it", meanwhile: func(t *testing.T, n gateway.Notice) {
				r := receiptOf(n, "first-part")
				amount(1000)(&r)
				status, body := f.post(t, r.String())
				wantOK(t, status, body)
			}, odd: amount(650), anomaly: gateway.AnomalyAmount, state: gateway.NoticePaid, verify: "PAA_PAGAMENTO_DUPLICATO"},
			{name: "an amount it had", meanwhile: func(t *testing.T, n gateway.Notice) {
				if err := g.Store.Update(ctx, func(tx gateway.Tx) error {
					n, err := tx.LockNotice(n.School, n.Number)
					n.PastAmounts, n.Amount = []money.Cents{n.Amount}, 2000
					n.Transfers[0].Amount = 2000
					n.Version++
					return errors.Join(err, tx.SaveNotice(n))
				}); err != nil {
					t.Fatal(err)
				}
			}, anomaly: gateway.AnomalyAmount, state: gateway.NoticePaid, verify: "PAA_PAGAMENTO_DUPLICATO"},
			{name: "another station of ours", odd: func(r *receipt) { r.to = head("80014480828", other.Broker, other.Station) },
				anomaly: gateway.AnomalyStation, state: gateway.NoticePaid, verify: "PAA_PAGAMENTO_DUPLICATO"},
			{name: "a token lives", meanwhile: func(t *testing.T, n gateway.Notice) {
				if _, err := g.Activate(ctx, gateway.ActivateRequest{Peer: gateway.Peer{PSP: "ABI00001"}, School: n.School, Number: n.Number}, func(gateway.Activated) []byte { return []byte("x") }); err != nil {
					t.Fatal(err)
				}
			}, anomaly: gateway.AnomalyNone, state: gateway.NoticePaid, verify: "PAA_PAGAMENTO_DUPLICATO"},
		} {
			for _, root := range []string{"paSendRTReq", "paSendRTV2Request"} {
				t.Run(tc.name+"/"+root, func(t *testing.T) {
					issue := tc.issue
					if issue == nil {
						issue = func(*gateway.NewNotice) {}
					}
					n := g.Issue(issue)
					if tc.meanwhile != nil {
						tc.meanwhile(t, n)
					}
					r := receiptOf(n, "token-"+n.Number.String())
					r.root = root
					if tc.odd != nil {
						tc.odd(&r)
					}
					status, body := f.post(t, r.String())
					wantOK(t, status, body)
					list, err := g.Receipts(ctx, n.School, gateway.ReceiptFilter{Notice: n.Number, Limit: 10})
					if err != nil || len(list) == 0 || list[0].Anomaly != tc.anomaly || list[0].Channel != gateway.ChannelNode {
						t.Errorf("receipts %+v, %v; want %q", list, err, tc.anomaly)
					}
					if got := g.State(n); got != tc.state {
						t.Errorf("the notice is %s, want %s", got, tc.state)
					}
					status, body = f.post(t, verify(ours, string(n.School), n.Number.String()))
					wantKO(t, status, body, tc.verify)
					// What is recorded once is not recorded twice.
					status, body = f.post(t, r.String())
					wantKO(t, status, body, "PAA_RECEIPT_DUPLICATA")
				})
			}
		}
		f.validate(t)
	})
}

// A message that is none of the service's may have been a receipt: then its
// bytes are kept before it is refused, or it is not refused.
func TestUnreadableReceipts(t *testing.T) {
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		f := newFace(t, g)
		away := httptest.NewServer(pafornode.New(pafornode.Config{Service: g.Broken(), Duration: soap.NewDuration(prometheus.NewRegistry())}))
		defer away.Close()
		n := g.Issue()
		good := `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>` + receiptOf(n, "token").String() + `</s:Body></s:Envelope>`
		action := func(name string) func(*http.Request) {
			return func(r *http.Request) { r.Header.Set("SOAPAction", name) }
		}
		for _, tc := range []struct {
			name, body string
			change     func(*http.Request)
		}{
			{"cut", good[:len(good)/2], nil},
			{"not UTF-8", strings.Replace(good, "Maria", "Mari\xe0", 1), nil},
			{"DOCTYPE", "<!DOCTYPE x>" + good, nil},
			{"another namespace", strings.Replace(good, "paForNode.xsd", "paForNode2.xsd", 1), nil},
			{"another name", strings.ReplaceAll(good, "paSendRTV2Request", "paSendRTV3Request"), nil},
			{"another action", good, action("paVerifyPaymentNotice")},
			{"two of them", strings.Replace(good, "</s:Body>", receiptOf(n, "token-2").String()+"</s:Body>", 1), nil},
		} {
			t.Run(tc.name, func(t *testing.T) {
				before := g.CountEvidence(gateway.EvidenceSyntax)
				status, body := f.raw(t, tc.body, tc.change)
				if status != 400 || !strings.Contains(body, "<faultcode>soapenv:Client</faultcode>") {
					t.Errorf("answer %d %s", status, body)
				}
				if got := g.CountEvidence(gateway.EvidenceSyntax); got != before+1 {
					t.Errorf("%d pieces of evidence, want %d", got, before+1)
				}
				req, err := http.NewRequest(http.MethodPost, away.URL, strings.NewReader(tc.body))
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Content-Type", soap.ContentType)
				if tc.change != nil {
					tc.change(req)
				}
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				if resp.StatusCode != 503 || resp.ContentLength != 0 {
					t.Errorf("with the database away: %d, %d bytes", resp.StatusCode, resp.ContentLength)
				}
			})
		}
		if got := g.State(n); got != gateway.NoticeOpen {
			t.Errorf("the notice is %s", got)
		}
	})
}

// A panic while a receipt is taken is a 503: nobody knows whether it was stored.
func TestReceiptPanics(t *testing.T) {
	g := gatewaytest.New(t)
	n := g.Issue()
	// A face without a service panics at the first question to it.
	server := httptest.NewServer(pafornode.New(pafornode.Config{Duration: soap.NewDuration(prometheus.NewRegistry())}))
	defer server.Close()
	for element, want := range map[string]int{receiptOf(n, "token").String(): 503, verify(ours, string(n.School), n.Number.String()): 200} {
		resp, err := http.Post(server.URL, soap.ContentType, strings.NewReader(`<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>`+element+`</s:Body></s:Envelope>`))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want || want == 503 && resp.ContentLength != 0 {
			t.Errorf("status %d, %d bytes; want %d", resp.StatusCode, resp.ContentLength, want)
		}
	}
}
