// These tests run the real binary, as an operator does: environment, signals, exit codes. The AWS
// simulator runs in the test's process, on a port.
package main_test

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
)

// TestProcesses builds the binary once for all of its tests, which run side by side.
func TestProcesses(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped by -short: the tests of the real process, its signals and exit codes; run go test without -short")
	}
	binary := build(t)
	for _, each := range []struct {
		name string
		test func(*testing.T, string)
	}{
		{"the results topic down", topicDown}, // the longest first
		{"SIGKILL and restart", killAndRestart},
		{"SIGTERM with a thousand in flight", stopWithAThousandInFlight},
		{"the aws CLI as the client", awsCLI},
		{"a second worker on one ledger", secondWorker},
		{"a second signal", secondSignal},
		{"misuse", misuses},
		{"cancel", cancels},
	} {
		t.Run(each.name, func(t *testing.T) {
			t.Parallel()
			each.test(t, binary)
		})
	}
}

// reaction is how long the worker may take to see a signal, on a busy machine.
const reaction = time.Second

func stopWithAThousandInFlight(t *testing.T, binary string) {
	const commands, window = 1500, 1000
	h := newHarness(t, binary, awssim.Options{Faults: awssim.Faults{
		"batch:CancelJobs": {Late: 1, LateBy: time.Second}, // so that there are calls under way
	}})
	h.jobs(commands)
	first := h.worker(t, fmt.Sprintf("RESCIND_MAX_IN_FLIGHT=%d", window), "RESCIND_QUOTAS=batch:CancelJobs=3/1")
	eventually(t, 30*time.Second, "a thousand are in flight and some are reported", func() bool {
		return h.Depth(h.queue).InFlight >= window && h.published() > 0
	})
	asked := time.Now()
	first.stops()

	reported := h.outcomes()
	// Messages of the worker are visible at once; those that it had deferred, within ten seconds.
	deferred := commands - window*3/4 - len(reported)
	if left := h.Depth(h.queue); left.InFlight+left.Delayed > max(deferred, 0)+len(reported) {
		t.Errorf("after the exit %+v and %d are reported: want at most the deferred ones hidden", left, len(reported))
	}
	eventually(t, 15*time.Second, "what was deferred is visible", func() bool {
		left := h.Depth(h.queue)
		return left.InFlight+left.Delayed == 0
	})
	left := h.Depth(h.queue)
	if left.Visible+len(reported) != commands {
		t.Errorf("after the exit %+v and %d are reported: want all %d commands either reported or visible", left, len(reported), commands)
	}
	if left.Visible < commands-window {
		t.Errorf("%d are left: this stop shows nothing", left.Visible)
	}
	underWay := 0
	for _, r := range h.requests("batch", "CancelJobs") {
		if r.Began.Before(asked) && r.Ended.After(asked) && r.Status == http.StatusOK {
			underWay++
		}
		if r.Began.After(asked.Add(reaction)) {
			t.Errorf("a cancelling call began %s after the signal", r.Began.Sub(asked))
		}
	}
	if underWay == 0 {
		t.Error("no call was under way at the signal: this stop shows nothing")
	}
	for _, r := range h.requests("sqs", "ReceiveMessage") {
		if r.Began.After(asked.Add(reaction)) {
			t.Errorf("a poll began %s after the signal", r.Began.Sub(asked))
		}
	}
	unreported := 0
	for _, j := range h.Jobs() {
		if _, ok := reported["c"+strings.TrimPrefix(j.ID, "job")]; j.Cancelled && !ok {
			unreported++
		}
	}
	if unreported > 0 {
		t.Errorf("%d jobs were cancelled and not reported before the exit", unreported)
	}

	h.SetFaults(nil)
	second := h.worker(t)
	h.allCancelled(commands)
	second.stops()
	called := 0
	for _, r := range h.requests("batch", "CancelJobs") {
		called += len(r.Items)
	}
	if called != commands {
		t.Errorf("%d jobs stood in cancelling calls, want each of the %d once", called, commands)
	}
}

// killAndRestart kills workers at moments that a seed decides: after so many reported commands, and a
// little time. The messages of a killed worker are made visible at once, without waiting for the end
// of its leases.
func killAndRestart(t *testing.T, binary string) {
	const commands, rounds = 900, 5
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	h := newHarness(t, binary, awssim.Options{Seed: seed, Latency: 5 * time.Millisecond, Faults: awssim.Faults{
		"batch:CancelJobs": {Lost: 0.1, Doubtful: 0.1, Late: 0.5, LateBy: 50 * time.Millisecond},
		"sns:PublishBatch": {Lost: 0.05},
		// A kill between publishing an outcome and deleting its message makes it be published again.
		"sqs:DeleteMessageBatch": {Late: 1, LateBy: 300 * time.Millisecond},
	}})
	h.jobs(commands)
	toRepeat := 0
	for range rounds {
		p := h.worker(t, "RESCIND_QUOTAS=batch:CancelJobs=5/1")
		target := h.published() + random.IntN(100)
		eventually(t, 20*time.Second, "the worker works", func() bool {
			return h.Depth(h.queue).InFlight > 0 && h.published() >= target
		})
		<-time.After(time.Duration(random.IntN(100)) * time.Millisecond)
		p.signal(syscall.SIGKILL)
		if code := p.exits(5 * time.Second); code != -1 {
			t.Fatalf("exit code %d before it was killed", code)
		}
		h.endLeases()
		reported := h.outcomes()
		for _, m := range h.Messages(h.queue) {
			var c struct{ ID string }
			h.must(json.Unmarshal([]byte(m.Body), &c))
			if _, ok := reported[c.ID]; ok {
				toRepeat++
			}
		}
	}
	if left := h.Depth(h.queue).Visible; left == 0 {
		t.Fatal("nothing is left: these kills show nothing")
	}
	h.SetFaults(nil)
	last := h.worker(t)
	got := h.allCancelled(commands)
	last.stops()
	resumed := 0
	for _, d := range got {
		if d.Resumed {
			resumed++
		}
	}
	t.Logf("%d of %d commands were resumed; %d were reported and not yet deleted at a kill, %d outcomes were published again",
		resumed, commands, toRepeat, h.published()-commands)
	if resumed == 0 || toRepeat == 0 {
		t.Error("these kills show nothing")
	}
}

