// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/mail"
	"regexp"
	"slices"
	"time"

	"github.com/nodogate/nodogate/gateway/money"
)

// What a school's office writes into its registry (anagrafica): pupils, staff and
// other adults who owe something, who may see and pay for them, and who is the
// delegate of a class. Each link has its date and author: those that are there in
// themselves, those that ended in the audit trail.

// NewPupil is a pupil as a school writes it. Adults are pupils of nobody: their
// own payer with the relation self.
type NewPupil struct {
	ID, Code, FirstName, LastName, Class, SchoolYear string // empty year: the one that runs
	Kind                                             string // pupil, staff or adult; empty: pupil
	// Payers, when not nil, are all of its payers: others are unlinked.
	Payers []NewPayer
}

// NewPayer is a payer as a school writes it, under a pupil or as a delegate.
type NewPayer struct {
	ID, Code, FirstName, LastName, Email, Language string
	Relation                                       string // none for a delegate
}

// PupilRecord is a pupil with whom it is linked to.
type PupilRecord struct {
	Pupil
	Payers []LinkedPayer // by id
}

// LinkedPayer is a payer of one pupil.
type LinkedPayer struct {
	Payer
	Relation string
	Since    time.Time
	By       Actor
}

// PupilFilter chooses pupils of one school, newest first. Zero fields do not
// filter.
type PupilFilter struct {
	Class, SchoolYear string
	Kind              string // pupil, staff or adult
	Code              FiscalCode
	Query             string // first letters of words of the name
	// Before are instant and id of the last one of the page before.
	Before   time.Time
	BeforeID string
	Limit    int
}

// Relations are what a payer can be to a pupil.
var Relations = []string{"mother", "father", "guardian", "self", "other"}

// Kinds are what a person of the registry can be called.
var Kinds = []string{"pupil", string(KindStaff), string(KindAdult)}

// KindNamed is the kind that a name of Kinds stands for.
func KindNamed(name string) PersonKind {
	if name == Kinds[0] {
		return KindPupil
	}
	return PersonKind(name)
}

// Name is the kind's among Kinds.
func (k PersonKind) Name() string {
	if k == KindPupil {
		return Kinds[0]
	}
	return string(k)
}

// Languages are those a payer can be written to in.
var Languages = []string{"it", "en", "de", "fr", "sl"}

var (
	registryID     = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)
	schoolYearForm = regexp.MustCompile(`^(20[0-9]{2})/([0-9]{2})$`)
)

// CheckRegistryID says whether s can be the school's own id of a pupil, a payer
// or a class: it will stand in addresses and logs, so a person's code cannot.
func CheckRegistryID(field, s string) error {
	var bad Invalid
	checkRegistryID(field, s, &bad)
	return bad.Err()
}

func checkRegistryID(field, s string, bad *Invalid) {
	dots := s != "" && len(s) <= 2 && s[0] == '.' && s[len(s)-1] == '.' // an address would lose it
	switch {
	case !registryID.MatchString(s) || dots:
		bad.Add(field, "format", "use 1 to 64 letters, digits, dots, underscores and hyphens")
	case personalCode.MatchString(s):
		bad.Add(field, "personal_data", "use an id of your own, not a fiscal code")
	}
}

// SchoolYear is the school year that t falls in: from 1 September, in Rome.
func SchoolYear(t time.Time) string {
	y := schoolYearStart(t).Year()
	return fmt.Sprintf("%d/%02d", y, (y+1)%100)
}

func schoolYearStart(t time.Time) time.Time {
	d := DateIn(t)
	if d.Month < time.September {
		d.Year--
	}
	return time.Date(d.Year, time.September, 1, 0, 0, 0, 0, rome)
}

func (s *Service) checkPupil(school SchoolCode, in NewPupil, p string, bad *Invalid) (Pupil, []LinkedPayer) {
	pupil := Pupil{School: school, ID: in.ID, Class: clean(in.Class), SchoolYear: in.SchoolYear}
	checkRegistryID(p+"id", in.ID, bad)
	if pupil.Kind = KindNamed(in.Kind); in.Kind != "" && !slices.Contains(Kinds, in.Kind) {
		bad.Add(p+"kind", "unknown", "give pupil, staff or adult")
	}
	pupil.Code = personCode(in.Code, p+"fiscal_code", bad)
	pupil.FirstName = text(clean(in.FirstName), p+"first_name", 70, bad)
	pupil.LastName = text(clean(in.LastName), p+"last_name", 70, bad)
	if pupil.Class != "" && !classForm.MatchString(pupil.Class) {
		bad.Add(p+"class", "format", "give a class like 3B, at most 16 characters")
	}
	if pupil.SchoolYear == "" {
		pupil.SchoolYear = SchoolYear(s.clock.Now())
	}
	if m := schoolYearForm.FindStringSubmatch(pupil.SchoolYear); m == nil || fmt.Sprintf("%02d", (int(m[1][2]-'0')*10+int(m[1][3]-'0')+1)%100) != m[2] {
		bad.Add(p+"school_year", "format", "give a school year like 2026/27")
	}
	var payers []LinkedPayer
	for i, y := range in.Payers {
		yp := fmt.Sprintf("%spayers[%d].", p, i)
		if slices.ContainsFunc(in.Payers[:i], func(o NewPayer) bool { return o.ID == y.ID }) {
			bad.Add(yp+"id", "duplicate", "this payer stands in the list twice")
		}
		payers = append(payers, checkPayer(pupil, y, yp, bad))
	}
	return pupil, payers
}

