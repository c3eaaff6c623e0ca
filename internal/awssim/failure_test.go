package awssim_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/batch"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/emr"
	"github.com/aws/aws-sdk-go-v2/service/fsx"
	"github.com/aws/aws-sdk-go-v2/service/iot"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/swf"

	"github.com/rescindhq/rescind/internal/awssim"
)

// oneOfEach makes one call of every service, through its own SDK client.
func oneOfEach(cfg aws.Config) map[string]func(context.Context) error {
	id := aws.String("id")
	arn := aws.String("arn:aws:states:us-east-1:123456789012:execution:m:e")
	cfg = once(cfg)
	return map[string]func(context.Context) error{
		"batch": func(ctx context.Context) error {
			_, err := batch.NewFromConfig(cfg).CancelJobs(ctx, &batch.CancelJobsInput{Jobs: []string{"id"}, Reason: id})
			return err
		},
		"elasticmapreduce": func(ctx context.Context) error {
			_, err := emr.NewFromConfig(cfg).CancelSteps(ctx, &emr.CancelStepsInput{ClusterId: id, StepIds: []string{"id"}})
			return err
		},
		"iot": func(ctx context.Context) error {
			_, err := iot.NewFromConfig(cfg).CancelJob(ctx, &iot.CancelJobInput{JobId: id})
			return err
		},
		"swf": func(ctx context.Context) error {
			_, err := swf.NewFromConfig(cfg).RequestCancelWorkflowExecution(ctx, &swf.RequestCancelWorkflowExecutionInput{Domain: id, WorkflowId: id})
			return err
		},
		"fsx": func(ctx context.Context) error {
			_, err := fsx.NewFromConfig(cfg).CancelDataRepositoryTask(ctx, &fsx.CancelDataRepositoryTaskInput{TaskId: id})
			return err
		},
		"states": func(ctx context.Context) error {
			_, err := sfn.NewFromConfig(cfg).StopExecution(ctx, &sfn.StopExecutionInput{ExecutionArn: arn})
			return err
		},
		"sqs": func(ctx context.Context) error {
			_, err := sqs.NewFromConfig(cfg).ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: aws.String("http://x/123456789012/q")})
			return err
		},
		"sns": func(ctx context.Context) error {
			_, err := sns.NewFromConfig(cfg).Publish(ctx, &sns.PublishInput{TopicArn: aws.String("arn:aws:sns:us-east-1:123456789012:t"), Message: id})
			return err
		},
		"sts": func(ctx context.Context) error {
			_, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
			return err
		},
		"dynamodb": func(ctx context.Context) error {
			_, err := dynamodb.NewFromConfig(cfg).DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: id})
			return err
		},
	}
}

// What a middlebox answers reaches the client as it is, of every service: its status, and neither
// a request id nor a code of AWS's.
func TestMiddleboxAnswers(t *testing.T) {
	for i, answer := range awssim.MiddleboxAnswers() {
		rules := awssim.Faults{"*": {Middlebox: 1, Answers: []awssim.Answer{answer}}}
		inBubble(t, awssim.Options{History: true, Faults: rules}, func(b *bubble) {
			for name, call := range oneOfEach(b.Config()) {
				err := call(b.ctx)
				if answer.Status == http.StatusOK {
					// An SDK takes an empty body, of some protocols any body, for an empty answer.
					continue
				}
				var response *awshttp.ResponseError
				if !errors.As(err, &response) || response.HTTPStatusCode() != answer.Status || response.ServiceRequestID() != "" {
					b.Errorf("answer %d of %s: got %v", i, name, err)
				}
				if code := codeOf(err); code != "UnknownError" && code != "no answer" && code != "" {
					b.Errorf("answer %d of %s: has the code %q", i, name, code)
				}
			}
			for _, r := range b.History() {
				if r.Fault != awssim.Middlebox || r.Status != answer.Status || r.Code != "" {
					b.Errorf("history: %+v", r)
				}
			}
		})
	}
}

