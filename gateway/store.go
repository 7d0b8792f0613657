// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"crypto/sha256"
	"time"

	"github.com/nodogate/nodogate/gateway/money"
	"github.com/nodogate/nodogate/iuv"
)

// Store keeps everything that must not be lost. Personal data (debtors, payers,
// accounts, the bytes of receipts and evidence, outbox payloads, saved answers)
// is encrypted inside it; callers see plain values.
//
// What every implementation must do is said here and proved by storetest.
type Store interface {
	// Update runs fn in one transaction and commits only if fn returns nil;
	// when it returns nil the work is durable. fn may run more than once (the
	// databases may ask for a retry): it must have no effect outside tx. An
	// Update or View under a context that came from tx.Context() joins that
	// transaction.
	Update(ctx context.Context, fn func(tx Tx) error) error
	// View runs fn on one consistent reading. Nothing may be written.
	View(ctx context.Context, fn func(tx Tx) error) error
	// Lease is iuv.Source: a counter is given out at most once. The key of a
	// (school, segregation) is made at its first lease and never changes. Under
	// a context from tx.Context() the lease is part of that transaction, and
	// what it gives may be used in it only: it is undone with it.
	Lease(ctx context.Context, school string, seg iuv.Segregation, n uint64) (iuv.Lease, error)
}

