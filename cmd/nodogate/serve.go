// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/nodogate/nodogate/connectors"
	"github.com/nodogate/nodogate/connectors/afm"
	"github.com/nodogate/nodogate/connectors/berlingroup"
	"github.com/nodogate/nodogate/connectors/bollettino"
	"github.com/nodogate/nodogate/connectors/checkout"
	"github.com/nodogate/nodogate/connectors/redirect"
	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/cache"
	"github.com/nodogate/nodogate/gateway/documents"
	"github.com/nodogate/nodogate/gateway/httpapi"
	"github.com/nodogate/nodogate/gateway/imports"
	"github.com/nodogate/nodogate/gateway/nodeforpsp"
	"github.com/nodogate/nodogate/gateway/notify"
	"github.com/nodogate/nodogate/gateway/pafornode"
	"github.com/nodogate/nodogate/gateway/pagopa"
	"github.com/nodogate/nodogate/gateway/portal"
	"github.com/nodogate/nodogate/gateway/soap"
	"github.com/nodogate/nodogate/gateway/store"
	"github.com/nodogate/nodogate/receipts"
	receiptspdf "github.com/nodogate/nodogate/receipts/pdf"
	receiptsxml "github.com/nodogate/nodogate/receipts/xml"
)

func serveCommand(ctx context.Context, c cli, args []string) error {
	fs := newFlags("serve")
	printConfig := fs.Bool("print-config", false, "print the configuration and stop")
	asJSON := fs.Bool("json", false, "with --print-config: print JSON")
	profile := fs.Bool("pprof", false, "serve /debug/pprof/ on the admin listener")
	if err := parse(fs, args); err != nil {
		return err
	}
	cfg, err := loadConfig(c.env)
	if err != nil {
		return err
	}
	switch {
	case *printConfig && *asJSON:
		return printJSON(c, cfg.settings())
	case *printConfig:
		cfg.print(c.stdout)
		return nil
	case *asJSON:
		return usagef("serve: --json goes with --print-config; the log is JSON always")
	}
	// From here on a hangup asks for a reload; untaken it would end the process.
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	file := &catalogueFile{path: cfg.PSPs}
	catalogue, err := file.load()
	if err := errors.Join(cfg.checkServe(), err); err != nil {
		return err
	}
	log := newLog(c.stderr)
	n, err := newNode(ctx, cfg, log, catalogue, os.Getenv)
	if err != nil {
		return err
	}
	n.profile = *profile
	n.watch = func(ctx context.Context) {
		ticker := time.NewTicker(lookEvery)
		defer ticker.Stop()
		n.providers.watch(ctx, file, ticker.C, hangups)
	}
	n.ready.Store(true)
	return n.run(ctx)
}

func newLog(w io.Writer) *slog.Logger { return slog.New(slog.NewJSONHandler(w, nil)) }

// drivers are the connectors this binary is built with.
var drivers = []connectors.Driver{checkout.Driver, redirect.Driver, berlingroup.Driver, bollettino.Driver}

// node is one running gateway process.
type node struct {
	cfg     config
	log     *slog.Logger
	reg     *prometheus.Registry
	store   *store.DB
	service *gateway.Service
	clock   *gateway.Clock
	redis   redis.UniversalClient // nil without NODOGATE_REDIS_URL
	hints   *cache.Hints          // nil without it
	public  *url.URL
	key     [32]byte // signs API tokens
	linkKey [32]byte // signs links that work without logging in
	peers   *peerAuth
	outbox  *notify.Worker
	imports *imports.Worker

	providers *providers
	printer   *documents.Printer
	watch     func(context.Context) // keeps the catalogue as its file is; nil: it has none

	listen, admin, peer net.Listener // peer is nil when the public one serves peers
	handler, peerFaces  http.Handler
	profile             bool
	ready               atomic.Bool
}

