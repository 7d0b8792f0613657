// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nodogate/nodogate/connectors"
	"github.com/nodogate/nodogate/gateway"
)

const (
	pageSecret  = "whsec_Y2hpYXZlIGRpIHByb3ZhIHBlciBpIHRlc3Q="
	transaction = "3fa85f6457174562b3fc2c963f66afa6"
)

// told is one callback that the gateway got.
type told struct {
	path, id, at string
	IDPSP        string `json:"idPsp"`
	Reference    string `json:"idPSPTransaction"`
	Outcome      string
	Details      map[string]string
}

// listener is a gateway that hears callbacks.
type listener struct {
	mu   sync.Mutex
	got  []told
	onCB func(w http.ResponseWriter, n int) // answers the n-th, from 0, in place of 200
}

func (l *listener) callbacks() []told {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]told(nil), l.got...)
}

// startRedirect is start with BANCATRE, which has a page of its own.
func startRedirect(t *testing.T, change func(*Config)) (*env, *listener) {
	t.Helper()
	key, err := connectors.ParseWebhookKey(pageSecret)
	if err != nil {
		t.Fatal(err)
	}
	l := &listener{}
	var e *env
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.mu.Lock()
		defer l.mu.Unlock()
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if _, err := key.Verify(r.Header, body, e.box.cfg.Now()); err != nil || r.Method != http.MethodPost {
			t.Errorf("callback %s: %v", r.Method, err)
		}
		c := told{path: r.URL.Path, id: r.Header.Get(connectors.WebhookID), at: r.Header.Get(connectors.WebhookTimestamp)}
		if err := json.Unmarshal(body, &c); err != nil {
			t.Error(err)
		}
		l.got = append(l.got, c)
		if l.onCB != nil {
			l.onCB(w, len(l.got)-1)
		}
	}))
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	t.Cleanup(srv.Close)
	e = start(t, func(cfg *Config) {
		cfg.PSPs = append(cfg.PSPs, connectors.PSP{
			ID: "BANCATRE", Name: "Banca Tre", Connector: "redirect", Methods: []gateway.Method{gateway.MethodCard}, Fees: []connectors.Band{{Fee: 100}},
		})
		base, err := url.Parse(srv.URL)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Gateway, cfg.Secrets = base.JoinPath("base"), func(string) string { return pageSecret }
		if change != nil {
			change(cfg)
		}
	})
	return e, l
}

var goodOrder = `{"idTransaction":"` + transaction + `","idPsp":"BANCATRE","amount":1750,"urlBack":"https://paga.example/e","description":"Gita <b>3B</b>",` +
	`"idPaymentMethod":"CP","touchpoint":"CHECKOUT","paName":"Liceo di Prova"}`

func (e *env) redirections(psp, key, body string) (*http.Response, string, error) {
	e.t.Helper()
	req, err := http.NewRequestWithContext(e.t.Context(), "POST", e.url+"/"+psp+"/redirections", strings.NewReader(body))
	if err != nil {
		e.t.Fatal(err)
	}
	req.Header.Set("Ocp-Apim-Subscription-Key", key)
	resp, err := e.client.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp, string(text), err
}

type opened struct {
	URL           string
	IDTransaction string
	Reference     string `json:"idPSPTransaction"`
	Amount        int
	Timeout       int
}

func (e *env) openRedirect() opened {
	e.t.Helper()
	resp, text, err := e.redirections("BANCATRE", pageSecret, goodOrder)
	var o opened
	if err != nil || resp.StatusCode != 200 || json.Unmarshal([]byte(text), &o) != nil {
		e.t.Fatalf("POST /redirections: %v %s", err, text)
	}
	return o
}

