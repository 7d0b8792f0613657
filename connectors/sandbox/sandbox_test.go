// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nodogate/nodogate/connectors"
	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/money"
	"github.com/nodogate/nodogate/gateway/pagopa"
	"github.com/nodogate/nodogate/gateway/soap"
)

const (
	school  = "80014480828"
	partner = "77777777777" // a second beneficiary
	first   = "301202600000004244"
	second  = "301202600000004345"
	third   = "301202600000004446" // shared with partner
)

// creditor is a creditor face that obeys a script.
type creditor struct {
	mu       sync.Mutex
	payments map[string]pagopa.Payment
	faults   map[string]pagopa.FaultCode // by notice number; verify and get
	asked    []pagopa.GetPaymentRequest
	sent     []pagopa.SendRTRequest // every delivery that got through, answered well or not
	raw      []string
	// onSend answers the n-th delivery (from 0) in place of the OK.
	onSend func(w http.ResponseWriter, n int)
}

func newCreditor() *creditor {
	payment := func(iuv string, cents money.Cents, description string, transfers ...pagopa.Transfer) pagopa.Payment {
		return pagopa.Payment{
			CreditorReferenceID: iuv, Amount: cents, DueDate: "2026-12-31", Description: description, CompanyName: "Liceo di Prova",
			Debtor:    pagopa.Subject{Type: "F", ID: "RSSMRA80A01H501U", FullName: "Mario Rossi"},
			Transfers: transfers,
			Metadata:  []pagopa.Entry{{Key: "campagna", Value: "gite"}},
		}
	}
	transfer := func(id int, to string, cents money.Cents) pagopa.Transfer {
		return pagopa.Transfer{
			ID: id, Amount: cents, Creditor: to, IBAN: "IT60X0542811101000000123456",
			Remittance: "/RFB/01202600000004244/16.50/TXT/Gita", Category: "9/0801100AP/",
		}
	}
	return &creditor{
		payments: map[string]pagopa.Payment{
			first:  payment(first[1:], 1650, "Viaggio di istruzione 3B", transfer(1, school, 1650)),
			second: payment(second[1:], 2000, "Assicurazione <b>& libretto</b>", transfer(1, school, 2000)),
			third:  payment(third[1:], 500, "Laboratorio", transfer(1, school, 300), transfer(2, partner, 200)),
		},
		faults: make(map[string]pagopa.FaultCode),
	}
}

func (c *creditor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, status := soap.ReadBody(w, r)
	if status != http.StatusOK {
		w.WriteHeader(status)
		return
	}
	env, err := soap.Parse(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	m, err := pagopa.ReadPaForNode(env)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var answer pagopa.Message
	switch m := m.(type) {
	case pagopa.VerifyRequest:
		p, ok := c.payments[m.NoticeNumber]
		fault := c.fault(m.NoticeNumber, ok)
		answer = pagopa.VerifyResponse{Fault: fault, Payable: pagopa.Payable{
			Option:      &pagopa.PaymentOption{Amount: p.Amount, Options: "EQ", DueDate: p.DueDate},
			Description: p.Description, CreditorCode: school, CompanyName: p.CompanyName,
		}}
	case pagopa.GetPaymentRequest:
		c.asked = append(c.asked, m)
		p, ok := c.payments[m.NoticeNumber]
		answer = pagopa.GetPaymentResponse{Version: 2, Fault: c.fault(m.NoticeNumber, ok), Payment: &p}
	case pagopa.SendRTRequest:
		n := len(c.sent)
		c.sent = append(c.sent, m)
		c.raw = append(c.raw, string(body))
		if c.onSend != nil {
			c.onSend(w, n)
			return
		}
		answer = pagopa.SendRTResponse{Version: 2}
	}
	write(w, answer)
}

func write(w http.ResponseWriter, m pagopa.Message) {
	w.Header().Set("Content-Type", soap.ContentType)
	w.Write(soap.AppendEnvelope(nil, m.Append))
}

func (c *creditor) fault(number string, known bool) *pagopa.Fault {
	code := c.faults[number]
	if !known {
		code = pagopa.PAAPagamentoSconosciuto
	}
	if code == "" {
		return nil
	}
	return pagopa.NewFault(code, school, "")
}

func (c *creditor) setFault(number string, code pagopa.FaultCode) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults[number] = code
}

func (c *creditor) receipts() []pagopa.SendRTRequest {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.sent)
}

// env is a sandbox with a creditor, over HTTP.
type env struct {
	*creditor
	t      *testing.T
	box    *Server
	url    string
	client *http.Client

	mu  sync.Mutex
	now time.Time
}

