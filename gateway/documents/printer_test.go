// SPDX-License-Identifier: Apache-2.0

package documents

import (
	"errors"
	"strings"
	"testing"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
)

func newPrinter(t *testing.T, g *gatewaytest.Gateway, logo func(gateway.SchoolCode) ([]byte, error)) *Printer {
	t.Helper()
	p, err := NewPrinter(Config{Service: g.Service, Name: t.Name(), Logo: logo})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPrinterNotice(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	n := g.Issue()
	p := newPrinter(t, g, nil)
	read := func(n gateway.Notice, language string) string {
		t.Helper()
		out, err := p.Notice(t.Context(), n, g.School, language)
		if err != nil {
			t.Fatal(err)
		}
		return tool(t, "pdftotext", save(t, out), "-")
	}
	text := read(n, "en")
	for _, want := range []string{"Maria Rossi", "IC 6 Grosseto", "16,50 €", "31/12/2026", n.Number.Grouped(), "PAYMENT NOTICE", "/paga, con l'app IO", "RATA UNICA"} {
		if !strings.Contains(text, want) {
			t.Errorf("the notice lacks %q:\n%s", want, text)
		}
	}
	// Whoever is not told whose it is, is not told by the print.
	hidden := n
	hidden.Debtor = gateway.Debtor{Code: gateway.Anonymous}
	if text := read(hidden, ""); strings.Contains(text, "Rossi") || !strings.Contains(text, "non indicato") {
		t.Errorf("a hidden debtor is printed:\n%s", text)
	}
	g.Settle(n, "")
	paid, err := g.Notice(t.Context(), n.School, n.Number)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Notice(t.Context(), paid, g.School, ""); !errors.Is(err, gateway.ErrNoticePaid) {
		t.Errorf("a paid notice: %v", err)
	}
}

// The single option of a plan brings its instalments; an instalment comes alone.
func TestPrinterPlan(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	single := g.Issue(func(n *gateway.NewNotice) {
		n.Amount = 3000
		for _, due := range []string{"2026-12-10", "2027-01-10", "2027-02-10"} {
			n.Instalments = append(n.Instalments, gateway.NewInstalment{Amount: 1000, DueDate: due})
		}
	})
	p := newPrinter(t, g, nil)
	out, err := p.Notice(t.Context(), single, g.School, "")
	if err != nil {
		t.Fatal(err)
	}
	text := tool(t, "pdftotext", save(t, out), "-")
	for _, want := range []string{"RATA UNICA", "RATA 1 DI 3", "RATA 2 DI 3", "RATA 3 DI 3", "oppure a rate", "10/02/2027"} {
		if !strings.Contains(text, want) {
			t.Errorf("the plan lacks %q:\n%s", want, text)
		}
	}
	list, err := g.Notices(t.Context(), single.School, gateway.NoticeFilter{Plan: single.Plan, Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range list {
		if n.Instalment != 2 {
			continue
		}
		if out, err = p.Notice(t.Context(), n, g.School, ""); err != nil {
			t.Fatal(err)
		}
		text := tool(t, "pdftotext", save(t, out), "-")
		if !strings.Contains(text, "RATA 2 DI 3") || strings.Contains(text, "RATA 1 DI 3") || strings.Contains(text, "RATA UNICA") {
			t.Errorf("an instalment alone:\n%s", text)
		}
	}
}

// A logo that cannot be printed keeps no notice from being printed.
func TestPrinterLogo(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	n := g.Issue()
	size := func(logo func(gateway.SchoolCode) ([]byte, error)) int {
		out, err := newPrinter(t, g, logo).Notice(t.Context(), n, g.School, "")
		if err != nil {
			t.Fatal(err)
		}
		return len(out)
	}
	bare := size(nil)
	if with := size(func(gateway.SchoolCode) ([]byte, error) { return logo(t), nil }); with < bare+500 {
		t.Errorf("with a logo %d bytes, without %d", with, bare)
	}
	for name, broken := range map[string]func(gateway.SchoolCode) ([]byte, error){
		"no picture": func(gateway.SchoolCode) ([]byte, error) { return []byte("GIF89a"), nil },
		"cut":        func(gateway.SchoolCode) ([]byte, error) { return logo(t)[:500], nil },
		"too large":  func(gateway.SchoolCode) ([]byte, error) { return make([]byte, 1<<20+1), nil },
		"unreadable": func(gateway.SchoolCode) ([]byte, error) { return nil, errors.New("no disk") },
	} {
		if got := size(broken); got != bare {
			t.Errorf("%s: %d bytes, want the notice without a logo, %d", name, got, bare)
		}
	}
	if _, err := NewPrinter(Config{}); err == nil {
		t.Error("a Printer without a Service")
	}
}
