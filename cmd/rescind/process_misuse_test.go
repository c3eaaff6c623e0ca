package main_test

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/rescindhq/rescind/internal/awssim"
)

// misuses checks that the process of "rescind worker" ends over wrong settings with its exit code (1 failed, 2
// misused), having said what to do. testdata/misconfigured.txt has each of them.
func misuses(t *testing.T, binary string) {
	h := newHarness(t, binary, awssim.Options{})
	taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	h.must(err)
	t.Cleanup(func() { _ = taken.Close() })

	for _, row := range []struct {
		name    string
		setting string
		code    int
		says    []string
	}{
		{"a FIFO queue", "RESCIND_QUEUE_URL=" + h.url + "/123456789012/commands.fifo", 2, []string{"RESCIND_QUEUE_URL is", "use a standard queue"}},
		{"a misspelt policy", "RESCIND_POLICYS=policy.cedar", 2, []string{"did you mean RESCIND_POLICY?"}},
		{"a DynamoDB table that is not there", "RESCIND_LEDGER=dynamodb:commands", 1, []string{"no such table", "aws dynamodb create-table"}},
		{"an address in use", "RESCIND_ADMIN_ADDR=" + taken.Addr().String(), 1, []string{"RESCIND_ADMIN_ADDR", "another process listens", `"level":"error"`, "the worker has not started and has received nothing"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := h.worker(t, "RESCIND_LEDGER=bolt:"+t.TempDir()+"/ledger.db", row.setting)
			if code := p.exits(10 * time.Second); code != row.code {
				t.Errorf("exit code %d, want %d", code, row.code)
			}
			said := strings.ReplaceAll(p.log.String(), `\"`, `"`) // in JSON
			for _, says := range row.says {
				if !strings.Contains(said, says) && !strings.Contains(p.log.String(), says) {
					t.Errorf("it does not say %q:\n%s", says, p.log.tail())
				}
			}
		})
	}
	for _, operation := range []string{"ReceiveMessage", "SendMessage", "DeleteMessageBatch"} {
		if n := len(h.requests("sqs", operation)); n > 0 {
			t.Errorf("%d calls of %s by workers that refused to start", n, operation)
		}
	}
}
