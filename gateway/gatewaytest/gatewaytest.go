// SPDX-License-Identifier: Apache-2.0

// Package gatewaytest gives a test a whole gateway: a real Service on a real
// store, a clock the test owns, and PSPs that do as they are told.
//
// storetest checks the store's invariants when the test ends, so every test
// proves them too.
package gatewaytest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/money"
	"github.com/nodogate/nodogate/gateway/pagopa"
	"github.com/nodogate/nodogate/gateway/store"
	"github.com/nodogate/nodogate/gateway/store/storetest"
	"github.com/nodogate/nodogate/iuv"
	"github.com/nodogate/nodogate/receipts"
	receiptsxml "github.com/nodogate/nodogate/receipts/xml"
)

// SchoolCode is the fiscal code of the school every Gateway begins with, and
// OtherCode of a second one that AddOther makes.
const (
	SchoolCode gateway.SchoolCode = "80014480828"
	OtherCode  gateway.SchoolCode = "80015010723"
	IBAN                          = "IT60X0542811101000000123456"
	Station                       = "80014480828_01"
)

// Pupil and parent of the samples; invented, with computed codes.
const (
	PupilCode  gateway.FiscalCode = "RSSMRA10A41H501F"
	ParentCode gateway.FiscalCode = "RSSMRA80A01H501U"
)

// Start is the instant at which every test's clock begins.
var Start = time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)

// Operator is the actor of what a test sets up.
var Operator = gateway.Actor{Kind: "operator", Name: "test"}

// Gateway is a whole gateway.
type Gateway struct {
	*gateway.Service
	T      testing.TB
	Store  *store.DB
	Time   *Time
	PSPs   *PSPs
	School gateway.School
	Reg    *prometheus.Registry
}

// New is a gateway on SQLite with one school.
func New(t testing.TB) *Gateway {
	t.Helper()
	return On(t, storetest.OpenSQLite(t))
}

// Each runs a test on SQLite and on PostgreSQL.
func Each(t *testing.T, test func(t *testing.T, g *Gateway)) {
	for name, open := range map[string]func(testing.TB) *store.DB{"sqlite": storetest.OpenSQLite, "postgres": storetest.OpenPostgres} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, On(t, open(t)))
		})
	}
}

// On is a gateway on the given store.
func On(t testing.TB, db *store.DB) *Gateway {
	t.Helper()
	g := &Gateway{T: t, Store: db, Time: NewTime(Start), PSPs: NewPSPs()}
	return g.open("https://pagamenti.example", g.PSPs, g.Time.Now)
}

// Live is a gateway on the given store with real connectors, under the public
// address and on the clock given; Time and PSPs are nil.
func Live(t testing.TB, db *store.DB, public string, psps gateway.PSPs, now func() time.Time) *Gateway {
	t.Helper()
	g := &Gateway{T: t, Store: db}
	return g.open(public, psps, now)
}

func (g *Gateway) open(address string, psps gateway.PSPs, now func() time.Time) *Gateway {
	t := g.T
	t.Helper()
	g.Reg = prometheus.NewRegistry()
	public, err := url.Parse(address)
	must(t, err)
	g.Service, err = gateway.New(gateway.Config{
		Store: g.Store, PSPs: psps, Clock: gateway.NewClock(now, time.Time{}), Reg: g.Reg,
		PublicURL: public, HelpText: "Segreteria, 0564 000000", HelpMail: "assistenza@pagamenti.example",
		LinkKey: []byte("thirty-two bytes of a test's key"), AllowPrivateTargets: true,
		CampaignStep: 50, // so that few pupils are many
		WriteReceipt: func(to gateway.Addressee, r receipts.Receipt) []byte {
			return receiptsxml.Write(pagopa.Target{PA: string(to.School), Broker: to.Broker, Station: to.Station}, r)
		},
	})
	must(t, err)
	g.School = g.AddSchool(SchoolCode, "IC 6 Grosseto")
	return g
}

// Broken is a Service whose database is away.
func (g *Gateway) Broken() *gateway.Service {
	g.T.Helper()
	public, err := url.Parse("https://pagamenti.example")
	must(g.T, err)
	svc, err := gateway.New(gateway.Config{Store: away{}, Clock: gateway.NewClock(g.Time.Now, time.Time{}), PublicURL: public})
	must(g.T, err)
	return svc
}

// away is a store that cannot be reached.
type away struct{ gateway.Store }

var errAway = errors.New("connection refused")

func (away) Update(context.Context, func(gateway.Tx) error) error { return errAway }
func (away) View(context.Context, func(gateway.Tx) error) error   { return errAway }

