// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/mail"
	"net/url"
	"regexp"
	"unicode/utf8"

	"github.com/nodogate/nodogate/gateway/money"
)

// cartRequest is CartRequest of checkout_v1.json.
type cartRequest struct {
	EmailNotice    *string       `json:"emailNotice"`
	PaymentNotices []cartNotice  `json:"paymentNotices"`
	ReturnURLs     cartReturnURL `json:"returnUrls"`
	IDCart         string        `json:"idCart"`
	AllCCP         bool          `json:"allCCP"`
}

type cartNotice struct {
	NoticeNumber string      `json:"noticeNumber"`
	FiscalCode   string      `json:"fiscalCode"`
	Amount       money.Cents `json:"amount"`
	CompanyName  *string     `json:"companyName"`
	Description  *string     `json:"description"`
}

type cartReturnURL struct {
	OK     string `json:"returnOkUrl"`
	Cancel string `json:"returnCancelUrl"`
	Error  string `json:"returnErrorUrl"`
}

func (n cartNotice) name() notice { return notice{n.FiscalCode, n.NoticeNumber} }

var (
	noticeForm   = regexp.MustCompile(`\A[0-9]{18}\z`)
	creditorForm = regexp.MustCompile(`\A[0-9]{11}\z`)
)

// check holds a cart against the OpenAPI's limits, and gives its total.
func (c *cartRequest) check() (money.Cents, error) {
	if n := len(c.PaymentNotices); n < 1 || n > 5 {
		return 0, errors.New("paymentNotices: 1 to 5")
	}
	var total money.Cents
	seen := make(map[notice]bool)
	for i, n := range c.PaymentNotices {
		switch {
		case !noticeForm.MatchString(n.NoticeNumber):
			return 0, fmt.Errorf("paymentNotices[%d].noticeNumber: 18 digits", i)
		case !creditorForm.MatchString(n.FiscalCode):
			return 0, fmt.Errorf("paymentNotices[%d].fiscalCode: 11 digits", i)
		case seen[n.name()]:
			return 0, fmt.Errorf("paymentNotices[%d]: in the cart twice", i)
		case n.Amount < 1 || n.Amount > money.Max:
			return 0, fmt.Errorf("paymentNotices[%d].amount: euro cents, 1 at least", i)
		case n.CompanyName == nil || utf8.RuneCountInString(*n.CompanyName) > 140:
			return 0, fmt.Errorf("paymentNotices[%d].companyName: required, 140 characters", i)
		case n.Description == nil || utf8.RuneCountInString(*n.Description) > 140:
			return 0, fmt.Errorf("paymentNotices[%d].description: required, 140 characters", i)
		}
		seen[n.name()] = true
		var err error
		if total, err = total.Add(n.Amount); err != nil {
			return 0, errors.New("paymentNotices: the total is too large")
		}
	}
	for _, address := range []string{c.ReturnURLs.OK, c.ReturnURLs.Cancel, c.ReturnURLs.Error} {
		// A browser will be sent there, so nothing but the web.
		if u, err := url.Parse(address); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			return 0, errors.New("returnUrls: three absolute addresses")
		}
	}
	if c.EmailNotice != nil {
		if a, err := mail.ParseAddress(*c.EmailNotice); err != nil || a.Address != *c.EmailNotice {
			return 0, errors.New("emailNotice: an e-mail address")
		}
	}
	return total, nil
}

// postCarts opens a payment, as Checkout's POST /carts does.
func (s *Server) postCarts(w http.ResponseWriter, r *http.Request) {
	psp, mode := s.find(r)
	switch {
	case psp == nil:
		fail(w, http.StatusNotFound, "Not found", "no PSP with this id")
		return
	case mode == ModeDown:
		fail(w, http.StatusServiceUnavailable, "Service unavailable", "")
		return
	}
	var cart cartRequest
	if err := json.NewDecoder(r.Body).Decode(&cart); err != nil {
		fail(w, http.StatusBadRequest, "Validation error", "the body is no cart")
		return
	}
	total, err := cart.check()
	if err != nil {
		fail(w, http.StatusBadRequest, "Validation error", err.Error())
		return
	}
	switch _, takes := psp.Fee(total); {
	case mode == ModeRefuse:
		fail(w, http.StatusUnprocessableEntity, "Cart refused", "the PSP is set to refuse")
		return
	case !takes:
		fail(w, http.StatusUnprocessableEntity, "Cart refused", "the amount is over the PSP's limit")
		return
	case mode == ModeSlow && !s.think(r):
		return
	}

	p := &page{id: s.random(), psp: psp, cart: cart, state: pageOpen}
	s.mu.Lock()
	s.pages[p.id] = p
	s.remember(p.id)
	s.mu.Unlock()

	if mode == ModeCut {
		panic(http.ErrAbortHandler) // ends the connection without an answer
	}
	w.Header().Set("Location", s.cfg.URL.JoinPath(string(psp.ID), "pagina", p.id).String())
	w.WriteHeader(http.StatusFound)
}
