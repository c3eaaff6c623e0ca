package batch

import (
	"cmp"
	"slices"
	"time"
)

// Put puts jobs in, or replaces those that have the same id, account and region.
func (b *Batch) Put(jobs ...Job) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	for _, j := range jobs {
		b.putLocked(j, now)
	}
}

func (b *Batch) putLocked(j Job, now time.Time) {
	j.Name = cmp.Or(j.Name, "job")
	j.Queue = cmp.Or(j.Queue, "default")
	j.Definition = cmp.Or(j.Definition, "default:1")
	j.State = cmp.Or(j.State, Runnable)
	j.Then = slices.Clone(j.Then)
	if j.Created.IsZero() {
		j.Created = now
	}
	stored := &job{Job: j, owner: b}
	if len(j.Then) > 0 {
		stored.next = now.Add(j.Then[0].After)
	}
	at := location{j.Account, j.Region}
	if q := (queueKey{at, queueName(j.Queue)}); !b.known[q] {
		b.known[q] = true
		b.queues[at] = append(b.queues[at], q.name)
	}
	k := key{at, j.ID}
	if old := b.jobs[k]; old != nil {
		list := b.lists[at]
		list[slices.Index(list, old)] = stored
	} else {
		b.lists[at] = append(b.lists[at], stored)
	}
	b.jobs[k] = stored
	stored.watchLocked()
	if parent := b.jobs[key{at, j.Parent}]; j.Parent != "" && parent != nil {
		parent.children = append(parent.children, stored)
	}
}

// Job returns a job as it stands now; ok is false where there is none.
func (b *Batch) Job(account, region, id string) (_ Job, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	j := b.jobs[key{location{account, region}, id}]
	if j == nil {
		return Job{}, false
	}
	j.advance(time.Now())
	out := j.Job
	out.Then = slices.Clone(out.Then)
	return out, true
}

// advance brings a job up to date.
func (j *job) advance(now time.Time) {
	if len(j.children) > 0 {
		j.advanceParent(now)
		return
	}
	for len(j.Then) > 0 && !j.next.After(now) {
		change := j.Then[0]
		j.Then = j.Then[1:]
		j.enter(change.State, change.Reason, j.next)
		if len(j.Then) > 0 {
			j.next = j.next.Add(j.Then[0].After)
		}
	}
}

// shown is the job as a read shows it that is behind by age; nil where it was not there yet.
func (j *job) shown(now time.Time, age time.Duration) *job {
	if age <= 0 {
		return j
	}
	was, ok := j.past.AsOf(j.Job, j.Created, now, age)
	if !ok {
		return nil
	}
	return &job{Job: was, children: j.children}
}

func (j *job) enter(s State, reason string, at time.Time) {
	j.past.Note(j.Job, at)
	j.State = s
	if reason != "" {
		j.Reason = reason
	}
	if s == Running && j.Started.IsZero() {
		j.Started = at
	}
	if s.Ended() && j.Stopped.IsZero() {
		j.Stopped = at
	}
	j.changed(at)
}

// advanceParent is what an array job is: pending until all children ended, then FAILED where
// one of them failed.
func (j *job) advanceParent(now time.Time) {
	if j.State.Ended() {
		return
	}
	j.State = Pending
	end, last := Succeeded, time.Time{}
	for _, child := range j.children {
		child.advance(now)
		if !child.State.Ended() {
			return
		}
		if child.State == Failed {
			end = Failed
		}
		if child.Stopped.After(last) {
			last = child.Stopped
		}
	}
	j.enter(end, "", last)
}

// action is one of the two ways to stop a job.
type action int

const (
	cancel action = iota + 1
	terminate
)

// stop does what CancelJob and TerminateJob do to one job. What is not documented: which
// reason remains when a job that is stopping is stopped again (here the first), and that a
// request which has no effect leaves no flag.
func (j *job) stop(a action, reason string, after time.Duration, now time.Time) {
	j.advance(now)
	if j.State.Ended() || a == cancel && !j.State.cancellable() {
		return
	}
	stopping := j.Cancelled || j.Terminated
	j.past.Note(j.Job, now)
	switch a {
	case cancel:
		j.Cancelled = true
	case terminate:
		j.Terminated = true
	}
	if len(j.children) > 0 {
		if !stopping {
			j.Reason = reason
		}
		for _, child := range j.children {
			child.stop(a, reason, after, now)
		}
		j.advance(now)
		return
	}
	if stopping {
		return
	}
	j.Then, j.next = []Change{{State: Failed, Reason: reason}}, now.Add(after)
	j.advance(now)
	j.watchLocked()
}
