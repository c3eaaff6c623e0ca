package main_test

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/rescindhq/rescind/internal/awssim"
)

// misuses holds "rescind worker" to refusing what it could not do well, with an exit code
// (1 failed, 2 misused) and words that say what to do.
func misuses(t *testing.T, binary string) {
	b := newBox(t, binary, awssim.Options{})
	queue := func(name string, attributes map[string]string) string {
		url, err := b.CreateQueue(name, attributes)
		b.must(err)
		return "RESCIND_QUEUE_URL=" + url
	}
	impatient, _, err := b.CreateQueueWithDeadLetters("impatient", 5, nil)
	b.must(err)
	taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	b.must(err)
	t.Cleanup(func() { _ = taken.Close() })

	for _, row := range []struct {
		name    string
		setting string
		code    int
		says    []string
	}{
		{"a FIFO queue", queue("commands.fifo", map[string]string{"FifoQueue": "true"}), 1, []string{"commands.fifo", "use a standard queue"}},
		{"no dead-letter queue", queue("bare", nil), 1, []string{"/bare", "redrive policy", "RESCIND_DLQ_URL"}},
		{"a queue that gives up early", "RESCIND_QUEUE_URL=" + impatient, 1, []string{"after 5 receives", "raise it to", "RESCIND_MIN_RECEIVES"}},
		{"a queue that is not there", "RESCIND_QUEUE_URL=" + b.url + "/123456789012/nowhere", 1, []string{"/nowhere", "does not exist"}},
		{"no queue", "RESCIND_QUEUE_URL=", 2, []string{"queue-url"}},
		{"no region", "AWS_REGION=", 2, []string{"set AWS_REGION"}},
		{"state changes, not built yet", "RESCIND_STATE_QUEUE_URL=http://queue", 2, []string{"RESCIND_STATE_QUEUE_URL", "not built yet", "unset it"}},
		{"a policy, not built yet", "RESCIND_POLICY=policy.json", 2, []string{"RESCIND_POLICY", "not built yet", "unset it"}},
		{"confirmation, not built yet", "RESCIND_CONFIRM=5m", 2, []string{"RESCIND_CONFIRM", "not built yet", "unset it"}},
		{"control, not built yet", "RESCIND_ADMIN_TOKEN=secret", 2, []string{"RESCIND_ADMIN_TOKEN", "not built yet", "unset it"}},
		{"a DynamoDB table that is not there", "RESCIND_LEDGER=dynamodb:commands", 1, []string{"table commands", "no such table", "aws dynamodb create-table"}},
		{"DynamoDB without a table", "RESCIND_LEDGER=dynamodb:", 2, []string{"RESCIND_LEDGER", "dynamodb:TABLE"}},
		{"a ledger of no kind", "RESCIND_LEDGER=commands.db", 2, []string{"RESCIND_LEDGER", "bolt:PATH", "dynamodb:TABLE"}},
		{"a ledger in no directory", "RESCIND_LEDGER=bolt:" + b.dir + "/nowhere/ledger.db", 1, []string{"nowhere/ledger.db", "no such file or directory"}},
		{"a quota that is no number", "RESCIND_QUOTAS=batch:CancelJobs=fast", 2, []string{"RESCIND_QUOTAS", `"fast"`, "must be a number"}},
		{"a quota of nothing", "RESCIND_QUOTAS=20/40", 2, []string{"RESCIND_QUOTAS", "for example batch:CancelJobs=20/40"}},
		{"a role of one account", "RESCIND_ROLE=arn:aws:iam::123456789012:role/rescind", 2, []string{"RESCIND_ROLE", "{account}"}},
		{"no patience", "RESCIND_PATIENCE=0s", 2, []string{"RESCIND_PATIENCE", "above 0"}},
		{"a time without a unit", "RESCIND_DRAIN=25", 2, []string{"RESCIND_DRAIN", "25"}},
		{"an address in use", "RESCIND_ADMIN_ADDR=" + taken.Addr().String(), 1, []string{"RESCIND_ADMIN_ADDR", "free address"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := b.worker(t, "RESCIND_LEDGER=bolt:"+t.TempDir()+"/ledger.db", row.setting)
			if code := p.exits(10 * time.Second); code != row.code {
				t.Errorf("exit code %d, want %d", code, row.code)
			}
			for _, says := range row.says {
				if !strings.Contains(p.log.String(), says) {
					t.Errorf("it does not say %q:\n%s", says, p.log.tail())
				}
			}
		})
	}
	for _, operation := range []string{"ReceiveMessage", "SendMessage", "DeleteMessageBatch"} {
		if n := len(b.requests("sqs", operation)); n > 0 {
			t.Errorf("%d calls of %s by workers that refused to start", n, operation)
		}
	}
}
