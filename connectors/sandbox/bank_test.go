// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nodogate/nodogate/connectors"
	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/pagopa"
)

const (
	payments  = "/BANCATRE/v1/payments/instant-sepa-credit-transfers"
	hint      = "/callbacks/BANCATRE/payments/" + transaction
	requestID = "3bbe5e50-aff1-5990-9a03-155a4a6b4a88"
	tokenOne  = "000000000000000000000000000cafe1"
	tokenTwo  = "000000000000000000000000000cafe2"
)

// hints are the notifications that a gateway got.
type hints struct {
	mu  sync.Mutex
	got []string
}

func (h *hints) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.got = append(h.got, r.Method+" "+r.URL.Path+" "+string(body))
	w.WriteHeader(http.StatusNoContent)
}

func (h *hints) all() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.got)
}

// startBank is a sandbox with the bank BANCATRE, its node face and its gateway.
func startBank(t *testing.T, change func(*Config)) (*env, *nodeFace, *hints) {
	t.Helper()
	f, h := &nodeFace{t: t}, &hints{}
	node, gw := httptest.NewServer(f), httptest.NewServer(h)
	t.Cleanup(node.Close)
	t.Cleanup(gw.Close)
	return start(t, func(cfg *Config) {
		cfg.NodeFace, cfg.Passwords = node.URL, func(string) string { return "password-1" }
		base, err := url.Parse(gw.URL)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Gateway = base
		cfg.PSPs = append(cfg.PSPs, connectors.PSP{
			ID: "BANCATRE", Name: "Banca Tre", Connector: bankName, Methods: []gateway.Method{gateway.MethodAccountDebit},
			Fees: []connectors.Band{{Fee: 100}}, MaxAmount: 100000,
			Node:    &connectors.NodePeer{Broker: "97735020584", Channel: "97735020584_03"},
			Options: map[string]string{"product": "instant-sepa-credit-transfers"},
		})
		if change != nil {
			change(cfg)
		}
	}), f, h
}

var (
	lineOne     = `"/RFB/` + first[1:] + `/16.50/CF/` + school + `/TOKEN/` + tokenOne + `"`
	lineTwo     = `"/RFB/` + second[1:] + `/20.00/CF/` + school + `/TOKEN/` + tokenTwo + `"`
	goodPayment = `{"endToEndIdentification":"` + transaction + `","debtorAccount":{"currency":"EUR"},"instructedAmount":{"currency":"EUR","amount":"37.50"},` +
		`"creditorAccount":{"iban":"IT60X0542811101000000123456","currency":"EUR"},"creditorName":"Banca Tre Incassi",` +
		`"remittanceInformationUnstructured":"/TXT/pagoPA 2 avvisi 37.50","remittanceInformationUnstructuredArray":[` + lineOne + `,` + lineTwo + `]}`
)

// xs2a calls the bank's interface.
func (e *env) xs2a(method, path, body string, change func(http.Header)) (*http.Response, string, error) {
	e.t.Helper()
	req, err := http.NewRequestWithContext(e.t.Context(), method, e.url+path, strings.NewReader(body))
	if err != nil {
		e.t.Fatal(err)
	}
	req.Header = http.Header{
		"Content-Type": {"application/json"}, "X-Request-Id": {requestID}, "Psu-Ip-Address": {"198.51.100.7"},
		"Tpp-Redirect-Uri": {"https://paga.example/e?esito=ok"}, "Tpp-Nok-Redirect-Uri": {"https://paga.example/e?esito=errore"},
		"Tpp-Notification-Uri": {"https://paga.example" + hint},
	}
	if change != nil {
		change(req.Header)
	}
	resp, err := e.client.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp, string(text), err
}

type initiated struct {
	Status string `json:"transactionStatus"`
	ID     string `json:"paymentId"`
	Links  map[string]struct{ Href string }
}

// initiate makes a payment.
func (e *env) initiate(body string, change func(http.Header)) (made initiated, page string) {
	e.t.Helper()
	resp, text, err := e.xs2a("POST", payments, body, change)
	if err != nil || resp.StatusCode != http.StatusCreated || json.Unmarshal([]byte(strings.Replace(text, `"_links"`, `"Links"`, 1)), &made) != nil {
		e.t.Fatalf("initiate: %v %+v %s", err, resp, text)
	}
	if resp.Header.Get("X-Request-ID") != requestID || resp.Header.Get("ASPSP-SCA-Approach") != "REDIRECT" ||
		made.Links["status"].Href != payments+"/"+made.ID+"/status" || resp.Header.Get("Location") != payments+"/"+made.ID {
		e.t.Errorf("answer %v %s", resp.Header, text)
	}
	return made, made.Links["scaRedirect"].Href
}

