// Package preflight checks, before a worker receives anything, what it was given to work on: queues,
// dead-letter queue, topic and account. It owns the errors that say which setting to mend; it changes nothing on
// AWS, and knows no pipeline.
package preflight

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"go.uber.org/zap"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/queue"
	"github.com/rescindhq/rescind/worker/trouble"
)

// Options says what to check.
type Options struct {
	QueueURLs     []string
	StateQueueURL string // of events of state changes; "": none
	DeadLetterURL string // "": each queue's redrive target
	TopicARN      string
	Regions       []string // that commands may name
	Role          string   // for other accounts
	Account       string   // the worker's own, where STS does not say it; "": the first queue's
	Log           *zap.Logger
}

// Checked is what the checks have found out.
type Checked struct {
	DeadLetters map[string]string // URLs, by those of the queues
	Account     string            // the worker's own
}

// checker is one round of checks.
type checker struct {
	queue *queue.Subscriber
	aws   aws.Config
	o     Options
	// unheard: a request was not answered, or could not be made. The next would not be either, for one cause.
	unheard bool
}

// Check refuses queues on which commands could be lost, a dead-letter queue that brings them back, and a topic
// that is not there. It reads attributes, and asks STS who the worker is; it changes nothing. Its error joins
// all faults, each of one line that says what to do; that of an option which cannot be used as it was given is
// a [*SettingError]. Without a region only what was given is looked at.
func Check(ctx context.Context, s *queue.Subscriber, cfg aws.Config, o Options) (*Checked, error) {
	c := &checker{queue: s, aws: cfg, o: o}
	good, faults := c.checkSettings(ctx)
	if !good.region {
		return nil, errors.Join(faults...)
	}
	// STS is asked first: it answers everybody whose credentials, clock and network are right.
	checked := &Checked{DeadLetters: make(map[string]string)}
	id, err := c.whoAmI(ctx)
	if err != nil && !errors.As(err, new(*noSTSError)) {
		return nil, errors.Join(append(faults, err)...)
	}
	c.unheard = false
	faults = append(faults, c.checkQueues(ctx, good, checked)...)
	if good.topic && !c.unheard {
		faults = append(faults, c.checkTopic(ctx))
	}
	checked.Account = cmp.Or(id, c.o.Account)
	if err != nil && checked.Account == "" && len(faults) == 0 {
		faults = append(faults, err)
	}
	if err != nil && checked.Account != "" {
		c.o.Log.Warn("STS does not say which account this is; taking the queue's", zap.String("account", checked.Account), zap.Error(err))
	}
	return checked, errors.Join(faults...)
}

func (c *checker) checkQueues(ctx context.Context, good usable, checked *Checked) (faults []error) {
	var all []found
	for _, url := range good.queues {
		f, err := c.inspect(ctx, url)
		if err != nil {
			faults = append(faults, err)
		}
		if c.unheard {
			return faults
		}
		if f.url == "" {
			continue
		}
		checked.DeadLetters[url] = f.deadLetter
		all = append(all, f)
		c.o.Account = cmp.Or(c.o.Account, f.account)
	}
	faults = append(faults, c.checkCircles(ctx, all, good.deadLetters)...)
	if good.state && !c.unheard {
		faults = append(faults, c.checkStateQueue(ctx, all)...)
	}
	return faults
}

// checkStateQueue refuses a state queue that is not there, and one that has another use.
func (c *checker) checkStateQueue(ctx context.Context, commands []found) []error {
	url := c.o.StateQueueURL
	a, took, err := c.inspected(ctx, url)
	if err != nil {
		return []error{c.unreadable(stateVariable, trouble.Queue, url, err, took)}
	}
	if a.FIFO {
		return []error{fifo(stateVariable, url)}
	}
	for _, f := range commands {
		if a.ARN != "" && (a.ARN == f.arn || a.ARN == f.redriveARN) {
			return []error{sharedStateQueue(url)}
		}
	}
	return nil
}

// warnReceives is the maxReceiveCount below which the worker warns: a deferral uses up no receive, but a
// worker that dies does.
const warnReceives = 3

