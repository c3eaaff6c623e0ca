package lane

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// failing is a service of one-item calls that fail as it says at the time, and otherwise take a
// token.
type failing struct {
	verdict func(since time.Duration) Verdict
	bucket  *bucket
	began   time.Time

	mu    sync.Mutex
	calls []time.Duration
	done  []time.Duration
}

func (f *failing) run(context.Context, string, [][]string) []Verdict {
	time.Sleep(oneWay)
	verdict := f.verdict(time.Since(f.began))
	if verdict == Done && !take(f.bucket) {
		verdict = Throttled
	}
	f.mu.Lock()
	f.calls = append(f.calls, time.Since(f.began))
	if verdict == Done {
		f.done = append(f.done, time.Since(f.began))
	}
	f.mu.Unlock()
	time.Sleep(oneWay)
	return []Verdict{verdict}
}

// serve lets 5,000 items wait for a service of 50 calls a second for a span of time, and returns
// it with the lane's counts.
func serve(t *testing.T, span time.Duration, verdict func(time.Duration) Verdict) (f *failing, down bool) {
	t.Helper()
	f = &failing{verdict: verdict, bucket: newBucket(50, 100), began: time.Now()}
	l := New(Options[string]{Chance: seeded(2), Max: 1, Quotas: []*Quota{NewQuota(50, 100, seeded(1))}, Run: f.run})
	defer l.Close()
	var wg sync.WaitGroup
	wg.Go(func() { l.Do(context.Background(), items("k", 20000)...) })
	for range int(span / (100 * time.Millisecond)) {
		time.Sleep(100 * time.Millisecond)
		down = down || l.Stats().Down
	}
	synctest.Wait()
	l.Drain()
	wg.Wait()
	return f, down
}

// An outage of two minutes costs few calls, and full speed is back within ten seconds.
func TestAnOutage(t *testing.T) {
	const begin, end = 20 * time.Second, 140 * time.Second
	for range 20 {
		bubble(t, func(t *testing.T) {
			f, down := serve(t, 170*time.Second, func(since time.Duration) Verdict {
				if since >= begin && since < end {
					return Unavailable
				}
				return Done
			})
			if !down {
				t.Error("the breaker never opened")
			}
			if n := between(f.calls, begin, end); n >= 60 || n < 15 {
				t.Errorf("%d calls in two minutes of outage, want a few dozens", n)
			}
			full := between(f.done, end+10*time.Second, end+20*time.Second)
			if full < 475 {
				t.Errorf("%d calls in the ten seconds from the tenth after the outage, want 500", full)
			}
		})
	}
}

// A probe that hangs does not keep the next from finding the service.
func TestAnOutageThatHangs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const begin, end = 20 * time.Second, 140 * time.Second
		f, _ := serve(t, 170*time.Second, func(since time.Duration) Verdict {
			if since >= begin && since < end {
				time.Sleep(30 * time.Second) // until the caller gives up
				return Unavailable
			}
			return Done
		})
		if full := between(f.done, end+10*time.Second, end+20*time.Second); full < 475 {
			t.Errorf("%d calls in the ten seconds from the tenth after the outage, want 500", full)
		}
	})
}

func TestHalfOfTheCallsFail(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, _ := serve(t, 120*time.Second, func(time.Duration) Verdict {
			if rand.N(2) == 0 {
				return Unavailable
			}
			return Done
		})
		// Of 50 calls a second half fail; those that fail take nothing from the service's bucket.
		if n := between(f.done, 20*time.Second, 120*time.Second); n < 2250 {
			t.Errorf("%d items done in 100 s, want near 2,500", n)
		}
	})
}

func TestThrottlesAreNoOutage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const end = 60 * time.Second
		f, down := serve(t, 120*time.Second, func(since time.Duration) Verdict {
			if since < end {
				return Throttled
			}
			return Done
		})
		if down {
			t.Error("throttles opened the breaker")
		}
		if n := between(f.calls, 0, end); n > 100 {
			t.Errorf("%d calls in a minute of throttles", n)
		}
		if n := between(f.done, end+40*time.Second, end+60*time.Second); n < 950 {
			t.Errorf("%d calls in the 20 s from the fortieth after the throttles, want 1,000", n)
		}
	})
}

