package batch

import (
	"time"

	"github.com/rescindhq/rescind/internal/awssim/eventbridge"
)

// watchLocked has the job's next change noticed when it is due, and its parent's with it.
func (j *job) watchLocked() {
	if len(j.Then) == 0 {
		return
	}
	b, due := j.owner, j.next
	b.bus.Due(due, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if len(j.Then) == 0 || !j.next.Equal(due) {
			return // it has been stopped meanwhile, or was looked at
		}
		now := time.Now()
		j.advance(now)
		if parent := b.jobs[key{location{j.Account, j.Region}, j.Parent}]; j.Parent != "" && parent != nil {
			parent.advance(now)
		}
		j.watchLocked()
	})
}

// changed makes an event ("Job state change events", AWS Batch User Guide). Whether it has the flags of a job that was
// stopped is not documented: here it has none.
func (j *job) changed(at time.Time) {
	j.owner.bus.Changed(&eventbridge.Change{
		Source: "aws.batch", DetailType: "Batch Job State Change", Account: j.Account, Region: j.Region,
		Resource: j.arn("job/" + j.ID), At: at, Item: j.ID + " " + string(j.State), Detail: j.detail(),
	})
}
