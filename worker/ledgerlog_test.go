package worker_test

import (
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/rescindhq/rescind/worker"
	"github.com/rescindhq/rescind/worker/ledger"
)

// However many commands wait for a ledger that fails, as on a full disk, it is said when that begins,
// once a minute, and when it ends.
func TestALedgerThatFailsIsSaidOnceAMinute(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.must(r.stop())
		core, logs := observer.New(zapcore.InfoLevel)
		var down atomic.Bool
		down.Store(true)
		r.startOn(worker.Options{Log: zap.New(core)}, func(l ledger.Ledger) ledger.Ledger { return broken{failing{l, &down}} })
		const n = 1000
		bodies := make([]string, n)
		for i := range bodies {
			bodies[i] = batchJob("b", "us-east-1")(r, i)
		}
		r.send(bodies...)
		time.Sleep(150 * time.Second)
		down.Store(false)
		r.settled(n, time.Hour)
		lines := map[string]int{}
		for _, e := range logs.All() {
			lines[e.Message]++
		}
		if lines["ledger does not get through"] != 1 || lines["ledger still does not get through"] != 2 || lines["ledger gets through again"] != 1 {
			t.Errorf("lines: %v", lines)
		}
		for text, times := range lines {
			if times > 3 {
				t.Errorf("%q stands in the log %d times", text, times)
			}
		}
	})
}