func (e *env) status(id string) string {
	e.t.Helper()
	resp, text, err := e.xs2a("GET", payments+"/"+id+"/status", "", nil)
	var said struct{ TransactionStatus string }
	if err != nil || resp.StatusCode != 200 || json.Unmarshal([]byte(text), &said) != nil {
		e.t.Fatalf("status: %v %s", err, text)
	}
	return said.TransactionStatus
}

func TestBankPage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		button       string
		mode         Mode
		back, status string
		ledger       string
		outcome      string // of each call to the node
		calls, hints int
	}{
		{"paga", ModeOK, "ok", "ACSC", "taken", "OK", 1, 1},
		{"rifiuta", ModeOK, "errore", "RJCT", "refused", "KO", 1, 1},
		{"annulla", ModeOK, "errore", "CANC", "", "KO", 1, 1},
		{"chiudi", ModeOK, "", "RCVD", "", "", 0, 0},
		{"paga", ModeRefuse, "errore", "RJCT", "refused", "KO", 1, 1},
		{"paga", ModeDuplicate, "ok", "ACSC", "taken", "OK", 2, 2},
		{"paga", ModeLate, "ok", "ACSC", "taken", "OK", 1, 1},
		{"paga", ModeCut, "cut", "ACSC", "taken", "OK", 1, 1},
	} {
		t.Run(c.button+" "+string(c.mode), func(t *testing.T) {
			t.Parallel()
			e, f, h := startBank(t, nil)
			made, page := e.initiate(goodPayment, nil)
			if made.Status != "RCVD" || e.status(made.ID) != "RCVD" {
				t.Errorf("a new payment is %+v", made)
			}
			resp, text := e.do("GET", page, "", "")
			for _, want := range []string{
				"AMBIENTE DI PROVA", "Paga con Banca Tre", "Banca Tre Incassi", "Avviso " + first, "Avviso " + second, "16,50 €", "20,00 €", "1,00 €", "37,50 €",
				">Paga</button>", ">Rifiuta</button>", ">Annulla</button>", ">Chiudi senza rispondere</button>",
			} {
				if resp.StatusCode != 200 || !strings.Contains(text, want) {
					t.Errorf("the page lacks %q", want)
				}
			}
			e.mode("BANCATRE", c.mode)
			resp, text, err := e.try("POST", page, "application/x-www-form-urlencoded", "azione="+c.button)
			switch {
			case c.back == "cut":
				if err == nil {
					t.Error("the answer is not cut")
				}
			case err != nil:
				t.Fatal(err)
			case c.back == "":
				if resp.StatusCode != 200 || !strings.Contains(text, "nessuno è stato avvisato") {
					t.Errorf("%d %s", resp.StatusCode, text)
				}
			default:
				e.goesTo(resp, text, c.back)
			}
			e.mode("BANCATRE", ModeOK)
			e.settled()
			if got := e.status(made.ID); got != c.status {
				t.Errorf("status %s, want %s", got, c.status)
			}
			if got := e.states(); got != c.ledger {
				t.Errorf("ledger %q, want %q", got, c.ledger)
			}
			for _, l := range e.ledger() {
				if l.PSP != "BANCATRE" || l.Reference != made.ID || l.Cents != 3650 || len(l.Notices) != 2 || l.Notices[1].School != school || l.Notices[1].Number != second {
					t.Errorf("ledger line %+v", l)
				}
			}
			if n := len(f.calls()); n != c.calls {
				t.Errorf("the node was told %d times, want %d", n, c.calls)
			}
			for _, m := range f.read {
				o := m.(pagopa.OutcomeRequest)
				if o.Outcome != c.outcome || !slices.Equal(o.Tokens, []string{tokenOne, tokenTwo}) || (o.Details != nil) != (c.outcome == "OK") ||
					o.Details != nil && o.Details.Fee != 100 {
					t.Errorf("the node was told %+v", o)
				}
			}
			told := h.all()
			if len(told) != c.hints {
				t.Errorf("the gateway was told %v, want %d times", told, c.hints)
			}
			for _, got := range told {
				if want := fmt.Sprintf(`POST %s {"paymentId":%q,"transactionStatus":%q}`, hint, made.ID, c.status); got != want {
					t.Errorf("told %s, want %s", got, want)
				}
			}
		})
	}
}

