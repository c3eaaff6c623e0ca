package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker/queue"
)

// TestDLQListSaysWhy: the worker's reason, or that there is none, and in JSON the original.
func TestDLQListSaysWhy(t *testing.T) {
	b := newLetterbox(t, awssim.Options{})
	b.put("not\tjson \u0085\u202e", queue.Mark{Reason: "body must be JSON", Field: "body", CommandID: "", MessageID: "m-1", Sender: "AIDAX", Attributes: map[string]queue.MarkAttributeValue{
		"traceparent": {Type: "String", Value: "00-x"}, "blob": {Type: "Binary", Binary: []byte{0, 1, 255}},
	}})
	if _, err := b.SendWith(b.queue, cancelJobBody("moved"), map[string]awssim.Attribute{"kind": {DataType: "String", StringValue: "x"}}); err != nil {
		t.Fatal(err)
	}
	receiveAll(t, b.queue, 4) // the fourth receive moves it
	b.holds(0, 2)

	a := b.asked(exitDone, "list")
	if a.DeadLetterQueue != b.dead || len(a.Messages) != 2 || a.More != 0 || a.Hidden != 0 {
		t.Fatalf("%+v", a)
	}
	marked, moved := a.Messages[0].deadLetter, a.Messages[1].deadLetter
	if marked.Reason != "body must be JSON" || marked.Field != "body" || marked.OriginalMessageID != "m-1" || marked.Sender != "AIDAX" ||
		marked.Body != "not\tjson \u0085\u202e" || marked.Attributes["traceparent"].Value != "00-x" || !bytes.Equal(marked.Attributes["blob"].Binary, []byte{0, 1, 255}) {
		t.Errorf("dead-lettered by the worker: %+v", marked)
	}
	if moved.Reason != "received 3 times, never settled" || moved.CommandID != "moved" || moved.OriginalMessageID != moved.MessageID ||
		moved.Sender != "AIDA123456789012" || moved.Attributes["kind"].Value != "x" || moved.Body != cancelJobBody("moved") {
		t.Errorf("moved by SQS: %+v", moved)
	}
	b.holds(0, 2)

	code, out, complaints := ran(t, "", "dlq", "list", "--id", "moved", "--id", "nobody")
	if code != exitFailed || !strings.Contains(out, "moved") || !strings.Contains(out, "1 message of 2 (never settled: 1)") || strings.Contains(out, "must be JSON") || !strings.Contains(complaints, "no message has the id nobody") {
		t.Errorf("exit %d\n%s%s", code, out, complaints)
	}
	b.holds(0, 2)
}

// TestADeferredCopyThatSQSMoved is read by what its attribute has of the original.
func TestADeferredCopyThatSQSMoved(t *testing.T) {
	b := newLetterbox(t, awssim.Options{})
	copied := `{"messageId":"original","sender":"AIDAX","sentAt":1,"receives":7,"attributes":{"traceparent":{"type":"String","value":"00-x"}},"mac":"x"}`
	body := `{"action":"batch:CancelJob","parameters":{"jobId":"x"}}`
	if _, err := b.SendWith(b.dead, body, map[string]awssim.Attribute{queue.MarkAttribute: {DataType: "String", StringValue: copied}}); err != nil {
		t.Fatal(err)
	}
	l := b.asked(exitDone, "list").Messages[0]
	if l.OriginalMessageID != "original" || l.Sender != "AIDAX" || l.CommandID != "sqs:original" || l.Attributes["traceparent"].Value != "00-x" || !strings.HasSuffix(l.Reason, "never settled") {
		t.Errorf("%+v", l)
	}
	if sent := b.asked(exitDone, "send", "--id", "original", "--new-id").Messages[0]; sent.NewID != "original.2" {
		t.Errorf("%+v", sent)
	}
}

// TestDLQOf250 counts duplicate deliveries once, keeps to --max, and leaves everything visible.
func TestDLQOf250(t *testing.T) {
	b := newLetterbox(t, awssim.Options{Faults: awssim.Faults{"sqs:ReceiveMessage": {Twice: 0.5}}})
	b.fill(250)
	if a := b.asked(exitDone, "list"); len(a.Messages) != 250 || a.More != 0 {
		t.Errorf("%d messages, %d more", len(a.Messages), a.More)
	}
	b.holds(0, 250)
	a := b.asked(exitDone, "list", "--max", "95")
	if len(a.Messages) != 95 || a.More != 155 {
		t.Errorf("%d messages, %d more", len(a.Messages), a.More)
	}
	if a := b.asked(exitFailed, "send", "--id", "nobody", "--max", "95"); !strings.Contains(a.Error, "of about 250: raise --max") {
		t.Error(a.Error)
	}
	b.holds(0, 250)
	if a := b.asked(exitDone, "send", "--all", "--max", "100", "--dry-run"); a.Unsent != 100 || a.More != 150 {
		t.Errorf("%+v", a)
	}
	if _, _, complaints := ran(t, "", "dlq", "list", "--max", "100"); !strings.Contains(complaints, "About 150 more were not read: raise --max") {
		t.Error(complaints)
	}
	if a := b.asked(exitDone, "send", "--all"); a.Sent != 250 || a.More != 0 {
		t.Errorf("%d sent", a.Sent)
	}
	b.holds(250, 0)
	ids := map[string]bool{}
	for _, m := range b.Messages(b.queue) {
		ids[m.Body] = true
	}
	if len(ids) != 250 {
		t.Errorf("%d commands were sent", len(ids))
	}
}

