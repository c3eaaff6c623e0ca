package demo

import (
	"fmt"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/internal/awssim/stepfunctions"
)

const stopExecution = "stepfunctions:StopExecution"

// executions is what the ARNs of the fleet's executions begin with. Their state machine is called etl.
const executions = "arn:aws:states:us-east-1:123456789012:execution:"

// stepFunctionsCommands makes Step Functions' share of the fleet: executions in various states. A call is for one
// execution.
func stepFunctionsCommands(f *Fleet, n int) []command {
	in := func(state stepfunctions.State) func(*Fleet) command {
		return func(f *Fleet) command { return f.newStopCommand(state) }
	}
	return f.distribute(n, append([]kind{
		{12, in(stepfunctions.Running)},
		{1, in(stepfunctions.Succeeded)},
		{1, in(stepfunctions.Failed)},
		{1, in(stepfunctions.TimedOut)},
		{1, in(stepfunctions.Aborted)},
		{1, in("")},
	}, commonKinds((*Fleet).untouchedStop, in(stepfunctions.Running))...))
}

// stoppable puts an execution into the simulator and returns its name, with that of its state machine. If state is
// "" it only makes the name.
func (f *Fleet) stoppable(state stepfunctions.State) string {
	name := f.randomID("etl:", capitals, 8)
	if state != "" {
		f.sim.PutExecutions(awssim.Execution{ARN: executions + name, State: state})
	}
	return name
}

// newStopCommand puts an execution into the simulator and makes a command for it. Its outcome is compared with
// the execution's state. If state is "" there is no such execution.
func (f *Fleet) newStopCommand(state stepfunctions.State) command {
	name := f.stoppable(state)
	c := f.commandFor(stopExecution, map[string]any{"executionArn": executions + name})
	if state == "" {
		c.want = handlers.NotFound
		return c
	}
	if state.Ended() && state != stepfunctions.Aborted {
		c.want = handlers.AlreadyEnded
	}
	c.verify = func(got result) error {
		e, _ := f.sim.Execution(executions + name)
		return checkStopped(got.status, "execution "+name, string(e.State), string(state), string(stepfunctions.Aborted))
	}
	return c
}

// untouchedStop makes an execution that must not be stopped.
func (f *Fleet) untouchedStop() untouched {
	name := f.stoppable(stepfunctions.Running)
	return untouched{stopExecution, map[string]any{"executionArn": executions + name}, func() error {
		if e, ok := f.sim.Execution(executions + name); !ok || e.State != stepfunctions.Running {
			return fmt.Errorf("execution %s was called: it is %s", name, e.State)
		}
		return nil
	}}
}

// stepFunctionsSamples makes n executions, in each state in turn.
func stepFunctionsSamples(f *Fleet, n int) []Sample {
	states := []stepfunctions.State{stepfunctions.Running, stepfunctions.Succeeded, stepfunctions.Failed, stepfunctions.Aborted}
	all := make([]Sample, n)
	for i := range all {
		state := states[i%len(states)]
		name := f.stoppable(state)
		all[i] = Sample{ID: name, State: string(state), Action: stopExecution, Parameters: map[string]any{"executionArn": executions + name}}
	}
	return all
}
