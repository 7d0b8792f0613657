// SPDX-License-Identifier: Apache-2.0

package pdf

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/nodogate/nodogate/gateway/money"
	"github.com/nodogate/nodogate/gateway/pdf"
)

// Attestation says who paid what for whom (attestazione di pagamento): one
// payment, or a year of them for one pupil, as a tax return asks for.
type Attestation struct {
	Year     int // 0: of one payment
	Pupil    Person
	Payments []Payment // of one payment: exactly one
}

// Person is a name with its fiscal code; an empty code is not known.
type Person struct{ Name, Code string }

// Payment is one payment of an Attestation.
type Payment struct {
	School      School
	Number      string // notice number, grouped
	Description string
	Class       string
	PaidAt      time.Time
	Amount      money.Cents
	Payer       *Person // nil: neither the receipt nor the portal says who paid
	Method      string  // as Receipt.Method
	PSP         string
	ReceiptID   string
}

// ErrNoPayments says that there is nothing to attest.
var ErrNoPayments = errors.New("no payments to attest")

// WriteAttestation prints an Attestation. It fails with ErrNoPayments, when the
// sum is out of range, or when w fails.
func WriteAttestation(w io.Writer, a Attestation) error {
	if len(a.Payments) == 0 {
		return ErrNoPayments
	}
	var total money.Cents
	var err error
	last := a.Payments[0].PaidAt
	for _, p := range a.Payments {
		if total, err = total.Add(p.Amount); err != nil {
			return fmt.Errorf("sum of payments: %w", err)
		}
		if p.PaidAt.After(last) {
			last = p.PaidAt
		}
	}
	title := "Attestazione di pagamento"
	if a.Year != 0 {
		title = "Attestazione dei pagamenti " + strconv.Itoa(a.Year)
	}
	d := pdf.New(pdf.Info{Title: title, Created: last, Footer: title + " · " + a.Pupil.Name})
	d.Title(title)
	d.Space(1)
	d.Panel(
		pdf.Cell{Width: 90, Texts: []pdf.Text{{Style: pdf.Label, Text: "Pagato in totale"}, {Style: pdf.Figure, Text: euro(total)}}},
		pdf.Cell{Texts: append([]pdf.Text{{Style: pdf.Label, Text: "Per"}}, person(a.Pupil)...)},
	)
	if a.Year == 0 {
		single(d, a.Payments[0])
	} else {
		several(d, a.Payments)
	}
	d.Space(4)
	d.Panel(pdf.Cell{Texts: []pdf.Text{
		body("I pagamenti indicati risultano dalle ricevute telematiche conservate dalla scuola."), body(keep),
	}})
	d.Space(2)
	d.Paragraph(pdf.Fine, "Gli importi sono al netto dei rimborsi; la commissione del prestatore di servizi di pagamento non è compresa.")
	return d.Write(w)
}

func single(d *pdf.Document, p Payment) {
	d.Section("Pagamento")
	payer(d, p.Payer)
	d.Field("Ente creditore", body(p.School.Name), fine("codice fiscale "+p.School.Code))
	field(d, pdf.Body, "Causale", p.Description)
	field(d, pdf.Body, "Classe", p.Class)
	field(d, pdf.Code, "Codice avviso", p.Number)
	field(d, pdf.Body, "Data e ora del pagamento", moment(p.PaidAt))
	field(d, pdf.Body, "Metodo", method(p.Method))
	field(d, pdf.Body, "Prestatore di servizi di pagamento (PSP)", p.PSP)
	field(d, pdf.Code, "Identificativo univoco riscossione", p.ReceiptID)
}

func payer(d *pdf.Document, p *Person) {
	if p == nil {
		d.Field("Versante", body("non indicato nella ricevuta"))
		return
	}
	d.Field("Versante", person(*p)...)
}

func person(p Person) []pdf.Text {
	if p.Code == "" {
		return []pdf.Text{{Style: pdf.Strong, Text: p.Name}}
	}
	return []pdf.Text{{Style: pdf.Strong, Text: p.Name}, fine("codice fiscale " + p.Code)}
}

var paymentColumns = []pdf.Column{
	{Title: "Data", Width: 24},
	{Title: "Causale ed ente", Width: 70},
	{Title: "Versante", Width: 48},
	{Title: "Importo", Width: 28, Right: true},
}

func several(d *pdf.Document, payments []Payment) {
	d.Section("Pagamenti")
	rows := make([][][]pdf.Text, len(payments))
	for i, p := range payments {
		who := []pdf.Text{fine("non indicato")}
		if p.Payer != nil {
			who = []pdf.Text{body(p.Payer.Name)}
			if p.Payer.Code != "" {
				who = append(who, fine(p.Payer.Code))
			}
		}
		rows[i] = [][]pdf.Text{
			{body(p.PaidAt.In(rome).Format("02/01/2006")), fine(method(p.Method))},
			{body(p.Description), fine(p.School.Name), fine("codice fiscale " + p.School.Code), fine("avviso " + p.Number)},
			who,
			{{Style: pdf.Strong, Text: euro(p.Amount)}},
		}
	}
	d.Table(paymentColumns, rows)
}
