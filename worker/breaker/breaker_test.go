package breaker_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rescindhq/rescind/worker/breaker"
)

var errDown = errors.New("down")

// The breaker opens after three failures in a row, lets a probe through now and then, and closes when
// one succeeds: then all that waited go at once.
func TestOpensAndCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opened, closed := 0, 0
		b := breaker.New(breaker.Options{
			After: 3, OnDown: func(error) { opened++ }, OnUp: func() { closed++ }, Chance: rand.New(rand.NewPCG(1, 2)),
		})
		requests := 0
		ask := func(r breaker.Result) {
			p, ok := b.Enter(t.Context())
			if !ok {
				t.Fatal("no pass")
			}
			requests++
			b.Leave(p, r, errDown)
		}
		for _, r := range []breaker.Result{breaker.Failed, breaker.Failed, breaker.Succeeded, breaker.Failed, breaker.Unknown, breaker.Failed} {
			ask(r)
		}
		if b.Why() != nil || opened != 0 {
			t.Fatalf("open after two failures in a row: %v", b.Why())
		}
		ask(breaker.Failed)
		if !errors.Is(b.Why(), errDown) || opened != 1 {
			t.Fatalf("not open after three failures in a row: %v", b.Why())
		}
		began := time.Now()
		for requests = 0; time.Since(began) < time.Minute; {
			ask(breaker.Failed)
		}
		if requests < 12 || requests > 60 {
			t.Errorf("%d probes in a minute", requests)
		}
		var waiting sync.WaitGroup
		for range 1000 {
			waiting.Go(func() {
				p, _ := b.Enter(t.Context())
				b.Leave(p, breaker.Succeeded, nil)
			})
		}
		began = time.Now()
		waiting.Wait()
		if b.Why() != nil || closed != 1 || time.Since(began) > 5*time.Second {
			t.Errorf("closed %d times within %s: %v", closed, time.Since(began), b.Why())
		}
	})
}

// A request that went through before the breaker opened says nothing about the time after.
func TestOlderRequestsChangeNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := breaker.New(breaker.Options{})
		older, _ := b.Enter(t.Context())
		p, _ := b.Enter(t.Context())
		b.Leave(p, breaker.Failed, errDown)
		b.Leave(older, breaker.Succeeded, nil)
		if b.Why() == nil {
			t.Error("closed by an older request")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Microsecond)
		defer cancel()
		if _, ok := b.Enter(ctx); ok {
			t.Error("let through without a backoff")
		}
	})
}
