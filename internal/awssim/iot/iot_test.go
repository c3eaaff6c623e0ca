package iot_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/iot"
	"github.com/aws/aws-sdk-go-v2/service/iot/types"
	"github.com/aws/smithy-go"
	"go.uber.org/goleak"

	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/internal/awssim/iot"
	"github.com/rescindhq/rescind/internal/facts"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bubble is a simulator in a synctest bubble and a real SDK client for its IoT, which tries once.
type bubble struct {
	*testing.T
	*awssim.Sim
	ctx context.Context
	iot *sdk.Client
}

func inBubble(t *testing.T, o awssim.Options, test func(b *bubble)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		sim := awssim.New(o)
		defer func() {
			if err := sim.Close(); err != nil {
				t.Errorf("closing: %v", err)
			}
		}()
		cfg := sim.Config()
		cfg.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
		test(&bubble{T: t, Sim: sim, ctx: t.Context(), iot: sdk.NewFromConfig(cfg)})
	})
}

func (b *bubble) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// refused checks AWS's code of an error; "" wants none.
func (b *bubble) refused(about string, err error, code string) {
	b.Helper()
	got := ""
	var api smithy.APIError
	if errors.As(err, &api) {
		got = api.ErrorCode()
	}
	if got != code || (err == nil) != (code == "") {
		b.Errorf("%s: got code %q, want %q (error: %v)", about, got, code, err)
	}
}

func (b *bubble) cancel(in sdk.CancelJobExecutionInput) error {
	in.ThingName, in.JobId = aws.String("t"), aws.String("j")
	_, err := b.iot.CancelJobExecution(b.ctx, &in)
	return err
}

func (b *bubble) describe() *types.JobExecution {
	b.Helper()
	out, err := b.iot.DescribeJobExecution(b.ctx, &sdk.DescribeJobExecutionInput{ThingName: aws.String("t"), JobId: aws.String("j")})
	b.must(err)
	return out.Execution
}

func TestStatesAreThoseOfTheFacts(t *testing.T) {
	known := facts.Core()["iot"]
	states, ended := []string{}, []string{}
	for _, s := range iot.States() {
		states = append(states, string(s))
		if s.Ended() {
			ended = append(ended, string(s))
		}
	}
	if !slices.Equal(states, known.States) || !slices.Equal(ended, known.Terminal) {
		t.Errorf("states %v, ended %v; facts: %v, %v", states, ended, known.States, known.Terminal)
	}
	var want []iot.JobState
	if err := facts.Raw(&want, "core", "iot", "job_states"); err != nil || !slices.Equal(iot.JobStates(), want) {
		t.Errorf("job states %v; facts: %v, %v", iot.JobStates(), want, err)
	}
}

// Every state × force, as facts/aws.json says: iot.cancellable, iot.second_cancel, iot.confirm.
func TestCancelJobExecution(t *testing.T) {
	known := facts.Core()["iot"]
	for _, state := range known.States {
		for _, force := range []bool{false, true} {
			inBubble(t, awssim.Options{}, func(b *bubble) {
				about := fmt.Sprintf("%s, force %v", state, force)
				b.PutJobExecutions(awssim.JobExecution{Thing: "t", Job: "j", State: iot.State(state)})
				err := b.cancel(sdk.CancelJobExecutionInput{Force: force, StatusDetails: map[string]string{"why": "x"}})
				e := b.describe()
				if slices.Contains(known.CancellableBy(fmt.Sprintf("force=%v", force)), state) {
					b.refused(about, err, "")
					if e.Status != "CANCELED" || *e.ForceCanceled != force || e.VersionNumber != 2 || e.StatusDetails.DetailsMap["why"] != "x" {
						b.Errorf("%s: %+v", about, e)
					}
					return
				}
				b.refused(about, err, "InvalidStateTransitionException")
				if string(e.Status) != state || e.VersionNumber != 1 || e.StatusDetails != nil {
					b.Errorf("%s: refused, and now %+v", about, e)
				}
			})
		}
	}
}

func TestExecutionsLive(t *testing.T) {
	inBubble(t, awssim.Options{}, func(b *bubble) {
		began := time.Now()
		b.PutJobExecutions(awssim.JobExecution{Thing: "t", Job: "j", Then: []awssim.ExecutionChange{
			{After: time.Minute, State: iot.InProgress}, {After: time.Minute, State: iot.Succeeded},
		}})
		b.refused("the wrong version", b.cancel(sdk.CancelJobExecutionInput{ExpectedVersion: aws.Int64(2)}), "VersionConflictException")
		time.Sleep(time.Minute)
		if e := b.describe(); e.Status != "IN_PROGRESS" || e.VersionNumber != 2 || !e.StartedAt.Equal(began.Add(time.Minute)) || !e.QueuedAt.Equal(began) {
			b.Errorf("a minute later: %+v", e)
		}
		if j, _ := b.ThingJob("j"); j.State != iot.JobInProgress {
			b.Errorf("the job is %s while its execution runs", j.State)
		}
		time.Sleep(time.Minute)
		if e := b.describe(); e.Status != "SUCCEEDED" || e.VersionNumber != 3 {
			b.Errorf("two minutes later: %+v", e)
		}
		if j, _ := b.ThingJob("j"); j.State != iot.JobCompleted || !j.Completed.Equal(began.Add(2*time.Minute)) {
			b.Errorf("the job of it: %+v", j)
		}
	})
}

