package worker_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker"
)

// Where AWS denies calls the commands end at once; the log and /readyz say so, with what to allow.
func TestDeniedCallsAreSaid(t *testing.T) {
	log, logs := observer.New(zapcore.InfoLevel)
	inBubble(t, func(r *rig) {
		r.sim.SetFaults(awssim.Faults{"iot:CancelJobExecution": {Denied: 1}})
		for i := range 90 {
			r.sim.PutJobExecutions(awssim.JobExecution{Thing: fmt.Sprintf("t-%d", i), Job: "j"})
			r.send(fmt.Sprintf(`{"id":"c-%d","action":"iot:CancelJobExecution","parameters":{"thingName":"t-%d","jobId":"j"}}`, i, i))
			time.Sleep(time.Second)
		}
		for id, d := range r.settled(90, time.Minute) {
			if d.Status != handlers.Denied {
				t.Errorf("%s is %s", id, d.Status)
			}
		}
		said := logs.FilterMessage("lane answers, and denies calls: their commands end as denied").All()
		if len(said) != 2 {
			t.Fatalf("%d lines, want one at once and one a minute later", len(said))
		}
		m := said[0].ContextMap()
		if m["name"] != "iot:CancelJobExecution 123456789012 us-east-1" || !strings.Contains(fmt.Sprint(m["why"]), "AccessDenied") ||
			!strings.Contains(fmt.Sprint(m["do"]), "iot:CancelJobExecution") {
			t.Errorf("%v", m)
		}
		ready, lines := r.w.Report()
		text := strings.Join(lines, "\n")
		if want := "warns: lane iot:CancelJobExecution 123456789012 us-east-1 answers, and denies calls: their commands end as denied since "; !ready || !strings.Contains(text, want) {
			t.Errorf("ready: %t\n%s", ready, text)
		}
		time.Sleep(3 * time.Minute)
		if _, lines := r.w.Report(); strings.Contains(strings.Join(lines, "\n"), "warns") {
			t.Errorf("%q", lines)
		}
	}, func(_ *awssim.Options, o *worker.Options) { o.Log = zap.New(log) })
}