func checkPayer(pupil Pupil, in NewPayer, p string, bad *Invalid) LinkedPayer {
	y := LinkedPayer{Payer: checkPerson(pupil.School, in, p, bad), Relation: in.Relation}
	if !slices.Contains(Relations, in.Relation) {
		bad.Add(p+"relation", "unknown", "give mother, father, guardian, self or other")
	}
	if in.Relation == "self" && y.Code != pupil.Code {
		bad.Add(p+"relation", "unknown", "self is for who has the same fiscal code")
	}
	return y
}

func checkPerson(school SchoolCode, in NewPayer, p string, bad *Invalid) Payer {
	y := Payer{School: school, ID: in.ID, Email: in.Email, Language: in.Language}
	checkRegistryID(p+"id", in.ID, bad)
	y.Code = personCode(in.Code, p+"fiscal_code", bad)
	y.FirstName = text(clean(in.FirstName), p+"first_name", 70, bad)
	y.LastName = text(clean(in.LastName), p+"last_name", 70, bad)
	if y.Email != "" {
		if a, err := mail.ParseAddress(y.Email); err != nil || a.Address != y.Email || len(y.Email) > 254 {
			bad.Add(p+"email", "format", "give an e-mail address, or leave it out")
		}
	}
	if y.Language == "" {
		y.Language = Languages[0]
	}
	if !slices.Contains(Languages, y.Language) {
		bad.Add(p+"language", "unknown", "give it, en, de, fr or sl")
	}
	return y
}

// personCode reads a code that is required; ANONIMO is for who has none.
func personCode(in, field string, bad *Invalid) FiscalCode {
	code, err := ParseFiscalCode(in)
	if err != nil {
		addCodeError(field, err, bad)
	}
	return code
}

// Enrol writes a pupil, and its payers when they are given. created says that it
// was not there. match, when not nil, sees the pupil as it is, or nil, and may
// refuse.
func (s *Service) Enrol(ctx context.Context, actor Actor, school SchoolCode, in NewPupil, match func(*PupilRecord) error) (rec PupilRecord, created bool, err error) {
	var bad Invalid
	pupil, payers := s.checkPupil(school, in, "", &bad)
	if err := bad.Err(); err != nil {
		return rec, false, err
	}
	err = s.store.Update(ctx, func(tx Tx) error {
		created = false
		old, err := s.pupilIn(tx, school, pupil.ID, match)
		if err != nil {
			return err
		}
		if created, err = s.enrol(tx, actor, pupil, payers, old, in.Payers != nil); err != nil {
			return err
		}
		rec, err = tx.PupilRecord(school, pupil.ID)
		return err
	})
	if err != nil {
		return rec, false, fmt.Errorf("enrol pupil: %w", err)
	}
	return rec, created, nil
}

// pupilIn reads a pupil that is to be written; nil when it is not there.
func (s *Service) pupilIn(tx Tx, school SchoolCode, id string, match func(*PupilRecord) error) (*PupilRecord, error) {
	rec, err := tx.PupilRecord(school, id)
	old := &rec
	if isNotFound(err) {
		old, err = nil, nil
	}
	if err == nil && match != nil {
		err = match(old)
	}
	return old, err
}

// enrol writes what differs from old, and no more: what was written again is no
// change.
func (s *Service) enrol(tx Tx, actor Actor, p Pupil, payers []LinkedPayer, old *PupilRecord, whole bool) (created bool, err error) {
	now := s.clock.Now()
	if old == nil {
		created, old = true, &PupilRecord{}
		p.CreatedAt = now
	} else {
		p.CreatedAt = old.CreatedAt
	}
	if p != old.Pupil {
		if err := tx.PutPupil(p); err != nil {
			return false, err
		}
		if err := s.audited(tx, actor, p.School, "pupil.put", p.ID, now); err != nil {
			return false, err
		}
	}
	for _, y := range payers {
		if err := s.linkPayer(tx, actor, p, y, old.Payers, now); err != nil {
			return false, err
		}
	}
	if !whole {
		return created, nil
	}
	for _, o := range old.Payers {
		if slices.ContainsFunc(payers, func(y LinkedPayer) bool { return y.ID == o.ID }) {
			continue
		}
		if err := s.unlink(tx, actor, p.School, p.ID, o.ID, now); err != nil {
			return false, err
		}
	}
	return created, nil
}

