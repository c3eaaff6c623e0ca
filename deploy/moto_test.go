package deploy

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/outcome"
)

// requirePeers names the variable that turns the skips of this file into failures, as in CI.
const requirePeers = "RESCIND_REQUIRE_PEERS"

// tool returns the path of a program that others wrote, or says aloud what is not tested without it.
func tool(t *testing.T, name, untested, get string) string {
	t.Helper()
	if os.Getenv(requirePeers) == "" {
		t.Skipf("skipped, not tested: %s; set %s=1", untested, requirePeers)
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is set, and there is no %s on the PATH: %s", requirePeers, name, get)
	}
	return path
}

func TestLintTemplates(t *testing.T) {
	lint := tool(t, "cfn-lint", "the templates by cfn-lint", "python3 -m pip install cfn-lint==1.51.0")
	templates, err := filepath.Glob("cloudformation/*.yaml")
	if err != nil || len(templates) != 2 {
		t.Fatalf("templates %v (%v)", templates, err)
	}
	if out, err := exec.CommandContext(t.Context(), lint, templates...).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("cfn-lint: %v\n%s", err, out)
	}
}

// cloud is AWS as moto has it, asked by the aws CLI.
type cloud struct {
	t        *testing.T
	cli, url string
}

// startMoto starts moto_server on loopback and returns it once it answers.
func startMoto(t *testing.T) *cloud {
	t.Helper()
	const untested = "the stacks on moto_server by the aws CLI, and a worker on what they made"
	server := tool(t, "moto_server", untested, "python3 -m pip install 'moto[server]==5.2.1'")
	cli := tool(t, "aws", untested, "python3 -m pip install 'awscli>=1.30', or AWS's own installer of version 2")
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	_ = l.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, server, "-H", "127.0.0.1", "-p", port)
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // it was killed
	})
	c := &cloud{t, cli, "http://127.0.0.1:" + port}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	c.until("moto_server answers", func() bool {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := client.Do(request)
		if err != nil {
			return false
		}
		_ = answer.Body.Close()
		return true
	})
	return c
}

// until asks again and again: there is no event to wait for.
func (c *cloud) until(what string, is func() bool) {
	c.t.Helper()
	for deadline := time.Now().Add(patience); !is(); {
		if time.Now().After(deadline) {
			c.t.Fatalf("waited for %s to see: %s", patience, what)
		}
		<-time.After(100 * time.Millisecond)
	}
}

// credentials and region, and nothing of this machine's own.
func (c *cloud) environment() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + c.t.TempDir(), "AWS_DEFAULT_REGION=" + region, "AWS_ACCESS_KEY_ID=AKIAANY", "AWS_SECRET_ACCESS_KEY=any",
		"AWS_EC2_METADATA_DISABLED=true", "AWS_PAGER=",
	}
}

// ask runs the aws CLI and decodes its answer; nil: there is none.
func (c *cloud) ask(answer any, arguments ...string) {
	c.t.Helper()
	var out, complaint bytes.Buffer
	// The endpoint is a flag, since version 1 does not read AWS_ENDPOINT_URL.
	cmd := exec.CommandContext(c.t.Context(), c.cli, append(arguments, "--endpoint-url", c.url, "--output", "json")...)
	cmd.Env, cmd.Stdout, cmd.Stderr = c.environment(), &out, &complaint
	if err := cmd.Run(); err != nil {
		c.t.Fatalf("aws %s: %v: %s", strings.Join(arguments, " "), err, complaint.String())
	}
	if answer == nil {
		return
	}
	if err := json.Unmarshal(out.Bytes(), answer); err != nil {
		c.t.Fatalf("aws %s says %q: %v", strings.Join(arguments, " "), out.String(), err)
	}
}

// create makes a stack of a template, as OPERATIONS.md has it, and returns its outputs.
func (c *cloud) create(name, template string, parameters map[string]string) map[string]string {
	c.t.Helper()
	arguments := []string{"cloudformation", "create-stack", "--stack-name", name, "--template-body", "file://cloudformation/" + template,
		"--capabilities", "CAPABILITY_NAMED_IAM", "--parameters"}
	for _, each := range slices.Sorted(maps.Keys(parameters)) {
		arguments = append(arguments, fmt.Sprintf(`ParameterKey=%s,ParameterValue="%s"`, each, parameters[each]))
	}
	c.ask(nil, arguments...)
	c.ask(nil, "cloudformation", "wait", "stack-create-complete", "--stack-name", name)
	var described struct {
		Stacks []struct {
			Outputs []struct{ OutputKey, OutputValue string }
		}
	}
	c.ask(&described, "cloudformation", "describe-stacks", "--stack-name", name)
	outputs := map[string]string{}
	for _, each := range described.Stacks[0].Outputs {
		outputs[each.OutputKey] = each.OutputValue
	}
	return outputs
}

