// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	htmltemplate "html/template"
	"net/mail"
	"slices"
	"strings"
	texttemplate "text/template"
	"time"
	"unicode"

	gomail "github.com/wneessen/go-mail"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/money"
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
	ReplyTo string // empty: nobody answers
	Date    time.Time
	Subject string
	Text    string
	HTML    string
}

// Names of mails about a notice. Stored and shown in a metric: never renamed.
const (
	templateIssued   = "notice_issued"
	templatePaid     = "notice_paid"
	templateReminder = "notice_reminder"
	templateRefunded = "notice_refunded"

	templateUnknown = "unknown" // in the metric only
)

// noticeMails are the mails about a notice, letters those to an address.
var (
	noticeMails   = []string{templateIssued, templatePaid, templateReminder, templateRefunded}
	letters       = []string{gateway.LetterEmailChange, gateway.LetterEmailChanged, gateway.LetterHelp, gateway.LetterHelpTaken}
	templateNames = slices.Concat(noticeMails, letters, accountMails)

	accountMails = func() (list []string) {
		for _, m := range gateway.AccountMails {
			list = append(list, string(m))
		}
		return list
	}()
)

// sendMail looks up what the row names and sends the mail; it says in template
// which one it was.
func (w *Worker) sendMail(ctx context.Context, m gateway.Message, template *string) (outcome, error) {
	var p mailPayload
	if json.Unmarshal(m.Payload, &p) != nil {
		return "", fmt.Errorf("mail: %w: unreadable payload", ErrPermanent)
	}
	if p.AccountMail != "" {
		*template = string(p.AccountMail)
		return w.sendAccountMail(ctx, m)
	}
	if slices.Contains(letters, p.Template) {
		*template = p.Template
		return w.sendLetter(ctx, m)
	}
	if p.Number.IsZero() {
		return "", fmt.Errorf("mail: %w: unreadable payload", ErrPermanent)
	}
	if !slices.Contains(noticeMails, p.Template) {
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
	wants, lang, err := w.cfg.Service.MailWishes(ctx, payers[i].Code)
	if err != nil {
		return "", err
	}
	if !wants {
		return dropped, nil // the family said no
	}
	if lang == "" {
		lang = payers[i].Language
	}
	f, _, err := w.facts(ctx, p, pupil)
	if err != nil || f == nil {
		return dropped, err
	}
	out := Mail{ID: m.ID, From: w.from, To: payers[i].Email, Date: m.At}
	if err := w.language(lang).noticeMail(p.Template, f, &out); err != nil {
		return "", err
	}
	return sent, w.cfg.Mailer.Send(ctx, out)
}

func (w *Worker) sendLetter(ctx context.Context, m gateway.Message) (outcome, error) {
	var l gateway.Letter
	if json.Unmarshal(m.Payload, &l) != nil || l.To == "" {
		return "", fmt.Errorf("mail: %w: unreadable payload", ErrPermanent)
	}
	out := Mail{ID: m.ID, From: w.from, To: l.To, ReplyTo: l.ReplyTo, Date: m.At}
	if err := w.language(l.Language).letter(l, &out); err != nil {
		return "", err
	}
	return sent, w.cfg.Mailer.Send(ctx, out)
}

// sendAccountMail sends a mail about an account: what it says is looked up, and
// its secrets made, only now.
func (w *Worker) sendAccountMail(ctx context.Context, m gateway.Message) (outcome, error) {
	var p gateway.AccountMailPayload
	if json.Unmarshal(m.Payload, &p) != nil {
		return "", fmt.Errorf("mail: %w: unreadable payload", ErrPermanent)
	}
	if !slices.Contains(gateway.AccountMails, p.Mail) {
		return "", errors.New("mail: unknown template") // of a newer version, perhaps
	}
	f, err := w.cfg.Service.AccountMailOf(ctx, p)
	if errors.Is(err, gateway.ErrNotFound) {
		return dropped, nil // it was used, or is over
	}
	if err != nil {
		return "", err
	}
	out := Mail{ID: m.ID, From: w.from, To: f.Email, Date: m.At}
	if err := w.language(f.Language).accountMail(p.Mail, f, &out); err != nil {
		return "", err
	}
	return sent, w.cfg.Mailer.Send(ctx, out)
}

func (w *Worker) language(code string) language {
	if l, ok := w.words[code]; ok {
		return l
	}
	return w.words[defaultLanguage]
}

// facts is all that a mail about a notice may show: no code and no surname of a
// person. Every text is one line.
type facts struct {
	School, SchoolCode string
	Child              string // first name; empty when it is addressed to the payer
	Description        string
	Amount             money.Cents
	Refunded           bool         // Amount is what goes back
	DueDate, PaidDate  gateway.Date // PaidDate is zero before
	Due                string       // as the language writes it
	Number             string       // in groups of four
	Link               string       // the notice's page, or the receipt's
	Help               string
}

// facts are nil when there is nothing to tell any more: nobody is asked to pay
// what was paid, cancelled or has expired since. With them comes the notice that
// they are of.
func (w *Worker) facts(ctx context.Context, p mailPayload, pupil gateway.Pupil) (*facts, gateway.Notice, error) {
	school, err := w.cfg.Service.School(ctx, p.School)
	if err != nil {
		return nil, gateway.Notice{}, fmt.Errorf("school: %w", err)
	}
	n, err := w.cfg.Service.Notice(ctx, p.School, p.Number)
	if err != nil {
		return nil, gateway.Notice{}, fmt.Errorf("notice: %w", err)
	}
	help := school.HelpText
	if help == "" {
		help = w.cfg.Service.HelpText()
	}
	f := facts{
		School: oneLine(school.Name), SchoolCode: string(school.Code), Child: oneLine(pupil.FirstName),
		Description: oneLine(n.Description), Amount: n.Amount, DueDate: n.DueDate,
		Number: n.Number.Grouped(), Help: oneLine(help),
		Link: w.cfg.Service.PublicURL("/avvisi/" + string(p.School) + "/" + p.Number.String()),
	}
	switch p.Template {
	case templateIssued, templateReminder:
		if n.Payable(w.cfg.Service.Now()) != nil {
			return nil, n, nil
		}
		if p.Template == templateReminder && n.Payment != nil {
			return nil, n, nil // it is being paid
		}
		return &f, n, nil
	case templateRefunded:
		r, err := w.cfg.Service.Refund(ctx, p.School, p.Refund)
		if err != nil {
			return nil, gateway.Notice{}, fmt.Errorf("refund: %w", err)
		}
		f.Amount, f.Refunded = r.Amount, true
		return &f, n, nil
	}
	r, err := w.cfg.Service.Receipt(ctx, p.School, p.Receipt)
	if err != nil {
		return nil, gateway.Notice{}, fmt.Errorf("receipt: %w", err)
	}
	f.Amount = r.Content.Amount // what was paid, not what was asked for
	f.PaidDate = gateway.DateIn(n.PaidAt)
	f.Link = w.cfg.Service.PublicURL("/pagamenti/" + string(p.School) + "/" + p.Receipt)
	return &f, n, nil
}

// oneLine keeps a text from breaking out of its line, in a header or in a mail.
func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r)
	}), " ")
}

