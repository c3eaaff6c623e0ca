package main_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker/outcome"
)

// requirePeers names the variable that turns the skips of this file into failures, as in CI.
const requirePeers = "RESCIND_REQUIRE_PEERS"

// absent skips a test and logs what is not tested and how to have it tested; in CI it fails the test.
func absent(t *testing.T, what, get string) {
	t.Helper()
	if os.Getenv(requirePeers) != "" {
		t.Fatalf("%s, and %s is set: %s", what, requirePeers, get)
	}
	t.Skipf("skipped, not tested: the aws CLI sends a command and reads its outcome, the job and the dead-lettered message; %s: %s", what, get)
}

// howToGetTheCLI names the first version that speaks SQS's JSON protocol. Debian 12's package (2.9) does
// not.
const howToGetTheCLI = "python3 -m pip install 'awscli>=1.30', or AWS's own installer of version 2"

// cli runs the aws CLI against the simulator, and returns its answer, or its error output. The
// endpoint is a flag, since version 1 does not read AWS_ENDPOINT_URL (seen with 1.45.11).
func (h *harness) cli(binary string, args ...string) (answer []byte, complaint string) {
	h.t.Helper()
	var out, err bytes.Buffer
	cmd := exec.CommandContext(h.t.Context(), binary, append(args, "--endpoint-url", h.url, "--output", "json")...)
	for _, each := range os.Environ() {
		// The user's own AWS settings are not for this endpoint.
		if !strings.HasPrefix(each, "AWS_") {
			cmd.Env = append(cmd.Env, each)
		}
	}
	cmd.Env = append(cmd.Env,
		"AWS_DEFAULT_REGION=us-east-1", "AWS_EC2_METADATA_DISABLED=true", "AWS_PAGER=",
		"AWS_ACCESS_KEY_ID=AKIAANY", "AWS_SECRET_ACCESS_KEY=any",
		"AWS_CONFIG_FILE="+os.DevNull, "AWS_SHARED_CREDENTIALS_FILE="+os.DevNull)
	cmd.Stdout, cmd.Stderr = &out, &err
	if failed := cmd.Run(); failed != nil {
		return nil, failed.Error() + ": " + err.String()
	}
	return out.Bytes(), ""
}

// asked runs the aws CLI and decodes its answer.
func (h *harness) asked(answer any, binary string, args ...string) {
	h.t.Helper()
	text, complaint := h.cli(binary, args...)
	if complaint != "" {
		h.t.Fatalf("aws %s: %s", strings.Join(args, " "), complaint)
	}
	if err := json.Unmarshal(text, answer); err != nil {
		h.t.Fatalf("aws %s says %q: %v", strings.Join(args, " "), text, err)
	}
}

// receivedMessages is what "aws sqs receive-message" prints.
type receivedMessages struct {
	Messages []struct {
		Body              string
		MessageAttributes map[string]struct{ StringValue string }
	}
}

func awsCLI(t *testing.T, binary string) {
	aws, err := exec.LookPath("aws")
	if err != nil {
		absent(t, "there is no aws CLI on the PATH", howToGetTheCLI)
	}
	h := newHarness(t, binary, awssim.Options{})
	if _, complaint := h.cli(aws, "sqs", "list-queues"); strings.Contains(complaint, "UnknownOperation") {
		absent(t, "the aws CLI is too old for SQS's JSON protocol, and the simulator speaks no other", howToGetTheCLI)
	} else if complaint != "" {
		t.Fatal(complaint)
	}
	p := h.worker(t)

	const job = "1d828f65-7a4d-42e8-996d-3b900ed59dc4" // as on the API page of CancelJob
	h.PutJobs(awssim.Job{ID: job})
	var sent struct{ MessageID string }
	h.asked(&sent, aws, "sqs", "send-message", "--queue-url", h.queue, "--message-body", cancelJob("one", job))
	if sent.MessageID == "" {
		t.Error("send-message prints no message id")
	}
	if d := h.received(aws); d.CommandID != "one" || d.Status != handlers.Cancelled {
		t.Errorf("the outcome is %+v, want command one cancelled", d)
	}
	var described struct {
		Jobs []struct {
			JobID, Status, StatusReason string
			IsCancelled                 bool
		}
	}
	h.asked(&described, aws, "batch", "describe-jobs", "--jobs", job)
	if len(described.Jobs) != 1 || described.Jobs[0].Status != "FAILED" || !described.Jobs[0].IsCancelled || described.Jobs[0].StatusReason != "over budget" {
		t.Errorf("describe-jobs prints %+v", described.Jobs)
	}

	const bad = `{"id":"two","action":"batch:CancelJob","parameters":{"jobID":"x"}}`
	h.asked(&sent, aws, "sqs", "send-message", "--queue-url", h.queue, "--message-body", bad)
	if d := h.received(aws); d.Status != handlers.Invalid || !strings.Contains(d.Message, "did you mean parameters.jobId?") {
		t.Errorf("the outcome is %+v, want invalid and the right name of the field", d)
	}
	var dead receivedMessages
	h.asked(&dead, aws, "sqs", "receive-message", "--queue-url", h.deadLetters, "--wait-time-seconds", "20", "--message-attribute-names", "All")
	if len(dead.Messages) != 1 || dead.Messages[0].Body != bad {
		t.Fatalf("the dead-lettered messages are %+v, want the original", dead)
	}
	if attribute := dead.Messages[0].MessageAttributes["rescind"].StringValue; !strings.Contains(attribute, "jobID") || !strings.Contains(attribute, `"reason"`) {
		t.Errorf("the dead-lettered message's attribute is %s, want the reason and the field", attribute)
	}
	p.stops()
}

// received receives one outcome with the aws CLI.
func (h *harness) received(aws string) outcome.Data {
	h.t.Helper()
	var got receivedMessages
	h.asked(&got, aws, "sqs", "receive-message", "--queue-url", h.url+"/123456789012/"+outcomesQueue, "--wait-time-seconds", "10")
	if len(got.Messages) != 1 {
		h.t.Fatalf("%d outcomes came, want one", len(got.Messages))
	}
	e, err := outcome.Parse([]byte(got.Messages[0].Body))
	h.must(err)
	return e.Data
}
