// SPDX-License-Identifier: Apache-2.0

//go:build !(linux || darwin || freebsd)

package main

import "errors"

func freeSpace(string) (free, size uint64, err error) {
	return 0, 0, errors.New("not known on this system")
}
