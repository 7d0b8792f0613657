// SPDX-License-Identifier: Apache-2.0

package places_test

import (
	"slices"
	"testing"

	"github.com/nodogate/nodogate/gateway/places"
)

func TestFind(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]string{"H501": "Roma", "E202": "Grosseto", "L219": "Torino", "Z112": "Germania"} {
		p, ok := places.Find(code)
		if !ok || !slices.Contains(p.Names, want) || p.Abroad() != (code[0] == 'Z') {
			t.Errorf("Find(%s) = %+v, %v; want %s", code, p, ok, want)
		}
	}
	if p, ok := places.Find("Q999"); ok {
		t.Errorf("Find of no place = %+v", p)
	}
}

func TestLists(t *testing.T) {
	t.Parallel()
	if n := len(places.Regions()); n != 20 {
		t.Errorf("%d regions, want 20", n)
	}
	known := map[string]bool{}
	for _, p := range places.Provinces() {
		if known[p.Code] || p.Name == "" {
			t.Errorf("province %+v", p)
		}
		known[p.Code] = true
	}
	if c := places.Countries(); len(c) < 200 || !slices.IsSorted(c) {
		t.Errorf("%d countries", len(c))
	}
	// Every province that a town names has a name and a region.
	for _, code := range []string{"A002", "H501", "A944", "B354", "F205", "G482", "L736"} {
		p, _ := places.Find(code)
		for _, pr := range p.Provinces {
			if !known[pr] {
				t.Errorf("%s is in %s, which has no name", p.Names, pr)
			}
		}
	}
}
