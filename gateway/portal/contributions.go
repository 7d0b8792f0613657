// SPDX-License-Identifier: Apache-2.0

package portal

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gin-gonic/gin"
	"golang.org/x/text/cases"
	"golang.org/x/text/runes"
	"golang.org/x/text/transform"
	"golang.org/x/text/unicode/norm"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/money"
)

// Voluntary contributions (versamenti volontari): anybody may give, with an
// account or without. Whoever has one gives in the name of a child or of
// themselves, and finds the receipt; a guest's notice names the pupil only.

type givePage struct {
	frame
	Query   string
	Short   bool // too little to search by
	Schools []schoolLine
	More    bool // there are more than are shown
	Own     []schoolLine
}

type schoolLine struct {
	Code               gateway.SchoolCode
	Name, Town, Mechan string
}

// maxSchools is how many schools a search shows.
const maxSchools = 30

func line(s gateway.School) schoolLine {
	return schoolLine{s.Code, s.Name, s.Town, s.Mechanograph}
}

func (p *portal) give(c *gin.Context) {
	ctx := c.Request.Context()
	page := givePage{frame: p.frame(c), Query: clip(strings.TrimSpace(c.Query("cerca")), 80)}
	if a := account(c); a != nil {
		var err error
		if page.Own, err = p.ownGiving(ctx, *a); err != nil {
			p.fail(c, err)
			return
		}
	}
	switch wanted := strings.Fields(plainText(page.Query)); {
	case page.Query == "":
	case utf8.RuneCountInString(strings.Join(wanted, "")) < 2:
		page.Short = true
	default:
		found, more, err := p.svc.FindGivingSchools(ctx, func(s gateway.GivingSchool) bool {
			where := plainText(s.Name + " " + s.Town + " " + s.Mechanograph + " " + string(s.Code))
			return !slices.ContainsFunc(wanted, func(w string) bool { return !strings.Contains(where, w) })
		}, maxSchools)
		if err != nil {
			p.fail(c, err)
			return
		}
		page.More = more
		for _, s := range found {
			page.Schools = append(page.Schools, schoolLine{s.Code, s.Name, s.Town, s.Mechanograph})
		}
	}
	p.render(c, http.StatusOK, "give", page)
}

// ownGiving are the schools of the family's pupils that take contributions now.
func (p *portal) ownGiving(ctx context.Context, a gateway.Account) (own []schoolLine, err error) {
	pupils, err := p.svc.FamilyPupils(ctx, a)
	if err != nil {
		return nil, err
	}
	for i, x := range pupils { // by school
		if i > 0 && x.School == pupils[i-1].School {
			continue
		}
		open, err := p.svc.Contributions(ctx, x.School)
		if err != nil {
			return nil, err
		}
		if len(open) == 0 {
			continue
		}
		school, err := p.svc.School(ctx, x.School)
		if err != nil {
			return nil, err
		}
		own = append(own, line(school))
	}
	slices.SortStableFunc(own, func(a, b schoolLine) int { return strings.Compare(a.Name, b.Name) })
	return own, nil
}

// plainText is a text to search in: no case, no accents. Most texts are ASCII,
// and a search compares those of all schools.
func plainText(s string) string {
	if isASCII(s) {
		return strings.ToLower(s)
	}
	t := transform.Chain(norm.NFD, runes.Remove(runes.In(unicode.Mn)), norm.NFC, cases.Fold())
	out, _, err := transform.String(t, s)
	if err != nil {
		return strings.ToLower(s)
	}
	return out
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func clip(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n])
	}
	return s
}

type giveSchoolPage struct {
	frame
	School schoolLine
	Help   string
	Open   []gateway.Contribution
}

// givingSchool is the school of the address, with what it takes now.
func (p *portal) givingSchool(c *gin.Context) (gateway.School, []gateway.Contribution, error) {
	ctx := c.Request.Context()
	code, err := gateway.ParseSchoolCode(c.Param("school"))
	if err != nil {
		return gateway.School{}, nil, gateway.ErrNotFound
	}
	school, err := p.svc.School(ctx, code)
	if err != nil {
		return gateway.School{}, nil, err
	}
	open, err := p.svc.Contributions(ctx, code)
	return school, open, err
}

func (p *portal) giveSchool(c *gin.Context) {
	school, open, err := p.givingSchool(c)
	if err != nil {
		p.fail(c, err)
		return
	}
	p.render(c, http.StatusOK, "giveschool", giveSchoolPage{frame: p.frame(c), School: line(school), Help: school.HelpText, Open: open})
}

type giftPage struct {
	frame
	School   schoolLine
	Gift     gateway.Contribution
	Children []giftChild
	Whom     string // id of a child, or other
	Pupil    string // as typed
	Amount   string
	// What is wrong: name, name_long, amount, amount_low, amount_high, or whom.
	Errors map[string]string
}

type giftChild struct{ ID, Name string }

