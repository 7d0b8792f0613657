// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
)

// withLetters prints the codes and nothing else.
func withLetters(c *Config) {
	c.Letters = func(s gateway.School, class string, list gateway.Invitations) ([]byte, error) {
		out := "%PDF-1.7 " + s.Name + " " + class
		for _, i := range list.Letters {
			out += " " + i.Code
		}
		return []byte(out), nil
	}
}

func TestInvitePayer(t *testing.T) {
	t.Parallel()
	a := newAPI(t, withLetters)
	as[Pupil](t, a.send("PUT", base+"/pupils/p1", a.school, pupilJSON()), 201)
	as[RegistryPayer](t, a.send("PUT", base+"/pupils/p1/payers/y1", a.school, payerJSON()), 201)
	path := base + "/pupils/p1/payers/y1/invitation"

	expect(t, a.get(path, a.school), 404, "not_found") // there is none yet
	w := a.post(path, a.school, "", "Idempotency-Key", "k")
	made := as[InvitationCode](t, w, 201)
	if len(made.Code) != 19 || made.Payer != "y1" || len(made.Pupils) != 1 || made.Pupils[0] != "p1" || !strings.HasSuffix(made.PortalURL, "/registrazione") {
		t.Errorf("%+v", made)
	}
	// The whole of the last day counts: 23 November and 90 days, to midnight in Rome.
	if want := time.Date(2027, 2, 21, 23, 0, 0, 0, time.UTC); !made.ExpiresAt.Equal(want) {
		t.Errorf("good until %v, want %v", made.ExpiresAt, want)
	}
	if got := w.Header().Get("Location"); got != path {
		t.Errorf("Location %q, want %q", got, path)
	}
	again := a.post(path, a.school, "", "Idempotency-Key", "k")
	expect(t, again, 409, "secret_shown_once")
	if strings.Contains(again.Body.String(), made.Code) {
		t.Error("the code is shown again")
	}
	if i := as[Invitation](t, a.get(path, a.school), 200); i.State != "open" || i.Payer != "y1" {
		t.Errorf("%+v, want an open one", i)
	}

	a.g.Time.Advance(time.Minute)
	// As a letter.
	letter := a.post(path, a.school, "", "Accept", "application/pdf")
	if letter.Code != 201 || letter.Header().Get("Content-Type") != "application/pdf" || !strings.HasPrefix(letter.Body.String(), "%PDF-1.7 IC 6 Grosseto") ||
		strings.Contains(letter.Body.String(), made.Code) {
		t.Errorf("%d %s %s; want a letter with another code", letter.Code, letter.Header().Get("Content-Type"), letter.Body)
	}
	audit := a.get(base+"/audit", a.school).Body.String()
	if n := strings.Count(audit, "payer.invited"); n != 2 {
		t.Errorf("%d invitations in the audit trail, want 2", n)
	}
	// An answer that nobody takes makes no code.
	expect(t, a.post(path, a.school, "", "Accept", "text/html"), 406, "not_acceptable")
	if after := a.get(base+"/audit", a.school).Body.String(); strings.Count(after, "payer.invited") != 2 {
		t.Error("a refused request made a code")
	}

	// The code opens for its payer; then the letter's does no more.
	y := a.payer("y1")
	acc, err := a.g.AddAccount(t.Context(), gateway.Account{Username: "y1", Code: y.Code, FirstName: y.FirstName, LastName: y.LastName}, gatewaytest.Password)
	must(t, err)
	must(t, a.g.Redeem(t.Context(), acc.ID, made.Code))
	words := strings.Fields(letter.Body.String())
	if err := a.g.Redeem(t.Context(), acc.ID, words[len(words)-1]); err == nil {
		t.Error("a second code of the same payer opens too")
	}
	if i := as[Invitation](t, a.get(path, a.school), 200); i.State != "expired" {
		t.Errorf("the letter's is %s, want expired", i.State)
	}

	lost := as[InvitationCode](t, a.post(path, a.school, ""), 201)
	if w := a.send("DELETE", path, a.school, ""); w.Code != 204 {
		t.Fatal(w.Code, w.Body)
	}
	if err := a.g.Redeem(t.Context(), acc.ID, lost.Code); err == nil {
		t.Error("an ended code opens")
	}

	for name, path := range map[string]string{
		"no such pupil": base + "/pupils/p2/payers/y1/invitation", "no such payer": base + "/pupils/p1/payers/y2/invitation",
		"another school": "/api/v1/schools/" + string(gatewaytest.OtherCode) + "/pupils/p1/payers/y1/invitation",
	} {
		expect(t, a.post(path, a.school, ""), 404, "not_found")
		expect(t, a.get(path, a.school), 404, "not_found")
		if w := a.send("DELETE", path, a.school, ""); w.Code != 404 {
			t.Errorf("%s: DELETE %d", name, w.Code)
		}
	}
	expect(t, a.post(base+"/pupils/p1/payers/RSSMRA80A01H501U/invitation", a.school, ""), 400, "invalid_request", "payer personal_data")
}