func secondSignal(t *testing.T, binary string) {
	const commands = 20
	h := newHarness(t, binary, awssim.Options{})
	h.jobs(commands)
	h.SetHang("batch", true)
	p := h.worker(t)
	eventually(t, 20*time.Second, "a call is under way", func() bool { return h.batchCalls.Load() > 0 })
	p.signal(syscall.SIGTERM)
	p.logged("stopping: finishing what is under way, releasing the rest")
	// Its call hangs, so that it would go on for the 25 s of RESCIND_DRAIN.
	<-time.After(reaction)
	if p.hasEnded() {
		t.Fatal("it did not wait for the call under way")
	}
	p.signal(syscall.SIGINT)
	if code := p.exits(2 * time.Second); code != 1 {
		t.Errorf("exit code %d after a second signal, want 1", code)
	}
	if !strings.Contains(p.log.String(), "Nothing on a queue is lost") {
		t.Error("the second signal is not said to lose nothing")
	}
	h.SetHang("batch", false)
	h.endLeases()
	next := h.worker(t)
	h.allCancelled(commands)
	next.stops()
}

// topicDown checks invariant 8: while the results topic is down, nothing new is received, finished work
// waits, and /readyz says why.
func topicDown(t *testing.T, binary string) {
	const commands, window, outage = 2500, 500, 5 * time.Second
	h := newHarness(t, binary, awssim.Options{})
	h.jobs(commands)
	p := h.worker(t, fmt.Sprintf("RESCIND_MAX_IN_FLIGHT=%d", window), "RESCIND_QUOTAS=batch:CancelJobs=10/1")
	ready := "http://" + p.runs() + "/readyz"
	eventually(t, 20*time.Second, "the worker works", func() bool { return h.published() > 100 })
	if code, why := get(t, ready); code != http.StatusOK {
		t.Errorf("/readyz before the outage: %d %s", code, why)
	}

	h.SetDown("sns", true)
	var failed time.Time // when the first publish failed
	eventually(t, 10*time.Second, "a publish has failed", func() bool {
		all := h.requests("sns", "PublishBatch")
		i := slices.IndexFunc(all, func(r awssim.Record) bool { return r.Fault == awssim.Down })
		if i >= 0 {
			failed = all[i].Ended
		}
		return i >= 0
	})
	eventually(t, 5*time.Second, "/readyz names the topic", func() bool {
		code, why := get(t, ready)
		return code == http.StatusServiceUnavailable && strings.Contains(why, "stops all:") && strings.Contains(why, "topic")
	})
	<-time.After(outage)
	if left := h.Depth(h.queue).Visible; left == 0 {
		t.Error("nothing waits on the queue: this outage shows nothing")
	}
	during := h.published()
	over := time.Now()
	h.SetDown("sns", false)

	eventually(t, 10*time.Second, "/readyz is well again", func() bool { code, _ := get(t, ready); return code == http.StatusOK })
	h.allCancelled(commands)
	p.stops()
	for _, r := range h.requests("sqs", "ReceiveMessage") {
		if r.Began.After(failed.Add(2*time.Second)) && r.Began.Before(over) {
			t.Errorf("a poll began %s after the first failed publish", r.Began.Sub(failed))
		}
	}
	t.Logf("%d of %d commands were reported before the outage", during, commands)
}

// get asks /readyz.
func get(t *testing.T, url string) (code int, says string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || strings.HasPrefix(string(body), "ready\n") != (res.StatusCode == http.StatusOK) {
		t.Fatalf("/readyz: %d %s (%v)", res.StatusCode, body, err)
	}
	return res.StatusCode, string(body)
}

// secondWorker checks that a ledger file serves one worker only.
func secondWorker(t *testing.T, binary string) {
	const commands = 10
	h := newHarness(t, binary, awssim.Options{})
	first := h.worker(t)
	first.runs()
	second := h.worker(t)
	if code := second.exits(20 * time.Second); code != 1 {
		t.Errorf("the second worker's exit code is %d, want 1", code)
	}
	for _, says := range []string{"another process has it open", "a file of its own"} {
		if !strings.Contains(second.log.String(), says) {
			t.Errorf("the second worker does not say %q:\n%s", says, second.log.tail())
		}
	}
	h.jobs(commands)
	for _, d := range h.allCancelled(commands) {
		if d.Status != handlers.Cancelled || d.Resumed {
			t.Errorf("the first worker is not left alone: %+v", d)
		}
	}
	first.stops()
}