func TestRedirectButtons(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		button, outcome, ledger, text string
	}{
		{"paga", "OK", "taken", "già stato eseguito"},
		{"rifiuta", "KO", "refused", "Pagamento rifiutato"},
		{"annulla", "CANCELED", "", "Pagamento annullato"},
		{"chiudi", "", "", "Pagamento abbandonato"},
	} {
		t.Run(c.button, func(t *testing.T) {
			t.Parallel()
			e, l := startRedirect(t, nil)
			o := e.openRedirect()
			if o.IDTransaction != transaction || o.Amount != 1750 || o.Timeout != 600_000 || o.URL != e.url+"/BANCATRE/redirections/"+o.Reference {
				t.Errorf("opened %+v", o)
			}
			resp, text := e.do("GET", o.URL, "", "")
			for _, want := range []string{"AMBIENTE DI PROVA", "Banca Tre", "Liceo di Prova", "Gita &lt;b&gt;3B&lt;/b&gt;", "17,50 €", ">Paga</button>", ">Chiudi senza rispondere</button>"} {
				if resp.StatusCode != 200 || !strings.Contains(text, want) {
					t.Errorf("the page lacks %q: %d", want, resp.StatusCode)
				}
			}
			if strings.Contains(text, "Commissione di") || strings.Contains(text, "Avviso") {
				t.Errorf("the page knows more than it was told: %s", text)
			}
			resp, text = e.press(o.URL, c.button)
			if c.outcome != "" && (resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Location") != "https://paga.example/e") {
				t.Errorf("browser sent by %d to %q: %s", resp.StatusCode, resp.Header.Get("Location"), text)
			}
			if c.outcome == "" && resp.StatusCode != http.StatusOK {
				t.Errorf("left by %d", resp.StatusCode)
			}
			if resp, _ := e.press(o.URL, "paga"); resp.StatusCode != http.StatusConflict {
				t.Errorf("a second button: %d, want 409", resp.StatusCode)
			}
			if _, text := e.do("GET", o.URL, "", ""); !strings.Contains(text, c.text) || strings.Contains(text, "<form") {
				t.Errorf("the page after it: %s", text)
			}
			e.settled()
			if got := e.states(); got != c.ledger {
				t.Errorf("ledger %q, want %q", got, c.ledger)
			}
			got := l.callbacks()
			if c.outcome == "" {
				if len(got) != 0 {
					t.Errorf("the gateway was told %+v", got)
				}
				return
			}
			if len(got) != 1 {
				t.Fatalf("%d callbacks, want 1: %+v", len(got), got)
			}
			g := got[0]
			if g.path != "/base/callbacks/BANCATRE/redirections/"+transaction+"/outcomes" || g.IDPSP != "BANCATRE" || g.Reference != o.Reference || g.Outcome != c.outcome {
				t.Errorf("callback %+v", g)
			}
			if c.outcome == "OK" && (g.Details["timestampOperation"] != "2026-11-20T09:15:30Z" || g.Details["authorizationCode"] == "") ||
				c.outcome != "OK" && g.Details["errorCode"] == "" {
				t.Errorf("details %v", g.Details)
			}
		})
	}
}

func TestRedirectLedger(t *testing.T) {
	t.Parallel()
	e, _ := startRedirect(t, nil)
	o := e.openRedirect()
	e.press(o.URL, "paga")
	e.settled()
	_, text := e.do("GET", e.url+"/ledger", "", "")
	want := `{"items":[{"psp":"BANCATRE","reference":"` + o.Reference + `","attempt":"` + transaction + `","notices":[],"amount_cents":1750,"state":"taken","at":"2026-11-20T09:15:30Z"}]}`
	if strings.TrimSpace(text) != want {
		t.Errorf("ledger %s\nwant   %s", text, want)
	}
}

// A gateway that names the notices has them in the ledger, without the fee.
func TestRedirectLedgerNamesNotices(t *testing.T) {
	t.Parallel()
	e, _ := startRedirect(t, nil)
	notices := `,"notices":[{"fiscalCode":"80014480828","noticeNumber":"301202600000004244","amount":650},{"fiscalCode":"80015010723","noticeNumber":"302202600000004224","amount":1000}]}`
	order := strings.TrimSuffix(goodOrder, "}") + notices
	resp, text, err := e.redirections("BANCATRE", pageSecret, order)
	var o opened
	if err != nil || resp.StatusCode != 200 || json.Unmarshal([]byte(text), &o) != nil {
		t.Fatalf("POST /redirections: %v %s", err, text)
	}
	e.press(o.URL, "paga")
	e.settled()
	_, text = e.do("GET", e.url+"/ledger", "", "")
	want := `"notices":[{"school":"80014480828","number":"301202600000004244"},{"school":"80015010723","number":"302202600000004224"}],"amount_cents":1650,"state":"taken"`
	if !strings.Contains(text, want) {
		t.Errorf("ledger %s\nwants  %s", text, want)
	}
	for name, wrong := range map[string]string{
		"no creditor":         strings.Replace(order, "80014480828", "8001448082", 1),
		"no notice number":    strings.Replace(order, "301202600000004244", "30120260000000424", 1),
		"nothing":             strings.Replace(order, `"amount":650`, `"amount":0`, 1),
		"more than the whole": strings.Replace(order, `"amount":650`, `"amount":751`, 1),
	} {
		if resp, text, err := e.redirections("BANCATRE", pageSecret, wrong); err != nil || resp.StatusCode != 400 {
			t.Errorf("%s: %s %v, want 400", name, text, err)
		}
	}
}

