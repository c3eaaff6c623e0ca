package stepfunctions_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/smithy-go"
	"go.uber.org/goleak"

	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/internal/awssim/stepfunctions"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const arn = "arn:aws:states:us-east-1:123456789012:execution:orders:run-1"

// bubble is a simulator in a synctest bubble and a real SDK client for its Step Functions, which tries once.
type bubble struct {
	*testing.T
	*awssim.Sim
	ctx context.Context
	sfn *sfn.Client
}

func inBubble(t *testing.T, o stepfunctions.Options, test func(b *bubble)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		sim := awssim.New(awssim.Options{StepFunctions: o})
		defer func() {
			if err := sim.Close(); err != nil {
				t.Errorf("closing: %v", err)
			}
		}()
		cfg := sim.Config()
		cfg.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
		test(&bubble{T: t, Sim: sim, ctx: t.Context(), sfn: sfn.NewFromConfig(cfg)})
	})
}

// stop stops an execution and returns AWS's code, "" for a success.
func (b *bubble) stop(in *sfn.StopExecutionInput) (*sfn.StopExecutionOutput, string) {
	out, err := b.sfn.StopExecution(b.ctx, in)
	return out, codeOf(err)
}

func codeOf(err error) string {
	var api smithy.APIError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &api):
		return api.ErrorCode()
	}
	return "no answer"
}

// describe reads an execution, which must be there.
func (b *bubble) describe(data types.IncludedData) *sfn.DescribeExecutionOutput {
	b.Helper()
	out, err := b.sfn.DescribeExecution(b.ctx, &sfn.DescribeExecutionInput{ExecutionArn: aws.String(arn), IncludedData: data})
	if err != nil {
		b.Fatal(err)
	}
	return out
}

// Every state: what has not ended is aborted with its record, what has ended remains as it was.
func TestStops(t *testing.T) {
	for _, state := range stepfunctions.States() {
		inBubble(t, stepfunctions.Options{}, func(b *bubble) {
			put := time.Now()
			b.PutExecutions(awssim.Execution{ARN: arn, State: state})
			time.Sleep(time.Minute)
			out, code := b.stop(&sfn.StopExecutionInput{ExecutionArn: aws.String(arn), Error: aws.String("E"), Cause: aws.String("C")})
			if code != "" {
				b.Fatalf("%s: %s", state, code)
			}
			want, record, ended := stepfunctions.Aborted, "EC", put.Add(time.Minute)
			if state.Ended() {
				want, record, ended = state, "", put
			}
			got := b.describe("")
			if string(got.Status) != string(want) || aws.ToString(got.Error)+aws.ToString(got.Cause) != record {
				b.Errorf("%s became %s with the record %q", state, got.Status, aws.ToString(got.Error)+aws.ToString(got.Cause))
			}
			if !out.StopDate.Equal(ended) || !got.StopDate.Equal(ended) {
				b.Errorf("%s: stopped at %s, read as %s, want %s", state, out.StopDate, got.StopDate, ended)
			}
			if *got.StateMachineArn != "arn:aws:states:us-east-1:123456789012:stateMachine:orders" || *got.Name != "run-1" {
				b.Errorf("%s of %s", *got.Name, *got.StateMachineArn)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	inBubble(t, stepfunctions.Options{RefuseEnded: true}, func(b *bubble) {
		b.PutExecutions(
			awssim.Execution{ARN: arn},
			awssim.Execution{ARN: arn + "-ended", State: stepfunctions.Failed},
			awssim.Execution{ARN: strings.Replace(arn, "us-east-1", "eu-west-1", 1)},
		)
		long := strings.Repeat("é", 257)
		for _, row := range []struct {
			in   sfn.StopExecutionInput
			code string
		}{
			{sfn.StopExecutionInput{ExecutionArn: aws.String(arn + "-unknown")}, "ExecutionDoesNotExist"},
			{sfn.StopExecutionInput{ExecutionArn: aws.String(strings.Replace(arn, "us-east-1", "eu-west-1", 1))}, "ExecutionDoesNotExist"},
			{sfn.StopExecutionInput{ExecutionArn: aws.String("run-1")}, "InvalidArn"},
			{sfn.StopExecutionInput{ExecutionArn: aws.String(strings.Replace(arn, "execution", "express", 1))}, "InvalidArn"},
			{sfn.StopExecutionInput{ExecutionArn: aws.String(arn + long)}, "InvalidArn"},
			{sfn.StopExecutionInput{ExecutionArn: aws.String(arn), Error: &long}, "ValidationException"},
			{sfn.StopExecutionInput{ExecutionArn: aws.String(arn), Cause: aws.String(strings.Repeat("é", 32769))}, "ValidationException"},
			{sfn.StopExecutionInput{ExecutionArn: aws.String(arn + "-ended")}, "ValidationException"},
		} {
			if _, code := b.stop(&row.in); code != row.code {
				b.Errorf("%s: %q, want %s", *row.in.ExecutionArn, code, row.code)
			}
		}
		if got, _ := b.Execution(arn); got.State != stepfunctions.Running {
			b.Errorf("what was refused is %s", got.State)
		}
	})
}

// A key of no use refuses what needs it, and that alone.
func TestKeyTrouble(t *testing.T) {
	inBubble(t, stepfunctions.Options{}, func(b *bubble) {
		const denied = "KmsAccessDeniedException"
		b.PutExecutions(awssim.Execution{ARN: arn, KeyTrouble: denied})
		if _, code := b.stop(&sfn.StopExecutionInput{ExecutionArn: aws.String(arn), Cause: aws.String("C")}); code != denied {
			b.Errorf("with a cause: %q", code)
		}
		if _, err := b.sfn.DescribeExecution(b.ctx, &sfn.DescribeExecutionInput{ExecutionArn: aws.String(arn)}); codeOf(err) != denied {
			b.Errorf("description with all data: %v", err)
		}
		if got := b.describe(types.IncludedDataMetadataOnly); got.Status != types.ExecutionStatusRunning {
			b.Errorf("description without: %s", got.Status)
		}
		if _, code := b.stop(&sfn.StopExecutionInput{ExecutionArn: aws.String(arn)}); code != "" {
			b.Errorf("without a cause: %s", code)
		}
	})
}

// Executions end by themselves; a stop overtakes what was to come, and shows after a while.
func TestExecutionsLive(t *testing.T) {
	inBubble(t, stepfunctions.Options{Lag: time.Second}, func(b *bubble) {
		then := &awssim.ExecutionEnding{After: time.Hour, State: stepfunctions.Succeeded}
		b.PutExecutions(awssim.Execution{ARN: arn, Then: then}, awssim.Execution{ARN: arn + "-2", Then: then})
		time.Sleep(time.Minute)
		if _, code := b.stop(&sfn.StopExecutionInput{ExecutionArn: aws.String(arn)}); code != "" {
			b.Fatal(code)
		}
		if got := b.describe(""); got.Status != types.ExecutionStatusRunning || got.StopDate != nil {
			b.Errorf("at once: %s, stopped %v", got.Status, got.StopDate)
		}
		time.Sleep(time.Second)
		if got := b.describe(""); got.Status != types.ExecutionStatusAborted {
			b.Errorf("a second later: %s", got.Status)
		}
		time.Sleep(2 * time.Hour)
		stopped, _ := b.Execution(arn)
		ended, _ := b.Execution(arn + "-2")
		if stopped.State != stepfunctions.Aborted || ended.State != stepfunctions.Succeeded || ended.Ended.Sub(ended.Started) != time.Hour {
			b.Errorf("in the end: %+v and %+v", stopped, ended)
		}
	})
}
