// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nodogate/nodogate/iuv"
)

// School is a creditor (ente creditore) that issues notices.
type School struct {
	Code         SchoolCode
	Name         string
	Town         string // where it is, for families that search it; may be empty
	IBAN         IBAN
	Segregation  iuv.Segregation // codice di segregazione
	Broker       string          // intermediary's fiscal code (idBrokerPA)
	Station      string          // idStation
	Mechanograph string          // codice meccanografico, for example GRIC83000X
	CBILL        string          // interbank code printed on notices
	Taxonomy     string          // default transferCategory, written 9/…/
	Postal       PostalAccount   // zero when the school has none
	HelpText     string          // whom a family may ask, and when
	HelpMail     string          // where questions of families to it go; empty: it takes none here
	// CampaignsNeedApproval: somebody else than its author, the head as a rule, has
	// to approve a campaign before it can be published.
	CampaignsNeedApproval bool
	CreatedAt             time.Time
	Version               int64 // + 1 at each change
}

// PostalAccount is what the postal part of a notice needs (conto corrente
// postale).
type PostalAccount struct {
	Account       string // 12 digits
	IBAN          IBAN
	Holder        string // at most 50 characters
	Authorization string // AUT. DB/…
}

// PostalIBAN is the postal account that a transfer of the school's notice can go
// to, or empty.
func (s *School) PostalIBAN(t Transfer) IBAN {
	switch {
	case t.Stamp != nil:
		return ""
	case t.IBAN.Postal():
		return t.IBAN
	case t.School == s.Code:
		return s.Postal.IBAN
	}
	return ""
}

// DefaultTaxonomy is used until a school sets its own code. It is the platform's
// own constant for general income; the official school codes come from the
// taxonomy file (pagopa-protocol, section 6).
const DefaultTaxonomy = "9/0801100AP/"

// TaxonomyForm is the accepted writing of a taxonomy code.
var TaxonomyForm = regexp.MustCompile(`^(9/)?[0-9]{7}(IM|TS|SP|SA|AP)(/[^\s]*)?$`)

var (
	mechanographForm = regexp.MustCompile(`^[A-Z0-9]{10}$`)
	cbillForm        = regexp.MustCompile(`^[A-Z0-9]{5}$`)
	stationForm      = regexp.MustCompile(`^[0-9]{11}_[0-9]{2}$`)
)

// NewSchool is a school as a person typed it.
type NewSchool struct {
	Code, Name, IBAN, Segregation, Broker, Station      string
	Mechanograph, CBILL, Taxonomy, HelpText, Town       string
	HelpMail                                            string
	PostalAccount, PostalIBAN, PostalHolder, PostalAuth string
	CampaignsNeedApproval                               bool // false for a new one
}

// AddSchool makes a school. The same data again returns the school and
// created=false; other data for a known code is ErrExists.
func (s *Service) AddSchool(ctx context.Context, actor Actor, in NewSchool) (School, bool, error) {
	school, err := s.checkSchool(in)
	if err != nil {
		return School{}, false, err
	}
	created := false
	err = s.store.Update(ctx, func(tx Tx) error {
		created = false
		old, err := tx.School(school.Code)
		if err == nil {
			school.CreatedAt, school.Version = old.CreatedAt, old.Version
			school.CampaignsNeedApproval = old.CampaignsNeedApproval // the school's own choice, later
			if old != school {
				return fmt.Errorf("school %s: %w", school.Code, ErrExists)
			}
			return nil
		}
		if !isNotFound(err) {
			return err
		}
		if in.Taxonomy != "" { // what nobody chose is judged when a notice carries it
			if err := s.checkTaxonomy(tx.Context(), school, []NewNotice{{}}, false); err != nil {
				return err
			}
		}
		school.CreatedAt, school.Version = s.clock.Now(), 1
		created = true
		if err := tx.InsertSchool(school); err != nil {
			return err
		}
		return tx.AppendAudit(Audit{School: school.Code, Actor: actor, Action: "school.created", Object: string(school.Code), At: s.clock.Now()})
	})
	return school, created, err
}

