package doctor

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/preflight"
	"github.com/rescindhq/rescind/worker/queue"
	"github.com/rescindhq/rescind/worker/trouble"
)

// use is what a queue is for. The set is closed.
type use int

const (
	forCommands use = iota + 1
	forDeadLetters
	forEvents
)

// aQueue is a queue as it was read.
type aQueue struct {
	use        use
	url        string
	attributes map[string]string
	redrive    queue.Attributes // of forCommands: what the worker reads
	err        error
	took       time.Duration
	feeds      []*aQueue // of forDeadLetters: the queues whose messages SQS moves there
}

func (q *aQueue) value(name types.QueueAttributeName) string { return q.attributes[string(name)] }
func (q *aQueue) number(name types.QueueAttributeName) int {
	n, _ := strconv.Atoi(q.value(name))
	return n
}
func (q *aQueue) arn() string { return q.value(types.QueueAttributeNameQueueArn) }

// retention is how long the queue stores a message; 0: not said.
func (q *aQueue) retention() time.Duration {
	return time.Duration(q.number(types.QueueAttributeNameMessageRetentionPeriod)) * time.Second
}

// queues are all queues of the deployment.
type queues struct {
	commands    []*aQueue
	deadLetters []*aQueue
	unfound     []Line  // of redrive targets whose URL could not be had
	state       *aQueue // nil: none
	account     string  // of the first queue that says it
}

// readQueues reads all queues.
func (d *doctor) readQueues(ctx context.Context) (all queues) {
	o := d.o.Preflight
	for _, url := range o.QueueURLs {
		all.commands = append(all.commands, &aQueue{use: forCommands, url: url})
	}
	if o.DeadLetterURL != "" {
		all.deadLetters = []*aQueue{{use: forDeadLetters, url: o.DeadLetterURL}}
	}
	first := slices.Concat(all.commands, all.deadLetters)
	if o.StateQueueURL != "" {
		all.state = &aQueue{use: forEvents, url: o.StateQueueURL}
		first = append(first, all.state)
	}
	d.readAll(ctx, first)
	for _, q := range all.commands {
		if arn, ok := handlers.ParseARN(q.arn()); ok {
			all.account = cmp.Or(all.account, arn.Account)
		}
	}
	found := d.findDeadLetters(ctx, &all)
	d.readAll(ctx, found)
	all.deadLetters = append(all.deadLetters, found...)
	for _, dead := range all.deadLetters {
		for _, q := range all.commands {
			if dead.arn() != "" && q.redrive.DeadLetterARN == dead.arn() {
				dead.feeds = append(dead.feeds, q)
			}
		}
	}
	return all
}

func (d *doctor) readAll(ctx context.Context, all []*aQueue) {
	var reading sync.WaitGroup
	for _, q := range all {
		reading.Go(func() { d.read(ctx, q) })
	}
	reading.Wait()
}

func (d *doctor) read(ctx context.Context, q *aQueue) {
	var out *sqs.GetQueueAttributesOutput
	out, q.took, q.err = preflight.Ask(ctx, func(ctx context.Context) (*sqs.GetQueueAttributesOutput, error) {
		return d.sqs.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
			QueueUrl: &q.url, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll},
		})
	})
	if q.err == nil {
		q.attributes = out.Attributes
	}
	if q.err == nil && q.use == forCommands {
		// Faults of the redrive policy are preflight's to say.
		q.redrive, _, _ = preflight.Ask(ctx, func(ctx context.Context) (queue.Attributes, error) { return d.queues.Inspect(ctx, q.url) })
	}
}

// findDeadLetters finds the queues that SQS moves messages to, besides one that is named.
func (d *doctor) findDeadLetters(ctx context.Context, all *queues) (found []*aQueue) {
	seen := map[string]bool{"": true}
	for _, q := range all.deadLetters {
		seen[q.arn()] = true
	}
	for _, q := range all.commands {
		arn := q.redrive.DeadLetterARN
		if seen[arn] {
			continue
		}
		seen[arn] = true
		url, took, err := preflight.Ask(ctx, func(ctx context.Context) (string, error) { return d.queues.DeadLetterURL(ctx, arn) })
		if err != nil {
			all.unfound = append(all.unfound, unread("dead-letter queue", arn, trouble.DeadLetterQueue, err, took))
			continue
		}
		found = append(found, &aQueue{use: forDeadLetters, url: url})
	}
	return found
}

// queueLines are the lines of all queues.
func (d *doctor) queueLines(all *queues) []Line {
	lines := d.faulty(preflight.OfQueue)
	for _, q := range all.commands {
		lines = append(lines, d.linesOf(q, preflight.OfQueue)...)
	}
	lines = append(lines, d.faulty(preflight.OfDeadLetters)...)
	if !d.isFaulty(preflight.OfQueue) { // which says it
		lines = append(lines, all.unfound...)
	}
	for _, q := range all.deadLetters {
		lines = append(lines, d.linesOf(q, preflight.OfDeadLetters)...)
	}
	lines = append(lines, d.faulty(preflight.OfStateQueue)...)
	if all.state != nil {
		lines = append(lines, d.linesOf(all.state, preflight.OfStateQueue)...)
	}
	return lines
}

