package sqs

import (
	"encoding/json"
	"maps"
	"strconv"
	"time"
)

// settings are what SetQueueAttributes can change.
type settings struct {
	visibility, delay, wait, retention time.Duration

	maxSize int
	redrive *redrive
	// given holds attributes as they were sent: what was set explicitly, for comparing and
	// for attributes that the simulator keeps and does not act on (Policy, KmsMasterKeyId, …).
	given map[string]string
}

type redrive struct {
	TargetARN   string
	MaxReceives int
}

// defaults are those of API_CreateQueue; the largest message size is 1 MiB.
func defaults() settings {
	return settings{visibility: 30 * time.Second, retention: 4 * 24 * time.Hour, maxSize: maxSize, given: map[string]string{}}
}

// with returns the settings as changed by attributes. exists says whether a queue of that
// ARN exists.
func (s settings) with(attributes map[string]string, exists func(arn string) bool) (settings, error) {
	s.given = maps.Clone(s.given)
	for name, value := range attributes {
		if err := s.set(name, value, exists); err != nil {
			return s, err
		}
		s.given[name] = value
	}
	return s, nil
}

func (s *settings) set(name, value string, exists func(arn string) bool) (err error) {
	switch name {
	case "VisibilityTimeout":
		s.visibility, err = secondsOf(name, value, 0, 43200)
	case "DelaySeconds":
		s.delay, err = secondsOf(name, value, 0, 900)
	case "ReceiveMessageWaitTimeSeconds":
		s.wait, err = secondsOf(name, value, 0, 20)
	case "MessageRetentionPeriod":
		s.retention, err = secondsOf(name, value, 60, 1209600)
	case "MaximumMessageSize":
		s.maxSize, err = numberOf(name, value, 1024, maxSize)
	case "RedrivePolicy":
		s.redrive, err = redriveOf(value, exists)
	case "Policy", "RedriveAllowPolicy", "KmsMasterKeyId", "KmsDataKeyReusePeriodSeconds", "SqsManagedSseEnabled",
		"FifoQueue", "ContentBasedDeduplication", "DeduplicationScope", "FifoThroughputLimit":
	default:
		return plainError("InvalidAttributeName", "Unknown Attribute %s.", name)
	}
	return err
}

func numberOf(name, value string, least, most int) (int, error) {
	n, err := strconv.Atoi(value)
	if err != nil || n < least || n > most {
		return 0, plainError("InvalidAttributeValue", "Invalid value for the parameter %s: %d to %d.", name, least, most)
	}
	return n, nil
}

func secondsOf(name, value string, least, most int) (time.Duration, error) {
	n, err := numberOf(name, value, least, most)
	return time.Duration(n) * time.Second, err
}

// redriveOf reads a RedrivePolicy. maxReceiveCount may be a number or a string of one; an
// empty policy ends redriving.
func redriveOf(value string, exists func(arn string) bool) (*redrive, error) {
	if value == "" {
		return nil, nil
	}
	var policy struct {
		Target string          `json:"deadLetterTargetArn"`
		Max    json.RawMessage `json:"maxReceiveCount"`
	}
	if err := json.Unmarshal([]byte(value), &policy); err != nil || policy.Target == "" {
		return nil, plainError("InvalidAttributeValue", "Value %s for parameter RedrivePolicy is invalid. Reason: Redrive policy is not a valid JSON map.", value)
	}
	count := string(policy.Max)
	if unquoted, err := strconv.Unquote(count); err == nil {
		count = unquoted
	}
	n, err := numberOf("maxReceiveCount", count, 1, 1000)
	if err != nil {
		return nil, err
	}
	if !exists(policy.Target) {
		return nil, plainError("InvalidAttributeValue", "Value %s for parameter RedrivePolicy is invalid. Reason: Dead letter target does not exist.", value)
	}
	return &redrive{TargetARN: policy.Target, MaxReceives: n}, nil
}

// read returns the attributes of a queue by name.
func (q *queue) read() map[string]string {
	out := map[string]string{
		"QueueArn":                              q.arn,
		"VisibilityTimeout":                     wholeSeconds(q.settings.visibility),
		"DelaySeconds":                          wholeSeconds(q.settings.delay),
		"ReceiveMessageWaitTimeSeconds":         wholeSeconds(q.settings.wait),
		"MessageRetentionPeriod":                wholeSeconds(q.settings.retention),
		"MaximumMessageSize":                    strconv.Itoa(q.settings.maxSize),
		"CreatedTimestamp":                      strconv.FormatInt(q.created.Unix(), 10),
		"LastModifiedTimestamp":                 strconv.FormatInt(q.modified.Unix(), 10),
		"ApproximateNumberOfMessages":           strconv.Itoa(q.visible.n),
		"ApproximateNumberOfMessagesNotVisible": strconv.Itoa(q.inFlight),
		"ApproximateNumberOfMessagesDelayed":    strconv.Itoa(q.later.Len() - q.inFlight),
		"SqsManagedSseEnabled":                  "true",
	}
	for name, value := range q.settings.given {
		if _, known := out[name]; !known || name == "SqsManagedSseEnabled" {
			out[name] = value
		}
	}
	if q.settings.redrive == nil {
		delete(out, "RedrivePolicy")
	}
	return out
}

func wholeSeconds(d time.Duration) string { return strconv.Itoa(int(d / time.Second)) }
