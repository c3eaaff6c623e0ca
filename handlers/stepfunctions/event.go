package stepfunctions

import (
	"encoding/json"

	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/rescindhq/rescind/handlers"
)

// EventSource implements handlers.EventReader ("Automating Step Functions event delivery with EventBridge", Step Functions
// Developer Guide).
func (h *handler) EventSource() (source, detailType string) {
	return "aws.states", "Step Functions Execution Status Change"
}

// ReadEvent implements handlers.EventReader.
func (h *handler) ReadEvent(event []byte) (handlers.Ended, bool) {
	var execution struct {
		ARN    string `json:"executionArn"`
		Status string `json:"status"`
	}
	err := json.Unmarshal(event, &execution)
	switch types.ExecutionStatus(execution.Status) {
	case types.ExecutionStatusAborted, types.ExecutionStatusSucceeded, types.ExecutionStatusFailed, types.ExecutionStatusTimedOut:
		return handlers.Ended{ID: execution.ARN, State: execution.Status}, err == nil && execution.ARN != ""
	case types.ExecutionStatusRunning, types.ExecutionStatusPendingRedrive:
	}
	return handlers.Ended{}, false
}

// Shows implements handlers.EventReader. Like a listing's, the reading has no record of error and cause.
func (h *handler) Shows(_ handlers.Target, e handlers.Ended) (handlers.Reading, bool) {
	return handlers.Reading{Found: true, State: e.State}, true
}
