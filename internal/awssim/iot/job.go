package iot

import (
	"cmp"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

// JobState is the state of a job. The set is closed.
type JobState string

// The states, as facts/aws.json lists them.
const (
	JobInProgress         JobState = "IN_PROGRESS"
	JobCanceled           JobState = "CANCELED"
	JobCompleted          JobState = "COMPLETED"
	JobDeletionInProgress JobState = "DELETION_IN_PROGRESS"
	JobScheduled          JobState = "SCHEDULED"
)

// JobStates lists all of them.
func JobStates() []JobState {
	return []JobState{JobInProgress, JobCanceled, JobCompleted, JobDeletionInProgress, JobScheduled}
}

// Job is one job, as put in from outside or as it stands.
type Job struct {
	// ID names it within its account and region, which default to the simulator's own.
	ID              string
	Account, Region string
	// State defaults to IN_PROGRESS. A job in progress is completed once it has executions and
	// all of them have ended.
	State JobState
	// Comment and ReasonCode are those of the cancel; Forced is forceCanceled.
	Comment, ReasonCode string
	Forced              bool
	// Targets are ARNs of things.
	Targets []string
	// Continuous jobs go on to things that join their targets later (targetSelection).
	Continuous bool
	// Created defaults to now; Completed and Updated are zero where that has not happened.
	Created, Completed, Updated time.Time
	// StartAfter is when a SCHEDULED job goes on to IN_PROGRESS; 0 is never.
	StartAfter time.Duration
}

type job struct {
	Job
	put        time.Time
	past       service.Past[Job]
	executions []*execution // in the order in which they came
}

// PutJobs puts jobs in, or replaces those with the same id, account and region, whose
// executions they keep.
func (i *IoT) PutJobs(jobs ...Job) {
	i.mu.Lock()
	defer i.mu.Unlock()
	now := time.Now()
	for _, j := range jobs {
		i.putJobLocked(j, now)
	}
}

func (i *IoT) putJobLocked(j Job, now time.Time) {
	j.State = cmp.Or(j.State, JobInProgress)
	j.Targets = slices.Clone(j.Targets)
	if j.Created.IsZero() {
		j.Created = now
	}
	k := key{location{j.Account, j.Region}, j.ID}
	if i.jobs[k] == nil {
		i.jobs[k] = &job{}
		i.order[k.location] = append(i.order[k.location], i.jobs[k])
	}
	i.jobs[k].Job, i.jobs[k].put, i.jobs[k].past = j, now, service.Past[Job]{}
}

// Job returns a job as it stands now; ok is false where there is none.
func (i *IoT) Job(account, region, id string) (_ Job, ok bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	j := i.jobs[key{location{account, region}, id}]
	if j == nil {
		return Job{}, false
	}
	j.advance(time.Now())
	out := j.Job
	out.Targets = slices.Clone(out.Targets)
	return out, true
}

// shown is the job as a read shows it that is behind by age, but for what its executions come to;
// nil where it was not there yet.
func (j *job) shown(now time.Time, age time.Duration) *job {
	if age <= 0 {
		return j
	}
	was, ok := j.past.AsOf(j.Job, j.Created, now, age)
	if !ok {
		return nil
	}
	return &job{Job: was, executions: j.executions}
}

// advance brings a job up to date with the clock and with its executions.
func (j *job) advance(now time.Time) {
	if at := j.put.Add(j.StartAfter); j.State == JobScheduled && j.StartAfter > 0 && !at.After(now) {
		j.past.Note(j.Job, at)
		j.State, j.Updated = JobInProgress, at
	}
	last := time.Time{}
	for _, e := range j.executions {
		e.advance(now)
		if !e.State.Ended() {
			return
		}
		if at := e.lastUpdated(); at.After(last) {
			last = at
		}
	}
	if j.State == JobInProgress && len(j.executions) > 0 {
		j.past.Note(j.Job, last)
		j.State, j.Completed, j.Updated = JobCompleted, last, last
	}
}

type (
	cancelJobBody struct {
		ReasonCode *string `json:"reasonCode"`
		Comment    *string `json:"comment"`
	}
	cancelJobOutput struct {
		JobArn      string `json:"jobArn"`
		JobID       string `json:"jobId"`
		Description string `json:"description,omitempty"`
	}
)

// The bounds of CancelJob's texts (facts/aws.json: the fields of CancelJob).
var (
	reasonCode = regexp.MustCompile(`\A[A-Z0-9_]{1,128}\z`)
	comment    = regexp.MustCompile(`\A[^\p{C}]+\z`)
)

const maxComment = 2028

// cancelJob cancels a job at once and its executions one after the other. That a job which
// has ended or is being deleted is refused with InvalidRequestException is a guess: CancelJob
// lists no refusal by state, and API_DeleteJob says that to cancel a job that is being deleted
// is "an error".
func (i *IoT) cancelJob(c *service.Call, r *request[cancelJobBody]) (*cancelJobOutput, error) {
	if code := r.body.ReasonCode; code != nil && !reasonCode.MatchString(*code) {
		return nil, refuse("reasonCode must match %s", reasonCode)
	}
	if text := r.body.Comment; text != nil && (!comment.MatchString(*text) || utf8.RuneCountInString(*text) > maxComment) {
		return nil, refuse("comment must be of 1 to %d visible characters", maxComment)
	}
	force, err := flag(r.query.Get("force"))
	if err != nil {
		return nil, err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	j := i.jobs[key{locationOf(c), r.job}]
	if j == nil {
		return nil, unknown("Job " + r.job)
	}
	now := time.Now()
	j.advance(now)
	switch j.State {
	case JobCanceled, JobCompleted, JobDeletionInProgress:
		return nil, refuse("job %s is %s and cannot be canceled", j.ID, j.State)
	case JobInProgress, JobScheduled:
	}
	j.cancel(force, r.body, now, c.Slow(r.job))
	return &cancelJobOutput{JobArn: locationOf(c).arn("job/" + j.ID), JobID: j.ID}, nil
}

func (j *job) cancel(force bool, body cancelJobBody, now time.Time, slow time.Duration) {
	j.past.Note(j.Job, now)
	j.State, j.Forced, j.Completed, j.Updated = JobCanceled, force, now, now
	if body.ReasonCode != nil {
		j.ReasonCode = *body.ReasonCode
	}
	if body.Comment != nil {
		j.Comment = *body.Comment
	}
	at := now.Add(slow)
	for _, e := range j.executions {
		if e.State.cancellable(force) {
			at = at.Add(sweepEach)
			e.sweepAt, e.sweep = at, force
		}
	}
}

type (
	describeJobOutput struct {
		Job jobDetail `json:"job"`
	}
	jobDetail struct {
		JobArn          string         `json:"jobArn"`
		JobID           string         `json:"jobId"`
		TargetSelection string         `json:"targetSelection"`
		Status          JobState       `json:"status"`
		ForceCanceled   bool           `json:"forceCanceled,omitzero"`
		ReasonCode      string         `json:"reasonCode,omitempty"`
		Comment         string         `json:"comment,omitempty"`
		Targets         []string       `json:"targets"`
		CreatedAt       float64        `json:"createdAt"`
		LastUpdatedAt   float64        `json:"lastUpdatedAt"`
		CompletedAt     float64        `json:"completedAt,omitzero"`
		Process         map[string]int `json:"jobProcessDetails"`
	}
)

// counted names, for each state, the member of jobProcessDetails that counts it.
var counted = map[State]string{
	Queued: "numberOfQueuedThings", InProgress: "numberOfInProgressThings", Succeeded: "numberOfSucceededThings",
	Failed: "numberOfFailedThings", TimedOut: "numberOfTimedOutThings", Rejected: "numberOfRejectedThings",
	Removed: "numberOfRemovedThings", Canceled: "numberOfCanceledThings",
}

func (i *IoT) describeJob(c *service.Call, r *request[struct{}]) (*describeJobOutput, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	j := i.jobs[key{locationOf(c), r.job}]
	if j == nil {
		return nil, unknown("Job " + r.job)
	}
	now := time.Now()
	j.advance(now)
	if j = j.shown(now, c.Stale(r.job)); j == nil {
		return nil, unknown("Job " + r.job)
	}
	updated := j.Updated
	if updated.IsZero() {
		updated = j.Created
	}
	d := jobDetail{
		JobArn: locationOf(c).arn("job/" + j.ID), JobID: j.ID, TargetSelection: j.selection(), Status: j.State,
		ForceCanceled: j.Forced, ReasonCode: j.ReasonCode, Comment: j.Comment, Targets: slices.Clone(j.Targets),
		CreatedAt: epoch(j.Created), LastUpdatedAt: epoch(updated), CompletedAt: epoch(j.Completed),
		Process: make(map[string]int, len(counted)),
	}
	for _, name := range counted {
		d.Process[name] = 0
	}
	for _, e := range j.executions {
		e.advance(now)
		d.Process[counted[e.State]]++
	}
	return &describeJobOutput{Job: d}, nil
}

type (
	createThingOutput struct {
		ThingName string `json:"thingName"`
		ThingArn  string `json:"thingArn"`
	}
	createJobBody struct {
		Targets        []string `json:"targets"`
		Document       string   `json:"document"`
		DocumentSource string   `json:"documentSource"`
	}
)

func (i *IoT) createThing(c *service.Call, r *request[struct{}]) (*createThingOutput, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.thingLocked(locationOf(c), r.thing)
	return &createThingOutput{ThingName: r.thing, ThingArn: locationOf(c).arn("thing/" + r.thing)}, nil
}

// createJob makes a snapshot job with a queued execution on each thing that it targets. Thing
// groups and everything else that a job can be asked to be are not in the simulator.
func (i *IoT) createJob(c *service.Call, r *request[createJobBody]) (*cancelJobOutput, error) {
	if len(r.body.Targets) == 0 || r.body.Document == "" && r.body.DocumentSource == "" {
		return nil, refuse("targets and a document must be given")
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	at, now := locationOf(c), time.Now()
	if i.jobs[key{at, r.job}] != nil {
		return nil, &service.Error{Status: http.StatusConflict, Code: "ResourceAlreadyExistsException", Message: "Job " + r.job + " already exists"}
	}
	names := make([]string, len(r.body.Targets))
	for n, target := range r.body.Targets {
		name, is := strings.CutPrefix(target, at.arn("thing/"))
		if !is || i.things[key{at, name}] == nil {
			return nil, unknown("Target " + target)
		}
		names[n] = name
	}
	i.putJobLocked(Job{ID: r.job, Account: c.Account, Region: c.Region, Targets: r.body.Targets}, now)
	for _, name := range names {
		i.putExecutionLocked(Execution{Thing: name, Job: r.job, Account: c.Account, Region: c.Region}, now)
	}
	return &cancelJobOutput{JobArn: at.arn("job/" + r.job), JobID: r.job}, nil
}
