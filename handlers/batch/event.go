package batch

import (
	"encoding/json"

	"github.com/aws/aws-sdk-go-v2/service/batch/types"

	"github.com/rescindhq/rescind/handlers"
)

// EventSource implements handlers.EventReader ("Job state change events", AWS Batch User Guide).
func (h *handler) EventSource() (source, detailType string) {
	return "aws.batch", "Batch Job State Change"
}

// ReadEvent implements handlers.EventReader.
func (h *handler) ReadEvent(event []byte) (handlers.Ended, bool) {
	var job struct {
		ID     string `json:"jobId"`
		Status string `json:"status"`
		Reason string `json:"statusReason"`
	}
	err := json.Unmarshal(event, &job)
	switch types.JobStatus(job.Status) {
	case types.JobStatusSucceeded, types.JobStatusFailed:
		return handlers.Ended{ID: job.ID, State: job.Status, Reason: job.Reason}, err == nil && job.ID != ""
	case types.JobStatusSubmitted, types.JobStatusPending, types.JobStatusRunnable, types.JobStatusStarting, types.JobStatusRunning:
	}
	return handlers.Ended{}, false
}

// Shows implements handlers.EventReader. Whether events have the flags of a job that was stopped is not documented. So a
// FAILED job counts as stopped by us where its reason is the one that we sent, and is to be read otherwise.
func (h *handler) Shows(t handlers.Target, e handlers.Ended) (handlers.Reading, bool) {
	ours, _ := t.Params.(string)
	stopped := types.JobStatus(e.State) == types.JobStatusFailed
	return handlers.Reading{
		Found: true, State: e.State, Detail: detail{cancelled: stopped, terminated: stopped, reason: e.Reason},
	}, !stopped || e.Reason == ours && ours != ""
}
