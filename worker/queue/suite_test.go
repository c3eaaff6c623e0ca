package queue

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/rescindhq/rescind/internal/awssim"
)

// TestWatermillSuite runs Watermill's own suite against the simulator, in virtual time. Left out are
// the tests of what SQS does not have: order, consumer groups, old messages, exactly-once delivery.
func TestWatermillSuite(t *testing.T) {
	for name, test := range map[string]func(*testing.T, tests.TestContext, tests.PubSubConstructor){
		"PublishSubscribe":                  tests.TestPublishSubscribe,
		"ConcurrentSubscribe":               tests.TestConcurrentSubscribe,
		"ConcurrentSubscribeMultipleTopics": tests.TestConcurrentSubscribeMultipleTopics,
		"ResendOnError":                     tests.TestResendOnError,
		"ContinueAfterSubscribeClose":       tests.TestContinueAfterSubscribeClose,
		"ConcurrentClose":                   tests.TestConcurrentClose,
		"ContinueAfterErrors":               tests.TestContinueAfterErrors,
		"PublisherClose":                    tests.TestPublisherClose,
		"Topic":                             tests.TestTopic,
		"MessageCtx":                        tests.TestMessageCtx,
		"SubscribeCtx":                      tests.TestSubscribeCtx,
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, awssim.Options{}, func(w *world) {
				features := tests.Features{
					Persistent: true,
					ForceShort: true, // 100 messages in place of 5,000: other tests of this package have the load
					GenerateTopicFunc: func(c tests.TestContext) string {
						return "http://awssim.internal/123456789012/topic-" + string(c.TestID)
					},
				}
				test(w.T, tests.TestContext{TestID: tests.NewTestID(), Features: features}, func(*testing.T) (message.Publisher, message.Subscriber) {
					s := New(w.client, Options{WaitTime: time.Second, Drain: time.Second, Unmarshal: suiteUnmarshal})
					return &suitePublisher{w.client}, &suiteSubscriber{s, w.client}
				})
			})
		})
	}
}

const suiteUUID = "_uuid"

// suiteUnmarshal restores the UUID that the suite compares by.
func suiteUnmarshal(m types.Message) *message.Message {
	msg := unmarshal(m)
	msg.UUID = msg.Metadata.Get(suiteUUID)
	delete(msg.Metadata, suiteUUID)
	return msg
}

// suiteSubscriber makes the queue of a topic before it is used, as the suite expects.
type suiteSubscriber struct {
	*Subscriber
	client *sqs.Client
}

func (s *suiteSubscriber) SubscribeInitialize(topic string) error {
	name := topic[strings.LastIndexByte(topic, '/')+1:]
	_, err := s.client.CreateQueue(context.Background(), &sqs.CreateQueueInput{QueueName: aws.String(name)})
	return err
}

// suitePublisher puts messages on queues, with UUID and metadata.
type suitePublisher struct{ client *sqs.Client }

func (p *suitePublisher) Publish(topic string, messages ...*message.Message) error {
	for len(messages) > 0 {
		n := min(len(messages), batchMax)
		in := &sqs.SendMessageBatchInput{QueueUrl: aws.String(topic)}
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
