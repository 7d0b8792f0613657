// SPDX-License-Identifier: Apache-2.0

package sandbox_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nodogate/nodogate/connectors"
	"github.com/nodogate/nodogate/connectors/berlingroup"
	"github.com/nodogate/nodogate/connectors/bollettino"
	"github.com/nodogate/nodogate/connectors/checkout"
	"github.com/nodogate/nodogate/connectors/redirect"
	"github.com/nodogate/nodogate/connectors/sandbox"
	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
	"github.com/nodogate/nodogate/gateway/httpapi"
	"github.com/nodogate/nodogate/gateway/nodeforpsp"
	"github.com/nodogate/nodogate/gateway/pafornode"
	"github.com/nodogate/nodogate/gateway/pagopa"
	"github.com/nodogate/nodogate/gateway/soap"
	"github.com/nodogate/nodogate/gateway/store"
)

// rig is a gateway and the sandbox on real clocks and connections, with a wall
// that can be made faulty around each PSP, in both directions.
type rig struct {
	*gatewaytest.Gateway
	t      testing.TB
	set    *connectors.Set
	reg    *prometheus.Registry // of the set
	box    *sandbox.Server
	wall   *wall
	base   *url.URL         // of the sandbox, before the wall
	own    *httptest.Server // the gateway's faces and callbacks
	random func() float64
	ids    atomic.Int64 // of attempts
}

// rigDrivers and rigPSPs are one PSP of each kind there is.
var rigDrivers = []connectors.Driver{checkout.Driver, redirect.Driver, berlingroup.Driver, bollettino.Driver}

func rigPSPs(base *url.URL) []connectors.PSP {
	free := []connectors.Band{{Fee: 100}}
	node := &connectors.NodePeer{Broker: "97735020584", Channel: "97735020584_01", PasswordEnv: "PASSWORD"}
	return []connectors.PSP{
		{ID: "CHECKOUT", Name: "Carta Serena", Methods: []gateway.Method{gateway.MethodCard}, Connector: "checkout",
			Endpoint: base.JoinPath("CHECKOUT", "checkout", "ec", "v1").String(), Fees: free},
		{ID: "REDIRECT", Name: "Banca Uno", Methods: []gateway.Method{gateway.MethodAccountDebit}, Connector: "redirect",
			Endpoint: base.JoinPath("REDIRECT").String(), SecretEnv: "SECRET", Fees: free, Node: node},
		{ID: "BERLIN", Name: "Banca Tre", Methods: []gateway.Method{gateway.MethodAccountDebit}, Connector: "berlingroup",
			Endpoint: base.JoinPath("BERLIN").String(), SecretEnv: "SECRET", Fees: free, Node: node, Options: map[string]string{
				"product": "instant-sepa-credit-transfers", "creditor_iban": "IT60X0542811101000000123456", "creditor_name": "Banca Tre Incassi",
				"tpp_ip": "192.0.2.10", "token_url": base.JoinPath("BERLIN", "oauth", "token").String(), "client_id": "nodogate",
			}},
		{ID: "POSTE", Name: "Ufficio Postale", Methods: []gateway.Method{gateway.MethodBulletin}, Connector: "bollettino",
			Endpoint: base.JoinPath("POSTE").String(), SecretEnv: "SECRET", Fees: free, Node: node},
	}
}

const (
	rigSecret   = "whsec_Y2hpYXZlIGRpIHByb3ZhIHBlciBpIHRlc3Q="
	rigPassword = "password-01"
)

func rigEnv(name string) string {
	return map[string]string{"SECRET": rigSecret, "PASSWORD": rigPassword}[name]
}

