// SPDX-License-Identifier: Apache-2.0

package berlingroup

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/nodogate/nodogate/connectors"
	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/money"
)

// The messages of psd2-api 1.3.11, under the names they have there.

const (
	maxCreditorName = 70
	maxRemittance   = 140
	maxID           = 255 // paymentId has no limit there; ours is for the row it is stored in
)

// initiation is paymentInitiation_json.
type initiation struct {
	EndToEndIdentification string  `json:"endToEndIdentification"`
	DebtorAccount          account `json:"debtorAccount"`
	InstructedAmount       amount  `json:"instructedAmount"`
	CreditorAccount        account `json:"creditorAccount"`
	CreditorName           string  `json:"creditorName"`
	Remittance             string  `json:"remittanceInformationUnstructured"`
	// RemittanceLines are for the PSP: what the payer pays, a line for each
	// notice, by which it makes its sendPaymentOutcomeV2.
	RemittanceLines []string `json:"remittanceInformationUnstructuredArray"`
}

// account is accountReference. The debtor's has no number: the payer tells it to
// the bank, and we never see it.
type account struct {
	IBAN     string `json:"iban,omitempty"`
	Currency string `json:"currency"`
}

type amount struct {
	Currency string `json:"currency"`
	Amount   string `json:"amount"`
}

// newInitiation is the transfer of an order: the total with the fee, to the
// PSP's collecting account.
func newInitiation(o gateway.Order, iban, creditor string) (initiation, error) {
	total := o.Fee
	p := initiation{
		EndToEndIdentification: o.Attempt, DebtorAccount: account{Currency: "EUR"},
		CreditorAccount: account{IBAN: iban, Currency: "EUR"}, CreditorName: creditor,
	}
	for _, n := range o.Notices {
		var err error
		if total, err = total.Add(n.Amount); err != nil {
			return initiation{}, fmt.Errorf("%w: the total is too large", gateway.ErrRefused)
		}
		p.RemittanceLines = append(p.RemittanceLines, line(n))
	}
	p.InstructedAmount = amount{"EUR", total.String()}
	p.Remittance = remittance(o, total)
	return p, nil
}

// line tells the PSP one notice: its IUV and amount, whose it is, and the token
// to name in the outcome.
func line(n gateway.OrderNotice) string {
	return "/RFB/" + n.Number.IUV() + "/" + n.Amount.String() + "/CF/" + string(n.School) + "/TOKEN/" + n.Token
}

// remittance is what the payer reads in the account's statement: pagoPA's own
// form for one notice (pagopa-protocol, section 6), how many there are for more.
func remittance(o gateway.Order, total money.Cents) string {
	text := fmt.Sprintf("/TXT/pagoPA %d avvisi %s", len(o.Notices), total)
	if len(o.Notices) == 1 {
		n := o.Notices[0]
		text = "/RFB/" + n.Number.IUV() + "/" + n.Amount.String() + "/TXT/" + sepa(n.Description)
	}
	return strings.TrimRight(connectors.Cut(text, maxRemittance), " /")
}

// sepa writes a text in the characters that every bank of the SEPA area takes
// (EPC217-08): letters without accents, and what has no letter as a dot.
func sepa(s string) string {
	out := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune("/-?:().,'+ ", r):
			return r
		}
		if i := strings.IndexRune(accented, r); i >= 0 {
			return rune(plain[len([]rune(accented[:i]))])
		}
		return '.'
	}, s)
	for strings.Contains(out, "//") { // ends a field, to some
		out = strings.ReplaceAll(out, "//", "/")
	}
	return out
}

const (
	accented = "àáâäãèéêëìíîïòóôöõùúûüçñÀÁÂÄÃÈÉÊËÌÍÎÏÒÓÔÖÕÙÚÛÜÇÑ’‘–—"
	plain    = "aaaaaeeeeiiiiooooouuuucnAAAAAEEEEIIIIOOOOOUUUUCN''--"
)

// initiated is paymentInitationRequestResponse-201 (so it is spelt there).
type initiated struct {
	TransactionStatus string `json:"transactionStatus"`
	PaymentID         string `json:"paymentId"`
	SCAStatus         string `json:"scaStatus"`
	Links             links  `json:"_links"`
}

// links are those that we follow.
type links struct {
	SCARedirect        *link `json:"scaRedirect"`
	SCAOAuth           *link `json:"scaOAuth"`
	StartAuthorisation *link `json:"startAuthorisation"`
	Confirmation       *link `json:"confirmation"`
}

// link is hrefType.
type link struct {
	Href string `json:"href"`
}

// authorisation is startScaprocessResponse.
type authorisation struct {
	SCAStatus string `json:"scaStatus"`
	Links     links  `json:"_links"`
}

