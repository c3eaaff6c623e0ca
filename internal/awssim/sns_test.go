package awssim_test

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/rescindhq/rescind/internal/awssim"
)

func (b *bubble) topic() *string {
	b.Helper()
	arn, err := b.CreateTopic("t")
	b.must(err)
	return &arn
}

func text(value string) types.MessageAttributeValue {
	return types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &value}
}

func TestPublishRaw(t *testing.T) {
	inBubble(t, awssim.Options{}, func(b *bubble) {
		url, topic := b.queue("q", nil), b.topic()
		_, err := b.Subscribe(*topic, *url, true)
		b.must(err)
		_, err = b.sns.Publish(b.ctx, &sns.PublishInput{
			TopicArn: topic, Message: aws.String(`{"a":"<&>"}`), MessageGroupId: aws.String("g"),
			MessageAttributes: map[string]types.MessageAttributeValue{"status": text("cancelled")},
		})
		b.must(err)
		m := b.one(url)
		if *m.Body != `{"a":"<&>"}` || *m.MessageAttributes["status"].StringValue != "cancelled" || m.Attributes["MessageGroupId"] != "g" {
			b.Errorf("came as %q, %v, %v", *m.Body, m.MessageAttributes, m.Attributes)
		}
	})
}

// SNS developer guide, the JSON of a notification.
func TestPublishWrapped(t *testing.T) {
	inBubble(t, awssim.Options{}, func(b *bubble) {
		url, topic := b.queue("q", nil), b.topic()
		sub, err := b.Subscribe(*topic, *url, false)
		b.must(err)
		out, err := b.sns.Publish(b.ctx, &sns.PublishInput{
			TopicArn: topic, Message: aws.String("line\n\"two\" <&>"), Subject: aws.String("s"),
			MessageAttributes: map[string]types.MessageAttributeValue{"status": text("cancelled")},
		})
		b.must(err)
		m := b.one(url)
		if len(m.MessageAttributes) != 0 {
			b.Errorf("attributes outside the envelope: %v", m.MessageAttributes)
		}
		var got map[string]any
		b.must(json.Unmarshal([]byte(*m.Body), &got))
		for name, want := range map[string]string{
			"Type": "Notification", "MessageId": *out.MessageId, "TopicArn": *topic, "Subject": "s",
			"Message": "line\n\"two\" <&>", "Timestamp": "2000-01-01T00:00:00.000Z", "SignatureVersion": "1",
			"UnsubscribeURL": "https://sns.us-east-1.amazonaws.com/?Action=Unsubscribe&SubscriptionArn=" + sub,
		} {
			if got[name] != want {
				b.Errorf("%s is %q, want %q", name, got[name], want)
			}
		}
		attribute := got["MessageAttributes"].(map[string]any)["status"].(map[string]any)
		if attribute["Type"] != "String" || attribute["Value"] != "cancelled" {
			b.Errorf("attribute: %v", attribute)
		}
		if !strings.HasPrefix(*m.Body, "{\n  \"Type\" : \"Notification\",\n") {
			b.Errorf("not spaced as SNS does: %s", *m.Body)
		}
	})
}

func (b *bubble) publishBatch(topic *string, bodies ...string) (*sns.PublishBatchOutput, error) {
	in := &sns.PublishBatchInput{TopicArn: topic, PublishBatchRequestEntries: []types.PublishBatchRequestEntry{}}
	for i, body := range bodies {
		in.PublishBatchRequestEntries = append(in.PublishBatchRequestEntries, types.PublishBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), Message: aws.String(body)})
	}
	return b.sns.PublishBatch(b.ctx, in)
}

