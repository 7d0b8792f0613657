// SPDX-License-Identifier: Apache-2.0

// Package berlingroup debits the payer's account by a bank's payment initiation
// service (NextGenPSD2 XS2A 1.3.11 of the Berlin Group; pagopa-protocol, section
// 11). POST /v1/payments/{product} makes a payment, the payer confirms it on the
// bank's page or in its app (SCA, strong customer authentication), and the bank
// says by its transactionStatus what became of it.
//
// The transfer goes to the PSP's own collecting account, never to a school: a
// transfer to a school outside of the node is no pagoPA payment. The PSP knows
// from the remittance lines which tokens were paid, and tells the node face by
// sendPaymentOutcomeV2. Receipts come from that alone.
//
// What a caller gets wrong: ACSC is no receipt, and the bank's call to our
// address proves nothing. It only has us ask.
package berlingroup

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
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
)

// Driver makes connectors of this kind. Endpoint is what stands before /v1; the
// secret is the client's, where the bank wants a token (token_url).
var Driver = connectors.Driver{Name: "berlingroup", Settlement: gateway.SettledByPSP, New: newConnector}

// The options of the catalogue.
const (
	optProduct      = "product"       // sepa-credit-transfers or instant-sepa-credit-transfers
	optCreditorIBAN = "creditor_iban" // the PSP's collecting account
	optCreditorName = "creditor_name"
	optTPPIP        = "tpp_ip"    // our public IPv4 address: stands where the payer's is not known
	optPSUIPv6      = "psu_ipv6"  // "true": the bank takes IPv6 addresses of payers, which 1.3.11 has no form for
	optSCA          = "sca"       // redirect or decoupled
	optTokenURL     = "token_url" // OAuth2 pre-step: client credentials
	optClientID     = "client_id"
	optScope        = "scope"
)

type connector struct {
	connectors.DriverConfig
	payments  *url.URL // {endpoint}/v1/payments/{product}
	iban      gateway.IBAN
	creditor  string
	tppIP     string
	ipv6      bool
	decoupled bool
	tokens    *tokens // nil: the certificate alone says who we are
}

var (
	_ connectors.Listener  = (*connector)(nil)
	_ connectors.Poller    = (*connector)(nil)
	_ connectors.Canceller = (*connector)(nil)
	_ connectors.Pageless  = (*connector)(nil)
)

func newConnector(cfg connectors.DriverConfig) (connectors.Connector, error) {
	bad := []error{cfg.CheckOptions(
		[]string{optProduct, optCreditorIBAN, optCreditorName, optTPPIP},
		[]string{optPSUIPv6, optSCA, optTokenURL, optClientID, optScope},
	)}
	o := cfg.Options
	wrong := func(option, format string, a ...any) {
		if o[option] != "" { // one that is missing was named above, where it must be there
			bad = append(bad, fmt.Errorf("options."+option+": "+format, a...))
		}
	}
	c := &connector{
		DriverConfig: cfg, payments: cfg.Endpoint.JoinPath("v1", "payments", o[optProduct]), creditor: o[optCreditorName],
		tppIP: o[optTPPIP], ipv6: o[optPSUIPv6] == "true", decoupled: o[optSCA] == "decoupled",
	}
	if p := o[optProduct]; p != "sepa-credit-transfers" && p != "instant-sepa-credit-transfers" {
		wrong(optProduct, "give sepa-credit-transfers or instant-sepa-credit-transfers")
	}
	var err error
	if c.iban, err = gateway.ParseIBAN(o[optCreditorIBAN]); err != nil {
		wrong(optCreditorIBAN, "give an IBAN")
	}
	if utf8.RuneCountInString(c.creditor) > maxCreditorName || sepa(c.creditor) != c.creditor {
		wrong(optCreditorName, "at most %d characters of A-Z a-z 0-9 / - ? : ( ) . , ' + and blank", maxCreditorName)
	}
	if ip, err := netip.ParseAddr(c.tppIP); err != nil || !ip.Is4() {
		wrong(optTPPIP, "give an IPv4 address")
	}
	if v := o[optPSUIPv6]; v != "true" && v != "false" {
		wrong(optPSUIPv6, `give "true" or "false", in quotes`)
	}
	if v := o[optSCA]; v != "redirect" && v != "decoupled" {
		wrong(optSCA, "give redirect or decoupled")
	}
	if o[optTokenURL] != "" {
		u, err := url.Parse(o[optTokenURL])
		if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || u.Scheme != "https" && u.Scheme != cfg.Endpoint.Scheme {
			wrong(optTokenURL, "give an absolute https address")
		}
		if o[optClientID] == "" {
			bad = append(bad, errors.New("options.client_id: token_url needs it"))
		}
		c.tokens = newTokens(cfg)
	}
	if err := errors.Join(bad...); err != nil {
		return nil, err
	}
	return c, nil
}

