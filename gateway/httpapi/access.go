// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/nodogate/nodogate/gateway"
)

// route says who may call an operation, and how often it may act.
type route struct {
	public bool   // anybody, without a token
	scope  string // the scope it takes; empty: any client
	also   string // another scope that is enough: who may begin something may see what became of it
	school bool   // {cf} must be the client's school; an operator's client sees all
	table  bool   // its body is a table that is worked on at once
	upload bool   // its body is a file, which is kept before it is looked at
	once   *keyed // takes an Idempotency-Key; nil: does not
}

// routes is the one table of who may call what, by operationId. What is not in
// it nobody may call.
var routes = map[string]route{
	"issueToken": {public: true},
	"getOpenAPI": {public: true},
	"getDocs":    {public: true},

	"createSchool": {scope: gateway.ScopeAdmin, once: inTx(CreateSchoolResponseObject.VisitCreateSchoolResponse)},
	"changeSchool": {scope: gateway.ScopeAdmin, school: true},
	"listSchools":  {},
	"getSchool":    {school: true},

	"issueNotice":   {scope: gateway.ScopeNoticesWrite, school: true, once: inTx(IssueNoticeResponseObject.VisitIssueNoticeResponse)},
	"issueBatch":    {scope: gateway.ScopeNoticesWrite, school: true, once: inTx(IssueBatchResponseObject.VisitIssueBatchResponse)},
	"cancelNotice":  {scope: gateway.ScopeNoticesWrite, school: true, once: inTx(CancelNoticeResponseObject.VisitCancelNoticeResponse)},
	"restoreNotice": {scope: gateway.ScopeNoticesWrite, school: true, once: inTx(RestoreNoticeResponseObject.VisitRestoreNoticeResponse)},
	"changeNotice":  {scope: gateway.ScopeNoticesWrite, school: true},
	"listNotices":   {scope: gateway.ScopeNoticesRead, school: true},
	"searchNotices": {scope: gateway.ScopeNoticesRead, school: true},
	"getNotice":     {scope: gateway.ScopeNoticesRead, school: true},
	"printNotice":   {scope: gateway.ScopeNoticesRead, school: true},
	"createPrint":   {scope: gateway.ScopeNoticesRead, school: true, once: inTx(CreatePrintResponseObject.VisitCreatePrintResponse)},
	"getPrint":      {scope: gateway.ScopeNoticesRead, school: true},
	"getPrintFile":  {scope: gateway.ScopeNoticesRead, school: true},
	"listEvents":    {scope: gateway.ScopeNoticesRead, school: true},

	"createImport":     {scope: gateway.ScopeNoticesWrite, school: true, upload: true, once: inTx(visitImportCreated)},
	"listImports":      {scope: gateway.ScopeNoticesRead, also: gateway.ScopeNoticesWrite, school: true},
	"getImport":        {scope: gateway.ScopeNoticesRead, also: gateway.ScopeNoticesWrite, school: true},
	"listImportErrors": {scope: gateway.ScopeNoticesRead, also: gateway.ScopeNoticesWrite, school: true},

	"exportNotices":  {scope: gateway.ScopeExportsRead, school: true},
	"exportReceipts": {scope: gateway.ScopeExportsRead, school: true},
	"exportPayments": {scope: gateway.ScopeExportsRead, school: true},

	"listEvidence":    {scope: gateway.ScopeReceiptsRead, school: true},
	"getEvidence":     {scope: gateway.ScopeReceiptsRead, school: true},
	"listAllEvidence": {scope: gateway.ScopeAdmin},
	"getAnyEvidence":  {scope: gateway.ScopeAdmin},
	"listAudit":       {scope: gateway.ScopeAuditRead, school: true},

	"listClients":  {scope: gateway.ScopeAdmin},
	"createClient": {scope: gateway.ScopeAdmin, once: showingSecret(CreateClientResponseObject.VisitCreateClientResponse)},
	"rotateClient": {scope: gateway.ScopeAdmin, once: showingSecret(RotateClientResponseObject.VisitRotateClientResponse)},
	"revokeClient": {scope: gateway.ScopeAdmin},

	"importRegistry": {scope: gateway.ScopeRegistryWrite, school: true, table: true, once: inTx(visitRegistryImport)},
	"listPupils":     {scope: gateway.ScopeRegistryRead, school: true},
	"searchPupils":   {scope: gateway.ScopeRegistryRead, school: true},
	"getPupil":       {scope: gateway.ScopeRegistryRead, school: true},
	"putPupil":       {scope: gateway.ScopeRegistryWrite, school: true},
	"putPayer":       {scope: gateway.ScopeRegistryWrite, school: true},
	"deletePayer":    {scope: gateway.ScopeRegistryWrite, school: true},
	"invitePayer":    {scope: gateway.ScopeRegistryWrite, school: true, once: showingSecret(InvitePayerResponseObject.VisitInvitePayerResponse)},
	"inviteClass":    {scope: gateway.ScopeRegistryWrite, school: true, once: showingSecret(InviteClassResponseObject.VisitInviteClassResponse)},
	"getInvitation":  {scope: gateway.ScopeRegistryRead, school: true},
	"endInvitation":  {scope: gateway.ScopeRegistryWrite, school: true},
	"listDelegates":  {scope: gateway.ScopeRegistryRead, school: true},
	"putDelegate":    {scope: gateway.ScopeRegistryWrite, school: true},
	"deleteDelegate": {scope: gateway.ScopeRegistryWrite, school: true},

	"listReceipts": {scope: gateway.ScopeReceiptsRead, school: true},
	"getReceipt":   {scope: gateway.ScopeReceiptsRead, school: true},

	"requestRefund": {scope: gateway.ScopeRefundsWrite, school: true, once: inTx(RequestRefundResponseObject.VisitRequestRefundResponse)},
	"listRefunds":   {scope: gateway.ScopeRefundsRead, school: true},
	"getRefund":     {scope: gateway.ScopeRefundsRead, school: true},
	"changeRefund":  {scope: gateway.ScopeRefundsWrite, school: true},

	"createCampaign":  {scope: gateway.ScopeCampaignsWrite, school: true, once: inTx(CreateCampaignResponseObject.VisitCreateCampaignResponse)},
	"changeCampaign":  {scope: gateway.ScopeCampaignsWrite, school: true},
	"approveCampaign": {scope: gateway.ScopeCampaignsApprove, school: true, once: inTx(ApproveCampaignResponseObject.VisitApproveCampaignResponse)},
	"publishCampaign": {scope: gateway.ScopeCampaignsWrite, school: true, once: inTx(PublishCampaignResponseObject.VisitPublishCampaignResponse)},
	"closeCampaign":   {scope: gateway.ScopeCampaignsWrite, school: true, once: inTx(CloseCampaignResponseObject.VisitCloseCampaignResponse)},
	"remindCampaign":  {scope: gateway.ScopeCampaignsWrite, school: true, once: inTx(RemindCampaignResponseObject.VisitRemindCampaignResponse)},
	"listCampaigns":   {scope: gateway.ScopeCampaignsRead, school: true},
	"getCampaign":     {scope: gateway.ScopeCampaignsRead, school: true},

	"createWebhook":  {scope: gateway.ScopeWebhooksWrite, school: true, once: showingSecret(CreateWebhookResponseObject.VisitCreateWebhookResponse)},
	"rotateWebhook":  {scope: gateway.ScopeWebhooksWrite, school: true, once: showingSecret(RotateWebhookResponseObject.VisitRotateWebhookResponse)},
	"deleteWebhook":  {scope: gateway.ScopeWebhooksWrite, school: true},
	"replayDelivery": {scope: gateway.ScopeWebhooksWrite, school: true, once: inTx(ReplayDeliveryResponseObject.VisitReplayDeliveryResponse)},
	"listWebhooks":   {scope: gateway.ScopeWebhooksRead, school: true},
	"getWebhook":     {scope: gateway.ScopeWebhooksRead, school: true},
	"listDeliveries": {scope: gateway.ScopeWebhooksRead, school: true},

	"createCart":         {scope: gateway.ScopeCartsWrite, once: staged(CreateCartResponseObject.VisitCreateCartResponse)},
	"getCart":            {scope: gateway.ScopeCartsWrite},
	"listPaymentMethods": {},
}