func TestPublishBatch(t *testing.T) {
	inBubble(t, awssim.Options{}, func(b *bubble) {
		url, topic := b.queue("q", nil), b.topic()
		_, err := b.Subscribe(*topic, *url, true)
		b.must(err)
		out, err := b.publishBatch(topic, "a", "b", "", "c", "d", "e", "f", "g", "h", "i")
		b.must(err)
		if len(out.Successful) != 9 || len(out.Failed) != 1 {
			b.Fatalf("%d succeeded, %d failed", len(out.Successful), len(out.Failed))
		}
		if f := out.Failed[0]; *f.Id != "2" || !f.SenderFault || *f.Code != "InvalidParameter" {
			b.Errorf("failed: %s %s, sender's fault %v", *f.Id, *f.Code, f.SenderFault)
		}
		if got := b.receive(url, 10, 0); len(got) != 9 || *got[0].Body != "a" {
			b.Errorf("%d delivered", len(got))
		}
		half := strings.Repeat("x", 128<<10)
		for what, c := range map[string]struct {
			bodies []string
			code   string
		}{
			"nothing":              {nil, "EmptyBatchRequest"},
			"eleven":               {strings.Split("a b c d e f g h i j k", " "), "TooManyEntriesInBatchRequest"},
			"256 KiB":              {[]string{half, half}, ""},
			"256 KiB and one byte": {[]string{half, half, "x"}, "BatchRequestTooLong"},
		} {
			_, err := b.publishBatch(topic, c.bodies...)
			if got := codeOf(err); got != c.code {
				b.Errorf("%s: got code %q, want %q", what, got, c.code)
			}
		}
		_, err = b.publishBatch(aws.String(*topic+"x"), "a")
		refused(b, err, "NotFound")
		_, err = b.sns.Publish(b.ctx, &sns.PublishInput{TopicArn: topic, Message: aws.String(half + half + "x")})
		refused(b, err, "InvalidParameter")
	})
}

// "Amazon SNS subscription filter policies".
func TestFilterPolicy(t *testing.T) {
	attributes := map[string]types.MessageAttributeValue{
		"status": text("cancelled"), "service": text("batch"),
		"tags": {DataType: aws.String("String.Array"), StringValue: aws.String(`["red","blue",7]`)},
	}
	for policy, want := range map[string]bool{
		`{"status":["cancelled"]}`:                        true,
		`{"status":["failed"]}`:                           false,
		`{"status":["failed","cancelled"]}`:               true,
		`{"status":["cancelled"],"service":["emr"]}`:      false,
		`{"status":[{"prefix":"cancel"}]}`:                true,
		`{"status":[{"suffix":"ed"}]}`:                    true,
		`{"status":[{"prefix":"already"}]}`:               false,
		`{"status":[{"anything-but":["failed"]}]}`:        true,
		`{"status":[{"anything-but":"cancelled"}]}`:       false,
		`{"status":[{"anything-but":{"prefix":"can"}}]}`:  false,
		`{"status":[{"equals-ignore-case":"CANCELLED"}]}`: true,
		`{"status":[{"exists":true}]}`:                    true,
		`{"campaign":[{"exists":false}]}`:                 true,
		`{"campaign":[{"exists":true}]}`:                  false,
		`{"campaign":[{"anything-but":["x"]}]}`:           false, // an absent one has no value
		`{"tags":["blue"]}`:                               true,
		`{"tags":[7]}`:                                    true,
		`{"tags":["green"]}`:                              false,
	} {
		inBubble(t, awssim.Options{}, func(b *bubble) {
			url, topic := b.queue("q", nil), b.topic()
			sub, err := b.sns.Subscribe(b.ctx, &sns.SubscribeInput{
				TopicArn: topic, Protocol: aws.String("sqs"), Endpoint: aws.String(b.QueueARN(*url)),
				Attributes: map[string]string{"FilterPolicy": policy},
			})
			b.must(err)
			_, err = b.sns.Publish(b.ctx, &sns.PublishInput{TopicArn: topic, Message: aws.String("m"), MessageAttributes: attributes})
			b.must(err)
			if got := b.Depth(*url).Visible == 1; got != want {
				b.Errorf("policy %s: delivered is %v, want %v", policy, got, want)
			}
			_, err = b.sns.SetSubscriptionAttributes(b.ctx, &sns.SetSubscriptionAttributesInput{
				SubscriptionArn: sub.SubscriptionArn, AttributeName: aws.String("FilterPolicy"), AttributeValue: aws.String(`{"status":[{"numeric":["=",1]}]}`),
			})
			refused(b, err, "InvalidParameter") // and not silently taken for something else
		})
	}
}

