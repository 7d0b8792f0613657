// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"github.com/nodogate/nodogate/iuv"
	"github.com/nodogate/nodogate/receipts"
)

// Config is what a Service is made of. Store, Clock and PublicURL are required.
type Config struct {
	Store Store
	PSPs  PSPs // nil: nothing can be paid online
	Clock *Clock
	// Random is the source of ids and of invented passwords; nil is the
	// system's. It must be safe for concurrent use.
	Random io.Reader
	// WriteReceipt writes the message in which a receipt of our own making, from
	// a PSP's outcome, is kept. Required where the node face answers.
	WriteReceipt    func(Addressee, receipts.Receipt) []byte
	Log             *slog.Logger          // nil: silent
	Reg             prometheus.Registerer // nil: metrics are counted, not shown
	Broker, Station string                // defaults for schools that name none
	PublicURL       *url.URL              // the only origin used in links
	HelpText        string                // whom to ask where a school says nothing
	// LinkKey makes what works without logging in: links, and the first passwords
	// that mails carry. 32 bytes, the same in every process; nil: made at random,
	// and what it made ends with the process.
	LinkKey []byte
	// AllowPrivateTargets lets webhooks be on private addresses, and on http.
	AllowPrivateTargets bool
	HelpMail            string // where questions of families go; empty: none are taken
	// CampaignStep is about how many notices of a campaign one transaction issues;
	// zero: 500, a quarter of a second of SQLite's one writer.
	CampaignStep int
}

// Service moves notices, carts, attempts and receipts. It is safe for
// concurrent use and keeps no truth of its own: any number of processes may run
// over one Store.
type Service struct {
	cfg           Config
	store         Store
	psps          PSPs
	clock         *Clock
	random        io.Reader
	log           *slog.Logger
	numbers       *iuv.Allocator
	metrics       metrics
	evidenceLimit *rate.Limiter
	linkKey       []byte
	hashing       chan struct{} // bounds concurrent password hashes (memory)
}

// leaseBlock is how many notice numbers a process takes from the store at once.
const leaseBlock = 64

// New makes a Service. It starts no goroutine; Sweep is to be called by a job.
func New(cfg Config) (*Service, error) {
	if cfg.Store == nil || cfg.Clock == nil || cfg.PublicURL == nil {
		return nil, errors.New("gateway: Store, Clock and PublicURL are required")
	}
	if cfg.PSPs == nil {
		cfg.PSPs = noPSPs{}
	}
	if cfg.CampaignStep == 0 {
		cfg.CampaignStep = 500
	}
	cfg.CampaignStep = min(cfg.CampaignStep, MaxBatch)
	if cfg.Random == nil {
		cfg.Random = rand.Reader
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.LinkKey == nil {
		cfg.LinkKey = make([]byte, 32)
		if _, err := io.ReadFull(cfg.Random, cfg.LinkKey); err != nil {
			return nil, fmt.Errorf("gateway: no randomness: %w", err)
		}
	}
	return &Service{
		linkKey:       cfg.LinkKey,
		cfg:           cfg,
		store:         cfg.Store,
		psps:          cfg.PSPs,
		clock:         cfg.Clock,
		random:        cfg.Random,
		log:           cfg.Log,
		numbers:       iuv.NewAllocator(cfg.Store, leaseBlock),
		metrics:       newMetrics(cfg.Reg),
		evidenceLimit: rate.NewLimiter(rate.Every(time.Second), 100),
		hashing:       make(chan struct{}, 4),
	}, nil
}

// Now is the gateway's time; edges take it from here, never from the machine.
func (s *Service) Now() time.Time { return s.clock.Now() }

// PublicURL is a link into this installation.
func (s *Service) PublicURL(path string) string {
	return s.cfg.PublicURL.JoinPath(path).String()
}

// HelpText says whom a family may ask; a school's own text goes first.
func (s *Service) HelpText() string { return s.cfg.HelpText }

// Atomically runs fn so that all it does through the Service is one
// transaction: an edge uses it to save an answer together with its effect. fn
// may run more than once. Nothing in it may call a PSP.
func (s *Service) Atomically(ctx context.Context, fn func(ctx context.Context, tx Tx) error) error {
	return s.store.Update(ctx, func(tx Tx) error { return fn(tx.Context(), tx) })
}

// newID is 130 random bits in lower-case letters and digits: unguessable, and
// safe in a URL, a file name and pagoPA's 35-character fields.
func (s *Service) newID() string {
	var b [16]byte
	if _, err := io.ReadFull(s.random, b[:]); err != nil {
		// The system's source cannot fail; an injected one must not.
		panic("gateway: no randomness: " + err.Error())
	}
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:]))
}