// Tx is one transaction. Its methods return ErrNotFound for what is not there
// and ErrConflict for a unique key that is taken, and then the transaction may
// go on. Lock… methods read a row and keep others from changing it until the
// end; Save… methods write back a row that was locked in the same transaction.
type Tx interface {
	// Context carries the transaction.
	Context() context.Context

	School(code SchoolCode) (School, error)
	Schools() ([]School, error) // by name
	InsertSchool(School) error
	// SaveSchool is ErrConflict when a later version is there.
	SaveSchool(School) error
	// KnowsStation says whether any school uses this broker, and any this
	// station.
	KnowsStation(broker, station string) (knowsBroker, knowsStation bool, err error)

	// NoticesOfPlan lists the notices of one plan, the single option first.
	NoticesOfPlan(school SchoolCode, plan string) ([]Notice, error)
	// InsertNotices adds notices. taken lists the indexes of those whose number
	// the school has already; they are not added, the others are. A taken
	// ExternalID is ErrConflict.
	InsertNotices([]Notice) (taken []int, err error)
	Notice(school SchoolCode, number iuv.Number) (Notice, error) // with Payment, Token and Receipts
	// LockNotice locks the other notices of its plan too.
	LockNotice(school SchoolCode, number iuv.Number) (Notice, error)
	NoticeByExternalID(school SchoolCode, externalID string) (Notice, error)
	// ExternalIDs finds which of the ids the school's notices have, and what for.
	ExternalIDs(school SchoolCode, ids []string) (map[string]IssuedRef, error)
	// TakenNumbers finds which of the numbers the school has.
	TakenNumbers(school SchoolCode, numbers []iuv.Number) (map[iuv.Number]bool, error)
	// NoticesNumbered reads those of the numbers that the school has, without
	// Receipts, in no order.
	NoticesNumbered(school SchoolCode, numbers []iuv.Number) ([]Notice, error)
	SaveNotice(Notice) error
	// NameDebtor lets Notices find a debtor by a new name too, after SaveNotice.
	NameDebtor(Notice) error
	// Notices is ErrTooBroad for a Query that is the start of too many names.
	Notices(school SchoolCode, f NoticeFilter) ([]Notice, error)
	// LapsedNotices finds notices of all schools that are open, not payable after
	// their due date, and due before today; the longest due first.
	LapsedNotices(today Date, limit int) ([]NoticeRef, error)
	// NoticesOfFamily lists the notices of all pupils that a proven payer with
	// this code is linked to, and those addressed to the code itself, in all
	// schools, newest first; what is paid by when it was paid. Drafts are left out.
	NoticesOfFamily(code FiscalCode, f FamilyFilter) ([]FamilyNotice, error)
	// FamilyMaySee says whether NoticesOfFamily would list the notice.
	FamilyMaySee(code FiscalCode, school SchoolCode, number iuv.Number) (bool, error)
	AppendEvents(...Event) error
	Events(school SchoolCode, number iuv.Number) ([]Event, error) // oldest first

	// InsertReceipt adds a receipt; false when one with its natural key
	// (School, Creditor, CreditorReferenceID, receipt id) is there.
	InsertReceipt(Receipt) (inserted bool, err error)
	Receipt(school SchoolCode, id string) (Receipt, error) // with Raw
	ReceiptByKey(school SchoolCode, creditor, reference, receiptID string) (Receipt, error)
	Receipts(school SchoolCode, f ReceiptFilter) ([]Receipt, error) // without Raw, newest first
	// ReceiptsByID reads those of the ids that the school has, without Raw, in no
	// order.
	ReceiptsByID(school SchoolCode, ids []string) ([]Receipt, error)
	// ReceivedFor sums the amounts of the notice's receipts.
	ReceivedFor(school SchoolCode, number iuv.Number) (money.Cents, error)
	InsertEvidence(Evidence) error
	Evidence(kind EvidenceKind, limit int) ([]Evidence, error) // with Raw, newest first
	// Evidences lists a school's evidence, or what names no school of ours for the
	// empty one, newest first, without Raw.
	Evidences(school SchoolCode, f EvidenceFilter) ([]Evidence, error)
	EvidenceByID(school SchoolCode, id string) (Evidence, error) // with Raw
	InsertRefund(Refund) error
	Refund(school SchoolCode, id string) (Refund, error) // with Notice and AtPSP
	Refunds(school SchoolCode, f RefundFilter) ([]Refund, error)
	// RefundsOfReceipt lists a receipt's refunds, oldest first.
	RefundsOfReceipt(school SchoolCode, receipt string) ([]Refund, error)
	// RefundedOf sums what went back of receipts: their executed refunds. Those
	// without any are left out.
	RefundedOf(school SchoolCode, receipts []string) (map[string]money.Cents, error)
	// LockReceipt guards a receipt's refunds: Save… and Insert… of them are under it.
	LockReceipt(school SchoolCode, id string) error
	SaveRefund(Refund) error
	InsertPSPRefund(PSPRefund) error // ErrConflict: the attempt has one
	PSPRefund(attempt string) (PSPRefund, error)
	SavePSPRefund(PSPRefund) error
	// ClaimPSPRefunds takes those that are being asked and whose AskAt is at or
	// before now, as ClaimPolls does.
	ClaimPSPRefunds(now, until time.Time, limit int) ([]PSPRefund, error)

	InsertCart(Cart) error // ErrConflict: the RequestKey is taken
	Cart(id string) (Cart, error)
	CartByRequest(key string) (Cart, error)
	LockCart(id string) (Cart, error)
	SaveCart(Cart) error
	// CartsOfAccount lists a family's carts, newest first.
	CartsOfAccount(account string, limit int) ([]Cart, error)
	// InsertAttempt adds a live attempt on the notices; ErrConflict when one of
	// them has a live attempt already.
	InsertAttempt(Attempt, []NoticeRef) error
	Attempt(id string) (Attempt, error)
	AttemptsOfCart(cart string) ([]Attempt, error) // newest first
	LiveAttempt(school SchoolCode, number iuv.Number) (Attempt, error)
	// SaveAttempt writes the attempt; when its state is not live any more, all
	// its notices are released.
	SaveAttempt(Attempt) error
	ReleaseNotice(attempt string, school SchoolCode, number iuv.Number) error
	// DueAttempts lists attempts that are created, sent or unknown and whose
	// LapsesAt is at or before now; not those that are polled, which the PSP ends.
	DueAttempts(now time.Time, limit int) ([]Attempt, error)
	// ClaimPolls takes attempts that are sent or unknown and whose PollAt is at or
	// before now, oldest first, by setting PollAt to until: nobody else gets them
	// before. They come as they are then.
	ClaimPolls(now, until time.Time, limit int) ([]Attempt, error)
	// CountAttempts counts live attempts by state; no entry for a state without any.
	CountAttempts() (map[AttemptState]AttemptCount, error)

	// InsertToken adds an active token; ErrConflict when the notice has one.
	InsertToken(Token) error
	Token(id string) (Token, error)
	SaveToken(Token) error
	TokensOfAttempt(attempt string) ([]Token, error) // by school and number
	// InsertInbox keeps an event of a PSP; false when one with its PSP and ID is
	// there.
	InsertInbox(e PSPEvent, at time.Time) (inserted bool, err error)
	// SchoolsByPostalAccount lists the schools whose bulletins pay into the
	// account, by code: several may share one.
	SchoolsByPostalAccount(account string) ([]School, error)
	// UnremindedNotices lists open notices due in a span of days, both included,
	// and issued before a moment, for whose day nobody was reminded yet. Those
	// that stay payable after their day are left out: nothing is lost by waiting.
	UnremindedNotices(from, to Date, issuedBefore time.Time, limit int) ([]Reminder, error)
	// MarkReminded is false when the reminder was marked before.
	MarkReminded(r Reminder, at time.Time) (bool, error)
	InsertContribution(Contribution) error // ErrConflict: its service code is taken
	LockContribution(service string) (Contribution, error)
	Contributions(school SchoolCode) ([]Contribution, error) // by due date
	// GivingSchools calls each with the schools that have a contribution open on a
	// day, by name, until it says false.
	GivingSchools(today Date, each func(GivingSchool) bool) error

	PutPupil(Pupil) error
	Pupil(school SchoolCode, id string) (Pupil, error)
	Pupils(school SchoolCode) ([]Pupil, error) // by class, then id
	PutPayer(Payer) error
	Payer(school SchoolCode, id string) (Payer, error)
	LinkPayer(Link) error
	// PupilRecord locks the pupil where the transaction may write.
	PupilRecord(school SchoolCode, id string) (PupilRecord, error)
	PupilRecords(school SchoolCode, f PupilFilter) ([]PupilRecord, error)
	// PayerIDByCode finds a payer by fiscal code; empty when there is none.
	PayerIDByCode(school SchoolCode, code FiscalCode) (string, error)
	// UnlinkPayer is ErrNotFound when there is no such link. It forgets a payer who
	// has no link and no delegation any more.
	UnlinkPayer(school SchoolCode, pupil, payer string) error
	// InsertDelegation is ErrConflict when the payer is the class's delegate.
	InsertDelegation(school SchoolCode, d Delegation) error
	// Delegations lists those of a class that nobody ended, with their payers, by id.
	Delegations(school SchoolCode, class string) ([]Delegation, error)
	EndDelegation(school SchoolCode, class, payer string, by Actor, at time.Time) error
	// ClassNotices lists notices of the classes that payers with this code are
	// delegates of, both given since an instant, newest first, without drafts.
	ClassNotices(code FiscalCode, since, now time.Time, limit int) ([]ClassNotice, error)
	// HasClassNotice says whether the newest notice of such a class is of since.
	HasClassNotice(code FiscalCode, since time.Time) (bool, error)
	// PupilsOfFamily lists the pupils that a payer with this code is linked to, in
	// all schools, by school and id.
	PupilsOfFamily(code FiscalCode) ([]Pupil, error)
	InsertAccount(Account) error // ErrConflict: user name or code taken
	Account(id string) (Account, error)
	AccountByUsername(username string) (Account, error)
	AccountByCode(FiscalCode) (Account, error)
	SaveAccount(Account) error
	// DeleteAccount forgets an account with its log-ins, basket and what it asked
	// for; the carts it paid stay.
	DeleteAccount(id string) error
	// InsertLogin forgets the account's log-ins that were last seen before forget.
	InsertLogin(l Login, forget time.Time) error
	Login(id string) (Login, error)
	// Logins lists the account's that have not ended, newest first: seen since
	// seenFrom, begun since from.
	Logins(account string, seenFrom, from time.Time) ([]Login, error)
	TouchLogin(id string, at time.Time) error
	EndLogin(account, id string, at time.Time) error // ErrNotFound: another's, or ended
	EndOtherLogins(account, kept string, at time.Time) error
	PutEmailChange(EmailChange) error // replaces the account's earlier one
	EmailChange(token [sha256.Size]byte) (EmailChange, error)
	DeleteEmailChange(account string) error
	SaveBasket(account string, list []NoticeRef) error
	Basket(account string) ([]NoticeRef, error)

	InsertRegistration(Registration) error
	LockRegistration(id string) (Registration, error)
	// SaveRegistration writes which account it became.
	SaveRegistration(Registration) error
	// CountRegistrations counts those of a code made at or after since.
	CountRegistrations(code FiscalCode, since time.Time) (int, error)
	InsertPasswordLink(PasswordLink) error
	PasswordLink(id string) (PasswordLink, error)
	SavePasswordLink(PasswordLink) error // writes UsedAt
	CountPasswordLinks(account string, since time.Time) (int, error)
	// InsertIdentity says whose an identity of an OpenID provider is; ErrConflict
	// when it is known already.
	InsertIdentity(issuer, subject, account string, at time.Time) error
	AccountOfIdentity(issuer, subject string) (account string, err error)
	InsertInvitation(Invitation) error
	Invitation(hash [sha256.Size]byte) (Invitation, error) // locks it where the transaction may write
	SaveInvitation(Invitation) error                       // writes UsedAt
	// LastInvitation is the latest one of a payer; ErrNotFound.
	LastInvitation(school SchoolCode, payer string) (Invitation, error)
	// EndInvitations ends those of a payer that were not used and are not over.
	EndInvitations(school SchoolCode, payer string, at time.Time) error
	// InsertHelpMail notes that a confirmation goes to an address, and
	// CountHelpMails counts those since an instant.
	InsertHelpMail(email string, at time.Time) error
	CountHelpMails(email string, since time.Time) (int, error)
	// PayersByCode lists the entries of all schools' registries for a person.
	PayersByCode(FiscalCode) ([]Payer, error)

	InsertClient(Client) error
	Client(id string) (Client, error)
	Clients() ([]Client, error)
	RevokeClient(id string, at time.Time) error
	// RotateClient is ErrNotFound for one that is revoked.
	RotateClient(id string, secret [sha256.Size]byte) error

	// ArchivePosition is what the archive of notices was last told; the zero
	// position, without a state, when it was told nothing.
	ArchivePosition(school SchoolCode, number iuv.Number) (ArchivePosition, error)
	PutArchivePosition(ArchivePosition) error
	CountArchiveRefused() (int, error)
	// UnmirroredNotices lists a school's notices with a Seq above after, oldest
	// first, that are open and have no position, or whose position is refused.
	UnmirroredNotices(school SchoolCode, after int64, limit int) ([]Unmirrored, error)

	InsertWebhook(Webhook) error
	Webhook(school SchoolCode, id string) (Webhook, error)
	LockWebhook(school SchoolCode, id string) (Webhook, error)
	// Webhooks lists a school's webhooks with a Seq below before, newest first.
	Webhooks(school SchoolCode, before int64, limit int) ([]Webhook, error)
	SaveWebhook(Webhook) error // its events and its endpoint
	// DeleteWebhook forgets a webhook and all its deliveries.
	DeleteWebhook(school SchoolCode, id string) error
	// Delivery finds the message of a webhook, with its tries; ErrNotFound.
	Delivery(school SchoolCode, id string) (Delivered, error)
	// Deliveries lists those of a webhook with a Seq below before, newest first.
	Deliveries(school SchoolCode, webhook string, before int64, limit int) ([]Delivered, error)
	// AddDeliveryTry notes how a try ended; nothing when the delivery is gone.
	AddDeliveryTry(school SchoolCode, delivery string, try DeliveryTry) error

	ReplaceTaxonomy([]TaxonomyCode) error
	// TaxonomyCodes finds codes, all for nil, in all their times; loaded is false
	// when no list was ever imported.
	TaxonomyCodes(codes []string) (loaded bool, list []TaxonomyCode, err error)

	// Enqueue adds outbox rows; see Message.
	Enqueue(...Message) error
	AppendAudit(Audit) error
	ImportTx
	CampaignTx
	PrintTx
	SealTx
	// Audits lists the audit trail of a school, newest first; of the empty school
	// what belongs to the installation.
	Audits(school SchoolCode, f AuditFilter) ([]Audit, error)

	// OnceRecord finds the record of an idempotency key; ErrNotFound.
	OnceRecord(scope string) (OnceRecord, error)
	// PutOnce writes it, replacing one that expired; a Running one is replaced
	// by its answer, but not by another Running one: ErrConflict.
	PutOnce(OnceRecord) error
	DeleteOnce(scope string) error
}