// network is a VPC and its subnets, as parameters.
func (c *cloud) network() (vpc, subnets string) {
	c.t.Helper()
	var found struct {
		Subnets []struct{ VpcId, SubnetId string } //nolint:revive // AWS's name
	}
	c.ask(&found, "ec2", "describe-subnets")
	if len(found.Subnets) < 2 {
		c.t.Fatalf("moto has subnets %v", found.Subnets)
	}
	return found.Subnets[0].VpcId, found.Subnets[0].SubnetId + "," + found.Subnets[1].SubnetId
}

// variables are those of the container in the task definition that was made.
func (c *cloud) variables(family string) map[string]string {
	c.t.Helper()
	var described struct {
		TaskDefinition struct {
			ContainerDefinitions []struct {
				Environment []*struct{ Name, Value string }
			}
		}
	}
	c.ask(&described, "ecs", "describe-task-definition", "--task-definition", family)
	variables := map[string]string{}
	for _, each := range described.TaskDefinition.ContainerDefinitions[0].Environment {
		if each != nil { // moto has null where a template has AWS::NoValue
			variables[each.Name] = each.Value
		}
	}
	return variables
}

// audit subscribes a queue to the topic, and returns its URL.
func (c *cloud) audit(topic string) string {
	c.t.Helper()
	var made struct{ QueueUrl string } //nolint:revive // AWS's name
	c.ask(&made, "sqs", "create-queue", "--queue-name", "audit")
	c.ask(nil, "sns", "subscribe", "--topic-arn", topic, "--protocol", "sqs", "--attributes", "RawMessageDelivery=true",
		"--notification-endpoint", "arn:aws:sqs:"+region+":"+account+":audit")
	return made.QueueUrl
}

// outcomes waits for as many as wanted, and returns them by command.
func (c *cloud) outcomes(queue string, wanted int) map[string]outcome.Event {
	c.t.Helper()
	found := map[string]outcome.Event{}
	c.until(fmt.Sprintf("%d outcomes", wanted), func() bool {
		var received struct{ Messages []struct{ Body string } }
		var out bytes.Buffer
		cmd := exec.CommandContext(c.t.Context(), c.cli, "sqs", "receive-message", "--queue-url", queue, "--max-number-of-messages", "10",
			"--endpoint-url", c.url, "--output", "json")
		cmd.Env, cmd.Stdout = c.environment(), &out
		if err := cmd.Run(); err != nil {
			c.t.Fatal(err)
		}
		if out.Len() > 0 { // it says nothing where there are none
			if err := json.Unmarshal(out.Bytes(), &received); err != nil {
				c.t.Fatalf("%v: %s", err, out.String())
			}
		}
		for _, m := range received.Messages {
			e, err := outcome.Parse([]byte(m.Body))
			if err != nil {
				c.t.Fatalf("%v: %s", err, m.Body)
			}
			found[e.Data.CommandID] = e
		}
		return len(found) >= wanted
	})
	return found
}

// execution starts one of Step Functions that runs until it is stopped: moto runs none to its end.
func (c *cloud) execution() (arn string) {
	c.t.Helper()
	var machine, started struct{ StateMachineArn, ExecutionArn string } //nolint:revive // AWS's names
	c.ask(&machine, "stepfunctions", "create-state-machine", "--name", "nightly", "--role-arn", "arn:aws:iam::"+account+":role/nightly",
		"--definition", `{"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 86400, "End": true}}}`)
	c.ask(&started, "stepfunctions", "start-execution", "--state-machine-arn", machine.StateMachineArn)
	return started.ExecutionArn
}

// say puts on the state queue what EventBridge would send to it. moto has no events of Step Functions, and those that are put
// to its EventBridge have no account.
func (c *cloud) say(queue, execution string) {
	c.t.Helper()
	c.ask(nil, "sqs", "send-message", "--queue-url", queue, "--message-body", string(text(c.t, map[string]any{
		"version": "0", "id": "315c1398-40ff-a850-213b-158f73e60175", "source": "aws.states", "detail-type": "Step Functions Execution Status Change",
		"account": account, "region": region, "time": time.Now().UTC().Format(time.RFC3339), "resources": []string{execution},
		"detail": map[string]any{"executionArn": execution, "status": "ABORTED"},
	})))
}

