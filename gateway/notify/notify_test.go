// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
	"github.com/nodogate/nodogate/gateway/store"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// postman takes mails and does as it is told.
type postman struct {
	mu    sync.Mutex
	mails []Mail
	send  func(Mail) error // nil: takes all; called with mu held
}

func (p *postman) Send(_ context.Context, m Mail) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.send != nil {
		if err := p.send(m); err != nil {
			return err
		}
	}
	p.mails = append(p.mails, m)
	return nil
}

func (p *postman) does(f func(Mail) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.send = f
}

// took empties the postman's bag, sorted by address.
func (p *postman) took() []Mail {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.mails
	p.mails = nil
	slices.SortFunc(list, func(a, b Mail) int { return strings.Compare(a.To+a.ID, b.To+b.ID) })
	return list
}

func addresses(list []Mail) (to []string) {
	for _, m := range list {
		to = append(to, m.To)
	}
	return to
}

// office is a gateway with a worker.
type office struct {
	*gatewaytest.Gateway
	*Worker
	post *postman
	log  *bytes.Buffer
}

func newOffice(g *gatewaytest.Gateway, change ...func(*Config)) office {
	g.T.Helper()
	o := office{Gateway: g, post: &postman{}, log: &bytes.Buffer{}}
	cfg := Config{
		Outbox: g.Store, Service: g.Service, Mailer: o.post, From: "no-reply@pagamenti.example", Reg: prometheus.NewRegistry(),
		Log: slog.New(slog.NewTextHandler(o.log, nil)), Random: func() float64 { return 0 },
	}
	for _, f := range change {
		f(&cfg)
	}
	w, err := New(cfg)
	if err != nil {
		g.T.Fatal(err)
	}
	o.Worker = w
	return o
}

// drain works until nothing is due, and says how many messages that were.
func (o office) drain() (total int) {
	o.T.Helper()
	for {
		n, err := o.Once(o.T.Context())
		if err != nil {
			o.T.Fatal("Once:", err)
		}
		if n == 0 {
			return total
		}
		total += n
	}
}

func (o office) wantMails(to ...string) []Mail {
	o.T.Helper()
	list := o.post.took()
	if got := addresses(list); !slices.Equal(got, to) {
		o.T.Fatalf("mails to %q, want %q", got, to)
	}
	return list
}

func (o office) wantOutbox(kind string, pending, parked int) {
	o.T.Helper()
	all, err := o.Store.OutboxStats(o.T.Context(), o.Now())
	if err != nil {
		o.T.Fatal(err)
	}
	if s := all[kind]; s.Pending != pending || s.Parked != parked {
		o.T.Fatalf("outbox of %s: %d pending and %d parked, want %d and %d", kind, s.Pending, s.Parked, pending, parked)
	}
}

func (o office) wantCount(template string, want outcome, n float64) {
	o.T.Helper()
	if got := testutil.ToFloat64(o.mails.WithLabelValues(template, string(want))); got != n {
		o.T.Errorf("%s %s: counted %v, want %v", template, want, got, n)
	}
}

// wantSilence says that no person and no notice stands in the log.
func (o office) wantSilence(secrets ...string) {
	o.T.Helper()
	for _, s := range append(secrets, "@example.org", "Maria", "Rossi", string(gatewaytest.PupilCode), string(gatewaytest.ParentCode)) {
		if strings.Contains(o.log.String(), s) {
			o.T.Errorf("the log holds %q:\n%s", s, o.log)
		}
	}
}

func (o office) parent(id, email, language string) {
	o.T.Helper()
	code := map[string]gateway.FiscalCode{"father": gatewaytest.ParentCode}[id]
	err := o.PutPayer(o.T.Context(), gatewaytest.Operator, gateway.Payer{
		School: gatewaytest.SchoolCode, ID: id, Code: code, FirstName: "Genitore", LastName: "Rossi", Email: email, Language: language,
	}, "p1", "guardian")
	if err != nil {
		o.T.Fatal(err)
	}
}

