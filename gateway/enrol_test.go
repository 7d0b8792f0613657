// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
)

const school = gatewaytest.SchoolCode

func newMario() gateway.NewPayer {
	return gateway.NewPayer{ID: "y1", Code: string(gatewaytest.ParentCode), FirstName: "Mario", LastName: "Rossi", Email: "mario@example.org", Relation: "father"}
}

func newMaria() gateway.NewPupil {
	return gateway.NewPupil{ID: "p1", Code: strings.ToLower(string(gatewaytest.PupilCode)), FirstName: " Maria ", LastName: "Rossi", Class: "3B"}
}

// trail is the audit trail of the registry, oldest first, as "action object".
func trail(t *testing.T, g *gatewaytest.Gateway) (out []string) {
	t.Helper()
	if err := g.Store.View(t.Context(), func(tx gateway.Tx) error {
		list, err := tx.Audits(school, gateway.AuditFilter{})
		for _, a := range list {
			if !strings.HasPrefix(a.Action, "school.") {
				out = append(out, a.Action+" "+a.Object)
			}
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	slices.Reverse(out)
	return out
}

func TestEnrol(t *testing.T) {
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		ctx, op := t.Context(), gatewaytest.Operator
		in := newMaria()
		in.Payers = []gateway.NewPayer{newMario()}
		rec, created, err := g.Enrol(ctx, op, school, in, nil)
		if err != nil || !created || rec.Code != gatewaytest.PupilCode || rec.FirstName != "Maria" || rec.SchoolYear != "2026/27" || len(rec.Payers) != 1 ||
			rec.Payers[0].Relation != "father" || rec.Payers[0].Language != "it" || !rec.Payers[0].Since.Equal(gatewaytest.Start) || rec.Payers[0].By != op {
			t.Fatalf("Enrol = %+v, %v, %v", rec, created, err)
		}
		g.Time.Advance(time.Hour)
		again, created, err := g.Enrol(ctx, op, school, in, nil)
		if err != nil || created || !again.Payers[0].Since.Equal(gatewaytest.Start) || !again.CreatedAt.Equal(rec.CreatedAt) {
			t.Errorf("again = %+v, %v, %v", again, created, err)
		}
		// Without payers they stay; with an empty list they go.
		in.Payers, in.Class = nil, "4B"
		if rec, _, err = g.Enrol(ctx, op, school, in, nil); err != nil || rec.Class != "4B" || len(rec.Payers) != 1 {
			t.Errorf("payers left out: %+v, %v", rec, err)
		}
		in.Payers = []gateway.NewPayer{}
		if rec, _, err = g.Enrol(ctx, op, school, in, nil); err != nil || len(rec.Payers) != 0 {
			t.Errorf("no payers: %+v, %v", rec, err)
		}
		want := []string{"pupil.put p1", "payer.linked p1/y1", "pupil.put p1", "payer.unlinked p1/y1"}
		if got := trail(t, g); !slices.Equal(got, want) {
			t.Errorf("audit trail %q, want %q", got, want)
		}
	})
}

func TestEnrolRefused(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	for _, c := range []struct {
		name   string
		change func(*gateway.NewPupil)
		want   []string
	}{
		{"an id that is a code", func(p *gateway.NewPupil) { p.ID = "RSSMRA10A41H501F" }, []string{"id personal_data"}},
		{"an id with a code in it", func(p *gateway.NewPupil) { p.ID = "x-rssmra10a41h501f" }, []string{"id personal_data"}},
		{"an id of dots", func(p *gateway.NewPupil) { p.ID = ".." }, []string{"id format"}},
		{"no id", func(p *gateway.NewPupil) { p.ID = "" }, []string{"id format"}},
		{"a slash", func(p *gateway.NewPupil) { p.ID = "a/b" }, []string{"id format"}},
		{"long", func(p *gateway.NewPupil) { p.ID = strings.Repeat("a", 65) }, []string{"id format"}},
		{"wrong letter", func(p *gateway.NewPupil) { p.Code = "RSSMRA10A41H501X" }, []string{"fiscal_code check_letter"}},
		{"no code", func(p *gateway.NewPupil) { p.Code = "" }, []string{"fiscal_code format"}},
		{"no names", func(p *gateway.NewPupil) { p.FirstName, p.LastName = " ", "" }, []string{"first_name required", "last_name required"}},
		{"class", func(p *gateway.NewPupil) { p.Class = "3B;" }, []string{"class format"}},
		{"year", func(p *gateway.NewPupil) { p.SchoolYear = "2026/28" }, []string{"school_year format"}},
		{"year in words", func(p *gateway.NewPupil) { p.SchoolYear = "2026" }, []string{"school_year format"}},
		{"payers", func(p *gateway.NewPupil) {
			y, twice := newMario(), newMario()
			y.Relation, y.Email, y.Language = "uncle", "Mario <m@example.org>", "xx"
			twice.Relation = "self"
			p.Payers = []gateway.NewPayer{y, twice}
		}, []string{"payers[0].email format", "payers[0].language unknown", "payers[0].relation unknown", "payers[1].id duplicate", "payers[1].relation unknown"}},
	} {
		in := newMaria()
		c.change(&in)
		if _, _, err := g.Enrol(t.Context(), gatewaytest.Operator, school, in, nil); !slices.Equal(wrongFields(err), c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	if got := trail(t, g); len(got) != 0 {
		t.Errorf("refused, and yet: %q", got)
	}
	in := newMaria()
	in.SchoolYear = "2099/00"
	if _, _, err := g.Enrol(t.Context(), gatewaytest.Operator, school, in, nil); err != nil {
		t.Errorf("the year before 2100: %v", err)
	}
}

// A link gives the portal's family its child's notices, and its end takes them.
func TestLinksOpenAndClose(t *testing.T) {
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		ctx, op := t.Context(), gatewaytest.Operator
		a, err := g.AddAccount(ctx, gateway.Account{Username: "mario", Code: gatewaytest.ParentCode, FirstName: "Mario", LastName: "Rossi", Email: "m@example.org", Proven: true}, gatewaytest.Password)
		if err != nil {
			t.Fatal(err)
		}
		g.Issue()
		sees := func() int {
			list, err := g.FamilyNotices(ctx, a)
			if err != nil {
				t.Fatal(err)
			}
			return len(list)
		}
		if _, _, err := g.LinkPayer(ctx, op, school, "p1", newMario(), nil); !errors.Is(err, gateway.ErrNotFound) {
			t.Errorf("LinkPayer to nobody = %v", err)
		}
		if _, _, err := g.Enrol(ctx, op, school, newMaria(), nil); err != nil {
			t.Fatal(err)
		}
		brother := gateway.NewPupil{ID: "p2", Code: "RSSLCU12B02H501T", FirstName: "Luca", LastName: "Rossi"}
		brother.Code = string(gateway.Anonymous)
		if _, _, err := g.Enrol(ctx, op, school, brother, nil); err != nil {
			t.Fatal(err)
		}
		if n := sees(); n != 0 {
			t.Errorf("not linked, sees %d", n)
		}
		for _, pupil := range []string{"p1", "p2"} {
			if _, created, err := g.LinkPayer(ctx, op, school, pupil, newMario(), nil); err != nil || !created {
				t.Errorf("LinkPayer = %v, %v", created, err)
			}
		}
		if n := sees(); n != 1 {
			t.Errorf("linked, sees %d", n)
		}
		// One person under two pupils.
		moved := newMario()
		moved.Email, moved.Relation = "new@example.org", "guardian"
		if y, created, err := g.LinkPayer(ctx, op, school, "p1", moved, nil); err != nil || created || y.Relation != "guardian" || !y.Since.Equal(gatewaytest.Start) {
			t.Errorf("LinkPayer again = %+v, %v, %v", y, created, err)
		}
		if rec, err := g.Pupil(ctx, op, school, "p2"); err != nil || rec.Payers[0].Email != "new@example.org" || rec.Payers[0].Relation != "father" {
			t.Errorf("under the other pupil: %+v, %v", rec.Payers, err)
		}
		if err := g.UnlinkPayer(ctx, op, school, "p1", "y1"); err != nil {
			t.Fatal(err)
		}
		if n := sees(); n != 0 {
			t.Errorf("unlinked, sees %d", n)
		}
		if err := g.UnlinkPayer(ctx, op, school, "p1", "y1"); !errors.Is(err, gateway.ErrNotFound) {
			t.Errorf("UnlinkPayer again = %v", err)
		}
		want := []string{
			"pupil.put p1", "pupil.put p2", "payer.linked p1/y1", "payer.linked p2/y1", "payer.changed p1/y1", "pupil.read p2", "payer.unlinked p1/y1",
		}
		if got := trail(t, g); !slices.Equal(got, want) {
			t.Errorf("audit trail %q, want %q", got, want)
		}
	})
}

// An adult owes, and pays for himself.
func TestAdultsAreDebtorsToo(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	adult := gateway.NewPupil{ID: "ata-7", Code: string(gatewaytest.ParentCode), FirstName: "Mario", LastName: "Rossi"}
	self := newMario()
	self.Relation = "self"
	adult.Payers = []gateway.NewPayer{self}
	if _, _, err := g.Enrol(t.Context(), gatewaytest.Operator, school, adult, nil); err != nil {
		t.Fatal(err)
	}
	n := g.Issue(func(n *gateway.NewNotice) {
		n.DebtorCode, n.DebtorName, n.Class, n.Description = string(gatewaytest.ParentCode), "Mario Rossi", "", "Assicurazione del personale"
	})
	payers, _, err := g.Store.PayersOf(t.Context(), school, n.Number)
	if err != nil || len(payers) != 1 || payers[0].Email != "mario@example.org" {
		t.Errorf("who is written to: %+v, %v", payers, err)
	}
}

func TestDelegates(t *testing.T) {
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		ctx, op := t.Context(), gatewaytest.Operator
		a, err := g.AddAccount(ctx, gateway.Account{Username: "mario", Code: gatewaytest.ParentCode, FirstName: "Mario", LastName: "Rossi", Email: "m@example.org", Proven: true}, gatewaytest.Password)
		if err != nil {
			t.Fatal(err)
		}
		sees := func() (out []string) {
			list, err := g.ClassNotices(ctx, a)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range list {
				out = append(out, c.Name+" "+c.Amount.String()+" "+string(c.State))
			}
			return out
		}
		paid := g.Issue()
		g.Issue(func(n *gateway.NewNotice) { n.Class = "3A" })
		g.Issue(func(n *gateway.NewNotice) { n.Draft = true })
		g.Issue(func(n *gateway.NewNotice) { n.DebtorName, n.DueDate = "Luca Bianchi", "2026-11-01" })
		g.Settle(paid, "")
		in := newMario()
		in.Relation = ""
		d, created, err := g.Delegate(ctx, op, school, "3B", in)
		if err != nil || !created || d.By != op || !d.Since.Equal(gatewaytest.Start) {
			t.Fatalf("Delegate = %+v, %v, %v", d, created, err)
		}
		if got, want := sees(), []string{"Luca Bianchi 16.50 expired", "Maria Rossi 16.50 paid"}; !slices.Equal(got, want) {
			t.Errorf("the delegate sees %q, want %q", got, want)
		}
		g.Time.Advance(time.Hour)
		in.Email = "new@example.org"
		if d, created, err = g.Delegate(ctx, op, school, "3B", in); err != nil || created || !d.Since.Equal(gatewaytest.Start) {
			t.Errorf("again = %+v, %v, %v", d, created, err)
		}
		list, err := g.Delegations(ctx, school, "3B")
		if err != nil || len(list) != 1 || list[0].Payer.Email != "new@example.org" || list[0].By != op {
			t.Errorf("Delegations = %+v, %v", list, err)
		}
		a.Proven = false
		if got := sees(); got != nil {
			t.Errorf("an account that is not proven sees %q", got)
		}
		a.Proven = true
		// The school year ends, and the delegation with it; a new one may be given.
		g.Time.Advance(365 * 24 * time.Hour)
		if got := sees(); got != nil {
			t.Errorf("next year the delegate sees %q", got)
		}
		if list, err := g.Delegations(ctx, school, "3B"); err != nil || len(list) != 0 {
			t.Errorf("next year's delegates: %+v, %v", list, err)
		}
		next := g.Issue(func(n *gateway.NewNotice) { n.DueDate = "2027-12-31" })
		if _, created, err := g.Delegate(ctx, op, school, "3B", in); err != nil || !created {
			t.Errorf("delegated anew: %v, %v", created, err)
		}
		if got := sees(); len(got) != 1 {
			t.Errorf("the new delegate sees %q, want %s", got, next.Number)
		}
		if err := g.EndDelegation(ctx, op, school, "3B", "y1"); err != nil {
			t.Fatal(err)
		}
		if got := sees(); got != nil {
			t.Errorf("taken back, sees %q", got)
		}
		if err := g.EndDelegation(ctx, op, school, "3B", "y1"); !errors.Is(err, gateway.ErrNotFound) {
			t.Errorf("EndDelegation again = %v", err)
		}
		want := []string{"delegate.added 3B/y1", "delegate.changed 3B/y1", "delegate.added 3B/y1", "delegate.ended 3B/y1"}
		got := slices.DeleteFunc(trail(t, g), func(s string) bool { return !strings.HasPrefix(s, "delegate.") })
		if !slices.Equal(got, want) {
			t.Errorf("audit trail %q, want %q", got, want)
		}
		for name, bad := range map[string]string{"a code": "RSSMRA10A41H501F", "a slash": "3/B", "long": strings.Repeat("3", 17)} {
			if _, _, err := g.Delegate(ctx, op, school, bad, in); len(wrongFields(err)) != 1 {
				t.Errorf("class of %s: %v", name, err)
			}
		}
	})
}

