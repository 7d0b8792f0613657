// SPDX-License-Identifier: Apache-2.0

package gateway

import "testing"

// The quick ways say what the slow ones say.
func FuzzQuickChecks(f *testing.F) {
	for _, s := range []string{"", " ", "a b", " a", "a ", "a  b", "a\u00a0b", "è", "a\u2028", "\u202ea", "a\u2066b", "RSSMRA10A41H501F", "x RSSMRA10A41H501F.", "xRSSMRA10A41H501F", "R\u017fSMRA10A41H501F", "_RSSMRA10A41H501F"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if tidy(s) && cleanSlowly(s) != s {
			t.Errorf("tidy(%q), and clean makes it %q", s, cleanSlowly(s))
		}
		if clean(s) != cleanSlowly(s) {
			t.Errorf("clean(%q) = %q, want %q", s, clean(s), cleanSlowly(s))
		}
		if got, want := HoldsCode(s), personalCode.MatchString(s); got != want {
			t.Errorf("HoldsCode(%q) = %v, want %v", s, got, want)
		}
	})
}

// Text that turns around would read as another on the page.
func TestCleanKeepsTheDirection(t *testing.T) {
	t.Parallel()
	if got := clean("Gita \u202e00,61\u202c a\u200e Siena"); got != "Gita 00,61 a Siena" {
		t.Errorf("clean = %q", got)
	}
}
