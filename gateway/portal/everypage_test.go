// SPDX-License-Identifier: Apache-2.0

package portal_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	devtools "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
)

var update = flag.Bool("update", false, "rewrite the pictures of docs/screens and of the manual: go test -run Stories -update")

// tab is a tab of a Chromium.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu      sync.Mutex
	bytes   float64 // received since the last reset
	foreign []string
}

// needs skips a test, or fails it where everything must be there.
func needs(t *testing.T, what string, err error) {
	t.Helper()
	if err == nil {
		return
	}
	if os.Getenv("NODOGATE_TEST_STRICT") != "" {
		t.Fatalf("%s is missing: %v", what, err)
	}
	t.Skipf("%s is missing: %v", what, err)
}

// chromium starts a browser without windows.
func chromium(t *testing.T) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	needs(t, "chromium", err)
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	t.Cleanup(cancel)
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("accept-lang", "it"), chromedp.UserDataDir(t.TempDir()))
	ctx, stop := chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(stop)
	return ctx
}

func newTab(t *testing.T) *tab {
	t.Helper()
	return openTab(t, chromium(t))
}

// openTab opens a tab of the browser.
func openTab(t *testing.T, browser context.Context, options ...chromedp.ContextOption) *tab {
	t.Helper()
	ctx, closeTab := chromedp.NewContext(browser, options...)
	t.Cleanup(closeTab)
	b := &tab{t: t, ctx: ctx}
	b.do(chromedp.EmulateViewport(1280, 900))
	if err := chromedp.Listen(ctx, func(ev any) {
		b.mu.Lock()
		defer b.mu.Unlock()
		switch e := ev.(type) {
		case *network.EventRequestWillBeSent:
			if !strings.HasPrefix(e.Request.URL, "http://127.0.0.1:") && !strings.HasPrefix(e.Request.URL, "data:") {
				b.foreign = append(b.foreign, e.Request.URL)
			}
		case *network.EventLoadingFinished:
			b.bytes += e.EncodedDataLength
		}
	}); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

func (b *tab) media(name string) {
	b.t.Helper()
	// What moves looks otherwise from one instant to the next.
	still := []*emulation.MediaFeature{{Name: "prefers-reduced-motion", Value: "reduce"}}
	if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: name, Features: still}); err != nil {
		b.t.Fatal(err)
	}
}

func (b *tab) cache(off bool) {
	b.t.Helper()
	if _, err := chromedp.Call(b.ctx, network.SetCacheDisabled, network.SetCacheDisabledParams{CacheDisabled: off}); err != nil {
		b.t.Fatal(err)
	}
	b.mu.Lock()
	b.bytes = 0
	b.mu.Unlock()
}

// as gives the tab the session of a person's browser.
func (b *tab) as(p *browser) {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, network.SetCookie, network.SetCookieParams{Name: "nodogate", Value: p.cookie(), URL: p.site.url})
	if err != nil {
		b.t.Fatal(err)
	}
}

// broken runs axe over the page and tells what it finds, in a line each.
func (b *tab) broken(rules string) []string {
	b.t.Helper()
	return b.list(`
		if (!window.axe) await new Promise((done, failed) => {
			const script = document.createElement("script");
			script.onload = done; script.onerror = failed; script.src = "/prova/axe.min.js";
			document.head.append(script);
		});
		return axe.run(document, {` + rules + `, resultTypes: ["violations"]})
			.then(r => r.violations.flatMap(v => v.nodes.map(n => v.id + ": " + n.html.slice(0, 160) + " | " + n.failureSummary)))`)
}

