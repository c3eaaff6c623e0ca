package emr

import (
	"context"
	"time"

	"github.com/rescindhq/rescind/internal/awssim/service"
	"github.com/rescindhq/rescind/internal/facts"
)

var (
	facet = facts.Core()["emr"]
	// The most steps of CancelSteps, the most ids of ListSteps, and the rows of its pages.
	maxCancel = facet.Batch["cancel_max"]
	maxList   = facet.Batch["describe_ids_max"]
	page      = facet.Batch["list_page"]
)

type (
	cancelInput struct {
		ClusterID string   `json:"ClusterId"`
		StepIDs   []string `json:"StepIds"`
		Option    string   `json:"StepCancellationOption"`
	}
	cancelOutput struct {
		Infos []cancelInfo `json:"CancelStepsInfoList"`
	}
	cancelInfo struct {
		StepID string `json:"StepId"`
		Status string `json:"Status"`
		Reason string `json:"Reason"`
	}
)

// The two statuses of a step's answer.
const (
	submitted = "SUBMITTED"
	failed    = "FAILED"
)

func cancelItems(in *cancelInput) []string { return in.StepIDs }

// cancelSteps answers step by step. What becomes of an id that the cluster does not know, or
// that is malformed, is not documented; here it is the answer that is hardest on strangers:
// the whole request is refused, and nothing is cancelled. An id that stands twice is answered
// twice, which is not documented either.
func (e *EMR) cancelSteps(_ context.Context, c *service.Call, in *cancelInput) (*cancelOutput, error) {
	if len(in.StepIDs) == 0 || len(in.StepIDs) > maxCancel {
		return nil, refuse("StepIds must hold 1 to %d step ids, not %d.", maxCancel, len(in.StepIDs))
	}
	kill := in.Option == "TERMINATE_PROCESS"
	if !kill && in.Option != "" && in.Option != "SEND_INTERRUPT" {
		return nil, refuse("StepCancellationOption must be SEND_INTERRUPT or TERMINATE_PROCESS, not %q.", in.Option)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	on, err := e.clusterLocked(c, in.ClusterID)
	if err != nil {
		return nil, err
	}
	for _, id := range in.StepIDs {
		if on.byID[id] == nil {
			return nil, noSuchStep(id)
		}
	}
	now, out := time.Now(), &cancelOutput{Infos: make([]cancelInfo, len(in.StepIDs))}
	for i, id := range in.StepIDs {
		info := cancelInfo{StepID: id, Status: submitted}
		if fault := c.Fails(id); fault != nil {
			info.Reason = fault.Message
		} else {
			info.Reason = on.byID[id].cancel(on.release, kill, e.options.StopAfter+c.Slow(id), now)
		}
		if info.Reason != "" {
			info.Status = failed
			c.FailedItems++
		}
		out.Infos[i] = info
	}
	return out, nil
}

// clusterLocked finds a cluster. That EMR answers with InvalidRequestException is documented,
// its words are not.
func (e *EMR) clusterLocked(c *service.Call, id string) (*cluster, error) {
	on := e.clusters[key{c.Account, c.Region, id}]
	if on == nil {
		return nil, refuse("Cluster id '%s' is not valid.", id)
	}
	return on, nil
}

func noSuchStep(id string) error { return refuse("Step id '%s' is not valid.", id) }
