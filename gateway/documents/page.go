// SPDX-License-Identifier: Apache-2.0

package documents

import (
	"fmt"
	"strings"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/money"
	"github.com/nodogate/nodogate/gateway/pdf"
)

// The page, in millimetres ("Avviso analogico", allegato 2).
const (
	left     = 11.0
	width    = pdf.A4Width - 2*left
	right    = left + width
	half     = (width - 4) / 2 // of two columns
	column2  = right - half
	codeSide = 25.0 // of both codes
	bandHigh = 6.5
)

const (
	grey70 pdf.Color = 0x4d4d4d // 70 % black
	night  pdf.Color = 0x1b2430 // of the bands
)

var (
	wordmark  = pdf.Type{Face: pdf.Bold, Size: 19, Color: pdf.Accent}
	titleType = pdf.Type{Face: pdf.Bold, Size: 12.5, Color: pdf.Ink}
	titleToo  = pdf.Type{Face: pdf.Regular, Size: 10, Color: pdf.Muted}
	subject   = pdf.Type{Face: pdf.Bold, Size: 15, Color: pdf.Ink}
	bandType  = pdf.Type{Face: pdf.Bold, Size: 9.5, Color: pdf.White}
	bandToo   = pdf.Type{Face: pdf.Regular, Size: 8, Color: pdf.White}
	heading   = pdf.Type{Face: pdf.Bold, Size: 8.5, Color: pdf.Ink}
	name      = pdf.Type{Face: pdf.Bold, Size: 11, Color: pdf.Ink}
	text      = pdf.Type{Face: pdf.Regular, Size: 8.5, Color: pdf.Ink}
	textToo   = pdf.Type{Face: pdf.Regular, Size: 7.5, Color: pdf.Muted}
	fine      = pdf.Type{Face: pdf.Regular, Size: 7.5, Color: pdf.Muted}
	tag       = pdf.Type{Face: pdf.Regular, Size: 6.5, Color: pdf.Muted}
	value     = pdf.Type{Face: pdf.Regular, Size: 8.5, Color: pdf.Ink}
	strong    = pdf.Type{Face: pdf.Bold, Size: 8.5, Color: pdf.Ink}
	digits    = pdf.Type{Face: pdf.Mono, Size: 9.5, Color: pdf.Ink}
	figure    = pdf.Type{Face: pdf.Bold, Size: 21, Color: pdf.Ink}
	amountIn  = pdf.Type{Face: pdf.Bold, Size: 12.5, Color: pdf.Ink}
	codelines = pdf.Type{Face: pdf.Mono, Size: 9, Color: pdf.Ink}
	authority = pdf.Type{Face: pdf.Regular, Size: 6.5, Color: grey70}
)

// page draws one sheet.
type page struct {
	c     *pdf.Canvas
	trace *trace
	Sheet
	other       *words // the second language, or nil
	single      slip
	instalments []slip
}

// trace keeps what was drawn where, for the benchmark's page drawn by hand.
type trace struct{ drawn []func(*pdf.Canvas) }

func (p *page) draw(fn func(*pdf.Canvas)) {
	if p.trace != nil {
		p.trace.drawn = append(p.trace.drawn, fn)
	}
	fn(p.c)
}

func (p *page) text(x, y float64, t pdf.Type, s string) {
	p.draw(func(c *pdf.Canvas) { c.Text(x, y, t, s) })
}

func (p *page) textRight(x, y float64, t pdf.Type, s string) { p.text(x-t.Width(s), y, t, s) }

func (p *page) fill(x, y, w, h float64, color pdf.Color) {
	p.draw(func(c *pdf.Canvas) { c.Fill(x, y, w, h, color) })
}

func (p *page) rule(x1, y1, x2, y2, line float64, color pdf.Color) {
	p.draw(func(c *pdf.Canvas) { c.Rule(x1, y1, x2, y2, line, color) })
}

func (p *page) code(x, y float64, m pdf.Matrix, alt string) {
	p.draw(func(c *pdf.Canvas) { c.Modules(x, y, codeSide, m, alt) })
}

