package lane

import (
	"context"
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
		l := New(Options[string]{Max: 100, Quotas: []*Quota{NewQuota(1, 1)}, Run: s.run})
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

// There is plenty only where full requests wait for others to end, which they soon do.
func TestPlenty(t *testing.T) {
	const slots, wanted = 2, 4 * 2
	for name, row := range map[string]struct {
		latency time.Duration
		quota   float64
		items   int
		verdict Verdict
		want    bool
	}{
		"full requests wait for places": {10 * time.Millisecond, 0, wanted + slots + 5, Done, true},
		"few do":                        {10 * time.Millisecond, 0, wanted + slots - 1, Done, false},
		"they wait for tokens":          {10 * time.Millisecond, 1, 100, Done, false},
		"the service is slow":           {2 * time.Second, 0, 100, Done, false},
		"the service is down":           {10 * time.Millisecond, 0, 100, Unavailable, false},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := &service{latency: row.latency}
				s.judge = func(ids []string) []Verdict { return slices.Repeat([]Verdict{row.verdict}, len(ids)) }
				l := New(Options[string]{Max: 1, InFlight: slots, Quotas: []*Quota{NewQuota(row.quota, 1)}, Run: s.run})
				defer l.Close()
				if l.Plenty() {
					t.Error("an idle lane has plenty")
				}
				// So many have been answered when it is asked that it knows how long they take.
				go l.Do(t.Context(), items("first", 1)...)
				time.Sleep(row.latency)
				synctest.Wait()
				began := s.count()
				go l.Do(t.Context(), items("k", row.items)...)
				synctest.Wait()
				time.Sleep(row.latency / 2)
				if row.latency > quick || row.verdict == Unavailable {
					time.Sleep(10 * time.Second) // until that is known
				}
				if got := l.Plenty(); got != row.want {
					t.Errorf("plenty is %v after %d requests of %d", got, s.count()-began, row.items)
				}
			})
		})
	}
}

// A service that was quick and hangs is no reason to hold work back.
func TestAHangingServiceIsNotPlenty(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := &service{latency: 10 * time.Millisecond}
		l := New(Options[string]{Max: 1, InFlight: 2, Run: s.run})
		defer l.Close()
		go l.Do(t.Context(), items("k", 900)...)
		time.Sleep(time.Second)
		if !l.Plenty() {
			t.Fatal("hundreds wait for two places, and it is not plenty")
		}
		s.mu.Lock()
		s.latency = time.Hour
		s.mu.Unlock()
		time.Sleep(2*quick + 20*time.Millisecond)
		if l.Plenty() {
			t.Error("nothing has come back for a while, and it is plenty")
		}
	})
}

// What is asked of a lane whose service hangs is told to take as long as nothing came back.
func TestAHangingServiceIsNotSoon(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := &service{latency: time.Hour}
		l := New(Options[string]{Max: 50, Run: s.run})
		defer l.Close()
		go l.Do(t.Context(), items("k", 10)...)
		for _, after := range []time.Duration{time.Second, 10 * time.Second} {
			time.Sleep(after)
			if got := l.Wait("k"); got < after || got > 12*time.Second {
				t.Errorf("wait is %s after %s more without an answer", got, after)
			}
		}
	})
}

// Where keys are many, a look at some of them tells about all.
func TestWaitBehindManyKeys(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const keys, rate = 5000, 10
		s := &service{latency: time.Millisecond}
		l := New(Options[string]{Max: 10, Quotas: []*Quota{NewQuota(rate, 1)}, Run: s.run})
		defer l.Close()
		for i := range keys {
			go l.Do(t.Context(), item(fmt.Sprint("key ", i), "a"))
		}
		synctest.Wait()
		for _, key := range []string{"a new one", fmt.Sprint("key ", keys-1)} {
			if got := l.Wait(key).Seconds(); got < 0.95*keys/rate || got > 1.05*keys/rate {
				t.Errorf("%s waits %.0f s, want %d", key, got, keys/rate)
			}
		}
	})
}

// The pace is that of calls as full as all that is to come makes them.
func TestOutlook(t *testing.T) {
	for name, row := range map[string]struct {
		waiting map[string]int // by key
		times   float64
		pace    float64
		round   time.Duration
	}{
		"nothing":                     {nil, 1, 100, 0},
		"one key, a part of a call":   {map[string]int{"a": 5}, 1, 2 * 5, 500 * time.Millisecond},
		"one key, calls and a half":   {map[string]int{"a": 75}, 1, 2 * 50, 500 * time.Millisecond},
		"two keys, one with less":     {map[string]int{"a": 50, "b": 10}, 1, 2 * 60 / 2, time.Second},
		"and ten times as much comes": {map[string]int{"a": 50, "b": 10}, 10, 2 * 50, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := &service{latency: time.Hour}
				q := NewQuota(2, 1)
				l := New(Options[string]{Max: 50, Quotas: []*Quota{q}, Run: s.run})
				defer l.Close()
				go l.Do(t.Context(), item("spends the token", "x"))
				time.Sleep(time.Second)
				synctest.Wait()
				go l.Do(t.Context(), item("and the next", "x"))
				time.Sleep(400 * time.Millisecond)
				synctest.Wait()
				for key, n := range row.waiting {
					go l.Do(t.Context(), items(key, n)...)
				}
				synctest.Wait()
				o := l.Outlook(row.times)
				if o.Pace < row.pace*0.99 || o.Pace > row.pace*1.01 || o.Round.Round(time.Millisecond) != row.round {
					t.Errorf("pace %.1f a second, round %s; want %.1f, %s", o.Pace, o.Round, row.pace, row.round)
				}
			})
		})
	}
}

// A lane is prompt while all that it has is in requests within a second.
func TestPrompt(t *testing.T) {
	for name, row := range map[string]struct {
		quota *Quota
		took  time.Duration
		say   Verdict
		ahead int // items that wait
		items float64
		want  bool
	}{
		"at rest":                      {quota: NewQuota(1, 10), items: 10, want: true},
		"more than there are tokens":   {quota: NewQuota(1, 10), items: 120},
		"no limit":                     {quota: NewQuota(0, 0), items: 1e6, want: true},
		"no limit, and slow":           {quota: NewQuota(0, 0), took: 100 * time.Millisecond, say: Done, ahead: 2000, items: 20000},
		"no limit, and quick":          {quota: NewQuota(0, 0), took: time.Millisecond, say: Done, ahead: 2000, items: 20000, want: true},
		"nothing is answered":          {quota: NewQuota(0, 0), took: time.Hour, say: Done, ahead: 1, items: 2},
		"throttled":                    {quota: NewQuota(0, 0), took: time.Millisecond, say: Throttled, ahead: 1, items: 2},
		"the service is not available": {quota: NewQuota(0, 0), took: time.Millisecond, say: Unavailable, ahead: 1000, items: 2},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l := New(Options[string]{Max: 10, Quotas: []*Quota{row.quota}, Run: func(_ context.Context, _ string, batch [][]string) []Verdict {
					time.Sleep(row.took)
					return slices.Repeat([]Verdict{row.say}, len(batch))
				}})
				ctx, cancel := context.WithCancel(t.Context())
				var wg sync.WaitGroup
				wg.Go(func() { l.Do(ctx, items("k", row.ahead)...) })
				time.Sleep(2100 * time.Millisecond)
				if got := l.Prompt(row.items); got != row.want {
					t.Errorf("prompt: %t, want %t", got, row.want)
				}
				cancel()
				l.Drain()
				time.Sleep(row.took)
				wg.Wait()
				l.Close()
			})
		})
	}
}
