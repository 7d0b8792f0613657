// SPDX-License-Identifier: Apache-2.0

// Package receipts holds what a telematic receipt (ricevuta telematica) says,
// and the digests that prove it was not altered since.
//
// Reading one from XML is receipts/xml, printing one is receipts/pdf; deciding
// what it settles is the gateway's. What a caller gets wrong: two deliveries
// of the same receipt may differ in bytes (paSendRT or paSendRTV2, another
// prefix, other blanks); Content compares what they say, Digest what they are.
package receipts

import (
	"crypto/sha256"
	"encoding/json"
	"time"

	"github.com/nodogate/nodogate/gateway/money"
	"github.com/nodogate/nodogate/iuv"
)

// Receipt is the content of one ctReceipt or ctReceiptV2 (paForNode.xsd), in
// the order of the schema. An absent optional text is empty.
type Receipt struct {
	ID                  string     // receiptId = paymentToken = IUR of the reporting flow
	Notice              iuv.Number // noticeNumber
	Creditor            string     // fiscalCode: who issued the notice, 11 digits
	Outcome             string     // OK or KO; in practice always OK
	CreditorReferenceID string     // the IUV
	Amount              money.Cents
	Description         string
	CompanyName         string
	OfficeName          string
	Debtor              Subject
	Transfers           []Transfer
	PSP                 PSP
	ChannelDescription  string // for example app, WISP
	Payer               *Subject
	Method              string // cash, creditCard, bancomat, other, ...: an open list
	PaymentNote         string // our cart's id when Checkout started it; only in V2
	Fee                 *money.Cents
	CreditorFee         *money.Cents // primaryCiIncurredFee, V2
	Bundle, CIBundle    string       // idBundle, idCiBundle, V2
	// PaidAt is paymentDateTime, the legal moment of the payment, in UTC. A
	// value without a zone is Rome time. Zero when the receipt does not say.
	PaidAt          time.Time
	ApplicationDate string // YYYY-MM-DD as received, or empty
	TransferDate    string // YYYY-MM-DD as received: the expected credit
	Metadata        []Entry
	StandIn         bool
}

// Subject is a debtor or payer (ctSubject).
type Subject struct {
	Type     string // F a person, G an organisation
	ID       string // fiscal code, or ANONIMO
	FullName string
	Street   string
	Civic    string
	Postcode string
	City     string
	Province string
	Country  string
	Email    string
}

// PSP is who took the money.
type PSP struct {
	ID         string // idPSP
	FiscalCode string
	VAT        string // pspPartitaIVA
	Name       string // PSPCompanyName
	Channel    string // idChannel
}

// Transfer is one credit of the receipt (ctTransferPA, ctTransferPAReceiptV2).
// Exactly one of IBAN and Stamp is set.
type Transfer struct {
	ID         int // 1 to 5
	Amount     money.Cents
	Creditor   string // fiscalCodePA
	Company    string
	IBAN       string
	Stamp      string // MBDAttachment, base64 as received: a revenue stamp (marca da bollo)
	Remittance string // remittanceInformation (causale)
	Category   string // transferCategory: taxonomy code
	Metadata   []Entry
}

// Entry is one key and value of metadata (mapEntry).
type Entry struct{ Key, Value string }

// Digest is the SHA-256 of the bytes a receipt arrived in.
func Digest(raw []byte) [sha256.Size]byte { return sha256.Sum256(raw) }

// Content is a digest of what the receipt says, the same whichever message
// version and XML style brought it. What only V2 can carry (paymentNote,
// bundles, the company of a transfer, primaryCiIncurredFee) is left out, so
// that a repetition of a V2 receipt as V1 is still a repetition.
func (r Receipt) Content() [sha256.Size]byte {
	r.PaymentNote, r.Bundle, r.CIBundle, r.CreditorFee = "", "", "", nil
	r.Transfers = append([]Transfer(nil), r.Transfers...)
	for i := range r.Transfers {
		r.Transfers[i].Company = ""
	}
	r.PaidAt = r.PaidAt.UTC()
	// Go marshals a struct in field order: the bytes are stable. No field can
	// fail to marshal.
	b, err := json.Marshal(r)
	if err != nil {
		panic("receipts: " + err.Error())
	}
	return sha256.Sum256(b)
}
