// SPDX-License-Identifier: Apache-2.0

// Package sandbox plays the other side of a payment, for the demo and for
// tests: pagoPA Checkout, the PSPs behind it, and the node that asks the
// creditor about a notice and sends it the receipts; and PSPs with a page of
// their own, which call the gateway back; and pagoPA's archive of notices and fee
// calculator; and the OpenID providers of SPID and CIE; and App IO. It speaks over HTTP only, as they do, and can be told to break in the ways they break.
//
// Everything is in memory and ends with the process; no money moves.
//
// What a caller gets wrong: what stands in the ledger was taken, whatever the
// creditor made of it. A receipt that was not delivered is no payment undone.
package sandbox

import (
	"cmp"
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/nodogate/nodogate/connectors"
	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/money"
	"github.com/nodogate/nodogate/gateway/pagopa"
)

// Config is what a Server needs.
type Config struct {
	// URL is where browsers and the gateway reach the sandbox.
	URL *url.URL
	// Creditor is the address of the creditor face, …/soap/pa-for-node.
	Creditor string
	// Target says through which broker and station a creditor is reached, as
	// the node's own configuration does. An error means that nobody here is.
	Target func(ctx context.Context, creditor string) (pagopa.Target, error)
	// PSPs are played at {URL}/{id}/checkout/ec/v1, and those whose connector is
	// redirect, berlingroup or bollettino at {URL}/{id}; of an entry the id, name, methods,
	// connector, options, node, fees and maximum count.
	PSPs []connectors.PSP
	// Gateway is what stands before /callbacks, and Secrets the secret of a PSP
	// that calls back; required when one does.
	Gateway *url.URL
	Secrets func(psp string) string
	// NodeFace is the address of the node face, …/soap/node-for-psp, and Passwords
	// the password of the channel of a PSP that has a node; empty and nil where
	// none calls it.
	NodeFace  string
	Passwords func(psp string) string
	// People are who can enter through the OpenID providers that are played at
	// {URL}/oidc/spid and /oidc/cie, Portal what stands before
	// /accesso/identita/{spid,cie}, and IdentitySecret the secret of their client
	// ClientID. Without People nobody plays them.
	People         []Person
	Portal         *url.URL
	IdentitySecret string
	HTTP           *http.Client // the way to the creditor and the gateway; nil: a plain one
	Now            func() time.Time
	Log            *slog.Logger
	Rand           io.Reader // makes tokens and page addresses; nil: crypto/rand

	Slow  time.Duration   // how long a slow PSP thinks; 0: 30 s
	Late  time.Duration   // how late a late receipt or callback comes; 0: 15 s
	Retry []time.Duration // waits between tries of one, the last one repeated; nil: 0.2, 0.5, 1, 2, 5 s
}

// Mode is how a PSP behaves.
type Mode string

const (
	ModeOK        Mode = "ok"
	ModeDown      Mode = "down"      // answers 503 to everything
	ModeSlow      Mode = "slow"      // opens a payment only after Config.Slow
	ModeCut       Mode = "cut"       // does the work and drops the answer: opening a payment, paying, and giving back
	ModeRefuse    Mode = "refuse"    // refuses to open a payment, to take one, and to give one back
	ModeDuplicate Mode = "duplicate" // every receipt or callback comes twice
	ModeLate      Mode = "late"      // the token dies as the money is taken, the receipt or callback comes after Config.Late
)

// Modes are all modes.
var Modes = []Mode{ModeOK, ModeDown, ModeSlow, ModeCut, ModeRefuse, ModeDuplicate, ModeLate}

// Limits of the sandbox and of those it plays.
const (
	maxPages   = 10_000           // the oldest are forgotten
	tokenLife  = 30 * time.Minute // of a payment session, as the node's
	readWait   = 7 * time.Second  // the node's patience with verify and get
	sendWait   = 15 * time.Second // and with a receipt
	maxTries   = 48               // of one receipt or callback
	browserMax = time.Second      // how long a payer waits for the receipts to be delivered
)

