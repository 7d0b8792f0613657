// SPDX-License-Identifier: Apache-2.0

package receipts

import (
	"crypto/sha256"
	"fmt"
)

// Link is a receipt's place in the chain of its school. Each link's hash covers
// the one before, so that no receipt can be altered, taken out or put in between
// without every later hash becoming another.
type Link struct {
	School   string
	Sequence int64  // from 1, without gaps
	Receipt  string // our id of the receipt
	Digest   [sha256.Size]byte
	Previous [sha256.Size]byte // hash of the link before; zero for the first
}

// Hash is the SHA-256 of seven lines of text, digests in lower-case hexadecimal,
// each with a line break: anybody can repeat it with sha256sum. No field holds a
// line break.
func (l Link) Hash() [sha256.Size]byte {
	return sha256.Sum256(fmt.Appendf(nil, "nodogate receipt seal\n1\n%s\n%d\n%s\n%x\n%x\n",
		l.School, l.Sequence, l.Receipt, l.Digest, l.Previous))
}
