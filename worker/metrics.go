package worker

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/lane"
	"github.com/rescindhq/rescind/worker/outcome"
	"github.com/rescindhq/rescind/worker/queue"
)

// metrics is what the worker tells Prometheus. It is read when it is asked for, from counts
// that the parts keep anyway. It is a prometheus.Collector.
type metrics struct {
	w *Worker

	took *prometheus.HistogramVec

	mu       sync.Mutex
	outcomes map[outcomeKey]*outcomes
}

// outcomes are those published of one service and status.
type outcomes struct {
	count int
	took  prometheus.Observer
}

type outcomeKey struct {
	service string
	status  handlers.Status
}

func newMetrics(w *Worker) *metrics {
	return &metrics{w: w, outcomes: make(map[outcomeKey]*outcomes), took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "rescind_command_seconds", Help: "Time from sending a command to publishing its outcome.",
		Buckets: prometheus.ExponentialBuckets(0.05, 4, 11), // 50 ms to 14 hours
	}, []string{"service"})}
}

// published counts an outcome.
func (m *metrics) published(d *outcome.Data) {
	service := "unknown" // whatever an invalid command calls its action is no label
	if m.w.road.handlers[d.Action] != nil {
		service = d.Action.Service()
	}
	key := outcomeKey{service, d.Status}
	m.mu.Lock()
	o := m.outcomes[key]
	if o == nil {
		o = &outcomes{took: m.took.WithLabelValues(service)}
		m.outcomes[key] = o
	}
	o.count++
	m.mu.Unlock()
	o.took.Observe(time.Since(d.EnqueuedAt).Seconds())
}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("rescind_"+name, help, labels, nil)
}

var (
	descOutcomes = describe("outcomes_total", "Outcomes published, repeats included.", "service", "status")
	descMessages = describe("messages_total", "Messages by what was done with them: received, again (received while held), deleted, released, buried, extended, lost.", "what")
	descInFlight = describe("messages_in_flight", "Messages held now.")
	descPolls    = describe("polls_total", "Receive requests begun.")
	descStrays   = describe("strays_total", "Messages that SQS had moved to a dead-letter queue, by what was done with them, as in messages_total.", "what")
	descStraying = describe("strays_in_flight", "Of them, those held now.")
	descLooks    = describe("strays_polls_total", "Receive requests begun on dead-letter queues.")
	descReady    = describe("ready", "1 while commands are taken.")

	laneLabels      = []string{"action", "verb", "account", "region"}
	descRequests    = describe("lane_requests_total", "Requests made.", laneLabels...)
	descTargets     = describe("lane_targets_total", "Targets in them; over requests, the fill of batches.", laneLabels...)
	descThrottled   = describe("lane_throttled_total", "Targets that came back throttled.", laneLabels...)
	descUnavailable = describe("lane_unavailable_total", "Targets that came back unavailable.", laneLabels...)
	descWaiting     = describe("lane_waiting", "Targets that wait, those in backoff included.", laneLabels...)
	descUnderWay    = describe("lane_in_flight", "Requests under way.", laneLabels...)
	descDown        = describe("lane_down", "1 while the breaker is open.", laneLabels...)
	descOldest      = describe("lane_oldest_seconds", "How long the target has waited that waits longest; 0: none does.", laneLabels...)
	descAllowed     = describe("lane_allowed_rate", "Requests a second that the quotas allow now; 0 is no limit.", laneLabels...)
	descUsed        = describe("lane_used_rate", "Requests a second made in the last ten seconds or so.", laneLabels...)
	descReleased    = describe("lane_released_total", "Messages released until there is room for them in the window.", "action", "account", "region")
	descRecalled    = describe("lane_recalled_total", "Of these, taken back before their time, as the lane had too little to do.", "action", "account", "region")
	descHeld        = describe("lane_messages_in_flight", "Places of the window taken, reads included.", "action", "account", "region")
	descRate        = describe("quota_rate", "Calls a second allowed now; 0 is no limit.", "service", "operation", "account", "region")
)

// Metrics returns the worker's metrics. It may be registered once.
func (w *Worker) Metrics() prometheus.Collector { return w.metrics }

// Describe is part of prometheus.Collector.
func (m *metrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descOutcomes, descMessages, descInFlight, descPolls, descReady, descStrays, descStraying, descLooks, descRequests, descTargets,
		descThrottled, descUnavailable, descWaiting, descUnderWay, descDown, descOldest, descAllowed, descUsed,
		descReleased, descRecalled, descHeld, descRate,
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
	for key, o := range m.outcomes {
		count(descOutcomes, float64(o.count), key.service, string(key.status))
	}
	m.mu.Unlock()
	m.took.Collect(out)
	subscriber := func(s queue.Stats, messages, inFlight, polls *prometheus.Desc) {
		for what, n := range map[string]int64{
			"received": s.Received, "again": s.Again, "deleted": s.Deleted, "released": s.Released,
			"buried": s.Buried, "extended": s.Extended, "lost": s.Lost,
		} {
			count(messages, float64(n), what)
		}
		gauge(inFlight, float64(s.InFlight))
		count(polls, float64(s.Polls))
	}
	subscriber(m.w.queue.Stats(), descMessages, descInFlight, descPolls)
	subscriber(m.w.strays.Stats(), descStrays, descStraying, descLooks)
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
		gauge(descOldest, s.Oldest.Seconds(), labels...)
		gauge(descAllowed, s.Allowed, labels...)
		gauge(descUsed, s.Used, labels...)
	}, func(key quotaKey, rate float64) {
		gauge(descRate, rate, key.service, key.operation, key.at.Account, key.at.Region)
	})
	m.w.road.window.each(func(key holdingKey, held, released, recalled int) {
		labels := []string{string(key.action), key.at.Account, key.at.Region}
		count(descReleased, float64(released), labels...)
		count(descRecalled, float64(recalled), labels...)
		gauge(descHeld, float64(held), labels...)
	})
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
