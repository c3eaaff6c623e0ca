package worker_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker"
	"github.com/rescindhq/rescind/worker/ledger/bolt"
	"github.com/rescindhq/rescind/worker/preflight"
)

// TestSettingsThatCannotBe: New refuses addresses that nothing good can come of, before anything is
// received, and says which variable to mend, and how.
func TestSettingsThatCannotBe(t *testing.T) {
	sim := awssim.New(awssim.Options{History: true})
	defer func() {
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
	}()
	must := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	queue, deadLetters, err := sim.CreateQueueWithDeadLetters("commands", 1000, nil)
	must(err)
	second, _, err := sim.CreateQueueWithDeadLetters("second", 1000, nil)
	must(err)
	fed, _, err := sim.CreateQueueWithDeadLetters("fed", 1000, map[string]string{
		"RedrivePolicy": `{"maxReceiveCount":1000,"deadLetterTargetArn":"` + sim.QueueARN("second") + `"}`})
	must(err)
	fifo, err := sim.CreateQueue("line.fifo", map[string]string{"FifoQueue": "true"})
	must(err)
	topic, err := sim.CreateTopic("outcomes")
	must(err)

	const account = "/123456789012/"
	queues := func(urls ...string) worker.Options { return worker.Options{QueueURLs: urls} }
	dead := func(url string) worker.Options { return worker.Options{DeadLetterURL: url} }
	to := func(topic string) worker.Options { return worker.Options{TopicARN: topic} }
	book, err := bolt.Open(filepath.Join(t.TempDir(), "ledger.db"), bolt.Options{NoSync: true})
	must(err)
	defer func() { must(book.Close()) }()
	for _, row := range []struct {
		name     string
		o        worker.Options
		variable string // "": it starts
		says     []string
		missing  bool // what the variable names, which AWS shows: it may be what is wrong, or not
	}{
		{"what works", worker.Options{DeadLetterURL: deadLetters}, "", nil, false},
		{"two queues", queues(queue, second), "", nil, false},
		{"a queue by SQS's own host name", queues("https://sqs.us-east-1.amazonaws.com" + account + "commands"), "", nil, false},
		{"a queue by the oldest host name", queues("https://queue.amazonaws.com" + account + "commands"), "", nil, false},
		{"a queue by a host name that says nothing", queues("https://sqs.eu-west-1.example.com" + account + "commands"), "", nil, false},
		{"a dead-letter queue that gets the queue's own too", worker.Options{QueueURLs: []string{second}, DeadLetterURL: deadLetters}, "", nil, false},

		{"the queue as its dead-letter queue", dead(queue), "RESCIND_DLQ_URL", []string{queue, "a queue of commands", "for ever"}, false},
		{"the same, spelt with a slash", dead(queue + "/"), "RESCIND_DLQ_URL", []string{"a queue of commands"}, false},
		{"the same, by another host name", dead("https://queue.example" + account + "commands"), "RESCIND_DLQ_URL", []string{"https://queue.example/", "a queue of commands"}, false},
		{"the same, by SQS's own host name", dead("https://sqs.us-east-1.amazonaws.com" + account + "commands"), "RESCIND_DLQ_URL", []string{"a queue of commands"}, false},
		{"the same, in capitals and with a port", dead("HTTPS://SQS.US-EAST-1.amazonaws.com:443" + account + "commands"), "RESCIND_DLQ_URL", []string{"a queue of commands"}, false},
		{"a FIFO dead-letter queue", dead(fifo), "RESCIND_DLQ_URL", []string{"FIFO", fifo}, false},
		{"the second queue as a dead-letter queue", worker.Options{QueueURLs: []string{queue, second}, DeadLetterURL: "https://queue.example" + account + "second"}, "RESCIND_DLQ_URL", []string{"a queue of commands"}, false},
		{"a redrive policy into a queue of commands", queues(second, fed), "RESCIND_QUEUE_URL", []string{fed + ", whose redrive policy", second, "for ever"}, false},
		{"the same, with another dead-letter queue", worker.Options{QueueURLs: []string{second, fed}, DeadLetterURL: deadLetters}, "RESCIND_QUEUE_URL", []string{"whose redrive policy"}, false},
		{"one queue twice", queues(queue, queue), "RESCIND_QUEUE_URL", []string{"twice", "name it once"}, false},
		{"one queue twice, spelt with a slash", queues(queue, queue+"/"), "RESCIND_QUEUE_URL", []string{"twice"}, false},
		{"one queue twice, by another host name", queues(queue, second, "https://queue.example"+account+"commands"), "RESCIND_QUEUE_URL", []string{"twice", queue, "https://queue.example/", sim.QueueARN("commands")}, false},

		{"a queue of another region", queues("https://sqs.eu-west-1.amazonaws.com" + account + "commands"), "RESCIND_QUEUE_URL", []string{"eu-west-1", "us-east-1", "AWS_REGION=eu-west-1"}, false},
		{"the same, by an older host name", queues("https://eu-west-1.queue.amazonaws.com" + account + "commands"), "RESCIND_QUEUE_URL", []string{"AWS_REGION=eu-west-1"}, false},
		{"the same, by a VPC endpoint", queues("https://vpce-1a2b-3c4d.sqs.eu-west-1.vpce.amazonaws.com" + account + "commands"), "RESCIND_QUEUE_URL", []string{"AWS_REGION=eu-west-1"}, false},
		{"the same, by dual stack", queues("https://sqs.eu-west-1.api.aws" + account + "commands"), "RESCIND_QUEUE_URL", []string{"AWS_REGION=eu-west-1"}, false},
		{"the same, by FIPS", queues("https://sqs-fips.us-west-1.amazonaws.com" + account + "commands"), "RESCIND_QUEUE_URL", []string{"AWS_REGION=us-west-1"}, false},
		{"a dead-letter queue of China", dead("https://sqs.cn-north-1.amazonaws.com.cn" + account + "commands-dlq"), "RESCIND_DLQ_URL", []string{"AWS_REGION=cn-north-1"}, false},
		{"an ARN for a URL", queues(sim.QueueARN("commands")), "RESCIND_QUEUE_URL", []string{"is the ARN", queue}, false},
		{"an ARN of another region", queues("arn:aws:sqs:eu-west-1:123456789012:commands"), "RESCIND_QUEUE_URL", []string{"https://sqs.eu-west-1.amazonaws.com" + account + "commands"}, false},
		{"an ARN of what is not there", queues("arn:aws-cn:sqs:cn-north-1:123456789012:x"), "RESCIND_QUEUE_URL", []string{"https://sqs.cn-north-1.amazonaws.com.cn" + account + "x"}, false},
		{"an ARN for the dead-letter queue's URL", dead(sim.QueueARN(deadLetters)), "RESCIND_DLQ_URL", []string{"is the ARN", deadLetters}, false},
		{"a topic that is not there", to("arn:aws:sns:us-east-1:123456789012:not-there"), "RESCIND_RESULTS_TOPIC_ARN", []string{"not-there", "create it"}, true},
		{"a topic of another region", to("arn:aws:sns:eu-west-1:123456789012:outcomes"), "RESCIND_RESULTS_TOPIC_ARN", []string{"eu-west-1"}, false},
		{"a queue for a topic", to(sim.QueueARN("commands")), "RESCIND_RESULTS_TOPIC_ARN", []string{"must be the ARN of an SNS topic"}, false},
		{"a FIFO topic", to(topic + ".fifo"), "RESCIND_RESULTS_TOPIC_ARN", []string{"FIFO"}, false},
		{"a topic of China", to("arn:aws-cn:sns:us-east-1:123456789012:outcomes"), "RESCIND_RESULTS_TOPIC_ARN", []string{"outcomes"}, false},
		{"a topic's subscription", to(topic + ":1b2c3d4e-0000-4000-8000-000000000001"), "RESCIND_RESULTS_TOPIC_ARN", []string{"outcomes"}, false},
		{"a topic's name", to("outcomes"), "RESCIND_RESULTS_TOPIC_ARN", []string{"must be the ARN of an SNS topic", `"outcomes"`}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			o := row.o
			o.AWS, o.Ledger = sim.Config(), book
			if o.QueueURLs == nil {
				o.QueueURLs = []string{queue}
			}
			if o.TopicARN == "" {
				o.TopicARN = topic
			}
			_, err := worker.New(t.Context(), o)
			if row.variable == "" {
				must(err)
				return
			}
			var wrong *preflight.SettingError
			if isWrong := errors.As(err, &wrong); err == nil || isWrong == row.missing || !strings.HasPrefix(err.Error(), row.variable+" ") {
				t.Fatalf("%v, want a fault of %s", err, row.variable)
			}
			for _, says := range row.says {
				if !strings.Contains(err.Error(), says) {
					t.Errorf("%q does not say %q", err, says)
				}
			}
		})
	}
	// All faults are said at once.
	_, err = worker.New(t.Context(), worker.Options{
		AWS: sim.Config(), Ledger: book, QueueURLs: []string{queue, queue + "/"}, DeadLetterURL: "arn:aws:sqs:us-east-1:123456789012:dead", TopicARN: "outcomes",
	})
	for _, says := range []string{"RESCIND_QUEUE_URL names queue", "RESCIND_DLQ_URL is the ARN", "RESCIND_RESULTS_TOPIC_ARN must be"} {
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v does not say %q", err, says)
		}
	}
	for _, r := range sim.History() {
		if r.Operation == "ReceiveMessage" {
			t.Fatal("something was received")
		}
	}
}