// newNode opens everything and wires the parts; nothing runs yet. On an error
// it closes what it opened.
func newNode(ctx context.Context, cfg config, log *slog.Logger, catalogue connectors.Catalogue, getenv func(string) string) (_ *node, err error) {
	n := &node{cfg: cfg, log: log, reg: prometheus.NewRegistry()}
	defer func() {
		if err != nil {
			n.close()
		}
	}()
	if err := n.open(ctx); err != nil {
		return nil, err
	}
	n.reg.MustRegister(
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		buildInfo(), newAttemptsCollector(n), newOutboxCollector(n), newSealingCollector(n),
	)
	fees, err := n.newFees()
	if err != nil {
		return nil, err
	}
	var hints connectors.Hints
	if n.hints != nil { // a nil *Hints would be no nil Hints
		hints = n.hints
	}
	set, err := connectors.New(connectors.Config{
		Catalogue: catalogue, Drivers: drivers, AllowPrivate: cfg.AllowPrivate, Fees: fees, Hints: hints,
		Getenv: getenv, Now: time.Now, Log: log, Registerer: n.reg,
	})
	if err != nil {
		return nil, err
	}
	if n.providers, err = newProviders(cfg, set, catalogue, getenv, log, n.reg, time.Now); err != nil {
		return nil, err
	}
	n.service, err = gateway.New(gateway.Config{
		Store: n.store, PSPs: set, Clock: n.clock, Log: log, Reg: n.reg,
		WriteReceipt: writeReceipt, Broker: cfg.Broker, Station: cfg.Station, PublicURL: n.public, HelpText: cfg.HelpText, HelpMail: cfg.HelpMail, LinkKey: n.linkKey[:],
		AllowPrivateTargets: cfg.AllowPrivate,
	})
	if err != nil {
		return nil, err
	}
	if n.outbox, err = n.newOutbox(); err != nil {
		return nil, err
	}
	if n.printer, err = documents.NewPrinter(documents.Config{Service: n.service, Name: rand.Text(), Logo: cfg.logo, Log: log}); err != nil {
		return nil, err
	}
	if n.imports, err = imports.New(imports.Config{Service: n.service, Name: rand.Text(), Log: log, Chunk: importChunk(cfg.DatabaseURL)}); err != nil {
		return nil, err
	}
	observe := newHTTPDuration(n.reg)
	apiConfig := httpapi.Config{Service: n.service, TokenKey: n.key[:], Log: log, PDF: receiptPDF, NoticePDF: n.printer.Notice, Letters: n.printer.Letters, CheckMapping: imports.CheckMapping, Observe: observe, TrustedProxies: cfg.TrustedProxies, PerMinute: cfg.APIRate}
	if n.redis != nil {
		apiConfig.Quotas = cache.NewQuotas(n.redis, cfg.APIRate)
	}
	api, err := httpapi.New(apiConfig)
	if err != nil {
		return nil, err
	}
	var sessions scs.Store = n.store.Sessions()
	var throttles portal.Throttles
	if n.redis != nil {
		sessions, throttles = cache.NewSessions(n.redis, time.Now), cache.NewThrottles(n.redis, n.linkKey[:])
	}
	identities, identityOrigins, err := n.newIdentities(getenv)
	if err != nil {
		return nil, err
	}
	pages, err := portal.New(portal.Config{
		Service: n.service, Sessions: sessions, PublicURL: n.public, Secure: n.public.Scheme == "https",
		Log: log, PDF: receiptPDF, NoticePDF: n.printer.Notice, Bulletin: bulletinPDF, Attest: attestationPDF,
		Identities: identities,
		Throttles:  throttles,
		FormActions: func() []string {
			all := slices.Concat(n.providers.formActions(), identityOrigins)
			slices.Sort(all)
			return slices.Compact(all)
		}, Observe: observe, TrustedProxies: cfg.TrustedProxies,
	})
	if err != nil {
		return nil, err
	}
	faces := http.NewServeMux()
	duration := soap.NewDuration(n.reg)
	for _, face := range cfg.Faces {
		switch face {
		case "creditor":
			faces.Handle(pafornode.Path, pafornode.New(pafornode.Config{Service: n.service, Duration: duration, Log: log}))
		case "node":
			faces.Handle(nodeforpsp.Path, nodeforpsp.New(nodeforpsp.Config{Service: n.service, PSP: n.providers.caller, Duration: duration, Log: log}))
		}
	}
	if n.peers, err = cfg.newPeerAuth(); err != nil {
		return nil, err
	}
	// A callback proves itself by its signature; the faces' callers do not.
	outer := http.NewServeMux()
	outer.Handle("/soap/", n.peers.wrap(faces))
	outer.Handle(httpapi.CallbackPrefix, httpapi.NewCallbacks(httpapi.CallbacksConfig{Service: n.service, Source: set, Reg: n.reg, Log: log, Observe: observe}))
	n.peerFaces = outer
	n.handler = n.split(api, pages)
	return n, nil
}