// IssuedRef is the notice that an external id stands for.
type IssuedRef struct {
	Number      iuv.Number
	Fingerprint [sha256.Size]byte
	CreatedAt   time.Time
}

// AttemptCount says how many attempts are in a state, and since when the one is
// that is in it longest.
type AttemptCount struct {
	Count int
	Since time.Time
}

// NoticeFilter chooses notices of one school, newest first. Zero fields do not
// filter.
type NoticeFilter struct {
	// State is the state to show at Now: expired finds open notices past their
	// day, open leaves those out.
	State      NoticeState
	Now        time.Time
	Debtor     FiscalCode
	Pupil      string // an id of the registry
	Class      string
	Campaign   string
	Plan       string
	ExternalID string
	// Query is an exact number or external id, or the first letters of words of
	// the debtor's name.
	Query            string
	DueFrom, DueTo   Date // both included
	PaidFrom, PaidTo time.Time
	Before           int64 // Seq below
	Limit            int
}

type txKey struct{}

// ContextWithTx is for stores: the context that Tx.Context returns.
func ContextWithTx(ctx context.Context, tx Tx) context.Context {
	return context.WithValue(ctx, txKey{}, tx)
}

// TxFromContext is the transaction that the context carries, or nil.
func TxFromContext(ctx context.Context) Tx {
	tx, _ := ctx.Value(txKey{}).(Tx)
	return tx
}

