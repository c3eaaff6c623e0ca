package main

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ran runs a command line to its end.
func ran(t *testing.T, in string, args ...string) (code int, out, complaints string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = run(t.Context(), args, streams{strings.NewReader(in), &stdout, &stderr})
	return code, stdout.String(), stderr.String()
}

// unconfigured sets an environment with credentials and a region, and nothing else for rescind.
func unconfigured(t *testing.T) {
	t.Helper()
	for _, name := range []string{"RESCIND_QUEUE_URL", "RESCIND_RESULTS_TOPIC_ARN", "AWS_ENDPOINT_URL", "AWS_PROFILE"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_CONFIG_FILE", "/dev/null")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_REGION", "us-east-1")
	t.Setenv("AWS_DEFAULT_REGION", "")
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "test")
}

func TestMisuseSaysWhatToDo(t *testing.T) {
	const queue = "--queue-url=http://127.0.0.1:1/123456789012/q"
	rows := []struct {
		name string
		env  []string // name, value
		args []string
		says string
	}{
		{"no command", nil, nil, "--help"},
		{"an unknown flag", nil, []string{"demo", "--fast"}, "--fast"},
		{"no targets", nil, []string{"demo", "--targets", "0"}, "--targets must be"},
		{"a negative fleet", nil, []string{"dev", "--jobs=-1"}, "--jobs must be"},
		{"a negative fleet for sim", nil, []string{"sim", "--jobs=-1"}, "--jobs must be"},
		{"a negative latency", nil, []string{"sim", "--latency=-1s"}, "--latency must"},
		{"a worker without a queue", nil, []string{"worker"}, "RESCIND_QUEUE_URL"},
		{"a worker without a topic", nil, []string{"worker", queue}, "RESCIND_RESULTS_TOPIC_ARN"},
		{"sending without a queue", nil, []string{"send", "--action=batch:CancelJob"}, "RESCIND_QUEUE_URL"},
		{"sending nothing", nil, []string{"send", queue}, "--action"},
		{"an id for many", nil, []string{"send", queue, "--id=x", "-"}, "--id"},
		{"no such file", nil, []string{"send", queue, "no-such-file"}, "no-such-file"},
		{"no region", []string{"AWS_REGION", ""}, []string{"send", queue, "--action=batch:CancelJob"}, "AWS_REGION"},
		{"no credentials", []string{"AWS_ACCESS_KEY_ID", ""}, []string{"send", queue, "--action=batch:CancelJob"}, "AWS_ACCESS_KEY_ID"},
		{"a parameter that is missing", nil, []string{"send", queue, "--action=batch:CancelJob"}, "parameters.jobId is required"},
		{"a parameter misspelt", nil, []string{"send", queue, "--action=batch:CancelJob", "-p", "jobID=x"}, "parameters.jobId?"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			unconfigured(t)
			if row.env != nil {
				t.Setenv(row.env[0], row.env[1])
			}
			code, out, complaints := ran(t, "", row.args...)
			if code != exitMisused || out != "" || !strings.Contains(complaints, row.says) {
				t.Errorf("exit %d, stdout %q, stderr %q: want exit 2 and %q", code, out, complaints, row.says)
			}
		})
	}
}

func TestAPanicIsNotSwallowed(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("run returned")
		}
	}()
	run(context.Background(), []string{"demo", "--help"}, streams{nil, panicking{}, io.Discard})
}

type panicking struct{}

func (panicking) Write([]byte) (int, error) { panic("broken") }
