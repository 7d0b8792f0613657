// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"

	"github.com/nodogate/nodogate/gateway/store"
)

// secretRotate wraps the database's keys with the secret of another file. It
// moves no file: whatever happens on the way, the secret that opens the database
// is in one of the two.
func secretRotate(ctx context.Context, c cli, args []string) error {
	fs := newFlags("secret rotate")
	asJSON := fs.Bool("json", false, "print JSON")
	file, err := parseWith(fs, args, "FILE")
	if err != nil {
		return err
	}
	next, err := store.ReadSecret(file)
	if err != nil {
		return err
	}
	return withStore(ctx, c, true, func(cfg config, db *store.DB) error {
		if old, err := store.ReadSecret(cfg.SecretFile); err != nil || bytes.Equal(old, next) {
			if err == nil {
				err = fmt.Errorf("%s holds the secret that is in use: make another one with openssl rand -base64 32", file)
			}
			return err
		}
		keys, err := db.Rewrap(ctx, next, operator)
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(c, record{"keys": keys, "secret_file": file})
		}
		_, err = fmt.Fprintf(c.stdout, "%d keys are wrapped with the new secret. Now put %s in the place of %s, and start the gateway.\n", keys, file, cfg.SecretFile)
		return err
	})
}
