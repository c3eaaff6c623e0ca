package crew

import (
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// goroutine names the goroutine that calls it.
func goroutine() string {
	b := make([]byte, 64)
	return strings.Fields(string(b[:runtime.Stack(b, false)]))[1]
}

func TestAnIdleGoroutineIsUsedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Crew
		defer c.Close()
		used := map[string]bool{}
		for range 10 {
			c.Go(func() { used[goroutine()] = true })
			synctest.Wait()
		}
		if len(used) != 1 {
			t.Errorf("ten functions, one after the other, ran on %d goroutines", len(used))
		}
	})
}

func TestWhatIsBusyIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Crew
		defer c.Close()
		began := time.Now()
		var wg sync.WaitGroup
		for range 2 * idleMost {
			wg.Add(1)
			c.Go(func() { defer wg.Done(); time.Sleep(time.Second) })
		}
		wg.Wait()
		if took := time.Since(began); took != time.Second {
			t.Errorf("functions of a second beside each other took %s", took)
		}
		synctest.Wait()
		if n := len(c.idle); n != idleMost {
			t.Errorf("%d goroutines are kept, want %d", n, idleMost)
		}
	})
}

// What is idle, and what is still under way, ends with the crew; the bubble would tell otherwise.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Crew
		var ran atomic.Int32
		c.Go(func() { ran.Add(1) })
		c.Go(func() { time.Sleep(time.Minute); ran.Add(1) })
		time.Sleep(time.Second)
		c.Close()
		c.Go(func() { ran.Add(1) })
		time.Sleep(time.Hour)
		if n := ran.Load(); n != 3 {
			t.Errorf("%d of 3 functions ran", n)
		}
	})
}
