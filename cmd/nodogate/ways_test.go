// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/nodogate/nodogate/gateway"
)

// way is one way to pay: a method and a PSP that takes it.
type way struct {
	method gateway.Method
	psp    string
}

// ways has what a test of one PSP of the demo needs.
type ways struct {
	*testing.T
	demo demoFile
	api  *api
	tag  string
	// kinds are the connectors of the PSPs.
	kinds map[string]string
}

// TestEveryWay pays through every PSP of the demo, by every method it takes, from
// the API and from the portal, and then in every mode the sandbox can put it in.
// The notice must end as it should, and the PSP's ledger agree.
func TestEveryWay(t *testing.T) {
	t.Parallel()
	demo, _ := startDemo(t, t.TempDir())
	w := newWays(t, demo, "list")
	var offered []struct {
		Method gateway.Method
		PSPs   []struct {
			ID        string
			Available bool
		}
	}
	if status := w.api.call("GET", "/api/v1/payment-methods?amount_cents=1650", nil, &offered); status != http.StatusOK {
		t.Fatalf("payment methods: %d", status)
	}
	byPSP := map[string][]way{}
	methods := map[gateway.Method]bool{}
	for _, m := range offered {
		for _, p := range m.PSPs {
			if !p.Available {
				t.Errorf("%s is not available", p.ID)
			}
			byPSP[p.ID] = append(byPSP[p.ID], way{m.Method, p.ID})
			methods[m.Method] = true
		}
	}
	if len(methods) != len(gateway.Methods) {
		t.Errorf("the demo offers %v, want every method", methods)
	}
	// All PSPs at once, since they mostly wait; the modes of one after the other.
	var wg sync.WaitGroup
	defer wg.Wait()
	for psp, list := range byPSP {
		wg.Go(func() {
			w.Run(psp, func(t *testing.T) {
				w := newWays(t, demo, psp)
				for _, way := range list {
					w.run("api "+string(way.method), func(w *ways) { w.paysByAPI(way) })
					w.run("portal "+string(way.method), func(w *ways) { w.paysByPortal(way) })
				}
				way := list[0]
				w.run("Rifiuta", func(w *ways) { w.givesUp(way, "Rifiuta") })
				w.run("Annulla", func(w *ways) { w.givesUp(way, "Annulla") })
				w.run("Chiudi senza rispondere", func(w *ways) { w.givesUp(way, "Chiudi senza rispondere") })
				for _, mode := range []string{"down", "refuse", "slow"} {
					w.run(mode, func(w *ways) { w.cannotOpen(way, mode) })
				}
				w.run("refuse on the page", func(w *ways) { w.refusedOnThePage(way) })
				w.run("cut when it opens", func(w *ways) { w.cutWhenItOpens(way) })
				for _, mode := range []string{"cut", "duplicate", "late"} {
					w.run(mode+" when it is paid", func(w *ways) { w.paidInMode(way, mode) })
				}
			})
		})
	}
}

func newWays(t *testing.T, demo demoFile, tag string) *ways {
	t.Helper()
	credentials, err := json.Marshal(demo.API)
	if err != nil {
		t.Fatal(err)
	}
	w := &ways{T: t, demo: demo, api: newAPI(t, demo.PortalURL, string(credentials)), tag: tag, kinds: map[string]string{}}
	w.api.prefix = tag + "-"
	catalogue, err := demoCatalogue(demo.SandboxURL)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range catalogue.PSPs {
		w.kinds[string(p.ID)] = p.Connector
	}
	return w
}

// run is a subtest in which the PSP begins and ends well.
func (w *ways) run(name string, fn func(*ways)) {
	w.Run(name, func(t *testing.T) {
		sub := *w
		sub.T = t
		sub.tag += "-" + strings.ReplaceAll(name, " ", "-")
		sub.api = &api{t: t, base: w.api.base, token: w.api.token, prefix: sub.tag + "-"}
		fn(&sub)
	})
}

type object = map[string]any

