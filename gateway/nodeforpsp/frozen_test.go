// SPDX-License-Identifier: Apache-2.0

package nodeforpsp_test

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
	"github.com/nodogate/nodogate/gateway/nodeforpsp"
	"github.com/nodogate/nodogate/gateway/pafornode"
	"github.com/nodogate/nodogate/gateway/store/storetest"
)

// A valve stands between a store and its PostgreSQL. Shut, it passes nothing
// on, either way, and closes nothing: a server that is frozen.
type valve struct {
	listener net.Listener
	server   *pgconn.Config

	mu    sync.Mutex
	moved *sync.Cond
	shut  bool
	// onCommit: the next commit is passed on, and then the valve is shut before
	// its answer.
	onCommit bool
	conns    []net.Conn
	closed   bool
}

// newValve gives a valve for the database, and the address that leads through
// it.
func newValve(t *testing.T, database string) (*valve, string) {
	t.Helper()
	server, err := pgconn.ParseConfig(database)
	if err != nil {
		t.Fatal(err)
	}
	v := &valve{server: server}
	v.moved = sync.NewCond(&v.mu)
	if v.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() { v.accept(&running) })
	t.Cleanup(func() {
		v.listener.Close()
		v.mu.Lock()
		v.closed = true
		for _, c := range v.conns {
			c.Close()
		}
		v.mu.Unlock()
		v.moved.Broadcast()
		running.Wait()
	})
	through, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	host, port, err := net.SplitHostPort(v.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	q := through.Query()
	q.Set("host", host)
	q.Set("port", port)
	q.Set("sslmode", "disable")
	through.RawQuery = q.Encode()
	return v, through.String()
}

func (v *valve) accept(running *sync.WaitGroup) {
	for {
		client, err := v.listener.Accept()
		if err != nil {
			return
		}
		network, address := pgconn.NetworkAddress(v.server.Host, v.server.Port)
		server, err := net.Dial(network, address)
		v.mu.Lock()
		v.conns = append(v.conns, client)
		if err == nil {
			v.conns = append(v.conns, server)
		}
		closed := v.closed
		v.mu.Unlock()
		if err != nil || closed {
			client.Close()
			continue
		}
		running.Go(func() { v.pass(server, client, true) })
		running.Go(func() { v.pass(client, server, false) })
	}
}