// Pageless says that payers confirm in the bank's app.
func (c *connector) Pageless() bool { return c.decoupled }

// Start makes the payment, and finds the page where it is confirmed.
func (c *connector) Start(ctx context.Context, order gateway.Order) (gateway.Started, error) {
	h := http.Header{}
	h.Set("PSU-IP-Address", c.payerIP(order.Payer.IP))
	if agent := printable(order.Payer.UserAgent); agent != "" {
		h.Set("PSU-User-Agent", agent)
	}
	h.Set("TPP-Redirect-URI", returnTo(order.Return, "ok"))
	h.Set("TPP-Nok-Redirect-URI", returnTo(order.Return, "errore"))
	h.Set("TPP-Redirect-Preferred", fmt.Sprint(!c.decoupled))
	if c.decoupled {
		h.Set("TPP-Decoupled-Preferred", "true")
	}
	h.Set("TPP-Explicit-Authorisation-Preferred", "false")
	h.Set("TPP-Notification-URI", order.Callback.JoinPath("payments", order.Attempt).String())
	h.Set("TPP-Notification-Content-Preferred", "status=SCA,PROCESS,LAST")

	payment, err := newInitiation(order, string(c.iban), c.creditor)
	if err != nil {
		return gateway.Started{}, err
	}
	resp, err := c.call(ctx, http.MethodPost, c.payments, requestID(order.Attempt, "start"), h, payment)
	if err != nil {
		return gateway.Started{}, fmt.Errorf("initiate payment: %w", err)
	}
	if resp.status != http.StatusCreated {
		return gateway.Started{}, fmt.Errorf("initiate payment: status %d: %w", resp.status, gateway.ErrOutcomeUnknown)
	}
	var made initiated
	if err := resp.read(&made); err != nil || !statusForm.MatchString(made.TransactionStatus) || !goodID(made.PaymentID) {
		return gateway.Started{}, fmt.Errorf("initiate payment: %w: the answer is none of 1.3.11", gateway.ErrOutcomeUnknown)
	}
	word := c.word(made.TransactionStatus)
	if word == gateway.WordNo {
		c.Log.Warn("order refused", "transaction_status", made.TransactionStatus)
		return gateway.Started{}, fmt.Errorf("initiate payment: %w: %s at once", gateway.ErrRefused, made.TransactionStatus)
	}
	started := gateway.Started{Reference: made.PaymentID}
	if started.Redirect, err = c.page(ctx, order, made, resp); err != nil {
		return gateway.Started{}, err
	}
	if started.Redirect == "" && (word == gateway.WordAuthorised || made.SCAStatus == scaExempted || made.SCAStatus == scaFinalised) {
		started.Redirect = order.Return.String() // there is nothing to confirm
	}
	if started.Redirect == "" && !c.decoupled {
		return gateway.Started{}, fmt.Errorf("initiate payment: %w: the bank names no page (approach %s)", gateway.ErrOutcomeUnknown, approach(resp.header))
	}
	return started, nil
}

