// SPDX-License-Identifier: Apache-2.0

package afm

import (
	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/money"
)

// The messages of openapi-v2.json, under the names they have there.

// paymentOptionMulti is PaymentOptionMulti.
type paymentOptionMulti struct {
	PaymentMethod string              `json:"paymentMethod"`
	Touchpoint    string              `json:"touchpoint"`
	IDPSPList     []pspSearchCriteria `json:"idPspList"`
	PaymentNotice []paymentNoticeItem `json:"paymentNotice"`
}

type pspSearchCriteria struct {
	IDPSP string `json:"idPsp"`
}

type paymentNoticeItem struct {
	PaymentAmount              money.Cents        `json:"paymentAmount"`
	PrimaryCreditorInstitution string             `json:"primaryCreditorInstitution"`
	TransferList               []transferListItem `json:"transferList"`
}

type transferListItem struct {
	CreditorInstitution string `json:"creditorInstitution"`
	TransferCategory    string `json:"transferCategory,omitempty"`
	DigitalStamp        bool   `json:"digitalStamp,omitempty"`
}

const touchpoint = "CHECKOUT" // where the payer pays

// methods are our methods in the codes of the payment types of pagoPA
// (pagopa-protocol, section 9).
var methods = map[gateway.Method]string{
	gateway.MethodCard: "CP", gateway.MethodAccountDebit: "AD", gateway.MethodBulletin: "BP",
}

// anyMethod is the paymentMethod of a bundle that holds for all.
const anyMethod = "ANY"

func newRequest(method gateway.Method, psps []string, notices []gateway.OfferNotice) paymentOptionMulti {
	r := paymentOptionMulti{PaymentMethod: methods[method], Touchpoint: touchpoint}
	for _, id := range psps {
		r.IDPSPList = append(r.IDPSPList, pspSearchCriteria{id})
	}
	for _, n := range notices {
		item := paymentNoticeItem{PaymentAmount: n.Amount, PrimaryCreditorInstitution: string(n.School), TransferList: []transferListItem{}}
		for _, t := range n.Transfers {
			item.TransferList = append(item.TransferList, transferListItem{string(t.School), t.Taxonomy, t.Stamp})
		}
		r.PaymentNotice = append(r.PaymentNotice, item)
	}
	return r
}

// bundleOption is CalculatorMultiBundleOption, as far as we read it.
type bundleOption struct {
	BundleOptions *[]bundle `json:"bundleOptions"`
}

// bundle is CalculatorMultiTransfer: what one PSP asks by one of its bundles
// (pacchetti). The creditors of some schools bear a part of the fee, so the payer
// pays ActualPayerFee; a gate may leave that out, and then TaxPayerFee is all.
type bundle struct {
	IDPSP          string `json:"idPsp"`
	PaymentMethod  string `json:"paymentMethod"`
	TaxPayerFee    *int64 `json:"taxPayerFee"`
	ActualPayerFee *int64 `json:"actualPayerFee"`
}

// maxFee is above any fee there is for a payment by a family: what is more is a
// mistake, in euro for cents or otherwise.
const maxFee = money.Cents(100_00)

// fee is what the payer pays; false when it makes no sense.
func (b bundle) fee() (money.Cents, bool) {
	fee := b.ActualPayerFee
	if fee == nil {
		fee = b.TaxPayerFee
	}
	if fee == nil || *fee < 0 || *fee > int64(maxFee) {
		return 0, false
	}
	return money.Cents(*fee), true
}