// TestATopicThatCannotBeLookedAt: where SNS does not let the worker ask for the topic, it starts; where SNS
// is unavailable it does not, since nothing could be published.
func TestATopicThatCannotBeLookedAt(t *testing.T) {
	for _, row := range []struct {
		name   string
		fault  awssim.Fault
		starts bool
	}{
		{"no permission", awssim.Fault{Denied: 1}, true},
		{"a 5xx", awssim.Fault{Broken: 1}, false},
		{"cut off", awssim.Fault{Lost: 1}, false},
		{"never answered", awssim.Fault{Late: 1, LateBy: time.Hour}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sim := awssim.New(awssim.Options{Faults: awssim.Faults{"sns:GetTopicAttributes": row.fault}})
				queue, _, err := sim.CreateQueueWithDeadLetters("commands", 1000, nil)
				if err != nil {
					t.Fatal(err)
				}
				topic, err := sim.CreateTopic("outcomes")
				if err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				book, err := bolt.Open(filepath.Join(t.TempDir(), "ledger.db"), bolt.Options{NoSync: true})
				if err != nil {
					t.Fatal(err)
				}
				_, err = worker.New(t.Context(), worker.Options{QueueURLs: []string{queue}, TopicARN: topic, Ledger: book, AWS: sim.Config()})
				if (err == nil) != row.starts || time.Since(began) > time.Minute {
					t.Errorf("%v after %s, want a start: %t", err, time.Since(began), row.starts)
				}
				if err := errors.Join(book.Close(), sim.Close()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestParseQuotas(t *testing.T) {
	got, err := worker.ParseQuotas(" batch:CancelJob = 20/40, emr:*=0.5,swf:ListOpenWorkflowExecutions=1e3 , batch:TerminateJobs=1,iot:ListJobExecutionsForJob=3")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][2]float64{"batch:CancelJobs": {20, 40}, "emr:*": {0.5, 0.5}, "swf:ListOpenWorkflowExecutions": {1000, 1000}, "batch:TerminateJobs": {1, 1}, "iot:ListJobExecutionsForJob": {3, 3}}
	for name, q := range want {
		if got[name].Rate != q[0] || got[name].Burst != q[1] || len(got) != len(want) {
			t.Errorf("%s has %+v of %v", name, got[name], got)
		}
	}
	for text, says := range map[string]string{
		"batch:CancelJob=0/0":                   "must be a number above 0",
		"batch:CancelJob=0":                     "rate",
		"batch:*=5/0":                           "burst",
		"batch:CancelJobs=-1":                   "above 0",
		"batch:CancelJobs=NaN":                  "above 0",
		"bacth:CancelJob=1/1":                   "did you mean batch:CancelJob?",
		"batch:canceljobs=1":                    "did you mean batch:CancelJobs?",
		"batch:*=1,emr:CancelStep=1":            "did you mean emr:CancelSteps?",
		"iot:**=1":                              "did you mean iot:*?",
		"ec2:RunInstances=1":                    "those are batch:*, batch:CancelJob,",
		"batch:CancelJob=1, batch:CancelJobs=2": "batch:CancelJobs stands there twice",
	} {
		if _, err := worker.ParseQuotas(text); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want what says %q", text, err, says)
		}
	}
}

// TestAnActionsQuotaIsItsOperations: what RESCIND_QUOTAS says of an action paces its operation.
func TestAnActionsQuotaIsItsOperations(t *testing.T) {
	quotas, err := worker.ParseQuotas("batch:CancelJob=0.1/1")
	if err != nil {
		t.Fatal(err)
	}
	inBubble(t, func(r *rig) {
		for _, id := range []string{"a", "b", "c"} {
			r.sim.PutJobs(awssim.Job{ID: id, State: "RUNNABLE"})
			r.send(`{"action":"batch:CancelJob","parameters":{"jobId":"` + id + `","reason":"` + id + `"}}`)
		}
		r.settled(3, time.Hour)
		var at []float64
		for _, rec := range r.sim.History() {
			if rec.Operation == "CancelJobs" {
				at = append(at, float64(rec.Began.UnixMilli())/1000)
			}
		}
		if len(at) != 3 || at[2]-at[0] < 19 {
			t.Errorf("calls at %v, want 10 s between two", at)
		}
	}, func(_ *awssim.Options, o *worker.Options) { o.Quotas = quotas })
}
