// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/mail"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// How long what is sent by mail can be used (reliability.md, sections 6 and 9).
const (
	registrationLife = 24 * time.Hour
	provisionalLife  = 24 * time.Hour
	resetLife        = time.Hour
)

// At most so many mails of one kind in mailSpan, whoever asks for them: a form
// must not become a way to flood somebody's box.
const (
	mailsAtMost = 3
	mailSpan    = time.Hour
)

// Registration is a request for an account that waits for its e-mail address to
// be confirmed.
type Registration struct {
	ID                  string
	Code                FiscalCode
	FirstName, LastName string
	Email               string
	Language            string
	Account             string // that it became; empty until confirmed
	CreatedAt           time.Time
	ExpiresAt           time.Time
}

// PasswordLink lets the reader of a mail choose a new password, once.
type PasswordLink struct {
	ID        string
	Account   string
	CreatedAt time.Time
	ExpiresAt time.Time
	UsedAt    time.Time // zero until used
}

// Invitation (codice di invito) proves whose account it is by a letter that the
// school hands to the payer itself.
type Invitation struct {
	Hash      [sha256.Size]byte // of the code on paper
	School    SchoolCode
	Payer     string
	By        Actor
	CreatedAt time.Time
	ExpiresAt time.Time
	UsedAt    time.Time
}

var (
	// ErrLink: a link or a code that was never made, is over, or was used.
	ErrLink = errors.New("this link is not valid any more")
	// ErrInvitation: an invitation for somebody else than the account.
	ErrInvitation = errors.New("the invitation is for another person")
)

// NewPerson is what a registration form says. Times and words are as they were
// typed.
type NewPerson struct {
	Code string
	Person
	BirthDate          string // gg/mm/aaaa or YYYY-MM-DD
	Sex                string // F or M
	Email, EmailAgain  string
	Language           string
	Terms, PrivacyRead bool
}

// CheckNewCode reads the code that a registration begins with.
func (s *Service) CheckNewCode(code string) (FiscalCode, error) {
	c, err := ParseFiscalCode(code)
	if err == nil && !c.IsPerson() {
		err = ErrFiscalCodeForm
	}
	if err != nil {
		return "", &Invalid{[]FieldError{{"fiscal_code", "format", "give the 16 characters of a person's fiscal code"}}}
	}
	if c.Holder(s.clock.Now()) < 14 {
		return "", &Invalid{[]FieldError{{"fiscal_code", "age", "an account is for those who are 14 or more"}}}
	}
	return c, nil
}

// CheckPerson holds what was typed against the code; the error is *Invalid, with
// every field that is wrong.
func (s *Service) CheckPerson(n NewPerson) (Registration, error) {
	var bad Invalid
	code, err := s.CheckNewCode(n.Code)
	if err != nil {
		return Registration{}, err
	}
	n.FirstName, n.LastName = clean(n.FirstName), clean(n.LastName)
	text(n.FirstName, "first_name", 35, &bad)
	text(n.LastName, "last_name", 34, &bad)
	birth, err := parseBirth(n.BirthDate)
	if err != nil || !born(birth, s.clock.Now()) {
		bad.Add("birth_date", "format", "give the day of birth like 31/12/1980")
	}
	if n.Sex != "F" && n.Sex != "M" {
		bad.Add("sex", "required", "choose one")
	}
	if e := strings.TrimSpace(n.Email); e == "" || len(e) > 254 || !isAddress(e) {
		bad.Add("email", "format", "give an e-mail address")
	}
	if !strings.EqualFold(strings.TrimSpace(n.Email), strings.TrimSpace(n.EmailAgain)) {
		bad.Add("email_again", "differs", "the two addresses differ")
	}
	if !n.Terms {
		bad.Add("terms", "required", "accept the terms")
	}
	if !n.PrivacyRead {
		bad.Add("privacy", "required", "say that you have read it")
	}
	p := n.Person
	p.Birth, p.Female = birth, n.Sex == "F"
	for _, field := range code.Disagrees(p) {
		if !slices.ContainsFunc(bad.Fields, func(f FieldError) bool { return f.Field == field }) {
			bad.Add(field, "disagrees", "does not fit the fiscal code")
		}
	}
	if err := bad.Err(); err != nil {
		return Registration{}, err
	}
	return Registration{Code: code, FirstName: n.FirstName, LastName: n.LastName, Email: strings.TrimSpace(n.Email), Language: n.Language}, nil
}