func (w *ways) issue() string {
	w.Helper()
	return w.issueWith("", 1650)
}

// issueWith is issue for a test that needs several, or another amount.
func (w *ways) issueWith(id string, cents int) string {
	w.Helper()
	var out struct{ Number string }
	status := w.api.call("POST", "/api/v1/schools/"+string(w.demo.API.School)+"/notices", object{
		"debtor":      object{"fiscal_code": "RSSMRA10A41H501F", "full_name": "Maria Rossi", "class": "3B"},
		"description": "Viaggio di istruzione 3B", "amount_cents": cents, "due_date": "2099-12-31", "external_id": w.tag + id,
	}, &out)
	if status != http.StatusCreated {
		w.Fatalf("issue: %d", status)
	}
	return out.Number
}

type noticeView struct {
	Status   string
	Payment  *struct{ State string }
	Receipts []string
}

func (w *ways) notice(number string) (n noticeView) {
	w.Helper()
	if status := w.api.call("GET", "/api/v1/schools/"+string(w.demo.API.School)+"/notices/"+number, nil, &n); status != http.StatusOK {
		w.Fatalf("notice: %d", status)
	}
	return n
}

// cart opens a payment by the API and gives the PSP's page.
func (w *ways) cart(way way, number string) (status int, page string) {
	w.Helper()
	var out struct {
		RedirectURL string `json:"redirect_url"`
	}
	status = w.api.call("POST", "/api/v1/carts", object{
		"notices": []object{{"school": w.demo.API.School, "number": number}}, "method": way.method, "psp": way.psp,
		"payer": object{"email": "mario.rossi@famiglie.example"},
	}, &out)
	return status, out.RedirectURL
}

func (w *ways) open(way way, number string) (page string) {
	w.Helper()
	status, page := w.cart(way, number)
	if status != http.StatusCreated || !strings.HasPrefix(page, w.demo.SandboxURL) {
		w.Fatalf("cart: %d, its page is %q", status, page)
	}
	return page
}

// mode puts the PSP into a mode, and back into order when the test ends.
func (w *ways) mode(psp, mode string) {
	w.Helper()
	set := func(mode string) {
		resp, err := http.Post(w.demo.SandboxURL+"/control", "application/json", strings.NewReader(fmt.Sprintf(`{"psp":%q,"mode":%q}`, psp, mode)))
		if err != nil {
			w.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			w.Fatalf("control: %d", resp.StatusCode)
		}
	}
	set(mode)
	w.Cleanup(func() { set("ok") })
}

