// SPDX-License-Identifier: Apache-2.0

package portal

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/nodogate/nodogate/gateway"
)

// Who may call what: a new page has to be written down here too.
func TestRoutes(t *testing.T) {
	t.Parallel()
	want := map[string]access{
		"GET /": visitor, "GET /accesso": visitor, "POST /accesso": visitor, "POST /esci": provisional,
		"GET /cambio-password": provisional, "POST /cambio-password": provisional, "GET /area-riservata": family,
		"GET /avvisi": family, "GET /avvisi/:school/:number": family, "GET /avvisi/:school/:number/avviso.pdf": family,
		"GET /classe": family, "GET /carrello": visitor, "POST /carrello/avvisi": family, "POST /carrello/rimuovi": visitor,
		"GET /carrello/pagamento": visitor, "POST /carrello/pagamento": visitor,
		"GET /carrello/esito/:cart": visitor, "GET /carrello/esito/:cart/stato": visitor, "POST /carrello/esito/:cart/riprova": visitor,
		"GET /pagamenti": family, "GET /pagamenti/:school/:receipt": family, "GET /pagamenti/:school/:receipt/ricevuta.pdf": family,
		"GET /pagamenti/:school/:receipt/attestazione.pdf": family, "GET /attestazioni": family, "GET /attestazioni/:year/:child": family,
		"GET /paga": visitor, "POST /paga": visitor, "GET /paga/:school/:number": visitor, "POST /paga/:school/:number": visitor,
		"GET /paga/:school/:number/avviso.pdf": visitor,
		"GET /servizi-di-pagamento":            anyone, "GET /bollettini/:cart/:link": anyone, "GET /assistenza": anyone, "POST /assistenza": anyone, "GET /privacy": anyone, "GET /accessibilita": anyone,
		"GET /faq": anyone, "GET /manuale": anyone, "GET /termini": anyone, "GET /consensi": undecided, "POST /consensi": undecided,
		"POST /area-riservata/email": family, "GET /area-riservata/email": anyone, "POST /area-riservata/email/conferma": anyone,
		"POST /area-riservata/sessioni": family, "GET /area-riservata/dati.json": family, "POST /area-riservata/elimina": family,
		"POST /accesso/identita/:provider": anyone, "GET /accesso/identita/:provider": anyone,
		"GET /accesso/recupero": anyone, "POST /accesso/recupero": anyone, "GET /registrazione": anyone, "POST /registrazione": anyone,
		"POST /registrazione/dati": anyone, "POST /registrazione/conferma": anyone, "GET /registrazione/inviata": anyone,
		"GET /conferma": anyone, "POST /area-riservata/invito": family,
		"GET /versamenti-volontari": visitor, "GET /versamenti-volontari/:school": visitor,
		"GET /versamenti-volontari/:school/:contribution": visitor, "POST /versamenti-volontari/:school/:contribution": visitor,
	}
	for _, r := range routes {
		name := r.method + " " + r.path
		if w, ok := want[name]; !ok || w != r.who {
			t.Errorf("%s is for %d, want %d", name, r.who, w)
		}
		delete(want, name)
	}
	for name := range want {
		t.Errorf("no route %s", name)
	}
}

func TestLimiter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	l := newLimiter("test", time.Second, 2)
	for _, tt := range []struct {
		address string
		want    bool
	}{
		{"192.0.2.1", true},
		{"192.0.2.1", true},
		{"::ffff:192.0.2.1", false}, // the same address
		{"192.0.2.2", true},
		{"2001:db8::1", true},
		{"2001:db8::2", true},
		{"2001:db8::3", false},    // the same subscriber
		{"2001:db8:0:1::1", true}, // another one
		{"nonsense", true},
		{"", true},
		{"more nonsense", false},
	} {
		if got, wait := l.allow(subscriber(tt.address), now); got != tt.want || !got && wait != time.Second {
			t.Errorf("allow(%q) = %v, %s, want %v", tt.address, got, wait, tt.want)
		}
	}
	if ok, _ := l.allow(subscriber("192.0.2.1"), now.Add(time.Second)); !ok {
		t.Error("a second later the address is still refused")
	}
}

func TestLimiterForgets(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	l := newLimiter("test", time.Hour, 1)
	a := netip.MustParseAddr("10.0.0.0")
	for range 5 * maxAddresses {
		if ok, _ := l.allow(subscriber(a.String()), now); !ok {
			t.Fatalf("%s is refused at its first look-up", a)
		}
		if ok, _ := l.allow(subscriber(a.String()), now); ok {
			t.Fatalf("%s is not refused at its second", a)
		}
		a = a.Next()
	}
	if got := len(l.young) + len(l.elder); got > 2*maxAddresses {
		t.Errorf("%d addresses are remembered, want at most %d", got, 2*maxAddresses)
	}
}

