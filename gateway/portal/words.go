// SPDX-License-Identifier: Apache-2.0

package portal

import (
	"bufio"
	"bytes"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/money"
)

// The words of every page stand in words/, one file for each language: lines
// "key = text" below "[section]" headings. A text may hold {names} that the page
// fills, **bold**, [links](/path), and ~ for a blank that does not break. A key
// that depends on a number is written once for each of the language's plural
// forms: "key.one = …", "key.few = …", "key.other = …".
//
//go:embed words/*.txt
var wordFiles embed.FS

// languages are the codes of the languages in the order they are offered. The
// first is spoken to whoever asks for none of them.
var languages = []string{"it", "en", "de", "fr", "sl"}

// tongue is one language: its words, and how it writes amounts and days.
type tongue struct {
	code string
	tag  language.Tag
	text map[string]phrase
}

// phrase is one text, ready to be filled: HTML and names of what goes between,
// in turn.
type phrase struct {
	raw   string // as written, for texts that are not HTML
	parts []string
}

// tongues are all languages.
type tongues struct {
	byCode  map[string]*tongue
	matcher language.Matcher
}

func loadTongues() (*tongues, error) {
	all := &tongues{byCode: map[string]*tongue{}}
	var tags []language.Tag
	for _, code := range languages {
		file, err := wordFiles.ReadFile("words/" + code + ".txt")
		if err != nil {
			return nil, err
		}
		t := &tongue{code: code, tag: language.MustParse(code)}
		if t.text, err = readWords(file); err != nil {
			return nil, fmt.Errorf("words/%s.txt: %w", code, err)
		}
		all.byCode[code] = t
		tags = append(tags, t.tag)
	}
	all.matcher = language.NewMatcher(tags)
	return all, nil
}

func readWords(file []byte) (map[string]phrase, error) {
	texts := map[string]phrase{}
	section := ""
	lines := bufio.NewScanner(bytes.NewReader(file))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		switch {
		case line == "", strings.HasPrefix(line, "#"):
			continue
		case strings.HasPrefix(line, "[") && strings.HasSuffix(line, "]"):
			section = line[1:len(line)-1] + "."
			continue
		}
		key, value, ok := strings.Cut(line, " = ")
		if key = section + key; !ok || value == "" {
			return nil, fmt.Errorf("line %d is not key = text", n)
		}
		if _, twice := texts[key]; twice {
			return nil, fmt.Errorf("line %d: %s stands twice", n, key)
		}
		texts[key] = newPhrase(strings.ReplaceAll(value, "~", "\u00a0"))
	}
	return texts, lines.Err()
}

var (
	boldText = regexp.MustCompile(`\*\*(.+?)\*\*`)
	linkText = regexp.MustCompile(`\[([^]]+)\]\((/[^)]*)\)`)
	gap      = regexp.MustCompile(`\{([a-z_]+)\}`)
)

func newPhrase(s string) phrase {
	marked := template.HTMLEscapeString(s)
	marked = boldText.ReplaceAllString(marked, "<strong>$1</strong>")
	marked = linkText.ReplaceAllString(marked, `<a href="$2">$1</a>`)
	p := phrase{raw: s}
	from := 0
	for _, m := range gap.FindAllStringSubmatchIndex(marked, -1) {
		p.parts = append(p.parts, marked[from:m[0]], marked[m[2]:m[3]])
		from = m[1]
	}
	p.parts = append(p.parts, marked[from:])
	return p
}

// say is the text of a key, its gaps filled with the values given as name,
// value, …. What is missing is a mistake in a template, found by the tests.
func (t *tongue) say(key string, values ...any) (template.HTML, error) {
	p, ok := t.text[key]
	if !ok {
		return "", fmt.Errorf("words/%s.txt: no %s", t.code, key)
	}
	var out strings.Builder
	for i, part := range p.parts {
		if i%2 == 0 {
			out.WriteString(part)
			continue
		}
		v, err := value(part, values)
		if err != nil {
			return "", fmt.Errorf("words/%s.txt: %s: %w", t.code, key, err)
		}
		if ready, ok := v.(template.HTML); ok {
			out.WriteString(string(ready))
		} else {
			out.WriteString(template.HTMLEscapeString(fmt.Sprint(v)))
		}
	}
	return template.HTML(out.String()), nil //nolint:gosec // written by us, what fills it is escaped above
}

func value(name string, values []any) (any, error) {
	for i := 0; i+1 < len(values); i += 2 {
		if values[i] == name {
			return values[i+1], nil
		}
	}
	return nil, fmt.Errorf("nothing fills {%s}", name)
}

// choose is the text for one of several values, or that of "other".
func (t *tongue) choose(section string, choice any, values ...any) (template.HTML, error) {
	key := fmt.Sprintf("%s.%v", section, choice)
	if _, ok := t.text[key]; !ok {
		key = section + ".other"
	}
	return t.say(key, values...)
}

