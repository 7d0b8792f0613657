// SPDX-License-Identifier: Apache-2.0

package portal

import (
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/nodogate/nodogate/gateway"
)

// noticePDF is the notice to print, for its family, and for whoever has both
// codes of a notice; of whom it is for, these learn nothing here either. What
// cannot be paid is not printed: its page says why.
func (p *portal) noticePDF(c *gin.Context) {
	ctx := c.Request.Context()
	var n gateway.Notice
	a, ref := account(c), gateway.NoticeRef{}
	err := gateway.ErrNotFound
	if a != nil {
		if ref, err = parseRef(c.Param("school"), c.Param("number")); err == nil {
			n, err = p.svc.FamilyNotice(ctx, *a, ref.School, ref.Number)
		}
	}
	back := "/avvisi/"
	if errors.Is(err, gateway.ErrNotFound) {
		var ok bool
		if n, ok = p.lookUp(c); !ok {
			return
		}
		n.Debtor = gateway.Debtor{Code: gateway.Anonymous}
		back, err = "/paga/", nil
	}
	var school gateway.School
	if err == nil {
		school, err = p.svc.School(ctx, n.School)
	}
	if err != nil {
		p.fail(c, err)
		return
	}
	if n.Payable(p.svc.Now()) != nil {
		c.Redirect(http.StatusSeeOther, back+string(n.School)+"/"+n.Number.String())
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
