// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/gin-gonic/gin"

	"github.com/nodogate/nodogate/gateway"
)

// problem is an answer that says no (RFC 9457). It is an error, so that a
// middleware can say no by itself.
type problem struct {
	status int
	code   string // stable: integrators test it
	title  string
	detail string // what to do
}

func (p problem) Error() string { return p.code }

var (
	problemInvalid     = problem{400, "invalid_request", "The request is wrong", "Correct the fields listed in errors."}
	problemNoToken     = problem{401, "token_required", "No access token", "Send Authorization: Bearer with a token from POST /oauth2/token."}
	problemBadToken    = problem{401, "invalid_token", "The access token is not accepted", "It is wrong, too old, or its client was revoked. Get a new one from POST /oauth2/token."}
	problemScope       = problem{403, "insufficient_scope", "The token may not do this", "Ask the operator for a client with the scope that the WWW-Authenticate header names."}
	problemNoRoute     = problem{404, "no_such_path", "Nothing at this address", "The addresses that exist are listed in /api/docs."}
	problemNoMethod    = problem{405, "method_not_allowed", "This address does not take this method", "The Allow header lists what it takes."}
	problemAccept      = problem{406, "not_acceptable", "No such representation", "Accept application/json, application/xml or application/pdf."}
	problemTooLarge    = problem{413, "body_too_large", "The body is too large", "Send at most 4 MB; split the batch."}
	problemMediaType   = problem{415, "unsupported_media_type", "The body's type is not taken here", "Send the type that /api/docs names, in UTF-8 and without Content-Encoding."}
	problemTooMany     = problem{429, "too_many_attempts", "Too many failed log-ins", "Wait as long as Retry-After says, in seconds."}
	problemRate        = problem{429, "rate_limited", "Too many requests", "Wait as long as Retry-After says, in seconds; RateLimit-Remaining tells what is left."}
	problemInternal    = problem{500, "internal", "Something is wrong on our side", "Try again later; the instance names this answer to whoever helps you."}
	problemRunning     = problem{409, "request_in_progress", "The request with this key is still running", "Send it again after Retry-After seconds to have its answer."}
	problemStale       = problem{412, "version_mismatch", "It was changed by somebody else", "Read it again and look whether you still want this."}
	problemShownOnce   = problem{409, "secret_shown_once", "The secret was shown in the first answer", "It is not kept here. If that answer was lost, rotate the secret, or invite again, with a new key."}
	problemSchoolTaken = problem{409, "school_exists", "A school with this fiscal code is here with other data", "Read it and compare."}
)

// problems translates the gateway's errors; what is not here is ours to mend,
// and shown as nothing. The first that fits counts.
var problems = []struct {
	err error
	problem
}{
	{gateway.ErrNotFound, problem{404, "not_found", "No such thing", "It does not exist, or is not your school's."}},
	{gateway.ErrNumberExists, problem{409, "number_exists", "This notice number is taken", "Leave number out to have a new one."}},
	{gateway.ErrExists, problem{409, "external_id_exists", "This external_id stands for another notice", "Send the same content again, or use another external_id."}},
	{gateway.ErrConflict, problem{409, "conflict", "It was changed at the same time", "Send the request again."}},
	{gateway.ErrNoticePaid, problem{409, "notice_paid", "The notice is paid", "A paid notice cannot be changed or paid again."}},
	{gateway.ErrNoticeCancelled, problem{409, "notice_cancelled", "The notice is cancelled", "Restore it, or issue a new one."}},
	{gateway.ErrNoticeExpired, problem{409, "notice_expired", "The notice is expired", "It was not payable after its due date: move the date with PATCH."}},
	{gateway.ErrNoticeDraft, problem{409, "notice_draft", "The notice is a draft", "Publish it first: PATCH its status to open."}},
	{gateway.ErrNoticeHeld, problem{409, "notice_held", "Money arrived that does not fit the notice", "Look at its receipts and decide what becomes of it."}},
	{gateway.ErrPlanPaid, problem{409, "plan_paid", "It was paid in the other way its plan offers", "Issue a new notice if there is more to pay."}},
	{gateway.ErrNotPrintable, problem{409, "not_printable", "The notice cannot be printed", "Its amount is more than the codes of a printed notice can say: pay it online."}},
	{gateway.ErrInProgress, problem{409, "payment_in_progress", "A payment of the notice is in progress", "Wait until it ends; payment.expires_at of the notice says when at the latest."}},
	{gateway.ErrTooMany, problem{409, "too_many", "There are as many as there may be", "Delete one that is not needed."}},
	{gateway.ErrDeliveryPending, problem{409, "delivery_pending", "The delivery is still pending", "It will be tried anyway; next_try_at says when."}},
	{gateway.ErrRefused, problem{409, "psp_refused", "The provider refused", "Choose another provider."}},
	{gateway.ErrNoBulletin, problem{409, "no_postal_bulletin", "No postal bulletin can be printed", "This provider is paid with printed bulletins. They need a school with a postal account and Poste's authorisation, and at most 999,999.99 euro: choose another provider."}},
	{gateway.ErrRefundOwn, problem{403, "refund_own_request", "Who asked for a refund may not approve it", "Let another client approve it."}},
	{gateway.ErrRefundExceeds, problem{409, "refund_exceeds_receipt", "It would give back more than was received", "Look at the receipt's other refunds; reject one that is not meant."}},
	{gateway.ErrRefundState, problem{409, "refund_state", "The refund's state forbids it", "Read it; executed and rejected are final."}},
	{gateway.ErrRefundWaits, problem{409, "refund_waiting", "Refunds of the same payment are not decided", "Approve or reject them, or set execution to school first: the provider would give all of it back."}},
	{gateway.ErrRefundAtPSP, problem{409, "refund_at_provider", "The provider is giving the money back", "Wait for it: a transfer of yours could pay twice. After a day without an answer you may set execution to school."}},
	{gateway.ErrCampaignOwn, problem{403, "campaign_own", "Who drafted a campaign may not approve it", "Let another client approve it."}},
	{gateway.ErrCampaignState, problem{409, "campaign_state", "The campaign's state forbids it", "Read it: a closed one is final, and only a published one can be reminded of."}},
	{gateway.ErrCampaignPublished, problem{409, "campaign_published", "The campaign is published", "Title, text and later days can be changed; amounts and recipients stay: close it and make another."}},
	{gateway.ErrCampaignBusy, problem{409, "campaign_busy", "The campaign's notices are being worked on", "Wait until state of its progress is not running any more."}},
	{gateway.ErrCampaignVoluntary, problem{409, "campaign_voluntary", "The campaign is a voluntary contribution", "Nobody owes it, so nobody is reminded of it."}},
	{gateway.ErrCampaignWaits, problem{409, "campaign_waiting", "The campaign waits for approval", "Let another client approve it first."}},
	{gateway.ErrTooManyPrints, problem{409, "too_many_prints", "Too many prints are waiting or kept", "Prints are kept for a day: wait until some are gone."}},
	{gateway.ErrTooManyImports, problem{409, "too_many_imports", "Too many imports are waiting", "Wait until some of them are done."}},
	{gateway.ErrKeyReused, problem{422, "idempotency_key_reused", "This Idempotency-Key came with another request", "Use a new key for a new request."}},
	{gateway.ErrPSPUnavailable, problem{503, "psp_unavailable", "The provider is not answering", "Choose another, or send the request again later."}},
	{gateway.ErrOutcomeUnknown, problem{503, "psp_unavailable", "This provider is not answering", "It gave no answer in time. Nobody was sent to its page, so nothing can be paid there: send the request again later, or choose another provider."}},
	{context.DeadlineExceeded, problem{503, "timeout", "It took too long", "Send the request again."}},
	{context.Canceled, problem{503, "timeout", "It took too long", "Send the request again."}},
}