// count is the text that fits a number, which fills {n}.
func (t *tongue) count(key string, n int, values ...any) (template.HTML, error) {
	form := pluralForm(t.tag, n)
	if _, ok := t.text[key+"."+form]; !ok {
		form = "other"
	}
	return t.say(key+"."+form, append(values, "n", n)...)
}

var pluralForms = map[plural.Form]string{
	plural.Zero: "zero", plural.One: "one", plural.Two: "two", plural.Few: "few", plural.Many: "many", plural.Other: "other",
}

func pluralForm(tag language.Tag, n int) string {
	return pluralForms[plural.Cardinal.MatchPlural(tag, n%10_000_000, 0, 0, 0, 0)]
}

// plain is a text outside of HTML.
func (t *tongue) plain(key string) string { return t.text[key].raw }

// euro writes an amount as the language does.
func (t *tongue) euro(c money.Cents) string {
	digits := c.Italian() // 1.234,50
	digits = strings.NewReplacer(".", t.plain("format.thousands"), ",", t.plain("format.decimal")).Replace(digits)
	return strings.Replace(t.plain("format.euro"), "{amount}", digits, 1)
}

// day writes the day of an instant, in Rome, or a date.
func (t *tongue) day(v any) (string, error) {
	switch d := v.(type) {
	case time.Time:
		return d.In(gateway.Rome()).Format(t.plain("format.day")), nil
	case gateway.Date:
		return time.Date(d.Year, d.Month, d.Day, 0, 0, 0, 0, time.UTC).Format(t.plain("format.day")), nil
	}
	return "", fmt.Errorf("a %T has no day", v)
}

func (t *tongue) hour(at time.Time) string { return at.In(gateway.Rome()).Format("15:04") }

// tongueKey is where the language of a request is kept.
const tongueKey = "tongue"

// tongue is the language to answer in: what the address asks for, what was
// chosen in this session, what the account chose, what the browser asks for, or
// Italian.
func (p *portal) tongue(c *gin.Context) *tongue {
	if t, ok := c.Get(tongueKey); ok {
		return t.(*tongue)
	}
	t := p.tongues.byCode[c.Query("lang")]
	if t == nil {
		t = p.tongues.byCode[p.sessions.GetString(c.Request.Context(), sessionLanguage)]
	}
	if a := account(c); t == nil && a != nil {
		t = p.tongues.byCode[a.Language]
	}
	if t == nil {
		t = p.asked(c.Request)
	}
	c.Set(tongueKey, t)
	return t
}

// asked is the language that a browser prefers.
func (p *portal) asked(r *http.Request) *tongue {
	header := r.Header.Get("Accept-Language")
	if len(header) > 200 {
		header = ""
	}
	wanted, _, err := language.ParseAcceptLanguage(header)
	if err != nil || len(wanted) == 0 {
		return p.tongues.byCode[languages[0]]
	}
	_, i, confidence := p.tongues.matcher.Match(wanted...)
	if confidence < language.High {
		i = 0
	}
	return p.tongues.byCode[languages[i]]
}

// speak keeps a language that the address asks for: in the session, and with
// the account for the mails and the next time.
func (p *portal) speak(c *gin.Context) {
	c.Header("Content-Language", p.tongue(c).code)
	wanted := c.Query("lang")
	if p.tongues.byCode[wanted] == nil {
		return
	}
	ctx := c.Request.Context()
	if p.sessions.GetString(ctx, sessionLanguage) != wanted {
		p.sessions.Put(ctx, sessionLanguage, wanted)
	}
	if a := account(c); a != nil && a.Language != wanted {
		p.keepLanguage(c, a.ID, wanted)
	}
}

// keepLanguage must not keep anybody from reading the page.
func (p *portal) keepLanguage(c *gin.Context, id, wanted string) {
	if err := p.svc.SetLanguage(c.Request.Context(), id, wanted); err != nil && !errors.Is(err, gateway.ErrNotFound) {
		p.log.Warn("portal: language not kept", "error", err)
	}
}

// languageLink leads to the same page in another language.
type languageLink struct {
	Code, Name, Address string
	Current             bool
}

// languageLinks are the links of the switcher. A page that answers a form is
// led to by its own address where that can be asked for, and otherwise Home.
func (p *portal) languageLinks(c *gin.Context, address string) []languageLink {
	u, err := url.Parse(address)
	if err != nil || path.Clean(u.Path) != u.Path {
		u = &url.URL{Path: "/"}
	}
	query := u.Query()
	links := make([]languageLink, len(languages))
	for i, code := range languages {
		query.Set("lang", code)
		u.RawQuery = query.Encode()
		t := p.tongues.byCode[code]
		links[i] = languageLink{code, t.plain("site.language"), u.RequestURI(), t == p.tongue(c)}
	}
	return links
}
