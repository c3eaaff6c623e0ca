package awssim_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/batch"
	"github.com/aws/aws-sdk-go-v2/service/batch/types"

	"github.com/rescindhq/rescind/internal/awssim"
	simbatch "github.com/rescindhq/rescind/internal/awssim/batch"
	"github.com/rescindhq/rescind/internal/facts"
)

func (b *bubble) describe(ids ...string) []types.JobDetail {
	b.Helper()
	out, err := b.batch.DescribeJobs(b.ctx, &batch.DescribeJobsInput{Jobs: ids})
	b.must(err)
	return out.Jobs
}

// stoppers are the four calls that stop jobs, by name.
func (b *bubble) stoppers() map[string]func(reason string, ids ...string) error {
	return map[string]func(string, ...string) error{
		"CancelJob": func(reason string, ids ...string) error {
			_, err := b.batch.CancelJob(b.ctx, &batch.CancelJobInput{JobId: &ids[0], Reason: &reason})
			return err
		},
		"TerminateJob": func(reason string, ids ...string) error {
			_, err := b.batch.TerminateJob(b.ctx, &batch.TerminateJobInput{JobId: &ids[0], Reason: &reason})
			return err
		},
		"CancelJobs": func(reason string, ids ...string) error {
			out, err := b.batch.CancelJobs(b.ctx, &batch.CancelJobsInput{Jobs: ids, Reason: &reason})
			if err == nil && (len(out.Errors) > 0 || !slices.Equal(out.Successful, ids)) {
				return fmt.Errorf("successful %v, errors %v", out.Successful, out.Errors)
			}
			return err
		},
		"TerminateJobs": func(reason string, ids ...string) error {
			out, err := b.batch.TerminateJobs(b.ctx, &batch.TerminateJobsInput{Jobs: ids, Reason: &reason})
			if err == nil && (len(out.Errors) > 0 || !slices.Equal(out.Successful, ids)) {
				return fmt.Errorf("successful %v, errors %v", out.Successful, out.Errors)
			}
			return err
		},
	}
}

func TestBatchStatesAreThoseOfTheFacts(t *testing.T) {
	want := facts.Core()["batch"]
	states, ended := make([]string, 0, len(want.States)), []string{}
	for _, s := range simbatch.States() {
		states = append(states, string(s))
		if s.Ended() {
			ended = append(ended, string(s))
		}
	}
	if !slices.Equal(states, want.States) || !slices.Equal(ended, want.Terminal) {
		t.Errorf("states %v, ended %v; facts: %v, %v", states, ended, want.States, want.Terminal)
	}
}

// Every state × every call, as facts/aws.json says: batch.cancellable, batch.accepted_flags,
// batch.confirm, batch.second_cancel.
func TestBatchStops(t *testing.T) {
	known := facts.Core()["batch"]
	for _, call := range []string{"CancelJob", "TerminateJob", "CancelJobs", "TerminateJobs"} {
		single := strings.TrimSuffix(call, "s")
		for _, state := range known.States {
			stops := slices.Contains(known.CancellableBy(single), state)
			inBubble(t, awssim.Options{Batch: simbatch.Options{StopAfter: 10 * time.Second}}, func(b *bubble) {
				b.PutJobs(awssim.Job{ID: "j", State: simbatch.State(state), Reason: "before"})
				b.must(b.stoppers()[call]("our reason", "j"))
				check := func(when, status string, flagged bool, reason string) {
					b.Helper()
					j := b.describe("j")[0]
					cancelled, terminated := *j.IsCancelled, *j.IsTerminated
					if string(j.Status) != status || cancelled != (flagged && single == "CancelJob") || terminated != (flagged && single == "TerminateJob") || *j.StatusReason != reason {
						b.Errorf("%s of %s, %s: %s, cancelled %v, terminated %v, %q", call, state, when, j.Status, cancelled, terminated, *j.StatusReason)
					}
				}
				check("at once", state, stops, "before")
				time.Sleep(5 * time.Second)
				b.must(b.stoppers()[call]("another reason", "j")) // succeeds and changes nothing
				check("half way", state, stops, "before")
				time.Sleep(5 * time.Second)
				if stops {
					check("later", "FAILED", true, "our reason")
				} else {
					check("later", state, false, "before")
				}
			})
		}
	}
}

func TestBatchUnknownIDs(t *testing.T) {
	inBubble(t, awssim.Options{}, func(b *bubble) {
		for name, stop := range b.stoppers() {
			if err := stop("reason", "nobody-knows-it"); err != nil {
				b.Errorf("%s of an unknown id: %v", name, err)
			}
		}
		if got := b.describe("nobody-knows-it"); len(got) != 0 {
			b.Errorf("described %v", got)
		}
	})
}

