package lane

import (
	"context"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// oneWay is half of the latency of every call here: the bucket is asked on arrival.
const oneWay = 10 * time.Millisecond

// bucket is the service's side of a quota: what it refuses costs it nothing, as in
// internal/awssim.
type bucket struct {
	mu          sync.Mutex
	rate, burst float64
	tokens      float64
	at          time.Time
}

func newBucket(rate, burst float64) *bucket {
	return &bucket{rate: rate, burst: burst, tokens: burst, at: time.Now()}
}

func (b *bucket) refill() {
	now := time.Now()
	b.tokens = math.Min(b.burst, b.tokens+now.Sub(b.at).Seconds()*b.rate)
	b.at = now
}

// set changes the quota. What the bucket holds remains, up to the new size.
func (b *bucket) set(rate, burst float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refill()
	b.rate, b.burst = rate, burst
}

// take takes a token from every bucket, or from none.
func take(buckets ...*bucket) bool {
	for _, b := range buckets {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.refill()
		if b.tokens < 1-1e-9 { // a token is there when its time has come, rounded to the nanosecond
			return false
		}
	}
	for _, b := range buckets {
		b.tokens--
	}
	return true
}

// fleet is workers that share the buckets of one account and nothing else.
type fleet struct {
	buckets []*bucket
	workers []*worker
	began   time.Time
}

type worker struct {
	lane *Lane[int]

	mu        sync.Mutex
	good, bad []time.Duration // when calls were answered, since the fleet began
}

func newFleet(workers int, quotas func() []*Quota, buckets ...*bucket) *fleet {
	f := &fleet{buckets: buckets, began: time.Now()}
	for range workers {
		f.add(quotas())
	}
	return f
}

// add adds a worker, whose calls take a token of every bucket given, or of the fleet's.
func (f *fleet) add(quotas []*Quota, buckets ...*bucket) {
	if len(buckets) == 0 {
		buckets = f.buckets
	}
	w := &worker{}
	w.lane = New(Options[int]{Chance: seeded(uint64(len(f.workers))), Max: 1, Quotas: quotas, Run: func(context.Context, string, [][]int) []Verdict {
		time.Sleep(oneWay)
		ok := take(buckets...)
		time.Sleep(oneWay)
		w.mu.Lock()
		defer w.mu.Unlock()
		if !ok {
			w.bad = append(w.bad, time.Since(f.began))
			return []Verdict{Throttled}
		}
		w.good = append(w.good, time.Since(f.began))
		return []Verdict{Done}
	}})
	f.workers = append(f.workers, w)
}

// drive lets a worker take n commands from a backlog that it may share, with at most window of
// them in its lane, and returns when it is empty and done.
func (w *worker) drive(backlog *atomic.Int64, window int) {
	var wg sync.WaitGroup
	for range window {
		wg.Go(func() {
			for {
				n := backlog.Add(-1)
				if n < 0 {
					return
				}
				w.lane.Do(context.Background(), Item[int]{Key: "k", ID: fmt.Sprint(n)})
			}
		})
	}
	wg.Wait()
}

func (f *fleet) close() {
	for _, w := range f.workers {
		w.lane.Close()
	}
}

// calls counts the worker's calls that were accepted in [from, to).
func (w *worker) calls(from, to time.Duration) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return between(w.good, from, to)
}

// calls counts the calls of all workers that were answered in [from, to).
func (f *fleet) calls(from, to time.Duration) (good, bad int) {
	for _, w := range f.workers {
		w.mu.Lock()
		good += between(w.good, from, to)
		bad += between(w.bad, from, to)
		w.mu.Unlock()
	}
	return good, bad
}

func between(times []time.Duration, from, to time.Duration) int {
	n := 0
	for _, t := range times {
		if t >= from && t < to {
			n++
		}
	}
	return n
}

func (f *fleet) throttled(from, to time.Duration) float64 {
	good, bad := f.calls(from, to)
	return float64(bad) / math.Max(1, float64(good+bad))
}

