package preflight

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/sns"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/command"
)

// SettingError is an option that cannot be used as it was given, whatever there is on AWS.
type SettingError struct {
	Variable string // that sets it: "RESCIND_QUEUE_URL"
	Rule     string // what is wrong and what to do, as a sentence's predicate
}

func (e *SettingError) Error() string { return e.Variable + " " + e.Rule }

func wrongSetting(variable, rule string, args ...any) error {
	return &SettingError{variable, fmt.Sprintf(rule, args...)}
}

const (
	queueVariable       = "RESCIND_QUEUE_URL"
	deadLettersVariable = "RESCIND_DLQ_URL"
	stateVariable       = "RESCIND_STATE_QUEUE_URL"
	topicVariable       = "RESCIND_RESULTS_TOPIC_ARN"
	regionsVariable     = "RESCIND_REGIONS"
	roleVariable        = "RESCIND_ROLE"
)

// checkSettings says what is wrong with what was given, by itself. good are the queues of commands that can be
// looked at, and whether the dead-letter queue and the topic can.
func (c *checker) checkSettings(ctx context.Context) (good usable, faults []error) {
	note := func(err error) bool {
		if err != nil {
			faults = append(faults, err)
		}
		return err == nil
	}
	own := c.aws.Region
	// The rest of a URL or an ARN cannot be held to a region that is none.
	if good.region = c.aws.Region != "" && note(c.checkOwnRegion()); !good.region {
		c.aws.Region = ""
	}
	if len(c.o.QueueURLs) == 0 {
		note(wrongSetting(queueVariable, "is not set: set it to the URL of the SQS queue that commands come from"))
	}
	seen := make(map[string]bool)
	for _, each := range c.o.QueueURLs {
		err := c.checkQueueURL(ctx, queueVariable, each)
		if err == nil && seen[plainURL(each)] {
			err = wrongSetting(queueVariable, "names queue %s twice: name it once", each)
		}
		if note(err) {
			good.queues = append(good.queues, each)
		}
		seen[plainURL(each)] = true
	}
	if given := c.o.DeadLetterURL; given != "" {
		err := c.checkQueueURL(ctx, deadLettersVariable, given)
		if err == nil && seen[plainURL(given)] {
			err = circularDeadLetters(given)
		}
		good.deadLetters = note(err)
	}
	if given := c.o.StateQueueURL; given != "" {
		err := c.checkQueueURL(ctx, stateVariable, given)
		if err == nil && (seen[plainURL(given)] || plainURL(given) == plainURL(c.o.DeadLetterURL)) {
			err = sharedStateQueue(given)
		}
		good.state = note(err)
	}
	good.topic = note(c.checkTopicARN())
	for _, each := range c.o.Regions {
		if each != own {
			note(c.checkRegion(each))
		}
	}
	note(c.checkRole())
	return good, faults
}

// usable is what of the settings can be looked at on AWS.
type usable struct {
	queues             []string
	deadLetters, topic bool
	state              bool
	region             bool // requests can be made at all
}

// plainURL is a URL without the slash at its end, which some endpoints refuse.
func plainURL(given string) string { return strings.TrimRight(given, "/") }

func circularDeadLetters(given string) error {
	return wrongSetting(deadLettersVariable, "is %s, which is a queue of commands (%s): an unreadable message would go round for ever; "+
		"give the worker a dead-letter queue of its own", given, queueVariable)
}

func sharedStateQueue(given string) error {
	return wrongSetting(stateVariable, "is %s, which is a queue of commands or a dead-letter queue too: give AWS's events of state changes a queue of their own", given)
}

func (c *checker) checkQueueURL(ctx context.Context, variable, given string) error {
	if arn, ok := handlers.ParseARN(given); ok && arn.Service == "sqs" {
		return wrongSetting(variable, "is the ARN %s, and must be a URL: %s", given, c.urlOf(ctx, given, arn))
	}
	u, err := url.Parse(given)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") == "" {
		return wrongSetting(variable, "must be the URL of an SQS queue, like https://sqs.us-east-1.amazonaws.com/123456789012/commands, not %q", given)
	}
	if strings.HasSuffix(plainURL(u.Path), ".fifo") {
		return fifo(variable, given)
	}
	if region := regionOf(u.Hostname()); region != "" && c.aws.Region != "" && region != c.aws.Region {
		return wrongSetting(variable, "names a queue of %s, %s, and the worker's own region is %s: set AWS_REGION=%[1]s, or take a queue of %[3]s; "+
			"RESCIND_REGIONS says in which regions commands may be run", region, given, c.aws.Region)
	}
	return nil
}

// fifo refuses a FIFO queue.
func fifo(variable, given string) error {
	why := "where one message of a group would hold up all behind it"
	if variable == deadLettersVariable {
		why = "which would refuse everything that is sent to it"
	}
	return wrongSetting(variable, "is %s, a FIFO queue, %s: use a standard queue", given, why)
}

// urlOf is the URL of a queue, by SQS's word where it has one.
func (c *checker) urlOf(ctx context.Context, text string, arn handlers.ARN) string {
	if arn.Region == c.aws.Region {
		if found, _, err := c.queueURL(ctx, text); err == nil {
			return found
		}
	}
	domain := "amazonaws.com"
	if arn.Partition == "aws-cn" {
		domain = "amazonaws.com.cn"
	}
	return fmt.Sprintf("https://sqs.%s.%s/%s/%s", arn.Region, domain, arn.Account, arn.Resource)
}

