package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/rescindhq/rescind/internal/awssim"
)

var update = flag.Bool("update", false, "write testdata anew")

// misconfiguration is a way to start "rescind worker" that cannot be.
type misconfiguration struct {
	name     string
	settings []string // "NAME=value", over those of a worker that starts; "NAME" alone: not set
	fault    awssim.Faults
}

// site is an AWS simulator with what workers need, and what they may be given by mistake.
type site struct {
	*awssim.Sim
	url, dir, queue, taken, topic string
}

func newSite(t *testing.T, more ...func(*awssim.Options)) *site {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	server := httptest.NewUnstartedServer(nil)
	s := &site{url: "http://" + server.Listener.Addr().String(), dir: t.TempDir()}
	o := awssim.Options{BaseURL: s.url, History: true}
	o.Events.Queue = "arn:aws:sqs:us-east-1:123456789012:states" // which is there only if a test creates it
	for _, set := range more {
		set(&o)
	}
	s.Sim = awssim.New(o)
	server.Config.Handler = s.Handler()
	server.Start()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		server.Close()
	})
	var err error
	s.queue, _, err = s.CreateQueueWithDeadLetters("commands", 5, nil)
	must(err)
	_, _, err = s.CreateQueueWithDeadLetters("second", 5, nil)
	must(err)
	for name, attributes := range map[string]map[string]string{
		"bare": nil, "line.fifo": {"FifoQueue": "true"},
		"fed": {"RedrivePolicy": `{"maxReceiveCount":5,"deadLetterTargetArn":"` + s.QueueARN("commands") + `"}`},
	} {
		_, err := s.CreateQueue(name, attributes)
		must(err)
	}
	s.topic, err = s.CreateTopic("outcomes")
	must(err)
	taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(err)
	t.Cleanup(func() { _ = taken.Close() })
	s.taken = taken.Addr().String()
	s.PutJobs(awssim.Job{ID: "job", State: "RUNNABLE"})
	must(s.Send(s.queue, `{"id":"one","action":"batch:CancelJob","parameters":{"jobId":"job","reason":"over budget"}}`))
	must(os.WriteFile(filepath.Join(s.dir, "notes.txt"), []byte(strings.Repeat("no ledger\n", 2000)), 0o600))
	return s
}

// environment sets the variables of a worker that starts, and then settings.
func (s *site) environment(t *testing.T, settings ...string) {
	t.Helper()
	unconfigured(t)
	unset := func(name string) {
		t.Setenv(name, "") // so that it is put back
		if err := os.Unsetenv(name); err != nil {
			t.Fatal(err)
		}
	}
	for _, each := range os.Environ() {
		if name, _, _ := strings.Cut(each, "="); strings.HasPrefix(name, "RESCIND_") {
			unset(name)
		}
	}
	for _, each := range append([]string{
		"AWS_ENDPOINT_URL=" + s.url, "RESCIND_QUEUE_URL=" + s.queue, "RESCIND_RESULTS_TOPIC_ARN=" + s.topic,
		"RESCIND_LEDGER=bolt:" + s.dir + "/ledger.db", "RESCIND_ADMIN_ADDR=127.0.0.1:0", "RESCIND_LOG_FORMAT=console",
	}, settings...) {
		name, value, set := strings.Cut(each, "=")
		if set {
			t.Setenv(name, value)
		} else {
			unset(name)
		}
	}
}