func TestStatsAndAhead(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := &service{latency: 20 * time.Millisecond}
		l := New(Options[string]{Chance: seeded(2), Max: 10, Quotas: []*Quota{NewQuota(0.5, 1, seeded(1))}, Run: s.run})
		defer l.Close()
		var wg sync.WaitGroup
		wg.Go(func() { l.Do(context.Background(), items("starved", 1000)...) })
		time.Sleep(time.Minute)
		// About 30 requests of 100 were made; the rest take 140 s, or less as nothing is throttled.
		if ahead := l.Ahead(); ahead < 100*time.Second || ahead > 150*time.Second {
			t.Errorf("700 items in tens, at one in two seconds, take %v", ahead)
		}
		st := l.Stats()
		if st.Oldest < 59*time.Second || st.Oldest > time.Minute {
			t.Errorf("the oldest waits %v, want a minute", st.Oldest)
		}
		if st.Used < 0.35 || st.Used > 0.7 || st.Allowed < 0.5 || st.Allowed > 0.75 {
			t.Errorf("used %v of %v, want about 0.5", st.Used, st.Allowed)
		}
		if st.Items != 10*st.Requests {
			t.Errorf("%d items in %d requests, want ten in each", st.Items, st.Requests)
		}
		l.Drain()
		wg.Wait()
	})
}

// An outage begins when its first requests fail, not when the last of its lucky ones is over.
func TestAnOutageWithLuckyAnswersIsOne(t *testing.T) {
	half := func(d time.Duration) time.Duration { return d / 2 } // no chance
	const span = 10 * time.Minute
	for name, c := range map[string]struct {
		between func(b *breaker, now time.Time) time.Time // from the end of one outage to the next
		same    bool
	}{
		"an answer, and a pause": {func(_ *breaker, now time.Time) time.Time { return now.Add(span / 2) }, true},
		"one of five answered": {func(b *breaker, now time.Time) time.Time {
			for i := range 50 {
				b.note(now, false, i%5 == 0, half)
				now = now.Add(time.Second)
			}
			return now
		}, true},
		"nine of ten answered": {func(b *breaker, now time.Time) time.Time {
			for i := range 50 {
				b.note(now, false, i%10 != 0, half)
				now = now.Add(time.Second)
			}
			return now
		}, false},
		"an answer, and nothing for longer than the outage": {func(_ *breaker, now time.Time) time.Time { return now.Add(span + time.Second) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			now := began
			var b breaker
			fail := func() {
				for range downAfter {
					b.note(now, true, false, half)
				}
			}
			fail()
			now = now.Add(span)
			b.note(now, true, true, half)
			now = c.between(&b, now)
			fail()
			if !b.open() {
				t.Fatal("the breaker is closed after ten failures in a row")
			}
			if got := b.since.Equal(began); got != c.same {
				t.Errorf("down since the first outage: %t, want %t", got, c.same)
			}
		})
	}
}

// How fast a lane goes remains known through a pause that is shorter than it takes to measure; after
// an outage it is found anew.
func TestABlipDoesNotHideHowFastALaneGoes(t *testing.T) {
	const begin = 10 * time.Second
	for name, c := range map[string]struct {
		lasts time.Duration
		known bool
	}{
		"a blip":    {300 * time.Millisecond, true},
		"an outage": {time.Minute, false},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				f := &failing{bucket: newBucket(1000, 1000), began: time.Now(), verdict: func(since time.Duration) Verdict {
					if since >= begin && since < begin+c.lasts {
						return Unavailable
					}
					return Done
				}}
				l := New(Options[string]{Chance: seeded(2), Max: 1, InFlight: 1, Run: f.run}) // one call at a time, and no quota
				defer l.Close()
				var wg sync.WaitGroup
				wg.Go(func() { l.Do(context.Background(), items("k", 20_000)...) })
				time.Sleep(begin + c.lasts)
				if !l.Stats().Down {
					t.Fatal("the breaker never opened")
				}
				for l.Stats().Down {
					time.Sleep(time.Millisecond)
				}
				if known := l.Ahead() > time.Minute; known != c.known {
					t.Errorf("20,000 items, at less than a hundred a second, take %v", l.Ahead())
				}
				time.Sleep(2 * measured)
				if l.Ahead() < time.Minute {
					t.Errorf("20,000 items, at less than a hundred a second, take %v", l.Ahead())
				}
				l.Drain()
				wg.Wait()
			})
		})
	}
}
