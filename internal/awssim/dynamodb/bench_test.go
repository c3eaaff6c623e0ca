package dynamodb

import (
	"context"
	"fmt"
	"testing"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

// Conditional updates in transactions of a hundred, as a ledger makes them, without the wire.
func BenchmarkTransactions(b *testing.B) {
	d := New(Options{})
	c := &service.Call{Account: "123456789012", Region: "us-east-1"}
	do := func(operation, body string) {
		op := d.Service().Operations[operation]
		in, err := op.Decode(&service.Request{Body: []byte(body)})
		if err != nil {
			b.Fatal(err)
		}
		op.Items(in)
		if _, err := op.Do(context.Background(), c, in); err != nil {
			b.Fatal(err)
		}
	}
	do("CreateTable", `{"TableName":"ledger","BillingMode":"PAY_PER_REQUEST","KeySchema":[{"AttributeName":"pk","KeyType":"HASH"}],
		"AttributeDefinitions":[{"AttributeName":"pk","AttributeType":"S"},{"AttributeName":"group","AttributeType":"S"}],
		"GlobalSecondaryIndexes":[{"IndexName":"by-group","KeySchema":[{"AttributeName":"group","KeyType":"HASH"}],"Projection":{"ProjectionType":"KEYS_ONLY"}}]}`)
	b.ReportAllocs()
	written := 0
	for b.Loop() {
		body := make([]byte, 0, 64<<10)
		body = fmt.Appendf(body, `{"ClientRequestToken":"%d","TransactItems":[`, written)
		for i := range 100 {
			if i > 0 {
				body = append(body, ',')
			}
			body = fmt.Appendf(body, `{"Update":{"TableName":"ledger","Key":{"pk":{"S":"command-%d"}},"ReturnValuesOnConditionCheckFailure":"ALL_OLD",
				"ConditionExpression":"attribute_not_exists(pk) OR (fence = :f AND lease < :now)","UpdateExpression":"SET fence = if_not_exists(fence, :zero) + :one, lease = :now, #group = :g",
				"ExpressionAttributeNames":{"#group":"group"},"ExpressionAttributeValues":{":f":{"N":"0"},":now":{"N":"1795000000000"},":zero":{"N":"0"},":one":{"N":"1"},":g":{"S":"campaign"}}}}`, written)
			written++
		}
		do("TransactWriteItems", string(append(body, "]}"...)))
	}
	b.ReportMetric(float64(written)/b.Elapsed().Seconds(), "writes/s")
}
