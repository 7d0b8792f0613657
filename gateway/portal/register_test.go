// SPDX-License-Identifier: Apache-2.0

package portal_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math/bits"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
)

// accountMails are what the mails about accounts say that wait to be sent.
func (s *site) accountMails() []gateway.AccountMailFacts {
	s.t.Helper()
	list, err := s.Store.ClaimMessages(context.Background(), "mail", "", s.Now().Add(time.Second), time.Minute, 100)
	if err != nil {
		s.t.Fatal(err)
	}
	var out []gateway.AccountMailFacts
	for _, m := range list {
		if err := s.Store.FinishInto(context.Background(), m.ID, s.Now(), nil); err != nil {
			s.t.Fatal(err)
		}
		var p gateway.AccountMailPayload
		if json.Unmarshal(m.Payload, &p) != nil || p.Mail == "" {
			continue
		}
		f, err := s.AccountMailOf(context.Background(), p)
		if err != nil {
			s.t.Fatal(err)
		}
		out = append(out, f)
	}
	return out
}

// path is the address of a mail's link on this site.
func path(t *testing.T, link string) string {
	t.Helper()
	u, err := url.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	return u.RequestURI()
}

var sumAsked = regexp.MustCompile(`Quanto fa (\pL+) più (\pL+)\?`)

// sum answers the control question of the page.
func (p *page) sum() string {
	p.t.Helper()
	words := strings.Fields("zero uno due tre quattro cinque sei sette otto nove dieci undici dodici tredici quattordici quindici sedici diciassette diciotto")
	m := sumAsked.FindStringSubmatch(text(p.doc))
	if m == nil {
		p.t.Fatalf("no question: %s", text(p.doc))
	}
	n := 0
	for i, w := range words {
		if w == m[1] {
			n += i
		}
		if w == m[2] {
			n += i
		}
	}
	return words[n]
}

var marioFields = []string{
	"nome", "Mario", "cognome", "Rossi", "data_nascita", "01/01/1980", "sesso", "M", "nazione", "Italia", "regione", "Lazio", "provincia", "Roma", "comune", "Roma",
	"email", "mario@example.org", "conferma_email", "mario@example.org", "termini", "si", "privacy", "si",
}

