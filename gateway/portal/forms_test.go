// SPDX-License-Identifier: Apache-2.0

package portal_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/html"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
)

// typed is what a careful person writes into each field; hidden fields and
// choices keep what the page gave them.
var typed = map[string]string{
	"username": "mario.rossi", "password": "Sbagliata-1", "codice_fiscale": string(gatewaytest.ParentCode), "controllo": "12",
	"nome": "Mario", "cognome": "Rossi", "data_nascita": "01/01/1980", "sesso": "M", "nazione": "Italia", "regione": "Lazio", "provincia": "Roma", "comune": "Roma",
	"email": "mario@example.org", "conferma_email": "mario@example.org", "nuova_email": "nuova@example.org",
	"vecchia_password": "Sbagliata-1", "nuova_password": "Tre-Gatti-9", "conferma_password": "Tre-Gatti-9", "codice_invito": "AAAA-BBBB-CCCC-DDDD",
	"avviso": "301000000000000000", "ente": string(gatewaytest.SchoolCode), "importo": "20", "cerca": "grosseto", "tema": "payment", "testo": "Una domanda di prova.",
}

// hostile are the things that come instead.
var hostile = map[string]string{
	"nothing":      "",
	"blanks":       " \t ",
	"far too much": strings.Repeat("lungo ", 2000),
	"markup":       `"><script>alert(1)</script>{{.Name}}`,
	"controls":     "a\x00b\x1b[31m\r\nBcc: x@example.org\u202e",
	"no UTF-8":     "a\xff\xfeb",
	"a number":     "-99999999999999999999",
	"a path":       "../../etc/passwd",
}

// form is one form of a page.
type form struct {
	page   *page
	node   *html.Node
	name   string // of its button
	fields []string
}

// forms are those of a page that are not known yet.
func (p *page) forms(known map[string]bool) (list []form) {
	for _, f := range all(p.doc, tag("form")) {
		for _, button := range all(f, tag("button")) {
			key := attr(f, "method") + " " + attr(f, "action") + " " + text(button)
			if known[key] || attr(f, "action") == "/esci" {
				continue
			}
			known[key] = true
			one := form{page: p, node: f, name: text(button)}
			for _, in := range all(f, tag("input", "select", "textarea")) {
				if n := attr(in, "name"); n != "" && !slices.Contains(one.fields, n) {
					one.fields = append(one.fields, n)
				}
			}
			list = append(list, one)
		}
	}
	return list
}

// values is what the form would send, typed as it should be.
func (f form) values() (action, method string, v url.Values) {
	action, method, v = f.page.form(f.name)
	for _, in := range all(f.node, tag("input", "select", "textarea")) {
		if n := attr(in, "name"); attr(in, "type") != "hidden" && typed[n] != "" && (attr(in, "type") != "radio" || n == "sesso") {
			v.Set(n, typed[n])
		}
	}
	return action, method, v
}

// Whatever comes in any field of any form is answered with a page that says what
// is the matter, shows nothing as markup, and has kept the other fields.
func TestNoFormBreaks(t *testing.T) {
	t.Parallel()
	s, family, public, inside := lived(t)
	known := map[string]bool{}
	var forms []form
	for _, path := range inside {
		forms = append(forms, family.get(path).forms(known)...)
	}
	guest := s.browser()
	for _, path := range public {
		if p := guest.get(path); p.doc != nil {
			forms = append(forms, p.forms(known)...)
		}
	}
	applicant := s.browser()
	first := applicant.get("/registrazione")
	second := first.submit("Avanti", "codice_fiscale", string(gatewaytest.ParentCode), "controllo", first.sum())
	forms = append(forms, second.forms(known)...)
	if len(forms) < 20 {
		t.Fatalf("%d forms found, want 20 or more", len(forms))
	}
	for _, f := range forms {
		for _, field := range f.fields {
			for what, value := range hostile {
				if slices.Contains(f.fields, "password") && slices.Contains([]string{"blanks", "a number", "a path"}, what) {
					continue // each costs the hash of a password
				}
				s.Time.Advance(30 * time.Second) // below the limits of tries
				action, method, v := f.values()
				v.Set(field, value)
				name := fmt.Sprintf("%s %s, %s: %s", method, action, field, what)
				var got *page
				if method == http.MethodGet {
					got = f.page.get(action + "?" + v.Encode())
				} else {
					got = f.page.post(action, v)
				}
				if got.status >= 500 && got.status != http.StatusServiceUnavailable {
					t.Errorf("%s: %d", name, got.status)
				}
				if got.doc == nil {
					continue // off to a PSP
				}
				if got.status >= 400 && len(all(got.main(), func(n *html.Node) bool {
					return attr(n, "role") == "alert" || strings.Contains(attr(n, "class"), "alert")
				})) == 0 &&
					!strings.Contains(text(got.main()), "Vai alla Home") {
					t.Errorf("%s: %d without a sentence: %s", name, got.status, text(got.main()))
				}
				if strings.Contains(got.body, "<script>alert") || !utf8.ValidString(got.body) ||
					strings.ContainsFunc(got.body, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' && r != '\r' }) {
					t.Errorf("%s: the page gives it back raw", name)
				}
				if got.status == http.StatusBadRequest {
					f.kept(name, field, v, got)
				}
			}
		}
	}
}