// open takes the listeners, the secret, the database and Redis.
func (n *node) open(ctx context.Context) (err error) {
	cfg := n.cfg
	if n.listen, err = listen(ctx, cfg.Listen); err != nil {
		return fmt.Errorf("NODOGATE_LISTEN: %w", err)
	}
	if n.admin, err = listen(ctx, cfg.AdminListen); err != nil {
		return fmt.Errorf("NODOGATE_ADMIN_LISTEN: %w", err)
	}
	if cfg.PeerListen != "" {
		if n.peer, err = listen(ctx, cfg.PeerListen); err != nil {
			return fmt.Errorf("NODOGATE_PEER_LISTEN: %w", err)
		}
	}
	public := cfg.PublicURL
	if public == "" {
		scheme := "http"
		if cfg.TLSCert != "" {
			scheme = "https"
		}
		public = scheme + "://" + n.listen.Addr().String()
	}
	if n.public, err = url.Parse(public); err != nil {
		return fmt.Errorf("NODOGATE_PUBLIC_URL: %w", err)
	}
	secret, err := store.Secret(ctx, cfg.SecretFile, cfg.DatabaseURL)
	if err != nil {
		return fmt.Errorf("NODOGATE_SECRET_FILE: %w", err)
	}
	for use, to := range map[string][]byte{"nodogate api tokens": n.key[:], "nodogate links": n.linkKey[:]} {
		key, err := hkdf.Key(sha256.New, secret, nil, use, len(to))
		if err != nil {
			return err
		}
		copy(to, key)
	}
	if n.store, err = store.OpenMigrated(ctx, store.Config{URL: cfg.DatabaseURL, Secret: secret, Now: time.Now}); err != nil {
		return fmt.Errorf("database: %w", err)
	}
	floor, err := n.store.ClockMark(ctx)
	if err != nil {
		return fmt.Errorf("database: %w", err)
	}
	n.clock = gateway.NewClock(time.Now, floor)
	if cfg.RedisURL != "" {
		redis.SetLogger(redisLog{n.log})
		if n.redis, err = cache.NewClient(cfg.RedisURL); err != nil {
			return fmt.Errorf("NODOGATE_REDIS_URL %w", err)
		}
		n.hints = cache.NewHints(n.redis, time.Now, n.log)
		if err := n.redis.Ping(ctx).Err(); err != nil {
			return fmt.Errorf("redis: %w", err)
		}
	}
	return nil
}

// newFees is the fee calculator; nil: the catalogue knows all fees.
func (n *node) newFees() (connectors.Fees, error) {
	if n.cfg.AFMURL == "" {
		return nil, nil
	}
	address, err := afm.ParseURL(n.cfg.AFMURL, n.cfg.AllowPrivate)
	if err != nil {
		return nil, fmt.Errorf("NODOGATE_AFM_URL: %w", err)
	}
	return afm.New(afm.Config{URL: address, Key: n.cfg.AFMKey, AllowPrivate: n.cfg.AllowPrivate, Now: time.Now, Log: n.log, Registerer: n.reg})
}

// mailDir is where mails become files when there is no SMTP server.
const mailDir = "data/mail"

// newOutbox makes the worker that tells the world what happened.
func (n *node) newOutbox() (*notify.Worker, error) {
	var mailer notify.Mailer = notify.Files{Dir: mailDir}
	if n.cfg.SMTPURL != "" {
		s, err := notify.NewSMTP(n.cfg.SMTPURL)
		if err != nil {
			return nil, fmt.Errorf("NODOGATE_SMTP_URL: %w", err)
		}
		mailer = s
	}
	from := n.cfg.MailFrom
	if host := n.public.Hostname(); from == "" {
		if strings.Contains(host, ":") {
			host = "localhost" // an IPv6 address makes no mail domain
		}
		from = "no-reply@" + host
	}
	var archive *notify.Archive
	if n.cfg.ACAURL != "" {
		a, err := notify.NewArchive(n.cfg.ACAURL, n.cfg.ACAKey, n.cfg.AllowPrivate)
		if err != nil {
			return nil, fmt.Errorf("NODOGATE_ACA_URL, NODOGATE_ACA_KEY: %w", err)
		}
		archive = a
	}
	app, err := n.cfg.appIO()
	if err != nil {
		return nil, err
	}
	return notify.New(notify.Config{
		Outbox: n.store, Service: n.service, Mailer: mailer, From: from, Archive: archive, AppIO: app, AllowPrivate: n.cfg.AllowPrivate, Log: n.log, Reg: n.reg,
	})
}

