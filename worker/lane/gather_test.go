package lane

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Where a token is worth a full request, requests wait for what is on its way; nowhere else.
func TestRequestsGather(t *testing.T) {
	const apart = 20 * time.Millisecond // of receives
	for name, row := range map[string]struct {
		max         int
		rate, burst float64
		flows       bool
		receives    int // one after the other
		each, keys  int // items that a receive brings, and keys that they have in turn
		requests    int // wanted
		first, last time.Duration
	}{
		"ten keys, a request each":        {100, 0.5, 11, true, 10, 10, 10, 10, 9*apart + lull, 9*apart + lull + 3*apart},
		"a full one goes at once":         {4, 0.5, 11, true, 1, 5, 1, 2, 0, lull},
		"the first has waited for enough": {1000, 0.5, 11, true, 150, 1, 1, 2, patient, 149*apart + lull},
		"nothing flows":                   {100, 0.5, 11, false, 1, 3, 3, 3, 0, 0},
		"the quota is fast":               {100, 50, 50, true, 1, 3, 3, 3, 0, 0},
		"there is no quota":               {100, 0, 0, true, 1, 3, 3, 3, 0, 0},
		"a request takes one":             {1, 0.5, 11, true, 1, 3, 3, 3, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := &service{latency: apart}
				var flowing atomic.Pointer[time.Time]
				flowing.Store(&time.Time{})
				l := New(Options[string]{
					Max: row.max, Quotas: []*Quota{NewQuota(row.rate, row.burst)}, Run: s.run,
					Flowing: func() time.Time { return *flowing.Load() },
				})
				defer l.Close()
				began := time.Now()
				var items sync.WaitGroup
				for n := range row.receives * row.each {
					if n > 0 && n%row.each == 0 {
						time.Sleep(apart)
					}
					if row.flows && n%row.each == 0 {
						now := time.Now()
						flowing.Store(&now)
					}
					items.Go(func() { all(t, l.Do(t.Context(), item(fmt.Sprint("key ", n%row.keys), fmt.Sprint(n))), nil) })
				}
				items.Wait()
				if len(s.at) != row.requests {
					t.Fatalf("%d requests, want %d: %v", len(s.at), row.requests, s.requests)
				}
				first, last := s.at[0].Sub(began), s.at[len(s.at)-1].Sub(began)
				if first != row.first || last < first || last > row.last {
					t.Errorf("requests began after %v to %v, want %v to at most %v", first, last, row.first, row.last)
				}
			})
		})
	}
}

// A flow that has ended holds nothing up, however late items come; nor does one an item in a hurry, or
// what shares its request.
func TestWhatDoesNotGather(t *testing.T) {
	for name, row := range map[string]struct {
		passed time.Duration // since the flow ended
		hurry  bool
		want   time.Duration
	}{
		"the flow is over":      {patient + 1, false, 0},
		"an item is in a hurry": {0, true, 0},
		"neither":               {0, false, lull},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := &service{latency: time.Millisecond}
				ended := time.Now()
				l := New(Options[string]{
					Max: 100, Quotas: []*Quota{NewQuota(0.5, 10)}, Run: s.run, Flowing: func() time.Time { return ended },
				})
				defer l.Close()
				time.Sleep(row.passed)
				for range 2 { // the second finds the key as the first left it
					began := time.Now()
					hurried := Item[string]{Key: "k", ID: "a", Hurry: row.hurry}
					all(t, l.Do(t.Context(), item("k", "b"), hurried), nil)
					if took := time.Since(began); took != row.want+s.latency {
						t.Errorf("two items took %v, want %v and the latency, %v", took, row.want, s.latency)
					}
				}
				began := time.Now()
				all(t, l.Do(t.Context(), item("k", "c")), nil)
				if want := lull + s.latency; !row.hurry || time.Since(began) == want {
					return
				}
				t.Errorf("an item after those in a hurry took %v, want %v", time.Since(began), lull+s.latency)
			})
		})
	}
}

// However many keys gather, a full request waits for nothing but its token.
func TestAFullRequestPassesThoseThatGather(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := &service{latency: time.Millisecond}
		l := New(Options[string]{Max: 10, Quotas: []*Quota{NewQuota(0.5, 10)}, Run: s.run, Flowing: time.Now})
		defer l.Close()
		var gathering sync.WaitGroup
		for i := range 200 {
			gathering.Go(func() { l.Do(t.Context(), item(fmt.Sprint("key ", i), "a")) })
		}
		time.Sleep(lull / 2)
		began := time.Now()
		all(t, l.Do(t.Context(), items("full", 10)...), nil)
		if took := time.Since(began); took != s.latency {
			t.Errorf("it took %v, want the latency, %v", took, s.latency)
		}
		l.Drain()
		gathering.Wait()
	})
}

// A slow quota that is not EMR's makes requests wait for no longer than a token takes.
func TestGatheringEndsWithTheToken(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := &service{latency: time.Millisecond}
		l := New(Options[string]{Max: 1000, Quotas: []*Quota{NewQuota(4, 10)}, Run: s.run, Flowing: time.Now})
		defer l.Close()
		began := time.Now()
		var items sync.WaitGroup
		for n := range 50 {
			items.Go(func() { l.Do(t.Context(), item(fmt.Sprint("key ", n%2), fmt.Sprint(n))) })
			time.Sleep(20 * time.Millisecond)
		}
		items.Wait()
		// The keys' first items came 20 ms apart, and so their requests begin.
		if first, second := s.at[0].Sub(began), s.at[1].Sub(began); first != 250*time.Millisecond || second != 270*time.Millisecond {
			t.Errorf("requests began after %v and %v, want 250 and 270 ms", first, second)
		}
	})
}
