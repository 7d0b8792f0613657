// SPDX-License-Identifier: Apache-2.0

package bollettino

import (
	"time"

	"github.com/nodogate/nodogate/connectors"
	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/money"
)

// The messages of the online bulletin. No PSP has published an API for it, so
// this one is ours: docs/connectors.md, section bollettino, is its description.

const (
	maxText    = 140
	maxName    = 100
	maxID      = 255
	maxTimeout = gateway.MaxTokenLife // after it the tokens hold nothing
)

// order is what POST /bollettini takes.
type order struct {
	ID        string        `json:"id"`  // the attempt's, which all other calls name
	Fee       money.Cents   `json:"fee"` // told to the payer; on top of the notices
	ReturnURL string        `json:"returnUrl"`
	Email     string        `json:"email,omitempty"`
	Notices   []orderNotice `json:"notices"`
}

type orderNotice struct {
	NoticeNumber string      `json:"noticeNumber"`
	FiscalCode   string      `json:"fiscalCode"` // of the school
	CompanyName  string      `json:"companyName"`
	Description  string      `json:"description"`
	Amount       money.Cents `json:"amount"`
	PaymentToken string      `json:"paymentToken"`     // for its sendPaymentOutcomeV2
	CCPost       string      `json:"ccPost,omitempty"` // the school's postal account, if it has one
}

func newOrder(o gateway.Order) order {
	out := order{ID: o.Attempt, Fee: o.Fee, ReturnURL: o.Return.String(), Email: o.Email, Notices: make([]orderNotice, len(o.Notices))}
	for i, n := range o.Notices {
		out.Notices[i] = orderNotice{
			NoticeNumber: n.Number.String(), FiscalCode: string(n.School), CompanyName: connectors.Cut(n.SchoolName, maxName),
			Description: connectors.Cut(n.Description, maxText), Amount: n.Amount, PaymentToken: n.Token, CCPost: n.PostalAccount,
		}
	}
	return out
}

// payment is what the PSP says of an order: the answer to POST, which has no
// state, and to GET.
type payment struct {
	ID        string `json:"id"`
	Reference string `json:"reference"`
	State     string `json:"state"`
	URL       string `json:"url"`
	Timeout   int64  `json:"timeout"` // milliseconds
}

// of says that this is about the order with this id.
func (p payment) of(id string) bool {
	return p.ID == id && p.Reference != "" && len(p.Reference) <= maxID && p.Timeout >= 0 && p.life() <= maxTimeout
}

func (p payment) life() time.Duration {
	if p.Timeout > maxTimeout.Milliseconds() {
		return maxTimeout + 1
	}
	return time.Duration(p.Timeout) * time.Millisecond
}

// The states there are, and what each means to us. ordered: the payer has paid,
// and the PSP owes the node face its outcome.
const stateOpen = "open"

var words = map[string]gateway.PSPWord{
	stateOpen: gateway.WordOpen,
	"ordered": gateway.WordAuthorised,
	"refused": gateway.WordNo,
	"expired": gateway.WordNo,
}
