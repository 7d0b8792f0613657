// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nodogate/nodogate/connectors"
	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/money"
	"github.com/nodogate/nodogate/gateway/pagopa"
)

// bankName is how the catalogue calls the connector of banks that speak
// NextGenPSD2. The sandbox plays two at once: the payer's bank, with its page,
// and the PSP that is paid, which tells the node face.
const bankName = "berlingroup"

const (
	scaLife    = 10 * time.Minute // how long the payer may take to confirm
	bearerLife = 5 * time.Minute
)

// initiation is paymentInitiation_json of psd2-api 1.3.11: what we look at.
type initiation struct {
	EndToEndID    string          `json:"endToEndIdentification"`
	DebtorAccount *map[string]any `json:"debtorAccount"`
	Amount        struct {
		Currency string `json:"currency"`
		Amount   string `json:"amount"`
	} `json:"instructedAmount"`
	CreditorAccount struct {
		IBAN string `json:"iban"`
	} `json:"creditorAccount"`
	CreditorName    string   `json:"creditorName"`
	Remittance      string   `json:"remittanceInformationUnstructured"`
	RemittanceLines []string `json:"remittanceInformationUnstructuredArray"`
}

var (
	uuidForm   = regexp.MustCompile(`\A[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[1-8][0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}\z`)
	amountForm = regexp.MustCompile(`\A([0-9]{1,14})(?:\.([0-9]{1,2}))?\z`) // of euro, and none to be given back
	lineForm   = regexp.MustCompile(`\A/RFB/([0-9]{17})/([0-9]+\.[0-9]{2})/CF/([0-9]{11})/TOKEN/([0-9a-f]{32})\z`)
	hintForm   = regexp.MustCompile(`\A/payments/[0-9a-f]{32}\z`)
)

// debitLine is one notice, as the PSP reads it from the remittance.
type debitLine struct {
	notice
	token  string
	amount money.Cents
}

// debit is one payment from an account.
type debit struct {
	id       string // paymentId
	psp      *psp
	product  string
	request  initiation
	lines    []debitLine
	total    money.Cents
	ok, nok  string // where the browser goes
	hint     string // path below the gateway where news is told; empty: nowhere
	key      string // of its outcome at the node
	until    time.Time
	settling bool // a late one: paid, and not settled yet

	state pageState // guarded by Server.mu
}

// notices is the total without the fee.
func (d *debit) notices() (sum money.Cents) {
	for _, l := range d.lines {
		sum += l.amount
	}
	return sum
}

func (d *debit) tokens() (list []string) {
	for _, l := range d.lines {
		list = append(list, l.token)
	}
	return list
}

// status is the transactionStatus. A payment that is not confirmed in time is
// rejected. Called with mu held.
func (s *Server) status(d *debit) string {
	switch {
	case d.state == pagePaid && d.settling:
		return "ACSP"
	case d.state == pagePaid:
		return "ACSC"
	case d.state == pageCancelled:
		return "CANC"
	case d.state == pageRefused, d.state == pageExpired, !s.cfg.Now().Before(d.until):
		return "RJCT"
	}
	return "RCVD"
}

// tppFail is an error in the bank's words.
func tppFail(w http.ResponseWriter, status int, code, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{ // the peer is gone: its loss
		"tppMessages": []map[string]string{{"category": "ERROR", "code": code, "text": text}},
	})
}

// bank lets a call of the XS2A interface in; psp is nil when it has answered.
func (s *Server) bank(w http.ResponseWriter, r *http.Request) (p *psp, mode Mode) {
	id := r.Header.Get("X-Request-ID")
	if uuidForm.MatchString(id) {
		w.Header().Set("X-Request-ID", id)
	}
	p, mode = s.find(r)
	switch product := r.PathValue("product"); {
	case p == nil || p.Connector != bankName:
		fail(w, http.StatusNotFound, "Not found", "no bank with this id")
	case mode == ModeDown:
		fail(w, http.StatusServiceUnavailable, "Service unavailable", "")
	case !s.bearer(p, r):
		tppFail(w, http.StatusUnauthorized, "TOKEN_INVALID", "")
	case !uuidForm.MatchString(id):
		tppFail(w, http.StatusBadRequest, "FORMAT_ERROR", "X-Request-ID: a UUID")
	case product != p.Options["product"]:
		tppFail(w, http.StatusNotFound, "PRODUCT_UNKNOWN", "")
	default:
		return p, mode
	}
	return nil, ""
}

