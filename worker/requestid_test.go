package worker_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
)

// An answer that is not AWS's says nothing of whether the request came to AWS: what stopped then may
// have been stopped by us.
func TestCarriedOutAndAnsweredBySomethingElse(t *testing.T) {
	for _, answer := range []awssim.Answer{
		{Status: http.StatusOK},
		{Status: http.StatusOK, Header: map[string]string{"Content-Type": "text/html"}, Body: "<html>"},
		{Status: http.StatusFound, Header: map[string]string{"Location": "http://portal.invalid/"}},
		{Status: http.StatusForbidden, Body: "<html>"},
		{Status: http.StatusNotFound},
	} {
		inBubble(t, func(r *rig) {
			r.sim.PutThingJobs(awssim.ThingJob{ID: "job", State: "IN_PROGRESS"})
			mend := r.sim.Break(awssim.Failure{Service: "iot", Kind: awssim.MiddleboxAfter, Answer: answer})
			r.send(`{"id":"one","action":"iot:CancelJob","parameters":{"jobId":"job"}}`)
			time.Sleep(30 * time.Second)
			mend()
			if d := r.settled(1, 10*time.Minute)["one"]; d.Status != handlers.Cancelled {
				t.Errorf("%d %q: got %s %s %q", answer.Status, answer.Body, d.Status, d.Code, d.Message)
			}
		})
	}
}
