// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/alexedwards/argon2id"

	"github.com/nodogate/nodogate/iuv"
)

// Argon2id at OWASP's second profile: 19 MiB, 2 passes, 1 lane.
var hashParams = &argon2id.Params{Memory: 19 * 1024, Iterations: 2, Parallelism: 1, SaltLength: 16, KeyLength: 32}

// unusedHash is what a password is compared with when there is no account, so
// that both cases cost the same. It is the hash of nothing anybody knows.
const unusedHash = "$argon2id$v=19$m=19456,t=2,p=1$ZJ6Y0Kp3dVvGf0wq4Yx1Ng$0Q2o3mJ1Xb5f7nq8vV4kT6y9cR1sW3eU5iO7pA9dF2g"

// ErrWeakPassword: fewer than 8 or more than 128 characters, or no digit, upper
// or lower case letter.
var ErrWeakPassword = errors.New("password too weak")

// ErrGuessablePassword is an ErrWeakPassword that keeps the rule and is easy to
// guess all the same: whoever chose it has to be told so.
var ErrGuessablePassword = fmt.Errorf("%w: easy to guess", ErrWeakPassword)

// CheckPassword is the ministry's rule for passwords.
func CheckPassword(p string) error {
	var digit, upper, lower bool
	for _, r := range p {
		digit = digit || unicode.IsDigit(r)
		upper = upper || unicode.IsUpper(r)
		lower = lower || unicode.IsLower(r)
	}
	if n := utf8.RuneCountInString(p); n < 8 || n > 128 || !digit || !upper || !lower {
		return ErrWeakPassword
	}
	return nil
}

// CheckPasswordFor is CheckPassword, and refuses what is easy to guess of this
// account: a common password, or one around its own names.
func CheckPasswordFor(a Account, p string) error {
	if err := CheckPassword(p); err != nil {
		return err
	}
	bare := strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) {
			return r
		}
		return -1
	}, strings.ToLower(p))
	left := bare // when their own names are taken away
	for _, w := range []string{a.FirstName, a.LastName, a.Username} {
		w = strings.ToLower(strings.NewReplacer(".", "", " ", "").Replace(w))
		if utf8.RuneCountInString(w) >= 3 {
			left = strings.ReplaceAll(left, w, "")
		}
	}
	if slices.Contains(commonPasswords, bare) || left != bare && utf8.RuneCountInString(left) < 3 {
		return ErrGuessablePassword
	}
	return nil
}

// commonPasswords are the letters of what people choose most when a digit and a
// capital are asked for: Password1, Qwerty123, Ciao1234 and the like.
var commonPasswords = strings.Fields(`
	password passw passwd pass qwerty qwertyuiop qwert asdfgh asdfghjkl zxcvbn zxcvbnm abc abcd abcdef a aa aaa
	ciao ciaociao admin administrator welcome benvenuto benvenuta letmein iloveyou tiamo amore amoremio amoretuo cucciolo
	juventus juve forzajuve milan acmilan inter forzainter napoli forzanapoli roma asroma lazio fiorentina
	francesco francesca alessandro alessandra andrea marco matteo giuseppe giovanni martina giulia chiara valentina antonio
	stella sole luna mamma papa famiglia famigliamia scuola scuolamia pagopa pagamenti pagamentiscuola nodogate italia italiano
	princess principessa dragon monkey football calcio baseball sunshine shadow master superman batman pokemon
	gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre
	primavera estate autunno inverno lunedi domenica password password changeme cambiami provvisoria segreta segreto secret
	computer internet samsung iphone android google facebook whatsapp instagram`)

// AddAccount makes a log-in with a password. ErrConflict: the user name or the
// code has one already.
func (s *Service) AddAccount(ctx context.Context, a Account, password string) (Account, error) {
	if err := CheckPassword(password); err != nil {
		return Account{}, err
	}
	hash, err := s.hash(ctx, password)
	if err != nil {
		return Account{}, err
	}
	a.ID, a.Password, a.CreatedAt = s.newID(), hash, s.clock.Now()
	a.Username = strings.ToLower(a.Username)
	err = s.store.Update(ctx, func(tx Tx) error { return tx.InsertAccount(a) })
	return a, err
}

