// SPDX-License-Identifier: Apache-2.0

package portal

import (
	"fmt"
	"io/fs"
	"maps"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"text/template/parse"
	"time"

	"golang.org/x/net/html"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/money"
)

func mustTongues(t *testing.T) *tongues {
	t.Helper()
	all, err := loadTongues()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// neededForms are the plural forms of each language's cardinal numbers.
var neededForms = map[string][]string{
	"it": {"one", "other"}, "en": {"one", "other"}, "de": {"one", "other"}, "fr": {"one", "other"}, "sl": {"one", "two", "few", "other"},
}

// Every language says all that Italian says, with the same gaps.
func TestWordsAreComplete(t *testing.T) {
	t.Parallel()
	all := mustTongues(t)
	gaps := func(p phrase) []string {
		var names []string
		for _, m := range gap.FindAllStringSubmatch(p.raw, -1) {
			names = append(names, m[1])
		}
		slices.Sort(names)
		return names
	}
	counted := countedKeys(t)
	// want is what each key needs, a counted one without its form.
	want := map[string][]string{}
	for key, p := range all.byCode["it"].text {
		if base, form, ok := cutLast(key); ok && counted[base] {
			if form == "other" {
				want[base] = gaps(p)
			}
			continue
		}
		want[key] = gaps(p)
	}
	for code, tongue := range all.byCode {
		left := maps.Clone(tongue.text)
		for key, names := range want {
			keys := []string{key}
			if counted[key] {
				keys = nil
				for _, form := range neededForms[code] {
					keys = append(keys, key+"."+form)
				}
			}
			for _, k := range keys {
				p, ok := tongue.text[k]
				delete(left, k)
				if !ok {
					t.Errorf("words/%s.txt lacks %s", code, k)
					continue
				}
				// Only the number may be said in words.
				got := gaps(p)
				if !slices.Equal(without1(got, "n"), without1(names, "n")) {
					t.Errorf("words/%s.txt: %s has the gaps %q, in Italian %q", code, k, got, names)
				}
				if strings.Contains(p.raw, "TODO") || strings.Contains(p.raw, "  ") {
					t.Errorf("words/%s.txt: %s is %q", code, k, p.raw)
				}
			}
		}
		for key := range left {
			t.Errorf("words/%s.txt has %s, and Italian not", code, key)
		}
	}
}

func without1(list []string, gone string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == gone })
}

func cutLast(key string) (base, last string, ok bool) {
	i := strings.LastIndexByte(key, '.')
	if i < 0 {
		return "", "", false
	}
	return key[:i], key[i+1:], true
}

// used is what templates and Go ask for: exact keys, counted ones, and sections
// of which one text is chosen.
type used struct{ exact, counted, chosen map[string]bool }

func wordsUsed(t *testing.T) used {
	t.Helper()
	u := used{map[string]bool{}, map[string]bool{}, map[string]bool{}}
	files, err := loadAssets()
	if err != nil {
		t.Fatal(err)
	}
	pages, err := parsePagesIn(files, mustTongues(t).byCode["it"])
	if err != nil {
		t.Fatal(err)
	}
	for name, page := range pages {
		for _, tmpl := range page.Templates() {
			if tmpl.Tree == nil {
				continue
			}
			walk(tmpl.Tree.Root, func(args []parse.Node) {
				fn, ok := args[0].(*parse.IdentifierNode)
				if !ok {
					return
				}
				at := map[string]int{"t": 1, "choose": 1, "count": 1, "alert": 1, "link": 3, "picture": 2}[fn.Ident]
				if at == 0 {
					return
				}
				key, ok := args[at].(*parse.StringNode)
				if !ok {
					t.Errorf("%s: the key of %s is not written out", name, fn.Ident)
					return
				}
				switch fn.Ident {
				case "choose":
					u.chosen[key.Text] = true
				case "count":
					u.counted[key.Text] = true
				case "alert":
					u.exact["alert."+key.Text] = true
				default:
					u.exact[key.Text] = true
				}
			})
		}
	}
	sources, err := fs.Glob(os.DirFS("."), "*.go")
	if err != nil {
		t.Fatal(err)
	}
	asked := regexp.MustCompile(`\.(plain|say|choose|count)\("([a-z_.]*[a-z_])"`)
	for _, name := range sources {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range asked.FindAllStringSubmatch(string(source), -1) {
			switch m[1] {
			case "choose":
				u.chosen[m[2]] = true
			case "count":
				u.counted[m[2]] = true
			default:
				u.exact[m[2]] = true
			}
		}
	}
	return u
}

