// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Families without SPID, CIE or an e-mail address that the school knows prove who
// they are by paper: the school's office, which knows them, hands them a letter
// with a code. The code is kept as a keyed hash, so it is shown once.

// invitationDays is how many days after the one of its making a code can be used.
const invitationDays = 90

// MaxLetters is how many payers can be invited at once.
const MaxLetters = 500

// Invited is an invitation as it is handed over, with its code, this once.
type Invited struct {
	Payer  Payer
	Pupils []Pupil // for whose sake; those that were asked about
	Code   string  // in groups, ABCD-EFGH-JKLM-NOPQ
	Until  time.Time
}

// LastDay is the last day, in Rome, on which the code can be used.
func (i *Invited) LastDay() Date { return DateIn(i.Until.Add(-time.Microsecond)) }

// Invitations are those of a class.
type Invitations struct {
	Letters []Invited // by the names of their first pupil
	// Proven are payers who need none: they have an account that is proved.
	Proven []Payer
}

// Invite makes an invitation code for a payer of the school's registry. Earlier
// ones stay good until one of them is used: a letter may be on its way already.
func (s *Service) Invite(ctx context.Context, actor Actor, school SchoolCode, payer string) (code string, until time.Time, err error) {
	err = s.store.Update(ctx, func(tx Tx) error {
		y, err := tx.Payer(school, payer)
		if err != nil {
			return err
		}
		i, err := s.invite(tx, actor, y)
		code, until = i.Code, i.Until
		return err
	})
	if err != nil {
		return "", time.Time{}, fmt.Errorf("invite: %w", err)
	}
	return code, until, nil
}

func (s *Service) invite(tx Tx, actor Actor, y Payer) (Invited, error) {
	secret := strings.ToUpper(s.newID())[:16]
	now := s.clock.Now()
	i := Invited{
		Payer: y, Code: secret[:4] + "-" + secret[4:8] + "-" + secret[8:12] + "-" + secret[12:],
		Until: DateIn(now).AddDays(invitationDays).Deadline(),
	}
	err := tx.InsertInvitation(Invitation{Hash: s.invitationHash(i.Code), School: y.School, Payer: y.ID, By: actor, CreatedAt: now, ExpiresAt: i.Until})
	if err != nil {
		return Invited{}, err
	}
	return i, s.audited(tx, actor, y.School, "payer.invited", y.ID, now)
}

// InvitePayer is Invite for a payer of one pupil; ErrNotFound when the two are
// not linked.
func (s *Service) InvitePayer(ctx context.Context, actor Actor, school SchoolCode, pupil, payer string) (i Invited, err error) {
	err = s.store.Update(ctx, func(tx Tx) error {
		rec, y, err := linked(tx, school, pupil, payer)
		if err != nil {
			return err
		}
		if i, err = s.invite(tx, actor, y); err != nil {
			return err
		}
		i.Pupils = []Pupil{rec.Pupil}
		return nil
	})
	if err != nil {
		return Invited{}, fmt.Errorf("invite payer: %w", err)
	}
	return i, nil
}

// linked finds a payer under its pupil; ErrNotFound.
func linked(tx Tx, school SchoolCode, pupil, payer string) (PupilRecord, Payer, error) {
	rec, err := tx.PupilRecord(school, pupil)
	if err != nil {
		return rec, Payer{}, err
	}
	i := slices.IndexFunc(rec.Payers, func(y LinkedPayer) bool { return y.ID == payer })
	if i < 0 {
		return rec, Payer{}, ErrNotFound
	}
	return rec, rec.Payers[i].Payer, nil
}

// InviteClass makes a code for every payer of a class's pupils who has no account
// that is proved; ErrNotFound when the class has no pupil, *Invalid when it has
// too many.
func (s *Service) InviteClass(ctx context.Context, actor Actor, school SchoolCode, class string) (out Invitations, err error) {
	err = s.store.Update(ctx, func(tx Tx) error {
		out = Invitations{}
		pupils, err := tx.PupilRecords(school, PupilFilter{Class: class, Limit: MaxLetters + 1})
		if err != nil {
			return err
		}
		if len(pupils) == 0 {
			return ErrNotFound
		}
		slices.SortFunc(pupils, func(a, b PupilRecord) int {
			return strings.Compare(plain(a.LastName+" "+a.FirstName)+" "+a.ID, plain(b.LastName+" "+b.FirstName)+" "+b.ID)
		})
		var payers []Invited
		for _, p := range pupils {
			for _, y := range p.Payers {
				i := slices.IndexFunc(payers, func(o Invited) bool { return o.Payer.ID == y.ID })
				if i < 0 {
					i, payers = len(payers), append(payers, Invited{Payer: y.Payer})
				}
				payers[i].Pupils = append(payers[i].Pupils, p.Pupil)
			}
		}
		if len(payers) > MaxLetters {
			return &Invalid{[]FieldError{{"class", "too_many", fmt.Sprintf("invite at most %d payers at once", MaxLetters)}}}
		}
		for _, y := range payers {
			a, err := tx.AccountByCode(y.Payer.Code)
			if err != nil && !isNotFound(err) {
				return err
			}
			if err == nil && a.Proven {
				out.Proven = append(out.Proven, y.Payer)
				continue
			}
			i, err := s.invite(tx, actor, y.Payer)
			if err != nil {
				return err
			}
			i.Pupils = y.Pupils
			out.Letters = append(out.Letters, i)
		}
		return nil
	})
	if err != nil {
		return Invitations{}, fmt.Errorf("invite class: %w", err)
	}
	return out, nil
}

// LastInvitation is the latest invitation of a pupil's payer, without its code;
// ErrNotFound.
func (s *Service) LastInvitation(ctx context.Context, school SchoolCode, pupil, payer string) (i Invitation, err error) {
	err = s.store.View(ctx, func(tx Tx) error {
		if _, _, err := linked(tx, school, pupil, payer); err != nil {
			return err
		}
		i, err = tx.LastInvitation(school, payer)
		return err
	})
	return i, err
}

// EndInvitations ends all codes of a pupil's payer that were not used: a letter
// was lost. Again changes nothing.
func (s *Service) EndInvitations(ctx context.Context, actor Actor, school SchoolCode, pupil, payer string) error {
	err := s.store.Update(ctx, func(tx Tx) error {
		if _, _, err := linked(tx, school, pupil, payer); err != nil {
			return err
		}
		now := s.clock.Now()
		if err := tx.EndInvitations(school, payer, now); err != nil {
			return err
		}
		return s.audited(tx, actor, school, "payer.invitation_ended", payer, now)
	})
	if err != nil {
		return fmt.Errorf("end invitations: %w", err)
	}
	return nil
}

// misread puts right what a reader of the letter takes for another sign: a code
// has none of these three digits.
var misread = strings.NewReplacer("-", "", " ", "", "0", "O", "1", "I", "8", "B")

func (s *Service) invitationHash(code string) [sha256.Size]byte {
	return [sha256.Size]byte(s.mac("invitation", misread.Replace(strings.ToUpper(code))))
}
