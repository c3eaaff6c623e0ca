package peers_test

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/rescindhq/rescind/worker/queue"
)

// watermillSuite runs Watermill's own suite on our subscriber and another's SQS, in short mode.
// Features that SQS does not have (order, consumer groups, old messages, exactly once) are
// skipped by the suite itself.
func watermillSuite(t *testing.T, url string) {
	client := sqs.NewFromConfig(config(t, url))
	pubSub := func(*testing.T) (message.Publisher, message.Subscriber) {
		return &suitePublisher{client}, &suiteSubscriber{
			client: client,
			Subscriber: queue.New(client, queue.Options{
				// A peer may hand a message to a poll that was given up when a subscriber closed,
				// as AWS may: it comes back at the end of its lease, and the suite waits for 45 s.
				Lease:    5 * time.Second,
				WaitTime: time.Second,
				Drain:    time.Second,
				Unmarshal: func(m types.Message) *message.Message {
					msg := message.NewMessage("", message.Payload(aws.ToString(m.Body)))
					for name, value := range m.MessageAttributes {
						msg.Metadata.Set(name, aws.ToString(value.StringValue))
					}
					msg.UUID = msg.Metadata.Get(suiteUUID)
					delete(msg.Metadata, suiteUUID)
					return msg
				},
			}),
		}
	}
	tests.TestPubSub(t, tests.Features{
		Persistent:        true,
		ForceShort:        true,
		GenerateTopicFunc: func(tctx tests.TestContext) string { return "topic-" + string(tctx.TestID) },
	}, pubSub, func(t *testing.T, _ string) (message.Publisher, message.Subscriber) { return pubSub(t) })
}

// suiteUUID is the attribute that carries the UUID by which the suite compares.
const suiteUUID = "_uuid"

// urlOf makes the queue of a topic, or finds it: where the URL is, is the peer's own affair.
func urlOf(client *sqs.Client, topic string) (string, error) {
	out, err := client.CreateQueue(context.Background(), &sqs.CreateQueueInput{QueueName: &topic})
	if err != nil {
		return "", err
	}
	return *out.QueueUrl, nil
}

// suiteSubscriber takes a topic for the name of a queue.
type suiteSubscriber struct {
	*queue.Subscriber
	client *sqs.Client
}

func (s *suiteSubscriber) SubscribeInitialize(topic string) error {
	_, err := urlOf(s.client, topic)
	return err
}

func (s *suiteSubscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	url, err := urlOf(s.client, topic)
	if err != nil {
		return nil, err
	}
	return s.Subscriber.Subscribe(ctx, url)
}

// suitePublisher puts messages on queues, with UUID and metadata.
type suitePublisher struct{ client *sqs.Client }

func (p *suitePublisher) Publish(topic string, messages ...*message.Message) error {
	url, err := urlOf(p.client, topic)
	if err != nil {
		return err
	}
	for len(messages) > 0 {
		n := min(len(messages), 10)
		in := &sqs.SendMessageBatchInput{QueueUrl: &url}
		for i, m := range messages[:n] {
			attributes := map[string]types.MessageAttributeValue{
				suiteUUID: {DataType: aws.String("String"), StringValue: aws.String(m.UUID)},
			}
			for key, value := range m.Metadata {
				attributes[key] = types.MessageAttributeValue{DataType: aws.String("String"), StringValue: aws.String(value)}
			}
			in.Entries = append(in.Entries, types.SendMessageBatchRequestEntry{
				Id: aws.String(strconv.Itoa(i)), MessageBody: aws.String(string(m.Payload)), MessageAttributes: attributes,
			})
		}
		out, err := p.client.SendMessageBatch(context.Background(), in)
		if err != nil {
			return err
		}
		if len(out.Failed) > 0 {
			return errors.New(aws.ToString(out.Failed[0].Message))
		}
		messages = messages[n:]
	}
	return nil
}

func (p *suitePublisher) Close() error { return nil }
