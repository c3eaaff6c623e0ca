// Package iot simulates AWS IoT Jobs as far as stopping goes: jobs, their executions on
// things, the calls that cancel the one or the other, and the calls that read them. States,
// bounds and errors are those of internal/facts. Devices are not in it: what they would do to
// an execution is set beforehand ([Execution.Then]).
package iot

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

// Options say how IoT behaves.
type Options struct {
	// StopAfter is the time from a CancelJobExecution that takes effect to CANCELED; 0, which
	// is what AWS is taken to do, is at once.
	StopAfter time.Duration
}

// sweepEach is the time between two executions that a CancelJob cancels: about 1,000 devices
// a minute (facts/aws.json: iot.batch.whole_job).
const sweepEach = time.Minute / 1000

// IoT is all jobs and executions of all accounts and regions. Its methods are safe for
// concurrent use.
type IoT struct {
	options Options

	mu         sync.Mutex
	executions map[executionKey]*execution
	jobs       map[key]*job
	things     map[key]*thing
	order      map[location][]*job // in the order in which they were put in
	groups     map[key]*Group
}

type (
	location struct{ account, region string }
	key      struct {
		location
		name string
	}
	executionKey struct {
		location
		thing, job string
	}
	// thing is the executions on it, in the order in which they came.
	thing struct{ executions []*execution }
)

// New returns an IoT with no thing and no job.
func New(o Options) *IoT {
	return &IoT{options: o, executions: map[executionKey]*execution{}, jobs: map[key]*job{}, things: map[key]*thing{}, order: map[location][]*job{}, groups: map[key]*Group{}}
}

// Service says how IoT is called.
func (i *IoT) Service() *service.Service {
	return &service.Service{
		Name: "iot", Protocol: service.REST,
		// facts/aws.json: iot.throttle. The API pages say 429; the model of the SDKs says 400.
		Throttled: service.Refuse("ThrottlingException", "Rate exceeded"),
		Broken: []*service.Error{
			{Status: 503, Code: "ServiceUnavailableException", Message: "The service is temporarily unavailable."},
		},
		Operations: map[string]service.Operation{
			"CancelJobExecution":        rest("PUT", "/things/{thingName}/jobs/{jobId}/cancel", i.cancelJobExecution),
			"DescribeJobExecution":      rest("GET", "/things/{thingName}/jobs/{jobId}", i.describeJobExecution),
			"ListJobExecutionsForThing": rest("GET", "/things/{thingName}/jobs", i.listForThing),
			"CancelJob":                 rest("PUT", "/jobs/{jobId}/cancel", i.cancelJob),
			"DescribeJob":               rest("GET", "/jobs/{jobId}", i.describeJob),
			"ListJobs":                  rest("GET", "/jobs", i.listJobs),
			"ListThingsInThingGroup":    rest("GET", "/thing-groups/{thingGroupName}/things", i.listThings),
			"ListJobExecutionsForJob":   rest("GET", "/jobs/{jobId}/things", i.listForJob),
			"CreateThing":               rest("POST", "/things/{thingName}", i.createThing),
			"CreateJob":                 rest("PUT", "/jobs/{jobId}", i.createJob),
		},
	}
}

// request is what an operation is asked: names in the path, flags in the query, and a body.
type request[B any] struct {
	thing, job string
	group      string
	query      url.Values
	body       B
}

func (r *request[B]) items() []string {
	switch {
	case r.thing != "" && r.job != "":
		return []string{r.thing + "/" + r.job}
	case r.job != "":
		return []string{r.job}
	case r.thing == "":
		return nil
	}
	return []string{r.thing}
}

// rest makes an operation of a function that reads a path, a query and a JSON body.
func rest[B, O any](method, path string, do func(*service.Call, *request[B]) (*O, error)) service.Operation {
	return service.Operation{
		Method: method, Path: path,
		Decode: func(r *service.Request) (any, error) {
			in := &request[B]{thing: r.Path["thingName"], job: r.Path["jobId"], group: r.Path["thingGroupName"], query: r.Query}
			if len(r.Body) > 0 {
				if err := json.Unmarshal(r.Body, &in.body); err != nil {
					return nil, refuse("reading the request's JSON: %v", err)
				}
			}
			return in, nil
		},
		Items: func(in any) []string { return in.(*request[B]).items() },
		Do: func(_ context.Context, c *service.Call, in any) (any, error) {
			r := in.(*request[B])
			if err := checkNames(r.thing, r.job); err != nil {
				return nil, err
			}
			out, err := do(c, r)
			if err != nil {
				return nil, err
			}
			return out, nil
		},
	}
}

// The forms of names (facts/aws.json: the fields of CancelJobExecution).
var (
	thingName = regexp.MustCompile(`\A[a-zA-Z0-9:_-]{1,128}\z`)
	jobID     = regexp.MustCompile(`\A[a-zA-Z0-9_-]{1,64}\z`)
)

// checkNames checks the names that a request has; "" is one that it has not.
func checkNames(thing, job string) error {
	if thing != "" && !thingName.MatchString(thing) {
		return refuse("thingName must match %s", thingName)
	}
	if job != "" && !jobID.MatchString(job) {
		return refuse("jobId must match %s", jobID)
	}
	return nil
}

// What IoT says in its refusals is not documented; the codes and the statuses are.
func refuse(format string, args ...any) error {
	return service.Refuse("InvalidRequestException", format, args...)
}

func unknown(what string) error {
	return &service.Error{Status: http.StatusNotFound, Code: "ResourceNotFoundException", Message: what + " cannot be found"}
}

func conflict(code, format string, args ...any) error {
	return &service.Error{Status: http.StatusConflict, Code: code, Message: fmt.Sprintf(format, args...)}
}

// arn is the ARN of a resource in a call's account and region.
func (p location) arn(resource string) string {
	return "arn:aws:iot:" + p.region + ":" + p.account + ":" + resource
}

func locationOf(c *service.Call) location { return location{c.Account, c.Region} }

// epoch is a time as IoT's JSON has it: seconds.
func epoch(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