func start(t *testing.T, change func(*Config)) *env {
	t.Helper()
	e := &env{
		creditor: newCreditor(), t: t,
		now: time.Date(2026, 11, 20, 9, 15, 30, 0, time.UTC),
		client: &http.Client{
			Transport:     &http.Transport{},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	face := httptest.NewServer(e.creditor)
	face.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	srv := httptest.NewUnstartedServer(nil)
	open, upTo := connectors.Band{Fee: 150}, money.Cents(1000)
	cfg := Config{
		URL:      &url.URL{Scheme: "http", Host: srv.Listener.Addr().String()},
		Creditor: face.URL,
		Target: func(_ context.Context, code string) (pagopa.Target, error) {
			if code != school && code != partner {
				return pagopa.Target{}, errors.New("not connected")
			}
			return pagopa.Target{PA: code, Broker: school, Station: school + "_01"}, nil
		},
		PSPs: []connectors.PSP{
			{ID: "BANCAUNO", Name: "Banca Uno", Methods: []gateway.Method{gateway.MethodCard}, Fees: []connectors.Band{{UpTo: &upTo, Fee: 50}, open}, MaxAmount: 100000},
			{ID: "BANCADUE", Name: "Banca Due", Methods: []gateway.Method{gateway.MethodAccountDebit}, Fees: []connectors.Band{{}}},
		},
		HTTP: face.Client(),
		Now: func() time.Time {
			e.mu.Lock()
			defer e.mu.Unlock()
			return e.now
		},
		Log: slog.New(slog.DiscardHandler), Late: time.Millisecond, Slow: time.Millisecond, Retry: []time.Duration{time.Millisecond},
	}
	if change != nil {
		change(&cfg)
	}
	box, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	e.box, e.url, srv.Config.Handler = box, cfg.URL.String(), box
	srv.Start()
	t.Cleanup(func() {
		done, cancel := context.WithCancel(context.Background())
		cancel()
		box.Close(done)
		srv.Close()
		face.Close()
	})
	return e
}

// settled waits for every receipt to be delivered.
func (e *env) settled() {
	e.t.Helper()
	if err := e.box.Close(e.t.Context()); err != nil {
		e.t.Fatal(err)
	}
}

func (e *env) do(method, address, contentType, body string) (*http.Response, string) {
	e.t.Helper()
	resp, text, err := e.try(method, address, contentType, body)
	if err != nil {
		e.t.Fatal(err)
	}
	return resp, text
}

func (e *env) try(method, address, contentType, body string) (*http.Response, string, error) {
	req, err := http.NewRequestWithContext(e.t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		return nil, "", err
	}
	req.Header.Set("Content-Type", contentType)
	resp, err := e.client.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp, string(text), err
}

func cartOf(numbers ...string) string {
	var list []string
	for _, n := range numbers {
		list = append(list, `{"noticeNumber":"`+n+`","fiscalCode":"`+school+`","amount":1000,"companyName":"Liceo","description":"Gita"}`)
	}
	return `{"paymentNotices":[` + strings.Join(list, ",") + `],"idCart":"cart-0001","allCCP":false,"emailNotice":"famiglia@posta.example",
	"returnUrls":{"returnOkUrl":"https://paga.example/e?esito=ok","returnCancelUrl":"https://paga.example/e?esito=annullato","returnErrorUrl":"https://paga.example/e?esito=errore"}}`
}

func (e *env) carts(psp, body string) (*http.Response, string) {
	e.t.Helper()
	return e.do("POST", e.url+"/"+psp+"/checkout/ec/v1/carts", "application/json", body)
}

// open makes a cart and loads its page.
func (e *env) open(psp string, numbers ...string) (page, text string) {
	e.t.Helper()
	resp, body := e.carts(psp, cartOf(numbers...))
	page = resp.Header.Get("Location")
	if resp.StatusCode != http.StatusFound || !strings.HasPrefix(page, e.url+"/"+psp+"/pagina/") {
		e.t.Fatalf("POST /carts: %d to %q, %s", resp.StatusCode, page, body)
	}
	resp, text = e.do("GET", page, "", "")
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/html; charset=utf-8" {
		e.t.Fatalf("GET page: %d %s", resp.StatusCode, text)
	}
	return page, text
}

func (e *env) press(page, button string) (*http.Response, string) {
	e.t.Helper()
	return e.do("POST", page, "application/x-www-form-urlencoded", "azione="+button)
}

// goesTo checks that the browser is sent to this outcome.
func (e *env) goesTo(resp *http.Response, body, outcome string) {
	e.t.Helper()
	if got := resp.Header.Get("Location"); resp.StatusCode != http.StatusSeeOther || got != "https://paga.example/e?esito="+outcome {
		e.t.Errorf("browser sent by %d to %q, want 303 to esito=%s\n%s", resp.StatusCode, got, outcome, body)
	}
}

type ledgerLine struct {
	PSP, Reference, Cart, State string
	Notices                     []struct{ School, Number string }
	Cents                       int64 `json:"amount_cents"`
	At                          time.Time
}

func (e *env) ledger() []ledgerLine {
	e.t.Helper()
	resp, text := e.do("GET", e.url+"/ledger", "", "")
	var got struct{ Items []ledgerLine }
	if err := json.Unmarshal([]byte(text), &got); err != nil || resp.StatusCode != 200 || got.Items == nil {
		e.t.Fatalf("ledger: %d %s %v", resp.StatusCode, text, err)
	}
	return got.Items
}

// states are what the ledger says happened, in order.
func (e *env) states() string {
	e.t.Helper()
	var list []string
	for _, l := range e.ledger() {
		list = append(list, l.State)
	}
	return strings.Join(list, " ")
}

func (e *env) mode(psp string, mode Mode) {
	e.t.Helper()
	if resp, text := e.do("POST", e.url+"/control", "application/json", fmt.Sprintf(`{"psp":%q,"mode":%q}`, psp, mode)); resp.StatusCode != 200 {
		e.t.Fatalf("control: %d %s", resp.StatusCode, text)
	}
}

func TestPay(t *testing.T) {
	t.Parallel()
	e := start(t, nil)
	page, text := e.open("BANCAUNO", first, second)
	for _, want := range []string{
		"AMBIENTE DI PROVA", "Banca Uno", "Liceo di Prova", "Viaggio di istruzione 3B", "Avviso " + first, "16,50 €", "20,00 €", "1,50 €", "38,00 €",
		">Paga</button>", ">Rifiuta</button>", ">Annulla</button>", ">Chiudi senza rispondere</button>",
		"Assicurazione &lt;b&gt;&amp; libretto&lt;/b&gt;",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	// Loading again is no second activation.
	e.do("GET", page, "", "")
	amount := money.Cents(1000)
	wantAsked := []pagopa.GetPaymentRequest{}
	for _, n := range []string{first, second} {
		wantAsked = append(wantAsked, pagopa.GetPaymentRequest{
			Version: 2, Target: pagopa.Target{PA: school, Broker: school, Station: school + "_01"},
			QRCode: pagopa.QRCode{CreditorCode: school, NoticeNumber: n}, Amount: &amount, PaymentNote: "cart-0001",
		})
	}
	if !reflect.DeepEqual(e.asked, wantAsked) {
		t.Errorf("the node asked\n%+v\nwant\n%+v", e.asked, wantAsked)
	}
	if got := e.ledger(); len(got) != 0 {
		t.Errorf("ledger before paying: %v", got)
	}

	resp, body := e.press(page, "paga")
	e.goesTo(resp, body, "ok")
	e.settled()

	got := e.receipts()
	slices.SortFunc(got, func(a, b pagopa.SendRTRequest) int {
		return strings.Compare(a.Receipt.NoticeNumber, b.Receipt.NoticeNumber)
	})
	if len(got) != 2 {
		t.Fatalf("%d receipts, want 2", len(got))
	}
	fee := money.Cents(150)
	for i, n := range []string{first, second} {
		p := e.payments[n]
		want := pagopa.SendRTRequest{
			Version: 2, Target: pagopa.Target{PA: school, Broker: school, Station: school + "_01"},
			Receipt: pagopa.Receipt{
				ID: got[i].Receipt.ID, NoticeNumber: n, CreditorCode: school, Outcome: "OK", CreditorReferenceID: n[1:], Amount: p.Amount,
				Description: p.Description, CompanyName: "Liceo di Prova", Debtor: p.Debtor, Transfers: p.Transfers, Metadata: p.Metadata,
				PSPID: "BANCAUNO", PSPName: "Banca Uno", Channel: "BANCAUNO_01", ChannelDescription: "WISP",
				Method: "creditCard", PaymentNote: "cart-0001", PaidAt: "2026-11-20T10:15:30.000", ApplicationDate: "2026-11-20", TransferDate: "2026-11-21",
			},
		}
		if i == 0 {
			want.Receipt.Fee = &fee
		}
		if !reflect.DeepEqual(got[i], want) {
			t.Errorf("receipt of %s\n%+v\nwant\n%+v", n, got[i], want)
		}
		if !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(got[i].Receipt.ID) {
			t.Errorf("receiptId %q", got[i].Receipt.ID)
		}
	}
	if got[0].Receipt.ID == got[1].Receipt.ID {
		t.Error("two notices share a receiptId")
	}
	lines := e.ledger()
	if len(lines) != 1 {
		t.Fatalf("ledger %+v", lines)
	}
	if l := lines[0]; l.PSP != "BANCAUNO" || l.State != "taken" || l.Cents != 3650 || l.Cart != "cart-0001" || !strings.HasSuffix(page, l.Reference) ||
		len(l.Notices) != 2 || l.Notices[0].School != school || l.Notices[0].Number != first || !l.At.Equal(e.now) {
		t.Errorf("ledger %+v", l)
	}
	if _, text := e.do("GET", page, "", ""); !strings.Contains(text, "già stato eseguito") || strings.Contains(text, "<form") {
		t.Errorf("the page after paying: %s", text)
	}
}

func TestReceiptsAreValidForTheSchema(t *testing.T) {
	t.Parallel()
	e := start(t, nil)
	page, _ := e.open("BANCADUE", first, second, third)
	e.press(page, "paga")
	e.settled()

	xsd := filepath.Join("..", "..", "..", "shared", "pagopa", "pagopa-api", "wsdl", "xsd", "paForNode.xsd")
	tool, err := exec.LookPath("xmllint")
	if _, serr := os.Stat(xsd); err != nil || serr != nil {
		if os.Getenv("CI") != "" || os.Getenv("NODOGATE_TEST_STRICT") != "" {
			t.Fatalf("xmllint or the official schemas are missing: %v, %v", err, serr)
		}
		t.Skip("xmllint or the official schemas are missing")
	}
	content := regexp.MustCompile(`(?s)Body>(.*)</[a-z]+:Body>`)
	args := []string{"--nonet", "--noout", "--schema", xsd}
	for i, raw := range e.raw {
		m := content.FindStringSubmatch(raw)
		if m == nil {
			t.Fatalf("no Body in %s", raw)
		}
		file := filepath.Join(t.TempDir(), fmt.Sprintf("%d.xml", i))
		if err := os.WriteFile(file, []byte(m[1]), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, file)
	}
	if len(e.raw) != 4 { // the third notice is told to both its beneficiaries
		t.Fatalf("%d messages, want 4", len(e.raw))
	}
	if out, err := exec.Command(tool, args...).CombinedOutput(); err != nil {
		t.Errorf("xmllint: %v\n%s", err, out)
	}
}

func TestBroadcast(t *testing.T) {
	t.Parallel()
	e := start(t, nil)
	page, _ := e.open("BANCADUE", third)
	e.press(page, "paga")
	e.settled()
	got := e.receipts()
	if len(got) != 2 || got[0].PA != school || got[1].PA != partner || got[0].Receipt.ID != got[1].Receipt.ID || got[1].Receipt.CreditorCode != school {
		t.Errorf("receipts %+v, want the same one to the school and to its partner", got)
	}
	if got[0].Receipt.Method != "other" || got[0].Receipt.Fee != nil {
		t.Errorf("method %q, fee %v", got[0].Receipt.Method, got[0].Receipt.Fee)
	}
}

func TestOtherButtons(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ button, outcome, says, ledger string }{
		{"rifiuta", "errore", "ha rifiutato", "refused"},
		{"annulla", "annullato", "stato annullato", ""},
		{"chiudi", "", "Puoi chiudere questa scheda", ""},
	} {
		t.Run(c.button, func(t *testing.T) {
			t.Parallel()
			e := start(t, nil)
			page, _ := e.open("BANCAUNO", first)
			resp, text := e.press(page, c.button)
			if c.outcome != "" {
				e.goesTo(resp, text, c.outcome)
			} else if resp.StatusCode != http.StatusOK || !strings.Contains(text, c.says) || strings.Contains(text, "paga.example") {
				t.Errorf("%d %s", resp.StatusCode, text)
			}
			for _, again := range []string{"paga", "rifiuta", "annulla", "chiudi"} {
				if resp, text := e.press(page, again); resp.StatusCode != http.StatusConflict || !strings.Contains(text, c.says) {
					t.Errorf("%s afterwards: %d %s", again, resp.StatusCode, text)
				}
			}
			if _, text := e.do("GET", page, "", ""); !strings.Contains(text, c.says) || strings.Contains(text, "<form") {
				t.Errorf("the page afterwards: %s", text)
			}
			e.settled()
			if got := e.receipts(); len(got) != 0 {
				t.Errorf("%d receipts were sent", len(got))
			}
			if got := e.states(); got != c.ledger {
				t.Errorf("ledger %q, want %q", got, c.ledger)
			}
		})
	}
}

func TestUnknownButtonAndPage(t *testing.T) {
	t.Parallel()
	e := start(t, nil)
	page, _ := e.open("BANCAUNO", first)
	if resp, _ := e.press(page, "altro"); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("unknown button: %d", resp.StatusCode)
	}
	for _, address := range []string{e.url + "/BANCAUNO/pagina/0", strings.Replace(page, "BANCAUNO", "BANCADUE", 1), strings.Replace(page, "BANCAUNO", "ALTRA", 1)} {
		if resp, _ := e.do("GET", address, "", ""); resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d, want 404", address, resp.StatusCode)
		}
	}
	if got := e.states(); got != "" {
		t.Errorf("ledger %q", got)
	}
}

