package worker_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker/outcome"
)

// TestEnvelopesEndToEnd: what a topic delivers is run, and its outcome names sender, topic and
// trace; two CloudEvents that differ only by their source are two commands.
func TestEnvelopesEndToEnd(t *testing.T) {
	const outer, inner = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	event := func(source, job string) string {
		return fmt.Sprintf(`{"specversion":"1.0","type":"io.rescind.command.v1","source":%q,"id":"1","traceparent":%q,"data":{"action":"batch:CancelJob","parameters":{"jobId":%q}}}`, source, inner, job)
	}
	inBubble(t, func(r *rig) {
		r.sim.PutJobs(awssim.Job{ID: "a", State: "RUNNABLE"}, awssim.Job{ID: "b", State: "RUNNABLE"}, awssim.Job{ID: "c", State: "RUNNABLE"})
		topic, err := r.sim.CreateTopic("cancels")
		r.must(err)
		raw, err := r.sim.CreateTopic("raw-cancels")
		r.must(err)
		_, err = r.sim.Subscribe(topic, "commands", false)
		r.must(err)
		_, err = r.sim.Subscribe(raw, "commands", true)
		r.must(err)
		client := sns.NewFromConfig(r.sim.Config())
		for _, p := range []struct{ topic, body string }{
			{topic, event("/x", "a")}, {topic, event("/y", "b")},
			{raw, `{"id":"raw","action":"batch:CancelJob","parameters":{"jobId":"c"}}`}, {topic, `{"id":"bad"}`},
		} {
			_, err := client.Publish(r.t.Context(), &sns.PublishInput{
				TopicArn: aws.String(p.topic), Message: aws.String(p.body),
				MessageAttributes: map[string]types.MessageAttributeValue{"traceparent": {DataType: aws.String("String"), StringValue: aws.String(outer)}},
			})
			r.must(err)
		}
		r.settled(4, time.Minute)
		for _, body := range r.published() {
			e, err := outcome.Parse([]byte(body))
			r.must(err)
			status, trace, via := handlers.Cancelled, inner, " via "+topic
			switch e.Data.CommandID {
			case "raw":
				trace, via = outer, ""
			case "bad":
				status, trace = handlers.Invalid, outer
			default:
				if !strings.HasPrefix(e.Data.CommandID, "ce:") {
					t.Errorf("command id %q, want one of a CloudEvent", e.Data.CommandID)
				}
			}
			sender, rest, _ := strings.Cut(e.Data.Sender, " ")
			if e.Data.Status != status || e.TraceParent != trace || sender == "" || rest != strings.TrimPrefix(via, " ") {
				t.Errorf("%s: %s, sender %q, trace %q; want %s, … %q, %q", e.Data.CommandID, e.Data.Status, e.Data.Sender, e.TraceParent, status, via, trace)
			}
		}
	})
}
