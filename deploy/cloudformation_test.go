package deploy

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/internal/awssim/iam"
	"github.com/rescindhq/rescind/worker/ledger/dynamo"
)

// core is the stack of core.yaml.
func core(t *testing.T, given map[string]any) *stack {
	t.Helper()
	return newStack(t, "rescind", "core.yaml", given, nil)
}

// workers is the stack of worker.yaml on that of core.yaml.
func workers(t *testing.T, given map[string]any) *stack {
	t.Helper()
	_, exported := core(t, nil).outputs()
	all := map[string]any{"Image": "registry.example/rescind:1", "VpcId": "vpc-1", "Subnets": []any{"subnet-1", "subnet-2"}}
	maps.Copy(all, given)
	return newStack(t, "rescind-workers", "worker.yaml", all, exported)
}

// everything is what is off by default.
var everything = map[string]any{
	"StateEvents": "true", "OtherAccountsRole": "rescind-canceller", "Quotas": "batch:TerminateJob=5/5",
	"KmsKeyArn": "arn:aws:kms:us-east-1:123456789012:key/1", "AlarmTopicArn": "arn:aws:sns:us-east-1:123456789012:alarms",
}

// printed runs rescind in an environment and no other, and returns what it prints.
func printed(t *testing.T, environment []string, arguments ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary(t), arguments...)
	cmd.Env = append([]string{"HOME=" + t.TempDir()}, environment...)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("rescind %v: %v\n%s", arguments, err, complaints.String())
	}
	return string(out)
}

// standard is the default of a flag of the worker.
func standard(t *testing.T, flag string) time.Duration {
	t.Helper()
	found := regexp.MustCompile(`--` + flag + `="(\w+)"`).FindStringSubmatch(printed(t, nil, "worker", "--help"))
	if found == nil {
		t.Fatalf("rescind worker --help does not say --%s", flag)
	}
	return duration(t, found[1])
}

