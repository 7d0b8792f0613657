// SPDX-License-Identifier: Apache-2.0

package nodeforpsp_test

import (
	"crypto/sha256"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
	"github.com/nodogate/nodogate/gateway/nodeforpsp"
	"github.com/nodogate/nodogate/gateway/pagopa"
	"github.com/nodogate/nodogate/gateway/soap"
)

// Who may call can change while the face runs: a PSP that comes may do
// everything, one that goes may still tell what became of its payments.
func TestCallersComeAndGo(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	n := g.Issue()
	var present atomic.Pointer[nodeforpsp.PSP]
	face := nodeforpsp.New(nodeforpsp.Config{
		Service: g.Service, Duration: soap.NewDuration(prometheus.NewRegistry()),
		PSP: func(id gateway.PSPID) (nodeforpsp.PSP, bool) {
			p := present.Load()
			if p == nil || p.PSP != id {
				return nodeforpsp.PSP{}, false
			}
			return *p, true
		},
	})
	head := pagopa.PSPHead{PSP: "BANCAUNO", BrokerPSP: "97735020584", Channel: "97735020584_01", Password: "password1"}
	says := func(m pagopa.Message) string {
		t.Helper()
		r := httptest.NewRequest(http.MethodPost, nodeforpsp.Path, strings.NewReader(string(soap.AppendEnvelope(nil, m.Append))))
		r.Header.Set("Content-Type", "text/xml; charset=utf-8")
		w := httptest.NewRecorder()
		face.ServeHTTP(w, r)
		_, code, found := strings.Cut(w.Body.String(), "<faultCode>")
		if !found {
			if w.Code != http.StatusOK {
				t.Fatalf("status %d: %s", w.Code, w.Body)
			}
			return "OK"
		}
		code, _, _ = strings.Cut(code, "<")
		return code
	}
	verify := pagopa.VerifyNoticeRequest{PSPHead: head, QRCode: pagopa.QRCode{CreditorCode: string(n.School), NoticeNumber: n.Number.String()}}
	outcome := pagopa.OutcomeRequest{Version: 1, PSPHead: head, Tokens: []string{"none"}, Outcome: "KO"}
	listed := nodeforpsp.PSP{
		Peer:     gateway.Peer{PSP: "BANCAUNO", Name: "Banca Uno", Broker: "97735020584", Channel: "97735020584_01"},
		Password: sha256.Sum256([]byte("password1")),
	}
	gone := listed
	gone.Gone = true
	stranger := gone
	stranger.Password = sha256.Sum256([]byte("password2"))
	for _, c := range []struct {
		name            string
		psp             *nodeforpsp.PSP
		verify, outcome string
	}{
		{"not yet listed", nil, "PPT_PSP_SCONOSCIUTO", "PPT_PSP_SCONOSCIUTO"},
		{"listed", &listed, "OK", "PPT_TOKEN_SCONOSCIUTO"},
		{"gone", &gone, "PPT_PSP_SCONOSCIUTO", "PPT_TOKEN_SCONOSCIUTO"},
		{"gone, wrong password", &stranger, "PPT_PSP_SCONOSCIUTO", "PPT_AUTENTICAZIONE"},
		{"listed again", &listed, "OK", "PPT_TOKEN_SCONOSCIUTO"},
	} {
		present.Store(c.psp)
		if got := says(verify); got != c.verify {
			t.Errorf("%s: verify says %s, want %s", c.name, got, c.verify)
		}
		if got := says(outcome); got != c.outcome {
			t.Errorf("%s: outcome says %s, want %s", c.name, got, c.outcome)
		}
	}
}