func isAddress(e string) bool {
	a, err := mail.ParseAddress(e)
	return err == nil && a.Address == e
}

func parseBirth(s string) (Date, error) {
	for _, form := range []string{"02/01/2006", "2/1/2006", time.DateOnly, "02-01-2006", "02.01.2006"} {
		if t, err := time.Parse(form, strings.TrimSpace(s)); err == nil {
			return Date{t.Year(), t.Month(), t.Day()}, nil
		}
	}
	return Date{}, ErrDate
}

// Holder is how old the holder of a person's code is, as far as its two digits of
// the year tell: never more than 99.
func (c FiscalCode) Holder(now time.Time) int {
	digits := c.withDigits()
	today := DateIn(now)
	year := today.Year/100*100 + atoi2(digits[6:8])
	if year > today.Year {
		year -= 100
	}
	return today.Year - year
}

// Register asks for an account. Whoever asks learns nothing of who has one: a
// person that is known already is told by mail, at the address we have. Errors:
// *Invalid as CheckPerson.
func (s *Service) Register(ctx context.Context, n NewPerson) error {
	r, err := s.CheckPerson(n)
	if err != nil {
		return err
	}
	err = s.store.Update(ctx, func(tx Tx) error {
		now := s.clock.Now()
		sent, err := tx.CountRegistrations(r.Code, now.Add(-mailSpan))
		if err != nil || sent >= mailsAtMost {
			return err
		}
		r.ID, r.CreatedAt, r.ExpiresAt = s.newID(), now, now.Add(registrationLife)
		known, err := tx.AccountByCode(r.Code)
		switch {
		case err == nil:
			// The row counts the mails; it can become nothing any more.
			r.Account, r.Email = known.ID, known.Email
			if err := tx.InsertRegistration(r); err != nil {
				return err
			}
			return s.enqueueMail(tx, MailKnown, known.ID, r.ID, now)
		case !isNotFound(err):
			return err
		}
		if err := tx.InsertRegistration(r); err != nil {
			return err
		}
		return s.enqueueMail(tx, MailConfirm, "", r.ID, now)
	})
	if err != nil {
		return fmt.Errorf("register: %w", err)
	}
	return nil
}

// ConfirmRegistration makes the account of a registration whose link was
// followed; again changes nothing. ErrLink.
func (s *Service) ConfirmRegistration(ctx context.Context, token string) error {
	id, ok := s.readToken(linkRegistration, token)
	if !ok {
		return ErrLink
	}
	account := s.newID()
	hash, err := s.hash(ctx, s.provisional(account))
	if err != nil {
		return err
	}
	err = s.store.Update(ctx, func(tx Tx) error {
		now := s.clock.Now()
		r, err := tx.LockRegistration(id)
		switch {
		case isNotFound(err):
			return ErrLink
		case err != nil || r.Account != "":
			return err
		case !now.Before(r.ExpiresAt):
			return ErrLink
		}
		if known, err := tx.AccountByCode(r.Code); err == nil {
			// By SPID, or by another of its registrations, meanwhile.
			r.Account = known.ID
			return tx.SaveRegistration(r)
		} else if !isNotFound(err) {
			return err
		}
		proven, err := emailProves(tx, r.Code, r.Email)
		if err != nil {
			return err
		}
		a := Account{
			ID: account, Code: r.Code, FirstName: r.FirstName, LastName: r.LastName, Email: r.Email, Language: r.Language,
			Password: hash, MustChange: true, PasswordUntil: now.Add(provisionalLife), Proven: proven, CreatedAt: now,
		}
		if err := insertNamed(tx, &a); err != nil {
			return err
		}
		r.Account = a.ID
		if err := tx.SaveRegistration(r); err != nil {
			return err
		}
		if err := tx.AppendAudit(Audit{Actor: Actor{Kind: "account", Name: a.ID}, Action: "account.registered", Object: a.ID, At: now}); err != nil {
			return err
		}
		return s.enqueueMail(tx, MailCreated, a.ID, "", now)
	})
	if err != nil {
		return fmt.Errorf("confirm registration: %w", err)
	}
	return nil
}

// emailProves says whether a confirmed address is the one that a school recorded
// for the payer with this code (reliability.md, section 10).
func emailProves(tx Tx, code FiscalCode, email string) (bool, error) {
	payers, err := tx.PayersByCode(code)
	return email != "" && slices.ContainsFunc(payers, func(p Payer) bool { return strings.EqualFold(p.Email, email) }), err
}

