package dynamo_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go"

	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker/ledger"
	"github.com/rescindhq/rescind/worker/ledger/dynamo"
)

// TestARefusalOfCredentialsIsNotDynamoDBs: what an agent says of credentials, in codes that DynamoDB has
// for writes, is asked again like an answer that did not come.
func TestARefusalOfCredentialsIsNotDynamoDBs(t *testing.T) {
	for _, code := range []string{"ValidationException", "AccessDeniedException", "ThrottlingException", "TransactionConflictException"} {
		t.Run(code, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, cfg := simulated(t, awssim.Options{})
				var refuse atomic.Int32
				good := cfg.Credentials
				cfg.Credentials = aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
					if refuse.Add(-1) >= 0 {
						return aws.Credentials{}, &smithy.GenericAPIError{Code: code, Message: "no role"}
					}
					return good.Retrieve(ctx)
				})
				l := open(t, cfg, dynamo.Options{})
				refuse.Store(3)
				if c, err := l.Claim(t.Context(), entry(1), lease); err != nil || c.State != ledger.Claimed {
					t.Errorf("%+v, %v", c, err)
				}
				if err := l.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