// TestDLQMakesEverythingVisible: whatever ends it.
func TestDLQMakesEverythingVisible(t *testing.T) {
	for name, row := range map[string]struct {
		args    []string
		latency time.Duration
		refuse  string // the operation whose third request fails
		says    string
		left    int // on the dead-letter queue; -1: any
	}{
		"Ctrl-C while listing":     {[]string{"list"}, 20 * time.Millisecond, "", "interrupted", 100},
		"Ctrl-C while sending":     {[]string{"send", "--all"}, 20 * time.Millisecond, "", "not sent: ", -1},
		"Ctrl-C while purging":     {[]string{"purge", "--all", "--yes"}, 20 * time.Millisecond, "", "not deleted: 40 messages: interrupted", 40},
		"reading fails":            {[]string{"purge", "--all", "--yes"}, 0, "ReceiveMessage", "need sqs:ReceiveMessage on the queue", 100},
		"sending fails":            {[]string{"send", "--all"}, 0, "SendMessageBatch", "not sent: 80 messages; run it again", 80},
		"deleting fails":           {[]string{"purge", "--all", "--yes"}, 0, "DeleteMessageBatch", "not deleted: 10 messages", 10},
		"deleting after a sending": {[]string{"send", "--all"}, 0, "DeleteMessageBatch", "sent and not deleted: 10 messages; delete them: rescind dlq purge --id ", 10},
	} {
		t.Run(name, func(t *testing.T) {
			b := newLetterbox(t, awssim.Options{Latency: row.latency})
			b.fill(100)
			if name == "Ctrl-C while purging" {
				b.fill(100)
			}
			ctx, interrupt := context.WithCancel(t.Context())
			defer interrupt()
			b.refuse = func(operation string, n int) bool {
				on := map[string]string{"list": "ReceiveMessage", "send": "SendMessageBatch", "purge": "DeleteMessageBatch"}
				if row.refuse == "" && n == 3 && operation == on[row.args[0]] {
					interrupt()
				}
				return operation == row.refuse && n == 3
			}
			var out, complaints bytes.Buffer
			code := run(ctx, append([]string{"dlq"}, row.args...), streams{strings.NewReader(""), &out, &complaints})
			if code != exitFailed || !strings.Contains(complaints.String(), row.says) {
				t.Errorf("exit %d, want %q\n%s", code, row.says, &complaints)
			}
			dead, commands := b.Depth(b.dead), b.Depth(b.queue)
			if dead.InFlight != 0 || row.left >= 0 && dead.Visible != row.left || row.args[0] == "send" && dead.Visible+commands.Visible < 100 {
				t.Errorf("dead letters: %+v, commands: %+v", dead, commands)
			}
			if row.refuse == "" && row.args[0] == "send" && (commands.Visible == 0 || dead.Visible == 0) {
				t.Errorf("dead letters: %+v, commands: %+v: this interrupt shows nothing", dead, commands)
			}
		})
	}
}

func TestDLQRefusesAQueueThatMovesWhatIsRead(t *testing.T) {
	b := newLetterbox(t, awssim.Options{})
	if err := b.Send(b.queue, "x"); err != nil {
		t.Fatal(err)
	}
	code, _, complaints := ran(t, "", "dlq", "list", "--dlq-url", b.queue)
	if code != exitFailed || !strings.Contains(complaints, "has a redrive policy") || b.requests["ReceiveMessage"] != 0 {
		t.Errorf("exit %d: %s", code, complaints)
	}
	plain, err := b.CreateQueue("plain", nil)
	if err != nil {
		t.Fatal(err)
	}
	for says, args := range map[string][]string{
		"--dlq-url":                 {"list", "--queue-url", plain}, // it has no redrive policy
		"RESCIND_QUEUE_URL":         {"send", "--all", "--queue-url", "", "--dlq-url", b.dead},
		"which messages? Choose by": {"send"}, "Choose by --id": {"purge", "--yes"}, "--all is every message": {"purge", "--all", "--id", "x"},
		"--max must be": {"list", "--max", "0"}, "are one queue": {"send", "--all", "--dlq-url", b.queue},
		"expected one of": {},
	} {
		if code, _, complaints := ran(t, "", append([]string{"dlq"}, args...)...); code != exitMisused || !strings.Contains(complaints, says) {
			t.Errorf("%v: exit %d, %q; want %q", args, code, complaints, says)
		}
	}
	t.Setenv("RESCIND_QUEUE_URL", "")
	if code, _, complaints := ran(t, "", "dlq", "list"); code != exitMisused || !strings.Contains(complaints, "RESCIND_DLQ_URL") {
		t.Errorf("exit %d: %s", code, complaints)
	}
}