// sqsHost matches SQS's own host names ("Amazon SQS endpoints and quotas", AWS General Reference): of
// regions, with FIPS, dual-stack, of VPC endpoints, and the older ones.
var sqsHost = regexp.MustCompile(`^(?:(?:[a-z0-9-]+\.)?sqs(?:-fips)?\.([a-z0-9-]+)\.(?:vpce\.)?(?:amazonaws\.com(?:\.cn)?|api\.aws)|([a-z0-9-]+)\.queue\.amazonaws\.com(?:\.cn)?|(queue)\.amazonaws\.com)$`)

// regionOf is the region that the host of a queue's URL names; "" where it is not one of SQS's own.
func regionOf(host string) string {
	m := sqsHost.FindStringSubmatch(strings.ToLower(host))
	switch {
	case m == nil:
		return ""
	case m[3] != "":
		return "us-east-1"
	}
	return cmp.Or(m[1], m[2])
}

func (c *checker) checkTopicARN() error {
	given, own := c.o.TopicARN, c.aws.Region
	if given == "" {
		return wrongSetting(topicVariable, "is not set: set it to the ARN of the SNS topic that outcomes are published to")
	}
	arn, ok := handlers.ParseARN(given)
	switch {
	case !ok || arn.Service != "sns" || arn.Region == "" || arn.Account == "":
		return wrongSetting(topicVariable, "must be the ARN of an SNS topic, like arn:aws:sns:us-east-1:123456789012:outcomes, not %q", given)
	case strings.HasSuffix(arn.Resource, ".fifo"):
		return wrongSetting(topicVariable, "is %s, a FIFO topic, which would refuse every outcome: use a standard topic", given)
	case strings.Contains(arn.Resource, ":"):
		return wrongSetting(topicVariable, "is %s, the ARN of a subscription: use the topic's, %s", given, given[:strings.LastIndexByte(given, ':')])
	case arn.Partition != handlers.PartitionOf(arn.Region):
		return wrongSetting(topicVariable, "is %s, and %s is a region of partition %s: correct the ARN", given, arn.Region, handlers.PartitionOf(arn.Region))
	case own != "" && arn.Region != own:
		return wrongSetting(topicVariable, "names a topic of %s, %s, and the worker's own region is %s: set AWS_REGION=%[1]s, or take a topic of %[3]s", arn.Region, given, own)
	}
	return nil
}

// regionName is the form of a region's name ("AWS Regions", AWS Regions and Availability Zones), such as
// us-east-1, ap-southeast-2, us-gov-west-1, eusc-de-east-1. AWS adds regions, so there is no list of them to hold
// a name to.
var regionName = regexp.MustCompile(`^[a-z]{2,4}(-[a-z]+)?-(north|south|east|west|central|northeast|northwest|southeast|southwest)-\d{1,2}$`)

// usualRegions are what a misspelt region may have been meant to be.
var usualRegions = []string{
	"us-east-1", "us-east-2", "us-west-1", "us-west-2", "ca-central-1", "sa-east-1", "eu-west-1", "eu-west-2", "eu-west-3", "eu-central-1", "eu-central-2",
	"eu-north-1", "eu-south-1", "eu-south-2", "ap-south-1", "ap-south-2", "ap-east-1", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-southeast-1",
	"ap-southeast-2", "ap-southeast-3", "ap-southeast-4", "me-south-1", "me-central-1", "il-central-1", "af-south-1", "us-gov-west-1", "us-gov-east-1", "cn-north-1", "cn-northwest-1",
}

// checkOwnRegion refuses a region that is none, where no endpoint is set: an emulator may call its region what it likes.
func (c *checker) checkOwnRegion() error {
	if own := c.aws.Region; sns.NewFromConfig(c.aws).Options().BaseEndpoint == nil && !regionName.MatchString(own) {
		return wrongSetting("AWS_REGION", "(or region in the profile) is %q, which is no AWS region: %s", own, nearRegion(own, "set it to one like us-east-1"))
	}
	return nil
}

// nearRegion asks whether a usual region was meant, or says something else.
func nearRegion(given, otherwise string) string {
	if found := command.Nearest(given, usualRegions); found != "" {
		return "did you mean " + found + "?"
	}
	return otherwise
}

func (c *checker) checkRegion(given string) error {
	own := c.aws.Region
	switch {
	case !regionName.MatchString(given):
		return wrongSetting(regionsVariable, "names %q, which is no AWS region: %s", given, nearRegion(given, "separate names with commas, as in us-east-1,eu-west-1"))
	case own != "" && handlers.PartitionOf(given) != handlers.PartitionOf(own):
		return wrongSetting(regionsVariable, "names %s of partition %s, which the credentials of %s (%s) do not reach: run a worker of its own there, with a queue of its own",
			given, handlers.PartitionOf(given), own, handlers.PartitionOf(own))
	}
	return nil
}

// rolePattern is what RESCIND_ROLE must look like.
var rolePattern = regexp.MustCompile(`^arn:aws[a-z-]*:iam::\{account\}:role/[\w+=,.@/-]*[\w+=,.@-]$`)

func (c *checker) checkRole() error {
	given, own := c.o.Role, c.aws.Region
	arn, _ := handlers.ParseARN(given)
	switch {
	case given == "":
	case !rolePattern.MatchString(given):
		return wrongSetting(roleVariable, "must be the ARN of a role with {account} for the account, as in arn:aws:iam::{account}:role/rescind, not %q", given)
	case own != "" && arn.Partition != handlers.PartitionOf(own):
		return wrongSetting(roleVariable, "is %s, of another partition than the worker's own region %s: begin it with arn:%s:", given, own, handlers.PartitionOf(own))
	}
	return nil
}
