// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Files keeps mails as files, <id>.eml, for an installation that has no mail
// server. They hold personal data: only the owner may read them.
type Files struct{ Dir string }

// Send writes the whole file or none; the same mail again replaces it.
func (f Files) Send(_ context.Context, m Mail) error {
	msg, err := m.message()
	if err != nil {
		return err
	}
	if name := m.ID + ".eml"; !filepath.IsLocal(name) || filepath.Base(name) != name {
		return fmt.Errorf("%w: the id is no file name", ErrPermanent)
	}
	if err := os.MkdirAll(f.Dir, 0o700); err != nil {
		return fmt.Errorf("mail file: %w", err)
	}
	tmp, err := os.CreateTemp(f.Dir, ".mail-*") // mode 0600
	if err != nil {
		return fmt.Errorf("mail file: %w", err)
	}
	_, err = msg.WriteTo(tmp)
	if err == nil {
		err = tmp.Sync()
	}
	err = errors.Join(err, tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), filepath.Join(f.Dir, m.ID+".eml"))
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
		return fmt.Errorf("mail file: %w", err)
	}
	return nil
}
