package main

import (
	"fmt"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// progress shows how many of the commands that were left are sent, until it is stopped: a bar where the screen allows that, and
// otherwise a line every few seconds.
func (a *applying) progress(left int) (stop func()) {
	s := screenOf(a.err)
	if a.JSON || !s.moves {
		return every(sayEvery, func() { fmt.Fprintf(a.err, "%s of %s sent\n", grouped(a.sent.Load()), many(left, "command")) })
	}
	all := mpb.New(mpb.WithOutput(s.Writer), mpb.WithRefreshRate(drawEvery))
	bar := all.New(int64(left), mpb.BarStyle().Lbound("").Filler("█").Tip("").Padding("░").Rbound(""),
		mpb.PrependDecorators(decor.CountersNoUnit("%d/%d sent", decor.WCSyncSpace)),
		mpb.AppendDecorators(decor.AverageSpeed(0, "%.0f/s", decor.WCSyncWidth), decor.Any(timeLeft(time.Now()), decor.WCSyncSpace)))
	stopDrawing := every(drawEvery, func() { bar.SetCurrent(a.sent.Load()) })
	return func() {
		stopDrawing()
		bar.SetCurrent(a.sent.Load())
		bar.Abort(false) // one that is complete remains complete
		all.Wait()
	}
}