// page is where the payer confirms the payment; empty when the bank names none.
func (c *connector) page(ctx context.Context, order gateway.Order, made initiated, resp *answer) (string, error) {
	links := made.Links
	if links.SCARedirect == nil && links.SCAOAuth == nil && links.StartAuthorisation != nil {
		// The bank wants the confirmation begun by a call of its own.
		at, err := c.own(resp.from, links.StartAuthorisation.Href)
		if err != nil {
			return "", fmt.Errorf("start authorisation: %w", err)
		}
		h := http.Header{}
		h.Set("PSU-IP-Address", c.payerIP(order.Payer.IP))
		h.Set("TPP-Redirect-URI", returnTo(order.Return, "ok"))
		h.Set("TPP-Nok-Redirect-URI", returnTo(order.Return, "errore"))
		if resp, err = c.call(ctx, http.MethodPost, at, requestID(order.Attempt, "authorise"), h, struct{}{}); err != nil {
			// The payment stands whatever became of this: no error of it is a no.
			return "", fmt.Errorf("start authorisation: %w: %s", gateway.ErrOutcomeUnknown, err.Error())
		}
		var auth authorisation
		if err := resp.read(&auth); err != nil || resp.status != http.StatusCreated || auth.SCAStatus == "" {
			return "", fmt.Errorf("start authorisation: status %d: %w: the answer is none of 1.3.11", resp.status, gateway.ErrOutcomeUnknown)
		}
		links = auth.Links
	}
	if links.Confirmation != nil {
		// The bank would wait for a code that its page gives to the browser.
		c.Log.Error("the bank asks for a confirmation code, which is not supported: have it turned off")
		return "", fmt.Errorf("initiate payment: %w: it asks for a confirmation code", gateway.ErrOutcomeUnknown)
	}
	switch {
	case links.SCARedirect != nil:
		to, err := resolve(resp.from, links.SCARedirect.Href)
		if err == nil {
			to, err = c.Page(to)
		}
		if err != nil {
			return "", fmt.Errorf("page of the bank: %w", err)
		}
		return to, nil
	case links.SCAOAuth != nil:
		return c.authorisePage(ctx, order, made.PaymentID, resp.from, links.SCAOAuth.Href)
	}
	return "", nil
}

// own is an address of the bank's API, where our credentials may be sent.
func (c *connector) own(from *url.URL, href string) (*url.URL, error) {
	to, err := resolve(from, href)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(to)
	if err != nil || u.Scheme != c.Endpoint.Scheme || !strings.EqualFold(u.Host, c.Endpoint.Host) || u.User != nil {
		return nil, fmt.Errorf("%w: %w", gateway.ErrOutcomeUnknown, connectors.ErrForeignPage)
	}
	return u, nil
}

// resolve reads a link, which may be relative; an empty one stays empty, and is
// no page.
func resolve(from *url.URL, href string) (string, error) {
	if href == "" {
		return "", nil
	}
	u, err := from.Parse(href)
	if err != nil {
		return "", fmt.Errorf("%w: no address: %w", gateway.ErrOutcomeUnknown, connectors.ErrForeignPage)
	}
	return u.String(), nil
}

// Ask reads the status of the payment.
func (c *connector) Ask(ctx context.Context, p gateway.Payment) (gateway.PSPEvent, error) {
	if !goodID(p.Reference) {
		return gateway.PSPEvent{Word: gateway.WordOpen}, nil // its answer never came: nobody knows its paymentId
	}
	resp, err := c.call(ctx, http.MethodGet, c.payments.JoinPath(url.PathEscape(p.Reference), "status"),
		requestID(p.Attempt, "status "+c.Now().UTC().Format(time.RFC3339Nano)), nil, nil)
	if err != nil {
		return gateway.PSPEvent{}, fmt.Errorf("payment status: %w", err)
	}
	var said status
	if err := resp.read(&said); err != nil || resp.status != http.StatusOK || !statusForm.MatchString(said.TransactionStatus) {
		return gateway.PSPEvent{}, fmt.Errorf("payment status: status %d: %w: the answer is none of 1.3.11", resp.status, gateway.ErrOutcomeUnknown)
	}
	e := gateway.PSPEvent{PSP: c.ID, Attempt: p.Attempt, Word: c.word(said.TransactionStatus), Reference: p.Reference, Raw: resp.body}
	if e.Word != gateway.WordOpen {
		e.ID = "status/" + p.Attempt + "/" + said.TransactionStatus
	}
	return e, nil
}

