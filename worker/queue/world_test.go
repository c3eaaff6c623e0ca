package queue

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"go.uber.org/goleak"

	"github.com/rescindhq/rescind/internal/awssim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a simulator with a queue in it, in virtual time.
type world struct {
	*testing.T
	sim    *awssim.Sim
	client *sqs.Client
	url    string // a queue
	dlq    string // another
}

func virtual(t *testing.T, o awssim.Options, test func(w *world)) {
	synctest.Test(t, func(t *testing.T) {
		sim := awssim.New(o)
		t.Cleanup(func() { _ = sim.Close() })
		w := &world{T: t, sim: sim, client: oneAttempt(sim)}
		w.url, w.dlq = w.create("commands"), w.create("dead-letters")
		test(w)
	})
}

func oneAttempt(sim *awssim.Sim) *sqs.Client {
	cfg := sim.Config()
	cfg.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
	cfg.HTTPClient = plainBodies{cfg.HTTPClient}
	return sqs.NewFromConfig(cfg)
}

// plainBodies prevents that answers of a simulator without latency are lost. The SDK (smithy-go v1.28)
// closes a request's body as soon as an answer is there, and the WriteTo of a closed body fails
// with EOF where Read would just end; net/http, which may not have looked for the body's end
// yet, then closes the connection under the answer.
type plainBodies struct{ aws.HTTPClient }

func (c plainBodies) Do(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		r.Body = struct {
			io.Reader
			io.Closer
		}{r.Body, r.Body}
	}
	return c.HTTPClient.Do(r)
}

// advance lets virtual time pass and everything that it brings come to rest.
func advance(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) create(name string) string {
	w.Helper()
	out, err := w.client.CreateQueue(w.Context(), &sqs.CreateQueueInput{QueueName: aws.String(name)})
	w.must(err)
	return aws.ToString(out.QueueUrl)
}

// send puts n messages, "0" to "n-1", on a queue.
func (w *world) send(url string, n int) {
	w.Helper()
	for i := 0; i < n; i += batchMax {
		in := &sqs.SendMessageBatchInput{QueueUrl: aws.String(url)}
		for j := i; j < min(i+batchMax, n); j++ {
			in.Entries = append(in.Entries, types.SendMessageBatchRequestEntry{
				Id: aws.String(strconv.Itoa(j)), MessageBody: aws.String(strconv.Itoa(j)),
			})
		}
		out, err := w.client.SendMessageBatch(w.Context(), in)
		w.must(err)
		if len(out.Failed) > 0 {
			w.Fatalf("sending: %v", out.Failed)
		}
	}
}

// subscriber makes a Subscriber that is closed at the end of the test.
func (w *world) subscriber(api API, o Options) *Subscriber {
	s := New(api, o)
	w.Cleanup(func() { _ = s.Close() })
	return s
}

func (w *world) subscribe(s *Subscriber, url string) <-chan *message.Message {
	w.Helper()
	ch, err := s.Subscribe(context.Background(), url)
	w.must(err)
	return ch
}

// next takes a message that must be there by now.
func (w *world) next(ch <-chan *message.Message) (*message.Message, *Lease) {
	w.Helper()
	synctest.Wait()
	select {
	case m, ok := <-ch:
		if !ok {
			w.Fatal("the channel is closed")
		}
		return m, LeaseFrom(m.Context())
	default:
		w.Fatal("no message is there")
		return nil, nil
	}
}

// nothing asserts that no message is there.
func (w *world) nothing(ch <-chan *message.Message) {
	w.Helper()
	synctest.Wait()
	select {
	case m, ok := <-ch:
		if ok {
			w.Fatalf("message %s is there", m.UUID)
		}
	default:
	}
}

// collect takes messages in the background until the channel closes.
func collect(ch <-chan *message.Message) *collected {
	c := &collected{}
	go func() {
		for m := range ch {
			c.mu.Lock()
			c.list = append(c.list, m)
			c.mu.Unlock()
		}
	}()
	return c
}

type collected struct {
	mu   sync.Mutex
	list []*message.Message
}

// take returns what was collected since the last take.
func (c *collected) take() []*message.Message {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	list := c.list
	c.list = nil
	return list
}

// Backlog is how many messages a queue has.
type Backlog struct {
	Visible int // waiting to be received
	Held    int // received by somebody and not settled, or made visible later
	Delayed int // sent with a delay that is not over
}

func (w *world) backlog(url string) Backlog {
	w.Helper()
	count := func(name types.QueueAttributeName) int {
		n, err := strconv.Atoi(w.attribute(url, name))
		w.must(err)
		return n
	}
	return Backlog{
		Visible: count(types.QueueAttributeNameApproximateNumberOfMessages),
		Held:    count(types.QueueAttributeNameApproximateNumberOfMessagesNotVisible),
		Delayed: count(types.QueueAttributeNameApproximateNumberOfMessagesDelayed),
	}
}

