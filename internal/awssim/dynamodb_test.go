package awssim_test

import (
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/rescindhq/rescind/internal/awssim"
	simdynamodb "github.com/rescindhq/rescind/internal/awssim/dynamodb"
)

// ledger makes a table "ledger" of the key "pk" and an index "by-group", with time to live.
func ledger(tb testing.TB, sim *awssim.Sim) *dynamodb.Client {
	tb.Helper()
	client := dynamodb.NewFromConfig(once(sim.Config()))
	_, err := client.CreateTable(tb.Context(), &dynamodb.CreateTableInput{
		TableName: aws.String("ledger"), BillingMode: types.BillingModePayPerRequest,
		KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("pk"), KeyType: types.KeyTypeHash}},
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("pk"), AttributeType: "S"}, {AttributeName: aws.String("group"), AttributeType: "S"}},
		GlobalSecondaryIndexes: []types.GlobalSecondaryIndex{{
			IndexName: aws.String("by-group"), Projection: &types.Projection{ProjectionType: types.ProjectionTypeKeysOnly},
			KeySchema: []types.KeySchemaElement{{AttributeName: aws.String("group"), KeyType: types.KeyTypeHash}},
		}},
	})
	if err != nil {
		tb.Fatal(err)
	}
	_, err = client.UpdateTimeToLive(tb.Context(), &dynamodb.UpdateTimeToLiveInput{
		TableName: aws.String("ledger"), TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: aws.String("ends"), Enabled: aws.Bool(true)},
	})
	if err != nil {
		tb.Fatal(err)
	}
	return client
}

type item = map[string]types.AttributeValue

func str(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func num(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

func putOf(i item) types.TransactWriteItem {
	return types.TransactWriteItem{Put: &types.Put{TableName: aws.String("ledger"), Item: i}}
}

func (b *bubble) putItem(client *dynamodb.Client, i item) error {
	_, err := client.PutItem(b.ctx, &dynamodb.PutItemInput{TableName: aws.String("ledger"), Item: i})
	return err
}

func TestFaultsOfItemsInDynamoDB(t *testing.T) {
	rules := awssim.Faults{"dynamodb:*": {Items: 1, Times: 1, Match: func(item string) bool { return item == "bad" }}}
	inBubble(t, awssim.Options{Faults: rules}, func(b *bubble) {
		client := ledger(b, b.Sim)
		transact := func() error {
			_, err := client.TransactWriteItems(b.ctx, &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{putOf(item{"pk": str("good")}), putOf(item{"pk": str("bad")})}})
			return err
		}
		var cancelled *types.TransactionCanceledException
		if err := transact(); !errors.As(err, &cancelled) || len(cancelled.CancellationReasons) != 2 ||
			*cancelled.CancellationReasons[0].Code != "None" || *cancelled.CancellationReasons[1].Code != "TransactionConflict" {
			b.Fatalf("got %v, want a cancelled transaction of reasons None, TransactionConflict", err)
		}
		if got := b.TableItems("ledger"); len(got) != 0 {
			b.Fatalf("a cancelled transaction wrote %v", got)
		}
		b.must(transact())
		out, err := client.BatchWriteItem(b.ctx, &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{"ledger": {
			{PutRequest: &types.PutRequest{Item: item{"pk": str("good"), "a": num(1)}}}, {PutRequest: &types.PutRequest{Item: item{"pk": str("bad"), "a": num(1)}}},
		}}})
		b.must(err)
		if left := out.UnprocessedItems["ledger"]; len(left) != 1 || left[0].PutRequest == nil || len(left[0].PutRequest.Item) != 2 {
			b.Fatalf("UnprocessedItems is %v, want the bad one", out.UnprocessedItems)
		}
		if got := fmt.Sprint(b.TableItems("ledger")); got != "[map[pk:bad] map[a:1 pk:good]]" {
			b.Fatalf("the table holds %s", got)
		}
		refused(b, b.putItem(client, item{"pk": str("bad")}), "TransactionConflictException")
		b.must(b.putItem(client, item{"pk": str("bad")}))
	})
}

func TestDynamoDBThrottles(t *testing.T) {
	inBubble(t, awssim.Options{Quotas: map[string]awssim.Quota{"dynamodb:PutItem": {Rate: 1, Burst: 1}}}, func(b *bubble) {
		client := ledger(b, b.Sim)
		b.must(b.putItem(client, item{"pk": str("a")}))
		refused(b, b.putItem(client, item{"pk": str("b")}), "ProvisionedThroughputExceededException")
		time.Sleep(time.Second)
		b.must(b.putItem(client, item{"pk": str("b")}))
	})
}

