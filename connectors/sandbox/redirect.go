// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
	"unicode/utf8"

	"github.com/nodogate/nodogate/connectors"
	"github.com/nodogate/nodogate/gateway/money"
)

// redirectName is how the catalogue calls the connector of PSPs that have their
// own page.
const redirectName = "redirect"

const (
	redirectLife = 10 * time.Minute // how long the page can be paid: the longest timeout there is
	callbackWait = 15 * time.Second // a PSP's patience with a callback
)

// redirectRequest is RedirectUrlRequest of redirect.json.
type redirectRequest struct {
	IDTransaction   string       `json:"idTransaction"`
	IDPSP           string       `json:"idPsp"`
	Amount          *money.Cents `json:"amount"` // with the fee
	URLBack         string       `json:"urlBack"`
	Description     *string      `json:"description"`
	IDPaymentMethod string       `json:"idPaymentMethod"`
	Touchpoint      string       `json:"touchpoint"`
	PAName          *string      `json:"paName"`
	// Notices are no part of the API: a gateway may name what it has paid.
	Notices []redirectNotice `json:"notices"`
}

type redirectNotice struct {
	FiscalCode   string      `json:"fiscalCode"`
	NoticeNumber string      `json:"noticeNumber"`
	Amount       money.Cents `json:"amount"`
}

// booked is what the ledger says of the payment: its notices and their sum, or
// the whole of it, fee and all, when nobody told us of notices.
func (r *redirectRequest) booked() ([]ledgerRef, money.Cents) {
	if len(r.Notices) == 0 {
		return []ledgerRef{}, *r.Amount
	}
	var refs []ledgerRef
	var sum money.Cents
	for _, n := range r.Notices {
		refs = append(refs, ledgerRef{n.FiscalCode, n.NoticeNumber})
		sum += n.Amount
	}
	return refs, sum
}

// check holds a request against the OpenAPI's limits.
func (r *redirectRequest) check(psp string) error {
	back, err := url.Parse(r.URLBack)
	switch {
	case utf8.RuneCountInString(r.IDTransaction) != 32:
		return errors.New("idTransaction: 32 characters")
	case r.IDPSP != psp:
		return errors.New("idPsp: the PSP's id")
	case r.Amount == nil || *r.Amount < 1 || *r.Amount > 99_999_999:
		return errors.New("amount: euro cents, 1 to 99999999")
	case err != nil || back.Host == "" || back.Scheme != "https" && back.Scheme != "http":
		return errors.New("urlBack: an absolute address")
	case r.Description == nil:
		return errors.New("description: required")
	case r.IDPaymentMethod == "":
		return errors.New("idPaymentMethod: required")
	case r.Touchpoint != "CHECKOUT" && r.Touchpoint != "IO":
		return errors.New("touchpoint: CHECKOUT or IO")
	case r.PAName != nil && (*r.PAName == "" || utf8.RuneCountInString(*r.PAName) > 70):
		return errors.New("paName: 1 to 70 characters")
	case len(r.Notices) > 5:
		return errors.New("notices: at most 5")
	}
	var sum money.Cents
	for i, n := range r.Notices {
		switch {
		case !creditorForm.MatchString(n.FiscalCode) || !noticeForm.MatchString(n.NoticeNumber):
			return fmt.Errorf("notices[%d]: fiscalCode of 11 digits and noticeNumber of 18", i)
		case n.Amount < 1 || n.Amount > *r.Amount:
			return fmt.Errorf("notices[%d].amount: euro cents, at most the whole", i)
		}
		sum += n.Amount
	}
	if sum > *r.Amount {
		return errors.New("notices: their amounts are more than the whole")
	}
	return nil
}

// redirection is one payment at a PSP with its own page.
type redirection struct {
	id      string // idPSPTransaction
	psp     *psp
	request redirectRequest // never changed
	until   time.Time       // never changed

	state    pageState // guarded by Server.mu
	refunded bool      // guarded by Server.mu
}

// postRedirections opens a payment, as RetrieveRedirectUrl does.
func (s *Server) postRedirections(w http.ResponseWriter, r *http.Request) {
	psp, mode := s.find(r)
	switch {
	case psp == nil || psp.Connector != redirectName:
		fail(w, http.StatusNotFound, "Not found", "no PSP with this id")
		return
	case mode == ModeDown:
		fail(w, http.StatusServiceUnavailable, "Service unavailable", "")
		return
	case r.Header.Get("Ocp-Apim-Subscription-Key") != s.cfg.Secrets(string(psp.ID)):
		fail(w, http.StatusUnauthorized, "Unauthorized", "")
		return
	}
	var request redirectRequest
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		fail(w, http.StatusBadRequest, "Bad request", "the body is no order")
		return
	}
	if err := request.check(string(psp.ID)); err != nil {
		fail(w, http.StatusBadRequest, "Bad request", err.Error())
		return
	}
	if mode == ModeRefuse {
		fail(w, http.StatusBadRequest, "Refused", "the PSP is set to refuse")
		return
	}
	if mode == ModeSlow && !s.think(r) {
		return
	}
	p := &redirection{id: s.random(), psp: psp, request: request, until: s.cfg.Now().Add(redirectLife), state: pageOpen}
	s.mu.Lock()
	s.redirections[p.id] = p
	s.remember(p.id)
	s.mu.Unlock()

	timeout := redirectLife
	switch mode {
	case ModeCut:
		panic(http.ErrAbortHandler) // ends the connection without an answer
	case ModeLate:
		timeout = s.cfg.Late / 2 // so that the callback comes after it
	}
	writeJSON(w, map[string]any{
		"url":              s.cfg.URL.JoinPath(string(psp.ID), "redirections", p.id).String(),
		"idTransaction":    request.IDTransaction,
		"idPSPTransaction": p.id,
		"amount":           *request.Amount,
		"timeout":          timeout.Milliseconds(),
	})
}

