package worker

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/lane"
	"github.com/rescindhq/rescind/worker/outcome"
)

// metrics is what the worker tells Prometheus. It is read when it is asked for, from counts
// that the parts keep anyway. It is a prometheus.Collector.
type metrics struct {
	w *Worker

	took *prometheus.HistogramVec

	mu       sync.Mutex
	outcomes map[outcomeKey]int
}

type outcomeKey struct {
	service string
	status  handlers.Status
}

func newMetrics(w *Worker) *metrics {
	return &metrics{w: w, outcomes: make(map[outcomeKey]int), took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "rescind_command_seconds", Help: "Time from sending a command to publishing its outcome.",
		Buckets: prometheus.ExponentialBuckets(0.05, 4, 11), // 50 ms to 14 hours
	}, []string{"service"})}
}

// published counts an outcome.
func (m *metrics) published(d outcome.Data) {
	service := "unknown" // whatever an invalid command calls its action is no label
	if m.w.road.handlers[d.Action] != nil {
		service = d.Action.Service()
	}
	m.took.WithLabelValues(service).Observe(time.Since(d.EnqueuedAt).Seconds())
	m.mu.Lock()
	m.outcomes[outcomeKey{service, d.Status}]++
	m.mu.Unlock()
}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("rescind_"+name, help, labels, nil)
}

var (
	descOutcomes = describe("outcomes_total", "Outcomes published, repeats included.", "service", "status")
	descMessages = describe("messages_total", "Messages by what was done with them: received, again (received while held), deleted, released, buried, extended, lost.", "what")
	descInFlight = describe("messages_in_flight", "Messages held now.")
	descPolls    = describe("polls_total", "Receive requests begun.")
	descReady    = describe("ready", "1 while commands are taken.")

	laneLabels      = []string{"action", "verb", "account", "region"}
	descRequests    = describe("lane_requests_total", "Requests made.", laneLabels...)
	descTargets     = describe("lane_targets_total", "Targets in them; over requests, the fill of batches.", laneLabels...)
	descThrottled   = describe("lane_throttled_total", "Targets that came back throttled.", laneLabels...)
	descUnavailable = describe("lane_unavailable_total", "Targets that came back unavailable.", laneLabels...)
	descWaiting     = describe("lane_waiting", "Targets that wait, those in backoff included.", laneLabels...)
	descUnderWay    = describe("lane_in_flight", "Requests under way.", laneLabels...)
	descDown        = describe("lane_down", "1 while the breaker is open.", laneLabels...)
	descRate        = describe("quota_rate", "Calls a second allowed now; 0 is no limit.", "service", "operation", "account", "region")
)

// Metrics returns the worker's metrics. It may be registered once.
func (w *Worker) Metrics() prometheus.Collector { return w.metrics }

// Describe is part of prometheus.Collector.
func (m *metrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descOutcomes, descMessages, descInFlight, descPolls, descReady, descRequests, descTargets,
		descThrottled, descUnavailable, descWaiting, descUnderWay, descDown, descRate,
	} {
		out <- d
	}
	m.took.Describe(out)
}

// Collect is part of prometheus.Collector.
func (m *metrics) Collect(out chan<- prometheus.Metric) {
	count := func(d *prometheus.Desc, n float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, n, labels...)
	}
	gauge := func(d *prometheus.Desc, n float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, n, labels...)
	}
	m.mu.Lock()
	for key, n := range m.outcomes {
		count(descOutcomes, float64(n), key.service, string(key.status))
	}
	m.mu.Unlock()
	m.took.Collect(out)
	s := m.w.queue.Stats()
	for what, n := range map[string]int64{
		"received": s.Received, "again": s.Again, "deleted": s.Deleted, "released": s.Released,
		"buried": s.Buried, "extended": s.Extended, "lost": s.Lost,
	} {
		count(descMessages, float64(n), what)
	}
	gauge(descInFlight, float64(s.InFlight))
	count(descPolls, float64(s.Polls))
	gauge(descReady, truth(len(m.w.Ready()) == 0))
	m.w.lanes.each(func(key laneKey, s lane.Stats) {
		labels := []string{string(key.action), key.verb.String(), key.at.Account, key.at.Region}
		count(descRequests, float64(s.Requests), labels...)
		count(descTargets, float64(s.Items), labels...)
		count(descThrottled, float64(s.Throttled), labels...)
		count(descUnavailable, float64(s.Unavailable), labels...)
		gauge(descWaiting, float64(s.Waiting), labels...)
		gauge(descUnderWay, float64(s.InFlight), labels...)
		gauge(descDown, truth(s.Down), labels...)
	}, func(key quotaKey, rate float64) {
		gauge(descRate, rate, key.service, key.operation, key.at.Account, key.at.Region)
	})
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
