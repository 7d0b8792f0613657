// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	_ "embed"
	"html/template"
	"net/http"
	"strings"
	"time"

	"github.com/nodogate/nodogate/gateway/money"
	"github.com/nodogate/nodogate/gateway/pagopa"
	"github.com/nodogate/nodogate/iuv"
)

// The counter of a post office (sportello), with a clerk who has a reader: the
// paper is read, the node is asked by account and number (verificaBollettino),
// keeps the notice for the customer (activatePaymentNoticeV2) and is told that
// the cash is in the drawer (sendPaymentOutcomeV2).

var (
	//go:embed counter.html
	counterText     string
	counterTemplate = template.Must(template.New("counter").Parse(counterText))
)

// counterView is all that the page may show.
type counterView struct {
	PSP             string
	Read            string           // what was typed
	Account, Number string           // what it says
	Wrong           bool             // it says nothing
	Fault           pagopa.FaultCode // why the node will not
	Silent          bool             // it does not answer
	Found           *noticeView
	Fee, Total      string
	Done, Refused   bool
}

// counter finds the PSP whose counter it is; nil when it has answered.
func (s *Server) counter(w http.ResponseWriter, r *http.Request) (p *psp, mode Mode) {
	p, mode = s.find(r)
	switch {
	case p == nil || p.Connector != bulletinName || !s.speaks(p):
		noPage(w)
	case mode == ModeDown:
		noService(w)
	default:
		return p, mode
	}
	return nil, ""
}

func (s *Server) showCounter(w http.ResponseWriter, r *http.Request) {
	if p, _ := s.counter(w, r); p != nil {
		s.render(w, http.StatusOK, counterTemplate, counterView{PSP: p.Name})
	}
}

// readPaper finds account and notice number in what the reader of the Data Matrix
// gives, in a codeline, or in the two of them typed in either order.
func readPaper(text string) (account, number string, ok bool) {
	text = strings.Trim(text, "\r\n")
	if d, err := iuv.ParseDataMatrix(text); err == nil {
		return d.Account, d.Notice.String(), true
	}
	// A browser drops the blanks at the end, and a person those within.
	if head, _, found := strings.Cut(text, "1P1"); found {
		text = strings.TrimPrefix(strings.TrimSpace(head), "codfase=NBPA;")
	}
	digits := strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == '<' || r == '>' || r == '\t' }), "")
	if len(digits) == 50 && strings.HasPrefix(digits, "18") && digits[20:22] == "12" && digits[34:36] == "10" && digits[46:] == "3896" {
		number, account = digits[2:20], digits[22:34]
	} else {
		// Groups of digits: the number in groups of four, the account on its own.
		var typed string
		for _, line := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(",;/\r\n", r) }) {
			switch line = strings.ReplaceAll(strings.TrimSpace(line), " ", ""); {
			case len(line) == 18 && number == "":
				number = line
			case len(line) > 0 && len(line) <= 12 && typed == "":
				typed = line
			case line != "":
				return "", "", false
			}
		}
		if typed == "" {
			return "", "", false
		}
		account = strings.Repeat("0", 12-len(typed)) + typed
	}
	if _, err := iuv.Parse(number); err != nil || !accountID.MatchString(account) {
		return "", "", false
	}
	return account, number, true
}

// pressCounter reads the paper, or takes the money for what was read.
func (s *Server) pressCounter(w http.ResponseWriter, r *http.Request) {
	p, mode := s.counter(w, r)
	if p == nil {
		return
	}
	v := counterView{PSP: p.Name, Read: r.PostFormValue("bollettino")}
	var ok bool
	if v.Account, v.Number, ok = readPaper(v.Read); !ok {
		v.Wrong = true
		s.render(w, http.StatusBadRequest, counterTemplate, v)
		return
	}
	found, err := s.verifyBulletin(r.Context(), p, v.Account, v.Number)
	switch {
	case err != nil:
		v.Silent = true
	case found.Fault != nil:
		v.Fault = wordOf(found.Fault)
	default:
		option := found.Options[0]
		fee, takes := p.Fee(option.Amount)
		if !takes {
			v.Refused = true
			break
		}
		v.Found = &noticeView{School: found.CompanyName, Description: found.Description, Number: v.Number, Amount: option.Amount.Italian()}
		v.Fee, v.Total = fee.Italian(), (option.Amount + fee).Italian()
		if r.PostFormValue("azione") == buttonPay {
			s.takeCash(r, p, mode, notice{found.CreditorCode, v.Number}, option.Amount, fee, &v)
		}
	}
	if v.Done && mode == ModeCut {
		panic(http.ErrAbortHandler) // ends the connection without an answer
	}
	status := http.StatusOK
	if v.Silent || v.Fault != "" || v.Refused {
		status = http.StatusConflict
	}
	s.render(w, status, counterTemplate, v)
}

// wordOf is the creditor's own word where the node only hands it on.
func wordOf(f *pagopa.Fault) pagopa.FaultCode {
	for _, code := range []string{f.OriginalCode, strings.TrimSpace(f.Description)} {
		if strings.HasPrefix(code, "PAA_") {
			return pagopa.FaultCode(strings.FieldsFunc(code, func(r rune) bool { return r == ' ' || r == ':' })[0])
		}
	}
	return f.Code
}

// takeCash keeps the notice, takes the money, and tells the node. A late PSP asks
// for a token that dies before it tells.
func (s *Server) takeCash(r *http.Request, p *psp, mode Mode, n notice, amount, fee money.Cents, v *counterView) {
	if mode == ModeRefuse {
		v.Refused = true
		s.mu.Lock()
		s.ledger = append(s.ledger, entry{
			PSP: p.ID, Reference: v.Number, Notices: []ledgerRef{{n.creditor, n.number}}, Amount: amount, State: "refused",
			At: s.cfg.Now().UTC().Truncate(time.Microsecond),
		})
		s.mu.Unlock()
		return
	}
	var life time.Duration
	if mode == ModeLate {
		life = max(s.cfg.Late/2, time.Second)
	}
	kept, err := s.activateNotice(r.Context(), p, n, amount, "BP", life)
	switch {
	case err != nil:
		v.Silent = true
		return
	case kept.Fault != nil:
		v.Fault = wordOf(kept.Fault)
		return
	}
	key := s.nodeKey(p)
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		v.Silent = true
		return
	}
	now := s.cfg.Now()
	s.ledger = append(s.ledger, entry{
		PSP: p.ID, Reference: kept.Token, Notices: []ledgerRef{{n.creditor, n.number}}, Amount: kept.Amount, State: "taken",
		At: now.UTC().Truncate(time.Microsecond),
	})
	sent := s.tellNode(s.outcomeOK(p, key, []string{kept.Token}, fee, "cash", "frontOffice", now), mode)
	s.mu.Unlock()
	await(r, sent)
	v.Done = true
}
