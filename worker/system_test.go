package worker_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker"
)

func TestACommandComesToItsOutcome(t *testing.T) {
	inBubble(t, func(r *rig) {
		const job = "1d828f65-7a4d-42e8-996d-3b900ed59dc4" // as on the API page of CancelJob
		r.sim.PutJobs(awssim.Job{ID: job, State: "RUNNABLE"})
		r.send(cancelJob("one", job))
		d := r.settled(1, time.Minute)["one"]
		if d.Status != handlers.Cancelled || d.Verdict != handlers.Stopped || d.ConfirmedBy != "poll" {
			t.Errorf("got %s, %s by %s: want cancelled, stopped, by poll: %+v", d.Status, d.Verdict, d.ConfirmedBy, d)
		}
		if d.Attempts.Calls != 2 {
			t.Errorf("%d calls, want CancelJobs and DescribeJobs", d.Attempts.Calls)
		}
		if got, _ := r.sim.Job(job); got.Reason != "over budget" {
			t.Errorf("the job's reason is %q", got.Reason)
		}
	})
}

func TestTheSameCommandTwiceIsOneSetOfCalls(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.sim.PutJobs(awssim.Job{ID: "job", State: "RUNNABLE"})
		// At once, so that one finds the other held; and later, when it has ended.
		r.send(cancelJob("one", "job"), cancelJob("one", "job"))
		r.settled(1, 2*time.Minute)
		r.send(cancelJob("one", "job"))
		time.Sleep(time.Minute)
		synctest.Wait()
		bodies := r.published()
		if len(bodies) != 3 || bodies[0] != bodies[1] || bodies[1] != bodies[2] {
			t.Errorf("want three times the same outcome, got:\n%s", strings.Join(bodies, "\n"))
		}
		if n := r.sim.Counts()["batch:CancelJobs"].Requests; n != 1 {
			t.Errorf("%d cancelling calls, want 1", n)
		}
	})
}

func TestThousandsShareTheirRequests(t *testing.T) {
	inBubble(t, func(r *rig) {
		const n = 1000
		bodies := make([]string, n)
		for i := range bodies {
			job := fmt.Sprintf("job-%d", i)
			r.sim.PutJobs(awssim.Job{ID: job, State: "RUNNABLE"})
			bodies[i] = cancelJob(fmt.Sprintf("c-%d", i), job)
		}
		r.send(bodies...)
		if got := tally(r.settled(n, time.Hour)); got != fmt.Sprintf("cancelled:%d", n) {
			t.Error(got)
		}
		t.Logf("requests: %+v", r.sim.Counts())
	}, func(s *awssim.Options, _ *worker.Options) { s.Latency = 5 * time.Millisecond })
}

func TestGuardsRefuseBeforeAnyCall(t *testing.T) {
	rows := []struct {
		name, extra string
		status      handlers.Status
		code, says  string
	}{
		{"another account without a role", `"account":"999999999999"`, handlers.Denied, "PolicyDenied", "RESCIND_ROLE"},
		{"a region that is not allowed", `"region":"eu-west-1"`, handlers.Denied, "PolicyDenied", "RESCIND_REGIONS"},
		{"past its expiry", `"expiresAt":"1999-12-31T23:59:59Z"`, handlers.Expired, "Expired", "1999-12-31T23:59:59Z"},
		{"a dry run past its expiry", `"dryRun":true,"expiresAt":"1999-12-31T23:59:59Z"`, handlers.Expired, "Expired", "1999-12-31T23:59:59Z"},
		{"a dry run in a region that is not allowed", `"dryRun":true,"region":"eu-west-1"`, handlers.Denied, "PolicyDenied", "RESCIND_REGIONS"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				r.sim.PutJobs(awssim.Job{ID: "job", State: "RUNNABLE"})
				r.send(`{"id":"one","action":"batch:CancelJob","parameters":{"jobId":"job"},` + row.extra + `}`)
				d := r.settled(1, time.Minute)["one"]
				if d.Status != row.status || d.Verdict != handlers.NotRun || d.Code != row.code || !strings.Contains(d.Message, row.says) {
					t.Errorf("got %s/%s %s %q", d.Status, d.Verdict, d.Code, d.Message)
				}
				if len(d.Targets) != 1 || d.Targets[0].Status != row.status {
					t.Errorf("targets: %+v", d.Targets)
				}
				if n := r.calls("batch"); n != 0 {
					t.Errorf("%d calls were made", n)
				}
			})
		})
	}
}