// checkCircles refuses what would bring back what the worker gets rid of: one queue under two names, and
// a dead-letter queue that is a queue of commands. Queues are compared by ARN, since a URL has many
// spellings.
func (c *checker) checkCircles(ctx context.Context, found []found, deadLetters bool) (faults []error) {
	commands := make(map[string]string, len(found)) // URLs by ARN
	for _, f := range found {
		if f.arn == "" { // an emulator that does not say
			continue
		}
		if first, twice := commands[f.arn]; twice {
			faults = append(faults, wrongSetting(queueVariable, "names one queue twice, as %s and %s (%s): name it once", first, f.url, f.arn))
		}
		commands[f.arn] = f.url
	}
	for _, f := range found {
		if into := commands[f.redriveARN]; into != "" {
			faults = append(faults, wrongSetting(queueVariable, "names %s, whose redrive policy moves messages to %s, which is a queue of commands too: "+
				"they would go round for ever; give it a dead-letter queue of its own", f.url, into))
		}
	}
	if !deadLetters {
		return faults
	}
	a, took, err := c.inspected(ctx, c.o.DeadLetterURL)
	switch {
	case err != nil:
		faults = append(faults, c.unreadable(deadLettersVariable, trouble.DeadLetterQueue, c.o.DeadLetterURL, err, took))
	case commands[a.ARN] != "":
		faults = append(faults, circularDeadLetters(c.o.DeadLetterURL))
	case a.FIFO:
		faults = append(faults, fifo(deadLettersVariable, c.o.DeadLetterURL))
	}
	return faults
}

// unreadable says why a queue's attributes could not be read.
func (c *checker) unreadable(variable string, kind trouble.Kind, url string, err error, took time.Duration) error {
	var missing *sqstypes.QueueDoesNotExist
	if errors.As(err, &missing) {
		return fmt.Errorf("%s names %s, and SQS knows no such queue: create it, or correct the URL", variable, url)
	}
	return fmt.Errorf("%s: the attributes of %s cannot be read: %w", variable, url, c.because(kind, err, took))
}

// because says why a question was not answered as it should be, and what to do.
func (c *checker) because(kind trouble.Kind, err error, took time.Duration) error {
	if handlers.OriginOf(err) != handlers.FromService {
		c.unheard = true
	}
	return trouble.Explain(kind, "", err, took)
}

// answerBound is how long the answer to each question at start may take.
const answerBound = 10 * time.Second

// Ask asks a question at start, for 10 seconds at most, and says how long that took.
func Ask[T any](ctx context.Context, ask func(context.Context) (T, error)) (T, time.Duration, error) {
	asked := time.Now()
	ctx, cancel := context.WithTimeout(ctx, answerBound)
	defer cancel()
	got, err := ask(ctx)
	return got, time.Since(asked), err
}

func (c *checker) inspected(ctx context.Context, url string) (queue.Attributes, time.Duration, error) {
	return Ask(ctx, func(ctx context.Context) (queue.Attributes, error) { return c.queue.Inspect(ctx, url) })
}

func (c *checker) queueURL(ctx context.Context, arn string) (string, time.Duration, error) {
	return Ask(ctx, func(ctx context.Context) (string, error) { return c.queue.DeadLetterURL(ctx, arn) })
}

// checkTopic refuses a topic that is not there, and one of which SNS says nothing, since nothing is to be
// received while the topic is unavailable. Where SNS does not let this worker ask, the first publish
// will tell.
func (c *checker) checkTopic(ctx context.Context) error {
	topic := c.o.TopicARN
	_, took, err := Ask(ctx, func(ctx context.Context) (*sns.GetTopicAttributesOutput, error) {
		return sns.NewFromConfig(c.aws).GetTopicAttributes(ctx, &sns.GetTopicAttributesInput{TopicArn: &topic})
	})
	var missing *types.NotFoundException
	var wrong *types.InvalidParameterException
	switch {
	case err == nil:
		return nil
	case errors.As(err, &missing):
		return fmt.Errorf("%s names %s, and SNS knows no such topic: create it, or correct the ARN", topicVariable, topic)
	case errors.As(err, &wrong):
		return wrongSetting(topicVariable, "is %s, which SNS takes for no topic's ARN (%s): correct it", topic, wrong.ErrorMessage())
	}
	var answered interface{ HTTPStatusCode() int }
	if errors.As(err, &answered) {
		if status := answered.HTTPStatusCode(); status >= 400 && status < 500 || status == http.StatusNotImplemented {
			c.o.Log.Warn("whether the results topic exists is not known", zap.String("topic", topic), zap.NamedError("why", c.because(trouble.Topic, err, took)))
			c.unheard = false // an emulator that has no such operation
			return nil
		}
	}
	return fmt.Errorf("%s: SNS does not say whether %s exists: %w", topicVariable, topic, c.because(trouble.Topic, err, took))
}

