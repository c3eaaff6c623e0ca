package eventbridge_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"go.uber.org/goleak"

	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/internal/awssim/batch"
	"github.com/rescindhq/rescind/internal/awssim/emr"
	"github.com/rescindhq/rescind/internal/awssim/eventbridge"
	"github.com/rescindhq/rescind/internal/awssim/sqs"
	"github.com/rescindhq/rescind/internal/awssim/stepfunctions"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const queue = "arn:aws:sqs:us-east-1:123456789012:states"

// bubble is a simulator whose events go to a queue, in a synctest bubble, and a real SDK client for that queue.
type bubble struct {
	*testing.T
	*awssim.Sim
	sqs *sdk.Client
	url *string
}

// inBubble runs a test in virtual time, which begins at 2000-01-01T00:00:00Z.
func inBubble(t *testing.T, seed uint64, o eventbridge.Options, test func(b *bubble)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o.Queue = queue
		sim := awssim.New(awssim.Options{Seed: seed, Events: o})
		defer func() {
			if err := sim.Close(); err != nil {
				t.Errorf("closing: %v", err)
			}
		}()
		url, err := sim.CreateQueue("states", nil)
		if err != nil {
			t.Fatal(err)
		}
		test(&bubble{T: t, Sim: sim, sqs: sdk.NewFromConfig(sim.Config()), url: &url})
	})
}

// receive returns what comes within a time, by long polls.
func (b *bubble) receive(within time.Duration) (got []types.Message) {
	b.Helper()
	for end := time.Now().Add(within); time.Now().Before(end); {
		wait := min(time.Until(end)+time.Second-1, 20*time.Second) // whole seconds, and at least one
		out, err := b.sqs.ReceiveMessage(b.Context(), &sdk.ReceiveMessageInput{
			QueueUrl: b.url, MaxNumberOfMessages: 10, WaitTimeSeconds: int32(wait.Seconds()), //nolint:gosec // 20 at most
			VisibilityTimeout: 3600, MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"},
		})
		if err != nil {
			b.Fatal(err)
		}
		got = append(got, out.Messages...)
	}
	return got
}

func decode(t *testing.T, text string) (v map[string]any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return v
}

