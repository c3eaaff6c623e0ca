package awssim_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/batch"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go"
	"go.uber.org/goleak"

	"github.com/rescindhq/rescind/internal/awssim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bubble is a simulator in a synctest bubble and real SDK clients for it, which try once.
type bubble struct {
	*testing.T
	*awssim.Sim
	ctx   context.Context
	sqs   *sqs.Client
	sns   *sns.Client
	batch *batch.Client
}

func once(cfg aws.Config) aws.Config {
	cfg.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
	return cfg
}

// inBubble runs a test in virtual time.
func inBubble(t *testing.T, o awssim.Options, test func(b *bubble)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		sim := awssim.New(o)
		defer func() {
			if err := sim.Close(); err != nil {
				t.Errorf("closing: %v", err)
			}
		}()
		cfg := once(sim.Config())
		test(&bubble{
			T: t, Sim: sim, ctx: t.Context(),
			sqs: sqs.NewFromConfig(cfg), sns: sns.NewFromConfig(cfg), batch: batch.NewFromConfig(cfg),
		})
	})
}

func (b *bubble) queue(name string, attributes map[string]string) *string {
	b.Helper()
	url, err := b.CreateQueue(name, attributes)
	if err != nil {
		b.Fatalf("creating queue %s: %v", name, err)
	}
	return &url
}

// must stops the test on an error.
func (b *bubble) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// refused checks AWS's code of an error; "" wants none.
func refused(t testing.TB, err error, code string) {
	t.Helper()
	if got := codeOf(err); got != code {
		t.Errorf("got code %q, want %q (error: %v)", got, code, err)
	}
}

// codeOf returns AWS's code of an error; "" for no error, "no answer" where there was none.
func codeOf(err error) string {
	if err == nil {
		return ""
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return "no answer"
}
