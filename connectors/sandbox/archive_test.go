// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// toArchive is a request that is right, with some of its fields changed.
func toArchive(change string) string {
	fields := map[string]any{
		"paFiscalCode": school, "entityType": "F", "entityFiscalCode": "RSSMRA10A41H501F", "entityFullName": "Maria Rossi",
		"iuv": first[1:], "nav": first, "amount": 1650, "description": "Viaggio di istruzione 3B",
		"expirationDate": "2026-12-31T23:59:59+01:00", "iban": "IT60X0542811101000000123456", "switchToExpired": true, "payStandIn": true,
	}
	changed := map[string]any{}
	if err := json.Unmarshal([]byte(change), &changed); err != nil {
		panic(err)
	}
	for k, v := range changed {
		if fields[k] = v; v == nil {
			delete(fields, k)
		}
	}
	b, err := json.Marshal(fields)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func (e *env) archive(body, key string) (int, string) {
	e.t.Helper()
	req, err := http.NewRequestWithContext(e.t.Context(), http.MethodPost, e.url+"/aca/paCreatePosition", strings.NewReader(body))
	if err != nil {
		e.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if key != "" {
		req.Header.Set("Ocp-Apim-Subscription-Key", key)
	}
	resp, err := e.client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	return resp.StatusCode, resp.Status
}

func (e *env) positions() string {
	e.t.Helper()
	_, text := e.do("GET", e.url+"/aca/positions", "", "")
	var got struct{ Items []archived }
	if err := json.Unmarshal([]byte(text), &got); err != nil || got.Items == nil {
		e.t.Fatalf("positions: %s %v", text, err)
	}
	var lines []string
	for _, p := range got.Items {
		lines = append(lines, fmt.Sprint(p.Number, " ", int64(p.Amount), " ", p.Status, " ", p.Updates))
	}
	return strings.Join(lines, "\n")
}

func TestArchive(t *testing.T) {
	t.Parallel()
	e := start(t, nil)
	for _, c := range []struct {
		name, change string
		status       int
		positions    string
	}{
		{"closing what is not there", `{"amount":0}`, 404, ""},
		{"new", `{}`, 200, first + " 1650 VALID 1"},
		{"changed", `{"amount":2000}`, 200, first + " 2000 VALID 2"},
		{"no debtor's name", `{"entityFullName":""}`, 400, first + " 2000 VALID 2"},
		{"a kind of entity", `{"entityType":"X"}`, 400, first + " 2000 VALID 2"},
		{"a short IBAN", `{"iban":"IT60"}`, 400, first + " 2000 VALID 2"},
		{"a negative amount", `{"amount":-1}`, 400, first + " 2000 VALID 2"},
		{"no amount", `{"amount":null}`, 400, first + " 2000 VALID 2"},
		{"no date", `{"expirationDate":null}`, 400, first + " 2000 VALID 2"},
		{"a date that is over", `{"expirationDate":"2026-11-01T23:59:59+01:00"}`, 400, first + " 2000 VALID 2"},
		{"closed", `{"amount":0}`, 200, first + " 2000 INVALID 3"},
		{"closed again", `{"amount":0}`, 409, first + " 2000 INVALID 3"},
		{"opened again", `{}`, 409, first + " 2000 INVALID 3"},
		{"another, without a number", `{"nav":null,"iuv":"` + second[1:] + `"}`, 200, first + " 2000 INVALID 3\n" + second + " 1650 VALID 1"},
	} {
		if status, text := e.archive(toArchive(c.change), "key"); status != c.status {
			t.Errorf("%s: %s, want %d", c.name, text, c.status)
		}
		if got := e.positions(); got != c.positions {
			t.Errorf("%s: the archive holds\n%s\nwant\n%s", c.name, got, c.positions)
		}
	}
	for _, body := range []string{"", "[]", "{", `{"amount":"1"}`} {
		if status, text := e.archive(body, "key"); status != 400 {
			t.Errorf("%q: %s", body, text)
		}
	}
	if status, text := e.archive(toArchive(`{}`), ""); status != 401 {
		t.Errorf("without a key: %s", text)
	}
}

func TestArchiveModes(t *testing.T) {
	t.Parallel()
	e := start(t, nil)
	for _, c := range []struct {
		mode    Mode
		status  int // 0: no answer
		updates string
	}{
		{ModeDown, 503, ""}, {ModeRefuse, 422, ""}, {ModeCut, 0, " 1"}, {ModeSlow, 200, " 2"}, {ModeOK, 200, " 3"},
	} {
		e.mode(ArchiveID, c.mode)
		if status, text := e.archive(toArchive(`{}`), "key"); status != c.status {
			t.Errorf("%s: %s, want %d", c.mode, text, c.status)
		}
		if got := e.positions(); !strings.HasSuffix(got, c.updates) || c.updates == "" && got != "" {
			t.Errorf("%s: the archive holds %q, want %q", c.mode, got, c.updates)
		}
		if _, text := e.do("GET", e.url+"/", "", ""); !strings.Contains(text, "ora è <code>"+string(c.mode)+"</code>") {
			t.Errorf("%s is not told on the first page", c.mode)
		}
	}
	if resp, text := e.do("POST", e.url+"/control", "application/json", `{"psp":"ACA","mode":"late"}`); resp.StatusCode != 400 {
		t.Errorf("a mode that the archive has not: %d %s", resp.StatusCode, text)
	}
}
