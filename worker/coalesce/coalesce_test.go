package coalesce_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/rescindhq/rescind/worker/coalesce"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// wire records the requests that are made and takes a second for each.
type wire struct {
	mu       sync.Mutex
	requests [][]int
	inFlight int
	most     int // the most that were in flight at once
}

func (w *wire) do(items []int) []string {
	w.mu.Lock()
	w.requests = append(w.requests, slices.Clone(items))
	w.inFlight++
	w.most = max(w.most, w.inFlight)
	w.mu.Unlock()
	time.Sleep(time.Second)
	w.mu.Lock()
	w.inFlight--
	w.mu.Unlock()
	results := make([]string, len(items))
	for i, n := range items {
		results[i] = fmt.Sprint("result of ", n)
	}
	return results
}

func (w *wire) sent() [][]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.requests)
}

// sendAll sends items in order, the first few each when those before it are on their way, and the
// others at one instant; waits for the end and checks each item's own result.
func sendAll(t *testing.T, g *coalesce.Group[int, string], ahead int, items ...int) {
	t.Helper()
	var mu sync.Mutex
	results := map[int][]string{}
	for i, n := range items {
		g.Go(n, func(r string) {
			mu.Lock()
			defer mu.Unlock()
			results[n] = append(results[n], r)
		})
		if i < ahead {
			synctest.Wait()
		}
	}
	if err := g.Wait(t.Context()); err != nil {
		t.Fatal("Wait:", err)
	}
	for _, n := range items {
		if want := []string{fmt.Sprint("result of ", n)}; !slices.Equal(results[n], want) {
			t.Errorf("item %d: results %q, want %q", n, results[n], want)
		}
	}
}

func upTo(n int) []int {
	items := make([]int, n)
	for i := range items {
		items[i] = i + 1
	}
	return items
}

func TestRequests(t *testing.T) {
	self := func(n int) int { return n }
	for name, tt := range map[string]struct {
		options coalesce.Options[int]
		ahead   int   // how many of the items are sent one by one before the others
		items   []int // the others at one instant
		want    []int // items of each request, in order of sending
		most    int   // requests in flight at once
		takes   time.Duration
	}{
		"at rest an item goes out alone and at once": {
			options: coalesce.Options[int]{Max: 10}, items: upTo(1), want: []int{1}, most: 1, takes: time.Second,
		},
		"of what comes at one instant the first two go at once, and the rest together": {
			options: coalesce.Options[int]{Max: 10}, items: upTo(8), want: []int{1, 1, 6}, most: 2, takes: 2 * time.Second,
		},
		"what comes while two are under way goes together": {
			options: coalesce.Options[int]{Max: 10}, ahead: 2, items: upTo(8), want: []int{1, 1, 6}, most: 2, takes: 2 * time.Second,
		},
		"full requests do not wait for part-filled ones": {
			options: coalesce.Options[int]{Max: 10}, ahead: 2, items: upTo(35),
			want: []int{1, 1, 10, 10, 10, 3}, most: 5, takes: 2 * time.Second,
		},
		"one part-filled where one is allowed": {
			options: coalesce.Options[int]{Max: 10, PartFilled: 1}, ahead: 1, items: upTo(5),
			want: []int{1, 4}, most: 1, takes: 2 * time.Second,
		},
		"full requests wait for the limit of requests": {
			options: coalesce.Options[int]{Max: 2, PartFilled: 1, InFlight: 3}, ahead: 1, items: upTo(11),
			want: []int{1, 2, 2, 2, 2, 2}, most: 3, takes: 2 * time.Second,
		},
		"one writer sends one after the other": {
			options: coalesce.Options[int]{Max: 4, PartFilled: 1, InFlight: 1}, ahead: 1, items: upTo(10),
			want: []int{1, 4, 4, 1}, most: 1, takes: 4 * time.Second,
		},
		"sixty-four requests where nothing else is said": {
			options: coalesce.Options[int]{Max: 1}, items: upTo(65),
			want: slices.Repeat([]int{1}, 65), most: 64, takes: 2 * time.Second,
		},
		"bytes cut a request, and what was cut is full": {
			options: coalesce.Options[int]{Max: 10, MaxBytes: 10, Size: self, PartFilled: 1},
			ahead:   1,
			items:   []int{1, 4, 5, 2, 9, 3}, want: []int{1, 2, 1, 1, 1}, most: 4, takes: 2 * time.Second,
		},
		"bytes that are just used up make a request full": {
			options: coalesce.Options[int]{Max: 10, MaxBytes: 10, Size: self, PartFilled: 1},
			ahead:   1,
			items:   []int{1, 6, 4}, want: []int{1, 2}, most: 2, takes: time.Second,
		},
		"an item over the bytes is sent, alone and without waiting": {
			options: coalesce.Options[int]{Max: 10, MaxBytes: 10, Size: self, PartFilled: 1},
			ahead:   1,
			items:   []int{1, 50, 2}, want: []int{1, 1, 1}, most: 2, takes: 2 * time.Second,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &wire{}
				start := time.Now()
				sendAll(t, coalesce.New(tt.options, w.do), tt.ahead, tt.items...)
				// Requests of one instant reach the wire in any order: they are ordered by
				// their first item.
				requests := w.sent()
				slices.SortFunc(requests, func(a, b []int) int {
					return slices.Index(tt.items, a[0]) - slices.Index(tt.items, b[0])
				})
				sizes := make([]int, 0, len(requests))
				for _, r := range requests {
					sizes = append(sizes, len(r))
				}
				if !slices.Equal(sizes, tt.want) {
					t.Errorf("requests of %v items, want %v", sizes, tt.want)
				}
				if all := slices.Concat(requests...); !slices.Equal(all, tt.items) {
					t.Errorf("sent %v, want %v", all, tt.items)
				}
				if w.most != tt.most {
					t.Errorf("%d requests in flight at once, want %d", w.most, tt.most)
				}
				if took := time.Since(start); took != tt.takes {
					t.Errorf("took %v, want %v", took, tt.takes)
				}
			})
		})
	}
}

func TestDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{}
		g := coalesce.New(coalesce.Options[int]{Max: 10}, w.do)
		r, err := g.Do(t.Context(), 7)
		if err != nil || r != "result of 7" {
			t.Errorf("Do(7) = %q, %v", r, err)
		}
	})
}

// No caller's context rules a shared request: who leaves early takes nothing from the others.
func TestDoReturnsWhenItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{}
		g := coalesce.New(coalesce.Options[int]{Max: 10, PartFilled: 1}, w.do)
		g.Go(1, func(string) {})
		synctest.Wait() // what comes now waits beside it
		neighbour := make(chan string, 1)
		g.Go(2, func(r string) { neighbour <- r })

		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		start := time.Now()
		if _, err := g.Do(ctx, 3); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Do = %v, want the context's error", err)
		}
		if took := time.Since(start); took != time.Millisecond {
			t.Errorf("Do returned after %v, want 1ms", took)
		}
		if r := <-neighbour; r != "result of 2" {
			t.Errorf("the neighbour got %q", r)
		}
		if got := w.sent(); len(got) != 2 || !slices.Equal(got[1], []int{2, 3}) {
			t.Errorf("sent %v, want the abandoned item beside its neighbour", got)
		}
	})
}

func TestDoSendsNothingForAnEndedContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{}
		g := coalesce.New(coalesce.Options[int]{Max: 10}, w.do)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := g.Do(ctx, 1); !errors.Is(err, context.Canceled) {
			t.Errorf("Do = %v, want the context's error", err)
		}
		synctest.Wait()
		if got := w.sent(); len(got) != 0 {
			t.Errorf("sent %v, want nothing", got)
		}
	})
}

func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{}
		g := coalesce.New(coalesce.Options[int]{Max: 2, PartFilled: 1, InFlight: 1}, w.do)
		start := time.Now()
		if err := g.Wait(t.Context()); err != nil || time.Since(start) != 0 {
			t.Errorf("Wait of an idle group: %v after %v, want at once", err, time.Since(start))
		}

		answered := 0
		for n := range 5 { // requests of 1, 2 and 2 items
			g.Go(n, func(string) { answered++ })
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := g.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Wait = %v, want the context's error", err)
		}
		second := make(chan error, 1)
		go func() { second <- g.Wait(t.Context()) }()
		if err := g.Wait(t.Context()); err != nil {
			t.Error("Wait:", err)
		}
		if err := <-second; err != nil {
			t.Error("a second Wait beside it:", err)
		}
		if took := time.Since(start); took != 3*time.Second || answered != 5 {
			t.Errorf("Wait returned after %v with %d of 5 answered, want 3s and all", took, answered)
		}
	})
}

// An item may be sent from within another's done: Wait sees it.
func TestWaitSeesWhatDoneSends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{}
		g := coalesce.New(coalesce.Options[int]{Max: 10}, w.do)
		answered := false
		g.Go(1, func(string) { g.Go(2, func(string) { answered = true }) })
		if err := g.Wait(t.Context()); err != nil || !answered {
			t.Errorf("Wait = %v, second item answered: %t", err, answered)
		}
	})
}

// BenchmarkBacklog sends many items while one request is under way: the cost of an item must
// not grow with how many wait.
func BenchmarkBacklog(b *testing.B) {
	for _, n := range []int{1_000, 100_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			for b.Loop() {
				release := make(chan struct{})
				g := coalesce.New(coalesce.Options[int]{
					Max: 10, MaxBytes: 1 << 20, Size: func(int) int { return 100 }, PartFilled: 1, InFlight: 1,
				}, func(items []int) []struct{} { <-release; return make([]struct{}, len(items)) })
				for i := range n {
					g.Go(i, func(struct{}) {})
				}
				close(release)
				if err := g.Wait(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/item")
		})
	}
}
