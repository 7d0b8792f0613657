// SPDX-License-Identifier: Apache-2.0

package portal

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/iuv"
)

// Whoever holds a notice has its number and the school's code, and may pay it
// without an account; of whom it is for, they learn nothing here.

type guestPage struct {
	frame
	Number, School       string // as typed
	BadNumber, BadSchool bool
	Missing              bool
	Found                *notice
}

func (p *portal) guestForm(c *gin.Context) {
	p.render(c, http.StatusOK, "guest", guestPage{frame: p.frame(c)})
}

func (p *portal) guestSearch(c *gin.Context) {
	// As printed, the number stands in groups of four.
	page := guestPage{Number: noBlanks(c.PostForm("avviso")), School: noBlanks(c.PostForm("ente"))}
	number, err := iuv.Parse(page.Number)
	page.BadNumber = err != nil
	school, err := gateway.ParseSchoolCode(page.School)
	page.BadSchool = err != nil
	if page.BadNumber || page.BadSchool {
		page.frame = p.frame(c)
		p.render(c, http.StatusBadRequest, "guest", page)
		return
	}
	c.Redirect(http.StatusSeeOther, "/paga/"+string(school)+"/"+number.String())
}

func noBlanks(s string) string { return strings.Join(strings.Fields(s), "") }

// lookUp finds the notice of the address; it answers itself when there is none.
func (p *portal) lookUp(c *gin.Context) (gateway.Notice, bool) {
	if !p.within(c, p.lookups) {
		return gateway.Notice{}, false
	}
	ref, err := parseRef(c.Param("school"), c.Param("number"))
	var n gateway.Notice
	if err == nil {
		n, err = p.svc.Notice(c.Request.Context(), ref.School, ref.Number)
		if err != nil && !errors.Is(err, gateway.ErrNotFound) {
			p.fail(c, err)
			return gateway.Notice{}, false
		}
	}
	if err != nil || n.State == gateway.NoticeDraft {
		p.render(c, http.StatusNotFound, "guest", guestPage{frame: p.frame(c), Number: c.Param("number"), School: c.Param("school"), Missing: true})
		return gateway.Notice{}, false
	}
	return n, true
}

func (p *portal) guestNotice(c *gin.Context) {
	n, ok := p.lookUp(c)
	if !ok {
		return
	}
	school, err := p.svc.School(c.Request.Context(), n.School)
	if err != nil {
		p.fail(c, err)
		return
	}
	found := show(n, school.Name, p.svc.Now())
	found.InBasket = slices.Contains(p.refs(c.Request.Context()), found.ref())
	p.render(c, http.StatusOK, "guest", guestPage{frame: p.frame(c), Number: n.Number.String(), School: string(n.School), Found: &found})
}

func (p *portal) guestAdd(c *gin.Context) {
	if n, ok := p.lookUp(c); ok {
		if _, err := p.add(c, n); err != nil {
			p.fail(c, err)
			return
		}
		c.Redirect(http.StatusSeeOther, "/carrello")
	}
}
