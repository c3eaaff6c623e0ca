package iot

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

// State is the state of a job execution. The set is closed.
type State string

// The states, as facts/aws.json lists them.
const (
	Queued     State = "QUEUED"
	InProgress State = "IN_PROGRESS"
	Succeeded  State = "SUCCEEDED"
	Failed     State = "FAILED"
	TimedOut   State = "TIMED_OUT"
	Rejected   State = "REJECTED"
	Removed    State = "REMOVED"
	Canceled   State = "CANCELED"
)

// States lists all of them.
func States() []State {
	return []State{Queued, InProgress, Succeeded, Failed, TimedOut, Rejected, Removed, Canceled}
}

// Ended reports whether an execution in this state changes no more, a retry of its job aside.
func (s State) Ended() bool { return s != Queued && s != InProgress }

// cancellable reports whether a cancel stops an execution in this state (facts/aws.json:
// iot.cancellable).
func (s State) cancellable(force bool) bool { return s == Queued || s == InProgress && force }

// Execution is one job execution, as put in from outside or as it stands.
type Execution struct {
	// Thing and Job name it within its account and region, which default to the simulator's own.
	// Thing and job come into being with it where they are not there.
	Thing, Job      string
	Account, Region string
	// State defaults to QUEUED.
	State State
	// Version grows with every change; default 1. Number is the executionNumber, default 1.
	Version, Number int64
	// Details are the statusDetails.
	Details map[string]string
	// Forced is forceCanceled.
	Forced bool
	// QueuedAt defaults to now; Started and Updated are zero where that has not happened.
	QueuedAt, Started, Updated time.Time
	// Then is what its device, or the job's timers, will do to it, unless it is cancelled
	// before.
	Then []Change
}

// Change is a change of state to come.
type Change struct {
	After time.Duration // from the change before, or from when the execution was put in
	State State
}

// execution is an Execution with its changes dated. Its state is brought up to date by
// advance, and by nothing else: there is no timer.
type execution struct {
	Execution
	next     time.Time // when Then[0] is due
	stopping bool      // Then is the cancel that was accepted
	sweepAt  time.Time // when the job's own cancel comes to it; zero for never
	sweep    bool      // with force
	past     service.Past[Execution]
}

// PutExecutions puts executions in, or replaces those of the same names, account and region.
func (i *IoT) PutExecutions(executions ...Execution) {
	i.mu.Lock()
	defer i.mu.Unlock()
	now := time.Now()
	for _, e := range executions {
		i.putExecutionLocked(e, now)
	}
}

func (i *IoT) putExecutionLocked(e Execution, now time.Time) {
	e.State = cmp.Or(e.State, Queued)
	e.Version = cmp.Or(e.Version, 1)
	e.Number = cmp.Or(e.Number, 1)
	e.Then, e.Details = slices.Clone(e.Then), maps.Clone(e.Details)
	if e.QueuedAt.IsZero() {
		e.QueuedAt = now
	}
	stored := &execution{Execution: e}
	if len(e.Then) > 0 {
		stored.next = now.Add(e.Then[0].After)
	}
	at := location{e.Account, e.Region}
	k := executionKey{at, e.Thing, e.Job}
	if old := i.executions[k]; old != nil {
		*old = *stored
		return
	}
	i.executions[k] = stored
	t := i.thingLocked(at, e.Thing)
	t.executions = append(t.executions, stored)
	if i.jobs[key{at, e.Job}] == nil {
		i.putJobLocked(Job{ID: e.Job, Account: e.Account, Region: e.Region}, now)
	}
	j := i.jobs[key{at, e.Job}]
	j.executions = append(j.executions, stored)
}

func (i *IoT) thingLocked(at location, name string) *thing {
	t := i.things[key{at, name}]
	if t == nil {
		t = &thing{}
		i.things[key{at, name}] = t
	}
	return t
}

// Execution returns an execution as it stands now; ok is false where there is none.
func (i *IoT) Execution(account, region, thing, job string) (_ Execution, ok bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	e := i.executions[executionKey{location{account, region}, thing, job}]
	if e == nil {
		return Execution{}, false
	}
	e.advance(time.Now())
	out := e.Execution
	out.Then, out.Details = slices.Clone(out.Then), maps.Clone(out.Details)
	return out, true
}

// advance brings an execution up to date: its own changes and its job's cancel, in the order
// of their times.
func (e *execution) advance(now time.Time) {
	for {
		own := len(e.Then) > 0 && !e.next.After(now)
		swept := !e.sweepAt.IsZero() && !e.sweepAt.After(now)
		switch {
		case swept && (!own || !e.next.Before(e.sweepAt)):
			at := e.sweepAt
			e.sweepAt = time.Time{}
			if e.State.cancellable(e.sweep) {
				e.cancel(e.sweep, at)
			}
		case own:
			change, at := e.Then[0], e.next
			e.Then = e.Then[1:]
			if len(e.Then) > 0 {
				e.next = at.Add(e.Then[0].After)
			}
			e.enter(change.State, at)
		default:
			return
		}
	}
}

// shown is the execution as a read shows it that is behind by age; nil where it was not there yet.
func (e *execution) shown(now time.Time, age time.Duration) *execution {
	if age <= 0 {
		return e
	}
	was, ok := e.past.AsOf(e.Execution, e.QueuedAt, now, age)
	if !ok {
		return nil
	}
	return &execution{Execution: was}
}

