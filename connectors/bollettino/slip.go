// SPDX-License-Identifier: Apache-2.0

package bollettino

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/pdf"
	"github.com/nodogate/nodogate/iuv"
)

// The sheet and a slip on it, in millimetres. A slip is two receipts side by
// side: the payer keeps the left one, the right one goes with the money.
const (
	perSheet   = 2
	firstSlip  = 36.0
	slipStep   = 122.0
	slipHeight = 112.0
	slipLeft   = 10.0
	slipWidth  = pdf.A4Width - 2*slipLeft
	cut        = slipLeft + 68 // between the receipts
	padding    = 3.5
	matrixSize = 25.0 // "avviso analogico", Data Matrix: 25x25 mm
	matrixRoom = matrixSize + 5
)

// seventy is the ink of the authorisation: 70 % of black ("avviso analogico").
const seventy pdf.Color = 0x4d4d4d

var (
	title  = pdf.Type{Face: pdf.Bold, Size: 16, Color: pdf.Ink}
	advice = pdf.Type{Face: pdf.Regular, Size: 9, Color: pdf.Ink}
	head   = pdf.Type{Face: pdf.Bold, Size: 9.5, Color: pdf.Black}
	name   = pdf.Type{Face: pdf.Regular, Size: 6.5, Color: seventy}
	value  = pdf.Type{Face: pdf.Regular, Size: 9, Color: pdf.Black}
	strong = pdf.Type{Face: pdf.Bold, Size: 12, Color: pdf.Black}
	code   = pdf.Type{Face: pdf.Mono, Size: 9, Color: pdf.Black}
	line   = pdf.Type{Face: pdf.Mono, Size: 10, Color: pdf.Black}
	small  = pdf.Type{Face: pdf.Regular, Size: 6.5, Color: seventy}
)

// Print writes postal bulletins (bollettino postale PA, TD 896) for a post
// office's counter, one slip for each notice, two on a sheet. What stands on them
// is that of "avviso analogico" for the postal part; the amount in words is not
// among it. The schools must print (gateway.School.Prints).
func Print(w io.Writer, bulletins []gateway.Bulletin) error {
	if len(bulletins) == 0 {
		return errors.New("print bulletins: there are none")
	}
	var newest time.Time
	for _, b := range bulletins {
		if b.Notice.ChangedAt.After(newest) {
			newest = b.Notice.ChangedAt
		}
	}
	c := pdf.NewCanvas(pdf.Info{Title: "Bollettino postale PA", Created: newest})
	for i, b := range bulletins {
		s, err := newSlip(b)
		if err != nil {
			return fmt.Errorf("print bulletin: %w", err)
		}
		if i%perSheet == 0 {
			sheet(c)
		}
		s.draw(c, firstSlip+float64(i%perSheet)*slipStep)
	}
	return c.Write(w)
}

// sheet begins a page.
func sheet(c *pdf.Canvas) {
	c.Page(pdf.A4Width, pdf.A4Height)
	c.Tag(pdf.Element{Role: pdf.RoleH1}, func() { c.Text(slipLeft, 17, title, "Bollettino postale PA") })
	c.Tag(pdf.Element{Role: pdf.RoleParagraph}, func() {
		c.Lines(slipLeft, 23.5, 12, advice, advice.Wrap("Si paga allo sportello di un ufficio postale: porta il foglio intero. Ogni bollettino paga un avviso, "+
			"una volta sola: se nel frattempo lo paghi in un altro modo, non usarlo. La commissione dello sportello è a parte.", slipWidth))
	})
}

// slip is one bulletin, ready to be drawn.
type slip struct {
	gateway.Bulletin
	codeline string
	matrix   pdf.Matrix
}

func newSlip(b gateway.Bulletin) (slip, error) {
	if !b.School.Prints() || b.Notice.Amount > gateway.MaxBulletin {
		return slip{}, gateway.ErrNoBulletin
	}
	d := iuv.DataMatrix{
		Notice: b.Notice.Number, Account: b.School.Postal.Account, Cents: int64(b.Notice.Amount), Creditor: string(b.School.Code),
		DebtorCode: string(b.Notice.Debtor.Code), DebtorName: b.Notice.Debtor.Name, Subject: b.Notice.Description,
	}
	s := slip{Bulletin: b}
	var err error
	if s.codeline, err = d.Codeline(); err != nil {
		return slip{}, err
	}
	text, err := d.Text()
	if err != nil {
		return slip{}, err
	}
	s.matrix, err = pdf.DataMatrix(text)
	return s, err
}

func (s slip) draw(c *pdf.Canvas, top float64) {
	c.Tag(pdf.Element{Role: pdf.RoleSection}, func() {
		c.Ornament(func() {
			c.Frame(slipLeft, top, slipWidth, slipHeight, 0.2, pdf.Line)
			c.Dashes(cut, top, cut, top+slipHeight, 0.25, 2, 1.5, seventy)
			// Who listens hears the other receipt, which says the same and more.
			s.receipt(c, slipLeft+padding, top, cut-slipLeft-2*padding, "Ricevuta di versamento")
		})
		left, width := cut+padding, slipLeft+slipWidth-cut-2*padding
		s.receipt(c, left, top, width, "Ricevuta di accredito")
		c.Tag(pdf.Element{Role: pdf.RoleParagraph}, func() {
			c.TextRight(left+width, top+6.5, head, "TD 896   Tipo P1")
			c.TextRight(left+width, top+10, small, s.School.Postal.Authorization)
		})
		c.Modules(left+width-matrixSize-1, top+slipHeight-17-matrixSize, matrixSize, s.matrix,
			"Data Matrix del bollettino: ripete i dati stampati, per il lettore dello sportello")
		c.Ornament(func() { c.Rule(left, top+slipHeight-13, left+width, top+slipHeight-13, 0.2, pdf.Line) })
		c.Tag(pdf.Element{Role: pdf.RoleParagraph}, func() { c.Text(left, top+slipHeight-6, line, s.codeline) })
	})
}

// receipt is one of the two; its lower right corner stays free for the Data
// Matrix where there is room beside the texts.
func (s slip) receipt(c *pdf.Canvas, x, top, width float64, what string) {
	n, school := s.Notice, s.School
	c.Tag(pdf.Element{Role: pdf.RoleH2}, func() { c.Text(x, top+6.5, head, what) })
	y := top + 13
	field := func(label string, t pdf.Type, lines ...string) {
		c.Tag(pdf.Element{Role: pdf.RoleParagraph}, func() {
			c.Text(x, y, name, label)
			y = c.Lines(x, y+4.2, 11, t, lines) + 1.6
		})
	}
	beside := func(first, second func()) {
		left, up := x, y
		first()
		x, y = left+32, up
		second()
		x = left
	}
	beside(func() { field("sul C/C n.", code, school.Postal.Account) },
		func() { field("di Euro", strong, pdf.Amount(int64(n.Amount))) })
	field("intestato a", value, value.WrapMost(school.Postal.Holder, width, 2)...)
	narrow := min(width, slipLeft+slipWidth-cut-2*padding-matrixRoom) // beside the Data Matrix
	field("oggetto del pagamento", value, value.WrapMost(n.Description, width, 2)...)
	field("codice avviso", code, pdf.Grouped(n.Number.String()))
	field("ente creditore", value, value.WrapMost(school.Name, narrow, 2)...)
	if n.Debtor.Name != "" { // on a guest's it is not
		field("destinatario", value, value.WrapMost(n.Debtor.Name, narrow, 1)...)
	}
	beside(func() { field("scadenza", value, n.DueDate.Italian()) },
		func() { field("codice fiscale ente", code, string(school.Code)) })
}
