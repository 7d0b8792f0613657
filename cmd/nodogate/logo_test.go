// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/nodogate/nodogate/gateway"
)

func TestLogo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, body := range map[string]string{"80014480828.png": "png", "80015010723.jpg": "jpg", "secret": "no"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/etc/hostname", filepath.Join(dir, "80020030828.png")); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		folder, want string
		fails        bool
	}{
		"80014480828": {dir, "png", false},
		"80015010723": {dir, "jpg", false},
		"80016010821": {dir, "", false},
		"80020030828": {dir, "", true}, // a link out of the folder
	} {
		got, err := config{Logos: c.folder}.logo(gateway.SchoolCode(name))
		if string(got) != c.want || (err != nil) != c.fails {
			t.Errorf("logo of %s = %q, %v; want %q", name, got, err, c.want)
		}
	}
	for _, folder := range []string{"", filepath.Join(dir, "none")} {
		if got, err := (config{Logos: folder}).logo("80014480828"); got != nil || err != nil {
			t.Errorf("logo in folder %q = %q, %v; want none", folder, got, err)
		}
	}
}
