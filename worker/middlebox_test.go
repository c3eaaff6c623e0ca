package worker_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker"
	"github.com/rescindhq/rescind/worker/ledger"
	"github.com/rescindhq/rescind/worker/ledger/dynamo"
)

// middlebox stands between the worker and AWS. While it is on it answers the requests that it is
// there for, at once and without passing them on, and counts them.
type middlebox struct {
	aws.HTTPClient
	service, operation string // the credential scope's; "": every operation
	answer             trip
	on                 atomic.Bool
	answered           atomic.Int64
}

func (m *middlebox) Do(r *http.Request) (*http.Response, error) {
	if !m.on.Load() || !strings.Contains(r.Header.Get("Authorization"), "/"+m.service+"/aws4_request") ||
		!strings.HasSuffix(r.Header.Get("X-Amz-Target"), m.operation) {
		return m.HTTPClient.Do(r)
	}
	m.answered.Add(1)
	if r.Body != nil {
		_ = r.Body.Close()
	}
	time.Sleep(time.Millisecond) // at once, as far as a network lets it
	return m.answer(r)
}

const htmlPage = "<html><head><title>Sorry</title></head><body><p>Please sign in.</p></body></html>"

// cutShort is an answer of AWS's whose connection breaks within the body.
func cutShort(req *http.Request) (*http.Response, error) {
	r, err := ofAWS("")(req)
	r.ContentLength, r.Body = 100, io.NopCloser(io.MultiReader(strings.NewReader(`{"Mess`), iotest.ErrReader(io.ErrUnexpectedEOF)))
	return r, err
}

// nothing is an answer that gives nothing of what was asked for.
type nothing struct {
	name   string
	answer trip
}

// nothings are the ways of giving nothing of what was asked for.
var nothings = []nothing{
	{"200 empty", replies(http.StatusOK, "", "", "")},
	{"200 {}", replies(http.StatusOK, "application/json", "", "{}")},
	{"200 html", replies(http.StatusOK, "text/html", "", htmlPage)},
	{"500 empty", replies(http.StatusInternalServerError, "", "", "")},
	{"403 html", replies(http.StatusForbidden, "text/html", "", htmlPage)},
	{"reset", func(*http.Request) (*http.Response, error) { return nil, syscall.ECONNRESET }},
	{"200 null", replies(http.StatusOK, "application/json", "", "null")},
	{"302", replies(http.StatusFound, "text/html", "", htmlPage)},
	{"401", replies(http.StatusUnauthorized, "text/plain", "", "Who are you?")},
	{"429 empty", replies(http.StatusTooManyRequests, "", "", "")},
	{"cut short", cutShort},
	{"stalls", stalls("{")},
}

// hollow are the answers with a request id, as AWS's have it, and nothing of what was asked for; of the peers
// to whose operations that is no success.
var hollow = map[string]trip{
	"SQS receive": ofAWS("{}"), "SQS delete": ofAWS("{}"), "SQS visibility": ofAWS("{}"), "SQS dead-letter queue": ofAWS("{}"), "SQS": ofAWS("{}"),
	"SNS":   ofAWS("<PublishBatchResponse><PublishBatchResult/></PublishBatchResponse>"),
	"Batch": ofAWS(`{"successfulJobs":null,"errors":[]}`), "EMR": ofAWS("{}"), "FSx": ofAWS("{}"), "Step Functions": ofAWS("{}"),
	"STS": ofAWS("<AssumeRoleResponse><AssumeRoleResult/></AssumeRoleResponse>"),
}

// ofAWS is a success with a request id.
func ofAWS(body string) trip { return replies(http.StatusOK, "", "of-the-peer", body) }

// peerCase is one of those that a worker talks to.
type peerCase struct {
	name               string
	service, operation string
	command            func(r *rig, i int) string
	ready              string // what /readyz names while it gives nothing; "": it remains ready
	onTable            bool   // with the ledger in DynamoDB
	down               string // a service that is down meanwhile, so that messages are held for long
	unreadable         bool   // the commands cannot be read
	perSecond          float64
}