// family registers a pupil with two parents, and a third who has no address.
func (o office) family() {
	o.T.Helper()
	err := o.PutPupil(o.T.Context(), gatewaytest.Operator, gateway.Pupil{
		School: gatewaytest.SchoolCode, ID: "p1", Code: gatewaytest.PupilCode, FirstName: "Maria", LastName: "Rossi", Class: "3B", SchoolYear: "2026/27",
	})
	if err != nil {
		o.T.Fatal(err)
	}
	o.parent("father", "father@example.org", "it")
	o.parent("mother", "mother@example.org", "ja") // not spoken here: gets it in Italian
	o.parent("uncle", "", "it")
}

func TestFamilyIsTold(t *testing.T) {
	t.Parallel()
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		o := newOffice(g)
		o.family()
		g.FamilyOf("stranger", "VRDLGU80A01H501C", "Luigi", "Verdi", gateway.Pupil{
			School: gatewaytest.SchoolCode, ID: "p2", Code: "VRDGPP10A01H501T", FirstName: "Giuseppe", LastName: "Verdi", Class: "3B", SchoolYear: "2026/27",
		})
		n := g.Issue()
		o.drain()
		for _, m := range o.wantMails("father@example.org", "mother@example.org") {
			if m.Subject != "Nuovo avviso di pagamento: IC 6 Grosseto" {
				t.Errorf("subject %q", m.Subject)
			}
			link := "https://pagamenti.example/avvisi/80014480828/" + n.Number.String()
			for _, body := range []string{m.Text, m.HTML} {
				for _, want := range []string{"Maria", "Viaggio di istruzione 3B", "16,50", "31/12/2026", n.Number.Grouped(), link, "IC 6 Grosseto", "80014480828", "Segreteria, 0564 000000"} {
					if !strings.Contains(body, want) {
						t.Errorf("%q is missing in:\n%s", want, body)
					}
				}
				for _, secret := range []string{"Rossi", "Genitore", string(gatewaytest.PupilCode), string(gatewaytest.ParentCode)} {
					if strings.Contains(body, secret) {
						t.Errorf("%q stands in:\n%s", secret, body)
					}
				}
			}
		}
		r := g.Settle(n, "")
		o.drain()
		list := o.wantMails("father@example.org", "mother@example.org")
		if m := list[0]; m.Subject != "Pagamento ricevuto: IC 6 Grosseto" || !strings.Contains(m.Text, "https://pagamenti.example/pagamenti/80014480828/"+r.ID+"\n") {
			t.Errorf("receipt mail %q:\n%s", m.Subject, m.Text)
		}
		if list[0].ID == list[1].ID {
			t.Error("two mails with one id")
		}
		o.wantOutbox(kindEvent, 0, 0)
		o.wantOutbox(kindMail, 0, 0)
		o.wantCount(templateIssued, sent, 2)
		o.wantCount(templatePaid, sent, 2)
		if g.Time.Advance(time.Hour); o.drain() != 0 {
			t.Error("something was delivered twice")
		}
		o.wantSilence(n.Number.String())
	})
}

func TestWhoIsTold(t *testing.T) {
	t.Parallel()
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		ctx := t.Context()
		for _, c := range []struct {
			name string
			code gateway.FiscalCode
			set  func(o office)
			want []string
		}{
			{"nobody of the registry", gatewaytest.PupilCode, func(office) {}, nil},
			{"anonymous", gateway.Anonymous, office.family, nil},
			{"a pupil's two parents", gatewaytest.PupilCode, office.family, []string{"father@example.org", "mother@example.org"}},
			{"a payer himself", gatewaytest.ParentCode, office.family, []string{"father@example.org"}},
			{"a pupil of age who pays too", gatewaytest.PupilCode, func(o office) {
				err := o.PutPayer(ctx, gatewaytest.Operator, gateway.Payer{School: gatewaytest.SchoolCode, ID: "self", Code: gatewaytest.PupilCode, Email: "self@example.org", Language: "it"}, "p1", "self")
				if err != nil {
					t.Fatal(err)
				}
			}, []string{"father@example.org", "mother@example.org", "self@example.org"}},
		} {
			o := newOffice(g)
			c.set(o)
			g.Issue(func(n *gateway.NewNotice) { n.DebtorCode = string(c.code) })
			o.drain()
			list := o.post.took()
			if got := addresses(list); !slices.Equal(got, c.want) {
				t.Errorf("%s: mails to %q, want %q", c.name, got, c.want)
			}
			if c.code == gatewaytest.ParentCode && strings.Contains(list[0].Text, "Per:") {
				t.Errorf("%s: there is no child in\n%s", c.name, list[0].Text)
			}
			o.wantOutbox(kindEvent, 0, 0)
		}
	})
}

