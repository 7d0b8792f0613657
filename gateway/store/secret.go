// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Secret loads the root secret: 32 bytes in base64, in a file that others cannot
// read (its group may, as container platforms mount secrets so). Where there is
// no file, one is made beside a SQLite database that does not exist yet or is
// empty; for every other database a new secret would only hide that the old one
// is lost, so that is an error that says what to do.
func Secret(ctx context.Context, file, databaseURL string) ([]byte, error) {
	secret, err := readSecret(file)
	if !errors.Is(err, fs.ErrNotExist) {
		return secret, err
	}
	path, ok := sqlitePath(databaseURL)
	if !ok {
		return nil, fmt.Errorf("the root secret %s is missing: put the one of this database there, or for a new database make one once with "+
			"\"openssl rand -base64 32\", mode 0600, and keep a copy", file)
	}
	info, err := os.Stat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err == nil && info.Size() > 0 {
		return nil, fmt.Errorf("the database %s has data, but its root secret %s is missing: put it back from your copy", path, file)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := makeSecret(file); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("make root secret: %w", err)
	}
	return readSecret(file) // another process may have been first
}

// ReadSecret reads a root secret that has to be there; fs.ErrNotExist when it is
// not.
func ReadSecret(file string) ([]byte, error) { return readSecret(file) }

func readSecret(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("root secret: %w", err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("root secret: %w", err)
	}
	if info.Mode().Perm()&0o027 != 0 {
		return nil, fmt.Errorf("the root secret %s has mode %04o: others can read it or its group write it; make it 0600", file, info.Mode().Perm())
	}
	text := make([]byte, 128)
	n, err := f.Read(text)
	if err != nil && n == 0 {
		return nil, fmt.Errorf("the root secret %s is empty", file)
	}
	secret, err := base64.StdEncoding.Strict().DecodeString(strings.TrimSpace(string(text[:n])))
	if err != nil || len(secret) != 32 {
		return nil, fmt.Errorf("the root secret %s is not 32 bytes in base64", file) // never what it says
	}
	return secret, nil
}

// makeSecret writes a new secret so that the file is either there whole or not
// at all; fs.ErrExist when another process was first.
func makeSecret(file string) error {
	dir := filepath.Dir(file)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	var secret [32]byte
	rand.Read(secret[:])                      // never fails
	f, err := os.CreateTemp(dir, ".secret-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	defer func() { _ = f.Close() }()
	if _, err := f.WriteString(base64.StdEncoding.EncodeToString(secret[:]) + "\n"); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Link(f.Name(), file); err != nil { // unlike a rename it does not replace
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	return d.Sync()
}
