package trouble_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/rescindhq/rescind/worker/trouble"
)

// answer is what the SDK makes of an answer.
func answer(service, operation string, status int, requestID string, date time.Time, inner error) error {
	header := http.Header{}
	if !date.IsZero() {
		header.Set("Date", date.UTC().Format(http.TimeFormat))
	}
	return fmt.Errorf("doing it: %w", &smithy.OperationError{ServiceID: service, OperationName: operation, Err: &awshttp.ResponseError{
		ResponseError: &smithyhttp.ResponseError{Response: &smithyhttp.Response{Response: &http.Response{StatusCode: status, Header: header}}, Err: inner},
		RequestID:     requestID,
	}})
}

func TestWhyAndWhatToDo(t *testing.T) {
	api := func(code, message string) error { return &smithy.GenericAPIError{Code: code, Message: message} }
	for _, test := range []struct {
		name    string
		kind    trouble.Kind
		err     error
		why, do string // do: a part
	}{
		{"refused", trouble.Queue, answer("SQS", "DeleteMessageBatch", 403, "r1", time.Time{}, api("AccessDenied", "no")),
			"SQS DeleteMessageBatch: AccessDenied: no", "allow sqs:DeleteMessage to the worker's role"},
		{"refused by EMR", trouble.Lane, answer("EMR", "CancelSteps", 400, "r1", time.Time{}, api("AccessDeniedException", "no")),
			"EMR CancelSteps: AccessDeniedException: no", "elasticmapreduce:CancelSteps"},
		{"KMS of SQS", trouble.DeadLetterQueue, answer("SQS", "SendMessageBatch", 400, "r1", time.Time{}, api("KmsAccessDenied", "the ciphertext")),
			"SQS SendMessageBatch: KmsAccessDenied: the ciphertext", "KMS key"},
		{"KMS of SNS", trouble.Topic, answer("SNS", "PublishBatch", 400, "r1", time.Time{}, api("KMSDisabled", "x")), "SNS PublishBatch: KMSDisabled: x", "KMS key"},
		{"no topic", trouble.Topic, answer("SNS", "PublishBatch", 404, "r1", time.Time{}, api("NotFound", "Topic does not exist")),
			"SNS PublishBatch: NotFound: Topic does not exist", "RESCIND_RESULTS_TOPIC_ARN"},
		{"no queue", trouble.Queue, answer("SQS", "ReceiveMessage", 400, "r1", time.Time{}, api("AWS.SimpleQueueService.NonExistentQueue", "gone")),
			"SQS ReceiveMessage: AWS.SimpleQueueService.NonExistentQueue: gone", "RESCIND_QUEUE_URL"},
		{"expired", trouble.Queue, answer("SQS", "ReceiveMessage", 403, "r1", time.Time{}, api("ExpiredToken", "expired")),
			"SQS ReceiveMessage: ExpiredToken: expired", "renew the credentials"},
		{"clock", trouble.Lane, answer("Batch", "CancelJobs", 403, "r1", time.Time{}, api("RequestInTheFuture", "x")), "Batch CancelJobs: RequestInTheFuture: x", "by how much they differ is not known"},
		{"signature by a clock", trouble.Lane, answer("Batch", "CancelJobs", 403, "r1", time.Now().Add(10*time.Minute+500*time.Millisecond), api("InvalidSignatureException", "Signature expired")),
			"Batch CancelJobs: InvalidSignatureException: Signature expired", "said 2000-01-01T00:00:03Z at the last attempt, or that of what answers; the latter is 9m57s ahead"},
		{"a proxy", trouble.Lane, answer("Batch", "CancelJobs", 403, "", time.Time{}, api("UnknownError", "UnknownError")),
			"Batch CancelJobs: HTTP 403, not from AWS (no error code, no request id)", "HTTPS_PROXY"},
		{"a role", trouble.Lane, &smithy.OperationError{ServiceID: "Batch", OperationName: "CancelJobs", Err: fmt.Errorf("get identity: %w",
			answer("STS", "AssumeRole", 403, "r1", time.Time{}, api("AccessDenied", "not you")))},
			"STS AssumeRole: AccessDenied: not you", "trust policy"},
		{"throttled table", trouble.Ledger, answer("DynamoDB", "UpdateItem", 400, "r1", time.Time{}, api("ProvisionedThroughputExceededException", "x")),
			"DynamoDB UpdateItem: ProvisionedThroughputExceededException: x", "write capacity"},
		{"throttled lane", trouble.Lane, answer("Batch", "CancelJobs", 429, "r1", time.Time{}, api("TooManyRequestsException", "")), "Batch CancelJobs: TooManyRequestsException", "asks less often"},
		{"down", trouble.Lane, answer("Batch", "CancelJobs", 500, "r1", time.Time{}, api("ServerException", "x")), "Batch CancelJobs: ServerException: x", "AWS itself"},
		{"no host", trouble.Queue, &smithy.OperationError{ServiceID: "SQS", OperationName: "ReceiveMessage", Err: &net.OpError{
			Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "sqs.nowhere-1.amazonaws.com", IsNotFound: true}}},
			"SQS ReceiveMessage: no such host: sqs.nowhere-1.amazonaws.com", "AWS_REGION"},
		{"refused connection", trouble.Queue, &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 443},
			Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}, "dial 10.0.0.1:443: connection refused", "VPC endpoint"},
		{"timeout", trouble.Lane, fmt.Errorf("x: %w", context.DeadlineExceeded), "no answer in time (the request may have been carried out)", "firewall"},
		{"disk", trouble.Ledger, fmt.Errorf("claiming: %w", &os.PathError{Op: "write", Path: "/db", Err: syscall.ENOSPC}), "no space left on device", "free space"},
		{"anything", trouble.Ledger, errors.New("odd"), "odd", ""},
		{"a connection that is forbidden here", trouble.Ledger, &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 443},
			Err: os.NewSyscallError("connect", syscall.EACCES)}, "dial 10.0.0.1:443: permission denied", "look at the network"},
		{"joined", trouble.Ledger, errors.Join(errors.New("odd"), syscall.ENOSPC), "no space left on device", "free space"},
		{"hostile text", trouble.Lane, api("Bad", "a\x1b[31m\nb\x00\xff\u202ec"), `Bad: a\u001b[31m b\u0000\xff\u202ec`, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			virtual(t, func(r *rig) {
				err := test.err
				if test.name == "signature by a clock" { // the bubble has a clock of its own
					err = answer("Batch", "CancelJobs", 403, "r1", time.Now().Add(10*time.Minute), api("InvalidSignatureException", "Signature expired"))
				}
				p := r.Peer(test.kind, "n\nx", nil)
				p.Begin().Failed(err)
				time.Sleep(3 * time.Second)
				p.Begin().Failed(err)
				m := r.logs.All()[0].ContextMap()
				do, _ := m["do"].(string)
				if m["name"] != "n x" || m["why"] != test.why || !strings.Contains(do, test.do) || test.do == "" && do != "" {
					t.Errorf("name %q\nwhy  %q\ndo   %q", m["name"], m["why"], do)
				}
			})
		})
	}
}

func TestWhyIsShort(t *testing.T) {
	for _, text := range []string{strings.Repeat("x", 1<<20), strings.Repeat("é", 1<<20), strings.Repeat("\x00", 1<<20)} {
		if got, _ := trouble.Why(trouble.Lane, "l", errors.New(text), 0); len(got) > 310 || !strings.HasSuffix(got, "…") {
			t.Errorf("%d bytes: %q", len(got), got)
		}
	}
}
