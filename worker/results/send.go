package results

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/smithy-go"
	"go.uber.org/zap"

	"github.com/rescindhq/rescind/internal/defect"
)

// attributeType is the type of every attribute. The SDK wants a pointer to it; it is never changed.
var attributeType = "String"

// againError is a failure that is no fault of the message.
type againError struct {
	why   error
	alone bool // only this message failed, its request did not
}

func (e *againError) Error() string { return e.why.Error() }

// send makes one request for a batch, when it is its turn.
func (p *Publisher) send(topic string, list []*entry) []error {
	era, ok := p.turn.enter()
	if !ok {
		return all(len(list), &againError{why: ErrClosed})
	}
	errs := make([]error, len(list))
	wanted := make([]int, 0, len(list)) // the wait may have been long
	for i, e := range list {
		if errs[i] = e.ctx.Err(); errs[i] == nil {
			wanted = append(wanted, i)
		}
	}
	if len(wanted) == 0 {
		p.turn.leave(era, unknown, nil)
		return errs
	}
	batch := make([]*entry, len(wanted))
	for i, at := range wanted {
		batch[i] = list[at]
	}
	answers, failure := p.request(topic, batch)
	if failure != nil {
		p.turn.leave(era, failed, failure)
	} else {
		p.turn.leave(era, succeeded, nil)
	}
	for i, at := range wanted {
		errs[at] = answers[i]
	}
	return errs
}

// request publishes a batch and returns an answer for each entry. failure is set where the
// request failed for no fault of an entry. A batch that is refused as a whole for what may be
// one message's fault is sent again in halves: only a message alone carries a refusal.
func (p *Publisher) request(topic string, list []*entry) (answers []error, failure error) {
	in := &sns.PublishBatchInput{TopicArn: &topic, PublishBatchRequestEntries: make([]types.PublishBatchRequestEntry, len(list))}
	for i, e := range list {
		in.PublishBatchRequestEntries[i] = e.wire(i)
	}
	ctx, cancel := context.WithTimeout(context.Background(), p.o.Timeout)
	out, err := p.api.PublishBatch(ctx, in, withForm)
	cancel()
	if err == nil {
		return p.read(len(list), out), nil
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

// read gives every entry of a batch its own answer.
func (p *Publisher) read(n int, out *sns.PublishBatchOutput) []error {
	errs := all(n, &againError{why: errors.New("the answer leaves this message out"), alone: true})
	at := func(id *string) (int, bool) {
		i, err := strconv.Atoi(aws.ToString(id))
		return i, err == nil && i >= 0 && i < n
	}
	for _, s := range out.Successful {
		if i, ok := at(s.Id); ok {
			errs[i] = nil
		}
	}
	for _, f := range out.Failed {
		i, ok := at(f.Id)
		if !ok {
			continue
		}
		if defect.Is(defect.DropFailed) {
			errs[i] = nil
			continue
		}
		code, text := aws.ToString(f.Code), aws.ToString(f.Message)
		if f.SenderFault {
			errs[i] = p.rejected(code, text)
		} else {
			errs[i] = &againError{why: fmt.Errorf("%s: %s", code, text), alone: true}
		}
	}
	return errs
}

func (p *Publisher) rejected(code, text string) error {
	p.o.Logger.Error("SNS rejects a message", zap.String("code", code), zap.String("text", text))
	return &RejectedError{Code: code, Message: text}
}

func (e *entry) wire(i int) types.PublishBatchRequestEntry {
	w := types.PublishBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), Message: &e.body}
	if len(e.attributes) > 0 {
		w.MessageAttributes = make(map[string]types.MessageAttributeValue, len(e.attributes))
	}
	for i := range e.attributes {
		a := &e.attributes[i]
		w.MessageAttributes[a.name] = types.MessageAttributeValue{DataType: &attributeType, StringValue: &a.value}
	}
	return w
}

// contentFault reports whether a request was refused as a whole for what its content may be to
// blame for. The codes are those of "PublishBatch" in the SNS API Reference; others
// (permissions, throttling, a missing topic) are the topic's matter.
func contentFault(err error) (code, text string, is bool) {
	var api smithy.APIError
	if !errors.As(err, &api) {
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
