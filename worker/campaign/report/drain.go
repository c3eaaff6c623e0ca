package report

import (
	"maps"
	"slices"
	"time"

	"github.com/rescindhq/rescind/handlers"
)

// Point is how many targets had ended by a time.
type Point struct {
	At         time.Time `json:"at"`
	Stopped    int       `json:"stopped"`
	Pending    int       `json:"pending"`
	NotStopped int       `json:"notStopped"`
	NotRun     int       `json:"notRun"`
}

// PointsMost is how many points a drain has at most: more would be drawn on the same pixels.
const PointsMost = 240

// points makes the points of a drain from what ended in each Unix second.
func points(ended map[int64]map[handlers.Verdict]int) []Point {
	seconds := slices.Sorted(maps.Keys(ended))
	if len(seconds) == 0 {
		return []Point{}
	}
	first, last := seconds[0], seconds[len(seconds)-1]
	step := (last-first)/PointsMost + 1
	var all []Point
	var sum Point
	next := 0
	for end := first + step; ; end += step { // a point stands at the end of its step
		for next < len(seconds) && seconds[next] < end {
			of := ended[seconds[next]]
			sum.Stopped += of[handlers.Stopped]
			sum.Pending += of[handlers.Pending]
			sum.NotStopped += of[handlers.NotStopped]
			sum.NotRun += of[handlers.NotRun]
			next++
		}
		sum.At = time.Unix(end, 0).UTC()
		all = append(all, sum)
		if next == len(seconds) {
			return all
		}
	}
}

// all is the number of targets that had ended by then.
func (p *Point) all() int { return p.Stopped + p.Pending + p.NotStopped + p.NotRun }
