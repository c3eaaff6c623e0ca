package fsx

import (
	"cmp"
	"slices"
	"time"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

// task is a Task with its next change dated. Its state is brought up to date by advance, and
// by nothing else: there is no timer.
type task struct {
	Task
	next time.Time // when Then[0] is due
	past service.Past[Task]
}

// Put puts tasks in, or replaces those that have the same id, account and region.
func (f *FSx) Put(tasks ...Task) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	for _, t := range tasks {
		t.FileSystem = cmp.Or(t.FileSystem, "fs-0123456789abcdef0")
		t.Type = cmp.Or(t.Type, Export)
		t.State = cmp.Or(t.State, Executing)
		t.Then = slices.Clone(t.Then)
		if t.Created.IsZero() {
			t.Created = now
		}
		stored := &task{Task: t}
		if len(t.Then) > 0 {
			stored.next = now.Add(t.Then[0].After)
		}
		at := location{t.Account, t.Region}
		k := key{at, t.ID}
		if old := f.tasks[k]; old != nil {
			f.lists[at][slices.Index(f.lists[at], old)] = stored
		} else {
			f.lists[at] = append(f.lists[at], stored)
		}
		f.tasks[k] = stored
	}
}

// Task returns a task as it stands now; ok is false where there is none.
func (f *FSx) Task(account, region, id string) (_ Task, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.tasks[key{location{account, region}, id}]
	if t == nil {
		return Task{}, false
	}
	return t.now(time.Now()), true
}

// Tasks returns all tasks of an account and region as they stand now, in the order in which
// they were put in.
func (f *FSx) Tasks(account, region string) []Task {
	f.mu.Lock()
	defer f.mu.Unlock()
	now, list := time.Now(), f.lists[location{account, region}]
	out := make([]Task, len(list))
	for i, t := range list {
		out[i] = t.now(now)
	}
	return out
}

// now is a copy of the task as it stands.
func (t *task) now(now time.Time) Task {
	t.advance(now)
	out := t.Task
	out.Then = slices.Clone(out.Then)
	return out
}

// advance brings a task up to date.
func (t *task) advance(now time.Time) {
	for len(t.Then) > 0 && !t.next.After(now) {
		t.enter(t.Then[0].State, t.next)
		t.Then = t.Then[1:]
		if len(t.Then) > 0 {
			t.next = t.next.Add(t.Then[0].After)
		}
	}
}

// shown is the task as a read shows it that is behind by age; nil where it was not there yet.
func (t *task) shown(now time.Time, age time.Duration) *task {
	if age <= 0 {
		return t
	}
	was, ok := t.past.AsOf(t.Task, t.Created, now, age)
	if !ok {
		return nil
	}
	return &task{Task: was}
}

func (t *task) enter(state State, at time.Time) {
	t.past.Note(t.Task, at)
	t.State = state
	if state == Executing && t.Started.IsZero() {
		t.Started = at
	}
	if state.Ended() && t.Ended.IsZero() {
		t.Ended = at
	}
}
