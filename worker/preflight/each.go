package preflight

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	"go.uber.org/zap"

	"github.com/rescindhq/rescind/worker/queue"
)

// Subject is what a fault is about. The set is closed.
type Subject string

// The subjects.
const (
	OfSettings    Subject = "settings"
	OfCredentials Subject = "credentials"
	OfQueue       Subject = "queue"
	OfDeadLetters Subject = "dead-letter queue"
	OfStateQueue  Subject = "state queue"
	OfTopic       Subject = "topic"
)

// Fault is what would keep a worker from starting, and what it is about.
type Fault struct {
	Of   Subject
	Name string // a queue's URL, a topic's ARN, or the variable that sets what is wrong
	Err  error  // in the words of [Check]
}

// Each makes the checks of [Check] one by one, whatever became of the others: what one of them may not read does not hide
// what another finds. It warns nowhere.
func Each(ctx context.Context, s *queue.Subscriber, cfg aws.Config, o Options) (faults []Fault) {
	o.Log = zap.NewNop()
	c := &checker{queue: s, aws: cfg, o: o}
	note := func(of Subject, name string, errs ...error) {
		for _, err := range errs {
			if err == nil {
				continue
			}
			var setting *SettingError
			if errors.As(err, &setting) {
				name = setting.Variable
				if ofVariable[name] != "" {
					of = ofVariable[name]
				}
			}
			faults = append(faults, Fault{of, name, err})
		}
	}
	good, wrong := c.checkSettings(ctx)
	note(OfSettings, "", wrong...)
	if !good.region {
		return faults
	}
	if _, err := c.whoAmI(ctx); !errors.As(err, new(*noSTSError)) { // an emulator may have no STS
		note(OfCredentials, "", err)
	}
	var all []found
	for _, url := range good.queues {
		f, err := c.inspect(ctx, url)
		note(OfQueue, url, err)
		if f.url != "" {
			all = append(all, f)
		}
	}
	note(OfDeadLetters, o.DeadLetterURL, c.checkCircles(ctx, all, good.deadLetters)...)
	if good.state {
		note(OfStateQueue, o.StateQueueURL, c.checkStateQueue(ctx, all)...)
	}
	if good.topic {
		note(OfTopic, o.TopicARN, c.checkTopic(ctx))
	}
	return faults
}

var ofVariable = map[string]Subject{
	queueVariable: OfQueue, deadLettersVariable: OfDeadLetters, stateVariable: OfStateQueue, topicVariable: OfTopic,
}
