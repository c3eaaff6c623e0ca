package results

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	"go.uber.org/goleak"

	"github.com/rescindhq/rescind/internal/awssim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a simulator with a topic in it, and a queue that is subscribed to the topic.
type world struct {
	*testing.T
	sim   *awssim.Sim
	api   *spy
	topic string
	sqs   *sqs.Client
	queue string
}

// spy stands between a Publisher and SNS.
type spy struct {
	API
	// answer, where it is set and returns true, answers instead of SNS.
	answer func(*sns.PublishBatchInput) (*sns.PublishBatchOutput, error, bool)

	mu    sync.Mutex
	sizes []int // messages of each request
	bytes []int
}

func (s *spy) PublishBatch(ctx context.Context, in *sns.PublishBatchInput, f ...func(*sns.Options)) (*sns.PublishBatchOutput, error) {
	bytes := 0
	for _, e := range in.PublishBatchRequestEntries {
		bytes += len(aws.ToString(e.Message))
		for key, a := range e.MessageAttributes {
			bytes += len(key) + len(aws.ToString(a.DataType)) + len(aws.ToString(a.StringValue))
		}
	}
	s.mu.Lock()
	s.sizes, s.bytes = append(s.sizes, len(in.PublishBatchRequestEntries)), append(s.bytes, bytes)
	s.mu.Unlock()
	if s.answer != nil {
		if out, err, yes := s.answer(in); yes {
			return out, err
		}
	}
	return s.API.PublishBatch(ctx, in, f...)
}

func (s *spy) requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sizes)
}

func virtual(t *testing.T, o awssim.Options, test func(w *world)) {
	synctest.Test(t, func(t *testing.T) {
		sim := awssim.New(o)
		t.Cleanup(func() { _ = sim.Close() })
		cfg := sim.Config()
		cfg.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
		client := sns.NewFromConfig(cfg)
		w := &world{T: t, sim: sim, api: &spy{API: client}, sqs: sqs.NewFromConfig(cfg)}
		topic, err := client.CreateTopic(t.Context(), &sns.CreateTopicInput{Name: aws.String("outcomes")})
		w.must(err)
		w.topic = aws.ToString(topic.TopicArn)
		queue, err := w.sqs.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("audit")})
		w.must(err)
		w.queue = aws.ToString(queue.QueueUrl)
		_, err = client.Subscribe(t.Context(), &sns.SubscribeInput{
			TopicArn: topic.TopicArn, Protocol: aws.String("sqs"),
			Endpoint:   aws.String("arn:aws:sqs:us-east-1:123456789012:audit"),
			Attributes: map[string]string{"RawMessageDelivery": "true"},
		})
		w.must(err)
		test(w)
	})
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) publisher(o Options) *Publisher {
	p := New(w.api, o)
	w.Cleanup(func() { _ = p.Close() })
	return p
}

// delivered counts what reached the subscriber.
func (w *world) delivered() string {
	w.Helper()
	out, err := w.sqs.GetQueueAttributes(w.Context(), &sqs.GetQueueAttributesInput{
		QueueUrl: aws.String(w.queue), AttributeNames: []sqstypes.QueueAttributeName{"ApproximateNumberOfMessages"},
	})
	w.must(err)
	return out.Attributes["ApproximateNumberOfMessages"]
}

// publishAll publishes n messages from n callers and returns their errors when all are back.
func publishAll(p *Publisher, topic string, n int, payload string) (wait func() []error) {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = p.Publish(topic, message.NewMessage(fmt.Sprint(i), []byte(payload))) })
	}
	return func() []error {
		wg.Wait()
		return errs
	}
}