// leftOut tells where the page looks otherwise than with all of Bootstrap Italia
// on it: what make assets left out and should not have.
func (b *tab) leftOut() []string {
	b.t.Helper()
	return b.list(`
		// What looked the same on another page of this width and medium is not
		// looked at again.
		const mode = innerWidth + " " + matchMedia("print").matches;
		const known = new Set(JSON.parse(localStorage.getItem(mode) || "[]"));
		const kinds = new Map();
		for (const e of document.querySelectorAll("body, body *")) {
			let kind = "";
			for (let a = e; a && a.tagName; a = a.parentElement) kind = a.tagName + "." + a.getAttribute("class") + (a.type || "") + (a.disabled || "") + (a.open || "") + " " + kind;
			if (!known.has(kind)) { known.add(kind); kinds.set(kind, e); }
		}
		localStorage.setItem(mode, JSON.stringify([...known]));
		const look = () => {
			const seen = new Map();
			for (const [kind, e] of kinds) {
				const all = {}, pseudos = ["", "::before", "::after"];
				if (e.tagName === "LI" || e.tagName === "SUMMARY") pseudos.push("::marker");
				if (e.tagName === "INPUT" || e.tagName === "TEXTAREA") pseudos.push("::placeholder");
				for (const pseudo of pseudos) {
					const style = getComputedStyle(e, pseudo || null);
					if (pseudo && style.content === "none") continue;
					for (const name of style) if (!name.startsWith("--")) all[pseudo + " " + name] = style.getPropertyValue(name);
				}
				seen.set(kind, all);
			}
			return seen;
		};
		const part = document.querySelector("link[href*='/vendor/bootstrap-italia.min.css']");
		const whole = document.getElementById("whole") || await new Promise((done, failed) => {
			const link = document.createElement("link");
			link.onload = () => done(link); link.onerror = failed;
			link.id = "whole"; link.rel = "stylesheet"; link.href = "/prova/vendor/bootstrap-italia.min.css";
			part.before(link);
		});
		whole.sheet.disabled = true;
		const ours = look();
		whole.sheet.disabled = false; part.sheet.disabled = true;
		const theirs = look();
		whole.sheet.disabled = true; part.sheet.disabled = false;
		const found = [];
		for (const [key, want] of theirs)
			for (const name in want)
				if (ours.get(key)?.[name] !== want[name]) { found.push(key + name + " is " + ours.get(key)?.[name] + ", want " + want[name]); break; }
		return found;`)
}

// list runs the body of a function that returns a list of sentences.
func (b *tab) list(body string) []string {
	b.t.Helper()
	found, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`(async () => {`+body+`})().then(JSON.stringify)`, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatal(err)
	}
	var list []string
	if err := json.Unmarshal([]byte(found), &list); err != nil {
		b.t.Fatal(err)
	}
	return list
}

