package worker_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker"
	"github.com/rescindhq/rescind/worker/ledger"
	"github.com/rescindhq/rescind/worker/outcome"
	"github.com/rescindhq/rescind/worker/queue"
)

// fewReceives is the maxReceiveCount of the queues whose messages become strays.
const fewReceives = 3

// straying is the options of a worker on such a queue.
var straying = worker.Options{MinReceives: 1, Patience: 10 * time.Second}

// onFew stops the rig's worker and gives the rig a queue that soon gives up.
func (r *rig) onFew() { r.t.Helper(); r.on(fewReceives) }

func (r *rig) on(maxReceives int) {
	r.t.Helper()
	r.must(r.stop())
	var err error
	r.queue, r.buried, err = r.sim.CreateQueueWithDeadLetters("few", maxReceives, nil)
	r.must(err)
}

// strand receives a queue's messages as other consumers would that cannot make anything of them,
// until SQS has moved them to the dead-letter queue.
func (r *rig) strand(url string) {
	r.t.Helper()
	client := sqs.NewFromConfig(r.sim.Config())
	for r.sim.Depth(url) != (awssim.Depth{}) {
		_, err := client.ReceiveMessage(r.t.Context(), &sqs.ReceiveMessageInput{
			QueueUrl: aws.String(url), MaxNumberOfMessages: 10, VisibilityTimeout: 1, WaitTimeSeconds: 1,
		})
		r.must(err)
	}
}

// put sends a message with attributes.
func (r *rig) put(url, body string, attributes map[string]string) {
	r.t.Helper()
	in := &sqs.SendMessageInput{QueueUrl: aws.String(url), MessageBody: aws.String(body), MessageAttributes: map[string]types.MessageAttributeValue{}}
	for name, value := range attributes {
		in.MessageAttributes[name] = types.MessageAttributeValue{DataType: aws.String("String"), StringValue: aws.String(value)}
	}
	_, err := sqs.NewFromConfig(r.sim.Config()).SendMessage(r.t.Context(), in)
	r.must(err)
}

// marked counts the messages of a queue with and without a mark.
func (r *rig) marked(url string) (with, without int) {
	for _, m := range r.sim.Messages(url) {
		if _, ok := m.Attributes[queue.MarkAttribute]; ok {
			with++
		} else {
			without++
		}
	}
	return with, without
}

// answered waits until every message of the dead-letter queue is marked, and returns the outcomes.
func (r *rig) answered(n int, within time.Duration) map[string]outcome.Data {
	r.t.Helper()
	for end := time.Now().Add(within); ; time.Sleep(time.Second) {
		synctest.Wait()
		with, without := r.marked(r.buried)
		if without == 0 && with >= n {
			return r.outcomes()
		}
		if time.Now().After(end) {
			r.t.Fatalf("after %s %d messages are marked and %d are not, want %d and 0", within, with, without, n)
		}
	}
}

func TestAStrayIsToldOnceAndBuriedAgain(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.onFew()
		r.sim.PutJobs(awssim.Job{ID: "job", State: "RUNNABLE"})
		r.send(cancelJob("one", "job"))
		sent := time.Now()
		time.Sleep(time.Minute)
		r.strand(r.queue)
		if with, without := r.marked(r.buried); with != 0 || without != 1 {
			t.Fatalf("%d and %d messages are stranded: the test shows nothing", with, without)
		}
		r.start(straying)
		d := r.answered(1, 3*time.Minute)["one"]
		if d.Status != handlers.Failed || d.Verdict != handlers.NotStopped || d.Code != outcome.CodeGaveUp ||
			!strings.Contains(d.Message, "dead-letter queue after 3 receives") || !strings.Contains(d.Message, "/few") {
			t.Errorf("got %s/%s %s %q", d.Status, d.Verdict, d.Code, d.Message)
		}
		if d.Action != "batch:CancelJob" || !d.EnqueuedAt.Equal(sent) || len(d.Targets) != 1 {
			t.Errorf("got %+v", d)
		}
		time.Sleep(3 * time.Hour) // sweeps come by
		if n := len(r.published()); n != 1 {
			t.Errorf("published %d times", n)
		}
		if n := r.calls("batch"); n != 0 {
			t.Errorf("%d calls of Batch", n)
		}
		buried := r.sim.Messages(r.buried)
		if len(buried) != 1 || buried[0].Body != cancelJob("one", "job") {
			t.Fatalf("%+v is buried", buried)
		}
		if mark := buried[0].Attributes[queue.MarkAttribute].StringValue; !strings.Contains(mark, "its outcome is failed") {
			t.Errorf("the mark is %s", mark)
		}
	})
}