// word is what a transactionStatus (ISO 20022) means for the payment
// (reliability.md, section 5). A code that we do not know decides nothing.
func (c *connector) word(status string) gateway.PSPWord {
	switch {
	case status == "ACSC" || status == "ACCC":
		return gateway.WordAuthorised
	case status == "RJCT" || status == "CANC":
		return gateway.WordNo
	case !slices.Contains(open, status):
		c.Log.Warn("unknown transaction status", "transaction_status", status)
	}
	return gateway.WordOpen
}

var open = []string{"RCVD", "PDNG", "ACTC", "ACCP", "ACFC", "ACWC", "ACWP", "PATC", "PART", "ACSP"}

// Cancel takes the payment back.
func (c *connector) Cancel(ctx context.Context, p gateway.Payment) error {
	if !goodID(p.Reference) {
		return fmt.Errorf("cancel payment: %w: its paymentId never came", gateway.ErrRefused)
	}
	resp, err := c.call(ctx, http.MethodDelete, c.payments.JoinPath(url.PathEscape(p.Reference)), requestID(p.Attempt, "cancel"), nil, nil)
	switch {
	case err != nil:
		return fmt.Errorf("cancel payment: %w", err)
	case resp.status == http.StatusNoContent:
		return nil
	case resp.status == http.StatusAccepted:
		// The payer would have to confirm this too, and has gone.
		return fmt.Errorf("cancel payment: %w: the payer would have to confirm it", gateway.ErrRefused)
	}
	return fmt.Errorf("cancel payment: status %d: %w", resp.status, gateway.ErrOutcomeUnknown)
}

var hintPath = regexp.MustCompile(`\A/payments/([0-9a-f]{32})\z`)

// Callback reads the bank's notification (lean push), which 1.3.11 leaves
// unsigned and without a form. Whoever knows the attempt's 128 random bits may
// have us ask the bank, and no more.
func (c *connector) Callback(in gateway.Callback) (gateway.PSPEvent, error) {
	path := hintPath.FindStringSubmatch(in.Path)
	if path == nil || in.Method != http.MethodPost {
		return gateway.PSPEvent{}, fmt.Errorf("callback: %w", gateway.ErrNotFound)
	}
	return gateway.PSPEvent{PSP: c.ID, Attempt: path[1], Word: gateway.WordOpen}, nil
}

// Answer tells the bank whether to call again.
func (c *connector) Answer(_ gateway.PSPEvent, err error) connectors.Answer {
	switch {
	case err == nil:
		return connectors.Answer{Status: http.StatusNoContent}
	case errors.Is(err, gateway.ErrNotFound):
		return connectors.Answer{Status: http.StatusNotFound}
	case errors.As(err, new(*gateway.Invalid)):
		return connectors.Answer{Status: http.StatusBadRequest}
	}
	return connectors.Answer{Status: http.StatusInternalServerError}
}

// payerIP is what the bank judges its risk by. 1.3.11 has a form for IPv4 only,
// and says to give our own address where the payer's is not known.
func (c *connector) payerIP(text string) string {
	ip, err := netip.ParseAddr(text)
	if err != nil {
		return c.tppIP
	}
	if ip = ip.Unmap().WithZone(""); ip.Is4() || c.ipv6 {
		return ip.String()
	}
	return c.tppIP
}

// requestID is an X-Request-ID: the same for the same step of the same attempt
// (a UUID of version 5 in the attempt's own namespace).
func requestID(attempt, step string) string {
	namespace, err := hex.DecodeString(attempt)
	if err != nil {
		namespace = []byte(attempt)
	}
	h := sha1.Sum(append(namespace, step...))
	h[6], h[8] = h[6]&0x0f|0x50, h[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", h[:4], h[4:6], h[6:8], h[8:10], h[10:16])
}

// returnTo is the page of the outcome with a hint in it.
func returnTo(page *url.URL, hint string) string {
	u := *page
	q := u.Query()
	q.Set("esito", hint)
	u.RawQuery = q.Encode()
	return u.String()
}

// printable is what may stand in a header.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, s)
	return connectors.Cut(strings.TrimSpace(s), 255)
}
