// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	htmltemplate "html/template"
	"io/fs"
	"net/mail"
	"path"
	"slices"
	"strings"
	texttemplate "text/template"
	"time"
	"unicode"

	gomail "github.com/wneessen/go-mail"

	"github.com/nodogate/nodogate/gateway"
)

// Mailer hands a mail over. An error that wraps ErrPermanent is not tried again;
// no error says anything of the recipient, for it is logged.
type Mailer interface {
	Send(ctx context.Context, m Mail) error
}

// Mail is a mail that is ready to go.
type Mail struct {
	ID      string // of the outbox row: the same on each try
	From    mail.Address
	To      string
	Date    time.Time
	Subject string
	Text    string
	HTML    string
}

// Names of mails. Stored and shown in a metric: never renamed.
const (
	templateIssued = "notice_issued"
	templatePaid   = "notice_paid"

	templateUnknown = "unknown" // in the metric only
)

var templateNames = []string{templateIssued, templatePaid}

// sendMail looks up what the row names and sends the mail; it says in template
// which one it was.
func (w *Worker) sendMail(ctx context.Context, m gateway.Message, template *string) (outcome, error) {
	var p mailPayload
	if json.Unmarshal(m.Payload, &p) != nil || p.Number.IsZero() {
		return "", fmt.Errorf("mail: %w: unreadable payload", ErrPermanent)
	}
	if !slices.Contains(templateNames, p.Template) {
		return "", errors.New("mail: unknown template") // of a newer version, perhaps
	}
	*template = p.Template
	payers, pupil, err := w.cfg.Outbox.PayersOf(ctx, p.School, p.Number)
	if err != nil {
		return "", err
	}
	i := slices.IndexFunc(payers, func(y gateway.Payer) bool { return y.ID == p.Payer })
	if i < 0 || payers[i].Email == "" {
		return dropped, nil // the school has ended the link, or has no address any more
	}
	f, err := w.facts(ctx, p, pupil)
	if err != nil || f == nil {
		return dropped, err
	}
	words, ok := w.words[payers[i].Language]
	if !ok {
		words = w.words[defaultLanguage]
	}
	out := Mail{ID: m.ID, From: w.from, To: payers[i].Email, Date: m.At}
	if err := words.render(p.Template, f, &out); err != nil {
		return "", err
	}
	return sent, w.cfg.Mailer.Send(ctx, out)
}

// facts is all that a mail may show: no code and no surname of a person. Every
// text is one line.
type facts struct {
	School, SchoolCode string
	Child              string // first name; empty when it is addressed to the payer
	Description        string
	Amount             string
	Due                string
	Number             string // in groups of four
	Link               string // the notice's page, or the receipt's
	PaidOn             string
	Help               string
}

// facts are nil when there is nothing to tell any more: nobody is asked to pay
// what was paid, cancelled or has expired since.
func (w *Worker) facts(ctx context.Context, p mailPayload, pupil gateway.Pupil) (*facts, error) {
	school, err := w.cfg.Service.School(ctx, p.School)
	if err != nil {
		return nil, fmt.Errorf("school: %w", err)
	}
	n, err := w.cfg.Service.Notice(ctx, p.School, p.Number)
	if err != nil {
		return nil, fmt.Errorf("notice: %w", err)
	}
	help := school.HelpText
	if help == "" {
		help = w.cfg.Service.HelpText()
	}
	f := facts{
		School: oneLine(school.Name), SchoolCode: string(school.Code), Child: oneLine(pupil.FirstName),
		Description: oneLine(n.Description), Amount: n.Amount.Italian(), Due: n.DueDate.Italian(),
		Number: n.Number.Grouped(), Help: oneLine(help),
	}
	if p.Template == templateIssued {
		f.Link = w.cfg.Service.PublicURL("/avvisi/" + string(p.School) + "/" + p.Number.String())
		if n.Payable(w.cfg.Service.Now()) != nil {
			return nil, nil
		}
		return &f, nil
	}
	r, err := w.cfg.Service.Receipt(ctx, p.School, p.Receipt)
	if err != nil {
		return nil, fmt.Errorf("receipt: %w", err)
	}
	f.Amount = r.Content.Amount.Italian() // what was paid, not what was asked for
	f.PaidOn = gateway.DateIn(n.PaidAt).Italian()
	f.Link = w.cfg.Service.PublicURL("/pagamenti/" + string(p.School) + "/" + p.Receipt)
	return &f, nil
}

// oneLine keeps a text from breaking out of its line, in a header or in a mail.
func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r)
	}), " ")
}

// A folder for each language, named by its code, with the same files in each: a
// text and an HTML template for each mail, and what they share. The frame of the
// HTML is the same for all.
//
//go:embed templates
var templates embed.FS

const defaultLanguage = "it"

// language is the mails in one language.
type language struct {
	code string
	text map[string]*texttemplate.Template
	html map[string]*htmltemplate.Template
}

func parseTemplates() (map[string]language, error) {
	words := map[string]language{}
	folders, err := fs.Glob(templates, "templates/??")
	if err != nil {
		return nil, err
	}
	for _, folder := range folders {
		l := language{path.Base(folder), map[string]*texttemplate.Template{}, map[string]*htmltemplate.Template{}}
		for _, name := range templateNames {
			l.text[name], err = texttemplate.New("").Option("missingkey=error").
				ParseFS(templates, folder+"/shared.txt", folder+"/"+name+".txt")
			if err != nil {
				return nil, err
			}
			l.html[name], err = htmltemplate.New("").Option("missingkey=error").
				ParseFS(templates, "templates/frame.html", folder+"/shared.html", folder+"/"+name+".html")
			if err != nil {
				return nil, err
			}
		}
		words[l.code] = l
	}
	return words, nil
}

// render writes subject and body. The text template says the subject too.
func (l language) render(name string, f *facts, m *Mail) error {
	data := struct {
		*facts
		Language, Subject string
	}{f, l.code, ""}
	var subject, text, html strings.Builder
	if err := l.text[name].ExecuteTemplate(&subject, "subject", data); err != nil {
		return err
	}
	data.Subject = oneLine(subject.String())
	if err := l.text[name].ExecuteTemplate(&text, "mail", data); err != nil {
		return err
	}
	if err := l.html[name].ExecuteTemplate(&html, "frame", data); err != nil {
		return err
	}
	m.Subject, m.Text, m.HTML = data.Subject, text.String(), html.String()
	return nil
}

// message is the mail as RFC 5322 writes it, both bodies in multipart/alternative.
func (m Mail) message() (*gomail.Msg, error) {
	msg := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	// The library's errors quote the address.
	if msg.To(m.To) != nil {
		return nil, fmt.Errorf("%w: the address is not one", ErrPermanent)
	}
	msg.FromMailAddress(&m.From)
	msg.Subject(m.Subject)
	msg.SetDateWithValue(m.Date)
	msg.SetMessageIDWithValue(m.ID + m.From.Address[strings.LastIndexByte(m.From.Address, '@'):])
	// RFC 3834, section 5: keeps vacation programs from answering.
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	msg.SetBodyString(gomail.TypeTextPlain, m.Text)
	msg.AddAlternativeString(gomail.TypeTextHTML, m.HTML)
	return msg, nil
}
