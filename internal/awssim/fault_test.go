package awssim_test

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/batch"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/rescindhq/rescind/internal/awssim"
	simbatch "github.com/rescindhq/rescind/internal/awssim/batch"
)

var unlimited = map[string]awssim.Quota{"batch:*": {}}

// fates cancels jobs one by one, each until it succeeds, on several goroutines in an order
// of their own, and returns what happened to each job, in turn.
func fates(t *testing.T, seed, order uint64, quotas map[string]awssim.Quota) map[string]string {
	t.Helper()
	got := map[string]string{}
	rules := awssim.Faults{"batch:CancelJob": {Broken: 0.2, Lost: 0.2, Denied: 0.1, Late: 0.3, LateBy: time.Second}}
	inBubble(t, awssim.Options{Seed: seed, Faults: rules, Quotas: quotas}, func(b *bubble) {
		var mu sync.Mutex
		var group sync.WaitGroup
		jobs := rand.New(rand.NewPCG(order, 0)).Perm(60)
		for part := range slices.Chunk(jobs, 20) {
			group.Go(func() {
				for _, j := range part {
					id := "job-" + strconv.Itoa(j)
					var fate strings.Builder
					for range 100 {
						began := time.Now()
						err := b.stoppers()["CancelJob"]("reason", id)
						for codeOf(err) == "TooManyRequestsException" {
							time.Sleep(time.Second)
							began = time.Now()
							err = b.stoppers()["CancelJob"]("reason", id)
						}
						fate.WriteString(codeOf(err) + " " + time.Since(began).String() + ";")
						if err == nil {
							break
						}
					}
					if n := strings.Count(fate.String(), ";"); n == 100 {
						b.Errorf("%s never came through: each try must be drawn anew", id)
					}
					mu.Lock()
					got[id] = fate.String()
					mu.Unlock()
				}
			})
		}
		group.Wait()
	})
	return got
}

func TestFaultsDoNotDependOnOrder(t *testing.T) {
	one := fates(t, 1, 1, unlimited)
	if other := fates(t, 1, 2, unlimited); !maps.Equal(one, other) {
		t.Errorf("another order of calls, other fates:\n%v\n%v", one, other)
	}
	if other := fates(t, 1, 2, map[string]awssim.Quota{"batch:*": {Rate: 2}}); !maps.Equal(one, other) {
		t.Errorf("throttled in between, other fates:\n%v\n%v", one, other)
	}
	if other := fates(t, 2, 1, unlimited); maps.Equal(one, other) {
		t.Error("another seed, the same fates")
	}
	all := strings.Join(slices.Collect(maps.Values(one)), "")
	for _, what := range []string{"no answer", "AccessDeniedException", "ServerException", "ServiceUnavailable", " 1s;", " 0s;"} {
		if !strings.Contains(all, what) {
			t.Errorf("%q never happened", what)
		}
	}
}

// A bulk request's own fate is that of its smallest item, whoever is with it; each item's fate
// in its answer is the item's.
func TestBulkFaultsAreTheItems(t *testing.T) {
	itemFates := func(size int) map[string]string {
		got := map[string]string{}
		inBubble(t, awssim.Options{Faults: awssim.Faults{"batch:*": {Items: 0.5}}, Quotas: unlimited}, func(b *bubble) {
			ids := make([]string, 60)
			for i := range ids {
				ids[i] = "job-" + strconv.Itoa(i)
			}
			for part := range slices.Chunk(ids, size) {
				out, err := b.batch.CancelJobs(b.ctx, &batch.CancelJobsInput{Jobs: part, Reason: aws.String("r")})
				b.must(err)
				for _, e := range out.Errors {
					got[*e.Job] = *e.Code
				}
				if len(out.Errors)+len(out.Successful) != len(part) {
					b.Errorf("%d answers for %d jobs", len(out.Errors)+len(out.Successful), len(part))
				}
			}
		})
		return got
	}
	byTwenty := itemFates(20)
	if n := len(byTwenty); n < 15 || n > 45 {
		t.Errorf("%d of 60 failed at a chance of one half", n)
	}
	if byThree := itemFates(3); !maps.Equal(byTwenty, byThree) {
		t.Errorf("in other company, other fates:\n%v\n%v", byTwenty, byThree)
	}
	codes := slices.Compact(slices.Sorted(maps.Values(byTwenty)))
	if !slices.Equal(codes, []string{"ServerException", "ThrottlingException"}) {
		t.Errorf("codes: %v", codes)
	}
	wholeFate := func(ids ...string) (code string) {
		inBubble(t, awssim.Options{Faults: awssim.Faults{"*": {Broken: 0.5}}, Quotas: unlimited}, func(b *bubble) {
			code = codeOf(b.stoppers()["CancelJobs"]("r", ids...))
		})
		return code
	}
	for i := range 20 {
		smallest := "a" + strconv.Itoa(i)
		if alone, together := wholeFate(smallest), wholeFate("x", smallest, "b"); alone != together {
			t.Errorf("%s: %q alone, %q with others", smallest, alone, together)
		}
	}
}

