// SPDX-License-Identifier: Apache-2.0

package connectors

import (
	"reflect"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/money"
	"github.com/nodogate/nodogate/gateway/pagopa"
)

func TestFromList(t *testing.T) {
	t.Parallel()
	flat := func(fee money.Cents) []pagopa.FeeBand { return []pagopa.FeeBand{{UpTo: money.Max, Fee: fee}} }
	cents := func(c money.Cents) *money.Cents { return &c }
	const card, account, bulletin = gateway.MethodCard, gateway.MethodAccountDebit, gateway.MethodBulletin
	for name, c := range map[string]struct {
		services []pagopa.PSPService
		want     []PSP // id, methods, fees and maximum
		notes    string
	}{
		"every method at one price": {
			services: []pagopa.PSPService{{Method: "BP", Bands: flat(100)}, {Method: "AD", Bands: flat(100)}, {Method: "CP", Bands: flat(100)}},
			want:     []PSP{{ID: "ABI00000", Methods: []gateway.Method{card, account, bulletin}, Fees: []Band{{nil, 100}}}},
		},
		"accounts of every kind": {
			services: []pagopa.PSPService{{Method: "OBEP", Bands: flat(100)}, {Method: "MYBK", Bands: flat(100)}, {Method: "BBT", Bands: flat(100)}},
			want:     []PSP{{ID: "ABI00000", Methods: []gateway.Method{account}, Fees: []Band{{nil, 100}}}},
		},
		"a price for each method": {
			services: []pagopa.PSPService{{Method: "AD", Bands: flat(50)}, {Method: "CP", Bands: flat(100)}},
			want: []PSP{{ID: "ABI00000-card", Methods: []gateway.Method{card}, Fees: []Band{{nil, 100}}},
				{ID: "ABI00000-account_debit", Methods: []gateway.Method{account}, Fees: []Band{{nil, 50}}}},
		},
		"bands out of order, the last with a maximum": {
			services: []pagopa.PSPService{{Method: "CP", Bands: []pagopa.FeeBand{{UpTo: 500000, Fee: 150}, {UpTo: 10000, Fee: 100}, {UpTo: 500000, Fee: 150}}}},
			want:     []PSP{{ID: "ABI00000", Methods: []gateway.Method{card}, Fees: []Band{{cents(10000), 100}, {nil, 150}}, MaxAmount: 500000}},
		},
		"another maximum is another price": {
			services: []pagopa.PSPService{{Method: "CP", Bands: flat(100)}, {Method: "BP", Bands: []pagopa.FeeBand{{UpTo: 100000, Fee: 100}}}},
			want: []PSP{{ID: "ABI00000-card", Methods: []gateway.Method{card}, Fees: []Band{{nil, 100}}},
				{ID: "ABI00000-postal_bulletin", Methods: []gateway.Method{bulletin}, Fees: []Band{{nil, 100}}, MaxAmount: 100000}},
		},
		"fees under a contract are others'": {
			services: []pagopa.PSPService{{Method: "CP", Bands: []pagopa.FeeBand{{UpTo: 100, Fee: 1, Convention: true}, {UpTo: money.Max, Fee: 100}}}},
			want:     []PSP{{ID: "ABI00000", Methods: []gateway.Method{card}, Fees: []Band{{nil, 100}}}},
		},
		"left out": {
			services: []pagopa.PSPService{
				{Channel: "C1", Method: "CP", Bands: flat(100)},
				{Channel: "C2", Method: "CP", Bands: flat(200)},
				{Channel: "C3", Method: "PPAL", Bands: flat(100)},
				{Channel: "C4", Method: "BP", Model: "4", Bands: flat(100)},
				{Channel: "C5", Method: "BP", Bands: []pagopa.FeeBand{{UpTo: money.Max, Fee: 1, Commission: 1}}},
				{Channel: "C6", Method: "BP", Bands: []pagopa.FeeBand{{UpTo: money.Max, Fee: 1}, {UpTo: money.Max, Fee: 2}}},
				{Channel: "C7", Method: "BP", Bands: []pagopa.FeeBand{{UpTo: money.Max, Fee: 1, Convention: true}}},
			},
			want: []PSP{{ID: "ABI00000", Methods: []gateway.Method{card}, Fees: []Band{{nil, 100}}}},
			notes: `ABI00000, channel "C2", CP: left out, other fees than its first card
ABI00000, channel "C3", PPAL: left out, no method of ours
ABI00000, channel "C4", BP: left out, paid at the PSP
ABI00000, channel "C5", BP: left out, a commission beside the fixed fee
ABI00000, channel "C6", BP: left out, two fees for one band
ABI00000, channel "C7", BP: left out, fees for creditors with a contract only`,
		},
		"nothing that can be paid with": {services: []pagopa.PSPService{{Channel: "C", Method: "PO", Model: "4", Bands: flat(1)}}, notes: `ABI00000, channel "C", PO: left out, no method of ours`},
	} {
		like := PSP{Connector: "checkout", Endpoint: "https://psp.example", SecretEnv: "KEY", PageHosts: []string{"pagine.example"}}
		// The services in one listing, and each in a listing of its own.
		split := make([]pagopa.PSPListing, 0, len(c.services))
		for _, s := range c.services {
			split = append(split, pagopa.PSPListing{PSP: "ABI00000", Name: "Banca di Prova", Services: []pagopa.PSPService{s}})
		}
		for i, list := range [][]pagopa.PSPListing{{{PSP: "ABI00000", Name: "Banca di Prova", Services: c.services}}, split} {
			var want []PSP
			for _, p := range c.want {
				p.Name, p.Connector, p.Endpoint, p.SecretEnv, p.PageHosts = "Banca di Prova", like.Connector, like.Endpoint, like.SecretEnv, like.PageHosts
				want = append(want, p)
			}
			got, notes := FromList(list, like)
			if !reflect.DeepEqual(got.PSPs, want) {
				t.Errorf("%s, %d: got %+v, want %+v", name, i, got.PSPs, want)
			}
			if told := strings.Join(notes, "\n"); told != c.notes {
				t.Errorf("%s, %d: notes\n%s\nwant\n%s", name, i, told, c.notes)
			}
			for _, p := range got.PSPs {
				if bad := p.check(false, func(string) string { return "s3cret" }); len(bad) > 0 {
					t.Errorf("%s: the catalogue would be refused: %v", name, bad)
				}
			}
		}
	}
}

