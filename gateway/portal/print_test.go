// SPDX-License-Identifier: Apache-2.0

package portal_test

import (
	"strings"
	"testing"

	"github.com/nodogate/nodogate/gateway/gatewaytest"
)

func TestPrintedNotice(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Family()
	n, other := s.Issue(), s.Issue()
	path := "/avvisi/" + string(n.School) + "/" + n.Number.String()
	b := s.browser()
	b.login("mario.rossi")
	links := b.get(path).links("Scarica l'avviso")
	if len(links) != 1 || links[0] != path+"/avviso.pdf" {
		t.Fatalf("links to the notice: %v", links)
	}
	// In this order: a language that was asked for stays.
	for _, language := range []string{"", "de"} {
		address := links[0]
		if language != "" {
			address += "?lang=" + language
		}
		want := `%PDF notice ` + n.Number.String() + ` of "Maria Rossi", IC 6 Grosseto, ` + language
		pdf := b.get(address)
		if pdf.status != 200 || pdf.body != want || pdf.header.Get("Content-Type") != "application/pdf" ||
			pdf.header.Get("Content-Disposition") != `attachment; filename="avviso-`+n.Number.String()+`.pdf"` ||
			!strings.Contains(pdf.header.Get("Cache-Control"), "no-store") {
			t.Errorf("%s is %d %v %s, want %s", address, pdf.status, pdf.header, pdf.body, want)
		}
	}

	// Who has the codes may print it, and does not learn whose it is.
	guest := s.browser()
	links = guest.get(payURL(n)).links("Scarica l'avviso")
	guestPath := "/paga/" + string(n.School) + "/" + n.Number.String()
	if len(links) != 1 || links[0] != guestPath+"/avviso.pdf" {
		t.Fatalf("a guest's links to the notice: %v", links)
	}
	if pdf := guest.get(links[0]); pdf.status != 200 || !strings.HasPrefix(pdf.body, `%PDF notice `+n.Number.String()+` of ""`) {
		t.Errorf("a guest's notice is %d %s", pdf.status, pdf.body)
	}
	// A family that is not the notice's is a guest too, and does not find it among
	// its own.
	s.FamilyOf("lucia.bianchi", "BNCLCU80A41E202L", "Lucia", "Bianchi")
	lucia := s.browser()
	lucia.login("lucia.bianchi")
	if pdf := lucia.get(links[0]); pdf.status != 200 || strings.Contains(pdf.body, "Maria") {
		t.Errorf("another family's notice is %d %s", pdf.status, pdf.body)
	}
	lucia.get(path+"/avviso.pdf").is(404, path+"/avviso.pdf").saysNot("Maria")
	guest.get(path+"/avviso.pdf").is(200, "/accesso")

	// What cannot be paid is not printed.
	s.Settle(n, "")
	b.get("/?lang=it")
	b.get(path+"/avviso.pdf").is(200, path).says("Pagato").saysNot("Scarica l'avviso")
	guest.get(guestPath+"/avviso.pdf").is(200, payURL(n)).says("già stato pagato").saysNot("Scarica l'avviso", "Maria")
	if _, err := s.Cancel(t.Context(), gatewaytest.Operator, other.School, other.Number); err != nil {
		t.Fatal(err)
	}
	guest.get("/paga/"+string(other.School)+"/"+other.Number.String()+"/avviso.pdf").is(200, payURL(other)).says("Annullato")
	for _, missing := range []string{"/80014480828/301000000000000000/avviso.pdf", "/80014480828/1/avviso.pdf", "/1/" + n.Number.String() + "/avviso.pdf"} {
		guest.get("/paga"+missing).is(404, "/paga"+missing).saysNot("Maria")
		b.get("/avvisi"+missing).is(404, "/avvisi"+missing)
	}
}
