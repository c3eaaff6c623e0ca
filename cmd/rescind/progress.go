package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/rescindhq/rescind/internal/demo"
	"github.com/rescindhq/rescind/internal/terminal"
)

const (
	// drawEvery is how often bars are drawn, and sayEvery how often a line is printed where there are none.
	drawEvery, sayEvery = 200 * time.Millisecond, 5 * time.Second
	// wide is a terminal with space for calls that failed too, and narrow one without space for throttles.
	wide, narrow = 100, 70
)

// showProgress shows progress until it is stopped or ctx ends: a bar for each service, drawn in place,
// where the screen allows that and no log is printed between, and otherwise a line every few seconds.
func showProgress(ctx context.Context, s screen, progress func() demo.Progress, logs bool) (stop func()) {
	every, show, end := sayEvery, func(p demo.Progress) { s.printf("%s\n", progressLine(p)) }, func() {}
	if s.moves && !logs {
		if bars, err := newBars(ctx, s, progress()); err == nil { // otherwise ctx has ended
			every, show, end = drawEvery, bars.set, bars.end
		}
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		defer end()
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				show(progress())
			case <-done:
				show(progress())
				return
			case <-ctx.Done():
				return
			}
		}
	})
	return func() { close(done); wg.Wait() }
}

func progressLine(p demo.Progress) string {
	t := p.Total()
	return fmt.Sprintf("%3.0fs  outcomes: %d of %d, calls: %d (%d throttled, %d failed)", p.Elapsed.Seconds(), t.Outcomes, t.Commands, t.Calls, t.Throttled, t.Failed)
}

// bars are a bar for each service, and one for all of them.
type bars struct {
	all  *mpb.Progress
	each []serviceBar
}

// serviceBar is a bar with the progress that it shows.
type serviceBar struct {
	bar *mpb.Bar
	now *atomic.Pointer[demo.ServiceProgress]
}

// newBars draws on a screen until end is called or ctx ends.
func newBars(ctx context.Context, s screen, p demo.Progress) (*bars, error) {
	b := &bars{all: mpb.NewWithContext(ctx, mpb.WithOutput(s.Writer), mpb.WithRefreshRate(drawEvery))}
	for _, of := range append(p.Services, p.Total()) {
		now := new(atomic.Pointer[demo.ServiceProgress])
		now.Store(&of)
		throttled := func(decor.Statistics) string { return fmt.Sprintf("%d throttled", now.Load().Throttled) }
		failed := func(decor.Statistics) string { return count(now.Load().Failed, "call") + " failed" }
		bar, err := b.all.Add(int64(of.Commands),
			mpb.BarStyle().Lbound("").Filler("█").Tip("").Padding("░").Rbound("").Build(),
			mpb.PrependDecorators(decor.Name(of.Name, decor.WCSyncWidthR), decor.CountersNoUnit("%d/%d", decor.WCSyncSpace)),
			mpb.AppendDecorators(
				decor.AverageSpeed(0, "%.0f/s", decor.WCSyncWidth),
				decor.OnCondition(decor.Any(throttled, decor.WCSyncSpace), s.width >= narrow),
				decor.OnCondition(decor.Any(failed, decor.WCSyncSpace), s.width >= wide),
				decor.Any(timeLeft(time.Now()), decor.WCSyncSpace),
			))
		if err != nil {
			return nil, fmt.Errorf("drawing a bar: %w", err)
		}
		b.each = append(b.each, serviceBar{bar, now})
	}
	return b, nil
}

// timeLeft says how long a bar will take, by how long it has taken so far, and in the end how long it took.
func timeLeft(began time.Time) decor.DecorFunc {
	var took string
	return func(s decor.Statistics) string {
		passed := time.Since(began)
		switch {
		case took != "":
		case s.Completed:
			took = "took " + passed.Round(time.Second).String()
		case s.Current > 0 && !s.Aborted:
			left := time.Duration(float64(passed) * float64(s.Total-s.Current) / float64(s.Current))
			return left.Round(time.Second).String() + " left"
		}
		return took
	}
}

func (b *bars) set(p demo.Progress) {
	for i, of := range append(p.Services, p.Total()) {
		b.each[i].now.Store(&of)
		b.each[i].bar.SetCurrent(int64(of.Outcomes))
	}
}

// end leaves the bars as they are.
func (b *bars) end() {
	for _, each := range b.each {
		each.bar.Abort(false) // one that is complete remains complete
	}
	b.all.Wait()
}

// showCount shows how many of a number are done, until it is stopped: a bar with the rate and the time left where the screen
// allows that, and otherwise a line every few seconds. More is what else there is to say; nil: nothing.
func showCount(s streams, asLines bool, of int, done string, n *atomic.Int64, more func() string) (stop func()) {
	to, began := screenOf(s.err), time.Now()
	if asLines || !to.moves {
		return every(sayEvery, func() {
			line, now := fmt.Sprintf("%s of %s %s", grouped(n.Load()), many(of, "command"), done), n.Load()
			if more != nil {
				line += ": " + more()
			}
			if passed := time.Since(began).Seconds(); more != nil && now > 0 {
				line += fmt.Sprintf("; %.0f/s, about %s left", float64(now)/passed, roughly(passed*float64(int64(of)-now)/float64(now)))
			}
			say(s.err, line)
		})
	}
	all := mpb.New(mpb.WithOutput(to.Writer), mpb.WithRefreshRate(drawEvery))
	options := []mpb.BarOption{
		mpb.PrependDecorators(decor.CountersNoUnit("%d/%d "+done, decor.WCSyncSpace)),
		mpb.AppendDecorators(decor.AverageSpeed(0, "%.0f/s", decor.WCSyncWidth), decor.Any(timeLeft(began), decor.WCSyncSpace)),
	}
	if more != nil {
		options = append(options, mpb.BarExtender(mpb.BarFillerFunc(func(w io.Writer, _ decor.Statistics) error {
			_, err := fmt.Fprintln(w, strings.TrimRight(terminal.Cut(terminal.Clean(more()), to.width), " "))
			return err
		}), false))
	}
	bar := all.New(int64(of), mpb.BarStyle().Lbound("").Filler("█").Tip("").Padding("░").Rbound(""), options...)
	stopDrawing := every(drawEvery, func() { bar.SetCurrent(n.Load()) })
	return func() {
		stopDrawing()
		bar.SetCurrent(n.Load())
		bar.Abort(false) // one that is complete remains complete
		all.Wait()
	}
}
