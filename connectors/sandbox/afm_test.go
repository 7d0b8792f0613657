// SPDX-License-Identifier: Apache-2.0

package sandbox_test

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nodogate/nodogate/connectors"
	"github.com/nodogate/nodogate/connectors/afm"
	"github.com/nodogate/nodogate/connectors/sandbox"
	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/money"
	"github.com/nodogate/nodogate/gateway/pagopa"
)

// The fee calculator as the client meets it, in each of its modes.
func TestCalculator(t *testing.T) {
	t.Parallel()
	for mode, want := range map[sandbox.Mode]map[gateway.PSPID]money.Cents{
		sandbox.ModeOK:     {"CARTASERENA": 120},
		sandbox.ModeDown:   nil,
		sandbox.ModeSlow:   nil,
		sandbox.ModeCut:    nil,
		sandbox.ModeRefuse: nil,
	} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			srv := httptest.NewUnstartedServer(nil)
			srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
			address := &url.URL{Scheme: "http", Host: srv.Listener.Addr().String()}
			upTo := money.Cents(5000)
			box, err := sandbox.New(sandbox.Config{
				URL: address, Creditor: "http://nobody.example", Now: time.Now, Log: slog.New(slog.DiscardHandler), Slow: time.Hour,
				Target: func(context.Context, string) (pagopa.Target, error) { return pagopa.Target{}, gateway.ErrUnknownSchool },
				PSPs: []connectors.PSP{{
					ID: "CARTASERENA", Name: "Carta Serena", Methods: []gateway.Method{gateway.MethodCard}, Connector: "checkout",
					Fees: []connectors.Band{{UpTo: &upTo, Fee: 120}, {Fee: 130}},
				}},
			})
			if err != nil {
				t.Fatal(err)
			}
			srv.Config.Handler = box
			srv.Start()
			t.Cleanup(srv.Close)
			w := httptest.NewRecorder()
			box.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "POST", "/control", strings.NewReader(`{"psp":"AFM","mode":"`+string(mode)+`"}`)))
			if w.Code != 200 {
				t.Fatalf("control: %d %s", w.Code, w.Body)
			}
			budget := 5 * time.Second
			if mode == sandbox.ModeSlow {
				budget = 50 * time.Millisecond
			}
			c, err := afm.New(afm.Config{
				URL: address.JoinPath("afm"), Key: "any", AllowPrivate: true, Now: time.Now, Budget: budget,
				Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
			})
			if err != nil {
				t.Fatal(err)
			}
			notice := func(amount money.Cents) []gateway.OfferNotice {
				return []gateway.OfferNotice{{School: "80014480828", Amount: amount, Transfers: []gateway.OfferTransfer{{School: "80014480828", Taxonomy: "9/0801100AP/"}}}}
			}
			got := c.Fees(t.Context(), gateway.MethodCard, []gateway.PSPID{"CARTASERENA", "ALTRA"}, notice(5000))
			if len(got) != len(want) || got["CARTASERENA"] != want["CARTASERENA"] {
				t.Errorf("Fees = %v, want %v", got, want)
			}
			if mode != sandbox.ModeOK {
				return
			}
			if got := c.Fees(t.Context(), gateway.MethodCard, []gateway.PSPID{"CARTASERENA"}, notice(5001)); got["CARTASERENA"] != 130 {
				t.Errorf("in the next band: %v", got)
			}
			if got := c.Fees(t.Context(), gateway.MethodAccountDebit, []gateway.PSPID{"CARTASERENA"}, notice(5001)); len(got) != 0 {
				t.Errorf("by a method it does not take: %v", got)
			}
		})
	}
}