func duration(t *testing.T, text string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func seconds(t *testing.T, value any) time.Duration {
	t.Helper()
	return duration(t, value.(string)+"s")
}

func text(t *testing.T, value any) []byte {
	t.Helper()
	out, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// same holds one document to another, whatever their order of members and lines.
func same(t *testing.T, what string, got, want []byte) {
	t.Helper()
	var a, b any
	if err := json.Unmarshal(got, &a); err != nil {
		t.Fatalf("%s: %v: %s", what, err, got)
	}
	if err := json.Unmarshal(want, &b); err != nil {
		t.Fatalf("%s: %v: %s", what, err, want)
	}
	if !reflect.DeepEqual(a, b) {
		t.Errorf("%s:\n%s\nwant:\n%s", what, got, want)
	}
}

// What preflight asks of the command queue, and what makes a dead-letter queue safe.
func TestQueues(t *testing.T) {
	for name, key := range map[string]string{"no key": "", "a key": "arn:aws:kms:us-east-1:123456789012:key/1"} {
		s := core(t, map[string]any{"KmsKeyArn": key})
		queues := []map[string]any{s.properties("Commands"), s.properties("DeadLetters")}
		commands, dead := queues[0], queues[1]
		for _, q := range queues {
			if q["FifoQueue"] != nil {
				t.Error("a FIFO queue")
			}
			own, custom := q["SqsManagedSseEnabled"], q["KmsMasterKeyId"]
			if key == "" && (own != "true" || custom != nil) || key != "" && (own != nil || custom != key) {
				t.Errorf("with %s, %s is encrypted by SQS: %v, by %v", name, q["QueueName"], own, custom)
			}
		}
		redrive := commands["RedrivePolicy"].(map[string]any)
		receives, err := strconv.Atoi(redrive["maxReceiveCount"].(string))
		if err != nil || receives < 3 {
			t.Errorf("the worker warns of %d receives (%v)", receives, err)
		}
		if redrive["deadLetterTargetArn"] != s.attribute("DeadLetters", "Arn") {
			t.Errorf("commands are moved to %s", redrive["deadLetterTargetArn"])
		}
		if dead["RedrivePolicy"] != nil {
			t.Error("rescind dlq refuses a dead-letter queue with a redrive policy")
		}
		allowed := map[string]any{"redrivePermission": "byQueue", "sourceQueueArns": []any{s.attribute("Commands", "Arn")}}
		if !reflect.DeepEqual(dead["RedriveAllowPolicy"], allowed) {
			t.Errorf("these may use the dead-letter queue: %v, want %v", dead["RedriveAllowPolicy"], allowed)
		}
		stored, storedDead := seconds(t, commands["MessageRetentionPeriod"]), seconds(t, dead["MessageRetentionPeriod"])
		if giveUp := standard(t, "give-up"); stored <= giveUp {
			t.Errorf("SQS deletes a command after %s, before the worker gives it up after %s", stored, giveUp)
		}
		if storedDead < stored+7*24*time.Hour {
			t.Errorf("a command that was moved after %s is in the dead-letter queue for %s", stored, storedDead-stored)
		}
	}
}

// Only who is named sends, whatever other policies allow.
func TestOnlyTheNamedSend(t *testing.T) {
	const (
		mine   = "arn:aws:iam::123456789012:role/"
		rule   = "arn:aws:events:us-east-1:123456789012:rule/budget"
		topic  = "arn:aws:sns:us-east-1:123456789012:deploys"
		worker = mine + "rescind-worker"
	)
	by := func(key, value string) map[string][]string { return map[string][]string{key: {value}} }
	for name, row := range map[string]struct {
		senders, sources []any
		send             map[string]bool
	}{
		"nobody":     {[]any{""}, []any{""}, map[string]bool{worker: true, mine + "guard": false, mine + "admin": false, rule: false, topic: false}},
		"two people": {[]any{mine + "guard", mine + "ops"}, []any{""}, map[string]bool{worker: true, mine + "guard": true, mine + "ops": true, mine + "admin": false, rule: false}},
		"sources":    {[]any{""}, []any{rule, topic}, map[string]bool{worker: true, mine + "guard": false, rule: true, topic: true, rule + "2": false}},
		"both":       {[]any{mine + "guard"}, []any{topic}, map[string]bool{worker: true, mine + "guard": true, mine + "admin": false, topic: true, rule: false}},
	} {
		s := core(t, map[string]any{"Senders": row.senders, "SenderSources": row.sources})
		p, err := iam.Parse(text(t, s.properties("CommandsPolicy")["PolicyDocument"]))
		if err != nil {
			t.Fatal(err)
		}
		if to := s.properties("CommandsPolicy")["Queues"]; !reflect.DeepEqual(to, []any{s.ref("Commands")}) {
			t.Errorf("the policy is that of %v", to)
		}
		for _, statement := range p.Statement {
			if slices.Contains(statement.Principal["AWS"], "*") && statement.Effect != "Deny" {
				t.Errorf("with %s, %s is for everybody", name, statement.Sid)
			}
		}
		// An administrator's own policy, with which everybody here asks.
		p.Statement = append(p.Statement, iam.Statement{Effect: "Allow", Action: []string{"*"}, Resource: []string{"*"}})
		for who, want := range row.send {
			key := "aws:PrincipalArn"
			if !strings.Contains(who, ":iam:") {
				key = "aws:SourceArn"
			}
			if got := p.Allows(iam.Access{Action: "sqs:SendMessage", Resource: s.attribute("Commands", "Arn"), Context: by(key, who)}); got != want {
				t.Errorf("with %s, %s may send: %t, want %t", name, who, got, want)
			}
			if !p.Allows(iam.Access{Action: "sqs:ReceiveMessage", Resource: s.attribute("Commands", "Arn"), Context: by(key, who)}) {
				t.Errorf("with %s, the policy denies more than sending", name)
			}
		}
	}
	s := core(t, nil)
	p, err := iam.Parse(text(t, s.properties("OutcomesPolicy")["PolicyDocument"]))
	if err != nil {
		t.Fatal(err)
	}
	p.Statement = append(p.Statement, iam.Statement{Effect: "Allow", Action: []string{"*"}, Resource: []string{"*"}})
	for who, want := range map[string]bool{worker: true, mine + "admin": false} {
		if got := p.Allows(iam.Access{Action: "sns:Publish", Resource: s.ref("Outcomes").(string), Context: by("aws:PrincipalArn", who)}); got != want {
			t.Errorf("%s may publish: %t, want %t", who, got, want)
		}
	}
	// They are allowed by a name, which must be that of the role in the other template.
	if got := workers(t, nil).attribute("WorkerRole", "Arn"); got != worker {
		t.Errorf("the workers' role is %s", got)
	}
}

// asked records what is asked of DynamoDB, by operation.
type asked struct {
	aws.HTTPClient
	bodies map[string]map[string]any
}

func (a *asked) Do(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	var decoded map[string]any
	if err := json.Unmarshal(body, &decoded); err != nil {
		return nil, err
	}
	a.bodies[operation] = decoded
	return a.HTTPClient.Do(r)
}

// The table is the one that the ledger makes itself, and guarded.
func TestTable(t *testing.T) {
	sim := awssim.New(awssim.Options{})
	t.Cleanup(func() {
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
	})
	cfg := sim.Config()
	a := &asked{cfg.HTTPClient, map[string]map[string]any{}}
	cfg.HTTPClient = a
	if err := dynamo.CreateTable(t.Context(), cfg, "rescind-ledger"); err != nil {
		t.Fatal(err)
	}
	s := core(t, nil)
	table := s.properties("Ledger")
	for name, want := range a.bodies["CreateTable"] {
		same(t, name, text(t, table[name]), text(t, want))
	}
	ttl := a.bodies["UpdateTimeToLive"]["TimeToLiveSpecification"].(map[string]any)
	ttl["Enabled"] = strconv.FormatBool(ttl["Enabled"].(bool))
	same(t, "time to live", text(t, table["TimeToLiveSpecification"]), text(t, ttl))

	recovery := table["PointInTimeRecoverySpecification"].(map[string]any)["PointInTimeRecoveryEnabled"]
	if recovery != "true" || table["DeletionProtectionEnabled"] != "true" {
		t.Errorf("point-in-time recovery %v, deletion protection %v", recovery, table["DeletionProtectionEnabled"])
	}
	if r := s.resource("Ledger"); r["DeletionPolicy"] != "Retain" || r["UpdateReplacePolicy"] != "Retain" {
		t.Error("the table goes with the stack")
	}
	made := slices.Sorted(maps.Keys(a.bodies["CreateTable"]))
	more := []string{"PointInTimeRecoverySpecification", "DeletionProtectionEnabled", "TimeToLiveSpecification"}
	if names := slices.Sorted(slices.Values(append(made, more...))); !slices.Equal(names, slices.Sorted(maps.Keys(table))) {
		t.Errorf("the table has %v, want %v", slices.Sorted(maps.Keys(table)), names)
	}
}

// container is the worker's, with its variables.
func container(t *testing.T, s *stack) (properties map[string]any, variables map[string]string) {
	t.Helper()
	all := s.properties("TaskDefinition")["ContainerDefinitions"].([]any)
	if len(all) != 1 {
		t.Fatalf("%d containers", len(all))
	}
	properties, variables = all[0].(map[string]any), map[string]string{}
	for _, each := range properties["Environment"].([]any) {
		each := each.(map[string]any)
		variables[each["Name"].(string)] = each["Value"].(string)
	}
	return properties, variables
}

func environment(variables map[string]string) (all []string) {
	for name, value := range variables {
		all = append(all, name+"="+value)
	}
	return all
}

func TestContainer(t *testing.T) {
	help := printed(t, nil, "worker", "--help")
	for name, given := range map[string]map[string]any{"as it is": nil, "everything": everything} {
		s := workers(t, given)
		c, variables := container(t, s)
		for variable, value := range variables {
			if strings.HasPrefix(variable, "RESCIND_") && !strings.Contains(help, "$"+variable+")") {
				t.Errorf("%s: the worker has no %s", name, variable)
			}
			if value == "" {
				t.Errorf("%s: %s is empty", name, variable)
			}
		}
		drain := standard(t, "drain")
		if own := variables["RESCIND_DRAIN"]; own != "" {
			drain = duration(t, own)
		}
		// ECS kills after 120 s at most on Fargate ("ContainerDefinition", ECS API Reference).
		if stop := seconds(t, c["StopTimeout"]); stop < drain+10*time.Second || stop > 120*time.Second {
			t.Errorf("%s: ECS kills the worker after %s, and it drains for %s", name, stop, drain)
		}
		if variables["RESCIND_LOG_FORMAT"] != "json" {
			t.Errorf("%s: the metric filters read JSON", name)
		}
		// What the worker is given is what core.yaml's own output says.
		values, _ := core(t, nil).outputs()
		for each := range strings.FieldsSeq(values["Environment"]) {
			if variable, value, _ := strings.Cut(each, "="); variables[variable] != value {
				t.Errorf("%s: %s is %s, and the output Environment says %s", name, variable, variables[variable], value)
			}
		}
	}
}

// Outputs are named after the worker's variables, and have their values.
func TestOutputs(t *testing.T) {
	_, variables := container(t, workers(t, everything))
	for _, s := range []*stack{core(t, nil), workers(t, everything)} {
		values, _ := s.outputs()
		for name, value := range values {
			if !strings.HasPrefix(name, "Rescind") {
				continue
			}
			variable, _ := s.sections["Outputs"].(map[string]any)[name].(map[string]any)["Description"].(string)
			if strings.ToLower(name) != strings.ReplaceAll(strings.ToLower(variable), "_", "") {
				t.Errorf("%s is said to be %s", name, variable)
			}
			if variables[variable] != value {
				t.Errorf("%s is %s, and the worker has %s", name, value, variables[variable])
			}
		}
	}
}

// The task role may do what "rescind iam" prints in the container's own environment: all of it, and nothing else.
func TestTaskRole(t *testing.T) {
	for name, given := range map[string]map[string]any{
		"as it is": nil, "everything": everything,
		"state events": {"StateEvents": "true"}, "other accounts": {"OtherAccountsRole": "rescind-canceller"},
	} {
		s := workers(t, given)
		role := s.properties("WorkerRole")
		policies := role["Policies"].([]any)
		if len(policies) != 1 || role["ManagedPolicyArns"] != nil {
			t.Fatalf("%s: the role has %d policies, and %v", name, len(policies), role["ManagedPolicyArns"])
		}
		_, variables := container(t, s)
		want := printed(t, environment(variables), "iam", "worker")
		same(t, name, text(t, policies[0].(map[string]any)["PolicyDocument"]), []byte(want))
		// Other policies are for a key alone.
		for _, each := range append(s.resources("AWS::IAM::Policy"), s.resources("AWS::IAM::ManagedPolicy")...) {
			for _, statement := range s.properties(each)["PolicyDocument"].(map[string]any)["Statement"].([]any) {
				statement := statement.(map[string]any)
				if statement["Resource"] != everything["KmsKeyArn"] || s.parameters["KmsKeyArn"] == "" {
					t.Errorf("%s: %s allows %v on %v", name, each, statement["Action"], statement["Resource"])
				}
			}
		}
	}
}

func TestStateQueue(t *testing.T) {
	for _, kind := range []string{"AWS::SQS::Queue", "AWS::SQS::QueuePolicy", "AWS::Events::Rule"} {
		if made := workers(t, nil).resources(kind); len(made) > 0 {
			t.Errorf("not asked for, there is %v", made)
		}
	}
	s := workers(t, everything)
	_, variables := container(t, s)
	want := printed(t, environment(variables), "iam", "state-queue", "--rule-arn", s.attribute("StatesRule", "Arn"))
	same(t, "the state queue's policy", text(t, s.properties("StatesPolicy")["PolicyDocument"]), []byte(want))

	rule := s.properties("StatesRule")
	documented := regexp.MustCompile(`(?s)--event-pattern '(\{.*?\})'`).FindSubmatch(operations(t))
	if documented == nil {
		t.Fatal("OPERATIONS.md has no event pattern")
	}
	same(t, "the rule's pattern", text(t, rule["EventPattern"]), documented[1])
	target := rule["Targets"].([]any)[0].(map[string]any)
	if target["Arn"] != s.attribute("States", "Arn") || s.properties("States")["SqsManagedSseEnabled"] != "true" {
		t.Errorf("the rule sends to %v, which is %v", target, s.properties("States"))
	}
}

func operations(t *testing.T) []byte {
	t.Helper()
	page, err := os.ReadFile("OPERATIONS.md")
	if err != nil {
		t.Fatal(err)
	}
	return page
}

// Two tasks for availability, up to four by CPU, and nothing follows the backlog.
func TestScaling(t *testing.T) {
	s := workers(t, nil)
	target := s.properties("Scaling")
	if count := s.properties("Service")["DesiredCount"]; count != "2" || target["MinCapacity"] != "2" || target["MaxCapacity"] != "4" {
		t.Errorf("%v tasks, from %v to %v", count, target["MinCapacity"], target["MaxCapacity"])
	}
	if id := target["ResourceId"]; id != "service/rescind/worker" {
		t.Errorf("what scales is %s", id)
	}
	policies := s.resources("AWS::ApplicationAutoScaling::ScalingPolicy")
	if len(policies) != 1 {
		t.Fatalf("scaling by %v", policies)
	}
	by := s.properties(policies[0])["TargetTrackingScalingPolicyConfiguration"].(map[string]any)["PredefinedMetricSpecification"].(map[string]any)
	if by["PredefinedMetricType"] != "ECSServiceAverageCPUUtilization" {
		t.Errorf("scaling by %v", by)
	}
}

// Each alarm has a line of what to do, watches what there is, and tells whom it should.
func TestAlarms(t *testing.T) {
	s := workers(t, everything)
	_, after, _ := bytes.Cut(operations(t), []byte("\n## Alarms\n"))
	section, _, _ := bytes.Cut(after, []byte("\n## "))
	_, exported := core(t, nil).outputs()
	made := map[string]bool{}
	for _, name := range s.resources("AWS::Logs::MetricFilter") {
		f := s.properties(name)
		of := f["MetricTransformations"].([]any)[0].(map[string]any)
		made[of["MetricNamespace"].(string)+" "+of["MetricName"].(string)] = true
		if f["LogGroupName"] != s.ref("Logs") {
			t.Errorf("%s reads %s", name, f["LogGroupName"])
		}
		for _, said := range regexp.MustCompile(`"\*([^"]+)"`).FindAllStringSubmatch(f["FilterPattern"].(string), -1) {
			if !bytes.Contains(operations(t), []byte(said[1]+"`")) {
				t.Errorf("%s looks for %q, which OPERATIONS.md does not have", name, said[1])
			}
		}
	}
	alarms := s.resources("AWS::CloudWatch::Alarm")
	if len(alarms) < 5 {
		t.Errorf("alarms %v", alarms)
	}
	for _, name := range alarms {
		a := s.properties(name)
		if line := "\n| `" + a["AlarmName"].(string) + "` |"; !bytes.Contains(section, []byte(line)) {
			t.Errorf("OPERATIONS.md has no line%s", line)
		}
		if !reflect.DeepEqual(a["AlarmActions"], []any{everything["AlarmTopicArn"]}) {
			t.Errorf("%s tells %v", name, a["AlarmActions"])
		}
		if none := workers(t, nil).properties(name)["AlarmActions"]; !reflect.DeepEqual(none, []any{}) {
			t.Errorf("%s tells %v, and nobody was named", name, none)
		}
		watched := []map[string]any{a}
		for _, each := range listOf(a["Metrics"]) {
			if stat, ok := each.(map[string]any)["MetricStat"].(map[string]any); ok {
				watched = append(watched, stat["Metric"].(map[string]any))
			}
		}
		for _, m := range watched {
			if space, ok := m["Namespace"].(string); ok && strings.HasPrefix(space, "Rescind/") && !made[space+" "+m["MetricName"].(string)] {
				t.Errorf("%s watches %s, which no filter makes", name, m["MetricName"])
			}
			for _, each := range listOf(m["Dimensions"]) {
				if each := each.(map[string]any); each["Name"] == "QueueName" && !slices.Contains(slices.Collect(maps.Values(exported)), each["Value"].(string)) {
					t.Errorf("%s watches the queue %s", name, each["Value"])
				}
			}
		}
	}
	var board struct{ Widgets []map[string]any }
	if err := json.Unmarshal([]byte(s.properties("Dashboard")["DashboardBody"].(string)), &board); err != nil || len(board.Widgets) < 5 {
		t.Errorf("the dashboard has %d widgets: %v", len(board.Widgets), err)
	}
}

func listOf(value any) []any {
	list, _ := value.([]any)
	return list
}
