// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/nodogate/nodogate/connectors"
	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/money"
)

// CalculatorID is what the fee calculator is called on /control.
const CalculatorID = "AFM"

// calculatorMethods are ours by the codes of pagoPA.
var calculatorMethods = map[string]gateway.Method{"CP": gateway.MethodCard, "AD": gateway.MethodAccountDebit, "BP": gateway.MethodBulletin}

// postFees plays the fee calculator (AFM, POST /fees of openapi-v2.json): its
// bundles are the fees of the PSPs behind Checkout.
func (s *Server) postFees(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	mode := s.calculator
	s.mu.Unlock()
	switch {
	case mode == ModeDown:
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	case r.Header.Get("Ocp-Apim-Subscription-Key") == "":
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	var in struct {
		PaymentMethod string `json:"paymentMethod"`
		IDPSPList     []struct {
			IDPSP string `json:"idPsp"`
		} `json:"idPspList"`
		PaymentNotice []struct {
			PaymentAmount *money.Cents `json:"paymentAmount"`
			Creditor      string       `json:"primaryCreditorInstitution"`
			TransferList  []struct {
				Creditor string `json:"creditorInstitution"`
			} `json:"transferList"`
		} `json:"paymentNotice"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || len(in.PaymentNotice) == 0 || mode == ModeRefuse {
		fail(w, http.StatusBadRequest, "Bad Request", "paymentNotice is required")
		return
	}
	var amount money.Cents
	for _, n := range in.PaymentNotice {
		if n.PaymentAmount == nil || *n.PaymentAmount < 0 || *n.PaymentAmount > money.Max || n.Creditor == "" || len(n.TransferList) == 0 {
			fail(w, http.StatusBadRequest, "Bad Request", "a notice has paymentAmount, primaryCreditorInstitution and transferList")
			return
		}
		amount += *n.PaymentAmount
	}
	if mode == ModeSlow && !s.think(r) {
		return
	}
	if mode == ModeCut {
		panic(http.ErrAbortHandler) // ends the connection without an answer
	}
	wanted := func(p connectors.PSP) bool {
		for _, l := range in.IDPSPList {
			if l.IDPSP == string(p.ID) {
				return true
			}
		}
		return len(in.IDPSPList) == 0
	}
	bundles := []map[string]any{}
	for _, p := range s.cfg.PSPs {
		method, known := calculatorMethods[in.PaymentMethod]
		if p.Connector != "checkout" || !wanted(p) || known && !slices.Contains(p.Methods, method) {
			continue
		}
		fee, takes := p.Fee(amount)
		if !takes {
			continue
		}
		bundles = append(bundles, map[string]any{
			"idPsp": p.ID, "pspBusinessName": p.Name, "paymentMethod": in.PaymentMethod, "touchpoint": "CHECKOUT", "onUs": false,
			"idBundle": strings.ToLower(string(p.ID)), "bundleName": p.Name, "taxPayerFee": fee, "actualPayerFee": fee, "fees": []any{},
		})
	}
	writeJSON(w, map[string]any{"belowThreshold": false, "bundleOptions": bundles})
}

func (s *Server) controlCalculator(w http.ResponseWriter, mode Mode) {
	if !slices.Contains(archiveModes, mode) {
		fail(w, http.StatusBadRequest, "Bad request", fmt.Sprintf("mode is one of %v", archiveModes))
		return
	}
	s.mu.Lock()
	s.calculator = mode
	s.mu.Unlock()
	s.cfg.Log.Info("sandbox mode", "psp", CalculatorID, "mode", string(mode))
	writeJSON(w, map[string]any{"psp": CalculatorID, "mode": mode})
}
