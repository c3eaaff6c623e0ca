package worker_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker"
	"github.com/rescindhq/rescind/worker/ledger/dynamo"
)

// A request at start that nobody answers ends the start, and its error says which one it was.
func TestAStartThatIsNotAnsweredEnds(t *testing.T) {
	for name, row := range map[string]struct {
		service, operation string
		says               []string
	}{
		"the queue":             {"sqs", "GetQueueAttributes", []string{"commands", "RESCIND_QUEUE_URL", "no answer within 10s"}},
		"the dead-letter queue": {"sqs", "GetQueueUrl", []string{"dead-letter queue", "RESCIND_DLQ_URL", "no answer within 10s"}},
		"STS":                   {"sts", "GetCallerIdentity", []string{"STS", "no answer within 10s"}},
		"the ledger's table":    {"dynamodb", "DescribeTable", []string{"table ledger", "DynamoDB", "no answer within 10s"}},
		"the ledger's key":      {"dynamodb", "GetItem", []string{"deployment's key", "no answer within 10s"}},
		"all of the ledger":     {"dynamodb", "", []string{"table ledger", "DynamoDB", "no answer within 10s"}},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				r.must(r.stop())
				cfg := r.sim.Config()
				r.must(dynamo.CreateTable(r.t.Context(), cfg, "ledger"))
				r.sim.Break(awssim.Failure{Service: row.service, Operation: row.operation, Kind: awssim.NoAnswer})
				ctx, cancel := context.WithTimeout(r.t.Context(), 10*time.Minute)
				defer cancel()
				began := time.Now()
				err := func() error {
					book, err := dynamo.Open(ctx, cfg, "ledger", dynamo.Options{})
					if err != nil {
						return err
					}
					defer func() { r.must(book.Close()) }()
					_, err = worker.New(ctx, worker.Options{QueueURLs: []string{r.queue}, TopicARN: r.topic, Ledger: book, AWS: cfg})
					return err
				}()
				if took := time.Since(began); err == nil || took > 11*time.Second {
					t.Errorf("after %s: %v", took, err)
				}
				if err == nil {
					return
				}
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("it is no deadline that passed: %v", err)
				}
				for _, each := range append(row.says, "AWS_ENDPOINT_URL") {
					if !strings.Contains(err.Error(), each) {
						t.Errorf("it does not say %q: %v", each, err)
					}
				}
			})
		})
	}
}
