package swf

import (
	"cmp"
	"slices"
	"time"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

// Status is whether a run is open. The set is closed.
type Status string

// The statuses, as facts/aws.json lists them.
const (
	Open   Status = "OPEN"
	Closed Status = "CLOSED"
)

// CloseStatus is how a run was closed; "" while it is open. The set is closed.
type CloseStatus string

// The close statuses, as facts/aws.json lists them.
const (
	Completed      CloseStatus = "COMPLETED"
	Failed         CloseStatus = "FAILED"
	Canceled       CloseStatus = "CANCELED"
	Terminated     CloseStatus = "TERMINATED"
	ContinuedAsNew CloseStatus = "CONTINUED_AS_NEW"
	TimedOut       CloseStatus = "TIMED_OUT"
)

// CloseStatuses lists all of them.
func CloseStatuses() []CloseStatus {
	return []CloseStatus{Completed, Failed, Canceled, Terminated, ContinuedAsNew, TimedOut}
}

// Run is one workflow execution, as put in from outside or as it stands.
type Run struct {
	// Domain, WorkflowID and RunID name it within its account and region, which default to the
	// simulator's own; the domain comes into being with it. Domain defaults to "default".
	Domain, WorkflowID, RunID string
	Account, Region           string
	// Type and Version are its workflow type; default "workflow" and "1".
	Type, Version string
	Tags          []string
	// Close is how it was closed; "" is open.
	Close CloseStatus
	// CancelRequested says that a cancel was requested; Requests counts how often.
	CancelRequested bool
	Requests        int
	// Reason, Details and ChildPolicy are those of the call that terminated it.
	Reason, Details, ChildPolicy string
	// Started defaults to now; Closed is zero while it is open.
	Started, Closed time.Time
	// Ignores makes its decider ignore requests to cancel; otherwise it closes the run as
	// CANCELED, ObeyAfter after the first of them (0: as the options of SWF say).
	Ignores   bool
	ObeyAfter time.Duration
	// Then is how it closes by itself; nil is never.
	Then *Ending
}

// Ending is how a run closes by itself.
type Ending struct {
	After time.Duration // from when it was put in
	Close CloseStatus
	// NextRun is the run id of the run that goes on from a CONTINUED_AS_NEW; "" leaves it out.
	NextRun string
}

// Status says whether the run is open.
func (r Run) Status() Status {
	if r.Close == "" {
		return Open
	}
	return Closed
}

// run is a Run with its ends dated. It is brought up to date by advance, and by nothing else:
// there is no timer.
type run struct {
	Run
	endsAt time.Time // by itself; zero for never
	obeys  time.Time // when the decider closes it as CANCELED; zero for never
	past   service.Past[Run]
}

// Put puts runs in, or replaces those of the same names. SWF keeps at most one run of a
// workflow id open; the simulator does not see to that here.
func (s *SWF) Put(runs ...Run) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for _, r := range runs {
		s.putLocked(r, now)
	}
}

func (s *SWF) putLocked(r Run, now time.Time) {
	r.Domain = cmp.Or(r.Domain, "default")
	r.Type, r.Version = cmp.Or(r.Type, "workflow"), cmp.Or(r.Version, "1")
	r.Tags = slices.Clone(r.Tags)
	if r.Started.IsZero() {
		r.Started = now
	}
	if r.Close != "" && r.Closed.IsZero() {
		r.Closed = now
	}
	stored := &run{Run: r}
	if r.Then != nil {
		stored.endsAt = now.Add(r.Then.After)
	}
	if r.CancelRequested && !r.Ignores && r.Close == "" {
		stored.obeys = now.Add(s.obeyAfter(stored))
	}
	k := key{r.Account, r.Region, r.Domain}
	d := s.domains[k]
	if d == nil {
		d = &domain{byRun: map[execution]*run{}, byID: map[string][]*run{}}
		s.domains[k] = d
	}
	name := execution{r.WorkflowID, r.RunID}
	if old := d.byRun[name]; old != nil {
		*old = *stored
		return
	}
	d.byRun[name] = stored
	d.runs = append(d.runs, stored)
	d.byID[r.WorkflowID] = append(d.byID[r.WorkflowID], stored)
}

func (s *SWF) obeyAfter(r *run) time.Duration { return cmp.Or(r.ObeyAfter, s.options.ObeyAfter) }

// Run returns a run as it stands now; ok is false where there is none.
func (s *SWF) Run(account, region, domain, workflowID, runID string) (_ Run, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.domains[key{account, region, domain}]
	if d == nil {
		return Run{}, false
	}
	s.advanceLocked(d, workflowID, time.Now())
	r := d.byRun[execution{workflowID, runID}]
	if r == nil {
		return Run{}, false
	}
	out := r.Run
	out.Tags = slices.Clone(out.Tags)
	return out, true
}

// advanceLocked brings the runs of a workflow id up to date. Those that it starts, by others
// that continue as new, have nothing to come.
func (s *SWF) advanceLocked(d *domain, workflowID string, now time.Time) {
	for _, r := range d.byID[workflowID] {
		s.advanceRunLocked(r, now)
	}
}

func (s *SWF) advanceRunLocked(r *run, now time.Time) {
	due := func(t time.Time) bool { return !t.IsZero() && !t.After(now) }
	switch {
	case r.Close != "":
	case due(r.obeys) && (!due(r.endsAt) || !r.endsAt.Before(r.obeys)):
		r.close(Canceled, r.obeys)
	case due(r.endsAt):
		r.close(r.Then.Close, r.endsAt)
		if r.Close == ContinuedAsNew && r.Then.NextRun != "" {
			next := r.Run
			next.RunID, next.Started = r.Then.NextRun, r.endsAt
			next.Close, next.Closed, next.CancelRequested, next.Requests, next.Then = "", time.Time{}, false, 0, nil
			s.putLocked(next, now)
		}
	}
}

func (r *run) close(how CloseStatus, at time.Time) {
	r.past.Note(r.Run, at)
	r.Close, r.Closed = how, at
}

// shown is the run as a read shows it that is behind by age; nil where it was not there yet.
func (r *run) shown(now time.Time, age time.Duration) *run {
	if age <= 0 {
		return r
	}
	was, ok := r.past.AsOf(r.Run, r.Started, now, age)
	if !ok {
		return nil
	}
	return &run{Run: was}
}