// Server is the sandbox: an http.Handler whose Close ends what it does behind
// the answers.
type Server struct {
	cfg  Config
	node *pagopa.Client     // the way to the creditor face
	face *pagopa.NodeClient // and to the node face
	mux  *http.ServeMux

	ctx    context.Context // of everything behind the answers
	cancel context.CancelFunc
	sends  sync.WaitGroup

	mu           sync.Mutex // guards what follows
	closed       bool
	psps         map[gateway.PSPID]*psp
	pages        map[string]*page
	redirections map[string]*redirection
	debits       map[string]*debit
	bulletins    map[string]*bulletin // by the gateway's id
	oldest       []string             // ids of all four in the order they were made
	positions    map[notice]*position
	ledger       []entry
	archive      archive
	calculator   Mode // of the fee calculator
	phone        phone
	identities   []*identities
}

// psp is one PSP that is played.
type psp struct {
	connectors.PSP
	key connectors.WebhookKey // of one that calls back

	// What follows is guarded by Server.mu.
	mode       Mode
	token      string // a bank's access token, while it lives
	tokenUntil time.Time
}

// notice names a notice to the node.
type notice struct{ creditor, number string }

// position is what the node knows of a notice.
type position struct {
	holder *page // whose token is alive; a younger one ends the older
	paid   bool
}

// entry is one line of the ledger: what a PSP really did.
type entry struct {
	PSP       gateway.PSPID `json:"psp"`
	Reference string        `json:"reference"`
	Cart      string        `json:"cart,omitempty"`    // idCart
	Attempt   string        `json:"attempt,omitempty"` // idTransaction, where the PSP knows no cart
	Notices   []ledgerRef   `json:"notices"`
	Amount    money.Cents   `json:"amount_cents"` // without the fee; with it where the PSP knows no notices
	State     string        `json:"state"`        // taken, refused; refunded: given back, beside the line that it was taken
	At        time.Time     `json:"at"`
}

type ledgerRef struct {
	School string `json:"school"`
	Number string `json:"number"`
}

