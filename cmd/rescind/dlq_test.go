package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker/queue"
)

// letterbox is a simulator with a command queue and its dead-letter queue.
type letterbox struct {
	*awssim.Sim
	*testing.T
	queue, dead string // URLs
	// refuse says whether the nth request of an operation, from 1, fails; nil: none does.
	refuse func(operation string, n int) bool

	mu       sync.Mutex
	requests map[string]int // by operation
}

func newLetterbox(t *testing.T, o awssim.Options) *letterbox {
	t.Helper()
	unconfigured(t)
	t.Setenv("RESCIND_DLQ_URL", "")
	server := httptest.NewUnstartedServer(nil)
	o.BaseURL = "http://" + server.Listener.Addr().String()
	b := &letterbox{Sim: awssim.New(o), T: t, requests: map[string]int{}}
	server.Config.Handler = b
	server.Start()
	t.Cleanup(func() { _ = b.Close(); server.Close() })
	t.Setenv("AWS_ENDPOINT_URL", server.URL)
	var err error
	if b.queue, b.dead, err = b.CreateQueueWithDeadLetters("commands", 3, nil); err != nil {
		t.Fatal(err)
	}
	t.Setenv("RESCIND_QUEUE_URL", b.queue)
	return b
}

func (b *letterbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	b.mu.Lock()
	b.requests[operation]++
	refused := b.refuse != nil && b.refuse(operation, b.requests[operation])
	b.mu.Unlock()
	if refused {
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		w.Header().Set("X-Amzn-Requestid", "1")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"__type":"com.amazon.coral.service#AccessDeniedException","message":"not you"}`))
		return
	}
	b.Handler().ServeHTTP(w, r)
}

// put dead-letters a body as the worker does.
func (b *letterbox) put(body string, m queue.Mark) (id string) {
	b.Helper()
	text, err := json.Marshal(m)
	if err == nil {
		id, err = b.SendWith(b.dead, body, map[string]awssim.Attribute{queue.MarkAttribute: {DataType: "String", StringValue: string(text)}})
	}
	if err != nil {
		b.Fatal(err)
	}
	return id
}

// fill dead-letters n commands that the worker could run.
func (b *letterbox) fill(n int) {
	b.Helper()
	for i := range n {
		id := fmt.Sprintf("c-%d", i+1)
		b.put(cancelJobBody(id), queue.Mark{Reason: "parameters.x is not a field", Field: "parameters.x", CommandID: id, MessageID: "m-" + id, Sender: "AIDA"})
	}
}

func cancelJobBody(id string) string {
	return fmt.Sprintf(`{"id":%q,"action":"batch:CancelJob","parameters":{"jobId":"job"}}`, id)
}

// holds checks how many messages the queues have, and that nobody is kept from any.
func (b *letterbox) holds(commands, dead int) {
	b.Helper()
	for url, want := range map[string]int{b.queue: commands, b.dead: dead} {
		if got := b.Depth(url); got != (awssim.Depth{Visible: want}) {
			b.Errorf("%s has %+v, want %d visible", url, got, want)
		}
	}
}

// answer is what --json prints, of all three.
type answer struct {
	DeadLetterQueue string
	Messages        []struct {
		deadLetter

		NewID, State, How, Error string
		Deleted                  bool
	}
	More, Hidden, Sent, Refused, Unsent int
	Deleted                             int
	NotFound                            []string
	Error                               string
}

// asked runs a command line with --json.
func (b *letterbox) asked(code int, args ...string) (a answer) {
	b.Helper()
	got, out, complaints := ran(b.T, "", append(append([]string{"dlq"}, args...), "--json")...)
	if err := json.Unmarshal([]byte(out), &a); err != nil || got != code {
		b.Fatalf("dlq %v: exit %d, want %d; %v\n%s%s", args, got, code, err, out, complaints)
	}
	return a
}

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

// receiveAll receives from a queue n times, and shows everything again each time.
func receiveAll(t *testing.T, url string, n int) {
	t.Helper()
	for range n {
		post(t, url, "ReceiveMessage", map[string]any{"QueueUrl": url, "MaxNumberOfMessages": 10, "VisibilityTimeout": 0})
	}
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
	if a := b.asked(exitDone, "send", "--all"); a.Sent != 250 {
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
		"reading fails":            {[]string{"purge", "--all", "--yes"}, 0, "ReceiveMessage", "need sqs:ReceiveMessage on the queue", 100},
		"sending fails":            {[]string{"send", "--all"}, 0, "SendMessageBatch", "not sent: 80 messages; run it again", 80},
		"deleting fails":           {[]string{"purge", "--all", "--yes"}, 0, "DeleteMessageBatch", "not deleted: 10 messages", 10},
		"deleting after a sending": {[]string{"send", "--all"}, 0, "DeleteMessageBatch", "sent and not deleted: 10 messages; delete them: rescind dlq purge --id ", 10},
	} {
		t.Run(name, func(t *testing.T) {
			b := newLetterbox(t, awssim.Options{Latency: row.latency})
			b.fill(100)
			ctx, interrupt := context.WithCancel(t.Context())
			defer interrupt()
			b.refuse = func(operation string, n int) bool {
				if row.refuse == "" && n == 3 && (operation == "ReceiveMessage" && row.args[0] == "list" || operation == "SendMessageBatch") {
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

// sendBody sends a message over the wire.
func sendBody(t *testing.T, url, body string) {
	t.Helper()
	post(t, url, "SendMessage", map[string]any{"QueueUrl": url, "MessageBody": body})
}

func post(t *testing.T, url, operation string, in map[string]any) {
	t.Helper()
	text, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Amz-Target", "AmazonSQS."+operation)
	r.Header.Set("Content-Type", "application/x-amz-json-1.0")
	answer, err := http.DefaultClient.Do(r)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatal(answer, err)
	}
	_ = answer.Body.Close()
}
