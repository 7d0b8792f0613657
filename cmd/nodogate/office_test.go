// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/nodogate/nodogate/gateway/httpapi/apiclient"
	"github.com/nodogate/nodogate/gateway/money"
	"github.com/nodogate/nodogate/gateway/pafornode"
	"github.com/nodogate/nodogate/gateway/pagopa"
)

// desk is one program of an office, with a generated client and a token.
type desk struct {
	*apiclient.ClientWithResponses
	id   string
	keys int
}

// newDesk logs a client in.
func newDesk(t testing.TB, base, id, secret string) *desk {
	t.Helper()
	anybody, err := apiclient.NewClientWithResponses(base)
	if err != nil {
		t.Fatal(err)
	}
	token := got(anybody.IssueTokenWithFormdataBodyWithResponse(t.Context(), apiclient.IssueTokenFormdataRequestBody{
		GrantType: apiclient.IssueTokenFormdataBodyGrantTypeClientCredentials, ClientID: &id, ClientSecret: &secret,
	})).is(t, 200).JSON200.AccessToken
	d := &desk{id: id}
	d.ClientWithResponses, err = apiclient.NewClientWithResponses(base, apiclient.WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+token)
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// key is a new Idempotency-Key.
func (d *desk) key() string {
	d.keys++
	return fmt.Sprint("anno-", d.keys)
}

// answer is what a call of a generated client gave.
type answer[R interface{ StatusCode() int }] struct {
	r   R
	err error
}

// got takes both results of a call.
func got[R interface{ StatusCode() int }](r R, err error) answer[R] { return answer[R]{r, err} }

// is wants this status.
func (a answer[R]) is(t testing.TB, status int) R {
	t.Helper()
	if a.err != nil {
		t.Fatal(a.err)
	}
	if a.r.StatusCode() != status {
		t.Fatalf("%T: got %d, want %d: %s", a.r, a.r.StatusCode(), status, a.body())
	}
	return a.r
}

// refuses wants a problem with this code.
func (a answer[R]) refuses(t testing.TB, status int, code string) {
	t.Helper()
	if a.err != nil {
		t.Fatal(a.err)
	}
	var p apiclient.Problem
	if err := json.Unmarshal(a.body(), &p); err != nil || a.r.StatusCode() != status || p.Code != code {
		t.Errorf("%T: got %d %s, want %d %s", a.r, a.r.StatusCode(), a.body(), status, code)
	}
}

// body is a field of every answer, which no interface reaches.
func (a answer[R]) body() []byte { return reflect.ValueOf(a.r).Elem().FieldByName("Body").Bytes() }

// receiver is the office's program that is called when something happens.
type receiver struct {
	t     testing.TB
	url   string
	mu    sync.Mutex
	key   *standardwebhooks.Webhook
	seen  map[string]bool // webhook-ids
	calls int
	told  []told // in the order of their coming
	news  chan struct{}
}

type told struct {
	Type string
	Data struct {
		School, Number, Status, State, Refund, Import string
		AmountCents                                   int64 `json:"amount_cents"`
		Version                                       int64
	}
}

func newReceiver(t testing.TB) *receiver {
	r := &receiver{t: t, seen: map[string]bool{}, news: make(chan struct{}, 1)}
	srv := httptest.NewServer(r)
	t.Cleanup(srv.Close)
	r.url = srv.URL + "/pagamenti"
	return r
}

func (r *receiver) trust(secret string) {
	r.t.Helper()
	key, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		r.t.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.key = key
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	raw, err := io.ReadAll(req.Body)
	if err != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.key.Verify(raw, req.Header); err != nil {
		r.t.Errorf("a call that does not verify: %v", err)
	}
	var event told
	if err := json.Unmarshal(raw, &event); err != nil {
		r.t.Error(err)
	}
	r.calls++
	if id := req.Header.Get("webhook-id"); !r.seen[id] {
		r.seen[id] = true
		r.told = append(r.told, event)
	}
	w.WriteHeader(http.StatusNoContent)
	select {
	case r.news <- struct{}{}:
	default:
	}
}

// waitFor waits until an event came that is so.
func (r *receiver) waitFor(t testing.TB, what string, so func(told) bool) told {
	t.Helper()
	for over := time.After(time.Minute); ; {
		r.mu.Lock()
		for _, e := range r.told {
			if so(e) {
				r.mu.Unlock()
				return e
			}
		}
		r.mu.Unlock()
		select {
		case <-r.news:
		case <-over:
			t.Fatalf("nobody was told: %s", what)
		}
	}
}

// waitForCalls waits until there were so many, repeated ones too.
func (r *receiver) waitForCalls(t testing.TB, n int) {
	t.Helper()
	for over := time.After(time.Minute); ; {
		r.mu.Lock()
		calls := r.calls
		r.mu.Unlock()
		if calls >= n {
			return
		}
		select {
		case <-r.news:
		case <-over:
			t.Fatalf("%d calls came, want %d", calls, n)
		}
	}
}

// paid waits for the word that a notice is paid.
func (r *receiver) paid(t testing.TB, number string) {
	t.Helper()
	r.waitFor(t, number+" is paid", func(e told) bool { return e.Type == "notice.paid" && e.Data.Number == number })
}

// history is what was told of a notice, in the order of its coming.
func (r *receiver) history(number string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var types []string
	for _, e := range r.told {
		if e.Data.Number == number {
			types = append(types, strings.TrimPrefix(e.Type, "notice."))
		}
	}
	return strings.Join(types, " ")
}

// payAtCounter has the node send the receipt of a payment at some counter.
func payAtCounter(t testing.TB, base string, school apiclient.School, n apiclient.Notice) {
	t.Helper()
	r := pagopa.SendRTRequest{
		Version: 2, Target: pagopa.Target{PA: school.FiscalCode, Broker: school.Broker, Station: school.Station},
		Receipt: pagopa.Receipt{
			ID: "rt-" + n.Number, NoticeNumber: n.Number, CreditorCode: school.FiscalCode, Outcome: "OK", CreditorReferenceID: n.Iuv, Amount: money.Cents(n.AmountCents),
			Description: n.Description, CompanyName: school.Name, Debtor: pagopa.Subject{Type: "F", ID: n.Debtor.FiscalCode, FullName: n.Debtor.FullName},
			PSPID: "BANCAUNO", PSPName: "Banca Uno", Channel: "97735020584_01", ChannelDescription: "sportello", Method: "cash",
			PaidAt: time.Now().UTC().Format("2006-01-02T15:04:05"),
		},
	}
	for _, x := range n.Transfers {
		r.Receipt.Transfers = append(r.Receipt.Transfers, pagopa.Transfer{
			ID: x.ID, Amount: money.Cents(x.AmountCents), Creditor: x.School, IBAN: *x.Iban, Remittance: x.Remittance, Category: x.Taxonomy,
		})
	}
	node := pagopa.Client{HTTP: http.DefaultClient, URL: base + pafornode.Path}
	// What was not taken in time is sent again, as the node does.
	for over := time.Now().Add(time.Minute); ; {
		resp, err := node.SendRT(t.Context(), r)
		switch {
		case err == nil && (resp.Fault == nil || resp.Fault.Code == pagopa.PAAReceiptDuplicata):
			return
		case err == nil || time.Now().After(over):
			t.Fatalf("the receipt of %s: %+v, %v", n.Number, resp, err)
		}
	}
}

// readPDF gives the text of each page, as a reader of another hand sees it;
// nothing where there is none.
func readPDF(t testing.TB, pdf []byte) []string {
	t.Helper()
	if _, err := exec.LookPath("pdftotext"); err != nil {
		if os.Getenv("NODOGATE_TEST_STRICT") != "" {
			t.Fatal("pdftotext is not installed")
		}
		return nil
	}
	file := filepath.Join(t.TempDir(), "avvisi.pdf")
	if err := os.WriteFile(file, pdf, 0o600); err != nil {
		t.Fatal(err)
	}
	var complaints bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "pdftotext", "-layout", file, "-")
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil || complaints.Len() > 0 {
		t.Fatalf("pdftotext: %v: %s", err, complaints.String())
	}
	return strings.Split(strings.TrimSuffix(string(out), "\f"), "\f")
}
