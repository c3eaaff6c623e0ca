package worker_test

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/handlers/emr"
	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker"
	"github.com/rescindhq/rescind/worker/ledger"
)

// judging panics once over a step's state, while calls for others of its command are under way.
type judging struct {
	handlers.Handler
	step             string
	panics, underWay *atomic.Int64
}

func (j judging) Cancel() handlers.Call[handlers.Answer] {
	call := j.Handler.Cancel()
	do := call.Do
	call.Do = func(ctx context.Context, at handlers.Location, targets []handlers.Target) []handlers.Answer {
		refusal := &handlers.Error{Class: handlers.Refused, Code: "InvalidRequestException"}
		ids := handlers.IDs(targets)
		switch {
		case slices.ContainsFunc(ids, func(id string) bool { return strings.HasPrefix(id, "bad-") }):
			return handlers.Fill(len(targets), handlers.Answer{Err: refusal})
		case slices.Equal(ids, []string{j.step}):
			return []handlers.Answer{{Err: &handlers.Error{Class: handlers.Unsettled, Code: "FAILED"}}}
		}
		j.underWay.Add(1)
		defer j.underWay.Add(-1)
		time.Sleep(5 * time.Second)
		return do(ctx, at, targets)
	}
	return call
}

func (j judging) Judge(t handlers.Target, tried handlers.Tried, r handlers.Reading) handlers.Answer {
	if t.ID == j.step && j.panics.Add(1) == 1 {
		panic("in Judge")
	}
	return j.Handler.Judge(t, tried, r)
}

// releasing is a ledger that counts the claims which are released while calls are under way.
type releasing struct {
	ledger.Ledger
	underWay, early *atomic.Int64
}

func (l releasing) Release(ctx context.Context, u ledger.Update) error {
	if l.underWay.Load() > 0 {
		l.early.Add(1)
	}
	return l.Ledger.Release(ctx, u)
}

// A panic over one target's state waits for the calls that are under way for the others: what AWS says to
// these is stored with the rest.
func TestAPanicOverOneTargetLosesNoAnswerOfTheOthers(t *testing.T) {
	var panics, underWay, early atomic.Int64
	ids := steps(16)
	ids[12] = "bad-one"
	inBubble(t, func(r *rig) {
		r.must(r.stop())
		r.startOn(worker.Options{Services: []worker.Service{func(config func(handlers.Location) aws.Config) []handlers.Handler {
			return []handlers.Handler{judging{emr.New(config)[0], ids[5], &panics, &underWay}}
		}}}, func(l ledger.Ledger) ledger.Ledger { return releasing{l, &underWay, &early} })
		for _, id := range ids {
			if id != "bad-one" {
				r.sim.PutSteps(awssim.Step{Cluster: "j-1", ID: id})
			}
		}
		r.send(stepsOf("one", "j-1", ids))
		d := r.settled(1, time.Hour)["one"]
		if panics.Load() < 2 {
			t.Errorf("the step was judged %d times: the test shows nothing", panics.Load())
		}
		if n := early.Load(); n > 0 {
			t.Errorf("the claim was released %d times while calls were under way: %s %v", n, d.Status, d.Counts)
		}
		if d.Counts[handlers.Accepted] != 14 {
			t.Errorf("got %v, want 14 accepted", d.Counts)
		}
	}, func(s *awssim.Options, _ *worker.Options) { s.Latency = 20 * time.Millisecond })
}
