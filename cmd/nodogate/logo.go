// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"io"
	"io/fs"
	"os"

	"github.com/nodogate/nodogate/gateway"
)

// maxLogo is one byte more than a logo may have, so that a larger one is told.
const maxLogo = 1<<20 + 1

// logo is the file of a school in the folder of logos, named for its fiscal
// code: 80014480828.png. A school without a file has none.
func (c config) logo(school gateway.SchoolCode) ([]byte, error) {
	if c.Logos == "" {
		return nil, nil
	}
	root, err := os.OpenRoot(c.Logos)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	for _, ending := range []string{".png", ".jpg", ".jpeg"} {
		f, err := root.Open(string(school) + ending)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return io.ReadAll(io.LimitReader(f, maxLogo))
	}
	return nil, nil
}