// caller is a client with a token.
type caller struct {
	gateway.Client
	scopes []string // of the token: never more than the client's
}

func (c *caller) may(scope string) bool {
	if scope == "" {
		return true
	}
	// An operator's full token holds the one scope admin, which is all of them.
	return c.May(scope) && (slices.Contains(c.scopes, scope) || slices.Contains(c.scopes, gateway.ScopeAdmin))
}

func (c *caller) actor() gateway.Actor { return gateway.Actor{Kind: "client", Name: c.ID} }

// authorise lets through who the table says.
func (h *handlers) authorise(c *gin.Context) {
	k := callOf(c.Request.Context())
	k.op = h.doc.operations[c.Request.Method+" "+c.FullPath()]
	if k.op == nil {
		h.fail(c, problemNoRoute)
		return
	}
	k.route = routes[k.op.id]
	if k.route.public {
		return
	}
	if err := h.admit(c, k); err != nil {
		h.fail(c, err)
	}
}

func (h *handlers) admit(c *gin.Context, k *call) error {
	ctx := c.Request.Context()
	token, err := bearer(c.Request.Header.Values("Authorization"))
	if err != nil {
		return err
	}
	if k.caller, err = h.authenticate(ctx, token); err != nil {
		return err
	}
	if err := h.within(c, k); err != nil {
		return err
	}
	// What an address names must be plain before it may reach the database.
	for _, p := range c.Params {
		if !printable(p.Value) {
			return gateway.ErrNotFound
		}
	}
	if k.route.school {
		if err := h.mayEnter(ctx, k.caller.Client, gateway.SchoolCode(c.Param("cf"))); err != nil {
			return err
		}
	}
	if !k.caller.may(k.route.scope) && (k.route.also == "" || !k.caller.may(k.route.also)) {
		return problemScope
	}
	return nil
}

// mayEnter is ErrNotFound for a school that is not the client's, whether it is
// here or not.
func (h *handlers) mayEnter(ctx context.Context, c gateway.Client, school gateway.SchoolCode) error {
	switch {
	case c.School == school:
		return nil
	case !c.Admin():
		return gateway.ErrNotFound
	}
	_, err := h.svc.School(ctx, school)
	return err
}

func bearer(values []string) (string, error) {
	if len(values) == 0 {
		return "", problemNoToken
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if len(values) > 1 || !strings.EqualFold(scheme, "Bearer") {
		return "", problemBadToken
	}
	return strings.TrimSpace(token), nil
}

// authenticate checks the token, and that its client was not revoked, nor got a
// new secret, since.
func (h *handlers) authenticate(ctx context.Context, token string) (caller, error) {
	c, err := h.readToken(token)
	if err != nil {
		return caller{}, problemBadToken
	}
	client, err := h.svc.Client(ctx, c.Subject)
	if errors.Is(err, gateway.ErrNotFound) || err == nil && (!client.RevokedAt.IsZero() || client.Version != c.Version) {
		return caller{}, problemBadToken
	}
	return caller{client, strings.Fields(c.Scope)}, err
}

// printable says whether s is 1 to 255 printable ASCII characters.
func printable(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return len(s) > 0 && len(s) <= 255
}