// found is what a worker takes from a queue's attributes.
type found struct {
	url, arn, account string
	deadLetter        string // URL
	redriveARN        string // where SQS moves what was received too often; "": nowhere
}

// ReceivesWarning is what the worker warns of a queue with this maxReceiveCount, 0 for no redrive policy; "" where there is
// nothing to warn of.
func ReceivesWarning(maxReceiveCount int) string {
	switch {
	case maxReceiveCount == 0:
		return "the queue has no redrive policy: a message that makes workers die is received for ever; give it one with maxReceiveCount 5"
	case maxReceiveCount < warnReceives:
		return "SQS gives up on a message after few receives, and a worker that dies uses one up; raise maxReceiveCount to 5"
	}
	return ""
}

// inspect refuses queues on which commands could be lost or could not be reported. What it found is returned beside
// an error too, where the queue is there.
func (c *checker) inspect(ctx context.Context, url string) (found, error) {
	a, took, err := c.inspected(ctx, url)
	if err != nil {
		return found{}, c.unreadable(queueVariable, trouble.Queue, url, err, took)
	}
	if a.FIFO {
		return found{}, fifo(queueVariable, url)
	}
	f := found{url: url, arn: a.ARN, deadLetter: c.o.DeadLetterURL, redriveARN: a.DeadLetterARN}
	if parts := strings.Split(a.ARN, ":"); len(parts) == 6 {
		f.account = parts[4]
	}
	if f.deadLetter == "" {
		if a.DeadLetterARN == "" {
			return f, fmt.Errorf("%s names %s, which has no dead-letter queue: give it a redrive policy (maxReceiveCount 5), or set RESCIND_DLQ_URL", queueVariable, url)
		}
		f.deadLetter, took, err = c.queueURL(ctx, a.DeadLetterARN)
		var missing *sqstypes.QueueDoesNotExist
		if errors.As(err, &missing) {
			return f, fmt.Errorf("%s names %s, whose redrive policy names %s, and SQS knows no such queue: create it, correct the redrive policy, or set RESCIND_DLQ_URL", queueVariable, url, a.DeadLetterARN)
		}
		if err != nil {
			return f, fmt.Errorf("%s: the URL of %s, the dead-letter queue of %s, cannot be had (RESCIND_DLQ_URL may say it): %w", queueVariable, a.DeadLetterARN, url, c.because(trouble.DeadLetterQueue, err, took))
		}
	}
	switch {
	case a.MaxReceiveCount == 0:
		c.o.Log.Warn(ReceivesWarning(0), zap.String("queue", url))
	case a.MaxReceiveCount < warnReceives:
		c.o.Log.Warn(ReceivesWarning(a.MaxReceiveCount), zap.String("queue", url), zap.Int("maxReceiveCount", a.MaxReceiveCount))
	}
	return f, nil
}

// whoAmI asks STS for the worker's own account. Its error is a noSTSError where an endpoint answers that does not offer
// STS: then what is known already is taken, if anything is.
func (c *checker) whoAmI(ctx context.Context) (string, error) {
	out, took, err := Ask(ctx, func(ctx context.Context) (*sts.GetCallerIdentityOutput, error) {
		return sts.NewFromConfig(c.aws).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	})
	if err == nil && aws.ToString(out.Account) == "" {
		return "", errors.New("STS does not say which account this is: its answer names none; is it STS that answers at AWS_ENDPOINT_URL?")
	}
	if err == nil {
		return aws.ToString(out.Account), nil
	}
	said := fmt.Errorf("STS does not say which account this is: %w", c.because("", err, took))
	var answered interface{ HTTPStatusCode() int }
	if handlers.OriginOf(err) != handlers.FromUs && errors.As(err, &answered) {
		switch answered.HTTPStatusCode() {
		case http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented:
			return "", &noSTSError{said}
		}
	}
	return "", said
}

// noSTSError says that what answers is no STS, as an emulator may not have one.
type noSTSError struct{ error }

func (e *noSTSError) Unwrap() error { return e.error }
