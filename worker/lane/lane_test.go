package lane

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

// seeded is a source of chance for one lane or quota.
func seeded(n uint64) *rand.Rand { return rand.New(rand.NewPCG(n, 0)) }

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// service is something to be called: each request takes latency; verdicts are by id.
type service struct {
	mu       sync.Mutex
	requests [][]string
	at       []time.Time
	latency  time.Duration
	judge    func(ids []string) []Verdict
}

func (s *service) run(ctx context.Context, _ string, batch [][]string) []Verdict {
	ids := make([]string, len(batch))
	for i, items := range batch {
		ids[i] = items[0]
	}
	s.mu.Lock()
	s.requests = append(s.requests, ids)
	s.at = append(s.at, time.Now())
	latency := s.latency
	s.mu.Unlock()
	select {
	case <-time.After(latency):
	case <-ctx.Done():
	}
	if s.judge != nil {
		return s.judge(ids)
	}
	return slices.Repeat([]Verdict{Done}, len(ids))
}

func (s *service) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.requests)
}

func item(key, id string) Item[string] { return Item[string]{Key: key, ID: id, Value: id} }

func items(key string, n int) []Item[string] {
	all := make([]Item[string], n)
	for i := range all {
		all[i] = item(key, fmt.Sprintf("%s-%d", key, i))
	}
	return all
}

func all(t *testing.T, errs []error, want error) {
	t.Helper()
	for i, err := range errs {
		if !errors.Is(err, want) {
			t.Fatalf("item %d: got %v, want %v", i, err, want)
		}
	}
}

func bubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, test)
}

func TestAtRestNothingIsDelayed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := &service{latency: 20 * time.Millisecond}
		l := New(Options[string]{Chance: seeded(2), Max: 50, Quotas: []*Quota{NewQuota(50, 50, seeded(1))}, Run: s.run})
		defer l.Close()
		began := time.Now()
		all(t, l.Do(t.Context(), item("k", "a")), nil)
		if took := time.Since(began); took != s.latency {
			t.Errorf("one item took %v, want the latency, %v", took, s.latency)
		}
	})
}

func TestUnderLoadRequestsAreFull(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := &service{latency: 20 * time.Millisecond}
		l := New(Options[string]{Chance: seeded(2), Max: 50, Run: s.run})
		defer l.Close()
		var wg sync.WaitGroup
		for _, it := range items("k", 1000) {
			wg.Go(func() { l.Do(t.Context(), it) })
		}
		wg.Wait()
		// Two part-filled requests may have gone out before the others came.
		if n := s.count(); n > 22 {
			t.Errorf("1,000 items took %d requests of 50, want at most 22", n)
		}
	})
}

func TestPartFilledRequestsWaitForTwoUnderWay(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := &service{latency: time.Second}
		l := New(Options[string]{Chance: seeded(2), Max: 10, Run: s.run})
		defer l.Close()
		for i := range 5 {
			go l.Do(t.Context(), item("k", fmt.Sprint(i)))
			synctest.Wait()
		}
		if n := s.count(); n != 2 {
			t.Errorf("%d requests under way, want 2", n)
		}
		time.Sleep(s.latency)
		synctest.Wait()
		if got := s.requests[2]; len(got) != 3 {
			t.Errorf("the third request took %v, want the three that waited", got)
		}
	})
}

func TestAtMostSixtyFourOfAKeyAreUnderWay(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := &service{latency: time.Second}
		l := New(Options[string]{Chance: seeded(2), Max: 1, Run: s.run})
		defer l.Close()
		go l.Do(t.Context(), items("k", 200)...)
		go l.Do(t.Context(), items("other", 1)...)
		synctest.Wait()
		if n := s.count(); n != 65 {
			t.Errorf("%d requests under way, want 64 of one key and 1 of the other", n)
		}
	})
}

func TestTheQuotaIsNotExceeded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := &service{latency: 20 * time.Millisecond}
		l := New(Options[string]{Chance: seeded(2), Max: 1, Quotas: []*Quota{NewQuota(50, 100, seeded(1)), NewQuota(0, 0, seeded(1))}, Run: s.run})
		defer l.Close()
		began := time.Now()
		all(t, l.Do(t.Context(), items("k", 200)...), nil)
		// 100 at once, then 100 at 50 a second, then the last one's latency; probing has hardly begun.
		if took, want := time.Since(began), 2*time.Second+s.latency; took < want-20*time.Millisecond || took > want+20*time.Millisecond {
			t.Errorf("took %v, want %v", took, want)
		}
	})
}

func TestKeysTakeTurns(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := &service{latency: time.Millisecond}
		l := New(Options[string]{Chance: seeded(2), Max: 1, Quotas: []*Quota{NewQuota(1, 1, seeded(1))}, Run: s.run})
		defer l.Close()
		go l.Do(t.Context(), items("big", 100)...)
		synctest.Wait()
		began := time.Now()
		all(t, l.Do(t.Context(), item("small", "x")), nil)
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("one item behind 100 of another key took %v, want its turn within 3s", took)
		}
	})
}

