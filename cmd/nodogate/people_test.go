// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"
	"time"

	"github.com/nodogate/nodogate/gateway"
)

func TestPersonCode(t *testing.T) {
	for want, p := range map[string]person{
		"RSSMRA80A01H501U": {"Mario", "Rossi", time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC), false, "H501"},
		"RSSMRA10A41H501F": {"Maria", "Rossi", time.Date(2010, 1, 1, 0, 0, 0, 0, time.UTC), true, "H501"},
		"BSCMTT83A12L719R": {"Matteo", "Boscolo", time.Date(1983, 1, 12, 0, 0, 0, 0, time.UTC), false, "L719"},
		"FOXGNN90C41H501D": {"Gianna", "Fo", time.Date(1990, 3, 1, 0, 0, 0, 0, time.UTC), true, "H501"},
	} {
		got := p.code()
		if _, err := gateway.ParseFiscalCode(string(got)); err != nil {
			t.Errorf("%s %s: code %q is wrong: %v", p.first, p.last, string(got), err)
		}
		if string(got[:15]) != want[:15] {
			t.Errorf("%s %s: code %q, want %q", p.first, p.last, string(got), want)
		}
	}
}

func TestDemoPupilsAreDistinct(t *testing.T) {
	seen := map[gateway.FiscalCode]bool{}
	for _, p := range demoRegistry() {
		if seen[p.Code] {
			t.Errorf("two pupils have the code of %s %s", p.FirstName, p.LastName)
		}
		seen[p.Code] = true
	}
	if len(seen) != 40 {
		t.Errorf("%d pupils, want 40", len(seen))
	}
}
