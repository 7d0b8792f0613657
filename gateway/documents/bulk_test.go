// SPDX-License-Identifier: Apache-2.0

package documents

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
)

// class issues n notices of a class, in an order that is not the one to print.
func class(g *gatewaytest.Gateway, name string, n int) []gateway.Notice {
	var list []gateway.Notice
	for i := range n {
		list = append(list, g.Issue(func(in *gateway.NewNotice) {
			in.Class, in.DebtorCode, in.DebtorName = name, "ANONIMO", fmt.Sprintf("Alunno %02d", n-i)
		}))
	}
	return list
}

func ask(t *testing.T, g *gatewaytest.Gateway, in gateway.NewPrint) gateway.Print {
	t.Helper()
	p, err := g.AskPrint(t.Context(), gatewaytest.Operator, gatewaytest.SchoolCode, in)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func once(t *testing.T, p *Printer, want bool) {
	t.Helper()
	if did, err := p.Once(t.Context()); did != want || err != nil {
		t.Fatalf("Once = %v, %v; want %v", did, err, want)
	}
}

func state(t *testing.T, g *gatewaytest.Gateway, p gateway.Print) gateway.Print {
	t.Helper()
	p, err := g.Print(t.Context(), p.School, p.ID)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func file(t *testing.T, g *gatewaytest.Gateway, p gateway.Print) []byte {
	t.Helper()
	r, err := g.OpenPrint(t.Context(), gatewaytest.Operator, p)
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestPrintOfAClass(t *testing.T) {
	t.Parallel()
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		list := class(g, "3B", 27)
		class(g, "3C", 2)
		printer := newPrinter(t, g, nil)
		once(t, printer, false)
		asked := ask(t, g, gateway.NewPrint{Class: "3B", Language: "sl"})
		if len(asked.Numbers) != 27 || asked.State != gateway.PrintRunning {
			t.Fatalf("asked for %d notices, %s", len(asked.Numbers), asked.State)
		}
		g.Settle(list[3], "") // paid before its turn
		once(t, printer, true)
		once(t, printer, false)
		done := state(t, g, asked)
		if done.State != gateway.PrintDone || done.Printed != 26 || done.Skipped != 1 || !done.ExpiresAt.Equal(g.Now().Add(23*time.Hour)) {
			t.Fatalf("print is %s with %d printed, %d skipped, until %s", done.State, done.Printed, done.Skipped, done.ExpiresAt)
		}
		path := save(t, file(t, g, done))
		if info := tool(t, "pdfinfo", path); !regexp.MustCompile(`Pages: +26\n`).MatchString(info) || !strings.Contains(info, "Avvisi di pagamento 3B") {
			t.Errorf("the document is\n%s", info)
		}
		names := regexp.MustCompile(`Alunno \d\d`).FindAllString(tool(t, "pdftotext", path, "-"), -1)
		names = slices.Compact(names)
		if !slices.IsSorted(names) || len(names) != 26 || slices.Contains(names, list[3].Debtor.Name) {
			t.Errorf("printed in the order %v", names)
		}

		g.Time.Advance(23 * time.Hour)
		if _, err := g.Print(t.Context(), done.School, done.ID); !errors.Is(err, gateway.ErrNotFound) {
			t.Errorf("an expired print: %v", err)
		}
		if err := g.SweepPrints(t.Context()); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 1)
		if _, err := g.OpenUpload(t.Context(), done.School, done.File).ReadAt(buf, 0); !errors.Is(err, gateway.ErrNotFound) {
			t.Errorf("the file of an expired print: %v", err)
		}
	})
}

func TestPrintAsArchive(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	list := class(g, "3 B/à", 3)
	asked := ask(t, g, gateway.NewPrint{Numbers: []string{list[2].Number.String(), list[0].Number.String()}, Format: gateway.PrintZIP})
	once(t, newPrinter(t, g, nil), true)
	out := file(t, g, state(t, g, asked))
	z, err := zip.NewReader(bytes.NewReader(out), int64(len(out)))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range z.File {
		names = append(names, f.Name)
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		head := make([]byte, 5)
		if _, err := io.ReadFull(r, head); err != nil || string(head) != "%PDF-" {
			t.Errorf("%s begins with %q, %v", f.Name, head, err)
		}
	}
	want := []string{"avviso-0001-3_B__-" + list[2].Number.String() + ".pdf", "avviso-0002-3_B__-" + list[0].Number.String() + ".pdf"}
	if !slices.Equal(names, want) {
		t.Errorf("the archive has %v, want %v", names, want)
	}
}

