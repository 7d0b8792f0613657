// SPDX-License-Identifier: Apache-2.0

package receipts_test

import (
	"encoding/hex"
	"testing"

	"github.com/nodogate/nodogate/receipts"
)

// The hash is what sha256sum says of the seven lines: an auditor needs no program
// of ours.
func TestLinkHash(t *testing.T) {
	t.Parallel()
	l := receipts.Link{School: "80014480828", Sequence: 2, Receipt: "abc"}
	l.Digest[31], l.Previous[31] = 1, 2
	sum := l.Hash()
	if got, want := hex.EncodeToString(sum[:]), "ae12d92aeff615d7622ae7c4e294cc79196576a4e368eac6f400bc0fe35fab6a"; got != want {
		t.Errorf("Hash = %s, want %s", got, want)
	}
	for name, change := range map[string]func(*receipts.Link){
		"school":   func(l *receipts.Link) { l.School = "80014480829" },
		"sequence": func(l *receipts.Link) { l.Sequence = 3 },
		"receipt":  func(l *receipts.Link) { l.Receipt = "abd" },
		"digest":   func(l *receipts.Link) { l.Digest[0] = 1 },
		"previous": func(l *receipts.Link) { l.Previous[0] = 1 },
	} {
		other := l
		change(&other)
		if other.Hash() == sum {
			t.Errorf("another %s has the same hash", name)
		}
	}
}
