package main

import (
	"encoding/json"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/internal/awssim/iam"
	"github.com/rescindhq/rescind/internal/terminal"
	"github.com/rescindhq/rescind/worker/doctor"
	"github.com/rescindhq/rescind/worker/ledger/dynamo"
)

// clinic is a site with a deployment of which nothing is to be said.
type clinic struct {
	*site
	*testing.T
	states, reader string // URLs
}

func newClinic(t *testing.T, more ...func(*awssim.Options)) *clinic {
	t.Helper()
	c := &clinic{site: newSite(t, more...), T: t}
	var err error
	c.reader, err = c.CreateQueue("reader", nil)
	c.must(err)
	_, err = c.Subscribe(c.topic, "reader", true)
	c.must(err)
	c.states, err = c.CreateQueue("states", nil)
	c.must(err)
	c.environment(t, "RESCIND_STATE_QUEUE_URL="+c.states)
	code, policy, complaints := ran(t, "", "iam", "state-queue", "--rule-arn", iamRule)
	if code != exitDone {
		t.Fatal(complaints)
	}
	c.set(c.states, "Policy", policy)
	c.must(dynamo.CreateTable(t.Context(), c.Config(), "ledger"))
	c.protect(true)
	c.recover(true)
	c.settings()
	return c
}

func (c *clinic) must(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
}

// settings sets the environment of a worker of this deployment, and then more.
func (c *clinic) settings(more ...string) {
	c.Helper()
	c.environment(c.T, append([]string{"RESCIND_LEDGER=dynamodb:ledger", "RESCIND_STATE_QUEUE_URL=" + c.states, "AWS_ACCESS_KEY_ID=doctor"}, more...)...)
}

// set sets an attribute of a queue.
func (c *clinic) set(url, name, value string) {
	c.Helper()
	_, err := sqs.NewFromConfig(c.Config()).SetQueueAttributes(c.Context(), &sqs.SetQueueAttributesInput{QueueUrl: &url, Attributes: map[string]string{name: value}})
	c.must(err)
}

func (c *clinic) dead() string { return c.url + "/123456789012/commands-dlq" }

func (c *clinic) tables() *dynamodb.Client {
	return dynamodb.NewFromConfig(c.Config(), func(o *dynamodb.Options) { o.DisableValidateResponseChecksum = true })
}

func (c *clinic) protect(on bool) {
	c.Helper()
	_, err := c.tables().UpdateTable(c.Context(), &dynamodb.UpdateTableInput{TableName: aws.String("ledger"), DeletionProtectionEnabled: &on})
	c.must(err)
}

func (c *clinic) recover(on bool) {
	c.Helper()
	_, err := c.tables().UpdateContinuousBackups(c.Context(), &dynamodb.UpdateContinuousBackupsInput{
		TableName: aws.String("ledger"), PointInTimeRecoverySpecification: &types.PointInTimeRecoverySpecification{PointInTimeRecoveryEnabled: &on},
	})
	c.must(err)
}

// policy parses a policy for the simulator's IAM.
func (c *clinic) policy(text string) *iam.Policy {
	c.Helper()
	p, err := iam.Parse([]byte(text))
	c.must(err)
	return p
}

// examined runs "rescind doctor --json".
func examined(t *testing.T, args ...string) (code int, lines []doctor.Line) {
	t.Helper()
	code, out, complaints := ran(t, "", append([]string{"doctor", "--json"}, args...)...)
	if err := json.Unmarshal([]byte(out), &lines); err != nil {
		t.Fatalf("exit %d, %q, %q: %v", code, out, complaints, err)
	}
	return code, lines
}

// ill are the lines that are not good.
func ill(lines []doctor.Line) []doctor.Line {
	return slices.DeleteFunc(slices.Clone(lines), func(l doctor.Line) bool { return l.Result == doctor.Good })
}

// freeAddress is an address that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// doctorReads are the permissions that deploy/OPERATIONS.md says are needed, besides sts:GetCallerIdentity, which needs none.
var doctorReads = []string{
	"dynamodb:DescribeContinuousBackups", "dynamodb:DescribeTable", "dynamodb:DescribeTimeToLive", "iam:GetRole", "iam:SimulatePrincipalPolicy",
	"servicequotas:ListServiceQuotas", "sns:GetTopicAttributes", "sns:ListSubscriptionsByTopic", "sqs:GetQueueAttributes", "sqs:GetQueueUrl",
}

