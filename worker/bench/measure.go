package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// roundBound ends a round that does not come to its end by itself.
const roundBound = 10 * time.Minute

// measurement is one round of one contender. "Each" is of commands.
type measurement struct {
	Contender string `json:"contender"`
	Round     int    `json:"round,omitzero"` // from 1; 0 in a summary
	// Seconds run from "go" to the last outcome published and the queue empty; Rate is
	// commands in each of them.
	Seconds float64 `json:"seconds"`
	Rate    float64 `json:"commandsPerSecond"`
	// CPU and SimulatorCPU are microseconds of user and system time each.
	CPU          float64 `json:"cpuMicrosecondsPerCommand"`
	SimulatorCPU float64 `json:"simulatorCPUMicrosecondsPerCommand"`
	// Requests are those made, by "service:Operation", but for Empty receives; all per 1,000
	// commands.
	Requests map[string]float64 `json:"requestsPer1000Commands"`
	Empty    float64            `json:"emptyReceivesPer1000Commands"`
	PeakRSS  int64              `json:"peakRSSBytes"`       // 0: not known
	PeakAnon int64              `json:"peakAnonymousBytes"` // 0: not known
	// Repeated counts outcomes of commands that had one already.
	Repeated int `json:"repeatedOutcomes"`
}

// measure lets one contender drain a fresh simulator.
func measure(ctx context.Context, aws *part, c contender, o options, round int) (m measurement, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, roundBound, fmt.Errorf("not drained after %s", roundBound))
	defer cancel()
	dir, err := os.MkdirTemp("", "rescind-bench-")
	if err != nil {
		return m, fmt.Errorf("making a directory for the ledger: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	a, opening := assignment{Fleet: o.Fleet, Dir: dir}, order{Open: &o.load}
	if o.profiles != "" {
		name, err := filepath.Abs(filepath.Join(o.profiles, fmt.Sprintf("%s-%d", c.name, round+1)))
		if err != nil {
			return m, fmt.Errorf("naming the profile: %w", err)
		}
		a.Profile, opening.Profile = name+".pprof", name+"-simulator.pprof"
	}
	if err := aws.ask(opening, &a.Place); err != nil {
		return m, err
	}
	worker, err := start(ctx, c.name)
	if err != nil {
		return m, err
	}
	took, s, err := drain(ctx, aws, worker, a)
	if err != nil {
		_ = worker.cmd.Process.Kill() // it may have ended by itself
	}
	if err := errors.Join(err, worker.cmd.Wait()); err != nil {
		return m, err
	}
	var seen tally
	if err := aws.ask(order{Close: true}, &seen); err != nil {
		return m, err
	}
	used := worker.cmd.ProcessState.UserTime() + worker.cmd.ProcessState.SystemTime()
	return seen.measurement(c, o.load, round, took, used, s)
}

// drain times a contender, from "go" to the simulator's word that it is drained, and ends it.
func drain(ctx context.Context, aws, worker *part, a assignment) (took time.Duration, s spent, err error) {
	var ok bool
	if err := worker.ask(a, &ok); err != nil {
		return 0, s, err
	}
	drained := make(chan error, 1)
	began := time.Now()
	if err := worker.ask(true, &ok); err != nil {
		return 0, s, err
	}
	go func() {
		var ok bool
		drained <- aws.ask(order{Drain: true}, &ok)
	}()
	// Nothing is heard from a contender before it is let go, unless it has failed.
	ended := make(chan error, 1)
	go func() { ended <- worker.hear(&s) }()
	select {
	case err := <-drained:
		took = time.Since(began)
		if err != nil {
			return 0, s, err
		}
	case err := <-ended:
		return 0, s, errors.Join(errors.New("it ended before the queue was drained"), err)
	case <-ctx.Done():
		return 0, s, context.Cause(ctx)
	}
	// Its last answer comes with its end, which must not be waited for before all is heard.
	if err := worker.in.Close(); err != nil {
		return 0, s, fmt.Errorf("ending it: %w", err)
	}
	select {
	case err = <-ended:
	case <-time.After(endBound):
		err = fmt.Errorf("it did not end within %s", endBound)
	}
	return took, s, err
}

// measurement checks that a contender did its work, and counts by command.
func (t tally) measurement(c contender, l load, round int, took, used time.Duration, s spent) (measurement, error) {
	if t.Distinct != l.Commands || t.Cancelled != l.Commands || t.Buried != 0 {
		return measurement{}, fmt.Errorf("of %d commands %d have an outcome, %d jobs were cancelled and %d messages were buried",
			l.Commands, t.Distinct, t.Cancelled, t.Buried)
	}
	n := float64(l.Commands)
	m := measurement{
		Contender: c.name, Round: round + 1, Seconds: took.Seconds(), Rate: n / took.Seconds(),
		CPU: float64(used.Microseconds()) / n, SimulatorCPU: float64(t.CPU.Microseconds()) / n,
		Requests: map[string]float64{}, Empty: float64(t.Empty) * 1000 / n,
		PeakRSS: s.PeakRSS, PeakAnon: s.PeakAnon, Repeated: t.Outcomes - t.Distinct,
	}
	for name, count := range t.Requests {
		m.Requests[name] = float64(count) * 1000 / n
	}
	m.Requests[receives] -= m.Empty
	return m, nil
}

const receives = "sqs:ReceiveMessage"
