package dynamo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/rescindhq/rescind/worker/ledger"
)

const (
	// deploymentKeyID is the id of the item that holds the deployment's key. No command's begins with a
	// slash.
	deploymentKeyID = "/deployment-key"
	secret          = "secret"
)

// DeploymentKey implements [ledger.Ledger].
func (l *Ledger) DeploymentKey(ctx context.Context) ([]byte, error) {
	if l.closed() {
		return nil, errClosed
	}
	made := make([]byte, ledger.KeyBytes)
	_, _ = rand.Read(made) // never fails
	var found item
	err := l.read(ctx, func(ctx context.Context) (err error) {
		if found, err = l.getItem(ctx, deploymentKeyID); err != nil || len(found) > 0 {
			return err
		}
		_, err = l.client.PutItem(ctx, &dynamodb.PutItemInput{
			TableName: &l.table, ConditionExpression: aws.String("attribute_not_exists(id)"),
			Item: item{"id": text(deploymentKeyID), secret: octets(made)},
		})
		if _, there := errors.AsType[*types.ConditionalCheckFailedException](err); err != nil && !there {
			return err
		}
		found, err = l.getItem(ctx, deploymentKeyID)
		return err
	})
	key := (&reader{item: found}).bytes(secret)
	if err == nil && len(key) != ledger.KeyBytes {
		err = fmt.Errorf("the item %s has no %q of %d bytes", deploymentKeyID, secret, ledger.KeyBytes)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the deployment's key: %w", err)
	}
	return key, nil
}