// TestDoctorOfAHealthyDeployment: where nothing is wrong, every line is good, on a terminal of 80 columns too; and nothing was
// received or changed.
func TestDoctorOfAHealthyDeployment(t *testing.T) {
	c := newClinic(t)
	c.settings("RESCIND_ADMIN_ADDR="+freeAddress(t), "AWS_ACCESS_KEY_ID=worker")
	stop := startedWorker(t)
	t.Setenv("AWS_ACCESS_KEY_ID", "doctor")
	code, lines := examined(t)
	if code != exitDone || len(ill(lines)) > 0 {
		t.Errorf("exit %d: %+v", code, ill(lines))
	}
	var names []string
	for _, line := range lines {
		names = append(names, line.Check)
		if line.Do != "" || line.Says == "" {
			t.Errorf("of what is good it says %+v", line)
		}
	}
	want := "settings, credentials, region, clock, queue, queue retention, queue redrive, queue encryption, queue senders, " +
		"dead-letter queue, dead-letter retention, dead-letter encryption, dead-letter senders, " +
		"state queue, state queue retention, state queue encryption, state queue senders, topic, subscriptions, " +
		"ledger, ledger protection, ledger expiry, ledger recovery, permissions, quotas, worker version, worker"
	if got := strings.Join(names, ", "); got != want {
		t.Errorf("the checks are %s, want %s", got, want)
	}
	drawn := onTerminal(t, size{80, 60}, func(d *tty) {
		if code := d.run(t.Context(), "doctor"); code != exitDone {
			t.Errorf("exit %d", code)
		}
	})
	if !strings.Contains(strings.Join(drawn.lines, "\n"), "27 checks: 27 good, 0 warnings, 0 to mend, 0 unknown") {
		t.Errorf("drawn:\n%s", strings.Join(drawn.lines, "\n"))
	}
	stop()
	c.readsAlone(2)
}

// readsAlone holds what was asked, so many times, to reads, and to the permissions that the manual lists.
func (c *clinic) readsAlone(times int) {
	c.Helper()
	var actions []string
	identified := 0
	for _, r := range c.History() {
		if r.Caller != "doctor" {
			continue
		}
		if r.Operation == "GetCallerIdentity" {
			identified++
		}
		for _, a := range r.Accesses {
			actions = append(actions, a.Action)
			if !slices.Contains(doctorReads, a.Action) {
				c.Errorf("it has called %s:%s", r.Service, r.Operation)
			}
		}
	}
	if identified < times {
		c.Errorf("it has asked %d times who it is", identified)
	}
	slices.Sort(actions)
	if got := slices.Compact(actions); len(got) != len(doctorReads)-1 { // GetRole is for sessions of roles
		c.Errorf("it has needed %v", got)
	}
}

func TestDoctorsPermissionsAreInTheManual(t *testing.T) {
	manual, err := os.ReadFile("../../deploy/OPERATIONS.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, action := range doctorReads {
		if !strings.Contains(string(manual), action) {
			t.Errorf("deploy/OPERATIONS.md does not say that rescind doctor needs %s", action)
		}
	}
}

// TestDoctorWithoutAPermission: what may not be read is unknown, says which permission it needs, and keeps no other check from
// being made.
func TestDoctorWithoutAPermission(t *testing.T) {
	c := newClinic(t)
	for action, hidden := range map[string]int{ // how many good lines of a healthy deployment are not made then
		"sts:GetCallerIdentity": 2, "sqs:GetQueueAttributes": 13, "sqs:GetQueueUrl": 4, "sns:GetTopicAttributes": 1, "sns:ListSubscriptionsByTopic": 1,
		"dynamodb:DescribeTable": 4, "dynamodb:DescribeTimeToLive": 1, "dynamodb:DescribeContinuousBackups": 1,
		"iam:SimulatePrincipalPolicy": 1, "servicequotas:ListServiceQuotas": 1,
	} {
		t.Run(action, func(t *testing.T) {
			c.T = t
			c.settings()
			_, healthy := examined(t)
			service, operation, _ := strings.Cut(action, ":")
			defer c.Break(awssim.Failure{Service: service, Operation: operation, Kind: awssim.Denied})()
			code, lines := examined(t)
			named := false
			for _, line := range ill(lines) {
				if line.Result != doctor.Unknown || !strings.HasPrefix(line.Says, "not checked: ") || line.Do == "" {
					t.Errorf("it says %+v", line)
				}
				named = named || strings.Contains(line.Do, "allow "+action+" to")
			}
			if code != exitDone || !named {
				t.Errorf("exit %d, and it does not name %s: %+v", code, action, ill(lines))
			}
			if good := len(lines) - len(ill(lines)); good != len(healthy)-hidden {
				t.Errorf("%d are good, and %d of a healthy deployment: %+v", good, len(healthy), lines)
			}
		})
	}
}

