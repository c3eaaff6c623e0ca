package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/rescindhq/rescind/worker/ledger"
)

// growing are the contenders of -growth: what a command costs as they become many, without a
// ledger and with one on disk.
var growing = []contender{
	{"rescind-forgetful", "Rescind without a ledger", prepareForgetful},
	{"rescind", "Rescind, bolt ledger", prepareRescind},
}

// growFrom is the load that -commands is held against.
const growFrom = 20_000

// writeGrowth runs every contender at growFrom commands and at o.Commands, in each round, and
// writes what a command costs at each, and the ratio.
func writeGrowth(ctx context.Context, o options, out, progress io.Writer) error {
	loads := []int{growFrom, o.Commands}
	o.contenders = growing
	rows := [][]string{{"", fmt.Sprintf("CPU µs/command of %d", loads[0]), fmt.Sprintf("of %d", loads[1]), "ratio", "peak anonymous MiB", "simulator CPU µs, ratio"}}
	var lists [2][]summary
	for i, n := range loads {
		o.Commands = n
		all, err := measureAll(ctx, o, progress)
		if err != nil {
			return err
		}
		lists[i] = summarise(o, all)
	}
	for i, s := range lists[1] {
		few := lists[0][i]
		rows = append(rows, []string{
			s.contender.what, fmt.Sprintf("%.0f", few.CPU), fmt.Sprintf("%.0f", s.CPU), fmt.Sprintf("%.2f×", s.CPU/few.CPU),
			strconv.FormatInt(s.PeakAnon>>20, 10), fmt.Sprintf("%.2f×", s.SimulatorCPU/few.SimulatorCPU),
		})
	}
	return writeTable(out, rows)
}

func prepareForgetful(ctx context.Context, a assignment) (func(context.Context) error, error) {
	return prepareOn(ctx, a, new(forgetful))
}

// forgetful is a ledger that lets everything pass and keeps nothing: what a worker costs beside
// its ledger.
type forgetful struct{ tokens atomic.Uint64 }

var errForgetful = errors.New("this ledger remembers nothing")

func (f *forgetful) Claim(_ context.Context, e ledger.Entry, _ time.Duration) (*ledger.Claim, error) {
	return &ledger.Claim{State: ledger.Claimed, Token: ledger.Token{Key: e.Key, Number: f.tokens.Add(1)}}, nil
}

func (*forgetful) Renew(_ context.Context, _ time.Duration, tokens ...ledger.Token) []error {
	return make([]error, len(tokens))
}

func (*forgetful) Progress(_ context.Context, updates ...ledger.Update) []error {
	return make([]error, len(updates))
}

func (*forgetful) Release(context.Context, ledger.Update) error         { return nil }
func (*forgetful) Complete(context.Context, ledger.Token, []byte) error { return nil }
func (*forgetful) Close() error                                         { return nil }
func (*forgetful) DeploymentKey(context.Context) ([]byte, error) {
	return make([]byte, ledger.KeyBytes), nil
}
func (*forgetful) ByCampaign(context.Context, string, func(ledger.Record) bool) error {
	return errForgetful
}
func (*forgetful) Ended(context.Context, ...string) ([]ledger.Record, error) {
	return nil, errForgetful
}
func (*forgetful) ByTarget(context.Context, string, func(ledger.Record) bool) error {
	return errForgetful
}
func (*forgetful) PutEvents(_ context.Context, events ...ledger.Event) []error {
	return make([]error, len(events))
}
func (*forgetful) Events(context.Context, ...string) (map[string]ledger.Event, error) {
	return nil, nil
}
