// SPDX-License-Identifier: Apache-2.0

package checkout

import (
	"net/url"

	"github.com/nodogate/nodogate/connectors"
	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/money"
)

// The messages of checkout_v1.json and checkout_v2.json, under the names they have
// there.

type cartRequest struct {
	EmailNotice    string          `json:"emailNotice,omitempty"`
	PaymentNotices []paymentNotice `json:"paymentNotices"`
	ReturnURLs     returnURLs      `json:"returnUrls"`
	IDCart         string          `json:"idCart,omitempty"`
	AllCCP         bool            `json:"allCCP"` // every transfer has a postal IBAN: we do not ask for that
}

type paymentNotice struct {
	NoticeNumber string      `json:"noticeNumber"`
	FiscalCode   string      `json:"fiscalCode"`
	Amount       money.Cents `json:"amount"` // euro cents
	CompanyName  string      `json:"companyName"`
	Description  string      `json:"description"`
}

type returnURLs struct {
	OK     string `json:"returnOkUrl"`
	Cancel string `json:"returnCancelUrl"`
	Error  string `json:"returnErrorUrl"`
	// Waiting is for whom Checkout has no answer yet: version 2 requires it.
	Waiting string `json:"returnWaitingUrl,omitempty"`
}

func newCartRequest(o gateway.Order, version string) cartRequest {
	r := cartRequest{
		EmailNotice: o.Email,
		ReturnURLs: returnURLs{
			OK:     returnTo(o.Return, "ok"),
			Cancel: returnTo(o.Return, "annullato"),
			Error:  returnTo(o.Return, "errore"),
		},
		IDCart: o.Cart,
	}
	if version == version2 {
		r.ReturnURLs.Waiting = returnTo(o.Return, "attesa")
	}
	for _, n := range o.Notices {
		r.PaymentNotices = append(r.PaymentNotices, paymentNotice{
			NoticeNumber: n.Number.String(),
			FiscalCode:   string(n.School),
			Amount:       n.Amount,
			CompanyName:  connectors.Cut(n.SchoolName, 140),
			Description:  connectors.Cut(n.Description, 140),
		})
	}
	return r
}

// returnTo is the page of the outcome with a hint in it.
func returnTo(page *url.URL, hint string) string {
	u := *page
	q := u.Query()
	q.Set("esito", hint)
	u.RawQuery = q.Encode()
	return u.String()
}
