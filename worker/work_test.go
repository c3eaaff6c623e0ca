package worker_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker"
)

const (
	workSaid         = "the last minute's work"
	deadLetteredSaid = "message dead-lettered"
)

// logged runs a test on a rig whose worker logs.
func logged(t *testing.T, test func(r *rig, logs *observer.ObservedLogs), settings ...setting) {
	t.Helper()
	core, logs := observer.New(zapcore.InfoLevel)
	inBubble(t, func(r *rig) { test(r, logs) }, append(settings, func(_ *awssim.Options, o *worker.Options) { o.Log = zap.New(core) })...)
}

// TestEachMinuteOfWorkIsALine: a minute with work in it has one line with what was done; one without has none.
func TestEachMinuteOfWorkIsALine(t *testing.T) {
	logged(t, func(r *rig, logs *observer.ObservedLogs) {
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		if n := logs.FilterMessage(workSaid).Len(); n != 0 {
			t.Errorf("%d lines about minutes without work", n)
		}
		r.sim.PutJobs(awssim.Job{ID: "runnable", State: "RUNNABLE"}, awssim.Job{ID: "running", State: "RUNNING"})
		r.send(cancelJob("one", "runnable"), cancelJob("two", "running"), cancelJob("three", "nowhere"), "{}")
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		lines := logs.FilterMessage(workSaid).All()
		if len(lines) != 1 || lines[0].Level != zap.InfoLevel {
			t.Fatalf("%d lines about one minute of work: %v", len(lines), lines)
		}
		want := "map[deadLettered:1 deferred:0 ended:4 held:0 not_run:1 not_stopped:2 received:4 stopped:1 throttled:0]"
		if got := fmt.Sprint(lines[0].ContextMap()); got != want {
			t.Errorf("it says %s, want %s", got, want)
		}
		// What is repeated has not ended again.
		r.send(cancelJob("one", "runnable"))
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		lines = logs.FilterMessage(workSaid).All()
		if len(lines) != 2 || lines[1].ContextMap()["received"] != int64(1) || lines[1].ContextMap()["ended"] != int64(0) {
			t.Errorf("lines: %v", lines)
		}
	})
}

// TestADeadLetteredMessageIsALine says which, of which command, and why.
func TestADeadLetteredMessageIsALine(t *testing.T) {
	logged(t, func(r *rig, logs *observer.ObservedLogs) {
		r.send(`{"id":"one","action":"batch:CancelJob","parameters":{"jobId":""}}`, "no JSON\u202e")
		r.settled(2, time.Minute)
		synctest.Wait()
		lines := logs.FilterMessage(deadLetteredSaid).All()
		if len(lines) != 2 {
			t.Fatalf("%d lines: %v", len(lines), lines)
		}
		slices.SortFunc(lines, func(a, b observer.LoggedEntry) int {
			return strings.Compare(fmt.Sprint(b.ContextMap()["field"]), fmt.Sprint(a.ContextMap()["field"]))
		})
		first := lines[0].ContextMap()
		if lines[0].Level != zap.WarnLevel || first["command"] != "one" || first["field"] != "parameters.jobId" || first["reason"] == "" || first["queue"] != r.queue ||
			!slices.ContainsFunc(r.sim.Messages(outcomesQueue), func(m awssim.Message) bool { return strings.Contains(m.Body, fmt.Sprint(first["message"])) }) {
			t.Errorf("it says %v", first)
		}
	})
}

// TestTheStartSaysWhatTheWorkerIs in one line.
func TestTheStartSaysWhatTheWorkerIs(t *testing.T) {
	logged(t, func(r *rig, logs *observer.ObservedLogs) {
		time.Sleep(time.Second)
		synctest.Wait()
		lines := logs.FilterMessage("taking commands").All()
		if len(lines) != 1 {
			t.Fatalf("%d lines", len(lines))
		}
		said := lines[0].ContextMap()
		for name, want := range map[string]string{
			"name": "over-budget", "account": "123456789012", "regions": "[us-east-1]", "queues": "[" + r.queue + "]", "deadLetterQueues": "[" + r.deadLetters + "]",
			"topic": r.topic, "ledger": "bolt:rescind.db", "endpoint": "http://awssim.internal", "credentials": "awssim",
		} {
			if got := fmt.Sprint(said[name]); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
		for _, name := range []string{"version", "commit", "worker"} {
			if said[name] == "" || said[name] == nil {
				t.Errorf("there is no %s", name)
			}
		}
	}, func(_ *awssim.Options, o *worker.Options) { o.Name, o.LedgerName = "over-budget", "bolt:rescind.db" })
}
