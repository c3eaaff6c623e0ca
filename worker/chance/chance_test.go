package chance_test

import (
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rescindhq/rescind/worker/chance"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestASeedDeterminesWhatIsDrawn(t *testing.T) {
	a, b, c := chance.New(1), chance.New(1), chance.New(2)
	same := true
	for range 10 {
		x, y, z := chance.Below(a, time.Hour), chance.Below(b, time.Hour), chance.Below(c, time.Hour)
		if x != y {
			t.Errorf("one seed gave %s and %s", x, y)
		}
		same = same && x == z
	}
	if same {
		t.Error("another seed gives the same")
	}
	if chance.Or(a) != a || chance.Or(nil).Uint64() == chance.Or(nil).Uint64() {
		t.Error("want the one given, and where there is none, one of a seed of its own")
	}
}

// The race detector tells.
func TestASourceIsSharedByGoroutines(*testing.T) {
	r := chance.New(1)
	var drawing sync.WaitGroup
	for range 4 {
		drawing.Go(func() {
			for range 100 {
				chance.Below(r, time.Second)
			}
		})
	}
	drawing.Wait()
}