func TestADryRunHasAKeySpaceOfItsOwn(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.sim.PutJobs(awssim.Job{ID: "job", State: "RUNNABLE"})
		r.send(`{"id":"one","action":"batch:CancelJob","parameters":{"jobId":"job"},"dryRun":true}`)
		r.settled(1, time.Minute)
		r.send(`{"id":"one","action":"batch:CancelJob","parameters":{"jobId":"job"}}`)
		time.Sleep(time.Minute)
		synctest.Wait()
		bodies := r.published()
		if len(bodies) != 2 || !strings.Contains(bodies[1], `"status":"cancelled"`) {
			t.Errorf("want the dry run's outcome and then the real one's:\n%s", strings.Join(bodies, "\n"))
		}
	})
}

func TestARoleOpensOtherAccounts(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.sim.PutJobs(awssim.Job{ID: "job", Account: "999999999999", State: "RUNNABLE"})
		r.send(`{"id":"one","action":"batch:CancelJob","parameters":{"jobId":"job"},"account":"999999999999"}`)
		if d := r.settled(1, time.Minute)["one"]; d.Status != handlers.Cancelled {
			t.Errorf("got %s: %+v", d.Status, d)
		}
	}, func(_ *awssim.Options, w *worker.Options) { w.Role = "arn:aws:iam::{account}:role/rescind" })
}

func TestBadInputIsReportedAndDeadLettered(t *testing.T) {
	rows := []struct{ name, body, says string }{
		{"not JSON", `cancel it all`, "body"},
		{"empty", ` `, "body"},
		{"an unknown field", `{"id":"x","action":"batch:CancelJob","parameters":{"jobId":"j"},"reasn":"x"}`, "did you mean reason?"},
		{"an unknown parameter", `{"id":"x","action":"batch:CancelJob","parameters":{"jobID":"j"}}`, "did you mean parameters.jobId?"},
		{"a wrong type", `{"id":"x","action":"batch:CancelJob","parameters":{"jobId":7}}`, "parameters.jobId"},
		{"a broken constraint", `{"id":"x","action":"batch:CancelJob","parameters":{"jobId":""}}`, "parameters.jobId"},
		{"an unknown action", `{"id":"x","action":"batch:CancelJbo","parameters":{"jobId":"j"}}`, `"batch:CancelJob"`},
		{"too large", `{"id":"x","action":"batch:CancelJob","parameters":{"jobId":"j"},"reason":"` + strings.Repeat("x", 300_000) + `"}`, "body"},
		{"confirmation for too long", `{"id":"x","action":"batch:CancelJob","parameters":{"jobId":"j"},"confirm":"13h"}`, "at most 12h"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				r.send(row.body)
				got := r.settled(1, time.Minute)
				for _, d := range got {
					if d.Status != handlers.Invalid || d.Verdict != handlers.NotRun || d.Code != "Invalid" || !strings.Contains(d.Message, row.says) {
						t.Errorf("got %s/%s %s %q, want invalid, and a message with %s", d.Status, d.Verdict, d.Code, d.Message, row.says)
					}
				}
				dead := r.sim.Messages(r.deadLetters)
				if len(dead) != 1 || dead[0].Body != row.body {
					t.Fatalf("%d messages are dead-lettered, want the original", len(dead))
				}
				if mark := dead[0].Attributes["rescind"]; !strings.Contains(mark.StringValue, `"reason":`) {
					t.Errorf("the mark is %+v", mark)
				}
				if n := r.calls("batch"); n != 0 {
					t.Errorf("%d calls were made", n)
				}
			})
		})
	}
}

