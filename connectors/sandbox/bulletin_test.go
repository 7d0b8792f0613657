// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nodogate/nodogate/connectors"
	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/pagopa"
	"github.com/nodogate/nodogate/iuv"
)

const (
	goodNumber = "301202600000004244"
	orderOne   = "3fa85f6457174562b3fc2c963f66afa6"
)

var goodBulletin = `{"id":"` + orderOne + `","fee":150,"returnUrl":"https://paga.example/e","notices":[{"noticeNumber":"` + goodNumber +
	`","fiscalCode":"80014480828","companyName":"Liceo di Prova","description":"Gita <b>3B</b>","amount":1650,"paymentToken":"t1","ccPost":"001234567890"}]}`

// startOffice is a sandbox with the post office POSTE, linked to a node face.
func startOffice(t *testing.T, script func(w http.ResponseWriter, n int) bool) (*env, *nodeFace) {
	t.Helper()
	f := &nodeFace{t: t, script: script}
	srv := httptest.NewServer(f)
	t.Cleanup(srv.Close)
	return start(t, func(cfg *Config) {
		cfg.NodeFace, cfg.Passwords = srv.URL, func(string) string { return "password-1" }
		cfg.Secrets = func(string) string { return pageSecret }
		cfg.Late = 2 * time.Millisecond
		cfg.PSPs = append(cfg.PSPs, connectors.PSP{
			ID: "POSTE", Name: "Ufficio Postale", Connector: "bollettino", Endpoint: cfg.URL.JoinPath("POSTE").String(), Methods: []gateway.Method{gateway.MethodBulletin},
			Fees: []connectors.Band{{Fee: 150}}, MaxAmount: 99999, Node: &connectors.NodePeer{Broker: "97735020584", Channel: "97735020584_02"},
		})
	}), f
}

