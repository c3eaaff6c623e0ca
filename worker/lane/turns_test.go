package lane

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// feed runs items under a key until the test ends: so many at once, again and again, so that as
// many wait whenever the lane looks.
func feed(t *testing.T, l *Lane[string], key string, n int) {
	go func() {
		for round := 0; t.Context().Err() == nil; round++ {
			list := make([]Item[string], n)
			for i := range list {
				list[i] = item(key, fmt.Sprint(key, "-", round, "-", i))
			}
			l.Do(t.Context(), list...)
		}
	}()
}

// Where tokens are scarce, a full request's turn comes four times as fast as that of one which
// carries next to nothing, and that one's comes too.
func TestTokensGoToFullRequestsFirst(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var mu sync.Mutex
		served := map[string]int{}
		own := newBucket(1, 1)
		s := &service{latency: time.Millisecond}
		s.judge = func(ids []string) []Verdict {
			verdict := Throttled
			if take(own) {
				verdict = Done
				mu.Lock()
				served[ids[0][:4]]++
				mu.Unlock()
			}
			return slices.Repeat([]Verdict{verdict}, len(ids))
		}
		l := New(Options[string]{Chance: seeded(2), Max: 100, Quotas: []*Quota{NewQuota(1, 1, seeded(1))}, Run: s.run})
		for range 2 {
			feed(t, l, "full", 100)
			feed(t, l, "full", 100)
		}
		feed(t, l, "thin", 1)
		time.Sleep(10 * time.Minute)
		l.Close()
		if full, thin := served["full"], served["thin"]; thin == 0 || full < 2*thin || full > 5*thin {
			t.Errorf("%d full requests and %d of one item, want about four to one", full, thin)
		}
	})
}

// What is ahead is the calls that what waits makes, at the quota's rate.
func TestAhead(t *testing.T) {
	for name, row := range map[string]struct {
		waiting map[string]int // by key
		ahead   time.Duration
	}{
		"nothing":                   {nil, 0},
		"one key, a part of a call": {map[string]int{"a": 5}, 500 * time.Millisecond},
		"one key, calls and a half": {map[string]int{"a": 75}, time.Second},
		"two keys, one with less":   {map[string]int{"a": 50, "b": 10}, time.Second},
		"many":                      {map[string]int{"a": 5000}, 50 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := &service{latency: time.Hour}
				q := NewQuota(2, 1, seeded(1))
				l := New(Options[string]{Chance: seeded(2), Max: 50, Quotas: []*Quota{q}, Run: s.run})
				defer l.Close()
				go l.Do(t.Context(), item("spends the token", "x"))
				time.Sleep(time.Second)
				synctest.Wait()
				go l.Do(t.Context(), item("and the next", "x"))
				time.Sleep(100 * time.Millisecond)
				synctest.Wait()
				for key, n := range row.waiting {
					go l.Do(t.Context(), items(key, n)...)
				}
				synctest.Wait()
				if got := l.Ahead(); got < row.ahead-time.Second || got > row.ahead+time.Second {
					t.Errorf("%s ahead, want about %s", got, row.ahead)
				}
			})
		})
	}
}