// What ended stays ended, and what was not confirmed in time is rejected.
func TestBankPageEnds(t *testing.T) {
	t.Parallel()
	e, f, _ := startBank(t, nil)
	_, paid := e.initiate(goodPayment, nil)
	e.press(paid, "paga")
	if resp, text := e.press(paid, "annulla"); resp.StatusCode != http.StatusConflict || !strings.Contains(text, "già stato eseguito") {
		t.Errorf("after Paga: %d %s", resp.StatusCode, text)
	}
	if resp, _ := e.press(paid, "boh"); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("no button: %d", resp.StatusCode)
	}
	made, late := e.initiate(goodPayment, nil)
	e.mu.Lock()
	e.now = e.now.Add(scaLife)
	e.mu.Unlock()
	if s := e.status(made.ID); s != "RJCT" {
		t.Errorf("not confirmed in time: %s", s)
	}
	if resp, text := e.press(late, "paga"); resp.StatusCode != http.StatusConflict || !strings.Contains(text, "Sessione scaduta") {
		t.Errorf("too late: %d %s", resp.StatusCode, text)
	}
	if resp, text := e.do("GET", e.url+"/BANCATRE/conto/none", "", ""); resp.StatusCode != http.StatusNotFound {
		t.Errorf("no page: %d %s", resp.StatusCode, text)
	}
	e.settled()
	if e.states() != "taken" || len(f.calls()) != 1 {
		t.Errorf("ledger %q, %d outcomes", e.states(), len(f.calls()))
	}
}

