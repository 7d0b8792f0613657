// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
)

// program is a school's program that is called.
type program struct {
	t    *testing.T
	url  string
	hook gateway.Webhook

	mu     sync.Mutex
	calls  []call
	answer func(n int) int // status of the n-th call, from 0; 0 cuts; nil: 204
	head   http.Header
	body   string
}

// call is one call that came.
type call struct {
	header http.Header
	raw    string
	body   struct {
		Type gateway.EventKind
		At   time.Time `json:"timestamp"`
		Data map[string]any
	}
}

func (c call) String() string { return fmt.Sprint(c.body.Type, " ", c.body.Data["number"]) }

func newProgram(t *testing.T) *program {
	p := &program{t: t, head: http.Header{}}
	srv := httptest.NewServer(p)
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	t.Cleanup(srv.Close)
	p.url = srv.URL + "/hooks/pagamenti?token=" + hookToken
	return p
}

const hookToken = "a-secret-in-the-address"

func (p *program) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		p.t.Error(err)
	}
	c := call{header: r.Header.Clone(), raw: string(raw)}
	if err := json.Unmarshal(raw, &c.body); err != nil || r.Method != "POST" || r.Header.Get("Content-Type") != "application/json" {
		p.t.Errorf("%s %s: %s: %v", r.Method, r.URL, raw, err)
	}
	p.mu.Lock()
	n := len(p.calls)
	p.calls = append(p.calls, c)
	answer, head, body := p.answer, p.head.Clone(), p.body
	p.mu.Unlock()
	status := 204
	if answer != nil {
		status = answer(n)
	}
	if status == 0 {
		panic(http.ErrAbortHandler)
	}
	for k, v := range head {
		w.Header()[k] = v
	}
	w.WriteHeader(status)
	if status != 204 {
		io.WriteString(w, body)
	}
}

func (p *program) answers(f func(n int) int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = f
}

// took empties what came.
func (p *program) took() []call {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.calls
	p.calls = nil
	return list
}

func (p *program) wantCalls(want ...string) []call {
	p.t.Helper()
	list := p.took()
	var got []string
	for _, c := range list {
		got = append(got, c.String())
	}
	if !slices.Equal(got, want) {
		p.t.Fatalf("called with %q, want %q", got, want)
	}
	return list
}

// registry is a gateway that may call this machine, with a worker.
func newRegistry(t *testing.T, g *gatewaytest.Gateway, change ...func(*Config)) office {
	t.Helper()
	return newOffice(g, append([]func(*Config){func(c *Config) { c.AllowPrivate = true }}, change...)...)
}

// listen adds a webhook for the program.
func (o office) listen(p *program, events ...gateway.EventKind) {
	o.T.Helper()
	if len(events) == 0 {
		events = gateway.WebhookEvents
	}
	names := make([]string, len(events))
	for i, e := range events {
		names[i] = string(e)
	}
	var err error
	if p.hook, err = o.AddWebhook(o.T.Context(), gatewaytest.Operator, gatewaytest.SchoolCode, p.url, names); err != nil {
		o.T.Fatal(err)
	}
}

func (o office) deliveries(p *program) []gateway.Delivered {
	o.T.Helper()
	list, err := o.Deliveries(o.T.Context(), gatewaytest.SchoolCode, p.hook.ID, 0, 1000)
	if err != nil {
		o.T.Fatal(err)
	}
	return list
}

// verify checks a call as a receiver does, at the time of the call.
func verify(c call, secret string) error {
	key, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		return err
	}
	return key.VerifyIgnoringTimestamp([]byte(c.raw), c.header)
}