// A cancel that takes its time overtakes the device, and a second one changes nothing.
func TestSlowCancel(t *testing.T) {
	o := awssim.Options{IoT: iot.Options{StopAfter: 10 * time.Second}, Faults: awssim.Faults{"iot:*": {Slow: 1, SlowBy: 20 * time.Second}}}
	inBubble(t, o, func(b *bubble) {
		b.PutJobExecutions(awssim.JobExecution{Thing: "t", Job: "j", Then: []awssim.ExecutionChange{{After: 15 * time.Second, State: iot.InProgress}}})
		b.must(b.cancel(sdk.CancelJobExecutionInput{}))
		time.Sleep(20 * time.Second)
		b.must(b.cancel(sdk.CancelJobExecutionInput{}))
		if e := b.describe(); e.Status != "QUEUED" {
			b.Errorf("on its way: %s", e.Status)
		}
		time.Sleep(10 * time.Second)
		if e := b.describe(); e.Status != "CANCELED" {
			b.Errorf("in the end: %s", e.Status)
		}
	})
}

// A job is cancelled at once and its executions a thousand a minute; those in progress only
// with force (facts/aws.json: iot.batch.whole_job).
func TestCancelJob(t *testing.T) {
	for _, force := range []bool{false, true} {
		inBubble(t, awssim.Options{}, func(b *bubble) {
			for i := range 1000 {
				b.PutJobExecutions(awssim.JobExecution{Thing: fmt.Sprintf("t%d", i), Job: "j"})
			}
			b.PutJobExecutions(
				awssim.JobExecution{Thing: "done", Job: "j", State: iot.Failed},
				awssim.JobExecution{Thing: "busy", Job: "j", State: iot.InProgress, Then: []awssim.ExecutionChange{{After: time.Hour, State: iot.Succeeded}}},
			)
			out, err := b.iot.CancelJob(b.ctx, &sdk.CancelJobInput{JobId: aws.String("j"), Force: force, Comment: aws.String("why"), ReasonCode: aws.String("COST")})
			b.must(err)
			if *out.JobId != "j" || *out.JobArn != "arn:aws:iot:us-east-1:123456789012:job/j" {
				b.Errorf("answered %+v", out)
			}
			count := func(canceled, queued, busy int32) {
				b.Helper()
				out, err := b.iot.DescribeJob(b.ctx, &sdk.DescribeJobInput{JobId: aws.String("j")})
				b.must(err)
				d := out.Job.JobProcessDetails
				if out.Job.Status != "CANCELED" || *out.Job.Comment != "why" || *d.NumberOfCanceledThings != canceled || *d.NumberOfQueuedThings != queued || *d.NumberOfInProgressThings != busy || *d.NumberOfFailedThings != 1 {
					b.Errorf("force %v: %s, cancelled %d, queued %d, in progress %d", force, out.Job.Status, *d.NumberOfCanceledThings, *d.NumberOfQueuedThings, *d.NumberOfInProgressThings)
				}
			}
			count(0, 1000, 1)
			time.Sleep(30 * time.Second)
			count(500, 500, 1)
			time.Sleep(31 * time.Second)
			if force {
				count(1001, 0, 0)
			} else {
				count(1000, 0, 1)
			}
			time.Sleep(time.Hour)
			if e, _ := b.JobExecution("busy", "j"); (e.State == iot.Canceled) != force || (e.State == iot.Succeeded) == force {
				b.Errorf("force %v: what was in progress is %s", force, e.State)
			}
		})
	}
}

func TestScheduledJobStarts(t *testing.T) {
	inBubble(t, awssim.Options{}, func(b *bubble) {
		b.PutThingJobs(awssim.ThingJob{ID: "j", State: iot.JobScheduled, StartAfter: time.Minute}, awssim.ThingJob{ID: "never", State: iot.JobScheduled})
		time.Sleep(time.Minute)
		for id, want := range map[string]iot.JobState{"j": iot.JobInProgress, "never": iot.JobScheduled} {
			if got, _ := b.ThingJob(id); got.State != want {
				b.Errorf("%s: %s, want %s", id, got.State, want)
			}
		}
	})
}

