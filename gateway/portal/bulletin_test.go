// SPDX-License-Identifier: Apache-2.0

package portal_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
)

// postalSite is a site whose second school has a postal account, with a family
// that has a child there, and a notice of it.
func postalSite(t *testing.T) (*site, gateway.Notice) {
	s := newSite(t)
	s.AddPostal(gatewaytest.OtherCode, "Liceo Galilei")
	s.FamilyOf("mario.rossi", gatewaytest.ParentCode, "Mario", "Rossi",
		gateway.Pupil{School: gatewaytest.OtherCode, ID: "p1", Code: gatewaytest.PupilCode, FirstName: "Maria", LastName: "Rossi", Class: "3B", SchoolYear: "2026/27"})
	return s, s.IssueAt(gatewaytest.OtherCode)
}

// paper follows the link of a page that is not ours to follow: it is on the
// public origin, where the test's site is not.
func (p *page) paper() string {
	p.t.Helper()
	links := p.links("Stampa il bollettino")
	if len(links) != 1 || !strings.HasPrefix(links[0], "https://pagamenti.example/bollettini/") {
		p.t.Fatalf("links to the bulletin: %v", links)
	}
	return strings.TrimPrefix(links[0], "https://pagamenti.example")
}

func TestPrintedBulletin(t *testing.T) {
	t.Parallel()
	s, n := postalSite(t)
	s.PSPs.PrintOnly(true)
	b := s.browser()
	b.login("mario.rossi")
	pay := b.get("/avvisi").submit("Aggiungi al carrello").submit("Vai al carrello").submit("Vai al pagamento").says("si stampa qui e si paga allo sportello")
	outcome := pay.submit("Paga", "metodo", "postal_bulletin").says("Bollettino da pagare", "Da pagare", "Stampa il bollettino").saysNot("In verifica")
	path := outcome.paper()

	for name, reader := range map[string]*browser{"the payer": b, "whoever has the link": s.browser()} {
		pdf := reader.get(path)
		if pdf.status != 200 || pdf.header.Get("Content-Type") != "application/pdf" || pdf.body != "%PDF of Viaggio di istruzione 3B of Maria Rossi, "+string(gatewaytest.PupilCode) ||
			!slices.Contains(pdf.header.Values("Cache-Control"), "no-store") || pdf.header.Get("Referrer-Policy") == "" {
			t.Errorf("%s gets %d %v %s", name, pdf.status, pdf.header, pdf.body)
		}
	}
	stranger := s.browser()
	stranger.get(path[:len(path)-1]+"!").is(404, path[:len(path)-1]+"!").saysNot("Maria")
	// Printing holds nothing: by card it is paid as ever, and then the paper is over.
	b.get("/avvisi").says("Da pagare").saysNot("In verifica")
	s.Settle(n, "")
	stranger.get(path).is(410, path).says("Bollettino non più disponibile").saysNot("Maria")
	b.get(outcome.url.Path).says("Pagato").saysNot("Stampa il bollettino")
}

func TestBulletinBesideThePage(t *testing.T) {
	t.Parallel()
	s, _ := postalSite(t)
	b := s.browser()
	b.login("mario.rossi")
	b.get("/avvisi").submit("Aggiungi al carrello").submit("Vai al carrello").submit("Vai al pagamento").submit("Paga", "metodo", "postal_bulletin")
	orders := s.PSPs.Orders()
	if len(orders) != 1 || orders[0].Notices[0].PostalAccount != "000000001016" {
		t.Fatalf("orders %+v", orders)
	}
	path := b.get(outcomeOf(orders[0])).says("In verifica", "Riprendi il pagamento").paper()
	s.browser().get(path).is(200, path)
	s.Time.Advance(26 * time.Hour)
	s.browser().get(path).is(410, path).says("vale un giorno")
}

func TestGuestsBulletinNamesNobody(t *testing.T) {
	t.Parallel()
	s, n := postalSite(t)
	s.PSPs.PrintOnly(true)
	b := s.browser()
	path := b.get(payURL(n)).submit("Aggiungi al carrello").submit("Vai al pagamento").submit("Paga", "metodo", "postal_bulletin").saysNot("Maria").paper()
	if pdf := b.get(path); pdf.body != "%PDF of Viaggio di istruzione 3B of , ANONIMO" {
		t.Errorf("a guest's bulletin is %s", pdf.body)
	}
}

func TestNoBulletinWithoutAPostalAccount(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Family()
	s.Issue()
	s.PSPs.PrintOnly(true)
	b := s.browser()
	b.login("mario.rossi")
	b.get("/avvisi").submit("Aggiungi al carrello").submit("Vai al carrello").submit("Vai al pagamento").submit("Paga", "metodo", "postal_bulletin").
		is(409, "/carrello/pagamento").says("non ha un conto corrente postale abilitato")
}