// Every answer is drawn, and the request is carried out where the kind says so and only there.
func TestMiddleboxBeforeAndAfter(t *testing.T) {
	for _, after := range []bool{false, true} {
		rule := awssim.Fault{Middlebox: 1}
		if after {
			rule = awssim.Fault{MiddleboxAfter: 1}
		}
		inBubble(t, awssim.Options{History: true, Faults: awssim.Faults{"batch:CancelJob": rule}, Quotas: unlimited}, func(b *bubble) {
			statuses := map[int]bool{}
			for i := range 60 {
				id := fmt.Sprintf("j%d", i)
				b.PutJobs(awssim.Job{ID: id})
				_ = b.stoppers()["CancelJob"]("reason", id) // that of 200 may look like a success
				if j, _ := b.Job(id); j.Cancelled != after {
					b.Errorf("after is %t, cancelled is %t", after, j.Cancelled)
				}
			}
			for _, r := range b.History() {
				statuses[r.Status] = true
				if r.Fault.CarriedOut() != after {
					b.Errorf("history: %+v", r)
				}
			}
			for _, a := range awssim.MiddleboxAnswers() {
				if !statuses[a.Status] {
					b.Errorf("%d was never drawn", a.Status)
				}
			}
		})
	}
}

// A refusal for credentials carries AWS's code and request id, in every protocol.
func TestRefusedForCredentials(t *testing.T) {
	inBubble(t, awssim.Options{}, func(b *bubble) {
		other := b.Config()
		other.Credentials = credentials.NewStaticCredentialsProvider("OTHER", "secret", "")
		for _, code := range []string{"ExpiredTokenException", "InvalidClientTokenId", "AccessDenied", "RequestInTheFuture", "RequestTimeTooSkewed"} {
			mend := b.Break(awssim.Failure{Caller: "OTHER", Kind: awssim.Refused, Code: code})
			for name, call := range oneOfEach(other) {
				err := call(b.ctx)
				var response *awshttp.ResponseError
				if codeOf(err) != code || !errors.As(err, &response) || response.ServiceRequestID() == "" {
					b.Errorf("%s, %s: got %v", name, code, err)
				}
			}
			for name, call := range oneOfEach(b.Config()) {
				if got := codeOf(call(b.ctx)); got == code {
					b.Errorf("%s, %s: another key is refused", name, code)
				}
			}
			mend()
			for name, call := range oneOfEach(other) {
				if got := codeOf(call(b.ctx)); got == code {
					b.Errorf("%s, %s: still refused", name, code)
				}
			}
		}
	})
	inBubble(t, awssim.Options{Faults: awssim.Faults{"batch:*": {Refused: 1}}, Quotas: unlimited}, func(b *bubble) {
		codes := map[string]int{}
		for i := range 80 {
			codes[codeOf(b.stoppers()["CancelJob"]("r", fmt.Sprint(i)))]++
		}
		if len(codes) < 6 || codes[""] > 0 || codes["no answer"] > 0 {
			b.Errorf("drawn: %v", codes)
		}
	})
}

// A target that fails does so in every request that names it, bulk and read alike, and in no other.
func TestTargetThatAlwaysFails(t *testing.T) {
	inBubble(t, awssim.Options{History: true, Quotas: unlimited}, func(b *bubble) {
		b.PutJobs(awssim.Job{ID: "bad"}, awssim.Job{ID: "good"})
		mend := b.Break(awssim.Failure{Service: "batch", Item: "bad", Kind: awssim.Broken})
		stop := b.stoppers()["CancelJobs"]
		for range 3 {
			refused(b, stop("r", "good", "bad"), "ServerException")
			_, err := b.batch.DescribeJobs(b.ctx, &batch.DescribeJobsInput{Jobs: []string{"bad"}})
			refused(b, err, "ServerException")
			b.must(stop("r", "good"))
		}
		if j, _ := b.Job("bad"); j.Cancelled {
			b.Error("it was cancelled")
		}
		b.SetFaults(nil) // is about rules only
		refused(b, stop("r", "bad"), "ServerException")
		mend()
		b.must(stop("r", "bad"))
	})
}

