// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/nodogate/nodogate"

// row says what the non-test code of a package may import of ours. Its tests
// may import more: only cmd is closed to them too.
type row struct {
	may []string
	// light packages are what everything else stands on: none of heavy may
	// come in with them, not even through a library.
	light bool
	// pure packages take nothing from outside but the standard library, and of
	// that nothing that does I/O or throws dice.
	pure bool
}

// The layers, inside out.
var (
	core    = []string{"iuv", "gateway/money"}
	wire    = slices.Concat(core, []string{"gateway/soap"})
	domain  = slices.Concat(core, []string{"gateway", "receipts"})
	formats = []string{"gateway/soap", "gateway/pagopa", "gateway/pdf", "gateway/sheet", "receipts/xml", "receipts/pdf"}
	// below is the domain and everything it stands on: what an edge, a service
	// and a store may use.
	below = slices.Concat(domain, formats, []string{"gateway/places"})
	// A connector takes the domain and the messages; never a sibling.
	connector = slices.Concat(domain, []string{"connectors", "gateway/pagopa", "gateway/soap"})
	// Kits are imported by tests and by one another, never by what ships.
	kits = []string{"gateway/gatewaytest", "gateway/httpapi/apiclient", "gateway/store/storetest", "connectors/connectortest"}
)

// anything stands for every package of ours but cmd and the kits.
const anything = "*"

var table = map[string]row{
	"iuv":           {light: true, pure: true},
	"gateway/money": {light: true, pure: true},
	"gateway/soap":  {}, // etree
	// The way out, for whoever calls addresses that others name.
	"gateway/egress": {light: true},

	"receipts":       {may: core, light: true, pure: true},
	"gateway/places": {light: true, pure: true},
	"gateway":        {may: slices.Concat(core, []string{"receipts", "gateway/places"}), light: true},
	"gateway/pagopa": {may: wire},
	"gateway/pdf":    {}, // fonts, gozxing; knows no notice and no receipt
	"gateway/sheet":  {may: []string{"gateway/money"}},
	"receipts/xml":   {may: slices.Concat(wire, []string{"receipts", "gateway/pagopa"})},
	"receipts/pdf":   {may: slices.Concat(core, []string{"receipts", "receipts/xml", "gateway/pdf"})},

	"gateway/pafornode":  {may: below},
	"gateway/nodeforpsp": {may: below},
	"gateway/httpapi":    {may: below},
	"gateway/portal":     {may: below},
	"gateway/documents":  {may: below},
	"gateway/reconcile":  {may: below},
	"gateway/imports":    {may: below},
	"gateway/notify":     {may: slices.Concat(below, []string{"gateway/egress"})},
	"gateway/oidc":       {may: slices.Concat(below, []string{"gateway/egress"})},
	"gateway/store":      {may: below},
	"gateway/cache":      {may: below},

	"connectors":             {may: slices.Concat(domain, []string{"gateway/pagopa", "gateway/soap", "gateway/egress"})},
	"connectors/afm":         {may: connector},
	"connectors/checkout":    {may: connector},
	"connectors/redirect":    {may: connector},
	"connectors/berlingroup": {may: connector},
	"connectors/bollettino":  {may: slices.Concat(connector, []string{"gateway/pdf"})},
	"connectors/sandbox":     {may: slices.Concat(connector, []string{"receipts/xml"})},

	"gateway/httpapi/apiclient": {},
	"gateway/gatewaytest":       {may: slices.Concat([]string{anything}, kits)},
	"gateway/store/storetest":   {may: slices.Concat([]string{anything}, kits)},
	"connectors/connectortest":  {may: slices.Concat([]string{anything}, kits)},

	"cmd/nodogate": {may: []string{anything}},
	"deploy/rules": {},
}

// heavy is what must never reach a light package: web frameworks, databases,
// caches, XML trees and PDF writers belong to the edges.
var heavy = []string{
	"database/sql",
	"github.com/gin-gonic/gin",
	"github.com/jackc/pgx",
	"modernc.org/sqlite",
	"github.com/redis/go-redis",
	"github.com/beevik/etree",
	"github.com/makiuchi-d/gozxing",
	"golang.org/x/image",
}

// impure is what a pure package leaves to its caller.
var impure = []string{"os", "os/exec", "net", "net/http", "crypto/rand", "math/rand", "math/rand/v2"}

// pkg is what go list tells of one package.
type pkg struct {
	ImportPath, Name                         string
	Imports, TestImports, XTestImports, Deps []string
	Error                                    *struct{ Err string }
}

// ours turns an import path into a path below the module; ok is false for
// other people's packages.
func ours(path string) (rel string, ok bool) {
	return strings.CutPrefix(path, module+"/")
}

func (r row) allows(rel string) bool {
	if slices.Contains(r.may, rel) {
		return true
	}
	return slices.Contains(r.may, anything) && !slices.Contains(kits, rel) && !strings.HasPrefix(rel, "cmd/")
}