// ledger counts what the PSP took and refused so far.
func (w *ways) ledger(psp string) (taken, refused int) {
	w.Helper()
	resp, err := http.Get(w.demo.SandboxURL + "/ledger")
	if err != nil {
		w.Fatal(err)
	}
	defer resp.Body.Close()
	var out struct {
		Items []struct {
			PSP, State string
			Notices    []struct{ School, Number string }
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		w.Fatal(err)
	}
	for _, i := range out.Items {
		if len(i.Notices) == 0 {
			w.Errorf("a line of %s in the ledger names no notices", i.PSP)
		}
		switch {
		case i.PSP != psp:
		case i.State == "taken":
			taken++
		default:
			refused++
		}
	}
	return taken, refused
}

// wantLedger runs fn, after which the PSP has taken and refused so many more.
func (w *ways) wantLedger(psp string, taken, refused int, fn func()) {
	w.Helper()
	t0, r0 := w.ledger(psp)
	fn()
	if t1, r1 := w.ledger(psp); t1-t0 != taken || r1-r0 != refused {
		w.Errorf("the ledger has %d more taken and %d more refused, want %d and %d", t1-t0, r1-r0, taken, refused)
	}
}

// wait looks until the notice is so.
func (w *ways) wait(number, what string, so func(noticeView) bool) (n noticeView) {
	w.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for over := time.After(40 * time.Second); ; {
		if n = w.notice(number); so(n) {
			return n
		}
		select {
		case <-tick.C:
		case <-over:
			w.Fatalf("the notice is never %s: %+v, payment %+v", what, n, n.Payment)
		}
	}
}

func paid(n noticeView) bool { return n.Status == "paid" }
func free(n noticeView) bool { return n.Status == "open" && n.Payment == nil }

func (w *ways) wantPaidOnce(number string) {
	w.Helper()
	n := w.wait(number, "paid", paid)
	if len(n.Receipts) != 1 {
		w.Errorf("the notice has receipts %v, want one", n.Receipts)
	}
}

func (w *ways) paysByAPI(way way) {
	number := w.issue()
	w.wantLedger(way.psp, 1, 0, func() {
		if err := press(w.Context(), w.open(way, number), "Paga"); err != nil {
			w.Fatal(err)
		}
		w.wantPaidOnce(number)
	})
	if status, _ := w.cart(way, number); status != http.StatusConflict {
		w.Errorf("paying again: %d, want 409", status)
	}
}

// paysByPortal pays as a guest does, with a browser that runs no scripts.
func (w *ways) paysByPortal(way way) {
	number := w.issue()
	v := newVisitor(w.T, w.demo.PortalURL)
	v.submit("/paga", "Cerca l’avviso", url.Values{"avviso": {number}, "ente": {string(w.demo.API.School)}})
	v.press("Aggiungi al carrello", nil)
	w.wantLedger(way.psp, 1, 0, func() {
		v.submit("/carrello/pagamento", "Paga", url.Values{"metodo": {string(way.method)}, "psp_" + string(way.method): {way.psp}, "email": {"guest@famiglie.example"}})
		if !strings.HasPrefix(v.at.String(), w.demo.SandboxURL) {
			w.Fatalf("Paga leads to %s\n%s", v.at, v.text())
		}
		if err := press(w.Context(), v.at.String(), "Paga"); err != nil {
			w.Fatal(err)
		}
		w.wantPaidOnce(number)
	})
}

// givesUp presses another button than Paga. Who says nothing, and Checkout, which
// has no word for it, leave the notice in verification until the page is over.
func (w *ways) givesUp(way way, button string) {
	number := w.issue()
	refused := 0
	if button == "Rifiuta" {
		refused = 1
	}
	w.wantLedger(way.psp, 0, refused, func() {
		page := w.open(way, number)
		if err := press(w.Context(), page, button); err != nil {
			w.Fatal(err)
		}
		if button == "Chiudi senza rispondere" || w.kinds[way.psp] == "checkout" {
			if n := w.notice(number); n.Status != "open" || n.Payment == nil {
				w.Errorf("the notice is %+v, want one in verification", n)
			}
			if status, _ := w.cart(way, number); status != http.StatusConflict {
				w.Errorf("a second payment meanwhile: %d, want 409", status)
			}
			return
		}
		w.wait(number, "free", free)
		w.open(way, number)
	})
}

func (w *ways) cannotOpen(way way, mode string) {
	w.mode(way.psp, mode)
	number := w.issue()
	w.wantLedger(way.psp, 0, 0, func() {
		status, page := w.cart(way, number)
		if page != "" || mode != "refuse" && status != http.StatusServiceUnavailable || status < 400 {
			w.Errorf("cart: %d with page %q", status, page)
		}
	})
	if n := w.notice(number); !free(n) {
		w.Errorf("the notice is %+v, want a free one", n)
	}
}

func (w *ways) refusedOnThePage(way way) {
	number := w.issue()
	w.wantLedger(way.psp, 0, 1, func() {
		page := w.open(way, number)
		w.mode(way.psp, "refuse")
		if err := press(w.Context(), page, "Paga"); err != nil {
			w.Fatal(err)
		}
	})
	if n := w.notice(number); n.Status != "open" {
		w.Errorf("the notice is %+v, want an open one", n)
	}
}

// cutWhenItOpens loses the PSP's answer: it has a payment that nobody can reach.
func (w *ways) cutWhenItOpens(way way) {
	number := w.issue()
	w.wantLedger(way.psp, 1, 0, func() {
		w.mode(way.psp, "cut")
		if w.kinds[way.psp] == "bollettino" {
			// It can be asked by our own id, so what it answered is found.
			page := w.open(way, number)
			w.mode(way.psp, "ok")
			if err := press(w.Context(), page, "Paga"); err != nil {
				w.Fatal(err)
			}
			w.wantPaidOnce(number)
			return
		}
		if status, page := w.cart(way, number); status != http.StatusServiceUnavailable || page != "" {
			w.Errorf("cart: %d with page %q", status, page)
		}
		w.mode(way.psp, "ok")
		w.wait(number, "free", free)
		if err := press(w.Context(), w.open(way, number), "Paga"); err != nil {
			w.Fatal(err)
		}
		w.wantPaidOnce(number)
	})
}

func (w *ways) paidInMode(way way, mode string) {
	number := w.issue()
	w.wantLedger(way.psp, 1, 0, func() {
		page := w.open(way, number)
		w.mode(way.psp, mode)
		if err := press(w.Context(), page, "Paga"); (err != nil) != (mode == "cut") {
			w.Fatalf("Paga: %v", err)
		}
		w.wantPaidOnce(number)
	})
}

// visitor is a browser without scripts, in Italian.
type visitor struct {
	t      *testing.T
	client *http.Client
	base   string
	at     *url.URL
	body   string
	no     int // see allow
}

// allow has the next answers be this refusal without an end to the test.
func (v *visitor) allow(status int) *visitor {
	v.no = status
	return v
}

func newVisitor(t *testing.T, base string) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	v := &visitor{t: t, base: base}
	v.client = &http.Client{Jar: jar, CheckRedirect: func(req *http.Request, _ []*http.Request) error {
		if !strings.HasPrefix(req.URL.String(), base) {
			v.at = req.URL
			return http.ErrUseLastResponse // it leaves the portal
		}
		return nil
	}}
	return v
}

