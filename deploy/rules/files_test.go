// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// topLevel is all that may stand beside go.mod, dot-files apart. The last row
// is made at run time and git-ignored.
var topLevel = []string{
	"gateway", "connectors", "iuv", "receipts", "cmd", "deploy", "docs",
	"go.mod", "go.sum", "Makefile", "README.md", "LICENSE", "CHANGELOG.md", "publiccode.yml",
	"bin", "data",
}

func TestTopLevel(t *testing.T) {
	t.Parallel()
	entries, err := os.ReadDir(root(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if name := entry.Name(); !strings.HasPrefix(name, ".") && !slices.Contains(topLevel, name) {
			t.Errorf("%s stands at the top level; it belongs in one of %q", name, topLevel[:7])
		}
	}
}

func TestEveryFileNamesItsLicence(t *testing.T) {
	t.Parallel()
	const line = "SPDX-License-Identifier: Apache-2.0"
	top := root(t)
	seen := 0
	err := filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() {
			rel, _ := filepath.Rel(top, path)
			if rel == "bin" || rel == "data" || rel == ".git" || slices.Contains([]string{"vendor", "node_modules", "testdata", "secrets"}, name) {
				return filepath.SkipDir
			}
			return nil
		}
		if !slices.Contains([]string{".go", ".sh", ".sql", ".css", ".yml", ".yaml"}, filepath.Ext(name)) &&
			!slices.Contains([]string{"Makefile", "Containerfile"}, name) {
			return nil
		}
		seen++
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		// Go files start with it; a script has its interpreter first.
		first, rest, _ := bytes.Cut(text, []byte("\n"))
		second, _, _ := bytes.Cut(rest, []byte("\n"))
		if bytes.Contains(first, []byte(line)) || filepath.Ext(name) != ".go" && bytes.Contains(second, []byte(line)) {
			return nil
		}
		rel, _ := filepath.Rel(top, path)
		t.Errorf("%s does not start with %q", rel, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen == 0 {
		t.Errorf("no file was looked at below %s", top)
	}
}

// root is the folder of go.mod.
func root(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("no go.mod above this test")
		}
		dir = parent
	}
}