func isNotFound(err error) bool { return errors.Is(err, ErrNotFound) }

// noPSPs is an installation without a catalogue.
type noPSPs struct{}

func (noPSPs) Offers(context.Context, OfferRequest) []MethodOffer { return nil }
func (noPSPs) Start(_ context.Context, psp PSPID, _ Order) (Started, error) {
	return Started{}, fmt.Errorf("psp %s: %w", psp, ErrPSPUnavailable)
}
func (noPSPs) Name(psp PSPID) string     { return string(psp) }
func (noPSPs) Abilities(PSPID) Abilities { return Abilities{} }
func (noPSPs) Ask(_ context.Context, psp PSPID, _ Payment) (PSPEvent, error) {
	return PSPEvent{}, fmt.Errorf("psp %s: %w", psp, ErrPSPUnavailable)
}
func (noPSPs) Cancel(_ context.Context, psp PSPID, _ Payment) error {
	return fmt.Errorf("psp %s: %w", psp, ErrPSPUnavailable)
}
func (noPSPs) Refund(_ context.Context, psp PSPID, _ Payment) error {
	return fmt.Errorf("psp %s: %w", psp, ErrPSPUnavailable)
}

// Actor is who did something, for the audit trail.
type Actor struct {
	Kind string // system, client, account, operator
	Name string // an id of ours, never a person's data
}

// ActorSystem is the gateway itself.
var ActorSystem = Actor{Kind: "system", Name: "system"}

// metrics are the Service's own figures.
type metrics struct {
	issued   prometheus.Counter
	receipts *prometheus.CounterVec
	evidence *prometheus.CounterVec
	// unresolved counts payments that no PSP could tell the end of in a day.
	unresolved prometheus.Counter
	refunds    *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) metrics {
	m := metrics{
		issued: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "nodogate_notices_issued_total", Help: "Payment notices issued.",
		}),
		receipts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "nodogate_receipts_total", Help: "Receipts recorded, by who told us and what is odd about them.",
		}, []string{"channel", "anomaly"}),
		evidence: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "nodogate_evidence_total", Help: "Messages kept or counted as evidence, not as receipts.",
		}, []string{"kind"}),
		unresolved: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "nodogate_attempts_unresolved_total", Help: "Payments whose end no PSP could tell within a day: a person has to ask.",
		}),
	}
	m.refunds = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "nodogate_psp_refunds_total", Help: "Payments that PSPs were asked to give back, by what came of it: unresolved and twice need a person.",
	}, []string{"outcome"})
	for _, outcome := range []string{"done", "refused", "unresolved", "twice"} {
		m.refunds.WithLabelValues(outcome)
	}
	// Every series exists from the start: an alarm on an increase would miss
	// the first anomaly of a series that appears with the value 1.
	for _, c := range []Channel{ChannelNode, ChannelPSP, ChannelConnector} {
		m.receipts.WithLabelValues(string(c), "none")
		for _, a := range Anomalies {
			m.receipts.WithLabelValues(string(c), string(a))
		}
	}
	for _, k := range []EvidenceKind{EvidenceAltered, EvidenceInconsistent, EvidenceRefused, EvidenceSyntax} {
		m.evidence.WithLabelValues(string(k))
	}
	if reg != nil {
		reg.MustRegister(m.issued, m.receipts, m.evidence, m.unresolved, m.refunds)
	}
	return m
}

func (m metrics) receipt(c Channel, v Verdict) {
	switch {
	case v.Altered:
		m.evidence.WithLabelValues(string(EvidenceAltered)).Inc()
	case v.Duplicate:
	case v.Receipt.Anomaly == AnomalyNone:
		m.receipts.WithLabelValues(string(c), "none").Inc()
	default:
		m.receipts.WithLabelValues(string(c), string(v.Receipt.Anomaly)).Inc()
	}
}

func (m metrics) refused(k EvidenceKind) { m.evidence.WithLabelValues(string(k)).Inc() }
