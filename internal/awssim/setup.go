package awssim

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/rescindhq/rescind/internal/awssim/batch"
	"github.com/rescindhq/rescind/internal/awssim/emr"
	"github.com/rescindhq/rescind/internal/awssim/fsx"
	"github.com/rescindhq/rescind/internal/awssim/iam"
	"github.com/rescindhq/rescind/internal/awssim/iot"
	"github.com/rescindhq/rescind/internal/awssim/sqs"
	"github.com/rescindhq/rescind/internal/awssim/stepfunctions"
	"github.com/rescindhq/rescind/internal/awssim/swf"
)

// This file is what the process around the simulator does without a request: it passes no quota,
// meets no fault and is not in the history. Everything is in the default account and region
// unless it says otherwise.

// Job is a Batch job; see the batch package.
type Job = batch.Job

// JobChange is a change of state that a Batch job makes by itself.
type JobChange = batch.Change

// Cluster is an EMR cluster; see the emr package.
type Cluster = emr.Cluster

// Step is a step on an EMR cluster.
type Step = emr.Step

// StepChange is a change of state that a step makes by itself.
type StepChange = emr.Change

// Task is an FSx data repository task; see the fsx package.
type Task = fsx.Task

// TaskChange is a change of state that a task makes by itself.
type TaskChange = fsx.Change

// ThingJob is an IoT job; see the iot package.
type ThingJob = iot.Job

// ThingGroup is an IoT thing group.
type ThingGroup = iot.Group

// JobExecution is the execution of an IoT job on a thing.
type JobExecution = iot.Execution

// ExecutionChange is a change of state that a job execution makes by itself.
type ExecutionChange = iot.Change

// Workflow is an SWF workflow execution, that is one run; see the swf package.
type Workflow = swf.Run

// WorkflowEnding is how a workflow execution closes by itself.
type WorkflowEnding = swf.Ending

// Execution is an execution of a Step Functions state machine; see the stepfunctions package.
type Execution = stepfunctions.Execution

// StateMachine is a state machine of Step Functions.
type StateMachine = stepfunctions.Machine

// ExecutionEnding is how an execution of a state machine ends by itself.
type ExecutionEnding = stepfunctions.Ending

// Message is a message as it lies on a queue.
type Message = sqs.Message

// Attribute is an attribute of a message.
type Attribute = sqs.Attribute

// Depth counts what is on a queue.
type Depth = sqs.Depth

// CreateQueue makes a queue with CreateQueue's attributes, or finds the one of that name, and
// returns its URL, which begins with [Options.BaseURL].
func (s *Sim) CreateQueue(name string, attributes map[string]string) (url string, err error) {
	if err := s.sqs.Create(s.options.Region, s.options.Account, name, attributes); err != nil {
		return "", err
	}
	return s.options.BaseURL + "/" + s.options.Account + "/" + name, nil
}

// CreateQueueWithDeadLetters makes a queue NAME and its dead-letter queue NAME-dlq, to which
// a message goes after so many receives, and returns both URLs.
func (s *Sim) CreateQueueWithDeadLetters(name string, maxReceives int, attributes map[string]string) (url, dead string, err error) {
	dead, err = s.CreateQueue(name+"-dlq", map[string]string{"MessageRetentionPeriod": "1209600"})
	if err != nil {
		return "", "", err
	}
	policy, err := json.Marshal(map[string]any{"deadLetterTargetArn": s.QueueARN(dead), "maxReceiveCount": maxReceives})
	if err != nil {
		return "", "", fmt.Errorf("writing the redrive policy of %s: %w", name, err)
	}
	all := map[string]string{"RedrivePolicy": string(policy)}
	for attribute, value := range attributes {
		all[attribute] = value
	}
	url, err = s.CreateQueue(name, all)
	return url, dead, err
}

// QueueARN returns the ARN of a queue named by its URL, its ARN, or its bare name.
func (s *Sim) QueueARN(queue string) string {
	if strings.HasPrefix(queue, "arn:") {
		return queue
	}
	account, name := s.options.Account, queue
	if parts := strings.Split(queue, "/"); len(parts) > 1 {
		account, name = parts[len(parts)-2], parts[len(parts)-1]
	}
	return "arn:aws:sqs:" + s.options.Region + ":" + account + ":" + name
}

// Messages returns what is on a queue (URL, ARN or name) in the order of arrival, without
// receiving it.
func (s *Sim) Messages(queue string) []Message { return s.sqs.Messages(s.QueueARN(queue)) }

