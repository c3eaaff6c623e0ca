package main

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/quotas"
)

// estimate is how long a campaign takes at the least, by the quotas: the slowest of its buckets.
type estimate struct {
	Seconds float64        `json:"seconds"`
	Calls   []estimateCall `json:"calls"`
	// Quota names what bounds it, "batch:*"; "" where nothing is known to.
	Quota string  `json:"quota,omitempty"`
	Rate  float64 `json:"rate,omitzero"`  // calls a second
	Burst float64 `json:"burst,omitzero"` // calls at once
	Known bool    `json:"known"`          // every operation has a quota, which is no guess of ours
}

// estimateCall is how many calls of an operation a campaign makes.
type estimateCall struct {
	Operation string `json:"operation"`
	Calls     int    `json:"calls"`
	PerCall   int    `json:"perCall"` // targets at most
}

// estimate fills the report's estimate with the quotas that are in force: those given, the account's where they may be read, or
// those that AWS publishes.
func (r *planReport) estimate(ctx context.Context, c *planFlags, cfg aws.Config, about handlers.About, f *collector) {
	table := quotas.Table{Account: r.Account, Given: c.given}
	table.PerRegion, _ = quotas.OfAccount(ctx, cfg, []string{r.Region}) // what could not be read is as AWS publishes it
	at := handlers.Location{Account: r.Account, Region: r.Region}
	e := &r.Estimate
	e.Known = !about.Guessed
	var all handlers.Quota
	sum := 0
	add := func(operation string, calls, most int, own, service handlers.Quota) {
		if calls == 0 {
			return
		}
		e.Calls = append(e.Calls, estimateCall{operation, calls, most})
		sum += calls
		name := about.Service + ":" + operation
		own, all = table.At(name, at, own), table.At(about.Service+":*", at, service)
		e.Known = e.Known && (own.Rate > 0 || all.Rate > 0)
		e.bound(name, calls, own)
	}
	reads := map[string]int{}
	for _, action := range slices.Sorted(maps.Keys(f.groups)) {
		cancel, read, n, targets := f.by[action].Cancel(), f.by[action].Read(), 0, 0
		for _, held := range f.groups[action] {
			n, targets = n+calls(held, cancel.Max), targets+held
		}
		add(cancel.Operation, n, cancel.Max, cancel.QuotaAt(r.Region), cancel.ServiceQuota)
		reads[read.Operation] += targets
	}
	for _, action := range slices.Sorted(maps.Keys(f.groups)) {
		if read := f.by[action].Read(); about.ReadsEach {
			add(read.Operation, calls(reads[read.Operation], read.Max), read.Max, read.QuotaAt(r.Region), read.ServiceQuota)
			delete(reads, read.Operation)
		}
	}
	e.bound(about.Service+":*", sum, all)
}

// calls is how many calls a number of targets takes.
func calls(targets, most int) int { return (targets + most - 1) / most }

// bound notes how long a quota makes a number of calls take, if that is the longest yet.
func (e *estimate) bound(name string, calls int, q handlers.Quota) {
	if q.Rate <= 0 {
		return
	}
	if took := math.Max(0, float64(calls)-q.Burst) / q.Rate; e.Quota == "" || took > e.Seconds {
		e.Seconds, e.Quota, e.Rate, e.Burst = took, name, q.Rate, q.Burst
	}
}

// String is the estimate for people, with its reason.
func (e *estimate) String() string {
	var made []string
	for _, c := range e.Calls {
		each := ""
		if c.PerCall > 1 {
			each = fmt.Sprintf(" of up to %d", c.PerCall)
		}
		made = append(made, many(c.Calls, c.Operation+" call")+each)
	}
	what := strings.Join(made, " and ")
	if e.Quota == "" {
		return "not known: AWS publishes no rate for " + what
	}
	service, operation, _ := strings.Cut(e.Quota, ":")
	of := "of " + operation
	if operation == "*" {
		of = "of all " + service + " operations"
	}
	quota := fmt.Sprintf("the quota %s, %s calls a second and %s at once", of, strconv.FormatFloat(e.Rate, 'g', -1, 64), grouped(int(e.Burst)))
	if !e.Known {
		quota = strings.Replace(quota, "the quota", "a guess (AWS publishes no quota)", 1)
	}
	if e.Seconds < 1 {
		return "about a second: " + what + ", within " + quota
	}
	return fmt.Sprintf("about %s: %s, at %s", roughly(e.Seconds), what, quota)
}

// roughly is a duration to two digits, which is all that an estimate is good for.
func roughly(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0f s", math.Ceil(seconds))
	case d < 2*time.Hour:
		return fmt.Sprintf("%.0f min", math.Ceil(d.Minutes()))
	}
	return fmt.Sprintf("%.1f h", d.Hours())
}