// insertNamed gives the account the first free user name made of its names.
func insertNamed(tx Tx, a *Account) error {
	base := strings.ToLower(strings.Trim(strings.ReplaceAll(plain(a.FirstName)+"."+plain(a.LastName), " ", ""), "."))
	base = strings.Map(func(r rune) rune {
		if r < utf8.RuneSelf {
			return r
		}
		return -1
	}, base)
	if base == "" || base == "." {
		base = "famiglia"
	}
	for i := 1; i < 10_000; i++ {
		a.Username = base
		if i > 1 {
			a.Username += strconv.Itoa(i)
		}
		switch _, err := tx.AccountByUsername(a.Username); {
		case isNotFound(err):
			return tx.InsertAccount(*a)
		case err != nil:
			return err
		}
	}
	return ErrConflict
}

// ForgotUsername mails the user name of the account with this code, if there is
// one; the caller learns nothing.
func (s *Service) ForgotUsername(ctx context.Context, code string) error {
	c, err := ParseFiscalCode(code)
	if err != nil || !c.IsPerson() {
		return nil
	}
	return s.store.Update(ctx, func(tx Tx) error {
		a, err := tx.AccountByCode(c)
		if isNotFound(err) {
			return nil
		}
		if err != nil {
			return err
		}
		return s.mailLink(tx, a, MailUsername)
	})
}

// ForgotPassword mails a link to choose a new password, if there is an account of
// this name; the caller learns nothing.
func (s *Service) ForgotPassword(ctx context.Context, username string) error {
	username = strings.ToLower(strings.TrimSpace(username))
	return s.store.Update(ctx, func(tx Tx) error {
		a, err := tx.AccountByUsername(username)
		if isNotFound(err) {
			return nil
		}
		if err != nil {
			return err
		}
		return s.mailLink(tx, a, MailReset)
	})
}

// mailLink sends one of the mails that anybody can ask for, not too often.
func (s *Service) mailLink(tx Tx, a Account, m AccountMail) error {
	now := s.clock.Now()
	sent, err := tx.CountPasswordLinks(a.ID, now.Add(-mailSpan))
	if err != nil || sent >= mailsAtMost || a.Email == "" {
		return err
	}
	l := PasswordLink{ID: s.newID(), Account: a.ID, CreatedAt: now, ExpiresAt: now.Add(resetLife)}
	if m != MailReset {
		l.UsedAt = now // only counts the mail
	}
	if err := tx.InsertPasswordLink(l); err != nil {
		return err
	}
	return s.enqueueMail(tx, m, a.ID, l.ID, now)
}

// CheckPasswordLink says whether the link of a mail can still be used; ErrLink.
func (s *Service) CheckPasswordLink(ctx context.Context, token string) error {
	id, ok := s.readToken(linkPassword, token)
	if !ok {
		return ErrLink
	}
	return s.store.View(ctx, func(tx Tx) error {
		_, err := passwordLink(tx, id, s.clock.Now())
		return err
	})
}

func passwordLink(tx Tx, id string, now time.Time) (PasswordLink, error) {
	l, err := tx.PasswordLink(id)
	if isNotFound(err) || err == nil && (!l.UsedAt.IsZero() || !now.Before(l.ExpiresAt)) {
		return l, ErrLink
	}
	return l, err
}

// ResetPassword chooses a new password by the link of a mail, and ends the waits
// for wrong ones. ErrLink, ErrWeakPassword.
func (s *Service) ResetPassword(ctx context.Context, token, password string) error {
	id, ok := s.readToken(linkPassword, token)
	if !ok {
		return ErrLink
	}
	var who Account
	err := s.store.View(ctx, func(tx Tx) error {
		l, err := passwordLink(tx, id, s.clock.Now())
		if err == nil {
			who, err = tx.Account(l.Account)
		}
		return err
	})
	if err == nil {
		err = CheckPasswordFor(who, password)
	}
	if err != nil {
		return err
	}
	hash, err := s.hash(ctx, password)
	if err != nil {
		return err
	}
	return s.store.Update(ctx, func(tx Tx) error {
		now := s.clock.Now()
		// The account's lock guards its links.
		a, err := tx.Account(who.ID)
		if err != nil {
			return err
		}
		l, err := passwordLink(tx, id, now)
		if err != nil {
			return err
		}
		l.UsedAt = now
		if err := tx.SavePasswordLink(l); err != nil {
			return err
		}
		a.Password, a.MustChange, a.PasswordUntil, a.PasswordUsed, a.Failures, a.LockedUntil = hash, false, time.Time{}, false, 0, time.Time{}
		if err := errors.Join(tx.SaveAccount(a), tx.EndOtherLogins(a.ID, "", now)); err != nil {
			return err
		}
		return tx.AppendAudit(Audit{Actor: Actor{Kind: "account", Name: a.ID}, Action: "account.password_reset", Object: a.ID, At: now})
	})
}