// What changes between the event and the mail is honoured.
func TestChangedMeanwhile(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for _, c := range []struct {
		name   string
		change func(o office, n gateway.Notice)
		want   []string
	}{
		{"another address", func(o office, _ gateway.Notice) { o.parent("father", "new@example.org", "it") }, []string{"mother@example.org", "new@example.org"}},
		{"no address any more", func(o office, _ gateway.Notice) { o.parent("father", "", "it") }, []string{"mother@example.org"}},
		{"cancelled", func(o office, n gateway.Notice) {
			if _, err := o.Cancel(ctx, gatewaytest.Operator, n.School, n.Number); err != nil {
				o.T.Fatal(err)
			}
		}, nil},
		{"expired", func(o office, _ gateway.Notice) { o.Time.Advance(60 * 24 * time.Hour) }, nil},
		{"another pupil has the code", func(o office, _ gateway.Notice) {
			if err := o.PutPupil(ctx, gatewaytest.Operator, gateway.Pupil{School: gatewaytest.SchoolCode, ID: "p1", Code: "VRDGPP10A01H501T", FirstName: "Giuseppe"}); err != nil {
				o.T.Fatal(err)
			}
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := newOffice(gatewaytest.New(t))
			o.family()
			n := o.Issue()
			if n, err := o.Once(ctx); n != 1 || err != nil { // the event
				t.Fatalf("Once = %d, %v", n, err)
			}
			o.wantOutbox(kindMail, 2, 0)
			c.change(o, n)
			o.drain()
			o.wantMails(c.want...)
			o.wantOutbox(kindMail, 0, 0)
			o.wantCount(templateIssued, dropped, float64(2-len(c.want)))
		})
	}
}

// crashing loses what a dying process would.
type crashing struct {
	*store.DB
	before, after bool // of the commit
}

var errCrash = errors.New("connection lost")

func (c *crashing) FinishInto(ctx context.Context, id string, when time.Time, next []gateway.Message) error {
	if c.before {
		return errCrash
	}
	if err := c.DB.FinishInto(ctx, id, when, next); err != nil || !c.after {
		return err
	}
	return errCrash
}

func TestCrash(t *testing.T) {
	t.Parallel()
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		outbox := &crashing{DB: g.Store}
		o := newOffice(g, func(c *Config) { c.Outbox = outbox })
		once := func(want int, wantErr error) {
			t.Helper()
			if n, err := o.Once(t.Context()); n != want || !errors.Is(err, wantErr) {
				t.Fatalf("Once = %d, %v, want %d, %v", n, err, want, wantErr)
			}
		}
		o.family()
		g.Issue()

		// An event whose end was not written is told again after its lease.
		outbox.before = true
		once(1, errCrash)
		o.wantOutbox(kindMail, 0, 0)
		outbox.before = false
		g.Time.Advance(lease - time.Second)
		once(0, nil)
		g.Time.Advance(time.Second)
		// One whose commit was not answered has ended: no mail is doubled.
		outbox.after = true
		once(1, errCrash)
		outbox.after = false
		o.wantOutbox(kindEvent, 0, 0)
		o.wantOutbox(kindMail, 2, 0)

		outbox.before = true
		once(2, errCrash)
		first := o.wantMails("father@example.org", "mother@example.org")
		outbox.before = false
		once(0, nil)
		g.Time.Advance(lease)
		once(2, nil)
		again := o.wantMails("father@example.org", "mother@example.org")
		if !slices.Equal(first, again) {
			t.Errorf("sent again as\n%+v\nfirst as\n%+v", again, first)
		}
		once(0, nil)
		o.wantOutbox(kindMail, 0, 0)
	})
}

