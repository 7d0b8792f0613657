// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/nodogate/nodogate/connectors"
	"github.com/nodogate/nodogate/gateway/money"
	"github.com/nodogate/nodogate/iuv"
)

// bulletinName is how the catalogue calls the connector of post offices. Here is
// what they do online; counter.go is where one stands before them with a paper.
const bulletinName = "bollettino"

const (
	bulletinLife = 15 * time.Minute      // how long the page can be paid
	maxBulletin  = money.Cents(99999999) // what a bulletin has room for
)

// bulletinOrder is what POST /bollettini takes (docs/connectors.md, bollettino).
type bulletinOrder struct {
	ID        string           `json:"id"`
	Fee       *money.Cents     `json:"fee"`
	ReturnURL string           `json:"returnUrl"`
	Email     string           `json:"email"`
	Notices   []bulletinNotice `json:"notices"`
}

type bulletinNotice struct {
	NoticeNumber string      `json:"noticeNumber"`
	FiscalCode   string      `json:"fiscalCode"`
	CompanyName  string      `json:"companyName"`
	Description  string      `json:"description"`
	Amount       money.Cents `json:"amount"`
	PaymentToken string      `json:"paymentToken"`
	CCPost       string      `json:"ccPost"`
}

var (
	orderID    = regexp.MustCompile(`\A[0-9a-f]{32}\z`)
	creditorID = regexp.MustCompile(`\A[0-9]{11}\z`)
	accountID  = regexp.MustCompile(`\A[0-9]{12}\z`)
)

func (o *bulletinOrder) check() error {
	back, err := url.Parse(o.ReturnURL)
	switch {
	case !orderID.MatchString(o.ID):
		return errors.New("id: 32 hexadecimal digits")
	case o.Fee == nil || *o.Fee < 0 || *o.Fee > maxBulletin:
		return errors.New("fee: euro cents")
	case err != nil || back.Host == "" || back.Scheme != "https" && back.Scheme != "http":
		return errors.New("returnUrl: an absolute address")
	case len(o.Notices) < 1 || len(o.Notices) > 5:
		return errors.New("notices: 1 to 5")
	}
	var tokens []string
	for i, n := range o.Notices {
		_, err := iuv.Parse(n.NoticeNumber)
		switch {
		case err != nil:
			return fmt.Errorf("notices[%d].noticeNumber: 18 digits of a notice", i)
		case !creditorID.MatchString(n.FiscalCode):
			return fmt.Errorf("notices[%d].fiscalCode: 11 digits", i)
		case n.CompanyName == "" || utf8.RuneCountInString(n.CompanyName) > 100:
			return fmt.Errorf("notices[%d].companyName: 1 to 100 characters", i)
		case n.Description == "" || utf8.RuneCountInString(n.Description) > 140:
			return fmt.Errorf("notices[%d].description: 1 to 140 characters", i)
		case n.Amount < 1 || n.Amount > maxBulletin:
			return fmt.Errorf("notices[%d].amount: euro cents, 1 to %d", i, maxBulletin)
		case n.PaymentToken == "" || len(n.PaymentToken) > 35 || slices.Contains(tokens, n.PaymentToken):
			return fmt.Errorf("notices[%d].paymentToken: 1 to 35 characters, another for each notice", i)
		case n.CCPost != "" && !accountID.MatchString(n.CCPost):
			return fmt.Errorf("notices[%d].ccPost: 12 digits", i)
		}
		tokens = append(tokens, n.PaymentToken)
	}
	return nil
}

// bulletin is one order.
type bulletin struct {
	reference string
	psp       *psp
	order     bulletinOrder // never changed
	key       string        // of its outcome at the node
	until     time.Time     // never changed

	// What follows is guarded by Server.mu.
	state    pageState
	settling bool // a late one: paid, and the node was not told yet
}

func (b *bulletin) amount() (sum money.Cents) {
	for _, n := range b.order.Notices {
		sum += n.Amount
	}
	return sum
}

func (b *bulletin) tokens() (list []string) {
	for _, n := range b.order.Notices {
		list = append(list, n.PaymentToken)
	}
	return list
}

