package trouble_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/rescindhq/rescind/worker/trouble"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errDown = errors.New("it is down")

// rig is a set of peers and what they logged.
type rig struct {
	*testing.T
	*trouble.Peers
	logs *observer.ObservedLogs
}

func virtual(t *testing.T, test func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.InfoLevel)
		test(&rig{t, trouble.New(zap.New(core)), logs})
	})
}

// said compares what was logged with lines, and forgets it.
func (r *rig) said(want ...string) {
	r.Helper()
	var got []string
	for _, e := range r.logs.TakeAll() {
		got = append(got, e.Level.String()+": "+e.Message)
	}
	if !slices.Equal(got, want) {
		r.Errorf("said\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// fails makes an attempt fail each period for so long.
func fails(p *trouble.Peer, lasting, period time.Duration) {
	for end := time.Now().Add(lasting); time.Now().Before(end); time.Sleep(period) {
		p.Begin().Failed(errDown)
	}
}

const (
	begins = "warn: lane does not get through"
	still  = "warn: lane still does not get through"
	again  = "info: lane gets through again"
)

func TestWhenALineIsDue(t *testing.T) {
	for _, test := range []struct {
		name   string
		during func(p *trouble.Peer)
		want   []string
	}{
		{"one failure", func(p *trouble.Peer) { p.Begin().Failed(errDown) }, nil},
		{"a blip of a second and a half", func(p *trouble.Peer) { fails(p, 1500*time.Millisecond, 100*time.Millisecond) }, nil},
		{"nine seconds", func(p *trouble.Peer) { fails(p, 9*time.Second, 100*time.Millisecond) }, []string{begins, again}},
		{"nine seconds of one attempt in three", func(p *trouble.Peer) { fails(p, 9*time.Second, 3*time.Second) }, []string{begins, again}},
		{"three minutes", func(p *trouble.Peer) { fails(p, 3*time.Minute, time.Second) }, []string{begins, still, still, again}},
		{"one failure, and none that got through for eleven seconds", func(p *trouble.Peer) {
			p.Begin().Failed(errDown)
			time.Sleep(11 * time.Second)
		}, []string{begins, again}},
		{"half of the attempts", func(p *trouble.Peer) {
			for range 100 {
				p.Begin().Failed(errDown)
				time.Sleep(time.Second)
				p.Begin().Through()
			}
		}, nil},
		{"nine seconds of throttling", func(p *trouble.Peer) {
			for range 9 {
				p.Begin().Throttled(errDown)
				time.Sleep(time.Second)
			}
		}, nil},
		{"a minute of throttling alone", func(p *trouble.Peer) {
			for range 60 {
				p.Begin().Throttled(errDown)
				time.Sleep(time.Second)
			}
		}, []string{begins, again}},
		{"one failure in throttling", func(p *trouble.Peer) {
			for range 9 {
				p.Begin().Throttled(errDown)
				time.Sleep(time.Second)
			}
			p.Begin().Failed(errDown)
		}, nil},
		{"a request that hangs for nine seconds", func(p *trouble.Peer) {
			a := p.Begin()
			time.Sleep(9 * time.Second)
			a.Through()
		}, nil},
		{"a request that hangs, and is given up after thirty", func(p *trouble.Peer) {
			a := p.Begin()
			time.Sleep(30 * time.Second)
			a.Failed(errDown)
		}, []string{begins, again}},
		{"requests that hang for three minutes", func(p *trouble.Peer) {
			a := p.Begin()
			time.Sleep(3 * time.Minute)
			a.Dropped()
		}, []string{begins, still, still, again}},
		{"one that hangs beside others that do not", func(p *trouble.Peer) {
			a := p.Begin()
			for range 60 {
				b := p.Begin()
				time.Sleep(time.Second)
				b.Through()
			}
			a.Failed(errDown)
		}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			virtual(t, func(r *rig) {
				p := r.Peer(trouble.Lane, "batch:CancelJobs", nil)
				p.Begin().Through()
				time.Sleep(5 * time.Second)
				test.during(p)
				p.Begin().Through()
				r.said(test.want...)
				if f := r.Failing(); len(f) != 0 {
					t.Errorf("still failing: %v", f)
				}
				time.Sleep(time.Hour)
				r.said()
			})
		})
	}
}

func TestWhatALineSays(t *testing.T) {
	virtual(t, func(r *rig) {
		p := r.Peer(trouble.Queue, "https://q", func() int { return 7 })
		began := time.Now()
		fails(p, 9*time.Second, time.Second)
		e := r.logs.TakeAll()[0]
		m := e.ContextMap()
		if e.Level != zap.ErrorLevel || m["name"] != "https://q" || m["for"] != "2s" || m["failedAttempts"] != int64(3) || m["why"] != "it is down" || m["held"] != int64(7) {
			t.Errorf("%s %s %v", e.Level, e.Message, m)
		}
		if since, _ := m["since"].(time.Time); !since.Equal(began) {
			t.Errorf("since %v, want %s", m["since"], began)
		}
		if f := r.Failing(); len(f) != 1 || f[0].Kind != trouble.Queue || !f[0].Since.Equal(began) || !f[0].Named {
			t.Errorf("%+v", f)
		}
		p.Begin().Through()
		if m := r.logs.TakeAll()[0].ContextMap(); m["for"] != "9s" || m["failedAttempts"] != int64(9) || m["why"] != "it is down" {
			t.Errorf("%v", m)
		}
	})
}

func TestAPeerThatNobodyTriesAnyMore(t *testing.T) {
	virtual(t, func(r *rig) {
		p := r.Peer(trouble.Lane, "l", nil)
		fails(p, 9*time.Second, time.Second)
		r.said(begins)
		time.Sleep(119 * time.Second)
		if len(r.Failing()) != 1 {
			t.Error("forgotten too soon")
		}
		time.Sleep(5 * time.Second)
		r.said(still, still, "info: lane: no command needs it now; when last tried it failed")
		time.Sleep(55 * time.Minute)
		if f := r.Failing(); len(f) != 1 || !strings.HasPrefix(f[0].String(), "lane l failed when last tried, at 2000-01-01T00:00:08Z; none got through since 2000-01-01T00:00:00Z (57m13s): it is down") {
			t.Errorf("it must not look mended: %v", f)
		}
		p.Begin().Through()
		r.said(again)
		fails(p, 9*time.Second, time.Second)
		time.Sleep(time.Hour + time.Minute)
		if f := r.Failing(); len(f) != 0 {
			t.Errorf("not forgotten: %v", f)
		}
		r.said(begins, still, still, "info: lane: no command needs it now; when last tried it failed")
		p.Begin().Failed(errDown) // it begins anew
		time.Sleep(time.Second)
		p.Begin().Through()
		r.said()
	})
}

func TestWarningsOfWhatGetsThrough(t *testing.T) {
	const denies = "error: lane answers, and denies calls: their commands end as denied"
	virtual(t, func(r *rig) {
		p := r.Peer(trouble.Lane, "batch:CancelJobs 1 r", func() int { return 7 })
		for range 90 {
			p.Warn(trouble.Denies, errDown)
			p.Begin().Through()
			time.Sleep(time.Second)
		}
		all := r.logs.All()
		if m := all[len(all)-1].ContextMap(); m["times"] != int64(61) || m["why"] != "it is down" || m["held"] != int64(7) {
			t.Errorf("%v", m)
		}
		r.said(denies, denies)
		if w := r.Warnings(); len(w) != 1 || w[0] != "lane batch:CancelJobs 1 r answers, and denies calls: their commands end as denied since 2000-01-01T00:00:00Z (90 times, the last 1s ago): it is down; do: then send these commands again, under new ids" {
			t.Errorf("%q", w)
		}
		time.Sleep(3 * time.Minute)
		r.said("info: lane answers, and denies calls: their commands end as denied: not in the last two minutes")
		if w, f := r.Warnings(), r.Failing(); len(w)+len(f) != 0 {
			t.Errorf("%q, %v", w, f)
		}
	})
}

func TestOneTargetThatFailsWhereOthersGetThrough(t *testing.T) {
	const single = "warn: lane gets through, but not for some targets"
	virtual(t, func(r *rig) {
		p := r.Peer(trouble.Lane, "l", nil)
		for i := range 200 {
			p.Item("bad-1", errDown)
			if i > 20 {
				p.Item("bad-2", errDown)
			}
			p.Item(fmt.Sprintf("blip-%d", i), errDown)
			p.Item(fmt.Sprintf("blip-%d", i), nil)
			p.Begin().Through()
			time.Sleep(time.Second)
		}
		all := r.logs.All()
		r.said(single, single, single)
		if len(all) < 2 {
			return
		}
		if m := all[1].ContextMap(); m["targets"] != "2 targets (bad-1, bad-2)" || m["why"] != "it is down" || m["do"] == nil {
			t.Errorf("%v", m)
		}
		if w := r.Warnings(); len(w) != 1 || !strings.HasPrefix(w[0], "lane l gets through, but not for 2 targets (bad-1, bad-2): it is down; do: look at these targets") {
			t.Errorf("%q", w)
		}
		time.Sleep(time.Hour) // nobody tries them any more
		r.said(single, single, "info: lane gets through for all targets that are tried")
		if w := r.Warnings(); len(w) != 0 {
			t.Errorf("%q", w)
		}
	})
	virtual(t, func(r *rig) { // those that failed with their peer are well, once that is
		p := r.Peer(trouble.Lane, "l", nil)
		for i := range 150 {
			p.Item(fmt.Sprintf("t-%d", i), errDown)
			p.Begin().Failed(errDown)
			time.Sleep(time.Second)
		}
		for range 200 {
			p.Begin().Through()
			time.Sleep(time.Second)
		}
		r.said(begins, still, still, again)
		if w := r.Warnings(); len(w) != 0 {
			t.Errorf("%q", w)
		}
	})
	virtual(t, func(r *rig) { // alone, it is the lane's
		p := r.Peer(trouble.Lane, "l", nil)
		for range 70 {
			p.Item("bad", errDown)
			p.Begin().Failed(errDown)
			time.Sleep(time.Second)
		}
		r.said(begins, still)
	})
}

func TestOneOutageOfAQueueIsOneLine(t *testing.T) {
	virtual(t, func(r *rig) {
		receiving := r.Peer(trouble.Queue, "q (receiving)", nil)
		deleting := r.Peer(trouble.Queue, "q (deleting)", nil).Under(receiving)
		for range 20 {
			receiving.Begin().Failed(errDown)
			deleting.Begin().Failed(errDown)
			time.Sleep(time.Second)
		}
		receiving.Begin().Through()
		deleting.Begin().Failed(errDown)
		time.Sleep(time.Second)
		deleting.Begin().Through()
		r.said("error: queue does not get through", "info: queue gets through again")
		fails(deleting, 9*time.Second, time.Second) // alone, it is said
		deleting.Begin().Through()
		r.said("error: deleting from the queue fails", "info: deleting from the queue works again")
	})
}

func TestLinesAndNamesAreBounded(t *testing.T) {
	virtual(t, func(r *rig) {
		for i := range 5000 { // of accounts that commands name
			p := r.Peer(trouble.Credentials, fmt.Sprintf("arn:aws:iam::%012d:role/rescind", i), nil)
			p.Begin().Failed(errDown)
		}
		time.Sleep(3 * time.Second)
		for i := range 5000 {
			r.Peer(trouble.Credentials, fmt.Sprintf("arn:aws:iam::%012d:role/rescind", i), nil).Begin().Failed(errDown)
		}
		time.Sleep(70 * time.Second)
		if n := r.logs.Len(); n > 45 {
			t.Errorf("%d lines in 73 s", n)
		}
		if n := r.logs.FilterMessageSnippet("more lines than are logged").Len(); n != 1 {
			t.Errorf("the rest was counted %d times", n)
		}
		named := 0
		failing := r.Failing()
		for _, f := range failing {
			if f.Named {
				named++
			}
		}
		if len(failing) != 5000 || named != 200 {
			t.Errorf("%d fail, %d are named", len(failing), named)
		}
		time.Sleep(time.Hour)
		if n := len(r.Failing()); n != 0 {
			t.Errorf("%d are still remembered", n)
		}
	})
}

func TestClosedPeersSayNothing(t *testing.T) {
	virtual(t, func(r *rig) {
		p := r.Peer(trouble.Lane, "l", nil)
		p.Begin().Failed(errDown)
		r.Close()
		fails(p, time.Minute, time.Second)
		p.Begin().Through()
		r.said()
	})
}

// want is an error for want of credentials.
type want struct{ name string }

func (w want) Error() string { return "no credentials" }

func (w want) NoCredentials() (name, from string, why error) { return w.name, "", errDown }

func TestTheWantOfCredentialsIsOneLine(t *testing.T) {
	virtual(t, func(r *rig) {
		own := r.Peer(trouble.Credentials, trouble.Own, nil)
		lane := r.Peer(trouble.Lane, "l", nil)
		own.Begin().Failed(want{trouble.Own})
		for range 5 {
			lane.Begin().Failed(want{trouble.Own}) // before the credentials are asked for again
			time.Sleep(time.Second)
		}
		r.said("error: credentials cannot be had")
		f := r.Failing()
		if len(f) != 2 || !strings.HasSuffix(f[0].String(), "it is down; do: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or run where a role is given") ||
			!strings.HasSuffix(f[1].String(), "no credentials; see: credentials the worker's own") {
			t.Errorf("%v", f)
		}
		own.Begin().Through()
		time.Sleep(time.Minute) // nothing is said of the lane before it is tried
		r.said("info: credentials can be had again")
		lane.Begin().Failed(errDown)
		r.said(begins)
		lane.Begin().Through()
		r.said(again)
	})
}
