package stepfunctions

import (
	"strings"
	"testing"

	"github.com/rescindhq/rescind/handlers"
)

// What Step Functions' events show ("Automating Step Functions event delivery with EventBridge", Step Functions Developer Guide).
func TestReadEvent(t *testing.T) {
	// The guide's example of an execution that was stopped; those of other ends differ in status and output alone.
	example := `{"executionArn":"` + arn(1) + `","stateMachineArn":"arn:aws:states:us-east-1:123456789012:stateMachine:orders","name":"run-1",
		"status":"ABORTED","startDate":1551225014968,"stopDate":1551225017576,"input":"{}","inputDetails":{"included":true},"output":null,"outputDetails":null}`
	as := func(status string) string { return strings.Replace(example, `"ABORTED"`, status, 1) }
	for name, row := range map[string]struct {
		detail string
		want   handlers.Ended // the zero value: no end
	}{
		"ABORTED":                     {example, handlers.Ended{ID: arn(1), State: "ABORTED"}},
		"SUCCEEDED":                   {as(`"SUCCEEDED"`), handlers.Ended{ID: arn(1), State: "SUCCEEDED"}},
		"FAILED":                      {as(`"FAILED"`), handlers.Ended{ID: arn(1), State: "FAILED"}},
		"TIMED_OUT":                   {as(`"TIMED_OUT"`), handlers.Ended{ID: arn(1), State: "TIMED_OUT"}},
		"RUNNING":                     {as(`"RUNNING"`), handlers.Ended{}},
		"PENDING_REDRIVE":             {as(`"PENDING_REDRIVE"`), handlers.Ended{}},
		"a state to come":             {as(`"PAUSED"`), handlers.Ended{}},
		"a state in small letters":    {as(`"aborted"`), handlers.Ended{}},
		"a state that is a list":      {as(`["ABORTED"]`), handlers.Ended{}},
		"the state null":              {as(`null`), handlers.Ended{}},
		"no execution":                {`{"status":"ABORTED"}`, handlers.Ended{}},
		"the execution \"\"":          {`{"executionArn":"","status":"ABORTED"}`, handlers.Ended{}},
		"an execution as an object":   {`{"executionArn":{},"status":"ABORTED"}`, handlers.Ended{}},
		"a detail that is a list":     {`[` + example + `]`, handlers.Ended{}},
		"a text":                      {`"ABORTED"`, handlers.Ended{}},
		"null":                        {`null`, handlers.Ended{}},
		"nothing":                     {``, handlers.Ended{}},
		"half of it":                  {strings.TrimSuffix(example, "}"), handlers.Ended{}},
		"a state after an end, twice": {`{"executionArn":"` + arn(1) + `","status":"ABORTED","status":"RUNNING"}`, handlers.Ended{}},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := (&handler{}).ReadEvent([]byte(row.detail))
			if ok != (row.want != handlers.Ended{}) || ok && got != row.want {
				t.Errorf("it shows %+v, %t, want %+v", got, ok, row.want)
			}
		})
	}
}

// What an end proves of an execution that StopExecution took. Like a listing, an event has no record of error and cause, so that a
// stop counts as ours whatever was sent.
func TestShows(t *testing.T) {
	h := New(nil)[0]
	for state, want := range map[string]handlers.Status{
		"ABORTED": handlers.Cancelled, "SUCCEEDED": handlers.AlreadyEnded, "FAILED": handlers.AlreadyEnded, "TIMED_OUT": handlers.AlreadyEnded,
	} {
		for _, p := range []handlers.Parameters{{"executionArn": arn(1)}, {"executionArn": arn(1), "error": "Guard", "cause": "over budget"}} {
			targets, err := h.Targets(p)
			if err != nil {
				t.Fatal(err)
			}
			r, ok := h.(handlers.EventReader).Shows(targets[0], handlers.Ended{ID: arn(1), State: state})
			if got := h.Judge(targets[0], handlers.Tried{Taken: true}, r).Status; !ok || got != want {
				t.Errorf("%s proves %q, %t of %v, want %q", state, got, ok, p, want)
			}
		}
	}
}