// bearer says whether the call has the access token, where the bank wants one.
func (s *Server) bearer(p *psp, r *http.Request) bool {
	if p.Options["token_url"] == "" {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return p.token != "" && r.Header.Get("Authorization") == "Bearer "+p.token && s.cfg.Now().Before(p.tokenUntil)
}

// postToken is the OAuth2 pre-step: an access token by client credentials, the
// same one while it lives.
func (s *Server) postToken(w http.ResponseWriter, r *http.Request) {
	p, mode := s.find(r)
	if p == nil || p.Connector != bankName || p.Options["token_url"] == "" {
		fail(w, http.StatusNotFound, "Not found", "no bank with this id")
		return
	}
	if mode == ModeDown {
		fail(w, http.StatusServiceUnavailable, "Service unavailable", "")
		return
	}
	id, secret, _ := r.BasicAuth()
	id, err1 := url.QueryUnescape(id)
	secret, err2 := url.QueryUnescape(secret)
	w.Header().Set("Content-Type", "application/json")
	if err1 != nil || err2 != nil || id != p.Options["client_id"] || secret != s.cfg.Secrets(string(p.ID)) {
		w.WriteHeader(http.StatusUnauthorized)
		_ = json.NewEncoder(w).Encode(map[string]string{"error": "invalid_client"})
		return
	}
	if r.PostFormValue("grant_type") != "client_credentials" {
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]string{"error": "unsupported_grant_type"})
		return
	}
	token, now := s.random(), s.cfg.Now()
	s.mu.Lock()
	if p.token == "" || !now.Before(p.tokenUntil.Add(-bearerLife/2)) {
		p.token, p.tokenUntil = token, now.Add(bearerLife)
	}
	token, life := p.token, p.tokenUntil.Sub(now)
	s.mu.Unlock()
	writeJSON(w, map[string]any{"access_token": token, "token_type": "Bearer", "expires_in": int(life.Seconds())})
}

// read checks the body of an order against the OpenAPI's limits and the PSP's
// own, and makes the payment of it. The error is for tppMessages.
func (s *Server) readInitiation(r *http.Request, p *psp) (*debit, error) {
	if media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); media != "application/json" {
		return nil, errors.New("header Content-Type: application/json")
	}
	if ip, err := netip.ParseAddr(r.Header.Get("PSU-IP-Address")); err != nil || !ip.Is4() {
		return nil, errors.New("header PSU-IP-Address: an IPv4 address is required")
	}
	d := &debit{psp: p, product: p.Options["product"], ok: r.Header.Get("TPP-Redirect-URI"), nok: r.Header.Get("TPP-Nok-Redirect-URI"), state: pageOpen}
	if d.nok == "" {
		d.nok = d.ok
	}
	for _, address := range []string{d.ok, d.nok} {
		// A browser will be sent there, so nothing but the web.
		if u, err := url.Parse(address); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			return nil, errors.New("headers TPP-Redirect-URI, TPP-Nok-Redirect-URI: absolute addresses")
		}
	}
	d.hint = hintOf(r.Header.Get("TPP-Notification-URI"), p.ID)
	in := &d.request
	if err := json.NewDecoder(r.Body).Decode(in); err != nil {
		return nil, errors.New("the body is no payment")
	}
	iban, err := gateway.ParseIBAN(in.CreditorAccount.IBAN)
	amount := amountForm.FindStringSubmatch(in.Amount.Amount)
	switch {
	case in.DebtorAccount == nil:
		return nil, errors.New("debtorAccount: required")
	case in.Amount.Currency != "EUR" || amount == nil:
		return nil, errors.New("instructedAmount: euro, with two decimals at most")
	case err != nil || string(iban) != in.CreditorAccount.IBAN:
		return nil, errors.New("creditorAccount: an IBAN")
	case in.CreditorName == "" || utf8.RuneCountInString(in.CreditorName) > 70:
		return nil, errors.New("creditorName: 1 to 70 characters")
	case utf8.RuneCountInString(in.EndToEndID) > 35:
		return nil, errors.New("endToEndIdentification: at most 35 characters")
	}
	for _, text := range append([]string{in.Remittance}, in.RemittanceLines...) {
		if utf8.RuneCountInString(text) > 140 {
			return nil, errors.New("remittanceInformationUnstructured: at most 140 characters")
		}
	}
	if d.total, err = money.Parse(amount[1] + "." + (amount[2] + "00")[:2]); err != nil || d.total == 0 {
		return nil, errors.New("instructedAmount: more than nothing, at most 999999999.99")
	}
	return d, d.readLines()
}

