// SPDX-License-Identifier: Apache-2.0

package portal_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	"golang.org/x/net/html"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
	"github.com/nodogate/nodogate/gateway/portal"
)

func TestMain(m *testing.M) {
	gin.SetMode(gin.TestMode)
	os.Exit(m.Run())
}

// site is a portal over a gateway.
type site struct {
	*gatewaytest.Gateway
	t   *testing.T
	url string
}

func newSite(t *testing.T) *site {
	t.Helper()
	g := gatewaytest.New(t)
	h, err := portal.New(config(t, g))
	if err != nil {
		t.Fatal(err)
	}
	// What the tests bring into pages has to come from the pages' own origin.
	mux := http.NewServeMux()
	mux.Handle("/", h)
	mux.Handle("/prova/", http.StripPrefix("/prova/", http.FileServer(http.Dir("assets"))))
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return &site{Gateway: g, t: t, url: srv.URL}
}

func config(t testing.TB, g *gatewaytest.Gateway) portal.Config {
	t.Helper()
	public, err := url.Parse("https://pagamenti.example")
	if err != nil {
		t.Fatal(err)
	}
	return portal.Config{
		Service: g.Service, Sessions: g.Store.Sessions(), PublicURL: public,
		PDF: func(r gateway.Receipt, s gateway.School) ([]byte, error) {
			return fmt.Appendf(nil, "%%PDF of %s, %s", r.Content.ID, s.Name), nil
		},
		NoticePDF: func(_ context.Context, n gateway.Notice, s gateway.School, language string) ([]byte, error) {
			return fmt.Appendf(nil, "%%PDF notice %s of %q, %s, %s", n.Number, n.Debtor.Name, s.Name, language), nil
		},
		Bulletin: func(list []gateway.Bulletin) ([]byte, error) {
			var names []string
			for _, b := range list {
				names = append(names, b.Notice.Description+" of "+b.Notice.Debtor.Name+", "+string(b.Notice.Debtor.Code))
			}
			return fmt.Appendf(nil, "%%PDF of %s", strings.Join(names, "; ")), nil
		},
		Attest: func(a portal.Attestation) ([]byte, error) {
			payer := "nobody"
			if p := a.Payments[0].Payer; p != nil {
				payer = p.Name + " " + string(p.Code)
			}
			return fmt.Appendf(nil, "%%PDF %d of %s %s: %d paid by %s", a.Year, a.Pupil.Name, a.Pupil.Code, len(a.Payments), payer), nil
		},
		FormActions: func() []string { return []string{"https://psp.example"} },
	}
}

// browser is a person's browser, without scripts.
type browser struct {
	*site
	client *http.Client
	speaks string // Accept-Language
}

func (s *site) browser() *browser {
	s.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return &browser{site: s, client: &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// page is an answer; redirects inside the site have been followed.
type page struct {
	*browser
	url    *url.URL
	status int
	header http.Header
	body   string
	doc    *html.Node
}

func (b *browser) do(method, target string, form url.Values) *page {
	b.t.Helper()
	for range 5 {
		var body io.Reader
		if method == http.MethodPost {
			body = strings.NewReader(form.Encode())
		}
		req, err := http.NewRequest(method, target, body)
		if err != nil {
			b.t.Fatal(err)
		}
		if method == http.MethodPost {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			req.Header.Set("Sec-Fetch-Site", "same-origin")
		}
		if b.speaks != "" {
			req.Header.Set("Accept-Language", b.speaks)
		}
		resp, err := b.client.Do(req)
		if err != nil {
			b.t.Fatal(err)
		}
		raw, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			b.t.Fatal(err)
		}
		if resp.StatusCode == http.StatusSeeOther {
			next, err := req.URL.Parse(resp.Header.Get("Location"))
			if err != nil {
				b.t.Fatal(err)
			}
			if next.Host != req.URL.Host {
				return &page{browser: b, url: next, status: resp.StatusCode, header: resp.Header}
			}
			method, target = http.MethodGet, next.String()
			continue
		}
		p := &page{browser: b, url: req.URL, status: resp.StatusCode, header: resp.Header, body: string(raw)}
		if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
			if p.doc, err = html.Parse(strings.NewReader(p.body)); err != nil {
				b.t.Fatal(err)
			}
			p.check()
		}
		return p
	}
	b.t.Fatalf("%s: too many redirects", target)
	return nil
}

