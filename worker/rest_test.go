package worker_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/batch"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	snstypes "github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker"
	"github.com/rescindhq/rescind/worker/ledger/bolt"
)

// restLatency is what each request takes where one command at a time is looked at.
const restLatency = 5 * time.Millisecond

// restful is a simulator with one queue of commands and one of outcomes, which takes one command at a
// time.
type restful struct {
	sim          *awssim.Sim
	queue, topic string
	cfg          aws.Config
	sent         int
}

func newRestful(tb testing.TB, sim *awssim.Sim, cfg aws.Config) *restful {
	tb.Helper()
	r := &restful{sim: sim, cfg: cfg}
	var err error
	check := func() {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
	}
	r.queue, _, err = sim.CreateQueueWithDeadLetters("commands", 1000, nil)
	check()
	_, err = sim.CreateQueue(outcomesQueue, nil)
	check()
	r.topic, err = sim.CreateTopic("outcomes")
	check()
	_, err = sim.Subscribe(r.topic, outcomesQueue, true)
	check()
	return r
}

// one sends a command and waits for its outcome.
func (r *restful) one(tb testing.TB) {
	tb.Helper()
	job := fmt.Sprintf("job-%d", r.sent)
	r.sim.PutJobs(awssim.Job{ID: job, State: "RUNNABLE"})
	r.sent++
	began := time.Now()
	if err := r.sim.Send(r.queue, cancelJob("c-"+job, job)); err != nil {
		tb.Fatal(err)
	}
	for end := began.Add(10 * time.Second); r.sim.Depth(outcomesQueue).Visible < r.sent; time.Sleep(100 * time.Microsecond) {
		if time.Now().After(end) {
			tb.Fatal("no outcome in ten seconds")
		}
	}
}

// bare makes the calls that a command needs, one after the other, until ctx ends: receive, cancel,
// describe, publish.
func (r *restful) bare(ctx context.Context) error {
	queue, jobs, topic := sqs.NewFromConfig(r.cfg), batch.NewFromConfig(r.cfg), sns.NewFromConfig(r.cfg)
	for n := 0; ; {
		got, err := queue.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &r.queue, WaitTimeSeconds: 20, MaxNumberOfMessages: 10})
		if err != nil {
			return err
		}
		for range got.Messages {
			job := []string{fmt.Sprintf("job-%d", n)}
			n++
			if _, err := jobs.CancelJobs(ctx, &batch.CancelJobsInput{Jobs: job, Reason: aws.String("over budget")}); err != nil {
				return err
			}
			if _, err := jobs.DescribeJobs(ctx, &batch.DescribeJobsInput{Jobs: job}); err != nil {
				return err
			}
			if _, err := topic.PublishBatch(ctx, &sns.PublishBatchInput{TopicArn: &r.topic, PublishBatchRequestEntries: []snstypes.PublishBatchRequestEntry{
				{Id: aws.String("0"), Message: aws.String("{}")},
			}}); err != nil {
				return err
			}
		}
	}
}

// rescind runs a worker, its ledger on disk, until ctx ends.
func (r *restful) rescind(ctx context.Context, path string) error {
	book, err := bolt.Open(path, bolt.Options{})
	if err != nil {
		return err
	}
	w, err := worker.New(ctx, worker.Options{
		QueueURLs: []string{r.queue}, TopicARN: r.topic, Ledger: book, AWS: r.cfg, Quotas: worker.Quotas{"batch:*": {}},
	})
	if err != nil {
		return err
	}
	if err := w.Run(ctx); err != nil {
		return err
	}
	return book.Close()
}

// At rest a command waits for the calls that it needs, and for nothing else: in virtual time, in
// which only waiting counts, it takes no longer than the bare calls in sequence.
func TestAtRestACommandTakesItsCallsAlone(t *testing.T) {
	took := map[string]time.Duration{}
	inBubble(t, func(r *rig) {
		for i := range 5 {
			time.Sleep(30 * time.Second) // whatever was under way has ended
			job := fmt.Sprintf("job-%d", i)
			r.sim.PutJobs(awssim.Job{ID: job, State: "RUNNABLE"})
			began := time.Now()
			r.send(cancelJob("c-"+job, job))
			for r.sim.Depth(outcomesQueue).Visible <= i {
				time.Sleep(100 * time.Microsecond)
			}
			took["rescind"] = max(took["rescind"], time.Since(began))
		}
	}, func(s *awssim.Options, _ *worker.Options) { s.Latency = restLatency })
	// CancelJobs, DescribeJobs, PublishBatch; the long poll was open before the command came.
	if bare := 3 * restLatency; took["rescind"] > bare*13/10 {
		t.Errorf("a command took up to %s from sending to outcome, want at most 1.3 × %s", took["rescind"], bare)
	} else {
		t.Logf("a command took up to %s from sending to outcome, its calls alone %s", took["rescind"], bare)
	}
}

// BenchmarkAtRest takes one command after the other from its sending to its outcome, in real
// time, over TCP: by the bare calls in sequence, and by a worker with its ledger synced to disk.
//
//	go test -run '^$' -bench AtRest ./worker
func BenchmarkAtRest(b *testing.B) {
	for name, run := range map[string]func(r *restful, ctx context.Context, path string) error{
		"bare":    func(r *restful, ctx context.Context, _ string) error { return r.bare(ctx) },
		"rescind": (*restful).rescind,
	} {
		b.Run(name, func(b *testing.B) {
			listener, err := new(net.ListenConfig).Listen(b.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			url := "http://" + listener.Addr().String()
			sim := awssim.New(awssim.Options{BaseURL: url, Latency: restLatency, Quotas: map[string]awssim.Quota{"batch:*": {}}})
			served := make(chan error, 1)
			go func() { served <- sim.Serve(listener) }()
			cfg := sim.Config()
			cfg.BaseEndpoint, cfg.HTTPClient = aws.String(url), worker.HTTPClient()
			r := newRestful(b, sim, cfg)
			ctx, stop := context.WithCancel(context.Background())
			done := make(chan error, 1)
			go func() { done <- run(r, ctx, filepath.Join(b.TempDir(), "ledger.db")) }()
			r.one(b) // connections are made, polls are open
			b.ResetTimer()
			for b.Loop() {
				r.one(b)
			}
			b.StopTimer()
			stop()
			if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
				b.Error(err)
			}
			if err := sim.Close(); err != nil {
				b.Error(err)
			}
			<-served
		})
	}
}
