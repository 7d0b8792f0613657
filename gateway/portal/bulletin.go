// SPDX-License-Identifier: Apache-2.0

package portal

import (
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/nodogate/nodogate/gateway"
)

// bulletin serves the printed bulletins of a cart to whoever has the link, which
// gateway.Service has made and checks. It is good for a day and the paper names a
// person: neither is kept by a browser or a proxy (secureHeaders says no-store).
func (p *portal) bulletin(c *gin.Context) {
	list, err := p.svc.BulletinsByLink(c.Request.Context(), c.Param("cart"), c.Param("link"))
	switch {
	case err == nil && p.bulletins != nil:
		pdf, err := p.bulletins(list)
		if err != nil {
			p.fail(c, err)
			return
		}
		c.Header("Content-Disposition", `inline; filename="bollettino.pdf"`)
		c.Data(http.StatusOK, "application/pdf", pdf)
	case errors.Is(err, gateway.ErrLinkExpired), errors.Is(err, gateway.ErrNoBulletin), nothingToPay(err):
		p.problem(c, http.StatusGone)
	case err == nil:
		p.problem(c, http.StatusNotFound)
	default:
		p.fail(c, err)
	}
}

// nothingToPay says that the notices are paid, or can be paid no more.
func nothingToPay(err error) bool {
	for _, state := range []error{gateway.ErrNoticePaid, gateway.ErrNoticeCancelled, gateway.ErrNoticeExpired, gateway.ErrNoticeDraft, gateway.ErrNoticeHeld} {
		if errors.Is(err, state) {
			return true
		}
	}
	return false
}
