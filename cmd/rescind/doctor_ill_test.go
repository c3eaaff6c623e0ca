package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/internal/awssim/iam"
	"github.com/rescindhq/rescind/internal/awssim/servicequotas"
	"github.com/rescindhq/rescind/worker/buildinfo"
	"github.com/rescindhq/rescind/worker/doctor"
	"github.com/rescindhq/rescind/worker/ledger/bolt"
)

// illness is what may be wrong with a deployment, and the line that says it.
type illness struct {
	name     string
	make     func(*clinic)
	settings []string // over those of the deployment
	args     []string
	check    string
	result   doctor.Result
	says, do string
}

const lets = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["SQS:Send*"],"Resource":"*",`

// illnesses are one by one: of each deployment nothing else is to be mended or warned of.
func illnesses() []illness {
	set := func(url func(*clinic) string, name, value string) func(*clinic) {
		return func(c *clinic) { c.set(url(c), name, value) }
	}
	queue := func(c *clinic) string { return c.queue }
	dead := func(c *clinic) string { return c.dead() }
	states := func(c *clinic) string { return c.states }
	return slices.Concat([]illness{
		{name: "commands are deleted soon", make: set(queue, "MessageRetentionPeriod", "3600"), check: "queue retention", result: doctor.Warning,
			says: "stores messages for 1h0m0s: SQS deletes commands", do: "MessageRetentionPeriod=1209600"},
		{name: "dead letters are deleted before they come", make: set(dead, "MessageRetentionPeriod", "86400"), check: "dead-letter retention", result: doctor.Mend,
			says: "stores messages for 1 day, and the queue for 4 days", do: "commands-dlq --attributes MessageRetentionPeriod=1209600"},
		{name: "dead letters are stored as long as commands", make: set(dead, "MessageRetentionPeriod", "345600"), check: "dead-letter retention", result: doctor.Warning, says: "as the queue does"},
		{name: "few receives", make: func(c *clinic) {
			c.set(c.queue, "RedrivePolicy", `{"maxReceiveCount":2,"deadLetterTargetArn":"`+c.QueueARN("commands-dlq")+`"}`)
		}, check: "queue redrive", result: doctor.Warning, says: "SQS gives up on a message after few receives, and a worker that dies uses one up (maxReceiveCount 2)", do: "raise maxReceiveCount to 5"},
		{name: "no redrive policy", make: func(c *clinic) {
			c.settings("RESCIND_DLQ_URL="+c.dead(), "RESCIND_QUEUE_URL="+c.url+"/123456789012/bare")
		},
			check: "queue redrive", result: doctor.Warning, says: "the queue has no redrive policy", do: "maxReceiveCount 5"},
		{name: "no dead-letter queue", make: func(c *clinic) { c.settings("RESCIND_QUEUE_URL=" + c.url + "/123456789012/bare") },
			check: "queue", result: doctor.Mend, says: "which has no dead-letter queue: give it a redrive policy"},
		{name: "a dead letter", make: func(c *clinic) { c.must(c.Send("commands-dlq", "{}")) }, check: "dead-letter queue", result: doctor.Warning, says: "it has about 1 message", do: "\n  rescind dlq list"},
		{name: "dead letters are moved on", make: func(c *clinic) {
			c.set(c.dead(), "RedrivePolicy", `{"maxReceiveCount":5,"deadLetterTargetArn":"`+c.QueueARN("bare")+`"}`)
		}, check: "dead-letter redrive", result: doctor.Warning, says: "rescind dlq refuses it", do: "RedrivePolicy="},
		{name: "not encrypted", make: set(queue, "SqsManagedSseEnabled", "false"), check: "queue encryption", result: doctor.Warning, says: "not encrypted", do: "SqsManagedSseEnabled=true"},
		{name: "a key of one's own", make: set(queue, "KmsMasterKeyId", "alias/mine"), check: "queue encryption", result: doctor.Good, says: "kms:GenerateDataKey and kms:Decrypt to the worker, to who sends, and to SNS or EventBridge"},
		{name: "events and a key of one's own", make: set(states, "KmsMasterKeyId", "alias/mine"), check: "state queue encryption", result: doctor.Unknown, says: "whether EventBridge may use it", do: "events.amazonaws.com"},
		{name: "events and AWS's key", make: set(states, "KmsMasterKeyId", "alias/aws/sqs"), check: "state queue encryption", result: doctor.Mend, says: "EventBridge may not use", do: "SqsManagedSseEnabled=true"},

		{name: "anybody may send", make: set(queue, "Policy", lets+`"Principal":"*"}]}`), check: "queue senders", result: doctor.Mend, says: "anybody on the internet may send, by its policy: anybody (*)", do: "aws:PrincipalOrgID"},
		{name: "anybody may send, in another form", make: set(queue, "Policy", lets+`"Principal":{"AWS":["*"]}}]}`), check: "queue senders", result: doctor.Mend, says: "anybody (*)"},
		{name: "anybody but one may send", make: set(queue, "Policy", lets+`"NotPrincipal":{"AWS":"arn:aws:iam::210987654321:root"}}]}`), check: "queue senders", result: doctor.Mend, says: "all but some"},
		{name: "anybody may send, and is denied it", make: set(queue, "Policy", lets+`"Principal":"*"},{"Effect":"Deny","Principal":"*","Action":"sqs:*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":false}}}]}`),
			check: "queue senders", result: doctor.Warning, says: "and denies it to some"},
		{name: "anybody of the organisation may send", make: set(queue, "Policy", lets+`"Principal":"*","Condition":{"StringEquals":{"aws:PrincipalOrgID":"o-1"}}}]}`),
			check: "queue senders", result: doctor.Good, says: "anybody (*) if aws:PrincipalOrgID StringEquals o-1"},
		{name: "one may send, anybody may look", make: set(queue, "Policy", lets+`"Principal":{"AWS":"arn:aws:iam::210987654321:role/guard"}},{"Effect":"Allow","Principal":"*","Action":"sqs:GetQueueUrl","Resource":"*"}]}`),
			check: "queue senders", result: doctor.Good, says: "arn:aws:iam::210987654321:role/guard; and by the IAM policies"},
		{name: "a policy that is none", make: set(queue, "Policy", "{"), check: "queue senders", result: doctor.Unknown, says: "policy cannot be read", do: "look at"},
		{name: "events may not come", make: set(states, "Policy", ""), check: "state queue senders", result: doctor.Mend, says: "does not let events.amazonaws.com send", do: "rescind iam state-queue"},
		{name: "events may come from others", make: set(states, "Policy", lets+`"Principal":{"Service":"events.amazonaws.com"}}]}`), check: "state queue senders", result: doctor.Warning, says: "can make outcomes say", do: "rescind iam state-queue"},
	}, illTopics(), illLedgers(), illElsewhere())
}

func illTopics() []illness {
	subscribe := func(c *clinic, in *sns.SubscribeInput) {
		in.TopicArn = &c.topic
		_, err := sns.NewFromConfig(c.Config()).Subscribe(c.Context(), in)
		c.must(err)
	}
	return []illness{
		{name: "no topic", settings: []string{"RESCIND_RESULTS_TOPIC_ARN=arn:aws:sns:us-east-1:123456789012:nowhere"}, check: "topic", result: doctor.Mend, says: "SNS knows no such topic: create it"},
		{name: "nobody reads", make: func(c *clinic) {
			topic, err := c.CreateTopic("silent")
			c.must(err)
			c.settings("RESCIND_RESULTS_TOPIC_ARN=" + topic)
		}, check: "subscriptions", result: doctor.Warning, says: "nobody reads the outcomes", do: "aws sns subscribe"},
		{name: "outcomes come back", make: func(c *clinic) {
			subscribe(c, &sns.SubscribeInput{Protocol: aws.String("sqs"), Endpoint: aws.String(c.QueueARN("commands"))})
		}, check: "subscriptions", result: doctor.Mend, says: "subscribed to the command queue arn:aws:sqs:us-east-1:123456789012:commands", do: "aws sns unsubscribe --subscription-arn arn:aws:sns:"},
		{name: "not confirmed", make: func(c *clinic) {
			subscribe(c, &sns.SubscribeInput{Protocol: aws.String("email"), Endpoint: aws.String("audit@example.com")})
		}, check: "subscriptions", result: doctor.Warning, says: "1 subscription not confirmed"},
	}
}

func illLedgers() []illness {
	bare := func(c *clinic) { // a table with nothing but the layout
		def := func(name string) types.AttributeDefinition {
			return types.AttributeDefinition{AttributeName: &name, AttributeType: types.ScalarAttributeTypeS}
		}
		keys := func(name string) []types.KeySchemaElement {
			return []types.KeySchemaElement{{AttributeName: &name, KeyType: types.KeyTypeHash}}
		}
		index := func(name string) types.GlobalSecondaryIndex {
			return types.GlobalSecondaryIndex{IndexName: &name, KeySchema: keys(name), Projection: &types.Projection{ProjectionType: types.ProjectionTypeKeysOnly}}
		}
		table := aws.String("bare")
		_, err := c.tables().CreateTable(c.Context(), &dynamodb.CreateTableInput{
			TableName: table, BillingMode: types.BillingModePayPerRequest, KeySchema: keys("id"),
			AttributeDefinitions:   []types.AttributeDefinition{def("id"), def("campaign"), def("target")},
			GlobalSecondaryIndexes: []types.GlobalSecondaryIndex{index("campaign"), index("target")},
		})
		c.must(err)
		_, err = c.tables().UpdateTable(c.Context(), &dynamodb.UpdateTableInput{TableName: table, DeletionProtectionEnabled: aws.Bool(true)})
		c.must(err)
		_, err = c.tables().UpdateContinuousBackups(c.Context(), &dynamodb.UpdateContinuousBackupsInput{
			TableName: table, PointInTimeRecoverySpecification: &types.PointInTimeRecoverySpecification{PointInTimeRecoveryEnabled: aws.Bool(true)},
		})
		c.must(err)
	}
	return []illness{
		{name: "not protected", make: func(c *clinic) { c.protect(false) }, check: "ledger protection", result: doctor.Warning, says: "can be deleted by mistake", do: "--deletion-protection-enabled"},
		{name: "not to be restored", make: func(c *clinic) { c.recover(false) }, check: "ledger recovery", result: doctor.Warning, says: "cannot be restored", do: "aws dynamodb update-continuous-backups --table-name ledger"},
		{name: "nothing expires", make: bare, settings: []string{"RESCIND_LEDGER=dynamodb:bare"}, check: "ledger expiry", result: doctor.Warning, says: "never deleted", do: "AttributeName=expires"},
		{name: "no table", settings: []string{"RESCIND_LEDGER=dynamodb:nowhere"}, check: "ledger", result: doctor.Mend, says: "there is no such table", do: "make it:\n  aws dynamodb create-table --table-name nowhere"},
		{name: "a table of another key", make: func(c *clinic) { makeOtherTable(c.T, c.site) }, settings: []string{"RESCIND_LEDGER=dynamodb:other"}, check: "ledger", result: doctor.Mend, says: "its key is not id"},
		{name: "a file that is not there yet", make: func(c *clinic) { c.settings("RESCIND_LEDGER=bolt:" + c.dir + "/new.db") }, check: "ledger", result: doctor.Good, says: "a worker makes it"},
		{name: "a file in no directory", make: func(c *clinic) { c.settings("RESCIND_LEDGER=bolt:" + c.dir + "/nowhere/new.db") }, check: "ledger", result: doctor.Mend, says: "make its directory"},
		{name: "a file of something else", make: func(c *clinic) { c.settings("RESCIND_LEDGER=bolt:" + c.dir + "/notes.txt") }, check: "ledger", result: doctor.Mend, says: "it is no ledger file"},
		{name: "a file that nobody has open", make: func(c *clinic) { c.settings("RESCIND_LEDGER=bolt:" + c.file(false)) }, check: "ledger", result: doctor.Good, says: "no worker has it open"},
		{name: "a file that a worker has open", make: func(c *clinic) { c.settings("RESCIND_LEDGER=bolt:" + c.file(true)) }, check: "ledger", result: doctor.Good, says: "a worker has it open"},
	}
}

// file makes a ledger's file, and opens it for as long as the test runs, or closes it.
func (c *clinic) file(open bool) string {
	c.Helper()
	l, err := bolt.Open(c.dir+"/there.db", bolt.Options{NoSync: true})
	c.must(err)
	if open {
		c.Cleanup(func() { c.must(l.Close()) })
	} else {
		c.must(l.Close())
	}
	return c.dir + "/there.db"
}

const doctorUser = "arn:aws:iam::123456789012:user/rescind"

// without gives the user the worker's policy without an action.
func without(action string) func(*clinic) {
	return func(c *clinic) { c.PutPolicy(doctorUser, c.policyWithout(action)) }
}

// policyWithout is what "rescind iam worker" prints, but for an action; "" leaves none out.
func (c *clinic) policyWithout(action string) *iam.Policy {
	c.Helper()
	code, policy, complaints := ran(c.T, "", "iam", "worker", "--redrive-arn", c.QueueARN("commands-dlq"))
	if code != exitDone || !strings.Contains(policy, `"`+action) {
		c.Fatal(complaints, policy)
	}
	return c.policy(strings.ReplaceAll(policy, `"`+action+`"`, `"iam:GetUser"`))
}

