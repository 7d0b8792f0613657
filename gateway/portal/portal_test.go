// SPDX-License-Identifier: Apache-2.0

package portal_test

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
	"github.com/nodogate/nodogate/gateway/money"
	"github.com/nodogate/nodogate/gateway/portal"
)

func described(s string) func(*gateway.NewNotice) {
	return func(n *gateway.NewNotice) { n.Description = s }
}

func outcomeOf(o gateway.Order) string { return "/carrello/esito/" + o.Cart }

// stato reads what the outcome page's script reads.
func (b *browser) stato(outcome string) (status int, stamp string, done bool) {
	b.t.Helper()
	p := b.get(outcome + "/stato")
	var answer struct {
		Stamp string
		Done  bool
	}
	if err := json.Unmarshal([]byte(p.body), &answer); err != nil {
		b.t.Fatalf("stato: %v in %q", err, p.body)
	}
	if got := p.header.Get("Set-Cookie"); got != "" {
		b.t.Errorf("stato keeps the session alive: %s", got)
	}
	return p.status, answer.Stamp, answer.Done
}

func TestJourney(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	account := s.Family()
	trip, book := s.Issue(), s.Issue(described("Libri"), func(n *gateway.NewNotice) { n.Amount = 2350 })
	b := s.browser()

	b.login("mario.rossi").says("Buongiorno, Mario Rossi", "2 avvisi da pagare", "€ 40,00")
	list := b.get("/avvisi").says("Maria Rossi", "IC 6 Grosseto", "Viaggio di istruzione 3B", "€ 16,50", "scadenza 31/12/2026", "Da pagare")
	list = list.within(anchor(trip)).submit("Aggiungi al carrello").is(200, "/avvisi").says("Avviso aggiunto al carrello")
	if list.url.Fragment != anchor(trip) {
		t.Errorf("adding comes back to #%s, want the notice", list.url.Fragment)
	}
	list.within(anchor(trip)).form("Rimuovi")
	cart := list.within(anchor(book)).submit("Aggiungi al carrello").submit("Vai al carrello").is(200, "/carrello")
	cart.says("per Maria Rossi", "Totale € 40,00")

	pay := cart.submit("Vai al pagamento").is(200, "/carrello/pagamento").says("Carta di pagamento", "Addebito in conto", "Bollettino postale",
		"Banca Uno commissione € 1,00 in tutto € 41,00", "Carta Sì commissione € 1,50")
	action, _, form := pay.form("Paga")
	if form.Get("metodo") != "card" || form.Get("psp_card") != "BANCAUNO" {
		t.Errorf("ticked are %s and %s, want card and the cheapest", form.Get("metodo"), form.Get("psp_card"))
	}
	form.Set("psp_card", "CARTASI")
	psp := b.post(action, form)
	if psp.url.Host != "psp.example" || !strings.HasPrefix(psp.url.Path, "/CARTASI/") {
		t.Fatalf("Paga leads to %s", psp.url)
	}
	order := s.PSPs.Orders()[0]
	if len(order.Notices) != 2 || order.Email != account.Email || order.Return.String() != "https://pagamenti.example/carrello/esito/"+order.Cart {
		t.Errorf("order is %+v", order)
	}

	// Coming back proves nothing, whatever the address says.
	outcome := outcomeOf(order)
	back := b.get(outcome+"?esito=ok").is(200, outcome).says("Pagamento in verifica", "In verifica", "€ 41,50")
	if got := back.links("Riprendi il pagamento"); !slices.Equal(got, []string{psp.url.String()}) {
		t.Errorf("resume leads to %q, want %s", got, psp.url)
	}
	if !strings.Contains(back.body, `<noscript><meta http-equiv="refresh" content="5"></noscript>`) {
		t.Error("without scripts the page does not ask again")
	}
	_, before, done := b.stato(outcome)
	if done || before == "" || !strings.Contains(back.body, `data-stamp="`+before+`"`) {
		t.Errorf("stato says %q, done %v", before, done)
	}
	b.get("/avvisi").says("In verifica").saysNot("Aggiungi al carrello")
	b.get("/carrello").says("Il carrello è vuoto")

	s.Settle(trip, order.Cart)
	b.get(outcome).says("Pagamento in verifica", "Pagato")
	_, half, done := b.stato(outcome)
	if done || half == before {
		t.Errorf("after one of two receipts stato says %q, done %v", half, done)
	}
	s.Settle(book, order.Cart)
	if _, _, done := b.stato(outcome); !done {
		t.Error("after all receipts stato is not done")
	}
	paid := b.get(outcome).says("Pagato")
	if strings.Contains(paid.body, "refresh") || strings.Contains(paid.body, "outcome.js") {
		t.Error("a paid cart is still asked for")
	}
	downloads := paid.links("Scarica la ricevuta")
	if len(downloads) != 2 {
		t.Fatalf("%d receipts to download, want 2", len(downloads))
	}
	pdf := b.get(downloads[0])
	if pdf.status != 200 || pdf.header.Get("Content-Type") != "application/pdf" || !strings.HasPrefix(pdf.body, "%PDF of rt-"+trip.Number.String()) ||
		pdf.header.Get("Content-Disposition") != `attachment; filename="ricevuta-`+trip.Number.String()+`.pdf"` || !slices.Contains(pdf.header.Values("Cache-Control"), "no-store") {
		t.Errorf("receipt is %d %v %q", pdf.status, pdf.header, pdf.body)
	}

	// Paga sent again (the back button): the same end, nothing paid twice.
	b.post(action, form).is(200, outcome)
	if got := len(s.PSPs.Orders()); got != 1 {
		t.Errorf("%d orders, want 1", got)
	}

	b.get("/pagamenti").says("Libri", "per Maria Rossi", "IC 6 Grosseto", "pagato il 23/11/2026", "con Banca Uno", "€ 23,50")
	b.get(strings.TrimSuffix(downloads[1], "/ricevuta.pdf")).says("Ricevuta di pagamento", "Libri", "rt-"+book.Number.String(), book.Number.Grouped(), "23/11/2026 alle 09:01")
	b.get(fmt.Sprintf("/avvisi/%s/%s", trip.School, trip.Number)).says("Pagato", trip.Number.Grouped(), "La scuola ha emesso l’avviso", "È iniziato un pagamento online", "È arrivata la ricevuta del pagamento")
	b.get("/avvisi").says("Non c’è niente da pagare")
	b.get("/avvisi?mostra=tutti").says("Libri", "Pagato")

	// The next time begins with what was chosen last.
	s.Issue(described("Mensa"))
	_, _, form = b.get("/avvisi").submit("Aggiungi al carrello").submit("Vai al carrello").submit("Vai al pagamento").form("Paga")
	if form.Get("metodo") != "card" || form.Get("psp_card") != "CARTASI" {
		t.Errorf("ticked are %s and %s, want the last choice", form.Get("metodo"), form.Get("psp_card"))
	}
}