// enter changes the state, and with it the version (API_CancelJobExecution: "Each time you
// update the job execution, its version is incremented").
func (e *execution) enter(s State, at time.Time) {
	e.past.Note(e.Execution, at)
	e.State, e.Updated = s, at
	e.Version++
	if s == InProgress && e.Started.IsZero() {
		e.Started = at
	}
}

// cancel ends an execution, and what was to come of it.
func (e *execution) cancel(force bool, at time.Time) {
	e.Then = nil
	e.enter(Canceled, at)
	e.Forced = force
}

type cancelExecutionBody struct {
	ExpectedVersion *int64            `json:"expectedVersion"`
	StatusDetails   map[string]string `json:"statusDetails"`
}

// cancelJobExecution cancels one execution. What is not documented: that an ended execution is
// refused like one IN_PROGRESS without force (facts/aws.json: iot.second_cancel), that the
// version is looked at before the state, and what a second cancel says of one that is being
// cancelled (here it succeeds again).
func (i *IoT) cancelJobExecution(c *service.Call, r *request[cancelExecutionBody]) (*service.Empty, error) {
	if err := checkDetails(r.body.StatusDetails); err != nil {
		return nil, err
	}
	force, err := flag(r.query.Get("force"))
	if err != nil {
		return nil, err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	now := time.Now()
	e := i.executions[executionKey{locationOf(c), r.thing, r.job}]
	if e == nil {
		return nil, unknown("Job execution " + r.thing + "/" + r.job)
	}
	e.advance(now)
	if v := r.body.ExpectedVersion; v != nil && *v != e.Version {
		return nil, conflict("VersionConflictException", "expected version %d, the job execution has %d", *v, e.Version)
	}
	if !e.State.cancellable(force) {
		return nil, conflict("InvalidStateTransitionException", "job execution %s/%s is %s", r.thing, r.job, e.State)
	}
	e.past.Note(e.Execution, now)
	if r.body.StatusDetails != nil {
		e.Details = maps.Clone(r.body.StatusDetails)
	}
	if e.stopping {
		return &service.Empty{}, nil
	}
	after := i.options.StopAfter + c.Slow(r.items()[0])
	if after <= 0 {
		e.cancel(force, now)
		return &service.Empty{}, nil
	}
	e.stopping, e.Forced = true, force
	e.Then, e.next = []Change{{State: Canceled}}, now.Add(after)
	return &service.Empty{}, nil
}

func flag(text string) (bool, error) {
	if text == "" {
		return false, nil
	}
	is, err := strconv.ParseBool(text)
	if err != nil {
		return false, refuse("force must be true or false")
	}
	return is, nil
}

// The bounds of statusDetails (API_CancelJobExecution).
var (
	detailName  = regexp.MustCompile(`\A[a-zA-Z0-9:_-]{1,128}\z`)
	detailValue = regexp.MustCompile(`\A[^\p{C}]+\z`)
)

func checkDetails(details map[string]string) error {
	if len(details) > 10 {
		return refuse("statusDetails must have at most 10 entries")
	}
	for name, value := range details {
		if !detailName.MatchString(name) || !detailValue.MatchString(value) || len([]rune(value)) > 1024 {
			return refuse("statusDetails.%s is out of bounds", name)
		}
	}
	return nil
}

type (
	describeExecutionOutput struct {
		Execution executionDetail `json:"execution"`
	}
	executionDetail struct {
		JobID           string         `json:"jobId"`
		Status          State          `json:"status"`
		ForceCanceled   bool           `json:"forceCanceled"`
		StatusDetails   *statusDetails `json:"statusDetails,omitempty"`
		ThingArn        string         `json:"thingArn"`
		QueuedAt        float64        `json:"queuedAt"`
		StartedAt       float64        `json:"startedAt,omitzero"`
		LastUpdatedAt   float64        `json:"lastUpdatedAt"`
		ExecutionNumber int64          `json:"executionNumber"`
		VersionNumber   int64          `json:"versionNumber"`
	}
	statusDetails struct {
		DetailsMap map[string]string `json:"detailsMap"`
	}
)

func (i *IoT) describeJobExecution(c *service.Call, r *request[struct{}]) (*describeExecutionOutput, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	e := i.executions[executionKey{locationOf(c), r.thing, r.job}]
	if n := r.query.Get("executionNumber"); e == nil || n != "" && n != strconv.FormatInt(e.Number, 10) {
		return nil, unknown("Job execution " + r.thing + "/" + r.job)
	}
	now := time.Now()
	e.advance(now)
	if e = e.shown(now, c.Stale(r.items()[0])); e == nil {
		return nil, unknown("Job execution " + r.thing + "/" + r.job)
	}
	d := executionDetail{
		JobID: e.Job, Status: e.State, ForceCanceled: e.Forced, ThingArn: locationOf(c).arn("thing/" + e.Thing),
		QueuedAt: epoch(e.QueuedAt), StartedAt: epoch(e.Started), LastUpdatedAt: epoch(e.lastUpdated()),
		ExecutionNumber: e.Number, VersionNumber: e.Version,
	}
	if len(e.Details) > 0 {
		d.StatusDetails = &statusDetails{DetailsMap: maps.Clone(e.Details)}
	}
	return &describeExecutionOutput{Execution: d}, nil
}

func (e *execution) lastUpdated() time.Time {
	if e.Updated.IsZero() {
		return e.QueuedAt
	}
	return e.Updated
}