// redisLog puts the Redis client's own complaints among the other log lines.
type redisLog struct{ log *slog.Logger }

func (l redisLog) Printf(ctx context.Context, format string, v ...any) {
	l.log.WarnContext(ctx, "redis", "said", fmt.Sprintf(format, v...))
}

func listen(ctx context.Context, addr string) (net.Listener, error) {
	var lc net.ListenConfig
	return lc.Listen(ctx, "tcp", addr)
}

// split parts the paths before any middleware: peers and programs never meet
// the portal's sessions.
func (n *node) split(api, pages http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n.public.Scheme == "https" {
			w.Header().Set("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
		}
		switch p := r.URL.Path; {
		case r.Method == http.MethodTrace:
			w.WriteHeader(http.StatusMethodNotAllowed)
		case strings.HasPrefix(p, "/soap/"), strings.HasPrefix(p, "/callbacks/"):
			if n.peer != nil {
				http.NotFound(w, r) // peers have a listener of their own
				return
			}
			n.peerFaces.ServeHTTP(w, r)
		case strings.HasPrefix(p, "/api/"), strings.HasPrefix(p, "/oauth2/"):
			api.ServeHTTP(w, r)
		default:
			pages.ServeHTTP(w, r)
		}
	})
}

// run serves until ctx ends, then lets running requests finish.
func (n *node) run(ctx context.Context) error {
	defer n.close()
	servers := []*http.Server{server(n.handler, n.log), server(n.adminHandler(), n.log)}
	listeners := []net.Listener{n.listen, n.admin}
	if n.cfg.TLSCert != "" {
		conf, err := n.cfg.tls(nil)
		if err != nil {
			return err
		}
		listeners[0] = tls.NewListener(n.listen, conf)
	}
	if n.peer != nil {
		conf, err := n.cfg.tls(n.peers)
		if err != nil {
			return err
		}
		peer := n.peer
		if conf != nil {
			peer = tls.NewListener(peer, conf)
		}
		servers, listeners = append(servers, server(n.peerFaces, n.log)), append(listeners, peer)
	}
	g, ctx := errgroup.WithContext(ctx)
	for i, s := range servers {
		g.Go(func() error {
			if err := s.Serve(listeners[i]); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		})
	}
	g.Go(func() error { return n.jobs(ctx) })
	g.Go(func() error { return n.outbox.Run(ctx) })
	g.Go(func() error { return n.imports.Run(ctx) })
	g.Go(func() error { return n.printer.Run(ctx) })
	g.Go(func() error { n.poll(ctx); return nil })
	g.Go(func() error { n.seal(ctx); return nil })
	if n.hints != nil {
		g.Go(func() error { n.hints.Run(ctx); return nil })
	}
	if n.watch != nil {
		g.Go(func() error { n.watch(ctx); return nil })
	}
	g.Go(func() error {
		<-ctx.Done()
		n.ready.Store(false)
		stop, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		var err error
		for _, s := range servers {
			err = errors.Join(err, s.Shutdown(stop))
		}
		return err
	})
	peer := ""
	if n.peer != nil {
		peer = n.peer.Addr().String()
	}
	n.log.Info("listening", "public", n.listen.Addr().String(), "admin", n.admin.Addr().String(), "peer", peer, "url", n.public.String(), "version", version)
	return g.Wait()
}

func server(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler: h, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second,
		WriteTimeout: 60 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10,
	}
}

func (n *node) close() {
	for _, l := range []net.Listener{n.listen, n.admin, n.peer} {
		if l != nil {
			l.Close() // closed already when the server ran
		}
	}
	if n.redis != nil {
		_ = n.redis.Close()
	}
	if n.store != nil {
		if err := n.store.Close(); err != nil {
			n.log.Error("close the database", "err", err)
		}
	}
}

