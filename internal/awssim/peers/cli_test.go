package peers_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/rescindhq/rescind/internal/awssim"
)

// howToGetTheCLI names the first version line that speaks SQS's JSON protocol: what Debian 12
// packages (2.9) does not.
const howToGetTheCLI = "python3 -m pip install 'awscli>=1.30', or AWS's own installer of version 2"

// TestCLI has the aws CLI make every call that stops something or reads what became of it, and
// what a user of SQS and SNS types, and read every answer.
func TestCLI(t *testing.T) {
	const untested = "what the aws CLI makes of the answers and errors of the AWS simulator"
	onlyWhenAsked(t, untested)
	binary, err := exec.LookPath("aws")
	if err != nil {
		absent(t, untested, "there is no aws CLI on the PATH", howToGetTheCLI)
	}
	sim, url := startSimulator(t)
	c := cli{binary: binary, url: url}
	if _, complaint := c.run(t, "sqs list-queues"); strings.Contains(complaint, "UnknownOperation") {
		absent(t, untested, "the aws CLI is too old for SQS's JSON protocol, and the AWS simulator speaks no other", howToGetTheCLI)
	} else if complaint != "" {
		t.Fatal(complaint)
	}
	receipts := stock(t, sim)
	atOnce := make(chan struct{}, 2) // a run takes about a second of a core
	for _, row := range cliRows {
		t.Run(row.name(), func(t *testing.T) {
			t.Parallel()
			atOnce <- struct{}{}
			defer func() { <-atOnce }()
			answer, complaint := c.run(t, receipts.Replace(row.line))
			row.check(t, answer, complaint)
		})
	}
}

type cli struct{ binary, url string }

// run runs the aws CLI against the simulator, and returns its answer or what it said instead. The
// endpoint is a flag, since version 1 does not read AWS_ENDPOINT_URL (seen with 1.45.11). A
// line is cut at spaces; QUEUES and TOPICS in it stand for what goes before a name.
func (c cli) run(t *testing.T, line string) (answer any, complaint string) {
	t.Helper()
	line = strings.NewReplacer("QUEUES/", c.url+"/123456789012/", "TOPICS:", "arn:aws:sns:us-east-1:123456789012:").Replace(line)
	var out, said bytes.Buffer
	cmd := exec.CommandContext(t.Context(), c.binary, append(strings.Fields(line), "--endpoint-url", c.url, "--output", "json")...)
	for _, each := range os.Environ() {
		// What the machine's own user has configured is not for this endpoint.
		if !strings.HasPrefix(each, "AWS_") {
			cmd.Env = append(cmd.Env, each)
		}
	}
	cmd.Env = append(cmd.Env,
		"AWS_DEFAULT_REGION=us-east-1", "AWS_EC2_METADATA_DISABLED=true", "AWS_PAGER=", "AWS_MAX_ATTEMPTS=1",
		"AWS_ACCESS_KEY_ID=AKIAANY", "AWS_SECRET_ACCESS_KEY=any",
		"AWS_CONFIG_FILE="+os.DevNull, "AWS_SHARED_CREDENTIALS_FILE="+os.DevNull)
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		if exit := new(exec.ExitError); !errors.As(err, &exit) {
			t.Fatal(err)
		}
		return nil, said.String()
	}
	if out.Len() == 0 {
		return nil, ""
	}
	if err := json.Unmarshal(out.Bytes(), &answer); err != nil {
		t.Fatalf("aws %s says %q: %v", line, out.Bytes(), err)
	}
	return answer, ""
}

// row is one call: what is typed, and either fields of the answer or the code of an error.
type row struct {
	line   string
	answer map[string]string // path → value; "" is any value but none
	code   string
}

func (r row) name() string {
	if r.code != "" {
		return r.line + ": " + r.code
	}
	return r.line
}

func (r row) check(t *testing.T, answer any, complaint string) {
	t.Helper()
	if r.code != "" {
		if want := "An error occurred (" + r.code + ")"; !strings.Contains(complaint, want) {
			t.Errorf("got answer %v and complaint %q, want %s", answer, complaint, want)
		}
		return
	}
	if complaint != "" {
		t.Fatal(complaint)
	}
	for path, want := range r.answer {
		got, ok := at(answer, path)
		if !ok || want != "" && got != want {
			t.Errorf("%s is %q, want %q, in %v", path, got, want, answer)
		}
	}
}

// at reads a value by the names and numbers on the way to it, as text.
func at(value any, path string) (text string, ok bool) {
	for step := range strings.SplitSeq(path, ".") {
		switch v := value.(type) {
		case map[string]any:
			value = v[step]
		case []any:
			if i, err := strconv.Atoi(step); err == nil && i < len(v) {
				value = v[i]
				continue
			}
			return "", false
		default:
			return "", false
		}
	}
	switch v := value.(type) {
	case nil:
		return "", false
	case string:
		return v, true
	default:
		b, err := json.Marshal(v)
		return string(b), err == nil
	}
}

// stock puts in what the rows speak of, and returns what RECEIPT-1 and RECEIPT-2 in them stand for.
func stock(t *testing.T, sim *awssim.Sim) *strings.Replacer {
	t.Helper()
	sim.PutJobs(
		awssim.Job{ID: "cancelled-job"}, awssim.Job{ID: "terminated-job", State: "RUNNING"},
		awssim.Job{ID: "waiting-job", Name: "night", Queue: "listed"}, awssim.Job{ID: "done-job", State: "SUCCEEDED"},
	)
	sim.PutClusters(awssim.Cluster{ID: "j-CANCEL"}, awssim.Cluster{ID: "j-READ"})
	sim.PutSteps(
		awssim.Step{Cluster: "j-CANCEL", ID: "s-PENDING"}, awssim.Step{Cluster: "j-CANCEL", ID: "s-DONE", State: "COMPLETED"},
		awssim.Step{Cluster: "j-READ", ID: "s-WAITS"},
	)
	sim.PutJobExecutions(
		awssim.JobExecution{Thing: "thing-cancelled", Job: "cancelled"}, awssim.JobExecution{Thing: "thing-read", Job: "read"},
		awssim.JobExecution{Thing: "thing-running", Job: "running", State: "IN_PROGRESS"},
		awssim.JobExecution{Thing: "thing-forced", Job: "forced", State: "IN_PROGRESS"},
	)
	sim.PutThingJobs(awssim.ThingJob{ID: "whole"})
	for _, id := range []string{"cancelled", "terminated", "read"} {
		sim.PutWorkflows(awssim.Workflow{Domain: "d-" + id, WorkflowID: id, RunID: "run-" + id, Ignores: true})
	}
	sim.PutWorkflows(awssim.Workflow{Domain: "d-closed", WorkflowID: "closed", RunID: "run-closed", Close: "COMPLETED"})
	sim.PutTasks(
		awssim.Task{ID: "task-0123456789abcde00"}, awssim.Task{ID: "task-0123456789abcde01"},
		awssim.Task{ID: "task-0123456789abcde02", State: "SUCCEEDED"},
	)
	sim.PutExecutions(
		awssim.Execution{ARN: "arn:aws:states:us-east-1:123456789012:execution:machine:stopped"},
		awssim.Execution{ARN: "arn:aws:states:us-east-1:123456789012:execution:machine:read"},
	)
	return queues(t, sim)
}
