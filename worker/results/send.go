package results

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/smithy-go"
	"go.uber.org/zap"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/breaker"
	"github.com/rescindhq/rescind/worker/trouble"
)

// attributeType is the type of every attribute.
const attributeType = "String"

var errLeftOut = errors.New("the answer leaves this message out")

// againError is a failure that is no fault of the message.
type againError struct {
	why   error
	alone bool // only this message failed, its request did not
}

func (e *againError) Error() string { return e.why.Error() }

// entry is one message to be published.
type entry struct {
	ctx   context.Context // the message's
	wire  types.PublishBatchRequestEntry
	bytes int // what SNS counts of it
}

func newEntry(m *message.Message) *entry {
	body := string(m.Payload)
	e := &entry{ctx: m.Context(), bytes: len(body), wire: types.PublishBatchRequestEntry{Message: &body}}
	for key, value := range m.Metadata {
		if value == "" || strings.HasPrefix(key, InternalPrefix) {
			continue
		}
		if e.wire.MessageAttributes == nil {
			e.wire.MessageAttributes = make(map[string]types.MessageAttributeValue, len(m.Metadata))
		}
		e.wire.MessageAttributes[key] = types.MessageAttributeValue{DataType: aws.String(attributeType), StringValue: aws.String(value)}
		e.bytes += len(key) + len(attributeType) + len(value)
	}
	return e
}

// send waits for the breaker and makes one request for a batch, without the messages whose contexts
// ended meanwhile.
func (p *Publisher) send(topic string, list []*entry) []error {
	pass, ok := p.breaker.Enter(p.closing)
	if !ok {
		return all(len(list), &againError{why: ErrClosed})
	}
	errs := make([]error, len(list))
	var batch []*entry
	var at []int // where in list the messages of batch are
	for i, e := range list {
		if errs[i] = e.ctx.Err(); errs[i] == nil {
			batch, at = append(batch, e), append(at, i)
		}
	}
	if len(batch) == 0 {
		p.breaker.Leave(pass, breaker.Unknown, nil)
		return errs
	}
	asked := p.o.Trouble.Peer(trouble.Topic, topic, func() int { return int(p.waiting.Load()) }).Begin()
	answers, failure := p.request(topic, batch)
	asked.Answered(failure)
	if failure != nil {
		p.breaker.Leave(pass, breaker.Failed, failure)
	} else {
		p.breaker.Leave(pass, breaker.Succeeded, nil)
	}
	for i, answer := range answers {
		errs[at[i]] = answer
	}
	return errs
}

// request publishes a batch and returns an answer for each entry. failure is set where the
// request failed for no fault of an entry. A batch that is refused as a whole for what may be
// one message's fault is sent again in halves: only a message alone carries a refusal.
func (p *Publisher) request(topic string, list []*entry) (answers []error, failure error) {
	in := &sns.PublishBatchInput{TopicArn: &topic, PublishBatchRequestEntries: make([]types.PublishBatchRequestEntry, len(list))}
	for i, e := range list {
		in.PublishBatchRequestEntries[i] = e.wire
		in.PublishBatchRequestEntries[i].Id = aws.String(strconv.Itoa(i))
	}
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	out, err := p.api.PublishBatch(ctx, in)
	cancel()
	if err == nil {
		answers, answered := p.read(len(list), out)
		if !answered {
			failure = fmt.Errorf("publishing to %s: %w", topic, answers[0])
			return all(len(list), &againError{why: failure}), failure
		}
		return answers, nil
	}
	code, text, isContent := contentFault(err)
	if isContent && len(list) > 1 {
		half := len(list) / 2
		first, failure := p.request(topic, list[:half])
		second, failure2 := p.request(topic, list[half:])
		return append(first, second...), errors.Join(failure, failure2)
	}
	if isContent {
		return []error{p.rejected(code, text)}, nil
	}
	err = fmt.Errorf("publishing to %s: %w", topic, err)
	return all(len(list), &againError{why: err}), err
}

// read gives every entry of a batch its own answer. answered is false where it has none for
// any of them: that is no better than a request that failed.
func (p *Publisher) read(n int, out *sns.PublishBatchOutput) (errs []error, answered bool) {
	errs = all(n, &againError{why: errLeftOut, alone: true})
	at := func(id *string) (int, bool) {
		i, err := strconv.Atoi(aws.ToString(id))
		return i, err == nil && i >= 0 && i < n
	}
	for _, s := range out.Successful {
		if i, ok := at(s.Id); ok {
			errs[i], answered = nil, true
		}
	}
	for _, f := range out.Failed {
		i, ok := at(f.Id)
		if !ok {
			continue
		}
		answered = true
		code, text := aws.ToString(f.Code), aws.ToString(f.Message)
		if f.SenderFault {
			errs[i] = p.rejected(code, text)
		} else {
			errs[i] = &againError{why: fmt.Errorf("%s: %s", code, text), alone: true}
		}
	}
	return errs, answered
}

func (p *Publisher) rejected(code, text string) error {
	p.o.Logger.Debug("SNS rejects a message", zap.String("code", code), zap.String("text", text))
	return &RejectedError{Code: code, Message: text}
}

// contentFault reports whether a request was refused as a whole for what its content may be to
// blame for. The codes are those of "PublishBatch" in the SNS API Reference; others
// (permissions, throttling, a missing topic) are the topic's matter.
func contentFault(err error) (code, text string, is bool) {
	var api smithy.APIError
	if !errors.As(err, &api) || handlers.OriginOf(err) != handlers.FromService {
		return "", "", false
	}
	if strings.Contains(api.ErrorMessage(), "TopicArn") {
		// SNS words a topic that is not one, or one of another region, as a parameter's fault:
		// "Invalid parameter: TopicArn". No message is to blame for it.
		return "", "", false
	}
	switch api.ErrorCode() {
	case "BatchRequestTooLong", "InvalidParameter", "InvalidParameterValue", "ParameterValueInvalid", "ValidationException":
		return api.ErrorCode(), api.ErrorMessage(), true
	}
	return "", "", false
}

// all gives every entry the same error.
func all(n int, err error) []error {
	errs := make([]error, n)
	for i := range errs {
		errs[i] = err
	}
	return errs
}
