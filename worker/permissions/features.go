package permissions

import "github.com/rescindhq/rescind/handlers"

// feature is something that a process does besides cancelling, and what it needs for it.
type feature struct {
	name    string // the Sid of its statement
	on      func(*Deployment) bool
	actions []string
	// resources are ARNs, or names in braces that stand for one or several; see [Deployment.expand].
	resources []string
}

func always(*Deployment) bool             { return true }
func hasTable(d *Deployment) bool         { return d.Table != "" }
func namesDeadLetters(d *Deployment) bool { return d.DeadLettersNamed }
func findsDeadLetters(d *Deployment) bool { return !d.DeadLettersNamed }
func hasStateQueue(d *Deployment) bool    { return d.StateQueueARN != "" }
func hasRole(d *Deployment) bool          { return d.Role != "" }

// ofWorker is what a worker needs, whatever it cancels.
var ofWorker = []feature{
	{"Receive", always, []string{"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes"}, []string{"{queues}"}},
	// A message that has to wait is sent to its own queue again with a delay.
	{"Defer", always, []string{"sqs:SendMessage"}, []string{"{queues}"}},
	{"DeadLetter", always, []string{"sqs:SendMessage"}, []string{"{deadLetters}"}},
	// At start: RESCIND_DLQ_URL is looked at, and the URL of a redrive target is asked for.
	{"DeadLetterNamed", namesDeadLetters, []string{"sqs:GetQueueAttributes"}, []string{"{deadLetters}"}},
	{"DeadLetterFound", findsDeadLetters, []string{"sqs:GetQueueUrl"}, []string{"{deadLetters}"}},
	// Events that prove something are deleted; what is no event is hidden for a while, and stays.
	{"StateQueue", hasStateQueue, []string{"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes"}, []string{"{stateQueue}"}},
	// Without GetTopicAttributes a worker warns and starts.
	{"Publish", always, []string{"sns:Publish", "sns:GetTopicAttributes"}, []string{"{topic}"}},
	// BatchWriteItem stores the index of several targets, and what events have shown.
	{"Ledger", hasTable, []string{
		"dynamodb:DescribeTable", "dynamodb:DescribeTimeToLive", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:BatchWriteItem",
	}, []string{"{table}"}},
	// For /ended, which "rescind send --wait" asks, and for looks at what events have shown.
	{"Lookups", hasTable, []string{"dynamodb:BatchGetItem"}, []string{"{table}"}},
	// Optional: without it the built-in quotas are in force.
	{"Quotas", always, []string{"servicequotas:ListServiceQuotas"}, []string{"*"}},
	{"OtherAccounts", hasRole, []string{"sts:AssumeRole"}, []string{"{role}"}},
}

// ofSender is what "rescind send" needs, and its --wait where the ledger is a table.
var ofSender = []feature{
	{"Send", always, []string{"sqs:SendMessage"}, []string{"{firstQueue}"}},
	{"Wait", hasTable, []string{"dynamodb:DescribeTable", "dynamodb:DescribeTimeToLive", "dynamodb:BatchGetItem"}, []string{"{table}"}},
}

// ofOperator is what "rescind dlq" needs: list, send and purge.
var ofOperator = []feature{
	{"DeadLetters", always, []string{"sqs:GetQueueAttributes", "sqs:ReceiveMessage", "sqs:ChangeMessageVisibility", "sqs:DeleteMessage"}, []string{"{deadLetters}"}},
	{"SendAgain", always, []string{"sqs:SendMessage"}, []string{"{firstQueue}"}},
	// Where RESCIND_DLQ_URL does not name the dead-letter queue, the queue's redrive policy does.
	{"DeadLettersFound", findsDeadLetters, []string{"sqs:GetQueueUrl"}, []string{"{deadLetters}"}},
	{"Redrive", findsDeadLetters, []string{"sqs:GetQueueAttributes"}, []string{"{firstQueue}"}},
}

// ofAuditor is what reading the ledger's table needs: commands by id, by campaign and by target.
var ofAuditor = []feature{
	{"Audit", hasTable, []string{"dynamodb:DescribeTable", "dynamodb:DescribeTimeToLive", "dynamodb:BatchGetItem"}, []string{"{table}"}},
	{"AuditIndexes", hasTable, []string{"dynamodb:Query"}, []string{"{table}/index/campaign", "{table}/index/target"}},
}

// deploymentKey is the item of the ledger's table that has the deployment's key: who reads outcomes must not be able
// to forge deferred messages with it.
const deploymentKey = "/deployment-key"

// guard denies whoever only reads outcomes the deployment's key, where it is in a table.
func guard(d *Deployment) []Row {
	if !hasTable(d) {
		return nil
	}
	return []Row{{
		Feature: "NotTheDeploymentKey", Deny: true, Action: "dynamodb:BatchGetItem", Resources: d.expand([]string{"{table}"}, nil),
		Condition: Condition{"ForAnyValue:StringEquals": {"dynamodb:LeadingKeys": {deploymentKey}}},
	}}
}

// usesOf are the uses that a worker makes of its handlers.
func usesOf(d *Deployment) []handlers.Use {
	if d.DryRunOnly {
		return []handlers.Use{handlers.ToRead}
	}
	return handlers.Uses()
}