// Identity is who an OpenID provider (SPID, CIE) says is there. Code is from a
// verified claim.
type Identity struct {
	Issuer, Subject     string
	Code                FiscalCode
	FirstName, LastName string
	Email               string // may be empty
	Language            string
}

// EnterWithIdentity finds the account of a person whose identity was proved, or
// makes it: nobody who has an identity registers. An account that only claimed the
// code until now loses its password and its e-mail address: they can be a
// stranger's.
func (s *Service) EnterWithIdentity(ctx context.Context, i Identity) (Account, error) {
	if i.Issuer == "" || i.Subject == "" || !i.Code.IsPerson() {
		return Account{}, ErrCredentials
	}
	var a Account
	err := s.store.Update(ctx, func(tx Tx) error {
		now := s.clock.Now()
		id, err := tx.AccountOfIdentity(i.Issuer, i.Subject)
		if err == nil {
			a, err = tx.Account(id)
			return err
		}
		if !isNotFound(err) {
			return err
		}
		a, err = tx.AccountByCode(i.Code)
		switch {
		case isNotFound(err):
			a = Account{
				ID: s.newID(), Code: i.Code, FirstName: i.FirstName, LastName: i.LastName, Email: i.Email,
				Proven: true, Language: i.Language, CreatedAt: now,
			}
			err = insertNamed(tx, &a)
		case err == nil && !a.Proven:
			a.Proven, a.Password, a.MustChange, a.Email = true, "", false, i.Email
			a.PasswordUntil, a.PasswordUsed = time.Time{}, false
			a.FirstName, a.LastName = i.FirstName, i.LastName
			err = errors.Join(tx.SaveAccount(a), tx.EndOtherLogins(a.ID, "", now))
		}
		if err != nil {
			return err
		}
		if err := tx.InsertIdentity(i.Issuer, i.Subject, a.ID, now); err != nil {
			return err
		}
		return tx.AppendAudit(Audit{Actor: Actor{Kind: "account", Name: a.ID}, Action: "account.identity", Object: a.ID, At: now})
	})
	if err != nil {
		return Account{}, fmt.Errorf("enter with identity: %w", err)
	}
	return a, nil
}

// Redeem proves an account by the code on a school's letter. ErrLink for a code
// that is none, or over; ErrInvitation for one of another person.
func (s *Service) Redeem(ctx context.Context, account, code string) error {
	return s.store.Update(ctx, func(tx Tx) error {
		now := s.clock.Now()
		a, err := tx.Account(account)
		if err != nil {
			return err
		}
		i, err := tx.Invitation(s.invitationHash(code))
		switch {
		case isNotFound(err):
			return ErrLink
		case err != nil:
			return err
		case !i.UsedAt.IsZero(), !now.Before(i.ExpiresAt):
			return ErrLink
		}
		p, err := tx.Payer(i.School, i.Payer)
		if isNotFound(err) {
			return ErrLink
		}
		if err != nil {
			return err
		}
		if p.Code != a.Code {
			return ErrInvitation
		}
		i.UsedAt = now
		if err := tx.SaveInvitation(i); err != nil {
			return err
		}
		// A second letter, printed when the first seemed lost, opens nothing more.
		if err := tx.EndInvitations(i.School, i.Payer, now); err != nil {
			return err
		}
		if a.Proven {
			return nil
		}
		a.Proven = true
		if err := tx.SaveAccount(a); err != nil {
			return err
		}
		return tx.AppendAudit(Audit{School: i.School, Actor: Actor{Kind: "account", Name: a.ID}, Action: "account.proved", Object: a.ID, At: now})
	})
}

// AccountMail names a mail about an account. Stored and shown in a metric: never
// renamed.
type AccountMail string

const (
	MailConfirm  AccountMail = "registration_confirm" // Conferma registrazione
	MailKnown    AccountMail = "registration_known"   // you have an account already
	MailCreated  AccountMail = "account_created"      // Creazione utenza
	MailUsername AccountMail = "account_username"
	MailReset    AccountMail = "account_reset"
)

