// SPDX-License-Identifier: Apache-2.0

package portal_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
)

// letters reads the letters that wait to be sent.
func (s *site) letters() []gateway.Letter {
	s.t.Helper()
	list, err := s.Store.ClaimMessages(context.Background(), "mail", "", s.Now().Add(time.Second), time.Minute, 100)
	if err != nil {
		s.t.Fatal(err)
	}
	var out []gateway.Letter
	for _, m := range list {
		if err := s.Store.FinishInto(context.Background(), m.ID, s.Now(), nil); err != nil {
			s.t.Fatal(err)
		}
		var l gateway.Letter
		if json.Unmarshal(m.Payload, &l) == nil && l.To != "" {
			out = append(out, l)
		}
	}
	return out
}

// questions are the letters to who answers; each question has one that tells who
// asked.
func (s *site) questions() []gateway.Letter {
	s.t.Helper()
	var asked []gateway.Letter
	told := map[string]bool{}
	for _, l := range s.letters() {
		if l.Template == gateway.LetterHelpTaken {
			told[l.To+" "+l.Values["ticket"]] = l.Values["text"] == ""
			continue
		}
		asked = append(asked, l)
	}
	for _, l := range asked {
		if !told[l.ReplyTo+" "+l.Values["ticket"]] {
			s.t.Errorf("%s was not told that question %s came", l.ReplyTo, l.Values["ticket"])
		}
	}
	return asked
}

func TestConsents(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	n := s.Issue()
	a, err := s.AddAccount(context.Background(), gateway.Account{Username: "nuovo", Code: gatewaytest.ParentCode, FirstName: "Mario", LastName: "Rossi", Proven: true}, gatewaytest.Password)
	if err != nil {
		t.Fatal(err)
	}
	b := s.browser()
	first := b.get("/accesso?torna=/avvisi").submit("Accedi", "username", "nuovo", "password", gatewaytest.Password).is(200, "/consensi").says("Prima di cominciare")
	// Nothing else can be done before, whatever is asked for.
	b.post("/carrello/avvisi", url.Values{"ente": {string(n.School)}, "avviso": {n.Number.String()}}).is(200, "/consensi")
	b.post("/consensi", url.Values{"consenso": {"qualcosa"}}).is(400, "/consensi")
	first.submit("Accetto").is(200, "/avvisi")
	consents := func(mail, choice bool) {
		t.Helper()
		got, err := s.Account(context.Background(), a.ID)
		if err != nil || got.MailConsent != mail || got.ChoiceConsent != choice {
			t.Errorf("consents are %v, %v (%v), want %v, %v", got.MailConsent, got.ChoiceConsent, err, mail, choice)
		}
	}
	consents(true, true)
	if err := s.RememberChoice(context.Background(), a.ID, gateway.MethodCard, "BANCAUNO"); err != nil {
		t.Fatal(err)
	}
	// Once is enough; withdrawn here, with what was kept by it.
	p := b.get("/").is(200, "/")
	p = p.get("/consensi").says("Dato")
	p.submit("Ritira il consenso").is(200, "/consensi").says("La tua scelta è stata salvata", "Non dato")
	consents(false, true)
	b.post("/consensi", url.Values{"consenso": {"scelta"}, "valore": {"no"}})
	consents(false, false)
	if got, _ := s.Account(context.Background(), a.ID); got.LastPSP != "" {
		t.Errorf("the last PSP is still %s", got.LastPSP)
	}
	if err := s.RememberChoice(context.Background(), a.ID, gateway.MethodCard, "BANCAUNO"); err != nil {
		t.Fatal(err)
	}
	if got, _ := s.Account(context.Background(), a.ID); got.LastPSP != "" {
		t.Error("kept without consent")
	}
	s.browser().get("/consensi").is(200, "/accesso")
}