func countedKeys(t *testing.T) map[string]bool { return wordsUsed(t).counted }

func walk(n parse.Node, command func(args []parse.Node)) {
	list := func(l *parse.ListNode) {
		if l != nil {
			for _, c := range l.Nodes {
				walk(c, command)
			}
		}
	}
	branch := func(b *parse.BranchNode) { walk(b.Pipe, command); list(b.List); list(b.ElseList) }
	switch n := n.(type) {
	case *parse.ListNode:
		list(n)
	case *parse.ActionNode:
		walk(n.Pipe, command)
	case *parse.IfNode:
		branch(&n.BranchNode)
	case *parse.RangeNode:
		branch(&n.BranchNode)
	case *parse.WithNode:
		branch(&n.BranchNode)
	case *parse.TemplateNode:
		if n.Pipe != nil {
			walk(n.Pipe, command)
		}
	case *parse.PipeNode:
		for _, c := range n.Cmds {
			command(c.Args)
			for _, a := range c.Args {
				walk(a, command)
			}
		}
	}
}

// What is asked for is there, and what is there is asked for.
func TestWordsAreUsed(t *testing.T) {
	t.Parallel()
	u := wordsUsed(t)
	texts := mustTongues(t).byCode["it"].text
	for key := range u.exact {
		if _, ok := texts[key]; !ok {
			t.Errorf("%s is asked for and not there", key)
		}
	}
	for section := range u.chosen {
		found := false
		for key := range texts {
			if base, _, _ := cutSection(key, section); base {
				found = true
			}
		}
		if !found {
			t.Errorf("nothing to choose from in %s", section)
		}
	}
	for key := range texts {
		base, _, _ := cutLast(key)
		ok := u.exact[key] || u.counted[base]
		for section := range u.chosen {
			if in, _, _ := cutSection(key, section); in {
				ok = true
			}
		}
		if !ok {
			t.Errorf("%s is never asked for", key)
		}
	}
	// The names that Go gives to refusals all have a sentence of their own.
	for _, r := range reasons {
		if _, ok := texts["reason."+r.name]; !ok {
			t.Errorf("no sentence for the reason %s", r.name)
		}
	}
	for _, p := range phases {
		if _, ok := texts["phase."+string(p)]; !ok && p != phaseVerifying {
			t.Errorf("no word for the phase %s", p)
		}
	}
	for _, s := range []shownState{stateOpen, stateVerifying, statePaid, stateExpired} {
		if _, ok := texts["state."+string(s)]; !ok {
			t.Errorf("no word for the state %s", s)
		}
	}
	for _, m := range gateway.Methods[:2] {
		if _, ok := texts["method."+string(m)]; !ok {
			t.Errorf("no word for the method %s", m)
		}
	}
}

func cutSection(key, section string) (in bool, rest string, ok bool) {
	rest, ok = strings.CutPrefix(key, section+".")
	return ok, rest, ok
}

// Templates hold structure; a word in one would be the same in all languages.
func TestTemplatesHoldNoWords(t *testing.T) {
	t.Parallel()
	names, err := fs.Glob(templateFiles, "templates/*.html")
	if err != nil {
		t.Fatal(err)
	}
	// The tokenizer takes what stands in a noscript for a text.
	action := regexp.MustCompile(`(?s)\{\{.*?\}\}|</?noscript>`)
	letter := regexp.MustCompile(`\pL`)
	for _, name := range names {
		source, err := fs.ReadFile(templateFiles, name)
		if err != nil {
			t.Fatal(err)
		}
		z := html.NewTokenizer(strings.NewReader(action.ReplaceAllString(string(source), "")))
		for {
			kind := z.Next()
			if kind == html.ErrorToken {
				break
			}
			token := z.Token()
			switch kind {
			case html.TextToken:
				if letter.MatchString(token.Data) {
					t.Errorf("%s says %q", name, strings.TrimSpace(token.Data))
				}
			case html.StartTagToken, html.SelfClosingTagToken:
				for _, a := range token.Attr {
					if slices.Contains([]string{"alt", "title", "placeholder", "aria-label", "data-word"}, a.Key) && letter.MatchString(a.Val) {
						t.Errorf("%s: %s says %q", name, a.Key, a.Val)
					}
				}
			}
		}
	}
}

