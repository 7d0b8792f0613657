// SPDX-License-Identifier: Apache-2.0

package portal

import (
	"bytes"
	"crypto/rand"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gin-gonic/gin"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/money"
	"github.com/nodogate/nodogate/iuv"
)

//go:embed templates/*.html
var templateFiles embed.FS

// frame is what every page shows around its own.
type frame struct {
	Path    string
	Name    string // who is logged in; empty for a guest
	Menu    bool   // the family's menu; not while the password is provisional
	Basket  int
	Message string // see the template "message"
	// Back is where the page's forms come back to.
	Back      string
	Languages []languageLink
}

func (p *portal) frame(c *gin.Context) frame {
	ctx := c.Request.Context()
	f := frame{
		Path:    c.Request.URL.Path,
		Basket:  len(p.refs(ctx)),
		Message: p.sessions.PopString(ctx, sessionMessage),
		Back:    returnPath(c.Request.URL.RequestURI(), "/"),
	}
	here := "/"
	if p.askable[c.FullPath()] {
		here = f.Back
	}
	f.Languages = p.languageLinks(c, here)
	if a := account(c); a != nil {
		f.Name, f.Menu = a.FirstName+" "+a.LastName, !a.MustChange
	}
	return f
}

// menuLink is one line of the menu.
type menuLink struct {
	Address string
	Text    template.HTML
	Current bool
}

// picture is an image with its words; without an Address there is none.
type picture struct {
	Address string
	Text    template.HTML
}

// entry is a notice in a list: Back is where its forms come back to, Full says
// that child and school do not stand in a heading above.
type entry struct {
	Notice notice
	Back   string
	Full   bool
}

// parsePages makes a template of every page with the layout around it, for each
// language.
func parsePages(files *assets, all *tongues) (map[string]map[string]*template.Template, error) {
	pages := map[string]map[string]*template.Template{}
	for code, t := range all.byCode {
		var err error
		if pages[code], err = parsePagesIn(files, t); err != nil {
			return nil, err
		}
	}
	return pages, nil
}

func pageFuncs(files *assets, t *tongue) template.FuncMap {
	return template.FuncMap{
		"asset":    files.address,
		"styles":   files.styles,
		"fonts":    files.fonts,
		"language": func() string { return t.code },
		"t":        t.say,
		"choose":   t.choose,
		"count":    t.count,
		"euro":     t.euro,
		"day":      t.day,
		"hour":     t.hour,
		"alert": func(kind string) (template.HTMLAttr, error) {
			word, err := t.say("alert." + kind)
			return template.HTMLAttr(`class="alert alert-` + kind + `" data-word="` + string(word) + `"`), err //nolint:gosec // from our own files
		},
		// anchor names one notice inside a page.
		"anchor": func(n iuv.Number) string { return "avviso-" + n.String() },
		"link": func(path, address, key string) (menuLink, error) {
			text, err := t.say(key)
			return menuLink{address, text, path == address || address != "/" && strings.HasPrefix(path, address+"/")}, err
		},
		// picture is one of the manual's, in the page's language or in Italian.
		"picture": func(name, key string) (picture, error) {
			text, err := t.say(key)
			for _, lang := range []string{t.code, languages[0]} {
				if address, missing := files.address("manual/" + lang + "-" + name + ".jpg"); missing == nil {
					return picture{address, text}, err
				}
			}
			return picture{}, err
		},
		"entry": func(n notice, back string, full bool) entry { return entry{n, back, full} },
	}
}

func parsePagesIn(files *assets, t *tongue) (map[string]*template.Template, error) {
	layout, err := template.New("layout.html").Funcs(pageFuncs(files, t)).ParseFS(templateFiles, "templates/layout.html", "templates/parts.html")
	if err != nil {
		return nil, err
	}
	names, err := fs.Glob(templateFiles, "templates/*.html")
	if err != nil {
		return nil, err
	}
	pages := map[string]*template.Template{}
	for _, name := range names {
		base := strings.TrimSuffix(path.Base(name), ".html")
		if base == "layout" || base == "parts" {
			continue
		}
		page, err := layout.Clone()
		if err == nil {
			page, err = page.ParseFS(templateFiles, name)
		}
		if err != nil {
			return nil, err
		}
		pages[base] = page
	}
	return pages, nil
}

func (p *portal) page(c *gin.Context, name string) *template.Template {
	return p.pages[p.tongue(c).code][name]
}

// render writes a page whole, or an error page: never half of one.
func (p *portal) render(c *gin.Context, status int, name string, data any) {
	var buf bytes.Buffer
	if err := p.page(c, name).Execute(&buf, data); err != nil {
		p.fail(c, fmt.Errorf("page %s: %w", name, err))
		return
	}
	c.Data(status, "text/html; charset=utf-8", legible(buf.Bytes()))
}