func TestEqualIDsShareACall(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var calls, shared atomic.Int64
		l := New(Options[string]{Chance: seeded(2), Max: 1, Quotas: []*Quota{NewQuota(1, 1, seeded(1))}, Run: func(_ context.Context, _ string, b [][]string) []Verdict {
			calls.Add(1)
			shared.Add(int64(len(b[0])))
			return []Verdict{Done}
		}})
		defer l.Close()
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() { all(t, l.Do(t.Context(), item("k", "same")), nil) })
		}
		wg.Wait()
		if calls.Load() > 2 || shared.Load() != 10 {
			t.Errorf("%d calls for %d items of one id, want at most 2 for 10", calls.Load(), shared.Load())
		}
	})
}

func TestThrottledItemsComeBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var seen sync.Map
		s := &service{latency: time.Millisecond}
		s.judge = func(ids []string) []Verdict {
			v := make([]Verdict, len(ids))
			for i, id := range ids {
				v[i] = Done
				if _, again := seen.LoadOrStore(id, true); !again && (id[len(id)-1]-'0')%2 == 0 {
					v[i] = Throttled // one of a bulk answer's own
				}
			}
			return v
		}
		q := NewQuota(50, 1, seeded(1))
		l := New(Options[string]{Chance: seeded(2), Max: 10, Quotas: []*Quota{q}, Run: s.run})
		defer l.Close()
		all(t, l.Do(t.Context(), items("k", 100)...), nil)
		if st := l.Stats(); st.Throttled != 50 || st.Items != 150 {
			t.Errorf("stats %+v: want 50 throttled and 150 items", st)
		}
		if r := q.Rate(); r >= 50 {
			t.Errorf("the rate is still %v after throttles", r)
		}
		before := q.Rate()
		time.Sleep(time.Hour)
		if r := q.Rate(); r != before {
			t.Errorf("the rate went from %v to %v while nobody asked for more", before, r)
		}
		asked := time.Now()
		for q.Rate() < 50 && time.Since(asked) < time.Hour {
			all(t, l.Do(t.Context(), items("more", 50)...), nil)
		}
		if took := time.Since(asked); took > 40*time.Second {
			t.Errorf("the rate was 50 again after %v of use without a throttle", took)
		}
	})
}

func TestADownServiceIsProbedOneAtATime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var down atomic.Bool
		down.Store(true)
		s := &service{latency: time.Millisecond}
		s.judge = func(ids []string) []Verdict {
			if down.Load() {
				return slices.Repeat([]Verdict{Unavailable}, len(ids))
			}
			return slices.Repeat([]Verdict{Done}, len(ids))
		}
		l := New(Options[string]{Chance: seeded(2), Max: 1, Run: s.run})
		defer l.Close()
		done := make(chan []error)
		go func() { done <- l.Do(t.Context(), items("k", 500)...) }()
		time.Sleep(time.Minute)
		if !l.Stats().Down {
			t.Fatal("a minute of 503 did not open the breaker")
		}
		before := s.count()
		time.Sleep(10 * time.Minute)
		if n := s.count() - before; n < 10 || n > 200 {
			t.Errorf("%d probes in ten minutes, want a few a minute", n)
		}
		down.Store(false)
		up := time.Now()
		all(t, <-done, nil)
		if took := time.Since(up); took > 45*time.Second {
			t.Errorf("took %v after the service came back", took)
		}
	})
}

func TestARefusedRequestIsRunInHalves(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := &service{latency: time.Millisecond}
		s.judge = func(ids []string) []Verdict {
			if slices.Contains(ids, "k-17") {
				return slices.Repeat([]Verdict{Refused}, len(ids))
			}
			return slices.Repeat([]Verdict{Done}, len(ids))
		}
		l := New(Options[string]{Chance: seeded(2), Max: 50, Run: s.run})
		defer l.Close()
		all(t, l.Do(t.Context(), items("k", 50)...), nil)
		last := 0
		for _, ids := range s.requests {
			if slices.Equal(ids, []string{"k-17"}) {
				last++
			}
		}
		if last != 1 {
			t.Errorf("the item at fault stood alone %d times, want once: %v", last, s.requests)
		}
		if n := s.count(); n > 2*6+1 {
			t.Errorf("%d requests to find one of 50, want at most 13", n)
		}
	})
}

func TestAPanicHarmsNoStranger(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := New(Options[string]{Chance: seeded(2), Max: 8, Run: func(_ context.Context, _ string, b [][]string) []Verdict {
			for _, x := range b {
				if x[0] == "k-3" {
					panic("boom")
				}
			}
			return slices.Repeat([]Verdict{Done}, len(b))
		}})
		defer l.Close()
		for i, err := range l.Do(t.Context(), items("k", 8)...) {
			var p *PanicError
			if (i == 3) != errors.As(err, &p) {
				t.Errorf("item %d: %v", i, err)
			}
		}
	})
}