func newRig(t testing.TB, db *store.DB, limits connectors.Limits, seed uint64) *rig {
	t.Helper()
	r := &rig{t: t, reg: prometheus.NewRegistry(), random: locked(rand.New(rand.NewPCG(seed, 1)))}
	log := slog.New(slog.DiscardHandler)
	quiet := slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)

	// The sandbox listens behind the wall, and hears of its own address in front.
	behind := httptest.NewUnstartedServer(nil)
	r.wall = newWall(&url.URL{Scheme: "http", Host: behind.Listener.Addr().String()}, r.random)
	front := httptest.NewUnstartedServer(r.wall)
	base := &url.URL{Scheme: "http", Host: front.Listener.Addr().String()}
	r.own = httptest.NewUnstartedServer(nil)
	own := &url.URL{Scheme: "http", Host: r.own.Listener.Addr().String()}
	r.base = base
	catalogue := connectors.Catalogue{PSPs: rigPSPs(base)}

	var err error
	r.set, err = connectors.New(connectors.Config{
		Catalogue: catalogue, Drivers: rigDrivers, AllowPrivate: true, Getenv: rigEnv, Now: time.Now, Log: log,
		Registerer: r.reg, Limits: limits,
	})
	if err != nil {
		t.Fatal(err)
	}
	r.Gateway = gatewaytest.Live(t, db, own.String(), r.set, time.Now)
	r.box, err = sandbox.New(sandbox.Config{
		URL: base, Creditor: own.JoinPath(pafornode.Path).String(), PSPs: catalogue.PSPs, Now: time.Now, Log: log,
		Gateway: own, Secrets: func(string) string { return rigSecret },
		NodeFace: own.JoinPath(nodeforpsp.Path).String(), Passwords: func(string) string { return rigPassword },
		Target: func(ctx context.Context, code string) (pagopa.Target, error) {
			s, err := r.Service.School(ctx, gateway.SchoolCode(code))
			return pagopa.Target{PA: code, Broker: s.Broker, Station: s.Station}, err
		},
		Retry: []time.Duration{20 * time.Millisecond, 100 * time.Millisecond, 500 * time.Millisecond}, Late: 10 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	duration := soap.NewDuration(prometheus.NewRegistry())
	faces := http.NewServeMux()
	faces.Handle(pafornode.Path, pafornode.New(pafornode.Config{Service: r.Service, Duration: duration}))
	faces.Handle(nodeforpsp.Path, nodeforpsp.New(nodeforpsp.Config{Service: r.Service, Duration: duration, PSP: rigCaller(catalogue)}))
	faces.Handle(httpapi.CallbackPrefix, httpapi.NewCallbacks(httpapi.CallbacksConfig{Service: r.Service, Source: r.set, Reg: prometheus.NewRegistry(), Log: log}))
	r.own.Config.Handler = r.wall.answers(faces)
	behind.Config.Handler = r.box
	for _, srv := range []*httptest.Server{behind, front, r.own} {
		srv.Config.ErrorLog = quiet
		srv.Start()
		t.Cleanup(srv.Close)
	}
	t.Cleanup(func() {
		r.wall.heal()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := r.box.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return r
}

// rigCaller tells the node face its callers, as the catalogue does.
func rigCaller(c connectors.Catalogue) func(gateway.PSPID) (nodeforpsp.PSP, bool) {
	return func(id gateway.PSPID) (nodeforpsp.PSP, bool) {
		for _, p := range c.PSPs {
			if p.ID == id && p.Node != nil {
				return nodeforpsp.PSP{Peer: gateway.Peer{PSP: p.ID, Name: p.Name, Broker: p.Node.Broker, Channel: p.Node.Channel},
					Password: sha256.Sum256([]byte(rigPassword))}, true
			}
		}
		return nodeforpsp.PSP{}, false
	}
}

func locked(r *rand.Rand) func() float64 {
	var mu sync.Mutex
	return func() float64 {
		mu.Lock()
		defer mu.Unlock()
		return r.Float64()
	}
}

// issue makes notices that stay payable whenever this runs.
func (r *rig) issue(n int) []gateway.Notice {
	r.t.Helper()
	list := make([]gateway.NewNotice, n)
	for i := range list {
		list[i] = gateway.NewNotice{
			DebtorCode: string(gatewaytest.PupilCode), DebtorName: "Maria Rossi", Class: "3B", Description: "Viaggio di istruzione 3B",
			Amount: 1650, DueDate: gateway.DateIn(time.Now()).AddDays(30).String(),
		}
	}
	var out []gateway.Notice
	for len(list) > 0 {
		some := list[:min(len(list), 500)]
		list = list[len(some):]
		issued, err := r.issueList(some)
		if err != nil {
			r.t.Fatal(err)
		}
		out = append(out, issued...)
	}
	return out
}

func (r *rig) issueList(list []gateway.NewNotice) ([]gateway.Notice, error) {
	issued, err := r.Service.Issue(context.Background(), gatewaytest.Operator, gatewaytest.SchoolCode, list, false)
	var out []gateway.Notice
	for _, i := range issued {
		out = append(out, i.Notice)
	}
	return out, err
}

// jobs runs what the gateway does again and again, until the test ends.
func (r *rig) jobs() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if _, err := r.Poll(ctx); err != nil && ctx.Err() == nil {
					r.t.Error(err)
				}
			}
		}
	}()
	r.t.Cleanup(func() { cancel(); <-done })
}

// order is an order of a notice that nobody holds, for the Set alone.
func (r *rig) order(n gateway.Notice, psp gateway.PSPID, method gateway.Method, attempt string) gateway.Order {
	back, err := url.Parse(r.own.URL)
	if err != nil {
		r.t.Fatal(err)
	}
	return gateway.Order{
		Attempt: attempt, Cart: attempt, Method: method, Fee: 100, Return: back.JoinPath("carrello", "esito", attempt),
		Callback: back.JoinPath("callbacks", string(psp)),
		Notices:  []gateway.OrderNotice{{School: n.School, SchoolName: "IC 6 Grosseto", Number: n.Number, Amount: n.Amount, Description: n.Description, Token: attempt}},
	}
}

