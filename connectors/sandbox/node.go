// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/nodogate/nodogate/connectors"
	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/pagopa"
)

// What the node itself says to a PSP (pagoPA, error management guide, "PSP >
// Nodo").
const (
	faultPaid         pagopa.FaultCode = "PPT_PAGAMENTO_DUPLICATO"
	faultNotConnected pagopa.FaultCode = "PPT_STAZIONE_INT_PA_SCONOSCIUTA"
	faultNoAnswer     pagopa.FaultCode = "PPT_STAZIONE_INT_PA_IRRAGGIUNGIBILE"
)

// position is the node's own record of a notice. Called with mu held.
func (s *Server) position(n notice) *position {
	p := s.positions[n]
	if p == nil {
		p = &position{}
		s.positions[n] = p
	}
	return p
}

// release ends the tokens that a page holds. Called with mu held.
func (s *Server) release(p *page) {
	for _, n := range p.cart.PaymentNotices {
		if pos := s.position(n.name()); pos.holder == p {
			pos.holder = nil
		}
	}
}

// paid says that the node has closed a notice of the page. Called with mu held.
func (s *Server) paid(p *page) bool {
	return slices.ContainsFunc(p.cart.PaymentNotices, func(n cartNotice) bool { return s.position(n.name()).paid })
}

// activate opens a session for every notice of an open page, unless it has: as
// on activatePaymentNotice, the node asks the creditor with paGetPaymentV2 and
// makes a token that ends any older one of the same notice.
func (s *Server) activate(ctx context.Context, p *page) (fault pagopa.FaultCode) {
	p.opening.Lock()
	defer p.opening.Unlock()
	s.mu.Lock()
	ready, paid := p.payments != nil || p.state != pageOpen, s.paid(p)
	s.mu.Unlock()
	switch {
	case ready:
		return ""
	case paid:
		return faultPaid
	}
	var payments []payment
	for _, n := range p.cart.PaymentNotices {
		target, err := s.cfg.Target(ctx, n.FiscalCode)
		if err != nil {
			s.cfg.Log.Warn("sandbox: creditor not connected", "creditor", n.FiscalCode, "error", err.Error())
			return faultNotConnected
		}
		call, cancel := context.WithTimeout(ctx, readWait)
		resp, err := s.node.GetPayment(call, pagopa.GetPaymentRequest{
			Version: 2, Target: target, QRCode: pagopa.QRCode{CreditorCode: n.FiscalCode, NoticeNumber: n.NoticeNumber},
			Amount: &n.Amount, PaymentNote: p.cart.IDCart,
		})
		cancel()
		switch {
		case err != nil:
			s.cfg.Log.Warn("sandbox: paGetPaymentV2", "error", err.Error())
			return faultNoAnswer
		case resp.Fault != nil:
			return resp.Fault.Code
		}
		payments = append(payments, payment{notice: n.name(), token: s.random(), target: target, Payment: *resp.Payment})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.paid(p) {
		return faultPaid
	}
	for _, n := range payments {
		s.position(n.notice).holder = p
	}
	p.payments, p.until = payments, s.cfg.Now().Add(tokenLife)
	return ""
}

// verify asks the creditor once more before money is taken: a notice may have
// been paid elsewhere since the page was opened. A page that cannot go on has
// to be activated again.
func (s *Server) verify(ctx context.Context, p *page) (fault pagopa.FaultCode) {
	s.mu.Lock()
	payments := p.payments
	if p.state != pageOpen {
		payments = nil // take will say so
	}
	s.mu.Unlock()
	for _, n := range payments {
		call, cancel := context.WithTimeout(ctx, readWait)
		resp, err := s.node.Verify(call, pagopa.VerifyRequest{Target: n.target, QRCode: pagopa.QRCode{CreditorCode: n.creditor, NoticeNumber: n.number}})
		cancel()
		switch {
		case err != nil:
			s.cfg.Log.Warn("sandbox: paVerifyPaymentNotice", "error", err.Error())
			fault = faultNoAnswer
		case resp.Fault != nil:
			fault = resp.Fault.Code
		default:
			continue
		}
		s.mu.Lock()
		if p.state == pageOpen {
			p.payments = nil
			s.release(p)
		}
		s.mu.Unlock()
		return fault
	}
	return ""
}

// take takes the money of an open page, in one step with the node closing its
// notices, and starts sending the receipts. The channel is closed when all are
// delivered. It is nil when nothing was taken: the page had ended, its tokens
// are dead, or another page holds or has paid one of its notices.
func (s *Server) take(p *page, mode Mode) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || p.state != pageOpen {
		return nil
	}
	now := s.cfg.Now()
	held := !slices.ContainsFunc(p.payments, func(n payment) bool {
		pos := s.position(n.notice)
		return pos.holder != p || pos.paid
	})
	if p.payments == nil || !held || !now.Before(p.until) {
		p.state = pageExpired
		s.release(p)
		return nil
	}
	p.state = pagePaid
	s.release(p)
	if mode != ModeLate {
		// A late one is closed only when its receipt goes out: until then
		// anybody may pay the same notice.
		s.settle(p)
	}
	s.enter(p, "taken")

	fee, _ := p.psp.Fee(p.amount())
	var sends []pagopa.SendRTRequest
	for i, n := range p.payments {
		r := n.receipt(&p.psp.PSP, p.cart.IDCart, now)
		if i == 0 && fee > 0 {
			r.Fee = &fee // paid once for the whole cart
		}
		sends = append(sends, pagopa.SendRTRequest{Version: 2, Target: n.target, Receipt: r})
	}
	done := make(chan struct{})
	s.sends.Go(func() {
		defer close(done)
		if mode == ModeLate {
			if !s.wait(s.cfg.Late) {
				return
			}
			s.mu.Lock()
			s.settle(p)
			s.mu.Unlock()
		}
		var wg sync.WaitGroup
		for _, request := range sends {
			wg.Go(func() { s.broadcast(request, mode) })
		}
		wg.Wait()
	})
	return done
}