func illElsewhere() []illness {
	return []illness{
		{name: "all of its policy", make: without(""), check: "permissions", result: doctor.Good, says: "of rescind iam worker are allowed"},
		{name: "may not delete", make: without("sqs:DeleteMessage"), check: "permissions", result: doctor.Mend, says: "sqs:DeleteMessage on arn:aws:sqs:us-east-1:123456789012:commands is not allowed (implicitDeny)", do: "rescind iam worker"},
		{name: "may not read quotas", make: without("servicequotas:ListServiceQuotas"), check: "permissions", result: doctor.Warning, says: "servicequotas:ListServiceQuotas on * is not allowed (implicitDeny); a worker does without"},
		{name: "may not stop jobs", make: without("batch:TerminateJob"), check: "permissions", result: doctor.Mend, says: "batch:TerminateJob on arn:aws:batch:us-east-1:123456789012:job/* is not allowed"},
		{name: "may not stop jobs, and need not", make: without("batch:TerminateJob"), args: []string{"--services=emr,iot"}, check: "permissions", result: doctor.Good, says: "are allowed"},
		{name: "a role that may not send", make: func(c *clinic) {
			without("sqs:DeleteMessage")(c)
			p := c.policyWithout("")
			p.Statement = append(p.Statement, iam.Statement{Effect: "Deny", Action: []string{"sqs:SendMessage"}, Resource: []string{"*"}})
			c.PutPolicy("arn:aws:iam::123456789012:role/worker", p)
		}, args: []string{"--worker-role=arn:aws:iam::123456789012:role/worker"}, check: "permissions", result: doctor.Mend, says: "sqs:SendMessage on arn:aws:sqs:us-east-1:123456789012:commands-dlq is not allowed (explicitDeny)"},
		{name: "a role elsewhere", settings: []string{"RESCIND_ROLE=arn:aws:iam::{account}:role/rescind"}, check: "permissions elsewhere", result: doctor.Unknown, says: "which other accounts", do: "rescind iam target-account-role"},

		{name: "more than the account's quota", settings: []string{"RESCIND_QUOTAS=emr:CancelSteps=50/50"}, check: "quotas", result: doctor.Warning, says: "RESCIND_QUOTAS sets emr:CancelSteps=50/50, and the account has 7/9", do: "lower it"},
		{name: "more calls a second than the account's quota", settings: []string{"RESCIND_QUOTAS=emr:CancelSteps=8/9"}, check: "quotas", result: doctor.Warning, says: "sets emr:CancelSteps=8/9, and the account has 7/9"},
		{name: "more than what AWS publishes", settings: []string{"RESCIND_QUOTAS=iot:CancelJob=5000"}, check: "quotas", result: doctor.Warning, says: "and AWS publishes"},
		{name: "less than the account's quota", settings: []string{"RESCIND_QUOTAS=emr:CancelSteps=7/9"}, check: "quotas", result: doctor.Good, says: "in force: 1 by RESCIND_QUOTAS"},

		{name: "a misspelt variable", settings: []string{"RESCIND_LEDGR=x"}, check: "settings", result: doctor.Mend, says: "did you mean RESCIND_LEDGER?"},
		{name: "no ledger of that kind", settings: []string{"RESCIND_LEDGER=redis:x"}, check: "ledger", result: doctor.Mend, says: "RESCIND_LEDGER must be bolt:PATH or dynamodb:TABLE"},
		{name: "no worker", make: func(c *clinic) { c.settings("RESCIND_ADMIN_ADDR=" + freeAddress(c.T)) }, check: "worker", result: doctor.Unknown, says: "no worker answers there", do: "--admin-addr"},
	}
}

