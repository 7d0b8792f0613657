// SPDX-License-Identifier: Apache-2.0

package pagopa

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/nodogate/nodogate/gateway/soap"
)

// face answers every request to a service with the golden response of its
// operation and gives the request to seen.
func face(t *testing.T, s service, seen func(*http.Request, Message)) *httptest.Server {
	t.Helper()
	responses := make(map[Operation]Message)
	for name, m := range s.messages() {
		if strings.HasSuffix(name, "Res") || strings.HasSuffix(name, "Response") {
			responses[m.Operation()] = m
		}
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, status := soap.ReadBody(w, r)
		env, err := soap.Parse(raw)
		if status != http.StatusOK || err != nil {
			t.Errorf("the client sent what is not accepted: %d, %v", status, err)
			return
		}
		m, err := s.requests.read(env)
		if err != nil {
			t.Errorf("the client sent what cannot be read: %v", err)
			return
		}
		if !soap.ActionAgrees(r.Header, string(m.Operation())) {
			t.Errorf("SOAPAction %q for %s", r.Header["Soapaction"], m.Operation())
		}
		seen(r, m)
		w.Header().Set("Content-Type", soap.ContentType)
		_, _ = w.Write(soap.AppendEnvelope(nil, responses[m.Operation()].Append))
	}))
	t.Cleanup(srv.Close)
	return srv
}

func TestClient(t *testing.T) {
	t.Parallel()
	var seen []Message
	srv := face(t, services[0], func(r *http.Request, m Message) {
		seen = append(seen, m)
		if r.Header.Get("Ocp-Apim-Subscription-Key") != "key" {
			t.Error("the client's own header is missing")
		}
	})
	c := &Client{HTTP: srv.Client(), URL: srv.URL, Header: http.Header{"Ocp-Apim-Subscription-Key": {"key"}}}
	full := fullMessages()
	ctx := t.Context()
	var sent []Message
	check := func(request, want Message, got Message, err error) {
		t.Helper()
		sent = append(sent, request)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s answered %+v, %v; want %+v", request.Operation(), got, err, want)
		}
	}
	verify := full["paVerifyPaymentNoticeReq"].(VerifyRequest)
	vr, err := c.Verify(ctx, verify)
	check(verify, full["paVerifyPaymentNoticeRes"], vr, err)
	for req, res := range map[string]string{"paGetPaymentReq": "paGetPaymentRes", "paGetPaymentV2Request": "paGetPaymentV2Response"} {
		get := full[req].(GetPaymentRequest)
		gr, err := c.GetPayment(ctx, get)
		check(get, full[res], gr, err)
	}
	for req, res := range map[string]string{"paSendRTReq": "paSendRTRes", "paSendRTV2Request": "paSendRTV2Response"} {
		rt := full[req].(SendRTRequest)
		rr, err := c.SendRT(ctx, rt)
		check(rt, full[res], rr, err)
	}
	demand := full["paDemandPaymentNoticeRequest"].(DemandRequest)
	dr, err := c.Demand(ctx, demand)
	check(demand, full["paDemandPaymentNoticeResponse"], dr, err)
	if !reflect.DeepEqual(seen, sent) {
		t.Errorf("sent\n%+v\nbut the creditor saw\n%+v", sent, seen)
	}
}

func TestNodeClient(t *testing.T) {
	t.Parallel()
	var seen []Message
	srv := face(t, services[1], func(r *http.Request, m Message) {
		seen = append(seen, m)
		if r.Header.Get("Ocp-Apim-Subscription-Key") != "key" {
			t.Error("the client's own header is missing")
		}
	})
	c := &NodeClient{HTTP: srv.Client(), URL: srv.URL, Header: http.Header{"Ocp-Apim-Subscription-Key": {"key"}}}
	full := fullNodeMessages()
	ctx := t.Context()
	var sent []Message
	check := func(request, want, got Message, err error) {
		t.Helper()
		sent = append(sent, request)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s answered %+v, %v; want %+v", request.Operation(), got, err, want)
		}
	}
	verify := full["verifyPaymentNoticeReq"].(VerifyNoticeRequest)
	vr, err := c.VerifyNotice(ctx, verify)
	check(verify, full["verifyPaymentNoticeRes"], vr, err)
	bollettino := full["verificaBollettinoReq"].(BollettinoRequest)
	br, err := c.Bollettino(ctx, bollettino)
	check(bollettino, full["verificaBollettinoRes"], br, err)
	for req, res := range map[string]string{"activatePaymentNoticeReq": "activatePaymentNoticeRes", "activatePaymentNoticeV2Request": "activatePaymentNoticeV2Response"} {
		activate := full[req].(ActivateRequest)
		ar, err := c.Activate(ctx, activate)
		check(activate, full[res], ar, err)
	}
	for req, res := range map[string]string{"sendPaymentOutcomeReq": "sendPaymentOutcomeRes", "sendPaymentOutcomeV2Request": "sendPaymentOutcomeV2Response"} {
		outcome := full[req].(OutcomeRequest)
		or, err := c.Outcome(ctx, outcome)
		check(outcome, full[res], or, err)
	}
	demand := full["demandPaymentNoticeRequest"].(DemandNoticeRequest)
	dr, err := c.Demand(ctx, demand)
	check(demand, full["demandPaymentNoticeResponse"], dr, err)
	if !reflect.DeepEqual(seen, sent) {
		t.Errorf("sent\n%+v\nbut the node saw\n%+v", sent, seen)
	}
}