// What a 5xx, a refusal and a cut connection did and did not do.
func TestWhatFaultsLeave(t *testing.T) {
	for _, c := range []struct {
		name    string
		fault   awssim.Fault
		code    string
		stopped bool
		kind    awssim.FaultKind
	}{
		{"unsent", awssim.Fault{Unsent: 1}, "no answer", false, awssim.Unsent},
		{"broken", awssim.Fault{Broken: 1}, "ServerException", false, awssim.Broken},
		{"denied", awssim.Fault{Denied: 1}, "AccessDeniedException", false, awssim.Denied},
		{"doubtful", awssim.Fault{Doubtful: 1}, "ServerException", true, awssim.Doubtful},
		{"lost", awssim.Fault{Lost: 1}, "no answer", true, awssim.Lost},
		{"none", awssim.Fault{}, "", true, awssim.NoFault},
		{"spared by id", awssim.Fault{Broken: 1, Match: func(id string) bool { return id != "j" }}, "", true, awssim.NoFault},
	} {
		inBubble(t, awssim.Options{History: true, Faults: awssim.Faults{"batch:CancelJob": c.fault}}, func(b *bubble) {
			b.PutJobs(awssim.Job{ID: "j"})
			err := b.stoppers()["CancelJob"]("reason", "j")
			if got := codeOf(err); got != c.code && (c.code != "ServerException" || got != "ServiceUnavailable") {
				b.Errorf("%s: got %q, want %q", c.name, got, c.code)
			}
			if j, _ := b.Job("j"); j.Cancelled != c.stopped {
				b.Errorf("%s: cancelled is %v, want %v", c.name, j.Cancelled, c.stopped)
			}
			if h := b.History(); len(h) != 1 || h[0].Fault != c.kind || !slices.Equal(h[0].Items, []string{"j"}) {
				b.Errorf("%s: history %+v", c.name, h)
			}
		})
	}
}

func TestFaultsEnd(t *testing.T) {
	inBubble(t, awssim.Options{Faults: awssim.Faults{"batch:CancelJob": {Broken: 1, Times: 2}}}, func(b *bubble) {
		stop := b.stoppers()["CancelJob"]
		for _, want := range []bool{true, true, false, false} {
			if failed := stop("r", "j") != nil; failed != want {
				b.Errorf("failed is %v, want %v", failed, want)
			}
		}
		if stop("r", "other") == nil {
			b.Error("another item was spared")
		}
		b.SetFaults(nil)
		b.must(stop("r", "another"))
	})
}

func TestSlowStateChange(t *testing.T) {
	inBubble(t, awssim.Options{Batch: simbatch.Options{StopAfter: time.Second}, Faults: awssim.Faults{"batch:*": {Slow: 1, SlowBy: time.Minute}}}, func(b *bubble) {
		b.PutJobs(awssim.Job{ID: "j"})
		b.must(b.stoppers()["CancelJobs"]("r", "j"))
		time.Sleep(61*time.Second - time.Nanosecond)
		if j, _ := b.Job("j"); j.State != "RUNNABLE" {
			b.Errorf("too early: %s", j.State)
		}
		time.Sleep(time.Nanosecond)
		if j, _ := b.Job("j"); j.State != "FAILED" {
			b.Errorf("too late: %s", j.State)
		}
	})
}