// TestDoctor: each illness has its line, and no other is said.
func TestDoctor(t *testing.T) {
	for _, each := range illnesses() {
		t.Run(each.name, func(t *testing.T) {
			c := newClinic(t, func(o *awssim.Options) {
				o.ServiceQuotas = []servicequotas.Quota{
					{Region: "us-east-1", Service: "elasticmapreduce", Code: "L-A90C264E", Value: 7}, {Region: "us-east-1", Service: "elasticmapreduce", Code: "L-815103CB", Value: 9},
				}
			})
			c.settings(each.settings...)
			if each.make != nil {
				each.make(c)
			}
			code, lines := examined(t, each.args...)
			c.hasLine(lines, each)
			for _, line := range ill(lines) {
				if line.Check != each.check || line.Result != each.result {
					t.Errorf("it also says %+v", line)
				}
				if line.Do == "" {
					t.Errorf("it does not say what to do: %+v", line)
				}
			}
			if (each.result == doctor.Mend) != (code == exitFailed) || code == exitMisused {
				t.Errorf("exit %d", code)
			}
			fits80(t, lines)
			if _, err := os.Stat(c.dir + "/new.db"); err == nil {
				t.Error("it has made a file")
			}
			for _, r := range c.History() {
				if r.Caller == "doctor" && r.Status == 200 && !strings.HasPrefix(r.Operation, "Get") && !strings.HasPrefix(r.Operation, "List") && !strings.HasPrefix(r.Operation, "Describe") && r.Operation != "SimulatePrincipalPolicy" {
					t.Errorf("it has called %s:%s", r.Service, r.Operation)
				}
			}
		})
	}
}