// word is the state as the API calls it. A late one reads expired until its money
// turns up. Called with mu held.
func (s *Server) word(b *bulletin) string {
	switch {
	case b.state == pagePaid && !b.settling:
		return "ordered"
	case b.state == pageRefused, b.state == pageCancelled:
		return "refused"
	case b.settling, b.state == pageExpired, !s.cfg.Now().Before(b.until):
		return "expired"
	}
	return "open"
}

// office lets a call of the API in; psp is nil when it has answered.
func (s *Server) office(w http.ResponseWriter, r *http.Request) (p *psp, mode Mode) {
	p, mode = s.find(r)
	switch {
	case p == nil || p.Connector != bulletinName || p.Endpoint == "":
		fail(w, http.StatusNotFound, "Not found", "no PSP with this id")
	case mode == ModeDown:
		fail(w, http.StatusServiceUnavailable, "Service unavailable", "")
	case r.Header.Get("Ocp-Apim-Subscription-Key") != s.cfg.Secrets(string(p.ID)):
		fail(w, http.StatusUnauthorized, "Unauthorized", "")
	default:
		return p, mode
	}
	return nil, ""
}

// postBulletins takes an order. The same one again is answered as at first.
func (s *Server) postBulletins(w http.ResponseWriter, r *http.Request) {
	p, mode := s.office(w, r)
	if p == nil {
		return
	}
	var o bulletinOrder
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&o); err != nil {
		fail(w, http.StatusBadRequest, "Bad request", "the body is no order")
		return
	}
	if err := o.check(); err != nil {
		fail(w, http.StatusBadRequest, "Bad request", err.Error())
		return
	}
	if mode == ModeRefuse {
		fail(w, http.StatusUnprocessableEntity, "Refused", "the PSP is set to refuse")
		return
	}
	if mode == ModeSlow && !s.think(r) {
		return
	}
	b := &bulletin{reference: s.random(), psp: p, order: o, key: s.nodeKey(p), until: s.cfg.Now().Add(bulletinLife), state: pageOpen}
	s.mu.Lock()
	if known := s.bulletins[o.ID]; known == nil {
		s.bulletins[o.ID] = b
		s.remember(o.ID)
	} else {
		b = known
	}
	same := b.psp == p && *b.order.Fee == *o.Fee && slices.Equal(b.order.Notices, o.Notices)
	s.mu.Unlock()
	switch {
	case !same:
		fail(w, http.StatusUnprocessableEntity, "Refused", "this id is of another order")
	case mode == ModeCut:
		panic(http.ErrAbortHandler) // ends the connection without an answer
	default:
		s.tellBulletin(w, http.StatusCreated, b)
	}
}

func (s *Server) tellBulletin(w http.ResponseWriter, status int, b *bulletin) {
	s.mu.Lock()
	word := s.word(b)
	s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{ // the peer is gone: its loss
		"id": b.order.ID, "reference": b.reference, "state": word, "timeout": bulletinLife.Milliseconds(),
		"url": s.cfg.URL.JoinPath(string(b.psp.ID), "bollettino", b.reference).String(),
	})
}

// bulletin finds the order that a call of the API names; nil when it has answered.
func (s *Server) bulletin(w http.ResponseWriter, r *http.Request) *bulletin {
	p, _ := s.office(w, r)
	if p == nil {
		return nil
	}
	s.mu.Lock()
	b := s.bulletins[r.PathValue("id")]
	s.mu.Unlock()
	if b == nil || b.psp != p {
		fail(w, http.StatusNotFound, "Not found", "no order with this id")
		return nil
	}
	return b
}

func (s *Server) getBulletin(w http.ResponseWriter, r *http.Request) {
	if b := s.bulletin(w, r); b != nil {
		s.tellBulletin(w, http.StatusOK, b)
	}
}

