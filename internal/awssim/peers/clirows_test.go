package peers_test

import (
	"context"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/rescindhq/rescind/internal/awssim"
)

// queues puts in queues with a message each and a topic, and receives two of the messages.
func queues(t *testing.T, sim *awssim.Sim) *strings.Replacer {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	client := sqs.NewFromConfig(sim.Config())
	var receipts []string
	for _, name := range []string{"sent-to", "received", "deleted", "released", "purged", "read", "subscribed"} {
		url, err := sim.CreateQueue(name, map[string]string{"VisibilityTimeout": "3600"}) // longer than any of this takes
		must(err)
		must(sim.Send(url, "hello"))
		if name == "deleted" || name == "released" {
			out, err := client.ReceiveMessage(context.Background(), &sqs.ReceiveMessageInput{QueueUrl: &url})
			must(err)
			receipts = append(receipts, *out.Messages[0].ReceiptHandle)
		}
	}
	_, err := sim.CreateTopic("topic")
	must(err)
	tables(t, sim)
	return strings.NewReplacer("RECEIPT-1", receipts[0], "RECEIPT-2", receipts[1])
}

// tables puts in tables, and an item into the first.
func tables(t *testing.T, sim *awssim.Sim) {
	t.Helper()
	w := &world{ctx: t.Context(), dynamodb: dynamodb.NewFromConfig(sim.Config())}
	err := w.try(func(w *world) {
		w.tableNamed("ledger")
		w.tableNamed("other")
		w.put(aws.String("ledger"), fields{"pk": "read", "group": "g", "l": []any{7}})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// of is the fields of an answer, path and value in turn; the last value may be missing, and is
// any but none.
func of(pathsAndValues ...string) map[string]string {
	fields := map[string]string{}
	for i := 0; i < len(pathsAndValues); i += 2 {
		fields[pathsAndValues[i]] = pathsAndValues[i+1]
	}
	return fields
}

// cliRows are independent of each other, and of their order.
var cliRows = []row{
	{line: "sts get-caller-identity", answer: of("Account", "123456789012", "Arn", "", "UserId", "")},

	{line: "batch cancel-job --job-id cancelled-job --reason budget"},
	{line: "batch cancel-job --job-id nobody-knows-it --reason budget"}, // 200, as facts/aws.json has it
	{line: "batch terminate-job --job-id terminated-job --reason budget"},
	{line: "batch describe-jobs --jobs waiting-job done-job", answer: of(
		"jobs.0.jobId", "waiting-job", "jobs.0.status", "RUNNABLE", "jobs.1.status", "SUCCEEDED", "jobs.0.createdAt", "")},
	{line: "batch describe-jobs --jobs nobody-knows-it", answer: of("jobs", "[]")},
	{line: "batch list-jobs --job-queue listed --job-status RUNNABLE", answer: of("jobSummaryList.0.jobId", "waiting-job", "jobSummaryList.0.jobName", "night")},
	{line: "batch list-jobs", code: "ClientException"},

	{line: "emr cancel-steps --cluster-id j-CANCEL --step-ids s-PENDING s-DONE --step-cancellation-option SEND_INTERRUPT", answer: of(
		"CancelStepsInfoList.0.StepId", "s-PENDING", "CancelStepsInfoList.0.Status", "SUBMITTED",
		"CancelStepsInfoList.1.Status", "FAILED", "CancelStepsInfoList.1.Reason", "")},
	{line: "emr cancel-steps --cluster-id j-UNKNOWN --step-ids s-PENDING", code: "InvalidRequestException"},
	{line: "emr list-steps --cluster-id j-READ", answer: of("Steps.0.Id", "s-WAITS", "Steps.0.Status.State", "PENDING")},
	{line: "emr describe-step --cluster-id j-READ --step-id s-WAITS", answer: of("Step.Id", "s-WAITS", "Step.Status.Timeline.CreationDateTime", "")},
	{line: "emr describe-step --cluster-id j-READ --step-id s-UNKNOWN", code: "InvalidRequestException"},
	{line: "emr describe-cluster --cluster-id j-READ", answer: of("Cluster.Id", "j-READ", "Cluster.Status.State", "")},

	{line: "iot cancel-job-execution --thing-name thing-cancelled --job-id cancelled"},
	{line: "iot cancel-job-execution --thing-name thing-running --job-id running", code: "InvalidStateTransitionException"},
	{line: "iot cancel-job-execution --thing-name thing-forced --job-id forced --force"},
	{line: "iot cancel-job-execution --thing-name thing-read --job-id read --expected-version 7", code: "VersionConflictException"},
	{line: "iot cancel-job-execution --thing-name nobody --job-id read", code: "ResourceNotFoundException"},
	{line: "iot describe-job-execution --thing-name thing-read --job-id read", answer: of("execution.status", "QUEUED", "execution.queuedAt", "", "execution.versionNumber", "1")},
	{line: "iot describe-job-execution --thing-name nobody --job-id read", code: "ResourceNotFoundException"},
	{line: "iot list-job-executions-for-thing --thing-name thing-read", answer: of("executionSummaries.0.jobId", "read", "executionSummaries.0.jobExecutionSummary.status", "QUEUED")},
	{line: "iot list-job-executions-for-job --job-id read", answer: of("executionSummaries.0.jobExecutionSummary.status", "QUEUED", "executionSummaries.0.thingArn", "")},
	{line: "iot cancel-job --job-id whole --comment budget --reason-code BUDGET --force", answer: of("jobId", "whole", "jobArn", "")},
	{line: "iot cancel-job --job-id nobody", code: "ResourceNotFoundException"},
	{line: "iot describe-job --job-id read", answer: of("job.jobId", "read", "job.status", "IN_PROGRESS", "job.createdAt", "")},

	{line: "swf request-cancel-workflow-execution --domain d-cancelled --workflow-id cancelled --run-id run-cancelled"},
	{line: "swf request-cancel-workflow-execution --domain d-closed --workflow-id closed --run-id run-closed", code: "UnknownResourceFault"},
	{line: "swf terminate-workflow-execution --domain d-terminated --workflow-id terminated --reason budget --child-policy TERMINATE"},
	{line: "swf terminate-workflow-execution --domain nowhere --workflow-id terminated", code: "UnknownResourceFault"},
	{line: "swf describe-workflow-execution --domain d-read --execution workflowId=read,runId=run-read", answer: of(
		"executionInfo.executionStatus", "OPEN", "executionInfo.cancelRequested", "false", "executionInfo.startTimestamp", "", "openCounts.openTimers", "")},
	{line: "swf describe-workflow-execution --domain d-read --execution workflowId=read,runId=run-none", code: "UnknownResourceFault"},
	{line: "swf list-open-workflow-executions --domain d-read --start-time-filter oldestDate=1", answer: of("executionInfos.0.execution.runId", "run-read")},
	{line: "swf list-closed-workflow-executions --domain d-closed --start-time-filter oldestDate=1", answer: of("executionInfos.0.closeStatus", "COMPLETED")},
	{line: "swf count-open-workflow-executions --domain d-read --start-time-filter oldestDate=1", answer: of("count", "1")},

	{line: "fsx cancel-data-repository-task --task-id task-0123456789abcde00", answer: of("Lifecycle", "", "TaskId", "task-0123456789abcde00")},
	{line: "fsx cancel-data-repository-task --task-id task-0123456789abcde02", code: "DataRepositoryTaskEnded"},
	{line: "fsx cancel-data-repository-task --task-id task-0123456789abcdeff", code: "DataRepositoryTaskNotFound"},
	{line: "fsx describe-data-repository-tasks --task-ids task-0123456789abcde01", answer: of("DataRepositoryTasks.0.Lifecycle", "EXECUTING", "DataRepositoryTasks.0.CreationTime", "")},

	{line: "stepfunctions stop-execution --execution-arn arn:aws:states:us-east-1:123456789012:execution:machine:stopped --cause budget", answer: of("stopDate", "")},
	{line: "stepfunctions stop-execution --execution-arn arn:aws:states:us-east-1:123456789012:execution:machine:nobody", code: "ExecutionDoesNotExist"},
	{line: "stepfunctions describe-execution --execution-arn arn:aws:states:us-east-1:123456789012:execution:machine:read", answer: of("status", "RUNNING", "startDate", "")},

	{line: "dynamodb create-table --table-name made --attribute-definitions AttributeName=pk,AttributeType=S --key-schema AttributeName=pk,KeyType=HASH --billing-mode PAY_PER_REQUEST", answer: of(
		"TableDescription.TableName", "made", "TableDescription.TableStatus", "CREATING", "TableDescription.CreationDateTime", "")},
	{line: "dynamodb describe-table --table-name ledger", answer: of("Table.TableStatus", "ACTIVE", "Table.KeySchema.0.AttributeName", "pk", "Table.ItemCount", "")},
	{line: "dynamodb describe-table --table-name nobody-made-it", code: "ResourceNotFoundException"},
	{line: `dynamodb put-item --table-name ledger --item {"pk":{"S":"put"},"n":{"N":"15"}}`},
	{line: `dynamodb put-item --table-name ledger --item {"pk":{"S":"read"}} --condition-expression attribute_not_exists(pk)`, code: "ConditionalCheckFailedException"},
	{line: `dynamodb get-item --table-name ledger --key {"pk":{"S":"read"}} --consistent-read`, answer: of("Item.pk.S", "read", "Item.l.L.0.N", "7")},
	{line: `dynamodb update-item --table-name ledger --key {"pk":{"S":"changed"}} --return-values ALL_NEW`, answer: of("Attributes.pk.S", "changed")},
	{line: `dynamodb delete-item --table-name ledger --key {"pk":{"S":"deleted"}}`},
	{line: `dynamodb query --table-name ledger --index-name by-group --key-condition-expression #g=:v --expression-attribute-names {"#g":"group"} --expression-attribute-values {":v":{"S":"g"}}`, answer: of(
		"Items.0.pk.S", "read", "Count", "1")},
	{line: "dynamodb scan --table-name ledger", code: "NotSimulated"},
	{line: `dynamodb batch-write-item --request-items {"ledger":[{"PutRequest":{"Item":{"pk":{"S":"batch"}}}}]}`, answer: of("UnprocessedItems", "{}")},
	{line: `dynamodb batch-get-item --request-items {"ledger":{"Keys":[{"pk":{"S":"read"}}]}}`, answer: of("Responses.ledger.0.pk.S", "read")},
	{line: `dynamodb transact-write-items --transact-items [{"Put":{"TableName":"ledger","Item":{"pk":{"S":"read"}},"ConditionExpression":"attribute_not_exists(pk)"}}]`, code: "TransactionCanceledException"},
	{line: "dynamodb describe-time-to-live --table-name ledger", answer: of("TimeToLiveDescription.TimeToLiveStatus", "DISABLED")},
	{line: "dynamodb update-time-to-live --table-name other --time-to-live-specification Enabled=true,AttributeName=ends", answer: of("TimeToLiveSpecification.AttributeName", "ends")},
	{line: "dynamodb wait table-exists --table-name ledger"},

	{line: "sqs create-queue --queue-name made --attributes VisibilityTimeout=60", answer: of("QueueUrl", "")},
	{line: "sqs get-queue-url --queue-name read", answer: of("QueueUrl", "")},
	{line: "sqs get-queue-url --queue-name nobody-made-it", code: "AWS.SimpleQueueService.NonExistentQueue"},
	{line: "sqs get-queue-attributes --queue-url QUEUES/read --attribute-names All", answer: of("Attributes.ApproximateNumberOfMessages", "1")},
	{line: "sqs send-message --queue-url QUEUES/sent-to --message-body hello", answer: of("MessageId", "", "MD5OfMessageBody", "5d41402abc4b2a76b9719d911017c592")},
	{line: "sqs send-message-batch --queue-url QUEUES/sent-to --entries Id=a,MessageBody=hello Id=b,MessageBody=hello,DelaySeconds=901", answer: of(
		"Successful.0.Id", "a", "Failed.0.Id", "b", "Failed.0.SenderFault", "true")},
	{line: "sqs receive-message --queue-url QUEUES/received --attribute-names All", answer: of("Messages.0.Body", "hello", "Messages.0.Attributes.ApproximateReceiveCount", "1")},
	{line: "sqs change-message-visibility --queue-url QUEUES/released --receipt-handle RECEIPT-2 --visibility-timeout 0"},
	{line: "sqs delete-message --queue-url QUEUES/deleted --receipt-handle RECEIPT-1"},
	{line: "sqs delete-message --queue-url QUEUES/read --receipt-handle junk", code: "ReceiptHandleIsInvalid"},
	{line: "sqs purge-queue --queue-url QUEUES/purged"},

	{line: "sns create-topic --name made", answer: of("TopicArn", "")},
	{line: "sns subscribe --topic-arn TOPICS:topic --protocol sqs --notification-endpoint arn:aws:sqs:us-east-1:123456789012:subscribed", answer: of("SubscriptionArn", "")},
	{line: "sns publish --topic-arn TOPICS:topic --message hello", answer: of("MessageId", "")},
	{line: "sns publish-batch --topic-arn TOPICS:topic --publish-batch-request-entries Id=a,Message=hello", answer: of("Successful.0.Id", "a", "Failed", "[]")},
	{line: "sns publish --topic-arn TOPICS:nobody-made-it --message hello", code: "NotFound"},
}
