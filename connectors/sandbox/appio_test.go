// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func startPhones(t *testing.T) *env {
	return start(t, func(cfg *Config) {
		cfg.Portal, cfg.IdentitySecret = &url.URL{Scheme: "http", Host: "portal.example"}, "secret"
		cfg.People = []Person{
			{Code: "RSSMRA80A01H501U", FirstName: "Mario", LastName: "Rossi", App: true},
			{Code: "VRDLCU82H55E202K", FirstName: "Lucia", LastName: "Verdi", App: true, Muted: true},
			{Code: "NREPLA80A01H501B", FirstName: "Paolo", LastName: "Neri"},
		}
	})
}

// app calls the API of the app, and is the status and what it answered; 0 is no
// answer.
func (e *env) app(path, body, key string) (int, string) {
	e.t.Helper()
	req, err := http.NewRequestWithContext(e.t.Context(), http.MethodPost, e.url+"/appio/api/v1"+path, strings.NewReader(body))
	if err != nil {
		e.t.Fatal(err)
	}
	if key != "" {
		req.Header.Set("Ocp-Apim-Subscription-Key", key)
	}
	resp, err := e.client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		e.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func toApp(code string) string {
	return `{"fiscal_code":"` + code + `","time_to_live":3600,"content":{"subject":"Nuovo avviso","markdown":"` + strings.Repeat("Testo <b>. ", 10) +
		`","due_date":"2026-12-31T22:59:59.000Z","payment_data":{"amount":1650,"notice_number":"` + first + `","payee":{"fiscal_code":"` + school + `"}}}}`
}

func TestPhone(t *testing.T) {
	t.Parallel()
	e := startPhones(t)
	for _, c := range []struct {
		what, path, body, key string
		status                int
		answer                string
	}{
		{"who has the app", "/profiles", `{"fiscal_code":"RSSMRA80A01H501U"}`, "k", 200, `"sender_allowed":true`},
		{"who wants nothing", "/profiles", `{"fiscal_code":"VRDLCU82H55E202K"}`, "k", 200, `"sender_allowed":false`},
		{"who has none", "/profiles", `{"fiscal_code":"NREPLA80A01H501B"}`, "k", 404, "Profile not found"},
		{"who is nobody", "/profiles", `{"fiscal_code":""}`, "k", 404, ""},
		{"no key", "/profiles", `{"fiscal_code":"RSSMRA80A01H501U"}`, "", 401, ""},
		{"no JSON", "/profiles", `fiscal_code`, "k", 400, ""},
		{"a message", "/messages", toApp("RSSMRA80A01H501U"), "k", 201, `"id":"`},
		{"to who wants nothing", "/messages", toApp("VRDLCU82H55E202K"), "k", 201, `"id":"`},
		{"to nobody", "/messages", toApp("NREPLA80A01H501B"), "k", 201, `"id":"`},
		{"without a key", "/messages", toApp("RSSMRA80A01H501U"), "", 401, ""},
		{"too short a subject", "/messages", strings.Replace(toApp("RSSMRA80A01H501U"), "Nuovo avviso", "Nuovo", 1), "k", 400, "subject"},
		{"too short a text", "/messages", strings.Replace(toApp("RSSMRA80A01H501U"), strings.Repeat("Testo <b>. ", 10), "x", 1), "k", 400, "markdown"},
		{"no amount", "/messages", strings.Replace(toApp("RSSMRA80A01H501U"), "1650", "0", 1), "k", 400, "amount"},
		{"half a cent", "/messages", strings.Replace(toApp("RSSMRA80A01H501U"), "1650", "0.5", 1), "k", 400, ""},
		{"another number", "/messages", strings.Replace(toApp("RSSMRA80A01H501U"), first, "4"+first[1:], 1), "k", 400, "notice_number"},
		{"another payee", "/messages", strings.Replace(toApp("RSSMRA80A01H501U"), school, "1", 1), "k", 400, "payee"},
		{"for too long", "/messages", strings.Replace(toApp("RSSMRA80A01H501U"), "3600", "604801", 1), "k", 400, "time_to_live"},
	} {
		if status, answer := e.app(c.path, c.body, c.key); status != c.status || !strings.Contains(answer, c.answer) {
			t.Errorf("%s: %d %s, want %d %s", c.what, status, answer, c.status, c.answer)
		}
	}
	_, text := e.do("GET", e.url+"/appio", "", "")
	for _, want := range []string{"A Mario Rossi", "Nuovo avviso", "Testo &lt;b&gt;", "16,50 €", first, "31/12/2026 (si paga anche dopo)", "Lucia Verdi ha l'app"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q:\n%s", want, text)
		}
	}
	_, list := e.do("GET", e.url+"/appio/messages", "", "")
	if strings.Count(list, `"to"`) != 1 || strings.Contains(text+list, "RSSMRA80A01H501U") {
		t.Errorf("messages: %s", list)
	}
}

func TestPhoneModes(t *testing.T) {
	t.Parallel()
	e := startPhones(t)
	for _, c := range []struct {
		mode    Mode
		status  int // 0: no answer
		arrived int
	}{
		{ModeDown, 503, 0}, {ModeRefuse, 400, 0}, {ModeCut, 0, 1}, {ModeSlow, 201, 2}, {ModeOK, 201, 3},
	} {
		e.mode(AppID, c.mode)
		if status, text := e.app("/messages", toApp("RSSMRA80A01H501U"), "k"); status != c.status {
			t.Errorf("%s: %d %s, want %d", c.mode, status, text, c.status)
		}
		if _, list := e.do("GET", e.url+"/appio/messages", "", ""); strings.Count(list, `"to"`) != c.arrived {
			t.Errorf("%s: %s", c.mode, list)
		}
	}
	if resp, text := e.do("POST", e.url+"/control", "application/json", `{"psp":"APPIO","mode":"late"}`); resp.StatusCode != 400 {
		t.Errorf("a mode that the app has not: %d %s", resp.StatusCode, text)
	}
	for range maxMessages {
		e.app("/messages", toApp("RSSMRA80A01H501U"), "k")
	}
	if _, list := e.do("GET", e.url+"/appio/messages", "", ""); strings.Count(list, `"to"`) != maxMessages {
		t.Errorf("%d messages are kept", strings.Count(list, `"to"`))
	}
}
