package worker

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/lane"
	"github.com/rescindhq/rescind/worker/pipeline"
)

// workEvery is the time between two lines about what was done.
const workEvery = time.Minute

// work is what a worker has done so far.
type work struct {
	received, deferred, deadLettered, ownEvents int64

	throttled int
	byLane    map[pipeline.LaneKey]lane.Stats
	ended     map[handlers.Verdict]int // outcomes that were published for the first time
}

func (w *Worker) work() work {
	q := w.queue.Stats()
	done := work{
		received: q.Received, deferred: q.Deferred, deadLettered: q.DeadLettered, ownEvents: w.pipeline.OwnEvents(),
		ended: w.metrics.ended(), byLane: make(map[pipeline.LaneKey]lane.Stats),
	}
	w.pipeline.Visit(pipeline.Visitor{
		Lane: func(key pipeline.LaneKey, s lane.Stats) {
			done.throttled += s.Throttled
			done.byLane[key] = s
		},
		Quota: func(pipeline.QuotaKey, float64) {}, Group: func(string, string, string, int, int) {},
	})
	return done
}

// sayWork logs a line for each minute with work in it, until ctx ends.
func (w *Worker) sayWork(ctx context.Context) {
	tick := time.NewTicker(workEvery)
	defer tick.Stop()
	before := w.work()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := w.work()
		w.sayMinute(before, now, w.queue.Stats().InFlight)
		before = now
	}
}

func (w *Worker) sayMinute(before, now work, held int) {
	// What metrics name is dropped with its counts, so that a sum may become less.
	throttled := max(0, now.throttled-before.throttled)
	fields := []zap.Field{zap.Int64("received", now.received-before.received)}
	if own := now.ownEvents - before.ownEvents; own > 0 {
		fields = append(fields, zap.Int64("ownEvents", own))
	}
	most := throttledMost(before, now)
	if most != "" {
		fields = append(fields, zap.String("throttledMost", most))
	}
	w.throttled.Store(&most)
	ended := 0
	for _, verdict := range slices.Sorted(maps.Keys(now.ended)) {
		if n := now.ended[verdict] - before.ended[verdict]; n > 0 {
			fields = append(fields, zap.Int(string(verdict), n))
			ended += n
		}
	}
	deferred, deadLettered := now.deferred-before.deferred, now.deadLettered-before.deadLettered
	if now.received == before.received && ended == 0 && throttled == 0 && deferred == 0 && deadLettered == 0 {
		return
	}
	w.o.Log.Info("the last minute's work", append(fields, zap.Int("ended", ended), zap.Int("throttled", throttled),
		zap.Int64("deferred", deferred), zap.Int64("deadLettered", deadLettered), zap.Int("held", held))...)
}

// throttledMost names the lane of which most was throttled in the last minute, and says what its quotas allow now.
func throttledMost(before, now work) string {
	var most pipeline.LaneKey
	n := 0
	for key, s := range now.byLane {
		if more := s.Throttled - before.byLane[key].Throttled; more > n || more == n && n > 0 && key.String() < most.String() {
			most, n = key, more
		}
	}
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%s: %d, and %.1f calls a second are allowed now", most, n, now.byLane[most].Allowed)
}