// legible is a page without what HTML has no way to write: a form that came with
// control characters, or in no UTF-8, is shown again with signs in their place.
func legible(page []byte) []byte {
	return bytes.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' && r != '\r' {
			return utf8.RuneError
		}
		return r // also utf8.RuneError, for bytes that are no character
	}, page)
}

// statuses translate the gateway's errors; what is not here is a fault of ours.
var statuses = []struct {
	err    error
	status int
}{
	{gateway.ErrNotFound, http.StatusNotFound},
}

// fail shows the page of an error. A fault of ours is logged under a number
// that the page tells, and shown as nothing.
func (p *portal) fail(c *gin.Context, err error) {
	for _, s := range statuses {
		if errors.Is(err, s.err) {
			p.problem(c, s.status)
			return
		}
	}
	if c.Request.Context().Err() != nil {
		c.Abort() // nobody reads the answer
		return
	}
	reference := rand.Text()[:8]
	p.log.Error("portal", "reference", reference, "route", c.FullPath(), "error", err)
	p.problemPage(c, http.StatusInternalServerError, reference)
}

func (p *portal) problem(c *gin.Context, status int) { p.problemPage(c, status, "") }

type problemPage struct {
	frame
	Status    int
	Reference string
}

func (p *portal) problemPage(c *gin.Context, status int, reference string) {
	c.Abort()
	page := problemPage{p.frame(c), status, reference}
	// The same whatever was asked for, so that it tells nothing about it.
	page.Languages = p.languageLinks(c, "/")
	var buf bytes.Buffer
	if err := p.page(c, "problem").Execute(&buf, page); err != nil {
		p.log.Error("portal", "reference", reference, "error", err)
	}
	c.Data(status, "text/html; charset=utf-8", legible(buf.Bytes()))
}

// static serves a page that says the same to everybody.
func static(name string) func(*portal, *gin.Context) {
	return func(p *portal, c *gin.Context) { p.render(c, http.StatusOK, name, struct{ frame }{p.frame(c)}) }
}

type homePage struct {
	frame
	Proven    bool
	Due       []notice // the first to fall due
	DueCount  int
	DueTotal  money.Cents
	Verifying int
	Delegate  bool // of a class
}

// homeNotices is how many notices Home shows.
const homeNotices = 5

func (p *portal) home(c *gin.Context) {
	a := account(c)
	if a == nil {
		p.render(c, http.StatusOK, "welcome", struct{ frame }{p.frame(c)})
		return
	}
	list, err := p.familyNotices(c, *a, gateway.FamilyFilter{Part: gateway.FamilyUnpaid})
	if err != nil {
		p.fail(c, err)
		return
	}
	page := homePage{frame: p.frame(c), Proven: a.Proven}
	if page.Delegate, err = p.svc.HasClass(c.Request.Context(), *a); err != nil {
		p.fail(c, err)
		return
	}
	for _, n := range list {
		switch n.State {
		case stateOpen:
			page.Due = append(page.Due, n.notice)
			if page.DueTotal, err = page.DueTotal.Add(n.Amount); err != nil {
				p.fail(c, err)
				return
			}
		case stateVerifying:
			page.Verifying++
		}
	}
	slices.SortStableFunc(page.Due, byDueDate)
	page.DueCount = len(page.Due)
	page.Due = page.Due[:min(homeNotices, page.DueCount)]
	p.render(c, http.StatusOK, "home", page)
}

type providersPage struct {
	frame
	Amounts []money.Cents
	Methods []methodFees
}

type methodFees struct {
	Method gateway.Method
	Rows   []pspFees
}

// pspFees is what a PSP takes for each of the page's amounts; nil where it does
// not take the amount at all.
type pspFees struct {
	ID   gateway.PSPID
	Name string
	Fees []*money.Cents
}

// sampleAmounts are those the public list shows fees for.
var sampleAmounts = []money.Cents{10_00, 50_00, 100_00, 500_00}

func (p *portal) providers(c *gin.Context) {
	page := providersPage{frame: p.frame(c), Amounts: sampleAmounts}
	for i, amount := range sampleAmounts {
		for _, offer := range p.svc.Offers(c.Request.Context(), amount) {
			m := slices.IndexFunc(page.Methods, func(m methodFees) bool { return m.Method == offer.Method })
			if m < 0 {
				m = len(page.Methods)
				page.Methods = append(page.Methods, methodFees{Method: offer.Method})
			}
			rows := &page.Methods[m].Rows
			for _, psp := range offer.PSPs {
				r := slices.IndexFunc(*rows, func(r pspFees) bool { return r.ID == psp.ID })
				if r < 0 {
					r = len(*rows)
					*rows = append(*rows, pspFees{ID: psp.ID, Name: psp.Name, Fees: make([]*money.Cents, len(sampleAmounts))})
				}
				if psp.Reason != gateway.UnavailableAmount {
					(*rows)[r].Fees[i] = &psp.Fee
				}
			}
		}
	}
	p.render(c, http.StatusOK, "providers", page)
}