func TestFaultsAreShown(t *testing.T) {
	t.Parallel()
	for code, says := range map[pagopa.FaultCode]string{
		pagopa.PAAPagamentoDuplicato:   "risulta già pagato",
		pagopa.PAAPagamentoScaduto:     "è scaduto",
		pagopa.PAAPagamentoAnnullato:   "annullato dall'ente",
		pagopa.PAAPagamentoSconosciuto: "non riconosce",
		pagopa.PAAPagamentoInCorso:     "già in corso",
		pagopa.PAAIDDominioErrato:      "non è collegato",
		pagopa.PAAStazioneIntErrata:    "non è collegato",
		pagopa.PAASystemError:          "errore tecnico",
	} {
		t.Run(string(code), func(t *testing.T) {
			t.Parallel()
			e := start(t, nil)
			e.setFault(second, code)
			page, text := e.open("BANCAUNO", first, second)
			if !strings.Contains(text, says) || !strings.Contains(text, string(code)) || strings.Contains(text, "<form") ||
				!strings.Contains(text, `href="https://paga.example/e?esito=errore">Torna al sito</a>`) {
				t.Errorf("page: %s", text)
			}
			if resp, _ := e.press(page, "paga"); resp.StatusCode != http.StatusConflict {
				t.Errorf("paying all the same: %d", resp.StatusCode)
			}
			// The reason goes away: the page can be used after all.
			e.setFault(second, "")
			if _, text := e.do("GET", page, "", ""); !strings.Contains(text, "<form") {
				t.Errorf("page, once the notice is payable: %s", text)
			}
			if got := e.states(); got != "" {
				t.Errorf("ledger %q", got)
			}
		})
	}
}

