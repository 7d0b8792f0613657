// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
)

// mario is the parent of the samples: RSSMRA80A01H501U.
func mario(change ...func(*gateway.NewPerson)) gateway.NewPerson {
	n := gateway.NewPerson{
		Code: string(gatewaytest.ParentCode), BirthDate: "01/01/1980", Sex: "M", Email: "mario@example.org", EmailAgain: "mario@example.org",
		Person:   gateway.Person{FirstName: "Mario", LastName: "Rossi", Country: "Italia", Region: "Lazio", Province: "Roma", Town: "Roma"},
		Language: "it", Terms: true, PrivacyRead: true,
	}
	for _, f := range change {
		f(&n)
	}
	return n
}

func TestDisagrees(t *testing.T) {
	t.Parallel()
	roma := gateway.Person{FirstName: "Mario", LastName: "Rossi", Birth: gateway.Date{Year: 1980, Month: 1, Day: 1}, Country: "Italia", Region: "Lazio", Province: "Roma", Town: "Roma"}
	with := func(f func(*gateway.Person)) gateway.Person {
		p := roma
		f(&p)
		return p
	}
	for _, c := range []struct {
		name  string
		code  gateway.FiscalCode
		p     gateway.Person
		wrong []string
	}{
		{"fits", "RSSMRA80A01H501U", roma, nil},
		{"omocodia, one letter", "RSSMRA80A01H50MM", roma, nil},
		{"omocodia, all letters", "RSSMRAULALMHRLMD", roma, nil},
		{"small letters, province by its code", "RSSMRA80A01H501U", with(func(p *gateway.Person) { p.FirstName, p.Town, p.Province = " mario ", "ROMA", "rm" }), nil},
		{"another name", "RSSMRA80A01H501U", with(func(p *gateway.Person) { p.FirstName = "Marco" }), []string{"first_name"}},
		{"another surname", "RSSMRA80A01H501U", with(func(p *gateway.Person) { p.LastName = "Bianchi" }), []string{"last_name"}},
		{"another day", "RSSMRA80A01H501U", with(func(p *gateway.Person) { p.Birth.Day = 2 }), []string{"birth_date"}},
		{"another month", "RSSMRA80A01H501U", with(func(p *gateway.Person) { p.Birth.Month = 2 }), []string{"birth_date"}},
		{"another year", "RSSMRA80A01H501U", with(func(p *gateway.Person) { p.Birth.Year = 1981 }), []string{"birth_date"}},
		{"the other sex", "RSSMRA80A01H501U", with(func(p *gateway.Person) { p.Female = true }), []string{"sex"}},
		{"another town", "RSSMRA80A01H501U", with(func(p *gateway.Person) { p.Town = "Grosseto" }), []string{"birth_town"}},
		{"another province", "RSSMRA80A01H501U", with(func(p *gateway.Person) { p.Province = "Grosseto" }), []string{"birth_province"}},
		{"another region", "RSSMRA80A01H501U", with(func(p *gateway.Person) { p.Region = "Toscana" }), []string{"birth_region"}},
		{"abroad", "RSSMRA80A01H501U", with(func(p *gateway.Person) { p.Country = "Germania" }), []string{"birth_country"}},
		{"a short name, accents", "FOXNZE80A01H501" + last("FOXNZE80A01H501"), with(func(p *gateway.Person) { p.FirstName, p.LastName = "Énzò", "Fo" }), nil},
		{"four consonants", "RSSGFR80A01H501" + last("RSSGFR80A01H501"), with(func(p *gateway.Person) { p.FirstName = "Gianfranco" }), nil},
		{"a name of two words", "DLCNNA80A41H501" + last("DLCNNA80A41H501"), with(func(p *gateway.Person) { p.FirstName, p.LastName, p.Female = "Anna", "De Luca", true }), nil},
		{"an apostrophe", "DNGMRA80A01H501" + last("DNGMRA80A01H501"), with(func(p *gateway.Person) { p.LastName = "D’Angelo" }), nil},
		{"born in Germany", "RSSMRA80A01Z112" + last("RSSMRA80A01Z112"), with(func(p *gateway.Person) { p.Country, p.Region, p.Province, p.Town = "Germania", "", "", "" }), nil},
		{"born in Germany, says Italy", "RSSMRA80A01Z112" + last("RSSMRA80A01Z112"), roma, []string{"birth_country"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if wrong := c.code.Disagrees(c.p); !slices.Equal(wrong, c.wrong) {
				t.Errorf("%s disagrees in %v, want %v", c.code, wrong, c.wrong)
			}
		})
	}
}