// The two services answer each other's clients with nothing they take.
func TestClientsKeepApart(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m := fullMessages()["paDemandPaymentNoticeResponse"]
		if r.Header.Get("SOAPAction") == `"paDemandPaymentNotice"` {
			m = fullNodeMessages()["demandPaymentNoticeResponse"]
		}
		_, _ = w.Write(soap.AppendEnvelope(nil, m.Append))
	}))
	t.Cleanup(srv.Close)
	_, err := (&Client{HTTP: srv.Client(), URL: srv.URL}).Demand(t.Context(), DemandRequest{})
	if !errors.Is(err, ErrUnknown) {
		t.Errorf("a client of creditors took the Node's answer: %v", err)
	}
	_, err = (&NodeClient{HTTP: srv.Client(), URL: srv.URL}).Demand(t.Context(), DemandNoticeRequest{})
	if !errors.Is(err, ErrUnknown) {
		t.Errorf("a client of the Node took a creditor's answer: %v", err)
	}
}

func TestClientTellsErrorsApart(t *testing.T) {
	t.Parallel()
	full := fullMessages()
	in := func(m Message) string { return string(soap.AppendEnvelope(nil, m.Append)) }
	var (
		status *StatusError
		fault  *soap.Fault
		syntax *soap.ParseError
		schema *SchemaError
	)
	for _, tc := range []struct {
		name   string
		status int
		body   string
		is     func(error) bool
	}{
		{"503", 503, "", func(err error) bool { return errors.As(err, &status) && status.Status == 503 }},
		{"HTML", 502, "<html>", func(err error) bool { return errors.As(err, &status) && status.Status == 502 }},
		{"a response under another status", 202, in(full["paSendRTV2Response"]), func(err error) bool { return errors.As(err, &status) }},
		{"Fault with 500", 500, string(soap.AppendFault(nil, soap.Server, "no")), func(err error) bool { return errors.As(err, &fault) && fault.Code == "Server" }},
		{"Fault with 400", 400, string(soap.AppendFault(nil, soap.Client, "no")), func(err error) bool { return errors.As(err, &fault) && fault.Text == "no" }},
		{"Fault with 200", 200, string(soap.AppendFault(nil, soap.Client, "no")), func(err error) bool { return errors.As(err, &fault) }},
		{"empty", 200, "", func(err error) bool { return errors.As(err, &syntax) }},
		{"cut", 200, in(full["paSendRTV2Response"])[:200], func(err error) bool { return errors.As(err, &syntax) }},
		{"not valid", 200, strings.Replace(in(full["paSendRTV2Response"]), "OK", "NO", 1), func(err error) bool { return errors.As(err, &schema) }},
		{"other version", 200, in(full["paSendRTRes"]), func(err error) bool { return errors.Is(err, ErrUnknown) }},
		{"other operation", 200, in(full["paVerifyPaymentNoticeRes"]), func(err error) bool { return errors.Is(err, ErrUnknown) }},
		{"a request", 200, in(full["paSendRTV2Request"]), func(err error) bool { return errors.Is(err, ErrUnknown) }},
		{"too large", 200, in(full["paSendRTV2Response"]) + strings.Repeat(" ", soap.MaxBody), func(err error) bool { return errors.Is(err, ErrTooLarge) }},
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(tc.status)
			_, _ = io.WriteString(w, tc.body)
		}))
		c := &Client{HTTP: srv.Client(), URL: srv.URL}
		if got, err := c.SendRT(t.Context(), full["paSendRTV2Request"].(SendRTRequest)); !tc.is(err) || got != (SendRTResponse{}) {
			t.Errorf("%s: got %+v, %v (%T)", tc.name, got, err, err)
		}
		srv.Close()
	}
}

func TestClientTransportErrors(t *testing.T) {
	t.Parallel()
	request := fullMessages()["paSendRTV2Request"].(SendRTRequest)
	hanging := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // or the server would not notice that the client has gone
		<-r.Context().Done()
	}))
	defer hanging.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	c := &Client{HTTP: hanging.Client(), URL: hanging.URL + "/?secret"}
	if _, err := c.SendRT(ctx, request); !errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "secret") {
		t.Errorf("a silent creditor: %v", err)
	}
	closed := httptest.NewServer(nil)
	closed.Close()
	c = &Client{HTTP: closed.Client(), URL: closed.URL}
	if _, err := c.SendRT(t.Context(), request); err == nil {
		t.Error("nobody listens, yet no error")
	}
	breaking := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, "<")
	}))
	defer breaking.Close()
	c = &Client{HTTP: breaking.Client(), URL: breaking.URL}
	if _, err := c.SendRT(t.Context(), request); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a response that breaks off: %v", err)
	}
	c = &Client{HTTP: http.DefaultClient, URL: "http://secret:%zz/"}
	if _, err := c.SendRT(t.Context(), request); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("a malformed URL: %v", err)
	}
}
