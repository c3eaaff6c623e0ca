package emr

import (
	"time"

	"github.com/rescindhq/rescind/internal/awssim/eventbridge"
)

// watchLocked has the step's next change noticed when it is due.
func (s *step) watchLocked() {
	if len(s.Then) == 0 {
		return
	}
	e, due := s.owner, s.next
	e.bus.Due(due, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if len(s.Then) == 0 || !s.next.Equal(due) {
			return // it has been cancelled meanwhile, or was looked at
		}
		s.advance(time.Now())
		s.watchLocked()
	})
}

// changed makes an event, with the members of the example in "Monitoring Amazon EMR events with CloudWatch" (EMR Management
// Guide).
func (s *step) changed(at time.Time) {
	severity := "INFO"
	switch s.State {
	case Failed:
		severity = "ERROR"
	case Cancelled, Interrupted:
		severity = "WARN"
	case Pending, CancelPending, Running, Completed:
	}
	s.owner.bus.Changed(&eventbridge.Change{
		Source: "aws.emr", DetailType: "EMR Step Status Change", Account: s.Account, Region: s.Region,
		At: at, Item: s.Cluster + " " + s.ID + " " + string(s.State), Detail: map[string]any{
			"severity": severity, "actionOnFailure": "CONTINUE", "stepId": s.ID, "name": s.Name, "clusterId": s.Cluster,
			"state": s.State, "message": "Step " + s.ID + " (" + s.Name + ") in Amazon EMR cluster " + s.Cluster + " is " + string(s.State) + ".",
		},
	})
}