func TestRedirectExpires(t *testing.T) {
	t.Parallel()
	e, l := startRedirect(t, nil)
	o := e.openRedirect()
	e.mu.Lock()
	e.now = e.now.Add(redirectLife)
	e.mu.Unlock()
	if resp, text := e.press(o.URL, "paga"); resp.StatusCode != http.StatusConflict || !strings.Contains(text, "Sessione scaduta") {
		t.Errorf("Paga after the end: %d %s", resp.StatusCode, text)
	}
	e.settled()
	if got := l.callbacks(); len(got) != 1 || got[0].Outcome != "EXPIRED" || e.states() != "" {
		t.Errorf("told %+v, ledger %q", got, e.states())
	}
}

func TestRedirectCallsUntilAnswered(t *testing.T) {
	t.Parallel()
	e, l := startRedirect(t, nil)
	l.onCB = func(w http.ResponseWriter, n int) {
		switch n {
		case 0:
			w.WriteHeader(http.StatusInternalServerError)
		case 1:
			panic(http.ErrAbortHandler)
		}
		e.mu.Lock()
		e.now = e.now.Add(time.Minute)
		e.mu.Unlock()
	}
	e.press(e.openRedirect().URL, "paga")
	e.settled()
	got := l.callbacks()
	if len(got) != 3 || got[0].id != got[1].id || got[1].id != got[2].id {
		t.Fatalf("callbacks %+v, want three of one id", got)
	}
	if first, last := got[0].at, got[2].at; first != strconv.FormatInt(1795166130, 10) || last == first {
		t.Errorf("tries were signed at %s and %s, want each at its own time", first, last)
	}
}

func TestRedirectTakesANo(t *testing.T) {
	t.Parallel()
	e, l := startRedirect(t, nil)
	l.onCB = func(w http.ResponseWriter, _ int) { w.WriteHeader(http.StatusNotFound) }
	e.press(e.openRedirect().URL, "paga")
	e.settled()
	if got := l.callbacks(); len(got) != 1 || e.states() != "taken" {
		t.Errorf("%d callbacks, ledger %q; want one, taken", len(got), e.states())
	}
}

func TestRedirectModes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		mode      Mode
		status    int // of POST /redirections; 0: cut
		button    int // status of Paga on a page opened before; 0: cut
		outcomes  string
		ledger    string
		timeoutMS int
	}{
		{ModeOK, 200, 303, "OK", "taken", 600_000},
		{ModeDown, 503, 503, "", "", 0},
		{ModeSlow, 200, 303, "OK", "taken", 600_000},
		{ModeCut, 0, 0, "OK", "taken", 0},
		{ModeRefuse, 400, 303, "KO", "refused", 0},
		{ModeDuplicate, 200, 303, "OK OK", "taken", 600_000},
		{ModeLate, 200, 303, "OK", "taken", 4},
	} {
		t.Run(string(c.mode), func(t *testing.T) {
			t.Parallel()
			e, l := startRedirect(t, func(cfg *Config) { cfg.Late = 8 * time.Millisecond })
			before := e.openRedirect()
			e.mode("BANCATRE", c.mode)
			resp, text, err := e.redirections("BANCATRE", pageSecret, goodOrder)
			if c.status == 0 {
				if !errors.Is(err, io.EOF) {
					t.Errorf("POST /redirections: %v, want a cut", err)
				}
			} else if err != nil || resp.StatusCode != c.status {
				t.Fatalf("POST /redirections: %v %v", resp, err)
			}
			if c.status == 200 {
				var o opened
				if err := json.Unmarshal([]byte(text), &o); err != nil || o.Timeout != c.timeoutMS {
					t.Errorf("timeout %d, %v; want %d", o.Timeout, err, c.timeoutMS)
				}
			}
			resp, _, err = e.try("POST", before.URL, "application/x-www-form-urlencoded", "azione=paga")
			if c.button == 0 {
				if !errors.Is(err, io.EOF) {
					t.Errorf("Paga: %v, want a cut", err)
				}
			} else if err != nil || resp.StatusCode != c.button {
				t.Errorf("Paga: %v %v, want %d", resp, err, c.button)
			}
			e.settled()
			var outcomes []string
			ids := map[string]bool{}
			for _, g := range l.callbacks() {
				outcomes = append(outcomes, g.Outcome)
				ids[g.id] = true
			}
			if got := strings.Join(outcomes, " "); got != c.outcomes || len(ids) > 1 {
				t.Errorf("told %q with %d ids, want %q with one", got, len(ids), c.outcomes)
			}
			if got := e.states(); got != c.ledger {
				t.Errorf("ledger %q, want %q", got, c.ledger)
			}
		})
	}
}

