package dynamodb

import (
	"errors"
	"strings"
	"testing"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

// ledgerTable is a table with an index, as a request.
const ledgerTable = `{"TableName":"ledger","BillingMode":"PAY_PER_REQUEST","KeySchema":[{"AttributeName":"pk","KeyType":"HASH"}],
	"AttributeDefinitions":[{"AttributeName":"pk","AttributeType":"S"},{"AttributeName":"group","AttributeType":"S"}],
	"GlobalSecondaryIndexes":[{"IndexName":"by-group","KeySchema":[{"AttributeName":"group","KeyType":"HASH"}],"Projection":{"ProjectionType":"KEYS_ONLY"}}]}`

// ask makes a request without the wire.
func ask(t testing.TB, d *DynamoDB, operation, body string) (any, error) {
	t.Helper()
	op, ok := d.Service().Operations[operation]
	if !ok {
		t.Fatalf("there is no operation %s", operation)
	}
	in, err := op.Decode(&service.Request{Body: []byte(body)})
	if err != nil {
		return nil, err
	}
	if op.Items != nil {
		op.Items(in)
	}
	return op.Do(t.Context(), &service.Call{Account: "123456789012", Region: "us-east-1"}, in)
}

// What DynamoDB does and the simulator does not, it refuses by a code that is none of AWS's, and by name.
func TestWhatItDoesNotDoIsRefusedByName(t *testing.T) {
	d := New(Options{})
	if _, err := ask(t, d, "CreateTable", ledgerTable); err != nil {
		t.Fatal(err)
	}
	table := func(old, made string) string {
		return strings.Replace(strings.Replace(ledgerTable, `"ledger"`, `"other"`, 1), old, made, 1)
	}
	const key, values = `{"TableName":"ledger","Key":{"pk":{"S":"k"}}`, `"ExpressionAttributeValues":{":v":{"S":"v"}}`
	put := func(value string) string { return `{"TableName":"ledger","Item":{"pk":{"S":"k"},"a":` + value + `}}` }
	query := `{"TableName":"ledger","IndexName":"by-group","KeyConditionExpression":"#g = :v","ExpressionAttributeNames":{"#g":"group"},` + values
	when := func(condition string) string {
		return key + `,"ConditionExpression":"` + condition + `",` + values + `}`
	}
	for _, row := range []struct{ operation, body, names string }{
		{"Scan", `{"TableName":"ledger"}`, "Scan"},
		{"DeleteTable", `{"TableName":"ledger"}`, "DeleteTable"},
		{"TransactGetItems", `{}`, "TransactGetItems"},
		{"CreateTable", table(`"PAY_PER_REQUEST"`, `"PROVISIONED"`), "provisioned capacity"},
		{"CreateTable", table(`"AttributeType":"S"`, `"AttributeType":"N"`), "keys of type N"},
		{"CreateTable", table(`"KeyType":"HASH"}`, `"KeyType":"HASH"},{"AttributeName":"group","KeyType":"RANGE"}`), "sort keys"},
		{"CreateTable", table("KEYS_ONLY", "ALL"), "ProjectionType ALL"},
		{"CreateTable", table("{", `{"StreamSpecification":{"StreamEnabled":true},`), "StreamSpecification"},
		{"CreateTable", table("{", `{"LocalSecondaryIndexes":[],`), "LocalSecondaryIndexes"},
		{"CreateTable", table(`"ProjectionType":"KEYS_ONLY"`, `"ProjectionType":"KEYS_ONLY","NonKeyAttributes":["a"]`), "GlobalSecondaryIndexes.0.Projection.NonKeyAttributes"},
		{"DescribeTable", `{"TableName":"arn:aws:dynamodb:us-east-1:123456789012:table/ledger"}`, "ARN"},
		{"UpdateTimeToLive", `{"TableName":"ledger","TimeToLiveSpecification":{"AttributeName":"a","Enabled":false}}`, "disabling time to live"},
		{"PutItem", put(`{"BOOL":true}`), "BOOL"},
		{"PutItem", put(`{"NULL":true}`), "NULL"},
		{"PutItem", put(`{"M":{}}`), "M"},
		{"PutItem", put(`{"SS":["a"]}`), "SS"},
		{"PutItem", put(`{"L":[{"L":[]}]}`), "lists in lists"},
		{"PutItem", put(`{"N":"1.5"}`), "1.5"},
		{"PutItem", put(`{"N":"1e3"}`), "1e3"},
		{"PutItem", `{"TableName":"ledger","Item":{"pk":{"S":"k"}},"ReturnConsumedCapacity":"TOTAL"}`, "ReturnConsumedCapacity"},
		{"PutItem", `{"TableName":"ledger","Item":{"pk":{"S":"k"}},"Expected":{}}`, "Expected"},
		{"UpdateItem", key + `,"AttributeUpdates":{}}`, "AttributeUpdates"},
		{"UpdateItem", key + `,"ReturnValues":"UPDATED_NEW"}`, "UPDATED_NEW"},
		{"UpdateItem", key + `,"UpdateExpression":"SET a.b = :v",` + values + `}`, "document paths"},
		{"UpdateItem", key + `,"UpdateExpression":"SET a[0] = :v",` + values + `}`, "document paths"},
		{"UpdateItem", key + `,"UpdateExpression":"SET a = list_append(a, :v)",` + values + `}`, "list_append"},
		{"UpdateItem", key + `,"UpdateExpression":"DELETE a :v",` + values + `}`, "DELETE"},
		{"DeleteItem", when("a BETWEEN :v AND :v"), "BETWEEN"},
		{"DeleteItem", when("a in (:v)"), "IN"},
		{"DeleteItem", when("size(a) > :v"), "size"},
		{"DeleteItem", when("a = :v AND contains(a, :v)"), "contains"},
		{"DeleteItem", when("begins_with(a, :v)"), "begins_with"},
		{"DeleteItem", when("attribute_type(a, :v)"), "attribute_type"},
		{"DeleteItem", when("attribute_exists(a.b) OR a = :v"), "document paths"},
		{"GetItem", key + `,"ProjectionExpression":"a"}`, "ProjectionExpression"},
		{"Query", query + `,"FilterExpression":"a = :v"}`, "FilterExpression"},
		{"Query", query + `,"ScanIndexForward":false}`, "ScanIndexForward"},
		{"Query", query + `,"Select":"COUNT"}`, "Select"},
		{"Query", `{"TableName":"ledger","KeyConditionExpression":"pk = :v",` + values + `}`, "IndexName"},
		{"BatchWriteItem", `{"RequestItems":{"ledger":[{"DeleteRequest":{"Key":{"pk":{"S":"k"}}}}]}}`, "DeleteRequest"},
		{"BatchWriteItem", `{"RequestItems":{"ledger":[],"other":[]}}`, "several tables"},
		{"BatchGetItem", `{"RequestItems":{"ledger":{"Keys":[{"pk":{"S":"k"}}],"AttributesToGet":["a"]}}}`, "AttributesToGet"},
		{"TransactWriteItems", `{"TransactItems":[{"ConditionCheck":{"TableName":"ledger"}}]}`, "ConditionCheck"},
		{"TransactWriteItems", `{"TransactItems":[],"ReturnConsumedCapacity":"TOTAL"}`, "ReturnConsumedCapacity"},
	} {
		_, err := ask(t, d, row.operation, row.body)
		refusal, ok := errors.AsType[*service.Error](err)
		if !ok || refusal.Code != "NotSimulated" || !strings.Contains(refusal.Message, row.names) {
			t.Errorf("%s %s: %v; want NotSimulated that names %s", row.operation, row.body, err, row.names)
		}
	}
	if items := d.Items("123456789012", "us-east-1", "ledger"); len(items) > 0 {
		t.Errorf("what was refused wrote %v", items)
	}
}
