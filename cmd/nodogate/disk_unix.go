// SPDX-License-Identifier: Apache-2.0

//go:build linux || darwin || freebsd

package main

import "syscall"

// freeSpace is what is left for us on the disk that holds a folder, and the
// disk's size, in bytes.
func freeSpace(dir string) (free, size uint64, err error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, 0, err
	}
	block := uint64(s.Bsize)
	return uint64(s.Bavail) * block, uint64(s.Blocks) * block, nil //nolint:unconvert // signed on FreeBSD
}
