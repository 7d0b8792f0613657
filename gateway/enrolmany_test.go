// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"slices"
	"testing"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
)

func TestEnrolMany(t *testing.T) {
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		mother := newMario()
		mother.ID, mother.Code, mother.FirstName, mother.Email, mother.Relation = "y2", "BNCLRA75B41F205I", "Lucia", "lucia@example.org", "mother"
		father := newMario()
		nameless := newMaria()
		nameless.ID = ""
		other := gateway.NewPupil{Code: "ANONIMO", FirstName: "Luca", LastName: "Bianchi", Class: "3A"}
		rows := []gateway.RegistryRow{{Row: 2, Pupil: newMaria(), Payer: &father}, {Row: 3, Pupil: newMaria(), Payer: &mother}, {Row: 4, Pupil: other}}
		many := func(rows []gateway.RegistryRow, dry bool) (gateway.RegistryImport, []string) {
			out, err := g.EnrolMany(t.Context(), gatewaytest.Operator, school, rows, dry)
			if err != nil && wrongFields(err) == nil {
				t.Fatal(err)
			}
			return out, wrongFields(err)
		}
		want := gateway.RegistryImport{Rows: 3, Enrolled: 2, Linked: 2}
		if out, bad := many(rows, true); out != want || bad != nil {
			t.Errorf("dry run = %+v, %q", out, bad)
		}
		if got := trail(t, g); len(got) != 0 {
			t.Errorf("a dry run did something: %q", got)
		}
		if out, bad := many(rows, false); out != want || bad != nil {
			t.Errorf("EnrolMany = %+v, %q", out, bad)
		}
		// The same again changes nothing, also without ids: codes tell who is who.
		unnamed := father
		unnamed.ID = ""
		same := []gateway.RegistryRow{{Row: 2, Pupil: nameless, Payer: &unnamed}, rows[1]}
		if out, bad := many(same, false); out != (gateway.RegistryImport{Rows: 2, Unchanged: 1}) || bad != nil {
			t.Errorf("again = %+v, %q", out, bad)
		}
		moved := newMaria()
		moved.Class = "4B"
		if out, bad := many([]gateway.RegistryRow{{Row: 2, Pupil: moved}}, false); out != (gateway.RegistryImport{Rows: 1, Changed: 1}) || bad != nil {
			t.Errorf("a new class = %+v, %q", out, bad)
		}
		if rec, err := g.Pupil(t.Context(), gatewaytest.Operator, school, "p1"); err != nil || rec.Class != "4B" || len(rec.Payers) != 2 {
			t.Errorf("the pupil = %+v, %v", rec, err)
		}
		// One wrong row, and nothing is done.
		before := len(trail(t, g))
		wrong := father
		wrong.Code, wrong.Relation = "RSSMRA80A01H501X", "zio"
		third := moved
		third.ID, third.FirstName = "p3", ""
		clash := newMaria()
		clash.LastName = "Altri"
		_, bad := many([]gateway.RegistryRow{
			{Row: 2, Pupil: moved}, {Row: 3, Pupil: third, Payer: &wrong}, {Row: 4, Pupil: clash}, {Row: 5, Pupil: moved, Payer: &mother}, {Row: 6, Pupil: moved, Payer: &mother},
		}, false)
		if want := []string{
			"rows[3].first_name required", "rows[3].payer_fiscal_code check_letter", "rows[3].payer_relation unknown", "rows[4].id duplicate", "rows[6].payer_id duplicate",
		}; !slices.Equal(bad, want) {
			t.Errorf("wrong rows: %q, want %q", bad, want)
		}
		if after := len(trail(t, g)); after != before {
			t.Errorf("wrong rows did %d things", after-before)
		}
		if _, bad := many(nil, false); !slices.Equal(bad, []string{"rows length"}) {
			t.Errorf("no rows: %q", bad)
		}
	})
}
