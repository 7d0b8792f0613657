// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"errors"
	"time"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/money"
	"github.com/nodogate/nodogate/gateway/pagopa"
)

// This file is the voice of those PSPs that are linked straight to the gateway:
// they call its node face (nodeForPsp), as their catalogue's node says who they
// are there.

// errNoNode says that a PSP has no way to the node face.
var errNoNode = errors.New("sandbox: the PSP has no node in the catalogue, or the sandbox no NodeFace")

// maxAsks is how often a PSP asks the node while somebody stands at its counter.
const maxAsks = 3

// speaks says whether the PSP can call the node face.
func (s *Server) speaks(p *psp) bool { return p.Node != nil && s.cfg.NodeFace != "" }

// head is how the PSP names itself. Only for one that speaks.
func (s *Server) head(p *psp) pagopa.PSPHead {
	return pagopa.PSPHead{
		PSP: string(p.ID), BrokerPSP: p.Node.Broker, Channel: p.Node.Channel,
		Password: pagopa.Password(s.cfg.Passwords(string(p.ID))),
	}
}

// nodeKey is a new idempotency key: the PSP's fiscal code, and ten digits. It
// is the same on every try of one request.
func (s *Server) nodeKey(p *psp) string { return p.Node.Broker + "_" + s.random()[:10] }

// atCounter asks the node until it answers, while the customer waits.
func (s *Server) atCounter(ctx context.Context, p *psp, fn func(context.Context) error) error {
	if !s.speaks(p) {
		return errNoNode
	}
	var err error
	for try := range maxAsks {
		call, cancel := context.WithTimeout(ctx, readWait)
		err = fn(call)
		cancel()
		if err == nil || ctx.Err() != nil {
			return err
		}
		s.cfg.Log.Warn("sandbox: node not answering", "psp", string(p.ID), "try", try+1, "error", err.Error())
		if !s.wait(s.cfg.Retry[min(try, len(s.cfg.Retry)-1)]) {
			break
		}
	}
	return err
}

// verifyNotice asks the node what a notice costs (verifyPaymentNotice).
func (s *Server) verifyNotice(ctx context.Context, p *psp, n notice) (r pagopa.VerifyNoticeResponse, err error) {
	err = s.atCounter(ctx, p, func(ctx context.Context) (err error) {
		r, err = s.face.VerifyNotice(ctx, pagopa.VerifyNoticeRequest{PSPHead: s.head(p), QRCode: n.qrCode()})
		return err
	})
	return r, err
}

// verifyBulletin asks the same by what a postal form has printed on it: the
// account (12 digits) and the notice number (verificaBollettino).
func (s *Server) verifyBulletin(ctx context.Context, p *psp, account, number string) (r pagopa.BollettinoResponse, err error) {
	err = s.atCounter(ctx, p, func(ctx context.Context) (err error) {
		r, err = s.face.Bollettino(ctx, pagopa.BollettinoRequest{PSPHead: s.head(p), PostalAccount: account, NoticeNumber: number})
		return err
	})
	return r, err
}

// activateNotice has the notice kept for the customer (activatePaymentNoticeV2)
// for so long, or as long as the node likes when zero. method is a code of
// stPaymentMethodFee, or empty.
func (s *Server) activateNotice(ctx context.Context, p *psp, n notice, amount money.Cents, method string, life time.Duration) (r pagopa.ActivateResponse, err error) {
	if !s.speaks(p) {
		return r, errNoNode
	}
	request := pagopa.ActivateRequest{
		Version: 2, PSPHead: s.head(p), IdempotencyKey: s.nodeKey(p), QRCode: n.qrCode(),
		Amount: amount, PaymentMethod: method, TouchPoint: "PSP",
	}
	if life > 0 {
		request.Expiration = &life
	}
	err = s.atCounter(ctx, p, func(ctx context.Context) (err error) {
		r, err = s.face.Activate(ctx, request)
		return err
	})
	return r, err
}

func (n notice) qrCode() pagopa.QRCode {
	return pagopa.QRCode{CreditorCode: n.creditor, NoticeNumber: n.number}
}

// outcomeOK and outcomeKO are what a PSP tells of one to five tokens, together
// (sendPaymentOutcomeV2). key is a nodeKey. fee is for all of them; method is a
// code of stPaymentMethod, channel of stPaymentChannel.
func (s *Server) outcomeOK(p *psp, key string, tokens []string, fee money.Cents, method, channel string, at time.Time) pagopa.OutcomeRequest {
	day := gateway.DateIn(at)
	return pagopa.OutcomeRequest{
		Version: 2, PSPHead: s.head(p), IdempotencyKey: key, Tokens: tokens, Outcome: "OK",
		Details: &pagopa.OutcomeDetails{
			Method: method, Channel: channel, Fee: fee,
			ApplicationDate: day.String(), TransferDate: day.AddDays(1).String(),
		},
	}
}

func (s *Server) outcomeKO(p *psp, key string, tokens []string) pagopa.OutcomeRequest {
	return pagopa.OutcomeRequest{Version: 2, PSPHead: s.head(p), IdempotencyKey: key, Tokens: tokens, Outcome: "KO"}
}

// tellNode starts telling the node face; the channel is closed when it has
// answered. A PSP in mode duplicate tells it twice, a late one after Config.Late.
// Called with mu held and the sandbox not closed.
func (s *Server) tellNode(request pagopa.OutcomeRequest, mode Mode) <-chan struct{} {
	done := make(chan struct{})
	s.sends.Go(func() {
		defer close(done)
		if mode == ModeLate && !s.wait(s.cfg.Late) {
			return
		}
		s.sendOutcome(request)
		if mode == ModeDuplicate {
			s.sendOutcome(request)
		}
	})
	return done
}

// sendOutcome delivers one outcome. The node's answer is final, whatever it is,
// but for PPT_SYSTEM_ERROR, by which it says that it decided nothing.
func (s *Server) sendOutcome(request pagopa.OutcomeRequest) {
	log := s.cfg.Log.With("psp", request.PSP, "outcome", request.Outcome, "tokens", len(request.Tokens))
	for try := range maxTries {
		ctx, cancel := context.WithTimeout(s.ctx, sendWait)
		resp, err := s.face.Outcome(ctx, request)
		cancel()
		switch {
		case err == nil && resp.Fault == nil:
			return
		case err == nil && resp.Fault.Code != pagopa.PPTSystemError:
			log.Warn("sandbox: outcome not taken", "code", string(resp.Fault.Code), "description", resp.Fault.Description)
			return
		case err == nil:
			err = errors.New(string(resp.Fault.Code))
		}
		log.Warn("sandbox: outcome not answered", "try", try+1, "error", err.Error())
		if !s.wait(s.cfg.Retry[min(try, len(s.cfg.Retry)-1)]) {
			return
		}
	}
	log.Error("sandbox: outcome given up")
}
