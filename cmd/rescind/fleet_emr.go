package main

import (
	"fmt"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/internal/awssim/emr"
)

const cancelSteps = "emr:CancelSteps"

// mostSteps is the most steps of one command, as of one call (facts/aws.json: core.emr.batch).
const mostSteps = 256

// oldRelease is one that cannot cancel what runs (facts/aws.json: core.emr.cancellable).
const oldRelease = "emr-5.20.0"

// emrClusters are those that the fleet's steps run on: few, since one call serves one cluster
// and there is a call every two seconds.
type emrClusters struct{ first, second, old string }

func (f *fleet) cluster(release string) string {
	id := f.code("j-", capitals, 13)
	f.sim.PutClusters(awssim.Cluster{ID: id, Release: release})
	return id
}

// emrOrders is EMR's share of the fleet: commands of up to 256 steps, which each fill a call,
// and, for a quarter of the targets, of one step, which share calls.
func emrOrders(f *fleet, n int) []order {
	on := emrClusters{first: f.cluster(""), second: f.cluster(""), old: f.cluster(oldRelease)}
	var all []order
	if size := min(mostSteps, n/8); size > 1 {
		for i := range n * 3 / 4 / size {
			all = append(all, f.stepsOrder(on, i, size))
			n -= size
		}
	}
	return append(all, f.singleSteps(on, n)...)
}

// stepsOrder is a command of several steps: all of them open, some of them ended, or open and
// to be killed, in turn.
func (f *fleet) stepsOrder(on emrClusters, turn, size int) order {
	cluster, parameters := on.first, map[string]any{}
	states := []emr.State{emr.Pending, emr.Pending, emr.Pending, emr.Running}
	switch turn % 3 {
	case 1:
		states = append(states, emr.Pending, emr.Pending, emr.Completed, emr.Cancelled, emr.Failed)
	case 2:
		cluster = on.second
		parameters["StepCancellationOption"] = "TERMINATE_PROCESS"
	}
	ids := make([]string, size)
	for i := range ids {
		ids[i] = f.step(cluster, states[i%len(states)])
	}
	parameters["ClusterId"], parameters["StepIds"] = cluster, ids
	o := f.order(cancelSteps, parameters)
	o.targets = size
	o.holds = func(got ending) error {
		if len(got.each) != size {
			return fmt.Errorf("tells of %d steps, not %d", len(got.each), size)
		}
		for _, id := range ids {
			if err := f.stepHolds(cluster, id, got.each[id]); err != nil {
				return err
			}
		}
		return nil
	}
	return o
}

// step puts a step in. A running one ignores interrupts: it stops by TERMINATE_PROCESS alone.
func (f *fleet) step(cluster string, state emr.State) string {
	s := awssim.Step{ID: f.code("s-", capitals, 13), Cluster: cluster, State: state, Stubborn: true}
	f.sim.PutSteps(s)
	return s.ID
}

// stepHolds says what is wrong with a step's status. Steps take a minute to stop, which no
// demonstration waits for. Whose cancel it was EMR does not tell after an answer that was lost.
func (f *fleet) stepHolds(cluster, id string, got handlers.Status) error {
	s, ok := f.sim.Step(cluster, id)
	if !ok {
		return among(got, "step "+id, "absent", handlers.NotFound)
	}
	shows := []handlers.Status{handlers.NotCancellable}
	switch s.State {
	case emr.CancelPending:
		shows = []handlers.Status{handlers.Accepted}
	case emr.Cancelled:
		shows = []handlers.Status{handlers.AlreadyCancelled, handlers.Cancelled}
	case emr.Completed, emr.Failed, emr.Interrupted:
		shows = []handlers.Status{handlers.AlreadyEnded}
	case emr.Pending, emr.Running:
	}
	return among(got, "step "+id, string(s.State), shows...)
}

// singleSteps are commands of one step. Those that EMR refuses as a whole are two: what is
// refused is run again in halves, call by call, so that each has a cluster of its own.
func (f *fleet) singleSteps(on emrClusters, n int) []order {
	single := func(cluster string, state emr.State) func(*fleet) order {
		return func(f *fleet) order { return f.stepOrder(cluster, f.step(cluster, state)) }
	}
	var all []order
	if n >= 16 {
		small := f.cluster("")
		f.step(small, emr.Completed)
		all = append(all, f.stepOrder(small, f.code("s-", capitals, 13)))
		nowhere := f.stepOrder(f.code("j-", capitals, 13), f.code("s-", capitals, 13))
		// EMR's words for a cluster that it does not know tell nothing of the step.
		nowhere.want, nowhere.holds = handlers.Failed, nil
		all = append(all, nowhere)
	}
	return append(all, f.spread(n-len(all), append([]kind{
		{20, single(on.first, emr.Pending)},
		{10, single(on.first, emr.Running)},
		{2, single(on.first, emr.Completed)},
		{2, single(on.first, emr.Failed)},
		{1, single(on.first, emr.Cancelled)},
		{4, single(on.old, emr.Running)},
	}, guarded(func(f *fleet) spare { return f.spareStep(on.first) }, single(on.first, emr.Pending))...))...)
}

func (f *fleet) stepOrder(cluster, id string) order {
	o := f.order(cancelSteps, map[string]any{"ClusterId": cluster, "StepIds": []string{id}})
	o.holds = func(got ending) error { return f.stepHolds(cluster, id, got.status) }
	return o
}

// spareStep is a step that no call is to be made for.
func (f *fleet) spareStep(cluster string) spare {
	id := f.step(cluster, emr.Pending)
	return spare{cancelSteps, map[string]any{"ClusterId": cluster, "StepIds": []string{id}}, func() error {
		if s, ok := f.sim.Step(cluster, id); !ok || s.State != emr.Pending {
			return fmt.Errorf("step %s was called upon: it is %s", id, s.State)
		}
		return nil
	}}
}

// emrShown puts steps in for people to try commands on: the states in turn, on one cluster.
func emrShown(f *fleet, n int) []shown {
	states := []emr.State{emr.Pending, emr.Running, emr.Completed, emr.Cancelled, emr.Failed, emr.Interrupted}
	cluster := f.cluster("")
	all := make([]shown, n)
	for i := range all {
		state := states[i%len(states)]
		id := f.step(cluster, state)
		all[i] = shown{
			id: id, state: string(state), action: cancelSteps,
			parameters: map[string]any{"ClusterId": cluster, "StepIds": []string{id}},
		}
	}
	return all
}