func TestCreditorAwayOrNotConnected(t *testing.T) {
	t.Parallel()
	e := start(t, func(c *Config) { c.Creditor = "http://127.0.0.1:1/soap" })
	if _, text := e.open("BANCAUNO", first); !strings.Contains(text, "non risponde") {
		t.Errorf("page: %s", text)
	}
	resp, _ := e.carts("BANCAUNO", strings.ReplaceAll(cartOf(first), school, "99999999999"))
	if _, text := e.do("GET", resp.Header.Get("Location"), "", ""); !strings.Contains(text, "non è collegato") {
		t.Errorf("page: %s", text)
	}
}

func TestNothingIsTakenWhenPaidMeanwhile(t *testing.T) {
	t.Parallel()
	t.Run("elsewhere", func(t *testing.T) {
		t.Parallel()
		e := start(t, nil)
		page, _ := e.open("BANCAUNO", first, second)
		e.setFault(second, pagopa.PAAPagamentoDuplicato)
		if resp, text := e.press(page, "paga"); resp.StatusCode != http.StatusConflict || !strings.Contains(text, "risulta già pagato") {
			t.Errorf("%d %s", resp.StatusCode, text)
		}
		e.settled()
		if e.states() != "" || len(e.receipts()) != 0 {
			t.Errorf("ledger %q, %d receipts", e.states(), len(e.receipts()))
		}
	})
	t.Run("here, and the creditor does not know yet", func(t *testing.T) {
		t.Parallel()
		e := start(t, nil)
		older, _ := e.open("BANCAUNO", first)
		younger, _ := e.open("BANCADUE", second, first)
		if resp, text := e.press(older, "paga"); resp.StatusCode != http.StatusConflict || !strings.Contains(text, "Sessione scaduta") {
			t.Errorf("a page whose notice another one holds: %d %s", resp.StatusCode, text)
		}
		resp, text := e.press(younger, "paga")
		e.goesTo(resp, text, "ok")
		if _, text := e.open("BANCAUNO", first); !strings.Contains(text, "risulta già pagato") || !strings.Contains(text, "PPT_PAGAMENTO_DUPLICATO") {
			t.Errorf("a new page of a paid notice: %s", text)
		}
		if got := e.states(); got != "taken" {
			t.Errorf("ledger %q", got)
		}
	})
}

