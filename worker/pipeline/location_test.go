package pipeline

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"go.uber.org/goleak"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/handlers/batch"
	"github.com/rescindhq/rescind/worker/chance"
	"github.com/rescindhq/rescind/worker/lane"
	"github.com/rescindhq/rescind/worker/trouble"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const own = "111111111111"

// yard is a pipeline's lanes and admission, without the rest.
type yard struct {
	*Pipeline
	handler handlers.Handler
}

func newYard() *yard {
	o := Options{Home: handlers.Location{Account: own, Region: "us-east-1"}, Trouble: trouble.New(nil), Chance: chance.New(1), MaxInFlight: 100_000, Patience: 5 * time.Minute}
	p := &Pipeline{lanes: newLanes(o, func(context.Context, [][]*target) {})}
	p.admission = newAdmission(o.MaxInFlight, o.Patience, p.lanes)
	return &yard{p, batch.New(func(handlers.Location) aws.Config { return aws.Config{} })[0]}
}

// group is that of the handler's commands.
func (y *yard) group() group { return group{action: y.handler.Action()} }

func foreign(i int) handlers.Location {
	return handlers.Location{Account: fmt.Sprintf("%012d", i), Region: "us-east-1"}
}

// pass lets a command in to a location, which reads, and out again.
func (y *yard) pass(at handlers.Location) {
	place, _ := y.admission.enter(y.group(), at, 1)
	_, leave := y.lanes.of(y.handler, reading, at)
	leave()
	place.leave()
}

func (y *yard) sweep() {
	y.lanes.mu.Lock()
	defer y.lanes.mu.Unlock()
	y.lanes.sweepLocked(time.Now(), idleFor)
}

// names are the accounts that metrics name, and deferred the messages that were deferred.
func (y *yard) names() (names map[string]int, deferred int) {
	names = make(map[string]int)
	y.Visit(Visitor{
		Lane:  func(k LaneKey, _ lane.Stats) { names[k.Account]++ },
		Quota: func(QuotaKey, float64) {},
		Group: func(_, account, _ string, _, n int) { names[account]++; deferred += n },
	})
	return names, deferred
}

func TestLocationsAreDroppedWhenTheyAreIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard()
		defer y.Close()
		y.pass(handlers.Location{Account: own, Region: "us-east-1"})
		for i := range 500 {
			y.pass(foreign(i))
			y.admission.deferral(y.group(), foreign(i), 1, true)
		}
		names, deferred := y.names()
		if len(names) != 1+namedMost+1 || names[own] == 0 || names[Other] != 2 || deferred != 500 {
			t.Errorf("%d names, %d series for others, %d deferred: want 200 accounts, the own one, others' two, and 500", len(names), names[Other], deferred)
		}
		time.Sleep(idleFor - time.Second)
		y.sweep()
		y.pass(foreign(0))
		place, _ := y.admission.enter(y.group(), foreign(1), 1)
		y.pass(foreign(499))
		time.Sleep(time.Second)
		y.sweep()
		if names, deferred = y.names(); len(names) != 4 || names[foreign(0).Account] == 0 || names[foreign(1).Account] == 0 || names[Other] != 2 || deferred != 302 {
			t.Errorf("%v are named, %d deferred: want the own account, two that were in use, and others, of which nothing was forgotten", names, deferred)
		}
		place.leave()
		time.Sleep(idleFor)
		y.sweep()
		if names, _ = y.names(); len(names) != 1 || names[own] == 0 {
			t.Errorf("%v are named, want the own account alone", names)
		}
		if y.lanes.named != 0 || y.lanes.others != 0 || len(y.lanes.gone.lanes) != 0 {
			t.Error("what was dropped is counted still")
		}
	})
}

func TestManyLocationsAreNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard()
		defer y.Close()
		spent, turn, used := foreign(0), foreign(1), foreign(2)
		for _, at := range []handlers.Location{spent, turn} {
			y.pass(at)
		}
		// One whose bucket is not full, one to which messages are to come back, and one in use.
		y.lanes.locations[spent].quotas[quotaKey{"test", "*"}] = emptied(t)
		y.lanes.locations[turn].groups[y.group()].turn = time.Now().Add(10 * time.Minute)
		place, _ := y.admission.enter(y.group(), used, 1)
		most := 0
		for i := range 20_000 {
			y.pass(foreign(10 + i))
			most = max(most, len(y.lanes.locations))
		}
		if most > sweptFrom+3 {
			t.Errorf("%d locations at once, want at most %d beside those that cannot go", most, sweptFrom)
		}
		for _, at := range []handlers.Location{spent, turn, used} {
			if y.lanes.locations[at] == nil {
				t.Errorf("%v is gone", at)
			}
		}
		place.leave()
		time.Sleep(15 * time.Minute)
		for i := range 20_000 {
			y.pass(foreign(100_000 + i))
		}
		for _, at := range []handlers.Location{spent, turn, used} {
			if y.lanes.locations[at] != nil {
				t.Errorf("%v is still there", at)
			}
		}
	})
}

// emptied is a quota of which a call has taken the last token.
func emptied(t *testing.T) *lane.Quota {
	q := lane.NewQuota(0.01, 2, chance.New(1))
	l := lane.New(lane.Options[int]{Max: 1, Quotas: []*lane.Quota{q}, Run: func(context.Context, string, [][]int) []lane.Verdict {
		return []lane.Verdict{lane.Done}
	}})
	defer l.Close()
	l.Do(t.Context(), lane.Item[int]{Key: "k", ID: "i"})
	return q
}

// A command costs the same however many accounts others have named.
func BenchmarkAdmission(b *testing.B) {
	for _, n := range []int{10, 500, 10_000} {
		b.Run(fmt.Sprint(n, " locations"), func(b *testing.B) {
			y := newYard()
			defer y.Close()
			for i := range n {
				y.admission.enter(y.group(), foreign(i), 1) // and does not leave
			}
			for i := 0; b.Loop(); i++ {
				y.pass(foreign(i % n))
			}
		})
		b.Run(fmt.Sprint("a new one beside ", n), func(b *testing.B) {
			y := newYard()
			defer y.Close()
			for i := range n {
				y.admission.enter(y.group(), foreign(i), 1)
			}
			for i := n; b.Loop(); i++ {
				y.pass(foreign(i))
			}
		})
	}
}
