package stepfunctions

import (
	"strings"

	"github.com/rescindhq/rescind/internal/awssim/eventbridge"
)

// changed makes an event of an execution that has ended, with the members of the examples in "Automating Step Functions
// event delivery with EventBridge" (Step Functions Developer Guide).
func (e *execution) changed() {
	machine, name := machineOf(e.ARN)
	parts := strings.SplitN(e.ARN, ":", 7)
	e.owner.bus.Changed(&eventbridge.Change{
		Source: "aws.states", DetailType: "Step Functions Execution Status Change", Account: parts[4], Region: parts[3],
		Resource: e.ARN, At: e.Ended, Item: e.ARN + " " + string(e.State), Detail: map[string]any{
			"executionArn": e.ARN, "stateMachineArn": machine, "name": name, "status": e.State,
			"startDate": e.Started.UnixMilli(), "stopDate": e.Ended.UnixMilli(),
			"input": "{}", "inputDetails": map[string]any{"included": true}, "output": nil, "outputDetails": nil,
		},
	})
}