func TestOnePageIsOneActivation(t *testing.T) {
	t.Parallel()
	e := start(t, nil)
	resp, _ := e.carts("BANCAUNO", cartOf(first, second))
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			if _, _, err := e.try("GET", resp.Header.Get("Location"), "", ""); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := len(e.asked); n != 2 {
		t.Errorf("the creditor was asked %d times, want once for each notice", n)
	}
}

func TestTokenLife(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		after time.Duration
		taken string
	}{{30*time.Minute - time.Nanosecond, "taken"}, {30 * time.Minute, ""}} {
		e := start(t, nil)
		page, _ := e.open("BANCAUNO", first)
		e.mu.Lock()
		e.now = e.now.Add(c.after)
		e.mu.Unlock()
		_, text := e.press(page, "paga")
		if got := e.states(); got != c.taken || (c.taken == "") != strings.Contains(text, "Sessione scaduta") {
			t.Errorf("after %v: ledger %q, want %q; %s", c.after, got, c.taken, text)
		}
	}
}

func TestManyClicksTakeOnce(t *testing.T) {
	t.Parallel()
	e := start(t, nil)
	var pages []string
	for range 3 { // three pages of one notice; only the youngest can take
		page, _ := e.open("BANCAUNO", first)
		pages = append(pages, page)
	}
	var wg sync.WaitGroup
	for i := range 30 {
		wg.Go(func() {
			if _, _, err := e.try("POST", pages[i%3], "application/x-www-form-urlencoded", "azione=paga"); err != nil {
				t.Error(err)
			}
			e.try("GET", pages[i%3], "", "")
		})
	}
	wg.Wait()
	e.settled()
	if got := e.states(); got != "taken" || len(e.receipts()) != 1 {
		t.Errorf("ledger %q, %d receipts; want one of each", got, len(e.receipts()))
	}
}