func TestBatchBounds(t *testing.T) {
	inBubble(t, awssim.Options{Quotas: map[string]awssim.Quota{"batch:*": {}}}, func(b *bubble) {
		ids := func(n int) (ids []string) {
			for i := range n {
				ids = append(ids, "j"+strconv.Itoa(i))
			}
			return ids
		}
		for _, call := range []string{"CancelJobs", "TerminateJobs"} {
			stop := b.stoppers()[call]
			b.must(stop("reason", ids(50)...))
			refused(b, stop("reason", ids(51)...), "ClientException")
			refused(b, stop("reason", []string{}...), "ClientException")
		}
		for _, stop := range b.stoppers() {
			refused(b, stop("", "j"), "ClientException")
			b.must(stop(strings.Repeat("é", 1024), "j"))
			refused(b, stop(strings.Repeat("é", 1025), "j"), "ClientException")
		}
		_, err := b.batch.DescribeJobs(b.ctx, &batch.DescribeJobsInput{Jobs: ids(100)})
		b.must(err)
		_, err = b.batch.DescribeJobs(b.ctx, &batch.DescribeJobsInput{Jobs: ids(101)})
		refused(b, err, "ClientException")
		_, err = b.batch.CancelJob(b.ctx, &batch.CancelJobInput{JobId: aws.String(""), Reason: aws.String("r")})
		refused(b, err, "ClientException")
		out, err := b.batch.CancelJobs(b.ctx, &batch.CancelJobsInput{Jobs: []string{"", "j"}, Reason: aws.String("r")})
		b.must(err)
		if len(out.Errors) != 1 || *out.Errors[0].Code != "ValidationException" || !slices.Equal(out.Successful, []string{"j"}) {
			b.Errorf("an empty id among others: %v, %v", out.Successful, out.Errors)
		}
	})
}

// Jobs change by themselves, and a stop overtakes what was to come.
func TestBatchJobsLive(t *testing.T) {
	inBubble(t, awssim.Options{}, func(b *bubble) {
		life := []awssim.JobChange{{After: time.Minute, State: "STARTING"}, {After: time.Second, State: "RUNNING"}, {After: time.Hour, State: "SUCCEEDED", Reason: "done"}}
		b.PutJobs(awssim.Job{ID: "left", Then: life}, awssim.Job{ID: "stopped", Then: life})
		time.Sleep(30 * time.Second)
		b.must(b.stoppers()["CancelJobs"]("reason", "stopped"))
		time.Sleep(31 * time.Second)
		if got := b.describe("left")[0]; got.Status != "RUNNING" || *got.StartedAt != time.Now().UnixMilli() {
			b.Errorf("left alone: %s, started %d", got.Status, *got.StartedAt)
		}
		b.must(b.stoppers()["CancelJobs"]("reason", "left")) // running: not stopped
		time.Sleep(time.Hour)
		if got, _ := b.Job("left"); got.State != "SUCCEEDED" || got.Reason != "done" || got.Cancelled {
			b.Errorf("left alone: %+v", got)
		}
		if got, _ := b.Job("stopped"); got.State != "FAILED" || !got.Cancelled || got.Reason != "reason" {
			b.Errorf("stopped: %+v", got)
		}
	})
}

// facts/aws.json: batch.array.
func TestBatchArrayParent(t *testing.T) {
	inBubble(t, awssim.Options{}, func(b *bubble) {
		b.PutJobs(
			awssim.Job{ID: "p", State: "PENDING"},
			awssim.Job{ID: "p:0", Parent: "p", State: "RUNNABLE"},
			awssim.Job{ID: "p:1", Parent: "p", State: "RUNNING", Then: []awssim.JobChange{{After: time.Minute, State: "SUCCEEDED"}}},
		)
		b.must(b.stoppers()["CancelJob"]("reason", "p"))
		got := b.describe("p", "p:0", "p:1")
		if got[0].Status != "PENDING" || !*got[0].IsCancelled || got[1].Status != "FAILED" || got[2].Status != "RUNNING" {
			b.Errorf("while a child runs: %s, %s, %s", got[0].Status, got[1].Status, got[2].Status)
		}
		if s := got[0].ArrayProperties.StatusSummary; s["FAILED"] != 1 || s["RUNNING"] != 1 || *got[2].ArrayProperties.Index != 1 {
			b.Errorf("summary %v", s)
		}
		time.Sleep(time.Minute)
		if got := b.describe("p")[0]; got.Status != "FAILED" || *got.StatusReason != "reason" {
			b.Errorf("in the end: %s, %q", got.Status, *got.StatusReason)
		}
	})
}