// kept fails where an answer has the form again and has lost what was typed.
func (f form) kept(name, bad string, sent url.Values, got *page) {
	for _, again := range got.forms(map[string]bool{}) {
		if attr(again.node, "action") != attr(f.node, "action") || again.name != f.name {
			continue
		}
		_, _, now := again.page.form(again.name)
		for _, in := range all(again.node, tag("input", "select", "textarea")) {
			n, kind := attr(in, "name"), attr(in, "type")
			if n == bad || kind == "password" || kind == "hidden" || kind == "checkbox" || !sent.Has(n) || n == "controllo" {
				continue
			}
			if now.Get(n) != sent.Get(n) {
				got.t.Errorf("%s: %s was %q and is %q", name, n, sent.Get(n), now.Get(n))
			}
		}
	}
}

// What belongs to somebody else, is over, or was used already is as good as
// nothing, and said in a sentence.
func TestOthersAndUsedThings(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Family()
	ctx := context.Background()
	lucia := code(t, "VRDLCU82H55E202")
	if err := s.PutPayer(ctx, gatewaytest.Operator, gateway.Payer{School: gatewaytest.SchoolCode, ID: "lucia", Code: lucia, FirstName: "Lucia", LastName: "Verdi"}, "p1", "mother"); err != nil {
		t.Fatal(err)
	}
	for _, a := range []gateway.Account{
		{Username: "lucia", Code: lucia, FirstName: "Lucia", LastName: "Verdi", ConsentsAt: s.Now()},
		{Username: "pina", Code: code(t, "NREPNI55C48H501"), FirstName: "Pina", LastName: "Neri", ConsentsAt: s.Now()},
	} {
		if _, err := s.AddAccount(ctx, a, gatewaytest.Password); err != nil {
			t.Fatal(err)
		}
	}
	invitation, _, err := s.Invite(ctx, gatewaytest.Operator, gatewaytest.SchoolCode, "lucia")
	if err != nil {
		t.Fatal(err)
	}
	const wrong = "Il codice di invito non è valido, è scaduto o è di un’altra persona"
	redeem := func(username, invitation string) *page {
		t.Helper()
		b := s.browser()
		b.login(username)
		return b.post("/area-riservata/invito", url.Values{"codice_invito": {invitation}}).is(200, "/")
	}
	redeem("pina", invitation).says(wrong)
	redeem("lucia", invitation).says("Il tuo accesso è collegato")
	redeem("lucia", invitation).says(wrong)

	b, n := s.browser(), s.Issue()
	b.login("mario.rossi")
	b.get("/avvisi").submit("Aggiungi al carrello")
	for _, tt := range []struct {
		what, path string
		form       url.Values
		status     int
		says       string
	}{
		{"a notice of nobody", "/carrello/avvisi", url.Values{"ente": {string(n.School)}, "avviso": {"301000000000000000"}}, 404, "L’indirizzo non esiste"},
		{"no number at all", "/carrello/avvisi", url.Values{"ente": {"x"}, "avviso": {"y"}}, 404, "L’indirizzo non esiste"},
		{"out of the cart what is not in it", "/carrello/rimuovi", url.Values{"ente": {string(n.School)}, "avviso": {"301000000000000000"}}, 200, "Viaggio di istruzione 3B"},
		{"a session of nobody", "/area-riservata/sessioni", url.Values{"sessione": {"inventata"}}, 200, "Questo dispositivo"},
		{"an invented link for an e-mail address", "/area-riservata/email/conferma", url.Values{"token": {"inventato"}}, 404, "Questo link non vale più"},
		{"an invented link for a password", "/accesso/recupero", url.Values{"token": {"inventato"}, "nuova_password": {"Tre-Gatti-9"}, "conferma_password": {"Tre-Gatti-9"}}, 404, "Questo link non è più valido"},
		{"a consent to nothing", "/consensi", url.Values{"consenso": {"tutto"}}, 400, "Il modulo è arrivato incompleto"},
	} {
		p := b.post(tt.path, tt.form)
		if p.status != tt.status {
			t.Errorf("%s: %d, want %d", tt.what, p.status, tt.status)
		}
		p.says(tt.says)
	}
	b.get("/conferma?token=inventato").is(404, "/conferma").says("Questo link non è più valido")
	b.get("/carrello").says("Viaggio di istruzione 3B") // nothing was lost on the way
}
