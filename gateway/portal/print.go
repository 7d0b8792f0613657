// SPDX-License-Identifier: Apache-2.0

package portal

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/nodogate/nodogate/gateway"
)

// noticePDF is the notice to print, for its family; for another it is not there.
func (p *portal) noticePDF(c *gin.Context) {
	ref, err := parseRef(c.Param("school"), c.Param("number"))
	if err != nil {
		p.problem(c, http.StatusNotFound)
		return
	}
	n, err := p.svc.FamilyNotice(c.Request.Context(), *account(c), ref.School, ref.Number)
	if err != nil {
		p.fail(c, err)
		return
	}
	p.printNotice(c, n, "/avvisi/")
}

// guestPDF is for whoever has both codes of a notice. Of whom it is for, they
// learn nothing here either.
func (p *portal) guestPDF(c *gin.Context) {
	if n, ok := p.lookUp(c); ok {
		n.Debtor = gateway.Debtor{Code: gateway.Anonymous}
		p.printNotice(c, n, "/paga/")
	}
}

// printNotice sends the document. What cannot be paid is not printed: its page,
// under back, says why.
func (p *portal) printNotice(c *gin.Context, n gateway.Notice, back string) {
	ctx := c.Request.Context()
	if n.Payable(p.svc.Now()) != nil {
		c.Redirect(http.StatusSeeOther, back+string(n.School)+"/"+n.Number.String())
		return
	}
	school, err := p.svc.School(ctx, n.School)
	if err != nil {
		p.fail(c, err)
		return
	}
	language := p.tongue(c).code
	if language == "it" {
		language = ""
	}
	pdf, err := p.noticeDoc(ctx, n, school, language)
	if err != nil {
		p.fail(c, err)
		return
	}
	c.Header("Content-Disposition", `attachment; filename="avviso-`+n.Number.String()+`.pdf"`)
	c.Data(http.StatusOK, "application/pdf", pdf)
}
