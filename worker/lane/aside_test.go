package lane

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// faults answers items whose ids begin "bad" with a verdict: the whole request that holds one, or the
// item alone.
func faults(whole bool) func(ids []string) []Verdict {
	return func(ids []string) []Verdict {
		verdicts := slices.Repeat([]Verdict{Done}, len(ids))
		for i, id := range ids {
			if !strings.HasPrefix(id, "bad") {
				continue
			}
			if whole {
				return slices.Repeat([]Verdict{Unavailable}, len(ids))
			}
			verdicts[i] = Unavailable
		}
		return verdicts
	}
}

// mixed are n items of which each so manieth is bad.
func mixed(key string, n, each int) (good, bad []Item[string]) {
	for i := range n {
		if i%each == 0 {
			bad = append(bad, item(key, fmt.Sprintf("bad-%d", i)))
		} else {
			good = append(good, item(key, fmt.Sprintf("good-%d", i)))
		}
	}
	return good, bad
}

// doneIn starts the bad ones, then the good ones, and returns how long the good ones take.
func doneIn(t *testing.T, l *Lane[string], good, bad []Item[string]) time.Duration {
	t.Helper()
	go l.Do(t.Context(), bad...)
	synctest.Wait()
	began := time.Now()
	all(t, l.Do(t.Context(), good...), nil)
	return time.Since(began)
}

func TestItemsThatFailHoldBackNobody(t *testing.T) {
	for name, row := range map[string]struct {
		max, n, each int
		rate         float64
		whole        bool
		most         time.Duration
	}{
		"one of 21 a call each":                {1, 63, 21, 10, true, 8 * time.Second},
		"a call for fifty":                     {50, 63, 21, 50, true, time.Second},
		"a call for fifty, items fail":         {50, 63, 21, 50, false, time.Second},
		"each third of 27, a call each":        {1, 27, 3, 10, true, 8 * time.Second},
		"each tenth of a thousand, in fifties": {50, 1000, 10, 50, true, 30 * time.Second},
		"each second of a few, in one call":    {50, 8, 2, 50, true, 5 * time.Second},
		"all but one":                          {50, 40, 40, 50, true, 3 * time.Second},
		"each tenth of a thousand, items fail": {50, 1000, 10, 50, false, 2 * time.Second},
		"each third of six, a call each":       {1, 6, 3, 0, true, 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := &service{latency: 20 * time.Millisecond, judge: faults(row.whole)}
				l := New(Options[string]{Chance: seeded(2), Max: row.max, Quotas: []*Quota{NewQuota(row.rate, row.rate, seeded(1))}, Run: s.run})
				defer l.Close()
				good, bad := mixed("k", row.n, row.each)
				if took := doneIn(t, l, good, bad); took > row.most {
					t.Errorf("%d good ones took %v beside %d bad ones, want at most %v", len(good), took, len(bad), row.most)
				}
				if l.Stats().Down {
					t.Error("the breaker is open")
				}
				// In RESCIND_PATIENCE each costs a dozen calls.
				before := s.count()
				time.Sleep(5 * time.Minute)
				if n := s.count() - before; n > 20*len(bad) {
					t.Errorf("%d calls in five minutes for %d that fail", n, len(bad))
				}
			})
		})
	}
}

// A key with nothing but items that fail leaves its turn to others where tokens are few.
func TestAKeyThatFailsLeavesItsTurn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := &service{latency: 20 * time.Millisecond, judge: faults(true)}
		l := New(Options[string]{Chance: seeded(2), Max: 10, Quotas: []*Quota{NewQuota(0.5, 10, seeded(1))}, Run: s.run})
		defer l.Close()
		var good, bad []Item[string]
		for i := range 100 {
			good = append(good, item(fmt.Sprint("key-", i), fmt.Sprint("good-", i)))
		}
		for i := range 5 {
			bad = append(bad, item(fmt.Sprint("bad-key-", i), fmt.Sprint("bad-", i)))
		}
		// 90 of them wait for a token: less than 180 s, as the lane probes beyond its rate.
		if took := doneIn(t, l, good, bad); took > 216*time.Second {
			t.Errorf("took %v, want at most 1.2 times 180 s", took)
		}
	})
}

// One that hangs does not count as a request that others of its key have to wait for.
func TestOneThatHangsHoldsBackNoBatch(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := &service{latency: 20 * time.Millisecond}
		s.judge = func(ids []string) []Verdict {
			verdicts := faults(true)(ids)
			if verdicts[0] == Unavailable {
				time.Sleep(30 * time.Second)
			}
			return verdicts
		}
		l := New(Options[string]{Chance: seeded(2), Max: 10, PartFilled: 1, Run: s.run})
		defer l.Close()
		go l.Do(t.Context(), item("k", "bad-1"))
		synctest.Wait()
		time.Sleep(30*time.Second + time.Second) // it hangs again
		for i := range 20 {
			began := time.Now()
			all(t, l.Do(t.Context(), item("k", fmt.Sprint("good-", i))), nil)
			if took := time.Since(began); took > time.Second {
				t.Errorf("a good one took %v", took)
			}
		}
	})
}

