package emr

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

type cluster struct {
	Cluster
	release release
	steps   []*step // in the order in which they were put in
	byID    map[string]*step
}

// step is a Step with its next change dated. Its state is brought up to date by advance, and
// by nothing else: there is no timer.
type step struct {
	Step
	owner    *EMR
	next     time.Time // when Then[0] is due
	stopping bool      // a cancel has taken effect: Then is CANCELLED
	past     service.Past[Step]
}

// PutClusters puts clusters in, without steps, or changes those that have the same id,
// account and region and leaves their steps.
func (e *EMR) PutClusters(clusters ...Cluster) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range clusters {
		e.putLocked(c)
	}
}

func (e *EMR) putLocked(c Cluster) *cluster {
	c.Name = cmp.Or(c.Name, "cluster")
	c.Release = cmp.Or(c.Release, "emr-7.12.0")
	c.State = cmp.Or(c.State, "WAITING")
	c.Tags = maps.Clone(c.Tags)
	if c.Created.IsZero() {
		c.Created = time.Now()
	}
	k := key{c.Account, c.Region, c.ID}
	stored := e.clusters[k]
	if stored == nil {
		stored = &cluster{byID: map[string]*step{}}
		e.clusters[k] = stored
		e.order = append(e.order, stored)
	}
	stored.Cluster, stored.release = c, releaseOf(c.Release)
	return stored
}

// PutSteps puts steps in, or replaces those of the same id on the same cluster.
func (e *EMR) PutSteps(steps ...Step) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	for _, s := range steps {
		on := e.clusters[key{s.Account, s.Region, s.Cluster}]
		if on == nil {
			on = e.putLocked(Cluster{ID: s.Cluster, Account: s.Account, Region: s.Region})
		}
		e.putStepLocked(on, s, now)
	}
}

func (e *EMR) putStepLocked(c *cluster, s Step, now time.Time) {
	s.Name = cmp.Or(s.Name, "step")
	s.State = cmp.Or(s.State, Pending)
	s.Then = slices.Clone(s.Then)
	if s.Created.IsZero() {
		s.Created = now
	}
	stored := &step{Step: s, owner: e}
	if len(s.Then) > 0 {
		stored.next = now.Add(s.Then[0].After)
	}
	if old := c.byID[s.ID]; old != nil {
		c.steps[slices.Index(c.steps, old)] = stored
	} else {
		c.steps = append(c.steps, stored)
	}
	c.byID[s.ID] = stored
	stored.watchLocked()
}

// Step returns a step as it stands now; ok is false where there is none.
func (e *EMR) Step(account, region, cluster, id string) (_ Step, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	on := e.clusters[key{account, region, cluster}]
	if on == nil || on.byID[id] == nil {
		return Step{}, false
	}
	return on.byID[id].now(time.Now()), true
}

// Steps returns the steps of a cluster as they stand now, in the order in which they were put
// in.
func (e *EMR) Steps(account, region, cluster string) []Step {
	e.mu.Lock()
	defer e.mu.Unlock()
	on := e.clusters[key{account, region, cluster}]
	if on == nil {
		return nil
	}
	now, out := time.Now(), make([]Step, len(on.steps))
	for i, s := range on.steps {
		out[i] = s.now(now)
	}
	return out
}

// now is a copy of the step as it stands.
func (s *step) now(now time.Time) Step {
	s.advance(now)
	out := s.Step
	out.Then = slices.Clone(out.Then)
	return out
}

// advance brings a step up to date.
func (s *step) advance(now time.Time) {
	for len(s.Then) > 0 && !s.next.After(now) {
		s.enter(s.Then[0].State, s.next)
		s.Then = s.Then[1:]
		if len(s.Then) > 0 {
			s.next = s.next.Add(s.Then[0].After)
		}
	}
}

// shown is the step as a read shows it that is behind by age; nil where it was not there yet.
func (s *step) shown(now time.Time, age time.Duration) *step {
	if age <= 0 {
		return s
	}
	was, ok := s.past.AsOf(s.Step, s.Created, now, age)
	if !ok {
		return nil
	}
	return &step{Step: was}
}

func (s *step) enter(state State, at time.Time) {
	s.past.Note(s.Step, at)
	s.State = state
	if state == Running && s.Started.IsZero() {
		s.Started = at
	}
	if state.Ended() && s.Ended.IsZero() {
		s.Ended = at
	}
	s.changed(at)
}

// uncancellable is the documented reason that names no state.
const uncancellable = "This step cannot be cancelled."

// cancel does what CancelSteps does to one step and returns the reason for which it was
// refused, "" where the request was taken. kill is TERMINATE_PROCESS.
//
// Not documented, and so the simulator's own choice: the reason for an INTERRUPTED step, and for a
// PENDING one on a release that cannot cancel; that a second cancel of a CANCEL_PENDING step
// is taken (CancelSteps "is idempotent"); that a step which ignores SEND_INTERRUPT is
// CANCEL_PENDING until it ends by itself.
func (s *step) cancel(on release, kill bool, after time.Duration, now time.Time) (reason string) {
	s.advance(now)
	switch s.State {
	case Completed, Cancelled, Failed:
		return already(s.State)
	case Interrupted:
		return uncancellable
	case Pending:
		if !on.cancelsPending() {
			return uncancellable
		}
	case Running:
		if !on.cancelsRunning() {
			return already(Running)
		}
		if s.Stubborn && !kill {
			s.past.Note(s.Step, now)
			s.State = CancelPending
			return ""
		}
	case CancelPending:
		if s.stopping || !kill {
			return ""
		}
	}
	s.past.Note(s.Step, now)
	s.State, s.stopping = CancelPending, true
	s.Then, s.next = []Change{{State: Cancelled}}, now.Add(after)
	s.advance(now)
	s.watchLocked()
	return ""
}

func already(s State) string { return "Cannot cancel the step. It is already " + string(s) + "." }

// release is the numbers of a release label: "emr-5.28.0".
type release []int

func releaseOf(label string) release {
	var r release
	for part := range strings.SplitSeq(strings.TrimPrefix(label, "emr-"), ".") {
		n, err := strconv.Atoi(part)
		if err != nil {
			break
		}
		r = append(r, n)
	}
	return r
}

// What a release can cancel (facts/aws.json: emr.cancellable).
func (r release) cancelsPending() bool {
	return slices.Compare(r, release{4, 8, 0}) >= 0 && !slices.Equal(r, release{5, 0, 0})
}

func (r release) cancelsRunning() bool { return slices.Compare(r, release{5, 28, 0}) >= 0 }
