package worker_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker"
)

// TestARefusalThatSticksSaysSo: what ends under a command's id ends it for good, so that its text says how the command
// can be run again.
func TestARefusalThatSticksSaysSo(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.sim.PutJobs(awssim.Job{ID: "job", State: "RUNNABLE"})
		long := strings.Repeat("x", 128)
		send := func(id, more string) {
			r.send(fmt.Sprintf(`{"id":%q,"action":"batch:CancelJob","parameters":{"jobId":"job"}%s}`, id, more))
		}
		send("region", `,"region":"eu-west-1"`)
		send("account", `,"account":"999999999999"`)
		send("expired", `,"expiresAt":"1999-12-31T00:00:00Z"`)
		send(long, `,"region":"eu-west-1"`)
		found := r.settled(4, time.Hour)
		for id, says := range map[string]string{
			"region": "; to run it again, give it a new id, such as region.2", "account": "; to run it again, give it a new id, such as account.2",
			"expired": "; to run it again, give it a new id, such as expired.2", long: "; to run it again, give it a new id",
		} {
			d := found[id]
			text := d.Message
			if len(d.Targets) > 0 {
				text = d.Targets[0].Message
			}
			if !strings.HasSuffix(text, says) {
				t.Errorf("%.10s is %s: %q, want it to end in %q", id, d.Status, text, says)
			}
		}
	})
}

func TestGivingUpSaysHowToGoOn(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.send(`{"id":"one","action":"batch:CancelJob","parameters":{"jobId":"job"}}`)
		d := r.settled(1, 3*time.Hour)["one"]
		if d.Targets[0].Code != "GaveUp" || !strings.HasSuffix(d.Targets[0].Message, "; to run it again, give it a new id, such as one.2") {
			t.Errorf("%s: %+v", d.Status, d.Targets)
		}
	}, func(s *awssim.Options, w *worker.Options) {
		s.Faults = awssim.Faults{"batch:*": {Broken: 1}}
		w.GiveUp = time.Hour
	})
}