func TestRegistrationJourney(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ctx := context.Background()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(s.PutPupil(ctx, gatewaytest.Operator, gateway.Pupil{School: gatewaytest.SchoolCode, ID: "p1", Code: gatewaytest.PupilCode, FirstName: "Maria", LastName: "Rossi", Class: "3B"}))
	must(s.PutPayer(ctx, gatewaytest.Operator, gateway.Payer{School: gatewaytest.SchoolCode, ID: "m", Code: gatewaytest.ParentCode, FirstName: "Mario", LastName: "Rossi", Email: "mario@example.org", Language: "it"}, "p1", "father"))
	s.Issue()
	b := s.browser()

	first := b.get("/").submit("Registrati").is(200, "/registrazione")
	// What is wrong is said, and what was right stays.
	first.submit("Avanti", "codice_fiscale", string(gatewaytest.ParentCode), "controllo", "cento").is(400, "/registrazione").says("domanda di controllo non è giusta")
	b.post("/registrazione/dati", url.Values{"nome": {"Mario"}}).is(200, "/registrazione") // not before the control
	wrong := b.get("/registrazione")
	// Who has answered is not asked again.
	wrong = wrong.submit("Avanti", "codice_fiscale", "RSSMRA80A01H501X", "controllo", wrong.sum()).is(400, "/registrazione").
		says("Il codice fiscale non è giusto").saysNot("Domanda di controllo")
	b.get("/registrazione?passo=3").is(200, "/registrazione").says("Passo 1 di 4")
	second := wrong.submit("Avanti", "codice_fiscale", strings.ToLower(string(gatewaytest.ParentCode))).is(200, "/registrazione").says("Passo 2 di 4")

	// Back with half of it typed, and on again: nothing is asked twice.
	half := second.submit("Torna indietro", "nome", "Mario", "email", "mario@").is(200, "/registrazione").says("Passo 1 di 4").saysNot("Domanda di controllo")
	if _, _, form := half.form("Avanti"); !strings.EqualFold(form.Get("codice_fiscale"), string(gatewaytest.ParentCode)) {
		t.Errorf("the first step lost the code: %v", form)
	}
	second = half.submit("Avanti").is(200, "/registrazione").says("Passo 2 di 4")
	if _, _, form := second.form("Avanti"); form.Get("nome") != "Mario" || form.Get("email") != "mario@" {
		t.Errorf("going back lost what was typed: %v", form)
	}

	bad := second.submit("Avanti", append(append([]string{}, marioFields...), "nome", "Marco", "comune", "Torino", "conferma_email", "altro@example.org")...).is(400, "/registrazione/dati")
	bad.says("Il nome non corrisponde al codice fiscale", "Il comune di nascita non corrisponde", "I due indirizzi email sono diversi")
	if _, _, form := bad.form("Avanti"); form.Get("cognome") != "Rossi" || form.Get("data_nascita") != "01/01/1980" || form.Get("termini") != "si" {
		t.Errorf("what was typed is gone: %v", form)
	}
	bad.submit("Avanti", "nome", `<script>alert(1)</script>`).is(400, "/registrazione/dati")
	summary := bad.submit("Avanti", marioFields...).is(200, "/registrazione").says("Mario", "Rossi", "01/01/1980", "Maschio", "Roma", "mario@example.org")
	again := summary.submit("Torna indietro").is(200, "/registrazione")
	if _, _, form := again.form("Avanti"); form.Get("nome") != "Mario" || form.Get("email") != "mario@example.org" {
		t.Errorf("going back loses what was typed: %v", form)
	}
	again.submit("Avanti").is(200, "/registrazione").submit("Conferma i tuoi dati").is(200, "/registrazione/inviata").says("Controlla la posta", "Passo 4 di 4")

	sent := s.accountMails()
	if len(sent) != 1 || sent[0].Email != "mario@example.org" {
		t.Fatalf("mails %+v", sent)
	}
	link := path(t, sent[0].Link)
	b.get("/conferma?token=sbagliato").is(404, "/conferma").says("non è più valido")
	b.get(link).is(200, "/conferma").says("confermato")
	b.get(link).is(200, "/conferma")
	created := s.accountMails()
	if len(created) != 1 {
		t.Fatalf("mails %+v", created)
	}
	login := b.get("/accesso")
	home := login.submit("Accedi", "username", created[0].Username, "password", created[0].Password).is(200, "/cambio-password")
	b.get("/avvisi").is(200, "/cambio-password") // nothing else before
	home.submit("Cambia password", "vecchia_password", created[0].Password, "nuova_password", "Mario1980", "conferma_password", "Mario1980").is(400, "/cambio-password")
	consents := home.submit("Cambia password", "vecchia_password", created[0].Password, "nuova_password", "Tre-Gatti-9", "conferma_password", "Tre-Gatti-9").is(200, "/consensi")
	consents.submit("Accetto")
	b.get("/avvisi").is(200, "/avvisi").says("Maria", "Viaggio di istruzione 3B")

	// Whoever asks again is answered the same, and told by mail.
	c := s.browser()
	f := c.get("/registrazione")
	f.submit("Avanti", "codice_fiscale", string(gatewaytest.ParentCode), "controllo", f.sum()).submit("Avanti", marioFields...).submit("Conferma i tuoi dati").
		is(200, "/registrazione/inviata").says("Controlla la posta")
	if known := s.accountMails(); len(known) != 1 || strings.Contains(known[0].Link, "token") || known[0].Username != "" {
		t.Errorf("mails %+v", known)
	}
}