// misconfigurations are each variable, wrong in each way.
func (s *site) misconfigurations() []misconfiguration {
	const account = "/123456789012/"
	set := func(name string, settings ...string) misconfiguration {
		return misconfiguration{name: name, settings: settings}
	}
	met := func(name, operation string, fault awssim.Fault, settings ...string) misconfiguration {
		return misconfiguration{name, settings, awssim.Faults{operation: fault}}
	}
	return []misconfiguration{
		set("no queue", "RESCIND_QUEUE_URL"),
		set("a queue that is not there", "RESCIND_QUEUE_URL="+s.url+account+"nowhere"),
		set("a queue's name for its URL", "RESCIND_QUEUE_URL=commands"),
		set("an ARN for a queue's URL", "RESCIND_QUEUE_URL="+s.QueueARN("commands")),
		set("a FIFO queue", "RESCIND_QUEUE_URL="+s.url+account+"line.fifo"),
		set("a queue of another region", "RESCIND_QUEUE_URL=https://sqs.eu-west-1.amazonaws.com"+account+"commands"),
		set("a queue of another partition", "RESCIND_QUEUE_URL=https://sqs.cn-north-1.amazonaws.com.cn"+account+"commands"),
		set("one queue twice", "RESCIND_QUEUE_URL="+s.queue+","+s.queue),
		set("one queue twice, by another host", "RESCIND_QUEUE_URL="+s.queue+",https://queue.example"+account+"commands"),
		set("a queue without a dead-letter queue", "RESCIND_QUEUE_URL="+s.url+account+"bare"),
		met("a dead-letter queue that may not be looked up", "sqs:GetQueueUrl", awssim.Fault{Denied: 1}),
		set("a queue that feeds another", "RESCIND_QUEUE_URL="+s.queue+","+s.url+account+"fed"),
		met("a queue that may not be looked at", "sqs:GetQueueAttributes", awssim.Fault{Denied: 1}),

		set("the queue as its own dead-letter queue", "RESCIND_DLQ_URL="+s.queue),
		set("the same, by another host", "RESCIND_DLQ_URL=https://queue.example"+account+"commands"),
		set("a dead-letter queue that is not there", "RESCIND_DLQ_URL="+s.url+account+"nowhere-dlq"),
		set("an ARN for the dead-letter queue's URL", "RESCIND_DLQ_URL="+s.QueueARN("commands-dlq")),
		set("a FIFO dead-letter queue", "RESCIND_DLQ_URL="+s.url+account+"line.fifo"),
		set("a dead-letter queue of another region", "RESCIND_DLQ_URL=https://sqs.eu-west-1.amazonaws.com"+account+"commands-dlq"),

		set("no topic", "RESCIND_RESULTS_TOPIC_ARN"),
		set("a topic that is not there", "RESCIND_RESULTS_TOPIC_ARN=arn:aws:sns:us-east-1:123456789012:not-there"),
		set("a topic's name for its ARN", "RESCIND_RESULTS_TOPIC_ARN=outcomes"),
		set("a queue's ARN for a topic's", "RESCIND_RESULTS_TOPIC_ARN="+s.QueueARN("commands")),
		set("a subscription's ARN for a topic's", "RESCIND_RESULTS_TOPIC_ARN="+s.topic+":1b2c3d4e-0000-4000-8000-000000000001"),
		set("a FIFO topic", "RESCIND_RESULTS_TOPIC_ARN="+s.topic+".fifo"),
		set("a topic of another region", "RESCIND_RESULTS_TOPIC_ARN=arn:aws:sns:eu-west-1:123456789012:outcomes"),
		set("a topic of another partition", "RESCIND_RESULTS_TOPIC_ARN=arn:aws-cn:sns:us-east-1:123456789012:outcomes"),
		met("SNS is unavailable", "sns:GetTopicAttributes", awssim.Fault{Broken: 1}),

		set("a ledger of no kind", "RESCIND_LEDGER=commands.db"),
		set("a ledger of an unknown kind", "RESCIND_LEDGER=redis:localhost"),
		set("a ledger in no directory", "RESCIND_LEDGER=bolt:"+s.dir+"/nowhere/ledger.db"),
		set("a ledger that is a directory", "RESCIND_LEDGER=bolt:"+s.dir),
		set("a ledger that is another file", "RESCIND_LEDGER=bolt:"+s.dir+"/notes.txt"),
		set("a ledger under a file", "RESCIND_LEDGER=bolt:"+s.dir+"/notes.txt/ledger.db"),
		set("DynamoDB without a table", "RESCIND_LEDGER=dynamodb:"),
		set("a table's ARN for its name", "RESCIND_LEDGER=dynamodb:arn:aws:dynamodb:us-east-1:123456789012:table/commands"),
		set("a table that is not there", "RESCIND_LEDGER=dynamodb:commands"),
		set("a table of another key", "RESCIND_LEDGER=dynamodb:other"),
		met("a table that may not be looked at", "dynamodb:DescribeTable", awssim.Fault{Denied: 1}, "RESCIND_LEDGER=dynamodb:other"),

		set("a quota of a misspelt service", "RESCIND_QUOTAS=bacth:CancelJob=1/1"),
		set("a quota of a service that is not called", "RESCIND_QUOTAS=ec2:RunInstances=1/1"),
		set("a quota of a misspelt operation", "RESCIND_QUOTAS=emr:CancelStep=1"),
		set("a quota of rate 0", "RESCIND_QUOTAS=batch:CancelJob=0/0"),
		set("a quota of burst 0", "RESCIND_QUOTAS=batch:*=5/0"),
		set("a quota that is no number", "RESCIND_QUOTAS=batch:CancelJobs=fast"),
		set("a quota of nothing", "RESCIND_QUOTAS=20/40"),
		set("a quota twice, once by its action's name", "RESCIND_QUOTAS=batch:CancelJob=1,batch:CancelJobs=2"),

		set("a region that is none", "RESCIND_REGIONS=us-east-1,us-esat-1"),
		set("regions separated by spaces", "RESCIND_REGIONS=us-east-1 eu-west-1"),
		set("a region of another partition", "RESCIND_REGIONS=us-east-1,cn-north-1"),
		set("the worker's own region is none", "AWS_REGION=us-esat-1", "AWS_ENDPOINT_URL"),
		set("no region", "AWS_REGION"),
		set("a role of one account", "RESCIND_ROLE=arn:aws:iam::123456789012:role/rescind"),
		set("a role's name for its ARN", "RESCIND_ROLE=rescind"),
		set("a role of another partition", "RESCIND_ROLE=arn:aws-cn:iam::{account}:role/rescind"),

		set("a time without a unit", "RESCIND_DRAIN=25"),
		set("a time below 0", "RESCIND_GIVE_UP=-72h"),
		set("no patience", "RESCIND_PATIENCE=0s"),
		set("an unknown unit", "RESCIND_GIVE_UP=3d"),
		set("no messages at once", "RESCIND_MAX_IN_FLIGHT=0"),
		set("a number that is none", "RESCIND_MAX_IN_FLIGHT=many"),
		set("a name with a space", "RESCIND_NAME=over budget"),
		set("an unknown level", "RESCIND_LOG_LEVEL=verbose"),
		set("an unknown format", "RESCIND_LOG_FORMAT=text"),
		set("an address in use", "RESCIND_ADMIN_ADDR="+s.taken),
		set("an address without a port", "RESCIND_ADMIN_ADDR=localhost"),
		set("an address of another machine", "RESCIND_ADMIN_ADDR=203.0.113.1:9464"),

		set("a policy, not built yet", "RESCIND_POLICY=policy.cedar"),
		set("a state queue that is a queue of commands", "RESCIND_STATE_QUEUE_URL="+s.queue),
		set("a state queue that is the dead-letter queue, by another host", "RESCIND_STATE_QUEUE_URL=https://queue.example"+account+"commands-dlq"),
		set("a state queue that is not there", "RESCIND_STATE_QUEUE_URL="+s.url+account+"nowhere"),
		set("a FIFO state queue", "RESCIND_STATE_QUEUE_URL="+s.url+account+"line.fifo"),
		set("an ARN for the state queue's URL", "RESCIND_STATE_QUEUE_URL="+s.QueueARN("bare")),
		set("a state queue of another region", "RESCIND_STATE_QUEUE_URL=https://sqs.eu-west-1.amazonaws.com"+account+"states"),
		set("confirmation for too long", "RESCIND_CONFIRM=13h"),
		set("confirmation without a unit", "RESCIND_CONFIRM=10"),
		set("control, not built yet", "RESCIND_ADMIN_TOKEN=secret"),
		set("a misspelt variable", "RESCIND_LEDGR=bolt:x.db"),
		set("a misspelt policy", "RESCIND_POLICYS=policy.cedar"),
		set("a variable like no other", "RESCIND_COLOUR=red"),

		set("no credentials", "AWS_ACCESS_KEY_ID"),
		met("credentials that have expired", "*", awssim.Fault{Refused: 1, RefusedCode: "ExpiredToken"}),
		met("credentials that AWS does not know", "*", awssim.Fault{Refused: 1, RefusedCode: "InvalidClientTokenId"}),
		met("no answer from STS", "sts:GetCallerIdentity", awssim.Fault{Denied: 1}),
		set("an endpoint where nobody listens", "AWS_ENDPOINT_URL=http://127.0.0.1:1"),

		set("much at once", "RESCIND_QUEUE_URL="+s.queue+","+s.url+account+"nowhere", "RESCIND_DLQ_URL=commands-dlq",
			"RESCIND_RESULTS_TOPIC_ARN=arn:aws:sns:us-east-1:123456789012:not-there", "RESCIND_LEDGER=dynamodb:commands", "RESCIND_QUOTAS=bacth:*=1,emr:*=0",
			"RESCIND_DRAIN=25", "RESCIND_ROLE=rescind", "RESCIND_REGIONS=us-esat-1", "RESCIND_ADMIN_ADDR="+s.taken, "RESCIND_LEDGR=x"),
		set("much at once, without AWS", "AWS_REGION", "RESCIND_QUEUE_URL=commands", "RESCIND_RESULTS_TOPIC_ARN=outcomes", "RESCIND_LEDGER=x", "RESCIND_DRAIN=25"),
		set("as a service logs it", "RESCIND_DLQ_URL=commands-dlq", "RESCIND_DRAIN=25", "RESCIND_LOG_FORMAT=json"),
	}
}