func (s *Service) linkPayer(tx Tx, actor Actor, p Pupil, y LinkedPayer, linked []LinkedPayer, now time.Time) error {
	i := slices.IndexFunc(linked, func(o LinkedPayer) bool { return o.ID == y.ID })
	if i >= 0 && linked[i].Payer == y.Payer && linked[i].Relation == y.Relation {
		return nil
	}
	if err := tx.PutPayer(y.Payer); err != nil {
		return err
	}
	if err := tx.LinkPayer(Link{School: p.School, Pupil: p.ID, Payer: y.ID, Relation: y.Relation, Since: now, By: actor}); err != nil {
		return err
	}
	action := "payer.linked"
	if i >= 0 {
		action = "payer.changed"
	}
	return s.audited(tx, actor, p.School, action, p.ID+"/"+y.ID, now)
}

func (s *Service) unlink(tx Tx, actor Actor, school SchoolCode, pupil, payer string, now time.Time) error {
	if err := tx.UnlinkPayer(school, pupil, payer); err != nil {
		return err
	}
	return s.audited(tx, actor, school, "payer.unlinked", pupil+"/"+payer, now)
}

func (s *Service) audited(tx Tx, actor Actor, school SchoolCode, action, object string, now time.Time) error {
	return tx.AppendAudit(Audit{School: school, Actor: actor, Action: action, Object: object, At: now})
}

// LinkPayer writes a payer and links it to a pupil; ErrNotFound for no such
// pupil. A payer has the same data under all its pupils.
func (s *Service) LinkPayer(ctx context.Context, actor Actor, school SchoolCode, pupil string, in NewPayer, match func(*LinkedPayer) error) (y LinkedPayer, created bool, err error) {
	err = s.store.Update(ctx, func(tx Tx) error {
		rec, err := tx.PupilRecord(school, pupil)
		if err != nil {
			return err
		}
		var bad Invalid
		y = checkPayer(rec.Pupil, in, "", &bad)
		if err := bad.Err(); err != nil {
			return err
		}
		var old *LinkedPayer
		if i := slices.IndexFunc(rec.Payers, func(o LinkedPayer) bool { return o.ID == y.ID }); i >= 0 {
			old = &rec.Payers[i]
		}
		if match != nil {
			if err := match(old); err != nil {
				return err
			}
		}
		created = old == nil
		if err := s.linkPayer(tx, actor, rec.Pupil, y, rec.Payers, s.clock.Now()); err != nil {
			return err
		}
		rec, err = tx.PupilRecord(school, pupil)
		if i := slices.IndexFunc(rec.Payers, func(o LinkedPayer) bool { return o.ID == y.ID }); i >= 0 {
			y = rec.Payers[i]
		}
		return err
	})
	if err != nil {
		return y, false, fmt.Errorf("link payer: %w", err)
	}
	return y, created, nil
}

// UnlinkPayer ends a link; ErrNotFound when there is none. A payer who is linked
// to nobody any more, and no delegate, is forgotten.
func (s *Service) UnlinkPayer(ctx context.Context, actor Actor, school SchoolCode, pupil, payer string) error {
	err := s.store.Update(ctx, func(tx Tx) error {
		return s.unlink(tx, actor, school, pupil, payer, s.clock.Now())
	})
	if err != nil {
		return fmt.Errorf("unlink payer: %w", err)
	}
	return nil
}

// Pupil finds a pupil with its payers; ErrNotFound. That it was read is
// recorded.
func (s *Service) Pupil(ctx context.Context, actor Actor, school SchoolCode, id string) (rec PupilRecord, err error) {
	err = s.store.Update(ctx, func(tx Tx) error {
		if rec, err = tx.PupilRecord(school, id); err != nil {
			return err
		}
		return s.audited(tx, actor, school, "pupil.read", id, s.clock.Now())
	})
	return rec, err
}

// Pupils lists pupils with their payers. That they were read is recorded.
func (s *Service) Pupils(ctx context.Context, actor Actor, school SchoolCode, f PupilFilter) (list []PupilRecord, err error) {
	err = s.store.Update(ctx, func(tx Tx) error {
		if list, err = tx.PupilRecords(school, f); err != nil {
			return err
		}
		what := "all"
		if f.Class != "" {
			what = "class " + f.Class
		}
		return s.audited(tx, actor, school, "pupils.listed", what, s.clock.Now())
	})
	return list, err
}