// contributionOf finds the contribution of the address; it answers itself when
// there is none.
func (p *portal) contributionOf(c *gin.Context) (giftPage, bool) {
	school, open, err := p.givingSchool(c)
	if err != nil {
		p.fail(c, err)
		return giftPage{}, false
	}
	i := slices.IndexFunc(open, func(x gateway.Contribution) bool { return x.ID == c.Param("contribution") })
	if i < 0 {
		p.problem(c, http.StatusNotFound)
		return giftPage{}, false
	}
	page := giftPage{School: line(school), Gift: open[i], Whom: "altro", Errors: map[string]string{}}
	page.Amount = strings.Replace(open[i].Amount.String(), ".", ",", 1)
	if a := account(c); a != nil {
		pupils, err := p.svc.FamilyPupils(c.Request.Context(), *a)
		if err != nil {
			p.fail(c, err)
			return giftPage{}, false
		}
		for _, x := range pupils {
			if x.School == school.Code {
				page.Children = append(page.Children, giftChild{x.ID, x.FirstName + " " + x.LastName})
			}
		}
		if len(page.Children) > 0 {
			page.Whom = page.Children[0].ID
		}
	}
	return page, true
}

func (p *portal) giftForm(c *gin.Context) {
	if page, ok := p.contributionOf(c); ok {
		page.frame = p.frame(c)
		p.render(c, http.StatusOK, "gift", page)
	}
}

func (p *portal) makeGift(c *gin.Context) {
	if !p.within(c, p.gifts) {
		return
	}
	page, ok := p.contributionOf(c)
	if !ok {
		return
	}
	ctx, a := c.Request.Context(), account(c)
	if len(p.refs(ctx)) >= gateway.MaxCartNotices {
		p.tell(c, "full")
		c.Redirect(http.StatusSeeOther, "/carrello")
		return
	}
	page.Whom, page.Pupil = c.DefaultPostForm("per", "altro"), strings.Join(strings.Fields(c.PostForm("nome")), " ")
	gift := gateway.Gift{School: page.Gift.School, Service: page.Gift.Service, Code: string(gateway.Anonymous), Name: page.Pupil}
	actor := gateway.Actor{Kind: "guest", Name: "guest"}
	if a != nil {
		actor = gateway.Actor{Kind: "account", Name: a.ID}
		if a.Proven {
			gift.Code = string(a.Code) // the receipt is then the family's to see
		}
	}
	switch {
	case page.Whom != "altro":
		pupil, err := p.ownPupil(c, page.Gift.School, page.Whom)
		if errors.Is(err, gateway.ErrNotFound) {
			page.Errors["whom"] = "whom"
		} else if err != nil {
			p.fail(c, err)
			return
		}
		gift.Code, gift.Name = string(pupil.Code), pupil.FirstName+" "+pupil.LastName
	case page.Pupil == "":
		page.Errors["name"] = "name"
	case utf8.RuneCountInString(page.Pupil) > 70, hasControl(c.PostForm("nome")):
		page.Errors["name"] = "name_long"
	}
	if page.Gift.Free {
		page.Amount = clip(strings.TrimSpace(c.PostForm("importo")), 20)
		amount, ok := parseEuro(page.Amount)
		switch {
		case !ok, amount <= 0:
			page.Errors["amount"] = "amount"
		case amount < page.Gift.Min:
			page.Errors["amount"] = "amount_low"
		case amount > maxGift:
			page.Errors["amount"] = "amount_high"
		}
		gift.Amount = &amount
	}
	if len(page.Errors) > 0 {
		page.frame = p.frame(c)
		p.render(c, http.StatusBadRequest, "gift", page)
		return
	}
	n, _, err := p.svc.Demand(ctx, actor, gift)
	var invalid *gateway.Invalid
	switch {
	case errors.Is(err, gateway.ErrContributionClosed):
		p.problem(c, http.StatusNotFound)
		return
	case errors.As(err, &invalid):
		page.Errors["name"] = "name_long"
		page.frame = p.frame(c)
		p.render(c, http.StatusBadRequest, "gift", page)
		return
	case err != nil:
		p.fail(c, err)
		return
	}
	if _, err := p.add(c, n); err != nil {
		p.fail(c, err)
		return
	}
	c.Redirect(http.StatusSeeOther, "/carrello")
}

// maxGift is more than anybody gives through a form by intent.
const maxGift money.Cents = 10_000_00

func (p *portal) ownPupil(c *gin.Context, school gateway.SchoolCode, id string) (gateway.Pupil, error) {
	a := account(c)
	if a == nil {
		return gateway.Pupil{}, gateway.ErrNotFound
	}
	pupils, err := p.svc.FamilyPupils(c.Request.Context(), *a)
	if err != nil {
		return gateway.Pupil{}, err
	}
	for _, x := range pupils {
		if x.School == school && x.ID == id {
			return x, nil
		}
	}
	return gateway.Pupil{}, gateway.ErrNotFound
}

func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || r == utf8.RuneError })
}

// parseEuro reads an amount as people type it: 20, 16,5, 16.50, € 1.000,00.
func parseEuro(s string) (money.Cents, bool) {
	s = strings.TrimSpace(strings.Trim(strings.Join(strings.Fields(s), ""), "€"))
	whole, cents := s, ""
	if i := strings.LastIndexAny(s, ",."); i >= 0 && len(s)-i <= 3 {
		whole, cents = s[:i], s[i+1:]
	}
	if strings.Contains(whole, ",") && strings.Contains(whole, ".") {
		return 0, false
	}
	groups := strings.FieldsFunc(whole, func(r rune) bool { return r == '.' || r == ',' || r == '\'' })
	for i, g := range groups {
		if i > 0 && len(g) != 3 || i == 0 && len(groups) > 1 && len(g) > 3 {
			return 0, false
		}
	}
	for len(cents) < 2 {
		cents += "0"
	}
	v, err := money.Parse(strings.Join(groups, "") + "." + cents)
	return v, err == nil
}
