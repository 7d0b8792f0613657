// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"cmp"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
)

// TestWhoMayCall walks every route of the engine with every kind of caller.
func TestWhoMayCall(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	other := a.g.AddSchool(gatewaytest.OtherCode, "IC 1 Follonica")

	// One right request for each operation; the number of the notice or the id
	// is made fresh, so that an allowed call succeeds every time.
	type request struct {
		query, body string
		status      int
	}
	right := map[string]request{
		"createSchool":       {body: `{"fiscal_code":"80014480828","name":"IC 6 Grosseto","iban":"IT60X0542811101000000123456","segregation_code":"01","station":"80014480828_01"}`, status: 200},
		"listSchools":        {status: 200},
		"getSchool":          {status: 200},
		"importRegistry":     {body: "codice fiscale;nome;cognome\nRSSMRA10A41H501F;Maria;Rossi\n", status: 200},
		"changeSchool":       {body: `{"cbill":null}`, status: 200},
		"listEvidence":       {status: 200},
		"getEvidence":        {status: 200},
		"listAllEvidence":    {status: 200},
		"getAnyEvidence":     {status: 200},
		"listAudit":          {status: 200},
		"listClients":        {status: 200},
		"createClient":       {body: `{"name":"segreteria","school":"80014480828","scopes":["notices:read"]}`, status: 201},
		"rotateClient":       {status: 200},
		"revokeClient":       {status: 204},
		"issueNotice":        {body: noticeJSON(), status: 201},
		"issueBatch":         {body: `{"notices":[` + noticeJSON() + `]}`, status: 201},
		"cancelNotice":       {status: 200},
		"restoreNotice":      {status: 200},
		"changeNotice":       {body: `{"debtor":{"class":"3C"}}`, status: 200},
		"listPupils":         {status: 200},
		"searchPupils":       {body: `{"fiscal_code":"RSSMRA10A41H501F"}`, status: 200},
		"getPupil":           {status: 200},
		"putPupil":           {body: pupilJSON(), status: 200},
		"putPayer":           {body: payerJSON(), status: 200},
		"deletePayer":        {status: 204},
		"invitePayer":        {status: 201},
		"inviteClass":        {status: 201},
		"getInvitation":      {status: 200},
		"endInvitation":      {status: 204},
		"listDelegates":      {status: 200},
		"putDelegate":        {body: delegateJSON, status: 200},
		"deleteDelegate":     {status: 204},
		"listNotices":        {status: 200},
		"searchNotices":      {body: `{"debtor":"RSSMRA10A41H501F"}`, status: 200},
		"getNotice":          {status: 200},
		"printNotice":        {status: 200},
		"createPrint":        {body: `{"class":"3B"}`, status: 202},
		"getPrint":           {status: 200},
		"getPrintFile":       {status: 200},
		"listEvents":         {status: 200},
		"createImport":       {body: "cf;nome\nx;y\n", status: 202},
		"listImports":        {status: 200},
		"getImport":          {status: 200},
		"listImportErrors":   {status: 200},
		"exportNotices":      {status: 200},
		"exportReceipts":     {query: "?format=xlsx", status: 200},
		"exportPayments":     {status: 200},
		"listReceipts":       {status: 200},
		"getReceipt":         {status: 200},
		"requestRefund":      {status: 201},
		"listRefunds":        {status: 200},
		"getRefund":          {status: 200},
		"changeRefund":       {body: `{"state":"rejected"}`, status: 200},
		"createCampaign":     {body: campaignJSON, status: 201},
		"listCampaigns":      {status: 200},
		"getCampaign":        {status: 200},
		"changeCampaign":     {body: `{"title":"Gita"}`, status: 200},
		"approveCampaign":    {status: 200},
		"publishCampaign":    {status: 200},
		"closeCampaign":      {body: `{"cancel_unpaid":true}`, status: 200},
		"remindCampaign":     {status: 200},
		"createWebhook":      {body: `{"url":"https://gestionale.example/","events":["notice.paid"]}`, status: 201},
		"listWebhooks":       {status: 200},
		"getWebhook":         {status: 200},
		"rotateWebhook":      {status: 200},
		"deleteWebhook":      {status: 204},
		"listDeliveries":     {status: 200},
		"replayDelivery":     {status: 201},
		"createCart":         {status: 201},
		"getCart":            {status: 200},
		"listPaymentMethods": {query: "?amount_cents=1650", status: 200},
	}
	cart := as[Cart](t, a.post("/api/v1/carts", a.school, cartJSON(a.g.Issue())), 201)
	receipt := a.g.Settle(a.g.Issue(), "")
	refund, err := a.g.RequestRefund(t.Context(), gatewaytest.Operator, receipt.School, gateway.NewRefund{Receipt: receipt.ID, Amount: 1, Reason: "prova"})
	must(t, err)
	hook, delivered := a.webhook(), "dlv-1"
	a.deliver(hook, delivered)
	doomed := hook // of deleteWebhook, until it is gone

	imported := as[Import](t, a.post("/api/v1/schools/"+string(gatewaytest.SchoolCode)+"/imports", a.school, "cf;nome\nx;y\n", "Content-Type", "text/csv"), 202)
	as[Pupil](t, a.send("PUT", base+"/pupils/p1", a.school, pupilJSON()), 201)
	// again makes what a request needs, which the one before took away.
	again := func() {
		if w := a.send("PUT", base+"/pupils/p1/payers/y1", a.school, payerJSON()); w.Code >= 300 {
			t.Fatal(w.Body)
		}
		if w := a.send("PUT", base+"/classes/3B/delegates/y1", a.school, delegateJSON); w.Code >= 300 {
			t.Fatal(w.Body)
		}
	}
	again()

	printed := a.printed("%PDF")

	send := func(method, template, id, token string) *httptest.ResponseRecorder {
		in := right[id]
		if method == "DELETE" {
			again()
		}
		path := strings.NewReplacer(":cf", string(gatewaytest.SchoolCode), ":pupil", "p1", ":payer", "y1", ":class", "3B",
			":number", a.g.Issue().Number.String()).Replace(template)
		switch id {
		case "invitePayer", "inviteClass", "getInvitation":
			again()
			_, err := a.g.InvitePayer(t.Context(), gatewaytest.Operator, gatewaytest.SchoolCode, "p1", "y1")
			must(t, err)
		case "importRegistry":
			return a.post(path, token, in.body, "Content-Type", "text/csv")
		case "getEvidence":
			path = strings.Replace(path, ":id", a.evidence(gatewaytest.SchoolCode), 1)
		case "getAnyEvidence":
			path = strings.Replace(path, ":id", a.evidence(""), 1)
		case "rotateClient", "revokeClient":
			c, _ := a.g.Client(gatewaytest.SchoolCode, gateway.ScopeNoticesRead)
			path = strings.Replace(path, ":id", c.ID, 1)
		case "getCart":
			path = strings.Replace(path, ":id", cart.ID, 1)
		case "getPrint", "getPrintFile":
			path = strings.Replace(path, ":id", printed.ID, 1)
		case "getImport", "listImportErrors":
			path = strings.Replace(path, ":id", imported.ID, 1)
		case "createImport":
			return a.post(path, token, in.body, "Content-Type", "text/csv")
		case "getReceipt":
			path = strings.Replace(path, ":id", receipt.ID, 1)
		case "requestRefund":
			in.body = `{"receipt":"` + a.g.Settle(a.g.Issue(), "").ID + `","amount_cents":1,"reason":"prova"}`
		case "getRefund", "changeRefund":
			path = strings.Replace(path, ":id", refund.ID, 1)
		case "getCampaign", "changeCampaign", "approveCampaign", "publishCampaign", "closeCampaign", "remindCampaign":
			var draft gateway.CampaignContent
			draft.Kind, draft.Title, draft.Description, draft.Amount = gateway.CampaignVoluntary, "Dono", "Contributo", 500
			draft.DueDate = "2027-06-30"
			assigned := draft
			assigned.Kind, assigned.Classes = gateway.CampaignAssigned, []string{"3B"}
			c, err := a.g.CreateCampaign(t.Context(), gatewaytest.Operator, gatewaytest.SchoolCode, draft)
			must(t, err)
			if id == "remindCampaign" {
				c, err = a.g.CreateCampaign(t.Context(), gatewaytest.Operator, gatewaytest.SchoolCode, assigned)
				must(t, err)
				_, err = a.g.PublishCampaign(t.Context(), gatewaytest.Operator, gatewaytest.SchoolCode, c.ID)
				must(t, err)
			}
			path = strings.Replace(path, ":id", c.ID, 1)
		case "createCart":
			in.body = cartJSON(a.g.Issue())
		case "getWebhook", "rotateWebhook", "listDeliveries":
			path = strings.Replace(path, ":id", hook.ID, 1)
		case "deleteWebhook":
			if _, err := a.g.Webhook(t.Context(), doomed.School, doomed.ID); err != nil || doomed.ID == hook.ID {
				doomed = a.webhook()
			}
			path = strings.Replace(path, ":id", doomed.ID, 1)
		case "replayDelivery":
			path = strings.Replace(path, ":id", delivered, 1)
		}
		switch method {
		case "POST":
			return a.post(path+in.query, token, in.body)
		case "GET":
			return a.get(path+in.query, token)
		}
		return a.send(method, path+in.query, token, in.body)
	}

	client := func(school gateway.SchoolCode, scopes ...string) string {
		c, secret := a.g.Client(school, scopes...)
		return a.token(c, secret)
	}
	revoked, secret := a.g.Client(gatewaytest.SchoolCode, gateway.Scopes...)
	revokedToken := a.token(revoked, secret)
	must(t, a.g.RevokeClient(t.Context(), gatewaytest.Operator, revoked.ID))
	oldClient, oldSecret := a.g.Client(gatewaytest.SchoolCode, gateway.Scopes...)
	oldToken := a.token(oldClient, oldSecret)
	a.g.Time.Advance(tokenLife)
	c, s := a.g.Client(gatewaytest.SchoolCode, gateway.Scopes...)
	a.school = a.token(c, s)
	c, s = a.g.Client("")
	a.admin = a.token(c, s)
	foreign := client(other.Code, gateway.Scopes...)

	for _, r := range a.engine.Routes() {
		op := a.h.doc.operations[r.Method+" "+r.Path]
		if op == nil {
			t.Errorf("%s %s is not in the document", r.Method, r.Path)
			continue
		}
		rule, ok := routes[op.id]
		if !ok {
			t.Errorf("%s has no line in the table", op.id)
			continue
		}
		if rule.public {
			continue
		}
		want, ok := right[op.id]
		if !ok {
			t.Errorf("%s: this test has no request for it", op.id)
			continue
		}
		t.Run(op.id, func(t *testing.T) {
			expect(t, send(r.Method, r.Path, op.id, ""), 401, "token_required")
			for name, token := range map[string]string{
				"nonsense": "abc", "expired": oldToken, "revoked": revokedToken,
				"altered":   a.school[:len(a.school)-4] + "AAAA",
				"alg none":  sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, a, nil),
				"other key": sign(t, jwt.SigningMethodHS256, []byte("another key of thirty-two bytes!"), a, nil),
				"audience":  sign(t, jwt.SigningMethodHS256, a.h.tokenKey, a, func(c *claims) { c.Audience = jwt.ClaimStrings{"x"} }),
				"issuer":    sign(t, jwt.SigningMethodHS256, a.h.tokenKey, a, func(c *claims) { c.Issuer = "x" }),
				"no end":    sign(t, jwt.SigningMethodHS256, a.h.tokenKey, a, func(c *claims) { c.ExpiresAt = nil }),
				"nobody":    sign(t, jwt.SigningMethodHS256, a.h.tokenKey, a, func(c *claims) { c.Subject = "ngc_nobody" }),
			} {
				if w := send(r.Method, r.Path, op.id, token); w.Code != 401 {
					t.Errorf("%s token: got %d, want 401", name, w.Code)
				}
			}
			if w := send(r.Method, r.Path, op.id, a.admin); w.Code != want.status {
				t.Errorf("operator: got %d %s, want %d", w.Code, w.Body, want.status)
			}
			if rule.scope == gateway.ScopeAdmin {
				expect(t, send(r.Method, r.Path, op.id, a.school), 403, "insufficient_scope")
				return
			}
			if w := send(r.Method, r.Path, op.id, a.school); w.Code != want.status {
				t.Errorf("client with every scope: got %d %s, want %d", w.Code, w.Body, want.status)
			}
			if op.id == "listSchools" {
				for token, only := range map[string]gateway.SchoolCode{a.school: gatewaytest.SchoolCode, foreign: other.Code} {
					list := as[SchoolPage](t, send(r.Method, r.Path, op.id, token), 200)
					if len(list.Items) != 1 || list.Items[0].FiscalCode != string(only) {
						t.Errorf("a client of %s sees %+v", only, list.Items)
					}
				}
			} else if op.id != "listPaymentMethods" {
				expect(t, send(r.Method, r.Path, op.id, foreign), 404, "not_found")
			}
			if rule.scope == "" {
				return
			}
			for _, scope := range []string{rule.scope, cmp.Or(rule.also, rule.scope)} {
				if w := send(r.Method, r.Path, op.id, client(gatewaytest.SchoolCode, scope)); w.Code != want.status {
					t.Errorf("client with %s: got %d, want %d", scope, w.Code, want.status)
				}
			}
			var rest []string
			for _, s := range gateway.Scopes {
				if s != rule.scope && s != rule.also {
					rest = append(rest, s)
				}
			}
			w := send(r.Method, r.Path, op.id, client(gatewaytest.SchoolCode, rest...))
			expect(t, w, 403, "insufficient_scope")
			if h := w.Header().Get("WWW-Authenticate"); !strings.Contains(h, `scope="`+rule.scope+`"`) {
				t.Errorf("WWW-Authenticate = %q, want the scope %s", h, rule.scope)
			}
		})
	}
	if len(a.engine.Routes()) != len(routes) {
		t.Errorf("%d routes, %d lines in the table", len(a.engine.Routes()), len(routes))
	}
}