func TestReceiptIsSentUntilAnswered(t *testing.T) {
	t.Parallel()
	e := start(t, nil)
	e.onSend = func(w http.ResponseWriter, n int) {
		switch n {
		case 0:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 1:
			panic(http.ErrAbortHandler)
		case 2:
			io.WriteString(w, "nonsense")
		case 3:
			w.WriteHeader(http.StatusInternalServerError)
			w.Write(soap.AppendFault(nil, soap.Server, "busy"))
		case 4:
			write(w, pagopa.GetPaymentResponse{Version: 2, Fault: pagopa.NewFault(pagopa.PAASystemError, school, "")})
		default:
			write(w, pagopa.SendRTResponse{Version: 2, Fault: pagopa.NewFault(pagopa.PAAReceiptDuplicata, school, "")})
		}
	}
	page, _ := e.open("BANCAUNO", first)
	e.press(page, "paga")
	e.settled()
	got := e.receipts()
	if len(got) != 6 {
		t.Fatalf("%d tries, want 6", len(got))
	}
	for _, r := range got[1:] {
		if !reflect.DeepEqual(r, got[0]) {
			t.Errorf("a later try differs:\n%+v\n%+v", r, got[0])
		}
	}
}

func TestReceiptFinalAnswersAndGivingUp(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		answer func(http.ResponseWriter)
		tries  int
	}{
		{"KO is final", func(w http.ResponseWriter) {
			write(w, pagopa.SendRTResponse{Version: 2, Fault: pagopa.NewFault(pagopa.PAASystemError, school, "")})
		}, 1},
		{"silence for ever", func(w http.ResponseWriter) { w.WriteHeader(http.StatusServiceUnavailable) }, 48},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e := start(t, nil)
			e.onSend = func(w http.ResponseWriter, _ int) { c.answer(w) }
			page, _ := e.open("BANCAUNO", first)
			e.press(page, "paga")
			e.settled()
			if got := len(e.receipts()); got != c.tries {
				t.Errorf("%d tries, want %d", got, c.tries)
			}
			if got := e.states(); got != "taken" {
				t.Errorf("ledger %q: the money was taken", got)
			}
		})
	}
}

func TestBrowserDoesNotWaitForTheReceipt(t *testing.T) {
	t.Parallel()
	e := start(t, func(c *Config) { c.Retry = []time.Duration{time.Hour} })
	e.onSend = func(w http.ResponseWriter, _ int) { w.WriteHeader(http.StatusServiceUnavailable) }
	page, _ := e.open("BANCAUNO", first)
	resp, text := e.press(page, "paga")
	e.goesTo(resp, text, "ok")

	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.box.Close(over); !errors.Is(err, context.Canceled) {
		t.Errorf("Close: %v, want to be told that a receipt was given up", err)
	}
	page, _ = e.open("BANCAUNO", second)
	if e.press(page, "paga"); e.states() != "taken" {
		t.Errorf("ledger %q: a closed sandbox took money", e.states())
	}
}

func TestModeDown(t *testing.T) {
	t.Parallel()
	e := start(t, nil)
	page, _ := e.open("BANCAUNO", first)
	e.mode("BANCAUNO", ModeDown)
	if resp, text := e.carts("BANCAUNO", cartOf(second)); resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("carts: %d %s", resp.StatusCode, text)
	}
	if resp, _ := e.press(page, "paga"); resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("page: %d", resp.StatusCode)
	}
	e.open("BANCADUE", second) // the other is not
	e.mode("BANCAUNO", ModeOK)
	resp, text := e.press(page, "paga")
	e.goesTo(resp, text, "ok")
}

func TestModeSlow(t *testing.T) {
	t.Parallel()
	e := start(t, nil)
	e.mode("BANCAUNO", ModeSlow)
	e.open("BANCAUNO", first)

	e = start(t, func(c *Config) { c.Slow = time.Hour })
	e.mode("BANCAUNO", ModeSlow)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "POST", e.url+"/BANCAUNO/checkout/ec/v1/carts", strings.NewReader(cartOf(first)))
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := e.client.Do(req); err == nil {
		t.Errorf("a slow PSP answered %d at once", resp.StatusCode)
	}
	if n := len(e.box.pages); n != 0 {
		t.Errorf("%d pages were made for somebody who left", n)
	}
}

