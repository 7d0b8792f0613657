// SPDX-License-Identifier: Apache-2.0

package portal

import (
	"crypto/rand"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/nodogate/nodogate/gateway"
)

type helpPage struct {
	frame
	Help    string // of the installation
	Schools []schoolHelp
	Form    bool         // questions are taken
	Site    bool         // by who runs the site
	Ask     []schoolHelp // schools that take them
	To      gateway.SchoolCode
	Topics  []string
	Topic   string
	School  gateway.SchoolCode
	Email   string
	Text    string
	Key     string
	Ticket  string // of the question sent in this session
	Errors  map[string]bool
}

type schoolHelp struct {
	Code       gateway.SchoolCode
	Name, Help string
	takes      bool // questions
}

func (p *portal) help(c *gin.Context) {
	page := helpPage{Topic: c.Query("tema")}
	if a := account(c); a != nil {
		page.Email = a.Email
	}
	p.helpPage(c, http.StatusOK, page)
}

func (p *portal) helpPage(c *gin.Context, status int, page helpPage) {
	ctx := c.Request.Context()
	page.Help, page.Site, page.Topics, page.Key = p.svc.HelpText(), p.svc.TakesHelp(), gateway.HelpTopics, rand.Text()
	_, page.Ticket, _ = strings.Cut(p.sessions.GetString(ctx, sessionTicket), " ")
	if !slices.Contains(page.Topics, page.Topic) {
		page.Topic = ""
	}
	var err error
	if page.Schools, err = p.helpSchools(c); err != nil {
		p.fail(c, err)
		return
	}
	for _, x := range page.Schools {
		if x.takes {
			page.Ask = append(page.Ask, x)
		}
	}
	page.Form = page.Site || len(page.Ask) > 0
	if page.Errors == nil && len(page.Ask) > 0 {
		page.To = page.Ask[0].Code // about a notice the school knows more
	}
	page.frame = p.frame(c)
	p.render(c, status, "help", page)
}

// helpSchools are the schools of a family, by name; none for a guest.
func (p *portal) helpSchools(c *gin.Context) (list []schoolHelp, err error) {
	ctx, a := c.Request.Context(), account(c)
	if a == nil || a.MustChange {
		return nil, nil
	}
	notices, err := p.svc.FamilyNotices(ctx, *a)
	if err != nil {
		return nil, err
	}
	pupils, err := p.svc.FamilyPupils(ctx, *a)
	if err != nil {
		return nil, err
	}
	var codes []gateway.SchoolCode
	for _, x := range pupils {
		codes = append(codes, x.School)
	}
	for _, n := range notices {
		codes = append(codes, n.School)
	}
	slices.Sort(codes)
	for _, code := range slices.Compact(codes) {
		school, err := p.svc.School(ctx, code)
		if err != nil {
			return nil, err
		}
		list = append(list, schoolHelp{school.Code, school.Name, school.HelpText, school.HelpMail != ""})
	}
	slices.SortFunc(list, func(a, b schoolHelp) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// askHelp sends a question. The same form sent twice is one question.
func (p *portal) askHelp(c *gin.Context) {
	ctx := c.Request.Context()
	key := c.PostForm("chiave")
	if !keyForm.MatchString(key) {
		p.problem(c, http.StatusBadRequest)
		return
	}
	if sent, _, _ := strings.Cut(p.sessions.GetString(ctx, sessionTicket), " "); sent == key {
		c.Redirect(http.StatusSeeOther, "/assistenza#inviata")
		return
	}
	if !p.within(c, p.questions) {
		return
	}
	q := gateway.HelpRequest{Topic: c.PostForm("tema"), Text: c.PostForm("testo"), Email: c.PostForm("email"), School: gateway.SchoolCode(c.PostForm("scuola")),
		To: gateway.SchoolCode(c.PostForm("destinatario")), Language: p.tongue(c).code}
	if a := account(c); a != nil {
		q.Name = a.FirstName + " " + a.LastName
	}
	var ticket string
	own, err := p.helpSchools(c)
	switch {
	case err != nil:
	case q.To != "" && !slices.ContainsFunc(own, func(x schoolHelp) bool { return x.takes && x.Code == q.To }):
		// Only a family of the school's writes to it from here.
		err = &gateway.Invalid{Fields: []gateway.FieldError{{Field: "to", Code: "unknown"}}}
	default:
		ticket, err = p.svc.AskHelp(ctx, q)
	}
	var invalid *gateway.Invalid
	switch {
	case errors.As(err, &invalid):
		page := helpPage{Topic: q.Topic, Text: q.Text, Email: q.Email, School: q.School, To: q.To, Errors: map[string]bool{}}
		for _, f := range invalid.Fields {
			page.Errors[f.Field] = true
		}
		p.helpPage(c, http.StatusBadRequest, page)
		return
	case err != nil:
		p.fail(c, err)
		return
	}
	p.sessions.Put(ctx, sessionTicket, key+" "+ticket)
	c.Redirect(http.StatusSeeOther, "/assistenza#inviata")
}
