package awssim_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/swf"

	"github.com/rescindhq/rescind/internal/awssim"
)

// What says nothing has an empty body where AWS's has ("sends back an HTTP 200 response with an
// empty HTTP body"), and {} where its samples show that.
func TestAnswersThatSayNothing(t *testing.T) {
	inBubble(t, awssim.Options{}, func(b *bubble) {
		b.PutJobs(awssim.Job{ID: "job"})
		b.PutJobExecutions(awssim.JobExecution{Thing: "thing", Job: "job"})
		b.PutWorkflows(awssim.Workflow{Domain: "d", WorkflowID: "a", RunID: "a"}, awssim.Workflow{Domain: "d", WorkflowID: "b", RunID: "b"})
		client := b.Config().HTTPClient
		for _, row := range []struct{ method, path, target, body, want string }{
			{"POST", "/v1/canceljob", "", `{"jobId":"job","reason":"r"}`, "{}"},
			{"PUT", "/things/thing/jobs/job/cancel", "", `{}`, ""},
			{"POST", "/", "SimpleWorkflowService.RequestCancelWorkflowExecution", `{"domain":"d","workflowId":"a"}`, ""},
			{"POST", "/", "SimpleWorkflowService.TerminateWorkflowExecution", `{"domain":"d","workflowId":"b"}`, ""},
		} {
			r, err := http.NewRequestWithContext(b.ctx, row.method, *b.Config().BaseEndpoint+row.path, strings.NewReader(row.body))
			b.must(err)
			if row.target != "" {
				r.Header.Set("X-Amz-Target", row.target)
			}
			answer, err := client.Do(r)
			b.must(err)
			got, err := io.ReadAll(answer.Body)
			b.must(err)
			b.must(answer.Body.Close())
			if answer.StatusCode != http.StatusOK || string(got) != row.want {
				b.Errorf("%s %s: %d %q, want 200 %q", row.path, row.target, answer.StatusCode, got, row.want)
			}
		}
	})
}

// The history has codes without their namespace.
func TestCodesInTheHistoryArePlain(t *testing.T) {
	quotas := map[string]awssim.Quota{"swf:*": {Rate: 0.001, Burst: 1}}
	inBubble(t, awssim.Options{Quotas: quotas, History: true}, func(b *bubble) {
		client := swf.NewFromConfig(once(b.Config()))
		for _, want := range []string{"UnknownResourceFault", "ThrottlingException"} {
			_, err := client.RequestCancelWorkflowExecution(b.ctx, &swf.RequestCancelWorkflowExecutionInput{Domain: aws.String("d"), WorkflowId: aws.String("w")})
			refused(b, err, want)
			history := b.History()
			if got := history[len(history)-1].Code; got != want {
				b.Errorf("the history says %q, want %q", got, want)
			}
		}
	})
}