// A browser that does the work is not asked.
func TestRegistrationByWork(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.browser()
	p := b.get("/registrazione")
	work := regexp.MustCompile(`data-work="([A-Z2-7]+)" data-bits="15"`).FindStringSubmatch(p.body)
	if work == nil {
		t.Fatal("no work to do")
	}
	nonce := 0
	for ; ; nonce++ {
		sum := sha256.Sum256(fmt.Appendf(nil, "%s%d", work[1], nonce))
		if sum[0] == 0 && bits.LeadingZeros8(sum[1]) >= 7 {
			break
		}
	}
	done := fmt.Sprint(nonce)
	p.submit("Avanti", "codice_fiscale", string(gatewaytest.ParentCode), "lavoro", done).is(200, "/registrazione").says("Passo 2 di 4")
	other := s.browser()
	other.get("/registrazione").submit("Avanti", "codice_fiscale", string(gatewaytest.ParentCode), "lavoro", done).is(400, "/registrazione")
}

func TestForgottenPages(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Family()
	b := s.browser()
	login := b.get("/accesso")
	for _, name := range []string{"Username dimenticato?", "Password dimenticata?"} {
		if len(login.links(name)) != 1 {
			t.Errorf("no link %q", name)
		}
	}
	known := b.get("/accesso/recupero?cosa=username").submit("Invia", "codice_fiscale", string(gatewaytest.ParentCode)).is(200, "/accesso/recupero")
	nobody := b.get("/accesso/recupero?cosa=username").submit("Invia", "codice_fiscale", string(gatewaytest.PupilCode)).is(200, "/accesso/recupero")
	if text(known.main()) != text(nobody.main()) {
		t.Error("the page tells who has an account")
	}
	if sent := s.accountMails(); len(sent) != 1 || sent[0].Username != "mario.rossi" {
		t.Errorf("mails %+v", sent)
	}
	b.get("/accesso/recupero?cosa=password").submit("Invia", "username", "nessuno").is(200, "/accesso/recupero")
	b.get("/accesso/recupero?cosa=password").submit("Invia", "username", "mario.rossi").is(200, "/accesso/recupero")
	sent := s.accountMails()
	if len(sent) != 1 {
		t.Fatalf("mails %+v", sent)
	}
	inside := s.browser()
	inside.login("mario.rossi")
	form := b.get(path(t, sent[0].Link)).is(200, "/accesso/recupero")
	form.submit("Invia", "nuova_password", "Tre-Gatti-9", "conferma_password", "altra").is(400, "/accesso/recupero").says("non")
	form.submit("Invia", "nuova_password", "debole", "conferma_password", "debole").is(400, "/accesso/recupero")
	form.submit("Invia", "nuova_password", "Tre-Gatti-9", "conferma_password", "Tre-Gatti-9").is(200, "/accesso")
	form.submit("Invia", "nuova_password", "Tre-Gatti-9", "conferma_password", "Tre-Gatti-9").is(404, "/accesso/recupero").says("non è più valido")
	inside.get("/avvisi").is(200, "/accesso") // its session ended
	b.get("/accesso").submit("Accedi", "username", "mario.rossi", "password", "Tre-Gatti-9").is(200, "/")
}

func TestInvitationPage(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Family()
	ctx := context.Background()
	lucia := code(t, "VRDLCU82H55E202")
	a, err := s.AddAccount(ctx, gateway.Account{Username: "lucia", Code: lucia, FirstName: "Lucia", LastName: "Verdi", Language: "it", ConsentsAt: s.Now()}, gatewaytest.Password)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.PutPayer(ctx, gatewaytest.Operator, gateway.Payer{School: gatewaytest.SchoolCode, ID: "lucia", Code: a.Code, FirstName: "Lucia", LastName: "Verdi"}, "p1", "mother"); err != nil {
		t.Fatal(err)
	}
	s.Issue()
	invitation, _, err := s.Invite(ctx, gatewaytest.Operator, gatewaytest.SchoolCode, "lucia")
	if err != nil {
		t.Fatal(err)
	}
	b := s.browser()
	b.login("lucia")
	unproven := b.get("/avvisi").saysNot("Viaggio")
	unproven.submit("Collega", "codice_invito", "AAAA-BBBB-CCCC-DDDD").says("Il codice di invito non è valido")
	unproven.submit("Collega", "codice_invito", invitation).says("Il tuo accesso è collegato")
	b.get("/avvisi").says("Viaggio di istruzione 3B")
}
