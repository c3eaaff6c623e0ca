package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"

	"github.com/rescindhq/rescind/worker/preflight"
	"github.com/rescindhq/rescind/worker/trouble"
)

// pendingARN stands in listings for the ARN of a subscription that waits to be confirmed.
const pendingARN = "PendingConfirmation"

// subscriptionPages bounds what is read of a topic's subscriptions, a hundred a page.
const subscriptionPages = 10

// checkTopic reads the topic and its subscriptions. That it is there, preflight says, unless it may not ask.
func (d *doctor) checkTopic(ctx context.Context) []Line {
	topic := d.o.Preflight.TopicARN
	if strings.Count(topic, ":") != 5 {
		return nil // preflight says why it is none
	}
	api := sns.NewFromConfig(d.aws)
	out, took, err := preflight.Ask(ctx, func(ctx context.Context) (*sns.GetTopicAttributesOutput, error) {
		return api.GetTopicAttributes(ctx, &sns.GetTopicAttributesInput{TopicArn: &topic})
	})
	var lines []Line
	_, denied := trouble.Denied(orNil(err))
	switch {
	case err != nil && !denied:
		return nil // preflight says it
	case err != nil:
		lines = append(lines, unread("topic", topic, trouble.Topic, err, took))
	case out.Attributes["FifoTopic"] == "true":
		lines = append(lines, Line{"topic", topic, Mend, "it is a FIFO topic, which would refuse every outcome", "use a standard topic"})
	default:
		key := out.Attributes["KmsMasterKeyId"]
		says := "standard, not encrypted by a key of KMS"
		if key != "" {
			says = "standard, encrypted by the KMS key " + key + "; the worker needs kms:GenerateDataKey and kms:Decrypt of it"
		}
		lines = append(lines, Line{"topic", topic, Good, says, ""})
	}
	var all []types.Subscription
	_, took, err = preflight.Ask(ctx, func(ctx context.Context) (struct{}, error) {
		pages := sns.NewListSubscriptionsByTopicPaginator(api, &sns.ListSubscriptionsByTopicInput{TopicArn: &topic})
		for n := 0; pages.HasMorePages() && n < subscriptionPages; n++ {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return struct{}{}, fmt.Errorf("listing the topic's subscriptions: %w", err)
			}
			all = append(all, page.Subscriptions...)
		}
		return struct{}{}, nil
	})
	if err != nil {
		return append(lines, unread("subscriptions", topic, trouble.Topic, err, took))
	}
	return append(lines, d.subscriptions(topic, all)...)
}

// orNil is an error that [trouble.Denied] can be asked of.
func orNil(err error) error {
	if err == nil {
		return context.Canceled // no denial
	}
	return err
}

func (d *doctor) subscriptions(topic string, all []types.Subscription) (lines []Line) {
	confirmed, pending := 0, 0
	for _, s := range all {
		if aws.ToString(s.SubscriptionArn) == pendingARN {
			pending++
			continue
		}
		confirmed++
		if d.isCommandQueue(aws.ToString(s.Protocol), aws.ToString(s.Endpoint)) {
			lines = append(lines, Line{"subscriptions", topic, Mend, "the results topic is subscribed to the command queue " + aws.ToString(s.Endpoint) + ": each outcome comes back, to be deleted",
				"remove it:\n  aws sns unsubscribe --subscription-arn " + aws.ToString(s.SubscriptionArn)})
		}
	}
	if pending > 0 {
		lines = append(lines, Line{"subscriptions", topic, Warning, plural(pending, "subscription") + " not confirmed, which get nothing", "confirm or remove it: who subscribed got a message with a link"})
	}
	switch {
	case confirmed == 0:
		lines = append(lines, Line{"subscriptions", topic, Warning, "none: nobody reads the outcomes", "subscribe a queue of yours:\n  aws sns subscribe --topic-arn " + topic + " --protocol sqs --notification-endpoint QUEUE-ARN"})
	case len(lines) == 0:
		lines = append(lines, Line{"subscriptions", topic, Good, plural(confirmed, "subscription") + ", confirmed", ""})
	}
	return lines
}

// isCommandQueue reports whether a subscription's endpoint is a queue of commands: an ARN, whose end is that of the URL.
func (d *doctor) isCommandQueue(protocol, endpoint string) bool {
	parts := strings.Split(endpoint, ":")
	return protocol == "sqs" && len(parts) == 6 && slices.ContainsFunc(d.o.Preflight.QueueURLs, func(url string) bool {
		return strings.HasSuffix(strings.TrimRight(url, "/"), "/"+parts[4]+"/"+parts[5])
	})
}