// postRefunds gives a payment back, as RefundTransaction does.
func (s *Server) postRefunds(w http.ResponseWriter, r *http.Request) {
	psp, mode := s.find(r)
	switch {
	case psp == nil || psp.Connector != redirectName:
		fail(w, http.StatusNotFound, "Not found", "no PSP with this id")
		return
	case mode == ModeDown:
		fail(w, http.StatusServiceUnavailable, "Service unavailable", "")
		return
	case r.Header.Get("Ocp-Apim-Subscription-Key") != s.cfg.Secrets(string(psp.ID)):
		fail(w, http.StatusUnauthorized, "Unauthorized", "")
		return
	}
	var in struct {
		IDTransaction    string `json:"idTransaction"`
		IDPSPTransaction string `json:"idPSPTransaction"`
		Action           string `json:"action"`
	}
	if json.NewDecoder(r.Body).Decode(&in) != nil || utf8.RuneCountInString(in.IDTransaction) != 32 || in.IDPSPTransaction == "" || in.Action != "refund" {
		fail(w, http.StatusBadRequest, "Bad request", "idTransaction of 32 characters, idPSPTransaction and action refund are required")
		return
	}
	if mode == ModeSlow && !s.think(r) {
		return
	}
	outcome := s.refund(psp, in.IDPSPTransaction, in.IDTransaction, mode)
	switch {
	case outcome == "":
		fail(w, http.StatusNotFound, "Not found", "Transaction not found")
		return
	case mode == ModeCut:
		panic(http.ErrAbortHandler) // ends the connection without an answer
	}
	writeJSON(w, map[string]string{"idTransaction": in.IDTransaction, "outcome": outcome})
}

// refund gives a paid payment back, once, in one step with the ledger; the
// outcome is empty for one that the PSP does not have.
func (s *Server) refund(psp *psp, id, transaction string, mode Mode) (outcome string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.redirections[id]
	switch {
	case p == nil || p.psp != psp || p.request.IDTransaction != transaction:
		return ""
	case p.refunded:
		return "CANCELED"
	case mode == ModeRefuse || p.state != pagePaid:
		return "KO"
	}
	p.refunded = true
	notices, sum := p.request.booked()
	s.ledger = append(s.ledger, entry{
		PSP: psp.ID, Reference: p.id, Attempt: transaction, Notices: notices,
		Amount: sum, State: "refunded", At: s.cfg.Now().UTC().Truncate(time.Microsecond),
	})
	return "OK"
}

// redirection finds the payment of the request and the PSP's mode. When there
// is nothing to go on with it has answered, and p is nil.
func (s *Server) redirection(w http.ResponseWriter, r *http.Request) (p *redirection, mode Mode) {
	psp, mode := s.find(r)
	s.mu.Lock()
	p = s.redirections[r.PathValue("id")]
	s.mu.Unlock()
	switch {
	case p == nil || p.psp != psp:
		noPage(w)
		return nil, ""
	case mode == ModeDown:
		noService(w)
		return nil, ""
	}
	return p, mode
}

func (s *Server) showRedirection(w http.ResponseWriter, r *http.Request) {
	if p, _ := s.redirection(w, r); p != nil {
		s.render(w, http.StatusOK, pageTemplate, s.redirectionView(p))
	}
}

// pressRedirection ends the payment, and has the gateway told how.
func (s *Server) pressRedirection(w http.ResponseWriter, r *http.Request) {
	p, mode := s.redirection(w, r)
	if p == nil {
		return
	}
	var to pageState
	var outcome string
	switch button := r.PostFormValue("azione"); {
	case button == buttonRefuse || button == buttonPay && mode == ModeRefuse:
		to, outcome = pageRefused, "KO"
	case button == buttonPay:
		to, outcome = pagePaid, "OK"
	case button == buttonCancel:
		to, outcome = pageCancelled, "CANCELED"
	case button == buttonLeave:
		to = pageLeft
	default:
		noButton(w)
		return
	}
	ended, sent := s.endRedirection(p, to, outcome, mode)
	switch {
	case !ended:
		s.render(w, http.StatusConflict, pageTemplate, s.redirectionView(p))
		return
	case to == pageLeft:
		s.render(w, http.StatusOK, pageTemplate, s.redirectionView(p))
		return
	}
	await(r, sent)
	if mode == ModeCut && to == pagePaid {
		panic(http.ErrAbortHandler) // ends the connection without an answer
	}
	http.Redirect(w, r, p.request.URLBack, http.StatusSeeOther)
}

