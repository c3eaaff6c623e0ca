package swf

import (
	"context"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

// stopInput is what both calls that stop a run take; RequestCancel takes the first three.
type stopInput struct {
	Domain      string `json:"domain"`
	WorkflowID  string `json:"workflowId"`
	RunID       string `json:"runId"`
	Reason      string `json:"reason"`
	Details     string `json:"details"`
	ChildPolicy string `json:"childPolicy"`
}

// stopItems names a workflow by its id: the run may be left out.
func stopItems(in *stopInput) []string { return []string{in.WorkflowID} }

var childPolicies = []string{"", "TERMINATE", "REQUEST_CANCEL", "ABANDON"}

// check holds the texts to their bounds (facts/aws.json: the fields of the two operations).
func (in *stopInput) check() error {
	for _, text := range []struct {
		name, value string
		min, max    int
	}{
		{"workflowId", in.WorkflowID, 1, 256},
		{"runId", in.RunID, 0, 64},
		{"reason", in.Reason, 0, 256},
		{"details", in.Details, 0, 32768},
	} {
		if n := utf8.RuneCountInString(text.value); n < text.min || n > text.max {
			return refuse("%s must have %d to %d characters", text.name, text.min, text.max)
		}
	}
	if !slices.Contains(childPolicies, in.ChildPolicy) {
		return refuse("childPolicy must be one of %v", childPolicies[1:])
	}
	return nil
}

// open finds the open run that a request means: that of its run id, or without one the newest
// of its workflow id.
func (s *SWF) openLocked(c *service.Call, in *stopInput, now time.Time) (*run, error) {
	d, err := s.domainLocked(c, in.Domain)
	if err != nil {
		return nil, err
	}
	s.advanceLocked(d, in.WorkflowID, now)
	var found *run
	for _, r := range d.byID[in.WorkflowID] {
		if r.Close != "" || in.RunID != "" && r.RunID != in.RunID {
			continue
		}
		if found == nil || r.Started.After(found.Started) {
			found = r
		}
	}
	if found == nil {
		return nil, unknown(execution{in.WorkflowID, in.RunID})
	}
	return found, nil
}

// requestCancel records a request to cancel, as often as it is asked while the run is open
// (facts/aws.json: swf.second_cancel: "nothing documented rejects it").
func (s *SWF) requestCancel(_ context.Context, c *service.Call, in *stopInput) (*service.Empty, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	r, err := s.openLocked(c, in, now)
	if err != nil {
		return nil, err
	}
	r.past.Note(r.Run, now)
	r.CancelRequested = true
	r.Requests++
	if !r.Ignores && r.obeys.IsZero() {
		r.obeys = now.Add(s.obeyAfter(r) + c.Slow(in.WorkflowID))
	}
	return &service.Empty{}, nil
}

// terminate closes a run at once. Its children, whom childPolicy is about, are not in the simulator.
func (s *SWF) terminate(_ context.Context, c *service.Call, in *stopInput) (*service.Empty, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	r, err := s.openLocked(c, in, now)
	if err != nil {
		return nil, err
	}
	r.close(Terminated, now)
	r.Reason, r.Details, r.ChildPolicy = in.Reason, in.Details, in.ChildPolicy
	return &service.Empty{}, nil
}