func TestBankCancels(t *testing.T) {
	t.Parallel()
	e, f, _ := startBank(t, nil)
	cancel := func(id string) (int, string) {
		resp, text, err := e.xs2a("DELETE", payments+"/"+id, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, text
	}
	made, page := e.initiate(goodPayment, nil)
	e.press(page, "chiudi") // nobody was told
	if code, text := cancel(made.ID); code != 204 || text != "" {
		t.Errorf("DELETE: %d %s", code, text)
	}
	if s := e.status(made.ID); s != "CANC" {
		t.Errorf("status %s", s)
	}
	if resp, _ := e.press(page, "paga"); resp.StatusCode != http.StatusConflict {
		t.Errorf("Paga after it: %d", resp.StatusCode)
	}
	made, page = e.initiate(goodPayment, nil)
	e.press(page, "paga")
	for _, id := range []string{made.ID, "none"} {
		want, code := 405, "CANCELLATION_INVALID"
		if id == "none" {
			want, code = 404, "RESOURCE_UNKNOWN"
		}
		if got, text := cancel(id); got != want || !strings.Contains(text, `"code":"`+code+`"`) {
			t.Errorf("DELETE %s: %d %s", id, got, text)
		}
	}
	e.settled()
	if e.states() != "taken" || len(f.calls()) != 1 {
		t.Errorf("ledger %q, %d outcomes", e.states(), len(f.calls()))
	}
}

func TestBankRefuses(t *testing.T) {
	t.Parallel()
	with := func(old, new string) string { return strings.Replace(goodPayment, old, new, 1) }
	for _, c := range []struct {
		name, path, body string
		change           func(http.Header)
		status           int
		code             string
	}{
		{"no JSON", "", "nope", nil, 400, "FORMAT_ERROR"},
		{"no type", "", goodPayment, func(h http.Header) { h.Del("Content-Type") }, 400, "FORMAT_ERROR"},
		{"no id", "", goodPayment, func(h http.Header) { h.Del("X-Request-ID") }, 400, "FORMAT_ERROR"},
		{"id of no form", "", goodPayment, func(h http.Header) { h.Set("X-Request-ID", "1") }, 400, "FORMAT_ERROR"},
		{"no payer's address", "", goodPayment, func(h http.Header) { h.Del("PSU-IP-Address") }, 400, "FORMAT_ERROR"},
		{"IPv6", "", goodPayment, func(h http.Header) { h.Set("PSU-IP-Address", "2001:db8::1") }, 400, "FORMAT_ERROR"},
		{"no way back", "", goodPayment, func(h http.Header) { h.Del("TPP-Redirect-URI") }, 400, "FORMAT_ERROR"},
		{"a way back that is none", "", goodPayment, func(h http.Header) { h.Set("TPP-Nok-Redirect-URI", "javascript:alert(1)") }, 400, "FORMAT_ERROR"},
		{"no debtor", "", with("debtorAccount", "x"), nil, 400, "FORMAT_ERROR"},
		{"dollars", "", with(`{"currency":"EUR","amount"`, `{"currency":"USD","amount"`), nil, 400, "FORMAT_ERROR"},
		{"nothing", "", with("37.50", "0.00"), nil, 400, "FORMAT_ERROR"},
		{"thousandths", "", with("37.50", "37.505"), nil, 400, "FORMAT_ERROR"},
		{"owed to us", "", with("37.50", "-37.50"), nil, 400, "FORMAT_ERROR"},
		{"less than the notices", "", with(`"37.50"`, `"36.49"`), nil, 400, "FORMAT_ERROR"},
		{"wrong IBAN", "", with("123456", "123457"), nil, 400, "FORMAT_ERROR"},
		{"no creditor", "", with("Banca Tre Incassi", ""), nil, 400, "FORMAT_ERROR"},
		{"long creditor", "", with("Banca Tre Incassi", strings.Repeat("x", 71)), nil, 400, "FORMAT_ERROR"},
		{"long end to end", "", with(transaction, transaction+"0000"), nil, 400, "FORMAT_ERROR"},
		{"long remittance", "", with("/TXT/", "/TXT/"+strings.Repeat("x", 140)), nil, 400, "FORMAT_ERROR"},
		{"no lines", "", with("["+lineOne+","+lineTwo+"]", "[]"), nil, 400, "FORMAT_ERROR"},
		{"a line of no form", "", with("/TOKEN/"+tokenOne, ""), nil, 400, "FORMAT_ERROR"},
		{"a token twice", "", with(tokenTwo, tokenOne), nil, 400, "FORMAT_ERROR"},
		{"too much", "", strings.NewReplacer("37.50", "2000.00", "/20.00", "/1200.00").Replace(goodPayment), nil, 400, "PAYMENT_FAILED"},
		{"another product", "/BANCATRE/v1/payments/sepa-credit-transfers", goodPayment, nil, 404, "PRODUCT_UNKNOWN"},
		{"a PSP that is no bank", "/BANCAUNO/v1/payments/instant-sepa-credit-transfers", goodPayment, nil, 404, ""},
		{"no PSP", "/NOBODY/v1/payments/instant-sepa-credit-transfers", goodPayment, nil, 404, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e, _, _ := startBank(t, nil)
			path := c.path
			if path == "" {
				path = payments
			}
			resp, text, err := e.xs2a("POST", path, c.body, c.change)
			if err != nil || resp.StatusCode != c.status || c.code != "" && !strings.Contains(text, `"category":"ERROR","code":"`+c.code+`"`) {
				t.Errorf("%d %s, %v; want %d %s", resp.StatusCode, text, err, c.status, c.code)
			}
			if len(e.box.debits) != 0 {
				t.Error("a payment was made all the same")
			}
		})
	}
}

func TestBankModes(t *testing.T) {
	t.Parallel()
	e, _, _ := startBank(t, nil)
	made, page := e.initiate(goodPayment, nil)
	e.mode("BANCATRE", ModeDown)
	for _, at := range [][2]string{{"POST", payments}, {"GET", payments + "/" + made.ID + "/status"}, {"DELETE", payments + "/" + made.ID}} {
		if resp, _, err := e.xs2a(at[0], at[1], goodPayment, nil); err != nil || resp.StatusCode != 503 {
			t.Errorf("down: %s %s: %v %v", at[0], at[1], resp, err)
		}
	}
	if resp, _ := e.do("GET", page, "", ""); resp.StatusCode != 503 {
		t.Errorf("down: the page answers %d", resp.StatusCode)
	}
	e.mode("BANCATRE", ModeRefuse)
	if resp, text, err := e.xs2a("POST", payments, goodPayment, nil); err != nil || resp.StatusCode != 400 || !strings.Contains(text, "PAYMENT_FAILED") {
		t.Errorf("refuse: %v %s %v", resp, text, err)
	}
	e.mode("BANCATRE", ModeCut)
	if _, _, err := e.xs2a("POST", payments, goodPayment, nil); err == nil {
		t.Error("cut: an answer came")
	}
	e.mode("BANCATRE", ModeSlow)
	e.initiate(goodPayment, nil)
	if n := len(e.box.debits); n != 3 {
		t.Errorf("%d payments, want 3: one before, one cut, one slow", n)
	}
}