func TestBatchLists(t *testing.T) {
	inBubble(t, awssim.Options{}, func(b *bubble) {
		for i := range 7 {
			b.PutJobs(awssim.Job{ID: "r" + strconv.Itoa(i), State: "RUNNING", Name: "Nightly-" + strconv.Itoa(i)})
		}
		b.PutJobs(awssim.Job{ID: "w", State: "RUNNABLE", Name: "nightly-w"}, awssim.Job{ID: "elsewhere", State: "RUNNING", Queue: "other"})
		b.must(b.stoppers()["CancelJob"]("reason", "w"))
		pages := batch.NewListJobsPaginator(b.batch, &batch.ListJobsInput{JobQueue: aws.String("default"), MaxResults: aws.Int32(3)})
		var got []string
		sizes := []int{}
		for pages.HasMorePages() {
			page, err := pages.NextPage(b.ctx)
			b.must(err)
			sizes = append(sizes, len(page.JobSummaryList))
			for _, j := range page.JobSummaryList {
				got = append(got, *j.JobId)
			}
		}
		if !slices.Equal(got, []string{"r0", "r1", "r2", "r3", "r4", "r5", "r6"}) || !slices.Equal(sizes, []int{3, 3, 1}) {
			b.Errorf("running: %v in pages of %v", got, sizes)
		}
		failed, err := b.batch.ListJobs(b.ctx, &batch.ListJobsInput{JobQueue: aws.String("default"), JobStatus: "FAILED"})
		b.must(err)
		if j := failed.JobSummaryList; len(j) != 1 || !*j[0].IsCancelled || j[0].IsTerminated != nil {
			b.Errorf("failed: %+v", j)
		}
		named, err := b.batch.ListJobs(b.ctx, &batch.ListJobsInput{JobQueue: aws.String("default"), Filters: []types.KeyValuesPair{{Name: aws.String("JOB_NAME"), Values: []string{"nightly-*"}}}})
		b.must(err)
		if len(named.JobSummaryList) != 8 {
			b.Errorf("%d by name, want 8", len(named.JobSummaryList))
		}
		_, err = b.batch.ListJobs(b.ctx, &batch.ListJobsInput{})
		refused(b, err, "ClientException")
	})
}

func TestBatchSubmit(t *testing.T) {
	inBubble(t, awssim.Options{}, func(b *bubble) {
		submit := func(size *types.ArrayProperties) string {
			out, err := b.batch.SubmitJob(b.ctx, &batch.SubmitJobInput{JobName: aws.String("n"), JobQueue: aws.String("default"), JobDefinition: aws.String("d"), ArrayProperties: size})
			b.must(err)
			return *out.JobId
		}
		one, many := submit(nil), submit(&types.ArrayProperties{Size: aws.Int32(3)})
		if got := b.describe(one)[0].Status; got != "SUBMITTED" {
			b.Errorf("submitted: %s", got)
		}
		time.Sleep(time.Second)
		got := b.describe(one, many, many+":2")
		if got[0].Status != "RUNNABLE" || got[1].Status != "PENDING" || got[2].Status != "RUNNABLE" || *got[1].ArrayProperties.Size != 3 {
			b.Errorf("a second later: %s, %s, %s", got[0].Status, got[1].Status, got[2].Status)
		}
	})
}

// Accounts and regions do not see each other's jobs, and have buckets of their own.
func TestLocationsAreApart(t *testing.T) {
	inBubble(t, awssim.Options{Quotas: map[string]awssim.Quota{"batch:*": {Rate: 1, Burst: 1}}}, func(b *bubble) {
		b.PutJobs(awssim.Job{ID: "j"}, awssim.Job{ID: "j", Region: "eu-west-1", State: "RUNNING"}, awssim.Job{ID: "j", Account: "210987654321", State: "SUCCEEDED"})
		for want, change := range map[types.JobStatus]func(*aws.Config){
			"RUNNABLE":  func(*aws.Config) {},
			"RUNNING":   func(c *aws.Config) { c.Region = "eu-west-1" },
			"SUCCEEDED": func(c *aws.Config) { c.Credentials = b.Credentials("210987654321") },
		} {
			cfg := once(b.Config())
			change(&cfg)
			client := batch.NewFromConfig(cfg)
			out, err := client.DescribeJobs(b.ctx, &batch.DescribeJobsInput{Jobs: []string{"j"}})
			b.must(err)
			if got := out.Jobs[0].Status; got != want {
				b.Errorf("got %s, want %s", got, want)
			}
			_, err = client.DescribeJobs(b.ctx, &batch.DescribeJobsInput{Jobs: []string{"j"}})
			refused(b, err, "TooManyRequestsException")
		}
	})
}