// ledgerLine is what a PSP really did.
type ledgerLine struct {
	PSP     gateway.PSPID `json:"psp"`
	Cart    string        `json:"cart"`
	Attempt string        `json:"attempt"`
	State   string        `json:"state"`
}

func (r *rig) ledger() []ledgerLine {
	r.t.Helper()
	w := httptest.NewRecorder()
	r.box.ServeHTTP(w, httptest.NewRequestWithContext(context.Background(), "GET", "/ledger", nil))
	var out struct {
		Items []ledgerLine `json:"items"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
		r.t.Fatal(err)
	}
	return out.Items
}

// press presses a button of a page. over says that the page has come to its end,
// now or before: one that cannot go on for a while is not over.
func press(ctx context.Context, client *http.Client, page, button string) (over bool, err error) {
	req, err := http.NewRequestWithContext(ctx, "POST", page, strings.NewReader("azione="+button))
	if err != nil {
		return false, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := client.Do(req)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	switch resp.StatusCode {
	case http.StatusSeeOther:
		return true, err
	case http.StatusConflict:
		return !bytes.Contains(body, []byte("Non è possibile pagare")), err
	}
	return false, err
}

// browser follows no redirection and keeps no connection for others to break.
func browser() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// fault is what is wrong with the way to a PSP.
type fault int32

const (
	faultNone  fault = iota
	faultDown        // connections are reset before a byte is answered
	faultError       // 503
	faultHang        // never answered
	faultCut         // the work is done, the answer lost
)

func (f fault) String() string {
	return [...]string{"none", "down", "503", "hang", "cut"}[f]
}

// wall stands before the sandbox, and breaks what goes through it.
type wall struct {
	to     *httputil.ReverseProxy
	random func() float64

	cut atomic.Int64 // percent of answers that are lost, of PSPs and to PSPs

	mu    sync.Mutex
	psps  map[string]*gate
	ended chan struct{} // closed and made anew when it heals: those that hang end
}

// gate is the way to one PSP.
type gate struct {
	fault    atomic.Int32
	inFlight atomic.Int64
	most     atomic.Int64 // of inFlight
	calls    atomic.Int64
}

func newWall(behind *url.URL, random func() float64) *wall {
	w := &wall{to: httputil.NewSingleHostReverseProxy(behind), random: random, psps: map[string]*gate{}, ended: make(chan struct{})}
	w.to.Transport = &http.Transport{MaxIdleConnsPerHost: 100}
	w.to.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }
	w.to.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	return w
}

func (w *wall) gate(psp string) *gate {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.psps[psp] == nil {
		w.psps[psp] = &gate{}
	}
	return w.psps[psp]
}

func (w *wall) heal() {
	w.cut.Store(0)
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, g := range w.psps {
		g.fault.Store(int32(faultNone))
	}
	close(w.ended)
	w.ended = make(chan struct{})
}

func (w *wall) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	psp, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	g := w.gate(psp)
	g.calls.Add(1)
	for now := g.inFlight.Add(1); ; {
		if most := g.most.Load(); now <= most || g.most.CompareAndSwap(most, now) {
			break
		}
	}
	defer g.inFlight.Add(-1)
	w.mu.Lock()
	ended := w.ended
	w.mu.Unlock()
	switch f := fault(g.fault.Load()); {
	case f == faultDown:
		panic(http.ErrAbortHandler)
	case f == faultError:
		http.Error(rw, "", http.StatusServiceUnavailable)
		return
	case f == faultHang:
		_, _ = io.Copy(io.Discard, r.Body) // only then does the server see the caller go
		select {
		case <-r.Context().Done():
		case <-ended:
		}
		panic(http.ErrAbortHandler)
	case f == faultCut || w.random()*100 < float64(w.cut.Load()):
		w.lose(rw, r, w.to)
		return
	}
	w.to.ServeHTTP(rw, r)
}

// lose has the work done and the answer lost.
func (w *wall) lose(_ http.ResponseWriter, r *http.Request, h http.Handler) {
	h.ServeHTTP(httptest.NewRecorder(), r.WithContext(context.WithoutCancel(r.Context())))
	panic(http.ErrAbortHandler)
}

// answers loses answers of the gateway to the PSPs' systems.
func (w *wall) answers(h http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if w.random()*100 < float64(w.cut.Load()) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				panic(http.ErrAbortHandler)
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			w.lose(rw, r, h)
		}
		h.ServeHTTP(rw, r)
	})
}

// long says that the proofs are to run in full.
func long() bool { return os.Getenv("NODOGATE_CHAOS_MINUTES") != "" }

func attemptID(n int) string { return fmt.Sprintf("%032x", n+1) }
