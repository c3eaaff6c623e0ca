package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	wsns "github.com/ThreeDotsLabs/watermill-aws/sns"
	wsqs "github.com/ThreeDotsLabs/watermill-aws/sqs"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// subscribers is how many subscriptions, each of which holds one message at a time.
const subscribers = 64

// prepareWatermill makes a router of 64 handlers over watermill-aws's subscriber and publisher. A
// subscription receives up to most at a time; what it holds goes through one after the other.
func prepareWatermill(most int32) func(context.Context, assignment) (func(context.Context) error, error) {
	return func(_ context.Context, a assignment) (func(context.Context) error, error) {
		cfg := a.config()
		quiet := watermill.NopLogger{}
		from, err := wsqs.NewSubscriber(wsqs.SubscriberConfig{
			AWSConfig: cfg, QueueUrlResolver: wsqs.TransparentUrlResolver{}, DoNotCreateQueueIfNotExists: true,
			GenerateReceiveMessageInput: func(ctx context.Context, queue wsqs.QueueURL) (*sqs.ReceiveMessageInput, error) {
				in, err := wsqs.GenerateReceiveMessageInputDefault(ctx, queue)
				if err == nil {
					in.MaxNumberOfMessages = most
				}
				return in, err
			},
		}, quiet)
		if err != nil {
			return nil, fmt.Errorf("making the subscriber: %w", err)
		}
		to, err := wsns.NewPublisher(wsns.PublisherConfig{
			AWSConfig: cfg, TopicResolver: wsns.TransparentTopicResolver{}, DoNotCreateTopicIfNotExists: true,
		}, quiet)
		if err != nil {
			return nil, fmt.Errorf("making the publisher: %w", err)
		}
		router, err := message.NewRouter(message.RouterConfig{CloseTimeout: 30 * time.Second}, quiet)
		if err != nil {
			return nil, fmt.Errorf("making the router: %w", err)
		}
		f, err := fleetOf(a.Fleet)
		if err != nil {
			return nil, err
		}
		call, _ := f.calls(cfg)
		for i := range subscribers {
			router.AddHandler(fmt.Sprintf("cancel-%d", i), a.Place.QueueURL, from, a.Place.TopicARN, to,
				func(m *message.Message) ([]*message.Message, error) { return cancelOne(call, m) })
		}
		return router.Run, nil
	}
}

// cancelOne is the handler: the router publishes what it returns, and acks.
func cancelOne(call func(context.Context, request) error, m *message.Message) ([]*message.Message, error) {
	r, err := decode(string(m.Payload))
	if err != nil {
		return nil, err
	}
	e := r.event(call(m.Context(), r))
	body, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("writing an outcome: %w", err)
	}
	out := message.NewMessage(watermill.NewUUID(), body)
	out.Metadata.Set("action", r.Action)
	out.Metadata.Set("status", e.Status)
	return []*message.Message{out}, nil
}