func TestTopicsAreManaged(t *testing.T) {
	inBubble(t, awssim.Options{}, func(b *bubble) {
		url := b.queue("q", nil)
		topic, err := b.sns.CreateTopic(b.ctx, &sns.CreateTopicInput{Name: aws.String("t")})
		b.must(err)
		again, err := b.sns.CreateTopic(b.ctx, &sns.CreateTopicInput{Name: aws.String("t")})
		b.must(err)
		if *again.TopicArn != *topic.TopicArn {
			b.Error("a second topic of the same name")
		}
		subscribe := &sns.SubscribeInput{TopicArn: topic.TopicArn, Protocol: aws.String("sqs"), Endpoint: aws.String(b.QueueARN(*url))}
		sub, err := b.sns.Subscribe(b.ctx, subscribe)
		b.must(err)
		_, err = b.sns.Subscribe(b.ctx, subscribe)
		b.must(err)
		list, err := b.sns.ListSubscriptionsByTopic(b.ctx, &sns.ListSubscriptionsByTopicInput{TopicArn: topic.TopicArn})
		b.must(err)
		if len(list.Subscriptions) != 1 || *list.Subscriptions[0].Endpoint != b.QueueARN(*url) {
			b.Errorf("subscriptions: %v", list.Subscriptions)
		}
		attributes, err := b.sns.GetTopicAttributes(b.ctx, &sns.GetTopicAttributesInput{TopicArn: topic.TopicArn})
		b.must(err)
		if attributes.Attributes["SubscriptionsConfirmed"] != "1" {
			b.Errorf("attributes: %v", attributes.Attributes)
		}
		_, err = b.sns.Unsubscribe(b.ctx, &sns.UnsubscribeInput{SubscriptionArn: sub.SubscriptionArn})
		b.must(err)
		_, err = b.publishBatch(topic.TopicArn, "nobody hears")
		b.must(err)
		b.depth(url, awssim.Depth{})
	})
}

// Credentials of a role run in the role's account, on a queue of the same name.
func TestAssumeRole(t *testing.T) {
	inBubble(t, awssim.Options{}, func(b *bubble) {
		cfg := once(b.Config())
		out, err := sts.NewFromConfig(cfg).AssumeRole(b.ctx, &sts.AssumeRoleInput{
			RoleArn: aws.String("arn:aws:iam::000000000042:role/deep/Canceller"), RoleSessionName: aws.String("rescind"),
		})
		b.must(err)
		cfg.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: *out.Credentials.AccessKeyId, SecretAccessKey: *out.Credentials.SecretAccessKey, SessionToken: *out.Credentials.SessionToken}, nil
		})
		who, err := sts.NewFromConfig(cfg).GetCallerIdentity(b.ctx, &sts.GetCallerIdentityInput{})
		b.must(err)
		if *who.Account != "000000000042" || *who.Arn != "arn:aws:sts::000000000042:assumed-role/Canceller/rescind" {
			b.Errorf("caller is %s in %s", *who.Arn, *who.Account)
		}
		b.queue("q", nil)
		_, err = sqs.NewFromConfig(cfg).GetQueueUrl(b.ctx, &sqs.GetQueueUrlInput{QueueName: aws.String("q")})
		refused(b, err, "AWS.SimpleQueueService.NonExistentQueue")
		if _, known := b.JobIn("000000000042", "us-east-1", "j"); known {
			b.Error("a job out of nowhere")
		}

		plain, err := sts.NewFromConfig(b.Config()).GetCallerIdentity(b.ctx, &sts.GetCallerIdentityInput{})
		b.must(err)
		if *plain.Account != "123456789012" {
			b.Errorf("default account %s", *plain.Account)
		}
		cfg.Credentials = b.Credentials("210987654321")
		other, err := sts.NewFromConfig(cfg).GetCallerIdentity(b.ctx, &sts.GetCallerIdentityInput{})
		b.must(err)
		if *other.Account != "210987654321" {
			b.Errorf("account by key: %s", *other.Account)
		}
		_, err = sts.NewFromConfig(cfg).AssumeRole(b.ctx, &sts.AssumeRoleInput{RoleArn: aws.String("arn:aws:iam::1:role/x-of-a-short-account"), RoleSessionName: aws.String("rescind")})
		refused(b, err, "ValidationError")
	})
}