func (c *clinic) hasLine(lines []doctor.Line, want illness) {
	c.Helper()
	if !slices.ContainsFunc(lines, func(l doctor.Line) bool {
		return l.Check == want.check && l.Result == want.result && strings.Contains(l.Says, want.says) && strings.Contains(l.Do, want.do)
	}) {
		c.Errorf("%s: no line is %s, %s, %q, %q:", want.name, want.check, want.result, want.says, want.do)
		for _, line := range lines {
			c.Errorf("  %+v", line)
		}
	}
}

// TestDoctorOfASession: of the session of a role, the role's policies are asked about, by the ARN that has its path.
func TestDoctorOfASession(t *testing.T) {
	c := newClinic(t)
	const role = "arn:aws:iam::123456789012:role/teams/night/worker"
	c.PutPolicy(role, c.policyWithout("swf:TerminateWorkflowExecution"))
	out, err := sts.NewFromConfig(c.Config()).AssumeRole(t.Context(), &sts.AssumeRoleInput{RoleArn: aws.String(role), RoleSessionName: aws.String("night")})
	c.must(err)
	c.settings("AWS_ACCESS_KEY_ID="+*out.Credentials.AccessKeyId, "AWS_SESSION_TOKEN=x")
	code, lines := examined(t)
	c.hasLine(lines, illness{check: "permissions", result: doctor.Mend, says: "swf:TerminateWorkflowExecution on arn:aws:swf:"})
	if code != exitFailed || len(ill(lines)) != 1 || ill(lines)[0].Subject != role {
		t.Errorf("exit %d: %+v", code, ill(lines))
	}
	// Without iam:GetRole its ARN is taken for one without a path.
	defer c.Break(awssim.Failure{Service: "iam", Operation: "GetRole", Kind: awssim.Denied})()
	_, lines = examined(t)
	c.hasLine(lines, illness{check: "permissions", result: doctor.Good})
}

