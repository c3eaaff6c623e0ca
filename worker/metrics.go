package worker

import (
	"maps"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/buildinfo"
	"github.com/rescindhq/rescind/worker/lane"
	"github.com/rescindhq/rescind/worker/measured"
	"github.com/rescindhq/rescind/worker/pipeline"
	"github.com/rescindhq/rescind/worker/trouble"
)

// metrics is what the worker tells Prometheus. It is read when it is asked for, from counts
// that the parts keep anyway. It is a prometheus.Collector. Commands name accounts and regions, which are labels:
// [pipeline.Pipeline.Visit] says how many there are at most.
type metrics struct {
	w *Worker

	took  *prometheus.HistogramVec
	meter *measured.Meter // of topic and ledger

	mu       sync.Mutex
	outcomes map[outcomeKey]*outcomes
	verdicts map[handlers.Verdict]int // of new ones
	last     time.Time                // when the last new outcome was published
}

// outcomes are those published of one service and status.
type outcomes struct {
	count int
	took  prometheus.Observer
}

type outcomeKey struct {
	service  string
	status   handlers.Status
	repeated bool
}

func newMetrics(w *Worker) *metrics {
	return &metrics{w: w, meter: measured.New(), outcomes: make(map[outcomeKey]*outcomes), verdicts: make(map[handlers.Verdict]int), took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "rescind_command_seconds", Help: "Time from sending a command to publishing its outcome.",
		Buckets: prometheus.ExponentialBuckets(0.05, 4, 11), // 50 ms to 14 hours
	}, []string{"service"})}
}

// published counts an outcome. What is published again is not new, and says nothing of how long it took.
func (m *metrics) published(p *pipeline.Outcome) {
	d := p.Data
	service := "unknown" // whatever an invalid command calls its action is no label
	if m.w.pipeline.Knows(d.Action) {
		service = d.Action.Service()
	}
	key := outcomeKey{service, d.Status, p.Repeated}
	m.mu.Lock()
	o := m.outcomes[key]
	if o == nil {
		o = &outcomes{took: m.took.WithLabelValues(service)}
		m.outcomes[key] = o
	}
	o.count++
	if !p.Repeated {
		m.last = time.Now()
		m.verdicts[d.Verdict]++
	}
	m.mu.Unlock()
	if !p.Repeated {
		o.took.Observe(time.Since(d.EnqueuedAt).Seconds())
	}
}

// ended counts the outcomes that were published for the first time.
func (m *metrics) ended() map[handlers.Verdict]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.verdicts)
}

// lastOutcome says for people when the last new outcome was published.
func (m *metrics) lastOutcome(now time.Time) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.last.IsZero() {
		return "no outcome has been published yet"
	}
	return "the last outcome was published " + now.Sub(m.last).Round(time.Second).String() + " ago"
}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("rescind_"+name, help, labels, nil)
}

var (
	descOutcomes = describe("outcomes_total", "Outcomes published; repeated: those that were stored before.", "service", "status", "repeated")
	descMessages = describe("messages_total", "Messages by what was done with them: received, again (received while held), deleted, deferred (sent again with a delay), released (made visible again within a minute), dead-lettered, extended, lost (became visible before the worker was done with it: it comes again, and nothing is lost), forged (with an attribute of a deferred copy that no worker wrote).", "what")
	descInFlight = describe("messages_in_flight", "Messages held now.")
	descPolls    = describe("polls_total", "Receive requests begun.")
	descOwn      = describe("own_events_total", "Outcomes and control events of workers that came in on a queue of commands, and were deleted: the results topic is subscribed to it.")
	descEvents   = describe("state_events_total", "Messages of the state queue: stored (they show that a target has ended), ignored (other events), strange (no events; they are left there).", "what")
	descReady    = describe("ready", "1 while commands are taken.")

	descDeadLetterFailures = describe("dead_letter_failures_total", "Requests to send to a dead-letter queue that failed.")
	descFailingPeers       = describe("failing_peers", "Those of a kind that do not get through, or did not when last tried, for an hour.", "kind")
	descFailing            = describe("failing", "1 while this one does not get through, or did not when last tried, for an hour; absent otherwise. At most 200 are ever named. A lane is named service:Operation account region.", "kind", "name")
	descFailingSince       = describe("failing_since_timestamp_seconds", "Since when, in Unix time.", "kind", "name")

	descPeers = describe("peers", "Those of a kind that this worker has talked to; of lanes that failing_peers counts, this is the whole.", "kind")
	descInfo  = describe("info", "1; its labels say which worker this is.", "name", "worker")
	descBuild = describe("build_info", "1; its labels say what the worker was built from.", "version", "revision", "goversion")

	laneLabels      = []string{"action", "verb", "account", "region"}
	descRequests    = describe("lane_requests_total", "Requests made.", laneLabels...)
	descTargets     = describe("lane_targets_total", "Targets in them; over requests, the fill of batches.", laneLabels...)
	descThrottled   = describe("lane_throttled_total", "Targets that came back throttled.", laneLabels...)
	descUnavailable = describe("lane_unavailable_total", "Targets that came back unavailable.", laneLabels...)
	descWaiting     = describe("lane_waiting", "Targets that wait, those in backoff included.", laneLabels...)
	descUnderWay    = describe("lane_in_flight", "Requests under way.", laneLabels...)
	descDown        = describe("lane_down", "1 while the breaker is open.", laneLabels...)
	descOldest      = describe("lane_oldest_seconds", "How long the target has waited that waits longest; 0: none does.", laneLabels...)
	descAllowed     = describe("lane_allowed_rate", "Requests a second that the quotas allow now; absent where nothing limits them.", laneLabels...)
	descUsed        = describe("lane_used_rate", "Requests a second made in the last ten seconds or so.", laneLabels...)
	descDeferred    = describe("lane_deferred_total", "Messages deferred because their lane could take no more (it holds a bounded share of the places, and few while it is down), or because they had waited in it for RESCIND_PATIENCE.", "action", "account", "region")
	descHeld        = describe("lane_places", "Places taken, a command of many targets counting for several.", "action", "account", "region")
	descRate        = describe("quota_rate", "Calls a second that this quota allows now; absent where it is no limit.", "service", "operation", "account", "region")
)

