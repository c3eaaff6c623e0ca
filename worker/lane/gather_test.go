package lane

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"
)

// A request that is not full waits for others for Gather and no longer; a full one does not wait.
func TestGather(t *testing.T) {
	for _, row := range []struct {
		name   string
		items  int           // that come 10 ms apart
		gather time.Duration //
		calls  int
		within time.Duration
	}{
		{"nothing gathers", 5, 0, 5, 45 * time.Millisecond},
		{"one alone", 1, 500 * time.Millisecond, 1, 505 * time.Millisecond},
		{"a burst", 20, 500 * time.Millisecond, 1, 505 * time.Millisecond},
		{"more than one request takes", 150, 10 * time.Second, 2, 11 * time.Second},
		{"exactly full", 100, 10 * time.Second, 1, time.Second},
	} {
		t.Run(row.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := &service{latency: time.Millisecond}
				l := New(Options[string]{Chance: seeded(2), Max: 100, Gather: row.gather, Run: s.run})
				defer l.Close()
				began := time.Now()
				var wg sync.WaitGroup
				for i := range row.items {
					wg.Go(func() { l.Do(context.Background(), Item[string]{Key: "k", ID: strconv.Itoa(i)}) })
					time.Sleep(10 * time.Millisecond)
				}
				wg.Wait()
				if got := l.Stats().Requests; got != row.calls {
					t.Errorf("%d requests, want %d", got, row.calls)
				}
				if took := time.Since(began) - 10*time.Millisecond; row.items == 1 && took > row.within || took > row.within+time.Duration(row.items)*10*time.Millisecond {
					t.Errorf("took %s, want at most %s", took, row.within)
				}
			})
		})
	}
}