// CountEvidence counts what was kept as evidence of this kind.
func (g *Gateway) CountEvidence(kind gateway.EvidenceKind) (n int) {
	g.T.Helper()
	must(g.T, g.Store.View(context.Background(), func(tx gateway.Tx) error {
		list, err := tx.Evidence(kind, 1000)
		n = len(list)
		for _, e := range list {
			if receipts.Digest(e.Raw) != e.Digest {
				g.T.Errorf("evidence %s: the bytes kept do not match their digest", e.ID)
			}
		}
		return err
	}))
	return n
}

// CountRefunds counts the refund tasks of a school.
func (g *Gateway) CountRefunds(school gateway.SchoolCode) (n int) {
	g.T.Helper()
	must(g.T, g.Store.View(context.Background(), func(tx gateway.Tx) error {
		list, err := tx.Refunds(school, gateway.RefundFilter{})
		n = len(list)
		return err
	}))
	return n
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// AddSchool makes a school with broker and station of its own.
func (g *Gateway) AddSchool(code gateway.SchoolCode, name string) gateway.School {
	g.T.Helper()
	s, _, err := g.Service.AddSchool(context.Background(), Operator, gateway.NewSchool{
		Code: string(code), Name: name, IBAN: IBAN, Segregation: "01", Station: string(code) + "_01",
	})
	must(g.T, err)
	return s
}

// AddPostal makes a school with a postal account, for which bulletins may be
// printed.
func (g *Gateway) AddPostal(code gateway.SchoolCode, name string) gateway.School {
	g.T.Helper()
	s, _, err := g.Service.AddSchool(context.Background(), Operator, gateway.NewSchool{
		Code: string(code), Name: name, IBAN: IBAN, Segregation: "01", Station: string(code) + "_01",
		PostalAccount: "1016", PostalIBAN: "IT45R0760103200000000001016", PostalHolder: name, PostalAuth: "AUT. DB/0000/XXX 00000 DEL 01/09/2026",
	})
	must(g.T, err)
	return s
}

// Issue makes a notice of 16.50 euro due on 2026-12-31 for PupilCode; change
// may alter what is asked for.
func (g *Gateway) Issue(change ...func(*gateway.NewNotice)) gateway.Notice {
	g.T.Helper()
	return g.IssueAt(SchoolCode, change...)
}

// IssueAt is Issue for any school.
func (g *Gateway) IssueAt(school gateway.SchoolCode, change ...func(*gateway.NewNotice)) gateway.Notice {
	g.T.Helper()
	n := gateway.NewNotice{
		DebtorCode: string(PupilCode), DebtorName: "Maria Rossi", Class: "3B",
		Description: "Viaggio di istruzione 3B", Amount: 1650, DueDate: "2026-12-31",
	}
	for _, f := range change {
		f(&n)
	}
	out, err := g.Service.Issue(context.Background(), Operator, school, []gateway.NewNotice{n}, false)
	must(g.T, err)
	return out[0].Notice
}

// Client makes an API client of the school (empty: an operator's) with the
// scopes, and its secret.
func (g *Gateway) Client(school gateway.SchoolCode, scopes ...string) (gateway.Client, string) {
	g.T.Helper()
	c, secret, err := g.AddClient(context.Background(), Operator, school, "test", scopes)
	must(g.T, err)
	return c, secret
}

// Password is the password of every account that Family makes.
const Password = "Passw0rd-di-prova"

// Family registers PupilCode as a pupil of the first school with ParentCode as
// payer, and makes the parent's account "mario.rossi".
func (g *Gateway) Family() gateway.Account {
	g.T.Helper()
	return g.FamilyOf("mario.rossi", ParentCode, "Mario", "Rossi",
		gateway.Pupil{School: SchoolCode, ID: "p1", Code: PupilCode, FirstName: "Maria", LastName: "Rossi", Class: "3B", SchoolYear: "2026/27"})
}

// FamilyOf makes an account and links it to the pupils.
func (g *Gateway) FamilyOf(username string, code gateway.FiscalCode, first, last string, pupils ...gateway.Pupil) gateway.Account {
	g.T.Helper()
	ctx := context.Background()
	for _, p := range pupils {
		must(g.T, g.PutPupil(ctx, Operator, p))
		payer := gateway.Payer{School: p.School, ID: username, Code: code, FirstName: first, LastName: last, Email: username + "@example.org", Language: "it"}
		must(g.T, g.PutPayer(ctx, Operator, payer, p.ID, "guardian"))
	}
	a, err := g.AddAccount(ctx, gateway.Account{Username: username, Code: code, FirstName: first, LastName: last, Email: username + "@example.org", Proven: true, Language: "it",
		ConsentsAt: Start, MailConsent: true, ChoiceConsent: true}, Password)
	must(g.T, err)
	return a
}

// Receipt is what the node would send for the notice.
func Receipt(n gateway.Notice, id string) receipts.Receipt {
	r := receipts.Receipt{
		ID: id, Notice: n.Number, Creditor: string(n.School), Outcome: "OK", CreditorReferenceID: n.Number.IUV(),
		Amount: n.Amount, Description: n.Description, CompanyName: "IC 6 Grosseto",
		Debtor:             receipts.Subject{Type: "F", ID: string(n.Debtor.Code), FullName: n.Debtor.Name},
		PSP:                receipts.PSP{ID: "BANCAUNO", FiscalCode: "97735020584", Name: "Banca Uno", Channel: "97735020584_01"},
		ChannelDescription: "app", Method: "creditCard", PaidAt: Start.Add(time.Minute),
	}
	for _, t := range n.Transfers {
		r.Transfers = append(r.Transfers, receipts.Transfer{ID: t.ID, Amount: t.Amount, Creditor: string(t.School), IBAN: string(t.IBAN), Remittance: t.Remittance, Category: t.Taxonomy})
	}
	return r
}

// Deliver sends a receipt in as the node would, to the first school's station.
func (g *Gateway) Deliver(r receipts.Receipt) (gateway.Verdict, error) {
	return g.RecordReceipt(context.Background(), gateway.Delivery{
		Addressee: gateway.Addressee{School: gateway.SchoolCode(r.Creditor), Broker: r.Creditor, Station: r.Creditor + "_01"},
		Operation: "paSendRTV2", Channel: gateway.ChannelNode, Receipt: r, Raw: fmt.Appendf(nil, "<receipt id=%q/>", r.ID),
	})
}

// Settle makes the notice paid.
func (g *Gateway) Settle(n gateway.Notice, cart string) gateway.Receipt {
	g.T.Helper()
	r := Receipt(n, "rt-"+n.Number.String())
	r.PaymentNote = cart
	v, err := g.Deliver(r)
	must(g.T, err)
	if v.Duplicate || !v.Receipt.Settles {
		g.T.Fatalf("receipt of %s did not settle it: %+v", n.Number, v)
	}
	return v.Receipt
}

// State reads the notice again and gives its state now.
func (g *Gateway) State(n gateway.Notice) gateway.NoticeState {
	g.T.Helper()
	n, err := g.Notice(context.Background(), n.School, n.Number)
	must(g.T, err)
	return n.StateAt(g.Now())
}

// Time is a clock that only the test moves.
type Time struct{ us atomic.Int64 }

// NewTime starts at t.
func NewTime(t time.Time) *Time {
	c := &Time{}
	c.us.Store(t.UnixMicro())
	return c
}

// Now is the clock's instant.
func (c *Time) Now() time.Time { return time.UnixMicro(c.us.Load()).UTC() }

// Advance moves it by d, which may be negative.
func (c *Time) Advance(d time.Duration) { c.us.Add(d.Microseconds()) }

// PSPs plays the connectors: BANCAUNO takes card and account debit for 1.00
// euro, CARTASI card for 1.50, POSTE the bulletin for 1.50. Start opens the page
// https://psp.example/<psp>/<attempt>, unless told otherwise.
type PSPs struct {
	mu         sync.Mutex
	settlement gateway.Settlement
	down       map[gateway.PSPID]bool
	start      func(ctx context.Context, psp gateway.PSPID, o gateway.Order) (gateway.Started, error)
	orders     []gateway.Order
	abilities  gateway.Abilities
	pageless   bool
	printOnly  bool
	ask        func(gateway.Payment) (gateway.PSPEvent, error)
	cancel     func(gateway.Payment) error
	refund     func(gateway.Payment) error
	fee        func(context.Context, gateway.OfferRequest, gateway.PSPID) (money.Cents, bool)
}

var _ gateway.PSPs = (*PSPs)(nil)

// NewPSPs is a set where all is well.
func NewPSPs() *PSPs { return &PSPs{down: map[gateway.PSPID]bool{}} }

// Down makes a PSP unavailable, or available again.
func (p *PSPs) Down(id gateway.PSPID, down bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down[id] = down
}

// Settle says who makes the receipts of payments from now on.
func (p *PSPs) Settle(by gateway.Settlement) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.settlement = by
}