// The life of a notice and of its receipt, as a program hears of it.
func TestWebhooks(t *testing.T) {
	t.Parallel()
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		o := newRegistry(t, g)
		p := newProgram(t)
		o.listen(p)
		n := g.Issue(func(n *gateway.NewNotice) { n.ExternalID = "gita-3b-0001" })
		number := n.Number.String()
		o.drain()
		issued := p.wantCalls("notice.issued " + number)[0]
		want := map[string]any{
			"school": "80014480828", "number": number, "status": "open", "amount_cents": 1650.0, "due_date": "2026-12-31",
			"external_id": "gita-3b-0001", "campaign": nil, "paid_at": nil, "receipt": nil, "version": 1.0,
		}
		if fmt.Sprint(issued.body.Data) != fmt.Sprint(want) || !issued.body.At.Equal(gatewaytest.Start) {
			t.Errorf("told %v at %s\nwant %v", issued.body.Data, issued.body.At, want)
		}
		g.Time.Advance(2 * time.Minute)
		r := g.Settle(n, "")
		o.drain()
		told := p.took()
		var types []string
		for _, c := range told {
			types = append(types, string(c.body.Type))
			if err := verify(c, p.hook.Keys[0].Secret()); err != nil {
				t.Errorf("%s: %v", c, err)
			}
			if at := c.header.Get("Webhook-Timestamp"); at != fmt.Sprint(g.Now().Unix()) {
				t.Errorf("timestamp %s, now is %d", at, g.Now().Unix())
			}
			for _, secret := range []string{"Rossi", "Maria", string(gatewaytest.PupilCode), "3B"} {
				if strings.Contains(c.raw, secret) {
					t.Errorf("%q stands in %s", secret, c.raw)
				}
			}
		}
		if !slices.Equal(types, []string{"notice.paid", "receipt.recorded"}) {
			t.Fatalf("called with %q", types)
		}
		if d := told[0].body.Data; d["status"] != "paid" || d["receipt"] != r.ID || d["version"] != 2.0 || d["paid_at"] == nil {
			t.Errorf("paid: %v", d)
		}
		want = map[string]any{
			"school": "80014480828", "number": number, "external_id": "gita-3b-0001", "receipt": r.ID, "receipt_id": r.Content.ID, "amount_cents": 1650.0,
			"paid_at": "2026-11-23T08:01:00Z", "channel": "node", "role": "creditor", "anomaly": nil,
		}
		if fmt.Sprint(told[1].body.Data) != fmt.Sprint(want) {
			t.Errorf("receipt: %v\nwant %v", told[1].body.Data, want)
		}

		// Money again: an anomaly, and a refund to decide on.
		again := gatewaytest.Receipt(n, "rt-2")
		if _, err := g.Deliver(again); err != nil {
			t.Fatal(err)
		}
		o.drain()
		types = nil
		for _, c := range p.took() {
			types = append(types, fmt.Sprint(c.body.Type, " ", c.body.Data["anomaly"], " ", c.body.Data["state"]))
		}
		slices.Sort(types)
		if !slices.Equal(types, []string{"receipt.anomaly double_payment <nil>", "receipt.recorded double_payment <nil>", "refund.changed <nil> requested"}) {
			t.Errorf("called with %q", types)
		}
		if list := o.deliveries(p); len(list) != 6 || list[0].State() != gateway.DeliveryDelivered || list[0].Log[0].Code != 204 {
			t.Errorf("deliveries: %+v", list)
		}
		o.wantOutbox(kindWebhook, 0, 0)
		o.wantSilence(hookToken, p.hook.Keys[0].Secret())
	})
}

