// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/mail"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// EmailChange is an address that waits to be confirmed by the link sent to it.
type EmailChange struct {
	Account   string
	Token     [sha256.Size]byte // digest of what stands in the link
	Email     string
	ExpiresAt time.Time
}

// emailLinkLife is how long a link in a mail can be used.
const emailLinkLife = 24 * time.Hour

// Letter is the JSON of an outbox row of kind "mail" that is not about a notice:
// it goes to an address, not to a payer. What it says is its template's.
type Letter struct {
	Template string            `json:"template"`
	To       string            `json:"to"`
	ReplyTo  string            `json:"reply_to,omitempty"`
	Language string            `json:"language"`
	Values   map[string]string `json:"values"`
}

// Names of letters. Stored and shown in a metric: never renamed.
const (
	LetterEmailChange  = "email_change"
	LetterEmailChanged = "email_changed"
	LetterHelp         = "help_request"
	LetterHelpTaken    = "help_taken" // to who asked
)

func (s *Service) letter(tx Tx, aggregate string, l Letter) error {
	payload, err := json.Marshal(l)
	if err != nil {
		panic("gateway: " + err.Error()) // strings always marshal
	}
	return tx.Enqueue(Message{ID: s.newID(), Kind: "mail", Aggregate: aggregate, Payload: payload, At: s.clock.Now()})
}

// checkEmail is an address as mail.ParseAddress takes it, without a name.
func checkEmail(email, field string, bad *Invalid) string {
	email = strings.TrimSpace(email)
	if a, err := mail.ParseAddress(email); err != nil || a.Address != email || len(email) > 254 {
		bad.Add(field, "format", "give an e-mail address")
	}
	return email
}

// AskEmailChange sends a link to a new address; until it is used nothing
// changes. ErrCredentials: the password is wrong.
func (s *Service) AskEmailChange(ctx context.Context, id, password, email string) error {
	var bad Invalid
	email = checkEmail(email, "email", &bad)
	if err := bad.Err(); err != nil {
		return err
	}
	if err := s.checkOwner(ctx, id, password); err != nil {
		return err
	}
	token := s.newID()
	return s.store.Update(ctx, func(tx Tx) error {
		a, err := tx.Account(id)
		if err != nil {
			return err
		}
		err = tx.PutEmailChange(EmailChange{Account: id, Token: sha256.Sum256([]byte(token)), Email: email, ExpiresAt: s.clock.Now().Add(emailLinkLife)})
		if err != nil {
			return err
		}
		return s.letter(tx, "account/"+id, Letter{Template: LetterEmailChange, To: email, Language: a.Language, Values: map[string]string{
			"link": s.PublicURL("/area-riservata/email") + "?token=" + url.QueryEscape(token),
		}})
	})
}

// EmailOf is the address that a link would confirm; ErrNotFound: it was used, is
// too old, or never was.
func (s *Service) EmailOf(ctx context.Context, token string) (EmailChange, error) {
	var c EmailChange
	err := s.store.View(ctx, func(tx Tx) (err error) {
		c, err = s.emailChange(tx, token)
		return err
	})
	return c, err
}

func (s *Service) emailChange(tx Tx, token string) (EmailChange, error) {
	c, err := tx.EmailChange(sha256.Sum256([]byte(token)))
	if err == nil && !s.clock.Now().Before(c.ExpiresAt) {
		err = ErrNotFound
	}
	return c, err
}

// ConfirmEmail makes the address of a link the account's, and tells the old one.
func (s *Service) ConfirmEmail(ctx context.Context, token string) error {
	return s.store.Update(ctx, func(tx Tx) error {
		c, err := s.emailChange(tx, token)
		if err != nil {
			return err
		}
		a, err := tx.Account(c.Account)
		if err != nil {
			return err
		}
		old := a.Email
		a.Email = c.Email
		if err := tx.SaveAccount(a); err != nil {
			return err
		}
		if err := tx.DeleteEmailChange(a.ID); err != nil {
			return err
		}
		if old != "" && old != c.Email {
			err := s.letter(tx, "account/"+a.ID, Letter{Template: LetterEmailChanged, To: old, Language: a.Language, Values: map[string]string{
				"link": s.PublicURL("/assistenza"),
			}})
			if err != nil {
				return err
			}
		}
		return tx.AppendAudit(Audit{Actor: Actor{"account", a.ID}, Action: "account.email_changed", Object: a.ID, At: s.clock.Now()})
	})
}

