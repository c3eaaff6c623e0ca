package credentials

import (
	"testing"
	"testing/synctest"

	"github.com/rescindhq/rescind/worker/trouble"
)

// TestACallerThatWakesLateGetsAnError: what was retrieved may have expired by the time that a caller which
// waited for it goes on, as after a machine was suspended. Then there is no failure to tell.
func TestACallerThatWakesLateGetsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(nil, Own, trouble.New(nil), nil)
		s.flight = make(chan struct{})
		got := make(chan error)
		go func() {
			_, err := s.Retrieve(t.Context())
			got <- err
		}()
		synctest.Wait()
		close(s.flight) // it has succeeded, and what it brought is over
		if text := (<-got).Error(); text == "" {
			t.Error("the error has no text")
		}
	})
}
