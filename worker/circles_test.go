package worker_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker"
)

// total is a counter of the worker's metrics, its labels summed up.
func (r *rig) total(name string) float64 {
	r.t.Helper()
	registry := prometheus.NewPedanticRegistry()
	r.must(registry.Register(r.w.Metrics()))
	families, err := registry.Gather()
	r.must(err)
	sum := 0.0
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// TestTheResultsTopicOnTheCommandQueue: with the topic subscribed to the queue of commands, raw and not,
// a command still has one outcome, and a line a minute says what to mend.
func TestTheResultsTopicOnTheCommandQueue(t *testing.T) {
	for _, raw := range []bool{true, false} {
		t.Run(fmt.Sprintf("raw=%t", raw), func(t *testing.T) { resultsOnTheCommandQueue(t, raw) })
	}
}

func resultsOnTheCommandQueue(t *testing.T, raw bool) {
	core, logs := observer.New(zap.WarnLevel)
	inBubble(t, func(r *rig) {
		_, err := r.sim.Subscribe(r.topic, "commands", raw)
		r.must(err)
		const minutes, each = 5, 20
		for m := range minutes {
			for i := range each {
				id := fmt.Sprintf("c-%d-%d", m, i)
				r.sim.PutJobs(awssim.Job{ID: id, State: "RUNNABLE"})
				r.send(cancelJob(id, id))
			}
			// Among them are invalid ones, whose outcomes come in again too.
			r.send(fmt.Sprintf(`{"id":"bad-%d","action":"batch:CancelJob","parameters":{"jobId":""}}`, m))
			time.Sleep(time.Minute)
		}
		synctest.Wait()
		if left := r.sim.Depth(r.queue); left != (awssim.Depth{}) {
			t.Errorf("%+v messages are left", left)
		}
		const commands = minutes * (each + 1)
		if n := len(r.published()); n != commands {
			t.Errorf("%d outcomes of %d commands", n, commands)
		}
		if got := tally(r.outcomes()); got != "cancelled:100 invalid:5" {
			t.Error(got)
		}
		if n := len(r.sim.Messages(r.deadLetters)); n != minutes {
			t.Errorf("%d dead letters, want those of %d invalid commands", n, minutes)
		}
		if n := r.total("rescind_own_events_total"); n != commands {
			t.Errorf("%v own events are counted, want %d", n, commands)
		}
		lines := logs.FilterMessage("outcomes come in on the command queue and are deleted (commands are not harmed)").All()
		if len(lines) < 2 || len(lines) > minutes+1 {
			t.Errorf("%d lines in %d minutes", len(lines), minutes)
		}
	}, func(_ *awssim.Options, o *worker.Options) { o.Log = zap.New(core) })
}

// TestOwnEventsLeaveNoTrace: an event of a worker's own gets no outcome, no dead letter and no
// record, whatever brought it; what only mentions one is a command.
func TestOwnEventsLeaveNoTrace(t *testing.T) {
	const event = `{"specversion":"1.0","id":"6a96a937-f862-5042-8382-df181c831430","source":"/rescind/default","type":"io.rescind.outcome.v1","subject":"x","data":{"status":"accepted"}}`
	inBubble(t, func(r *rig) {
		r.sim.PutJobs(awssim.Job{ID: "j", State: "RUNNABLE"})
		commands, err := r.sim.CreateTopic("commands-topic")
		r.must(err)
		_, err = r.sim.Subscribe(commands, "commands", false)
		r.must(err)
		client := sns.NewFromConfig(r.sim.Config())
		for _, body := range []string{event, strings.Replace(event, "outcome", "control", 1), `{"detail-type":"x","source":"pipe","resources":null,"detail":` + event + `}`, `{"Records":[{"body":` + strconv.Quote(event) + `}]}`} {
			r.send(body)
			_, err := client.Publish(r.t.Context(), &sns.PublishInput{TopicArn: &commands, Message: aws.String(body)})
			r.must(err)
		}
		r.send(fmt.Sprintf(`{"id":"mentions","action":"batch:CancelJob","parameters":{"jobId":"j"},"reason":%q}`, event))
		got := r.settled(1, time.Minute)
		time.Sleep(time.Minute)
		if n := len(r.published()); n != 1 || got["mentions"].Status != handlers.Cancelled {
			t.Errorf("%d outcomes, %v", n, tally(got))
		}
		if n := len(r.sim.Messages(r.deadLetters)); n != 0 {
			t.Errorf("%d dead letters", n)
		}
		if n := r.total("rescind_own_events_total"); n != 8 {
			t.Errorf("%v own events are counted, want 8", n)
		}
		if ready, page := r.w.Report(); !ready || len(page) != 3 || !strings.HasPrefix(page[2], "warns: outcomes come in on the command queue and are deleted (commands are not harmed): ") {
			t.Errorf("/readyz says %t\n%s", ready, strings.Join(page, "\n"))
		}
		time.Sleep(5 * time.Minute)
		if _, page := r.w.Report(); len(page) != 2 {
			t.Errorf("five minutes later it says\n%s", strings.Join(page, "\n"))
		}
		if n := r.total("rescind_outcomes_total"); n != 1 {
			t.Errorf("%v outcomes are counted, want 1", n)
		}
	})
}

// TestNullAndAbsenceAreOneCommand: sent with nulls and without, a command is one, by its fingerprint.
func TestNullAndAbsenceAreOneCommand(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.sim.PutJobs(awssim.Job{ID: "j", State: "RUNNABLE"})
		r.send(`{"id":"n-0","action":"batch:CancelJob","parameters":{"jobId":"j","reason":null},"reason":null,"campaign":null,"region":null,"expiresAt":null}`)
		first := r.settled(1, time.Minute)["n-0"]
		r.send(`{"id":"n-0","action":"batch:CancelJob","parameters":{"jobId":"j"}}`,
			`{"specversion":"1.0","type":"io.rescind.command.v1","id":"1","source":"/a","datacontenttype":null,"data":{"id":"n-0","account":null,"action":"batch:CancelJob","parameters":{"reason":null,"jobId":"j"},"dryRun":null}}`,
			`{"id":"n-1","action":"batch:CancelJob","parameters":{"jobId":null}}`)
		time.Sleep(time.Minute)
		got := r.settled(2, time.Minute)
		if first.Status != handlers.Cancelled || got["n-0"].Status != handlers.Cancelled || len(r.published()) != 4 || r.sim.Counts()["batch:CancelJobs"].Requests != 1 {
			t.Errorf("n-0 is %s, then %s", first.Status, got["n-0"].Status)
		}
		if d := got["n-1"]; d.Status != handlers.Invalid || d.Message != "parameters.jobId is required" {
			t.Errorf("n-1 is %s: %s", d.Status, d.Message)
		}
	})
}