func TestTemporaryFailure(t *testing.T) {
	t.Parallel()
	for _, jitter := range []float64{0, 1} {
		o := newOffice(gatewaytest.New(t), func(c *Config) { c.Random = func() float64 { return jitter } })
		o.family()
		o.parent("mother", "", "it")
		o.Issue(func(n *gateway.NewNotice) { n.DueDate = "2027-12-31" })
		id := ""
		o.post.does(func(m Mail) error {
			id = m.ID
			return errors.New("451 try later")
		})
		o.drain()
		for k := 1; k < maxTries; k++ {
			wait := 5 * time.Second * (1<<k - 1)
			wait += time.Duration(jitter * float64(wait) / 10)
			o.Time.Advance(wait - time.Microsecond)
			if n := o.drain(); n != 0 {
				t.Fatalf("try %d came before %s", k+1, wait)
			}
			o.Time.Advance(time.Microsecond)
			if n := o.drain(); n != 1 {
				t.Fatalf("try %d did not come after %s", k+1, wait)
			}
		}
		o.wantOutbox(kindMail, 0, 1)
		o.wantCount(templateIssued, retried, maxTries-1)
		o.wantCount(templateIssued, parked, 1)
		if log := o.log.String(); strings.Count(log, "level=ERROR") != 1 || !strings.Contains(log, "message parked: a person must look at it\" id="+id+" kind=mail tries=15") {
			t.Errorf("no alarm in the log:\n%s", log)
		}
		o.wantSilence()
		o.Time.Advance(1000 * time.Hour)
		if o.drain() != 0 {
			t.Error("a parked message was tried again")
		}
	}
}

func TestPermanentFailureParksAtOnce(t *testing.T) {
	t.Parallel()
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		o := newOffice(g)
		o.family()
		o.post.does(func(m Mail) error {
			if m.To == "father@example.org" {
				return fmt.Errorf("smtp: %w: 550 5.1.1", ErrPermanent)
			}
			return nil
		})
		n := g.Issue()
		o.drain()
		o.wantMails("mother@example.org")
		o.wantOutbox(kindMail, 0, 1)
		o.wantCount(templateIssued, parked, 1)
		o.wantSilence(n.Number.String())
		// Those behind it may go.
		o.post.does(nil)
		g.Settle(n, "")
		o.drain()
		o.wantMails("father@example.org", "mother@example.org")
	})
}

// A payer hears of one notice in order, and nobody is asked to pay what is paid.
func TestOrder(t *testing.T) {
	t.Parallel()
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		o := newOffice(g)
		o.family()
		o.post.does(func(m Mail) error {
			if m.To == "father@example.org" {
				return errors.New("451 try later")
			}
			return nil
		})
		n := g.Issue()
		o.drain()
		g.Settle(n, "")
		o.post.does(nil)
		o.drain()
		for _, m := range o.wantMails("mother@example.org", "mother@example.org") {
			if !strings.Contains(m.HTML, "Maria") {
				t.Errorf("a mail without the child:\n%s", m.HTML)
			}
		}
		o.wantOutbox(kindMail, 2, 0)
		g.Time.Advance(5 * time.Second)
		o.drain()
		if m := o.wantMails("father@example.org")[0]; !strings.HasPrefix(m.Subject, "Pagamento ricevuto") {
			t.Errorf("the father got %q", m.Subject)
		}
		o.wantCount(templateIssued, dropped, 1)
	})
}

func TestManyWorkers(t *testing.T) {
	t.Parallel()
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		const notices, workers = 25, 3
		o := newOffice(g)
		o.family()
		for range notices {
			g.Issue()
		}
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		o.post.does(func(Mail) error {
			if len(o.post.mails) == 2*notices-1 {
				stop()
			}
			return nil
		})
		tick := make(chan time.Time)
		close(tick) // never idle
		var wg sync.WaitGroup
		for range workers {
			w := newOffice(g, func(c *Config) { c.Mailer, c.Tick = o.post, tick }).Worker
			wg.Go(func() {
				if err := w.Run(ctx); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		list := o.post.took()
		slices.SortFunc(list, func(a, b Mail) int { return strings.Compare(a.ID, b.ID) })
		if n := len(slices.CompactFunc(slices.Clone(list), func(a, b Mail) bool { return a.ID == b.ID })); n != 2*notices || n != len(list) {
			t.Errorf("%d mails sent, %d of them different, want %d", len(list), n, 2*notices)
		}
		o.wantOutbox(kindMail, 0, 0)
	})
}

// A worker that is told to stop finishes what it is sending and gives the rest
// back, untried.
func TestStop(t *testing.T) {
	t.Parallel()
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		o := newOffice(g)
		o.family()
		for range 10 {
			g.Issue()
		}
		if n, err := o.Once(t.Context()); n != 10 || err != nil {
			t.Fatalf("Once = %d, %v", n, err)
		}
		ctx, stop := context.WithCancel(t.Context())
		o.post.does(func(Mail) error { stop(); return nil })
		if err := o.Run(ctx); err != nil {
			t.Fatal(err)
		}
		done := len(o.post.took())
		if done == 0 || done > atOnce {
			t.Errorf("%d mails were sent, want what was under way", done)
		}
		list, err := g.Store.ClaimMessages(t.Context(), kindMail, "", g.Now(), lease, 100)
		if err != nil || len(list) != 20-done {
			t.Fatalf("claimed %d, %v, want %d", len(list), err, 20-done)
		}
		for _, m := range list {
			if m.Tries != 1 {
				t.Errorf("a try that was none counts: %d", m.Tries)
			}
		}
	})
}

