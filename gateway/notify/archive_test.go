// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
	"github.com/nodogate/nodogate/gateway/money"
)

const archiveKey = "the-subscription-key"

// aca is an archive that does as it is told and keeps what it was sent.
type aca struct {
	t   *testing.T
	url string

	mu     sync.Mutex
	got    []position
	raw    []*http.Request // with bodies
	answer func(n int) int // status of the n-th call, from 0; 0 cuts; nil: 200
	head   http.Header
}

func newACA(t *testing.T) *aca {
	a := &aca{t: t, head: http.Header{}}
	srv := httptest.NewServer(a)
	srv.Config.ErrorLog = nil
	t.Cleanup(srv.Close)
	a.url = srv.URL + "/aca/v1"
	return a
}

func (a *aca) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		a.t.Error(err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	var p position
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p); err != nil || r.Method != "POST" || r.URL.Path != "/aca/v1/paCreatePosition" || r.Header.Get("Ocp-Apim-Subscription-Key") != archiveKey {
		a.t.Errorf("%s %s with key %q: %s: %v", r.Method, r.URL, r.Header.Get("Ocp-Apim-Subscription-Key"), body, err)
	}
	r = r.Clone(context.WithoutCancel(r.Context())) // the server goes on with its own
	r.Body = io.NopCloser(bytes.NewReader(body))
	n := len(a.got)
	a.got, a.raw = append(a.got, p), append(a.raw, r)
	status := 200
	if a.answer != nil {
		status = a.answer(n)
	}
	if status == 0 {
		panic(http.ErrAbortHandler)
	}
	for k, v := range a.head {
		w.Header()[k] = v
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"title":"about Maria Rossi %s"}`, gatewaytest.PupilCode)
}

func (a *aca) answers(f func(n int) int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answer = f
}

func always(status int) func(int) int { return func(int) int { return status } }

// took empties what was sent: "<amount> <description>".
func (a *aca) took() (list []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, p := range a.got {
		list = append(list, fmt.Sprint(p.Amount, " ", p.Description))
	}
	a.got = nil
	return list
}

func (a *aca) wantCalls(want ...string) {
	a.t.Helper()
	if got := a.took(); !slices.Equal(got, want) {
		a.t.Fatalf("the archive was told %q, want %q", got, want)
	}
}

func newArchiveOffice(t *testing.T, g *gatewaytest.Gateway, a *aca) office {
	t.Helper()
	archive, err := NewArchive(a.url, archiveKey, true)
	if err != nil {
		t.Fatal(err)
	}
	return newOffice(g, func(c *Config) { c.Archive = archive })
}

func (o office) wantUpdates(counts map[outcome]float64) {
	o.T.Helper()
	for _, c := range []outcome{sent, dropped, refused, retried, parked} {
		if got := testutil.ToFloat64(o.archived.WithLabelValues(string(c))); got != counts[c] {
			o.T.Errorf("%s updates: counted %v, want %v", c, got, counts[c])
		}
	}
}

func (o office) wantPosition(n gateway.Notice, state gateway.ArchiveState, code int) {
	o.T.Helper()
	p, err := o.ArchivePosition(o.T.Context(), n.School, n.Number)
	if err != nil {
		o.T.Fatal(err)
	}
	if p.State != state || p.Code != code {
		o.T.Fatalf("position is %q (%d), want %q (%d)", p.State, p.Code, state, code)
	}
}

// change alters a notice as the school does, by the store's own means.
func (o office) change(n gateway.Notice, f func(*gateway.Notice)) {
	o.T.Helper()
	err := o.Store.Update(o.T.Context(), func(tx gateway.Tx) error {
		n, err := tx.LockNotice(n.School, n.Number)
		if err != nil {
			return err
		}
		f(&n)
		n.Version, n.ChangedAt = n.Version+1, o.Now()
		if err := tx.SaveNotice(n); err != nil {
			return err
		}
		payload, err := json.Marshal(gateway.EventPayload{Type: "notice.changed", School: n.School, Number: n.Number.String(), At: o.Now()})
		return errors.Join(err, tx.Enqueue(gateway.Message{
			ID: fmt.Sprint("change-", n.Number, "-", n.Version), School: n.School, Kind: kindEvent,
			Aggregate: string(n.School) + "/" + n.Number.String(), Payload: payload, At: o.Now(),
		}))
	})
	if err != nil {
		o.T.Fatal(err)
	}
}

func amount(n *gateway.Notice, cents int64) {
	n.Amount = money.Cents(cents)
	n.Transfers[0].Amount = n.Amount
}

// A notice's whole life, as the archive is told it.
func TestArchiveIsToldWhatANoticeIs(t *testing.T) {
	t.Parallel()
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		a := newACA(t)
		o := newArchiveOffice(t, g, a)
		n := g.Issue()
		o.drain()
		o.wantPosition(n, gateway.ArchiveOpen, 200)
		if len(a.got) != 1 {
			t.Fatalf("%d calls", len(a.got))
		}
		want := position{
			School: "80014480828", EntityType: "F", EntityCode: "RSSMRA10A41H501F", EntityName: "Maria Rossi", IUV: n.Number.IUV(), Number: n.Number.String(),
			Amount: 1650, Description: "Viaggio di istruzione 3B", ExpirationDate: "2026-12-31T23:59:59+01:00", IBAN: gatewaytest.IBAN,
			SwitchToExpired: true, PayStandIn: true,
		}
		if a.got[0] != want {
			t.Errorf("told %+v\nwant %+v", a.got[0], want)
		}
		a.took()

		// Three changes before the next look are one call; the others find
		// nothing left to tell.
		for i := range 3 {
			o.change(n, func(n *gateway.Notice) { amount(n, int64(1700+i)) })
		}
		o.drain()
		a.wantCalls("1702 Viaggio di istruzione 3B")
		o.wantUpdates(map[outcome]float64{sent: 2, dropped: 2})

		if _, err := g.Cancel(t.Context(), gatewaytest.Operator, n.School, n.Number); err != nil {
			t.Fatal(err)
		}
		o.drain()
		a.wantCalls("0 Viaggio di istruzione 3B")
		o.wantPosition(n, gateway.ArchiveClosed, 200)

		paid := g.Issue()
		o.drain()
		g.Settle(paid, "")
		o.drain()
		a.wantCalls("1650 Viaggio di istruzione 3B", "0 Viaggio di istruzione 3B")
		o.wantPosition(paid, gateway.ArchiveClosed, 200)
		if g.Time.Advance(time.Hour); o.drain() != 0 {
			t.Error("something was told twice")
		}
		o.wantOutbox(kindArchive, 0, 0)
		o.wantSilence(archiveKey)
	})
}

func TestWhatTheArchiveIsNotTold(t *testing.T) {
	t.Parallel()
	later := func(o office) { o.Time.Advance(45 * 24 * time.Hour) } // the due date is over
	for _, c := range []struct {
		name   string
		issue  func(*gateway.NewNotice)
		change func(o office, n gateway.Notice)
		want   []string // calls after the notice was issued
	}{
		{"changed nothing", nil, func(o office, n gateway.Notice) { o.change(n, func(n *gateway.Notice) { n.Version-- }) }, nil},
		{"lapsed by its date", nil, func(o office, n gateway.Notice) { later(o); o.change(n, func(*gateway.Notice) {}) }, nil},
		{"lapsed by another date than the archive knows", nil, func(o office, n gateway.Notice) {
			o.change(n, func(n *gateway.Notice) { n.DueDate = gateway.Date{Year: 2026, Month: 11, Day: 1} })
		}, []string{"0 Viaggio di istruzione 3B"}},
		{"payable after its date", func(n *gateway.NewNotice) { n.PayableAfterDue = true }, func(o office, n gateway.Notice) {
			later(o)
			o.change(n, func(n *gateway.Notice) { amount(n, 1700) })
		}, []string{"1700 Viaggio di istruzione 3B"}},
		{"never payable here", func(n *gateway.NewNotice) { n.DueDate = "2026-11-01" }, func(o office, n gateway.Notice) {
			if _, err := o.Cancel(o.T.Context(), gatewaytest.Operator, n.School, n.Number); err != nil {
				o.T.Fatal(err)
			}
		}, nil},
		{"two creditors", func(n *gateway.NewNotice) {
			n.Transfers = []gateway.NewTransfer{{Amount: 1000}, {School: string(gatewaytest.OtherCode), IBAN: gatewaytest.IBAN, Amount: 650}}
		}, func(office, gateway.Notice) {}, nil},
		{"two creditors from now on", nil, func(o office, n gateway.Notice) {
			o.change(n, func(n *gateway.Notice) {
				n.Transfers = append(n.Transfers, n.Transfers[0])
				n.Transfers[0].Amount, n.Transfers[1].ID, n.Transfers[1].Amount = 1000, 2, 650
			})
		}, []string{"0 Viaggio di istruzione 3B"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a := newACA(t)
			o := newArchiveOffice(t, gatewaytest.New(t), a)
			if c.issue == nil {
				c.issue = func(*gateway.NewNotice) {}
			}
			n := o.Issue(c.issue)
			o.drain()
			before := len(a.took())
			if payable := n.StateAt(o.Now()) == gateway.NoticeOpen && len(n.Transfers) == 1; (before == 1) != payable {
				t.Fatalf("%d calls for a new notice", before)
			}
			c.change(o, n)
			o.drain()
			a.wantCalls(c.want...)
			o.wantOutbox(kindArchive, 0, 0)
		})
	}
}

// Money that does not fit keeps the notice from being paid here; nobody may take
// more in our place.
func TestHeldNoticeIsNotPaidInStandIn(t *testing.T) {
	t.Parallel()
	a := newACA(t)
	o := newArchiveOffice(t, gatewaytest.New(t), a)
	n := o.Issue()
	o.drain()
	r := gatewaytest.Receipt(n, "rt-1")
	r.Amount, r.Transfers[0].Amount = 1000, 1000
	if _, err := o.Deliver(r); err != nil {
		t.Fatal(err)
	}
	o.drain()
	if len(a.got) != 2 || !a.got[0].PayStandIn || a.got[1].PayStandIn || a.got[1].Amount != 1650 {
		t.Errorf("told %+v", a.got)
	}
}

// What the archive says no to is not said again until the notice changes, and
// stands where people look.
func TestArchiveRefuses(t *testing.T) {
	t.Parallel()
	for _, status := range []int{400, 409, 422} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			a := newACA(t)
			o := newArchiveOffice(t, gatewaytest.New(t), a)
			a.answers(always(status))
			n := o.Issue()
			o.drain()
			a.wantCalls("1650 Viaggio di istruzione 3B")
			o.wantPosition(n, gateway.ArchiveRefused, status)
			o.wantOutbox(kindArchive, 0, 0)
			o.wantUpdates(map[outcome]float64{refused: 1})
			if refused, err := o.ArchiveRefused(t.Context()); refused != 1 || err != nil {
				t.Errorf("ArchiveRefused = %d, %v", refused, err)
			}
			o.change(n, func(n *gateway.Notice) { n.Version-- })
			o.drain()
			a.wantCalls()
			a.answers(nil)
			o.change(n, func(n *gateway.Notice) { amount(n, 1700) })
			o.drain()
			a.wantCalls("1700 Viaggio di istruzione 3B")
			if refused, err := o.ArchiveRefused(t.Context()); refused != 0 || err != nil {
				t.Errorf("ArchiveRefused = %d, %v", refused, err)
			}
			o.wantSilence()
		})
	}
}

// Closing what is over there, or never got there, is done.
func TestClosing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name          string
		issue, cancel int // answers; issue 0 is cut
		want          gateway.ArchiveState
		code          int
	}{
		{"paid or lapsed there", 200, 409, gateway.ArchiveClosed, 409},
		{"refused, so not there", 400, 404, gateway.ArchiveClosed, 404},
		{"perhaps not there", 0, 404, gateway.ArchiveClosed, 404},
		{"there, but not found: another archive?", 200, 404, gateway.ArchiveAsked, 0},
		{"malformed", 200, 400, gateway.ArchiveRefused, 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a := newACA(t)
			o := newArchiveOffice(t, gatewaytest.New(t), a)
			a.answers(func(n int) int { return []int{c.issue, c.cancel}[n] })
			n := o.Issue()
			o.drain()
			if _, err := o.Cancel(t.Context(), gatewaytest.Operator, n.School, n.Number); err != nil {
				t.Fatal(err)
			}
			o.Time.Advance(time.Minute)
			o.drain()
			o.wantPosition(n, c.want, c.code)
		})
	}
}

// An archive that is away, or does not take our key, is asked again for days,
// and of all that waits only a few messages use up their tries.
func TestArchiveIsAway(t *testing.T) {
	t.Parallel()
	for name, status := range map[string]int{"key refused": 401, "forbidden": 403, "wrong address": 404, "slow down": 429, "broken": 500, "away": 503, "cut": 0, "moved": 302} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newACA(t)
			o := newArchiveOffice(t, gatewaytest.New(t), a)
			a.answers(always(status))
			const notices = 60
			for range notices {
				o.Issue()
			}
			// A day and a half with a wrong key.
			for range 36 * 2 {
				o.Time.Advance(30 * time.Minute)
				o.drain()
			}
			calls := len(a.took())
			if calls < 72 || calls > 300 {
				t.Errorf("the archive was called %d times", calls)
			}
			o.wantOutbox(kindArchive, notices, 0)
			a.answers(nil)
			for range 24 {
				o.Time.Advance(time.Hour)
				o.drain()
			}
			if n := len(a.took()); n != notices {
				t.Errorf("%d calls when it was back, want %d", n, notices)
			}
			o.wantOutbox(kindArchive, 0, 0)
			o.wantSilence(archiveKey)
		})
	}
}

// One that never gets through is parked at its fifteenth try, with the published
// waits between them.
func TestArchiveParks(t *testing.T) {
	t.Parallel()
	a := newACA(t)
	o := newArchiveOffice(t, gatewaytest.New(t), a)
	a.answers(always(503))
	o.Issue()
	o.drain()
	for k := 1; k < maxTries; k++ {
		o.wantOutbox(kindArchive, 1, 0)
		if got := len(a.took()); got != 1 {
			t.Fatalf("try %d: %d calls", k, got)
		}
		wait := firstTry * (1<<k - 1)
		o.Time.Advance(wait - time.Second)
		o.drain()
		a.wantCalls()
		o.Time.Advance(max(time.Second, rest)) // and the lane's rest
		o.drain()
	}
	o.wantOutbox(kindArchive, 0, 1)
	o.wantUpdates(map[outcome]float64{retried: maxTries - 1, parked: 1})
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	a := newACA(t)
	o := newArchiveOffice(t, gatewaytest.New(t), a)
	a.answers(always(429))
	a.head.Set("Retry-After", "600")
	o.Issue()
	o.drain()
	a.took()
	o.Issue()
	o.Time.Advance(599 * time.Second)
	o.drain()
	a.wantCalls()
	a.answers(nil)
	o.Time.Advance(time.Second)
	o.drain()
	a.wantCalls("1650 Viaggio di istruzione 3B", "1650 Viaggio di istruzione 3B")
}

// A worker that dies between the call and the note tells it again: the same
// content, which the archive takes again.
func TestArchiveWorkerDies(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	a := newACA(t)
	outbox := &crashing{DB: g.Store}
	archive, err := NewArchive(a.url, archiveKey, true)
	if err != nil {
		t.Fatal(err)
	}
	o := newOffice(g, func(c *Config) { c.Outbox, c.Archive = outbox, archive })
	n := g.Issue()
	if got, err := o.Once(t.Context()); got != 1 || err != nil { // the event
		t.Fatalf("Once = %d, %v", got, err)
	}
	outbox.before = true
	if got, err := o.Once(t.Context()); got != 1 || !errors.Is(err, errCrash) {
		t.Fatalf("Once = %d, %v", got, err)
	}
	outbox.before = false
	a.wantCalls("1650 Viaggio di istruzione 3B")
	g.Time.Advance(lease)
	o.drain()
	a.wantCalls() // it was noted that the archive has it
	o.wantPosition(n, gateway.ArchiveOpen, 200)
	o.wantOutbox(kindArchive, 0, 0)

	// The answer was lost on the way.
	a.answers(func(n int) int { return n * 200 })
	o.change(n, func(n *gateway.Notice) { amount(n, 1700) })
	o.drain()
	o.wantPosition(n, gateway.ArchiveAsked, 0)
	g.Time.Advance(5 * time.Second)
	o.drain()
	a.wantCalls("1700 Viaggio di istruzione 3B", "1700 Viaggio di istruzione 3B")
	o.wantPosition(n, gateway.ArchiveOpen, 200)
}

// What hangs in the archive holds up no mail.
func TestSlowArchiveHoldsUpNoMail(t *testing.T) {
	t.Parallel()
	a := newACA(t)
	hang, hanging := make(chan struct{}), make(chan struct{}, 10)
	a.answers(func(int) int { hanging <- struct{}{}; <-hang; return 200 })
	o := newArchiveOffice(t, gatewaytest.New(t), a)
	o.family()
	o.Issue()
	arrived := make(chan string, 10)
	o.post.does(func(m Mail) error { arrived <- m.To; return nil })
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- o.Run(ctx) }()
	<-hanging
	for range 2 {
		<-arrived
	}
	close(hang)
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

// What the archive does not have is told when an operator asks for it: what was
// issued before it was configured, and what it refused for a reason of its own.
func TestMirrorAgain(t *testing.T) {
	t.Parallel()
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		without := newOffice(g)
		for range 3 {
			g.Issue()
		}
		expired := g.Issue(func(n *gateway.NewNotice) { n.DueDate = "2026-11-01" })
		without.drain()
		a := newACA(t)
		o := newArchiveOffice(t, g, a)
		a.answers(always(409))
		refused := g.Issue()
		o.drain()
		a.wantCalls("1650 Viaggio di istruzione 3B")
		a.answers(nil)
		if n, err := g.MirrorAgain(t.Context(), gatewaytest.SchoolCode); n != 5 || err != nil {
			t.Errorf("MirrorAgain = %d, %v, want 5", n, err)
		}
		o.drain()
		if got := len(a.took()); got != 4 { // the one past its day is none of the archive's
			t.Errorf("%d calls, want 4", got)
		}
		o.wantPosition(refused, gateway.ArchiveOpen, 200)
		o.wantPosition(expired, "", 0)
		if n, err := g.MirrorAgain(t.Context(), gatewaytest.SchoolCode); n != 1 || err != nil {
			t.Errorf("MirrorAgain = %d, %v, want 1", n, err)
		}
		o.drain()
		a.wantCalls()
		if _, err := g.MirrorAgain(t.Context(), gatewaytest.OtherCode); !errors.Is(err, gateway.ErrNotFound) {
			t.Errorf("of an unknown school: %v", err)
		}
	})
}

func TestNoArchiveNoMessages(t *testing.T) {
	t.Parallel()
	o := newOffice(gatewaytest.New(t))
	o.Issue()
	o.drain()
	o.wantOutbox(kindArchive, 0, 0)
}

func TestNewArchive(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		address, key string
		private, ok  bool
	}{
		{"https://api.platform.pagopa.it/aca/v1", "k", false, true},
		{"http://127.0.0.1:8081/aca", "k", true, true},
		{"http://127.0.0.1:8081/aca", "k", false, false},
		{"https://user:pass@api.example/aca", "k", false, false},
		{"https://api.example/aca?subscription-key=k", "k", false, false},
		{"api.example", "k", false, false},
		{"ftp://api.example", "k", true, false},
		{"https://api.example", "", false, false},
		{"https://api.example", "two\r\nlines", false, false},
	} {
		if _, err := NewArchive(c.address, c.key, c.private); (err == nil) != c.ok {
			t.Errorf("NewArchive(%q, %q, %t): %v", c.address, c.key, c.private, err)
		} else if err != nil && strings.Contains(err.Error(), "pass") {
			t.Errorf("the error tells a password: %v", err)
		}
	}
}

func TestCheckArchive(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]string{400: "", 422: "", 401: "key", 403: "key", 200: "address", 404: "address", 503: "503"} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		archive, err := NewArchive(srv.URL, archiveKey, true)
		if err != nil {
			t.Fatal(err)
		}
		err = archive.Check(t.Context())
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%d: %v, want %q", status, err, want)
		}
		srv.Close()
	}
	private, err := NewArchive("https://127.0.0.1:1/", archiveKey, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := private.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "private address") {
		t.Errorf("a private address: %v", err)
	}
}

// What is sent is what the official description of the service allows.
func TestArchiveRequestsAreValid(t *testing.T) {
	t.Parallel()
	file := filepath.Join(projectRoot(t), "..", "shared", "pagopa", "pagopa-api", "openapi", "paCreatePosition.json")
	if _, err := os.Stat(file); err != nil {
		if os.Getenv("CI") != "" || os.Getenv("NODOGATE_TEST_STRICT") != "" {
			t.Fatal("the official description is not there")
		}
		t.Skip("the official description is not there")
	}
	doc, err := openapi3.NewLoader().LoadFromFile(file)
	if err != nil {
		t.Fatal(err)
	}
	a := newACA(t)
	doc.Servers = openapi3.Servers{{URL: "/aca/v1"}}
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	o := newArchiveOffice(t, gatewaytest.New(t), a)
	postal, _, err := o.Service.AddSchool(t.Context(), gatewaytest.Operator, gateway.NewSchool{
		Code: string(gatewaytest.OtherCode), Name: "Liceo", IBAN: gatewaytest.IBAN, Segregation: "02",
		PostalAccount: "1016", PostalIBAN: "IT45R0760103200000000001016", PostalHolder: "Liceo", PostalAuth: "AUT. DB/1",
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range []func(*gateway.NewNotice){
		func(*gateway.NewNotice) {},
		func(n *gateway.NewNotice) { n.DebtorCode, n.DebtorName = string(gateway.Anonymous), "x" },
		func(n *gateway.NewNotice) { n.DebtorCode, n.DebtorName = "80014480828", strings.Repeat("à", 70) },
		func(n *gateway.NewNotice) { n.PayableAfterDue, n.Description = true, strings.Repeat("à", 140) },
		func(n *gateway.NewNotice) { n.Amount = 99999999999 },
	} {
		o.Issue(change)
		cancelled := o.IssueAt(postal.Code, change)
		o.drain()
		if _, err := o.Cancel(t.Context(), gatewaytest.Operator, cancelled.School, cancelled.Number); err != nil {
			t.Fatal(err)
		}
		o.drain()
	}
	if len(a.raw) != 15 {
		t.Errorf("%d requests, want 15", len(a.raw))
	}
	for i, r := range a.raw {
		route, params, err := router.FindRoute(r)
		if err != nil {
			t.Fatal(err)
		}
		err = openapi3filter.ValidateRequest(t.Context(), &openapi3filter.RequestValidationInput{
			Request: r, PathParams: params, Route: route,
			Options: &openapi3filter.Options{AuthenticationFunc: func(_ context.Context, in *openapi3filter.AuthenticationInput) error {
				if in.SecurityScheme.In == "header" && r.Header.Get(in.SecurityScheme.Name) == archiveKey {
					return nil
				}
				return errors.New("no key")
			}},
		})
		if err != nil {
			t.Errorf("%+v: %v", a.got[i], err)
		}
	}
}

func projectRoot(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
	}
	t.Fatal("no go.mod above the test")
	return ""
}