// Log-in slows down after freeFailures wrong passwords: 1, 2, 4 … seconds, at
// most maxLock, for the account, whoever asks.
const (
	freeFailures = 5
	maxLock      = 15 * time.Minute
)

// LogIn checks a user name and password. Whatever is wrong, and also while the
// account is locked, the answer is ErrCredentials after the same work.
func (s *Service) LogIn(ctx context.Context, username, password string) (Account, error) {
	username = strings.ToLower(strings.TrimSpace(username))
	var a Account
	err := s.store.View(ctx, func(tx Tx) (err error) {
		a, err = tx.AccountByUsername(username)
		return err
	})
	known := err == nil
	if err != nil && !isNotFound(err) {
		return Account{}, err
	}
	hash := unusedHash
	if known && a.Password != "" {
		hash = a.Password
	}
	right := false
	if utf8.RuneCountInString(password) <= 128 {
		if right, err = s.compare(ctx, password, hash); err != nil {
			return Account{}, err
		}
	}
	if !known || a.Password == "" {
		return Account{}, ErrCredentials
	}
	err = s.store.Update(ctx, func(tx Tx) error {
		now := s.clock.Now()
		if a, err = tx.Account(a.ID); err != nil {
			return err
		}
		if now.Before(a.LockedUntil) {
			right = false
			return nil
		}
		if right && !a.PasswordUntil.IsZero() && (a.PasswordUsed || !now.Before(a.PasswordUntil)) {
			right = false // a provisional password opens once, for a day; it was guessed by nobody
			return nil
		}
		if right {
			if a.Failures == 0 && a.PasswordUntil.IsZero() {
				return nil
			}
			a.Failures, a.LockedUntil, a.PasswordUsed = 0, time.Time{}, !a.PasswordUntil.IsZero()
			return tx.SaveAccount(a)
		}
		if a.Failures++; a.Failures >= freeFailures {
			wait := min(time.Second<<min(a.Failures-freeFailures, 20), maxLock)
			a.LockedUntil = now.Add(wait)
		}
		if err := tx.SaveAccount(a); err != nil || a.Failures != freeFailures {
			return err
		}
		// Once for each row of wrong passwords, so that the trail shows who was
		// tried and cannot be filled by trying.
		return tx.AppendAudit(Audit{Actor: Actor{Kind: "account", Name: a.ID}, Action: "account.locked", Object: a.ID, At: now})
	})
	if err != nil {
		return Account{}, err
	}
	if !right {
		return Account{}, ErrCredentials
	}
	return a, nil
}

// ChangePassword replaces the password after checking the old one, and ends all
// log-ins but the one where it is changed.
func (s *Service) ChangePassword(ctx context.Context, id, login, old, new string) error {
	a, err := s.Account(ctx, id)
	if err != nil {
		return err
	}
	if err := CheckPasswordFor(a, new); err != nil {
		return err
	}
	if ok, err := s.compare(ctx, old, a.Password); err != nil {
		return err
	} else if !ok {
		return ErrCredentials
	}
	hash, err := s.hash(ctx, new)
	if err != nil {
		return err
	}
	return s.store.Update(ctx, func(tx Tx) error {
		a, err := tx.Account(id)
		if err != nil {
			return err
		}
		a.Password, a.MustChange, a.PasswordUntil, a.PasswordUsed = hash, false, time.Time{}, false
		now := s.clock.Now()
		if err := errors.Join(tx.SaveAccount(a), tx.EndOtherLogins(id, login, now)); err != nil {
			return err
		}
		return tx.AppendAudit(Audit{Actor: Actor{Kind: "account", Name: id}, Action: "account.password_changed", Object: id, At: now})
	})
}

// hash and compare hold a place of s.hashing: each takes 19 MiB.
func (s *Service) hash(ctx context.Context, password string) (string, error) {
	if err := s.enter(ctx); err != nil {
		return "", err
	}
	defer func() { <-s.hashing }()
	return argon2id.CreateHash(password, hashParams)
}

func (s *Service) compare(ctx context.Context, password, hash string) (bool, error) {
	if err := s.enter(ctx); err != nil {
		return false, err
	}
	defer func() { <-s.hashing }()
	return argon2id.ComparePasswordAndHash(password, hash)
}