// readLines finds out what is paid, as the PSP has to before it tells the node.
func (d *debit) readLines() error {
	if n := len(d.request.RemittanceLines); n < 1 || n > 5 {
		return errors.New("remittanceInformationUnstructuredArray: 1 to 5 notices")
	}
	for i, text := range d.request.RemittanceLines {
		m := lineForm.FindStringSubmatch(text)
		if m == nil {
			return fmt.Errorf("remittanceInformationUnstructuredArray[%d]: /RFB/IUV/amount/CF/creditor/TOKEN/paymentToken", i)
		}
		amount, err := money.Parse(m[2])
		if err != nil || slices.Contains(d.tokens(), m[4]) {
			return fmt.Errorf("remittanceInformationUnstructuredArray[%d]: no amount, or a token twice", i)
		}
		d.lines = append(d.lines, debitLine{notice{m[3], "3" + m[1]}, m[4], amount})
	}
	if d.notices() > d.total {
		return errors.New("instructedAmount: less than the notices")
	}
	return nil
}

// hintOf is the path at the gateway that a TPP-Notification-URI leads to; empty
// when it is none of the PSP's callbacks, and nothing is told then. The gateway
// may have another address here than the families know it by.
func hintOf(address string, id gateway.PSPID) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	path, ok := strings.CutPrefix(u.Path, "/callbacks/"+string(id))
	if !ok || !hintForm.MatchString(path) {
		return ""
	}
	return u.Path
}