func TestModeCut(t *testing.T) {
	t.Parallel()
	e := start(t, nil)
	page, _ := e.open("BANCAUNO", first)
	e.mode("BANCAUNO", ModeCut)
	if resp, _, err := e.try("POST", e.url+"/BANCAUNO/checkout/ec/v1/carts", "application/json", cartOf(second)); err == nil {
		t.Errorf("carts answered %d", resp.StatusCode)
	}
	e.box.mu.Lock()
	if n := len(e.box.pages); n != 2 {
		t.Errorf("%d pages, want 2: the work is done, only the answer is lost", n)
	}
	e.box.mu.Unlock()
	if resp, _, err := e.try("POST", page, "application/x-www-form-urlencoded", "azione=paga"); err == nil {
		t.Errorf("Paga answered %d", resp.StatusCode)
	}
	e.settled()
	if got := e.states(); got != "taken" || len(e.receipts()) != 1 {
		t.Errorf("ledger %q, %d receipts", got, len(e.receipts()))
	}
}

func TestModeRefuse(t *testing.T) {
	t.Parallel()
	e := start(t, nil)
	page, _ := e.open("BANCAUNO", first)
	e.mode("BANCAUNO", ModeRefuse)
	if resp, text := e.carts("BANCAUNO", cartOf(second)); resp.StatusCode != http.StatusUnprocessableEntity || resp.Header.Get("Content-Type") != "application/problem+json" || !strings.Contains(text, `"status":422`) {
		t.Errorf("carts: %d %s", resp.StatusCode, text)
	}
	resp, text := e.press(page, "paga")
	e.goesTo(resp, text, "errore")
	e.settled()
	if got := e.states(); got != "refused" || len(e.receipts()) != 0 {
		t.Errorf("ledger %q, %d receipts", got, len(e.receipts()))
	}
}

func TestModeDuplicate(t *testing.T) {
	t.Parallel()
	e := start(t, nil)
	e.mode("BANCAUNO", ModeDuplicate)
	page, _ := e.open("BANCAUNO", first)
	e.press(page, "paga")
	e.settled()
	got := e.receipts()
	if len(got) != 2 || !reflect.DeepEqual(got[0], got[1]) {
		t.Errorf("%d receipts, want the same one twice", len(got))
	}
}

func TestModeLate(t *testing.T) {
	t.Parallel()
	e := start(t, func(c *Config) { c.Late = time.Hour })
	e.mode("BANCAUNO", ModeLate)
	page, _ := e.open("BANCAUNO", first)
	resp, text := e.press(page, "paga")
	e.goesTo(resp, text, "ok")
	if got := e.states(); got != "taken" || len(e.receipts()) != 0 {
		t.Errorf("ledger %q, %d receipts before their time", got, len(e.receipts()))
	}
	// The token is dead, so somebody else can pay the same notice.
	other, _ := e.open("BANCADUE", first)
	resp, text = e.press(other, "paga")
	e.goesTo(resp, text, "ok")

	e = start(t, nil) // here it comes after a millisecond
	e.mode("BANCAUNO", ModeLate)
	page, _ = e.open("BANCAUNO", first)
	e.press(page, "paga")
	e.settled()
	if got := len(e.receipts()); got != 1 {
		t.Errorf("%d receipts, want the late one", got)
	}
}

