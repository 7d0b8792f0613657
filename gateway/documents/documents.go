// SPDX-License-Identifier: Apache-2.0

// Package documents prints payment notices (avvisi di pagamento, the "avviso
// analogico" of the official model) and, in the background, those of a whole
// class.
//
// A notice has the model's zones: who asks and who owes, how much and when,
// where to pay, the part for banks with its QR code and, when the school has a
// postal account with Poste's authorization, the postal slip with its Data
// Matrix. The model's logos belong to PagoPA and Poste: their names stand in
// their place.
//
// What a caller gets wrong: a print is what may be paid now. Whether a notice
// may be is asked of it when it is printed, not when printing was asked for; a
// paid one is never printed, lest it be paid twice.
package documents

import (
	"fmt"
	"io"
	"time"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/pdf"
	"github.com/nodogate/nodogate/iuv"
)

// Sheet is what one document asks for: a payment at once, one in instalments,
// or either, as the payer chooses.
type Sheet struct {
	School gateway.School
	Logo   *pdf.Picture // of the school; nil: none
	// Single is the payment at once (rata unica); nil: only in instalments.
	Single *gateway.Notice
	// Instalments are in the order they fall due.
	Instalments []gateway.Notice
	PayURL      string // where it can be paid online; empty: not said
	// Language stands beside Italian: de, en, fr or sl; empty: Italian alone.
	Language string
}

// MaxInstalments is how many instalments a document may have.
const MaxInstalments = 24

// Languages may stand beside Italian.
var Languages = []string{"de", "en", "fr", "sl"}

// Write prints a sheet. It fails with the gateway's error of a notice that may
// not be paid at now, and with gateway.ErrNotPrintable where an amount is more
// than the codes can say.
func Write(w io.Writer, s Sheet, now time.Time) error {
	n := s.first()
	if n == nil {
		return fmt.Errorf("print a notice: %w: nothing to pay", gateway.ErrNotPrintable)
	}
	b := NewBook("Avviso di pagamento "+n.Number.Grouped(), n.ChangedAt)
	if err := b.Add(s, now); err != nil {
		return err
	}
	return b.Write(w)
}

// Book is a document of many sheets, each beginning a page.
type Book struct {
	c     *pdf.Canvas
	trace *trace
}

// NewBook begins a document.
func NewBook(title string, created time.Time) *Book {
	return &Book{c: pdf.NewCanvas(pdf.Info{Title: title, Created: created})}
}

// Add prints one more sheet, or fails as [Write] does and adds nothing.
func (b *Book) Add(s Sheet, now time.Time) error {
	p := page{c: b.c, trace: b.trace, Sheet: s}
	if s.Language != "" {
		if p.other = second[s.Language]; p.other == nil {
			return fmt.Errorf("print a notice: %w: language %q", gateway.ErrNotPrintable, s.Language)
		}
	}
	if s.first() == nil || len(s.Instalments) > MaxInstalments {
		return fmt.Errorf("print a notice: %w: %d instalments", gateway.ErrNotPrintable, len(s.Instalments))
	}
	// All is checked and all codes are made before the first line is drawn.
	if s.Single != nil {
		var err error
		if p.single, err = p.slip(*s.Single, now); err != nil {
			return err
		}
	}
	for _, n := range s.Instalments {
		slip, err := p.slip(n, now)
		if err != nil {
			return err
		}
		p.instalments = append(p.instalments, slip)
	}
	b.c.Tag(pdf.Element{Role: pdf.RolePart}, p.print)
	return nil
}

// Write ends the document and writes it.
func (b *Book) Write(w io.Writer) error { return b.c.Write(w) }

func (s *Sheet) first() *gateway.Notice {
	switch {
	case s.Single != nil:
		return s.Single
	case len(s.Instalments) > 0:
		return &s.Instalments[0]
	}
	return nil
}

// slip is a notice with its codes.
type slip struct {
	gateway.Notice
	qr       pdf.Matrix
	postal   pdf.Matrix // empty: without a postal part
	codeline string
}

// hasPostal says whether the sheet has a postal part.
func (s *Sheet) hasPostal() bool {
	// Without Poste's authorization the school may not print slips.
	return s.School.Postal.Account != "" && s.School.Postal.Authorization != ""
}

func (p *page) slip(n gateway.Notice, now time.Time) (slip, error) {
	if err := n.Payable(now); err != nil {
		return slip{}, fmt.Errorf("print notice %s: %w", n.Number, err)
	}
	out := slip{Notice: n}
	text := iuv.QR(n.Number, string(n.School), int64(n.Amount))
	if text == "" {
		return slip{}, fmt.Errorf("print notice %s: %w: the amount does not fit its QR code", n.Number, gateway.ErrNotPrintable)
	}
	var err error
	if out.qr, err = pdf.QR(text); err != nil {
		return slip{}, fmt.Errorf("print notice %s: %w", n.Number, err)
	}
	if !p.hasPostal() {
		return out, nil
	}
	m := iuv.DataMatrix{
		Notice: n.Number, Account: p.School.Postal.Account, Cents: int64(n.Amount), Creditor: string(n.School),
		DebtorName: n.Debtor.Name, Subject: n.Description,
	}
	if n.Debtor.Code != gateway.Anonymous {
		m.DebtorCode = string(n.Debtor.Code)
	}
	if out.codeline, err = m.Codeline(); err == nil {
		if text, err = m.Text(); err == nil {
			out.postal, err = pdf.DataMatrix(text)
		}
	}
	if err != nil {
		// The error names no person: iuv's never repeat what they were given.
		return slip{}, fmt.Errorf("print notice %s: %w", n.Number, err)
	}
	return out, nil
}