// While the breaker is open, a probe is for who has not failed, in whatever key and however long
// others wait for one.
func TestProbesGoToWhoHasNotFailed(t *testing.T) {
	for _, most := range []int{1, 10} {
		for _, key := range []string{"k", "another"} {
			t.Run(fmt.Sprintf("max=%d, key %s", most, key), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					s := &service{latency: 20 * time.Millisecond, judge: faults(true)}
					l := New(Options[string]{Chance: seeded(2), Max: most, Run: s.run})
					defer l.Close()
					_, bad := mixed("k", 30, 1)
					go l.Do(t.Context(), bad...)
					time.Sleep(2 * time.Minute)
					if !l.Stats().Down {
						t.Fatal("thirty that fail, and nothing else, did not open the breaker")
					}
					began := time.Now()
					all(t, l.Do(t.Context(), item(key, "good")), nil)
					if took := time.Since(began); took > lastGap+time.Second {
						t.Errorf("a good one took %v, want the next probe", took)
					}
					if l.Stats().Down {
						t.Error("the breaker is open though one passed")
					}
				})
			})
		}
	}
}

// In an outage each probe is for another.
func TestProbesGoRound(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := &service{latency: 20 * time.Millisecond}
		s.judge = func(ids []string) []Verdict { return slices.Repeat([]Verdict{Unavailable}, len(ids)) }
		l := New(Options[string]{Chance: seeded(2), Max: 1, Run: s.run})
		defer l.Close()
		go l.Do(t.Context(), items("k", 300)...)
		time.Sleep(10 * time.Minute)
		s.mu.Lock()
		defer s.mu.Unlock()
		seen := map[string]int{}
		for _, ids := range s.requests[64:] {
			seen[ids[0]]++
		}
		for id, n := range seen {
			if n > 1 {
				t.Errorf("%s was the probe %d times, of %d", id, n, len(seen))
			}
		}
	})
}

// A few that fail, and nothing beside them, are no outage; many are, though of one request.
func TestTheBreakerOpensForDistinctItems(t *testing.T) {
	for _, row := range []struct {
		max, n int
		down   bool
	}{{1, 1, false}, {1, 3, false}, {50, 3, false}, {1, 12, true}, {50, 9, true}, {50, 500, true}} {
		t.Run(fmt.Sprintf("%d of %d", row.n, row.max), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := &service{latency: 20 * time.Millisecond, judge: faults(true)}
				l := New(Options[string]{Chance: seeded(2), Max: row.max, Run: s.run})
				defer l.Close()
				_, bad := mixed("k", row.n, 1)
				go l.Do(t.Context(), bad...)
				time.Sleep(2 * time.Minute)
				if down := l.Stats().Down; down != row.down {
					t.Errorf("down: %t, want %t", down, row.down)
				}
				if n := s.count(); n > 70 {
					t.Errorf("%d calls in two minutes", n)
				}
			})
		})
	}
}

// refusals is a lane's service that refuses, with a code each, requests that hold a bad item, or all.
type refusals struct {
	service
	mu    sync.Mutex
	codes map[string]string // by id
}

func (r *refusals) lane(most int, code func(ids []string) string, known func(id string) bool) *Lane[string] {
	r.codes = map[string]string{}
	r.judge = func(ids []string) []Verdict {
		r.mu.Lock()
		defer r.mu.Unlock()
		said := code(ids)
		if said == "" {
			return slices.Repeat([]Verdict{Done}, len(ids))
		}
		for _, id := range ids {
			r.codes[id] = said
		}
		return slices.Repeat([]Verdict{Refused}, len(ids))
	}
	return New(Options[string]{Chance: seeded(2), Max: most, Run: r.run, Why: func(same []string) (string, bool) {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.codes[same[0]], known != nil && known(same[0])
	}})
}

