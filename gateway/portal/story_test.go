// SPDX-License-Identifier: Apache-2.0

package portal_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
	"github.com/nodogate/nodogate/gateway/portal"
)

// until evaluates an expression until it is true: the browser is another
// process, and nothing else tells when it has done.
func (b *tab) until(what, expression string) {
	b.t.Helper()
	var err error
	for deadline := time.Now().Add(40 * time.Second); time.Now().Before(deadline); {
		var ok bool
		if ok, err = chromedp.Run(b.ctx, chromedp.Evaluate[bool](`!!(`+expression+`)`)); err == nil && ok {
			return
		}
		select {
		case <-b.ctx.Done():
			b.t.Fatalf("%s: %v", what, b.ctx.Err())
		case <-time.After(30 * time.Millisecond):
		}
	}
	shown, _ := chromedp.Run(b.ctx, chromedp.Evaluate[string](`location.href + "\n" + document.body.innerText`))
	b.t.Fatalf("%s: never true (%v); the page is\n%s", what, err, shown)
}

func (b *tab) sees(words string) {
	b.t.Helper()
	b.until("sees "+words, fmt.Sprintf(`document.readyState === "complete" && document.body.innerText.includes(%q)`, words))
}

// click presses a button or a link by its name and waits for the next page.
func (b *tab) click(name string) {
	b.t.Helper()
	b.until("click "+name, fmt.Sprintf(`document.readyState === "complete" && (() => {
		const e = [...document.querySelectorAll("button, a")].filter(e => e.getClientRects().length > 0).find(e => e.textContent.trim().replace(/\s+/g, " ") === %q);
		if (!e) return false;
		document.documentElement.dataset.old = "1";
		e.click();
		return true;
	})()`, name))
	b.until("a new page after "+name, `document.readyState === "complete" && !document.documentElement.dataset.old`)
}

func (b *tab) fill(label, value string) {
	b.t.Helper()
	b.until("fill "+label, fmt.Sprintf(`(() => {
		const l = [...document.querySelectorAll("label")].find(l => l.textContent.trim() === %q);
		if (!l || !l.control) return false;
		l.control.value = %q;
		return true;
	})()`, label, value))
}

func (b *tab) pick(label string) {
	b.t.Helper()
	b.until("pick "+label, fmt.Sprintf(`(() => {
		const l = [...document.querySelectorAll("label")].find(l => l.textContent.trim().startsWith(%q));
		if (!l || !l.control) return false;
		l.click();
		return l.control.checked;
	})()`, label))
}

// The family's story in two languages, with scripts and without: two notices and
// a gift into the cart, off to the provider and back, checked, and paid without
// another click; the attestation; a consent withdrawn; out.
func TestStory(t *testing.T) {
	t.Parallel()
	words := map[string]map[string]string{
		"it": {"enter": "Accedi", "user": "Username", "password": "Password", "add": "Aggiungi al carrello", "cart": "Vai al carrello", "checkout": "Vai al pagamento",
			"card": "Carta di pagamento", "pay": "Paga", "checking": "In verifica", "paid": "Pagato", "receipt": "Scarica la ricevuta", "attest": "Scarica l'attestazione",
			"withdraw": "Ritira il consenso", "saved": "La tua scelta è stata salvata", "out": "Esci", "out_page": "Accesso"},
		"de": {"enter": "Anmelden", "user": "Benutzername", "password": "Passwort", "add": "In den Warenkorb", "cart": "Zum Warenkorb", "checkout": "Zur Zahlung",
			"card": "Zahlungskarte", "pay": "Bezahlen", "checking": "Wird geprüft", "paid": "Bezahlt", "receipt": "Quittung herunterladen", "attest": "Bestätigung herunterladen",
			"withdraw": "Einwilligung widerrufen", "saved": "Ihre Wahl wurde gespeichert", "out": "Abmelden", "out_page": "Anmeldung"},
	}
	for _, lang := range []string{"it", "de"} {
		for _, script := range []bool{true, false} {
			w := words[lang]
			t.Run(fmt.Sprintf("%s, scripts %v", lang, script), func(t *testing.T) {
				t.Parallel()
				b := newTab(t)
				g := gatewaytest.New(t)
				g.Family()
				// The provider's page leads back, whatever was done on it.
				back := make(chan string, 1)
				psp := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Type", "text/html; charset=utf-8")
					to := <-back
					back <- to
					fmt.Fprintf(w, `<!doctype html><html lang="it"><title>PSP</title><h1>PSP</h1><a href=%q>Torna</a>`, to)
				}))
				t.Cleanup(psp.Close)
				cfg := config(t, g)
				cfg.FormActions = func() []string { return []string{psp.URL} }
				h, err := portal.New(cfg)
				if err != nil {
					t.Fatal(err)
				}
				srv := httptest.NewServer(h)
				t.Cleanup(srv.Close)
				g.PSPs.OnStart(func(_ context.Context, _ gateway.PSPID, o gateway.Order) (gateway.Started, error) {
					back <- srv.URL + outcomeOf(o) + "?esito=ok"
					return gateway.Started{Redirect: psp.URL + "/pay"}, nil
				})
				first, second := g.Issue(), g.Issue(described("Libri"))

				b.do(chromedp.EmulateViewport(390, 844))
				if !script {
					if _, err := chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
						t.Fatal(err)
					}
				}
				start := time.Now()
				b.do(chromedp.Navigate(srv.URL + "/accesso?lang=" + lang))
				b.fill(w["user"], "mario.rossi")
				b.fill(w["password"], gatewaytest.Password)
				b.click(w["enter"])
				b.click(w["add"])
				b.click(w["add"])
				b.click(w["cart"])
				b.click(w["checkout"])
				b.pick(w["card"])
				b.click(w["pay"])
				b.sees("PSP")
				b.click("Torna")
				b.sees(w["checking"])
				g.Settle(first, g.PSPs.Orders()[0].Cart)
				g.Settle(second, g.PSPs.Orders()[0].Cart)
				b.until("paid by itself", fmt.Sprintf(`document.readyState === "complete" && document.querySelector("h1").textContent === %q`, w["paid"]))
				if took := time.Since(start); took > time.Minute {
					t.Errorf("from log-in to paid in %s, want at most a minute", took)
				}
				b.sees(w["receipt"])
				// The back button after paying shows no second payment.
				b.do(chromedp.Navigate(srv.URL + "/carrello/pagamento"))
				if got := len(g.PSPs.Orders()); got != 1 {
					t.Errorf("%d orders, want 1", got)
				}
				b.do(chromedp.Navigate(srv.URL + "/attestazioni"))
				b.sees(w["attest"])
				b.do(chromedp.Navigate(srv.URL + "/consensi"))
				b.click(w["withdraw"])
				b.sees(w["saved"])
				b.click(w["out"])
				b.sees(w["out_page"])
			})
		}
	}
}
