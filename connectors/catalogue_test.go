// SPDX-License-Identifier: Apache-2.0

package connectors

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/money"
)

// fake is a connector made of what it does.
type fake func(context.Context, gateway.Order) (gateway.Started, error)

func (f fake) Start(ctx context.Context, o gateway.Order) (gateway.Started, error) { return f(ctx, o) }

func fakeDriver(f fake) Driver {
	return Driver{Name: "fake", New: func(DriverConfig) (Connector, error) { return f, nil }}
}

func newTestSet(t *testing.T, yaml string, change func(*Config)) (*Set, error) {
	t.Helper()
	c, err := ParseCatalogue([]byte(yaml))
	if err != nil {
		t.Fatalf("ParseCatalogue: %v", err)
	}
	cfg := Config{
		Catalogue:  c,
		Drivers:    []Driver{fakeDriver(nil)},
		Getenv:     func(string) string { return "" },
		Now:        time.Now,
		Log:        slog.New(slog.DiscardHandler),
		Registerer: prometheus.NewRegistry(),
	}
	if change != nil {
		change(&cfg)
	}
	return New(cfg)
}

func TestParseCatalogueReadsTheContract(t *testing.T) {
	t.Parallel()
	c, err := ParseCatalogue([]byte(`
psps:
  - id: BANCAUNO
    name: Banca Uno
    methods: [card, account_debit]
    connector: redirect
    endpoint: https://psp.example/pay
    secret_env: BANCAUNO_SECRET
    fees: [{up_to_cents: 10000, fee_cents: 100}, {fee_cents: 150}]
    max_amount_cents: 500000
    page_hosts: [pagine.psp.example]
    node: {broker: "97735020584", channel: "97735020584_01", password_env: BANCAUNO_NODE_PASSWORD}
`))
	if err != nil {
		t.Fatal(err)
	}
	var asked string
	var got DriverConfig
	set, err := New(Config{
		Catalogue: c,
		Drivers: []Driver{{Name: "redirect", New: func(cfg DriverConfig) (Connector, error) {
			got = cfg
			return fake(nil), nil
		}}},
		Getenv:     func(name string) string { asked = name; return "s3cret" },
		Now:        time.Now,
		Log:        slog.New(slog.DiscardHandler),
		Registerer: prometheus.NewRegistry(),
	})
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	if asked != "BANCAUNO_SECRET" || got.Secret != "s3cret" || got.ID != "BANCAUNO" || got.Name != "Banca Uno" ||
		got.Endpoint.String() != "https://psp.example/pay" || len(got.PageHosts) != 1 || got.HTTP == nil {
		t.Errorf("the driver got %+v, secret from %q", got, asked)
	}
	if name := set.Name("BANCAUNO"); name != "Banca Uno" {
		t.Errorf("Name = %q", name)
	}
	if name := set.Name("GONE"); name != "GONE" {
		t.Errorf("Name of an unlisted PSP = %q, want its id", name)
	}
}

func TestParseCatalogueRefuses(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"unknown key":       "psps: [{id: A, nmae: x}]",
		"unknown inner key": "psps: [{id: A, fees: [{fee: 1}]}]",
		"key twice":         "psps: [{id: A, id: B}]",
		"euro":              "psps: [{id: A, fees: [{fee_cents: 1.50}]}]",
		"two documents":     "psps: []\n---\npsps: []",
		"no YAML":           "psps: [",
	} {
		if _, err := ParseCatalogue([]byte(text)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestNewListsEveryMistake(t *testing.T) {
	t.Parallel()
	_, err := newTestSet(t, `
psps:
  - {id: A, name: A, methods: [card], connector: fake, endpoint: "https://a.example", fees: [{fee_cents: 0}]}
  - {id: A, name: "", methods: [card, card, cash], connector: other, endpoint: "http://a.example", secret_env: A_SECRET}
  - {id: "a b", name: B, connector: fake, endpoint: "https://u:p4ss@b.example", fees: [{fee_cents: 1}, {up_to_cents: 5, fee_cents: -1}], page_hosts: ["https://b.example"]}
  - {id: C, name: C, methods: [card], connector: fake, endpoint: "ftp://c.example", max_amount_cents: -1,
     fees: [{up_to_cents: 10, fee_cents: 1}, {up_to_cents: 10, fee_cents: 2}], node: {broker: "1"}}
  - {id: D, name: D, methods: [card], connector: fake, endpoint: "https://d.example?key=1", fees: [{fee_cents: 0}]}
`, nil)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		`psps[1] A: id: another`, `psps[1] A: name:`, `psps[1] A: methods: card stands there twice`, `psps[1] A: methods: "cash"`,
		`psps[1] A: connector: there is none called "other"`, `psps[1] A: endpoint: must be https`, `psps[1] A: secret_env: the environment variable A_SECRET`,
		`psps[1] A: fees: give at least one band`,
		`psps[2] a b: id:`, `psps[2] a b: methods: give`, `psps[2] a b: endpoint: no user`, `psps[2] a b: fees[0].up_to_cents: only the last`,
		`psps[2] a b: fees[1].fee_cents`, `psps[2] a b: page_hosts`,
		`psps[3] C: endpoint: must be https`, `psps[3] C: max_amount_cents`, `psps[3] C: fees[1].up_to_cents: give more`,
		`psps[3] C: node.broker`, `psps[3] C: node.channel`, `psps[3] C: node.password_env`,
		`psps[4] D: endpoint: no user, query`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("not listed: %s", want)
		}
	}
	if strings.Contains(err.Error(), "p4ss") || strings.Contains(err.Error(), "psps[0]") {
		t.Errorf("the list holds too much:\n%v", err)
	}
	if lines := strings.Count(err.Error(), "\n") + 1; lines != 21 {
		t.Errorf("%d mistakes listed, want 21:\n%v", lines, err)
	}
}

