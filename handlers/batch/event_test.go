package batch

import (
	"testing"

	"github.com/rescindhq/rescind/handlers"
)

// What Batch's events show ("Job state change events", AWS Batch User Guide).
func TestReadEvent(t *testing.T) {
	for name, row := range map[string]struct {
		detail string
		want   handlers.Ended // the zero value: no end
	}{
		"the example of the guide, which is RUNNABLE": {
			`{"jobArn":"arn:aws:batch:us-east-1:123456789012:job/4c7599ae-0a82-49aa-ba5a-4727fcce14a8","jobName":"event-test",
			"jobId":"4c7599ae-0a82-49aa-ba5a-4727fcce14a8","jobQueue":"arn:aws:batch:us-east-1:123456789012:job-queue/PexjEHappyPathCanary2JobQueue",
			"status":"RUNNABLE","attempts":[],"createdAt":1641944200058,"retryStrategy":{"attempts":2,"evaluateOnExit":[]},"dependsOn":[],
			"jobDefinition":"arn:aws:batch:us-east-1:123456789012:job-definition/first-run-job-definition:1","parameters":{},
			"container":{"image":"137112412989.dkr.ecr.us-east-1.amazonaws.com/amazonlinux:latest","command":["sleep","600"],"volumes":[],"environment":[]},
			"tags":{},"propagateTags":false,"platformCapabilities":[]}`, handlers.Ended{}},
		"SUBMITTED": {`{"jobId":"a","status":"SUBMITTED"}`, handlers.Ended{}},
		"PENDING":   {`{"jobId":"a","status":"PENDING"}`, handlers.Ended{}},
		"STARTING":  {`{"jobId":"a","status":"STARTING"}`, handlers.Ended{}},
		"RUNNING":   {`{"jobId":"a","status":"RUNNING"}`, handlers.Ended{}},
		"SUCCEEDED": {`{"jobId":"a","status":"SUCCEEDED"}`, handlers.Ended{ID: "a", State: "SUCCEEDED"}},
		"FAILED, by itself": {
			`{"jobId":"a","status":"FAILED","statusReason":"Essential container in task exited","attempts":[{"container":{"exitCode":1}}]}`,
			handlers.Ended{ID: "a", State: "FAILED", Reason: "Essential container in task exited"}},
		"FAILED, as it was stopped": {
			`{"jobId":"a","status":"FAILED","statusReason":"Cancelling job.","isCancelled":true}`,
			handlers.Ended{ID: "a", State: "FAILED", Reason: "Cancelling job."}},
		"FAILED, of no reason":        {`{"jobId":"a","status":"FAILED"}`, handlers.Ended{ID: "a", State: "FAILED"}},
		"FAILED, of the reason null":  {`{"jobId":"a","status":"FAILED","statusReason":null}`, handlers.Ended{ID: "a", State: "FAILED"}},
		"a child of an array":         {`{"jobId":"a:7","status":"FAILED"}`, handlers.Ended{ID: "a:7", State: "FAILED"}},
		"a state to come":             {`{"jobId":"a","status":"EVICTED"}`, handlers.Ended{}},
		"a state in small letters":    {`{"jobId":"a","status":"failed"}`, handlers.Ended{}},
		"no state":                    {`{"jobId":"a"}`, handlers.Ended{}},
		"a state that is a number":    {`{"jobId":"a","status":7}`, handlers.Ended{}},
		"no job":                      {`{"status":"FAILED"}`, handlers.Ended{}},
		"the job \"\"":                {`{"jobId":"","status":"FAILED"}`, handlers.Ended{}},
		"the job null":                {`{"jobId":null,"status":"FAILED"}`, handlers.Ended{}},
		"a job that is a list":        {`{"jobId":["a"],"status":"FAILED"}`, handlers.Ended{}},
		"a reason that is an object":  {`{"jobId":"a","status":"FAILED","statusReason":{}}`, handlers.Ended{}},
		"a detail that is a list":     {`[{"jobId":"a","status":"FAILED"}]`, handlers.Ended{}},
		"a detail within the detail":  {`{"detail":{"jobId":"a","status":"FAILED"}}`, handlers.Ended{}},
		"a text":                      {`"FAILED"`, handlers.Ended{}},
		"null":                        {`null`, handlers.Ended{}},
		"nothing":                     {``, handlers.Ended{}},
		"half of it":                  {`{"jobId":"a","status":"FAILED"`, handlers.Ended{}},
		"two of them":                 {`{"jobId":"a","status":"FAILED"}{"jobId":"b","status":"FAILED"}`, handlers.Ended{}},
		"EMR's":                       {`{"stepId":"s-1","clusterId":"j-1","state":"FAILED"}`, handlers.Ended{}},
		"a state after an end, twice": {`{"jobId":"a","status":"FAILED","status":"RUNNING"}`, handlers.Ended{}},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := (&handler{}).ReadEvent([]byte(row.detail))
			if ok != (row.want != handlers.Ended{}) || ok && got != row.want {
				t.Errorf("it shows %+v, %t, want %+v", got, ok, row.want)
			}
		})
	}
}

// What an end proves of a job that CancelJobs or TerminateJobs took. The flags that tell a job which was stopped from one that failed
// are in no documented event, so that only our own reason is proof; of all else the job is read.
func TestShows(t *testing.T) {
	for name, row := range map[string]struct {
		state, reason, ours string
		want                handlers.Status // "": it is to be read
	}{
		"SUCCEEDED":                           {"SUCCEEDED", "", reason, handlers.AlreadyEnded},
		"SUCCEEDED, though it has our reason": {"SUCCEEDED", reason, reason, handlers.AlreadyEnded},
		"FAILED for our reason":               {"FAILED", reason, reason, handlers.Cancelled},
		"FAILED for another's":                {"FAILED", "queue is being drained", reason, ""},
		"FAILED by itself":                    {"FAILED", "Essential container in task exited", reason, ""},
		"FAILED for a reason like ours":       {"FAILED", reason + " ", reason, ""},
		"FAILED for no reason":                {"FAILED", "", reason, ""},
		"FAILED for no reason, none was sent": {"FAILED", "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			for _, h := range New(nil) {
				target := handlers.Target{ID: "a", Key: row.ours, Params: row.ours}
				r, ok := h.(handlers.EventReader).Shows(target, handlers.Ended{ID: "a", State: row.state, Reason: row.reason})
				got := handlers.Status("")
				if ok {
					got = h.Judge(target, handlers.Tried{Taken: true}, r).Status
				}
				if got != row.want {
					t.Errorf("%s: it proves %q, want %q", h.Action(), got, row.want)
				}
			}
		})
	}
}
