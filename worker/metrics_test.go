package worker_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker"
)

// descText takes a metric's name and labels from the text of its description.
var descText = regexp.MustCompile(`fqName: "([^"]+)".*variableLabels: \{([^}]*)\}`)

// tableRow is a row of the table of metrics in deploy/OPERATIONS.md: name, type, labels, meaning.
var tableRow = regexp.MustCompile("(?m)^\\| `(rescind_[a-z_]+)` \\| (counter|gauge|histogram) \\| ([^|]*) \\| [^|]+ \\|$")

// TestMetricsAreDocumented holds the table of metrics in deploy/OPERATIONS.md to those that there are, both ways.
func TestMetricsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../deploy/OPERATIONS.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := make(map[string]string) // labels by name
	types := make(map[string]string)
	for _, m := range tableRow.FindAllStringSubmatch(string(text), -1) {
		documented[m[1]] = strings.NewReplacer("`", "", " ", "").Replace(m[3])
		types[m[1]] = m[2]
	}
	inBubble(t, func(r *rig) {
		descs := make(chan *prometheus.Desc)
		go func() {
			defer close(descs)
			r.w.Metrics().Describe(descs)
		}()
		for d := range descs {
			m := descText.FindStringSubmatch(d.String())
			labels, there := documented[m[1]]
			if !there || labels != m[2] {
				t.Errorf("deploy/OPERATIONS.md has no row of %s with the labels %q: %q", m[1], m[2], labels)
			}
			delete(documented, m[1])
		}
		for name := range documented {
			t.Errorf("deploy/OPERATIONS.md has %s, which is no metric", name)
		}
		for name, family := range measure(r) {
			if kind := family.kind; types[name] != kind {
				t.Errorf("deploy/OPERATIONS.md has %s as a %s, and it is a %s", name, types[name], kind)
			}
		}
	})
}

// measure gathers a worker's metrics, once it has done something of everything.
func measure(r *rig) map[string]family {
	r.t.Helper()
	r.sim.PutJobs(awssim.Job{ID: "job", State: "RUNNABLE"})
	r.send(cancelJob("one", "job"), "{}")
	r.settled(2, time.Minute)
	synctest.Wait()
	return families(r)
}

// family is a metric with its values.
type family struct {
	kind    string // counter, gauge, histogram
	samples []sample
}

type sample struct {
	labels []string // values, by the labels' names
	value  float64
	count  uint64 // of a histogram
}

func families(r *rig) map[string]family {
	r.t.Helper()
	registry := prometheus.NewPedanticRegistry()
	r.must(registry.Register(r.w.Metrics()))
	found, err := registry.Gather()
	r.must(err)
	byName := make(map[string]family)
	for _, each := range found {
		f := family{kind: strings.ToLower(each.GetType().String())}
		for _, m := range each.GetMetric() {
			one := sample{value: m.GetCounter().GetValue() + m.GetGauge().GetValue(), count: m.GetHistogram().GetSampleCount()}
			for _, l := range m.GetLabel() {
				one.labels = append(one.labels, l.GetValue())
			}
			f.samples = append(f.samples, one)
		}
		byName[each.GetName()] = f
	}
	return byName
}

// TestMetricsKeepToConventions has Prometheus' own linter look at them.
func TestMetricsKeepToConventions(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.sim.SetDown("batch", true)
		r.sim.PutJobs(awssim.Job{ID: "down", State: "RUNNABLE"})
		r.send(cancelJob("down", "down"))
		time.Sleep(20 * time.Second) // so that a lane fails
		got := families(r)
		if len(got["rescind_failing"].samples) == 0 {
			t.Error("nothing fails")
		}
		problems, err := testutil.CollectAndLint(r.w.Metrics())
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range problems {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
		r.sim.SetDown("batch", false)
		r.settled(1, time.Hour)
	})
}

// TestNoLimitIsNoMetric: what nothing limits has no rate, where 0 would read as no calls at all.
func TestNoLimitIsNoMetric(t *testing.T) {
	for name, row := range map[string]struct {
		quotas  worker.Quotas
		metrics []string // of quotas
	}{
		"limited":   {worker.Quotas{"batch:CancelJobs": {Rate: 20, Burst: 40}}, []string{"* 50", "CancelJobs 20"}},
		"unlimited": {worker.Quotas{"batch:*": {}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				got := measure(r)
				var rates []string
				for _, m := range got["rescind_quota_rate"].samples {
					rates = append(rates, fmt.Sprint(m.labels[1], " ", m.value)) // account, operation, region, service
				}
				slices.Sort(rates)
				if !slices.Equal(rates, row.metrics) {
					t.Errorf("quotas %q, want %q", rates, row.metrics)
				}
				if allowed := len(got["rescind_lane_allowed_rate"].samples); (allowed > 0) != (row.metrics != nil) {
					t.Errorf("%d lanes have an allowed rate", allowed)
				}
			}, func(_ *awssim.Options, o *worker.Options) { o.Quotas = row.quotas })
		})
	}
}

// TestTopicAndLedgerAreMeasured: requests to the topic that fail are counted, and those that do not are timed, and so
// are the ledger's operations.
func TestTopicAndLedgerAreMeasured(t *testing.T) {
	inBubble(t, func(r *rig) {
		before := families(r)
		if n := before["rescind_publish_errors_total"].samples[0].value; n != 0 {
			t.Errorf("%v errors before anything was published", n)
		}
		if n := len(before["rescind_ledger_errors_total"].samples); n != 7 {
			t.Errorf("%d operations of the ledger have a count of errors, want 7", n)
		}
		r.sim.SetDown("sns", true)
		r.sim.PutJobs(awssim.Job{ID: "job", State: "RUNNABLE"})
		r.send(cancelJob("one", "job"))
		time.Sleep(10 * time.Second)
		r.sim.SetDown("sns", false)
		r.settled(1, time.Minute)
		got := families(r)
		failed, all := got["rescind_publish_errors_total"].samples[0].value, got["rescind_publish_seconds"].samples[0].count
		if failed < 2 || all != uint64(failed)+1 {
			t.Errorf("%v of %d requests failed, want all but one", failed, all)
		}
		operations := make(map[string]uint64)
		for _, m := range got["rescind_ledger_seconds"].samples {
			operations[m.labels[0]] = m.count
		}
		if operations["claim"] != 1 || operations["complete"] != 1 || operations["progress"] != 1 {
			t.Errorf("operations of the ledger: %v", operations)
		}
		if build := got["rescind_build_info"].samples; len(build) != 1 || len(build[0].labels) != 3 || build[0].value != 1 {
			t.Errorf("build_info: %v", build)
		}
	})
}