func last(first15 string) gateway.FiscalCode {
	return gateway.FiscalCode(gateway.FiscalCodeCheck(first15))
}

// mails are the account mails that wait in the outbox, oldest first.
func mails(t *testing.T, g *gatewaytest.Gateway) (list []gateway.AccountMailPayload) {
	t.Helper()
	for {
		claimed, err := g.Store.ClaimMessages(ctx, "mail", "", g.Now(), time.Hour, 100)
		if err != nil {
			t.Fatal(err)
		}
		if len(claimed) == 0 {
			return list
		}
		for _, m := range claimed {
			var p gateway.AccountMailPayload
			if m.Kind == "mail" && json.Unmarshal(m.Payload, &p) == nil && p.Mail != "" {
				list = append(list, p)
			}
			if err := g.Store.FinishMessage(ctx, m.ID, g.Now()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func one(t *testing.T, g *gatewaytest.Gateway, want gateway.AccountMail) gateway.AccountMailFacts {
	t.Helper()
	list := mails(t, g)
	if len(list) != 1 || list[0].Mail != want {
		t.Fatalf("mails %+v, want one %s", list, want)
	}
	f, err := g.AccountMailOf(ctx, list[0])
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func tokenOf(link string) string {
	_, token, _ := strings.Cut(link, "token=")
	return token
}

func TestRegistration(t *testing.T) {
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		g.Family() // the school recorded mario.rossi@example.org for this code, and he has an account
		if err := g.Register(ctx, mario()); err != nil {
			t.Fatal(err)
		}
		if f := one(t, g, gateway.MailKnown); f.Email != "mario.rossi@example.org" || strings.Contains(f.Link, "token") {
			t.Errorf("who is known is told at the address we have: %+v", f)
		}

		lucia := mario(func(n *gateway.NewPerson) {
			n.Code, n.FirstName, n.LastName, n.Sex, n.BirthDate = "VRDLCU82H55E202"+string(last("VRDLCU82H55E202")), "Lucia", "Verdi", "F", "15/06/1982"
			n.Region, n.Province, n.Town = "Toscana", "Grosseto", "Grosseto"
			n.Email, n.EmailAgain = "Lucia.Verdi@example.org", "lucia.verdi@example.org"
		})
		for range 5 { // somebody who presses often gets three mails
			if err := g.Register(ctx, lucia); err != nil {
				t.Fatal(err)
			}
		}
		sent := mails(t, g)
		if len(sent) != 3 {
			t.Fatalf("%d mails, want 3", len(sent))
		}
		first, err := g.AccountMailOf(ctx, sent[0])
		if err != nil || first.Email != "Lucia.Verdi@example.org" {
			t.Fatalf("%+v, %v", first, err)
		}
		token := tokenOf(first.Link)
		for _, wrong := range []string{"", "x", token + "a", token[:len(token)-1], strings.Replace(token, ".", "..", 1)} {
			if err := g.ConfirmRegistration(ctx, wrong); !errors.Is(err, gateway.ErrLink) {
				t.Errorf("confirm %q: %v, want ErrLink", wrong, err)
			}
		}
		if err := g.CheckPasswordLink(ctx, token); !errors.Is(err, gateway.ErrLink) {
			t.Errorf("a link for another purpose: %v", err)
		}
		for range 2 {
			if err := g.ConfirmRegistration(ctx, token); err != nil {
				t.Fatal(err)
			}
		}
		f := one(t, g, gateway.MailCreated)
		if f.Username != "lucia.verdi" || gateway.CheckPassword(f.Password) != nil {
			t.Errorf("%+v", f)
		}
		if _, err := g.AccountMailOf(ctx, sent[1]); err != nil {
			t.Errorf("her second link is still hers: %v", err)
		}
		if second, _ := g.AccountMailOf(ctx, sent[1]); g.ConfirmRegistration(ctx, tokenOf(second.Link)) != nil || len(mails(t, g)) != 0 {
			t.Error("a second registration of the same person makes a second account")
		}

		a, err := g.LogIn(ctx, "Lucia.Verdi", f.Password)
		if err != nil || !a.MustChange || a.Proven {
			t.Fatalf("LogIn = %+v, %v; want one who must change it, not proven", a, err)
		}
		if _, err := g.LogIn(ctx, "lucia.verdi", f.Password); !errors.Is(err, gateway.ErrCredentials) {
			t.Errorf("a provisional password opens twice: %v", err)
		}
		for _, weak := range []string{"Lucia2026", "luciaverdi1A", "Password1", "short1A"} {
			if err := g.ChangePassword(ctx, a.ID, "", f.Password, weak); !errors.Is(err, gateway.ErrWeakPassword) {
				t.Errorf("password %q: %v, want ErrWeakPassword", weak, err)
			}
		}
		if err := g.ChangePassword(ctx, a.ID, "", f.Password, "Lucia2026"); !errors.Is(err, gateway.ErrGuessablePassword) {
			t.Errorf("their own name: %v, want ErrGuessablePassword", err)
		}
		if err := g.ChangePassword(ctx, a.ID, "", f.Password, "Tre-Gatti-9"); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := g.LogIn(ctx, "lucia.verdi", "Tre-Gatti-9"); err != nil {
				t.Errorf("her own password: %v", err)
			}
		}
	})
}

func TestRegistrationByTheAddressTheSchoolKnows(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	pupil := gateway.Pupil{School: g.School.Code, ID: "p1", Code: gatewaytest.PupilCode, FirstName: "Maria", LastName: "Rossi", Class: "3B"}
	payer := gateway.Payer{School: g.School.Code, ID: "y1", Code: gatewaytest.ParentCode, FirstName: "Mario", LastName: "Rossi", Email: "Mario@Example.org", Language: "it"}
	if err := errors.Join(g.PutPupil(ctx, gatewaytest.Operator, pupil), g.PutPayer(ctx, gatewaytest.Operator, payer, "p1", "father")); err != nil {
		t.Fatal(err)
	}
	if err := g.Register(ctx, mario()); err != nil {
		t.Fatal(err)
	}
	if err := g.ConfirmRegistration(ctx, tokenOf(one(t, g, gateway.MailConfirm).Link)); err != nil {
		t.Fatal(err)
	}
	f := one(t, g, gateway.MailCreated)
	a, err := g.LogIn(ctx, f.Username, f.Password)
	if err != nil || !a.Proven {
		t.Errorf("LogIn = %+v, %v; want a proven account", a, err)
	}
	g.Time.Advance(25 * time.Hour)
	if _, err := g.AccountMailOf(ctx, gateway.AccountMailPayload{Mail: gateway.MailCreated, Account: a.ID}); !errors.Is(err, gateway.ErrNotFound) {
		t.Errorf("a password that is over is mailed: %v", err)
	}
}

func TestRegistrationRefuses(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	for name, c := range map[string]struct {
		change func(*gateway.NewPerson)
		field  string
	}{
		"a wrong check letter": {func(n *gateway.NewPerson) { n.Code = "RSSMRA80A01H501X" }, "fiscal_code"},
		"a school's code":      {func(n *gateway.NewPerson) { n.Code = "80014480828" }, "fiscal_code"},
		"nobody":               {func(n *gateway.NewPerson) { n.Code = "ANONIMO" }, "fiscal_code"},
		"a small child":        {func(n *gateway.NewPerson) { n.Code = "RSSMRA18A01H501" + string(last("RSSMRA18A01H501")) }, "fiscal_code"},
		"no name":              {func(n *gateway.NewPerson) { n.FirstName = " " }, "first_name"},
		"a long name":          {func(n *gateway.NewPerson) { n.LastName = strings.Repeat("Rossi", 20) }, "last_name"},
		"no date":              {func(n *gateway.NewPerson) { n.BirthDate = "30/02/1980" }, "birth_date"},
		"the year 2080":        {func(n *gateway.NewPerson) { n.BirthDate = "01/01/2080" }, "birth_date"},
		"no sex":               {func(n *gateway.NewPerson) { n.Sex = "" }, "sex"},
		"another's town":       {func(n *gateway.NewPerson) { n.Town = "Torino" }, "birth_town"},
		"no address":           {func(n *gateway.NewPerson) { n.Email = "mario" }, "email"},
		"a header":             {func(n *gateway.NewPerson) { n.Email = "a@b.it\r\nBcc: x@y.it"; n.EmailAgain = n.Email }, "email"},
		"two addresses":        {func(n *gateway.NewPerson) { n.EmailAgain = "other@example.org" }, "email_again"},
		"no terms":             {func(n *gateway.NewPerson) { n.Terms = false }, "terms"},
		"privacy unread":       {func(n *gateway.NewPerson) { n.PrivacyRead = false }, "privacy"},
	} {
		var bad *gateway.Invalid
		if err := g.Register(ctx, mario(c.change)); !errors.As(err, &bad) || bad.Fields[0].Field != c.field {
			t.Errorf("%s: %v, want a fault of %s", name, err, c.field)
		}
	}
	if len(mails(t, g)) != 0 {
		t.Error("a refused registration sends mails")
	}
	if err := g.Register(ctx, mario()); err != nil {
		t.Fatal(err)
	}
	f := one(t, g, gateway.MailConfirm)
	g.Time.Advance(24 * time.Hour)
	if err := g.ConfirmRegistration(ctx, tokenOf(f.Link)); !errors.Is(err, gateway.ErrLink) {
		t.Errorf("a link of yesterday: %v, want ErrLink", err)
	}
}

func TestForgotten(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	a := g.Family()
	if err := errors.Join(g.ForgotUsername(ctx, "nonsense"), g.ForgotUsername(ctx, string(gatewaytest.PupilCode)), g.ForgotPassword(ctx, "nobody")); err != nil {
		t.Errorf("who does not exist: %v", err)
	}
	if len(mails(t, g)) != 0 {
		t.Error("mails for nobody")
	}
	if err := g.ForgotUsername(ctx, strings.ToLower(string(a.Code))); err != nil {
		t.Fatal(err)
	}
	if f := one(t, g, gateway.MailUsername); f.Username != "mario.rossi" || f.Password != "" {
		t.Errorf("%+v", f)
	}
	if err := g.ForgotPassword(ctx, " MARIO.ROSSI "); err != nil {
		t.Fatal(err)
	}
	token := tokenOf(one(t, g, gateway.MailReset).Link)
	for range 3 {
		if err := g.ForgotPassword(ctx, a.Username); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(mails(t, g)); n != 1 { // with the two before: three in the hour
		t.Errorf("%d more mails, want 1", n)
	}
	if err := g.CheckPasswordLink(ctx, token); err != nil {
		t.Fatal(err)
	}
	if err := g.ResetPassword(ctx, token, "weak"); !errors.Is(err, gateway.ErrWeakPassword) {
		t.Errorf("weak: %v", err)
	}
	if err := g.ResetPassword(ctx, token, "Tre-Gatti-9"); err != nil {
		t.Fatal(err)
	}
	if err := g.ResetPassword(ctx, token, "Quattro-Gatti-9"); !errors.Is(err, gateway.ErrLink) {
		t.Errorf("a link used twice: %v", err)
	}
	if _, err := g.LogIn(ctx, a.Username, "Tre-Gatti-9"); err != nil {
		t.Error(err)
	}
	g.Time.Advance(2 * time.Hour)
	if err := g.ForgotPassword(ctx, a.Username); err != nil {
		t.Fatal(err)
	}
	token = tokenOf(one(t, g, gateway.MailReset).Link)
	g.Time.Advance(time.Hour)
	if err := g.ResetPassword(ctx, token, "Quattro-Gatti-9"); !errors.Is(err, gateway.ErrLink) {
		t.Errorf("a link of an hour ago: %v", err)
	}
}

func TestIdentity(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	spid := gateway.Identity{Issuer: "https://spid", Subject: "s1", Code: gatewaytest.ParentCode, FirstName: "Mario", LastName: "Rossi", Language: "it"}
	a, err := g.EnterWithIdentity(ctx, spid)
	if err != nil || !a.Proven || a.Password != "" {
		t.Fatalf("a new person: %+v, %v", a, err)
	}
	if again, err := g.EnterWithIdentity(ctx, spid); err != nil || again.ID != a.ID {
		t.Errorf("again: %+v, %v", again, err)
	}
	cie := spid
	cie.Issuer = "https://cie"
	if other, err := g.EnterWithIdentity(ctx, cie); err != nil || other.ID != a.ID {
		t.Errorf("the same person by another provider: %+v, %v", other, err)
	}
	if _, err := g.LogIn(ctx, a.Username, ""); !errors.Is(err, gateway.ErrCredentials) {
		t.Errorf("an account without a password: %v", err)
	}
	for _, wrong := range []gateway.Identity{{}, {Issuer: "x", Subject: "y"}, {Issuer: "x", Subject: "y", Code: "80014480828"}, {Issuer: "x", Code: spid.Code}} {
		if _, err := g.EnterWithIdentity(ctx, wrong); !errors.Is(err, gateway.ErrCredentials) {
			t.Errorf("%+v: %v", wrong, err)
		}
	}
	// Somebody claimed the code before its bearer came.
	claimed, err := g.AddAccount(ctx, gateway.Account{Username: "thief", Code: gatewaytest.PupilCode, FirstName: "M", LastName: "R", Email: "thief@example.org"}, gatewaytest.Password)
	if err != nil {
		t.Fatal(err)
	}
	pupil := gateway.Identity{Issuer: "https://spid", Subject: "s2", Code: gatewaytest.PupilCode, FirstName: "Maria", LastName: "Rossi"}
	b, err := g.EnterWithIdentity(ctx, pupil)
	if err != nil || b.ID != claimed.ID || !b.Proven || b.Password != "" || b.Email != "" || b.FirstName != "Maria" {
		t.Errorf("%+v, %v", b, err)
	}
	if _, err := g.LogIn(ctx, "thief", gatewaytest.Password); !errors.Is(err, gateway.ErrCredentials) {
		t.Errorf("the claimed account's password still opens: %v", err)
	}
	// A proven one keeps its password.
	known, err := g.AddAccount(ctx, gateway.Account{Username: "proven", Code: "VRDLCU82H55E202" + last("VRDLCU82H55E202"), Email: "l@example.org", Proven: true}, gatewaytest.Password)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := g.EnterWithIdentity(ctx, gateway.Identity{Issuer: "https://spid", Subject: "s3", Code: known.Code}); err != nil || c.ID != known.ID || c.Email == "" {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := g.LogIn(ctx, "proven", gatewaytest.Password); err != nil {
		t.Error(err)
	}
}

func TestInvitation(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	g.Family()
	a, err := g.AddAccount(ctx, gateway.Account{Username: "lucia", Code: "VRDLCU82H55E202" + last("VRDLCU82H55E202")}, gatewaytest.Password)
	if err != nil {
		t.Fatal(err)
	}
	pupil := gateway.Payer{School: g.School.Code, ID: "lucia", Code: a.Code, FirstName: "Lucia", LastName: "Verdi"}
	if err := g.PutPayer(ctx, gatewaytest.Operator, pupil, "p1", "mother"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := g.Invite(ctx, gatewaytest.Operator, g.School.Code, "nobody"); !errors.Is(err, gateway.ErrNotFound) {
		t.Errorf("an invitation of nobody: %v", err)
	}
	mine, _, err := g.Invite(ctx, gatewaytest.Operator, g.School.Code, "lucia")
	if err != nil {
		t.Fatal(err)
	}
	his, _, err := g.Invite(ctx, gatewaytest.Operator, g.School.Code, "mario.rossi")
	if err != nil {
		t.Fatal(err)
	}
	spare, until, err := g.Invite(ctx, gatewaytest.Operator, g.School.Code, "lucia")
	if want := gateway.DateIn(g.Now()).AddDays(90).Deadline(); err != nil || !until.Equal(want) {
		t.Errorf("good until %v (%v), want the end of the day, %v", until, err, want)
	}
	for code, want := range map[string]error{"": gateway.ErrLink, "ABCD-EFGH-IJKL-MNOP": gateway.ErrLink, his: gateway.ErrInvitation} {
		if err := g.Redeem(ctx, a.ID, code); !errors.Is(err, want) {
			t.Errorf("Redeem(%q): %v, want %v", code, err, want)
		}
	}
	if err := g.Redeem(ctx, a.ID, " "+strings.ToLower(strings.NewReplacer("-", "", "O", "0", "I", "1", "B", "8").Replace(mine))); err != nil {
		t.Fatal(err)
	}
	if a, _ = g.Account(ctx, a.ID); !a.Proven {
		t.Error("the account is not proven")
	}
	for name, code := range map[string]string{"used twice": mine, "its second letter": spare} {
		if err := g.Redeem(ctx, a.ID, code); !errors.Is(err, gateway.ErrLink) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