// payer is one of the registry.
func (a *testAPI) payer(id string) gateway.Payer {
	a.t.Helper()
	rec, err := a.g.Pupil(a.t.Context(), gatewaytest.Operator, gatewaytest.SchoolCode, "p1")
	must(a.t, err)
	for _, y := range rec.Payers {
		if y.ID == id {
			return y.Payer
		}
	}
	a.t.Fatalf("no payer %s", id)
	return gateway.Payer{}
}

func TestInviteClass(t *testing.T) {
	t.Parallel()
	a := newAPI(t, withLetters)
	path := base + "/classes/3B/invitations"
	expect(t, a.post(path, a.school, ""), 404, "not_found") // a class without pupils
	enrol := func(id, last string, payers ...gateway.NewPayer) {
		t.Helper()
		_, _, err := a.g.Enrol(t.Context(), gatewaytest.Operator, gatewaytest.SchoolCode, gateway.NewPupil{
			ID: id, Code: string(gatewaytest.PupilCode), FirstName: "Maria", LastName: last, Class: "3B", Payers: payers,
		}, nil)
		must(t, err)
	}
	mother := gateway.NewPayer{ID: "lucia", Code: "VRDLCU82H55E202" + string(gateway.FiscalCodeCheck("VRDLCU82H55E202")), FirstName: "Lucia", LastName: "Verdi", Relation: "mother"}
	father := gateway.NewPayer{ID: "mario", Code: string(gatewaytest.ParentCode), FirstName: "Mario", LastName: "Rossi", Relation: "father"}
	enrol("twin-2", "Zeta", mother)
	enrol("twin-1", "Alfa", mother, father)
	_, err := a.g.AddAccount(t.Context(), gateway.Account{Username: "mario", Code: gatewaytest.ParentCode, FirstName: "Mario", LastName: "Rossi", Proven: true}, gatewaytest.Password)
	must(t, err)

	out := as[ClassInvitations](t, a.post(path, a.school, "", "Idempotency-Key", "k"), 201)
	if len(out.Items) != 1 || out.Items[0].Payer != "lucia" || fmt.Sprint(out.Items[0].Pupils) != "[twin-1 twin-2]" || fmt.Sprint(out.Proven) != "[mario]" {
		t.Errorf("%+v; want one letter for the mother of both, none for who is proved", out)
	}
	expect(t, a.post(path, a.school, "", "Idempotency-Key", "k"), 409, "secret_shown_once")
	w := a.post(path, a.school, "", "Accept", "application/pdf")
	if w.Code != 201 || w.Header().Get("Content-Type") != "application/pdf" || !strings.HasPrefix(w.Body.String(), "%PDF-1.7 IC 6 Grosseto 3B ") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	expect(t, a.post(base+"/classes/RSSMRA80A01H501U/invitations", a.school, ""), 400, "invalid_request", "class personal_data")
}