// Delegation is the right of a payer to see what a class has to pay: amounts and
// states, neither codes nor numbers. It ends with the school year it was given
// in, or when the school revokes it.
type Delegation struct {
	Class string
	Payer Payer
	Since time.Time
	By    Actor
}

// ClassNotice is a notice as the delegate of its class sees it.
type ClassNotice struct {
	School      SchoolCode
	SchoolName  string
	Class       string
	Name        string // of the debtor
	Description string
	Amount      money.Cents
	DueDate     Date
	State       NoticeState
	Campaign    string
}

// Delegate makes a payer the delegate of a class for this school year; again, it
// changes the payer's data and keeps date and author.
func (s *Service) Delegate(ctx context.Context, actor Actor, school SchoolCode, class string, in NewPayer) (d Delegation, created bool, err error) {
	var bad Invalid
	checkRegistryID("class", class, &bad)
	if len(class) > 16 {
		bad.Add("class", "length", "at most 16 characters, as on notices")
	}
	payer := checkPerson(school, in, "", &bad)
	if err := bad.Err(); err != nil {
		return d, false, err
	}
	err = s.store.Update(ctx, func(tx Tx) error {
		now := s.clock.Now()
		d = Delegation{Class: class, Payer: payer, Since: now, By: actor}
		live, err := tx.Delegations(school, class)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(live, func(o Delegation) bool { return o.Payer.ID == payer.ID })
		created = i < 0
		if i >= 0 {
			if !live[i].Since.Before(schoolYearStart(now)) {
				d.Since, d.By = live[i].Since, live[i].By
				if live[i].Payer == payer {
					return nil
				}
				if err := tx.PutPayer(payer); err != nil {
					return err
				}
				return s.audited(tx, actor, school, "delegate.changed", class+"/"+payer.ID, now)
			}
			// Last year's ended with it.
			if err := tx.EndDelegation(school, class, payer.ID, actor, now); err != nil {
				return err
			}
			created = true
		}
		if err := tx.PutPayer(payer); err != nil {
			return err
		}
		if err := tx.InsertDelegation(school, d); err != nil {
			return err
		}
		return s.audited(tx, actor, school, "delegate.added", class+"/"+payer.ID, now)
	})
	if err != nil {
		return d, false, fmt.Errorf("delegate: %w", err)
	}
	return d, created, nil
}

// EndDelegation takes a delegation back; ErrNotFound when there is none.
func (s *Service) EndDelegation(ctx context.Context, actor Actor, school SchoolCode, class, payer string) error {
	err := s.store.Update(ctx, func(tx Tx) error {
		now := s.clock.Now()
		if err := tx.EndDelegation(school, class, payer, actor, now); err != nil {
			return err
		}
		return s.audited(tx, actor, school, "delegate.ended", class+"/"+payer, now)
	})
	if err != nil {
		return fmt.Errorf("end delegation: %w", err)
	}
	return nil
}

// Delegations lists the delegates that a class has this school year.
func (s *Service) Delegations(ctx context.Context, school SchoolCode, class string) ([]Delegation, error) {
	var list []Delegation
	err := s.store.View(ctx, func(tx Tx) (err error) {
		list, err = tx.Delegations(school, class)
		return err
	})
	start := schoolYearStart(s.clock.Now())
	return slices.DeleteFunc(list, func(d Delegation) bool { return d.Since.Before(start) }), err
}

// maxClassNotices bounds what a delegate sees: several years of a class.
const maxClassNotices = 2000

// ClassNotices lists this school year's notices of the classes that the account
// is a delegate of, in all schools, newest first; nothing for an account that is
// not proven.
func (s *Service) ClassNotices(ctx context.Context, a Account) ([]ClassNotice, error) {
	if !a.Proven {
		return nil, nil
	}
	var list []ClassNotice
	now := s.clock.Now()
	err := s.store.View(ctx, func(tx Tx) (err error) {
		list, err = tx.ClassNotices(a.Code, schoolYearStart(now), now, maxClassNotices)
		return err
	})
	return list, err
}

// HasClass says whether ClassNotices would list any.
func (s *Service) HasClass(ctx context.Context, a Account) (has bool, err error) {
	if !a.Proven {
		return false, nil
	}
	err = s.store.View(ctx, func(tx Tx) (err error) {
		has, err = tx.HasClassNotice(a.Code, schoolYearStart(s.clock.Now()))
		return err
	})
	return has, err
}

func addCodeError(field string, err error, bad *Invalid) {
	code, msg := "format", "give a codice fiscale of 16 characters, 11 digits, or ANONIMO"
	if errors.Is(err, ErrFiscalCodeCheck) {
		code, msg = "check_letter", "the last character does not fit the others: look for a slip of the pen"
	}
	bad.Add(field, code, msg)
}
