// Package measured takes the time of requests to the results topic and of operations of the ledger, and counts those
// that fail, for Prometheus. It changes nothing of what they do.
package measured

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rescindhq/rescind/worker/ledger"
	"github.com/rescindhq/rescind/worker/results"
)

// buckets are from 1 ms, as a bolt ledger may take, to 20 s, above every bound of a request.
var buckets = prometheus.ExponentialBuckets(0.001, 3, 10)

// Meter has the metrics. Make one with New. It is a prometheus.Collector.
type Meter struct {
	publish        prometheus.Histogram
	publishErrors  prometheus.Counter
	ledger         *prometheus.HistogramVec
	ledgerErrors   *prometheus.CounterVec
	all            []prometheus.Collector
	byLedgerMethod map[string]method
}

type method struct {
	took   prometheus.Observer
	failed prometheus.Counter
}

// The ledger's operations, as the label names them.
const (
	claim, renew, progress, release, complete = "claim", "renew", "progress", "release", "complete"
	putEvents, getEvents                      = "put events", "get events"
)

// New returns a Meter whose counters are 0.
func New() *Meter {
	m := &Meter{
		publish:       prometheus.NewHistogram(prometheus.HistogramOpts{Name: "rescind_publish_seconds", Help: "How long requests to publish outcomes took, failed ones too.", Buckets: buckets}),
		publishErrors: prometheus.NewCounter(prometheus.CounterOpts{Name: "rescind_publish_errors_total", Help: "Requests to publish outcomes that failed as a whole; they are made again."}),
		ledger: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "rescind_ledger_seconds", Help: "How long operations of the ledger took, failed ones too.", Buckets: buckets},
			[]string{"operation"}),
		ledgerErrors: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "rescind_ledger_errors_total", Help: "Operations of the ledger that failed, but for claims lost to another worker."}, []string{"operation"}),
	}
	m.all = []prometheus.Collector{m.publish, m.publishErrors, m.ledger, m.ledgerErrors}
	m.byLedgerMethod = make(map[string]method)
	for _, operation := range []string{claim, renew, progress, release, complete, putEvents, getEvents} {
		m.byLedgerMethod[operation] = method{m.ledger.WithLabelValues(operation), m.ledgerErrors.WithLabelValues(operation)}
	}
	return m
}

// Describe is part of prometheus.Collector.
func (m *Meter) Describe(out chan<- *prometheus.Desc) {
	for _, each := range m.all {
		each.Describe(out)
	}
}

// Collect is part of prometheus.Collector.
func (m *Meter) Collect(out chan<- prometheus.Metric) {
	for _, each := range m.all {
		each.Collect(out)
	}
}

// Topic is an api that is measured.
func (m *Meter) Topic(api results.API) results.API { return topic{m, api} }

type topic struct {
	m   *Meter
	api results.API
}

// PublishBatch implements results.API.
func (t topic) PublishBatch(ctx context.Context, in *sns.PublishBatchInput, o ...func(*sns.Options)) (*sns.PublishBatchOutput, error) {
	began := time.Now()
	out, err := t.api.PublishBatch(ctx, in, o...)
	t.m.publish.Observe(time.Since(began).Seconds())
	if err != nil {
		t.m.publishErrors.Inc()
	}
	return out, err
}

// Ledger is a ledger that is measured.
func (m *Meter) Ledger(l ledger.Ledger) ledger.Ledger { return book{l, m} }

type book struct {
	ledger.Ledger
	m *Meter
}

// done notes an operation that began then, and what it returned.
func (b book) done(operation string, began time.Time, errs ...error) {
	of := b.m.byLedgerMethod[operation]
	of.took.Observe(time.Since(began).Seconds())
	if slices.ContainsFunc(errs, func(err error) bool {
		return err != nil && !errors.Is(err, ledger.ErrFenced) && !errors.Is(err, context.Canceled) // we are stopping
	}) {
		of.failed.Inc()
	}
}

// Claim implements ledger.Ledger.
func (b book) Claim(ctx context.Context, e ledger.Entry, lease time.Duration) (*ledger.Claim, error) {
	began := time.Now()
	found, err := b.Ledger.Claim(ctx, e, lease)
	b.done(claim, began, err)
	return found, err
}

// Renew implements ledger.Ledger.
func (b book) Renew(ctx context.Context, lease time.Duration, tokens ...ledger.Token) []error {
	began := time.Now()
	errs := b.Ledger.Renew(ctx, lease, tokens...)
	b.done(renew, began, errs...)
	return errs
}

// Progress implements ledger.Ledger.
func (b book) Progress(ctx context.Context, updates ...ledger.Update) []error {
	began := time.Now()
	errs := b.Ledger.Progress(ctx, updates...)
	b.done(progress, began, errs...)
	return errs
}

// Release implements ledger.Ledger.
func (b book) Release(ctx context.Context, u ledger.Update) error {
	began := time.Now()
	err := b.Ledger.Release(ctx, u)
	b.done(release, began, err)
	return err
}

// Complete implements ledger.Ledger.
func (b book) Complete(ctx context.Context, t ledger.Token, outcome []byte) error {
	began := time.Now()
	err := b.Ledger.Complete(ctx, t, outcome)
	b.done(complete, began, err)
	return err
}

// PutEvents implements ledger.Ledger.
func (b book) PutEvents(ctx context.Context, events ...ledger.Event) []error {
	began := time.Now()
	errs := b.Ledger.PutEvents(ctx, events...)
	b.done(putEvents, began, errs...)
	return errs
}

// Events implements ledger.Ledger.
func (b book) Events(ctx context.Context, targets ...string) (map[string]ledger.Event, error) {
	began := time.Now()
	found, err := b.Ledger.Events(ctx, targets...)
	b.done(getEvents, began, err)
	return found, err
}
