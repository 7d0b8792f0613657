// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"bytes"
	"html/template"
	"net/http"
	"sync"
	"time"

	"github.com/nodogate/nodogate/gateway/money"
	"github.com/nodogate/nodogate/gateway/pagopa"
)

// page is one payment at a PSP, and the page the payer sees of it.
type page struct {
	id   string
	psp  *psp
	cart cartRequest // never changed

	opening sync.Mutex // held while the node asks the creditor, so that two loads of the page are one activation

	// What follows is guarded by Server.mu.
	state    pageState
	payments []payment // one for each notice of the cart, once activated
	until    time.Time // when their tokens die
}

// payment is one notice that the node has opened a session for.
type payment struct {
	notice
	token  string
	target pagopa.Target
	pagopa.Payment
}

type pageState string

const (
	pageOpen      pageState = "open"
	pagePaid      pageState = "paid"
	pageRefused   pageState = "refused"
	pageCancelled pageState = "cancelled"
	pageLeft      pageState = "left"
	pageExpired   pageState = "expired"
)

// What a button of the page sends as azione.
const (
	buttonPay    = "paga"
	buttonRefuse = "rifiuta"
	buttonCancel = "annulla"
	buttonLeave  = "chiudi"
)

// pageView is all that the page may show.
type pageView struct {
	PSP        string
	State      pageState
	Fault      pagopa.FaultCode // why the node cannot go on; the page stays open
	Notices    []noticeView
	Fee, Total string // no Fee: the PSP was told the total only
	Creditor   string // whose account the bank pays into; empty where it is no bank
	Back       string // where "Torna al sito" leads
}

type noticeView struct{ School, Description, Number, Amount string }

// page finds the page of the request and the PSP's mode. When there is nothing
// to go on with it has answered, and p is nil.
func (s *Server) page(w http.ResponseWriter, r *http.Request) (p *page, mode Mode) {
	psp, mode := s.find(r)
	s.mu.Lock()
	p = s.pages[r.PathValue("id")]
	s.mu.Unlock()
	switch {
	case psp == nil || p == nil || p.psp != psp:
		noPage(w)
		return nil, ""
	case mode == ModeDown:
		noService(w)
		return nil, ""
	}
	return p, mode
}

// showPage opens the payment: the node asks the creditor about each notice.
func (s *Server) showPage(w http.ResponseWriter, r *http.Request) {
	p, _ := s.page(w, r)
	if p == nil {
		return
	}
	fault := s.activate(r.Context(), p)
	s.render(w, http.StatusOK, pageTemplate, s.view(p, fault))
}

// pressButton ends the payment in one of four ways.
func (s *Server) pressButton(w http.ResponseWriter, r *http.Request) {
	p, mode := s.page(w, r)
	if p == nil {
		return
	}
	button := r.PostFormValue("azione")
	if button == buttonPay && mode == ModeRefuse {
		button = buttonRefuse
	}
	switch button {
	case buttonPay:
		s.pay(w, r, p, mode)
	case buttonRefuse:
		s.end(w, r, p, pageRefused, p.cart.ReturnURLs.Error)
	case buttonCancel:
		s.end(w, r, p, pageCancelled, p.cart.ReturnURLs.Cancel)
	case buttonLeave:
		s.end(w, r, p, pageLeft, "")
	default:
		noButton(w)
	}
}

func noPage(w http.ResponseWriter) {
	http.Error(w, "Questa pagina di pagamento non esiste.", http.StatusNotFound)
}

func noService(w http.ResponseWriter) {
	http.Error(w, "Servizio non disponibile.", http.StatusServiceUnavailable)
}

func noButton(w http.ResponseWriter) {
	http.Error(w, "Pulsante sconosciuto.", http.StatusBadRequest)
}

// pay takes the money and has the receipts sent.
func (s *Server) pay(w http.ResponseWriter, r *http.Request, p *page, mode Mode) {
	fault := s.activate(r.Context(), p)
	if fault == "" {
		fault = s.verify(r.Context(), p)
	}
	if fault != "" {
		s.render(w, http.StatusConflict, pageTemplate, s.view(p, fault))
		return
	}
	sent := s.take(p, mode)
	if sent == nil {
		s.render(w, http.StatusConflict, pageTemplate, s.view(p, ""))
		return
	}
	await(r, sent)
	if mode == ModeCut {
		panic(http.ErrAbortHandler) // ends the connection without an answer
	}
	http.Redirect(w, r, p.cart.ReturnURLs.OK, http.StatusSeeOther)
}

// end closes an open page without taking anything, and sends the browser back,
// or shows the page when there is no way back.
func (s *Server) end(w http.ResponseWriter, r *http.Request, p *page, to pageState, back string) {
	s.mu.Lock()
	ended := p.state == pageOpen
	if ended {
		p.state = to
		s.release(p)
		if to == pageRefused {
			s.enter(p, "refused")
		}
	}
	s.mu.Unlock()
	switch {
	case !ended:
		s.render(w, http.StatusConflict, pageTemplate, s.view(p, ""))
	case back == "":
		s.render(w, http.StatusOK, pageTemplate, s.view(p, ""))
	default:
		http.Redirect(w, r, back, http.StatusSeeOther)
	}
}

// amount is what the page asks for without the fee: the creditor's word, or
// the cart's while the creditor was not asked. Called with mu held.
func (p *page) amount() money.Cents {
	var sum money.Cents
	if p.payments == nil {
		for _, n := range p.cart.PaymentNotices {
			sum += n.Amount
		}
	}
	for _, n := range p.payments {
		sum += n.Amount
	}
	return sum
}

// enter writes into the ledger what became of a page. Called with mu held.
func (s *Server) enter(p *page, state string) {
	e := entry{
		PSP: p.psp.ID, Reference: p.id, Cart: p.cart.IDCart, Amount: p.amount(), State: state,
		At: s.cfg.Now().UTC().Truncate(time.Microsecond),
	}
	for _, n := range p.cart.PaymentNotices {
		e.Notices = append(e.Notices, ledgerRef{n.FiscalCode, n.NoticeNumber})
	}
	s.ledger = append(s.ledger, e)
}

func (s *Server) view(p *page, fault pagopa.FaultCode) pageView {
	s.mu.Lock()
	defer s.mu.Unlock()
	back := p.cart.ReturnURLs.Error
	switch p.state {
	case pagePaid:
		back = p.cart.ReturnURLs.OK
	case pageCancelled:
		back = p.cart.ReturnURLs.Cancel
	}
	amount := p.amount()
	fee, _ := p.psp.Fee(amount)
	v := pageView{
		PSP: p.psp.Name, State: p.state, Fault: fault, Back: back,
		Fee: fee.Italian(), Total: (amount + fee).Italian(),
	}
	for i, n := range p.cart.PaymentNotices {
		line := noticeView{School: *n.CompanyName, Description: *n.Description, Number: n.NoticeNumber, Amount: n.Amount.Italian()}
		if p.payments != nil {
			line.School, line.Description, line.Amount = p.payments[i].CompanyName, p.payments[i].Description, p.payments[i].Amount.Italian()
		}
		v.Notices = append(v.Notices, line)
	}
	return v
}

// render writes a page whole or not at all.
func (s *Server) render(w http.ResponseWriter, status int, t *template.Template, view any) {
	var b bytes.Buffer
	if err := t.Execute(&b, view); err != nil {
		s.cfg.Log.Error("sandbox page", "error", err.Error())
		http.Error(w, "Errore interno.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the browser is gone: its loss
}