// OnStart replaces what Start does; nil is the ordinary page.
func (p *PSPs) OnStart(f func(ctx context.Context, psp gateway.PSPID, o gateway.Order) (gateway.Started, error)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.start = f
}

// Orders are the orders Start got so far.
func (p *PSPs) Orders() []gateway.Order {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]gateway.Order(nil), p.orders...)
}

// OnAsk has the PSPs answer what became of a payment; nil: they cannot be asked.
func (p *PSPs) OnAsk(f func(gateway.Payment) (gateway.PSPEvent, error)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ask, p.abilities.Ask = f, f != nil
}

// OnCancel has the PSPs take payments back; nil: they cannot.
func (p *PSPs) OnCancel(f func(gateway.Payment) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cancel, p.abilities.Cancel = f, f != nil
}

// OnRefund has the PSPs give payments back; nil: they cannot.
func (p *PSPs) OnRefund(f func(gateway.Payment) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refund, p.abilities.Refund = f, f != nil
}

// Pageless says whether payments go on without their page from now on.
func (p *PSPs) Pageless(is bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pageless = is
}

// PrintOnly says whether POSTE is paid by printed bulletins alone from now on.
func (p *PSPs) PrintOnly(is bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.printOnly = is
}

// Abilities are those that were given.
func (p *PSPs) Abilities(gateway.PSPID) gateway.Abilities {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.abilities
}

