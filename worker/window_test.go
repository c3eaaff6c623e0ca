package worker

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/rescindhq/rescind/worker/lane"
)

// What is released comes back in the order of service, at the pace of the lane, spread, and within
// a quarter of an hour; and then no longer counts as away.
func TestReleasesAreSpreadByTheLanesPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &holding{targets: 100, usual: 1, away: away{made: time.Now()}}
		const wait, pace = 100 * time.Second, 1 // for the hundred that are held: one a second
		within := func(released int, got, expected time.Duration) {
			t.Helper()
			if got > expected || got < expected*4/5 {
				t.Errorf("release %d is for %s, want %s less a fifth at most", released, got, expected)
			}
		}
		began := time.Now()
		for released := range 2000 {
			within(released, h.absence(outlook{Outlook: lane.Outlook{Pace: pace}}), min(wait/2+time.Duration(released)*time.Second, releaseMost))
		}
		if n := h.away.count(time.Now()); n != 2000 {
			t.Errorf("%d are away, want 2,000", n)
		}
		time.Sleep(time.Until(began.Add(7 * time.Minute)))
		if n := h.away.count(time.Now()); n < 2000-7*60*5/4 || n > 2000-5*60 {
			t.Errorf("after seven minutes %d are away, want about 1,600", n)
		}
		time.Sleep(time.Until(began.Add(releaseMost + awaySpan)))
		if n := h.away.count(time.Now()); n != 0 {
			t.Errorf("after a quarter of an hour %d are away", n)
		}
		time.Sleep(24 * time.Hour)
		within(0, h.absence(outlook{Outlook: lane.Outlook{Pace: pace}}), wait/2)
		if n := h.away.count(time.Now()); n != 1 {
			t.Errorf("a day later %d are away, want the one that was released now", n)
		}
	})
}

// In an outage releases grow with it, and stay within a quarter of what it has lasted.
func TestReleasesInAnOutageGrowWithIt(t *testing.T) {
	h := &holding{}
	for _, row := range []struct{ down, most time.Duration }{
		{time.Second, 5 * time.Second},
		{20 * time.Second, 5 * time.Second},
		{2 * time.Minute, 30 * time.Second},
		{time.Hour, 15 * time.Minute},
		{24 * time.Hour, 15 * time.Minute},
	} {
		for range 100 {
			if got := h.absence(outlook{down: row.down}); got > row.most || got < row.most/2 {
				t.Fatalf("after %s a release is for %s, want half of %s to all of it", row.down, got, row.most)
			}
		}
	}
}
