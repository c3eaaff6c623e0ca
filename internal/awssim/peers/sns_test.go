package peers_test

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
)

func (w *world) topic() *string {
	out, err := w.sns.CreateTopic(w.ctx, &sns.CreateTopicInput{Name: name()})
	w.must(err)
	return out.TopicArn
}

// heard makes a topic and a queue that is subscribed to it with these attributes.
func (w *world) heard(attributes map[string]string) (topic, url *string) {
	topic, url = w.topic(), w.queue(nil)
	_, err := w.sns.Subscribe(w.ctx, &sns.SubscribeInput{TopicArn: topic, Protocol: aws.String("sqs"), Endpoint: aws.String(w.arn(url)), Attributes: attributes})
	w.must(err)
	return topic, url
}

var raw = map[string]string{"RawMessageDelivery": "true"}

func text(value string) types.MessageAttributeValue {
	return types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &value}
}

func (w *world) publishBatch(topic *string, ids, bodies []string) (*sns.PublishBatchOutput, error) {
	in := make([]types.PublishBatchRequestEntry, len(ids))
	for i, id := range ids {
		in[i] = types.PublishBatchRequestEntry{Id: &id, Message: &bodies[i], MessageAttributes: map[string]types.MessageAttributeValue{"number": text(strconv.Itoa(i))}}
	}
	return w.sns.PublishBatch(w.ctx, &sns.PublishBatchInput{TopicArn: topic, PublishBatchRequestEntries: in})
}

// filtered makes a test of one filter policy.
func filtered(policy string, wanted bool) test {
	return test{"filter policy " + policy, "sns-subscription-filter-policies", func(w *world) {
		topic, url := w.heard(map[string]string{"RawMessageDelivery": "true", "FilterPolicy": policy})
		_, err := w.sns.Publish(w.ctx, &sns.PublishInput{TopicArn: topic, Message: aws.String("m"), MessageAttributes: map[string]types.MessageAttributeValue{
			"status": text("cancelled"), "service": text("batch"),
			"tags": {DataType: aws.String("String.Array"), StringValue: aws.String(`["red","blue"]`)},
		}})
		w.must(err)
		_, err = w.sns.Publish(w.ctx, &sns.PublishInput{TopicArn: topic, Message: aws.String("bare")})
		w.must(err)
		got := map[string]bool{}
		for _, m := range w.receive(url, 1) {
			got[*m.Body] = true
		}
		same(w, "that it was delivered", got["m"], wanted)
	}}
}

var filterCases = []test{
	filtered(`{"status":["cancelled"]}`, true),
	filtered(`{"status":["failed"]}`, false),
	filtered(`{"status":["failed","cancelled"]}`, true),
	filtered(`{"status":["cancelled"],"service":["emr"]}`, false),
	filtered(`{"status":["cancelled"],"service":["batch"]}`, true),
	filtered(`{"status":[{"prefix":"cancel"}]}`, true),
	filtered(`{"status":[{"suffix":"ed"}]}`, true),
	filtered(`{"status":[{"anything-but":["failed"]}]}`, true),
	filtered(`{"status":[{"anything-but":"cancelled"}]}`, false),
	filtered(`{"status":[{"anything-but":{"prefix":"can"}}]}`, false),
	filtered(`{"status":[{"equals-ignore-case":"CANCELLED"}]}`, true),
	filtered(`{"campaign":[{"exists":false}]}`, true),
	filtered(`{"campaign":[{"exists":true}]}`, false),
	filtered(`{"campaign":[{"anything-but":["x"]}]}`, false),
	filtered(`{"tags":["blue"]}`, true),
	filtered(`{"tags":["green"]}`, false),
}

// envelope wants a notification's fields.
func (w *world) envelope(body *string, want map[string]string) {
	var got map[string]any
	w.must(json.Unmarshal([]byte(*body), &got))
	for field, value := range want {
		same(w, field, got[field], any(value))
	}
	for _, field := range []string{"Signature", "SigningCertURL", "UnsubscribeURL"} {
		if s, ok := got[field].(string); !ok || s == "" {
			w.fail("%s is %v", field, got[field])
		}
	}
	at, err := time.Parse("2006-01-02T15:04:05.000Z", got["Timestamp"].(string))
	w.must(err)
	if since := time.Since(at); since < -time.Second || since > time.Minute {
		w.fail("it is stamped %v", at)
	}
}