// pass hands on what comes, while the valve is open.
func (v *valve) pass(to, from net.Conn, request bool) {
	defer to.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		v.mu.Lock()
		for v.shut && !v.closed {
			v.moved.Wait()
		}
		if v.onCommit && request && bytes.Contains(buffer[:n], []byte("commit")) {
			v.onCommit, v.shut = false, true
		}
		v.mu.Unlock()
		if err != nil {
			return
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func (v *valve) set(shut, onCommit bool) {
	v.mu.Lock()
	v.shut, v.onCommit = shut, onCommit
	v.mu.Unlock()
	v.moved.Broadcast()
}

// within2s is the service level, and what a busy machine may add to it between
// the handler and the caller.
const within2s = 2*time.Second + 500*time.Millisecond

// question is a request, and the answer it gets from a sick database: a fault
// code, or "" for an empty 503.
type question struct{ path, element, sick string }

// questions has one of every operation, about one notice each.
func questions(t *testing.T, f *face) map[string]question {
	t.Helper()
	node := func(s fmt.Stringer) question { return question{nodeforpsp.Path, s.String(), "PPT_SYSTEM_ERROR"} }
	creditor := func(name, content, sick string) question {
		return question{pafornode.Path, creditorRoot(name, toPostal+content).String(), sick}
	}
	issue := func() gateway.Notice { return f.IssueAt(f.postal.Code) }
	qr := func() string { return qrCode(string(f.postal.Code), issue().Number.String()) }
	c, err := f.OpenContribution(ctx, gatewaytest.Operator, f.postal.Code, gateway.NewContribution{Description: "Contributo", Amount: 5000, DueDate: "2026-12-31"})
	if err != nil {
		t.Fatal(err)
	}
	const gift = "<contributoVolontario><codiceFiscale>ANONIMO</codiceFiscale><nominativo>Mario Rossi</nominativo></contributoVolontario>"
	all := map[string]question{
		"verify":      node(verify(one, string(f.postal.Code), issue().Number.String())),
		"bollettino":  node(bollettino(one, postalAccount, issue().Number.String())),
		"activate V1": node(activation(1, issue(), key(1))),
		"activate V2": node(activation(2, issue(), key(2))),
		"outcome V1":  node(paid(1, f.take(t, issue())).by(key(3))),
		"outcome V2":  node(paid(2, f.take(t, issue()), f.take(t, issue())).by(key(4))),
		"demand":      node(demand(one, c.Service, gift)),
		"paVerify":    creditor("paVerifyPaymentNoticeReq", qr(), "PAA_SYSTEM_ERROR"),
		"paGet V1":    creditor("paGetPaymentReq", qr(), "PAA_SYSTEM_ERROR"),
		"paGet V2":    creditor("paGetPaymentV2Request", qr(), "PAA_SYSTEM_ERROR"),
		"paDemand": creditor("paDemandPaymentNoticeRequest", "<idServizio>00001</idServizio>"+element("idSoggettoServizio", c.Service)+
			"<datiSpecificiServizioRequest>PGNvbnRyaWJ1dG9Wb2xvbnRhcmlvPjxjb2RpY2VGaXNjYWxlPkFOT05JTU88L2NvZGljZUZpc2NhbGU+PG5vbWluYXRpdm8+TTwvbm9taW5hdGl2bz48L2NvbnRyaWJ1dG9Wb2xvbnRhcmlvPg==</datiSpecificiServizioRequest>", "PAA_SYSTEM_ERROR"),
	}
	for version, name := range map[int]string{1: "paSendRTReq", 2: "paSendRTV2Request"} {
		m := sendRT(version, issue(), fmt.Sprint("rt-", version))
		all[name] = creditor(name, m, "")
		all[name+", not valid"] = creditor(name, strings.Replace(m, "<outcome>OK", "<outcome>ok", 1), "")
	}
	return all
}

// timely posts and wants the answer in time.
func (f *face) timely(t *testing.T, q question) (status int, body string, took time.Duration) {
	t.Helper()
	start := time.Now()
	status, body = f.raw(t, q.path, envelope(q.element), nil)
	if took = time.Since(start); took > within2s {
		t.Errorf("answered after %v", took)
	}
	return status, body, took
}

// wantSick wants every question answered in time as a sick database has it
// answered.
func (f *face) wantSick(t *testing.T, all map[string]question) {
	t.Helper()
	var slowest time.Duration
	var mu sync.Mutex
	var wg sync.WaitGroup
	for name, q := range all {
		wg.Go(func() {
			status, body, took := f.timely(t, q)
			mu.Lock()
			defer mu.Unlock()
			slowest = max(slowest, took)
			if q.sick == "" && (status != http.StatusServiceUnavailable || body != "") || q.sick != "" && (status != http.StatusOK || code(t, body) != q.sick) {
				t.Errorf("%s: %d %s; want %q", name, status, body, q.sick)
			}
		})
	}
	wg.Wait()
	t.Logf("%d answers from a sick database, the slowest after %v", len(all), slowest.Round(time.Millisecond))
}

// wantWell asks all again, as peers do that got no answer, and wants what a
// well database answers: at the first try, or after it has ended what was left
// over.
func (f *face) wantWell(t *testing.T, all map[string]question) {
	t.Helper()
	for name, q := range all {
		var status int
		var body string
		for range 5 {
			if status, body, _ = f.timely(t, q); status == http.StatusOK && !strings.Contains(body, "_SYSTEM_ERROR") {
				break
			}
		}
		got := code(t, body)
		switch {
		case status != http.StatusOK:
			t.Errorf("%s: status %d", name, status)
		case strings.HasSuffix(name, "not valid"):
			want(t, body, "PAA_SINTASSI_XSD")
		case got == "OK", strings.HasPrefix(name, "paSendRT") && got == "PAA_RECEIPT_DUPLICATA":
		default:
			t.Errorf("%s: %s", name, body)
		}
	}
}

// A PostgreSQL that freezes: every operation is answered in time, and when it
// thaws all can be asked again.
func TestFrozenDatabase(t *testing.T) {
	t.Parallel()
	v, address := newValve(t, storetest.NewPostgres(t))
	f := newFace(t, gatewaytest.On(t, openStore(t, address)))
	all := questions(t, f)
	v.set(true, false)
	f.wantSick(t, all)
	v.set(false, false)
	f.wantWell(t, all)
	validate(t, f.answers)
}

// A commit whose answer is lost: what was told is there, and is not done twice.
func TestLostCommit(t *testing.T) {
	t.Parallel()
	v, address := newValve(t, storetest.NewPostgres(t))
	f := newFace(t, gatewaytest.On(t, openStore(t, address)))
	all := questions(t, f)
	for name, again := range map[string]string{
		"paSendRTReq": "PAA_RECEIPT_DUPLICATA", "paSendRTV2Request": "PAA_RECEIPT_DUPLICATA",
		"activate V1": "OK", "activate V2": "OK", "outcome V1": "OK", "outcome V2": "OK",
	} {
		v.set(false, true)
		f.wantSick(t, map[string]question{name: all[name]})
		v.set(false, false)
		_, body, _ := f.timely(t, all[name])
		want(t, body, again)
	}
	list, err := f.Receipts(ctx, f.postal.Code, gateway.ReceiptFilter{Limit: 100})
	if err != nil || len(list) != 5 {
		t.Errorf("%d receipts, %v; want 5", len(list), err)
	}
	for _, r := range list {
		if r.Anomaly != gateway.AnomalyNone || !r.Settles {
			t.Errorf("receipt %+v", r)
		}
	}
	validate(t, f.answers)
}

// A writer that does not end: what needs no lock is answered as ever, the rest
// in time.
func TestBusyDatabase(t *testing.T) {
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		f := newFace(t, g)
		n := f.IssueAt(f.postal.Code)
		tok := f.take(t, n)
		locked, release := make(chan struct{}), make(chan struct{})
		var writer sync.WaitGroup
		writer.Go(func() {
			if err := g.Store.Update(ctx, func(tx gateway.Tx) error {
				_, err := tx.LockNotice(n.School, n.Number)
				close(locked)
				<-release
				return err
			}); err != nil {
				t.Error(err)
			}
		})
		<-locked
		receipt := creditorRoot("paSendRTV2Request", toPostal+sendRT(2, n, "rt"))
		all := map[string]question{
			"activate": {nodeforpsp.Path, activation(2, n, "").String(), "PPT_SYSTEM_ERROR"},
			"outcome":  {nodeforpsp.Path, paid(2, tok).String(), "PPT_SYSTEM_ERROR"},
			"receipt":  {pafornode.Path, receipt.String(), ""},
		}
		want(t, f.post(t, verify(one, string(n.School), n.Number.String())), "PPT_PAGAMENTO_IN_CORSO")
		f.wantSick(t, all)
		close(release)
		writer.Wait()
		want(t, f.post(t, activation(2, n, "")), "PPT_PAGAMENTO_IN_CORSO")
		want(t, f.post(t, paid(2, tok)), "OK")
		want(t, f.ask(t, pafornode.Path, receipt), "OK") // a second payment
		f.wantReceipts(t, n, gateway.AnomalyNone, gateway.AnomalyDouble)
		validate(t, f.answers)
	})
}
