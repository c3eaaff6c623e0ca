package worker_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker"
	"github.com/rescindhq/rescind/worker/ledger"
	"github.com/rescindhq/rescind/worker/ledger/dynamo"
	"github.com/rescindhq/rescind/worker/outcome"
)

// TestNoFieldOfACommandStopsAWorker: every field of every action at its maximum and beyond ends with
// one outcome, on both ledgers, while the commands between them end in their usual time and readiness
// says nothing.
func TestNoFieldOfACommandStopsAWorker(t *testing.T) {
	var rows []extreme
	for _, service := range worker.Services() {
		for _, h := range service(func(handlers.Location) aws.Config { return aws.Config{} }) {
			rows = append(rows, extremes(t, h)...)
		}
	}
	for _, c := range []struct{ member, atMost, beyond string }{
		{"campaign", strings.Repeat(widest, 128), strings.Repeat("c", 129)},
		{"requestedBy", strings.Repeat(widest, 128), strings.Repeat("c", 3000)},
		{"reason", strings.Repeat(widest, 1024), strings.Repeat("c", 1025)},
		{"id", strings.Repeat("i", 128), strings.Repeat("i", 3000)},
	} {
		for _, value := range []string{c.atMost, c.beyond} {
			rows = append(rows, extreme{c.member, map[string]any{
				"action": "batch:CancelJob", "parameters": map[string]any{"jobId": "none"}, c.member: value,
			}, value == c.beyond})
		}
	}
	for _, store := range []string{"bolt", "dynamodb"} {
		t.Run(store, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				if store == "dynamodb" {
					r.onTable()
				}
				r.amongPoison(rows)
			}, func(s *awssim.Options, _ *worker.Options) { s.Latency, s.History = 5*time.Millisecond, false })
		})
	}
}

// onTable starts the worker again on a ledger in DynamoDB.
func (r *rig) onTable() {
	r.must(r.stop())
	r.must(dynamo.CreateTable(r.t.Context(), r.sim.Config(), "ledger"))
	table, err := dynamo.Open(r.t.Context(), r.sim.Config(), "ledger", dynamo.Options{})
	r.must(err)
	r.startOn(worker.Options{}, func(ledger.Ledger) ledger.Ledger { return table })
	stop := r.stop
	r.stop = func() error {
		stopped := stop()
		r.must(table.Close())
		return stopped
	}
}

// amongPoison sends twenty good commands among the rows, and holds all to their ends.
func (r *rig) amongPoison(rows []extreme) {
	good := r.fleet(20)
	var bodies []string
	for i, row := range rows {
		if i%(len(rows)/len(good)) == 0 && i/(len(rows)/len(good)) < len(good) {
			bodies = append(bodies, good[i/(len(rows)/len(good))])
		}
		if row.command["id"] == nil {
			row.command["id"] = fmt.Sprint("x-", i)
		}
		body, err := json.Marshal(row.command)
		r.must(err)
		bodies = append(bodies, string(body))
	}
	r.send(bodies...)
	for end := time.Now().Add(time.Minute); time.Now().Before(end) && r.sim.Depth(r.queue) != (awssim.Depth{}); {
		time.Sleep(10 * time.Millisecond)
		if why := r.w.Ready(); len(why) > 0 {
			r.t.Fatalf("readiness says %v", why)
		}
	}
	synctest.Wait()
	if _, took := r.latencies("c-"); len(took) != len(good) || p99(took) > 5*time.Second {
		r.t.Errorf("%d of %d good commands have an outcome, the last after %s", len(took), len(good), took)
	}
	times := map[string]int{}
	for _, body := range r.published() {
		e, err := outcome.Parse([]byte(body))
		r.must(err)
		times[e.Data.CommandID]++
	}
	got := r.outcomes()
	for _, row := range rows {
		id := row.command["id"].(string)
		if row.name == "id" && row.beyond {
			id = "" // it is none that an outcome could name
		}
		d, n := got[id], times[id]
		switch bad := d.Status == handlers.Invalid || d.Code == outcome.CodeInternal; {
		case n != 1:
			r.t.Errorf("%s %s (beyond: %t) has %d outcomes", row.command["action"], row.name, row.beyond, n)
		case bad != row.beyond || bad && d.Message == "":
			r.t.Errorf("%s %s (beyond: %t) ended as %s %s %.300s", row.command["action"], row.name, row.beyond, d.Status, d.Code, d.Message)
		}
	}
}

// rejecting is a ledger that can never store what a method writes of the command of that name.
type rejecting struct{ ledger.Ledger }

func (l rejecting) unless(key, method string, do func() error) error {
	if key == method {
		return fmt.Errorf("storing %q: %w", key, ledger.ErrRejected)
	}
	return do()
}

func (l rejecting) Claim(ctx context.Context, e ledger.Entry, lease time.Duration) (c *ledger.Claim, err error) {
	return c, l.unless(e.Key, "claim", func() error {
		c, err = l.Ledger.Claim(ctx, e, lease)
		return err
	})
}

func (l rejecting) Progress(ctx context.Context, updates ...ledger.Update) []error {
	errs := make([]error, len(updates))
	for i, u := range updates {
		errs[i] = l.unless(u.Token.Key, "progress", func() error { return l.Ledger.Progress(ctx, u)[0] })
	}
	return errs
}

func (l rejecting) Release(ctx context.Context, u ledger.Update) error {
	return l.unless(u.Token.Key, "release", func() error { return l.Ledger.Release(ctx, u) })
}

func (l rejecting) Complete(ctx context.Context, t ledger.Token, event []byte) error {
	return l.unless(t.Key, "complete", func() error { return l.Ledger.Complete(ctx, t, event) })
}

// TestARecordThatCannotBeStoredEndsItsCommand, whatever of it cannot be stored, and harms no other.
func TestARecordThatCannotBeStoredEndsItsCommand(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.must(r.stop())
		r.startOn(worker.Options{Patience: 3 * time.Second}, func(l ledger.Ledger) ledger.Ledger { return rejecting{l} })
		r.sim.SetDown("iot", true) // which has the release of a command of its
		r.send(append(r.fleet(20), cancelJob("claim", "job-1"), cancelJob("progress", "job-2"), cancelJob("complete", "job-3"),
			`{"id":"release","action":"iot:CancelJob","parameters":{"jobId":"j"}}`)...)
		for range 300 {
			time.Sleep(100 * time.Millisecond)
			if why := r.w.Ready(); len(why) > 0 {
				r.t.Fatalf("readiness says %v", why)
			}
		}
		if got := tally(r.settled(24, 0)); got != "cancelled:21 failed:3" {
			r.t.Error(got)
		}
		if n := len(r.published()); n != 24 {
			r.t.Errorf("%d outcomes were published", n)
		}
		for _, id := range []string{"claim", "progress", "release"} {
			if d := r.outcomes()[id]; d.Status != handlers.Failed || d.Code != outcome.CodeInternal || !strings.Contains(d.Message, "stored") {
				r.t.Errorf("%s ended as %s %s %q", id, d.Status, d.Code, d.Message)
			}
		}
		if n := len(r.sim.Messages(r.deadLetters)); n != 3 {
			r.t.Errorf("%d messages are dead-lettered, want 3", n)
		}
	})
}