// allProblems are all answers that say no, for the docs page.
func allProblems() []problem {
	all := []problem{
		problemInvalid, problemNoToken, problemBadToken, problemScope, problemNoRoute, problemNoMethod, problemAccept,
		problemRunning, problemNotPrinted, problemShownOnce, problemStale, problemSchoolTaken, problemTooLarge, problemFileTooLarge, problemMediaType, problemTooMany, problemRate, problemInternal,
	}
	for _, p := range problems {
		all = append(all, p.problem)
	}
	slices.SortStableFunc(all, func(a, b problem) int { return a.status - b.status })
	return all
}

// fail answers with what the error means, and logs what it does not know.
func (h *handlers) fail(c *gin.Context, err error) {
	var invalid *gateway.Invalid
	var p problem
	switch {
	case errors.As(err, &p):
		h.write(c, p, nil)
		return
	case errors.As(err, &invalid):
		h.write(c, problemInvalid, invalid.Fields)
		return
	}
	for _, known := range problems {
		if errors.Is(err, known.err) {
			h.write(c, known.problem, nil)
			return
		}
	}
	h.log.Error("request failed", "request_id", callOf(c.Request.Context()).id, "route", c.FullPath(), "error", err)
	h.write(c, problemInternal, nil)
}

// maxErrors bounds the answer to a batch that is wrong everywhere.
const maxErrors = 100

func (h *handlers) write(c *gin.Context, p problem, fields []gateway.FieldError) {
	k := callOf(c.Request.Context())
	out := Problem{
		Type: h.svc.PublicURL("/api/docs") + "#" + p.code, Title: p.title, Status: p.status,
		Detail: p.detail, Instance: "urn:nodogate:request:" + k.id, Code: p.code,
	}
	if len(fields) > maxErrors {
		out.Detail = fmt.Sprintf("Correct the fields listed in errors: the first %d of %d.", maxErrors, len(fields))
		fields = fields[:maxErrors]
	}
	for _, f := range fields {
		out.Errors = append(out.Errors, FieldError{Field: f.Field, Code: f.Code, Message: f.Message})
	}
	body, err := json.Marshal(out)
	if err != nil {
		panic("httpapi: " + err.Error()) // texts and numbers always marshal
	}
	head := c.Writer.Header()
	switch p {
	case problemNoToken: // RFC 6750, section 3: no code when nothing was sent
		head.Set("WWW-Authenticate", `Bearer realm="nodogate"`)
	case problemBadToken:
		head.Set("WWW-Authenticate", `Bearer realm="nodogate", error="invalid_token"`)
	case problemScope:
		head.Set("WWW-Authenticate", `Bearer realm="nodogate", error="insufficient_scope", scope="`+k.route.scope+`"`)
	case problemRunning:
		head.Set("Retry-After", "1")
	case problemTooLarge, problemFileTooLarge: // what was not read is still on its way
		head.Set("Connection", "close")
	}
	c.Abort()
	c.Data(p.status, "application/problem+json", body)
}
