package worker_test

import (
	"encoding/json"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker"
)

// FuzzReadEvent: of whatever detail, each service's handler reads nothing, or an end of a named target; and what that shows of the
// target, if anything, is an end too, and cancelled only where a cancel was tried.
func FuzzReadEvent(f *testing.F) {
	for _, detail := range []string{
		`{"jobId":"a","status":"FAILED","statusReason":"over budget"}`, `{"jobId":"a:7","status":"SUCCEEDED","attempts":[],"container":{}}`,
		`{"stepId":"s-1","clusterId":"j-1","state":"CANCELLED","severity":"WARN"}`, `{"stepId":"s-1","clusterId":"j-2","state":"INTERRUPTED"}`,
		`{"executionArn":"arn:aws:states:us-east-1:123456789012:execution:m:1","status":"ABORTED","input":"{}","output":null}`,
		`{"jobId":["a"],"status":"FAILED"}`, `{"jobId":null}`, `[{}]`, `"FAILED"`, `null`, ``, `{"JOBID":"a","Status":"FAILED"}`, "{\"jobId\":\"\xff\",\"status\":\"FAILED\"}",
	} {
		f.Add([]byte(detail))
	}
	var all []handlers.Handler
	for _, service := range worker.Services() {
		all = append(all, service(func(handlers.Location) aws.Config { return aws.Config{} })...)
	}
	f.Fuzz(func(t *testing.T, detail []byte) {
		for _, h := range all {
			if reader, ok := h.(handlers.EventReader); ok {
				readsEvent(t, h, reader, detail)
			}
		}
	})
}

func readsEvent(t *testing.T, h handlers.Handler, reader handlers.EventReader, detail []byte) {
	t.Helper()
	ended, ok := reader.ReadEvent(detail)
	switch again, okAgain := reader.ReadEvent(detail); {
	case again != ended || okAgain != ok:
		t.Errorf("%s reads %+v, then %+v", h.Action(), ended, again)
	case !ok:
		return
	case ended.ID == "" || ended.State == "" || !json.Valid(detail):
		t.Errorf("%s reads %+v", h.Action(), ended)
	}
	targets, err := h.Targets(handlers.Parameters{
		"jobId": ended.ID, "reason": "over budget", "ClusterId": "j-1", "StepIds": []string{ended.ID}, "executionArn": ended.ID,
	})
	if err != nil || len(targets) != 1 || targets[0].ID != ended.ID {
		t.Fatalf("%s: the targets are %+v, %v", h.Action(), targets, err)
	}
	r, ok := reader.Shows(targets[0], ended)
	if !ok {
		return
	}
	for _, tried := range []handlers.Tried{{}, {Taken: true}} {
		a := h.Judge(targets[0], tried, r)
		if a.Status.Verdict() != handlers.Stopped || a.After != ended.State || a.Err != nil || a.Status == handlers.Cancelled && !tried.Taken {
			t.Errorf("%s: %+v shows %+v, where %+v was tried", h.Action(), ended, a, tried)
		}
	}
}
