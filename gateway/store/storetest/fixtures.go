// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver of raw

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/money"
	"github.com/nodogate/nodogate/gateway/store"
	"github.com/nodogate/nodogate/iuv"
	"github.com/nodogate/nodogate/receipts"
)

// Invented people and schools.
const (
	schoolA = gateway.SchoolCode("80014480828")
	schoolB = gateway.SchoolCode("77777777777")

	pupilCode  = gateway.FiscalCode("RSSMRA80A01H501U")
	payerCode  = gateway.FiscalCode("BNCLRA75B41F205I")
	strangerCF = gateway.FiscalCode("VRDGPP60C15L219A")
)

var (
	seg  = must(iuv.ParseSegregation("01"))
	due  = gateway.Date{Year: 2026, Month: 12, Day: 31}
	user = gateway.Actor{Kind: "client", Name: "ngc_1"}
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func nr(base int) iuv.Number { return iuv.New(seg, uint64(base)) }

func school(code gateway.SchoolCode, name string) gateway.School {
	return gateway.School{
		Code: code, Name: name, IBAN: "IT60X0542811101000000123456", Segregation: seg,
		Broker: "80014480828", Station: "80014480828_01", Mechanograph: "GRIC83000X", CBILL: "AAAAA", Taxonomy: "9/0801100AP/",
		Town:     "Grosseto",
		Postal:   gateway.PostalAccount{Account: "000001234567", IBAN: "IT45R0760103200000001234567", Holder: "Istituto Rossi", Authorization: "AUT. DB/1"},
		HelpText: "Segreteria, 9-12", HelpMail: "segreteria@scuola.example", CreatedAt: Now(), Version: 1,
	}
}

func notice(s gateway.SchoolCode, base int) gateway.Notice {
	n := nr(base)
	return gateway.Notice{
		School: s, Number: n, State: gateway.NoticeOpen, Version: 1,
		Debtor:      gateway.Debtor{Code: pupilCode, Name: "Mario Rossi", Class: "3B"},
		Description: "Gita a Siena", Amount: 1650, PastAmounts: []money.Cents{1500}, DueDate: due, Taxonomy: "9/0801100AP/",
		Deduction: "e-bis", Campaign: "gita",
		Transfers:   []gateway.Transfer{{ID: 1, School: s, IBAN: "IT60X0542811101000000123456", Amount: 1650, Taxonomy: "9/0801100AP/", Remittance: "/RFB/" + n.IUV() + "/16.50/TXT/Gita"}},
		Fingerprint: sha256.Sum256([]byte{byte(base)}), CreatedAt: Now(), ChangedAt: Now().Add(time.Second),
	}
}

// receipt is one that says that the notice was paid.
func receipt(n gateway.Notice, id string) gateway.Receipt {
	content := receipts.Receipt{
		ID: "token-" + id, Notice: n.Number, Creditor: string(n.School), Outcome: "OK", CreditorReferenceID: n.Number.IUV(), Amount: n.Amount,
		Description: n.Description, Debtor: receipts.Subject{Type: "F", ID: string(n.Debtor.Code), FullName: n.Debtor.Name, Email: "mario@example.org"},
		Payer:     &receipts.Subject{Type: "F", ID: string(payerCode), FullName: "Laura Bianchi"},
		Transfers: []receipts.Transfer{{ID: 1, Amount: n.Amount, Creditor: string(n.School), IBAN: "IT60X0542811101000000123456", Remittance: "Gita"}},
		PSP:       receipts.PSP{ID: "BANK", Name: "Banca di prova"}, Method: "creditCard", PaidAt: Now().Add(-time.Minute),
	}
	raw := []byte("<receipt>" + string(pupilCode) + " Mario Rossi " + id + "</receipt>")
	return gateway.Receipt{
		ID: id, School: n.School, Notice: n.Number, Role: gateway.RoleCreditor, Channel: gateway.ChannelNode,
		Content: content, Digest: receipts.Digest(raw), Same: content.Content(), Raw: raw, Received: Now(),
	}
}

func cart(id string, notices ...gateway.Notice) gateway.Cart {
	c := gateway.Cart{
		ID: id, State: gateway.CartOpen, Method: gateway.MethodCard, PSP: "BANK", Account: "acc-1", School: schoolA, RequestKey: "key-" + id,
		Email: "laura.bianchi@example.org", ReturnURL: "https://pago.example.org/x", Fee: 100, CreatedAt: Now(), ChangedAt: Now(), Version: 1,
	}
	for _, n := range notices {
		c.Notices = append(c.Notices, gateway.CartNotice{School: n.School, Number: n.Number, Amount: n.Amount})
	}
	return c
}

func attempt(id, cart string) gateway.Attempt {
	return gateway.Attempt{
		ID: id, Cart: cart, State: gateway.AttemptCreated, Method: gateway.MethodCard, PSP: "BANK", Fee: 100,
		CreatedAt: Now(), ChangedAt: Now(), LapsesAt: Now().Add(35 * time.Minute), Version: 1,
	}
}

func token(id string, n gateway.Notice) gateway.Token {
	return gateway.Token{
		ID: id, School: n.School, Number: n.Number, State: gateway.TokenActive,
		Peer:   gateway.Peer{PSP: "BANK", Name: "Bank", Broker: "97735020584", Channel: "97735020584_01"},
		Amount: n.Amount, Transfers: n.Transfers, PaymentNote: "note", Attempt: "a-1", Once: "scope",
		CreatedAt: Now(), ExpiresAt: Now().Add(30 * time.Minute), ChangedAt: Now(),
	}
}

func contribution(id, service string) gateway.Contribution {
	return gateway.Contribution{
		School: schoolA, ID: id, Service: service, Description: "Contributo per i laboratori", Amount: 5000, Min: 1000, Free: true,
		DueDate: gateway.Date{Year: 2026, Month: time.December, Day: 31}, Taxonomy: gateway.DefaultTaxonomy, Deduction: "i-octies",
		CreatedAt: Now(), Version: 1,
	}
}

func account(id, username string, code gateway.FiscalCode) gateway.Account {
	return gateway.Account{
		ID: id, Username: username, Code: code, FirstName: "Laura", LastName: "Bianchi", Email: "laura.bianchi@example.org",
		Password: "$argon2id$…", MustChange: true, Proven: true, Language: "it", LastMethod: gateway.MethodCard, LastPSP: "BANK",
		CreatedAt: Now(), Failures: 2, LockedUntil: Now().Add(time.Minute), ConsentsAt: Now().Add(time.Second), MailConsent: true,
	}
}

func message(id, aggregate string) gateway.Message {
	return gateway.Message{ID: id, School: schoolA, Kind: "event", Aggregate: aggregate, Payload: []byte(`{"about":"Mario Rossi"}`), At: Now()}
}

func webhook(id string) gateway.Webhook {
	return gateway.Webhook{
		School: schoolA, ID: id, URL: "https://hooks.example.org/mario-rossi", Events: []gateway.EventKind{gateway.EventNoticePaid, gateway.EventReceiptRecorded},
		Keys:      []gateway.WebhookKey{{Key: []byte("new")}, {Key: []byte("old"), Until: Now().Add(time.Hour)}},
		CreatedAt: Now(), ChangedAt: Now(), Version: 1,
	}
}

func delivery(id, webhook string) gateway.Message {
	m := message(id, "A/1")
	m.Kind, m.Target = "webhook", webhook
	return m
}

// world is a store under test, with what the tests say over and over.
type world struct {
	*testing.T
	*store.DB
	url string
	// another names one more empty database.
	another func() string
}

// start opens a new store with the schools A and B.
func start(t *testing.T, newDB func(testing.TB) string) world {
	t.Helper()
	t.Parallel()
	w := world{t, nil, newDB(t), func() string { return newDB(t) }}
	w.DB = open(t, w.url)
	w.update(func(tx gateway.Tx) error {
		return errors.Join(tx.InsertSchool(school(schoolA, "Istituto Beta")), tx.InsertSchool(school(schoolB, "Istituto Alfa")))
	})
	return w
}

func (w world) update(fn func(gateway.Tx) error) {
	w.Helper()
	if err := w.Update(w.Context(), fn); err != nil {
		w.Fatalf("Update: %v", err)
	}
}

func (w world) view(fn func(gateway.Tx) error) {
	w.Helper()
	if err := w.View(w.Context(), fn); err != nil {
		w.Fatalf("View: %v", err)
	}
}

// add inserts notices and their issue events.
func (w world) add(notices ...gateway.Notice) {
	w.Helper()
	w.update(func(tx gateway.Tx) error {
		taken, err := tx.InsertNotices(notices)
		if len(taken) > 0 {
			w.Fatalf("InsertNotices: %v are taken", taken)
		}
		return err
	})
}

// settle pays a notice with a receipt, as the domain does.
func settle(tx gateway.Tx, n gateway.Notice, r gateway.Receipt) error {
	r.Settles = true
	if ok, err := tx.InsertReceipt(r); err != nil || !ok {
		return fmt.Errorf("InsertReceipt = %v, %w", ok, err)
	}
	n.State, n.SettledBy, n.PaidAt, n.Version = gateway.NoticePaid, r.ID, r.Content.PaidAt, n.Version+1
	return errors.Join(tx.SaveNotice(n), tx.AppendEvents(recorded(r)))
}

func recorded(r gateway.Receipt) gateway.Event {
	return gateway.Event{School: r.School, Number: r.Notice, Kind: gateway.EventReceiptRecorded, Receipt: r.ID, At: Now()}
}

// wants fails unless err is want.
func (w world) wants(call string, err, want error) {
	w.Helper()
	if !errors.Is(err, want) {
		w.Errorf("%s = %v, want %v", call, err, want)
	}
}

func equal[T any](t testing.TB, what string, got, want T) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\ngot  %+v\nwant %+v", what, got, want)
	}
}

// read runs fn in a View and gives its result.
func read[T any](w world, fn func(gateway.Tx) (T, error)) T {
	w.Helper()
	var v T
	w.view(func(tx gateway.Tx) (err error) {
		v, err = fn(tx)
		return err
	})
	return v
}

// raw is the database without the store.
func (w world) raw() *sql.DB {
	w.Helper()
	driver, dsn := "pgx", strings.Replace(w.url, poolParam, "", 1)
	if path, ok := strings.CutPrefix(w.url, "sqlite://"); ok {
		driver, dsn = "sqlite", "file:"+path+"?_pragma=busy_timeout(5000)"
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { _ = db.Close() })
	return db
}

func (w world) sqlite() bool { return strings.HasPrefix(w.url, "sqlite") }