func TestPupilsAreFound(t *testing.T) {
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		for i, p := range []gateway.NewPupil{
			newMaria(),
			{ID: "p2", Code: "ANONIMO", FirstName: "Niccolò", LastName: "De Luca", Class: "3B", SchoolYear: "2025/26"},
			{ID: "p3", Code: "ANONIMO", FirstName: "Rosa", LastName: "Neri", Class: "1A"},
		} {
			if i > 1 {
				g.Time.Advance(time.Second)
			}
			if _, _, err := g.Enrol(t.Context(), gatewaytest.Operator, school, p, nil); err != nil {
				t.Fatal(err)
			}
		}
		ids := func(f gateway.PupilFilter) (out []string) {
			list, err := g.Pupils(t.Context(), gatewaytest.Operator, school, f)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range list {
				out = append(out, p.ID)
			}
			return out
		}
		for _, c := range []struct {
			name string
			f    gateway.PupilFilter
			want string
		}{
			{"all, newest first", gateway.PupilFilter{}, "p3 p2 p1"},
			{"page", gateway.PupilFilter{Limit: 2}, "p3 p2"},
			{"next page", gateway.PupilFilter{Limit: 2, Before: gatewaytest.Start, BeforeID: "p2"}, "p1"},
			{"class", gateway.PupilFilter{Class: "3B"}, "p2 p1"},
			{"year", gateway.PupilFilter{SchoolYear: "2026/27"}, "p3 p1"},
			{"code", gateway.PupilFilter{Code: gatewaytest.PupilCode}, "p1"},
			{"without code", gateway.PupilFilter{Code: gateway.Anonymous}, "p3 p2"},
			{"name", gateway.PupilFilter{Query: "ros"}, "p3 p1"},
			{"name, one", gateway.PupilFilter{Query: "ros", Limit: 1}, "p3"},
			{"two words", gateway.PupilFilter{Query: "rossi m"}, "p1"},
			{"name of a class", gateway.PupilFilter{Query: "nicco", Class: "1A"}, ""},
		} {
			if got := strings.Join(ids(c.f), " "); got != c.want {
				t.Errorf("%s: %q, want %q", c.name, got, c.want)
			}
		}
	})
}

