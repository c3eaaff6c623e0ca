package worker_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker"
)

// An outcome alone is enough to send its command again: it has action, parameters, account and region.
func TestAnOutcomeAloneIsEnoughToSendItsCommandAgain(t *testing.T) {
	actions := subjects()
	for action, like := range map[string]string{
		"batch:TerminateJob": "batch:CancelJob", "swf:RequestCancelWorkflowExecution": "swf:TerminateWorkflowExecution",
	} {
		subject := actions[like]
		subject.command = strings.Replace(subject.command, like, action, 1)
		actions[action] = subject
	}
	for action, subject := range actions {
		t.Run(action, func(t *testing.T) {
			settings := subject.settings
			if settings == nil {
				settings = func(*awssim.Options) {}
			}
			inBubble(t, func(r *rig) {
				subject.alive(r)
				r.send(subject.command)
				first := r.settled(1, time.Minute)["one"]
				if first.MessageID == "" || first.ParametersOmitted {
					t.Errorf("message %q, parameters omitted: %v", first.MessageID, first.ParametersOmitted)
				}
				again, err := json.Marshal(map[string]any{
					"id": first.CommandID + ".2", "action": first.Action, "parameters": json.RawMessage(first.Parameters),
					"account": first.Account, "region": first.Region,
				})
				r.must(err)
				r.send(string(again))
				second := r.settled(2, time.Minute)["one.2"]
				if second.Status == handlers.Invalid || second.Status == handlers.NotFound || len(second.Targets) != len(first.Targets) || second.Targets[0].ID != first.Targets[0].ID {
					t.Errorf("%s: %s %s %+v", again, second.Status, second.Message, second.Targets)
				}
			}, func(s *awssim.Options, _ *worker.Options) { settings(s) })
		})
	}
	for _, service := range worker.Services() {
		for _, h := range service(nil) {
			if _, ok := actions[string(h.Action())]; !ok {
				t.Errorf("%s is not tried", h.Action())
			}
		}
	}
}