var uuid = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$`)

// Each service's events, member by member, as the examples of their documentation have them: Batch's "Job state change
// events", EMR's "Monitoring Amazon EMR events with CloudWatch", Step Functions' "Automating Step Functions event delivery with
// EventBridge", and the envelope in "Events" of EventBridge's.
func TestEventsAreAsAWSDocumentsThem(t *testing.T) {
	const execution = "arn:aws:states:us-east-1:123456789012:execution:orders:run-1"
	for name, row := range map[string]struct {
		put  func(b *bubble)
		want string // without its id
	}{
		"Batch: a job has failed": {
			func(b *bubble) {
				b.PutJobs(awssim.Job{ID: "4c7599ae", Name: "event-test", State: batch.Running, Then: []awssim.JobChange{
					{After: 1500 * time.Millisecond, State: batch.Failed, Reason: "Essential container in task exited"},
				}})
			},
			`{"version":"0","detail-type":"Batch Job State Change","source":"aws.batch","account":"123456789012","time":"2000-01-01T00:00:01Z","region":"us-east-1",
			"resources":["arn:aws:batch:us-east-1:123456789012:job/4c7599ae"],"detail":{"jobArn":"arn:aws:batch:us-east-1:123456789012:job/4c7599ae",
			"jobName":"event-test","jobId":"4c7599ae","jobQueue":"arn:aws:batch:us-east-1:123456789012:job-queue/default","status":"FAILED",
			"statusReason":"Essential container in task exited","createdAt":946684800000,"stoppedAt":946684801500,
			"jobDefinition":"arn:aws:batch:us-east-1:123456789012:job-definition/default:1"}}`,
		},
		"EMR: a step has failed": {
			func(b *bubble) {
				b.PutSteps(awssim.Step{Cluster: "j-123456789ABCD", ID: "s-ZYXWVUTSRQPON", Name: "CustomJAR", State: emr.Running, Then: []awssim.StepChange{
					{After: time.Second, State: emr.Failed},
				}})
			},
			`{"version":"0","detail-type":"EMR Step Status Change","source":"aws.emr","account":"123456789012","time":"2000-01-01T00:00:01Z","region":"us-east-1",
			"resources":[],"detail":{"severity":"ERROR","actionOnFailure":"CONTINUE","stepId":"s-ZYXWVUTSRQPON","name":"CustomJAR",
			"clusterId":"j-123456789ABCD","state":"FAILED","message":"Step s-ZYXWVUTSRQPON (CustomJAR) in Amazon EMR cluster j-123456789ABCD is FAILED."}}`,
		},
		"Step Functions: an execution has succeeded": {
			func(b *bubble) {
				b.PutExecutions(awssim.Execution{ARN: execution, Then: &awssim.ExecutionEnding{After: 5 * time.Second, State: stepfunctions.Succeeded}})
			},
			`{"version":"0","detail-type":"Step Functions Execution Status Change","source":"aws.states","account":"123456789012","time":"2000-01-01T00:00:05Z",
			"region":"us-east-1","resources":["` + execution + `"],"detail":{"executionArn":"` + execution + `",
			"stateMachineArn":"arn:aws:states:us-east-1:123456789012:stateMachine:orders","name":"run-1","status":"SUCCEEDED",
			"startDate":946684800000,"stopDate":946684805000,"input":"{}","inputDetails":{"included":true},"output":null,"outputDetails":null}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 1, eventbridge.Options{}, func(b *bubble) {
				row.put(b)
				got := b.receive(time.Minute)
				if len(got) != 1 {
					t.Fatalf("%d messages came, want 1", len(got))
				}
				event := decode(t, aws.ToString(got[0].Body))
				if id, _ := event["id"].(string); !uuid.MatchString(id) {
					t.Errorf("its id is %q, want a UUID", id)
				}
				delete(event, "id")
				if want := decode(t, row.want); !reflect.DeepEqual(event, want) {
					t.Errorf("got  %v\nwant %v", event, want)
				}
				if len(got[0].MessageAttributes) > 0 || got[0].Attributes["SenderId"] == "" {
					t.Errorf("it has the attributes %v and is sent by %q", got[0].MessageAttributes, got[0].Attributes["SenderId"])
				}
			})
		})
	}
}

// When an event comes, and how often.
func TestDelivery(t *testing.T) {
	for name, row := range map[string]struct {
		o    eventbridge.Options
		want []time.Duration // after the change
	}{
		"at once":             {eventbridge.Options{}, []time.Duration{0}},
		"after the delay":     {eventbridge.Options{Delay: 3 * time.Second}, []time.Duration{3 * time.Second}},
		"lost":                {eventbridge.Options{Lost: 1}, nil},
		"late":                {eventbridge.Options{Delay: time.Second, Late: 1, LateBy: 40 * time.Second}, []time.Duration{41 * time.Second}},
		"late by nothing":     {eventbridge.Options{Late: 1}, []time.Duration{0}},
		"doubled":             {eventbridge.Options{Doubled: 1, LateBy: 40 * time.Second}, []time.Duration{0, 40 * time.Second}},
		"late and doubled":    {eventbridge.Options{Late: 1, Doubled: 1, LateBy: 40 * time.Second}, []time.Duration{40 * time.Second, 80 * time.Second}},
		"lost, whatever else": {eventbridge.Options{Lost: 1, Late: 1, Doubled: 1, LateBy: time.Second}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 1, row.o, func(b *bubble) {
				b.PutJobs(awssim.Job{ID: "job", State: batch.Running, Then: []awssim.JobChange{{After: time.Minute, State: batch.Succeeded}}})
				changed := time.Now().Add(time.Minute)
				var after []time.Duration
				ids := map[string]bool{}
				for _, m := range b.receive(5 * time.Minute) {
					sent, err := strconv.ParseInt(m.Attributes["SentTimestamp"], 10, 64)
					if err != nil {
						t.Fatal(err)
					}
					after = append(after, time.UnixMilli(sent).Sub(changed))
					ids[decode(t, aws.ToString(m.Body))["id"].(string)] = true
				}
				if !reflect.DeepEqual(after, row.want) {
					t.Errorf("it came %v after the change, want %v", after, row.want)
				}
				if len(ids) > 1 {
					t.Errorf("one event has %d ids", len(ids))
				}
			})
		})
	}
}

