package main_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker/outcome"
)

// build compiles the binary, with the race detector where the test has it.
func build(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "rescind")
	args := []string{"build", "-o", binary}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "-race" && s.Value == "true" {
				args = append(args, "-race")
			}
		}
	}
	if out, err := exec.CommandContext(t.Context(), "go", append(args, ".")...).CombinedOutput(); err != nil {
		t.Fatalf("building rescind: %v\n%s", err, out)
	}
	return binary
}

const outcomesQueue = "outcomes"

// harness is an AWS simulator on a port of its own, with the queues and the topic that a worker needs,
// and a ledger file that its workers use one after the other.
type harness struct {
	*awssim.Sim
	t           *testing.T
	binary      string
	dir         string // home of every process
	url         string // of AWS
	queue       string // URL of the queue of commands
	deadLetters string // URL of its dead-letter queue
	topic       string // ARN of the results topic

	batchCalls atomic.Int64 // requests to Batch that have arrived, answered or not
	onSend     atomic.Pointer[func()]
}

// newHarness serves a simulator until the test ends. It has no quotas unless o sets them: the worker's
// own, by RESCIND_QUOTAS, then say how fast it goes.
func newHarness(t *testing.T, binary string, o awssim.Options) *harness {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	h := &harness{
		t: t, binary: binary, dir: t.TempDir(),
		url: "http://" + server.Listener.Addr().String(),
	}
	o.BaseURL, o.History = h.url, true
	quotas := map[string]awssim.Quota{}
	for name := range awssim.DefaultQuotas() {
		quotas[name] = o.Quotas[name]
	}
	o.Quotas = quotas
	h.Sim = awssim.New(o)
	server.Config.Handler = h
	server.Start()
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		server.Close()
	})
	var err error
	h.queue, h.deadLetters, err = h.CreateQueueWithDeadLetters("commands", 1000, nil)
	h.must(err)
	_, err = h.CreateQueue(outcomesQueue, nil)
	h.must(err)
	h.topic, err = h.CreateTopic("outcomes")
	h.must(err)
	_, err = h.Subscribe(h.topic, outcomesQueue, true)
	h.must(err)
	return h
}

func (h *harness) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// ServeHTTP serves AWS, and counts what arrives for Batch. Where onSend is set it is called before and after messages are
// put on a queue.
func (h *harness) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if onSend := h.onSend.Load(); onSend != nil && r.Header.Get("X-Amz-Target") == "AmazonSQS.SendMessageBatch" {
		(*onSend)()
		defer (*onSend)()
	}
	if strings.HasPrefix(r.URL.Path, "/v1/") { // as every path of Batch's begins
		h.batchCalls.Add(1)
	}
	h.Handler().ServeHTTP(w, r)
}

// endLeases makes the messages of a killed worker visible again, as the end of their leases would a
// minute later. It repeats this, because a poll of the killed worker that the simulator still serves
// may receive some of them again.
func (h *harness) endLeases() {
	h.t.Helper()
	eventually(h.t, 30*time.Second, "every message of the killed worker is visible", func() bool {
		h.EndLeases(h.queue)
		return h.Depth(h.queue).InFlight == 0
	})
}

// jobs puts n cancellable Batch jobs into the simulator, and a command for each on the queue.
func (h *harness) jobs(n int) {
	h.t.Helper()
	bodies := make([]string, n)
	for i := range bodies {
		job := fmt.Sprintf("job-%d", i)
		h.PutJobs(awssim.Job{ID: job})
		bodies[i] = cancelJob(fmt.Sprintf("c-%d", i), job)
	}
	h.must(h.Send(h.queue, bodies...))
}

// cancelJob is a command for one Batch job.
func cancelJob(id, job string) string {
	return fmt.Sprintf(`{"id":%q,"action":"batch:CancelJob","parameters":{"jobId":%q},"reason":"over budget"}`, id, job)
}

// outcomes returns the outcomes published so far by command id. It fails the test if a command has
// two different ones.
func (h *harness) outcomes() map[string]outcome.Data {
	h.t.Helper()
	data, bodies := map[string]outcome.Data{}, map[string]string{}
	for _, m := range h.Messages(outcomesQueue) {
		e, err := outcome.Parse([]byte(m.Body))
		h.must(err)
		if first, again := bodies[e.Data.CommandID]; again && first != m.Body {
			h.t.Fatalf("command %s has two outcomes:\n%s\n%s", e.Data.CommandID, first, m.Body)
		}
		data[e.Data.CommandID], bodies[e.Data.CommandID] = e.Data, m.Body
	}
	return data
}

// parse reads one outcome.
func (h *harness) parse(body string) outcome.Data {
	h.t.Helper()
	e, err := outcome.Parse([]byte(body))
	h.must(err)
	return e.Data
}

// published counts the outcomes published so far, with repetitions.
func (h *harness) published() int { return h.Depth(outcomesQueue).Visible }

