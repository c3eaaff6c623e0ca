package sns

import (
	"cmp"
	"context"
	"encoding/xml"
	"maps"
	"slices"
	"strconv"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

type (
	topicOutput struct {
		TopicArn string `xml:"TopicArn"`
	}
	topicsOutput struct {
		Topics    []topicOutput `xml:"Topics>member"`
		NextToken string        `xml:"NextToken,omitempty"`
	}
	subscribeOutput struct {
		SubscriptionArn string `xml:"SubscriptionArn"`
	}
	subscriptionsOutput struct {
		Subscriptions []subscriptionOutput `xml:"Subscriptions>member"`
		NextToken     string               `xml:"NextToken,omitempty"`
	}
	subscriptionOutput struct {
		SubscriptionArn string `xml:"SubscriptionArn"`
		Owner           string `xml:"Owner"`
		Protocol        string `xml:"Protocol"`
		Endpoint        string `xml:"Endpoint"`
		TopicArn        string `xml:"TopicArn"`
	}
	attributesOutput struct {
		Attributes xmlMap `xml:"Attributes"`
	}
)

// xmlMap is a map as the query protocol writes it: entries of key and value.
type xmlMap map[string]string

// MarshalXML implements xml.Marshaler.
func (m xmlMap) MarshalXML(e *xml.Encoder, start xml.StartElement) error {
	type entry struct {
		Key   string `xml:"key"`
		Value string `xml:"value"`
	}
	var entries struct {
		Entries []entry `xml:"entry"`
	}
	for _, name := range slices.Sorted(maps.Keys(m)) {
		entries.Entries = append(entries.Entries, entry{name, m[name]})
	}
	return e.EncodeElement(entries, start)
}

// pageSize is AWS's, of topics and of subscriptions (API_ListTopics).
const pageSize = 100

// page cuts a list at the token, which is where to go on.
func page[T any](all []T, token string) (cut []T, next string) {
	from, _ := strconv.Atoi(token)
	from = min(max(from, 0), len(all))
	to := min(from+pageSize, len(all))
	if to < len(all) {
		next = strconv.Itoa(to)
	}
	return all[from:to], next
}

func (s *SNS) createTopic(_ context.Context, c *service.Call, in *service.Form) (*topicOutput, error) {
	arn, err := s.Create(c.Region, c.Account, in.Text("Name"), in.Map("Attributes"))
	if err != nil {
		return nil, err
	}
	return &topicOutput{TopicArn: arn}, nil
}

// deleteTopic deletes a topic and its subscriptions; what is gone is deleted with success
// (API_DeleteTopic).
func (s *SNS) deleteTopic(_ context.Context, _ *service.Call, in *service.Form) (*service.Empty, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.topics[in.Text("TopicArn")]; t != nil {
		for _, sub := range t.subscriptions {
			delete(s.subscriptions, sub.arn)
		}
		delete(s.topics, t.arn)
	}
	return &service.Empty{}, nil
}

func (s *SNS) listTopics(_ context.Context, c *service.Call, in *service.Form) (*topicsOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []topicOutput
	for _, t := range s.topics {
		if t.account == c.Account && t.region == c.Region {
			all = append(all, topicOutput{t.arn})
		}
	}
	slices.SortFunc(all, func(a, b topicOutput) int { return cmp.Compare(a.TopicArn, b.TopicArn) })
	topics, next := page(all, in.Text("NextToken"))
	return &topicsOutput{Topics: topics, NextToken: next}, nil
}

func (s *SNS) getTopicAttributes(_ context.Context, _ *service.Call, in *service.Form) (*attributesOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.topicLocked(in)
	if err != nil {
		return nil, err
	}
	out := xmlMap{
		"TopicArn": t.arn, "Owner": t.account, "DisplayName": "",
		"SubscriptionsConfirmed": strconv.Itoa(len(t.subscriptions)),
		"SubscriptionsPending":   strconv.Itoa(len(t.pending)), "SubscriptionsDeleted": "0",
	}
	maps.Copy(out, t.attributes)
	return &attributesOutput{out}, nil
}

func (s *SNS) setTopicAttributes(_ context.Context, _ *service.Call, in *service.Form) (*service.Empty, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.topicLocked(in)
	if err != nil {
		return nil, err
	}
	t.attributes[in.Text("AttributeName")] = in.Text("AttributeValue")
	return &service.Empty{}, nil
}

func (s *SNS) subscribe(_ context.Context, _ *service.Call, in *service.Form) (*subscribeOutput, error) {
	switch protocol := in.Text("Protocol"); protocol {
	case "sqs":
	case "email":
		err := s.subscribePending(in.Text("TopicArn"), protocol, in.Text("Endpoint"))
		return &subscribeOutput{"pending confirmation"}, err
	default:
		return nil, invalid("Protocol: the simulator delivers to sqs only, not to %q", protocol)
	}
	arn, err := s.Subscribe(in.Text("TopicArn"), in.Text("Endpoint"), in.Map("Attributes"))
	if err != nil {
		return nil, err
	}
	return &subscribeOutput{arn}, nil
}

// unsubscribe succeeds for what is gone (API_Unsubscribe).
func (s *SNS) unsubscribe(_ context.Context, _ *service.Call, in *service.Form) (*service.Empty, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sub := s.subscriptions[in.Text("SubscriptionArn")]; sub != nil {
		delete(s.subscriptions, sub.arn)
		sub.topic.subscriptions = slices.DeleteFunc(slices.Clone(sub.topic.subscriptions), func(have *subscription) bool { return have == sub })
	}
	return &service.Empty{}, nil
}

// listSubscriptions lists those of one topic where one is named, else all of the caller.
func (s *SNS) listSubscriptions(_ context.Context, c *service.Call, in *service.Form) (*subscriptionsOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []subscriptionOutput
	if in.Has("TopicArn") {
		t, err := s.topicLocked(in)
		if err != nil {
			return nil, err
		}
		for _, sub := range t.subscriptions {
			all = append(all, sub.output())
		}
		all = append(all, t.pending...)
	} else {
		for _, sub := range s.subscriptions {
			if sub.owner == c.Account && sub.topic.region == c.Region {
				all = append(all, sub.output())
			}
		}
		slices.SortFunc(all, func(a, b subscriptionOutput) int { return cmp.Compare(a.SubscriptionArn, b.SubscriptionArn) })
	}
	cut, next := page(all, in.Text("NextToken"))
	return &subscriptionsOutput{Subscriptions: cut, NextToken: next}, nil
}

func (sub *subscription) output() subscriptionOutput {
	return subscriptionOutput{SubscriptionArn: sub.arn, Owner: sub.owner, Protocol: "sqs", Endpoint: sub.endpoint, TopicArn: sub.topic.arn}
}

func (s *SNS) subscriptionLocked(in *service.Form) (*subscription, error) {
	sub := s.subscriptions[in.Text("SubscriptionArn")]
	if sub == nil {
		return nil, &service.Error{Status: 404, Code: "NotFound", Message: "Subscription does not exist"}
	}
	return sub, nil
}

func (s *SNS) getSubscriptionAttributes(_ context.Context, _ *service.Call, in *service.Form) (*attributesOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub, err := s.subscriptionLocked(in)
	if err != nil {
		return nil, err
	}
	out := xmlMap{
		"SubscriptionArn": sub.arn, "TopicArn": sub.topic.arn, "Owner": sub.owner, "Protocol": "sqs",
		"Endpoint": sub.endpoint, "PendingConfirmation": "false", "ConfirmationWasAuthenticated": "true",
		"RawMessageDelivery": "false",
	}
	maps.Copy(out, sub.attributes)
	return &attributesOutput{out}, nil
}

func (s *SNS) setSubscriptionAttributes(_ context.Context, _ *service.Call, in *service.Form) (*service.Empty, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub, err := s.subscriptionLocked(in)
	if err != nil {
		return nil, err
	}
	if err := sub.set(in.Text("AttributeName"), in.Text("AttributeValue")); err != nil {
		return nil, err
	}
	return &service.Empty{}, nil
}
