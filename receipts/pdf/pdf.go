// SPDX-License-Identifier: Apache-2.0

// Package pdf prints a telematic receipt as the sheet a family keeps (ricevuta
// di pagamento).
//
// It prints what the receipt says and adds nothing: whether the payment settles
// a notice is the gateway's to decide, and the receipt in law is the one that
// was received, whose digest stands at the end. What a caller gets wrong: the
// output depends on the Document only, so it need not be stored.
package pdf

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/nodogate/nodogate/gateway/money"
	"github.com/nodogate/nodogate/gateway/pdf"
	"github.com/nodogate/nodogate/receipts"
)

// Document is all that the sheet shows.
type Document struct {
	ID       string // the receipt's id with us
	School   School // in whose archive it is
	Receipt  receipts.Receipt
	Received time.Time         // when it came; zero is left out
	Channel  string            // who told: node, psp or connector
	Digest   [sha256.Size]byte // of the receipt as received; zero is left out
}

// School is the letterhead.
type School struct {
	Name string
	Code string // fiscal code
	Help string // whom a family may ask; may be empty
}

// ErrNotPaid says that the receipt's outcome is not OK: there is no payment to
// attest.
var ErrNotPaid = errors.New("receipt does not say that a payment was made")

// Write prints the document. It fails with ErrNotPaid, when amount and fee are
// out of range together, or when w fails.
func Write(w io.Writer, doc Document) error {
	r := doc.Receipt
	if r.Outcome != "OK" {
		return ErrNotPaid
	}
	total := r.Amount
	if r.Fee != nil {
		var err error
		if total, err = r.Amount.Add(*r.Fee); err != nil {
			return fmt.Errorf("amount and fee: %w", err)
		}
	}
	created := r.PaidAt
	if created.IsZero() {
		created = doc.Received
	}
	d := pdf.New(pdf.Info{
		Title:   "Ricevuta di pagamento " + r.Notice.Grouped(),
		Created: created,
		Footer:  doc.School.Name + " · ricevuta " + doc.ID,
	})

	d.Title("Ricevuta di pagamento")
	d.Space(1)
	d.Paragraph(pdf.Strong, doc.School.Name)
	d.Paragraph(pdf.Fine, "Codice fiscale "+doc.School.Code)

	// Without a fee in the receipt nobody knows what the PSP charged.
	paid := "Importo pagato"
	if r.Fee != nil {
		paid = "Totale pagato"
	}
	when := "non indicate nella ricevuta"
	if !r.PaidAt.IsZero() {
		when = moment(r.PaidAt)
	}
	d.Space(1)
	d.Panel(
		pdf.Cell{Width: 90, Texts: []pdf.Text{{Style: pdf.Label, Text: paid}, {Style: pdf.Figure, Text: euro(total)}}},
		pdf.Cell{Texts: []pdf.Text{{Style: pdf.Label, Text: "Data e ora del pagamento"}, {Style: pdf.Strong, Text: when}}},
	)

	d.Section("Avviso di pagamento")
	field(d, pdf.Code, "Codice avviso", r.Notice.Grouped())
	field(d, pdf.Code, "IUV", r.CreditorReferenceID)
	field(d, pdf.Body, "Causale", r.Description)
	d.Field("Ente creditore", body(r.CompanyName), fine(r.OfficeName), fine("codice fiscale "+r.Creditor))
	d.Field("Intestatario", subject(r.Debtor)...)
	if r.Payer != nil {
		d.Field("Versante", subject(*r.Payer)...)
	}

	d.Section("Pagamento")
	if r.Fee != nil {
		field(d, pdf.Body, "Importo dell'avviso", euro(r.Amount))
		field(d, pdf.Body, "Commissione", euro(*r.Fee))
	}
	field(d, pdf.Body, "Metodo", method(r.Method))
	d.Field("Prestatore di servizi di pagamento (PSP)", body(r.PSP.Name), fine("identificativo "+r.PSP.ID))
	field(d, pdf.Code, "Identificativo univoco riscossione", r.ID)
	field(d, pdf.Body, "Data di accredito", day(r.TransferDate))
	if !doc.Received.IsZero() {
		field(d, pdf.Body, "Ricevuta acquisita", moment(doc.Received))
	}

	if len(r.Transfers) > 1 || stamped(r.Transfers) {
		d.Section("Ripartizione dell'importo")
		d.Table(columns, transfers(r))
	}

	d.Space(4)
	d.Panel(pdf.Cell{Texts: []pdf.Text{body(attests(doc.Channel)), body(keep)}})
	d.Space(2)
	d.Paragraph(pdf.Fine, doc.School.Help)
	if doc.Digest != ([sha256.Size]byte{}) {
		d.Space(2)
		d.Paragraph(pdf.Small, "Impronta SHA-256 della ricevuta originale")
		d.Paragraph(pdf.Digest, hex.EncodeToString(doc.Digest[:]))
	}
	return d.Write(w)
}

