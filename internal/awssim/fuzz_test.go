package awssim_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/rescindhq/rescind/internal/awssim"
)

// Whatever comes in, an answer goes out, of a status that AWS gives, and never one that says
// that the simulator itself is broken.
func FuzzHandler(f *testing.F) {
	const form = "application/x-www-form-urlencoded"
	f.Add("/", "AmazonSQS.SendMessage", "application/x-amz-json-1.0", `{"QueueUrl":"http://h/123456789012/q","MessageBody":"x"}`)
	f.Add("/", "AmazonSQS.ReceiveMessage", "application/x-amz-json-1.0", `{"QueueUrl":"http://h/123456789012/q","MaxNumberOfMessages":10}`)
	f.Add("/", "AmazonSQS.DeleteMessageBatch", "", `{"QueueUrl":"http://h/123456789012/q","Entries":[{"Id":"a","ReceiptHandle":"d7w6CEueQnSw/bg+uS4ZqAAAAAHw/KFo"}]}`)
	f.Add("/", "AmazonSQS.CreateQueue", "", `{"QueueName":"n","Attributes":{"RedrivePolicy":"{\"deadLetterTargetArn\":\"a\",\"maxReceiveCount\":1}"}}`)
	f.Add("/", "", form, "Action=Publish&TopicArn=arn:aws:sns:us-east-1:123456789012:t&Message=m&MessageAttributes.entry.1.Name=n&MessageAttributes.entry.1.Value.DataType=String&MessageAttributes.entry.1.Value.StringValue=v")
	f.Add("/", "", form, "Action=PublishBatch&TopicArn=arn:aws:sns:us-east-1:123456789012:t&PublishBatchRequestEntries.member.1.Id=1&PublishBatchRequestEntries.member.1.Message=m")
	f.Add("/", "", form, `Action=Subscribe&TopicArn=arn:aws:sns:us-east-1:123456789012:t&Protocol=sqs&Endpoint=arn:aws:sqs:us-east-1:123456789012:q&Attributes.entry.1.key=FilterPolicy&Attributes.entry.1.value={"a":[{"anything-but":{"prefix":"x"}}]}`)
	f.Add("/", "", form, "Action=AssumeRole&RoleArn=arn:aws:iam::123456789012:role/r&RoleSessionName=session")
	f.Add("/v1/canceljobs", "", "application/json", `{"jobs":["j",""],"reason":"r"}`)
	f.Add("/v1/listjobs", "", "application/json", `{"jobQueue":"default","nextToken":"99999999999999999999","filters":[{"name":"JOB_NAME","values":["*"]}]}`)
	f.Add("/", "DynamoDB_20120810.TransactWriteItems", "", `{"TransactItems":[{"Update":{"TableName":"ledger","Key":{"pk":{"S":"k"}},"UpdateExpression":"SET a = :v","ConditionExpression":"attribute_not_exists(pk)","ExpressionAttributeValues":{":v":{"N":"1"}}}}],"ClientRequestToken":"t"}`)
	f.Add("/", "DynamoDB_20120810.Query", "", `{"TableName":"ledger","IndexName":"by-group","KeyConditionExpression":"#g = :g","ExpressionAttributeNames":{"#g":"group"},"ExpressionAttributeValues":{":g":{"S":"g"}},"ExclusiveStartKey":{"pk":{"S":"k"},"group":{"S":"g"}},"Limit":1}`)
	f.Add("/", "DynamoDB_20120810.PutItem", "", `{"TableName":"ledger","Item":{"pk":{"S":"k"},"l":{"L":[{"B":"AA=="},{"N":"7"}]}}}`)
	f.Add("/", "DynamoDB_20120810.BatchWriteItem", "", `{"RequestItems":{"ledger":[{"PutRequest":{"Item":{"pk":{"S":"k"}}}},{"PutRequest":{"Item":{"pk":{"S":"l"}}}}]}}`)
	f.Add("/", "DynamoDB_20120810.BatchGetItem", "", `{"RequestItems":{"ledger":{"Keys":[{"pk":{"S":"k"}}],"ConsistentRead":true}}}`)
	f.Add("/", "DynamoDB_20120810.BatchGetItem", "", `{"RequestItems":{"ledger":null}}`)
	f.Add("/", "DynamoDB_20120810.Scan", "", `{"TableName":"ledger"}`)
	f.Add("/", "DynamoDB_20120810.UpdateItem", "", `{"TableName":"ledger","Key":{"pk":{"S":"k"}},"UpdateExpression":"SET a = if_not_exists(a, :v) - :v ADD b :v","ExpressionAttributeValues":{":v":{"N":"1"}},"ReturnValues":"ALL_NEW"}`)
	f.Add("/", "DynamoDB_20120810.CreateTable", "", `{"TableName":"tab","BillingMode":"PAY_PER_REQUEST","KeySchema":[{"AttributeName":"a","KeyType":"HASH"}],"AttributeDefinitions":[{"AttributeName":"a","AttributeType":"S"}]}`)
	sim := awssim.New(awssim.Options{Quotas: unlimited})
	f.Cleanup(func() { sim.Close() })
	if _, err := sim.CreateQueue("q", nil); err != nil {
		f.Fatal(err)
	}
	if _, err := sim.CreateTopic("t"); err != nil {
		f.Fatal(err)
	}
	sim.PutJobs(awssim.Job{ID: "j"})
	ledger(f, sim)
	f.Fuzz(func(t *testing.T, path, target, contentType, body string) {
		if strings.Contains(body, "WaitTime") {
			t.Skip("would wait, and rightly")
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(body))
		r.URL.Path = path
		r.Header.Set("X-Amz-Target", target)
		r.Header.Set("Content-Type", contentType)
		w := httptest.NewRecorder()
		sim.Handler().ServeHTTP(w, r)
		if w.Code != http.StatusOK && (w.Code < 400 || w.Code >= 500) {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}