// A worker that dies loses its print to another, which begins anew; one that is
// too late changes nothing.
func TestPrintSurvivesItsWorker(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	list := class(g, "3B", 2)
	asked := ask(t, g, gateway.NewPrint{Class: "3B"})
	dead, err := g.ClaimPrint(t.Context(), "dead")
	if err != nil {
		t.Fatal(err)
	}
	printer := newPrinter(t, g, nil)
	once(t, printer, false) // it is the other's
	g.Time.Advance(time.Minute)
	once(t, printer, true)
	if got := state(t, g, asked); got.State != gateway.PrintDone || got.Printed != 2 {
		t.Fatalf("print is %s with %d printed", got.State, got.Printed)
	}
	dead.State = gateway.PrintFailed
	if err := g.FinishPrint(t.Context(), dead); !errors.Is(err, gateway.ErrConflict) {
		t.Errorf("the dead worker's word: %v", err)
	}

	// A process that stops gives its print back at once.
	asked = ask(t, g, gateway.NewPrint{Class: "3B"})
	ctx, stop := context.WithCancel(t.Context())
	claimed, err := g.ClaimPrint(ctx, "stopping")
	if err != nil {
		t.Fatal(err)
	}
	stop()
	if err := g.ReleasePrint(context.WithoutCancel(ctx), claimed); err != nil {
		t.Fatal(err)
	}
	once(t, printer, true)
	if got := state(t, g, asked); got.State != gateway.PrintDone || got.Tries != 1 {
		t.Errorf("print is %s after %d tries", got.State, got.Tries)
	}

	// All paid meanwhile: nothing to print.
	asked = ask(t, g, gateway.NewPrint{Class: "3B"})
	for _, n := range list {
		g.Settle(n, "")
	}
	once(t, printer, true)
	if got := state(t, g, asked); got.State != gateway.PrintFailed || got.Failure != nothingToPrint || got.Skipped != 2 {
		t.Errorf("print is %s, %q", got.State, got.Failure)
	}
}

func TestPrintRefuses(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	list := class(g, "3B", 2)
	g.Settle(list[1], "")
	open, paid := list[0].Number.String(), list[1].Number.String()
	for name, c := range map[string]struct {
		in   gateway.NewPrint
		want string
	}{
		"nothing":         {gateway.NewPrint{}, "class required"},
		"two":             {gateway.NewPrint{Class: "3B", Campaign: "c"}, "class required"},
		"an empty class":  {gateway.NewPrint{Class: "9Z"}, "class unknown"},
		"no campaign":     {gateway.NewPrint{Campaign: "x"}, "campaign unknown"},
		"a wrong number":  {gateway.NewPrint{Numbers: []string{"12"}}, "notices[0] format"},
		"not ours":        {gateway.NewPrint{Numbers: []string{open, "301000000000000000"}}, "notices[1] unknown"},
		"twice":           {gateway.NewPrint{Numbers: []string{open, open}}, "notices[1] duplicate"},
		"paid":            {gateway.NewPrint{Numbers: []string{open, paid}}, "notices[1] not_payable"},
		"too many":        {gateway.NewPrint{Numbers: make([]string, gateway.MaxPrint+1)}, "notices too_many"},
		"another format":  {gateway.NewPrint{Class: "3B", Format: "docx"}, "format unknown"},
		"another's class": {gateway.NewPrint{Class: "3b "}, "class unknown"},
	} {
		_, err := g.AskPrint(t.Context(), gatewaytest.Operator, gatewaytest.SchoolCode, c.in)
		var bad *gateway.Invalid
		if !errors.As(err, &bad) || bad.Fields[0].Field+" "+bad.Fields[0].Code != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	for range 20 {
		ask(t, g, gateway.NewPrint{Class: "3B"})
	}
	if _, err := g.AskPrint(t.Context(), gatewaytest.Operator, gatewaytest.SchoolCode, gateway.NewPrint{Class: "3B"}); !errors.Is(err, gateway.ErrTooManyPrints) {
		t.Errorf("the 21st print: %v", err)
	}
}
