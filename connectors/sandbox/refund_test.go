// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

func (e *env) refund(psp, key, body string) (int, string, error) {
	e.t.Helper()
	req, err := http.NewRequestWithContext(e.t.Context(), "POST", e.url+"/"+psp+"/redirections/refunds", strings.NewReader(body))
	if err != nil {
		e.t.Fatal(err)
	}
	req.Header.Set("Ocp-Apim-Subscription-Key", key)
	resp, err := e.client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, strings.TrimSpace(string(text)), err
}

func refundOf(reference string) string {
	return `{"idTransaction":"` + transaction + `","idPSPTransaction":"` + reference + `","action":"refund"}`
}

func outcome(s string) string {
	return `{"idTransaction":"` + transaction + `","outcome":"` + s + `"}`
}

func TestRefundModes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		mode                 Mode
		status               int // 0: cut
		first, again, ledger string
	}{
		{ModeOK, 200, "OK", "CANCELED", "taken refunded"},
		{ModeDown, 503, "", "OK", "taken refunded"},
		{ModeSlow, 200, "OK", "CANCELED", "taken refunded"},
		{ModeCut, 0, "", "CANCELED", "taken refunded"},
		{ModeRefuse, 200, "KO", "OK", "taken refunded"},
		{ModeDuplicate, 200, "OK", "CANCELED", "taken refunded"},
		{ModeLate, 200, "OK", "CANCELED", "taken refunded"},
	} {
		t.Run(string(c.mode), func(t *testing.T) {
			t.Parallel()
			e, _ := startRedirect(t, nil)
			o := e.openRedirect()
			e.press(o.URL, "paga")
			e.mode("BANCATRE", c.mode)
			status, text, err := e.refund("BANCATRE", pageSecret, refundOf(o.Reference))
			switch {
			case c.status == 0:
				if !errors.Is(err, io.EOF) {
					t.Errorf("refund: %v, want a cut", err)
				}
			case err != nil || status != c.status || c.first != "" && text != outcome(c.first):
				t.Errorf("refund: %d %s, %v", status, text, err)
			}
			e.mode("BANCATRE", ModeOK)
			if status, text, err := e.refund("BANCATRE", pageSecret, refundOf(o.Reference)); err != nil || status != 200 || text != outcome(c.again) {
				t.Errorf("again: %d %s, %v; want %s", status, text, err, c.again)
			}
			if got := e.states(); got != c.ledger {
				t.Errorf("ledger %q, want %q", got, c.ledger)
			}
		})
	}
}

func TestRefundRefuses(t *testing.T) {
	t.Parallel()
	e, _ := startRedirect(t, nil)
	open, paid, refused := e.openRedirect(), e.openRedirect(), e.openRedirect()
	e.press(paid.URL, "paga")
	e.press(refused.URL, "rifiuta")
	good := refundOf(paid.Reference)
	for _, c := range []struct {
		name, psp, key, body string
		status               int
		text                 string
	}{
		{"unknown PSP", "NESSUNA", pageSecret, good, 404, ""},
		{"PSP of another kind", "BANCAUNO", pageSecret, good, 404, ""},
		{"wrong key", "BANCATRE", "x", good, 401, ""},
		{"no JSON", "BANCATRE", pageSecret, "nope", 400, ""},
		{"no action", "BANCATRE", pageSecret, strings.Replace(good, `"refund"`, `""`, 1), 400, ""},
		{"short id", "BANCATRE", pageSecret, strings.Replace(good, transaction, transaction[1:], 1), 400, ""},
		{"no reference", "BANCATRE", pageSecret, refundOf(""), 400, ""},
		{"unknown reference", "BANCATRE", pageSecret, refundOf("x"), 404, ""},
		{"another transaction", "BANCATRE", pageSecret, strings.Replace(good, transaction, strings.Repeat("0", 32), 1), 404, ""},
		{"not paid", "BANCATRE", pageSecret, refundOf(open.Reference), 200, outcome("KO")},
		{"refused", "BANCATRE", pageSecret, refundOf(refused.Reference), 200, outcome("KO")},
		{"good", "BANCATRE", pageSecret, good, 200, outcome("OK")},
	} {
		status, text, err := e.refund(c.psp, c.key, c.body)
		if err != nil || status != c.status || c.text != "" && text != c.text {
			t.Errorf("%s: %d %s, %v; want %d %s", c.name, status, text, err, c.status, c.text)
		}
	}
	if got := e.states(); got != "taken refused refunded" {
		t.Errorf("ledger %q", got)
	}
}