// leaseAndMore is how long a worker may take to finish. On a busy machine the answer to a receive can
// be lost; its messages are visible again when their leases end, after a minute.
const leaseAndMore = 90 * time.Second

// allCancelled waits until n commands have outcomes and the queue is empty. It checks that all are
// cancelled, by their outcomes and by the jobs' states.
func (h *harness) allCancelled(n int) map[string]outcome.Data {
	h.t.Helper()
	eventually(h.t, leaseAndMore, "the queue is empty", func() bool { return h.Depth(h.queue) == awssim.Depth{} && h.published() >= n })
	got := h.outcomes()
	if len(got) != n {
		h.t.Errorf("%d commands have an outcome, want %d", len(got), n)
	}
	for id, d := range got {
		if d.Status != handlers.Cancelled {
			h.t.Errorf("command %s ended as %s %s", id, d.Status, d.Message)
		}
	}
	for _, j := range h.Jobs() {
		if !j.Cancelled || j.State != "FAILED" || j.Reason != "over budget" {
			h.t.Errorf("job %s is %s with reason %q, cancelled: %t", j.ID, j.State, j.Reason, j.Cancelled)
		}
	}
	if d := h.Depth(h.deadLetters); d != (awssim.Depth{}) {
		h.t.Errorf("messages were dead-lettered: %+v", d)
	}
	return got
}

// requests returns the requests of one operation that were answered so far.
func (h *harness) requests(service, operation string) []awssim.Record {
	var of []awssim.Record
	for _, r := range h.History() {
		if r.Service == service && r.Operation == operation {
			of = append(of, r)
		}
	}
	return of
}

// process is one run of the binary.
type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	log   journal
	ended chan struct{} // closed once it has ended
}

// environment returns all variables of a process; extra ones override those of a worker.
func (h *harness) environment(extra ...string) []string {
	return append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + h.dir,
		"AWS_ENDPOINT_URL=" + h.url, "AWS_REGION=us-east-1", "AWS_EC2_METADATA_DISABLED=true",
		"AWS_ACCESS_KEY_ID=AKIAANY", "AWS_SECRET_ACCESS_KEY=any",
		"RESCIND_QUEUE_URL=" + h.queue, "RESCIND_RESULTS_TOPIC_ARN=" + h.topic,
		"RESCIND_LEDGER=bolt:" + filepath.Join(h.dir, "ledger.db"), "RESCIND_ADMIN_ADDR=127.0.0.1:0",
	}, extra...)
}

// worker starts "rescind worker", and kills it at the end of t if it still runs.
func (h *harness) worker(t *testing.T, extra ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(h.binary, "worker"), ended: make(chan struct{})}
	p.cmd.Dir, p.cmd.Env = h.dir, h.environment(extra...)
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("starting rescind: %v", err)
	}
	go func() {
		defer close(p.ended)
		var exited *exec.ExitError
		if err := p.cmd.Wait(); err != nil && !errors.As(err, &exited) {
			p.t.Errorf("waiting for rescind: %v", err)
		}
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it has ended, in most tests
		<-p.ended
		if t.Failed() {
			t.Logf("process %d said last:\n%s", p.cmd.Process.Pid, p.log.tail())
		}
	})
	return p
}

// runs waits until the worker takes commands, and returns the address of its admin server.
func (p *process) runs() string {
	p.t.Helper()
	p.logged("taking commands")
	return p.logged("serving health and metrics")
}

// logged waits for a line in the log, and returns its address, where it has one.
func (p *process) logged(message string) string {
	p.t.Helper()
	var line struct{ Msg, Address string }
	eventually(p.t, 20*time.Second, fmt.Sprintf("the worker says %q", message), func() bool {
		for text := range strings.Lines(p.log.String()) {
			if json.Unmarshal([]byte(text), &line) == nil && line.Msg == message {
				return true
			}
		}
		if p.hasEnded() {
			p.t.Fatalf("rescind ended with %d before it said %q:\n%s", p.cmd.ProcessState.ExitCode(), message, p.log.tail())
		}
		return false
	})
	return line.Address
}

func (p *process) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// signal sends a signal to the process.
func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatalf("sending %s: %v", s, err)
	}
}

// exits waits for the end and returns the exit code; -1 where a signal ended it.
func (p *process) exits(within time.Duration) int {
	p.t.Helper()
	eventually(p.t, within, "the process has ended", p.hasEnded)
	return p.cmd.ProcessState.ExitCode()
}

// stops asks the process to stop in order and wants it to.
func (p *process) stops() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	if code := p.exits(20 * time.Second); code != 0 {
		p.t.Errorf("exit code %d after SIGTERM, want 0", code)
	}
}

// journal records what a process prints.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

func (j *journal) tail() string {
	const most = 4000
	s := j.String()
	return cmp.Or(s[max(0, len(s)-most):], "nothing")
}

// eventually waits, in real time, for something that another process does.
func eventually(t testing.TB, within time.Duration, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(within); !is(); {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("after %s it is not so that %s", within, what)
		}
	}
}