// endRedirection moves an open payment to its end in one step with the ledger,
// and starts telling the gateway when there is an outcome; sent is closed when
// it was told. One that comes too late has expired instead.
func (s *Server) endRedirection(p *redirection, to pageState, outcome string, mode Mode) (ended bool, sent <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || p.state != pageOpen {
		return false, nil
	}
	now := s.cfg.Now()
	ended = now.Before(p.until)
	if !ended {
		to, outcome = pageExpired, "EXPIRED"
	}
	p.state = to
	if to == pagePaid || to == pageRefused {
		notices, sum := p.request.booked()
		s.ledger = append(s.ledger, entry{
			PSP: p.psp.ID, Reference: p.id, Attempt: p.request.IDTransaction, Notices: notices,
			Amount: sum, State: ledgerState[to], At: now.UTC().Truncate(time.Microsecond),
		})
	}
	if outcome == "" {
		return ended, nil
	}
	c := s.newCallback(p, outcome, now)
	done := make(chan struct{})
	s.sends.Go(func() {
		defer close(done)
		if mode == ModeLate && !s.wait(s.cfg.Late) {
			return
		}
		s.call(c)
		if mode == ModeDuplicate {
			s.call(c)
		}
	})
	return ended, done
}

var ledgerState = map[pageState]string{pagePaid: "taken", pageRefused: "refused"}

// callback is what a PSP tells the gateway, the same on every try.
type callback struct {
	psp    *psp
	id     string // of the event
	url    string
	body   []byte
	signed bool
}

// newCallback is a TransactionResultRequest. Called with mu held.
func (s *Server) newCallback(p *redirection, outcome string, at time.Time) callback {
	details := map[string]string{"errorCode": outcome}
	if outcome == "OK" {
		details = map[string]string{"timestampOperation": at.UTC().Format(time.RFC3339Nano), "authorizationCode": p.id[:6]}
	}
	body, err := json.Marshal(map[string]any{
		"idPsp": p.psp.ID, "idPSPTransaction": p.id, "outcome": outcome, "details": details,
	})
	if err != nil {
		panic("sandbox: " + err.Error()) // texts only
	}
	return callback{
		psp: p.psp, id: "evt_" + p.id, body: body, signed: true, // a payment ends once
		url: s.cfg.Gateway.JoinPath("callbacks", string(p.psp.ID), "redirections", p.request.IDTransaction, "outcomes").String(),
	}
}

// call tells the gateway. Whatever it answers below 500 is final; no answer is
// tried again.
func (s *Server) call(c callback) {
	log := s.cfg.Log.With("psp", string(c.psp.ID), "event", c.id)
	for try := range maxTries {
		status, err := s.callOnce(c)
		switch {
		case err == nil && status/100 == 2:
			return
		case err == nil && status < http.StatusInternalServerError:
			log.Warn("sandbox: callback not taken", "status", status)
			return
		}
		log.Warn("sandbox: callback not answered", "try", try+1, "status", status, "error", err)
		if !s.wait(s.cfg.Retry[min(try, len(s.cfg.Retry)-1)]) {
			return
		}
	}
	log.Error("sandbox: callback given up")
}

func (s *Server) callOnce(c callback) (status int, err error) {
	ctx, cancel := context.WithTimeout(s.ctx, callbackWait)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(c.body))
	if err != nil {
		return 0, fmt.Errorf("make callback: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	if c.signed {
		c.psp.key.Sign(req.Header, c.id, s.cfg.Now(), c.body) // the time is the try's
	}
	resp, err := s.cfg.HTTP.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	return resp.StatusCode, err
}

func (s *Server) redirectionView(p *redirection) pageView {
	s.mu.Lock()
	defer s.mu.Unlock()
	total := p.request.Amount.Italian()
	line := noticeView{Description: *p.request.Description, Amount: total}
	if p.request.PAName != nil {
		line.School = *p.request.PAName
	}
	return pageView{PSP: p.psp.Name, State: p.state, Notices: []noticeView{line}, Total: total, Back: p.request.URLBack}
}

// secretOf reads the key a PSP signs with, when it signs.
func (cfg *Config) secretOf(p connectors.PSP) (key connectors.WebhookKey, err error) {
	if p.Connector != redirectName {
		return key, nil
	}
	if cfg.Gateway == nil || cfg.Secrets == nil {
		return key, fmt.Errorf("sandbox: %s calls back: Gateway and Secrets are required", p.ID)
	}
	if key, err = connectors.ParseWebhookKey(cfg.Secrets(string(p.ID))); err != nil {
		return key, fmt.Errorf("sandbox: %s: %w", p.ID, err)
	}
	return key, nil
}