func oneQuota(rate, burst float64) func() []*Quota {
	seed := uint64(0) // each worker has its own
	return func() []*Quota {
		seed++
		return []*Quota{NewQuota(rate, burst, seeded(seed))}
	}
}

func within(t *testing.T, what string, got, most float64) {
	t.Helper()
	if got > most {
		t.Errorf("%s: %.4f, want at most %.4f", what, got, most)
	}
}

func TestQuotaUse(t *testing.T) {
	for _, row := range []struct {
		name      string
		believed  [2]float64 // rate and burst that the workers are given
		server    [2]float64 // and those of the service
		workers   int
		window    int
		commands  int
		own       bool          // each worker has its part of the commands, none takes another's
		took      float64       // of the ideal, at most
		throttled float64       // share of calls, at most
		from      time.Duration // from when on throttles count
	}{
		{name: "known", believed: [2]float64{50, 100}, server: [2]float64{50, 100}, workers: 1, window: 2000, commands: 2000, took: 1.03, throttled: 0.01},
		{name: "believed 4 x too high", believed: [2]float64{200, 400}, server: [2]float64{50, 100}, workers: 1, window: 2000, commands: 16000, took: 1.10, throttled: 0.03},
		{name: "believed 4 x too low", believed: [2]float64{12.5, 25}, server: [2]float64{50, 100}, workers: 1, window: 2000, commands: 16000, took: 1.10, throttled: 0.03},
		{name: "eight workers, one backlog", believed: [2]float64{50, 100}, server: [2]float64{50, 100}, workers: 8, window: 200, commands: 16000, took: 1.10, throttled: 0.05},
		{name: "eight workers, 2,000 each", believed: [2]float64{50, 100}, server: [2]float64{50, 100}, workers: 8, window: 200, commands: 16000, own: true, took: 1.10, throttled: 0.05},
		{name: "unknown, 50 a second", server: [2]float64{50, 100}, workers: 1, window: 2000, commands: 16000, took: 1.15, throttled: 0.05, from: 10 * time.Second},
		{name: "unknown, 2 a second", server: [2]float64{2, 5}, workers: 1, window: 600, commands: 600, took: 1.15, throttled: 0.05, from: 10 * time.Second},
		{name: "low: one in two seconds", believed: [2]float64{0.5, 10}, server: [2]float64{0.5, 10}, workers: 1, window: 200, commands: 200, took: 1.05, throttled: 0.02},
	} {
		t.Run(row.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				f := newFleet(row.workers, oneQuota(row.believed[0], row.believed[1]), newBucket(row.server[0], row.server[1]))
				defer f.close()
				var wg sync.WaitGroup
				var common atomic.Int64
				common.Store(int64(row.commands))
				ends := make([]time.Duration, row.workers)
				for i, w := range f.workers {
					backlog := &common
					if row.own {
						backlog = new(atomic.Int64)
						backlog.Store(int64(row.commands / row.workers))
					}
					wg.Go(func() { w.drive(backlog, row.window); ends[i] = time.Since(f.began) })
				}
				wg.Wait()
				took := time.Since(f.began)
				ideal := (float64(row.commands) - row.server[1]) / row.server[0]
				ratio := took.Seconds() / ideal
				throttled := f.throttled(row.from, took+1)
				busy := took // until the first worker had nothing more to do
				for _, e := range ends {
					busy = min(busy, e)
				}
				all, _ := f.calls(0, busy)
				least := math.Inf(1)
				for _, w := range f.workers {
					least = math.Min(least, float64(between(w.good, 0, busy))/(float64(all)/float64(row.workers)))
				}
				t.Logf("%s: %.4f of the ideal, %.2f%% throttled, least share %.2f of fair", row.name, ratio, 100*throttled, least)
				within(t, "time over the ideal", ratio, row.took)
				within(t, "throttled", throttled, row.throttled)
				if least < 0.5 {
					t.Errorf("one worker had %.2f of its fair share", least)
				}
			})
		})
	}
}