// Once the official list is imported, a code must be in it and valid.
func TestOfficialTaxonomy(t *testing.T) {
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		day := func(s string) gateway.Date { d, _ := gateway.ParseDate(s); return d }
		list := []gateway.TaxonomyCode{
			{Code: "0801100AP", From: day("2020-01-01"), To: day("2099-12-31"), Kind: "08"},
			{Code: "0801101SP", From: day("2020-01-01"), To: day("2025-12-31"), Kind: "08"},
			{Code: "0801102SP", From: day("2026-11-23"), To: day("2026-11-23"), Kind: "08"},
		}
		issue := func(change func(*gateway.NewNotice)) []string {
			n := gateway.NewNotice{DebtorCode: string(gatewaytest.PupilCode), DebtorName: "Maria Rossi", Description: "Gita", Amount: 100, DueDate: "2026-12-31"}
			change(&n)
			_, err := g.Service.Issue(t.Context(), gatewaytest.Operator, school, []gateway.NewNotice{n}, true)
			if err != nil && wrongFields(err) == nil {
				t.Fatal(err)
			}
			return wrongFields(err)
		}
		with := func(code string) func(*gateway.NewNotice) { return func(n *gateway.NewNotice) { n.Taxonomy = code } }
		if got := issue(with("9/0000000IM/")); got != nil {
			t.Errorf("without a list: %q", got)
		}
		for name, bad := range map[string][]gateway.TaxonomyCode{
			"empty": {}, "form": {{Code: "9/0801100AP/", From: day("2020-01-01"), To: day("2020-01-01")}}, "days": {{Code: "0801100AP", From: day("2020-01-02"), To: day("2020-01-01")}},
		} {
			if err := g.ImportTaxonomy(t.Context(), gatewaytest.Operator, bad); len(wrongFields(err)) != 1 {
				t.Errorf("%s list: %v", name, err)
			}
		}
		if err := g.ImportTaxonomy(t.Context(), gatewaytest.Operator, list); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			name   string
			change func(*gateway.NewNotice)
			want   []string
		}{
			{"the school's own", with(""), nil},
			{"with free text", with("9/0801100AP/gita"), nil},
			{"bare", with("0801100AP"), nil},
			{"on its only day", with("9/0801102SP/"), nil},
			{"unknown", with("9/0000000IM/"), []string{"notices[0].taxonomy unknown"}},
			{"over", with("9/0801101SP/"), []string{"notices[0].taxonomy range"}},
			{"of a transfer", func(n *gateway.NewNotice) {
				n.Transfers = []gateway.NewTransfer{{Amount: 50}, {Amount: 50, Taxonomy: "9/0801101SP/"}}
			}, []string{"notices[0].transfers[1].taxonomy range"}},
		} {
			if got := issue(c.change); !slices.Equal(got, c.want) {
				t.Errorf("%s: %q, want %q", c.name, got, c.want)
			}
		}
		// So does what notices are made of later.
		gift := gateway.NewContribution{Description: "Dono", Amount: 500, DueDate: "2026-12-31"}
		campaign := gateway.CampaignContent{Kind: gateway.CampaignAssigned, Title: "Gita", Description: "Gita", Amount: 500, DueDate: "2026-12-31", Classes: []string{"3B"}}
		other := gateway.NewSchool{Code: string(gatewaytest.OtherCode), Name: "IC 1 Follonica", IBAN: gatewaytest.IBAN, Segregation: "01"}
		for code, want := range map[string][]string{"": nil, "9/0000000IM/": {"taxonomy unknown"}, "9/0801101SP/": {"taxonomy range"}} {
			gift.Taxonomy, campaign.Taxonomy, other.Taxonomy = code, code, code
			if _, err := g.OpenContribution(t.Context(), gatewaytest.Operator, school, gift); !slices.Equal(wrongFields(err), want) {
				t.Errorf("a contribution with %q: %v, want %q", code, err, want)
			}
			if _, err := g.CreateCampaign(t.Context(), gatewaytest.Operator, school, campaign); !slices.Equal(wrongFields(err), want) {
				t.Errorf("a campaign with %q: %v, want %q", code, err, want)
			}
			if want == nil {
				continue
			}
			if _, _, err := g.Service.AddSchool(t.Context(), gatewaytest.Operator, other); !slices.Equal(wrongFields(err), want) {
				t.Errorf("a school with %q: %v, want %q", code, err, want)
			}
			if _, err := g.ChangeSchool(t.Context(), gatewaytest.Operator, school, func(_ gateway.School, in *gateway.NewSchool) error {
				in.Taxonomy = code
				return nil
			}); !slices.Equal(wrongFields(err), want) {
				t.Errorf("a school changed to %q: %v, want %q", code, err, want)
			}
		}
		// The same school again is no change, though its code is over by now.
		other.Taxonomy = "9/0801102SP/"
		for _, later := range []time.Duration{0, 24 * time.Hour} {
			g.Time.Advance(later)
			if _, created, err := g.Service.AddSchool(t.Context(), gatewaytest.Operator, other); err != nil || created != (later == 0) {
				t.Errorf("a school with a good code, %v later: created %t, %v", later, created, err)
			}
			g.Time.Advance(-later)
		}
		n := g.Issue(with("9/0801102SP/"))
		g.Time.Advance(24 * time.Hour)
		if _, err := change(g, n, gateway.NoticeChange{DueDate: to("2027-01-31")}); err != nil {
			t.Errorf("what it carries since yesterday: %v", err)
		}
		if _, err := change(g, n, gateway.NoticeChange{Taxonomy: to("9/0801102SP/")}); !slices.Equal(wrongFields(err), []string{"taxonomy range"}) {
			t.Errorf("given anew: %v", err)
		}
		if list, err := g.Taxonomy(t.Context(), "08"); err != nil || len(list) != 1 || list[0].Code != "0801100AP" {
			t.Errorf("valid today: %+v, %v", list, err)
		}
	})
}
