// SPDX-License-Identifier: Apache-2.0

package documents

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/pdf"
)

// Letters are invitations to the portal (lettere con il codice di invito), a page
// each, to be handed to families by the school. What is printed is the only copy
// of the codes.
type Letters struct {
	School gateway.School
	Logo   *pdf.Picture // of the school; nil: none
	// Register is where a family begins, with the portal's address.
	Register string
	// Class, when not empty, puts a list to hand the letters out by before them.
	Class   string
	List    gateway.Invitations
	Created time.Time
}

// The letter's columns, in millimetres.
const (
	letterLeft  = 22.0
	letterWidth = pdf.A4Width - 2*letterLeft
	letterRight = letterLeft + letterWidth
	windowLeft  = 112.0 // where the window of a DL envelope is
)

var (
	letterTitle = pdf.Type{Face: pdf.Bold, Size: 19, Color: pdf.Accent}
	letterText  = pdf.Type{Face: pdf.Regular, Size: 10.5, Color: pdf.Ink}
	letterBold  = pdf.Type{Face: pdf.Bold, Size: 10.5, Color: pdf.Ink}
	letterSmall = pdf.Type{Face: pdf.Regular, Size: 9, Color: pdf.Ink}
	letterHead  = pdf.Type{Face: pdf.Bold, Size: 10, Color: pdf.Accent}
	letterFine  = pdf.Type{Face: pdf.Regular, Size: 9, Color: pdf.Muted}
	letterCode  = pdf.Type{Face: pdf.Mono, Size: 24, Color: pdf.Ink}
)

// WriteLetters prints letters. The same letters give the same bytes.
func WriteLetters(w io.Writer, l Letters) error {
	title := "Codice di invito al portale dei pagamenti"
	if l.Class != "" {
		title = "Codici di invito, classe " + l.Class
	}
	b := letters{Letters: l, c: pdf.NewCanvas(pdf.Info{Title: title, Created: l.Created})}
	if l.Class != "" {
		b.handOut()
	}
	for _, i := range l.List.Letters {
		if err := b.letter(i); err != nil {
			return err
		}
	}
	return b.c.Write(w)
}

// letters draws them.
type letters struct {
	Letters
	c *pdf.Canvas
}

func (b *letters) tag(role pdf.Role, fn func()) { b.c.Tag(pdf.Element{Role: role}, fn) }

// lines prints a text and says where the next would stand.
func (b *letters) lines(x, y, room, lead float64, t pdf.Type, s string) float64 {
	return b.c.Lines(x, y, lead*pdf.MM, t, t.Wrap(s, room))
}

// head is the school's, at the upper edge; it says where the text may begin.
func (b *letters) head() {
	b.c.Page(pdf.A4Width, pdf.A4Height)
	b.c.Fill(0, 0, pdf.A4Width, 3, pdf.Accent)
	room := letterWidth
	if b.Logo != nil {
		room -= 36
		b.c.Picture(letterRight-28, 12, 28, b.Logo, "Logo: "+b.School.Name)
	}
	b.tag(pdf.RoleParagraph, func() {
		y := 20.0
		for _, s := range name.WrapMost(b.School.Name, room, 2) {
			b.c.Text(letterLeft, y, name, s)
			y += 5
		}
		b.c.Text(letterLeft, y, letterFine, strings.Join(nonEmpty(b.School.Town, italian.code+" "+string(b.School.Code)), " · "))
	})
}

func nonEmpty(list ...string) []string {
	var out []string
	for _, s := range list {
		if s != "" {
			out = append(out, s)
		}
	}
	return out
}

