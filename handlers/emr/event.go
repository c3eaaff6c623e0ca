package emr

import (
	"encoding/json"

	"github.com/aws/aws-sdk-go-v2/service/emr/types"

	"github.com/rescindhq/rescind/handlers"
)

// EventSource implements handlers.EventReader ("Monitoring Amazon EMR events with CloudWatch", EMR Management Guide).
func (h *handler) EventSource() (source, detailType string) {
	return "aws.emr", "EMR Step Status Change"
}

// ReadEvent implements handlers.EventReader.
func (h *handler) ReadEvent(event []byte) (handlers.Ended, bool) {
	var step struct {
		ID      string `json:"stepId"`
		Cluster string `json:"clusterId"`
		State   string `json:"state"`
	}
	err := json.Unmarshal(event, &step)
	switch types.StepState(step.State) {
	case types.StepStateCancelled, types.StepStateCompleted, types.StepStateFailed, types.StepStateInterrupted:
		return handlers.Ended{ID: step.ID, In: step.Cluster, State: step.State}, err == nil && step.ID != ""
	case types.StepStatePending, types.StepStateCancelPending, types.StepStateRunning:
	}
	return handlers.Ended{}, false
}

// Shows implements handlers.EventReader.
func (h *handler) Shows(t handlers.Target, e handlers.Ended) (handlers.Reading, bool) {
	r, _ := t.Params.(request)
	return handlers.Reading{Found: true, State: e.State}, e.In == r.cluster
}
