// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nodogate/nodogate/gateway"
)

// CallbackPrefix is where PSPs' systems call back; the PSP's id follows, and
// then what its connector wants.
const CallbackPrefix = "/callbacks/"

// maxCallback is the most a PSP may send: the answers we read of them are
// bounded alike.
const maxCallback = 64 << 10

// CallbackSource proves and reads callbacks: the connectors do.
type CallbackSource interface {
	// Callback has the errors gateway.ErrForged, gateway.ErrNotFound,
	// *gateway.Invalid.
	Callback(c gateway.Callback) (gateway.PSPEvent, error)
	// Answer is what the PSP's system is told.
	Answer(psp gateway.PSPID, e gateway.PSPEvent, err error) (status int, contentType string, body []byte)
}

// CallbacksConfig is what the route is made of; Service, Source and Reg are
// required.
type CallbacksConfig struct {
	Service *gateway.Service
	Source  CallbackSource
	Reg     prometheus.Registerer
	Log     *slog.Logger // nil: silent
	Observe func(route, method string, code int, took time.Duration)
}

type callbacks struct {
	svc     *gateway.Service
	source  CallbackSource
	log     *slog.Logger
	observe func(route, method string, code int, took time.Duration)
	count   *prometheus.CounterVec
}

// NewCallbacks serves /callbacks/{psp}/…. Nothing but its signature says who
// calls: the connector proves it before a byte is believed.
func NewCallbacks(cfg CallbacksConfig) http.Handler {
	h := &callbacks{cfg.Service, cfg.Source, cmp.Or(cfg.Log, slog.New(slog.DiscardHandler)), cfg.Observe,
		prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "nodogate_callbacks_total", Help: "Callbacks of PSPs' systems, by what became of them.",
		}, []string{"outcome"})}
	cfg.Reg.MustRegister(h.count)
	// Every series is there from the start, or the first forged one would be no
	// increase.
	for _, o := range []string{"taken", "forged", "unknown", "malformed", "amount", "error"} {
		h.count.WithLabelValues(o)
	}
	return h
}

// ServeHTTP takes one callback.
func (h *callbacks) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	psp, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, CallbackPrefix), "/")
	ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
	defer cancel()

	var event gateway.PSPEvent
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxCallback))
	if err != nil {
		err = &gateway.Invalid{Fields: []gateway.FieldError{{Field: "body", Code: "length", Message: "at most 64 kB"}}}
	} else {
		event, err = h.source.Callback(gateway.Callback{
			PSP: gateway.PSPID(psp), Method: r.Method, Path: "/" + rest, Header: r.Header, Body: body, Received: h.svc.Now(),
		})
	}
	if err == nil {
		err = h.svc.TakeEvent(ctx, event)
	}
	outcome := callbackOutcome(err)
	h.count.WithLabelValues(outcome).Inc()
	status, contentType, answer := h.source.Answer(gateway.PSPID(psp), event, err)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	if contentType != "" {
		w.Header().Set("Content-Type", contentType)
	}
	w.WriteHeader(status)
	// A PSP that went away calls again.
	_, _ = w.Write(answer)

	took := time.Since(start)
	if h.observe != nil {
		h.observe(CallbackPrefix+":psp/*path", r.Method, status, took)
	}
	level := slog.LevelInfo
	if outcome != "taken" {
		level = slog.LevelWarn
	}
	attrs := []slog.Attr{slog.String("outcome", outcome), slog.Int("status", status), slog.Duration("took", took)}
	if event.Attempt != "" { // proved: its parts may be named
		attrs = append(attrs, slog.String("psp", string(event.PSP)), slog.String("attempt", event.Attempt), slog.String("event", event.ID), slog.String("word", string(event.Word)))
	}
	if outcome == "error" {
		level = slog.LevelError
		attrs = append(attrs, slog.Any("err", err))
	}
	h.log.LogAttrs(ctx, level, "callback", attrs...)
}

func callbackOutcome(err error) string {
	var invalid *gateway.Invalid
	switch {
	case err == nil:
		return "taken"
	case errors.Is(err, gateway.ErrForged):
		return "forged"
	case errors.Is(err, gateway.ErrNotFound):
		return "unknown"
	case errors.As(err, &invalid):
		return "malformed"
	case errors.Is(err, gateway.ErrAmount):
		return "amount"
	}
	return "error"
}