// settle ends the notices of a page as paid. Called with mu held.
func (s *Server) settle(p *page) {
	for _, n := range p.payments {
		s.position(n.notice).paid = true
	}
}

// receipt is what the node makes of a payment (ctReceiptV2): the creditor's
// own words of paGetPaymentV2, with who took the money, and when.
func (n *payment) receipt(by *connectors.PSP, cart string, at time.Time) pagopa.Receipt {
	method := "other"
	if slices.Contains(by.Methods, gateway.MethodCard) {
		method = "creditCard"
	}
	day := gateway.DateIn(at)
	return pagopa.Receipt{
		ID:                  n.token,
		NoticeNumber:        n.number,
		CreditorCode:        n.creditor,
		Outcome:             "OK",
		CreditorReferenceID: n.CreditorReferenceID,
		Amount:              n.Amount,
		Description:         n.Description,
		CompanyName:         n.CompanyName,
		OfficeName:          n.OfficeName,
		Debtor:              n.Debtor,
		Transfers:           n.Transfers,
		PSPID:               string(by.ID),
		PSPName:             by.Name,
		Channel:             string(by.ID) + "_01",
		ChannelDescription:  "WISP",
		Method:              method,
		PaymentNote:         cart,
		PaidAt:              at.In(gateway.Rome()).Format("2006-01-02T15:04:05.000"), // the node writes no zone
		ApplicationDate:     day.String(),
		TransferDate:        day.AddDays(1).String(),
		Metadata:            n.Metadata,
	}
}

// broadcast sends a receipt to the creditor and to every other beneficiary of
// its transfers that is connected here (SANP, payment of a notice through a
// PSP).
func (s *Server) broadcast(request pagopa.SendRTRequest, mode Mode) {
	times := 1
	if mode == ModeDuplicate {
		times = 2
	}
	for range times {
		s.send(request)
	}
	told := []string{request.Receipt.CreditorCode}
	for _, t := range request.Receipt.Transfers {
		if slices.Contains(told, t.Creditor) {
			continue
		}
		told = append(told, t.Creditor)
		target, err := s.cfg.Target(s.ctx, t.Creditor)
		if err != nil {
			continue // not connected here
		}
		request.Target = target
		for range times {
			s.send(request)
		}
	}
}

// send delivers one receipt. Whatever the creditor answers in the protocol's
// terms is final, PAA_RECEIPT_DUPLICATA above all; no answer, or one that
// cannot be used, is tried again.
func (s *Server) send(request pagopa.SendRTRequest) {
	log := s.cfg.Log.With("receipt", request.Receipt.ID, "to", request.PA)
	for try := range maxTries {
		ctx, cancel := context.WithTimeout(s.ctx, sendWait)
		resp, err := s.node.SendRT(ctx, request)
		cancel()
		if err == nil {
			if resp.Fault != nil {
				log.Warn("sandbox: receipt not taken", "code", string(resp.Fault.Code))
			}
			return
		}
		log.Warn("sandbox: receipt not answered", "try", try+1, "error", err.Error())
		if !s.wait(s.cfg.Retry[min(try, len(s.cfg.Retry)-1)]) {
			return
		}
	}
	log.Error("sandbox: receipt given up")
}