func (s *Service) enter(ctx context.Context) error {
	select {
	case s.hashing <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Account finds a log-in by its id; ErrNotFound.
func (s *Service) Account(ctx context.Context, id string) (Account, error) {
	var a Account
	err := s.store.View(ctx, func(tx Tx) (err error) {
		a, err = tx.Account(id)
		return err
	})
	return a, err
}

// RememberChoice keeps what the family paid with, to offer it first next time,
// where the family consents.
func (s *Service) RememberChoice(ctx context.Context, id string, m Method, psp PSPID) error {
	return s.store.Update(ctx, func(tx Tx) error {
		a, err := tx.Account(id)
		if err != nil || !a.ChoiceConsent || a.LastMethod == m && a.LastPSP == psp {
			return err
		}
		a.LastMethod, a.LastPSP = m, psp
		return tx.SaveAccount(a)
	})
}

// SetLanguage keeps the language the family reads in; the caller has checked it.
func (s *Service) SetLanguage(ctx context.Context, id, language string) error {
	return s.store.Update(ctx, func(tx Tx) error {
		a, err := tx.Account(id)
		if err != nil || a.Language == language {
			return err
		}
		a.Language = language
		return tx.SaveAccount(a)
	})
}

// maxFamilyNotices is how many notices a family's pages read: years of them.
const maxFamilyNotices = 500

// FamilyNotices lists what an account may see, newest first. An account whose
// code is not proved sees nothing.
func (s *Service) FamilyNotices(ctx context.Context, a Account) ([]FamilyNotice, error) {
	return s.FindFamilyNotices(ctx, a, FamilyFilter{})
}

// FindFamilyNotices lists some of them; without a limit, as many as a page reads.
func (s *Service) FindFamilyNotices(ctx context.Context, a Account, f FamilyFilter) ([]FamilyNotice, error) {
	if !a.Proven {
		return nil, nil
	}
	if f.Limit == 0 {
		f.Limit = maxFamilyNotices
	}
	var list []FamilyNotice
	err := s.store.View(ctx, func(tx Tx) (err error) {
		list, err = tx.NoticesOfFamily(a.Code, f)
		return err
	})
	return list, err
}

// FamilyNotice finds one notice the account may see; ErrNotFound for all
// others, whether they exist or not.
func (s *Service) FamilyNotice(ctx context.Context, a Account, school SchoolCode, number iuv.Number) (Notice, error) {
	var n Notice
	err := s.store.View(ctx, func(tx Tx) error {
		ok, err := s.maySee(tx, a, school, number)
		if err != nil {
			return err
		}
		if !ok {
			return fmt.Errorf("notice %s: %w", number, ErrNotFound)
		}
		n, err = tx.Notice(school, number)
		return err
	})
	return n, err
}

func (s *Service) maySee(tx Tx, a Account, school SchoolCode, number iuv.Number) (bool, error) {
	if !a.Proven {
		return false, nil
	}
	return tx.FamilyMaySee(a.Code, school, number)
}

// PutPupil adds or replaces a pupil of a school's registry.
func (s *Service) PutPupil(ctx context.Context, actor Actor, p Pupil) error {
	return s.registry(ctx, actor, p.School, "pupil.put", p.ID, func(tx Tx) error { return tx.PutPupil(p) })
}

// PutPayer adds or replaces a payer and links it to a pupil.
func (s *Service) PutPayer(ctx context.Context, actor Actor, p Payer, pupil, relation string) error {
	return s.registry(ctx, actor, p.School, "payer.linked", pupil+"/"+p.ID, func(tx Tx) error {
		if err := tx.PutPayer(p); err != nil {
			return err
		}
		return tx.LinkPayer(Link{School: p.School, Pupil: pupil, Payer: p.ID, Relation: relation, Since: s.clock.Now(), By: actor})
	})
}

func (s *Service) registry(ctx context.Context, actor Actor, school SchoolCode, action, object string, fn func(Tx) error) error {
	return s.store.Update(ctx, func(tx Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		return tx.AppendAudit(Audit{School: school, Actor: actor, Action: action, Object: object, At: s.clock.Now()})
	})
}