func (v *visitor) do(method, address string, form url.Values) {
	v.t.Helper()
	req, err := http.NewRequestWithContext(v.t.Context(), method, address, strings.NewReader(form.Encode()))
	if err != nil {
		v.t.Fatal(err)
	}
	req.Header.Set("Accept-Language", "it")
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	v.at = nil
	resp, err := v.client.Do(req)
	if err != nil {
		v.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	if resp.StatusCode >= 400 && resp.StatusCode != v.no {
		v.t.Fatalf("%s %s: %d", method, address, resp.StatusCode)
	}
	if v.body = string(b); v.at == nil {
		v.at = resp.Request.URL
	}
}

// submit opens a page and sends its form that has this button.
func (v *visitor) submit(path, button string, set url.Values) {
	v.t.Helper()
	v.do("GET", v.base+path, nil)
	v.press(button, set)
}

// press sends the form of the page that has this button, some fields set.
func (v *visitor) press(button string, set url.Values) {
	v.t.Helper()
	doc, err := html.Parse(strings.NewReader(v.body))
	if err != nil {
		v.t.Fatal(err)
	}
	action, form := findForm(doc, button)
	if form == nil {
		v.t.Fatalf("%s has no button %q:\n%s", v.at, button, v.text())
	}
	for name, values := range set {
		if _, there := form[name]; !there {
			v.t.Fatalf("%s has no field %s, but %v", v.at, name, slices.Collect(maps.Keys(form)))
		}
		form[name] = values
	}
	to, err := v.at.Parse(action)
	if err != nil {
		v.t.Fatal(err)
	}
	v.do("POST", to.String(), form)
}

// text is what a person reads on the page.
func (v *visitor) text() string {
	doc, err := html.Parse(strings.NewReader(v.body))
	if err != nil {
		return v.body
	}
	var b strings.Builder
	for n := range doc.Descendants() {
		if n.Type == html.TextNode && n.Parent.Data != "style" && n.Parent.Data != "script" {
			b.WriteString(strings.TrimSpace(n.Data) + " ")
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}