// jobs are the small things done again and again. A failed one is logged and
// done again.
func (n *node) jobs(ctx context.Context) error {
	tick := time.NewTicker(15 * time.Second)
	defer tick.Stop()
	for {
		n.do(ctx, "keep the clock's mark", func(ctx context.Context) error { return n.store.SetClockMark(ctx, n.clock.Now()) })
		n.do(ctx, "end lapsed attempts", func(ctx context.Context) error {
			_, err := n.service.Sweep(ctx)
			return err
		})
		n.do(ctx, "tell of notices past their day", func(ctx context.Context) error {
			_, err := n.service.ExpireNotices(ctx)
			return err
		})
		n.do(ctx, "remind of what falls due", func(ctx context.Context) error {
			_, err := n.service.Remind(ctx)
			return err
		})
		n.do(ctx, "drop old records", func(ctx context.Context) error { return n.store.DropExpired(ctx, n.clock.Now()) })
		n.do(ctx, "drop files of old imports", n.service.SweepImports)
		n.do(ctx, "drop old prints", n.service.SweepPrints)
		n.do(ctx, "drop old sessions", func(ctx context.Context) error {
			_, err := n.store.Sessions().DeleteExpired(ctx, n.clock.Now())
			return err
		})
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// poll asks PSPs about payments that are not decided, and for refunds.
func (n *node) poll(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		// Longer than asking and cancelling may take; what is cut is asked again.
		round, cancel := context.WithTimeout(ctx, 30*time.Second)
		if _, err := n.service.Poll(round); err != nil && ctx.Err() == nil {
			n.log.Error("poll PSPs", "err", err)
		}
		if _, err := n.service.AskRefunds(round); err != nil && ctx.Err() == nil {
			n.log.Error("ask PSPs for refunds", "err", err)
		}
		cancel()
	}
}

// seal keeps the chains of receipts at most a second behind.
func (n *node) seal(ctx context.Context) {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		n.do(ctx, "seal receipts", func(ctx context.Context) error {
			for {
				if count, more, err := n.service.SealReceipts(ctx); err != nil || !more || count == 0 {
					return err
				}
			}
		})
	}
}

func (n *node) do(ctx context.Context, what string, job func(context.Context) error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := job(ctx); err != nil && ctx.Err() == nil {
		n.log.Error(what, "err", err)
	}
}

// adminHandler serves metrics and health, for the operator's eyes only.
func (n *node) adminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(n.reg, promhttp.HandlerOpts{Registry: n.reg}))
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), time.Second)
		defer cancel()
		if !n.ready.Load() {
			http.Error(w, "starting or stopping", http.StatusServiceUnavailable)
			return
		}
		if err := n.store.Ping(ctx); err != nil {
			n.log.Warn("not ready", "err", err)
			http.Error(w, "database away", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	if n.profile {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	}
	return mux
}

// writeReceipt is the message in which a receipt of our own making is kept: what
// we would send the school, were it elsewhere.
func writeReceipt(to gateway.Addressee, r receipts.Receipt) []byte {
	return receiptsxml.Write(pagopa.Target{PA: string(to.School), Broker: to.Broker, Station: to.Station}, r)
}

// receiptPDF prints a receipt for the edges.
func receiptPDF(r gateway.Receipt, school gateway.School) ([]byte, error) {
	var b bytes.Buffer
	err := receiptspdf.Write(&b, receiptspdf.Document{
		ID: r.ID, Receipt: r.Content, Received: r.Received, Channel: string(r.Channel), Digest: r.Digest,
		School: receiptspdf.School{Name: school.Name, Code: string(school.Code), Help: school.HelpText},
	})
	return b.Bytes(), err
}

// bulletinPDF prints postal bulletins for the portal.
func bulletinPDF(list []gateway.Bulletin) ([]byte, error) {
	var b bytes.Buffer
	err := bollettino.Print(&b, list)
	return b.Bytes(), err
}

// attestationPDF prints who paid what for whom.
func attestationPDF(a portal.Attestation) ([]byte, error) {
	person := func(p portal.AttestedPerson) receiptspdf.Person {
		return receiptspdf.Person{Name: p.Name, Code: string(p.Code)}
	}
	doc := receiptspdf.Attestation{Year: a.Year, Pupil: person(a.Pupil)}
	for _, p := range a.Payments {
		line := receiptspdf.Payment{
			School: receiptspdf.School{Name: p.School.Name, Code: string(p.School.Code)}, Number: p.Notice.Number.Grouped(),
			Description: p.Notice.Description, Class: p.Notice.Debtor.Class, PaidAt: p.PaidAt, Amount: p.Amount,
			Method: p.Receipt.Content.Method, PSP: p.Receipt.Content.PSP.Name, ReceiptID: p.Receipt.Content.ID,
		}
		if p.Payer != nil {
			payer := person(*p.Payer)
			line.Payer = &payer
		}
		doc.Payments = append(doc.Payments, line)
	}
	var b bytes.Buffer
	err := receiptspdf.WriteAttestation(&b, doc)
	return b.Bytes(), err
}
