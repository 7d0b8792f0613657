// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// startDemo runs `nodogate demo` in dir and gives its demo.json.
func startDemo(t *testing.T, dir string, env ...string) (demoFile, *exec.Cmd) {
	t.Helper()
	cmd := program(dir, env, "demo")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(dir, "data", "demo.log"))
			t.Logf("the demo's log:\n%s", log[max(0, len(log)-8000):])
		}
	})
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if !strings.Contains(lines.Text(), "Ctrl-C") {
			continue
		}
		go io.Copy(io.Discard, stdout)
		var d demoFile
		b, err := os.ReadFile(filepath.Join(dir, "data", "demo.json"))
		if err == nil {
			err = json.Unmarshal(b, &d)
		}
		if err != nil {
			t.Fatal(err)
		}
		return d, cmd
	}
	cmd.Wait()
	t.Fatalf("the demo did not start: %s", stderr.String())
	return demoFile{}, nil
}

// browser is a Chromium tab.
type browser struct {
	t      *testing.T
	ctx    context.Context
	clicks int
}

func newBrowser(t *testing.T, width, height int64, script bool) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("NODOGATE_TEST_STRICT") != "" {
			t.Fatal("chromium is not installed")
		}
		t.Skip("chromium is not installed")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("accept-lang", "it"), chromedp.UserDataDir(t.TempDir()))
	ctx, stop := chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(stop)
	ctx, closeTab := chromedp.NewContext(ctx)
	t.Cleanup(closeTab)
	b := &browser{t: t, ctx: ctx}
	b.do(chromedp.EmulateViewport(width, height))
	if !script {
		if _, err := chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
			t.Fatal(err)
		}
	}
	// No page may ask a foreign host for anything.
	if err := chromedp.Listen(b.ctx, func(ev any) {
		if e, ok := ev.(*network.EventRequestWillBeSent); ok && !strings.HasPrefix(e.Request.URL, "http://127.0.0.1:") && !strings.HasPrefix(e.Request.URL, "data:") {
			t.Errorf("a page asked for %s", e.Request.URL)
		}
	}); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.shot("failure")
		b.t.Fatal(err)
	}
}

func (b *browser) open(address string) {
	b.t.Helper()
	b.do(chromedp.Navigate(address))
}

// until evaluates a JavaScript expression until it is true.
func (b *browser) until(what, expression string) {
	b.t.Helper()
	var err error
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
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
	b.shot("failure")
	text, _ := chromedp.Run(b.ctx, chromedp.Evaluate[string](`document.location.href + "\n" + document.body.innerText`))
	b.t.Fatalf("%s: never true (%v); the page is\n%s", what, err, text)
}

// sees waits for a text on the page.
func (b *browser) sees(text string) {
	b.t.Helper()
	b.until("sees "+text, fmt.Sprintf(`document.readyState === "complete" && document.body.innerText.includes(%q)`, text))
}

// find is a JavaScript expression for the visible element of that kind whose
// accessible name is text, or begins with it.
func find(kinds, text string) string {
	return fmt.Sprintf(`(() => {
		const name = e => (e.getAttribute("aria-label") || e.textContent).trim().replace(/\s+/g, " ");
		const all = [...document.querySelectorAll(%[1]q)].filter(e => e.getClientRects().length > 0);
		return all.find(e => name(e) === %[2]q) || all.find(e => name(e).startsWith(%[2]q));
	})()`, kinds, text)
}

// click presses a button or link and waits for the page that follows.
func (b *browser) click(text string) {
	b.t.Helper()
	b.clicks++
	b.until("click "+text, fmt.Sprintf(`document.readyState === "complete" && (() => {
		const e = %s;
		if (!e) return false;
		document.documentElement.dataset.old = "1";
		e.click();
		return true;
	})()`, find("button, a", text)))
	b.until("a new page after "+text, `document.readyState === "complete" && !document.documentElement.dataset.old`)
}

// fill types into the field with this label.
func (b *browser) fill(label, value string) {
	b.t.Helper()
	b.until("fill "+label, fmt.Sprintf(`(() => {
		const l = %s;
		const f = l && (l.control || l.querySelector("input"));
		if (!f) return false;
		f.focus();
		f.value = %q;
		return true;
	})()`, find("label", label), value))
}

// choose picks the radio button with this label; one that is ticked needs no click.
func (b *browser) choose(label string) {
	b.t.Helper()
	ticked, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](fmt.Sprintf(`(() => { const l = %s; return !!l && l.control.checked; })()`, find("label", label))))
	if err == nil && ticked {
		return
	}
	b.clicks++
	b.until("choose "+label, fmt.Sprintf(`(() => { const l = %s; if (!l) return false; l.click(); return l.control.checked; })()`, find("label", label)))
}