// linesOf are the lines of one queue. Where preflight has said why it cannot be read, that is all.
func (d *doctor) linesOf(q *aQueue, of preflight.Subject) []Line {
	fifo := q.value(types.QueueAttributeNameFifoQueue) == "true"
	switch {
	case d.isFaulty(of) && (q.err != nil || fifo):
		return nil
	case q.err != nil:
		return []Line{unread(string(of), q.url, trouble.Queue, q.err, q.took)}
	case fifo || len(q.attributes) == 0:
		return []Line{{string(of), q.url, Unknown, "not checked: it is a FIFO queue, or does not say what it is", "look at AWS_ENDPOINT_URL and the queue's URL"}}
	}
	line := func(check string, result Result, says, do string) Line { return Line{check, q.url, result, says, do} }
	lines := []Line{q.messages(line), q.kept(line)}
	switch q.use {
	case forCommands:
		if q.redrive.DeadLetterARN != "" || d.o.Preflight.DeadLetterURL != "" { // else preflight says it
			lines = append(lines, q.redriven(line))
		}
	case forDeadLetters:
		if policy := q.value(types.QueueAttributeNameRedrivePolicy); policy != "" {
			lines = append(lines, line("dead-letter redrive", Warning, "it has a redrive policy of its own, by which messages that people look at are moved on; rescind dlq refuses it",
				"take it away:\n  "+setAttribute(q.url, "RedrivePolicy=")))
		}
	case forEvents:
	}
	return append(lines, q.encrypted(line), q.sentBy(line))
}

// maker makes a line about one queue.
type maker func(check string, result Result, says, do string) Line

// prefix is what checks of the queue begin with.
func (q *aQueue) prefix() string {
	switch q.use {
	case forCommands:
		return "queue"
	case forDeadLetters:
		return "dead-letter"
	case forEvents:
		return "state queue"
	}
	return ""
}

// messages counts what is on the queue. The visibility timeout is of no consequence: the worker asks for its own.
func (q *aQueue) messages(line maker) Line {
	says := fmt.Sprintf("standard; %d waiting, %d in flight, %d delayed; visibility timeout %s", q.number(types.QueueAttributeNameApproximateNumberOfMessages),
		q.number(types.QueueAttributeNameApproximateNumberOfMessagesNotVisible), q.number(types.QueueAttributeNameApproximateNumberOfMessagesDelayed),
		time.Duration(q.number(types.QueueAttributeNameVisibilityTimeout))*time.Second)
	if q.use == forCommands {
		return line("queue", Good, says+" (the worker asks for its own)", "")
	}
	if q.use == forEvents {
		return line("state queue", Good, says, "")
	}
	dead := q.number(types.QueueAttributeNameApproximateNumberOfMessages) + q.number(types.QueueAttributeNameApproximateNumberOfMessagesNotVisible)
	if dead == 0 {
		return line("dead-letter queue", Good, "standard, and empty", "")
	}
	return line("dead-letter queue", Warning, "it has about "+plural(dead, "message"), "look at why, then send it again or delete it:\n  rescind dlq list")
}

// leastRetention is how long commands should wait at least while no worker runs: SQS's default ("CreateQueue", SQS API
// Reference).
const leastRetention = 4 * 24 * time.Hour

// kept says how long the queue stores messages. SQS counts the age of what it moves to a dead-letter queue from when it was
// first sent ("Setting-up dead-letter queue retention", SQS Developer Guide).
func (q *aQueue) kept(line maker) Line {
	own := q.retention()
	check := q.prefix() + " retention"
	says := "stores messages for " + days(own)
	longest := setAttribute(q.url, "MessageRetentionPeriod=1209600")
	for _, from := range q.feeds {
		if own < from.retention() {
			return line(check, Mend, fmt.Sprintf("%s, and the queue for %s: SQS counts from when a message was first sent, and deletes what it moves here too late", says, days(from.retention())),
				"store for longer than the queue does:\n  "+longest)
		}
		if own == from.retention() {
			return line(check, Warning, says+", as the queue does: of what SQS moves here late little time is left", "store for longer than the queue does:\n  "+longest)
		}
	}
	if q.use == forCommands && own < leastRetention {
		return line(check, Warning, says+": SQS deletes commands that wait longer, without an outcome", "store for four days at least:\n  "+longest)
	}
	return line(check, Good, says, "")
}

