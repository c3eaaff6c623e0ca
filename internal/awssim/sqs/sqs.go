// Package sqs simulates Amazon SQS: standard queues as the SQS developer guide and API
// reference describe them, over AWS JSON 1.0. FIFO queues can be made, so that users can
// refuse them; sending to one is not supported here.
//
// What AWS leaves open is settled like this: messages that become visible are handed out in
// the order in which they became so; a message is counted, moved to its dead-letter queue and
// expired exactly, where AWS speaks of approximate values; it is handed out once, where AWS
// allows for duplicates, unless a fault makes it come twice.
//
// One lock guards all queues, so that a redrive is seen by all at once. Nothing is scanned:
// a queue keeps what is visible in a list, what is delayed or in flight in a heap by time,
// and everything in a heap by age. There is no goroutine, and one timer for each queue, set
// only while somebody waits for a message.
package sqs

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

// SQS is all queues of all accounts and regions. Its methods are safe for concurrent use.
type SQS struct {
	seed uint64

	mu     sync.Mutex
	queues map[string]*queue // by ARN
	// deleted holds when queues were deleted: a name is free again after a minute.
	deleted map[string]time.Time
}

// New returns SQS with no queue. The seed decides what message ids are.
func New(seed uint64) *SQS {
	return &SQS{seed: seed, queues: map[string]*queue{}, deleted: map[string]time.Time{}}
}

// Service says how SQS is called.
func (s *SQS) Service() *service.Service {
	return &service.Service{
		Name: "sqs", Protocol: service.JSON10, Target: "AmazonSQS", Shapes: "com.amazonaws.sqs",
		Throttled: refusal("RequestThrottled", "RequestThrottled", "The request was denied due to request throttling."),
		Denied:    &service.Error{Status: 403, Code: "AccessDeniedException", QueryCode: "AccessDenied", Message: "Access to the resource is denied."},
		Broken: []*service.Error{
			{Status: 500, Code: "InternalFailure", QueryCode: "InternalFailure", Message: "We encountered an internal error. Please try again."},
			{Status: 503, Code: "ServiceUnavailable", QueryCode: "ServiceUnavailable", Message: "Service is unavailable. Please try again."},
		},
		// Entries of batch answers carry codes of their own, which are not documented one by
		// one; InternalError with SenderFault false is the one seen for AWS's own faults.
		ItemErrors: []*service.Error{{Status: 500, Code: "InternalError", Message: "We encountered an internal error. Please try again."}},
		Operations: map[string]service.Operation{
			"CreateQueue":                  service.JSON(nil, s.createQueue),
			"DeleteQueue":                  service.JSON(queueItem[queueInput], s.deleteQueue),
			"GetQueueUrl":                  service.JSON(nil, s.getQueueURL),
			"ListQueues":                   service.JSON(nil, s.listQueues),
			"PurgeQueue":                   service.JSON(queueItem[queueInput], s.purgeQueue),
			"GetQueueAttributes":           service.JSON(queueItem[attributesInput], s.getQueueAttributes),
			"SetQueueAttributes":           service.JSON(queueItem[setAttributesInput], s.setQueueAttributes),
			"ListDeadLetterSourceQueues":   service.JSON(queueItem[queueInput], s.listDeadLetterSourceQueues),
			"SendMessage":                  service.JSON(sendItems, s.sendMessage),
			"SendMessageBatch":             service.JSON(sendBatchItems, s.sendMessageBatch),
			"ReceiveMessage":               service.JSON(queueItem[receiveInput], s.receiveMessage),
			"DeleteMessage":                service.JSON(handleItem[deleteInput], s.deleteMessage),
			"DeleteMessageBatch":           service.JSON(deleteBatchItems, s.deleteMessageBatch),
			"ChangeMessageVisibility":      service.JSON(handleItem[visibilityInput], s.changeVisibility),
			"ChangeMessageVisibilityBatch": service.JSON(visibilityBatchItems, s.changeVisibilityBatch),
		},
	}
}

// queueItem names a request by the queue it addresses: its name.
func queueItem[I any, P interface {
	*I
	queueURL() string
}](in *I,
) []string {
	_, name, _ := cutURL(P(in).queueURL())
	return []string{name}
}

// addressed is embedded by every request that addresses a queue.
type addressed struct {
	QueueURL string `json:"QueueUrl"`
}

func (a *addressed) queueURL() string { return a.QueueURL }

// cutURL reads account and name from a queue's URL: its last two segments.
func cutURL(url string) (account, name string, ok bool) {
	rest, name, ok := cutLast(url)
	_, account, more := cutLast(rest)
	return account, name, ok && more && name != "" && account != ""
}

func cutLast(s string) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, '/')
	if i < 0 {
		return "", s, false
	}
	return s[:i], s[i+1:], true
}

func arn(region, account, name string) string {
	return "arn:aws:sqs:" + region + ":" + account + ":" + name
}

func urlOf(c *service.Call, q *queue) string {
	return c.Base + "/" + q.account + "/" + q.name
}

// addressLocked returns the queue that a request addresses.
func (s *SQS) addressLocked(c *service.Call, url string) (*queue, error) {
	if url == "" {
		return nil, missing("QueueUrl")
	}
	account, name, ok := cutURL(url)
	if !ok {
		return nil, refusal("InvalidAddress", "InvalidAddress", "The address %s is not valid for this endpoint.", url)
	}
	q := s.queues[arn(c.Region, account, name)]
	if q == nil {
		return nil, noQueue()
	}
	return q, nil
}

type (
	queueInput struct {
		addressed
		// ListDeadLetterSourceQueues only.
		MaxResults int    `json:"MaxResults"`
		NextToken  string `json:"NextToken"`
	}
	listInput struct {
		QueueNamePrefix string `json:"QueueNamePrefix"`
		NextToken       string `json:"NextToken"`
		MaxResults      int    `json:"MaxResults"`
	}
	listOutput struct {
		QueueURLs []string `json:"QueueUrls,omitempty"`
		NextToken string   `json:"NextToken,omitempty"`
	}
	sourcesOutput struct {
		QueueURLs []string `json:"queueUrls"` // lower case here alone, as AWS has it
		NextToken string   `json:"NextToken,omitempty"`
	}
)

// page cuts a sorted list of names after the token, which is the last name of the page
// before. Without maxResults AWS gives 1,000 queues and no token (API_ListQueues).
func page(names []string, token string, maxResults int) (cut []string, next string) {
	i, found := slices.BinarySearch(names, token)
	if found {
		i++
	}
	names = names[i:]
	if maxResults <= 0 {
		return names[:min(len(names), 1000)], ""
	}
	if len(names) <= maxResults {
		return names, ""
	}
	return names[:maxResults], names[maxResults-1]
}

// namesLocked returns the sorted names of the caller's queues that pass a test.
func (s *SQS) namesLocked(c *service.Call, pass func(*queue) bool) []string {
	var names []string
	for q := range maps.Values(s.queues) {
		if q.account == c.Account && q.region == c.Region && pass(q) {
			names = append(names, q.name)
		}
	}
	slices.Sort(names)
	return names
}