// TestDoctorSaysWhatTheWorkerSays: what keeps a worker from starting is a line of the doctor's, in the same words, and nothing
// else is to be mended.
func TestDoctorSaysWhatTheWorkerSays(t *testing.T) {
	s := newSite(t)
	makeOtherTable(t, s)
	for _, each := range s.misconfigurations() {
		if slices.ContainsFunc(each.settings, func(setting string) bool {
			return strings.HasPrefix(setting, "RESCIND_ADMIN_ADDR=") || strings.HasPrefix(setting, "RESCIND_LOG_FORMAT=")
		}) {
			continue // the doctor does not listen there; and the worker logs JSON
		}
		t.Run(each.name, func(t *testing.T) {
			s.environment(t, each.settings...)
			s.SetFaults(each.fault)
			defer s.SetFaults(nil)
			_, _, said := ran(t, "", "worker")
			s.SetFaults(each.fault) // which are drawn anew
			code, lines := examined(t)
			told := 0
			for line := range strings.SplitSeq(said, "\n") {
				text, is := strings.CutPrefix(line, "rescind: ")
				if !is || strings.Contains(text, "has not started") {
					continue
				}
				text = clocks.ReplaceAllString(text, "")
				told++
				if !slices.ContainsFunc(ill(lines), func(l doctor.Line) bool {
					return strings.HasPrefix(text, clocks.ReplaceAllString(strings.TrimPrefix(l.Says, "not checked: "), ""))
				}) {
					t.Errorf("the worker says %q, and the doctor %+v", text, ill(lines))
				}
			}
			mend := slices.ContainsFunc(lines, func(l doctor.Line) bool { return l.Result == doctor.Mend })
			if told == 0 || mend != (code == exitFailed) || code == exitMisused {
				t.Errorf("exit %d, told %d: %+v", code, told, ill(lines))
			}
		})
	}
	for _, r := range s.History() {
		if r.Operation == "ReceiveMessage" || strings.HasPrefix(r.Operation, "Update") || strings.HasPrefix(r.Operation, "Set") {
			t.Errorf("it has called %s", r.Operation)
		}
	}
	if _, err := os.Stat(s.dir + "/ledger.db"); err == nil {
		t.Error("it has made the ledger's file")
	}
}

// clocks are times in what is said.
var clocks = regexp.MustCompile(`\d{4}-\d\d-\d\dT[0-9:.]+Z`)

// TestDoctorFitsATerminal holds lines about what is wrong to 80 columns, but for commands to paste.
func TestDoctorFitsATerminal(t *testing.T) {
	c := newClinic(t)
	c.set(c.queue, "MessageRetentionPeriod", "3600")
	c.set(c.states, "Policy", "")
	c.set(c.queue, "Policy", `{"Statement":{"Effect":"Allow","Principal":"*","Action":"sqs:*","Resource":"*"}}`)
	c.protect(false)
	c.settings("RESCIND_QUOTAS=emr:CancelSteps=500/500", "RESCIND_DRAIN=25")
	code, _, complaints := ran(t, "", "doctor")
	if code != exitFailed || !strings.Contains(complaints, "rescind: 3 checks to be mended") {
		t.Errorf("exit %d: %s", code, complaints)
	}
	_, lines := examined(t)
	drawn := fits80(t, lines)
	for _, says := range []string{"warning", "mend", "unknown", "do: store for four days", "  aws dynamodb update-table --table-name ledger --deletion-protection-enabled\n"} {
		if !strings.Contains(drawn, says) {
			t.Errorf("it does not say %q:\n%s", says, drawn)
		}
	}
}

func fits80(t *testing.T, lines []doctor.Line) string {
	t.Helper()
	var b strings.Builder
	printChecks(screen{Writer: &b, width: 80, colours: true}, lines)
	for line := range strings.Lines(b.String()) {
		isCommand := strings.HasPrefix(line, "  aws ") || strings.HasPrefix(line, "  rescind ")
		if n := terminal.Width(strings.TrimRight(line, "\n")); n > 80 && !isCommand {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	return b.String()
}