// Depth counts what is on a queue (URL, ARN or name).
func (s *Sim) Depth(queue string) Depth { return s.sqs.Depth(s.QueueARN(queue)) }

// EndLeases makes every message in flight on a queue (URL, ARN or name) visible, as the end of
// its visibility timeout would: for tests in real time, which need not wait for it.
func (s *Sim) EndLeases(queue string) { s.sqs.EndLeases(s.QueueARN(queue)) }

// Send puts messages without attributes on a queue (URL, ARN or name).
func (s *Sim) Send(queue string, bodies ...string) error {
	for _, body := range bodies {
		if _, err := s.SendWith(queue, body, nil); err != nil {
			return err
		}
	}
	return nil
}

// SendWith puts a message with attributes on a queue (URL, ARN or name), and returns the message's id.
func (s *Sim) SendWith(queue, body string, attributes map[string]Attribute) (id string, err error) {
	id, err = s.sqs.Put(context.Background(), s.QueueARN(queue), body, attributes, "AIDA"+s.options.Account, "")
	if err != nil {
		return "", fmt.Errorf("sending to %s: %w", queue, err)
	}
	return id, nil
}

// CreateTopic makes a topic, or finds it, and returns its ARN.
func (s *Sim) CreateTopic(name string) (arn string, err error) {
	return s.sns.Create(s.options.Region, s.options.Account, name, nil)
}

// Subscribe subscribes a queue (URL, ARN or name) to a topic; raw delivers the messages as
// they are, otherwise they come in a notification.
func (s *Sim) Subscribe(topicARN, queue string, raw bool) (arn string, err error) {
	return s.sns.Subscribe(topicARN, s.QueueARN(queue), map[string]string{"RawMessageDelivery": strconv.FormatBool(raw)})
}

// PutPolicy gives a user or a role, by its ARN, a policy that [iam.IAM] answers from, in place of the one before. nil: it has
// none, and everything is allowed. No request is refused for it.
func (s *Sim) PutPolicy(principalARN string, p *iam.Policy) { s.iam.Put(principalARN, p) }

// PutJobs puts Batch jobs in, or replaces those with the same id, account and region.
func (s *Sim) PutJobs(jobs ...Job) {
	jobs = slices.Clone(jobs)
	for i := range jobs {
		jobs[i].Account = cmp.Or(jobs[i].Account, s.options.Account)
		jobs[i].Region = cmp.Or(jobs[i].Region, s.options.Region)
	}
	s.batch.Put(jobs...)
}

// Job returns a Batch job as it stands now; ok is false where there is none.
func (s *Sim) Job(id string) (_ Job, ok bool) {
	return s.batch.Job(s.options.Account, s.options.Region, id)
}

// JobIn is Job for another account or region.
func (s *Sim) JobIn(account, region, id string) (_ Job, ok bool) {
	return s.batch.Job(account, region, id)
}

// Jobs returns all Batch jobs as they stand now, in the order in which they were put in.
func (s *Sim) Jobs() []Job { return s.batch.Jobs(s.options.Account, s.options.Region) }

// PutClusters puts EMR clusters in, or changes those with the same id, account and region.
func (s *Sim) PutClusters(clusters ...Cluster) {
	clusters = slices.Clone(clusters)
	for i := range clusters {
		clusters[i].Account = cmp.Or(clusters[i].Account, s.options.Account)
		clusters[i].Region = cmp.Or(clusters[i].Region, s.options.Region)
	}
	s.emr.PutClusters(clusters...)
}

// PutSteps puts EMR steps in, or replaces those with the same id on the same cluster. A
// cluster that was not put in is made.
func (s *Sim) PutSteps(steps ...Step) {
	steps = slices.Clone(steps)
	for i := range steps {
		steps[i].Account = cmp.Or(steps[i].Account, s.options.Account)
		steps[i].Region = cmp.Or(steps[i].Region, s.options.Region)
	}
	s.emr.PutSteps(steps...)
}

// Step returns an EMR step as it stands now; ok is false where there is none.
func (s *Sim) Step(cluster, id string) (_ Step, ok bool) {
	return s.emr.Step(s.options.Account, s.options.Region, cluster, id)
}

// Steps returns the steps of an EMR cluster as they stand now, in the order in which they
// were put in.
func (s *Sim) Steps(cluster string) []Step {
	return s.emr.Steps(s.options.Account, s.options.Region, cluster)
}

