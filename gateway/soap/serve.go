// SPDX-License-Identifier: Apache-2.0

package soap

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// The service level is an answer within 2 seconds (SANP, livelli di servizio).
// The work gets most of that; what does not stop when its context ends is left
// behind, and answered for.
const (
	workWithin   = 1700 * time.Millisecond
	answerWithin = 1900 * time.Millisecond
)

// ErrLate says that a service did not answer in time. What it was doing may
// still be done.
var ErrLate = errors.New("soap: no answer in time")

// Service is one face: what a Handler needs to know of it.
type Service struct {
	Face string // label of the metric: creditor or node
	// Operation names the operation that the element in a Body asks for.
	Operation func(Name) (op string, known bool)
	// Serve answers a request whose operation is known. raw is the whole
	// message, env what was read of it: valid for no schema yet.
	Serve func(ctx context.Context, op string, env *Envelope, raw []byte) Answer
	// Failed answers where Serve panicked, or is not back in time.
	Failed func(op string, err error) Answer
	// Unreadable sees a message that is none of the service's, before its Fault
	// is sent. On an error the Fault is not sent, but an empty 503; a panic and
	// being late are errors too. Nil: not asked.
	Unreadable func(ctx context.Context, raw []byte) error
}

// Answer is what goes out, and what is said of it.
type Answer struct {
	Status  int
	Body    []byte // nil: no content
	Outcome Outcome
	Code    string // fault code, for the log
	School  string // fiscal code of the school, for the log
	Notice  string // notice number, for the log
	Err     error  // a fault of ours
}

// Outcome is how a request ended, for the metric. Sent: never renamed.
type Outcome string

const (
	OutcomeOK          Outcome = "ok"
	OutcomeKO          Outcome = "ko"
	OutcomeFault       Outcome = "fault"       // no message of the service: a Fault, or an HTTP refusal
	OutcomeError       Outcome = "error"       // a fault of ours, answered in the service's words
	OutcomeUnavailable Outcome = "unavailable" // a fault of ours, answered with 503
)

// NewDuration is the histogram of all faces. Its buckets show the service
// levels: 2 s, and the node's time-outs of 7 and 15 s.
func NewDuration(reg prometheus.Registerer) *prometheus.HistogramVec {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "nodogate_soap_request_duration_seconds",
		Help:    "Time to answer a SOAP request.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2, 7, 15},
	}, []string{"face", "operation", "outcome"})
	reg.MustRegister(h)
	return h
}

// Handler serves a face over HTTP: limits, envelope, SOAPAction, deadline,
// panics, metric and one log line are done here once for all faces.
func Handler(svc Service, duration *prometheus.HistogramVec, log *slog.Logger) http.Handler {
	return &handler{svc, duration, cmp.Or(log, slog.New(slog.DiscardHandler))}
}

type handler struct {
	svc      Service
	duration *prometheus.HistogramVec
	log      *slog.Logger
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	op, a := h.answer(w, r)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if a.Body != nil {
		w.Header().Set("Content-Type", ContentType)
	}
	w.WriteHeader(a.Status)
	// A peer that went away has its answer when it asks again.
	_, _ = w.Write(a.Body)

	took := time.Since(start)
	h.duration.WithLabelValues(h.svc.Face, cmp.Or(op, "none"), string(a.Outcome)).Observe(took.Seconds())
	attrs := []slog.Attr{
		slog.String("face", h.svc.Face), slog.String("operation", op), slog.String("outcome", string(a.Outcome)),
		slog.Int("status", a.Status), slog.String("school", a.School), slog.String("notice", a.Notice), slog.Duration("took", took),
	}
	if a.Code != "" {
		attrs = append(attrs, slog.String("fault", a.Code))
	}
	level := slog.LevelInfo
	if a.Err != nil {
		level = slog.LevelError
		attrs = append(attrs, slog.Any("err", a.Err))
	}
	h.log.LogAttrs(r.Context(), level, "soap request", attrs...)
}

func (h *handler) answer(w http.ResponseWriter, r *http.Request) (op string, a Answer) {
	raw, status := ReadBody(w, r)
	if status != http.StatusOK {
		return "", Answer{Status: status, Outcome: OutcomeFault}
	}
	op, env, err := h.read(r.Header, raw)
	switch {
	case err == nil:
		return op, h.within(r.Context(), op,
			func(ctx context.Context) Answer { return h.svc.Serve(ctx, op, env, raw) },
			func(err error) Answer { return h.svc.Failed(op, err) })
	case h.svc.Unreadable == nil:
		return op, refuse(err)
	}
	unavailable := func(err error) Answer {
		return Answer{Status: http.StatusServiceUnavailable, Outcome: OutcomeUnavailable, Err: err}
	}
	return op, h.within(r.Context(), op, func(ctx context.Context) Answer {
		if err := h.svc.Unreadable(ctx, raw); err != nil {
			return unavailable(err)
		}
		return refuse(err)
	}, unavailable)
}

// read finds the operation of a message; op is named even where the message
// contradicts it.
func (h *handler) read(header http.Header, raw []byte) (op string, env *Envelope, err error) {
	if env, err = Parse(raw); err != nil {
		return "", nil, err
	}
	op, known := h.svc.Operation(env.Operation)
	switch {
	case !known:
		return "", nil, &ParseError{Code: Client, Rule: "no operation of this service"}
	case !ActionAgrees(header, op):
		return op, nil, &ParseError{Code: Client, Rule: "SOAPAction is not the operation in the Body"}
	}
	return op, env, nil
}

// within does the work, and answers in its place where it panics or is not back
// in time.
func (h *handler) within(ctx context.Context, op string, work func(context.Context) Answer, failed func(error) Answer) Answer {
	ctx, cancel := context.WithTimeout(ctx, workWithin)
	done := make(chan Answer, 1)
	go func() {
		defer cancel()
		defer func() {
			if p := recover(); p != nil {
				h.log.Error("panic in a SOAP operation", "operation", op, "stack", string(debug.Stack()))
				done <- failed(errors.New("soap: panic"))
			}
		}()
		done <- work(ctx)
	}()
	late := time.NewTimer(answerWithin)
	defer late.Stop()
	select {
	case a := <-done:
		return a
	case <-late.C:
		return failed(ErrLate)
	}
}

// refuse answers what is no message of the service: a Fault with 400.
func refuse(err error) Answer {
	code, rule := Client, "unreadable message"
	if p := (*ParseError)(nil); errors.As(err, &p) {
		code, rule = p.Code, p.Error()
	}
	return Answer{Status: http.StatusBadRequest, Outcome: OutcomeFault, Body: AppendFault(nil, code, rule)}
}