func TestChildrenAreToldApart(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.AddSchool(gatewaytest.OtherCode, "Liceo Alfa")
	luca, anna := code(t, "RSSLCU12B02H501"), code(t, "RSSNNA08C41H501")
	parent := s.FamilyOf("mario.rossi", gatewaytest.ParentCode, "Mario", "Rossi",
		gateway.Pupil{School: gatewaytest.SchoolCode, ID: "p1", Code: luca, FirstName: "Luca", LastName: "Rossi", Class: "1A", SchoolYear: "2026/27"},
		gateway.Pupil{School: gatewaytest.OtherCode, ID: "p2", Code: anna, FirstName: "Anna", LastName: "Rossi", Class: "3B", SchoolYear: "2026/27"})
	debtor := func(code gateway.FiscalCode, name, what, due string) func(*gateway.NewNotice) {
		return func(n *gateway.NewNotice) {
			n.DebtorCode, n.DebtorName, n.Description, n.DueDate = string(code), name, what, due
		}
	}
	s.Issue(debtor(luca, "Luca Rossi", "Mensa di dicembre", "2026-12-20"))
	s.Issue(debtor(luca, "Luca Rossi", "Mensa di novembre", "2026-11-30"))
	s.IssueAt(gatewaytest.OtherCode, debtor(anna, "Anna Rossi", "Laboratorio", "2026-12-31"))
	s.Issue(debtor(parent.Code, "Mario Rossi", "Corso adulti", "2026-12-31"))
	s.Issue(debtor(luca, "Luca Rossi", "Gita di ottobre", "2026-10-31"))

	b := s.browser()
	b.login("mario.rossi")
	p := b.get("/avvisi").says("Un avviso è scaduto").saysNot("Gita di ottobre")
	var headings []string
	for _, h := range all(p.main(), tag("h2", "h3")) {
		headings = append(headings, text(h))
	}
	if want := []string{"Anna Rossi", "Liceo Alfa", "Luca Rossi", "IC 6 Grosseto", "I tuoi avvisi", "IC 6 Grosseto"}; !slices.Equal(headings, want) {
		t.Errorf("headings are %q, want %q", headings, want)
	}
	if shown := text(p.main()); strings.Index(shown, "Mensa di novembre") > strings.Index(shown, "Mensa di dicembre") {
		t.Error("what falls due first does not come first")
	}
	b.get("/avvisi?mostra=tutti").says("Gita di ottobre", "Scaduto")
	b.get("/assistenza").says("IC 6 Grosseto", "Liceo Alfa", "Segreteria, 0564 000000")
}

// What language a page speaks, and who remembers it.
func TestLanguages(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Family()
	n := s.Issue()
	b := s.browser()
	lang := func(p *page, want string) *page {
		t.Helper()
		if got := attr(all(p.doc, tag("html"))[0], "lang"); got != want {
			t.Errorf("%s speaks %s, want %s", p.url, got, want)
		}
		return p
	}
	lang(b.get("/"), "it")
	b.speaks = "fr-FR,en;q=0.5"
	lang(b.get("/"), "fr").says("Les paiements de l’école")
	lang(b.get("/?lang=xx"), "fr")
	lang(b.get("/niente"), "fr").says("Page introuvable")
	// The choice is remembered, and stands in the switcher of each page.
	switcher := lang(b.get("/paga"), "fr").links("Slovenščina")
	if !slices.Equal(switcher, []string{"/paga?lang=sl"}) {
		t.Fatalf("switcher leads to %q", switcher)
	}
	lang(b.get(switcher[0]), "sl").says("Plačilo brez računa")
	lang(b.get(payURL(n)), "sl").says("16,50 €", "31. 12. 2026", "Za plačilo")
	lang(b.get("/paga").submit("Poišči obvestilo", "avviso", "1", "ente", "2"), "sl").says("Številka obvestila ima 18 števk")

	// It goes into the account at log-in, and comes back with it on another device.
	lang(b.get("/accesso").submit("Prijava", "username", "mario.rossi", "password", gatewaytest.Password), "sl").says("Dober dan, Mario Rossi", "Plačati morate 1 obvestilo")
	lang(b.get("/").submit("Odjava"), "sl")
	phone := s.browser()
	phone.speaks = "en"
	lang(phone.get("/accesso").submit("Log in", "username", "mario.rossi", "password", gatewaytest.Password), "sl")
	lang(phone.get("/avvisi?mostra=tutti&lang=de"), "de").says("Zu bezahlen", "fällig am 31.12.2026")
	if got := phone.get("/avvisi?mostra=tutti").links("Italiano"); !slices.Equal(got, []string{"/avvisi?lang=it&mostra=tutti"}) {
		t.Errorf("switcher leads to %q", got)
	}
	third := s.browser()
	third.login("mario.rossi")
	lang(third.get("/"), "de")
}