// Roles that refuse, hang and answer nonsense, each for itself, and sessions that are refused.
func TestRolesThatCannotBeHad(t *testing.T) {
	role := func(account string) string { return "arn:aws:iam::" + account + ":role/rescind" }
	inBubble(t, awssim.Options{}, func(b *bubble) {
		client := sts.NewFromConfig(once(b.Config()))
		assume := func(account string) (*sts.AssumeRoleOutput, error) {
			ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
			defer cancel()
			return client.AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: aws.String(role(account)), RoleSessionName: aws.String("rescind")})
		}
		const refuses, hangs, empty, good = "000000000001", "000000000002", "000000000003", "000000000004"
		mends := []func(){
			b.Break(awssim.Failure{Service: "sts", Item: role(refuses), Kind: awssim.Denied}),
			b.Break(awssim.Failure{Service: "sts", Item: role(hangs), Kind: awssim.NoAnswer}),
			b.Break(awssim.Failure{Service: "sts", Item: role(empty), Kind: awssim.Middlebox, Answer: awssim.Answer{Status: http.StatusOK}}),
		}
		_, err := assume(refuses)
		refused(b, err, "AccessDenied")
		began := time.Now()
		if _, err = assume(hangs); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Minute {
			b.Errorf("after %s: %v", time.Since(began), err)
		}
		if out, err := assume(empty); err == nil && out.Credentials != nil {
			b.Errorf("credentials out of nothing: %+v", out.Credentials)
		}
		out, err := assume(good)
		b.must(err)

		cfg := once(b.Config())
		cfg.Credentials = credentials.NewStaticCredentialsProvider(*out.Credentials.AccessKeyId, *out.Credentials.SecretAccessKey, *out.Credentials.SessionToken)
		mends = append(mends, b.Break(awssim.Failure{Account: good, Kind: awssim.Refused}))
		err = oneOfEach(cfg)["batch"](b.ctx)
		refused(b, err, "ExpiredTokenException")
		for _, mend := range mends {
			mend()
		}
		for _, account := range []string{refuses, hangs, empty, good} {
			_, err = assume(account)
			b.must(err)
		}
		b.must(oneOfEach(cfg)["batch"](b.ctx))
	})
}

// A request that is never answered ends when its client leaves, and only its own does.
func TestNeverAnswered(t *testing.T) {
	for kind, done := range map[awssim.FaultKind]bool{awssim.NoAnswer: false, awssim.NoAnswerAfter: true} {
		rule := awssim.Fault{Match: func(id string) bool { return id == "j" }}
		if done {
			rule.NoAnswerAfter = 1
		} else {
			rule.NoAnswer = 1
		}
		inBubble(t, awssim.Options{History: true, Faults: awssim.Faults{"batch:CancelJob": rule}}, func(b *bubble) {
			b.PutJobs(awssim.Job{ID: "j"}, awssim.Job{ID: "k"})
			inner := *b
			ctx, cancel := context.WithTimeout(b.ctx, time.Hour)
			defer cancel()
			inner.ctx = ctx
			began := time.Now()
			refused(b, inner.stoppers()["CancelJob"]("r", "j"), "no answer")
			if took := time.Since(began); took != time.Hour {
				b.Errorf("%s: took %s", kind, took)
			}
			synctest.Wait() // for the simulator to see that the client has left, and to enter the call
			b.must(b.stoppers()["CancelJob"]("r", "k"))
			synctest.Wait()
			if j, _ := b.Job("j"); j.Cancelled != done {
				b.Errorf("%s: cancelled is %t", kind, j.Cancelled)
			}
			if h := b.History(); h[0].Fault != kind || h[0].Status != 0 || h[1].Fault != awssim.NoFault {
				b.Errorf("%s: history %+v", kind, h)
			}
		})
	}
}
