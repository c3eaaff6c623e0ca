// Package sns simulates Amazon SNS: standard topics that deliver to SQS queues, raw or in
// a notification, with filter policies over message attributes; the query protocol.
//
// Delivery is at once and in order, and is never tried again: what cannot be delivered, the
// queue being gone, is dropped, as AWS does with client-side errors. Signatures in
// notifications are made up. Protocols other than sqs are refused, save email, whose subscriptions are never confirmed
// and get nothing.
package sns

import (
	"crypto/md5"
	"slices"
	"strings"
	"sync"

	"github.com/rescindhq/rescind/internal/awssim/service"
	"github.com/rescindhq/rescind/internal/awssim/sqs"
)

// Queues is where messages are delivered.
type Queues interface {
	Deliver(arn string, d sqs.Delivery) (sqs.ID, error)
}

// SNS is all topics of all accounts and regions. Its methods are safe for concurrent use.
type SNS struct {
	seed   uint64
	queues Queues

	mu            sync.Mutex
	topics        map[string]*topic        // by ARN
	subscriptions map[string]*subscription // by ARN
	bodies        map[uint64]uint32        // how often a message was published, by its MD5
}

type topic struct {
	arn, name     string
	account       string
	region        string
	subscriptions []*subscription // in the order in which they were made
	pending       []subscriptionOutput
	attributes    map[string]string
}

type subscription struct {
	arn, endpoint, owner string
	topic                *topic
	raw                  bool
	filter               policy
	attributes           map[string]string
}

// New returns SNS with no topic. The seed decides what message ids are.
func New(seed uint64, queues Queues) *SNS {
	return &SNS{
		seed: seed, queues: queues,
		topics: map[string]*topic{}, subscriptions: map[string]*subscription{}, bodies: map[uint64]uint32{},
	}
}

// Service says how SNS is called.
func (s *SNS) Service() *service.Service {
	topicItem := func(in *service.Form) []string { return []string{in.Text("TopicArn")} }
	return &service.Service{
		Name: "sns", Protocol: service.Query, XMLNS: "http://sns.amazonaws.com/doc/2010-03-31/",
		Throttled: &service.Error{Status: 429, Code: "Throttled", Message: "Rate exceeded"},
		Denied:    &service.Error{Status: 403, Code: "AuthorizationError", Message: "The caller is not authorized to perform this action."},
		Broken: []*service.Error{
			{Status: 500, Code: "InternalError", Message: "An internal service error has occurred."},
			{Status: 503, Code: "ServiceUnavailable", Message: "Service is unavailable. Please try again."},
		},
		// The codes of single entries are not documented; this is the operation's own.
		ItemErrors: []*service.Error{{Status: 500, Code: "InternalError", Message: "An internal service error has occurred."}},
		Operations: map[string]service.Operation{
			"CreateTopic":               service.Action(nil, s.createTopic),
			"DeleteTopic":               service.Action(topicItem, s.deleteTopic),
			"ListTopics":                service.Action(nil, s.listTopics),
			"GetTopicAttributes":        service.Action(topicItem, s.getTopicAttributes),
			"SetTopicAttributes":        service.Action(topicItem, s.setTopicAttributes),
			"Subscribe":                 service.Action(topicItem, s.subscribe),
			"Unsubscribe":               service.Action(nil, s.unsubscribe),
			"ListSubscriptions":         service.Action(nil, s.listSubscriptions),
			"ListSubscriptionsByTopic":  service.Action(topicItem, s.listSubscriptions),
			"GetSubscriptionAttributes": service.Action(nil, s.getSubscriptionAttributes),
			"SetSubscriptionAttributes": service.Action(nil, s.setSubscriptionAttributes),
			"Publish":                   service.Action(publishItems, s.publish),
			"PublishBatch":              s.publishBatchOperation(),
		},
	}
}

func noTopic() *service.Error {
	return &service.Error{Status: 404, Code: "NotFound", Message: "Topic does not exist"}
}