// code adds the check letter.
func code(t *testing.T, s string) gateway.FiscalCode {
	t.Helper()
	c, err := gateway.ParseFiscalCode(s + string(gateway.FiscalCodeCheck(s)))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestWrongPassword(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Family()
	b := s.browser()
	refuse := func(username, password string) string {
		t.Helper()
		p := b.get("/accesso").submit("Accedi", "username", username, "password", password)
		p.is(http.StatusUnauthorized, "/accesso").says("Username o password non corretti.")
		return strings.ReplaceAll(text(p.main()), username, "")
	}
	unknown := refuse("nessuno", gatewaytest.Password)
	for i := range 5 {
		if wrong := refuse("mario.rossi", "Sbagliata1"); wrong != unknown {
			t.Errorf("wrong password %d: %s, unknown user: %s", i, wrong, unknown)
		}
	}
	// Slowed down: the right password is refused, and refused alike.
	if locked := refuse("mario.rossi", gatewaytest.Password); locked != unknown {
		t.Errorf("locked: %s, unknown user: %s", locked, unknown)
	}
	s.Time.Advance(time.Minute)
	b.login("mario.rossi")
}

func TestLogInRenewsTheSessionAndKeepsTheBasket(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Family()
	n := s.Issue()
	b := s.browser()
	b.get(payURL(n)).submit("Aggiungi al carrello")
	before := b.cookie()
	b.login("mario.rossi")
	if after := b.cookie(); before == "" || after == "" || before == after {
		t.Errorf("session id before log-in %q, after %q", before, after)
	}
	b.get("/carrello").says("Viaggio di istruzione 3B", "per Maria Rossi")

	old := b.cookie()
	b.get("/").submit("Esci").is(200, "/accesso")
	b.client.Jar.SetCookies(mustURL(t, s.url), []*http.Cookie{{Name: "nodogate", Value: old, Path: "/"}})
	b.get("/avvisi").is(200, "/accesso")
	b.get("/carrello").says("Il carrello è vuoto")
}

func (b *browser) cookie() string {
	for _, c := range b.client.Jar.Cookies(mustURL(b.t, b.site.url)) {
		if c.Name == "nodogate" {
			return c.Value
		}
	}
	return ""
}

func mustURL(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func payURL(n gateway.Notice) string { return "/paga/" + string(n.School) + "/" + n.Number.String() }

func TestExpiredSessionComesBack(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Family()
	n := s.Issue()
	b := s.browser()
	b.login("mario.rossi")
	list := b.get("/avvisi")

	b.client.Jar.SetCookies(mustURL(t, s.url), []*http.Cookie{{Name: "nodogate", Path: "/", MaxAge: -1}})
	asked := list.within(anchor(n)).submit("Aggiungi al carrello").is(200, "/accesso").says("la sessione è scaduta")
	asked.submit("Accedi", "username", "mario.rossi", "password", gatewaytest.Password).is(200, "/avvisi")

	pay := b.get("/avvisi").submit("Aggiungi al carrello").submit("Vai al carrello").submit("Vai al pagamento")
	b.client.Jar.SetCookies(mustURL(t, s.url), []*http.Cookie{{Name: "nodogate", Path: "/", MaxAge: -1}})
	pay.submit("Paga").is(200, "/accesso").says("la sessione è scaduta")
	if got := s.PSPs.Orders(); len(got) != 0 {
		t.Errorf("%d orders without a session", len(got))
	}
}

func TestReturnOnlyToOurselves(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Family()
	for _, back := range []string{"https://evil.example/", "//evil.example/", `/\evil.example/`, "/../x", "javascript:alert(1)", "avvisi", "/a\nb", "\t//evil.example"} {
		b := s.browser()
		p := b.get("/accesso?torna="+url.QueryEscape(back)).submit("Accedi", "username", "mario.rossi", "password", gatewaytest.Password)
		p.is(200, "/")
		p = s.browser().post("/accesso", url.Values{"username": {"mario.rossi"}, "password": {gatewaytest.Password}, "torna": {back}})
		p.is(200, "/")
	}
}

// Whatever another family has is as missing as what does not exist.
func TestOneFamilySeesNothingOfAnother(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Family()
	theirs, theirPaid := s.Issue(), s.Issue(described("Libri"))
	receipt := s.Settle(theirPaid, "")
	mario := s.browser()
	mario.login("mario.rossi")
	mario.get("/avvisi").submit("Aggiungi al carrello").submit("Vai al carrello").submit("Vai al pagamento").submit("Paga")
	theirCart := s.PSPs.Orders()[0].Cart

	s.FamilyOf("anna.bianchi", code(t, "BNCNNA80A41H501"), "Anna", "Bianchi",
		gateway.Pupil{School: gatewaytest.SchoolCode, ID: "p9", Code: code(t, "BNCLCU12B02H501"), FirstName: "Luca", LastName: "Bianchi", Class: "1A", SchoolYear: "2026/27"})
	anna := s.browser()
	anna.login("anna.bianchi")
	missing := "/" + string(gatewaytest.SchoolCode) + "/"
	for _, tt := range []struct{ theirs, missing string }{
		{"/avvisi/" + string(theirs.School) + "/" + theirs.Number.String(), "/avvisi" + missing + "301000000000000000"},
		{"/pagamenti/" + string(theirs.School) + "/" + receipt.ID, "/pagamenti" + missing + "nothing"},
		{"/pagamenti/" + string(theirs.School) + "/" + receipt.ID + "/ricevuta.pdf", "/pagamenti" + missing + "nothing/ricevuta.pdf"},
		{"/carrello/esito/" + theirCart, "/carrello/esito/nothing"},
		{"/carrello/esito/" + theirCart + "/stato", "/carrello/esito/nothing/stato"},
	} {
		got, want := anna.get(tt.theirs), anna.get(tt.missing)
		if got.status != http.StatusNotFound || got.status != want.status || got.body != want.body {
			t.Errorf("%s: %d, a missing one: %d; the bodies must be equal", tt.theirs, got.status, want.status)
		}
		got.saysNot("Maria", "Viaggio", "Libri")
	}
	refs := url.Values{"ente": {string(theirs.School)}, "avviso": {theirs.Number.String()}}
	anna.post("/carrello/avvisi", refs).is(http.StatusNotFound, "/carrello/avvisi")
	anna.get("/carrello").says("Il carrello è vuoto")
	anna.get("/avvisi").says("Nessuna scuola ti ha ancora mandato un avviso")
	anna.get("/pagamenti").says("Non ci sono ancora pagamenti")

	// Knowing the number, she may pay it as anybody may, and learn no more.
	other := s.Issue(described("Mensa"))
	anna.get(payURL(other)).submit("Aggiungi al carrello").says("Mensa").saysNot("Maria").
		submit("Vai al pagamento").saysNot("Maria").submit("Paga", "email", "anna@example.org")
	order := s.PSPs.Orders()[1]
	s.Settle(other, order.Cart)
	anna.get(outcomeOf(order)).says("Pagato").saysNot("Maria", "Scarica la ricevuta")
}

func TestUnprovenAccountSeesNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Issue()
	if _, err := s.AddAccount(context.Background(), gateway.Account{Username: "nuovo", Code: gatewaytest.ParentCode, FirstName: "Mario", LastName: "Rossi", ConsentsAt: gatewaytest.Start}, gatewaytest.Password); err != nil {
		t.Fatal(err)
	}
	b := s.browser()
	for _, p := range []*page{b.login("nuovo"), b.get("/avvisi"), b.get("/pagamenti")} {
		p.says("Il tuo accesso non è ancora collegato").saysNot("Viaggio", "Maria")
	}
}

func TestGuest(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	n := s.Issue()
	b := s.browser()
	b.get("/paga").submit("Cerca l’avviso", "avviso", "123", "ente", "80014480829").is(400, "/paga").says("Il codice avviso ha 18 cifre", "Il codice fiscale dell’ente ha 11 cifre")
	b.get("/paga").submit("Cerca l’avviso", "avviso", "301000000000000000", "ente", "80014480828").is(404, "/paga/80014480828/301000000000000000").says("non c’è nessun avviso")
	found := b.get("/paga").submit("Cerca l’avviso", "avviso", " "+n.Number.Grouped()+" ", "ente", "80014480828").is(200, payURL(n))
	found.says("Viaggio di istruzione 3B", "IC 6 Grosseto", "€ 16,50", "31/12/2026", "Da pagare").saysNot("Maria")
	pay := found.submit("Aggiungi al carrello").is(200, "/carrello").saysNot("Maria").submit("Vai al pagamento").saysNot("Maria")

	pay.submit("Paga", "email", "nessuna chiocciola").is(400, "/carrello/pagamento").says("L’indirizzo email non è scritto bene")
	psp := pay.submit("Paga", "email", "ospite@example.org")
	order := s.PSPs.Orders()[0]
	if psp.url.Host != "psp.example" || order.Email != "ospite@example.org" {
		t.Fatalf("paid at %s with order %+v", psp.url, order)
	}
	b.get(outcomeOf(order)).is(200, outcomeOf(order)).says("In verifica").saysNot("Maria")
	s.Settle(n, order.Cart)
	b.get(outcomeOf(order)).says("Pagato").saysNot("Maria", "Scarica la ricevuta")
	b.get(payURL(n)).says("già stato pagato").saysNot("Aggiungi al carrello", "Maria")

	stranger := s.browser()
	stranger.get(outcomeOf(order)).is(200, "/accesso")
	if status, _, _ := stranger.stato(outcomeOf(order)); status != http.StatusNotFound {
		t.Errorf("a stranger's stato is %d, want 404", status)
	}
}

func TestLookUpsAreLimited(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.browser()
	limited := 0
	for range 60 {
		p := b.get("/paga/80014480828/301000000000000000")
		switch p.status {
		case http.StatusTooManyRequests:
			p.says("Troppe richieste")
			if p.header.Get("Retry-After") == "" {
				t.Error("429 without Retry-After")
			}
			limited++
		case http.StatusNotFound:
		default:
			t.Fatalf("look-up is %d", p.status)
		}
	}
	if limited != 20 {
		t.Errorf("%d of 60 look-ups limited, want 20", limited)
	}
	s.Time.Advance(time.Minute)
	b.get("/paga/80014480828/301000000000000000").is(404, "/paga/80014480828/301000000000000000")
}

func TestSixthNotice(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Family()
	var six []gateway.Notice
	for i := range 6 {
		six = append(six, s.Issue(described(fmt.Sprintf("Quota %d", i+1))))
	}
	b := s.browser()
	b.login("mario.rossi")
	for _, n := range six[:5] {
		b.get("/avvisi").within(anchor(n)).submit("Aggiungi al carrello").is(200, "/avvisi")
	}
	full := b.get("/avvisi").within(anchor(six[5])).submit("Aggiungi al carrello").is(200, "/carrello")
	full.says("Il carrello può contenere al massimo cinque avvisi. Paga questi", "€ 82,50").saysNot("Quota 6")
	if n := strings.Count(full.body, "al massimo cinque"); n != 1 {
		t.Errorf("the sixth notice is refused in %d places, want 1", n)
	}
	full.submit("Rimuovi").is(200, "/carrello").says("Avviso tolto dal carrello", "€ 66,00")
}

func TestPSPNotAnswering(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Family()
	s.Issue()
	b := s.browser()
	b.login("mario.rossi")
	b.get("/avvisi").submit("Aggiungi al carrello")

	s.PSPs.Down("BANCAUNO", true)
	s.PSPs.Down("POSTE", true)
	pay := b.get("/carrello/pagamento").says("Banca Uno non risponde in questo momento, riprova più tardi")
	_, _, form := pay.form("Paga")
	if got := form.Get("psp_card"); got != "CARTASI" {
		t.Errorf("ticked is %q, want the one that answers", got)
	}
	if form.Has("psp_postal_bulletin") {
		t.Error("a PSP that does not answer is ticked")
	}
	off := all(pay.doc, func(n *html.Node) bool { return attr(n, "value") == "BANCAUNO" && has(n, "disabled") })
	if len(off) != 2 {
		t.Errorf("%d radios of the PSP are disabled, want 2", len(off))
	}

	// It falls while the family chooses: told so, others offered.
	s.PSPs.Down("BANCAUNO", false)
	for _, failure := range []struct {
		err  error
		says string
	}{
		{gateway.ErrPSPUnavailable, "non risponde in questo momento. Non ti è stato addebitato nulla"},
		{gateway.ErrRefused, "non ha accettato il pagamento"},
		{gateway.ErrOutcomeUnknown, "non ha risposto in tempo"},
	} {
		s.PSPs.OnStart(func(context.Context, gateway.PSPID, gateway.Order) (gateway.Started, error) {
			return gateway.Started{}, failure.err
		})
		again := b.get("/carrello/pagamento").submit("Paga", "psp_card", "BANCAUNO").is(503, "/carrello/pagamento").says(failure.says)
		if _, _, form := again.form("Paga"); form.Get("psp_card") != "CARTASI" || form.Get("metodo") != "card" {
			t.Errorf("%v: ticked is then %s with %s, want CARTASI", failure.err, form.Get("metodo"), form.Get("psp_card"))
		}
		s.PSPs.OnStart(nil)
		if errors.Is(failure.err, gateway.ErrOutcomeUnknown) {
			if psp := again.submit("Paga"); psp.url.Host != "psp.example" {
				t.Errorf("the second try ends on %s (%d)", psp.url, psp.status)
			}
		}
	}
}

func TestPaidMeanwhile(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Family()
	trip, book := s.Issue(), s.Issue(described("Libri"))
	b := s.browser()
	b.login("mario.rossi")
	b.get("/avvisi").within(anchor(trip)).submit("Aggiungi al carrello").within(anchor(book)).submit("Aggiungi al carrello")
	pay := b.get("/carrello/pagamento")
	s.Settle(trip, "") // at a counter
	cart := pay.submit("Paga").is(409, "/carrello/pagamento").says("«Viaggio di istruzione 3B» è stato tolto dal carrello. Questo avviso è già stato pagato.", "Totale € 16,50")
	cart.submit("Vai al pagamento").is(200, "/carrello/pagamento").saysNot("Viaggio")
	if got := s.PSPs.Orders(); len(got) != 0 {
		t.Errorf("%d orders, want none", len(got))
	}
	if _, err := s.Cancel(context.Background(), gatewaytest.Operator, book.School, book.Number); err != nil {
		t.Fatal(err)
	}
	b.get("/carrello").says("annullato dalla scuola", "Il carrello è vuoto")
}

func TestCartChangedInAnotherTab(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Family()
	trip, book := s.Issue(), s.Issue(described("Libri"))
	b := s.browser()
	b.login("mario.rossi")
	b.get("/avvisi").within(anchor(trip)).submit("Aggiungi al carrello")
	pay := b.get("/carrello/pagamento")
	b.get("/avvisi").within(anchor(book)).submit("Aggiungi al carrello")
	again := pay.submit("Paga").is(409, "/carrello/pagamento").says("Il carrello è cambiato", "Totale degli avvisi € 33,00")
	if got := s.PSPs.Orders(); len(got) != 0 {
		t.Fatalf("%d orders, want none", len(got))
	}
	again.submit("Paga")
	if got := s.PSPs.Orders(); len(got) != 1 || len(got[0].Notices) != 2 {
		t.Errorf("orders are %+v", got)
	}
}

func TestBadPayForms(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Family()
	s.Issue()
	b := s.browser()
	b.login("mario.rossi")
	b.get("/avvisi").submit("Aggiungi al carrello")
	for _, tt := range []struct {
		name, field, value string
		status             int
		says               string
	}{
		{"no key", "chiave", "", 400, "Il modulo è arrivato incompleto"},
		{"another's key", "chiave", "../../etc/passwd", 400, "Il modulo è arrivato incompleto"},
		{"no method", "metodo", "", 400, "Scegli come pagare"},
		{"unknown method", "metodo", "cash", 400, "Scegli come pagare"},
		{"no PSP", "psp_card", "", 400, "Scegli come pagare"},
		{"unknown PSP", "psp_card", "<script>", 400, "Scegli come pagare"},
		{"PSP of another method", "psp_card", "POSTE", 400, "Scegli come pagare"},
		{"no digest", "carrello", "", 409, "Il carrello è cambiato"},
	} {
		p := b.get("/carrello/pagamento").submit("Paga", tt.field, tt.value)
		if p.status != tt.status {
			t.Errorf("%s: %d, want %d", tt.name, p.status, tt.status)
		}
		p.says(tt.says).saysNot("<script>")
	}
	if got := s.PSPs.Orders(); len(got) != 0 {
		t.Errorf("%d orders, want none", len(got))
	}
}

// A doubled click on Paga is one payment, and the second answer, the one the
// browser shows, leads to the PSP's page as the first would have.
func TestDoubleClick(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Family()
	s.Issue()
	b := s.browser()
	b.login("mario.rossi")
	b.get("/avvisi").submit("Aggiungi al carrello")
	action, _, form := b.get("/carrello/pagamento").form("Paga")

	begun, goOn := make(chan struct{}), make(chan struct{})
	s.PSPs.OnStart(func(_ context.Context, psp gateway.PSPID, o gateway.Order) (gateway.Started, error) {
		close(begun)
		<-goOn
		return gateway.Started{Redirect: "https://psp.example/" + o.Attempt}, nil
	})
	var places [2]string
	var wg sync.WaitGroup
	wg.Go(func() { places[0] = b.post(action, form).url.String() })
	<-begun
	answered := make(chan struct{})
	wg.Go(func() {
		defer close(answered)
		places[1] = b.post(action, form).url.String()
	})
	select {
	case <-answered:
		t.Error("the second click does not wait for the first")
	case <-time.After(300 * time.Millisecond): // long enough to answer at once
	}
	close(goOn)
	wg.Wait()
	if !strings.HasPrefix(places[0], "https://psp.example/") || places[0] != places[1] {
		t.Errorf("the clicks lead to %q, want one page of the PSP", places)
	}
	if got := len(s.PSPs.Orders()); got != 1 {
		t.Errorf("%d orders, want 1", got)
	}
}

// The other parent pays: told so, and not led to the other's payment.
func TestTwoParents(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Family()
	s.FamilyOf("anna.verdi", code(t, "VRDNNA80A41H501"), "Anna", "Verdi",
		gateway.Pupil{School: gatewaytest.SchoolCode, ID: "p1", Code: gatewaytest.PupilCode, FirstName: "Maria", LastName: "Rossi", Class: "3B", SchoolYear: "2026/27"})
	n := s.Issue()
	mario, anna := s.browser(), s.browser()
	mario.login("mario.rossi")
	anna.login("anna.verdi")
	mario.get("/avvisi").submit("Aggiungi al carrello")
	annas := anna.get("/avvisi").submit("Aggiungi al carrello").submit("Vai al carrello").submit("Vai al pagamento")
	mario.get("/carrello/pagamento").submit("Paga")

	blocked := annas.submit("Paga").is(409, "/carrello/pagamento").says("è già in corso un pagamento")
	if got := blocked.links("Vedi il pagamento"); len(got) != 0 {
		t.Errorf("anna is led to mario's payment: %q", got)
	}
	if got := mario.get("/avvisi").links("Vedi il pagamento"); len(got) != 1 {
		t.Errorf("mario finds %d ways back to the payment, want 1", len(got))
	}
	mario.post("/carrello/avvisi", url.Values{"ente": {string(n.School)}, "avviso": {n.Number.String()}}).is(200, "/carrello").says("è già in corso un pagamento")

	// Nobody pays; the time lapses; anna may.
	s.Time.Advance(time.Hour)
	if _, err := s.Sweep(context.Background()); err != nil {
		t.Fatal(err)
	}
	cart := s.PSPs.Orders()[0].Cart
	mario.get("/carrello/esito/"+cart).says("Pagamento non completato", "Da pagare")
	if psp := anna.get("/carrello/pagamento").submit("Paga"); psp.url.Host != "psp.example" {
		t.Errorf("anna ends on %s (%d)", psp.url, psp.status)
	}
	if got := s.PSPs.Orders(); len(got) != 2 {
		t.Errorf("%d orders, want 2", len(got))
	}
}

func TestPSPHintIsOnlyWording(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Family()
	n := s.Issue()
	b := s.browser()
	b.login("mario.rossi")
	b.get("/avvisi").submit("Aggiungi al carrello").submit("Vai al carrello").submit("Vai al pagamento").submit("Paga")
	outcome := outcomeOf(s.PSPs.Orders()[0])
	b.get(outcome+"?esito=annullato").says("In verifica", "è stato annullato", "Se non arriva una ricevuta, dalle ")
	b.get(outcome).says("In verifica").saysNot("dalle ", "Rimetti nel carrello")
	b.get(outcome+"?esito=ko").says("In verifica", "non è andato a buon fine")
	b.get(outcome + "?esito=%3Cscript%3E").says("In verifica").saysNot("<script>")
	if got := s.State(n); got != gateway.NoticeOpen {
		t.Errorf("notice is %s, want open", got)
	}
}

// A payment that came to nothing loses nobody what they had chosen.
func TestPayAgain(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Family()
	kept, gone := s.Issue(), s.Issue()
	b := s.browser()
	b.login("mario.rossi")
	for _, n := range []gateway.Notice{kept, gone} {
		b.post("/carrello/avvisi", url.Values{"ente": {string(n.School)}, "avviso": {n.Number.String()}})
	}
	b.get("/carrello/pagamento").submit("Paga")
	outcome := outcomeOf(s.PSPs.Orders()[0])
	b.post(outcome+"/riprova", nil).is(200, "/carrello").says("Il carrello è vuoto") // it is being paid
	s.Time.Advance(time.Hour)
	if _, err := s.Sweep(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Cancel(context.Background(), gatewaytest.Operator, gone.School, gone.Number); err != nil {
		t.Fatal(err)
	}
	failed := b.get(outcome).says("Pagamento non completato", "Da pagare", "Annullato")
	for range 2 { // pressed twice
		cart := failed.submit("Rimetti nel carrello").is(200, "/carrello").says("€ 16,50").saysNot("Il carrello è vuoto")
		if strings.Count(cart.body, `value="Rimuovi"`)+strings.Count(cart.body, ">Rimuovi<") != 1 {
			t.Errorf("the cart has not just the one notice:\n%s", cart.body)
		}
	}
	s.browser().post(outcome+"/riprova", nil).is(404, outcome+"/riprova") // a stranger's
	if psp := b.get("/carrello").submit("Vai al pagamento").submit("Paga"); psp.url.Host != "psp.example" {
		t.Errorf("paying again ends on %s", psp.url)
	}
	b.get(outcome).saysNot("Rimetti nel carrello")
}

func TestProvisionalPassword(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Issue()
	if _, err := s.AddAccount(context.Background(), gateway.Account{Username: "nuova", Code: gatewaytest.ParentCode, FirstName: "Mario", LastName: "Rossi", MustChange: true}, "Provvisoria1"); err != nil {
		t.Fatal(err)
	}
	b := s.browser()
	p := b.get("/accesso").submit("Accedi", "username", "nuova", "password", "Provvisoria1").is(200, "/cambio-password").says("provvisoria")
	for _, path := range []string{"/", "/avvisi", "/pagamenti", "/area-riservata", "/carrello", "/paga"} {
		b.get(path).is(200, "/cambio-password")
	}
	for _, tt := range []struct{ old, wanted, confirm, says string }{
		{"Sbagliata1", "Nuovissima1", "Nuovissima1", "La vecchia password non è corretta"},
		{"Provvisoria1", "Nuovissima1", "Nuovissima2", "non sono uguali"},
		{"Provvisoria1", "Provvisoria1", "Provvisoria1", "diversa dalla vecchia"},
		{"Provvisoria1", "corta1A", "corta1A", "non rispetta la regola"},
		{"Provvisoria1", "senzamaiuscole1", "senzamaiuscole1", "non rispetta la regola"},
		{"Provvisoria1", "Password1", "Password1", "troppo facile da indovinare"},
	} {
		p = p.submit("Cambia password", "vecchia_password", tt.old, "nuova_password", tt.wanted, "conferma_password", tt.confirm).
			is(400, "/cambio-password").says(tt.says)
	}
	before := b.cookie()
	p.submit("Cambia password", "vecchia_password", "Provvisoria1", "nuova_password", "Nuovissima1", "conferma_password", "Nuovissima1").
		is(200, "/consensi").says("La password è stata cambiata").submit("Non ora").is(200, "/")
	b.get("/area-riservata").says("RSS***01U")
	if b.cookie() == before {
		t.Error("the session keeps its id over a change of rights")
	}
	b.get("/avvisi").is(200, "/avvisi")
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	send := func(method, path, body string, header ...string) *http.Response {
		t.Helper()
		req, err := http.NewRequest(method, s.url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for i := 0; i < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = resp.Body.Close() })
		return resp
	}
	for _, tt := range []struct {
		name, method, path, body string
		header                   []string
		want                     int
	}{
		{"no such page", "GET", "/niente", "", nil, 404},
		{"wrong method", "POST", "/avvisi", "", nil, 405},
		{"odd method", "TRACE", "/", "", nil, 405},
		{"head", "HEAD", "/", "", nil, 200},
		{"form of another site", "POST", "/accesso", "username=a", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"form of another origin", "POST", "/accesso", "username=a", []string{"Origin", "https://evil.example"}, 403},
		{"form of nobody", "POST", "/accesso", "username=a", []string{"Origin", "null"}, 403},
		{"form of our own origin", "POST", "/accesso", "username=a", []string{"Origin", "https://pagamenti.example"}, 401},
		{"too large", "POST", "/accesso", "username=" + strings.Repeat("a", 1<<17), nil, 413},
		{"not a form", "POST", "/accesso", "username=%zz", nil, 400},
		{"bad school in an address", "GET", "/paga/x/y", "", nil, 404},
		{"no such asset", "GET", "/static/niente.css", "", nil, 404},
		{"outside the assets", "GET", "/static/..%2fportal.go", "", nil, 404},
	} {
		if got := send(tt.method, tt.path, tt.body, tt.header...); got.StatusCode != tt.want {
			t.Errorf("%s: %s %s is %d, want %d", tt.name, tt.method, tt.path, got.StatusCode, tt.want)
		} else if got.Header.Get("Content-Security-Policy") == "" {
			t.Errorf("%s: no policy", tt.name)
		}
	}
}

// A fault of ours shows nothing of itself.
func TestOwnFault(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	g.Family()
	n := g.Issue()
	r := g.Settle(n, "")
	cfg := config(t, g)
	cfg.PDF = func(gateway.Receipt, gateway.School) ([]byte, error) { panic("secret words") }
	h, err := portal.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	b := (&site{Gateway: g, t: t, url: srv.URL}).browser()
	b.login("mario.rossi")
	p := b.get("/pagamenti/" + string(n.School) + "/" + r.ID + "/ricevuta.pdf")
	if p.status != http.StatusInternalServerError {
		t.Errorf("a fault is %d, want 500", p.status)
	}
	p.says("Il guasto è nostro", "indica questo codice").saysNot("secret words")
}

// brokenSessions fails as told.
type brokenSessions struct{ find, commit error }

func (s brokenSessions) Find(string) ([]byte, bool, error)      { return nil, false, s.find }
func (s brokenSessions) Commit(string, []byte, time.Time) error { return s.commit }
func (s brokenSessions) Delete(string) error                    { return nil }

func TestSessionsAway(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	g.Family()
	for _, store := range []brokenSessions{{find: errors.New("away")}, {commit: errors.New("away")}} {
		cfg := config(t, g)
		cfg.Sessions = store
		h, err := portal.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		form := url.Values{"username": {"mario.rossi"}, "password": {gatewaytest.Password}}
		req := httptest.NewRequest("POST", "/accesso", strings.NewReader(form.Encode()))
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.AddCookie(&http.Cookie{Name: "nodogate", Value: "something"})
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("Set-Cookie") != "" || w.Header().Get("Location") != "" ||
			w.Body.String() != "Il servizio non è disponibile in questo momento. Riprova tra qualche minuto.\n" {
			t.Errorf("with %+v log-in is %d %v %q", store, w.Code, w.Header(), w.Body)
		}
	}
}

func TestSecureCookie(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	g.Family()
	cfg := config(t, g)
	cfg.Secure = true
	type seen struct {
		route, method string
		code          int
	}
	var observed []seen
	cfg.Observe = func(route, method string, code int, _ time.Duration) {
		observed = append(observed, seen{route, method, code})
	}
	h, err := portal.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	form := url.Values{"username": {"mario.rossi"}, "password": {gatewaytest.Password}}
	req := httptest.NewRequest("POST", "https://pagamenti.example/accesso", strings.NewReader(form.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	want := regexp.MustCompile(`^__Host-nodogate=[\w-]{43}; Path=/; HttpOnly; Secure; SameSite=Lax$`)
	if got := w.Header().Get("Set-Cookie"); w.Code != http.StatusSeeOther || !want.MatchString(got) {
		t.Errorf("log-in is %d with cookie %q, want %s", w.Code, got, want)
	}
	if got := w.Header().Get("Strict-Transport-Security"); got == "" {
		t.Error("no HSTS")
	}
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("BREW", "https://pagamenti.example/qualcosa", nil))
	if want := []seen{{"/accesso", "POST", 303}, {"other", "other", 404}}; !slices.Equal(observed, want) {
		t.Errorf("observed %v, want %v", observed, want)
	}
}

// Every page that any page links to exists, for a guest and for a family.
func TestNoDeadLinks(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Family()
	paid := s.Issue(described("Libri"))
	s.Settle(paid, "")
	s.Issue()
	late := s.Issue(func(n *gateway.NewNotice) { n.DueDate = "2026-10-31" })
	family := s.browser()
	family.login("mario.rossi")
	family.get("/avvisi").submit("Aggiungi al carrello")
	slovene := s.browser()
	slovene.speaks = "sl"
	for name, b := range map[string]*browser{"guest": s.browser(), "family": family, "slovene": slovene} {
		queue, seen := []string{"/", "/accesso", "/carrello", payURL(late)}, map[string]bool{}
		for len(queue) > 0 {
			path := queue[0]
			queue = queue[1:]
			if seen[path] {
				continue
			}
			seen[path] = true
			p := b.get(path)
			if p.status != 200 {
				t.Errorf("%s: %s is %d", name, path, p.status)
			}
			if p.doc == nil {
				continue
			}
			for _, n := range all(p.doc, tag("a", "link", "script", "img")) {
				for _, key := range []string{"href", "src"} {
					if to, _, _ := strings.Cut(attr(n, key), "#"); strings.HasPrefix(to, "/") && !has(n, "hreflang") {
						queue = append(queue, to)
					}
				}
			}
		}
		if want := map[string]int{"guest": 12, "family": 16, "slovene": 12}[name]; len(seen) < want {
			t.Errorf("%s: only %d addresses found: %v", name, len(seen), seen)
		}
	}
}

func TestAssets(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.browser()
	var sheets []string
	for _, n := range all(b.get("/").doc, func(n *html.Node) bool { return attr(n, "rel") == "stylesheet" }) {
		sheets = append(sheets, attr(n, "href"))
	}
	if len(sheets) < 2 || !strings.HasPrefix(sheets[len(sheets)-1], "/static/app.css?v=") {
		t.Fatalf("style sheets are %q", sheets)
	}
	app := sheets[len(sheets)-1]
	req, err := http.NewRequest("GET", s.url+app, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept-Encoding", "gzip")
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if got := resp.Header.Get("Cache-Control"); got != "public, max-age=31536000, immutable" {
		t.Errorf("Cache-Control is %q", got)
	}
	if resp.Header.Get("Set-Cookie") != "" {
		t.Error("an asset sets a cookie")
	}
	zr, err := gzip.NewReader(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	unzipped, err := io.ReadAll(zr)
	if err != nil {
		t.Fatal(err)
	}
	if plain := b.get(strings.Split(app, "?")[0]); plain.body != string(unzipped) || plain.header.Get("Cache-Control") != "public, max-age=86400" {
		t.Errorf("whole and compressed differ, or cached as %q", plain.header.Get("Cache-Control"))
	}
	if got := b.get("/static/outcome.js").header.Get("Content-Type"); got != "text/javascript; charset=utf-8" {
		t.Errorf("script is %q", got)
	}
}

func TestProvidersAreListedToEverybody(t *testing.T) {
	t.Parallel()
	newSite(t).browser().get("/servizi-di-pagamento").says("Carta di pagamento", "Addebito in conto", "Bollettino postale", "per € 10,00", "per € 500,00", "Banca Uno € 1,00")
}

// The policy names the PSPs of this moment, not those of the start.
func TestPolicyFollowsThePSPs(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	cfg := config(t, g)
	var origins []string
	cfg.FormActions = func() []string { return origins }
	h, err := portal.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for want, list := range map[string][]string{
		"form-action 'self';": nil,
		"form-action 'self' https://uno.example https://due.example;": {"https://uno.example", "https://due.example"},
	} {
		origins = list
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/accesso", nil))
		if got := w.Header().Get("Content-Security-Policy"); !strings.Contains(got, want) {
			t.Errorf("the policy is %q, want %q", got, want)
		}
	}
}

// A fee is paid as it was shown, or shown again.
func TestFeeThatChanged(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	n := s.Issue(described("Mensa"))
	b := s.browser()
	checkout := b.get(payURL(n)).submit("Aggiungi al carrello").submit("Vai al pagamento").says("€ 1,00")
	s.PSPs.OnFee(func(_ context.Context, req gateway.OfferRequest, id gateway.PSPID) (money.Cents, bool) {
		if len(req.Notices) != 1 || req.Notices[0].School != n.School || len(req.Notices[0].Transfers) != 1 {
			t.Errorf("fees were wanted of %+v", req)
		}
		return 117, true
	})
	again := checkout.submit("Paga", "email", "anna@example.org")
	again.is(http.StatusConflict, "/carrello/pagamento").says("La commissione è cambiata", "€ 1,17")
	if len(s.PSPs.Orders()) != 0 {
		t.Fatal("a payment was opened at another fee than was shown")
	}
	again.submit("Paga", "email", "anna@example.org")
	if orders := s.PSPs.Orders(); len(orders) != 1 || orders[0].Fee != 117 {
		t.Errorf("orders %+v, want one at 117 cents", orders)
	}
}
