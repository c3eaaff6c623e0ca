package main_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker/ledger/dynamo"
)

// killing is the variable that enables this test, with the number of kills. It takes minutes.
const killing = "RESCIND_KILLS"

// TestKilledWorkersLoseNothing has four workers on one ledger in DynamoDB run commands, while one
// after the other is killed and started again.
func TestKilledWorkersLoseNothing(t *testing.T) {
	kills, err := strconv.Atoi(os.Getenv(killing))
	if err != nil || kills < 1 {
		t.Skipf("NOT TESTED: workers killed under load; %s=20 asks for as many kills, and takes some minutes", killing)
	}
	const (
		workers = 4
		each    = 1000 // commands for each kill
		lease   = time.Minute
	)
	n := kills * each
	// Calls take long enough for kills to come in the middle of them.
	h := newHarness(t, build(t), awssim.Options{
		Latency: 5 * time.Millisecond, Faults: awssim.Faults{"batch:CancelJobs": {Late: 1, LateBy: 300 * time.Millisecond}},
	})
	config := aws.Config{
		Region: "us-east-1", BaseEndpoint: &h.url, Credentials: credentials.NewStaticCredentialsProvider("AKIAANY", "any", ""),
	}
	if err := dynamo.CreateTable(context.Background(), config, "commands"); err != nil {
		t.Fatal(err)
	}
	start := func(slot, life int) *process {
		return h.worker(t, "RESCIND_LEDGER=dynamodb:commands", fmt.Sprintf("AWS_ACCESS_KEY_ID=W%d-%d", slot, life),
			// Slow enough that the kills come in the middle of it.
			"RESCIND_MAX_IN_FLIGHT=400", "RESCIND_QUOTAS=batch:CancelJobs=3/3,batch:*=1000000", "RESCIND_LOG_LEVEL=warn")
	}
	fleet := make([]*process, workers)
	for i := range fleet {
		fleet[i] = start(i, 0)
	}
	h.jobs(n)
	dice := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // repeatable on purpose
	done := 0
	for kill := range kills {
		// A kill for each part of the commands, so that all of them fall under load.
		done = max(done, h.published())
		eventually(t, 3*lease, "a part of the commands is done", func() bool { return h.published() >= done+each/4 })
		if h.Depth(h.queue) == (awssim.Depth{}) {
			t.Fatalf("all is done after %d kills", kill)
		}
		i := dice.IntN(workers)
		fleet[i].signal(syscall.SIGKILL)
		fleet[i].exits(10 * time.Second)
		fleet[i] = start(i, kill+1)
	}
	last := time.Now()
	// The messages of the last killed worker come back when its leases end. Nothing waits longer than
	// that, except for what the other workers have to do.
	eventually(t, 5*lease, "the queue is empty", func() bool { return h.Depth(h.queue) == awssim.Depth{} && h.published() >= n })
	t.Logf("%d kills; the queue was empty %s after the last one", kills, time.Since(last).Round(time.Second))
	h.allCancelled(n)
	h.calledWhereTheLedgerKnew(t)
	for _, p := range fleet {
		p.stops()
	}
}

// calledWhereTheLedgerKnew fails the test for cancelling calls for jobs whose outcome was published before.
func (h *harness) calledWhereTheLedgerKnew(t *testing.T) {
	t.Helper()
	reported := map[string]time.Time{} // when a job's first outcome was published
	for _, m := range h.Messages(outcomesQueue) {
		for _, target := range h.parse(m.Body).Targets {
			if at, ok := reported[target.ID]; !ok || m.Sent.Before(at) {
				reported[target.ID] = m.Sent
			}
		}
	}
	calls, again := map[string]int{}, 0
	for _, r := range h.requests("batch", "CancelJobs") {
		for _, job := range r.Items {
			if calls[job]++; calls[job] > 1 {
				again++
			}
			if r.Began.After(reported[job]) {
				t.Errorf("job %s was called by %s %s after its outcome was published", job, r.Caller, r.Began.Sub(reported[job]))
			}
		}
	}
	t.Logf("%d jobs were called, %d calls were repeated after a kill, %d outcomes were published", len(calls), again, h.published())
}