func (b *tab) picture(file string, quality int) {
	b.t.Helper()
	shot, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(quality))
	if err == nil {
		shot, err = lighter(shot)
	}
	if err == nil {
		err = os.MkdirAll(filepath.Dir(file), 0o755)
	}
	if err == nil {
		err = os.WriteFile(file, shot, 0o644)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// lighter is a picture of a page in its 256 commonest colours, a third of the
// weight: the rest are shades at the edges of letters.
func lighter(shot []byte) ([]byte, error) {
	full, err := png.Decode(bytes.NewReader(shot))
	if err != nil {
		return nil, err
	}
	count := map[color.RGBA]int{}
	for y := full.Bounds().Min.Y; y < full.Bounds().Max.Y; y++ {
		for x := full.Bounds().Min.X; x < full.Bounds().Max.X; x++ {
			count[color.RGBAModel.Convert(full.At(x, y)).(color.RGBA)]++
		}
	}
	common := slices.SortedFunc(maps.Keys(count), func(a, b color.RGBA) int {
		return cmp.Or(cmp.Compare(count[b], count[a]), cmp.Compare(a.R, b.R), cmp.Compare(a.G, b.G), cmp.Compare(a.B, b.B))
	})
	var colours color.Palette
	for _, c := range common[:min(len(common), 256)] {
		colours = append(colours, c)
	}
	small := image.NewPaletted(full.Bounds(), colours)
	draw.Draw(small, small.Bounds(), full, full.Bounds().Min, draw.Src)
	var out bytes.Buffer
	err = (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, small)
	return out.Bytes(), err
}

// crop takes the top of the page only: what fits a manual.
func (b *tab) crop(file string, height float64, quality int64) {
	b.t.Helper()
	shot, err := chromedp.Call(b.ctx, devtools.CaptureScreenshot, devtools.CaptureScreenshotParams{
		Format: "jpeg", Quality: &quality, Clip: &devtools.Viewport{Width: 390, Height: height, Scale: 0.7},
	})
	if err == nil {
		err = os.MkdirAll(filepath.Dir(file), 0o755)
	}
	if err == nil {
		err = os.WriteFile(file, shot.Data, 0o644)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// lived is a site where all has happened that pages can show.
func lived(t *testing.T) (s *site, family *browser, public, inside []string) {
	t.Helper()
	s = newSite(t)
	s.Family()
	s.AddSchool(gatewaytest.OtherCode, "Liceo Galileo Galilei")
	luca := code(t, "RSSLCU12B02H501")
	ctx := context.Background()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(s.PutPupil(ctx, gatewaytest.Operator, gateway.Pupil{School: gatewaytest.OtherCode, ID: "p2", Code: luca, FirstName: "Luca", LastName: "Rossi", Class: "1A", SchoolYear: "2026/27"}))
	must(s.PutPayer(ctx, gatewaytest.Operator, gateway.Payer{School: gatewaytest.OtherCode, ID: "mario", Code: gatewaytest.ParentCode, FirstName: "Mario", LastName: "Rossi", Language: "it"}, "p2", "father"))
	forLuca := func(n *gateway.NewNotice) { n.DebtorCode, n.DebtorName, n.Class = string(luca), "Luca Rossi", "1A" }
	trip := s.Issue(func(n *gateway.NewNotice) { n.DueDate = "2026-12-05" })
	s.IssueAt(gatewaytest.OtherCode, forLuca, described("Assicurazione integrativa 2026/27"), func(n *gateway.NewNotice) { n.Amount = 850 })
	paid, running, gone := s.Issue(described("Libretto personale")), s.Issue(described("Mensa di novembre")), s.Issue(described("Corso di nuoto"))
	s.Issue(described("Mensa di ottobre"), func(n *gateway.NewNotice) { n.DueDate = "2026-10-31" })
	if _, err := s.Cancel(ctx, gatewaytest.Operator, gone.School, gone.Number); err != nil {
		t.Fatal(err)
	}
	receipt := s.Settle(paid, "")
	_, _, err := s.Delegate(ctx, gatewaytest.Operator, gatewaytest.SchoolCode, "3B", gateway.NewPayer{ID: "mario.rossi", Code: string(gatewaytest.ParentCode), FirstName: "Mario", LastName: "Rossi"})
	must(err)
	gift := s.contribution(true, 500)

	family = s.browser()
	family.login("mario.rossi")
	family.get("/avvisi").within(anchor(running)).submit("Aggiungi al carrello")
	family.get("/carrello/pagamento").submit("Paga")
	outcome := outcomeOf(s.PSPs.Orders()[0])
	family.get("/avvisi").within(anchor(trip)).submit("Aggiungi al carrello")
	at := func(n gateway.Notice) string { return "/avvisi/" + string(n.School) + "/" + n.Number.String() }
	give := "/versamenti-volontari/" + string(gift.School)
	public = []string{
		"/", "/accesso", "/accesso?torna=/avvisi", "/paga", payURL(trip), payURL(paid), "/carrello", "/versamenti-volontari", "/versamenti-volontari?cerca=grosseto", give, give + "/" + gift.ID,
		"/assistenza", "/faq", "/manuale", "/privacy", "/termini", "/accessibilita", "/servizi-di-pagamento", "/niente", "/area-riservata/email?token=vecchio",
		"/registrazione", "/registrazione/inviata", "/conferma?token=vecchio", "/accesso/recupero?cosa=username", "/accesso/recupero?cosa=password", "/accesso/recupero?token=vecchio",
	}
	inside = []string{
		"/", "/avvisi", "/avvisi?mostra=tutti", at(trip), at(paid), at(running), at(gone), "/carrello", "/carrello/pagamento", outcome, "/pagamenti",
		"/pagamenti/" + string(paid.School) + "/" + receipt.ID, "/attestazioni", "/classe", "/consensi", "/area-riservata", "/cambio-password", "/assistenza", "/versamenti-volontari", give + "/" + gift.ID,
	}
	return s, family, public, inside
}

// maxWeight is what a page may cost a phone at its first visit, all included.
const maxWeight = 250_000

// Every page, in every language, on a screen and printed: nothing that WCAG 2.1
// A and AA forbid, nothing wider than a small phone, nothing from elsewhere,
// nothing that Bootstrap Italia as a whole would show otherwise.
func TestEveryPageIsForEverybody(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"assets/axe.min.js", "assets/vendor/bootstrap-italia.min.css", "static/vendor/bootstrap-italia.min.css"} {
		_, err := os.Stat(name)
		needs(t, name+" (make assets)", err)
	}
	s, family, public, inside := lived(t)
	b := newTab(t)
	b.media("")
	const rules = `runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]`
	check := func(path, lang string) {
		t.Helper()
		to := path + "?lang=" + lang
		if strings.Contains(path, "?") {
			to = path + "&lang=" + lang
		}
		tell := func(what string, list []string) {
			t.Helper()
			for _, found := range list {
				t.Errorf("%s %s: %s", to, what, found)
			}
		}
		b.do(chromedp.Navigate(s.url + to))
		if lang != "it" {
			// Colours are those of the Italian page; to weigh them takes the longest.
			tell("", b.broken(rules+`, rules: {"color-contrast": {enabled: false}}`))
		} else {
			tell("", b.broken(rules))
			tell("at 1280", b.leftOut())
			// On paper some of the page is left out, and colours are others.
			b.media("print")
			tell("printed", b.broken(rules))
			tell("printed", b.leftOut())
			b.media("")
		}
		b.do(chromedp.EmulateViewport(320, 640))
		if lang == "it" {
			tell("at 320", b.leftOut())
		}
		wide, err := chromedp.Run(b.ctx, chromedp.Evaluate[int](`document.documentElement.scrollWidth`))
		if err != nil || wide > 320 {
			t.Errorf("%s is %d wide on a screen of 320, %v", to, wide, err)
		}
		if dir := os.Getenv("NODOGATE_TEST_SCREENS"); dir != "" && (lang == "it" || lang == "de") {
			name := strings.NewReplacer("/", "_", "?", "-", "=", "-").Replace(path)
			b.picture(filepath.Join(dir, lang+name[:min(len(name), 40)]+"-320.png"), 100)
			b.do(chromedp.EmulateViewport(1280, 900))
			b.picture(filepath.Join(dir, lang+name[:min(len(name), 40)]+"-1280.png"), 100)
		}
		b.do(chromedp.EmulateViewport(1280, 900))
	}
	for _, lang := range []string{"it", "en", "de", "fr", "sl"} {
		for _, path := range public {
			check(path, lang)
		}
	}
	applicant := s.browser()
	first := applicant.get("/registrazione")
	second := first.submit("Avanti", "codice_fiscale", string(gatewaytest.ParentCode), "controllo", first.sum())
	second.submit("Avanti", marioFields...)
	b.as(applicant)
	for _, lang := range []string{"de", "it"} {
		check("/registrazione?passo=2", lang)
		check("/registrazione?passo=3", lang)
	}
	b.as(family)
	for _, lang := range []string{"en", "de", "fr", "sl", "it"} {
		for _, path := range inside {
			check(path, lang)
		}
	}
	// Each page as if it were the first.
	heaviest, weight := "", 0.0
	for _, path := range append(public, inside...) {
		b.cache(true)
		b.do(chromedp.Navigate(s.url + path))
		b.mu.Lock()
		if b.bytes > maxWeight || b.bytes == 0 {
			t.Errorf("%s weighs %.0f bytes, want at most %d", path, b.bytes, maxWeight)
		}
		if b.bytes > weight {
			heaviest, weight = path, b.bytes
		}
		if path == "/" || path == "/avvisi" {
			t.Logf("%s weighs %.0f bytes", path, b.bytes)
		}
		b.mu.Unlock()
	}
	t.Logf("%s weighs %.0f bytes, the most of all", heaviest, weight)
	for _, address := range b.foreign {
		t.Errorf("a page asked for %s", address)
	}
}

// The whole way with the keyboard alone: skip link, log-in, a notice into the
// cart, to the payment.
func TestKeyboard(t *testing.T) {
	t.Parallel()
	s, _, _, _ := lived(t)
	b := newTab(t)
	b.do(chromedp.Navigate(s.url + "/accesso"))
	press := func(keys string) {
		t.Helper()
		b.do(chromedp.KeyEvent(keys))
	}
	focus := func() string {
		t.Helper()
		name, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`(() => { const e = document.activeElement; if (!e) return ""; return (e.labels && e.labels[0] ? e.labels[0].textContent : e.textContent).trim(); })()`))
		if err != nil {
			t.Fatal(err)
		}
		return name
	}
	tabTo := func(name string) {
		t.Helper()
		for range 60 {
			press("\t")
			if got := focus(); got == name {
				return
			}
		}
		t.Fatalf("the keyboard does not reach %q", name)
	}
	press("\t")
	if got := focus(); got != "Vai al contenuto" {
		t.Errorf("the first stop is %q, want the skip link", got)
	}
	arrives := func(path string) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
			at, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`document.readyState === "complete" ? location.pathname : ""`))
			if err == nil && at == path {
				return
			}
			<-time.After(20 * time.Millisecond) // the browser is another process
		}
		t.Fatalf("the keyboard does not lead to %s", path)
	}
	tabTo("Username")
	press("mario.rossi")
	tabTo("Password")
	press(gatewaytest.Password)
	press("\r")
	arrives("/")
	tabTo("Aggiungi al carrello")
	press("\r")
	tabTo("Vai al carrello")
	press("\r")
	arrives("/carrello")
	tabTo("Vai al pagamento")
	press("\r")
	arrives("/carrello/pagamento")
	tabTo("Paga")

	// What a new password lacks is shown and said while it is typed.
	b.do(chromedp.Navigate(s.url + "/cambio-password"))
	says := func(shown, spoken string) {
		t.Helper()
		var got string
		for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
			var err error
			got, err = chromedp.Run(b.ctx, chromedp.Evaluate[string](`[...document.querySelectorAll("#controlli:not([hidden]) .met")].map(e => e.dataset.rule).join(" ") + "; " + document.getElementById("controlli-detti").textContent`))
			if err != nil {
				t.Fatal(err)
			}
			if got == shown+"; "+spoken {
				return
			}
			<-time.After(20 * time.Millisecond)
		}
		t.Fatalf("the rules say %q, want %q", got, shown+"; "+spoken)
	}
	says("", "")
	tabTo("Nuova password")
	press("ab1")
	says("digit lower", "Manca ancora: Da 8 a 128 caratteri, Almeno una lettera maiuscola")
	press("Àéèòì")
	says("length digit upper lower", "La password rispetta la regola.")
	press("\t")
	press("ab1")
	says("length digit upper lower", "Manca ancora: Le due password sono uguali")
	press("Àéèòì")
	says("length digit upper lower same", "La password rispetta la regola.")
}
