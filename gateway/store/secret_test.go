// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"bytes"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/nodogate/nodogate/gateway/store"
)

func TestSecretIsMadeBesideAnEmptySQLite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, path := filepath.Join(dir, "data", "secret"), filepath.Join(dir, "data", "nodogate.db")
	// Several at once end with one secret.
	got := make([][]byte, 8)
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() {
			var err error
			if got[i], err = store.Secret(t.Context(), file, "sqlite://"+path); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, s := range got {
		if len(s) != 32 || !bytes.Equal(s, got[0]) || bytes.Equal(s, make([]byte, 32)) {
			t.Fatalf("secrets of %d bytes differ or are empty", len(s))
		}
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v, want 0600", info.Mode(), err)
	}
	entries, err := os.ReadDir(filepath.Dir(file))
	if err != nil || len(entries) != 1 {
		t.Errorf("%d files beside the secret, %v, want it alone", len(entries), err)
	}
	// An empty file of a database is none yet.
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Secret(t.Context(), filepath.Join(dir, "another"), "sqlite://"+path); err != nil {
		t.Errorf("Secret beside an empty file = %v", err)
	}
}

func TestSecretRefusals(t *testing.T) {
	t.Parallel()
	good := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32))
	for _, c := range []struct {
		name, content string
		mode          os.FileMode
		url           string
		want          string // in the error; empty: none
	}{
		{"as written by openssl", good + "\n", 0o600, "postgres://x", ""},
		{"read only", good, 0o400, "postgres://x", ""},
		{"for the group of a mount", good, 0o440, "postgres://x", ""},
		{"for all", good, 0o644, "postgres://x", "0600"},
		{"the group may write", good, 0o660, "postgres://x", "0600"},
		{"empty", "", 0o600, "sqlite://nowhere.db", "is empty"},
		{"too short", good[:40], 0o600, "postgres://x", "not 32 bytes"},
		{"too long", good[:43] + "A" + good, 0o600, "postgres://x", "not 32 bytes"},
		{"31 bytes", base64.StdEncoding.EncodeToString(make([]byte, 31)), 0o600, "postgres://x", "not 32 bytes"},
		{"no base64", strings.Repeat("*", 44), 0o600, "postgres://x", "not 32 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "secret")
			if err := os.WriteFile(file, []byte(c.content), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(file, c.mode); err != nil {
				t.Fatal(err)
			}
			secret, err := store.Secret(t.Context(), file, c.url)
			switch {
			case c.want == "":
				if err != nil || len(secret) != 32 || secret[0] != 7 {
					t.Errorf("Secret = %d bytes, %v", len(secret), err)
				}
			case err == nil || !strings.Contains(err.Error(), c.want):
				t.Errorf("Secret = %v, want an error with %q", err, c.want)
			case len(c.content) > 30 && strings.Contains(err.Error(), c.content[:30]):
				t.Errorf("Secret's error tells the secret")
			}
		})
	}
}

func TestSecretIsNotMadeForADatabaseWithData(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, path := filepath.Join(dir, "secret"), filepath.Join(dir, "nodogate.db")
	if err := os.WriteFile(path, []byte("SQLite format 3"), 0o600); err != nil {
		t.Fatal(err)
	}
	for url, want := range map[string]string{
		"sqlite://" + path:                   "put it back",
		"postgres://db.example.org/nodogate": "openssl rand -base64 32",
	} {
		_, err := store.Secret(t.Context(), file, url)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), file) {
			t.Errorf("Secret for %s = %v, want an error that names the file and says %q", url, err, want)
		}
		if _, err := os.Stat(file); err == nil {
			t.Fatalf("Secret for %s made a secret", url)
		}
	}
}

func TestOpenRefusals(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"", "mysql://x", "nodogate.db", "sqlite://", "postgres://user:hunter2@:bad:/x"} {
		db, err := store.Open(t.Context(), store.Config{URL: url, Secret: make([]byte, 32), Now: nowForTest})
		if err == nil {
			db.Close()
			t.Errorf("Open(%q) = nil, want an error", url)
			continue
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("Open's error tells the password: %v", err)
		}
	}
	path := filepath.Join(t.TempDir(), "a b?#%.db")
	db, err := store.OpenMigrated(t.Context(), store.Config{URL: "sqlite://" + path, Secret: make([]byte, 32), Now: nowForTest})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, name := range []string{path, path + "-wal"} {
		info, err := os.Stat(name)
		if err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v, %v, want a file of mode 0600", filepath.Base(name), info, err)
		}
	}
	if _, err := store.Open(t.Context(), store.Config{URL: "sqlite://" + path, Secret: make([]byte, 32)}); err == nil {
		t.Error("Open without a clock = nil, want an error")
	}
}