func TestAmountsAndDays(t *testing.T) {
	t.Parallel()
	all := mustTongues(t)
	for code, want := range map[string]string{
		"it": "€\u00a01.234,50 05/01/2026",
		"en": "€1,234.50 5 Jan 2026",
		"de": "1.234,50\u00a0€ 05.01.2026",
		"fr": "1\u00a0234,50\u00a0€ 05/01/2026",
		"sl": "1.234,50\u00a0€ 5. 1. 2026",
	} {
		tongue := all.byCode[code]
		// Half an hour before midnight in Greenwich is the next day in Rome.
		for _, v := range []any{gateway.Date{Year: 2026, Month: 1, Day: 5}, time.Date(2026, 1, 4, 23, 30, 0, 0, time.UTC)} {
			day, err := tongue.day(v)
			if got := tongue.euro(money.Cents(123450)) + " " + day; err != nil || got != want {
				t.Errorf("%s: %q, %v; want %q", code, got, err, want)
			}
		}
	}
}

func TestPlurals(t *testing.T) {
	t.Parallel()
	all := mustTongues(t)
	for code, want := range map[string]string{
		"it": "0 avvisi|1 avviso|2 avvisi|3 avvisi|5 avvisi|101 avvisi",
		"fr": "0 avis|1 avis|2 avis|3 avis|5 avis|101 avis",
		"sl": "0 obvestil|1 obvestilo|2 obvestili|3 obvestila|5 obvestil|101 obvestilo",
	} {
		var got []string
		for _, n := range []int{0, 1, 2, 3, 5, 101} {
			s, err := all.byCode[code].count("cart.notices", n)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string(s))
		}
		if strings.Join(got, "|") != want {
			t.Errorf("%s: %q, want %s", code, got, want)
		}
	}
}

func TestPhrases(t *testing.T) {
	t.Parallel()
	texts, err := readWords([]byte("# note\n[a]\nb = Uno < due, {x} **forte** [qui](/paga?a=1&b=2) a~capo\nc = {y}\n"))
	if err != nil {
		t.Fatal(err)
	}
	tongue := &tongue{code: "xx", text: texts}
	got, err := tongue.say("a.b", "x", "<b>&")
	if want := "Uno &lt; due, &lt;b&gt;&amp; <strong>forte</strong> <a href=\"/paga?a=1&amp;b=2\">qui</a> a\u00a0capo"; err != nil || string(got) != want {
		t.Errorf("said %q, %v; want %q", got, err, want)
	}
	for _, bad := range []func() (any, error){
		func() (any, error) { return tongue.say("a.none") },
		func() (any, error) { return tongue.say("a.c", "x", 1) },
		func() (any, error) { return tongue.choose("a", "none") },
		func() (any, error) { return readWords([]byte("[a]\nb = 1\nb = 2\n")) },
		func() (any, error) { return readWords([]byte("only words\n")) },
	} {
		if v, err := bad(); err == nil {
			t.Errorf("%v is no error", v)
		}
	}
}

func TestAskedLanguage(t *testing.T) {
	t.Parallel()
	p := &portal{tongues: mustTongues(t)}
	for header, want := range map[string]string{
		"":                                   "it",
		"de":                                 "de",
		"de-AT,de;q=0.9,en;q=0.5":            "de",
		"sl-SI":                              "sl",
		"ja,fr;q=0.8,en;q=0.7":               "fr",
		"ja":                                 "it",
		"*":                                  "it",
		"en-GB":                              "en",
		";;;":                                "it",
		strings.Repeat("de,", 100):           "it",
		"it-CH,de;q=0.9":                     "it",
		"de;q=0.1,sl;q=0.9":                  "sl",
		"<script>":                           "it",
		"de\x00":                             "it",
		fmt.Sprintf("x-%s", "nodogate-test"): "it",
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Accept-Language", header)
		if got := p.asked(r).code; got != want {
			t.Errorf("Accept-Language %q: %s, want %s", header, got, want)
		}
	}
}
