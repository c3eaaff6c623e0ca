package worker_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker"
	"github.com/rescindhq/rescind/worker/ledger"
)

// between is a peer between the worker and AWS: answer, where it is set and returns an answer,
// answers in AWS's place.
type between struct {
	aws.HTTPClient
	answer atomic.Pointer[func(operation string) *http.Response]
}

func (b *between) Do(r *http.Request) (*http.Response, error) {
	if answer := b.answer.Load(); answer != nil {
		if res := (*answer)(operationOf(r)); res != nil {
			res.Request = r
			return res, nil
		}
	}
	return b.HTTPClient.Do(r)
}

// operationOf is the operation of a request, as far as the tests need it.
func operationOf(r *http.Request) string {
	if target := r.Header.Get("X-Amz-Target"); target != "" {
		return target[strings.LastIndexByte(target, '.')+1:]
	}
	if r.Body == nil || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
		return r.URL.Path
	}
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	_, action, _ := strings.Cut(string(body), "Action=")
	action, _, _ = strings.Cut(action, "&")
	return action
}

// refuse makes it answer requests of some operations with an AWS error in JSON.
func (b *between) refuse(status int, code, message string, operations ...string) {
	b.with(status, fmt.Sprintf(`{"__type":"com.amazonaws.x#%s","code":%q,"message":%q}`, code, code, message), http.Header{
		"Content-Type": {"application/x-amz-json-1.0"}, "X-Amzn-Requestid": {"r-1"}, "X-Amzn-Errortype": {code},
	}, operations...)
}

func (b *between) with(status int, body string, header http.Header, operations ...string) {
	answer := func(operation string) *http.Response {
		if !slices.Contains(operations, operation) {
			return nil
		}
		return &http.Response{
			StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: header.Clone(),
			Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
		}
	}
	b.answer.Store(&answer)
}

func (b *between) pass() { b.answer.Store(nil) }

// foul is a rig whose peers fail, and what the worker says of it.
type foul struct {
	*rig
	logs     *observer.ObservedLogs
	between  *between
	diskFull atomic.Bool
	sent     int
}

// inFoulWeather runs a test on a worker that says what it does.
func inFoulWeather(t *testing.T, test func(f *foul)) {
	t.Helper()
	inBubble(t, func(r *rig) {
		r.must(r.stop())
		core, logs := observer.New(zap.InfoLevel)
		f := &foul{rig: r, logs: logs}
		c := r.sim.Config()
		f.between = &between{HTTPClient: c.HTTPClient}
		c.HTTPClient = f.between
		r.startOn(worker.Options{AWS: c, Log: zap.New(core)}, func(l ledger.Ledger) ledger.Ledger {
			return broken{failing{l, &f.diskFull}}
		})
		time.Sleep(time.Second)
		synctest.Wait()
		logs.TakeAll()
		test(f)
	}, func(s *awssim.Options, _ *worker.Options) { s.History = false })
}

// feed sends two commands a second, for a time.
func (f *foul) feed(lasting time.Duration) {
	for end := time.Now().Add(lasting); time.Now().Before(end); time.Sleep(500 * time.Millisecond) {
		job := fmt.Sprintf("job-%d", f.sent)
		f.sim.PutJobs(awssim.Job{ID: job, State: "RUNNABLE"})
		f.send(cancelJob(fmt.Sprintf("c-%d", f.sent), job))
		f.sent++
	}
	synctest.Wait()
}

// lines are what was logged at info and above, but of what was done, and forgets it.
func (f *foul) lines() []string {
	var all []string
	for _, e := range f.logs.TakeAll() {
		if e.Message == workSaid || e.Message == deadLetteredSaid {
			continue
		}
		m := e.ContextMap()
		f.t.Logf("%s %s %v", e.Level.CapitalString(), e.Message, m)
		line := e.Message
		if name, ok := m["name"].(string); ok {
			line += " | " + strings.ReplaceAll(name, "http://"+hostOf(f.queue), "")
		}
		if why, ok := m["why"].(string); ok {
			line += " | " + why
		}
		all = append(all, line)
	}
	return all
}

// report is what /readyz says, without the line that says which worker this is.
func (f *foul) report() (ready bool, lines []string) {
	ready, lines = f.w.Report()
	if len(lines) < 2 || !strings.HasPrefix(lines[1], "name default; worker ") || !strings.Contains(lines[1], "; queues "+f.queue) {
		f.t.Errorf("/readyz does not say whose it is:\n%s", strings.Join(lines, "\n"))
	}
	return ready, slices.Delete(lines, 1, 2)
}

func hostOf(url string) string {
	_, rest, _ := strings.Cut(url, "://")
	host, _, _ := strings.Cut(rest, "/")
	return host
}

// gauge is the value of a metric with these labels; -1 where there is none.
func (f *foul) gauge(name string, labels ...string) float64 {
	registry := prometheus.NewPedanticRegistry()
	f.must(registry.Register(f.w.Metrics()))
	families, err := registry.Gather()
	f.must(err)
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			values := make([]string, 0, len(labels))
			for _, l := range m.GetLabel() {
				values = append(values, l.GetValue())
			}
			if slices.Equal(values, labels) {
				return m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	return -1
}