// Who is told of what.
func TestWebhooksOfOthers(t *testing.T) {
	t.Parallel()
	o := newRegistry(t, gatewaytest.New(t))
	o.AddSchool(gatewaytest.OtherCode, "IC 1 Follonica")
	paid, all := newProgram(t), newProgram(t)
	o.Issue() // before there was anybody to tell
	o.Time.Advance(time.Microsecond)
	o.listen(paid, gateway.EventNoticePaid, gateway.EventImportFinished)
	o.listen(all)
	n := o.Issue()
	o.IssueAt(gatewaytest.OtherCode)
	o.Settle(n, "")
	o.drain()
	paid.wantCalls("notice.paid " + n.Number.String())
	if got := len(all.took()); got != 3 {
		t.Errorf("all: %d calls, want 3", got)
	}
	// An import names no notice.
	imp, err := o.CreateImport(t.Context(), gatewaytest.Operator, gatewaytest.SchoolCode, gateway.NewImport{DryRun: true})
	if err != nil {
		t.Fatal(err)
	}
	event := func(id string) {
		t.Helper()
		payload := `{"type":"import.finished","school":"80014480828","import":"` + id + `","timestamp":"2026-11-23T08:00:01Z"}`
		err := o.Store.Update(t.Context(), func(tx gateway.Tx) error {
			return tx.Enqueue(gateway.Message{ID: "event-" + id, School: gatewaytest.SchoolCode, Kind: kindEvent, Aggregate: id, Payload: []byte(payload), At: o.Now()})
		})
		if err != nil {
			t.Fatal(err)
		}
		o.drain()
	}
	event(imp.ID)
	got := paid.took()
	want := map[string]any{
		"school": "80014480828", "import": imp.ID, "state": "running", "dry_run": true, "rows": 0.0, "accepted": 0.0, "rejected": 0.0, "issued": 0.0, "existed": 0.0,
	}
	if len(got) != 1 || fmt.Sprint(got[0].body.Data) != fmt.Sprint(want) {
		t.Errorf("import: %+v", got)
	}
	event("unknown")
	o.wantOutbox(kindEvent, 1, 0) // not yet there, perhaps
}

// The same id, the same bytes, every try signed anew; the published waits; then
// it has failed, and others may go.
func TestWebhookTries(t *testing.T) {
	t.Parallel()
	o := newRegistry(t, gatewaytest.New(t))
	p := newProgram(t)
	o.listen(p, gateway.EventNoticeIssued, gateway.EventNoticeCancelled)
	p.answers(always(500))
	p.body = "Maintenance\r\nwith whsec_c2VjcmV0c2VjcmV0 and Bearer abc.def-123 and " + strings.Repeat("à", 200)
	n := o.Issue()
	o.drain()
	first := p.wantCalls("notice.issued " + n.Number.String())[0]
	if _, err := o.Cancel(t.Context(), gatewaytest.Operator, n.School, n.Number); err != nil {
		t.Fatal(err)
	}
	for k := 1; k < maxTries; k++ {
		o.Time.Advance(firstTry*(1<<k-1) - time.Second)
		o.drain()
		p.wantCalls() // not before its time, and the later event not before it
		o.Time.Advance(max(time.Second, rest))
		o.drain()
		if k == maxTries-1 {
			break
		}
		again := p.wantCalls("notice.issued " + n.Number.String())[0]
		if again.header.Get("Webhook-Id") != first.header.Get("Webhook-Id") || again.raw != first.raw {
			t.Fatalf("try %d: %s %s, want %s %s", k+1, again.header.Get("Webhook-Id"), again.raw, first.header.Get("Webhook-Id"), first.raw)
		}
		if again.header.Get("Webhook-Timestamp") == first.header.Get("Webhook-Timestamp") || verify(again, p.hook.Keys[0].Secret()) != nil {
			t.Fatalf("try %d is not signed anew", k+1)
		}
	}
	o.Time.Advance(rest)
	o.drain()
	if got := p.took(); got[len(got)-1].body.Type != gateway.EventNoticeCancelled {
		t.Errorf("last call: %s, want the event behind", got[len(got)-1])
	}
	list := o.deliveries(p)
	d := list[1]
	if d.State() != gateway.DeliveryFailed || d.Tries != maxTries || len(d.Log) != maxTries {
		t.Fatalf("delivery: %s after %d tries, %d noted", d.State(), d.Tries, len(d.Log))
	}
	y := d.Log[3]
	if y.Try != 4 || y.Code != 500 || y.Problem != "it answered 500" || !strings.HasPrefix(y.Answer, "Maintenance with whsec_*** and Bearer *** and àà") || len(y.Answer) > maxKept {
		t.Errorf("try: %+v", y)
	}
	if got := testutil.ToFloat64(o.called.WithLabelValues(string(parked))); got != 1 {
		t.Errorf("parked: %v", got)
	}
	o.wantOutbox(kindWebhook, 1, 1)
	o.wantSilence(hookToken, "Maintenance")
}