// Values of scaStatus after which nothing is left to confirm.
const (
	scaExempted  = "exempted"
	scaFinalised = "finalised"
)

// status is paymentInitiationStatusResponse-200_json.
type status struct {
	TransactionStatus string `json:"transactionStatus"`
}

var (
	statusForm = regexp.MustCompile(`\A[A-Z]{4}\z`)
	idForm     = regexp.MustCompile(`\A[!-~]+\z`)
	codeForm   = regexp.MustCompile(`\A[A-Z_0-9]{1,60}\z`)
)

// goodID says whether a paymentId can stand in a path.
func goodID(id string) bool {
	return len(id) <= maxID && idForm.MatchString(id) && id != "." && id != ".."
}

// approach is the header of this name, for an error.
func approach(h http.Header) string {
	switch a := h.Get("ASPSP-SCA-Approach"); a {
	case "EMBEDDED", "DECOUPLED", "REDIRECT":
		return a
	}
	return "not told"
}

// answer is what the bank said, below 400.
type answer struct {
	status int
	header http.Header
	body   []byte
	from   *url.URL
}

func (a *answer) read(v any) error { return json.Unmarshal(a.body, v) }

// call sends one request of the XS2A interface, once. An answer from 400 on is
// the error it means.
func (c *connector) call(ctx context.Context, method string, to *url.URL, id string, h http.Header, body any) (*answer, error) {
	bearer, err := c.tokens.get(ctx)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, fmt.Errorf("%w: access token: %w", gateway.ErrPSPUnavailable, ctx.Err())
	case err != nil:
		// Without it nothing was sent, whatever went wrong: the error is of this
		// kind now, and no other.
		return nil, fmt.Errorf("%w: access token: %s", gateway.ErrPSPUnavailable, err.Error())
	}
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("write request: %w", err)
		}
		content = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, to.String(), content)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	for name, values := range h {
		req.Header[name] = values
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("X-Request-ID", id)
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return nil, withoutURL(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("status %d: %w", resp.StatusCode, err)
	}
	a := &answer{resp.StatusCode, resp.Header, text, to}
	if a.status >= http.StatusBadRequest {
		if a.status == http.StatusUnauthorized {
			c.tokens.drop(bearer)
		}
		return nil, fmt.Errorf("status %d: %w", a.status, c.refusal(a))
	}
	// Nothing else says which of our requests an answer is to.
	if echo := a.header.Get("X-Request-ID"); echo != "" && !strings.EqualFold(echo, id) {
		c.Log.Error("the bank answered another request: its X-Request-ID is not ours", "status", a.status)
		return nil, fmt.Errorf("status %d: %w: the answer is to another request", a.status, gateway.ErrOutcomeUnknown)
	}
	return a, nil
}

// withoutURL drops the address from an error of the client: a paymentId stands
// in it.
func withoutURL(err error) error {
	if u := (*url.Error)(nil); errors.As(err, &u) {
		return u.Err
	}
	return err
}

// refusal says what an answer from 400 on means.
func (c *connector) refusal(a *answer) error {
	code := errorCode(a)
	switch a.status {
	case http.StatusUnauthorized, http.StatusForbidden:
		// Our certificate or token was refused, so no order was seen. The next one
		// will be refused too: the breaker may open until somebody mends it.
		c.Log.Error("credentials refused", "status", a.status, "code", code)
		return gateway.ErrPSPUnavailable
	case http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotAcceptable,
		http.StatusConflict, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity:
		if code == "" {
			// Perhaps of a gate in front of the bank, and no answer to this.
			return fmt.Errorf("%w: without tppMessages", gateway.ErrOutcomeUnknown)
		}
		c.Log.Warn("refused", "status", a.status, "code", code)
		return gateway.ErrRefused
	}
	return gateway.ErrOutcomeUnknown
}

// errorCode is the code of an error in the bank's words: tppMessages (Error400_NG_PIS
// and its like), or Error400_PIS, which is a problem of RFC 7807. The texts are
// left alone: they may repeat what was sent.
func errorCode(a *answer) string {
	media, _, _ := mime.ParseMediaType(a.header.Get("Content-Type"))
	if media != "application/json" && media != "application/problem+json" {
		return ""
	}
	var e struct {
		TPPMessages []struct{ Category, Code string } `json:"tppMessages"`
		Type, Code  string
	}
	if a.read(&e) != nil {
		return ""
	}
	for _, m := range e.TPPMessages {
		if m.Category == "ERROR" && codeForm.MatchString(m.Code) {
			return m.Code
		}
	}
	if e.Type != "" && codeForm.MatchString(e.Code) {
		return e.Code
	}
	return ""
}