// settled waits until every message that was acked, nacked or released is settled or given up.
func (w *world) settled(s *Subscriber) {
	w.Helper()
	for range 100_000 {
		synctest.Wait()
		s.mu.Lock()
		settling := 0
		for l := range s.window.leases {
			if l.answered() || l.settling != undecided {
				settling++
			}
		}
		s.mu.Unlock()
		if settling == 0 {
			return
		}
		<-time.After(10 * time.Millisecond)
	}
	w.Fatal("messages are not settled")
}

// answered reports whether the message was acked or nacked.
func (l *Lease) answered() bool {
	select {
	case <-l.msg.Acked():
		return true
	case <-l.msg.Nacked():
		return true
	default:
		return false
	}
}

// wantBacklog asserts what a queue holds.
func (w *world) wantBacklog(url string, want Backlog) {
	w.Helper()
	synctest.Wait()
	if got := w.backlog(url); got != want {
		w.Errorf("backlog is %+v, want %+v", got, want)
	}
}

func (w *world) requests(operation string) int64 {
	return w.sim.Counts()["sqs:"+operation].Requests
}

// receive takes up to ten messages from a queue as another consumer would.
func (w *world) receive(url string) []types.Message {
	w.Helper()
	out, err := w.client.ReceiveMessage(w.Context(), &sqs.ReceiveMessageInput{
		QueueUrl: aws.String(url), MaxNumberOfMessages: batchMax, VisibilityTimeout: 1,
		MessageAttributeNames: []string{"All"},
	})
	w.must(err)
	return out.Messages
}

// spy stands between a Subscriber and SQS.
type spy struct {
	API
	receive func(*sqs.ReceiveMessageInput)
	// refuse, where it returns a code, fails an entry with it instead of asking SQS.
	refuse func(operation string) (code string, senderFault bool)

	mu      sync.Mutex
	open    int
	maxOpen int
	asked   int // places asked for by open polls
}

func (s *spy) ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, f ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	s.mu.Lock()
	s.open++
	s.maxOpen = max(s.maxOpen, s.open)
	s.asked += int(in.MaxNumberOfMessages)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.open--
		s.asked -= int(in.MaxNumberOfMessages)
		s.mu.Unlock()
	}()
	if s.receive != nil {
		s.receive(in)
	}
	return s.API.ReceiveMessage(ctx, in, f...)
}

// polls is how many polls are open.
func (s *spy) polls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open
}

// most is the most polls that were open at once.
func (s *spy) most() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.maxOpen
}

func (s *spy) refusal(operation string, id *string) (types.BatchResultErrorEntry, bool) {
	if s.refuse == nil {
		return types.BatchResultErrorEntry{}, false
	}
	code, senderFault := s.refuse(operation)
	return types.BatchResultErrorEntry{Id: id, Code: aws.String(code), Message: aws.String("by the test"), SenderFault: senderFault}, code != ""
}

func (s *spy) DeleteMessageBatch(ctx context.Context, in *sqs.DeleteMessageBatchInput, f ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error) {
	var failed []types.BatchResultErrorEntry
	var rest []types.DeleteMessageBatchRequestEntry
	for _, e := range in.Entries {
		if f, refused := s.refusal("delete", e.Id); refused {
			failed = append(failed, f)
		} else {
			rest = append(rest, e)
		}
	}
	out := &sqs.DeleteMessageBatchOutput{}
	if len(rest) > 0 {
		var err error
		if out, err = s.API.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: in.QueueUrl, Entries: rest}, f...); err != nil {
			return nil, fmt.Errorf("spied: %w", err)
		}
	}
	out.Failed = append(out.Failed, failed...)
	return out, nil
}

func (s *spy) ChangeMessageVisibilityBatch(ctx context.Context, in *sqs.ChangeMessageVisibilityBatchInput, f ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error) {
	var failed []types.BatchResultErrorEntry
	var rest []types.ChangeMessageVisibilityBatchRequestEntry
	for _, e := range in.Entries {
		if f, refused := s.refusal("visibility", e.Id); refused {
			failed = append(failed, f)
		} else {
			rest = append(rest, e)
		}
	}
	out := &sqs.ChangeMessageVisibilityBatchOutput{}
	if len(rest) > 0 {
		var err error
		if out, err = s.API.ChangeMessageVisibilityBatch(ctx, &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: in.QueueUrl, Entries: rest}, f...); err != nil {
			return nil, fmt.Errorf("spied: %w", err)
		}
	}
	out.Failed = append(out.Failed, failed...)
	return out, nil
}

// switchGate is a Gate that tests open and close.
type switchGate struct {
	mu     sync.Mutex
	opened chan struct{} // nil while open
}

func (g *switchGate) Open() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.opened == nil
}

func (g *switchGate) Wait(ctx context.Context) error {
	g.mu.Lock()
	opened := g.opened
	g.mu.Unlock()
	if opened == nil {
		return nil
	}
	select {
	case <-opened:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *switchGate) set(open bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case open && g.opened != nil:
		close(g.opened)
		g.opened = nil
	case !open && g.opened == nil:
		g.opened = make(chan struct{})
	}
}