// A slow server must not let leases end under messages that wait for their turn.
func TestSlowServer(t *testing.T) {
	t.Parallel()
	o := newOffice(gatewaytest.New(t))
	o.family()
	for range 10 {
		o.Issue()
	}
	if n, err := o.Once(t.Context()); n != 10 || err != nil {
		t.Fatalf("Once = %d, %v", n, err)
	}
	o.post.does(func(Mail) error { o.Time.Advance(30 * time.Second); return nil })
	if n, err := o.Once(t.Context()); n != batch || err != nil {
		t.Fatalf("Once = %d, %v", n, err)
	}
	if n := len(o.post.took()); n == 0 || n > atOnce {
		t.Errorf("%d mails were begun, want at most %d", n, atOnce)
	}
	o.post.does(nil)
	o.drain()
	o.wantOutbox(kindMail, 0, 0)
	o.wantCount(templateIssued, sent, 20)
}

// A campaign is gone on with, by whoever is there; what nobody could do ends where
// its school sees it.
func TestCampaignGoesOn(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	o := newOffice(gatewaytest.New(t))
	if err := o.Store.Update(ctx, func(tx gateway.Tx) error {
		for i := range 51 {
			p := gateway.Pupil{School: gatewaytest.SchoolCode, ID: strconv.Itoa(i), Code: gatewaytest.PupilCode, FirstName: "Maria", LastName: "Rossi", Class: "3B"}
			if err := tx.PutPupil(p); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	publish := func() gateway.Campaign {
		c, err := o.CreateCampaign(ctx, gatewaytest.Operator, gatewaytest.SchoolCode, gateway.CampaignContent{
			Kind: gateway.CampaignAssigned, Title: "Gita", Description: "Gita", Amount: 100, DueDate: "2026-12-31", Whole: true,
		})
		if err == nil {
			c, err = o.PublishCampaign(ctx, gatewaytest.Operator, gatewaytest.SchoolCode, c.ID)
		}
		if err != nil || c.Work.State != gateway.WorkRunning {
			t.Fatal(c.Work, err)
		}
		return c
	}
	look := func(c gateway.Campaign) gateway.Campaign {
		c, err := o.Campaign(ctx, c.School, c.ID)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := publish()
	for range maxTries { // of workers who died
		if list, err := o.Store.ClaimMessages(ctx, kindCampaign, "", o.Now(), lease, batch); len(list) != 1 || err != nil {
			t.Fatalf("claimed %d, %v", len(list), err)
		}
		o.Time.Advance(lease)
	}
	if _, err := o.Once(ctx); err != nil {
		t.Fatal(err)
	}
	o.wantOutbox(kindCampaign, 0, 1)
	if c := look(c); c.Work.State != gateway.WorkFailed || c.Work.Failure != "internal" {
		t.Errorf("given up: %+v", c.Work)
	}
	c = publish()
	if _, err := o.Once(ctx); err != nil {
		t.Fatal(err)
	}
	o.wantOutbox(kindCampaign, 0, 1)
	if c := look(c); c.Work.State != gateway.WorkDone || c.Totals.Notices != 51 {
		t.Errorf("gone on with: %+v, %+v", c.Work, c.Totals)
	}
}

func TestPoison(t *testing.T) {
	t.Parallel()
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		o := newOffice(g)
		put := func(id, kind, payload string) {
			t.Helper()
			err := g.Store.Update(t.Context(), func(tx gateway.Tx) error {
				return tx.Enqueue(gateway.Message{ID: id, School: gatewaytest.SchoolCode, Kind: kind, Aggregate: id, Payload: []byte(payload), At: g.Now()})
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		put("m-1", kindEvent, `{"type":`)
		put("m-2", kindEvent, `{"type":"notice.paid","school":"80014480828","number":"1"}`)
		put("m-3", kindMail, `{"number":"17"}`)
		put("m-4", kindEvent, `{"type":"of.tomorrow"}`) // tells families nothing
		o.drain()
		o.wantOutbox(kindEvent, 0, 2)
		o.wantOutbox(kindMail, 0, 1)
		o.wantCount(templateUnknown, parked, 1)
		// A newer version may know these.
		put("m-5", kindMail, `{"template":"refund","school":"80014480828","number":"301202600000004244"}`)
		put("m-6", "webhook", `{}`)
		o.drain()
		o.wantOutbox(kindMail, 1, 1)
		o.wantOutbox("webhook", 1, 0)
		o.wantCount(templateUnknown, retried, 1)
	})
}

func TestEveryTryDied(t *testing.T) {
	t.Parallel()
	o := newOffice(gatewaytest.New(t))
	o.family()
	o.Issue()
	if n, err := o.Once(t.Context()); n != 1 || err != nil {
		t.Fatalf("Once = %d, %v", n, err)
	}
	for range maxTries {
		if list, err := o.Store.ClaimMessages(t.Context(), kindMail, "", o.Now(), lease, batch); len(list) != 2 || err != nil {
			t.Fatalf("claimed %d, %v", len(list), err)
		}
		o.Time.Advance(lease)
	}
	o.drain()
	o.wantMails()
	o.wantOutbox(kindMail, 0, 2)
}

func TestPanic(t *testing.T) {
	t.Parallel()
	o := newOffice(gatewaytest.New(t))
	o.family()
	o.Issue()
	o.post.does(func(m Mail) error { panic("no way to reach " + m.To) })
	o.drain()
	o.wantCount(templateIssued, retried, 2)
	o.wantSilence()
	o.post.does(nil)
	o.Time.Advance(5 * time.Second)
	o.drain()
	o.wantMails("father@example.org", "mother@example.org")
}

// The words, for a person to read in a change.
func TestGolden(t *testing.T) {
	t.Parallel()
	all, err := parseTemplates()
	if err != nil {
		t.Fatal(err)
	}
	day := gateway.Date{Year: 2026, Month: time.December, Day: 31}
	for code, l := range all {
		for _, name := range templateNames {
			var m Mail
			if slices.Contains(noticeMails, name) {
				f := facts{
					School: "IC 6 Grosseto", SchoolCode: "80014480828", Child: "Maria", Description: "Viaggio di istruzione 3B", Amount: 165000,
					DueDate: day, Number: "3012 0260 0000 0042 44", Link: "https://pagamenti.example/avvisi/80014480828/301202600000004244", Help: "Segreteria, 0564 000000",
				}
				if name == templateRefunded {
					f.Refunded = true
				}
				if name == templatePaid {
					f.PaidDate, f.Link = gateway.Date{Year: 2026, Month: time.November, Day: 3}, "https://pagamenti.example/pagamenti/80014480828/7h3receipt"
				}
				err = l.noticeMail(name, &f, &m)
			} else if slices.Contains(accountMails, name) {
				f := gateway.AccountMailFacts{Link: "https://pagamenti.example/conferma?token=abc"}
				switch gateway.AccountMail(name) {
				case gateway.MailCreated:
					f.Username, f.Password = "mario.rossi", "Kd7mQr2xTb9w"
				case gateway.MailUsername:
					f.Username = "mario.rossi"
				}
				err = l.accountMail(gateway.AccountMail(name), f, &m)
			} else {
				link := "https://pagamenti.example/area-riservata/email?token=abc"
				if name == gateway.LetterHelp || name == gateway.LetterHelpTaken {
					link = ""
				}
				err = l.letter(gateway.Letter{Template: name, Values: map[string]string{
					"link": link, "ticket": "AB12-CD34", "topic": "payment", "school": "IC 6 Grosseto",
					"school_code": "80014480828", "name": "Mario Rossi", "email": "mario@example.org", "text": "Buongiorno,\nho pagato <due> volte.",
				}}, &m)
			}
			if err != nil {
				t.Errorf("%s in %s: %v", name, code, err)
				continue
			}
			kinds := map[string]string{"txt": "Subject: " + m.Subject + "\n\n" + m.Text}
			if code == defaultLanguage {
				kinds["html"] = m.HTML
			}
			for kind, got := range kinds {
				file := filepath.Join("testdata", name+"."+code+"."+kind)
				if *update {
					if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				if got != string(want) {
					t.Errorf("%s is not what is sent now (-update):\n%s", file, got)
				}
			}
		}
	}
}

// Every language says all that Italian says, and nothing is left unsaid.
func TestWordsAreComplete(t *testing.T) {
	t.Parallel()
	all, err := parseTemplates()
	if err != nil {
		t.Fatal(err)
	}
	names := func(l language) []string {
		var out []string
		for _, tmpl := range l.words.Templates() {
			if tmpl.Name() != "words.txt" {
				out = append(out, tmpl.Name())
			}
		}
		slices.Sort(out)
		return out
	}
	want := names(all[defaultLanguage])
	for code, l := range all {
		if got := names(l); !slices.Equal(got, want) {
			t.Errorf("%s says %q, Italian %q", code, got, want)
		}
		for _, name := range templateNames {
			for _, part := range []string{"subject", "title", "intro", "button", "outro"} {
				if l.words.Lookup(name+"."+part) == nil {
					t.Errorf("%s lacks %s.%s", code, name, part)
				}
			}
		}
	}
}

// A family's own choices in the portal decide the language, and whether mails
// go at all.
func TestTheFamilyDecides(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	o := newOffice(gatewaytest.New(t))
	o.family()
	o.parent("mother", "", "it")
	a, err := o.AddAccount(ctx, gateway.Account{Username: "mario", Code: gatewaytest.ParentCode, FirstName: "Mario", LastName: "Rossi", Proven: true, Language: "de"}, gatewaytest.Password)
	if err != nil {
		t.Fatal(err)
	}
	o.Issue()
	o.drain()
	if m := o.wantMails("father@example.org")[0]; !strings.Contains(m.Subject, "Neue Zahlungsmitteilung") || !strings.Contains(m.Text, "16,50 €") || !strings.Contains(m.Text, "31.12.2026") {
		t.Errorf("mail is %q\n%s", m.Subject, m.Text)
	}
	if err := o.SetConsents(ctx, a.ID, false, false); err != nil {
		t.Fatal(err)
	}
	o.Issue()
	o.drain()
	o.wantMails()
	if err := o.SetConsents(ctx, a.ID, true, false); err != nil {
		t.Fatal(err)
	}
	o.Issue()
	o.drain()
	o.wantMails("father@example.org")
}

func TestReminder(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	o := newOffice(gatewaytest.New(t))
	o.family()
	o.parent("mother", "", "it")
	n := o.Issue()
	paid := o.Issue()
	o.drain()
	o.wantMails("father@example.org", "father@example.org")
	remind := func(want int) {
		t.Helper()
		if got, err := o.Remind(ctx); got != want || err != nil {
			t.Errorf("Remind = %d, %v; want %d", got, err, want)
		}
		o.drain()
	}
	remind(0) // weeks to go
	o.Settle(paid, "")
	o.drain()
	o.wantMails("father@example.org")
	o.Time.Advance(34 * 24 * time.Hour) // four days before
	remind(1)
	m := o.wantMails("father@example.org")[0]
	if m.Subject != "Avviso in scadenza: IC 6 Grosseto" || !strings.Contains(m.Text, "scade il 31/12/2026") || !strings.Contains(m.Text, n.Number.Grouped()) || !strings.Contains(m.Text, "Maria") {
		t.Errorf("reminder is %q\n%s", m.Subject, m.Text)
	}
	remind(0) // once
	o.wantMails()
	// A notice that is just issued says itself when it is due.
	o.Issue(func(n *gateway.NewNotice) { n.DueDate = "2026-12-29" })
	remind(0)
	o.wantMails("father@example.org")
}

// A family is told of a refund when it is given, not while the school decides.
func TestRefundIsTold(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	o := newOffice(gatewaytest.New(t))
	o.family()
	o.parent("mother", "", "it")
	n := o.Issue()
	rec := o.Settle(n, "")
	o.drain()
	o.post.took()
	clerk, head := gateway.Actor{Kind: "client", Name: "clerk"}, gateway.Actor{Kind: "client", Name: "head"}
	r, err := o.RequestRefund(ctx, clerk, n.School, gateway.NewRefund{Receipt: rec.ID, Amount: 650, Reason: "gita annullata", IBAN: "IT60X0542811101000000123456", Holder: "Mario Rossi"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.ChangeRefund(ctx, head, n.School, r.ID, gateway.RefundChange{State: gateway.RefundApproved}); err != nil {
		t.Fatal(err)
	}
	o.drain()
	o.wantMails()
	if _, err := o.ChangeRefund(ctx, head, n.School, r.ID, gateway.RefundChange{State: gateway.RefundExecuted}); err != nil {
		t.Fatal(err)
	}
	o.drain()
	m := o.wantMails("father@example.org")[0]
	if m.Subject != "Rimborso disposto: IC 6 Grosseto" || !strings.Contains(m.Text, "6,50 €") || !strings.Contains(m.Text, n.Number.Grouped()) || strings.Contains(m.Text, "IT60") {
		t.Errorf("mail is %q\n%s", m.Subject, m.Text)
	}
}

func TestLetters(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	o := newOffice(gatewaytest.New(t))
	a, err := o.AddAccount(ctx, gateway.Account{Username: "mario", Code: gatewaytest.ParentCode, FirstName: "Mario", LastName: "Rossi", Email: "old@example.org", Language: "fr"}, gatewaytest.Password)
	if err != nil {
		t.Fatal(err)
	}
	if err := o.AskEmailChange(ctx, a.ID, gatewaytest.Password, "new@example.org"); err != nil {
		t.Fatal(err)
	}
	o.drain()
	m := o.wantMails("new@example.org")[0]
	_, token, ok := strings.Cut(m.Text, "/area-riservata/email?token=")
	if !ok || m.Subject != "Confirmez votre nouvelle adresse e-mail" {
		t.Fatalf("letter is %q\n%s", m.Subject, m.Text)
	}
	token, _, _ = strings.Cut(token, "\n")
	if err := o.ConfirmEmail(ctx, token); err != nil {
		t.Fatal(err)
	}
	if err := o.ConfirmEmail(ctx, token); !errors.Is(err, gateway.ErrNotFound) {
		t.Errorf("a used link: %v", err)
	}
	o.drain()
	o.wantMails("old@example.org")
	ticket, err := o.AskHelp(ctx, gateway.HelpRequest{Topic: "payment", School: gatewaytest.SchoolCode, Text: "Ho pagato due volte.\r\nGrazie\x07", Email: "mario@example.org"})
	if err != nil {
		t.Fatal(err)
	}
	o.drain()
	m = o.wantMails("assistenza@pagamenti.example", "mario@example.org")[0]
	if m.ReplyTo != "mario@example.org" || m.Subject != "Richiesta "+ticket+": IC 6 Grosseto" || !strings.Contains(m.Text, "Ho pagato due volte.\nGrazie\n") {
		t.Errorf("question is %+v", m)
	}
}

func TestNew(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	good := Config{Outbox: g.Store, Service: g.Service, Mailer: &postman{}, From: "no-reply@pagamenti.example"}
	for name, change := range map[string]func(*Config){
		"no outbox":  func(c *Config) { c.Outbox = nil },
		"no service": func(c *Config) { c.Service = nil },
		"no mailer":  func(c *Config) { c.Mailer = nil },
		"no sender":  func(c *Config) { c.From = "" },
		"two lines":  func(c *Config) { c.From = "no-reply@pagamenti.example\r\nBcc: x@example.org" },
	} {
		cfg := good
		change(&cfg)
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	reg := prometheus.NewRegistry()
	good.Reg = reg
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	families, err := reg.Gather()
	if err != nil || len(families) != 5 || len(families[2].GetMetric()) != 4*(len(templateNames)+1) {
		t.Errorf("gathered %v, %v", families, err)
	}
	if problems, err := promlint.NewWithMetricFamilies(families).Lint(); err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v, %v", problems, err)
	}
}