// api calls the post office's API; what it says of the order is in told.
func (e *env) api(method, path, key, body string) (status int, told struct {
	ID, Reference, State, URL, Title string
	Timeout                          int
}) {
	e.t.Helper()
	req, err := http.NewRequestWithContext(e.t.Context(), method, e.url+path, strings.NewReader(body))
	if err != nil {
		e.t.Fatal(err)
	}
	req.Header.Set("Ocp-Apim-Subscription-Key", key)
	resp, err := e.client.Do(req)
	if err != nil {
		return 0, told
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || len(text) > 0 && json.Unmarshal(text, &told) != nil {
		e.t.Errorf("%s %s: %s, %v", method, path, text, err)
	}
	return resp.StatusCode, told
}

func TestBulletinOrder(t *testing.T) {
	t.Parallel()
	e, _ := startOffice(t, nil)
	status, first := e.api("POST", "/POSTE/bollettini", pageSecret, goodBulletin)
	if status != 201 || first.ID != orderOne || first.Reference == "" || first.State != "open" || first.Timeout != 900_000 || first.URL != e.url+"/POSTE/bollettino/"+first.Reference {
		t.Errorf("POST: %d %+v", status, first)
	}
	if status, again := e.api("POST", "/POSTE/bollettini", pageSecret, goodBulletin); status != 201 || again != first {
		t.Errorf("the same again: %d %+v, want %+v", status, again, first)
	}
	if status, told := e.api("POST", "/POSTE/bollettini", pageSecret, strings.Replace(goodBulletin, "1650", "1651", 1)); status != 422 {
		t.Errorf("another order under the id: %d %+v", status, told)
	}
	if status, told := e.api("GET", "/POSTE/bollettini/"+orderOne, pageSecret, ""); status != 200 || told != first {
		t.Errorf("GET: %d %+v", status, told)
	}
	other := strings.Repeat("0", 32)
	for _, c := range []struct {
		method, path, key, body string
		want                    int
	}{
		{"POST", "/POSTE/bollettini", "wrong", goodBulletin, 401}, {"GET", "/POSTE/bollettini/" + orderOne, "", "", 401},
		{"GET", "/POSTE/bollettini/" + other, pageSecret, "", 404}, {"DELETE", "/POSTE/bollettini/" + other, pageSecret, "", 404},
		{"POST", "/BANCAUNO/bollettini", pageSecret, goodBulletin, 404}, {"GET", "/NESSUNO/bollettini/" + orderOne, pageSecret, "", 404},
		{"POST", "/POSTE/bollettini", pageSecret, "no", 400}, {"POST", "/POSTE/bollettini", pageSecret, `{"more":1}`, 400},
	} {
		if status, _ := e.api(c.method, c.path, c.key, c.body); status != c.want {
			t.Errorf("%s %s with %.40s: %d, want %d", c.method, c.path, c.body, status, c.want)
		}
	}
	for from, to := range map[string]string{
		orderOne: "3FA85F6457174562B3FC2C963F66AFA6", `"fee":150`: `"fee":-1`, `"fee":150,`: "", "https://paga.example/e": "javascript:x",
		goodNumber: "901202600000004244", "80014480828": "8001448082", "Liceo di Prova": "", "Gita": strings.Repeat("x", 141),
		"1650": "0", ":1650,": ":100000000,", `"t1"`: `""`, "001234567890": "1234567890", `"paymentToken"`: `"token"`,
	} {
		if status, told := e.api("POST", "/POSTE/bollettini", pageSecret, strings.Replace(goodBulletin, from, to, 1)); status != 400 {
			t.Errorf("%s made %.40s: %d %+v, want 400", from, to, status, told)
		}
	}
	e.mu.Lock()
	e.now = e.now.Add(16 * time.Minute)
	e.mu.Unlock()
	if _, told := e.api("GET", "/POSTE/bollettini/"+orderOne, pageSecret, ""); told.State != "expired" {
		t.Errorf("after its time the order is %s", told.State)
	}
	if _, text := e.do("GET", first.URL, "", ""); !strings.Contains(text, "Sessione scaduta") {
		t.Errorf("after its time the page is %s", text)
	}
}

func TestBulletinButtons(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		button, state, outcome, ledger, text string
		cancel                               int
	}{
		{"paga", "ordered", "OK", "taken", "già stato eseguito", 409},
		{"rifiuta", "refused", "KO", "refused", "Pagamento rifiutato", 204},
		{"annulla", "refused", "KO", "", "Pagamento annullato", 204},
		{"chiudi", "open", "", "", "Pagamento abbandonato", 204},
	} {
		t.Run(c.button, func(t *testing.T) {
			t.Parallel()
			e, f := startOffice(t, nil)
			_, o := e.api("POST", "/POSTE/bollettini", pageSecret, goodBulletin)
			if _, text := e.do("GET", o.URL, "", ""); !strings.Contains(text, "Gita &lt;b&gt;3B&lt;/b&gt;") || !strings.Contains(text, "18,00 €") || !strings.Contains(text, "C/C 001234567890") {
				t.Errorf("the page is %s", text)
			}
			e.do("POST", o.URL, "application/x-www-form-urlencoded", "azione="+c.button)
			if resp, _ := e.do("POST", o.URL, "application/x-www-form-urlencoded", "azione=paga"); resp.StatusCode != http.StatusConflict {
				t.Errorf("pressed again: %d", resp.StatusCode)
			}
			if _, told := e.api("GET", "/POSTE/bollettini/"+orderOne, pageSecret, ""); told.State != c.state {
				t.Errorf("the order is %s, want %s", told.State, c.state)
			}
			if _, text := e.do("GET", o.URL, "", ""); !strings.Contains(text, c.text) {
				t.Errorf("the page is %s", text)
			}
			calls := strings.Join(f.calls(), "")
			if c.outcome != "" && !strings.Contains(calls, "<outcome>"+c.outcome+"</outcome>") || c.outcome == "" && calls != "" {
				t.Errorf("the node was told %s", calls)
			}
			if c.outcome == "OK" && (!strings.Contains(calls, "<fee>1.50</fee>") || !strings.Contains(calls, "<paymentToken>t1</paymentToken>")) {
				t.Errorf("the node was told %s", calls)
			}
			if _, ledger := e.do("GET", e.url+"/ledger", "", ""); c.ledger == "" && strings.Contains(ledger, orderOne) ||
				c.ledger != "" && !strings.Contains(ledger, fmt.Sprintf(`"attempt":%q,"notices":[{"school":"80014480828","number":%q}],"amount_cents":1650,"state":%q`, orderOne, goodNumber, c.ledger)) {
				t.Errorf("the ledger is %s", ledger)
			}
			if status, _ := e.api("DELETE", "/POSTE/bollettini/"+orderOne, pageSecret, ""); status != c.cancel {
				t.Errorf("DELETE: %d, want %d", status, c.cancel)
			}
		})
	}
}

func TestReadPaper(t *testing.T) {
	t.Parallel()
	number, err := iuv.Parse(goodNumber)
	if err != nil {
		t.Fatal(err)
	}
	d := iuv.DataMatrix{Notice: number, Account: "001234567890", Cents: 1650, Creditor: "80014480828", DebtorCode: "ANONIMO", Subject: "GITA"}
	matrix, err := d.Text()
	if err != nil {
		t.Fatal(err)
	}
	codeline, err := d.Codeline()
	if err != nil {
		t.Fatal(err)
	}
	for name, paper := range map[string]string{
		"matrix": matrix, "matrix with a line break": matrix + "\r\n", "matrix, blanks lost": strings.Join(strings.Fields(matrix), " "),
		"codeline": codeline, "codeline in groups": codeline[:20] + " " + codeline[20:34] + "> " + codeline[34:],
		"typed": goodNumber + ", 1234567890", "the other way round": "001234567890\n" + goodNumber, "as printed": " 3012 0260 0000 0042 44 ; 001234567890",
	} {
		if account, n, ok := readPaper(paper); !ok || account != "001234567890" || n != goodNumber {
			t.Errorf("%s: %s, %s, %v", name, account, n, ok)
		}
	}
	for name, paper := range map[string]string{
		"nothing": "", "blanks": " \n ", "number alone": goodNumber, "account alone": "1234567890", "wrong number": "901202600000004244,1234567890",
		"cut codeline": codeline[:49], "another type": codeline[:47] + "451", "words": "paga,adesso", "three": goodNumber + ",1,2", "long": strings.Repeat("1", 5000),
		"letters": "30120260000000424A,123",
	} {
		if account, n, ok := readPaper(paper); ok {
			t.Errorf("%s was read: %s, %s", name, account, n)
		}
	}
}

