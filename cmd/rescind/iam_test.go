package main

import (
	"context"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/internal/awssim/iam"
	"github.com/rescindhq/rescind/worker/ledger/dynamo"
	"github.com/rescindhq/rescind/worker/permissions"
)

const (
	iamQueue  = "https://sqs.us-east-1.amazonaws.com/123456789012/commands"
	iamRule   = "arn:aws:events:us-east-1:123456789012:rule/rescind-states"
	iamTopic  = "arn:aws:sns:us-east-1:123456789012:outcomes"
	iamWorker = "RESCIND_QUEUE_URL=" + iamQueue + " RESCIND_DLQ_URL=" + iamQueue + "-dlq RESCIND_RESULTS_TOPIC_ARN=" + iamTopic
)

// withVariables runs a command line such as "NAME=value iam worker" in an environment with a region and nothing else for
// rescind.
func withVariables(t *testing.T, line string) (code int, out, complaints string) {
	t.Helper()
	unconfigured(t)
	for _, name := range []string{"RESCIND_DLQ_URL", "RESCIND_STATE_QUEUE_URL", "RESCIND_LEDGER", "RESCIND_ROLE", "RESCIND_REGIONS", "RESCIND_NAME"} {
		t.Setenv(name, "")
		if err := os.Unsetenv(name); err != nil {
			t.Fatal(err)
		}
	}
	words := strings.Fields(line)
	for name, value, ok := strings.Cut(words[0], "="); ok; name, value, ok = strings.Cut(words[0], "=") {
		t.Setenv(name, value)
		words = words[1:]
	}
	return ran(t, "", words...)
}