func (p *page) tag(role pdf.Role, fn func()) { p.c.Tag(pdf.Element{Role: role}, fn) }

// second draws what stands in the second language, if there is one.
func (p *page) inOther(fn func()) {
	if p.other != nil {
		p.c.Tag(pdf.Element{Role: pdf.RoleSpan, Lang: p.other.lang}, fn)
	}
}

// both prints a label on one line, the second language after it, both smaller
// where there is no room.
func (p *page) both(x, y, room float64, t, too pdf.Type, word func(*words) string) {
	s := word(&italian)
	if p.other == nil || word(p.other) == s {
		p.text(x, y, t.Fit(s, room, 4), s)
		return
	}
	o := "/ " + word(p.other)
	if w := t.Width(s) + 1 + too.Width(o); w > room {
		t.Size *= room / w
		too.Size *= room / w
	}
	p.text(x, y, t, s)
	p.inOther(func() { p.text(x+t.Width(s)+1, y, too, o) })
}

// lines prints at most so many lines and says where the next would stand.
func (p *page) lines(x, y, room, lead float64, t pdf.Type, s string, most int) float64 {
	for _, l := range t.WrapMost(s, room, most) {
		p.text(x, y, t, l)
		y += lead
	}
	return y
}

// paragraph prints a text in both languages, and says where the next would
// stand.
func (p *page) paragraph(x, y, room float64, word func(*words) string) float64 {
	p.tag(pdf.RoleParagraph, func() {
		y = p.lines(x, y, room, 3.5, text, word(&italian), 8)
		if p.other != nil {
			p.inOther(func() { y = p.lines(x, y, room, 3.1, textToo, word(p.other), 8) })
		}
	})
	return y + 0.8
}

// band is a title across the page, white on dark, with what stands at its right.
func (p *page) band(y float64, word func(*words) string, aside func(x float64)) float64 {
	p.fill(left, y, width, bandHigh, night)
	p.tag(pdf.RoleH2, func() { p.both(left+2.5, y+4.55, 108, bandType, bandToo, word) })
	if aside != nil {
		aside(right - 2.5)
	}
	return y + bandHigh
}

// field is a small label above a value, and says where the next would stand.
func (p *page) field(x, y, room float64, t pdf.Type, word func(*words) string, v string, most int) float64 {
	p.tag(pdf.RoleParagraph, func() {
		p.both(x, y, room, tag, tag, word)
		if t.Face == pdf.Mono || most == 1 {
			t = t.Fit(v, room, 5) // a code that is cut is none
		}
		if t.Face == pdf.Mono {
			p.text(x, y+3.6, t, v)
			y += 3.6 + 3.5
			return
		}
		y = p.lines(x, y+3.6, room, 3.5, t, v, most)
	})
	return y + 0.6
}

func (p *page) print() {
	p.front()
	if p.Single != nil {
		p.zones(p.single)
	} else {
		p.list()
	}
	p.plan()
}

// who is the debtor's name; whoever has only the codes of a notice is not told.
func who(d gateway.Debtor) string {
	if d.Name == "" {
		return "non indicato"
	}
	return d.Name
}

func (s *slip) who() string { return who(s.Debtor) }

// label says which payment of its plan a notice is.
func (s *slip) label(w *words) string {
	if s.Instalment == 0 {
		return w.single
	}
	return fmt.Sprintf(w.instalment, s.Instalment, s.PlanParts)
}