func TestAnEndedContextTakesOutWhatWaits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := &service{latency: time.Second}
		l := New(Options[string]{Chance: seeded(2), Max: 1, Quotas: []*Quota{NewQuota(1, 1, seeded(1))}, Run: s.run})
		defer l.Close()
		mine := errors.New("no patience")
		ctx, cancel := context.WithTimeoutCause(t.Context(), 2500*time.Millisecond, mine)
		defer cancel()
		errs := l.Do(ctx, items("k", 10)...)
		done := 0
		for _, err := range errs {
			switch {
			case err == nil:
				done++
			case !errors.Is(err, mine):
				t.Errorf("got %v, want the context's cause", err)
			}
		}
		// Begun at 0, 1 and 2 s; the third was under way when the context ended.
		if done != 3 || s.count() != 3 {
			t.Errorf("%d items done in %d requests, want 3 in 3", done, s.count())
		}
		if st := l.Stats(); st.Waiting != 0 {
			t.Errorf("%d still wait", st.Waiting)
		}
	})
}

func TestDrainLetsRequestsEndAndReturnsTheRest(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := &service{latency: time.Second}
		l := New(Options[string]{Chance: seeded(2), Max: 1, InFlight: 2, Run: s.run})
		defer l.Close()
		done := make(chan []error)
		go func() { done <- l.Do(t.Context(), items("k", 10)...) }()
		synctest.Wait()
		l.Drain()
		errs := <-done
		all(t, errs[:2], nil)
		all(t, errs[2:], ErrDraining)
		all(t, l.Do(t.Context(), item("k", "late")), ErrDraining)
	})
}

// A key whose only batch backs off is not forgotten: what comes to wait under it meanwhile is
// drained with the rest.
func TestDrainFindsWhatCameWhileItsKeyBackedOff(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := &service{latency: time.Millisecond}
		s.judge = func(ids []string) []Verdict { return slices.Repeat([]Verdict{Throttled}, len(ids)) }
		l := New(Options[string]{Chance: seeded(2), Max: 10, PartFilled: 1, Quotas: []*Quota{NewQuota(1, 1, seeded(1))}, Run: s.run})
		defer l.Close()
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() { all(t, l.Do(t.Context(), item("k", strconv.Itoa(i))), ErrDraining) })
			time.Sleep(300 * time.Millisecond)
		}
		synctest.Wait()
		if st := l.Stats(); st.Waiting+st.InFlight == 0 {
			t.Fatalf("nothing waits: %+v", st)
		}
		began := time.Now()
		l.Drain()
		wg.Wait()
		if took := time.Since(began); took > s.latency {
			t.Errorf("draining took %s", took)
		}
	})
}

func TestAnEndedContextBeginsNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := &service{}
		l := New(Options[string]{Chance: seeded(2), Max: 1, Run: s.run})
		defer l.Close()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		all(t, l.Do(ctx, item("k", "x")), context.Canceled)
		if n := s.count(); n != 0 {
			t.Errorf("%d requests were made", n)
		}
	})
}

// A short failure of many requests at once is one failure: the first probe comes soon.
func TestABlipIsNotAnOutage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		up := time.Now().Add(150 * time.Millisecond)
		s := &service{latency: 100 * time.Millisecond}
		s.judge = func(ids []string) []Verdict {
			if time.Now().Before(up) {
				return slices.Repeat([]Verdict{Unavailable}, len(ids))
			}
			return slices.Repeat([]Verdict{Done}, len(ids))
		}
		l := New(Options[string]{Chance: seeded(2), Max: 1, Run: s.run})
		defer l.Close()
		began := time.Now()
		all(t, l.Do(t.Context(), items("k", 640)...), nil)
		// Ten rounds of 64 take a second; one failed round, a backoff and a probe are the rest.
		if took := time.Since(began); took > 4*time.Second {
			t.Errorf("took %s", took)
		}
	})
}

func TestWithdrawnItemsOfAPieceAreLeftOut(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := &service{latency: time.Second}
		s.judge = func(ids []string) []Verdict {
			if len(ids) > 1 {
				return slices.Repeat([]Verdict{Refused}, len(ids))
			}
			return []Verdict{Done}
		}
		l := New(Options[string]{Chance: seeded(2), Max: 4, InFlight: 1, PartFilled: 1, Run: s.run})
		defer l.Close()
		ctx, cancel := context.WithCancel(t.Context())
		others := make(chan []error)
		go func() { others <- l.Do(t.Context(), items("k", 2)...) }()
		synctest.Wait()
		go func() { time.Sleep(1500 * time.Millisecond); cancel() }()
		l.Do(ctx, items("x", 2)...)
		all(t, <-others, nil)
	})
}

func BenchmarkLane(b *testing.B) {
	for _, most := range []int{1, 50} {
		b.Run(fmt.Sprintf("max=%d", most), func(b *testing.B) {
			l := New(Options[int]{Chance: seeded(2), Max: most, Run: func(_ context.Context, _ string, batch [][]int) []Verdict {
				return slices.Repeat([]Verdict{Done}, len(batch))
			}})
			defer l.Close()
			var n atomic.Int64
			b.SetParallelism(1000)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					l.Do(b.Context(), Item[int]{Key: "k", ID: fmt.Sprint(n.Add(1))})
				}
			})
		})
	}
}