func (b *browser) get(path string) *page {
	b.t.Helper()
	return b.do(http.MethodGet, b.site.url+path, nil)
}

func (b *browser) post(path string, form url.Values) *page {
	b.t.Helper()
	return b.do(http.MethodPost, b.site.url+path, form)
}

func (b *browser) login(username string) *page {
	b.t.Helper()
	p := b.get("/accesso").submit("Accedi", "username", username, "password", gatewaytest.Password)
	if p.url.Path != "/" || p.status != http.StatusOK {
		b.t.Fatalf("log-in of %s ended on %s (%d)", username, p.url, p.status)
	}
	return p
}

// all are the elements below n that match.
func all(n *html.Node, match func(*html.Node) bool) []*html.Node {
	var out []*html.Node
	for d := range n.Descendants() {
		if d.Type == html.ElementNode && match(d) {
			out = append(out, d)
		}
	}
	return out
}

func tag(names ...string) func(*html.Node) bool {
	return func(n *html.Node) bool { return slices.Contains(names, n.Data) }
}

func attr(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

func has(n *html.Node, key string) bool {
	return slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == key })
}

// text is what a reader sees, blanks squeezed.
func text(n *html.Node) string {
	var sb strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode && d.Parent.Data != "script" && d.Parent.Data != "noscript" {
			sb.WriteString(d.Data + " ")
		}
	}
	return strings.Join(strings.Fields(sb.String()), " ")
}

func (p *page) main() *html.Node {
	p.t.Helper()
	mains := all(p.doc, tag("main"))
	if len(mains) != 1 {
		p.t.Fatalf("%s: %d main elements, want 1", p.url, len(mains))
	}
	return mains[0]
}

// check is what must hold of every page.
func (p *page) check() {
	p.t.Helper()
	bad := func(format string, args ...any) {
		p.t.Helper()
		p.t.Errorf("%s: %s", p.url, fmt.Sprintf(format, args...))
	}
	policy := p.header.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "style-src 'self';", "script-src 'self';", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self' https://psp.example"} {
		if !strings.Contains(policy, want) {
			bad("policy %q lacks %q", policy, want)
		}
	}
	if strings.Contains(policy, "unsafe") {
		bad("policy %q", policy)
	}
	for key, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin"} {
		if got := p.header.Get(key); got != want {
			bad("%s is %q, want %q", key, got, want)
		}
	}
	if got := p.header.Values("Cache-Control"); !slices.Contains(got, "no-store") {
		bad("Cache-Control is %q, want no-store", got)
	}
	ids, labels := map[string]bool{}, map[string]bool{}
	for _, n := range all(p.doc, func(*html.Node) bool { return true }) {
		for _, a := range n.Attr {
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" {
				bad("<%s %s=%q> is inline", n.Data, a.Key, a.Val)
			}
		}
		switch {
		case n.Data == "style", n.Data == "base", n.Data == "iframe":
			bad("there is a <%s>", n.Data)
		case n.Data == "script" && (!strings.HasPrefix(attr(n, "src"), "/static/") || n.FirstChild != nil):
			bad("inline or foreign script")
		case n.Data == "form" && attr(n, "method") == "post" && !strings.HasPrefix(attr(n, "action"), "/"):
			bad("a form goes to %q", attr(n, "action"))
		}
		if id := attr(n, "id"); id != "" {
			if ids[id] {
				bad("id %q twice", id)
			}
			ids[id] = true
		}
		if n.Data == "label" {
			labels[attr(n, "for")] = true
		}
	}
	for _, n := range all(p.doc, func(*html.Node) bool { return true }) {
		if slices.Contains([]string{"input", "select", "textarea"}, n.Data) && attr(n, "type") != "hidden" && !labels[attr(n, "id")] {
			bad("input %q has no label", attr(n, "name"))
		}
		for _, id := range strings.Fields(attr(n, "aria-describedby")) {
			if !ids[id] {
				bad("<%s> is described by %q, which is not there", n.Data, id)
			}
		}
		if h := attr(n, "href"); n.Data == "a" && strings.HasPrefix(h, "#") && !ids[h[1:]] {
			bad("link to %q, which is not there", h)
		}
	}
	if got := len(all(p.doc, tag("h1"))); got != 1 {
		bad("%d h1, want 1", got)
	}
	if titles := all(p.doc, tag("title")); len(titles) != 1 || strings.HasPrefix(text(titles[0]), "·") {
		bad("no title")
	}
	if root := all(p.doc, tag("html")); len(root) != 1 || attr(root[0], "lang") == "" || attr(root[0], "lang") != p.header.Get("Content-Language") {
		bad("no lang")
	}
	p.main()
	if strings.Contains(p.body, "<no value>") || strings.Contains(p.body, "ZgotmplZ") {
		bad("the template lacks a value")
	}
	for _, code := range []gateway.FiscalCode{gatewaytest.PupilCode, gatewaytest.ParentCode} {
		shown := p.body + p.url.String()
		if strings.HasPrefix(p.url.Path, "/registrazione") {
			shown = p.url.String() // who registers reads again what was typed
		}
		if strings.Contains(strings.ToUpper(shown), string(code)) {
			bad("shows a person's code")
		}
	}
}

