// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/iuv"
)

// mailFor says which events families are told of, and with which words.
var mailFor = map[gateway.EventKind]string{
	gateway.EventNoticeIssued: templateIssued,
	gateway.EventNoticePaid:   templatePaid,
	gateway.EventNoticeDue:    templateReminder,
}

// mailPayload is the JSON of an outbox row of kind "mail" or "appio". It holds ids
// only: address and code are looked up when it is sent.
type mailPayload struct {
	Template string             `json:"template"`
	School   gateway.SchoolCode `json:"school"`
	Number   iuv.Number         `json:"number"`
	Payer    string             `json:"payer"`
	Receipt  string             `json:"receipt,omitempty"`
	Refund   string             `json:"refund,omitempty"`
	// AccountMail is set in their place for a mail about an account.
	AccountMail gateway.AccountMail `json:"account_mail,omitempty"`
}

// fanOut makes the messages that tell of an event.
func (w *Worker) fanOut(ctx context.Context, m gateway.Message) ([]gateway.Message, error) {
	var e gateway.EventPayload
	if json.Unmarshal(m.Payload, &e) != nil {
		return nil, fmt.Errorf("event: %w: unreadable payload", ErrPermanent)
	}
	var list []gateway.Message
	template := mailFor[e.Type]
	if e.Type == gateway.EventRefundChanged && e.RefundState == gateway.RefundExecuted && e.Number != "" {
		template = templateRefunded // before that it is the school's own matter
	}
	if template != "" {
		told, err := w.toldOf(ctx, m, e, template)
		if err != nil {
			return nil, err
		}
		list = append(list, told...)
	}
	if w.cfg.Archive != nil && changesNotice(e) {
		update, err := w.updateOf(m, e)
		if err != nil {
			return nil, err
		}
		list = append(list, update)
	}
	calls, err := w.deliveriesOf(ctx, m, e)
	return append(list, calls...), err
}

// number is the notice that an event names.
func number(e gateway.EventPayload) (iuv.Number, error) {
	n, err := iuv.Parse(e.Number)
	if err != nil {
		return n, fmt.Errorf("event: %w: no notice number", ErrPermanent)
	}
	return n, nil
}

// toldOf makes one mail for each payer of the notice who has an address, and one
// message in App IO for each who has a code, where the school has a key. Where the
// registry has nobody with a code, the debtor is told in the app, if of age. A
// family that gets many notices at once gets as many of them.
func (w *Worker) toldOf(ctx context.Context, m gateway.Message, e gateway.EventPayload, template string) ([]gateway.Message, error) {
	number, err := number(e)
	if err != nil {
		return nil, err
	}
	payers, _, err := w.cfg.Outbox.PayersOf(ctx, e.School, number)
	if err != nil {
		return nil, err
	}
	_, app, hasApp := w.cfg.AppIO.key(e.School)
	hasCode := func(p gateway.Payer) bool { return len(p.Code) == appCodeLength }
	if hasApp && !slices.ContainsFunc(payers, hasCode) {
		n, err := w.cfg.Service.Notice(ctx, e.School, number)
		if err != nil {
			return nil, fmt.Errorf("event: notice: %w", err)
		}
		if n.Debtor.Code.OfAge(gateway.DateIn(w.cfg.Service.Now())) {
			payers = append(payers, debtor(n))
		}
	}
	var list []gateway.Message
	for _, p := range payers {
		payload, err := json.Marshal(mailPayload{Template: template, School: e.School, Number: number, Payer: p.ID, Receipt: e.Receipt, Refund: e.Refund})
		if err != nil {
			return nil, err
		}
		next := gateway.Message{
			School: e.School,
			// So that a payer is told of one notice in order, and what tells one
			// waits for nobody else's.
			Aggregate: string(e.School) + "/" + number.String() + "/" + p.ID,
			Payload:   payload, At: w.cfg.Service.Now(),
		}
		if p.Email != "" {
			next.ID, next.Kind = derivedID(m.ID, p.ID), kindMail
			list = append(list, next)
		}
		if hasApp && hasCode(p) {
			next.ID, next.Kind, next.Target = derivedID(m.ID, kindApp+"/"+p.ID), kindApp, app
			list = append(list, next)
		}
	}
	return list, nil
}

// debtor is the payer who stands in no registry: without an id.
func debtor(n gateway.Notice) gateway.Payer {
	return gateway.Payer{School: n.School, Code: n.Debtor.Code}
}

// derivedID is the same for the same event and receiver, and looks like the ids
// of the domain.
func derivedID(event, receiver string) string {
	sum := sha256.Sum256([]byte(event + "\x00" + receiver))
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:16]))
}