// Ask, Cancel and Refund do as they were told.
func (p *PSPs) Ask(_ context.Context, _ gateway.PSPID, pay gateway.Payment) (gateway.PSPEvent, error) {
	p.mu.Lock()
	ask := p.ask
	p.mu.Unlock()
	return ask(pay)
}

func (p *PSPs) Cancel(_ context.Context, _ gateway.PSPID, pay gateway.Payment) error {
	p.mu.Lock()
	cancel := p.cancel
	p.mu.Unlock()
	return cancel(pay)
}

func (p *PSPs) Refund(_ context.Context, _ gateway.PSPID, pay gateway.Payment) error {
	p.mu.Lock()
	refund := p.refund
	p.mu.Unlock()
	return refund(pay)
}

var pspNames = map[gateway.PSPID]string{"BANCAUNO": "Banca Uno", "CARTASI": "Carta Sì", "POSTE": "Poste"}

// OnFee has fees said by f, where it says true; nil: they are those of the list.
func (p *PSPs) OnFee(f func(context.Context, gateway.OfferRequest, gateway.PSPID) (money.Cents, bool)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fee = f
}

// Offers is the fixed list.
func (p *PSPs) Offers(ctx context.Context, req gateway.OfferRequest) []gateway.MethodOffer {
	p.mu.Lock()
	defer p.mu.Unlock()
	offer := func(id gateway.PSPID, fee money.Cents) gateway.PSPOffer {
		if p.fee != nil {
			if other, ok := p.fee(ctx, req, id); ok {
				fee = other
			}
		}
		o := gateway.PSPOffer{ID: id, Name: pspNames[id], Fee: fee, Available: true, Settlement: p.settlement, Pageless: p.pageless, PrintOnly: p.printOnly && id == "POSTE"}
		if p.down[id] {
			o.Available, o.Reason = false, gateway.UnavailableBreaker
		}
		return o
	}
	cards := []gateway.PSPOffer{offer("BANCAUNO", 100), offer("CARTASI", 150)}
	if !cards[0].Available && cards[1].Available {
		cards[0], cards[1] = cards[1], cards[0]
	}
	return []gateway.MethodOffer{
		{Method: gateway.MethodCard, PSPs: cards},
		{Method: gateway.MethodAccountDebit, PSPs: []gateway.PSPOffer{offer("BANCAUNO", 100)}},
		{Method: gateway.MethodBulletin, PSPs: []gateway.PSPOffer{offer("POSTE", 150)}},
	}
}

// Start opens a page.
func (p *PSPs) Start(ctx context.Context, psp gateway.PSPID, o gateway.Order) (gateway.Started, error) {
	p.mu.Lock()
	p.orders = append(p.orders, o)
	start, down := p.start, p.down[psp]
	p.mu.Unlock()
	switch {
	case down:
		return gateway.Started{}, fmt.Errorf("psp %s: %w", psp, gateway.ErrPSPUnavailable)
	case start != nil:
		return start(ctx, psp, o)
	}
	return gateway.Started{Redirect: "https://psp.example/" + string(psp) + "/" + o.Attempt, Reference: o.Attempt}, nil
}

// Name is the PSP's name.
func (p *PSPs) Name(id gateway.PSPID) string {
	if n := pspNames[id]; n != "" {
		return n
	}
	return string(id)
}

// Number parses a notice number or fails the test.
func Number(t testing.TB, s string) iuv.Number {
	t.Helper()
	n, err := iuv.Parse(s)
	must(t, err)
	return n
}
