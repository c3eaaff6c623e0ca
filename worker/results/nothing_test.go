package results

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"

	"github.com/rescindhq/rescind/internal/awssim"
)

// An answer with a status of 200 that answers for none of the messages is no answer: the publisher is
// down, asks a few times a second at most, and publishes all once it is answered.
func TestAnswersThatAnswerNothing(t *testing.T) {
	const n = 500
	for name, answer := range map[string]func(*sns.PublishBatchInput) *sns.PublishBatchOutput{
		"empty": func(*sns.PublishBatchInput) *sns.PublishBatchOutput { return &sns.PublishBatchOutput{} },
		"entries that were not asked for": func(*sns.PublishBatchInput) *sns.PublishBatchOutput {
			return &sns.PublishBatchOutput{Successful: []types.PublishBatchResultEntry{{Id: aws.String("99")}, {}}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, awssim.Options{}, func(w *world) {
				var healed atomic.Bool
				downs, ups := 0, 0
				p := w.publisher(Options{OnDown: func(error) { downs++ }, OnUp: func() { ups++ }})
				w.api.answer = func(in *sns.PublishBatchInput) (*sns.PublishBatchOutput, error, bool) {
					return answer(in), nil, !healed.Load()
				}
				wait := publishAll(p, w.topic, n, "x")
				advance(time.Minute)
				if got := w.api.requests(); got > 120 {
					t.Errorf("%d requests in a minute", got)
				}
				if p.Health() == nil || downs != 1 {
					t.Errorf("health says %v, went down %d times", p.Health(), downs)
				}
				healed.Store(true)
				for _, err := range wait() {
					if err != nil {
						t.Error(err)
					}
				}
				if got := w.delivered(); got != "500" || ups != 1 || p.Health() != nil {
					t.Errorf("delivered %s, came up %d times, health says %v", got, ups, p.Health())
				}
			})
		})
	}
}