func FuzzReadPaper(f *testing.F) {
	f.Add(goodNumber + ",123")
	f.Add("codfase=NBPA;183012026000000042441200123456789010000000165038961P1")
	f.Fuzz(func(t *testing.T, paper string) {
		account, number, ok := readPaper(paper)
		if _, err := iuv.Parse(number); ok && (err != nil || !accountID.MatchString(account)) {
			t.Errorf("readPaper(%q) = %s, %s", paper, account, number)
		}
	})
}

func TestCounterOfAPostOffice(t *testing.T) {
	t.Parallel()
	paper := url.Values{"bollettino": {goodNumber + ",1234567890"}, "azione": {"paga"}}.Encode()
	at := func(e *env, body string) (*http.Response, string) {
		return e.do("POST", e.url+"/POSTE/sportello", "application/x-www-form-urlencoded", body)
	}
	fault := func(code pagopa.FaultCode) func(http.ResponseWriter, int) bool {
		return func(w http.ResponseWriter, n int) bool {
			write(w, pagopa.BollettinoResponse{Fault: pagopa.NewNodeFault(code, "")})
			return true
		}
	}
	for _, c := range []struct {
		name   string
		script func(http.ResponseWriter, int) bool
		body   string
		status int
		text   string
		calls  int
	}{
		{"paid", nil, paper, 200, "Bollettino pagato", 3},
		{"read", nil, strings.Replace(paper, "paga", "cerca", 1), 200, "Gita", 1},
		{"nothing", nil, "bollettino=x&azione=paga", 400, "non si leggono", 0},
		{"paid before", fault(pagopa.PPTPagamentoDuplicato), paper, 409, "già pagato", 1},
		{"paid online now", fault(pagopa.PPTPagamentoInCorso), paper, 409, "sta pagando online", 1},
		{"no such account", fault(pagopa.PPTDominioSconosciuto), paper, 409, "conto corrente postale", 1},
		{"no such notice", func(w http.ResponseWriter, _ int) bool {
			write(w, pagopa.BollettinoResponse{Fault: pagopa.NewCreditorFault(pagopa.NewFault(pagopa.PAAPagamentoSconosciuto, school, ""))})
			return true
		}, paper, 409, "non riconosce", 1},
		{"taken between", func(w http.ResponseWriter, n int) bool {
			if n == 0 {
				return false
			}
			write(w, pagopa.ActivateResponse{Version: 2, Fault: pagopa.NewNodeFault(pagopa.PPTPagamentoInCorso, "")})
			return true
		}, paper, 409, "sta pagando online", 2},
		{"silent", func(w http.ResponseWriter, _ int) bool { w.WriteHeader(503); return true }, paper, 409, "non risponde", 3},
		{"too much", func(w http.ResponseWriter, _ int) bool {
			write(w, pagopa.BollettinoResponse{PSPPayable: pagopa.PSPPayable{Options: []pagopa.PSPOption{{Amount: 100_000, Options: "EQ"}}, Description: "x", CreditorCode: school}, NoticeNumber: goodNumber})
			return true
		}, paper, 409, "non accetta", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e, f := startOffice(t, c.script)
			resp, text := at(e, c.body)
			if resp.StatusCode != c.status || !strings.Contains(text, c.text) || len(f.calls()) != c.calls {
				t.Errorf("the counter: %d after %d calls of the node\n%s", resp.StatusCode, len(f.calls()), text)
			}
			if _, ledger := e.do("GET", e.url+"/ledger", "", ""); strings.Contains(ledger, "taken") != (c.name == "paid") {
				t.Errorf("the ledger is %s", ledger)
			}
		})
	}
	e, _ := startOffice(t, nil)
	if resp, text := e.do("GET", e.url+"/POSTE/sportello", "", ""); resp.StatusCode != 200 || !strings.Contains(text, "AMBIENTE DI PROVA") {
		t.Errorf("the counter: %d %s", resp.StatusCode, text)
	}
	if resp, _ := e.do("GET", e.url+"/BANCAUNO/sportello", "", ""); resp.StatusCode != 404 {
		t.Errorf("the counter of a bank: %d", resp.StatusCode)
	}
	if _, text := e.do("GET", e.url+"/", "", ""); strings.Count(text, "/sportello") != 1 {
		t.Errorf("the index names %d counters, want one", strings.Count(text, "/sportello"))
	}
}