// deleteBulletin takes back what nobody has paid.
func (s *Server) deleteBulletin(w http.ResponseWriter, r *http.Request) {
	b := s.bulletin(w, r)
	if b == nil {
		return
	}
	s.mu.Lock()
	gone := b.state != pagePaid
	if gone && b.state != pageRefused {
		b.state = pageCancelled
	}
	s.mu.Unlock()
	if !gone {
		fail(w, http.StatusConflict, "Conflict", "it is paid")
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// bulletinPage finds the order of a browser's request and the PSP's mode; nil
// when it has answered.
func (s *Server) bulletinPage(w http.ResponseWriter, r *http.Request) (b *bulletin, mode Mode) {
	p, mode := s.find(r)
	s.mu.Lock()
	for _, known := range s.bulletins {
		if known.reference == r.PathValue("reference") && known.psp == p {
			b = known
		}
	}
	s.mu.Unlock()
	switch {
	case b == nil:
		noPage(w)
		return nil, ""
	case mode == ModeDown:
		noService(w)
		return nil, ""
	}
	return b, mode
}

func (s *Server) showBulletin(w http.ResponseWriter, r *http.Request) {
	if b, _ := s.bulletinPage(w, r); b != nil {
		s.render(w, http.StatusOK, pageTemplate, s.bulletinView(b))
	}
}

// pressBulletin is the payer's answer.
func (s *Server) pressBulletin(w http.ResponseWriter, r *http.Request) {
	b, mode := s.bulletinPage(w, r)
	if b == nil {
		return
	}
	to := pagePaid
	switch button := r.PostFormValue("azione"); {
	case button == buttonRefuse || button == buttonPay && mode == ModeRefuse:
		to = pageRefused
	case button == buttonPay:
	case button == buttonCancel:
		to = pageCancelled
	case button == buttonLeave:
		to = pageLeft
	default:
		noButton(w)
		return
	}
	ended, sent := s.endBulletin(b, to, mode)
	switch {
	case !ended:
		s.render(w, http.StatusConflict, pageTemplate, s.bulletinView(b))
		return
	case to == pageLeft:
		s.render(w, http.StatusOK, pageTemplate, s.bulletinView(b))
		return
	}
	await(r, sent)
	if mode == ModeCut && to == pagePaid {
		panic(http.ErrAbortHandler) // ends the connection without an answer
	}
	http.Redirect(w, r, b.order.ReturnURL, http.StatusSeeOther)
}

// endBulletin moves an open order to its end in one step with the ledger, and
// tells the node face; sent is closed when it has answered.
func (s *Server) endBulletin(b *bulletin, to pageState, mode Mode) (ended bool, sent <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || b.state != pageOpen {
		return false, nil
	}
	now := s.cfg.Now()
	if !now.Before(b.until) {
		b.state = pageExpired
		return false, nil
	}
	b.state = to
	if to == pageLeft {
		return true, nil // and nobody is told
	}
	if state := ledgerState[to]; state != "" {
		e := entry{
			PSP: b.psp.ID, Reference: b.reference, Attempt: b.order.ID, Amount: b.amount(), State: state,
			At: now.UTC().Truncate(time.Microsecond),
		}
		for _, n := range b.order.Notices {
			e.Notices = append(e.Notices, ledgerRef{n.FiscalCode, n.NoticeNumber})
		}
		s.ledger = append(s.ledger, e)
	}
	if to != pagePaid {
		return true, s.tellNode(s.outcomeKO(b.psp, b.key, b.tokens()), mode)
	}
	b.settling = mode == ModeLate
	told := s.tellNode(s.outcomeOK(b.psp, b.key, b.tokens(), *b.order.Fee, "other", "onLine", now), mode)
	done := make(chan struct{})
	s.sends.Go(func() {
		defer close(done)
		<-told
		s.mu.Lock()
		b.settling = false
		s.mu.Unlock()
	})
	return true, done
}

func (s *Server) bulletinView(b *bulletin) pageView {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := pageView{
		PSP: b.psp.Name, State: b.state, Fee: b.order.Fee.Italian(), Total: (b.amount() + *b.order.Fee).Italian(), Back: b.order.ReturnURL,
	}
	if b.state == pageOpen && !s.cfg.Now().Before(b.until) {
		v.State = pageExpired
	}
	for _, n := range b.order.Notices {
		line := noticeView{School: n.CompanyName, Description: n.Description, Number: n.NoticeNumber, Amount: n.Amount.Italian()}
		if n.CCPost != "" {
			line.School += ", C/C " + n.CCPost
		}
		v.Notices = append(v.Notices, line)
	}
	return v
}

// checkOffice says what a post office is missing to be played.
func (cfg *Config) checkOffice(p connectors.PSP) error {
	if p.Connector == bulletinName && p.Endpoint != "" && (cfg.Secrets == nil || cfg.NodeFace == "" || p.Node == nil) {
		return fmt.Errorf("sandbox: %s is a post office: Secrets, NodeFace and its node are required", p.ID)
	}
	return nil
}