func TestNewTellsADriversMistake(t *testing.T) {
	t.Parallel()
	mistake := errors.New("secret_env: this connector needs one")
	_, err := newTestSet(t, `psps: [{id: A, name: A, methods: [card], connector: fake, endpoint: "https://a.example", fees: [{fee_cents: 0}]}]`,
		func(c *Config) {
			c.Drivers = []Driver{{Name: "fake", New: func(DriverConfig) (Connector, error) { return nil, mistake }}}
		})
	if !errors.Is(err, mistake) {
		t.Errorf("got %v", err)
	}
}

// A PSP that settles on the node face, and may not call it, would never settle.
func TestNewWantsANodeToSettleOn(t *testing.T) {
	t.Parallel()
	for node, wants := range map[string]bool{"": true, `, node: {broker: "97735020584", channel: c, password_env: P}`: false} {
		_, err := newTestSet(t, `psps: [{id: A, name: A, methods: [card], connector: fake, endpoint: "https://a.example", fees: [{fee_cents: 0}]`+node+`}]`,
			func(c *Config) {
				c.Drivers = []Driver{{Name: "fake", Settlement: gateway.SettledByPSP, New: func(DriverConfig) (Connector, error) { return fake(nil), nil }}}
			})
		if (err != nil) != wants || err != nil && !strings.Contains(err.Error(), "psps[0] A: node: fake needs it") {
			t.Errorf("with %q: %v", node, err)
		}
	}
}

func TestFee(t *testing.T) {
	t.Parallel()
	cents := func(c money.Cents) *money.Cents { return &c }
	open := PSP{Fees: []Band{{cents(1000), 50}, {cents(10000), 100}, {nil, 150}}, MaxAmount: 50000}
	closed := PSP{Fees: []Band{{cents(1000), 50}}}
	for _, c := range []struct {
		psp    PSP
		amount money.Cents
		fee    money.Cents
		takes  bool
	}{
		{open, 1, 50, true}, {open, 1000, 50, true}, {open, 1001, 100, true}, {open, 10000, 100, true},
		{open, 10001, 150, true}, {open, 50000, 150, true}, {open, 50001, 0, false},
		{closed, 1000, 50, true}, {closed, 1001, 0, false},
	} {
		if fee, takes := c.psp.Fee(c.amount); fee != c.fee || takes != c.takes {
			t.Errorf("Fee(%d) = %d, %t; want %d, %t", c.amount, fee, takes, c.fee, c.takes)
		}
	}
}

func FuzzParseCatalogue(f *testing.F) {
	f.Add([]byte("psps: [{id: A, methods: [card], fees: [{up_to_cents: 1, fee_cents: 2}]}]"))
	f.Add([]byte("psps: [{id: A, fees: &a [{fee_cents: 1e3}]}, {fees: *a}]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := ParseCatalogue(text)
		if err != nil {
			return
		}
		for i := range c.PSPs {
			c.PSPs[i].check(false, func(string) string { return "" }) // must not panic
		}
	})
}