func FuzzReturnPath(f *testing.F) {
	for _, s := range []string{"/avvisi?mostra=tutti", "//evil.example", `/\evil.example`, "https://evil.example", "/a/../..//b", "/%2f/evil"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := returnPath(s, "/")
		if !strings.HasPrefix(got, "/") || strings.HasPrefix(got, "//") || strings.ContainsAny(got, "\\\r\n\t") {
			t.Errorf("returnPath(%q) = %q", s, got)
		}
	})
}

func TestOfferTicks(t *testing.T) {
	t.Parallel()
	psp := func(id gateway.PSPID, available bool) gateway.PSPOffer {
		return gateway.PSPOffer{ID: id, Available: available, Fee: 100}
	}
	offers := []gateway.MethodOffer{
		{Method: gateway.MethodCard, PSPs: []gateway.PSPOffer{psp("A", true), psp("B", true), psp("C", false)}},
		{Method: gateway.MethodAccountDebit, PSPs: []gateway.PSPOffer{psp("A", true)}},
		{Method: gateway.MethodBulletin, PSPs: []gateway.PSPOffer{psp("D", false)}},
	}
	for _, tt := range []struct {
		name   string
		wanted choice
		want   string
	}{
		{"nothing known: the first", choice{}, "card:A+ account_debit:A postal_bulletin:"},
		{"the last choice", choice{method: gateway.MethodAccountDebit, psp: "A"}, "card:A account_debit:A+ postal_bulletin:"},
		{"the last PSP", choice{method: gateway.MethodCard, psp: "B"}, "card:B+ account_debit:A postal_bulletin:"},
		{"the last PSP does not answer", choice{method: gateway.MethodCard, psp: "C"}, "card:A+ account_debit:A postal_bulletin:"},
		{"no PSP of the last method answers", choice{method: gateway.MethodBulletin, psp: "D"}, "card:A+ account_debit:A postal_bulletin:"},
		{"failed just now", choice{method: gateway.MethodCard, psp: "A", failed: "A"}, "card:B+ account_debit: postal_bulletin:"},
		{"not listed any more", choice{method: "cash", psp: "Z"}, "card:A+ account_debit:A postal_bulletin:"},
	} {
		var got []string
		for _, m := range offer(offers, 1000, tt.wanted) {
			s := string(m.Method) + ":"
			for _, p := range m.PSPs {
				if p.Total != 1100 {
					t.Errorf("%s: total is %s", tt.name, p.Total)
				}
				if p.Checked {
					s += string(p.ID)
				}
			}
			if m.Checked {
				s += "+"
			}
			got = append(got, s)
		}
		if fmt.Sprint(strings.Join(got, " ")) != tt.want {
			t.Errorf("%s: ticked %v, want %s", tt.name, got, tt.want)
		}
	}
}

// Without Bootstrap Italia the portal wears its own style.
func TestStylesWithoutVendor(t *testing.T) {
	t.Parallel()
	a, err := loadAssets()
	if err != nil {
		t.Fatal(err)
	}
	delete(a.files, vendorStyle)
	got, err := a.styles()
	if err != nil || len(got) != 2 || !strings.HasPrefix(got[0], "/static/plain.css?v=") || !strings.HasPrefix(got[1], "/static/app.css?v=") {
		t.Errorf("styles are %q, %v", got, err)
	}
}

// A font that a style sheet names otherwise than the page that preloads it would
// be fetched twice, and not be kept.
func TestFontsHaveOneAddress(t *testing.T) {
	t.Parallel()
	font := &asset{kind: kinds[".woff2"]}
	font.set([]byte("wOF2"))
	a := &assets{map[string]*asset{"vendor/fonts/a.woff2": font}}
	list, err := a.fonts()
	if err != nil || len(list) != 1 || !strings.HasPrefix(list[0], "/static/vendor/fonts/a.woff2?v=") {
		t.Fatalf("fonts are %q, %v", list, err)
	}
	style := string(a.addressed([]byte(`@font-face { src: url("/static/vendor/fonts/a.woff2") } @font-face { src: url("/static/vendor/fonts/b.woff2") }`)))
	if want := `@font-face { src: url("` + list[0] + `") } @font-face { src: url("/static/vendor/fonts/b.woff2") }`; style != want {
		t.Errorf("style is %s, want %s", style, want)
	}
	// And so it is in what is served, where make assets was.
	all, err := loadAssets()
	if err != nil {
		t.Fatal(err)
	}
	if list, err = all.fonts(); err != nil {
		t.Fatal(err)
	}
	for _, address := range list {
		if !strings.Contains(string(all.files["fonts.css"].body), address) {
			t.Errorf("fonts.css does not name %s", address)
		}
	}
}
