// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// TestEnterWithIdentity enters the demo with SPID and CIE, and fails to in the ways
// a browser can.
func TestEnterWithIdentity(t *testing.T) {
	t.Parallel()
	demo, _ := startDemo(t, t.TempDir())
	to := func(v *visitor, name string) {
		t.Helper()
		v.submit("/accesso", "Entra con "+name, nil)
		if !strings.HasPrefix(v.at.String(), demo.SandboxURL+"/oidc/") {
			t.Fatalf("%s leads to %s", name, v.at)
		}
	}
	// refused wants the failure said: a status that is only allowed proves nothing.
	refused := func(v *visitor, back *url.URL, what string) {
		t.Helper()
		v.allow(http.StatusUnauthorized).do("GET", back.String(), nil)
		if !strings.Contains(v.body, `non è riuscito`) || v.at.Path != back.Path {
			t.Errorf("an answer %s is not refused: %s\n%s", what, v.at.Path, v.text())
		}
	}
	resp, err := http.Get(demo.PortalURL + "/accesso")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	// A form that leads to a provider ends on its origin.
	if policy := resp.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "form-action 'self' "+demo.SandboxURL+";") {
		t.Errorf("the policy is %s", policy)
	}
	for _, name := range []string{"SPID", "CIE"} {
		v := newVisitor(t, demo.PortalURL)
		to(v, name)
		base, _ := url.Parse(demo.PortalURL)
		before := v.client.Jar.Cookies(base)[0].Value
		back := v.answer(t, "Entra come Mario Rossi")
		v.do("GET", back.String(), nil)
		if before == v.client.Jar.Cookies(base)[0].Value {
			t.Errorf("%s: the session keeps its id", name)
		}
		if v.do("GET", v.base+"/", nil); !strings.Contains(v.text(), "Maria Rossi") {
			t.Errorf("%s: no notices of the children:\n%s", name, v.text())
		}
		// Loaded again it leads on, and in another browser it is worth nothing.
		session := v.client.Jar.Cookies(base)[0].Value
		if v.do("GET", back.String(), nil); v.at.Path != "/" || v.client.Jar.Cookies(base)[0].Value != session {
			t.Errorf("%s: loaded again the answer leads to %s", name, v.at)
		}
		refused(newVisitor(t, demo.PortalURL), back, "used twice")
	}
	v := newVisitor(t, demo.PortalURL)
	to(v, "SPID")
	back := v.answer(t, "Entra come Mario Rossi")
	refused(newVisitor(t, demo.PortalURL), back, "in another person's session")
	wrong := *back
	wrong.RawQuery = strings.Replace(wrong.RawQuery, "state=", "state=X", 1)
	refused(v, &wrong, "with a wrong state")
	if v.do("GET", back.String(), nil); v.at.Path != "/" {
		t.Errorf("after a wrong state, which ends nothing, the right one leads to %s", v.at)
	}
	v = newVisitor(t, demo.PortalURL)
	to(v, "SPID")
	refused(v, v.answer(t, "Annulla"), "when the person says no")

	// A provider that is away is told from one that says no; the other one works.
	control := func(mode string) {
		t.Helper()
		resp, err := http.Post(demo.SandboxURL+"/control", "application/json", strings.NewReader(`{"psp":"SPID","mode":"`+mode+`"}`))
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatal("control:", resp, err)
		}
		resp.Body.Close()
	}
	v = newVisitor(t, demo.PortalURL)
	to(v, "SPID")
	back = v.answer(t, "Entra come Mario Rossi")
	control("down")
	v.allow(http.StatusServiceUnavailable).do("GET", back.String(), nil)
	if !strings.Contains(v.text(), "SPID non risponde in questo momento") {
		t.Errorf("a provider that is away:\n%s", v.text())
	}
	to(v, "CIE")
	v.do("GET", v.answer(t, "Entra come Mario Rossi").String(), nil)
	if v.do("GET", v.base+"/", nil); !strings.Contains(v.text(), "Maria Rossi") {
		t.Errorf("not in by the other provider:\n%s", v.text())
	}
	control("ok")
}

// answer presses a button on the provider's page, and is where that leads.
func (v *visitor) answer(t *testing.T, button string) *url.URL {
	t.Helper()
	page := newVisitor(t, v.at.Scheme+"://"+v.at.Host)
	page.do("GET", v.at.String(), nil)
	page.press(button, nil)
	return page.at
}