// FamilyFilter chooses notices of a family.
type FamilyFilter struct {
	Part          FamilyPart
	Limit, Offset int
}

// FamilyPart says which notices of a family are wanted.
type FamilyPart string

const (
	FamilyAll    FamilyPart = ""
	FamilyPaid   FamilyPart = "paid"
	FamilyUnpaid FamilyPart = "unpaid"
)

// FamilyNotice is a notice as a family sees it.
type FamilyNotice struct {
	Notice
	SchoolName string
	// Pupil is the pupil it is for; zero when it is addressed to the reader.
	Pupil Pupil
}

// EventKind says what happened. Stored and sent: never renamed.
type EventKind string

const (
	EventNoticeDrafted   EventKind = "notice.drafted"
	EventNoticeIssued    EventKind = "notice.issued"
	EventNoticeChanged   EventKind = "notice.changed"
	EventNoticeRestored  EventKind = "notice.restored"
	EventNoticePaid      EventKind = "notice.paid"
	EventNoticeCancelled EventKind = "notice.cancelled"
	EventNoticeExpired   EventKind = "notice.expired"
	EventReceiptRecorded EventKind = "receipt.recorded"
	EventReceiptAnomaly  EventKind = "receipt.anomaly"
	EventImportFinished  EventKind = "import.finished"
	// EventNoticeDue says that a notice falls due soon and is not paid. Families
	// are told of it, programs not.
	EventNoticeDue      EventKind = "reminder.due"
	EventPaymentStarted EventKind = "payment.started"
	EventPaymentEnded   EventKind = "payment.ended"
	EventRefundChanged  EventKind = "refund.changed"
)

