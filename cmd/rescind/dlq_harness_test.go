package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

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

// receiveAll receives from a queue n times, and shows everything again each time.
func receiveAll(t *testing.T, url string, n int) {
	t.Helper()
	for range n {
		post(t, url, "ReceiveMessage", map[string]any{"QueueUrl": url, "MaxNumberOfMessages": 10, "VisibilityTimeout": 0})
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
