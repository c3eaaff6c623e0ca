package worker

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/buildinfo"
	"github.com/rescindhq/rescind/worker/credentials"
	"github.com/rescindhq/rescind/worker/pipeline"
	"github.com/rescindhq/rescind/worker/trouble"
)

// What keeps commands from being taken, besides the ledger.
const (
	theTopic = "results topic"
	theQueue = "queue"
)

// Failing lists who the worker does not get through to, by kind and name, and since when, why and
// what to do. Not all of it keeps commands from being taken: see [Worker.Ready].
func (w *Worker) Failing() []trouble.Failing {
	return w.trouble.Failing()
}

// reportMost is the most lines of a report.
const reportMost = 50

// Report says for people whether commands are taken, which worker this is, and line by line what keeps
// commands from being taken and who else the worker does not get through to: at most 50 lines, in a stable
// order, of printable characters. The first is "ready" or "not ready".
func (w *Worker) Report() (ready bool, lines []string) {
	reasons := w.Ready()
	ready = len(reasons) == 0
	lines = []string{"ready", fmt.Sprintf("name %s; worker %s; version %s; queues %s; started %s",
		trouble.Clean(w.o.Name, 200), w.name, buildinfo.Read().Version, strings.Join(w.o.QueueURLs, ", "), w.started.UTC().Format(time.RFC3339))}
	if !ready {
		lines[0] = "not ready"
	}
	failing := w.Failing()
	stopping := make(map[trouble.Kind]bool) // the kinds that keep commands from being taken
	var begun []string                      // those of which no peer is known: begun a moment ago, or not a peer
	for _, what := range slices.Sorted(maps.Keys(reasons)) {
		kind := kindOf(what)
		stopping[kind] = true
		if !slices.ContainsFunc(failing, func(f trouble.Failing) bool { return f.Kind == kind }) {
			why, _ := trouble.Why(kind, "", reasons[what], 0)
			begun = append(begun, "stops all: "+what+": "+why)
		}
	}
	var stops, fails []string
	lanes := 0
	for _, f := range failing {
		switch {
		case stopping[f.Kind], f.Name == credentials.Own && wantsOwn(reasons):
			stops = append(stops, "stops all: "+f.String())
		case f.Kind == trouble.Lane:
			fails = append(fails, "fails: "+f.String()+w.deferred(f.Name))
			lanes++
		default:
			fails = append(fails, "fails: "+f.String())
		}
	}
	lines = slices.Concat(lines, stops, begun, fails)
	for _, warning := range w.trouble.Warnings() {
		lines = append(lines, "warns: "+warning)
	}
	if most := w.throttled.Load(); most != nil && *most != "" {
		lines = append(lines, "warns: throttled in the last minute, most of all "+*most+"; do: see who else uses the quota (Service Quotas), and RESCIND_QUOTAS")
	}
	if warning := w.pipeline.Warning(); warning != "" {
		lines = append(lines, "warns: "+warning)
	}
	if more := len(lines) - (reportMost - 2); more > 0 {
		lines = append(lines[:reportMost-2], fmt.Sprintf("and %d more; the metric rescind_failing_peers counts them", more))
	}
	if all := w.trouble.Known(trouble.Lane); lanes > 0 {
		means := "commands that need these wait"
		switch {
		case !ready:
			means = "nothing new is received either"
		case lanes == all:
			means = "no command gets through"
		}
		lines = append(lines, fmt.Sprintf("%d of %d lanes fail: %s; %s", lanes, all, means, w.metrics.lastOutcome(time.Now())))
	}
	return ready, lines
}

// wantsOwn reports whether what keeps commands from being taken is the want of the worker's own credentials.
func wantsOwn(reasons map[string]error) bool {
	for _, err := range reasons {
		var want *credentials.Error
		if errors.As(err, &want) && want.Name == credentials.Own {
			return true
		}
	}
	return false
}

// deferred says how many messages were deferred of a lane's service, in its account and region.
func (w *Worker) deferred(lane string) string {
	service, _, _ := strings.Cut(lane, ":")
	parts := strings.Fields(lane)
	if len(parts) != 3 {
		return ""
	}
	return fmt.Sprintf(", deferrals so far: %d", w.pipeline.Deferred(service, handlers.Location{Account: parts[1], Region: parts[2]}))
}

// kindOf is the kind of peer that a reason not to be ready is about.
func kindOf(what string) trouble.Kind {
	switch what {
	case theTopic:
		return trouble.Topic
	case pipeline.TheLedger:
		return trouble.Ledger
	case theQueue:
		return trouble.Queue
	}
	return "" // the worker itself
}
