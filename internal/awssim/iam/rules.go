package iam

// rule is as what an operation is authorized, and on which resources, on each of them.
type rule struct {
	action string
	on     func(*request) []string
}

// Resources that are one parameter's.
func nothing(*request) []string      { return []string{"*"} }
func queue(q *request) []string      { return q.queue() }
func queueNamed(q *request) []string { return q.queueNamed() }
func topic(q *request) []string      { return q.topic() }
func domain(q *request) []string {
	return []string{"arn:aws:swf::" + q.call.Account + ":/domain/" + q.text("domain")}
}
func cluster(name string) func(*request) []string {
	return func(q *request) []string { return []string{q.arn("elasticmapreduce", "cluster/"+q.text(name))} }
}
func named(parameter string) func(*request) []string {
	return func(q *request) []string { return []string{q.text(parameter)} }
}
func jobs(parameter string) func(*request) []string {
	return func(q *request) []string { return q.jobs(parameter)() }
}
func task(q *request) []string { return []string{q.arn("fsx", "task/"+q.text("TaskId"))} }
func thingJob(q *request) []string {
	return []string{q.arn("iot", "job/"+q.wire.Path["jobId"])}
}
func jobAndThing(q *request) []string {
	return append(thingJob(q), q.arn("iot", "thing/"+q.wire.Path["thingName"]))
}

// rules are those of what is called, by the simulator's names of services.
var rules = map[string]rule{
	// "Actions, resources, and condition keys for Amazon SQS". A batch is authorized as what it is a batch of
	// ("AddPermission", SQS API Reference).
	"sqs:ReceiveMessage":               {"sqs:ReceiveMessage", queue},
	"sqs:SendMessage":                  {"sqs:SendMessage", queue},
	"sqs:SendMessageBatch":             {"sqs:SendMessage", queue},
	"sqs:DeleteMessage":                {"sqs:DeleteMessage", queue},
	"sqs:DeleteMessageBatch":           {"sqs:DeleteMessage", queue},
	"sqs:ChangeMessageVisibility":      {"sqs:ChangeMessageVisibility", queue},
	"sqs:ChangeMessageVisibilityBatch": {"sqs:ChangeMessageVisibility", queue},
	"sqs:GetQueueAttributes":           {"sqs:GetQueueAttributes", queue},
	"sqs:GetQueueUrl":                  {"sqs:GetQueueUrl", queueNamed},
	// "… for Amazon SNS". That PublishBatch is sns:Publish was not found there: the reference has no action of its own
	// name for it.
	"sns:Publish":            {"sns:Publish", topic},
	"sns:PublishBatch":       {"sns:Publish", topic},
	"sns:GetTopicAttributes": {"sns:GetTopicAttributes", topic},

	"sns:ListSubscriptionsByTopic": {"sns:ListSubscriptionsByTopic", topic},
	// "… for AWS Batch": the bulk calls are in its table of operations.
	"batch:CancelJob":     {"batch:CancelJob", jobs("jobId")},
	"batch:CancelJobs":    {"batch:CancelJob", jobs("jobs")},
	"batch:TerminateJob":  {"batch:TerminateJob", jobs("jobId")},
	"batch:TerminateJobs": {"batch:TerminateJob", jobs("jobs")},
	"batch:DescribeJobs":  {"batch:DescribeJobs", nothing},
	// "… for Amazon Elastic MapReduce".
	"elasticmapreduce:CancelSteps":  {"elasticmapreduce:CancelSteps", cluster("ClusterId")},
	"elasticmapreduce:ListSteps":    {"elasticmapreduce:ListSteps", cluster("ClusterId")},
	"elasticmapreduce:DescribeStep": {"elasticmapreduce:DescribeStep", cluster("ClusterId")},
	// "… for Amazon FSx".
	"fsx:CancelDataRepositoryTask":    {"fsx:CancelDataRepositoryTask", task},
	"fsx:DescribeDataRepositoryTasks": {"fsx:DescribeDataRepositoryTasks", nothing},
	// "… for AWS IoT". Of DescribeJobExecution the reference marks neither resource as required: both are checked here.
	"iot:CancelJobExecution":      {"iot:CancelJobExecution", jobAndThing},
	"iot:DescribeJobExecution":    {"iot:DescribeJobExecution", jobAndThing},
	"iot:CancelJob":               {"iot:CancelJob", thingJob},
	"iot:DescribeJob":             {"iot:DescribeJob", thingJob},
	"iot:ListJobExecutionsForJob": {"iot:ListJobExecutionsForJob", thingJob},
	// "… for AWS Step Functions".
	"states:StopExecution":     {"states:StopExecution", named("executionArn")},
	"states:DescribeExecution": {"states:DescribeExecution", named("executionArn")},
	"states:ListExecutions":    {"states:ListExecutions", named("stateMachineArn")},
	// "… for Amazon Simple Workflow Service".
	"swf:RequestCancelWorkflowExecution": {"swf:RequestCancelWorkflowExecution", domain},
	"swf:TerminateWorkflowExecution":     {"swf:TerminateWorkflowExecution", domain},
	"swf:DescribeWorkflowExecution":      {"swf:DescribeWorkflowExecution", domain},
	"swf:ListOpenWorkflowExecutions":     {"swf:ListOpenWorkflowExecutions", domain},
	"swf:ListClosedWorkflowExecutions":   {"swf:ListClosedWorkflowExecutions", domain},
	"swf:CountOpenWorkflowExecutions":    {"swf:CountOpenWorkflowExecutions", domain},
	// "… for Service Quotas". What it names as dependent are other services' limits, which it asks for itself.
	"servicequotas:ListServiceQuotas": {"servicequotas:ListServiceQuotas", nothing},
}