// PutTasks puts FSx data repository tasks in, or replaces those with the same id, account and
// region.
func (s *Sim) PutTasks(tasks ...Task) {
	tasks = slices.Clone(tasks)
	for i := range tasks {
		tasks[i].Account = cmp.Or(tasks[i].Account, s.options.Account)
		tasks[i].Region = cmp.Or(tasks[i].Region, s.options.Region)
	}
	s.fsx.Put(tasks...)
}

// Task returns an FSx data repository task as it stands now; ok is false where there is none.
func (s *Sim) Task(id string) (_ Task, ok bool) {
	return s.fsx.Task(s.options.Account, s.options.Region, id)
}

// Tasks returns all FSx data repository tasks as they stand now, in the order in which they
// were put in.
func (s *Sim) Tasks() []Task { return s.fsx.Tasks(s.options.Account, s.options.Region) }

// PutThingJobs puts IoT jobs in, or replaces those with the same id, account and region.
func (s *Sim) PutThingJobs(jobs ...ThingJob) {
	jobs = slices.Clone(jobs)
	for i := range jobs {
		jobs[i].Account = cmp.Or(jobs[i].Account, s.options.Account)
		jobs[i].Region = cmp.Or(jobs[i].Region, s.options.Region)
	}
	s.iot.PutJobs(jobs...)
}

// ThingJob returns an IoT job as it stands now; ok is false where there is none.
func (s *Sim) ThingJob(id string) (_ ThingJob, ok bool) {
	return s.iot.Job(s.options.Account, s.options.Region, id)
}

// PutJobExecutions puts IoT job executions in, or replaces those with the same names, account
// and region. A thing or a job that was not put in is made.
func (s *Sim) PutJobExecutions(executions ...JobExecution) {
	executions = slices.Clone(executions)
	for i := range executions {
		executions[i].Account = cmp.Or(executions[i].Account, s.options.Account)
		executions[i].Region = cmp.Or(executions[i].Region, s.options.Region)
	}
	s.iot.PutExecutions(executions...)
}

// JobExecution returns an IoT job execution as it stands now; ok is false where there is none.
func (s *Sim) JobExecution(thing, job string) (_ JobExecution, ok bool) {
	return s.iot.Execution(s.options.Account, s.options.Region, thing, job)
}

// PutWorkflows puts SWF workflow executions in, or replaces those with the same names, account
// and region. A domain that was not there is made.
func (s *Sim) PutWorkflows(runs ...Workflow) {
	runs = slices.Clone(runs)
	for i := range runs {
		runs[i].Account = cmp.Or(runs[i].Account, s.options.Account)
		runs[i].Region = cmp.Or(runs[i].Region, s.options.Region)
	}
	s.swf.Put(runs...)
}

// Workflow returns an SWF workflow execution as it stands now; ok is false where there is none.
func (s *Sim) Workflow(domain, workflowID, runID string) (_ Workflow, ok bool) {
	return s.swf.Run(s.options.Account, s.options.Region, domain, workflowID, runID)
}

// PutThingGroups puts IoT thing groups in, or replaces those with the same name, account and region.
func (s *Sim) PutThingGroups(groups ...ThingGroup) {
	groups = slices.Clone(groups)
	for i := range groups {
		groups[i].Account = cmp.Or(groups[i].Account, s.options.Account)
		groups[i].Region = cmp.Or(groups[i].Region, s.options.Region)
	}
	s.iot.PutGroups(groups...)
}

// PutStateMachines puts state machines of Step Functions in, or replaces those with the same ARN. One that executions name need
// not be put in.
func (s *Sim) PutStateMachines(machines ...StateMachine) { s.sfn.PutMachines(machines...) }

// PutExecutions puts executions of Step Functions in, or replaces those with the same ARN,
// which names their account and region.
func (s *Sim) PutExecutions(executions ...Execution) { s.sfn.Put(executions...) }

// Execution returns an execution of Step Functions as it stands now; ok is false where there
// is none.
func (s *Sim) Execution(arn string) (_ Execution, ok bool) { return s.sfn.Execution(arn) }

// TableItems returns the items of a DynamoDB table in the order of their keys, as Go's own
// types: strings, json.Number, []byte, bool, nil, map[string]any, []any; sets are []string, or
// [][]byte. It is nil where there is no such table.
func (s *Sim) TableItems(table string) []map[string]any {
	return s.dynamodb.Items(s.options.Account, s.options.Region, table)
}

// ExpireItems removes every item of a DynamoDB table whose time to live has passed, and returns
// how many.
func (s *Sim) ExpireItems(table string) int {
	return s.dynamodb.Expire(s.options.Account, s.options.Region, table)
}
