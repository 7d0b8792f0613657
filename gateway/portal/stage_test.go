// SPDX-License-Identifier: Apache-2.0

package portal_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
	"github.com/nodogate/nodogate/gateway/money"
	"github.com/nodogate/nodogate/gateway/notify"
	"github.com/nodogate/nodogate/gateway/portal"
)

// dictionary translates what a page says in Italian, by the files of words. So
// stories are written once, in the words of the contract.
type dictionary struct {
	t        *testing.T
	from, to map[string]string // by key, as a reader sees them
}

var linkMark = regexp.MustCompile(`\[([^]]+)\]\(/[^)]*\)`)

func words(t *testing.T, lang string) map[string]string {
	t.Helper()
	file, err := os.ReadFile(filepath.Join("words", lang+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	out, section := map[string]string{}, ""
	for lines := bufio.NewScanner(bytes.NewReader(file)); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		if strings.HasPrefix(line, "[") {
			section = strings.Trim(line, "[]") + "."
		}
		if key, text, ok := strings.Cut(line, " = "); ok && !strings.HasPrefix(line, "#") {
			out[section+key] = linkMark.ReplaceAllString(strings.NewReplacer("**", "", "~", " ").Replace(text), "$1")
		}
	}
	return out
}

// say is the text in the page's language, its gaps filled with name, value, ….
// Where Italian says two things in one word, the key goes before: "key|word".
func (d *dictionary) say(italian string, fill ...string) string {
	d.t.Helper()
	key, text, named := strings.Cut(italian, "|")
	said := d.to[key]
	if !named {
		text = italian
		for k, v := range d.from {
			switch other := d.to[k]; {
			case v != text:
			case said != "" && said != other:
				d.t.Fatalf("%q is %q and %q: write its key before it", text, said, other)
			default:
				said = other
			}
		}
	}
	if said == "" || named && d.from[key] != text {
		d.t.Fatalf("no page says %q in Italian", italian)
	}
	for i := 0; i < len(fill); i += 2 {
		said = strings.ReplaceAll(said, "{"+fill[i]+"}", fill[i+1])
	}
	return said
}

// box keeps the mails that were sent.
type box struct {
	mu    sync.Mutex
	mails []notify.Mail // guarded by mu
}

func (b *box) Send(_ context.Context, m notify.Mail) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mails = append(b.mails, m)
	return nil
}

// stage is where one variant of the stories is told: a site with what families
// need, and a window of a browser that others use too.
type stage struct {
	*site
	tab    *tab
	lang   string
	script bool
	words  *dictionary
	worker *notify.Worker
	box    *box
	scope  string // where fields and buttons are looked for: a CSS selector
	clicks *int
	issued *uint64
}

