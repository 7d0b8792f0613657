// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// postOffice is the demo's, and how a bulletin is paid online there.
var postOffice = way{"postal_bulletin", "UFFICIOPOSTALE"}

// tool runs a program of Debian's on a file.
func tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		if os.Getenv("NODOGATE_TEST_STRICT") != "" {
			t.Fatalf("%s is not installed", name)
		}
		t.Skipf("%s is not installed", name)
	}
	out, err := exec.CommandContext(t.Context(), name, args...).Output()
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return string(out)
}

// TestPaper takes a bulletin from the API, or from the portal, to the counter.
func TestPaper(t *testing.T) {
	t.Parallel()
	demo, _ := startDemo(t, t.TempDir())
	w := newWays(t, demo, "paper")
	counter := demo.SandboxURL + "/UFFICIOPOSTALE/sportello"
	type cartView struct {
		ID          string
		State       string
		RedirectURL string `json:"redirect_url"`
		DocumentURL string `json:"document_url"`
	}
	cart := func(w *ways, numbers ...string) (c cartView) {
		w.Helper()
		var notices []object
		for _, n := range numbers {
			notices = append(notices, object{"school": w.demo.API.School, "number": n})
		}
		if status := w.api.call("POST", "/api/v1/carts", object{"notices": notices, "method": "postal_bulletin", "psp": "UFFICIOPOSTALE"}, &c); status != http.StatusCreated {
			w.Fatalf("cart: %d", status)
		}
		return c
	}
	// document fetches as a browser that was never here.
	document := func(w *ways, address string) string {
		w.Helper()
		resp, err := http.Get(address)
		if err != nil {
			w.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "application/pdf" ||
			!strings.Contains(resp.Header.Get("Cache-Control"), "no-store") || !bytes.HasPrefix(body, []byte("%PDF-")) {
			w.Fatalf("GET %s: %d %v %.20q, %v", address, resp.StatusCode, resp.Header, body, err)
		}
		file := filepath.Join(w.TempDir(), "bollettino.pdf")
		if err := os.WriteFile(file, body, 0o600); err != nil {
			w.Fatal(err)
		}
		return file
	}
	w.run("from the API", func(w *ways) {
		one, two := w.issueWith("-one", 1650), w.issueWith("-two", 1650)
		c := cart(w, one, two)
		if !strings.HasPrefix(c.DocumentURL, w.demo.PortalURL+"/bollettini/"+c.ID+"/") || c.RedirectURL == "" {
			w.Fatalf("the cart is %+v", c)
		}
		file := document(w, c.DocumentURL)
		text := tool(w.T, "pdftotext", "-layout", file, "-")
		codelines := regexp.MustCompile(`\b18[0-9]{18}12001007214826100000001650(?:3896)\b`).FindAllString(text, -1)
		if len(codelines) != 2 || !strings.Contains(text, "Maria Rossi") {
			w.Fatalf("the paper says\n%s", text)
		}
		// While the page is open, the counter says that it is being paid.
		v := newVisitor(w.T, counter)
		v.do("GET", counter, nil)
		v.allow(http.StatusConflict).press("Leggi il bollettino", url.Values{"bollettino": {codelines[0]}})
		if !strings.Contains(v.text(), "PPT_PAGAMENTO_IN_CORSO") {
			w.Errorf("the counter says %s", v.text())
		}
		if err := press(w.Context(), c.RedirectURL, "Annulla"); err != nil {
			w.Fatal(err)
		}
		w.wait(one, "free", free)

		png := strings.TrimSuffix(file, ".pdf")
		tool(w.T, "pdftoppm", "-png", "-r", "300", "-singlefile", "-x", "1900", "-y", "1100", "-W", "500", "-H", "700", file, png)
		matrix := tool(w.T, "dmtxread", "-N1", png+".png")
		w.wantLedger("UFFICIOPOSTALE", 2, 0, func() {
			for i, paper := range []string{matrix, codelines[1]} {
				v.do("GET", counter, nil)
				v.allow(http.StatusOK).press("Leggi il bollettino", url.Values{"bollettino": {paper}})
				if !strings.Contains(v.text(), "Viaggio di istruzione 3B") || !strings.Contains(v.text(), "18,00 €") {
					w.Fatalf("paper %d: the counter says %s", i, v.text())
				}
				v.press("Paga", nil)
				if !strings.Contains(v.text(), "Bollettino pagato") {
					w.Fatalf("paper %d: the counter says %s", i, v.text())
				}
			}
			w.wantPaidOnce(one)
			w.wantPaidOnce(two)
		})
		v.do("GET", counter, nil)
		v.allow(http.StatusConflict).press("Leggi il bollettino", url.Values{"bollettino": {codelines[0]}})
		if !strings.Contains(v.text(), "già pagato") {
			w.Errorf("a paper that is paid: the counter says %s", v.text())
		}
		resp, err := http.Get(c.DocumentURL)
		if err != nil {
			w.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusGone {
			w.Errorf("the link when all is paid: %d, want 410", resp.StatusCode)
		}
	})
	w.run("from the portal", func(w *ways) {
		number := w.issue()
		v := newVisitor(w.T, w.demo.PortalURL)
		v.submit("/paga", "Cerca l’avviso", url.Values{"avviso": {number}, "ente": {string(w.demo.API.School)}})
		v.press("Aggiungi al carrello", nil)
		v.submit("/carrello/pagamento", "Paga", url.Values{"metodo": {"postal_bulletin"}, "psp_postal_bulletin": {"UFFICIOPOSTALE"}, "email": {"guest@famiglie.example"}})
		page := v.at.String()
		v.do("GET", page, nil)
		v.press("Annulla", nil)
		back := v.at.String()
		w.wait(number, "free", free)
		v.do("GET", back, nil)
		href := regexp.MustCompile(`href="([^"]+)">Stampa il bollettino`).FindStringSubmatch(v.body)
		if href == nil {
			w.Fatalf("no link to the bulletin on %s: %s", v.at, v.text())
		}
		text := tool(w.T, "pdftotext", "-layout", document(w, href[1]), "-")
		codeline := regexp.MustCompile(`\b18[0-9]{18}12001007214826100000001650(?:3896)\b`).FindString(text)
		if codeline == "" || strings.Contains(text, "Rossi") {
			w.Fatalf("a guest's paper says\n%s", text)
		}
		w.wantLedger("UFFICIOPOSTALE", 1, 0, func() {
			v.do("GET", counter, nil)
			v.press("Leggi il bollettino", url.Values{"bollettino": {codeline}})
			v.press("Paga", nil)
			w.wantPaidOnce(number)
		})
		v.do("GET", back, nil)
		if !strings.Contains(v.text(), "Pagato") {
			w.Errorf("the outcome says %s", v.text())
		}
	})
	for _, mode := range []string{"cut", "duplicate", "late", "refuse", "down"} {
		w.run("counter "+mode, func(w *ways) {
			number := w.issue()
			account := "1007214826"
			v := newVisitor(w.T, counter)
			v.do("GET", counter, nil)
			v.press("Leggi il bollettino", url.Values{"bollettino": {number + "\n" + account}})
			w.mode("UFFICIOPOSTALE", mode)
			taken, refused := 1, 0
			switch mode {
			case "refuse":
				taken, refused = 0, 1
			case "down":
				taken = 0
			}
			w.wantLedger("UFFICIOPOSTALE", taken, refused, func() {
				resp, err := http.PostForm(counter, url.Values{"bollettino": {number + "," + account}, "azione": {"paga"}})
				if (err != nil) != (mode == "cut") {
					w.Fatalf("Paga: %v", err)
				}
				if err == nil {
					resp.Body.Close()
				}
				if taken > 0 {
					w.wantPaidOnce(number)
				} else if n := w.notice(number); !free(n) {
					w.Errorf("the notice is %+v, want a free one", n)
				}
			})
		})
	}
	w.run("over the most", func(w *ways) {
		number := w.issueWith("", 100_000_000)
		if status, page := w.cart(postOffice, number); status < 400 || page != "" {
			w.Errorf("cart: %d with page %q", status, page)
		}
		if n := w.notice(number); !free(n) {
			w.Errorf("the notice is %+v, want a free one", n)
		}
	})
}