func (b *letters) letter(i gateway.Invited) error {
	other := letterWords[i.Payer.Language]
	address := b.Register
	if other != nil {
		address += "?lang=" + i.Payer.Language
	}
	qr, err := pdf.LinkQR(address)
	if err != nil {
		return fmt.Errorf("print an invitation: %w", err)
	}
	b.tag(pdf.RolePart, func() {
		b.head()
		who := i.Payer.FirstName + " " + i.Payer.LastName
		b.tag(pdf.RoleParagraph, func() {
			b.c.Text(windowLeft, 52, letterFine, "Riservata personale")
			y := b.lines(windowLeft, 57.5, letterRight-windowLeft, 5, letterBold, who)
			if about := pupilsOf(i); about != "" {
				b.lines(windowLeft, y, letterRight-windowLeft, 4.2, letterFine, about)
			}
		})
		b.tag(pdf.RoleH1, func() { b.c.Text(letterLeft, 88, letterTitle, letterItalian.title) })
		y := b.paragraph(96, letterText, 5, letterItalian.why)

		// The code, alone on its ground: it is copied by hand.
		const high = 30.0
		b.c.Fill(letterLeft, y, letterWidth, high, pdf.Tint)
		b.c.Fill(letterLeft, y, 1.2, high, pdf.Accent)
		b.tag(pdf.RoleParagraph, func() {
			b.c.Text(letterLeft+7, y+7.5, letterFine, letterItalian.field)
			b.c.Text(letterLeft+7, y+18, letterCode, i.Code)
			b.c.Text(letterLeft+7, y+25.5, letterBold, fmt.Sprintf(letterItalian.until, pdf.LongDate(i.Until.Add(-time.Microsecond).In(gateway.Rome()))))
		})
		y += high + 10

		b.tag(pdf.RoleH2, func() { b.c.Text(letterLeft, y, letterHead, letterItalian.what) })
		y += 6.5
		const side = 27.0
		qrTop := y - 3.5
		b.c.Modules(letterRight-side, qrTop, side, qr, "Codice QR: "+address)
		for n, s := range letterItalian.steps {
			if n == 0 {
				s = fmt.Sprintf(s, b.Register)
			}
			b.tag(pdf.RoleParagraph, func() {
				b.c.Text(letterLeft, y, letterBold, fmt.Sprintf("%d.", n+1))
				y = b.lines(letterLeft+7, y, letterWidth-7-side-6, 5, letterText, s)
			})
			y += 1.5
		}
		y = max(y, qrTop+side+4) + 1
		y = b.paragraph(y, letterText, 5, letterItalian.care)
		if b.School.HelpText != "" {
			y = b.paragraph(y, letterFine, 4.2, letterItalian.help+" "+b.School.HelpText)
		}
		if other == nil {
			return
		}
		b.c.Rule(letterLeft, y-1, letterRight, y-1, 0.2, pdf.Line)
		b.c.Tag(pdf.Element{Role: pdf.RoleSection, Lang: i.Payer.Language}, func() {
			b.tag(pdf.RoleH2, func() { b.c.Text(letterLeft, y+5, letterHead, other.title) })
			y += 10
			y = b.paragraph(y, letterSmall, 4.1, other.why+" "+fmt.Sprintf(other.until, i.LastDay().Italian()))
			for n, s := range other.steps {
				if n == 0 {
					s = fmt.Sprintf(s, b.Register)
				}
				b.tag(pdf.RoleParagraph, func() {
					b.c.Text(letterLeft, y, letterSmall, fmt.Sprintf("%d.", n+1))
					y = b.lines(letterLeft+6, y, letterWidth-6, 4.1, letterSmall, s)
				})
				y += 0.6
			}
			b.paragraph(y+0.6, letterSmall, 4.1, other.care)
		})
	})
	return nil
}

func (b *letters) paragraph(y float64, t pdf.Type, lead float64, s string) float64 {
	b.tag(pdf.RoleParagraph, func() { y = b.lines(letterLeft, y, letterWidth, lead, t, s) })
	return y + 2
}

// pupilsOf says for whom somebody is invited; nothing when it is for itself.
func pupilsOf(i gateway.Invited) string {
	var list []string
	for _, p := range i.Pupils {
		if p.Code == i.Payer.Code {
			continue
		}
		s := p.FirstName + " " + p.LastName
		if p.Class != "" {
			s += ", " + strings.ToLower(italian.class) + " " + p.Class
		}
		list = append(list, s)
	}
	if len(list) == 0 {
		return ""
	}
	return "per " + strings.Join(list, "; ")
}

// The columns of the list.
var handOutColumns = []struct {
	title string
	at    float64
}{{"Destinatario", letterLeft}, {"Per", letterLeft + 54}, {"Consegnata il", letterLeft + 108}, {"Firma", letterLeft + 132}}