var snsCases = append(filterCases, []test{
	{"a topic is made once", "API_CreateTopic", func(w *world) {
		in := &sns.CreateTopicInput{Name: name()}
		first, err := w.sns.CreateTopic(w.ctx, in)
		w.must(err)
		again, err := w.sns.CreateTopic(w.ctx, in)
		w.must(err)
		same(w, "the second ARN", *again.TopicArn, *first.TopicArn)
	}},
	{"a queue is subscribed once", "API_Subscribe", func(w *world) {
		topic, endpoint := w.topic(), w.arn(w.queue(nil))
		in := &sns.SubscribeInput{TopicArn: topic, Protocol: aws.String("sqs"), Endpoint: &endpoint}
		first, err := w.sns.Subscribe(w.ctx, in)
		w.must(err)
		again, err := w.sns.Subscribe(w.ctx, in)
		w.must(err)
		same(w, "the second ARN", *again.SubscriptionArn, *first.SubscriptionArn)
		list, err := w.sns.ListSubscriptionsByTopic(w.ctx, &sns.ListSubscriptionsByTopicInput{TopicArn: topic})
		w.must(err)
		same(w, "the number of subscriptions", len(list.Subscriptions), 1)
		same(w, "the endpoint", *list.Subscriptions[0].Endpoint, endpoint)
	}},
	{"raw delivery", "sns-large-payload-raw-message-delivery", func(w *world) {
		topic, url := w.heard(raw)
		_, err := w.sns.Publish(w.ctx, &sns.PublishInput{TopicArn: topic, Message: aws.String(`{"a":"<&>é"}`), MessageAttributes: map[string]types.MessageAttributeValue{"status": text("cancelled")}})
		w.must(err)
		got := w.one(url)
		same(w, "the body", *got.Body, `{"a":"<&>é"}`)
		same(w, "the number of attributes", len(got.MessageAttributes), 1)
		same(w, "the attribute", *got.MessageAttributes["status"].StringValue, "cancelled")
	}},
	{"raw delivery of eleven attributes", "sns-large-payload-raw-message-delivery", func(w *world) {
		topic, url := w.heard(raw)
		attributes := map[string]types.MessageAttributeValue{}
		for i := range 11 {
			attributes["a"+strconv.Itoa(i)] = text("v")
		}
		_, err := w.sns.Publish(w.ctx, &sns.PublishInput{TopicArn: topic, Message: aws.String("m"), MessageAttributes: attributes})
		w.must(err)
		w.none(url) // discarded as a client-side error
	}},
	{"a group on a standard topic", "API_Publish", func(w *world) {
		topic, url := w.heard(raw)
		_, err := w.sns.Publish(w.ctx, &sns.PublishInput{TopicArn: topic, Message: aws.String("m"), MessageGroupId: aws.String("g")})
		w.must(err)
		same(w, "MessageGroupId", w.one(url).Attributes["MessageGroupId"], "g")
	}},
	{"a notification", "sns-message-and-json-formats", func(w *world) {
		topic, url := w.heard(nil)
		out, err := w.sns.Publish(w.ctx, &sns.PublishInput{
			TopicArn: topic, Message: aws.String("line\n\"two\" <&>"), Subject: aws.String("s"),
			MessageAttributes: map[string]types.MessageAttributeValue{"status": text("cancelled")},
		})
		w.must(err)
		got := w.one(url)
		same(w, "the number of attributes outside", len(got.MessageAttributes), 0)
		w.envelope(got.Body, map[string]string{
			"Type": "Notification", "MessageId": *out.MessageId, "TopicArn": *topic, "Subject": "s", "Message": "line\n\"two\" <&>",
		})
		var inside struct {
			MessageAttributes map[string]struct{ Type, Value string }
		}
		w.must(json.Unmarshal([]byte(*got.Body), &inside))
		same(w, "the attribute inside", inside.MessageAttributes["status"], struct{ Type, Value string }{"String", "cancelled"})
	}},
	{"the signature's version by default", "sns-verify-signature-of-message", func(w *world) {
		topic, url := w.heard(nil)
		_, err := w.sns.Publish(w.ctx, &sns.PublishInput{TopicArn: topic, Message: aws.String("m")})
		w.must(err)
		w.envelope(w.one(url).Body, map[string]string{"SignatureVersion": "1"})
	}},
	{"a notification without subject", "sns-message-and-json-formats", func(w *world) {
		topic, url := w.heard(nil)
		_, err := w.sns.Publish(w.ctx, &sns.PublishInput{TopicArn: topic, Message: aws.String("m")})
		w.must(err)
		var got map[string]any
		w.must(json.Unmarshal([]byte(*w.one(url).Body), &got))
		for _, field := range []string{"Subject", "MessageAttributes"} {
			if value, there := got[field]; there {
				w.fail("%s is there, and is %v", field, value)
			}
		}
	}},
	{"a message for each protocol", "API_Publish", func(w *world) {
		topic, url := w.heard(raw)
		_, err := w.sns.Publish(w.ctx, &sns.PublishInput{TopicArn: topic, Message: aws.String(`{"default":"d","sqs":"q"}`), MessageStructure: aws.String("json")})
		w.must(err)
		same(w, "the body", *w.one(url).Body, "q")
	}},
	{"unsubscribed", "API_Unsubscribe", func(w *world) {
		topic, url := w.heard(raw)
		list, err := w.sns.ListSubscriptionsByTopic(w.ctx, &sns.ListSubscriptionsByTopicInput{TopicArn: topic})
		w.must(err)
		same(w, "the number of subscriptions", len(list.Subscriptions), 1)
		_, err = w.sns.Unsubscribe(w.ctx, &sns.UnsubscribeInput{SubscriptionArn: list.Subscriptions[0].SubscriptionArn})
		w.must(err)
		_, err = w.sns.Publish(w.ctx, &sns.PublishInput{TopicArn: topic, Message: aws.String("nobody hears")})
		w.must(err)
		w.none(url)
	}},
	{"no such topic", "API_Publish, API_PublishBatch", func(w *world) {
		nowhere := aws.String(*w.topic() + "-not")
		_, err := w.sns.Publish(w.ctx, &sns.PublishInput{TopicArn: nowhere, Message: aws.String("m")})
		w.refused(err, "NotFound")
		_, err = w.publishBatch(nowhere, []string{"a"}, []string{"m"})
		w.refused(err, "NotFound")
	}},
	{"an empty message", "API_Publish", func(w *world) {
		_, err := w.sns.Publish(w.ctx, &sns.PublishInput{TopicArn: w.topic(), Message: aws.String("")})
		w.refused(err, "InvalidParameter")
	}},
	{"too large a message", "API_Publish", func(w *world) {
		topic, url := w.heard(raw)
		_, err := w.sns.Publish(w.ctx, &sns.PublishInput{TopicArn: topic, Message: aws.String(strings.Repeat("x", 256<<10+1))})
		w.refused(err, "InvalidParameter")
		_, err = w.sns.Publish(w.ctx, &sns.PublishInput{TopicArn: topic, Message: aws.String(strings.Repeat("x", 256<<10))})
		w.must(err)
		same(w, "the length that came", len(*w.one(url).Body), 256<<10)
	}},
	{"ten published at a time", "API_PublishBatch", func(w *world) {
		topic, url := w.heard(raw)
		ids := strings.Split("a b c d e f g h i j", " ")
		out, err := w.publishBatch(topic, ids, ids)
		w.must(err)
		same(w, "the number of successes", len(out.Successful), 10)
		succeeded := map[string]bool{} // in what order is not documented
		for _, s := range out.Successful {
			succeeded[*s.Id] = true
		}
		same(w, "the number of ids", len(succeeded), 10)
		got := w.receive(url, 5)
		same(w, "the number received", len(got), 10)
		for _, m := range got {
			number, err := strconv.Atoi(*m.MessageAttributes["number"].StringValue)
			w.must(err)
			same(w, "the body of number "+strconv.Itoa(number), *m.Body, ids[number])
		}
	}},
	{"a batch published of which one message is bad", "API_PublishBatch, API_BatchResultErrorEntry", func(w *world) {
		topic, url := w.heard(raw)
		out, err := w.publishBatch(topic, []string{"good", "bad", "fine"}, []string{"1", "", "2"})
		w.must(err)
		same(w, "the number of successes", len(out.Successful), 2)
		same(w, "the number of failures", len(out.Failed), 1)
		f := out.Failed[0]
		same(w, "the failure", *f.Id+" "+*f.Code, "bad InvalidParameter")
		same(w, "SenderFault", f.SenderFault, true)
		same(w, "the number received", len(w.receive(url, 5)), 2)
	}},
	{"a batch published of which one structure is unknown", "API_Publish", func(w *world) {
		out, err := w.sns.PublishBatch(w.ctx, &sns.PublishBatchInput{TopicArn: w.topic(), PublishBatchRequestEntries: []types.PublishBatchRequestEntry{
			{Id: aws.String("good"), Message: aws.String("m")}, {Id: aws.String("bad"), Message: aws.String("m"), MessageStructure: aws.String("xml")},
		}})
		w.must(err)
		same(w, "the number of failures", len(out.Failed), 1)
		f := out.Failed[0]
		same(w, "the failure", *f.Id+" "+*f.Code, "bad InvalidParameter")
		same(w, "SenderFault", f.SenderFault, true)
	}},
	{"a batch published too long in all", "API_PublishBatch", func(w *world) {
		half := strings.Repeat("x", 128<<10)
		_, err := w.publishBatch(w.topic(), []string{"a", "b", "c"}, []string{half, half, "x"})
		w.refused(err, "BatchRequestTooLong")
	}},
	{"PublishBatch of no entry", "API_PublishBatch", func(w *world) {
		_, err := w.publishBatch(w.topic(), nil, nil)
		w.refused(err, "EmptyBatchRequest")
	}},
	{"PublishBatch of eleven", "API_PublishBatch", func(w *world) {
		ids := strings.Split("a b c d e f g h i j k", " ")
		_, err := w.publishBatch(w.topic(), ids, ids)
		w.refused(err, "TooManyEntriesInBatchRequest")
	}},
	{"PublishBatch of one id twice", "API_PublishBatch", func(w *world) {
		ids := []string{"a", "b", "a"}
		_, err := w.publishBatch(w.topic(), ids, ids)
		w.refused(err, "BatchEntryIdsNotDistinct")
	}},
	{"PublishBatch of an id with a space", "API_PublishBatch", func(w *world) {
		ids := []string{"a", "b c"}
		_, err := w.publishBatch(w.topic(), ids, ids)
		w.refused(err, "InvalidBatchEntryId")
	}},
}...)