// TestDoctorsClock compares this machine's clock with the Date of an answer.
func TestDoctorsClock(t *testing.T) {
	c := newClinic(t)
	for _, row := range []struct {
		off    time.Duration
		result doctor.Result
		says   string
	}{
		{0, doctor.Good, "within a minute"}, {-30 * time.Second, doctor.Good, "within a minute"},
		{-2 * time.Minute, doctor.Warning, "2m0s ahead of"}, {2 * time.Minute, doctor.Warning, "2m0s behind"}, {-time.Hour, doctor.Mend, "1h0m0s ahead of"},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Date", time.Now().Add(row.off).UTC().Format(http.TimeFormat))
			c.Handler().ServeHTTP(w, r)
		}))
		c.settings("AWS_ENDPOINT_URL=" + server.URL)
		_, lines := examined(t)
		server.Close()
		i := slices.IndexFunc(lines, func(l doctor.Line) bool { return l.Check == "clock" })
		said := strings.NewReplacer("1m59s", "2m0s", "2m1s", "2m0s", "59m59s", "1h0m0s", "1h0m1s", "1h0m0s").Replace(lines[i].Says) // Date has whole seconds
		if lines[i].Result != row.result || !strings.Contains(said, row.says) || row.result != doctor.Good && !strings.Contains(lines[i].Do, "NTP") {
			t.Errorf("%s off: %+v", row.off, lines[i])
		}
	}
}

