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

// box is AWS in a box on a port of its own, with the queues and the topic that a worker needs,
// and a ledger file that its workers take over from each other.
type box struct {
	*awssim.Sim
	t      *testing.T
	binary string
	dir    string // home of every process
	url    string // of AWS
	queue  string // URL of the queue of commands
	buried string // URL of its dead-letter queue
	topic  string // ARN of the results topic

	batchCalls atomic.Int64 // requests to Batch that have arrived, answered or not
}

// newBox serves a box for the time of a test. Quotas are lifted unless o sets them: the worker's
// own, by RESCIND_QUOTAS, then say how fast it goes.
func newBox(t *testing.T, binary string, o awssim.Options) *box {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	b := &box{
		t: t, binary: binary, dir: t.TempDir(),
		url: "http://" + server.Listener.Addr().String(),
	}
	o.BaseURL, o.History = b.url, true
	quotas := map[string]awssim.Quota{}
	for name := range awssim.DefaultQuotas() {
		quotas[name] = o.Quotas[name]
	}
	o.Quotas = quotas
	b.Sim = awssim.New(o)
	server.Config.Handler = b
	server.Start()
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		server.Close()
	})
	var err error
	b.queue, b.buried, err = b.CreateQueueWithDeadLetters("commands", 1000, nil)
	b.must(err)
	_, err = b.CreateQueue(outcomesQueue, nil)
	b.must(err)
	b.topic, err = b.CreateTopic("outcomes")
	b.must(err)
	_, err = b.Subscribe(b.topic, outcomesQueue, true)
	b.must(err)
	return b
}

func (b *box) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// ServeHTTP serves AWS, and counts what arrives for Batch.
func (b *box) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/v1/") { // as every path of Batch's begins
		b.batchCalls.Add(1)
	}
	b.Handler().ServeHTTP(w, r)
}

// endLeases makes the messages that a dead worker held visible again, as the end of their leases
// would a minute later; the minute is not waited out. A poll of the dead worker's that the box
// has not found out about yet may take some once more.
func (b *box) endLeases() {
	b.t.Helper()
	eventually(b.t, 30*time.Second, "every message of the killed worker is visible", func() bool {
		b.EndLeases(b.queue)
		return b.Depth(b.queue).InFlight == 0
	})
}

// jobs puts n cancellable Batch jobs in, and a command for each on the queue.
func (b *box) jobs(n int) {
	b.t.Helper()
	bodies := make([]string, n)
	for i := range bodies {
		job := fmt.Sprintf("job-%d", i)
		b.PutJobs(awssim.Job{ID: job})
		bodies[i] = cancelJob(fmt.Sprintf("c-%d", i), job)
	}
	b.must(b.Send(b.queue, bodies...))
}

// cancelJob is a command for one Batch job.
func cancelJob(id, job string) string {
	return fmt.Sprintf(`{"id":%q,"action":"batch:CancelJob","parameters":{"jobId":%q},"reason":"over budget"}`, id, job)
}

// outcomes returns what was published so far by command id, and holds it to one event id and
// one content for each command.
func (b *box) outcomes() map[string]outcome.Data {
	b.t.Helper()
	data, bodies := map[string]outcome.Data{}, map[string]string{}
	for _, m := range b.Messages(outcomesQueue) {
		e, err := outcome.Parse([]byte(m.Body))
		b.must(err)
		if first, again := bodies[e.Data.CommandID]; again && first != m.Body {
			b.t.Fatalf("command %s has two outcomes:\n%s\n%s", e.Data.CommandID, first, m.Body)
		}
		data[e.Data.CommandID], bodies[e.Data.CommandID] = e.Data, m.Body
	}
	return data
}

// parse reads one outcome.
func (b *box) parse(body string) outcome.Data {
	b.t.Helper()
	e, err := outcome.Parse([]byte(body))
	b.must(err)
	return e.Data
}

// published counts what was published so far, repetitions included.
func (b *box) published() int { return b.Depth(outcomesQueue).Visible }

// leaseAndMore is how long a worker may take to be through. On a busy machine the answer to a
// receive can be lost, and what it brought is visible again when its lease ends, after a minute.
const leaseAndMore = 90 * time.Second

// allCancelled waits until n commands came to their outcomes and the queue is empty, and
// checks that all are cancelled: by their outcomes and in truth.
func (b *box) allCancelled(n int) map[string]outcome.Data {
	b.t.Helper()
	eventually(b.t, leaseAndMore, "the queue is empty", func() bool { return b.Depth(b.queue) == awssim.Depth{} && b.published() >= n })
	got := b.outcomes()
	if len(got) != n {
		b.t.Errorf("%d commands have an outcome, want %d", len(got), n)
	}
	for id, d := range got {
		if d.Status != handlers.Cancelled {
			b.t.Errorf("command %s ended as %s %s", id, d.Status, d.Message)
		}
	}
	for _, j := range b.Jobs() {
		if !j.Cancelled || j.State != "FAILED" || j.Reason != "over budget" {
			b.t.Errorf("job %s is %s with reason %q, cancelled: %t", j.ID, j.State, j.Reason, j.Cancelled)
		}
	}
	if d := b.Depth(b.buried); d != (awssim.Depth{}) {
		b.t.Errorf("dead letters: %+v", d)
	}
	return got
}

// requests returns the requests of one operation that were answered so far.
func (b *box) requests(service, operation string) []awssim.Record {
	var of []awssim.Record
	for _, r := range b.History() {
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

// environment is all that a process sees; extra settings win over those of a worker on the box.
func (b *box) environment(extra ...string) []string {
	return append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + b.dir,
		"AWS_ENDPOINT_URL=" + b.url, "AWS_REGION=us-east-1", "AWS_EC2_METADATA_DISABLED=true",
		"AWS_ACCESS_KEY_ID=AKIAANY", "AWS_SECRET_ACCESS_KEY=any",
		"RESCIND_QUEUE_URL=" + b.queue, "RESCIND_RESULTS_TOPIC_ARN=" + b.topic,
		"RESCIND_LEDGER=bolt:" + filepath.Join(b.dir, "ledger.db"), "RESCIND_ADMIN_ADDR=127.0.0.1:0",
	}, extra...)
}

// worker starts "rescind worker". What still runs at the end of t is killed.
func (b *box) worker(t *testing.T, extra ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(b.binary, "worker"), ended: make(chan struct{})}
	p.cmd.Dir, p.cmd.Env = b.dir, b.environment(extra...)
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

// journal keeps what a process prints.
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
