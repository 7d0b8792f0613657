// SPDX-License-Identifier: Apache-2.0

package receipts_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nodogate/nodogate/gateway/money"
	"github.com/nodogate/nodogate/iuv"
	"github.com/nodogate/nodogate/receipts"
)

func good(t *testing.T) receipts.Receipt {
	t.Helper()
	number, err := iuv.Parse("301202600000004244")
	if err != nil {
		t.Fatal(err)
	}
	return receipts.Receipt{
		ID: "c110729d258c4ab1b765fe902aae41d6", Notice: number, Creditor: "80014480828", Outcome: "OK",
		CreditorReferenceID: "01202600000004244", Amount: 1650, Transfers: []receipts.Transfer{
			{ID: 1, Amount: 1050, Creditor: "80014480828", IBAN: "IT60X0542811101000000123456"},
			{ID: 2, Amount: 600, Creditor: "80014480828", Stamp: "PG1hcmNhLz4="},
		},
		PaidAt: time.Date(2026, 11, 20, 9, 15, 30, 0, time.UTC),
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	if err := receipts.Check(good(t)); err != nil {
		t.Errorf("a good receipt: %v", err)
	}
	for name, change := range map[string]func(*receipts.Receipt){
		"outcome KO":         func(r *receipts.Receipt) { r.Outcome = "KO" },
		"no outcome":         func(r *receipts.Receipt) { r.Outcome = "" },
		"another IUV":        func(r *receipts.Receipt) { r.CreditorReferenceID = "01202600000004145" },
		"the notice number":  func(r *receipts.Receipt) { r.CreditorReferenceID = "301202600000004244" },
		"no notice":          func(r *receipts.Receipt) { r.Notice, r.CreditorReferenceID = iuv.Number{}, "" },
		"idTransfer twice":   func(r *receipts.Receipt) { r.Transfers[1].ID = 1 },
		"a cent too much":    func(r *receipts.Receipt) { r.Transfers[1].Amount++ },
		"a cent too little":  func(r *receipts.Receipt) { r.Transfers[1].Amount-- },
		"no transfers":       func(r *receipts.Receipt) { r.Transfers = nil },
		"sum beyond the top": func(r *receipts.Receipt) { r.Transfers[0].Amount, r.Amount = money.Max, money.Max },
	} {
		r := good(t)
		change(&r)
		err := receipts.Check(r)
		if !errors.Is(err, receipts.ErrInconsistent) {
			t.Errorf("%s: %v, want ErrInconsistent", name, err)
		} else if strings.Contains(err.Error(), "0120260") || strings.Contains(err.Error(), "1650") {
			t.Errorf("%s: the error quotes the receipt: %v", name, err)
		}
	}
}

// TestContent: the same receipt in V1 and V2, or in another zone, is a
// repetition; anything that says something else is not.
func TestContent(t *testing.T) {
	t.Parallel()
	want := good(t).Content()
	for name, change := range map[string]func(*receipts.Receipt){
		"V2 only": func(r *receipts.Receipt) {
			r.PaymentNote, r.Bundle, r.CIBundle, r.CreditorFee = "cart", "b", "c", new(money.Cents)
			r.Transfers[0].Company = "Liceo"
		},
		"zone": func(r *receipts.Receipt) { r.PaidAt = r.PaidAt.In(time.FixedZone("", 3600)) },
	} {
		r := good(t)
		change(&r)
		if r.Content() != want {
			t.Errorf("%s: the content is another", name)
		}
		if name == "V2 only" && r.Transfers[0].Company != "Liceo" {
			t.Error("Content changed its receipt")
		}
	}
	for name, change := range map[string]func(*receipts.Receipt){
		"amount":    func(r *receipts.Receipt) { r.Amount++ },
		"fee":       func(r *receipts.Receipt) { r.Fee = new(money.Cents) },
		"transfer":  func(r *receipts.Receipt) { r.Transfers[1].IBAN = "x" },
		"moment":    func(r *receipts.Receipt) { r.PaidAt = r.PaidAt.Add(time.Microsecond) },
		"payer":     func(r *receipts.Receipt) { r.Payer = &receipts.Subject{} },
		"metadata":  func(r *receipts.Receipt) { r.Metadata = []receipts.Entry{{Key: "a", Value: "b"}} },
		"debtor":    func(r *receipts.Receipt) { r.Debtor.FullName = "x" },
		"receiptId": func(r *receipts.Receipt) { r.ID = "x" },
	} {
		r := good(t)
		change(&r)
		if r.Content() == want {
			t.Errorf("%s: the content is the same", name)
		}
	}
}