// postPayment makes a payment that waits for the payer (initiatePayment).
func (s *Server) postPayment(w http.ResponseWriter, r *http.Request) {
	p, mode := s.bank(w, r)
	if p == nil {
		return
	}
	d, err := s.readInitiation(r, p)
	if err != nil {
		tppFail(w, http.StatusBadRequest, "FORMAT_ERROR", err.Error())
		return
	}
	switch _, takes := p.Fee(d.notices()); {
	case mode == ModeRefuse:
		tppFail(w, http.StatusBadRequest, "PAYMENT_FAILED", "the bank is set to refuse")
		return
	case !takes:
		tppFail(w, http.StatusBadRequest, "PAYMENT_FAILED", "the amount is over the PSP's limit")
		return
	case mode == ModeSlow && !s.think(r):
		return
	}
	d.id, d.key, d.until = s.random(), s.nodeKey(p), s.cfg.Now().Add(scaLife)
	s.mu.Lock()
	s.debits[d.id] = d
	s.remember(d.id)
	s.mu.Unlock()

	if mode == ModeCut {
		panic(http.ErrAbortHandler) // ends the connection without an answer
	}
	page := s.cfg.URL.JoinPath(string(p.ID), "conto", d.id).String()
	link := func(href string) map[string]string { return map[string]string{"href": href} }
	// Links may be relative or whole; the bank uses both.
	self := "/" + string(p.ID) + "/v1/payments/" + d.product + "/" + d.id
	links, approach := map[string]any{"self": link(self), "status": link(self + "/status")}, "REDIRECT"
	if p.Options["sca"] == "decoupled" {
		approach = "DECOUPLED"
		s.cfg.Log.Info("sandbox: the payer confirms in the app of the bank", "psp", string(p.ID), "page", page)
	} else {
		links["scaRedirect"] = link(page)
	}
	w.Header().Set("Location", self)
	w.Header().Set("ASPSP-SCA-Approach", approach)
	w.Header().Set("ASPSP-Notification-Support", fmt.Sprint(d.hint != ""))
	if d.hint != "" {
		w.Header().Set("ASPSP-Notification-Content", "status=PROCESS,LAST")
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(map[string]any{ // the peer is gone: its loss
		"transactionStatus": "RCVD", "paymentId": d.id, "_links": links,
	})
}

// debit finds the payment that a call of the interface is about; nil when it has
// answered.
func (s *Server) debit(w http.ResponseWriter, r *http.Request) *debit {
	p, _ := s.bank(w, r)
	if p == nil {
		return nil
	}
	s.mu.Lock()
	d := s.debits[r.PathValue("id")]
	s.mu.Unlock()
	if d == nil || d.psp != p {
		tppFail(w, http.StatusNotFound, "RESOURCE_UNKNOWN", "")
		return nil
	}
	return d
}

// getStatus tells the transactionStatus (getPaymentInitiationStatus).
func (s *Server) getStatus(w http.ResponseWriter, r *http.Request) {
	if d := s.debit(w, r); d != nil {
		s.mu.Lock()
		status := s.status(d)
		s.mu.Unlock()
		writeJSON(w, map[string]string{"transactionStatus": status})
	}
}

// deletePayment takes back what the payer has not confirmed (cancelPayment).
func (s *Server) deletePayment(w http.ResponseWriter, r *http.Request) {
	d := s.debit(w, r)
	if d == nil {
		return
	}
	s.mu.Lock()
	open := s.status(d) == "RCVD"
	if open {
		d.state = pageCancelled
	}
	s.mu.Unlock()
	if !open {
		tppFail(w, http.StatusMethodNotAllowed, "CANCELLATION_INVALID", "")
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// debitPage finds the payment of a browser's request and the bank's mode; nil
// when it has answered.
func (s *Server) debitPage(w http.ResponseWriter, r *http.Request) (d *debit, mode Mode) {
	p, mode := s.find(r)
	s.mu.Lock()
	d = s.debits[r.PathValue("id")]
	s.mu.Unlock()
	switch {
	case d == nil || d.psp != p:
		noPage(w)
		return nil, ""
	case mode == ModeDown:
		noService(w)
		return nil, ""
	}
	return d, mode
}

func (s *Server) showDebit(w http.ResponseWriter, r *http.Request) {
	if d, _ := s.debitPage(w, r); d != nil {
		s.render(w, http.StatusOK, pageTemplate, s.debitView(d))
	}
}

// pressDebit is the payer's answer.
func (s *Server) pressDebit(w http.ResponseWriter, r *http.Request) {
	d, mode := s.debitPage(w, r)
	if d == nil {
		return
	}
	to, back := pagePaid, d.ok
	switch button := r.PostFormValue("azione"); {
	case button == buttonRefuse || button == buttonPay && mode == ModeRefuse:
		to, back = pageRefused, d.nok
	case button == buttonPay:
	case button == buttonCancel:
		to, back = pageCancelled, d.nok
	case button == buttonLeave:
		to = pageLeft
	default:
		noButton(w)
		return
	}
	ended, sent := s.endDebit(d, to, mode)
	switch {
	case !ended:
		s.render(w, http.StatusConflict, pageTemplate, s.debitView(d))
		return
	case to == pageLeft:
		s.render(w, http.StatusOK, pageTemplate, s.debitView(d))
		return
	}
	await(r, sent)
	if mode == ModeCut && to == pagePaid {
		panic(http.ErrAbortHandler) // ends the connection without an answer
	}
	http.Redirect(w, r, back, http.StatusSeeOther)
}

// endDebit moves an open payment to its end in one step with the ledger. What
// the bank does then: the PSP that was paid, or was not, tells the node face, and
// the bank says at the gateway that there is news. sent is closed when both are
// told.
func (s *Server) endDebit(d *debit, to pageState, mode Mode) (ended bool, sent <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || d.state != pageOpen {
		return false, nil
	}
	now := s.cfg.Now()
	if !now.Before(d.until) {
		d.state = pageExpired
		return false, nil
	}
	d.state = to
	if to == pageLeft {
		return true, nil // and nobody is told
	}
	if state := ledgerState[to]; state != "" {
		e := entry{
			PSP: d.psp.ID, Reference: d.id, Attempt: d.request.EndToEndID, Amount: d.notices(), State: state,
			At: now.UTC().Truncate(time.Microsecond),
		}
		for _, l := range d.lines {
			e.Notices = append(e.Notices, ledgerRef{l.creditor, l.number})
		}
		s.ledger = append(s.ledger, e)
	}
	outcome := s.outcomeKO(d.psp, d.key, d.tokens())
	if to == pagePaid {
		outcome = s.outcomeOK(d.psp, d.key, d.tokens(), d.total-d.notices(), "other", "onLine", now)
		d.settling = mode == ModeLate
	}
	return true, s.tellBoth(d, outcome, mode)
}

// tellBoth is called with mu held.
func (s *Server) tellBoth(d *debit, outcome pagopa.OutcomeRequest, mode Mode) <-chan struct{} {
	told := s.tellNode(outcome, mode)
	done := make(chan struct{})
	s.sends.Go(func() {
		defer close(done)
		<-told
		s.mu.Lock()
		d.settling = false
		c := callback{psp: d.psp, id: d.id, url: s.cfg.Gateway.JoinPath(d.hint).String()}
		c.body = fmt.Appendf(nil, `{"paymentId":%q,"transactionStatus":%q}`, d.id, s.status(d))
		s.mu.Unlock()
		if d.hint == "" {
			return
		}
		s.call(c)
		if mode == ModeDuplicate {
			s.call(c)
		}
	})
	return done
}

func (s *Server) debitView(d *debit) pageView {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := pageView{
		PSP: d.psp.Name, State: d.state, Fee: (d.total - d.notices()).Italian(), Total: d.total.Italian(),
		Creditor: d.request.CreditorName, Back: d.nok,
	}
	if d.state == pagePaid {
		v.Back = d.ok
	}
	if d.state == pageOpen && !s.cfg.Now().Before(d.until) {
		v.State = pageExpired
	}
	for _, l := range d.lines {
		line := noticeView{School: "Ente " + l.creditor, Description: "Avviso pagoPA", Number: l.number, Amount: l.amount.Italian()}
		if _, text, ok := strings.Cut(d.request.Remittance, "/TXT/"); ok && len(d.lines) == 1 {
			line.Description = text
		}
		v.Notices = append(v.Notices, line)
	}
	return v
}

// checkBank says what a bank is missing to be played.
func (cfg *Config) checkBank(p connectors.PSP) error {
	switch {
	case p.Connector != bankName:
		return nil
	case cfg.Gateway == nil || cfg.NodeFace == "" || p.Node == nil:
		return fmt.Errorf("sandbox: %s is a bank: Gateway, NodeFace and its node are required", p.ID)
	case p.Options["token_url"] != "" && cfg.Secrets == nil:
		return fmt.Errorf("sandbox: %s wants access tokens: Secrets is required", p.ID)
	}
	return nil
}