// redriven says after how many receives SQS moves a message, and where to, with the worker's own warnings.
func (q *aQueue) redriven(line maker) Line {
	a := q.redrive
	warning, do, found := strings.Cut(preflight.ReceivesWarning(a.MaxReceiveCount), "; ")
	if !found {
		return line("queue redrive", Good, fmt.Sprintf("after %s to %s", plural(a.MaxReceiveCount, "receive"), a.DeadLetterARN[strings.LastIndexByte(a.DeadLetterARN, ':')+1:]), "")
	}
	if a.MaxReceiveCount > 0 {
		warning += fmt.Sprintf(" (maxReceiveCount %d)", a.MaxReceiveCount)
	}
	return line("queue redrive", Warning, warning, do)
}

// encrypted says by which key messages are encrypted. A key's policy is not looked at: that needs kms:GetKeyPolicy. A
// service can use a customer managed key alone, whose policy lets it ("Configure KMS permissions for AWS services", SQS
// Developer Guide).
func (q *aQueue) encrypted(line maker) Line {
	check := q.prefix() + " encryption"
	key := q.value(types.QueueAttributeNameKmsMasterKeyId)
	sse := q.value(types.QueueAttributeNameSqsManagedSseEnabled)
	const own = "alias/aws/sqs"
	isOwn := strings.HasSuffix(key, own)
	needs := "kms:GenerateDataKey and kms:Decrypt"
	switch {
	case isOwn && q.use == forEvents:
		return line(check, Mend, "by AWS's key "+own+", which EventBridge may not use: no event comes", "use SQS's own encryption, or a key of yours that events.amazonaws.com may use:\n  "+setAttribute(q.url, "SqsManagedSseEnabled=true"))
	case isOwn:
		return line(check, Good, "by AWS's key "+own+"; SNS and EventBridge cannot send here with it", "")
	case key != "" && q.use == forEvents:
		return line(check, Unknown, "by the KMS key "+key+"; whether EventBridge may use it is not looked at", "see that the key's policy allows events.amazonaws.com "+needs)
	case key != "":
		return line(check, Good, "by the KMS key "+key+"; its policy must allow "+needs+" to the worker, to who sends, and to SNS or EventBridge where they send", "")
	case sse == "true":
		return line(check, Good, "by SQS's own keys (SSE-SQS)", "")
	case sse == "":
		return line(check, Unknown, "not checked: the queue does not say it", "look whether the queue is encrypted")
	}
	return line(check, Warning, "messages are not encrypted at rest", "switch it on:\n  "+setAttribute(q.url, "SqsManagedSseEnabled=true"))
}

// sentBy says who may send by the queue's own policy. Who of the account may, IAM policies say too.
func (q *aQueue) sentBy(line maker) Line {
	check := q.prefix() + " senders"
	who, err := sendersOf(q.value(types.QueueAttributeNamePolicy))
	if err != nil {
		return line(check, Unknown, "not checked: "+err.Error(), "look at the queue's Policy")
	}
	names := strings.Join(who.names, ", ")
	switch {
	case who.anyone && who.denied:
		return line(check, Warning, "its policy lets "+names+" send, and denies it to some", "name the senders in the Allow statement too: deploy/OPERATIONS.md, Who may send")
	case who.anyone:
		return line(check, Mend, "anybody on the internet may send, by its policy: "+names, "name the senders as Principal, or add a condition such as aws:PrincipalOrgID or aws:SourceArn")
	case q.use == forEvents && !who.events:
		return line(check, Mend, "its policy does not let events.amazonaws.com send: no event comes", "set the policy that this prints:\n  rescind iam state-queue --rule-arn ARN")
	case q.use == forEvents && (who.others || !who.denied):
		return line(check, Warning, "by its policy: "+names+"; who else may send (others of the account too, where no statement denies it) can make outcomes say that a target has stopped",
			"set the policy that this prints:\n  rescind iam state-queue --rule-arn ARN")
	case names == "":
		return line(check, Good, "by the IAM policies of its account alone", "")
	}
	if who.denied {
		return line(check, Good, names+"; it is denied to others", "")
	}
	return line(check, Good, names+"; and by the IAM policies of its account", "")
}

// setAttribute is the command of the aws CLI that sets a queue's attribute.
func setAttribute(url, attribute string) string {
	return "aws sqs set-queue-attributes --queue-url " + url + " --attributes " + attribute
}

// days writes a time in its largest unit that shows all of it.
func days(d time.Duration) string {
	if d > 0 && d%(24*time.Hour) == 0 {
		return plural(int(d/(24*time.Hour)), "day")
	}
	return d.String()
}

// arnOf is the ARN of a queue: its own word, or what its URL says.
func (d *doctor) arnOf(q *aQueue) string {
	if arn := q.arn(); arn != "" {
		return arn
	}
	parts := strings.Split(strings.TrimRight(q.url, "/"), "/")
	if len(parts) < 2 {
		return ""
	}
	return "arn:" + handlers.PartitionOf(d.aws.Region) + ":sqs:" + d.aws.Region + ":" + cmp.Or(parts[len(parts)-2], d.account) + ":" + parts[len(parts)-1]
}