func peerCases() []peerCase {
	job := batchJob("b", "us-east-1")
	return []peerCase{
		{name: "SQS receive", service: "sqs", operation: "ReceiveMessage", command: job, ready: "queue", perSecond: 5},
		{name: "SQS delete", service: "sqs", operation: "DeleteMessageBatch", command: job, perSecond: 5},
		{name: "SQS visibility", service: "sqs", operation: "ChangeMessageVisibilityBatch", command: job, down: "batch", perSecond: 5},
		{name: "SQS dead-letter queue", service: "sqs", operation: "SendMessageBatch", command: func(*rig, int) string { return "{" }, unreadable: true, perSecond: 5},
		{name: "SQS", service: "sqs", command: job, ready: "queue", perSecond: 10},
		{name: "SNS", service: "sns", command: job, ready: "results topic", perSecond: 5},
		{name: "DynamoDB", service: "dynamodb", command: job, ready: "ledger", onTable: true, perSecond: 5},
		{name: "Batch", service: "batch", command: job, perSecond: 5},
		{name: "EMR", service: "elasticmapreduce", command: emrStep, perSecond: 5},
		{name: "IoT", service: "iot", command: iotExecution, perSecond: 5},
		{name: "SWF", service: "swf", command: workflowRun, perSecond: 5},
		{name: "FSx", service: "fsx", command: exportTask, perSecond: 5},
		{name: "Step Functions", service: "states", command: execution, perSecond: 5},
		{name: "STS", service: "sts", command: jobElsewhere, perSecond: 5},
	}
}

// jobElsewhere is a job of another account, which takes a role.
func jobElsewhere(r *rig, i int) string {
	id := fmt.Sprintf("job-%d", i)
	r.sim.PutJobs(awssim.Job{ID: id, State: "RUNNABLE", Account: "210987654321"})
	return fmt.Sprintf(`{"id":"o-%d","action":"batch:CancelJob","parameters":{"jobId":%q,"reason":"over budget"},"account":"210987654321"}`, i, id)
}

func workflowRun(r *rig, i int) string {
	id := fmt.Sprintf("w-%d", i)
	r.sim.PutWorkflows(awssim.Workflow{Domain: "d", WorkflowID: id, RunID: "run"})
	return fmt.Sprintf(`{"id":"w-%d","action":"swf:TerminateWorkflowExecution","parameters":{"domain":"d","workflowId":%q,"runId":"run"}}`, i, id)
}

func exportTask(r *rig, i int) string {
	id := fmt.Sprintf("task-0123456789%08x", i)
	r.sim.PutTasks(awssim.Task{ID: id})
	return fmt.Sprintf(`{"id":"f-%d","action":"fsx:CancelDataRepositoryTask","parameters":{"TaskId":%q}}`, i, id)
}

func execution(r *rig, i int) string {
	arn := fmt.Sprintf("arn:aws:states:us-east-1:123456789012:execution:m:e-%d", i)
	r.sim.PutExecutions(awssim.Execution{ARN: arn})
	return fmt.Sprintf(`{"id":"s-%d","action":"stepfunctions:StopExecution","parameters":{"executionArn":%q}}`, i, arn)
}

// TestNoPeerIsAskedInAHotLoop puts a middlebox before each peer that answers everything at once with
// nothing of what was asked for. For a minute each peer is asked a few times a second at most, and
// readiness says what is wrong. When the middlebox is gone a new command is done within seconds, all are
// within minutes, and no command was lost or has an end that AWS did not give it. In the usual size each peer
// gives every fourth of the answers, another fourth than the peers beside it; in full size all of them.
func TestNoPeerIsAskedInAHotLoop(t *testing.T) {
	t.Parallel()
	stride := size(1, 4)
	for i, peer := range peerCases() {
		var every []nothing
		for k := i % stride; k < len(nothings); k += stride {
			every = append(every, nothings[k])
		}
		if answer := hollow[peer.name]; answer != nil {
			every = append(every, nothing{"200 hollow", answer})
		}
		for _, nothing := range every {
			t.Run(peer.name+"/"+nothing.name, func(t *testing.T) {
				inBubble(t, func(r *rig) { withoutPeer(r, peer, nothing.answer) }, func(s *awssim.Options, _ *worker.Options) {
					s.Latency, s.History = time.Millisecond, false
				})
			})
		}
	}
}