// TestAMisconfiguredWorkerSaysWhatToDo holds what "rescind worker" says to testdata/misconfigured.txt, for each variable
// wrong in each way; -update writes that anew. No worker receives, sends, publishes or cancels anything.
func TestAMisconfiguredWorkerSaysWhatToDo(t *testing.T) {
	const golden = "testdata/misconfigured.txt"
	s := newSite(t)
	makeOtherTable(t, s)
	blank := strings.NewReplacer(s.url, "http://AWS", s.dir, "/DIR", s.taken, "127.0.0.1:TAKEN")
	var all strings.Builder
	for _, each := range s.misconfigurations() {
		t.Run(each.name, func(t *testing.T) {
			s.environment(t, each.settings...)
			s.SetFaults(each.fault)
			defer s.SetFaults(nil)
			code, out, said := ran(t, "", "worker")
			if code != exitFailed && code != exitMisused || out != "" {
				t.Errorf("exit %d, stdout %q", code, out)
			}
			for _, noise := range []string{"operation error", "https response error", "RequestID", "exceeded maximum number of attempts", "api error", "%!", "\t"} {
				if strings.Contains(said, noise) && each.name != "as a service logs it" {
					t.Errorf("it says %q: %s", noise, said)
				}
			}
			fmt.Fprintf(&all, "# %s\n$ %s\n%s(exit %d)\n\n", each.name, blank.Replace(strings.Join(append(each.settings, "rescind worker"), " ")), blank.Replace(undated(said)), code)
		})
	}
	if *update {
		if err := os.WriteFile(golden, []byte(all.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	for said := range strings.SplitSeq(all.String(), "\n\n") {
		if !strings.Contains(string(want), said+"\n\n") && said != "" {
			t.Errorf("%s does not have this (-update writes it anew):\n%s", golden, said)
		}
	}
	if all.Len() != len(want) {
		t.Errorf("%s has %d bytes, want %d (-update writes it anew)", golden, len(want), all.Len())
	}
	looks := map[string]bool{
		"dynamodb:CreateTable":   true, // ours
		"sqs:GetQueueAttributes": true, "sqs:GetQueueUrl": true, "sns:GetTopicAttributes": true, "sts:GetCallerIdentity": true, "dynamodb:DescribeTable": true,
	}
	for _, r := range s.History() {
		if call := r.Service + ":" + r.Operation; !looks[call] {
			t.Errorf("a worker that did not start has called %s", call)
		}
	}
	if m := s.Messages(s.queue); len(m) != 1 || m[0].Receives != 0 {
		t.Errorf("the queue has %+v, want one message that nobody has received", m)
	}
}

// makeOtherTable makes a table that is no ledger's.
func makeOtherTable(t *testing.T, s *site) {
	t.Helper()
	client := dynamodb.NewFromConfig(aws.Config{Region: "us-east-1", BaseEndpoint: &s.url, Credentials: s.Credentials("123456789012")})
	_, err := client.CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName: aws.String("other"), BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("key"), AttributeType: types.ScalarAttributeTypeS}},
		KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("key"), KeyType: types.KeyTypeHash}},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// undated leaves out the times of log lines in JSON.
