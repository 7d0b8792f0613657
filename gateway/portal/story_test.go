// SPDX-License-Identifier: Apache-2.0

package portal_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
	"github.com/nodogate/nodogate/iuv"
)

// stories are what families come for, each from its first page to its last. They
// are written in the Italian of the pages; see dictionary.
var stories = []struct {
	name string
	tell func(*stage)
}{
	{"register, choose a password, consent", (*stage).registers},
	{"forgotten user name and password", (*stage).forgets},
	{"the code of an invitation", (*stage).isInvited},
	{"nothing to see yet", (*stage).findsNothing},
	{"from log-in to paid", (*stage).pays},
	{"payments, receipts, attestations", (*stage).keepsReceipts},
	{"a class delegate", (*stage).representsAClass},
	{"look at the notices", (*stage).looks},
	{"five notices, and a sixth", (*stage).fillsTheCart},
	{"a provider that does not answer", (*stage).meetsASilentProvider},
	{"Paga pressed twice, and back", (*stage).pressesTwice},
	{"a session that ends with a full cart", (*stage).staysAwayTooLong},
	{"two tabs", (*stage).hasTwoTabs},
	{"a refund", (*stage).isRefunded},
	{"voluntary contributions", (*stage).gives},
	{"consents withdrawn", (*stage).withdraws},
	{"a question", (*stage).asks},
	{"the reserved area", (*stage).looksAfterTheAccount},
	{"an account deleted", (*stage).leaves},
	{"without an account", (*stage).paysAsAGuest},
	{"the pages for everybody", (*stage).leafsThrough},
}

// Every story in two languages, with scripts on a phone and without them: one
// browser, four windows, a site each. Where all must be proved all four are told,
// elsewhere two that between them have both languages and both kinds of browser.
// With -update those with scripts leave the pictures of docs/screens and of the
// manual.
func TestStories(t *testing.T) {
	t.Parallel()
	browser := chromium(t)
	browser, closeAll := chromedp.NewContext(browser)
	t.Cleanup(closeAll)
	if err := chromedp.Do(browser); err != nil {
		t.Fatal(err)
	}
	for _, lang := range []string{"it", "de"} {
		for _, script := range []bool{true, false} {
			if script != (lang == "it") && !*update && os.Getenv("NODOGATE_TEST_STRICT") == "" {
				continue
			}
			t.Run(fmt.Sprintf("%s, scripts %v", lang, script), func(t *testing.T) {
				t.Parallel()
				s := newStage(t, browser, lang, script)
				s.cast()
				for _, story := range stories {
					s.tell(story.name, story.tell)
				}
				for _, address := range s.tab.foreign {
					t.Errorf("a page asked for %s", address)
				}
			})
		}
	}
}

const luciaMail = "lucia.verdi@example.org"

// cast brings in the schools and people. Mario Rossi has an account, and a child
// in each of two schools; Lucia Verdi is known to the school by her address, and
// Pina Neri by her name alone.
func (s *stage) cast() {
	ctx := context.Background()
	s.must(s.ChangeSchool(ctx, gatewaytest.Operator, gatewaytest.SchoolCode, func(_ gateway.School, in *gateway.NewSchool) error {
		in.Town, in.Mechanograph, in.HelpText = "Grosseto", "GRIC83000X", "Segreteria, dal lunedì al venerdì 10-12, telefono 0564 000001"
		return nil
	}))
	_, _, err := s.Service.AddSchool(ctx, gatewaytest.Operator, gateway.NewSchool{
		Code: string(gatewaytest.OtherCode), Name: "Liceo Galileo Galilei", IBAN: gatewaytest.IBAN, Segregation: "02", Station: string(gatewaytest.OtherCode) + "_01",
		Town: "Follonica", Mechanograph: "GRPS01000A",
	})
	s.must(nil, err)
	maria := gateway.Pupil{School: gatewaytest.SchoolCode, ID: "p1", Code: gatewaytest.PupilCode, FirstName: "Maria", LastName: "Rossi", Class: "3B", SchoolYear: "2026/27"}
	s.family("mario.rossi", gatewaytest.ParentCode, "Mario", "Rossi", maria,
		gateway.Pupil{School: gatewaytest.OtherCode, ID: "p2", Code: s.luca(), FirstName: "Luca", LastName: "Rossi", Class: "1A", SchoolYear: "2026/27"})
	for _, p := range []gateway.Payer{
		{ID: "lucia", Code: code(s.t, "VRDLCU82H55E202"), FirstName: "Lucia", LastName: "Verdi", Email: luciaMail},
		{ID: "pina", Code: code(s.t, "NREPNI55C48H501"), FirstName: "Pina", LastName: "Neri"},
	} {
		p.School, p.Language = gatewaytest.SchoolCode, "it"
		s.must(nil, s.PutPayer(ctx, gatewaytest.Operator, p, maria.ID, "guardian"))
	}
}

// family is FamilyOf for people who speak the language of the stage.
func (s *stage) family(username string, code gateway.FiscalCode, first, last string, pupils ...gateway.Pupil) {
	s.t.Helper()
	s.must(nil, s.SetLanguage(context.Background(), s.FamilyOf(username, code, first, last, pupils...).ID, s.lang))
}