func TestRedirectLateComesLate(t *testing.T) {
	t.Parallel()
	e, l := startRedirect(t, func(cfg *Config) { cfg.Late = time.Hour })
	e.mode("BANCATRE", ModeLate)
	// The browser goes back before the gateway is told.
	if resp, text := e.press(e.openRedirect().URL, "paga"); resp.StatusCode != http.StatusSeeOther {
		t.Errorf("Paga: %d %s", resp.StatusCode, text)
	}
	if got := l.callbacks(); len(got) != 0 || e.states() != "taken" {
		t.Errorf("told %+v, ledger %q; want nothing yet, taken", got, e.states())
	}
}

func TestRedirectRefuses(t *testing.T) {
	t.Parallel()
	e, _ := startRedirect(t, nil)
	change := func(from, to string) string {
		if !strings.Contains(goodOrder, from) {
			t.Fatalf("no %s in the order", from)
		}
		return strings.Replace(goodOrder, from, to, 1)
	}
	for _, c := range []struct {
		name, psp, key, body string
		status               int
	}{
		{"good", "BANCATRE", pageSecret, goodOrder, 200},
		{"unknown PSP", "NESSUNA", pageSecret, goodOrder, 404},
		{"PSP of another kind", "BANCAUNO", pageSecret, goodOrder, 404},
		{"wrong key", "BANCATRE", "x", goodOrder, 401},
		{"no key", "BANCATRE", "", goodOrder, 401},
		{"no JSON", "BANCATRE", pageSecret, "nope", 400},
		{"short id", "BANCATRE", pageSecret, change(transaction, transaction[1:]), 400},
		{"another PSP", "BANCATRE", pageSecret, change("BANCATRE", "BANCADUE"), 400},
		{"no amount", "BANCATRE", pageSecret, change(`"amount":1750,`, ""), 400},
		{"nothing", "BANCATRE", pageSecret, change("1750", "0"), 400},
		{"a fraction", "BANCATRE", pageSecret, change("1750", "17.5"), 400},
		{"too much", "BANCATRE", pageSecret, change("1750", "100000000"), 400},
		{"a script", "BANCATRE", pageSecret, change("https://paga.example/e", "javascript:alert(1)"), 400},
		{"no description", "BANCATRE", pageSecret, change("description", "descrizione"), 400},
		{"no method", "BANCATRE", pageSecret, change(`"CP"`, `""`), 400},
		{"another touchpoint", "BANCATRE", pageSecret, change("CHECKOUT", "WEB"), 400},
		{"empty name", "BANCATRE", pageSecret, change("Liceo di Prova", ""), 400},
		{"long name", "BANCATRE", pageSecret, change("Liceo di Prova", strings.Repeat("x", 71)), 400},
	} {
		if resp, text, err := e.redirections(c.psp, c.key, c.body); err != nil || resp.StatusCode != c.status {
			t.Errorf("%s: %s %v, want %d", c.name, text, err, c.status)
		}
	}
	o := e.openRedirect()
	if resp, _ := e.press(o.URL, "ruba"); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("unknown button: %d", resp.StatusCode)
	}
	for _, address := range []string{e.url + "/BANCATRE/redirections/x", e.url + "/BANCAUNO/redirections/" + o.Reference, e.url + "/BANCATRE/pagina/" + o.Reference} {
		if resp, _ := e.do("GET", address, "", ""); resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d, want 404", address, resp.StatusCode)
		}
	}
}

func TestNewNeedsWhatACallbackNeeds(t *testing.T) {
	t.Parallel()
	e, _ := startRedirect(t, nil)
	for name, change := range map[string]func(*Config){
		"no gateway":   func(c *Config) { c.Gateway = nil },
		"no secrets":   func(c *Config) { c.Secrets = nil },
		"empty secret": func(c *Config) { c.Secrets = func(string) string { return "" } },
	} {
		cfg := e.box.cfg
		change(&cfg)
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
