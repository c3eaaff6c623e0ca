package awssim_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rescindhq/rescind/internal/awssim"
)

// poster sends bodies to the simulator's handler without a wire between.
type poster struct {
	*testing.B
	handler http.Handler
}

func (p poster) post(contentType, target, body string) {
	r := httptest.NewRequestWithContext(p.Context(), http.MethodPost, "/", strings.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	if target != "" {
		r.Header.Set("X-Amz-Target", target)
	}
	w := httptest.NewRecorder()
	p.handler.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		p.Fatalf("%d %s", w.Code, w.Body)
	}
}

// What a ledger does to a hundred commands, as three transactions: claim, progress, completion.
func BenchmarkHandlerTransactions(b *testing.B) {
	sim := awssim.New(awssim.Options{Quotas: unlimited})
	b.Cleanup(func() { _ = sim.Close() })
	p := poster{b, sim.Handler()}
	dynamodb := func(operation, body string) {
		p.post("application/x-amz-json-1.0", "DynamoDB_20120810."+operation, body)
	}
	index := func(name string) string {
		return fmt.Sprintf(`{"IndexName":%[1]q,"KeySchema":[{"AttributeName":%[1]q,"KeyType":"HASH"}],"Projection":{"ProjectionType":"KEYS_ONLY"}}`, name)
	}
	dynamodb("CreateTable", `{"TableName":"ledger","BillingMode":"PAY_PER_REQUEST","KeySchema":[{"AttributeName":"id","KeyType":"HASH"}],
		"AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"},{"AttributeName":"campaign","AttributeType":"S"},{"AttributeName":"target","AttributeType":"S"}],
		"GlobalSecondaryIndexes":[`+index("campaign")+`,`+index("target")+`]}`)
	dynamodb("UpdateTimeToLive", `{"TableName":"ledger","TimeToLiveSpecification":{"AttributeName":"expires","Enabled":true}}`)

	const lots = 50
	var bodies [3 * lots]string
	for i := range bodies {
		actions := make([]string, 100)
		for j := range actions {
			actions[j] = ledgerAction(i%3, i/3*100+j)
		}
		bodies[i] = `,"TransactItems":[` + strings.Join(actions, ",") + `]}`
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(bodies[0])+len(bodies[1])+len(bodies[2])) / 3)
	for n := 0; b.Loop(); n++ {
		dynamodb("TransactWriteItems", `{"ClientRequestToken":"`+strconv.Itoa(n)+`"`+bodies[n%len(bodies)])
	}
}

// ledgerAction is one step in the life of a command.
func ledgerAction(step, command int) string {
	const guard = `"TableName":"ledger","ReturnValuesOnConditionCheckFailure":"ALL_OLD",`
	switch step {
	case 0:
		return fmt.Sprintf(`{"Put":{%s"ConditionExpression":"attribute_not_exists(id) OR stamp = :seen","ExpressionAttributeValues":{":seen":{"S":"%[2]d-ended"}},
			"Item":{"id":{"S":"6f1c0a52-%[2]d"},"format":{"N":"1"},"fingerprint":{"B":"n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg="},"campaign":{"S":"over-budget/%[3]x"},
			"targets":{"L":[{"S":"arn:aws:batch:us-east-1:123456789012:job/%[2]d"}]},"target":{"S":"arn:aws:batch:us-east-1:123456789012:job/%[2]d"},
			"claim":{"N":"1"},"stage":{"S":"claimed"},"lease":{"N":"1795000000000000000"},"stamp":{"S":"%[2]d-claimed"}}}}`, guard, command, command%16)
	case 1:
		return fmt.Sprintf(`{"Update":{%s"Key":{"id":{"S":"6f1c0a52-%[2]d"}},"ConditionExpression":"claim = :claim AND stamp = :was AND stage = :claimed",
			"UpdateExpression":"SET progress = :progress, lease = :lease, stamp = :stamp",
			"ExpressionAttributeValues":{":claim":{"N":"1"},":was":{"S":"%[2]d-claimed"},":claimed":{"S":"claimed"},":lease":{"N":"1795000060000000000"},":stamp":{"S":"%[2]d-begun"},
			":progress":{"B":"eyJiZWd1biI6MSwidGFyZ2V0cyI6eyJhIjp7InN0YXR1cyI6ImFjY2VwdGVkIn19fQ=="}}}}`, guard, command)
	default:
		return fmt.Sprintf(`{"Update":{%s"Key":{"id":{"S":"6f1c0a52-%[2]d"}},"ConditionExpression":"claim = :claim AND stamp = :was AND stage = :claimed",
			"UpdateExpression":"SET stage = :ended, outcome = :outcome, expires = :expires, stamp = :stamp REMOVE progress, lease",
			"ExpressionAttributeValues":{":claim":{"N":"1"},":was":{"S":"%[2]d-begun"},":claimed":{"S":"claimed"},":ended":{"S":"ended"},":expires":{"N":"4102444800"},":stamp":{"S":"%[2]d-ended"},
			":outcome":{"B":"%[3]s"}}}}`, guard, command, strings.Repeat("eyJhIjoi", 120))
	}
}

// Ten outcomes of seven attributes each, in the order that a worker writes them in and sorted as
// the SDK sorts them, to a queue that takes them raw.
func BenchmarkHandlerPublishBatch(b *testing.B) {
	sim := awssim.New(awssim.Options{Quotas: unlimited})
	b.Cleanup(func() { _ = sim.Close() })
	arn, err := sim.CreateTopic("t")
	if err != nil {
		b.Fatal(err)
	}
	parameters := []string{"Action=PublishBatch", "Version=2010-03-31", "TopicArn=" + url.QueryEscape(arn)}
	for i := range 10 {
		entry := fmt.Sprintf("PublishBatchRequestEntries.member.%d.", i+1)
		message := strings.Repeat(fmt.Sprintf(`{"commandId":"%d","status":"cancelled","counts":{"cancelled":1}},`, i), 16)
		parameters = append(parameters, entry+"Id="+strconv.Itoa(i), entry+"Message="+url.QueryEscape(message))
		for j, name := range []string{"action", "service", "status", "verdict", "campaign", "account", "region"} {
			attribute := fmt.Sprintf("%sMessageAttributes.entry.%d.", entry, j+1)
			parameters = append(parameters, attribute+"Name="+name, attribute+"Value.DataType=String", attribute+"Value.StringValue=value+of+"+name)
		}
	}
	const json, query = "application/x-amz-json-1.0", "application/x-www-form-urlencoded"
	queue, subscription, queues := "", "", 0
	empty := func(p poster) { // another queue, so that what lies there does not grow with b.N
		if queues > 0 {
			p.post(query, "", "Action=Unsubscribe&SubscriptionArn="+subscription)
			p.post(json, "AmazonSQS.DeleteQueue", fmt.Sprintf(`{"QueueUrl":%q}`, queue))
		}
		if queue, err = sim.CreateQueue(fmt.Sprint("q", queues), nil); err != nil {
			p.Fatal(err)
		}
		if subscription, err = sim.Subscribe(arn, queue, true); err != nil {
			p.Fatal(err)
		}
		queues++
	}
	for _, order := range []string{"numbered", "sorted"} {
		if order == "sorted" {
			slices.Sort(parameters)
		}
		body := strings.Join(parameters, "&")
		b.Run(order, func(b *testing.B) {
			p := poster{b, sim.Handler()}
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			for n := 0; b.Loop(); n++ {
				if n%1000 == 0 {
					empty(p)
				}
				p.post(query, "", body)
			}
		})
	}
}