func TestAStrayThatWasBegunIsToldByItsState(t *testing.T) {
	for _, row := range []struct {
		name          string
		calls, reads  awssim.Fault // while the first worker runs
		readsLater    awssim.Fault
		want          handlers.Status
		code, message string
	}{
		{"taken, and read", awssim.Fault{}, awssim.Fault{Broken: 1}, awssim.Fault{}, handlers.Cancelled, "", ""},
		{"taken, and never read", awssim.Fault{}, awssim.Fault{Broken: 1}, awssim.Fault{Broken: 1}, handlers.Accepted, outcome.CodeGaveUp, "AWS took the request"},
		{"unsure, and stopped", awssim.Fault{Lost: 1}, awssim.Fault{}, awssim.Fault{}, handlers.Cancelled, "", ""},
		{"unsure, and not stopped", awssim.Fault{Unsent: 1}, awssim.Fault{}, awssim.Fault{}, handlers.Failed, outcome.CodeGaveUp, "SQS had moved the message"},
	} {
		t.Run(row.name, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				r.on(20) // enough for a release, which stores how far the command came
				r.sim.SetFaults(awssim.Faults{"batch:CancelJobs": row.calls, "batch:DescribeJobs": row.reads})
				r.start(straying)
				r.send(r.fleet(1)...)
				time.Sleep(20 * time.Second)
				r.must(r.stop())
				if n := len(r.published()); n != 0 {
					t.Fatalf("%d outcomes before the message strayed: the test shows nothing", n)
				}
				r.strand(r.queue)
				calls := r.sim.Counts()["batch:CancelJobs"].Requests
				if calls == 0 {
					t.Fatal("nothing was called: the test shows nothing")
				}
				r.sim.SetFaults(awssim.Faults{"batch:DescribeJobs": row.readsLater})
				r.start(straying)
				d := r.answered(1, 5*time.Minute)["c-0"]
				if d.Status != row.want || d.Code != row.code || !strings.Contains(d.Message, row.message) || !d.Resumed {
					t.Errorf("got %s %s %q, resumed %t", d.Status, d.Code, d.Message, d.Resumed)
				}
				if n := r.sim.Counts()["batch:CancelJobs"].Requests; n != calls {
					t.Errorf("%d more cancelling calls", n-calls)
				}
			})
		})
	}
}

func TestAStrayWhoseCommandEndedGetsTheStoredOutcome(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.onFew()
		r.start(straying)
		commands := r.fleet(1)
		r.send(commands...)
		r.settled(1, time.Minute)
		r.must(r.stop())
		r.send(commands...)
		r.strand(r.queue)
		r.start(straying)
		r.answered(1, 3*time.Minute)
		all := r.published()
		if len(all) != 2 || all[0] != all[1] {
			t.Errorf("published %d times: %q", len(all), all)
		}
		if d := r.outcomes()["c-0"]; d.Status != handlers.Cancelled {
			t.Errorf("got %s", d.Status)
		}
	})
}

func TestAStrayThatCannotBeReadIsInvalidUnderItsOwnID(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.onFew()
		r.send("no command")
		id := r.sim.Messages(r.queue)[0].ID
		r.strand(r.queue)
		r.start(straying)
		r.answered(1, 3*time.Minute)
		e, err := outcome.Parse([]byte(r.published()[0]))
		r.must(err)
		if e.Data.Status != handlers.Invalid || e.ID != outcome.EventID("msg:"+id) {
			t.Errorf("got %s under %s", e.Data.Status, e.ID)
		}
	})
}

func TestAStrayIsToldByItsSourceAndNotByItsMark(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.onFew()
		// Buried once, sent to its queue again with its attributes, and stranded there.
		r.put(r.queue, cancelJob("again", "job"), map[string]string{queue.MarkAttribute: `{"reason":"of old"}`})
		r.strand(r.queue)
		id := r.sim.Messages(r.buried)[0].ID
		r.start(straying)
		for end := time.Now().Add(3 * time.Minute); len(r.published()) == 0 && time.Now().Before(end); time.Sleep(time.Second) {
		}
		time.Sleep(time.Minute)
		buried := r.sim.Messages(r.buried)
		if len(buried) != 1 || buried[0].ID == id || r.outcomes()["again"].Status != handlers.Failed {
			t.Errorf("%v, and %+v is buried", r.outcomes(), buried)
		}
	})
}