func withoutPeer(r *rig, peer peerCase, answer trip) {
	const n, span = 200, time.Minute
	r.must(r.stop())
	cfg := r.sim.Config()
	between := &middlebox{HTTPClient: cfg.HTTPClient, service: peer.service, operation: peer.operation, answer: answer}
	cfg.HTTPClient = between
	cfg.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
	wrap := func(l ledger.Ledger) ledger.Ledger { return l }
	if peer.onTable {
		r.must(dynamo.CreateTable(r.t.Context(), r.sim.Config(), "ledger"))
		table, err := dynamo.Open(r.t.Context(), cfg, "ledger", dynamo.Options{})
		r.must(err)
		defer func() { r.must(table.Close()) }()
		wrap = func(ledger.Ledger) ledger.Ledger { return table }
	}
	r.startOn(worker.Options{AWS: cfg, Role: "arn:aws:iam::{account}:role/rescind"}, wrap)
	defer func() { r.must(r.stop()) }()
	bodies := make([]string, n+1)
	for i := range bodies {
		bodies[i] = peer.command(r, i)
	}
	if peer.service != "sts" { // which is asked once
		r.send(bodies[:n/2]...)
	}
	time.Sleep(20 * time.Millisecond)
	between.on.Store(true)
	r.sim.SetDown(peer.down, true)
	if peer.service == "sts" {
		r.send(bodies[:n/2]...)
	}
	r.send(bodies[n/2 : n]...)
	time.Sleep(span)
	synctest.Wait()
	rate := float64(between.answered.Load()) / span.Seconds()
	if rate > peer.perSecond {
		r.t.Errorf("the peer was asked %.1f times a second, and %.0f are the most", rate, peer.perSecond)
	}
	if why := r.w.Ready()[peer.ready]; (why != nil) != (peer.ready != "") {
		r.t.Errorf("readiness says %v, want %q in it", r.w.Ready(), peer.ready)
	}
	between.on.Store(false)
	r.sim.SetDown(peer.down, false)
	healed := time.Now()
	before := len(r.published())
	r.send(bodies[n])
	for len(r.published()) == before && time.Since(healed) < time.Hour {
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
	}
	first := time.Since(healed)
	if first > 20*time.Second { // a receive that stalls is given up then
		r.t.Errorf("the first outcome came %s after the peer was back", first)
	}
	r.allEnded(peer, n+1)
	r.t.Logf("%.2f requests a second, first outcome after %s, all after %s", rate, first.Round(time.Millisecond), time.Since(healed).Round(time.Millisecond))
	if why := r.w.Ready(); len(why) != 0 {
		r.t.Errorf("readiness still says %v", why)
	}
}

// allEnded waits until n commands have ended as AWS would have it: stopped, or, where they cannot be
// read, dead-lettered once. That takes two minutes at most.
func (r *rig) allEnded(peer peerCase, n int) {
	r.t.Helper()
	const within = 2 * time.Minute
	if peer.unreadable {
		for end := time.Now().Add(within); r.sim.Depth(r.queue) != (awssim.Depth{}) && time.Now().Before(end); time.Sleep(time.Second) {
			synctest.Wait()
		}
		if got := len(r.sim.Messages(r.deadLetters)); got != n || len(r.published()) < n {
			r.t.Errorf("%d dead-lettered and %d published of %d", got, len(r.published()), n)
		}
		return
	}
	for id, d := range r.settled(n, within) {
		switch d.Status { //nolint:exhaustive // every other one is wrong
		case handlers.Cancelled, handlers.Accepted, handlers.AlreadyCancelled:
		default:
			r.t.Errorf("%s ended %s (%s: %s)", id, d.Status, d.Code, d.Message)
		}
	}
}