// TestIAMPrintsPolicies holds what is printed to testdata/iam.txt, which -update writes anew: valid policies that are
// within IAM's limit, and the same each time.
func TestIAMPrintsPolicies(t *testing.T) {
	const golden = "testdata/iam.txt"
	var all strings.Builder
	for _, line := range []string{
		iamWorker + " RESCIND_LEDGER=dynamodb:rescind RESCIND_ROLE=arn:aws:iam::{account}:role/rescind iam worker",
		iamWorker + " iam worker --services batch --dry-run-only",
		iamWorker + " RESCIND_STATE_QUEUE_URL=" + iamQueue + "-states iam worker --services emr",
		"iam worker --services fsx,batch --region cn-north-1 --account 210987654321 --queue-url " + iamQueue + "," + iamQueue + "-too --redrive-arn arn:aws-cn:sqs:cn-north-1:123456789012:dead --topic-arn " + iamTopic,
		iamWorker + " RESCIND_REGIONS=us-east-1,eu-west-1 iam worker --services iot",
		iamWorker + " iam operator",
		"iam operator --queue-url " + iamQueue + " --redrive-arn arn:aws:sqs:us-east-1:123456789012:dead",
		iamWorker + " iam sender", iamWorker + " RESCIND_LEDGER=dynamodb:rescind iam sender",
		"iam auditor --account 123456789012 --ledger dynamodb:rescind",
		"iam target-account-role --services stepfunctions,swf", "iam target-account-role --services batch --other-accounts 210987654321",
		"RESCIND_STATE_QUEUE_URL=" + iamQueue + "-states iam state-queue --rule-arn " + iamRule,
		"RESCIND_NAME=night iam target-account-role --trust --worker-role arn:aws:iam::123456789012:role/rescind-worker",
	} {
		code, out, complaints := withVariables(t, line)
		if code != exitDone || complaints != "" {
			t.Errorf("%s: exit %d: %s", line, code, complaints)
			continue
		}
		if _, err := iam.Parse([]byte(out)); err != nil {
			t.Errorf("%s: %v", line, err)
		}
		if size := len(strings.Join(strings.Fields(out), "")); size > permissions.MaxSize {
			t.Errorf("%s: %d characters without white space, and IAM takes %d", line, size, permissions.MaxSize)
		}
		if _, again, _ := withVariables(t, line); again != out {
			t.Errorf("%s: another policy the second time", line)
		}
		all.WriteString("$ " + line + "\n" + out + "\n")
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
	if all.String() != string(want) {
		t.Errorf("%s is another (-update writes it anew):\n%s", golden, all.String())
	}
}

// TestIAMSaysWhatIsMissing: what is not known is not guessed.
func TestIAMSaysWhatIsMissing(t *testing.T) {
	for line, says := range map[string]string{
		"iam":                    "expected",
		"iam nobody":             "worker",
		"iam worker":             "no queue: set RESCIND_QUEUE_URL",
		"iam sender":             "no queue: set RESCIND_QUEUE_URL",
		"iam operator":           "no queue: set RESCIND_QUEUE_URL",
		"iam auditor":            "set --ledger (RESCIND_LEDGER) to dynamodb:TABLE",
		"AWS_REGION= iam sender": "no AWS region: set --region",
		"RESCIND_QUEUE_URL=" + iamQueue + " RESCIND_RESULTS_TOPIC_ARN=" + iamTopic + " iam worker":                                          "set --dlq-url (RESCIND_DLQ_URL), or --redrive-arn",
		"RESCIND_QUEUE_URL=" + iamQueue + " iam operator":                                                                                   "set --dlq-url (RESCIND_DLQ_URL), or --redrive-arn",
		"iam operator --queue-url " + iamQueue + " --redrive-arn arn:aws:sqs:us-east-1:123456789012:a,arn:aws:sqs:us-east-1:123456789012:b": "that of the first queue alone",
		"RESCIND_QUEUE_URL=commands iam sender":                                                                                             "must be the URL of a standard SQS queue",
		"RESCIND_QUEUE_URL=https://sqs/123456789012/* iam sender":                                                                           "must be the URL of a standard SQS queue",
		iamWorker + " iam worker --state-queue-url states":                                                                                  "must be the URL of a standard SQS queue",
		iamWorker + " iam worker --topic-arn outcomes":                                                                                      "must be the ARN of an SNS topic",
		iamWorker + " iam worker --services bacth":                                                                                          "did you mean batch?",
		iamWorker + " iam worker --ledger redis:x":                                                                                          "RESCIND_LEDGER must be",
		iamWorker + " iam worker --role rescind":                                                                                            "RESCIND_ROLE must be the ARN",
		iamWorker + " iam worker --trust":                                                                                                   "--trust is for target-account-role",
		iamWorker + " iam worker --region us-*":                                                                                             "no AWS region",
		"iam auditor --ledger dynamodb:rescind":                                                                                             "set --account to its twelve digits",
		"iam target-account-role --other-accounts 12":                                                                                       "an account has twelve digits",
		"iam state-queue --rule-arn " + iamRule:                                                                                             "no state queue: set --state-queue-url",
		"iam state-queue --state-queue-url " + iamQueue:                                                                                     "set --rule-arn to the ARN",
		"iam state-queue --state-queue-url " + iamQueue + " --rule-arn rule/states":                                                         "--rule-arn must be the ARN",
		"iam state-queue --state-queue-url " + iamQueue + " --rule-arn " + iamRule + "*":                                                    "--rule-arn must be the ARN",
		"iam state-queue --state-queue-url states --rule-arn " + iamRule:                                                                    "must be the URL of a standard SQS queue",
		"iam target-account-role --trust":                                                                                                   "--worker-role must be the ARN",
	} {
		if code, out, complaints := withVariables(t, line); code != exitMisused || out != "" || !strings.Contains(complaints, says) {
			t.Errorf("%s: exit %d, %q, %q, want %q", line, code, out, complaints, says)
		}
	}
	many := strings.Repeat("xx-south-1,", 60) + "us-east-1"
	for i := range 60 {
		many = strings.Replace(many, "xx-south-1", "xx-south-"+string(rune('a'+i%26))+string(rune('a'+i/26)), 1)
	}
	if code, out, complaints := withVariables(t, iamWorker+" iam worker --regions "+many); code != exitFailed || out != "" || !strings.Contains(complaints, "some of the --services") {
		t.Errorf("60 regions: exit %d, %.100q, %q", code, out, complaints)
	}
}

// startedWorker runs "rescind worker" until stop, and returns when it takes commands.
func startedWorker(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	takes, ended := make(chan struct{}), make(chan int, 1)
	log := &until{text: "taking commands", then: sync.OnceFunc(func() { close(takes) })}
	go func() { ended <- run(ctx, []string{"worker"}, streams{strings.NewReader(""), log, log}) }()
	select {
	case <-takes:
	case code := <-ended:
		cancel()
		t.Fatalf("exit %d: %s", code, log.String())
	}
	return func() {
		cancel()
		if code := <-ended; code != exitDone {
			t.Errorf("exit %d: %s", code, log.String())
		}
	}
}

// TestIAMInTheWorkersEnvironment: what "rescind worker" and "rescind send --wait" ask of AWS is what "rescind iam" prints
// in their environment, letter for letter.
func TestIAMInTheWorkersEnvironment(t *testing.T) {
	s := newSite(t)
	if err := dynamo.CreateTable(t.Context(), s.Config(), "ledger"); err != nil {
		t.Fatal(err)
	}
	states, err := s.CreateQueue("states", nil)
	if err != nil {
		t.Fatal(err)
	}
	const execution = "arn:aws:states:us-east-1:123456789012:execution:machine:one"
	s.PutExecutions(awssim.Execution{ARN: execution})
	s.environment(t, "RESCIND_LEDGER=dynamodb:ledger", "RESCIND_STATE_QUEUE_URL="+states, "AWS_ACCESS_KEY_ID=worker")
	policies := map[string]*iam.Policy{}
	for _, role := range []string{"worker", "sender", "auditor"} {
		code, out, complaints := ran(t, "", "iam", role, "--redrive-arn", s.QueueARN("commands-dlq"), "--account", "123456789012")
		if code != exitDone {
			t.Fatalf("exit %d: %s", code, complaints)
		}
		var err error
		if policies[role], err = iam.Parse([]byte(out)); err != nil {
			t.Fatal(err)
		}
	}
	stop := startedWorker(t)
	t.Setenv("AWS_ACCESS_KEY_ID", "sender")
	if code, out, complaints := ran(t, "", "send", "--wait", "--action=batch:CancelJob", "-p", "jobId=job"); code != exitDone {
		t.Errorf("exit %d: %s%s", code, out, complaints)
	}
	if code, out, complaints := ran(t, "", "send", "--wait", "--confirm=1m", "--action=stepfunctions:StopExecution", "-p", "executionArn="+execution); code != exitDone {
		t.Errorf("exit %d: %s%s", code, out, complaints)
	}
	stop()
	asked, refused, events := map[string]int{}, 0, 0
	for _, record := range s.History() {
		for _, a := range record.Accesses {
			who := record.Caller
			if policies[who] == nil {
				continue // the test's own
			}
			asked[who]++
			if a.Action == "sqs:DeleteMessage" && a.Resource == s.QueueARN(states) {
				events++
			}
			if !policies[who].Allows(a) {
				t.Errorf("the policy of the %s does not allow %s on %s", who, a.Action, a.Resource)
			}
			if !policies["auditor"].Allows(a) {
				refused++
			}
		}
	}
	if asked["worker"] < 10 || asked["sender"] < 4 || refused == 0 || events == 0 {
		t.Errorf("requests needed %v, of which an auditor may not make %d, for %d events", asked, refused, events)
	}
}
