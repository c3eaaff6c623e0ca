package queue

import (
	"context"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go"

	"github.com/rescindhq/rescind/internal/awssim"
)

// unsigned has no credentials for the first sends: they are refused in a code that SQS has for messages.
type unsigned struct {
	API
	sends int
	code  string
}

func (u *unsigned) SendMessageBatch(ctx context.Context, in *sqs.SendMessageBatchInput, f ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error) {
	if u.sends++; u.sends <= 3 {
		f = append(f, func(o *sqs.Options) {
			o.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{}, &smithy.GenericAPIError{Code: u.code, Message: "no role"}
			})
		})
	}
	return u.API.SendMessageBatch(ctx, in, f...)
}

func TestARefusalOfCredentialsIsNoMessagesFault(t *testing.T) {
	for _, code := range []string{"InvalidParameterValue", "InvalidMessageContents", "MissingParameter"} {
		t.Run(code, func(t *testing.T) {
			virtual(t, awssim.Options{}, func(w *world) {
				w.send(w.url, 1)
				api := &unsigned{API: w.client, code: code}
				s := w.subscriber(api, Options{DeadLetters: map[string]string{w.url: w.dlq}})
				m, l := w.next(w.subscribe(s, w.url))
				l.DeadLetter(Mark{Reason: "is not JSON"})
				m.Ack()
				w.settled(s)
				if st := s.Stats(); st.DeadLettered != 1 || api.sends != 4 {
					t.Errorf("after %d sends: %+v", api.sends, st)
				}
				w.wantBacklog(w.dlq, Backlog{Visible: 1})
			})
		})
	}
}