// Event is one line of a notice's history. Only added.
type Event struct {
	School SchoolCode
	Number iuv.Number
	Seq    int64 // set by the store
	Kind   EventKind
	Actor  Actor
	// Campaign is the notice's; Service.Events fills it.
	Campaign string
	Receipt  string
	Anomaly  Anomaly
	Attempt  string
	State    AttemptState // of the attempt, for payment events
	// Refund and its state then, for refund events.
	Refund      string
	RefundState RefundState
	At          time.Time
}

// Message is a row of the outbox: something to tell the world, written with the
// change it tells of, delivered at least once and in order per kind, target and
// aggregate.
type Message struct {
	ID        string
	School    SchoolCode
	Kind      string // the domain's are "event", one per EventKind told
	Target    string // which receiver of several of the kind; empty where there is one
	Aggregate string // what order is kept for, for example school/number
	Payload   []byte // JSON, no secrets; encrypted by the store
	At        time.Time
}

// Claimed is a message that a worker holds until its lease ends.
type Claimed struct {
	Message
	Tries int // this one included
}

// Audit is who did what to which record. Only added, never with personal data.
type Audit struct {
	School SchoolCode
	Actor  Actor
	Action string
	Object string
	At     time.Time
	Seq    int64 // set by the store
}

// AuditFilter chooses lines of an audit trail. Zero fields do not filter.
type AuditFilter struct {
	Actor          string // its name
	Action, Object string
	From, To       time.Time // at or after, before
	Before         int64     // Seq below
	Limit          int
}

// OnceRecord remembers a request with an idempotency key, and its answer.
type OnceRecord struct {
	Scope       string // digest of caller, method, route and key
	Fingerprint [sha256.Size]byte
	Running     bool
	Status      int
	Location    string
	ETag        string
	Body        []byte // encrypted by the store
	CreatedAt   time.Time
	ExpiresAt   time.Time
}