// ChangeSchool changes what change changes of a school, which it sees as it was
// typed; its code stays, and notices that were issued stay as they are.
func (s *Service) ChangeSchool(ctx context.Context, actor Actor, code SchoolCode, change func(old School, in *NewSchool) error) (School, error) {
	var school School
	err := s.store.Update(ctx, func(tx Tx) error {
		old, err := tx.School(code)
		if err != nil {
			return err
		}
		in := NewSchool{
			Code: string(old.Code), Name: old.Name, IBAN: string(old.IBAN), Segregation: old.Segregation.String(), Broker: old.Broker, Station: old.Station,
			Mechanograph: old.Mechanograph, CBILL: old.CBILL, Taxonomy: old.Taxonomy, HelpText: old.HelpText, Town: old.Town, HelpMail: old.HelpMail,
			CampaignsNeedApproval: old.CampaignsNeedApproval,
			PostalAccount:         old.Postal.Account, PostalIBAN: string(old.Postal.IBAN), PostalHolder: old.Postal.Holder, PostalAuth: old.Postal.Authorization,
		}
		if err := change(old, &in); err != nil {
			return err
		}
		if school, err = s.checkSchool(in); err != nil {
			return err
		}
		if school.Taxonomy != old.Taxonomy {
			if err := s.checkTaxonomy(tx.Context(), school, []NewNotice{{}}, false); err != nil {
				return err
			}
		}
		school.CreatedAt, school.Version = old.CreatedAt, old.Version
		if school == old {
			return nil
		}
		school.Version++
		if err := tx.SaveSchool(school); err != nil {
			return err
		}
		return s.audited(tx, actor, code, "school.changed", string(code), s.clock.Now())
	})
	if err != nil {
		return School{}, fmt.Errorf("change school %s: %w", code, err)
	}
	return school, nil
}

// School finds one school; ErrNotFound.
func (s *Service) School(ctx context.Context, code SchoolCode) (School, error) {
	var school School
	err := s.store.View(ctx, func(tx Tx) (err error) {
		school, err = tx.School(code)
		return err
	})
	return school, err
}

// Schools lists all schools by name.
func (s *Service) Schools(ctx context.Context) ([]School, error) {
	var all []School
	err := s.store.View(ctx, func(tx Tx) (err error) {
		all, err = tx.Schools()
		return err
	})
	return all, err
}