// special are the operations that need several actions, or none, or whose conditions are known.
var special = map[string]func(*request) []Access{
	// "No permissions are required to perform this operation" ("GetCallerIdentity", STS API Reference).
	"sts:GetCallerIdentity": func(*request) []Access { return nil },
	// "… for AWS Security Token Service".
	"sts:AssumeRole": func(q *request) []Access {
		return []Access{{Action: "sts:AssumeRole", Resource: q.wire.Form.Text("RoleArn"), Context: map[string][]string{
			"sts:RoleSessionName": {q.wire.Form.Text("RoleSessionName")},
		}}}
	},
	// "… for AWS Identity and Access Management (IAM)".
	"iam:SimulatePrincipalPolicy": func(q *request) []Access {
		return []Access{{Action: "iam:SimulatePrincipalPolicy", Resource: q.wire.Form.Text("PolicySourceArn")}}
	},
	"iam:GetRole": func(q *request) []Access {
		return []Access{{Action: "iam:GetRole", Resource: "arn:aws:iam::" + q.call.Account + ":role/" + q.wire.Form.Text("RoleName")}}
	},
	// "… for Amazon DynamoDB". The partition keys of items that are written are not known here.
	"dynamodb:DescribeTable":      one("DescribeTable"),
	"dynamodb:DescribeTimeToLive": one("DescribeTimeToLive"),

	"dynamodb:DescribeContinuousBackups": one("DescribeContinuousBackups"),

	"dynamodb:PutItem":            one("PutItem"),
	"dynamodb:GetItem":            one("GetItem"),
	"dynamodb:UpdateItem":         one("UpdateItem"),
	"dynamodb:DeleteItem":         one("DeleteItem"),
	"dynamodb:BatchGetItem":       func(q *request) []Access { return q.tables("BatchGetItem") },
	"dynamodb:BatchWriteItem":     func(q *request) []Access { return q.tables("BatchWriteItem") },
	"dynamodb:TransactWriteItems": transaction,
	// On the index, where there is one ("Query", examples of policies in the DynamoDB Developer Guide).
	"dynamodb:Query": func(q *request) []Access {
		a := q.table("Query", q.text("TableName"), nil)
		if index := q.text("IndexName"); index != "" {
			a.Resource += "/index/" + index
		}
		return []Access{a}
	},
}

func one(operation string) func(*request) []Access {
	return func(q *request) []Access {
		return []Access{q.table(operation, q.text("TableName"), q.item(q.parameters()["Key"]))}
	}
}

// transaction needs, for each of its parts, the action of an operation of its kind ("Using IAM with DynamoDB
// transactions", DynamoDB Developer Guide). A kind is needed once for a table.
func transaction(q *request) (all []Access) {
	seen := map[string]bool{}
	parts, _ := q.parameters()["TransactItems"].([]any)
	for _, part := range parts {
		kinds, _ := part.(map[string]any)
		for kind, operation := range map[string]string{
			"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem", "ConditionCheck": "ConditionCheckItem",
		} {
			if of, ok := kinds[kind].(map[string]any); ok {
				a := q.table(operation, text(of["TableName"]), nil)
				if !seen[a.Action+a.Resource] {
					seen[a.Action+a.Resource] = true
					all = append(all, a)
				}
			}
		}
	}
	return all
}
