// SPDX-License-Identifier: Apache-2.0

package connectortest

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/nodogate/nodogate/gateway"
)

// Refund is how a Refunder's PSP answers when the payment Attempt, its own
// Reference, shall be given back. Nil where it cannot give back.
type Refund struct {
	Done    map[string]http.HandlerFunc // it was given back, now or before
	Refused map[string]http.HandlerFunc // it will not be
	// Senseless are answers of this PSP that are neither: a yes about another
	// payment, for one.
	Senseless map[string]http.HandlerFunc
}

// runRefund wants a yes from nothing but a whole, clear yes.
func runRefund(t *testing.T, fixture func(t *testing.T) Fixture) {
	pay := gateway.Payment{Attempt: Attempt, Reference: Reference, Method: gateway.MethodCard}
	cases := failures()
	f := fixture(t).Refund
	for name, answer := range f.Done {
		cases = append(cases, failure{"done: " + name, answer, nil},
			failure{"cut after the work: " + name, func(_ http.ResponseWriter, r *http.Request) {
				answer(httptest.NewRecorder(), r)
				panic(http.ErrAbortHandler)
			}, unknown},
			// All of the yes is there, and the end is missing.
			failure{"cut in the answer: " + name, func(w http.ResponseWriter, r *http.Request) {
				whole := httptest.NewRecorder()
				answer(whole, r)
				w.Header().Set("Content-Type", whole.Header().Get("Content-Type"))
				w.Header().Set("Content-Length", "5000")
				_, _ = w.Write(whole.Body.Bytes())
			}, unknown})
	}
	for name, answer := range f.Refused {
		cases = append(cases, failure{"refused: " + name, answer, []error{gateway.ErrRefused}})
	}
	for name, answer := range f.Senseless {
		cases = append(cases, failure{"senseless: " + name, answer, unknown})
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			address, calls := serve(t, c.answer)
			var logs strings.Builder
			err := fixture(t).set(t, address, &logs).Refund(hurry(t, c.want), PSP, pay)
			checkSilence(t, logs.String(), err)
			if n := calls.Load(); n != 1 {
				t.Errorf("asked %d times, want once", n)
			}
			if c.want == nil {
				if err != nil {
					t.Errorf("Refund: %v", err)
				}
				return
			}
			checkKind(t, err, c.want...)
		})
	}
	t.Run("no connection", func(t *testing.T) {
		t.Parallel()
		gone := httptest.NewServer(nil)
		gone.Close()
		err := fixture(t).set(t, gone.URL, &strings.Builder{}).Refund(t.Context(), PSP, pay)
		checkKind(t, err, unavailable...)
	})
}