func TestCartsRefuses(t *testing.T) {
	t.Parallel()
	e := start(t, nil)
	good := cartOf(first)
	swap := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("no %s in the cart", old)
		}
		return strings.Replace(good, old, new, 1)
	}
	for name, c := range map[string]struct {
		body   string
		status int
	}{
		"no JSON":             {"nope", 400},
		"too long":            {`{"idCart":"` + strings.Repeat("x", 64<<10) + `"}`, 400},
		"no notices":          {cartOf(), 400},
		"six notices":         {cartOf(first, second, third, "301202600000004547", "301202600000004648", "301202600000004749"), 400},
		"twice the same":      {cartOf(first, first), 400},
		"short number":        {swap(first, first[1:]), 400},
		"letters in number":   {swap(first, "30120260000000424x"), 400},
		"short fiscal code":   {swap(school, "8001448082"), 400},
		"nothing to pay":      {swap(`"amount":1000`, `"amount":0`), 400},
		"fraction of a cent":  {swap(`"amount":1000`, `"amount":10.5`), 400},
		"more than fits":      {swap(`"amount":1000`, `"amount":100000000000`), 400},
		"no company":          {swap(`"companyName":"Liceo",`, ""), 400},
		"long company":        {swap("Liceo", strings.Repeat("à", 141)), 400},
		"no description":      {swap(`,"description":"Gita"`, ""), 400},
		"long description":    {swap("Gita", strings.Repeat("è", 141)), 400},
		"no way back":         {swap(`"returnErrorUrl":"https://paga.example/e?esito=errore"`, `"x":""`), 400},
		"way back to nowhere": {swap("https://paga.example/e?esito=ok", "javascript:alert(1)"), 400},
		"bad e-mail":          {swap("famiglia@posta.example", "famiglia"), 400},
		"over the PSP's most": {swap(`"amount":1000`, `"amount":100001`), 422},
		"longest texts":       {strings.NewReplacer("Liceo", strings.Repeat("à", 140), "Gita", strings.Repeat("è", 140)).Replace(good), 302},
		"without extras":      {strings.NewReplacer(`"idCart":"cart-0001","allCCP":false,"emailNotice":"famiglia@posta.example",`, "").Replace(good), 302},
	} {
		resp, text := e.carts("BANCAUNO", c.body)
		if resp.StatusCode != c.status {
			t.Errorf("%s: %d %s, want %d", name, resp.StatusCode, text, c.status)
		}
		if c.status != 302 && resp.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: Content-Type %q", name, resp.Header.Get("Content-Type"))
		}
	}
	if resp, _ := e.carts("ALTRA", good); resp.StatusCode != http.StatusNotFound {
		t.Errorf("unknown PSP: %d", resp.StatusCode)
	}
}

func TestControlRefuses(t *testing.T) {
	t.Parallel()
	e := start(t, nil)
	for _, body := range []string{
		"", "nope", "[]", `{"psp":"BANCAUNO"}`, `{"psp":"BANCAUNO","mode":"off"}`, `{"psp":"ALTRA","mode":"down"}`, `{"mode":"down"}`,
		`{"psp":"BANCAUNO","mode":"down","for":3}`, `{"psp":"BANCAUNO","mode":"down"} {}`,
	} {
		if resp, text := e.do("POST", e.url+"/control", "application/json", body); resp.StatusCode != http.StatusBadRequest || !strings.Contains(text, `"detail"`) {
			t.Errorf("%s: %d %s", body, resp.StatusCode, text)
		}
	}
	e.open("BANCAUNO", first) // still as it was
}

func TestIndex(t *testing.T) {
	t.Parallel()
	e := start(t, nil)
	e.mode("BANCADUE", ModeLate)
	resp, text := e.do("GET", e.url+"/", "", "")
	if resp.StatusCode != 200 || !strings.Contains(text, "<td>BANCAUNO</td><td>Banca Uno</td><td>card</td><td>ok</td>") ||
		!strings.Contains(text, "<td>BANCADUE</td><td>Banca Due</td><td>account_debit</td><td>late</td>") || !strings.Contains(text, "AMBIENTE DI PROVA") {
		t.Errorf("%d %s", resp.StatusCode, text)
	}
	if resp, _ := e.do("GET", e.url+"/altro", "", ""); resp.StatusCode != http.StatusNotFound {
		t.Errorf("/altro: %d", resp.StatusCode)
	}
}

func TestOldPagesAreForgotten(t *testing.T) {
	t.Parallel()
	e := start(t, nil)
	page, _ := e.open("BANCAUNO", first)
	for range maxPages {
		r := httptest.NewRequest("POST", "/BANCAUNO/checkout/ec/v1/carts", strings.NewReader(cartOf(second)))
		w := httptest.NewRecorder()
		if e.box.ServeHTTP(w, r); w.Code != http.StatusFound {
			t.Fatalf("carts: %d", w.Code)
		}
	}
	if len(e.box.pages) != maxPages || len(e.box.oldest) != maxPages {
		t.Errorf("%d pages are kept, want %d", len(e.box.pages), maxPages)
	}
	if resp, _ := e.do("GET", page, "", ""); resp.StatusCode != http.StatusNotFound {
		t.Errorf("the oldest page: %d", resp.StatusCode)
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	if _, err := New(Config{}); err == nil {
		t.Error("an empty Config was taken")
	}
	psp := connectors.PSP{ID: "A"}
	_, err := New(Config{
		URL: &url.URL{}, Creditor: "x", PSPs: []connectors.PSP{psp, psp}, Now: time.Now, Log: slog.New(slog.DiscardHandler),
		Target: func(context.Context, string) (pagopa.Target, error) { return pagopa.Target{}, nil },
	})
	if err == nil {
		t.Error("two PSPs with one id were taken")
	}
}

func FuzzCart(f *testing.F) {
	f.Add([]byte(cartOf(first, second)))
	f.Add([]byte(`{"paymentNotices":[{"amount":-1}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var c cartRequest
		if json.Unmarshal(body, &c) != nil {
			return
		}
		if total, err := c.check(); err == nil && (total < 1 || total > money.Max) {
			t.Errorf("a cart of %d cents was taken", total)
		}
	})
}
