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

// killing is the variable that asks for this test, by the number of kills: it takes minutes.
const killing = "RESCIND_KILLS"

// TestKilledWorkersLoseNothing drains commands by four workers on one ledger in DynamoDB, while
// one of them after the other is killed and started anew.
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
	b := newBox(t, build(t), awssim.Options{
		Latency: 5 * time.Millisecond, Faults: awssim.Faults{"batch:CancelJobs": {Late: 1, LateBy: 300 * time.Millisecond}},
	})
	config := aws.Config{
		Region: "us-east-1", BaseEndpoint: &b.url, Credentials: credentials.NewStaticCredentialsProvider("AKIAANY", "any", ""),
	}
	if err := dynamo.CreateTable(context.Background(), config, "commands"); err != nil {
		t.Fatal(err)
	}
	start := func(slot, life int) *process {
		return b.worker(t, "RESCIND_LEDGER=dynamodb:commands", fmt.Sprintf("AWS_ACCESS_KEY_ID=W%d-%d", slot, life),
			// Slow enough that the kills come in the middle of it.
			"RESCIND_MAX_IN_FLIGHT=400", "RESCIND_QUOTAS=batch:CancelJobs=3/3,batch:*=0", "RESCIND_LOG_LEVEL=warn")
	}
	fleet := make([]*process, workers)
	for i := range fleet {
		fleet[i] = start(i, 0)
	}
	b.jobs(n)
	dice := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // repeatable on purpose
	done := 0
	for kill := range kills {
		// A kill for each part of the commands, so that all of them fall under load.
		done = max(done, b.published())
		eventually(t, 3*lease, "a part of the commands is done", func() bool { return b.published() >= done+each/4 })
		if b.Depth(b.queue) == (awssim.Depth{}) {
			t.Fatalf("all is done after %d kills", kill)
		}
		i := dice.IntN(workers)
		fleet[i].signal(syscall.SIGKILL)
		fleet[i].exits(10 * time.Second)
		fleet[i] = start(i, kill+1)
	}
	last := time.Now()
	// What the last killed worker held comes back when its leases end: nothing waits longer than
	// that, and what the others have to do anyway.
	eventually(t, 5*lease, "the queue is empty", func() bool { return b.Depth(b.queue) == awssim.Depth{} && b.published() >= n })
	t.Logf("%d kills; the queue was empty %s after the last one", kills, time.Since(last).Round(time.Second))
	b.allCancelled(n)
	b.calledWhereTheLedgerKnew(t)
	for _, p := range fleet {
		p.stops()
	}
}

// calledWhereTheLedgerKnew finds cancelling calls for jobs whose outcome was published before.
func (b *box) calledWhereTheLedgerKnew(t *testing.T) {
	t.Helper()
	told := map[string]time.Time{} // when a job's first outcome was published
	for _, m := range b.Messages(outcomesQueue) {
		for _, target := range b.parse(m.Body).Targets {
			if at, ok := told[target.ID]; !ok || m.Sent.Before(at) {
				told[target.ID] = m.Sent
			}
		}
	}
	calls, again := map[string]int{}, 0
	for _, r := range b.requests("batch", "CancelJobs") {
		for _, job := range r.Items {
			if calls[job]++; calls[job] > 1 {
				again++
			}
			if r.Began.After(told[job]) {
				t.Errorf("job %s was called by %s %s after its outcome was published", job, r.Caller, r.Began.Sub(told[job]))
			}
		}
	}
	t.Logf("%d jobs were called, %d calls were repeated after a kill, %d outcomes were published", len(calls), again, b.published())
}