// sign makes a token like the API's own for a client of every scope, changed.
func sign(t *testing.T, m jwt.SigningMethod, key any, a *testAPI, change func(*claims)) string {
	t.Helper()
	all, err := a.g.Clients(t.Context())
	must(t, err)
	var id string
	for _, c := range all {
		if c.RevokedAt.IsZero() && c.School == gatewaytest.SchoolCode {
			id = c.ID
		}
	}
	h := a.h
	now := a.g.Now()
	c := claims{strings.Join(gateway.Scopes, " "), 1, jwt.RegisteredClaims{
		Issuer: h.issuer(), Audience: jwt.ClaimStrings{h.audience()}, Subject: id,
		ExpiresAt: jwt.NewNumericDate(now.Add(time.Minute)),
	}}
	if change != nil {
		change(&c)
	}
	s, err := jwt.NewWithClaims(m, c).SignedString(key)
	must(t, err)
	return s
}

// A token never carries more than its client holds now, and an operator's
// narrowed token only what it says.
func TestNarrowedTokens(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	c, secret := a.g.Client("")
	narrow := func(scope string) string {
		w := a.login(form("scope", scope), c.ID, secret)
		return as[Token](t, w, 200).AccessToken
	}
	reader := narrow("notices:read")
	if w := a.get(base+"/notices", reader); w.Code != 200 {
		t.Errorf("narrowed operator, notices:read: got %d", w.Code)
	}
	expect(t, a.post(base+"/notices", reader, noticeJSON()), 403, "insufficient_scope")
	school := `{"fiscal_code":"80015010723","name":"Liceo Galilei","iban":"IT60X0542811101000000123456","segregation_code":"01"}`
	expect(t, a.post("/api/v1/schools", reader, school), 403, "insufficient_scope")
	if w := a.post("/api/v1/schools", narrow("admin"), school); w.Code != 201 {
		t.Errorf("operator with admin: got %d", w.Code)
	}
	forged := sign(t, jwt.SigningMethodHS256, a.h.tokenKey, a, func(c *claims) { c.Scope = "admin" })
	expect(t, a.post("/api/v1/schools", forged, school), 403, "insufficient_scope")
}

func TestAuthorizationHeader(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for name, values := range map[string][]string{
		"basic": {"Basic abc"}, "two": {"Bearer " + a.school, "Bearer " + a.school}, "bare": {a.school}, "empty": {""},
	} {
		r := httptest.NewRequest("GET", base, nil)
		for _, v := range values {
			r.Header.Add("Authorization", v)
		}
		w := a.do(r)
		expect(t, w, 401, "invalid_token")
		if h := w.Header().Get("WWW-Authenticate"); !strings.Contains(h, "invalid_token") {
			t.Errorf("%s: WWW-Authenticate = %q", name, h)
		}
	}
	if w := a.get(base, "", "Authorization", "bearer "+a.school); w.Code != 200 {
		t.Errorf("bearer in lower case: got %d", w.Code)
	}
	if w := a.get(base+"?access_token="+a.school, ""); w.Code != 401 {
		t.Errorf("token in the address: got %d, want 401", w.Code)
	}
}
