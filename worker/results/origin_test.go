package results

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/smithy-go"

	"github.com/rescindhq/rescind/internal/awssim"
)

// TestARefusalOfCredentialsIsNoMessagesFault: while credentials are refused, in a code that SNS has for
// messages, messages wait.
func TestARefusalOfCredentialsIsNoMessagesFault(t *testing.T) {
	for _, code := range []string{"InvalidParameter", "InvalidParameterValue", "ValidationException", "BatchRequestTooLong"} {
		t.Run(code, func(t *testing.T) {
			virtual(t, awssim.Options{Latency: 10 * time.Millisecond}, func(w *world) {
				cfg, until := w.sim.Config(), time.Now().Add(10*time.Second)
				good := cfg.Credentials
				cfg.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
				cfg.Credentials = aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
					if time.Now().Before(until) {
						return aws.Credentials{}, &smithy.GenericAPIError{Code: code, Message: "no role"}
					}
					return good.Retrieve(ctx)
				})
				w.api.API = sns.NewFromConfig(cfg)
				p := w.publisher(Options{})
				for i, err := range publishAll(p, w.topic, 50, "good")() {
					if err != nil {
						t.Fatalf("message %d: %v", i, err)
					}
				}
				if got := w.delivered(); !strings.HasPrefix(got, "50") {
					t.Errorf("%s delivered", got)
				}
			})
		})
	}
}
