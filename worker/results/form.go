package results

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// formSerializer writes the body of PublishBatch in place of the SDK's serializer, which makes a
// key and a value of each field, puts them into a map, sorts them and copies the whole: 160 KB
// of garbage and a sixth of a worker's processor time for a request of ten outcomes. This one
// appends to one buffer. It writes what entry.wire fills, and refuses nothing: the SDK's
// validation comes before it, and endpoint, signature, attempt and answer stay the SDK's.
type formSerializer struct{}

// serializerID is the name under which the SDK puts its own serializer on the stack.
const serializerID = "OperationSerializer"

// withForm is an option of one call of PublishBatch. Where the SDK's serializer does not go by
// that name any more, it stays.
func withForm(o *sns.Options) {
	o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
		step := stack.Serialize //nolint:misspell // the SDK's own name
		if _, found := step.Get(serializerID); found {
			if _, err := step.Swap(serializerID, formSerializer{}); err != nil {
				return fmt.Errorf("setting the serializer of PublishBatch: %w", err)
			}
		}
		return nil
	})
}

// ID implements middleware.SerializeMiddleware.
func (formSerializer) ID() string { return serializerID }

// HandleSerialize implements middleware.SerializeMiddleware.
func (formSerializer) HandleSerialize(ctx context.Context, in middleware.SerializeInput, next middleware.SerializeHandler) (
	middleware.SerializeOutput, middleware.Metadata, error,
) {
	fail := func(err error) (middleware.SerializeOutput, middleware.Metadata, error) {
		return middleware.SerializeOutput{}, middleware.Metadata{}, &smithy.SerializationError{Err: err}
	}
	request, ok := in.Request.(*smithyhttp.Request)
	if !ok {
		return fail(fmt.Errorf("a request of type %T", in.Request))
	}
	input, ok := in.Parameters.(*sns.PublishBatchInput)
	if !ok {
		return fail(fmt.Errorf("parameters of type %T", in.Parameters))
	}
	request.Method = "POST"
	request.URL.Path = cmp.Or(request.URL.Path, "/")
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request, err := request.SetStream(bytes.NewReader(form(input)))
	if err != nil {
		return fail(err)
	}
	in.Request = request
	return next.HandleSerialize(ctx, in)
}

// form is the body: the AWS query protocol's names, an equals sign and the escaped values.
func form(in *sns.PublishBatchInput) []byte {
	size := 128
	for _, e := range in.PublishBatchRequestEntries {
		// A quarter of an outcome's characters are escaped, to three each; an attribute's names
		// take 200 bytes.
		size += len(aws.ToString(e.Message))*3/2 + 256*len(e.MessageAttributes) + 128
	}
	b := append(make([]byte, 0, size), "Action=PublishBatch&Version=2010-03-31&TopicArn="...)
	b = appendEscaped(b, aws.ToString(in.TopicArn))
	var member, attribute []byte
	for i, e := range in.PublishBatchRequestEntries {
		member = append(strconv.AppendInt(append(member[:0], "&PublishBatchRequestEntries.member."...), int64(i+1), 10), '.')
		b = append(append(b, member...), "Id="...)
		b = appendEscaped(b, aws.ToString(e.Id))
		b = append(append(b, member...), "Message="...)
		b = appendEscaped(b, aws.ToString(e.Message))
		n := 0
		for name, value := range e.MessageAttributes {
			n++
			attribute = append(append(attribute[:0], member...), "MessageAttributes.entry."...)
			attribute = append(strconv.AppendInt(attribute, int64(n), 10), '.')
			b = append(append(b, attribute...), "Name="...)
			b = appendEscaped(b, name)
			b = append(append(b, attribute...), "Value.DataType="...)
			b = appendEscaped(b, aws.ToString(value.DataType))
			b = append(append(b, attribute...), "Value.StringValue="...)
			b = appendEscaped(b, aws.ToString(value.StringValue))
		}
	}
	return b
}

// appendEscaped appends what url.QueryEscape makes of s.
func appendEscaped(b []byte, s string) []byte {
	const digits = "0123456789ABCDEF"
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.', c == '~':
			b = append(b, c)
		case c == ' ':
			b = append(b, '+')
		default:
			b = append(b, '%', digits[c>>4], digits[c&15])
		}
	}
	return b
}
