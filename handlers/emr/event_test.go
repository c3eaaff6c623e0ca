package emr

import (
	"testing"

	"github.com/rescindhq/rescind/handlers"
)

// What EMR's events show ("Monitoring Amazon EMR events with CloudWatch", EMR Management Guide: Step events).
func TestReadEvent(t *testing.T) {
	ends := func(state string) handlers.Ended { return handlers.Ended{ID: "s-1", In: "j-1", State: state} }
	for name, row := range map[string]struct {
		detail string
		want   handlers.Ended // the zero value: no end
	}{
		"the example of the guide, which has FAILED": {
			`{"severity":"ERROR","actionOnFailure":"CONTINUE","stepId":"s-ZYXWVUTSRQPON","name":"CustomJAR","clusterId":"j-123456789ABCD","state":"FAILED",
			"message":"Step s-ZYXWVUTSRQPON (CustomJAR) in Amazon EMR cluster j-123456789ABCD (Development Cluster) failed at 2016-12-16 20:53 UTC."}`,
			handlers.Ended{ID: "s-ZYXWVUTSRQPON", In: "j-123456789ABCD", State: "FAILED"}},
		"PENDING":                     {`{"stepId":"s-1","clusterId":"j-1","state":"PENDING"}`, handlers.Ended{}},
		"RUNNING":                     {`{"stepId":"s-1","clusterId":"j-1","state":"RUNNING"}`, handlers.Ended{}},
		"CANCEL_PENDING":              {`{"stepId":"s-1","clusterId":"j-1","state":"CANCEL_PENDING"}`, handlers.Ended{}},
		"COMPLETED":                   {`{"stepId":"s-1","clusterId":"j-1","state":"COMPLETED"}`, ends("COMPLETED")},
		"CANCELLED":                   {`{"stepId":"s-1","clusterId":"j-1","state":"CANCELLED"}`, ends("CANCELLED")},
		"INTERRUPTED":                 {`{"stepId":"s-1","clusterId":"j-1","state":"INTERRUPTED"}`, ends("INTERRUPTED")},
		"of no cluster":               {`{"stepId":"s-1","state":"CANCELLED"}`, handlers.Ended{ID: "s-1", State: "CANCELLED"}},
		"a state to come":             {`{"stepId":"s-1","clusterId":"j-1","state":"TERMINATED"}`, handlers.Ended{}},
		"a state in small letters":    {`{"stepId":"s-1","clusterId":"j-1","state":"cancelled"}`, handlers.Ended{}},
		"no state":                    {`{"stepId":"s-1","clusterId":"j-1"}`, handlers.Ended{}},
		"no step":                     {`{"clusterId":"j-1","state":"CANCELLED"}`, handlers.Ended{}},
		"the step \"\"":               {`{"stepId":"","clusterId":"j-1","state":"CANCELLED"}`, handlers.Ended{}},
		"a step that is a number":     {`{"stepId":1,"clusterId":"j-1","state":"CANCELLED"}`, handlers.Ended{}},
		"a cluster that is a list":    {`{"stepId":"s-1","clusterId":["j-1"],"state":"CANCELLED"}`, handlers.Ended{}},
		"an event of the cluster":     {`{"clusterId":"j-1","state":"TERMINATED","name":"Development Cluster"}`, handlers.Ended{}},
		"a detail that is a list":     {`[{"stepId":"s-1","clusterId":"j-1","state":"CANCELLED"}]`, handlers.Ended{}},
		"null":                        {`null`, handlers.Ended{}},
		"nothing":                     {``, handlers.Ended{}},
		"half of it":                  {`{"stepId":"s-1","clusterId":"j-1","state":"CANCELLED"`, handlers.Ended{}},
		"a state after an end, twice": {`{"stepId":"s-1","clusterId":"j-1","state":"CANCELLED","state":"RUNNING"}`, handlers.Ended{}},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := (&handler{}).ReadEvent([]byte(row.detail))
			if ok != (row.want != handlers.Ended{}) || ok && got != row.want {
				t.Errorf("it shows %+v, %t, want %+v", got, ok, row.want)
			}
		})
	}
}

// What an end proves of a step that CancelSteps took. Step ids are of a cluster: one on another cluster proves nothing.
func TestShows(t *testing.T) {
	h := New(nil)[0]
	targets, err := h.Targets(handlers.Parameters{"ClusterId": "j-1", "StepIds": []string{"s-1"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		in, state string
		want      handlers.Status // "": it is to be read
	}{
		"CANCELLED":                    {"j-1", "CANCELLED", handlers.Cancelled},
		"COMPLETED":                    {"j-1", "COMPLETED", handlers.AlreadyEnded},
		"FAILED":                       {"j-1", "FAILED", handlers.AlreadyEnded},
		"INTERRUPTED":                  {"j-1", "INTERRUPTED", handlers.AlreadyEnded},
		"CANCELLED on another cluster": {"j-10", "CANCELLED", ""},
		"CANCELLED on no cluster":      {"", "CANCELLED", ""},
	} {
		t.Run(name, func(t *testing.T) {
			r, ok := h.(handlers.EventReader).Shows(targets[0], handlers.Ended{ID: "s-1", In: row.in, State: row.state})
			got := handlers.Status("")
			if ok {
				got = h.Judge(targets[0], handlers.Tried{Taken: true}, r).Status
			}
			if got != row.want {
				t.Errorf("it proves %q, want %q", got, row.want)
			}
		})
	}
}