func TestWhatIsNotOursIsLeftAlone(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.onFew()
		theirs, err := r.sim.CreateQueue("theirs", map[string]string{
			"RedrivePolicy": fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":1}`, r.sim.QueueARN(r.buried)),
		})
		r.must(err)
		r.must(r.sim.Send(theirs, cancelJob("theirs", "job")))
		r.strand(theirs)
		r.must(r.sim.Send(r.buried, cancelJob("by hand", "job")))
		r.put(r.buried, "buried", map[string]string{queue.MarkAttribute: "{}"})
		before := r.sim.Messages(r.buried)
		r.start(straying)
		time.Sleep(3 * time.Hour)
		after := r.sim.Messages(r.buried)
		if len(before) != 3 || len(after) != 3 || len(r.published()) != 0 {
			t.Fatalf("%d messages were there, %d are, and %d outcomes were published", len(before), len(after), len(r.published()))
		}
		received := 0
		for i, m := range after {
			if m.ID != before[i].ID || m.InFlight {
				t.Errorf("%+v was %+v", m, before[i])
			}
			received += m.Receives - before[i].Receives
		}
		if received < 3*2 || received > 3*5 {
			t.Errorf("three messages were received %d times in three hours, want one sweep an hour", received)
		}
	})
}

// heldAtFirst is a ledger in which a live worker elsewhere has every command for a while.
type heldAtFirst struct {
	ledger.Ledger
	until time.Time
}

func (h heldAtFirst) Claim(ctx context.Context, e ledger.Entry, lease time.Duration) (*ledger.Claim, error) {
	if time.Now().Before(h.until) {
		return &ledger.Claim{State: ledger.Held, Until: time.Now().Add(lease)}, nil
	}
	return h.Ledger.Claim(ctx, e, lease)
}

func TestAStrayThatALiveWorkerHasWaitsForIt(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.onFew()
		r.send(cancelJob("one", "job"))
		r.strand(r.queue)
		r.startOn(straying, func(l ledger.Ledger) ledger.Ledger { return heldAtFirst{l, time.Now().Add(4 * time.Minute)} })
		time.Sleep(4 * time.Minute)
		if n := len(r.published()); n != 0 {
			t.Errorf("%d outcomes while another worker has it", n)
		}
		r.answered(1, 15*time.Minute)
	})
}

func TestAStopAtAnyStepLosesNoStray(t *testing.T) {
	for _, failing := range []string{"sns:PublishBatch", "sqs:SendMessageBatch", "sqs:DeleteMessageBatch", "sqs:ReceiveMessage", "sqs:GetQueueAttributes"} {
		for _, fault := range []awssim.Fault{{Broken: 1}, {Doubtful: 1}} {
			t.Run(fmt.Sprintf("%s broken %v", failing, fault.Broken == 1), func(t *testing.T) {
				inBubble(t, func(r *rig) {
					r.onFew()
					const n = 20
					bodies := make([]string, n)
					for i := range bodies {
						bodies[i] = cancelJob(fmt.Sprintf("c-%d", i), "job")
					}
					r.send(bodies...)
					r.strand(r.queue)
					r.start(straying)
					r.sim.SetFaults(awssim.Faults{failing: fault})
					time.Sleep(10 * time.Minute)
					if err := r.stop(); err != nil {
						t.Logf("the first worker: %v", err) // what it cannot settle comes again
					}
					r.sim.SetFaults(nil)
					if r.sim.Counts()[failing].Requests == 0 {
						t.Fatalf("%s was never asked for: the test shows nothing", failing)
					}
					r.start(straying)
					got := r.answered(n, 10*time.Minute)
					if tally(got) != fmt.Sprintf("failed:%d", n) {
						t.Errorf("got %s", tally(got))
					}
					// A send whose answer is lost is made again while the lease lasts: copies, not losses.
					if with, _ := r.marked(r.buried); with > 2*n && fault.Broken == 1 {
						t.Errorf("%d marked copies of %d strays", with, n)
					}
				})
			})
		}
	}
}

func TestStraysOfAGreedyConsumer(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.onFew()
		const n = 500
		r.send(r.fleet(n)...)
		ctx, cancel := context.WithCancel(context.Background())
		var greedy sync.WaitGroup
		client := sqs.NewFromConfig(r.sim.Config())
		for range 4 {
			greedy.Go(func() {
				for ctx.Err() == nil {
					_, _ = client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
						QueueUrl: aws.String(r.queue), MaxNumberOfMessages: 10, VisibilityTimeout: 1, WaitTimeSeconds: 1,
					})
				}
			})
		}
		time.Sleep(2 * time.Second) // it has had most of them twice by now
		r.start(straying)
		time.Sleep(time.Minute)
		cancel()
		greedy.Wait()
		strayed := make(map[string]bool) // by body: what is just being buried is there twice
		for _, m := range r.sim.Messages(r.buried) {
			strayed[m.Body] = true
		}
		if len(strayed) == 0 {
			t.Fatal("nothing strayed: the test shows nothing")
		}
		got := r.settled(n, 10*time.Minute)
		r.answered(len(strayed), 10*time.Minute)
		if len(got) != n {
			t.Errorf("%d outcomes of %d", len(got), n)
		}
		t.Logf("%d strayed; %s", len(strayed), tally(got))
	}, func(s *awssim.Options, _ *worker.Options) { s.Latency = 20 * time.Millisecond })
}