// front is the upper part of the first page: it ends above bankTop.
func (p *page) front() {
	p.newPage()
	first := p.first()

	// Who asks, who owes, for what.
	p.header(18)
	room := width
	if p.Logo != nil {
		room -= 34
	}
	p.tag(pdf.RoleParagraph, func() {
		lines := subject.WrapMost(first.Description, room, 2)
		t, lead := subject, 6.3
		if len(subject.Wrap(first.Description, room)) > 2 { // longer than the model allows, yet said whole
			t.Size, lead = 11, 4.7
			lines = t.WrapMost(first.Description, room, 3)
		}
		for i, l := range lines {
			p.text(left, 29+float64(i)*lead, t, l)
		}
	})
	if p.Logo != nil {
		p.draw(func(c *pdf.Canvas) { c.Picture(right-30, 8, 30, p.Logo, "Logo: "+p.School.Name) })
	}
	p.rule(left, 42, right, 42, 0.3, night)
	p.parties(46.5)

	air := 0.0
	if p.other == nil {
		air = 3 // one language leaves room
	}
	y := p.band(70.5+air, func(w *words) string { return w.howMuch }, nil)
	y = max(p.howMuch(y+4+air/2), p.when(y+4+air/2)) + 1 + air
	y = p.band(y, func(w *words) string { return w.where }, func(x float64) {
		p.tag(pdf.RoleParagraph, func() {
			t := bandToo
			p.textRight(x, y+4.45, t, italian.channels)
		})
	})
	y += 4.6 + air/2
	end := max(p.online(y), p.counter(y)) + air/2
	p.rule(left, end, right, end, 0.2, pdf.Line)
	p.paragraph(left, end+4.2, width, func(w *words) string {
		if p.Single == nil {
			return w.plan
		}
		if len(p.instalments) > 0 {
			return w.orPlan
		}
		return w.choose
	})
}

func (p *page) newPage() {
	p.draw(func(c *pdf.Canvas) { c.Page(pdf.A4Width, pdf.A4Height) })
}

// header is the model's first line.
func (p *page) header(y float64) {
	p.tag(pdf.RoleH1, func() {
		p.text(left, y, wordmark, "pagoPA")
		x := left + wordmark.Width("pagoPA") + 3
		p.rule(x, y-5.5, x, y+1, 0.3, pdf.Muted)
		p.text(x+3, y, titleType, italian.title)
		p.inOther(func() { p.text(x+5+titleType.Width(italian.title), y, titleToo, "/ "+p.other.title) })
	})
}

func (p *page) parties(y float64) {
	s, d := p.School, p.first().Debtor
	p.party(left, y, func(w *words) string { return w.creditor }, string(s.Code), s.Name, s.HelpText)
	code, class := string(d.Code), ""
	if d.Code == gateway.Anonymous {
		code = ""
	}
	if d.Class != "" {
		class = italian.class + " " + d.Class
	}
	p.party(column2, y, func(w *words) string { return w.addressee }, code, who(d), class)
}

func (p *page) party(x, y float64, word func(*words) string, code, who, more string) {
	p.tag(pdf.RoleSection, func() {
		p.tag(pdf.RoleParagraph, func() {
			room := half
			if code != "" {
				// The number itself is never made smaller.
				label := italian.code
				w := fine.Width(label) + 1 + digits.Width(code)
				room -= w + 2
				p.both(x, y, room, heading, fine, word)
				p.text(x+half-w, y, fine, label)
				p.textRight(x+half, y, digits, code)
				return
			}
			p.both(x, y, room, heading, fine, word)
		})
		p.rule(x, y+1.6, x+half, y+1.6, 0.2, pdf.Line)
		t, lead, left := name, 4.6, 3
		if len(name.Wrap(who, half)) > 2 {
			t.Size, lead, left = 8.5, 3.5, 2
		}
		p.tag(pdf.RoleParagraph, func() { y = p.lines(x, y+6.2, half, lead, t, who, 3) })
		if more != "" {
			p.tag(pdf.RoleParagraph, func() { p.lines(x, y, half, 3.1, fine, more, left) })
		}
	})
}

// howMuch is the amount and its last day.
func (p *page) howMuch(y float64) float64 {
	amount, due := p.first().Amount, p.first().DueDate
	if p.Single == nil {
		amount = 0
		for _, n := range p.instalments {
			amount += n.Amount // each at most money.Max, of at most 24
		}
	}
	p.tag(pdf.RoleParagraph, func() {
		s := euro(amount)
		p.text(left, y+5, figure.Fit(s, 58, 9), s)
		p.both(left, y+10.5, 58, fine, fine, func(w *words) string {
			if p.Single == nil {
				return w.firstDue
			}
			return w.due
		})
		p.text(left, y+16, amountIn, due.Italian())
	})
	return y + 18.5
}