// checkOwner is ErrCredentials when the password is not the account's. Callers
// bound how often one may ask.
func (s *Service) checkOwner(ctx context.Context, id, password string) error {
	a, err := s.Account(ctx, id)
	if err != nil {
		return err
	}
	if a.Password == "" || utf8.RuneCountInString(password) > 128 {
		return ErrCredentials
	}
	ok, err := s.compare(ctx, password, a.Password)
	if err == nil && !ok {
		err = ErrCredentials
	}
	return err
}

// SetConsents keeps what a family consents to. What was kept by a consent that
// ends is forgotten.
func (s *Service) SetConsents(ctx context.Context, id string, mails, choice bool) error {
	return s.store.Update(ctx, func(tx Tx) error {
		a, err := tx.Account(id)
		if err != nil {
			return err
		}
		now := s.clock.Now()
		for _, c := range []struct {
			name       string
			was, wants bool
		}{{"mail", a.MailConsent, mails}, {"choice", a.ChoiceConsent, choice}} {
			if c.was == c.wants && !a.ConsentsAt.IsZero() {
				continue
			}
			action := "consent." + c.name + ".withheld"
			if c.wants {
				action = "consent." + c.name + ".given"
			}
			if err := tx.AppendAudit(Audit{Actor: Actor{"account", id}, Action: action, Object: id, At: now}); err != nil {
				return err
			}
		}
		a.ConsentsAt, a.MailConsent, a.ChoiceConsent = now, mails, choice
		if !choice {
			a.LastMethod, a.LastPSP = "", ""
		}
		return tx.SaveAccount(a)
	})
}

// MailWishes says whether mails about notices may go to a payer, and in which
// language the payer reads here (empty where nobody said). They may go unless the
// payer has an account and said no there.
func (s *Service) MailWishes(ctx context.Context, code FiscalCode) (wants bool, language string, err error) {
	wants = true
	err = s.store.View(ctx, func(tx Tx) error {
		a, err := tx.AccountByCode(code)
		if isNotFound(err) || err == nil && !a.Proven {
			return nil // whoever writes a code into a form decides nothing for its owner
		}
		wants, language = err != nil || a.ConsentsAt.IsZero() || a.MailConsent, a.Language
		return err
	})
	return wants, language, err
}

// DeleteAccount forgets an account. Notices and receipts stay: they are the
// school's. ErrCredentials: the password is wrong.
func (s *Service) DeleteAccount(ctx context.Context, id, password string) error {
	if err := s.checkOwner(ctx, id, password); err != nil {
		return err
	}
	return s.store.Update(ctx, func(tx Tx) error {
		if err := tx.DeleteAccount(id); err != nil {
			return err
		}
		return tx.AppendAudit(Audit{Actor: Actor{"account", id}, Action: "account.deleted", Object: id, At: s.clock.Now()})
	})
}

// FamilyPupils lists the pupils whom schools have linked to an account.
func (s *Service) FamilyPupils(ctx context.Context, a Account) ([]Pupil, error) {
	if !a.Proven {
		return nil, nil
	}
	var list []Pupil
	err := s.store.View(ctx, func(tx Tx) (err error) {
		list, err = tx.PupilsOfFamily(a.Code)
		return err
	})
	return list, err
}

// HelpRequest is a question of a family, to the people who run the installation
// or to a school.
type HelpRequest struct {
	To     SchoolCode // the school that is asked; empty: who runs the installation
	School SchoolCode // whose matter it is; empty: the site's
	Topic  string     // one of HelpTopics
	Text   string
	Email  string // where to answer
	Name   string // may be empty
	// Language is that of the confirmation.
	Language string
}

