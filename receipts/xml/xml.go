// SPDX-License-Identifier: Apache-2.0

// Package xml turns the receipt of a pagoPA message into a receipts.Receipt
// and back.
//
// Messages are gateway/pagopa's; whether a receipt contradicts itself is asked
// of receipts.Check.
//
// What a caller gets wrong: what is written from a receipt that was read is
// not what was received. The bytes that prove a payment are the received ones.
package xml

import (
	"errors"
	"fmt"
	"time"

	"github.com/nodogate/nodogate/gateway/pagopa"
	"github.com/nodogate/nodogate/gateway/soap"
	"github.com/nodogate/nodogate/iuv"
	"github.com/nodogate/nodogate/receipts"
)

// ErrNoReceipt says that a message carries no receipt.
var ErrNoReceipt = errors.New("message carries no receipt")

// maxID is how long a receiptId may be. The schema sets no limit, but it is
// the paymentToken, of at most 35 characters, and the key it is stored under:
// one too long for an index would be refused by the database for ever.
const maxID = 255

// rome is where a paymentDateTime without a zone was written.
var rome = loadRome()

func loadRome() *time.Location {
	loc, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		// cmd embeds time/tzdata, so only a broken build can get here.
		panic(err)
	}
	return loc
}

// Parse reads the receipt in a whole SOAP request, paSendRT or paSendRTV2, for
// example in stored bytes. Besides ErrNoReceipt and the errors of FromMessage
// those of soap.Parse and pagopa.ReadPaForNode come through.
func Parse(raw []byte) (receipts.Receipt, error) {
	env, err := soap.Parse(raw)
	if err != nil {
		return receipts.Receipt{}, err
	}
	m, err := pagopa.ReadPaForNode(env)
	if err != nil {
		return receipts.Receipt{}, err
	}
	request, ok := m.(pagopa.SendRTRequest)
	if !ok {
		return receipts.Receipt{}, ErrNoReceipt
	}
	return FromMessage(request.Receipt)
}

// FromMessage makes a receipt of a message that was read. What the schema
// allows and a receipt cannot be is receipts.ErrInconsistent: a notice number
// with aux digit 4 to 9, a receiptId that is empty or overlong.
func FromMessage(m pagopa.Receipt) (receipts.Receipt, error) {
	number, err := iuv.Parse(m.NoticeNumber)
	if err != nil {
		return receipts.Receipt{}, fmt.Errorf("%w: %w", receipts.ErrInconsistent, err)
	}
	if m.ID == "" || len(m.ID) > maxID {
		return receipts.Receipt{}, fmt.Errorf("%w: a receiptId of %d bytes", receipts.ErrInconsistent, len(m.ID))
	}
	r := receipts.Receipt{
		ID:                  m.ID,
		Notice:              number,
		Creditor:            m.CreditorCode,
		Outcome:             m.Outcome,
		CreditorReferenceID: m.CreditorReferenceID,
		Amount:              m.Amount,
		Description:         m.Description,
		CompanyName:         m.CompanyName,
		OfficeName:          m.OfficeName,
		Debtor:              receipts.Subject(m.Debtor),
		PSP: receipts.PSP{
			ID: m.PSPID, FiscalCode: m.PSPFiscalCode, VAT: m.PSPVAT, Name: m.PSPName, Channel: m.Channel,
		},
		ChannelDescription: m.ChannelDescription,
		Method:             m.Method,
		PaymentNote:        m.PaymentNote,
		Fee:                m.Fee,
		CreditorFee:        m.CreditorFee,
		Bundle:             m.Bundle,
		CIBundle:           m.CIBundle,
		ApplicationDate:    m.ApplicationDate,
		TransferDate:       m.TransferDate,
		Metadata:           entries[receipts.Entry](m.Metadata),
		StandIn:            m.StandIn,
	}
	for _, t := range m.Transfers {
		r.Transfers = append(r.Transfers, receipts.Transfer{
			ID: t.ID, Amount: t.Amount, Creditor: t.Creditor, Company: t.Company, IBAN: t.IBAN, Stamp: t.Stamp,
			Remittance: t.Remittance, Category: t.Category, Metadata: entries[receipts.Entry](t.Metadata),
		})
	}
	if m.Payer != nil {
		payer := receipts.Subject(*m.Payer)
		r.Payer = &payer
	}
	if m.PaidAt != "" {
		at, err := pagopa.ParseDateTime(m.PaidAt, rome)
		if err != nil {
			return receipts.Receipt{}, fmt.Errorf("paymentDateTime: %w", err)
		}
		r.PaidAt = at.UTC().Truncate(time.Microsecond)
	}
	return r, nil
}

// Write writes the SOAP request that brings a receipt to a creditor, a
// paSendRTV2. Parse reads it back.
func Write(to pagopa.Target, r receipts.Receipt) []byte {
	return soap.AppendEnvelope(nil, pagopa.SendRTRequest{Version: 2, Target: to, Receipt: ToMessage(r)}.Append)
}

// ToMessage is the inverse of FromMessage. The time of payment is written in Rome's time with
// its zone, so that it is read right by those too who do not look at the zone.
func ToMessage(r receipts.Receipt) pagopa.Receipt {
	m := pagopa.Receipt{
		ID:                  r.ID,
		NoticeNumber:        r.Notice.String(),
		CreditorCode:        r.Creditor,
		Outcome:             r.Outcome,
		CreditorReferenceID: r.CreditorReferenceID,
		Amount:              r.Amount,
		Description:         r.Description,
		CompanyName:         r.CompanyName,
		OfficeName:          r.OfficeName,
		Debtor:              pagopa.Subject(r.Debtor),
		PSPID:               r.PSP.ID,
		PSPFiscalCode:       r.PSP.FiscalCode,
		PSPVAT:              r.PSP.VAT,
		PSPName:             r.PSP.Name,
		Channel:             r.PSP.Channel,
		ChannelDescription:  r.ChannelDescription,
		Method:              r.Method,
		PaymentNote:         r.PaymentNote,
		Fee:                 r.Fee,
		CreditorFee:         r.CreditorFee,
		Bundle:              r.Bundle,
		CIBundle:            r.CIBundle,
		ApplicationDate:     r.ApplicationDate,
		TransferDate:        r.TransferDate,
		Metadata:            entries[pagopa.Entry](r.Metadata),
		StandIn:             r.StandIn,
	}
	for _, t := range r.Transfers {
		m.Transfers = append(m.Transfers, pagopa.Transfer{
			ID: t.ID, Amount: t.Amount, Creditor: t.Creditor, Company: t.Company, IBAN: t.IBAN, Stamp: t.Stamp,
			Remittance: t.Remittance, Category: t.Category, Metadata: entries[pagopa.Entry](t.Metadata),
		})
	}
	if r.Payer != nil {
		payer := pagopa.Subject(*r.Payer)
		m.Payer = &payer
	}
	if !r.PaidAt.IsZero() {
		m.PaidAt = r.PaidAt.In(rome).Format(time.RFC3339Nano)
	}
	return m
}

// entries converts metadata; both packages' entries are the same struct.
func entries[To, From ~struct{ Key, Value string }](from []From) []To {
	var to []To
	for _, e := range from {
		to = append(to, To(e))
	}
	return to
}