// The quota changes midway.
func TestQuotaUseFollowsAChange(t *testing.T) {
	for _, row := range []struct {
		name string
		rate float64
	}{{"doubled", 100}, {"halved", 25}} {
		t.Run(row.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBucket(50, 100)
				f := newFleet(1, oneQuota(50, 100), b)
				defer f.close()
				var backlog atomic.Int64
				backlog.Store(1 << 40)
				done := make(chan struct{})
				go func() { f.workers[0].drive(&backlog, 1000); close(done) }()
				const change = 100 * time.Second
				time.Sleep(change)
				b.set(row.rate, 100)
				time.Sleep(200 * time.Second)
				backlog.Store(0)
				<-done
				low, high := math.Inf(1), 0.0
				for t := 20 * time.Second; t < 190*time.Second; t += 100 * time.Millisecond {
					good, _ := f.calls(change+t, change+t+10*time.Second)
					low, high = math.Min(low, float64(good)/10), math.Max(high, float64(good)/10)
				}
				t.Logf("%s: from 30 s on, %.1f to %.1f a second over any 10 s; want %v; throttled %.2f%%", row.name, low, high, row.rate, 100*f.throttled(0, 300*time.Second))
				if low < 0.9*row.rate || high > 1.1*row.rate {
					t.Errorf("used %.1f to %.1f a second, want within 10%% of %v", low, high, row.rate)
				}
			})
		})
	}
}

// A worker that starts anew believes in a full bucket, which others have emptied.
func TestQuotaUseAfterARestart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBucket(50, 100)
		b.tokens = 0
		f := newFleet(1, oneQuota(50, 100), b)
		defer f.close()
		var backlog atomic.Int64
		backlog.Store(1000)
		f.workers[0].drive(&backlog, 1000)
		took := time.Since(f.began)
		_, bad := f.calls(0, took+1)
		t.Logf("%d throttled, %.4f of the ideal", bad, took.Seconds()/20)
		if bad > 50 {
			t.Errorf("%d calls were throttled, want at most half of the burst, 50", bad)
		}
	})
}

// Reads and cancels of EMR: a quota each and one over all of the service's calls.
func TestQuotaUseUnderAServiceWideQuota(t *testing.T) {
	for _, row := range []struct{ own, all [2]float64 }{
		{[2]float64{0.5, 10}, [2]float64{5, 25}},
		{[2]float64{4, 10}, [2]float64{5, 25}},
	} {
		bubble(t, func(t *testing.T) {
			all := newBucket(row.all[0], row.all[1])
			believed := NewQuota(row.all[0], row.all[1], seeded(1))
			f := newFleet(0, nil)
			for range 2 {
				f.add([]*Quota{NewQuota(row.own[0], row.own[1], seeded(2)), believed}, newBucket(row.own[0], row.own[1]), all)
			}
			defer f.close()
			var backlog atomic.Int64
			backlog.Store(1 << 40)
			var wg sync.WaitGroup
			for _, w := range f.workers {
				wg.Go(func() { w.drive(&backlog, 100) })
			}
			const span = 400 * time.Second
			time.Sleep(span)
			reads, cancels := f.workers[0], f.workers[1]
			fair := math.Min(row.own[0], row.all[0]/2)
			nr, nc := reads.calls(0, span), cancels.calls(0, span)
			t.Logf("own %v: %d reads, %d cancels in %v, %.2f%% throttled; alone %v", row.own, nr, nc, span, 100*f.throttled(0, span), fair*span.Seconds())
			for _, n := range []int{nr, nc} {
				if float64(n) < 0.85*fair*span.Seconds() {
					t.Errorf("%d calls, want near %v", n, fair*span.Seconds())
				}
			}
			backlog.Store(0)
			for _, w := range f.workers {
				w.lane.Drain()
			}
			wg.Wait()
		})
	}
}