func TestAnIDUsedAgainWithOtherContentIsInvalid(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.sim.PutJobs(awssim.Job{ID: "job", State: "RUNNABLE"}, awssim.Job{ID: "other", State: "RUNNABLE"})
		r.send(cancelJob("one", "job"))
		r.settled(1, time.Minute)
		r.send(cancelJob("one", "other"))
		time.Sleep(time.Minute)
		synctest.Wait()
		bodies := r.published()
		if len(bodies) != 2 || !strings.Contains(bodies[1], `"status":"invalid"`) || !strings.Contains(bodies[1], "id was used before") || !strings.Contains(bodies[1], "give this one a new id, such as one.2") {
			t.Errorf("outcomes:\n%s", strings.Join(bodies, "\n"))
		}
		if j, _ := r.sim.Job("other"); j.State != "RUNNABLE" {
			t.Errorf("the other job is %s", j.State)
		}
		if n := len(r.sim.Messages(r.deadLetters)); n != 1 {
			t.Errorf("%d messages are dead-lettered, want 1", n)
		}
		r.send(cancelJob("one", "job"))
		time.Sleep(time.Minute)
		synctest.Wait()
		if again := r.published(); len(again) != 3 || again[2] != again[0] {
			t.Error("the first command's outcome is no longer the same")
		}
	})
}

func TestTimeRunsOutHonestly(t *testing.T) {
	throttled := func(s *awssim.Options, _ *worker.Options) {
		s.Quotas = map[string]awssim.Quota{"batch:CancelJobs": {Rate: 1e-9, Burst: 1}}
	}
	t.Run("expiresAt before a call could begin", func(t *testing.T) {
		inBubble(t, func(r *rig) {
			r.sim.PutJobs(awssim.Job{ID: "a", State: "RUNNABLE"}, awssim.Job{ID: "b", State: "RUNNABLE"})
			r.send(cancelJob("first", "a"))
			r.settled(1, time.Minute) // takes the only token
			expires := time.Now().Add(20 * time.Minute).UTC().Format(time.RFC3339)
			r.send(`{"id":"late","action":"batch:CancelJob","parameters":{"jobId":"b"},"expiresAt":"` + expires + `"}`)
			d := r.settled(2, time.Hour)["late"]
			// Calls were made and throttled: that AWS did not take one is known from its state.
			if d.Status != handlers.Failed || d.Code != "Expired" || d.Verdict != handlers.NotStopped {
				t.Errorf("got %s/%s %s %q", d.Status, d.Verdict, d.Code, d.Message)
			}
			if d.Attempts.Throttled == 0 {
				t.Errorf("attempts %+v", d.Attempts)
			}
		}, throttled)
	})
	t.Run("older than the give-up age", func(t *testing.T) {
		inBubble(t, func(r *rig) {
			r.sim.PutJobs(awssim.Job{ID: "a", State: "RUNNABLE"}, awssim.Job{ID: "b", State: "RUNNABLE"})
			r.send(cancelJob("first", "a"))
			r.settled(1, time.Minute)
			r.send(cancelJob("late", "b"))
			d := r.settled(2, 3*time.Hour)["late"]
			if d.Status != handlers.Failed || d.Targets[0].Code != "GaveUp" {
				t.Errorf("got %s %+v", d.Status, d)
			}
			if age := d.FinishedAt.Sub(d.EnqueuedAt); age < time.Hour || age > 90*time.Minute {
				t.Errorf("it ended at an age of %s, want soon after an hour", age)
			}
		}, throttled, func(_ *awssim.Options, w *worker.Options) { w.GiveUp = time.Hour })
	})
}

func TestAnHourOfThrottlingCostsTimeAndNothingElse(t *testing.T) {
	inBubble(t, func(r *rig) {
		const n = 100
		bodies := make([]string, n)
		for i := range bodies {
			job := fmt.Sprintf("job-%d", i)
			r.sim.PutJobs(awssim.Job{ID: job, State: "RUNNABLE"})
			bodies[i] = cancelJob(fmt.Sprintf("c-%d", i), job)
		}
		r.sim.SetQuota("batch:CancelJobs", awssim.Quota{Rate: 1e-9, Burst: 1})
		r.sim.SetQuota("batch:DescribeJobs", awssim.Quota{Rate: 1e-9, Burst: 1})
		r.send(bodies...)
		time.Sleep(time.Hour)
		r.sim.SetQuota("batch:CancelJobs", awssim.Quota{})
		r.sim.SetQuota("batch:DescribeJobs", awssim.Quota{})
		got := r.settled(n, time.Hour)
		if tally(got) != fmt.Sprintf("cancelled:%d", n) {
			t.Error(tally(got))
		}
	})
}