func TestTheSameRefusalIsTheRequestsOwn(t *testing.T) {
	for _, n := range []int{1, 2, 3, 4, 16, 256} {
		for _, known := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d, known %t", n, known), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					r := &refusals{service: service{latency: time.Millisecond}}
					l := r.lane(256, func([]string) string { return "Gone" }, func(string) bool { return known })
					defer l.Close()
					errs := l.Do(t.Context(), items("k", n)...)
					unproven := len(slices.DeleteFunc(slices.Clone(errs), func(err error) bool { return err == nil }))
					if want := max(n-2, 0); !known && unproven != want || known && unproven != 0 || unproven > 0 && !slices.Contains(errs, ErrUnproven) {
						t.Errorf("%d are unproven: %v", unproven, errs)
					}
					if r.count() > 3 || known && r.count() > 2 {
						t.Errorf("%d calls: %v", r.count(), r.requests)
					}
				})
			})
		}
	}
}

func TestBadItemsCondemnNoOthers(t *testing.T) {
	for name, row := range map[string]struct {
		bad   []int
		known bool
	}{
		"one":                            {bad: []int{5}},
		"in both halves":                 {bad: []int{3, 12}},
		"at both ends":                   {bad: []int{0, 15}},
		"one of those run alone":         {bad: []int{5, 6}},
		"both of them, and one is known": {bad: []int{5, 10}, known: true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				isBad := func(id string) bool {
					return slices.ContainsFunc(row.bad, func(i int) bool { return id == fmt.Sprintf("k-%d", i) })
				}
				r := &refusals{service: service{latency: time.Millisecond}}
				passed := map[string]bool{}
				l := r.lane(50, func(ids []string) string {
					if slices.ContainsFunc(ids, isBad) {
						return "Invalid"
					}
					for _, id := range ids {
						passed[id] = true
					}
					return ""
				}, func(id string) bool { return row.known && !isBad(id) })
				defer l.Close()
				all(t, l.Do(t.Context(), items("k", 16)...), nil)
				if len(passed) != 16-len(row.bad) {
					t.Errorf("%d passed, want %d: %v", len(passed), 16-len(row.bad), r.requests)
				}
			})
		})
	}
}

// Who is refused alone with another code than all were together says nothing of the others.
func TestAnotherCodeIsAnotherRefusal(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := &refusals{service: service{latency: time.Millisecond}}
		alone := 0
		l := r.lane(50, func(ids []string) string {
			if len(ids) > 1 {
				return "TooMany"
			}
			alone++
			return "NotThisOne"
		}, nil)
		defer l.Close()
		all(t, l.Do(t.Context(), items("k", 16)...), nil)
		if alone != 16 {
			t.Errorf("%d of 16 were run alone", alone)
		}
	})
}

// Whatever is answered, withdrawn and drained, every Do returns, and nothing is left.
func TestNothingIsLost(t *testing.T) {
	for seed := range uint64(200) {
		bubble(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			var mu sync.Mutex
			draw := func(n int) int {
				mu.Lock()
				defer mu.Unlock()
				return rng.IntN(n)
			}
			r := &refusals{service: service{latency: 10 * time.Millisecond}}
			l := r.lane(1+draw(20), func([]string) string { return "" }, func(string) bool { return draw(4) == 0 })
			inner := l.o.Run
			l.o.Run = func(ctx context.Context, key string, batch [][]string) []Verdict {
				inner(ctx, key, batch)
				verdicts := slices.Repeat([]Verdict{Verdict(1 + draw(5))}, len(batch))
				switch draw(6) {
				case 0:
					for i := range verdicts {
						verdicts[i] = Verdict(1 + draw(5))
					}
				case 1:
					panic("boom")
				}
				r.mu.Lock()
				for _, same := range batch {
					r.codes[same[0]] = "same"
				}
				r.mu.Unlock()
				return verdicts
			}
			var wg sync.WaitGroup
			var odd atomic.Int64
			for i := range 30 {
				wg.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+draw(5000))*time.Millisecond)
					defer cancel()
					var some []Item[string]
					for j := range 1 + draw(10) {
						some = append(some, item(fmt.Sprint("k", draw(3)), fmt.Sprint(i%7, "-", j)))
					}
					for _, err := range l.Do(ctx, some...) {
						var p *PanicError
						if err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, ErrDraining) && !errors.Is(err, ErrUnproven) && !errors.As(err, &p) {
							odd.Add(1)
						}
					}
				})
			}
			time.Sleep(time.Duration(draw(4000)) * time.Millisecond)
			if seed%2 == 0 {
				l.Drain()
			}
			wg.Wait()
			synctest.Wait()
			if st := l.Stats(); odd.Load() > 0 || st.Waiting != 0 || st.InFlight != 0 {
				t.Errorf("seed %d: %d odd errors; %+v", seed, odd.Load(), st)
			}
			time.Sleep(2 * asideCap)
			synctest.Wait()
			l.Close()
			if n := len(l.keys); n != 0 && seed%2 == 1 {
				t.Errorf("seed %d: %d keys are left", seed, n)
			}
		})
	}
}