const (
	handOutRow  = 9.0
	handOutLast = 276.0
)

// handOut is the list that the letters are handed out by.
func (b *letters) handOut() {
	b.tag(pdf.RolePart, func() {
		b.head()
		b.tag(pdf.RoleH1, func() {
			b.c.Text(letterLeft, 46, letterTitle, "Lettere da consegnare, classe "+b.Class)
		})
		y := b.paragraph(54, letterText, 5, "Consegna ogni lettera solo alla persona a cui è intestata: il codice dentro prova chi è. Ogni codice vale una volta sola. Una lettera persa si annulla e si rifà dalla segreteria. Questo elenco resta alla scuola.")
		if len(b.List.Letters) > 0 {
			first := b.List.Letters[0]
			y = b.paragraph(y, letterText, 5, fmt.Sprintf("Lettere: %d. I codici valgono fino al %s compreso.", len(b.List.Letters), pdf.LongDate(first.Until.Add(-time.Microsecond).In(gateway.Rome()))))
			y = b.table(y + 2)
		}
		if len(b.List.Proven) == 0 {
			return
		}
		if y > handOutLast-25 {
			b.head()
			y = 42
		}
		y += 4
		b.tag(pdf.RoleH2, func() { b.c.Text(letterLeft, y+6, letterHead, "Già collegati al portale: nessuna lettera") })
		y += 13
		for _, p := range b.List.Proven {
			if y > handOutLast {
				b.head()
				y = 42
			}
			b.tag(pdf.RoleParagraph, func() { b.c.Text(letterLeft, y, letterText, fit(letterText, p.FirstName+" "+p.LastName, letterWidth)) })
			y += 5.5
		}
	})
}

// fit cuts a text to one line.
func fit(t pdf.Type, s string, room float64) string {
	if lines := t.WrapMost(s, room, 1); len(lines) > 0 {
		return lines[0]
	}
	return ""
}

// table lists the letters, and says where the next thing would stand.
func (b *letters) table(y float64) float64 {
	head := func() {
		for _, c := range handOutColumns {
			b.tag(pdf.RoleHead, func() { b.c.Text(c.at, y, letterFine, c.title) })
		}
		y += 2
		b.c.Rule(letterLeft, y, letterRight, y, 0.3, pdf.Muted)
	}
	b.tag(pdf.RoleTable, func() {
		b.tag(pdf.RoleRow, head)
		for _, i := range b.List.Letters {
			if y+handOutRow > handOutLast {
				b.c.Ornament(b.head)
				y = 42
				b.c.Ornament(head) // heard once is enough
			}
			b.tag(pdf.RoleRow, func() {
				// Who signs needs room: what does not fit is made smaller, then cut.
				cell := func(n int, t pdf.Type, s string) {
					room := handOutColumns[n+1].at - handOutColumns[n].at - 3
					t = t.Fit(s, room, 7)
					b.tag(pdf.RoleCell, func() { b.c.Text(handOutColumns[n].at, y+6, t, fit(t, s, room)) })
				}
				cell(0, letterBold, i.Payer.FirstName+" "+i.Payer.LastName)
				cell(1, letterText, strings.TrimPrefix(pupilsOf(i), "per "))
				for range handOutColumns[2:] {
					b.tag(pdf.RoleCell, func() {})
				}
			})
			y += handOutRow
			b.c.Rule(letterLeft, y, letterRight, y, 0.2, pdf.Line)
		}
	})
	return y
}

// Letters prints invitations of a school, for the edges; those of a class with a
// list to hand them out by.
func (p *Printer) Letters(school gateway.School, class string, list gateway.Invitations) ([]byte, error) {
	if school.HelpText == "" {
		school.HelpText = p.cfg.Service.HelpText()
	}
	var b bytes.Buffer
	err := WriteLetters(&b, Letters{
		School: school, Logo: p.logo(school.Code), Register: p.cfg.Service.PublicURL("/registrazione"), Class: class, List: list, Created: p.cfg.Service.Now(),
	})
	return b.Bytes(), err
}