// One seed loses, doubles and delays the same events each time, about as many as it is asked to; another one others.
func TestChanceIsOfTheSeedAndTheEvent(t *testing.T) {
	const n, lateBy = 400, 30 * time.Second
	o := eventbridge.Options{Lost: 0.25, Doubled: 0.25, Late: 0.25, LateBy: lateBy}
	run := func(seed uint64) (came map[string][]time.Duration) { // by job, after the change
		inBubble(t, seed, o, func(b *bubble) {
			for i := range n {
				b.PutJobs(awssim.Job{ID: fmt.Sprintf("job-%d", i), State: batch.Running, Then: []awssim.JobChange{{After: time.Second, State: batch.Succeeded}}})
			}
			changed := time.Now().Add(time.Second)
			time.Sleep(5 * time.Minute)
			came = map[string][]time.Duration{}
			for _, m := range b.Messages(queue) {
				job := decode(t, m.Body)["detail"].(map[string]any)["jobId"].(string)
				came[job] = append(came[job], m.Sent.Sub(changed))
			}
		})
		return came
	}
	first := run(1)
	if again := run(1); !reflect.DeepEqual(first, again) {
		t.Error("one seed, and other events")
	}
	if other := run(2); reflect.DeepEqual(first, other) {
		t.Error("two seeds, and the same events")
	}
	doubled, late := 0, 0
	for _, times := range first {
		if len(times) == 2 {
			doubled++
		}
		if times[0] == lateBy {
			late++
		}
	}
	for what, share := range map[string]float64{
		"lost": 1 - float64(len(first))/n, "doubled": float64(doubled) / float64(len(first)), "late": float64(late) / float64(len(first)),
	} {
		if share < 0.18 || share > 0.32 {
			t.Errorf("%.0f %% are %s, want about 25", 100*share, what)
		}
	}
}

func change(item string) *eventbridge.Change {
	return &eventbridge.Change{
		Source: "aws.batch", DetailType: "Batch Job State Change", Account: "123456789012", Region: "us-east-1",
		At: time.Now(), Item: item, Detail: map[string]string{"jobId": item},
	}
}

// Close drops what is still to come, and nothing comes or is noticed after it.
func TestNothingAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queues := sqs.New(1)
		if err := queues.Create("us-east-1", "123456789012", "states", nil); err != nil {
			t.Fatal(err)
		}
		bus := eventbridge.New(1, eventbridge.Options{Queue: queue, Delay: time.Second}, queues)
		noticed := 0
		bus.Changed(change("before"))
		bus.Due(time.Now().Add(time.Second), func() { noticed++ })
		time.Sleep(2 * time.Second)
		bus.Changed(change("under way"))
		bus.Due(time.Now().Add(time.Second), func() { noticed++ })
		bus.Close()
		bus.Changed(change("after"))
		bus.Due(time.Now(), func() { noticed++ })
		time.Sleep(time.Minute)
		if got := queues.Messages(queue); len(got) != 1 || noticed != 1 {
			t.Errorf("%d events came and %d changes were noticed, want those of before", len(got), noticed)
		}
		bus.Close() // which may be repeated
	})
}

// Where there is no rule there is no Bus, and nothing happens.
func TestNoRule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := eventbridge.New(1, eventbridge.Options{Delay: time.Second}, sqs.New(1))
		if bus != nil {
			t.Error("there is a bus without a rule")
		}
		bus.Changed(change("job"))
		bus.Due(time.Now(), func() { t.Error("a change is waited for") })
		bus.Close()
		time.Sleep(time.Minute)
	})
}

// A queue that is not there costs the event, as it does at AWS without a dead-letter queue, and nothing else.
func TestNoQueue(t *testing.T) {
	synctest.Test(t, func(*testing.T) {
		bus := eventbridge.New(1, eventbridge.Options{Queue: queue}, sqs.New(1))
		bus.Changed(change("job"))
		time.Sleep(time.Second)
		bus.Close()
	})
}