// says fails unless the page shows all of the sentences.
func (p *page) says(want ...string) *page {
	p.t.Helper()
	shown := text(p.main())
	for _, w := range want {
		if !strings.Contains(strings.ReplaceAll(shown, "\u00a0", " "), w) {
			p.t.Errorf("%s (%d) does not say %q: %s", p.url, p.status, w, shown)
		}
	}
	return p
}

func (p *page) saysNot(words ...string) *page {
	p.t.Helper()
	for _, w := range words {
		if strings.Contains(p.body, w) {
			p.t.Errorf("%s says %q", p.url, w)
		}
	}
	return p
}

func (p *page) is(status int, path string) *page {
	p.t.Helper()
	if p.status != status || p.url.Path != path {
		p.t.Fatalf("page is %s (%d), want %s (%d)", p.url.Path, p.status, path, status)
	}
	return p
}

// within is the part of the page below the element with this id.
func (p *page) within(id string) *page {
	p.t.Helper()
	found := all(p.doc, func(n *html.Node) bool { return attr(n, "id") == id })
	if len(found) != 1 {
		p.t.Fatalf("%s has no element %q", p.url, id)
	}
	part := *p
	part.doc = found[0]
	return &part
}

// form finds the form whose button has this name, and its values.
func (p *page) form(button string) (action, method string, values url.Values) {
	p.t.Helper()
	for _, f := range all(p.doc, tag("form")) {
		buttons := all(f, tag("button"))
		i := slices.IndexFunc(buttons, func(n *html.Node) bool { return text(n) == button })
		if i < 0 {
			continue
		}
		values = url.Values{}
		if name := attr(buttons[i], "name"); name != "" {
			values.Set(name, attr(buttons[i], "value"))
		}
		for _, in := range all(f, tag("input")) {
			switch {
			case has(in, "disabled"):
			case (attr(in, "type") == "radio" || attr(in, "type") == "checkbox") && !has(in, "checked"):
			default:
				values.Add(attr(in, "name"), attr(in, "value"))
			}
		}
		for _, in := range all(f, tag("select")) {
			options := all(in, tag("option"))
			values.Set(attr(in, "name"), attr(options[0], "value"))
			for _, o := range options {
				if has(o, "selected") {
					values.Set(attr(in, "name"), attr(o, "value"))
				}
			}
		}
		for _, in := range all(f, tag("textarea")) {
			values.Set(attr(in, "name"), text(in))
		}
		return attr(f, "action"), strings.ToUpper(attr(f, "method")), values
	}
	p.t.Fatalf("%s (%d) has no button %q: %s", p.url, p.status, button, p.body)
	return "", "", nil
}

// submit presses a button after filling fields, given as name, value, ….
func (p *page) submit(button string, fields ...string) *page {
	p.t.Helper()
	action, method, values := p.form(button)
	for i := 0; i < len(fields); i += 2 {
		values.Set(fields[i], fields[i+1])
	}
	if method == http.MethodGet {
		return p.get(action + "?" + values.Encode())
	}
	return p.post(action, values)
}

// links are the addresses of the links with this text.
func (p *page) links(name string) []string {
	var out []string
	for _, a := range all(p.doc, tag("a")) {
		if text(a) == name {
			out = append(out, attr(a, "href"))
		}
	}
	return out
}

func anchor(n gateway.Notice) string { return "avviso-" + n.Number.String() }