func advance(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func TestPublishOne(t *testing.T) {
	virtual(t, awssim.Options{}, func(w *world) {
		p := w.publisher(Options{})
		m := message.NewMessage("1", []byte(`{"status":"cancelled"}`))
		m.Metadata = message.Metadata{"status": "cancelled", "campaign": "", "_internal": "x"}
		w.must(p.Publish(w.topic, m))
		out, err := w.sqs.ReceiveMessage(w.Context(), &sqs.ReceiveMessageInput{
			QueueUrl: aws.String(w.queue), MessageAttributeNames: []string{"All"},
		})
		w.must(err)
		if len(out.Messages) != 1 {
			t.Fatalf("%d delivered", len(out.Messages))
		}
		got := out.Messages[0]
		if aws.ToString(got.Body) != string(m.Payload) || len(got.MessageAttributes) != 1 ||
			aws.ToString(got.MessageAttributes["status"].StringValue) != "cancelled" {
			t.Errorf("delivered %q with %v", aws.ToString(got.Body), got.MessageAttributes)
		}
	})
}

func TestConcurrentCallersShareRequests(t *testing.T) {
	virtual(t, awssim.Options{Latency: 10 * time.Millisecond}, func(w *world) {
		p := w.publisher(Options{})
		for i, err := range publishAll(p, w.topic, 1000, "x")() {
			if err != nil {
				t.Fatalf("message %d: %v", i, err)
			}
		}
		if got := w.delivered(); got != "1000" {
			t.Errorf("%s delivered", got)
		}
		if requests := w.api.requests(); requests > 105 {
			t.Errorf("1000 messages in %d requests", requests)
		}
	})
}

func TestOneCallWithManyMessages(t *testing.T) {
	virtual(t, awssim.Options{Latency: 10 * time.Millisecond}, func(w *world) {
		p := w.publisher(Options{})
		list := make([]*message.Message, 100)
		for i := range list {
			list[i] = message.NewMessage(fmt.Sprint(i), []byte("x"))
		}
		w.must(p.Publish(w.topic, list...))
		if got, requests := w.delivered(), w.api.requests(); got != "100" || requests > 13 {
			t.Errorf("%s delivered in %d requests", got, requests)
		}
		w.must(p.Publish(w.topic))
	})
}

func TestRequestsKeepToTheSizeLimit(t *testing.T) {
	virtual(t, awssim.Options{Latency: 10 * time.Millisecond}, func(w *world) {
		p := w.publisher(Options{})
		// Three fit, less one byte each for the attribute of the message: two.
		third := strings.Repeat("x", batchMaxBytes/3)
		m := func(i int) *message.Message {
			m := message.NewMessage(fmt.Sprint(i), []byte(third))
			m.Metadata.Set("a", "b")
			return m
		}
		var list []*message.Message
		for i := range 20 {
			list = append(list, m(i))
		}
		w.must(p.Publish(w.topic, list...))
		for i, bytes := range w.api.bytes {
			if bytes > batchMaxBytes {
				t.Errorf("a request of %d messages and %d bytes", w.api.sizes[i], bytes)
			}
		}
		if requests := w.api.requests(); requests > 12 {
			t.Errorf("%d requests", requests)
		}
	})
}

func TestPartialFailures(t *testing.T) {
	virtual(t, awssim.Options{Latency: 10 * time.Millisecond}, func(w *world) {
		w.sim.SetFaults(awssim.Faults{"sns:PublishBatch": {Items: 0.3, Times: 3}})
		p := w.publisher(Options{OnDown: func(err error) { t.Errorf("down: %v", err) }})
		wait := make([]func() []error, 5) // different bodies, which faults are drawn by
		for i := range wait {
			wait[i] = publishAll(p, w.topic, 40, fmt.Sprint("body ", i))
		}
		for _, wait := range wait {
			for i, err := range wait() {
				if err != nil {
					t.Errorf("message %d: %v", i, err)
				}
			}
		}
		if got := w.delivered(); got != "200" {
			t.Errorf("%s delivered", got)
		}
		if w.sim.Counts()["sns:PublishBatch"].FailedItems == 0 {
			t.Error("nothing failed: nothing was tested")
		}
	})
}

func TestRejectedAlone(t *testing.T) {
	virtual(t, awssim.Options{Latency: 10 * time.Millisecond}, func(w *world) {
		w.api.answer = func(in *sns.PublishBatchInput) (*sns.PublishBatchOutput, error, bool) {
			out := &sns.PublishBatchOutput{}
			for _, e := range in.PublishBatchRequestEntries {
				if aws.ToString(e.Message) == "bad" {
					out.Failed = append(out.Failed, types.BatchResultErrorEntry{
						Id: e.Id, Code: aws.String("InvalidParameter"), Message: aws.String("bad"), SenderFault: true,
					})
				} else {
					out.Successful = append(out.Successful, types.PublishBatchResultEntry{Id: e.Id})
				}
			}
			return out, nil, true
		}
		p := w.publisher(Options{})
		checkRejected(t, p, w.topic)
	})
}

// SNS refuses a whole request for what one message is to blame for.
func TestRejectedTogether(t *testing.T) {
	virtual(t, awssim.Options{Latency: 10 * time.Millisecond}, func(w *world) {
		w.api.answer = func(in *sns.PublishBatchInput) (*sns.PublishBatchOutput, error, bool) {
			for _, e := range in.PublishBatchRequestEntries {
				if aws.ToString(e.Message) == "bad" {
					return nil, &smithy.GenericAPIError{Code: "InvalidParameter", Message: "bad"}, true
				}
			}
			return nil, nil, false
		}
		p := w.publisher(Options{OnDown: func(err error) { t.Errorf("down: %v", err) }})
		checkRejected(t, p, w.topic)
		if got := w.delivered(); got != "50" {
			t.Errorf("%s delivered, want every message but the bad one, once", got)
		}
	})
}

func checkRejected(t *testing.T, p *Publisher, topic string) {
	t.Helper()
	good := publishAll(p, topic, 50, "good")
	bad := publishAll(p, topic, 1, "bad")
	for i, err := range good() {
		if err != nil {
			t.Errorf("message %d: %v", i, err)
		}
	}
	var rejected *RejectedError
	if err := bad()[0]; !errors.As(err, &rejected) || rejected.Code != "InvalidParameter" {
		t.Errorf("the bad message: %v", err)
	}
	if err := p.Health(); err != nil {
		t.Errorf("health: %v", err)
	}
}

func TestDownAndUp(t *testing.T) {
	virtual(t, awssim.Options{Latency: 10 * time.Millisecond}, func(w *world) {
		var changes []string
		p := w.publisher(Options{
			OnDown: func(error) { changes = append(changes, "down") },
			OnUp:   func() { changes = append(changes, "up") },
		})
		w.must(p.Publish(w.topic, message.NewMessage("0", []byte("x"))))
		w.sim.SetDown("sns", true)
		wait := publishAll(p, w.topic, 500, "x")
		advance(15 * time.Millisecond)
		if err := p.Health(); err == nil || !strings.Contains(err.Error(), "publishing to "+w.topic) {
			t.Errorf("health after the first failure: %v", err)
		}
		under := w.api.requests()
		advance(time.Minute)
		// Full jitter up to 5 s, 2.5 s on average, after a quick beginning.
		if probes := w.api.requests() - under; probes < 12 || probes > 60 {
			t.Errorf("%d requests in a minute of outage", probes)
		}
		w.sim.SetDown("sns", false)
		up := time.Now()
		for i, err := range wait() {
			if err != nil {
				t.Errorf("message %d: %v", i, err)
			}
		}
		if took := time.Since(up); took > 6*time.Second {
			t.Errorf("resumed %v after the outage", took)
		}
		if got := w.delivered(); got != "501" {
			t.Errorf("%s delivered", got)
		}
		if err := p.Health(); err != nil {
			t.Errorf("health: %v", err)
		}
		if fmt.Sprint(changes) != "[down up]" {
			t.Errorf("changes: %v", changes)
		}
	})
}

// While the publisher is down there is one request at a time.
func TestOneProbeAtATime(t *testing.T) {
	virtual(t, awssim.Options{}, func(w *world) {
		p := w.publisher(Options{})
		w.sim.SetHang("sns", true)
		wait := publishAll(p, w.topic, 300, "x")
		advance(6 * time.Second) // what was under way has timed out
		if p.Health() == nil {
			t.Fatal("up")
		}
		before := w.api.requests()
		advance(30 * time.Second)
		if probes := w.api.requests() - before; probes < 2 || probes > 6 {
			t.Errorf("%d requests of 5 s, one at a time, in 30 s", probes)
		}
		w.sim.SetHang("sns", false)
		for i, err := range wait() {
			if err != nil {
				t.Errorf("message %d: %v", i, err)
			}
		}
	})
}

func TestContextEnds(t *testing.T) {
	virtual(t, awssim.Options{}, func(w *world) {
		p := w.publisher(Options{})
		w.sim.SetDown("sns", true)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		began := time.Now()
		err := p.Publish(w.topic, message.NewMessageWithContext(ctx, "1", []byte("x")))
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 10*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		// A message whose context ended is not sent later.
		w.sim.SetDown("sns", false)
		w.must(p.Publish(w.topic, message.NewMessage("2", []byte("y"))))
		if got := w.delivered(); got != "1" {
			t.Errorf("%s delivered", got)
		}
	})
}

func TestClose(t *testing.T) {
	virtual(t, awssim.Options{Latency: time.Second}, func(w *world) {
		p := w.publisher(Options{})
		wait := publishAll(p, w.topic, 30, "x")
		synctest.Wait()
		w.must(p.Close())
		for i, err := range wait() {
			if err != nil {
				t.Errorf("message %d, under way when Close was called: %v", i, err)
			}
		}
		if err := p.Publish(w.topic, message.NewMessage("late", nil)); !errors.Is(err, ErrClosed) {
			t.Errorf("published after Close: %v", err)
		}
		w.must(p.Close())
	})
}

func TestCloseWhileDown(t *testing.T) {
	virtual(t, awssim.Options{}, func(w *world) {
		p := w.publisher(Options{})
		w.sim.SetDown("sns", true)
		wait := publishAll(p, w.topic, 30, "x")
		advance(10 * time.Second)
		began := time.Now()
		w.must(p.Close())
		for i, err := range wait() {
			if !errors.Is(err, ErrClosed) {
				t.Errorf("message %d: %v", i, err)
			}
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("Close took %v", took)
		}
	})
}
