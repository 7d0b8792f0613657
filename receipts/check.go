// SPDX-License-Identifier: Apache-2.0

package receipts

import (
	"errors"
	"fmt"

	"github.com/nodogate/nodogate/gateway/money"
)

// ErrInconsistent says that a receipt is valid for the schema but contradicts
// itself: it can be evidence, not a receipt.
var ErrInconsistent = errors.New("receipt contradicts itself")

// Check finds what the schema cannot see: an outcome that is not OK, a
// creditorReferenceId that is not the notice's IUV, an idTransfer twice,
// transfers that do not sum to the amount. The error wraps ErrInconsistent and
// repeats nothing of the receipt.
func Check(r Receipt) error {
	if r.Outcome != "OK" {
		return fmt.Errorf("%w: outcome is not OK", ErrInconsistent)
	}
	if r.Notice.IsZero() || r.CreditorReferenceID != r.Notice.IUV() {
		return fmt.Errorf("%w: creditorReferenceId is not the notice's IUV", ErrInconsistent)
	}
	var sum money.Cents
	seen := map[int]bool{}
	for _, t := range r.Transfers {
		if seen[t.ID] {
			return fmt.Errorf("%w: an idTransfer stands twice", ErrInconsistent)
		}
		seen[t.ID] = true
		var err error
		if sum, err = sum.Add(t.Amount); err != nil {
			return fmt.Errorf("%w: transfers are out of range", ErrInconsistent)
		}
	}
	if sum != r.Amount {
		return fmt.Errorf("%w: transfers do not sum to the amount", ErrInconsistent)
	}
	return nil
}
