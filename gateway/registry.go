// SPDX-License-Identifier: Apache-2.0

package gateway

import "time"

// PersonKind tells pupils from others in a school's registry who may owe
// something. Stored: never renamed.
type PersonKind string

const (
	KindPupil PersonKind = "" // as a rule
	KindStaff PersonKind = "staff"
	KindAdult PersonKind = "adult" // of a course, for example
)

// Pupil (alunno) is whom a notice is for as a rule; or one of the staff, or
// another adult, as Kind says.
type Pupil struct {
	School     SchoolCode
	Kind       PersonKind
	ID         string // the school's own id, [A-Za-z0-9._-]{1,64}
	Code       FiscalCode
	FirstName  string
	LastName   string
	Class      string
	SchoolYear string // 2026/27
	// CreatedAt is when it was enrolled; the store fills it in a PupilRecord.
	CreatedAt time.Time
}

// Payer is an adult of a school's registry who may see and pay for pupils.
type Payer struct {
	School    SchoolCode
	ID        string // the school's own id
	Code      FiscalCode
	FirstName string
	LastName  string
	Email     string
	Language  string // it, en, de, fr, sl
}

// Link makes a payer see a pupil's notices. Made and ended by the school.
type Link struct {
	School   SchoolCode
	Pupil    string
	Payer    string
	Relation string // mother, father, guardian, self, other
	Since    time.Time
	By       Actor
}

// Account is a family member's log-in.
type Account struct {
	ID        string
	Username  string
	Code      FiscalCode
	FirstName string
	LastName  string
	Email     string
	// Password is an Argon2id string; empty when only SPID or CIE may enter.
	Password   string
	MustChange bool // the password is provisional
	// PasswordUntil ends a provisional password that was mailed, and PasswordUsed
	// says that it was used to enter: it opens once.
	PasswordUntil time.Time
	PasswordUsed  bool
	// Proven says that the account's code was proved (reliability.md, section
	// 10); an unproven account sees nobody's notices.
	Proven     bool
	Language   string
	LastMethod Method // what the family chose last
	LastPSP    PSPID
	CreatedAt  time.Time
	// ConsentsAt is when the family last said what it consents to; zero while it
	// was never asked.
	ConsentsAt    time.Time
	MailConsent   bool // to mails about notices
	ChoiceConsent bool // to our keeping LastMethod and LastPSP
	// Failures and LockedUntil slow down guessing.
	Failures    int
	LockedUntil time.Time
}
