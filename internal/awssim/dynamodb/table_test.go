package dynamodb

import (
	"strings"
	"testing"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

// An index has an item while the item has the index's keys, under those that it has, and as the
// item is.
func TestIndexesFollowItems(t *testing.T) {
	d := New(Options{})
	c := &service.Call{Account: "123456789012", Region: "us-east-1"}
	do := func(operation, body string) any {
		t.Helper()
		op := d.Service().Operations[operation]
		in, err := op.Decode(&service.Request{Body: []byte(body)})
		if err != nil {
			t.Fatal(err)
		}
		out, err := op.Do(t.Context(), c, in)
		if err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		return out
	}
	do("CreateTable", `{"TableName":"ledger","BillingMode":"PAY_PER_REQUEST","KeySchema":[{"AttributeName":"pk","KeyType":"HASH"}],
		"AttributeDefinitions":[{"AttributeName":"pk","AttributeType":"S"},{"AttributeName":"group","AttributeType":"S"},{"AttributeName":"place","AttributeType":"N"}],
		"GlobalSecondaryIndexes":[{"IndexName":"by-group","KeySchema":[{"AttributeName":"group","KeyType":"HASH"},{"AttributeName":"place","KeyType":"RANGE"}],"Projection":{"ProjectionType":"ALL"}}]}`)
	update := func(expression string) (string, string) {
		return "UpdateItem", `{"TableName":"ledger","Key":{"pk":{"S":"k"}},"UpdateExpression":"` + expression +
			`","ExpressionAttributeNames":{"#g":"group"},"ExpressionAttributeValues":{":g":{"S":"a"},":one":{"N":"1"}}}`
	}
	steps := []struct {
		name, operation, body, want string
	}{{name: "no key", operation: "PutItem", body: `{"TableName":"ledger","Item":{"pk":{"S":"k"},"n":{"N":"0"}}}`}}
	add := func(name, expression, want string) {
		operation, body := update(expression)
		steps = append(steps, struct{ name, operation, body, want string }{name, operation, body, want})
	}
	add("half a key", "SET #g = :g, n = :one", "")
	add("a key", "SET #g = :g, place = :one", "a 1 n=1")
	add("the same key", "SET #g = :g, n = n + :one", "a 1 n=2")
	add("another sort key", "SET #g = :g, place = place + :one", "a 2 n=2")
	add("the same again", "SET #g = :g ADD n :one", "a 2 n=3")
	add("no key any more", "SET n = :one, h = :g REMOVE #g", "")
	add("a key anew", "SET #g = :g, n = :one", "a 2 n=1")
	steps = append(steps, []struct{ name, operation, body, want string }{
		{"replaced under another", "PutItem", `{"TableName":"ledger","Item":{"pk":{"S":"k"},"group":{"S":"b"},"place":{"N":"2"},"n":{"N":"9"}}}`, "b 2 n=9"},
		{"replaced in a batch", "BatchWriteItem", `{"RequestItems":{"ledger":[{"PutRequest":{"Item":{"pk":{"S":"k"},"group":{"S":"b"},"place":{"N":"2"},"n":{"N":"10"}}}}]}}`, "b 2 n=10"},
		{"deleted", "DeleteItem", `{"TableName":"ledger","Key":{"pk":{"S":"k"}}}`, ""},
		{"there again", "PutItem", `{"TableName":"ledger","Item":{"pk":{"S":"k"},"group":{"S":"b"},"place":{"N":"2"},"n":{"N":"11"}}}`, "b 2 n=11"},
	}...)
	for _, s := range steps {
		do(s.operation, s.body)
		var got []string
		for _, i := range do("Scan", `{"TableName":"ledger","IndexName":"by-group"}`).(*pageOutput).Items {
			got = append(got, i["group"].text+" "+i["place"].text+" n="+i["n"].text)
		}
		if strings.Join(got, ", ") != s.want {
			t.Errorf("%s: the index has %v, want %s", s.name, got, s.want)
		}
	}
}