// The bank hides its news from whoever is no callback of its own.
func TestBankHints(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ address, want string }{
		"ours":         {"https://paga.example" + hint, hint},
		"another PSP":  {"https://paga.example/callbacks/BANCAUNO/payments/" + transaction, ""},
		"another path": {"https://paga.example/callbacks/BANCATRE/payments/" + transaction + "/x", ""},
		"none":         {"", ""},
		"nonsense":     {"::", ""},
	} {
		if got := hintOf(c.address, "BANCATRE"); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	e, f, h := startBank(t, nil)
	_, page := e.initiate(goodPayment, func(h http.Header) { h.Del("TPP-Notification-URI") })
	e.press(page, "paga")
	e.settled()
	if len(h.all()) != 0 || len(f.calls()) != 1 {
		t.Errorf("told %v, the node %d times", h.all(), len(f.calls()))
	}
}

func TestBankToken(t *testing.T) {
	t.Parallel()
	e, _, _ := startBank(t, func(cfg *Config) {
		p := &cfg.PSPs[len(cfg.PSPs)-1]
		p.Options["token_url"], p.Options["client_id"] = "https://x.example/token", "us"
		cfg.Secrets = func(string) string { return "s e cret" }
	})
	ask := func(user, pass, grant string) (*http.Response, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), "POST", e.url+"/BANCATRE/oauth/token", strings.NewReader("grant_type="+grant))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.SetBasicAuth(url.QueryEscape(user), url.QueryEscape(pass))
		resp, err := e.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp, string(text)
	}
	for _, c := range [][4]string{
		{"us", "wrong", "client_credentials", "invalid_client"}, {"them", "s e cret", "client_credentials", "invalid_client"},
		{"us", "s e cret", "password", "unsupported_grant_type"},
	} {
		if resp, text := ask(c[0], c[1], c[2]); resp.StatusCode < 400 || !strings.Contains(text, c[3]) {
			t.Errorf("%v: %d %s", c, resp.StatusCode, text)
		}
	}
	_, text := ask("us", "s e cret", "client_credentials")
	var got struct {
		Token string `json:"access_token"`
		Life  int    `json:"expires_in"`
	}
	if err := json.Unmarshal([]byte(text), &got); err != nil || got.Token == "" || got.Life != 300 {
		t.Fatalf("token %s", text)
	}
	if _, again := ask("us", "s e cret", "client_credentials"); again != text {
		t.Errorf("another token at once: %s", again)
	}
	order := func(bearer string) int {
		resp, _, err := e.xs2a("POST", payments, goodPayment, func(h http.Header) { h.Set("Authorization", bearer) })
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode
	}
	for bearer, want := range map[string]int{"": 401, "Bearer ": 401, "Bearer x": 401, "Bearer " + got.Token: 201} {
		if code := order(bearer); code != want {
			t.Errorf("%q: %d, want %d", bearer, code, want)
		}
	}
	e.mu.Lock()
	e.now = e.now.Add(bearerLife)
	e.mu.Unlock()
	if code := order("Bearer " + got.Token); code != 401 {
		t.Errorf("an old token: %d", code)
	}
}

func TestBankNeedsItsNode(t *testing.T) {
	t.Parallel()
	e, _, _ := startBank(t, nil)
	for name, change := range map[string]func(*Config){
		"NodeFace": func(c *Config) { c.NodeFace = "" },
		"Gateway":  func(c *Config) { c.Gateway = nil },
		"its node": func(c *Config) { c.PSPs[len(c.PSPs)-1].Node = nil },
		"Secrets":  func(c *Config) { c.PSPs[len(c.PSPs)-1].Options = map[string]string{"token_url": "x"} },
	} {
		cfg := e.box.cfg
		cfg.PSPs = slices.Clone(cfg.PSPs)
		change(&cfg)
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: %v", name, err)
		}
	}
}

// A late one is still on its way while nobody was told.
func TestBankLate(t *testing.T) {
	t.Parallel()
	e, f, _ := startBank(t, func(cfg *Config) { cfg.Late = time.Hour })
	made, page := e.initiate(goodPayment, nil)
	e.mode("BANCATRE", ModeLate)
	e.press(page, "paga") // the browser waits a second at most
	if s := e.status(made.ID); s != "ACSP" || e.states() != "taken" || len(f.calls()) != 0 {
		t.Errorf("status %s, ledger %q, %d outcomes", s, e.states(), len(f.calls()))
	}
}
