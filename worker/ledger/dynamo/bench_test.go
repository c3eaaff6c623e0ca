package dynamo_test

import (
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker/ledger"
	"github.com/rescindhq/rescind/worker/ledger/bolt"
	"github.com/rescindhq/rescind/worker/ledger/dynamo"
)

// BenchmarkLedger takes commands their whole way (claim, begin, complete) with 500 concurrent
// callers, through the AWS simulator and, beside it, through bolt on disk.
func BenchmarkLedger(b *testing.B) {
	b.Run("dynamo", func(b *testing.B) {
		_, cfg := simulated(b, awssim.Options{Latency: 5 * time.Millisecond})
		w := &wire{HTTPClient: cfg.HTTPClient}
		cfg.HTTPClient = w
		l := open(b, cfg, dynamo.Options{})
		before := w.total()
		run(b, l)
		b.ReportMetric(float64(w.total()-before)*1000/float64(b.N), "requests/1000")
	})
	b.Run("bolt", func(b *testing.B) {
		l, err := bolt.Open(filepath.Join(b.TempDir(), "ledger.db"), bolt.Options{})
		if err != nil {
			b.Fatal(err)
		}
		run(b, l)
	})
}

func run(b *testing.B, l ledger.Ledger) {
	b.ReportAllocs()
	b.ResetTimer()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 500 {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				wholeWay(b, l, entry(int(i)))
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commands/s")
	if err := l.Close(); err != nil {
		b.Error(err)
	}
}