// when is what to know of it.
func (p *page) when(y float64) float64 {
	x, room := left+62, width-62
	y = p.paragraph(x, y+1.2, room, func(w *words) string { return w.varies })
	return p.paragraph(x, y, room, func(w *words) string {
		if p.first().PayableAfterDue {
			return w.late
		}
		return w.tooLate
	})
}

func (p *page) online(y float64) float64 {
	p.tag(pdf.RoleH3, func() { p.both(left, y, half, heading, fine, func(w *words) string { return w.online }) })
	return p.paragraph(left, y+4, half, func(w *words) string {
		s := w.onlineText
		if p.PayURL != "" {
			s = w.onlineAt + " " + p.PayURL + ", " + s
		} else {
			s = strings.ToUpper(s[:1]) + s[1:]
		}
		if p.School.CBILL != "" {
			s += " " + w.cbillToo
		}
		return s
	})
}

func (p *page) counter(y float64) float64 {
	p.tag(pdf.RoleH3, func() { p.both(column2, y, half, heading, fine, func(w *words) string { return w.counter }) })
	return p.paragraph(column2, y+4, half, func(w *words) string {
		s := w.counterPlaces
		if p.hasPostal() {
			s += " " + w.atPost
		}
		return s + ". " + w.counterText
	})
}

func euro(c money.Cents) string { return c.Italian() + " €" }

// Where the zones of a page with one payment begin.
const (
	bankTop   = 159.0
	postalTop = 216.0
)

// zones are the parts for banks and for the post of one payment.
func (p *page) zones(s slip) {
	p.bank(bankTop, s)
	if p.hasPostal() {
		p.cut(postalTop - 4)
		p.post(postalTop, s)
	}
}

// cut is where scissors go.
func (p *page) cut(y float64) {
	p.draw(func(c *pdf.Canvas) { c.Dashes(left, y, right, y, 0.2, 1.6, 1.2, pdf.Muted) })
}

// dueAside prints which payment it is and its last day, at the right of a band.
func (p *page) dueAside(y float64, s slip) func(x float64) {
	return func(x float64) {
		p.tag(pdf.RoleParagraph, func() {
			by := italian.due + " " + s.DueDate.Italian()
			w := bandType.Width(by)
			l := s.label(&italian)
			lw := bandType.Width(l)
			start := x - w - 4 - lw
			p.text(start, y+4.55, bandType, l)
			p.text(x-w, y+4.55, bandType, by)
		})
	}
}

// bank is the part for banks and all other channels, the page's width.
func (p *page) bank(y float64, s slip) {
	p.tag(pdf.RoleSection, func() {
		top := y
		y = p.band(y, func(w *words) string { return w.banks }, p.dueAside(top, s))
		p.paragraph(left, y+5, 44, func(w *words) string {
			if p.School.CBILL != "" {
				return w.banksCBILL
			}
			return w.banksText
		})
		p.code(left+52, y+4, s.qr, "Codice QR per pagare l'avviso "+s.Number.Grouped())

		x := left + 84
		room := right - x
		next := p.field(x, y+5, room-38, strong, func(w *words) string { return w.person }, s.who(), 2)
		p.amount(right, y+5, s)
		next = p.field(x, max(next, y+13.5), room, value, func(w *words) string { return w.creditorIn }, p.School.Name, 2)
		next = p.field(x, max(next, y+22), room, value, func(w *words) string { return w.subject }, s.Description, 2)
		p.numbers(x, max(next, y+36), s)
	})
}

// amount is the label and the amount, against the right.
func (p *page) amount(x, y float64, s slip) {
	p.tag(pdf.RoleParagraph, func() {
		v := euro(s.Amount)
		t := amountIn.Fit(v, 36, 6)
		p.textRight(x, y, tag, italian.amount)
		p.textRight(x, y+4.8, t, v)
	})
}