// TestDoctorOfAWorker: what a worker says of itself, of which the version is another.
func TestDoctorOfAWorker(t *testing.T) {
	c := newClinic(t)
	ready, status := "not ready\nname default; queues "+c.queue+"\nstops all: results topic does not get through\n", http.StatusServiceUnavailable
	metrics := `rescind_build_info{goversion="go1.26.0",revision="abc",version="v0.0.1"} 1` + "\n"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/metrics" {
			_, _ = w.Write([]byte(metrics))
			return
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(ready))
	}))
	defer server.Close()
	address := strings.TrimPrefix(server.URL, "http://")
	c.settings("RESCIND_ADMIN_ADDR=" + address)
	_, lines := examined(t)
	c.hasLine(lines, illness{check: "worker version", result: doctor.Warning, says: "version v0.0.1, commit abc, and this binary is", do: "rescind version"})
	c.hasLine(lines, illness{check: "worker", result: doctor.Mend, says: "it is not ready: stops all: results topic does not get through", do: "curl http://" + address + "/readyz"})
	metrics = `rescind_build_info{goversion="go1.26.0",revision="` + buildinfo.Read().Commit + `",version="v0.0.1"} 1` + "\n"
	_, lines = examined(t)
	c.hasLine(lines, illness{check: "worker version", result: doctor.Warning, says: "version v0.0.1"})
	ready, status = "ready\nname default; queues http://elsewhere/1/q\n", http.StatusOK
	_, lines = examined(t)
	c.hasLine(lines, illness{check: "worker", result: doctor.Warning, says: "it takes no commands from " + c.queue})
	metrics = "up 1\n"
	_, lines = examined(t)
	c.hasLine(lines, illness{check: "worker", result: doctor.Unknown, says: "no worker of rescind"})
}

// TestDoctorMisused: what is wrong with the doctor's own flags.
func TestDoctorMisused(t *testing.T) {
	newClinic(t)
	for flag, says := range map[string]string{
		"--services=bacth": "did you mean batch?", "--worker-role=worker": "must be the ARN of a role or a user",
		"--worker-role=arn:aws:sts::123456789012:assumed-role/worker/night": "must be the ARN", "--fast": "unknown flag",
	} {
		if code, out, complaints := ran(t, "", "doctor", flag); code != exitMisused || out != "" || !strings.Contains(complaints, says) {
			t.Errorf("%s: exit %d, %q, %q", flag, code, out, complaints)
		}
	}
}