// The structure of mails stands in templates/, their words in a folder for each
// language, named by its code: a block for each text.
//
//go:embed templates
var templates embed.FS

const defaultLanguage = "it"

// writing is how a language writes amounts and days.
type writing struct{ thousands, decimal, day string }

var writings = map[string]writing{
	"it": {".", ",", "02/01/2006"},
	"en": {",", ".", "2 Jan 2006"},
	"de": {".", ",", "02.01.2006"},
	"fr": {"\u00a0", ",", "02/01/2006"},
	"sl": {".", ",", "2. 1. 2006"},
}

// language is the mails in one language.
type language struct {
	code string
	writing
	words *texttemplate.Template
	text  *texttemplate.Template
	html  *htmltemplate.Template
}

func parseTemplates() (map[string]language, error) {
	text, err := texttemplate.New("").Option("missingkey=error").ParseFS(templates, "templates/mail.txt")
	if err != nil {
		return nil, err
	}
	html, err := htmltemplate.New("").Option("missingkey=error").ParseFS(templates, "templates/frame.html", "templates/mail.html")
	if err != nil {
		return nil, err
	}
	all := map[string]language{}
	for code, w := range writings {
		words, err := texttemplate.New("").Option("missingkey=error").ParseFS(templates, "templates/"+code+"/words.txt")
		if err != nil {
			return nil, err
		}
		all[code] = language{code, w, words, text, html}
	}
	return all, nil
}

func (l language) day(d gateway.Date) string {
	return time.Date(d.Year, d.Month, d.Day, 0, 0, 0, 0, time.UTC).Format(l.writing.day)
}

// say is one text of the language.
func (l language) say(name string, data any) (string, error) {
	var b strings.Builder
	err := l.words.ExecuteTemplate(&b, name, data)
	return b.String(), err
}

// view is what a mail shows, in words.
type view struct {
	Language, Top, Subject      string
	Title, Intro, Button, Outro string
	Link, Help                  string
	Facts                       []fact
	Body                        string // of a person, with its lines
	Footer                      []string
}

type fact struct {
	Label, Value string
	Figure       bool
}

// speaker gathers texts and keeps the first error.
type speaker struct {
	l    language
	data any
	err  error
}

func (s *speaker) say(name string) string {
	text, err := s.l.say(name, s.data)
	if err != nil && s.err == nil {
		s.err = err
	}
	return text
}

