package demo

import (
	"fmt"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/internal/awssim/emr"
)

const cancelSteps = "emr:CancelSteps"

// maxSteps is the most steps that one command may name, and one call (facts/aws.json: core.emr.batch).
const maxSteps = 256

// oldRelease is a release that cannot cancel running steps (facts/aws.json: core.emr.cancellable).
const oldRelease = "emr-5.20.0"

// emrClusters are the clusters that the fleet's steps run on. They are few, because a call is for
// one cluster and the quota allows one call every two seconds.
type emrClusters struct{ first, second, old string }

func (f *Fleet) cluster(release string) string {
	id := f.randomID("j-", capitals, 13)
	f.sim.PutClusters(awssim.Cluster{ID: id, Release: release})
	return id
}

// emrCommands makes EMR's share of the fleet. Three quarters of the targets are in commands of up to
// 256 steps, which fill a call each; the others are in commands of one step, which share calls.
func emrCommands(f *Fleet, n int) []command {
	on := emrClusters{first: f.cluster(""), second: f.cluster(""), old: f.cluster(oldRelease)}
	var all []command
	if size := min(maxSteps, n/8); size > 1 {
		for i := range n * 3 / 4 / size {
			all = append(all, f.newStepsCommand(on, i, size))
			n -= size
		}
	}
	return append(all, f.singleStepCommands(on, n)...)
}

// newStepsCommand makes a command for several steps. In turn all of them are open, some have ended, or
// all are open and the command asks for TERMINATE_PROCESS.
func (f *Fleet) newStepsCommand(on emrClusters, turn, size int) command {
	cluster, parameters := on.first, map[string]any{}
	states := []emr.State{emr.Pending, emr.Pending, emr.Pending, emr.Running}
	switch turn % 3 {
	case 1:
		states = []emr.State{emr.Pending, emr.Completed, emr.Pending, emr.Running, emr.Pending, emr.Cancelled, emr.Pending, emr.Failed, emr.Pending}
	case 2:
		cluster = on.second
		parameters["StepCancellationOption"] = "TERMINATE_PROCESS"
	}
	ids := make([]string, size)
	for i := range ids {
		ids[i] = f.step(cluster, states[i%len(states)])
	}
	parameters["ClusterId"], parameters["StepIds"] = cluster, ids
	c := f.commandFor(cancelSteps, parameters)
	c.targets = size
	c.verify = func(got result) error {
		if len(got.targets) != size {
			return fmt.Errorf("reports %d steps, not %d", len(got.targets), size)
		}
		for _, id := range ids {
			if err := f.checkStep(cluster, id, got.targets[id]); err != nil {
				return err
			}
		}
		return nil
	}
	return c
}

// step puts a step into the simulator.
func (f *Fleet) step(cluster string, state emr.State) string {
	return f.putStep(awssim.Step{Cluster: cluster, State: state})
}

// stubbornStep puts a running step into the simulator that ignores interrupts: only TERMINATE_PROCESS stops it.
func (f *Fleet) stubbornStep(cluster string) string {
	return f.putStep(awssim.Step{Cluster: cluster, State: emr.Running, Stubborn: true})
}

func (f *Fleet) putStep(s awssim.Step) string {
	s.ID = f.randomID("s-", capitals, 13)
	f.sim.PutSteps(s)
	return s.ID
}

// checkStep compares a step's status with its state. After a lost answer EMR does not say whose cancel stopped a step.
func (f *Fleet) checkStep(cluster, id string, got handlers.Status) error {
	s, ok := f.sim.Step(cluster, id)
	if !ok {
		return oneOf(got, "step "+id, "absent", handlers.NotFound)
	}
	shows := []handlers.Status{handlers.NotCancellable}
	switch s.State {
	case emr.CancelPending:
		shows = []handlers.Status{handlers.Accepted}
	case emr.Cancelled:
		shows = []handlers.Status{handlers.AlreadyCancelled, handlers.Cancelled, handlers.Accepted} // not seen in time
	case emr.Completed, emr.Failed, emr.Interrupted:
		shows = []handlers.Status{handlers.AlreadyEnded}
	case emr.Pending, emr.Running:
	}
	return oneOf(got, "step "+id, string(s.State), shows...)
}

// singleStepCommands makes commands for one step each. EMR refuses two of them with the whole request
// that they are in. The worker then splits such a request and calls again, which would delay the
// other steps of the same cluster; so each of the two has a cluster of its own.
func (f *Fleet) singleStepCommands(on emrClusters, n int) []command {
	single := func(cluster string, state emr.State) func(*Fleet) command {
		return func(f *Fleet) command { return f.stepCommand(cluster, f.step(cluster, state)) }
	}
	var all []command
	if n >= 16 {
		small := f.cluster("")
		f.step(small, emr.Completed)
		all = append(all, f.stepCommand(small, f.randomID("s-", capitals, 13)))
		unknown := f.stepCommand(f.randomID("j-", capitals, 13), f.randomID("s-", capitals, 13))
		// EMR's error for an unknown cluster says nothing about the step.
		unknown.want, unknown.verify = handlers.Failed, nil
		all = append(all, unknown)
	}
	return append(all, f.distribute(n-len(all), append([]kind{
		{20, single(on.first, emr.Pending)},
		{8, single(on.first, emr.Running)},
		{2, func(f *Fleet) command { return f.stepCommand(on.first, f.stubbornStep(on.first)) }},
		{2, single(on.first, emr.Completed)},
		{2, single(on.first, emr.Failed)},
		{1, single(on.first, emr.Cancelled)},
		{4, single(on.old, emr.Running)},
	}, commonKinds(func(f *Fleet) untouched { return f.untouchedStep(on.first) }, single(on.first, emr.Pending))...))...)
}

func (f *Fleet) stepCommand(cluster, id string) command {
	c := f.commandFor(cancelSteps, map[string]any{"ClusterId": cluster, "StepIds": []string{id}})
	c.verify = func(got result) error { return f.checkStep(cluster, id, got.status) }
	return c
}

// untouchedStep makes a step that must not be called.
func (f *Fleet) untouchedStep(cluster string) untouched {
	id := f.step(cluster, emr.Pending)
	return untouched{cancelSteps, map[string]any{"ClusterId": cluster, "StepIds": []string{id}}, func() error {
		if s, ok := f.sim.Step(cluster, id); !ok || s.State != emr.Pending {
			return fmt.Errorf("step %s was called: it is %s", id, s.State)
		}
		return nil
	}}
}

// emrSamples makes n steps on one cluster, in each state in turn.
func emrSamples(f *Fleet, n int) []Sample {
	states := []emr.State{emr.Pending, emr.Running, emr.Completed, emr.Cancelled, emr.Failed, emr.Interrupted}
	cluster := f.cluster("")
	all := make([]Sample, n)
	for i := range all {
		state := states[i%len(states)]
		id := f.step(cluster, state)
		all[i] = Sample{
			ID: cluster + "/" + id, State: string(state), Action: cancelSteps,
			Parameters: map[string]any{"ClusterId": cluster, "StepIds": []string{id}},
		}
	}
	return all
}