// keep is modest on purpose: whether an expense may be deducted depends on its
// kind, its year and how it was paid (art. 15 TUIR), which is not ours to say.
const keep = "Conservala: può servire per la detrazione fiscale, nei casi previsti dalla legge."

// attests is what the sheet proves. A receipt made with a PSP linked straight
// to the school's gateway did not pass through the national node.
func attests(channel string) string {
	by := "tramite il prestatore di servizi di pagamento indicato"
	if channel == "node" {
		by = "tramite il sistema pagoPA"
	}
	return "Questa ricevuta attesta il pagamento dell'avviso indicato, eseguito " + by + "."
}

var columns = []pdf.Column{
	{Title: "Beneficiario", Width: 66},
	{Title: "Accredito", Width: 74},
	{Title: "Importo", Width: 30, Right: true},
}

func transfers(r receipts.Receipt) [][][]pdf.Text {
	var rows [][][]pdf.Text
	for _, t := range r.Transfers {
		name := t.Company
		if name == "" && t.Creditor == r.Creditor { // V1 names the creditor only once
			name = r.CompanyName
		}
		account := pdf.Text{Style: pdf.Code, Text: grouped(t.IBAN)}
		if t.Stamp != "" {
			account = body("marca da bollo digitale")
		}
		rows = append(rows, [][]pdf.Text{
			{body(name), fine("codice fiscale " + t.Creditor)},
			{account, fine(t.Remittance)},
			{{Style: pdf.Body, Text: euro(t.Amount)}},
		})
	}
	return rows
}

func stamped(transfers []receipts.Transfer) bool {
	for _, t := range transfers {
		if t.Stamp != "" {
			return true
		}
	}
	return false
}

// subject names a person or an organisation, and no more than the sheet needs:
// addresses stay in the receipt.
func subject(s receipts.Subject) []pdf.Text {
	code := "codice fiscale " + s.ID
	switch {
	case s.ID == "ANONIMO": // SANP: the payer need not say who he is
		code = "codice fiscale non indicato"
	case s.Type == "G":
		code = "codice fiscale o partita IVA " + s.ID
	}
	return []pdf.Text{body(s.FullName), fine(code)}
}

// methods are the codes of sendPaymentOutcome (nodeForPsp.xsd) and those of the
// platform's catalogues that say something to a family. The list is open.
var methods = map[string]string{
	"cash":       "contanti",
	"creditCard": "carta di pagamento",
	"bancomat":   "bancomat",
	"other":      "altro",
	"BBT":        "bonifico bancario",
	"BP":         "bollettino postale",
	"AD":         "addebito diretto",
	"CP":         "carta di pagamento",
	"PO":         "presso il prestatore di servizi di pagamento",
	"OBEP":       "home banking",
	"JIF":        "Bancomat Pay",
	"BPAY":       "Bancomat Pay",
	"MYBK":       "MyBank",
	"PPAL":       "PayPal",
	"APPL":       "Apple Pay",
	"PPAY":       "PostePay",
}

func method(code string) string {
	if words, ok := methods[code]; ok {
		return words
	}
	return code
}

// field leaves out what the receipt does not say.
func field(d *pdf.Document, style pdf.Style, name, value string) {
	if value != "" {
		d.Field(name, pdf.Text{Style: style, Text: value})
	}
}

func body(s string) pdf.Text { return pdf.Text{Style: pdf.Body, Text: s} }
func fine(s string) pdf.Text { return pdf.Text{Style: pdf.Fine, Text: s} }

func euro(c money.Cents) string { return "€ " + c.Italian() }

// grouped is an IBAN as people read it, in groups of four.
func grouped(iban string) string {
	var b strings.Builder
	for i := 0; i < len(iban); i += 4 {
		b.WriteString(iban[i:min(i+4, len(iban))] + " ")
	}
	return b.String()
}

// rome is where families look at the clock.
var rome = func() *time.Location {
	loc, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		// cmd embeds time/tzdata, so only a broken build can get here.
		panic("receipts/pdf: no time zone data: " + err.Error())
	}
	return loc
}()

var months = [...]string{"gennaio", "febbraio", "marzo", "aprile", "maggio", "giugno",
	"luglio", "agosto", "settembre", "ottobre", "novembre", "dicembre"}

// italian is a day with the month in words, so that no reader takes it for
// another's order of day and month.
func italian(t time.Time) string {
	return strconv.Itoa(t.Day()) + " " + months[t.Month()-1] + " " + strconv.Itoa(t.Year())
}

func moment(t time.Time) string {
	t = t.In(rome)
	return italian(t) + ", ore " + t.Format("15:04:05")
}

// day reads an xs:date, which may carry a zone. What is none is shown as it is.
func day(date string) string {
	if t, err := time.Parse(time.DateOnly, date[:min(len(date), len(time.DateOnly))]); err == nil {
		return italian(t)
	}
	return date
}