// newStage opens a site, and a window that speaks the language. Pages of PSPs
// lead back; a payment is settled by settle only.
func newStage(t *testing.T, chromium context.Context, lang string, script bool) *stage {
	t.Helper()
	psp := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, `<!doctype html><html lang="it"><title>PSP</title><h1>Banca di prova</h1><p><a href="%[1]s?esito=ok">Paga qui</a> <a href="%[1]s?esito=annullato">Annulla</a>`, r.FormValue("back"))
	}))
	t.Cleanup(psp.Close)
	g := gatewaytest.New(t)
	cfg := config(t, g)
	cfg.FormActions = func() []string { return []string{"https://psp.example", psp.URL} }
	h, err := portal.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	g.PSPs.OnStart(func(_ context.Context, _ gateway.PSPID, o gateway.Order) (gateway.Started, error) {
		return gateway.Started{Redirect: psp.URL + "/?back=" + url.QueryEscape(srv.URL+outcomeOf(o)), Reference: o.Attempt}, nil
	})
	s := &stage{
		site: &site{Gateway: g, t: t, url: srv.URL}, lang: lang, script: script, box: &box{}, scope: "body", clicks: new(int), issued: new(uint64),
		words: &dictionary{t, words(t, "it"), words(t, lang)},
	}
	s.worker, err = notify.New(notify.Config{Outbox: g.Store, Service: g.Service, Mailer: s.box, From: "no-reply@pagamenti.example"})
	if err != nil {
		t.Fatal(err)
	}
	s.tab = openTab(t, chromium, chromedp.WithNewBrowserContext())
	s.phone()
	_, err = chromedp.Call(s.tab.ctx, network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{Headers: network.Headers{"Accept-Language": json.RawMessage(`"` + lang + `"`)}})
	if err == nil && !script {
		_, err = chromedp.Call(s.tab.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// tell is one story: a subtest that begins with a browser that knows nobody.
func (s *stage) tell(name string, story func(s *stage)) {
	outer := s.t
	outer.Run(name, func(t *testing.T) {
		s.use(t)
		defer s.use(outer)
		s.tab.do(chromedp.Navigate("about:blank")) // whatever the last page was still asking
		s.forget()
		story(s)
	})
}

// forget takes the session from the browser, as its end does.
func (s *stage) forget() {
	s.t.Helper()
	if _, err := chromedp.Call(s.tab.ctx, network.ClearBrowserCookies, cdp.Empty{}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) use(t *testing.T) { s.t, s.tab.t, s.words.t, s.Gateway.T = t, t, t, t }

// in is the stage with its eyes on a part of the page.
func (s *stage) in(selector string) *stage {
	part := *s
	part.scope = selector
	return &part
}

func (s *stage) say(italian string, fill ...string) string {
	s.t.Helper()
	return s.words.say(italian, fill...)
}

func (s *stage) euro(c money.Cents) string {
	s.t.Helper()
	return strings.ReplaceAll(s.words.to["format.euro"], "{amount}", fmt.Sprintf("%d,%02d", c/100, c%100))
}

func (s *stage) day(day string) string {
	s.t.Helper()
	at, err := time.Parse(time.DateOnly, day)
	if err != nil {
		s.t.Fatal(err)
	}
	return at.Format(s.words.to["format.day"])
}

func (s *stage) open(path string) {
	s.t.Helper()
	var err error
	for range 5 {
		// A page that shows itself again at this moment wins over us.
		if err = chromedp.Do(s.tab.ctx, chromedp.Navigate(s.site.url+path)); err == nil || !strings.Contains(err.Error(), "ERR_ABORTED") {
			break
		}
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// back presses the browser's own button. A page that comes back whole tells of no
// load, so there is nothing to wait for here.
func (s *stage) back() {
	s.t.Helper()
	_, err := eval[bool](s, `history.back(); return true;`)
	if err != nil {
		s.t.Fatal(err)
	}
}

// script language of the helpers: what is seen, and how things are called.
const helpers = `const flat = s => s.trim().replace(/\s+/g, " "), seen = e => e.getClientRects().length > 0,
	whole = document.readyState === "complete",
	called = (kinds, name) => [...document.querySelectorAll(kinds)].find(e => seen(e) && flat(e.textContent) === name),
	field = name => { const l = called(SCOPE + " label", name); return l && l.control; };`

// eval runs the body of a function on the page; it may fail while a page loads.
func eval[T any](s *stage, body string) (T, error) {
	return chromedp.Run(s.tab.ctx, chromedp.Evaluate[T](`(() => { const SCOPE = `+fmt.Sprintf("%q", s.scope)+`; `+helpers+body+` })()`))
}

// patience is far more than a page takes on a busy machine.
const patience = 40 * time.Second

// until runs a function body until it returns true: the browser is another
// process, and nothing else tells when it has done.
func (s *stage) until(what, body string) {
	s.t.Helper()
	var err error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		var ok bool
		if ok, err = eval[bool](s, body); err == nil && ok {
			return
		}
		select {
		case <-s.tab.ctx.Done():
			s.t.Fatalf("%s: %v", what, s.tab.ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
	s.t.Fatalf("%s: never true (%v); the page is\n%s", what, err, s.shown())
}

func (s *stage) shown() string {
	s.t.Helper()
	shown, err := eval[string](s, `return location.href + "\n" + document.body.innerText;`)
	if err != nil {
		return err.Error()
	}
	return strings.ReplaceAll(shown, "\u00a0", " ")
}

// sees waits until the page shows a text, in the page's language; reads does for
// one that is the same in all.
func (s *stage) sees(italian string, fill ...string) {
	s.t.Helper()
	s.reads(s.say(italian, fill...))
}

func (s *stage) reads(texts ...string) {
	s.t.Helper()
	for _, text := range texts {
		s.until("reads "+text, fmt.Sprintf(`return whole && [...document.querySelectorAll(SCOPE)].some(e => flat(e.innerText).includes(%q));`, text))
	}
}

// readsNot looks at a page that is there already.
func (s *stage) readsNot(texts ...string) {
	s.t.Helper()
	shown := strings.Join(strings.Fields(s.shown()), " ")
	for _, text := range texts {
		if strings.Contains(shown, text) {
			s.t.Errorf("the page shows %q:\n%s", text, shown)
		}
	}
}

func (s *stage) at(path string) {
	s.t.Helper()
	s.until("is at "+path, fmt.Sprintf(`return whole && location.pathname === %q;`, path))
}

// click presses a button or a link by its name and waits for the page after it.
func (s *stage) click(italian string) {
	s.t.Helper()
	s.press(s.say(italian))
}

func (s *stage) press(name string) {
	s.t.Helper()
	*s.clicks++
	s.until("click "+name, fmt.Sprintf(`
		const e = whole && called(SCOPE + " button, " + SCOPE + " a", %q);
		if (!e) return false;
		document.documentElement.dataset.old = "1";
		e.click();
		return true;`, name))
	s.until("a new page after "+name, `return whole && !document.documentElement.dataset.old;`)
}

// fill types into the field with this label, as keys do: with an event.
func (s *stage) fill(label, value string) {
	s.t.Helper()
	name := s.say(label)
	s.until("fill "+name, fmt.Sprintf(`
		const f = whole && field(%q);
		if (!f) return false;
		f.value = %q;
		f.dispatchEvent(new Event("input", {bubbles: true}));
		return true;`, name, value))
}

func (s *stage) keeps(label, value string) {
	s.t.Helper()
	name := s.say(label)
	s.until(name+" keeps "+value, fmt.Sprintf(`const f = whole && field(%q); return f && f.value === %q;`, name, value))
}

// pick presses the label of a radio button or a tick.
func (s *stage) pick(italian string) {
	s.t.Helper()
	s.pickNamed(s.say(italian))
}

func (s *stage) pickNamed(name string) {
	s.t.Helper()
	*s.clicks++
	s.until("pick "+name, fmt.Sprintf(`
		const l = whole && [...document.querySelectorAll(SCOPE + " label")].find(e => seen(e) && (flat(e.textContent) === %[1]q || flat(e.textContent).startsWith(%[1]q + " ")));
		if (!l || !l.control) return false;
		if (!l.control.checked) l.click();
		return l.control.checked;`, name))
}

func (s *stage) choose(label, option string) {
	s.t.Helper()
	s.until("choose "+option, fmt.Sprintf(`
		const f = whole && field(%q);
		const o = f && [...f.options].find(o => o.text === %q);
		if (!o) return false;
		o.selected = true;
		return true;`, s.say(label), s.say(option)))
}

// fetch downloads what a link leads to, with the cookies of the window.
func (s *stage) fetch(link string) string {
	s.t.Helper()
	name := s.say(link)
	var href string
	s.until("link "+name, fmt.Sprintf(`return whole && !!called(SCOPE + " a", %q);`, name))
	href, err := eval[string](s, fmt.Sprintf(`return called(SCOPE + " a", %q).href;`, name))
	if err != nil {
		s.t.Fatal(err)
	}
	b := s.site.browser()
	got, err := chromedp.Call(s.tab.ctx, network.GetCookies, network.GetCookiesParams{URLs: []string{href}})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, c := range got.Cookies {
		b.client.Jar.SetCookies(mustURL(s.t, s.site.url), []*http.Cookie{{Name: c.Name, Value: c.Value, Path: "/"}})
	}
	p := b.do(http.MethodGet, href, nil)
	if p.status != http.StatusOK {
		s.t.Errorf("%s at %s is %d", name, href, p.status)
	}
	return p.body
}

func (s *stage) phone() { s.t.Helper(); s.tab.do(chromedp.EmulateViewport(390, 844)) }

// picture is for docs/screens, and of the first page of the screen for the manual
// too. Only with -update, and where scripts run.
func (s *stage) picture(name string, manual ...bool) {
	s.t.Helper()
	if !*update || !s.script {
		return
	}
	s.until("no focus and no pointer", `document.activeElement.blur(); scrollTo(0, 0); return whole;`)
	if len(manual) > 0 {
		s.tab.crop(fmt.Sprintf("static/manual/%s-%s.jpg", s.lang, name), 760, 45)
	}
	s.tab.picture(filepath.Join("../../docs/screens", s.lang+"-"+name+".png"), 100)
}

// wide is a picture on a large screen.
func (s *stage) wide(name string) {
	s.t.Helper()
	if !*update || !s.script {
		return
	}
	s.tab.do(chromedp.EmulateViewport(1280, 900))
	s.picture(name)
	s.phone()
}

// mail sends what waits, and gives the last mail to an address that has these
// words.
func (s *stage) mail(to, words string) notify.Mail {
	s.t.Helper()
	for {
		n, err := s.worker.Once(context.Background())
		if err != nil {
			s.t.Fatal(err)
		}
		if n == 0 {
			break
		}
	}
	s.box.mu.Lock()
	defer s.box.mu.Unlock()
	for _, m := range slices.Backward(s.box.mails) {
		if m.To == to && strings.Contains(strings.ReplaceAll(m.Text, "\u00a0", " "), words) {
			return m
		}
	}
	s.t.Fatalf("no mail to %s with %q among %d", to, words, len(s.box.mails))
	return notify.Mail{}
}

// follow opens the link of a mail.
func (s *stage) follow(m notify.Mail) {
	s.t.Helper()
	link := regexp.MustCompile(`https://pagamenti\.example(/\S+)`).FindStringSubmatch(m.Text)
	if link == nil {
		s.t.Fatalf("no link in\n%s", m.Text)
	}
	s.open(link[1])
}

// line is what stands after a word in a mail.
func (s *stage) line(m notify.Mail, word string) string {
	s.t.Helper()
	found := regexp.MustCompile(`(?m)^` + word + `: (\S+)$`).FindStringSubmatch(m.Text)
	if found == nil {
		s.t.Fatalf("no line %s in\n%s", word, m.Text)
	}
	return found[1]
}

func (s *stage) enter(username, password string) {
	s.t.Helper()
	s.open("/accesso")
	s.login(username, password)
}

func (s *stage) login(username, password string) {
	s.t.Helper()
	s.fill("Username", username)
	s.fill("Password", password)
	s.in("main").click("Accedi")
}

// add puts a notice into the cart from the list.
func (s *stage) add(n gateway.Notice) {
	s.t.Helper()
	s.in("#" + anchor(n)).click("Aggiungi al carrello")
}

// last is the order that was opened last.
func (s *stage) last() gateway.Order {
	s.t.Helper()
	orders := s.PSPs.Orders()
	if len(orders) == 0 {
		s.t.Fatal("no order was opened")
	}
	return orders[len(orders)-1]
}

// settle has the receipts of the last order come.
func (s *stage) settle() {
	s.t.Helper()
	o := s.last()
	for _, n := range o.Notices {
		notice, err := s.Notice(context.Background(), n.School, n.Number)
		if err != nil {
			s.t.Fatal(err)
		}
		s.Settle(notice, o.Cart)
	}
}
