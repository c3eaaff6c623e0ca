package report

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rescindhq/rescind/handlers"
)

//go:generate go run github.com/a-h/templ/cmd/templ@v0.3.1118 generate

const (
	// RowsMost is how many rows each table of the page has at most: a browser lays out some thousands at once.
	RowsMost = 1000
	// reasonsMost is how many reasons the page has at most.
	reasonsMost = 50
	tenth       = 100 * time.Millisecond
)

// Words is the state for people.
func (s State) Words() string {
	switch s {
	case UnderWay:
		return "under way"
	case NoRecord:
		return "no record"
	case NotSent:
		return "not sent"
	}
	return "ended"
}

// Services are those that the report counts.
func (r *Report) Services() []string { return slices.Sorted(maps.Keys(r.Targets)) }

// Took is the time from the first sending to the last end; 0 where nothing has ended.
func (r *Report) Took() time.Duration {
	if r.FirstSent.IsZero() || r.LastFinished.IsZero() {
		return 0
	}
	return r.LastFinished.Sub(r.FirstSent)
}

// about are the lines below the heading.
func (r *Report) about() []string {
	c := r.Commands
	line := grouped(c.Ended) + " commands have ended"
	if c.Planned > 0 {
		line += " of " + grouped(c.Planned) + " that were planned"
	}
	if took := r.Took(); took > 0 {
		line += ", in " + took.Round(tenth).String() + " from " + stamp(r.FirstSent) + " to " + stamp(r.LastFinished)
	}
	lines := []string{line + "."}
	if p := r.Plan; p != nil {
		var filters []string
		for _, name := range slices.Sorted(maps.Keys(p.Selection)) {
			filters = append(filters, strings.TrimSpace("--"+name+" "+strings.Join(p.Selection[name], " ")))
		}
		lines = append(lines, fmt.Sprintf("Planned %s by %s: %s", stamp(p.Created), p.By, strings.Join(filters, " ")))
	}
	if r.Unlisted > 0 {
		lines = append(lines, grouped(r.Unlisted)+" targets are counted, and named by no row: the outcomes of their commands were too long.")
	}
	if r.Unreadable > 0 {
		lines = append(lines, grouped(r.Unreadable)+" outcomes cannot be read by this version, and are not counted by status.")
	}
	return append(lines, "Made "+stamp(r.Made)+" by rescind report.")
}

func stamp(at time.Time) string { return at.UTC().Format("2006-01-02 15:04:05Z") }

// grouped writes a number with a comma between thousands.
func grouped(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// The measures of the chart, in units of the SVG.
const (
	chartWidth, chartHeight = 960, 300
	chartLeft, chartBottom  = 70, 24
	chartTop                = 10
)

// drawing is a drain as the chart draws it.
type drawing struct {
	Areas   []area
	Lines   []label // over the height
	Moments []label // along the time
}

type area struct {
	Verdict handlers.Verdict
	Path    string
}

type label struct{ At, Text, Anchor string }

// drawn makes the areas of the verdicts, one upon the other, from the points of a drain.
func drawn(points []Point) (d drawing) {
	last := points[len(points)-1]
	// The first point stands at the end of its step: nothing had ended one step before.
	points = append([]Point{{At: points[0].At.Add(-points[1].At.Sub(points[0].At))}}, points...)
	span, most := last.At.Sub(points[0].At).Seconds(), float64(max(last.all(), 1))
	x := func(p *Point) float64 {
		return chartLeft + (chartWidth-chartLeft)*p.At.Sub(points[0].At).Seconds()/span
	}
	y := func(n int) float64 {
		return chartTop + (chartHeight-chartTop-chartBottom)*(1-float64(n)/most)
	}
	below := make([]int, len(points))
	for _, v := range verdicts {
		var there, back strings.Builder
		for i := range points {
			below[i] += points[i].by(v)
			move := "L"
			if i == 0 {
				move = "M"
			}
			fmt.Fprintf(&there, "%s%.1f %.1f", move, x(&points[i]), y(below[i]))
		}
		for i := len(points) - 1; i >= 0; i-- {
			fmt.Fprintf(&back, "L%.1f %.1f", x(&points[i]), y(below[i]-points[i].by(v)))
		}
		if last.by(v) > 0 {
			d.Areas = append(d.Areas, area{v, there.String() + back.String() + "Z"})
		}
	}
	for _, n := range []int{0, last.all() / 2, last.all()} {
		d.Lines = append(d.Lines, label{At: fmt.Sprintf("%.1f", y(n)), Text: grouped(n)})
	}
	for _, m := range []struct {
		p      *Point
		anchor string
	}{{&points[0], "start"}, {&points[len(points)/2], "middle"}, {&points[len(points)-1], "end"}} {
		d.Moments = append(d.Moments, label{fmt.Sprintf("%.1f", x(m.p)), m.p.At.Format(time.TimeOnly) + "Z", m.anchor})
	}
	return d
}

// by is the number of targets of a verdict.
func (p *Point) by(v handlers.Verdict) int {
	switch v {
	case handlers.Stopped:
		return p.Stopped
	case handlers.Pending:
		return p.Pending
	case handlers.NotStopped:
		return p.NotStopped
	case handlers.NotRun:
		return p.NotRun
	}
	return 0
}