// TestAnARNDecidesWhereACommandRuns: the region and account of an ARN are what the guards judge, where the call is
// made and what the outcome says.
func TestAnARNDecidesWhereACommandRuns(t *testing.T) {
	stop := func(id, arn, members string) string {
		return fmt.Sprintf(`{"id":%q,"action":"stepfunctions:StopExecution","parameters":{"executionArn":%q}%s}`, id, arn, members)
	}
	const there, third, foreign = "arn:aws:states:eu-west-1:123456789012:execution:m:e", "arn:aws:states:ap-south-1:123456789012:execution:m:e", "arn:aws:states:us-east-1:210987654321:execution:m:e"
	inBubble(t, func(r *rig) {
		r.sim.PutExecutions(awssim.Execution{ARN: there})
		r.send(stop("a-0", there, `,"region":"us-east-1"`), stop("a-1", there, ""), stop("a-2", third, ""), stop("a-3", foreign, ""),
			stop("a-4", "arn:aws-cn:states:cn-north-1:123456789012:execution:m:e", ""), stop("a-5", "arn:aws-cn:states:us-east-1:123456789012:execution:m:e", ""))
		got := r.settled(6, time.Minute)
		for id, want := range map[string]struct {
			status handlers.Status
			says   string
		}{
			"a-0": {handlers.Invalid, `region must be that of parameters.executionArn, "eu-west-1", or be left out, not "us-east-1"`},
			"a-1": {handlers.Accepted, ""},
			"a-2": {handlers.Denied, "region ap-south-1 is not one of those allowed"},
			"a-3": {handlers.Denied, "account 210987654321 is not the worker's own"},
			"a-4": {handlers.Denied, "region cn-north-1 is not one of those allowed"},
			"a-5": {handlers.Invalid, `must have a region of its partition: "us-east-1" is none of "aws-cn"`},
		} {
			if d := got[id]; d.Status != want.status || !strings.Contains(d.Message, want.says) {
				t.Errorf("%s is %s: %s", id, d.Status, d.Message)
			}
		}
		if d := got["a-1"]; d.Region != "eu-west-1" || d.Account != "123456789012" {
			t.Errorf("the outcome of a-1 names %s in %s", d.Account, d.Region)
		}
	}, func(_ *awssim.Options, o *worker.Options) { o.Regions = []string{"us-east-1", "eu-west-1"} })
}