func TestAttestations(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Family()
	trip, book, open := s.Issue(), s.Issue(described("Libri")), s.Issue(described("Mensa"))
	b := s.browser()
	b.login("mario.rossi")
	b.get("/attestazioni").says("Non ci sono ancora pagamenti")
	// One paid here, by this parent; one at a counter, by nobody knows whom.
	b.get("/avvisi").within(anchor(trip)).submit("Aggiungi al carrello")
	b.get("/carrello/pagamento").submit("Paga")
	s.Settle(trip, s.PSPs.Orders()[0].Cart)
	counter := s.Settle(book, "")

	year := b.get("/attestazioni").says("2026", "Maria Rossi", "2 pagamenti", "€ 33,00").links("Scarica l'attestazione")
	if len(year) != 1 || strings.Contains(year[0], "RSS") {
		t.Fatalf("attestations at %q", year)
	}
	pdf := b.get(year[0])
	if want := "%PDF 2026 of Maria Rossi " + string(gatewaytest.PupilCode) + ": 2 paid by Mario Rossi " + string(gatewaytest.ParentCode); pdf.body != want ||
		pdf.header.Get("Content-Disposition") != `attachment; filename="attestazione-2026.pdf"` {
		t.Errorf("attestation is %q %v, want %q", pdf.body, pdf.header, want)
	}
	one := b.get("/pagamenti").links("Scarica l'attestazione")
	if len(one) != 2 {
		t.Fatalf("%q", one)
	}
	if got := b.get("/pagamenti/" + string(book.School) + "/" + counter.ID + "/attestazione.pdf").body; !strings.Contains(got, "1 paid by nobody") {
		t.Errorf("of a counter: %q", got)
	}
	// A second payment is to be given back, not to be deducted.
	twice := gatewaytest.Receipt(book, "rt-again")
	v, err := s.Deliver(twice)
	if err != nil {
		t.Fatal(err)
	}
	b.get("/pagamenti/"+string(book.School)+"/"+v.Receipt.ID+"/attestazione.pdf").is(404, "/pagamenti/"+string(book.School)+"/"+v.Receipt.ID+"/attestazione.pdf")

	// What went back is taken off.
	ctx := context.Background()
	clerk, head := gateway.Actor{Kind: "client", Name: "clerk"}, gateway.Actor{Kind: "client", Name: "head"}
	r, err := s.RequestRefund(ctx, clerk, book.School, gateway.NewRefund{Receipt: counter.ID, Amount: 650, Reason: "gita annullata", IBAN: "IT60X0542811101000000123456", Holder: "Mario Rossi"})
	for _, to := range []gateway.RefundState{gateway.RefundApproved, gateway.RefundExecuted} {
		if err == nil {
			_, err = s.ChangeRefund(ctx, head, book.School, r.ID, gateway.RefundChange{State: to})
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	b.get("/attestazioni").says("2 pagamenti", "€ 26,50")
	b.get("/pagamenti").says("rimborsati € 6,50")
	at := "/pagamenti/" + string(book.School) + "/" + counter.ID
	b.get(at).says("La scuola ha rimborsato € 6,50 il 23/11/2026.").saysNot("gita annullata")
	// What is asked for may still be refused: it is the office's until then.
	r, err = s.RequestRefund(ctx, clerk, book.School, gateway.NewRefund{Receipt: counter.ID, Amount: 100, Reason: "arrotondamento", IBAN: "IT60X0542811101000000123456", Holder: "Mario Rossi"})
	if err != nil {
		t.Fatal(err)
	}
	b.get(at).saysNot("€ 1,00")
	if _, err = s.ChangeRefund(ctx, head, book.School, r.ID, gateway.RefundChange{State: gateway.RefundApproved}); err != nil {
		t.Fatal(err)
	}
	b.get(at).says("ha approvato un rimborso di € 1,00", "ha rimborsato € 6,50")
	b.get("/pagamenti").says("rimborsati € 6,50")

	s.FamilyOf("anna.bianchi", code(t, "BNCNNA80A41H501"), "Anna", "Bianchi",
		gateway.Pupil{School: gatewaytest.SchoolCode, ID: "p9", Code: code(t, "BNCLCU12B02H501"), FirstName: "Luca", LastName: "Bianchi", Class: "1A", SchoolYear: "2026/27"})
	anna := s.browser()
	anna.login("anna.bianchi")
	for _, path := range []string{year[0], one[0], one[1], "/attestazioni/2026/nothing.pdf", "/attestazioni/1999/" + strings.Split(year[0], "/")[3]} {
		if got := anna.get(path); got.status != http.StatusNotFound {
			t.Errorf("another family's %s is %d", path, got.status)
		}
	}
	_ = open
}

func (s *site) contribution(free bool, least int) gateway.Contribution {
	s.t.Helper()
	in := gateway.NewContribution{Description: "Contributo per i laboratori", Amount: 2000, Free: free, DueDate: "2027-06-30", Deduction: "i-octies"}
	if free {
		in.Min = 500
	}
	_ = least
	c, err := s.OpenContribution(context.Background(), gatewaytest.Operator, gatewaytest.SchoolCode, in)
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

func TestContributions(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Family()
	b := s.browser()
	b.get("/versamenti-volontari?cerca=Grosseto").says("Nessuna scuola con versamenti aperti")
	b.get("/versamenti-volontari/" + string(gatewaytest.SchoolCode)).says("non ha versamenti volontari aperti")
	free, fixed := s.contribution(true, 500), s.contribution(false, 0)
	for query, found := range map[string]bool{"ic 6": true, "GROSSETO": true, "gròsseto": true, "80014480828": true, "Milano": false, "<script>": false, "  ": false, strings.Repeat("x", 500): false} {
		p := b.get("/versamenti-volontari?cerca=" + url.QueryEscape(query))
		if got := len(p.links("IC 6 Grosseto")) == 1; got != found || strings.Contains(p.body, "<script>") {
			t.Errorf("search for %.20q finds the school: %v", query, got)
		}
	}
	b.get("/versamenti-volontari?cerca=x").says("almeno due lettere")
	at := func(c gateway.Contribution) string { return "/versamenti-volontari/" + string(c.School) + "/" + c.ID }
	list := b.get("/versamenti-volontari/"+string(free.School)).says("Contributo per i laboratori", "a partire da € 5,00", "€ 20,00", "fino al 30/06/2027")
	if got := list.links("Contributo per i laboratori"); len(got) != 2 {
		t.Fatalf("contributions at %q", got)
	}

	// A guest: mistakes first.
	for _, tt := range []struct{ name, amount, says string }{
		{"", "20", "Scrivi il nome e il cognome"},
		{"Maria\x00Rossi", "20", "senza simboli strani"},
		{strings.Repeat("è", 71), "20", "al massimo 70 caratteri"},
		{"Maria Rossi", "", "Scrivi l’importo in euro"},
		{"Maria Rossi", "venti", "Scrivi l’importo in euro"},
		{"Maria Rossi", "-20", "Scrivi l’importo in euro"},
		{"Maria Rossi", "0", "Scrivi l’importo in euro"},
		{"Maria Rossi", "4,99", "L’importo minimo è € 5,00"},
		{"Maria Rossi", "999999999999999999999999", "Scrivi l’importo in euro"},
		{"Maria Rossi", "50000", "L’importo è molto alto"},
	} {
		p := b.get(at(free)).submit("Aggiungi al carrello", "nome", tt.name, "importo", tt.amount).is(400, at(free)).says(tt.says)
		if strings.Contains(p.body, "\x00") {
			t.Error("a control character comes back")
		}
	}
	cart := b.get(at(free)).submit("Aggiungi al carrello", "nome", "  Maria   <b>Rossi</b> ", "importo", "25,5").is(200, "/carrello").says("Contributo per i laboratori", "€ 25,50")
	if got := len(s.PSPs.Orders()); got != 0 {
		t.Fatalf("%d orders", got)
	}
	// Again the same: the same notice, which is in the cart already.
	b.get(at(free)).submit("Aggiungi al carrello", "nome", "Maria <b>Rossi</b>", "importo", "€ 25.50").is(200, "/carrello").says("è già nel carrello", "Totale € 25,50")
	cart.submit("Vai al pagamento").submit("Paga", "email", "zia@example.org")
	if o := s.PSPs.Orders(); len(o) != 1 || o[0].Notices[0].Amount != 2550 {
		t.Errorf("orders %+v", o)
	}
	b.get(at(fixed)).says("€ 20,00").submit("Aggiungi al carrello", "nome", "Maria Rossi", "importo", "1").says("€ 20,00").saysNot("€ 1,00")

	// A family gives for its child, and finds the notice under its name.
	mario := s.browser()
	mario.login("mario.rossi")
	if got := mario.get("/versamenti-volontari").says("Le tue scuole").links("IC 6 Grosseto"); len(got) != 1 {
		t.Errorf("own schools: %q", got)
	}
	mario.get(at(fixed)).form("Esci") // the frame is the family's
	mario.get(at(fixed)).says("Maria Rossi", "Un’altra persona").submit("Aggiungi al carrello").is(200, "/carrello").says("per Maria Rossi")
	mario.get("/avvisi").says("Maria Rossi", "Contributo per i laboratori")
	mario.get(at(fixed)).submit("Aggiungi al carrello", "per", "altro", "nome", "Nonna Pina").is(200, "/carrello")
	mario.get("/avvisi").says("I tuoi avvisi")
	mario.post(at(fixed), url.Values{"per": {"p-of-another"}}).is(400, at(fixed)).says("Scegli per chi versi")

	for _, gone := range []string{at(free) + "x", "/versamenti-volontari/99999999990/" + free.ID, "/versamenti-volontari/x/y"} {
		if got := b.get(gone).status; got != http.StatusNotFound {
			t.Errorf("%s is %d", gone, got)
		}
	}
	s.Time.Advance(400 * 24 * time.Hour)
	if got := b.get(at(free)).status; got != http.StatusNotFound {
		t.Errorf("after its last day: %d", got)
	}
}

func TestHelpForm(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Family()
	s.Issue()
	b := s.browser()
	for _, tt := range []struct{ field, value, says string }{
		{"tema", "", "Scegli di che cosa si tratta"},
		{"tema", "<script>", "Scegli di che cosa si tratta"},
		{"email", "nessuna", "L’indirizzo email non è scritto bene"},
		{"email", "a@example.org\r\nBcc: b@example.org", "L’indirizzo email non è scritto bene"},
		{"testo", "breve", "da 10 a 4000 caratteri"},
		{"testo", strings.Repeat("lungo ", 800), "da 10 a 4000 caratteri"},
	} {
		form := []string{"tema", "payment", "email", "a@example.org", "testo", "Ho pagato due volte & <b>nessuno</b> risponde.", tt.field, tt.value}
		p := b.get("/assistenza").submit("Invia", form...).is(400, "/assistenza").says(tt.says).saysNot("<script>", "<b>nessuno")
		if tt.field != "testo" && !strings.Contains(p.body, "nessuno&lt;/b&gt; risponde") {
			t.Error("what was written is lost")
		}
	}
	action, _, form := b.get("/assistenza").form("Invia")
	form.Set("tema", "payment")
	form.Set("email", "a@example.org")
	form.Set("testo", "Ho pagato due volte.")
	sent := b.post(action, form).is(200, "/assistenza").says("Abbiamo ricevuto la tua richiesta")
	b.post(action, form).is(200, "/assistenza")
	letters := s.questions()
	if len(letters) != 1 || letters[0].To != "assistenza@pagamenti.example" || letters[0].ReplyTo != "a@example.org" {
		t.Fatalf("letters are %+v", letters)
	}
	sent.says(letters[0].Values["ticket"])

	mario := s.browser()
	mario.login("mario.rossi")
	mario.get("/assistenza").says("Riguarda una scuola?").submit("Invia", "tema", "notice", "scuola", string(gatewaytest.SchoolCode), "testo", "L’avviso della gita è doppio.").says("Abbiamo ricevuto")
	if letters := s.questions(); len(letters) != 1 || letters[0].ReplyTo != "mario.rossi@example.org" || letters[0].Values["school"] != "IC 6 Grosseto" || letters[0].Values["name"] != "Mario Rossi" {
		t.Errorf("letters are %+v", letters)
	}
	mario.post("/assistenza", url.Values{"chiave": {"x"}}).is(400, "/assistenza")
	// To the school, once it takes questions; a stranger's form writes to none.
	if _, err := s.ChangeSchool(t.Context(), gatewaytest.Operator, gatewaytest.SchoolCode, func(_ gateway.School, in *gateway.NewSchool) error {
		in.HelpMail = "segreteria@scuola.example"
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	ask := []string{"tema", "notice", "email", "mario.rossi@example.org", "testo", "L’avviso della gita è doppio.", "destinatario", string(gatewaytest.SchoolCode)}
	mario.get("/assistenza").says("A chi scrivi?", "Alla segreteria: IC 6 Grosseto", "A chi gestisce questo sito").submit("Invia", ask...).says("Abbiamo ricevuto")
	if letters := s.questions(); len(letters) != 1 || letters[0].To != "segreteria@scuola.example" || letters[0].Values["school"] != "IC 6 Grosseto" {
		t.Errorf("letters are %+v", letters)
	}
	action, _, form = s.browser().get("/assistenza").saysNot("A chi scrivi?").form("Invia")
	for i := 0; i < len(ask); i += 2 {
		form.Set(ask[i], ask[i+1])
	}
	s.browser().post(action, form).is(400, "/assistenza").says("Scegli a chi scrivere")
	limited := false
	for range 8 {
		p := s.browser().get("/assistenza").submit("Invia", "tema", "other", "email", "a@example.org", "testo", "Ancora una domanda.")
		limited = limited || p.status == http.StatusTooManyRequests
	}
	if !limited {
		t.Error("questions are not limited")
	}
}

func TestEmailChange(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Family()
	b := s.browser()
	b.login("mario.rossi")
	b.get("/area-riservata").submit("Cambia email", "nuova_email", "niente", "password", gatewaytest.Password).is(400, "/area-riservata/email").says("non è scritto bene")
	b.get("/area-riservata").submit("Cambia email", "nuova_email", "nuova@example.org", "password", "Sbagliata1").is(400, "/area-riservata/email").says("La password non è corretta")
	b.get("/area-riservata").submit("Cambia email", "nuova_email", "nuova@example.org", "password", gatewaytest.Password).is(200, "/area-riservata").
		says("Ti abbiamo mandato un’email al nuovo indirizzo", "mario.rossi@example.org")
	letters := s.letters()
	if len(letters) != 1 || letters[0].To != "nuova@example.org" {
		t.Fatalf("letters are %+v", letters)
	}
	link := strings.TrimPrefix(letters[0].Values["link"], "https://pagamenti.example")
	// Programs that look at mails open links: looking changes nothing.
	phone := s.browser()
	confirm := phone.get(link).is(200, "/area-riservata/email").says("nuova@example.org")
	b.get("/area-riservata").says("mario.rossi@example.org")
	confirm.submit("Conferma l’indirizzo").is(200, "/accesso")
	b.get("/area-riservata").says("nuova@example.org")
	phone.get(link).is(404, "/area-riservata/email").says("Questo link non vale più")
	phone.get("/area-riservata/email?token=inventato").is(404, "/area-riservata/email").says("Questo link non vale più")
	if letters := s.letters(); len(letters) != 1 || letters[0].To != "mario.rossi@example.org" {
		t.Errorf("the old address is told %+v", letters)
	}
	b.get("/area-riservata").submit("Cambia email", "nuova_email", "terza@example.org", "password", gatewaytest.Password)
	link = strings.TrimPrefix(s.letters()[0].Values["link"], "https://pagamenti.example")
	s.Time.Advance(24 * time.Hour)
	phone.get(link).is(404, "/area-riservata/email")
}

func TestSessionsAreListedAndEnded(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Family()
	here, there, third := s.browser(), s.browser(), s.browser()
	here.login("mario.rossi")
	there.login("mario.rossi")
	third.login("mario.rossi")
	p := here.get("/area-riservata").says("Questo dispositivo")
	if got := len(all(p.doc, func(n *html.Node) bool { return strings.HasPrefix(attr(n, "id"), "sessione-") })); got != 3 {
		t.Fatalf("%d sessions are listed, want 3", got)
	}
	p.submit("Chiudi").says("L’accesso è stato chiuso")
	alive := 0
	for _, b := range []*browser{there, third} {
		if b.get("/avvisi").url.Path == "/avvisi" {
			alive++
		}
	}
	if alive != 1 {
		t.Errorf("%d of two other sessions live, want 1", alive)
	}
	here.get("/area-riservata").submit("Chiudi tutti gli altri")
	for _, b := range []*browser{there, third} {
		b.get("/avvisi").is(200, "/accesso")
	}
	here.get("/avvisi").is(200, "/avvisi")

	// A new password ends all others, log-out its own.
	there.login("mario.rossi")
	here.get("/area-riservata").submit("Cambia password", "vecchia_password", gatewaytest.Password, "nuova_password", "Nuovissima1", "conferma_password", "Nuovissima1").is(200, "/area-riservata")
	there.get("/avvisi").is(200, "/accesso")
	here.get("/avvisi").is(200, "/avvisi")
	if logins, err := s.Logins(context.Background(), accountID(s, "mario.rossi", "Nuovissima1")); err != nil || len(logins) != 1 {
		t.Errorf("%d log-ins live, %v", len(logins), err)
	}
	// Another's session cannot be ended.
	s.FamilyOf("anna.bianchi", code(t, "BNCNNA80A41H501"), "Anna", "Bianchi")
	anna := s.browser()
	anna.login("anna.bianchi")
	logins, err := s.Logins(context.Background(), accountID(s, "mario.rossi", "Nuovissima1"))
	if err != nil {
		t.Fatal(err)
	}
	anna.post("/area-riservata/sessioni", url.Values{"sessione": {logins[0].ID}}).is(200, "/area-riservata")
	here.get("/avvisi").is(200, "/avvisi")
}

func accountID(s *site, username, password string) string {
	s.t.Helper()
	a, err := s.LogIn(context.Background(), username, password)
	if err != nil {
		s.t.Fatal(err)
	}
	return a.ID
}

func TestOwnData(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Family()
	n := s.Issue()
	s.Settle(n, "")
	b := s.browser()
	b.login("mario.rossi")
	p := b.get("/area-riservata/dati.json")
	if p.header.Get("Content-Disposition") != `attachment; filename="dati-personali.json"` {
		t.Errorf("headers %v", p.header)
	}
	var d struct {
		Account  struct{ Username, Email string }
		Children []struct {
			First string `json:"first_name"`
		}
		Notices  []struct{ Number, State string }
		Payments []struct {
			Amount int `json:"amount_cents"`
		}
	}
	if err := json.Unmarshal([]byte(p.body), &d); err != nil {
		t.Fatal(err)
	}
	if d.Account.Username != "mario.rossi" || len(d.Children) != 1 || len(d.Notices) != 1 || d.Notices[0].State != "paid" || len(d.Payments) != 1 || d.Payments[0].Amount != 1650 {
		t.Errorf("data are %+v", d)
	}
	if strings.Contains(p.body, "argon2") {
		t.Error("the password's hash goes along")
	}
	s.browser().get("/area-riservata/dati.json").is(200, "/accesso")
}

func TestDeleteAccount(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Family()
	n := s.Issue()
	s.Settle(n, "")
	b, other := s.browser(), s.browser()
	b.login("mario.rossi")
	other.login("mario.rossi")
	b.get("/area-riservata").submit("Elimina l’account", "password", gatewaytest.Password).is(400, "/area-riservata/elimina").says("metti la spunta")
	b.get("/area-riservata").submit("Elimina l’account", "conferma", "si", "password", "Sbagliata1").is(400, "/area-riservata/elimina").says("La password non è corretta")
	b.get("/area-riservata").submit("Elimina l’account", "conferma", "si", "password", gatewaytest.Password).is(200, "/")
	b.get("/avvisi").is(200, "/accesso").submit("Accedi", "username", "mario.rossi", "password", gatewaytest.Password).is(401, "/accesso")
	other.get("/avvisi").is(200, "/accesso")
	// The notice and its receipt are the school's.
	if got := s.State(n); got != gateway.NoticePaid {
		t.Errorf("notice is %s", got)
	}
}

// A session that ends in the middle loses nothing of a family's cart.
func TestBasketOutlivesTheSession(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Family()
	trip, book := s.Issue(), s.Issue(described("Libri"))
	b := s.browser()
	b.login("mario.rossi")
	b.get("/avvisi").within(anchor(trip)).submit("Aggiungi al carrello")
	pay := b.get("/carrello/pagamento")
	s.Time.Advance(20 * time.Minute)
	b.client.Jar.SetCookies(mustURL(t, s.url), []*http.Cookie{{Name: "nodogate", Path: "/", MaxAge: -1}})
	asked := pay.submit("Paga").is(200, "/accesso").says("la sessione è scaduta")
	asked.submit("Accedi", "username", "mario.rossi", "password", gatewaytest.Password).is(200, "/carrello").says("Viaggio di istruzione 3B", "€ 16,50")
	// On another device too, together with what a guest chose there.
	phone := s.browser()
	phone.get(payURL(book)).submit("Aggiungi al carrello")
	phone.login("mario.rossi")
	phone.get("/carrello").says("Viaggio di istruzione 3B", "Libri", "€ 33,00")
	phone.get("/carrello").within(anchor(trip)).submit("Rimuovi").saysNot("Viaggio")
	third := s.browser()
	third.login("mario.rossi")
	third.get("/carrello").says("Libri").saysNot("Viaggio")
}

// Every public page stands in every language, and says so.
func TestPublicPages(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, lang := range []string{"it", "en", "de", "fr", "sl"} {
		b := s.browser()
		b.speaks = lang
		var seen []string
		for _, path := range []string{"/", "/accesso", "/paga", "/versamenti-volontari", "/assistenza", "/faq", "/manuale", "/privacy", "/termini", "/accessibilita", "/servizi-di-pagamento", "/carrello"} {
			p := b.get(path).is(200, path)
			if got := attr(all(p.doc, tag("html"))[0], "lang"); got != lang {
				t.Errorf("%s in %s speaks %s", path, lang, got)
			}
			title := text(all(p.doc, tag("title"))[0])
			if slices.Contains(seen, title) {
				t.Errorf("%s in %s has the title of another page: %s", path, lang, title)
			}
			seen = append(seen, title)
		}
	}
}

// A class representative sees names, amounts and states of the class, and
// nothing to open.
func TestClass(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Family()
	b := s.browser()
	b.login("mario.rossi")
	b.get("/classe").says("Nessuna scuola ti ha indicato come rappresentante")
	paid := s.Issue()
	other := s.Issue(func(n *gateway.NewNotice) {
		n.DebtorCode, n.DebtorName = string(code(t, "BNCLCU12B02H501")), "Luca Bianchi"
	})
	s.Issue(func(n *gateway.NewNotice) { n.Class, n.DebtorName = "1A", "Anna Neri" })
	s.Settle(paid, "")
	if _, _, err := s.Delegate(context.Background(), gatewaytest.Operator, gatewaytest.SchoolCode, "3B", gateway.NewPayer{
		ID: "mario.rossi", Code: string(gatewaytest.ParentCode), FirstName: "Mario", LastName: "Rossi", Email: "m@example.org",
	}); err != nil {
		t.Fatal(err)
	}
	if got := b.get("/").links("La tua classe"); len(got) != 1 {
		t.Errorf("home leads to the class by %q", got)
	}
	p := b.get("/classe").says("Classe 3B", "IC 6 Grosseto", "Viaggio di istruzione 3B", "pagati 1 su 2, in tutto € 16,50", "Luca Bianchi", "Da pagare", "Maria Rossi", "Pagato").saysNot("Anna Neri", other.Number.String(), "BNCLCU")
	if got := len(all(p.main(), tag("a"))); got != 0 {
		t.Errorf("%d links for a delegate, want none", got)
	}
	if got := b.get("/avvisi/" + string(other.School) + "/" + other.Number.String()).status; got != http.StatusNotFound {
		t.Errorf("another child's notice is %d for the delegate", got)
	}
	s.browser().get("/classe").is(200, "/accesso")
}