// Events of one notice come in order, however they fail; those of others do not
// wait for it.
func TestWebhookOrder(t *testing.T) {
	t.Parallel()
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		o := newRegistry(t, g)
		p := newProgram(t)
		o.listen(p)
		var notices []gateway.Notice
		for range 8 {
			notices = append(notices, g.Issue())
		}
		for _, n := range notices {
			if _, err := g.Cancel(t.Context(), gatewaytest.Operator, n.School, n.Number); err != nil {
				t.Fatal(err)
			}
		}
		p.answers(func(n int) int { return []int{204, 500, 204, 0, 503}[n%5] })
		for range 60 {
			o.drain()
			g.Time.Advance(5 * time.Minute)
		}
		o.wantOutbox(kindWebhook, 0, 0)
		succeeded := map[string][]string{}
		for i, c := range p.took() {
			if i%5 == 0 || i%5 == 2 {
				key := fmt.Sprint(c.body.Data["number"])
				succeeded[key] = append(succeeded[key], string(c.body.Type))
			}
		}
		for _, n := range notices {
			if got := succeeded[n.Number.String()]; !slices.Equal(got, []string{"notice.issued", "notice.cancelled"}) {
				t.Errorf("%s was told as %q", n.Number, got)
			}
		}
	})
}

// One that is away costs the others nothing, and few of its own messages their
// tries.
func TestSickWebhookHoldsUpNobody(t *testing.T) {
	t.Parallel()
	o := newRegistry(t, gatewaytest.New(t))
	sick, well := newProgram(t), newProgram(t)
	o.listen(sick, gateway.EventNoticeIssued)
	o.listen(well, gateway.EventNoticeIssued)
	sick.answers(always(503))
	const notices = 50
	for range notices {
		o.Issue()
	}
	o.drain()
	if got := len(well.took()); got != notices {
		t.Errorf("the one that is well had %d calls, want %d", got, notices)
	}
	if got := len(sick.took()); got < failuresToRest || got > failuresToRest+atOnce {
		t.Errorf("the sick one had %d calls", got)
	}
	for range 24 * 2 {
		o.Time.Advance(30 * time.Minute)
		o.drain()
	}
	o.wantOutbox(kindWebhook, notices, 0)
	sick.answers(nil)
	for range 6 {
		o.Time.Advance(12 * time.Hour)
		o.drain()
	}
	o.wantOutbox(kindWebhook, 0, 0)
}