func (b *browser) shot(name string) {
	png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		b.t.Logf("screenshot: %v", err)
		return
	}
	dir := os.Getenv("NODOGATE_TEST_SCREENS")
	if dir == "" {
		return
	}
	name = strings.ReplaceAll(b.t.Name(), "/", "-") + "-" + name + ".png"
	if err := os.WriteFile(filepath.Join(dir, name), png, 0o644); err != nil {
		b.t.Log(err)
	}
}

// The journey of the README: log in, two notices into the cart, pay by card on
// the sandbox's page, see both paid, download the receipt. With JavaScript on a
// phone, and without it on a wide screen.
func TestJourney(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	demo, cmd := startDemo(t, dir)
	if len(demo.Paid) != 3 {
		t.Errorf("the demo paid %d notices, want one by each method", len(demo.Paid))
	}
	for name, tc := range map[string]struct {
		width, height int64
		script        bool
		psp           string // Banca Uno tells us itself, for Carta Serena the node does
	}{"phone": {390, 844, true, "Banca Uno"}, "wide without script": {1280, 900, false, "Carta Serena"}} {
		t.Run(name, func(t *testing.T) {
			b := newBrowser(t, tc.width, tc.height, tc.script)
			b.open(demo.PortalURL)
			b.shot("1-home")
			b.click("Accedi")
			b.fill("Username", demo.Family.Username)
			b.fill("Password", demo.Family.Password)
			b.shot("2-login")
			start := time.Now()
			b.clicks = 0
			b.click("Accedi")
			b.sees("Maria")
			b.sees("Luca")
			b.shot("3-notices")
			b.click("Aggiungi al carrello")
			b.click("Aggiungi al carrello")
			b.click("Vai al carrello")
			b.shot("4-cart")
			b.click("Vai al pagamento")
			b.choose("Carta di pagamento")
			b.choose(tc.psp)
			b.shot("5-pay")
			b.click("Paga")
			b.sees("AMBIENTE DI PROVA")
			b.sees("Paga con " + tc.psp)
			b.shot("6-sandbox")
			b.click("Paga")
			b.sees("Pagato")
			b.until("both paid", `document.body.innerText.split("Pagato").length > 2 && !document.body.innerText.includes("In verifica")`)
			if took := time.Since(start); took > time.Minute || b.clicks > 8 {
				t.Errorf("from log-in to paid in %s and %d clicks, want at most a minute and 8", took, b.clicks)
			}
			b.shot("7-paid")
			b.sees("Scarica la ricevuta")
			href, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](find("a", "Scarica la ricevuta")+".href"))
			if err != nil {
				t.Fatal(err)
			}
			pdf := b.fetch(href)
			if !strings.HasPrefix(pdf, "%PDF-") {
				t.Errorf("the receipt begins with %.20q", pdf)
			}
			b.open(demo.PortalURL + "/pagamenti")
			b.sees("Scarica la ricevuta")
			b.shot("8-payments")
			b.open(demo.PortalURL + "/area-riservata")
			b.shot("9-account")
		})
	}
	// A payment given up at the provider leaves the notice free at once.
	t.Run("given up", func(t *testing.T) {
		b := newBrowser(t, 390, 844, true)
		b.open(demo.PortalURL + "/accesso")
		b.fill("Username", demo.Family.Username)
		b.fill("Password", demo.Family.Password)
		b.click("Accedi")
		for range 2 {
			b.open(demo.PortalURL + "/avvisi")
			b.click("Aggiungi al carrello")
			b.open(demo.PortalURL + "/carrello")
			b.click("Vai al pagamento")
			b.choose("Carta di pagamento")
			b.choose("Banca Uno")
			b.click("Paga")
			b.sees("AMBIENTE DI PROVA")
			b.click("Annulla")
			b.until("back on the portal", fmt.Sprintf("location.href.startsWith(%q)", demo.PortalURL))
			b.until("nothing in progress", `document.readyState === "complete" && !document.body.innerText.includes("In verifica")`)
			b.shot("cancelled")
		}
	})
	// A provider that is down is said to be, and nothing is begun.
	t.Run("down", func(t *testing.T) {
		control := func(mode string) {
			t.Helper()
			resp, err := http.Post(demo.SandboxURL+"/control", "application/json", strings.NewReader(`{"psp":"BANCAUNO","mode":"`+mode+`"}`))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				t.Fatalf("control: %d", resp.StatusCode)
			}
		}
		control("down")
		defer control("ok")
		b := newBrowser(t, 390, 844, false)
		b.open(demo.PortalURL + "/accesso")
		b.fill("Username", demo.Family.Username)
		b.fill("Password", demo.Family.Password)
		b.click("Accedi")
		b.click("Aggiungi al carrello")
		b.click("Vai al carrello")
		b.click("Vai al pagamento")
		b.choose("Carta di pagamento")
		b.choose("Banca Uno")
		b.click("Paga")
		b.sees("on ti è stato addebitato nulla")
		b.sees("egline un altro o riprova più tardi")
		b.shot("down")
		b.open(demo.PortalURL + "/carrello")
		b.click("Rimuovi")
	})
	// Given up at the post office's page, the bulletin is printed for its counter.
	t.Run("on paper", func(t *testing.T) {
		b := newBrowser(t, 390, 844, true)
		b.open(demo.PortalURL + "/accesso")
		b.fill("Username", demo.Family.Username)
		b.fill("Password", demo.Family.Password)
		b.click("Accedi")
		b.open(demo.PortalURL + "/avvisi")
		b.click("Aggiungi al carrello")
		b.open(demo.PortalURL + "/carrello")
		b.click("Vai al pagamento")
		b.choose("Bollettino postale")
		b.choose("Ufficio Postale")
		b.shot("1-pay")
		b.click("Paga")
		b.sees("Paga con Ufficio Postale")
		b.shot("2-sandbox")
		b.click("Annulla")
		b.sees("Stampa il bollettino")
		b.until("nothing in progress", `document.readyState === "complete" && !document.body.innerText.includes("In verifica")`)
		b.shot("3-outcome")
		href, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](find("a", "Stampa il bollettino")+".href"))
		if err != nil {
			t.Fatal(err)
		}
		if pdf := b.fetch(href); !strings.HasPrefix(pdf, "%PDF-") {
			t.Errorf("the bulletin begins with %.20q", pdf)
		}
		b.open(demo.SandboxURL + "/UFFICIOPOSTALE/sportello")
		b.shot("4-counter")
	})
	// The parents are told, and nobody's code stands in a mail.
	until := time.Now().Add(20 * time.Second)
	for told := 0; told < 4; {
		if time.Now().After(until) {
			t.Fatalf("%d mails tell of the payments, want 4 or more", told)
		}
		told = 0
		files, _ := filepath.Glob(filepath.Join(dir, "data", "mail", "*.eml"))
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(b), "RSSM") {
				t.Errorf("%s names a fiscal code", f)
			}
			if strings.Contains(string(b), "Subject: Pagamento ricevuto") {
				told++
			}
		}
		<-time.After(50 * time.Millisecond) // between looks: the files are another process's
	}
	// With SPID, in two languages, with JavaScript and without; after the rest, for
	// the account remembers its last language.
	t.Run("SPID", func(t *testing.T) {
		b := newBrowser(t, 390, 844, true)
		for _, c := range []struct {
			lang   string
			script bool
			button string
			inside string
		}{
			{"it", true, "Entra con SPID", "Buongiorno, Mario Rossi"},
			{"it", false, "Entra con SPID", "Buongiorno, Mario Rossi"},
			{"de", true, "Mit SPID anmelden", "Guten Tag, Mario Rossi"},
			{"de", false, "Mit SPID anmelden", "Guten Tag, Mario Rossi"},
		} {
			b.forget(c.script)
			b.open(demo.PortalURL + "/accesso?lang=" + c.lang)
			b.sees(c.button)
			if c.script {
				b.picture(c.lang + "-accesso")
			}
			b.click(c.button)
			b.until("the provider's page", fmt.Sprintf("location.href.startsWith(%q)", demo.SandboxURL+"/oidc/spid/"))
			b.sees("Entra come Lucia Verdi")
			if c.script && c.lang == "it" {
				b.picture(c.lang + "-spid")
			}
			b.click("Entra come Mario Rossi")
			b.until("inside", fmt.Sprintf("location.href === %q", demo.PortalURL+"/"))
			b.sees(c.inside)
			b.open(demo.PortalURL + "/avvisi")
			b.sees("Maria Rossi")
			b.sees("Contributo volontario per i laboratori")
			b.shot(fmt.Sprint(c.lang, "-script-", c.script))
		}
	})
	// A second start keeps the data.
	cmd.Process.Signal(os.Interrupt)
	if err := cmd.Wait(); err != nil {
		t.Errorf("stopping the demo: %v", err)
	}
	again, _ := startDemo(t, dir)
	if again.API != demo.API || len(again.Paid) != len(demo.Paid)+4 {
		t.Errorf("after a second start: client %v, %d paid notices; want %v, %d", again.API.ID, len(again.Paid), demo.API.ID, len(demo.Paid)+4)
	}
}

// forget makes of the tab one of a browser that was never here, with JavaScript
// or without.
func (b *browser) forget(script bool) {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, network.ClearBrowserCookies, cdp.Empty{})
	if err == nil {
		_, err = chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !script})
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// picture is one of docs/screens, with -update.
func (b *browser) picture(name string) {
	b.t.Helper()
	if !*update {
		return
	}
	png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.WriteFile(filepath.Join("../../docs/screens", name+".png"), png, 0o644)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// fetch downloads with the browser's own cookies.
func (b *browser) fetch(address string) string {
	b.t.Helper()
	cookies, err := chromedp.Call(b.ctx, network.GetCookies, network.GetCookiesParams{URLs: []string{address}})
	if err != nil {
		b.t.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, c := range cookies.Cookies {
		req.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value})
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		b.t.Fatalf("GET %s: %d, %v", address, resp.StatusCode, err)
	}
	return string(body)
}