func TestLists(t *testing.T) {
	inBubble(t, awssim.Options{}, func(b *bubble) {
		var arns []string
		for i := range 7 {
			name := fmt.Sprintf("t%d", i)
			thing, err := b.iot.CreateThing(b.ctx, &sdk.CreateThingInput{ThingName: &name})
			b.must(err)
			arns = append(arns, *thing.ThingArn)
		}
		create := func(id string, targets ...string) error {
			_, err := b.iot.CreateJob(b.ctx, &sdk.CreateJobInput{JobId: &id, Targets: targets, Document: aws.String("{}")})
			return err
		}
		b.must(create("j", arns...))
		b.must(create("k", arns[0]))
		b.refused("an id again", create("k", arns[0]), "ResourceAlreadyExistsException")
		b.refused("an unknown target", create("l", arns[0]+"x"), "ResourceNotFoundException")
		b.refused("no target", create("l", []string{}...), "InvalidRequestException")
		b.PutJobExecutions(awssim.JobExecution{Thing: "t3", Job: "j", State: iot.Removed})

		var got []string
		pages := sdk.NewListJobExecutionsForJobPaginator(b.iot, &sdk.ListJobExecutionsForJobInput{JobId: aws.String("j"), Status: "QUEUED", MaxResults: aws.Int32(4)})
		for pages.HasMorePages() {
			page, err := pages.NextPage(b.ctx)
			b.must(err)
			for _, e := range page.ExecutionSummaries {
				got = append(got, strings.TrimPrefix(*e.ThingArn, "arn:aws:iot:us-east-1:123456789012:thing/"))
			}
			got = append(got, "|")
		}
		if want := []string{"t0", "t1", "t2", "t4", "|", "t5", "t6", "|"}; !slices.Equal(got, want) {
			b.Errorf("queued: %v, want %v", got, want)
		}
		of, err := b.iot.ListJobExecutionsForThing(b.ctx, &sdk.ListJobExecutionsForThingInput{ThingName: aws.String("t0")})
		b.must(err)
		if l := of.ExecutionSummaries; len(l) != 2 || *l[0].JobId != "j" || *l[1].JobId != "k" || l[0].JobExecutionSummary.Status != "QUEUED" {
			b.Errorf("of t0: %+v", l)
		}
	})
}

func TestBounds(t *testing.T) {
	inBubble(t, awssim.Options{Quotas: map[string]awssim.Quota{"iot:CancelJobExecution": {}, "iot:CancelJob": {}}}, func(b *bubble) {
		b.PutJobExecutions(awssim.JobExecution{Thing: "t", Job: "j", State: iot.InProgress})
		details := func(n int) map[string]string {
			m := map[string]string{}
			for i := range n {
				m[fmt.Sprint("k", i)] = "v"
			}
			return m
		}
		for about, c := range map[string]struct {
			details map[string]string
			code    string
		}{
			"10 pairs":       {details(10), "InvalidStateTransitionException"},
			"11 pairs":       {details(11), "InvalidRequestException"},
			"long value":     {map[string]string{"k": strings.Repeat("é", 1024)}, "InvalidStateTransitionException"},
			"too long value": {map[string]string{"k": strings.Repeat("é", 1025)}, "InvalidRequestException"},
			"control":        {map[string]string{"k": "a\nb"}, "InvalidRequestException"},
			"odd key":        {map[string]string{"a b": "v"}, "InvalidRequestException"},
		} {
			b.refused(about, b.cancel(sdk.CancelJobExecutionInput{StatusDetails: c.details}), c.code)
		}
		for about, in := range map[string]sdk.CancelJobInput{
			"odd comment":    {Comment: aws.String("a\u0007")},
			"odd reasonCode": {ReasonCode: aws.String("over")},
			"long comment":   {Comment: aws.String(strings.Repeat("c", 2029))},
			"odd id":         {JobId: aws.String("j:1")},
		} {
			if in.JobId == nil {
				in.JobId = aws.String("j")
			}
			_, err := b.iot.CancelJob(b.ctx, &in)
			b.refused(about, err, "InvalidRequestException")
		}
		_, err := b.iot.DescribeJob(b.ctx, &sdk.DescribeJobInput{JobId: aws.String("unknown")})
		b.refused("unknown job", err, "ResourceNotFoundException")
	})
}

// 10 calls a second of each operation, each by itself (facts/aws.json:
// iot.quotas_per_account_region).
func TestQuota(t *testing.T) {
	inBubble(t, awssim.Options{}, func(b *bubble) {
		b.PutJobExecutions(awssim.JobExecution{Thing: "t", Job: "j", State: iot.InProgress})
		for range 10 {
			b.refused("within", b.cancel(sdk.CancelJobExecutionInput{}), "InvalidStateTransitionException")
		}
		b.refused("beyond", b.cancel(sdk.CancelJobExecutionInput{}), "ThrottlingException")
		b.describe()
		time.Sleep(100 * time.Millisecond)
		b.refused("a tenth of a second later", b.cancel(sdk.CancelJobExecutionInput{}), "InvalidStateTransitionException")
	})
}