// Many slow programs at once, while the worker runs: the quick one is told at
// once.
func TestSlowWebhookHoldsUpNobody(t *testing.T) {
	t.Parallel()
	o := newRegistry(t, gatewaytest.New(t))
	slow, quick := newProgram(t), newProgram(t)
	o.listen(slow, gateway.EventNoticeIssued)
	o.listen(quick, gateway.EventNoticeIssued)
	hang := make(chan struct{})
	slow.answers(func(int) int { <-hang; return 204 })
	told := make(chan struct{}, 100)
	quick.answers(func(int) int { told <- struct{}{}; return 204 })
	const notices = 40
	for range notices {
		o.Issue()
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- o.Run(ctx) }()
	for range notices {
		<-told
	}
	if got := len(slow.took()); got > atOnce {
		t.Errorf("the slow one has %d calls at once", got)
	}
	close(hang)
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

// A worker that dies between the call and the note calls again with the same id.
func TestWebhookWorkerDies(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	outbox := &crashing{DB: g.Store}
	o := newRegistry(t, g, func(c *Config) { c.Outbox = outbox })
	p := newProgram(t)
	o.listen(p)
	n := g.Issue()
	if got, err := o.Once(t.Context()); got != 1 || err != nil { // the event
		t.Fatalf("Once = %d, %v", got, err)
	}
	outbox.before = true
	if got, err := o.Once(t.Context()); got != 1 || !errors.Is(err, errCrash) {
		t.Fatalf("Once = %d, %v", got, err)
	}
	outbox.before = false
	first := p.wantCalls("notice.issued " + n.Number.String())[0]
	o.drain()
	p.wantCalls()
	g.Time.Advance(lease)
	o.drain()
	again := p.wantCalls("notice.issued " + n.Number.String())[0]
	if again.header.Get("Webhook-Id") != first.header.Get("Webhook-Id") {
		t.Error("called again with another id")
	}
	if list := o.deliveries(p); len(list) != 1 || len(list[0].Log) != 2 || list[0].State() != gateway.DeliveryDelivered {
		t.Errorf("deliveries: %+v", list)
	}
}

func TestRotation(t *testing.T) {
	t.Parallel()
	o := newRegistry(t, gatewaytest.New(t))
	p := newProgram(t)
	o.listen(p, gateway.EventNoticeIssued)
	secrets := []string{p.hook.Keys[0].Secret()}
	check := func(want ...bool) {
		t.Helper()
		o.Issue()
		o.drain()
		c := p.took()[0]
		for i, secret := range secrets {
			if got := verify(c, secret) == nil; got != want[i] {
				t.Errorf("secret %d is valid: %t, want %t", i, got, want[i])
			}
		}
	}
	rotate := func() {
		t.Helper()
		h, err := o.RotateWebhook(t.Context(), gatewaytest.Operator, gatewaytest.SchoolCode, p.hook.ID)
		if err != nil {
			t.Fatal(err)
		}
		secrets = append(secrets, h.Keys[0].Secret())
	}
	check(true)
	rotate()
	check(true, true)
	o.Time.Advance(24*time.Hour - time.Second)
	check(true, true)
	o.Time.Advance(time.Second)
	check(false, true)
	rotate()
	rotate()
	check(false, false, true, true) // only one old key at a time
}

// A changed body, id or time, or another key, is no call of ours.
func TestForgedCallIsSeen(t *testing.T) {
	t.Parallel()
	o := newRegistry(t, gatewaytest.New(t))
	p := newProgram(t)
	o.listen(p)
	o.Issue()
	o.drain()
	good := p.took()[0]
	secret := p.hook.Keys[0].Secret()
	if err := verify(good, secret); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*call){
		"body":         func(c *call) { c.raw = strings.Replace(c.raw, "1650", "1651", 1) },
		"id":           func(c *call) { c.header.Set("Webhook-Id", "another") },
		"time":         func(c *call) { c.header.Set("Webhook-Timestamp", "1795420801") },
		"signature":    func(c *call) { c.header.Set("Webhook-Signature", "v1,AAAA") },
		"no signature": func(c *call) { c.header.Del("Webhook-Signature") },
	} {
		c := call{header: good.header.Clone(), raw: good.raw}
		change(&c)
		if verify(c, secret) == nil {
			t.Errorf("%s changed: the call verifies", name)
		}
	}
	if verify(good, "whsec_"+strings.Repeat("A", 43)+"=") == nil {
		t.Error("another key verifies the call")
	}
}

func TestReplay(t *testing.T) {
	t.Parallel()
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		o := newRegistry(t, g)
		p := newProgram(t)
		o.listen(p, gateway.EventNoticeIssued)
		n := g.Issue()
		if got, err := o.Once(t.Context()); got != 1 || err != nil {
			t.Fatalf("Once = %d, %v", got, err)
		}
		old := o.deliveries(p)[0]
		if _, err := o.Replay(t.Context(), gatewaytest.Operator, n.School, old.ID); !errors.Is(err, gateway.ErrDeliveryPending) {
			t.Errorf("pending: %v", err)
		}
		o.drain()
		first := p.took()[0]
		// What the notice is by now does not change what is sent again.
		if _, err := g.Cancel(t.Context(), gatewaytest.Operator, n.School, n.Number); err != nil {
			t.Fatal(err)
		}
		d, err := o.Replay(t.Context(), gatewaytest.Operator, n.School, old.ID)
		if err != nil || d.ID == old.ID || d.State() != gateway.DeliveryPending || d.Tries != 0 {
			t.Fatalf("Replay: %+v, %v", d, err)
		}
		o.drain()
		again := p.took()[0]
		if again.raw != first.raw || again.header.Get("Webhook-Id") != first.header.Get("Webhook-Id") || verify(again, p.hook.Keys[0].Secret()) != nil {
			t.Errorf("sent again: %s %s", again.header.Get("Webhook-Id"), again.raw)
		}
		if list := o.deliveries(p); len(list) != 2 || list[0].ID != d.ID || list[0].State() != gateway.DeliveryDelivered {
			t.Errorf("deliveries: %+v", list)
		}
		for _, school := range []gateway.SchoolCode{gatewaytest.OtherCode, "00000000000"} {
			if _, err := o.Replay(t.Context(), gatewaytest.Operator, school, old.ID); !errors.Is(err, gateway.ErrNotFound) {
				t.Errorf("replay by %s: %v", school, err)
			}
		}
	})
}