// numbers are what is typed where no camera helps.
func (p *page) numbers(x, y float64, s slip) {
	p.field(x, y, 47, digits, func(w *words) string { return w.noticeCode }, s.Number.Grouped(), 1)
	p.field(x+49, y, 41, digits, func(w *words) string { return w.creditorCode }, string(s.School), 1)
	if p.School.CBILL != "" {
		p.field(x+92, y, right-x-92, digits, func(*words) string { return "CBILL" }, p.School.CBILL, 1)
	}
}

// post is the postal slip, the page's width.
func (p *page) post(y float64, s slip) {
	postal := p.School.Postal
	p.tag(pdf.RoleSection, func() {
		top := y
		y = p.band(y, func(w *words) string { return w.postal }, p.dueAside(top, s))
		p.paragraph(left, y+5, 44, func(w *words) string { return w.postalText })
		p.tag(pdf.RoleParagraph, func() { p.lines(left, y+57, 46, 2.7, authority, postal.Authorization, 2) })

		x, room := left+52, 104.0
		end := x + room
		p.field(x, y+5, 46, digits, func(w *words) string { return w.account }, postal.Account, 1)
		p.amount(end, y+5, s)
		next := p.field(x, y+13.5, room, value, func(w *words) string { return w.holder }, postal.Holder, 1)
		next = p.field(x, next+0.8, room, strong, func(w *words) string { return w.person }, s.who(), 1)
		next = p.field(x, next+0.8, room, value, func(w *words) string { return w.subject }, s.Description, 2)
		next = max(next+0.8, y+44)
		p.field(x, next, 47, digits, func(w *words) string { return w.noticeCode }, s.Number.Grouped(), 1)
		p.field(x+49, next, 41, digits, func(w *words) string { return w.creditorCode }, string(s.School), 1)
		p.field(x+92, next, 12, digits, func(*words) string { return "Tipo" }, "P1", 1)
		p.tag(pdf.RoleParagraph, func() {
			p.textRight(right, y+62, codelines, s.codeline)
		})
		p.code(right-codeSide-1, y+8, s.postal, "Data Matrix per pagare il bollettino postale")
	})
}

// list is what is to pay and when, on the first page of a plan without a
// payment at once.
func (p *page) list() {
	y := p.band(bankTop, func(w *words) string { return w.rates }, nil) + 5
	lead := min(6.0, 110/float64(len(p.instalments)+1))
	cells := func(role pdf.Role, print func(i int)) {
		p.tag(pdf.RoleRow, func() {
			for i := range 4 {
				p.tag(role, func() { print(i) })
			}
		})
	}
	at := [4]float64{left, left + 42, left + 72, right}
	p.tag(pdf.RoleTable, func() {
		cells(pdf.RoleHead, func(i int) {
			switch i {
			case 0:
				p.both(at[0], y, 40, fine, fine, func(*words) string { return "N." })
			case 1:
				p.both(at[1], y, 28, fine, fine, func(w *words) string { return w.overleaf })
			case 2:
				p.both(at[2], y, 60, fine, fine, func(w *words) string { return w.noticeCode })
			case 3:
				p.textRight(at[3], y, fine, italian.amount)
			}
		})
		p.rule(left, y+1.6, right, y+1.6, 0.2, pdf.Line)
		y += 1.2
		for _, s := range p.instalments {
			y += lead
			cells(pdf.RoleCell, func(i int) {
				switch i {
				case 0:
					p.text(at[0], y, strong, s.label(&italian))
				case 1:
					p.text(at[1], y, value, s.DueDate.Italian())
				case 2:
					p.text(at[2], y, digits, s.Number.Grouped())
				case 3:
					p.textRight(at[3], y, strong, euro(s.Amount))
				}
			})
		}
	})
}

// plan is the pages of the instalments, two or three on each.
func (p *page) plan() {
	rest := p.instalments
	for len(rest) > 0 {
		n := perPage(len(rest))
		p.newPage()
		p.header(16)
		p.tag(pdf.RoleParagraph, func() {
			p.lines(left, 22, width, 4, strong, p.first().Description, 1)
			p.lines(left, 26.2, width, 4, value, who(p.first().Debtor), 1)
		})
		const begin, end = 31.0, 289.0
		high := (end - begin) / float64(n)
		for i, s := range rest[:n] {
			y := begin + float64(i)*high
			if i > 0 {
				p.cut(y - 2)
			}
			switch {
			case !p.hasPostal():
				p.bank(y, s)
			case n < 3:
				p.bank(y, s)
				p.cut(y + 54)
				p.post(y+56, s)
			default:
				p.block(y, s)
			}
		}
		rest = rest[n:]
	}
}