// HelpTopics are what a family may ask about. Sent: never renamed.
var HelpTopics = []string{"payment", "notice", "access", "accessibility", "other"}

// ErrNoHelp says that the installation takes no questions.
var ErrNoHelp = fmt.Errorf("no help address: %w", ErrNotFound)

// TakesHelp says whether who runs the installation can be asked; schools with a
// HelpMail can whether or not.
func (s *Service) TakesHelp() bool { return s.cfg.HelpMail != "" }

// AskHelp sends a question, tells who asked that it came, and gives it a ticket
// number. Errors: *Invalid, ErrNoHelp.
func (s *Service) AskHelp(ctx context.Context, q HelpRequest) (ticket string, err error) {
	if q.To == "" && !s.TakesHelp() {
		return "", ErrNoHelp
	}
	var bad Invalid
	topic := false
	for _, t := range HelpTopics {
		topic = topic || t == q.Topic
	}
	if !topic {
		bad.Add("topic", "unknown", "choose a topic of the list")
	}
	q.Email = checkEmail(q.Email, "email", &bad)
	if q.Name = clean(q.Name); utf8.RuneCountInString(q.Name) > 140 {
		bad.Add("name", "length", "at most 140 characters")
	}
	q.Text = cleanLines(q.Text)
	if n := utf8.RuneCountInString(q.Text); n < 10 || n > 4000 {
		bad.Add("text", "length", "write 10 to 4000 characters")
	}
	if err := bad.Err(); err != nil {
		return "", err
	}
	id := strings.ToUpper(s.newID())
	ticket = id[:4] + "-" + id[4:8]
	err = s.store.Update(ctx, func(tx Tx) error {
		school, to := "", s.cfg.HelpMail
		if q.To != "" {
			asked, err := tx.School(q.To)
			if err != nil && !isNotFound(err) {
				return err
			}
			if err != nil || asked.HelpMail == "" {
				return &Invalid{[]FieldError{{"to", "unknown", "choose whom to ask from the list"}}}
			}
			to, q.School = asked.HelpMail, q.To
		}
		if q.School != "" {
			found, err := tx.School(q.School)
			if isNotFound(err) {
				return &Invalid{[]FieldError{{"school", "unknown", "choose a school of the list"}}}
			}
			if err != nil {
				return err
			}
			school = found.Name
		}
		if err := s.confirmHelp(tx, ticket, school, q); err != nil {
			return err
		}
		return s.letter(tx, "help/"+ticket, Letter{Template: LetterHelp, To: to, ReplyTo: q.Email, Language: "it", Values: map[string]string{
			"ticket": ticket, "topic": q.Topic, "school": school, "school_code": string(q.School), "name": q.Name, "email": q.Email, "text": q.Text,
		}})
	})
	return ticket, err
}

// confirmHelp tells who asked that the question came. It says nothing that was
// typed, and not too often: the form must not become a way to write to others, or
// to flood somebody's box.
func (s *Service) confirmHelp(tx Tx, ticket, school string, q HelpRequest) error {
	now := s.clock.Now()
	sent, err := tx.CountHelpMails(q.Email, now.Add(-mailSpan))
	if err != nil || sent >= mailsAtMost {
		return err
	}
	if err := tx.InsertHelpMail(q.Email, now); err != nil {
		return err
	}
	if q.To == "" {
		school = "" // who runs the site answers, whatever it is about
	}
	return s.letter(tx, "help/"+ticket+"/taken", Letter{
		Template: LetterHelpTaken, To: q.Email, Language: q.Language, Values: map[string]string{"ticket": ticket, "school": school},
	})
}

// cleanLines keeps the lines of a text and nothing else that is not to be seen.
func cleanLines(s string) string {
	s = strings.ReplaceAll(s, "\r\n", "\n")
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return r
		case r == '\t', r == '\r':
			return ' '
		case unicode.IsControl(r), r == 0x2028, r == 0x2029, r == utf8.RuneError, unicode.Is(unicode.Bidi_Control, r):
			return -1
		}
		return r
	}, s))
}