func undated(text string) string {
	lines := strings.SplitAfter(text, "\n")
	for i, each := range lines {
		if before, after, ok := strings.Cut(each, `"ts":"`); ok {
			_, after, _ = strings.Cut(after, `",`)
			lines[i] = before + after
		}
	}
	return strings.Join(lines, "")
}

// TestAnActionsNameIsAQuotas: a quota by its action's name is that of the operation, and the log says so. Times in the
// log have units.
func TestAnActionsNameIsAQuotas(t *testing.T) {
	s := newSite(t)
	s.environment(t, "RESCIND_QUOTAS=batch:CancelJob=1/1", "RESCIND_LOG_FORMAT=json")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	log := &until{text: "quotas in force", then: cancel}
	if code := run(ctx, []string{"worker"}, streams{strings.NewReader(""), log, log}); code != exitDone {
		t.Errorf("exit %d", code)
	}
	for _, says := range []string{`"RESCIND_QUOTAS":"batch:CancelJobs=1/1"`, `"within":"25s"`} {
		if !strings.Contains(log.String(), says) {
			t.Errorf("it does not say %s: %s", says, log.String())
		}
	}
}

// until is a writer that calls then once it has got a text.
type until struct {
	mu   sync.Mutex
	all  strings.Builder
	text string
	then func()
}

// Write implements io.Writer.
func (u *until) Write(b []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	_, _ = u.all.Write(b) // it never fails
	if strings.Contains(u.all.String(), u.text) {
		u.then()
	}
	return len(b), nil
}

func (u *until) String() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.all.String()
}