// Metrics returns the worker's metrics. It may be registered once.
func (w *Worker) Metrics() prometheus.Collector { return w.metrics }

// Describe is part of prometheus.Collector.
func (m *metrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descOutcomes, descMessages, descInFlight, descPolls, descOwn, descEvents, descReady, descRequests, descTargets,
		descThrottled, descUnavailable, descWaiting, descUnderWay, descDown, descOldest, descAllowed, descUsed,
		descDeferred, descHeld, descRate, descDeadLetterFailures, descFailingPeers, descFailing, descFailingSince, descPeers, descInfo, descBuild,
	} {
		out <- d
	}
	m.took.Describe(out)
	m.meter.Describe(out)
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
		count(descOutcomes, float64(o.count), key.service, string(key.status), strconv.FormatBool(key.repeated))
	}
	m.mu.Unlock()
	m.took.Collect(out)
	m.meter.Collect(out)
	q := m.w.queue.Stats()
	for what, n := range map[string]int64{
		"received": q.Received, "again": q.Again, "deleted": q.Deleted, "released": q.Released, "deferred": q.Deferred,
		"dead-lettered": q.DeadLettered, "extended": q.Extended, "lost": q.Lost, "forged": q.Forged,
	} {
		count(descMessages, float64(n), what)
	}
	gauge(descInFlight, float64(q.InFlight))
	count(descPolls, float64(q.Polls))
	count(descOwn, float64(m.w.pipeline.OwnEvents()))
	events := m.w.pipeline.StateEvents()
	for what, n := range map[string]int64{"stored": events.Stored, "ignored": events.Ignored, "strange": events.Strange} {
		count(descEvents, float64(n), what)
	}
	gauge(descReady, truth(len(m.w.Ready()) == 0))
	count(descDeadLetterFailures, float64(q.DeadLetterFailures))
	m.collectFailing(gauge)
	gauge(descInfo, 1, m.w.o.Name, m.w.name)
	b := buildinfo.Read()
	gauge(descBuild, 1, b.Version, b.Commit, b.Go)
	m.w.pipeline.Visit(pipeline.Visitor{Lane: func(key pipeline.LaneKey, s lane.Stats) {
		labels := []string{key.Action, key.Verb, key.Account, key.Region}
		count(descRequests, float64(s.Requests), labels...)
		count(descTargets, float64(s.Items), labels...)
		count(descThrottled, float64(s.Throttled), labels...)
		count(descUnavailable, float64(s.Unavailable), labels...)
		gauge(descWaiting, float64(s.Waiting), labels...)
		gauge(descUnderWay, float64(s.InFlight), labels...)
		gauge(descDown, truth(s.Down), labels...)
		gauge(descOldest, s.Oldest.Seconds(), labels...)
		if key.Account != pipeline.Other && s.Allowed > 0 {
			gauge(descAllowed, s.Allowed, labels...)
		}
		gauge(descUsed, s.Used, labels...)
	}, Quota: func(key pipeline.QuotaKey, rate float64) {
		if rate > 0 {
			gauge(descRate, rate, key.Service, key.Operation, key.Account, key.Region)
		}
	}, Group: func(action, account, region string, places, deferred int) {
		count(descDeferred, float64(deferred), action, account, region)
		gauge(descHeld, float64(places), action, account, region)
	}})
}

func (m *metrics) collectFailing(gauge func(*prometheus.Desc, float64, ...string)) {
	counts := make(map[trouble.Kind]int)
	for _, f := range m.w.Failing() {
		counts[f.Kind]++
		if f.Named {
			gauge(descFailing, 1, string(f.Kind), f.Name)
			gauge(descFailingSince, float64(f.Since.UnixMilli())/1000, string(f.Kind), f.Name)
		}
	}
	for _, kind := range trouble.Kinds {
		gauge(descFailingPeers, float64(counts[kind]), string(kind))
		gauge(descPeers, float64(m.w.trouble.Known(kind)), string(kind))
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