func TestFewStraysAmongManyBuried(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.onFew()
		const n = 2000
		for i := range n {
			r.put(r.buried, fmt.Sprintf("buried %d", i), map[string]string{queue.MarkAttribute: "{}"})
		}
		r.start(straying)
		time.Sleep(10 * time.Minute) // the first sweep is over
		r.must(r.stop())
		r.send(r.fleet(1)...)
		r.strand(r.queue)
		first := r.sim.Messages(r.buried)[0].Receives
		r.start(straying)
		r.answered(n+1, 3*time.Minute)
		// 10 s, and 1 ms for each message: then all are there for whoever wants to see them.
		time.Sleep(13 * time.Second)
		if d := r.sim.Depth(r.buried); d.InFlight != 0 {
			t.Errorf("%d are still hidden", d.InFlight)
		}
		time.Sleep(30 * time.Minute)
		if receives := r.sim.Messages(r.buried)[0].Receives - first; receives > 2 {
			t.Errorf("a buried message was received %d times for one stray", receives)
		}
	})
}

// The queue named for burials need not be the one that SQS moves to.
func TestStraysAreBuriedWhereBurialsAre(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.onFew()
		moved := r.buried
		var err error
		r.buried, err = r.sim.CreateQueue("burials", nil)
		r.must(err)
		r.send(cancelJob("one", "job"))
		r.strand(r.queue)
		o := straying
		o.DeadLetterURL = r.buried
		r.start(o)
		r.answered(1, 3*time.Minute)
		time.Sleep(time.Minute)
		if left := r.sim.Messages(moved); len(left) != 0 {
			t.Errorf("%+v is left where SQS moved it", left)
		}
	})
}

func TestNoStrayIsTakenWhileTheTopicIsDown(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.onFew()
		r.send(cancelJob("one", "job"))
		r.strand(r.queue)
		r.start(straying)
		r.sim.SetDown("sns", true)
		r.send(r.fleet(1)...) // whose outcome finds out
		time.Sleep(10 * time.Minute)
		receives := r.sim.Messages(r.buried)[0].Receives
		time.Sleep(30 * time.Minute)
		if more := r.sim.Messages(r.buried)[0].Receives - receives; more != 0 {
			t.Errorf("the stray was received %d times while the topic was down", more)
		}
		r.sim.SetDown("sns", false)
		if got := tally(r.answered(1, 10*time.Minute)); !strings.Contains(got, "failed:1") {
			t.Errorf("got %s", got)
		}
	})
}

func TestDeadLetterQueuesThatCannotBeReadStopNobody(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.onFew()
		core, logs := observer.New(zapcore.WarnLevel)
		o := straying
		o.Log = zap.New(core)
		r.start(o)
		var denied atomic.Int64
		r.sim.SetFaults(awssim.Faults{"sqs:GetQueueAttributes": {Denied: 1, Match: func(string) bool { denied.Add(1); return true }}})
		time.Sleep(150 * time.Minute)
		if denied.Load() < 100 {
			t.Fatalf("%d looks were denied: the test shows nothing", denied.Load())
		}
		if n := logs.FilterMessageSnippet("sqs:GetQueueAttributes").Len(); n != 3 {
			t.Errorf("told %d times in two hours and a half, want once an hour", n)
		}
		if ready := r.w.Ready(); len(ready) != 0 {
			t.Errorf("not ready: %v", ready)
		}
		r.send(r.fleet(1)...)
		r.settled(1, time.Minute)
		r.sim.SetFaults(nil)
	})
}

func TestDeadLetterQueuesThatLoseMessagesAreTold(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.onFew()
		policy := fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":5}`, r.sim.QueueARN(outcomesQueue))
		_, err := sqs.NewFromConfig(r.sim.Config()).SetQueueAttributes(r.t.Context(), &sqs.SetQueueAttributesInput{
			QueueUrl: aws.String(r.buried), Attributes: map[string]string{"RedrivePolicy": policy, "MessageRetentionPeriod": "3600"},
		})
		r.must(err)
		core, logs := observer.New(zapcore.WarnLevel)
		o := straying
		o.Log = zap.New(core)
		r.start(o)
		for _, says := range []string{"redrive policy of its own", "raise the retention"} {
			if n := logs.FilterMessageSnippet(says).Len(); n != 1 {
				t.Errorf("%q was told %d times", says, n)
			}
		}
	})
}