func invalid(format string, args ...any) *service.Error {
	return service.Refuse("InvalidParameter", "Invalid parameter: "+format, args...)
}

func (s *SNS) topicLocked(in *service.Form) (*topic, error) {
	arn := in.Text("TopicArn")
	if arn == "" {
		arn = in.Text("TargetArn") // Publish takes either
	}
	if strings.Count(arn, ":") != 5 {
		return nil, invalid("TopicArn")
	}
	t := s.topics[arn]
	if t == nil {
		return nil, noTopic()
	}
	return t, nil
}

// Create makes a topic, or finds it, and returns its ARN.
func (s *SNS) Create(region, account, name string, attributes map[string]string) (string, error) {
	// API_CreateTopic: letters, digits, hyphens and underscores, 1 to 256.
	if name == "" || len(name) > 256 || strings.Trim(name, plain) != "" {
		return "", invalid("Topic Name (the simulator has no FIFO topics)")
	}
	arn := "arn:aws:sns:" + region + ":" + account + ":" + name
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.topics[arn]
	if t == nil {
		t = &topic{arn: arn, name: name, account: account, region: region, attributes: map[string]string{}}
		s.topics[arn] = t
	}
	for attribute, value := range attributes {
		t.attributes[attribute] = value
	}
	return arn, nil
}

// Subscribe subscribes a queue to a topic, both by ARN, and returns the subscription's ARN.
// Attributes are the API's: RawMessageDelivery, FilterPolicy.
func (s *SNS) Subscribe(topicARN, queueARN string, attributes map[string]string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.topics[topicARN]
	if t == nil {
		return "", noTopic()
	}
	if parts := strings.SplitN(queueARN, ":", 6); len(parts) != 6 || parts[2] != "sqs" {
		return "", invalid("SQS endpoint ARN")
	}
	sub := &subscription{endpoint: queueARN, owner: t.account, topic: t, attributes: map[string]string{}}
	for name, value := range attributes {
		if err := sub.set(name, value); err != nil {
			return "", err
		}
	}
	// API_Subscribe: one endpoint is subscribed to one topic once.
	if i := slices.IndexFunc(t.subscriptions, func(have *subscription) bool { return have.endpoint == queueARN }); i >= 0 {
		return t.subscriptions[i].arn, nil
	}
	sub.arn = t.arn + ":" + sqs.NewID(s.seed, t.arn, md5.Sum([]byte(queueARN)), 0).String()
	t.subscriptions = append(t.subscriptions, sub)
	s.subscriptions[sub.arn] = sub
	return sub.arn, nil
}

// subscribePending makes a subscription that waits to be confirmed. It has no ARN yet: listings show "PendingConfirmation"
// in its place ("ListSubscriptionsByTopic", SNS API Reference, and the answers of SNS in public issues).
func (s *SNS) subscribePending(topicARN, protocol, endpoint string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.topics[topicARN]
	if t == nil {
		return noTopic()
	}
	t.pending = append(t.pending, subscriptionOutput{
		SubscriptionArn: "PendingConfirmation", Owner: t.account, Protocol: protocol, Endpoint: endpoint, TopicArn: topicARN,
	})
	return nil
}

func (sub *subscription) set(name, value string) error {
	switch name {
	case "RawMessageDelivery":
		sub.raw = strings.EqualFold(value, "true")
	case "FilterPolicy":
		filter, err := parsePolicy(value)
		if err != nil {
			return err
		}
		sub.filter = filter
	case "FilterPolicyScope":
		if value != "MessageAttributes" {
			return invalid("FilterPolicyScope: the simulator filters by MessageAttributes only")
		}
	case "RedrivePolicy", "DeliveryPolicy":
	default:
		return invalid("AttributeName")
	}
	sub.attributes[name] = value
	return nil
}

// plain characters are those of topic names and batch entry ids.
const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
