package queue

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/rescindhq/rescind/internal/awssim"
)

// What was put off in a group is taken back before its time, the first to come back first, and
// nothing else is.
func TestRecall(t *testing.T) {
	virtual(t, awssim.Options{}, func(w *world) {
		w.send(w.url, 30)
		s := w.subscriber(w.client, Options{})
		c := collect(w.subscribe(s, w.url))
		advance(time.Minute)
		list := c.take()
		if len(list) != 30 {
			t.Fatalf("%d received", len(list))
		}
		soonest := map[string]bool{}
		for i, m := range list {
			l := LeaseFrom(m.Context())
			switch {
			case i < 10:
				l.PutOff(time.Duration(i+1)*time.Minute, "ours")
				soonest[l.MessageID] = i < 4
			case i < 20:
				l.PutOff(10*time.Minute, "another's")
			default:
				l.Release(10 * time.Minute)
			}
			m.Ack()
		}
		synctest.Wait()
		if n := s.Recall("ours", 4); n != 4 {
			t.Errorf("%d taken back, want 4", n)
		}
		advance(time.Second)
		taken := c.take()
		if len(taken) != 4 {
			t.Errorf("%d came at once, want 4", len(taken))
		}
		for _, m := range taken {
			if !soonest[LeaseFrom(m.Context()).MessageID] {
				t.Error("one came that was to come later than another")
			}
			m.Ack()
		}
		if n := s.Recall("ours", 100); n != 6 {
			t.Errorf("%d taken back after that, want the other 6", n)
		}
		if n := s.Recall("nobody's", 100); n != 0 {
			t.Errorf("%d taken back of a group that there is not", n)
		}
		advance(time.Second)
		ack(c.take(), 6, t)
		advance(9 * time.Minute)
		ack(c.take(), 0, t)
		advance(2 * time.Minute)
		ack(c.take(), 20, t)
	})
}

func ack(list []*message.Message, want int, t *testing.T) {
	t.Helper()
	if len(list) != want {
		t.Errorf("%d came, want %d", len(list), want)
	}
	for _, m := range list {
		m.Ack()
	}
}

// While there is plenty no poll begins, and it is asked again without anything having happened.
func TestPlentyHoldsBackPolls(t *testing.T) {
	virtual(t, awssim.Options{}, func(w *world) {
		gate := &switchGate{}
		gate.set(false)
		w.send(w.url, 100)
		s := w.subscriber(w.client, Options{Plenty: func(int) bool { return !gate.Open() }})
		c := collect(w.subscribe(s, w.url))
		advance(time.Hour)
		if st := s.Stats(); st.Polls != 0 {
			t.Fatalf("%d polls while there is plenty", st.Polls)
		}
		gate.set(true)
		advance(time.Second)
		ack(c.take(), 100, t)
	})
}

// What is remembered is bounded, and what has come back makes place for what is put off later.
func TestAwayForgetsWhatCameBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a away
		add := func(n int, named string) {
			for i := range n {
				a.add(released{key: messageKey{"q", fmt.Sprint(named, i)}, until: time.Now().Add(15 * time.Minute), group: i % 3})
			}
		}
		add(awayMost+10, "first")
		if len(a.byID) != awayMost {
			t.Errorf("%d remembered, want %d", len(a.byID), awayMost)
		}
		time.Sleep(time.Hour)
		add(1000, "later")
		add(1000, "later") // each was received and put off again
		if n := len(a.takeSome(0, 10_000)); n != 334 {
			t.Errorf("%d of a third of 1,000 taken back", n)
		}
		if n := len(a.take()); n != 666 {
			t.Errorf("%d of the others taken back, want 666", n)
		}
	})
}

// Queues that share a window are polled, however many they are and whatever of it is held.
func TestManyQueuesShareAWindow(t *testing.T) {
	for _, c := range []struct{ window, queues, held int }{{100, 11, 0}, {100, 4, 75}, {400, 12, 300}} {
		virtual(t, awssim.Options{}, func(w *world) {
			s := w.subscriber(w.client, Options{MaxInFlight: c.window, MaxHold: 2 * time.Hour})
			first := w.create("first")
			held := collect(w.subscribe(s, first))
			for i := range c.queues - 1 {
				collect(w.subscribe(s, w.create(fmt.Sprint("queue-", i))))
			}
			w.send(first, c.held)
			advance(2 * time.Minute)
			held.take()
			w.send(first, 5)
			advance(10 * time.Minute)
			if got := len(held.take()); got != 5 {
				t.Errorf("%+v: %d of 5 more messages in ten minutes, %d polls open", c, got, s.Stats().OpenPolls)
			}
		})
	}
}

// A window that is not small waits for places enough for a full receive.
func TestReceivesAreFullNearTheWindowsEdge(t *testing.T) {
	virtual(t, awssim.Options{}, func(w *world) {
		const window = 100
		w.send(w.url, 300)
		s := w.subscriber(w.client, Options{MaxInFlight: window})
		c := collect(w.subscribe(s, w.url))
		advance(time.Second)
		held := c.take()
		if len(held) != window {
			t.Fatalf("%d held", len(held))
		}
		polls := s.Stats().Polls
		for i := range 19 {
			held[i].Ack()
			advance(time.Second)
		}
		if n := s.Stats().Polls - polls; n != 1 {
			t.Errorf("%d polls for 19 places, want 1", n)
		}
		ack(c.take(), 10, t)
	})
}