// faults lists everything in which one package breaks the rules.
func faults(p pkg) []string {
	var found []string
	rel, _ := ours(p.ImportPath)
	r, ok := table[rel]
	if !ok {
		return []string{"has no row in the table of deploy/rules: say there what it may import"}
	}
	for _, path := range p.Imports {
		target, own := ours(path)
		switch {
		case own && !r.allows(target):
			found = append(found, "imports "+target)
		case !own && r.pure && strings.Contains(strings.Split(path, "/")[0], "."):
			found = append(found, "imports "+path+", which is not of the standard library")
		case r.pure && slices.Contains(impure, path):
			found = append(found, "is pure and imports "+path)
		}
	}
	for _, path := range slices.Concat(p.TestImports, p.XTestImports) {
		if target, own := ours(path); own && strings.HasPrefix(target, "cmd/") {
			found = append(found, "imports "+target+" in a test")
		}
	}
	if r.light {
		for _, path := range p.Deps {
			for _, h := range heavy {
				if path == h || strings.HasPrefix(path, h+"/") {
					found = append(found, "reaches "+path+" through what it imports")
				}
			}
		}
	}
	return found
}

func TestWhoMayImportWhom(t *testing.T) {
	t.Parallel()
	packages := list(t)
	for _, p := range packages {
		// A package that does not load would hide its imports.
		if p.Error != nil && !strings.Contains(p.Error.Err, "no non-test Go files") {
			t.Errorf("%s: %s", p.ImportPath, p.Error.Err)
		}
		for _, fault := range faults(p) {
			t.Errorf("%s %s", p.ImportPath, fault)
		}
	}
	if !slices.ContainsFunc(packages, func(p pkg) bool { return p.ImportPath == module+"/deploy/rules" }) {
		t.Errorf("go list told of %d packages, this one not among them", len(packages))
	}
}

// TestRowsNameWhatTheTableKnows finds a misspelt name, which would forbid
// nothing and permit nothing.
func TestRowsNameWhatTheTableKnows(t *testing.T) {
	t.Parallel()
	for name, r := range table {
		for _, target := range r.may {
			if _, ok := table[target]; !ok && target != anything {
				t.Errorf("row %s names %s, which has no row", name, target)
			}
		}
	}
	for _, kit := range kits {
		if _, ok := table[kit]; !ok {
			t.Errorf("kit %s has no row", kit)
		}
	}
}

func TestFaultsAreFound(t *testing.T) {
	t.Parallel()
	of := func(rel string, imports ...string) pkg {
		p := pkg{ImportPath: module + "/" + rel}
		for _, path := range imports {
			if _, ok := table[path]; ok {
				path = module + "/" + path
			}
			p.Imports = append(p.Imports, path)
		}
		p.Deps = p.Imports
		return p
	}
	tests := []struct {
		name string
		pkg  pkg
		want int
	}{
		{"the domain on its parts", of("gateway", "iuv", "receipts", "gateway/money", "context"), 0},
		{"an edge on the domain", of("gateway/portal", "gateway", "receipts/pdf", "github.com/gin-gonic/gin"), 0},
		{"a kit on a store", of("gateway/gatewaytest", "gateway/store", "connectors/sandbox"), 0},
		{"cmd on all", of("cmd/nodogate", "gateway/store", "connectors/checkout", "gateway/portal"), 0},
		{"no row", of("gateway/utils"), 1},
		{"the domain on a store", of("gateway", "gateway/store"), 1},
		{"the domain on a database", of("gateway", "database/sql"), 1},
		{"the domain on a driver's part", of("gateway", "github.com/jackc/pgx/v5/pgxpool"), 1},
		{"a receipt on XML", of("receipts", "github.com/beevik/etree"), 2},
		{"iuv on dice", of("iuv", "crypto/rand"), 1},
		{"iuv on the domain", of("iuv", "gateway"), 1},
		{"an edge on an edge", of("gateway/portal", "gateway/httpapi"), 1},
		{"an edge on a store", of("gateway/pafornode", "gateway/store"), 1},
		{"an edge on a connector", of("gateway/portal", "connectors"), 1},
		{"a connector on its sibling", of("connectors/checkout", "connectors/sandbox"), 1},
		{"a store on the cache", of("gateway/store", "gateway/cache"), 1},
		{"cmd on a kit", of("cmd/nodogate", "gateway/gatewaytest"), 1},
		{"a kit on cmd", of("gateway/gatewaytest", "cmd/nodogate"), 1},
		{"a test on cmd", pkg{ImportPath: module + "/gateway/portal", TestImports: []string{module + "/cmd/nodogate"}}, 1},
		{"a test on a store", pkg{ImportPath: module + "/gateway/portal", XTestImports: []string{module + "/gateway/store"}}, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := faults(test.pkg); len(got) != test.want {
				t.Errorf("faults = %q, want %d of them", got, test.want)
			}
		})
	}
}

// list asks the go command for every package of the module, broken ones too.
func list(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e",
		"-json=ImportPath,Name,Imports,TestImports,XTestImports,Deps,Error", module+"/...")
	cmd.Dir = root(t)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	var packages []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatalf("read go list: %v", err)
		}
		packages = append(packages, p)
	}
}