// "Using time to live": what has ended still shows, for a time that AWS does not say.
func TestTimeToLive(t *testing.T) {
	inBubble(t, awssim.Options{}, func(b *bubble) {
		client := ledger(b, b.Sim)
		now := time.Now().Unix()
		for pk, ends := range map[string]types.AttributeValue{
			"hour": num(now + 3600), "year": num(now + 365*86400), "text": str("1"), "past": num(now - 6*365*86400), // more than five years ago
		} {
			b.must(b.putItem(client, item{"pk": str(pk), "ends": ends}))
		}
		b.must(b.putItem(client, item{"pk": str("none")}))
		for _, step := range []struct {
			after time.Duration
			want  int
		}{{time.Hour - time.Second, 0}, {time.Second, 1}, {0, 0}, {366 * 24 * time.Hour, 1}} {
			time.Sleep(step.after)
			if got := b.ExpireItems("ledger"); got != step.want {
				b.Fatalf("%d items expired after another %v, want %d", got, step.after, step.want)
			}
		}
		if got := len(b.TableItems("ledger")); got != 3 {
			b.Fatalf("%d items are left, want three", got)
		}
	})
}

func TestIndexLag(t *testing.T) {
	inBubble(t, awssim.Options{DynamoDB: simdynamodb.Options{IndexLag: time.Second}}, func(b *bubble) {
		client := ledger(b, b.Sim)
		found := func() int32 {
			out, err := client.Query(b.ctx, &dynamodb.QueryInput{
				TableName: aws.String("ledger"), IndexName: aws.String("by-group"), KeyConditionExpression: aws.String("#g = :g"),
				ExpressionAttributeNames: map[string]string{"#g": "group"}, ExpressionAttributeValues: item{":g": str("g")},
			})
			b.must(err)
			return out.Count
		}
		b.must(b.putItem(client, item{"pk": str("a"), "group": str("g")}))
		time.Sleep(time.Second - 1)
		before := found()
		time.Sleep(time.Nanosecond)
		after := found()
		b.must(b.putItem(client, item{"pk": str("a")}))
		still := found()
		time.Sleep(time.Second)
		if gone := found(); before != 0 || after != 1 || still != 1 || gone != 0 {
			b.Errorf("the index showed %d, %d, %d, %d, want 0, 1, 1, 0", before, after, still, gone)
		}
	})
}

func TestTokensAreForgottenAfterTenMinutes(t *testing.T) {
	inBubble(t, awssim.Options{}, func(b *bubble) {
		client := ledger(b, b.Sim)
		add := func(by int64) error {
			_, err := client.TransactWriteItems(b.ctx, &dynamodb.TransactWriteItemsInput{ClientRequestToken: aws.String("token"), TransactItems: []types.TransactWriteItem{{Update: &types.Update{
				TableName: aws.String("ledger"), Key: item{"pk": str("k")}, UpdateExpression: aws.String("ADD n :v"), ExpressionAttributeValues: item{":v": num(by)},
			}}}})
			return err
		}
		b.must(add(1))
		time.Sleep(10*time.Minute - 1)
		b.must(add(1))
		refused(b, add(2), "IdempotentParameterMismatchException")
		time.Sleep(time.Nanosecond)
		b.must(add(2))
		if got := fmt.Sprint(b.TableItems("ledger")); got != "[map[n:3 pk:k]]" {
			b.Errorf("the table holds %s, want n to be 3", got)
		}
	})
}

// A lost answer to a transaction: the SDK's next attempt carries the same token, and does nothing.
func TestATransactionWhoseAnswerIsLost(t *testing.T) {
	inBubble(t, awssim.Options{Faults: awssim.Faults{"dynamodb:TransactWriteItems": {Lost: 1, Times: 1}}}, func(b *bubble) {
		ledger(b, b.Sim)
		client := dynamodb.NewFromConfig(b.Config())
		_, err := client.TransactWriteItems(b.ctx, &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{{Update: &types.Update{
			TableName: aws.String("ledger"), Key: item{"pk": str("k")}, UpdateExpression: aws.String("ADD n :v"), ExpressionAttributeValues: item{":v": num(1)},
		}}}})
		b.must(err)
		if got := fmt.Sprint(b.TableItems("ledger")); got != "[map[n:1 pk:k]]" {
			b.Errorf("the table holds %s, want n to be 1", got)
		}
	})
}