// perPage is how many of the instalments left go on the next page: three, but
// never such that one stays alone.
func perPage(left int) int {
	switch left {
	case 1, 2:
		return left
	case 4:
		return 2
	}
	return 3
}

// block is one of three instalments of a page: the part for banks at the left,
// the postal slip at its right.
func (p *page) block(y float64, s slip) {
	p.tag(pdf.RoleSection, func() {
		p.fill(left, y, width, bandHigh, night)
		p.tag(pdf.RoleH2, func() { p.both(left+2.5, y+4.55, 70, bandType, bandToo, s.label) })
		p.tag(pdf.RoleParagraph, func() {
			p.textRight(right-2.5, y+4.55, bandType, euro(s.Amount)+"   "+italian.due+" "+s.DueDate.Italian())
		})
		y += bandHigh + 4.5
		p.tag(pdf.RoleH3, func() {
			p.both(left, y, half, heading, fine, func(w *words) string { return w.banks })
		})
		p.code(left+3, y+5, s.qr, "Codice QR per pagare l'avviso "+s.Number.Grouped())
		x := left + 33
		inner := half - 33
		next := p.field(x, y+5, inner, strong, func(w *words) string { return w.person }, s.who(), 2)
		next = p.field(x, next+0.6, inner, value, func(w *words) string { return w.creditorIn }, p.School.Name, 2)
		next = p.field(x, next+0.6, inner, value, func(w *words) string { return w.subject }, s.Description, 3)
		next = p.field(x, next+0.6, inner, digits, func(w *words) string { return w.noticeCode }, s.Number.Grouped(), 1)
		p.field(x, next+0.6, 36, digits, func(w *words) string { return w.creditorCode }, string(s.School), 1)
		if p.School.CBILL != "" {
			p.field(x+39, next+0.6, 20, digits, func(*words) string { return "CBILL" }, p.School.CBILL, 1)
		}
		p.rule(column2-2, y-2.5, column2-2, y+64, 0.2, pdf.Line)
		p.slip896(y, s)
	})
}

// slip896 is the postal slip in half the page's width.
func (p *page) slip896(y float64, s slip) {
	postal := p.School.Postal
	x, inner := column2+1, half-1-codeSide-6
	p.tag(pdf.RoleH3, func() { p.both(x, y, half, heading, fine, func(w *words) string { return w.postal }) })
	next := p.field(x, y+5, inner, digits, func(w *words) string { return w.account }, postal.Account, 1)
	next = p.field(x, next+0.6, inner, value, func(w *words) string { return w.holder }, postal.Holder, 2)
	next = p.field(x, next+0.6, inner, strong, func(w *words) string { return w.person }, s.who(), 2)
	next = p.field(x, next+0.6, inner, value, func(w *words) string { return w.subject }, s.Description, 3)
	next = p.field(x, next+0.6, inner, digits, func(w *words) string { return w.noticeCode }, s.Number.Grouped(), 1)
	p.field(x, next+0.6, 36, digits, func(w *words) string { return w.creditorCode }, string(s.School), 1)
	p.field(x+39, next+0.6, 14, digits, func(*words) string { return "Tipo" }, "P1", 1)
	p.tag(pdf.RoleParagraph, func() {
		t := codelines.Fit(s.codeline, half-1, 4)
		p.text(x, next+11.5, t, s.codeline)
	})
	p.tag(pdf.RoleParagraph, func() { p.lines(right-codeSide-2, y+38, codeSide+2, 2.7, authority, postal.Authorization, 4) })
	p.code(right-codeSide-1, y+5, s.postal, "Data Matrix per pagare il bollettino postale")
}