// A webhook that is deleted hears nothing more.
func TestDeletedWebhook(t *testing.T) {
	t.Parallel()
	o := newRegistry(t, gatewaytest.New(t))
	p := newProgram(t)
	o.listen(p)
	p.answers(always(503))
	o.Issue()
	o.drain()
	p.took()
	if err := o.DeleteWebhook(t.Context(), gatewaytest.Operator, gatewaytest.SchoolCode, p.hook.ID); err != nil {
		t.Fatal(err)
	}
	o.Issue()
	o.Time.Advance(time.Hour)
	o.drain()
	p.wantCalls()
	o.wantOutbox(kindWebhook, 0, 0)
}

// Whatever a name led to when the webhook was added, a private address is not
// called; nor is a redirect followed, nor a long answer read.
func TestWhereWebhooksGo(t *testing.T) {
	t.Parallel()
	trap := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("somebody got through") }))
	t.Cleanup(trap.Close)
	problem := func(o office, p *program) string {
		t.Helper()
		o.listen(p, gateway.EventNoticeIssued)
		o.Issue()
		o.drain()
		return o.deliveries(p)[0].Log[0].Problem
	}
	p := newProgram(t)
	// Added when it was allowed; this worker does not call it any more.
	if got := problem(newOffice(gatewaytest.New(t)), p); got != "the address is not https" || len(p.took()) != 0 {
		t.Errorf("http: %q", got)
	}
	private := newProgram(t)
	private.url = strings.Replace(trap.URL, "http://127.0.0.1", "https://localhost", 1)
	if got := problem(newOffice(gatewaytest.New(t)), private); got != "the name leads to a private address" {
		t.Errorf("private: %q", got)
	}
	redirect := newProgram(t)
	redirect.answers(always(302))
	redirect.head.Set("Location", trap.URL)
	if got := problem(newRegistry(t, gatewaytest.New(t)), redirect); got != "it answered 302" {
		t.Errorf("redirect: %q", got)
	}
	long := newProgram(t)
	long.answers(always(200))
	long.body = strings.Repeat("x", 1<<20)
	if got := problem(newRegistry(t, gatewaytest.New(t)), long); got != "" {
		t.Errorf("a long answer that says yes: %q", got)
	}
	gone := newProgram(t)
	gone.url = "http://127.0.0.1:1/"
	if got := problem(newRegistry(t, gatewaytest.New(t)), gone); got != "connection refused" {
		t.Errorf("nobody there: %q", got)
	}
}

func TestCleanAnswer(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                                  "",
		"ok":                                "ok",
		" a\r\n\tb\x00\u2028c ":             "a b c",
		"\xff\xfeplain":                     "plain",
		"citt\xc3":                          "citt",
		"key whsec_QUJDREVGRw==":            "key whsec_***",
		"Authorization: Basic dXNlcjpwYXNz": "Authorization: Basic ***",
		"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=": "v1,***",
	} {
		if got := cleanAnswer([]byte(in)); got != want {
			t.Errorf("cleanAnswer(%q) = %q, want %q", in, got, want)
		}
	}
}
