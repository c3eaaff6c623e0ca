package dynamo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.uber.org/zap"

	"github.com/rescindhq/rescind/worker/trouble"
)

// indexes are the global secondary indexes; each has the attribute of its name as its key, and
// holds keys alone.
var indexes = []string{"campaign", "target"}

// expiry is the attribute of DynamoDB's time to live.
const expiry = "expires"

// tableBound is how long CreateTable waits for a table, which takes DynamoDB some seconds.
const tableBound = 3 * time.Minute

// CreateTable makes a table for a ledger, with on-demand capacity, and returns when it can be
// used. A table of that name that is there already is not changed; Open checks it.
func CreateTable(ctx context.Context, cfg aws.Config, table string) error {
	client := newClient(cfg)
	attributes := []types.AttributeDefinition{attribute("id")}
	var secondary []types.GlobalSecondaryIndex
	for _, name := range indexes {
		attributes = append(attributes, attribute(name))
		secondary = append(secondary, types.GlobalSecondaryIndex{
			IndexName: aws.String(name), KeySchema: keySchema(name),
			Projection: &types.Projection{ProjectionType: types.ProjectionTypeKeysOnly},
		})
	}
	_, err := client.CreateTable(ctx, &dynamodb.CreateTableInput{
		TableName: &table, BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: attributes, KeySchema: keySchema("id"), GlobalSecondaryIndexes: secondary,
	})
	if _, there := errors.AsType[*types.ResourceInUseException](err); err != nil && !there {
		return fmt.Errorf("making table %s: %w", table, err)
	}
	made := dynamodb.NewTableExistsWaiter(client, func(o *dynamodb.TableExistsWaiterOptions) {
		o.MinDelay, o.MaxDelay = time.Second, time.Second
	})
	if err := made.Wait(ctx, &dynamodb.DescribeTableInput{TableName: &table}, tableBound); err != nil {
		return fmt.Errorf("waiting for table %s: %w", table, err)
	}
	if on, err := expires(ctx, client, table); err != nil || on {
		return err
	}
	_, err = client.UpdateTimeToLive(ctx, &dynamodb.UpdateTimeToLiveInput{
		TableName:               &table,
		TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: aws.String(expiry), Enabled: aws.Bool(true)},
	})
	if err != nil {
		return fmt.Errorf("switching on time to live of table %s: %w", table, err)
	}
	return nil
}

func attribute(name string) types.AttributeDefinition {
	return types.AttributeDefinition{AttributeName: &name, AttributeType: types.ScalarAttributeTypeS}
}

func keySchema(name string) []types.KeySchemaElement {
	return []types.KeySchemaElement{{AttributeName: &name, KeyType: types.KeyTypeHash}}
}

func expires(ctx context.Context, client *dynamodb.Client, table string) (bool, error) {
	out, err := client.DescribeTimeToLive(ctx, &dynamodb.DescribeTimeToLiveInput{TableName: &table})
	if err != nil {
		return false, fmt.Errorf("reading the time to live of table %s: %w", table, err)
	}
	ttl := out.TimeToLiveDescription
	if ttl == nil || aws.ToString(ttl.AttributeName) != expiry {
		return false, nil
	}
	return ttl.TimeToLiveStatus == types.TimeToLiveStatusEnabled || ttl.TimeToLiveStatus == types.TimeToLiveStatusEnabling, nil
}

// openBound is how long the answers to the questions of opening may take, with what is asked again.
const openBound = 10 * time.Second

// check holds the table to the layout. That nothing expires breaks no rule, and is only logged.
func (l *Ledger) check(ctx context.Context, log *zap.Logger) error {
	asked := time.Now()
	ctx, cancel := context.WithTimeout(ctx, openBound)
	defer cancel()
	var found *types.TableDescription
	err := l.read(ctx, func(ctx context.Context) error {
		out, err := l.client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &l.table})
		if err == nil {
			found = out.Table
		}
		return err
	})
	if _, missing := errors.AsType[*types.ResourceNotFoundException](err); missing {
		return fmt.Errorf("there is no such table in this account and region; make it with:\n  %s", howToCreate(l.table))
	}
	if err != nil {
		return fmt.Errorf("DynamoDB does not describe it: %w", trouble.Explain(trouble.Ledger, l.table, err, time.Since(asked)))
	}
	if wrong := misshapen(found); wrong != "" {
		return fmt.Errorf("it is not a table for a ledger: %s; name another (RESCIND_LEDGER), made with:\n  %s", wrong, howToCreate(l.table+"-ledger"))
	}
	if on, err := expires(ctx, l.client, l.table); err != nil || !on {
		log.Warn("ended commands are never deleted from the ledger's table: switch on time to live on the attribute "+expiry,
			zap.String("table", l.table), zap.Error(err))
	}
	return nil
}

// misshapen says what is wrong with a table; "" where nothing is.
func misshapen(t *types.TableDescription) string {
	if t.TableStatus != types.TableStatusActive && t.TableStatus != types.TableStatusUpdating {
		return fmt.Sprintf("its status is %s", t.TableStatus)
	}
	if !keyedBy(t.KeySchema, t.AttributeDefinitions, "id") {
		return "its key is not id (a string) alone"
	}
	schemas := map[string][]types.KeySchemaElement{}
	for _, g := range t.GlobalSecondaryIndexes {
		schemas[aws.ToString(g.IndexName)] = g.KeySchema
	}
	for _, name := range indexes {
		switch schema, there := schemas[name]; {
		case !there:
			return fmt.Sprintf("it has no global secondary index %q", name)
		case !keyedBy(schema, t.AttributeDefinitions, name):
			return fmt.Sprintf("the key of its index %q is not %s (a string) alone", name, name)
		}
	}
	return ""
}

func keyedBy(schema []types.KeySchemaElement, definitions []types.AttributeDefinition, name string) bool {
	return len(schema) == 1 && aws.ToString(schema[0].AttributeName) == name &&
		slices.ContainsFunc(definitions, func(d types.AttributeDefinition) bool {
			return aws.ToString(d.AttributeName) == name && d.AttributeType == types.ScalarAttributeTypeS
		})
}

// howToCreate returns the commands of the aws CLI that do what [CreateTable] does, as one line to paste.
func howToCreate(table string) string {
	return fmt.Sprintf(`aws dynamodb create-table --table-name %[1]s --billing-mode PAY_PER_REQUEST `+
		`--attribute-definitions AttributeName=id,AttributeType=S AttributeName=campaign,AttributeType=S AttributeName=target,AttributeType=S `+
		`--key-schema AttributeName=id,KeyType=HASH --global-secondary-indexes `+
		`'IndexName=campaign,KeySchema=[{AttributeName=campaign,KeyType=HASH}],Projection={ProjectionType=KEYS_ONLY}' `+
		`'IndexName=target,KeySchema=[{AttributeName=target,KeyType=HASH}],Projection={ProjectionType=KEYS_ONLY}' && `+
		`aws dynamodb wait table-exists --table-name %[1]s && `+
		`aws dynamodb update-time-to-live --table-name %[1]s --time-to-live-specification Enabled=true,AttributeName=expires`, table)
}