func (s *speaker) with(name string, data any) string {
	text, err := s.l.say(name, data)
	if err != nil && s.err == nil {
		s.err = err
	}
	return text
}

// frame is the part of a view that every mail has.
func (s *speaker) frame(name string) view {
	return view{
		Language: s.l.code, Subject: oneLine(s.say(name + ".subject")), Title: oneLine(s.say(name + ".title")),
		Intro: s.say(name + ".intro"), Button: s.say(name + ".button"), Outro: s.say(name + ".outro"),
	}
}

func (l language) noticeMail(name string, f *facts, m *Mail) error {
	v, err := l.noticeView(name, f)
	if err != nil {
		return err
	}
	return l.write(v, m)
}

func (l language) noticeView(name string, f *facts) (view, error) {
	f.Due = l.day(f.DueDate)
	s := &speaker{l: l, data: f}
	v := s.frame(name)
	v.Top, v.Link, v.Help = f.School, f.Link, s.say("help")
	add := func(key, value string) { v.Facts = append(v.Facts, fact{Label: s.say("fact." + key), Value: value}) }
	if f.Child != "" {
		add("for", f.Child)
	}
	add("reason", f.Description)
	digits := strings.NewReplacer(".", l.thousands, ",", l.decimal).Replace(f.Amount.Italian())
	amount := fact{Label: s.say("fact.amount"), Value: s.with("amount", digits), Figure: true}
	switch {
	case f.Refunded:
		amount.Label = s.say("fact.amount_refunded")
		v.Facts = append(v.Facts, amount)
	case f.PaidDate != (gateway.Date{}):
		amount.Label = s.say("fact.amount_paid")
		v.Facts = append(v.Facts, amount)
		add("paid_on", l.day(f.PaidDate))
	default:
		v.Facts = append(v.Facts, amount)
	}
	if !f.Refunded {
		add("due", f.Due)
	}
	add("number", f.Number)
	add("school", f.School)
	add("school_code", f.SchoolCode)
	v.Footer = []string{s.say("why"), s.say("automatic")}
	return v, s.err
}

func (l language) accountMail(name gateway.AccountMail, f gateway.AccountMailFacts, m *Mail) error {
	s := &speaker{l: l, data: struct{ School, Ticket string }{}}
	v := s.frame(string(name))
	v.Top, v.Link = s.say("site"), f.Link
	// Written as the ministry's portal does, whatever the language.
	var lines []string
	if f.Username != "" {
		lines = append(lines, "Username: "+f.Username)
	}
	if f.Password != "" {
		lines = append(lines, "Password: "+f.Password)
	}
	v.Body = strings.Join(lines, "\n")
	v.Footer = []string{s.say("account_why"), s.say("automatic")}
	if s.err != nil {
		return s.err
	}
	return l.write(v, m)
}

func (l language) letter(letter gateway.Letter, m *Mail) error {
	value := func(key string) string { return oneLine(letter.Values[key]) }
	s := &speaker{l: l, data: struct{ School, Ticket string }{value("school"), value("ticket")}}
	v := s.frame(letter.Template)
	v.Top, v.Link = s.say("site"), value("link")
	if letter.Template == gateway.LetterHelp {
		for _, key := range []string{"ticket", "topic", "school", "school_code", "from", "answer_to"} {
			name := map[string]string{"from": "name", "answer_to": "email"}[key]
			if name == "" {
				name = key
			}
			if text := value(name); text != "" {
				v.Facts = append(v.Facts, fact{Label: s.say("fact." + key), Value: text})
			}
		}
		v.Body = letter.Values["text"]
	} else {
		v.Footer = []string{s.say("automatic")}
	}
	if s.err != nil {
		return s.err
	}
	return l.write(v, m)
}

func (l language) write(v view, m *Mail) error {
	var text, html strings.Builder
	if err := l.text.ExecuteTemplate(&text, "mail", v); err != nil {
		return err
	}
	if err := l.html.ExecuteTemplate(&html, "frame", v); err != nil {
		return err
	}
	m.Subject, m.Text, m.HTML = v.Subject, text.String(), html.String()
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
	if m.ReplyTo != "" && msg.ReplyTo(m.ReplyTo) != nil {
		return nil, fmt.Errorf("%w: the address to answer to is not one", ErrPermanent)
	}
	msg.Subject(m.Subject)
	msg.SetDateWithValue(m.Date)
	msg.SetMessageIDWithValue(m.ID + m.From.Address[strings.LastIndexByte(m.From.Address, '@'):])
	// RFC 3834, section 5: keeps vacation programs from answering.
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	msg.SetBodyString(gomail.TypeTextPlain, m.Text)
	msg.AddAlternativeString(gomail.TypeTextHTML, m.HTML)
	return msg, nil
}