func (s *stage) luca() gateway.FiscalCode { return code(s.t, "RSSLCU12B02H501") }

func (s *stage) must(_ any, err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// issue makes a notice for Maria, issueLuca one for Luca at the other school.
func (s *stage) issue(what string, change ...func(*gateway.NewNotice)) gateway.Notice {
	s.t.Helper()
	return s.Issue(append([]func(*gateway.NewNotice){described(what), s.numbered("01")}, change...)...)
}

// numbered gives numbers in turn, so that pictures show the same at each run.
func (s *stage) numbered(segregation string) func(*gateway.NewNotice) {
	s.t.Helper()
	seg, err := iuv.ParseSegregation(segregation)
	s.must(nil, err)
	*s.issued++
	number := iuv.New(seg, 2026_1123_00000+*s.issued).String()
	return func(n *gateway.NewNotice) { n.Number = number }
}

func (s *stage) issueLuca(what string) gateway.Notice {
	s.t.Helper()
	return s.IssueAt(gatewaytest.OtherCode, described(what), s.numbered("02"), func(n *gateway.NewNotice) {
		n.DebtorCode, n.DebtorName, n.Class, n.Amount, n.DueDate = string(s.luca()), "Luca Rossi", "1A", 850, "2026-12-05"
	})
}

// done pays what a story leaves open, so that the next begins with an empty list.
func (s *stage) done(list ...gateway.Notice) {
	s.t.Helper()
	for _, n := range list {
		if s.State(n) != gateway.NoticePaid {
			s.Settle(n, "")
		}
	}
}

func (s *stage) registers() {
	trip := s.issue("Viaggio di istruzione 3B")
	s.open("/")
	s.wide("benvenuto")
	s.click("Registrati")
	s.sees("Passo {n} di 4", "n", "1")
	lucia := string(code(s.t, "VRDLCU82H55E202"))
	s.fill("Codice fiscale", lucia[:15]+"A")
	if s.script {
		// Work done in silence takes the place of the question.
		s.until("the question is gone", `return document.getElementById("domanda").hidden;`)
	} else {
		s.fill("Domanda di controllo", "cento")
		s.click("Avanti")
		s.sees("La risposta alla domanda di controllo non è giusta: rispondi alla nuova domanda.")
		s.fill("Domanda di controllo", s.sum())
	}
	s.picture("registrazione-1")
	s.click("Avanti")
	s.sees("Il codice fiscale non è giusto: controlla i 16 caratteri.")
	s.readsNot(s.say("Domanda di controllo"))
	s.fill("Codice fiscale", lucia)
	s.click("Avanti")

	// Back with half of it typed: all of it is there again.
	s.sees("Passo {n} di 4", "n", "2")
	s.fill("field.first_name|Nome", "Luisa")
	s.fill("Email", luciaMail)
	s.click("Torna indietro")
	s.sees("Passo {n} di 4", "n", "1")
	s.keeps("Codice fiscale", lucia)
	s.click("Avanti")
	s.keeps("field.first_name|Nome", "Luisa")
	s.keeps("Email", luciaMail)

	s.fill("Cognome", "Verdi")
	s.fill("Data di nascita", "15/06/1982")
	s.pick("Femmina")
	s.keeps("Nazione di nascita", "Italia")
	s.fill("Regione di nascita", "Toscana")
	s.fill("Provincia di nascita", "Grosseto")
	s.fill("Comune di nascita", "Grosseto")
	s.fill("Conferma email", luciaMail)
	s.pick("register.terms|Accetto")
	s.pick("Presa visione")
	s.click("Avanti")
	s.sees("Il nome non corrisponde al codice fiscale.")
	s.keeps("Cognome", "Verdi")
	s.picture("registrazione-2-errore")
	s.fill("field.first_name|Nome", "Lucia")
	s.click("Avanti")
	s.sees("Passo {n} di 4", "n", "3")
	s.reads("Lucia", "Verdi", "15/06/1982", "Grosseto", luciaMail)
	s.picture("registrazione-3")
	s.click("Torna indietro")
	s.keeps("Comune di nascita", "Grosseto")
	s.keeps("Conferma email", luciaMail)
	s.click("Avanti")
	s.click("Conferma i tuoi dati")
	s.sees("Controlla la posta")
	s.sees("Passo {n} di 4", "n", "4")

	first := s.mail(luciaMail, "/conferma?token=")
	if s.lang == "it" && first.Subject != "Conferma registrazione" {
		s.t.Errorf("the first mail is %q", first.Subject)
	}
	s.open("/conferma?token=inventato")
	s.sees("Questo link non è più valido. Ripeti la registrazione: ne riceverai uno nuovo.")
	s.follow(first)
	s.sees("Il tuo indirizzo email è confermato.")
	second := s.mail(luciaMail, "Password: ")
	if s.lang == "it" && second.Subject != "Creazione utenza" {
		s.t.Errorf("the second mail is %q", second.Subject)
	}
	username, provisional := s.line(second, "Username"), s.line(second, "Password")

	// The provisional password opens one page.
	s.in("main").click("Accedi")
	s.login(username, provisional)
	s.open("/avvisi")
	s.sees("La password che hai ricevuto è provvisoria: prima di continuare scegline una tua.")
	s.fill("Vecchia password", provisional)
	s.fill("Nuova password", "lucia")
	s.rules("lower")
	s.fill("Nuova password", "Lucia-1982")
	s.fill("Conferma nuova password", "Lucia-198")
	s.rules("length", "digit", "upper", "lower")
	s.picture("cambio-password")
	s.fill("Conferma nuova password", "Lucia-1982")
	s.click("Cambia password")
	s.sees("La nuova password è troppo facile da indovinare: evita parole comuni e il tuo nome.")
	s.fill("Vecchia password", provisional)
	s.fill("Nuova password", "Tre-Gatti-9")
	s.fill("Conferma nuova password", "Tre-Gatti-9")
	s.rules("length", "digit", "upper", "lower", "same")
	s.click("Cambia password")

	// Asked once for consent, and in.
	s.sees("Prima di cominciare ti chiediamo due cose. Puoi cambiare idea quando vuoi.")
	s.picture("consensi-prima")
	s.click("consents.accept|Accetto")
	s.sees("Buongiorno, {name}", "name", "Lucia Verdi")
	s.reads(trip.Description)
	s.click("Esci")
	s.login(username, "Tre-Gatti-9")
	s.sees("Buongiorno, {name}", "name", "Lucia Verdi")
	s.done(trip)
}

// sum answers the control question in the page's words.
func (s *stage) sum() string {
	s.t.Helper()
	asked, err := eval[string](s, `return document.getElementById("controllo-aiuto").textContent;`)
	if err != nil {
		s.t.Fatal(err)
	}
	form := regexp.QuoteMeta(s.say("Quanto fa {a} più {b}?"))
	m := regexp.MustCompile(strings.NewReplacer(`\{a\}`, `(\pL+)`, `\{b\}`, `(\pL+)`).Replace(form)).FindStringSubmatch(asked)
	if m == nil {
		s.t.Fatalf("the question is %q", asked)
	}
	sum := 0
	for i := 1; i <= 9; i++ {
		for _, word := range m[1:] {
			if s.words.to[fmt.Sprintf("number.%d", i)] == word {
				sum += i
			}
		}
	}
	return s.words.to[fmt.Sprintf("number.%d", sum)]
}

// rules are the parts of the rule for passwords that are shown as kept. Without
// scripts there is the sentence.
func (s *stage) rules(kept ...string) {
	s.t.Helper()
	if !s.script {
		s.until("no list of rules", `return document.querySelector(".rules").hidden;`)
		return
	}
	s.until(fmt.Sprintf("rules kept: %q", kept), fmt.Sprintf(`return [...document.querySelectorAll(".rules li.met")].map(e => e.dataset.rule).join() === %q;`, strings.Join(kept, ",")))
}

func (s *stage) forgets() {
	s.open("/accesso")
	s.click("Username dimenticato?")
	s.fill("Codice fiscale", string(gatewaytest.ParentCode))
	s.click("Invia")
	s.sees("Controlla la posta")
	if got := s.line(s.mail("mario.rossi@example.org", "Username: "), "Username"); got != "mario.rossi" {
		s.t.Errorf("the mail says %q", got)
	}
	s.click("Vai all’accesso")
	s.click("Password dimenticata?")
	s.picture("recupero")
	s.fill("Username", "mario.rossi")
	s.click("Invia")
	s.sees("Controlla la posta")
	m := s.mail("mario.rossi@example.org", "/accesso/recupero?token=")
	s.follow(m)
	s.sees("Scegli una nuova password")
	s.fill("Nuova password", "Passw0rd-di-prova")
	s.fill("Conferma nuova password", "un’altra")
	s.click("Invia")
	s.sees("Le due nuove password non sono uguali.")
	s.fill("Nuova password", gatewaytest.Password)
	s.fill("Conferma nuova password", gatewaytest.Password)
	s.rules("length", "digit", "upper", "lower", "same")
	s.click("Invia")
	s.sees("La password è stata cambiata.")
	s.login("mario.rossi", gatewaytest.Password)
	s.sees("Buongiorno, {name}", "name", "Mario Rossi")
	s.follow(m)
	s.sees("Questo link non è più valido: vale un’ora e si usa una volta sola.")
}

func (s *stage) isInvited() {
	ctx := context.Background()
	trip := s.issue("Viaggio di istruzione 3B")
	_, err := s.AddAccount(ctx, gateway.Account{Username: "pina.neri", Language: s.lang, Code: code(s.t, "NREPNI55C48H501"), FirstName: "Pina", LastName: "Neri", ConsentsAt: s.Now()}, gatewaytest.Password)
	s.must(nil, err)
	invitation, _, err := s.Invite(ctx, gatewaytest.Operator, gatewaytest.SchoolCode, "pina")
	s.must(nil, err)
	s.enter("pina.neri", gatewaytest.Password)
	s.sees("Hai una lettera della scuola con un codice di invito? Scrivilo qui.")
	s.readsNot(trip.Description, "Maria")
	s.picture("invito")
	s.fill("Codice di invito", "AAAA-BBBB-CCCC-DDDD")
	s.click("Collega")
	s.sees("Il codice di invito non è valido, è scaduto o è di un’altra persona. Controlla di averlo copiato bene o chiedine uno nuovo alla segreteria.")
	s.fill("Codice di invito", strings.ToLower(invitation))
	s.click("Collega")
	s.sees("Il tuo accesso è collegato: ora vedi gli avvisi dei tuoi figli.")
	s.reads(trip.Description, "Maria Rossi")
	s.done(trip)
}

func (s *stage) findsNothing() {
	s.family("anna.bianchi", code(s.t, "BNCNNA80A41H501"), "Anna", "Bianchi",
		gateway.Pupil{School: gatewaytest.SchoolCode, ID: "p9", Code: code(s.t, "BNCLCU12B02H501"), FirstName: "Luca", LastName: "Bianchi", Class: "1A", SchoolYear: "2026/27"})
	s.enter("anna.bianchi", gatewaytest.Password)
	s.sees("Non hai avvisi da pagare.")
	s.click("Avvisi")
	s.sees("Nessuna scuola ti ha ancora mandato un avviso.")
	s.picture("avvisi-nessuno")
	s.in("nav").click("Pagamenti")
	s.sees("Non ci sono ancora pagamenti. Appena un avviso è pagato, qui trovi la ricevuta, anche se lo hai pagato in banca o dal tabaccaio.")
	s.open("/attestazioni")
	s.sees("Non ci sono ancora pagamenti da attestare. Appena un avviso è pagato, l’anno compare qui.")
	s.open("/carrello")
	s.sees("Il carrello è vuoto.")
	s.open("/classe")
	s.sees("Nessuna scuola ti ha indicato come rappresentante di classe quest’anno, o la tua classe non ha ancora avvisi. Se dovresti esserlo, chiedi alla segreteria.")
}

// pays is the story the portal is for: from log-in to paid in eight clicks and a
// minute.
func (s *stage) pays() {
	trip, insurance := s.issue("Viaggio di istruzione 3B"), s.issueLuca("Assicurazione integrativa 2026/27")
	s.open("/accesso")
	start := time.Now()
	*s.clicks = 0
	s.login("mario.rossi", gatewaytest.Password)
	s.sees("In scadenza")
	s.wide("home")
	s.add(insurance)
	s.sees("Avviso aggiunto al carrello.")
	s.add(trip)
	s.picture("home-telefono")
	s.in("main").click("Vai al carrello")
	s.reads(trip.Description, insurance.Description, s.euro(2500))
	s.picture("carrello", true)
	s.click("Vai al pagamento")
	s.reads(s.euro(2600), s.euro(2650)) // the cheapest is ticked
	s.pick("Carta di pagamento")
	s.picture("pagamento", true)
	s.click("checkout.pay|Paga")
	s.reads("Banca di prova")
	s.press("Paga qui")
	s.sees("Pagamento in verifica")
	s.sees("In verifica")
	s.picture("esito-in-verifica")
	s.settle()
	// By itself, with scripts or without.
	s.until("paid by itself", fmt.Sprintf(`return whole && flat(document.querySelector("h1").textContent) === %q;`, s.say("Pagato")))
	if took := time.Since(start); took > time.Minute {
		s.t.Errorf("from log-in to paid in %s, want at most a minute", took)
	}
	if *s.clicks > 8 {
		s.t.Errorf("from log-in to paid in %d clicks, want at most 8", *s.clicks)
	}
	s.picture("esito", true)
	if pdf := s.fetch("Scarica la ricevuta"); !strings.HasPrefix(pdf, "%PDF") {
		s.t.Errorf("the receipt begins with %.20q", pdf)
	}
	// The back button finds nothing left to pay.
	s.back()
	s.reads("Banca di prova")
	s.open("/carrello/pagamento")
	s.sees("Il carrello è vuoto.")
	if got := len(s.PSPs.Orders()); got != 1 {
		s.t.Errorf("%d orders, want 1", got)
	}
}

func (s *stage) looks() {
	trip, insurance := s.issue("Visita al museo"), s.issueLuca("Laboratorio di teatro")
	late := s.issue("Corso di nuoto", func(n *gateway.NewNotice) { n.DueDate = "2026-10-31" })
	s.enter("mario.rossi", gatewaytest.Password)
	s.in("nav").click("Avvisi")
	// By child, and below by school.
	s.until("grouped", `return [...document.querySelectorAll("main h2, main h3")].map(e => flat(e.textContent)).join() === "Luca Rossi,Liceo Galileo Galilei,Maria Rossi,IC 6 Grosseto";`)
	s.reads(s.say("Un avviso è scaduto senza pagamento: vedi tutti gli avvisi."))
	s.readsNot(late.Description)
	s.picture("avvisi", true)
	s.click("Tutti")
	s.sees("Scaduto")
	s.reads(late.Description)
	s.press(late.Description)
	s.sees("Questo avviso è scaduto e non si può pagare qui: chiedi alla scuola.")
	s.reads("0564 000001")
	s.readsNot(s.say("Aggiungi al carrello"))
	s.click("Torna agli avvisi")
	s.press(trip.Description)
	s.reads(trip.Number.Grouped(), s.euro(1650), s.day("2026-12-31"), "Maria Rossi")
	s.sees("La scuola ha emesso l’avviso.")
	s.picture("avviso")
	if pdf := s.fetch("Scarica l'avviso"); !strings.HasPrefix(pdf, "%PDF notice "+trip.Number.String()) {
		s.t.Errorf("the notice begins with %.60q", pdf)
	}
	s.done(trip, insurance)
	s.must(s.Cancel(context.Background(), gatewaytest.Operator, late.School, late.Number))
}

func (s *stage) fillsTheCart() {
	var list []gateway.Notice
	for i := range 6 {
		list = append(list, s.issue(fmt.Sprintf("Mensa, quota %d", i+1)))
	}
	s.enter("mario.rossi", gatewaytest.Password)
	s.open("/avvisi")
	for _, n := range list[:5] {
		s.add(n)
		s.sees("Avviso aggiunto al carrello.")
	}
	s.add(list[5])
	s.sees("Il carrello può contenere al massimo cinque avvisi. Paga questi, poi aggiungi gli altri.")
	s.reads(s.euro(5 * 1650))
	s.picture("carrello-pieno")
	s.in("#" + anchor(list[1])).click("Rimuovi")
	s.sees("Avviso tolto dal carrello.")
	s.reads(s.euro(4 * 1650))
	for _, n := range []gateway.Notice{list[0], list[2], list[3], list[4]} {
		s.in("#" + anchor(n)).click("Rimuovi")
	}
	s.sees("Il carrello è vuoto.")
	s.done(list...)
}

func (s *stage) meetsASilentProvider() {
	n := s.issue("Mensa di dicembre")
	s.enter("mario.rossi", gatewaytest.Password)
	s.add(n)
	s.open("/carrello/pagamento")
	// It falls while the family chooses.
	s.PSPs.Down("BANCAUNO", true)
	defer s.PSPs.Down("BANCAUNO", false)
	s.pickNamed("Banca Uno")
	s.click("checkout.pay|Paga")
	s.sees("Il servizio scelto non risponde in questo momento. Non ti è stato addebitato nulla: scegline un altro o riprova più tardi.")
	s.sees("non risponde in questo momento, riprova più tardi")
	s.until("another is ticked", `return document.querySelector("input[name=psp_card]:checked").value === "CARTASI" && document.querySelector("input[value=BANCAUNO]").disabled;`)
	s.picture("pagamento-servizio-fermo")
	s.click("checkout.pay|Paga")
	s.reads("Banca di prova")
	// Given up there: said so, and free to go on.
	s.press("Annulla")
	s.sees("Il servizio di pagamento ci dice che il pagamento è stato annullato.")
	s.click("Riprendi il pagamento")
	s.press("Paga qui")
	s.sees("In verifica")
	s.settle()
	s.click("Aggiorna")
	s.sees("Il pagamento è arrivato alla scuola: qui sotto trovi le ricevute.")
}

func (s *stage) pressesTwice() {
	n := s.issue("Libri di testo")
	s.enter("mario.rossi", gatewaytest.Password)
	s.add(n)
	s.open("/carrello/pagamento")
	before := len(s.PSPs.Orders())
	s.until("press twice", fmt.Sprintf(`const e = whole && called("button", %q); if (!e) return false; e.click(); e.click(); return true;`, s.say("checkout.pay|Paga")))
	s.reads("Banca di prova")
	s.back()
	// The page as it was, or a new one: neither pays again.
	s.until("back", `return whole && location.pathname === "/carrello/pagamento";`)
	if strings.Contains(s.shown(), s.say("Come vuoi pagare?")) {
		s.click("checkout.pay|Paga")
		s.reads("Banca di prova")
	} else {
		s.sees("Il carrello è vuoto.")
	}
	if got := len(s.PSPs.Orders()) - before; got != 1 {
		s.t.Errorf("%d orders, want 1", got)
	}
	// And from the list one comes back to the payment that is open.
	s.open("/avvisi")
	s.sees("In verifica")
	s.in("#" + anchor(n)).click("Vedi il pagamento")
	s.sees("Pagamento in verifica")
	s.settle()
}

func (s *stage) staysAwayTooLong() {
	n := s.issue("Quota del coro")
	s.enter("mario.rossi", gatewaytest.Password)
	s.add(n)
	s.open("/carrello")
	s.forget()
	s.click("Vai al pagamento")
	s.sees("Se avevi già scelto degli avvisi, la sessione può essere scaduta: accedi di nuovo, o cerca l’avviso con il suo codice.")
	s.in("main").click("Accedi")
	s.sees("Per continuare accedi: la sessione è scaduta o non hai ancora effettuato l’accesso.")
	s.sees("Appena entri ritrovi gli avvisi che avevi nel carrello.")
	s.login("mario.rossi", gatewaytest.Password)
	s.at("/carrello")
	s.reads(n.Description, s.euro(1650))
	s.open("/carrello/pagamento")
	s.forget()
	s.click("checkout.pay|Paga")
	s.sees("Per continuare accedi: la sessione è scaduta o non hai ancora effettuato l’accesso.")
	s.picture("sessione-scaduta")
	s.login("mario.rossi", gatewaytest.Password)
	s.reads(n.Description)
	s.in("#" + anchor(n)).click("Rimuovi")
	s.done(n)
}

func (s *stage) hasTwoTabs() {
	trip, book := s.issue("Visita al planetario"), s.issue("Dizionario")
	s.enter("mario.rossi", gatewaytest.Password)
	s.add(trip)
	s.open("/carrello/pagamento")
	other := *s
	other.tab = openTab(s.t, s.tab.ctx)
	other.open("/avvisi")
	other.reads(s.say("Nel carrello")) // the same basket
	other.add(book)
	other.sees("Avviso aggiunto al carrello.")
	before := len(s.PSPs.Orders())
	s.click("checkout.pay|Paga")
	s.sees("Il carrello è cambiato mentre sceglievi: controlla gli avvisi e conferma di nuovo.")
	s.reads(s.euro(3300))
	if got := len(s.PSPs.Orders()) - before; got != 0 {
		s.t.Errorf("%d orders, want none", got)
	}
	s.click("checkout.pay|Paga")
	s.reads("Banca di prova")
	// What one tab is paying the other cannot.
	other.open("/carrello")
	other.sees("Il carrello è vuoto.")
	s.press("Paga qui")
	s.settle()
	other.open("/avvisi")
	other.sees("Non c’è niente da pagare.")
}

func (s *stage) keepsReceipts() {
	n := s.issue("Abbonamento al teatro")
	s.Settle(n, "")
	s.enter("mario.rossi", gatewaytest.Password)
	s.in("nav").click("Pagamenti")
	s.reads(n.Description, s.say("pagato il {day}", "day", s.day("2026-11-23")), s.say("con {psp}", "psp", "Banca Uno"))
	s.picture("pagamenti")
	if pdf := s.fetch("Scarica la ricevuta"); !strings.HasPrefix(pdf, "%PDF of rt-") {
		s.t.Errorf("the receipt begins with %.20q", pdf)
	}
	if pdf := s.fetch("Scarica l'attestazione"); !strings.HasPrefix(pdf, "%PDF 0 of ") {
		s.t.Errorf("the attestation begins with %.20q", pdf)
	}
	s.press(n.Description)
	s.sees("Ricevuta di pagamento")
	s.reads("rt-"+n.Number.String(), "Maria Rossi")
	s.picture("ricevuta")
	// The notice stands beside its receipt.
	s.press(n.Number.Grouped())
	s.sees("È arrivata la ricevuta del pagamento.")
	s.fetch("Scarica la ricevuta")
	s.open("/pagamenti")
	s.click("Attestazioni per la dichiarazione dei redditi")
	s.reads("2026", "Maria Rossi", "Luca Rossi")
	s.wide("attestazioni")
	if pdf := s.fetch("Scarica l'attestazione"); !strings.HasPrefix(pdf, "%PDF 2026 of ") {
		s.t.Errorf("the attestation begins with %.20q", pdf)
	}
}

func (s *stage) isRefunded() {
	ctx := context.Background()
	n := s.issue("Gita annullata")
	r := s.Settle(n, "")
	clerk, head := gateway.Actor{Kind: "client", Name: "clerk"}, gateway.Actor{Kind: "client", Name: "head"}
	back, err := s.RequestRefund(ctx, clerk, n.School, gateway.NewRefund{Receipt: r.ID, Amount: 650, Reason: "pullman non partito", IBAN: gatewaytest.IBAN, Holder: "Mario Rossi"})
	s.must(nil, err)
	s.must(s.ChangeRefund(ctx, head, n.School, back.ID, gateway.RefundChange{State: gateway.RefundApproved}))
	s.enter("mario.rossi", gatewaytest.Password)
	s.open("/pagamenti/" + string(n.School) + "/" + r.ID)
	s.sees("La scuola ha approvato un rimborso di {amount}: appena è eseguito lo vedi qui.", "amount", s.euro(650))
	s.must(s.ChangeRefund(ctx, head, n.School, back.ID, gateway.RefundChange{State: gateway.RefundExecuted}))
	s.follow(s.mail("mario.rossi@example.org", " 6,50 €"))
	s.reads(n.Description)
	s.open("/pagamenti")
	s.sees("rimborsati {amount}", "amount", s.euro(650))
	s.press(n.Description)
	s.sees("La scuola ha rimborsato {amount} il {day}.", "amount", s.euro(650), "day", s.day("2026-11-23"))
	s.picture("rimborso")
}

func (s *stage) gives() {
	ctx := context.Background()
	due := "2027-06-30"
	for _, c := range []gateway.NewContribution{
		{Description: "Orto della scuola", Amount: 2000, DueDate: due},
		{Description: "Biblioteca", Amount: 2000, Free: true, Min: 500, DueDate: due},
		{Description: "Fondo di solidarietà", Amount: 1000, Free: true, DueDate: due},
	} {
		s.must(s.OpenContribution(ctx, gatewaytest.Operator, gatewaytest.SchoolCode, c))
	}
	s.open("/")
	s.in("nav").click("Versamenti volontari")
	for _, query := range []string{"gric83000x", "GROSSETO", "ic 6"} {
		s.fill("Nome, comune o codice meccanografico", query)
		s.click("Cerca la scuola")
		s.reads("IC 6 Grosseto", "GRIC83000X")
	}
	s.wide("versamenti")
	s.fill("Nome, comune o codice meccanografico", "Timbuctù")
	s.click("Cerca la scuola")
	s.sees("Nessuna scuola con versamenti aperti corrisponde a «{what}». Controlla come è scritto, oppure chiedi alla scuola se raccoglie contributi qui.", "what", "Timbuctù")

	s.enter("mario.rossi", gatewaytest.Password)
	s.in("nav").click("Versamenti volontari")
	s.sees("Le tue scuole")
	s.in("main").press("IC 6 Grosseto")
	s.picture("versamenti-scuola")
	s.press("Orto della scuola") // fixed
	s.pickNamed("Maria Rossi")
	s.click("Aggiungi al carrello")
	s.reads("Orto della scuola", s.say("per {who}", "who", "Maria Rossi"), s.euro(2000))
	s.open("/versamenti-volontari/" + string(gatewaytest.SchoolCode))
	s.press("Biblioteca") // at least
	s.fill("Importo in euro", "4,99")
	s.click("Aggiungi al carrello")
	s.sees("L’importo minimo è {least}.", "least", s.euro(500))
	s.keeps("Importo in euro", "4,99")
	s.picture("versamento-errore")
	s.fill("Importo in euro", "7,5")
	s.click("Aggiungi al carrello")
	s.reads("Biblioteca", s.euro(750))
	s.open("/versamenti-volontari/" + string(gatewaytest.SchoolCode))
	s.press("Fondo di solidarietà") // as one likes, for somebody else
	s.pick("Un’altra persona")
	s.fill("Nome e cognome dell’alunno", "Nonna Pina")
	s.fill("Importo in euro", "12")
	s.click("Aggiungi al carrello")
	s.reads("Fondo di solidarietà", s.euro(2000+750+1200))
	s.click("Vai al pagamento")
	s.click("checkout.pay|Paga")
	s.press("Paga qui")
	s.settle()
	s.sees("Il pagamento è arrivato alla scuola: qui sotto trovi le ricevute.")
}

func (s *stage) representsAClass() {
	_, _, err := s.Delegate(context.Background(), gatewaytest.Operator, gatewaytest.SchoolCode, "3B", gateway.NewPayer{
		ID: "mario.rossi", Code: string(gatewaytest.ParentCode), FirstName: "Mario", LastName: "Rossi", Email: "mario.rossi@example.org",
	})
	s.must(nil, err)
	n := s.issue("Foto di classe")
	other := s.issue("Foto di classe", func(n *gateway.NewNotice) {
		n.DebtorCode, n.DebtorName = string(code(s.t, "BNCLCU12B02H501")), "Luca Bianchi"
	})
	gone := s.issue("Corso di nuoto")
	s.must(s.Cancel(context.Background(), gatewaytest.Operator, gone.School, gone.Number))
	s.Settle(n, "")
	s.enter("mario.rossi", gatewaytest.Password)
	s.click("La tua classe")
	s.sees("Classe {class}", "class", "3B")
	s.reads("Foto di classe", s.say("pagati {paid} su {all}, in tutto {amount}", "paid", "1", "all", "2", "amount", s.euro(1650)))
	s.until("open", `for (const d of document.querySelectorAll("details")) d.open = d.textContent.includes("Foto"); return true;`)
	s.reads("Luca Bianchi", "Maria Rossi")
	s.readsNot(other.Number.String(), "BNCLCU", gone.Description) // cancelled for all
	s.until("nothing to open", `return document.querySelectorAll("main a").length === 0;`)
	s.picture("classe")
}

func (s *stage) withdraws() {
	s.enter("mario.rossi", gatewaytest.Password)
	s.in("nav").click("Consensi")
	s.picture("consensi")
	for range 2 {
		s.click("Ritira il consenso")
		s.sees("La tua scelta è stata salvata.")
	}
	s.readsNot(s.say("Ritira il consenso"))
	s.click("consents.accept|Accetto")
	s.click("consents.accept|Accetto")
	s.readsNot(s.say("Non dato"))
}

func (s *stage) asks() {
	s.enter("mario.rossi", gatewaytest.Password)
	s.in("nav").click("Assistenza")
	s.reads("0564 000001")
	s.choose("Di che cosa si tratta?", "Un pagamento")
	s.fill("La tua richiesta", "Ho pagato due volte la gita: che cosa devo fare?")
	s.keeps("Email", "mario.rossi@example.org")
	s.picture("assistenza")
	s.click("Invia")
	s.sees("Abbiamo ricevuto la tua richiesta. Il suo numero è")
	ticket, err := eval[string](s, `return flat(document.querySelector("#inviata .number").textContent);`)
	s.must(nil, err)
	if m := s.mail("assistenza@pagamenti.example", "due volte"); ticket == "" || !strings.Contains(m.Subject+m.Text, ticket) || m.ReplyTo != "mario.rossi@example.org" {
		s.t.Errorf("ticket %q, mail to the desk: %q, reply to %q\n%s", ticket, m.Subject, m.ReplyTo, m.Text)
	}
}

func (s *stage) looksAfterTheAccount() {
	phone := s.site.browser()
	phone.login("mario.rossi")
	s.enter("mario.rossi", gatewaytest.Password)
	s.in("nav").click("Area riservata")
	s.reads("Maria Rossi", "Luca Rossi", "RSS***01U")
	s.wide("area-riservata")
	email := s.in(`form[action="/area-riservata/email"]`)
	email.fill("Nuova email", "nuova@example.org")
	email.fill("Password", "Sbagliata1")
	s.click("Cambia email")
	s.sees("La password non è corretta.")
	email.keeps("Nuova email", "nuova@example.org")
	email.fill("Password", gatewaytest.Password)
	s.click("Cambia email")
	s.sees("Ti abbiamo mandato un’email al nuovo indirizzo: apri il link che contiene per confermarlo. Fino ad allora resta quello di prima.")
	s.reads("mario.rossi@example.org")
	m := s.mail("nuova@example.org", "/area-riservata/email?token=")
	s.follow(m)
	s.reads("nuova@example.org")
	s.click("Conferma l’indirizzo")
	s.sees("L’indirizzo email è stato cambiato.")
	s.reads("nuova@example.org")
	s.follow(m)
	s.sees("Questo link non vale più: è già stato usato, o sono passate più di 24 ore. Puoi chiederne un altro dall’Area riservata.")

	s.open("/area-riservata")
	s.click("Chiudi tutti gli altri")
	s.sees("L’accesso è stato chiuso.")
	phone.get("/avvisi").is(200, "/accesso")
	password := s.in(`form[action="/cambio-password"]`)
	password.fill("Vecchia password", gatewaytest.Password)
	password.fill("Nuova password", "Tre-Gatti-9")
	password.fill("Conferma nuova password", "Tre-Gatti-9")
	password.click("Cambia password")
	s.sees("La password è stata cambiata.")

	var own struct {
		Account struct{ Username, Email string }
	}
	if err := json.Unmarshal([]byte(s.fetch("Scarica i miei dati")), &own); err != nil || own.Account.Username != "mario.rossi" || own.Account.Email != "nuova@example.org" {
		s.t.Errorf("own data are %+v, %v", own, err)
	}
	password.fill("Vecchia password", "Tre-Gatti-9")
	password.fill("Nuova password", gatewaytest.Password)
	password.fill("Conferma nuova password", gatewaytest.Password)
	password.click("Cambia password")
	s.sees("La password è stata cambiata.")
}

func (s *stage) leaves() {
	s.family("carla.gialli", code(s.t, "GLLCRL80A41H501"), "Carla", "Gialli")
	s.enter("carla.gialli", gatewaytest.Password)
	s.open("/area-riservata")
	form := s.in(`form[action="/area-riservata/elimina"]`)
	form.pick("Sì, voglio eliminare il mio account")
	form.fill("Password", "Sbagliata1")
	form.click("Elimina l’account")
	s.sees("La password non è corretta.")
	form.pick("Sì, voglio eliminare il mio account")
	form.fill("Password", gatewaytest.Password)
	form.click("Elimina l’account")
	s.sees("I pagamenti della scuola, in un posto solo")
	s.enter("carla.gialli", gatewaytest.Password)
	s.sees("Username o password non corretti.")
}

func (s *stage) paysAsAGuest() {
	n := s.issue("Noleggio strumento")
	s.open("/")
	s.in("nav").click("Paga senza accesso")
	s.fill("Codice avviso", "123")
	s.fill("Codice fiscale dell'ente", "80014480829")
	s.click("Cerca l’avviso")
	s.sees("Il codice avviso ha 18 cifre.")
	s.sees("Il codice fiscale dell’ente ha 11 cifre: controlla di averle copiate bene.")
	s.keeps("Codice avviso", "123")
	s.picture("paga-errore")
	s.fill("Codice avviso", n.Number.Grouped())
	s.fill("Codice fiscale dell'ente", string(n.School))
	s.click("Cerca l’avviso")
	s.reads(n.Description, s.euro(1650), "IC 6 Grosseto")
	s.readsNot("Maria")
	s.picture("paga")
	s.click("Aggiungi al carrello")
	s.click("Vai al pagamento")
	s.fill("Email", "ospite@example.org")
	s.pick("Addebito in conto")
	s.click("checkout.pay|Paga")
	s.press("Paga qui")
	s.sees("In verifica")
	s.settle()
	s.click("Aggiorna")
	s.sees("Pagato")
	s.readsNot("Maria", s.say("Scarica la ricevuta"))
	s.open(payURL(n))
	s.sees("Questo avviso è già stato pagato.")
}

// leafsThrough leafs through what is there for everybody.
func (s *stage) leafsThrough() {
	s.open("/")
	footer := s.in("footer")
	footer.click("Servizi di pagamento")
	s.sees("Carta di pagamento")
	s.reads("Banca Uno", s.euro(100))
	s.picture("servizi-di-pagamento")
	footer.click("Domande frequenti")
	s.until("a question opens", `const d = document.querySelector("details"); if (!d) return false; d.querySelector("summary").click(); return d.open;`)
	footer.click("Manuale")
	s.until("pictures", `const all = [...document.querySelectorAll("main img")];
		for (const i of all) { i.loading = "eager"; }
		return all.length === 4 && all.every(i => i.complete && i.naturalWidth > 0);`)
	footer.click("Privacy")
	s.sees("Chi li tratta")
	footer.click("Termini di servizio")
	s.sees("Quando un avviso è pagato")
	footer.click("Accessibilità")
	s.click("Segnala un ostacolo")
	s.until("the topic is chosen", `return document.getElementById("tema").value === "accessibility";`)
	s.open("/niente")
	s.sees("Pagina non trovata")
}