// New makes a sandbox; it starts nothing until it is asked.
func New(cfg Config) (*Server, error) {
	if cfg.URL == nil || cfg.Creditor == "" || cfg.Target == nil || cfg.Now == nil || cfg.Log == nil || len(cfg.PSPs) == 0 {
		return nil, errors.New("sandbox: URL, Creditor, Target, PSPs, Now and Log are required")
	}
	if cfg.NodeFace != "" && cfg.Passwords == nil {
		return nil, errors.New("sandbox: with a NodeFace, Passwords is required")
	}
	if cfg.HTTP == nil {
		cfg.HTTP = &http.Client{}
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	cfg.Slow = cmp.Or(cfg.Slow, 30*time.Second)
	cfg.Late = cmp.Or(cfg.Late, 15*time.Second)
	if len(cfg.Retry) == 0 {
		cfg.Retry = []time.Duration{200 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 5 * time.Second}
	}
	s := &Server{
		cfg:          cfg,
		node:         &pagopa.Client{HTTP: cfg.HTTP, URL: cfg.Creditor},
		face:         &pagopa.NodeClient{HTTP: cfg.HTTP, URL: cfg.NodeFace},
		psps:         make(map[gateway.PSPID]*psp),
		pages:        make(map[string]*page),
		redirections: make(map[string]*redirection),
		debits:       make(map[string]*debit),
		bulletins:    make(map[string]*bulletin),
		positions:    make(map[notice]*position),
		calculator:   ModeOK,
		phone:        phone{mode: ModeOK},
		archive:      archive{mode: ModeOK, positions: make(map[notice]*archived)},
	}
	for _, p := range cfg.PSPs {
		if s.psps[p.ID] != nil || slices.Contains([]gateway.PSPID{ArchiveID, CalculatorID, AppID, SPIDID, CIEID}, p.ID) {
			return nil, fmt.Errorf("sandbox: psp %s is listed twice", p.ID)
		}
		key, err := cfg.secretOf(p)
		if err := errors.Join(err, cfg.checkBank(p), cfg.checkOffice(p)); err != nil {
			return nil, err
		}
		s.psps[p.ID] = &psp{PSP: p, key: key, mode: ModeOK}
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())

	s.mux = http.NewServeMux()
	s.mux.HandleFunc("GET /{$}", s.index)
	s.mux.HandleFunc("POST /control", s.control)
	s.mux.HandleFunc("GET /ledger", s.showLedger)
	s.mux.HandleFunc("POST /afm/fees", s.postFees)
	s.mux.HandleFunc("POST /aca/paCreatePosition", s.postPosition)
	s.mux.HandleFunc("GET /aca/positions", s.showPositions)
	s.mux.HandleFunc("POST /appio/api/v1/profiles", s.postProfile)
	s.mux.HandleFunc("POST /appio/api/v1/messages", s.postMessage)
	s.mux.HandleFunc("GET /appio/messages", s.showMessages)
	s.mux.HandleFunc("GET /appio", s.showPhone)
	s.mux.HandleFunc("POST /{psp}/checkout/ec/v1/carts", s.postCarts)
	s.mux.HandleFunc("GET /{psp}/pagina/{id}", s.showPage)
	s.mux.HandleFunc("POST /{psp}/pagina/{id}", s.pressButton)
	s.mux.HandleFunc("POST /{psp}/redirections", s.postRedirections)
	s.mux.HandleFunc("POST /{psp}/redirections/refunds", s.postRefunds)
	s.mux.HandleFunc("GET /{psp}/redirections/{id}", s.showRedirection)
	s.mux.HandleFunc("POST /{psp}/redirections/{id}", s.pressRedirection)
	s.mux.HandleFunc("POST /{psp}/oauth/token", s.postToken)
	s.mux.HandleFunc("POST /{psp}/v1/payments/{product}", s.postPayment)
	s.mux.HandleFunc("GET /{psp}/v1/payments/{product}/{id}/status", s.getStatus)
	s.mux.HandleFunc("DELETE /{psp}/v1/payments/{product}/{id}", s.deletePayment)
	s.mux.HandleFunc("POST /{psp}/bollettini", s.postBulletins)
	s.mux.HandleFunc("GET /{psp}/bollettini/{id}", s.getBulletin)
	s.mux.HandleFunc("DELETE /{psp}/bollettini/{id}", s.deleteBulletin)
	s.mux.HandleFunc("GET /{psp}/bollettino/{reference}", s.showBulletin)
	s.mux.HandleFunc("POST /{psp}/bollettino/{reference}", s.pressBulletin)
	s.mux.HandleFunc("GET /{psp}/sportello", s.showCounter)
	s.mux.HandleFunc("POST /{psp}/sportello", s.pressCounter)
	if err := s.addIdentities(); err != nil {
		return nil, err
	}
	s.mux.HandleFunc("GET /{psp}/conto/{id}", s.showDebit)
	s.mux.HandleFunc("POST /{psp}/conto/{id}", s.pressDebit)
	return s, nil
}

// ServeHTTP answers as everybody the sandbox plays.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	s.mux.ServeHTTP(w, r)
}

// Close takes no more payments, lets what is on its way arrive
// until ctx is done, then gives the rest up and says so with ctx's error.
func (s *Server) Close(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	done := make(chan struct{})
	go func() {
		s.sends.Wait()
		close(done)
	}()
	defer s.cancel()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		s.cancel()
		<-done
		return fmt.Errorf("close sandbox: not all was delivered: %w", ctx.Err())
	}
}

// find is the PSP of the request's path, with its mode; nil when there is none.
func (s *Server) find(r *http.Request) (*psp, Mode) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.psps[gateway.PSPID(r.PathValue("psp"))]
	if p == nil {
		return nil, ""
	}
	return p, p.mode
}

// remember bounds what is kept in memory. Called with mu held.
func (s *Server) remember(id string) {
	s.oldest = append(s.oldest, id)
	if len(s.oldest) > maxPages {
		delete(s.pages, s.oldest[0])
		delete(s.redirections, s.oldest[0])
		delete(s.debits, s.oldest[0])
		delete(s.bulletins, s.oldest[0])
		s.oldest = s.oldest[1:]
	}
}

