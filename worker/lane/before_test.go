package lane

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

// stall is something that requests wait for, which takes long once.
type stall struct {
	from, until time.Duration // since began
	began       time.Time
}

func (s *stall) before(context.Context, string, [][]string) {
	if at := time.Since(s.began); at >= s.from && at < s.until {
		time.Sleep(s.until - at)
		return
	}
	time.Sleep(5 * time.Millisecond)
}

// However many lanes share a quota, and whatever its burst: after a time in which what has to come before
// calls stalled, they are as far apart as ever.
func TestTokensAreSpentWhenCallsBegin(t *testing.T) {
	const n = 100
	for _, row := range []struct {
		rate, burst float64
		lanes       int
		from, until time.Duration
	}{
		{1, 5, 1, 0, time.Minute},
		{1, 5, 1, 10 * time.Second, 70 * time.Second},
		{1, 5, 3, 0, time.Minute},
		{1, 5, 3, 10 * time.Second, 70 * time.Second},
		{1, 1, 2, 10 * time.Second, 70 * time.Second},
		{10, 10, 2, time.Second, time.Minute},
	} {
		t.Run(fmt.Sprint(row.rate, " a second, burst ", row.burst, ", lanes ", row.lanes, ", stalled from ", row.from), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := &service{latency: 20 * time.Millisecond}
				wait := &stall{row.from, row.until, time.Now()}
				shared := NewQuota(row.rate, row.burst, seeded(1))
				var wg sync.WaitGroup
				for i := range row.lanes {
					l := New(Options[string]{
						Chance: seeded(uint64(i)), Max: 1, Quotas: []*Quota{NewQuota(0, 0, seeded(2)), shared}, Before: wait.before, Run: s.run,
					})
					defer l.Close()
					wg.Go(func() { all(t, l.Do(t.Context(), items(fmt.Sprint(i), n/row.lanes)...), nil) })
				}
				wg.Wait()
				slices.SortFunc(s.at, time.Time.Compare)
				// The rate is probed upwards, by little in some seconds; writes take 5 ms more or less.
				after := slices.DeleteFunc(s.at, func(at time.Time) bool { return at.Sub(wait.began) > row.until+10*time.Second })
				for i := range after {
					for j := i; j < len(after); j++ {
						if span := after[j].Sub(after[i]); float64(j-i+1) > row.burst+1.2*row.rate*(span.Seconds()+0.005) {
							t.Fatalf("%d calls within %s, %s after the start", j-i+1, span, after[i].Sub(wait.began))
						}
					}
				}
				took := time.Since(wait.began) - (row.until - row.from)
				if most := time.Duration(n / row.rate * 1.03 * float64(time.Second)); took > most {
					t.Errorf("took %s beside the stall, want at most %s", took, most)
				}
			})
		})
	}
}

// A panic before a request is one in it, and gives its token free.
func TestAPanicBeforeARequest(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := &service{}
		panics := true
		l := New(Options[string]{
			Chance: seeded(1), Max: 1, Quotas: []*Quota{NewQuota(1, 1, seeded(1))}, Run: s.run,
			Before: func(context.Context, string, [][]string) {
				if panics {
					panic("no")
				}
			},
		})
		defer l.Close()
		var panicked *PanicError
		if err := l.Do(t.Context(), item("k", "a"))[0]; !errors.As(err, &panicked) {
			t.Error("want a PanicError")
		}
		panics = false
		all(t, l.Do(t.Context(), items("k", 3)...), nil)
		if s.count() != 3 {
			t.Errorf("%d requests, want 3", s.count())
		}
	})
}

// A request that waits for another token after a slow Before is not made once the lane is drained.
func TestADrainEndsTheWaitForAnotherToken(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := &service{}
		l := New(Options[string]{
			Chance: seeded(1), Max: 1, Quotas: []*Quota{NewQuota(0.1, 2, seeded(1))}, Run: s.run,
			Before: func(context.Context, string, [][]string) { time.Sleep(time.Minute) },
		})
		defer l.Close()
		time.AfterFunc(61*time.Second, l.Drain)
		began := time.Now()
		drained := 0
		for _, err := range l.Do(t.Context(), items("k", 8)...) {
			if errors.Is(err, ErrDraining) {
				drained++
			} else if err != nil {
				t.Error(err)
			}
		}
		if took := time.Since(began); took > 2*time.Minute || drained < 4 || s.count()+drained != 8 {
			t.Errorf("%s: %d made, %d drained", took, s.count(), drained)
		}
	})
}
