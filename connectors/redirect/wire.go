// SPDX-License-Identifier: Apache-2.0

package redirect

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/nodogate/nodogate/connectors"
	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/money"
)

// The messages of redirect.json, under the names they have there.

const (
	maxAmount  = money.Cents(99_999_999) // AmountEuroCents
	maxTimeout = 600_000                 // RedirectUrlResponse.timeout
	maxText    = 140                     // description has no limit there; Checkout's has this one
	maxPAName  = 70
	maxID      = 255 // idPSPTransaction has no limit there; ours is for the row it is stored in
)

// urlRequest is RedirectUrlRequest.
type urlRequest struct {
	IDTransaction   string      `json:"idTransaction"`
	IDPSP           string      `json:"idPsp"`
	Amount          money.Cents `json:"amount"` // with the fee
	URLBack         string      `json:"urlBack"`
	Description     string      `json:"description"`
	IDPaymentMethod string      `json:"idPaymentMethod"`
	Touchpoint      string      `json:"touchpoint"`
	PAName          string      `json:"paName,omitempty"`
	PaymentMethod   string      `json:"paymentMethod"`
	Email           string      `json:"email,omitempty"`
	// Notices are not of the API, which does not forbid them: sent only to a PSP
	// whose entry asks for them, under the names that Checkout's cart has.
	Notices []orderNotice `json:"notices,omitempty"`
}

type orderNotice struct {
	FiscalCode   string      `json:"fiscalCode"`
	NoticeNumber string      `json:"noticeNumber"`
	Amount       money.Cents `json:"amount"`
}

// withNotices tells what is being paid, notice by notice.
func (r urlRequest) withNotices(o gateway.Order) urlRequest {
	for _, n := range o.Notices {
		r.Notices = append(r.Notices, orderNotice{string(n.School), n.Number.String(), n.Amount})
	}
	return r
}

// method is how we call a method to the PSP: idPaymentMethod is an open text,
// so it has the codes of the payment types of pagoPA (pagopa-protocol, section
// 9), and paymentMethod the words that families read.
type method struct{ id, name string }

var methods = map[gateway.Method]method{
	gateway.MethodCard:         {"CP", "Carta di pagamento"},
	gateway.MethodAccountDebit: {"AD", "Addebito in conto"},
	gateway.MethodBulletin:     {"BP", "Bollettino postale"},
}

func newURLRequest(psp gateway.PSPID, o gateway.Order) urlRequest {
	r := urlRequest{
		IDTransaction: o.Attempt, IDPSP: string(psp), Amount: o.Fee, URLBack: o.Return.String(),
		IDPaymentMethod: methods[o.Method].id, PaymentMethod: methods[o.Method].name,
		Touchpoint: "CHECKOUT", // of the two there are, the one that is a web page
		Email:      o.Email,
	}
	var texts []string
	oneSchool := true
	for _, n := range o.Notices {
		r.Amount += n.Amount
		texts = append(texts, n.Description)
		oneSchool = oneSchool && n.School == o.Notices[0].School
	}
	r.Description = connectors.Cut(strings.Join(texts, "; "), maxText)
	if oneSchool && len(o.Notices) > 0 {
		r.PAName = connectors.Cut(o.Notices[0].SchoolName, maxPAName)
	}
	return r
}

// urlResponse is RedirectUrlResponse.
type urlResponse struct {
	URL              string      `json:"url"`
	IDTransaction    string      `json:"idTransaction"`
	IDPSPTransaction string      `json:"idPSPTransaction"`
	Amount           money.Cents `json:"amount"`
	Timeout          int         `json:"timeout"` // milliseconds
}

// answers says that this is about what was asked.
func (a urlResponse) answers(r urlRequest) bool {
	return a.IDTransaction == r.IDTransaction && a.Amount == r.Amount &&
		a.IDPSPTransaction != "" && len(a.IDPSPTransaction) <= maxID && a.Timeout >= 0 && a.Timeout <= maxTimeout
}

// Values of AuthorizationOutcome. All but OK are definite: each has the details
// of a denial (TransactionDeniedOutcomeDetails), ERROR too. An OK that came
// after one would be another event, and its money is never refused.
const (
	outcomeOK       = "OK"
	outcomeKO       = "KO"
	outcomeCanceled = "CANCELED"
	outcomeExpired  = "EXPIRED"
	outcomeError    = "ERROR"
)

func word(outcome string) gateway.PSPWord {
	if outcome == outcomeOK {
		return gateway.WordTaken
	}
	return gateway.WordNo
}

// result is TransactionResultRequest.
type result struct {
	IDPSP            string `json:"idPsp"`
	IDPSPTransaction string `json:"idPSPTransaction"`
	Outcome          string `json:"outcome"`
	Details          struct {
		// Required may be empty; the money of an OK has moved all the same.
		TimestampOperation *string `json:"timestampOperation"`
		AuthorizationCode  *string `json:"authorizationCode"`
		ErrorCode          *string `json:"errorCode"`
	} `json:"details"`

	at time.Time // TimestampOperation, of an OK
}

// readResult reads a body that is proved; its error is a *gateway.Invalid.
func readResult(body []byte) (result, error) {
	var r result
	var wrong gateway.Invalid
	if json.Unmarshal(body, &r) != nil {
		wrong.Add("body", "format", "send a TransactionResultRequest in JSON")
		return result{}, &wrong
	}
	required := func(field string, there bool) {
		if !there {
			wrong.Add(field, "required", "give it")
		}
	}
	required("idPsp", r.IDPSP != "")
	required("idPSPTransaction", r.IDPSPTransaction != "")
	if len(r.IDPSPTransaction) > maxID {
		wrong.Add("idPSPTransaction", "length", "at most 255 bytes")
	}
	switch r.Outcome {
	case outcomeOK:
		required("details.authorizationCode", r.Details.AuthorizationCode != nil)
		required("details.timestampOperation", r.Details.TimestampOperation != nil)
		if text := r.Details.TimestampOperation; text != nil {
			at, err := time.Parse(time.RFC3339, *text)
			if err != nil {
				wrong.Add("details.timestampOperation", "format", "give a date-time of RFC 3339")
			}
			r.at = at.UTC().Truncate(time.Microsecond)
		}
	case outcomeKO, outcomeCanceled, outcomeExpired, outcomeError:
		required("details.errorCode", r.Details.ErrorCode != nil)
	default:
		wrong.Add("outcome", "unknown", "give OK, KO, CANCELED, EXPIRED or ERROR")
	}
	if err := wrong.Err(); err != nil {
		return result{}, err
	}
	return r, nil
}

// resultResponse is TransactionResultResponse.
type resultResponse struct {
	IDTransaction string `json:"idTransaction"`
	Outcome       string `json:"outcome"`
}

// refundRequest is RefundRequest. Its action is an open text; the sample's is the
// only one that is known.
type refundRequest struct {
	IDTransaction    string `json:"idTransaction"`
	IDPSPTransaction string `json:"idPSPTransaction"`
	Action           string `json:"action"`
}

const refundAction = "refund"

// refundResponse is RefundResponse: OK; KO, there was an error; CANCELED, it was
// given back already.
type refundResponse struct {
	IDTransaction string `json:"idTransaction"`
	Outcome       string `json:"outcome"`
}

// problem is ProblemJson.
type problem struct {
	Title         string `json:"title"`
	Status        int    `json:"status"`
	Detail        string `json:"detail"`
	IDTransaction string `json:"idTransaction,omitempty"`
}