// Whatever a list says, what is made of it is a catalogue that is written, read
// back and taken.
func FuzzFromList(f *testing.F) {
	for _, name := range []string{"Banca di Prova", "1.50", "~", "yes", " a: b # c\n", "\u0085\u2028- {a: b}", "'\"", "è €"} {
		f.Add("ABI00000", name, "CP", "AD", int64(10000), int64(100), int64(99999999999), int64(150))
		f.Add("123E4567", name, "BP", "BP", int64(1), int64(0), int64(1), int64(0))
		f.Add("0000000", name, "OBEP", "PPAL", int64(2), int64(1), int64(1), int64(2))
	}
	f.Fuzz(func(t *testing.T, id, name, one, other string, upTo, fee, upTo2, fee2 int64) {
		// What ReadPSPList lets through.
		amount := func(n, least int64) money.Cents { return money.Cents(min(max(n, least), int64(money.Max))) }
		if !regexp.MustCompile(`\A[A-Z0-9]{6,14}\z`).MatchString(id) || !utf8.ValidString(name) || name == "" || utf8.RuneCountInString(name) > 70 ||
			strings.ContainsFunc(name, func(r rune) bool { return r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF }) {
			return
		}
		bands := []pagopa.FeeBand{{UpTo: amount(upTo, 1), Fee: amount(fee, 0)}, {UpTo: amount(upTo2, 1), Fee: amount(fee2, 0)}}
		c, _ := FromList([]pagopa.PSPListing{{PSP: id, Name: name, Services: []pagopa.PSPService{
			{Method: one, Bands: bands}, {Method: other, Bands: bands[:1]},
		}}}, PSP{Connector: "checkout", Endpoint: "https://psp.example", SecretEnv: "KEY", PageHosts: []string{"pagine.example"}})
		text, err := c.YAML()
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseCatalogue(text)
		if err != nil || len(again.PSPs) != len(c.PSPs) || len(c.PSPs) > 0 && !reflect.DeepEqual(again, c) {
			t.Fatalf("%v; wrote\n%s\nof %+v, read %+v", err, text, c, again)
		}
		for i, p := range again.PSPs {
			if bad := p.check(false, func(string) string { return "s3cret" }); len(bad) > 0 {
				t.Errorf("psps[%d] would be refused: %v", i, bad)
			}
		}
	})
}
