// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/store"
)

func buildInfo() prometheus.Collector {
	g := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "nodogate_build_info", Help: "1, with the version as a label.",
		ConstLabels: prometheus.Labels{"version": version, "go": runtime.Version()},
	})
	g.Set(1)
	return g
}

// newHTTPDuration is the histogram of the API and the portal; the function it
// returns notes one answer under the route's template, never its path.
func newHTTPDuration(reg prometheus.Registerer) func(route, method string, code int, took time.Duration) {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "nodogate_http_request_duration_seconds",
		Help:    "Time to answer a request of the API or the portal.",
		Buckets: prometheus.DefBuckets,
	}, []string{"route", "method", "code"})
	reg.MustRegister(h)
	return func(route, method string, code int, took time.Duration) {
		h.WithLabelValues(route, method, strconv.Itoa(code)).Observe(took.Seconds())
	}
}

// The figures that stand in the database are read when Prometheus asks, so that
// every replica tells the same. A database that does not answer in time leaves
// them out: a stale figure would be a wrong one.
const scrapeWithin = time.Second

type attemptsCollector struct {
	node          *node
	count, oldest *prometheus.Desc
}

func newAttemptsCollector(n *node) prometheus.Collector {
	return &attemptsCollector{n,
		prometheus.NewDesc("nodogate_attempts", "Payment attempts that are not over, by state.", []string{"state"}, nil),
		prometheus.NewDesc("nodogate_attempts_oldest_seconds", "How long the attempt is in its state that is in it longest; 0 when there is none.", []string{"state"}, nil),
	}
}

func (c *attemptsCollector) Describe(ch chan<- *prometheus.Desc) { ch <- c.count; ch <- c.oldest }

func (c *attemptsCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeWithin)
	defer cancel()
	counts, err := c.node.service.CountAttempts(ctx)
	if err != nil {
		c.node.log.Warn("count attempts", "err", err)
		return
	}
	for _, s := range []gateway.AttemptState{gateway.AttemptCreated, gateway.AttemptSent, gateway.AttemptUnknown, gateway.AttemptAuthorised} {
		var age time.Duration
		if counts[s].Count > 0 {
			age = max(0, c.node.clock.Now().Sub(counts[s].Since))
		}
		ch <- prometheus.MustNewConstMetric(c.count, prometheus.GaugeValue, float64(counts[s].Count), string(s))
		ch <- prometheus.MustNewConstMetric(c.oldest, prometheus.GaugeValue, age.Seconds(), string(s))
	}
}

type sealingCollector struct {
	node *node
	desc *prometheus.Desc
}

func newSealingCollector(n *node) prometheus.Collector {
	return &sealingCollector{n, prometheus.NewDesc("nodogate_receipts_unsealed_seconds", "Age of the oldest receipt that has no place in its school's chain yet; 0 when none waits.", nil, nil)}
}

func (c *sealingCollector) Describe(ch chan<- *prometheus.Desc) { ch <- c.desc }

func (c *sealingCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeWithin)
	defer cancel()
	since, err := c.node.store.UnsealedSince(ctx)
	if err != nil {
		c.node.log.Warn("age of unsealed receipts", "err", err)
		return
	}
	var age time.Duration
	if !since.IsZero() {
		age = max(0, c.node.clock.Now().Sub(since))
	}
	ch <- prometheus.MustNewConstMetric(c.desc, prometheus.GaugeValue, age.Seconds())
}

type outboxCollector struct {
	node                             *node
	pending, oldest, parked, refused *prometheus.Desc
}

func newOutboxCollector(n *node) prometheus.Collector {
	return &outboxCollector{n,
		prometheus.NewDesc("nodogate_outbox_pending", "Messages waiting to be delivered.", []string{"kind"}, nil),
		prometheus.NewDesc("nodogate_outbox_oldest_seconds", "Age of the oldest message waiting.", []string{"kind"}, nil),
		prometheus.NewDesc("nodogate_outbox_parked", "Messages given up: a person must look at them.", []string{"kind"}, nil),
		prometheus.NewDesc("nodogate_aca_refused", "Notices that pagoPA's archive of notices does not take as they are.", nil, nil),
	}
}

func (c *outboxCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.pending, c.oldest, c.parked, c.refused} {
		ch <- d
	}
}

func (c *outboxCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeWithin)
	defer cancel()
	stats, err := c.node.store.OutboxStats(ctx, c.node.clock.Now())
	if err != nil {
		c.node.log.Warn("outbox figures", "err", err)
		return
	}
	for _, kind := range outboxKinds {
		if _, waiting := stats[kind]; !waiting {
			stats[kind] = store.OutboxStat{}
		}
	}
	for kind, s := range stats {
		ch <- prometheus.MustNewConstMetric(c.pending, prometheus.GaugeValue, float64(s.Pending), kind)
		ch <- prometheus.MustNewConstMetric(c.oldest, prometheus.GaugeValue, s.Oldest.Seconds(), kind)
		ch <- prometheus.MustNewConstMetric(c.parked, prometheus.GaugeValue, float64(s.Parked), kind)
	}
	refused, err := c.node.service.ArchiveRefused(ctx)
	if err != nil {
		c.node.log.Warn("figures of the archive of notices", "err", err)
		return
	}
	ch <- prometheus.MustNewConstMetric(c.refused, prometheus.GaugeValue, float64(refused))
}