// TestStacksOnMoto makes both stacks with the aws CLI, runs a worker in the environment of the task definition that was made, and
// sends it commands as OPERATIONS.md says: their outcomes are on the topic and in the table, one of them proved by the state queue.
// moto runs no containers, enforces no policy, and has no bulk calls of Batch.
func TestStacksOnMoto(t *testing.T) {
	c := startMoto(t)
	outputs := c.create("rescind", "core.yaml", map[string]string{"Senders": "arn:aws:iam::123456789012:role/cost-guard,arn:aws:iam::123456789012:role/on-call"})
	vpc, subnets := c.network()
	c.create("rescind-workers", "worker.yaml", map[string]string{
		"Image": "rescind:1", "VpcId": vpc, "Subnets": subnets, "StateEvents": "true", "OtherAccountsRole": "rescind-canceller", "Confirm": "1m",
	})
	audit, execution := c.audit(outputs["RescindResultsTopicArn"]), c.execution()
	variables := c.variables("rescind-worker")

	// Another's rendering of the task role.
	var role struct{ PolicyDocument string }
	c.ask(&role, "iam", "get-role-policy", "--role-name", "rescind-worker", "--policy-name", "rescind-iam-worker")
	same(t, "the task role's policy as moto has it", []byte(strings.ReplaceAll(role.PolicyDocument, "'", `"`)), // moto has it as Python writes it
		[]byte(printed(t, environment(variables), "iam", "worker")))

	given := types.MappingWithEquals{}
	for _, each := range c.environment() {
		name, value, _ := strings.Cut(each, "=")
		given[name] = &value
	}
	for name, value := range variables {
		given[name] = &value
	}
	endpoint, anyPort := c.url, "127.0.0.1:0"
	given["AWS_ENDPOINT_URL"], given["RESCIND_ADMIN_ADDR"] = &endpoint, &anyPort
	var service types.ServiceConfig
	service.Command, service.Environment = types.ShellCommand{"worker"}, given
	worker := start(t, binary(t), service, strings.NewReplacer())
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the worker said:\n%s", worker.err)
		}
	})
	worker.err.find(t, `(taking commands)`)

	sender := append(c.environment(), "AWS_ENDPOINT_URL="+c.url, "AWS_REGION="+region)
	sender = append(sender, strings.Fields(outputs["Environment"])...)
	send := func(wanted int, arguments ...string) {
		cmd := exec.CommandContext(t.Context(), binary(t), append([]string{"send"}, arguments...)...)
		cmd.Env = sender
		if out, err := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != wanted {
			t.Fatalf("rescind send %v: %v\n%s\n%s", arguments, err, out, worker.err)
		}
	}
	send(0, "--id", "stopped", "--action", "stepfunctions:StopExecution", "-p", "executionArn="+execution)
	send(0, "--id", "missing", "--action", "stepfunctions:StopExecution", "-p", "executionArn="+execution+"-2")
	c.until("the execution is stopped", func() bool {
		var ended struct{ Status string }
		c.ask(&ended, "stepfunctions", "describe-execution", "--execution-arn", execution)
		return ended.Status == "ABORTED"
	})
	c.say(variables["RESCIND_STATE_QUEUE_URL"], execution)
	found := c.outcomes(audit, 2)
	for id, want := range map[string]struct { // as audit reads them
		status handlers.Status
		by     outcome.Confirmation
	}{"stopped": {handlers.Cancelled, outcome.ConfirmedByEvent}, "missing": {handlers.NotFound, outcome.ConfirmedByNone}} {
		if e := found[id]; e.Data.Status != want.status || e.Data.ConfirmedBy != want.by || e.Source != "/rescind/rescind" {
			t.Errorf("the outcome of %s is %+v, want %s, confirmed by %s", id, e, want.status, want.by)
		}
	}
	send(0, "--id", "stopped", "--action", "stepfunctions:StopExecution", "-p", "executionArn="+execution, "--wait", "--wait-for", patience.String())

	if err := worker.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := worker.Wait(); err != nil {
		t.Errorf("asked to stop: %v", err)
	}
	saysJSON(t, worker.err.String())
}

// saysJSON holds a worker's log to what the metric filters and alarms take it for.
func saysJSON(t *testing.T, log string) {
	t.Helper()
	for line := range strings.Lines(log) {
		var said struct{ Level, Msg string }
		if err := json.Unmarshal([]byte(line), &said); err != nil || said.Level == "" || said.Msg == "" {
			t.Errorf("a line of the log that the metric filters do not read: %s(%v)", line, err)
		}
		if said.Level == "error" || said.Level == "warn" && !strings.Contains(said.Msg, "time to live") && !strings.Contains(said.Msg, "quotas") {
			t.Errorf("the worker is not content with what the templates made: %s", line)
		}
	}
}