// think is what a slow PSP does before it answers; false when nobody waits for
// it any more.
func (s *Server) think(r *http.Request) bool {
	select {
	case <-time.After(s.cfg.Slow):
		return true
	case <-r.Context().Done():
	case <-s.ctx.Done():
	}
	return false
}

// wait waits behind the answers; false when the sandbox ends.
func (s *Server) wait(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-s.ctx.Done():
		return false
	}
}

// await keeps a browser until the gateway was told, but not for long.
func await(r *http.Request, sent <-chan struct{}) {
	wait := time.NewTimer(browserMax)
	defer wait.Stop()
	select {
	case <-sent:
	case <-wait.C:
	case <-r.Context().Done():
	}
}

// random is 32 hexadecimal digits: a page's id, or a paymentToken.
func (s *Server) random() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b [16]byte
	if _, err := io.ReadFull(s.cfg.Rand, b[:]); err != nil {
		panic("sandbox: no randomness: " + err.Error())
	}
	return hex.EncodeToString(b[:])
}

// problem is an error in JSON (RFC 9457).
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
}

func fail(w http.ResponseWriter, status int, title, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(problem{"about:blank", title, status, detail}) // the peer is gone: its loss
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the peer is gone: its loss
}

// control changes how a PSP behaves.
func (s *Server) control(w http.ResponseWriter, r *http.Request) {
	var in struct {
		PSP  gateway.PSPID `json:"psp"`
		Mode Mode          `json:"mode"`
	}
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil || dec.Decode(new(any)) != io.EOF {
		fail(w, http.StatusBadRequest, "Bad request", `send one object like {"psp":"…","mode":"ok"}`)
		return
	}
	switch in.PSP {
	case ArchiveID:
		s.controlArchive(w, in.Mode)
		return
	case CalculatorID:
		s.controlCalculator(w, in.Mode)
		return
	case SPIDID, CIEID:
		s.controlIdentities(w, string(in.PSP), in.Mode)
		return
	case AppID:
		s.controlPhone(w, in.Mode)
		return
	}
	if !slices.Contains(Modes, in.Mode) {
		fail(w, http.StatusBadRequest, "Bad request", fmt.Sprintf("mode is one of %v", Modes))
		return
	}
	s.mu.Lock()
	p := s.psps[in.PSP]
	if p != nil {
		p.mode = in.Mode
	}
	s.mu.Unlock()
	if p == nil {
		fail(w, http.StatusBadRequest, "Bad request", "no PSP with this id; GET / lists them")
		return
	}
	s.cfg.Log.Info("sandbox mode", "psp", string(in.PSP), "mode", string(in.Mode))
	writeJSON(w, in)
}

// showLedger tells what the PSPs really took, oldest first.
func (s *Server) showLedger(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	items := append([]entry{}, s.ledger...) // entries are never changed
	s.mu.Unlock()
	writeJSON(w, map[string]any{"items": items})
}

var (
	//go:embed index.html
	indexText string
	//go:embed page.html
	pageText string

	indexTemplate = template.Must(template.New("index").Parse(indexText))
	pageTemplate  = template.Must(template.New("page").Parse(pageText))
)

// index says what this is, and how each PSP behaves now.
func (s *Server) index(w http.ResponseWriter, _ *http.Request) {
	type row struct {
		ID, Name string
		Methods  []gateway.Method
		Mode     Mode
		Counter  bool // it has one
	}
	var view struct {
		URL     string
		PSPs    []row
		Modes   []Mode
		Archive row
	}
	view.URL, view.Modes = s.cfg.URL.String(), Modes
	s.mu.Lock()
	for _, p := range s.cfg.PSPs {
		view.PSPs = append(view.PSPs, row{string(p.ID), p.Name, p.Methods, s.psps[p.ID].mode, p.Connector == bulletinName && s.speaks(s.psps[p.ID])})
	}
	view.Archive = row{ID: ArchiveID, Mode: s.archive.mode}
	s.mu.Unlock()
	s.render(w, http.StatusOK, indexTemplate, view)
}