func (s *Service) checkSchool(in NewSchool) (School, error) {
	var bad Invalid
	var school School
	var err error
	if school.Code, err = ParseSchoolCode(in.Code); err != nil {
		bad.Add("fiscal_code", "format", "give the school's 11-digit fiscal code, with a right last digit")
	}
	if school.Name = clean(in.Name); school.Name == "" || utf8.RuneCountInString(school.Name) > 140 {
		bad.Add("name", "length", "give a name of 1 to 140 characters")
	}
	if school.IBAN, err = ParseIBAN(in.IBAN); err != nil {
		bad.Add("iban", "format", "give a right IBAN")
	}
	if school.Segregation, err = iuv.ParseSegregation(in.Segregation); err != nil {
		bad.Add("segregation_code", "format", "give the two digits assigned by PagoPA, for example 01")
	}
	school.Broker, school.Station = in.Broker, in.Station
	if school.Broker == "" {
		school.Broker = s.cfg.Broker
	}
	if school.Broker == "" {
		school.Broker = string(school.Code) // the school is its own broker
	}
	if school.Station == "" {
		school.Station = s.cfg.Station
	}
	if school.Station == "" {
		school.Station = school.Broker + "_01"
	}
	if school.Code == "" {
		return school, bad.Err() // what follows builds on it
	}
	if _, err := ParseSchoolCode(school.Broker); err != nil {
		bad.Add("broker", "format", "give the broker's 11-digit fiscal code")
	}
	if !stationForm.MatchString(school.Station) {
		bad.Add("station", "format", "give a station like 80014480828_01")
	}
	if school.Mechanograph = strings.ToUpper(in.Mechanograph); school.Mechanograph != "" && !mechanographForm.MatchString(school.Mechanograph) {
		bad.Add("mechanographic_code", "format", "give the 10 characters of the codice meccanografico")
	}
	if school.CBILL = strings.ToUpper(in.CBILL); school.CBILL != "" && !cbillForm.MatchString(school.CBILL) {
		bad.Add("cbill", "format", "give the 5 characters of the CBILL code")
	}
	if school.Taxonomy = in.Taxonomy; school.Taxonomy == "" {
		school.Taxonomy = DefaultTaxonomy
	}
	if !TaxonomyForm.MatchString(school.Taxonomy) || len(school.Taxonomy) > 140 {
		bad.Add("taxonomy", "format", "give a taxonomy code like 9/0801100AP/")
	}
	if school.HelpText = clean(in.HelpText); utf8.RuneCountInString(school.HelpText) > 300 {
		bad.Add("help_text", "length", "at most 300 characters")
	}
	if school.Town = clean(in.Town); utf8.RuneCountInString(school.Town) > 80 {
		bad.Add("town", "length", "at most 80 characters")
	}
	if in.HelpMail != "" {
		school.HelpMail = checkEmail(in.HelpMail, "help_mail", &bad)
	}
	school.Postal = checkPostal(in, &bad)
	school.CampaignsNeedApproval = in.CampaignsNeedApproval
	return school, bad.Err()
}

func checkPostal(in NewSchool, bad *Invalid) PostalAccount {
	if in.PostalAccount == "" && in.PostalIBAN == "" && in.PostalHolder == "" && in.PostalAuth == "" {
		return PostalAccount{}
	}
	p := PostalAccount{Account: in.PostalAccount, Holder: clean(in.PostalHolder), Authorization: clean(in.PostalAuth)}
	if len(p.Account) > 12 || !digitsOnly(p.Account) {
		bad.Add("postal_account", "format", "give the postal account's 12 digits")
	}
	p.Account = strings.Repeat("0", max(0, 12-len(p.Account))) + p.Account
	var err error
	if p.IBAN, err = ParseIBAN(in.PostalIBAN); err != nil || !p.IBAN.Postal() || p.IBAN[15:] != IBAN(p.Account) {
		bad.Add("postal_iban", "format", "give the IBAN of that postal account")
	}
	if p.Holder == "" || utf8.RuneCountInString(p.Holder) > 50 {
		bad.Add("postal_holder", "length", "give the account's holder in at most 50 characters")
	}
	if p.Authorization == "" || utf8.RuneCountInString(p.Authorization) > 50 {
		bad.Add("postal_authorization", "length", "give the text of the authorization by Poste Italiane")
	}
	return p
}

// clean drops blanks around a text and turns runs of white space and control
// characters into one blank, so that no text of a person can break a line of a
// log, a mail header or a message.
func clean(s string) string {
	if tidy(s) {
		return s
	}
	return cleanSlowly(s)
}

func cleanSlowly(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool {
		return r <= ' ' || r == 0x7f || r >= 0x80 && r <= 0xa0 || r == 0x2028 || r == 0x2029 || turns(r)
	}), " ")
}

// turns says that a rune turns the direction of the text: a notice with one could
// read as another on the page and in a bank's app.
func turns(r rune) bool {
	return r == 0x200e || r == 0x200f || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
}

// tidy says that clean would change nothing of s; it may say no when it would
// not either.
func tidy(s string) bool {
	blank := true // what is before s
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == ' ':
			if blank {
				return false
			}
			blank = true
			continue
		case c < ' ', c == 0x7f, c == 0xc2, c == 0xe2: // the last two begin the runes that are no text
			return false
		}
		blank = false
	}
	return !blank || s == ""
}