// AccountMails are all of them.
var AccountMails = []AccountMail{MailConfirm, MailKnown, MailCreated, MailUsername, MailReset}

// AccountMailPayload is the JSON of their outbox rows. It has no secrets: the link
// and the password of a mail are made anew, the same each time, when it is sent.
type AccountMailPayload struct {
	Mail    AccountMail `json:"account_mail"`
	Account string      `json:"account,omitempty"`
	Link    string      `json:"link,omitempty"` // id of the registration or the link
}

func (s *Service) enqueueMail(tx Tx, m AccountMail, account, link string, now time.Time) error {
	payload, err := json.Marshal(AccountMailPayload{m, account, link})
	if err != nil {
		return err
	}
	aggregate := "account/" + account
	if account == "" {
		aggregate = "registration/" + link
	}
	return tx.Enqueue(Message{ID: s.newID(), Kind: "mail", Aggregate: aggregate, Payload: payload, At: now})
}

// AccountMailFacts are what such a mail says.
type AccountMailFacts struct {
	Email, Language, FirstName string
	Username, Password         string // of MailCreated; MailUsername has the first
	Link                       string
	Until                      time.Time
}

// AccountMailOf looks up what a mail says; ErrNotFound when there is nothing to
// say any more.
func (s *Service) AccountMailOf(ctx context.Context, p AccountMailPayload) (f AccountMailFacts, err error) {
	err = s.store.View(ctx, func(tx Tx) error {
		now := s.clock.Now()
		if p.Mail == MailConfirm {
			r, err := tx.LockRegistration(p.Link)
			if err != nil {
				return err
			}
			if r.Account != "" || !now.Before(r.ExpiresAt) {
				return ErrNotFound
			}
			f = AccountMailFacts{Email: r.Email, Language: r.Language, FirstName: r.FirstName, Until: r.ExpiresAt,
				Link: s.PublicURL("/conferma") + "?token=" + s.token(linkRegistration, r.ID)}
			return nil
		}
		a, err := tx.Account(p.Account)
		if err != nil {
			return err
		}
		f = AccountMailFacts{Email: a.Email, Language: a.Language, FirstName: a.FirstName, Link: s.PublicURL("/accesso")}
		switch p.Mail {
		case MailCreated:
			if a.PasswordUntil.IsZero() || !now.Before(a.PasswordUntil) {
				return ErrNotFound // it has a password of its own, or this one is over
			}
			f.Username, f.Password, f.Until = a.Username, s.provisional(a.ID), a.PasswordUntil
		case MailUsername:
			f.Username = a.Username
		case MailReset:
			l, err := passwordLink(tx, p.Link, now)
			if errors.Is(err, ErrLink) {
				return ErrNotFound
			}
			if err != nil {
				return err
			}
			f.Link, f.Until = s.PublicURL("/accesso/recupero")+"?token="+s.token(linkPassword, l.ID), l.ExpiresAt
		}
		return nil
	})
	if err == nil && f.Email == "" {
		err = ErrNotFound
	}
	return f, err
}

// What the tokens of mails are for.
const (
	linkRegistration = "registration"
	linkPassword     = "password"
)

// token is the secret of a link: its id and 128 bits that only we can make.
// Nothing of it is stored.
func (s *Service) token(purpose, id string) string {
	return id + "." + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(s.mac(purpose, id)[:16]))
}

func (s *Service) readToken(purpose, token string) (id string, ok bool) {
	id, _, _ = strings.Cut(token, ".")
	return id, len(token) < 100 && hmac.Equal([]byte(s.token(purpose, id)), []byte(token))
}

func (s *Service) mac(purpose, value string) []byte {
	m := hmac.New(sha256.New, s.linkKey)
	m.Write([]byte(purpose + "\x00" + value))
	return m.Sum(nil)
}

// provisional is the first password of an account: 12 characters that nobody
// mistakes for another, the same each time its mail is sent.
func (s *Service) provisional(account string) string {
	const signs = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
	for i := 0; ; i++ {
		sum := s.mac("provisional "+strconv.Itoa(i), account)
		var b [12]byte
		for j := range b {
			// Two bytes a sign: what the remainder prefers is below a hundredth of a bit.
			b[j] = signs[int(binary.BigEndian.Uint16(sum[2*j:]))%len(signs)]
		}
		if p := string(b[:]); CheckPassword(p) == nil {
			return p
		}
	}
}