// Partial failures of SQS and SNS batches, and who is to blame.
func TestPartialFailures(t *testing.T) {
	only := func(body string) func(string) bool {
		return func(item string) bool { return item == body }
	}
	const md5OfB = "92eb5ffee6ae2fec3ad71c777531578f"
	inBubble(t, awssim.Options{Faults: awssim.Faults{"*": {Items: 1, Times: 1, Match: only(md5OfB)}}}, func(b *bubble) {
		url, topic := b.queue("q", nil), b.topic()
		send := func() *sqs.SendMessageBatchOutput {
			in := &sqs.SendMessageBatchInput{QueueUrl: url}
			for _, body := range []string{"a", "b"} {
				in.Entries = append(in.Entries, types.SendMessageBatchRequestEntry{Id: &body, MessageBody: &body})
			}
			out, err := b.sqs.SendMessageBatch(b.ctx, in)
			b.must(err)
			return out
		}
		first := send()
		if len(first.Successful) != 1 || len(first.Failed) != 1 || *first.Failed[0].Id != "b" || first.Failed[0].SenderFault {
			b.Errorf("sent %+v, failed %+v", first.Successful, first.Failed)
		}
		if second := send(); len(second.Failed) != 0 {
			b.Errorf("failed a second time: %+v", second.Failed)
		}
		published, err := b.publishBatch(topic, "a", "b")
		b.must(err)
		if len(published.Failed) != 1 || *published.Failed[0].Id != "1" || published.Failed[0].SenderFault {
			b.Errorf("published %+v, failed %+v", published.Successful, published.Failed)
		}
		got := b.receive(url, 10, 0)
		b.SetFaults(awssim.Faults{"*": {Items: 1, Match: only(*got[0].MessageId)}})
		deleteAll := &sqs.DeleteMessageBatchInput{QueueUrl: url}
		release := &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: url}
		for _, m := range got {
			deleteAll.Entries = append(deleteAll.Entries, types.DeleteMessageBatchRequestEntry{Id: m.MessageId, ReceiptHandle: m.ReceiptHandle})
			release.Entries = append(release.Entries, types.ChangeMessageVisibilityBatchRequestEntry{Id: m.MessageId, ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: 60})
		}
		released, err := b.sqs.ChangeMessageVisibilityBatch(b.ctx, release)
		b.must(err)
		if len(released.Failed) != 1 || *released.Failed[0].Id != *got[0].MessageId || released.Failed[0].SenderFault {
			b.Errorf("released: %+v", released.Failed)
		}
		deleted, err := b.sqs.DeleteMessageBatch(b.ctx, deleteAll)
		b.must(err)
		if len(deleted.Failed) != 1 || *deleted.Failed[0].Id != *got[0].MessageId {
			b.Errorf("deleted: %+v", deleted.Failed)
		}
		b.depth(url, awssim.Depth{InFlight: 1})
		if c := b.Counts()["sqs:DeleteMessageBatch"]; c.FailedItems != 1 || c.Items != 3 || c.OK != 1 {
			b.Errorf("counts: %+v", c)
		}
	})
}

func TestDownAndHang(t *testing.T) {
	inBubble(t, awssim.Options{History: true}, func(b *bubble) {
		url, topic := b.queue("q", nil), b.topic()
		b.SetDown("sns", true)
		_, err := b.publishBatch(topic, "a")
		refused(b, err, "ServiceUnavailable")
		b.must(b.tryReceive(url, 1, 0)) // others work
		b.SetDown("sns", false)
		_, err = b.publishBatch(topic, "a")
		b.must(err)

		b.SetHang("sns", true)
		ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
		defer cancel()
		inner := *b
		inner.ctx = ctx
		_, err = inner.publishBatch(topic, "b")
		refused(b, err, "no answer")
		began := time.Now()
		go func() {
			time.Sleep(time.Hour)
			b.SetHang("sns", false)
		}()
		_, err = b.publishBatch(topic, "c")
		b.must(err)
		if took := time.Since(began); took != time.Hour {
			b.Errorf("took %v, want an hour", took)
		}
		synctest.Wait()
		var kinds []awssim.FaultKind
		for _, r := range b.History() {
			if r.Service == "sns" {
				kinds = append(kinds, r.Fault)
			}
		}
		if !slices.Equal(kinds, []awssim.FaultKind{awssim.Down, "", awssim.Hung, ""}) {
			b.Errorf("history: %v", kinds)
		}
	})
}

// Close answers nobody and leaves nobody behind, whatever waits: a long poll, a hang, a
// latency.
func TestCloseEndsWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := awssim.New(awssim.Options{Faults: awssim.Faults{"sts:*": {Late: 1, LateBy: time.Hour}}})
		b := &bubble{T: t, Sim: sim, ctx: t.Context(), sqs: sqs.NewFromConfig(once(sim.Config())), batch: batch.NewFromConfig(once(sim.Config()))}
		url := b.queue("q", nil)
		sim.SetHang("batch", true)
		var group sync.WaitGroup
		group.Go(func() { refused(t, b.tryReceive(url, 1, 20), "no answer") })
		group.Go(func() { refused(t, b.stoppers()["CancelJob"]("r", "j"), "no answer") })
		synctest.Wait()
		began := time.Now()
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
		group.Wait()
		if took := time.Since(began); took != 0 {
			t.Errorf("closing took %v", took)
		}
		refused(t, b.tryReceive(url, 1, 20), "no answer")
	})
}
